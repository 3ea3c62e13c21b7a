"""http.request: what is approved is what is sent, once; and what nobody can know is said."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from http_service import Answer, Asked, Service, as_json, closed_port, to
from temporalio.exceptions import ApplicationError

from soar.actions.http import sending
from soar.model.change import Plan

CUT = Answer(raw=[])
"""The connection ends after the request was read: the reply is lost."""


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same waits in the same order, shorter."""
    monkeypatch.setattr(sending, "NOT_SENT_PAUSES", (0.01, 0.01, 0.01))
    monkeypatch.setattr(sending, "LOOKS", (0.01, 0.02))


async def _failed(call: Any, kind: str) -> ApplicationError:
    with pytest.raises(ApplicationError) as raised:
        await call
    assert raised.value.type == kind, f"{raised.value.type}: {raised.value.message}"
    return raised.value


def _shown(plan: Plan) -> dict[str, Any]:
    """What the plan shows of the request, part by part."""
    return {change.field: change.after for change in plan.changes}


class Blocklist:
    """A service that keeps a list, and that can lose its replies."""

    def __init__(self, service: Service) -> None:
        self.held: dict[str, Any] = {}
        self.lose = 0
        self.keys: list[str] = []
        service.on("*", self.answer)

    def answer(self, asked: Asked) -> Answer:
        if asked.method != "GET":
            self.keys.append(asked.headers["idempotency-key"])
        lost, self.lose = (self.lose > 0 and asked.method != "GET"), self.lose - (asked.method != "GET")
        match asked.method:
            case "GET":
                found = self.held.get(asked.path)
                return as_json(found) if found else as_json({"error": "none"}, 404)
            case "DELETE":
                there = self.held.pop(asked.path, None)
                answer = Answer(204) if there else as_json({}, 404)
            case _:
                self.held[asked.path] = {**asked.json, "active": True}
                answer = as_json({"id": 7}, 201)
        return CUT if lost else answer


@pytest.fixture
def blocklist(service: Service) -> Blocklist:
    return Blocklist(service)


def _block(url: str, **more: Any) -> dict[str, Any]:
    address = f"{url}/block/192.0.2.7"
    return {
        "method": "PUT",
        "url": address,
        "json": {"reason": "scan"},
        "verify": {"url": address, "expect": {"equals": {"/active": True}}},
        "undo": {"method": "DELETE", "url": address},
        **more,
    }


async def test_a_change_is_planned_sent_verified_and_undone(
    actions: Any, service: Service, blocklist: Blocklist, url: str
) -> None:
    plan = await actions.plan(**_block(url, extract={"id": "/id"}))
    assert blocklist.held == {}
    assert [asked.method for asked in service.asked] == ["GET"]
    shown = _shown(plan)
    assert list(shown) == ["request", "credential", "body reason", "headers"]
    assert shown["request"] == f"PUT {url}/block/192.0.2.7"
    assert shown["body reason"] == "scan"
    assert shown["credential"] == "none"
    assert plan.undo.startswith(f"DELETE {url}/block/192.0.2.7")
    assert plan.warnings == ()
    assert plan.blast_radius.facts == ("seen now: the status is 404",)

    done = await actions.apply(plan)
    sent = next(asked for asked in service.asked if asked.method == "PUT")
    # Exactly what was shown has arrived.
    assert sent.json == {"reason": shown["body reason"]}
    for name, value in shown["headers"].items():
        assert sent.headers[name.lower()] == value
    assert done.data["extracted"] == {"id": 7}
    assert done.data["idempotency_key"] == shown["headers"]["Idempotency-Key"] == blocklist.keys[0]
    seen = await actions.verify(plan)
    assert seen.verified
    assert seen.method == f"GET {url}/block/192.0.2.7"
    assert "/active is true" in seen.seen

    reply = await actions.undo(plan)
    assert reply.restored
    assert blocklist.held == {}
    assert len(set(blocklist.keys)) == 2


async def test_what_is_as_wanted_already_is_not_sent(
    actions: Any, service: Service, blocklist: Blocklist, url: str
) -> None:
    blocklist.held["/block/192.0.2.7"] = {"active": True}
    plan = await actions.plan(**_block(url))
    assert plan.changes == ()
    assert "is as wanted" in plan.summary


