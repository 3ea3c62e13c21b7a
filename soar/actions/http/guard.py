"""The network below HTTP requests: the address that is connected to is the one that was checked, and time is limited.

A name is resolved here, once for each connection, and the socket is opened to an address of that very answer: a name
that changes between a check and the connection (DNS rebinding) has nothing to change.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass, field
from ssl import SSLContext
from typing import Any

import httpcore

from soar.actions.errors import BadInput, Refused, Unavailable
from soar.actions.http.addresses import METADATA, AllowList, Origin

__all__ = ["Cancelled", "Exchange", "Guard", "GuardedBackend", "Resolver", "system_resolver"]

CONNECT_SECONDS = 10.0
RESOLVE_SECONDS = 5.0
SLICE_SECONDS = 0.5
"""How long a read may go on before it looks whether the step was cancelled."""
ADDRESSES_TRIED = 4

Resolver = Callable[[str, int], Sequence[str]]
"""Gives the addresses of a name; raises OSError if there are none."""


class Cancelled(Exception):
    """The step was cancelled while it waited for the network."""


def system_resolver(host: str, port: int) -> Sequence[str]:
    """Ask the operating system."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


@dataclass
class Exchange:
    """One request on the wire, and how far it came.

    Args:
        deadline: On the monotonic clock; nothing waits beyond it.
        cancelled: Looked at while waiting for an answer; leave it out for what must not be torn apart.
        sent: The first byte of the request may have left: from here on nobody knows what the other side did.
    """

    deadline: float
    cancelled: Callable[[], bool] = field(default=lambda: False)
    sent: bool = False

    @property
    def left(self) -> float:
        """Seconds until the deadline."""
        return self.deadline - time.monotonic()


class Guard:
    """Decides where requests may go.

    Args:
        allow: What the operator has opened.
        resolver: Where addresses come from.
    """

    def __init__(self, allow: AllowList | None = None, *, resolver: Resolver = system_resolver) -> None:
        self._allow = allow if allow is not None else AllowList()
        self._resolver = resolver

    def check(self, origin: Origin) -> None:
        """Refuse what must not be spoken to, whatever its address is.

        Raises:
            Refused: It would not be by TLS.
        """
        if origin.scheme == "http" and not self._allow.plain(origin):
            entry = f"http://{origin.host}:{origin.port}"
            raise Refused(
                f"{origin} would be spoken to without TLS",
                hint=f"use https; if it must be, the operator adds {entry} to SOAR_HTTP_ALLOW",
            )

    def addresses(self, host: str, port: int, *, seconds: float = RESOLVE_SECONDS) -> list[str]:
        """The addresses of a name that may be connected to.

        Raises:
            Refused: There are some, and none of them is allowed.
            Unavailable: The name could not be resolved.
        """
        refused: dict[str, str] = {}
        good: list[str] = []
        for text in self._resolve(host, port, seconds):
            reason = self._allow.refusal(host, port, ipaddress.ip_address(text))
            if reason:
                refused[text] = reason
            else:
                good.append(text)
        if good:
            return good
        found = ", ".join(f"{text} ({kind})" for text, kind in refused.items())
        opened = "no setting but its own address" if METADATA in refused.values() else f"{host}:{port}"
        raise Refused(
            f"{host} leads to {found}, where requests must not go",
            hint=f"if it is a service of yours, the operator adds it to SOAR_HTTP_ALLOW ({opened} opens it)",
        )

    def _resolve(self, host: str, port: int, seconds: float) -> Sequence[str]:
        """Resolve in a thread of its own: the system's resolver knows no time limit."""
        future: Future[Sequence[str]] = Future()

        def work() -> None:
            try:
                future.set_result(self._resolver(host, port))
            except BaseException as error:  # noqa: BLE001 - it is raised where the answer is waited for
                future.set_exception(error)

        threading.Thread(target=work, name="http-resolve", daemon=True).start()
        try:
            found = future.result(timeout=max(0.0, min(seconds, RESOLVE_SECONDS)))
        except FutureTimeout:
            raise Unavailable(f"the name {host} was not resolved within {RESOLVE_SECONDS:.0f} s") from None
        except UnicodeError as error:
            raise BadInput(f"{host[:100]!r} is not a name that a host can have") from error
        except OSError as error:
            reason = error.strerror or str(error)
            raise Unavailable(
                f"the name {host} could not be resolved: {reason}",
                hint="check the name; the http worker needs a DNS server that knows it",
            ) from error
        if not found:
            raise Unavailable(f"the name {host} has no address")
        return found


class GuardedBackend(httpcore.NetworkBackend):
    """Opens connections for one exchange, through the guard."""

    def __init__(self, guard: Guard, exchange: Exchange) -> None:
        self._guard, self._exchange = guard, exchange
        self._inner = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002 - the exchange's deadline holds instead
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """See base class."""
        last: Exception | None = None
        for address in self._guard.addresses(host, port, seconds=self._exchange.left)[:ADDRESSES_TRIED]:
            left = min(self._exchange.left, CONNECT_SECONDS)
            if left <= 0:
                break
            try:
                stream = self._inner.connect_tcp(address, port, left, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                last = error
                continue
            return _Stream(stream, self._exchange)
        raise last or httpcore.ConnectTimeout("no time was left to connect")

    def connect_unix_socket(
        self,
        path: str,  # noqa: ARG002
        timeout: float | None = None,  # noqa: ARG002
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        """Never: actions speak to hosts."""
        raise Refused("HTTP actions do not use Unix sockets")

    def sleep(self, seconds: float) -> None:
        """See base class."""
        time.sleep(min(seconds, max(0.0, self._exchange.left)))


class _Stream(httpcore.NetworkStream):
    """A connection that knows its exchange: limits every wait, and notes the first byte that leaves."""

    def __init__(self, inner: httpcore.NetworkStream, exchange: Exchange) -> None:
        self._inner, self._exchange = inner, exchange

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002 - the deadline holds
        while True:
            if self._exchange.cancelled():
                raise Cancelled
            left = self._exchange.left
            if left <= 0:
                raise httpcore.ReadTimeout("the time limit has passed")
            try:
                return self._inner.read(max_bytes, min(left, SLICE_SECONDS))
            except httpcore.ReadTimeout:
                continue

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002 - the deadline holds
        left = self._exchange.left
        if left <= 0:
            raise httpcore.WriteTimeout("the time limit has passed")
        self._exchange.sent = True
        self._inner.write(buffer, left)

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self,
        ssl_context: SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002 - the deadline holds
    ) -> httpcore.NetworkStream:
        left = min(self._exchange.left, CONNECT_SECONDS)
        if left <= 0:
            raise httpcore.ConnectTimeout("no time was left for TLS")
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, left), self._exchange)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)
