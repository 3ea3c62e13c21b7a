from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lint_world import findings, whole

from soar.playbook.diagnostics import Edit
from soar.playbook.fixes import apply_edits, fixed
from soar.playbook.rules import RULES, Rule

BROKEN = """\
# Kept: what stands here.
name: example            # and here
match: {source: guardduty}
correlate_by: [alert.account]
roles:
    responder: decides   # four spaces
inputs:
  user: {type: string, default: "alice"}

identification:
  # before the step
  - id: user             # its id
    do: 'aws.iam.describe_pricipal'   # in quotes
    with:
      name: "{{ inputs.usr }}"
      typ: user
    approval:            # asks for nothing
      role: responder

      approvers: 2
    # kept as well
    on_error: "contineu"
  - {id: ask, task: {role: responders, instructions: "Is {{ alert.titel }} ours? {{alert . titel}}"}}
  - id: poll
    until: >-
      steps.user.status == 'suceeded'
      or steps.usr.result.administrator
    attempts: 3          # at most
    repeat:
      - do: report.write
        id: report
"""
RIGHT = """\
# Kept: what stands here.
name: example            # and here
match: {source: guardduty}
correlate_by: [alert.account]
roles:
    responder: decides   # four spaces
inputs:
  user: {type: string, default: "alice"}

identification:
  # before the step
  - id: user             # its id
    do: 'aws.iam.describe_principal'   # in quotes
    with:
      name: "{{ inputs.user }}"
      type: user
    # kept as well
    on_error: "continue"
  - {id: ask, timeout: 1d, task: {role: responder, instructions: "Is {{ alert.title }} ours? {{alert . title}}"}}
  - id: poll
    until: >-
      steps.user.status == 'succeeded'
      or steps.user.result.administrator
    attempts: 3          # at most
    every: 30s
    repeat:
      - do: report.write
        id: report
"""


def test_everything_beyond_doubt_is_put_right_and_the_rest_stays_as_it_was() -> None:
    text, done = fixed(BROKEN, findings)
    assert text == RIGHT
    assert {d.rule for d in done} == {
        "unknown-value", "unknown-action", "unknown-input", "unknown-argument", "needless-approval",
        "undeclared-role", "unknown-name", "no-timeout", "unknown-status", "unknown-step", "repeat-without-pause",
    }  # fmt: skip
    assert [d for d in findings(text) if d.severity == "error"] == []
    assert fixed(text, findings) == (text, [])


def test_other_ends_of_lines_stay() -> None:
    text, _ = fixed(BROKEN.replace("\n", "\r\n"), findings)
    assert text == RIGHT.replace("\n", "\r\n")


@pytest.mark.parametrize("rule", [r for r in RULES.values() if r.fixable], ids=lambda rule: rule.id)
def test_what_a_rule_says_can_be_fixed_can(rule: Rule) -> None:
    text, done = fixed(whole(rule.bad), findings)
    if rule.id != "undo":
        assert rule.id in {d.rule for d in done}
        assert rule.id not in {d.rule for d in findings(text)}
    else:
        part = rule.good.replace("step: key_off", "step: key_of")
        assert fixed(whole(part), findings)[0] == whole(rule.good)


def test_only_fixable_rules_have_fixes() -> None:
    for rule in RULES.values():
        if rule.bad:
            for finding in findings(whole(rule.bad)):
                assert not finding.fix or RULES[finding.rule].fixable


@pytest.mark.parametrize(
    "part",
    [
        # Two names are as near.
        "inputs: {user_a: {type: string, default: ''}, user_b: {type: string, default: ''}}\nidentification:\n"
        "  - {id: u, do: aws.iam.describe_principal, with: {name: '{{ inputs.user_c }}'}}\n",
        # The argument that is meant is there already.
        "identification:\n  - {id: u, do: aws.iam.describe_principal, with: {name: a, nme: b}}\n",
        # No name is near.
        "identification:\n  - {id: u, do: something.else}\n",
        # In brackets, the approval cannot be taken out by lines.
        "roles: {r: x}\nidentification:\n"
        "  - {id: u, do: aws.iam.describe_principal, with: {name: a}, approval: {role: r}}\n",
        # The value has an anchor, which an edit would lose.
        "identification:\n  - {id: u, do: &do aws.iam.describe_pricipal, with: {name: a}}\n",
    ],
)
def test_what_is_in_doubt_is_left_alone(part: str) -> None:
    text = whole(part)
    assert findings(text)
    assert fixed(text, findings) == (text, [])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, len(BROKEN) - 1), st.integers(0, 12), st.text(max_size=4))
def test_a_damaged_playbook_is_never_made_worse(start: int, length: int, put: str) -> None:
    text = BROKEN[:start] + put + BROKEN[start + length :]
    before = findings(text)
    better, done = fixed(text, findings, rounds=30)
    assert (better == text) == (not done)
    if done and not {d.rule for d in before} & {"unknown-value", "unknown-field", "bad-name", "bad-value"}:
        assert sum(d.severity == "error" for d in findings(better)) <= sum(
            d.severity == "error" for d in before
        )


def test_edits_are_made_from_the_original_text() -> None:
    edits = [
        Edit(line=2, column=1, end_line=2, end_column=2, text="BB"),
        Edit(line=1, column=1, end_line=1, end_column=2, text=""),
        Edit(line=2, column=1, end_line=2, end_column=3, text="never"),
        Edit(line=9, column=9, end_line=9, end_column=9, text="!"),
    ]
    assert apply_edits("ab\u2028cd", edits) == "b\u2028BBd!"
