"""Action steps: reads, changes, and what the engine itself does."""

from __future__ import annotations

import re
from datetime import timedelta

from pydantic import JsonValue
from temporalio import workflow
from temporalio.exceptions import ActivityError

from soar.actions.calls import ActionCall
from soar.engine.activities import StepFailure
from soar.engine.changes import (
    CatalogueChange,
    ChangeKind,
    Superseded,
    UndoChange,
    instances_of,
    plan_call,
    wire_id,
)
from soar.engine.delivery import PATIENT, Delivery
from soar.engine.messages import PolicyInForce, ReportRequest
from soar.engine.permission import Gate
from soar.engine.reads import Ahead, read
from soar.engine.run import Run, bad_template
from soar.engine.scope import Scope
from soar.engine.steps import succeeded
from soar.model.base import JsonObject
from soar.model.change import ErrorInfo, Plan, Result
from soar.model.course import EffectExpirySet
from soar.model.events import ApprovalClosed, PlanMade, ReportWritten, StepPlanned
from soar.model.people import ApprovalStatus
from soar.model.terms import Phase, Risk
from soar.playbook.builtins import REPORT, UNDO
from soar.playbook.expressions import ExpressionError, render
from soar.playbook.graph import ActionNode

__all__ = ["ActionSteps"]

_PLACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}")
"""What accounts, subscriptions, projects and regions of clouds are called."""


