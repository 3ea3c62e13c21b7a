"""Take away what somebody was granted: managed and inline policies, membership of groups, and bound it."""

from __future__ import annotations

from pydantic import Field

from soar.actions.aws.access import aws_errors, client
from soar.actions.aws.iam_common import (
    UserParams,
    ensure_user_may_change,
    get_user,
    pages,
    user_facts,
    user_target,
    when_present,
)
from soar.actions.aws.iam_principal import FACTS, READS, Principal, PrincipalParams
from soar.actions.aws.setting import Found, Said, Setting
from soar.actions.contract import ActionContext, StateBefore, action
from soar.model.base import JsonObject, canonical_json
from soar.model.terms import Phase, Risk

__all__ = ["DeleteInlinePolicy", "DetachPolicy", "RemoveFromGroup", "SetBoundary"]

POLICY_ARN = r"^arn:aws[a-z-]*:iam::(aws|[0-9]{12}):policy/[A-Za-z0-9_+=,.@/-]{1,512}$"


class DetachParams(PrincipalParams):
    """Which managed policy comes off."""

    policy_arn: str = Field(pattern=POLICY_ARN, description="the policy's ARN")


class AttachedBefore(StateBefore):
    """Whether the policy is attached."""

    attached: bool = Field(title="attached")


@action(
    "aws.iam.detach_policy",
    risk=Risk.DISRUPTIVE,
    phase=Phase.ERADICATION,
    permissions=(
        *READS,
        *FACTS,
        "iam:ListAttachedUserPolicies",
        "iam:ListAttachedRolePolicies",
        "iam:AttachUserPolicy",
        "iam:AttachRolePolicy",
        "iam:DetachUserPolicy",
        "iam:DetachRolePolicy",
    ),
)
class DetachPolicy(Setting[DetachParams, AttachedBefore]):
    """Take a managed policy off a user or a role.

    For what an attacker attached, or what gave too much.

    Pre-condition: the user or role exists, and is neither this worker's own, nor break-glass, nor service-linked, nor
    tagged `soar:protected`. Not attached: nothing is done.

    Verified by listing the policies that are attached: it is not among them.

    Undone by attaching it again. It refuses if the policy was deleted since.

    Pitfalls: what the policy granted may be granted otherwise too: by a group, an inline policy or a resource's policy.
    A policy that denies is taken off as readily as one that allows: look at it first. It takes some seconds to take
    effect.

    Example::

        - id: detach
          name: Take administrator's rights away again
          do: aws.iam.detach_policy
          with:
            type: user
            name: "{{ alert.actor.name }}"
            policy_arn: arn:aws:iam::aws:policy/AdministratorAccess
    """

    method = "iam:ListAttachedUserPolicies, iam:ListAttachedRolePolicies"

    def look(self, ctx: ActionContext, params: DetachParams) -> Found[AttachedBefore]:
        principal = Principal(ctx, params)
        attached = principal.attached()
        others = sorted(name for arn, name in attached.items() if arn != params.policy_arn)
        return Found(
            target=principal.target,
            state=AttachedBefore(attached=params.policy_arn in attached),
            facts=(f"other managed policies: {', '.join(others) or 'none'}", *principal.facts()),
        )

    def wanted(self, params: DetachParams, state: AttachedBefore) -> AttachedBefore:
        return AttachedBefore(attached=False)

    def guard(self, ctx: ActionContext, params: DetachParams, found: Found[AttachedBefore]) -> None:
        Principal(ctx, params).ensure_may_change()

    def say(self, params: DetachParams, found: Found[AttachedBefore], then: AttachedBefore) -> Said:
        return Said(
            summary=f"Take {params.policy_arn} off {params.type} {params.name}",
            hits=f"{params.type.capitalize()} {params.name} loses what only this policy grants.",
            undo="It is attached again.",
        )

    def write(
        self, ctx: ActionContext, params: DetachParams, now: AttachedBefore, then: AttachedBefore
    ) -> None:
        principal = Principal(ctx, params)
        if then.attached:
            principal.attach(params.policy_arn)
        else:
            principal.detach(params.policy_arn)


class InlineParams(PrincipalParams):
    """Which inline policy goes."""

    policy_name: str = Field(pattern=r"^[A-Za-z0-9_+=,.@-]{1,128}$", description="the inline policy's name")


class InlineBefore(StateBefore):
    """The policy; None: there is none of that name."""

    policy: JsonObject | None = Field(title="inline policy")


