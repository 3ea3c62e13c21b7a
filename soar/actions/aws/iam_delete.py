"""Delete a user or a role that an attacker made."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pydantic import AwareDatetime, Field
from pydantic_core import to_jsonable_python

from soar.actions.aws.access import aws_errors, client
from soar.actions.aws.iam_common import instance_profiles, pages, when_present
from soar.actions.aws.iam_principal import FACTS, READS, Principal, PrincipalParams
from soar.actions.aws.setting import Found, OneWaySetting, Said
from soar.actions.contract import ActionContext, StateBefore, action
from soar.actions.errors import Refused, TargetGone
from soar.model.base import canonical_json
from soar.model.change import Target
from soar.model.terms import Phase, Risk

__all__ = ["DeletePrincipal"]


class DeleteParams(PrincipalParams):
    """Which one, and since when it may exist at most."""

    made_after: AwareDatetime = Field(
        description="it must have been made after this moment: the incident's beginning. What is older is not deleted"
    )


class ExistsBefore(StateBefore):
    """Whether it is there."""

    exists: bool = Field(title="exists")


@action(
    "aws.iam.delete_principal",
    risk=Risk.DESTRUCTIVE,
    phase=Phase.ERADICATION,
    permissions=(
        *READS,
        *FACTS,
        "iam:ListAttachedUserPolicies",
        "iam:ListAttachedRolePolicies",
        "iam:ListUserPolicies",
        "iam:ListRolePolicies",
        "iam:ListMFADevices",
        "iam:GetUserPolicy",
        "iam:GetRolePolicy",
        "iam:DetachUserPolicy",
        "iam:DetachRolePolicy",
        "iam:DeleteUserPolicy",
        "iam:DeleteRolePolicy",
        "iam:DeleteAccessKey",
        "iam:DeleteLoginProfile",
        "iam:DeactivateMFADevice",
        "iam:RemoveUserFromGroup",
        "iam:RemoveRoleFromInstanceProfile",
        "iam:DeleteUser",
        "iam:DeleteRole",
    ),
)
class DeletePrincipal(OneWaySetting[DeleteParams, ExistsBefore]):
    """Delete a user or a role that an attacker made, with all that hangs on it.

    First its keys, password and MFA devices go, or its place in instance profiles, so that nobody uses it while the
    rest is taken apart; then its groups and policies; then itself.

    Pre-condition: it was made after `made_after`, and is neither this worker's own, nor break-glass, nor
    service-linked, nor tagged `soar:protected`. There is none of that name: nothing is done.

    Verified by reading it: there is none any more.

    Evidence: one JSON document with the user or role, its policies, keys, groups and tags as they were.

    Pitfalls: it cannot be put back. A user that is made anew under the name has another id: policies of resources that
    named the old one do not mean it. Quarantine it first and collect what it did: CloudTrail keeps its events, but who
    it was is only in the evidence. A virtual MFA device stays, unassigned. Service-specific credentials, SSH keys and
    certificates of the user must be gone, or IAM refuses.

    Example::

        - id: delete_backdoor
          name: Delete the user that the attacker made
          do: aws.iam.delete_principal
          with:
            type: user
            name: support-temp
            made_after: "2026-01-31T12:00:00Z"
          approval:
            role: responder
            approvers: 2
    """

    method = "iam:GetUser, iam:GetRole"

    def look(self, ctx: ActionContext, params: DeleteParams) -> Found[ExistsBefore]:
        try:
            principal = Principal(ctx, params)
        except TargetGone:
            # As wanted: whoever deleted it, a try of ours that died or somebody else.
            gone = Target(uid=f"{params.type}/{params.name}", type=f"aws.iam.{params.type}", name=params.name)
            return Found(target=gone, state=ExistsBefore(exists=False))
        made = principal.raw["CreateDate"].astimezone(UTC)
        return Found(
            target=principal.target,
            state=ExistsBefore(exists=True),
            facts=(f"it was made on {made:%Y-%m-%d %H:%M:%S} UTC", *principal.facts()),
        )

    def wanted(self, params: DeleteParams, state: ExistsBefore) -> ExistsBefore:
        return ExistsBefore(exists=False)

    def guard(self, ctx: ActionContext, params: DeleteParams, found: Found[ExistsBefore]) -> None:
        principal = Principal(ctx, params)
        principal.ensure_may_change()
        made: datetime = principal.raw["CreateDate"]
        if made <= params.made_after:
            raise Refused(
                f"{principal.words} was made on {made:%Y-%m-%d %H:%M:%S} UTC, not after "
                f"{params.made_after.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC: it is older than the incident",
                hint="contain it instead (aws.iam.quarantine_user, aws.iam.quarantine_role), or delete it by hand",
            )

    def say(self, params: DeleteParams, found: Found[ExistsBefore], then: ExistsBefore) -> Said:
        return Said(
            summary=f"Delete {params.type} {params.name} with its policies and credentials",
            hits=f"Whatever runs as {params.type} {params.name} stops for good.",
            warnings=("This cannot be undone.",),
        )

    def write(self, ctx: ActionContext, params: DeleteParams, now: ExistsBefore, then: ExistsBefore) -> None:
        principal = Principal(ctx, params)
        # Again, since the plan was made a while ago and this is for good.
        self.guard(ctx, params, self.look(ctx, params))
        ctx.keep_evidence(
            f"{params.type}-{params.name}.json",
            canonical_json(to_jsonable_python(_whole(ctx, principal))).encode(),
            media_type="application/json",
            source="iam:GetUser" if params.type == "user" else "iam:GetRole",
        )
        if params.type == "user":
            _disarm_user(ctx, params.name)
        else:
            _disarm_role(ctx, params.name)
        for arn in principal.attached():
            principal.detach(arn)
        for name in principal.inline_names():
            principal.delete_inline_policy(name)
        iam = client(ctx, "iam")
        with principal.errors("Delete{}"):
            if params.type == "user":
                when_present(iam.delete_user, UserName=params.name)
            else:
                when_present(iam.delete_role, RoleName=params.name)


def _whole(ctx: ActionContext, principal: Principal) -> dict[str, Any]:
    found: dict[str, Any] = {
        principal.kind: principal.raw,
        "attached_policies": principal.attached(),
        "inline_policies": {name: principal.inline_policy(name) for name in principal.inline_names()},
        "facts": principal.facts(),
    }
    if principal.kind == "user":
        with aws_errors("iam:ListAccessKeys"):
            found["access_keys"] = pages(
                ctx, "list_access_keys", "AccessKeyMetadata", UserName=principal.name
            )
    return found


def _disarm_user(ctx: ActionContext, name: str) -> None:
    iam = client(ctx, "iam")
    with aws_errors("iam:ListAccessKeys"):
        keys = [k["AccessKeyId"] for k in pages(ctx, "list_access_keys", "AccessKeyMetadata", UserName=name)]
    for key in keys:
        with aws_errors("iam:DeleteAccessKey"):
            when_present(iam.delete_access_key, UserName=name, AccessKeyId=key)
    with aws_errors("iam:DeleteLoginProfile"):
        when_present(iam.delete_login_profile, UserName=name)
    with aws_errors("iam:ListMFADevices"):
        devices = [d["SerialNumber"] for d in pages(ctx, "list_mfa_devices", "MFADevices", UserName=name)]
    for serial in devices:
        with aws_errors("iam:DeactivateMFADevice"):
            when_present(iam.deactivate_mfa_device, UserName=name, SerialNumber=serial)
    with aws_errors("iam:ListGroupsForUser"):
        groups = [g["GroupName"] for g in pages(ctx, "list_groups_for_user", "Groups", UserName=name)]
    for group in groups:
        with aws_errors("iam:RemoveUserFromGroup"):
            when_present(iam.remove_user_from_group, UserName=name, GroupName=group)


def _disarm_role(ctx: ActionContext, name: str) -> None:
    iam = client(ctx, "iam")
    for profile in instance_profiles(ctx, name):
        with aws_errors("iam:RemoveRoleFromInstanceProfile"):
            when_present(iam.remove_role_from_instance_profile, InstanceProfileName=profile, RoleName=name)
