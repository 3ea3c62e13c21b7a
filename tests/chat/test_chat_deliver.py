from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from chat_world import IRENE, JONAS, TOM, Story
from slack_sdk.socket_mode.request import SocketModeRequest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from soar.chat.activities import ChatActivities, who_is_invited
from soar.chat.client import ChatClient
from soar.chat.deliver import InteractionHandler
from soar.chat.interactions import INBOX_KIND, Interaction
from soar.chat.manifest import manifest
from soar.chat.settings import ChatSettings
from soar.chat.socket_mode import SocketModeReceiver
from soar.engine.client import Command, IncidentEnded
from soar.engine.messages import ChatSyncRequest, PersonRequest, Reply, StepDecisionRequest, VoteRequest
from soar.playbook.policy import Policy
from soar.simulated.workspace import APP_ID, TEAM_ID, Fault, SimulatedWorkspace
from soar.store import Store, migrate

POLICY = Policy(version=1, responders=(IRENE, JONAS, TOM))
SETTINGS = ChatSettings(app_id=APP_ID)


async def policy() -> Policy | None:
    return POLICY


@asynccontextmanager
async def stored(folder: Path, story: Story) -> AsyncIterator[Store]:
    """A real database that holds the story."""
    url = f"sqlite+aiosqlite:///{folder / 'soar.db'}"
    await migrate(url)
    store = await Store.open(url, synchronous="NORMAL")
    try:
        await store.project(story.entries)
        yield store
    finally:
        await store.close()


class Heard:
    """Stands where the incident's workflow stands: keeps what it is told, refuses who has no role."""

    def __init__(self) -> None:
        self.votes: dict[str, tuple[str, VoteRequest]] = {}
        self.steps: dict[str, StepDecisionRequest] = {}
        self.ended = False

    async def vote(self, workflow: str, request: VoteRequest, *, request_id: str) -> Reply:
        if self.ended:
            raise IncidentEnded(workflow)
        self.votes[request_id] = (workflow, request)
        good = "incident-commander" in request.responder.roles
        return Reply(accepted=good, message="counted" if good else "you lack the role <incident-commander>")

    async def decide_step(self, workflow: str, request: StepDecisionRequest, *, request_id: str) -> Reply:
        self.steps[request_id] = request
        return Reply(accepted=True, message="tried again")

    async def tell(
        self, workflow: str, command: Command, request: PersonRequest, *, request_id: str
    ) -> Reply:
        raise AssertionError(f"{workflow} is told {command} {request} ({request_id})")


@pytest.fixture
async def channel(client: ChatClient, workspace: SimulatedWorkspace) -> str:
    channel = await client.create_channel("inc-1")
    workspace.state.channels[channel].members.extend(["U0IRENE001", "U0JONAS001", "U0TOM00001", "U0MAYA0001"])
    return channel


def click(channel: str, user: str = "U0IRENE001", **changes: str) -> Interaction:
    values = {
        "kind": "vote",
        "subject": "ap-1",
        "decision": "approve",
        "user_id": user,
        "team_id": TEAM_ID,
        "app_id": APP_ID,
        "channel_id": channel,
        "action_ts": "1773457620.000100",
    }
    return Interaction.model_validate({**values, **changes})


@dataclass
class Desk:
    """Where clicks are handled, for an incident that is stored."""

    folder: Path
    client: ChatClient
    heard: Heard = field(default_factory=Heard)
    story: Story = field(default_factory=lambda: Story().to_approval())

    async def handle(self, click: Interaction) -> Reply:
        async with stored(self.folder, self.story) as store:
            handler = InteractionHandler(store, policy, self.client, self.heard, SETTINGS)
            return await handler.handle(click)


@pytest.fixture
def desk(tmp_path: Path, client: ChatClient) -> Desk:
    return Desk(tmp_path, client)


def told(workspace: SimulatedWorkspace, channel: str) -> list[tuple[str, str]]:
    return [(m.visible_to, m.text) for m in workspace.state.channels[channel].ephemerals]


