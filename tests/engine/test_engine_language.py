"""Every kind of step, run by the real workflow on the time-skipping server."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from engine_world import ALICE, AUTOMATIC, BOB, CAROL, MIXED, Started, World, alert, incident
from temporalio.testing import WorkflowEnvironment
from test_engine_incident import decide, vote

from soar.engine.messages import PersonRequest, SkipRequest, TaskRequest
from soar.model.change import EffectStatus
from soar.model.course import ClockStatus
from soar.model.incident import Incident
from soar.model.people import Decision
from soar.model.terms import IncidentStatus, Severity, StepStatus

HEAD = "name: lamps\nmatch: {source: test}\ncorrelate_by: [alert.uid]\nroles: {incident-commander: decides}\n"


def steps_of(ended: Incident) -> dict[str, str]:
    return {i: s.status.value for i, s in ended.steps.items()}


async def test_set_gives_names_and_branches_take_one_way(env: WorkflowEnvironment) -> None:
    playbook = f"""{HEAD}identification:
  - {{set: {{where: "{{{{ alert.title | upper }}}}", count: "{{{{ 1 + 1 }}}}"}}}}
  - id: choice
    if: vars.count == 2
    then: [{{id: yes_look, do: lamp.look, with: {{lamp: hall}}}}]
    else: [{{id: no_look, do: lamp.look, with: {{lamp: yard}}}}]
  - id: which
    switch: vars.count
    cases:
      "1": [{{id: one, do: lamp.look, with: {{lamp: hall}}}}]
      "2": [{{id: two, do: lamp.look, with: {{lamp: loft}}}}]
    default: [{{id: other, do: lamp.look, with: {{lamp: hall}}}}]
  - id: never
    switch: vars.where
    cases: {{nowhere: [{{id: lost, do: lamp.look, with: {{lamp: hall}}}}]}}
"""
    async with incident(env, playbook, policy=AUTOMATIC) as run:
        ended = await run.end()
    assert ended.variables == {"where": "A LAMP BURNS", "count": 2}
    assert [c for c in run.world.calls if c.endswith("look")] == ["hall:look", "loft:look"]
    assert ended.steps["choice"].way == "then"
    assert ended.steps["never"].status is StepStatus.SKIPPED
    assert "no_look" not in ended.steps


async def test_a_step_acts_where_it_says_and_is_undone_there(env: WorkflowEnvironment) -> None:
    playbook = f"""{HEAD}identification:
  - {{id: here, do: lamp.look, with: {{lamp: yard}}, region: "{{{{ alert.attributes.none | default('') }}}}"}}
  - id: there
    do: lamp.look
    account: "{{{{ alert.attributes.other }}}}"
    region: eu-north-1
    with: {{lamp: hall}}
containment:
  - id: every
    foreach: "['222233334444', '333344445555']"
    steps:
      - {{id: dark, do: lamp.switch, account: "{{{{ item }}}}", with: {{lamp: "{{{{ 'l' ~ item_index }}}}"}}}}
recovery:
  - {{id: light, do: incident.undo, with: {{phase: containment}}}}
"""
    world = World(lamps=dict.fromkeys(("hall", "yard", "l0", "l1"), "on"))
    other = {"other": "999988887777"}
    async with incident(
        env, playbook, policy=AUTOMATIC, world=world, region="us-east-1", attributes=other
    ) as run:
        ended = await run.end()
    assert ended.status is IncidentStatus.CLOSED
    assert world.places["yard:look"] == ("123456789012", "us-east-1")
    assert world.places["hall:look"] == ("999988887777", "eu-north-1")
    for lamp, account in (("l0", "222233334444"), ("l1", "333344445555")):
        for method in ("plan", "apply", "verify", "undo"):
            assert world.places[f"{lamp}:{method}"] == (account, "us-east-1")


async def test_what_names_no_account_is_a_mistake_of_the_step(env: WorkflowEnvironment) -> None:
    playbook = f"""{HEAD}identification:
  - {{id: there, do: lamp.look, account: "{{{{ alert.attributes.other }}}}", with: {{lamp: hall}}}}
