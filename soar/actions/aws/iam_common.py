"""What every action on IAM needs: find users and roles, guard them, and read inline policies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from botocore.exceptions import ClientError
from pydantic import Field

from soar.actions.aws.access import AwsAccess, aws_errors, client
from soar.actions.aws.guards import ensure_not_protected
from soar.actions.contract import ActionContext, Params
from soar.actions.errors import Refused
from soar.model.base import JsonObject, canonical_json
from soar.model.change import Target

__all__ = [
    "BREAK_GLASS",
    "AccessKeyId",
    "RoleName",
    "RoleParams",
    "UserName",
    "UserParams",
    "access_keys",
    "ensure_inline_room",
    "ensure_not_reserved",
    "ensure_role_may_change",
    "ensure_user_may_change",
    "get_role",
    "get_user",
    "inline_user_policy",
    "instance_profiles",
    "key_facts",
    "own_arns",
    "pages",
    "principal_tags",
    "role_facts",
    "role_target",
    "user_facts",
    "user_target",
    "when_present",
]

BREAK_GLASS = "break-glass"
"""A user or role with this in its name or path is the way in when everything else fails: it is never changed."""

USER_INLINE_LIMIT = 2048
"""Characters that all inline policies of a user may have together, white space not counted (IAM's quotas)."""

UserName = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9_+=,.@-]{1,64}$", description="the IAM user's name, without its path")
]
RoleName = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9_+=,.@-]{1,64}$", description="the IAM role's name, without its path")
]
AccessKeyId = Annotated[
    str,
    Field(pattern=r"^AKIA[A-Z0-9]{12,124}$", description="the id of a user's long-term key, `AKIA…`"),
]


class UserParams(Params):
    """Which user."""

    user_name: UserName


class RoleParams(Params):
    """Which role."""

    role_name: RoleName


def pages(ctx: ActionContext, operation: str, key: str, **arguments: Any) -> Iterator[Any]:
    """Every entry of a list that IAM returns in pages. Use it inside `aws_errors`.

    Args:
        operation: The client's method, `list_access_keys`.
        key: Where the entries are in a page.
    """
    for page in client(ctx, "iam").get_paginator(operation).paginate(**arguments):
        yield from page[key]


def when_present(call: Any, **arguments: Any) -> dict[str, Any] | None:
    """What a call returns, or None where IAM says that there is no such entity."""
    try:
        found: dict[str, Any] = call(**arguments)
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") == "NoSuchEntity":
            return None
        raise
    return found


def get_user(ctx: ActionContext, user_name: str) -> dict[str, Any]:
    """The user as `iam:GetUser` shows it.

    Raises:
        TargetGone: There is no such user.
    """
    with aws_errors("iam:GetUser"):
        user: dict[str, Any] = client(ctx, "iam").get_user(UserName=user_name)["User"]
    return user


def get_role(ctx: ActionContext, role_name: str) -> dict[str, Any]:
    """The role as `iam:GetRole` shows it.

    Raises:
        TargetGone: There is no such role.
    """
    with aws_errors("iam:GetRole"):
        role: dict[str, Any] = client(ctx, "iam").get_role(RoleName=role_name)["Role"]
    return role


def principal_tags(principal: dict[str, Any]) -> dict[str, str]:
    """The tags of a user or a role. Whoever may tag it wrote them."""
    return {t["Key"]: t["Value"] for t in principal.get("Tags", [])}


def _account_of(arn: str) -> str:
    return arn.split(":")[4]


def user_target(user: dict[str, Any]) -> Target:
    """A user, as a plan names what it touches."""
    return Target(
        uid=user["Arn"],
        type="aws.iam.user",
        name=user["UserName"],
        account=_account_of(user["Arn"]),
        tags=principal_tags(user),
    )


def role_target(role: dict[str, Any]) -> Target:
    """A role, as a plan names what it touches."""
    return Target(
        uid=role["Arn"],
        type="aws.iam.role",
        name=role["RoleName"],
        account=_account_of(role["Arn"]),
        tags=principal_tags(role),
    )


def own_arns(ctx: ActionContext) -> set[str]:
    """Who this worker is: by its own credentials, and by those that it takes on in the step's account."""
    access = ctx.service(AwsAccess)
    with aws_errors("sts:GetCallerIdentity"):
        own = str(access.client("sts").get_caller_identity()["Arn"])
        there = str(client(ctx, "sts").get_caller_identity()["Arn"]) if ctx.account else own
    return {own, there}


def ensure_not_reserved(kind: str, name: str, path: str, tags: dict[str, str]) -> None:
    """Refuse a break-glass identity, and what is tagged as protected.

    Raises:
        Refused: It is one.
    """
    if BREAK_GLASS in f"{path}{name}".lower():
        raise Refused(
            f"{kind} {name} is a break-glass identity ({path}{name}): it is never changed by an action",
            hint="if it is compromised, act by hand with a second way into the account open",
        )
    ensure_not_protected(kind, name, tags)


def ensure_user_may_change(ctx: ActionContext, user: dict[str, Any]) -> None:
    """Refuse what must never be done to a user.

    Raises:
        Refused: It is this worker's own user, a break-glass user, or tagged as protected.
    """
    ensure_not_reserved("user", user["UserName"], user["Path"], principal_tags(user))
    if user["Arn"] in own_arns(ctx):
        raise Refused(
            f"user {user['UserName']} is this worker's own: it would lock itself out in the middle of its work",
            hint="run the aws worker with other credentials, then retry the step",
        )


