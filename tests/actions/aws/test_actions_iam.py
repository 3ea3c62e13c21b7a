"""IAM actions against moto's server: planned, applied, verified, undone, interrupted, refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError

from soar.model.base import JsonObject
from soar.simulated.base import AccountClients

ALLOW = json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
)
TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ],
    }
)
FORMER = json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "s3:*", "Resource": "*"}]}
)


def make_user(account: AccountClients, name: str = "dana", keys: int = 1, **more: Any) -> list[str]:
    iam = account.client("iam")
    iam.create_user(UserName=name, **more)
    return sorted(iam.create_access_key(UserName=name)["AccessKey"]["AccessKeyId"] for _ in range(keys))


def make_role(account: AccountClients, name: str = "app", path: str = "/") -> None:
    account.client("iam").create_role(RoleName=name, Path=path, AssumeRolePolicyDocument=TRUST)


def make_secret(account: AccountClients, name: str = "app/key") -> None:
    secrets = account.client("secretsmanager")
    secrets.create_secret(Name=name, SecretString=json.dumps({"AccessKeyId": "old", "host": "db"}))
    secrets.put_secret_value(SecretId=name, SecretString=json.dumps({"AccessKeyId": "old2", "host": "db"}))


def key_statuses(account: AccountClients, name: str = "dana") -> dict[str, str]:
    keys = account.client("iam").list_access_keys(UserName=name)["AccessKeyMetadata"]
    return {k["AccessKeyId"]: k["Status"] for k in keys}


async def fails(awaitable: Any, kind: str) -> ApplicationError:
    with pytest.raises(ApplicationError) as caught:
        await awaitable
    assert caught.value.type == kind, caught.value
    return caught.value


CHANGES: dict[str, JsonObject] = {
    "aws.iam.deactivate_access_key": {"user_name": "dana"},
    "aws.iam.quarantine_user": {"user_name": "dana"},
    "aws.iam.revoke_role_sessions": {"role_name": "app"},
    "aws.iam.rotate_access_key": {"user_name": "dana", "secret_id": "app/key"},
}


def prepare(account: AccountClients) -> None:
    make_user(account)
    make_role(account)
    make_secret(account)


async def test_only_one_key_and_only_the_active_ones_come_back(actions: Any, account: AccountClients) -> None:
    first, second = make_user(account, keys=2)
    account.client("iam").update_access_key(UserName="dana", AccessKeyId=first, Status="Inactive")
    plan = await actions.plan("aws.iam.deactivate_access_key", user_name="dana")
    assert [c.field for c in plan.changes] == [f"access key {second}"]
    await actions.apply(plan)
    await actions.undo(plan)
    assert key_statuses(account) == {first: "Inactive", second: "Active"}

    one = await actions.plan("aws.iam.deactivate_access_key", user_name="dana", access_key_id=second)
    assert any(first in fact for fact in one.blast_radius.facts)
    other = await actions.plan("aws.iam.deactivate_access_key", user_name="dana", access_key_id=first)
    assert not other.changes


async def test_half_of_two_keys_is_finished_by_the_retry_and_comes_back_whole(
    actions: Any, account: AccountClients
) -> None:
    make_user(account, keys=2)
    plan = await actions.plan("aws.iam.deactivate_access_key", user_name="dana")
    mark = len(actions.wire.calls)
    await actions.apply(plan)
    first_write = actions.wire.calls[mark:].index("iam:UpdateAccessKey") + 1
    await actions.undo(plan)
    actions.wire.crash_after = len(actions.wire.calls) + first_write
    await fails(actions.apply(plan), "Unexpected")
    actions.wire.crash_after = None
    assert sorted(key_statuses(account).values()) == ["Active", "Inactive"]
    # What is left to do was in the plan that people saw: nobody is asked again.
    await actions.apply(plan, attempt=2)
    assert set(key_statuses(account).values()) == {"Inactive"}
    assert (await actions.undo(plan)).restored
    assert set(key_statuses(account).values()) == {"Active"}


async def test_a_key_that_comes_after_the_plan_voids_it(actions: Any, account: AccountClients) -> None:
    make_user(account)
    plan = await actions.plan("aws.iam.deactivate_access_key", user_name="dana")
    late = account.client("iam").create_access_key(UserName="dana")["AccessKey"]["AccessKeyId"]
    error = await fails(actions.apply(plan), "Drifted")
    assert late in error.message
    assert error.details[0].nothing_done


async def test_former_policies_come_back(actions: Any, account: AccountClients) -> None:
    make_user(account)
    make_role(account)
    iam = account.client("iam")
    iam.put_user_policy(UserName="dana", PolicyName="IR-Quarantine", PolicyDocument=FORMER)
    iam.put_role_policy(RoleName="app", PolicyName="AWSRevokeOlderSessions", PolicyDocument=FORMER)
    for name, params in (
        ("aws.iam.quarantine_user", {"user_name": "dana"}),
        ("aws.iam.revoke_role_sessions", {"role_name": "app", "session_name": "i-0abc"}),
    ):
        plan = await actions.plan(name, **params)
        await actions.apply(plan)
        assert (await actions.verify(plan)).verified
        assert (await actions.undo(plan)).restored
    user = iam.get_user_policy(UserName="dana", PolicyName="IR-Quarantine")["PolicyDocument"]
    role = iam.get_role_policy(RoleName="app", PolicyName="AWSRevokeOlderSessions")["PolicyDocument"]
    assert user == role == json.loads(FORMER)


async def test_undo_refuses_what_somebody_changed(actions: Any, account: AccountClients) -> None:
    prepare(account)
    iam = account.client("iam")
    plans = {name: await actions.plan(name, **params) for name, params in CHANGES.items()}
    for name in ("aws.iam.deactivate_access_key", "aws.iam.quarantine_user", "aws.iam.revoke_role_sessions"):
        await actions.apply(plans[name])
    (key,) = key_statuses(account)
    iam.delete_access_key(UserName="dana", AccessKeyId=key)
    iam.put_user_policy(UserName="dana", PolicyName="IR-Quarantine", PolicyDocument=FORMER)
    iam.put_role_policy(RoleName="app", PolicyName="AWSRevokeOlderSessions", PolicyDocument=FORMER)
    for name in ("aws.iam.deactivate_access_key", "aws.iam.quarantine_user", "aws.iam.revoke_role_sessions"):
        assert not actions.look(plans[name]).verified
        await fails(actions.undo(plans[name]), "Drifted")
        await fails(actions.undo(plans[name], in_doubt=True), "Drifted")


async def test_the_cut_off_is_kept_by_a_retry(actions: Any, account: AccountClients) -> None:
    make_role(account)
    plan = await actions.plan("aws.iam.revoke_role_sessions", role_name="app", session_name="i-0abc")
    first = await actions.apply(plan)
    policy = account.client("iam").get_role_policy(RoleName="app", PolicyName="AWSRevokeOlderSessions")
    second = await actions.apply(plan, attempt=2)
    assert first.data == second.data
    role_id = account.client("iam").get_role(RoleName="app")["Role"]["RoleId"]
    condition = policy["PolicyDocument"]["Statement"][0]["Condition"]
    assert condition["StringEquals"] == {"aws:userid": f"{role_id}:i-0abc"}


async def test_a_key_is_deleted_only_when_it_is_inactive(actions: Any, account: AccountClients) -> None:
    (key,) = make_user(account)
    params = {"user_name": "dana", "access_key_id": key}
    await fails(actions.plan("aws.iam.delete_access_key", **params), "Refused")
    account.client("iam").update_access_key(UserName="dana", AccessKeyId=key, Status="Inactive")
    plan = await actions.plan("aws.iam.delete_access_key", **params)
    assert plan.content_digest == (await actions.plan("aws.iam.delete_access_key", **params)).content_digest
    assert not actions.look(plan).verified
    await actions.apply(plan)
    await actions.apply(plan, attempt=2)
    assert (await actions.verify(plan)).verified
    assert key_statuses(account) == {}
    assert not (await actions.plan("aws.iam.delete_access_key", **params)).changes
    assert not actions.definitions["aws.iam.delete_access_key"].spec.undoable


async def test_the_new_secret_is_nowhere_but_in_the_secret(actions: Any, account: AccountClients) -> None:
    prepare(account)
    plan = await actions.plan("aws.iam.rotate_access_key", **CHANGES["aws.iam.rotate_access_key"])
    result = await actions.apply(plan)
    seen = await actions.verify(plan)
    value = json.loads(account.client("secretsmanager").get_secret_value(SecretId="app/key")["SecretString"])
    assert value["host"] == "db"
    assert value["AccessKeyId"] == result.data["access_key_id"]
    told = plan.model_dump_json() + result.model_dump_json() + seen.model_dump_json()
    assert value["SecretAccessKey"] not in told
    assert not any(value["SecretAccessKey"].encode() in kept for kept in actions.vault.kept.values())


async def test_rotation_refuses_what_it_cannot_do(actions: Any, account: AccountClients) -> None:
    make_user(account, keys=2)
    make_secret(account)
    account.client("secretsmanager").create_secret(Name="plain", SecretString="text")
    error = await fails(
        actions.plan("aws.iam.rotate_access_key", user_name="dana", secret_id="app/key"), "Refused"
    )
    assert "delete" in error.details[0].hint
    await fails(actions.plan("aws.iam.rotate_access_key", user_name="dana", secret_id="plain"), "Refused")
    await fails(actions.plan("aws.iam.rotate_access_key", user_name="dana", secret_id="none"), "TargetGone")


@pytest.mark.parametrize(
    ("kind", "name", "path", "tags"),
    [
        ("user", "break-glass", "/", {}),
        ("user", "dana", "/Break-Glass/", {}),
        ("user", "dana", "/", {"soar:protected": ""}),
        ("role", "break-glass-admin", "/", {}),
        ("role", "AWSServiceRoleForSupport", "/aws-service-role/support.amazonaws.com/", {}),
        ("role", "AWSReservedSSO_Admin_0123", "/aws-reserved/sso.amazonaws.com/", {}),
    ],
)
async def test_guards(
    actions: Any, account: AccountClients, kind: str, name: str, path: str, tags: dict[str, str]
) -> None:
    if kind == "role":
        make_role(account, name, path)
        await fails(actions.plan("aws.iam.revoke_role_sessions", role_name=name), "Refused")
        return
    (key,) = make_user(account, name, Path=path, Tags=[{"Key": k, "Value": v} for k, v in tags.items()])
    make_secret(account)
    for action, more in (
        ("aws.iam.deactivate_access_key", {}),
        ("aws.iam.quarantine_user", {}),
        ("aws.iam.delete_access_key", {"access_key_id": key}),
        ("aws.iam.rotate_access_key", {"secret_id": "app/key"}),
    ):
        await fails(actions.plan(action, user_name=name, **more), "Refused")


async def test_never_the_worker_itself(
    make_actions: Callable[..., Any], account: AccountClients, monkeypatch: pytest.MonkeyPatch
) -> None:
    iam = account.client("iam")
    iam.create_user(UserName="worker")
    key = iam.create_access_key(UserName="worker")["AccessKey"]
    make_role(account, "soar-responder")
    assumed = account.client("sts").assume_role(
        RoleArn=iam.get_role(RoleName="soar-responder")["Role"]["Arn"], RoleSessionName="soar"
    )["Credentials"]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
    await fails(make_actions().plan("aws.iam.quarantine_user", user_name="worker"), "Refused")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", assumed["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", assumed["SecretAccessKey"])
    monkeypatch.setenv("AWS_SESSION_TOKEN", assumed["SessionToken"])
    await fails(make_actions().plan("aws.iam.revoke_role_sessions", role_name="soar-responder"), "Refused")


async def test_a_full_user_has_no_room_for_the_quarantine(actions: Any, account: AccountClients) -> None:
    make_user(account)
    big = json.loads(ALLOW)
    big["Statement"][0]["Resource"] = [f"arn:aws:s3:::bucket-number-{n:04}" for n in range(60)]
    account.client("iam").put_user_policy(UserName="dana", PolicyName="big", PolicyDocument=json.dumps(big))
    error = await fails(actions.plan("aws.iam.quarantine_user", user_name="dana"), "Refused")
    assert "2048" in error.message


async def test_the_quarantine_is_felt_and_a_missing_permission_is_named(
    make_actions: Callable[..., Any],
    account: AccountClients,
    enforce: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    iam = account.client("iam")
    clients: dict[str, AccountClients] = {}
    for name in ("dana", "worker", "admin"):
        iam.create_user(UserName=name)
        iam.put_user_policy(UserName=name, PolicyName="all", PolicyDocument=ALLOW)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        clients[name] = AccountClients(
            account.endpoint_url, access_key_id=key["AccessKeyId"], secret_access_key=key["SecretAccessKey"]
        )
    no_writes = json.loads(ALLOW)
    no_writes["Statement"][0]["Action"] = ["iam:Get*", "iam:List*", "sts:*"]
    iam.put_user_policy(UserName="worker", PolicyName="all", PolicyDocument=json.dumps(no_writes))
    enforce()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", clients["worker"].access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", clients["worker"].secret_access_key)
    actions = make_actions()
    assert clients["dana"].client("s3").list_buckets()["Buckets"] == []
    for name, permission in (
        ("aws.iam.quarantine_user", "iam:PutUserPolicy"),
        ("aws.iam.deactivate_access_key", "iam:UpdateAccessKey"),
    ):
        plan = await actions.plan(name, user_name="dana")
        error = await fails(actions.apply(plan), "PermissionMissing")
        assert error.details[0].permission == permission

    clients["admin"].client("iam").put_user_policy(UserName="worker", PolicyName="all", PolicyDocument=ALLOW)
    plan = await actions.plan("aws.iam.quarantine_user", user_name="dana")
    await actions.apply(plan)
    with pytest.raises(clients["dana"].client("s3").exceptions.ClientError, match="AccessDenied"):
        clients["dana"].client("s3").list_buckets()
    assert (await actions.undo(plan)).restored
    clients["dana"].client("s3").list_buckets()


async def test_bad_input_names_the_field(actions: Any) -> None:
    error = await fails(actions.plan("aws.iam.quarantine_user", user_name="a b"), "BadInput")
    assert "user_name" in error.message
    error = await fails(
        actions.plan("aws.iam.deactivate_access_key", user_name="dana", access_key_id="ASIA1234567890123456"),
        "BadInput",
    )
    await fails(actions.plan("aws.iam.quarantine_user", user_name="nobody"), "TargetGone")


async def test_reads(actions: Any, account: AccountClients) -> None:
    (key,) = make_user(account)
    make_role(account)
    iam = account.client("iam")
    iam.create_group(GroupName="devs")
    iam.put_group_policy(GroupName="devs", PolicyName="all", PolicyDocument=ALLOW)
    iam.add_user_to_group(GroupName="devs", UserName="dana")
    iam.put_user_policy(UserName="dana", PolicyName="own", PolicyDocument=ALLOW)
    iam.create_login_profile(UserName="dana", Password="Correct-Horse-1")
    user = await actions.read("aws.iam.describe_principal", name="dana")
    assert user.data["active_keys"] == [key]
    assert user.data["console_login"] is True
    assert user.data["groups"][0]["inline_policies"] == ["all"]
    (evidence,) = user.evidence
    kept = json.loads(actions.vault.kept[evidence.digest])
    assert kept["policy_documents"]["user/dana/own"] == json.loads(ALLOW)
    role = await actions.read("aws.iam.describe_principal", name="app", type="role")
    assert role.data["trust_policy"] == json.loads(TRUST)
    owner = await actions.read("aws.iam.find_key_owner", access_key_id=key)
    assert owner.data["user_name"] == "dana"
    assert owner.data["account"] == "123456789012"
    session = await actions.read("aws.iam.find_key_owner", access_key_id="ASIA1234567890123456")
    assert session.data["kind"] == "temporary"
    await fails(actions.read("aws.iam.describe_principal", name="nobody"), "TargetGone")
