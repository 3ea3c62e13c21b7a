"""Prometheus Alertmanager: its webhook, version 4. A delivery is a group of alerts.

| alert | alert of the group |
| --- | --- |
| uid | `fingerprint` and `startsAt`: the same labels may fire again |
| revision | `status` |
| state | `resolved` if `status` is resolved; else `new` |
| title | `annotations.summary`, else `labels.alertname` |
| description | `annotations.description` or `annotations.message` |
| severity | `labels.severity`, by name: `critical`, `warning` (medium), `info`; else unknown |
| rule | `labels.alertname` |
| time | `startsAt` |
| last seen | `endsAt`, unless it is the year 1 |
| account, region | `labels.account_id` (or `account`), `labels.region` |
| resources | `labels.instance_id` of AWS, `labels.instance`, `labels.host` or `labels.pod` |
| observables | addresses and names in the labels |
| links | `generatorURL`, `annotations.runbook_url`, `externalURL` |
| attributes | `labels`, `annotations`, `group`, `receiver` |

Format: https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from pydantic import JsonValue

from soar.model.alert import Alert, ObservableType, Resource
from soar.model.base import digest_of
from soar.model.terms import AlertState
from soar.sources.auth import SecretSource
from soar.sources.aws_common import bounded, build, once, resource
from soar.sources.contract import BadAlert
from soar.sources.payload import Node
from soar.sources.reading import Found, link, moment, named_severity, observable_in, observables

__all__ = ["Alertmanager"]


class Alertmanager(SecretSource):
    """Alerts of Prometheus."""

    name: ClassVar[str] = "alertmanager"
    title: ClassVar[str] = "Prometheus Alertmanager"
    docs: ClassVar[str] = "https://prometheus.io/docs/alerting/latest/configuration/#webhook_config"

    def normalise(self, payload: JsonValue) -> list[Alert]:
        """See `Source.normalise`. Every alert of the group is one."""
        group = Node.of(payload)
        if not isinstance(group.get("alerts"), list):
            raise BadAlert("$.alerts", "is missing: this is no group of Alertmanager")
        return [_alert(one, group) for one in group.nodes("alerts")]


def _alert(one: Node, group: Node) -> Alert:
    labels, notes = one.node("labels"), one.node("annotations")
    started = moment(one, "startsAt")
    if started is None:
        raise BadAlert(one.at("startsAt"), "is missing")
    name = labels.text("alertname", limit=512) or "an alert of Prometheus"
    status = one.text("status", limit=32) or group.text("status", limit=32)
    fingerprint = one.text("fingerprint", limit=128) or digest_of(labels.value)[:16]
    return build(
        lambda: Alert(
            source=Alertmanager.name,
            uid=f"{fingerprint}@{started.isoformat()}",
            revision=status or "1",
            state=AlertState.RESOLVED if status.lower() == "resolved" else AlertState.NEW,
            title=notes.text("summary") or name,
            description=notes.text("description", limit=8192) or notes.text("message", limit=8192),
            severity=named_severity(labels, "severity"),
            severity_original=labels.text("severity", limit=32),
            rule=name,
            time=started,
            last_seen=moment(one, "endsAt"),
            account=labels.text("account_id", limit=64) or labels.text("account", limit=64),
            region=labels.text("region", limit=64),
            resources=once(_resources(labels)),
            observables=observables(_observed(labels)),
            links=link(one.text("generatorURL"), notes.text("runbook_url"), group.text("externalURL")),
            attributes={
                "labels": bounded(labels.value),
                "annotations": bounded(notes.value),
                "group": group.text("groupKey", limit=1024),
                "receiver": group.text("receiver", limit=256),
            },
        ),
        one.path,
        "alert",
    )


def _resources(labels: Node) -> Iterator[Resource]:
    if instance := labels.text("instance_id", limit=128):
        yield from resource(instance, "aws.ec2.instance", instance, region=labels.text("region", limit=64))
    for name, kind in (("instance", "host"), ("host", "host"), ("pod", "kubernetes.pod")):
        if value := labels.text(name, limit=512):
            yield from resource(value, kind, value)


def _observed(labels: Node) -> Iterator[Found | None]:
    for name, value in labels.value.items():
        if isinstance(value, str):
            host, _, port = value.rpartition(":")
            yield observable_in(host if name == "instance" and port.isdecimal() else value)
    if host := labels.text("host", limit=512):
        yield ObservableType.HOST, host
