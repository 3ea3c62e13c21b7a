"""The incident's workflow, on the time-skipping server, with real actions on a small world."""

from __future__ import annotations

import pytest
from engine_world import ALICE, AUTOMATIC, BOB, CAROL, MIXED, Started, World, alert, incident
from temporalio.testing import WorkflowEnvironment

from soar.actions.errors import PermissionMissing, Unavailable
from soar.engine.client import IncidentEnded
from soar.engine.messages import NoteRequest, Reply, StepDecisionRequest, UndoRequest, VoteRequest
from soar.model.change import EffectStatus
from soar.model.events import AlertJoined
from soar.model.fold import fold
from soar.model.people import ApprovalStatus, Decision, Responder, VoteChannel
from soar.model.terms import IncidentStatus, Severity, StepStatus

HEAD = """
name: lamps
description: a lamp burns
match: {source: test}
correlate_by: [alert.account]
"""

ONE_SWITCH = (
    HEAD
    + """
identification:
  - id: look
    do: lamp.look
    with: {lamp: hall}
containment:
  - id: dark
    do: lamp.switch
    with: {lamp: hall, to: "{{ 'off' if steps.look.result.colour == 'on' else 'on' }}"}
lessons_learned:
  - id: report
    do: report.write
"""
)

ONE_SMASH = (
    HEAD
    + """
eradication:
  - id: smash
    do: lamp.smash
    with: {lamp: hall}
"""
)


async def vote(
    run: Started,
    who: Responder,
    decision: Decision = Decision.APPROVE,
    *,
    approval: str = "",
    request: str = "",
) -> Reply:
    approval = approval or await run.approval()
    state = await run.engine.state(run.workflow_id)
    digest = state.approvals[approval].plan_digest
    return await run.engine.vote(
        run.workflow_id,
        VoteRequest(
            approval_id=approval,
            plan_digest_prefix=digest[:12],
            responder=who,
            decision=decision,
            channel=VoteChannel.API,
            reason="because",
        ),
        request_id=request or f"{approval}-{who.id}-{decision}",
    )


async def decide(run: Started, who: Responder, step: str, decision: str) -> Reply:
    return await run.engine.decide_step(
        run.workflow_id,
        StepDecisionRequest.model_validate(
            {"step_id": step, "responder": who, "decision": decision, "channel": "api"}
        ),
        request_id=f"{step}-{who.id}-{decision}-{len(run.world.calls)}",
    )


async def test_an_approved_change_is_applied_once_and_verified(env: WorkflowEnvironment) -> None:
    async with incident(env, ONE_SWITCH) as run:
        assert await run.approval()
        assert run.world.lamps["hall"] == "on", "nothing changes before people decide"
        assert (await vote(run, ALICE)).accepted
        ended = await run.end()
    assert run.world.lamps["hall"] == "off"
    assert run.world.calls.count("hall:apply") == 1
    assert ended.status is IncidentStatus.CLOSED
    assert ended.contained_at is not None
    assert ended.effects["dark"].status is EffectStatus.VERIFIED
    assert ended.steps["dark"].status is StepStatus.SUCCEEDED
    assert [e.name for e in ended.evidence] == ["lamp.txt"]
    assert run.recorded.reports[-1].head_seq == next(
        e.seq for e in run.recorded.entries if e.kind == "incident.closed"
    )
    assert (
        run.kinds.index("effect.started")
        < run.kinds.index("effect.applied")
        < run.kinds.index("effect.verified")
    )


async def test_a_vote_without_the_role_is_refused_and_recorded(env: WorkflowEnvironment) -> None:
    async with incident(env, ONE_SWITCH) as run:
        reply = await vote(run, CAROL)
        assert not reply.accepted
        assert "incident-commander" in reply.message
        state = await run.engine.state(run.workflow_id)
        assert state.open_approvals[0].refusals == 1
        assert run.world.lamps["hall"] == "on"
        await vote(run, ALICE, Decision.DENY)
        await run.end()
    refused = [e for e in run.recorded.entries if e.kind == "approval.refused"]
    assert [e.actor.id for e in refused] == ["carol"]


