"""Elastic: detection alerts of Elastic Security, and events in the Elastic Common Schema (ECS).

Taken are an alert document (`kibana.alert.uuid`, dotted or nested), `{"alerts": […]}` as a webhook connector's body
with `{{context.alerts}}` gives it, an answer of a search (`hits.hits[]._source`), and a plain ECS event, as Logstash's
http output or ElastAlert's http post sends it.

| alert | alert document | ECS event |
| --- | --- | --- |
| uid | `kibana.alert.uuid`, else `_id` | `event.id`, else a digest of the event |
| revision | `kibana.alert.workflow_status` and `kibana.alert.updated_at` or `@timestamp` | `1` |
| state | `resolved` if `workflow_status` is closed or `status` is recovered; else `new` | `new` |
| title | `kibana.alert.reason`, else the rule's name | `rule.name`, else `message` |
| description | `kibana.alert.rule.description` | `rule.description`, `message` |
| severity | `kibana.alert.severity`, else `risk_score`: see below | `log.level`, else `event.severity` |
| rule | `kibana.alert.rule.name` | `rule.name`, ElastAlert's `rule_name` or `alert_name` |
| time | `kibana.alert.original_time`, else `@timestamp` | `@timestamp` |
| account, region | `cloud.account.id`, `cloud.region` | the same |
| actor | `user.name`, `user.id` | the same |
| resources | `host.name`; `cloud.instance.id` | the same |
| observables | `source.ip`, `destination.ip`, `dns.question.name`, `url.full`, `file.hash.*`, `user.name` | the same |
| techniques | `kibana.alert.rule.threat[].technique[]` and their subtechniques | `threat.technique[]` |
| links | `kibana.alert.url` | – |
| attributes | `rule_id`, `risk_score`, `workflow_status`, `event` (cut to size) | the same |

A score from 21 is low, from 47 medium, from 73 high, from 99 critical, as Elastic maps them.

Format: https://www.elastic.co/guide/en/security/current/alert-schema.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar

from pydantic import JsonValue

from soar.model.alert import Alert, AlertActor, ObservableType, Resource, Technique
from soar.model.base import JsonObject, digest_of
from soar.model.terms import AlertState, Severity
from soar.sources.auth import SecretSource
from soar.sources.aws_common import bounded, build, once, resource
from soar.sources.contract import BadAlert
from soar.sources.payload import Node
from soar.sources.reading import (
    SEVERITIES,
    Found,
    dotted,
    link,
    moment,
    observable_in,
    observables,
    unfold,
)

__all__ = ["Elastic"]

_BANDS = ((99, Severity.CRITICAL), (73, Severity.HIGH), (47, Severity.MEDIUM), (21, Severity.LOW))
_TECHNIQUE = re.compile(r"T[0-9]{4}(\.[0-9]{3})?")
_ADDRESSES = (
    *(
        "source.ip",
        "destination.ip",
        "client.ip",
        "server.ip",
        "host.ip",
        "source.address",
        "destination.address",
    ),
    *("dns.question.name", "url.full", "url.domain", "destination.domain", "email.from.address"),
    *("file.hash.sha256", "file.hash.sha1", "file.hash.md5", "process.hash.sha256", "process.hash.sha1"),
    *("threat.indicator.ip", "threat.indicator.url.full", "aws.cloudtrail.user_identity.access_key_id"),
)


class Elastic(SecretSource):
    """Alerts of Elastic Security, and events in its schema."""

    name: ClassVar[str] = "elastic"
    title: ClassVar[str] = "Elastic"
    docs: ClassVar[str] = "https://www.elastic.co/guide/en/security/current/alert-schema.html"

    def normalise(self, payload: JsonValue) -> list[Alert]:
        """See `Source.normalise`. A delivery may hold several alerts."""
        return [_alert(document, uid) for document, uid in _documents(payload)]


def _documents(payload: JsonValue) -> Iterator[tuple[Node, str]]:
    """The documents of a delivery, nested, each with the id that is outside of it."""
    if isinstance(payload, list):
        for index, one in enumerate(payload):
            yield _document(Node.of(one, f"$[{index}]"))
        return
    whole = Node.of(payload)
    if isinstance(whole.get("hits"), dict):
        yield from map(_document, whole.node("hits").nodes("hits"))
    elif isinstance(whole.get("alerts"), list):
        yield from map(_document, whole.nodes("alerts"))
    else:
        yield _document(whole)


def _document(node: Node) -> tuple[Node, str]:
    uid = node.text("_id", limit=512)
    if node.get("_source") is not None:
        node = node.node("_source")
    return Node(unfold(node.value), node.path), uid


def _text(document: Node, path: str, limit: int = 2048) -> str:
    """The first text at a dotted path; empty if there is none."""
    for value in dotted(document.value, path):
        if isinstance(value, str | int | float) and not isinstance(value, bool) and str(value):
            return str(value)[:limit]
    return ""


def _alert(document: Node, uid: str) -> Alert:
    kibana = document.node("kibana").node("alert")
    rule = _text(document, "kibana.alert.rule.name", 512) or _text(document, "rule.name", 512)
    rule = rule or document.text("rule_name", limit=512) or document.text("alert_name", limit=512)
    at = moment(kibana, "original_time") or moment(document, "@timestamp")
    if at is None:
        raise BadAlert(document.at("@timestamp"), "is missing")
    if not rule and not document.get("event"):
        raise BadAlert(document.path, "is neither an alert nor an event: it has no rule and no event")
    workflow = _text(document, "kibana.alert.workflow_status", 32)
    closed = workflow == "closed" or _text(document, "kibana.alert.status", 32) == "recovered"
    user = _text(document, "user.name", 512)
    own = _text(document, "kibana.alert.uuid", 512) or uid or _text(document, "event.id", 512)
    moved = _text(document, "kibana.alert.updated_at", 64) or document.text("@timestamp", limit=64)
    severity, written = _severity(document)
    return build(
        lambda: Alert(
            source=Elastic.name,
            uid=own or digest_of(document.value),
            revision=f"{workflow}@{moved}" if kibana.value else "1",
            state=AlertState.RESOLVED if closed else AlertState.NEW,
            title=_text(document, "kibana.alert.reason") or rule or _text(document, "message") or "an event",
            description=_text(document, "kibana.alert.rule.description", 4096)
            or _text(document, "rule.description", 4096)
            or _text(document, "message", 4096),
            severity=severity,
            severity_original=written,
            rule=rule or _text(document, "event.action", 512) or "event",
            time=at,
            provider=_text(document, "cloud.provider", 32),
            account=_text(document, "cloud.account.id", 64),
            region=_text(document, "cloud.region", 64),
            resources=once(_resources(document)),
            actor=AlertActor(name=user, uid=_text(document, "user.id", 512)) if user else None,
            observables=observables(_observed(document, user)),
            techniques=tuple(_techniques(document)),
            links=link(_text(document, "kibana.alert.url"), _text(document, "event.url")),
            attributes=_attributes(document, workflow),
        ),
        document.path,
        "document",
    )


def _severity(document: Node) -> tuple[Severity, str]:
    for path in ("kibana.alert.severity", "log.level"):
        if written := _text(document, path, 32):
            return SEVERITIES.get(written.lower(), Severity.UNKNOWN), written
    for path in ("kibana.alert.risk_score", "event.risk_score", "event.severity"):
        for value in dotted(document.value, path):
            if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 100:
                found = next((s for least, s in _BANDS if value >= least), Severity.INFORMATIONAL)
                return found, str(value)[:32]
    return Severity.UNKNOWN, ""


def _resources(document: Node) -> Iterator[Resource]:
    instance, provider = _text(document, "cloud.instance.id", 128), _text(document, "cloud.provider", 32)
    if instance:
        kind = "aws.ec2.instance" if provider in ("", "aws") else f"{provider}.instance"
        yield from resource(instance, kind, instance, region=_text(document, "cloud.region", 64))
    if host := _text(document, "host.name", 512):
        yield from resource(host, "host", host)


def _observed(document: Node, user: str) -> Iterator[Found | None]:
    for path in _ADDRESSES:
        for value in dotted(document.value, path):
            if isinstance(value, str):
                yield observable_in(value)
    if user:
        yield ObservableType.PRINCIPAL, user
    if host := _text(document, "host.name", 512):
        yield ObservableType.HOST, host


def _techniques(document: Node) -> Iterator[Technique]:
    found: dict[str, str] = {}
    for path in ("kibana.alert.rule.threat", "threat"):
        for inner in ("technique.subtechnique", "technique"):
            for value in dotted(document.value, f"{path}.{inner}"):
                if not isinstance(value, dict):
                    continue
                # An alert's rule lists objects, an event's `threat` lists of ids and of names.
                ids, names = value.get("id"), value.get("name")
                listed = ids if isinstance(ids, list) else [ids]
                called = names if isinstance(names, list) else [names]
                for index, uid in enumerate(listed[:50]):
                    name = called[index] if index < len(called) else ""
                    if isinstance(uid, str) and _TECHNIQUE.fullmatch(uid):
                        found.setdefault(uid, name if isinstance(name, str) else "")
    for uid, name in found.items():
        yield Technique(uid=uid, name=name[:256])


def _attributes(document: Node, workflow: str) -> JsonObject:
    return {
        "rule_id": _text(document, "kibana.alert.rule.uuid", 256) or _text(document, "rule.id", 256),
        "risk_score": _text(document, "kibana.alert.risk_score", 32),
        "workflow_status": workflow,
        "event": bounded(document.value),
    }
