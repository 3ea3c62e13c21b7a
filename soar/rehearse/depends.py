"""What a step's course depends on, as far as its expressions say: the outcome of other steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import JsonValue

from soar.model.terms import Risk
from soar.playbook.builtins import UNDO
from soar.playbook.expressions import ExpressionError, names_used
from soar.playbook.graph import (
    ActionNode,
    BranchNode,
    ForeachNode,
    Node,
    PlaybookNode,
    RepeatNode,
    SetNode,
    StepGraph,
    bodies,
    walk,
)

__all__ = ["Dependencies"]


class Dependencies:
    """Which steps each step of a playbook reads, and which steps it stands in.

    Args:
        graph: The playbook compiled.
    """

    def __init__(self, graph: StepGraph) -> None:
        self._graph = graph
        self._setters: dict[str, list[str]] = {}
        for node in graph.nodes.values():
            for name in node.values if isinstance(node, SetNode) else ():
                self._setters.setdefault(name, []).append(node.id)
        self._reads = {node.id: frozenset(self._read_by(node)) for node in graph.nodes.values()}
        self.inside = {node.id: self._inside(node) for node in graph.nodes.values()}

    def unsure(self, start: frozenset[str]) -> dict[str, tuple[str, ...]]:
        """The steps whose course nobody can know.

        Args:
            start: The steps whose outcome nobody can know, for whatever reason.

        Returns:
            Step → the steps of unknown outcome that it depends on.
        """
        unknown = set(start)
        why: dict[str, set[str]] = {}
        while True:
            before = len(unknown), sum(map(len, why.values()))
            for node_id in self._graph.nodes:
                if hit := self._reads[node_id] & unknown - {node_id}:
                    why.setdefault(node_id, set()).update(hit)
                    unknown.add(node_id)
                for inner in self.inside[node_id]:
                    if node_id in why:  # whether it is reached at all depends on the same
                        why.setdefault(inner, set()).update(why[node_id] - {inner})
                        unknown.add(inner)
                    if inner in unknown and isinstance(self._graph.nodes[node_id], ForeachNode | RepeatNode):
                        unknown.add(node_id)  # its result holds those of its rounds
            if before == (len(unknown), sum(map(len, why.values()))):
                return {node_id: tuple(sorted(found)) for node_id, found in why.items() if found}

    def _inside(self, node: Node) -> frozenset[str]:
        return frozenset(n.id for entry in bodies(node) for n in walk(self._graph, entry)) - {node.id}

    def _read_by(self, node: Node) -> Iterator[str]:
        for source, bare in _sources(node):
            yield from self._steps_in(source, bare=bare)
        if isinstance(node, ActionNode) and node.action == UNDO:
            yield from self._undone_by(node)

    def _steps_in(self, source: str, *, bare: bool) -> Iterator[str]:
        try:
            uses = names_used(source, bare=bare)
        except ExpressionError:  # the step itself fails with it, and says so
            return
        for use in uses:
            root, name = use.path[0], use.path[1] if len(use.path) > 1 else None
            if root == "steps":
                yield from [name] if name is not None else self._graph.nodes
            elif root == "vars":
                for setters in [self._setters.get(name, [])] if name else self._setters.values():
                    yield from setters

    def _undone_by(self, node: ActionNode) -> Iterator[str]:
        """The changes that an undo puts back."""
        if "step" in node.params:
            yield str(node.params["step"])
            return
        for other in self._graph.nodes.values():
            if not isinstance(other, ActionNode) or other.spec.risk is Risk.READ or other.action == UNDO:
                continue
            if node.params.get("phase", other.phase.value) == other.phase.value:
                yield other.id


def _sources(node: Node) -> Iterator[tuple[str, bool]]:
    """The expressions that decide a step's course: each with whether it is a bare one."""
    if node.when is not None:
        yield node.when, True
    match node:
        case ActionNode():
            yield from ((text, False) for text in _texts([node.params, node.account, node.region]))
        case PlaybookNode():
            yield from ((text, False) for text in _texts(node.params))
        case SetNode():
            yield from ((text, False) for text in _texts(node.values))
        case BranchNode():
            yield from ((case.condition, True) for case in node.cases)
        case ForeachNode():
            yield node.items, True
        case RepeatNode():
            yield node.until, True


def _texts(value: JsonValue | Mapping[str, JsonValue]) -> Iterator[str]:
    match value:
        case str():
            yield value
        case Mapping():
            for item in value.values():
                yield from _texts(item)
        case list():
            for item in value:
                yield from _texts(item)
