"""Clicks by Socket Mode: a connection that we open, so no inbound port is needed.

An envelope is acknowledged only after the click is committed to the inbox. If that fails, Slack delivers it again.
"""

from __future__ import annotations

import logging
from typing import Protocol

from slack_sdk.socket_mode.aiohttp import SocketModeClient
from slack_sdk.socket_mode.async_client import AsyncBaseSocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.socket_mode.response import SocketModeResponse
from slack_sdk.web.async_client import AsyncWebClient

from soar.chat.interactions import INBOX_KIND, InteractionRefused, parse_payload
from soar.model.base import JsonObject
from soar.store.rows import InboxKind

__all__ = ["Inbox", "SocketModeReceiver"]

log = logging.getLogger(__name__)


class Inbox(Protocol):
    """The store's durable inbox."""

    async def receive(self, kind: InboxKind, key: str, body: JsonObject) -> object:
        """Commit one message; the same key again changes nothing."""


class SocketModeReceiver:
    """Listens until it is stopped; reconnects by itself."""

    def __init__(self, app_token: str, inbox: Inbox, *, base_url: str = "https://slack.com/api/") -> None:
        self._inbox = inbox
        self._app_token, self._base_url = app_token, base_url
        self._client: SocketModeClient | None = None

    async def start(self) -> None:
        """Connect. Raises slack_sdk's errors when the app token is refused."""
        web = AsyncWebClient(base_url=self._base_url, retry_handlers=[])
        self._client = SocketModeClient(app_token=self._app_token, web_client=web)
        self._client.socket_mode_request_listeners.append(self._on_request)
        await self._client.connect()  # type: ignore[no-untyped-call]

    async def stop(self) -> None:
        """Disconnect; what is not acknowledged is delivered again."""
        if self._client is not None:
            await self._client.close()  # type: ignore[no-untyped-call]
            self._client = None

    async def _on_request(self, client: AsyncBaseSocketModeClient, request: SocketModeRequest) -> None:
        try:
            await self.accept(request)
        except Exception:
            log.exception("a click could not be kept; Slack will deliver it again")
            return
        await client.send_socket_mode_response(SocketModeResponse(envelope_id=request.envelope_id))

    async def accept(self, request: SocketModeRequest) -> None:
        """Commit what the envelope holds, if it is a decision. Returning means that it may be acknowledged."""
        if request.type != "interactive":
            return
        try:
            click = parse_payload(request.payload)
        except InteractionRefused as error:
            if not error.harmless:
                log.warning("interaction refused: %s", error)
            return
        await self._inbox.receive(INBOX_KIND, click.dedupe_key, click.model_dump(mode="json"))
