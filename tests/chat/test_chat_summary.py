from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

from chat_world import IRENE, JONAS, START, Crash, Refs, Story, person
from test_chat_deliver import stored

from soar.chat.activities import ChatActivities, who_is_invited
from soar.chat.cards import Links
from soar.chat.client import ChatClient
from soar.chat.message import Message
from soar.chat.notice import notice
from soar.chat.settings import ChatSettings
from soar.chat.summary_card import Paused, summary_card
from soar.chat.sync import sync_incident
from soar.engine.messages import ChatSyncRequest
from soar.model.change import Result
from soar.model.course import (
    Assigned,
    ClockMet,
    ClockMissed,
    ClockStarted,
    EffectExpirySet,
    IncidentPaused,
    IncidentResumed,
    Notified,
    SeveritySet,
)
from soar.model.events import EffectUndone, IncidentClosed
from soar.model.people import Responder
from soar.model.terms import IncidentStatus, Severity
from soar.playbook.policy import Policy
from soar.simulated.workspace import SimulatedWorkspace, check_message
from soar.simulated.workspace.state import Channel

PRIYA = Responder(id="priya", name="Priya Raman", slack="U0PRIYA001", roles=("legal",))
HANNAH = Responder(id="hannah", name="Hannah", roles=("press",))
POLICY = Policy(version=1, responders=(IRENE, JONAS, PRIYA, HANNAH))
NO_LINKS = Links()


async def policy() -> Policy | None:
    return POLICY


def words(message: Message) -> str:
    assert check_message(message.text, list(message.blocks)) == []
    return json.dumps(list(message.blocks), ensure_ascii=False)


def summary(story: Story, paused: Paused | None = None) -> str:
    return words(summary_card(story.incident, NO_LINKS, paused))


def clock(story: Story, name: str, hours: int) -> Story:
    due = START + timedelta(hours=hours)
    return story.tell(ClockStarted(clock=name, label=f"Deadline {name}", started_at=START, due_at=due))


def date(hours: int) -> str:
    return f"<!date^{int((START + timedelta(hours=hours)).timestamp())}^"


def test_who_is_in_charge_and_how_severe() -> None:
    story = Story()
    assert "*In charge*\\nnobody yet" in summary(story)
    story.tell(Assigned(responder="irene", name="Irene Castellano"))
    story.tell(SeveritySet(severity=Severity.CRITICAL, by="irene"))
    assert "*In charge*\\n`Irene Castellano`" in summary(story)
    assert "*Severity*\\n🔴 critical" in summary(story)


def test_a_pause_is_shown_until_it_ends() -> None:
    story = Story().tell(IncidentPaused(reason="the auditor is on the host"), "paused", person("Irene"))
    text = summary(story, Paused(by="Irene", since=START))
    assert "Paused* by `Irene`" in text
    assert "the auditor is on the host" in text
    assert "Paused*: nothing new begins" in summary(story)
    assert "Paused" not in summary(story.tell(IncidentResumed()))


def test_open_tasks_are_listed_with_their_time() -> None:
    story = Story().to_task()
    assert f"for `incident-commander` · due {date(2)}" in summary(story)
    assert "overdue" in summary(story.overdue())
    assert "To be done by people" not in summary(story.did())


def test_the_next_deadline_and_the_missed_ones_are_shown() -> None:
    story = clock(clock(clock(Story(), "slow", 72), "soon", 4), "late", 1)
    story.tell(ClockMissed(clock="late"))
    text = summary(story)
    assert f"missed {date(1)}" in text
    assert f"next {date(4)}" in text
    assert "Deadline slow" not in text
    assert "and 1 more" in text
    story.tell(ClockMet(clock="soon"))
    assert f"next {date(72)}" in summary(story)
    story.tell(IncidentClosed(status=IncidentStatus.CLOSED))
    assert "next" not in summary(story)
    assert "Deadline late" in summary(story)


def test_what_is_put_back_by_itself_is_shown_with_its_time() -> None:
    story = Story().verified()
    assert "Put back by themselves" not in summary(story)
    story.tell(EffectExpirySet(step_id="deactivate", expires_at=START + timedelta(hours=8)))
    assert "Put back by themselves" in summary(story)
    assert date(8) in summary(story)
    story.tell(EffectUndone(step_id="deactivate", result=Result(summary="back"), restored=True))
    assert "Put back by themselves" not in summary(story)


def test_a_summary_of_much_stays_within_slacks_limits() -> None:
    story = Story("inc-1", "x" * 300).to_approval()
    for number in range(30):
        story.to_task(step=f"t{number}", name=f"task {number} " + "&" * 300)
        clock(story, f"c{number} " + "<" * 300, number)
    assert "and 25 more" in summary(story)


def channel_of(workspace: SimulatedWorkspace) -> Channel:
    return next(c for c in workspace.state.channels.values() if c.name.startswith("inc-"))


