"""Filters for lists: what is in them, in which order, and what it comes to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from jinja2 import Undefined, pass_context
from jinja2.runtime import Context

from soar.playbook.values import BUDGET, BadValue, as_items, as_json, as_text, bounded, plain_text, unique

__all__ = ["LIST_FILTERS"]


@pass_context
def _join(context: Context, value: Any, separator: Any = "") -> str:
    """The items as one text.

    Example: ["a", "b"] | join(", ") == "a, b"
    """
    items = as_items(value)
    context[BUDGET].charge_value(items)
    parts, between = [plain_text(item) for item in items], as_text(separator)
    bounded(sum(map(len, parts)) + len(between) * len(parts))
    return between.join(parts)


@pass_context
def _first(context: Context, value: Any) -> Any:
    """The first item; not set, if there is none.

    Example: [3, 4] | first == 3
    """
    items = as_items(value)
    return items[0] if items else context.environment.undefined(hint="the list is empty, so it has no first")


@pass_context
def _last(context: Context, value: Any) -> Any:
    """The last item; not set, if there is none.

    Example: [3, 4] | last == 4
    """
    items = as_items(value)
    return items[-1] if items else context.environment.undefined(hint="the list is empty, so it has no last")


@pass_context
def _unique(context: Context, value: Any) -> list[Any]:
    """The list with each value once, in the order of first sight.

    Example: [2, 1, 2] | unique == [2, 1]
    """
    context[BUDGET].charge_value(value)
    return unique(as_items(value))


@pass_context
def _sort(context: Context, value: Any, reverse: bool = False, attribute: Any = None) -> list[Any]:
    """The items in order, by themselves or by an attribute.

    Example: [{"n": 2}, {"n": 1}] | sort(attribute="n") == [{"n": 1}, {"n": 2}]
    """
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
    """One attribute of each item.

    Example: [{"user": {"name": "alice"}}] | map(attribute="user.name") == ["alice"]
    """
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
    """The items whose attribute holds, or compares (==, !=, in) with a value.

    Example: [{"n": 1}, {"n": 2}] | selectattr("n", "==", 2) == [{"n": 2}]
    """
    return [item for item, chosen in _chosen(context, value, attribute, rest) if chosen]


@pass_context
def _rejectattr(context: Context, value: Any, attribute: str, *rest: Any) -> list[Any]:
    """The items that `selectattr` leaves out.

    Example: [{"n": 1}, {"n": 2}] | rejectattr("n", "in", [2, 3]) == [{"n": 1}]
    """
    return [item for item, chosen in _chosen(context, value, attribute, rest) if not chosen]


@pass_context
def _groupby(context: Context, value: Any, attribute: str) -> list[dict[str, Any]]:
    """The items by the value of an attribute: one mapping of `grouper` and `list` for each value, as first seen.

    Example: [{"u": "a"}, {"u": "b"}, {"u": "a"}] | groupby("u") | map(attribute="grouper") == ["a", "b"]
    """
    items = as_items(value)
    groups: dict[str, dict[str, Any]] = {}
    for item in items:
        found = _attribute(context, item, attribute)
        context[BUDGET].charge_value(found)
        groups.setdefault(as_json(found), {"grouper": found, "list": []})["list"].append(item)
    return list(groups.values())


@pass_context
def _sum(context: Context, value: Any, attribute: Any = None) -> int | float:
    """The sum of the numbers, or of an attribute of each item; 0 for an empty list.

    Example: [{"n": 1}, {"n": 2}] | sum("n") == 3
    """
    total: int | float = 0
    for item in as_items(value):
        number = item if attribute is None else _attribute(context, item, attribute)
        if not isinstance(number, (int, float)) or isinstance(number, bool):
            raise BadValue("only numbers have a sum", "turn text into numbers before: | int")
        total += number
    if not abs(total) < 2**63:
        raise BadValue("the number is too large")
    return total


@pass_context
def _flatten(context: Context, value: Any, levels: Any = None) -> list[Any]:
    """The items of the lists in a list, in one list; through all levels, or through so many.

    Example: [1, [2, [3]]] | flatten == [1, 2, 3]
    """
    if levels is not None and (not isinstance(levels, int) or isinstance(levels, bool) or levels < 0):
        raise BadValue("the levels are a whole number")
    context[BUDGET].charge_value(value)
    flat: list[Any] = []
    stack = [(item, 0) for item in reversed(as_items(value))]
    while stack:
        item, level = stack.pop()
        if isinstance(item, (list, tuple)) and (levels is None or level < levels):
            stack.extend((inner, level + 1) for inner in reversed(item))
        else:
            flat.append(item)
    return flat


def _extreme(value: Any, choose: Callable[[list[Any]], Any]) -> Any:
    items = as_items(value)
    if not items:
        raise BadValue("the list is empty")
    try:
        return choose(items)
    except TypeError:
        raise BadValue("the values cannot be put into an order: they are of different kinds") from None


def _max(value: Any) -> Any:
    """The largest item.

    Example: [3, 4] | max == 4
    """
    return _extreme(value, max)


def _min(value: Any) -> Any:
    """The smallest item.

    Example: [3, 4] | min == 3
    """
    return _extreme(value, min)


def _list(value: Any) -> list[Any]:
    """The list as it is, or a mapping's keys.

    Example: {"a": 1} | list == ["a"]
    """
    return list(value) if isinstance(value, Mapping) else as_items(value)


def _reverse(value: Any) -> list[Any]:
    """The items from the last to the first.

    Example: [3, 4] | reverse == [4, 3]
    """
    return as_items(value)[::-1]


LIST_FILTERS: Final[dict[str, Callable[..., Any]]] = {
    "first": _first,
    "flatten": _flatten,
    "groupby": _groupby,
    "join": _join,
    "last": _last,
    "list": _list,
    "map": _map,
    "max": _max,
    "min": _min,
    "rejectattr": _rejectattr,
    "reverse": _reverse,
    "selectattr": _selectattr,
    "sort": _sort,
    "sum": _sum,
    "unique": _unique,
}
"""What templates call with `|`, for lists."""
