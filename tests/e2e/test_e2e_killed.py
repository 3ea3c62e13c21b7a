"""A worker that is killed with SIGKILL, at the worst moments: the incident goes on, and the action is applied once."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from e2e_world import SECRET, TOKEN, opened, until, world

from soar.model.terms import IncidentStatus
from soar.simulated.scenario_s3 import PublicBucket
from soar.sources.auth import sign

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]


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
