"""Reads that are done together, and changes that are applied and looked at in one activity."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
from engine_world import ALICE, AUTOMATIC, BOB, POLICY, Started, World, alert, incident
from temporalio.testing import WorkflowEnvironment
from test_engine_incident import decide, vote

from soar.actions.errors import PermissionMissing, Throttled, Unavailable
from soar.model.change import EffectStatus
from soar.model.terms import IncidentStatus, StepStatus

HEAD = "name: lamps\nmatch: {source: test}\ncorrelate_by: [alert.uid]\nroles: {incident-commander: decides}\n"
LOOKS = (
    f"{HEAD}identification:\n"
    "  - {id: hall, do: lamp.look, with: {lamp: hall}}\n"
    "  - {id: yard, do: lamp.look, with: {lamp: yard}, retry: {attempts: 3, backoff: 1s}}\n"
    "  - {id: loft, do: lamp.look, with: {lamp: loft}}\n"
)
SWITCH = f"{HEAD}containment:\n  - {{id: dark, do: lamp.switch, with: {{lamp: hall}}}}\n"


async def activities(run: Started) -> Counter[str]:
    """How often each activity was scheduled."""
    history = await run.client.get_workflow_handle(run.workflow_id).fetch_history()
    return Counter(
        event.activity_task_scheduled_event_attributes.activity_type.name
        for event in history.events
        if event.HasField("activity_task_scheduled_event_attributes")
    )


def failing(call: str, *errors: Exception) -> Callable[[str], None]:
    """Faults of a world: one call fails so often, once with each error."""
    left = list(errors)

    def faults(made: str) -> None:
        if made == call and left:
            raise left.pop(0)

    return faults


async def test_reads_that_need_nothing_of_each_other_are_one_activity(env: WorkflowEnvironment) -> None:
    async with incident(env, LOOKS) as run:
        ended = await run.end()
        made = await activities(run)
    assert made["together"] == 1
    assert made["lamp.look"] == 0
    assert sorted(c for c in run.world.calls) == ["hall:look", "loft:look", "yard:look"]
    assert [s.status for s in ended.steps.values()] == [StepStatus.SUCCEEDED] * 3
    assert len(ended.evidence) == 3, "what each collected is on record"
    assert run.kinds.count("step.succeeded") == 3


async def test_one_that_fails_for_good_stops_nobody_but_itself(env: WorkflowEnvironment) -> None:
    world = World(lamps={"hall": "on", "yard": "on", "loft": "on"})
    world.faults = failing("yard:look", *[PermissionMissing("no", permission="x:Y")] * 2)
    async with incident(env, LOOKS, world=world) as run:
        state = await run.until(lambda i: bool(i.needing_attention))
        assert state.steps["yard"].error is not None
        assert state.steps["yard"].error.type == "PermissionMissing"
        assert [state.steps[s].status for s in ("hall", "loft")] == [StepStatus.SUCCEEDED] * 2
        assert world.calls.count("yard:look") == 1, "what cannot pass by itself is not tried again"
        world.faults = lambda _call: None
        assert (await decide(run, ALICE, "yard", "retry")).accepted
        ended = await run.end()
    assert ended.status is IncidentStatus.CLOSED
    assert world.calls.count("hall:look") == 1


async def test_one_that_may_pass_is_tried_again_by_itself(env: WorkflowEnvironment) -> None:
    world = World(lamps={"hall": "on", "yard": "on", "loft": "on"})
    world.faults = failing("yard:look", Throttled("slow down", retry_after=30), Unavailable("away"))
    async with incident(env, LOOKS, world=world) as run:
        ended = await run.end()
        made = await activities(run)
    assert ended.status is IncidentStatus.CLOSED
    assert Counter(world.calls) == {"hall:look": 1, "yard:look": 3, "loft:look": 1}
    assert made == {"together": 1, "lamp.look": 1} | {
        k: v for k, v in made.items() if "." in k and k != "lamp.look"
    }
    assert ended.steps["yard"].ended_at is not None
    assert ended.steps["hall"].ended_at is not None
    waited = (ended.steps["yard"].ended_at - ended.steps["hall"].ended_at).total_seconds()
    assert waited >= 30, "as long as the service asked for"


async def test_no_more_attempts_than_the_playbook_gives(env: WorkflowEnvironment) -> None:
    world = World(lamps={"hall": "on", "yard": "on", "loft": "on"})
    world.faults = failing("yard:look", *[Unavailable("away")] * 9)
    async with incident(env, LOOKS, world=world) as run:
        await run.until(lambda i: bool(i.needing_attention))
        assert world.calls.count("yard:look") == 3
        world.faults = lambda _call: None
        assert (await decide(run, ALICE, "yard", "retry")).accepted
        await run.end()


async def test_a_result_too_large_to_travel_with_others_travels_alone(env: WorkflowEnvironment) -> None:
    world = World(lamps={"hall": "on" * 100_000, "yard": "on", "loft": "on"})
    async with incident(env, LOOKS, world=world) as run:
        ended = await run.end()
        made = await activities(run)
    assert (made["together"], made["lamp.look"]) == (1, 1)
    assert ended.steps["hall"].result is not None
    assert ended.steps["hall"].result.data["colour"] == "on" * 100_000


async def test_a_step_left_out_joins_nobody(env: WorkflowEnvironment) -> None:
    playbook = LOOKS.replace("{lamp: yard}", "{lamp: yard}, when: alert.title == 'something else'")
    async with incident(env, playbook) as run:
        ended = await run.end()
    assert sorted(run.world.calls) == ["hall:look", "loft:look"]
    assert ended.steps["yard"].status is StepStatus.SKIPPED


@pytest.mark.parametrize("desk", [True, False])
async def test_a_change_costs_a_plan_and_an_application(env: WorkflowEnvironment, desk: bool) -> None:
    async with incident(env, SWITCH, policy=AUTOMATIC, desk=desk) as run:
        ended = await run.end()
        made = await activities(run)
    assert ended.effects["dark"].status is EffectStatus.VERIFIED
    assert run.kinds.index("effect.applied") < run.kinds.index("effect.verified")
    assert (made["lamp.switch:plan"], made["lamp.switch:apply"], made["lamp.switch:verify"]) == (1, 1, 0)
    # Where the action's worker does not reach the policy, the engine asks for it apart.
    assert made["policy.current"] == (0 if desk else 1)


@pytest.mark.parametrize("desk", [True, False])
async def test_what_was_halted_after_the_decision_is_not_applied(
    env: WorkflowEnvironment, desk: bool
) -> None:
    async with incident(env, SWITCH, policy=POLICY, desk=desk) as run:
        await run.approval()
        run.recorded.refuse_reservation = lambda _request: "changes are halted"
        assert (await vote(run, ALICE)).accepted
        state = await run.until(lambda i: bool(i.needing_attention))
        assert "changes are halted" in state.steps["dark"].error.message  # type: ignore[union-attr]
        assert run.world.lamps["hall"] == "on"
        assert "hall:apply" not in run.world.calls
        assert not state.residual
        assert (await decide(run, ALICE, "dark", "skip")).accepted
        ended = await run.end()
    assert not ended.effects or ended.effects["dark"].status is EffectStatus.NOT_APPLIED


async def test_a_change_that_has_begun_is_brought_to_its_end_although_changes_are_halted(
    env: WorkflowEnvironment,
) -> None:
    world = World(lamps={"hall": "on", "yard": "on", "loft": "on"})
    async with incident(env, SWITCH, policy=POLICY, world=world) as run:

        def breaks_off(call: str) -> None:
            if call == "hall:apply" and world.calls.count("hall:apply") == 1:
                # It has its effect, and nobody learns of it; a moment later everything is halted.
                world.lamps["hall"] = "off"
                run.recorded.refuse_reservation = lambda _request: "changes are halted"
                raise Unavailable("the line broke")

        world.faults = breaks_off
        await run.approval()
        assert (await vote(run, ALICE)).accepted
        ended = await run.end()
    assert ended.effects["dark"].status is EffectStatus.VERIFIED
    assert ended.status is IncidentStatus.CLOSED


async def test_what_is_not_seen_at_once_is_verified_by_an_activity_of_its_own(
    env: WorkflowEnvironment,
) -> None:
    world = World(lamps={"hall": "on", "yard": "on", "loft": "on"})
    world.faults = failing("hall:verify", Unavailable("no look"))
    async with incident(env, SWITCH, policy=AUTOMATIC, world=world) as run:
        ended = await run.end()
        made = await activities(run)
    assert ended.effects["dark"].status is EffectStatus.VERIFIED
    assert made["lamp.switch:verify"] == 1
    assert world.calls.count("hall:apply") == 1, "it is applied, and only looked at again"


async def test_many_alerts_open_one_incident_and_all_are_in_it(env: WorkflowEnvironment) -> None:
    async with incident(env, SWITCH, policy=POLICY) as run:
        await run.approval()
        start = await run.engine.start_of(run.workflow_id, run.runs[run.workflow_id])
        fresh = start.model_copy(update={"correlation_key": "many", "incident_id": "INC-MANY", "alerts": ()})
        wid = await run.engine.deliver(fresh, [alert(f"m-{n}") for n in range(50)])
        assert wid is not None
        other = Started(**{**run.__dict__, "workflow_id": wid})
        state = await other.until(lambda i: i.alert_count == 50)
        assert state.id == "INC-MANY"
        again = fresh.model_copy(update={"incident_id": "INC-AGAIN"})
        assert await run.engine.deliver(again, [alert("m-1"), alert("m-51")]) == wid
        state = await other.until(lambda i: i.alert_count == 51)
        assert state.id == "INC-MANY", "an open incident is joined, and none beside it opened"
        assert (await vote(other, BOB)).accepted
        await run.client.get_workflow_handle(wid).result()
        run.world.lamps["hall"] = "on"
        reopened = await run.engine.deliver(again, [alert("m-60")])
        assert reopened == wid
        state = await other.until(lambda i: i.id == "INC-AGAIN")
        assert state.alert_count == 1, "after it has closed, the next alert opens another"
        assert (await vote(other, BOB)).accepted
        await run.client.get_workflow_handle(wid).result()
        run.world.lamps["hall"] = "on"
        assert (await vote(run, ALICE)).accepted
        await run.end()
