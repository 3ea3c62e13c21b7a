"""Cases of secrets."""

from __future__ import annotations

import json
from typing import Any

from case import Arranged, World, case

NAME = "customers-db"
SHOP = {
    "Sid": "Shop",
    "Effect": "Allow",
    "Principal": {"AWS": "arn:aws:iam::444455556666:role/shop"},
    "Action": "secretsmanager:GetSecretValue",
    "Resource": "*",
}


def secret(world: World, *statements: dict[str, Any]) -> Any:
    """A secret with this policy; returns the client."""
    manager = world.client("secretsmanager")
    manager.create_secret(Name=NAME, SecretString='{"password": "old"}')
    if statements:
        put(manager, *statements)
    return manager


def put(manager: Any, *statements: dict[str, Any]) -> None:
    policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
    manager.put_resource_policy(SecretId=NAME, ResourcePolicy=policy)


def state(manager: Any) -> Any:
    """All of the secret that an action could touch, its value apart."""
    found = manager.describe_secret(SecretId=NAME)
    policy = manager.get_resource_policy(SecretId=NAME).get("ResourcePolicy")
    return {
        "deleted": bool(found.get("DeletedDate")),
        "policy": json.loads(policy) if policy else None,
        "stages": sorted(found["VersionIdsToStages"].values()),
    }


@case("aws.secretsmanager.restrict_secret")
def shared_with_another_account(world: World) -> Arranged:
    manager = secret(world, SHOP)
    return Arranged(
        {"secret_id": NAME, "responders": ["arn:aws:iam::123456789012:role/ir-*"]},
        lambda: state(manager),
        lambda: put(manager, SHOP, {**SHOP, "Sid": "Again"}),
    )


@case("aws.secretsmanager.restrict_secret")
def without_a_policy(world: World) -> Arranged:
    manager = secret(world)
    return Arranged({"secret_id": NAME}, lambda: state(manager), lambda: put(manager, SHOP))


@case("aws.secretsmanager.restore_secret")
def deleted_with_a_window(world: World) -> Arranged:
    manager = secret(world)
    manager.delete_secret(SecretId=NAME, RecoveryWindowInDays=7)
    return Arranged({"secret_id": NAME}, lambda: state(manager))


@case(
    "aws.secretsmanager.rotate_secret",
    unseen={"lambda:InvokeFunction": "Secrets Manager asks for it of whoever has a secret rotated"},
)
def with_a_function(world: World) -> Arranged:
    """The simulated account runs no function: the service's part is shown on replies of our own making."""
    versions = {"0" * 32: ["AWSCURRENT"]}
    scripted = world.script("secretsmanager")
    arn = f"arn:aws:secretsmanager:us-east-1:123456789012:secret:{NAME}-AbCdEf"

    @scripted.operation("DescribeSecret")
    def describe(params: dict[str, Any]) -> dict[str, Any]:
        return {
            "ARN": arn,
            "Name": NAME,
            "RotationEnabled": True,
            "RotationLambdaARN": "arn:aws:lambda:us-east-1:123456789012:function:rotate",
            "VersionIdsToStages": {v: list(names) for v, names in versions.items()},
        }

    @scripted.operation("RotateSecret")
    def rotate(params: dict[str, Any]) -> dict[str, Any]:
        token = params["ClientRequestToken"]
        if token not in versions:
            for names in versions.values():
                names[:] = ["AWSPREVIOUS"]
            versions[token] = ["AWSCURRENT"]
        return {"ARN": arn, "Name": NAME, "VersionId": token}

    return Arranged({"secret_id": NAME}, lambda: {v: list(names) for v, names in versions.items()})
