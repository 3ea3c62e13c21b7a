"""Plans that are made together: with the reads before them, and with each other; and the last line of all."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

from engine_world import ALICE, AUTOMATIC, POLICY, World, incident
from temporalio.testing import WorkflowEnvironment
from test_engine_incident import decide, vote
from test_engine_reads import HEAD, activities, failing

from soar.actions.errors import PermissionMissing, Unavailable
from soar.model.change import EffectStatus
from soar.model.terms import IncidentStatus, StepStatus

LOOK_AND_SWITCH = (
    f"{HEAD}identification:\n"
    "  - {id: hall, do: lamp.look, with: {lamp: hall}}\n"
    "  - {id: yard, do: lamp.look, with: {lamp: yard}}\n"
    "containment:\n"
    "  - {id: dark, do: lamp.switch, with: {lamp: loft}}\n"
)
BRANCHES = (
    f"{HEAD}containment:\n"
    "  - parallel:\n"
    "      one: [{id: d1, do: lamp.switch, with: {lamp: hall}}]\n"
    "      two: [{id: d2, do: lamp.switch, with: {lamp: yard}}]\n"
)


def lamps() -> World:
    return World(lamps={"hall": "on", "yard": "on", "loft": "on"})


async def test_a_change_is_planned_with_the_reads_before_it(env: WorkflowEnvironment) -> None:
    async with incident(env, LOOK_AND_SWITCH, world=lamps(), policy=AUTOMATIC) as run:
        ended = await run.end()
        made = await activities(run)
    assert ended.effects["dark"].status is EffectStatus.VERIFIED
    assert (made["together"], made["lamp.look"], made["lamp.switch:plan"]) == (1, 0, 0)
    assert made["lamp.switch:apply"] == 1
    kinds = run.kinds
    assert kinds.index("plan.made") > kinds.index("step.succeeded"), (
        "it is on record when its step's turn comes"
    )
    assert kinds.index("plan.made") > kinds.index("phase.started", kinds.index("phase.ended"))


async def test_a_plan_that_grew_old_is_made_again(env: WorkflowEnvironment) -> None:
    world = lamps()
    world.faults = failing("yard:look", *[PermissionMissing("no", permission="x:Y")] * 2)
    async with incident(env, LOOK_AND_SWITCH, world=world, policy=AUTOMATIC) as run:
        await run.until(lambda i: bool(i.needing_attention))
        assert world.calls.count("loft:plan") == 1
        await env.sleep(60)
        assert (await decide(run, ALICE, "yard", "skip")).accepted
        ended = await run.end()
        made = await activities(run)
    assert made["lamp.switch:plan"] == 1, "a minute later the target may be another"
    assert ended.effects["dark"].status is EffectStatus.VERIFIED


async def test_a_plan_ahead_that_fails_is_made_when_its_turn_comes(env: WorkflowEnvironment) -> None:
    world = lamps()
    world.faults = failing("loft:plan", Unavailable("away"))
    async with incident(env, LOOK_AND_SWITCH, world=world, policy=AUTOMATIC) as run:
        ended = await run.end()
        made = await activities(run)
    assert ended.status is IncidentStatus.CLOSED
    assert (made["together"], made["lamp.switch:plan"]) == (1, 1)
    assert "step.needs_attention" not in run.kinds


async def test_a_halt_after_a_plan_ahead_is_seen(env: WorkflowEnvironment) -> None:
    async with incident(env, LOOK_AND_SWITCH, world=lamps(), policy=AUTOMATIC) as run:
        run.recorded.refuse_reservation = lambda _request: "changes are halted"
        state = await run.until(lambda i: bool(i.needing_attention))
        assert "changes are halted" in state.steps["dark"].error.message  # type: ignore[union-attr]
        assert run.world.lamps["loft"] == "on"
        assert (await decide(run, ALICE, "dark", "skip")).accepted
        await run.end()


async def test_what_has_a_condition_is_not_planned_ahead(env: WorkflowEnvironment) -> None:
    playbook = LOOK_AND_SWITCH.replace("{lamp: loft}", "{lamp: loft}, when: alert.title == 'another'")
    async with incident(env, playbook, world=lamps(), policy=AUTOMATIC) as run:
        ended = await run.end()
    assert "loft:plan" not in run.world.calls
    assert ended.steps["dark"].status is StepStatus.SKIPPED


async def test_changes_of_branches_are_planned_together_and_made_apart(env: WorkflowEnvironment) -> None:
    async with incident(env, BRANCHES, world=lamps(), policy=POLICY) as run:
        state = await run.until(lambda i: len(i.open_approvals) == 2)
        for approval in state.open_approvals:
            assert (await vote(run, ALICE, approval=approval.id)).accepted
        ended = await run.end()
        made = await activities(run)
    assert (made["together"], made["lamp.switch:plan"], made["lamp.switch:apply"]) == (1, 0, 2)
    assert [e.status for e in ended.effects.values()] == [EffectStatus.VERIFIED] * 2


async def test_items_of_a_loop_are_planned_together(env: WorkflowEnvironment) -> None:
    playbook = (
        f"{HEAD}containment:\n"
        "  - id: each\n    foreach: \"['hall', 'yard', 'loft']\"\n    as: lamp\n    concurrency: 3\n"
        "    steps: [{id: dark, do: lamp.switch, with: {lamp: '{{ lamp }}'}}]\n"
    )
    async with incident(env, playbook, world=lamps(), policy=AUTOMATIC) as run:
        ended = await run.end()
        made = await activities(run)
    assert (made["together"], made["lamp.switch:apply"]) == (1, 3)
    assert set(run.world.lamps.values()) == {"off"}
    assert len(ended.effects) == 3


@contextmanager
def stuck(world: World, call: str) -> Iterator[None]:
    """One call hangs until the end of the block; every later one of the same passes."""
    held, seen = threading.Event(), threading.Event()

    def faults(made: str) -> None:
        if made == call and not seen.is_set():
            seen.set()
            assert held.wait(30), "nobody let it go"

    world.faults = faults
    try:
        yield
    finally:
        held.set()


async def test_a_plan_that_hangs_holds_up_no_other_branch(env: WorkflowEnvironment) -> None:
    world = lamps()
    async with incident(env, BRANCHES, world=world, policy=AUTOMATIC) as run:
        with stuck(world, "yard:plan"):
            ended = await run.end()
        made = await activities(run)
    assert set(world.lamps.values()) == {"off", "on"}
    assert [e.status for e in ended.effects.values()] == [EffectStatus.VERIFIED] * 2
    assert made["lamp.switch:plan"] == 1, "what took too long for the others was planned again, by itself"


async def test_the_line_about_the_report_is_stored_without_a_round_trip(env: WorkflowEnvironment) -> None:
    async with incident(env, LOOK_AND_SWITCH, world=lamps(), policy=AUTOMATIC) as run:
        await run.end()
        history = await run.client.get_workflow_handle(run.workflow_id).fetch_history()
    assert run.kinds[-2:] == ["incident.closed", "report.written"]
    last = history.events[-2:]
    assert last[0].HasField("marker_recorded_event_attributes")
    assert last[1].HasField("workflow_execution_completed_event_attributes")
    entries = run.recorded.entries
    assert all(a.time <= b.time for a, b in pairwise(entries))


async def test_the_line_about_the_report_goes_the_usual_way_when_the_store_is_away(
    env: WorkflowEnvironment,
) -> None:
    async with incident(env, LOOK_AND_SWITCH, world=lamps(), policy=AUTOMATIC) as run:
        failed: list[str] = []

        def fails() -> None:
            if run.recorded.entries and run.kinds[-1] == "incident.closed" and not failed:
                failed.append("the line about the report")
                raise OSError("the database is away")

        run.recorded.before_store = fails
        await run.end()
        made = await activities(run)
    assert failed
    assert run.kinds[-1] == "report.written"
    assert made["store.project"] >= 1
