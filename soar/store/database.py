"""Connections to SQLite and PostgreSQL, and the migrations of both."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, event, make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from soar.store.rows import StoreUnavailable

__all__ = ["Database", "migrate"]

MIGRATIONS = Path(__file__).parent / "migrations"
BUSY_MILLISECONDS = 15_000
"""How long a writer waits for another one on SQLite, which has one at a time."""
MIGRATION_LOCK = 0x50A2
"""PostgreSQL's advisory lock that lets one process migrate at a time."""


def _engine(url: str, synchronous: str) -> AsyncEngine:
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        if parsed.database and parsed.database != ":memory:":
            with _reachable():
                Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        engine = create_async_engine(parsed)

        @event.listens_for(engine.sync_engine, "connect")
        def _pragmas(connection: Any, _record: Any) -> None:
            cursor = connection.cursor()
            cursor.execute("PRAGMA journal_mode=WAL")
            cursor.execute(f"PRAGMA synchronous={synchronous}")
            cursor.execute(f"PRAGMA busy_timeout={BUSY_MILLISECONDS}")
            cursor.execute("PRAGMA foreign_keys=ON")
            cursor.close()
            # From here on we begin transactions ourselves: see `_begin`.
            connection.isolation_level = None

        @event.listens_for(engine.sync_engine, "begin")
        def _begin(connection: Connection) -> None:
            # A transaction that reads first and writes later cannot be promoted when another one wrote in between;
            # one that takes the write lock at once waits for its turn instead.
            immediate = connection.get_execution_options().get("soar_writes", False)
            connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

        return engine
    return create_async_engine(parsed, pool_pre_ping=True, pool_size=10, max_overflow=10, pool_timeout=10)


class Database:
    """One database, and the two ways to use it.

    Args:
        url: An SQLAlchemy URL, `sqlite+aiosqlite:///file` or `postgresql+asyncpg://…`.
        synchronous: SQLite's `synchronous`: FULL keeps every commit also when the machine loses power.
    """

    def __init__(self, url: str, *, synchronous: str = "FULL") -> None:
        if synchronous not in ("FULL", "NORMAL"):
            raise ValueError(f"synchronous is FULL or NORMAL, not {synchronous}")
        self._engine = _engine(url, synchronous)
        self.is_sqlite = self._engine.dialect.name == "sqlite"
        # SQLite's own queue of writers is no queue: they try again until one of them has waited for too long.
        self._turn: AbstractAsyncContextManager[object] = asyncio.Lock() if self.is_sqlite else nullcontext()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that only reads.

        Raises:
            StoreUnavailable: The database cannot be reached.
        """
        with _reachable():
            async with self._engine.connect() as connection:
                yield connection

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that is committed at the end of the block, or rolled back by an exception.

        Raises:
            StoreUnavailable: The database cannot be reached.
        """
        with _reachable():
            async with self._turn, self._engine.connect() as connection:
                await connection.execution_options(soar_writes=True)
                async with connection.begin():
                    yield connection

    async def close(self) -> None:
        """Close every connection."""
        await self._engine.dispose()


class _reachable:
    """Turns "cannot be reached" of every driver into one error."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        lost = isinstance(error, OperationalError | InterfaceError | PoolTimeout | OSError) or (
            isinstance(error, DBAPIError) and error.connection_invalidated
        )
        if lost and error is not None:
            cause = getattr(error, "orig", None) or error
            raise StoreUnavailable(f"the database does not answer: {cause}") from error


async def migrate(url: str) -> None:
    """Bring a database to the newest form of the tables; safe to run at any time, by any number of processes.

    Raises:
        StoreUnavailable: The database cannot be reached.
    """
    engine = _engine(url, "FULL")
    try:
        with _reachable():
            async with engine.connect() as connection:
                await connection.execution_options(soar_writes=True)
                async with connection.begin():
                    await connection.run_sync(_upgrade)
    finally:
        await engine.dispose()


def _upgrade(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
