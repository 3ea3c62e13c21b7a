"""Reads that are done together: one activity where there would be many, as far as nobody waits longer for it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError

from soar.actions.calls import TOGETHER, ActionCall, NamedCall, Outcome
from soar.engine.activities import HEARTBEAT_TIMEOUT, StepFailure, run_action, task_queue, tries_again
from soar.model.change import Result
from soar.playbook.graph import ActionNode

__all__ = ["Reads", "read"]

SLACK = 30.0
"""Seconds that several reads may take longer than the slowest of them."""


@dataclass
class _Asked:
    node: ActionNode
    call: ActionCall
    found: asyncio.Future[Outcome] = field(default_factory=asyncio.Future)


class Reads:
    """The reads of steps that begin together.

    Those that are asked for in one workflow task and belong to one task queue are one activity. What that cannot give
    (an error that may pass, a result too large to travel with others, a worker that died) each step then asks for by
    itself, with the retries that the playbook gives it.
    """

    def __init__(self) -> None:
        self._asked: list[_Asked] = []
        self._under_way: list[asyncio.Task[None]] = []

    async def outcome(self, node: ActionNode, call: ActionCall) -> Outcome:
        """What came of a read that was done with others."""
        asked = _Asked(node, call)
        if not self._asked:
            # By the time that this runs, every step that begins now has asked.
            asyncio.get_running_loop().call_soon(self._begin)
        self._asked.append(asked)
        return await asked.found

    def _begin(self) -> None:
        asked, self._asked = self._asked, []
        queues: dict[str | None, list[_Asked]] = {}
        for one in asked:
            queues.setdefault(task_queue(one.node.spec), []).append(one)
        for queue, several in queues.items():
            if len(several) == 1:
                several[0].found.set_result(_BY_ITSELF)
            else:
                self._under_way.append(asyncio.create_task(_together(queue, several)))


async def _together(queue: str | None, asked: list[_Asked]) -> None:
    limit = max(one.node.timeout or one.node.spec.plan_timeout for one in asked)
    try:
        outcomes = await workflow.execute_activity(
            TOGETHER,
            [NamedCall(activity=one.node.action, call=one.call) for one in asked],
            result_type=list[Outcome],
            task_queue=queue,
            start_to_close_timeout=timedelta(seconds=limit + SLACK),
            heartbeat_timeout=HEARTBEAT_TIMEOUT,
            retry_policy=RetryPolicy(maximum_attempts=1),
            summary=", ".join(one.node.id for one in asked)[:200],
        )
    except ActivityError as error:
        workflow.logger.info("%d reads are done one by one: %s", len(asked), error.cause or error)
        outcomes = [_BY_ITSELF] * len(asked)
    for one, outcome in zip(asked, outcomes, strict=True):
        one.found.set_result(outcome)


async def read(node: ActionNode, call: ActionCall, beside: Reads | None) -> Result:
    """Do a read, together with others if it may.

    Raises:
        StepFailure: It failed for good.
    """
    if beside is not None:
        outcome = await beside.outcome(node, call)
        if outcome.result is not None:
            return outcome.result
        if outcome.error is not None:
            if not outcome.again or not tries_again(node.retry, outcome.error):
                raise StepFailure(outcome.error)
            await asyncio.sleep(outcome.after or node.retry.backoff)
            left = node.retry.model_copy(update={"attempts": node.retry.attempts - 1})
            node = node.model_copy(update={"retry": left})
    return await run_action(node, node.action, call, Result, node.timeout or node.spec.plan_timeout)


_BY_ITSELF = Outcome(again=True)
