"""Deny everything to whole accounts, and keep quarantine policies where they are."""

from __future__ import annotations

import hashlib
import re
from typing import Annotated

from pydantic import Field

from soar.actions.aws.access import tags_for
from soar.actions.aws.organizations_scp import PolicySetting, ScpBefore, ScpParams, deny, unless_exempt
from soar.actions.aws.setting import Found, Said
from soar.actions.contract import Action, ActionContext, action
from soar.model.base import JsonObject
from soar.model.terms import Phase, Risk

__all__ = ["AttachDenyScp", "InstallGuard"]

VERSION = "2012-10-17"
ServiceAction = Annotated[str, Field(pattern=r"^(\*|[a-z0-9-]+:[A-Za-z0-9*?]+)$")]

PERMISSIONS = (
    "organizations:AttachPolicy",
    "organizations:CreatePolicy",
    "organizations:DeletePolicy",
    "organizations:DescribePolicy",
    "organizations:DetachPolicy",
    "organizations:ListAccountsForParent",
    "organizations:ListOrganizationalUnitsForParent",
    "organizations:ListPolicies",
    "organizations:ListPoliciesForTarget",
    "organizations:ListTagsForResource",
    "organizations:TagResource",
    "sts:GetCallerIdentity",
)


class DenyParams(ScpParams):
    """Whom to deny what."""

    target: str = Field(
        pattern=r"^([0-9]{12}|ou-[0-9a-z]{4,32}-[0-9a-z]{8,32})$",
        description="a member account's number, or a unit, `ou-…`; never the root",
    )
    actions: tuple[ServiceAction, ...] = Field(
        default=("*",), min_length=1, max_length=100, description="what is denied; default: everything"
    )


@action(
    "aws.org.attach_deny_scp",
    risk=Risk.DISRUPTIVE,
    phase=Phase.CONTAINMENT,
    permissions=(
        *PERMISSIONS,
        "organizations:DescribeAccount",
        "organizations:DescribeOrganization",
        "organizations:DescribeOrganizationalUnit",
    ),
)
class AttachDenyScp(PolicySetting[DenyParams], Action[DenyParams, ScpBefore]):
    """Deny everything, or some actions, to all principals of an account or unit but the responder's.

    A service control policy is made for this step (its name and tags hold the incident and the step) and hung on the
    target. It binds users, roles and the root user of member accounts, and nobody inside can take it away.

    Pre-condition: the target is a member account or a unit, not the management account, not tagged `soar:protected`,
    and has room for one more policy (five can hang on one). The role by which this worker acts is among
    `exempt_roles`. Hanging there already: nothing is done.

    Verified by reading the policies that hang on the target, and what ours says.

    Undone by detaching the policy and deleting it. It refuses if somebody detached or changed it since.

    Pitfalls: whatever runs there stops, customers' traffic included. The management account is bound by no such
    policy, service-linked roles neither. Principals of other accounts that a resource's policy lets in are not bound.
    It takes effect within some minutes. Policies of type SCP must be switched on in the organization.

    Example::

        - id: deny_account
          name: Let nobody in the account do anything
          do: aws.org.attach_deny_scp
          with:
            target: "111122223333"
            exempt_roles: ["arn:aws:iam::*:role/soar-responder"]
    """

    def policy_name(self, ctx: ActionContext, params: DenyParams) -> str:
        # Names are unique in the organization, and 128 characters long at most.
        own = hashlib.sha256(f"{ctx.incident_id}\n{ctx.step_id}\n{params.target}".encode()).hexdigest()[:12]
        readable = re.sub(r"[^\w.-]", "-", f"{ctx.incident_id}-{ctx.step_id}", flags=re.ASCII)[:90]
        return f"soar-deny-{readable}-{own}"

    def marks(self, ctx: ActionContext) -> dict[str, str]:
        return {t["Key"]: t["Value"] for t in tags_for(ctx)}

    def target_id(self, params: DenyParams) -> str:
        return params.target

    def document(self, params: DenyParams) -> JsonObject:
        statement = deny("SoarDeny", tuple(sorted(params.actions)), unless_exempt(params.exempt_roles))
        return {"Version": VERSION, "Statement": [statement]}

    def say(self, params: DenyParams, found: Found[ScpBefore], then: ScpBefore) -> Said:
        what = "everything" if "*" in params.actions else ", ".join(sorted(params.actions)[:10])
        return Said(
            summary=f"Deny {what} in {found.target.name} to all but {len(params.exempt_roles)} role(s)",
            hits="Whatever runs there with credentials of AWS is denied it, by any user, role or root user but "
            + ", ".join(params.exempt_roles)
            + ".",
            warnings=("Applications of the account stop as well; the management account is not bound.",),
            undo="The policy is detached and deleted.",
        )


class GuardParams(ScpParams):
    """Where the standing policy hangs, and what it keeps.

    Args:
        quarantine_policies: Names of managed policies that nobody but the exempt roles takes off or changes.
    """

    target: str = Field(
        pattern=r"^([0-9]{12}|ou-[0-9a-z]{4,32}-[0-9a-z]{8,32}|r-[0-9a-z]{4,32})$",
        description="the root `r-…`, a unit `ou-…` or an account: best the root, before any incident",
    )
    quarantine_policies: tuple[Annotated[str, Field(pattern=r"^[\w+=,.@-]{3,128}\*?$")], ...] = Field(
        default=("soar*", "AWSDenyAll", "AWSCompromisedKeyQuarantine*"), min_length=1, max_length=10
    )


