"""The same work as the playbooks of `interpreter.py`, as somebody would write it by hand for Temporal."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import ClassVar

from temporalio import workflow

from soar.actions.calls import ActionCall
from soar.model.change import Result

__all__ = ["STEPS", "Realistic", "Trivial"]

STEPS = 10


@workflow.defn(sandboxed=False)
class Trivial:
    """Ten activities, one after the other."""

    @workflow.run
    async def run(self, call: ActionCall) -> None:
        """Call them."""
        for _ in range(STEPS):
            await workflow.execute_activity(
                "bench.noop", call, result_type=Result, start_to_close_timeout=timedelta(seconds=30)
            )


@workflow.defn(sandboxed=False)
class Realistic:
    """An activity for each step, in turn, and an update for the approval."""

    asking: ClassVar[Callable[[str], object]]
    """Tells whoever approves, with the workflow's id: the benchmark's own way, which costs neither side anything."""

    def __init__(self) -> None:
        self._approved = False

    @workflow.run
    async def run(self, call: ActionCall) -> None:
        """Read, ask, change, tell."""
        for number in range(17):
            if number == 12:
                if not workflow.unsafe.is_replaying():
                    Realistic.asking(workflow.info().workflow_id)
                await workflow.wait_condition(lambda: self._approved)
            await workflow.execute_activity(
                "bench.noop", call, result_type=Result, start_to_close_timeout=timedelta(seconds=30)
            )

    @workflow.update
    def approve(self) -> None:
        """Somebody approves."""
        self._approved = True
