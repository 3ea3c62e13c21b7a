"""What sources share that read other vendors' words: severities by name, times in any form, observables in any text."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

from pydantic import JsonValue

from soar.model.alert import Observable, ObservableType
from soar.model.base import JsonObject
from soar.model.terms import Severity
from soar.sources.contract import BadAlert
from soar.sources.payload import Node

__all__ = [
    "SEVERITIES",
    "Found",
    "aws_resource",
    "dotted",
    "link",
    "moment",
    "named_severity",
    "observable_in",
    "observables",
    "unfold",
]

Found = tuple[ObservableType, str]

SEVERITIES: Mapping[str, Severity] = {
    **{severity.label: severity for severity in Severity},
    "info": Severity.INFORMATIONAL,
    "notice": Severity.LOW,
    "minor": Severity.LOW,
    "moderate": Severity.MEDIUM,
    "warning": Severity.MEDIUM,
    "error": Severity.HIGH,
    "major": Severity.HIGH,
    "severe": Severity.CRITICAL,
    "emergency": Severity.FATAL,
}
"""What vendors call severities, in small letters."""

_HASH = re.compile(r"[0-9a-fA-F]{32}|[0-9a-fA-F]{40}|[0-9a-fA-F]{64}")
_EMAIL = re.compile(r"[^@\s<>]{1,64}@[A-Za-z0-9.-]{1,253}\.[A-Za-z]{2,63}")
_DOMAIN = re.compile(r"(?=.{1,253}$)(?:[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,63}")
_AWS_KEY = re.compile(r"A[KS]IA[A-Z0-9]{12,124}")
_NUMBER = re.compile(r"-?[0-9]{1,20}(?:\.[0-9]{1,12})?")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS = ((1e16, 1e9), (1e14, 1e6), (1e11, 1e3), (0.0, 1.0))
"""From which size on a count since 1970 is of nanoseconds, microseconds, milliseconds, seconds: 1e11 s are 5138 AD."""


def named_severity(node: Node, name: str, table: Mapping[str, Severity] = SEVERITIES) -> Severity:
    """A severity by its name; unknown if it is missing, or a name that nobody told us."""
    return table.get(node.text(name, limit=64).strip().lower(), Severity.UNKNOWN)


def moment(node: Node, name: str) -> datetime | None:
    """A time in ISO 8601 or as a count since 1970, as a number or as text; None if it is missing.

    A count is of seconds, milliseconds, microseconds or nanoseconds, by its size. Zero, and the year 1, in which some
    vendors write that there is none, are missing.

    Raises:
        BadAlert: It is neither.
    """
    value = node.get(name)
    if value is None or value == "":
        return None
    count: float | None = None
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        count = float(value)
    elif not isinstance(value, str):
        count = node.number(name)
    if count is not None:
        if count == 0:
            return None
        try:
            return _EPOCH + timedelta(
                seconds=count / next(per for least, per in _UNITS if abs(count) >= least)
            )
        except OverflowError:
            raise BadAlert(node.at(name), "is out of range") from None
    if str(value).startswith("0001-"):
        return None
    return node.time(name)


def observable_in(text: str) -> Found | None:
    """What a text is: an address, a link, an e-mail, a hash, a domain, an ARN, a key of AWS; None: none of them."""
    text = text.strip().strip('"').rstrip(".")
    if not text or len(text) > 2048:
        return None
    try:
        return ObservableType.IP, str(ipaddress.ip_address(text))
    except ValueError:
        pass
    if text.startswith("arn:"):
        return ObservableType.ARN, text
    if _AWS_KEY.fullmatch(text):
        return ObservableType.ACCESS_KEY, text
    if text.startswith(("http://", "https://")):
        return ObservableType.URL, text
    if _HASH.fullmatch(text):
        return ObservableType.HASH, text.lower()
    if _EMAIL.fullmatch(text):
        return ObservableType.EMAIL, text
    if _DOMAIN.fullmatch(text):
        return ObservableType.DOMAIN, text.lower()
    return None


def observables(found: Iterable[Found | None]) -> tuple[Observable, ...]:
    """Each once, in the order of its first mention."""
    kept = dict.fromkeys(one for one in found if one is not None and one[1])
    return tuple(Observable(type=kind, value=value[:2048]) for kind, value in kept)


def link(*candidates: str) -> tuple[str, ...]:
    """Those that are links to pages, once each."""
    good = []
    for one in candidates:
        try:
            parts = urlsplit(one)
        except ValueError:
            continue
        if parts.scheme in ("http", "https") and parts.netloc:
            good.append(one[:2048])
    return tuple(dict.fromkeys(good))


def aws_resource(arn: str) -> tuple[str, str, str]:
    """Account, region and service of an ARN; empty if it is none."""
    parts = arn.split(":", 5)
    return (parts[4], parts[3], parts[2]) if len(parts) == 6 and parts[0] == "arn" else ("", "", "")


def unfold(document: JsonObject) -> JsonObject:
    """A document whose dotted names (`kibana.alert.uuid`) are nested, as the Elastic stack writes either way.

    What is nested already stays; where both are given, the dotted one counts.
    """
    made: JsonObject = {}
    for key, value in sorted(document.items(), key=lambda item: item[0].count(".")):
        at = made
        *outer, last = key.split(".")
        for part in outer:
            inner = at.get(part)
            if not isinstance(inner, dict):
                inner = {}
                at[part] = inner
            at = inner
        inner = at.get(last)
        new = unfold(value) if isinstance(value, dict) else value
        at[last] = {**inner, **new} if isinstance(inner, dict) and isinstance(new, dict) else new
    return made


def dotted(document: JsonValue, path: str) -> Iterator[JsonValue]:
    """Every value at a path of names, `a.b.c`; lists on the way are gone into."""
    if isinstance(document, list):
        for item in document:
            yield from dotted(item, path)
    elif not path:
        if document is not None:
            yield document
    elif isinstance(document, dict):
        name, _, rest = path.partition(".")
        yield from dotted(document.get(name), rest)
