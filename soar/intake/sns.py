"""Taking deliveries of Amazon SNS: the certificates that prove them, and the confirmation of our subscriptions."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections import OrderedDict
from datetime import datetime, timedelta

import httpx

from soar.sources.contract import SourceRequest, Unauthenticated
from soar.sources.sns import SnsMessage, check, read

__all__ = ["SnsGate", "SnsUnavailable"]

CERTIFICATES = 16
"""How many are kept: SNS has one a region, and changes it about once a year."""
KEPT = timedelta(hours=24)
FETCHES_PER_MINUTE = 10
"""Whoever makes up addresses of certificates shall not make us ask SNS all day."""
FETCH_BYTES = 64 * 1024
FETCH_SECONDS = 5.0

_log = logging.getLogger("soar.intake")


class SnsUnavailable(Exception):
    """SNS does not answer now, so that a delivery can be neither taken nor refused; it has to be sent again."""


class SnsGate:
    """Admits what SNS signed, of the topics that may speak to us.

    Args:
        topics: Their ARNs. Empty: none may.
        transport: How SNS is reached. None: as usual, with the proxies that the environment names.
    """

    def __init__(
        self, topics: tuple[str, ...] = (), transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._topics, self._transport = frozenset(topics), transport
        self._certificates: OrderedDict[str, tuple[datetime, bytes]] = OrderedDict()
        self._fetched: list[datetime] = []
        self._turn = asyncio.Lock()

    @staticmethod
    def is_for(request: SourceRequest) -> bool:
        """Whether a delivery is to be proved by SNS' signature: it is a message of SNS, and knows no secret of ours."""
        headers = request.headers
        return (
            "x-amz-sns-message-type" in headers
            and headers.get("x-amz-sns-rawdelivery", "").lower() != "true"  # no envelope, so no signature
            and not (request.token or headers.get("authorization") or headers.get("x-api-key"))
        )

    async def admit(self, request: SourceRequest) -> SourceRequest | None:
        """Prove a delivery; a request to confirm our subscription is answered.

        Returns:
            The delivery, proved; None if there is no alert in it.

        Raises:
            Unauthenticated: SNS did not sign it, or its topic may not speak to us.
            SnsUnavailable: SNS could not be asked.
        """
        message = read(request.body)
        if message.topic not in self._topics:
            raise Unauthenticated(f"SOAR_SNS_TOPICS does not name {message.topic}")
        check(
            message,
            await self._certificate(message.certificate_url, request.received_at),
            request.received_at,
        )
        match message.kind:
            case "Notification":
                return dataclasses.replace(request, proven=f"signed by SNS for {message.topic}")
            case "SubscriptionConfirmation":
                await self._confirm(message)
            case "UnsubscribeConfirmation":
                _log.warning(
                    "sns.unsubscribed",
                    extra={
                        "topic": message.topic,
                        "hint": "its alerts end here; subscribe again if nobody meant it",
                    },
                )
        return None

    async def _confirm(self, message: SnsMessage) -> None:
        await self._get(message.confirm_url)
        _log.info("sns.subscribed", extra={"topic": message.topic})

    async def _certificate(self, url: str, now: datetime) -> bytes:
        async with self._turn:
            kept = self._certificates.get(url)
            if kept is not None and now - kept[0] < KEPT:
                return kept[1]
            self._fetched = [at for at in self._fetched if now - at < timedelta(minutes=1)]
            if len(self._fetched) >= FETCHES_PER_MINUTE:
                raise SnsUnavailable(f"more than {FETCHES_PER_MINUTE} new certificates of SNS in a minute")
            self._fetched.append(now)
            found = await self._get(url)
            self._certificates[url] = (now, found)
            while len(self._certificates) > CERTIFICATES:
                self._certificates.popitem(last=False)
            return found

    async def _get(self, url: str) -> bytes:
        try:
            async with (
                asyncio.timeout(FETCH_SECONDS),
                httpx.AsyncClient(transport=self._transport, follow_redirects=False) as http,
                http.stream("GET", url) as reply,
            ):
                if 400 <= reply.status_code < 500 and reply.status_code != 429:
                    raise Unauthenticated(f"SNS refuses what the message names: HTTP {reply.status_code}")
                if reply.status_code != 200:
                    raise SnsUnavailable(f"SNS answers with HTTP {reply.status_code}")
                body = b""
                async for chunk in reply.aiter_bytes():
                    body += chunk
                    if len(body) > FETCH_BYTES:
                        raise Unauthenticated(f"what the message names has more than {FETCH_BYTES} bytes")
                return body
        except (httpx.HTTPError, TimeoutError) as error:
            raise SnsUnavailable(f"SNS cannot be reached: {type(error).__name__}: {error}"[:300]) from error