async def test_a_change_that_somebody_else_made_meanwhile_voids_the_plan(
    actions: Any, blocklist: Blocklist, url: str
) -> None:
    plan = await actions.plan(**_block(url))
    blocklist.held["/block/192.0.2.7"] = {"active": True}
    error = await _failed(actions.apply(plan), "Drifted")
    assert error.details[0].nothing_done
    assert blocklist.keys == []


async def test_undo_of_what_is_not_in_place_any_more(actions: Any, blocklist: Blocklist, url: str) -> None:
    plan = await actions.plan(**_block(url))
    await actions.apply(plan)
    blocklist.held.clear()
    reply = await actions.undo(plan)
    assert reply.restored
    assert "already" in reply.result.summary
    assert len(blocklist.keys) == 1


async def test_undo_in_doubt_of_what_was_never_done(actions: Any, blocklist: Blocklist, url: str) -> None:
    plan = await actions.plan(**_block(url))
    reply = await actions.undo(plan, in_doubt=True)
    assert reply.restored


async def test_undo_that_has_no_effect_is_told(actions: Any, service: Service, url: str) -> None:
    held: dict[str, Any] = {}

    def stubborn(asked: Asked) -> Answer:
        if asked.method == "PUT":
            held["active"] = True
        return as_json(held)

    service.on("*", stubborn)
    plan = await actions.plan(**_block(url))
    await actions.apply(plan)
    actions.verify_timeout = 0.5
    reply = await actions.undo(plan)
    assert not reply.restored
    assert "in_place" in reply.seen


async def test_a_look_that_tells_nothing_is_not_taken_for_put_back(
    actions: Any, blocklist: Blocklist, service: Service, url: str
) -> None:
    """A 403 at the look is neither "in place" nor "gone"."""
    plan = await actions.plan(**_block(url))
    await actions.apply(plan)
    service.on("*", Answer(403, b"no"))
    await _failed(actions.undo(plan), "PermissionMissing")
    await _failed(actions.verify(plan), "PermissionMissing")
    for status in (302, 401, 400):
        service.on("*", Answer(status, b"", {"Location": "https://login.example/"} if status == 302 else {}))
        with pytest.raises(ApplicationError):
            await actions.undo(plan, attempt=2)


async def test_without_a_look_the_plan_says_what_it_cannot(actions: Any, service: Service, url: str) -> None:
    service.on("/n", as_json({}, 201))
    plan = await actions.plan(method="POST", url=f"{url}/n", json={"a": 1})
    assert any("cannot be undone" in warning for warning in plan.warnings)
    assert any("Only the status" in warning for warning in plan.warnings)
    assert any("sent once" in warning for warning in plan.warnings)
    assert plan.undo == ""
    await actions.apply(plan)
    seen = await actions.verify(plan)
    assert seen.verified
    assert "nothing else was looked at" in seen.seen
    # No look: a new plan cannot tell the two states apart, so undoing must not claim that it is put back.
    await _failed(actions.undo(plan, in_doubt=True), "Refused")


async def test_undo_needs_a_look(actions: Any, url: str) -> None:
    error = await _failed(
        actions.plan(url=f"{url}/", undo={"method": "DELETE", "url": f"{url}/"}), "BadInput"
    )
    assert "needs `verify`" in error.message


async def test_the_same_step_sends_the_same_key_and_another_step_another(
    make_actions: Callable[..., Any], service: Service, url: str
) -> None:
    first, second = make_actions(), make_actions()
    second.step_id = "step-2"
    body = {"method": "POST", "url": f"{url}/n"}

    async def key(actions: Any, **more: Any) -> str:
        plan = await actions.plan(**body, **more)
        found: str = _shown(plan)["headers"]["Idempotency-Key"]
        return found

    assert await key(first, json={"a": 1}) == await key(first, json={"a": 1})
    assert await key(first, json={"a": 1}) != await key(first, json={"a": 2})
    assert await key(first, json={"a": 1}) != await key(second, json={"a": 1})
    plan = await first.plan(**body, headers={"idempotency-key": "mine"})
    assert "Idempotency-Key" not in _shown(plan)["headers"]
    assert _shown(plan)["headers"]["idempotency-key"] == "mine"
    service.on("/n", as_json({}))
    assert (await first.apply(plan)).data["idempotency_key"] == "mine"


