"""What a CloudTrail event is about is found in its parameters, under the names that other sources use."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import JsonValue
from test_sources_cloudtrail import ACCOUNT, HERE, did

from soar.model.alert import Alert
from soar.sources.aws_cloudtrail_events import ABOUT, ARNS, SEVERITIES


def about(alert: Alert) -> list[tuple[str, str]]:
    """The resources but for the actor `ana` and her key."""
    return [(r.type, r.name) for r in alert.resources if r.name not in ("ana", "AKIAIOSFODNN7EXAMPLE")]


@pytest.mark.parametrize(
    ("source", "name", "request_", "resources"),
    [
        ("iam", "CreateUser", {"userName": "u"}, [("aws.iam.user", "u")]),
        ("iam", "CreateLoginProfile", {"userName": "u"}, [("aws.iam.user", "u")]),
        (
            "iam",
            "AttachUserPolicy",
            {"userName": "u", "policyArn": "arn:aws:iam::aws:policy/AdministratorAccess"},
            [("aws.iam.user", "u"), ("aws.iam.policy", "AdministratorAccess")],
        ),
        (
            "iam",
            "AddUserToGroup",
            {"userName": "u", "groupName": "g"},
            [("aws.iam.user", "u"), ("aws.iam.group", "g")],
        ),
        ("iam", "UpdateAssumeRolePolicy", {"roleName": "r"}, [("aws.iam.role", "r")]),
        (
            "iam",
            "CreatePolicyVersion",
            {"policyArn": f"arn:aws:iam::{ACCOUNT}:policy/p", "setAsDefault": True},
            [("aws.iam.policy", "p")],
        ),
        ("ec2", "ModifySnapshotAttribute", {"snapshotId": "snap-1"}, [("aws.ec2.snapshot", "snap-1")]),
        ("ec2", "ModifyImageAttribute", {"imageId": "ami-1"}, [("aws.ec2.image", "ami-1")]),
        ("ec2", "AuthorizeSecurityGroupIngress", {"groupId": "sg-1"}, [("aws.ec2.security_group", "sg-1")]),
        (
            "ec2",
            "DeleteFlowLogs",
            {"DeleteFlowLogsRequest": {"FlowLogId": {"content": "fl-1", "tag": 1}}},
            [("aws.ec2.flow_log", "fl-1")],
        ),
        (
            "rds",
            "ModifyDBSnapshotAttribute",
            {"dBSnapshotIdentifier": "s", "valuesToAdd": ["all"]},
            [("aws.rds.db_snapshot", "s")],
        ),
        ("rds", "DeleteDBInstance", {"dBInstanceIdentifier": "d"}, [("aws.rds.db_instance", "d")]),
        ("s3", "PutBucketPolicy", {"bucketName": "b", "bucketPolicy": {}}, [("aws.s3.bucket", "b")]),
        (
            "s3",
            "DeleteObject",
            {"bucketName": "b", "key": "a/c"},
            [("aws.s3.bucket", "b"), ("aws.s3.object", "a/c")],
        ),
        (
            "lambda",
            "CreateFunction20150331",
            {"functionName": "f", "role": f"arn:aws:iam::{ACCOUNT}:role/service-role/f"},
            [("aws.lambda.function", "f"), ("aws.iam.role", "f")],
        ),
        (
            "lambda",
            "UpdateFunctionCode20150331v2",
            {"functionName": f"arn:aws:lambda:{HERE}:function:f"},
            [("aws.lambda.function", "f")],
        ),
        (
            "lambda",
            "AddPermission20150331v2",
            {"functionName": f"{ACCOUNT}:function:f:7"},
            [("aws.lambda.function", "f")],
        ),
        (
            "secretsmanager",
            "GetSecretValue",
            {"secretId": "prod/db"},
            [("aws.secretsmanager.secret", "prod/db")],
        ),
        (
            "secretsmanager",
            "BatchGetSecretValue",
            {"secretIdList": ["a", f"arn:aws:secretsmanager:{HERE}:secret:b-a1B2c3", 7]},
            [
                ("aws.secretsmanager.secret", "a"),
                ("aws.secretsmanager.secret", f"arn:aws:secretsmanager:{HERE}:secret:b-a1B2c3"),
            ],
        ),
        ("kms", "ScheduleKeyDeletion", {"keyId": "1234"}, [("aws.kms.key", "1234")]),
        ("kms", "DisableKey", {"keyId": f"arn:aws:kms:{HERE}:key/1234"}, [("aws.kms.key", "1234")]),
        ("cloudtrail", "DeleteTrail", {"name": "main"}, [("aws.cloudtrail.trail", "main")]),
        ("cloudtrail", "PutEventSelectors", {"trailName": "main"}, [("aws.cloudtrail.trail", "main")]),
        ("guardduty", "DeleteDetector", {"detectorId": "d"}, [("aws.guardduty.detector", "d")]),
        (
            "eks",
            "CreateAccessEntry",
            {"name": "shop", "principalArn": f"arn:aws:iam::{ACCOUNT}:user/eve"},
            [("aws.eks.cluster", "shop"), ("aws.iam.user", "eve")],
        ),
        ("organizations", "LeaveOrganization", None, []),
        ("ssm", "StartSession", {"target": "i-1"}, [("aws.ec2.instance", "i-1")]),
        ("ssm", "GetParameters", {"names": ["/a/b"]}, [("aws.ssm.parameter", "/a/b")]),
    ],
)
def test_what_an_event_is_about(
    source: str, name: str, request_: Any, resources: list[tuple[str, str]]
) -> None:
    alert = did(source, name, request_)
    assert about(alert) == resources
    assert alert.attributes["request"] == request_


@pytest.mark.parametrize(
    ("type_", "uid"),
    [
        (("s3", "PutBucketAcl", {"bucketName": "b"}), "arn:aws:s3:::b"),
        (("kms", "PutKeyPolicy", {"keyId": "1"}), f"arn:aws:kms:{HERE}:key/1"),
        (("kms", "DisableKey", {"keyId": "alias/a"}), f"arn:aws:kms:{HERE}:alias/a"),
        (("ssm", "GetParameter", {"name": "/a/b"}), f"arn:aws:ssm:{HERE}:parameter/a/b"),
        (("rds", "ModifyDBInstance", {"dBInstanceIdentifier": "d"}), f"arn:aws:rds:{HERE}:db:d"),
        (("ec2", "GetPasswordData", {"instanceId": "i-1"}), f"arn:aws:ec2:{HERE}:instance/i-1"),
    ],
)
def test_what_is_named_has_the_uid_that_other_sources_give_it(
    type_: tuple[str, str, dict[str, Any]], uid: str
) -> None:
    assert did(*type_).resources[-1].uid == uid


def test_the_tables_hold_together() -> None:
    assert {service for service, _ in SEVERITIES} >= {"iam", "cloudtrail", "kms", "organizations"}
    kinds = {kind for rows in ABOUT.values() for _, kind in rows}
    assert set(ARNS) <= kinds | {"aws.iam.instance_profile"}
    for rows in ABOUT.values():
        for path, kind in rows:
            assert path.split(".")[0] in ("requestParameters", "responseElements")
            assert kind.startswith("aws.")


SERVICES = st.sampled_from(sorted({key.partition(":")[0] for key in ABOUT}))
ODD = ["", "arn:", "arn:aws:iam", "arn:aws:iam::1:", ":function:", "/", "alias/", "x" * 5000]
ANY_JSON: st.SearchStrategy[JsonValue] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.sampled_from(ODD),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(SERVICES, st.data())
def test_anything_in_a_parameter_is_an_alert(service: str, data: st.DataObject) -> None:
    rows = [row for key, found in ABOUT.items() if key.partition(":")[0] == service for row in found]
    names = sorted({path.split(".")[1].removesuffix("[]") for path, _ in rows})
    request = data.draw(st.dictionaries(st.sampled_from(names), ANY_JSON, max_size=3))
    assert did(service, "DoSomething", request).rule == "DoSomething"