@action(
    "aws.iam.delete_inline_policy",
    risk=Risk.DISRUPTIVE,
    phase=Phase.ERADICATION,
    permissions=(
        *READS,
        *FACTS,
        "iam:GetUserPolicy",
        "iam:GetRolePolicy",
        "iam:PutUserPolicy",
        "iam:PutRolePolicy",
        "iam:DeleteUserPolicy",
        "iam:DeleteRolePolicy",
    ),
)
class DeleteInlinePolicy(Setting[InlineParams, InlineBefore]):
    """Delete an inline policy of a user or a role.

    For what an attacker put there. The policy is recorded in the plan.

    Pre-condition: the user or role exists, and is neither this worker's own, nor break-glass, nor service-linked, nor
    tagged `soar:protected`. No policy of that name: nothing is done.

    Verified by reading the policy: there is none of that name.

    Undone by putting the recorded policy back. It refuses if somebody put another one of that name since.

    Pitfalls: a policy that denies is deleted as readily as one that allows: look at the plan. What it granted may be
    granted otherwise, too.

    Example::

        - id: delete_policy
          name: Delete the policy that the attacker put
          do: aws.iam.delete_inline_policy
          with:
            type: role
            name: build
            policy_name: temporary
    """

    method = "iam:GetUserPolicy, iam:GetRolePolicy"

    def look(self, ctx: ActionContext, params: InlineParams) -> Found[InlineBefore]:
        principal = Principal(ctx, params)
        return Found(
            target=principal.target,
            state=InlineBefore(policy=principal.inline_policy(params.policy_name)),
            facts=principal.facts(),
        )

    def wanted(self, params: InlineParams, state: InlineBefore) -> InlineBefore:
        return InlineBefore(policy=None)

    def guard(self, ctx: ActionContext, params: InlineParams, found: Found[InlineBefore]) -> None:
        Principal(ctx, params).ensure_may_change()

    def say(self, params: InlineParams, found: Found[InlineBefore], then: InlineBefore) -> Said:
        return Said(
            summary=f"Delete inline policy {params.policy_name} of {params.type} {params.name}",
            hits=f"{params.type.capitalize()} {params.name} loses what only this policy grants.",
            undo="The recorded policy is put back.",
        )

    def write(self, ctx: ActionContext, params: InlineParams, now: InlineBefore, then: InlineBefore) -> None:
        principal = Principal(ctx, params)
        if then.policy is None:
            principal.delete_inline_policy(params.policy_name)
        else:
            principal.put_inline_policy(params.policy_name, canonical_json(then.policy))


class GroupParams(UserParams):
    """Out of which group."""

    group_name: str = Field(pattern=r"^[A-Za-z0-9_+=,.@-]{1,128}$", description="the group's name")


class MemberBefore(StateBefore):
    """Whether the user is in the group."""

    member: bool = Field(title="member")


@action(
    "aws.iam.remove_from_group",
    risk=Risk.DISRUPTIVE,
    phase=Phase.ERADICATION,
    permissions=(
        "iam:GetUser",
        "iam:ListGroupsForUser",
        "iam:ListAccessKeys",
        "iam:GetAccessKeyLastUsed",
        "iam:GetLoginProfile",
        "iam:AddUserToGroup",
        "iam:RemoveUserFromGroup",
        "sts:GetCallerIdentity",
    ),
)
class RemoveFromGroup(Setting[GroupParams, MemberBefore]):
    """Take a user out of a group.

    Pre-condition: the user exists, and is neither this worker's own, nor break-glass, nor tagged `soar:protected`. Not
    in the group: nothing is done.

    Verified by listing the user's groups: it is not among them.

    Undone by adding the user again. It refuses if the group was deleted since.

    Pitfalls: a group that denies is left as readily as one that allows. Other groups may grant the same.

    Example::

        - id: out_of_group
          name: Take the user out of the administrators
          do: aws.iam.remove_from_group
          with:
            user_name: "{{ alert.actor.name }}"
            group_name: administrators
    """

    method = "iam:ListGroupsForUser"

    def look(self, ctx: ActionContext, params: GroupParams) -> Found[MemberBefore]:
        user, name = get_user(ctx, params.user_name), params.user_name
        with aws_errors("iam:ListGroupsForUser"):
            groups = {g["GroupName"] for g in pages(ctx, "list_groups_for_user", "Groups", UserName=name)}
        return Found(
            target=user_target(user),
            state=MemberBefore(member=params.group_name in groups),
            facts=user_facts(ctx, name),
        )

    def wanted(self, params: GroupParams, state: MemberBefore) -> MemberBefore:
        return MemberBefore(member=False)

    def guard(self, ctx: ActionContext, params: GroupParams, found: Found[MemberBefore]) -> None:
        ensure_user_may_change(ctx, get_user(ctx, params.user_name))

    def say(self, params: GroupParams, found: Found[MemberBefore], then: MemberBefore) -> Said:
        return Said(
            summary=f"Take user {params.user_name} out of group {params.group_name}",
            hits=f"User {params.user_name} loses what only this group grants.",
            undo="The user is added again.",
        )

    def write(self, ctx: ActionContext, params: GroupParams, now: MemberBefore, then: MemberBefore) -> None:
        iam, who = client(ctx, "iam"), {"UserName": params.user_name, "GroupName": params.group_name}
        if then.member:
            with aws_errors("iam:AddUserToGroup"):
                iam.add_user_to_group(**who)
        else:
            with aws_errors("iam:RemoveUserFromGroup"):
                when_present(iam.remove_user_from_group, **who)


