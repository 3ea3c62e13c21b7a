"""One piece of work in many accounts and regions at once, where one that is denied does not sink the others."""

from __future__ import annotations

import contextvars
import dataclasses
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Annotated, Generic, TypeVar

from botocore.exceptions import ClientError
from pydantic import BaseModel, Field

from soar.actions.aws.access import AwsAccess, aws_errors
from soar.actions.contract import ActionContext, Params
from soar.actions.errors import ActionError, PermissionMissing, Refused, TargetGone, Throttled, Unavailable

__all__ = [
    "Missed",
    "OrgParams",
    "Place",
    "Reached",
    "as_error",
    "at_places",
    "everywhere",
    "list_accounts",
    "list_places",
    "told",
]

AT_ONCE = 8
"""Places that are worked on at the same time."""
TRIES = 3
"""How often one place is tried when its service is busy or away, before it counts as not reached."""
PAUSES = (1.0, 4.0)
"""Seconds before the second and the third try, where the service names none."""
LONGEST_PAUSE = 20.0

T = TypeVar("T")


class OrgParams(Params):
    """Where an org-wide action goes."""

    accounts: tuple[Annotated[str, Field(pattern=r"^[0-9]{12}$")], ...] = Field(
        default=(),
        max_length=10_000,
        description="only these accounts; default: SOAR_AWS_ACCOUNTS, else all active ones of the organisation",
    )
    regions: tuple[Annotated[str, Field(pattern=r"^[a-z]{2}[a-z0-9-]{1,30}$")], ...] = Field(
        default=(),
        max_length=100,
        description="only these regions; default: those that are enabled in each account",
    )
    at_once: int = Field(
        default=AT_ONCE, ge=1, le=32, description="places that are worked on at the same time"
    )


@dataclass(frozen=True, order=True)
class Place:
    """An account and a region. The account is empty for the worker's own, the region for all of an account's."""

    account: str
    region: str = ""

    def __str__(self) -> str:
        return f"{self.account or 'own account'}/{self.region or 'all regions'}"


class Missed(BaseModel):
    """A place that was not reached.

    Args:
        region: Empty: none of the account's.
        type: The error's name, `PermissionMissing`; `Cancelled` and `OutOfTime`: it was not tried.
        retryable: Another try may do.
    """

    account: str
    region: str
    type: str
    reason: str
    hint: str = ""
    permission: str = ""
    retryable: bool = False

    @property
    def place(self) -> Place:
        """Where."""
        return Place(self.account, self.region)


@dataclass(frozen=True)
class Reached(Generic[T]):
    """What came of it, both in the order of the places.

    Args:
        found: Each place that was reached, and what its work returned.
        missed: The others, with why.
    """

    found: tuple[tuple[Place, T], ...] = ()
    missed: tuple[Missed, ...] = ()


def everywhere(
    ctx: ActionContext,
    accounts: Iterable[str],
    regions: Iterable[str],
    work: Callable[[ActionContext], T],
    *,
    at_once: int = AT_ONCE,
    within: float | None = None,
) -> Reached[T]:
    """Do work in every region of every account.

    Args:
        accounts: Each is one of `list_accounts`, or empty for the worker's own.
        regions: The same for all accounts.
        work: Gets a context of its own for each account and region. See `at_places`.
    """
    accounts, regions = tuple(dict.fromkeys(accounts)), tuple(dict.fromkeys(regions))
    places = [Place(a, r) for a in accounts for r in regions]
    return at_places(ctx, places, work, at_once=at_once, within=within)


