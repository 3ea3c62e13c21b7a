from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st
from slack_sdk.errors import SlackApiError
from slack_sdk.signature import SignatureVerifier
from slack_sdk.web.async_client import AsyncWebClient
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from soar.simulated.workspace import ClickRefused, Fault, SimulatedWorkspace, check_blocks, running_workspace
from soar.simulated.workspace.mrkdwn import plain, to_html
from soar.simulated.workspace.server import _Server

SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
CARD: list[dict[str, Any]] = [
    {"type": "header", "text": {"type": "plain_text", "text": "<script>alert(1)</script>"}},
    {
        "type": "actions",
        "elements": [
            {
                "type": "button",
                "action_id": "vote.approve",
                "value": "ap-1",
                "text": {"type": "plain_text", "text": "Approve"},
            }
        ],
    },
]


class Receiver:
    """A small app that takes clicks, with Slack's own verifier."""

    def __init__(self) -> None:
        self.payloads: list[dict[str, Any]] = []
        self.status = 200
        self.url = ""

    async def _take(self, request: Request) -> Response:
        body = await request.body()
        if not SignatureVerifier(SECRET).is_valid_request(body, dict(request.headers)):
            return Response(status_code=401)
        self.payloads.append(json.loads(parse_qs(body.decode())["payload"][0]))
        return Response(status_code=self.status)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Receiver]:
        import asyncio
        import socket

        app = Starlette(routes=[Route("/slack/interactions", self._take, methods=["POST"])])
        listener = socket.create_server(("127.0.0.1", 0))
        listener.setblocking(False)
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}/slack/interactions"
        server = _Server(uvicorn.Config(app, log_config=None, lifespan="off", ws="none"))
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield self
        finally:
            server.should_exit = True
            await task
            listener.close()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver().running() as running:
        yield running


@pytest.fixture
async def workspace(receiver: Receiver) -> AsyncIterator[SimulatedWorkspace]:
    async with running_workspace(signing_secret=SECRET, interactivity_url=receiver.url) as running:
        yield running


@pytest.fixture
async def http(workspace: SimulatedWorkspace) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=workspace.url, trust_env=False) as client:
        yield client


@asynccontextmanager
async def sdk(workspace: SimulatedWorkspace, token: str = "xoxb-simulated") -> AsyncIterator[AsyncWebClient]:
    import aiohttp

    async with aiohttp.ClientSession() as session:
        yield AsyncWebClient(token=token, base_url=workspace.api_url, session=session, retry_handlers=[])


async def card(workspace: SimulatedWorkspace, name: str = "inc-1") -> tuple[str, str]:
    async with sdk(workspace) as web:
        made = await web.conversations_create(name=name)
        channel = made["channel"]["id"]
        sent = await web.chat_postMessage(channel=channel, text="t", blocks=CARD)
        return str(channel), str(sent["ts"])


async def test_a_click_arrives_signed_and_in_slacks_shape(
    workspace: SimulatedWorkspace, receiver: Receiver, http: httpx.AsyncClient
) -> None:
    channel, ts = await card(workspace)
    body = {"user": "U0IRENE001", "channel": channel, "ts": ts, "action_id": "vote.approve", "value": "ap-1"}
    answer = await http.post("/simulated/click", json=body)
    assert answer.json() == {"status": 200}
    [payload] = receiver.payloads
    assert payload["type"] == "block_actions"
    assert payload["user"]["id"] == "U0IRENE001"
    assert payload["actions"][0]["value"] == "ap-1"
    assert payload["message"]["ts"] == ts
    receiver.status = 503
    assert (await http.post("/simulated/click", json=body)).json() == {"status": 503}


async def test_a_wrong_secret_is_seen_by_the_receiver(
    workspace: SimulatedWorkspace, receiver: Receiver
) -> None:
    channel, ts = await card(workspace)
    async with running_workspace(signing_secret="another", interactivity_url=receiver.url) as other:
        other.state.channels.update(workspace.state.channels)
        status = await other.click(
            user="U0IRENE001", channel=channel, ts=ts, action_id="vote.approve", value="ap-1"
        )
    assert status == 401
    assert receiver.payloads == []


async def test_nobody_answering_is_a_504(workspace: SimulatedWorkspace) -> None:
    channel, ts = await card(workspace)
    workspace.set_interactivity_url("http://127.0.0.1:9/")
    click = workspace.click(user="U0IRENE001", channel=channel, ts=ts, action_id="vote.approve", value="ap-1")
    assert await click == 504