"""
    async with incident(env, playbook, attributes={"other": "1; drop"}) as run:
        seen = await run.until(lambda i: bool(i.needing_attention))
        error = seen.steps["there"].error
        assert error is not None
        assert error.message == "`account`: '1; drop' is no name of an account"
        assert not run.world.calls


async def test_foreach_collects_in_order_whatever_ends_first(env: WorkflowEnvironment) -> None:
    playbook = f"""{HEAD}identification:
  - id: every
    foreach: "['hall', 'yard', 'loft']"
    as: lamp
    concurrency: 3
    collect: "{{'lamp': lamp, 'at': lamp_index, 'colour': steps.look.result.colour}}"
    steps:
      - {{id: look, do: lamp.look, with: {{lamp: "{{{{ lamp }}}}"}}}}
  - {{set: {{first: "{{{{ steps.every.result['items'][0].lamp }}}}"}}}}
"""
    async with incident(env, playbook) as run:
        ended = await run.end()
    result = ended.steps["every"].result
    assert result is not None
    assert result.data == {
        "items": [
            {"lamp": "hall", "at": 0, "colour": "on"},
            {"lamp": "yard", "at": 1, "colour": "on"},
            {"lamp": "loft", "at": 2, "colour": "on"},
        ],
        "count": 3,
        "failed": 0,
    }
    assert ended.variables == {"first": "hall"}


async def test_only_the_item_that_failed_runs_again(env: WorkflowEnvironment) -> None:
    lamps = {f"l{n}": "on" for n in range(10) if n != 7}
    playbook = f"""{HEAD}identification:
  - id: every
    foreach: "['l0','l1','l2','l3','l4','l5','l6','l7','l8','l9']"
    steps:
      - {{id: look, do: lamp.look, with: {{lamp: "{{{{ item }}}}"}}}}
"""
    world = World(lamps=lamps)
    async with incident(env, playbook, world=world) as run:
        await run.until(lambda i: bool(i.needing_attention))
        assert (await run.engine.state(run.workflow_id)).needing_attention[0].id == "look[7]"
        world.lamps["l7"] = "on"
        assert (await decide(run, ALICE, "look[7]", "retry")).accepted
        ended = await run.end()
    looks = [c for c in world.calls if c.endswith("look")]
    assert sorted(looks) == sorted([f"l{n}:look" for n in range(10)] + ["l7:look"])
    assert ended.status is IncidentStatus.CLOSED


async def test_concurrency_bounds_what_runs_at_once(env: WorkflowEnvironment) -> None:
    playbook = f"""{HEAD}identification:
  - id: every
    foreach: "[1, 2, 3, 4, 5]"
    concurrency: 2
    steps:
      - {{id: nap, wait: {{for: 10m}}}}
"""
    async with incident(env, playbook) as run:
        ended = await run.end()
    started = [e.time for e in run.recorded.entries if e.kind == "wait.started"]
    assert ended.status is IncidentStatus.CLOSED
    gaps = [round((t - started[0]).total_seconds() / 600) for t in started]
    assert gaps == [0, 0, 1, 1, 2]


async def test_repeat_ends_when_it_holds_and_fails_when_it_never_does(env: WorkflowEnvironment) -> None:
    playbook = f"""{HEAD}identification:
  - id: until_dark
    attempts: 4
    every: 5m
    until: steps.look.result.colour == "off"
    repeat:
      - {{id: look, do: lamp.look, with: {{lamp: hall}}}}
