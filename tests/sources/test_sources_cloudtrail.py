"""CloudTrail's events become alerts: who did what, to what, and how much it weighs."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import JsonValue

from soar.model.alert import Alert, AlertActor, ObservableType
from soar.model.terms import AlertState, Severity
from soar.sources.auth import sign
from soar.sources.cloudtrail import CloudTrail
from soar.sources.contract import BadAlert, SourceRequest, Unauthenticated
from soar.sources.registry import sources

FIXTURES = Path(__file__).parents[1] / "fixtures" / "cloudtrail"
KEY, DENIED, RUN = "create-access-key", "stop-logging-denied", "run-instances"
LOGIN, SERVICE = "console-login-root", "key-deletion-by-service"
NAMES = (KEY, DENIED, RUN, LOGIN, SERVICE)
ACCOUNT, HERE = "111122223333", "eu-central-1:111122223333"


def event(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FIXTURES / f"{name}.json").read_text())
    return found


def did(source: str, name: str, request: Any = None, **more: Any) -> Alert:
    """The alert of another event by the same user."""
    payload = event(KEY)
    payload["detail"] |= {
        "eventSource": f"{source}.amazonaws.com",
        "eventName": name,
        "awsRegion": "eu-central-1",
        "requestParameters": request,
        "responseElements": None,
        **more,
    }
    return read(payload)


def by(who: dict[str, Any]) -> Alert:
    """The alert of the same event by somebody else."""
    payload = event(KEY)
    payload["detail"]["userIdentity"] = who
    return read(payload)


def read(payload: JsonValue) -> Alert:
    [alert] = CloudTrail().normalise(payload)
    return alert


def seen(alert: Alert, kind: ObservableType) -> list[str]:
    return [o.value for o in alert.observables if o.type is kind]


def test_a_new_key_for_another_user() -> None:
    alert = read(event(KEY))
    assert (alert.source, alert.rule, alert.uid) == (
        "cloudtrail",
        "CreateAccessKey",
        "7d3b6f0e-2c2a-4a44-9a8e-0d5a3f8b1c11",
    )
    assert (alert.severity, alert.state) == (Severity.MEDIUM, AlertState.NEW)
    assert alert.title == "ana did CreateAccessKey (iam)"
    assert alert.time == datetime(2026, 4, 2, 8, 14, 3, tzinfo=UTC)
    assert (alert.account, alert.region, alert.provider) == (ACCOUNT, "us-east-1", "aws")
    assert alert.actor == AlertActor(
        name="ana", type="IAMUser", uid="AIDACKCEVSQ6C2EXAMPLE", access_key_id="AKIAIOSFODNN7EXAMPLE"
    )
    assert [(r.type, r.uid) for r in alert.resources] == [
        ("aws.iam.user", f"arn:aws:iam::{ACCOUNT}:user/people/ana"),
        ("aws.iam.access_key", "AKIAIOSFODNN7EXAMPLE"),
        ("aws.iam.user", f"arn:aws:iam::{ACCOUNT}:user/backup"),
        ("aws.iam.access_key", "AKIAI44QH8DHBEXAMPLE"),
    ]
    assert seen(alert, ObservableType.ACCESS_KEY) == ["AKIAIOSFODNN7EXAMPLE", "AKIAI44QH8DHBEXAMPLE"]
    assert seen(alert, ObservableType.PRINCIPAL) == ["ana"]
    assert seen(alert, ObservableType.IP) == ["198.51.100.23"]
    assert alert.attributes == {
        "event_source": "iam.amazonaws.com",
        "event_type": "AwsApiCall",
        "error_code": "",
        "error_message": "",
        "read_only": False,
        "user_agent": "aws-cli/2.17.0",
        "mfa": True,
        "source_ip": "198.51.100.23",
        "invoked_by": "",
        "request": {"userName": "backup"},
    }
    [link] = alert.links
    assert link.startswith("https://us-east-1.console.aws.amazon.com/cloudtrailv2/home?region=us-east-1#/")


def test_a_call_that_failed_weighs_one_step_less() -> None:
    alert = read(event(DENIED))
    assert (alert.severity, alert.attributes["error_code"]) == (Severity.MEDIUM, "AccessDenied")
    assert alert.title == "deployer tried StopLogging (cloudtrail): AccessDenied"
    payload = event(DENIED)
    del payload["detail"]["errorCode"]
    assert read(payload).severity is Severity.HIGH
    assert did("iam", "ListUsers", errorCode="AccessDenied", readOnly=True).severity is Severity.INFORMATIONAL
    assert did("iam", "CreateUser", errorCode="AccessDenied").severity is Severity.LOW


def test_a_role_and_its_session() -> None:
    alert = read(event(DENIED))
    assert alert.actor == AlertActor(
        name="deployer",
        type="AssumedRole",
        uid="AROACKCEVSQ6C2EXAMPLE:ci-17",
        access_key_id="ASIAIOSFODNN7EXAMPLE",
        session_name="ci-17",
    )
    assert [(r.type, r.uid, r.name) for r in alert.resources] == [
        ("aws.iam.role", f"arn:aws:iam::{ACCOUNT}:role/ci/deployer", "deployer"),
        ("aws.iam.access_key", "ASIAIOSFODNN7EXAMPLE", "ASIAIOSFODNN7EXAMPLE"),
        ("aws.cloudtrail.trail", f"arn:aws:cloudtrail:{HERE}:trail/main", "main"),
    ]
    assert alert.attributes["mfa"] is False


def test_new_instances() -> None:
    alert = read(event(RUN))
    assert [(r.type, r.name) for r in alert.resources[2:]] == [
        ("aws.ec2.instance", "i-0a1b2c3d4e5f60718"),
        ("aws.ec2.instance", "i-0a1b2c3d4e5f60719"),
        ("aws.ec2.image", "ami-0abc1234def567890"),
    ]
    assert alert.resources[2].uid == f"arn:aws:ec2:{HERE}:instance/i-0a1b2c3d4e5f60718"
    assert alert.resources[4].uid == "arn:aws:ec2:eu-central-1::image/ami-0abc1234def567890"
    assert seen(alert, ObservableType.HOST) == ["i-0a1b2c3d4e5f60718", "i-0a1b2c3d4e5f60719"]


def test_the_root_user_signs_in() -> None:
    alert = read(event(LOGIN))
    assert (alert.rule, alert.title) == ("ConsoleLogin", "root signed in to the console")
    assert (alert.actor and alert.actor.type, alert.attributes["mfa"]) == ("Root", True)
    assert [(r.type, r.uid) for r in alert.resources] == [("aws.iam.root", f"arn:aws:iam::{ACCOUNT}:root")]
    assert alert.severity is Severity.MEDIUM


def test_a_sign_in_that_failed() -> None:
    payload = event(LOGIN)
    payload["detail"]["responseElements"] = {"ConsoleLogin": "Failure"}
    payload["detail"]["userIdentity"] = {
        "type": "IAMUser",
        "principalId": "AIDA1",
        "accountId": ACCOUNT,
        "accessKeyId": "",
        "userName": "HIDDEN_DUE_TO_SECURITY_REASONS",
    }
    alert = read(payload)
    assert (alert.severity, alert.attributes["error_code"]) == (Severity.LOW, "Failure")
    assert alert.resources == ()
    assert alert.actor == AlertActor(name="AIDA1", type="IAMUser", uid="AIDA1")


def test_what_a_service_did_by_itself() -> None:
    alert = read(event(SERVICE))
    assert alert.actor == AlertActor(name=ACCOUNT)
    assert [(r.type, r.name) for r in alert.resources] == [
        ("aws.kms.key", "1234abcd-12ab-34cd-56ef-1234567890ab")
    ]
    assert seen(alert, ObservableType.IP) == []
    assert alert.attributes["source_ip"] == "AWS Internal"


@pytest.mark.parametrize(
    ("who", "name", "types"),
    [
        (
            {"type": "AWSService", "invokedBy": "cloudformation.amazonaws.com"},
            "cloudformation.amazonaws.com",
            [],
        ),
        (
            {
                "type": "FederatedUser",
                "principalId": f"{ACCOUNT}:guest",
                "arn": f"arn:aws:sts::{ACCOUNT}:federated-user/guest",
                "accountId": ACCOUNT,
                "accessKeyId": "ASIA1",
                "sessionContext": {
                    "sessionIssuer": {
                        "type": "IAMUser",
                        "arn": f"arn:aws:iam::{ACCOUNT}:user/ana",
                        "userName": "ana",
                    }
                },
            },
            "ana",
            ["aws.iam.user", "aws.iam.access_key"],
        ),
        (
            {
                "type": "IdentityCenterUser",
                "accountId": ACCOUNT,
                "onBehalfOf": {
                    "userId": "544894e8-80c1-707f-60e3-3ba6510dfac1",
                    "identityStoreArn": f"arn:aws:identitystore::{ACCOUNT}:identitystore/d-9067642ac7",
                },
                "credentialId": "EXAMPLE",
            },
            "544894e8-80c1-707f-60e3-3ba6510dfac1",
            ["aws.identitystore.user"],
        ),
        (
            {
                "type": "AssumedRole",
                "principalId": "AROA1:x",
                "arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/ops/x",
            },
            "x",
            ["aws.iam.role"],
        ),
        ({"type": "AWSAccount", "principalId": "AROA1:x", "accountId": "444455556666"}, "AROA1:x", []),
    ],
)
def test_other_actors(who: dict[str, Any], name: str, types: list[str]) -> None:
    alert = by(who)
    assert alert.actor is not None
    assert (alert.actor.name, alert.actor.type) == (name, who["type"])
    assert [r.type for r in alert.resources if r.name not in ("backup", "AKIAI44QH8DHBEXAMPLE")] == types


def test_nobody_did_it() -> None:
    alert = by({})
    assert alert.actor is None
    assert alert.title == "somebody did CreateAccessKey (iam)"


@pytest.mark.parametrize(
    ("source", "name", "severity"),
    [
        ("cloudtrail", "StopLogging", Severity.HIGH),
        ("organizations", "LeaveOrganization", Severity.HIGH),
        ("guardduty", "DeleteDetector", Severity.HIGH),
        ("kms", "ScheduleKeyDeletion", Severity.HIGH),
        ("s3", "PutBucketPolicy", Severity.MEDIUM),
        ("secretsmanager", "GetSecretValue", Severity.MEDIUM),
        ("s3", "GetObject", Severity.LOW),
        ("ec2", "DescribeInstances", Severity.INFORMATIONAL),
        ("new-service", "DoSomething", Severity.MEDIUM),
    ],
)
def test_severities(source: str, name: str, severity: Severity) -> None:
    assert did(source, name, readOnly=None).severity is severity


def test_what_cloudtrail_says_of_reading_goes_before_the_name() -> None:
    assert did("x", "GetThing", readOnly=False).severity is Severity.MEDIUM
    assert did("x", "RefreshThing", readOnly=True).severity is Severity.INFORMATIONAL


def test_a_bare_record_is_the_same_alert_and_a_copy_of_it_too() -> None:
    alert = read(event(KEY))
    assert read(event(KEY)["detail"]) == alert
    assert read(event(KEY) | {"id": "another-delivery"}).key == alert.key


def test_a_long_request_is_cut() -> None:
    alert = did("iam", "PutUserPolicy", {"policyDocument": "x" * 50_000, "list": list(range(1000))})
    assert len(json.dumps(alert.attributes["request"])) < 2000


@pytest.mark.parametrize(
    ("field", "value", "wrong"),
    [
        ("eventID", None, "$.detail.eventID"),
        ("eventName", "", "$.detail.eventName"),
        ("eventSource", None, "$.detail.eventSource"),
        ("eventTime", None, "$.detail.eventTime"),
        ("eventTime", 7, "$.detail.eventTime"),
        ("userIdentity", "x", "$.detail.userIdentity"),
        ("resources", {}, "$.detail.resources"),
    ],
)
def test_what_is_wrong_is_named(field: str, value: JsonValue, wrong: str) -> None:
    payload = event(KEY)
    payload["detail"][field] = value
    with pytest.raises(BadAlert) as caught:
        CloudTrail().normalise(payload)
    assert caught.value.field == wrong


def test_another_event_is_refused() -> None:
    with pytest.raises(BadAlert) as caught:
        CloudTrail().normalise(event(KEY) | {"detail-type": "GuardDuty Finding"})
    assert caught.value.field == "$.detail-type"


def test_a_delivery_has_to_be_signed() -> None:
    now = datetime(2026, 4, 2, tzinfo=UTC)
    body = json.dumps(event(KEY)).encode()
    source = sources()["cloudtrail"]
    source.verify(SourceRequest.of(sign("s3cret", body, now), body, now), ("s3cret",))
    with pytest.raises(Unauthenticated):
        source.verify(SourceRequest.of(sign("other", body, now), body, now), ("s3cret",))
    with pytest.raises(Unauthenticated, match="SOAR_SOURCE_CLOUDTRAIL_SECRETS"):
        source.verify(SourceRequest.of({}, body, now), ())
