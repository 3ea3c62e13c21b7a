"""People, waits, loops, deadlines and changes that expire: shown as they were, in every format."""

from __future__ import annotations

import json
import os
from datetime import timedelta

import build
import build_course
import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_reports_render import ATTACKS, SNAPSHOTS, UPDATE, page, shape

from soar.model.base import digest_of
from soar.model.change import Plan, Result
from soar.model.course import (
    ChildEnded,
    ChildOpened,
    ClockMet,
    EffectExpirySet,
    IncidentPaused,
    SeveritySet,
    TaskCancelled,
    TaskOpened,
)
from soar.model.course import TaskStatus as Task
from soar.model.events import EffectUndone, StepSkipped, StepStarted, StepSucceeded
from soar.model.people import ApprovalStatus
from soar.model.terms import IncidentStatus, Phase, Risk, Severity, StepStatus
from soar.reports.flow import ROUNDS_SHOWN
from soar.reports.model import Report, build_report
from soar.reports.render import render, report_schema, to_html, to_json, to_markdown


def report(b: build.Builder) -> Report:
    return build_report(b.incident, b.entries, playbook_text=build.PLAYBOOK_TEXT)


@pytest.fixture(scope="module")
def whole() -> Report:
    return report(build_course.course())


def texts(r: Report, kind: str) -> list[str]:
    return [g.text for g in r.gaps if g.kind == kind]


# ---- what people did ------------------------------------------------------------------------------------------------


def test_tasks_say_who_what_when_and_how_late(whole: Report) -> None:
    late, timely, withdrawn = whole.tasks
    assert (late.done_by, late.done_by_name, late.status) == ("dana", "Dana Ortiz", Task.DONE)
    assert late.due_at is not None
    assert late.ended_at is not None
    assert late.late_milliseconds == (late.ended_at - late.due_at) / timedelta(milliseconds=1)
    assert late.late_milliseconds > 0
    assert late.reminders == 1
    assert [x.responder for x in late.refusals] == ["eve"]
    assert [(a.name, a.value) for a in late.answers] == [
        ("owner", "Team Build"),
        ("rotated", False),
        ("ticket", None),
    ]
    assert timely.late_milliseconds is not None
    assert timely.late_milliseconds < 0
    assert (withdrawn.status, withdrawn.late_milliseconds) == (Task.CANCELLED, None)
    assert withdrawn.withdrawn == "left out by Dana Ortiz"


def test_due_time_is_the_first_one_whatever_reminders_came_after_it(whole: Report) -> None:
    asked = next(row for row in whole.timeline if row.kind == "task.opened")
    assert whole.tasks[0].due_at is not None
    assert timedelta(minutes=14) < whole.tasks[0].due_at - asked.time <= timedelta(minutes=15)


def test_open_task_is_an_open_point_and_its_lateness_runs() -> None:
    b = build_course.Course().open()
    b.begin(Phase.IDENTIFICATION)
    b.task("ask", "Ask the owner", minutes=5)
    b.now += timedelta(minutes=20)
    b.add(IncidentPaused(), "Paused", actor=build.DANA)
    r = report(b)
    (task,) = r.tasks
    assert task.status is Task.OPEN
    assert task.late_milliseconds is not None
    assert task.late_milliseconds > 15 * 60_000
    assert any("Ask the owner" in p.text for p in r.summary.open_points)
    assert "overdue" in texts(r, "task")[0]
    assert "nobody has resumed" in texts(r, "paused")[0]
    assert r.course.paused_milliseconds == 0  # it began with the very last entry


def test_task_asked_anew_has_a_row_for_each_time() -> None:
    b = build_course.Course().open()
    b.begin(Phase.IDENTIFICATION)
    b.task("ask", "Ask the owner")
    again = TaskOpened(step_id="ask", instructions="Again.", roles=("responder",))
    b.entries[-1:] = []  # the first asking is replaced by two of the same step
    b.add(again, "Task")
    b.add(TaskCancelled(step_id="ask", reason="timed out"), "Withdrawn")
    b.add(again, "Task")
    b.did("ask", {})
    assert [t.status for t in report(b).tasks] == [Task.CANCELLED, Task.DONE]


