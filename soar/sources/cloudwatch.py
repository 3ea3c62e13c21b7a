"""Amazon CloudWatch: alarms that change their state, by EventBridge or by SNS.

Taken are the event `CloudWatch Alarm State Change`, SNS' notification with the alarm in its `Message`, and that message
alone (raw delivery). SNS can send no header of ours: give its address as `https://user:<secret>@host/hooks/cloudwatch`
or `/hooks/cloudwatch/<secret>`, or name the topic in `SOAR_SNS_TOPICS`: then SNS' own signature proves it, and the
subscription is confirmed by itself. Without that, the request to confirm it is kept and listed as invalid with the
address to open.

| alert | alarm |
| --- | --- |
| uid | the alarm's ARN |
| revision | when its state changed |
| state | `new` in ALARM, `resolved` in OK, `updated` in INSUFFICIENT_DATA |
| title | the alarm's name |
| description | its description and the reason of the state |
| severity | alarms have none: what the description says as `severity: high` or `[high]`; else unknown |
| rule | the alarm's name |
| time | when its state changed |
| account, region | of the ARN |
| resources | the alarm; what its dimensions name: `InstanceId`, `BucketName`, `FunctionName` … |
| observables | the ARN, instances |
| links | the alarm in the CloudWatch console |
| attributes | `metrics` (namespace, name, dimensions), `reason`, `previous_state` |

Format: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch-and-eventbridge.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import ClassVar
from urllib.parse import quote

from pydantic import JsonValue

from soar.model.alert import Alert, ObservableType, Resource
from soar.model.base import JsonObject
from soar.model.terms import AlertState, Severity
from soar.sources.auth import SecretSource
from soar.sources.aws_common import Place, build, console, once, place_of, resource
from soar.sources.contract import BadAlert
from soar.sources.payload import Node
from soar.sources.reading import SEVERITIES, Found, moment, observables

__all__ = ["CloudWatch"]

_EVENT = "CloudWatch Alarm State Change"
_STATES = {
    "ALARM": AlertState.NEW,
    "OK": AlertState.RESOLVED,
    "INSUFFICIENT_DATA": AlertState.UPDATED,
}
_SAID = re.compile(r"(?:\bseverity\s*[:=]\s*|\[)(?P<word>[A-Za-z]{4,13})\b")
_DIMENSIONS: dict[str, tuple[str, str, str]] = {
    "InstanceId": ("ec2", "instance/", "aws.ec2.instance"),
    "BucketName": ("s3", "", "aws.s3.bucket"),
    "FunctionName": ("lambda", "function:", "aws.lambda.function"),
    "DBInstanceIdentifier": ("rds", "db:", "aws.rds.db_instance"),
    "DBClusterIdentifier": ("rds", "cluster:", "aws.rds.db_cluster"),
    "TableName": ("dynamodb", "table/", "aws.dynamodb.table"),
    "ClusterName": ("ecs", "cluster/", "aws.ecs.cluster"),
    "TrailName": ("cloudtrail", "trail/", "aws.cloudtrail.trail"),
    "QueueName": ("sqs", "", "aws.sqs.queue"),
}
"""A metric's dimension → service, beginning of the ARN's last part, and type."""


class CloudWatch(SecretSource):
    """Alarms of Amazon CloudWatch."""

    name: ClassVar[str] = "cloudwatch"
    title: ClassVar[str] = "Amazon CloudWatch"
    docs: ClassVar[str] = (
        "https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch-and-eventbridge.html"
    )

    def normalise(self, payload: JsonValue) -> list[Alert]:
        """See `Source.normalise`. One delivery is one alert."""
        whole = Node.of(payload)
        if whole.get("detail-type") is not None or whole.get("detail") is not None:
            if whole.text("detail-type") != _EVENT:
                raise BadAlert(
                    whole.at("detail-type"), f"is {whole.text('detail-type')[:80]!r}, not {_EVENT!r}"
                )
            return [_by_eventbridge(whole)]
        return [_by_sns(whole)]


def _by_sns(message: Node) -> Alert:
    trigger = message.node("trigger")
    metrics = [_metric(trigger)] if trigger.get("metricName") is not None else []
    for one in trigger.nodes("metrics"):
        metrics.append(_metric(one.node("metricStat").node("metric")))
    changed = moment(message, "stateChangeTime")
    if changed is None:
        raise BadAlert(message.at("StateChangeTime"), "is missing")
    name = message.needed_text("alarmName", limit=512)
    arn = (
        message.text("alarmArn")
        or f"arn:aws:cloudwatch::{message.text('aWSAccountId', limit=64)}:alarm:{name}"
    )
    return _alert(
        message,
        arn=arn,
        name=name,
        state=message.needed_text("newStateValue", limit=32),
        changed=changed,
        description=message.text("alarmDescription", limit=4096),
        reason=message.text("newStateReason", limit=4096),
        previous=message.text("oldStateValue", limit=32),
        metrics=metrics,
    )


def _by_eventbridge(event: Node) -> Alert:
    detail = event.needed("detail")
    state, configuration = detail.needed("state"), detail.node("configuration")
    arns = event.get("resources")
    arn = arns[0] if isinstance(arns, list) and arns and isinstance(arns[0], str) else ""
    name = detail.needed_text("alarmName", limit=512)
    if not arn:
        place = Place("aws", event.text("account", limit=64), event.text("region", limit=64))
        arn = place.arn("cloudwatch", f"alarm:{name}")
    changed = moment(state, "timestamp") or moment(event, "time")
    if changed is None:
        raise BadAlert(state.at("timestamp"), "is missing")
    return _alert(
        detail,
        arn=arn,
        name=name,
        state=state.needed_text("value", limit=32),
        changed=changed,
        description=configuration.text("description", limit=4096),
        reason=state.text("reason", limit=4096),
        previous=detail.node("previousState").text("value", limit=32),
        metrics=[_metric(m.node("metricStat").node("metric")) for m in configuration.nodes("metrics")],
    )


def _metric(metric: Node) -> JsonObject:
    found = metric.get("dimensions")
    if isinstance(found, dict):  # EventBridge writes a mapping, SNS a list
        dimensions: JsonObject = {str(k)[:256]: str(v)[:1024] for k, v in found.items()}
    else:
        dimensions = {
            d.text("name", limit=256): d.text("value", limit=1024) for d in metric.nodes("dimensions")
        }
    return {
        "namespace": metric.text("namespace", limit=256),
        "name": metric.text("name", limit=256) or metric.text("metricName", limit=256),
        "dimensions": dimensions,
    }


def _alert(
    node: Node,
    *,
    arn: str,
    name: str,
    state: str,
    changed: datetime,
    description: str,
    reason: str,
    previous: str,
    metrics: list[JsonObject],
) -> Alert:
    if state not in _STATES:
        raise BadAlert(node.path, f"{state!r} is no state of an alarm")
    here = place_of(arn, Place("aws", "", ""))
    found = once(
        [*resource(arn, "aws.cloudwatch.alarm", name, region=here.region), *_resources(metrics, here)]
    )
    said = next((m["word"] for m in _SAID.finditer(description) if m["word"].lower() in SEVERITIES), "")
    return build(
        lambda: Alert(
            source=CloudWatch.name,
            uid=arn[:512],
            revision=changed.isoformat(),
            state=_STATES[state],
            title=name,
            description="\n".join(part for part in (description, reason) if part),
            severity=SEVERITIES.get(said.lower(), Severity.UNKNOWN),
            severity_original=said,
            rule=name,
            time=changed,
            provider="aws",
            account=here.account,
            region=here.region,
            resources=found,
            observables=observables(_observed(found)),
            links=console(
                here.partition, here.region, "cloudwatch", f"alarmsV2:alarm/{quote(name, safe='')}"
            ),
            attributes={"metrics": [*metrics], "reason": reason, "previous_state": previous},
        ),
        node.path,
        "alarm",
    )


def _resources(metrics: list[JsonObject], here: Place) -> Iterator[Resource]:
    for metric in metrics:
        dimensions = metric["dimensions"]
        assert isinstance(dimensions, dict)
        for name, value in dimensions.items():
            if name in _DIMENSIONS and value:
                service, before, kind = _DIMENSIONS[name]
                uid = here.arn(service, f"{before}{value}")
                yield from resource(uid, kind, str(value), region=here.region)


def _observed(found: tuple[Resource, ...]) -> Iterator[Found]:
    for one in found:
        if one.uid.startswith("arn:"):
            yield ObservableType.ARN, one.uid
        if one.type == "aws.ec2.instance":
            yield ObservableType.HOST, one.name
