"""The interpreter: one walk over the step graph."""

from __future__ import annotations

import asyncio

from soar.engine.run import Run, Stopped
from soar.engine.steps import StepRunner
from soar.model.events import PhaseEnded, PhaseStarted
from soar.model.terms import Phase
from soar.playbook.graph import ActionNode, ParallelNode

__all__ = ["Interpreter"]


class Interpreter:
    """Walks an incident's playbook through the phases.

    Args:
        run: The incident.
        steps: Runs the steps that it comes to.
    """

    def __init__(self, run: Run, steps: StepRunner) -> None:
        self._run, self._steps = run, steps

    async def play(self) -> None:
        """Run every phase that has steps, in order.

        Raises:
            Stopped: A step, or a person, ended it early.
        """
        graph, journal = self._run.start.graph, self._run.journal
        for phase in Phase:
            entry = graph.entries.get(phase)
            if entry is None:
                continue
            self._run.check()
            journal.record(PhaseStarted(phase=phase), f"Phase: {phase.label}", phase=phase)
            await self._chain(entry)
            journal.record(PhaseEnded(phase=phase), f"Phase ended: {phase.label}", phase=phase)

    async def _chain(self, entry: str) -> None:
        """Run nodes one after the other until one has no next: the end of a phase, or of a branch."""
        nodes = self._run.start.graph.nodes
        current: str | None = entry
        while current is not None:
            node = nodes[current]
            match node:
                case ActionNode():
                    await self._steps.execute(node)
                case ParallelNode():
                    await self._parallel(node)
            current = node.next

    async def _parallel(self, node: ParallelNode) -> None:
        """Run the branches at once. When one stops the playbook, the others still end what they have begun."""
        ended = await asyncio.gather(*(self._chain(b) for b in node.branches), return_exceptions=True)
        errors = [e for e in ended if isinstance(e, BaseException)]
        unexpected = [e for e in errors if not isinstance(e, Stopped)]
        for error in unexpected or errors:
            raise error
