"""ServiceNow Security Operations: a security incident that is opened there starts a response here.

A business rule on `sn_si_incident` posts the record as JSON, with a header `Authorization: Bearer <secret>`: fields by
their names, each a value or `{"value": …, "display_value": …}`. An answer of the Table API (`result`) is read, too.

| alert | record |
| --- | --- |
| uid | `sys_id` |
| revision | `sys_mod_count`, else `sys_updated_on` |
| state | `resolved` in state 3 (closed), 7 (cancelled), 100 (review) or if `active` is false |
| | else `new` while `sys_mod_count` is 0, then `updated` |
| title | `short_description` |
| description | `description` |
| severity | `priority` (`severity` without it): 1 critical, 2 high, 3 medium, 4 low, 5 informational |
| rule | `category` and `subcategory`, else `security_incident` |
| time | `opened_at`, else `sys_created_on`, in UTC |
| actor | `affected_user` or `caller_id`, by its shown name |
| resources | `cmdb_ci` by its shown name |
| observables | addresses, domains, hashes and links in `description` and in `observables` |
| links | `url`, where the business rule sets it |
| attributes | `number`, `state`, `assignment_group`, `correlation_id` |

A record whose `correlation_id` begins with `INC-` was opened by us: playbooks can leave it alone by
`alert.attributes.ours`.

Format: https://www.servicenow.com/docs/bundle/xanadu-api-reference/page/integrate/inbound-rest/concept/c_TableAPI.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar

from pydantic import JsonValue

from soar.model.alert import Alert, AlertActor, ObservableType
from soar.model.terms import AlertState, Severity
from soar.sources.auth import SecretSource
from soar.sources.aws_common import build, once, resource
from soar.sources.contract import BadAlert
from soar.sources.payload import Node
from soar.sources.reading import Found, link, moment, observable_in, observables

__all__ = ["ServiceNow", "words_of"]

_PRIORITIES = {
    "1": Severity.CRITICAL,
    "2": Severity.HIGH,
    "3": Severity.MEDIUM,
    "4": Severity.LOW,
    "5": Severity.INFORMATIONAL,
}
_OVER = frozenset({"3", "7", "100", "closed", "cancelled", "canceled", "closed complete", "review"})
_WORD = re.compile(r"[^\s,;()\[\]<>\"']+")
_MOST_WORDS = 2000


class ServiceNow(SecretSource):
    """Security incidents of ServiceNow."""

    name: ClassVar[str] = "servicenow"
    title: ClassVar[str] = "ServiceNow Security Operations"
    docs: ClassVar[str] = (
        "https://www.servicenow.com/docs/bundle/xanadu-api-reference/page/integrate/inbound-rest/concept/"
        "c_TableAPI.html"
    )

    def normalise(self, payload: JsonValue) -> list[Alert]:
        """See `Source.normalise`."""
        whole = Node.of(payload)
        if isinstance(whole.get("result"), list):
            return [_alert(one) for one in whole.nodes("result")]
        return [_alert(whole.node("result") if whole.get("result") is not None else whole)]


def words_of(text: str) -> Iterator[Found | None]:
    """What stands in a text that people wrote: addresses, links, hashes, domains, keys."""
    for number, word in enumerate(_WORD.finditer(text)):
        if number >= _MOST_WORDS:
            return
        yield observable_in(word[0].strip(".:!?"))


def _field(record: Node, name: str, *, shown: bool = False, limit: int = 2048) -> str:
    """A field's value, which may be bare or come with what people are shown."""
    if isinstance(record.get(name), dict):
        inner = record.node(name)
        first, second = ("display_value", "value") if shown else ("value", "display_value")
        return inner.text(first, limit=limit) or inner.text(second, limit=limit)
    return record.text(name, limit=limit)


def _alert(record: Node) -> Alert:
    plain = Node(
        {name: _field(record, name) for name in ("opened_at", "sys_created_on", "sys_updated_on")},
        record.path,
    )
    opened = moment(plain, "opened_at") or moment(plain, "sys_created_on")
    if opened is None:
        raise BadAlert(record.at("opened_at"), "is missing")
    state, count = _field(record, "state", limit=64), _field(record, "sys_mod_count", limit=16)
    over = state.lower() in _OVER or _field(record, "active", limit=8).lower() == "false"
    updated = count not in ("", "0")
    priority = _field(record, "priority", limit=32) or _field(record, "severity", limit=32)
    category, inner = _field(record, "category", limit=200), _field(record, "subcategory", limit=200)
    user = _field(record, "affected_user", shown=True, limit=512) or _field(
        record, "caller_id", shown=True, limit=512
    )
    item = _field(record, "cmdb_ci", shown=True, limit=512)
    number, correlation = _field(record, "number", limit=64), _field(record, "correlation_id", limit=256)
    description = _field(record, "description", limit=8192)
    said = f"{description} {_field(record, 'observables', shown=True, limit=8192)}"
    return build(
        lambda: Alert(
            source=ServiceNow.name,
            uid=_field(record, "sys_id", limit=64) or record.needed_text("sys_id", limit=64),
            revision=count or _field(record, "sys_updated_on", limit=64) or "1",
            state=AlertState.RESOLVED if over else AlertState.UPDATED if updated else AlertState.NEW,
            title=_field(record, "short_description") or number or "a security incident",
            description=description,
            # The value begins with its number where it is shown: `2 - High`.
            severity=_PRIORITIES.get(priority.strip()[:1], Severity.UNKNOWN),
            severity_original=priority,
            rule=".".join(part for part in (category, inner) if part) or "security_incident",
            time=opened,
            last_seen=moment(plain, "sys_updated_on"),
            resources=once(resource(item, "cmdb.ci", item)) if item else (),
            actor=AlertActor(name=user) if user else None,
            observables=observables([*words_of(said), (ObservableType.PRINCIPAL, user) if user else None]),
            links=link(_field(record, "url")),
            attributes={
                "number": number,
                "state": state,
                "assignment_group": _field(record, "assignment_group", shown=True, limit=256),
                "correlation_id": correlation,
                "ours": correlation.startswith("INC-"),
            },
        ),
        record.path,
        "record",
    )
