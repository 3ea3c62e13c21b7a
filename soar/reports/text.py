"""Words for people, and the two ways to make an attacker's text harmless: for HTML and for Markdown.

Characters that cannot be seen, or that turn the direction of what can be, are shown by their code point. Line breaks
are shown as a sign, so that no text forges a line. Links are broken (`hxxp`), as nothing in a report is to be clicked.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import datetime

from markupsafe import Markup
from pydantic import JsonValue

from soar.model.base import canonical_json

__all__ = [
    "clean",
    "clean_line",
    "code_md",
    "duration",
    "escape_md",
    "indicator",
    "provided",
    "size",
    "value",
    "when",
]

LIMIT = 600
"""Characters of one text in HTML and Markdown; the JSON holds it whole."""

_BREAKS = re.compile(r"[ \t]*(?:\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029])[ \t]*")
_SCHEME = re.compile(r"(?i)\bh(t{1,2})p(s?)://")
_WWW = re.compile(r"(?i)\bwww\.")
_EMAIL_AT = re.compile(r"(?<=[\w.+-])@(?=[\w-]+(?:\.[\w-]+)+)")
_MD_SPECIAL = re.compile(r"([\\`*_\[\]|~#!${}])")
_MD_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_ZERO_WIDTH = {0x00AD, 0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x200B, 0x2060, 0x2800, 0x3164, 0xFEFF, 0xFFA0}
_JOINERS = {0x200C, 0x200D}  # Persian, Indic scripts and emoji are written with them


def _shown(character: str) -> str:
    code = ord(character)
    hidden = unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Cn") or code in _ZERO_WIDTH
    return f"⟨U+{code:04X}⟩" if hidden and code not in _JOINERS else character


def clean(text: object, limit: int = LIMIT) -> str:
    """One visible line of text, with its links broken.

    Args:
        limit: Characters kept; how many more there are is said.
    """
    raw = str(text)
    cut = raw[:limit]
    line = _BREAKS.sub(" ⏎ ", cut.replace("\t", " ")).strip()
    line = "".join(map(_shown, line))
    line = _SCHEME.sub(lambda m: f"hxxp{m.group(2)}[:]//", line).replace("://", "[:]//")
    line = _EMAIL_AT.sub("[@]", _WWW.sub("www[.]", line))
    if len(raw) > limit:
        line += f" … ({len(raw) - limit:,} more characters in the JSON)"
    return line


def escape_md(text: object, limit: int = LIMIT) -> Markup:
    """A text as Markdown that means only itself: no heading, link, image, table cell, HTML, emphasis or mention."""
    if isinstance(text, Markup):
        return text
    line = clean(text, limit)
    line = _MD_SPECIAL.sub(r"\\\1", line)
    line = re.sub(r"[&<>]", lambda m: _MD_ENTITIES[m.group()], line)
    line = re.sub(r"^(\d+)([.)])(?=\s|$)", r"\1\\\2", line)
    line = re.sub(r"^([-+=:])", r"\\\1", line)
    line = re.sub(r"(?<!\[)@(?=\w)", r"\\[@\\]", line)  # no mention on a forge
    return Markup(line)  # noqa: S704 - this is the escaping


def code_md(text: object, limit: int = LIMIT) -> Markup:
    """A value in a code span; escaped text where the value could end the span or a table cell."""
    line = clean(text, limit)
    if not line or re.search(r"[`|\\]", line):
        return escape_md(text, limit)
    return Markup(f"`{line}`")  # noqa: S704 - holds no backtick, bar or line break


def indicator(raw: str) -> str:
    """An observable, defanged: no part of it can be followed or resolved by a slip."""
    line = _SCHEME.sub(lambda m: f"hxxp{m.group(2)}://", "".join(map(_shown, raw)))
    return line.replace("://", "[:]//").replace(".", "[.]").replace("@", "[@]")


def value(data: JsonValue) -> str:
    """A value of a change, for people."""
    if data is None or data == "":
        return "(none)"
    return data if isinstance(data, str) else canonical_json(data)


def provided(data: JsonValue) -> str:
    """What a person filled in; that nobody did, where nobody did."""
    if data is None or data == "":
        return "Not provided"
    if isinstance(data, bool):
        return "yes" if data else "no"
    return value(data)


def when(moment: datetime | None) -> str:
    """A time in UTC with milliseconds: `2026-01-31 12:00:00.250`; the column says UTC."""
    if moment is None:
        return "—"
    return f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03d}"


def duration(passed: int | None) -> str:
    """Milliseconds in words: `1 h 02 min 03 s`, `4.250 s`."""
    if passed is None:
        return "Not available"
    if passed < 60_000:
        return f"{passed / 1000:.3f} s"
    seconds = passed // 1000
    days, hours, minutes, seconds = seconds // 86400, seconds // 3600 % 24, seconds // 60 % 60, seconds % 60
    if days:
        return f"{days} d {hours:02d} h {minutes:02d} min"
    return f"{hours} h {minutes:02d} min {seconds:02d} s" if hours else f"{minutes} min {seconds:02d} s"


def size(count: int) -> str:
    """Bytes, exactly."""
    return f"{count:,} bytes" if count != 1 else "1 byte"


def clean_line(line: str) -> str:
    """One line of a longer text, with its indentation; for blocks that show text as it is."""
    indent = len(line) - len(line.lstrip(" "))
    return " " * indent + clean(line, 10_000)
