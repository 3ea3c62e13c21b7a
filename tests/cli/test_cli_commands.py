"""What a person tells a running incident by the command line reaches it, by REST, as it was said."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from test_cli_decisions import project
from web_world import START, World, chain, opened, plan

from soar.cli.exit_codes import ExitCode
from soar.engine.messages import Reply
from soar.model.course import ClockStarted, FormSpec, TaskOpened
from soar.model.events import EffectStarted, PlanMade, StepStarted
from soar.model.terms import Phase, Risk, Severity
from soar.playbook.differences import graph_differences
from soar.playbook.graph import SetNode, StepGraph


@pytest.fixture
def course(server: World, tmp_path: Path) -> World:
    """An incident with a change in place, an open task and a deadline."""
    the_plan = plan("x")
    digest = the_plan.content_digest
    form = {"reached": FormSpec(type="boolean", label="Reached?")}
    events: list[Any] = [
        StepStarted(step_id="dark[3]", name="dark", action="a.b", risk=Risk.REVERSIBLE),
        PlanMade(step_id="dark[3]", plan=the_plan, plan_digest=digest),
        EffectStarted(step_id="dark[3]", plan_digest=digest),
        StepStarted(step_id="call", name="Call the owner", action="task", risk=Risk.READ),
        TaskOpened(step_id="call", instructions="Ask \x1b[2Jher", roles=("responder",), form=form),
        ClockStarted(clock="tell", label="Tell them", started_at=START, due_at=START + timedelta(hours=72)),
    ]
    project(tmp_path, chain("INC-2", opened("INC-2", "on its way"), *((e, "said") for e in events)))
    return server


@pytest.mark.parametrize(
    ("words", "update", "fields"),
    [
        (("pause", "INC-2"), "pause", {}),
        (("resume", "INC-2"), "resume", {}),
        (("cancel", "INC-2", "--yes"), "cancel", {}),
        (("retry-step", "INC-2", "dark[3]"), "retry_step", {"step_id": "dark[3]"}),
        (("skip-step", "INC-2", "later"), "skip_step", {"step_id": "later"}),
        (("set-severity", "INC-2", "critical"), "set_severity", {"severity": Severity.CRITICAL}),
        (("extend", "INC-2", "dark[3]", "--for", "4h"), "extend", {"step_id": "dark[3]", "seconds": 14400}),
        (("extend", "INC-2", "dark[3]"), "extend", {"seconds": None}),
        (("task-done", "INC-2", "call", "reached=yes"), "complete_task", {"values": {"reached": "yes"}}),
        (("clock-met", "INC-2", "tell"), "meet_clock", {"clock": "tell"}),
    ],
)
def test_each_command_is_told_with_who_and_why(
    soar: Any, course: World, words: tuple[str, ...], update: str, fields: dict[str, object]
) -> None:
    code, _, err = soar("incident", *words, "--reason", "because")
    assert code == 0, err
    [(name, workflow, told)] = course.engine.told
    request: Any = told
    assert (name, workflow) == (update, "incident/test/INC-2")
    assert request.responder.id == "irene"
    assert request.reason == "because"
    assert {key: getattr(request, key) for key in fields} == fields
    course.engine.answer = Reply(accepted=False, message="this takes the role responder")
    code, _, err = soar("incident", *words)
    assert (code, "takes the role" in err) == (ExitCode.NOT_PERMITTED, True)


def test_somebody_of_the_roster_is_put_in_charge(soar: Any, course: World) -> None:
    assert soar("incident", "assign", "INC-2", "maya")[0] == 0
    assert soar("incident", "assign", "INC-2")[0] == 0
    requests: list[Any] = [request for *_, request in course.engine.told]
    assert [r.assignee and r.assignee.id for r in requests] == ["maya", None]
    code, _, err = soar("incident", "assign", "INC-2", "nobody")
    assert (code, "irene" in err) == (ExitCode.NOT_FOUND, True)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("extend", "INC-2", "nothing"), ExitCode.NOT_FOUND),
        (("extend", "INC-2", "dark[3]", "--for", "soon"), ExitCode.USAGE),
        (("task-done", "INC-2", "nothing"), ExitCode.NOT_FOUND),
        (("task-done", "INC-2", "call", "reached"), ExitCode.USAGE),
        (("clock-met", "INC-2", "nothing"), ExitCode.NOT_FOUND),
        (("pause", "INC-9"), ExitCode.NOT_FOUND),
    ],
)
def test_what_makes_no_sense_is_said_and_not_told(
    soar: Any, course: World, words: tuple[str, ...], code: ExitCode
) -> None:
    assert soar("incident", *words)[0] == code
    assert course.engine.told == []


def test_open_tasks_and_deadlines_are_listed_without_control_characters(soar: Any, course: World) -> None:
    code, out, _ = soar("incident", "tasks", "INC-2")
    assert code == 0
    assert "Call the owner" in out
    assert "reached" in out
    assert "\x1b" not in out
    code, out, _ = soar("incident", "clocks", "INC-2")
    assert (code, "Tell them" in out, "running" in out) == (0, True, True)


def test_what_differs_between_two_versions_is_said_in_words() -> None:
    def graph(**nodes: dict[str, object]) -> StepGraph:
        made = {
            name: SetNode.model_validate(
                {"id": name, "name": name, "phase": Phase.RECOVERY, "values": {"a": 1}, **fields}
            )
            for name, fields in nodes.items()
        }
        return StepGraph(entries={Phase.RECOVERY: next(iter(nodes))}, nodes=made)

    before = graph(same={}, gone={}, other={"when": "true"})
    after = graph(same={}, other={"when": "false", "values": {"a": 2}}, new={})
    assert graph_differences(before, before) == ()
    assert graph_differences(before, after) == (
        "other: its condition was 'true' and is 'false', its values differ",
        "new in recovery: new (set)",
        "gone from recovery: gone (set)",
    )
