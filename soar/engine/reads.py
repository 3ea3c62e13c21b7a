"""Reads that are done together: one activity where there would be many. To plan a change is a read as well."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError

from soar.actions.calls import TOGETHER, ActionCall, NamedCall, Outcome, Proposal
from soar.engine.activities import HEARTBEAT_TIMEOUT, StepFailure, run_action, task_queue, tries_again
from soar.model.change import Result
from soar.playbook.beside import MOST, SHORT
from soar.playbook.graph import ActionNode

__all__ = ["PATIENCE", "Ahead", "Reads", "propose", "read"]

SLACK = 30.0
"""Seconds that several reads may take longer than the slowest of them."""
PATIENCE = 2.0
"""Seconds that a plan waits for others that were begun with it, and that would not wait for it."""
FRESH = timedelta(seconds=30)
"""How old a plan may be that was made ahead; an older one is made again."""


@dataclass
class _Asked:
    node: ActionNode
    activity: str
    call: ActionCall
    found: asyncio.Future[Outcome] = field(default_factory=asyncio.Future)


@dataclass(frozen=True)
class Ahead:
    """A plan that was made together with the reads before its step.

    Args:
        asked_at: When it was asked for.
    """

    call: ActionCall
    proposal: Proposal
    asked_at: datetime

    def serves(self, call: ActionCall) -> bool:
        """Whether it is the plan that the step would have made now."""
        return call == self.call and workflow.now() - self.asked_at <= FRESH


class Reads:
    """The reads of steps that begin together.

    Those that are asked for in one workflow task and belong to one task queue are one activity. What that cannot give
    (an error that may pass, a result too large to travel with others, a worker that died) each step then asks for by
    itself, with the retries that the playbook gives it.

    Args:
        patience: Seconds that the first result waits for the others; None: its step would wait for them anyway.
    """

    def __init__(self, patience: float | None = None) -> None:
        self._patience = patience
        self._asked: list[_Asked] = []
        self._under_way: list[asyncio.Task[None]] = []

    async def outcome(self, node: ActionNode, activity: str, call: ActionCall) -> Outcome:
        """What came of a read that was done with others."""
        asked = _Asked(node, activity, call)
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
        self._under_way = [task for task in self._under_way if not task.done()]
        for queue, several in queues.items():
            waiting = iter(several)
            while row := list(islice(waiting, MOST)):
                if len(row) == 1:
                    row[0].found.set_result(_BY_ITSELF)
                else:
                    self._under_way.append(asyncio.create_task(self._together(queue, row)))

    async def _together(self, queue: str | None, asked: list[_Asked]) -> None:
        limit = max(_seconds(one.node) for one in asked)
        calls = [NamedCall(activity=one.activity, call=one.call, patience=self._patience) for one in asked]
        try:
            outcomes = await workflow.execute_activity(
                TOGETHER,
                calls,
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


def _seconds(node: ActionNode) -> float:
    return node.timeout or node.spec.plan_timeout


async def read(node: ActionNode, call: ActionCall, beside: Reads | None) -> Result:
    """Do a read, together with others if it may.

    Raises:
        StepFailure: It failed for good.
    """
    if beside is not None:
        outcome = await beside.outcome(node, node.action, call)
        if outcome.result is not None:
            return outcome.result
        node = await _again(node, outcome)
    return await run_action(node, node.action, call, Result, _seconds(node))


async def propose(node: ActionNode, call: ActionCall, beside: Reads | None) -> Proposal:
    """Have a change planned, together with others if it may.

    Raises:
        StepFailure: It failed for good.
    """
    activity, seconds = f"{node.action}:plan", node.spec.plan_timeout
    if beside is not None and seconds <= SHORT:
        outcome = await beside.outcome(node, activity, call)
        if outcome.proposal is not None:
            return outcome.proposal
        node = await _again(node, outcome)
    return await run_action(node, activity, call, Proposal, seconds)


async def _again(node: ActionNode, outcome: Outcome) -> ActionNode:
    """Wait before a read is asked for by itself.

    Returns:
        The step, with as many attempts as are left.

    Raises:
        StepFailure: It is not to be tried again.
    """
    if outcome.error is None:
        return node
    if not outcome.again or not tries_again(node.retry, outcome.error):
        raise StepFailure(outcome.error)
    await asyncio.sleep(outcome.after or node.retry.backoff)
    left = node.retry.model_copy(update={"attempts": node.retry.attempts - 1})
    return node.model_copy(update={"retry": left})


_BY_ITSELF = Outcome(again=True)
