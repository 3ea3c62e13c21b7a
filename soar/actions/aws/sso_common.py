"""What actions on IAM Identity Center need: its instance, its users and groups, and who is assigned what."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from botocore.exceptions import ClientError
from pydantic import Field

from soar.actions.aws.access import aws_errors, client
from soar.actions.aws.iam_common import BREAK_GLASS, own_arns
from soar.actions.contract import ActionContext, Params
from soar.actions.errors import BadInput, Refused, TargetGone, Unavailable
from soar.model.change import Target

__all__ = [
    "GROUP_READS",
    "USER_READS",
    "Assigned",
    "Instance",
    "InstanceParams",
    "PermissionSets",
    "SsoPrincipal",
    "SsoPrincipalParams",
    "assigned_to",
    "find_principal",
    "groups_of",
    "instance_of",
    "sso_errors",
    "sso_pages",
]

Kind = Literal["user", "group"]

ID = re.compile(r"^([0-9a-f]{10}-)?[0-9A-Fa-f]{8}-([0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}$")
OWN_SSO = re.compile(r":assumed-role/AWSReservedSSO_[^/]+/(.+)$")

USER_READS = ("sso:ListInstances", "identitystore:GetUserId", "identitystore:DescribeUser")
"""What finding a user takes."""
GROUP_READS = ("identitystore:GetGroupId", "identitystore:DescribeGroup")
"""What finding a group takes, beside the instance."""


class InstanceParams(Params):
    """Which instance, where there are several."""

    instance_arn: str = Field(
        default="",
        pattern=r"^(arn:aws[a-z-]*:sso:::instance/(sso)?ins-[a-zA-Z0-9.-]{16})?$",
        description="of IAM Identity Center; needed only where the account sees several",
    )


class SsoPrincipalParams(InstanceParams):
    """Which user or group of IAM Identity Center."""

    type: Kind = Field(default="user", description="`user` or `group`")
    name: str = Field(
        min_length=1,
        max_length=1024,
        description="a user's name, e-mail address or id; a group's name or id",
    )


@dataclass(frozen=True)
class Instance:
    """IAM Identity Center of an organization or an account, and its directory."""

    arn: str
    store: str


@dataclass(frozen=True)
class SsoPrincipal:
    """A user or group.

    Args:
        name: The user's name, or the group's display name.
        raw: What the directory says.
    """

    kind: Kind
    id: str
    name: str
    raw: dict[str, Any]
    instance: Instance

    @property
    def words(self) -> str:
        """`user dana` or `group admins`."""
        return f"{self.kind} {self.name}"

    @property
    def target(self) -> Target:
        """As a plan names it."""
        uid = f"{self.instance.store}/{self.kind}/{self.id}"
        return Target(uid=uid, type=f"aws.sso.{self.kind}", name=self.name)

    def ensure_may_change(self, ctx: ActionContext) -> None:
        """Refuse whom this worker is itself, and the way in when everything else fails.

        Raises:
            Refused: It is one of those.
        """
        if BREAK_GLASS in self.name.lower():
            raise Refused(
                f"{self.words} of IAM Identity Center is a break-glass identity: it is never changed by an action",
                hint="if it is compromised, act by hand with a second way into the account open",
            )
        sessions = [found.group(1) for arn in own_arns(ctx) if (found := OWN_SSO.search(arn))]
        # A session of IAM Identity Center is named after its user. In which groups that user is, is not asked.
        if sessions and (self.kind == "group" or self.name in sessions):
            raise Refused(
                f"this worker is signed in by IAM Identity Center as {', '.join(sorted(sessions))}: a change of "
                f"{self.words} could lock it out in the middle of its work",
                hint="run the aws worker with a role of its own, then retry the step",
            )


@dataclass(frozen=True, order=True)
class Assigned:
    """A permission set that a principal has in an account.

    Args:
        group: By which group it comes to a user; empty: it is the principal's own.
    """

    account: str
    permission_set: str
    group: str = ""


@contextmanager
def sso_errors(what: str) -> Iterator[None]:
    """`aws_errors`, with those of IAM Identity Center.

    Raises:
        Unavailable: Another change of the same is still under way.
        Refused: A quota is reached.
    """
    with aws_errors(what):
        try:
            yield
        except ClientError as error:
            told = error.response.get("Error", {})
            code, text = told.get("Code", ""), f"{what}: {told.get('Code', '')}: {told.get('Message', '')}"
            if code in ("ConflictException", "InternalServerException"):
                raise Unavailable(text) from error
            if code == "ServiceQuotaExceededException":
                raise Refused(text, hint="make room, then retry the step") from error
            raise


def sso_pages(ctx: ActionContext, service: str, operation: str, key: str, **arguments: Any) -> list[Any]:
    """Every entry of a list that comes in pages. Use it inside `sso_errors`."""
    pages = client(ctx, service).get_paginator(operation).paginate(**arguments)
    return [entry for page in pages for entry in page[key]]


def instance_of(ctx: ActionContext, params: InstanceParams) -> Instance:
    """The instance that a step means.

    Raises:
        TargetGone: There is none in this region.
        BadInput: There are several, and none is named.
    """
    with sso_errors("sso:ListInstances"):
        found = sso_pages(ctx, "sso-admin", "list_instances", "Instances")
    if params.instance_arn:
        found = [i for i in found if i["InstanceArn"] == params.instance_arn]
    if not found:
        raise TargetGone(
            f"no instance {params.instance_arn} of IAM Identity Center here".replace("  ", " "),
            hint="it lives in one region of the management account (or of the account that it is delegated to): "
            "give the step that account and region",
        )
    if len(found) > 1:
        raise BadInput(
            f"there are {len(found)} instances of IAM Identity Center here",
            hint=f"say which by `instance_arn`: {', '.join(sorted(i['InstanceArn'] for i in found))}",
        )
    return Instance(arn=found[0]["InstanceArn"], store=found[0]["IdentityStoreId"])


def find_principal(ctx: ActionContext, params: InstanceParams, kind: Kind, name: str) -> SsoPrincipal:
    """A user by its name, e-mail address or id, or a group by its name or id.

    Raises:
        TargetGone: There is none.
    """
    instance = instance_of(ctx, params)
    store = client(ctx, "identitystore")
    if ID.match(name):
        found_id = name
    elif kind == "user":
        found_id = _by(ctx, instance, "user", "userName", name) or _by(
            ctx, instance, "user", "emails.value", name
        )
    else:
        found_id = _by(ctx, instance, "group", "displayName", name)
    if not found_id:
        raise TargetGone(
            f"IAM Identity Center knows no {kind} {name}",
            hint="a user is found by its user name, its e-mail address or its id; a group by its name or its id",
        )
    if kind == "user":
        with sso_errors("identitystore:DescribeUser"):
            raw = store.describe_user(IdentityStoreId=instance.store, UserId=found_id)
        known = raw.get("UserName") or found_id
    else:
        with sso_errors("identitystore:DescribeGroup"):
            raw = store.describe_group(IdentityStoreId=instance.store, GroupId=found_id)
        known = raw.get("DisplayName") or found_id
    raw = {key: value for key, value in raw.items() if key != "ResponseMetadata"}
    return SsoPrincipal(kind=kind, id=found_id, name=known, raw=raw, instance=instance)


def _by(ctx: ActionContext, instance: Instance, kind: Kind, attribute: str, value: str) -> str:
    """The id of the only one with an attribute; empty if there is none."""
    identifier = {"UniqueAttribute": {"AttributePath": attribute, "AttributeValue": value}}
    store, what = client(ctx, "identitystore"), f"identitystore:Get{kind.capitalize()}Id"
    ask = store.get_user_id if kind == "user" else store.get_group_id
    with sso_errors(what):
        try:
            reply = ask(IdentityStoreId=instance.store, AlternateIdentifier=identifier)
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") == "ResourceNotFoundException":
                return ""
            raise
    return str(reply["UserId" if kind == "user" else "GroupId"])


def groups_of(ctx: ActionContext, user: SsoPrincipal) -> dict[str, tuple[str, str]]:
    """The groups of a user: id → (name, id of the membership)."""
    store_id = user.instance.store
    with sso_errors("identitystore:ListGroupMembershipsForMember"):
        members = sso_pages(
            ctx,
            "identitystore",
            "list_group_memberships_for_member",
            "GroupMemberships",
            IdentityStoreId=store_id,
            MemberId={"UserId": user.id},
        )
    found = {}
    for one in sorted(members, key=lambda m: str(m["GroupId"])):
        with sso_errors("identitystore:DescribeGroup"):
            group = client(ctx, "identitystore").describe_group(
                IdentityStoreId=store_id, GroupId=one["GroupId"]
            )
        found[one["GroupId"]] = (str(group.get("DisplayName") or one["GroupId"]), str(one["MembershipId"]))
    return found


def assigned_to(ctx: ActionContext, instance: Instance, kind: Kind, principal_id: str) -> list[Assigned]:
    """What a principal is assigned, its own first; of a user also what it has by its groups, where AWS tells."""
    with sso_errors("sso:ListAccountAssignmentsForPrincipal"):
        found = sso_pages(
            ctx,
            "sso-admin",
            "list_account_assignments_for_principal",
            "AccountAssignments",
            InstanceArn=instance.arn,
            PrincipalId=principal_id,
            PrincipalType=kind.upper(),
        )
    assigned = {
        Assigned(
            account=a["AccountId"],
            permission_set=a["PermissionSetArn"],
            group="" if a["PrincipalId"] == principal_id else a["PrincipalId"],
        )
        for a in found
    }
    return sorted(assigned, key=lambda a: (a.group, a.account, a.permission_set))


class PermissionSets:
    """The names of permission sets and how long their sessions live, each read once."""

    def __init__(self, ctx: ActionContext, instance: Instance) -> None:
        self._ctx, self._instance = ctx, instance
        self._read: dict[str, tuple[str, str]] = {}

    def of(self, arn: str) -> tuple[str, str]:
        """Name and session duration (`PT1H`) of a permission set."""
        if arn not in self._read:
            with sso_errors("sso:DescribePermissionSet"):
                found = client(self._ctx, "sso-admin").describe_permission_set(
                    InstanceArn=self._instance.arn, PermissionSetArn=arn
                )["PermissionSet"]
            self._read[arn] = (str(found.get("Name", arn)), str(found.get("SessionDuration", "PT1H")))
        return self._read[arn]
