"""A task from its card to its incident: clicks and forms arrive signed by HTTP and are handled from the inbox."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from chat_world import FORM, IRENE, JONAS, SECRET, TOM, Story
from slack_sdk.socket_mode.request import SocketModeRequest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from soar.chat.activities import ChatActivities
from soar.chat.client import ChatClient
from soar.chat.deliver import InteractionHandler
from soar.chat.interactions import INBOX_KIND, Interaction, InteractionRefused, parse_form, signature_problem
from soar.chat.settings import ChatSettings
from soar.chat.socket_mode import SocketModeReceiver
from soar.engine.approvals import role_refusal
from soar.engine.client import Command, EngineUnavailable, IncidentEnded
from soar.engine.forms import FormRefused, filled_in
from soar.engine.messages import (
    ChatSyncRequest,
    PersonRequest,
    Reply,
    StepDecisionRequest,
    TaskRequest,
    VoteRequest,
)
from soar.model.course import FormSpec, TaskCancelled, TaskDone, TaskStatus
from soar.model.events import IncidentClosed
from soar.model.terms import IncidentStatus
from soar.model.timeline import Actor, ActorKind
from soar.playbook.policy import Policy
from soar.runtime.clicks import ClickLoop
from soar.simulated.workspace import APP_ID, Fault, SimulatedWorkspace
from soar.simulated.workspace.clicks import Sent
from soar.simulated.workspace.server import _Server
from soar.simulated.workspace.state import Channel, Message
from soar.store import Store, migrate

POLICY = Policy(version=1, responders=(IRENE, JONAS, TOM))
SETTINGS = ChatSettings(app_id=APP_ID)


async def policy() -> Policy | None:
    return POLICY


class Workflow:
    """Stands where the incident's workflow stands: the same checks, onto the same timeline."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.heard: dict[str, TaskRequest] = {}
        self.refused: list[str] = []
        self.down = 0

    async def vote(self, workflow: str, request: VoteRequest, *, request_id: str) -> Reply:
        raise AssertionError(f"{workflow} is told {request} ({request_id})")

    async def decide_step(self, workflow: str, request: StepDecisionRequest, *, request_id: str) -> Reply:
        raise AssertionError(f"{workflow} is told {request} ({request_id})")

    async def tell(
        self, workflow: str, command: Command, request: PersonRequest, *, request_id: str
    ) -> Reply:
        if self.down:
            self.down -= 1
            raise EngineUnavailable("Temporal did not answer")
        incident = self.story.incident
        if incident.status.ended:
            raise IncidentEnded(workflow)
        assert command == "complete_task"
        assert isinstance(request, TaskRequest)
        assert workflow == incident.workflow_id
        if request_id in self.heard:
            return Reply(accepted=True, message="did it")
        task, person = incident.tasks[request.step_id], request.responder
        if task.status is not TaskStatus.OPEN:
            return Reply(accepted=False, message=f"the task is {task.status.value}")
        if refusal := role_refusal(person, task.roles, task.excluded):
            self.refused.append(person.id)
            return Reply(accepted=False, message=refusal)
        try:
            values = filled_in(task.form, request.values)
        except FormRefused as refused:
            return Reply(accepted=False, message=str(refused))
        self.heard[request_id] = request
        self.story.tell(
            TaskDone(step_id=task.step_id, responder=person.id, values=values),
            f"{person.name} did {task.name}: {request.reason}",
            Actor(kind=ActorKind.PERSON, id=person.id, name=person.name),
        )
        return Reply(accepted=True, message="did it")


