"""Reading fields out of foreign JSON, with errors that name the field."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime

from pydantic import JsonValue

from soar.model.base import JsonObject
from soar.sources.contract import BadAlert

__all__ = ["Node"]


class Node:
    """A JSON object and where it stands. Names are found as `camelCase` and as `PascalCase`.

    Args:
        value: The object.
        path: Its JSON path.
    """

    def __init__(self, value: JsonObject, path: str = "$") -> None:
        self.value, self.path = value, path

    @classmethod
    def of(cls, value: JsonValue, path: str = "$") -> Node:
        """A node of a value that must be an object.

        Raises:
            BadAlert: It is none.
        """
        if not isinstance(value, dict):
            raise BadAlert(path, f"an object is needed here, not {_kind(value)}")
        return cls(value, path)

    def get(self, name: str) -> JsonValue:
        """A field's value, None if it is missing."""
        found = self.value.get(name)
        return self.value.get(name[:1].upper() + name[1:]) if found is None else found

    def at(self, name: str) -> str:
        """The JSON path of a field."""
        return f"{self.path}.{name}"

    def node(self, name: str) -> Node:
        """A field that is an object; an empty one if it is missing."""
        found = self.get(name)
        return Node({}, self.at(name)) if found is None else Node.of(found, self.at(name))

    def needed(self, name: str) -> Node:
        """A field that must be there, an object."""
        return Node.of(self.get(name), self.at(name))

    def nodes(self, name: str) -> Iterator[Node]:
        """A field that is a list of objects; none if it is missing."""
        found = self.get(name)
        if found is None:
            return
        if not isinstance(found, list):
            raise BadAlert(self.at(name), f"a list is needed here, not {_kind(found)}")
        for index, item in enumerate(found):
            yield Node.of(item, f"{self.at(name)}[{index}]")

    def text(self, name: str, *, limit: int = 2048) -> str:
        """A field's text, cut to a limit; empty if it is missing. Numbers are written out."""
        found = self.get(name)
        if found is None:
            return ""
        if isinstance(found, bool) or not isinstance(found, str | int | float):
            raise BadAlert(self.at(name), f"text is needed here, not {_kind(found)}")
        try:
            return str(found)[:limit]
        except ValueError:  # Python writes out no number of more than 4300 digits
            raise BadAlert(self.at(name), "is out of range") from None

    def needed_text(self, name: str, *, limit: int = 2048) -> str:
        """A field's text, which must be there."""
        found = self.text(name, limit=limit)
        if not found:
            raise BadAlert(self.at(name), "is missing")
        return found

    def number(self, name: str) -> float | None:
        """A field's number, neither infinite nor NaN; None if it is missing."""
        found = self.get(name)
        if found is None:
            return None
        if isinstance(found, bool) or not isinstance(found, int | float):
            raise BadAlert(self.at(name), f"a number is needed here, not {_kind(found)}")
        try:
            number = float(found)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise BadAlert(self.at(name), "is out of range")
        return number

    def time(self, name: str) -> datetime | None:
        """A field's time in ISO 8601; None if it is missing. Without a zone it is UTC, as AWS writes it."""
        found = self.text(name)
        if not found:
            return None
        # As a number, 20260301 would pass for a date, and so would some milliseconds.
        if not isinstance(self.get(name), str):
            raise BadAlert(self.at(name), "a time in ISO 8601 is needed here, not a number")
        try:
            parsed = datetime.fromisoformat(found)
        except ValueError:
            raise BadAlert(self.at(name), f"{found[:60]!r} is no time in ISO 8601") from None
        try:
            return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
        except OverflowError:
            raise BadAlert(self.at(name), f"{found[:60]!r} is out of range") from None


def _kind(value: JsonValue) -> str:
    names = {bool: "a truth value", str: "text", list: "a list", dict: "an object", type(None): "nothing"}
    return names.get(type(value), "a number")
