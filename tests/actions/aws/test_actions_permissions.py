"""What actions declare is what IAM knows; what calls need is what IAM knows; and policies say no more than that."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.session import get_session
from hypothesis import given
from hypothesis import strategies as st

from soar.actions.aws.iam_reference import granted
from soar.actions.aws.least_privilege import POLICY_LIMIT, Granted, Scope, documents, size
from soar.actions.aws.permissions import PERMISSIONS, PREFIXES, permissions_for
from soar.actions.registry import catalogue

AWS = sorted(name for name, spec in catalogue().items() if spec.queue == "aws")
EVERY = [granted(name) for name in sorted({p for name in AWS for p in catalogue()[name].permissions})]
CHANGES = {g.name: g.changes for g in EVERY}
OWN = ("role/soar-responder", "policy/soar-responder*")

KNOWN_SHARE = {
    # The rest are directory buckets, metadata tables, analytics and the like, which no action calls.
    "s3": 0.65,
    "s3control": 0.85,
    "sts": 1,
    "iam": 0.98,
    "ec2": 0.95,
    "elb": 1,
    "elbv2": 1,
    "sesv2": 0.98,
    "sso-admin": 1,
    "accessanalyzer": 0.9,
    "kms": 1,
}
"""How large a part of a service's operations gets names that IAM knows, at least."""


def _known(permission: str) -> bool:
    return bool(granted(permission).levels)


@pytest.mark.parametrize("name", AWS)
def test_every_declared_permission_is_one_of_iam(name: str) -> None:
    declared = catalogue()[name].permissions
    assert declared
    assert len(set(declared)) == len(declared)
    for permission in declared:
        assert not set("*?") & set(permission), "a wildcard allows what nobody thought of"
        assert _known(permission), f"{permission}: no such permission, or in another case"


def test_case_and_service_are_looked_at() -> None:
    for wrong in (
        "iam:updateaccesskey",
        "IAM:UpdateAccessKey",
        "s3:ListObjectsV2",
        "elbv2:DescribeTargetHealth",
        "iam:*",
        "iam",
        "",
        "../iam:UpdateAccessKey",
    ):
        assert not _known(wrong), wrong


@pytest.mark.parametrize("service", KNOWN_SHARE)
def test_what_calls_need_is_known_to_iam(service: str) -> None:
    operations = get_session().get_service_model(service).operation_names
    unknown = [o for o in operations if not all(map(_known, permissions_for(f"{service}:{o}")))]
    assert 1 - len(unknown) / len(operations) >= KNOWN_SHARE[service], unknown


def test_every_exception_is_an_operation_and_leads_to_permissions() -> None:
    session = get_session()
    for operation, needed in PERMISSIONS.items():
        service, name = operation.split(":")
        assert name in session.get_service_model(service).operation_names, operation
        for permission in needed:
            assert _known(permission), f"{operation}: {permission}"
        assert needed != {f"{PREFIXES.get(service, service)}:{name}"}, f"{operation} is no exception"


@pytest.mark.parametrize(
    ("operation", "params", "needed"),
    [
        ("iam:UpdateAccessKey", {}, {"iam:UpdateAccessKey"}),
        ("elbv2:DescribeTargetHealth", {}, {"elasticloadbalancing:DescribeTargetHealth"}),
        ("s3:DeleteBucketLifecycle", {}, {"s3:PutLifecycleConfiguration"}),
        ("s3:GetObject", {"Key": "k"}, {"s3:GetObject"}),
        ("s3:GetObject", {"Key": "k", "VersionId": "v"}, {"s3:GetObjectVersion"}),
        ("s3:DeleteObject", {"VersionId": "v"}, {"s3:DeleteObjectVersion"}),
        ("s3:CopyObject", {"CopySource": "b/k"}, {"s3:GetObject", "s3:PutObject"}),
        ("s3:CopyObject", {"CopySource": "b/k?versionId=v"}, {"s3:GetObjectVersion", "s3:PutObject"}),
        (
            "s3:CopyObject",
            {"CopySource": {"Bucket": "b", "Key": "k", "VersionId": "v"}},
            {"s3:GetObjectVersion", "s3:PutObject"},
        ),
        (
            "ec2:AssociateIamInstanceProfile",
            {},
            {"ec2:AssociateIamInstanceProfile", "iam:PassRole"},
        ),
    ],
)
def test_what_a_call_needs(operation: str, params: dict[str, Any], needed: set[str]) -> None:
    assert permissions_for(operation, params) == needed


def _allowed(found: dict[str, Any]) -> list[str]:
    return [
        action
        for document in found.values()
        for statement in document["Statement"]
        if statement["Effect"] == "Allow"
        for action in statement["Action"]
    ]


