"""AWS Config: have it record again, and read what a resource was like before."""

from __future__ import annotations

import json
from typing import Any

from botocore.exceptions import ClientError
from pydantic import BaseModel, Field

from soar.actions.aws.access import aws_errors, client
from soar.actions.aws.guardrails import here
from soar.actions.aws.setting import Found, Said, Setting
from soar.actions.contract import ActionContext, Params, StateBefore, action
from soar.actions.errors import BadInput, Refused, TargetGone
from soar.model.base import JsonObject, UtcTime, canonical_json
from soar.model.change import Target
from soar.model.terms import Phase, Risk

__all__ = ["StartRecorder", "read_history"]

MOST_SHOWN = 60_000
"""Bytes of a configuration that travel in the result; a larger one is in the evidence only."""
MOST_VERSIONS = 100
"""Configuration items that one call returns (AWS Config API reference)."""


class RecorderParams(Params):
    """Which recorder."""

    recorder: str = Field(
        default="",
        max_length=256,
        description="its name; empty: the one that the region has for its customer",
    )


class RecorderBefore(StateBefore):
    """Whether it records."""

    recording: bool = Field(title="recording")


class HistoryParams(Params):
    """Which resource, and up to when."""

    resource_type: str = Field(
        pattern=r"^AWS::[A-Za-z0-9]+::[A-Za-z0-9:]+$",
        description="as Config calls it, `AWS::EC2::SecurityGroup`",
    )
    resource_id: str = Field(
        min_length=1, max_length=768, description="the resource's id, as Config knows it"
    )
    before: UtcTime | None = Field(
        default=None, description="what it was like at this moment, that of the attack; default: now"
    )
    limit: int = Field(default=10, ge=1, le=MOST_VERSIONS, description="versions to look back at most")


class Version(BaseModel):
    """One recorded version of a resource.

    Args:
        changed: Parts of the configuration that differ from the version before; empty for the oldest.
        related_events: Ids of the CloudTrail events behind it.
    """

    captured_at: UtcTime | None
    status: str
    changed: list[str] = []
    related_events: list[str] = []


class History(BaseModel):
    """What a resource was like.

    Args:
        prior: The newest configuration up to the moment asked for; None: it is too large, see the evidence.
        tags: The tags that belong to it.
        versions: The newest first.
        cut: There are older versions.
    """

    summary: str
    resource_type: str
    resource_id: str
    arn: str = ""
    prior: JsonObject | None = None
    tags: dict[str, str] = {}
    versions: list[Version]
    cut: bool


def _recorder(ctx: ActionContext, name: str) -> dict[str, Any]:
    with aws_errors("config:DescribeConfigurationRecorders"):
        found = client(ctx, "config").describe_configuration_recorders()["ConfigurationRecorders"]
    # Recorders of other services (`servicePrincipal`) are switched by those only.
    ours = [r for r in found if not r.get("servicePrincipal") and name in ("", r["name"])]
    if not ours:
        raise TargetGone(
            f"AWS Config has no recorder {name}".rstrip() + " in this region",
            hint="check the region; where Config was never set up, or was deleted, set it up first",
        )
    if len(ours) > 1:
        raise BadInput(
            "AWS Config has several recorders here",
            hint="name one of: " + ", ".join(str(r["name"]) for r in ours),
        )
    return dict(ours[0])


@action(
    "aws.config.start_recorder",
    risk=Risk.REVERSIBLE,
    phase=Phase.CONTAINMENT,
    permissions=(
        "config:DescribeConfigurationRecorders",
        "config:DescribeConfigurationRecorderStatus",
        "config:DescribeDeliveryChannels",
        "config:ListTagsForResource",
        "config:StartConfigurationRecorder",
        "config:StopConfigurationRecorder",
        "sts:GetCallerIdentity",
    ),
)
class StartRecorder(Setting[RecorderParams, RecorderBefore]):
    """Have AWS Config record changes of resources again.

    Attackers stop the recorder so that no history shows what they changed.

    Pre-condition: the region has a recorder and a delivery channel, and the recorder is not tagged `soar:protected`.
    Recording already: nothing is done.

    Verified by reading the recorder's status: it is recording, and its last delivery did not fail.

    Undone by stopping it again. If somebody else stopped it since, nothing is left to do.

    Pitfalls: what changed while it did not record is seen as one change to what is there now. Each item is billed. A
    recorder that records a few types only is started as it is. What a service control policy forbids stays forbidden.

    Example::

        - id: record
          name: Record changes again
          do: aws.config.start_recorder
    """

    method = "config:DescribeConfigurationRecorderStatus"

    def look(self, ctx: ActionContext, params: RecorderParams) -> Found[RecorderBefore]:
        place, config = here(ctx, "config"), client(ctx, "config")
        raw = _recorder(ctx, params.recorder)
        with aws_errors("config:DescribeConfigurationRecorderStatus"):
            status = config.describe_configuration_recorder_status(ConfigurationRecorderNames=[raw["name"]])[
                "ConfigurationRecordersStatus"
            ][0]
        tags: dict[str, str] = {}
        if raw.get("arn"):
            with aws_errors("config:ListTagsForResource"):
                listed = config.list_tags_for_resource(ResourceArn=raw["arn"])["Tags"]
            tags = {t["Key"]: t.get("Value", "") for t in listed}
        group = raw.get("recordingGroup", {})
        failed = status.get("recording") and str(status.get("lastStatus", "")).lower() == "failure"
        return Found(
            target=Target(
                uid=raw.get("arn") or place.arn("config", f"configuration-recorder/{raw['name']}"),
                type="aws.config.recorder",
                name=raw["name"],
                account=place.account,
                region=place.region,
                tags=tags,
            ),
            state=RecorderBefore(recording=bool(status.get("recording"))),
            facts=(
                "it records all types of resources"
                if group.get("allSupported")
                else f"it records {len(group.get('resourceTypes', []))} type(s) of resources by name",
            ),
            pending=f"its last delivery failed: {status.get('lastErrorMessage', '')}" if failed else "",
        )

    def wanted(self, params: RecorderParams, state: RecorderBefore) -> RecorderBefore:
        return RecorderBefore(recording=True)

    def guard(self, ctx: ActionContext, params: RecorderParams, found: Found[RecorderBefore]) -> None:
        with aws_errors("config:DescribeDeliveryChannels"):
            channels = client(ctx, "config").describe_delivery_channels()["DeliveryChannels"]
        if not channels:
            raise Refused(
                f"recorder {found.target.name} has no delivery channel any more, so that it cannot be started",
                hint="make one to the bucket that it had (`put-delivery-channel`), then retry the step",
            )

    def say(self, params: RecorderParams, found: Found[RecorderBefore], then: RecorderBefore) -> Said:
        return Said(
            summary=f"Have AWS Config record again by {found.target.name}",
            hits="Nothing is interrupted; each recorded change is billed.",
            warnings=("What changed while it was stopped is not told apart any more.",),
            undo="The recorder is stopped again.",
        )

    def write(
        self, ctx: ActionContext, params: RecorderParams, now: RecorderBefore, then: RecorderBefore
    ) -> None:
        config, name = client(ctx, "config"), _recorder(ctx, params.recorder)["name"]
        if then.recording:
            with aws_errors("config:StartConfigurationRecorder"):
                config.start_configuration_recorder(ConfigurationRecorderName=name)
        else:
            with aws_errors("config:StopConfigurationRecorder"):
                config.stop_configuration_recorder(ConfigurationRecorderName=name)