@pytest.mark.parametrize(
    "changes",
    [{"user": "U0SOARBOT"}, {"channel": "C9"}, {"ts": "1.1"}, {"value": "ap-2"}, {"action_id": "x"}],
)
async def test_only_what_is_there_can_be_clicked(
    workspace: SimulatedWorkspace, http: httpx.AsyncClient, receiver: Receiver, changes: dict[str, str]
) -> None:
    channel, ts = await card(workspace)
    body = {"user": "U0IRENE001", "channel": channel, "ts": ts, "action_id": "vote.approve", "value": "ap-1"}
    with pytest.raises(ClickRefused):
        await workspace.click(**{**body, **changes})
    assert (await http.post("/simulated/click", json={**body, **changes})).status_code == 404
    assert receiver.payloads == []


async def test_other_sites_cannot_click(http: httpx.AsyncClient) -> None:
    plain_text = {"Content-Type": "text/plain"}
    assert (await http.post("/simulated/click", content=b"{}", headers=plain_text)).status_code == 415
    assert (await http.get("/", headers={"Host": "evil.example"})).status_code == 403
    for bad in (b"[", b"[]", b'{"user": 1}', b"\xff"):
        answer = await http.post(
            "/simulated/click", content=bad, headers={"Content-Type": "application/json"}
        )
        assert answer.status_code == 400


async def test_the_page_escapes_and_forbids_scripts(
    workspace: SimulatedWorkspace, http: httpx.AsyncClient
) -> None:
    channel, _ = await card(workspace)
    page = await http.get("/", params={"channel": channel, "as": "U0IRENE001"})
    assert page.status_code == 200
    assert "<script>alert" not in page.text
    assert "&lt;script&gt;alert(1)" in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "simulated" in page.text.lower()
    assert (await http.get("/static/workspace.js")).status_code == 200


async def test_an_ephemeral_message_is_shown_to_one_person(
    workspace: SimulatedWorkspace, http: httpx.AsyncClient
) -> None:
    channel, _ = await card(workspace)
    async with sdk(workspace) as web:
        await web.conversations_invite(channel=channel, users="U0IRENE001")
        await web.chat_postEphemeral(channel=channel, user="U0IRENE001", text="for you alone")
    views = {
        user: (await http.get("/simulated/view", params={"channel": channel, "as": user})).text
        for user in ("U0IRENE001", "U0JONAS001")
    }
    assert "for you alone" in views["U0IRENE001"]
    assert "for you alone" not in views["U0JONAS001"]


async def test_errors_have_slacks_words(workspace: SimulatedWorkspace) -> None:
    async def refused(call: Any) -> str:
        with pytest.raises(SlackApiError) as caught:
            await call
        return str(caught.value.response["error"])

    async with sdk(workspace, "xoxb-wrong") as wrong:
        assert await refused(wrong.auth_test()) == "invalid_auth"
    async with sdk(workspace) as web:
        await web.conversations_create(name="one")
        assert await refused(web.conversations_create(name="one")) == "name_taken"
        assert await refused(web.conversations_create(name="One")) == "invalid_name_specials"
        assert await refused(web.conversations_create(name="o" * 81)) == "invalid_name_maxlength"
        assert await refused(web.chat_postMessage(channel="C0NONE", text="x")) == "channel_not_found"
        assert await refused(web.chat_postMessage(channel="incidents", text="x")) == "not_in_channel"
        await web.conversations_join(channel=workspace.state.by_name("incidents").id)  # type: ignore[union-attr]
        assert (await web.chat_postMessage(channel="incidents", text="x"))["ok"]
        bad = [{"type": "section", "text": {"type": "mrkdwn", "text": "x" * 3001}}]
        assert (
            await refused(web.chat_postMessage(channel="incidents", text="x", blocks=bad)) == "invalid_blocks"
        )
        assert await refused(web.users_info(user="U0NOBODY")) == "user_not_found"
        assert await refused(web.api_call("files.delete")) == "unknown_method"


async def test_history_has_metadata_only_when_asked_and_pages(workspace: SimulatedWorkspace) -> None:
    async with sdk(workspace) as web:
        channel = (await web.conversations_create(name="one"))["channel"]["id"]
        meta = {"event_type": "t", "event_payload": {"key": "k"}}
        for number in range(3):
            await web.chat_postMessage(channel=channel, text=str(number), metadata=meta)
        page = await web.conversations_history(channel=channel, limit=2)
        assert [m["text"] for m in page["messages"]] == ["2", "1"]
        assert "metadata" not in page["messages"][0]
        cursor = page["response_metadata"]["next_cursor"]
        rest = await web.conversations_history(channel=channel, cursor=cursor, include_all_metadata=True)
        assert rest["messages"][0]["metadata"] == meta