QUARANTINED = "soar:quarantined"
"""A user or role that carries this tag may do nothing, where the guard hangs."""

CHANGES_OF_PRINCIPALS = (
    "iam:AddUserToGroup",
    "iam:AttachRolePolicy",
    "iam:AttachUserPolicy",
    "iam:CreateAccessKey",
    "iam:CreateLoginProfile",
    "iam:DeleteRolePermissionsBoundary",
    "iam:DeleteRolePolicy",
    "iam:DeleteUserPermissionsBoundary",
    "iam:DeleteUserPolicy",
    "iam:DetachRolePolicy",
    "iam:DetachUserPolicy",
    "iam:PutRolePermissionsBoundary",
    "iam:PutRolePolicy",
    "iam:PutUserPermissionsBoundary",
    "iam:PutUserPolicy",
    "iam:UpdateAccessKey",
    "iam:UpdateAssumeRolePolicy",
    "iam:UpdateLoginProfile",
)
"""By what a quarantined user or role would get rid of its quarantine, or get new credentials."""


@action(
    "aws.org.install_guard",
    risk=Risk.REVERSIBLE,
    phase=Phase.PREPARATION,
    permissions=(
        *PERMISSIONS,
        "organizations:DescribeAccount",
        "organizations:DescribeOrganization",
        "organizations:DescribeOrganizationalUnit",
        "organizations:ListRoots",
        "organizations:UpdatePolicy",
    ),
)
class InstallGuard(PolicySetting[GuardParams], Action[GuardParams, ScpBefore]):
    """Let nobody but the responder lift a quarantine: a standing service control policy.

    Quarantine by IAM policies takes some seconds to take effect, in which an attacker who may change IAM takes them
    away again. The guard, hung on the root before any incident, closes that gap. It is named `soar-guard` and tagged
    `soar:guard`, and denies to all but the exempt roles:

    - `SoarKeepPolicies`: to detach managed policies by the names in `quarantine_policies` from users and roles;
    - `SoarKeepContent`: to delete them, or to give them other content;
    - `SoarKeepPrincipals`: to change policies, keys, passwords, boundaries, groups or trust of users and roles that
      carry the tag `soar:quarantined`;
    - `SoarKeepTag`: to set or remove that tag;
    - `SoarDenyQuarantined`: everything, to whoever carries that tag.

    Pre-condition: the target is the root, a unit or a member account, not tagged `soar:protected`, and has room for
    one more policy (five can hang on one). The role by which this worker acts is among `exempt_roles`. As wanted
    already: nothing is done; one that says something else is brought up to date.

    Verified by reading the policies that hang on the target, and what ours says.

    Undone by detaching and deleting it, or by writing back what it said before. It refuses if somebody changed it
    since.

    Pitfalls: inline policies have no name that a condition could tell apart, so that only the tag protects a principal
    with one. The tag counts for a session from its next call on, since it is the user's or role's own. Deployments
    that tag or rewrite quarantined principals fail. The management account is not bound. Hung on several targets, it
    is deleted by the undo only after it hangs nowhere else.

    Example::

        - id: guard
          name: Let nobody lift a quarantine
          do: aws.org.install_guard
          with:
            target: r-ab12
            exempt_roles: ["arn:aws:iam::*:role/soar-responder"]
    """

    def policy_name(self, ctx: ActionContext, params: GuardParams) -> str:
        return "soar-guard"

    def marks(self, ctx: ActionContext) -> dict[str, str]:
        return {"soar:guard": "standing"}

    def target_id(self, params: GuardParams) -> str:
        return params.target

    def document(self, params: GuardParams) -> JsonObject:
        exempt = unless_exempt(params.exempt_roles)
        arns: list[str] = []
        for name in sorted(params.quarantine_policies):
            arns.append(f"arn:*:iam::*:policy/{name}")
        tagged = f"aws:ResourceTag/{QUARANTINED}"
        return {
            "Version": VERSION,
            "Statement": [
                deny(
                    "SoarKeepPolicies",
                    ("iam:DetachRolePolicy", "iam:DetachUserPolicy"),
                    {**exempt, "ArnLike": {"iam:PolicyARN": [*arns]}},
                ),
                deny(
                    "SoarKeepContent",
                    (
                        "iam:CreatePolicyVersion",
                        "iam:DeletePolicy",
                        "iam:DeletePolicyVersion",
                        "iam:SetDefaultPolicyVersion",
                    ),
                    exempt,
                    [*arns],
                ),
                deny("SoarKeepPrincipals", CHANGES_OF_PRINCIPALS, {**exempt, "Null": {tagged: "false"}}),
                deny(
                    "SoarKeepTag",
                    ("iam:TagRole", "iam:TagUser", "iam:UntagRole", "iam:UntagUser"),
                    {**exempt, "ForAnyValue:StringEquals": {"aws:TagKeys": [QUARANTINED]}},
                ),
                deny(
                    "SoarDenyQuarantined",
                    ("*",),
                    {**exempt, "Null": {f"aws:PrincipalTag/{QUARANTINED}": "false"}},
                ),
            ],
        }

    def say(self, params: GuardParams, found: Found[ScpBefore], then: ScpBefore) -> Said:
        return Said(
            summary=f"Let nobody but {len(params.exempt_roles)} role(s) lift a quarantine in {found.target.name}",
            hits="Nobody who is not in quarantine notices, but those who change quarantine policies or the tag "
            f"{QUARANTINED}.",
            warnings=(f"From now on, whoever carries the tag {QUARANTINED} may do nothing there.",),
            undo="The policy is detached, and deleted if this step made it; else what it said before is written back.",
        )
