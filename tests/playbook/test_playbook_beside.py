"""Which reads may run together although they are written one after the other."""

from __future__ import annotations

import pytest
from lint_world import whole

from soar.actions.registry import catalogue
from soar.playbook.compiler import compile_playbook
from soar.playbook.graph import StepGraph
from soar.playbook.loader import load_playbook

READ = "aws.iam.describe_principal"
USER = "with: {name: '{{ alert.actor.name }}'}"


def graph(steps: str) -> StepGraph:
    loaded = load_playbook(whole(f"identification:\n{steps}"), file="p.yaml")
    return compile_playbook(loaded, catalogue())


def beside(steps: str) -> tuple[str, ...]:
    return graph(steps).beside


def reads(*rest: str) -> str:
    return "".join(f"  - {{id: r{n}, do: {READ}, {more or USER}}}\n" for n, more in enumerate(rest))


def test_reads_that_need_nothing_of_each_other_run_together() -> None:
    assert beside(reads("", "", "")) == ("r1", "r2")


@pytest.mark.parametrize(
    "needing",
    [
        "with: {name: '{{ steps.r0.result.name }}'}",
        f"when: steps.r0.status == 'succeeded', {USER}",
        f"when: \"'r0' in steps\", {USER}",
        "with: {name: \"{{ steps['r0'].result.name }}\"}",
        'with: {name: "{{ steps[alert.title].result.name }}"}',
        f"when: incident.severity == 'high', {USER}",
        f"timeout: 10m, {USER}",
    ],
)
def test_a_read_that_may_need_what_came_before_it_waits(needing: str) -> None:
    assert beside(reads("", needing)) == ()


def test_after_one_that_waits_others_join_it() -> None:
    assert beside(reads("", "with: {name: '{{ steps.r0.result.name }}'}", "")) == ("r2",)


def test_what_needs_one_of_an_earlier_row_waits_for_nothing_more() -> None:
    steps = reads(
        "", "with: {name: '{{ steps.r0.result.name }}'}", "with: {name: '{{ steps.r0.result.name }}'}"
    )
    assert beside(steps) == ("r2",)


def test_a_change_and_what_people_do_end_a_row() -> None:
    last = f"  - {{id: last, do: {READ}, {USER}}}\n"
    change = "  - {id: change, do: aws.iam.quarantine_user, with: {user_name: x}}\n"
    assert beside(reads("") + change + last) == ()
    task = "  - {id: task, task: {role: responder, instructions: Look.}}\n"
    assert beside(reads("") + task + last) == ()


def test_steps_of_different_branches_make_no_row() -> None:
    branches = f"""  - parallel:
      a:
        - {{id: a1, do: {READ}, {USER}}}
        - {{id: a2, do: {READ}, {USER}}}
      b:
        - {{id: b1, do: {READ}, {USER}}}
"""
    assert beside(branches) == ("a2",)


CHANGE = "do: aws.iam.quarantine_user"


@pytest.mark.parametrize("place", ["", "containment:\n"])
def test_a_change_right_after_reads_may_be_planned_with_them(place: str) -> None:
    change = f"  - {{id: change, {CHANGE}, with: {{user_name: x}}}}\n"
    assert graph(reads("", "") + place + change).ahead == ("change",)


@pytest.mark.parametrize(
    "change",
    [
        f"{CHANGE}, with: {{user_name: '{{{{ steps.r0.result.name }}}}'}}",
        f"{CHANGE}, with: {{user_name: x}}, when: alert.title == 'a'",
        "do: incident.undo, with: {step: r0}",
        "do: report.write",
    ],
)
def test_what_needs_a_read_or_may_not_come_is_planned_in_its_turn(change: str) -> None:
    assert graph(reads("") + f"containment:\n  - {{id: change, {change}}}\n").ahead == ()


def test_a_change_after_something_else_than_reads_is_planned_in_its_turn() -> None:
    change = f"  - {{id: change, {CHANGE}, with: {{user_name: x}}}}\n"
    task = "  - {id: task, task: {role: responder, instructions: Look.}}\n"
    assert graph(reads("") + task + change).ahead == ()
    assert graph(reads("") + task + "containment:\n" + change).ahead == ()
    second = f"  - {{id: second, {CHANGE}, with: {{user_name: y}}}}\n"
    assert graph(reads("") + change + second).ahead == ("change",), (
        "the first may alter what the second finds"
    )
