"""Named secrets: what they are, where they may go, and how they are kept out of everything that is shown."""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, quote_plus

from pydantic import JsonValue

from soar.actions.errors import PermissionMissing, Refused
from soar.actions.http.addresses import Origin

__all__ = ["NamedSecret", "Redactor", "SecretStore"]

REDACTED = "[redacted]"
SHORTEST = 6
"""Parts shorter than this are not blanked by themselves: they would blank half of every text."""
_TOKENS_KEPT = 64

_SENSITIVE_FIELD = re.compile(
    r"^(access|refresh|id|session|auth|bearer)[_-]?token$|(^|[_-])(secret|password|passwd|api[_-]?key|private[_-]?key)$"
    r"|^(clientsecret|secretkey|secretaccesskey|secret_access_key|privatekey|apikey)$",
    re.IGNORECASE,
)
_SENSITIVE_HEADER = re.compile(
    r"^(set-cookie2?|cookie|authorization|proxy-authorization|authentication-info|x-amz-security-token)$"
    r"|(^|-)(token|api-?key|secret)$",
    re.IGNORECASE,
)
_UNWRITABLE = re.compile("[\x00\ud800-\udfff]")


@dataclass(frozen=True)
class NamedSecret:
    """A secret, and the only places that it may be sent to.

    Args:
        value: For basic authentication and OAuth `user:password` or `client_id:client_secret`.
        hosts: Host and port.
    """

    name: str
    value: str = field(repr=False)
    hosts: frozenset[tuple[str, int]]

    def may_go_to(self, origin: Origin) -> bool:
        """Whether it may be sent there."""
        return (origin.host, origin.port) in self.hosts


class Redactor:
    """Blanks every known secret, in whatever form it is sent, and what is a secret by its name."""

    def __init__(self, secrets: Iterable[NamedSecret] = ()) -> None:
        self._lock = threading.Lock()
        self._fixed = {form for secret in secrets for form in _forms(secret.value)}
        self._tokens: list[str] = []
        self._pattern = self._compiled()

    def learn(self, token: str) -> None:
        """Blank this as well: a token that a service issued. The oldest ones are forgotten."""
        with self._lock:
            self._tokens = [*[t for t in self._tokens if t != token], token][-_TOKENS_KEPT:]
            self._pattern = self._compiled()

    def _compiled(self) -> re.Pattern[str] | None:
        known = self._fixed.union(*(_forms(t) for t in self._tokens))
        longest_first = sorted((k for k in known if len(k) >= SHORTEST), key=len, reverse=True)
        return re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def text(self, text: str) -> str:
        """A text without secrets, and without what no database takes (NUL, lone surrogates)."""
        clean = _UNWRITABLE.sub("\N{REPLACEMENT CHARACTER}", text)
        return self._pattern.sub(REDACTED, clean) if self._pattern else clean

    def data(self, data: bytes) -> bytes:
        """Bytes without secrets: evidence."""
        if not self._pattern:
            return data
        # Latin-1 maps every byte to one character and back, so nothing but the secrets changes.
        forms = re.compile(self._pattern.pattern.encode("utf-8"))
        return forms.sub(REDACTED.encode(), data)

    def json(self, value: JsonValue) -> JsonValue:
        """JSON without secrets."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.json(item) for item in value]
        if isinstance(value, dict):
            return {
                self.text(key): REDACTED
                if isinstance(item, str) and item and _SENSITIVE_FIELD.search(key)
                else self.json(item)
                for key, item in value.items()
            }
        return value

    def headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        """Headers without secrets."""
        return {
            self.text(name): REDACTED if _SENSITIVE_HEADER.search(name) else self.text(value)
            for name, value in headers.items()
        }


def _forms(value: str) -> set[str]:
    """How a secret may look on its way: as it is, percent-encoded, in JSON, in base64; of a pair its second part."""
    plain = {value}
    pairs = {value}
    user, colon, password = value.partition(":")
    if colon:
        plain.add(password)
        pairs.add(f"{quote(user, safe='')}:{quote(password, safe='')}")
    encoded = {base64.b64encode(text.encode()).decode() for text in plain | pairs}
    return {
        form
        for text in plain | encoded
        for form in (text, quote(text, safe=""), quote_plus(text), json.dumps(text)[1:-1])
    }


class SecretStore:
    """The secrets of this worker, by name."""

    def __init__(self, secrets: Iterable[NamedSecret] = ()) -> None:
        self._secrets = {secret.name: secret for secret in secrets}

    def get(self, name: str, origin: Origin) -> NamedSecret:
        """The secret of this name, if it may be sent there.

        Raises:
            PermissionMissing: This worker has no such secret.
            Refused: It is not meant for that host.
        """
        secret = self._secrets.get(name)
        variable = f"SOAR_HTTP_SECRET_{name.upper()}"
        if secret is None:
            raise PermissionMissing(
                f"the http worker has no secret named {name}",
                permission=name,
                hint=f"the operator sets {variable} and {variable}_HOSTS, or adds it to SOAR_HTTP_SECRETS_FILE",
            )
        if not secret.may_go_to(origin):
            raise Refused(
                f"the secret {name} is not meant for {origin}",
                hint=f"check the address; if it is right, the operator adds it to {variable}_HOSTS",
            )
        return secret

    def may_go_to(self, name: str, origin: Origin) -> bool:
        """Whether there is such a secret and it may be sent there."""
        secret = self._secrets.get(name)
        return secret is not None and secret.may_go_to(origin)
