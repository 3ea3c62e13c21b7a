"""One action step, from its condition to its proven end."""

from __future__ import annotations

from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError

from soar.actions.calls import ActionCall
from soar.engine.changes import (
    CatalogueChange,
    ChangeKind,
    Superseded,
    UndoChange,
    effects_to_undo,
    run_action,
)
from soar.engine.delivery import PATIENT, Delivery
from soar.engine.messages import ReportRequest
from soar.engine.permission import Gate
from soar.engine.run import Run, StepFailure, Stopped
from soar.model.base import JsonObject
from soar.model.change import ErrorInfo, Result
from soar.model.events import (
    ApprovalClosed,
    PlanMade,
    ReportWritten,
    StepFailed,
    StepNeedsAttention,
    StepSkipped,
    StepStarted,
    StepSucceeded,
)
from soar.model.people import ApprovalStatus
from soar.model.terms import IncidentStatus, Risk, StepStatus
from soar.playbook.expressions import ExpressionError, evaluate, render
from soar.playbook.graph import REPORT, UNDO, ActionNode

__all__ = ["StepRunner"]


class StepRunner:
    """Runs action steps.

    Args:
        run: The incident that they belong to.
        delivery: Needed by the one step that reads the store: the report.
    """

    def __init__(self, run: Run, delivery: Delivery) -> None:
        self._run, self._delivery, self._gate = run, delivery, Gate(run)

    async def execute(self, node: ActionNode) -> None:
        """Run a step to an end that the timeline tells.

        Raises:
            Stopped: The playbook goes no further.
        """
        while True:
            self._run.check()
            try:
                if self._begin(node):
                    await self._attempt(node)
                return
            except StepFailure as failure:
                error = failure.error
            except Stopped as stopped:
                # Stopped by somebody while it waited: nothing of it is in the making any more.
                self._record_failure(node, ErrorInfo(type="Stopped", message=str(stopped)))
                raise
            if await self._failed(node, error):
                return

    def _begin(self, node: ActionNode) -> bool:
        """Evaluate the step's condition, and record the step as started or as skipped.

        Returns:
            Whether to go on with it.
        """
        journal = self._run.journal
        variables = self._run.variables()
        first = node.id not in self._run.incident.steps
        try:
            wanted = node.when is None or bool(evaluate(node.when, variables))
        except ExpressionError as problem:
            if first:
                self._record_start(node)
            raise StepFailure(_bad_template("when", problem)) from problem
        if wanted:
            if first:
                self._record_start(node)
            return True
        reason = f"its condition did not hold: {node.when}"
        journal.record(
            StepSkipped(step_id=node.id, name=node.name, action=node.action, reason=reason),
            f"Skipped: {node.name}: {reason}",
            phase=node.phase,
        )
        return False

    def _record_start(self, node: ActionNode) -> None:
        self._run.journal.record(
            StepStarted(step_id=node.id, name=node.name, action=node.action, risk=node.spec.risk),
            f"Started: {node.name}",
            phase=node.phase,
        )

    def _record_failure(self, node: ActionNode, error: ErrorInfo) -> None:
        self._run.journal.record(
            StepFailed(step_id=node.id, error=error),
            f"Failed: {node.name}: {error.message}",
            phase=node.phase,
        )

    async def _attempt(self, node: ActionNode) -> None:
        try:
            params = render(node.params, self._run.variables())
        except ExpressionError as problem:
            raise StepFailure(_bad_template("with", problem)) from problem
        if not isinstance(params, dict):
            raise TypeError(f"the parameters of step {node.id} are no mapping")
        if node.action == REPORT:
            await self._report(node)
        elif node.action == UNDO:
            await self._change(node, UndoChange(self._run, node, params))
        elif node.spec.risk is Risk.READ:
            await self._read(node, params)
        else:
            await self._change(node, CatalogueChange(self._run, node, params))

    async def _read(self, node: ActionNode, params: JsonObject) -> None:
        incident = self._run.incident
        call = ActionCall(
            incident_id=incident.id,
            step_id=node.id,
            account=incident.account,
            region=incident.region,
            params=params,
        )
        result = await run_action(node, node.action, call, Result, node.timeout or node.spec.plan_timeout)
        self._succeeded(node, result, changed=False)

    def _succeeded(self, node: ActionNode, result: Result, *, changed: bool) -> None:
        # What a change collected is on record with its `effect.applied`.
        self._run.journal.record(
            StepSucceeded(step_id=node.id, changed=changed, result=result),
            result.summary,
            phase=node.phase,
            evidence=() if changed else result.evidence,
        )

    async def _change(self, node: ActionNode, change: ChangeKind) -> None:
        """plan → policy → approval → apply → verify, and from the start again when the target drifts in between."""
        run, journal = self._run, self._run.journal
        supersedes = ""
        drift: tuple[str, ...] = ()
        while True:
            plan = await change.plan()
            digest = plan.digest(run.start.playbook_digest)
            journal.record(
                PlanMade(step_id=node.id, plan=plan, plan_digest=digest),
                f"Planned: {plan.summary}",
                phase=node.phase,
            )
            if not plan.changes:
                self._succeeded(node, Result(summary=f"Already so: {plan.summary}"), changed=False)
                return
            approval_id = await self._gate.permitted(node, plan, supersedes, drift)
            if approval_id is None:
                return
            run.check()
            try:
                result = await change.commit(plan)
            except Superseded as moved:
                drift = moved.drift
                supersedes = approval_id
                if approval_id:
                    journal.record(
                        ApprovalClosed(
                            approval_id=approval_id,
                            outcome=ApprovalStatus.SUPERSEDED,
                            reason="the target changed; the votes are void",
                        ),
                        "The target changed after the approval; nothing was applied and the votes are void",
                        phase=node.phase,
                    )
                continue
            self._succeeded(node, result, changed=True)
            return

    async def _report(self, node: ActionNode) -> None:
        written = await self.write_report()
        self._succeeded(
            node, Result(summary="Report written", data={"digests": dict(written.digests)}), changed=False
        )

    async def write_report(self) -> ReportWritten:
        """Have the report written from everything recorded so far.

        Raises:
            StepFailure: It could not be written; the incident's data is not touched by that.
        """
        await self._delivery.stored()
        incident = self._run.incident
        try:
            written: ReportWritten = await workflow.execute_activity(
                "report.write",
                ReportRequest(
                    incident_id=incident.id, head_seq=incident.head_seq, head_hash=incident.head_hash
                ),
                result_type=ReportWritten,
                start_to_close_timeout=timedelta(seconds=120),
                schedule_to_close_timeout=timedelta(minutes=10),
                retry_policy=PATIENT,
            )
        except ActivityError as error:
            raise StepFailure.from_activity(error) from error
        self._run.journal.record(written, f"Report written, up to entry {incident.head_seq}")
        return written

    async def _failed(self, node: ActionNode, error: ErrorInfo) -> bool:
        """Do what the step's `on_error` says.

        Returns:
            Whether the step has ended; false: try it again.

        Raises:
            Stopped: The playbook goes no further.
        """
        run = self._run
        if node.on_error == "ask" and run.stop is None:
            return await self._ask(node, error)
        if node.on_error == "undo":
            await self._undo_phase(node)
        if node.on_error == "continue" and run.stop is None:
            self._record_failure(node, error)
            return True
        raise self._given_up(node, error)

    def _given_up(self, node: ActionNode, error: ErrorInfo) -> Stopped:
        self._record_failure(node, error)
        self._run.request_stop(IncidentStatus.FAILED, f"step {node.id} failed: {error.message}")
        return Stopped(self._run.stop_reason)

    async def _undo_phase(self, node: ActionNode) -> None:
        """Put back what this phase has changed so far, the failed step's own part included."""
        changed = [e.step_id for e in effects_to_undo(self._run, None, node.phase)]
        undo = UndoChange(self._run, node, {"steps": list(dict.fromkeys(changed))})
        try:
            await undo.commit(await undo.plan())
        except StepFailure as failure:
            # `effect.undo_refused` is on the timeline; the step's own failure still has to be told.
            workflow.logger.warning("phase %s was not wholly undone: %s", node.phase, failure.error.message)

    async def _ask(self, node: ActionNode, error: ErrorInfo) -> bool:
        run, journal = self._run, self._run.journal
        roles, excluded = await run.deciders()
        journal.record(
            StepNeedsAttention(step_id=node.id, error=error, roles=roles, excluded=excluded),
            f"Needs a decision: {node.name}: {error.message}",
            phase=node.phase,
        )
        step = run.incident.steps[node.id]
        await workflow.wait_condition(lambda: step.status is not StepStatus.ATTENTION or run.stop is not None)
        if step.status is StepStatus.RUNNING and run.stop is None:
            return False
        if step.status is StepStatus.SKIPPED:
            return True
        raise self._given_up(node, error)


def _bad_template(where: str, error: ExpressionError) -> ErrorInfo:
    return ErrorInfo(
        type="BadInput", message=f"`{where}`: {error}", hint="correct the playbook, or skip the step"
    )
