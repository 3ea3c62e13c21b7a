"""What a service answered: read within limits, and turned into the contract's errors where it is a refusal."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import NoReturn

from pydantic import JsonValue

from soar.actions.errors import (
    BadInput,
    BadReply,
    PermissionMissing,
    Refused,
    TargetGone,
    Throttled,
    Unavailable,
)

__all__ = ["Body", "Reply", "parse_json", "raise_for_status", "read_body", "retry_after"]

LONGEST_WAIT = 3600.0
"""Seconds that a `Retry-After` may ask for; more is taken as this."""
DEEPEST = 60
EXCERPT = 300
_GZIP_OR_ZLIB = 47
_BAD_INPUT = frozenset({400, 405, 406, 411, 413, 414, 415, 416, 417, 422, 431})
_CHARSET = re.compile(r"""charset\s*=\s*["']?([A-Za-z0-9_.:-]{1,40})""", re.IGNORECASE)


@dataclass(frozen=True)
class Body:
    """The decoded bytes of a reply.

    Args:
        cut: There was more than the limit allows; what is here is the beginning.
    """

    data: bytes
    cut: bool = False


@dataclass(frozen=True)
class Reply:
    """One reply.

    Args:
        method: Of the request that it answers, after redirects.
        url: Where it came from, for people.
        headers: Names in lower case; a repeated one joined by commas.
        redirects: The URLs that led here, for people.
    """

    method: str
    url: str
    status: int
    headers: dict[str, str]
    body: Body
    redirects: tuple[str, ...] = ()

    @property
    def is_json(self) -> bool:
        """Whether the reply says that it is JSON."""
        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        return kind == "application/json" or kind.endswith("+json")

    def text(self) -> str:
        """The body as text; what cannot be read becomes `\N{REPLACEMENT CHARACTER}`."""
        named = _CHARSET.search(self.headers.get("content-type", ""))
        try:
            return self.body.data.decode(named[1] if named else "utf-8", errors="replace")
        except (LookupError, UnicodeError):
            return self.body.data.decode("utf-8", errors="replace")

    def json(self) -> JsonValue:
        """The body as JSON.

        Raises:
            BadReply: It is not, or not all of it was read.
        """
        if self.body.cut:
            raise BadReply(
                f"{self.method} {self.url}: the reply is larger than {len(self.body.data)} bytes",
                hint="ask for less of it, or raise `max_bytes`",
            )
        try:
            return parse_json(self.body.data)
        except ValueError as error:
            raise BadReply(
                f"{self.method} {self.url}: the reply is not JSON: {error}",
                hint="look at its text; the address may be one for people",
            ) from None


def read_body(chunks: Iterable[bytes], *, encoding: str, limit: int) -> Body:
    """Read a body, decompressed, up to a limit; what lies beyond is not read, whatever it would unpack to.

    Args:
        encoding: The reply's `Content-Encoding`.

    Raises:
        BadReply: It is packed in a way that was not asked for, or damaged.
    """
    packed = encoding.strip().lower()
    if packed in ("", "identity"):
        parts: Iterator[bytes] = iter(chunks)
    elif packed in ("gzip", "x-gzip", "deflate"):
        parts = _unpacked(chunks, limit + 1)
    else:
        raise BadReply(f"the reply is packed as {encoding[:40]!r}, which was not asked for")
    data = bytearray()
    try:
        for part in parts:
            data += part
            if len(data) > limit:
                return Body(bytes(data[:limit]), cut=True)
    except zlib.error as error:
        raise BadReply(f"the reply's {packed} data is damaged: {error}") from None
    return Body(bytes(data))


def _unpacked(chunks: Iterable[bytes], at_most: int) -> Iterator[bytes]:
    """Unpack piece by piece; no piece is larger than `at_most`, so a bomb is met by the caller's limit."""
    unpack = zlib.decompressobj(_GZIP_OR_ZLIB)
    began = False
    for chunk in chunks:
        rest, began = chunk, began or bool(chunk)
        while rest:
            if unpack.eof:
                # Several gzip members in a row are one stream (RFC 1952).
                unpack = zlib.decompressobj(_GZIP_OR_ZLIB)
            piece = unpack.decompress(rest, at_most)
            if piece:
                yield piece
            rest = unpack.unconsumed_tail or unpack.unused_data
    if began and not unpack.eof:
        raise zlib.error("it ends too early")


def parse_json(data: bytes) -> JsonValue:
    """Read JSON strictly: no NaN, nothing nested without end.

    Raises:
        ValueError: It is not such JSON.
    """

    def no_constant(name: str) -> NoReturn:
        raise ValueError(f"{name} is no JSON")

    try:
        value: JsonValue = json.loads(data.decode("utf-8-sig"), parse_constant=no_constant)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None
    _ensure_shallow(value)
    return value


def _ensure_shallow(value: JsonValue) -> None:
    level: list[JsonValue] = [value]
    for _ in range(DEEPEST):
        level = [
            inner
            for outer in level
            if isinstance(outer, (dict, list))
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return
    raise ValueError(f"it is nested more than {DEEPEST} deep")


def retry_after(value: str, *, now: datetime | None = None) -> float | None:
    """Read `Retry-After`, seconds or an HTTP date (RFC 9110, 10.2.3).

    Returns:
        Seconds, an hour at most; None if it says nothing that can be used.
    """
    text = value.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:10]), LONGEST_WAIT)
    try:
        when = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    when = when.replace(tzinfo=UTC) if when.tzinfo is None else when
    seconds = (when - (now or datetime.now(UTC))).total_seconds()
    return min(max(seconds, 0.0), LONGEST_WAIT)


def raise_for_status(reply: Reply, accept: Iterable[int], *, excerpt: str, secret: str = "") -> None:
    """Turn a status that was not asked for into the contract's error.

    Args:
        accept: The statuses that are right; none: every 2xx.
        excerpt: The beginning of the reply, safe to show.
        secret: The name of the secret that was sent, for the hint.

    Raises:
        BadInput, PermissionMissing, TargetGone, Refused, Throttled, Unavailable: As the status says.
    """
    status, wanted = reply.status, frozenset(accept)
    if status in wanted if wanted else 200 <= status < 300:
        return
    what = f"{reply.method} {reply.url} answered {status}"
    message = f"{what}: {excerpt[:EXCERPT]}" if excerpt else what
    after = retry_after(reply.headers.get("retry-after", ""))
    if status < 300:
        raise BadReply(what, hint=f"expected was {', '.join(map(str, sorted(wanted)))}")
    if status < 400:
        raise Refused(what, hint="name the address that it leads to, or allow `redirects`")
    if status in _BAD_INPUT:
        raise BadInput(message, hint="correct `with` in the playbook by what the service says")
    if status in (401, 403, 407, 511):
        credential = f"the secret {secret}" if secret else "no credential: name one in `auth`"
        raise PermissionMissing(
            message,
            permission=f"{reply.method} {reply.url}",
            hint=f"what was sent was {credential}; renew it or give it the right, then retry the step",
        )
    if status in (404, 410):
        raise TargetGone(message, hint="check the address; it may have been deleted")
    if status in (429, 503):
        raise Throttled(message, retry_after=after)
    if status in (408, 425) or (status >= 500 and status not in (501, 505)):
        raise Unavailable(message, hint="the service failed by itself; try again later")
    raise Refused(message, hint="the service does not do this as things stand; see what it says")
