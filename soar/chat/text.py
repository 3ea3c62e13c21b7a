"""Making an attacker's text harmless in Slack.

Text that is not ours is shown in one of two ways only: as `plain_text` without emoji, or in a code span. In neither
does Slack read formatting, `:emoji:` or links, so nothing can look like a status that we wrote. `&`, `<` and `>` are
replaced once, in that order (https://docs.slack.dev/messaging/formatting-message-text/#escaping).
"""

from __future__ import annotations

import re
import unicodedata
from datetime import datetime
from urllib.parse import urlsplit

__all__ = [
    "clean",
    "code",
    "escape",
    "escaped",
    "link",
    "mrkdwn",
    "plain",
    "quoted",
    "safe_url",
    "shorten",
    "slack_date",
]

ELLIPSIS = "…"
_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
"""Control, format (which bidi controls and zero-width characters are), surrogate, private, unassigned, line ends."""


def clean(value: str) -> str:
    """Take out what cannot be seen: control, bidi and zero-width characters.

    Every run of white space becomes one space, so that no line can be forged.
    """
    kept = []
    for character in value:
        if character.isspace() or character in "\x1c\x1d\x1e\x1f":
            kept.append(" ")
        elif unicodedata.category(character) not in _HIDDEN:
            kept.append(character)
    return " ".join("".join(kept).split())


def escape(text: str) -> str:
    """Replace Slack's three special characters by their entities, once."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def shorten(text: str, limit: int) -> str:
    """Cut to at most `limit` characters, showing that something was cut."""
    return text if len(text) <= limit else text[: max(limit - 1, 0)].rstrip() + ELLIPSIS[:limit]


def escaped(text: str, limit: int) -> str:
    """Escape, and cut so that the result has at most `limit` characters and no entity is cut in half."""
    whole = escape(text)
    if len(whole) <= limit:
        return whole
    parts: list[str] = []
    room = limit - len(ELLIPSIS)
    for character in text:
        entity = escape(character)
        room -= len(entity)
        if room < 0:
            break
        parts.append(entity)
    return "".join(parts).rstrip() + ELLIPSIS[: max(limit, 0)]


def code(value: str, limit: int = 300) -> str:
    """Text that is not ours as a code span of at most `limit` characters, the two backticks included."""
    text = clean(value).replace("`", "ˋ")
    return f"`{escaped(text or '–', limit - 2)}`"


def plain(value: str, limit: int) -> dict[str, object]:
    """A `plain_text` object: Slack reads nothing in it. Never empty, which Slack would refuse."""
    return {"type": "plain_text", "text": shorten(value, limit) or "–", "emoji": False}


def quoted(text: str, most: int = 40) -> list[str]:
    """Text of several lines, each made harmless and marked as part of it, so that none can pass for one of ours."""
    lines = [line for part in text.splitlines() if (line := clean(part))]
    return [f"│ {line}" for line in lines[:most]] + (["│ " + ELLIPSIS] if len(lines) > most else [])


def mrkdwn(text: str) -> dict[str, object]:
    """A `mrkdwn` object of text that is ready: our own words, and foreign text only by `code` or `link`.

    `verbatim` keeps Slack from making links and mentions out of plain words.
    """
    return {"type": "mrkdwn", "text": text or "–", "verbatim": True}


def safe_url(value: str) -> str:
    """A URL that can stand in a link or a button; empty if it is not http(s) or longer than Slack's 3,000."""
    url = "".join(c for c in value.strip() if unicodedata.category(c) not in _HIDDEN)
    url = re.sub(r"[<>|\"`\s\\]", lambda m: "".join(f"%{b:02X}" for b in m[0].encode()), url)
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return url if parts.scheme in ("http", "https") and parts.netloc and len(url) <= 3000 else ""


def link(url: str, label: str, limit: int = 100) -> str:
    """A link in mrkdwn; only the label where the URL cannot be used."""
    target = safe_url(url)
    text = escaped(clean(label).replace("|", "¦"), limit)
    return f"<{escape(target)}|{text}>" if target else text


def slack_date(when: datetime) -> str:
    """A time in the reader's own zone, with UTC for clients that cannot.

    https://docs.slack.dev/messaging/formatting-message-text/#date-formatting
    """
    return f"<!date^{int(when.timestamp())}^{{date_short_pretty}} at {{time}}|{when:%Y-%m-%d %H:%M} UTC>"
