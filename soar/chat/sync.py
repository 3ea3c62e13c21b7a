"""Bringing an incident's channel to what the incident's state says.

Level-triggered: each run compares what should be there with what the references say is there, and does the rest. It
may be run at any time, any number of times, and be killed anywhere. Before a message is first posted its reference
is written without a `ts`; finding such a reference means that an earlier run may have posted, so the channel is
searched for the message's key before posting again.
"""

from __future__ import annotations

import logging
import re
import unicodedata
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from soar.chat.approval_card import approval_card
from soar.chat.cards import Links, announcement, attention_card, closing_message, line_for, topic
from soar.chat.client import ChatClient, SlackRefused
from soar.chat.message import Message, section
from soar.chat.notice import notice
from soar.chat.refs import ChatRef, ChatRefs
from soar.chat.settings import ChatSettings
from soar.chat.summary_card import Paused, summary_card
from soar.chat.task_card import task_card
from soar.chat.text import clean, escaped
from soar.model.base import digest_of
from soar.model.course import Notified
from soar.model.incident import Incident
from soar.model.people import Responder
from soar.model.terms import StepStatus
from soar.model.timeline import TimelineEntry

__all__ = ["LINES_KEY", "channel_name", "sync_incident", "told_up_to"]

log = logging.getLogger(__name__)

LINES_KEY = "lines"
_SECTION = 2_900
_TEXT_OF_LINES = 300
_NOT_THE_INCIDENT = (
    "user_not_found",
    "cant_invite",
    "user_is_restricted",
    "ura_max_channels",
    "user_disabled",
)


def channel_name(incident_id: str, title: str) -> str:
    """The channel's name, always the same for an incident: `inc-<id>-<words of the title>`, at most 80 characters."""

    def slug(text: str) -> str:
        ascii_only = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
        return re.sub(r"[^a-z0-9]+", "-", ascii_only).strip("-")

    identity = slug(incident_id).removeprefix("inc-")
    if len(identity) > 40 or not identity:
        identity = f"{identity[:28]}-{digest_of(incident_id)[:10]}".strip("-")
    return f"inc-{identity}-{slug(title)[:32]}".strip("-")[:80]


async def told_up_to(incident_id: str, refs: ChatRefs) -> int:
    """The `seq` of the last timeline entry that the thread has; 0 before the first."""
    ref = await refs.get(incident_id, LINES_KEY)
    return int(ref.ts or 0) if ref is not None else 0


async def sync_incident(
    incident: Incident,
    timeline_tail: Sequence[TimelineEntry],
    refs: ChatRefs,
    client: ChatClient,
    settings: ChatSettings,
    *,
    people: Sequence[Responder] = (),
    roster: Sequence[Responder] = (),
    paused: Paused | None = None,
) -> None:
    """Bring Slack up to an incident's state.

    Args:
        incident: The state as stored.
        timeline_tail: The entries after `told_up_to`, in order; earlier ones do no harm.
        people: Who is invited: responders who may decide here. Those without a Slack id are left out.
        roster: Whom a notice may mention, and whose names are known.
        paused: Who paused the incident, where somebody did.

    Raises:
        SlackThrottled, SlackRefused, SlackUnavailable: Run it again later; what was done is remembered.
    """
    links = settings.links(incident.id)
    run = _Sync(incident, refs, client, settings, links, tuple(roster), paused)
    await run.run(timeline_tail, people)


