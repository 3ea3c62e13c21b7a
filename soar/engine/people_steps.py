"""The steps that wait: for people, for time, for something to happen, or for another playbook."""

from __future__ import annotations

import base64
from datetime import datetime, timedelta

from pydantic import JsonValue
from temporalio import workflow
from temporalio.exceptions import ApplicationError, ChildWorkflowError
from temporalio.workflow import ChildWorkflowCancellationType, ParentClosePolicy

from soar.engine.activities import StepFailure
from soar.engine.messages import WORKFLOW_TYPE, IncidentStart, Parent
from soar.engine.permission import Gate
from soar.engine.run import LeftOut, Run, Stopped, bad_template
from soar.engine.scope import Scope
from soar.engine.steps import succeeded
from soar.model.base import JsonObject
from soar.model.change import BlastRadius, ErrorInfo, Plan, Result
from soar.model.course import (
    ChildOpened,
    FormSpec,
    TaskCancelled,
    TaskOpened,
    TaskOverdue,
    TaskStatus,
    VariablesSet,
    WaitStarted,
)
from soar.model.events import PlanMade, StepPlanned
from soar.model.people import ApprovalStatus
from soar.model.terms import IncidentStatus
from soar.playbook.expressions import ExpressionError, evaluate, render
from soar.playbook.graph import AskNode, NodeBase, PlaybookNode, SetNode, TaskNode, WaitNode
from soar.playbook.values import plain_text

__all__ = ["WaitingSteps"]

LONGEST = 3000
"""Characters of a question, or of instructions, that people are shown."""


