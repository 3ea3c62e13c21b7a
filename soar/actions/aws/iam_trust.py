"""Let fewer principals assume a role."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field, model_validator

from soar.actions.aws.access import aws_errors, client
from soar.actions.aws.iam_common import RoleParams, ensure_role_may_change, get_role, role_facts, role_target
from soar.actions.aws.iam_trust_policy import (
    STS,
    covered,
    lets_in_by_exception,
    normal,
    only_principals,
    principals_of,
    without_principals,
)
from soar.actions.aws.setting import Found, Said, Setting
from soar.actions.contract import ActionContext, StateBefore, action
from soar.actions.errors import Refused
from soar.model.base import JsonObject, canonical_json
from soar.model.terms import Phase, Risk

__all__ = ["RestrictRoleTrust"]

Principal = Annotated[
    str,
    Field(
        pattern=r"^(\*|[0-9]{12}|[a-z0-9.-]+\.[a-z.]+|arn:aws[a-z-]*:(iam|sts)::[0-9]{12}:[A-Za-z0-9_+=,.@:/-]{1,512})$"
    ),
]


class TrustParams(RoleParams):
    """Which role, and who may assume it no longer: give one of the two lists."""

    remove: tuple[Principal, ...] = Field(
        default=(),
        max_length=50,
        description="whom to shut out: ARNs, account numbers, services (`ec2.amazonaws.com`), identity providers, `*`",
    )
    keep: tuple[Principal, ...] | None = Field(
        default=None, max_length=50, description="shut out everybody but these; an empty list: everybody"
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> TrustParams:
        if bool(self.remove) == (self.keep is not None):
            raise ValueError("give either `remove`, or `keep` (an empty list lets nobody in)")
        return self


class TrustBefore(StateBefore):
    """The trust policy, without principals that were deleted."""

    policy: JsonObject = Field(title="trust policy")


@dataclass(frozen=True, kw_only=True)
class FoundTrust(Found[TrustBefore]):
    """A role as it is now.

    Args:
        deleted: The ids of principals that the policy still names.
    """

    deleted: tuple[str, ...]


@action(
    "aws.iam.restrict_role_trust",
    risk=Risk.DISRUPTIVE,
    phase=Phase.CONTAINMENT,
    permissions=(
        "iam:GetRole",
        "iam:ListInstanceProfilesForRole",
        "iam:UpdateAssumeRolePolicy",
        "sts:GetCallerIdentity",
    ),
)
class RestrictRoleTrust(Setting[TrustParams, TrustBefore]):
    """Take principals out of a role's trust policy, so that they cannot assume it any more.

    `remove` shuts out those that are named. One that is let in without being named, by its whole account or by `*`, is
    denied by a statement of its own. `keep` shuts out everybody but those that are named; an empty list closes the role
    to everybody.

    Pre-condition: the role exists and is not this worker's own, not a break-glass role, not service-linked, not one of
    IAM Identity Center, not tagged `soar:protected`.

    Verified by reading the role: its trust policy is exactly the narrower one.

    Undone by writing the recorded trust policy. It refuses if somebody changed the policy since.

    Pitfalls: sessions that were made before live on: put `aws.iam.revoke_role_sessions` beside it. A service that
    is shut out (EC2, Lambda) loses the role when its credentials run out, and what runs on it breaks. Users and roles
    that were deleted since the policy was written appear as ids (`AIDA…`, `AROA…`) that match nobody and that IAM takes
    in no policy: they are left out of what is written and of what undo puts back, and the plan names them. An undo
    fails as well where a principal was deleted in between: write the rest of the recorded policy by hand then.

    Example::

        - id: close_trust
          name: Shut the attacker's account out of the role
          do: aws.iam.restrict_role_trust
          with:
            role_name: deploy
            remove: ["123456789012"]
    """

    method = "iam:GetRole"

    def look(self, ctx: ActionContext, params: TrustParams) -> Found[TrustBefore]:
        role = get_role(ctx, params.role_name)
        policy, gone = normal(role["AssumeRolePolicyDocument"])
        facts = (f"may be assumed by {', '.join(principals_of(policy)) or 'nobody'}",)
        return FoundTrust(
            target=role_target(role),
            state=TrustBefore(policy=policy),
            facts=facts + role_facts(ctx, role),
            deleted=gone,
        )

    def wanted(self, params: TrustParams, state: TrustBefore) -> TrustBefore:
        if params.keep is not None:
            return TrustBefore(policy=only_principals(state.policy, params.keep))
        return TrustBefore(policy=without_principals(state.policy, params.remove))

    def guard(self, ctx: ActionContext, params: TrustParams, found: Found[TrustBefore]) -> None:
        ensure_role_may_change(ctx, get_role(ctx, params.role_name))
        _ensure_expressible(params, found.state.policy)

    def say(self, params: TrustParams, found: Found[TrustBefore], then: TrustBefore) -> Said:
        out = sorted(set(principals_of(found.state.policy)) - set(principals_of(then.policy)))
        named = out or sorted(params.remove)
        warnings = ["Sessions of the role that exist live on; revoke them as well."]
        if isinstance(found, FoundTrust) and found.deleted:
            ids = ", ".join(found.deleted)
            warnings.append(
                f"The policy names principals that were deleted; they match nobody and do not come back: {ids}."
            )
        services = [p for p in out if p.endswith((".amazonaws.com", ".amazonaws.com.cn"))]
        if services:
            warnings.append(f"What runs on the role by {', '.join(services)} breaks.")
        return Said(
            summary=f"Let {', '.join(named)} no longer assume role {params.role_name}",
            hits=f"{', '.join(principals_of(then.policy)) or 'Nobody'} may assume role {params.role_name} afterwards.",
            warnings=tuple(warnings),
            undo="The recorded trust policy is written back.",
        )

    def write(self, ctx: ActionContext, params: TrustParams, now: TrustBefore, then: TrustBefore) -> None:
        with aws_errors("iam:UpdateAssumeRolePolicy"):
            client(ctx, "iam").update_assume_role_policy(
                RoleName=params.role_name, PolicyDocument=canonical_json(then.policy)
            )


def _ensure_expressible(params: TrustParams, policy: JsonObject) -> None:
    """Refuse what the narrower policy could not say.

    Raises:
        Refused: The policy lets in everybody but some, or a single session is to be shut out of a whole account.
    """
    if params.keep is not None and lets_in_by_exception(policy):
        raise Refused(
            f"the trust policy of role {params.role_name} lets in everybody but some (NotPrincipal)",
            hint="shut single principals out with `remove`, or write the policy by hand",
        )
    sessions = [p for p in params.remove if STS.match(p) and covered(policy, p)]
    if sessions:
        raise Refused(
            f"{', '.join(sessions)} is let into role {params.role_name} by its account: "
            "a single session cannot be shut out",
            hint="name the role of the session (arn:aws:iam::…:role/…) instead",
        )
