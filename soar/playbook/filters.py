"""What templates can do with values: filters, methods of text and mappings, tests.

Everything here is pure, gives JSON values, and costs at most a small multiple of the size of what it is given. The
size is charged to the budget of the rendering, so that no combination of loops and filters runs away.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any, Final

from jinja2 import Undefined, pass_context
from jinja2.runtime import Context

from soar.playbook.incident_filters import INCIDENT_FILTERS
from soar.playbook.values import (
    BUDGET,
    MAX_LOOPS,
    BadValue,
    Budget,
    as_items,
    as_json,
    as_mapping,
    as_text,
    bounded,
    missing,
    plain_text,
    unique,
)

__all__ = ["FILTERS", "GUARDS", "METHODS", "METHOD_PREFIX", "TESTS"]

METHOD_PREFIX: Final = "_method_"

# Guards: put around parts of every template by `soar.playbook.syntax`; no template can name them.


@pass_context
def _charge(context: Context, value: Any) -> Any:
    budget: Budget = context[BUDGET]
    budget.charge(len(value) if isinstance(value, (str, list, tuple, Mapping)) else 1)
    return value


@pass_context
def _loop(context: Context, value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        value = list(value)
    items = as_items(value)
    budget: Budget = context[BUDGET]
    budget.charge(len(items))
    budget.loops -= len(items)
    if budget.loops < 0:
        raise BadValue(f"it loops more than {MAX_LOOPS} times")
    return items


@pass_context
def _concat(context: Context, value: list[Any]) -> str:
    context[BUDGET].charge_value(value)
    parts = [plain_text(part) for part in value]
    bounded(sum(map(len, parts)))
    return "".join(parts)


# Filters known from Jinja2, with its names, for JSON values and within bounds.


def _default(value: Any, default: Any = "", boolean: bool = False) -> Any:
    return default if isinstance(value, Undefined) or (boolean and not value) else value


@pass_context
def _join(context: Context, value: Any, separator: Any = "") -> str:
    items = as_items(value)
    context[BUDGET].charge_value(items)
    parts, between = [plain_text(item) for item in items], as_text(separator)
    bounded(sum(map(len, parts)) + len(between) * len(parts))
    return between.join(parts)


def _length(value: Any) -> int:
    if isinstance(value, (str, list, tuple, Mapping)):
        return len(value)
    raise BadValue(f"text, a list or a mapping is needed here, this is {missing(value)}")


def _replace(value: Any, old: Any, new: Any) -> str:
    text, old, new = as_text(value), as_text(old), as_text(new)
    bounded(len(text) + (len(new) - len(old)) * text.count(old))
    return text.replace(old, new)


@pass_context
def _first(context: Context, value: Any) -> Any:
    items = as_items(value)
    return items[0] if items else context.environment.undefined(hint="the list is empty, so it has no first")


@pass_context
def _last(context: Context, value: Any) -> Any:
    items = as_items(value)
    return items[-1] if items else context.environment.undefined(hint="the list is empty, so it has no last")


@pass_context
def _unique_filter(context: Context, value: Any) -> list[Any]:
    """The list with each value once, in the order of first sight."""
    context[BUDGET].charge_value(value)
    return unique(as_items(value))


@pass_context
def _sort(context: Context, value: Any, reverse: bool = False, attribute: Any = None) -> list[Any]:
    context[BUDGET].charge_value(value)
    items = as_items(value)
    keys = items if attribute is None else [_attribute(context, item, attribute) for item in items]
    try:
        order = sorted(range(len(items)), key=lambda index: keys[index], reverse=bool(reverse))
    except TypeError:
        raise BadValue("the values cannot be put into an order: they are of different kinds") from None
    return [items[index] for index in order]


def _attribute(context: Context, item: Any, attribute: Any) -> Any:
    for part in as_text(attribute).split("."):
        item = context.environment.getitem(item, part)
    if isinstance(item, Undefined):
        str(item)  # raises, naming what is missing
    return item


@pass_context
def _map(context: Context, value: Any, attribute: str) -> list[Any]:
    """One attribute of each item: `events | map(attribute="user.name")`."""
    return [_attribute(context, item, attribute) for item in as_items(value)]


_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda a, b: bool(a == b),
    "equalto": lambda a, b: bool(a == b),
    "==": lambda a, b: bool(a == b),
    "ne": lambda a, b: bool(a != b),
    "!=": lambda a, b: bool(a != b),
    "in": lambda a, b: a in as_items(b),
}


def _chosen(context: Context, value: Any, attribute: str, rest: tuple[Any, ...]) -> list[tuple[Any, bool]]:
    if len(rest) not in (0, 2) or (rest and rest[0] not in _COMPARISONS):
        raise BadValue(
            "selectattr and rejectattr take an attribute, or an attribute, a comparison and a value",
            f"the comparisons are {', '.join(_COMPARISONS)}",
        )
    chosen = []
    for item in as_items(value):
        found = _attribute(context, item, attribute)
        if rest:
            context[BUDGET].charge_value(rest[1])
            chosen.append((item, _COMPARISONS[rest[0]](found, rest[1])))
        else:
            chosen.append((item, bool(found)))
    return chosen


@pass_context
def _selectattr(context: Context, value: Any, attribute: str, *rest: Any) -> list[Any]:
    return [item for item, chosen in _chosen(context, value, attribute, rest) if chosen]


@pass_context
def _rejectattr(context: Context, value: Any, attribute: str, *rest: Any) -> list[Any]:
    return [item for item, chosen in _chosen(context, value, attribute, rest) if not chosen]


def _number(value: Any, kind: Callable[[Any], Any], default: Any) -> Any:
    if isinstance(value, (str, int, float)) and len(str(value)) <= 40:
        # What says no number: the default, or the error below.
        with contextlib.suppress(ValueError, OverflowError):
            return kind(value)
    if default is not None:
        return default
    raise BadValue(f"{plain_text(value)[:40]!r} is no number", "give a default: | int(0)")


@pass_context
def _to_json(context: Context, value: Any) -> str:
    context[BUDGET].charge_value(value)
    text = plain_text(value) if isinstance(value, Undefined) else as_json(value)
    bounded(len(text))
    return text


@pass_context
def _string(context: Context, value: Any) -> str:
    context[BUDGET].charge_value(value)
    return plain_text(value)


def _extreme(choose: Callable[[list[Any]], Any]) -> Callable[[Any], Any]:
    def chosen(value: Any) -> Any:
        items = as_items(value)
        if not items:
            raise BadValue("the list is empty")
        try:
            return choose(items)
        except TypeError:
            raise BadValue("the values cannot be put into an order: they are of different kinds") from None

    return chosen


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, Mapping) else as_items(value)


FILTERS: Final[dict[str, Callable[..., Any]]] = {
    **INCIDENT_FILTERS,
    "abs": lambda value: abs(value),
    "count": _length,
    "d": _default,
    "default": _default,
    "first": _first,
    "float": lambda value, default=None: _number(value, float, default),
    "int": lambda value, default=None: _number(value, int, default),
    "items": lambda value: [list(pair) for pair in as_mapping(value).items()],
    "join": _join,
    "last": _last,
    "length": _length,
    "list": _list,
    "lower": lambda value: as_text(value).lower(),
    "map": _map,
    "max": _extreme(max),
    "min": _extreme(min),
    "rejectattr": _rejectattr,
    "replace": _replace,
    "reverse": lambda value: as_items(value)[::-1],
    "round": lambda value, digits=0: round(value, digits) if digits else round(value),
    "selectattr": _selectattr,
    "sort": _sort,
    "string": _string,
    "to_json": _to_json,
    "trim": lambda value: as_text(value).strip(),
    "unique": _unique_filter,
    "upper": lambda value: as_text(value).upper(),
}
"""What templates call with `|`."""

METHODS: Final[dict[str, Callable[..., Any]]] = {
    "endswith": lambda value, end: as_text(value).endswith(as_text(end)),
    "get": lambda value, key, default=None: as_mapping(value).get(key, default),
    "items": lambda value: [list(pair) for pair in as_mapping(value).items()],
    "keys": lambda value: list(as_mapping(value)),
    "lower": lambda value: as_text(value).lower(),
    "removeprefix": lambda value, start: as_text(value).removeprefix(as_text(start)),
    "removesuffix": lambda value, end: as_text(value).removesuffix(as_text(end)),
    "split": lambda value, separator=None: as_text(value).split(separator),
    "startswith": lambda value, start: as_text(value).startswith(as_text(start)),
    "strip": lambda value: as_text(value).strip(),
    "upper": lambda value: as_text(value).upper(),
    "values": lambda value: list(as_mapping(value).values()),
}
"""What templates call with a dot. They are ours: no method of a Python object is ever called."""

GUARDS: Final[dict[str, Callable[..., Any]]] = {"_charge": _charge, "_loop": _loop, "_concat": _concat}

TESTS: Final = frozenset(
    {
        "boolean", "defined", "eq", "equalto", "even", "false", "float", "ge", "gt", "in", "integer", "le", "lt",
        "mapping", "ne", "none", "number", "odd", "string", "true", "undefined", "==", "!=", "<", "<=", ">", ">=",
    }
)  # fmt: skip
"""What templates ask with `is`."""
