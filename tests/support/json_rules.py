"""Rules about JSON values, put together from small ones. A rule yields what is wrong, with its place before it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

__all__ = [
    "Rule",
    "by_type",
    "filled",
    "flag",
    "items",
    "one_of",
    "shaped",
    "table",
    "text",
    "thing",
    "whole",
]

Rule = Callable[[Any], Iterator[str]]


def text(value: Any) -> Iterator[str]:
    if not isinstance(value, str):
        yield f"{value!r} is no text"


def filled(value: Any) -> Iterator[str]:
    yield from text(value)
    if value == "":
        yield "is empty"


def flag(value: Any) -> Iterator[str]:
    if not isinstance(value, bool):
        yield f"{value!r} is neither true nor false"


def whole(least: int, most: int | None = None) -> Rule:
    def check(value: Any) -> Iterator[str]:
        if not isinstance(value, int) or isinstance(value, bool):
            yield f"{value!r} is no whole number"
        elif value < least or (most is not None and value > most):
            yield f"{value} is out of bounds"

    return check


def shaped(pattern: re.Pattern[str]) -> Rule:
    def check(value: Any) -> Iterator[str]:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            yield f"{value!r} has not the form {pattern.pattern[:40]}"

    return check


def items(of: Rule, least: int = 1) -> Rule:
    def check(value: Any) -> Iterator[str]:
        if not isinstance(value, list) or len(value) < least:
            yield f"{value!r} is no list of {least} or more"
            return
        for index, item in enumerate(value):
            yield from (f"[{index}]{'' if f.startswith('.') else ' '}{f}" for f in of(item))

    return check


def table(key: Rule, of: Rule, least: int = 0) -> Rule:
    def check(value: Any) -> Iterator[str]:
        if not isinstance(value, dict) or len(value) < least:
            yield f"{value!r} is no object with {least} entries or more"
            return
        for name, item in value.items():
            yield from (f".{name}: key {f}" for f in key(name))
            yield from (f".{name}{'' if f.startswith(('.', '[')) else ' '}{f}" for f in of(item))

    return check


def thing(required: Mapping[str, Rule], optional: Mapping[str, Rule]) -> Rule:
    """An object with these properties and no others."""

    def check(value: Any) -> Iterator[str]:
        if not isinstance(value, dict):
            yield f"{value!r} is no object"
            return
        yield from (f"has no {name}" for name in required if name not in value)
        known = {**required, **optional}
        for name, item in value.items():
            if name not in known:
                yield f"has {name}, which the standard does not know"
                continue
            yield from (f".{name}{'' if f.startswith(('.', '[')) else ' '}{f}" for f in known[name](item))

    return check


def one_of(*values: str) -> Rule:
    def check(value: Any) -> Iterator[str]:
        if value not in values:
            yield f"{value!r} is none of {', '.join(values)}"

    return check


def by_type(kinds: Mapping[str, Rule]) -> Rule:
    def check(value: Any) -> Iterator[str]:
        kind = value.get("type") if isinstance(value, dict) else None
        if not isinstance(kind, str) or kind not in kinds:
            yield f"its type {kind!r} is none of {', '.join(kinds)}"
        else:
            yield from kinds[kind](value)

    return check
