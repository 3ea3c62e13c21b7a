"""What the simulated workspace holds: people, channels and messages, in memory and bounded."""

from __future__ import annotations

import time
import uuid
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

__all__ = [
    "APP_ID",
    "BOT_ID",
    "BOT_USER",
    "DEFAULT_USERS",
    "TEAM_ID",
    "Channel",
    "Message",
    "Modal",
    "User",
    "WorkspaceState",
]

TEAM_ID = "T0SIMULATED"
APP_ID = "A0SIMULATED"
BOT_USER = "U0SOARBOT"
BOT_ID = "B0SOARBOT"
MAX_CHANNELS = 500
MAX_MESSAGES = 2_000
MAX_EPHEMERALS = 200
MAX_TRIGGERS = 500


@dataclass
class User:
    """A member of the workspace, with the flags of Slack's user object."""

    id: str
    name: str
    real_name: str
    title: str = ""
    email: str = ""
    team_id: str = TEAM_ID
    deleted: bool = False
    is_bot: bool = False
    is_restricted: bool = False
    is_ultra_restricted: bool = False
    is_stranger: bool = False

    @property
    def initials(self) -> str:
        """Two letters for the picture."""
        return "".join(part[0] for part in self.real_name.split()[:2]).upper()

    def as_slack(self) -> dict[str, Any]:
        """The user object of `users.info`."""
        return {
            "id": self.id,
            "team_id": self.team_id,
            "name": self.name,
            "deleted": self.deleted,
            "real_name": self.real_name,
            "tz": "Etc/UTC",
            "is_admin": False,
            "is_owner": False,
            "is_restricted": self.is_restricted,
            "is_ultra_restricted": self.is_ultra_restricted,
            "is_bot": self.is_bot,
            "is_app_user": False,
            "is_stranger": self.is_stranger,
            "profile": {
                "real_name": self.real_name,
                "display_name": self.name,
                "title": self.title,
                "email": self.email,
                "team": self.team_id,
            },
        }


DEFAULT_USERS = (
    User("U0IRENE001", "irene", "Irene Castellano", "Incident commander", "irene.castellano@example.com"),
    User("U0JONAS001", "jonas", "Jonas Weber", "Cloud platform lead", "jonas.weber@example.com"),
    User("U0PRIYA001", "priya", "Priya Raman", "Security engineer", "priya.raman@example.com"),
    User("U0MAYA0001", "maya", "Maya Okafor", "Developer", "maya.okafor@example.com"),
    User(
        "U0TOM00001", "tom", "Tom Becker", "Contractor, guest", "tom@contractor.example", is_restricted=True
    ),
)


@dataclass
class Message:
    """A message, as `conversations.history` gives it. `visible_to`: only this person sees it."""

    ts: str
    user: str
    text: str
    blocks: list[dict[str, Any]] = field(default_factory=list)
    metadata: dict[str, Any] | None = None
    thread_ts: str = ""
    edited: bool = False
    visible_to: str = ""

    def as_slack(self, *, with_metadata: bool) -> dict[str, Any]:
        """The message object."""
        found: dict[str, Any] = {
            "type": "message",
            "ts": self.ts,
            "user": self.user,
            "text": self.text,
            "blocks": self.blocks,
            "team": TEAM_ID,
        }
        if self.user == BOT_USER:
            found |= {"app_id": APP_ID, "bot_id": BOT_ID}
        if self.thread_ts:
            found["thread_ts"] = self.thread_ts
        if self.edited:
            found["edited"] = {"user": self.user, "ts": self.ts}
        if with_metadata and self.metadata is not None:
            found["metadata"] = self.metadata
        return found


