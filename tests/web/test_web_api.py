"""The doors for programs: hooks, Slack, the API, health; and that nothing brings them down."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from web_world import HTML, SECRET, SLACK_SECRET, TOKEN, World, busy, web_world

from soar.engine.client import EngineUnavailable, IncidentEnded
from soar.engine.messages import Reply
from soar.evidence import VaultUnavailable
from soar.intake.accept import MAX_BODY
from soar.playbook.diagnostics import PlaybookError
from soar.sources.auth import sign
from soar.store import StoreUnavailable

BEARER = {"authorization": f"Bearer {TOKEN}"}
GOOD = json.dumps({"title": "an alert"}).encode()


def signed(body: bytes) -> dict[str, str]:
    return {"content-type": "application/json", **sign(SECRET, body, datetime.now(UTC))}


async def unavailable(*_args: object, **_more: object) -> None:
    raise StoreUnavailable("gone")


async def test_a_delivery_is_kept_before_it_is_acknowledged(world: World) -> None:
    reply = await world.http.post("/hooks/test", content=GOOD, headers=signed(GOOD))
    assert (reply.status_code, reply.json()["fresh"]) == (202, 1)
    [row] = await world.store.alerts()
    assert row.id == reply.json()["alerts"][0]
    assert await world.vault.get(row.raw_digest) == GOOD
    assert await world.store.pending("alert") == 1
    again = await world.http.post("/hooks/test", content=GOOD, headers=signed(GOOD))
    assert (again.status_code, again.json()["fresh"]) == (202, 0)
    assert await world.store.pending("alert") == 1
    assert world.nudges == ["alert", "alert"]


async def test_a_system_that_sends_no_header_knows_the_address(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    plain = {"content-type": "application/json"}
    reply = await world.http.post(f"/hooks/test/{SECRET}", content=GOOD, headers=plain)
    assert (reply.status_code, reply.json()["fresh"]) == (202, 1)
    reply = await world.http.post("/hooks/test/guess-me", content=GOOD, headers=plain)
    assert (reply.status_code, reply.json()["error"]["code"]) == (401, "unauthenticated")
    assert "guess-me" not in reply.text
    # The client that the test asks with writes a log of its own.
    assert not [r for r in caplog.records if r.name.startswith("soar") and "guess-me" in str(r.__dict__)]


@pytest.mark.parametrize(
    ("source", "body", "signed_body", "status", "code"),
    [
        ("test", GOOD, None, 401, "unauthenticated"),
        ("test", GOOD, b"another body", 401, "unauthenticated"),
        ("tset", GOOD, GOOD, 404, "unknown_source"),
        ("test", b"x" * (MAX_BODY + 1), None, 413, "too_large"),
        ("test", b"{not json", b"{not json", 422, "not_an_alert"),
        ("test", b"{}", b"{}", 422, "not_an_alert"),
        ("test", b"[" * 50_000, b"[" * 50_000, 422, "not_an_alert"),
    ],
)
async def test_a_delivery_that_is_not_taken_says_why(
    world: World, source: str, body: bytes, signed_body: bytes | None, status: int, code: str
) -> None:
    # Signed here, not when the tests are collected: a signature is good for five minutes.
    headers = {} if signed_body is None else signed(signed_body)
    reply = await world.http.post(f"/hooks/{source}", content=body, headers={**headers, **HTML})
    assert (reply.status_code, reply.json()["error"]["code"]) == (status, code)
    assert world.nudges == []
    assert await world.store.pending("alert") == 0
    kept = await world.store.alerts(status="invalid")
    assert len(kept) == (1 if status == 422 else 0)
    if status == 422:
        assert await world.vault.get(reply.json()["raw_digest"]) == body


async def test_without_a_store_nothing_is_acknowledged(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world.store, "receive_alert", unavailable)
    reply = await world.http.post("/hooks/test", content=GOOD, headers=signed(GOOD))
    assert (reply.status_code, reply.headers["retry-after"]) == (503, "5")
    assert world.nudges == []
    monkeypatch.setattr(world.store, "incidents", unavailable)
    await world.http.get("/login")
    monkeypatch.setattr(world.store, "responder_of_token", unavailable)
    reply = await world.http.get("/api/v1/incidents", headers=BEARER)
    assert (reply.status_code, reply.json()["error"]["code"]) == (503, "store_unavailable")


def click(value: str = "apr_1", decision: str = "vote.approve") -> bytes:
    payload = {
        "type": "block_actions",
        "user": {"id": "U0IRENE001"},
        "team": {"id": "T0TEAM0001"},
        "api_app_id": "A0APP00001",
        "trigger_id": "1.2.abc",
        "response_url": "https://hooks.slack.com/actions/x",
        "channel": {"id": "C0INCIDENT"},
        "container": {"channel_id": "C0INCIDENT", "message_ts": "1.000001"},
        "message": {"ts": "1.000001"},
        "actions": [{"action_id": decision, "value": value, "action_ts": "1700000000.000100"}],
    }
    return urlencode({"payload": json.dumps(payload)}).encode()


def slack_signed(body: bytes, at: float | None = None, secret: str = SLACK_SECRET) -> dict[str, str]:
    stamp = str(int(at if at is not None else time.time()))
    mac = hmac.new(secret.encode(), b"v0:" + stamp.encode() + b":" + body, hashlib.sha256).hexdigest()
    return {
        "content-type": "application/x-www-form-urlencoded",
        "x-slack-request-timestamp": stamp,
        "x-slack-signature": f"v0={mac}",
    }


async def test_a_click_is_kept_once(world: World) -> None:
    body = click()
    for _ in range(2):
        reply = await world.http.post("/slack/interactions", content=body, headers=slack_signed(body))
        assert (reply.status_code, reply.content) == (200, b"")
    assert await world.store.pending("interaction") == 1
    assert world.nudges == ["click", "click"]


async def test_a_click_that_is_not_from_slack_is_refused(world: World, tmp_path: Path) -> None:
    body = click()
    for headers in ({}, slack_signed(body, secret="x"), slack_signed(body, at=time.time() - 3600)):
        reply = await world.http.post("/slack/interactions", content=body, headers=headers)
        assert reply.status_code == 401
    reply = await world.http.post("/slack/interactions", content=b"x", headers=slack_signed(b"x"))
    assert reply.status_code == 400
    assert await world.store.pending("interaction") == 0
    (tmp_path / "other").mkdir()
    async with web_world(tmp_path / "other", slack_signing_secret="") as other:
        reply = await other.http.post("/slack/interactions", content=body, headers=slack_signed(body))
        assert reply.status_code == 404


@pytest.mark.parametrize(
    "authorization", ["", "Bearer", "Bearer nobody", "Basic aXJlbmU6eA==", "bearer \xfc"]
)
async def test_the_api_takes_known_tokens_only(world: World, authorization: str) -> None:
    await world.store.project(busy())
    await world.log_in()  # a session of the console opens no API
    headers = [(b"authorization", authorization.encode("latin-1")), (b"accept", b"text/html")]
    for path in ("/me", "/incidents", "/incidents/INC-1", "/alerts", "/playbooks", "/actions", "/sources"):
        reply = await world.http.get(f"/api/v1{path}", headers=headers)
        assert (reply.status_code, reply.json()["error"]["code"]) == (401, "unauthenticated")
    reply = await world.http.post("/api/v1/incidents/INC-1/notes", json={"text": "x"}, headers=headers)
    assert reply.status_code == 401
    assert world.engine.told == []


async def test_the_api_answers(world: World) -> None:
    await world.store.project(busy())
    for path in ("/me", "/incidents", "/incidents/INC-1", "/incidents/INC-1/timeline", "/alerts", "/sources"):
        assert (await world.http.get(f"/api/v1{path}", headers=BEARER)).status_code == 200
    reply = await world.http.get("/api/v1/incidents/INC", headers={**BEARER, **HTML})
    assert (reply.status_code, reply.json()["error"]["hint"]) == (404, "did you mean INC-1?")
    reply = await world.http.post("/api/v1/incidents/INC-1/notes", json={"text": "x"}, headers=BEARER)
    assert reply.json() == {"accepted": True, "message": "your vote is counted"}
    world.engine.answer = Reply(accepted=False, message="no")
    reply = await world.http.post("/api/v1/incidents/INC-1/undo", json={}, headers=BEARER)
    assert (reply.status_code, reply.json()["error"]["message"]) == (403, "no")
    for error, status in ((EngineUnavailable("x"), 503), (IncidentEnded("x"), 409)):
        world.engine.error = error
        reply = await world.http.post("/api/v1/incidents/INC-1/notes", json={"text": "x"}, headers=BEARER)
        assert reply.status_code == status


async def test_a_report_that_cannot_be_read_is_an_answer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.store.project(busy(json="a" * 64))
    path = "/api/v1/incidents/INC-1/report"
    assert (await world.http.get(path, headers=BEARER)).status_code == 503

    async def broken(_digest: str) -> bytes:
        raise VaultUnavailable("gone")

    monkeypatch.setattr(world.vault, "get", broken)
    assert (await world.http.get(path, headers=BEARER)).status_code == 503


async def test_while_the_policy_is_broken_nobody_is_known(tmp_path: Path) -> None:
    def broken() -> None:
        raise PlaybookError([])

    async with web_world(tmp_path, policy=broken) as world:
        assert (await world.http.get("/api/v1/me", headers=BEARER)).status_code == 503


async def test_health_says_what_cannot_be_reached(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await world.http.get("/healthz")).json() == {"status": "ok"}
    assert (await world.http.get("/readyz")).json() == {"status": "ok", "missing": []}
    world.ready[0] = False
    monkeypatch.setattr(world.store, "ping", unavailable)
    reply = await world.http.get("/readyz")
    assert reply.status_code == 503
    assert reply.json() == {"status": "unavailable", "missing": ["store", "temporal"]}


async def test_every_route_has_the_security_headers(world: World) -> None:
    for path in (
        "/healthz",
        "/readyz",
        "/api/v1/me",
        "/api/openapi.json",
        "/hooks/test",
        "/nowhere",
        "/login",
    ):
        headers = (await world.http.get(path)).headers
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-opener-policy"] == "same-origin"


NAMES = st.sampled_from(
    ["authorization", "cookie", "content-type", "content-length", "host", "accept", "x-soar-signature",
     "x-slack-signature", "x-slack-request-timestamp", "x-soar-timestamp"]
)  # fmt: skip
VALUES = st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=40) | st.sampled_from(
    ["Bearer irene-token", "[::1", "text/html", "soar_session=é.é", "soar_session=a.b; soar_flash=.", "-1"]
)
PATHS = st.sampled_from(
    ["/hooks/test", "/hooks/guardduty", "/slack/interactions", "/login", "/logout", "/", "/alerts",
     "/api/v1/incidents/INC-1/approvals/apr_1/votes", "/api/v1/incidents/INC-1/undo", "/incidents/INC-1/notes",
     "/incidents/%00/undo", "/static/..%2f..%2fapp.py", "/static/%00", "/api/v1/incidents/%00%ff",
     "/api/v1/alerts/%00", "/api/v1/incidents?before=%00", "/?before=%00&status=", "/alerts?before=%00",
     "/login?next=%ff%00//x", "/api/v1/incidents/INC-1/timeline?after=99999999999999999999"]
)  # fmt: skip
BODIES = st.binary(max_size=200) | st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=20) | st.integers(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
).map(lambda value: json.dumps(value).encode())


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    path=PATHS, method=st.sampled_from(["GET", "POST", "PUT", "HEAD"]), body=BODIES, proven=st.booleans(),
    headers=st.lists(st.tuples(NAMES, VALUES), max_size=4),
)  # fmt: skip
async def test_nothing_brings_the_app_down(
    world: World, path: str, method: str, body: bytes, proven: bool, headers: list[tuple[str, str]]
) -> None:
    await world.store.project(busy())  # the paths lead to something
    raw = [(k.encode(), v.encode("latin-1")) for k, v in headers]
    if proven:
        raw += [(k.encode(), v.encode()) for k, v in (*signed(body).items(), *BEARER.items())]
        raw += [(k.encode(), v.encode()) for k, v in slack_signed(body).items()]
    reply = await world.http.request(method, path, content=body, headers=raw)
    assert reply.status_code < 500, reply.text