async def test_a_lost_reply_of_what_may_be_repeated_is_tried_again(
    actions: Any, blocklist: Blocklist, url: str
) -> None:
    plan = await actions.plan(**_block(url, verify=None, undo=None))
    blocklist.lose = 1
    error = await _failed(actions.apply(plan), "Unavailable")
    assert not error.non_retryable
    done = await actions.apply(plan, attempt=2)
    assert done.data["status"] == 201
    assert len(blocklist.keys) == 2
    assert len(set(blocklist.keys)) == 1


async def test_a_lost_reply_of_a_post_is_in_doubt_and_not_sent_again(
    actions: Any, blocklist: Blocklist, url: str
) -> None:
    plan = await actions.plan(method="POST", url=f"{url}/ticket", json={"a": 1})
    blocklist.lose = 1
    error = await _failed(actions.apply(plan), "InDoubt")
    assert error.non_retryable
    assert not error.details[0].nothing_done
    assert "no reply came" in error.message
    assert "look at the service" in error.details[0].hint
    assert len(blocklist.keys) == 1


async def test_a_worker_that_died_in_between_does_not_send_a_second_time(
    actions: Any, blocklist: Blocklist, service: Service, url: str
) -> None:
    """Temporal runs the activity again on another worker: attempt 2, and nobody knows what the first one did."""
    plan = await actions.plan(method="POST", url=f"{url}/ticket", json={"a": 1})
    error = await _failed(actions.apply(plan, attempt=2), "InDoubt")
    assert "an earlier try" in error.message
    assert blocklist.keys == []
    # The person says: it was not done, send it.
    await actions.apply(await actions.plan(**plan.params))
    assert len(blocklist.keys) == 1


async def test_a_worker_that_died_in_between_finds_what_it_did(
    actions: Any, blocklist: Blocklist, url: str
) -> None:
    plan = await actions.plan(**_block(url, method="POST"))
    await actions.apply(plan)
    done = await actions.apply(plan, attempt=2)
    assert "it is in place" in done.summary
    assert len(blocklist.keys) == 1


async def test_said_safe_to_repeat_it_is_repeated(actions: Any, blocklist: Blocklist, url: str) -> None:
    plan = await actions.plan(method="POST", url=f"{url}/ticket", json={"a": 1}, safe_to_repeat=True)
    assert not any("sent once" in warning for warning in plan.warnings)
    blocklist.lose = 1
    await _failed(actions.apply(plan), "Unavailable")
    await actions.apply(plan, attempt=2)
    assert len(set(blocklist.keys)) == 1


async def test_said_not_safe_to_repeat_a_put_is_not(actions: Any, blocklist: Blocklist, url: str) -> None:
    plan = await actions.plan(**_block(url, verify=None, undo=None, safe_to_repeat=False))
    await _failed(actions.apply(plan, attempt=2), "InDoubt")
    assert blocklist.keys == []


async def test_a_lost_reply_whose_effect_is_seen_is_no_doubt(
    actions: Any, blocklist: Blocklist, url: str
) -> None:
    plan = await actions.plan(**_block(url, method="POST"))
    blocklist.lose = 1
    done = await actions.apply(plan)
    assert "no reply was read, but it is in place" in done.summary
    assert done.data["reply"] is None
    assert (await actions.verify(plan)).verified


async def test_a_lost_reply_whose_effect_is_not_seen_says_what_is(
    actions: Any, service: Service, url: str
) -> None:
    service.on("*", lambda asked: as_json({"active": False}) if asked.method == "GET" else CUT)
    plan = await actions.plan(**_block(url, method="POST"))
    error = await _failed(actions.apply(plan), "InDoubt")
    assert "/active is false, not true" in error.message


@pytest.mark.parametrize("status", [500, 502, 504, 408])
async def test_a_failure_that_tells_nothing_is_in_doubt_for_a_post(
    status: int, actions: Any, service: Service, url: str
) -> None:
    service.on("/n", Answer(status, b"?"))
    plan = await actions.plan(method="POST", url=f"{url}/n", json={})
    await _failed(actions.apply(plan), "InDoubt")
    assert len(service.asked) == 1
    plan = await actions.plan(method="PUT", url=f"{url}/n", json={})
    await _failed(actions.apply(plan), "Unavailable")


