"""Clicks from the chat: kept in the inbox when they arrive, handled from there, told to their incident once."""

from __future__ import annotations

import asyncio
import logging

from pydantic import ValidationError

from soar.chat.client import ChatError, SlackThrottled
from soar.chat.deliver import InteractionHandler
from soar.chat.interactions import INBOX_KIND, Interaction
from soar.engine.client import EngineUnavailable
from soar.intake.loop import InboxLoop, backoff
from soar.store import InboxItem, Store

__all__ = ["ClickLoop"]

LEASE_SECONDS = 60.0

_log = logging.getLogger("soar.clicks")


class ClickLoop(InboxLoop):
    """Handles the clicks in the inbox; any number of processes may run one.

    Args:
        store: Its inbox.
        handler: Checks and passes on one click.
    """

    def __init__(self, store: Store, handler: InteractionHandler) -> None:
        super().__init__()
        self._store, self._handler = store, handler

    async def run_once(self) -> int:
        """Handle what is due.

        Returns:
            How many clicks that were.
        """
        items = await self._store.claim(INBOX_KIND, limit=20, lease=LEASE_SECONDS)
        await asyncio.gather(*(self._handle(item) for item in items))
        return len(items)

    async def _handle(self, item: InboxItem) -> None:
        try:
            reply = await self._handler.handle(Interaction.model_validate(item.body))
        except ValidationError as error:
            _log.error("clicks.unreadable", extra={"item": item.id, "error": str(error)})
            await self._store.done(item.id, "unreadable")
        except (EngineUnavailable, ChatError) as error:
            delay = backoff(item.attempts + 1)
            if isinstance(error, SlackThrottled):
                delay = max(delay, error.retry_after)
            _log.warning("clicks.retried", extra={"item": item.id, "delay": delay, "error": str(error)})
            await self._store.retry(item.id, str(error), delay)
        else:
            await self._store.done(item.id, reply.message)
