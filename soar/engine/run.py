"""What every part of one incident's execution shares."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.common import RetryPolicy

from soar.engine.activities import StepFailure
from soar.engine.journal import Journal
from soar.engine.messages import IncidentStart, PolicyInForce, Reserved, ReserveRequest
from soar.engine.reads import Ahead
from soar.engine.scope import OUTSIDE, Scope, StepsSeen, base_id
from soar.model.alert import Alert
from soar.model.change import ErrorInfo, Plan
from soar.model.incident import Incident
from soar.model.terms import IncidentStatus
from soar.playbook.builtins import UNDO
from soar.playbook.expressions import ExpressionError
from soar.playbook.graph import ActionNode, enclosing_loops
from soar.playbook.policy import Policy, PolicyDecision, decide, deciding_roles, implicated

__all__ = [
    "LeftOut",
    "Run",
    "Stopped",
    "bad_template",
    "forbidden",
]

T = TypeVar("T")


class Stopped(Exception):
    """Nothing further begins here.

    Args:
        owner: The step whose time is over, and inside of which nothing further begins; empty: the whole playbook.
    """

    def __init__(self, reason: str, owner: str = "") -> None:
        super().__init__(reason)
        self.owner = owner


class LeftOut(Exception):
    """A person skipped the step. `by` is the responder."""

    def __init__(self, reason: str, by: str) -> None:
        super().__init__(reason)
        self.by = by


class Run:
    """One execution of an incident: its input, its journal, and whether it was told to stop.

    Args:
        start: Its input.

    Attributes:
        draining: Nothing new begins, because the workflow goes on in a new run in a moment.
        committing: Steps whose change is being made right now.
        given_up: Undo steps, in no playbook, that a person decided to leave at that.
        joined: The alerts that joined while somebody was listening for them.
        listening: How many steps are.
        ahead: The plans that were made together with the reads before their steps, by step.
        abandoned: Not even what follows a failure begins any more.
    """

    def __init__(self, start: IncidentStart) -> None:
        self.start = start
        self.graph = start.graph
        carry = start.carry
        self.journal = Journal(carry.incident if carry else start.resume)
        self.stop: IncidentStatus | None = carry.stop if carry else None
        self.stop_reason = carry.stop_reason if carry else ""
        self.abandoned = False
        self.draining = False
        self.given_up: set[str] = set()
        self.committing: set[str] = set()
        self.joined: list[Alert] = []
        self.listening = 0
        self.ahead: dict[str, Ahead] = {}
        self._busy = 0
        self._held: set[str] = set()
        self._loops = enclosing_loops(start.graph)
        self._alerts: list[dict[str, Any]] = []

    @property
    def incident(self) -> Incident:
        """The state so far."""
        return self.journal.incident

    def request_stop(self, status: IncidentStatus, reason: str) -> None:
        """Let nothing new begin; what has begun comes to its end. The first reason stays."""
        if self.stop is None:
            self.stop, self.stop_reason = status, reason

    def interruption(self, scope: Scope, step_id: str = "") -> Stopped | LeftOut | None:
        """Why nothing further may begin here; None if it may.

        Args:
            step_id: The step that asks, which a person may have skipped.
        """
        if self.abandoned or (self.stop is not None and not scope.whatever):
            return Stopped(self.stop_reason)
        if scope.deadline is not None and workflow.now() >= scope.deadline:
            return Stopped(f"the time of {scope.owner} is over", scope.owner)
        if self.incident.skips:
            for skipped in (step_id, base_id(step_id)):
                if skipped in self.incident.skips:
                    return LeftOut(self.incident.skips[skipped], self.incident.skippers.get(skipped, ""))
        return None

    def check(self, scope: Scope, step_id: str = "") -> None:
        """Go on only if nothing speaks against it.

        Raises:
            Stopped, LeftOut: Something does.
        """
        if found := self.interruption(scope, step_id):
            raise found

    async def may_begin(self, scope: Scope, step_id: str = "") -> None:
        """Wait while the incident is paused, and go on only if nothing speaks against it.

        Raises:
            Stopped, LeftOut: Something does.
        """
        if self.incident.paused is not None:
            await self.wait(lambda: self.incident.paused is None, scope, step_id)
        self.check(scope, step_id)

    async def wait(
        self, until: Callable[[], bool], scope: Scope, step_id: str = "", *, at: datetime | None = None
    ) -> bool:
        """Wait until something is so.

        Args:
            at: When to give up.

        Returns:
            Whether it is so.

        Raises:
            Stopped, LeftOut: Nothing further may begin here, so that waiting makes no sense.
        """
        while not until():
            self.check(scope, step_id)
            now = workflow.now()
            if at is not None and now >= at:
                return False
            ends = [t for t in (at, scope.deadline) if t is not None]
            with contextlib.suppress(TimeoutError):  # the loop looks at what is due
                await workflow.wait_condition(
                    lambda: until() or self.interruption(scope, step_id) is not None,
                    timeout=min(ends) - now if ends else None,
                )
        return True

    @contextlib.asynccontextmanager
    async def busy(self) -> AsyncIterator[None]:
        """Around everything that must not be cut by the change to a new run: its activities are waited for."""
        while self.draining:
            await workflow.wait_condition(lambda: not self.draining)
        self._busy += 1
        try:
            yield
        finally:
            self._busy -= 1

    @contextlib.asynccontextmanager
    async def alone(self, plan: Plan) -> AsyncIterator[None]:
        """Around the making, or the putting back, of a change: no other one is on the same target at the same time.

        Each looks at its target before it begins. Two at once would both find what they planned for.
        """
        targets = {target.uid for target in plan.targets} if self.start.engine >= 2 else set()
        while self._held & targets:
            await workflow.wait_condition(lambda: not self._held & targets)
        self._held |= targets
        try:
            yield
        finally:
            self._held -= targets

    @property
    def idle(self) -> bool:
        """Whether nothing is under way that a new run could not take up."""
        return self._busy == 0

    def graph_undoable(self, step_id: str) -> bool:
        """Whether what a step does can be put back."""
        node = self.graph.nodes.get(base_id(step_id))
        return isinstance(node, ActionNode) and node.spec.undoable

    def directly_in(self, loop: str) -> list[str]:
        """The ids of the steps inside a loop, and in no loop inside of that."""
        return [step_id for step_id, around in self._loops.items() if around[-1:] == (loop,)]

    def variables(self, scope: Scope = OUTSIDE) -> Mapping[str, Any]:
        """What a playbook's templates can see."""
        incident = self.incident
        for alert in incident.alerts[len(self._alerts) :]:
            self._alerts.append(alert.model_dump(mode="json"))
        return {
            "alert": self._alerts[0] if self._alerts else {},
            "alerts": self._alerts,
            "incident": {
                "id": incident.id,
                "title": incident.title,
                "severity": incident.severity.label,
                "account": incident.account,
                "region": incident.region,
                "playbook": incident.playbook,
            },
            "inputs": self.start.inputs,
            "steps": StepsSeen(incident, self._loops, scope),
            "vars": incident.variables,
            "now": workflow.now().isoformat(),
            **scope.names,
        }

    async def in_force(self) -> PolicyInForce:
        """The organisation's policy, halt and budgets as they are now; what decided is thereby in history."""
        return await self._now("policy.current", [], PolicyInForce)

    def place_for(self, node: ActionNode, plan: Plan) -> ReserveRequest:
        """What a change asks of the policy's budgets."""
        return ReserveRequest(
            incident_id=self.incident.id,
            step_id=node.id,
            plan_digest=plan.digest(self.incident.playbook_digest),
            risk=node.spec.risk,
            account=plan.account,
            playbook=self.incident.playbook,
            action=node.action,
        )

    async def reserve(self, place: ReserveRequest) -> None:
        """Take a place in the policy's budgets for a change, at the last moment before it begins.

        Raises:
            StepFailure: There is none, or changes are halted.
        """
        granted = await self._now("policy.reserve", [place], Reserved)
        if not granted.granted:
            raise StepFailure(forbidden(granted.reason))

    async def _now(self, name: str, arguments: list[object], result: type[T]) -> T:
        """Ask the organisation something, until it answers."""
        found: T = await workflow.execute_activity(
            name,
            args=arguments,
            result_type=result,
            start_to_close_timeout=timedelta(seconds=10),
            retry_policy=RetryPolicy(maximum_interval=timedelta(seconds=10)),
        )
        return found

    async def deciders(self, role: str | None = None) -> tuple[tuple[str, ...], dict[str, str]]:
        """Who may decide what no plan asks about: a failed step, an undo.

        Args:
            role: The role that the step names, besides those of policy.

        Returns:
            The roles, one of which is needed, and who may not in spite of them, with why.
        """
        policy = (await self.in_force()).policy
        roles = deciding_roles(policy)
        return tuple(sorted({*roles, role})) if role else roles, self.implicated(policy)

    def implicated(self, policy: Policy | None) -> dict[str, str]:
        """Who may not decide in this incident, and why."""
        return implicated(policy, self.incident.alerts) if policy else {}

    def decide(self, found: PolicyInForce, *, plan: Plan, node: ActionNode) -> PolicyDecision:
        """What policy says about a plan."""
        # What a person asks to have put back is no change "by a playbook", which is all that a halt holds up.
        own = (self.incident.id, node.id, plan.digest(self.incident.playbook_digest))
        halt = found.halt if node.id in self.graph.nodes or node.action != UNDO else None
        return decide(
            found.policy,
            risk=node.spec.risk,
            severity=self.incident.severity,
            phase=node.phase,
            action=node.action,
            plan=plan,
            rule=node.approval,
            now=workflow.now(),
            playbook=self.incident.playbook,
            halt=halt,
            spent=tuple(s for s in found.spent if (s.incident_id, s.step_id, s.plan_digest) != own),
        )


def forbidden(why: str, *, nothing_done: bool = False) -> ErrorInfo:
    """What policy does not let happen, for people.

    Args:
        nothing_done: It was about to be applied, and was not.
    """
    return ErrorInfo(
        type="Refused",
        message=f"policy forbids it: {why}",
        hint="change the policy, or skip the step",
        nothing_done=nothing_done,
    )


def bad_template(where: str, error: ExpressionError) -> ErrorInfo:
    """What is wrong with an expression of a step, for people."""
    return ErrorInfo(
        type="BadInput", message=f"`{where}`: {error}", hint="correct the playbook, or skip the step"
    )