async def test_a_vote_is_cast_on_the_plan_of_the_card(
    workspace: SimulatedWorkspace, desk: Desk, channel: str
) -> None:
    heard, story = desk.heard, desk.story
    for _ in range(2):  # Slack delivers twice
        reply = await desk.handle(click(channel))
        assert reply.accepted
    assert len(heard.votes) == 1
    workflow, request = next(iter(heard.votes.values()))
    assert workflow == story.incident.workflow_id
    assert request.plan_digest_prefix == story.incident.approvals["ap-1"].plan_digest
    assert request.responder == IRENE
    assert told(workspace, channel) == []


@pytest.mark.parametrize(
    ("user", "why"),
    [
        ("U0JONAS001", "you lack the role &lt;incident-commander&gt;"),
        ("U0MAYA0001", "belongs to no responder"),
        ("U0TOM00001", "guest"),
    ],
)
async def test_who_may_not_is_told_alone_and_it_is_on_record(
    workspace: SimulatedWorkspace, desk: Desk, channel: str, user: str, why: str
) -> None:
    heard = desk.heard
    reply = await desk.handle(click(channel, user))
    assert not reply.accepted
    [(person, text)] = told(workspace, channel)
    assert person == user
    assert why in text
    # The incident itself heard of it, from somebody who cannot count.
    [(_, request)] = heard.votes.values()
    assert "incident-commander" not in request.responder.roles


@pytest.mark.parametrize("flag", ["deleted", "is_bot", "is_ultra_restricted", "is_stranger"])
async def test_who_is_no_ordinary_member_any_more_does_not_count(
    workspace: SimulatedWorkspace, desk: Desk, channel: str, flag: str
) -> None:
    setattr(workspace.state.users["U0IRENE001"], flag, True)
    heard = desk.heard
    assert not (await desk.handle(click(channel))).accepted
    assert all(not request.responder.roles for _, request in heard.votes.values())


async def test_a_person_of_another_workspace_does_not_count(
    workspace: SimulatedWorkspace, desk: Desk, channel: str
) -> None:
    workspace.state.users["U0IRENE001"].team_id = "T0OTHER"
    assert not (await desk.handle(click(channel))).accepted


@pytest.mark.parametrize("changes", [{"team_id": "T0OTHER"}, {"app_id": "A0OTHER"}])
async def test_a_click_from_elsewhere_reaches_nothing(
    workspace: SimulatedWorkspace, desk: Desk, channel: str, changes: dict[str, str]
) -> None:
    heard = desk.heard
    assert not (await desk.handle(click(channel, **changes))).accepted
    assert heard.votes == {}
    assert told(workspace, channel) == []


async def test_a_stale_click_gets_a_truthful_answer(
    workspace: SimulatedWorkspace, desk: Desk, channel: str
) -> None:
    heard = desk.heard
    await desk.handle(click(channel, subject="ap-99"))
    heard.ended = True
    await desk.handle(click(channel))
    first, second = (text for _, text in told(workspace, channel))
    assert "not known" in first
    assert "has ended" in second


async def test_an_unknown_user_is_refused(workspace: SimulatedWorkspace, desk: Desk, channel: str) -> None:
    reply = await desk.handle(click(channel, "U0NOBODY01"))
    assert "does not know" in reply.message


async def test_a_failed_step_is_decided(desk: Desk, channel: str) -> None:
    desk.story = Story().attention()
    heard = desk.heard
    request = click(channel, kind="step_decision", subject="inc-2026-0042:deactivate", decision="retry")
    assert (await desk.handle(request)).accepted
    [decision] = heard.steps.values()
    assert (decision.step_id, decision.decision, decision.responder) == ("deactivate", "retry", IRENE)
    lost = click(channel, kind="step_decision", subject="nowhere", decision="retry")
    assert not (await desk.handle(lost)).accepted


