"""A message, and the few blocks that our cards are made of, kept within Slack's limits.

Limits: https://docs.slack.dev/reference/block-kit/blocks/. A whole message fails near 13,000 characters; the budget
here is 9,000.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from soar.chat.text import clean, code, escaped, mrkdwn, plain, safe_url, shorten
from soar.model.base import Digest, Fact, digest_of

__all__ = ["BUDGET", "Block", "Message", "button", "context", "fit", "header", "lines_of", "prose", "section"]

Block = dict[str, Any]
BUDGET = 9_000
MAX_BLOCKS = 50
_SECTION = 3_000


class Message(Fact):
    """What is posted: blocks, and the text for notifications and screen readers (escaped already)."""

    text: str
    blocks: tuple[Block, ...] = ()

    @property
    def digest(self) -> Digest:
        """Equal digests look the same."""
        return digest_of([self.text, list(self.blocks)])


def header(text: str) -> Block:
    """A title line."""
    return {"type": "header", "text": plain(clean(text), 150)}


def section(text: str, fields: Iterable[str] = ()) -> Block:
    """Our own words in mrkdwn. The text must be short enough: mrkdwn is never cut, for a cut may open a span."""
    if len(text) > _SECTION:
        raise ValueError(f"a section of {len(text)} characters")
    block: Block = {"type": "section"}
    if text:
        block["text"] = mrkdwn(text)
    pairs = [mrkdwn(field) for field in fields][:10]
    if pairs:
        block["fields"] = pairs
    return block


def prose(text: str, limit: int = 600) -> Block:
    """A paragraph that may hold foreign text: nothing in it is read as formatting, and it is one line."""
    return {"type": "section", "text": plain(clean(text), limit)}


def lines_of(lines: Iterable[str], limit: int) -> Block:
    """Several lines that may hold foreign text; each is clean already."""
    return {"type": "section", "text": plain("\n".join(lines), limit)}


def context(*texts: str) -> Block:
    """Small print, at most ten elements."""
    return {"type": "context", "elements": [mrkdwn(text) for text in texts[:10]]}


def button(label: str, action_id: str, value: str = "", *, style: str = "", url: str = "") -> Block:
    """A button. Its value is an id and nothing else."""
    block: Block = {"type": "button", "text": plain(label, 75), "action_id": action_id}
    if value:
        if len(value) > 2_000:
            raise ValueError("a button's value is longer than Slack takes")
        block["value"] = value
    if style:
        block["style"] = style
    if url:
        block["url"] = safe_url(url)
    return block


def fields_line(values: Iterable[str], limit: int, each: int = 120) -> str:
    """Code spans, comma separated, as many as fit; then how many are left."""
    words, total = list(values), 0
    shown: list[str] = []
    for value in words:
        span = code(value, each)
        total += len(span) + 2
        if total > limit - 20:
            break
        shown.append(span)
    more = len(words) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def fit(text: str, head: list[Block], body: list[Block], foot: list[Block]) -> Message:
    """Make a message that Slack takes: what does not fit is left out of the body's end, and the card says so.

    Args:
        text: The notification text, not yet escaped.
        head: Always shown, with `foot`; both are small.
        body: Shown as far as the budget allows, in order of importance.
    """
    notice = context("_Shortened: the whole is in the console and the report._")
    room = BUDGET - len(json.dumps([*head, *foot, notice], ensure_ascii=False)) - 600
    places = MAX_BLOCKS - len(head) - len(foot) - 1
    shown: list[Block] = []
    for block in body:
        room -= len(json.dumps(block, ensure_ascii=False)) + 2
        if room < 0 or len(shown) == places:
            shown.append(notice)
            break
        shown.append(block)
    return Message(text=escaped(shorten(clean(text), 400), 500), blocks=(*head, *shown, *foot))
