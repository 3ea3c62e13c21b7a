"""The log: one line per event, escaped and without secrets."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soar.runtime.logging import EventFormatter, configure_logging


def line(style: str = "text", secrets: tuple[str, ...] = (), **extra: object) -> str:
    record = logging.LogRecord("soar.test", logging.INFO, __file__, 1, "intake.refused", None, None)
    record.__dict__.update(extra)
    return EventFormatter("json" if style == "json" else "text", secrets).format(record)


def test_key_value() -> None:
    text = line(source="guardduty", count=3, reason='bad "signature"', ok=True, missing=None)
    assert text.partition(" level=")[2] == (
        'info logger=soar.test event=intake.refused source=guardduty count=3 reason="bad \\"signature\\"" '
        "ok=true missing=null"
    )


@given(st.text())
def test_one_event_is_one_printable_line(text: str) -> None:
    for style in ("text", "json"):
        written = line(style, title=text)
        assert written.isprintable()
        assert len(written.splitlines()) == 1


def test_json_is_json() -> None:
    assert json.loads(line("json", title="a\nb", count=2))["title"] == "a\nb"


@pytest.mark.parametrize("style", ["text", "json"])
@pytest.mark.parametrize(
    "secret",
    [
        "hunter2-hunter2",
        "xoxb-123456789012-abcdef",
        "xapp-1-A0123-456-abcdef",
        "Bearer eyJhbGciOiJIUzI1NiJ9.e30.abc",
        "ops:p4ssw0rd",
    ],
)
def test_secrets_are_blanked(style: str, secret: str) -> None:
    text = f"postgresql://{secret}@db/soar" if ":" in secret else f"refused {secret} here"
    written = line(style, ("hunter2-hunter2",), detail=text, more={"deep": [text]})
    assert secret not in written
    assert "[redacted]" in written


def test_errors_stay_on_the_line() -> None:
    try:
        raise ValueError("first\nsecond")
    except ValueError as error:
        record = logging.LogRecord(
            "soar.test", logging.ERROR, __file__, 1, "x", None, (ValueError, error, error.__traceback__)
        )
    written = EventFormatter().format(record)
    assert 'error="ValueError: first\\nsecond"' in written
    assert "Traceback" in written
    assert "\n" not in written


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    logger = logging.getLogger()
    handlers, level = list(logger.handlers), logger.level
    yield logger
    logger.handlers[:] = handlers
    logger.setLevel(level)


def test_configuring_twice_writes_once(root: logging.Logger) -> None:
    first, second = io.StringIO(), io.StringIO()
    configure_logging(stream=first)
    configure_logging("json", "warning", stream=second)
    logging.getLogger("soar.x").info("quiet")
    logging.getLogger("soar.x").warning("loud", extra={"who": "ada"})
    assert first.getvalue() == ""
    assert json.loads(second.getvalue())["who"] == "ada"