@action(
    "aws.config.history",
    risk=Risk.READ,
    phase=Phase.IDENTIFICATION,
    permissions=("config:GetResourceConfigHistory",),
)
def read_history(ctx: ActionContext, params: HistoryParams) -> History:
    """Read what a resource was like before somebody changed it.

    The newest configuration up to a moment is told, with the versions before it and what differs between them. All
    of it is kept as evidence. It is what to put back by hand, or by a step that takes the values.

    Pitfalls: Config knows only types that it records, and only as long as it recorded; changes within minutes may be
    one version. A deleted resource needs the id that it had.

    Several versions were shown on replies of our own making: the simulated account knows the present one only.

    Example::

        - id: before
          name: What was the group like before?
          do: aws.config.history
          with:
            resource_type: AWS::EC2::SecurityGroup
            resource_id: sg-0123456789abcdef0
            before: '{{ alert.time }}'
    """
    arguments: dict[str, Any] = {"resourceType": params.resource_type, "resourceId": params.resource_id}
    if params.before:
        arguments["laterTime"] = params.before
    what = f"{params.resource_type} {params.resource_id}"
    with aws_errors("config:GetResourceConfigHistory"):
        try:
            reply = client(ctx, "config").get_resource_config_history(
                **arguments, chronologicalOrder="Reverse", limit=params.limit
            )
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") != "ResourceNotDiscoveredException":
                raise
            raise TargetGone(
                f"AWS Config has never seen {what} here",
                hint="check the type, the id and the region, and whether Config records this type",
            ) from error
    items = reply["configurationItems"]
    if not items:
        raise TargetGone(
            f"AWS Config has no version of {what} from before {params.before:%Y-%m-%d %H:%M} UTC"
        )
    ctx.keep_evidence(
        "config-history.json",
        json.dumps(items, default=str, sort_keys=True, indent=1).encode(),
        media_type="application/json",
        source="config:GetResourceConfigHistory",
    )
    configurations = [_parsed(item) for item in items]
    prior = configurations[0]
    captured = items[0].get("configurationItemCaptureTime")
    return History(
        summary=f"{what} as of {captured:%Y-%m-%d %H:%M} UTC; {len(items)} version(s) read"
        if captured
        else f"{what}; {len(items)} version(s) read",
        resource_type=params.resource_type,
        resource_id=params.resource_id,
        arn=items[0].get("arn", ""),
        prior=prior if len(canonical_json(prior)) <= MOST_SHOWN else None,
        tags=items[0].get("tags") or {},
        versions=[
            Version(
                captured_at=item.get("configurationItemCaptureTime"),
                status=item.get("configurationItemStatus", ""),
                changed=_changed(configurations[index + 1], configurations[index])
                if index + 1 < len(items)
                else [],
                related_events=item.get("relatedEvents", [])[:20],
            )
            for index, item in enumerate(items)
        ],
        cut=bool(reply.get("nextToken")),
    )


def _parsed(item: dict[str, Any]) -> JsonObject:
    """The configuration of a version: the resource's own, and what Config puts beside it (policies, ACLs)."""
    own = _from_text(item.get("configuration"))
    found: JsonObject = dict(own) if isinstance(own, dict) else {"configuration": own}
    for key, value in (item.get("supplementaryConfiguration") or {}).items():
        found[key] = _from_text(value)
    return found


def _from_text(value: Any) -> Any:
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _changed(older: JsonObject, newer: JsonObject) -> list[str]:
    return sorted(k for k in {*older, *newer} if older.get(k) != newer.get(k))
