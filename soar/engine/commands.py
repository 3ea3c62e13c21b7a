"""What people tell a running incident: each a Temporal update, each on the timeline with who and why."""

from __future__ import annotations

from typing import Literal

from temporalio import workflow
from temporalio.exceptions import ApplicationError

from soar.engine.action_steps import ActionSteps
from soar.engine.answers import because, person_of
from soar.engine.approvals import Counted, Repeated, judge, outcome, role_refusal
from soar.engine.change_commands import ChangeCommands
from soar.engine.forms import FormRefused, filled_in
from soar.engine.messages import (
    AssignRequest,
    ClockRequest,
    NoteRequest,
    PersonRequest,
    Reply,
    SeverityRequest,
    SkipRequest,
    StepDecisionRequest,
    TaskRequest,
    UpgradeRequest,
    VoteRequest,
)
from soar.engine.run import Run
from soar.engine.steps import StepLife
from soar.engine.upgrade import what_forbids
from soar.model.course import (
    Assigned,
    CancelRequested,
    ClockMet,
    ClockStatus,
    IncidentPaused,
    IncidentResumed,
    SeveritySet,
    SkipRequested,
    TaskDone,
    TaskStatus,
)
from soar.model.events import (
    ApprovalClosed,
    AttentionResolved,
    NoteAdded,
    StepSkipped,
    VoteCast,
)
from soar.model.people import ApprovalStatus
from soar.model.terms import IncidentStatus, StepStatus

__all__ = ["Commands"]


class Commands(ChangeCommands):
    """The updates of an incident's workflow."""

    def __init__(self, run: Run, life: StepLife, actions: ActionSteps) -> None:
        super().__init__(run, life, actions)
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
        person = person_of(request.responder)
        word = "approved" if verdict.vote.decision == "approve" else "denied"
        journal = self._run.journal
        why = because(request.reason)
        journal.record(
            VoteCast(approval_id=approval.id, vote=verdict.vote),
            f"{request.responder.name} {word} by {request.channel.value}: {approval.plan.summary}{why}",
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
        person, journal = person_of(request.responder), self._run.journal
        why = because(request.reason)
        journal.record(
            AttentionResolved(step_id=step.id, decision=request.decision, reason=request.reason),
            f"{request.responder.name} decided by {request.channel.value}: {request.decision} {step.name}{why}",
            actor=person,
        )
        if request.decision == "skip":
            journal.record(
                StepSkipped(
                    step_id=step.id, by=request.responder.id, reason=f"by {request.responder.name}{why}"
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
        run.journal.record(
            SkipRequested(
                step_id=request.step_id,
                by=request.responder.id,
                reason=f"by {request.responder.name}{because(request.reason)}",
            ),
            f"{request.responder.name} asked to skip {request.step_id}{because(request.reason)}",
            actor=person_of(request.responder),
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
            IncidentPaused(reason=request.reason), request, f"paused the incident{because(request.reason)}"
        )

    @workflow.update
    async def resume(self, request: PersonRequest) -> Reply:
        """Go on after a pause."""
        if refusal := await self._may_not(request, "resume"):
            return refusal
        if self._run.incident.paused is None:
            return Reply(accepted=True, message="it is not paused")
        return self._done(
            IncidentResumed(reason=request.reason), request, f"resumed the incident{because(request.reason)}"
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
            f"cancelled the incident{because(request.reason)}",
        )
        self._run.abandoned = self._run.abandoned or again
        self._run.request_stop(
            IncidentStatus.CANCELLED, f"cancelled by {request.responder.name}{because(request.reason)}"
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
            f"set the severity to {request.severity.label}{because(request.reason)}",
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
            f"put {person.name if person else 'nobody'} in charge{because(request.reason)}",
        )

    @workflow.update
    def note(self, request: NoteRequest) -> Reply:
        """Put a person's words on the timeline."""
        self._run.journal.record(
            NoteAdded(text=request.text),
            f"Note by {request.responder.name}",
            actor=person_of(request.responder),
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
            f"did {task.name}{because(request.reason)}",
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
            f"noted that the deadline is met: {clock.label}{because(request.reason)}",
        )

    @meet_clock.validator
    def _meet_clock_validator(self, request: ClockRequest) -> None:
        self._must_be_open()
        if request.clock not in self._run.incident.clocks:
            raise ApplicationError(f"this incident has no deadline {request.clock}", type="NotFound")


def _decision(request: SkipRequest, decision: Literal["retry", "skip"]) -> StepDecisionRequest:
    return StepDecisionRequest(
        step_id=request.step_id,
        responder=request.responder,
        decision=decision,
        channel=request.channel,
        reason=request.reason,
    )
