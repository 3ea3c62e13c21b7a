"""Secrets: they go to their hosts and nowhere else, and are in nothing that is shown."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from http_service import Answer, Asked, Service, as_json, to
from hypothesis import given
from hypothesis import strategies as st
from temporalio.exceptions import ApplicationError

from soar.actions.http.secrets import NamedSecret, Redactor

TOKEN = 'tok-3f9a8b7c6d5e+/=&"x'
PAIR = "robot:pa ss/wörd+9"


async def _failed(call: Any, kind: str) -> ApplicationError:
    with pytest.raises(ApplicationError) as raised:
        await call
    assert raised.value.type == kind, f"{raised.value.type}: {raised.value.message}"
    return raised.value


@pytest.fixture
def keyed(make_actions: Callable[..., Any], service: Service) -> Any:
    """Actions with secrets for `service.test` only."""
    place = f"service.test:{service.port}"
    return make_actions({"crm": (TOKEN, place), "robot": (PAIR, place)})


@pytest.mark.parametrize(
    ("auth", "header", "value"),
    [
        ({"secret": "crm"}, "authorization", f"Bearer {TOKEN}"),
        ({"secret": "crm", "scheme": "header", "name": "X-Api-Key"}, "x-api-key", TOKEN),
        (
            {"secret": "crm", "scheme": "header", "name": "Authorization", "prefix": "Token "},
            "authorization",
            f"Token {TOKEN}",
        ),
        (
            {"secret": "robot", "scheme": "basic"},
            "authorization",
            "Basic " + base64.b64encode(PAIR.encode()).decode(),
        ),
    ],
)
async def test_each_scheme_sends_the_secret_its_way(
    auth: dict[str, str], header: str, value: str, keyed: Any, service: Service, url: str
) -> None:
    service.on("/", as_json({}))
    await keyed.get(url=f"{url}/", auth=auth)
    assert service.asked[0].headers[header] == value


async def test_a_secret_in_the_query_is_in_no_result_and_in_no_log(
    keyed: Any, service: Service, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    service.on("/a", lambda asked: to(f"/b?{asked.target.partition('?')[2]}"))
    service.on("/b", as_json({}))
    auth = {"secret": "crm", "scheme": "query", "name": "key"}
    found = await keyed.get(url=f"{url}/a", query={"q": "x"}, auth=auth)
    assert [asked.query for asked in service.asked] == [{"q": ["x"], "key": [TOKEN]}] * 2
    assert not _leaks(found.model_dump_json(), TOKEN)
    # The libraries below would log it at debug, where the service's own log never listens.
    ours = [r.getMessage() for r in caplog.records if r.name.startswith("soar")]
    assert not _leaks("\n".join(ours), TOKEN)


def _leaks(text: str, secret: str) -> bool:
    forms = {
        secret,
        quote(secret, safe=""),
        json.dumps(secret)[1:-1],
        base64.b64encode(secret.encode()).decode(),
    }
    password = secret.partition(":")[2]
    return any(form in text for form in {*forms, password} if form)


async def test_what_a_service_repeats_of_a_secret_is_blanked(keyed: Any, service: Service, url: str) -> None:
    def echo(asked: Asked) -> Answer:
        return Answer(
            200,
            json.dumps({"you": asked.headers, TOKEN: [TOKEN, f"x{TOKEN}y", quote(TOKEN, safe="")]}).encode(),
            {
                "Content-Type": "application/json",
                "X-Echo": asked.headers["authorization"],
                "Set-Cookie": "s=1",
            },
        )

    service.on("/", echo)
    service.on("/text", lambda asked: Answer(200, asked.headers["authorization"].encode()))
    service.on("/bad", lambda asked: Answer(400, f"bad: {asked.headers['authorization']}".encode()))
    for auth, secret in (({"secret": "crm"}, TOKEN), ({"secret": "robot", "scheme": "basic"}, PAIR)):
        found = await keyed.get(url=f"{url}/", auth=auth, extract={"all": ""}, evidence="echo.json")
        assert not _leaks(found.model_dump_json(), secret)
        assert "[redacted]" in found.data["headers"]["x-echo"]
        assert found.data["headers"]["set-cookie"] == "[redacted]"
        for data in keyed.vault.kept.values():
            assert not _leaks(data.decode(), secret)
        found = await keyed.get(url=f"{url}/text", auth=auth)
        assert not _leaks(found.model_dump_json(), secret)
        error = await _failed(keyed.get(url=f"{url}/bad", auth=auth), "BadInput")
        assert "bad: " in error.message
        assert not _leaks(str(error.details) + error.message, secret)
        error = await _failed(keyed.get(url=f"{url}/", auth=auth, schema={"const": 1}), "BadReply")
        assert not _leaks(str(error.details) + error.message, secret)


async def test_what_is_a_secret_by_its_name_is_blanked(keyed: Any, service: Service, url: str) -> None:
    service.on(
        "/",
        as_json(
            {"access_token": "abc", "next_token": "keep", "user": {"password": "p", "clientSecret": "q"}}
        ),
    )
    found = await keyed.get(url=f"{url}/", extract={"access_token": "/access_token", "t": "/next_token"})
    assert found.data["json"] == {
        "access_token": "[redacted]",
        "next_token": "keep",
        "user": {"password": "[redacted]", "clientSecret": "[redacted]"},
    }
    assert found.data["extracted"] == {"access_token": "[redacted]", "t": "keep"}


async def test_a_secret_is_not_sent_to_a_host_that_it_is_not_meant_for(
    keyed: Any, service: Service, other: Service, other_url: str
) -> None:
    error = await _failed(keyed.get(url=f"{other_url}/", auth={"secret": "crm"}), "Refused")
    assert "not meant for" in error.message
    assert "SOAR_HTTP_SECRET_CRM_HOSTS" in error.details[0].hint
    plan = keyed.plan(method="POST", url=f"{other_url}/", auth={"secret": "crm"}, json={})
    await _failed(plan, "Refused")
    error = await _failed(keyed.get(url=f"{other_url}/", auth={"secret": "none"}), "PermissionMissing")
    assert "SOAR_HTTP_SECRET_NONE" in error.details[0].hint
    assert other.asked == []


async def test_a_secret_stays_behind_when_a_redirect_leads_elsewhere(
    keyed: Any, service: Service, other: Service, url: str, other_url: str
) -> None:
    other.on("/b", as_json({}))
    for auth in (
        {"secret": "crm"},
        {"secret": "crm", "scheme": "header", "name": "X-Api-Key"},
        {"secret": "crm", "scheme": "query", "name": "key"},
        {"secret": "robot", "scheme": "basic"},
    ):
        # As bad as it can be: the service puts what it got into the address that it leads to.
        service.on(
            "/a",
            lambda asked: to(
                f"{other_url}/b?{asked.target.partition('?')[2]}"
                f"&h={quote(asked.headers.get('authorization', ''))}&t={quote(TOKEN, safe='')}"
            ),
        )
        other.asked.clear()
        await keyed.get(url=f"{url}/a", auth=auth)
        (asked,) = other.asked
        for secret in (TOKEN, PAIR):
            assert not _leaks(asked.target + json.dumps(asked.headers), secret)


async def test_a_plan_shows_which_secret_but_not_what_it_is(keyed: Any, service: Service, url: str) -> None:
    plan = await keyed.plan(
        method="POST",
        url=f"{url}/",
        auth={"secret": "crm"},
        json={"note": f"key {TOKEN}"},
        headers={"X-A": "b"},
    )
    shown = {change.field: change.after for change in plan.changes}
    assert shown["credential"] == "secret crm as bearer"
    assert shown["headers"]["X-A"] == "b"
    assert shown["body note"] == "key [redacted]"
    assert not _leaks(json.dumps([c.model_dump() for c in plan.changes]), TOKEN)


async def test_a_heartbeat_tells_no_secret(keyed: Any, service: Service, url: str) -> None:
    from soar.actions.errors import TimedOut
    from soar.actions.http.reads import GetParams, http_get

    service.on("/job", lambda asked: as_json({"state": asked.headers["authorization"]}))
    poll = {"until": {"equals": {"/state": "done"}}, "interval": 0.1, "limit": 0.15}
    params = GetParams.model_validate({"url": f"{url}/job", "auth": {"secret": "crm"}, "poll": poll})
    ctx = keyed.context()
    with pytest.raises(TimedOut) as raised:
        await asyncio.to_thread(http_get, ctx, params)
    for text in (ctx.progress, str(raised.value), raised.value.message):
        assert "/state is" in text
        assert not _leaks(text, TOKEN)


def _token_service(service: Service, *, life: int = 3600) -> list[Asked]:
    issued: list[Asked] = []

    def token(asked: Asked) -> Answer:
        issued.append(asked)
        return as_json(
            {"access_token": f"issued-{len(issued)}-abcdef", "token_type": "Bearer", "expires_in": life}
        )

    service.on("/token", token)
    return issued


def _oauth(url: str, **more: str) -> dict[str, str]:
    return {"secret": "robot", "scheme": "oauth2_client_credentials", "token_url": f"{url}/token", **more}


async def test_an_oauth_token_is_fetched_once_and_used_until_it_expires(
    keyed: Any, service: Service, url: str
) -> None:
    issued = _token_service(service)
    service.on("/api", lambda asked: as_json({"saw": asked.headers["authorization"]}))
    for _ in range(2):
        found = await keyed.get(url=f"{url}/api", auth=_oauth(url, scope="read", audience="api"))
        assert found.data["json"] == {"saw": "Bearer [redacted]"}
    (asked,) = issued
    pair = f"robot:{quote('pa ss/wörd+9', safe='')}"
    assert asked.headers["authorization"] == "Basic " + base64.b64encode(pair.encode()).decode()
    assert asked.body == b"grant_type=client_credentials&scope=read&audience=api"
    await keyed.get(url=f"{url}/api", auth=_oauth(url, client_auth="body"))
    assert b"client_id=robot&client_secret=pa+ss%2Fw%C3%B6rd%2B9" in issued[1].body


async def test_an_oauth_token_that_is_short_lived_is_not_kept(keyed: Any, service: Service, url: str) -> None:
    issued = _token_service(service, life=10)
    service.on("/api", as_json({}))
    for _ in range(2):
        await keyed.get(url=f"{url}/api", auth=_oauth(url))
    assert len(issued) == 2


async def test_an_oauth_token_that_is_refused_is_renewed_once(keyed: Any, service: Service, url: str) -> None:
    issued = _token_service(service)
    good = {"Bearer issued-1-abcdef"}
    service.on(
        "/api", lambda a: as_json({}) if a.headers["authorization"] in good else Answer(401, b"expired")
    )
    await keyed.get(url=f"{url}/api", auth=_oauth(url))
    good.clear()
    good.add("Bearer issued-2-abcdef")
    found = await keyed.get(url=f"{url}/api", auth=_oauth(url))
    assert found.data["status"] == 200
    good.clear()
    await _failed(keyed.get(url=f"{url}/api", auth=_oauth(url)), "PermissionMissing")
    assert len(issued) == 3


async def test_what_a_token_endpoint_may_answer(
    keyed: Any, service: Service, other: Service, url: str, other_url: str
) -> None:
    service.on("/api", as_json({}))
    for answer, kind in (
        (as_json({"error": "invalid_client", "echo": PAIR}, 401), "PermissionMissing"),
        (as_json({"error": "invalid_scope"}, 400), "PermissionMissing"),
        (Answer(200, b"<html>"), "BadReply"),
        (as_json({"access_token": 7}), "BadReply"),
        (as_json({"access_token": "a\nb"}), "BadReply"),
        (as_json({"access_token": "abc", "token_type": "mac"}), "BadReply"),
        (to(f"{other_url}/token"), "Refused"),
        (Answer(503, b"", {"Retry-After": "7"}), "Throttled"),
    ):
        service.on("/token", answer)
        error = await _failed(keyed.get(url=f"{url}/api", auth=_oauth(url)), kind)
        assert not _leaks(str(error.details), PAIR)
    assert "/api" not in service.paths()
    assert other.asked == []


async def test_a_client_secret_goes_to_no_other_token_endpoint(
    keyed: Any, service: Service, other: Service, url: str, other_url: str
) -> None:
    error = await _failed(keyed.get(url=f"{url}/api", auth=_oauth(other_url)), "Refused")
    assert "not meant for" in error.message
    assert other.asked == []
    assert service.asked == []


async def test_a_secret_that_is_no_pair_cannot_be_one(keyed: Any, service: Service, url: str) -> None:
    error = await _failed(
        keyed.get(url=f"{url}/", auth={"secret": "crm", "scheme": "basic"}), "PermissionMissing"
    )
    assert "is no pair" in error.message
    error = await _failed(keyed.get(url=f"{url}/", auth={"secret": "robot"}), "PermissionMissing")
    assert "no header can carry" in error.message
    assert service.asked == []


@given(st.text(min_size=8, max_size=30).filter(str.isprintable), st.text(max_size=20), st.text(max_size=20))
def test_no_form_of_a_secret_survives(value: str, before: str, after: str) -> None:
    redactor = Redactor([NamedSecret("s", value, frozenset())])
    for form in (
        value,
        quote(value, safe=""),
        base64.b64encode(value.encode()).decode(),
        json.dumps(value)[1:-1],
    ):
        assert form not in redactor.text(before + form + after).replace("[redacted]", "\0")
        data = redactor.data((before + form + after).encode("utf-8", "replace"))
        assert form.encode() not in data.replace(b"[redacted]", b"\0")


def test_a_secret_does_not_show_itself() -> None:
    assert TOKEN not in repr(NamedSecret("s", TOKEN, frozenset()))
