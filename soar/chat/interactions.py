"""What Slack sends when somebody clicks: is it from Slack, and what does it say."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal
from urllib.parse import parse_qs

from pydantic import Field, ValidationError, model_validator

from soar.chat.task_form import CALLBACK, INPUT, NOTE
from soar.model.base import Fact, digest_of

__all__ = [
    "INBOX_KIND",
    "MAX_BODY",
    "Interaction",
    "InteractionRefused",
    "parse_form",
    "parse_payload",
    "signature_problem",
]

INBOX_KIND: Final = "interaction"
MAX_BODY = 2 * 1024 * 1024
"""Bytes. A filled-in form comes back with the whole modal, percent-encoded."""

_WINDOW = 300  # seconds, https://docs.slack.dev/authentication/verifying-requests-from-slack/
_VOTES = {"vote.approve": "approve", "vote.deny": "deny"}
_STEPS = {"step.retry": "retry", "step.skip": "skip", "step.stop": "stop"}
_KINDS = {**dict.fromkeys(_VOTES, "vote"), **dict.fromkeys(_STEPS, "step_decision"), "task.open": "task_form"}
_DECISIONS = {**_VOTES, **_STEPS, "task.open": "open"}
_MOST_VALUES = 100


class InteractionRefused(Exception):
    """The payload is not a decision.

    Args:
        harmless: It is something that Slack rightly sends and that needs nothing done (a click on a link button):
            answer 200. Otherwise answer 400.
    """

    def __init__(self, reason: str, *, harmless: bool = False) -> None:
        super().__init__(reason)
        self.harmless = harmless


class Interaction(Fact):
    """A click on one of our buttons, or a modal that was sent: ids and what the person said, no fact of the incident.

    Args:
        subject: The approval's id, or `<incident id>:<step id>`.
        action_ts: When the click was made, by Slack; the same in every delivery of one click. A modal has none.
        trigger_id: What a modal can be opened with, for three seconds.
        view_id: The modal that was sent; each opening of one has its own.
        asked: The asking that the modal was opened for (`soar.chat.task_form.asked`).
        values: What was filled in, by the ids of the modal's blocks.
        note: The person's words for the timeline.
    """

    kind: Literal["vote", "step_decision", "task_form", "task_done"]
    subject: str = Field(min_length=1, max_length=2000)
    decision: Literal["approve", "deny", "retry", "skip", "stop", "open", "done"]
    user_id: str = Field(pattern=r"^[UW][A-Z0-9]{2,30}$")
    team_id: str = Field(pattern=r"^[TE][A-Z0-9]{2,30}$")
    app_id: str = Field(pattern=r"^A[A-Z0-9]{2,30}$")
    channel_id: str = Field(pattern=r"^[CDG][A-Z0-9]{2,30}$")
    action_ts: str = Field(default="", pattern=r"^(\d{1,16}(\.\d{1,9})?)?$")
    trigger_id: str = Field(default="", max_length=300)
    view_id: str = Field(default="", pattern=r"^(V[A-Z0-9]{2,30})?$")
    asked: str = Field(default="", pattern=r"^([0-9a-f]{16})?$")
    values: dict[str, Annotated[str, Field(max_length=4_000)]] = Field(default={}, max_length=_MOST_VALUES)
    note: str = Field(default="", max_length=2_000)

    @model_validator(mode="after")
    def _told_apart(self) -> Interaction:
        if not (self.view_id if self.kind == "task_done" else self.action_ts):
            raise ValueError("it cannot be told from the next one")
        return self

    @property
    def dedupe_key(self) -> str:
        """The same for every delivery of one click.

        A second click has another: what it is worth is for the incident to say (`voted already`), since a step that
        failed twice may rightly be retried twice.
        """
        once = self.view_id if self.kind == "task_done" else self.action_ts
        return digest_of([self.kind, self.subject, self.user_id, self.decision, once])


def signature_problem(secret: str, headers: Mapping[str, str], body: bytes, *, now: float) -> str | None:
    """Check that a request is from Slack and fresh. Never raises.

    Slack's own verifier raises on a timestamp that is no number, a body that is not UTF-8 and a signature that is
    not ASCII; here each of them is simply not valid.

    Args:
        headers: In any letter case.
        body: The bytes as received.
        now: Seconds since 1970.

    Returns:
        What is wrong, for the log; None if the request is good.
    """
    found = {name.lower(): value for name, value in headers.items()}
    stamp, signature = found.get("x-slack-request-timestamp", ""), found.get("x-slack-signature", "")
    if not secret:
        return "no signing secret is set"
    if not stamp or not signature:
        return "the request is not signed"
    if not re.fullmatch(r"[0-9]{1,12}", stamp):
        return "the timestamp is not a number"
    expected = (
        "v0=" + hmac.new(secret.encode(), b"v0:" + stamp.encode() + b":" + body, hashlib.sha256).hexdigest()
    )
    if not hmac.compare_digest(expected.encode(), signature.encode("utf-8", "surrogateescape")):
        return "the signature does not match"
    if abs(now - int(stamp)) > _WINDOW:
        return "the request is older than five minutes, or from the future"
    return None


def parse_form(body: bytes) -> Interaction:
    """Read `payload=…` as Slack posts it to an interactivity URL.

    Raises:
        InteractionRefused: It is no decision of ours.
    """
    try:
        fields = parse_qs(body.decode("utf-8"), strict_parsing=True, max_num_fields=4)
        payload = json.loads(fields["payload"][0])
    except (UnicodeDecodeError, ValueError, KeyError, RecursionError):
        raise InteractionRefused("the body is not a form with a JSON payload") from None
    return parse_payload(payload)


def parse_payload(payload: object) -> Interaction:
    """Read the payload of a click (`block_actions`) or of a modal that was sent (`view_submission`).

    Raises:
        InteractionRefused: It is no decision of ours.
    """
    if not isinstance(payload, dict):
        raise InteractionRefused("the payload is not an object")
    match payload.get("type"):
        case "block_actions":
            found = _click(payload)
        case "view_submission":
            found = _submission(payload)
        case other:
            raise InteractionRefused("only clicks and forms are taken", harmless=isinstance(other, str))
    try:
        return Interaction.model_validate(
            {
                **found,
                "user_id": _id(payload, "user"),
                "team_id": _id(payload, "team") or _id(payload, "user", "team_id"),
                "app_id": payload.get("api_app_id"),
            }
        )
    except ValidationError as error:
        wrong = {str(e["loc"][0]) if e["loc"] else "action_ts" for e in error.errors(include_input=False)}
        raise InteractionRefused(f"the payload does not fit: {', '.join(sorted(wrong))}") from None


def _click(payload: Mapping[str, Any]) -> dict[str, object]:
    actions = payload.get("actions")
    if not isinstance(actions, list) or len(actions) != 1 or not isinstance(actions[0], dict):
        raise InteractionRefused("the payload has not exactly one action")
    action: dict[str, Any] = actions[0]
    name = action.get("action_id")
    if not isinstance(name, str):
        raise InteractionRefused("the action has no id")
    if name.startswith("open."):
        raise InteractionRefused("a link was opened", harmless=True)
    if name not in _KINDS:
        raise InteractionRefused("the button is none of ours")
    found = {
        "kind": _KINDS[name],
        "subject": action.get("value"),
        "decision": _DECISIONS[name],
        "channel_id": _id(payload, "channel"),
        "action_ts": action.get("action_ts"),
    }
    if name == "task.open":
        found["trigger_id"] = payload.get("trigger_id")
    return found


def _submission(payload: Mapping[str, Any]) -> dict[str, object]:
    view = payload.get("view")
    if not isinstance(view, dict) or view.get("callback_id") != CALLBACK:
        raise InteractionRefused("the form is none of ours")
    carried = view.get("private_metadata")
    # `<channel> <asked> <incident>:<step>`, as `task_modal` wrote it.
    parts = carried.split(" ", 2) if isinstance(carried, str) else []
    if len(parts) != 3 or not parts[1]:
        raise InteractionRefused("the form does not say what it is for")
    state = view.get("state")
    values = _values(state.get("values") if isinstance(state, dict) else None)
    note = values.pop(NOTE, "")
    return {
        "kind": "task_done",
        "decision": "done",
        "channel_id": parts[0],
        "asked": parts[1],
        "subject": parts[2],
        "view_id": view.get("id"),
        "values": values,
        "note": note,
    }


def _values(state: object) -> dict[str, str]:
    """What each input holds, by its block's id; an empty one is left out."""
    found: dict[str, str] = {}
    for block_id, inputs in state.items() if isinstance(state, dict) else ():
        element = inputs.get(INPUT) if isinstance(inputs, dict) else None
        if not isinstance(element, dict):
            raise InteractionRefused("the form has an input that is none of ours")
        chosen = element.get("selected_option")
        value = chosen.get("value") if isinstance(chosen, dict) else element.get("value")
        if element.get("selected_date_time") is not None:
            value = str(element["selected_date_time"])
        if value is not None and not isinstance(value, str):
            raise InteractionRefused("the form has a value that is no text")
        if value:
            found[str(block_id)] = value
    return found


def _id(payload: Mapping[str, Any], of: str, field: str = "id") -> object:
    value = payload.get(of)
    return value.get(field) if isinstance(value, dict) else None
