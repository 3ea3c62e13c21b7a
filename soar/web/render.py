"""From facts to HTML. Whatever is shown is data: escaped, and with every character that cannot be seen made visible."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from pydantic import JsonValue

from soar.model.base import canonical_json
from soar.model.terms import Phase, Risk, Severity

__all__ = ["page", "visible"]

_HIDDEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
_BLANK = {0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0}
_JOINERS = {0x200C, 0x200D}  # Persian, Indic scripts and emoji are written with them
_UNITS = ("bytes", "KiB", "MiB", "GiB")


def _shown(character: str) -> str:
    code = ord(character)
    if character in "\n\t" or code in _JOINERS:
        return character
    return f"⟨U+{code:04X}⟩" if unicodedata.category(character) in _HIDDEN or code in _BLANK else character


def visible(text: str) -> str:
    """A text in which controls, bidi marks and zero-width characters are shown by their code point."""
    return text if text.isascii() and text.isprintable() else "".join(map(_shown, text))


def _finalize(item: object) -> object:
    # A macro's result is Markup, and what went into it has come by here.
    if isinstance(item, Markup):
        return item
    return "" if item is None else visible(str(item))


def _when(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"


def _iso(moment: datetime) -> str:
    return moment.isoformat()


def _span(passed: timedelta) -> str:
    """`4.2 s`, `12 min`, `3 h 05 min`, `2 d 4 h`."""
    exact = max(passed.total_seconds(), 0.0)
    seconds = int(exact)
    if seconds < 10:
        return f"{exact:.1f} s"
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02d} s" if seconds < 600 else f"{seconds // 60} min"
    if seconds < 86400:
        return f"{seconds // 3600} h {seconds // 60 % 60:02d} min"
    return f"{seconds // 86400} d {seconds // 3600 % 24} h"


def _ago(moment: datetime) -> str:
    return f"{_span(datetime.now(UTC) - moment)} ago"


def _until(moment: datetime) -> str:
    left = moment - datetime.now(UTC)
    return f"in {_span(left)}" if left > timedelta() else f"{_span(-left)} ago"


def _size(count: int) -> str:
    amount, unit = float(count), 0
    while amount >= 1024 and unit < len(_UNITS) - 1:
        amount, unit = amount / 1024, unit + 1
    return f"{count} {_UNITS[0]}" if unit == 0 else f"{amount:.1f} {_UNITS[unit]}"


def _value(value: JsonValue) -> str:
    """A text as it is; anything else as JSON, in lines where it has parts."""
    if isinstance(value, dict | list):
        return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)
    return value if isinstance(value, str) else canonical_json(value)


def _paragraphs(text: str) -> list[str]:
    """The paragraphs of a text whose lines were broken to fit a file."""
    return [" ".join(part.split()) for part in text.split("\n\n") if part.strip()]


def _words(text: str) -> str:
    return text.replace("_", " ")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("soar.web"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        when=_when,
        iso=_iso,
        span=_span,
        ago=_ago,
        until=_until,
        size=_size,
        json=_value,
        words=_words,
        paragraphs=_paragraphs,
    )
    environment.globals.update(PHASES=tuple(Phase), RISK=Risk, SEVERITY=Severity)
    return environment


def page(
    template: str, /, *, status: int = 200, headers: Mapping[str, str] | None = None, **context: Any
) -> HTMLResponse:
    """A page.

    Args:
        template: Its file's name.
        context: What it shows.
    """
    html = _environment().get_template(template).render({"visitor": None, "here": "", **context})
    return HTMLResponse(html, status_code=status, headers=dict(headers or {}))