async def test_an_implicated_person_may_not_vote(env: WorkflowEnvironment) -> None:
    mallory = Responder(id="mallory", name="Mallory", roles=("incident-commander",))
    async with incident(env, ONE_SWITCH, actor={"name": "mallory"}) as run:
        assert not (await vote(run, mallory)).accepted
        assert run.world.lamps["hall"] == "on"
        assert (await vote(run, ALICE)).accepted
        await run.end()


async def test_two_approvers_are_two_people(env: WorkflowEnvironment) -> None:
    async with incident(env, ONE_SMASH) as run:
        approval = await run.approval()
        assert (await vote(run, ALICE, approval=approval)).accepted
        again = await vote(run, ALICE, approval=approval, request="another click")
        assert "already counted" in again.message
        assert (await run.engine.state(run.workflow_id)).approvals[approval].status is ApprovalStatus.PENDING
        assert (await vote(run, BOB, approval=approval)).accepted
        await run.end()
    assert run.world.calls.count("hall:apply") == 1


async def test_a_vote_on_another_plan_than_the_open_one_is_refused(env: WorkflowEnvironment) -> None:
    async with incident(env, ONE_SWITCH) as run:
        approval = await run.approval()
        reply = await run.engine.vote(
            run.workflow_id,
            VoteRequest(
                approval_id=approval,
                plan_digest_prefix="0" * 12,
                responder=ALICE,
                decision=Decision.APPROVE,
                channel=VoteChannel.API,
            ),
            request_id="old card",
        )
        assert not reply.accepted
        assert "another plan" in reply.message
        await vote(run, ALICE, Decision.DENY)
        await run.end()


async def test_a_denied_containment_never_counts_as_contained(env: WorkflowEnvironment) -> None:
    async with incident(env, ONE_SWITCH) as run:
        await vote(run, BOB, Decision.DENY)
        ended = await run.end()
    assert run.world.lamps["hall"] == "on"
    assert ended.contained_at is None
    assert ended.status is IncidentStatus.CLOSED_INCOMPLETE
    assert "dark (denied)" in ended.closed_reason


async def test_somebody_who_approved_may_still_stop_it(env: WorkflowEnvironment) -> None:
    async with incident(env, ONE_SMASH) as run:
        approval = await run.approval()
        await vote(run, ALICE, approval=approval)
        assert (await vote(run, ALICE, Decision.DENY, approval=approval)).message == "denied"
        await run.end()
    assert "hall:apply" not in run.world.calls


async def test_silence_reminds_expires_and_asks_what_now(env: WorkflowEnvironment) -> None:
    async with incident(env, ONE_SWITCH) as run:
        approval = await run.approval()
        await env.sleep(5 * 3600)
        state = await run.until(lambda i: bool(i.needing_attention))
        assert state.approvals[approval].status is ApprovalStatus.EXPIRED
        assert state.approvals[approval].reminders >= 15
        assert run.world.lamps["hall"] == "on"
        late = await vote(run, ALICE, approval=approval)
        assert not late.accepted
        assert (await decide(run, ALICE, "dark", "retry")).accepted
        await vote(run, ALICE)
        ended = await run.end()
    assert ended.status is IncidentStatus.CLOSED
    assert run.world.lamps["hall"] == "off"


async def test_drift_after_the_approval_voids_the_votes(env: WorkflowEnvironment) -> None:
    async with incident(env, ONE_SWITCH) as run:
        first = await run.approval()
        run.world.lamps["hall"] = "dimmed"
        await vote(run, ALICE, approval=first)
        state = await run.until(lambda i: any(a.supersedes for a in i.open_approvals))
        second = state.open_approvals[0]
        assert state.approvals[first].status is ApprovalStatus.SUPERSEDED
        assert second.supersedes == first
        assert any("dimmed" in line for line in second.drift)
        assert run.world.lamps["hall"] == "dimmed"
        assert "hall:apply" not in run.world.calls
        await vote(run, ALICE, approval=second.id)
        ended = await run.end()
    assert run.world.lamps["hall"] == "off"
    assert ended.effects["dark"].plan.state == {"was": "dimmed"}