def ensure_role_may_change(ctx: ActionContext, role: dict[str, Any]) -> None:
    """Refuse what must never be done to a role.

    Raises:
        Refused: It is this worker's own role, a break-glass role, one that AWS manages, or tagged as protected.
    """
    name, path = role["RoleName"], role["Path"]
    if path.startswith("/aws-service-role/"):
        raise Refused(
            f"role {name} is service-linked: AWS lets nobody change its policies",
            hint="contain the service that uses it instead",
        )
    if name.startswith("AWSReservedSSO_") or path.startswith("/aws-reserved/"):
        raise Refused(
            f"role {name} belongs to IAM Identity Center, which would overwrite any change",
            hint="remove the assignment or change the permission set in IAM Identity Center",
        )
    ensure_not_reserved("role", name, path, principal_tags(role))
    account = _account_of(role["Arn"])
    for arn in own_arns(ctx):
        # arn:aws:sts::<account>:assumed-role/<role name>/<session name>; the role's path is not in it.
        if _account_of(arn) == account and f":assumed-role/{name}/" in arn:
            raise Refused(
                f"role {name} is this worker's own: it would lock itself out in the middle of its work",
                hint="run the aws worker with another role, then retry the step",
            )


def access_keys(ctx: ActionContext, user_name: str) -> dict[str, str]:
    """All access keys of a user: id → `Active`, `Inactive` or `Expired`, by id.

    Raises:
        TargetGone: There is no such user.
    """
    with aws_errors("iam:ListAccessKeys"):
        keys = list(pages(ctx, "list_access_keys", "AccessKeyMetadata", UserName=user_name))
    return {k["AccessKeyId"]: k["Status"] for k in sorted(keys, key=lambda k: str(k["AccessKeyId"]))}


def key_facts(ctx: ActionContext, keys: list[str]) -> tuple[str, ...]:
    """When, where and for what each key was used last, in words. The service tells it with some delay."""
    facts = []
    for key in keys:
        with aws_errors("iam:GetAccessKeyLastUsed"):
            used = client(ctx, "iam").get_access_key_last_used(AccessKeyId=key).get("AccessKeyLastUsed", {})
        if used.get("LastUsedDate"):
            facts.append(
                f"{key} was last used {used['LastUsedDate']:%Y-%m-%d %H:%M} UTC for {used['ServiceName']} "
                f"in {used['Region']}"
            )
        else:
            facts.append(f"{key} has never been used")
    return tuple(facts)


def inline_user_policy(ctx: ActionContext, user_name: str, policy_name: str) -> JsonObject | None:
    """An inline policy of a user, None if it has none of that name."""
    with aws_errors("iam:GetUserPolicy"):
        found = when_present(client(ctx, "iam").get_user_policy, UserName=user_name, PolicyName=policy_name)
    return None if found is None else dict(found["PolicyDocument"])


def ensure_inline_room(ctx: ActionContext, name: str, policy_name: str, document: JsonObject) -> None:
    """Refuse where a user's inline policies leave no room for one more.

    Args:
        policy_name: The policy to be put; one of that name makes room by being replaced.

    Raises:
        Refused: All inline policies of the user together would be longer than IAM takes.
    """
    with aws_errors("iam:ListUserPolicies"):
        others = [
            p for p in pages(ctx, "list_user_policies", "PolicyNames", UserName=name) if p != policy_name
        ]
    used = sum(len(canonical_json(inline_user_policy(ctx, name, other))) for other in others)
    if used + len(canonical_json(document)) > USER_INLINE_LIMIT:
        raise Refused(
            f"the inline policies of user {name} fill {used} of {USER_INLINE_LIMIT} characters: "
            f"{policy_name} has no room",
            hint="attach the managed policy AWSDenyAll by hand, or remove an inline policy and retry the step",
        )


def user_facts(ctx: ActionContext, name: str) -> tuple[str, ...]:
    """Who and what depends on a user: its active keys' last use, its groups, its password."""
    active = [key for key, status in access_keys(ctx, name).items() if status == "Active"]
    facts = key_facts(ctx, active) or ("the user has no active access key",)
    with aws_errors("iam:ListGroupsForUser"):
        groups = sorted(g["GroupName"] for g in pages(ctx, "list_groups_for_user", "Groups", UserName=name))
    if groups:
        facts += (f"member of {', '.join(groups)}",)
    with aws_errors("iam:GetLoginProfile"):
        if when_present(client(ctx, "iam").get_login_profile, UserName=name):
            facts += ("a person may be signed in to the console as it",)
    return facts


def role_facts(ctx: ActionContext, role: dict[str, Any]) -> tuple[str, ...]:
    """Who and what depends on a role: its last use, and the instance profiles that hand it out."""
    facts = [f"sessions of the role live up to {role.get('MaxSessionDuration', 3600) // 3600} h"]
    last = role.get("RoleLastUsed", {})
    if last.get("LastUsedDate"):
        facts.append(
            f"the role was last used {last['LastUsedDate']:%Y-%m-%d %H:%M} UTC in {last.get('Region', '?')}"
        )
    profiles = instance_profiles(ctx, role["RoleName"])
    if profiles:
        facts.append(f"instances get it by the instance profile(s) {', '.join(profiles)}")
    return tuple(facts)


def instance_profiles(ctx: ActionContext, role_name: str) -> tuple[str, ...]:
    """The names of the instance profiles that hold a role, sorted."""
    with aws_errors("iam:ListInstanceProfilesForRole"):
        found = pages(ctx, "list_instance_profiles_for_role", "InstanceProfiles", RoleName=role_name)
        return tuple(sorted(p["InstanceProfileName"] for p in found))
