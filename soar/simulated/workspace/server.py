"""The simulated workspace over HTTP, and how to run it."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import socket
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qsl

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

from soar.simulated.workspace.api import Refused, call
from soar.simulated.workspace.clicks import Clicker, ClickRefused, Sent
from soar.simulated.workspace.page import Page
from soar.simulated.workspace.state import DEFAULT_USERS, User, WorkspaceState

__all__ = ["Fault", "SimulatedWorkspace", "running_workspace"]

MAX_BODY = 1024 * 1024
_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_PAGE_HEADERS = {
    "Content-Security-Policy": _CSP,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True)
class Fault:
    """What the next call of a method meets.

    Args:
        kind: `throttle`: 429 with `Retry-After`; `error`: 500; `refuse`: Slack's `error`;
            `drop_before` and `drop_after`: the connection breaks before, or after, the call took effect.
        retry_after: Seconds.
        error: Slack's word, for `refuse`.
    """

    kind: Literal["throttle", "error", "refuse", "drop_before", "drop_after"]
    retry_after: int = 1
    error: str = "invalid_auth"


class _Dropped(Response):
    """Promises more bytes than it sends, so that the connection breaks before the answer is whole."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - the ASGI signature
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"1000"),
            (b"connection", b"close"),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b'{"ok"', "more_body": True})
        # Ending here breaks the connection: uvicorn closes it, having been promised more.


@dataclass
class SimulatedWorkspace:
    """A stand-in for Slack on this machine. It is simulated: nothing leaves, and nothing is kept on disk.

    Args:
        token: The bot token that the Web API takes.
        signing_secret: What clicks are signed with.
        interactivity_url: Where clicks are posted.
        calls: The methods called, newest last, for tests and for the curious.
    """

    token: str
    signing_secret: str
    interactivity_url: str
    state: WorkspaceState
    url: str = ""
    calls: deque[str] = field(default_factory=lambda: deque(maxlen=5_000))

    def __post_init__(self) -> None:
        self._page = Page(self.state)
        self._faults: dict[str, deque[Fault]] = {}
        self._clicker = Clicker(
            self.state, signing_secret=self.signing_secret, interactivity_url=self.interactivity_url
        )

    @property
    def api_url(self) -> str:
        """The `base_url` for slack_sdk: `SOAR_SLACK_BASE_URL`."""
        return f"{self.url}/api/"

    def set_interactivity_url(self, url: str) -> None:
        """Send clicks there from now on."""
        self.interactivity_url = self._clicker.interactivity_url = url

    def fail_next(self, method: str, *faults: Fault) -> None:
        """Let the next calls of a method meet these faults, in order."""
        self._faults.setdefault(method, deque()).extend(faults)

    async def click(self, *, user: str, channel: str, ts: str, action_id: str, value: str = "") -> int:
        """Click a button; see `Clicker.click`."""
        return await self._clicker.click(user=user, channel=channel, ts=ts, action_id=action_id, value=value)

    async def submit(self, *, user: str, view: str, values: Mapping[str, str]) -> Sent:
        """Send a modal, filled in; see `Clicker.submit`."""
        return await self._clicker.submit(user=user, view=view, values=values)

    async def close(self) -> None:
        """Close the connections."""
        await self._clicker.close()

    def app(self) -> Starlette:
        """The ASGI app."""
        return Starlette(
            routes=[
                Route("/", self._index),
                Route("/simulated/view", self._fragment),
                Route("/simulated/version", self._version),
                Route("/simulated/modal", self._modal),
                Route("/simulated/click", self._click, methods=["POST"]),
                Route("/simulated/submit", self._submit, methods=["POST"]),
                Route("/simulated/dismiss", self._dismiss, methods=["POST"]),
                Route("/api/{method}", self._api, methods=["GET", "POST"]),
                Mount("/static", StaticFiles(directory=Path(__file__).parent / "static")),
            ]
        )

    async def _api(self, request: Request) -> Response:
        method = request.path_params["method"]
        self.calls.append(method)
        try:
            arguments = await _arguments(request)
        except ValueError as error:
            return JSONResponse({"ok": False, "error": str(error)})
        if problem := self._unauthorised(request, arguments):
            return JSONResponse({"ok": False, "error": problem})
        waiting = self._faults.get(method)
        fault = waiting.popleft() if waiting else None
        if fault is not None and fault.kind != "drop_after":
            return _faulty(fault)
        try:
            answer = call(self.state, method, arguments)
        except Refused as refused:
            answer = refused.answer
        return _Dropped() if fault is not None else JSONResponse(answer)

    def _unauthorised(self, request: Request, arguments: dict[str, Any]) -> str:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            token = str(arguments.get("token") or "")
        if not token:
            return "not_authed"
        return "" if hmac.compare_digest(token.encode(), self.token.encode()) else "invalid_auth"

    def _who(self, request: Request) -> tuple[str, str]:
        return request.query_params.get("channel", ""), request.query_params.get("as", "")

    async def _index(self, request: Request) -> Response:
        return _refuse_other_hosts(request) or HTMLResponse(
            self._page.whole(*self._who(request)), headers=_PAGE_HEADERS
        )

    async def _fragment(self, request: Request) -> Response:
        return _refuse_other_hosts(request) or HTMLResponse(
            self._page.fragment(*self._who(request)), headers=_PAGE_HEADERS
        )

    async def _version(self, _: Request) -> Response:
        return JSONResponse({"version": self.state.version}, headers=_PAGE_HEADERS)

    async def _modal(self, request: Request) -> Response:
        return _refuse_other_hosts(request) or HTMLResponse(
            self._page.modal(request.query_params.get("as", "")), headers=_PAGE_HEADERS
        )

    async def _click(self, request: Request) -> Response:
        body = await _sent(request)
        if isinstance(body, Response):
            return body
        values = {name: body.get(name, "") for name in ("user", "channel", "ts", "action_id", "value")}
        if not all(isinstance(value, str) for value in values.values()):
            return JSONResponse({"error": "every field is a text"}, status_code=400)
        try:
            status = await self.click(**values)
        except ClickRefused as error:
            return JSONResponse({"error": str(error)}, status_code=404)
        return JSONResponse({"status": status})

    async def _submit(self, request: Request) -> Response:
        body = await _sent(request)
        if isinstance(body, Response):
            return body
        user, view, values = body.get("user"), body.get("view"), body.get("values")
        if not (isinstance(user, str) and isinstance(view, str) and isinstance(values, dict)) or not all(
            isinstance(value, str) for value in values.values()
        ):
            return JSONResponse({"error": "send user, view, and values that are texts"}, status_code=400)
        try:
            sent = await self.submit(user=user, view=view, values=values)
        except ClickRefused as error:
            return JSONResponse({"error": str(error)}, status_code=404)
        return JSONResponse({"status": sent.status, "errors": sent.errors})

    async def _dismiss(self, request: Request) -> Response:
        body = await _sent(request)
        if isinstance(body, Response):
            return body
        self._clicker.dismiss(str(body.get("user", "")))
        return JSONResponse({})


