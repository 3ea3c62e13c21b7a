from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from web_world import World, web_world


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with web_world(tmp_path) as running:
        yield running
