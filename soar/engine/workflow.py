"""The incident's workflow."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

from temporalio import workflow
from temporalio.common import SearchAttributeKey, SearchAttributeUpdate
from temporalio.exceptions import ApplicationError

from soar.engine.approvals import Counted, Repeated, judge, outcome, role_refusal
from soar.engine.changes import effects_to_undo, undo_node
from soar.engine.delivery import Delivery
from soar.engine.interpreter import Interpreter
from soar.engine.messages import (
    WORKFLOW_TYPE,
    IncidentStart,
    NoteRequest,
    Reply,
    StepDecisionRequest,
    UndoRequest,
    VoteRequest,
)
from soar.engine.run import Run, StepFailure, Stopped
from soar.engine.steps import StepRunner
from soar.model.alert import Alert
from soar.model.events import (
    AlertJoined,
    ApprovalClosed,
    AttentionResolved,
    IncidentClosed,
    IncidentOpened,
    IncidentReopened,
    NoteAdded,
    RefusalRecorded,
    StepSkipped,
    VoteCast,
)
from soar.model.incident import Incident
from soar.model.people import ApprovalStatus, Responder
from soar.model.terms import AlertState, IncidentStatus, Phase, StepStatus
from soar.model.timeline import Actor, ActorKind
from soar.playbook.graph import UNDO, ActionNode

__all__ = ["SEARCH_ATTRIBUTES", "IncidentWorkflow"]

STATUS = SearchAttributeKey.for_keyword("SoarStatus")
PHASE = SearchAttributeKey.for_keyword("SoarPhase")
SEVERITY = SearchAttributeKey.for_int("SoarSeverity")
PLAYBOOK = SearchAttributeKey.for_keyword("SoarPlaybook")
ACCOUNT = SearchAttributeKey.for_keyword("SoarAccount")
SEARCH_ATTRIBUTES = (STATUS, PHASE, SEVERITY, PLAYBOOK, ACCOUNT)
"""What open incidents can be listed by."""

SEEN_LIMIT = 20_000
"""How many alert keys are remembered against repetition; the inbox remembers them all."""
REFUSALS_RECORDED = 20
"""Refused attempts per approval or step that get an entry of their own; the rest are only answered."""


@workflow.defn(name=WORKFLOW_TYPE)
class IncidentWorkflow:
    """One incident, from its first alert to its report."""

    @workflow.init
    def __init__(self, start: IncidentStart) -> None:
        # Alerts and updates may arrive before the first line of `run`: everything they touch exists from here on.
        self._run = Run(start)
        self._delivery = Delivery(self._run.journal, chat=start.chat)
        self._steps = StepRunner(self._run, self._delivery)
        self._inbox: list[Alert] = list(start.alerts)
        self._seen: dict[str, None] = {}
        self._late: list[Alert] = []
        self._refusals: dict[str, int] = {}
        self._undos = 0
        self._undoing = 0
        self._broken: BaseException | None = None
        self._shown: dict[str, object] = {}
        before = start.resume
        self._ended_as = (before.status, before.closed_reason) if before else (IncidentStatus.CLOSED, "")

    @workflow.run
    async def run(self, start: IncidentStart) -> str:  # noqa: ARG002 - `__init__` got it
        """Run the incident to its end.

        Returns:
            The status that it ended in.
        """
        life = asyncio.create_task(self._live())
        while not life.done():
            try:
                await workflow.wait_condition(lambda: life.done() or self._broken is not None)
                if self._broken is not None:
                    # A fault of ours: it fails the workflow task, which is tried again once the fault is mended.
                    raise self._broken
            except asyncio.CancelledError:
                # Nothing is torn apart: what has begun ends and is recorded, then the incident closes as cancelled.
                self._run.request_stop(IncidentStatus.CANCELLED, "the incident was cancelled")
        life.result()
        if self._late:
            # They came after the last step had ended. They are not lost: they open the next incident.
            workflow.continue_as_new(self._next())
        return self._run.incident.status.value

    async def _live(self) -> None:
        start = self._run.start
        if start.resume is None:
            await workflow.wait_condition(lambda: bool(self._inbox))
            self._open(self._inbox[0])
        else:
            self._reopen()
        self._take_alerts()
        self._delivery.start()
        publisher = asyncio.create_task(self._publish())
        status, reason = await (self._undo_only(start.undo) if start.undo else self._play())
        await workflow.wait_condition(lambda: self._undoing == 0)
        await self._close(status, reason)
        await workflow.wait_condition(workflow.all_handlers_finished)
        await self._delivery.finish()
        publisher.cancel()

    def _next(self) -> IncidentStart:
        return self._run.start.model_copy(
            update={
                "incident_id": "INC-" + base64.b32encode(workflow.uuid4().bytes).decode()[:8],
                "title": self._late[0].title,
                "alerts": tuple(self._late),
                "resume": None,
                "undo": None,
            }
        )

    async def _play(self) -> tuple[IncidentStatus, str]:
        run = self._run
        try:
            await Interpreter(run, self._steps).play()
        except Stopped:
            return run.stop or IncidentStatus.FAILED, run.stop_reason
        missing = run.incident.incomplete
        if missing:
            return IncidentStatus.CLOSED_INCOMPLETE, "not done: " + ", ".join(
                f"{s.id} ({s.status.value})" for s in missing
            )
        return IncidentStatus.CLOSED, ""

    async def _undo_only(self, request: UndoRequest) -> tuple[IncidentStatus, str]:
        """A closed incident was opened again to put changes back; it closes as it was."""
        if refusal := role_refusal(request.responder, *await self._run.deciders()):
            self._refuse("undo", request.responder, "undo", refusal)
            return self._ended_as
        try:
            await self._undo(request)
        except Stopped as stopped:
            workflow.logger.info("the undo ended early: %s", stopped)  # the timeline has the step and why
        return self._ended_as

    # ---- opening and closing -----------------------------------------------------------------------------------

    def _open(self, alert: Alert) -> None:
        start, info = self._run.start, workflow.info()
        contains = tuple(
            node.id
            for node in start.graph.nodes.values()
            if isinstance(node, ActionNode)
            and node.phase is Phase.CONTAINMENT
            and node.spec.risk.value != "read"
            and node.action != UNDO
        )
        self._run.journal.record(
            IncidentOpened(
                incident_id=start.incident_id,
                workflow_id=info.workflow_id,
                run_id=info.run_id,
                title=start.title,
                severity=alert.severity,
                account=alert.account,
                region=alert.region,
                correlation_key=start.correlation_key,
                playbook=start.playbook,
                playbook_digest=start.playbook_digest,
                contains=contains,
            ),
            f"Incident opened: {start.title}",
            phase=Phase.PREPARATION,
        )

    def _reopen(self) -> None:
        info = workflow.info()
        self._run.journal.record(
            IncidentReopened(workflow_id=info.workflow_id, run_id=info.run_id, reason="undo"),
            "Incident opened again to put changes back",
        )

    async def _close(self, status: IncidentStatus, reason: str) -> None:
        journal = self._run.journal
        journal.record(
            IncidentClosed(status=status, reason=reason),
            f"Incident {status.value.replace('_', ' ')}" + (f": {reason}" if reason else ""),
        )
        try:
            await self._steps.write_report()
        except StepFailure as failure:
            journal.record(
                NoteAdded(text=f"The final report could not be written: {failure.error.message}"),
                "The final report could not be written",
            )

    async def _publish(self) -> None:
        """Keep the search attributes as the state is; one event for each real change."""
        while True:
            await workflow.wait_condition(lambda: self._attributes() != self._shown)
            wanted = self._attributes()
            updates: list[SearchAttributeUpdate[Any]] = []
            for key in SEARCH_ATTRIBUTES:
                value = wanted[key.name]
                if value != self._shown.get(key.name) and value != "":
                    updates.append(key.value_set(value))  # type: ignore[arg-type]
            self._shown = wanted
            if updates:
                workflow.upsert_search_attributes(updates)

    def _attributes(self) -> dict[str, object]:
        incident = self._run.incident
        return {
            STATUS.name: incident.status.value,
            PHASE.name: incident.phase.value if incident.phase else "",
            SEVERITY.name: int(incident.severity),
            PLAYBOOK.name: incident.playbook,
            ACCOUNT.name: incident.account,
        }

    # ---- alerts ------------------------------------------------------------------------------------------------

    @workflow.signal
    def alerts(self, batch: list[Alert]) -> None:
        """Alerts of this incident's correlation key; the same alert twice changes nothing."""
        self._inbox.extend(batch)
        if self._run.journal.is_open:
            self._take_alerts()

    def _take_alerts(self) -> None:
        incident = self._run.incident
        for alert in self._inbox:
            if alert.key in self._seen:
                continue
            self._seen[alert.key] = None
            if len(self._seen) > SEEN_LIMIT:
                del self._seen[next(iter(self._seen))]
            if incident.status.ended and alert.state is not AlertState.RESOLVED:
                self._late.append(alert)
                continue
            after = incident.contained_at is not None
            note = " after containment" if after and alert.state is not AlertState.RESOLVED else ""
            self._run.journal.record(
                AlertJoined(alert=alert, after_containment=after),
                f"Alert{note} from {alert.source} ({alert.state.value}): {alert.title}",
                actor=Actor(kind=ActorKind.SOURCE, id=alert.source),
            )
        self._inbox.clear()

    # ---- people ------------------------------------------------------------------------------------------------

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
        step = self._run.incident.steps[request.step_id]
        if step.status is not StepStatus.ATTENTION:
            return Reply(
                accepted=False, message=f"step {step.id} waits for no decision: it is {step.status.value}"
            )
        if refusal := role_refusal(request.responder, step.attention_roles, step.attention_excluded):
            return self._refuse(step.id, request.responder, request.decision, refusal)
        person, journal = _actor(request.responder), self._run.journal
        because = f" — {request.reason}" if request.reason else ""
        journal.record(
            AttentionResolved(step_id=step.id, decision=request.decision, reason=request.reason),
            f"{request.responder.name} decided by {request.channel.value}: {request.decision} {step.name}{because}",
            actor=person,
        )
        if request.decision == "skip":
            journal.record(
                StepSkipped(step_id=step.id, reason=f"by {request.responder.name}{because}"),
                f"Skipped: {step.name}",
                actor=person,
            )
        elif request.decision == "stop":
            self._run.request_stop(
                IncidentStatus.FAILED, f"{request.responder.name} stopped at step {step.id}"
            )
        return Reply(accepted=True, message=request.decision)

    @decide_step.validator
    def _decide_step_validator(self, request: StepDecisionRequest) -> None:
        self._must_be_open()
        if request.step_id not in self._run.incident.steps:
            raise ApplicationError(f"this incident has no step {request.step_id}", type="NotFound")

    @workflow.update
    async def undo(self, request: UndoRequest) -> Reply:
        """Begin to put changes back. It is planned and approved like any change."""
        if self._run.incident.status.ended:
            # Whatever began now would be cut off by the end of this run; a closed incident is opened again for it.
            return Reply(accepted=False, message="the incident is just closing; ask again in a moment")
        effects = effects_to_undo(self._run, [request.step_id] if request.step_id else None, request.phase)
        if not effects:
            return Reply(accepted=False, message="nothing of ours is in place there")
        # Taken before the first wait: the incident does not close while an undo is being decided on.
        self._undoing += 1
        if refusal := role_refusal(request.responder, *await self._run.deciders()):
            self._undoing -= 1
            return self._refuse("undo", request.responder, "undo", refusal)
        asyncio.create_task(self._undo(request)).add_done_callback(self._undo_ended)
        return Reply(
            accepted=True, message=f"undo of {len(effects)} change(s) begun; it may ask for approval"
        )

    @undo.validator
    def _undo_validator(self, request: UndoRequest) -> None:  # noqa: ARG002
        self._must_be_open()

    def _undo_ended(self, task: asyncio.Task[None]) -> None:
        self._undoing -= 1
        error = task.exception()
        if error is not None and not isinstance(error, Stopped):
            self._broken = error

    async def _undo(self, request: UndoRequest) -> None:
        """Run an undo as a step of its own: planned, approved, proven, recorded like every other."""
        effects = effects_to_undo(self._run, [request.step_id] if request.step_id else None, request.phase)
        taken = self._run.incident.steps
        while (step_id := f"undo-{self._undos + 1}") in taken:
            self._undos += 1
        self._undos += 1
        because = f" — {request.reason}" if request.reason else ""
        self._run.journal.record(
            NoteAdded(text=f"undo requested{because}"),
            f"{request.responder.name} asked by {request.channel.value} to undo "
            + ", ".join(dict.fromkeys(e.step_id for e in effects))
            + because,
            actor=_actor(request.responder),
        )
        node = undo_node(
            step_id,
            f"Undo asked by {request.responder.name}",
            self._run.incident.phase or Phase.RECOVERY,
            list(dict.fromkeys(e.step_id for e in effects)),
        )
        await self._steps.execute(node)

    @workflow.update
    def note(self, request: NoteRequest) -> Reply:
        """Put a person's words on the timeline."""
        self._run.journal.record(
            NoteAdded(text=request.text), f"Note by {request.responder.name}", actor=_actor(request.responder)
        )
        return Reply(accepted=True, message="noted")

    @note.validator
    def _note_validator(self, request: NoteRequest) -> None:  # noqa: ARG002
        self._must_be_open()

    @workflow.query
    def state(self) -> Incident:
        """The incident as it is now."""
        return self._run.incident

    def _must_be_open(self) -> None:
        if not self._run.journal.is_open:
            raise ApplicationError("the incident has not received its first alert yet", type="NotReady")

    def _refuse(self, subject: str, responder: Responder, decision: str, why: str) -> Reply:
        count = self._refusals[subject] = self._refusals.get(subject, 0) + 1
        if count <= REFUSALS_RECORDED:
            self._run.journal.record(
                RefusalRecorded(subject=subject, responder=responder.id, decision=decision, reason=why),
                f"Refused: {responder.name} may not {decision}: {why}",
                actor=_actor(responder),
            )
        return Reply(accepted=False, message=why)


def _actor(responder: Responder) -> Actor:
    return Actor(kind=ActorKind.PERSON, id=responder.id, name=responder.name)
