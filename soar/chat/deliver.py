"""From a click in the inbox to a vote: everything about the person is checked afresh here."""

from __future__ import annotations

import logging
import re
from typing import Literal, Protocol, cast

from soar.chat.activities import PolicyLoader
from soar.chat.client import ChatClient, Person, SlackRefused, SlackThrottled, SlackUnavailable
from soar.chat.interactions import Interaction
from soar.chat.settings import ChatSettings
from soar.chat.task_clicks import TaskClicks
from soar.chat.text import clean, code, escaped
from soar.engine.client import Command, IncidentEnded
from soar.engine.messages import PersonRequest, Reply, StepDecisionRequest, VoteRequest
from soar.model.incident import Incident
from soar.model.people import Decision, Responder, VoteChannel

__all__ = ["Commands", "InteractionHandler", "Locator"]

log = logging.getLogger(__name__)

_WRITTEN = 8_000
"""Characters of a refused form that are given back."""


class Commands(Protocol):
    """What is told to incidents: `IncidentEngine`."""

    async def vote(self, workflow: str, request: VoteRequest, *, request_id: str) -> Reply:
        """Cast a vote."""

    async def decide_step(self, workflow: str, request: StepDecisionRequest, *, request_id: str) -> Reply:
        """Decide about a failed step."""

    async def tell(
        self, workflow: str, command: Command, request: PersonRequest, *, request_id: str
    ) -> Reply:
        """Tell an incident something."""


class Locator(Protocol):
    """What is read from the store."""

    async def incident(self, incident_id: str) -> Incident | None:
        """The state as stored."""

    async def incident_of_approval(self, approval_id: str) -> Incident | None:
        """The incident that has this approval."""


class InteractionHandler:
    """Handles one click at a time. May be run again on the same click."""

    def __init__(
        self,
        incidents: Locator,
        policy: PolicyLoader,
        client: ChatClient,
        commands: Commands,
        settings: ChatSettings,
    ) -> None:
        self._incidents, self._policy, self._client = incidents, policy, client
        self._commands, self._settings = commands, settings
        self._tasks = TaskClicks(incidents, client, commands)

    async def handle(self, click: Interaction) -> Reply:
        """Check who clicked, pass the decision on, and tell the person if it did not count.

        Returns:
            Whether it counted and why not: the outcome that the inbox records.

        Raises:
            EngineUnavailable, SlackThrottled, SlackUnavailable, SlackRefused: Try this click again later; it is not
                lost.
        """
        if problem := await self._foreign(click):
            # Not answered: whoever sent it is not in our workspace.
            log.warning("click refused: %s (user %s)", problem, click.user_id)
            return Reply(accepted=False, message=problem)
        person = await self._person(click)
        policy = await self._policy()
        responder = policy.responder_by_slack(click.user_id) if policy is not None else None
        problem = person.problem
        if not problem and responder is None:
            problem = "your Slack account belongs to no responder of the policy"
        if not problem and person.team_id != click.team_id:
            problem = "the person belongs to another workspace"
        # Who may not decide is passed on without any role: the incident refuses, and has the refusal on record.
        voter = responder if responder is not None and not problem else _stranger(person)
        reply = await self._pass_on(click, voter)
        if problem:
            reply = Reply(accepted=False, message=f"Your click did not count: {problem}.")
        if not reply.accepted:
            text = "⛔ " + escaped(clean(reply.message), 900)
            if click.kind == "task_done" and (written := await self._tasks.written(click)):
                # The form is closed by now: what the person wrote must not be lost with it.
                text += f"\nWhat you wrote: {code(written, _WRITTEN)}"
            await self._tell(click, text)
        return reply

    async def _foreign(self, click: Interaction) -> str:
        team = self._settings.team_id or (await self._client.identity()).team_id
        if click.team_id != team:
            return f"the click is from the workspace {click.team_id}, not from {team}"
        if self._settings.app_id and click.app_id != self._settings.app_id:
            return f"the click is on the app {click.app_id}, not on {self._settings.app_id}"
        return ""

    async def _person(self, click: Interaction) -> Person:
        try:
            return await self._client.person(click.user_id)
        except SlackRefused as error:
            if error.error not in ("user_not_found", "user_not_visible"):
                raise
            return Person(
                id=click.user_id, team_id="", name=click.user_id, problem="Slack does not know the person"
            )

    async def _pass_on(self, click: Interaction, voter: Responder) -> Reply:
        request_id = f"slack-{click.dedupe_key[:40]}"
        try:
            match click.kind:
                case "vote":
                    return await self._vote(click, voter, request_id)
                case "step_decision":
                    return await self._decide(click, voter, request_id)
                case "task_form":
                    return await self._tasks.show(click, voter)
                case "task_done":
                    return await self._tasks.done(click, voter, request_id)
        except IncidentEnded:
            return Reply(accepted=False, message="The incident has ended: nothing more can be decided on it.")

    async def _vote(self, click: Interaction, voter: Responder, request_id: str) -> Reply:
        incident = await self._incidents.incident_of_approval(click.subject)
        approval = incident.approvals.get(click.subject) if incident is not None else None
        if incident is None or approval is None:
            return Reply(accepted=False, message="This question is not known here any more.")
        # The card of an approval shows one plan, for ever: a new plan opens a new approval with a new card.
        request = VoteRequest(
            approval_id=approval.id,
            plan_digest_prefix=approval.plan_digest,
            responder=voter,
            decision=Decision(click.decision),
            channel=VoteChannel.SLACK,
        )
        return await self._commands.vote(incident.workflow_id, request, request_id=request_id)

    async def _decide(self, click: Interaction, voter: Responder, request_id: str) -> Reply:
        incident_id, _, step_id = click.subject.rpartition(":")
        incident = await self._incidents.incident(incident_id)
        if incident is None or step_id not in incident.steps:
            return Reply(accepted=False, message="This step is not known here any more.")
        request = StepDecisionRequest(
            step_id=step_id,
            responder=voter,
            decision=cast(Literal["retry", "skip", "stop"], click.decision),
            channel=VoteChannel.SLACK,
        )
        return await self._commands.decide_step(incident.workflow_id, request, request_id=request_id)

    async def _tell(self, click: Interaction, message: str) -> None:
        """Tell the person alone. The decision stands whether or not Slack passes this on."""
        try:
            await self._client.tell(click.channel_id, click.user_id, message)
        except (SlackRefused, SlackThrottled, SlackUnavailable) as error:
            log.warning("could not tell %s that the click did not count: %s", click.user_id, error)


def _stranger(person: Person) -> Responder:
    """Somebody without any role, named so that the record shows who it was."""
    name = re.sub(r"[^a-z0-9]", "", person.id.lower())
    return Responder(id=f"slack-{name}", name=clean(person.name)[:80] or person.id, slack=person.id)
