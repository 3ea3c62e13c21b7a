from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slack_sdk.signature import SignatureVerifier

from soar.chat.interactions import MAX_BODY, InteractionRefused, parse_form, parse_payload, signature_problem
from soar.simulated.workspace.clicks import sign

SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
NOW = 1_773_457_620.0
BODY = b"payload=%7B%7D"


def signed(body: bytes = BODY, stamp: float = NOW, secret: str = SECRET) -> dict[str, str]:
    signature = SignatureVerifier(secret).generate_signature(timestamp=str(int(stamp)), body=body)
    assert signature is not None
    return {"X-Slack-Request-Timestamp": str(int(stamp)), "X-Slack-Signature": signature}


def payload(**changes: Any) -> dict[str, Any]:
    action = {
        "type": "button",
        "action_id": "vote.approve",
        "value": "ap-1",
        "action_ts": "1773457620.000100",
    }
    whole: dict[str, Any] = {
        "type": "block_actions",
        "user": {"id": "U0IRENE001", "team_id": "T0SIMULATED"},
        "team": {"id": "T0SIMULATED"},
        "api_app_id": "A0SIMULATED",
        "channel": {"id": "C0SIM00001"},
        "actions": [action],
    }
    return {**whole, **changes}


def test_what_slacks_own_library_signs_is_taken() -> None:
    assert signature_problem(SECRET, signed(), BODY, now=NOW) is None
    lower = {k.lower(): v for k, v in signed().items()}
    assert signature_problem(SECRET, lower, BODY, now=NOW + 299) is None


@pytest.mark.parametrize(
    ("headers", "now", "why"),
    [
        ({}, NOW, "not signed"),
        (signed(), NOW + 301, "five minutes"),
        (signed(stamp=NOW + 400), NOW, "five minutes"),
        (signed(secret="other"), NOW, "does not match"),
        ({**signed(), "X-Slack-Request-Timestamp": "abc"}, NOW, "not a number"),
        ({**signed(), "X-Slack-Request-Timestamp": "١٢٣"}, NOW, "not a number"),
        ({**signed(), "X-Slack-Signature": "v0=é"}, NOW, "does not match"),
        ({**signed(), "X-Slack-Signature": "v0=\udcff"}, NOW, "does not match"),
    ],
)
def test_what_is_wrong_is_said(headers: dict[str, str], now: float, why: str) -> None:
    problem = signature_problem(SECRET, headers, BODY, now=now)
    assert problem is not None
    assert why in problem


def test_without_a_secret_nothing_is_taken() -> None:
    assert signature_problem("", signed(), BODY, now=NOW) == "no signing secret is set"


@given(st.binary(max_size=200), st.text(max_size=40), st.text(max_size=80))
def test_no_signature_raises(body: bytes, stamp: str, signature: str) -> None:
    headers = {"X-Slack-Request-Timestamp": stamp, "X-Slack-Signature": signature}
    assert signature_problem(SECRET, headers, body, now=NOW) is not None


@given(st.binary(max_size=300))
def test_any_signed_bytes_are_good_and_one_changed_bit_is_not(body: bytes) -> None:
    headers = sign(SECRET, int(NOW), body)
    assert signature_problem(SECRET, headers, body, now=NOW) is None
    assert signature_problem(SECRET, headers, body + b"x", now=NOW) is not None


def test_a_click_is_read() -> None:
    click = parse_form(urlencode({"payload": json.dumps(payload())}).encode())
    assert (click.kind, click.subject, click.decision) == ("vote", "ap-1", "approve")
    assert click.user_id == "U0IRENE001"
    again = parse_payload(payload(trigger_id="another"))
    assert again.dedupe_key == click.dedupe_key
    later = payload()
    later["actions"][0]["action_ts"] = "1773457621.000100"
    assert parse_payload(later).dedupe_key != click.dedupe_key


def test_a_step_decision_is_read() -> None:
    raw = payload()
    raw["actions"][0] |= {"action_id": "step.retry", "value": "inc-1:step"}
    assert parse_payload(raw).kind == "step_decision"


def form(**changes: Any) -> dict[str, Any]:
    """A modal that was sent, as Slack posts it."""
    view = {
        "id": "V0SIM00001",
        "type": "modal",
        "callback_id": "task.done",
        "private_metadata": "C0SIM00001 0123456789abcdef inc-1:host check[3]",
        "state": {
            "values": {
                "field.1": {"value": {"type": "plain_text_input", "value": "two files"}},
                "field.2": {"value": {"type": "static_select", "selected_option": {"value": "yes"}}},
                "field.3": {"value": {"type": "datetimepicker", "selected_date_time": 1773457620}},
                "field.4": {"value": {"type": "static_select", "selected_option": None}},
                "note": {"value": {"type": "plain_text_input", "value": "seen"}},
            }
        },
    }
    return {**payload(type="view_submission", view={**view, **changes}), "actions": None, "channel": None}