class ActionSteps:
    """Does what action steps say.

    Args:
        run: The incident that they belong to.
        delivery: Needed by the one step that reads the store: the report.
        gate: What every change passes.
    """

    def __init__(self, run: Run, delivery: Delivery, gate: Gate) -> None:
        self._run, self._delivery, self._gate = run, delivery, gate

    async def work(self, node: ActionNode, scope: Scope) -> None:
        """Do it once.

        Raises:
            StepFailure: It could not be done.
            Stopped, LeftOut: The wait for people was ended.
        """
        call = self._call(node, scope)
        if node.action == REPORT:
            await self._report(node)
        elif node.action == UNDO:
            undo = UndoChange(self._run, self._wanted(call.params, scope), node.phase)
            await self._change(node, undo, scope)
        elif node.spec.risk is Risk.READ:
            await self._read(node, call, scope)
        else:
            await self._change(node, CatalogueChange(self._run, node, call, scope), scope)

    def _call(self, node: ActionNode, scope: Scope) -> ActionCall:
        """What the step says, rendered.

        Raises:
            StepFailure: A template of it has no value, or none that fits.
        """
        incident, variables = self._run.incident, self._run.variables(scope)
        where = {"account": incident.account, "region": incident.region}
        at = "with"
        try:
            params = render(node.params, variables)
            for at, text in (("account", node.account), ("region", node.region)):
                found = render(text, variables)
                if found in ("", None):
                    continue
                if not isinstance(found, str) or not _PLACE.fullmatch(found):
                    raise StepFailure(_no_place(at, found))
                where[at] = found
        except ExpressionError as problem:
            raise StepFailure(bad_template(at, problem)) from problem
        if not isinstance(params, dict):
            raise TypeError(f"the parameters of step {node.id} are no mapping")
        return ActionCall(incident_id=incident.id, step_id=wire_id(node.id), params=params, **where)

    async def undo(self, node: ActionNode, scope: Scope) -> None:  # noqa: ARG002 - one form for all
        """Do an undo that the playbook itself has decided on: nobody is asked, but policy may forbid it."""
        steps = [str(s) for s in node.params["steps"]]  # type: ignore[union-attr]
        change = UndoChange(self._run, steps, node.phase)
        async with self._run.busy():
            plan, _ = await self._plan(node, change)
            if plan is None:
                return
            await self._gate.look(node, plan)
            succeeded(self._run, node, await change.commit(plan, None), changed=True)

    async def plan_ahead(self, node: ActionNode, scope: Scope) -> None:
        """Have the change planned that follows the reads which begin now, in their company.

        It is an offer: where it comes to nothing, the step plans when its turn comes.
        """
        run = self._run
        node = node.model_copy(update={"id": scope.instance(node.id)})
        known = node.id in run.incident.steps or run.incident.paused is not None
        if scope.beside is None or known or run.interruption(scope, node.id) is not None:
            return
        try:
            call = plan_call(run, self._call(node, scope))
        except StepFailure:
            return  # the step itself tells it
        asked_at = workflow.now()
        async with run.busy():
            outcome = await scope.beside.outcome(node, f"{node.action}:plan", call)
        if outcome.proposal is not None:
            run.ahead[node.id] = Ahead(call, outcome.proposal, asked_at)

    def _wanted(self, params: JsonObject, scope: Scope) -> list[str]:
        """The steps whose changes an `incident.undo` puts back."""
        incident = self._run.incident
        if "steps" in params and isinstance(params["steps"], list):
            return [str(s) for s in params["steps"]]
        if "step" in params:
            step_id = str(params["step"])
            here = [scope.instance(step_id)] if scope.instance(step_id) in incident.steps else None
            return here or instances_of(incident, step_id)
        phase = Phase(str(params["phase"])) if "phase" in params else None
        return [s for s in incident.effects if phase is None or incident.steps[s].phase is phase]

    async def _read(self, node: ActionNode, call: ActionCall, scope: Scope) -> None:
        async with self._run.busy():
            result = await read(node, call, None if self._run.start.dry_run else scope.beside)
            succeeded(self._run, node, result, params=call.params)

    async def _plan(self, node: ActionNode, change: ChangeKind) -> tuple[Plan | None, PolicyInForce | None]:
        """Have the plan made and recorded.

        Returns:
            The plan, or None if there is nothing to do, and the step has succeeded; and the policy, if it came along.
        """
        plan, found = await change.plan()
        if node.expires is not None and plan.undo:
            limit = timedelta(seconds=node.expires)
            plan = plan.model_copy(
                update={
                    "undo": f"by itself {limit} after it is verified, unless somebody extends it; {plan.undo}"
                }
            )
        self._run.journal.record(
            PlanMade(step_id=node.id, plan=plan, plan_digest=plan.digest(self._run.incident.playbook_digest)),
            f"Planned: {plan.summary}",
            phase=node.phase,
        )
        if plan.changes:
            return plan, found
        succeeded(self._run, node, Result(summary=f"Already so: {plan.summary}"))
        return None, None

    async def _change(self, node: ActionNode, change: ChangeKind, scope: Scope) -> None:
        """plan → policy → approval → apply → verify, and from the start again when the target drifts in between."""
        run, journal = self._run, self._run.journal
        supersedes = ""
        drift: tuple[str, ...] = ()
        plan, found = self._approved_before(node), None
        while True:
            if plan is None:
                async with run.busy():
                    plan, found = await self._plan(node, change)
                if plan is None:
                    return
            if run.start.dry_run:
                await self._only_planned(node, plan)
                return
            approval_id = await self._gate.permitted(node, plan, scope, found, supersedes, drift)
            if approval_id is None:
                return
            await run.may_begin(scope, node.id)
            async with run.busy():
                try:
                    run.committing.add(node.id)
                    result = await change.commit(
                        plan, self._gate.place(node, plan, aged=bool(approval_id) or change.aged)
                    )
                except Superseded as moved:
                    drift, supersedes, plan = moved.drift, approval_id, None
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
                finally:
                    run.committing.discard(node.id)
                succeeded(run, node, result, changed=True)
                self._expires(node)
                return

    def _approved_before(self, node: ActionNode) -> Plan | None:
        """The plan that people were asked about in an earlier run: they are not asked again."""
        for approval in self._run.incident.open_approvals:
            if approval.step_id == node.id:
                return approval.plan
        step = self._run.incident.steps[node.id]
        for approval in reversed(self._run.incident.approvals.values()):
            if approval.step_id == node.id and approval.status is ApprovalStatus.APPROVED:
                fresh = node.id not in self._run.incident.effects and step.error is None
                return approval.plan if fresh else None
        return None

    def _expires(self, node: ActionNode) -> None:
        if node.expires is not None and node.spec.undoable:
            at = workflow.now() + timedelta(seconds=node.expires)
            self._run.journal.record(
                EffectExpirySet(step_id=node.id, expires_at=at, reason="the playbook says so"),
                f"Is put back by itself at {at:%Y-%m-%d %H:%M} UTC: {node.name}",
                phase=node.phase,
            )

    async def _only_planned(self, node: ActionNode, plan: Plan) -> None:
        decision = await self._gate.look(node, plan)
        self._run.journal.record(
            StepPlanned(
                step_id=node.id, outcome=decision.outcome, needed=decision.needed, roles=decision.roles
            ),
            f"Would be done: {plan.summary}",
            phase=node.phase,
        )

    async def _report(self, node: ActionNode) -> None:
        async with self._run.busy():
            written = await self.write_report()
            succeeded(
                self._run, node, Result(summary="Report written", data={"digests": dict(written.digests)})
            )

    async def write_report(self) -> ReportWritten:
        """Have the report written from everything recorded so far.

        Raises:
            StepFailure: It could not be written; the incident's data is not touched by that.
        """
        incident = self._run.incident
        async with self._delivery.handing_over() as entries:
            try:
                written: ReportWritten = await workflow.execute_activity(
                    "report.write",
                    ReportRequest(
                        incident_id=incident.id,
                        head_seq=incident.head_seq,
                        head_hash=incident.head_hash,
                        entries=entries,
                    ),
                    result_type=ReportWritten,
                    start_to_close_timeout=timedelta(seconds=120),
                    schedule_to_close_timeout=timedelta(minutes=10),
                    retry_policy=PATIENT,
                )
            except ActivityError as error:
                raise StepFailure.from_activity(error) from error
        up_to = entries[-1].seq if entries else self._delivery.up_to
        journal, at = self._run.journal, written.written_at
        if self._run.start.engine < 3:
            at = None
        elif at is not None and journal.last_at is not None:
            # The clock of the worker that wrote it may be behind: no entry is earlier than the one before it.
            at = max(at, journal.last_at)
        journal.record(written, f"Report written, up to entry {up_to}", at=at)
        return written


def _no_place(key: str, found: JsonValue) -> ErrorInfo:
    return ErrorInfo(
        type="BadInput",
        message=f"`{key}`: {str(found)[:100]!r} is no name of {'an account' if key == 'account' else 'a region'}",
        hint="correct the playbook, or skip the step",
    )
