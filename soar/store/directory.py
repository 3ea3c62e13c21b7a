"""Small durable look-ups: where things stand in the chat, and whose token is whose."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import delete, insert, select

from soar.store import tables
from soar.store.database import Database
from soar.store.rows import ChatRef

__all__ = ["ChatRefs", "Tokens"]


class ChatRefs:
    """The table `chat_refs`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, incident_id: str, key: str) -> ChatRef | None:
        """Where one thing of an incident stands; None if nothing is known of it."""
        table = tables.chat_refs
        query = select(table).where(table.c.incident_id == incident_id, table.c.key == key)
        async with self._database.reading() as connection:
            found = (await connection.execute(query)).mappings().one_or_none()
        return None if found is None else ChatRef.model_validate(dict(found))

    async def put(self, ref: ChatRef) -> None:
        """Write a reference over the earlier one of the same incident and key; committed when this returns."""
        table = tables.chat_refs
        async with self._database.writing() as connection:
            await connection.execute(
                delete(table).where(table.c.incident_id == ref.incident_id, table.c.key == ref.key)
            )
            await connection.execute(insert(table).values(**ref.model_dump()))


class Tokens:
    """The table `tokens`. A token itself is never kept, only its SHA-256."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, responder_id: str, token_sha256: str, label: str = "") -> None:
        """Let a token stand for a responder."""
        async with self._database.writing() as connection:
            await connection.execute(
                insert(tables.tokens).values(
                    sha256=token_sha256, responder_id=responder_id, label=label, created_at=datetime.now(UTC)
                )
            )

    async def responder(self, token_sha256: str) -> str | None:
        """Whose token it is; None if nobody's."""
        query = select(tables.tokens.c.responder_id).where(tables.tokens.c.sha256 == token_sha256)
        async with self._database.reading() as connection:
            return (await connection.execute(query)).scalar_one_or_none()

    async def revoke(self, responder_id: str) -> int:
        """Forget every token of a responder.

        Returns:
            How many there were.
        """
        async with self._database.writing() as connection:
            table = tables.tokens
            return (
                await connection.execute(delete(table).where(table.c.responder_id == responder_id))
            ).rowcount