"""
    world = World(lamps={"hall": "on"})
    world.faults = lambda _call: world.lamps.update(hall="off") if len(world.calls) == 3 else None
    async with incident(env, playbook, world=world) as run:
        ended = await run.end()
    assert ended.steps["until_dark"].result is not None
    assert ended.steps["until_dark"].result.data == {"attempts": 3, "satisfied": True}

    world = World(lamps={"hall": "on"})
    async with incident(env, playbook, world=world) as run:
        await env.sleep(timedelta(minutes=16))
        await run.until(lambda i: bool(i.needing_attention))
        assert world.calls.count("hall:look") == 4
        world.lamps["hall"] = "off"
        assert (await decide(run, ALICE, "until_dark", "retry")).accepted
        ended = await run.end()
    assert world.calls.count("hall:look") == 5
    assert ended.steps["until_dark"].status is StepStatus.SUCCEEDED


async def test_a_task_comes_back_typed_and_only_from_its_role(env: WorkflowEnvironment) -> None:
    playbook = f"""{HEAD}identification:
  - id: count
    task:
      role: observer
      instructions: "Count the lamps of {{{{ alert.title }}}}"
      due: 1h
      form:
        lamps: {{type: number}}
        dark: {{type: boolean}}
        colour: {{type: choice, options: [red, green]}}
        remark: {{required: false}}
  - {{set: {{twice: "{{{{ steps.count.result.lamps * 2 }}}}"}}}}
"""

    async def done(run: Started, who: object, **values: object) -> object:
        request = TaskRequest.model_validate({"step_id": "count", "responder": who, "values": values})
        return await run.engine.tell(
            run.workflow_id, "complete_task", request, request_id=f"{who}{values}"[-200:]
        )

    async with incident(env, playbook) as run:
        state = await run.until(lambda i: bool(i.open_tasks))
        assert state.status is IncidentStatus.WAITING
        assert state.tasks["count"].instructions == "Count the lamps of a lamp burns"
        refused = await done(run, ALICE, lamps="3", dark="yes", colour="red")
        assert "observer" in str(refused)
        for wrong, word in (
            ({"lamps": "many", "dark": True, "colour": "red"}, "number"),
            ({"lamps": 3, "dark": True, "colour": "blue"}, "choose"),
            ({"dark": True, "colour": "red"}, "missing"),
            ({"lamps": 3, "dark": True, "colour": "red", "extra": 1}, "extra"),
        ):
            assert word in str(await done(run, CAROL, **wrong))
        await env.sleep(timedelta(hours=2, minutes=30))
        assert (await run.until(lambda i: i.tasks["count"].overdue == 2)).open_tasks
        assert "accepted=True" in str(await done(run, CAROL, lamps="3", dark="yes", colour="red"))
        ended = await run.end()
    result = ended.steps["count"].result
    assert result is not None
    assert result.data == {"lamps": 3, "dark": True, "colour": "red", "remark": None, "completed_by": "carol"}
    assert ended.variables == {"twice": 6}


@pytest.mark.parametrize(("decision", "approved"), [(Decision.APPROVE, True), (Decision.DENY, False)])
async def test_a_question_of_its_own(env: WorkflowEnvironment, decision: Decision, approved: bool) -> None:
    playbook = f"""{HEAD}identification:
  - id: really
    approve: "Shall {{{{ alert.account }}}} go dark?"
    details: It will be dark.
    approval: {{role: incident-commander}}
  - {{id: look, do: lamp.look, when: steps.really.result.approved, with: {{lamp: hall}}}}
"""
    async with incident(env, playbook) as run:
        state = await run.until(lambda i: bool(i.open_approvals))
        assert state.open_approvals[0].plan.summary == "Shall 123456789012 go dark?"
        assert not (await vote(run, CAROL, decision)).accepted
        assert (await vote(run, BOB, decision)).accepted
        ended = await run.end()
    assert (ended.steps["look"].status is StepStatus.SUCCEEDED) is approved
    result = ended.steps["really"].result
    assert result is not None
    assert result.data["by"] == ["bob"]
    assert ended.status is IncidentStatus.CLOSED


async def test_waiting_for_a_time_a_condition_and_an_alert(env: WorkflowEnvironment) -> None:
    playbook = f"""{HEAD}identification:
  - {{id: nap, wait: {{for: 3d}}}}
  - id: grave
    wait: {{until: 'incident.severity == "critical"', limit: 1h}}
  - id: second
    wait: {{alert: 'alert.title == "the yard burns"', limit: 2h}}
  - id: third
    wait: {{alert: "true", limit: 1h}}
