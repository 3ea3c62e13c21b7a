"""Temporal, the simulated account and the web app of a test; the workers are a process of their own."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from soar.demo.world import DEMO_POLICY, _environment
from soar.model.incident import Incident
from soar.runtime.account import simulated_account
from soar.runtime.parts import Parts, load_library, open_parts
from soar.runtime.playbook_inputs import PlaybookInputs
from soar.runtime.service import bind, run_web
from soar.runtime.settings import load_settings
from soar.runtime.temporal_server import embedded_temporal
from soar.simulated.company import Company, seed_company
from soar.store import migrate

SECRET = "the source's secret"
TOKEN = "the commander's token"


class Workers:
    """The worker process, which can be killed and started again."""

    def __init__(self, environment: dict[str, str], log: Path) -> None:
        self._environment, self._log = environment, log
        self._process: asyncio.subprocess.Process | None = None

    async def start(self, **more: str) -> None:
        """Start them, with more variables if any are given."""
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "workers",
                "--queues",
                "orchestrator,aws",
                env={**self._environment, **more},
                stdout=log,
                stderr=log,
            )

    async def kill(self) -> None:
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGKILL)
        await self._process.wait()


@contextlib.asynccontextmanager
async def world(tmp_path: Path) -> AsyncIterator[tuple[Parts, Workers, str, Company]]:
    """Temporal, the account and the web app stay; the workers are a process of their own."""
    policy = tmp_path / "policy.yaml"
    policy.write_text(DEMO_POLICY)
    async with contextlib.AsyncExitStack() as stack:
        account = await stack.enter_async_context(simulated_account(log_file=tmp_path / "account.log"))
        stack.enter_context(_environment(account.environment))
        company = await asyncio.to_thread(seed_company, account.endpoint_url, now=datetime.now(UTC))
        settings = load_settings(
            home=tmp_path / "home",
            web_port=0,
            policy_file=policy,
            aws_endpoint_url=account.endpoint_url,
            source_secrets={"guardduty": (SecretStr(SECRET),)},
        )
        settings.home.mkdir()
        await migrate(settings.database)
        server = await stack.enter_async_context(embedded_temporal(tmp_path / "temporal.db"))
        environment = {
            **os.environ,
            **account.environment,
            "SOAR_HOME": str(settings.home),
            "SOAR_POLICY_FILE": str(policy),
            "SOAR_AWS_ENDPOINT_URL": account.endpoint_url,
            "SOAR_TEMPORAL_ADDRESS": server.address,
        }
        workers = Workers(environment, tmp_path / "workers.log")
        await workers.start()
        stack.push_async_callback(workers.kill)
        parts = await stack.enter_async_context(open_parts(settings, temporal_address=server.address))
        listener = stack.enter_context(contextlib.closing(bind(settings)))
        library = load_library(settings)
        url = await stack.enter_async_context(run_web(parts, listener, library, PlaybookInputs()))
        await parts.store.add_token("irene", hashlib.sha256(TOKEN.encode()).hexdigest())
        yield parts, workers, url, company


async def until(parts: Parts, incident_id: str, what: Any, *, seconds: float = 90) -> Incident:
    """Poll the store until something holds of an incident."""
    async with asyncio.timeout(seconds):
        while True:
            incident = await parts.store.incident(incident_id)
            if incident is not None and what(incident):
                return incident
            await asyncio.sleep(0.05)


async def opened(parts: Parts, alert: str) -> str:
    async with asyncio.timeout(60):
        while True:
            row = await parts.store.alert(alert)
            if row is not None and row.incident_id:
                return row.incident_id
            await asyncio.sleep(0.05)
