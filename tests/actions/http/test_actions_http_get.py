"""http.get: what comes back, what is refused, and where it ends."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import json
import zlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qs, unquote

import pytest
from http_service import Answer, Asked, Service, as_json
from hypothesis import given
from hypothesis import strategies as st
from temporalio.exceptions import ApplicationError

from soar.actions.errors import BadInput, BadReply
from soar.actions.http.outgoing import outgoing
from soar.actions.http.params import Message
from soar.actions.http.pointer import Missing, find
from soar.actions.http.reply import parse_json, read_body, retry_after


async def _failed(call: Any, kind: str) -> ApplicationError:
    with pytest.raises(ApplicationError) as raised:
        await call
    assert raised.value.type == kind, f"{raised.value.type}: {raised.value.message}"
    return raised.value


async def test_a_reply_is_told_with_its_parts(actions: Any, service: Service, url: str) -> None:
    service.on("/v1", as_json({"ip": {"score": 7, "tags": ["tor"]}}, X_Rate="9"))
    found = await actions.get(
        url=f"{url}/v1?a=b%20c",
        query={"q": "ü &", "n": [1, 2], "flag": True},
        headers={"X-Tenant": "acme"},
        extract={"score": "/ip/score", "first": "/ip/tags/0", "none": {"pointer": "/x", "default": None}},
        schema={"type": "object", "required": ["ip"]},
    )
    assert found.data["json"] == {"ip": {"score": 7, "tags": ["tor"]}}
    assert found.data["extracted"] == {"score": 7, "first": "tor", "none": None}
    assert found.data["headers"]["x-rate"] == "9"
    assert found.summary == f"GET {url}/v1 answered 200"
    asked = service.asked[0]
    assert asked.query == {"a": ["b c"], "q": ["ü &"], "n": ["1", "2"], "flag": ["true"]}
    assert asked.headers["x-tenant"] == "acme"
    assert asked.headers["host"] == url.removeprefix("http://")


async def test_text_and_no_body(actions: Any, service: Service, url: str) -> None:
    service.on(
        "/t", Answer(200, "Grüße".encode("latin-1"), {"Content-Type": "text/plain; charset=ISO-8859-1"})
    )
    service.on("/odd", Answer(200, b"\xff\x00ok", {"Content-Type": "text/plain; charset=no-such"}))
    service.on("/none", Answer(204))
    service.on("/notjson", Answer(200, b"<html>", {"Content-Type": "application/json"}))
    assert (await actions.get(url=f"{url}/t")).data["text"] == "Grüße"
    odd = (await actions.get(url=f"{url}/odd")).data["text"]
    assert "ok" in odd
    assert "\x00" not in odd
    assert (await actions.get(url=f"{url}/none")).data["text"] == ""
    assert (await actions.get(url=f"{url}/notjson")).data["text"] == "<html>"
    head = await actions.get(url=f"{url}/t", method="HEAD")
    assert head.data["status"] == 200
    assert head.data["text"] == ""


async def test_evidence_is_kept_and_the_result_may_leave_the_body_out(
    actions: Any, service: Service, url: str
) -> None:
    service.on("/v1", as_json({"a": 1}))
    found = await actions.get(url=f"{url}/v1", evidence="who.json", keep_body=False, extract={"a": "/a"})
    (ref,) = found.evidence
    assert ref.name == "who.json"
    assert ref.source == f"GET {url}/v1"
    assert actions.vault.kept[ref.digest] == b'{"a": 1}'
    assert found.data["json"] is None
    assert found.data["extracted"] == {"a": 1}


@pytest.mark.parametrize(
    ("status", "kind", "retried"),
    [
        (400, "BadInput", False),
        (422, "BadInput", False),
        (401, "PermissionMissing", False),
        (403, "PermissionMissing", False),
        (404, "TargetGone", False),
        (410, "TargetGone", False),
        (409, "Refused", False),
        (451, "Refused", False),
        (501, "Refused", False),
        (302, "Refused", False),
        (408, "Unavailable", True),
        (429, "Throttled", True),
        (503, "Throttled", True),
        (500, "Unavailable", True),
        (502, "Unavailable", True),
    ],
)
async def test_a_status_that_was_not_asked_for_has_its_type(
    status: int, kind: str, retried: bool, actions: Any, service: Service, url: str
) -> None:
    service.on("/", Answer(status, b"the reason is \x1b[31m this\n", {"Content-Type": "text/plain"}))
    error = await _failed(actions.get(url=f"{url}/", redirects=0), kind)
    assert error.non_retryable is not retried
    assert f"GET {url}/ answered {status}" in error.message
    assert "\x1b" not in error.message
    if status != 302:
        assert "the reason is" in error.message
    service.on("/", Answer(status, b"x"))
    found = await actions.get(url=f"{url}/", accept=[status], redirects=0)
    assert found.data["status"] == status


async def test_a_status_that_is_good_but_not_the_right_one(actions: Any, service: Service, url: str) -> None:
    service.on("/", Answer(200, b"x"))
    await _failed(actions.get(url=f"{url}/", accept=[201]), "BadReply")


@pytest.mark.parametrize("form", ["seconds", "date"])
async def test_retry_after_is_what_temporal_waits(
    form: str, actions: Any, service: Service, url: str
) -> None:
    later = datetime.now(UTC) + timedelta(seconds=120)
    value = "120" if form == "seconds" else format_datetime(later, usegmt=True)
    service.on("/", Answer(429, b"slow down", {"Retry-After": value}))
    error = await _failed(actions.get(url=f"{url}/"), "Throttled")
    assert error.next_retry_delay is not None
    assert 60 < error.next_retry_delay.total_seconds() <= 120


@given(st.text(max_size=40))
def test_retry_after_is_never_more_than_can_be_used(text: str) -> None:
    found = retry_after(text)
    assert found is None or 0 <= found <= 3600


def test_retry_after_in_the_past_is_now() -> None:
    now = datetime(2026, 1, 31, tzinfo=UTC)
    assert retry_after("Fri, 30 Jan 2026 00:00:00 GMT", now=now) == 0
    assert retry_after("Sat, 31 Jan 2026 00:00:30 GMT", now=now) == 30
    assert retry_after("99999999999999999999") == 3600
    assert retry_after("-5") is None


async def test_a_body_without_end_is_cut_and_said_to_be(actions: Any, service: Service, url: str) -> None:
    service.on("/", Answer(200, (b"x" * 4096 for _ in itertools.count()), {"Content-Type": "text/plain"}))
    found = await actions.get(url=f"{url}/", max_bytes=10_000)
    assert found.data["cut"] is True
    assert found.data["text"] == "x" * 10_000
    assert "only the first 10000 bytes" in found.summary


async def test_json_that_is_cut_is_no_json(actions: Any, service: Service, url: str) -> None:
    service.on("/", as_json(["x" * 100] * 1000))
    found = await actions.get(url=f"{url}/", max_bytes=1000)
    assert found.data["json"] is None
    assert found.data["cut"] is True
    error = await _failed(actions.get(url=f"{url}/", max_bytes=1000, extract={"a": "/0"}), "BadReply")
    assert "larger than 1000 bytes" in error.message
    assert "max_bytes" in error.details[0].hint


async def test_a_bomb_is_unpacked_only_up_to_the_limit(actions: Any, service: Service, url: str) -> None:
    bomb = gzip.compress(b"\0" * 200_000_000, 9)
    service.on("/", Answer(200, bomb, {"Content-Encoding": "gzip", "Content-Type": "text/plain"}))
    found = await actions.get(url=f"{url}/", max_bytes=5000)
    assert found.data["cut"] is True
    assert len(found.data["text"]) == 5000


def test_no_piece_of_a_bomb_is_larger_than_the_limit() -> None:
    import tracemalloc

    bomb = gzip.compress(b"\0" * 100_000_000, 9)
    tracemalloc.start()
    body = read_body([bomb], encoding="gzip", limit=1000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert body.cut
    assert len(body.data) == 1000
    assert peak < 1_000_000


@given(st.binary(max_size=3000), st.integers(1, 50), st.sampled_from(["gzip", "deflate", ""]))
def test_what_was_packed_comes_out_whole(data: bytes, size: int, encoding: str) -> None:
    pack: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "deflate": zlib.compress, "": bytes}
    packed = pack[encoding](data)
    chunks = [packed[i : i + size] for i in range(0, len(packed), size)]
    body = read_body(chunks, encoding=encoding, limit=3000)
    assert (body.data, body.cut) == (data, False)


@given(st.binary(max_size=300), st.sampled_from(["gzip", "deflate", "br", "gzip, gzip"]))
def test_damaged_data_is_a_bad_reply_and_nothing_else(data: bytes, encoding: str) -> None:
    try:
        body = read_body([data], encoding=encoding, limit=1000)
    except BadReply:
        return
    assert len(body.data) <= 1000


def test_packed_data_that_ends_early_is_damaged() -> None:
    with pytest.raises(BadReply, match="ends too early"):
        read_body([gzip.compress(b"x" * 5000)[:-9]], encoding="gzip", limit=10_000)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "NaN",
        '{"a": Infinity}',
        "[" * 100_000,
        "[" * 70 + "]" * 70,
        "1" * 5000,
        b"\xff\xfe{}",
    ],
)
def test_what_is_not_json_is_said_to_be(text: str | bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the words are Python's own
        parse_json(text.encode() if isinstance(text, str) else text)


async def test_lone_surrogates_and_nul_do_not_reach_the_store(
    actions: Any, service: Service, url: str
) -> None:
    service.on("/", Answer(200, b'{"a": "\\ud800\\u0000b"}', {"Content-Type": "application/json"}))
    found = await actions.get(url=f"{url}/")
    assert found.data["json"] == {"a": "\ufffd\ufffdb"}
    found.model_dump_json().encode("utf-8")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=8,
    ),
    st.text("/~01ab", max_size=12),
)
def test_any_pointer_leads_somewhere_or_nowhere(value: Any, pointer: str) -> None:
    try:
        found = find(value, pointer)
    except ValueError:
        return
    assert isinstance(found, Missing) or json.dumps(found) in json.dumps(value)


def test_pointers_are_those_of_rfc_6901() -> None:
    document: Any = {"foo": ["bar", "baz"], "": 0, "a/b": 1, "m~n": 8, " ": 7}
    for pointer, wanted in {"": document, "/foo/0": "bar", "/": 0, "/a~1b": 1, "/m~0n": 8, "/ ": 7}.items():
        assert find(document, pointer) == wanted
    for pointer in ("/foo/2", "/foo/-", "/foo/01", "/foo/bar", "/no"):
        assert isinstance(find(document, pointer), Missing)


async def test_a_reply_that_is_not_as_agreed_says_where(actions: Any, service: Service, url: str) -> None:
    service.on("/", as_json({"score": "high", "list": []}))
    wrong = {"properties": {"score": {"type": "number"}}}
    error = await _failed(actions.get(url=f"{url}/", schema=wrong), "BadReply")
    assert "$.score: 'high' is not of type 'number'" in error.message
    error = await _failed(actions.get(url=f"{url}/", extract={"s": "/scores"}), "BadReply")
    assert "at the top there is list, score" in error.message
    error = await _failed(actions.get(url=f"{url}/", extract={"s": "/list/0/id"}), "BadReply")
    assert "at /list there is a list of 0" in error.message


async def test_a_schema_is_checked_before_anything_is_sent_and_fetches_nothing(
    actions: Any, service: Service, other: Service, url: str, other_url: str
) -> None:
    service.on("/", as_json({"a": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!"}))
    for bad in ({"type": "no"}, {"pattern": "(?=x)"}, {"patternProperties": {"(": True}}):
        await _failed(actions.get(url=f"{url}/", schema=bad), "BadInput")
    assert service.asked == []
    await _failed(actions.get(url=f"{url}/", schema={"$ref": f"{other_url}/schema.json"}), "BadInput")
    assert other.asked == []
    # Exponential for an engine that backtracks.
    slow = {"properties": {"a": {"pattern": "^(a+)+$"}}}
    await asyncio.wait_for(_failed(actions.get(url=f"{url}/", schema=slow), "BadReply"), 30)


async def test_a_post_is_a_read_only_where_both_say_so(
    actions: Any, make_actions: Callable[..., Any], service: Service, url: str
) -> None:
    service.on("/search", as_json({"hits": 3}))
    error = await _failed(actions.get(url=f"{url}/search", method="POST", reads=True, json={}), "Refused")
    assert "SOAR_HTTP_READ_POSTS" in error.details[0].hint
    await _failed(actions.get(url=f"{url}/search", method="POST", json={}), "BadInput")
    allowed = make_actions(read_posts=[f"{url}/search"])
    await _failed(allowed.get(url=f"{url}/delete", method="POST", reads=True, json={}), "Refused")
    await _failed(allowed.get(url=f"{url}/search/../delete", method="POST", reads=True, json={}), "BadInput")
    assert service.asked == []
    found = await allowed.get(url=f"{url}/search", method="POST", reads=True, form={"q": "a b", "n": [1, 2]})
    assert found.data["json"] == {"hits": 3}
    assert service.asked[0].body == b"q=a+b&n=1&n=2"


async def test_a_licence_to_read_by_post_does_not_follow_a_redirect(
    make_actions: Callable[..., Any], service: Service, url: str
) -> None:
    from http_service import to

    service.on("/search", to("/delete", 307))
    service.on("/delete", as_json({}))
    actions = make_actions(read_posts=[f"{url}/search"])
    await _failed(actions.get(url=f"{url}/search", method="POST", reads=True, json={}), "Refused")
    assert service.paths() == ["/search"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"method": "PUT"},
        {"json": {"a": 1}},
        {"headers": {"Authorization": "Bearer x"}},
        {"headers": {"Cookie": "a=b"}},
        {"headers": {"X-Api-Key": "abc"}},
        {"headers": {"Host": "evil"}},
        {"headers": {"X-A": "b\r\nX-C: d"}},
        {"headers": {"X A": "b"}},
        {"extract": {"a": "no-slash"}},
        {"auth": {"secret": "a", "scheme": "header"}},
        {"auth": {"secret": "a", "scheme": "oauth2_client_credentials"}},
        {"auth": {"secret": "a", "scheme": "header", "name": "Host"}},
        {"pages": {}, "poll": {"until": {}}},
        {"pages": {"cursor": "after"}},
        {"unknown": 1},
        {"accept": [99]},
        {"evidence": "../../etc/passwd"},
    ],
)
async def test_parameters_that_cannot_be_right(
    wrong: dict[str, Any], actions: Any, service: Service, url: str
) -> None:
    await _failed(actions.get(url=f"{url}/", **wrong), "BadInput")
    assert service.asked == []


def _page(asked: Asked) -> Answer:
    number = int(asked.query.get("page", ["1"])[0])
    link = (
        {"Link": f'</list?page=0>; rel="first", </list?page={number + 1}>; rel="next"'} if number < 4 else {}
    )
    return Answer(
        200, json.dumps([number * 10, number * 10 + 1]).encode(), {"Content-Type": "application/json", **link}
    )


async def test_pages_are_followed_by_their_link_header(actions: Any, service: Service, url: str) -> None:
    service.on("/list", _page)
    found = await actions.get(url=f"{url}/list", pages={})
    assert found.data["items"] == [10, 11, 20, 21, 30, 31, 40, 41]
    assert (found.data["pages"], found.data["more"]) == (4, False)
    assert found.summary == f"8 items on 4 pages of {url}/list"


async def test_pages_end_at_their_limits_and_say_so(actions: Any, service: Service, url: str) -> None:
    service.on("/list", _page)
    found = await actions.get(url=f"{url}/list", pages={"max_pages": 2})
    assert (found.data["items"], found.data["more"]) == ([10, 11, 20, 21], True)
    found = await actions.get(url=f"{url}/list", pages={"max_items": 3})
    assert (found.data["items"], found.data["more"]) == ([10, 11, 20], True)
    assert found.summary.endswith("; there are more")


async def test_pages_are_followed_by_pointer_and_by_cursor(actions: Any, service: Service, url: str) -> None:
    def by_url(asked: Asked) -> Answer:
        page = asked.query.get("p", ["a"])[0]
        return as_json({"data": [page], "links": {"next": "?p=b" if page == "a" else None}})

    def by_cursor(asked: Asked) -> Answer:
        after = asked.query.get("after", [""])[0]
        return as_json({"data": [after], "meta": {"next": "" if after == "c&d" else "c&d"}})

    service.on("/url", by_url)
    service.on("/cursor", by_cursor)
    found = await actions.get(url=f"{url}/url", pages={"next": "/links/next", "items": "/data"})
    assert found.data["items"] == ["a", "b"]
    how = {"next": "/meta/next", "cursor": "after", "items": "/data"}
    found = await actions.get(url=f"{url}/cursor?x=1", pages=how, evidence="p.json")
    assert found.data["items"] == ["", "c&d"]
    assert service.asked[-1].query == {"x": ["1"], "after": ["c&d"]}
    assert [ref.name for ref in found.evidence] == ["001-p.json", "002-p.json"]


async def test_pages_that_go_in_circles_are_noticed(actions: Any, service: Service, url: str) -> None:
    service.on("/list", as_json([1], Link="</list?page=2>; rel=next"))
    error = await _failed(actions.get(url=f"{url}/list", pages={"max_pages": 100}), "BadReply")
    assert "circles" in error.details[0].hint
    assert len(service.asked) == 2


@pytest.mark.parametrize("cursor", ["x" * 100_000, "\ud800"])
async def test_a_cursor_that_cannot_be_sent_is_a_bad_reply(
    cursor: str, actions: Any, service: Service, url: str
) -> None:
    service.on("/list", as_json({"data": [1], "next": cursor}))
    how = {"next": "/next", "cursor": "after", "items": "/data"}
    await _failed(actions.get(url=f"{url}/list", pages=how), "BadReply")
    await _failed(actions.get(url=f"{url}/list", pages={"next": "/next", "items": "/data"}), "BadReply")
    await _failed(actions.get(url=f"{url}/list", query={"a": cursor}), "BadInput")
    await _failed(actions.get(url=f"{url}/list", path=[cursor]), "BadInput")


async def test_pages_do_not_leave_their_host(
    actions: Any, service: Service, other: Service, url: str, other_url: str
) -> None:
    service.on("/list", as_json([1], Link=f"<{other_url}/list>; rel=next"))
    error = await _failed(actions.get(url=f"{url}/list", pages={}), "Refused")
    assert "another host" in error.message
    assert other.asked == []


async def test_a_page_that_is_no_list_is_said_to_be(actions: Any, service: Service, url: str) -> None:
    service.on("/list", as_json({"data": {}}))
    error = await _failed(actions.get(url=f"{url}/list", pages={"items": "/data"}), "BadReply")
    assert "no list at /data" in error.message


async def test_a_throttled_page_is_waited_for(actions: Any, service: Service, url: str) -> None:
    answers = iter([Answer(429, b"", {"Retry-After": "0"}), as_json([1])])
    service.on("/list", lambda _: next(answers))
    found = await actions.get(url=f"{url}/list", pages={})
    assert found.data["items"] == [1]


async def test_polling_ends_when_it_is_so(actions: Any, service: Service, url: str) -> None:
    answers = iter(
        [
            Answer(404, b"not yet"),
            Answer(503, b"busy", {"Retry-After": "0"}),
            as_json({"status": "running"}, 202),
            as_json({"status": "done", "id": 7}),
        ]
    )
    service.on("/job", lambda _: next(answers))
    found = await actions.get(
        url=f"{url}/job",
        poll={"until": {"equals": {"/status": "done"}}, "interval": 0.1},
        extract={"id": "/id"},
    )
    assert found.data["extracted"] == {"id": 7}
    assert found.data["tries"] == 4


async def test_polling_ends_at_its_limit(actions: Any, service: Service, url: str) -> None:
    service.on("/job", as_json({"status": "running"}))
    poll = {"until": {"equals": {"/status": "done"}}, "interval": 0.2, "limit": 0.5}
    error = await _failed(actions.get(url=f"{url}/job", poll=poll), "TimedOut")
    assert error.non_retryable
    assert '/status is "running", not "done"' in error.message
    assert len(service.asked) <= 3


async def test_polling_until_a_status(actions: Any, service: Service, url: str) -> None:
    answers = iter([as_json({}), Answer(404)])
    service.on("/vm", lambda _: next(answers))
    found = await actions.get(url=f"{url}/vm", poll={"until": {"status": [404]}, "interval": 0.1})
    assert found.data["status"] == 404


async def test_polling_does_not_knock_where_it_is_not_let_in(
    actions: Any, service: Service, url: str
) -> None:
    service.on("/job", Answer(403, b"no"))
    poll = {"until": {"status": [200]}, "interval": 0.1}
    await _failed(actions.get(url=f"{url}/job", poll=poll), "PermissionMissing")
    assert len(service.asked) == 1


async def test_a_cancelled_step_waits_no_longer(actions: Any, service: Service, url: str) -> None:
    import threading

    from soar.actions.errors import ActionError
    from soar.actions.http.reads import GetParams, http_get

    service.on("/job", as_json({}))
    ctx = actions.context()
    wanted = {"until": {"equals": {"/x": 1}}, "interval": 300, "limit": 800}
    params = GetParams.model_validate({"url": f"{url}/job", "poll": wanted})
    threading.Timer(0.3, ctx.cancelled.set).start()
    with pytest.raises(ActionError):
        await asyncio.wait_for(asyncio.to_thread(http_get, ctx, params), 20)
    assert "not so after 1 requests" in ctx.progress


async def test_a_read_that_waits_for_its_reply_can_be_cancelled(
    actions: Any, service: Service, url: str
) -> None:
    import socket
    import threading

    from soar.actions.errors import ActionError
    from soar.actions.http.client import HttpAccess
    from soar.actions.http.reads import GetParams, http_get

    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        actions.access = HttpAccess(allow=[f"http://service.test:{port}"], resolver=lambda *_: ["127.0.0.1"])
        ctx = actions.context()
        params = GetParams.model_validate({"url": f"http://service.test:{port}/", "timeout": 120})
        threading.Timer(0.3, ctx.cancelled.set).start()
        with pytest.raises(ActionError, match="cancelled"):
            await asyncio.wait_for(asyncio.to_thread(http_get, ctx, params), 20)


@given(st.text(min_size=1, max_size=30))
def test_a_part_of_a_path_stays_one_part(text: str) -> None:
    message = Message(url="https://a.example/v1/ip/?x=1", path=(text, 7), query={"q": text})
    try:
        url = outgoing("GET", message).url
    except BadInput:
        assert text in (".", "..") or any("\ud800" <= c <= "\udfff" for c in text)
        return
    path, _, query = url.raw_path.decode("ascii").partition("?")
    assert path.startswith("/v1/ip/")
    assert [unquote(part) for part in path.split("/")] == ["", "v1", "ip", text, "7"]
    assert parse_qs(query, keep_blank_values=True) == {"x": ["1"], "q": [text]}
    assert url.host == "a.example"
