"""Faults of the simulated account: a proxy between the workers and the account that answers some calls itself."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from xml.sax.saxutils import escape

import aiohttp
from aiohttp import web
from yarl import URL

from soar.model.base import JsonObject
from soar.playbook.expressions import render
from soar.playtest.calls import ApiCall, read_call
from soar.playtest.spec import AnswerFault, DenyFault, FailFault, Fault, permission_of

__all__ = ["FaultyAccount", "faulty_account"]

_BODY_BYTES = 64 * 1024 * 1024
_OF_THE_CONNECTION = frozenset(
    {"connection", "keep-alive", "transfer-encoding", "expect", "upgrade", "content-length"}
)
_REQUEST_ID = "00000000-0000-0000-0000-000000000000"


class FaultyAccount:
    """The account as the workers see it.

    Args:
        target: Where the account itself listens.
        faults: What does not work.
        principal: Whom the account takes the workers for.
        variables: What templates of an answer may read.
    """

    def __init__(
        self, target: str, faults: Sequence[Fault], principal: str, variables: JsonObject | None = None
    ) -> None:
        self._target, self._faults, self._principal = target, tuple(faults), principal
        self._variables = variables or {}
        self._seen = [0] * len(self._faults)
        self._session: aiohttp.ClientSession | None = None
        self.url = ""

    def unused(self) -> list[int]:
        """The indexes of the faults that no call has met."""
        return [
            index
            for index, (fault, seen) in enumerate(zip(self._faults, self._seen, strict=True))
            if seen <= (0 if isinstance(fault, DenyFault) else fault.after)
        ]

    @contextlib.asynccontextmanager
    async def serve(self) -> AsyncIterator[None]:
        """Listen on loopback for the length of a block."""
        application = web.Application(client_max_size=_BODY_BYTES)
        application.router.add_route("*", "/{path:.*}", self._handle)
        # What is compressed stays so: an object is stored as it was sent.
        runner = web.AppRunner(application, access_log=None, handle_signals=False, auto_decompress=False)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            host, port = runner.addresses[0][:2]
            self.url = f"http://{host}:{port}"
            async with aiohttp.ClientSession(
                auto_decompress=False, timeout=aiohttp.ClientTimeout(total=120)
            ) as session:
                self._session = session
                yield
        finally:
            await runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        path, _, query = request.raw_path.partition("?")
        call = await asyncio.to_thread(read_call, request.method, path, query, headers, body)
        reply = self._fault(call) if call is not None else None
        return reply or await self._forward(request, body)

    def _fault(self, call: ApiCall) -> web.Response | None:
        chosen: Fault | None = None
        for index, fault in enumerate(self._faults):
            if not call.takes(permission_of(fault)[1]):
                continue
            self._seen[index] += 1
            seen = self._seen[index]
            if chosen is None and _meets(fault, seen):
                chosen = fault
        match chosen:
            case None:
                return None
            case DenyFault():
                code = {"ec2": "UnauthorizedOperation", "json": "AccessDeniedException"}.get(
                    call.style, "AccessDenied"
                )
                message = f"User: {self._principal} is not authorized to perform: {chosen.deny}"
                return error_reply(call.style, 403, code, message)
            case FailFault():
                return error_reply(call.style, chosen.status, chosen.code, chosen.message)
            case AnswerFault():
                body = render(chosen.body, self._variables)
                if isinstance(body, str):
                    return web.Response(text=body, content_type="text/xml")
                return web.json_response(body)

    async def _forward(self, request: web.Request, body: bytes) -> web.Response:
        assert self._session is not None
        headers = [(n, v) for n, v in request.headers.items() if n.lower() not in _OF_THE_CONNECTION]
        url = URL(self._target + request.raw_path, encoded=True)
        async with self._session.request(
            request.method, url, headers=headers, data=body or None, allow_redirects=False
        ) as reply:
            kept = [(n, v) for n, v in reply.headers.items() if n.lower() not in _OF_THE_CONNECTION]
            if request.method == "HEAD":  # the length is that of the body which does not come
                kept += [("Content-Length", v) for v in reply.headers.getall("Content-Length", [])]
                return web.Response(status=reply.status, headers=kept)
            return web.Response(status=reply.status, headers=kept, body=await reply.read())


def _meets(fault: Fault, seen: int) -> bool:
    """Whether it is its turn at the `seen`th call, from 1."""
    if isinstance(fault, DenyFault):
        return True
    return seen > fault.after and (fault.times is None or seen <= fault.after + fault.times)


def error_reply(style: str, status: int, code: str, message: str) -> web.Response:
    """An error as AWS writes it, by the service's protocol."""
    if style == "json":
        body = json.dumps({"__type": code, "message": message})
        headers = {"x-amzn-ErrorType": code, "Content-Type": "application/x-amz-json-1.1"}
        return web.Response(status=status, text=body, headers=headers)
    error = f"<Error><Code>{escape(code)}</Code><Message>{escape(message)}</Message></Error>"
    text = {
        "s3": error,
        "ec2": f"<Response><Errors>{error}</Errors><RequestID>{_REQUEST_ID}</RequestID></Response>",
    }.get(style, f"<ErrorResponse>{error}<RequestId>{_REQUEST_ID}</RequestId></ErrorResponse>")
    return web.Response(status=status, text=text, content_type="text/xml")


@contextlib.asynccontextmanager
async def faulty_account(
    target: str, faults: Sequence[Fault], principal: str, variables: JsonObject | None = None
) -> AsyncIterator[FaultyAccount | None]:
    """Put faults before an account for the length of a block.

    Returns:
        Where the workers are to go; None where nothing is faulty, and they go to the account itself.
    """
    if not faults:
        yield None
        return
    account = FaultyAccount(target, faults, principal, variables)
    async with account.serve():
        yield account
