"""IBM QRadar: offenses, as its REST API gives them and as a custom action of a rule sends them.

One offense, a list of them, or `{"offenses": […]}`.

| alert | offense |
| --- | --- |
| uid | `id` |
| revision | `last_updated_time` and `event_count`: an offense grows |
| state | `resolved` if `status` is CLOSED or HIDDEN; `updated` once it has grown; else `new` |
| title | `description` on one line |
| severity | `magnitude`: 0–1 informational, 2–3 low, 4–6 medium, 7–8 high, from 9 critical; else `severity` |
| rule | the name of the first rule in `rules[]`, else its id, else `offense_type_str` |
| time | `start_time` |
| last seen | `last_updated_time` |
| account | `domain_name` or `domain_id` |
| actor | `offense_source`, where `offense_type` says that it is a user name |
| resources | `offense_source`, where it is a host |
| observables | `offense_source`; `source_addresses`, `local_destination_addresses`, if a custom action has them |
| links | `console_url`, where a custom action gives it |
| attributes | `categories`, `magnitude`, `relevance`, `credibility`, `severity`, `event_count` |
| | `offense_type`, `log_sources`, `rules`: by name |

Format: https://www.ibm.com/docs/en/qradar-common?topic=endpoints-get-siemoffenses
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from pydantic import JsonValue

from soar.model.alert import Alert, AlertActor, ObservableType, Resource
from soar.model.terms import AlertState, Severity
from soar.sources.auth import SecretSource
from soar.sources.aws_common import build, once, resource, texts
from soar.sources.contract import BadAlert
from soar.sources.payload import Node
from soar.sources.reading import Found, link, moment, observable_in, observables

__all__ = ["QRadar"]

_BANDS = ((9, Severity.CRITICAL), (7, Severity.HIGH), (4, Severity.MEDIUM), (2, Severity.LOW))
_USERNAME, _HOSTNAME = 3, 7
"""Of `offense_type`: the API's ids of what an offense is indexed by."""


class QRadar(SecretSource):
    """Offenses of QRadar."""

    name: ClassVar[str] = "qradar"
    title: ClassVar[str] = "IBM QRadar"
    docs: ClassVar[str] = "https://www.ibm.com/docs/en/qradar-common?topic=endpoints-get-siemoffenses"

    def normalise(self, payload: JsonValue) -> list[Alert]:
        """See `Source.normalise`."""
        if isinstance(payload, list):
            return [_alert(Node.of(one, f"$[{index}]")) for index, one in enumerate(payload)]
        whole = Node.of(payload)
        if whole.get("offenses") is not None:
            return [_alert(one) for one in whole.nodes("offenses")]
        return [_alert(whole)]


def _alert(offense: Node) -> Alert:
    created = moment(offense, "start_time")
    if created is None:
        raise BadAlert(offense.at("start_time"), "is missing")
    updated = moment(offense, "last_updated_time")
    count = int(offense.number("event_count") or 0)
    closed = offense.text("status", limit=32).upper() in ("CLOSED", "HIDDEN")
    if closed:
        state = AlertState.RESOLVED
    else:
        state = AlertState.UPDATED if updated is not None and updated > created else AlertState.NEW
    rules = [r.text("name", limit=400) or r.text("id", limit=64) for r in offense.nodes("rules")]
    source, kind = offense.text("offense_source", limit=1024), offense.number("offense_type")
    title = " ".join(offense.text("description").split())
    return build(
        lambda: Alert(
            source=QRadar.name,
            uid=offense.needed_text("id", limit=64),
            revision=f"{offense.text('last_updated_time', limit=32) or 0}#{count}",
            state=state,
            title=title or "an offense of QRadar",
            severity=_severity(offense),
            severity_original=offense.text("magnitude", limit=32) or offense.text("severity", limit=32),
            rule=next((r for r in rules if r), "")
            or offense.text("offense_type_str", limit=256)
            or "offense",
            time=created,
            first_seen=created,
            last_seen=updated,
            account=offense.text("domain_name", limit=64) or offense.text("domain_id", limit=64),
            resources=once(_resources(source, kind)),
            actor=AlertActor(name=source) if source and kind == _USERNAME else None,
            observables=observables(_observed(offense, source, kind)),
            links=link(offense.text("console_url")),
            attributes={
                **{
                    name: offense.number(name)
                    for name in ("magnitude", "relevance", "credibility", "severity", "event_count")
                },
                "categories": [*texts(offense, "categories", limit=256)],
                "offense_type": offense.text("offense_type_str", limit=256)
                or offense.text("offense_type", limit=64),
                "log_sources": [s.text("name", limit=256) for s in offense.nodes("log_sources")][:50],
                "rules": [rule for rule in rules if rule][:50],
            },
        ),
        offense.path,
        "offense",
    )


def _severity(offense: Node) -> Severity:
    value = offense.number("magnitude")
    value = offense.number("severity") if value is None else value
    if value is None:
        return Severity.UNKNOWN
    if not 0 <= value <= 10:
        raise BadAlert(offense.at("magnitude"), "is not between 0 and 10")
    return next((severity for least, severity in _BANDS if value >= least), Severity.INFORMATIONAL)


def _resources(source: str, kind: float | None) -> Iterator[Resource]:
    if source and kind == _HOSTNAME:
        yield from resource(source, "host", source)


def _observed(offense: Node, source: str, kind: float | None) -> Iterator[Found | None]:
    yield observable_in(source)
    if source and kind == _USERNAME:
        yield ObservableType.PRINCIPAL, source
    if source and kind == _HOSTNAME:
        yield ObservableType.HOST, source
    for name in ("source_addresses", "local_destination_addresses"):
        for one in texts(offense, name, limit=256):
            yield observable_in(one)