async def test_already_as_wanted_asks_nobody(env: WorkflowEnvironment) -> None:
    world = World(lamps={"hall": "off"})
    playbook = HEAD + "containment:\n  - {id: dark, do: lamp.switch, with: {lamp: hall}}\n"
    async with incident(env, playbook, world=world) as run:
        ended = await run.end()
    assert not ended.approvals
    assert ended.steps["dark"].status is StepStatus.UNCHANGED
    assert ended.contained_at is not None


async def test_without_a_policy_nobody_can_approve(env: WorkflowEnvironment) -> None:
    async with incident(env, ONE_SWITCH, policy=None) as run:
        reply = await vote(run, ALICE)
        assert not reply.accepted
        assert "nobody may decide" in reply.message
        assert run.world.lamps["hall"] == "on"


async def test_a_missing_permission_is_named_and_a_person_decides(env: WorkflowEnvironment) -> None:
    world = World(lamps={"hall": "on"})
    refusing = True

    def fault(call: str) -> None:
        if refusing and call == "hall:apply":
            raise PermissionMissing("not authorized", permission="lamp:Switch")

    world.faults = fault
    async with incident(env, ONE_SWITCH, world=world) as run:
        await vote(run, ALICE)
        state = await run.until(lambda i: bool(i.needing_attention))
        error = state.needing_attention[0].error
        assert error is not None
        assert (error.type, error.permission) == ("PermissionMissing", "lamp:Switch")
        assert state.contained_at is None
        assert not (await decide(run, CAROL, "dark", "skip")).accepted
        refusing = False
        assert (await decide(run, BOB, "dark", "retry")).accepted
        await vote(run, ALICE)
        ended = await run.end()
    assert ended.contained_at is not None
    assert ended.status is IncidentStatus.CLOSED


async def test_a_skipped_containment_leaves_the_incident_uncontained(env: WorkflowEnvironment) -> None:
    world = World(lamps={"hall": "on"})
    world.faults = lambda call: (
        (_ for _ in ()).throw(PermissionMissing("no", permission="x:Y")) if call == "hall:apply" else None
    )
    async with incident(env, ONE_SWITCH, world=world) as run:
        await vote(run, ALICE)
        await run.until(lambda i: bool(i.needing_attention))
        await decide(run, BOB, "dark", "skip")
        ended = await run.end()
    assert ended.contained_at is None
    assert ended.status is IncidentStatus.CLOSED_INCOMPLETE


async def test_stop_ends_the_incident_as_failed_with_a_report(env: WorkflowEnvironment) -> None:
    world = World(lamps={"hall": "on"})
    world.faults = lambda call: (
        (_ for _ in ()).throw(PermissionMissing("no", permission="x:Y")) if call == "hall:apply" else None
    )
    async with incident(env, ONE_SWITCH, world=world) as run:
        await vote(run, ALICE)
        await run.until(lambda i: bool(i.needing_attention))
        assert (await decide(run, BOB, "dark", "stop")).accepted
        ended = await run.end()
    assert ended.status is IncidentStatus.FAILED
    assert ended.steps["dark"].status is StepStatus.FAILED
    assert run.recorded.reports


async def test_a_passing_outage_is_retried_without_asking_anybody(env: WorkflowEnvironment) -> None:
    world = World(lamps={"hall": "on"})

    def fault(call: str) -> None:
        if call == "hall:apply" and world.calls.count(call) <= 2:
            raise Unavailable("the lamp does not answer")

    world.faults = fault
    playbook = (
        HEAD
        + "containment:\n  - {id: dark, do: lamp.switch, with: {lamp: hall}, retry: {attempts: 3, backoff: 1s}}\n"
    )
    async with incident(env, playbook, world=world, policy=AUTOMATIC) as run:
        ended = await run.end()
    assert ended.status is IncidentStatus.CLOSED
    assert "step.needs_attention" not in run.kinds


async def test_what_is_not_seen_is_not_contained(env: WorkflowEnvironment) -> None:
    world = World(lamps={"hall": "on"})

    def fault(call: str) -> None:
        if call == "hall:verify":
            world.lamps["hall"] = "on"  # somebody switches it on again, at once

    world.faults = fault
    async with incident(env, ONE_SWITCH, world=world, policy=AUTOMATIC) as run:
        state = await run.until(lambda i: bool(i.needing_attention))
        assert state.contained_at is None
        assert state.effects["dark"].status is EffectStatus.UNVERIFIED
        world.faults = lambda _call: None
        await decide(run, ALICE, "dark", "retry")
        ended = await run.end()
    assert ended.contained_at is not None
    assert len(ended.effects["dark"].earlier) == 1, "both changes are on record"