"""
    async with incident(env, playbook) as run:
        await run.until(lambda i: "nap" in i.steps)
        await env.sleep(timedelta(days=3, seconds=5))
        await run.until(lambda i: "grave" in i.steps)
        handle = run.client.get_workflow_handle(run.workflow_id)
        await handle.signal("alerts", [alert("a-2", severity=Severity.CRITICAL)])
        await run.until(lambda i: "second" in i.steps)
        await handle.signal("alerts", [alert("a-3"), alert("a-4", title="the yard burns")])
        ended = await run.end()
    data = {i: s.result.data for i, s in ended.steps.items() if s.result}
    assert data["nap"] == {"happened": True}
    assert data["grave"] == {"happened": True}
    assert data["second"]["happened"] is True
    assert data["second"]["alert"]["uid"] == "a-4"  # type: ignore[index, call-overload]
    assert data["third"] == {"happened": False}


async def test_a_called_playbook_is_an_incident_of_its_own(env: WorkflowEnvironment) -> None:
    child = """name: checks
inputs: {lamp: {type: string, default: hall}}
outputs: {colour: steps.look.result.colour, said: inputs.lamp}
identification:
  - {id: look, do: lamp.look, with: {lamp: "{{ inputs.lamp }}"}}
"""
    playbook = f"""{HEAD}identification:
  - {{id: check, playbook: checks, with: {{lamp: "{{{{ 'ya' + 'rd' }}}}"}}}}
  - {{set: {{colour: "{{{{ steps.check.result.colour }}}}"}}}}
"""
    async with incident(env, playbook, others=(child,)) as run:
        ended = await run.end()
    step = ended.steps["check"]
    assert step.result is not None
    assert step.result.data["said"] == "yard"
    assert step.result.data["status"] == "closed"
    assert ended.variables == {"colour": "on"}
    assert step.child in run.recorded.incidents
    assert run.recorded.incidents[step.child][0].data["parent"] == "INC-TEST"


async def test_a_change_with_an_expiry_is_put_back_by_itself(env: WorkflowEnvironment) -> None:
    playbook = f"""{HEAD}containment:
  - {{id: dark, do: lamp.switch, expires: 4h, with: {{lamp: hall}}}}
"""
    async with incident(env, playbook, policy=AUTOMATIC) as run:
        state = await run.until(lambda i: "dark" in i.effects and i.effects["dark"].expires_at is not None)
        assert "by itself" in state.effects["dark"].plan.undo
        assert run.world.lamps["hall"] == "off"
        assert not state.status.ended, "the change is not over yet, so the incident is not"
        ended = await run.end()
    assert run.world.lamps["hall"] == "on"
    assert ended.effects["dark"].status is EffectStatus.UNDONE
    took = ended.effects["dark"].undone_at - ended.effects["dark"].verified_at  # type: ignore[operator]
    assert timedelta(hours=4) <= took < timedelta(hours=4, minutes=5)


async def test_an_expired_change_that_drifted_asks_a_person(env: WorkflowEnvironment) -> None:
    playbook = f"""{HEAD}containment:
  - {{id: dark, do: lamp.switch, expires: 4h, with: {{lamp: hall}}}}
"""
    async with incident(env, playbook, policy=AUTOMATIC) as run:
        await run.until(lambda i: "dark" in i.effects and i.effects["dark"].expires_at is not None)
        run.world.lamps["hall"] = "flickering"
        await env.sleep(timedelta(hours=5))
        state = await run.until(lambda i: bool(i.needing_attention))
        step = state.needing_attention[0]
        assert step.error is not None
        assert step.error.type == "Drifted"
        assert (await decide(run, ALICE, step.id, "stop")).accepted
        ended = await run.end()
    assert run.world.lamps["hall"] == "flickering"
    assert ended.status is IncidentStatus.CLOSED, "leaving one undo at that does not fail the incident"
    assert [e.step_id for e in ended.residual] == ["dark"]


async def test_severity_rules_and_deadlines(env: WorkflowEnvironment) -> None:
    playbook = f"""{HEAD}severity:
  - {{when: "alerts | length > 1", severity: critical}}
