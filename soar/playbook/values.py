"""The values that templates work on: their kinds, how they are written, and what working on them may cost."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from jinja2 import Undefined

__all__ = [
    "BUDGET",
    "MAX_LOOPS",
    "BadValue",
    "Budget",
    "as_items",
    "as_json",
    "as_mapping",
    "as_text",
    "bounded",
    "kind_of",
    "missing",
    "plain_text",
    "unique",
]

BUDGET: Final = "_budget"
"""The variable that holds the rendering's budget; templates cannot read names that begin with _."""

_WORK = 1_000_000
MAX_LOOPS = 10_000
_MAX_LENGTH = 64 * 1024


class BadValue(Exception):
    """A value is not what an operation takes, or is too large for it."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class Budget:
    """What one rendering may still cost."""

    def __init__(self) -> None:
        self.work = _WORK
        self.loops = MAX_LOOPS
        self.kept = 0

    def charge(self, size: int) -> None:
        """Take from what may be worked on.

        Raises:
            BadValue: There is no more.
        """
        self.work -= size + 1
        if self.work < 0:
            raise BadValue("it takes too much work", "filter lists before looping over them")

    def charge_value(self, value: Any) -> None:
        """Take the size of a value, with all that is in it."""
        stack = [value]
        while stack:
            item = stack.pop()
            if isinstance(item, str):
                self.charge(len(item))
            elif isinstance(item, Mapping):
                self.charge(8 * len(item))
                stack.extend(item.keys())
                stack.extend(item.values())
            elif isinstance(item, (list, tuple)):
                self.charge(8 * len(item))
                stack.extend(item)
            else:
                self.charge(8)

    def keep(self, size: int, limit: int) -> None:
        """Count what is given back.

        Raises:
            BadValue: It is more than the limit.
        """
        self.kept += size
        if self.kept > limit:
            raise BadValue(f"it gives more than {limit} characters")


def kind_of(value: Any) -> str:
    """A value's kind, in words, for messages."""
    names: tuple[tuple[type | tuple[type, ...], str], ...] = (
        (type(None), "null"),
        (bool, "true or false"),
        ((int, float), "a number"),
        (str, "text"),
        (Mapping, "a mapping"),
        ((list, tuple), "a list"),
    )
    return next((name for kind, name in names if isinstance(value, kind)), "no plain value")


def plain_text(value: Any) -> str:
    """A value inside text: null is empty, lists and mappings are JSON."""
    if value is None:
        return ""
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, (Mapping, list, tuple)):
        return as_json(value)
    if isinstance(value, Undefined):
        return str(value)  # raises, naming what is missing
    raise BadValue("it is no plain value")


def as_json(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, separators=(", ", ": "), sort_keys=True)
    except (TypeError, ValueError):
        raise BadValue("it cannot be written as JSON") from None


def as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    raise BadValue(f"text is needed here, this is {missing(value)}")


def as_items(value: Any) -> list[Any]:
    if isinstance(value, (list, tuple)):
        return list(value)
    raise BadValue(f"a list is needed here, this is {missing(value)}")


def as_mapping(value: Any) -> Mapping[str, Any]:
    if isinstance(value, Mapping):
        return value
    raise BadValue(f"a mapping is needed here, this is {missing(value)}")


def missing(value: Any) -> str:
    if isinstance(value, Undefined):
        str(value)  # raises, naming what is missing
    return kind_of(value)


def bounded(length: int) -> None:
    if length > _MAX_LENGTH:
        raise BadValue(f"it would be {length} characters long; at most {_MAX_LENGTH}")


def _key(value: Any) -> str:
    # JSON tells 1 from true and from "1", which Python's equality does not.
    return as_json(value)


def unique(items: list[Any]) -> list[Any]:
    """Each value once, in the order of first sight."""
    seen: dict[str, Any] = {}
    for item in items:
        seen.setdefault(_key(item), item)
    return list(seen.values())