async def test_undo_puts_back_the_recorded_state_after_asking(env: WorkflowEnvironment) -> None:
    playbook = (
        ONE_SWITCH
        + "  - {id: look_again, do: lamp.look, with: {lamp: yard}}\n"
        + "  - {id: pause, do: lamp.smash, with: {lamp: yard}}\n"
    )
    async with incident(env, playbook) as run:
        await vote(run, ALICE)
        await run.until(lambda i: "pause" in i.steps and bool(i.open_approvals))
        reply = await run.engine.undo(
            run.workflow_id,
            UndoRequest(step_id="dark", responder=BOB, reason="it was the caretaker"),
            request_id="u1",
        )
        assert reply.accepted
        state = await run.until(lambda i: any(a.step_id == "undo-1" for a in i.open_approvals))
        undo = next(a for a in state.open_approvals if a.step_id == "undo-1")
        assert [(c.before, c.after) for c in undo.plan.changes] == [("off", "on")]
        assert run.world.lamps["hall"] == "off"
        await vote(run, ALICE, approval=undo.id)
        await run.until(lambda i: i.effects["dark"].status is EffectStatus.UNDONE)
        assert run.world.lamps["hall"] == "on"
        pause = next(a for a in (await run.engine.state(run.workflow_id)).open_approvals)
        await vote(run, ALICE, Decision.DENY, approval=pause.id)
        ended = await run.end()
    assert not ended.residual


@pytest.mark.parametrize("closed", [False, True])
async def test_who_may_not_decide_may_not_undo_either(env: WorkflowEnvironment, closed: bool) -> None:
    """Not even where policy would let the change itself run by itself: undoing a containment is a decision."""
    mallory = Responder(id="mallory", name="Mallory", roles=("incident-commander",))
    playbook = ONE_SWITCH + ("" if closed else "  - {id: pause, do: lamp.smash, with: {lamp: yard}}\n")
    async with incident(env, playbook, policy=MIXED, actor={"name": "mallory"}) as run:
        if closed:
            before = await run.end()
            start = await run.engine.start_of(before.workflow_id, before.run_id)
            resumed = start.model_copy(update={"resume": before})
            request = UndoRequest(step_id="dark", responder=CAROL)
            await run.engine.undo(run.workflow_id, request, request_id="u", closed=resumed)
            run.workflow_id = "incident-undo/INC-TEST"
            ended = await run.end()
        else:
            await run.approval()
            for who in (CAROL, mallory):
                request = UndoRequest(step_id="dark", responder=who)
                assert not (await run.engine.undo(run.workflow_id, request, request_id=who.id)).accepted
            await vote(run, ALICE, Decision.DENY)
            ended = await run.end()
    assert run.world.lamps["hall"] == "off"
    assert ended.effects["dark"].status is EffectStatus.VERIFIED
    refused = [e.actor.id for e in run.recorded.entries if e.kind == "approval.refused"]
    assert refused == (["carol"] if closed else ["carol", "mallory"])


async def test_an_implicated_person_may_not_skip_a_failed_step(env: WorkflowEnvironment) -> None:
    mallory = Responder(id="mallory", name="Mallory", roles=("incident-commander",))
    world = World(lamps={"hall": "on"})

    def fault(call: str) -> None:
        if call == "hall:apply":
            raise PermissionMissing("no", permission="lamp:Switch")

    world.faults = fault
    async with incident(env, ONE_SWITCH, world=world, actor={"name": "mallory"}) as run:
        await vote(run, ALICE)
        await run.until(lambda i: bool(i.needing_attention))
        reply = await decide(run, mallory, "dark", "skip")
        assert (reply.accepted, "may not decide" in reply.message) == (False, True)
        assert (await decide(run, BOB, "dark", "stop")).accepted
        await run.end()


