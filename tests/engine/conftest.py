"""A time-skipping Temporal server for each test: a day of reminders passes in milliseconds."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from skipping_server import time_skipping_server
from temporalio.testing import WorkflowEnvironment


@pytest.fixture
async def env() -> AsyncIterator[WorkflowEnvironment]:
    async with time_skipping_server() as started:
        yield started
