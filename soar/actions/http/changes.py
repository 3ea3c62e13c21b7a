"""Changing something at any HTTP service."""

from __future__ import annotations

from soar.actions.contract import Action, ActionContext, Draft, Planned, action
from soar.actions.errors import Refused, Throttled, Unavailable
from soar.actions.http.checks import Seen, check_schema
from soar.actions.http.client import HttpAccess
from soar.actions.http.outgoing import outgoing
from soar.actions.http.prepared import (
    RequestBefore,
    RequestParams,
    auth_of,
    draft,
    key_of,
    keyed,
    look_at,
    look_first,
    repeatable,
    request_of,
    turned,
)
from soar.actions.http.result import expected, keep, redacting, result_of
from soar.actions.http.sending import Sending, send_once
from soar.actions.http.urls import bare
from soar.model.base import JsonObject
from soar.model.change import Result, Verification
from soar.model.terms import Phase, Risk

__all__ = ["HttpRequest"]


@action(
    "http.request",
    risk=Risk.DISRUPTIVE,
    phase=Phase.CONTAINMENT,
    plan_timeout=120,
    apply_timeout=300,
    verify_timeout=60,
)
class HttpRequest(Action[RequestParams, RequestBefore]):
    """Change something at an HTTP service: the plan shows the very request, and it is sent once.

    Pre-condition: the address is public and spoken to by https, or the operator has opened it in `SOAR_HTTP_ALLOW`; the
    secret named in `auth` is meant for that host. If `verify` shows already what it should, nothing is sent.

    Verified by the request given in `verify`: its status, values at JSON pointers, a JSON Schema. Without it, the
    status of the reply is all that was seen, and the plan says so.

    Undone by the request given in `undo`, which needs `verify` to see that it is put back. Without it the plan says
    that it cannot be undone.

    Pitfalls: what a request does is known to the service alone, so its risk is `disruptive` whatever it does; ask for
    two approvals for what deletes. A POST whose reply is lost may have been carried out. It carries an Idempotency-Key
    made of incident, step and content, but many services ignore that; so POST and PATCH are not sent again by
    themselves: the step ends in `InDoubt` unless `verify` shows the effect. Say `safe_to_repeat: true` where a second
    one does no harm.

    Example::

        - id: block_address
          name: Put the address on the firewall's block list
          do: http.request
          with:
            method: PUT
            url: https://firewall.example.com/api/blocklist
            path: ["{{ alert | observables('ip') | first }}"]
            auth: {secret: firewall, scheme: bearer}
            json: {reason: "incident {{ incident.id }}"}
            verify:
              url: https://firewall.example.com/api/blocklist
              path: ["{{ alert | observables('ip') | first }}"]
              expect:
                equals: {/active: true}
            undo:
              method: DELETE
              url: https://firewall.example.com/api/blocklist
              path: ["{{ alert | observables('ip') | first }}"]
    """

    def plan(self, ctx: ActionContext, params: RequestParams) -> Draft[RequestBefore]:
        access = ctx.service(HttpAccess)
        with redacting(access.redactor):
            check_schema(params.schema_)
            check_schema(params.verify.expect.schema_ if params.verify else None)
            request = request_of(ctx, params)
            before = look_first(ctx, access, params, request)
            return draft(ctx, access, params, request, before)

    def apply(self, ctx: ActionContext, planned: Planned[RequestParams, RequestBefore]) -> Result:
        access, params = ctx.service(HttpAccess), planned.params
        with redacting(access.redactor):
            request = request_of(ctx, params)
            sending = Sending(
                request=request,
                auth=params.auth,
                accept=params.accept,
                timeout=params.timeout,
                max_bytes=params.max_bytes,
                repeatable=repeatable(params.method, params.safe_to_repeat),
                in_place=(lambda: look_at(access, params)) if params.verify else None,
                redirects=params.redirects,
                gone_is_done=params.method == "DELETE" and ctx.attempt > 1,
            )
            came = send_once(ctx, access, sending)
            key: JsonObject = {"idempotency_key": key_of(request)}
            if isinstance(came, Seen):
                return Result(
                    summary=f"{params.method} {bare(request.url)}: no reply was read, but it is in place: "
                    + access.redactor.text(came.words),
                    data={"reply": None, **key},
                )
            wanted = params.model_copy(update={"accept": (came.status,)})
            values = expected(came, wanted, access.redactor, params.auth.secret if params.auth else "")
            keep(ctx, came, access.redactor, params.evidence)
            found = result_of(came, access.redactor, values, with_body=params.keep_body)
            data = found.model_dump(mode="json", exclude={"summary", "items", "pages", "more", "tries"})
            return Result(summary=found.summary, data={**data, **key})

    def verify(self, ctx: ActionContext, planned: Planned[RequestParams, RequestBefore]) -> Verification:
        access, params = ctx.service(HttpAccess), planned.params
        if params.verify is None:
            return Verification(
                verified=True,
                seen="the service accepted the request; nothing else was looked at",
                method="status of the reply",
            )
        with redacting(access.redactor):
            method = f"{params.verify.method} {bare(outgoing(params.verify.method, params.verify).url)}"
            try:
                seen = look_at(access, params)
            except (Unavailable, Throttled) as error:
                return Verification(verified=False, seen=error.message, method=method)
            return Verification(
                verified=seen.holds,
                seen=access.redactor.text(seen.words),
                method=method,
                data={"values": access.redactor.json(dict(seen.values))},
            )

    def undo(self, ctx: ActionContext, planned: Planned[RequestParams, RequestBefore]) -> Result:
        access, params = ctx.service(HttpAccess), planned.params
        back = params.undo
        if back is None:
            raise Refused(
                f"{params.method} {params.url} cannot be undone: no undo request was given",
                hint="put it back by hand, and record that it was",
            )
        with redacting(access.redactor):
            auth = auth_of(back, params)
            request = keyed(ctx, outgoing(back.method, back), "undo")
            came = send_once(
                ctx,
                access,
                Sending(
                    request=request,
                    auth=auth,
                    accept=back.accept,
                    timeout=params.timeout,
                    max_bytes=params.max_bytes,
                    repeatable=repeatable(back.method, back.safe_to_repeat),
                    in_place=lambda: turned(look_at(access, params)),
                    gone_is_done=back.method == "DELETE",
                ),
            )
            said = "is put back" if isinstance(came, Seen) else f"answered {came.status}"
            return Result(summary=f"{back.method} {bare(request.url)} {said}")
