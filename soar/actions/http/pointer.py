"""JSON pointers (RFC 6901)."""

from __future__ import annotations

import re

from pydantic import JsonValue

__all__ = ["MISSING", "Missing", "find", "split_pointer"]

_INDEX = re.compile(r"^(0|[1-9][0-9]{0,8})$")
_BAD_ESCAPE = re.compile(r"~(?![01])")


class Missing:
    """What is found where there is nothing."""


MISSING = Missing()


def split_pointer(pointer: str) -> list[str]:
    """The parts of a pointer, unescaped.

    Raises:
        ValueError: It is not one.
    """
    if pointer and not pointer.startswith("/"):
        raise ValueError(f"{pointer!r} is not a JSON pointer: it begins with / (`/data/0/id`)")
    if _BAD_ESCAPE.search(pointer):
        raise ValueError(f"{pointer!r} is not a JSON pointer: write ~ as ~0 and / in a name as ~1")
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]


def find(value: JsonValue, pointer: str) -> JsonValue | Missing:
    """What a pointer leads to; `MISSING` if it leads nowhere."""
    for part in split_pointer(pointer):
        if isinstance(value, dict) and part in value:
            value = value[part]
        elif isinstance(value, list) and _INDEX.match(part) and int(part) < len(value):
            value = value[int(part)]
        else:
            return MISSING
    return value
