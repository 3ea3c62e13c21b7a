"""Leaving the process keeps its output, its exit handlers and its exit code."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from soar.runtime.temporal_server import embedded_temporal

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import asyncio, atexit, sys
from temporalio.client import Client
from soar.runtime.leave import leave

async def main():
    await (await Client.connect(sys.argv[1])).count_workflows("")

atexit.register(lambda: sys.stdout.write("handler ran"))
asyncio.run(main())
sys.stdout.write("unflushed, ")
leave(3)
"""


async def test_a_short_client_keeps_its_exit_code(tmp_path: Path) -> None:
    async with embedded_temporal(log_file=tmp_path / "temporal.log") as server:
        for _ in range(5):
            client = await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                PROGRAM,
                server.address,
                stdout=asyncio.subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )
            output, _ = await client.communicate()
            assert output == b"unflushed, handler ran"
            assert client.returncode == 3
