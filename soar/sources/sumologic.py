"""Sumo Logic: monitors, by a webhook connection whose payload is ours, and insights of Cloud SIEM.

A connection sends what its payload says. Use this one for the alert and for its recovery, with a header
`Authorization: Bearer <secret>`; a variable without a value arrives as an empty text:

```json
{"Name": "{{Name}}", "Id": "{{Id}}", "Description": "{{Description}}", "TriggerType": "{{TriggerType}}",
 "TriggerTimeStart": "{{TriggerTimeStart}}", "TriggerValue": "{{TriggerValue}}", "Query": "{{Query}}",
 "QueryURL": "{{QueryURL}}", "ResultsJson": "{{ResultsJson}}", "AlertResponseUrl": "{{AlertResponseUrl}}",
 "SourceURL": "{{SourceURL}}"}
```

| alert | monitor | insight |
| --- | --- | --- |
| uid | `Id`, of the monitor | `readableId` or `id` |
| revision | `TriggerType` and `TriggerTimeStart` | `lastUpdated` |
| state | `resolved` if `TriggerType` begins with Resolved; else `new` | `resolved` if closed; `new`, then `updated` |
| title, description | `Name`, `Description` | `name`, `description` |
| severity | `TriggerType`: Critical, Warning (medium), MissingData (informational) | `severity` by name |
| rule | `Name` | `name` |
| time | `TriggerTimeStart` | `created` |
| observables | `_sourceHost`, `src_ip`, `user` and the like in `ResultsJson` | `entity.value` |
| links | `AlertResponseUrl`, `QueryURL`, `SourceURL` | – |
| attributes | `monitor_id`, `trigger_value`, `query`, `results` (cut to size) | `entity`, `tags` |

Format: https://www.sumologic.com/help/docs/alerts/webhook-connections/set-up-webhook-connections/
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import ClassVar

from pydantic import JsonValue

from soar.model.alert import Alert, AlertActor, ObservableType
from soar.model.terms import AlertState, Severity
from soar.sources.auth import SecretSource
from soar.sources.aws_common import bounded, build, texts
from soar.sources.contract import BadAlert
from soar.sources.payload import Node
from soar.sources.reading import SEVERITIES, Found, link, moment, named_severity, observable_in, observables

__all__ = ["SumoLogic"]

_TYPES = {**SEVERITIES, "missingdata": Severity.INFORMATIONAL}
_USERS = ("user", "username", "userName", "src_user", "targetUser")


class SumoLogic(SecretSource):
    """Monitors and insights of Sumo Logic."""

    name: ClassVar[str] = "sumologic"
    title: ClassVar[str] = "Sumo Logic"
    docs: ClassVar[str] = (
        "https://www.sumologic.com/help/docs/alerts/webhook-connections/set-up-webhook-connections/"
    )

    def normalise(self, payload: JsonValue) -> list[Alert]:
        """See `Source.normalise`. One delivery is one alert; `{"insights": […]}` is several."""
        whole = Node.of(payload)
        if whole.get("insights") is not None:
            return [_insight(one) for one in whole.nodes("insights")]
        if whole.get("triggerType") is None and whole.get("created") is not None:
            return [_insight(whole)]
        return [_monitor(whole)]


def _monitor(whole: Node) -> Alert:
    kind = whole.needed_text("triggerType", limit=64)
    resolved = kind.lower().startswith("resolved")
    name = whole.needed_text("name", limit=512)
    at = moment(whole, "triggerTimeStart") or moment(whole, "triggerTime")
    if at is None:
        raise BadAlert(whole.at("TriggerTimeStart"), "is missing: put it into the connection's payload")
    rows = _rows(whole)
    user = next(
        (str(row[n])[:512] for row in rows for n in _USERS if isinstance(row.get(n), str) and row[n]), ""
    )
    return build(
        lambda: Alert(
            source=SumoLogic.name,
            uid=whole.text("id", limit=512) or name,
            revision=f"{kind}@{whole.text('triggerTimeStart', limit=64)}",
            state=AlertState.RESOLVED if resolved else AlertState.NEW,
            title=name,
            description=whole.text("description", limit=8192),
            severity=_TYPES.get(kind.lower().removeprefix("resolved"), Severity.UNKNOWN),
            severity_original=kind,
            rule=name,
            time=at,
            actor=AlertActor(name=user) if user else None,
            observables=observables(_observed(rows, user)),
            links=link(whole.text("alertResponseUrl"), whole.text("queryURL"), whole.text("sourceURL")),
            attributes={
                "monitor_id": whole.text("id", limit=256),
                "trigger_value": whole.text("triggerValue", limit=256),
                "query": whole.text("query", limit=4096),
                "results": bounded([*rows]),
            },
        ),
        whole.path,
        "monitor",
    )


def _rows(whole: Node) -> list[dict[str, JsonValue]]:
    """The results, which arrive as JSON or as a text that holds JSON; none if they are neither."""
    found = whole.get("resultsJson")
    if isinstance(found, str):
        try:
            found = json.loads(found)
        except (ValueError, RecursionError):
            return []
    items = found if isinstance(found, list) else [found]
    return [item for item in items[:200] if isinstance(item, dict)]


def _observed(rows: list[dict[str, JsonValue]], user: str) -> Iterator[Found | None]:
    for row in rows:
        for value in row.values():
            if isinstance(value, str):
                yield observable_in(value)
    if user:
        yield ObservableType.PRINCIPAL, user


def _insight(one: Node) -> Alert:
    created, updated = moment(one, "created"), moment(one, "lastUpdated")
    if created is None:
        raise BadAlert(one.at("created"), "is missing")
    status = one.node("status").text("name") if isinstance(one.get("status"), dict) else one.text("status")
    entity = one.node("entity")
    value = entity.text("value", limit=512) or entity.text("name", limit=512)
    person = entity.text("entityType").lower() in ("_username", "username", "user")
    if status.lower() == "closed":
        state = AlertState.RESOLVED
    else:
        state = AlertState.UPDATED if updated is not None and updated > created else AlertState.NEW
    return build(
        lambda: Alert(
            source=SumoLogic.name,
            uid=one.text("readableId", limit=256) or one.needed_text("id", limit=512),
            revision=one.text("lastUpdated", limit=64) or "1",
            state=state,
            title=one.needed_text("name"),
            description=one.text("description", limit=8192),
            severity=named_severity(one, "severity"),
            severity_original=one.text("severity", limit=32),
            rule=one.text("name", limit=512),
            time=created,
            last_seen=updated,
            actor=AlertActor(name=value) if person and value else None,
            observables=observables(
                [observable_in(value), (ObservableType.PRINCIPAL, value) if person and value else None]
            ),
            attributes={"entity": bounded(entity.value), "tags": [*texts(one, "tags", limit=256)]},
        ),
        one.path,
        "insight",
    )
