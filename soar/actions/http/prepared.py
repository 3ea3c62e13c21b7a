"""A change before it is sent: its parameters, its request, and what its look shows."""

from __future__ import annotations

import time
import uuid
from dataclasses import replace
from typing import Literal, Self

from pydantic import Field, JsonValue, model_validator

from soar.actions.contract import ActionContext, Draft, StateBefore
from soar.actions.errors import NotSent, Throttled, Unavailable
from soar.actions.http.auth import auth_words
from soar.actions.http.checks import Seen, look
from soar.actions.http.client import HttpAccess
from soar.actions.http.guard import Exchange
from soar.actions.http.outgoing import Outgoing, outgoing
from soar.actions.http.params import Auth, Condition, Expectation, Limits, Message, Status
from soar.actions.http.reply import raise_for_status
from soar.actions.http.result import excerpt
from soar.actions.http.urls import bare, origin_of
from soar.model.base import canonical_json, digest_of
from soar.model.change import BlastRadius, Change, Target

__all__ = [
    "RequestBefore",
    "RequestParams",
    "auth_of",
    "draft",
    "key_of",
    "keyed",
    "look_at",
    "look_first",
    "repeatable",
    "request_of",
    "turned",
]

LOOK_SECONDS = 20.0
LOOK_PAUSES = (2.0, 0.0)
LOOK_REDIRECTS = 3
KEY = "Idempotency-Key"


class Look(Message):
    """A request that shows whether the change is in place."""

    method: Literal["GET", "HEAD"] = "GET"
    expect: Condition = Field(default=Condition(), description="what it shows when the change is in place")

    @model_validator(mode="after")
    def _no_body(self) -> Self:
        if self.has_body:
            raise ValueError(f"a {self.method} carries no body")
        return self


ChangeMethod = Literal["POST", "PUT", "PATCH", "DELETE"]


class Undo(Message):
    """The request that puts the change back."""

    method: ChangeMethod
    accept: tuple[Status, ...] = Field(default=(), max_length=50, description="statuses; left out: every 2xx")
    safe_to_repeat: bool | None = Field(default=None, description="as for the change itself")


class RequestParams(Message, Expectation, Limits):
    """What to change."""

    method: ChangeMethod = "POST"
    safe_to_repeat: bool | None = Field(
        default=None,
        description="whether sending it twice does what sending it once does; left out: for PUT and DELETE it does",
    )
    redirects: int = Field(default=0, ge=0, le=3, description="how many are followed, on the same host only")
    verify: Look | None = Field(default=None, description="a request that shows whether it is in place")
    undo: Undo | None = Field(default=None, description="a request that puts it back; needs `verify`")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.undo is not None and self.verify is None:
            raise ValueError("`undo` needs `verify`: nobody could see otherwise whether it is put back")
        return self


class RequestBefore(StateBefore):
    """What `verify` showed before; None: there was nothing to look with."""

    in_place: bool | None


def repeatable(method: str, said: bool | None) -> bool:
    """Whether a request may be sent again when nobody knows what became of it (RFC 9110, 9.2.2, unless said)."""
    return method in ("PUT", "DELETE") if said is None else said


def auth_of(message: Message, change: RequestParams) -> Auth | None:
    """The credential of a look or an undo: its own, or on the same host that of the change."""
    if message.auth is not None or change.auth is None:
        return message.auth
    here, there = outgoing("GET", message).url, outgoing("GET", change).url
    return change.auth if origin_of(here) == origin_of(there) else None


def keyed(ctx: ActionContext, request: Outgoing, part: str) -> Outgoing:
    """Give a request its Idempotency-Key: the same for the same content of the same step, at every try.

    Args:
        part: `apply` or `undo`.
    """
    if key_of(request):
        return request
    content = digest_of(request.content or b"")
    key = digest_of([ctx.incident_id, ctx.step_id, part, request.method, str(request.url), content])
    return replace(request, headers={**request.headers, KEY: str(uuid.UUID(key[:32]))})


def key_of(request: Outgoing) -> str:
    """The Idempotency-Key of a request; the playbook may have written one itself."""
    return next((value for name, value in request.headers.items() if name.lower() == KEY.lower()), "")


def request_of(ctx: ActionContext, params: RequestParams) -> Outgoing:
    """The request that makes the change."""
    return keyed(ctx, outgoing(params.method, params), "apply")