async def test_undo_refuses_when_the_target_drifted(env: WorkflowEnvironment) -> None:
    playbook = ONE_SWITCH + "recovery:\n  - {id: light, do: incident.undo, with: {step: dark}}\n"
    async with incident(env, playbook, policy=AUTOMATIC) as run:

        def drift(call: str) -> None:
            if call == "hall:plan" and "hall:verify" in run.world.calls:
                run.world.lamps["hall"] = "broken"

        run.world.faults = drift
        state = await run.until(lambda i: bool(i.needing_attention))
        assert state.needing_attention[0].id == "light"
        assert run.world.lamps["hall"] == "broken", "somebody else's change is not overwritten"
        assert state.effects["dark"].status is EffectStatus.UNDO_REFUSED
        await decide(run, ALICE, "light", "skip")
        ended = await run.end()
    assert ended.status is IncidentStatus.CLOSED_INCOMPLETE
    assert ended.residual


async def test_a_second_alert_joins_and_the_same_one_changes_nothing(env: WorkflowEnvironment) -> None:
    async with incident(env, ONE_SWITCH) as run:
        await run.approval()
        handle = run.client.get_workflow_handle(run.workflow_id)
        await handle.signal("alerts", [alert("a-1"), alert("a-2", severity=Severity.CRITICAL)])
        await handle.signal("alerts", [alert("a-2", severity=Severity.CRITICAL)])
        state = await run.until(lambda i: i.alert_count == 2)
        assert state.severity is Severity.CRITICAL
        await vote(run, ALICE)
        ended = await run.end()
    assert ended.alert_count == 2
    assert run.kinds.count("incident.opened") == 1


async def test_cancel_withdraws_the_question_and_writes_the_report(env: WorkflowEnvironment) -> None:
    async with incident(env, ONE_SWITCH) as run:
        approval = await run.approval()
        await run.client.get_workflow_handle(run.workflow_id).cancel()
        ended = await run.end()
    assert ended.status is IncidentStatus.CANCELLED
    assert ended.approvals[approval].status is ApprovalStatus.CANCELLED
    assert ended.contained_at is None
    assert run.world.lamps["hall"] == "on"
    assert run.recorded.reports


async def test_a_false_condition_skips_and_does_not_hinder_containment(env: WorkflowEnvironment) -> None:
    playbook = (
        HEAD
        + """
containment:
  - {id: dark, do: lamp.switch, with: {lamp: hall}}
  - {id: yard, do: lamp.switch, with: {lamp: yard}, when: "alert.account == 'another'"}
"""
    )
    async with incident(env, playbook, policy=AUTOMATIC) as run:
        ended = await run.end()
    assert ended.steps["yard"].status is StepStatus.SKIPPED
    assert ended.contained_at is not None
    assert run.world.lamps == {"hall": "off", "yard": "on", "loft": "on"}


async def test_parallel_branches_ask_at_once_and_all_end(env: WorkflowEnvironment) -> None:
    playbook = (
        HEAD
        + """
containment:
  - parallel:
      - [{id: hall, do: lamp.switch, with: {lamp: hall}}]
      - [{id: yard, do: lamp.switch, with: {lamp: yard}}]
  - {id: loft, do: lamp.switch, with: {lamp: loft}}
"""
    )
    async with incident(env, playbook) as run:
        state = await run.until(lambda i: len(i.open_approvals) == 2)
        for approval in state.open_approvals:
            await vote(run, ALICE, approval=approval.id)
        await vote(
            run,
            BOB,
            approval=(await run.until(lambda i: "loft" in i.steps and bool(i.open_approvals)))
            .open_approvals[0]
            .id,
        )
        ended = await run.end()
    assert set(run.world.lamps.values()) == {"off"}
    assert ended.steps["loft"].started_at >= max(
        ended.steps[s].ended_at or ended.opened_at for s in ("hall", "yard")
    )


async def test_a_note_and_an_unknown_approval(env: WorkflowEnvironment) -> None:
    async with incident(env, ONE_SWITCH) as run:
        await run.approval()
        assert (
            await run.engine.note(run.workflow_id, NoteRequest(responder=CAROL, text="seen"), request_id="n")
        ).accepted
        reply = await run.engine.vote(
            run.workflow_id,
            VoteRequest(
                approval_id="apr_unknown",
                plan_digest_prefix="0" * 12,
                responder=ALICE,
                decision=Decision.APPROVE,
                channel=VoteChannel.API,
            ),
            request_id="x",
        )
        assert not reply.accepted
        await vote(run, ALICE)
        ended = await run.end()
    assert ended.notes == ["seen"]


