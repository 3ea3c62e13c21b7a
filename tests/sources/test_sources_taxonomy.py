"""The tables of detections are whole and true to form, and coverage is found by matching."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, ClassVar

import botocore.loaders
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from soar.model.alert import Alert
from soar.model.terms import Severity
from soar.playbook.loader import load_playbook
from soar.playbook.schema import Playbook
from soar.sources.contract import Source, SourceRequest
from soar.sources.guardduty import GuardDuty
from soar.sources.registry import sources
from soar.sources.taxonomy.coverage import Coverage, Covered, Status, coverage_of
from soar.sources.taxonomy.samples import cloudtrail_samples, control_samples, finding, finding_samples
from soar.sources.taxonomy.taxonomy import (
    INTENDED,
    BadTable,
    Control,
    FindingType,
    ResourceKind,
    StratusTechnique,
    guardduty_findings,
    read_rows,
    securityhub_controls,
    stratus_techniques,
)

KINDS = sorted({kind for row in guardduty_findings() for kind in row.resources})
TACTICS = {
    "credential-access",
    "defense-evasion",
    "discovery",
    "execution",
    "exfiltration",
    "impact",
    "initial-access",
    "lateral-movement",
    "persistence",
    "privilege-escalation",
}
SEGMENTS = {
    "ai": {"IAMUser"},
    "ec2": {"EC2"},
    "eks": {"Kubernetes"},
    "iam": {"IAMUser"},
    "lambda": {"Lambda"},
    "malware": {"Container", "EC2", "ECS", "Kubernetes", "S3"},
    "rds": {"RDS"},
    "runtime": {"Runtime"},
    "s3": {"S3"},
    "sequence": {"EC2", "ECS", "EKS", "IAM", "S3"},
}
"""The part of a type between colon and slash, by family; custom rules name any service there."""
PLAYBOOK = """
name: {name}
match: {match}
correlate_by: [alert.account]
lessons_learned:
  - {{id: report, do: report.write}}
"""
HEAD = "id,resource,severity,title,intended\n"
GOOD = "S3.2,AWS::S3::Bucket,critical,Public bucket,aws-s3-public-bucket\n"


def playbook(name: str, **match: JsonValue) -> Playbook:
    return load_playbook(PLAYBOOK.format(name=name, match=json.dumps(match)), file=f"{name}.yaml").playbook


def found(*playbooks: Playbook, installed: dict[str, Source] | None = None) -> Coverage:
    return coverage_of(playbooks, installed or {})


def one(coverage: Coverage, id_: str) -> Covered:
    [row] = [row for row in coverage.rows if row.id == id_]
    return row


class Hub(Source):
    """Just enough of a source of Security Hub's findings."""

    name: ClassVar[str] = "securityhub"
    title: ClassVar[str] = "Hub"
    docs: ClassVar[str] = ""

    def verify(self, request: SourceRequest, secrets: tuple[str, ...]) -> None:
        raise NotImplementedError

    def normalise(self, payload: JsonValue) -> list[Alert]:
        record: Any = payload["detail"]["findings"][0]  # type: ignore[index,call-overload]
        return [
            Alert(
                source=self.name,
                uid=record["Id"],
                title=record["Title"],
                severity=Severity[record["Severity"]["Label"]],
                rule=record["Compliance"]["SecurityControlId"] + "/read",
                time=record["CreatedAt"],
            )
        ]


class Trail(Hub):
    """A source that makes alerts of some events only."""

    name: ClassVar[str] = "cloudtrail"

    def normalise(self, payload: JsonValue) -> list[Alert]:
        detail: Any = payload["detail"]  # type: ignore[index,call-overload]
        if detail["eventName"] != "ConsoleLogin" or detail["eventType"] != "AwsConsoleSignIn":
            return []
        return [
            Alert(
                source=self.name,
                uid=detail["eventID"],
                title="x",
                severity=Severity.HIGH,
                rule=f"{detail['eventSource']}/{detail['eventName']}",
                time=detail["eventTime"],
            )
        ]


def test_the_tables_hold_what_they_promise() -> None:
    active = [row for row in guardduty_findings() if row.status == "active"]
    assert len(active) >= 220
    assert len(guardduty_findings()) - len(active) >= 25
    assert len(securityhub_controls()) >= 60
    assert sum(row.status == "listed" for row in stratus_techniques()) == 43
    for type_ in (
        "AttackSequence:EC2/CompromisedInstanceGroup",
        "Impact:IAMUser/CostHarvesting",
        "Persistence:Runtime/SensitiveFileModified",
        "PrivilegeEscalation:Kubernetes/AnomalousBehavior.WorkloadDeployed!PrivilegedContainer",
        "UnauthorizedAccess:IAMUser/InstanceCredentialExfiltration.OutsideAWS",
    ):
        assert type_ in {row.type for row in active}
    assert {"S3.2", "RDS.2", "EC2.19", "IAM.4", "CloudTrail.1", "Lambda.1", "EKS.1", "ECS.4"} <= {
        row.id for row in securityhub_controls()
    }


