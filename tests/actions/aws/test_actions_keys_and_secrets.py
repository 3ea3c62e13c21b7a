"""What is special about keys, secrets, tables and logs of models: refusals, and never being locked out."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError

from soar.actions.aws.kms_key import Key, ensure_may_change
from soar.actions.aws.restrict_policy import SID, refuse_lock_out, restricted
from soar.actions.errors import Refused
from soar.simulated.base import AccountClients

US = "arn:aws:iam::123456789012:role/soar-responder"
ROOT = "arn:aws:iam::123456789012:root"
UNDO = ("kms:PutKeyPolicy",)


async def failed(actions: Any, name: str, **params: Any) -> ApplicationError:
    """The error in which planning ends."""
    with pytest.raises(ApplicationError) as caught:
        await actions.plan(name, **params)
    return caught.value


def denying(**more: Any) -> dict[str, Any]:
    statement = {"Sid": "Theirs", "Effect": "Deny", "Principal": "*", "Action": "kms:*", "Resource": "*"}
    return {"Version": "2012-10-17", "Statement": [{**statement, **more}]}


@pytest.mark.parametrize(
    "policy",
    [
        denying(),
        denying(Principal={"AWS": US}),
        denying(Principal={"AWS": ROOT}),
        denying(Principal={"AWS": "123456789012"}),
        denying(NotPrincipal={"AWS": ROOT}),
        denying(Action="*"),
        denying(Action=["kms:Put*", "kms:Get*"]),
        {"Statement": denying()["Statement"][0]},
        denying(Condition={"ArnNotLike": {"aws:PrincipalArn": "arn:aws:iam::123456789012:role/other"}}),
        denying(Condition={"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/soar-*"}}),
        denying(Condition={"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}}),
    ],
)
def test_a_policy_that_could_lock_us_out_is_refused(policy: dict[str, Any]) -> None:
    with pytest.raises(Refused, match="could lock"):
        refuse_lock_out(policy, (US,), UNDO)


@pytest.mark.parametrize(
    "policy",
    [
        denying(Effect="Allow"),
        denying(Action="kms:Decrypt"),
        denying(Principal={"AWS": "arn:aws:iam::123456789012:role/other"}),
        denying(Principal={"Service": "ec2.amazonaws.com"}),
        denying(Condition={"ArnNotLike": {"aws:PrincipalArn": ["arn:aws:iam::123456789012:role/soar-*"]}}),
        denying(Condition={"StringNotEquals": {"AWS:principalarn": US}}),
        denying(Condition={"ArnEquals": {"aws:PrincipalArn": "arn:aws:iam::123456789012:role/other"}}),
        {key: value for key, value in denying().items() if key != "Statement"},
    ],
)
def test_a_policy_that_leaves_us_our_way_back_is_taken(policy: dict[str, Any]) -> None:
    refuse_lock_out(policy, (US,), UNDO)


def test_not_action_denies_all_but_what_it_names() -> None:
    policy = denying(NotAction="kms:Decrypt")
    del policy["Statement"][0]["Action"]
    with pytest.raises(Refused):
        refuse_lock_out(policy, (US,), UNDO)
    policy["Statement"][0]["NotAction"] = ["kms:Decrypt", "kms:Put*"]
    refuse_lock_out(policy, (US,), UNDO)


def test_our_own_statement_leaves_us_out_and_is_there_once() -> None:
    once = restricted(denying(Effect="Allow"), (US, ROOT), ("kms:*",))
    twice = restricted(once, (US, ROOT), ("kms:*",))
    assert twice == once
    statements: Any = twice["Statement"]
    assert [s["Sid"] for s in statements] == ["Theirs", SID]
    refuse_lock_out(twice, (US, ROOT), UNDO)


def test_a_policy_may_have_one_statement_that_is_no_list() -> None:
    found: Any = restricted({"Statement": {"Sid": "One", "Effect": "Allow"}}, (US,), ("kms:*",))
    assert [s["Sid"] for s in found["Statement"]] == ["One", SID]


@pytest.mark.parametrize(
    "arn", ["*", "arn:aws:iam::*:role/x", "arn:aws:iam::123456789012:*", "role/x", "arn:aws:iam::1:*/x"]
)
async def test_access_is_kept_for_named_principals_only(
    actions: Any, account: AccountClients, arn: str
) -> None:
    account.client("secretsmanager").create_secret(Name="mine", SecretString="{}")
    error = await failed(actions, "aws.secretsmanager.restrict_secret", secret_id="mine", responders=[arn])
    assert error.type == "Refused"
    assert "more than a few principals" in str(error)


async def test_a_session_of_a_role_is_known_by_its_role(make_actions: Any, account: AccountClients) -> None:
    account.client("secretsmanager").create_secret(Name="mine", SecretString="{}")
    actions = make_actions()
    trust = {"Version": "2012-10-17", "Statement": []}
    account.client("iam").create_role(RoleName="soar-responder", AssumeRolePolicyDocument=json.dumps(trust))
    session = account.client("sts").assume_role(RoleArn=US, RoleSessionName="inc-1")["Credentials"]
    actions.access._session._session.set_credentials(
        session["AccessKeyId"], session["SecretAccessKey"], session["SessionToken"]
    )
    plan = await actions.plan("aws.secretsmanager.restrict_secret", secret_id="mine")
    exempt = plan.state["exempt"]
    assert US in exempt
    assert ROOT in exempt
    assert "arn:aws:iam::123456789012:role/*/soar-responder" in exempt


async def test_a_policy_of_others_that_would_lock_us_out_is_not_built_upon(
    actions: Any, account: AccountClients
) -> None:
    manager = account.client("secretsmanager")
    manager.create_secret(Name="mine", SecretString="{}")
    statement = {"Effect": "Deny", "Principal": "*", "Action": "secretsmanager:Put*", "Resource": "*"}
    manager.put_resource_policy(
        SecretId="mine", ResourcePolicy=json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    )
    error = await failed(actions, "aws.secretsmanager.restrict_secret", secret_id="mine")
    assert error.type == "Refused"
    assert "could lock" in str(error)


async def test_a_secret_that_is_about_to_be_deleted_has_no_policy_to_change(
    actions: Any, account: AccountClients
) -> None:
    manager = account.client("secretsmanager")
    manager.create_secret(Name="mine", SecretString="{}")
    manager.delete_secret(SecretId="mine", RecoveryWindowInDays=7)
    for name in ("aws.secretsmanager.restrict_secret", "aws.secretsmanager.rotate_secret"):
        error = await failed(actions, name, secret_id="mine")
        assert error.type == "Refused"
        assert "scheduled for deletion" in str(error)


async def test_a_secret_without_a_rotation_is_not_rotated(actions: Any, account: AccountClients) -> None:
    account.client("secretsmanager").create_secret(Name="mine", SecretString="{}")
    error = await failed(actions, "aws.secretsmanager.rotate_secret", secret_id="mine")
    assert error.type == "Refused"
    assert "has no rotation" in str(error)


@pytest.mark.parametrize("name", ["restrict_secret", "rotate_secret", "restore_secret"])
async def test_a_protected_secret_is_left_alone(actions: Any, account: AccountClients, name: str) -> None:
    manager = account.client("secretsmanager")
    manager.create_secret(Name="mine", SecretString="{}", Tags=[{"Key": "soar:protected", "Value": "yes"}])
    if name == "restore_secret":
        manager.delete_secret(SecretId="mine", RecoveryWindowInDays=7)
    error = await failed(actions, f"aws.secretsmanager.{name}", secret_id="mine")
    assert error.type == "Refused"
    assert "soar:protected" in str(error)


def key(account: AccountClients, **more: Any) -> str:
    return str(account.client("kms").create_key(**more)["KeyMetadata"]["KeyId"])


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("disable_key", {}),
        ("restrict_key_policy", {}),
        ("revoke_grants", {"grantees": [US]}),
        ("cancel_key_deletion", {}),
    ],
)
async def test_a_protected_key_is_left_alone(
    actions: Any, account: AccountClients, name: str, more: dict[str, Any]
) -> None:
    kms = account.client("kms")
    key_id = key(account, Tags=[{"TagKey": "soar:protected", "TagValue": "yes"}])
    if name == "cancel_key_deletion":
        kms.schedule_key_deletion(KeyId=key_id, PendingWindowInDays=7)
    error = await failed(actions, f"aws.kms.{name}", key_id=key_id, **more)
    assert error.type == "Refused"
    assert "soar:protected" in str(error)


def test_a_key_that_aws_manages_is_told_so() -> None:
    raw = {"KeyId": "1234abcd-12ab-34cd-56ef-1234567890ab", "KeyManager": "AWS"}
    arn = f"arn:aws:kms:us-east-1:123456789012:key/{raw['KeyId']}"
    with pytest.raises(Refused, match="managed by AWS"):
        ensure_may_change(Key(raw=raw | {"Arn": arn}, tags={}))


async def test_no_grant_is_revoked_unless_it_is_named(actions: Any, account: AccountClients) -> None:
    key_id = key(account)
    error = await failed(actions, "aws.kms.revoke_grants", key_id=key_id)
    assert error.type == "BadInput"
    account.client("kms").create_grant(KeyId=key_id, GranteePrincipal=US, Operations=["Decrypt"])
    plan = await actions.plan("aws.kms.revoke_grants", key_id=key_id, grantees=["arn:aws:iam::1:role/x"])
    assert plan.changes == ()


async def test_the_grant_of_a_service_is_warned_of(actions: Any, account: AccountClients) -> None:
    key_id = key(account)
    service = "arn:aws:sts::123456789012:assumed-role/aws:ec2-infrastructure/i-0123456789abcdef0"
    grant = account.client("kms").create_grant(
        KeyId=key_id, GranteePrincipal=service, Operations=["Decrypt"]
    )["GrantId"]
    plan = await actions.plan("aws.kms.revoke_grants", key_id=key_id, grant_ids=[grant])
    assert any("of an AWS service" in w for w in plan.warnings)


@pytest.mark.parametrize("key_id", ["", "x", "alias/", "../alias/x", "12345678-1234-1234-1234-12345678901"])
async def test_what_is_no_key_is_said_so(actions: Any, key_id: str) -> None:
    assert (await failed(actions, "aws.kms.disable_key", key_id=key_id)).type == "BadInput"


async def test_a_table_without_recovery_cannot_go_back(actions: Any, account: AccountClients) -> None:
    dynamodb = account.client("dynamodb")
    dynamodb.create_table(
        TableName="orders",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    params = {"table": "orders", "at": (datetime.now(UTC) - timedelta(days=40)).isoformat()}
    error = await failed(actions, "aws.dynamodb.restore_table_to_time", **params)
    assert error.type == "Refused"
    assert "no point-in-time recovery" in str(error)
    dynamodb.update_continuous_backups(
        TableName="orders", PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
    )
    error = await failed(actions, "aws.dynamodb.restore_table_to_time", **params)
    assert error.type == "Refused"
    assert "can be brought back to moments from" in str(error)


@pytest.mark.parametrize("params", [{}, {"log_group": "models"}, {"role_arn": US, "bucket": "model-logs"}])
async def test_models_must_be_logged_somewhere(actions: Any, params: dict[str, str]) -> None:
    error = await failed(actions, "aws.bedrock.restore_invocation_logging", **params)
    assert error.type == "BadInput"