class WaitingSteps:
    """Does what steps say that wait, and what `set` says.

    Args:
        run: The incident that they belong to.
        gate: Asks people.
    """

    def __init__(self, run: Run, gate: Gate) -> None:
        self._run, self._gate = run, gate

    async def set(self, node: SetNode, scope: Scope) -> None:
        """Give names to values."""
        values = self._rendered(node.values, "set", scope)
        assert isinstance(values, dict)
        self._run.journal.record(
            VariablesSet(step_id=node.id, values=values),
            f"Set: {', '.join(f'{k} = {plain_text(v)[:80]}' for k, v in values.items())}"[:1000],
            phase=node.phase,
        )
        succeeded(self._run, node, Result(summary=f"{len(values)} name(s) set", data=values))

    async def wait(self, node: WaitNode, scope: Scope) -> None:
        """Wait until something is so, or until the time is over."""
        run = self._run
        step = run.incident.steps[node.id]
        if run.start.dry_run:
            self._planned(node)
            return
        if step.until is None:
            until = workflow.now() + timedelta(seconds=node.seconds)
            run.journal.record(
                WaitStarted(step_id=node.id, until=until),
                f"Waiting until {until:%Y-%m-%d %H:%M:%S} UTC: {node.name}",
                phase=node.phase,
            )
        assert step.until is not None
        looked = _Look(run, node, scope)
        run.listening += 1
        try:
            is_so = await run.wait(looked.happened, scope, node.id, at=step.until)
        finally:
            run.listening -= 1
            if run.listening == 0:
                run.joined.clear()
        if looked.problem is not None:
            raise StepFailure(bad_template("wait", looked.problem))
        timed = node.until is None and node.alert is None
        summary = "The time is over" if timed or not is_so else "It happened"
        data: JsonObject = {"happened": is_so or timed}
        if looked.alert is not None:
            data["alert"] = looked.alert
        succeeded(run, node, Result(summary=summary, data=data))

    async def task(self, node: TaskNode, scope: Scope) -> None:
        """Have a person do something."""
        run, journal = self._run, self._run.journal
        if run.start.dry_run:
            self._planned(node, (node.owner,))
            return
        before = run.incident.tasks.get(node.id)
        if before is None or before.status is TaskStatus.CANCELLED:
            instructions = self._text(node.instructions, "instructions", scope)
            async with run.busy():
                found = await run.in_force()
                due = workflow.now() + timedelta(seconds=node.due) if node.due else None
                journal.record(
                    TaskOpened(
                        step_id=node.id,
                        instructions=instructions,
                        roles=(node.owner,),
                        excluded=run.implicated(found.policy),
                        form={
                            name: FormSpec(
                                type=field.type,
                                label=field.label or name.replace("_", " "),
                                required=field.required,
                                options=field.options,
                            )
                            for name, field in node.form.items()
                        },
                        due_at=due,
                    ),
                    f"Task for {node.owner}: {node.name}",
                    phase=node.phase,
                )
        task = run.incident.tasks[node.id]
        end = self._end(node)
        try:
            while not await run.wait(
                lambda: task.status is not TaskStatus.OPEN,
                scope,
                node.id,
                at=min((t for t in (task.due_at, end) if t is not None), default=None),
            ):
                if end is not None and workflow.now() >= end:
                    raise StepFailure(
                        ErrorInfo(
                            type="TimedOut",
                            message=f"nobody did it within {node.timeout:.0f} s",
                            hint="retry to ask again, or skip the step",
                        )
                    )
                journal.record(
                    TaskOverdue(step_id=node.id, due_at=workflow.now() + timedelta(seconds=node.due or 0)),
                    f"Overdue: {node.name}",
                    phase=node.phase,
                )
        except (Stopped, LeftOut, StepFailure) as ended:
            journal.record(
                TaskCancelled(step_id=node.id, reason=str(ended)),
                f"Task withdrawn: {ended}",
                phase=node.phase,
            )
            raise
        data: JsonObject = {**task.values, "completed_by": task.done_by}
        succeeded(run, node, Result(summary=f"Done: {node.name}", data=data))

    async def ask(self, node: AskNode, scope: Scope) -> None:
        """Ask people a question."""
        run = self._run
        if run.start.dry_run:
            self._planned(node, (node.approval.role or "",), node.approval.approvers)
            return
        plan = run.incident.steps[node.id].plan
        if plan is None or run.incident.steps[node.id].error is not None:
            plan = Plan(
                action="approve",
                params={},
                account=run.incident.account,
                region=run.incident.region,
                summary=self._text(node.question, "approve", scope),
                blast_radius=BlastRadius(summary=self._text(node.details, "details", scope)),
            )
            digest = plan.digest(run.incident.playbook_digest)
            run.journal.record(
                PlanMade(step_id=node.id, plan=plan, plan_digest=digest),
                f"Question: {plan.summary}",
                phase=node.phase,
            )
        approval = await self._gate.answer(node, plan, scope)
        yes = approval.status is ApprovalStatus.APPROVED
        people: list[JsonValue] = [v.responder for v in approval.votes]
        names = ", ".join(v.name for v in approval.votes)
        succeeded(
            run,
            node,
            Result(
                summary=f"{'Yes' if yes else 'No'}, by {names}: {plan.summary}",
                data={"approved": yes, "outcome": approval.status.value, "by": people},
            ),
        )

    async def playbook(self, node: PlaybookNode, scope: Scope) -> None:
        """Run another playbook as an incident of its own, and wait for its end."""
        run = self._run
        step = run.incident.steps[node.id]
        if not step.child or step.error is not None:
            params = self._rendered(node.params, "with", scope)
            assert isinstance(params, dict)
            await self._call(node, params)
        try:
            await run.wait(lambda: step.result is not None, scope, node.id, at=self._end(node))
        except (Stopped, LeftOut):
            await workflow.get_external_workflow_handle(step.child_workflow).cancel()
            raise
        if step.result is None:
            raise StepFailure(
                ErrorInfo(
                    type="TimedOut",
                    message=f"{step.child} did not end within {node.timeout:.0f} s; it goes on by itself",
                    hint=f"look at {step.child}; retry to call the playbook again, or skip the step",
                )
            )
        status = IncidentStatus(str(step.result.data["status"]))
        if status in (IncidentStatus.FAILED, IncidentStatus.CANCELLED):
            raise StepFailure(
                ErrorInfo(
                    type="PlaybookFailed",
                    message=f"{step.child} is {status.value}: {step.result.summary}",
                    hint=f"look at {step.child}; retry to call the playbook again, or skip the step",
                )
            )
        succeeded(run, node, step.result)

    async def _call(self, node: PlaybookNode, params: JsonObject) -> None:
        run = self._run
        child = run.graph.children[node.playbook]
        incident_id = "INC-" + base64.b32encode(workflow.uuid4().bytes).decode()[:8]
        workflow_id = f"{run.incident.workflow_id}/{incident_id}"
        run.journal.record(
            ChildOpened(
                step_id=node.id, workflow_id=workflow_id, incident_id=incident_id, playbook=node.playbook
            ),
            f"Called: {node.playbook}, as {incident_id}",
            phase=node.phase,
        )
        async with run.busy():
            try:
                await workflow.start_child_workflow(
                    WORKFLOW_TYPE,
                    IncidentStart(
                        incident_id=incident_id,
                        title=f"{child.title or node.playbook}: {run.incident.title}",
                        playbook=node.playbook,
                        playbook_text=child.text,
                        playbook_digest=child.digest,
                        graph=child.graph,
                        inputs={**child.defaults, **params},
                        correlation_key=run.incident.correlation_key,
                        chat=run.start.chat,
                        alerts=tuple(run.incident.alerts),
                        parent=Parent(
                            incident_id=run.incident.id,
                            workflow_id=run.incident.workflow_id,
                            step_id=node.id,
                        ),
                        dry_run=run.start.dry_run,
                    ),
                    id=workflow_id,
                    # It tells of its end by a signal, which finds this incident in whichever run it is by then.
                    parent_close_policy=ParentClosePolicy.ABANDON,
                    cancellation_type=ChildWorkflowCancellationType.ABANDON,
                    task_timeout=timedelta(seconds=5),
                )
            except (ChildWorkflowError, ApplicationError) as error:
                raise StepFailure(
                    ErrorInfo(type="Unavailable", message=f"{node.playbook} did not start: {error}")
                ) from error

    def _end(self, node: NodeBase) -> datetime | None:
        """When the time of a step that waits is over."""
        step = self._run.incident.steps[node.id]
        begun = step.retried_at or step.started_at
        return begun + timedelta(seconds=node.timeout) if node.timeout else None

    def _planned(self, node: NodeBase, roles: tuple[str, ...] = (), needed: int = 0) -> None:
        self._run.journal.record(
            StepPlanned(step_id=node.id, outcome="people", needed=needed, roles=roles),
            f"Would be waited for: {node.name}",
            phase=node.phase,
        )

    def _rendered(self, value: JsonValue, where: str, scope: Scope) -> JsonValue:
        try:
            return render(value, self._run.variables(scope))
        except ExpressionError as problem:
            raise StepFailure(bad_template(where, problem)) from problem

    def _text(self, template: str, where: str, scope: Scope) -> str:
        text = plain_text(self._rendered(template, where, scope))
        return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


class _Look:
    """Looks whether what a step waits for has happened, but only after something has."""

    def __init__(self, run: Run, node: WaitNode, scope: Scope) -> None:
        self._run, self._node, self._scope = run, node, scope
        self._seq, self._next, self._found = -1, len(run.joined), False
        self.alert: JsonObject | None = None
        self.problem: ExpressionError | None = None

    def happened(self) -> bool:
        """Whether it has, or cannot be told: then `problem` says why."""
        if not self._found and self._run.incident.head_seq != self._seq:
            self._seq = self._run.incident.head_seq
            try:
                self._found = self._look()
            except ExpressionError as problem:
                self._found, self.problem = True, problem
        return self._found

    def _look(self) -> bool:
        node, variables = self._node, self._run.variables(self._scope)
        if node.until is not None:
            return bool(evaluate(node.until, variables))
        if node.alert is not None:
            joined, self._next = self._run.joined[self._next :], len(self._run.joined)
            for alert in joined:
                dumped = alert.model_dump(mode="json")
                if bool(evaluate(node.alert, {**variables, "alert": dumped})):
                    self.alert = dumped
                    return True
        return False
