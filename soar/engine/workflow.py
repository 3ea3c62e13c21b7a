"""The incident's workflow."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import SearchAttributeKey, SearchAttributeUpdate

from soar.engine.action_steps import ActionSteps
from soar.engine.activities import StepFailure
from soar.engine.approvals import role_refusal
from soar.engine.commands import Commands
from soar.engine.delivery import Delivery
from soar.engine.interpreter import Interpreter
from soar.engine.messages import WORKFLOW_TYPE, Carry, ChildResult, IncidentStart, UndoRequest
from soar.engine.people_steps import WaitingSteps
from soar.engine.permission import Gate
from soar.engine.run import Run, Stopped
from soar.engine.scope import Scope
from soar.engine.steps import StepLife
from soar.engine.upgrade import upgraded
from soar.engine.watch import Watch
from soar.model.alert import Alert
from soar.model.base import digest_of
from soar.model.change import Effect
from soar.model.course import ChildEnded, EffectExpirySet, OutputsSet, RunContinued
from soar.model.events import (
    AlertJoined,
    IncidentClosed,
    IncidentOpened,
    IncidentReopened,
    NoteAdded,
)
from soar.model.incident import Incident
from soar.model.terms import AlertState, IncidentStatus, Phase
from soar.model.timeline import Actor, ActorKind
from soar.playbook.contains import contained_by
from soar.playbook.expressions import ExpressionError, evaluate

__all__ = ["SEARCH_ATTRIBUTES", "IncidentWorkflow"]

STATUS = SearchAttributeKey.for_keyword("SoarStatus")
PHASE = SearchAttributeKey.for_keyword("SoarPhase")
SEVERITY = SearchAttributeKey.for_int("SoarSeverity")
PLAYBOOK = SearchAttributeKey.for_keyword("SoarPlaybook")
ACCOUNT = SearchAttributeKey.for_keyword("SoarAccount")
SEARCH_ATTRIBUTES = (STATUS, PHASE, SEVERITY, PLAYBOOK, ACCOUNT)
"""What open incidents can be listed by."""

SEEN_LIMIT = 20_000
"""How many alerts are remembered against repetition; the inbox remembers them all."""
DRAIN = timedelta(seconds=10)
"""How long new steps are held back for the change to a new run before the old one goes on a little further."""
PATIENCE = 500
"""Events of history until the change to a new run is tried again."""
HISTORY_LIMIT = 30_000
"""Events of history at which everything is held back until the change: Temporal ends a run at 51,200."""


# Without the SDK's sandbox, which sees only modules that it imports anew for each run: of ours it could not see any for
# what they cost, and it takes a quarter of the worker's time. A test reads every module that workflows use instead.
@workflow.defn(name=WORKFLOW_TYPE, sandboxed=False)
class IncidentWorkflow(Commands):
    """One incident, from its first alert to its report."""

    @workflow.init
    def __init__(self, start: IncidentStart) -> None:
        # Alerts and updates may arrive before the first line of `run`: everything they touch exists from here on.
        run = Run(start)
        carry = start.carry
        told = carry.told if carry else 0
        self._delivery = Delivery(run, told=told)
        gate = Gate(run)
        actions = ActionSteps(run, self._delivery, gate)
        super().__init__(run, StepLife(run), actions)
        self._interpreter = Interpreter(run, self._life, actions, WaitingSteps(run, gate))
        self._watch = Watch(run, self._put_back)
        self._inbox: list[Alert] = list(carry.waiting if carry else start.alerts)
        self._seen: dict[str, None] = dict.fromkeys(carry.seen) if carry else {}
        self._late: list[Alert] = list(carry.late) if carry else []
        self._shown: dict[str, object] = _shown_already() if start.engine >= 2 else {}
        self._tried_at = 0
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
                await workflow.wait_condition(
                    lambda: life.done() or self._broken is not None or self._should_continue()
                )
                if self._broken is not None:
                    # A fault of ours: it fails the workflow task, which is tried again once the fault is mended.
                    raise self._broken
                if not life.done() and await self._drained(life):
                    workflow.continue_as_new(self._continued())
            except asyncio.CancelledError:
                # Nothing is torn apart: what has begun ends and is recorded, then the incident closes as cancelled.
                self._run.request_stop(IncidentStatus.CANCELLED, "the incident was cancelled")
        life.result()
        if self._late:
            # They came after the last step had ended. They are not lost: they open the next incident.
            workflow.continue_as_new(self._next())
        return self._run.incident.status.value

    async def _live(self) -> None:
        run, start = self._run, self._run.start
        if start.carry is not None:
            self._take_up(start.carry)
        elif start.resume is not None:
            self._reopen()
        else:
            await workflow.wait_condition(lambda: bool(self._inbox))
            self._open(self._inbox[0])
        self._take_alerts()
        self._delivery.start()
        publisher = asyncio.create_task(self._publish())
        watcher = asyncio.create_task(self._watch.run())
        watcher.add_done_callback(self._watch_ended)
        for undo in start.carry.undos if start.carry else ():
            self.begin_undo(undo)
        status, reason = await (self._undo_only(start.undo) if start.undo else self._play())
        # A change that is put back by itself is not over yet, and neither is the incident.
        await workflow.wait_condition(
            lambda: not (self._deciding or self._undos) and (run.abandoned or not self._watch.expiring)
        )
        await self._close(status, reason)
        await workflow.wait_condition(workflow.all_handlers_finished)
        await self._tell_parent()
        await self._delivery.finish()
        publisher.cancel()
        watcher.cancel()

    def _watch_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            self._broken = task.exception()

    def _next(self) -> IncidentStart:
        return self._run.start.model_copy(
            update={
                "incident_id": "INC-" + base64.b32encode(workflow.uuid4().bytes).decode()[:8],
                "title": self._late[0].title,
                "alerts": tuple(self._late),
                "resume": None,
                "undo": None,
                "carry": None,
                "parent": None,
            }
        )

    async def _play(self) -> tuple[IncidentStatus, str]:
        run = self._run
        try:
            if run.stop is None:
                await self._interpreter.play()
        except Stopped:
            run.request_stop(IncidentStatus.FAILED, "the playbook ended early")
        if run.stop is not None:
            await self._after(run.stop)
            return run.stop, run.stop_reason
        self._set_outputs()
        missing = run.incident.incomplete
        if missing:
            return IncidentStatus.CLOSED_INCOMPLETE, "not done: " + ", ".join(
                f"{s.id} ({s.status.value})" for s in missing
            )
        return IncidentStatus.CLOSED, ""

    async def _after(self, status: IncidentStatus) -> None:
        """What the playbook says about its own failure, or about being cancelled."""
        run, graph = self._run, self._run.graph
        scope = Scope(whatever=True)
        wanted = graph.undo_on_cancel if status is IncidentStatus.CANCELLED else graph.undo_on_failure
        with contextlib.suppress(Stopped):  # the timeline has what failed, and why
            steps = list(dict.fromkeys(e.step_id for e in run.incident.residual))
            if wanted and steps and not self._undos and not run.start.dry_run:
                word = "cancel" if status is IncidentStatus.CANCELLED else "failure"
                undo = self.automatic_undo(f"Undo after the {word}", steps)
                self._undos[undo.step_id] = undo
                try:
                    await self.run_undo(undo, scope)
                finally:
                    del self._undos[undo.step_id]
            if status is IncidentStatus.FAILED:
                await self._interpreter.after_failure(scope)

    async def _undo_only(self, request: UndoRequest) -> tuple[IncidentStatus, str]:
        """A closed incident was opened again to put changes back; it closes as it was."""
        if self._run.start.carry is not None:
            return self._ended_as
        if refusal := role_refusal(request.responder, *await self._run.deciders()):
            self._refuse("undo", request.responder, "undo", refusal)
            return self._ended_as
        try:
            await self.begin_undo(self.asked_undo(request))
        except Stopped as stopped:
            workflow.logger.info("the undo ended early: %s", stopped)  # the timeline has the step and why
        return self._ended_as

    def _put_back(self, effect: Effect) -> None:
        """The time of a change is over."""
        undo = self.automatic_undo(f"Its time is over: {effect.plan.summary}", [effect.step_id])
        self.begin_undo(undo).add_done_callback(lambda _: self._settle(effect.step_id))

    def _settle(self, step_id: str) -> None:
        """A change that was not put back, although its time was over, stays until somebody undoes it."""
        effect = self._run.incident.effects[step_id]
        if effect.status.in_place and effect.expires_at is not None and effect.expires_at <= workflow.now():
            self._run.journal.record(
                EffectExpirySet(
                    step_id=step_id, expires_at=None, reason="it could not be put back by itself"
                ),
                f"Stays in place, because it could not be put back by itself: {effect.plan.summary}",
            )

    # ---- opening and closing -----------------------------------------------------------------------------------

    def _open(self, alert: Alert) -> None:
        start, info = self._run.start, workflow.info()
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
                contains=contained_by(start.graph),
                parent=start.parent.incident_id if start.parent else "",
                inputs=start.inputs,
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

    def _take_up(self, carry: Carry) -> None:
        """Go on where the run before stopped."""
        self._run.journal.unstored.extend(carry.unstored)
        self._run.journal.record(
            RunContinued(run_id=workflow.info().run_id),
            "The workflow goes on in a new run, to keep its history short",
        )

    def _set_outputs(self) -> None:
        run, values = self._run, dict[str, Any]()
        for name, expression in run.graph.outputs.items():
            try:
                values[name] = evaluate(expression, run.variables())
            except ExpressionError as problem:
                workflow.logger.info("output %s has no value: %s", name, problem)
                values[name] = None
        if values:
            run.journal.record(OutputsSet(values=values), f"Outputs: {', '.join(values)}")

    async def _close(self, status: IncidentStatus, reason: str) -> None:
        journal = self._run.journal
        for task in self._run.incident.open_tasks:
            workflow.logger.warning("task %s was open at the end", task.step_id)
        journal.record(
            IncidentClosed(status=status, reason=reason),
            f"Incident {status.value.replace('_', ' ')}" + (f": {reason}" if reason else ""),
        )
        try:
            await self._actions.write_report()
        except StepFailure as failure:
            journal.record(
                NoteAdded(text=f"The final report could not be written: {failure.error.message}"),
                "The final report could not be written",
            )

    async def _tell_parent(self) -> None:
        parent, incident = self._run.start.parent, self._run.incident
        if parent is None:
            return
        handle = workflow.get_external_workflow_handle(parent.workflow_id)
        result = ChildResult(
            step_id=parent.step_id,
            status=incident.status,
            reason=incident.closed_reason,
            outputs=incident.outputs,
        )
        try:
            await handle.signal("child_ended", result)
        except Exception as error:  # noqa: BLE001 - it has ended before this one; nobody waits
            workflow.logger.warning("%s was not told: %s", parent.incident_id, error)

    @workflow.signal
    def child_ended(self, result: ChildResult) -> None:
        """A called playbook came to its end."""
        step = self._run.incident.steps.get(result.step_id) if self._run.journal.is_open else None
        if step is None or step.status.ended:
            return
        self._run.journal.record(
            ChildEnded(
                step_id=result.step_id, status=result.status, reason=result.reason, outputs=result.outputs
            ),
            f"{step.child} ended: {result.status.value.replace('_', ' ')}",
            phase=step.phase,
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

    # ---- going on in a new run ---------------------------------------------------------------------------------

    def _should_continue(self) -> bool:
        """Whether the history has grown long, or another version of the playbook waits to be taken up."""
        if not self._run.journal.is_open or self._run.incident.status.ended:
            return False
        if self._upgrade is not None:
            return True
        info = workflow.info()
        length = info.get_current_history_length()
        return info.is_continue_as_new_suggested() and length >= self._tried_at + PATIENCE

    async def _drained(self, life: asyncio.Task[None]) -> bool:
        """Hold new steps back until nothing is under way.

        Returns:
            Whether it came to that; if not, the steps go on, and it is tried again later.
        """
        run = self._run
        run.draining = True
        length = workflow.info().get_current_history_length()
        at_limit = length >= HISTORY_LIMIT
        try:
            await workflow.wait_condition(
                lambda: (
                    life.done()
                    or (
                        run.idle
                        and not self._deciding
                        and workflow.all_handlers_finished()
                        and (self._delivery.idle or at_limit)
                    )
                ),
                timeout=None if at_limit else DRAIN,
            )
        except TimeoutError:
            self._tried_at = workflow.info().get_current_history_length()
            run.draining = False
            return False
        if life.done() or run.incident.status.ended:
            run.draining = False
            return False
        return True

    def _continued(self) -> IncidentStart:
        """What the next run starts with."""
        run = self._run
        start = run.start.model_copy(update={"alerts": (), "resume": None})
        if self._upgrade is not None:
            start = upgraded(run, self._upgrade, start)
        return start.model_copy(
            update={
                "carry": Carry(
                    incident=run.incident,
                    unstored=tuple(run.journal.unstored),
                    told=self._delivery.told,
                    seen=tuple(self._seen),
                    waiting=tuple(self._inbox),
                    late=tuple(self._late),
                    refusals=self._refusals,
                    undos=tuple(self._undos.values()),
                    stop=run.stop,
                    stop_reason=run.stop_reason,
                )
            }
        )

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
            seen = digest_of(alert.key)[:20]
            if seen in self._seen:
                continue
            self._seen[seen] = None
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
            if self._run.listening:
                self._run.joined.append(alert)
        self._inbox.clear()

    @workflow.query
    def state(self) -> Incident:
        """The incident as it is now."""
        return self._run.incident


def _shown_already() -> dict[str, object]:
    """The search attributes that the workflow was started with, as far as they are ours."""
    known = workflow.info().typed_search_attributes
    return {key.name: known.get(key, "") for key in SEARCH_ATTRIBUTES}
