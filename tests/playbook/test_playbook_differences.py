"""What differs between two playbooks is said in words: all of it, and nothing that is the same."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soar.actions.registry import catalogue
from soar.playbook.changed_fields import changed_fields
from soar.playbook.comparison import Difference, compare_playbooks
from soar.playbook.compiler import compile_playbook
from soar.playbook.differences import graph_differences
from soar.playbook.graph import StepGraph
from soar.playbook.loader import LoadedPlaybook, load_playbook

BASE = """
name: base
title: Base
match: {source: guardduty, rule: [a/*, b/*]}
correlate_by: [alert.account]
roles: {responder: decides}
inputs: {hours: {type: number, default: 72}}
identification:
  - set: {made: 1}
  - {id: user, do: aws.iam.describe_principal, with: {name: x, type: user}}
containment:
  - id: off
    do: aws.iam.deactivate_access_key
    when: vars.made == 1
    with: {user_name: x}
    approval: {role: responder}
    timeout: 5m
  - id: way
    if: vars.made == 1
    then:
      - {id: deny, do: aws.iam.quarantine_user, with: {user_name: x}, approval: {role: responder}}
    else:
      - {id: rest, wait: {for: 10m}}
lessons_learned:
  - {id: report, do: report.write}
"""
CHILD = "name: child\nidentification:\n  - {id: rest, wait: {for: 10m}}\n"
CALLER = "name: caller\nidentification:\n  - {id: run, playbook: child}\n"


def read(text: str, child: str = CHILD) -> tuple[LoadedPlaybook, StepGraph]:
    loaded, called = load_playbook(text, file="x"), load_playbook(child, file="child")
    return loaded, compile_playbook(loaded, catalogue(), {"child": called}.__getitem__)


def compared(*changes: tuple[str, str]) -> tuple[Difference, ...]:
    text = BASE
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return compare_playbooks(read(BASE), read(text))


@pytest.mark.parametrize(
    ("old", "new", "place", "words"),
    [
        ("title: Base", "title: Other", "the playbook", "its title was “Base” and is “Other”"),
        ("rule: [a/*, b/*]", "rule: [a/*, c/*]", "the playbook", "the alerts’ rule: now with “c/*”, without “b/*”"),
        ("rule: [a/*, b/*]", "rule: [b/*, a/*]", "the playbook", "the alerts’ rule: in another order"),
        ("source: guardduty,", "source: guardduty, severity: high,", "the playbook",
         "the alerts’ severity is new: “high”"),
        ("[alert.account]", "[alert.region]", "the playbook",
         "which alerts are one incident: now with “alert.region”, without “alert.account”"),
        ("decides", "says yes", "the playbook", "its role responder was “decides” and is “says yes”"),
        ("default: 72", "default: 48", "the playbook", "its input hours.default was 72 and is 48"),
        ("lessons_learned", "metadata: {owner: us}\nlessons_learned", "the playbook", "its owner was “” and is “us”"),
        ("lessons_learned", "on_failure: undo\nlessons_learned", "the playbook",
         "what is done after a failure was “keep” and is “undo”"),
        ("lessons_learned", "severity: [{when: 'true', severity: high}]\nlessons_learned", "the playbook",
         'its rules of severity: now with {"when": "true", "severity": "high"}'),
        ("with: {user_name: x}\n", "with: {user_name: y}\n", "containment",
         "off: its argument user_name was “x” and is “y”"),
        ("with: {user_name: x}\n", "with: {user_name: x, access_key_id: k}\n", "containment",
         "off: its argument access_key_id is new: “k”"),
        ("when: vars.made == 1", "when: vars.made == 2", "containment",
         "off: its condition was “vars.made == 1” and is “vars.made == 2”"),
        ("    when: vars.made == 1\n", "", "containment", "off: its condition is gone; it was “vars.made == 1”"),
        ("timeout: 5m", "timeout: 2h", "containment", "off: its time was 5m and is 2h"),
        ("timeout: 5m", "expires: 2d\n    timeout: 5m", "containment", "off: when it is put back is new: 2d"),
        ("approval: {role: responder}\n", "approval: {role: responder, approvers: 2}\n", "containment",
         "off: how many people it asks was 1 and is 2"),
        ("    approval: {role: responder}\n    timeout", "    timeout", "containment",
         "off: whom it asks is gone; it was “responder”; how many people it asks is gone; it was 1"),
        ("timeout: 5m", "timeout: 5m\n    on_error: stop", "containment",
         "off: what happens when it fails was “ask” and is “stop”"),
        ("aws.iam.deactivate_access_key", "aws.iam.delete_access_key", "containment",
         "off: its action was “aws.iam.deactivate_access_key” and is “aws.iam.delete_access_key”"),
        ("if: vars.made == 1", "if: vars.made == 2", "containment",
         "way: its `if` was “vars.made == 1” and is “vars.made == 2”"),
        ("wait: {for: 10m}", "wait: {for: 1h}", "containment", "rest: how long it waits was 10m and is 1h"),
        ("wait: {for: 10m}", "set: {a: 1}", "containment", "rest: it was a wait and is a set"),
        ("set: {made: 1}", "set: {made: 2}", "identification",
         "the step that sets made: its value made was 1 and is 2"),
        ("  - {id: report, do: report.write}", "  - {id: report, do: report.write}\n  - {id: z, wait: {for: 1m}}",
         "lessons learned", "new: z (waits 1m)"),
        ("  - {id: user, do: aws.iam.describe_principal, with: {name: x, type: user}}\n", "", "identification",
         "gone: user (aws.iam.describe_principal)"),
    ],
)  # fmt: skip
def test_each_difference_is_said_with_its_values(old: str, new: str, place: str, words: str) -> None:
    (found,) = compared((old, new))
    assert (found.place, found.text) == (place, words)


def test_a_step_without_an_id_is_known_again_behind_a_new_one() -> None:
    found = compared(("  - set: {made: 1}", "  - set: {other: 2}\n  - set: {made: 1}"))
    assert [one.text for one in found] == ["new: the step that sets other (sets other)"]


def test_a_choice_without_an_id_that_asks_something_else_moves_nothing() -> None:
    text = "name: a\nrecovery: [{if: vars.x == 1, then: [{id: rest, wait: {for: 10m}}]}]\n"
    (found,) = compare_playbooks(read(text), read(text.replace("== 1", "== 2")))
    assert found.text == "the step “if vars.x == 2”: its `if` was “vars.x == 1” and is “vars.x == 2”"


def test_steps_in_another_order_and_in_another_place_are_told() -> None:
    report, rest = "  - {id: report, do: report.write}\n", "      - {id: rest, wait: {for: 10m}}\n"
    moved = compared(("lessons_learned:\n" + report, ""), ("containment:\n", "containment:\n" + report))
    assert [one.text for one in moved] == ["report: it was in lessons learned and is in containment"]
    out = compared(("    else:\n" + rest, ""), ("lessons_learned:\n", "lessons_learned:\n" + rest[4:]))
    assert out[0].changes[0].text == "it was in containment and is in lessons learned"
    assert out[0].changes[1].text == "it was inside way (otherwise) and is inside no other step"
    lines = BASE.splitlines(keepends=True)
    first, second = lines.index("  - set: {made: 1}\n"), lines.index("containment:\n")
    swapped = "".join([*lines[:first], lines[first + 1], lines[first], *lines[second:]])
    found = compare_playbooks(read(BASE), read(swapped))
    assert [one.text for one in found] == [
        "user: what follows it was nothing and is the step that sets made",
        "the step that sets made: what follows it was user and is nothing",
    ]


def test_differences_come_by_phase_and_those_of_called_playbooks_last() -> None:
    found = compared(
        ("lessons_learned", "on_failure:\n  - {id: sorry, wait: {for: 1m}}\nlessons_learned"),
        ("title: Base", "title: Other"),
        ("id: report,", "id: report, timeout: 1m,"),
        ("name: x, type", "name: y, type"),
    )
    places = ["the playbook", "the playbook", "identification", "lessons learned", "on failure"]
    assert [one.place for one in found] == places
    before, after = read(CALLER), read(CALLER, CHILD.replace("10m", "1h"))
    (called,) = compare_playbooks(before, after)
    assert (called.place, called.text) == (
        "child: identification",
        "rest: how long it waits was 10m and is 1h",
    )


def test_what_people_do_not_mean_is_no_difference() -> None:
    written = "# a comment\n" + BASE.replace("rule: [a/*, b/*]", 'rule: ["a/*", "b/*"]')
    assert compare_playbooks(read(BASE), read(written)) == ()
    said = BASE.replace("timeout: 5m", "on_error: ask\n    timeout: 300s")
    assert compare_playbooks(read(BASE), read(said)) == ()


def test_a_long_value_is_kept_but_not_said() -> None:
    (found,) = compared(("with: {user_name: x}\n", f"with: {{user_name: {'x' * 200}}}\n"))
    assert found.text == "off: its argument user_name differs"
    assert found.changes[0].after == "x" * 200


def test_the_line_of_a_timeline_says_a_few_arguments_and_no_more() -> None:
    def differences(old: str, new: str) -> tuple[str, ...]:
        return graph_differences(read(BASE)[1], read(BASE.replace(old, new))[1])

    assert differences("with: {user_name: x}\n", "with: {user_name: y}\n") == (
        "off: its argument user_name was “x” and is “y”",
    )
    many = "with: {user_name: y, a: 1, b: 2, c: 3}\n"
    assert differences("with: {user_name: x}\n", many) == ("off: its arguments differ",)


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.text("ab\n", max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
MAPPINGS = st.dictionaries(st.sampled_from(["params", "when", "approval", "timeout", "retry"]), VALUES)


@given(MAPPINGS, MAPPINGS)
@settings(max_examples=300)
def test_fields_differ_only_if_their_values_do(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert list(changed_fields(before, before)) == []

    def given_only(told: dict[str, Any]) -> str:
        # An approval that says nothing is none.
        opened = {
            k: {n: w for n, w in v.items() if w is not None} if isinstance(v, dict) else v or {}
            for k, v in told.items()
            if k in ("approval", "retry")
        }
        return json.dumps({**told, **opened}, sort_keys=True)

    found = list(changed_fields(before, after))
    if given_only({"approval": None, "retry": None, **before}) != given_only(
        {"approval": None, "retry": None, **after}
    ):
        assert found
    assert len({change.field for change in found}) == len(found)
    assert all(change.text and "\n" not in change.text for change in found)