def test_every_planned_playbook_has_something_to_answer() -> None:
    tables = (guardduty_findings(), securityhub_controls(), stratus_techniques())
    assert {name for table in tables for row in table for name in row.intended} == INTENDED


def test_a_type_names_what_its_family_watches() -> None:
    for row in guardduty_findings():
        segment = row.type.removeprefix(f"{row.purpose}:").partition("/")[0]
        assert segment in SEGMENTS.get(row.family, {segment}), row.type


@pytest.mark.parametrize("row", guardduty_findings(), ids=lambda row: row.type)
def test_a_type_becomes_an_alert_of_the_real_source(row: FindingType) -> None:
    for kind in row.resources:
        [sample] = finding_samples(row.type, kind, row.severity)
        assert (sample.alert.rule, sample.alert.source) == (row.type, GuardDuty.name)
        assert sample.alert.severity is (row.severity or Severity.HIGH)
        assert not sample.modelled


@pytest.mark.parametrize("row", stratus_techniques(), ids=lambda row: row.id)
def test_a_technique_names_what_the_other_tables_have(row: StratusTechnique) -> None:
    assert row.tactic in TACTICS
    assert set(row.guardduty) <= {one.type for one in guardduty_findings() if one.status == "active"}
    assert set(row.controls) <= {one.id for one in securityhub_controls()}
    assert row.events
    for event in row.events:
        assert all(event.partition(":"))


def _unknown(value: Any, shape: Any, path: str) -> Iterable[str]:
    """The fields of a value that AWS's model of it lacks."""
    if shape.type_name == "structure":
        members = {member.serialization.get("name", name): member for name, member in shape.members.items()}
        for key, item in value.items():
            if key not in members:
                yield f"{path}.{key}"
            else:
                yield from _unknown(item, members[key], f"{path}.{key}")
    elif shape.type_name == "list":
        for item in value:
            yield from _unknown(item, shape.member, f"{path}[]")


@pytest.mark.parametrize("kind", KINDS)
def test_a_sample_has_only_fields_that_guardduty_has(kind: ResourceKind) -> None:
    from botocore.model import ServiceModel

    model = ServiceModel(botocore.loaders.Loader().load_service_model("guardduty", "service-2"), "guardduty")
    detail = finding("Backdoor:EC2/Spambot", kind, None)["detail"]
    assert list(_unknown(detail, model.shape_for("Finding"), "$")) == []


def test_a_user_a_role_and_the_root_user_are_told_apart() -> None:
    actors = {}
    kinds: tuple[ResourceKind, ...] = ("user", "role", "root", "instance-role")
    for kind in kinds:
        [sample] = finding_samples("Discovery:IAMUser/AnomalousBehavior", kind, None)
        assert sample.alert.actor is not None
        actors[kind] = sample.alert.actor.type
    assert actors == {
        "user": "IAMUser",
        "role": "AssumedRole",
        "root": "Root",
        "instance-role": "AssumedRole",
    }


def test_a_control_is_modelled_until_its_source_is_installed() -> None:
    [sample] = control_samples(
        "EC2.19", "AWS::EC2::SecurityGroup", Severity.CRITICAL, "Open port", installed={}
    )
    assert sample.modelled
    assert (sample.alert.source, sample.alert.rule) == ("securityhub", "EC2.19")
    assert [r.type for r in sample.alert.resources] == ["aws.ec2.security_group"]
    [sample] = control_samples("RDS.2", "AWS::RDS::DBInstance", Severity.CRITICAL, "Public", installed={})
    assert [r.type for r in sample.alert.resources] == ["aws.rds.db_instance"]
    [sample] = control_samples("IAM.4", "AWS::::Account", Severity.CRITICAL, "Key", installed={})
    assert [(r.type, r.name) for r in sample.alert.resources] == [("aws.account", "111122223333")]
    [sample] = control_samples(
        "S3.2", "AWS::S3::Bucket", Severity.CRITICAL, "Public", installed={"securityhub": Hub()}
    )
    assert (sample.modelled, sample.alert.rule, sample.alert.severity) == (
        False,
        "S3.2/read",
        Severity.CRITICAL,
    )


