"""Who is offered a decision, what an undo of an ended incident is told, and looking things up by name."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest
from web_world import IRENE, TOKEN, World, busy, chain, opened, plan, web_world

from soar.engine.client import IncidentEnded
from soar.engine.messages import IncidentStart, Reply, UndoRequest
from soar.model.base import digest_of
from soar.model.change import ErrorInfo, Result, Verification
from soar.model.events import (
    AnyEvent,
    EffectApplied,
    EffectStarted,
    EffectVerified,
    IncidentClosed,
    PhaseStarted,
    PlanMade,
    StepNeedsAttention,
    StepStarted,
    StepSucceeded,
)
from soar.model.people import Responder
from soar.model.terms import IncidentStatus, Phase, Risk
from soar.model.timeline import TimelineEntry
from soar.playbook.graph import StepGraph
from soar.web.identity import token_digest

BEARER = {"authorization": f"Bearer {TOKEN}"}
PRIYA = Responder(id="priya", name="Priya", roles=("responder",))
WHY = "her own key is in the alerts"


@dataclass
class EndedEngine:
    """Only what an undo of an ended incident asks the engine for; `start_of` is what the history gives."""

    start: IncidentStart | None
    asked: list[tuple[str, str]] = field(default_factory=list)
    undone: list[tuple[str, UndoRequest, IncidentStart | None]] = field(default_factory=list)

    async def start_of(self, workflow: str, run_id: str) -> IncidentStart:
        self.asked.append((workflow, run_id))
        if self.start is None:
            raise IncidentEnded(f"{workflow} has no history any more")
        return self.start

    async def undo(
        self, workflow: str, request: UndoRequest, *, request_id: str, closed: IncidentStart | None = None
    ) -> Reply:
        assert request_id
        self.undone.append((workflow, request, closed))
        return Reply(accepted=True, message="the incident is opened again")


def first_start() -> IncidentStart:
    return IncidentStart(
        incident_id="INC-1",
        title="t",
        playbook="test",
        playbook_text="name: test",
        playbook_digest=digest_of("p"),
        graph=StepGraph(entries={}, nodes={}),
    )


def ended() -> list[TimelineEntry]:
    """An incident that has closed, with one change in place."""
    the_plan = plan("x")
    digest = the_plan.content_digest
    events: list[AnyEvent] = [
        PhaseStarted(phase=Phase.CONTAINMENT),
        StepStarted(step_id="done", name="x", action="aws.iam.deactivate_access_key", risk=Risk.REVERSIBLE),
        PlanMade(step_id="done", plan=the_plan, plan_digest=digest),
        EffectStarted(step_id="done", plan_digest=digest),
        EffectApplied(step_id="done", result=Result(summary="x")),
        EffectVerified(step_id="done", verification=Verification(verified=True, seen="x", method="x")),
        StepSucceeded(step_id="done", changed=True, result=Result(summary="x")),
        IncidentClosed(status=IncidentStatus.CLOSED),
    ]
    return chain("INC-1", opened("INC-1", "t"), *((event, "e") for event in events))


@pytest.fixture
async def with_priya(world: World) -> World:
    """Priya, who has the role, is logged in."""
    world.roster.append(PRIYA)
    await world.store.add_token("priya", token_digest("priya-token"), "test")
    await world.log_in("priya-token")
    return world


async def test_who_is_excluded_from_an_approval_is_told_why_and_has_no_buttons(with_priya: World) -> None:
    await with_priya.store.project(busy(text="zebra"))
    page = (await with_priya.http.get("/incidents/INC-1")).text
    assert "Not your decision:" in page
    assert "you may not decide this one: zebra" in page
    assert "/approvals/apr_1/votes" not in page
    assert "/steps/bad/decisions" in page  # nothing excludes her there


async def test_who_is_excluded_from_a_failed_step_is_told_why_and_has_no_buttons(with_priya: World) -> None:
    failed = StepNeedsAttention(
        step_id="bad",
        error=ErrorInfo(type="Unavailable", message="no answer"),
        roles=("responder",),
        excluded={"priya": WHY},
    )
    begun = StepStarted(step_id="bad", name="bad", action="a.b", risk=Risk.REVERSIBLE)
    events: list[AnyEvent] = [PhaseStarted(phase=Phase.CONTAINMENT), begun, failed]
    await with_priya.store.project(chain("INC-1", opened("INC-1", "t"), *((e, "e") for e in events)))
    page = (await with_priya.http.get("/incidents/INC-1")).text
    assert f"you may not decide this one: {WHY}" in page
    assert "/steps/bad/decisions" not in page
    await with_priya.log_in()  # others see who may not, and decide
    page = (await with_priya.http.get("/incidents/INC-1")).text
    assert f"not <strong>priya</strong>: {WHY}" in page
    assert "/steps/bad/decisions" in page


@pytest.mark.parametrize("by", ["api", "console"])
async def test_an_ended_incident_is_opened_again_with_its_state(tmp_path: Path, by: str) -> None:
    engine = EndedEngine(first_start())
    commander = IRENE.model_copy(update={"roles": ("incident-commander",)})
    async with web_world(tmp_path, engine=engine) as world:
        world.roster[0] = commander
        await world.store.project(ended())
        if by == "api":
            path = "/api/v1/incidents/INC-1/undo"
            reply = await world.http.post(path, json={"step_id": "done", "reason": "r"}, headers=BEARER)
            assert (reply.status_code, reply.json()["accepted"]) == (200, True)
        else:
            csrf = await world.log_in()
            assert "it is opened again" in (await world.http.get("/incidents/INC-1/undo?step=done")).text
            sent = {"csrf": csrf, "step_id": "done", "reason": "r"}
            assert (await world.http.post("/incidents/INC-1/undo", data=sent)).status_code == 303
        incident = await world.store.incident("INC-1")
    assert incident is not None
    assert engine.asked == [(incident.workflow_id, incident.run_id)]
    [(workflow, request, closed)] = engine.undone
    assert (workflow, request.step_id, request.responder) == (incident.workflow_id, "done", commander)
    assert closed == first_start().model_copy(update={"resume": incident})


async def test_who_may_not_undo_an_ended_incident_is_told_so_at_once(tmp_path: Path) -> None:
    engine = EndedEngine(first_start())
    async with web_world(tmp_path, engine=engine) as world:
        await world.store.project(ended())
        path = "/api/v1/incidents/INC-1/undo"
        reply = await world.http.post(path, json={"step_id": "done"}, headers=BEARER)
    assert (reply.status_code, reply.json()["error"]["code"]) == (403, "refused")
    assert "incident-commander" in reply.json()["error"]["message"]
    assert len(engine.undone) == 1, "the incident itself has the refusal on record"


async def test_an_ended_incident_without_a_history_cannot_be_undone(tmp_path: Path) -> None:
    engine = EndedEngine(None)
    async with web_world(tmp_path, engine=engine) as world:
        await world.store.project(ended())
        reply = await world.http.post("/api/v1/incidents/INC-1/undo", json={}, headers=BEARER)
        assert (reply.status_code, reply.json()["error"]["code"]) == (409, "incident_ended")
        csrf = await world.log_in()
        await world.http.post("/incidents/INC-1/undo", data={"csrf": csrf})
        assert "nothing was done" in (await world.http.get("/incidents/INC-1")).text
    assert engine.undone == []


async def test_playbooks_and_actions_are_found_by_name(world: World) -> None:
    [first, *_] = world.services.library
    reply = await world.http.get(f"/api/v1/playbooks/{first.playbook.name}", headers=BEARER)
    assert (reply.json()["text"], reply.json()["digest"]) == (first.text, first.digest)
    name = "aws.iam.deactivate_access_key"
    reply = await world.http.get(f"/api/v1/actions/{name}", headers=BEARER)
    assert reply.json() == world.services.catalogue[name].model_dump(mode="json")
    for path, hint in (
        (f"/playbooks/{first.playbook.name}x", f"did you mean {first.playbook.name}?"),
        (f"/actions/{name}s", f"did you mean {name}?"),
        ("/actions/%00", "see the list of actions"),
    ):
        reply = await world.http.get(f"/api/v1{path}", headers=BEARER)
        assert (reply.status_code, reply.json()["error"]["hint"]) == (404, hint)
        assert (await world.http.get(f"/api/v1{path}")).status_code == 401
