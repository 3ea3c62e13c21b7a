"""Which steps an incident has to have achieved before it counts as contained."""

from __future__ import annotations

from collections.abc import Iterator

from soar.model.terms import Phase, Risk
from soar.playbook.builtins import UNDO
from soar.playbook.graph import ActionNode, Node, ParallelNode, PlaybookNode, StepGraph, bodies, walk

__all__ = ["contained_by"]


def contained_by(graph: StepGraph) -> tuple[str, ...]:
    """The steps that containment stands or falls with.

    A change that lies on every way counts itself. Of a branch or a loop that holds changes, the branch or loop counts:
    which of them are made is known only when it has ended.

    Returns:
        Their ids, in the order of the walk; empty if the phase changes nothing.
    """
    entry = graph.entries.get(Phase.CONTAINMENT)
    return tuple(_counting(graph, entry)) if entry is not None else ()


def _counting(graph: StepGraph, entry: str) -> Iterator[str]:
    current: str | None = entry
    while current is not None:
        node = graph.nodes[current]
        if isinstance(node, ParallelNode) and node.when is None:
            for branch in node.branches:
                yield from _counting(graph, branch)
        elif _changes(graph, node):
            yield node.id
        current = node.next


def _changes(graph: StepGraph, node: Node) -> bool:
    if isinstance(node, ActionNode):
        return node.spec.risk is not Risk.READ and node.action != UNDO
    if isinstance(node, PlaybookNode):
        child = graph.children[node.playbook].graph
        return any(_changes(child, inner) for start in child.entries.values() for inner in walk(child, start))
    return any(_changes(graph, inner) for body in bodies(node) for inner in walk(graph, body))
