"""Splunk: the webhook of an alert action, one delivery for each result, and notable events of Enterprise Security.

Splunk's webhook sends no header of ours: give its address as `/hooks/splunk/<secret>`. Its body has no severity and no
time; the search adds them as fields of its result, by the names of the Common Information Model.

| alert | webhook |
| --- | --- |
| uid | `sid` and a digest of `result`, since "for each result" has one `sid`; of a notable, `event_id` |
| state | `resolved` if the notable's `status_label` (or `status_group`) is closed or resolved; else `new` |
| title | `result.rule_title` or `result.signature`, else `search_name` |
| description | `result.rule_description` or `result.description` |
| severity | `result.urgency`, else `result.severity`, by name (`critical`); none: unknown |
| rule | `search_name`; a search that was not saved: `ad-hoc search` |
| time | `result._time`, else the time in `sid`, else when it came in |
| account | `result.aws_account_id`, `account_id` or `vendor_account` |
| region | `result.aws_region`, `region` or `vendor_region` |
| actor | `result.user` or `result.src_user`; `result.access_key_id` |
| resources | `result.dest` or `result.host` (`host`); `result.instance_id`, `result.bucket_name` of AWS |
| observables | `src`, `src_ip`, `dest`, `dest_ip`, `url`, `domain`, `query`, `file_hash`, `user` … of `result` |
| techniques | `result.annotations.mitre_attack` or `result.mitre_technique_id`: whatever reads `T1078.004` |
| links | `results_link` |
| attributes | `sid`, `app`, `owner`, `result` (cut to size) |

Format: https://docs.splunk.com/Documentation/Splunk/latest/Alert/Webhooks
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import ClassVar

from pydantic import JsonValue

from soar.model.alert import Alert, AlertActor, ObservableType, Resource, Technique
from soar.model.base import digest_of
from soar.model.terms import AlertState
from soar.sources.auth import SecretSource
from soar.sources.aws_common import bounded, build, once, resource
from soar.sources.contract import BadAlert
from soar.sources.payload import Node
from soar.sources.reading import Found, link, moment, named_severity, observable_in, observables

__all__ = ["Splunk"]

_AT = re.compile(r"(?:_at_|^)([0-9]{10})(?:[._]|$)")
_TECHNIQUE = re.compile(r"\bT[0-9]{4}(?:\.[0-9]{3})?\b")
_OBSERVED = (
    *("src", "src_ip", "src_host", "dest", "dest_ip", "dest_host", "dvc", "ip", "url", "domain", "dest_dns"),
    *("query", "file_hash", "process_hash", "src_user", "user", "recipient", "sender", "access_key_id"),
)
_CLOSED = ("closed", "resolved")


class Splunk(SecretSource):
    """Alerts of Splunk's searches."""

    name: ClassVar[str] = "splunk"
    title: ClassVar[str] = "Splunk"
    docs: ClassVar[str] = "https://docs.splunk.com/Documentation/Splunk/latest/Alert/Webhooks"

    def normalise(self, payload: JsonValue) -> list[Alert]:
        """See `Source.normalise`. One delivery is one alert; a list of notable events is several."""
        if isinstance(payload, list):
            rows = [Node.of(row, f"$[{index}]") for index, row in enumerate(payload)]
            return [_alert(row, row) for row in rows]
        whole = Node.of(payload)
        if whole.get("result") is None:
            if not whole.text("sid") and not whole.text("event_id"):
                raise BadAlert("$.result", "is missing: this is no delivery of an alert's webhook")
            return [_alert(whole, whole)]
        return [_alert(whole, whole.needed("result"))]


def _first(node: Node, *names: str, limit: int = 2048) -> str:
    """The first of several fields that has a text. Where a search gave several values, the first of them."""
    for name in names:
        value = node.get(name)
        if isinstance(value, list):
            value = value[0] if value else None
        if isinstance(value, str | int | float) and not isinstance(value, bool) and str(value):
            return str(value)[:limit]
    return ""


def _alert(whole: Node, row: Node) -> Alert:
    sid = whole.text("sid", limit=400)
    rule = _first(whole, "search_name", limit=512) or _first(row, "rule_name", "search_name", limit=512)
    uid = _first(row, "event_id", limit=400) or f"{sid}#{digest_of(row.value)[:20]}"
    status = (_first(row, "status_label") or _first(row, "status_group")).lower()
    user = _first(row, "user", "src_user", limit=512)
    key = _first(row, "access_key_id", limit=128)
    severity = named_severity(Node({"urgency": _first(row, "urgency") or _first(row, "severity")}), "urgency")
    return build(
        lambda: Alert(
            source=Splunk.name,
            uid=uid,
            revision=_first(row, "_indextime", "review_time", limit=64) or "1",
            state=AlertState.RESOLVED if status in _CLOSED else AlertState.NEW,
            title=_first(row, "rule_title", "signature") or rule or "a search of Splunk",
            description=_first(row, "rule_description", "description", limit=8192),
            severity=severity,
            severity_original=_first(row, "urgency") or _first(row, "severity", limit=32),
            rule=rule or "ad-hoc search",
            time=_time(row) or _time_of(sid) or datetime.now(UTC),
            account=_first(row, "aws_account_id", "account_id", "vendor_account", limit=64),
            region=_first(row, "aws_region", "region", "vendor_region", limit=64),
            resources=once(_resources(row)),
            actor=AlertActor(name=user, access_key_id=key) if user or key else None,
            observables=observables(_observed(row)),
            techniques=tuple(_techniques(row)),
            links=link(whole.text("results_link"), _first(row, "drilldown_searches_link")),
            attributes={
                "sid": sid,
                "app": whole.text("app", limit=256),
                "owner": whole.text("owner", limit=256),
                "result": bounded(row.value),
            },
        ),
        row.path,
        "result",
    )


def _time(row: Node) -> datetime | None:
    try:
        return moment(row, "_time")
    except BadAlert:
        return None  # a search may write its times as it likes


def _time_of(sid: str) -> datetime | None:
    """When the search was started: `scheduler__…_at_1772363370_17`, `1772363370.17`."""
    found = _AT.search(sid)
    return datetime.fromtimestamp(int(found[1]), UTC) if found else None


def _resources(row: Node) -> Iterator[Resource]:
    host = _first(row, "dest", "host", limit=512)
    if instance := _first(row, "instance_id", limit=128):
        yield from resource(instance, "aws.ec2.instance", instance)
    if bucket := _first(row, "bucket_name", limit=255):
        yield from resource(f"arn:aws:s3:::{bucket}", "aws.s3.bucket", bucket)
    if host:
        yield from resource(host, "host", host)


def _observed(row: Node) -> Iterator[Found | None]:
    for name in _OBSERVED:
        value = row.get(name)
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, str):
                yield observable_in(one)
    if user := _first(row, "user", "src_user", limit=512):
        yield ObservableType.PRINCIPAL, user
    if host := _first(row, "dest", "host", limit=512):
        yield ObservableType.HOST, host


def _techniques(row: Node) -> Iterator[Technique]:
    written = " ".join(
        str(row.get(name) or "")
        for name in (
            "annotations.mitre_attack",
            "annotations.mitre_attack.mitre_technique_id",
            "mitre_technique_id",
        )
    )
    for uid in dict.fromkeys(_TECHNIQUE.findall(written[:4096])):
        yield Technique(uid=uid)
