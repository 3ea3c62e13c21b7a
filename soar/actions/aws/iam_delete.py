"""Delete a user or a role that an attacker made."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from typing import Any

from pydantic import AwareDatetime, Field, TypeAdapter
from pydantic_core import to_jsonable_python

from soar.actions.aws.access import aws_errors, client
from soar.actions.aws.iam_common import access_keys, instance_profiles, pages, when_present
from soar.actions.aws.iam_principal import FACTS, READS, Principal, PrincipalParams
from soar.actions.aws.iam_service_credentials import OtherCredential, other_credentials
from soar.actions.aws.setting import Found, OneWaySetting, Said
from soar.actions.contract import ActionContext, Draft, Planned, StateBefore, action
from soar.actions.errors import Refused, TargetGone
from soar.model.base import JsonObject, canonical_json
from soar.model.change import Result, Target
from soar.model.terms import Phase, Risk

__all__ = ["DeletePrincipal"]

MOVING = ("PasswordLastUsed", "RoleLastUsed")
"""What IAM says of a principal that moves by itself: it is in the facts, not in the record."""
DENYING = ("IR-", "AWSRevokeOlderSessions", "AWSDenyAll", "AWSCompromisedKeyQuarantine", "soar")
"""What the names of policies by which a principal is contained begin with: they go last."""


class DeleteParams(PrincipalParams):
    """Which one, and since when it may exist at most."""

    made_after: AwareDatetime = Field(
        description="it must have been made after this moment: the incident's beginning. What is older is not deleted"
    )


class PrincipalBefore(StateBefore):
    """Whether it is there, and all of it: what IAM said of it, its policies, groups and credentials.

    Args:
        record: Empty: there is none of that name.
    """

    exists: bool = Field(title="exists")
    record: JsonObject = Field(title="record")


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
        "iam:ListServiceSpecificCredentials",
        "iam:ListSSHPublicKeys",
        "iam:ListSigningCertificates",
        "iam:GetUserPolicy",
        "iam:GetRolePolicy",
        "iam:DetachUserPolicy",
        "iam:DetachRolePolicy",
        "iam:DeleteUserPolicy",
        "iam:DeleteRolePolicy",
        "iam:DeleteAccessKey",
        "iam:DeleteLoginProfile",
        "iam:DeleteServiceSpecificCredential",
        "iam:DeleteSSHPublicKey",
        "iam:DeleteSigningCertificate",
        "iam:DeactivateMFADevice",
        "iam:RemoveUserFromGroup",
        "iam:RemoveRoleFromInstanceProfile",
        "iam:DeleteUser",
        "iam:DeleteRole",
    ),
)
class DeletePrincipal(OneWaySetting[DeleteParams, PrincipalBefore]):
    """Delete a user or a role that an attacker made, with all that hangs on it.

    First its keys, password, other credentials and MFA devices go, or its place in instance profiles, so that nobody
    uses it while the rest is taken apart; then its groups and policies, those by which it is contained last; then
    itself. All of it is recorded in the plan.

    `made_after` must be given, and nothing tells it but a person or the alert: the moment at which the incident began.
    What was made at that moment or before is refused.

    Pre-condition: it was made after `made_after`, and is neither this worker's own, nor break-glass, nor
    service-linked, nor tagged `soar:protected`. There is none of that name: nothing is done.

    Verified by reading it: there is none any more.

    Evidence: the record of the plan, as one JSON document: the user or role, its policies, credentials, groups and
    tags as they were.

    Pitfalls: it cannot be put back. A user that is made anew under the name has another id: policies of resources that
    named the old one do not mean it. Quarantine it first and collect what it did: CloudTrail keeps its events, but who
    it was is only in the record. A virtual MFA device stays, unassigned. An instance profile stays, empty. Where the
    attacker adds to it in the meantime, IAM refuses the deletion and the step is planned anew.

    Shown on replies of our own making: the simulated account has no service-specific credentials.

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

    def look(self, ctx: ActionContext, params: DeleteParams) -> Found[PrincipalBefore]:
        try:
            principal = Principal(ctx, params)
        except TargetGone:
            # As wanted: whoever deleted it, a try of ours that died or somebody else.
            gone = Target(uid=f"{params.type}/{params.name}", type=f"aws.iam.{params.type}", name=params.name)
            return Found(target=gone, state=PrincipalBefore(exists=False, record={}))
        made = principal.raw["CreateDate"].astimezone(UTC)
        return Found(
            target=principal.target,
            state=PrincipalBefore(exists=True, record=_record(ctx, principal)),
            facts=(f"it was made on {made:%Y-%m-%d %H:%M:%S} UTC", *principal.facts()),
        )

    def wanted(self, params: DeleteParams, state: PrincipalBefore) -> PrincipalBefore:
        return PrincipalBefore(exists=False, record={})

    def guard(self, ctx: ActionContext, params: DeleteParams, found: Found[PrincipalBefore]) -> None:
        principal = Principal(ctx, params)
        principal.ensure_may_change()
        made: datetime = principal.raw["CreateDate"]
        if made <= params.made_after:
            raise Refused(
                f"{principal.words} was made on {made:%Y-%m-%d %H:%M:%S} UTC, not after "
                f"{params.made_after.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC: it is older than the incident",
                hint="contain it instead (aws.iam.quarantine_user, aws.iam.quarantine_role), or delete it by hand",
            )

    def plan(self, ctx: ActionContext, params: DeleteParams) -> Draft[PrincipalBefore]:
        draft = super().plan(ctx, params)
        # The record is what people look at, and what was there when they did; the change is one: it goes. So a try
        # that died half-way, and finds less on it, goes on.
        return dataclasses.replace(draft, changes=tuple(c for c in draft.changes if c.field == "exists"))

    def say(self, params: DeleteParams, found: Found[PrincipalBefore], then: PrincipalBefore) -> Said:
        return Said(
            summary=f"Delete {params.type} {params.name} with its policies and credentials",
            hits=f"Whatever runs as {params.type} {params.name} stops for good.",
            warnings=("This cannot be undone.",),
        )

    def apply(self, ctx: ActionContext, planned: Planned[DeleteParams, PrincipalBefore]) -> Result:
        # What the plan recorded, not what is left of it at a later try.
        ctx.keep_evidence(
            f"{planned.params.type}-{planned.params.name}.json",
            canonical_json(planned.state.record).encode(),
            media_type="application/json",
            source="iam:GetUser" if planned.params.type == "user" else "iam:GetRole",
        )
        found = self.look(ctx, planned.params)
        if found.state.exists:
            self.write(ctx, planned.params, found.state, self.wanted(planned.params, planned.state))
        return Result(summary=f"deleted {planned.params.type} {planned.params.name}")

    def write(
        self, ctx: ActionContext, params: DeleteParams, now: PrincipalBefore, then: PrincipalBefore
    ) -> None:
        principal = Principal(ctx, params)
        # Again, since the plan was made a while ago and this is for good.
        self.guard(ctx, params, Found(target=principal.target, state=now))
        if params.type == "user":
            _disarm_user(ctx, params.name)
        else:
            _disarm_role(ctx, params.name)
        attached, inline = principal.attached(), principal.inline_names()
        for last in (False, True):
            for arn, name in attached.items():
                if name.startswith(DENYING) == last:
                    principal.detach(arn)
            for name in inline:
                if name.startswith(DENYING) == last:
                    principal.delete_inline_policy(name)
        iam = client(ctx, "iam")
        with principal.errors("Delete{}"):
            if params.type == "user":
                when_present(iam.delete_user, UserName=params.name)
            else:
                when_present(iam.delete_role, RoleName=params.name)