async def test_a_service_that_asks_to_wait_is_waited_for(actions: Any, service: Service, url: str) -> None:
    """It has done nothing, so sending it then is not sending it twice; Temporal's retry could not know that."""
    answers = iter(
        [Answer(429, b"", {"Retry-After": "0"}), Answer(503, b"", {"Retry-After": "0"}), as_json({}, 201)]
    )
    service.on("/n", lambda _: next(answers))
    plan = await actions.plan(method="POST", url=f"{url}/n", json={})
    assert (await actions.apply(plan)).data["status"] == 201
    assert len(service.asked) == 3
    service.on("/n", Answer(429, b"", {"Retry-After": "3000"}))
    error = await _failed(actions.apply(plan), "Refused")
    assert "3000 s" in error.message
    plan = await actions.plan(method="PUT", url=f"{url}/n", json={})
    error = await _failed(actions.apply(plan), "Throttled")
    assert error.next_retry_delay is not None


async def test_what_was_not_sent_is_said_to_be(make_actions: Callable[..., Any]) -> None:
    port = closed_port()
    actions = make_actions(allow=[f"http://service.test:{port}"])
    plan = await actions.plan(method="POST", url=f"http://service.test:{port}/n", json={})
    error = await _failed(actions.apply(plan), "NotSent")
    assert error.non_retryable
    assert error.details[0].nothing_done
    plan = await actions.plan(method="PUT", url=f"http://service.test:{port}/n", json={})
    error = await _failed(actions.apply(plan), "Unavailable")
    assert not error.details[0].nothing_done


