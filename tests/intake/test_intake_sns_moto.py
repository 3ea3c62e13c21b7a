"""A message that another implementation of SNS signed and sent: moto's server, by HTTP.

It leaves out the header that tells the kind of message, so the web app is tried with our own.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import boto3
import httpx
from aiohttp import web
from moto.server import ThreadedMotoServer
from sns_world import Towards

from soar.intake.sns import SnsGate
from soar.sources.contract import SourceRequest

# moto's server tells services apart by what a request is signed for, and a certificate is asked for unsigned.
SCOPE = (
    "AWS4-HMAC-SHA256 Credential=a/20260101/eu-central-1/sns/aws4_request, SignedHeaders=host, Signature=0"
)


class TowardsMoto(Towards):
    """The way to moto's SNS."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        request.headers["Authorization"] = SCOPE
        return await super().handle_async_request(request)


async def test_what_moto_signed_is_admitted() -> None:
    came: asyncio.Queue[SourceRequest] = asyncio.Queue()

    async def receive(request: web.Request) -> web.Response:
        came.put_nowait(SourceRequest.of(request.headers, await request.read(), datetime.now(UTC)))
        return web.Response(status=202)

    application = web.Application()
    application.router.add_post("/hooks/cloudwatch", receive)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    simulated = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    await asyncio.to_thread(simulated.start)
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        _, port = simulated.get_host_and_port()
        sns = boto3.client(
            "sns",
            endpoint_url=f"http://127.0.0.1:{port}",
            region_name="eu-central-1",
            aws_access_key_id="a",
            aws_secret_access_key="b",
        )

        def publish() -> str:
            topic: str = sns.create_topic(Name="alarms")["TopicArn"]
            address = f"http://127.0.0.1:{runner.addresses[0][1]}/hooks/cloudwatch"
            sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=address)
            sns.publish(TopicArn=topic, Message='{"AlarmName": "näher\\n"}')
            return topic

        topic = await asyncio.to_thread(publish)
        delivery = await asyncio.wait_for(came.get(), 10)
        proved = await SnsGate((topic,), TowardsMoto(port)).admit(delivery)
        assert proved is not None
        assert topic in proved.proven
    finally:
        await asyncio.to_thread(simulated.stop)
        await runner.cleanup()