def _record(ctx: ActionContext, principal: Principal) -> JsonObject:
    """All of a principal but what moves by itself."""
    name = principal.name
    found: dict[str, Any] = {
        principal.kind: {key: value for key, value in principal.raw.items() if key not in MOVING},
        "attached_policies": principal.attached(),
        "inline_policies": {n: principal.inline_policy(n) for n in principal.inline_names()},
    }
    if principal.kind == "user":
        with aws_errors("iam:GetLoginProfile"):
            password = when_present(client(ctx, "iam").get_login_profile, UserName=name) is not None
        others = [c.model_dump(mode="json") for c in other_credentials(ctx, name)]
        found |= {
            "access_keys": access_keys(ctx, name),
            "console_password": password,
            "mfa_devices": _devices(ctx, name),
            "groups": _groups(ctx, name),
            "other_credentials": others,
        }
    else:
        found["instance_profiles"] = instance_profiles(ctx, name)
    plain: JsonObject = TypeAdapter(JsonObject).validate_python(to_jsonable_python(found))
    return plain


def _devices(ctx: ActionContext, name: str) -> list[str]:
    with aws_errors("iam:ListMFADevices"):
        return sorted(d["SerialNumber"] for d in pages(ctx, "list_mfa_devices", "MFADevices", UserName=name))


def _groups(ctx: ActionContext, name: str) -> list[str]:
    with aws_errors("iam:ListGroupsForUser"):
        return sorted(g["GroupName"] for g in pages(ctx, "list_groups_for_user", "Groups", UserName=name))


def _disarm_user(ctx: ActionContext, name: str) -> None:
    iam = client(ctx, "iam")
    for key in access_keys(ctx, name):
        with aws_errors("iam:DeleteAccessKey"):
            when_present(iam.delete_access_key, UserName=name, AccessKeyId=key)
    with aws_errors("iam:DeleteLoginProfile"):
        when_present(iam.delete_login_profile, UserName=name)
    for credential in other_credentials(ctx, name):
        _delete_other(ctx, name, credential)
    for serial in _devices(ctx, name):
        with aws_errors("iam:DeactivateMFADevice"):
            when_present(iam.deactivate_mfa_device, UserName=name, SerialNumber=serial)
    for group in _groups(ctx, name):
        with aws_errors("iam:RemoveUserFromGroup"):
            when_present(iam.remove_user_from_group, UserName=name, GroupName=group)


def _delete_other(ctx: ActionContext, name: str, credential: OtherCredential) -> None:
    iam, key = client(ctx, "iam"), credential.credential_id
    match credential.kind:
        case "service":
            with aws_errors("iam:DeleteServiceSpecificCredential"):
                when_present(
                    iam.delete_service_specific_credential, UserName=name, ServiceSpecificCredentialId=key
                )
        case "ssh":
            with aws_errors("iam:DeleteSSHPublicKey"):
                when_present(iam.delete_ssh_public_key, UserName=name, SSHPublicKeyId=key)
        case "certificate":
            with aws_errors("iam:DeleteSigningCertificate"):
                when_present(iam.delete_signing_certificate, UserName=name, CertificateId=key)


def _disarm_role(ctx: ActionContext, name: str) -> None:
    iam = client(ctx, "iam")
    for profile in instance_profiles(ctx, name):
        with aws_errors("iam:RemoveRoleFromInstanceProfile"):
            when_present(iam.remove_role_from_instance_profile, InstanceProfileName=profile, RoleName=name)
