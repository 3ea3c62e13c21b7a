"""What an access key did in all accounts and regions of an organisation."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from datetime import timedelta

from pydantic import BaseModel, Field

from soar.actions.aws.access import AwsAccess
from soar.actions.aws.cloudtrail import CreatedKey, Events, SearchParams, search_events
from soar.actions.aws.fanout import Missed, OrgParams, Place, as_error, at_places, list_places, told
from soar.actions.contract import ActionContext, action
from soar.actions.errors import BadInput
from soar.model.base import UtcTime
from soar.model.terms import Phase, Risk

__all__ = ["search_key_activity"]

WITHIN = 900.0
"""Seconds after which no further place is begun."""
MOST_TOLD = 200
"""Entries of a list or a count that the result holds; the evidence has all events."""
BY_TRAIL = "trail log files"


class OrgSearchParams(OrgParams):
    """Which key, from when, and where."""

    access_key_id: str = Field(pattern=r"^[A-Z0-9]{16,128}$", description="events signed with this key")
    since: UtcTime | None = Field(
        default=None, description="from this moment; default: `lookback_hours` before `until`"
    )
    until: UtcTime | None = Field(default=None, description="up to this moment; default: now")
    lookback_hours: float = Field(default=24, gt=0, le=24 * 366, description="hours to look back")
    limit: int = Field(default=500, ge=1, le=20000, description="events at most in one account and region")


class PlaceSearched(BaseModel):
    """An account and region in which the key did something, or of which not all was read.

    Args:
        region: Where it was asked; log files of a trail tell of all regions of the account.
        way: `LookupEvents` or `trail log files`.
        cut: There is more than was read.
    """

    account: str
    region: str
    way: str
    events: int
    cut: bool
    first_seen: UtcTime | None = None
    last_seen: UtcTime | None = None


class KeyActivity(BaseModel):
    """What was found, all places together.

    Args:
        complete: Every place was reached, and nothing was cut: what is not here did not happen (as far as CloudTrail
            tells, and minutes late).
        cut: In a place there is more than was read, or a list here is shortened.
        searched: Accounts and regions that were searched.
        places: Those with events, or with more than was read.
        not_reached: Those that were not searched, with why; `not_reached_count` is how many there are in all.
        by_name: Events by `service:Event`, most frequent first; `source_ips` and `errors` likewise.
        created_access_keys: Keys that were made with this one; users, roles and sessions likewise.
    """

    summary: str
    access_key_id: str
    since: UtcTime
    until: UtcTime
    complete: bool
    cut: bool
    searched: int
    places: list[PlaceSearched]
    not_reached: list[Missed]
    not_reached_count: int
    events: int
    by_name: dict[str, int]
    source_ips: dict[str, int]
    errors: dict[str, int]
    user_agents: list[str]
    regions: list[str]
    first_seen: UtcTime | None = None
    last_seen: UtcTime | None = None
    created_access_keys: list[CreatedKey] = []
    created_users: list[str] = []
    created_roles: list[str] = []
    assumed_roles: list[str] = []


@action(
    "aws.org.search_key_activity",
    risk=Risk.READ,
    phase=Phase.IDENTIFICATION,
    permissions=(
        "organizations:ListAccounts",
        "ec2:DescribeRegions",
        "cloudtrail:LookupEvents",
        "cloudtrail:DescribeTrails",
        "s3:ListBucket",
        "s3:GetObject",
        "sts:GetCallerIdentity",
    ),
    plan_timeout=2400,
)
def search_key_activity(ctx: ActionContext, params: OrgSearchParams) -> KeyActivity:
    """Search CloudTrail in all accounts and regions for what an access key did.

    Does what `aws.cloudtrail.search_events` does in each account and region, several at once. An account whose trail's
    log files are read instead of asking LookupEvents is searched once: they tell of all its regions. The events found
    are kept as evidence, each account and region by itself.

    Pre-condition: the worker may list the organisation's accounts, or they are named; the responder role is in each of
    them. Accounts that deny it are told in `not_reached` and do not hold up the others; if none at all can be
    searched, the step fails. Nothing is changed.

    Pitfalls: only `complete: true` says that nothing else was done. LookupEvents takes two calls a second in each
    account and region: with many pages of events this takes minutes, and after a quarter of an hour no further place
    is begun (told in `not_reached`). A key belongs to one account; in others it shows up only by what it did there
    directly, while roles that it took on act under keys of their own: follow `assumed_roles`. Events come up to 15
    minutes late.

    Example::

        - id: search_everywhere
          name: What did the key do, anywhere?
          do: aws.org.search_key_activity
          with:
            access_key_id: "{{ alert.actor.access_key_id }}"
            lookback_hours: 72
    """
    until = params.until or ctx.now
    since = params.since or until - timedelta(hours=params.lookback_hours)
    if since >= until:
        raise BadInput(f"since ({since:%Y-%m-%d %H:%M}) is not before until ({until:%Y-%m-%d %H:%M})")
    search = SearchParams(
        access_key_id=params.access_key_id, since=since, until=until, limit=params.limit, lookback_hours=1
    )
    end = time.monotonic() + WITHIN
    places, missed = list_places(ctx, params)
    first, rest = _first_of_each(places, ctx.service(AwsAccess).default_region)

    def work(own: ActionContext) -> Events:
        found = search_events(own, search)
        name = f"cloudtrail-events-{own.account}-{own.region}.json"
        own.evidence[:] = [e.model_copy(update={"name": name}) for e in own.evidence if found.events]
        return found

    def left() -> float:
        return max(0.0, end - time.monotonic())

    # The first region of an account shows whether its log files are read: they tell of all its regions at once.
    begun = at_places(ctx, first, work, at_once=params.at_once, within=left())
    whole = {place.account for place, found in begun.found if found.way == BY_TRAIL}
    more = at_places(
        ctx, [p for p in rest if p.account not in whole], work, at_once=params.at_once, within=left()
    )
    found = sorted([*begun.found, *more.found], key=lambda pair: pair[0])
    not_reached = [*missed, *begun.missed, *more.missed]
    if not found:
        raise as_error("no account could be searched", not_reached)
    return _together(params.access_key_id, (since, until), found, not_reached)


def _first_of_each(places: Iterable[Place], preferred: str) -> tuple[list[Place], list[Place]]:
    """One region of each account, and all others."""
    by_account: dict[str, list[Place]] = {}
    for place in places:
        by_account.setdefault(place.account, []).append(place)
    first = [min(ps, key=lambda p: (p.region != preferred, p.region)) for ps in by_account.values()]
    return first, [p for ps in by_account.values() for p in ps if p not in first]


def _together(
    key: str, time_: tuple[UtcTime, UtcTime], found: list[tuple[Place, Events]], missed: list[Missed]
) -> KeyActivity:
    all_ = [events for _, events in found]
    by_name, ips = _sum(e.by_name for e in all_), _sum(e.source_ips for e in all_)
    errors = _sum(e.errors for e in all_)
    lists = {
        name: sorted({str(value) for e in all_ for value in getattr(e, name)})
        for name in ("user_agents", "regions", "created_users", "created_roles", "assumed_roles")
    }
    keys = [k for e in all_ for k in e.created_access_keys]
    shown = [
        PlaceSearched(
            account=p.account, region=p.region, **e.model_dump(include=set(PlaceSearched.model_fields))
        )
        for p, e in found
        if e.events or e.cut
    ]
    count = sum(e.events for e in all_)
    cut_in = sum(e.cut for e in all_)
    short = any(len(part) > MOST_TOLD for part in (by_name, ips, errors, *lists.values(), keys, shown))
    summary = f"{count}{' or more' if cut_in else ''} event(s) in {sum(bool(e.events) for e in all_)} of "
    summary += f"{len(found)} places searched"
    if cut_in:
        summary += f"; in {cut_in} there is more than was read"
    if missed:
        summary += f"; {len(missed)} not reached: {told(missed, most=3)}"
    return KeyActivity(
        summary=summary[:2000],
        access_key_id=key,
        since=time_[0],
        until=time_[1],
        complete=not missed and not cut_in,
        cut=bool(cut_in) or short,
        searched=len(found),
        places=shown[:MOST_TOLD],
        not_reached=missed[:MOST_TOLD],
        not_reached_count=len(missed),
        events=count,
        by_name=_most(by_name),
        source_ips=_most(ips),
        errors=_most(errors),
        first_seen=min((e.first_seen for e in all_ if e.first_seen), default=None),
        last_seen=max((e.last_seen for e in all_ if e.last_seen), default=None),
        created_access_keys=keys[:MOST_TOLD],
        **{name: values[:MOST_TOLD] for name, values in lists.items()},
    )


def _sum(counts: Iterable[dict[str, int]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for count in counts:
        total.update(count)
    return total


def _most(total: Counter[str]) -> dict[str, int]:
    return dict(sorted(total.items(), key=lambda item: (-item[1], item[0]))[:MOST_TOLD])
