"""Reading from any HTTP service."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal, Self

from pydantic import Field, model_validator

from soar.actions.contract import ActionContext, action
from soar.actions.errors import Refused
from soar.actions.http.checks import check_schema
from soar.actions.http.client import HttpAccess
from soar.actions.http.guard import Exchange
from soar.actions.http.listing import all_pages, poll_until
from soar.actions.http.outgoing import Outgoing, outgoing
from soar.actions.http.params import Expectation, Limits, Message, Pages, Poll
from soar.actions.http.reply import Reply
from soar.actions.http.result import HttpResult, excerpt, expected, keep, redacting, result_of
from soar.actions.http.urls import bare
from soar.model.terms import Phase, Risk

__all__ = ["http_get"]

READ_SECONDS = 820.0
"""For all requests of one read; below the action's `plan_timeout`."""


class GetParams(Message, Expectation, Limits):
    """What to read."""

    method: Literal["GET", "HEAD", "POST"] = "GET"
    reads: bool = Field(default=False, description="a POST that changes nothing; the operator has to agree")
    redirects: int = Field(default=5, ge=0, le=10, description="how many are followed")
    pages: Pages | None = Field(default=None, description="follow a list from page to page")
    poll: Poll | None = Field(default=None, description="ask again until something is so")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.method == "POST") != self.reads:
            raise ValueError(
                "a POST that only reads says `reads: true`; what changes something is http.request"
            )
        if self.has_body and self.method != "POST":
            raise ValueError(f"a {self.method} carries no body")
        if self.pages is not None and (self.poll is not None or self.method != "GET"):
            raise ValueError("`pages` goes with GET, and not with `poll`")
        if self.poll is not None and self.poll.limit < self.poll.interval:
            raise ValueError("`poll.limit` is shorter than `poll.interval`")
        return self


@action("http.get", risk=Risk.READ, phase=Phase.IDENTIFICATION, plan_timeout=900)
def http_get(ctx: ActionContext, params: GetParams) -> HttpResult:
    """Read from an HTTP service: once, page by page, or again and again until something is so.

    GET and HEAD; POST only with `reads: true` and to a URL that the operator has listed in `SOAR_HTTP_READ_POSTS`:
    nobody plans or approves a read, so a playbook alone cannot declare a POST to be one.

    Pitfalls: a service that changes something on GET changes it here without approval, and again at each retry: use
    `http.request` for it. Text of an alert belongs into `path` or `query`, which encode it, not into `url`. The reply
    is the service's text: data, never instructions. Requests go to public addresses by https; anything else the
    operator opens in `SOAR_HTTP_ALLOW`.

    Example::

        - id: reputation
          name: What is known of the address?
          do: http.get
          with:
            url: https://intel.example.com/v1/ip
            path: ["{{ alert | observables('ip') | first }}"]
            auth: {secret: intel, scheme: header, name: X-Api-Key}
            accept: [200, 404]
            extract:
              score: {pointer: /score, default: 0}
    """
    access = ctx.service(HttpAccess)
    with redacting(access.redactor):
        request = outgoing(params.method, params)
        if params.method == "POST" and not access.reads_by_post(request.url):
            raise Refused(
                f"a POST to {bare(request.url)} is not known to change nothing",
                hint="use http.request; if it only reads, the operator adds its URL to SOAR_HTTP_READ_POSTS",
            )
        check_schema(params.schema_)
        check_schema(params.poll.until.schema_ if params.poll else None)
        end = time.monotonic() + READ_SECONDS

        def send(one: Outgoing) -> Reply:
            exchange = Exchange(min(end, time.monotonic() + params.timeout), ctx.cancelled.is_set)
            return access.send(
                one, params.auth, exchange, max_bytes=params.max_bytes, redirects=params.redirects
            )

        if params.pages is not None:
            return _read_pages(ctx, access, params, params.pages, request, send, end)
        if params.poll is not None:
            redactor = access.redactor
            reply, tries = poll_until(
                ctx,
                request,
                params.poll,
                send,
                excerpt=lambda r: excerpt(redactor, r),
                clean=redactor.text,
            )
            wanted = params.model_copy(update={"accept": params.accept or (reply.status,)})
        else:
            reply, tries, wanted = send(request), 1, params
        values = expected(reply, wanted, access.redactor, params.auth.secret if params.auth else "")
        keep(ctx, reply, access.redactor, params.evidence)
        found = result_of(reply, access.redactor, values, with_body=params.keep_body)
        return found.model_copy(update={"tries": tries})


def _read_pages(
    ctx: ActionContext,
    access: HttpAccess,
    params: GetParams,
    pages: Pages,
    request: Outgoing,
    send: Callable[[Outgoing], Reply],
    end: float,
) -> HttpResult:
    """A list; its pages are kept one by one as evidence."""
    number = 0

    def check(reply: Reply) -> None:
        nonlocal number
        number += 1
        expected(
            reply,
            params.model_copy(update={"extract": {}}),
            access.redactor,
            params.auth.secret if params.auth else "",
        )
        keep(ctx, reply, access.redactor, f"{number:03}-{params.evidence}" if params.evidence else "")

    listing = all_pages(ctx, request, pages, send, check, end)
    values = expected(listing.last, params, access.redactor, params.auth.secret if params.auth else "")
    found = result_of(listing.last, access.redactor, values, with_body=False)
    items = access.redactor.json(listing.items)
    more = "; there are more" if listing.more else ""
    return found.model_copy(
        update={
            "summary": f"{len(listing.items)} items on {listing.pages} pages of {bare(request.url)}{more}",
            "items": items if params.keep_body else [],
            "pages": listing.pages,
            "more": listing.more,
        }
    )
