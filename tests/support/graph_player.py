"""Plays a step graph without Temporal: what is done, in which order, with which values, if some steps fail.

It is no test of the engine. It shows what a graph means to one that keeps to `soar.playbook.graph`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from soar.model.terms import Phase
from soar.playbook.expressions import evaluate, render
from soar.playbook.graph import (
    ActionNode,
    BranchNode,
    Node,
    ParallelNode,
    PlaybookNode,
    RepeatNode,
    SetNode,
    StepGraph,
    TaskNode,
    WaitNode,
)


class StoppedError(Exception):
    """A step failed whose failure stops everything."""


@dataclass
class Player:
    """Plays one graph.

    Args:
        fails: The steps that fail, by their id; a number: how often.
        results: What steps give, by their id.
        done: What was done: id, and the rendered arguments, instructions or seconds.
    """

    graph: StepGraph
    fails: Mapping[str, int] = field(default_factory=dict)
    results: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, Any] = field(default_factory=dict)
    done: list[tuple[str, Any]] = field(default_factory=list)
    steps: dict[str, Any] = field(default_factory=dict)
    variables: dict[str, Any] = field(default_factory=dict)
    failed: bool = False

    def play(self) -> list[str]:
        """Play all phases, and what follows a failure.

        Returns:
            The ids of what was done.
        """
        try:
            for phase in Phase:
                if phase in self.graph.entries:
                    self._row(self.graph.entries[phase])
        except StoppedError:
            self.failed = True
            if self.graph.failure is not None:
                with contextlib.suppress(StoppedError):
                    self._row(self.graph.failure)
        return [step_id for step_id, _ in self.done]

    def _names(self) -> dict[str, Any]:
        return {"vars": self.variables, "steps": self.steps, "inputs": self.inputs}

    def _row(self, entry: str | None) -> None:
        while entry is not None:
            node = self.graph.nodes[entry]
            if node.when is None or evaluate(node.when, self._names()):
                self._node(node)
            entry = node.next

    def _node(self, node: Node) -> None:
        count = sum(1 for step_id, _ in self.done if step_id == node.id)
        status = "succeeded"
        match node:
            case SetNode():
                self.variables |= {name: render(value, self._names()) for name, value in node.values.items()}
            case BranchNode():
                chosen = next(
                    (c.entry for c in node.cases if evaluate(c.condition, self._names())), node.default
                )
                self._row(chosen)
            case ParallelNode():
                for branch in node.branches:
                    self._row(branch)
            case RepeatNode():
                for _ in range(node.attempts):
                    self._row(node.body)
                    if evaluate(node.until, self._names()):
                        break
                else:
                    status = "failed"
            case WaitNode():
                self.done.append((node.id, node.seconds))
            case ActionNode():
                self.done.append((node.id, render(node.params, self._names())))
            case PlaybookNode():
                self.done.append((node.id, render(node.params, self._names())))
            case TaskNode():
                self.done.append((node.id, render(node.instructions, self._names())))
        if count < self.fails.get(node.id, 0):
            status = "failed"
        result = self.results.get(node.id, {})
        given = result[min(count, len(result) - 1)] if isinstance(result, list) else result
        self.steps[node.id] = {"status": status, "result": given if status == "succeeded" else {}}
        if status == "failed" and node.on_error != "continue":
            raise StoppedError(node.id)
