"""Datadog: monitors, by the webhooks integration, whose payload is ours.

Use this payload, and a custom header `Authorization: Bearer <secret>`; Datadog sends again after 5xx:

```json
{"id": "$ALERT_ID", "cycle": "$ALERT_CYCLE_KEY", "transition": "$ALERT_TRANSITION", "status": "$ALERT_STATUS",
 "title": "$EVENT_TITLE", "body": "$TEXT_ONLY_MSG", "priority": "$ALERT_PRIORITY", "date": "$DATE", "host": "$HOSTNAME",
 "tags": "$TAGS", "link": "$LINK", "user": "$USER", "org": "$ORG_ID", "scope": "$ALERT_SCOPE", "query": "$ALERT_QUERY"}
```

| alert | monitor |
| --- | --- |
| uid | `cycle`, the same from the alert to its recovery; else `id` |
| revision | `transition` and `date` |
| state | `resolved` if `transition` is Recovered, `new` if Triggered, else `updated` (Re-Triggered, Warn, No Data) |
| title, description | `title`, `body` |
| severity | `priority`: P1 critical, P2 high, P3 medium, P4 low, P5 informational; none: unknown |
| rule | the monitor's id, `monitor:<id>` |
| time | `date` |
| account, region | the tags `account_id` (or `aws_account`) and `region` |
| actor | `user` |
| resources | `host`; the tag `instance-id` |
| observables | addresses and names in the tags and in `scope` |
| links | `link` |
| attributes | `monitor_id`, `tags`, `scope`, `query`, `org`, `status` |

Format: https://docs.datadoghq.com/integrations/webhooks/
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from pydantic import JsonValue

from soar.model.alert import Alert, AlertActor, ObservableType, Resource
from soar.model.terms import AlertState, Severity
from soar.sources.auth import SecretSource
from soar.sources.aws_common import build, once, resource
from soar.sources.contract import BadAlert
from soar.sources.payload import Node
from soar.sources.reading import Found, link, moment, observable_in, observables

__all__ = ["Datadog"]

_PRIORITIES = {
    "p1": Severity.CRITICAL,
    "p2": Severity.HIGH,
    "p3": Severity.MEDIUM,
    "p4": Severity.LOW,
    "p5": Severity.INFORMATIONAL,
}
_TAGS = 200


class Datadog(SecretSource):
    """Monitors of Datadog."""

    name: ClassVar[str] = "datadog"
    title: ClassVar[str] = "Datadog"
    docs: ClassVar[str] = "https://docs.datadoghq.com/integrations/webhooks/"

    def normalise(self, payload: JsonValue) -> list[Alert]:
        """See `Source.normalise`. One delivery is one alert."""
        return [_alert(Node.of(payload))]


def _alert(whole: Node) -> Alert:
    at = moment(whole, "date")
    if at is None:
        raise BadAlert("$.date", "is missing: put it into the webhook's payload")
    monitor = whole.needed_text("id", limit=128)
    transition = whole.needed_text("transition", limit=64)
    tags = _tags(whole.text("tags", limit=16_384))
    user, host = whole.text("user", limit=512), whole.text("host", limit=512)
    if transition.lower() == "recovered":
        state = AlertState.RESOLVED
    else:
        state = AlertState.NEW if transition.lower() == "triggered" else AlertState.UPDATED
    return build(
        lambda: Alert(
            source=Datadog.name,
            uid=whole.text("cycle", limit=256) or monitor,
            revision=f"{transition}@{whole.text('date', limit=64)}",
            state=state,
            title=whole.text("title") or f"monitor {monitor}",
            description=whole.text("body", limit=8192),
            severity=_PRIORITIES.get(whole.text("priority", limit=32).lower(), Severity.UNKNOWN),
            severity_original=whole.text("priority", limit=32),
            rule=f"monitor:{monitor}",
            time=at,
            account=(tags.get("account_id") or tags.get("aws_account") or "")[:64],
            region=tags.get("region", "")[:64],
            resources=once(_resources(host, tags)),
            actor=AlertActor(name=user) if user else None,
            observables=observables(_observed(whole, host, user, tags)),
            links=link(whole.text("link")),
            attributes={
                "monitor_id": monitor,
                "tags": {**tags},
                "scope": whole.text("scope", limit=1024),
                "query": whole.text("query", limit=4096),
                "org": whole.text("org", limit=128),
                "status": whole.text("status", limit=64),
            },
        ),
        whole.path,
        "monitor",
    )


def _tags(text: str) -> dict[str, str]:
    """`env:prod,host:web-1` → by name; the first of several of one name."""
    found: dict[str, str] = {}
    for one in text.split(",")[:_TAGS]:
        name, _, value = one.strip().partition(":")
        if name:
            found.setdefault(name[:256], value[:1024])
    return found


def _resources(host: str, tags: dict[str, str]) -> Iterator[Resource]:
    instance = tags.get("instance-id") or tags.get("instance_id") or ""
    if instance:
        yield from resource(instance, "aws.ec2.instance", instance, region=tags.get("region", "")[:64])
    if host:
        yield from resource(host, "host", host)


def _observed(whole: Node, host: str, user: str, tags: dict[str, str]) -> Iterator[Found | None]:
    for value in tags.values():
        yield observable_in(value)
    for one in whole.text("scope", limit=1024).split(","):
        yield observable_in(one.partition(":")[2])
    if host:
        yield ObservableType.HOST, host
    if user:
        yield ObservableType.PRINCIPAL, user
