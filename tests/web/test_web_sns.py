"""Deliveries by SNS at the web app: an alert in SNS' envelope, proved by its signature."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from sns_world import CONFIRM, TOPIC, Signer, SnsServer, Towards, sns_server
from web_world import SECRET, World, web_world

from soar.intake.sns import SnsGate

SIGNER = Signer()
GOOD = SIGNER.body(json.dumps({"title": "an alert"}), version="2")
HEADERS = {"content-type": "text/plain; charset=UTF-8", "x-amz-sns-message-type": "Notification"}


@pytest.fixture
async def server() -> AsyncIterator[SnsServer]:
    async with sns_server(SIGNER) as running:
        yield running


@pytest.fixture
async def world(tmp_path: Path, server: SnsServer) -> AsyncIterator[World]:
    async with web_world(tmp_path, sns=SnsGate((TOPIC,), Towards(server.port))) as running:
        yield running


async def test_an_alert_by_sns_is_taken_without_a_secret_and_its_envelope_is_kept(world: World) -> None:
    reply = await world.http.post("/hooks/test", content=GOOD, headers=HEADERS)
    assert (reply.status_code, reply.json()["fresh"]) == (202, 1)
    [row] = await world.store.alerts()
    assert row.title == "an alert"
    assert await world.vault.get(row.raw_digest) == GOOD, "with the signature, which proves where it was from"


async def test_what_sns_did_not_sign_is_refused(world: World) -> None:
    for body in (Signer().body("{}"), b"", b"[]", json.dumps({"title": "an alert"}).encode()):
        reply = await world.http.post("/hooks/test", content=body, headers=HEADERS)
        assert (reply.status_code, reply.json()["error"]["code"]) == (401, "unauthenticated")
    # Without the header it is a delivery like any other, and knows no secret.
    reply = await world.http.post("/hooks/test", content=GOOD, headers={"content-type": "application/json"})
    assert reply.status_code == 401
    assert await world.store.alerts() == []


async def test_no_topic_is_named_unless_an_operator_does(tmp_path: Path, server: SnsServer) -> None:
    async with web_world(tmp_path / "other") as world:
        reply = await world.http.post("/hooks/test", content=GOOD, headers=HEADERS)
        assert reply.status_code == 401
    assert server.asked == []


async def test_a_secret_still_does(world: World, server: SnsServer) -> None:
    reply = await world.http.post(
        f"/hooks/test/{SECRET}", content=Signer().body(json.dumps({"title": "t"})), headers=HEADERS
    )
    assert (reply.status_code, server.asked) == (202, [])


async def test_while_sns_does_not_answer_it_has_to_be_sent_again(world: World, server: SnsServer) -> None:
    server.replies.append(web.Response(status=500))
    reply = await world.http.post("/hooks/test", content=GOOD, headers=HEADERS)
    assert (reply.status_code, reply.json()["error"]["code"]) == (503, "unavailable")
    assert await world.store.alerts() == []
    assert (await world.http.post("/hooks/test", content=GOOD, headers=HEADERS)).status_code == 202


async def test_what_is_within_the_envelope_is_named_by_its_place(world: World) -> None:
    for message, field in (
        ("{}", "$.Message.title"),
        ("ALARM", "$.Message"),
        ("NaN", "$.Message"),
        ("[" * 9999, "$.Message"),
    ):
        reply = await world.http.post("/hooks/test", content=SIGNER.body(message), headers=HEADERS)
        assert (reply.status_code, reply.json()["error"]["field"]) == (422, field)
    assert {row.status for row in await world.store.alerts()} == {"invalid"}


async def test_a_subscription_is_confirmed_by_itself(world: World, server: SnsServer) -> None:
    headers = HEADERS | {"x-amz-sns-message-type": "SubscriptionConfirmation"}
    reply = await world.http.post(
        "/hooks/test", content=SIGNER.body("m", "SubscriptionConfirmation"), headers=headers
    )
    assert (reply.status_code, reply.json()) == (202, {"alerts": [], "fresh": 0})
    assert server.asked[1:] == [CONFIRM]
    assert await world.store.alerts() == []
