"""What Slack sends when somebody clicks: is it from Slack, and what does it say."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from typing import Any, Final, Literal
from urllib.parse import parse_qs

from pydantic import Field, ValidationError

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
MAX_BODY = 256 * 1024
"""Bytes; Slack's own payloads stay far below."""

_WINDOW = 300  # seconds, https://docs.slack.dev/authentication/verifying-requests-from-slack/
_VOTES = {"vote.approve": "approve", "vote.deny": "deny"}
_STEPS = {"step.retry": "retry", "step.skip": "skip", "step.stop": "stop"}


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
    """A click on one of our buttons: ids and a word, no fact of the incident.

    Args:
        subject: The approval's id, or `<incident id>:<step id>`.
        action_ts: When the click was made, by Slack; the same in every delivery of one click.
    """

    kind: Literal["vote", "step_decision"]
    subject: str = Field(min_length=1, max_length=2000)
    decision: Literal["approve", "deny", "retry", "skip", "stop"]
    user_id: str = Field(pattern=r"^[UW][A-Z0-9]{2,30}$")
    team_id: str = Field(pattern=r"^[TE][A-Z0-9]{2,30}$")
    app_id: str = Field(pattern=r"^A[A-Z0-9]{2,30}$")
    channel_id: str = Field(pattern=r"^[CDG][A-Z0-9]{2,30}$")
    action_ts: str = Field(pattern=r"^\d{1,16}(\.\d{1,9})?$")

    @property
    def dedupe_key(self) -> str:
        """The same for every delivery of one click.

        A second click has another: what it is worth is for the incident to say (`voted already`), since a step that
        failed twice may rightly be retried twice.
        """
        return digest_of([self.kind, self.subject, self.user_id, self.decision, self.action_ts])


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
    """Read the payload of a click (`block_actions`).

    Raises:
        InteractionRefused: It is no decision of ours.
    """
    if not isinstance(payload, dict):
        raise InteractionRefused("the payload is not an object")
    if payload.get("type") != "block_actions":
        raise InteractionRefused(
            "only clicks on buttons are taken", harmless=isinstance(payload.get("type"), str)
        )
    actions = payload.get("actions")
    if not isinstance(actions, list) or len(actions) != 1 or not isinstance(actions[0], dict):
        raise InteractionRefused("the payload has not exactly one action")
    action: dict[str, Any] = actions[0]
    name = action.get("action_id")
    if not isinstance(name, str):
        raise InteractionRefused("the action has no id")
    if name.startswith("open."):
        raise InteractionRefused("a link was opened", harmless=True)
    decision = _VOTES.get(name) or _STEPS.get(name)
    if decision is None:
        raise InteractionRefused("the button is none of ours")
    try:
        return Interaction.model_validate(
            {
                "kind": "vote" if name in _VOTES else "step_decision",
                "subject": action.get("value"),
                "decision": decision,
                "user_id": _id(payload, "user"),
                "team_id": _id(payload, "team") or _id(payload, "user", "team_id"),
                "app_id": payload.get("api_app_id"),
                "channel_id": _id(payload, "channel"),
                "action_ts": action.get("action_ts"),
            }
        )
    except ValidationError as error:
        fields = ", ".join(sorted({str(e["loc"][0]) for e in error.errors(include_input=False)}))
        raise InteractionRefused(f"the payload does not fit: {fields}") from None


def _id(payload: Mapping[str, Any], of: str, field: str = "id") -> object:
    value = payload.get(of)
    return value.get(field) if isinstance(value, dict) else None