def notices(workspace: SimulatedWorkspace) -> list[str]:
    return [
        json.dumps(m.blocks, ensure_ascii=False)
        for m in channel_of(workspace).messages
        if m.metadata and "/notice:" in m.metadata["event_payload"]["key"]
    ]


async def test_the_activity_says_who_paused(
    workspace: SimulatedWorkspace, client: ChatClient, tmp_path: Path
) -> None:
    story = Story().to_approval()
    story.tell(IncidentPaused(reason="first"), "paused", person("Jonas"))
    story.tell(IncidentResumed())
    story.tell(IncidentPaused(reason="the auditor is there"), "paused", person("Irene"))
    async with stored(tmp_path, story) as store:
        activities = ChatActivities(store, store.chat_refs, client, ChatSettings(), policy)
        for _ in range(2):
            # Once the thread was told, the timeline's tail does not hold the pause any more.
            await activities.sync(ChatSyncRequest(incident_id=story.id, seq=len(story.entries)))
            card = str(channel_of(workspace).messages[0].blocks)
            assert "`Irene`" in card
            assert "the auditor is there" in card


async def test_a_notice_mentions_the_role_once(
    workspace: SimulatedWorkspace, client: ChatClient, tmp_path: Path
) -> None:
    story = Story().to_approval()
    story.tell(Notified(step_id="deactivate", roles=("legal",), text="Deactivate: done <!channel>"))
    request = ChatSyncRequest(incident_id=story.id, seq=len(story.entries))
    async with stored(tmp_path, story) as store:
        activities = ChatActivities(store, store.chat_refs, client, ChatSettings(), policy)
        await activities.sync(request)
        await activities.sync(request)
    [text] = notices(workspace)
    assert "🔔 <@U0PRIYA001>" in text
    assert "Deactivate: done" in text
    assert "U0IRENE001" not in text
    # Whoever is mentioned is in the channel, or the mention would reach nobody.
    assert "U0PRIYA001" in channel_of(workspace).members
    [message] = [m for m in channel_of(workspace).messages if "🔔" in str(m.blocks)]
    assert "<!channel>" not in message.text


async def test_a_crash_between_notice_and_thread_rings_once(
    workspace: SimulatedWorkspace, client: ChatClient
) -> None:
    at, done = 0, False
    while not done:
        at += 1
        story, refs = Story(f"inc-ring-{at}").to_task(), Refs()
        story.tell(Notified(step_id="assess", roles=("legal",), text="look"))
        refs.crash_at = at
        for _ in range(2):
            try:
                await sync_incident(
                    story.incident, story.entries, refs, client, ChatSettings(), roster=POLICY.responders
                )
            except Crash:
                continue
            done = refs.crash_at is not None
            break
        channel = next(c for c in workspace.state.channels.values() if c.name.startswith(f"inc-ring-{at}-"))
        found = [m.metadata["event_payload"]["key"] for m in channel.messages if m.metadata]
        assert len(found) == len(set(found)), f"twice after a crash at write {at}"
        assert sum("/notice:" in key for key in found) == 1
        assert sum("/task:" in key for key in found) == 1
    assert at > 8


def test_a_notice_without_anybody_in_slack_is_plain() -> None:
    made = notice(Notified(step_id="s", roles=("press",), text="done"), POLICY.responders)
    assert "<@" not in words(made) + made.text
    assert "nobody with this role has a Slack identity" in words(made)
    assert "done" in words(made)


def test_a_notice_to_many_stays_within_slacks_limits() -> None:
    many = [
        Responder(id=f"p{n}", name="x", slack=f"U{n:09d}" + "X" * 20, roles=("press",)) for n in range(200)
    ]
    made = notice(Notified(step_id="s", roles=("press",), text="y" * 2000), many)
    assert "and 170 more" in words(made)


def test_who_has_a_task_or_is_told_is_invited_and_who_is_implicated_is_not() -> None:
    story = Story().to_task(roles=("legal",))
    assert [p.id for p in who_is_invited(story.incident, POLICY)] == ["irene", "priya"]
    implicated = Story().to_task(roles=("legal",), excluded={"priya": "is implicated"})
    implicated.tell(Notified(step_id="assess", roles=("observer",), text="look"))
    found = who_is_invited(implicated.incident, POLICY, implicated.entries)
    assert [p.id for p in found] == ["irene", "jonas"]


async def test_whoever_is_implicated_is_not_mentioned(
    workspace: SimulatedWorkspace, client: ChatClient, tmp_path: Path
) -> None:
    story = Story().to_task(roles=("legal",), excluded={"priya": "is implicated"})
    story.tell(Notified(step_id="assess", roles=("legal",), text="look"))
    async with stored(tmp_path, story) as store:
        activities = ChatActivities(store, store.chat_refs, client, ChatSettings(), policy)
        await activities.sync(ChatSyncRequest(incident_id=story.id, seq=len(story.entries)))
    [text] = notices(workspace)
    assert "U0PRIYA001" not in text
