"""The scripted people: they decide by the same messages as real ones, and what they are told is looked at."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from temporalio.client import WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from soar.engine.client import IncidentEnded
from soar.engine.messages import NoteRequest, Reply, StepDecisionRequest, UndoRequest, VoteRequest
from soar.model.incident import Incident
from soar.model.people import Approval, Decision, Responder, VoteChannel
from soar.playbook.expressions import render
from soar.playtest.follow import Follower, fits
from soar.playtest.spec import PersonSpec
from soar.playtest.world import World

__all__ = ["Person"]

CHANNEL = VoteChannel.API


@dataclass
class Person:
    """One line of the script.

    Args:
        index: Which line, from 0.
        came: How often the person came to act.
    """

    index: int
    spec: PersonSpec
    responder: Responder
    came: int = 0

    async def act(self, world: World, follower: Follower, step: str) -> str:
        """Do what the script says.

        Args:
            step: The step that the person came for; empty where it is about none.

        Returns:
            What went otherwise than the script says, in words; empty: nothing.
        """
        self.came += 1
        try:
            reply = await self._send(world, follower, step)
        except IncidentEnded:
            reply = Reply(accepted=False, message="the incident has ended")
        who, wanted = f"{self.responder.id}'s {self.spec.do}", self.spec.refused
        if reply.accepted:
            return f"{who} was to be refused and counted: {reply.message}" if wanted else ""
        if not wanted:
            return f"{who} did not count: {reply.message}"
        if isinstance(wanted, str) and wanted not in reply.message:
            return f'{who} was to be refused with "{wanted}", and was with "{reply.message}"'
        return ""

    async def _send(self, world: World, follower: Follower, step: str) -> Reply:
        incident, spec, engine = follower.incident, self.spec, world.parts.engine
        request_id = uuid.uuid4().hex
        match spec.do:
            case "approve" | "deny":
                approval = self._approval(incident, step)
                if approval is None:
                    return Reply(accepted=False, message="nobody is asked about it any more")
                vote = VoteRequest(
                    approval_id=approval.id,
                    plan_digest_prefix=approval.plan_digest,
                    responder=self.responder,
                    decision=Decision(spec.do),
                    channel=CHANNEL,
                    reason=spec.reason,
                )
                return await engine.vote(incident.workflow_id, vote, request_id=request_id)
            case "retry" | "skip" | "stop":
                return await self._decide(world, incident, step, spec.do)
            case "note":
                note = NoteRequest(responder=self.responder, text=spec.reason, channel=CHANNEL)
                return await engine.note(incident.workflow_id, note, request_id=request_id)
            case "undo":
                return await self._undo(world, incident)
            case "update":
                return await self._update(world, incident, step)

    def _approval(self, incident: Incident, step: str) -> Approval | None:
        """The approval that is open, or where a refusal is expected, the last one."""
        mine = [
            a
            for a in incident.approvals.values()
            if (a.step_id == step if step else fits(a.step_id, self.spec.step))
        ]
        still = [a for a in mine if a in incident.open_approvals]
        if still:
            return still[0]
        return mine[-1] if mine and self.spec.refused else None

    async def _decide(
        self, world: World, incident: Incident, step: str, decision: Literal["retry", "skip", "stop"]
    ) -> Reply:
        waiting = [s.id for s in incident.needing_attention if step in ("", s.id)]
        chosen = next((s for s in waiting if fits(s, self.spec.step)), step)
        if not chosen:
            return Reply(accepted=False, message="no step waits for a decision")
        request = StepDecisionRequest(
            step_id=chosen,
            responder=self.responder,
            decision=decision,
            channel=CHANNEL,
            reason=self.spec.reason,
        )
        return await world.parts.engine.decide_step(
            incident.workflow_id, request, request_id=uuid.uuid4().hex
        )

    async def _undo(self, world: World, incident: Incident) -> Reply:
        engine = world.parts.engine
        request = UndoRequest(
            step_id=self.spec.step[0] if self.spec.step else None,
            phase=self.spec.phase,
            responder=self.responder,
            reason=self.spec.reason,
            channel=CHANNEL,
        )
        closed = None
        if incident.status.ended:
            start = await engine.start_of(incident.workflow_id, incident.run_id)
            closed = start.model_copy(update={"resume": incident})
        return await engine.undo(incident.workflow_id, request, request_id=uuid.uuid4().hex, closed=closed)

    async def _update(self, world: World, incident: Incident, step: str) -> Reply:
        """Send any update that the workflow takes, with the person in it."""
        variables: Mapping[str, Any] = {
            **world.variables,
            "step": step,
            "incident": incident.model_dump(mode="json"),
        }
        rendered = render(self.spec.data, variables)
        assert isinstance(rendered, dict)
        person = {"responder": self.responder.model_dump(mode="json"), "channel": CHANNEL.value}
        words = {"reason": self.spec.reason} if self.spec.reason else {}
        request = {**person, **words, **rendered}
        handle = world.parts.temporal.get_workflow_handle(incident.workflow_id)
        try:
            reply: Reply = await handle.execute_update(
                str(self.spec.update), request, id=uuid.uuid4().hex, result_type=Reply
            )
        except WorkflowUpdateFailedError as error:
            cause = error.cause
            return Reply(
                accepted=False, message=cause.message if isinstance(cause, ApplicationError) else str(cause)
            )
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                raise IncidentEnded(incident.workflow_id) from error
            raise
        return reply
