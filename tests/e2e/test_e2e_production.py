"""The production shape without containers: the processes of docker-compose.yml, with its settings, on PostgreSQL.

What is other than in production: Temporal is the embedded server (its own database is not ours to test), addresses
and secret files are of this machine, the account is simulated, and so is the chat workspace.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from ruamel.yaml import YAML

from soar.demo.clicker import Clicker
from soar.demo.world import DEMO_POLICY
from soar.model.terms import IncidentStatus
from soar.runtime.account import simulated_account
from soar.runtime.codec import generate_key
from soar.runtime.process import free_ports
from soar.runtime.temporal_server import embedded_temporal
from soar.simulated.company import seed_company
from soar.simulated.scenario_key import LeakedKey
from soar.simulated.workspace import running_workspace
from soar.sources.auth import sign
from soar.store import Store

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]
ROOT = Path(__file__).parents[2]
SERVICES = ("web", "worker-orchestrator", "worker-aws", "worker-http", "worker-chat")


class Production:
    """Runs services of the compose file as processes.

    Args:
        folder: Takes the place of the volumes and of `/run/secrets`.
        replaced: Settings whose value names another container or volume, as they are on this machine.
    """

    def __init__(self, folder: Path, secrets: dict[str, str], replaced: dict[str, str]) -> None:
        self._compose: dict[str, Any] = YAML(typ="safe").load((ROOT / "docker-compose.yml").read_text())
        self._folder, self._replaced = folder, replaced
        for name, value in secrets.items():
            (folder / name).write_text(value)

    def command(self, service: str) -> list[str]:
        """The service's own command, with this environment's programs."""
        found = [str(part) for part in self._compose["services"][service]["command"]]
        programs = {"python": [sys.executable], "soar": [str(Path(sys.executable).parent / "soar")]}
        return [*programs[found[0]], *found[1:]]

    def environment(self, service: str) -> dict[str, str]:
        """The service's own settings, and nothing from this process but where programs are."""
        found = {"PATH": os.environ["PATH"], "HOME": str(self._folder)}
        granted = set(self._compose["services"][service].get("secrets", ()))
        for name, value in self._compose["services"][service]["environment"].items():
            text = str(value)
            if text.startswith("/run/secrets/"):
                secret = text.rpartition("/")[2]
                assert secret in granted, f"{service} is told of {secret} and not given it"
                text = str(self._folder / secret)
            elif text.startswith("${"):
                text = text.partition(":-")[2].rstrip("}")
            found[name] = text
        for name, value in self._replaced.items():
            if name in found or name in ("SOAR_HOME", "SOAR_PLAYBOOKS"):
                found[name] = value
        found["SOAR_HOME"] = str(self._folder / service)
        if "SOAR_HEALTH_FILE" in found:
            found["SOAR_HEALTH_FILE"] = str(self._folder / f"{service}.alive")
        if service == "worker-aws":
            found |= {k: v for k, v in self._replaced.items() if k.startswith(("AWS_", "SOAR_AWS_"))}
        if service == "worker-chat":
            found["SOAR_SLACK_BASE_URL"] = self._replaced["SOAR_SLACK_BASE_URL"]
        return found

    @contextlib.asynccontextmanager
    async def running(self, service: str) -> AsyncIterator[asyncio.subprocess.Process]:
        """Run a service for the length of a block; it has to end by itself when it is told to."""
        with (self._folder / f"{service}.log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *self.command(service),
                env=self.environment(service),
                cwd=self._folder,
                stdout=log,
                stderr=log,
            )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.terminate()
            async with asyncio.timeout(50):
                await process.wait()

    def log(self, service: str) -> str:
        """What a service has written."""
        return (self._folder / f"{service}.log").read_text(errors="replace")


async def _database(url: str) -> str:
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    await connection.execute("CREATE DATABASE soar")
    await connection.close()
    return url.rsplit("/", 1)[0] + "/soar"


