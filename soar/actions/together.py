"""Several reads of one task queue in one activity: they change nothing, so nothing is lost if they are done again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError

from soar.actions.calls import TOGETHER, ActionCall, NamedCall, Outcome
from soar.model.change import ErrorInfo, Result

__all__ = ["together_activity"]

AT_ONCE = 8
"""Reads of one activity that run at the same time; the services that they ask have limits of their own."""
TRAVELS = 128 * 1024
"""Bytes that a result may have to travel with others: Temporal takes 2 MiB in one piece."""

Read = Callable[[ActionCall], Awaitable[Result]]


def together_activity(reads: Mapping[str, Read]) -> Callable[..., Any]:
    """The activity that does several of these reads at once.

    Args:
        reads: Each read's own activity, by name.
    """

    @activity.defn(name=TOGETHER)
    async def together(calls: list[NamedCall]) -> list[Outcome]:
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(named: NamedCall) -> Outcome:
            async with gate:
                return await _outcome(reads.get(named.activity), named)

        return list(await asyncio.gather(*(one(named) for named in calls)))

    return together


async def _outcome(read: Read | None, named: NamedCall) -> Outcome:
    if read is None:
        # Asked for by itself, it waits for a worker that knows it.
        return Outcome(again=True)
    try:
        result = await read(named.call)
    except ApplicationError as error:
        delay = error.next_retry_delay
        return Outcome(
            error=error.details[0] if error.details else ErrorInfo(type="Unexpected", message=error.message),
            again=not error.non_retryable,
            after=delay.total_seconds() if delay else 0.0,
        )
    if len(result.model_dump_json()) > TRAVELS:
        return Outcome(again=True)
    return Outcome(result=result)
