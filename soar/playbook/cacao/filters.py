"""What CACAO playbooks do at run time, as filters of our expressions: their conditions, and variables within texts.

`soar.playbook.cacao.conditions` writes the calls. A comparison says by which kind it compares, because a CACAO variable
holds text whatever its declared type is. Null is no value: it equals nothing but null, and has no order, no pattern and
no network. A value that its declared type cannot hold is an error, never quietly false.

Regular expressions run on RE2, whose time grows with the length of the text times the size of the pattern and never
faster, so that neither an alert nor a playbook can make one run away.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import operator
import re
import shlex
import unicodedata
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, Literal
from urllib.parse import quote

import re2
from jinja2 import Undefined, pass_context
from jinja2.runtime import Context

from soar.playbook.values import (
    BUDGET,
    BadValue,
    as_items,
    as_json,
    as_mapping,
    as_text,
    bounded,
    kind_of,
    missing,
    plain_text,
)

__all__ = ["CACAO_FILTERS", "KINDS", "Kind", "as_kind", "check_network", "check_pattern"]

Kind = Literal["text", "integer", "number", "boolean", "time", "list", "dictionary"]
KINDS: Final[tuple[Kind, ...]] = ("text", "integer", "number", "boolean", "time", "list", "dictionary")

_INTEGER = re.compile(r"[+-]?[0-9]{1,30}")
_NUMBER = re.compile(r"[+-]?([0-9]{1,40}(\.[0-9]{0,40})?|\.[0-9]{1,40})([eE][+-]?[0-9]{1,3})?")
_MAX_PATTERN = 4096
_MAX_PROGRAM = 4096
_WORD = 256
"""Instructions of a compiled pattern that one unit of the budget pays for, on each character."""


def as_kind(value: Any, kind: str) -> Any:
    """Read a value as its declared kind: `"10"` as an integer is 10.

    Args:
        value: A JSON value. Null stays null, whatever the kind.
        kind: One of `KINDS`.

    Returns:
        The value to compare; a time as an aware `datetime`.

    Raises:
        BadValue: The value is not of that kind and does not read as it.
    """
    if isinstance(value, Undefined):
        str(value)  # raises, naming what is missing
    if value is None:
        return None
    reader = _READERS.get(kind)
    if reader is None:
        raise BadValue(f'there is no kind "{plain_text(kind)[:50]}"', f"known: {', '.join(KINDS)}")
    return reader(value)


def _wrong(value: Any, wanted: str) -> BadValue:
    shown = repr(value[:60]) if isinstance(value, str) else kind_of(value)
    return BadValue(f"{shown} is no {wanted}", "correct the variable's type, or what sets it")


def _integer(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and _INTEGER.fullmatch(value.strip()):
        return int(value)
    raise _wrong(value, "whole number")


def _number(value: Any) -> int | float:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value
    if isinstance(value, str):
        text = value.strip()
        if _INTEGER.fullmatch(text):
            return int(text)
        if _NUMBER.fullmatch(text) and (number := float(text)) not in (float("inf"), float("-inf")):
            return number
    raise _wrong(value, "number")


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in ("true", "false"):
        return value.strip().lower() == "true"
    raise _wrong(value, "boolean (true or false)")


def _time(value: Any) -> datetime:
    if isinstance(value, str) and len(value) <= 40:
        # What cannot be read, or has no time zone, is the error below.
        with contextlib.suppress(ValueError):
            time = datetime.fromisoformat(value.strip())
            if time.tzinfo is not None:
                return time
    raise _wrong(value, "point in time (2026-01-31T12:00:00Z)")


def _written(value: Any, wanted: str) -> Any:
    """A list or a mapping that a variable holds as JSON text."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        raise _wrong(value, wanted) from None


_READERS: Final[dict[str, Callable[[Any], Any]]] = {
    "text": plain_text,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "time": _time,
    "list": lambda value: as_items(_written(value, "list (write it as JSON)")),
    "dictionary": lambda value: as_mapping(_written(value, "dictionary (write it as JSON)")),
}

_ORDERS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def _equal(left: Any, right: Any) -> bool:
    if isinstance(left, (dict, list)) or isinstance(right, (dict, list)):
        # JSON tells 1 from true, which Python's equality of lists does not.
        return as_json(left) == as_json(right)
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    return bool(left == right)


@pass_context
def _compare(context: Context, value: Any, sign: str, other: Any, kind: str = "text") -> bool:
    """`vars['__n__'] | stix_compare('>', 5, 'integer')`."""
    context[BUDGET].charge_value([value, other])
    left, right = as_kind(value, kind), as_kind(other, kind)
    if sign in ("=", "!="):
        return _equal(left, right) is (sign == "=")
    if sign not in _ORDERS:
        raise BadValue(f'there is no comparison "{plain_text(sign)[:20]}"')
    if left is None or right is None:
        return False
    if isinstance(left, (bool, list, dict)):
        raise BadValue(f"{kind_of(left)} has no order")
    return _ORDERS[sign](left, right)


