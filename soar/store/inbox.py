"""The inbox: what was acknowledged is here until it has been handled, whatever dies in between."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Insert, Table, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from soar.model.base import JsonObject
from soar.store import tables
from soar.store.database import Database
from soar.store.rows import InboxItem, InboxKind, Received

__all__ = ["Inbox", "insert_if_new"]


async def insert_if_new(connection: AsyncConnection, table: Table, values: dict[str, Any]) -> int:
    """Insert a row unless one with the same unique key is there.

    Returns:
        How many rows were inserted: 1 or 0.
    """
    return (await connection.execute(_or_nothing(connection, table).values(**values))).rowcount


def _or_nothing(connection: AsyncConnection, table: Table) -> Insert:
    if connection.dialect.name == "postgresql":
        return postgresql.insert(table).on_conflict_do_nothing()
    return sqlite.insert(table).on_conflict_do_nothing()


class Inbox:
    """The table `inbox`.

    An item is due from when it was received until it is done. Claiming one moves its due time behind a lease: if
    whoever claimed it dies, it comes due again.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def receive(self, kind: InboxKind, key: str, body: JsonObject) -> Received:
        """Keep an item; committed when this returns. The same kind and key again changes nothing."""
        async with self._database.writing() as connection:
            fresh = await put(connection, kind, key, body)
            query = select(tables.inbox.c.id).where(tables.inbox.c.kind == kind, tables.inbox.c.key == key)
            found = (await connection.execute(query)).scalar_one()
        return Received(id=found, fresh=fresh)

    async def claim(self, kind: InboxKind, *, limit: int = 100, lease: float = 30.0) -> list[InboxItem]:
        """Take due items, oldest first. Nobody else gets them before the lease is over.

        Args:
            lease: Seconds.
        """
        table, now = tables.inbox, datetime.now(UTC)
        due = (
            select(table.c.id)
            .where(table.c.kind == kind, table.c.due_at <= now)
            .order_by(table.c.due_at, table.c.id)
            .limit(limit)
        )
        if not self._database.is_sqlite:
            due = due.with_for_update(skip_locked=True)
        async with self._database.writing() as connection:
            ids = (await connection.execute(due)).scalars().all()
            if not ids:
                return []
            claimed = (
                update(table)
                .where(table.c.id.in_(ids))
                .values(due_at=now + timedelta(seconds=lease), attempts=table.c.attempts + 1)
                .returning(table.c.id, table.c.kind, table.c.key, table.c.body, table.c.attempts)
            )
            rows = (await connection.execute(claimed)).mappings().all()
        return sorted((InboxItem.model_validate(dict(r)) for r in rows), key=lambda i: i.id)

    async def done(self, item_id: int, outcome: str) -> None:
        """An item is handled; it never comes due again."""
        await self._set(item_id, due_at=None, outcome=outcome[:2000])

    async def retry(self, item_id: int, error: str, delay: float) -> None:
        """An item could not be handled; it comes due again after `delay` seconds."""
        await self._set(item_id, due_at=datetime.now(UTC) + timedelta(seconds=delay), outcome=error[:2000])

    async def _set(self, item_id: int, **values: Any) -> None:
        async with self._database.writing() as connection:
            await connection.execute(
                update(tables.inbox)
                # What is done stays done, also for somebody whose lease ran out in the meantime.
                .where(tables.inbox.c.id == item_id, tables.inbox.c.due_at.is_not(None))
                .values(**values)
            )

    async def pending(self, kind: InboxKind) -> int:
        """How many items are not handled yet."""
        query = select(func.count()).where(tables.inbox.c.kind == kind, tables.inbox.c.due_at.is_not(None))
        async with self._database.reading() as connection:
            return (await connection.execute(query)).scalar_one()


async def put(connection: AsyncConnection, kind: InboxKind, key: str, body: JsonObject) -> bool:
    """Put an item into the inbox within a transaction.

    Returns:
        False if it is there already.
    """
    now = datetime.now(UTC)
    values = {"kind": kind, "key": key, "body": body, "received_at": now, "due_at": now}
    return bool(await insert_if_new(connection, tables.inbox, {**values, "attempts": 0, "outcome": ""}))