def test_no_is_an_answer_and_no_gap(whole: Report) -> None:
    (question,) = whole.questions
    assert (question.answer, question.votes[0].reason) == ("no", "It went out already.")
    assert not texts(whole, "denied")
    assert [a.question for a in whole.approvals] == [True, False, False, False]
    assert "3 approvals asked for" in " ".join(s.text for s in whole.summary.statements)


def test_question_that_nobody_answered_is_a_gap() -> None:
    b = build_course.Course().open()
    b.begin(Phase.IDENTIFICATION)
    b.step("ask", "Ask whether to go on", "approve")
    plan = Plan(action="approve", params={}, summary="Go on?")
    b.plan("ask", plan, start=False)
    b.ask("ask", plan, "ap-1")
    b.close_approval("ap-1", ApprovalStatus.EXPIRED)
    r = report(b)
    assert r.questions[0].answer is None
    assert texts(r, "expired") == ["The question “Ask whether to go on” expired with 0 votes of 1."]


def test_decisions_about_steps_name_the_person_the_reason_and_the_end(whole: Report) -> None:
    assert [(i.step_id, i.decision, i.by, i.reason, i.then) for i in whole.interventions] == [
        ("no-need", "skip", "Dana Ortiz", "", StepStatus.SKIPPED),
        ("night", "skip", "Dana Ortiz", "Not needed.", StepStatus.SKIPPED),
        ("notify", "retry", "Sam Okafor", "It is quiet again.", StepStatus.SUCCEEDED),
        ("never", "skip", "Sam Okafor", "", None),
    ]
    assert whole.interventions[2].failed_with == "IAM asked to slow down"


# ---- waits, loops, called playbooks ---------------------------------------------------------------------------------


def test_waits_say_what_ended_them(whole: Report) -> None:
    assert [w.ended_by for w in whole.waits] == ["time", "alert", "person"]
    assert whole.waits[1].alert == "Key used again (f0b9)"
    assert whole.waits[0].milliseconds is not None
    assert whole.waits[0].milliseconds >= 30 * 60_000


def test_waits_that_were_cut_off_or_go_on() -> None:
    b = build_course.Course().open()
    b.begin(Phase.IDENTIFICATION)
    b.wait("first", "A finding")
    b.done("first", "It happened", {"happened": True})
    b.wait("second", "Another")
    assert [w.ended_by for w in report(b).waits] == ["condition", "waiting"]
    b.close(IncidentStatus.CANCELLED)
    assert report(b).waits[1].ended_by == "stopped"


def test_loop_shows_what_failed_first_and_counts_the_rest(whole: Report) -> None:
    loop = whole.loops[0]
    assert (loop.items, loop.ended, loop.failed) == (60, 60, 2)
    assert len(loop.rounds) == ROUNDS_SHOWN
    assert loop.not_shown == 60 - ROUNDS_SHOWN
    assert [o.index for o in loop.rounds if o.failed] == [3, 57]
    assert loop.rounds[-1].item == "AKIA0057"
    assert [(s.step_name, s.status, s.why) for s in loop.rounds[-1].steps] == [
        ("Look at the key", StepStatus.FAILED, "it is gone")
    ]
    # The state has let go of this round's step; the timeline has not.
    assert loop.rounds[0].steps[0].status is StepStatus.SUCCEEDED
    assert "round 58" in " ".join(texts(whole, "failed"))


def test_loop_with_more_failures_than_are_shown_counts_those_too() -> None:
    b = build_course.Course().open()
    b.begin(Phase.IDENTIFICATION)
    b.foreach("others", list(range(40)), set(range(30)))
    (loop,) = report(b).loops
    assert (loop.not_shown, loop.not_shown_failed) == (40 - ROUNDS_SHOWN, 30 - ROUNDS_SHOWN)
    assert all(o.failed for o in loop.rounds)


def test_loop_that_is_under_way_shows_the_items_that_are_left() -> None:
    b = build_course.Course().open()
    b.begin(Phase.IDENTIFICATION)
    b.foreach("others", ["a", "b"], set())
    while b.entries[-1].kind != "loop.started":
        b.entries.pop()
    (loop,) = report(b).loops
    assert [(o.item, o.failed) for o in loop.rounds] == [("a", None), ("b", None)]


