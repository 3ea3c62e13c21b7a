"""Let a trail record everything again."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from soar.actions.aws.access import aws_errors
from soar.actions.aws.cloudtrail_trails import (
    DEFAULT_SELECTORS,
    all_management,
    at_home,
    event_selectors,
    find_trail,
)
from soar.actions.aws.setting import Found, Said, Setting
from soar.actions.contract import ActionContext, Params, StateBefore, action
from soar.actions.errors import BadInput, Refused
from soar.model.base import JsonObject
from soar.model.change import Target
from soar.model.terms import Phase, Risk

__all__ = ["RestoreLogging"]

MOST_SELECTORS = 5
"""Event selectors of a trail (CloudTrail quotas); advanced ones have no such number, but 500 values in all."""

DATA_TYPES = Literal["AWS::S3::Object", "AWS::Lambda::Function", "AWS::DynamoDB::Table"]


class DataResource(Params):
    """Objects, functions or tables whose data events are recorded."""

    type: DATA_TYPES
    arns: tuple[str, ...] = Field(min_length=1, max_length=250)


class EventSelector(Params):
    """One selector.

    Args:
        data: Data events besides; each is billed.
    """

    read_write: Literal["All", "ReadOnly", "WriteOnly"] = "All"
    management: bool = True
    exclude_sources: tuple[Literal["kms.amazonaws.com", "rdsdata.amazonaws.com"], ...] = ()
    data: tuple[DataResource, ...] = ()


class RestoreParams(Params):
    """Which trail, and what it should record."""

    trail: str = Field(min_length=3, max_length=300, description="the trail's name or ARN")
    selectors: tuple[EventSelector, ...] = Field(
        default=(),
        max_length=MOST_SELECTORS,
        description="what it recorded before; empty: all management events, and the data events that it records now",
    )
    bucket: str = Field(
        default="",
        pattern=r"^([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])?$",
        description="the bucket that the log files belong into; empty: as it is now",
    )


class TrailBefore(StateBefore):
    """The settings that make a trail a full record."""

    logging: bool = Field(title="logging")
    selectors: tuple[JsonObject, ...] = Field(title="event selectors")
    advanced: bool = Field(title="advanced selectors")
    multi_region: bool = Field(title="all regions")
    global_events: bool = Field(title="events of global services")
    validation: bool = Field(title="log file validation")
    bucket: str = Field(title="bucket")


@action(
    "aws.cloudtrail.restore_logging",
    risk=Risk.REVERSIBLE,
    phase=Phase.CONTAINMENT,
    permissions=(
        "cloudtrail:DescribeTrails",
        "cloudtrail:GetTrailStatus",
        "cloudtrail:GetEventSelectors",
        "cloudtrail:ListTags",
        "cloudtrail:StartLogging",
        "cloudtrail:StopLogging",
        "cloudtrail:PutEventSelectors",
        "cloudtrail:UpdateTrail",
    ),
    verify_timeout=1200,
)
class RestoreLogging(Setting[RestoreParams, TrailBefore]):
    """Let a trail log again: started, all management events, all regions, with digest files.

    Attackers stop a trail, narrow its selectors or send its files elsewhere. All of these are put right in one step:
    logging is started first, then what it records, then where from and where to. Data events that it records now stay
    recorded unless `selectors` says otherwise.

    Pre-condition: the trail exists, is not tagged `soar:protected`, and belongs to the step's account (an
    organization's trail is changed in the management account). All as wanted already: nothing is done.

    Verified by reading the trail: it is logging, its settings are as wanted, and a log file was delivered after it was
    started, which takes about five to fifteen minutes.

    Undone by writing the recorded settings back; logging is stopped again if it was stopped. It refuses if they were
    changed since.

    Pitfalls: what happened while it did not log is in no file and cannot be recovered (management events of 90 days
    are in the event history nevertheless: `aws.cloudtrail.search_events`). Whoever stopped it can stop it again: take
    that permission first. A bucket policy or key policy that was changed keeps files from arriving. A second trail
    that records management events is billed.

    Example::

        - id: trail
          name: Record the account again
          do: aws.cloudtrail.restore_logging
          with:
            trail: management-events
    """

    method = "cloudtrail:GetTrailStatus"

    def look(self, ctx: ActionContext, params: RestoreParams) -> Found[TrailBefore]:
        raw = find_trail(ctx, params.trail)
        home, arn = at_home(ctx, raw), str(raw["TrailARN"])
        with aws_errors("cloudtrail:GetTrailStatus"):
            status = home.get_trail_status(Name=arn)
        with aws_errors("cloudtrail:ListTags"):
            tagged = home.list_tags(ResourceIdList=[arn])["ResourceTagList"]
        selectors, advanced = event_selectors(ctx, raw)
        stopped, delivered = status.get("StopLoggingTime"), status.get("LatestDeliveryTime")
        facts = [f"log files go to s3://{raw['S3BucketName']}/{raw.get('S3KeyPrefix', '')}"]
        if stopped:
            facts.append(f"it was stopped last at {stopped:%Y-%m-%d %H:%M} UTC")
        facts.append(
            f"last delivery: {delivered:%Y-%m-%d %H:%M} UTC" if delivered else "nothing was ever delivered"
        )
        return Found(
            target=Target(
                uid=arn,
                type="aws.cloudtrail.trail",
                name=raw["Name"],
                account=arn.split(":")[4],
                region=raw["HomeRegion"],
                tags={t["Key"]: t.get("Value", "") for r in tagged for t in r.get("TagsList", [])},
            ),
            state=TrailBefore(
                logging=status["IsLogging"],
                selectors=selectors,
                advanced=advanced,
                multi_region=bool(raw.get("IsMultiRegionTrail")),
                global_events=bool(raw.get("IncludeGlobalServiceEvents")),
                validation=bool(raw.get("LogFileValidationEnabled")),
                bucket=raw["S3BucketName"],
            ),
            facts=tuple(facts),
            pending=_undelivered(status),
        )

    def wanted(self, params: RestoreParams, state: TrailBefore) -> TrailBefore:
        selectors = state.selectors
        if params.selectors:
            # Advanced selectors cannot be mixed with these; `guard` says so, here they stay what they are.
            selectors = selectors if state.advanced else tuple(map(_written, params.selectors))
        elif not all_management(selectors, advanced=state.advanced):
            selectors = _with_management(selectors, advanced=state.advanced)
        return TrailBefore(
            logging=True,
            selectors=selectors,
            advanced=state.advanced,
            multi_region=True,
            global_events=True,
            validation=True,
            bucket=params.bucket or state.bucket,
        )

    def guard(self, ctx: ActionContext, params: RestoreParams, found: Found[TrailBefore]) -> None:
        if ctx.account and found.target.account != ctx.account:
            raise Refused(
                f"trail {found.target.name} belongs to account {found.target.account}, not to {ctx.account}",
                hint="it is the organization's trail: run the step in the account that it belongs to",
            )
        if params.selectors and found.state.advanced:
            raise BadInput(
                f"trail {found.target.name} has advanced event selectors; `selectors` would replace them all",
                hint="leave `selectors` out: all management events are added to what it records",
            )
        if not found.state.advanced and len(self.wanted(params, found.state).selectors) > MOST_SELECTORS:
            raise Refused(
                f"trail {found.target.name} has {MOST_SELECTORS} event selectors already, and none for all management "
                "events",
                hint="say by `selectors` what it should record",
            )

    def say(self, params: RestoreParams, found: Found[TrailBefore], then: TrailBefore) -> Said:
        gap = "What happened while it was not recorded is in no log file and cannot be recovered."
        return Said(
            summary=f"Let trail {found.target.name} record everything again",
            hits="Nothing is interrupted; the trail records more, which may be billed.",
            warnings=(gap,) if not found.state.logging or found.state.selectors != then.selectors else (),
            undo="The recorded settings are written back"
            + ("." if found.state.logging else ", and logging is stopped again."),
        )

    def write(self, ctx: ActionContext, params: RestoreParams, now: TrailBefore, then: TrailBefore) -> None:
        raw = find_trail(ctx, params.trail)
        home, arn = at_home(ctx, raw), raw["TrailARN"]
        # Started first, stopped last: each moment without logging is lost.
        if then.logging and not now.logging:
            with aws_errors("cloudtrail:StartLogging"):
                home.start_logging(Name=arn)
        if (now.selectors, now.advanced) != (then.selectors, then.advanced):
            key = "AdvancedEventSelectors" if then.advanced else "EventSelectors"
            with aws_errors("cloudtrail:PutEventSelectors"):
                home.put_event_selectors(TrailName=arn, **{key: list(then.selectors)})
        if _settings(now) != _settings(then):
            with aws_errors("cloudtrail:UpdateTrail"):
                home.update_trail(Name=arn, **_settings(then))
        if now.logging and not then.logging:
            with aws_errors("cloudtrail:StopLogging"):
                home.stop_logging(Name=arn)


def _settings(state: TrailBefore) -> dict[str, Any]:
    return {
        "IsMultiRegionTrail": state.multi_region,
        "IncludeGlobalServiceEvents": state.global_events,
        "EnableLogFileValidation": state.validation,
        "S3BucketName": state.bucket,
    }


def _undelivered(status: dict[str, Any]) -> str:
    """Why log files do not arrive (yet); empty: they do."""
    if status.get("LatestDeliveryError"):
        return f"the last delivery failed: {status['LatestDeliveryError']}"
    started, delivered = status.get("StartLoggingTime"), status.get("LatestDeliveryTime")
    if status["IsLogging"] and started and (delivered is None or delivered < started):
        return f"no log file was delivered since it was started at {started:%H:%M:%S} UTC"
    return ""


def _written(selector: EventSelector) -> JsonObject:
    """A selector as the service takes and shows it."""
    return {
        "ReadWriteType": selector.read_write,
        "IncludeManagementEvents": selector.management,
        "DataResources": [{"Type": d.type, "Values": list(d.arns)} for d in selector.data],
        "ExcludeManagementEventSources": list(selector.exclude_sources),
    }


def _with_management(selectors: tuple[JsonObject, ...], *, advanced: bool) -> tuple[JsonObject, ...]:
    """All management events, and of what there was the data events only."""
    if advanced:
        kept = tuple(s for s in selectors if "Management" not in _categories(s))
        return (
            {
                "Name": "All management events",
                "FieldSelectors": [{"Field": "eventCategory", "Equals": ["Management"]}],
            },
            *kept,
        )
    return (
        *DEFAULT_SELECTORS,
        *({**s, "IncludeManagementEvents": False} for s in selectors if s.get("DataResources")),
    )


def _categories(selector: JsonObject) -> list[str]:
    fields: Any = selector["FieldSelectors"]
    return [c for f in fields if f["Field"] == "eventCategory" for c in f.get("Equals", [])]
