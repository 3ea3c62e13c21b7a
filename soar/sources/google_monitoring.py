"""Google Cloud Monitoring: incidents, by the webhook of a notification channel or by Pub/Sub's push.

The webhook sends basic authentication, or takes its address as `/hooks/google_monitoring/<secret>`. A push is taken
with its message unpacked.

| alert | incident |
| --- | --- |
| uid | `incident.incident_id` |
| revision | `incident.state` |
| state | `resolved` if `incident.state` is closed; else `new` |
| title | `incident.policy_name`, and the condition's name |
| description | `incident.summary`, `incident.documentation.content` |
| severity | `incident.severity`: Warning medium, Error high, Critical; none: unknown |
| rule | `incident.policy_name` |
| time | `incident.started_at` |
| last seen | `incident.ended_at` |
| account | `incident.scoping_project_id`, else `resource.labels.project_id` |
| region | `resource.labels.location`, `region` or `zone` |
| actor | `metadata.user_labels.principal`, where the policy sets it |
| resources | `resource`: `gcp.gce_instance`, by its `resource_name` or id |
| observables | addresses and names in the labels |
| links | `incident.url` |
| attributes | `condition`, `metric`, `labels`, `observed_value`, `threshold_value` |

Format: https://cloud.google.com/monitoring/support/notification-options#webhooks
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator
from typing import ClassVar

from pydantic import JsonValue

from soar.model.alert import Alert, AlertActor, ObservableType, Resource
from soar.model.terms import AlertState
from soar.sources.auth import SecretSource
from soar.sources.aws_common import bounded, build, once, resource
from soar.sources.contract import BadAlert
from soar.sources.payload import Node
from soar.sources.reading import Found, link, moment, named_severity, observable_in, observables

__all__ = ["GoogleMonitoring", "pushed"]


class GoogleMonitoring(SecretSource):
    """Incidents of Google Cloud Monitoring."""

    name: ClassVar[str] = "google_monitoring"
    title: ClassVar[str] = "Google Cloud Monitoring"
    docs: ClassVar[str] = "https://cloud.google.com/monitoring/support/notification-options#webhooks"

    def normalise(self, payload: JsonValue) -> list[Alert]:
        """See `Source.normalise`. One delivery is one alert."""
        return [_alert(pushed(Node.of(payload)).needed("incident"))]


def pushed(whole: Node) -> Node:
    """The payload inside of a push of Pub/Sub; anything else as it is.

    Raises:
        BadAlert: It is a push whose data is no JSON object.
    """
    message = whole.get("message")
    if not isinstance(message, dict) or "data" not in message:
        return whole
    place = f"{whole.path}.message.data"
    try:
        found = json.loads(
            base64.b64decode(Node(message, f"{whole.path}.message").needed_text("data", limit=1_500_000))
        )
    except (binascii.Error, ValueError, RecursionError):
        raise BadAlert(place, "is no JSON in base64") from None
    return Node.of(found, place)


def _alert(incident: Node) -> Alert:
    started = moment(incident, "started_at")
    if started is None:
        raise BadAlert(incident.at("started_at"), "is missing, as in a test of the channel")
    state = incident.needed_text("state", limit=32)
    labels = incident.node("resource").node("labels")
    policy = incident.text("policy_name", limit=512) or "a policy of Cloud Monitoring"
    condition = incident.text("condition_name", limit=512)
    person = incident.node("metadata").node("user_labels").text("principal", limit=512)
    summary, guide = (
        incident.text("summary", limit=4096),
        incident.node("documentation").text("content", limit=4000),
    )
    return build(
        lambda: Alert(
            source=GoogleMonitoring.name,
            uid=incident.needed_text("incident_id", limit=512),
            revision=state.lower(),
            state=AlertState.RESOLVED if state.lower() == "closed" else AlertState.NEW,
            title=f"{policy}: {condition}" if condition and condition != policy else policy,
            description="\n".join(part for part in (summary, guide) if part),
            severity=named_severity(incident, "severity"),
            severity_original=incident.text("severity", limit=32),
            rule=policy,
            time=started,
            last_seen=moment(incident, "ended_at"),
            provider="gcp",
            account=incident.text("scoping_project_id", limit=64) or labels.text("project_id", limit=64),
            region=next((r for n in ("location", "region", "zone") if (r := labels.text(n, limit=64))), ""),
            resources=once(_resources(incident)),
            actor=AlertActor(name=person) if person else None,
            observables=observables(_observed(incident, person)),
            links=link(incident.text("url")),
            attributes={
                "condition": bounded(incident.get("condition")),
                "metric": bounded(incident.get("metric")),
                "labels": bounded(labels.value),
                "observed_value": incident.text("observed_value", limit=128),
                "threshold_value": incident.text("threshold_value", limit=128),
            },
        ),
        incident.path,
        "incident",
    )


def _resources(incident: Node) -> Iterator[Resource]:
    about = incident.node("resource")
    kind, labels = about.text("type", limit=100), about.node("labels")
    name = (
        next(
            (
                n
                for key in (
                    "instance_id",
                    "bucket_name",
                    "function_name",
                    "cluster_name",
                    "database_id",
                    "email_id",
                )
                if (n := labels.text(key, limit=512))
            ),
            "",
        )
        or incident.text("resource_name", limit=512)
        or incident.text("resource_id", limit=512)
    )
    if kind and name and not kind.startswith("__"):
        yield from resource(name, f"gcp.{kind}", name, data={"labels": bounded(labels.value)})


def _observed(incident: Node, person: str) -> Iterator[Found | None]:
    if person:
        yield ObservableType.PRINCIPAL, person
        yield observable_in(person)
    for labels in (incident.node("resource").node("labels"), incident.node("metric").node("labels")):
        for value in labels.value.values():
            if isinstance(value, str):
                yield observable_in(value)