@given(
    st.lists(st.sampled_from(EVERY)),
    st.booleans(),
    st.integers(800, POLICY_LIMIT),
    st.sampled_from([(), ("111122223333",), ("111122223333", "444455556666")]),
)
def test_policies_allow_exactly_what_is_asked_and_fit(
    chosen: list[Granted], split: bool, limit: int, accounts: tuple[str, ...]
) -> None:
    found = documents(chosen, Scope(accounts, OWN), split=split, limit=limit)
    assert sorted(_allowed(found)) == sorted({g.name for g in chosen}), "each once, none else"
    for name, document in found.items():
        assert size(document) <= limit
        statements = document["Statement"]
        assert statements
        assert len({s["Sid"] for s in statements}) == len(statements)
        assert all(s["Sid"].isalnum() for s in statements)
        levels = {CHANGES[a] for a in _allowed({name: document})}
        assert not split or len(levels) == 1


def test_what_is_over_a_managed_policy_is_divided_by_service() -> None:
    many = [
        Granted(f"{service}:Do{n:03}", frozenset({"Write"}))
        for service in ("a", "b", "c")
        for n in range(250)
    ]
    found = documents(many, Scope(), name="soar")
    assert list(found) == ["soar-1", "soar-2"]
    services = [{a.partition(":")[0] for a in _allowed({k: d})} for k, d in found.items()]
    assert services == [{"a", "b"}, {"c"}]


def test_a_service_beyond_a_policy_is_divided_itself() -> None:
    many = [Granted(f"a:Do{n:04}", frozenset({"Read"})) for n in range(1100)]
    found = documents(many, Scope())
    assert len(found) == 3
    assert max(map(size, found.values())) <= POLICY_LIMIT


def test_white_space_is_not_counted() -> None:
    document = {"Version": "2012-10-17", "Statement": []}
    assert size(document) == len(json.dumps(document, separators=(",", ":")))


def _statement(document: Any, sid: str) -> Any:
    return next(s for s in document["Statement"] if s["Sid"] == sid)


def test_an_account_limits_changes_where_iam_can() -> None:
    names = (
        "iam:UpdateAccessKey",
        "ec2:DeleteSnapshot",
        "ec2:StopInstances",
        "s3:PutBucketPolicy",
        "iam:GetUser",
    )
    (document,) = documents(map(granted, names), Scope(("111122223333",))).values()
    assert _statement(document, "SoarRead")["Resource"] == "*"
    assert _statement(document, "SoarChangeIam")["Resource"] == "arn:aws:iam::111122223333:*"
    # A bucket's name has no account in it, nor has a snapshot's.
    assert _statement(document, "SoarChangeS3")["Resource"] == "arn:aws:s3:::*"
    assert "arn:aws:ec2:*::*" in _statement(document, "SoarChangeEc2")["Resource"]
    assert "arn:aws:ec2:*:111122223333:*" in _statement(document, "SoarChangeEc2")["Resource"]


@pytest.mark.parametrize(
    "one",
    [
        Granted("a:B", frozenset({"Write"})),
        Granted("a:B", frozenset({"Write"}), ("odd",)),
        Granted("a:B", frozenset({"Write"}), ("arn:${Partition}:${Vendor}:r:a:x",)),
        Granted("a:B"),
    ],
)
def test_what_cannot_be_limited_is_not(one: Granted) -> None:
    (document,) = documents([one], Scope(("111122223333",))).values()
    assert document["Statement"] == [
        {"Sid": "SoarChange", "Effect": "Allow", "Action": ["a:B"], "Resource": "*"},
    ]


def test_the_owner_that_a_format_names_stays() -> None:
    arn = "arn:${Partition}:organizations::${ManagementAccountId}:account/o-${OrganizationId}/${AccountId}"
    one = Granted("organizations:MoveAccount", frozenset({"Write"}), (arn,))
    (document,) = documents([one], Scope(("111122223333",))).values()
    assert document["Statement"][0]["Resource"] == "arn:aws:organizations::*:*"


def test_no_change_to_the_responder_itself_is_allowed() -> None:
    (document,) = documents(
        map(granted, ("iam:PutRolePolicy", "iam:UpdateAccessKey", "iam:GetRole")), Scope(own=OWN)
    ).values()
    assert _statement(document, "SoarNotItself") == {
        "Sid": "SoarNotItself",
        "Effect": "Deny",
        "Action": ["iam:PutRolePolicy"],
        "Resource": "arn:aws:iam::*:role/soar-responder",
    }
    (document,) = documents([granted("iam:CreatePolicyVersion")], Scope(("111122223333",), OWN)).values()
    assert (
        _statement(document, "SoarNotItself")["Resource"]
        == "arn:aws:iam::111122223333:policy/soar-responder*"
    )


def test_every_declared_change_of_a_role_is_under_the_guard() -> None:
    """Whatever an action may one day do to roles and managed policies, it cannot do to the responder's own."""
    found = documents(EVERY, Scope(own=OWN))
    guarded = {
        a for d in found.values() for s in d["Statement"] if s["Effect"] == "Deny" for a in s["Action"]
    }
    about_roles = {
        g.name
        for g in EVERY
        if g.service == "iam" and g.changes and any(":role/" in a or ":policy/" in a for a in g.arns)
    }
    assert guarded == about_roles
    assert "iam:PutRolePolicy" in guarded


def test_no_guard_where_nothing_could_be_done_to_it() -> None:
    (document,) = documents([granted("ec2:StopInstances")], Scope(own=OWN)).values()
    assert [s["Effect"] for s in document["Statement"]] == ["Allow"]
