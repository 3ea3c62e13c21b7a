"""Whatever is written anywhere in what AWS sends: alerts that can be kept, or a `BadAlert` that names the field."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import JsonValue

from soar.intake.accept import read_alerts
from soar.model.alert import Alert
from soar.sources.contract import BadAlert
from soar.sources.registry import sources

FIXTURES = Path(__file__).parents[1] / "fixtures"
SOURCES = ("cloudtrail", "guardduty", "securityhub")
WHOLE: dict[tuple[str, str], Any] = {
    (source, file.stem): json.loads(file.read_text())
    for source in SOURCES
    for file in sorted((FIXTURES / source).glob("*.json"))
}
SENT_ON = {"detail-type": "Security Hub Findings - Custom Action"}
"""As which GuardDuty's findings are read from Security Hub, too."""
WHOLE[("securityhub", "guardduty-key")] |= SENT_ON


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a payload."""
    yield at
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inside:
        yield from places(item, (*at, key))


PLACES = [(name, place) for name, whole in WHOLE.items() for place in places(whole) if place]
ODD = [
    "",
    "\x00",
    "\ud800",
    "/",
    ":",
    "Aws",
    "AwsEc2",
    "AWS::",
    "AWS::X::Y:",
    "AWS::::Account",
    "alias/",
    "arn:",
    "arn:aws:ec2:::",
    "arn:aws:iam::1:",
    "arn:aws:ecr:r:1:repository/",
    "cn-",
    "x" * 5000,
    10**400,
]
ANY_JSON: st.SearchStrategy[JsonValue] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from(ODD),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=1200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(PLACES), ANY_JSON), min_size=1, max_size=3))
def test_anything_at_any_place(
    changes: list[tuple[tuple[tuple[str, str], tuple[Any, ...]], JsonValue]],
) -> None:
    (name, _), _ = changes[0]
    payload = deepcopy(WHOLE[name])
    for (other, place), value in changes:
        if other == name:
            put(payload, place, value)
    check(name[0], payload)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(SOURCES), ANY_JSON)
def test_any_json(source: str, value: JsonValue) -> None:
    check(source, value)
    check(source, {"Findings": value})


@pytest.mark.parametrize("name", WHOLE, ids="/".join)
def test_as_they_are_they_are_read(name: tuple[str, str]) -> None:
    alerts, field = outcome(name[0], json.dumps(WHOLE[name]).encode())
    assert (len(alerts), field) == (1, "$")


def put(payload: Any, place: tuple[Any, ...], value: JsonValue) -> None:
    """Replace a value, unless an earlier change took away where it stood."""
    *way, last = place
    try:
        for part in way:
            payload = payload[part]
        payload[last] = value
    except (KeyError, IndexError, TypeError):
        return


def check(source: str, payload: JsonValue) -> None:
    """Past the parser, as a poller would come, and through it, as a delivery does."""
    for given_ in (payload, json.dumps(payload).encode()):
        alerts, field = outcome(source, given_)
        assert field.startswith("$")
    # What came through the parser can be kept by every database and read back.
    for alert in alerts:
        written = json.dumps(alert.model_dump(mode="json"), allow_nan=False)
        assert Alert.model_validate_json(written).key == alert.key


def outcome(source: str, payload: JsonValue | bytes) -> tuple[list[Alert], str]:
    """The alerts, or the field that is wrong."""
    one = sources()[source]
    try:
        return (read_alerts(one, payload) if isinstance(payload, bytes) else one.normalise(payload)), "$"
    except BadAlert as error:
        return [], error.field
