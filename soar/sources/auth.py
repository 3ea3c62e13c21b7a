"""How deliveries prove where they are from. Whatever bytes are sent, the only error is `Unauthenticated`.

Ways of a shared secret, any of which does:

- `Authorization: Bearer <secret>`
- `Authorization: Basic`, with any user and the secret as the password
- `X-Api-Key: <secret>`, as an EventBridge API destination sends it
- the secret as the last part of the address, `/hooks/splunk/<secret>`, of sources that can send no header
- `X-Soar-Timestamp: <seconds since 1970>` and `X-Soar-Signature: v1=<hex>`, the HMAC-SHA256 of `<timestamp>.<body>`;
  this one also guards the body and against repetition, so it is what our own client uses
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable
from datetime import datetime
from typing import ClassVar

from soar.sources.contract import Source, SourceRequest, Unauthenticated

__all__ = ["REPLAY_SECONDS", "SecretSource", "sign", "verify_hmac", "verify_shared_secret"]

REPLAY_SECONDS = 300
"""How old, or how far ahead, a signed delivery may be."""

_TIMESTAMP = re.compile(r"[0-9]{1,12}")
_SIGNATURE = re.compile(r"v1=([0-9a-f]{64})")


def sign(secret: str, body: bytes, now: datetime) -> dict[str, str]:
    """The headers that sign a delivery."""
    timestamp = str(int(now.timestamp()))
    return {"X-Soar-Timestamp": timestamp, "X-Soar-Signature": f"v1={_mac(secret, timestamp, body)}"}


def verify_shared_secret(request: SourceRequest, secrets: tuple[str, ...], *, setting: str) -> None:
    """Accept a delivery that knows one of the secrets.

    Args:
        setting: The variable that holds them, for the log.

    Raises:
        Unauthenticated: It knows none, or none is set.
    """
    secrets = tuple(secret for secret in secrets if secret)  # an empty one would let everybody sign
    if not secrets:
        raise Unauthenticated(f"no secret is set for this source; set {setting}")
    headers = request.headers
    if "x-soar-signature" in headers:
        _verify_signature(request, secrets)
        return
    given = _given(headers.get("authorization", "")) or headers.get("x-api-key", "") or request.token
    if not given:
        raise Unauthenticated("neither a signature, nor a token, nor a password, nor an API key was sent")
    if not _equals_one(given, secrets):
        raise Unauthenticated("the secret that was sent is not one of those in force")


def _given(authorization: str) -> str:
    """The secret in a header `Authorization`; empty if there is none."""
    scheme, _, token = authorization.partition(" ")
    match scheme.lower():
        case "bearer":
            return token.strip()
        case "basic":
            try:
                decoded = base64.b64decode(token.strip(), validate=True)
            except (binascii.Error, ValueError):
                return ""
            return decoded.decode("utf-8", "surrogateescape").partition(":")[2]
    return ""


def verify_hmac(request: SourceRequest, secrets: tuple[str, ...], *, header: str, setting: str) -> None:
    """Accept a delivery whose header signs its body: `sha256=<hex>` or `v1=<hex>`, HMAC-SHA256; one of several fits.

    Args:
        header: In small letters, `x-hub-signature`.
        setting: The variable that holds the secrets, for the log.

    Raises:
        Unauthenticated: No signature fits, or no secret is set.
    """
    secrets = tuple(secret for secret in secrets if secret)
    if not secrets:
        raise Unauthenticated(f"no secret is set for this source; set {setting}")
    given = [part.strip().partition("=") for part in request.headers.get(header, "").split(",")]
    signatures = [value.lower() for scheme, _, value in given if scheme in ("sha256", "v1")]
    if not signatures:
        raise Unauthenticated(f"{header} holds no signature by SHA-256")
    wanted = [hmac.new(_bytes(s), request.body, hashlib.sha256).hexdigest() for s in secrets]
    if not any(_equals_one(one, wanted) for one in signatures):
        raise Unauthenticated("the signature fits none of the secrets in force")


class SecretSource(Source):
    """A source whose deliveries prove by a shared secret where they are from: the ways of this module."""

    setting: ClassVar[str]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.setting = f"SOAR_SOURCE_{cls.name.upper()}_SECRETS"

    def verify(self, request: SourceRequest, secrets: tuple[str, ...]) -> None:
        """See `Source.verify`."""
        verify_shared_secret(request, secrets, setting=self.setting)


def _verify_signature(request: SourceRequest, secrets: tuple[str, ...]) -> None:
    timestamp = request.headers.get("x-soar-timestamp", "")
    if not _TIMESTAMP.fullmatch(timestamp):
        raise Unauthenticated("X-Soar-Timestamp is not a number of seconds")
    age = request.received_at.timestamp() - int(timestamp)
    if abs(age) > REPLAY_SECONDS:
        raise Unauthenticated(
            f"the delivery was signed {age:.0f} s ago; at most {REPLAY_SECONDS} s are accepted"
        )
    found = _SIGNATURE.fullmatch(request.headers["x-soar-signature"])
    if found is None:
        raise Unauthenticated("X-Soar-Signature is not of the form v1=<64 hexadecimal digits>")
    if not _equals_one(found[1], [_mac(s, timestamp, request.body) for s in secrets]):
        raise Unauthenticated("the signature fits none of the secrets in force")


def _mac(secret: str, timestamp: str, body: bytes) -> str:
    return hmac.new(_bytes(secret), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def _equals_one(given: str, wanted: Iterable[str]) -> bool:
    """Compare with every one, in a time that does not tell which was nearest."""
    equal = [hmac.compare_digest(_bytes(given), _bytes(secret)) for secret in wanted]
    return any(equal)


def _bytes(text: str) -> bytes:
    """A variable of the environment that is not UTF-8 reaches us with half surrogates in it."""
    return text.encode("utf-8", "surrogatepass")