@pytest.mark.parametrize("on_error", ["continue", "stop", "undo"])
async def test_on_error(env: WorkflowEnvironment, on_error: str) -> None:
    world = World(lamps={"hall": "on"})
    world.faults = lambda call: (
        (_ for _ in ()).throw(PermissionMissing("no", permission="x:Y")) if call == "hall:verify" else None
    )
    playbook = (
        HEAD
        + f"containment:\n  - {{id: dark, do: lamp.switch, with: {{lamp: hall}}, on_error: {on_error}}}\n"
    )
    playbook += "recovery:\n  - {id: look, do: lamp.look, with: {lamp: hall}}\n"
    async with incident(env, playbook, world=world, policy=AUTOMATIC) as run:
        ended = await run.end()
    assert ended.contained_at is None
    assert ("look" in ended.steps) == (on_error == "continue")
    assert ended.status is (
        IncidentStatus.CLOSED_INCOMPLETE if on_error == "continue" else IncidentStatus.FAILED
    )
    assert world.lamps["hall"] == ("on" if on_error == "undo" else "off")


async def test_an_alert_after_the_end_opens_the_next_incident(env: WorkflowEnvironment) -> None:
    async with incident(env, ONE_SWITCH, policy=AUTOMATIC) as run:
        handle = run.client.get_workflow_handle(run.workflow_id)

        async def another() -> None:
            """Between the end of the last step and the end of the workflow, the attacker comes back."""
            if run.kinds[-1] == "incident.closed":
                run.recorded.before_report = None
                run.world.lamps["hall"] = "on"
                await handle.signal("alerts", [alert("a-9")])

        run.recorded.before_report = another
        assert await handle.result() == IncidentStatus.CLOSED
    first, second = run.recorded.incidents.values()
    assert [e.event.alert.uid for e in first if isinstance(e.event, AlertJoined)] == ["a-1"]
    assert [e.event.alert.uid for e in second if isinstance(e.event, AlertJoined)] == ["a-9"]
    assert first[0].incident_id != second[0].incident_id
    assert fold(second).contained_at is not None
    assert run.world.lamps["hall"] == "off"


async def test_an_undo_is_not_begun_in_an_incident_that_is_just_closing(env: WorkflowEnvironment) -> None:
    replies: list[Reply] = []
    async with incident(env, ONE_SWITCH, policy=AUTOMATIC) as run:

        async def late() -> None:
            if run.kinds[-1] == "incident.closed":
                run.recorded.before_report = None
                request = UndoRequest(step_id="dark", responder=ALICE)
                replies.append(await run.engine.undo(run.workflow_id, request, request_id="late"))

        run.recorded.before_report = late
        ended = await run.end()
    assert [r.accepted for r in replies] == [False]
    assert "closing" in replies[0].message
    assert ended.effects["dark"].status is EffectStatus.VERIFIED
    assert run.world.lamps["hall"] == "off"


async def test_a_closed_incident_is_opened_again_for_an_undo(env: WorkflowEnvironment) -> None:
    async with incident(env, ONE_SWITCH) as run:
        await vote(run, ALICE)
        closed = await run.end()
        start = await run.engine.start_of(closed.workflow_id, closed.run_id)
        request = UndoRequest(step_id="dark", responder=BOB, reason="false alarm")
        with pytest.raises(IncidentEnded):
            await run.engine.undo(run.workflow_id, request, request_id="u")
        reply = await run.engine.undo(
            run.workflow_id, request, request_id="u", closed=start.model_copy(update={"resume": closed})
        )
        assert reply.accepted
        run.workflow_id = "incident-undo/INC-TEST"
        await vote(run, ALICE)
        ended = await run.end()
    assert run.world.lamps["hall"] == "on"
    assert ended.status is IncidentStatus.CLOSED
    assert not ended.residual
    assert ended.contained_at == closed.contained_at
