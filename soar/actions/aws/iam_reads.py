"""Who a principal is: what it may do, how it signs in, and whose a key is."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field, JsonValue

from soar.actions.aws.access import aws_errors, client
from soar.actions.aws.iam_common import get_role, get_user, pages, principal_tags, when_present
from soar.actions.contract import ActionContext, Params, action
from soar.model.base import JsonObject, UtcTime, canonical_json
from soar.model.terms import Phase, Risk

__all__ = ["Key", "describe_principal", "find_key_owner", "keys_of"]

ADMINISTRATOR = "AdministratorAccess"
_TEMPORARY = "ASIA"


class KeyOwnerParams(Params):
    """Which key."""

    access_key_id: str = Field(pattern=r"^[A-Z0-9]{16,128}$", description="the id of an access key")


class KeyOwner(BaseModel):
    """Whose a key is.

    Args:
        kind: `long_term` keys (`AKIA…`) belong to a user, `temporary` ones (`ASIA…`) to a session.
        account: The account that the key belongs to.
        user_name: Empty for a temporary key, and for one that this account knows nothing of.
    """

    summary: str
    access_key_id: str
    kind: Literal["long_term", "temporary"]
    account: str
    user_name: str = ""
    last_used: UtcTime | None = None
    last_used_service: str = ""
    last_used_region: str = ""


@action(
    "aws.iam.find_key_owner",
    risk=Risk.READ,
    phase=Phase.IDENTIFICATION,
    permissions=("sts:GetAccessKeyInfo", "iam:GetAccessKeyLastUsed"),
)
def find_key_owner(ctx: ActionContext, params: KeyOwnerParams) -> KeyOwner:
    """Find the account and the user that an access key belongs to.

    Pre-condition: none. Nothing is changed.

    Pitfalls: a temporary key names no user; look for its session with `aws.cloudtrail.search_events`. IAM tells of
    a key's last use only some time after it.

    Example::

        - id: owner
          name: Whose key is it?
          do: aws.iam.find_key_owner
          with:
            access_key_id: "{{ alert.actor.access_key_id }}"
    """
    key = params.access_key_id
    with aws_errors("sts:GetAccessKeyInfo"):
        account = str(client(ctx, "sts").get_access_key_info(AccessKeyId=key)["Account"])
    if key.startswith(_TEMPORARY):
        return KeyOwner(
            summary=f"{key} is a temporary key of account {account}; its events name the session",
            access_key_id=key,
            kind="temporary",
            account=account,
        )
    with aws_errors("iam:GetAccessKeyLastUsed"):
        found = when_present(client(ctx, "iam").get_access_key_last_used, AccessKeyId=key) or {}
    user_name, used = str(found.get("UserName", "")), found.get("AccessKeyLastUsed", {})
    return KeyOwner(
        summary=(
            f"{key} belongs to user {user_name} of account {account}"
            if user_name
            else f"{key} is a key of account {account}, which knows no user with it"
        ),
        access_key_id=key,
        kind="long_term",
        account=account,
        user_name=user_name,
        last_used=used.get("LastUsedDate"),
        last_used_service=_said(used.get("ServiceName")),
        last_used_region=_said(used.get("Region")),
    )


class PrincipalParams(Params):
    """Which principal."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9_+=,.@-]{1,64}$", description="name of the user or role, without its path"
    )
    type: Literal["user", "role"] = "user"


class Key(BaseModel):
    """An access key and its last use, as IAM tells it."""

    access_key_id: str
    status: str
    created: UtcTime
    last_used: UtcTime | None = None
    last_used_service: str = ""
    last_used_region: str = ""


class Group(BaseModel):
    """A group of the user and what it grants."""

    name: str
    attached_policies: list[str] = []
    inline_policies: list[str] = []


