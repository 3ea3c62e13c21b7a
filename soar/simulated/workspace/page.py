"""The page of the simulated workspace: the same blocks that Slack would draw, as HTML made on the server."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from soar.simulated.workspace.mrkdwn import plain, to_html
from soar.simulated.workspace.state import BOT_USER, Channel, Message, User, WorkspaceState

__all__ = ["Page"]

_HERE = Path(__file__).parent
MAX_SHOWN = 120
"""How many of a channel's newest messages the page draws."""


@dataclass(frozen=True)
class _Shown:
    message: Message
    author: User
    time: str
    pinned: bool
    replies: list[_Shown]


class Page:
    """Draws the state for one person and one channel."""

    def __init__(self, state: WorkspaceState) -> None:
        self._state = state
        self._templates = Environment(
            loader=FileSystemLoader(_HERE / "templates"), autoescape=True, undefined=StrictUndefined
        )
        self._templates.filters["mrkdwn"] = self._mrkdwn
        self._templates.filters["textobject"] = self._text_object

    def whole(self, channel_id: str, user_id: str) -> str:
        """The whole page."""
        return self._templates.get_template("page.html").render(**self._view(channel_id, user_id))

    def fragment(self, channel_id: str, user_id: str) -> str:
        """Only what changes: side bar and messages."""
        return self._templates.get_template("view.html").render(**self._view(channel_id, user_id))

    def modal(self, user_id: str) -> str:
        """The modal that a person has open; empty if there is none."""
        modal = self._state.modals.get(user_id)
        if modal is None:
            return ""
        return self._templates.get_template("modal.html").render(modal=modal, view=modal.view)

    def _mrkdwn(self, text: str) -> Markup:
        channels = {c.id: c.name for c in self._state.channels.values()}
        return to_html(text, channels, {u.id: u.real_name for u in self._state.users.values()})

    def _text_object(self, value: dict[str, Any]) -> Markup:
        return self._mrkdwn(value["text"]) if value["type"] == "mrkdwn" else plain(value["text"])

    def _view(self, channel_id: str, user_id: str) -> dict[str, Any]:
        state = self._state
        people = state.people
        person = next((p for p in people if p.id == user_id), people[0])
        # What this person may see; the newest channel first, since that is where something happens.
        channels = [c for c in state.channels.values() if not c.private or person.id in c.members]
        channel = next((c for c in channels if c.id == channel_id), channels[-1] if channels else None)
        return {
            "version": state.version,
            "people": people,
            "person": person,
            "channels": channels,
            "channel": channel,
            "waiting": {c.id: self._waiting(c) for c in channels},
            "members": [state.users[m] for m in channel.members if m in state.users] if channel else [],
            "messages": self._shown(channel, person) if channel else [],
            "bot": state.users[BOT_USER],
        }

    @staticmethod
    def _waiting(channel: Channel) -> int:
        """How many messages of the channel wait for a click."""
        return sum(
            any(e.get("value") for b in m.blocks for e in b.get("elements", [])) for m in channel.messages
        )

    def _shown(self, channel: Channel, person: User) -> list[_Shown]:
        private = [m for m in channel.ephemerals if m.visible_to == person.id]
        roots = sorted([m for m in channel.messages if not m.thread_ts] + private, key=lambda m: m.ts)
        known = Counter(m.thread_ts for m in channel.messages if m.thread_ts)
        threads: dict[str, list[Message]] = {ts: [] for ts in known}
        for message in channel.messages:
            if message.thread_ts:
                threads[message.thread_ts].append(message)
        return [self._one(channel, m, threads.get(m.ts, [])) for m in roots[-MAX_SHOWN:]]

    def _one(self, channel: Channel, message: Message, replies: list[Message]) -> _Shown:
        when = datetime.fromtimestamp(float(message.ts), UTC)
        return _Shown(
            message=message,
            author=self._state.users.get(message.user) or User(message.user, message.user, message.user),
            time=f"{when:%H:%M}",
            pinned=message.ts in channel.pins,
            replies=[self._one(channel, reply, []) for reply in replies],
        )