def test_collected_value_is_not_taken_for_a_step() -> None:
    r = report(build_course.hostile("look"))
    collected = next(loop for loop in r.loops if loop.step_id == "collect")
    shown = [s.step_id for s in collected.rounds[0].steps]
    assert shown in ([], ["look[0]"])
    # `look[0]` is a step of another loop, and it failed: what the value claims of it is not believed.
    assert all(s.status is StepStatus.FAILED for s in collected.rounds[0].steps)


def test_repeat_shows_its_rounds(whole: Report) -> None:
    loop = whole.loops[1]
    assert (loop.kind, loop.items, loop.failed) == ("repeat", None, 0)
    assert [o.value for o in loop.rounds] == [False, False, True]


def test_called_playbook_has_its_incident_status_and_outputs(whole: Report) -> None:
    (call,) = whole.called
    assert (call.incident_id, call.status) == ("INC-CHILD", IncidentStatus.CLOSED_INCOMPLETE)
    assert call.outputs == {"found": 2, "accounts": ["1", "2"]}
    assert any("INC-CHILD" in t for t in texts(whole, "called"))


# ---- deadlines ------------------------------------------------------------------------------------------------------


def test_deadlines_are_met_met_late_missed_or_running(whole: Report) -> None:
    assert {c.name: c.outcome for c in whole.clocks} == {
        "told": "met",
        "rotated": "met_late",
        "asked": "missed",
        "review": "running",
    }
    by_name = {c.name: c for c in whole.clocks}
    assert (by_name["told"].met_by, by_name["told"].reason) == ("automatic", "step notify")
    assert by_name["told"].left_milliseconds > 0
    assert (by_name["rotated"].met_by, by_name["rotated"].reason) == ("Dana Ortiz", "")
    assert by_name["rotated"].left_milliseconds < 0
    assert len(texts(whole, "deadline")) == 2


def test_deadlines_are_metrics_with_what_they_allow(whole: Report) -> None:
    metrics = {m.id: m for m in whole.metrics}
    for clock in whole.clocks:
        metric = metrics[f"deadline.{clock.name}"]
        assert metric.limit_milliseconds == clock.allowed_milliseconds
        assert metric.milliseconds == clock.milliseconds
        assert bool(metric.why_missing) == (clock.met_at is None)


def test_deadline_met_at_its_last_moment_is_met() -> None:
    b = build_course.Course().open()
    b.clock("told", "Tell them", 10)
    b.now = b.incident.clocks["told"].due_at
    b.add(ClockMet(clock="told", reason="step x"), "Met", seconds=0)
    (clock,) = report(b).clocks
    assert (clock.outcome, clock.left_milliseconds) == ("met", 0)


# ---- changes that expire --------------------------------------------------------------------------------------------


def test_expiry_is_told_from_the_first_word_to_the_last(whole: Report) -> None:
    temporary, kept, stuck = whole.effects
    assert [(x.by, x.reason) for x in temporary.expiry] == [
        ("", "the playbook says so"),
        ("Dana Ortiz", "The investigation goes on."),
    ]
    assert temporary.undo is not None
    assert (temporary.undo.done, temporary.undo.expired) == (True, True)
    assert (kept.kept_by, kept.expires_at, kept.undo) == ("Dana Ortiz", None, None)
    assert stuck.undo is not None
    assert (stuck.undo.done, stuck.undo.expired, stuck.kept_by) == (False, True, "")
    assert whole.residual == (2, 3)
    assert "could not be put back by itself" in texts(whole, "expiry")[0]


def test_undo_that_a_person_asked_for_before_the_time_was_over_is_not_by_itself() -> None:
    b = build_course.Course().open()
    b.begin(Phase.CONTAINMENT)
    b.change("deactivate-key", "ap-1", minutes=30)
    name = "Undo asked by Dana Ortiz"
    b.add(StepStarted(step_id="undo-1", name=name, action="incident.undo", risk=Risk.REVERSIBLE), name)
    undone = EffectUndone(step_id="deactivate-key", result=Result(summary="Active"), restored=True)
    b.add(undone, "Undone")
    (effect,) = report(b).effects
    assert effect.undo is not None
    assert (effect.undo.expired, effect.undo.within) == (False, name)


