"""Deny everything to a role, and mark users and roles for the standing guard."""

from __future__ import annotations

from pydantic import Field

from soar.actions.aws.iam_common import RoleParams
from soar.actions.aws.iam_principal import Principal, PrincipalParams
from soar.actions.aws.iam_quarantine import DENY_ALL, QUARANTINE
from soar.actions.aws.organizations_deny import QUARANTINED
from soar.actions.aws.setting import Found, Said, Setting
from soar.actions.contract import ActionContext, StateBefore, action
from soar.model.base import JsonObject, canonical_json
from soar.model.terms import Phase, Risk

__all__ = ["MarkQuarantined", "QuarantineRole"]


class RolePolicyBefore(StateBefore):
    """The inline policy of our name; None: there is none."""

    policy: JsonObject | None = Field(title=f"inline policy {QUARANTINE}")


@action(
    "aws.iam.quarantine_role",
    risk=Risk.DISRUPTIVE,
    phase=Phase.CONTAINMENT,
    permissions=(
        "iam:GetRole",
        "iam:GetRolePolicy",
        "iam:ListInstanceProfilesForRole",
        "iam:PutRolePolicy",
        "iam:DeleteRolePolicy",
        "sts:GetCallerIdentity",
    ),
    d3fend="D3-AL",
)
class QuarantineRole(Setting[RoleParams, RolePolicyBefore]):
    """Deny everything to a role by the inline policy IR-Quarantine.

    An explicit deny wins over every grant. Other than `aws.iam.revoke_role_sessions`, it also hits the sessions that
    are made afterwards: whoever can assume the role again has nothing of it.

    Pre-condition: the role exists, and is neither this worker's own, nor a break-glass role, nor service-linked, nor
    one of IAM Identity Center, nor tagged `soar:protected`. Denied everything by that policy already: nothing is done.

    Verified by reading the policy back: it is exactly the one that was put.

    Undone by deleting the policy, or by putting back the one of the same name that was there before. It refuses if
    somebody changed it since.

    Pitfalls: everything that runs on the role stops, instances and functions that serve customers too. Resource
    policies that name a session of the role are denied as well; what other roles do is not. IAM takes some 3–4 s to
    let it take effect, in which an attacker who may change IAM can take it away again: see
    `aws.iam.mark_quarantined`.

    Example::

        - id: quarantine_role
          name: Deny everything to the role
          do: aws.iam.quarantine_role
          with:
            role_name: build
    """

    method = "iam:GetRolePolicy"

    def look(self, ctx: ActionContext, params: RoleParams) -> Found[RolePolicyBefore]:
        role = _role(ctx, params)
        return Found(
            target=role.target,
            state=RolePolicyBefore(policy=role.inline_policy(QUARANTINE)),
            facts=role.facts(),
        )

    def wanted(self, params: RoleParams, state: RolePolicyBefore) -> RolePolicyBefore:
        return RolePolicyBefore(policy=DENY_ALL)

    def guard(self, ctx: ActionContext, params: RoleParams, found: Found[RolePolicyBefore]) -> None:
        _role(ctx, params).ensure_may_change()

    def say(self, params: RoleParams, found: Found[RolePolicyBefore], then: RolePolicyBefore) -> Said:
        return Said(
            summary=f"Deny everything to role {params.role_name} by the inline policy {QUARANTINE}",
            hits=f"Whatever runs as role {params.role_name} stops, in every session of it.",
            undo=f"The former policy {QUARANTINE} is put back."
            if found.state.policy
            else f"The policy {QUARANTINE} is deleted.",
        )

    def write(
        self, ctx: ActionContext, params: RoleParams, now: RolePolicyBefore, then: RolePolicyBefore
    ) -> None:
        role = _role(ctx, params)
        if then.policy is None:
            role.delete_inline_policy(QUARANTINE)
        else:
            role.put_inline_policy(QUARANTINE, canonical_json(then.policy))


def _role(ctx: ActionContext, params: RoleParams) -> Principal:
    return Principal(ctx, PrincipalParams(type="role", name=params.role_name))


class MarkBefore(StateBefore):
    """The tag's value; None: there is no such tag."""

    mark: str | None = Field(title=f"tag {QUARANTINED}")


@action(
    "aws.iam.mark_quarantined",
    risk=Risk.REVERSIBLE,
    phase=Phase.CONTAINMENT,
    permissions=(
        "iam:GetUser",
        "iam:GetRole",
        "iam:TagUser",
        "iam:TagRole",
        "iam:UntagUser",
        "iam:UntagRole",
        "sts:GetCallerIdentity",
    ),
)
class MarkQuarantined(Setting[PrincipalParams, MarkBefore]):
    """Tag a user or a role as quarantined, so that the standing guard holds it.

    Where the service control policy of `aws.org.install_guard` hangs, whoever carries the tag `soar:quarantined` may
    do nothing, and nobody but the exempt roles may change its policies, keys, groups or trust, or remove the tag. It
    closes the seconds in which an attacker takes an IAM policy off again. Put it before the quarantine itself. Where no
    guard hangs, it only marks.

    Pre-condition: the user or role exists, and is neither this worker's own, nor break-glass, nor service-linked, nor
    tagged `soar:protected`. Tagged already, whatever for: nothing is done.

    Verified by reading the tags.

    Undone by removing the tag. It refuses if somebody gave it another value since.

    Pitfalls: a guard takes some minutes to be in force when it is new. Tags of a role count for sessions of it from
    their next call on. Automation that resets tags removes it; the guard keeps it from doing so.

    Example::

        - id: mark
          name: Let the guard hold the user
          do: aws.iam.mark_quarantined
          with:
            type: user
            name: "{{ alert.actor.name }}"
    """

    method = "iam:GetUser, iam:GetRole"

    def look(self, ctx: ActionContext, params: PrincipalParams) -> Found[MarkBefore]:
        target = Principal(ctx, params).target
        return Found(target=target, state=MarkBefore(mark=target.tags.get(QUARANTINED)))

    def wanted(self, params: PrincipalParams, state: MarkBefore) -> MarkBefore:
        return MarkBefore(mark=state.mark or "yes")

    def guard(self, ctx: ActionContext, params: PrincipalParams, found: Found[MarkBefore]) -> None:
        Principal(ctx, params).ensure_may_change()

    def say(self, params: PrincipalParams, found: Found[MarkBefore], then: MarkBefore) -> Said:
        return Said(
            summary=f"Mark {params.type} {params.name} as quarantined by the tag {QUARANTINED}",
            hits=f"Where the standing guard hangs, {params.type} {params.name} may do nothing, and stays as it is.",
            undo=f"The tag {QUARANTINED} is removed.",
        )

    def write(self, ctx: ActionContext, params: PrincipalParams, now: MarkBefore, then: MarkBefore) -> None:
        principal = Principal(ctx, params)
        if then.mark is None:
            principal.untag(QUARANTINED)
        else:
            principal.tag(QUARANTINED, then.mark)
