"""Where things stand in Slack: the memory of the reconciler."""

from __future__ import annotations

from typing import Protocol

from soar.store import ChatRef

__all__ = ["ChatRef", "ChatRefs"]


class ChatRefs(Protocol):
    """Durable references: `Store.chat_refs`."""

    async def get(self, incident_id: str, key: str) -> ChatRef | None:
        """The reference, or None."""

    async def put(self, ref: ChatRef) -> None:
        """Write it over the earlier one of the same incident and key; committed when this returns."""
