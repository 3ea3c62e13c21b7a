"""Cases of KMS keys."""

from __future__ import annotations

import json
from typing import Any

from case import Arranged, World, case

BUILD = "arn:aws:iam::123456789012:role/build"
PARTNER = "arn:aws:iam::444455556666:root"
WORKER = "arn:aws:iam::123456789012:root"


def key(world: World) -> tuple[Any, str]:
    """A key with a policy that a partner's account is named in; returns the client and the key's id."""
    kms = world.client("kms")
    statements = [
        {"Sid": "Own", "Effect": "Allow", "Principal": {"AWS": WORKER}, "Action": "kms:*", "Resource": "*"},
        {
            "Sid": "Partner",
            "Effect": "Allow",
            "Principal": {"AWS": PARTNER},
            "Action": "kms:Decrypt",
            "Resource": "*",
        },
    ]
    made = kms.create_key(Policy=json.dumps({"Version": "2012-10-17", "Statement": statements}))
    key_id = str(made["KeyMetadata"]["KeyId"])
    kms.create_alias(AliasName="alias/customer-data", TargetKeyId=key_id)
    return kms, key_id


def state(kms: Any, key_id: str) -> Any:
    """All of the key that an action could touch; its id is made up anew."""
    found = kms.describe_key(KeyId=key_id)["KeyMetadata"]
    policy = json.loads(kms.get_key_policy(KeyId=key_id, PolicyName="default")["Policy"])
    grants = kms.list_grants(KeyId=key_id)["Grants"]
    return {
        "state": found["KeyState"],
        "policy": policy,
        "grants": sorted((g["GranteePrincipal"], sorted(g["Operations"])) for g in grants),
        "aliases": [a["AliasName"] for a in kms.list_aliases(KeyId=key_id)["Aliases"]],
    }


@case("aws.kms.disable_key")
def enabled_key(world: World) -> Arranged:
    kms, key_id = key(world)
    return Arranged(
        {"key_id": key_id},
        lambda: state(kms, key_id),
        lambda: kms.schedule_key_deletion(KeyId=key_id, PendingWindowInDays=7),
    )


@case("aws.kms.cancel_key_deletion")
def about_to_be_deleted(world: World) -> Arranged:
    kms, key_id = key(world)
    kms.schedule_key_deletion(KeyId=key_id, PendingWindowInDays=7)
    return Arranged({"key_id": key_id}, lambda: state(kms, key_id))


@case("aws.kms.cancel_key_deletion")
def kept_and_not_enabled(world: World) -> Arranged:
    kms, key_id = key(world)
    kms.schedule_key_deletion(KeyId=key_id, PendingWindowInDays=7)
    return Arranged({"key_id": key_id, "enable": False}, lambda: state(kms, key_id))


@case("aws.kms.restrict_key_policy")
def shared_with_a_partner(world: World) -> Arranged:
    kms, key_id = key(world)

    def drift() -> None:
        statement = {"Effect": "Allow", "Principal": {"AWS": WORKER}, "Action": "kms:*", "Resource": "*"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        kms.put_key_policy(KeyId=key_id, PolicyName="default", Policy=policy)

    return Arranged(
        {"key_id": key_id, "responders": ["arn:aws:iam::123456789012:role/ir-*"]},
        lambda: state(kms, key_id),
        drift,
    )


@case("aws.kms.restrict_key_policy")
def named_by_its_alias(world: World) -> Arranged:
    kms, key_id = key(world)
    return Arranged({"key_id": "alias/customer-data"}, lambda: state(kms, key_id))


@case("aws.kms.revoke_grants")
def grants_of_a_role(world: World) -> Arranged:
    kms, key_id = key(world)
    for operation in ("Decrypt", "GenerateDataKey"):
        kms.create_grant(KeyId=key_id, GranteePrincipal=BUILD, Operations=[operation])
    kms.create_grant(
        KeyId=key_id, GranteePrincipal="arn:aws:iam::123456789012:role/shop", Operations=["Decrypt"]
    )
    return Arranged({"key_id": key_id, "grantees": [BUILD]}, lambda: state(kms, key_id))


@case("aws.kms.describe_key")
def key_with_a_grant(world: World) -> Arranged:
    kms, key_id = key(world)
    kms.create_grant(KeyId=key_id, GranteePrincipal=BUILD, Operations=["Decrypt"])
    return Arranged(
        {"key_id": "alias/customer-data"},
        lambda: state(kms, key_id),
        finds={
            "key_id": key_id,
            "state": "Enabled",
            "aliases": ["alias/customer-data"],
            "outside": [PARTNER],
            "open_to_everybody": [],
            "service_grants": 0,
            "not_read": [],
        },
    )