@dataclass
class Desk:
    """The app: its endpoint for clicks, its inbox, and its reconciler, for one incident."""

    workspace: SimulatedWorkspace
    client: ChatClient
    store: Store
    story: Story
    statuses: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.workflow = Workflow(self.story)
        handler = InteractionHandler(self.store, policy, self.client, self.workflow, SETTINGS)
        self.loop = ClickLoop(self.store, handler)
        self.activities = ChatActivities(self.store, self.store.chat_refs, self.client, SETTINGS, policy)

    async def take(self, request: Request) -> Response:
        body = await request.body()
        assert signature_problem(SECRET, dict(request.headers), body, now=time.time()) is None
        try:
            click = parse_form(body)
        except InteractionRefused as error:
            return Response(status_code=200 if error.harmless else 400)
        await self.store.receive(INBOX_KIND, click.dedupe_key, click.model_dump(mode="json"))
        return Response(status_code=200)

    async def sync(self) -> None:
        """Store what happened, and bring Slack up to it."""
        await self.store.project(self.story.entries)
        request = ChatSyncRequest(incident_id=self.story.id, seq=len(self.story.entries))
        await self.activities.sync(request)

    @property
    def channel(self) -> Channel:
        return next(c for c in self.workspace.state.channels.values() if c.name.startswith("inc-"))

    def message(self, key: str) -> Message:
        wanted = f"{self.story.id}/{key}"
        [found] = [
            m for m in self.channel.messages if m.metadata and m.metadata["event_payload"]["key"] == wanted
        ]
        return found

    async def click(self, user: str = IRENE.slack) -> None:
        """Click the card's button, and let the app handle it."""
        card = self.message("task:assess")
        status = await self.workspace.click(
            user=user,
            channel=self.channel.id,
            ts=card.ts,
            action_id="task.open",
            value=f"{self.story.id}:assess",
        )
        assert status == 200
        await self.loop.run_once()

    def modal(self, user: str = IRENE.slack) -> dict[str, Any]:
        return self.workspace.state.modals[user].as_slack()

    def inputs(self, user: str = IRENE.slack) -> dict[str, dict[str, Any]]:
        return {b["label"]["text"]: b for b in self.modal(user)["blocks"] if b["type"] == "input"}

    async def send(self, answers: dict[str, str], user: str = IRENE.slack) -> Sent:
        """Fill the open modal in, by the labels, and send it."""
        blocks = self.inputs(user)
        values = {blocks[label]["block_id"]: value for label, value in answers.items()}
        sent = await self.workspace.submit(user=user, view=self.modal(user)["id"], values=values)
        await self.loop.run_once()
        return sent

    def told(self) -> list[tuple[str, str]]:
        return [(m.visible_to, m.text) for m in self.channel.ephemerals]


@asynccontextmanager
async def served(desk: Desk) -> AsyncIterator[None]:
    app = Starlette(routes=[Route("/slack/interactions", desk.take, methods=["POST"])])
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/slack/interactions"
    desk.workspace.set_interactivity_url(url)
    server = _Server(uvicorn.Config(app, log_config=None, lifespan="off", ws="none"))
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield
    finally:
        server.should_exit = True
        await task
        listener.close()


@pytest.fixture
async def desk(tmp_path: Path, workspace: SimulatedWorkspace, client: ChatClient) -> AsyncIterator[Desk]:
    url = f"sqlite+aiosqlite:///{tmp_path / 'soar.db'}"
    await migrate(url)
    store = await Store.open(url, synchronous="NORMAL")
    desk = Desk(workspace, client, store, Story().to_task())
    try:
        async with served(desk):
            await desk.sync()
            desk.channel.members.extend([JONAS.slack, "U0MAYA0001"])
            yield desk
    finally:
        await store.close()


async def filled(desk: Desk, **changes: str) -> dict[str, str]:
    """What a person would choose and write."""
    blocks = desk.inputs()
    options = blocks["Kind of data"]["element"]["options"]
    return {
        "What was found": "two files",
        "Records concerned": "12",
        "Personal data": "true",
        "Kind of data": options[1]["value"],
        "Exposed since": "1773457620",
        "Note": "as the log says",
        **changes,
    }