def test_expiry_belongs_to_the_change_that_stood_when_it_was_set() -> None:
    b = build_course.Course().open()
    b.begin(Phase.CONTAINMENT)
    b.change("deactivate-key", "ap-1", minutes=30)
    plan = build.key_plan()
    b.apply("deactivate-key", plan)
    first, second = report(b).effects
    assert len(first.expiry) == 1
    assert second.expiry == ()
    b.add(EffectExpirySet(step_id="deactivate-key", expires_at=b.now, reason="x"), "Expires")
    assert [len(e.expiry) for e in report(b).effects] == [1, 1]


# ---- the course of the incident -------------------------------------------------------------------------------------


def test_course_has_pauses_people_severities_versions_and_the_end(whole: Report) -> None:
    course = whole.course
    assert [(p.by, p.reason, p.resumed_by, p.milliseconds) for p in course.pauses] == [
        ("Dana Ortiz", "The release is running.", "Sam Okafor", 600_000)
    ]
    assert course.paused_milliseconds == 600_000
    assert [(a.before, a.after) for a in course.assignments] == [
        ("", "Dana Ortiz"),
        ("Dana Ortiz", "Sam Okafor"),
    ]
    assert [(s.before, s.after, s.cause, s.by) for s in course.severities] == [
        ("", "high", "opened", ""),
        ("high", "critical", "rule", ""),
        ("critical", "medium", "person", "Dana Ortiz"),
    ]
    (upgrade,) = course.upgrades
    assert (upgrade.before, upgrade.after) == (
        digest_of(build.PLAYBOOK_TEXT.encode()),
        whole.cover.playbook_digest,
    )
    assert len(upgrade.differences) == 2
    assert [c.reason for c in course.cancels] == ["It was a drill."]
    assert [c.by for c in course.reopened] == ["Dana Ortiz"]


def test_severity_of_the_course_ends_where_the_state_does() -> None:
    b = build_course.Course().open()
    b.join(build.alert(uid="f2", severity=Severity.CRITICAL))
    b.add(SeveritySet(severity=Severity.LOW, by="dana", reason=""), "Set", actor=build.DANA)
    b.join(build.alert(uid="f3", severity=Severity.CRITICAL))
    r = report(b)
    assert [s.cause for s in r.course.severities] == ["opened", "alert", "person"]
    assert r.course.severities[-1].after == b.incident.severity.label == r.cover.severity


def test_votes_from_before_an_upgrade_are_confirmed_under_their_own_version(whole: Report) -> None:
    assert all(a.shown is not None and a.shown.digest_matches for a in whole.approvals)


# ---- containment ----------------------------------------------------------------------------------------------------


def test_containment_in_a_loop_is_proven_by_the_changes_in_its_rounds() -> None:
    def made(*, verified: bool) -> Report:
        b = build_course.Course().open(contains=("each",))
        b.begin(Phase.CONTAINMENT)
        b.step("each", "Deactivate every key", "foreach")
        plan = build.key_plan()
        b.plan("deactivate[0]", plan)
        b.apply("deactivate[0]", plan)
        if verified:
            b.verify("deactivate[0]")
        b.succeed("deactivate[0]")
        b.done("each")
        b.end()
        return report(b)

    assert made(verified=True).summary.containment.state == "verified"
    unproven = made(verified=False).summary.containment
    assert unproven.state == "unproven"
    assert "round 1" in unproven.reasons[0].text


def test_containment_that_a_person_left_out_was_wanted() -> None:
    b = build_course.Course().open()
    b.begin(Phase.CONTAINMENT)
    skipped = StepSkipped(
        step_id="deactivate-key",
        name="Deactivate the key",
        action="aws.iam.deactivate_access_key",
        risk=Risk.REVERSIBLE,
        by="dana",
        reason="by Dana Ortiz",
    )
    b.add(skipped, "Skipped")
    b.end()
    r = report(b)
    assert r.summary.containment.state == "not_contained"
    assert b.incident.contained_at is None