@dataclass
class Channel:
    """A channel with what is in it."""

    id: str
    name: str
    creator: str
    private: bool = False
    archived: bool = False
    topic: str = ""
    created: int = 0
    members: list[str] = field(default_factory=list)
    messages: deque[Message] = field(default_factory=lambda: deque(maxlen=MAX_MESSAGES))
    ephemerals: deque[Message] = field(default_factory=lambda: deque(maxlen=MAX_EPHEMERALS))
    pins: list[str] = field(default_factory=list)
    bookmarks: list[dict[str, Any]] = field(default_factory=list)

    def message(self, ts: str) -> Message | None:
        """The message with this `ts`."""
        return next((m for m in self.messages if m.ts == ts), None)

    def as_slack(self) -> dict[str, Any]:
        """The conversation object."""
        return {
            "id": self.id,
            "name": self.name,
            "name_normalized": self.name,
            "is_channel": not self.private,
            "is_group": self.private,
            "is_private": self.private,
            "is_archived": self.archived,
            "is_member": BOT_USER in self.members,
            "creator": self.creator,
            "created": self.created,
            "num_members": len(self.members),
            "topic": {"value": self.topic, "creator": self.creator, "last_set": self.created},
            "purpose": {"value": "", "creator": "", "last_set": 0},
        }


@dataclass
class Modal:
    """A modal that one person sees."""

    id: str
    user: str
    view: dict[str, Any]

    def as_slack(self) -> dict[str, Any]:
        """The view object."""
        return {
            **self.view,
            "id": self.id,
            "team_id": TEAM_ID,
            "app_id": APP_ID,
            "bot_id": BOT_ID,
            "root_view_id": self.id,
            "hash": f"{self.id}.0",
        }


class WorkspaceState:
    """Everything, and a version that goes up with each change (the page polls it)."""

    def __init__(self, users: Iterable[User] = DEFAULT_USERS) -> None:
        self.users = {u.id: replace(u) for u in users}
        self.users[BOT_USER] = User(BOT_USER, "soar", "Incident Response", "App", is_bot=True)
        self.channels: dict[str, Channel] = {}
        self.version = 0
        self.triggers: dict[str, tuple[str, float]] = {}
        """Trigger id → who clicked, and when by the monotonic clock; gone once a modal was opened with it."""
        self.exchanged: deque[str] = deque(maxlen=MAX_TRIGGERS)
        self.modals: dict[str, Modal] = {}
        """Person → the modal that is open."""
        self._last_ts = 0
        self._made = 0
        self._shown = 0

    def changed(self) -> None:
        """Note that something changed."""
        self.version += 1

    def new_ts(self) -> str:
        """A message id: the time in seconds with six digits, never the same twice."""
        self._last_ts = max(self._last_ts + 1, time.time_ns() // 1000)
        return f"{self._last_ts // 1_000_000}.{self._last_ts % 1_000_000:06d}"

    def new_trigger(self, user: str) -> str:
        """What a person's click can open a modal with."""
        trigger = f"{time.time_ns() // 1000}.{len(self.triggers)}.{uuid.uuid4().hex}"
        self.triggers[trigger] = (user, time.monotonic())
        while len(self.triggers) > MAX_TRIGGERS:
            del self.triggers[next(iter(self.triggers))]
        return trigger

    def open_modal(self, trigger: str, view: dict[str, Any]) -> Modal:
        """Show a modal to whoever clicked; an earlier one goes."""
        user, _ = self.triggers.pop(trigger)
        self.exchanged.append(trigger)
        self._shown += 1
        modal = Modal(f"V0SIM{self._shown:05d}", user, view)
        self.modals[user] = modal
        self.changed()
        return modal

    def by_name(self, name: str) -> Channel | None:
        """The channel of this name, archived ones too."""
        return next((c for c in self.channels.values() if c.name == name), None)

    def add_channel(self, name: str, *, creator: str, private: bool = False) -> Channel:
        """Make a channel; the oldest goes when there are too many."""
        self._made += 1
        channel = Channel(f"C0SIM{self._made:05d}", name, creator, private, created=int(time.time()))
        channel.members.append(creator)
        self.channels[channel.id] = channel
        while len(self.channels) > MAX_CHANNELS:
            del self.channels[next(iter(self.channels))]
        self.changed()
        return channel

    @property
    def people(self) -> list[User]:
        """The users that are people: whom one can act as."""
        return [u for u in self.users.values() if not u.is_bot]
