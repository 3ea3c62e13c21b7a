"""A request as it goes onto the wire, made of what the playbook writes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import quote, urlencode

import httpx
from pydantic import JsonValue

from soar.actions.errors import BadInput
from soar.actions.http.params import Message, Scalar
from soar.actions.http.urls import parse_url

__all__ = ["Outgoing", "outgoing", "with_query", "without_query"]

LARGEST_BODY = 262_144
MOST_PARTS = 20
"""More fields of a body than this are shown as one text."""
_OF_THE_BODY = frozenset({"content-type", "content-encoding", "content-language", "content-location"})
_TO_ANYONE = frozenset({"accept", "accept-language", "user-agent"})


@dataclass(frozen=True)
class Outgoing:
    """A request without its credential, which is added for each place it goes to.

    Args:
        headers: Names as written.
    """

    method: str
    url: httpx.URL
    headers: dict[str, str] = field(default_factory=dict)
    content: bytes | None = None

    def as_get(self) -> Outgoing:
        """What a redirect makes of it that changes the method (RFC 9110, 15.4): nothing of the body stays."""
        kept = {n: v for n, v in self.headers.items() if n.lower() not in _OF_THE_BODY}
        return replace(self, method="HEAD" if self.method == "HEAD" else "GET", headers=kept, content=None)

    def to(self, url: httpx.URL, *, stranger: bool) -> Outgoing:
        """The same for another URL; a stranger gets only the headers that tell nothing."""
        kept = {n: v for n, v in self.headers.items() if n.lower() in _TO_ANYONE or not stranger}
        return replace(self, url=url, headers=kept)

    def shown(self, auth: str) -> dict[str, JsonValue]:
        """All of it, part by part, for people: a card shows only the beginning of each part.

        Args:
            auth: The credential, in words.
        """
        parts: dict[str, JsonValue] = {"request": f"{self.method} {self.url}", "credential": auth}
        if self.content:
            parts |= _body_parts(self.content, is_json="application/json" in self.headers.values())
        parts["headers"] = dict(sorted(self.headers.items()))
        return parts


def _body_parts(content: bytes, *, is_json: bool) -> dict[str, JsonValue]:
    """The body: a JSON object field by field, anything else as the text that is sent."""
    if is_json:
        document = json.loads(content)
        if isinstance(document, dict) and 0 < len(document) <= MOST_PARTS:
            return {f"body {name}": value for name, value in document.items()}
    return {"body": content.decode("utf-8")}


def outgoing(method: str, message: Message, headers: Mapping[str, str] | None = None) -> Outgoing:
    """Make a request of a message.

    Args:
        headers: Added where the message does not say them itself.

    Raises:
        BadInput: The URL or the body cannot be sent.
    """
    url = with_query(_deeper(parse_url(message.url), message.path), _pairs(message.query))
    content, kind = _content(message)
    if content is not None and len(content) > LARGEST_BODY:
        raise BadInput(f"the body has {len(content)} bytes; {LARGEST_BODY} at most")
    if content is None and method in ("POST", "PUT", "PATCH"):
        content = b""
    found = dict(message.headers)
    present = {name.lower() for name in found}
    added = {"Accept": "application/json, */*;q=0.5", "User-Agent": "soar", **(headers or {})}
    if kind:
        added["Content-Type"] = kind
    found |= {name: value for name, value in added.items() if name.lower() not in present}
    return Outgoing(method, url, found, content)


def _deeper(url: httpx.URL, parts: Sequence[str | int]) -> httpx.URL:
    """Add parts to a URL's path. Whatever a part holds, it stays one part: it can neither climb nor begin a query."""
    if not parts:
        return url
    texts = [str(part) for part in parts]
    for text in texts:
        if text in ("", ".", ".."):
            raise BadInput(
                f"{text!r} cannot be a part of a URL's path", hint="look at where `path` takes it from"
            )
    path, question, query = url.raw_path.partition(b"?")
    try:
        added = "/".join(quote(text, safe="") for text in texts).encode("ascii")
        return url.copy_with(raw_path=path.rstrip(b"/") + b"/" + added + question + query)
    except (httpx.InvalidURL, UnicodeError):
        raise BadInput("a part of `path` cannot be encoded, or is too long") from None


def with_query(url: httpx.URL, pairs: list[tuple[str, str]]) -> httpx.URL:
    """Add to a URL's query, and leave what is there as it is written.

    Raises:
        BadInput: It cannot be written.
    """
    if not pairs:
        return url
    there = url.query.decode("ascii")
    try:
        return url.copy_with(query="&".join(filter(None, (there, urlencode(pairs)))).encode("ascii"))
    except (httpx.InvalidURL, UnicodeError):
        raise BadInput("the query cannot be encoded, or is too long") from None


def without_query(url: httpx.URL, name: str) -> httpx.URL:
    """Take a parameter out of a URL's query."""
    if name not in url.params:
        return url
    kept = [(n, v) for n, v in url.params.multi_items() if n != name]
    return url.copy_with(query=urlencode(kept).encode("ascii") if kept else None)


def _content(message: Message) -> tuple[bytes | None, str]:
    """The body's bytes and their type."""
    try:
        if message.json_ is not None:
            text = json.dumps(message.json_, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
            return text.encode("utf-8"), "application/json"
        if message.form is not None:
            return urlencode(_pairs(message.form)).encode("ascii"), "application/x-www-form-urlencoded"
        if message.body is not None:
            return message.body.encode("utf-8"), "text/plain; charset=utf-8"
    except ValueError as error:
        raise BadInput(f"the body cannot be written: {str(error)[:200]}") from None
    return None, ""


def _pairs(fields: Mapping[str, Scalar | list[Scalar]]) -> list[tuple[str, str]]:
    """Name and value pairs; a list gives its name several times."""

    def flat() -> Iterator[tuple[str, str]]:
        for name, value in fields.items():
            for one in value if isinstance(value, list) else [value]:
                yield name, str(one).lower() if isinstance(one, bool) else str(one)

    return list(flat())
