"""Cases of IAM users, roles and keys."""

from __future__ import annotations

import json
from typing import Any

from case import Arranged, World, case

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


def user(world: World, *, keys: int = 1) -> list[str]:
    """A user who may do everything, has a group, a password and so many keys."""
    iam = world.client("iam")
    iam.create_user(UserName="dana")
    iam.put_user_policy(UserName="dana", PolicyName="all", PolicyDocument=ALLOW)
    iam.create_login_profile(UserName="dana", Password="correct-horse-1")
    iam.create_group(GroupName="staff")
    iam.put_group_policy(GroupName="staff", PolicyName="all", PolicyDocument=ALLOW)
    iam.add_user_to_group(GroupName="staff", UserName="dana")
    return [iam.create_access_key(UserName="dana")["AccessKey"]["AccessKeyId"] for _ in range(keys)]


def role(world: World) -> None:
    """A role of an instance profile, with a policy."""
    iam = world.client("iam")
    iam.create_role(RoleName="app", AssumeRolePolicyDocument=TRUST)
    iam.put_role_policy(RoleName="app", PolicyName="all", PolicyDocument=ALLOW)
    iam.create_instance_profile(InstanceProfileName="app")
    iam.add_role_to_instance_profile(InstanceProfileName="app", RoleName="app")


def user_now(world: World, *keys: str) -> Any:
    """The status of these keys, in their order, of others how many there are, and the user's inline policies."""
    iam = world.client("iam")
    found = {
        k["AccessKeyId"]: k["Status"] for k in iam.list_access_keys(UserName="dana")["AccessKeyMetadata"]
    }
    names = iam.list_user_policies(UserName="dana")["PolicyNames"]
    return {
        "keys": [found.get(key) for key in keys],
        "others": len(set(found) - set(keys)),
        "policies": {
            n: iam.get_user_policy(UserName="dana", PolicyName=n)["PolicyDocument"] for n in sorted(names)
        },
    }


@case("aws.iam.deactivate_access_key")
def one_of_two_keys_is_active(world: World) -> Arranged:
    first, second = user(world, keys=2)
    world.client("iam").update_access_key(UserName="dana", AccessKeyId=first, Status="Inactive")
    return Arranged({"user_name": "dana"}, lambda: user_now(world, first, second))


@case("aws.iam.deactivate_access_key")
def both_keys_are_active(world: World) -> Arranged:
    first, second = user(world, keys=2)
    iam = world.client("iam")
    return Arranged(
        {"user_name": "dana"},
        lambda: user_now(world, first, second),
        lambda: iam.update_access_key(UserName="dana", AccessKeyId=second, Status="Active"),
    )


@case("aws.iam.delete_access_key")
def an_inactive_key(world: World) -> Arranged:
    (key,) = user(world)
    world.client("iam").update_access_key(UserName="dana", AccessKeyId=key, Status="Inactive")
    return Arranged({"user_name": "dana", "access_key_id": key}, lambda: user_now(world, key))


@case("aws.iam.quarantine_user")
def with_a_password_and_a_group(world: World) -> Arranged:
    user(world)
    iam = world.client("iam")

    def drift() -> None:
        (name,) = (n for n in iam.list_user_policies(UserName="dana")["PolicyNames"] if n != "all")
        iam.put_user_policy(UserName="dana", PolicyName=name, PolicyDocument=ALLOW)

    return Arranged({"user_name": "dana"}, lambda: user_now(world), drift)


@case("aws.iam.revoke_role_sessions")
def of_an_instance_profile(world: World) -> Arranged:
    role(world)
    iam = world.client("iam")

    def snapshot() -> Any:
        found = {}
        for name in iam.list_role_policies(RoleName="app")["PolicyNames"]:
            document = iam.get_role_policy(RoleName="app", PolicyName=name)["PolicyDocument"]
            for statement in document["Statement"]:
                # When the cut-off is, is the moment of the application.
                if "Condition" in statement:
                    statement["Condition"] = sorted(statement["Condition"])
            found[name] = document
        return found

    def drift() -> None:
        (name,) = (n for n in iam.list_role_policies(RoleName="app")["PolicyNames"] if n != "all")
        iam.put_role_policy(RoleName="app", PolicyName=name, PolicyDocument=ALLOW)

    return Arranged({"role_name": "app"}, snapshot, drift)


@case("aws.iam.rotate_access_key")
def into_a_secret(world: World) -> Arranged:
    (first,) = user(world)
    iam, secrets = world.client("iam"), world.client("secretsmanager")
    secrets.create_secret(Name="app/key", SecretString=json.dumps({"AccessKeyId": "older", "host": "db"}))
    secrets.put_secret_value(
        SecretId="app/key", SecretString=json.dumps({"AccessKeyId": first, "host": "db"})
    )

    def snapshot() -> Any:
        keys = {k["AccessKeyId"] for k in iam.list_access_keys(UserName="dana")["AccessKeyMetadata"]}
        # Without the stage, the simulated account answers with the version that was written last.
        found = secrets.get_secret_value(SecretId="app/key", VersionStage="AWSCURRENT")
        value = json.loads(found["SecretString"])
        told = secrets.describe_secret(SecretId="app/key")
        return {
            "keys": len(keys),
            "the first": first in keys,
            "in the secret": "the first" if value["AccessKeyId"] == first else value["AccessKeyId"] in keys,
            "host": value["host"],
            "tags": sorted(t["Key"] for t in told.get("Tags", [])),
            "stages": sorted(s for stages in told["VersionIdsToStages"].values() for s in stages),
        }

    def drift() -> None:
        secrets.put_secret_value(
            SecretId="app/key", SecretString=json.dumps({"AccessKeyId": "another", "host": "db"})
        )

    return Arranged({"user_name": "dana", "secret_id": "app/key"}, snapshot, drift)


@case("aws.iam.describe_principal")
def a_user(world: World) -> Arranged:
    user(world)
    return Arranged(
        {"name": "dana"}, lambda: user_now(world), finds={"inline_policies": ["all"], "console_login": True}
    )


@case("aws.iam.describe_principal")
def a_role(world: World) -> Arranged:
    role(world)
    names = world.client("iam").list_role_policies
    return Arranged(
        {"name": "app", "type": "role"},
        lambda: names(RoleName="app")["PolicyNames"],
        finds={"inline_policies": ["all"]},
    )


@case("aws.iam.find_key_owner")
def a_key_of_a_user(world: World) -> Arranged:
    (key,) = user(world)
    return Arranged({"access_key_id": key}, lambda: user_now(world), finds={"user_name": "dana"})