@pass_context
def _in(context: Context, value: Any, items: Any, kind: str = "text") -> bool:
    """Whether a list holds a value. An item that is not of the value's kind is just another value."""
    context[BUDGET].charge_value([value, items])
    wanted = as_kind(value, kind)
    told = as_kind(items, "list")
    if wanted is None or told is None:
        return False
    for item in told:
        with contextlib.suppress(BadValue):
            if _equal(wanted, as_kind(item, kind)):
                return True
    return False


@lru_cache(maxsize=256)
def _compiled(pattern: str, like: bool) -> Any:
    if len(pattern) > _MAX_PATTERN:
        raise BadValue(f"the pattern has {len(pattern)} characters; at most {_MAX_PATTERN} are read")
    if like:
        pattern = "".join({"%": ".*", "_": "."}.get(c) or re2.escape(c) for c in pattern)
    options = re2.Options()
    options.log_errors = False
    options.dot_nl = True
    options.max_mem = 4 * 1024 * 1024
    try:
        compiled = re2.compile(pattern, options)
    except re2.error as error:
        told = error.args[0] if error.args else ""
        reason = told.decode("utf-8", "replace") if isinstance(told, bytes) else str(told)
        raise BadValue(f"the pattern cannot be used: {reason[:200]}", _HINT) from None
    if compiled.programsize > _MAX_PROGRAM:
        raise BadValue("the pattern is too large", "use smaller counted repetitions")
    return compiled


_HINT = "look-around, back-references and possessive repetition are not supported (RE2 syntax)"


def check_pattern(pattern: str) -> None:
    """Check that a regular expression can be used.

    Raises:
        BadValue: It cannot.
    """
    _compiled(unicodedata.normalize("NFC", pattern), False)


@pass_context
def _like(context: Context, value: Any, pattern: Any) -> bool:
    """Whether all of a text fits a pattern, in which % is any text and _ any one character."""
    return _search(context, value, pattern, like=True)


@pass_context
def _matches(context: Context, value: Any, pattern: Any) -> bool:
    """Whether a regular expression is found anywhere in a text; `.` is also a line's end."""
    return _search(context, value, pattern, like=False)


def _search(context: Context, value: Any, pattern: Any, *, like: bool) -> bool:
    if missing(value) == "null" or missing(pattern) == "null":
        return False
    context[BUDGET].charge_value([value, pattern])
    text = unicodedata.normalize("NFC", plain_text(value))
    compiled = _compiled(unicodedata.normalize("NFC", as_text(pattern)), like)
    context[BUDGET].charge(len(text) * (1 + compiled.programsize // _WORD))
    found = compiled.fullmatch(text) if like else compiled.search(text)
    return found is not None


_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _network(value: Any) -> _Network | None:
    with contextlib.suppress(ValueError):
        return ipaddress.ip_network(value.strip(), strict=False) if isinstance(value, str) else None
    return None


def check_network(text: str) -> None:
    """Check that a text is an address or a network.

    Raises:
        BadValue: It is neither.
    """
    if _network(text) is None:
        raise BadValue(f"{text[:60]!r} is no address and no network", "write a network as 10.0.0.0/8")


def _within(inner: _Network, outer: _Network) -> bool:
    if isinstance(inner, ipaddress.IPv4Network) and isinstance(outer, ipaddress.IPv4Network):
        return inner.subnet_of(outer)
    if isinstance(inner, ipaddress.IPv6Network) and isinstance(outer, ipaddress.IPv6Network):
        return inner.subnet_of(outer)
    return False


def _pair(value: Any, other: Any) -> tuple[_Network | None, _Network | None]:
    if missing(other) == "null" or missing(value) == "null":
        return None, None
    check_network(plain_text(other))
    return _network(value), _network(other)


def _subset(value: Any, network: Any) -> bool:
    """Whether an address or a network lies within a network. What is neither lies in none."""
    inner, outer = _pair(value, network)
    return inner is not None and outer is not None and _within(inner, outer)


def _superset(value: Any, network: Any) -> bool:
    """Whether a network holds an address or a network. What is no network holds none."""
    outer, inner = _pair(value, network)
    return inner is not None and outer is not None and _within(inner, outer)


@pass_context
def _url_part(context: Context, value: Any) -> str:
    """A value as a part of a URL: nothing in it leads to another path or adds to the query."""
    context[BUDGET].charge_value(value)
    told = quote(plain_text(value), safe="")
    bounded(len(told))
    # Dots alone would be a way up.
    return told.replace(".", "%2E") if told in (".", "..") else told


@pass_context
def _shell_quote(context: Context, value: Any) -> str:
    """A value as one word of a POSIX shell's command, whatever is in it."""
    context[BUDGET].charge_value(value)
    told = shlex.quote(plain_text(value))
    bounded(len(told))
    return told


CACAO_FILTERS: Final[dict[str, Callable[..., Any]]] = {
    "shell_quote": _shell_quote,
    "stix_compare": _compare,
    "stix_in": _in,
    "stix_like": _like,
    "stix_matches": _matches,
    "stix_subset": _subset,
    "stix_superset": _superset,
    "url_part": _url_part,
}
"""What templates call with `|`, besides `soar.playbook.filters`."""
