"""What people tell a running incident, and what policy says at the last moment."""

from __future__ import annotations

import asyncio
import threading
import uuid
from datetime import UTC, datetime, timedelta

from engine_world import ALICE, AUTOMATIC, BOB, CAROL, Started, World, alert, compiled, incident
from temporalio.testing import WorkflowEnvironment
from test_engine_incident import vote

from soar.engine.messages import (
    AssignRequest,
    ClockRequest,
    ExtendRequest,
    PersonRequest,
    Reply,
    SeverityRequest,
    SkipRequest,
    UndoRequest,
    UpgradeRequest,
)
from soar.model.change import EffectStatus
from soar.model.course import ClockStatus
from soar.model.people import ApprovalStatus
from soar.model.terms import IncidentStatus, Severity, StepStatus
from soar.playbook.loader import load_playbook
from soar.playbook.policy import Halt

HEAD = "name: lamps\nmatch: {source: test}\ncorrelate_by: [alert.uid]\nroles: {incident-commander: decides}\n"
NAP = "identification:\n  - {id: nap, wait: {for: 1d}}\n"


async def upgrade(run: Started, text: str, *, who: object = ALICE) -> Reply:
    request = UpgradeRequest.model_validate(
        {
            "responder": who,
            "playbook_text": text,
            "playbook_digest": load_playbook(text, file="new.yaml").digest,
            "graph": compiled(text, World()),
            "differences": ["a test"],
        }
    )
    return await run.engine.tell(run.workflow_id, "upgrade", request, request_id=uuid.uuid4().hex)


async def test_severity_set_by_a_person_stays(env: WorkflowEnvironment) -> None:
    async with incident(env, HEAD + NAP) as run:
        await run.until(lambda i: "nap" in i.steps)
        low = SeverityRequest(responder=ALICE, severity=Severity.LOW, reason="a drill")
        refused = low.model_copy(update={"responder": CAROL})
        assert not (await run.engine.tell(run.workflow_id, "set_severity", refused, request_id="0")).accepted
        assert (await run.engine.tell(run.workflow_id, "set_severity", low, request_id="1")).accepted
        await run.client.get_workflow_handle(run.workflow_id).signal(
            "alerts", [alert("a-2", severity=Severity.FATAL)]
        )
        ended = await run.end()
    assert ended.alert_count == 2
    assert ended.severity is Severity.LOW
    assert ended.severity_by == "alice"
    entry = next(e for e in run.recorded.entries if e.kind == "incident.severity_set")
    assert entry.actor.id == "alice"
    assert "a drill" in entry.summary


async def test_somebody_is_put_in_charge(env: WorkflowEnvironment) -> None:
    async with incident(env, HEAD + NAP) as run:
        await run.until(lambda i: "nap" in i.steps)
        request = AssignRequest(responder=ALICE, assignee=BOB)
        assert (await run.engine.tell(run.workflow_id, "assign", request, request_id="1")).accepted
        assert (await run.engine.state(run.workflow_id)).assignee_name == "Bob"
        nobody = AssignRequest(responder=ALICE, assignee=None)
        assert (await run.engine.tell(run.workflow_id, "assign", nobody, request_id="2")).accepted
        assert (await run.end()).assignee == ""


async def test_a_deadline_is_met_by_a_person(env: WorkflowEnvironment) -> None:
    playbook = f"{HEAD}clocks: {{tell: {{due: 1h, starts: opened}}}}\n{NAP}"
    async with incident(env, playbook) as run:
        await run.until(lambda i: "tell" in i.clocks)
        request = ClockRequest(responder=ALICE, clock="tell", reason="called them")
        assert (await run.engine.tell(run.workflow_id, "meet_clock", request, request_id="1")).accepted
        unknown = ClockRequest(responder=ALICE, clock="other")
        assert (
            "no deadline"
            in (await run.engine.tell(run.workflow_id, "meet_clock", unknown, request_id="2")).message
        )
        ended = await run.end()
    assert ended.clocks["tell"].status is ClockStatus.MET