clocks:
  tell: {{label: Tell the regulator, due: 72h, starts: opened, warn: 12h, met_by: told}}
  never: {{due: 1h, starts: opened, when: 'incident.severity == "fatal"'}}
  soon: {{due: 2h, starts: opened}}
lessons_learned:
  - {{id: nap, wait: {{for: 65h}}}}
  - {{id: told, task: {{role: observer, instructions: Tell them.}}}}
"""
    async with incident(env, playbook) as run:
        state = await run.until(lambda i: "tell" in i.clocks)
        assert state.severity is Severity.HIGH
        await run.client.get_workflow_handle(run.workflow_id).signal("alerts", [alert("a-2")])
        assert (await run.until(lambda i: i.severity is Severity.CRITICAL)).severity_by == ""
        await env.sleep(timedelta(hours=66))
        await run.until(lambda i: bool(i.open_tasks))
        request = TaskRequest(step_id="told", responder=CAROL)
        assert (await run.engine.tell(run.workflow_id, "complete_task", request, request_id="t")).accepted
        ended = await run.end()
    assert {n: c.status for n, c in ended.clocks.items()} == {
        "tell": ClockStatus.MET,
        "soon": ClockStatus.MISSED,
    }
    assert run.kinds.count("clock.warned") == 1


async def test_a_container_whose_time_is_over(env: WorkflowEnvironment) -> None:
    playbook = f"""{HEAD}identification:
  - id: limited
    timeout: 1h
    on_error: continue
    foreach: "['hall', 'yard']"
    steps:
      - {{id: nap, wait: {{for: 40m}}}}
      - {{id: look, do: lamp.look, with: {{lamp: "{{{{ item }}}}"}}}}
  - {{id: after, do: lamp.look, with: {{lamp: loft}}}}
"""
    async with incident(env, playbook) as run:
        ended = await run.end()
    assert [c for c in run.world.calls if c.endswith("look")] == ["hall:look", "loft:look"]
    limited = ended.steps["limited"]
    assert limited.status is StepStatus.FAILED
    assert limited.error is not None
    assert limited.error.type == "TimedOut"
    assert limited.ended_at is not None
    assert round((limited.ended_at - limited.started_at).total_seconds()) == 3600


async def test_people_with_a_role_are_told(env: WorkflowEnvironment) -> None:
    playbook = f"""{HEAD}identification:
  - {{id: look, do: lamp.look, notify: [incident-commander], with: {{lamp: hall}}}}
"""
    async with incident(env, playbook) as run:
        await run.end()
    told = [e for e in run.recorded.entries if e.kind == "step.notified"]
    assert [e.data["roles"] for e in told] == [["incident-commander"]]
    assert "hall is on" in str(told[0].data["text"])


async def test_a_dry_run_plans_and_changes_nothing(env: WorkflowEnvironment) -> None:
    playbook = f"""{HEAD}identification:
  - {{id: look, do: lamp.look, with: {{lamp: hall}}}}
  - {{id: ask, approve: Really?, approval: {{role: incident-commander}}}}
  - {{id: nap, wait: {{for: 3d}}}}
containment:
  - {{id: dark, do: lamp.switch, with: {{lamp: hall}}}}
  - {{id: broken, do: lamp.switch, with: {{lamp: nowhere}}}}
eradication:
  - {{id: smash, do: lamp.smash, with: {{lamp: yard, to: broken}}}}
recovery:
  - {{id: back, do: incident.undo, with: {{step: dark}}}}