def look_at(access: HttpAccess, params: RequestParams) -> Seen:
    """Look once whether the change is in place.

    Raises:
        ActionError: What was seen does not tell: the service failed, refused, or sent us elsewhere.
    """
    probe = params.verify
    if probe is None:
        raise TypeError("there is nothing to look with")
    auth = auth_of(probe, params)
    exchange = Exchange(time.monotonic() + min(params.timeout, LOOK_SECONDS))
    reply = access.send(
        outgoing(probe.method, probe),
        auth,
        exchange,
        max_bytes=params.max_bytes,
        redirects=LOOK_REDIRECTS,
    )
    if reply.status not in {404, 410, *probe.expect.status}:
        # A refusal or a failure would pass for "not in place", and so for an undo that worked.
        text = excerpt(access.redactor, reply)
        raise_for_status(reply, range(200, 300), excerpt=text, secret=auth.secret if auth else "")
    return look(probe.expect, reply)


def look_first(
    ctx: ActionContext, access: HttpAccess, params: RequestParams, request: Outgoing
) -> Seen | None:
    """See that the request may be sent at all, and whether it still needs to be.

    Raises:
        NotSent: The service cannot be reached; Temporal must not try again by itself, because a second try of
            something that may be sent only once could not know what became of the first.
        ActionError: It may not be sent, or the look tells nothing.
    """
    for pause in LOOK_PAUSES:
        try:
            access.check(request, params.auth)
            if params.undo is not None:
                access.check(outgoing(params.undo.method, params.undo), auth_of(params.undo, params))
            return look_at(access, params) if params.verify is not None else None
        except (Unavailable, Throttled) as error:
            if pause and ctx.wait(pause):
                continue
            if repeatable(params.method, params.safe_to_repeat) or ctx.attempt > 1:
                raise
            raise NotSent(
                f"could not look before {params.method} {bare(request.url)}: {error.message}",
                hint="retry the step once the service answers again",
            ) from error
    raise AssertionError("the last round returns or raises")


def draft(
    ctx: ActionContext, access: HttpAccess, params: RequestParams, request: Outgoing, seen: Seen | None
) -> Draft[RequestBefore]:
    """The plan: the very request that will be sent."""
    where = bare(request.url)
    target = Target(uid=where, type="HTTP resource", name=origin_of(request.url).host)
    in_place = seen.holds if seen is not None else None
    words = access.redactor.text(seen.words) if seen is not None else ""
    if in_place:
        return Draft(
            summary=f"{where} is as wanted: {words}",
            targets=(target,),
            changes=(),
            state=RequestBefore(in_place=True),
        )
    shown = request.shown(auth_words(params.auth))
    return Draft(
        summary=f"Send {params.method} to {where}",
        targets=(target,),
        changes=tuple(
            Change(target=where, field=access.redactor.text(part), before=None, after=value)
            for part, value in ((part, _clean(access, part, value)) for part, value in shown.items())
        ),
        state=RequestBefore(in_place=in_place),
        blast_radius=BlastRadius(
            summary="What the request does is known to the service alone.",
            facts=(f"seen now: {words}",) if words else (),
        ),
        warnings=tuple(_warnings(params)),
        undo=_undo_words(ctx, access, params),
    )


def _clean(access: HttpAccess, part: str, value: JsonValue) -> JsonValue:
    """A part of a request without secrets, known ones and those that are called so."""
    name = part.removeprefix("body ")
    cleaned = access.redactor.json({name: value})
    return next(iter(cleaned.values())) if isinstance(cleaned, dict) else cleaned


def _warnings(params: RequestParams) -> list[str]:
    found = []
    if params.undo is None:
        found.append("This cannot be undone: no `undo` request is given.")
    if params.verify is None:
        found.append(
            "Only the status of the reply will show whether it worked: no `verify` request is given."
        )
    if not repeatable(params.method, params.safe_to_repeat):
        found.append("It is sent once: if its reply is lost, a person decides whether to send it again.")
    return found


def _undo_words(ctx: ActionContext, access: HttpAccess, params: RequestParams) -> str:
    if params.undo is None:
        return ""
    request = keyed(ctx, outgoing(params.undo.method, params.undo), "undo")
    shown = request.shown(auth_words(auth_of(params.undo, params)))
    first = shown.pop("request")
    rest = ", ".join(
        f"{part}: {canonical_json(_clean(access, part, value))}" for part, value in shown.items()
    )
    return access.redactor.text(f"{first} ({rest})")


def turned(seen: Seen) -> Seen:
    """The same look, asked whether the change is gone."""
    return Seen(not seen.holds, seen.words, seen.values)