async def test_a_failed_step_is_retried_by_name(env: WorkflowEnvironment) -> None:
    world = World(lamps={})
    playbook = f"{HEAD}identification:\n  - {{id: look, do: lamp.look, with: {{lamp: hall}}}}\n"
    async with incident(env, playbook, world=world) as run:
        await run.until(lambda i: bool(i.needing_attention))
        world.lamps["hall"] = "on"
        request = SkipRequest(step_id="look", responder=ALICE)
        assert (await run.engine.tell(run.workflow_id, "retry_step", request, request_id="1")).accepted
        ended = await run.end()
    assert ended.steps["look"].status is StepStatus.SUCCEEDED


async def test_an_expiring_change_is_extended_and_kept(env: WorkflowEnvironment) -> None:
    playbook = (
        f"{HEAD}containment:\n  - {{id: dark, do: lamp.switch, expires: 4h, with: {{lamp: hall}}}}\n"
        "recovery:\n  - {id: nap, wait: {for: 3d}}\n"
    )
    async with incident(env, playbook, policy=AUTOMATIC) as run:
        await run.until(lambda i: "nap" in i.steps)
        day = ExtendRequest(step_id="dark", responder=ALICE, seconds=86400)
        assert not (
            await run.engine.tell(
                run.workflow_id, "extend", day.model_copy(update={"responder": CAROL}), request_id="0"
            )
        ).accepted
        assert (await run.engine.tell(run.workflow_id, "extend", day, request_id="1")).accepted
        await env.sleep(timedelta(hours=20))
        assert run.world.lamps["hall"] == "off"
        keep = ExtendRequest(step_id="dark", responder=ALICE, seconds=None)
        assert (await run.engine.tell(run.workflow_id, "extend", keep, request_id="2")).accepted
        ended = await run.end()
    assert run.world.lamps["hall"] == "off"
    assert [e.step_id for e in ended.residual] == ["dark"]


async def test_halted_changes_wait_for_a_person_and_reads_go_on(env: WorkflowEnvironment) -> None:
    playbook = (
        f"{HEAD}identification:\n  - {{id: look, do: lamp.look, with: {{lamp: hall}}}}\n"
        "containment:\n  - {id: dark, do: lamp.switch, with: {lamp: hall}}\n"
    )
    async with incident(env, playbook, policy=AUTOMATIC) as run:
        run.recorded.halt = Halt(by="alice", reason="it runs wild", since=datetime(2026, 1, 1, tzinfo=UTC))
        state = await run.until(lambda i: bool(i.needing_attention))
        assert state.steps["look"].status is StepStatus.SUCCEEDED
        assert state.steps["dark"].error is not None
        assert "it runs wild" in state.steps["dark"].error.message
        run.recorded.halt = None
        request = SkipRequest(step_id="dark", responder=ALICE)
        assert (await run.engine.tell(run.workflow_id, "retry_step", request, request_id="1")).accepted
        ended = await run.end()
    assert run.world.lamps["hall"] == "off"
    assert ended.status is IncidentStatus.CLOSED


async def test_what_was_approved_is_looked_at_once_more_before_it_begins(env: WorkflowEnvironment) -> None:
    playbook = f"{HEAD}containment:\n  - {{id: dark, do: lamp.switch, with: {{lamp: hall}}}}\n"
    async with incident(env, playbook) as run:
        await run.approval()
        run.recorded.refuse_reservation = lambda request: f"no place for {request.action} left"
        assert (await vote(run, ALICE)).accepted
        state = await run.until(lambda i: bool(i.needing_attention))
        assert "no place for lamp.switch left" in state.steps["dark"].error.message  # type: ignore[union-attr]
        assert run.world.lamps["hall"] == "on"
        run.recorded.refuse_reservation = lambda _request: ""
        request = SkipRequest(step_id="dark", responder=ALICE)
        assert (await run.engine.tell(run.workflow_id, "retry_step", request, request_id="1")).accepted
        assert (await vote(run, ALICE)).accepted, "a retry asks anew"
        await run.end()
    assert run.world.lamps["hall"] == "off"


