"""Cases of revoking single sessions of a role."""

from __future__ import annotations

import json
from typing import Any

from case import Arranged, World, case
from cases_iam import ALLOW, role
from cases_iam_grants import READ_ONLY, role_now


def without_role_id(world: World) -> Any:
    """The role as it is now; its id is another one each time it is made."""
    role_id = world.client("iam").get_role(RoleName="app")["Role"]["RoleId"]
    return json.loads(json.dumps(role_now(world), default=str).replace(role_id, "<role id>"))


def interfere(world: World, document: str = ALLOW) -> Any:
    """Somebody writes something else into the policy against the session."""
    iam = world.client("iam")

    def drift() -> None:
        (name,) = (n for n in iam.list_role_policies(RoleName="app")["PolicyNames"] if n.startswith("IR-"))
        iam.put_role_policy(RoleName="app", PolicyName=name, PolicyDocument=document)

    return drift


@case("aws.iam.revoke_session")
def of_an_instance(world: World) -> Arranged:
    role(world)
    return Arranged(
        {"role_name": "app", "session_name": "i-0123456789abcdef0"},
        lambda: without_role_id(world),
        interfere(world),
    )


@case("aws.iam.revoke_session")
def from_before_a_moment(world: World) -> Arranged:
    role(world)
    return Arranged(
        {"role_name": "app", "session_name": "mallory@x", "issued_before": "2026-03-01T12:00:00+02:00"},
        lambda: without_role_id(world),
        interfere(world, READ_ONLY),
    )