def test_an_event_that_the_installed_source_leaves_out_has_no_sample() -> None:
    [sample] = cloudtrail_samples("iam:CreateUser", installed={})
    assert (sample.modelled, sample.alert.rule) == (True, "CreateUser")
    assert sample.alert.attributes == {"event_source": "iam.amazonaws.com"}
    trail: dict[str, Source] = {"cloudtrail": Trail()}
    assert cloudtrail_samples("iam:CreateUser", installed=trail) == ()
    [sample] = cloudtrail_samples("signin:ConsoleLogin", installed=trail)
    assert (sample.modelled, sample.alert.rule) == (False, "signin.amazonaws.com/ConsoleLogin")


def test_without_playbooks_nothing_is_answered() -> None:
    coverage = found()
    assert {row.status for row in coverage.rows} == {Status.NONE}
    assert all(tally.percent == 0.0 and tally.none == tally.total for tally in coverage.tallies())
    assert coverage.modelled == ("cloudtrail", "securityhub")
    assert (
        coverage.remark(one(coverage, "Backdoor:EC2/Spambot")) == "intended aws-ec2-compromise, not installed"
    )
    assert (
        coverage.remark(one(coverage, "Object:S3/MaliciousFile"))
        == "meant for triage, which no playbook does"
    )


def test_a_playbook_answers_what_it_matches_and_nothing_else() -> None:
    spam = playbook("spam", source="guardduty", rule="Backdoor:EC2/Spambot")
    coverage = found(spam)
    assert [row.id for row in coverage.rows if row.status is not Status.NONE] == ["Backdoor:EC2/Spambot"]
    row = one(coverage, "Backdoor:EC2/Spambot")
    assert (row.own, row.status, row.met, row.missing) == (("spam",), Status.OWN, True, ())
    assert coverage.remark(row) == ""
    guardduty, *_ = coverage.tallies()
    assert (guardduty.own, guardduty.met) == (1, 1)
    assert guardduty.percent == pytest.approx(100 / guardduty.total)


def test_a_severity_that_is_too_low_is_no_answer() -> None:
    high = playbook("high", source="guardduty", rule="Backdoor:EC2/*", severity="high")
    coverage = found(high)
    assert one(coverage, "Backdoor:EC2/Spambot").status is Status.NONE  # medium
    assert one(coverage, "Backdoor:EC2/DenialOfService.Udp").status is Status.OWN


def test_an_answer_to_an_instance_is_half_an_answer_to_a_runtime_finding() -> None:
    miner = playbook(
        "aws-ec2-cryptomining", source="guardduty", rule="*:Runtime/*", resource_type="aws.ec2.instance"
    )
    coverage = found(miner)
    row = one(coverage, "Impact:Runtime/CryptoMinerExecuted")
    assert (row.status, row.met) == (Status.PARTLY, False)
    assert row.missing == ("ecs-task", "eks-workload")
    assert coverage.remark(row) == (
        "not for ecs-task, eks-workload; intended aws-container-compromise, not installed"
    )


def test_a_playbook_that_answers_anything_is_triage() -> None:
    any_, spam = (
        playbook("catch", source="guardduty"),
        playbook("spam", source="guardduty", rule="*:EC2/Spam*"),
    )
    coverage = found(any_, spam)
    drop = one(coverage, "Trojan:EC2/DropPoint")
    assert (drop.status, drop.own, drop.catch_all, drop.met) == (Status.TRIAGE, (), ("catch",), False)
    meant = one(coverage, "Object:S3/MaliciousFile")
    assert (meant.status, meant.met, coverage.remark(meant)) == (Status.TRIAGE, True, "")
    both = one(coverage, "Backdoor:EC2/Spambot")
    assert (both.status, both.own, both.catch_all) == (Status.OWN, ("spam",), ("catch",))
    assert coverage.remark(both) == "more than one answers instance: spam, catch"
    assert one(coverage, "S3.2").status is Status.NONE


def test_a_fallback_is_triage_and_stands_back_where_another_answers() -> None:
    last = playbook("last", fallback=True, where='alert.source == "guardduty" and "Spam" in alert.rule')
    row = one(found(last), "Backdoor:EC2/Spambot")
    assert (row.status, row.own, row.catch_all) == (Status.TRIAGE, (), ("last",))
    coverage = found(last, playbook("spam", source="guardduty", rule="*:EC2/Spam*"))
    row = one(coverage, "Backdoor:EC2/Spambot")
    assert (row.status, row.own, row.catch_all, coverage.remark(row)) == (Status.OWN, ("spam",), (), "")


def test_a_catch_all_of_one_kind_of_resource_is_triage_too() -> None:
    roles = playbook("roles", source="guardduty", where='alert.actor.type == "AssumedRole"')
    row = one(found(roles), "Recon:IAMUser/TorIPCaller")
    assert (row.own, row.catch_all, row.status) == ((), ("roles",), Status.NONE)  # a user's key is left


