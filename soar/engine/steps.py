"""The life of one step, whatever its kind: from its condition to an end that the timeline tells."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from temporalio import workflow

from soar.engine.activities import StepFailure
from soar.engine.changes import UndoChange, effects_to_undo
from soar.engine.run import LeftOut, Run, Stopped, bad_template
from soar.engine.scope import Scope
from soar.model.base import JsonObject
from soar.model.change import ErrorInfo, Result
from soar.model.course import Notified
from soar.model.events import StepFailed, StepNeedsAttention, StepSkipped, StepStarted, StepSucceeded
from soar.model.terms import IncidentStatus, Risk, StepStatus
from soar.playbook.expressions import ExpressionError, evaluate
from soar.playbook.graph import ActionNode, NodeBase

__all__ = ["StepLife", "succeeded", "what_it_does"]

N = TypeVar("N", bound=NodeBase)


class StepLife:
    """Runs steps to an end.

    Args:
        run: The incident that they belong to.
    """

    def __init__(self, run: Run) -> None:
        self._run = run

    async def execute(self, node: N, scope: Scope, work: Callable[[N, Scope], Awaitable[None]]) -> None:
        """Run a step to an end that the timeline tells, unless it has ended in an earlier run.

        Args:
            node: As the playbook has it.
            scope: Where it runs.
            work: What it does; called with the node under the id that it has here, and again after a retry.

        Raises:
            Stopped: Nothing further begins here.
        """
        if scope.rounds:
            node = node.model_copy(update={"id": scope.instance(node.id)})
        record = self._run.incident.steps.get(node.id)
        if record is not None and record.status.ended:
            return
        # It may have begun in an earlier run: then its condition held, or its failure waits for a decision.
        begun = record is not None
        waiting = record.error if record is not None and record.status is StepStatus.ATTENTION else None
        while True:
            try:
                if waiting is None:
                    await self._attempt(node, scope, work, begun=begun)
                    return
                error, waiting, begun = waiting, None, False
                if await self._asked(node, error, scope):
                    return
            except StepFailure as failure:
                if await self._failed(node, failure.error, scope):
                    return
                waiting = failure.error
            except LeftOut as left:
                self._left_out(node, left)
                return
            except Stopped as stopped:
                step = self._run.incident.steps.get(node.id)
                if step is not None and not step.status.ended:
                    # Stopped while it waited: nothing of it is in the making any more.
                    self._record_failure(node, ErrorInfo(type="Stopped", message=str(stopped)))
                raise

    async def _attempt(
        self, node: N, scope: Scope, work: Callable[[N, Scope], Awaitable[None]], *, begun: bool
    ) -> None:
        await self._run.may_begin(scope, node.id)
        if not begun and not self._begin(node, scope):
            return
        try:
            await work(node, scope)
        except Stopped as stopped:
            if stopped.owner != node.id:
                raise
            raise StepFailure(
                ErrorInfo(
                    type="TimedOut",
                    message=f"it was not done within {node.timeout:.0f} s",
                    hint="retry to go on with what is left of it, or skip it",
                )
            ) from stopped
        self._notify(node)

    def _begin(self, node: NodeBase, scope: Scope) -> bool:
        """Evaluate the step's condition, and record the step as started or as skipped.

        Returns:
            Whether to go on with it.
        """
        journal = self._run.journal
        first = node.id not in self._run.incident.steps
        try:
            wanted = node.when is None or bool(evaluate(node.when, self._run.variables(scope)))
        except ExpressionError as problem:
            if first:
                self._record_start(node)
            raise StepFailure(bad_template("when", problem)) from problem
        if wanted:
            if first:
                self._record_start(node)
            return True
        reason = f"its condition did not hold: {node.when}"
        journal.record(
            StepSkipped(
                step_id=node.id,
                name=node.name,
                action=what_it_does(node),
                reason=reason,
            ),
            f"Skipped: {node.name}: {reason}",
            phase=node.phase,
        )
        return False

    def _left_out(self, node: NodeBase, left: LeftOut) -> None:
        self._run.journal.record(
            StepSkipped(
                step_id=node.id,
                name=node.name,
                action=what_it_does(node),
                risk=_risk(node),
                by=left.by or "somebody",
                reason=str(left),
            ),
            f"Skipped: {node.name}: {left}",
            phase=node.phase,
        )

    def _record_start(self, node: NodeBase) -> None:
        self._run.journal.record(
            StepStarted(
                step_id=node.id,
                name=node.name,
                action=what_it_does(node),
                risk=_risk(node),
                technique=node.technique,
            ),
            f"Started: {node.name}",
            phase=node.phase,
        )

    def _record_failure(self, node: NodeBase, error: ErrorInfo) -> None:
        self._run.journal.record(
            StepFailed(step_id=node.id, error=error),
            f"Failed: {node.name}: {error.message}",
            phase=node.phase,
        )

    def _notify(self, node: NodeBase) -> None:
        step = self._run.incident.steps[node.id]
        if node.notify and step.status is not StepStatus.SKIPPED:
            text = f"{node.name}: {step.status.value}"
            if step.result is not None:
                text += f" — {step.result.summary}"
            self._run.journal.record(
                Notified(step_id=node.id, roles=node.notify, text=text[:2000]),
                f"Told {', '.join(node.notify)}: {text}"[:1000],
                phase=node.phase,
            )

    async def _failed(self, node: NodeBase, error: ErrorInfo, scope: Scope) -> bool:
        """Do what the step's `on_error` says.

        Returns:
            Whether the step has ended; false: a person is to be asked.

        Raises:
            Stopped: Nothing further begins here.
        """
        run = self._run
        going_on = run.interruption(scope) is None
        if run.start.dry_run or (node.on_error == "continue" and going_on):
            self._record_failure(node, error)
            self._notify(node)
            return True
        if node.on_error == "ask" and going_on:
            return False
        if node.on_error == "undo":
            await self._undo_phase(node)
        raise self._given_up(node, error)

    def _given_up(self, node: NodeBase, error: ErrorInfo) -> Stopped:
        self._record_failure(node, error)
        self._notify(node)
        self._run.request_stop(IncidentStatus.FAILED, f"step {node.id} failed: {error.message}")
        return Stopped(self._run.stop_reason)

    async def _undo_phase(self, node: NodeBase) -> None:
        """Put back what this phase has changed so far, the failed step's own part included."""
        async with self._run.busy():
            changed = [e.step_id for e in effects_to_undo(self._run, None, node.phase)]
            undo = UndoChange(self._run, list(dict.fromkeys(changed)), node.phase)
            try:
                plan, _ = await undo.plan()
                await undo.commit(plan)
            except StepFailure as failure:
                # `effect.undo_refused` is on the timeline; the step's own failure still has to be told.
                why = failure.error.message
                workflow.logger.warning("phase %s was not wholly undone: %s", node.phase, why)

    async def _asked(self, node: NodeBase, error: ErrorInfo, scope: Scope) -> bool:
        """Have a person decide about the failed step.

        Returns:
            Whether the step has ended; false: try it again.
        """
        run = self._run
        step = run.incident.steps[node.id]
        if step.status is not StepStatus.ATTENTION:
            async with run.busy():
                roles, excluded = await run.deciders(node.role)
                run.journal.record(
                    StepNeedsAttention(step_id=node.id, error=error, roles=roles, excluded=excluded),
                    f"Needs a decision: {node.name}: {error.message}",
                    phase=node.phase,
                )
        try:
            await run.wait(lambda: step.status is not StepStatus.ATTENTION, scope, node.id)
            run.check(scope)
        except Stopped as stopped:
            if not step.status.ended:
                self._record_failure(node, error)
            raise stopped
        if node.id in run.given_up:
            self._record_failure(node, error)
            return True
        return step.status.ended


def what_it_does(node: NodeBase) -> str:
    """The action of a step; of a step of another kind, the kind."""
    return node.action if isinstance(node, ActionNode) else str(getattr(node, "kind", ""))


def _risk(node: NodeBase) -> Risk:
    return node.spec.risk if isinstance(node, ActionNode) else Risk.READ


def succeeded(
    run: Run, node: NodeBase, result: Result, *, changed: bool = False, params: JsonObject | None = None
) -> None:
    """Record that a step did what it is for."""
    # What a change collected is on record with its `effect.applied`.
    run.journal.record(
        StepSucceeded(step_id=node.id, changed=changed, result=result, params=params or {}),
        result.summary,
        phase=node.phase,
        evidence=() if changed else result.evidence,
    )
