from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from chat_world import SECRET

from soar.chat.client import ChatClient
from soar.simulated.workspace import SimulatedWorkspace, running_workspace


@pytest.fixture
async def workspace() -> AsyncIterator[SimulatedWorkspace]:
    async with running_workspace(signing_secret=SECRET, interactivity_url="http://127.0.0.1:9/") as running:
        yield running


@pytest.fixture
async def client(workspace: SimulatedWorkspace) -> AsyncIterator[ChatClient]:
    async with ChatClient(workspace.token, base_url=workspace.api_url, timeout=5) as chat:
        yield chat
