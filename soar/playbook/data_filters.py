"""Filters that read JSON, look into it by a path, and turn values into other kinds."""

from __future__ import annotations

import contextlib
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NoReturn

from jinja2 import Undefined, pass_context
from jinja2.runtime import Context

from soar.playbook.values import (
    BUDGET,
    BadValue,
    Budget,
    as_json,
    as_mapping,
    as_text,
    bounded,
    missing,
    plain_text,
)

__all__ = ["DATA_FILTERS", "items", "length"]

_MAX_PATH = 500
_MAX_DEPTH = 60


def _default(value: Any, default: Any = "", boolean: bool = False) -> Any:
    """The value, or another if it is not set; with `true`, also if it is empty, 0, false or null.

    Example: alert.nothing | default("unknown") == "unknown"
    """
    return default if isinstance(value, Undefined) or (boolean and not value) else value


def length(value: Any) -> int:
    """How many characters, items or keys there are.

    Example: [3, 4] | length == 2
    """
    if isinstance(value, (str, list, tuple, Mapping)):
        return len(value)
    raise BadValue(f"text, a list or a mapping is needed here, this is {missing(value)}")


def items(value: Any) -> list[Any]:
    """A mapping's pairs of key and value.

    Example: {"a": 1} | items == [["a", 1]]
    """
    return [list(pair) for pair in as_mapping(value).items()]


def _abs(value: Any) -> Any:
    """A number without its sign.

    Example: -3 | abs == 3
    """
    return abs(_of_number(value))


def _round(value: Any, digits: Any = 0) -> Any:
    """A number, rounded to so many digits after the point; to a whole number, if none is said.

    Example: 2.345 | round(1) == 2.3
    """
    if not isinstance(digits, int) or isinstance(digits, bool) or not 0 <= digits <= 20:
        raise BadValue("the digits are a whole number from 0 to 20")
    return round(_of_number(value), digits) if digits else round(_of_number(value))


def _of_number(value: Any) -> Any:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value
    raise BadValue(f"a number is needed here, this is {missing(value)}")


def _number(value: Any, kind: Callable[[Any], Any], default: Any) -> Any:
    if isinstance(value, (str, int, float)) and len(str(value)) <= 40:
        # What says no number: the default, or the error below.
        with contextlib.suppress(ValueError, OverflowError):
            return kind(value)
    if default is not None:
        return default
    raise BadValue(f"{plain_text(value)[:40]!r} is no number", "give a default: | int(0)")


def _float(value: Any, default: Any = None) -> Any:
    """The number that a text says; the default, if it says none.

    Example: "0.5" | float == 0.5
    """
    return _number(value, float, default)


def _int(value: Any, default: Any = None) -> Any:
    """The whole number that a text says; the default, if it says none.

    Example: "many" | int(0) == 0
    """
    return _number(value, int, default)


@pass_context
def _string(context: Context, value: Any) -> str:
    """The value as text: null is empty, lists and mappings are JSON.

    Example: 3 | string == "3"
    """
    context[BUDGET].charge_value(value)
    return plain_text(value)


@pass_context
def _to_json(context: Context, value: Any) -> str:
    """The value as JSON.

    Example: {"a": [1, none]} | to_json == '{"a": [1, null]}'
    """
    context[BUDGET].charge_value(value)
    text = plain_text(value) if isinstance(value, Undefined) else as_json(value)
    bounded(len(text))
    return text


def _not_json(constant: str) -> NoReturn:
    raise BadValue(f"it is not JSON: {constant}")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        _not_json(f"{text[:40]} is too large a number")
    return value


def _whole(text: str) -> int:
    if len(text) > 40:
        _not_json("a number has more than 40 digits")
    return int(text)


@pass_context
def _from_json(context: Context, value: Any) -> Any:
    """What a text of JSON says.

    Example: '{"user": {"name": "alice"}}' | from_json == {"user": {"name": "alice"}}
    """
    text = as_text(value)
    bounded(len(text))
    try:
        found = json.loads(text, parse_constant=_not_json, parse_float=_finite, parse_int=_whole)
    except json.JSONDecodeError as error:
        raise BadValue(f"it is not JSON: {error.msg} at character {error.pos + 1}") from None
    except RecursionError:
        raise BadValue("the JSON is nested too deep") from None
    context[BUDGET].charge_value(found)
    return found


_PART = re.compile(
    r"(?P<axis>\.\.?)(?:(?P<name>[A-Za-z_\u0080-\U0010ffff][\w-]*)|\*)"
    r"|(?P<any_depth>\.\.)?\[\s*(?:"
    r"\*|(?P<index>-?\d{1,9})|'(?P<single>[^']*)'|\"(?P<double>[^\"]*)\")\s*\]"
)


def _parts(path: str) -> Iterator[tuple[bool, str | int | None]]:
    """The steps of a path: whether it looks at any depth, and for which key, index or (None) whatever."""
    if len(path) > _MAX_PATH:
        raise BadValue(f"the path has {len(path)} characters, at most {_MAX_PATH}")
    if not path.startswith("$"):
        raise BadValue(f"{path[:40]!r} is no path", 'a path begins with $: "$.a[*].b"')
    at = 1
    while at < len(path):
        found = _PART.match(path, at)
        if found is None:
            hint = "a path has .name, ['any name'], [0], [*] and ..name; choose items with selectattr"
            raise BadValue(f"the path cannot be read from {path[at : at + 20]!r} on", hint)
        at = found.end()
        named = next((found[g] for g in ("name", "single", "double") if found[g] is not None), None)
        index = int(found["index"]) if found["index"] is not None else None
        yield ".." in (found["axis"], found["any_depth"]), index if named is None else named


def _children(value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        return list(value.values())
    return list(value) if isinstance(value, (list, tuple)) else []


def _everything(value: Any, budget: Budget) -> Iterator[Any]:
    """A value and all that is in it, in the order written."""
    stack = [(value, 0)]
    while stack:
        item, depth = stack.pop()
        if depth > _MAX_DEPTH:
            raise BadValue(f"a value is nested deeper than {_MAX_DEPTH} levels")
        budget.charge(4)
        yield item
        stack.extend((child, depth + 1) for child in reversed(_children(item)))


def _picked(value: Any, key: str | int | None) -> list[Any]:
    if key is None:
        return _children(value)
    if isinstance(key, str):
        return [value[key]] if isinstance(value, Mapping) and key in value else []
    if isinstance(value, (list, tuple)) and -len(value) <= key < len(value):
        return [value[key]]
    return []


@pass_context
def _json_path(context: Context, value: Any, path: Any) -> list[Any]:
    """All that a path finds in a value: .name, ['any name'], [0], [-1], [*], and ..name at any depth.

    Example: {"a": [{"b": 1}, {"b": 2}, {}]} | json_path("$.a[*].b") == [1, 2]
    """
    if isinstance(value, Undefined):
        str(value)  # raises, naming what is missing
    budget: Budget = context[BUDGET]
    found = [value]
    for descend, key in _parts(as_text(path)):
        looked = found if not descend else [inner for item in found for inner in _everything(item, budget)]
        found = []
        for item in looked:
            picked = _picked(item, key)
            budget.charge(4 + 4 * len(picked))
            found += picked
    return found


DATA_FILTERS: Final[dict[str, Callable[..., Any]]] = {
    "abs": _abs,
    "count": length,
    "d": _default,
    "default": _default,
    "float": _float,
    "from_json": _from_json,
    "int": _int,
    "items": items,
    "json_path": _json_path,
    "length": length,
    "round": _round,
    "string": _string,
    "to_json": _to_json,
}
"""What templates call with `|`, for values of any kind."""
