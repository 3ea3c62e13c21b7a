"""Cases of the trust policies of roles."""

from __future__ import annotations

import json
from typing import Any

from case import Arranged, World, case
from cases_iam import TRUST

STRANGER, FRIEND = "999988887777", "111122223333"


def trusted_by(*names: str) -> str:
    """A trust policy for EC2 and these accounts or ARNs."""
    who: Any = {"AWS": sorted(names)} if len(names) > 1 else {"AWS": names[0]}
    ec2 = json.loads(TRUST)["Statement"]
    return json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [*ec2, {"Effect": "Allow", "Principal": who, "Action": "sts:AssumeRole"}],
        }
    )


def role_with(world: World, trust: str) -> Any:
    """The role `deploy` with a trust policy; returns how to look at it and how to interfere."""
    iam = world.client("iam")
    iam.create_role(RoleName="deploy", AssumeRolePolicyDocument=trust)

    def snapshot() -> Any:
        return iam.get_role(RoleName="deploy")["Role"]["AssumeRolePolicyDocument"]

    def drift() -> None:
        iam.update_assume_role_policy(RoleName="deploy", PolicyDocument=trusted_by("444455556666"))

    return snapshot, drift


@case("aws.iam.restrict_role_trust")
def a_stranger_is_named(world: World) -> Arranged:
    trust = trusted_by(f"arn:aws:iam::{FRIEND}:root", f"arn:aws:iam::{STRANGER}:root")
    return Arranged({"role_name": "deploy", "remove": [STRANGER]}, *role_with(world, trust))


@case("aws.iam.restrict_role_trust")
def a_user_is_let_in_by_its_account(world: World) -> Arranged:
    trust = trusted_by(f"arn:aws:iam::{FRIEND}:root")
    user = f"arn:aws:iam::{FRIEND}:user/mallory"
    return Arranged({"role_name": "deploy", "remove": [user, STRANGER]}, *role_with(world, trust))


@case("aws.iam.restrict_role_trust")
def only_the_service_stays(world: World) -> Arranged:
    trust = trusted_by(f"arn:aws:iam::{FRIEND}:root", f"arn:aws:iam::{STRANGER}:role/x")
    return Arranged({"role_name": "deploy", "keep": ["ec2.amazonaws.com"]}, *role_with(world, trust))


@case("aws.iam.restrict_role_trust")
def nobody_stays(world: World) -> Arranged:
    return Arranged({"role_name": "deploy", "keep": []}, *role_with(world, TRUST))
