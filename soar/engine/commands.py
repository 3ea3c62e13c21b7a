"""What people tell a running incident: each a Temporal update, each on the timeline with who and why."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Literal

from temporalio import workflow
from temporalio.exceptions import ApplicationError

from soar.engine.action_steps import ActionSteps
from soar.engine.approvals import Counted, Repeated, judge, outcome, role_refusal
from soar.engine.changes import effects_to_undo, undo_node
from soar.engine.forms import FormRefused, filled_in
from soar.engine.messages import (
    AssignRequest,
    ClockRequest,
    ExtendRequest,
    NoteRequest,
    PersonRequest,
    Reply,
    SeverityRequest,
    SkipRequest,
    StepDecisionRequest,
    TaskRequest,
    UndoRequest,
    UndoUnderWay,
    UpgradeRequest,
    VoteRequest,
)
from soar.engine.run import Run, Stopped
from soar.engine.scope import OUTSIDE, Scope, base_id
from soar.engine.steps import StepLife
from soar.engine.upgrade import what_forbids
from soar.model.course import (
    Assigned,
    CancelRequested,
    ClockMet,
    ClockStatus,
    EffectExpirySet,
    IncidentPaused,
    IncidentResumed,
    SeveritySet,
    SkipRequested,
    TaskDone,
    TaskStatus,
)
from soar.model.events import (
    AnyEvent,
    ApprovalClosed,
    AttentionResolved,
    NoteAdded,
    RefusalRecorded,
    StepSkipped,
    VoteCast,
)
from soar.model.people import ApprovalStatus, Responder
from soar.model.terms import IncidentStatus, Phase, StepStatus
from soar.model.timeline import Actor, ActorKind

__all__ = ["Commands"]

REFUSALS_RECORDED = 20
"""Refused attempts per approval or step that get an entry of their own; the rest are only answered."""


class Commands:
    """The updates of an incident's workflow.

    A person who may not do something is answered and not thrown an error at; the attempt goes on record. A request
    that makes no sense (an unknown step, an incident without its first alert) is refused before it is in history.
    """

    def __init__(self, run: Run, life: StepLife, actions: ActionSteps) -> None:
        self._run, self._life, self._actions = run, life, actions
        carry = run.start.carry
        self._refusals: dict[str, int] = dict(carry.refusals) if carry else {}
        self._undos: dict[str, UndoUnderWay] = {}
        self._deciding = 0
        self._broken: BaseException | None = None
        self._upgrade: UpgradeRequest | None = None

    # ---- approvals and failed steps ----------------------------------------------------------------------------

    @workflow.update
    def vote(self, request: VoteRequest) -> Reply:
        """Count a person's vote, or say why it does not count."""
        approval = self._run.incident.approvals[request.approval_id]
        verdict = judge(approval, request, workflow.now())
        if isinstance(verdict, Repeated):
            return Reply(accepted=True, message=verdict.message)
        if not isinstance(verdict, Counted):
            return self._refuse(approval.id, request.responder, request.decision.value, verdict.message)
        person = _actor(request.responder)
        word = "approved" if verdict.vote.decision == "approve" else "denied"
        journal = self._run.journal
        because = f" — {request.reason}" if request.reason else ""
        journal.record(
            VoteCast(approval_id=approval.id, vote=verdict.vote),
            f"{request.responder.name} {word} by {request.channel.value}: {approval.plan.summary}{because}",
            actor=person,
        )
        result = outcome(approval)
        if result is ApprovalStatus.PENDING:
            return Reply(accepted=True, message=f"counted: {approval.approvals} of {approval.needed}")
        journal.record(
            ApprovalClosed(approval_id=approval.id, outcome=result),
            f"Approval {result.value}: {approval.plan.summary}",
            actor=person,
        )
        return Reply(accepted=True, message=result.value)

    @vote.validator
    def _vote_validator(self, request: VoteRequest) -> None:
        self._must_be_open()
        if request.approval_id not in self._run.incident.approvals:
            raise ApplicationError(f"this incident has no approval {request.approval_id}", type="NotFound")

    @workflow.update
    def decide_step(self, request: StepDecisionRequest) -> Reply:
        """Take a person's decision about a failed step: try again, leave it out, or stop."""
        return self._decide(request)

    def _decide(self, request: StepDecisionRequest) -> Reply:
        step = self._run.incident.steps[request.step_id]
        if step.status is not StepStatus.ATTENTION:
            return Reply(
                accepted=False, message=f"step {step.id} waits for no decision: it is {step.status.value}"
            )
        if refusal := role_refusal(request.responder, step.attention_roles, step.attention_excluded):
            return self._refuse(step.id, request.responder, request.decision, refusal)
        person, journal = _actor(request.responder), self._run.journal
        because = _because(request.reason)
        journal.record(
            AttentionResolved(step_id=step.id, decision=request.decision, reason=request.reason),
            f"{request.responder.name} decided by {request.channel.value}: {request.decision} {step.name}{because}",
            actor=person,
        )
        if request.decision == "skip":
            journal.record(
                StepSkipped(
                    step_id=step.id, by=request.responder.id, reason=f"by {request.responder.name}{because}"
                ),
                f"Skipped: {step.name}",
                actor=person,
            )
        elif request.decision == "stop":
            if step.id in self._undos:
                # An undo that somebody asked for is not the playbook: it ends, and the incident goes on.
                self._run.given_up.add(step.id)
            else:
                self._run.request_stop(
                    IncidentStatus.FAILED, f"{request.responder.name} stopped at step {step.id}"
                )
        return Reply(accepted=True, message=request.decision)

    @decide_step.validator
    def _decide_step_validator(self, request: StepDecisionRequest) -> None:
        self._must_know_step(request.step_id)

    @workflow.update
    async def retry_step(self, request: SkipRequest) -> Reply:
        """Try a failed step again."""
        return self._decide(_decision(request, "retry"))

    @retry_step.validator
    def _retry_step_validator(self, request: SkipRequest) -> None:
        self._must_know_step(request.step_id)

    @workflow.update
    async def skip_step(self, request: SkipRequest) -> Reply:
        """Leave a step out: one that failed, one that waits, or one that is not reached yet."""
        run = self._run
        step = run.incident.steps.get(request.step_id)
        if step is not None and step.status is StepStatus.ATTENTION:
            return self._decide(_decision(request, "skip"))
        if step is not None and step.status.ended:
            return Reply(accepted=False, message=f"step {step.id} has ended: it is {step.status.value}")
        task = run.incident.tasks.get(request.step_id)
        waits = task is not None and task.status is TaskStatus.OPEN
        if step is not None and not (step.status is StepStatus.WAITING or waits or step.until or step.child):
            return Reply(
                accepted=False,
                message=f"step {step.id} is being done; it can be skipped when it waits or has failed",
            )
        if refusal := await self._may_not(request, f"skip {request.step_id}"):
            return refusal
        step = run.incident.steps.get(request.step_id)
        if step is not None and step.status.ended:
            return Reply(accepted=False, message=f"step {step.id} has just ended: it is {step.status.value}")
        run.skipped[request.step_id] = request.responder.id
        run.journal.record(
            SkipRequested(
                step_id=request.step_id, reason=f"by {request.responder.name}{_because(request.reason)}"
            ),
            f"{request.responder.name} asked to skip {request.step_id}{_because(request.reason)}",
            actor=_actor(request.responder),
        )
        return Reply(accepted=True, message=f"{request.step_id} is left out")

    @skip_step.validator
    def _skip_step_validator(self, request: SkipRequest) -> None:
        self._must_know_step(request.step_id, reached=False)

    # ---- the incident as a whole -------------------------------------------------------------------------------

    @workflow.update
    async def pause(self, request: PersonRequest) -> Reply:
        """Let nothing new begin. What has begun comes to its end; approvals, tasks and deadlines go on."""
        if refusal := await self._may_not(request, "pause"):
            return refusal
        if self._run.incident.paused is not None:
            return Reply(accepted=True, message="it is paused already")
        return self._done(
            IncidentPaused(reason=request.reason), request, f"paused the incident{_because(request.reason)}"
        )

    @workflow.update
    async def resume(self, request: PersonRequest) -> Reply:
        """Go on after a pause."""
        if refusal := await self._may_not(request, "resume"):
            return refusal
        if self._run.incident.paused is None:
            return Reply(accepted=True, message="it is not paused")
        return self._done(
            IncidentResumed(reason=request.reason), request, f"resumed the incident{_because(request.reason)}"
        )

    @workflow.update
    async def cancel(self, request: PersonRequest) -> Reply:
        """End the incident early. What has begun comes to its end and is recorded.

        A second time, while changes are being put back because of the first: leave them as they are.
        """
        if refusal := await self._may_not(request, "cancel"):
            return refusal
        again = self._run.stop is not None
        reply = self._done(
            CancelRequested(reason=request.reason),
            request,
            f"cancelled the incident{_because(request.reason)}",
        )
        self._run.abandoned = self._run.abandoned or again
        self._run.request_stop(
            IncidentStatus.CANCELLED, f"cancelled by {request.responder.name}{_because(request.reason)}"
        )
        return reply

    @workflow.update
    async def set_severity(self, request: SeverityRequest) -> Reply:
        """Set the severity. Alerts and rules leave it alone from then on."""
        if refusal := await self._may_not(request, "set the severity"):
            return refusal
        return self._done(
            SeveritySet(severity=request.severity, by=request.responder.id, reason=request.reason),
            request,
            f"set the severity to {request.severity.label}{_because(request.reason)}",
        )

    @workflow.update
    async def assign(self, request: AssignRequest) -> Reply:
        """Put somebody in charge."""
        if refusal := await self._may_not(request, "assign the incident"):
            return refusal
        person = request.assignee
        return self._done(
            Assigned(
                responder=person.id if person else "",
                name=person.name if person else "",
                reason=request.reason,
            ),
            request,
            f"put {person.name if person else 'nobody'} in charge{_because(request.reason)}",
        )

    @workflow.update
    def note(self, request: NoteRequest) -> Reply:
        """Put a person's words on the timeline."""
        self._run.journal.record(
            NoteAdded(text=request.text), f"Note by {request.responder.name}", actor=_actor(request.responder)
        )
        return Reply(accepted=True, message="noted")

    @workflow.update
    async def upgrade(self, request: UpgradeRequest) -> Reply:
        """Go on with another version of the playbook, if what has been done is the same in it."""
        if refusal := await self._may_not(request, "upgrade the playbook"):
            return refusal
        if self._run.incident.playbook_digest == request.playbook_digest:
            return Reply(accepted=True, message="the incident has this version already")
        if self._run.stop is not None or self._run.incident.status.ended:
            return Reply(accepted=False, message="the incident is ending; there is nothing left to upgrade")
        reasons = what_forbids(self._run.graph, request.graph, self._run.incident)
        if reasons:
            return Reply(accepted=False, message="it cannot be upgraded: " + "; ".join(reasons)[:3000])
        self._upgrade = request
        told = "; ".join(request.differences)[:2000] or "nothing that shows"
        return Reply(accepted=True, message=f"it goes on with the new version; what differs: {told}")

    # ---- changes -----------------------------------------------------------------------------------------------

    @workflow.update
    async def undo(self, request: UndoRequest) -> Reply:
        """Begin to put changes back. It is planned and approved like any change."""
        if self._run.incident.status.ended:
            # Whatever began now would be cut off by the end of this run; a closed incident is opened again for it.
            return Reply(accepted=False, message="the incident is just closing; ask again in a moment")
        effects = self._effects(request)
        if not effects:
            return Reply(accepted=False, message="nothing of ours is in place there")
        # Taken before the first wait: the incident does not close while an undo is being decided on.
        self._deciding += 1
        try:
            if refusal := role_refusal(request.responder, *await self._run.deciders()):
                return self._refuse("undo", request.responder, "undo", refusal)
            self.begin_undo(self.asked_undo(request))
        finally:
            self._deciding -= 1
        return Reply(
            accepted=True, message=f"undo of {len(effects)} change(s) begun; it may ask for approval"
        )

    @workflow.update
    async def extend(self, request: ExtendRequest) -> Reply:
        """Let a change that would be put back by itself stay for longer, or until somebody undoes it."""
        effect = self._run.incident.effects.get(request.step_id)
        if effect is None or not effect.status.in_place:
            return Reply(accepted=False, message=f"step {request.step_id} has no change in place")
        if request.seconds is not None and not self._run.graph_undoable(request.step_id):
            return Reply(
                accepted=False, message=f"the change of {request.step_id} cannot be put back by itself"
            )
        if refusal := await self._may_not(request, f"extend {request.step_id}"):
            return refusal
        at = workflow.now() + timedelta(seconds=request.seconds) if request.seconds is not None else None
        until = f"stays until {at:%Y-%m-%d %H:%M} UTC" if at else "stays until somebody undoes it"
        return self._done(
            EffectExpirySet(step_id=request.step_id, expires_at=at, reason=request.reason),
            request,
            f"extended {request.step_id}: it {until}{_because(request.reason)}",
        )

    # ---- tasks and deadlines -----------------------------------------------------------------------------------

    @workflow.update
    def complete_task(self, request: TaskRequest) -> Reply:
        """Take what a person did, with what the form was filled in with."""
        task = self._run.incident.tasks[request.step_id]
        if task.status is not TaskStatus.OPEN:
            return Reply(accepted=False, message=f"the task is {task.status.value}")
        if refusal := role_refusal(request.responder, task.roles, task.excluded):
            return self._refuse(request.step_id, request.responder, "complete", refusal)
        try:
            values = filled_in(task.form, request.values)
        except FormRefused as refused:
            return Reply(accepted=False, message=str(refused))
        return self._done(
            TaskDone(step_id=request.step_id, responder=request.responder.id, values=values),
            request,
            f"did {task.name}{_because(request.reason)}",
        )

    @complete_task.validator
    def _complete_task_validator(self, request: TaskRequest) -> None:
        self._must_be_open()
        if request.step_id not in self._run.incident.tasks:
            raise ApplicationError(f"this incident has no task {request.step_id}", type="NotFound")

    @workflow.update
    async def meet_clock(self, request: ClockRequest) -> Reply:
        """Note that what a deadline asks for was done."""
        clock = self._run.incident.clocks[request.clock]
        if clock.status is ClockStatus.MET:
            return Reply(accepted=True, message="it is met already")
        if refusal := await self._may_not(request, f"say that {request.clock} is met"):
            return refusal
        return self._done(
            ClockMet(clock=request.clock, reason=request.reason or f"by {request.responder.name}"),
            request,
            f"noted that the deadline is met: {clock.label}{_because(request.reason)}",
        )

    @meet_clock.validator
    def _meet_clock_validator(self, request: ClockRequest) -> None:
        self._must_be_open()
        if request.clock not in self._run.incident.clocks:
            raise ApplicationError(f"this incident has no deadline {request.clock}", type="NotFound")

    # ---- undo --------------------------------------------------------------------------------------------------

    def _effects(self, request: UndoRequest) -> list[str]:
        wanted = request.step_id
        found = effects_to_undo(self._run, None, request.phase)
        ids = [e.step_id for e in found if wanted is None or wanted in (e.step_id, base_id(e.step_id))]
        return list(dict.fromkeys(ids))

    def asked_undo(self, request: UndoRequest) -> UndoUnderWay:
        """Record that a person asked for an undo, and say what step it is."""
        steps = self._effects(request)
        because = _because(request.reason)
        self._run.journal.record(
            NoteAdded(text=f"undo requested{because}"),
            f"{request.responder.name} asked by {request.channel.value} to undo {', '.join(steps)}{because}",
            actor=_actor(request.responder),
        )
        return self._new_undo(f"Undo asked by {request.responder.name}", steps)

    def _new_undo(self, name: str, steps: list[str], *, automatic: bool = False) -> UndoUnderWay:
        taken = {*self._run.incident.steps, *self._undos}
        number = 1
        while f"undo-{number}" in taken:
            number += 1
        return UndoUnderWay(
            step_id=f"undo-{number}",
            name=name,
            phase=self._run.incident.phase or Phase.RECOVERY,
            steps=tuple(steps),
            automatic=automatic,
        )

    def automatic_undo(self, name: str, steps: list[str]) -> UndoUnderWay:
        """An undo that the playbook has decided on, or a timer."""
        return self._new_undo(name, steps, automatic=True)

    def begin_undo(self, undo: UndoUnderWay) -> asyncio.Task[None]:
        """Run an undo as a step of its own: planned, approved, proven, recorded like every other."""
        self._undos[undo.step_id] = undo
        task = asyncio.create_task(self.run_undo(undo, OUTSIDE))

        def ended(task: asyncio.Task[None]) -> None:
            del self._undos[undo.step_id]
            error = None if task.cancelled() else task.exception()
            if error is not None and not isinstance(error, Stopped):
                self._broken = error

        task.add_done_callback(ended)
        return task

    async def run_undo(self, undo: UndoUnderWay, scope: Scope) -> None:
        """Run it to its end."""
        node = undo_node(undo.step_id, undo.name, undo.phase, list(undo.steps))
        await self._life.execute(node, scope, self._actions.undo if undo.automatic else self._actions.work)

    # ---- help --------------------------------------------------------------------------------------------------

    @pause.validator
    def _pause_validator(self, request: PersonRequest) -> None:  # noqa: ARG002
        self._must_be_open()

    @resume.validator
    def _resume_validator(self, request: PersonRequest) -> None:  # noqa: ARG002
        self._must_be_open()

    @cancel.validator
    def _cancel_validator(self, request: PersonRequest) -> None:  # noqa: ARG002
        self._must_be_open()

    @set_severity.validator
    def _set_severity_validator(self, request: SeverityRequest) -> None:  # noqa: ARG002
        self._must_be_open()

    @assign.validator
    def _assign_validator(self, request: AssignRequest) -> None:  # noqa: ARG002
        self._must_be_open()

    @note.validator
    def _note_validator(self, request: NoteRequest) -> None:  # noqa: ARG002
        self._must_be_open()

    @upgrade.validator
    def _upgrade_validator(self, request: UpgradeRequest) -> None:  # noqa: ARG002
        self._must_be_open()

    @undo.validator
    def _undo_validator(self, request: UndoRequest) -> None:  # noqa: ARG002
        self._must_be_open()

    @extend.validator
    def _extend_validator(self, request: ExtendRequest) -> None:  # noqa: ARG002
        self._must_be_open()

    def _must_be_open(self) -> None:
        if not self._run.journal.is_open:
            raise ApplicationError("the incident has not received its first alert yet", type="NotReady")

    def _must_know_step(self, step_id: str, *, reached: bool = True) -> None:
        self._must_be_open()
        known = step_id in self._run.incident.steps
        if not known and not (not reached and base_id(step_id) in self._run.graph.nodes):
            raise ApplicationError(f"this incident has no step {step_id}", type="NotFound")

    async def _may_not(self, request: PersonRequest, what: str) -> Reply | None:
        """The refusal of somebody who may not do something; None if the person may."""
        if self._run.incident.status.ended:
            return Reply(accepted=False, message="the incident has ended")
        if refusal := role_refusal(request.responder, *await self._run.deciders()):
            return self._refuse(what, request.responder, what, refusal)
        return None

    def _done(self, event: AnyEvent, request: PersonRequest, words: str) -> Reply:
        """Record what a person did, and say so to that person."""
        text = f"{request.responder.name} {words}"
        self._run.journal.record(event, text, actor=_actor(request.responder))
        return Reply(accepted=True, message=text)

    def _refuse(self, subject: str, responder: Responder, decision: str, why: str) -> Reply:
        count = self._refusals[subject] = self._refusals.get(subject, 0) + 1
        if count <= REFUSALS_RECORDED:
            self._run.journal.record(
                RefusalRecorded(subject=subject, responder=responder.id, decision=decision, reason=why),
                f"Refused: {responder.name} may not {decision}: {why}",
                actor=_actor(responder),
            )
        return Reply(accepted=False, message=why)


def _because(reason: str) -> str:
    return f" — {reason}" if reason else ""


def _decision(request: SkipRequest, decision: Literal["retry", "skip"]) -> StepDecisionRequest:
    return StepDecisionRequest(
        step_id=request.step_id,
        responder=request.responder,
        decision=decision,
        channel=request.channel,
        reason=request.reason,
    )


def _actor(responder: Responder) -> Actor:
    return Actor(kind=ActorKind.PERSON, id=responder.id, name=responder.name)