async def test_a_form_is_filled_in(desk: Desk) -> None:
    await desk.click()
    sent = await desk.send(await filled(desk))
    assert (sent.status, sent.errors) == (200, {})
    assert desk.workspace.state.modals == {}
    [request] = desk.workflow.heard.values()
    assert request.responder == IRENE
    assert request.channel.value == "slack"
    assert request.reason == "as the log says"
    task = desk.story.incident.tasks["assess"]
    assert task.status is TaskStatus.DONE
    assert task.values == {
        "summary": "two files",
        "records": 12,
        "personal": True,
        "category": FORM["category"].options[1],
        "since": "2026-03-14T03:07:00+00:00",
    }
    assert desk.told() == []
    before = desk.message("task:assess").ts
    await desk.sync()
    card = desk.message("task:assess")
    assert card.ts == before
    assert "Irene Castellano" in str(card.blocks)
    assert "task.open" not in str(card.blocks)


async def test_what_slack_itself_finds_wrong_is_never_sent(desk: Desk) -> None:
    await desk.click()
    blocks = desk.inputs()
    wrong = await filled(desk, **{"Records concerned": "many", "What was found": ""})
    sent = await desk.send(wrong)
    assert sent.status == 0
    assert set(sent.errors) == {
        blocks[label]["block_id"] for label in ("Records concerned", "What was found")
    }
    assert desk.workflow.heard == {}
    assert desk.modal()["id"]


async def test_a_task_without_a_form_is_done_with_a_note(desk: Desk) -> None:
    desk.story.tell(TaskCancelled(step_id="assess", reason="again")).to_task(form={})
    await desk.sync()
    await desk.click()
    await desk.send({"Note": "called them"})
    [request] = desk.workflow.heard.values()
    assert (request.values, request.reason) == ({}, "called them")


@pytest.mark.parametrize(
    ("user", "why"), [(JONAS.slack, "incident-commander"), ("U0MAYA0001", "belongs to no responder")]
)
async def test_who_may_not_sees_no_form(desk: Desk, user: str, why: str) -> None:
    await desk.click(user)
    assert desk.workspace.state.modals == {}
    [(person, text)] = desk.told()
    assert person == user
    assert why in text


