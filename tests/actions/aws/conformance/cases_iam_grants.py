"""Cases of what users and roles are granted and marked with."""

from __future__ import annotations

import json
from typing import Any

from case import Arranged, World, case
from cases_iam import ALLOW, role, user
from iam_world import with_user_boundaries

READ_ONLY = json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:Get*", "Resource": "*"}]}
)


def policy(world: World, name: str = "given") -> str:
    """A managed policy of the account."""
    made = world.client("iam").create_policy(PolicyName=name, PolicyDocument=ALLOW)
    return str(made["Policy"]["Arn"])


def user_now(world: World) -> Any:
    """All that hangs on the user; None: there is none."""
    iam = world.client("iam")
    if "dana" not in {u["UserName"] for u in iam.list_users()["Users"]}:
        return None
    found = iam.get_user(UserName="dana")["User"]
    inline = iam.list_user_policies(UserName="dana")["PolicyNames"]
    return {
        "tags": found.get("Tags", []),
        "inline": {
            n: iam.get_user_policy(UserName="dana", PolicyName=n)["PolicyDocument"] for n in sorted(inline)
        },
        "attached": iam.list_attached_user_policies(UserName="dana")["AttachedPolicies"],
        "groups": [g["GroupName"] for g in iam.list_groups_for_user(UserName="dana")["Groups"]],
        "keys": len(iam.list_access_keys(UserName="dana")["AccessKeyMetadata"]),
    }


def role_now(world: World) -> Any:
    """All that hangs on the role; None: there is none."""
    iam = world.client("iam")
    if "app" not in {r["RoleName"] for r in iam.list_roles()["Roles"]}:
        return None
    found = iam.get_role(RoleName="app")["Role"]
    inline = iam.list_role_policies(RoleName="app")["PolicyNames"]
    return {
        "tags": found.get("Tags", []),
        "boundary": found.get("PermissionsBoundary"),
        "inline": {
            n: iam.get_role_policy(RoleName="app", PolicyName=n)["PolicyDocument"] for n in sorted(inline)
        },
        "attached": iam.list_attached_role_policies(RoleName="app")["AttachedPolicies"],
        "profiles": len(iam.list_instance_profiles_for_role(RoleName="app")["InstanceProfiles"]),
    }


@case("aws.iam.quarantine_role")
def of_instances(world: World) -> Arranged:
    role(world)
    iam = world.client("iam")

    def drift() -> None:
        (name,) = (n for n in iam.list_role_policies(RoleName="app")["PolicyNames"] if n != "all")
        iam.put_role_policy(RoleName="app", PolicyName=name, PolicyDocument=ALLOW)

    return Arranged({"role_name": "app"}, lambda: role_now(world), drift)


@case("aws.iam.quarantine_role")
def where_an_older_policy_has_the_name(world: World) -> Arranged:
    role(world)
    world.client("iam").put_role_policy(RoleName="app", PolicyName="IR-Quarantine", PolicyDocument=READ_ONLY)
    return Arranged({"role_name": "app"}, lambda: role_now(world))


@case("aws.iam.quarantine_role")
def that_another_incident_has_tagged(world: World) -> Arranged:
    role(world)
    iam = world.client("iam")
    iam.tag_role(RoleName="app", Tags=[{"Key": "soar:quarantined", "Value": "inc-0"}])
    return Arranged({"role_name": "app"}, lambda: role_now(world))


@case("aws.iam.quarantine_user")
def its_tags_and_groups_as_well(world: World) -> Arranged:
    user(world)
    world.client("iam").tag_user(UserName="dana", Tags=[{"Key": "team", "Value": "edi"}])
    return Arranged({"user_name": "dana"}, lambda: user_now(world))


@case("aws.iam.mark_quarantined")
def a_user_without_the_tag(world: World) -> Arranged:
    user(world)
    iam = world.client("iam")
    iam.tag_user(UserName="dana", Tags=[{"Key": "team", "Value": "edi"}])
    return Arranged(
        {"type": "user", "name": "dana"},
        lambda: user_now(world),
        lambda: iam.tag_user(UserName="dana", Tags=[{"Key": "soar:quarantined", "Value": "other"}]),
    )


@case("aws.iam.mark_quarantined")
def a_role_without_the_tag(world: World) -> Arranged:
    role(world)
    return Arranged({"type": "role", "name": "app"}, lambda: role_now(world))


@case("aws.iam.detach_policy")
def of_a_user_beside_another(world: World) -> Arranged:
    user(world)
    iam, arn = world.client("iam"), policy(world)
    for one in (arn, policy(world, "kept")):
        iam.attach_user_policy(UserName="dana", PolicyArn=one)
    return Arranged(
        {"type": "user", "name": "dana", "policy_arn": arn},
        lambda: user_now(world),
        lambda: iam.delete_policy(PolicyArn=arn),
    )


@case("aws.iam.detach_policy")
def of_a_role(world: World) -> Arranged:
    role(world)
    arn = policy(world)
    world.client("iam").attach_role_policy(RoleName="app", PolicyArn=arn)
    return Arranged({"type": "role", "name": "app", "policy_arn": arn}, lambda: role_now(world))


@case("aws.iam.delete_inline_policy")
def of_the_user(world: World) -> Arranged:
    user(world)
    iam = world.client("iam")
    return Arranged(
        {"type": "user", "name": "dana", "policy_name": "all"},
        lambda: user_now(world),
        lambda: iam.put_user_policy(UserName="dana", PolicyName="all", PolicyDocument=READ_ONLY),
    )


@case("aws.iam.delete_inline_policy")
def of_the_role(world: World) -> Arranged:
    role(world)
    return Arranged({"type": "role", "name": "app", "policy_name": "all"}, lambda: role_now(world))


@case("aws.iam.remove_from_group")
def of_the_staff(world: World) -> Arranged:
    user(world)
    iam = world.client("iam")

    def drift() -> None:
        iam.delete_group_policy(GroupName="staff", PolicyName="all")
        iam.delete_group(GroupName="staff")

    return Arranged({"user_name": "dana", "group_name": "staff"}, lambda: user_now(world), drift)


@case("aws.iam.set_boundary")
def on_a_role_that_has_another(world: World) -> Arranged:
    role(world)
    iam = world.client("iam")
    first, second, third = (policy(world, name) for name in ("first", "second", "third"))
    iam.put_role_permissions_boundary(RoleName="app", PermissionsBoundary=first)
    return Arranged(
        {"type": "role", "name": "app", "policy_arn": second},
        lambda: role_now(world),
        lambda: iam.put_role_permissions_boundary(RoleName="app", PermissionsBoundary=third),
    )


@case("aws.iam.set_boundary")
def on_a_role_without(world: World) -> Arranged:
    role(world)
    return Arranged({"type": "role", "name": "app", "policy_arn": policy(world)}, lambda: role_now(world))


@case("aws.iam.set_boundary")
def on_a_user(world: World) -> Arranged:
    user(world)
    bounds = with_user_boundaries(world)
    return Arranged(
        {"type": "user", "name": "dana", "policy_arn": "arn:aws:iam::aws:policy/ReadOnlyAccess"},
        lambda: {**user_now(world), "boundary": dict(bounds)},
    )
