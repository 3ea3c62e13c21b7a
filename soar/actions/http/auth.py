"""The credential of a request: made for the place it goes to, of a named secret."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import quote, urlencode

from soar.actions.errors import BadReply, PermissionMissing
from soar.actions.http.addresses import Origin
from soar.actions.http.outgoing import Outgoing
from soar.actions.http.params import Auth
from soar.actions.http.reply import Reply, raise_for_status
from soar.actions.http.secrets import NamedSecret, Redactor, SecretStore
from soar.actions.http.urls import origin_of, parse_url

__all__ = ["Authenticator", "Credential", "auth_words"]

EARLY = 30.0
"""Seconds before its end that a token counts as expired."""
USUAL_LIFE = 300.0
LONGEST_TOKEN = 16_384

Fetch = Callable[[Outgoing], Reply]
"""Sends a request for a token; without redirects."""


@dataclass(frozen=True)
class Credential:
    """What is added to a request.

    Args:
        cached: It is a token that was issued for an earlier request.
    """

    headers: dict[str, str] = field(default_factory=dict, repr=False)
    query: list[tuple[str, str]] = field(default_factory=list, repr=False)
    cached: bool = False


@dataclass(frozen=True)
class _Token:
    value: str = field(repr=False)
    until: float


def auth_words(auth: Auth | None) -> str:
    """A credential for people: which secret, and how it is sent."""
    if auth is None:
        return "none"
    where = f" {auth.name}" if auth.name else f" from {auth.token_url}" if auth.token_url else ""
    return f"secret {auth.secret} as {auth.scheme}{where}"


class Authenticator:
    """Makes credentials, and keeps OAuth tokens until they expire; thread-safe."""

    def __init__(self, secrets: SecretStore, redactor: Redactor) -> None:
        self._secrets, self._redactor = secrets, redactor
        self._tokens: dict[tuple[str, ...], _Token] = {}
        self._lock = threading.Lock()

    def check(self, auth: Auth | None, origin: Origin) -> None:
        """See that the secret is there and may go where it would.

        Raises:
            PermissionMissing, Refused, BadInput: It is not, or may not.
        """
        if auth is None:
            return
        self._secrets.get(auth.secret, origin)
        if auth.token_url:
            self._secrets.get(auth.secret, origin_of(parse_url(auth.token_url)))

    def follows(self, auth: Auth | None, origin: Origin) -> bool:
        """Whether the credential goes along to where a redirect leads."""
        return auth is not None and self._secrets.may_go_to(auth.secret, origin)

    def credential(self, auth: Auth | None, origin: Origin, fetch: Fetch) -> Credential:
        """The credential for a request to this place.

        Raises:
            PermissionMissing, Refused: There is no such secret, or it is not meant for that place.
            ActionError: No token was to be had.
        """
        if auth is None:
            return Credential()
        secret = self._secrets.get(auth.secret, origin)
        match auth.scheme:
            case "bearer":
                return Credential({"Authorization": f"Bearer {_plain(secret)}"})
            case "basic":
                return Credential({"Authorization": _basic(_pair(secret))})
            case "header":
                return Credential({auth.name: f"{auth.prefix}{_plain(secret)}"})
            case "query":
                return Credential(query=[(auth.name, secret.value)])
            case "oauth2_client_credentials":
                token, cached = self._token(auth, fetch)
                return Credential({"Authorization": f"Bearer {token}"}, cached=cached)

    def forget(self, auth: Auth) -> None:
        """Take no token from the store next time: the service refused the one it had."""
        with self._lock:
            self._tokens.pop(_key(auth), None)

    def _token(self, auth: Auth, fetch: Fetch) -> tuple[str, bool]:
        with self._lock:
            kept = self._tokens.get(_key(auth))
        if kept is not None and kept.until > time.monotonic():
            return kept.value, True
        url = parse_url(auth.token_url)
        client_id, client_secret = _pair(self._secrets.get(auth.secret, origin_of(url)))
        fields = {"grant_type": "client_credentials", "scope": auth.scope, "audience": auth.audience}
        headers = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
        if auth.client_auth == "basic":
            # RFC 6749, 2.3.1: each part is form-encoded before the two are joined.
            headers["Authorization"] = _basic((quote(client_id, safe=""), quote(client_secret, safe="")))
        else:
            fields |= {"client_id": client_id, "client_secret": client_secret}
        content = urlencode({name: value for name, value in fields.items() if value}).encode("ascii")
        reply = fetch(Outgoing("POST", url, headers, content))
        token = _issued(reply, auth, self._redactor)
        self._redactor.learn(token.value)
        with self._lock:
            self._tokens[_key(auth)] = token
        return token.value, False


def _issued(reply: Reply, auth: Auth, redactor: Redactor) -> _Token:
    """Read what the token endpoint answered (RFC 6749, 5.1 and 5.2)."""
    if reply.status in (400, 401):
        raise PermissionMissing(
            f"{reply.url} issued no token for the secret {auth.secret}: {redactor.text(reply.text())[:300]}",
            permission=auth.secret,
            hint="renew the client's secret, or allow it the scope that is asked for",
        )
    raise_for_status(reply, (), excerpt="", secret=auth.secret)
    found = reply.json()
    token = found.get("access_token") if isinstance(found, dict) else None
    kind = found.get("token_type", "bearer") if isinstance(found, dict) else None
    usable = (
        isinstance(token, str) and 0 < len(token) <= LONGEST_TOKEN and token.isascii() and token.isprintable()
    )
    if not isinstance(token, str) or not usable or str(kind).lower() != "bearer":
        raise BadReply(
            f"{reply.url} answered without a bearer token",
            hint="check `token_url`; it may be another address",
        )
    life = found.get("expires_in") if isinstance(found, dict) else None
    seconds = float(life) if isinstance(life, (int, float)) and 0 < life < 10**8 else USUAL_LIFE
    return _Token(token, time.monotonic() + max(0.0, seconds - EARLY))


def _key(auth: Auth) -> tuple[str, ...]:
    return (auth.secret, auth.token_url, auth.scope, auth.audience, auth.client_auth)


def _plain(secret: NamedSecret) -> str:
    if not secret.value.isascii():
        raise PermissionMissing(
            f"the secret {secret.name} holds characters that no header can carry",
            permission=secret.name,
            hint="see that it was copied right; it must be ASCII for this scheme",
        )
    return secret.value


def _pair(secret: NamedSecret) -> tuple[str, str]:
    first, colon, second = secret.value.partition(":")
    if not colon:
        raise PermissionMissing(
            f"the secret {secret.name} is no pair",
            permission=secret.name,
            hint="for this scheme its value is user:password, or client_id:client_secret",
        )
    return first, second


def _basic(pair: tuple[str, str]) -> str:
    return "Basic " + base64.b64encode(":".join(pair).encode("utf-8")).decode("ascii")
