"""Whether a reply is what was expected, and what is taken from it. No expressions: pointers, values and JSON Schema."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import re2
from jsonschema import Draft202012Validator, SchemaError, ValidationError
from jsonschema.validators import extend
from pydantic import JsonValue
from referencing import Registry
from referencing.exceptions import Unresolvable

from soar.actions.errors import BadInput, BadReply
from soar.actions.http.params import Condition, Extract
from soar.actions.http.pointer import Missing, find
from soar.actions.http.reply import Reply
from soar.model.base import canonical_json

__all__ = ["Seen", "check_schema", "extracted", "look", "misfit"]

SHOWN = 200
Schema = dict[str, JsonValue] | bool


def _pattern(_: Any, pattern: str, instance: Any, __: Any) -> Iterator[ValidationError]:
    """`pattern` by RE2: Python's engine can take exponential time, and the text is the service's."""
    if isinstance(instance, str) and not re2.search(pattern, instance):
        yield ValidationError(f"does not match {pattern!r}")


def _pattern_properties(
    validator: Any, patterns: Mapping[str, Any], instance: Any, _: Any
) -> Iterator[ValidationError]:
    if isinstance(instance, dict):
        for pattern, subschema in patterns.items():
            for name, value in instance.items():
                if re2.search(pattern, name):
                    yield from validator.descend(value, subschema, path=name, schema_path=pattern)


_Validator: Any = extend(  # type: ignore[no-untyped-call]  # jsonschema has no types for it
    Draft202012Validator, {"pattern": _pattern, "patternProperties": _pattern_properties}
)


def _patterns(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        for key, value in schema.items():
            if key == "pattern" and isinstance(value, str):
                yield value
            if key == "patternProperties" and isinstance(value, dict):
                yield from value
            if key not in ("const", "enum", "default", "examples"):
                yield from _patterns(value)
    elif isinstance(schema, list):
        for item in schema:
            yield from _patterns(item)


def check_schema(schema: Schema | None) -> None:
    """See that a JSON Schema is one, before anything is sent.

    Raises:
        BadInput: It is not.
    """
    if schema is None:
        return
    try:
        Draft202012Validator.check_schema(schema)
        for pattern in _patterns(schema):
            re2.compile(pattern)
    except SchemaError as error:
        raise BadInput(f"`schema` is no JSON Schema: {error.json_path}: {error.message[:SHOWN]}") from None
    except re2.error as error:
        raise BadInput(
            f"`schema`: a pattern cannot be used: {str(error)[:SHOWN]}",
            hint="patterns are RE2's, without look-around",
        ) from None


def misfit(schema: Schema | None, value: JsonValue) -> str:
    """Where a value does not fit a schema, in words; empty if it does.

    Raises:
        BadInput: The schema refers to something outside itself: nothing is fetched.
    """
    if schema is None:
        return ""
    # An empty registry: jsonschema's own would fetch what `$ref` names.
    validator = _Validator(schema, registry=Registry())
    try:
        first = next(iter(validator.iter_errors(value)), None)
    except Unresolvable as error:
        raise BadInput(f"`schema` refers to {str(error)[:SHOWN]}, which is not in it") from None
    except RecursionError:
        raise BadInput("`schema` refers to itself without end") from None
    return f"{first.json_path}: {first.message}"[:SHOWN] if first is not None else ""


def extracted(wanted: Mapping[str, str | Extract], value: JsonValue, where: str) -> dict[str, JsonValue]:
    """The values that pointers lead to.

    Args:
        where: The request, for people.

    Raises:
        BadReply: A place is not there and has no default.
    """
    found: dict[str, JsonValue] = {}
    for name, place in wanted.items():
        pointer = place.pointer if isinstance(place, Extract) else place
        there = find(value, pointer)
        if isinstance(there, Missing):
            if not isinstance(place, Extract):
                raise BadReply(
                    f"{where}: the reply has nothing at {pointer} (for {name}); {_nearest(value, pointer)}",
                    hint="correct the pointer, or give it a default: {pointer: …, default: null}",
                )
            there = place.default
        found[name] = there
    return found


def _nearest(value: JsonValue, pointer: str) -> str:
    """What there is at the last place of a pointer that exists."""
    at = pointer
    while at:
        at = at.rpartition("/")[0]
        there = find(value, at)
        if isinstance(there, dict):
            names = ", ".join(sorted(there)[:20]) or "nothing"
            return f"at {at or 'the top'} there is {names}"[:SHOWN]
        if isinstance(there, list):
            return f"at {at or 'the top'} there is a list of {len(there)}"
        if not isinstance(there, Missing):
            return f"at {at or 'the top'} there is {canonical_json(there)[:80]}"
    return "it is empty"


@dataclass(frozen=True)
class Seen:
    """What one look showed.

    Args:
        holds: Whether the condition holds.
        words: What was seen that decides it.
        values: What is at the pointers that are compared; those that lead nowhere are left out.
    """

    holds: bool
    words: str
    values: dict[str, JsonValue]


def look(condition: Condition, reply: Reply) -> Seen:
    """Compare a reply with a condition.

    Raises:
        BadReply: It should be JSON and is not.
    """
    wrong: list[str] = []
    values: dict[str, JsonValue] = {}
    right = reply.status in condition.status if condition.status else 200 <= reply.status < 300
    if not right:
        return Seen(False, f"the status is {reply.status}", values)
    if condition.equals or condition.absent or condition.schema_ is not None:
        document = reply.json()
        for pointer, wanted in condition.equals.items():
            there = find(document, pointer)
            if isinstance(there, Missing):
                wrong.append(f"{pointer} is not there")
                continue
            values[pointer] = there
            if not _same(there, wanted):
                wrong.append(f"{pointer} is {_short(there)}, not {_short(wanted)}")
        for pointer in condition.absent:
            there = find(document, pointer)
            if not isinstance(there, Missing):
                values[pointer] = there
                wrong.append(f"{pointer} is there: {_short(there)}")
        problem = misfit(condition.schema_, document)
        if problem:
            wrong.append(f"it does not fit the schema: {problem}")
    if wrong:
        return Seen(False, "; ".join(wrong), values)
    held = [f"{pointer} is {_short(value)}" for pointer, value in values.items()]
    return Seen(True, "; ".join([f"the status is {reply.status}", *held]), values)


def _same(one: Any, other: Any) -> bool:
    """JSON equality: 1 and true differ, 1 and 1.0 do not."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[k], other[k]) for k in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)


def _short(value: Any) -> str:
    text = canonical_json(value)
    return text if len(text) <= 80 else f"{text[:79]}…"
