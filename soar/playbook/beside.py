"""What may be done together although it is written one after the other: reads that need nothing of each other.

To plan a change is a read as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise

from pydantic import JsonValue

from soar.model.terms import Phase, Risk
from soar.playbook.builtins import BUILTIN_SPECS
from soar.playbook.expressions import ExpressionError, NameUse, names_used
from soar.playbook.graph import ActionNode, Node

__all__ = ["MOST", "SHORT", "planned_ahead", "read_beside"]

SHORT = 60.0
"""Seconds that a read may be allowed to take: its neighbours wait for it."""
MOST = 20
"""Steps that run together."""


def read_beside(nodes: Mapping[str, Node]) -> tuple[str, ...]:
    """The steps that may begin together with the one before them.

    Both are short reads, and the later one uses no result of the earlier ones that it would run with. A read changes
    nothing, so it does no harm if it is done although an earlier one fails.

    Args:
        nodes: Of a playbook in which each node follows at most one other.

    Returns:
        Their ids, in the order of `nodes`.
    """
    found = {node_id for first in _firsts(nodes) for row, _ in _rows(nodes, first) for node_id in row[1:]}
    return tuple(node_id for node_id in nodes if node_id in found)


def planned_ahead(nodes: Mapping[str, Node], entries: Mapping[Phase, str]) -> tuple[str, ...]:
    """The changes that may be planned together with the reads right before them.

    They have no condition and use no result of these reads. To plan changes nothing, so it does no harm if it is done
    although a read fails. Before it is applied, the plan is compared with a new one in any case.

    Args:
        nodes: Of a playbook in which each node follows at most one other.
        entries: The first node of each phase: it follows the last one of the phase before.

    Returns:
        Their ids, in the order of `nodes`.
    """
    phases = [entries[phase] for phase in Phase if phase in entries]
    after = dict(pairwise(phases))
    found = set()
    for first in _firsts(nodes):
        for row, following in _rows(nodes, first):
            change = following or after.get(first)
            if change is not None and _plannable(nodes[change]) and not _needs(nodes[change], row):
                found.add(change)
    return tuple(node_id for node_id in nodes if node_id in found)


def _firsts(nodes: Mapping[str, Node]) -> list[str]:
    """Where the chains of nodes begin."""
    followers = {node.next for node in nodes.values()}
    return [node_id for node_id in nodes if node_id not in followers]


def _rows(nodes: Mapping[str, Node], first: str) -> Iterator[tuple[list[str], str | None]]:
    """The reads of a chain that begin together, and what follows them; None: the chain ends."""
    row: list[str] = []
    current: str | None = first
    while current is not None:
        node = nodes[current]
        if row and len(row) < MOST and _short_read(node) and not _needs(node, row):
            row.append(current)
        else:
            if row:
                yield row, current
            row = [current] if _short_read(node) else []
        current = node.next
    if row:
        yield row, None


def _short_read(node: Node) -> bool:
    return (
        isinstance(node, ActionNode)
        and node.spec.risk is Risk.READ
        and node.action not in BUILTIN_SPECS
        and (node.timeout or node.spec.plan_timeout) <= SHORT
    )


def _plannable(node: Node) -> bool:
    return (
        isinstance(node, ActionNode)
        and node.spec.risk is not Risk.READ
        and node.action not in BUILTIN_SPECS
        and node.when is None
        and node.spec.plan_timeout <= SHORT
    )


def _needs(node: Node, earlier: list[str]) -> bool:
    try:
        used = {use.path[:2] for use in _uses(node)}
    except ExpressionError:
        return True
    # What an earlier step found may raise the severity; and what is read of `steps` as a whole may be anything.
    moving = {("steps",), ("incident",), ("incident", "severity")}
    return bool(used & moving) or any(("steps", step_id) in used for step_id in earlier)


def _uses(node: Node) -> Iterator[NameUse]:
    if not isinstance(node, ActionNode):
        return
    if node.when is not None:
        yield from names_used(node.when, bare=True)
    for text in _texts([node.params, node.account, node.region]):
        yield from names_used(text)


def _texts(value: JsonValue) -> Iterator[str]:
    match value:
        case str():
            yield value
        case list():
            for item in value:
                yield from _texts(item)
        case dict():
            for key, item in value.items():
                yield from _texts(key)
                yield from _texts(item)
