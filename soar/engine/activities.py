"""How the engine has an action done: where, for how long, how often, and as what its error comes back."""

from __future__ import annotations

from datetime import timedelta
from typing import TypeVar

from temporalio import exceptions as failures
from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError
from temporalio.workflow import ActivityCancellationType

from soar.engine.messages import ORCHESTRATOR_QUEUE
from soar.model.change import ErrorInfo
from soar.playbook.graph import ActionNode, NodeSpec
from soar.playbook.steps import RETRYABLE, Retry

__all__ = ["HEARTBEAT_TIMEOUT", "StepFailure", "run_action", "task_queue", "tries_again"]

HEARTBEAT_TIMEOUT = timedelta(seconds=10)
"""How soon a dead worker is noticed; actions heartbeat every second."""

T = TypeVar("T")


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
            case failures.TimeoutError():
                return cls(
                    ErrorInfo(
                        type="TimedOut",
                        message=f"{error.activity_type}: no answer in time ({cause.message})",
                        hint="is the worker of its task queue running? then retry the step",
                    )
                )
        return cls(ErrorInfo(type="Unexpected", message=str(cause or error)[:4000]))


async def run_action(node: ActionNode, activity: str, call: object, result: type[T], seconds: float) -> T:
    """Run one activity of an action.

    It is not torn apart by a cancellation: the workflow waits for its end and then stops.

    Raises:
        StepFailure: It failed for good.
    """
    try:
        found: T = await workflow.execute_activity(
            activity,
            call,
            result_type=result,
            task_queue=task_queue(node.spec),
            start_to_close_timeout=timedelta(seconds=seconds),
            heartbeat_timeout=HEARTBEAT_TIMEOUT,
            retry_policy=_retry_policy(node.retry),
            cancellation_type=ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            summary=node.id,
        )
    except ActivityError as error:
        raise StepFailure.from_activity(error) from error
    return found


def tries_again(retry: Retry, error: ErrorInfo) -> bool:
    """Whether a step's rule for retries covers an error that may pass."""
    return retry.attempts > 1 and (not retry.on or error.type not in RETRYABLE or error.type in retry.on)


def _retry_policy(retry: Retry) -> RetryPolicy:
    """How an action's activity is tried again. Errors that cannot pass by themselves say so and are not retried."""
    refused = [kind for kind in RETRYABLE if kind not in retry.on] if retry.on else None
    return RetryPolicy(
        initial_interval=timedelta(seconds=retry.backoff),
        backoff_coefficient=2,
        maximum_interval=timedelta(seconds=30),
        maximum_attempts=retry.attempts,
        non_retryable_error_types=refused,
    )


def task_queue(spec: NodeSpec) -> str | None:
    """The queue for an action; None (the workflow's own) where it is the orchestrator's, which keeps eager start."""
    return None if spec.queue == ORCHESTRATOR_QUEUE else spec.queue
