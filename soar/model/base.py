"""The two base types of everything in the model: facts, which never change, and state, which does."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, JsonValue, StringConstraints

__all__ = ["Digest", "Fact", "JsonObject", "State", "UtcTime", "canonical_json", "digest_of"]

Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
"""A SHA-256 in lower-case hexadecimal."""

JsonObject = dict[str, JsonValue]


def _utc(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError("a time needs a time zone (write 2026-01-31T12:00:00Z)")
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("a time that is not within the years 1 to 9999 in UTC") from None


UtcTime = Annotated[datetime, AfterValidator(_utc)]
"""A point in time, always held in UTC; a time without a zone is refused."""


class Fact(BaseModel):
    """Something that was so: immutable, and an unknown field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class State(BaseModel):
    """Something that develops; only the reducer of the timeline changes it."""

    model_config = ConfigDict(extra="forbid")


def canonical_json(value: Any) -> str:
    """Write a value in the one form that is hashed: keys sorted, no white space, UTF-8.

    Args:
        value: A pydantic model, or anything that `json` can write.

    Returns:
        The canonical text (the form of RFC 8785 for the values used here: strings, whole
        numbers, booleans, null, lists and objects).
    """
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest_of(value: Any) -> Digest:
    """The SHA-256 of a value's canonical form (of the bytes themselves, when given bytes)."""
    data = value if isinstance(value, bytes) else canonical_json(value).encode()
    return hashlib.sha256(data).hexdigest()
