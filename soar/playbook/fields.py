"""The kinds of values that a playbook and a policy are written in."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, StringConstraints, ValidationInfo, WithJsonSchema

from soar.model.terms import Severity

__all__ = [
    "Duration",
    "Identifier",
    "OneOrMore",
    "RoleName",
    "SeverityName",
    "StepId",
    "Text",
    "parse_duration",
    "written_by_hand",
]

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"([0-9]{1,6})([smhd])")
_DURATION_HELP = "write a number and one of s, m, h, d: 30s, 15m, 4h, 2d"


def written_by_hand(info: ValidationInfo) -> bool:
    """Whether the value comes from a file that a person wrote, not from our own dump of the type.

    Durations are `15m` in a file and seconds everywhere else; severities are words in a file and numbers elsewhere.
    """
    return bool(info.context and info.context.get("written_by_hand"))


def parse_duration(text: str) -> float:
    """Read `30s`, `15m`, `4h` or `2d`.

    Returns:
        Seconds, more than 0.

    Raises:
        ValueError: The text is none of these.
    """
    found = _DURATION.fullmatch(text)
    if not found or int(found[1]) == 0:
        raise ValueError(f"not a duration; {_DURATION_HELP}")
    return float(int(found[1]) * _UNITS[found[2]])


def _duration(value: Any, info: ValidationInfo) -> Any:
    if isinstance(value, str):
        return parse_duration(value)
    if written_by_hand(info):
        raise ValueError(f"not a duration; {_DURATION_HELP}")
    return value


def _severity(value: Any, info: ValidationInfo) -> Any:
    names = {s.label: s for s in Severity}
    if isinstance(value, str) and value in names:
        return names[value]
    if isinstance(value, Severity) or (isinstance(value, int) and not written_by_hand(info)):
        return value
    raise ValueError(f"not a severity; one of {', '.join(names)}")


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Duration = Annotated[
    float,
    BeforeValidator(_duration),
    Field(gt=0),
    WithJsonSchema(
        {"type": "string", "pattern": "^[0-9]{1,6}[smhd]$", "examples": ["30s", "15m", "4h", "2d"]}
    ),
]
"""Seconds; written `30s`, `15m`, `4h`, `2d`."""

SeverityName = Annotated[
    Severity, BeforeValidator(_severity), WithJsonSchema({"enum": [s.label for s in Severity]})
]
"""A severity; written as its word, `high`."""

Text = Annotated[str, StringConstraints(min_length=1, max_length=4096)]
RoleName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,63}$")]
StepId = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Identifier = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]

OneOrMore = Annotated[
    tuple[Text, ...],
    BeforeValidator(_listed),
    Field(min_length=1),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "minLength": 1},
                {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1},
            ]
        }
    ),
]
"""One text or a list of them."""
