"""SNS as it signs, and a server in its place: a real one on loopback, to which the way to SNS' hosts leads."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

TOPIC = "arn:aws:sns:eu-central-1:111122223333:alerts"
CERTIFICATE = "https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-0123456789abcdef.pem"
CONFIRM = f"https://sns.eu-central-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=t0"
NOW = datetime.now(UTC)


class Towards(httpx.AsyncHTTPTransport):
    """Leads every request to one server, and leaves the name of the host in it.

    Args:
        port: Of the server, on loopback.
    """

    def __init__(self, port: int) -> None:
        super().__init__()
        self._port = port

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        request.url = request.url.copy_with(scheme="http", host="127.0.0.1", port=self._port)
        return await super().handle_async_request(request)


class Signer:
    """A key of SNS with its certificate.

    Args:
        begins: When the certificate comes into force; it is for a year.
    """

    def __init__(self, begins: datetime = NOW - timedelta(days=30)) -> None:
        self._key = rsa.generate_private_key(65537, 2048)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
        self.certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self._key.public_key())
            .serial_number(1)
            .not_valid_before(begins)
            .not_valid_after(begins + timedelta(days=365))
            .sign(self._key, hashes.SHA256())
            .public_bytes(serialization.Encoding.PEM)
        )

    def message(
        self, message: str, kind: str = "Notification", version: str = "1", **more: Any
    ) -> dict[str, Any]:
        """A signed message. What is signed is written out here, so that the product's own list is not its own judge."""
        found: dict[str, Any] = {
            "Type": kind,
            "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
            "TopicArn": TOPIC,
            "Message": message,
            "Timestamp": NOW.strftime("%Y-%m-%dT%H:%M:%S.") + f"{NOW.microsecond // 1000:03}Z",
            "SignatureVersion": version,
            "SigningCertURL": CERTIFICATE,
        }
        if kind != "Notification":
            found |= {"Token": "t0", "SubscribeURL": CONFIRM}
        found |= more
        text = f"Message\n{found['Message']}\nMessageId\n{found['MessageId']}\n"
        if kind == "Notification":
            text += f"Subject\n{found['Subject']}\n" if "Subject" in found else ""
            text += f"Timestamp\n{found['Timestamp']}\n"
        else:
            text += f"SubscribeURL\n{found['SubscribeURL']}\nTimestamp\n{found['Timestamp']}\nToken\n{found['Token']}\n"
        text += f"TopicArn\n{found['TopicArn']}\nType\n{kind}\n"
        algorithm = hashes.SHA1() if version == "1" else hashes.SHA256()
        signature = self._key.sign(text.encode(), padding.PKCS1v15(), algorithm)
        return {**found, "Signature": base64.b64encode(signature).decode()}

    def body(self, message: str, kind: str = "Notification", version: str = "1", **more: Any) -> bytes:
        """Likewise, as it is sent."""
        return json.dumps(self.message(message, kind, version, **more)).encode()


@dataclass
class SnsServer:
    """What SNS' hosts answer.

    Args:
        asked: The addresses that were asked for.
        replies: What is next answered instead, status and body; the rest is the certificate.
    """

    certificate: bytes
    port: int = 0
    asked: list[str] = field(default_factory=list)
    replies: list[web.Response] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.Response:
        """Answer."""
        self.asked.append(f"https://{request.host}{request.raw_path}")
        return self.replies.pop(0) if self.replies else web.Response(body=self.certificate)


@asynccontextmanager
async def sns_server(signer: Signer) -> AsyncIterator[SnsServer]:
    """Run it for the length of a block."""
    server = SnsServer(signer.certificate)
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        server.port = runner.addresses[0][1]
        yield server
    finally:
        await runner.cleanup()
