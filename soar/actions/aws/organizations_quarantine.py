"""Move an account to where an organization's policies let it do nothing."""

from __future__ import annotations

from pydantic import Field

from soar.actions.aws.access import client
from soar.actions.aws.organizations_common import (
    AccountId,
    OrgUnitId,
    account_target,
    attached_scps,
    ensure_not_management,
    find_unit,
    org_errors,
    path_of,
)
from soar.actions.aws.setting import Found, Said, Setting
from soar.actions.contract import ActionContext, Params, StateBefore, action
from soar.model.terms import Phase, Risk

__all__ = ["QuarantineAccount"]

ALLOWS_ALL = "p-FullAWSAccess"
"""The policy that AWS hangs on everything at first; it denies nothing."""


class QuarantineParams(Params):
    """Which account, and where to."""

    account_id: AccountId
    quarantine_ou: OrgUnitId


class ParentBefore(StateBefore):
    """Where the account is."""

    parent: str = Field(title="organizational unit")


@action(
    "aws.org.quarantine_account",
    risk=Risk.DISRUPTIVE,
    phase=Phase.CONTAINMENT,
    permissions=(
        "organizations:DescribeAccount",
        "organizations:DescribeOrganization",
        "organizations:DescribeOrganizationalUnit",
        "organizations:ListParents",
        "organizations:ListPoliciesForTarget",
        "organizations:ListTagsForResource",
        "organizations:MoveAccount",
    ),
)
class QuarantineAccount(Setting[QuarantineParams, ParentBefore]):
    """Move an account into the organizational unit for quarantine.

    The policies of that unit bind every principal of the account, its root user too. What hangs on the account itself
    stays on it.

    Pre-condition: the account is a member, not the management account, and not tagged `soar:protected`; the unit
    exists. There already: nothing is done.

    Verified by reading the account's parent: it is the unit.

    Undone by moving it back to the recorded parent. It refuses if somebody moved it since.

    Pitfalls: the whole account is hit, customers' traffic included where it needs calls to AWS. Policies of its former
    units no longer bind it: the unit for quarantine must be the stricter one, and must let the responder's role
    through. Service-linked roles are bound by no such policy. Stacks and controls that are rolled out by unit may
    remove what they had rolled out to it. It takes effect within some minutes.

    Example::

        - id: quarantine_account
          name: Put the account into quarantine
          do: aws.org.quarantine_account
          with:
            account_id: "111122223333"
            quarantine_ou: ou-ab12-quarantine1
    """

    method = "organizations:ListParents"

    def look(self, ctx: ActionContext, params: QuarantineParams) -> Found[ParentBefore]:
        target = account_target(ctx, params.account_id)
        path = path_of(ctx, params.account_id)
        bound = _denying(ctx, *(entity for entity, _ in path))
        there = _denying(ctx, params.quarantine_ou)
        return Found(
            target=target,
            state=ParentBefore(parent=path[-1][0]),
            facts=(
                f"it is in {'/'.join(name for _, name in path)}",
                f"policies of its units: {', '.join(bound[:20])}"
                if bound
                else "no policy of its units binds it",
                f"policies on {params.quarantine_ou}: {', '.join(there[:20])}"
                if there
                else f"no policy hangs on {params.quarantine_ou} itself: it may deny nothing",
            ),
        )

    def wanted(self, params: QuarantineParams, state: ParentBefore) -> ParentBefore:
        return ParentBefore(parent=params.quarantine_ou)

    def guard(self, ctx: ActionContext, params: QuarantineParams, found: Found[ParentBefore]) -> None:
        ensure_not_management(ctx, params.account_id)
        find_unit(ctx, params.quarantine_ou)

    def say(self, params: QuarantineParams, found: Found[ParentBefore], then: ParentBefore) -> Said:
        return Said(
            summary=f"Move account {found.target.name} into quarantine unit {params.quarantine_ou}",
            hits="Whatever runs in the account is bound by the policies of that unit, and no longer by those of its "
            "former units.",
            warnings=(
                f"What {params.quarantine_ou} denies depends on the policies on it and above it: read them before.",
            ),
            undo=f"It is moved back to {found.state.parent}.",
        )

    def write(
        self, ctx: ActionContext, params: QuarantineParams, now: ParentBefore, then: ParentBefore
    ) -> None:
        with org_errors("organizations:MoveAccount"):
            client(ctx, "organizations").move_account(
                AccountId=params.account_id, SourceParentId=now.parent, DestinationParentId=then.parent
            )


def _denying(ctx: ActionContext, *entities: str) -> list[str]:
    """The names of the policies on some units or the root that may deny something."""
    return [p["Name"] for entity in entities for p in attached_scps(ctx, entity) if p["Id"] != ALLOWS_ALL]
