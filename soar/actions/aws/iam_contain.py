"""Mark users and roles for the standing guard, without a policy of ours."""

from __future__ import annotations

from pydantic import Field

from soar.actions.aws.iam_principal import Principal, PrincipalParams
from soar.actions.aws.organizations_deny import QUARANTINED
from soar.actions.aws.setting import Found, Said, Setting
from soar.actions.contract import ActionContext, StateBefore, action
from soar.model.terms import Phase, Risk

__all__ = ["MarkQuarantined"]


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
    closes the seconds in which an attacker takes an IAM policy off again. `aws.iam.quarantine_user` and
    `aws.iam.quarantine_role` set the tag themselves; this step is for whom no other policy of ours is put on, or no
    longer fits. Where no guard hangs, it only marks.

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