"""
    async with incident(env, playbook, policy=MIXED, dry_run=True) as run:
        ended = await run.end()
    assert run.world.lamps == {"hall": "on", "yard": "on", "loft": "on"}
    assert not ended.effects
    assert not ended.approvals
    assert steps_of(ended) == {
        "look": "succeeded",
        "ask": "planned",
        "nap": "planned",
        "dark": "planned",
        "broken": "failed",
        "smash": "planned",
        "back": "unchanged",
    }
    planned = {e.data["step_id"]: e.data["outcome"] for e in run.recorded.entries if e.kind == "step.planned"}
    assert planned == {"ask": "people", "nap": "people", "dark": "automatic", "smash": "approval"}


async def test_what_is_read_inside_a_loop_is_of_the_same_round(env: WorkflowEnvironment) -> None:
    playbook = f"""{HEAD}containment:
  - id: each_lamp
    foreach: "['hall', 'yard']"
    as: lamp
    concurrency: 2
    steps:
      - {{id: dark, do: lamp.switch, with: {{lamp: "{{{{ lamp }}}}"}}}}
      - id: rounds
        attempts: 2
        until: attempt == 2
        repeat:
          - {{id: look, do: lamp.look, with: {{lamp: "{{{{ lamp }}}}"}}}}
          - {{set: {{seen: "{{{{ steps.look.result.colour + steps.dark.status }}}}"}}}}
      - {{id: light, do: incident.undo, when: lamp == "yard", with: {{step: dark}}}}
recovery:
  - {{id: rest, do: incident.undo, with: {{all: true}}}}
"""
    async with incident(env, playbook, policy=AUTOMATIC) as run:
        ended = await run.end()
    assert run.world.lamps["hall"] == "on"
    assert run.world.lamps["yard"] == "on"
    assert run.world.calls.count("yard:undo") == 1
    assert ended.variables == {"seen": "offsucceeded"}
    assert ended.contained_at is not None
    assert {i: e.status.value for i, e in ended.effects.items()} == {"dark[0]": "undone", "dark[1]": "undone"}


async def test_on_failure_undo_puts_everything_back_and_its_steps_run(env: WorkflowEnvironment) -> None:
    body = """containment:
  - {id: dark, do: lamp.switch, with: {lamp: hall}}
  - {id: darker, do: lamp.switch, with: {lamp: yard}}
  - {id: broken, do: lamp.switch, on_error: stop, with: {lamp: nowhere}}
"""
    async with incident(env, f"{HEAD}on_failure: undo\n{body}", policy=AUTOMATIC) as run:
        ended = await run.end()
    assert ended.status is IncidentStatus.FAILED
    assert run.world.lamps == {"hall": "on", "yard": "on", "loft": "on"}
    assert [c for c in run.world.calls if c.endswith("undo")] == ["yard:undo", "hall:undo"]

    steps = "on_failure:\n  - {id: look_after, do: lamp.look, with: {lamp: loft}}\n"
    async with incident(env, f"{HEAD}{steps}{body}", policy=AUTOMATIC) as run:
        ended = await run.end()
    assert ended.status is IncidentStatus.FAILED
    assert ended.steps["look_after"].status is StepStatus.SUCCEEDED
    assert run.world.lamps["hall"] == "off"


async def test_on_cancel_undo_and_a_second_cancel_that_leaves_it(env: WorkflowEnvironment) -> None:
    playbook = f"""{HEAD}on_cancel: undo
containment:
  - {{id: dark, do: lamp.switch, with: {{lamp: hall}}}}
  - {{id: nap, wait: {{for: 2d}}}}
"""

    async def cancel(run: Started, n: int) -> bool:
        request = PersonRequest(responder=ALICE, reason="enough")
        return (await run.engine.tell(run.workflow_id, "cancel", request, request_id=f"c{n}")).accepted

    async with incident(env, playbook, policy=AUTOMATIC) as run:
        await run.until(lambda i: "nap" in i.steps)
        assert await cancel(run, 1)
        ended = await run.end()
    assert ended.status is IncidentStatus.CANCELLED
    assert run.world.lamps["hall"] == "on"
    assert "enough" in ended.closed_reason

    async with incident(env, playbook, policy=AUTOMATIC) as run:
        await run.until(lambda i: "nap" in i.steps)
        run.world.lamps["hall"] = "flickering"
        assert await cancel(run, 1)
        await run.until(lambda i: bool(i.needing_attention))
        assert await cancel(run, 2)
        ended = await run.end()
    assert ended.status is IncidentStatus.CANCELLED
    assert [e.step_id for e in ended.residual] == ["dark"]


async def test_skipping_what_waits_and_what_is_not_reached(env: WorkflowEnvironment) -> None:
    playbook = f"""{HEAD}containment:
  - {{id: dark, do: lamp.switch, with: {{lamp: hall}}}}
  - {{id: later, do: lamp.switch, with: {{lamp: yard}}}}
  - {{id: look, do: lamp.look, with: {{lamp: loft}}}}
