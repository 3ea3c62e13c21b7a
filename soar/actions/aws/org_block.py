"""Block addresses in front of all applications of an organisation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeVar

from pydantic import Field

from soar.actions.aws.addresses import BlockParams, guarded
from soar.actions.aws.fanout import (
    Missed,
    OrgParams,
    Place,
    Reached,
    as_error,
    at_places,
    list_accounts,
    list_places,
    told,
)
from soar.actions.aws.waf import AddedToSet, BlockIps, BlockIpsParams
from soar.actions.contract import Action, ActionContext, Draft, Planned, StateBefore, action
from soar.actions.errors import BadInput, Refused, TargetGone, Throttled, Unavailable
from soar.model.change import BlastRadius, Change, Result, Verification
from soar.model.terms import Phase, Risk

__all__ = ["BlockIpsEverywhere"]

MOST = 10_000
"""Addresses times sets in one plan: more would not fit into what a workflow carries."""
WITHIN = 480.0
"""Seconds after which no further place is looked at for a plan."""
FACTS = 30
"""Web ACLs that a plan names."""

TRIES = 3
"""From this try on, sets that are still busy or away are told in the result instead of being tried anew."""

T = TypeVar("T")


class OrgBlockParams(OrgParams, BlockParams):
    """Which IP sets take the addresses.

    Args:
        ip_set: The name that the set has in each account and region.
        scope: Of `CLOUDFRONT` sets, an account has one of a name, whatever `regions` says.
    """

    ip_set: str = Field(pattern=r"^[\w-]{1,128}$")
    scope: Literal["REGIONAL", "CLOUDFRONT"] = "REGIONAL"


class SetBefore(StateBefore):
    """A set that gets addresses, and those that were not in it."""

    account: str
    region: str
    ip_set_id: str
    added: tuple[str, ...]

    @property
    def place(self) -> Place:
        """Where it is."""
        return Place(self.account, self.region)


class AddedEverywhere(StateBefore):
    """All of them: what undo takes out again."""

    sets: tuple[SetBefore, ...]


@action(
    "aws.org.block_ips",
    risk=Risk.REVERSIBLE,
    phase=Phase.CONTAINMENT,
    permissions=(
        "organizations:ListAccounts",
        "ec2:DescribeRegions",
        "sts:GetCallerIdentity",
        "wafv2:ListIPSets",
        "wafv2:GetIPSet",
        "wafv2:UpdateIPSet",
        "wafv2:ListWebACLs",
        "wafv2:GetWebACL",
        "wafv2:ListRuleGroups",
        "wafv2:GetRuleGroup",
    ),
    d3fend="D3-ITF",
    react="RA3101",
    openc2="deny ipv4_net",
    plan_timeout=900,
    apply_timeout=900,
    verify_timeout=600,
)
class BlockIpsEverywhere(Action[OrgBlockParams, AddedEverywhere]):
    """Add addresses to the IP set of one name in every account and region that has it.

    Does what `aws.waf.block_ips` does in each account and region, several at once. The plan lists every set. Accounts
    and regions without the set are left alone; those that could not be looked at are told in the plan's warnings.

    Pre-condition: at least one account has the set; the worker may list the organisation's accounts, or they are
    named; the responder role is in each of them. Ranges that touch `never_block`, private ones, and ones wider than
    /8 (IPv6: /16) are refused, and so are addresses of both versions in one step. Sets that have or cover the
    addresses already: nothing is done to them; sets of the other version are told as not reached.

    Verified by reading each set: each address that was added is in it. Sets that lack one, or cannot be read, are
    named.

    Undone by taking out of each set exactly the addresses that were added to it. If a set cannot be reached, the
    others are put right all the same, and the error names those that are left.

    Pitfalls: a set that got no address because its account denied it blocks nothing there: look at the warnings, and
    at what verification says. WAF takes one update a second in each account and region. If accounts join the
    organisation (or get such a set) while the addresses are blocked, undo takes the addresses out and then says that
    the recorded state was not found again. Many people may share one address: let it expire.

    Example::

        - id: block_everywhere
          name: Block the source in front of everything
          do: aws.org.block_ips
          with:
            ip_set: blocked-by-incident-response
            addresses: [203.0.113.7]
            never_block: [198.51.100.0/24]
    """

    def plan(self, ctx: ActionContext, params: OrgBlockParams) -> Draft[AddedEverywhere]:
        if len({n.version for n in guarded(params.addresses, params.never_block)}) > 1:
            raise BadInput(
                "an IP set holds either IPv4 or IPv6, and these addresses are of both",
                hint="block them in two steps, each with the name of a set of that version",
            )
        places, missed = _places(ctx, params)
        one = _one_set(params)
        looked = at_places(ctx, places, lambda own: _look(own, one), at_once=params.at_once, within=WITHIN)
        found = [(place, draft) for place, draft in looked.found if draft is not None]
        missed = (*missed, *looked.missed)
        if not found:
            if missed:
                raise as_error(f"no IP set {params.ip_set} was found", missed)
            raise TargetGone(
                f"none of {len(places)} accounts and regions has a {params.scope} IP set {params.ip_set}",
                hint="check the name and the scope; make a set and a rule that blocks by it",
            )
        sets = tuple(
            SetBefore(
                account=place.account,
                region=place.region,
                ip_set_id=draft.state.ip_set_id,
                added=draft.state.added,
            )
            for place, draft in found
            if draft.changes
        )
        _ensure_fits(sets)
        accounts = len({s.account for s in sets})
        facts = [
            f"{p}: {fact}" for p, draft in found for fact in draft.blast_radius.facts if "web ACL" in fact
        ]
        return Draft(
            summary=(
                f"Block {len(params.addresses)} address(es) by {len(sets)} IP set(s) {params.ip_set} in {accounts} "
                "account(s)"
                if sets
                else f"{len(found)} IP set(s) {params.ip_set} have all {len(params.addresses)} address(es) already"
            ),
            targets=tuple(target for _, draft in found for target in draft.targets),
            # A set is written by one call, so that it is as before or as wanted, whenever a try dies.
            changes=tuple(
                Change(
                    target=draft.targets[0].uid,
                    field="addresses",
                    before="not in the set",
                    after=f"in the set: {', '.join(draft.state.added)}",
                )
                for _, draft in found
                if draft.changes
            ),
            state=AddedEverywhere(sets=sets),
            blast_radius=BlastRadius(
                summary="Requests from these addresses get what the rules say that use the sets.",
                facts=(*facts[:FACTS], *([f"and {len(facts) - FACTS} more"] if len(facts) > FACTS else [])),
            )
            if sets
            else BlastRadius(),
            warnings=_warnings(params, found, missed),
            undo="From each set, exactly the addresses that were added to it are taken out.",
        )

    def apply(self, ctx: ActionContext, planned: Planned[OrgBlockParams, AddedEverywhere]) -> Result:
        reached = _in_each(ctx, planned, BlockIps().apply)
        if reached.missed and not reached.found:
            error = as_error(f"no IP set {planned.params.ip_set} was written", reached.missed)
            error.nothing_done = all(m.type == "Cancelled" for m in reached.missed)
            raise error
        busy = [m for m in reached.missed if m.type in (Throttled.__name__, Unavailable.__name__)]
        if busy and ctx.attempt < TRIES:
            raise as_error(f"{len(reached.found)} IP set(s) have the addresses, and others have not", busy)
        summary = f"{len(reached.found)} IP set(s) {planned.params.ip_set} have the addresses"
        if reached.missed:
            summary += f"; {len(reached.missed)} have not: {told(reached.missed)}"
        return Result(
            summary=summary[:2000],
            data={
                "blocked_in": [str(place) for place, _ in reached.found],
                "not_blocked_in": [m.model_dump(mode="json") for m in reached.missed],
            },
        )

    def verify(self, ctx: ActionContext, planned: Planned[OrgBlockParams, AddedEverywhere]) -> Verification:
        reached = _in_each(ctx, planned, BlockIps().verify)
        lacking = [f"{place}: {seen.seen}" for place, seen in reached.found if not seen.verified]
        if reached.missed:
            lacking.append(f"could not be read: {told(reached.missed)}")
        sets = f"of {len(planned.state.sets)} IP set(s) {planned.params.ip_set}"
        return Verification(
            verified=not lacking,
            seen=f"{sets}, {len(lacking)} lack an address or could not be read: {'; '.join(lacking)}"[:2000]
            if lacking
            else f"all {sets} have the addresses",
            method="wafv2:GetIPSet",
        )

    def undo(self, ctx: ActionContext, planned: Planned[OrgBlockParams, AddedEverywhere]) -> Result:
        reached = _in_each(ctx, planned, BlockIps().undo)
        if reached.missed:
            raise as_error(
                f"the addresses are out of {len(reached.found)} IP set(s) {planned.params.ip_set}, and may still be in "
                f"{len(reached.missed)}",
                reached.missed,
            )
        return Result(
            summary=f"the addresses are out of {len(reached.found)} IP set(s) {planned.params.ip_set}"
        )


def _places(ctx: ActionContext, params: OrgBlockParams) -> tuple[tuple[Place, ...], tuple[Missed, ...]]:
    if params.scope == "CLOUDFRONT":
        return tuple(Place(a, "us-east-1") for a in list_accounts(ctx, params.accounts)), ()
    return list_places(ctx, params)


def _one_set(params: OrgBlockParams, id_: str = "") -> BlockIpsParams:
    return BlockIpsParams(
        addresses=params.addresses,
        never_block=params.never_block,
        ip_set=params.ip_set,
        ip_set_id=id_,
        scope=params.scope,
    )


def _look(own: ActionContext, params: BlockIpsParams) -> Draft[AddedToSet] | None:
    """The plan for one set; None: there is none of that name."""
    try:
        return BlockIps().plan(own, params)
    except TargetGone:
        return None


def _ensure_fits(sets: tuple[SetBefore, ...]) -> None:
    size = sum(len(s.added) for s in sets)
    if size > MOST:
        raise Refused(
            f"{size} additions to {len(sets)} sets are more than one plan holds ({MOST})",
            hint="name fewer addresses, or do it in several steps with some of the `accounts` each",
        )


def _warnings(
    params: OrgBlockParams, found: list[tuple[Place, Draft[AddedToSet]]], missed: tuple[Missed, ...]
) -> tuple[str, ...]:
    idle = [str(place) for place, draft in found if draft.warnings]
    unused = f"{', '.join(idle[:10])}{f' and {len(idle) - 10} more' if len(idle) > 10 else ''}"
    return (
        *([f"No web ACL uses IP set {params.ip_set} in {unused}: it blocks nothing there."] if idle else []),
        *([f"Not looked at, so nothing is blocked there: {told(missed)}"] if missed else []),
    )


def _in_each(
    ctx: ActionContext,
    planned: Planned[OrgBlockParams, AddedEverywhere],
    work: Callable[[ActionContext, Planned[BlockIpsParams, AddedToSet]], T],
) -> Reached[T]:
    """Do something to each set of a plan."""
    sets = {s.place: s for s in planned.state.sets}

    def one(own: ActionContext) -> T:
        mine = sets[Place(own.account, own.region)]
        return work(
            own,
            Planned(
                plan=planned.plan,
                params=_one_set(planned.params, mine.ip_set_id),
                state=AddedToSet(ip_set_id=mine.ip_set_id, added=mine.added),
            ),
        )

    return at_places(ctx, list(sets), one, at_once=planned.params.at_once)