async def test_form_and_json_bodies_are_the_same(
    workspace: SimulatedWorkspace, http: httpx.AsyncClient
) -> None:
    channel, _ = await card(workspace)
    token = {"Authorization": "Bearer xoxb-simulated"}
    form = {"channel": channel, "text": "t", "blocks": json.dumps(CARD)}
    answer = await http.post("/api/chat.postMessage", data=form, headers=token)
    assert answer.json()["ok"] is True
    for content, kind, error in (
        (b"[", "application/json", "invalid_json"),
        (b"[]", "application/json", "json_not_object"),
        (b"x", "text/plain", "invalid_post_type"),
        (b"x" * 1_100_000, "application/json", "request_too_large"),
    ):
        answer = await http.post("/api/auth.test", content=content, headers={**token, "Content-Type": kind})
        assert answer.json() == {"ok": False, "error": error}
    assert (await http.post("/api/auth.test")).json()["error"] == "not_authed"


async def test_faults_come_once_and_in_order(workspace: SimulatedWorkspace, http: httpx.AsyncClient) -> None:
    token = {"Authorization": "Bearer xoxb-simulated"}
    workspace.fail_next("auth.test", Fault("throttle", retry_after=7), Fault("error"), Fault("drop_before"))
    first = await http.post("/api/auth.test", headers=token)
    assert (first.status_code, first.headers["retry-after"]) == (429, "7")
    assert (await http.post("/api/auth.test", headers=token)).status_code == 500
    with pytest.raises(httpx.RemoteProtocolError):
        await http.post("/api/auth.test", headers=token)
    assert (await http.post("/api/auth.test", headers=token)).json()["ok"] is True


@pytest.mark.parametrize(
    ("block", "problem"),
    [
        ("x", "not an object"),
        ({"type": "video"}, "not supported"),
        ({"type": "section"}, "needs text or fields"),
        ({"type": "header", "text": {"type": "mrkdwn", "text": "x"}}, "not plain_text"),
        ({"type": "header", "text": {"type": "plain_text", "text": "x" * 151}}, "more than 150"),
        ({"type": "section", "text": {"type": "plain_text", "text": ""}}, "empty"),
        ({"type": "section", "fields": [{"type": "mrkdwn", "text": "x"}] * 11}, "1 to 10"),
        ({"type": "context", "elements": []}, "1 to 10"),
        ({"type": "actions", "elements": [{"type": "button"}] * 26}, "1 to 25"),
        ({"type": "divider", "extra": 1}, "unknown field extra"),
    ],
)
def test_blocks_that_slack_refuses(block: Any, problem: str) -> None:
    assert any(problem in found for found in check_blocks([block]))


def test_buttons_that_slack_refuses() -> None:
    def problems(**changes: Any) -> str:
        element = {"type": "button", "action_id": "a", "text": {"type": "plain_text", "text": "x"}, **changes}
        return " ".join(check_blocks([{"type": "actions", "elements": [element]}]))

    assert problems() == ""
    assert "1 to 2000" in problems(value="x" * 2001)
    assert "http(s)" in problems(url="javascript:1")
    assert "primary or danger" in problems(style="green")
    assert "more than 75" in problems(text={"type": "plain_text", "text": "x" * 76})
    assert check_blocks([{"type": "divider"}] * 51) == ["blocks: 51, more than 50"]
    assert check_blocks([{"type": "divider", "block_id": "a"}] * 2) == ["blocks[1].block_id: used twice"]


@given(st.text(alphabet=st.one_of(st.characters(), st.sampled_from("&<>`*_~|!@#^\"'\n")), max_size=200))
def test_any_mrkdwn_becomes_safe_html(text: str) -> None:
    import re

    for html in (str(to_html(text, {}, {})), str(plain(text))):
        tags = re.findall(r"<[^>]*>", html)
        allowed = r"</?(strong|em|s|code|pre|br|time|a|span)( [a-z]+=\"[^\"<>]*\")*>"
        assert all(re.fullmatch(allowed, tag) for tag in tags), html


def test_mrkdwn_is_read_as_slack_reads_it() -> None:
    text = "*b* `*c* &lt;` <#C1> <https://a.example/?x=1&amp;y|l> <!date^0^{date}|then>"
    html = str(to_html(text, {"C1": "inc"}, {}))
    assert html == (
        '<strong>b</strong> <code>*c* &lt;</code> <span class="mention">#inc</span> '
        '<a href="https://a.example/?x=1&amp;y" target="_blank" rel="noreferrer noopener">l</a> '
        '<time datetime="1970-01-01T00:00:00+00:00" title="then">1 Jan 1970 at 00:00 UTC</time>'
    )
