"""Whether a process without a port is alive, told by the age of a file.

A worker touches the file as long as it can talk to Temporal; `python -m soar.runtime.health` (the container's
health check) fails when the file is old.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

__all__ = ["keep_alive_file", "main"]

_log = logging.getLogger(__name__)

BEAT_SECONDS = 10.0
OLD_SECONDS = 45.0


async def keep_alive_file(
    path: Path, healthy: Callable[[], Awaitable[bool]], *, every: float = BEAT_SECONDS
) -> None:
    """Touch a file for as long as `healthy` says yes; runs until it is cancelled, then removes the file.

    Args:
        path: The file; its folder must be there.
        healthy: Asks what the process depends on (a worker: Temporal's health service). An exception is a no.
        every: Seconds between two questions.
    """
    try:
        while True:
            try:
                if await healthy():
                    await asyncio.to_thread(path.touch)
            except Exception as error:  # noqa: BLE001 - whatever is wrong, the answer is that it is not healthy
                _log.warning("health.failed", extra={"error": str(error)})
            await asyncio.sleep(every)
    finally:
        path.unlink(missing_ok=True)  # noqa: ASYNC240 - at the end, possibly cancelled: no await here


def main() -> int:
    """Exit code 0 if the file that SOAR_HEALTH_FILE names was touched lately, else 1."""
    name = os.environ.get("SOAR_HEALTH_FILE", "")
    if not name:
        sys.stderr.write("SOAR_HEALTH_FILE is not set, so there is nothing to check\n")
        return 1
    try:
        age = time.time() - Path(name).stat().st_mtime
    except FileNotFoundError:
        sys.stderr.write(f"{name} is not there: the process is starting or cannot reach Temporal\n")
        return 1
    if age > OLD_SECONDS:
        sys.stderr.write(
            f"{name} was last touched {age:.0f} s ago: the process hangs or cannot reach Temporal\n"
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
