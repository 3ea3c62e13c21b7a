"""Why an alert is answered by a playbook: said without any server."""

from __future__ import annotations

from pathlib import Path

import pytest
from intake_world import alert, library

from soar.intake.accept import read_alerts
from soar.intake.explain import explain
from soar.model.terms import Severity
from soar.playbook.library import Library
from soar.playbook.match import correlation_key
from soar.sources.guardduty import GuardDuty

ROOT = Path(__file__).parents[2]
FINDINGS = ROOT / "tests" / "fixtures" / "guardduty"


def test_those_that_answer_come_first_with_their_key() -> None:
    first, second = explain(library(), alert("1"))
    assert (first.playbook, first.matched) == ("keys", True)
    assert first.correlation_key == correlation_key(library().get("keys").playbook, alert("1"))
    assert (second.playbook, second.matched, second.correlation_key) == ("odd", False, "")
    for found in (first, second):
        assert len(found.reasons) == 2
    assert any(reason.startswith("fails") for reason in second.reasons)


@pytest.mark.parametrize(
    ("finding", "playbooks"),
    [
        ("iam-malicious-ip-caller-custom", ["aws-access-key-compromise"]),
        ("iam-credential-exfiltration-outside-aws", ["aws-access-key-compromise"]),
        ("ec2-bitcoin-dns", ["aws-ec2-cryptomining"]),
        ("s3-anonymous-access-granted", ["aws-s3-public-bucket"]),
        ("ec2-port-probe", ["aws-network-exposure"]),
    ],
)
def test_each_finding_is_answered_by_the_playbook_that_ships_for_it(
    finding: str, playbooks: list[str]
) -> None:
    [found] = read_alerts(GuardDuty(), (FINDINGS / f"{finding}.json").read_bytes())
    shipped = Library.load(ROOT / "playbooks")
    assert [e.playbook for e in explain(shipped, found) if e.matched] == playbooks


def test_what_is_not_grave_and_no_playbook_is_for_is_answered_by_none() -> None:
    [found] = read_alerts(GuardDuty(), (FINDINGS / "ec2-port-probe.json").read_bytes())
    unheard_of = found.model_copy(update={"rule": "UnheardOf:EC2/Something", "severity": Severity.LOW})
    shipped = Library.load(ROOT / "playbooks")
    assert not [e.playbook for e in explain(shipped, unheard_of) if e.matched]
    graver = unheard_of.model_copy(update={"severity": Severity.MEDIUM})
    assert [e.playbook for e in explain(shipped, graver) if e.matched] == ["aws-manual-triage"]
