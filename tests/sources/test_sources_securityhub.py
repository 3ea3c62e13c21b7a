"""Security Hub's findings become alerts: one for each, resolved ones resolved, GuardDuty's left to GuardDuty."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import botocore.loaders
import pytest
from botocore.model import ServiceModel
from pydantic import JsonValue

from soar.model.alert import Alert, ObservableType
from soar.model.terms import AlertState, Severity
from soar.sources.auth import sign
from soar.sources.aws_asff import asff_type
from soar.sources.aws_common import api_name, type_of
from soar.sources.contract import BadAlert, SourceRequest, Unauthenticated
from soar.sources.registry import sources
from soar.sources.securityhub import SecurityHub
from soar.sources.taxonomy.taxonomy import securityhub_controls

FIXTURES = Path(__file__).parents[1] / "fixtures" / "securityhub"
BUCKET, ROOT, KEY, IMAGE = "s3-public-read", "root-access-key", "guardduty-key", "inspector-image"
NAMES = (BUCKET, ROOT, KEY, IMAGE)
MODEL = ServiceModel(botocore.loaders.Loader().load_service_model("securityhub", "service-2"), "securityhub")
FINDING = "$.detail.findings[0]"


def event(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FIXTURES / f"{name}.json").read_text())
    return found


def changed(name: str, **fields: Any) -> dict[str, Any]:
    """A fixture with other fields in its finding."""
    payload = event(name)
    payload["detail"]["findings"][0] |= fields
    return payload


def read(payload: JsonValue) -> Alert:
    [alert] = SecurityHub().normalise(payload)
    return alert


def seen(alert: Alert, kind: ObservableType) -> list[str]:
    return [o.value for o in alert.observables if o.type is kind]


@pytest.mark.parametrize("name", NAMES)
def test_the_fixtures_have_only_fields_that_security_hub_has(name: str) -> None:
    def unknown(value: Any, shape: Any, path: str) -> Iterator[str]:
        if shape.type_name == "structure":
            for key, item in value.items():
                if key not in shape.members:
                    yield f"{path}.{key}"
                else:
                    yield from unknown(item, shape.members[key], f"{path}.{key}")
        elif shape.type_name == "list":
            for item in value:
                yield from unknown(item, shape.member, f"{path}[]")

    [finding] = event(name)["detail"]["findings"]
    details = [one.pop("Details", None) for one in finding["Resources"]]
    assert list(unknown(finding, MODEL.shape_for("AwsSecurityFinding"), "$")) == []
    known = set(MODEL.shape_for("ResourceDetails").members) | {"AwsEcrContainerImage"}
    assert all(set(one) <= known for one in details if one)


def test_a_public_bucket() -> None:
    alert = read(event(BUCKET))
    assert (alert.source, alert.rule, alert.severity) == ("securityhub", "S3.2", Severity.CRITICAL)
    assert alert.uid == event(BUCKET)["detail"]["findings"][0]["Id"]
    assert (alert.revision, alert.state) == ("2026-04-01T06:00:00.000Z", AlertState.NEW)
    assert (alert.account, alert.region, alert.severity_original) == (
        "111122223333",
        "eu-central-1",
        "CRITICAL",
    )
    assert alert.time == datetime(2026, 4, 1, 6, tzinfo=UTC)
    assert alert.last_seen == datetime(2026, 4, 2, 8, 10, tzinfo=UTC)
    [bucket] = alert.resources
    assert (bucket.type, bucket.uid, bucket.name) == (
        "aws.s3.bucket",
        "arn:aws:s3:::customer-exports",
        "customer-exports",
    )
    assert bucket.tags == {"data": "customer"}
    assert bucket.data["CreatedAt"] == "2025-01-01T00:00:00.000Z"
    assert seen(alert, ObservableType.ARN) == ["arn:aws:s3:::customer-exports"]
    assert alert.attributes["product"] == "Security Hub"
    assert alert.attributes["generator"] == "security-control/S3.2"
    assert alert.attributes["standards"] == ["standards/aws-foundational-security-best-practices/v/1.0.0"]
    assert alert.attributes["compliance"] == {
        "status": "FAILED",
        "control": "S3.2",
        "reasons": ["PUBLIC"],
        "requirements": ["NIST.800-53.r5 AC-3"],
    }
    hub, remediation = alert.links
    assert hub.startswith(
        "https://eu-central-1.console.aws.amazon.com/securityhub/home?region=eu-central-1#/"
    )
    assert remediation == "https://docs.aws.amazon.com/console/securityhub/S3.2/remediation"


def test_the_account_itself() -> None:
    [account] = read(event(ROOT)).resources
    assert (account.type, account.name, account.region) == ("aws.account", "111122223333", "")
    payload = changed(ROOT, Resources=[{"Type": "AwsAccount", "Id": "arn:aws:iam::444455556666:root"}])
    assert [r.name for r in read(payload).resources] == ["444455556666"]


def test_a_vulnerable_image_that_somebody_sent_on() -> None:
    alert = read(event(IMAGE))
    assert [(r.type, r.name) for r in alert.resources] == [
        ("aws.ecr.container_image", "sha256:" + "a" * 64),
        ("aws.ecr.repository", "shop/cart"),
        ("aws.container", "cart"),
        ("aws.ec2.instance", "i-0a1b2c3d4e5f60718"),
    ]
    assert (alert.severity, alert.severity_original, alert.rule) == (Severity.HIGH, "70", "AWSInspector")
    assert (alert.state, alert.revision) == (AlertState.UPDATED, "2026-04-02T06:00:00.000Z#Respond")
    assert alert.attributes["custom_action"] == "Respond"
    assert seen(alert, ObservableType.IP) == ["198.51.100.7", "2001:db8::7", "203.0.113.9"]
    assert seen(alert, ObservableType.HASH) == ["b" * 64, "c" * 64]
    assert seen(alert, ObservableType.HOST) == ["i-0a1b2c3d4e5f60718"]
    assert alert.resources[3].data == {"Type": "c5.xlarge", "IpV4Addresses": ["10.0.4.17"]}


def test_guarddutys_findings_are_left_to_guardduty() -> None:
    assert SecurityHub().normalise(event(KEY)) == []
    [finding] = event(KEY)["detail"]["findings"]
    assert SecurityHub().normalise(finding) == []
    both = event(BUCKET)
    both["detail"]["findings"].append(finding)
    assert [alert.rule for alert in SecurityHub().normalise(both)] == ["S3.2"]


def test_a_guardduty_finding_that_somebody_sent_on_keeps_its_type() -> None:
    payload = event(KEY) | {"detail-type": "Security Hub Findings - Custom Action"}
    payload["detail"]["actionName"] = "Respond"
    alert = read(payload)
    assert (alert.source, alert.rule) == ("securityhub", "Recon:IAMUser/MaliciousIPCaller.Custom")
    assert alert.actor is not None
    assert (alert.actor.name, alert.actor.type) == ("ci-deployer", "IAMUser")
    assert [(r.type, r.uid) for r in alert.resources] == [
        ("aws.iam.user", "arn:aws:iam::111122223333:user/ci-deployer"),
        ("aws.iam.access_key", "AKIAIOSFODNN7EXAMPLE"),
    ]
    assert seen(alert, ObservableType.ACCESS_KEY) == ["AKIAIOSFODNN7EXAMPLE"]
    assert seen(alert, ObservableType.IP) == ["198.51.100.23"]
    assert seen(alert, ObservableType.DOMAIN) == ["caller.example.test"]
    assert len(alert.links) == 2


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        ({}, AlertState.NEW),
        ({"UpdatedAt": "2026-04-02T06:00:00.000Z"}, AlertState.UPDATED),
        (
            {
                "UpdatedAt": "2026-04-02T06:00:00.000Z",
                "ProductFields": {"PreviousComplianceStatus": "PASSED"},
            },
            AlertState.NEW,
        ),
        ({"Workflow": {"Status": "NOTIFIED"}}, AlertState.NEW),
        ({"Workflow": {"Status": "RESOLVED"}}, AlertState.RESOLVED),
        ({"Workflow": {"Status": "SUPPRESSED"}}, AlertState.RESOLVED),
        ({"RecordState": "ARCHIVED"}, AlertState.RESOLVED),
        ({"Compliance": {"Status": "PASSED", "SecurityControlId": "S3.2"}}, AlertState.RESOLVED),
        ({"Compliance": {"Status": "WARNING", "SecurityControlId": "S3.2"}}, AlertState.NEW),
    ],
)
def test_states(fields: dict[str, Any], state: AlertState) -> None:
    assert read(changed(BUCKET, **fields)).state is state


def test_an_update_is_the_same_alert_with_a_new_revision() -> None:
    first = read(event(BUCKET))
    second = read(changed(BUCKET, UpdatedAt="2026-04-02T06:00:00.000Z"))
    assert second.uid == first.uid
    assert second.revision != first.revision
    assert second.key != first.key
    assert read(event(BUCKET) | {"id": "another-delivery"}).key == first.key


@pytest.mark.parametrize(
    ("written", "severity"),
    [
        ({"Label": "INFORMATIONAL", "Normalized": 90}, Severity.INFORMATIONAL),
        ({"Label": "LOW"}, Severity.LOW),
        ({"Normalized": 0}, Severity.INFORMATIONAL),
        ({"Normalized": 1}, Severity.LOW),
        ({"Normalized": 40}, Severity.MEDIUM),
        ({"Normalized": 69}, Severity.MEDIUM),
        ({"Normalized": 70}, Severity.HIGH),
        ({"Normalized": 90}, Severity.CRITICAL),
        ({"Label": "AWFUL", "Normalized": 40}, Severity.MEDIUM),
    ],
)
def test_severities(written: dict[str, Any], severity: Severity) -> None:
    assert read(changed(BUCKET, Severity=written)).severity is severity


def test_every_way_of_sending_a_finding_is_the_same_alert() -> None:
    [finding] = event(BUCKET)["detail"]["findings"]
    alert = read(event(BUCKET))
    assert read(finding) == alert
    assert read({"Findings": [finding]}) == alert
    two: JsonValue = {"Findings": [finding, {**finding, "Id": "another"}]}
    assert [a.uid for a in SecurityHub().normalise(two)] == [alert.uid, "another"]


@pytest.mark.parametrize("row", securityhub_controls(), ids=lambda row: row.id)
def test_a_controls_resource_has_the_type_of_its_cloudformation_type(row: Any) -> None:
    short = "Aws" + row.resource.replace("::", "").removeprefix("AWS")
    assert asff_type(short) == asff_type(row.resource) == type_of(row.resource)


@pytest.mark.parametrize(
    ("written", "kind"),
    [
        ("AwsRdsDbInstance", "aws.rds.db_instance"),
        ("AwsRdsDbClusterSnapshot", "aws.rds.db_cluster_snapshot"),
        ("AwsEc2SecurityGroup", "aws.ec2.security_group"),
        ("AwsEc2Eip", "aws.ec2.eip"),
        ("AwsIamAccessKey", "aws.iam.access_key"),
        ("AwsElbv2LoadBalancer", "aws.elasticloadbalancingv2.load_balancer"),
        ("AwsElbLoadBalancer", "aws.elasticloadbalancing.load_balancer"),
        ("AwsOpenSearchServiceDomain", "aws.opensearch.domain"),
        ("AWS::OpenSearchService::Domain", "aws.opensearch.domain"),
        ("AwsStepFunctionStateMachine", "aws.stepfunctions.state_machine"),
        ("AwsWafRegionalWebAcl", "aws.wafregional.web_acl"),
        ("AwsEventsEventbus", "aws.events.event_bus"),
        ("AWS::RDS::DBInstance", "aws.rds.db_instance"),
        ("AwsNeptuneGraph", "aws.neptune.graph"),
        ("Aws", "aws"),
        ("AwsEc2", "aws.ec2"),
        ("Container", "aws.container"),
        ("CodeRepository", "code_repository"),
        ("Other", "other"),
    ],
)
def test_types(written: str, kind: str) -> None:
    assert asff_type(written) == kind


def test_every_type_of_the_format_has_a_type_of_ours() -> None:
    written = [name for name in MODEL.shape_for("ResourceDetails").members if name.startswith("Aws")]
    found = {name: asff_type(name) for name in written}
    assert len(set(found.values())) == len(written) > 80
    assert all(kind.count(".") == 2 for kind in found.values()), found


@pytest.mark.parametrize(
    ("arn", "kind", "name"),
    [
        ("arn:aws:iam::1:user/people/ana", "aws.iam.user", "ana"),
        ("arn:aws:lambda:r:1:function:resize:7", "aws.lambda.function", "resize"),
        ("arn:aws:rds:r:1:db:orders-1", "aws.rds.db_instance", "orders-1"),
        ("arn:aws:rds:r:1:snapshot:rds:orders-2026", "aws.rds.db_snapshot", "rds:orders-2026"),
        ("arn:aws:ec2:r:1:security-group/sg-1", "aws.ec2.security_group", "sg-1"),
        ("arn:aws:s3:::b/a/c.txt", "aws.s3.object", "a/c.txt"),
        (
            "arn:aws:secretsmanager:r:1:secret:a-1",
            "aws.secretsmanager.secret",
            "arn:aws:secretsmanager:r:1:secret:a-1",
        ),
        ("arn:aws:ssm:r:1:parameter/a/b", "aws.ssm.parameter", "/a/b"),
        ("arn:aws:ecr:r:1:repository/shop/cart", "aws.ecr.repository", "shop/cart"),
        ("arn:aws:dynamodb:r:1:table/t/index/i", "aws.dynamodb.table", "t"),
        ("arn:aws:sns:r:1:alarms", "aws.sns.topic", "arn:aws:sns:r:1:alarms"),
        ("arn:aws:logs:r:1:log-group:/aws/x:*", "aws.logs.log_group", "/aws/x"),
        ("arn:aws:kms:r:1:key/1234", "aws.kms.key", "1234"),
        ("arn:aws:ecs:r:1:task-definition/front:12", "aws.ecs.task_definition", "front:12"),
        ("arn:aws:redshift:r:1:cluster:wh", "aws.redshift.cluster", "wh"),
        ("AWS::IAM::AccessKey:AKIA1", "aws.iam.access_key", "AKIA1"),
        ("sg-1", "aws.ec2.security_group", "sg-1"),
    ],
)
def test_names_are_what_the_api_takes(arn: str, kind: str, name: str) -> None:
    assert api_name(arn, kind) == name


@pytest.mark.parametrize(
    "link", ["javascript:alert(1)", "http://x.test/", "https://", "https://a b", "https://[", ""]
)
def test_a_link_that_is_none_is_left_out(link: str) -> None:
    payload = changed(BUCKET, SourceUrl=link, Remediation={"Recommendation": {"Url": link}})
    assert len(read(payload).links) == 1


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        (event(BUCKET) | {"detail-type": "Security Hub Insight Results"}, "$.detail-type"),
        (event(BUCKET) | {"detail-type": 7}, "$.detail-type"),
        (event(BUCKET) | {"detail": []}, "$.detail"),
        (event(BUCKET) | {"detail": {"findings": []}}, "$.detail.findings"),
        (event(BUCKET) | {"detail": {"findings": {}}}, "$.detail.findings"),
        (event(BUCKET) | {"detail": {"findings": ["x"]}}, FINDING),
        ({"Findings": []}, "$.Findings"),
        (changed(BUCKET, Id=None), f"{FINDING}.Id"),
        (changed(BUCKET, AwsAccountId=""), f"{FINDING}.AwsAccountId"),
        (changed(BUCKET, CreatedAt="soon"), f"{FINDING}.CreatedAt"),
        (changed(BUCKET, CreatedAt=None, UpdatedAt=None), f"{FINDING}.CreatedAt"),
        (changed(BUCKET, Severity=None), f"{FINDING}.Severity.Label"),
        (changed(BUCKET, Severity={"Label": "AWFUL"}), f"{FINDING}.Severity.Label"),
        (changed(BUCKET, Resources=[{"Id": "x"}]), f"{FINDING}.Resources[0].Type"),
        (changed(BUCKET, Compliance="x"), f"{FINDING}.Compliance"),
    ],
)
def test_what_is_wrong_is_named(payload: dict[str, Any], field: str) -> None:
    with pytest.raises(BadAlert) as caught:
        SecurityHub().normalise(payload)
    assert caught.value.field == field


def test_a_finding_without_a_rule_is_refused() -> None:
    with pytest.raises(BadAlert) as caught:
        SecurityHub().normalise(changed(BUCKET, GeneratorId=None, Compliance=None))
    assert caught.value.field == f"{FINDING}.GeneratorId"


def test_a_delivery_has_to_be_signed() -> None:
    now = datetime(2026, 4, 2, tzinfo=UTC)
    body = json.dumps(event(BUCKET)).encode()
    source = sources()["securityhub"]
    source.verify(SourceRequest.of(sign("s3cret", body, now), body, now), ("s3cret",))
    with pytest.raises(Unauthenticated):
        source.verify(SourceRequest.of(sign("other", body, now), body, now), ("s3cret",))
    with pytest.raises(Unauthenticated, match="SOAR_SOURCE_SECURITYHUB_SECRETS"):
        source.verify(SourceRequest.of({}, body, now), ())
