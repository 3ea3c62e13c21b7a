"""Delivery: what is on the timeline reaches the store, and from there the chat.

Neither is ever waited for by the response: an outage of the database or of Slack delays what people see, not the
containment. Entries go in batches, in order, until they are acknowledged.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, FailureError

from soar.engine.messages import CHAT_QUEUE, ChatSyncRequest
from soar.engine.run import Run
from soar.model.events import ReportWritten
from soar.model.terms import IncidentStatus
from soar.model.timeline import TimelineEntry

__all__ = ["PATIENT", "Delivery"]

BATCH = 200
"""Timeline entries in one store write."""
TOGETHER = 1.0
"""Seconds that entries wait for others, where nobody is asked anything."""
LONGEST = 4.0
"""Seconds that they wait once that went on for a while: each write is twelve events of history."""

AT_ONCE = timedelta(seconds=3)
"""How long a workflow task may be held by a write to the store."""

PATIENT = RetryPolicy(
    initial_interval=timedelta(seconds=1), backoff_coefficient=2, maximum_interval=timedelta(seconds=30)
)
CHAT_GRACE = timedelta(hours=1)
"""How long an ended incident still waits for an unreachable chat."""


class Delivery:
    """Ships the journal's entries, for as long as the workflow runs.

    Args:
        run: The incident; whether there is a chat to bring up to date.
        told: The last entry that an earlier run has told the chat.
    """

    def __init__(self, run: Run, *, told: int = 0) -> None:
        self._run, self._journal = run, run.journal
        self._stored = self._told = told
        self._wanted = 0
        self._closing = self._shipping = self._ringing = self._due = False
        self._pause = TOGETHER
        self._timer: asyncio.Task[None] | None = None
        self._loops: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to ship."""
        self._loops = [asyncio.create_task(self._to_store())]
        if self._run.start.chat:
            self._loops.append(asyncio.create_task(self._to_chat()))

    async def finish(self) -> None:
        """Ship everything that is recorded, then stop."""
        self._closing = True
        for loop in self._loops:
            await loop

    @property
    def told(self) -> int:
        """The last entry that the chat has."""
        return self._told

    @property
    def idle(self) -> bool:
        """Whether the store has everything. The chat is not waited for: the next run brings it up to date."""
        return not self._journal.unstored

    async def stored(self) -> None:
        """Wait until everything recorded so far is in the store."""
        target = self._wanted = self._journal.incident.head_seq
        await workflow.wait_condition(lambda: self._stored >= target)

    @property
    def up_to(self) -> int:
        """The last entry that the store has."""
        return self._stored

    @contextlib.asynccontextmanager
    async def handing_over(self) -> AsyncIterator[tuple[TimelineEntry, ...]]:
        """Around another activity that takes what is recorded so far along to the store."""
        if self._run.start.engine < 2 or len(self._journal.unstored) > BATCH:
            await self.stored()
        if self._run.start.engine < 2:
            yield ()
            return
        while self._shipping:
            await workflow.wait_condition(lambda: not self._shipping)
        self._shipping = True
        try:
            batch = tuple(self._journal.unstored)
            yield batch
            self._shipped(len(batch))
        finally:
            self._shipping = False

    async def _to_store(self) -> None:
        unstored = self._journal.unstored
        while True:
            await workflow.wait_condition(lambda: (bool(unstored) and not self._shipping) or self._closing)
            if not unstored:
                return
            await self._together()
            if self._shipping or not unstored:
                continue
            self._shipping = True
            try:
                await self._ship()
            finally:
                self._shipping = False

    async def _ship(self) -> None:
        self._due = False
        batch = self._journal.unstored[:BATCH]
        if not await self._at_once(batch):
            await self._by_activity(batch)
        self._shipped(len(batch))

    async def _at_once(self, batch: list[TimelineEntry]) -> bool:
        """Store the line about the last report in the workflow task that ends the incident.

        It may be a local activity, which no other entry may (see `_together`): its time is in history, with the report
        that it tells of, so that a task which is done again tells the very same entry.

        Returns:
            Whether it is stored; if not, it goes the usual way.
        """
        event = batch[0].event
        ended = self._journal.incident.status.ended and len(batch) == 1
        timed = isinstance(event, ReportWritten) and event.written_at is not None
        if not (ended and timed) or self._run.start.engine < 3:
            return False
        try:
            await workflow.execute_local_activity(
                "store.project",
                batch,
                start_to_close_timeout=AT_ONCE,
                retry_policy=RetryPolicy(maximum_attempts=1),
            )
        except FailureError as error:
            # Not always an ActivityError: what fails in a local activity comes as it is.
            workflow.logger.info("the last entry is stored the usual way: %s", error)
            return False
        return True

    async def _by_activity(self, batch: list[TimelineEntry]) -> None:
        await workflow.execute_activity(
            "store.project",
            batch,
            start_to_close_timeout=timedelta(seconds=30),
            retry_policy=PATIENT,
            summary=f"entries {batch[0].seq}–{batch[-1].seq}",
        )

    async def _together(self) -> None:
        """Wait a moment for further entries, unless somebody waits for these.

        Not by local activities, although each would be one event instead of six: their input is in no history. A
        workflow task that is lost with its worker, or given back by the server because something arrived, is done
        again, tells its entries at another time, and the store would have two that differ.
        """
        if self._run.start.engine < 2:
            return
        if self._urgent:
            self._pause = TOGETHER
            return
        if not self._ringing:
            # A timer is never taken back: that would be one event more, and it rings in a moment anyway.
            self._ringing = True
            self._timer = asyncio.create_task(self._ring())
        await workflow.wait_condition(lambda: self._due or self._urgent)

    async def _ring(self) -> None:
        await asyncio.sleep(self._pause)
        self._pause = min(self._pause * 2, LONGEST)
        self._ringing, self._due = False, True

    @property
    def _urgent(self) -> bool:
        incident = self._journal.incident
        return (
            self._closing
            or self._wanted > self._stored
            or len(self._journal.unstored) >= BATCH
            or incident.status is not IncidentStatus.OPEN
            or incident.paused is not None
        )

    def _shipped(self, count: int) -> None:
        if count:
            self._stored = self._journal.unstored[count - 1].seq
            del self._journal.unstored[:count]

    async def _to_chat(self) -> None:
        while True:
            await workflow.wait_condition(lambda: self._stored > self._told or self._drained)
            target = self._stored
            if target == self._told:
                return
            grace = CHAT_GRACE if self._closing else None
            try:
                await workflow.execute_activity(
                    "chat.sync",
                    ChatSyncRequest(incident_id=self._journal.incident.id, seq=target),
                    task_queue=CHAT_QUEUE,
                    start_to_close_timeout=timedelta(seconds=60),
                    schedule_to_close_timeout=grace,
                    retry_policy=PATIENT,
                )
            except ActivityError as error:
                workflow.logger.warning("the chat was not brought up to date: %s", error.cause or error)
            self._told = target

    @property
    def _drained(self) -> bool:
        return self._closing and not self._journal.unstored
