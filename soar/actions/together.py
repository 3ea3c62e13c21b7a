"""Several reads of one task queue in one activity: they change nothing, so nothing is lost if they are done again.

To plan a change is a read as well.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError

from soar.actions.calls import TOGETHER, ActionCall, NamedCall, Outcome, Proposal
from soar.model.change import ErrorInfo, Result

__all__ = ["together_activity"]

AT_ONCE = 16
"""Reads of one activity that run at the same time; the services that they ask have limits of their own."""
ONE_TRAVELS = 128 * 1024
"""Bytes that a result may have to travel with others."""
ALL_TRAVEL = 1024 * 1024
"""Bytes that all of them may have: Temporal takes 2 MiB in one piece."""

Read = Callable[[ActionCall], Awaitable[Result | Proposal]]

_LATE: set[asyncio.Task[Outcome]] = set()
"""Reads that were not waited for any longer: they end by themselves, and what they find is of no use."""


def together_activity(reads: Mapping[str, Read]) -> Callable[..., Any]:
    """The activity that does several of these reads at once.

    Args:
        reads: The activity of each read, and of each change's plan, by name.
    """

    @activity.defn(name=TOGETHER)
    async def together(calls: list[NamedCall]) -> list[Outcome]:
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(named: NamedCall) -> Outcome:
            async with gate:
                return await _outcome(reads.get(named.activity), named)

        patience = min((named.patience for named in calls if named.patience is not None), default=None)
        return _as_far_as_it_travels(await _outcomes([one(named) for named in calls], patience))

    return together


async def _outcomes(reads: Iterable[Any], patience: float | None) -> list[Outcome]:
    """What all of them found; or, of those that take much longer than the first, that they are to be asked again.

    Args:
        patience: Seconds that are waited after the first; None: as long as it takes.
    """
    if patience is None:
        return list(await asyncio.gather(*reads))
    tasks = [asyncio.create_task(read) for read in reads]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    _, late = await asyncio.wait(tasks, timeout=patience)
    _LATE.update(late)
    for task in late:
        task.add_done_callback(_LATE.discard)
    return [Outcome(again=True) if task in late else task.result() for task in tasks]


def _as_far_as_it_travels(outcomes: list[Outcome]) -> list[Outcome]:
    found, whole = [], 0
    for outcome in outcomes:
        size = len(outcome.model_dump_json())
        fits = size <= ONE_TRAVELS and whole + size <= ALL_TRAVEL
        whole += size if fits else 0
        found.append(outcome if fits else Outcome(again=True))
    return found


async def _outcome(read: Read | None, named: NamedCall) -> Outcome:
    if read is None:
        # Asked for by itself, it waits for a worker that knows it.
        return Outcome(again=True)
    try:
        found = await read(named.call)
    except ApplicationError as error:
        delay = error.next_retry_delay
        return Outcome(
            error=error.details[0] if error.details else ErrorInfo(type="Unexpected", message=error.message),
            again=not error.non_retryable,
            after=delay.total_seconds() if delay else 0.0,
        )
    return Outcome(proposal=found) if isinstance(found, Proposal) else Outcome(result=found)
