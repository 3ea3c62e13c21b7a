from __future__ import annotations

import copy
from typing import Any

import httpx
import pytest
from slack_sdk.errors import SlackApiError
from test_workspace_server import Receiver, card, http, receiver, sdk, workspace

from soar.simulated.workspace import ClickRefused, SimulatedWorkspace
from soar.simulated.workspace.views import TRIGGER_SECONDS, check_view, problems_of

__all__ = ["http", "receiver", "workspace"]  # fixtures


def text(value: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": value}


def block(name: str, element: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "type": "input",
        "block_id": name,
        "label": text(f"<b>{name}</b>"),
        "element": {"action_id": "value", **element},
        **more,
    }


OPTIONS = [{"text": text("Yes"), "value": "true"}, {"text": text("No"), "value": "false"}]
VIEW: dict[str, Any] = {
    "type": "modal",
    "callback_id": "c",
    "private_metadata": "m",
    "title": text("Title"),
    "submit": text("Send"),
    "blocks": [
        {"type": "section", "text": text("<script>alert(1)</script>")},
        block("words", {"type": "plain_text_input", "max_length": 5}),
        block(
            "number", {"type": "number_input", "is_decimal_allowed": True, "max_value": "9"}, optional=True
        ),
        block("radio", {"type": "radio_buttons", "options": OPTIONS}),
        block(
            "choice", {"type": "static_select", "option_groups": [{"label": text("g"), "options": OPTIONS}]}
        ),
        block("time", {"type": "datetimepicker"}, optional=True, hint=text("yours")),
    ],
}
GOOD = {"words": "hello", "number": "7.5", "radio": "true", "choice": "false", "time": "1773457620"}


async def trigger(workspace: SimulatedWorkspace, receiver: Receiver) -> str:
    channel, ts = await card(workspace, f"inc-{len(receiver.payloads)}")
    await workspace.click(user="U0IRENE001", channel=channel, ts=ts, action_id="vote.approve", value="ap-1")
    return str(receiver.payloads[-1]["trigger_id"])


async def opened(workspace: SimulatedWorkspace, receiver: Receiver) -> str:
    async with sdk(workspace) as web:
        answer = await web.views_open(trigger_id=await trigger(workspace, receiver), view=VIEW)
    return str(answer["view"]["id"])


async def test_a_modal_is_shown_filled_in_and_sent(
    workspace: SimulatedWorkspace, receiver: Receiver, http: httpx.AsyncClient
) -> None:
    view = await opened(workspace, receiver)
    page = (await http.get("/simulated/modal", params={"as": "U0IRENE001"})).text
    assert f'data-view="{view}"' in page
    assert "<script>" not in page
    assert "&lt;b&gt;words&lt;/b&gt;" in page
    assert (await http.get("/simulated/modal", params={"as": "U0JONAS001"})).text == ""
    body = {"user": "U0IRENE001", "view": view, "values": {**GOOD, "words": "too long"}}
    answer = (await http.post("/simulated/submit", json=body)).json()
    assert answer == {"status": 0, "errors": {"words": "At most 5 characters"}}
    receiver.status = 503
    assert (await http.post("/simulated/submit", json={**body, "values": GOOD})).json()["status"] == 503
    assert view in (await http.get("/simulated/modal", params={"as": "U0IRENE001"})).text
    receiver.status = 200
    answer = (await http.post("/simulated/submit", json={**body, "values": GOOD})).json()
    assert answer == {"status": 200, "errors": {}}
    payload = receiver.payloads[-1]
    assert payload["type"] == "view_submission"
    assert payload["view"]["private_metadata"] == "m"
    values = {name: held["value"] for name, held in payload["view"]["state"]["values"].items()}
    assert values["words"]["value"] == "hello"
    assert values["radio"]["selected_option"]["value"] == "true"
    assert values["choice"]["selected_option"]["value"] == "false"
    assert values["time"]["selected_date_time"] == 1773457620
    with pytest.raises(ClickRefused):
        await workspace.submit(user="U0IRENE001", view=view, values=GOOD)


async def test_a_modal_can_be_put_away(
    workspace: SimulatedWorkspace, receiver: Receiver, http: httpx.AsyncClient
) -> None:
    await opened(workspace, receiver)
    seen = len(receiver.payloads)
    assert (await http.post("/simulated/dismiss", json={"user": "U0IRENE001"})).status_code == 200
    assert workspace.state.modals == {}
    assert len(receiver.payloads) == seen


async def test_a_trigger_opens_one_modal_and_soon(workspace: SimulatedWorkspace, receiver: Receiver) -> None:
    async def error(trigger_id: str, view: dict[str, Any] = VIEW) -> str:
        async with sdk(workspace) as web:
            with pytest.raises(SlackApiError) as caught:
                await web.views_open(trigger_id=trigger_id, view=view)
        return str(caught.value.response["error"])

    first = await trigger(workspace, receiver)
    assert await error(first, {**VIEW, "title": text("x" * 25)}) == "invalid_arguments"
    async with sdk(workspace) as web:
        await web.views_open(trigger_id=first, view=VIEW)
    assert await error(first) == "exchanged_trigger_id"
    assert await error("1.2.3") == "invalid_trigger_id"
    late = await trigger(workspace, receiver)
    user, when = workspace.state.triggers[late]
    workspace.state.triggers[late] = (user, when - TRIGGER_SECONDS - 1)
    assert await error(late) == "expired_trigger_id"


@pytest.mark.parametrize(
    "body",
    [
        {"user": 1, "view": "V", "values": {}},
        {"user": "U0IRENE001", "view": "V", "values": {"a": 1}},
        {"user": "U0IRENE001", "view": "V", "values": []},
    ],
)
async def test_what_no_page_sends_is_refused(http: httpx.AsyncClient, body: dict[str, Any]) -> None:
    assert (await http.post("/simulated/submit", json=body)).status_code == 400
    assert (await http.post("/simulated/submit", content=b"{}")).status_code == 415
    missing = {"user": "U0IRENE001", "view": "V", "values": {}}
    assert (await http.post("/simulated/submit", json=missing)).status_code == 404


def test_slacks_own_checks() -> None:
    assert problems_of(VIEW, GOOD) == {}
    wrong = {"number": "10", "radio": "maybe", "time": "soon"}
    assert problems_of(VIEW, wrong) == {
        "words": "This is a required field",
        "number": "The number is too small or too large",
        "radio": "Choose one of the options",
        "choice": "This is a required field",
        "time": "Enter a date and a time",
    }
    assert problems_of(VIEW, {**GOOD, "number": "1e3"}) == {"number": "Enter a number"}


def broken(index: int, **changes: Any) -> dict[str, Any]:
    view = copy.deepcopy(VIEW)
    view["blocks"][index] |= changes
    return view


@pytest.mark.parametrize(
    ("view", "what"),
    [
        ([], "only modals"),
        ({**VIEW, "title": None}, "view.title"),
        ({**VIEW, "colour": "red"}, "unknown field colour"),
        ({**VIEW, "private_metadata": "x" * 3001}, "private_metadata"),
        ({**VIEW, "blocks": None}, "not a list"),
        ({**VIEW, "blocks": VIEW["blocks"] * 20}, "more than 100"),
        ({k: v for k, v in VIEW.items() if k != "submit"}, "view.submit"),
        (broken(1, block_id="radio"), "used twice"),
        (broken(1, block_id=""), "block_id"),
        (broken(1, label=text("")), "label.text: empty"),
        (broken(1, element=None), "not an object"),
        (broken(1, element={"type": "checkboxes"}), "not supported"),
        (broken(1, element={"type": "plain_text_input", "max_length": 3001}), "max_length"),
        (broken(2, element={"type": "number_input"}), "is_decimal_allowed"),
        (broken(3, element={"type": "radio_buttons"}), "either options"),
        (broken(3, element={"type": "radio_buttons", "options": OPTIONS * 6}), "options: 1 to 10"),
        (broken(3, element={"type": "static_select", "options": OPTIONS * 2}), "used twice"),
        (broken(0, text=text("x" * 3001)), "more than 3000"),
    ],
)
def test_what_slack_refuses_in_a_modal(view: Any, what: str) -> None:
    assert check_view(VIEW) == []
    assert any(what in problem for problem in check_view(view)), check_view(view)
