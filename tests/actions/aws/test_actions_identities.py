"""What actions on users and roles refuse, and what they keep of what they delete."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError

from soar.simulated.base import AccountClients

sys.path.insert(0, str(Path(__file__).parent / "conformance"))
from scripted import Scripted, ScriptedError

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


def without_service_credentials(actions: Any) -> None:
    """The simulated account lacks the operation; here nobody has any."""
    scripted = Scripted("iam")

    @scripted.operation("ListServiceSpecificCredentials")
    def none(params: dict[str, Any]) -> dict[str, Any]:
        return {"ServiceSpecificCredentials": []}

    scripted.attach(actions.access._session.events)


async def test_what_is_older_than_the_incident_is_not_deleted(
    make_actions: Callable[..., Any], iam: Any
) -> None:
    actions = make_actions()
    without_service_credentials(actions)
    with pytest.raises(ApplicationError, match="is older than the incident") as refused:
        await actions.plan(
            "aws.iam.delete_principal", type="user", name="dana", made_after="2999-01-01T00:00:00Z"
        )
    assert refused.value.type == "Refused"
    assert iam.get_user(UserName="dana")


async def test_the_deleted_is_in_the_plan_and_stays_as_evidence(
    make_actions: Callable[..., Any], iam: Any
) -> None:
    iam.put_user_policy(UserName="dana", PolicyName="backdoor", PolicyDocument=NOBODY)
    iam.put_user_policy(UserName="dana", PolicyName="IR-Quarantine", PolicyDocument=NOBODY)
    actions = make_actions()
    without_service_credentials(actions)
    which = {"type": "user", "name": "dana", "made_after": "2020-01-01T00:00:00Z"}
    plan = await actions.plan("aws.iam.delete_principal", **which)
    record = plan.state["record"]
    assert sorted(record["inline_policies"]) == ["IR-Quarantine", "backdoor"]
    # A try that died after it had begun: what is kept is all that the plan recorded.
    iam.delete_user_policy(UserName="dana", PolicyName="backdoor")
    await actions.apply(plan, attempt=2)
    assert record in [json.loads(data) for data in actions.vault.kept.values()]
    again = await actions.plan("aws.iam.delete_principal", **which)
    assert again.changes == ()


async def test_the_policy_that_contains_goes_last(make_actions: Callable[..., Any], iam: Any) -> None:
    for name in ("IR-Quarantine", "backdoor", "zz"):
        iam.put_user_policy(UserName="dana", PolicyName=name, PolicyDocument=NOBODY)
    actions = make_actions()
    without_service_credentials(actions)
    gone: list[str] = []

    def seen(params: dict[str, Any], **_: Any) -> None:
        gone.append(params["PolicyName"])

    actions.access._session.events.register("before-parameter-build.iam.DeleteUserPolicy", seen)
    plan = await actions.plan(
        "aws.iam.delete_principal", type="user", name="dana", made_after="2020-01-01T00:00:00Z"
    )
    await actions.apply(plan)
    assert gone == ["backdoor", "zz", "IR-Quarantine"]


async def test_a_device_from_before_the_incident_is_left_alone(
    make_actions: Callable[..., Any], iam: Any
) -> None:
    serial = iam.create_virtual_mfa_device(VirtualMFADeviceName="phone")["VirtualMFADevice"]["SerialNumber"]
    iam.enable_mfa_device(
        UserName="dana", SerialNumber=serial, AuthenticationCode1="123456", AuthenticationCode2="654321"
    )
    actions = make_actions()
    which = {"user_name": "dana", "serial": serial}
    with pytest.raises(ApplicationError, match="was enrolled on"):
        await actions.plan("aws.iam.deactivate_mfa_device", **which, enrolled_after="2999-01-01T00:00:00Z")
    plan = await actions.plan("aws.iam.deactivate_mfa_device", **which)
    assert "The user has no second factor afterwards." in plan.warnings


async def test_a_credential_of_somebody_else_is_not_as_wanted(
    make_actions: Callable[..., Any], iam: Any
) -> None:
    actions = make_actions()
    without_service_credentials(actions)
    with pytest.raises(ApplicationError, match="has no credential ACCAEXAMPLEBEDROCKA1") as gone:
        await actions.plan(
            "aws.iam.deactivate_service_credentials",
            user_name="dana",
            credential_ids=["ACCAEXAMPLEBEDROCKA1"],
        )
    assert gone.value.type == "TargetGone"


async def test_sessions_are_revoked_side_by_side(make_actions: Callable[..., Any], iam: Any) -> None:
    iam.create_role(RoleName="app", AssumeRolePolicyDocument=TRUST)
    actions = make_actions()
    plans = [
        await actions.plan("aws.iam.revoke_session", role_name="app", session_name=name)
        for name in ("i-0123456789abcdef0", "mallory")
    ]
    for plan in plans:
        await actions.apply(plan)
        assert (await actions.verify(plan)).verified
    assert len(iam.list_role_policies(RoleName="app")["PolicyNames"]) == 2
    assert (await actions.undo(plans[0])).restored
    assert (await actions.verify(plans[1])).verified


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


MARK = "soar:quarantined"


def user_tags(iam: Any) -> dict[str, str]:
    return {t["Key"]: t["Value"] for t in iam.list_user_tags(UserName="dana")["Tags"]}


async def test_quarantine_tags_with_the_incident_before_it_denies(
    make_actions: Callable[..., Any], iam: Any
) -> None:
    actions = make_actions(incident_id="inc 7;drop")
    plan = await actions.plan("aws.iam.quarantine_user", user_name="dana")
    assert "inc 7_drop" in plan.summary
    await actions.apply(plan)
    assert user_tags(iam) == {MARK: "inc 7_drop"}
    calls = actions.wire.calls
    assert calls.index("iam:TagUser") < calls.index("iam:PutUserPolicy")


def failing(actions: Any, operation: str, code: str) -> None:
    """Let the service answer an operation with an error."""
    scripted = Scripted("iam")

    @scripted.operation(operation)
    def refuse(params: dict[str, Any]) -> dict[str, Any]:
        raise ScriptedError(code, "said by the service")

    scripted.attach(actions.access._session.events)


@pytest.mark.parametrize("code", ["LimitExceeded", "AccessDenied"])
async def test_the_deny_does_not_wait_for_a_tag_that_cannot_be_set(
    make_actions: Callable[..., Any], iam: Any, code: str
) -> None:
    actions = make_actions()
    failing(actions, "TagUser", code)
    plan = await actions.plan("aws.iam.quarantine_user", user_name="dana")
    done = await actions.apply(plan)
    assert f"it could not be tagged soar:quarantined: iam:TagUser: {code}" in done.summary
    seen = await actions.verify(plan)
    assert seen.verified
    assert "no guard keeps" in seen.seen
    assert (await actions.undo(plan)).restored


@pytest.mark.parametrize("others", [{MARK: "inc-2"}, {}])
async def test_a_tag_that_somebody_changed_does_not_hinder_the_undo(
    make_actions: Callable[..., Any], iam: Any, others: dict[str, str]
) -> None:
    actions = make_actions()
    plan = await actions.plan("aws.iam.quarantine_user", user_name="dana")
    await actions.apply(plan)
    iam.untag_user(UserName="dana", TagKeys=[MARK])
    if others:
        iam.tag_user(UserName="dana", Tags=[{"Key": k, "Value": v} for k, v in others.items()])
    reply = await actions.undo(plan)
    assert reply.restored, reply.seen
    assert user_tags(iam) == others
    assert iam.list_user_policies(UserName="dana")["PolicyNames"] == []


@pytest.mark.parametrize(
    ("code", "tries"), [("AccessDenied", 1), ("Throttling", 3), ("ConcurrentModification", 3)]
)
async def test_a_tag_that_cannot_be_removed_is_told_and_the_deny_is_undone(
    make_actions: Callable[..., Any], iam: Any, code: str, tries: int
) -> None:
    actions = make_actions()
    failing(actions, "UntagUser", code)
    plan = await actions.plan("aws.iam.quarantine_user", user_name="dana")
    await actions.apply(plan)
    for attempt in range(1, tries):
        with pytest.raises(ApplicationError, match=code):
            await actions.undo(plan, attempt=attempt)
    reply = await actions.undo(plan, attempt=tries)
    assert reply.restored, reply.seen
    assert "remove it by hand" in reply.result.summary
    assert iam.list_user_policies(UserName="dana")["PolicyNames"] == []