OLD = f"""{HEAD}identification:
  - {{id: look, do: lamp.look, with: {{lamp: hall}}}}
containment:
  - {{id: dark, do: lamp.switch, with: {{lamp: hall}}}}
  - {{id: later, do: lamp.look, with: {{lamp: yard}}}}
"""


async def test_an_open_incident_moves_to_a_new_version(env: WorkflowEnvironment) -> None:
    new = OLD.replace("{lamp: yard}", "{lamp: loft}") + "  - {id: more, do: lamp.look, with: {lamp: yard}}\n"
    async with incident(env, OLD) as run:
        first = await run.approval()
        assert not (await upgrade(run, new, who=CAROL)).accepted
        reply = await upgrade(run, new)
        assert reply.accepted
        assert "a test" in reply.message
        state = await run.until(lambda i: i.continued == 1 and bool(i.open_approvals))
        assert state.approvals[first].status is ApprovalStatus.SUPERSEDED
        assert state.playbook_digest == load_playbook(new, file="new.yaml").digest
        assert (await vote(run, ALICE)).accepted
        ended = await run.end()
    assert [c for c in run.world.calls if c.endswith("look")] == ["hall:look", "loft:look", "yard:look"]
    assert ended.status is IncidentStatus.CLOSED
    assert run.kinds.count("playbook.upgraded") == 1


async def test_what_is_done_must_be_the_same_in_a_new_version(env: WorkflowEnvironment) -> None:
    first = "{id: first, do: lamp.look, with: {lamp: hall}}"
    look = "{id: look, do: lamp.look, with: {lamp: hall}}"
    async with incident(env, OLD) as run:
        await run.approval()
        for new, word in (
            (OLD.replace(look, "{id: look, do: lamp.look, with: {lamp: loft}}"), "params"),
            (OLD.replace("id: look", "id: looking"), "no longer there"),
            (OLD.replace(look, f"{first}\n  - {look}"), "first"),
            (OLD.replace("{id: dark, do", "{id: dark, on_error: stop, do"), "on_error"),
        ):
            reply = await upgrade(run, new)
            assert not reply.accepted
            assert word in reply.message
        assert (await vote(run, ALICE)).accepted
        ended = await run.end()
    assert ended.continued == 0


async def test_pausing_twice_and_cancelling_while_paused(env: WorkflowEnvironment) -> None:
    async with incident(env, OLD) as run:
        await run.approval()
        request = PersonRequest(responder=ALICE)
        for n in range(2):
            assert (await run.engine.tell(run.workflow_id, "pause", request, request_id=f"p{n}")).accepted
        assert (await vote(run, ALICE)).accepted
        await asyncio.sleep(0.2)
        assert (await run.engine.tell(run.workflow_id, "cancel", request, request_id="c")).accepted
        ended = await run.end()
    assert ended.status is IncidentStatus.CANCELLED
    assert run.world.lamps["hall"] == "on"
    assert not ended.effects


async def test_an_undo_waits_for_what_is_being_changed(env: WorkflowEnvironment) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(call: str) -> None:
        if call == "hall:apply":
            begun.set()
            assert go_on.wait(20)

    playbook = f"{HEAD}containment:\n  - {{id: dark, do: lamp.switch, with: {{lamp: hall}}}}\n"
    world = World(lamps={"hall": "on"}, faults=slow)
    async with incident(env, playbook, policy=AUTOMATIC, world=world) as run:
        await asyncio.to_thread(begun.wait, 20)
        request = UndoRequest(responder=ALICE, reason="a mistake")
        assert (await run.engine.undo(run.workflow_id, request, request_id="u")).accepted
        await asyncio.sleep(0.3)
        assert "hall:undo" not in world.calls, "half a change is not put back"
        go_on.set()
        ended = await run.end()
    assert world.lamps["hall"] == "on"
    assert ended.effects["dark"].status is EffectStatus.UNDONE
