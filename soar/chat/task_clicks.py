"""Clicks on a task's card: the form is shown, and what comes back is told to the incident.

Every fact is read here afresh; a click and a modal carry ids only.
"""

from __future__ import annotations

import logging
from typing import Protocol

from soar.chat.client import ChatClient, SlackRefused
from soar.chat.interactions import Interaction
from soar.chat.task_form import answers, asked, fits_a_modal, kept, problems, task_modal
from soar.engine.approvals import role_refusal
from soar.engine.client import Command
from soar.engine.messages import PersonRequest, Reply, TaskRequest
from soar.model.course import Task, TaskStatus
from soar.model.incident import Incident
from soar.model.people import Responder, VoteChannel

__all__ = ["TaskClicks", "TaskCommands", "TaskLocator"]

log = logging.getLogger(__name__)

_LATE = ("expired_trigger_id", "trigger_expired", "invalid_trigger_id")
_SHOWN = ("exchanged_trigger_id", "trigger_exchanged")
_GONE = "This task is not known here any more."


class TaskCommands(Protocol):
    """What is told to incidents: `IncidentEngine`."""

    async def tell(
        self, workflow: str, command: Command, request: PersonRequest, *, request_id: str
    ) -> Reply:
        """Tell an incident something."""


class TaskLocator(Protocol):
    """What is read from the store."""

    async def incident(self, incident_id: str) -> Incident | None:
        """The state as stored."""


class TaskClicks:
    """Handles the clicks on tasks, one at a time. May be run again on the same click."""

    def __init__(self, incidents: TaskLocator, client: ChatClient, commands: TaskCommands) -> None:
        self._incidents, self._client, self._commands = incidents, client, commands

    async def show(self, click: Interaction, person: Responder) -> Reply:
        """Show the form to the person who clicked.

        Args:
            person: Who; without any role, if the person may do nothing.
        """
        incident, task = await self._find(click)
        if incident is None or task is None:
            return Reply(accepted=False, message=_GONE)
        if incident.status.ended:
            return Reply(
                accepted=False, message="The incident has ended: the task need not be done any more."
            )
        if task.status is not TaskStatus.OPEN:
            return Reply(accepted=False, message=f"The task is {task.status.value} already.")
        if refusal := role_refusal(person, task.roles, task.excluded):
            return Reply(accepted=False, message=f"You cannot do this task: {refusal}.")
        if not fits_a_modal(task):
            return Reply(accepted=False, message="The form is too long for Slack: fill it in in the console.")
        try:
            await self._client.open_view(click.trigger_id, task_modal(incident, task, click.channel_id))
        except SlackRefused as error:
            if error.error in _SHOWN:
                return Reply(accepted=True, message="the form is shown already")
            if error.error in _LATE:
                return Reply(
                    accepted=False, message="The form could not be shown in time. Please click once more."
                )
            raise
        return Reply(accepted=True, message="the form is shown")

    async def done(self, click: Interaction, person: Responder, request_id: str) -> Reply:
        """Tell the incident what was filled in."""
        incident, task = await self._find(click)
        if incident is None or task is None:
            return Reply(accepted=False, message=_GONE)
        if asked(incident, task) != click.asked:
            return Reply(
                accepted=False, message="The task was asked anew in the meantime: please open its form again."
            )
        values = answers(task, click.values)
        open_ = task.status is TaskStatus.OPEN and not incident.status.ended
        # Whoever may not is passed on: the incident refuses, and has the refusal on record.
        if (
            open_
            and not role_refusal(person, task.roles, task.excluded)
            and (wrong := problems(task, values))
        ):
            return Reply(
                accepted=False,
                message=f"The form was not taken. {'; '.join(wrong)}. Please fill it in again.",
            )
        request = TaskRequest(
            step_id=task.step_id,
            values=values,
            responder=person,
            reason=click.note,
            channel=VoteChannel.SLACK,
        )
        return await self._commands.tell(
            incident.workflow_id, "complete_task", request, request_id=request_id
        )

    async def written(self, click: Interaction) -> str:
        """What the person wrote, to give it back where it did not count; empty if nothing was written."""
        _, task = await self._find(click)
        return kept(task, click.values, click.note)

    async def _find(self, click: Interaction) -> tuple[Incident | None, Task | None]:
        incident_id, _, step_id = click.subject.rpartition(":")
        incident = await self._incidents.incident(incident_id)
        return incident, incident.tasks.get(step_id) if incident is not None else None