async def test_a_service_that_comes_up_a_moment_later_gets_it_once(
    make_actions: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from http_service import serve

    monkeypatch.setattr(sending, "NOT_SENT_PAUSES", (0.2,) * 50)
    port, stop, got = closed_port(), threading.Event(), []

    def later() -> None:
        stop.wait(0.5)
        with serve(port=port) as late:
            late.on("/n", as_json({}, 201))
            stop.wait(20)
            got.extend(late.asked)

    thread = threading.Thread(target=later)
    actions = make_actions(allow=[f"http://service.test:{port}"])
    plan = await actions.plan(method="POST", url=f"http://service.test:{port}/n", json={})
    thread.start()
    try:
        assert (await actions.apply(plan)).data["status"] == 201
    finally:
        stop.set()
        thread.join()
    assert len(got) == 1


async def test_a_deletion_that_was_made_by_the_try_before(
    actions: Any, blocklist: Blocklist, url: str
) -> None:
    blocklist.held["/x"] = {"active": True}
    plan = await actions.plan(method="DELETE", url=f"{url}/x")
    blocklist.lose = 1
    await _failed(actions.apply(plan), "Unavailable")
    done = await actions.apply(plan, attempt=2)
    assert done.data["status"] == 404
    await _failed(actions.apply(plan), "TargetGone")


async def test_a_refusal_has_its_type_and_the_service_s_words(
    actions: Any, service: Service, url: str
) -> None:
    service.on("/n", as_json({"error": "reason is missing"}, 422))
    plan = await actions.plan(method="POST", url=f"{url}/n", json={})
    error = await _failed(actions.apply(plan), "BadInput")
    assert "reason is missing" in error.message
    assert len(service.asked) == 1


async def test_a_redirect_is_not_followed_unless_it_is_allowed(
    actions: Any, service: Service, url: str
) -> None:
    service.on("/a", to("/b", 308))
    service.on("/b", as_json({}))
    plan = await actions.plan(method="POST", url=f"{url}/a", json={"x": 1})
    await _failed(actions.apply(plan), "Refused")
    assert service.paths() == ["/a"]
    plan = await actions.plan(method="POST", url=f"{url}/a", json={"x": 1}, redirects=1)
    await actions.apply(plan)
    assert json.loads(service.asked[-1].body) == {"x": 1}


async def test_a_reply_that_is_not_as_agreed_is_told_after_the_change(
    actions: Any, service: Service, url: str
) -> None:
    service.on("/n", as_json({"ok": False}))
    plan = await actions.plan(
        method="POST", url=f"{url}/n", json={}, schema={"properties": {"ok": {"const": True}}}
    )
    error = await _failed(actions.apply(plan), "BadReply")
    assert error.non_retryable
    assert len(service.asked) == 1


async def test_the_credential_of_the_change_serves_its_look_and_undo_on_the_same_host_only(
    make_actions: Callable[..., Any], service: Service, other: Service, url: str, other_url: str
) -> None:
    actions = make_actions({"crm": ("sesame-open-1", f"service.test:{service.port}")})
    for running in (service, other):
        running.on("*", as_json({"active": False}))
    await actions.plan(**_block(url, auth={"secret": "crm"}))
    assert service.asked[0].headers["authorization"] == "Bearer sesame-open-1"
    look = {"url": f"{other_url}/x", "expect": {"equals": {"/active": True}}}
    await actions.plan(**_block(url, auth={"secret": "crm"}, verify=look))
    assert "authorization" not in other.asked[0].headers


async def test_what_may_not_be_sent_is_refused_at_the_plan(actions: Any, service: Service, url: str) -> None:
    await _failed(actions.plan(method="POST", url="http://169.254.169.254/x", json={}), "Refused")
    undo = {"method": "DELETE", "url": "https://nowhere.test/x"}
    await _failed(actions.plan(**_block(url, undo=undo)), "Unavailable")
    await _failed(actions.plan(method="POST", url="https://nowhere.test/x"), "NotSent")
    await _failed(actions.plan(method="GET", url=f"{url}/x"), "BadInput")
    await _failed(actions.plan(method="POST", url=f"{url}/x", json={}, body="x"), "BadInput")


async def test_a_body_is_sent_as_it_is_written(actions: Any, service: Service, url: str) -> None:
    service.on("/n", Answer(200))
    for params, body, kind in (
        ({"body": "  <a>ü</a>\n"}, "  <a>ü</a>\n".encode(), "text/xml"),
        ({"form": {"a": " b&", "c": [1, True]}}, b"a=+b%26&c=1&c=true", None),
        ({"json": {"b": [1, None, "ü"]}}, '{"b":[1,null,"ü"]}'.encode(), None),
        ({}, b"", None),
    ):
        headers = {"headers": {"content-type": kind}} if kind else {}
        await actions.apply(await actions.plan(method="POST", url=f"{url}/n", **params, **headers))
        asked = service.asked[-1]
        assert asked.body == body
        assert asked.headers["content-length"] == str(len(body))
        if kind:
            assert asked.headers["content-type"] == kind


async def test_the_plan_shows_every_body(actions: Any, url: str) -> None:
    for params, parts in (
        ({"body": "  <a>ü</a>\n"}, {"body": "  <a>ü</a>\n"}),
        ({"form": {"a": "b c"}}, {"body": "a=b+c"}),
        ({"json": [1, 2]}, {"body": "[1,2]"}),
        ({"json": {"a": {"b": 1}, "password": "x"}}, {"body a": {"b": 1}, "body password": "[redacted]"}),
        (
            {"json": {str(n): n for n in range(21)}},
            {"body": json.dumps({str(n): n for n in range(21)}, separators=(",", ":"))},
        ),
        ({}, {}),
    ):
        plan = await actions.plan(method="POST", url=f"{url}/n", **params)
        shown = _shown(plan)
        assert {part: value for part, value in shown.items() if part.startswith("body")} == parts


async def test_plans_of_other_requests_have_other_digests(actions: Any, service: Service, url: str) -> None:
    base: dict[str, Any] = {"method": "POST", "url": f"{url}/n", "json": {"password": "x"}}
    others: list[dict[str, Any]] = [
        {},
        {"method": "PUT"},
        {"url": f"{url}/m"},
        {"query": {"a": 1}},
        {"json": {"password": "y"}},
        {"headers": {"X-A": "b"}},
        {"redirects": 1},
        {"safe_to_repeat": True},
        {"accept": [202]},
    ]
    digests = [(await actions.plan(**{**base, **other})).content_digest for other in others]
    assert len(set(digests)) == len(others)