class Principal(BaseModel):
    """A user or a role.

    Args:
        administrator: `AdministratorAccess` is attached, directly or by a group.
        attached_policies: ARNs of managed policies.
        inline_policies: Names of inline policies; their documents are in the evidence.
        console_login: The user has a password.
        trust_policy: Who may assume the role.
        max_session_seconds: How long a session of the role may live.
    """

    summary: str
    type: Literal["user", "role"]
    name: str
    arn: str
    path: str
    created: UtcTime
    tags: dict[str, str] = {}
    administrator: bool = False
    keys: list[Key] = []
    active_keys: list[str] = []
    attached_policies: list[str] = []
    inline_policies: list[str] = []
    groups: list[Group] = []
    mfa_devices: list[str] = []
    console_login: bool = False
    password_last_used: UtcTime | None = None
    permissions_boundary: str = ""
    trust_policy: JsonValue = None
    instance_profiles: list[str] = []
    last_used: UtcTime | None = None
    max_session_seconds: int | None = None


@action(
    "aws.iam.describe_principal",
    risk=Risk.READ,
    phase=Phase.IDENTIFICATION,
    permissions=(
        "iam:GetUser",
        "iam:ListAccessKeys",
        "iam:GetAccessKeyLastUsed",
        "iam:ListAttachedUserPolicies",
        "iam:ListUserPolicies",
        "iam:GetUserPolicy",
        "iam:ListGroupsForUser",
        "iam:ListAttachedGroupPolicies",
        "iam:ListGroupPolicies",
        "iam:GetGroupPolicy",
        "iam:ListMFADevices",
        "iam:GetLoginProfile",
        "iam:GetRole",
        "iam:ListAttachedRolePolicies",
        "iam:ListRolePolicies",
        "iam:GetRolePolicy",
        "iam:ListInstanceProfilesForRole",
    ),
)
def describe_principal(ctx: ActionContext, params: PrincipalParams) -> Principal:
    """Read everything about an IAM user or role: keys, policies, groups, sign-in, trust.

    The whole, with the documents of inline policies, is kept as evidence.

    Pre-condition: the user or role exists in this account. Nothing is changed.

    Pitfalls: what a principal can really do follows from all its policies together with boundaries, resource
    policies and service control policies; this lists, it does not evaluate. Last uses lag behind.

    Example::

        - id: principal
          name: Who is it, and what may it do?
          do: aws.iam.describe_principal
          with:
            name: "{{ steps.owner.result.user_name }}"
            type: user
    """
    documents: dict[str, Any] = {}
    found = (
        _user(ctx, params.name, documents) if params.type == "user" else _role(ctx, params.name, documents)
    )
    kept = {"principal": found.model_dump(mode="json", exclude={"summary"}), "policy_documents": documents}
    ctx.keep_evidence(
        f"iam-{params.type}-{params.name}.json",
        canonical_json(kept).encode(),
        media_type="application/json",
        source="iam:GetUser" if params.type == "user" else "iam:GetRole",
    )
    return found


def _said(value: object) -> str:
    return "" if value in (None, "N/A") else str(value)


def keys_of(ctx: ActionContext, name: str) -> list[Key]:
    """The access keys of a user and their last uses, by id."""
    with aws_errors("iam:ListAccessKeys"):
        listed = list(pages(ctx, "list_access_keys", "AccessKeyMetadata", UserName=name))
    keys = []
    for entry in sorted(listed, key=lambda k: str(k["AccessKeyId"])):
        with aws_errors("iam:GetAccessKeyLastUsed"):
            reply = when_present(
                client(ctx, "iam").get_access_key_last_used, AccessKeyId=entry["AccessKeyId"]
            )
        used = (reply or {}).get("AccessKeyLastUsed", {})
        keys.append(
            Key(
                access_key_id=entry["AccessKeyId"],
                status=entry["Status"],
                created=entry["CreateDate"],
                last_used=used.get("LastUsedDate"),
                last_used_service=_said(used.get("ServiceName")),
                last_used_region=_said(used.get("Region")),
            )
        )
    return keys


def _attached(ctx: ActionContext, kind: str, **who: str) -> list[str]:
    with aws_errors(f"iam:ListAttached{kind.title()}Policies"):
        found = pages(ctx, f"list_attached_{kind}_policies", "AttachedPolicies", **who)
        return sorted(p["PolicyArn"] for p in found)