async def test_the_processes_of_the_compose_file_do_the_main_job(postgres_url: str, tmp_path: Path) -> None:
    scenario = LeakedKey()
    database = await _database(postgres_url)
    web_port = free_ports(1)[0]
    url = f"http://127.0.0.1:{web_port}"
    (tmp_path / "policy.yaml").write_text(DEMO_POLICY)
    async with contextlib.AsyncExitStack() as stack:
        account = await stack.enter_async_context(simulated_account(log_file=tmp_path / "account.log"))
        company = await asyncio.to_thread(seed_company, account.endpoint_url, now=datetime.now(UTC))
        attack = await asyncio.to_thread(scenario.seed, company)
        temporal = await stack.enter_async_context(
            embedded_temporal(tmp_path / "temporal.db", namespace="soar")
        )
        workspace = await stack.enter_async_context(
            running_workspace(signing_secret="s" * 32, interactivity_url=f"{url}/slack/interactions")
        )
        production = Production(
            tmp_path,
            secrets={
                "soar_database_url": database,
                "codec_keys": generate_key("first"),
                "guardduty_secrets": "the source's secret",
                "slack_signing_secret": "s" * 32,
                "slack_bot_token": workspace.token,
                "slack_app_token": "",
                "http_secrets": "",
                "aws_credentials": "[default]\naws_access_key_id = simulated\naws_secret_access_key = simulated\n",
            },
            replaced={
                "SOAR_TEMPORAL_ADDRESS": temporal.address,
                "SOAR_POLICY_FILE": str(tmp_path / "policy.yaml"),
                "SOAR_VAULT_URL": (tmp_path / "vault").as_uri(),
                "SOAR_WEB_HOST": "127.0.0.1",
                "SOAR_WEB_PORT": str(web_port),
                "SOAR_PUBLIC_URL": url,
                "SOAR_SLACK_BASE_URL": workspace.api_url,
                "SOAR_AWS_ENDPOINT_URL": account.endpoint_url,
            },
        )
        async with production.running("migrate") as job:
            assert await job.wait() == 0, production.log("migrate")
        for service in SERVICES:
            await stack.enter_async_context(production.running(service))
        store = await Store.open(database)
        stack.push_async_callback(store.close)
        await store.add_token("irene", hashlib.sha256(b"token").hexdigest())
        async with httpx.AsyncClient(trust_env=False, base_url=url, timeout=30) as http:
            await _ready(http, production)
            body = json.dumps(scenario.finding(attack)).encode()
            reply = await http.post(
                "/hooks/guardduty",
                content=body,
                headers=sign("the source's secret", body, datetime.now(UTC)),
            )
            assert reply.status_code == 202, reply.text
            alert = reply.json()["alerts"][0]
            clicker = Clicker(workspace)
            async with asyncio.timeout(120):
                while True:
                    row = await store.alert(alert)
                    incident = await store.incident(row.incident_id) if row and row.incident_id else None
                    if incident is not None:
                        assert not incident.needing_attention, incident.needing_attention
                        await clicker.approve(incident)
                        if incident.status.ended and incident.reports:
                            break
                    await asyncio.sleep(0.1)
            assert incident.status is IncidentStatus.CLOSED, incident.closed_reason
            assert incident.contained_at is not None
            report = await http.get(
                f"/api/v1/incidents/{incident.id}/report", headers={"Authorization": "Bearer token"}
            )
            assert report.status_code == 200
        checks = await asyncio.to_thread(scenario.check, company.clients, attack)
        assert all(check.ok for check in checks), checks
        # The codec's keys are set: Temporal's own database holds nothing of the alert in clear.
        assert attack.facts["access_key_id"].encode() not in _bytes_of(tmp_path, "temporal.db*")
    assert "error" not in production.log("worker-aws").lower(), production.log("worker-aws")


def _bytes_of(folder: Path, pattern: str) -> bytes:
    return b"".join(file.read_bytes() for file in folder.glob(pattern))


async def _ready(http: httpx.AsyncClient, production: Production) -> None:
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(httpx.TransportError):
                if (await http.get("/readyz")).status_code == 200:
                    return
            await asyncio.sleep(0.1)
