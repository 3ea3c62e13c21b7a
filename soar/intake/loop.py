"""The loop that works through one kind of inbox item, for as long as the process runs."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Coroutine

from soar.store import StoreUnavailable

__all__ = ["InboxLoop", "backoff"]

IDLE_SECONDS = 2.0
MAX_DELAY_SECONDS = 60.0

_log = logging.getLogger("soar.intake")


def backoff(attempts: int) -> float:
    """Seconds to wait before the next attempt: doubled each time, up to a minute."""
    return float(min(2.0 ** min(attempts - 1, 10), MAX_DELAY_SECONDS))


class InboxLoop(ABC):
    """Handles what is due, again and again; any number of processes may run one."""

    def __init__(self) -> None:
        self._nudged = asyncio.Event()

    def nudge(self) -> None:
        """Something has just come in."""
        self._nudged.set()

    @abstractmethod
    async def run_once(self) -> int:
        """Handle what is due.

        Returns:
            How many items that were.
        """

    async def run(self, stop: asyncio.Event) -> None:
        """Handle items until `stop` is set. Nothing but that ends it."""
        while not stop.is_set():
            self._nudged.clear()
            handled = 0
            try:
                handled = await self.run_once()
            except StoreUnavailable as error:
                _log.warning("inbox.store_unavailable", extra={"error": str(error)})
            except Exception:  # noqa: BLE001 - one bad item or one bad day must not end the loop; it comes due again
                _log.exception("inbox.failed")
            if not handled:
                await _first_of(self._nudged.wait(), stop.wait(), timeout=IDLE_SECONDS)


async def _first_of(*waits: Coroutine[object, object, object], timeout: float) -> None:
    """Wait for the first of several things, or for `timeout` seconds to pass."""
    tasks = [asyncio.ensure_future(w) for w in waits]
    try:
        await asyncio.wait(tasks, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
