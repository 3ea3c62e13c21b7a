"""The console: who comes in, what is shown, what is told to the engine."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from web_world import HTML, IRENE, REPORT, TOKEN, World, busy, csrf_of, web_world

from soar.engine.client import EngineUnavailable, IncidentEnded
from soar.engine.messages import NoteRequest, Reply, StepDecisionRequest, UndoRequest, VoteRequest
from soar.model.people import Decision, VoteChannel

PAGES = (
    "/",
    "/incidents/INC-1",
    "/incidents/INC-1/timeline",
    "/incidents/INC-1/undo",
    "/alerts",
    "/playbooks",
    "/actions",
)
FORMS = (
    "/incidents/INC-1/approvals/apr_1/votes",
    "/incidents/INC-1/steps/bad/decisions",
    "/incidents/INC-1/undo",
    "/incidents/INC-1/notes",
    "/logout",
)


@pytest.fixture
async def shown(world: World) -> World:
    """A world with an incident in which much happens."""
    html = await world.vault.put(REPORT)
    markdown = await world.vault.put(b"# Report")
    await world.store.project(busy(html=html.digest, md=markdown.digest))
    return world


@pytest.mark.parametrize("path", [*PAGES, "/incidents/INC-1/report", "/incidents/nowhere"])
async def test_who_is_not_logged_in_is_asked_to(shown: World, path: str) -> None:
    reply = await shown.http.get(path, headers=HTML)
    assert reply.status_code == 303
    assert reply.headers["location"].startswith("/login?next=%2F")
    for form in FORMS:
        assert (
            (await shown.http.post(form, data={"csrf": "x"})).headers["location"].startswith("/login?next=")
        )
    assert shown.engine.told == []


async def test_pages_are_drawn_with_the_security_headers(shown: World) -> None:
    await shown.log_in()
    for path in (
        *PAGES,
        "/login",
        "/static/console.css",
        "/static/console.js",
        "/static/icon.svg",
        "/nowhere",
    ):
        reply = await shown.http.get(path, headers=HTML)
        assert reply.status_code == (404 if path == "/nowhere" else 200), path
        policy = reply.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert reply.headers["cache-control"] == "no-store"


async def test_the_report_is_shown_in_a_sandbox(shown: World) -> None:
    await shown.log_in()
    reply = await shown.http.get("/incidents/INC-1/report")
    assert (reply.status_code, reply.content) == (200, REPORT)
    policy = reply.headers["content-security-policy"]
    assert policy == "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"
    reply = await shown.http.get("/incidents/INC-1/report?format=md")
    assert reply.headers["content-disposition"] == 'attachment; filename="INC-1.md"'
    reply = await shown.http.get("/incidents/INC-1/report?format=json", headers=HTML)
    assert (reply.status_code, reply.headers["content-type"]) == (404, "text/html; charset=utf-8")


async def test_an_unknown_token_does_not_come_in(world: World) -> None:
    form = csrf_of((await world.http.get("/login")).text)
    reply = await world.http.post("/login", data={"csrf": form, "token": "guess"})
    assert reply.status_code == 401
    assert "set-cookie" in reply.headers
    assert "soar_session" not in reply.headers["set-cookie"]
    reply = await world.http.post("/login", data={"csrf": "0" * 64, "token": "irene-token"})
    assert reply.status_code == 403


@pytest.mark.parametrize(
    ("wanted", "goes"),
    [
        ("/incidents/INC-1?x=1", "/incidents/INC-1?x=1"),
        ("//evil.example", "/"),
        ("https://evil.example/", "/"),
        ("/\\evil.example", "/"),
        ("/a\r\nSet-Cookie: b=c", "/"),
        ("\t//evil.example", "/"),
        ("", "/"),
    ],
)
async def test_after_logging_in_only_local_places_are_gone_to(world: World, wanted: str, goes: str) -> None:
    page = await world.http.get("/login", params={"next": wanted})
    sent = {"csrf": csrf_of(page.text), "token": "irene-token", "next": wanted}
    reply = await world.http.post("/login", data=sent)
    assert reply.headers["location"] == goes
    cookie = next(c for c in reply.headers.get_list("set-cookie") if c.startswith("soar_session="))
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "Path=/" in cookie
    assert "Secure" not in cookie


async def test_over_https_the_cookie_is_secure(tmp_path: Path) -> None:
    async with web_world(tmp_path, secure_cookies=True) as world:
        form = csrf_of((reply := await world.http.get("/login")).text)
        assert "Secure" in reply.headers["set-cookie"]
        nonce = reply.headers["set-cookie"].split(";")[0]
        reply = await world.http.post(
            "/login", data={"csrf": form, "token": "irene-token"}, headers={"cookie": nonce}
        )
        assert all("Secure" in c for c in reply.headers.get_list("set-cookie"))


async def test_a_session_ends(shown: World, monkeypatch: pytest.MonkeyPatch) -> None:
    csrf = await shown.log_in()
    good = shown.http.cookies["soar_session"]

    async def comes_in() -> bool:
        return (await shown.http.get("/")).status_code == 200

    assert await comes_in()
    for bad in (good[:-1] + ("0" if good[-1] != "0" else "1"), "x" + good, good.split(".")[0], "", "ü", "."):
        header = {"cookie": f"soar_session={bad}".encode().decode("latin-1")}
        assert (await httpx_get(shown, header)).status_code == 303
    shown.roster.remove(IRENE)  # no right survives the roster
    assert not await comes_in()
    shown.roster.append(IRENE)
    with monkeypatch.context() as patch:
        patch.setattr("soar.web.session.time.time", lambda: 9e9)
        assert not await comes_in()
    assert await comes_in()
    assert (await shown.http.post("/logout", data={"csrf": csrf})).headers["location"] == "/login"
    assert not await comes_in()


async def httpx_get(world: World, headers: dict[str, str]) -> httpx.Response:
    world_cookies, world.http.cookies = world.http.cookies, httpx.Cookies()
    try:
        raw = [(k.encode(), v.encode("latin-1")) for k, v in headers.items()]
        return await world.http.get("/", headers=raw)
    finally:
        world.http.cookies = world_cookies


async def test_a_form_that_is_not_from_the_session_does_nothing(shown: World) -> None:
    csrf = await shown.log_in()
    for path in FORMS:
        for wrong in ("", "0" * 64, csrf[:-1], "ü" * 64):
            fields = {"csrf": wrong, "decision": "approve", "plan_digest_prefix": "0" * 64, "text": "x"}
            reply = await shown.http.post(path, data=fields, headers=HTML)
            assert reply.status_code == 403
            assert "not from a page of your session" in reply.text
    assert shown.engine.told == []
    assert (await shown.http.get("/")).status_code == 200


async def test_decisions_reach_the_engine_and_the_answer_is_shown_once(shown: World) -> None:
    csrf = await shown.log_in()
    page = (await shown.http.get("/incidents/INC-1")).text
    digest = page.split('name="plan_digest_prefix" value="', 1)[1].split('"', 1)[0]
    vote = {"csrf": csrf, "decision": "approve", "plan_digest_prefix": digest, "reason": "a\r\nb"}
    for path, fields in zip(
        FORMS,
        (
            vote,
            {"csrf": csrf, "decision": "retry"},
            {"csrf": csrf, "step_id": "done"},
            {"csrf": csrf, "text": "n"},
        ),
        strict=False,
    ):
        reply = await shown.http.post(path, data=fields)
        assert (reply.status_code, reply.headers["location"]) == (303, "/incidents/INC-1")
        assert "your vote is counted" in (await shown.http.get("/incidents/INC-1")).text
        assert "your vote is counted" not in (await shown.http.get("/incidents/INC-1")).text
    told = [request for _, workflow, request in shown.engine.told if workflow == "incident/test/INC-1"]
    assert told == [
        VoteRequest(
            approval_id="apr_1",
            plan_digest_prefix=digest,
            responder=IRENE,
            decision=Decision.APPROVE,
            channel=VoteChannel.CONSOLE,
            reason="a\nb",
        ),
        StepDecisionRequest(step_id="bad", responder=IRENE, decision="retry", channel=VoteChannel.CONSOLE),
        UndoRequest(step_id="done", responder=IRENE, channel=VoteChannel.CONSOLE),
        NoteRequest(responder=IRENE, text="n", channel=VoteChannel.CONSOLE),
    ]


@pytest.mark.parametrize(
    ("fields", "path", "status"),
    [
        ({"decision": "approve", "plan_digest_prefix": "short"}, FORMS[0], 422),
        ({"decision": "maybe", "plan_digest_prefix": "0" * 64}, FORMS[0], 422),
        ({"decision": "approve", "plan_digest_prefix": "0" * 64, "reason": "x" * 2001}, FORMS[0], 422),
        (
            {"decision": "approve", "plan_digest_prefix": "0" * 64},
            "/incidents/INC-1/approvals/apr_2/votes",
            404,
        ),
        ({"decision": "retry"}, "/incidents/INC-1/steps/none/decisions", 404),
        ({"text": ""}, FORMS[3], 422),
        ({"text": "x"}, "/incidents/INC-2/notes", 404),
        ({"text": "x" * 600_000}, FORMS[3], 413),
        ({str(i): "x" for i in range(50)}, FORMS[3], 422),
    ],
)
async def test_what_is_no_decision_is_told_in_a_page(
    shown: World, fields: dict[str, str], path: str, status: int
) -> None:
    csrf = await shown.log_in()
    reply = await shown.http.post(path, data={"csrf": csrf, **fields}, headers=HTML)
    assert (reply.status_code, reply.headers["content-type"]) == (status, "text/html; charset=utf-8")
    assert shown.engine.told == []


async def test_refusals_and_failures_are_shown(shown: World) -> None:
    csrf = await shown.log_in()
    for error, words in (
        (EngineUnavailable("no worker"), "no worker. It may have counted"),
        (IncidentEnded("x"), "The incident has ended"),
    ):
        shown.engine.error = error
        await shown.http.post(FORMS[3], data={"csrf": csrf, "text": "n"})
        assert words in (await shown.http.get("/incidents/INC-1")).text
    shown.engine.error, shown.engine.answer = None, Reply(accepted=False, message="you hold no role")
    await shown.http.post(FORMS[2], data={"csrf": csrf})
    page = (await shown.http.get("/incidents/INC-1")).text
    assert 'class="flash problem"' in page
    assert "you hold no role" in page


async def test_a_fault_of_ours_is_an_answer_with_the_headers(
    shown: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await shown.log_in()

    async def broken(*_args: object, **_kwargs: object) -> None:
        raise ZeroDivisionError("a secret detail")

    monkeypatch.setattr(type(shown.services.store), "timeline", broken)
    reply = await shown.http.get("/incidents/INC-1/timeline", headers=HTML)
    assert reply.status_code == 500
    assert "secret detail" not in reply.text
    assert "default-src 'none'" in reply.headers["content-security-policy"]
    assert "ZeroDivisionError: a secret detail" in caplog.text
    reply = await shown.http.get(
        "/api/v1/incidents/INC-1/timeline", headers={"authorization": f"Bearer {TOKEN}"}
    )
    assert (reply.status_code, reply.json()["error"]["code"]) == (500, "failed")


async def test_the_link_to_temporal_leads_to_the_workflow(tmp_path: Path) -> None:
    async with web_world(tmp_path, temporal_ui_url="http://ui.test/namespaces/ir") as world:
        await world.store.project(busy())
        await world.log_in()
        text = (await world.http.get("/incidents/INC-1", headers=HTML)).text
    assert 'href="http://ui.test/namespaces/ir/workflows/incident%2Ftest%2FINC-1/r/history"' in text
