"""What people tell incidents, the same for the API and the console."""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from soar.engine.approvals import role_refusal
from soar.engine.client import Command, IncidentEnded
from soar.engine.messages import (
    NoteRequest,
    PersonRequest,
    Reply,
    StepDecisionRequest,
    UndoRequest,
    UpgradeRequest,
    VoteRequest,
)
from soar.model.incident import Incident
from soar.model.people import Decision, Responder, VoteChannel
from soar.model.terms import Phase
from soar.playbook.compiler import compile_playbook
from soar.playbook.differences import graph_differences
from soar.playbook.policy import deciding_roles, implicated
from soar.web.errors import ApiError
from soar.web.services import Services

__all__ = ["Commands", "find_incident"]

_NAMES = {"complete_task": "task", "meet_clock": "deadline", "extend": "change"}


async def find_incident(services: Services, incident_id: str) -> Incident:
    """An incident by its id.

    Raises:
        ApiError: 404, naming those whose id begins alike.
    """
    # PostgreSQL refuses to be asked for a text with a NUL in it.
    found = await services.store.incident(incident_id) if "\0" not in incident_id else None
    if found is not None:
        return found
    near = [i.id for i in await services.store.incidents(limit=200) if incident_id and incident_id in i.id]
    raise ApiError(
        404,
        "not_found",
        f"there is no incident {incident_id[:80]}",
        hint=f"did you mean {', '.join(near[:5])}?" if near else "see the list of incidents",
    )


@dataclass(frozen=True)
class Commands:
    """One person's commands, by one channel."""

    services: Services
    person: Responder
    channel: VoteChannel

    async def vote(
        self, incident: Incident, approval_id: str, decision: Decision, prefix: str, reason: str
    ) -> Reply:
        """Cast a vote on the plan whose digest begins with `prefix`."""
        if approval_id not in incident.approvals:
            raise ApiError(404, "not_found", f"incident {incident.id} has no such approval")
        request = VoteRequest(
            approval_id=approval_id,
            plan_digest_prefix=prefix,
            responder=self.person,
            decision=decision,
            channel=self.channel,
            reason=reason,
        )
        # The same vote sent twice, by a double click or a retried request, is one update.
        request_id = self._id("vote", approval_id, decision.value, prefix, "/".join(self.person.roles))
        return await self.services.engine.vote(incident.workflow_id, request, request_id=request_id)

    async def decide(
        self, incident: Incident, step_id: str, decision: Literal["retry", "skip", "stop"], reason: str
    ) -> Reply:
        """Decide about a failed step."""
        if step_id not in incident.steps:
            raise ApiError(404, "not_found", f"incident {incident.id} has not come to a step of that name")
        request = StepDecisionRequest(
            step_id=step_id, responder=self.person, decision=decision, channel=self.channel, reason=reason
        )
        return await self.services.engine.decide_step(
            incident.workflow_id, request, request_id=uuid.uuid4().hex
        )

    async def note(self, incident: Incident, text: str) -> Reply:
        """Put words on the timeline."""
        request = NoteRequest(responder=self.person, text=text, channel=self.channel)
        return await self.services.engine.note(incident.workflow_id, request, request_id=uuid.uuid4().hex)

    async def tell(self, incident: Incident, command: Command, request: PersonRequest) -> Reply:
        """Tell an incident something.

        Raises:
            ApiError: 404, the incident has no such step, task or deadline.
        """
        held: dict[str, Mapping[str, object]] = {
            "complete_task": incident.tasks,
            "meet_clock": incident.clocks,
            "extend": incident.effects,
        }
        known = held.get(command)
        name = getattr(request, "step_id", None) or getattr(request, "clock", None)
        if known is not None and name not in known:
            raise ApiError(
                404,
                "not_found",
                f"incident {incident.id} has no {_NAMES[command]} of that name",
                hint=f"it has {', '.join(known)[:300]}" if known else "it has none",
            )
        return await self.services.engine.tell(
            incident.workflow_id, command, request, request_id=uuid.uuid4().hex
        )

    async def upgrade(self, incident: Incident, reason: str) -> Reply:
        """Go on with the version of the playbook that is in force.

        Raises:
            ApiError: 404, the playbook is not in force any more.
        """
        return await self.tell(incident, "upgrade", await self.upgrade_request(incident, reason))

    async def upgrade_request(self, incident: Incident, reason: str) -> UpgradeRequest:
        """What is asked of an incident that goes on with the version in force, and what differs in it.

        Raises:
            ApiError: 404, the playbook is not in force any more, or the incident's history is not kept any more.
        """
        services = self.services
        try:
            loaded = services.library.get(incident.playbook)
        except KeyError as error:
            raise ApiError(404, "not_found", str(error.args[0])) from None
        graph = compile_playbook(loaded, services.catalogue, services.library.get)
        try:
            running = await services.engine.start_of(incident.workflow_id, incident.run_id)
        except IncidentEnded as error:
            raise ApiError(404, "not_found", str(error), hint="it cannot be upgraded") from None
        return UpgradeRequest(
            responder=self.person,
            channel=self.channel,
            reason=reason,
            playbook_text=loaded.text,
            playbook_digest=loaded.digest,
            graph=graph,
            differences=graph_differences(running.graph, graph),
        )

    async def undo(
        self, incident: Incident, *, step_id: str | None, phase: Phase | None, reason: str
    ) -> Reply:
        """Begin to put changes back; a closed incident is opened again for it."""
        request = UndoRequest(
            step_id=step_id, phase=phase, responder=self.person, reason=reason, channel=self.channel
        )
        if not incident.status.ended:
            return await self.services.engine.undo(incident.workflow_id, request, request_id=uuid.uuid4().hex)
        start = await self.services.engine.start_of(incident.workflow_id, incident.run_id)
        closed = start.model_copy(update={"resume": incident, "carry": None, "parent": None, "alerts": ()})
        reply = await self.services.engine.undo(
            incident.workflow_id, request, request_id=uuid.uuid4().hex, closed=closed
        )
        # A running incident answers for itself. A closed one is only opened again here, and refuses, on the record,
        # when it runs; the person is told so at once.
        refusal = await self._undo_refusal(incident)
        return Reply(accepted=False, message=refusal) if refusal else reply

    async def _undo_refusal(self, incident: Incident) -> str:
        policy = await asyncio.to_thread(self.services.policy)
        excluded = implicated(policy, incident.alerts) if policy else {}
        return role_refusal(self.person, deciding_roles(policy), excluded)

    def _id(self, *parts: str) -> str:
        return hashlib.sha256("\0".join((self.person.id, *parts)).encode()).hexdigest()
