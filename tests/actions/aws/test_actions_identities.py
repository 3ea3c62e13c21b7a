"""What actions on users and roles refuse, and what they keep of what they delete."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError

from soar.simulated.base import AccountClients

NOBODY = json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "*", "Resource": "*"}]}
)
TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ],
    }
)


@pytest.fixture
def iam(account: AccountClients) -> Any:
    found = account.client("iam")
    found.create_user(UserName="dana")
    return found


async def test_what_is_older_than_the_incident_is_not_deleted(
    make_actions: Callable[..., Any], iam: Any
) -> None:
    with pytest.raises(ApplicationError, match="is older than the incident") as refused:
        await make_actions().plan(
            "aws.iam.delete_principal", type="user", name="dana", made_after="2999-01-01T00:00:00Z"
        )
    assert refused.value.type == "Refused"
    assert iam.get_user(UserName="dana")


async def test_the_deleted_stays_as_evidence(make_actions: Callable[..., Any], iam: Any) -> None:
    iam.put_user_policy(UserName="dana", PolicyName="backdoor", PolicyDocument=NOBODY)
    actions = make_actions()
    plan = await actions.plan(
        "aws.iam.delete_principal", type="user", name="dana", made_after="2020-01-01T00:00:00Z"
    )
    await actions.apply(plan)
    kept = [json.loads(data) for data in actions.vault.kept.values()]
    assert any("backdoor" in one.get("inline_policies", {}) for one in kept)
    again = await actions.plan(
        "aws.iam.delete_principal", type="user", name="dana", made_after="2020-01-01T00:00:00Z"
    )
    assert again.changes == ()


@pytest.mark.parametrize(
    ("path", "name", "says"),
    [
        ("/aws-service-role/guardduty.amazonaws.com/", "AWSServiceRoleForAmazonGuardDuty", "service"),
        ("/aws-reserved/sso.amazonaws.com/", "AWSReservedSSO_Admin_0123456789abcdef", "Identity Center"),
        ("/", "break-glass-admin", "break-glass"),
    ],
)
@pytest.mark.parametrize(
    ("action", "more"),
    [
        ("aws.iam.quarantine_role", {}),
        ("aws.iam.mark_quarantined", {"type": "role"}),
        ("aws.iam.set_boundary", {"type": "role", "policy_arn": "arn:aws:iam::aws:policy/ReadOnlyAccess"}),
        ("aws.iam.delete_principal", {"type": "role", "made_after": "2020-01-01T00:00:00Z"}),
    ],
)
async def test_roles_that_are_not_ours_to_change_are_left_alone(
    make_actions: Callable[..., Any],
    iam: Any,
    action: str,
    more: dict[str, Any],
    path: str,
    name: str,
    says: str,
) -> None:
    iam.create_role(RoleName=name, Path=path, AssumeRolePolicyDocument=TRUST)
    key = "name" if more else "role_name"
    with pytest.raises(ApplicationError, match=says) as refused:
        await make_actions().plan(action, **{key: name, **more})
    assert refused.value.type == "Refused"


async def test_a_mark_of_somebody_else_is_left_as_it_is(make_actions: Callable[..., Any], iam: Any) -> None:
    iam.tag_user(UserName="dana", Tags=[{"Key": "soar:quarantined", "Value": "inc-0"}])
    plan = await make_actions().plan("aws.iam.mark_quarantined", type="user", name="dana")
    assert plan.changes == ()
