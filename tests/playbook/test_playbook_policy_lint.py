"""Wrong policies are refused with their place, and what is said in vain is warned of."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from policy_world import NOW, POLICY, decided

from soar.playbook.diagnostics import PlaybookError
from soar.playbook.document import parse_yaml
from soar.playbook.policy import (
    Policy,
    check_policy,
    load_policy,
    policy_schema,
)


@pytest.fixture
def policy() -> Policy:
    return load_policy(POLICY, file="policy.yaml")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "{environment: production, risk",
            "{environment: prodction, risk",
            'policy.yaml:13:27: there is no environment "prodction" (did you mean "production"?)',
        ),
        (
            "{environment: sandbox}, dec",
            "{environment: [sandbox, prod]}, dec",
            'policy.yaml:12:37: there is no environment "prod"',
        ),
        ("window: 1h", "window: 1 hour", "policy.yaml:18:55: budgets[0].window: not a duration"),
        ("changes: 2, window: 1h, per: account", "changes: 2", "changes within what time? add window"),
        (
            "{group_percent: 34}",
            "{group_percent: 34, window: 1h}",
            "window and per are for budgets of changes",
        ),
        ("{group_percent: 34}", "{group_percent: 134}", "policy.yaml:20:21: budgets[2].group_percent"),
        ("{group_percent: 34}", "{why: x}", "policy.yaml:20:5: budgets[2]: give either changes"),
        ('{playbook: "aws-*"}', "{phase: [containment]}", "whose phase and severity are not kept"),
        ("window: 1d", "window: 400d", "the window is longer than 366 days"),
        ("Europe/Berlin", "Europe/Berlyn", "policy.yaml:27:13: freezes[1].weekly: there is no time zone"),
        ("Europe/Berlin", "../../etc/passwd", 'there is no time zone "../../etc/passwd"'),
        ("Europe/Berlin", "Europe", 'there is no time zone "Europe"'),
        ("fri 16:00", "friday 16:00", "policy.yaml:27:20: freezes[1].weekly.from"),
        ("mon 07:00", "fri 16:00", "the same time of the week"),
        ("to: 2027-01-02T06:00:00Z", "to: 2026-01-02T06:00:00Z", "to is not after from"),
        ("to: 2027-01-02T06:00:00Z", "to: 2027-01-02T06:00:00", "freezes[0].to: a time needs a time zone"),
        (
            "to: 2027-01-02T06:00:00Z",
            "to: 0001-01-01T00:00:00+14:00",
            "freezes[0].to: a time that is not within",
        ),
        ("to: 2027-01-02T06:00:00Z", "to: 20270102", "freezes[0].to: not a time; write"),
        ("    to: 2027-01-02T06:00:00Z\n", "", "from and to belong together"),
        ("    decide: ask\n", "", "approvers and roles are for freezes that ask"),
        ("    approvers: 2\n", "    approvers: 3\n", "3 approvers with the role responder are asked for, 2"),
        ("    why: the season's sales", "    resolved: [{start: x, end: y}]", "resolved"),
        (
            '{match: {playbook: "aws-*"}',
            "{match: {environment: tagged}",
            'only the account is known, and "tagged" is told by tags alone',
        ),
        ('production: {account: ["1111*"]}', "production: {}", "environments.production[0]: no condition"),
        (
            "risk: [reversible, disruptive]",
            "severity_at_least: high, severity_at_most: low",
            "no severity fits, so this never counts",
        ),
    ],
)
def test_a_wrong_limit_is_refused_with_its_place(old: str, new: str, message: str) -> None:
    text = (
        POLICY.replace("  sandbox:\n", "  tagged: {tag: {a: b}}\n  sandbox:\n") if "tagged" in new else POLICY
    )
    assert old in text
    with pytest.raises(PlaybookError) as caught:
        load_policy(text.replace(old, new), file="policy.yaml")
    assert message in str(caught.value)


def test_what_is_said_in_vain_is_warned_of_with_its_place() -> None:
    text = """
version: 1
autonomy:
  - {match: {risk: [destructive], action: "aws.*"}, decide: never}
  - {match: {risk: [destructive], action: "aws.ec2.*", severity_at_least: high}, decide: automatic}
  - {match: {risk: [destructive]}, decide: automatic}
  - {match: {risk: [read]}, decide: automatic}
freezes:
  - {from: 2026-01-01T00:00:00Z, to: 2026-01-02T00:00:00Z}
"""
    policy, found = check_policy(text, file="p.yaml", now=NOW)
    assert len(policy.autonomy) == 4
    assert [(d.line, d.rule) for d in found] == [(5, "without-effect"), (7, "only-reads"), (9, "over")]
    assert "rule 2 (automatic) changes nothing: rule 1 (never) matches all" in found[0].message


def test_the_schema_takes_what_is_taken(policy: Policy) -> None:
    schema = policy_schema()
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    written = parse_yaml(POLICY, file="p").data
    assert list(validator.iter_errors(written)) == []
    assert isinstance(written, dict)
    wrongs: tuple[dict[str, Any], ...] = (
        {"freezes": [{"form": "x"}]},
        {"environments": {"Prod!": {}}},
        {"budgets": [{"window": "1"}]},
    )
    for wrong in wrongs:
        assert list(validator.iter_errors({**written, **wrong}))
    hidden: Any = schema["$defs"]
    assert "resolved" not in hidden["Freeze"]["properties"]


def test_it_survives_the_wire_worked_out_with_the_same_digest(policy: Policy) -> None:
    handed = policy.resolved_at(NOW)
    again = Policy.model_validate_json(handed.model_dump_json())
    assert again == handed
    assert again.digest == policy.digest
    assert again != policy
    assert load_policy(POLICY.replace("fri 16:00", "fri 15:00"), file="x").digest != policy.digest
    friday = datetime(2026, 12, 25, 20, tzinfo=UTC)
    assert decided(again, now=friday) == decided(policy, now=friday)
