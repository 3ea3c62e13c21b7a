"""A worker that is killed with SIGKILL, at the worst moments: the incident goes on, and the action is applied once."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from soar.demo.world import DEMO_POLICY, _environment
from soar.model.incident import Incident
from soar.model.terms import IncidentStatus
from soar.runtime.account import simulated_account
from soar.runtime.parts import Parts, load_library, open_parts
from soar.runtime.playbook_inputs import PlaybookInputs
from soar.runtime.service import bind, run_web
from soar.runtime.settings import load_settings
from soar.runtime.temporal_server import embedded_temporal
from soar.simulated.company import Company, seed_company
from soar.simulated.scenario_s3 import PublicBucket
from soar.sources.auth import sign
from soar.store import migrate

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

SECRET = "the source's secret"
TOKEN = "the commander's token"


class Workers:
    """The worker process, which can be killed and started again."""

    def __init__(self, environment: dict[str, str], log: Path) -> None:
        self._environment, self._log = environment, log
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "workers",
                "--queues",
                "orchestrator,aws",
                env=self._environment,
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


async def test_killed_between_plan_apply_and_verify_the_change_is_made_once(tmp_path: Path) -> None:
    scenario = PublicBucket()
    async with world(tmp_path) as (parts, workers, url, company):
        attack = await asyncio.to_thread(scenario.seed, company)
        body = json.dumps(scenario.finding(attack)).encode()
        async with httpx.AsyncClient(trust_env=False, base_url=url) as http:
            # Nobody works while the alert comes in: it is acknowledged, and not lost.
            await workers.kill()
            reply = await http.post(
                "/hooks/guardduty", content=body, headers=sign(SECRET, body, datetime.now(UTC))
            )
            assert reply.status_code == 202
            await workers.start()
            incident_id = await opened(parts, reply.json()["alerts"][0])
            incident = await until(parts, incident_id, lambda i: bool(i.open_approvals))

            # Between plan and apply: the question is open, the worker dies, the person decides all the same.
            await workers.kill()
            approval = incident.open_approvals[0]
            vote = asyncio.create_task(
                http.post(
                    f"/api/v1/incidents/{incident_id}/approvals/{approval.id}/votes",
                    json={"decision": "approve", "plan_digest_prefix": approval.plan_digest[:12]},
                    headers={"Authorization": f"Bearer {TOKEN}"},
                    timeout=60,
                )
            )
            await workers.start()
            assert (await vote).status_code == 200, (await vote).text

            # Between apply and verify.
            await until(parts, incident_id, lambda i: "close" in i.effects)
            await workers.kill()
            await workers.start()
            incident = await until(parts, incident_id, lambda i: len(i.approvals) > 1 and i.open_approvals)
            approval = incident.open_approvals[0]
            reply = await http.post(
                f"/api/v1/incidents/{incident_id}/approvals/{approval.id}/votes",
                json={"decision": "approve", "plan_digest_prefix": approval.plan_digest[:12]},
                headers={"Authorization": f"Bearer {TOKEN}"},
                timeout=60,
            )
            assert reply.status_code == 200, reply.text
        ended = await until(parts, incident_id, lambda i: i.status.ended)
        assert ended.status is IncidentStatus.CLOSED
        assert ended.contained_at is not None
        checks = await asyncio.to_thread(scenario.check, company.clients, attack)
        assert all(c.ok for c in checks), checks
        timeline = await parts.store.timeline(incident_id)
        for kind in ("effect.started", "effect.applied", "effect.verified"):
            steps = [str(e.data["step_id"]) for e in timeline if e.kind == kind]
            assert sorted(set(steps)) == sorted(steps) == ["close", "remove_opening"], (kind, steps)
