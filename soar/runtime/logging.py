"""The log: one line per event, as key=value or JSON, to standard error.

Log with the standard library: `log.info("intake.refused", extra={"source": name, "reason": why})`. The message
is the event's name; everything else goes into `extra`. Values may be an attacker's text: whatever is not
printable (line breaks, control and direction-changing characters) is escaped, so one event is one line and a
terminal shows what is there. Secrets are blanked, both those in the settings and whatever looks like one.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Literal, TextIO

__all__ = ["EventFormatter", "configure_logging"]

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}
_REDACTED = "[redacted]"
_SHORTEST_SECRET = 6
_SECRET_SHAPES = re.compile(
    r"""
    \bxox[abeoprs]-[A-Za-z0-9-]{8,}          # Slack tokens
    | \bxapp-[A-Za-z0-9-]{8,}
    | (?<=://)[^\s/:@]*:[^\s/@]+(?=@)        # user:password in a URL
    | (?i:\bbearer\s+)[A-Za-z0-9._~+/=-]{8,}
    | -----BEGIN[ ][A-Z ]*PRIVATE[ ]KEY-----.*?(?:-----END[ ][A-Z ]*PRIVATE[ ]KEY-----|\Z)
    """,
    re.VERBOSE | re.DOTALL,
)
_BARE = re.compile(r"[^\s\"'=\\]+")


class EventFormatter(logging.Formatter):
    """Writes a record as one line.

    Args:
        style: `text` for key=value, `json` for one object a line.
        secrets: Values that are blanked wherever they turn up.
    """

    def __init__(self, style: Literal["text", "json"] = "text", secrets: Iterable[str] = ()) -> None:
        super().__init__()
        self._json = style == "json"
        known = sorted({s for s in secrets if len(s) >= _SHORTEST_SECRET}, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, known))) if known else None

    def format(self, record: logging.LogRecord) -> str:
        """See base class."""
        fields: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        fields |= {k: v for k, v in vars(record).items() if k not in _STANDARD and not k.startswith("_")}
        if record.exc_info and record.exc_info[0] is not None:
            fields["error"] = f"{record.exc_info[0].__name__}: {record.exc_info[1]}"
            fields["trace"] = self.formatException(record.exc_info)
        if record.stack_info:
            fields["stack"] = record.stack_info
        if self._json:
            return json.dumps({k: self._clean(v) for k, v in fields.items()}, ensure_ascii=True)
        return " ".join(f"{_key(k)}={_quote(self._clean(v))}" for k, v in fields.items())

    def _clean(self, value: object) -> str | int | float | bool | None:
        if value is None or isinstance(value, (bool, int, float)):
            return value
        return self.redact(value if isinstance(value, str) else _text(value))

    def redact(self, text: str) -> str:
        """Blank the secrets in a text."""
        if self._known:
            text = self._known.sub(_REDACTED, text)
        return _SECRET_SHAPES.sub(_REDACTED, text)


def _text(value: object) -> str:
    if isinstance(value, (dict, list, tuple)):
        return json.dumps(value, default=str, ensure_ascii=False)
    return str(value)


def _key(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.]", "_", name)


def _quote(value: str | int | float | bool | None) -> str:
    if not isinstance(value, str):
        return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    if _BARE.fullmatch(value) and value.isprintable():
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else _escape(c) for c in escaped) + '"'


def _escape(character: str) -> str:
    named = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
    if character in named:
        return named[character]
    code = ord(character)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def configure_logging(
    style: Literal["text", "json"] = "text",
    level: str = "info",
    *,
    secrets: Iterable[str] = (),
    stream: TextIO | None = None,
) -> None:
    """Send every logger of the process through one formatter. Calling it again replaces the first.

    Args:
        style: `text` or `json`.
        level: The least that is written.
        secrets: Values to blank: `Settings.secret_values()`.
        stream: Where to; standard error by default.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(EventFormatter(style, secrets))
    root = logging.getLogger()
    for old in list(root.handlers):
        if isinstance(old.formatter, EventFormatter):
            root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    # These tell of every request and retry at `info`; what matters of it we log ourselves.
    for noisy in ("botocore", "boto3", "urllib3", "httpx", "httpcore", "aiosqlite", "slack_sdk", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
