"""An account that refuses: the permission is named, a person is asked, and nobody takes the incident for contained."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from e2e_world import SECRET, TOKEN, opened, until, world

from soar.model.incident import Incident
from soar.model.terms import IncidentStatus, Phase
from soar.simulated.scenario_s3 import PublicBucket
from soar.sources.auth import sign

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]


def asks_in(phase: Phase) -> Callable[[Incident], bool]:
    """Whether a failed step of a phase waits for a decision."""

    def asks(incident: Incident) -> bool:
        return any(s.phase is phase for s in incident.needing_attention)

    return asks


async def test_what_the_account_refuses_is_named_and_never_taken_for_contained(tmp_path: Path) -> None:
    scenario = PublicBucket()
    async with world(tmp_path) as (parts, workers, url, company):
        attack = await asyncio.to_thread(scenario.seed, company)
        # The workers act as a user of the company who may do next to nothing, and the account asks for permissions.
        await workers.kill()
        gateway = company.users["edi-gateway"]
        await workers.start(
            AWS_ACCESS_KEY_ID=gateway.access_key_id,
            AWS_SECRET_ACCESS_KEY=gateway.secret_access_key,
            AWS_SESSION_TOKEN="",
        )
        body = json.dumps(scenario.finding(attack)).encode()
        async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
            endpoint = company.clients.endpoint_url
            (await http.post(f"{endpoint}/moto-api/reset-auth", content=b"0")).raise_for_status()
            reply = await http.post(
                f"{url}/hooks/guardduty", content=body, headers=sign(SECRET, body, datetime.now(UTC))
            )
            assert reply.status_code == 202
            incident_id = await opened(parts, reply.json()["alerts"][0])

            async def skip(phase: Phase) -> Incident:
                incident = await until(parts, incident_id, asks_in(phase))
                for step in incident.needing_attention:
                    assert step.error is not None
                    assert step.error.type == "PermissionMissing", step.error
                    assert step.error.permission.startswith("s3:"), step.error
                    assert step.error.permission in step.error.hint
                    answer = await http.post(
                        f"{url}/api/v1/incidents/{incident_id}/steps/{step.id}/decisions",
                        json={"decision": "skip", "reason": "not allowed"},
                        headers={"Authorization": f"Bearer {TOKEN}"},
                    )
                    assert answer.status_code == 200, answer.text
                return incident

            for phase in (Phase.IDENTIFICATION, Phase.CONTAINMENT, Phase.ERADICATION, Phase.RECOVERY):
                asked = await skip(phase)
                assert asked.status is IncidentStatus.WAITING
                assert asked.contained_at is None
            ended = await until(parts, incident_id, lambda i: i.status.ended)
            (await http.post(f"{endpoint}/moto-api/reset-auth", content=b"9999999")).raise_for_status()
        assert ended.status is IncidentStatus.CLOSED_INCOMPLETE
        assert ended.contained_at is None
        assert "close" in ended.closed_reason
        checks = await asyncio.to_thread(scenario.check, company.clients, attack)
        assert not all(check.ok for check in checks), "the simulated account did change"