@pytest.mark.parametrize(
    ("status", "state"),
    [(IncidentStatus.CLOSED, "verified"), (IncidentStatus.CLOSED_INCOMPLETE, "unproven")],
)
def test_containment_by_a_called_playbook_is_as_good_as_its_end(status: IncidentStatus, state: str) -> None:
    b = build_course.Course().open(contains=("call",))
    b.begin(Phase.CONTAINMENT)
    b.add(
        StepStarted(step_id="call", name="Contain there", action="playbook", risk=Risk.REVERSIBLE), "Started"
    )
    b.add(ChildOpened(step_id="call", workflow_id="w", incident_id="INC-2", playbook="contain"), "Called")
    b.add(ChildEnded(step_id="call", status=status), "Ended")
    result = b.incident.steps["call"].result
    assert result is not None
    b.add(StepSucceeded(step_id="call", changed=True, result=result), "Done")
    b.end()
    assert report(b).summary.containment.state == state


# ---- the formats ----------------------------------------------------------------------------------------------------


def test_what_nobody_filled_in_prints_not_provided(whole: Report) -> None:
    for data in (to_html(whole), to_markdown(whole)):
        section = data.decode().split("What people did")[-1]
        assert (
            section.split("Questions")[0].count("Not provided") == 5
        )  # a ticket, instructions, a form withdrawn


@pytest.mark.parametrize("name", ["course", "hostile"])
def test_json_fits_its_schema_and_comes_back_the_same(name: str) -> None:
    b = build_course.course() if name == "course" else build_course.hostile("x")
    r = report(b)
    data = to_json(r)
    jsonschema.Draft202012Validator(report_schema()).validate(json.loads(data))
    assert Report.model_validate_json(data) == r


def test_same_timeline_gives_the_same_bytes() -> None:
    assert render(report(build_course.course())) == render(report(build_course.course()))


@pytest.mark.parametrize("name", ["json", "html", "md"])
def test_course_is_as_last_read(name: str, whole: Report) -> None:
    """To accept a wanted change: run with SOAR_UPDATE_SNAPSHOTS=1, then read the difference."""
    data = render(whole)[name]
    if name == "json":
        data = (json.dumps(json.loads(data), indent=1, ensure_ascii=False) + "\n").encode()
    path = SNAPSHOTS / f"course.{name}"
    if os.environ.get(UPDATE):
        path.write_bytes(data)
    assert path.read_bytes() == data


PLAIN = report(build_course.hostile("plain"))
PLAIN_ELEMENTS = page(to_html(PLAIN)).elements
PLAIN_SHAPE = shape(to_markdown(PLAIN))


def inert(text: str) -> None:
    r = report(build_course.hostile(text))
    assert page(to_html(r)).elements == PLAIN_ELEMENTS
    assert shape(to_markdown(r)) == PLAIN_SHAPE
    assert json.loads(to_json(r))["tasks"][0]["instructions"] == text


@pytest.mark.parametrize("text", ATTACKS)
def test_attacks_change_nothing_of_the_structure(text: str) -> None:
    inert(text)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.one_of(
            st.sampled_from(
                ["\n", "|", "`", "<b>", "](", "![", "# ", "- ", "*", "_", "[0]", "\\", "//a.b", "@x"]
            ),
            st.text(st.characters(codec="utf-8"), max_size=8),
        ),
        min_size=1,
        max_size=12,
    )
    .map("".join)
    .filter(lambda text: text not in ("", "late", "look", "other"))
)
def test_no_text_changes_the_structure(text: str) -> None:
    inert(text)


def test_timeline_with_an_unreadable_entry_still_tells_the_rest() -> None:
    b = build_course.course()
    incident = b.incident
    index = next(n for n, entry in enumerate(b.entries) if entry.kind == "task.done")
    b.entries[index] = b.entries[index].model_copy(update={"kind": "task.dreamt"})
    r = build_report(incident, b.entries)
    assert r.tasks[0].status is Task.OPEN
    assert render(r)
    assert any("task.dreamt" in g.text for g in r.gaps)
