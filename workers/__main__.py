"""`python -m workers --queues orchestrator,aws,chat`: serve task queues, those of one credential boundary."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys

from soar.cli.up import CANNOT_START, start, stopped
from soar.engine.messages import ORCHESTRATOR_QUEUE
from soar.runtime.health import keep_alive_file
from soar.runtime.leave import leave
from soar.runtime.parts import open_parts
from soar.runtime.settings import Settings
from soar.runtime.worker import known_queues, run_workers, temporal_answers


async def serve(settings: Settings, queues: list[str]) -> int:
    """Serve until SIGINT or SIGTERM.

    Returns:
        The exit code.
    """
    broken: list[BaseException] = []
    async with stopped() as stop:

        def fatal(error: BaseException) -> None:
            broken.append(error)
            stop.set()

        async with open_parts(settings) as parts, run_workers(parts, queues, fatal=fatal):
            async with contextlib.AsyncExitStack() as stack:
                if settings.health_file is not None:
                    beat = asyncio.create_task(
                        keep_alive_file(settings.health_file, lambda: temporal_answers(parts.temporal))
                    )
                    stack.callback(beat.cancel)
                print(f"serving {', '.join(queues)}", file=sys.stderr, flush=True)  # noqa: T201
                await stop.wait()
    return 1 if broken else 0


def main(arguments: list[str]) -> int:
    """Read the arguments and serve.

    Returns:
        The exit code: 0 after a signal, 1 if it cannot start or a worker failed, 2 for wrong arguments.
    """
    parser = argparse.ArgumentParser(prog="python -m workers", description=__doc__)
    parser.add_argument(
        "--queues",
        default=ORCHESTRATOR_QUEUE,
        help=f"comma separated, of: {', '.join(known_queues())} (default: %(default)s)",
    )
    queues = [q.strip() for q in parser.parse_args(arguments).queues.split(",") if q.strip()]
    try:
        return asyncio.run(serve(start(), queues))
    except CANNOT_START as error:
        print(f"the worker cannot start: {error}", file=sys.stderr)  # noqa: T201
        return 1


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