async def test_who_lost_the_role_meanwhile_is_refused_on_record_and_loses_no_words(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await desk.click()
    observer = IRENE.model_copy(update={"roles": ("observer",)})
    monkeypatch.setattr("test_chat_task_clicks.POLICY", Policy(version=1, responders=(observer,)))
    await desk.send(await filled(desk))
    assert desk.workflow.refused == ["irene"]
    [(person, text)] = desk.told()
    assert person == IRENE.slack
    for part in (
        "this takes the role incident-commander",
        "What was found: two files",
        "Note: as the log says",
    ):
        assert part in text


async def test_a_field_that_no_longer_fits_is_named_and_nothing_is_lost(desk: Desk) -> None:
    await desk.click()
    # Slack lets 40 digits after the point pass; the engine does not read so long a number.
    await desk.send(await filled(desk, **{"Records concerned": "0." + "1" * 40}))
    assert desk.workflow.heard == {}
    [(_, text)] = desk.told()
    assert "Records concerned: write a number" in text
    assert "What was found: two files" in text


async def test_somebody_else_was_faster(desk: Desk) -> None:
    await desk.click()
    desk.story.did({"summary": "mine"})
    await desk.send(await filled(desk))
    assert desk.workflow.heard == {}
    [(_, text)] = desk.told()
    assert "the task is done" in text
    assert "two files" in text
    await desk.store.project(desk.story.entries)
    await desk.click()
    assert "done already" in desk.told()[1][1]


async def test_an_answer_to_an_earlier_question_does_not_count(desk: Desk) -> None:
    await desk.click()
    desk.story.tell(TaskCancelled(step_id="assess", reason="timed out")).to_task()
    await desk.sync()
    await desk.send(await filled(desk))
    assert desk.workflow.heard == {}
    assert "asked anew" in desk.told()[0][1]


async def test_the_end_is_told_to_who_comes_late(desk: Desk) -> None:
    await desk.click()
    desk.story.tell(IncidentClosed(status=IncidentStatus.CANCELLED))
    await desk.send(await filled(desk))
    assert "has ended" in desk.told()[0][1]
    assert "two files" in desk.told()[0][1]
    await desk.store.project(desk.story.entries)
    await desk.click()
    assert "has ended" in desk.told()[1][1]
    await desk.sync()
    assert "task.open" not in str(desk.message("task:assess").blocks)


async def test_an_answer_waits_in_the_inbox_while_the_engine_is_away(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("soar.runtime.clicks.backoff", lambda _: 0.0)
    await desk.click()
    desk.workflow.down = 1
    await desk.send(await filled(desk))
    assert desk.workflow.heard == {}
    await desk.loop.run_once()
    assert len(desk.workflow.heard) == 1
    assert desk.told() == []


@pytest.mark.parametrize(
    ("error", "asks_again"), [("expired_trigger_id", True), ("exchanged_trigger_id", False)]
)
async def test_a_form_that_comes_too_late_is_asked_for_again(
    desk: Desk, error: str, asks_again: bool
) -> None:
    desk.workspace.fail_next("views.open", Fault("refuse", error=error))
    await desk.click()
    assert bool(desk.told()) is asks_again
    assert not asks_again or "click once more" in desk.told()[0][1]
    await desk.click()
    assert desk.modal()["callback_id"] == "task.done"


async def test_a_click_handled_twice_shows_one_form(desk: Desk) -> None:
    await desk.click()
    shown = desk.modal()["id"]
    trigger = desk.workspace.state.exchanged[-1]
    again = Interaction(
        kind="task_form",
        subject=f"{desk.story.id}:assess",
        decision="open",
        user_id=IRENE.slack,
        team_id="T0SIMULATED",
        app_id=APP_ID,
        channel_id=desk.channel.id,
        action_ts="1773457620.000100",
        trigger_id=trigger,
    )
    handler = InteractionHandler(desk.store, policy, desk.client, desk.workflow, SETTINGS)
    assert (await handler.handle(again)).accepted
    assert desk.modal()["id"] == shown
    lost = again.model_copy(update={"subject": "inc-0:gone"})
    assert "not known" in (await handler.handle(lost)).message


async def test_a_form_too_long_for_slack_is_not_opened(desk: Desk) -> None:
    long = {f"f{i}": FormSpec(type="text") for i in range(60)}
    desk.story.tell(TaskCancelled(step_id="assess", reason="again")).to_task(form=long)
    await desk.store.project(desk.story.entries)
    await desk.click()  # the card of before
    assert "in the console" in desk.told()[0][1]


async def test_a_form_by_socket_mode_is_committed_once(desk: Desk) -> None:
    await desk.click()
    blocks = desk.inputs()
    state = {
        blocks["What was found"]["block_id"]: {"value": {"type": "plain_text_input", "value": "two files"}},
        "note": {"value": {"type": "plain_text_input", "value": None}},
    }
    payload = {
        "type": "view_submission",
        "user": {"id": IRENE.slack, "team_id": "T0SIMULATED"},
        "team": {"id": "T0SIMULATED"},
        "api_app_id": APP_ID,
        "view": {**desk.modal(), "state": {"values": state}},
    }
    receiver = SocketModeReceiver("xapp-x", desk.store)
    for _ in range(2):
        await receiver.accept(SocketModeRequest("interactive", "e1", payload))
    [item] = await desk.store.claim(INBOX_KIND)
    found = Interaction.model_validate(item.body)
    assert (found.kind, found.channel_id, found.note) == ("task_done", desk.channel.id, "")
    assert list(found.values.values()) == ["two files"]