async def test_the_activity_syncs_and_invites_who_may_decide(
    workspace: SimulatedWorkspace, client: ChatClient, tmp_path: Path
) -> None:
    story = Story().to_approval()
    request = ChatSyncRequest(incident_id=story.id, seq=len(story.entries))
    async with stored(tmp_path, story) as store:
        activities = ChatActivities(store, store.chat_refs, client, ChatSettings(), policy)
        await ActivityEnvironment().run(activities.sync, request)
        workspace.calls.clear()
        await ActivityEnvironment().run(activities.sync, request)
    assert list(workspace.calls) == []
    [channel] = [c for c in workspace.state.channels.values() if c.name.startswith("inc-")]
    assert "U0IRENE001" in channel.members
    assert "U0JONAS001" not in channel.members
    assert [p.id for p in who_is_invited(story.incident, POLICY)] == ["irene", "tom"]
    assert who_is_invited(story.incident, None) == []


@pytest.mark.parametrize(
    ("fault", "type_", "delay"),
    [
        (Fault("throttle", retry_after=9), "Throttled", 9.0),
        (Fault("refuse", error="token_revoked"), "Refused", 60.0),
        (Fault("error"), "Unavailable", None),
    ],
)
async def test_the_activity_says_when_to_try_again(
    workspace: SimulatedWorkspace,
    client: ChatClient,
    tmp_path: Path,
    fault: Fault,
    type_: str,
    delay: float | None,
) -> None:
    story = Story().to_approval()
    workspace.fail_next("conversations.create", fault)
    async with stored(tmp_path, story) as store:
        activities = ChatActivities(store, store.chat_refs, client, ChatSettings(), policy)
        with pytest.raises(ApplicationError) as caught:
            await ActivityEnvironment().run(activities.sync, ChatSyncRequest(incident_id=story.id, seq=1))
    assert caught.value.type == type_
    assert not caught.value.non_retryable
    wait = caught.value.next_retry_delay
    assert (wait.total_seconds() if wait else None) == delay


async def test_the_activity_waits_for_the_store(client: ChatClient, tmp_path: Path) -> None:
    story = Story().to_approval()
    async with stored(tmp_path, story) as store:
        activities = ChatActivities(store, store.chat_refs, client, ChatSettings(), policy)
        with pytest.raises(ApplicationError) as caught:
            await ActivityEnvironment().run(activities.sync, ChatSyncRequest(incident_id=story.id, seq=999))
    assert caught.value.type == "NotStoredYet"


async def test_socket_mode_commits_clicks_and_nothing_else(tmp_path: Path) -> None:
    payload = {
        "type": "block_actions",
        "user": {"id": "U0IRENE001"},
        "team": {"id": TEAM_ID},
        "api_app_id": APP_ID,
        "channel": {"id": "C0SIM00001"},
        "actions": [{"action_id": "vote.deny", "value": "ap-1", "action_ts": "1.1"}],
    }
    async with stored(tmp_path, Story()) as store:
        receiver = SocketModeReceiver("xapp-x", store)
        await receiver.accept(SocketModeRequest("interactive", "e1", payload))
        await receiver.accept(SocketModeRequest("interactive", "e1-again", payload))
        await receiver.accept(SocketModeRequest("interactive", "e2", {"type": "view_closed"}))
        await receiver.accept(SocketModeRequest("hello", "e3", {}))
        [item] = await store.claim(INBOX_KIND)
    found = Interaction.model_validate(item.body)
    assert found.decision == "deny"


def test_the_manifest_has_the_scopes_and_nothing_more() -> None:
    made = manifest(ChatSettings())
    scopes = made["oauth_config"]["scopes"]["bot"]
    assert "chat:write" in scopes
    assert "groups:write" not in scopes
    assert made["settings"]["socket_mode_enabled"] is True
    http = manifest(ChatSettings(public_url="https://s.example/", private_channels=True), socket_mode=False)
    assert http["settings"]["interactivity"]["request_url"] == "https://s.example/slack/interactions"
    assert "groups:write" in http["oauth_config"]["scopes"]["bot"]
    with pytest.raises(ValueError, match="SOAR_PUBLIC_URL"):
        manifest(ChatSettings(), socket_mode=False)