def test_an_intended_playbook_that_does_not_match_is_named() -> None:
    mine = playbook("aws-ec2-compromise", source="guardduty", rule="Backdoor:EC2/Spambot")
    coverage = found(mine)
    row = one(coverage, "Trojan:EC2/DropPoint")
    assert coverage.remark(row) == "intended aws-ec2-compromise, which does not answer it"


def test_two_playbooks_that_answer_one_alert_are_told() -> None:
    coverage = found(
        playbook("a", source="guardduty", rule="*:IAMUser/Tor*"),
        playbook("b", source="guardduty", rule="Recon:*", where='alert.actor.type == "AssumedRole"'),
    )
    row = one(coverage, "Recon:IAMUser/TorIPCaller")
    assert (row.own, row.several) == (("a", "b"), ("role: a, b",))
    assert row.met


def test_a_technique_is_answered_as_well_as_the_best_of_its_detections() -> None:
    technique = "aws.exfiltration.s3-backdoor-bucket-policy"
    by_control = one(found(playbook("x", source="securityhub", rule="S3.6")), technique)
    assert (by_control.status, by_control.own) == (Status.OWN, ("x",))
    assert "s3:PutBucketPolicy" in by_control.missing
    by_event = one(found(playbook("x", source="cloudtrail", rule="PutBucketPolicy")), technique)
    assert by_event.status is Status.OWN
    by_half = one(
        found(
            playbook(
                "x", source="guardduty", rule="Exfiltration:S3/T*", where='alert.actor.type == "IAMUser"'
            )
        ),
        technique,
    )
    assert by_half.status is Status.PARTLY
    assert not one(found(), "aws.impact.ec2-deregister-ami").counted  # not in the project's list


def test_the_sources_that_ship_make_an_alert_of_every_detection() -> None:
    coverage = coverage_of([playbook("any", where="true")], sources())
    assert [row.id for row in coverage.rows if row.status is not Status.TRIAGE] == []
    assert set(coverage.modelled) == {"cloudtrail", "securityhub"} - set(sources())


def test_installed_sources_are_used() -> None:
    reads = playbook("reads", source="securityhub", rule="S3.2/read")
    coverage = found(reads, installed={"securityhub": Hub()})
    assert one(coverage, "S3.2").own == ("reads",)
    assert coverage.modelled == ("cloudtrail",)


def test_retired_types_do_not_count() -> None:
    coverage = found(playbook("old", source="guardduty", rule="Recon:IAMUser/UserPermissions"))
    row = one(coverage, "Recon:IAMUser/UserPermissions")
    assert (row.status, row.counted) == (Status.OWN, False)
    guardduty, *_ = coverage.tallies()
    assert (guardduty.own, guardduty.uncounted) == (
        0,
        sum(row.status == "retired" for row in guardduty_findings()),
    )


def test_a_table_is_read() -> None:
    [row] = read_rows(HEAD + GOOD, Control, key="id", file="t.csv")
    assert (row.severity, row.intended) == (Severity.CRITICAL, ("aws-s3-public-bucket",))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HEAD + GOOD + GOOD, "t.csv:3: S3.2 is there twice"),
        (
            HEAD + GOOD.replace("critical", "awful"),
            "t.csv:2: severity: no severity is called 'awful'",
        ),
        (HEAD + GOOD.replace("aws-s3-public-bucket", "mine"), "no playbook mine is planned"),
        (HEAD + GOOD.replace("aws-s3-public-bucket", ""), "intended"),
        (HEAD + GOOD.replace("S3.2", "S3"), "t.csv:2: id"),
        (HEAD + GOOD.replace("S3.2,", ""), "not as many cells"),
        (HEAD + GOOD.replace("\n", ",more\n"), "not as many cells"),
        (HEAD.replace("title,", "") + GOOD.replace("Public bucket,", ""), "t.csv:2: title: Field required"),
        (HEAD + '"S3.2', "t.csv:"),
    ],
)
def test_what_is_wrong_with_a_table_is_said_with_its_line(text: str, said: str) -> None:
    with pytest.raises(BadTable) as caught:
        read_rows(text, Control, key="id", file="t.csv")
    assert said in str(caught.value)


@given(st.text(st.sampled_from('S3.2,:"\n\r\0 critaAW-us') | st.characters(), max_size=200))
def test_any_text_is_a_table_or_is_refused(text: str) -> None:
    for head in (HEAD, ""):
        try:
            rows = read_rows(head + text, Control, key="id", file="t.csv")
        except BadTable:
            continue
        assert len({row.id for row in rows}) == len(rows)