def at_places(
    ctx: ActionContext,
    places: Sequence[Place],
    work: Callable[[ActionContext], T],
    *,
    at_once: int = AT_ONCE,
    within: float | None = None,
) -> Reached[T]:
    """Do work in each of these places, in threads.

    A place that is throttled or away is tried some times. One that then still fails is told in the result and does
    not stop the others. Once the step is cancelled, no further place is begun, and those that are begun are brought
    to their end.

    Args:
        work: Gets a context of its own, with the account and the region. Evidence that it keeps is the step's.
        at_once: Places at the same time.
        within: Seconds after which no further place is begun.

    Raises:
        Exception: An error that is neither ours nor AWS's, as it came; no further place is begun then.
    """
    contexts = [_context_for(ctx, place) for place in places]
    until = time.monotonic() + within if within is not None else float("inf")
    stop = threading.Event()

    def one(place: Place, own: ActionContext) -> T | Missed:
        if stop.is_set() or ctx.cancelled.is_set():
            return _not_tried(place, "Cancelled", "the step was cancelled before it was tried")
        if time.monotonic() > until:
            return _not_tried(place, "OutOfTime", f"it was not tried within {within:.0f} s")
        return _tried(place, own, work)

    with ThreadPoolExecutor(max(1, min(at_once, len(places))), thread_name_prefix="place") as pool:
        running: list[Future[T | Missed]] = [
            # What is known of the activity (logging, heartbeats) is known in its threads as well.
            pool.submit(contextvars.copy_context().run, one, place, own)
            for place, own in zip(places, contexts, strict=True)
        ]
        _watch(ctx, running, stop)
    results = [future.result() for future in running]
    found: list[tuple[Place, T]] = []
    missed: list[Missed] = []
    for place, own, result in zip(places, contexts, results, strict=True):
        ctx.evidence.extend(own.evidence)
        if isinstance(result, Missed):
            missed.append(result)
        else:
            found.append((place, result))
    return Reached(tuple(found), tuple(missed))


def _context_for(ctx: ActionContext, place: Place) -> ActionContext:
    """A context of its own, but for the moment of cancelling, which is the step's."""
    return dataclasses.replace(ctx, account=place.account, region=place.region, evidence=[], progress="")


def _watch(ctx: ActionContext, running: list[Future[T | Missed]], stop: threading.Event) -> None:
    """Tell how far it is until all are done; no further place is begun after an error that nobody expected."""
    missed = 0
    for done, future in enumerate(as_completed(running), start=1):
        if future.exception() is not None:
            stop.set()
        elif isinstance(future.result(), Missed):
            missed += 1
        ctx.report(f"{done} of {len(running)} places done" + (f", {missed} not reached" if missed else ""))


def _tried(place: Place, own: ActionContext, work: Callable[[ActionContext], T]) -> T | Missed:
    for pause in (*PAUSES[: TRIES - 1], None):
        try:
            return work(own)
        except (Throttled, Unavailable) as error:
            after = error.retry_after if isinstance(error, Throttled) else None
            if pause is None or not own.wait(min(after or pause, LONGEST_PAUSE)):
                return _missed(place, error)
            own.evidence.clear()
        except ActionError as error:
            return _missed(place, error)
        except ClientError as error:
            return _not_tried(place, "Unexpected", str(error)[:1000])
    raise AssertionError("the last try returns")


def _missed(place: Place, error: ActionError) -> Missed:
    return Missed(
        account=place.account,
        region=place.region,
        type=type(error).__name__,
        reason=error.message[:1000],
        hint=error.hint,
        permission=error.permission if isinstance(error, PermissionMissing) else "",
        retryable=error.retryable,
    )


def _not_tried(place: Place, type_: str, reason: str) -> Missed:
    return Missed(account=place.account, region=place.region, type=type_, reason=reason, retryable=True)


