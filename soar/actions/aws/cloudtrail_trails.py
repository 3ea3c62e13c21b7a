"""Find trails and tell how they are: shared by what reads them and what restores them."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from soar.actions.aws.access import AwsAccess, aws_errors, client
from soar.actions.contract import ActionContext, Params, action
from soar.actions.errors import BadInput, TargetGone
from soar.model.base import JsonObject, UtcTime
from soar.model.terms import Phase, Risk

__all__ = [
    "DEFAULT_SELECTORS",
    "all_management",
    "at_home",
    "describe_trails",
    "event_selectors",
    "find_trail",
]

DEFAULT_SELECTORS: tuple[JsonObject, ...] = (
    {
        "ReadWriteType": "All",
        "IncludeManagementEvents": True,
        "DataResources": [],
        "ExcludeManagementEventSources": [],
    },
)
"""What a trail records that was never told otherwise: all management events."""


class TrailsParams(Params):
    """Which trails: all that the step's region sees, or one."""

    trail: str = Field(default="", max_length=300, description="only this one, by name or ARN; empty: all")


class TrailFacts(BaseModel):
    """One trail.

    Args:
        all_management_events: It records reads and writes of every service.
        problems: What keeps it from being a full record, in words.
    """

    arn: str
    name: str
    home_region: str
    bucket: str
    logging: bool
    multi_region: bool
    organization: bool
    log_file_validation: bool
    all_management_events: bool
    stopped_at: UtcTime | None = None
    last_delivery: UtcTime | None = None
    delivery_error: str = ""
    problems: list[str] = []


class Trails(BaseModel):
    """The trails, and how many of them record everything."""

    summary: str
    trails: list[TrailFacts]
    complete: int


def at_home(ctx: ActionContext, raw: dict[str, Any]) -> Any:
    """The client for a trail's home region: only there may it be changed."""
    return ctx.service(AwsAccess).client(
        "cloudtrail", account=ctx.account, region=raw["HomeRegion"], incident=ctx.incident_id
    )


def _all_trails(ctx: ActionContext) -> list[dict[str, Any]]:
    with aws_errors("cloudtrail:DescribeTrails"):
        found = client(ctx, "cloudtrail").describe_trails(includeShadowTrails=True)["trailList"]
    return sorted(found, key=lambda t: str(t["TrailARN"]))


def find_trail(ctx: ActionContext, trail: str) -> dict[str, Any]:
    """A trail as `cloudtrail:DescribeTrails` shows it.

    Args:
        trail: Its name or ARN.

    Raises:
        TargetGone: The step's region sees no such trail.
        BadInput: Several have the name.
    """
    found = [t for t in _all_trails(ctx) if trail in (t["Name"], t["TrailARN"])]
    if not found:
        raise TargetGone(
            f"there is no trail {trail} in this region",
            hint="check the name; a trail of one region is seen there only; one that was deleted must be made anew",
        )
    if len(found) > 1:
        raise BadInput(
            f"{len(found)} trails are called {trail}",
            hint="name one of: " + ", ".join(t["TrailARN"] for t in found),
        )
    return found[0]


def event_selectors(ctx: ActionContext, raw: dict[str, Any]) -> tuple[tuple[JsonObject, ...], bool]:
    """What a trail records.

    Returns:
        The selectors, and whether they are advanced ones.
    """
    with aws_errors("cloudtrail:GetEventSelectors"):
        reply = at_home(ctx, raw).get_event_selectors(TrailName=raw["TrailARN"])
    if reply.get("AdvancedEventSelectors"):
        return tuple(reply["AdvancedEventSelectors"]), True
    return tuple(reply.get("EventSelectors") or DEFAULT_SELECTORS), False


def all_management(selectors: tuple[JsonObject, ...], *, advanced: bool) -> bool:
    """Whether reads and writes of every service are recorded."""
    if advanced:
        return any(
            s["FieldSelectors"] == [{"Field": "eventCategory", "Equals": ["Management"]}] for s in selectors
        )
    return any(
        s.get("ReadWriteType", "All") == "All"
        and s.get("IncludeManagementEvents", True)
        and not s.get("ExcludeManagementEventSources")
        for s in selectors
    )


@action(
    "aws.cloudtrail.describe_trails",
    risk=Risk.READ,
    phase=Phase.IDENTIFICATION,
    permissions=("cloudtrail:DescribeTrails", "cloudtrail:GetTrailStatus", "cloudtrail:GetEventSelectors"),
)
def describe_trails(ctx: ActionContext, params: TrailsParams) -> Trails:
    """Tell which trails there are, whether they log, and what they leave out.

    Attackers stop a trail, or leave it running and narrow what it records. Each trail is told with what keeps it from
    being a full record of the account: not logging, no delivery, events left out, one region only, no digest files.

    Pitfalls: a trail of one region is seen in that region only. Times of delivery come from the service with some
    minutes of delay. Whether the bucket still has the files is not looked at.

    Example::

        - id: trails
          name: Is the account still recorded?
          do: aws.cloudtrail.describe_trails
    """
    found = [find_trail(ctx, params.trail)] if params.trail else _all_trails(ctx)
    trails = [_facts(ctx, raw) for raw in found]
    complete = sum(not t.problems for t in trails)
    summary = f"{complete} of {len(trails)} trail(s) record all management events of all regions"
    return Trails(
        summary=summary if trails else "there is no trail: nothing is recorded beyond 90 days",
        trails=trails,
        complete=complete,
    )


def _facts(ctx: ActionContext, raw: dict[str, Any]) -> TrailFacts:
    with aws_errors("cloudtrail:GetTrailStatus"):
        status = at_home(ctx, raw).get_trail_status(Name=raw["TrailARN"])
    selectors, advanced = event_selectors(ctx, raw)
    management = all_management(selectors, advanced=advanced)
    error = str(status.get("LatestDeliveryError") or "")
    problems = {
        "it does not log": not status["IsLogging"],
        f"its last delivery failed: {error}": bool(error),
        "it leaves out management events": not management,
        "it records one region only": not raw.get("IsMultiRegionTrail"),
        "it writes no digest files, so a changed log file is not noticed": not raw.get(
            "LogFileValidationEnabled"
        ),
    }
    return TrailFacts(
        arn=raw["TrailARN"],
        name=raw["Name"],
        home_region=raw["HomeRegion"],
        bucket=raw["S3BucketName"],
        logging=status["IsLogging"],
        multi_region=bool(raw.get("IsMultiRegionTrail")),
        organization=bool(raw.get("IsOrganizationTrail")),
        log_file_validation=bool(raw.get("LogFileValidationEnabled")),
        all_management_events=management,
        stopped_at=status.get("StopLoggingTime"),
        last_delivery=status.get("LatestDeliveryTime"),
        delivery_error=error,
        problems=[text for text, holds in problems.items() if holds],
    )