"""
    async with incident(env, playbook) as run:
        await run.approval()
        for step in ("later", "dark"):
            request = SkipRequest(step_id=step, responder=ALICE, reason="not now")
            assert (await run.engine.tell(run.workflow_id, "skip_step", request, request_id=step)).accepted
        unknown = SkipRequest(step_id="nothing", responder=ALICE)
        assert not (await run.engine.tell(run.workflow_id, "skip_step", unknown, request_id="n")).accepted
        ended = await run.end()
    assert steps_of(ended) == {"dark": "skipped", "later": "skipped", "look": "succeeded"}
    assert ended.steps["later"].skipped_by == "alice"
    assert ended.status is IncidentStatus.CLOSED_INCOMPLETE
    assert ended.contained_at is None
    assert run.world.lamps["hall"] == "on"


async def test_skipping_what_is_in_a_loop_and_a_whole_block(env: WorkflowEnvironment) -> None:
    playbook = f"""{HEAD}identification:
  - {{id: nap, wait: {{for: 1h}}}}
  - id: every
    foreach: "['hall', 'yard']"
    steps:
      - {{id: look, do: lamp.look, with: {{lamp: "{{{{ item }}}}"}}}}
      - {{id: again, do: lamp.look, with: {{lamp: "{{{{ item }}}}"}}}}
  - id: block
    parallel: {{one: [{{id: inside, do: lamp.look, with: {{lamp: loft}}}}]}}
"""
    async with incident(env, playbook) as run:
        await run.until(lambda i: "nap" in i.steps)
        for step in ("look", "block"):
            request = SkipRequest(step_id=step, responder=ALICE)
            assert (await run.engine.tell(run.workflow_id, "skip_step", request, request_id=step)).accepted
        ended = await run.end()
    assert [c for c in run.world.calls if c.endswith("look")] == ["hall:look", "yard:look"]
    assert ended.steps["look[1]"].skipped_by == "alice"
    assert ended.steps["block"].status is StepStatus.SKIPPED
    assert ended.steps["every"].failed_rounds == [0, 1]


async def test_a_pause_lets_nothing_new_begin(env: WorkflowEnvironment) -> None:
    playbook = f"""{HEAD}containment:
  - {{id: dark, do: lamp.switch, with: {{lamp: hall}}}}
  - {{id: look, do: lamp.look, with: {{lamp: loft}}}}
"""
    async with incident(env, playbook) as run:
        await run.approval()
        pause = PersonRequest(responder=ALICE, reason="wait")
        assert not (
            await run.engine.tell(run.workflow_id, "pause", PersonRequest(responder=CAROL), request_id="c")
        ).accepted
        assert (await run.engine.tell(run.workflow_id, "pause", pause, request_id="p")).accepted
        assert (await vote(run, ALICE)).accepted
        await asyncio.sleep(0.3)
        assert run.world.lamps["hall"] == "on", "it is approved, and paused"
        assert (await run.engine.state(run.workflow_id)).paused == "wait"
        assert (await run.engine.tell(run.workflow_id, "resume", pause, request_id="r")).accepted
        ended = await run.end()
    assert run.world.lamps["hall"] == "off"
    assert ended.paused is None
    assert [e.actor.id for e in run.recorded.entries if e.kind.startswith("incident.paused")] == ["alice"]