def _inline(ctx: ActionContext, kind: str, documents: dict[str, Any], **who: str) -> list[str]:
    (name,) = who.values()
    with aws_errors(f"iam:List{kind.title()}Policies"):
        names = sorted(pages(ctx, f"list_{kind}_policies", "PolicyNames", **who))
    for policy in names:
        with aws_errors(f"iam:Get{kind.title()}Policy"):
            got = getattr(client(ctx, "iam"), f"get_{kind}_policy")(PolicyName=policy, **who)
        documents[f"{kind}/{name}/{policy}"] = got["PolicyDocument"]
    return names


def _groups(ctx: ActionContext, name: str, documents: dict[str, Any]) -> list[Group]:
    with aws_errors("iam:ListGroupsForUser"):
        names = sorted(g["GroupName"] for g in pages(ctx, "list_groups_for_user", "Groups", UserName=name))
    return [
        Group(
            name=group,
            attached_policies=_attached(ctx, "group", GroupName=group),
            inline_policies=_inline(ctx, "group", documents, GroupName=group),
        )
        for group in names
    ]


def _is_administrator(arns: list[str]) -> bool:
    return any(arn.rpartition("/")[2] == ADMINISTRATOR for arn in arns)


def _boundary(principal: dict[str, Any]) -> str:
    return str(principal.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn", ""))


def _has_password(ctx: ActionContext, name: str) -> bool:
    with aws_errors("iam:GetLoginProfile"):
        return when_present(client(ctx, "iam").get_login_profile, UserName=name) is not None


def _user(ctx: ActionContext, name: str, documents: dict[str, Any]) -> Principal:
    user = get_user(ctx, name)
    keys, groups = keys_of(ctx, name), _groups(ctx, name, documents)
    attached = _attached(ctx, "user", UserName=name)
    with aws_errors("iam:ListMFADevices"):
        devices = sorted(
            d["SerialNumber"] for d in pages(ctx, "list_mfa_devices", "MFADevices", UserName=name)
        )
    administrator = _is_administrator(attached + [a for g in groups for a in g.attached_policies])
    active = [k.access_key_id for k in keys if k.status == "Active"]
    console = _has_password(ctx, name)
    summary = f"user {name}: {len(active)} active key(s) of {len(keys)}, "
    summary += f"{len(groups)} group(s), {'administrator, ' if administrator else ''}"
    summary += f"{'console password' if console else 'no console password'}, "
    summary += f"{len(devices)} MFA device(s)"
    return Principal(
        summary=summary,
        type="user",
        name=name,
        arn=user["Arn"],
        path=user["Path"],
        created=user["CreateDate"],
        tags=principal_tags(user),
        administrator=administrator,
        keys=keys,
        active_keys=active,
        attached_policies=attached,
        inline_policies=_inline(ctx, "user", documents, UserName=name),
        groups=groups,
        mfa_devices=devices,
        console_login=console,
        password_last_used=user.get("PasswordLastUsed"),
        permissions_boundary=_boundary(user),
    )


def _role(ctx: ActionContext, name: str, documents: dict[str, Any]) -> Principal:
    role = get_role(ctx, name)
    attached = _attached(ctx, "role", RoleName=name)
    with aws_errors("iam:ListInstanceProfilesForRole"):
        profiles = sorted(
            p["InstanceProfileName"]
            for p in pages(ctx, "list_instance_profiles_for_role", "InstanceProfiles", RoleName=name)
        )
    trust: JsonObject = role["AssumeRolePolicyDocument"]
    documents[f"trust/{name}"] = trust
    administrator = _is_administrator(attached)
    hours = role.get("MaxSessionDuration", 3600) / 3600
    return Principal(
        summary=(
            f"role {name}: {len(attached)} attached policy(ies), {'administrator, ' if administrator else ''}"
            f"{len(profiles)} instance profile(s), sessions live up to {hours:g} h"
        ),
        type="role",
        name=name,
        arn=role["Arn"],
        path=role["Path"],
        created=role["CreateDate"],
        tags=principal_tags(role),
        administrator=administrator,
        attached_policies=attached,
        inline_policies=_inline(ctx, "role", documents, RoleName=name),
        permissions_boundary=_boundary(role),
        trust_policy=trust,
        instance_profiles=profiles,
        last_used=role.get("RoleLastUsed", {}).get("LastUsedDate"),
        max_session_seconds=role.get("MaxSessionDuration"),
    )
