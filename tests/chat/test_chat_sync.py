from __future__ import annotations

import logging

import pytest
from chat_world import IRENE, JONAS, Crash, Refs, Story

from soar.chat.client import ChatClient, SlackRefused, SlackThrottled, SlackUnavailable
from soar.chat.message import Message
from soar.chat.settings import ChatSettings
from soar.chat.sync import channel_name, sync_incident
from soar.model.incident import Incident
from soar.simulated.workspace import Fault, SimulatedWorkspace
from soar.simulated.workspace.state import Channel

SETTINGS = ChatSettings(main_channel="incidents", public_url="https://soar.example.com")


async def sync(story: Story, refs: Refs, client: ChatClient) -> Incident:
    incident = story.incident
    await sync_incident(incident, story.entries, refs, client, SETTINGS, people=[IRENE])
    return incident


def channel_of(workspace: SimulatedWorkspace, story: Story) -> Channel:
    found = workspace.state.by_name(channel_name(story.id, story.incident.title))
    assert found is not None
    return found


def keys(channel: Channel) -> list[str]:
    return [m.metadata["event_payload"]["key"] for m in channel.messages if m.metadata]


def contents(workspace: SimulatedWorkspace) -> list[tuple[str, list[str]]]:
    return [(c.name, keys(c)) for c in workspace.state.channels.values()]


async def test_an_incident_gets_its_channel(workspace: SimulatedWorkspace, client: ChatClient) -> None:
    story, refs = Story().to_approval(), Refs()
    await sync(story, refs, client)
    channel = channel_of(workspace, story)
    assert channel.name == "inc-2026-0042-leaked-access-key-of-edi-gateway"
    assert "not contained" in channel.topic
    assert IRENE.slack in channel.members
    assert JONAS.slack not in channel.members
    assert channel.bookmarks[0]["link"] == "https://soar.example.com/incidents/inc-2026-0042"
    assert keys(channel)[:2] == ["inc-2026-0042/summary", "inc-2026-0042/approval:ap-1"]
    assert channel.pins == [channel.messages[0].ts]
    main = workspace.state.by_name("incidents")
    assert main is not None
    assert keys(main) == ["inc-2026-0042/announcement"]


async def test_the_second_run_calls_nothing(workspace: SimulatedWorkspace, client: ChatClient) -> None:
    story, refs = Story().attention(), Refs()
    await sync(story, refs, client)
    workspace.calls.clear()
    await sync(story, refs, client)
    assert list(workspace.calls) == []


async def test_cards_are_updated_in_place(workspace: SimulatedWorkspace, client: ChatClient) -> None:
    story, refs = Story().to_approval(), Refs()
    await sync(story, refs, client)
    channel = channel_of(workspace, story)
    before = [m.ts for m in channel.messages if not m.thread_ts]
    story.vote().close_approval()
    await sync(story, refs, client)
    assert [m.ts for m in channel.messages if not m.thread_ts] == before
    card = channel.message(before[1])
    assert card is not None
    assert "Approved" in str(card.blocks)
    assert "vote.approve" not in str(card.blocks)
    threads = [m for m in channel.messages if m.thread_ts]
    assert len(threads) == 2
    assert all(m.thread_ts == before[0] for m in threads)


async def test_the_end_is_told_with_the_report(workspace: SimulatedWorkspace, client: ChatClient) -> None:
    story, refs = Story().closed(), Refs()
    await sync(story, refs, client)
    assert any(key.startswith("inc-2026-0042/closing:") for key in keys(channel_of(workspace, story)))


async def test_a_crash_at_any_write_posts_nothing_twice(
    workspace: SimulatedWorkspace, client: ChatClient
) -> None:
    story = Story().attention()
    at = 0
    while True:
        at += 1
        other, refs = Story(incident_id=f"inc-crash-{at}").attention(), Refs()
        refs.crash_at = at
        try:
            await sync(other, refs, client)
        except Crash:
            await sync(other, refs, client)
        else:
            break
        found = keys(channel_of(workspace, other))
        assert len(found) == len(set(found)), f"twice after a crash at write {at}: {found}"
        assert len(found) == 4
    assert at > 12
    main = workspace.state.by_name("incidents")
    assert main is not None
    assert len(keys(main)) == len(set(keys(main))) == at
    assert story.entries


@pytest.mark.parametrize("kind", ["drop_after", "drop_before", "error"])
@pytest.mark.parametrize("times", [1, 2])
async def test_an_unclear_post_is_looked_up_first(
    workspace: SimulatedWorkspace, client: ChatClient, kind: str, times: int
) -> None:
    story, refs = Story().to_approval(), Refs()
    workspace.fail_next("chat.postMessage", *[Fault(kind)] * times)  # type: ignore[arg-type]
    for _ in range(times + 1):
        try:
            await sync(story, refs, client)
        except SlackUnavailable:
            continue
        break
    await sync(story, refs, client)
    found = keys(channel_of(workspace, story))
    assert len(found) == len(set(found)) == 3