@dataclass
class _Sync:
    incident: Incident
    refs: ChatRefs
    client: ChatClient
    settings: ChatSettings
    links: Links
    roster: tuple[Responder, ...]
    paused: Paused | None

    async def run(self, tail: Sequence[TimelineEntry], people: Sequence[Responder]) -> None:
        channel = await self._channel()
        # What people must decide comes first: Slack lets an app post about once a second.
        summary = await self._message(
            channel, "summary", summary_card(self.incident, self.links, self.paused)
        )
        for approval in self.incident.approvals.values():
            card = approval_card(self.incident, approval, self.links)
            await self._message(channel, f"approval:{approval.id}", card)
        await self._attention(channel)
        names = {person.id: person.name for person in self.roster}
        for task in self.incident.tasks.values():
            card = task_card(self.incident, task, self.links, names)
            await self._message(channel, f"task:{task.step_id}", card)
        for person in people:
            await self._invite(channel, person)
        await self._notices(channel, tail)
        await self._once("pin", summary, lambda: self.client.pin(channel, summary))
        await self._topic(channel)
        if self.links.console:
            url = self.links.console
            await self._once(
                "bookmark:console", digest_of(url), lambda: self.client.bookmark(channel, "Console", url)
            )
        await self._announce(channel)
        await self._lines(channel, summary, tail)
        if self.incident.status.ended:
            closed = self.incident.closed_at.isoformat() if self.incident.closed_at else ""
            await self._message(channel, f"closing:{closed}", closing_message(self.incident, self.links))

    async def _get(self, key: str) -> ChatRef | None:
        return await self.refs.get(self.incident.id, key)

    async def _put(self, key: str, channel: str, ts: str, digest: str) -> None:
        await self.refs.put(
            ChatRef(incident_id=self.incident.id, key=key, channel=channel, ts=ts, digest=digest)
        )

    def _message_key(self, key: str) -> str:
        return f"{self.incident.id}/{key}"

    async def _channel(self) -> str:
        ref = await self._get("channel")
        if ref is not None:
            return ref.channel
        name = channel_name(self.incident.id, self.incident.title)
        channel = await self.client.create_channel(name, private=self.settings.private_channels)
        await self._put("channel", channel, "", digest_of(name))
        return channel

    async def _message(self, channel: str, key: str, message: Message) -> str:
        """Post a message, or bring it up to date; its `ts`."""
        ref = await self._get(key)
        if ref is not None and ref.ts:
            if ref.digest == message.digest:
                return ref.ts
            try:
                await self.client.update(ref.channel, ref.ts, message, key=self._message_key(key))
            except SlackRefused as error:
                if error.error != "message_not_found":
                    raise
                log.warning("somebody deleted the message %s of %s; posting it again", key, self.incident.id)
                ref = None
            else:
                await self._put(key, ref.channel, ref.ts, message.digest)
                return ref.ts
        again = ref is not None
        if not again:
            await self._put(key, channel, "", "")
        ts = await self.client.post(channel, message, key=self._message_key(key), again=again)
        if again:
            # Found, it may show an older state.
            await self.client.update(channel, ts, message, key=self._message_key(key))
        await self._put(key, channel, ts, message.digest)
        return ts

    async def _attention(self, channel: str) -> None:
        for step in self.incident.steps.values():
            key = f"attention:{step.id}"
            if step.status is StepStatus.ATTENTION or await self._get(key) is not None:
                await self._message(channel, key, attention_card(self.incident, step))

    async def _invite(self, channel: str, person: Responder) -> None:
        if not person.slack or await self._get(f"invite:{person.slack}") is not None:
            return
        try:
            await self.client.invite(channel, person.slack)
        except SlackRefused as error:
            if error.error not in _NOT_THE_INCIDENT:
                raise
            # One wrong entry in the roster must not keep the others out. Once told, it is not tried again.
            log.warning(
                "cannot invite %s to %s: %s; check the roster", person.id, self.incident.id, error.error
            )
        await self._put(f"invite:{person.slack}", channel, "", "")

    async def _notices(self, channel: str, tail: Sequence[TimelineEntry]) -> None:
        """Tell people in the channel of what a playbook wants them to know; each once, for a mention rings."""
        told = await told_up_to(self.incident.id, self.refs)
        for entry in tail:
            if entry.seq <= told or not isinstance(entry.event, Notified):
                continue
            key = f"notice:{entry.seq}"
            ref = await self._get(key)
            # A change of the roster must not rewrite what was said.
            if ref is None or not ref.ts:
                await self._message(channel, key, notice(entry.event, self.roster))

    async def _once(self, key: str, digest: str, act: Callable[[], Awaitable[None]]) -> None:
        ref = await self._get(key)
        if ref is None or ref.digest != digest:
            await act()
            await self._put(key, "", "", digest)

    async def _topic(self, channel: str) -> None:
        text = topic(self.incident)
        await self._once("topic", digest_of(text), lambda: self.client.set_topic(channel, text))

    async def _announce(self, channel: str) -> None:
        main = self.settings.main_channel
        if not main:
            return
        if not re.fullmatch(r"[CG][A-Z0-9]{5,}", main):
            main = await self._main_channel(main)
        message = announcement(self.incident, channel)
        try:
            await self._message(main, "announcement", message)
        except SlackRefused as error:
            if error.error != "not_in_channel":
                raise
            await self.client.join(main)
            await self._message(main, "announcement", message)

    async def _main_channel(self, name: str) -> str:
        ref = await self._get("main")
        if ref is not None and ref.digest == digest_of(name):
            return ref.channel
        found = await self.client.find_channel(name.removeprefix("#"), private=True)
        if found is None:
            raise SlackRefused(
                "conversations.list",
                "channel_not_found",
                f"SOAR_SLACK_CHANNEL names {name!r}, which the app cannot see",
            )
        await self._put("main", str(found["id"]), "", digest_of(name))
        return str(found["id"])

    async def _lines(self, channel: str, thread: str, tail: Sequence[TimelineEntry]) -> None:
        """Tell the thread what happened since, several entries to a message: posts are rate limited.

        The reference holds the last `seq` told, and before a post also the one it will reach, so that a run after a
        crash looks for the very message that the last one was about to post.
        """
        ref = await self._get(LINES_KEY)
        told = int(ref.ts or 0) if ref is not None else 0
        reach = int(ref.digest or 0) if ref is not None else 0
        entries = [e for e in tail if e.seq > told]
        while entries:
            batch, again = self._batch(entries, reach), reach > 0
            last = batch[-1].seq
            lines = [line for entry in batch if (line := line_for(entry)) is not None]
            if lines:
                if not again:
                    await self._put(LINES_KEY, channel, str(told), str(last))
                words = escaped("; ".join(clean(e.summary) for e in batch if line_for(e)), _TEXT_OF_LINES)
                message = Message(text=words, blocks=(section("\n".join(lines)),))
                key = self._message_key(f"lines:{told + 1}-{last}")
                await self.client.post(channel, message, key=key, thread=thread, again=again)
            await self._put(LINES_KEY, channel, str(last), "")
            told, reach, entries = last, 0, entries[len(batch) :]

    @staticmethod
    def _batch(entries: Sequence[TimelineEntry], reach: int) -> list[TimelineEntry]:
        batch: list[TimelineEntry] = []
        room = _SECTION
        for entry in entries:
            if reach and entry.seq > reach:
                break
            line = line_for(entry)
            room -= len(line) + 1 if line is not None else 0
            if batch and room < 0:
                break
            batch.append(entry)
        return batch
