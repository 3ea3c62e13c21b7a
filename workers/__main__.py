"""`python -m workers --queues orchestrator,aws,chat`: serve task queues, those of one credential boundary."""

from __future__ import annotations

import argparse
import sys

from soar.cli.up import worker_command
from soar.engine.messages import ORCHESTRATOR_QUEUE
from soar.runtime.leave import leave
from soar.runtime.worker import known_queues


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
    wanted = parser.parse_args(arguments).queues
    return worker_command([q.strip() for q in wanted.split(",") if q.strip()])


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
