"""Slack's mrkdwn as safe HTML, for the page."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime

from markupsafe import Markup, escape

__all__ = ["plain", "to_html"]

_TOKEN = re.compile(r"```(?P<pre>.+?)```|`(?P<code>[^`\n]+)`|<(?P<angle>[^<>\n]+)>", re.DOTALL)
_STYLES = (
    (re.compile(r"(?<![\w*])\*(?=\S)([^*\n]+?)(?<=\S)\*(?![\w*])"), r"<strong>\1</strong>"),
    (re.compile(r"(?<![\w_])_(?=\S)([^_\n]+?)(?<=\S)_(?![\w_])"), r"<em>\1</em>"),
    (re.compile(r"(?<![\w~])~(?=\S)([^~\n]+?)(?<=\S)~(?![\w~])"), r"<s>\1</s>"),
)


def plain(text: str) -> Markup:
    """Text in which nothing is read, with its line breaks."""
    return Markup(str(escape(text)).replace("\n", "<br>"))  # noqa: S704 - escaped just here


def _entities(text: str) -> str:
    """Undo Slack's three entities, as its clients do."""
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def to_html(text: str, channels: Mapping[str, str], users: Mapping[str, str]) -> Markup:
    """Render mrkdwn.

    Args:
        text: Untrusted.
        channels: Channel id → name, for mentions; likewise `users`.
    """
    parts: list[str] = []
    end = 0
    for token in _TOKEN.finditer(text):
        parts.append(_styled(text[end : token.start()]))
        if token["pre"] is not None:
            parts.append(f"<pre>{escape(_entities(token['pre']))}</pre>")
        elif token["code"] is not None:
            parts.append(f"<code>{escape(_entities(token['code']))}</code>")
        else:
            parts.append(_angle(token["angle"], channels, users))
        end = token.end()
    parts.append(_styled(text[end:]))
    return Markup("".join(parts))  # noqa: S704 - every part is escaped


def _styled(text: str) -> str:
    html = str(escape(_entities(text)))
    for pattern, replacement in _STYLES:
        html = pattern.sub(replacement, html)
    return html.replace("\n", "<br>")


def _angle(body: str, channels: Mapping[str, str], users: Mapping[str, str]) -> str:
    target, _, label = body.partition("|")
    if target.startswith("!date^"):
        return _date(target, label)
    if target.startswith("#"):
        return f'<span class="mention">#{escape(channels.get(target[1:], label or target[1:]))}</span>'
    if target.startswith("@"):
        return f'<span class="mention">@{escape(users.get(target[1:], label or target[1:]))}</span>'
    if target.startswith("!"):
        return f'<span class="mention">@{escape(label or target[1:])}</span>'
    if re.match(r"https?://", target):
        url, words = escape(_entities(target)), escape(_entities(label or target))
        return f'<a href="{url}" target="_blank" rel="noreferrer noopener">{words}</a>'
    return str(escape(_entities(body)))


def _date(target: str, label: str) -> str:
    try:
        when = datetime.fromtimestamp(int(target.split("^")[1]), UTC)
    except (IndexError, ValueError, OverflowError, OSError):
        return str(escape(label))
    words = f"{when.day} {when:%b %Y} at {when:%H:%M} UTC"
    return f'<time datetime="{when.isoformat()}" title="{escape(label)}">{words}</time>'
