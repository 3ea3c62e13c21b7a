"""Reads that take more than one request: a list from page to page, and waiting until something is so."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import httpx
from pydantic import JsonValue

from soar.actions.contract import ActionContext
from soar.actions.errors import ActionError, BadReply, Refused, Throttled, TimedOut, Unavailable
from soar.actions.http.checks import look
from soar.actions.http.outgoing import Outgoing, with_query, without_query
from soar.actions.http.params import Pages, Poll
from soar.actions.http.pointer import Missing, find
from soar.actions.http.reply import Reply, raise_for_status, retry_after
from soar.actions.http.urls import bare, origin_of, parse_url

__all__ = ["Listing", "all_pages", "poll_until"]

MOST_BYTES = 32 * 1024 * 1024
LONGEST_PAUSE = 60.0
PAUSES = 5
_PASSING = frozenset({404, 408, 409, 425, 429})
_LINK = re.compile(r'<([^<>]{1,8192})>((?:\s*;\s*[\w!#$&+.^`|~*-]+(?:\s*=\s*(?:"[^"]*"|[^\s",;]+))?)*)')
_REL = re.compile(r';\s*rel\s*=\s*(?:"([^"]*)"|([^\s",;]+))', re.IGNORECASE)

Send = Callable[[Outgoing], Reply]
Check = Callable[[Reply], None]
"""Raises where a page is not as expected."""


@dataclass(frozen=True)
class Listing:
    """The items of all pages.

    Args:
        last: The last page's reply.
        more: There were more than the limits allow.
    """

    items: list[JsonValue]
    pages: int
    more: bool
    last: Reply


def all_pages(
    ctx: ActionContext, first: Outgoing, pages: Pages, send: Send, check: Check, deadline: float
) -> Listing:
    """Read page after page, up to the limits.

    Args:
        deadline: On the monotonic clock.

    Raises:
        BadReply: A page is no list, or the pages go round in circles.
        Refused: The next page is on another host.
    """
    items: list[JsonValue] = []
    seen = {str(first.url)}
    request, size, pauses = first, 0, 0
    while True:
        reply = send(request)
        if reply.status in (429, 503) and pauses < PAUSES and time.monotonic() < deadline:
            # A list is long, and what is read of it already is not thrown away for a pause.
            pauses += 1
            after = retry_after(reply.headers.get("retry-after", ""))
            pause = 2.0**pauses if after is None else after
            if pause <= LONGEST_PAUSE and ctx.wait(pause):
                continue
        check(reply)
        document = reply.json()
        there = find(document, pages.items)
        if not isinstance(there, list):
            raise BadReply(
                f"{reply.method} {reply.url}: there is no list at {pages.items or 'the top'}",
                hint="set `pages.items` to the JSON pointer of the page's list",
            )
        items += there
        size += len(reply.body.data)
        count = len(seen)
        ctx.report(f"{count} pages, {len(items)} items")
        following = _next(request.url, reply, document, pages)
        if following is not None and str(following) in seen:
            raise BadReply(
                f"{bare(request.url)}: page {count} leads back to one that was read already",
                hint="look at `pages.next`; the service's paging goes round in circles",
            )
        full = len(items) >= pages.max_items or count >= pages.max_pages or size >= MOST_BYTES
        late = time.monotonic() >= deadline or ctx.cancelled.is_set()
        if following is None or full or late:
            more = following is not None or len(items) > pages.max_items
            return Listing(items[: pages.max_items], count, more, reply)
        seen.add(str(following))
        request = replace(request, url=following)


def _next(here: httpx.URL, reply: Reply, document: JsonValue, pages: Pages) -> httpx.URL | None:
    """Where the next page is; None: this is the last one."""
    if pages.next is None:
        found: str | None = _linked(reply.headers.get("link", ""))
    else:
        there = find(document, pages.next)
        if isinstance(there, Missing) or there is None or there is False or there == "":
            return None
        if isinstance(there, bool) or not isinstance(there, (str, int)):
            raise BadReply(f"{reply.url}: what is at {pages.next} is neither a URL nor a cursor")
        found = str(there)
    if not found:
        return None
    try:
        if pages.cursor:
            return with_query(without_query(here, pages.cursor), [(pages.cursor, found)])
        url = parse_url(found, base=here)
    except ActionError as error:
        raise BadReply(f"{reply.url}: the next page's address cannot be used: {error.message}") from None
    if origin_of(url) != origin_of(here):
        raise Refused(
            f"{reply.url}: its next page is on another host, {origin_of(url)}",
            hint="a list stays on the host that it begins on; read the other one by a step of its own",
        )
    return url


def _linked(header: str) -> str:
    """The target of `rel=next` in a Link header (RFC 8288)."""
    for target, attributes in _LINK.findall(header[:20_000]):
        relations = [(quoted or plain).lower().split() for quoted, plain in _REL.findall(attributes)]
        if any("next" in names for names in relations[:1]):
            return str(target)
    return ""


def poll_until(
    ctx: ActionContext,
    request: Outgoing,
    poll: Poll,
    send: Send,
    *,
    excerpt: Callable[[Reply], str],
    clean: Callable[[str], str],
) -> tuple[Reply, int]:
    """Ask until the condition holds.

    Args:
        excerpt: The beginning of a reply, for an error.
        clean: Takes secrets out of a text.

    Returns:
        The reply that it held in, and how many requests it took.

    Raises:
        TimedOut: It did not come to hold within the limit.
        ActionError: The service refuses for good.
    """
    started = time.monotonic()
    tries = 0
    while True:
        tries += 1
        pause, seen = poll.interval, ""
        try:
            reply = send(request)
            found = look(poll.until, reply)
            if found.holds:
                return reply, tries
            seen = found.words
            after = (
                retry_after(reply.headers.get("retry-after", "")) if reply.status in (429, 503, 202) else None
            )
            pause = max(pause, after or 0.0)
            if 400 <= reply.status < 500 and reply.status not in _PASSING:
                raise_for_status(reply, (), excerpt=excerpt(reply))
        except (Unavailable, Throttled) as error:
            seen = error.message
        passed = time.monotonic() - started
        # The heartbeat is seen in Temporal, and the reply may repeat a secret.
        ctx.report(clean(f"not so after {tries} requests and {passed:.0f} s: {seen}")[:500])
        if passed + pause > poll.limit or not ctx.wait(pause):
            raise TimedOut(
                f"{request.method} {bare(request.url)}: not so after {tries} requests in {passed:.0f} s: {seen}",
                hint="look at the service; retry the step to wait again, or raise `poll.limit`",
            )
