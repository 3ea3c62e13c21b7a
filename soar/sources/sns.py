"""Amazon SNS: the envelope in which a topic delivers what other systems say, and how it proves where it is from.

A message is signed by SNS with a certificate that it names. That address is taken from nowhere but SNS' own hosts, so
that nobody can name a certificate of theirs. Which topics may speak to us is decided elsewhere: anybody's topic has a
valid signature.

Format: https://docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html, signatures:
https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from pydantic import JsonValue

from soar.sources.contract import BadAlert, Unauthenticated

__all__ = ["MAX_AGE_SECONDS", "TOPIC", "SnsMessage", "check", "inner", "is_envelope", "read"]

MAX_AGE_SECONDS = 3900
"""How old a message may be: SNS gives up delivering by HTTPS after an hour at most, and clocks differ."""
TOPIC = re.compile(r"arn:aws(-cn|-us-gov)?:sns:[a-z0-9-]{5,30}:[0-9]{12}:[A-Za-z0-9_-]{1,256}(\.fifo)?")
"""A topic's ARN."""

_HOST = r"https://sns\.[a-z0-9-]{5,30}\.amazonaws\.com(\.cn)?"
_CERTIFICATE = re.compile(_HOST + r"/[A-Za-z0-9_-]{1,200}\.pem")
_CONFIRMATION = re.compile(_HOST + r"/\?[!-~]{1,2000}")
_HASHES: dict[Any, hashes.HashAlgorithm] = {
    "1": hashes.SHA1(),  # noqa: S303 - what SNS signs with unless the topic's SignatureVersion is 2
    "2": hashes.SHA256(),
}
_NOTIFICATION = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
_SUBSCRIPTION = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
_SIGNED: dict[Any, tuple[str, ...]] = {
    "Notification": _NOTIFICATION,
    "SubscriptionConfirmation": _SUBSCRIPTION,
    "UnsubscribeConfirmation": _SUBSCRIPTION,
}
"""What is signed, in this order, by the kind of message."""

Kind = Literal["Notification", "SubscriptionConfirmation", "UnsubscribeConfirmation"]


@dataclass(frozen=True)
class SnsMessage:
    """A message of SNS as it came in, not yet proved.

    Args:
        topic: The ARN of the topic that it says it is from.
        signed: What the signature is of.
        algorithm: The hash of the signature.
        certificate_url: Where the certificate is; a host of SNS.
        confirm_url: What is opened to confirm a subscription; a host of SNS. Empty for a notification.
    """

    kind: Kind
    topic: str
    sent_at: datetime
    signed: bytes
    signature: bytes
    algorithm: hashes.HashAlgorithm
    certificate_url: str
    confirm_url: str = ""


def read(body: bytes) -> SnsMessage:
    """Read a message.

    Raises:
        Unauthenticated: It is none, or it names a host that is not SNS'.
    """
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise Unauthenticated("the delivery says that it is a message of SNS, and is no JSON") from None
    if not isinstance(found, dict) or not isinstance(found.get("Type"), str) or found["Type"] not in _SIGNED:
        raise Unauthenticated("the delivery says that it is a message of SNS, and has no Type of one")
    kind: Kind = found["Type"]
    wanted = [name for name in _SIGNED[kind] if name != "Subject" or found.get("Subject") is not None]
    for name in (*wanted, "Signature", "SignatureVersion", "SigningCertURL"):
        if not isinstance(found.get(name), str):
            raise Unauthenticated(f"the message of SNS has no text {name}")
    if not TOPIC.fullmatch(found["TopicArn"]):
        raise Unauthenticated("TopicArn of the message of SNS is no ARN of a topic")
    if found["SignatureVersion"] not in _HASHES:
        raise Unauthenticated("SignatureVersion of the message of SNS is neither 1 nor 2")
    if not _CERTIFICATE.fullmatch(found["SigningCertURL"]):
        raise Unauthenticated("SigningCertURL of the message of SNS is no certificate on a host of SNS")
    confirm = "" if kind == "Notification" else found["SubscribeURL"]
    if kind != "Notification" and not _confirms(confirm, found["TopicArn"]):
        raise Unauthenticated(
            "SubscribeURL of the message of SNS does not confirm a subscription to its topic"
        )
    try:
        return SnsMessage(
            kind=kind,
            topic=found["TopicArn"],
            sent_at=datetime.strptime(found["Timestamp"], "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC),
            signed="".join(f"{name}\n{found[name]}\n" for name in wanted).encode(),
            signature=base64.b64decode(found["Signature"], validate=True),
            algorithm=_HASHES[found["SignatureVersion"]],
            certificate_url=found["SigningCertURL"],
            confirm_url=confirm,
        )
    except (ValueError, binascii.Error):
        raise Unauthenticated(
            "the message of SNS has a Timestamp, a Signature or a text that is malformed"
        ) from None


def _confirms(url: str, topic: str) -> bool:
    if not _CONFIRMATION.fullmatch(url):
        return False
    query = parse_qs(urlsplit(url).query)
    return query.get("Action") == ["ConfirmSubscription"] and query.get("TopicArn") == [topic]


def check(message: SnsMessage, certificate: bytes, now: datetime) -> None:
    """Make sure that SNS signed a message, lately.

    Args:
        certificate: What is at its `certificate_url`, PEM.

    Raises:
        Unauthenticated: It did not.
    """
    age = (now - message.sent_at).total_seconds()
    if not -300 <= age <= MAX_AGE_SECONDS:
        raise Unauthenticated(
            f"the message of SNS was sent {age:.0f} s ago; at most {MAX_AGE_SECONDS} s are accepted"
        )
    try:
        found = x509.load_pem_x509_certificate(certificate)
        key = found.public_key()
        in_force = found.not_valid_before_utc <= now <= found.not_valid_after_utc
    except (ValueError, UnsupportedAlgorithm):
        raise Unauthenticated("what SNS has as its certificate is none") from None
    if not in_force:
        raise Unauthenticated("the certificate of the message of SNS is not in force")
    if not isinstance(key, rsa.RSAPublicKey):
        raise Unauthenticated("the certificate of the message of SNS has no RSA key")
    try:
        key.verify(message.signature, message.signed, padding.PKCS1v15(), message.algorithm)
    except InvalidSignature:
        raise Unauthenticated("the signature of the message of SNS does not fit it") from None


def is_envelope(payload: JsonValue) -> bool:
    """Whether a payload is a message of SNS around what some source says."""
    return (
        isinstance(payload, dict)
        and isinstance(payload.get("TopicArn"), str)
        and payload.get("Type") in ("Notification", "SubscriptionConfirmation", "UnsubscribeConfirmation")
    )


def inner(payload: JsonValue) -> JsonValue:
    """What the source says, out of SNS' envelope.

    Raises:
        BadAlert: It is a request to confirm, or what is within is no JSON.
    """
    assert isinstance(payload, dict)
    if payload["Type"] != "Notification":
        raise BadAlert(
            "$.Type", f"is {payload['Type']}: open this to confirm it: {payload.get('SubscribeURL')}"
        )
    message = payload.get("Message")
    if not isinstance(message, str):
        raise BadAlert("$.Message", "is no text")
    try:
        found: JsonValue = json.loads(message)
    except (ValueError, RecursionError):
        raise BadAlert("$.Message", "is no JSON: this topic sends something else than alerts") from None
    return found