async def _sent(request: Request) -> dict[str, Any] | Response:
    """What the page sent. Another site cannot send it: JSON from elsewhere needs a leave that is never given."""
    if refused := _refuse_other_hosts(request):
        return refused
    if request.headers.get("content-type", "").partition(";")[0] != "application/json":
        return JSONResponse({"error": "send JSON"}, status_code=415)
    try:
        body = json.loads(await _body(request))
    except (ValueError, RecursionError):
        body = None
    return body if isinstance(body, dict) else JSONResponse({"error": "send a JSON object"}, status_code=400)


def _refuse_other_hosts(request: Request) -> Response | None:
    """A name that somebody points at this machine is not this page's: only addresses and localhost are."""
    host = request.url.hostname or ""
    local = host == "localhost" or host.replace(".", "").isdigit() or ":" in host
    return None if local else JSONResponse({"error": "open this page as localhost"}, status_code=403)


def _faulty(fault: Fault) -> Response:
    match fault.kind:
        case "throttle":
            headers = {"Retry-After": str(fault.retry_after)}
            return JSONResponse({"ok": False, "error": "ratelimited"}, status_code=429, headers=headers)
        case "error":
            return Response("upstream failed", status_code=500, media_type="text/plain")
        case "refuse":
            return JSONResponse({"ok": False, "error": fault.error})
        case _:
            return _Dropped()


async def _body(request: Request) -> bytes:
    parts = bytearray()
    async for chunk in request.stream():
        parts += chunk
        if len(parts) > MAX_BODY:
            raise ValueError("request_too_large")
    return bytes(parts)


async def _arguments(request: Request) -> dict[str, Any]:
    """The arguments of a call: from the query, a form or JSON, as Slack takes them."""
    found: dict[str, Any] = dict(request.query_params)
    body = await _body(request)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not body:
        return found
    if kind == "application/json":
        try:
            value = json.loads(body)
        except (ValueError, RecursionError):
            raise ValueError("invalid_json") from None
        if not isinstance(value, dict):
            raise ValueError("json_not_object")
        return {**found, **value}
    if kind == "application/x-www-form-urlencoded":
        try:
            return {**found, **dict(parse_qsl(body.decode(), keep_blank_values=True))}
        except UnicodeDecodeError:
            raise ValueError("invalid_form_data") from None
    raise ValueError("invalid_post_type")


class _Server(uvicorn.Server):
    """Leaves the process's signals to whoever runs it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def running_workspace(
    *,
    port: int = 0,
    host: str = "127.0.0.1",
    signing_secret: str,
    interactivity_url: str,
    token: str = "xoxb-simulated",  # noqa: S107 - of the simulated workspace
    users: Iterable[User] = DEFAULT_USERS,
    channels: Iterable[str] = ("incidents",),
) -> AsyncIterator[SimulatedWorkspace]:
    """Run the simulated workspace in this process.

    Args:
        port: 0 takes a free one; see `SimulatedWorkspace.url`.
        signing_secret: What clicks are signed with: the app's `SLACK_SIGNING_SECRET`.
        interactivity_url: Where clicks are posted: the app's `/slack/interactions`.
        token: The bot token: the app's `SLACK_BOT_TOKEN`.
        channels: Channels that exist from the start, with everybody in them but not the app.
    """
    state = WorkspaceState(users)
    for name in channels:
        made = state.add_channel(name, creator=state.people[0].id)
        made.members = [p.id for p in state.people]
    workspace = SimulatedWorkspace(token, signing_secret, interactivity_url, state)
    listener = socket.create_server((host, port), backlog=128)
    listener.setblocking(False)
    bound = listener.getsockname()
    workspace.url = f"http://{host}:{bound[1]}"
    config = uvicorn.Config(
        workspace.app(),
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
        timeout_graceful_shutdown=2,
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]), name="simulated workspace")
    try:
        async with asyncio.timeout(15):
            while not server.started:
                if task.done():
                    await task
                    raise RuntimeError(f"the simulated workspace did not start on {workspace.url}")
                await asyncio.sleep(0.01)
        yield workspace
    finally:
        server.should_exit = True
        await task
        await workspace.close()
        listener.close()
