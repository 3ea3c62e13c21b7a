"""What every part of one incident's execution shares."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError, TimeoutError

from soar.engine.journal import Journal
from soar.engine.messages import ORCHESTRATOR_QUEUE, IncidentStart, PolicyInForce
from soar.model.change import ErrorInfo, Plan
from soar.model.incident import Incident
from soar.model.terms import IncidentStatus, Phase, Risk
from soar.playbook.graph import ActionNode, NodeSpec
from soar.playbook.policy import Policy, PolicyDecision, decide, deciding_roles, implicated
from soar.playbook.schema import Retry

__all__ = ["HEARTBEAT_TIMEOUT", "Run", "StepFailure", "Stopped", "retry_policy"]

HEARTBEAT_TIMEOUT = timedelta(seconds=10)
"""How soon a dead worker is noticed; actions heartbeat every second."""


class StepFailure(Exception):
    """A step could not do what it is for."""

    def __init__(self, error: ErrorInfo) -> None:
        super().__init__(error.message)
        self.error = error

    @classmethod
    def from_activity(cls, error: ActivityError) -> StepFailure:
        """Keep the type that the service gave the error, all the way to the timeline."""
        cause = error.cause
        match cause:
            case ApplicationError() if cause.details and isinstance(cause.details[0], dict):
                return cls(ErrorInfo.model_validate(cause.details[0]))
            case ApplicationError():
                return cls(ErrorInfo(type=cause.type or "Unexpected", message=cause.message[:4000]))
            case TimeoutError():
                return cls(
                    ErrorInfo(
                        type="TimedOut",
                        message=f"{error.activity_type}: no answer in time ({cause.message})",
                        hint="is the worker of its task queue running? then retry the step",
                    )
                )
        return cls(ErrorInfo(type="Unexpected", message=str(cause or error)[:4000]))


class Stopped(Exception):
    """The playbook goes no further."""


class Run:
    """One execution of an incident: its input, its journal, and whether it was told to stop."""

    def __init__(self, start: IncidentStart) -> None:
        self.start = start
        self.journal = Journal(start.resume)
        self.stop: IncidentStatus | None = None
        self.stop_reason = ""

    @property
    def incident(self) -> Incident:
        """The state so far."""
        return self.journal.incident

    def request_stop(self, status: IncidentStatus, reason: str) -> None:
        """Let nothing new begin; what has begun comes to its end. The first reason stays."""
        if self.stop is None:
            self.stop, self.stop_reason = status, reason

    def check(self) -> None:
        """Go on only if nobody asked to stop.

        Raises:
            Stopped: Somebody did.
        """
        if self.stop is not None:
            raise Stopped(self.stop_reason)

    def variables(self) -> Mapping[str, Any]:
        """What a playbook's templates can see."""
        incident = self.incident
        alerts = [a.model_dump(mode="json") for a in incident.alerts]
        return {
            "alert": alerts[0],
            "alerts": alerts,
            "incident": {
                "id": incident.id,
                "title": incident.title,
                "severity": incident.severity.label,
                "account": incident.account,
                "region": incident.region,
                "playbook": incident.playbook,
            },
            "inputs": self.start.inputs,
            "steps": {
                s.id: {"status": s.status.value, "result": s.result.data if s.result else {}}
                for s in incident.steps.values()
            },
            "now": workflow.now().isoformat(),
        }

    async def policy(self) -> Policy | None:
        """The organisation's policy as it is now; the one that decided is thereby in history.

        An ordinary activity, although it is short: the clock that follows a local activity is another one when
        history is replayed, and the times on the timeline are part of its hashes.
        """
        found: PolicyInForce = await workflow.execute_activity(
            "policy.current",
            result_type=PolicyInForce,
            start_to_close_timeout=timedelta(seconds=10),
            retry_policy=RetryPolicy(maximum_interval=timedelta(seconds=10)),
        )
        return found.policy

    async def deciders(self) -> tuple[tuple[str, ...], dict[str, str]]:
        """Who may decide what no plan asks about: a failed step, an undo.

        Returns:
            The roles, one of which is needed, and who may not in spite of them, with why.
        """
        policy = await self.policy()
        excluded = implicated(policy, self.incident.alerts) if policy else {}
        return deciding_roles(policy), excluded

    def decide(
        self, policy: Policy | None, *, risk: Risk, phase: Phase, plan: Plan, node: ActionNode
    ) -> PolicyDecision:
        """What policy says about a plan."""
        return decide(
            policy,
            risk=risk,
            severity=self.incident.severity,
            phase=phase,
            action=node.action,
            plan=plan,
            rule=node.approval,
        )


def retry_policy(retry: Retry) -> RetryPolicy:
    """How an action's activity is tried again. Errors that cannot pass by themselves say so and are not retried."""
    return RetryPolicy(
        initial_interval=timedelta(seconds=retry.backoff),
        backoff_coefficient=2,
        maximum_interval=timedelta(seconds=30),
        maximum_attempts=retry.attempts,
    )


def task_queue(spec: NodeSpec) -> str | None:
    """The queue for an action; None (the workflow's own) where it is the orchestrator's, which keeps eager start."""
    return None if spec.queue == ORCHESTRATOR_QUEUE else spec.queue