async def test_throttling_says_how_long_and_loses_nothing(
    workspace: SimulatedWorkspace, client: ChatClient
) -> None:
    story, refs = Story().to_approval(), Refs()
    workspace.fail_next("chat.postMessage", Fault("throttle", retry_after=17))
    with pytest.raises(SlackThrottled) as caught:
        await sync(story, refs, client)
    assert caught.value.retry_after == 17
    await sync(story, refs, client)
    assert len(keys(channel_of(workspace, story))) == 3


async def test_a_taken_name_of_ours_is_found_again(workspace: SimulatedWorkspace, client: ChatClient) -> None:
    story = Story().to_approval()
    workspace.fail_next("conversations.create", Fault("drop_after"))
    refs = Refs()
    with pytest.raises(SlackUnavailable):
        await sync(story, refs, client)
    await sync(story, refs, client)
    assert len(keys(channel_of(workspace, story))) == 3


async def test_a_channel_that_somebody_else_prepared_is_not_used(
    workspace: SimulatedWorkspace, client: ChatClient
) -> None:
    story = Story().to_approval()
    workspace.state.add_channel(channel_name(story.id, story.incident.title), creator="U0TOM00001")
    with pytest.raises(SlackRefused, match="did not make") as caught:
        await sync(story, Refs(), client)
    assert caught.value.error == "name_taken"


async def test_a_deleted_card_is_posted_again(workspace: SimulatedWorkspace, client: ChatClient) -> None:
    story, refs = Story().to_approval(), Refs()
    await sync(story, refs, client)
    channel = channel_of(workspace, story)
    card = next(m for m in channel.messages if "approval:ap-1" in str(m.metadata))
    channel.messages.remove(card)
    story.vote()
    await sync(story, refs, client)
    assert keys(channel).count("inc-2026-0042/approval:ap-1") == 1


async def test_a_wrong_roster_entry_keeps_nobody_out(
    workspace: SimulatedWorkspace, client: ChatClient, caplog: pytest.LogCaptureFixture
) -> None:
    story, refs = Story().to_approval(), Refs()
    unknown = IRENE.model_copy(update={"id": "ghost", "slack": "U0GHOST0001"})
    with caplog.at_level(logging.WARNING):
        await sync_incident(story.incident, story.entries, refs, client, SETTINGS, people=[unknown, IRENE])
    assert IRENE.slack in channel_of(workspace, story).members
    assert "ghost" in caplog.text


async def test_many_entries_go_into_few_messages(workspace: SimulatedWorkspace, client: ChatClient) -> None:
    story, refs = Story().to_approval(), Refs()
    for number in range(40):
        story.vote(name=f"Person {number} " + "x" * 50)
    await sync(story, refs, client)
    threads = [m for m in channel_of(workspace, story).messages if m.thread_ts]
    assert len(threads) < 6
    assert "Person 0 " in str(threads[0].blocks)
    assert "Person 39 " in str(threads[-1].blocks)


async def test_a_forged_key_of_another_app_is_not_ours(
    workspace: SimulatedWorkspace, client: ChatClient
) -> None:
    channel = await client.create_channel("inc-x")
    ts = await client.post(channel, Message(text="ours"), key="k")
    message = workspace.state.channels[channel].message(ts)
    assert message is not None
    assert await client.find(channel, "k") == ts
    message.user = "U0TOM00001"
    assert await client.find(channel, "k") is None


@pytest.mark.parametrize(
    ("incident_id", "title", "name"),
    [
        ("inc-1", "Clé volée: ÜBER <!channel>", "inc-1-cle-volee-uber-channel"),
        ("1", "漏洩", "inc-1"),
        ("a/b c", "", "inc-a-b-c"),
    ],
)
def test_channel_names(incident_id: str, title: str, name: str) -> None:
    assert channel_name(incident_id, title) == name


def test_long_ids_stay_apart_in_names() -> None:
    one, two = channel_name("x" * 60 + "1", "t" * 200), channel_name("x" * 60 + "2", "t" * 200)
    assert one != two
    assert max(len(one), len(two)) <= 80


async def test_a_refusal_says_what_to_fix(workspace: SimulatedWorkspace) -> None:
    async with ChatClient("xoxb-wrong", base_url=workspace.api_url) as wrong:
        with pytest.raises(SlackRefused, match="SLACK_BOT_TOKEN is wrong"):
            await wrong.identity()
    async with ChatClient("x", base_url="http://127.0.0.1:9/api/", timeout=2) as nobody:
        with pytest.raises(SlackUnavailable):
            await nobody.identity()