class BoundaryParams(PrincipalParams):
    """Which boundary."""

    policy_arn: str = Field(
        pattern=POLICY_ARN, description="the managed policy that bounds what it may do at most"
    )


class BoundaryBefore(StateBefore):
    """The boundary's ARN; None: there is none."""

    boundary: str | None = Field(title="permissions boundary")


@action(
    "aws.iam.set_boundary",
    risk=Risk.DISRUPTIVE,
    phase=Phase.CONTAINMENT,
    permissions=(
        *READS,
        *FACTS,
        "iam:PutUserPermissionsBoundary",
        "iam:PutRolePermissionsBoundary",
        "iam:DeleteUserPermissionsBoundary",
        "iam:DeleteRolePermissionsBoundary",
    ),
)
class SetBoundary(Setting[BoundaryParams, BoundaryBefore]):
    """Bound what a user or a role may do at most.

    Milder than a quarantine: what the boundary allows goes on. With a boundary that allows only reading, an application
    keeps serving and can change nothing.

    Pre-condition: the user or role exists, and is neither this worker's own, nor break-glass, nor service-linked, nor
    tagged `soar:protected`; the policy exists. It has this boundary already: nothing is done.

    Verified by reading the user or role: it has this boundary.

    Undone by setting the recorded boundary again, or removing it if there was none. It refuses if somebody changed it
    since.

    Pitfalls: a boundary does not bound what a resource's policy grants to the user or the role's session directly. It
    takes some seconds to take effect, in which an attacker who may change IAM can take it away again.

    Boundaries of users are shown on replies of our own making: the simulated account has only those of roles.

    Example::

        - id: bound
          name: Let the role only read
          do: aws.iam.set_boundary
          with:
            type: role
            name: build
            policy_arn: arn:aws:iam::aws:policy/ReadOnlyAccess
    """

    method = "iam:GetUser, iam:GetRole"

    def look(self, ctx: ActionContext, params: BoundaryParams) -> Found[BoundaryBefore]:
        principal = Principal(ctx, params)
        found = principal.raw.get("PermissionsBoundary") or {}
        return Found(
            target=principal.target,
            state=BoundaryBefore(boundary=found.get("PermissionsBoundaryArn")),
            facts=principal.facts(),
        )

    def wanted(self, params: BoundaryParams, state: BoundaryBefore) -> BoundaryBefore:
        return BoundaryBefore(boundary=params.policy_arn)

    def guard(self, ctx: ActionContext, params: BoundaryParams, found: Found[BoundaryBefore]) -> None:
        Principal(ctx, params).ensure_may_change()

    def say(self, params: BoundaryParams, found: Found[BoundaryBefore], then: BoundaryBefore) -> Said:
        return Said(
            summary=f"Bound {params.type} {params.name} by {params.policy_arn}",
            hits=f"{params.type.capitalize()} {params.name} can do no more than the boundary allows.",
            undo=f"The boundary {found.state.boundary} is set again."
            if found.state.boundary
            else "The boundary is removed.",
        )

    def write(
        self, ctx: ActionContext, params: BoundaryParams, now: BoundaryBefore, then: BoundaryBefore
    ) -> None:
        principal = Principal(ctx, params)
        principal.bound(then.boundary)
