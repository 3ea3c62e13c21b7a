"""Clicks: what Slack would post to the app's interactivity URL, signed the way Slack signs."""

from __future__ import annotations

import copy
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import httpx

from soar.simulated.workspace.state import APP_ID, TEAM_ID, Channel, Message, User, WorkspaceState
from soar.simulated.workspace.views import filled, problems_of

__all__ = ["ClickRefused", "Clicker", "Sent", "sign"]


class ClickRefused(Exception):
    """There is no such button to click on. The message says what is not there."""


@dataclass(frozen=True)
class Sent:
    """What became of a modal that was sent.

    Args:
        status: The HTTP status that the app answered with; 504 if it did not answer in time, 0 if it was not asked.
        errors: What is wrong, by the input's `block_id`.
    """

    status: int
    errors: dict[str, str] = field(default_factory=dict)


def sign(secret: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers of a signed request (https://docs.slack.dev/authentication/verifying-requests-from-slack/)."""
    digest = hmac.new(secret.encode(), f"v0:{timestamp}:".encode() + body, hashlib.sha256).hexdigest()
    return {"X-Slack-Request-Timestamp": str(timestamp), "X-Slack-Signature": f"v0={digest}"}


class Clicker:
    """Sends clicks to one interactivity URL."""

    def __init__(self, state: WorkspaceState, *, signing_secret: str, interactivity_url: str) -> None:
        self._state, self._secret = state, signing_secret
        self.interactivity_url = interactivity_url
        # Slack waits three seconds for the acknowledgement.
        self._http = httpx.AsyncClient(timeout=3, follow_redirects=False, trust_env=False)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def click(self, *, user: str, channel: str, ts: str, action_id: str, value: str = "") -> int:
        """Click a button as a person, and wait for the app's acknowledgement.

        Returns:
            The HTTP status that the app answered with; 504 if it did not answer within Slack's three seconds.

        Raises:
            ClickRefused: No such person, channel, message or button.
        """
        person, place = self._state.users.get(user), self._state.channels.get(channel)
        if person is None or person.is_bot:
            raise ClickRefused(f"there is no person {user!r}")
        if place is None or (place.private and user not in place.members):
            raise ClickRefused(f"there is no channel {channel!r} for {user}")
        message = place.message(ts) or next(
            (m for m in place.ephemerals if m.ts == ts and m.visible_to == user), None
        )
        if message is None:
            raise ClickRefused(f"there is no message {ts!r} in #{place.name}")
        button = _button(message, action_id, value)
        if button is None:
            raise ClickRefused(f"the message has no button {action_id!r} with that value")
        return (await self._post(self._payload(person, place, message, button))).status

    async def submit(self, *, user: str, view: str, values: Mapping[str, str]) -> Sent:
        """Send the modal that a person has open, filled in.

        Args:
            values: By the inputs' `block_id`: text, an option's `value`, or seconds since 1970.

        Returns:
            What Slack itself finds wrong at which field; the modal stays open then, and also where the
            app did not answer with 200.

        Raises:
            ClickRefused: The person has no such modal open.
        """
        person, modal = self._state.users.get(user), self._state.modals.get(user)
        if person is None or modal is None or modal.id != view:
            raise ClickRefused(f"{user!r} has no modal {view!r} open")
        if problems := problems_of(modal.view, values):
            return Sent(status=0, errors=problems)
        shown = {**modal.as_slack(), "state": {"values": filled(modal.view, values)}}
        sent = await self._post(
            {
                "type": "view_submission",
                "team": {"id": TEAM_ID, "domain": "simulated"},
                "user": _person(person),
                "api_app_id": APP_ID,
                "token": "simulated",
                "trigger_id": self._state.new_trigger(user),
                "view": shown,
                "response_urls": [],
                "is_enterprise_install": False,
                "enterprise": None,
            }
        )
        if sent.status == 200 and not sent.errors:
            self.dismiss(user)
        return sent

    def dismiss(self, user: str) -> None:
        """Close the modal that a person has open. The app is not told: it did not ask to be."""
        if self._state.modals.pop(user, None) is not None:
            self._state.changed()

    async def _post(self, payload: Mapping[str, Any]) -> Sent:
        body = urlencode({"payload": json.dumps(payload)}).encode()
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            **sign(self._secret, int(time.time()), body),
        }
        try:
            answer = await self._http.post(self.interactivity_url, content=body, headers=headers)
        except httpx.HTTPError:
            return Sent(status=504)
        return Sent(status=answer.status_code)

    def _payload(
        self, person: User, place: Channel, message: Message, button: Mapping[str, Any]
    ) -> dict[str, Any]:
        return {
            "type": "block_actions",
            "user": _person(person),
            "api_app_id": APP_ID,
            "token": "simulated",
            "container": {
                "type": "message",
                "message_ts": message.ts,
                "channel_id": place.id,
                "is_ephemeral": bool(message.visible_to),
            },
            "trigger_id": self._state.new_trigger(person.id),
            "team": {"id": TEAM_ID, "domain": "simulated"},
            "enterprise": None,
            "is_enterprise_install": False,
            "channel": {"id": place.id, "name": place.name},
            "message": message.as_slack(with_metadata=True),
            "state": {"values": {}},
            "actions": [{**button, "action_ts": self._state.new_ts()}],
        }


def _button(message: Message, action_id: str, value: str) -> dict[str, Any] | None:
    for block in message.blocks:
        for element in [*block.get("elements", []), *([block["accessory"]] if "accessory" in block else [])]:
            if (
                element.get("type") == "button"
                and element.get("action_id") == action_id
                and element.get("value", "") == value
            ):
                return {**copy.deepcopy(element), "block_id": block.get("block_id", "")}
    return None


def _person(person: User) -> dict[str, Any]:
    return {"id": person.id, "username": person.name, "name": person.name, "team_id": person.team_id}
