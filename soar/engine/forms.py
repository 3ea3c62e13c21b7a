"""What people fill in for a task: pure functions of the form and of what came back."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from pydantic import JsonValue

from soar.model.base import JsonObject
from soar.model.course import FormSpec

__all__ = ["FormRefused", "filled_in"]

MAX_TEXT = 4000


class FormRefused(Exception):
    """What came back does not fit the form. The message says what to correct."""


def filled_in(form: Mapping[str, FormSpec], values: JsonObject) -> JsonObject:
    """Check what a person filled in, and give it its types.

    Args:
        form: What was asked for.
        values: What came back. Numbers and booleans may come as text, as a form in chat or console sends them.

    Returns:
        A value for each field; null for one that was left out and need not be there.

    Raises:
        FormRefused: A field is unknown, is missing, or does not fit its type.
    """
    unknown = sorted(set(values) - set(form))
    if unknown:
        known = ", ".join(form) or "no fields"
        raise FormRefused(f"the task has no field {', '.join(unknown)[:200]}; it has {known}")
    found: JsonObject = {}
    for name, spec in form.items():
        value = values.get(name)
        if value is None or value == "":
            if spec.required:
                raise FormRefused(f"{spec.label or name} is missing")
            found[name] = None
        else:
            found[name] = _typed(spec.label or name, spec, value)
    return found


def _typed(label: str, spec: FormSpec, value: JsonValue) -> JsonValue:
    match spec.type:
        case "boolean":
            words = {"true": True, "yes": True, "false": False, "no": False}
            if isinstance(value, bool):
                return value
            if isinstance(value, str) and value.lower() in words:
                return words[value.lower()]
            raise FormRefused(f"{label}: answer yes or no")
        case "number":
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                return value
            return _number(label, value)
        case "choice":
            if value in spec.options:
                return value
            raise FormRefused(f"{label}: choose one of {', '.join(spec.options)}")
        case "time":
            return _time(label, value)
        case "text":
            if not isinstance(value, str):
                raise FormRefused(f"{label}: write text")
            if len(value) > MAX_TEXT:
                raise FormRefused(f"{label}: at most {MAX_TEXT} characters")
            return value


def _number(label: str, value: JsonValue) -> float | int:
    try:
        number = float(value) if isinstance(value, str) and len(value) <= 40 else float("nan")
    except ValueError:
        number = float("nan")
    if number != number or abs(number) >= 2**53:
        raise FormRefused(f"{label}: write a number")
    return int(number) if number.is_integer() else number


def _time(label: str, value: JsonValue) -> str:
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise FormRefused(f"{label}: write a time with its zone, 2026-01-31T12:00:00Z")
    return found.isoformat()