def list_accounts(ctx: ActionContext, given: Sequence[str] = ()) -> tuple[str, ...]:
    """The accounts that org-wide work goes through: those given, else those set up, else the organisation's.

    Returns:
        Account numbers, in order. Of the organisation's, only those that are active.

    Raises:
        PermissionMissing: The worker may not list the organisation's accounts.
        Refused: There is no organisation.
    """
    access = ctx.service(AwsAccess)
    if given or access.accounts:
        return tuple(sorted(set(given or access.accounts)))
    found: list[str] = []
    try:
        # The organisation is asked by the worker's own credentials: only its management account and those to which it
        # gave this task know it.
        with aws_errors("organizations:ListAccounts"):
            for page in access.client("organizations").get_paginator("list_accounts").paginate():
                found += [
                    a["Id"] for a in page["Accounts"] if (a.get("State") or a.get("Status")) == "ACTIVE"
                ]
                ctx.report(f"{len(found)} active accounts listed")
    except PermissionMissing as error:
        raise PermissionMissing(
            error.message,
            permission=error.permission,
            hint="run the aws worker in the organisation's management account or in one that it registered as a "
            "delegated administrator, and allow it organizations:ListAccounts; or set SOAR_AWS_ACCOUNTS",
        ) from error
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") != "AWSOrganizationsNotInUseException":
            raise
    if not found:
        raise Refused(
            "the worker's account belongs to no organisation, so nobody can say which accounts there are",
            hint="name them: in the step's `accounts`, or in SOAR_AWS_ACCOUNTS",
        )
    return tuple(sorted(found))


def list_places(ctx: ActionContext, params: OrgParams) -> tuple[tuple[Place, ...], tuple[Missed, ...]]:
    """Every account and region that org-wide work goes to.

    Returns:
        The places; and the accounts of which nobody could say which regions they have.
    """
    accounts = list_accounts(ctx, params.accounts)
    if params.regions:
        return tuple(Place(a, r) for a in accounts for r in sorted(set(params.regions))), ()
    allowed = ctx.service(AwsAccess).regions
    asked = everywhere(ctx, accounts, [""], _enabled_regions, at_once=params.at_once)
    return (
        tuple(
            Place(place.account, region)
            for place, regions in asked.found
            for region in regions
            if not allowed or region in allowed
        ),
        asked.missed,
    )


def _enabled_regions(ctx: ActionContext) -> tuple[str, ...]:
    access = ctx.service(AwsAccess)
    with aws_errors("ec2:DescribeRegions"):
        ec2 = access.client("ec2", account=ctx.account, region=ctx.region, incident=ctx.incident_id)
        return tuple(sorted(r["RegionName"] for r in ec2.describe_regions(AllRegions=False)["Regions"]))


def as_error(what: str, missed: Sequence[Missed]) -> ActionError:
    """The one error that stands for places that were not reached: it is tried again only if that may help with all.

    Args:
        what: What could not be done, `the addresses are still in IP set bad`.
    """
    message = f"{what}: {told(missed)}"
    last = next((m for m in missed if not m.retryable), None)
    if last is None:
        return Unavailable(message, hint="the step tries again")
    if last.permission:
        return PermissionMissing(message, permission=last.permission, hint=last.hint)
    kind = TargetGone if last.type == "TargetGone" else Refused
    return kind(message, hint=last.hint or "see to each of these places, then retry the step")


def told(missed: Sequence[Missed], *, most: int = 10) -> str:
    """Places that were not reached, in words: those with one reason together.

    Args:
        most: Reasons that are told; of the rest, only how many there are.
    """
    # Messages name the account that they are about; without it, the same reason is seen to be the same.
    by_reason: dict[str, list[str]] = {}
    for m in missed:
        reason = m.reason.replace(m.account, "…") if m.account else m.reason
        by_reason.setdefault(f"{m.type}: {reason[:200]}", []).append(str(m.place))
    ordered = sorted(by_reason.items(), key=lambda item: (-len(item[1]), item[0]))
    parts = [
        f"{', '.join(places[:5])}{f' and {len(places) - 5} more' if len(places) > 5 else ''} ({reason})"
        for reason, places in ordered[:most]
    ]
    rest = sum(len(places) for _, places in ordered[most:])
    return "; ".join(parts) + (f"; and {rest} more" if rest else "")
