"""Delivery: what is on the timeline reaches the store, and from there the chat.

Neither is ever waited for by the response: an outage of the database or of Slack delays what people see, not the
containment. Entries go in batches, in order, until they are acknowledged.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError

from soar.engine.journal import Journal
from soar.engine.messages import CHAT_QUEUE, ChatSyncRequest

__all__ = ["Delivery"]

BATCH = 200
"""Timeline entries in one store write."""

PATIENT = RetryPolicy(
    initial_interval=timedelta(seconds=1), backoff_coefficient=2, maximum_interval=timedelta(seconds=30)
)
CHAT_GRACE = timedelta(hours=1)
"""How long an ended incident still waits for an unreachable chat."""


class Delivery:
    """Ships the journal's entries, for as long as the workflow runs.

    Args:
        chat: Whether there is a chat to bring up to date.
        told: The last entry that an earlier run has told the chat.
    """

    def __init__(self, journal: Journal, *, chat: bool, told: int = 0) -> None:
        self._journal, self._chat = journal, chat
        self._stored = self._told = told
        self._closing = False
        self._loops: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to ship."""
        self._loops = [asyncio.create_task(self._to_store())]
        if self._chat:
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
        target = self._journal.incident.head_seq
        await workflow.wait_condition(lambda: self._stored >= target)

    async def _to_store(self) -> None:
        unstored = self._journal.unstored
        while True:
            await workflow.wait_condition(lambda: bool(unstored) or self._closing)
            if not unstored:
                return
            batch = unstored[:BATCH]
            await workflow.execute_activity(
                "store.project",
                batch,
                start_to_close_timeout=timedelta(seconds=30),
                retry_policy=PATIENT,
                summary=f"entries {batch[0].seq}–{batch[-1].seq}",
            )
            del unstored[: len(batch)]
            self._stored = batch[-1].seq

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
