"""Each test of the store runs on SQLite and on PostgreSQL."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from soar.store import Store, migrate

_numbers = itertools.count(1)


@pytest.fixture(params=["sqlite", "postgresql"])
async def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database."""
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path / 'soar.db'}"
    server: str = request.getfixturevalue("postgres_url")
    name = f"test{next(_numbers)}"
    connection = await asyncpg.connect(server.replace("+asyncpg", ""))
    await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()
    return server.rsplit("/", 1)[0] + f"/{name}"


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    """A store with its tables."""
    await migrate(url)
    opened = await Store.open(url)
    yield opened
    await opened.close()
