"""The main job over the real Temporal server, the simulated account and the simulated workspace."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from temporalio.client import Client

from soar import __version__
from soar.demo.run import Outcome, run_scenarios
from soar.demo.world import DemoWorld, demo_world
from soar.model.change import EffectStatus
from soar.model.people import ApprovalStatus
from soar.model.terms import IncidentStatus, Phase
from soar.simulated.scenarios import DEMO
from soar.sources.auth import sign

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """One run of every scenario, and what was asked of the running system besides."""
    home = tmp_path_factory.mktemp("demo")
    return asyncio.run(_run(home))


async def _run(home: Path) -> dict[str, object]:
    found: dict[str, object] = {}
    broken: list[BaseException] = []
    async with demo_world(home, port=None, progress=lambda _what: None, fatal=broken.append) as world:
        outcomes = await run_scenarios(
            world,
            DEMO,
            yes=True,
            out=home / "out",
            progress=lambda _what: None,
            watch=lambda _outcomes: None,
        )
        found["outcomes"] = {o.scenario.name: o for o in outcomes}
        found["again"] = await _deliver_again(world, outcomes)
        found["refused"] = [status async for status in _bad_requests(world)]
        found["calls"] = list(world.workspace.calls) if world.workspace else []
        temporal = world.stack.parts.temporal
        found["listed"] = await _listed(temporal, len(outcomes))
        histories = {
            o.scenario.name: (
                await temporal.get_workflow_handle(o.incident.workflow_id).fetch_history()
            ).to_json()
            for o in outcomes
            if o.incident
        }
    assert not broken
    if os.environ.get("SOAR_RECORD_HISTORIES"):
        folder = Path(__file__).parents[1] / "replay" / "histories" / __version__
        folder.mkdir(parents=True, exist_ok=True)
        for name, history in histories.items():
            (folder / f"{name}.json").write_text(history, encoding="utf-8")
    return found


async def _listed(temporal: Client, wanted: int) -> int:
    """How many incidents Temporal lists by their search attributes; its visibility is eventually consistent."""
    query = "SoarStatus = 'closed' AND SoarPhase = 'lessons_learned' AND SoarAccount = '123456789012'"
    found = 0
    async with asyncio.timeout(20):
        while found < wanted:
            found = len([w async for w in temporal.list_workflows(query)])
            await asyncio.sleep(0.1)
    return found


async def _deliver_again(world: DemoWorld, outcomes: list[Outcome]) -> list[int]:
    """The very same findings once more."""
    fresh = []
    async with httpx.AsyncClient(trust_env=False) as http:
        for outcome in outcomes:
            body = json.dumps(outcome.scenario.finding(outcome.attack)).encode()
            headers = sign(world.source_secret, body, datetime.now(UTC))
            reply = await http.post(f"{world.stack.url}/hooks/guardduty", content=body, headers=headers)
            fresh.append(reply.json()["fresh"])
    return fresh


async def _bad_requests(world: DemoWorld) -> AsyncIterator[int]:
    async with httpx.AsyncClient(trust_env=False, base_url=world.stack.url) as http:
        yield (await http.post("/hooks/guardduty", content=b"{}")).status_code
        yield (await http.post("/hooks/guardduty", content=b"{}", headers={"X-Api-Key": "wrong"})).status_code
        yield (
            await http.post(
                "/hooks/guardduty",
                content=b'{"detail-type": "x"}',
                headers={"X-Api-Key": world.source_secret},
            )
        ).status_code
        yield (await http.post("/slack/interactions", content=b"payload=%7B%7D")).status_code
        yield (await http.get("/api/v1/incidents")).status_code
        yield (await http.get("/readyz")).status_code


@pytest.mark.parametrize("name", sorted(DEMO))
def test_a_finding_becomes_a_contained_reported_incident(results: dict[str, object], name: str) -> None:
    outcome: Outcome = results["outcomes"][name]  # type: ignore[index]
    incident = outcome.incident
    assert incident is not None
    assert not outcome.failures
    assert outcome.checks
    assert all(check.ok for check in outcome.checks), outcome.checks
    assert incident.status is IncidentStatus.CLOSED
    assert incident.contained_at is not None
    assert set(incident.phases) == set(Phase)
    changes = [e for e in incident.effects.values() if e.status is not EffectStatus.UNDONE]
    assert changes
    assert all(e.status is EffectStatus.VERIFIED for e in changes)
    assert incident.approvals
    assert all(a.status is ApprovalStatus.APPROVED for a in incident.approvals.values())
    assert all(len(a.votes) == a.needed for a in incident.approvals.values())
    assert incident.evidence
    report = json.loads(outcome.reports["json"].read_text())
    assert incident.id in json.dumps(report)
    assert "</html>" in outcome.reports["html"].read_text()


def test_what_cannot_be_put_back_took_two_people(results: dict[str, object]) -> None:
    outcome: Outcome = results["outcomes"]["leaked-key"]  # type: ignore[index]
    assert outcome.incident is not None
    deletion = next(a for a in outcome.incident.approvals.values() if a.step_id == "delete_leaked_key")
    assert {v.responder for v in deletion.votes} == {"irene", "priya"}


def test_the_same_alert_twice_changes_nothing(results: dict[str, object]) -> None:
    assert results["again"] == [0] * len(DEMO)


def test_bad_requests_get_their_answers(results: dict[str, object]) -> None:
    assert results["refused"] == [401, 401, 422, 401, 401, 200]


def test_incidents_are_listed_by_search_attributes(results: dict[str, object]) -> None:
    assert results["listed"] == len(DEMO)


def test_each_card_was_posted_once(results: dict[str, object]) -> None:
    calls: list[str] = results["calls"]  # type: ignore[assignment]
    assert calls.count("conversations.create") == len(DEMO)