def test_a_form_is_read() -> None:
    found = parse_form(urlencode({"payload": json.dumps(form())}).encode())
    assert (found.kind, found.decision, found.subject) == ("task_done", "done", "inc-1:host check[3]")
    assert (found.channel_id, found.asked, found.note) == ("C0SIM00001", "0123456789abcdef", "seen")
    assert found.values == {"field.1": "two files", "field.2": "yes", "field.3": "1773457620"}
    other = parse_payload(form(id="V0SIM00002"))
    assert other.dedupe_key != found.dedupe_key
    assert parse_payload(form(state={"values": {}})).dedupe_key == found.dedupe_key


def test_a_click_on_a_task_keeps_what_opens_its_form() -> None:
    raw = payload(trigger_id="123.456.abc")
    raw["actions"][0] |= {"action_id": "task.open", "value": "inc-1:assess"}
    found = parse_payload(raw)
    assert (found.kind, found.decision, found.trigger_id) == ("task_form", "open", "123.456.abc")


def held(value: object) -> dict[str, Any]:
    return {"values": {"field.1": {"value": value}}}


@pytest.mark.parametrize(
    "raw",
    [
        form(callback_id="other"),
        form(private_metadata="C0SIM00001"),
        form(private_metadata="C0SIM00001  inc-1:s"),
        form(private_metadata="C0SIM00001 <script> inc-1:s"),
        form(private_metadata="not-a-channel 0123456789abcdef inc-1:s"),
        form(private_metadata=None),
        form(id=None),
        form(id=""),
        form(state=held("text")),
        form(state=held({"value": 7})),
        form(state=held({"value": "x" * 4_001})),
        form(state={"values": {f"f{i}": {"value": {"value": "x"}} for i in range(101)}}),
        form(state={"values": {"note": {"value": {"value": "x" * 2_001}}}}),
        payload(type="view_submission", view=None),
    ],
)
def test_a_form_that_is_not_ours_is_refused_aloud(raw: dict[str, Any]) -> None:
    # Not harmless: an answer of 200 would close the form, and what was written would be gone.
    with pytest.raises(InteractionRefused) as caught:
        parse_payload(raw)
    assert not caught.value.harmless


def test_the_largest_form_is_below_the_limit() -> None:
    values = {
        f"field.{i:016d}": {"value": {"type": "plain_text_input", "value": "漏" * 3_000}} for i in range(40)
    }
    raw = form(state={"values": values})
    body = urlencode({"payload": json.dumps(raw)}).encode()
    assert len(body) < MAX_BODY
    assert len(parse_form(body).values) == 40


@pytest.mark.parametrize(
    ("raw", "harmless"),
    [
        (payload(type="view_closed"), True),
        (payload(type="view_submission"), False),
        (payload(actions=[{"action_id": "open.console", "action_ts": "1.1"}]), True),
        (payload(actions=[]), False),
        (payload(actions=[{"action_id": "other.thing", "value": "x"}]), False),
        (payload(actions=[{"action_id": "vote.approve", "value": {"a": 1}, "action_ts": "1.1"}]), False),
        (payload(user=None), False),
        (payload(user={"id": "U1 <x>"}), False),
        (payload(api_app_id=7), False),
        ([], False),
        (None, False),
    ],
)
def test_what_is_no_decision_is_refused(raw: object, harmless: bool) -> None:
    with pytest.raises(InteractionRefused) as caught:
        parse_payload(raw)
    assert caught.value.harmless is harmless


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from([*payload(), "x"]), JSON))
def test_any_payload_is_read_or_refused(parts: dict[str, Any]) -> None:
    with pytest.raises(InteractionRefused):
        parse_payload({**payload(actions=None), **parts, "actions": parts.get("actions")})


@given(JSON)
def test_any_form_is_read_or_refused(state: Any) -> None:
    try:
        found = parse_payload(form(state={"values": state}))
    except InteractionRefused:
        return
    assert all(value for value in found.values.values())


@given(st.binary(max_size=200))
def test_any_body_is_refused_and_no_crash(body: bytes) -> None:
    with pytest.raises(InteractionRefused):
        parse_form(body)
    with pytest.raises(InteractionRefused):
        parse_form(b"payload=" + quote(body).encode())


def test_a_deeply_nested_body_is_refused() -> None:
    with pytest.raises(InteractionRefused):
        parse_form(b"payload=" + b"[" * 100_000)
