"""The HTTP client of actions: one request, its redirects and its credential, within limits."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import httpcore
import httpx

from soar.actions.errors import ActionError, BadInput, BadReply, Refused, Unavailable
from soar.actions.http.addresses import AllowList
from soar.actions.http.auth import Authenticator, Credential
from soar.actions.http.guard import Cancelled, Exchange, Guard, GuardedBackend, Resolver, system_resolver
from soar.actions.http.outgoing import Outgoing, with_query, without_query
from soar.actions.http.params import Auth
from soar.actions.http.reply import Body, Reply, read_body
from soar.actions.http.secrets import NamedSecret, Redactor, SecretStore
from soar.actions.http.urls import bare, origin_of, parse_url, within

__all__ = ["HttpAccess"]

REDIRECTS = frozenset({301, 302, 303, 307, 308})
TOKEN_BYTES = 65_536
TOKEN_SECONDS = 15.0


class HttpAccess:
    """Sends requests for actions; thread-safe.

    No proxy, no certificate store and no credential is taken from the environment: what a request uses is what the
    operator gave to this object.

    Args:
        allow: `SOAR_HTTP_ALLOW`; see `AllowList`.
        secrets: What may be sent to prove who we are.
        read_posts: URLs at and below which a POST only reads.
        ca_file: Certificates to trust beside the usual ones.
        resolver: Where addresses come from.

    Raises:
        ValueError: A setting cannot be used; the message says which.
    """

    def __init__(
        self,
        *,
        allow: Iterable[str] = (),
        secrets: Iterable[NamedSecret] = (),
        read_posts: Iterable[str] = (),
        ca_file: Path | None = None,
        resolver: Resolver = system_resolver,
    ) -> None:
        known = tuple(secrets)
        self.redactor = Redactor(known)
        self._guard = Guard(AllowList(allow), resolver=resolver)
        self._auth = Authenticator(SecretStore(known), self.redactor)
        try:
            self._read_posts = tuple(parse_url(url) for url in read_posts)
        except ActionError as error:
            raise ValueError(error.message) from None
        self._tls = httpx.create_ssl_context(trust_env=False)
        if ca_file is not None:
            try:
                self._tls.load_verify_locations(cafile=str(ca_file))
            except (OSError, ssl.SSLError) as error:
                raise ValueError(f"{ca_file} holds no certificates that can be read: {error}") from None

    def reads_by_post(self, url: httpx.URL) -> bool:
        """Whether the operator says that a POST there changes nothing."""
        return any(within(url, prefix) for prefix in self._read_posts)

    def check(self, request: Outgoing, auth: Auth | None) -> None:
        """See, without sending anything, whether a request may be sent at all.

        Raises:
            ActionError: It may not; the message says why and what to do.
        """
        origin = origin_of(request.url)
        self._guard.check(origin)
        self._auth.check(auth, origin)
        self._guard.addresses(origin.host, origin.port)

    def send(
        self,
        request: Outgoing,
        auth: Auth | None,
        exchange: Exchange,
        *,
        max_bytes: int,
        redirects: int = 0,
        may_leave: bool = True,
    ) -> Reply:
        """Send a request and follow where it leads.

        Args:
            exchange: Its limits; afterwards `exchange.sent` says whether anything left.
            max_bytes: How much of the body is read.
            redirects: How many are followed; 0: the redirect itself is the reply.
            may_leave: Whether a redirect may lead to another host.

        Raises:
            ActionError: No reply came, or none that can be used. A reply of any status is returned.
        """
        seen: list[str] = []
        while True:
            reply = self._authenticated(request, auth, exchange, max_bytes, strict=not seen)
            location = reply.headers.get("location", "")
            if reply.status not in REDIRECTS or not location or redirects == 0:
                return Reply(
                    reply.method, reply.url, reply.status, reply.headers, reply.body, redirects=tuple(seen)
                )
            seen.append(bare(request.url))
            if len(seen) > redirects:
                raise Refused(
                    f"{seen[0]} was redirected more than {redirects} times",
                    hint="name the address that is meant; the service may send it round in circles",
                )
            request = self._redirected(request, reply, location, may_leave, auth)

    def _redirected(
        self, request: Outgoing, reply: Reply, location: str, may_leave: bool, auth: Auth | None
    ) -> Outgoing:
        """The request that a redirect asks for (RFC 9110, 15.4)."""
        try:
            url = parse_url(location, base=request.url)
            if auth is not None and auth.scheme == "query":
                # A service may repeat the query that it was sent; the secret is added where it may go, not here.
                url = without_query(url, auth.name)
            url = parse_url(self.redactor.text(str(url)))
        except BadInput as error:
            raise BadReply(
                f"{reply.url} answered {reply.status} and leads to no usable address: {error.message}"
            ) from None
        origin, here = origin_of(url), origin_of(request.url)
        stranger = origin != here
        if here.scheme == "https" and origin.scheme == "http":
            raise Refused(
                f"{reply.url} leads to {origin}, without TLS", hint="name the right address yourself"
            )
        if reply.status == 303 or (reply.status in (301, 302) and request.method == "POST"):
            request = request.as_get()
        if stranger and not (may_leave and request.method in ("GET", "HEAD")):
            raise Refused(
                f"{reply.url} leads to {origin}: a {request.method} is not sent on to another host",
                hint="look at where it leads; if it is right, name that address in the playbook",
            )
        if request.method == "POST" and not self._same_licence(request.url, url):
            raise Refused(f"{reply.url} leads to {bare(url)}, where a POST may change something")
        return request.to(url, stranger=stranger)

    def _same_licence(self, before: httpx.URL, after: httpx.URL) -> bool:
        """Whether a POST that only reads still does so where a redirect leads."""
        return not self.reads_by_post(before) or self.reads_by_post(after)

    def _authenticated(
        self, request: Outgoing, auth: Auth | None, exchange: Exchange, max_bytes: int, *, strict: bool
    ) -> Reply:
        """Send once with the credential for where it goes; a token that is refused is renewed one time.

        Args:
            strict: The secret must be meant for that place; otherwise, after a redirect, it is left out.
        """
        origin = origin_of(request.url)
        self._guard.check(origin)
        wanted = auth if strict or self._auth.follows(auth, origin) else None

        def fetch(token_request: Outgoing) -> Reply:
            own = Exchange(min(exchange.deadline, time.monotonic() + TOKEN_SECONDS), exchange.cancelled)
            self._guard.check(origin_of(token_request.url))
            return self._once(token_request, Credential(), own, TOKEN_BYTES)

        for last in (False, True):
            credential = self._auth.credential(wanted, origin, fetch)
            reply = self._once(request, credential, exchange, max_bytes)
            if last or wanted is None or not credential.cached or reply.status != 401:
                return reply
            # A 401 is answered before anything is done, so sending it once more is not doing it twice.
            self._auth.forget(wanted)
        raise AssertionError("the second round returns")

    def _once(self, request: Outgoing, credential: Credential, exchange: Exchange, max_bytes: int) -> Reply:
        """One request on a connection of its own."""
        origin = origin_of(request.url)
        what = f"{request.method} {bare(request.url)}"
        url = with_query(request.url, credential.query)
        target = httpcore.URL(
            scheme=origin.scheme.encode(), host=origin.host.encode(), port=origin.port, target=url.raw_path
        )
        headers = {**request.headers, "Accept-Encoding": "gzip", "Connection": "close"}
        # What the secret says wins: nobody may put something else in its place.
        taken = {name.lower() for name in credential.headers}
        headers = {n: v for n, v in headers.items() if n.lower() not in taken} | credential.headers
        raw = [(name.encode("ascii"), value.encode("latin-1")) for name, value in headers.items()]
        backend = GuardedBackend(self._guard, exchange)
        try:
            with (
                httpcore.ConnectionPool(ssl_context=self._tls, network_backend=backend) as pool,
                closing(_Answer(pool, request, target, raw)) as answer,
            ):
                return answer.read(max_bytes, what.partition(" ")[2])
        except httpcore.TimeoutException as error:
            raise Unavailable(
                f"{what}: {_late(error)}", hint="raise `timeout`, or try again later"
            ) from error
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.ProxyError) as error:
            raise _unreachable(what, error) from error
        except BadReply as error:
            raise BadReply(f"{what}: {error.message}", hint=error.hint) from error
        except Cancelled:
            raise Refused(f"{what}: the step was cancelled while it waited for the reply") from None


class _Answer:
    """The reply to one request, while it is read."""

    def __init__(
        self,
        pool: httpcore.ConnectionPool,
        request: Outgoing,
        url: httpcore.URL,
        headers: list[tuple[bytes, bytes]],
    ) -> None:
        self._method = request.method
        host = b"[" + url.host + b"]" if b":" in url.host else url.host
        usual = {b"https": 443, b"http": 80}[url.scheme]
        headers = [(b"Host", host if url.port == usual else host + b":%d" % (url.port or 0)), *headers]
        if request.content is not None:
            headers.append((b"Content-Length", str(len(request.content)).encode()))
        self._response = pool.handle_request(
            httpcore.Request(request.method, url, headers=headers, content=request.content or b"")
        )

    def read(self, max_bytes: int, url: str) -> Reply:
        response = self._response
        headers: dict[str, str] = {}
        for raw_name, raw_value in response.headers:
            name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        body = Body(b"")
        if self._method != "HEAD" and response.status not in (204, 304):
            body = read_body(
                response.iter_stream(), encoding=headers.get("content-encoding", ""), limit=max_bytes
            )
        return Reply(self._method, url, response.status, headers, body)

    def close(self) -> None:
        self._response.close()


def _late(error: Exception) -> str:
    if isinstance(error, httpcore.ConnectTimeout):
        return "no connection was made in time"
    return "no complete reply came in time"


def _unreachable(what: str, error: Exception) -> ActionError:
    """Give a failure of the network its type, and say what to do."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLError):
        cause = cause.__cause__ or cause.__context__
    if isinstance(cause, ssl.SSLCertVerificationError):
        return Refused(
            f"{what}: its certificate is not accepted: {cause.verify_message or cause.reason}",
            hint="check the name; if your own CA signed it, the operator names that in SOAR_HTTP_CA_FILE",
        )
    if cause is not None:
        return Unavailable(
            f"{what}: no TLS connection: {getattr(cause, 'reason', None) or cause}",
            hint="check that the port speaks TLS 1.2 or newer",
        )
    return Unavailable(
        f"{what}: the connection failed: {str(error) or type(error).__name__}",
        hint="check that the service runs and that the http worker may reach it",
    )
