"""Each test of the intake runs on SQLite and on PostgreSQL."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from soar.evidence import LocalVault
from soar.store import Store, migrate

_numbers = itertools.count(1)


@pytest.fixture(params=["sqlite", "postgresql"])
async def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database with its tables."""
    if request.param == "sqlite":
        url = f"sqlite+aiosqlite:///{tmp_path / 'soar.db'}"
    else:
        server: str = request.getfixturevalue("postgres_url")
        name = f"intake{next(_numbers)}"
        connection = await asyncpg.connect(server.replace("+asyncpg", ""))
        await connection.execute(f"CREATE DATABASE {name}")
        await connection.close()
        url = server.rsplit("/", 1)[0] + f"/{name}"
    await migrate(url)
    return url


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    """An open store."""
    opened = await Store.open(database_url)
    yield opened
    await opened.close()


@pytest.fixture
def vault(tmp_path: Path) -> LocalVault:
    """An empty vault."""
    return LocalVault(tmp_path / "vault")
