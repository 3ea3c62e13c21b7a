"""Sending a change once, and being honest about whether it was.

A request whose reply is lost may have been carried out. Whether it may then be sent again is for its author to say;
where it may not, the step ends in `InDoubt` and a person looks.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from soar.actions.contract import ActionContext
from soar.actions.errors import (
    ActionError,
    InDoubt,
    NotSent,
    Refused,
    Throttled,
    Unavailable,
)
from soar.actions.http.checks import Seen
from soar.actions.http.client import HttpAccess
from soar.actions.http.guard import Exchange
from soar.actions.http.outgoing import Outgoing
from soar.actions.http.params import Auth
from soar.actions.http.reply import Reply, raise_for_status, retry_after
from soar.actions.http.result import excerpt
from soar.actions.http.urls import bare

__all__ = ["Sending", "send_once"]

SECONDS = 150.0
"""For one attempt with all that it waits for; below the action's `apply_timeout`, or Temporal would begin a second."""
NOT_SENT_PAUSES = (1.0, 3.0, 8.0)
LONGEST_PAUSE = 60.0
LOOKS = (1.0, 2.0, 4.0, 8.0)
_UNKNOWN = frozenset({408, 500, 502, 503, 504})
"""What a gateway answers as well when the service behind it has done the work and is only late to say so."""

_LOOK_YOURSELF = (
    "look at the service whether it was done; then skip the step if it was, or retry it to send the same request "
    "with the same Idempotency-Key once more"
)


@dataclass(frozen=True)
class Sending:
    """One change to send.

    Args:
        repeatable: Sending it twice does what sending it once does.
        in_place: Looks, by another request, whether it took effect; None: nothing was given to look with.
        redirects: How many are followed, on the same host only.
        timeout: Seconds for one request.
        gone_is_done: 404 and 410 mean that it is done already.
    """

    request: Outgoing
    auth: Auth | None
    accept: tuple[int, ...]
    timeout: float
    max_bytes: int
    repeatable: bool
    in_place: Callable[[], Seen] | None
    redirects: int = 0
    gone_is_done: bool = False


def send_once(ctx: ActionContext, access: HttpAccess, sending: Sending) -> Reply | Seen:
    """Send a change.

    Returns:
        The reply that accepts it; or what was seen instead, where the reply was lost or an earlier try had sent it.

    Raises:
        InDoubt: It may have been carried out, and must not be sent again without somebody looking.
        NotSent: It certainly was not sent.
        ActionError: The service refused it, or (for what may be repeated) is to be tried again.
    """
    what = f"{sending.request.method} {bare(sending.request.url)}"
    if ctx.attempt > 1:
        seen = _look(sending)
        if seen is not None and seen.holds:
            return seen
        if not sending.repeatable:
            raise InDoubt(
                f"{what}: an earlier try ended without saying whether it was sent{_seen(seen)}",
                hint=_LOOK_YOURSELF,
            )
    end = time.monotonic() + SECONDS
    for pause in (*NOT_SENT_PAUSES, None):
        exchange = Exchange(min(end, time.monotonic() + sending.timeout))
        try:
            reply = access.send(
                sending.request,
                sending.auth,
                exchange,
                max_bytes=sending.max_bytes,
                redirects=sending.redirects,
                may_leave=False,
            )
        except (Unavailable, Throttled) as error:
            # Throttled comes from the token's endpoint here: a reply of the service itself is returned.
            if sending.repeatable:
                raise
            if exchange.sent:
                return _doubted(
                    ctx, sending, f"{what}: it was sent, and no reply came: {error.message}", error
                )
            if pause is None or time.monotonic() + pause > end or not ctx.wait(pause):
                raise NotSent(
                    f"nothing was sent: {error.message}", hint=error.hint or "retry the step"
                ) from error
            ctx.report(access.redactor.text(f"not sent yet: {error.message}")[:500])
            continue
        asked = _asked_to_wait(reply)
        if sending.repeatable or asked is None:
            return _judged(ctx, access, sending, reply)
        if pause is None or asked > LONGEST_PAUSE or time.monotonic() + asked > end or not ctx.wait(asked):
            raise Refused(
                f"{what} answered {reply.status}: not now, come back in {asked:.0f} s",
                hint="nothing was done; retry the step then",
            )
    raise AssertionError("the last round returns or raises")


def _judged(ctx: ActionContext, access: HttpAccess, sending: Sending, reply: Reply) -> Reply | Seen:
    """Accept a reply, or say what is wrong with it."""
    if sending.gone_is_done and reply.status in (404, 410) and reply.status not in sending.accept:
        return reply
    unknown = reply.status in _UNKNOWN and reply.status not in sending.accept
    if unknown and not sending.repeatable:
        message = f"{reply.method} {reply.url} answered {reply.status}"
        return _doubted(ctx, sending, f"{message}, which does not say whether it was done", None)
    raise_for_status(
        reply,
        sending.accept,
        excerpt=excerpt(access.redactor, reply),
        secret=sending.auth.secret if sending.auth else "",
    )
    return reply


def _doubted(ctx: ActionContext, sending: Sending, message: str, cause: Exception | None) -> Seen:
    """Look for a while whether a change took effect whose reply was lost.

    Raises:
        InDoubt: It is not seen to have.
    """
    seen = _look(sending)
    for pause in LOOKS if sending.in_place is not None else ():
        if (seen is not None and seen.holds) or not ctx.wait(pause):
            break
        seen = _look(sending)
    if seen is not None and seen.holds:
        return seen
    raise InDoubt(f"{message}{_seen(seen)}", hint=_LOOK_YOURSELF) from cause


def _look(sending: Sending) -> Seen | None:
    if sending.in_place is None:
        return None
    try:
        return sending.in_place()
    except ActionError as error:
        return Seen(False, error.message, {})


def _seen(seen: Seen | None) -> str:
    return f"; looked for, it is not in place: {seen.words}" if seen is not None else ""


def _asked_to_wait(reply: Reply) -> float | None:
    """Seconds that the service asks to wait, having done nothing: 429, or 503 with a `Retry-After`."""
    after = retry_after(reply.headers.get("retry-after", ""))
    if reply.status == 429:
        return 5.0 if after is None else after
    return after if reply.status == 503 else None
