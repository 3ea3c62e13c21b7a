"""Which statements make a bucket public, by S3's own definition."""

from __future__ import annotations

import json
from typing import Any

import pytest

from soar.actions.aws.s3_policy import named_principals, public_statements, without

ALLOW: dict[str, Any] = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/*"}
NAMED = {**ALLOW, "Sid": "named", "Principal": {"AWS": "arn:aws:iam::444455556666:root"}}


def policy(*statements: Any) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def conditioned(operator: str, key: str, value: Any) -> str:
    return policy({**ALLOW, "Principal": "*", "Condition": {operator: {key: value}}})


@pytest.mark.parametrize(
    "statement",
    [
        {**ALLOW, "Principal": "*"},
        {**ALLOW, "Principal": {"AWS": "*"}},
        {**ALLOW, "Principal": {"AWS": ["arn:aws:iam::444455556666:root", "*"]}},
        {**ALLOW, "NotPrincipal": {"AWS": "arn:aws:iam::444455556666:root"}},
        {**ALLOW, "Principal": {"AWS": "arn:aws:iam::*:root"}},
    ],
)
def test_everybody(statement: dict[str, Any]) -> None:
    found = public_statements(policy(NAMED, statement))
    assert [s.index for s in found] == [1]
    assert "everybody" in found[0].reason


@pytest.mark.parametrize(
    "statement",
    [
        NAMED,
        {**ALLOW, "Principal": {"Service": "cloudfront.amazonaws.com"}},
        {**ALLOW, "Effect": "Deny", "Principal": "*"},
    ],
)
def test_not_everybody(statement: dict[str, Any]) -> None:
    assert public_statements(policy(statement)) == []


@pytest.mark.parametrize(
    ("operator", "key", "value"),
    [
        ("StringEquals", "aws:PrincipalOrgID", "o-abc123"),
        ("StringEquals", "aws:SourceVpce", ["vpce-1", "vpce-2"]),
        ("StringEquals", "AWS:SourceAccount", "444455556666"),
        ("StringLike", "aws:userid", "AROAEXAMPLE1:session"),
        ("ArnLike", "aws:SourceArn", "arn:aws:cloudfront::444455556666:distribution/E1"),
        ("ForAnyValue:StringEquals", "aws:PrincipalOrgPaths", "o-a/r-b/ou-c/"),
        ("IpAddress", "aws:SourceIp", ["192.0.2.0/24", "2001:db8::/32"]),
        ("IpAddress", "aws:SourceIp", "10.0.0.0/8"),
        ("StringLike", "s3:DataAccessPointArn", "arn:aws:s3:us-east-1:444455556666:accesspoint/*"),
    ],
)
def test_a_condition_that_binds(operator: str, key: str, value: Any) -> None:
    assert public_statements(conditioned(operator, key, value)) == []


@pytest.mark.parametrize(
    ("operator", "key", "value"),
    [
        ("StringLike", "aws:SourceVpce", "vpce-*"),
        ("StringLike", "aws:userid", "AROAEXAMPLE1:*"),
        ("StringEquals", "aws:PrincipalOrgID", ["o-abc123", "${aws:PrincipalTag/org}"]),
        ("StringEqualsIfExists", "aws:PrincipalOrgID", "o-abc123"),
        ("ForAllValues:StringEquals", "aws:PrincipalOrgPaths", "o-a/r-b/"),
        ("StringNotEquals", "aws:SourceAccount", "444455556666"),
        ("StringEquals", "aws:UserAgent", "secret"),
        ("StringLike", "aws:Referer", "https://example.com/"),
        ("IpAddress", "aws:SourceIp", "0.0.0.0/0"),
        ("IpAddress", "aws:SourceIp", ["192.0.2.0/24", "0.0.0.0/1"]),
        ("IpAddress", "aws:SourceIp", "::/0"),
        ("IpAddress", "aws:SourceIp", "not an address"),
        ("NotIpAddress", "aws:SourceIp", "192.0.2.0/24"),
        ("StringEquals", "aws:SourceIp", "192.0.2.1"),
        ("Bool", "aws:SecureTransport", "true"),
        ("StringLike", "s3:DataAccessPointArn", "arn:aws:s3:*:*:accesspoint/*"),
        ("StringEquals", "aws:SourceVpc", []),
    ],
)
def test_a_condition_that_binds_nobody(operator: str, key: str, value: Any) -> None:
    assert len(public_statements(conditioned(operator, key, value))) == 1


def test_a_single_statement_needs_no_list() -> None:
    document = json.dumps({"Version": "2012-10-17", "Statement": {**ALLOW, "Principal": "*"}})
    found = public_statements(document)
    assert len(found) == 1
    assert without(document, found) == ""


def test_only_what_is_public_is_taken_out() -> None:
    document = policy({**ALLOW, "Principal": "*"}, NAMED, {**ALLOW, "Principal": {"AWS": "*"}})
    left = json.loads(without(document, public_statements(document)))
    assert left == {"Version": "2012-10-17", "Statement": [NAMED]}
    assert named_principals(document) == ("arn:aws:iam::444455556666:root",)
