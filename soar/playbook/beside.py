"""Which steps may run together although they are written one after the other: reads that need nothing of each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import JsonValue

from soar.model.terms import Risk
from soar.playbook.builtins import BUILTIN_SPECS
from soar.playbook.expressions import ExpressionError, NameUse, names_used
from soar.playbook.graph import ActionNode, Node

__all__ = ["read_beside"]

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
    followers = {node.next for node in nodes.values()}
    found: set[str] = set()
    for node in nodes.values():
        if node.id not in followers:
            found.update(_in_chain(nodes, node))
    return tuple(node_id for node_id in nodes if node_id in found)


def _in_chain(nodes: Mapping[str, Node], first: Node) -> Iterator[str]:
    row: list[str] = []
    current: Node | None = first
    while current is not None:
        if not isinstance(current, ActionNode) or not _short_read(current):
            row = []
        elif row and len(row) < MOST and not _needs(current, row):
            yield current.id
            row.append(current.id)
        else:
            row = [current.id]
        current = nodes[current.next] if current.next is not None else None


def _short_read(node: ActionNode) -> bool:
    return (
        node.spec.risk is Risk.READ
        and node.action not in BUILTIN_SPECS
        and (node.timeout or node.spec.plan_timeout) <= SHORT
    )


def _needs(node: ActionNode, earlier: list[str]) -> bool:
    try:
        used = {use.path[:2] for use in _uses(node)}
    except ExpressionError:
        return True
    # What an earlier step found may raise the severity; and what is read of `steps` as a whole may be anything.
    moving = {("steps",), ("incident",), ("incident", "severity")}
    return bool(used & moving) or any(("steps", step_id) in used for step_id in earlier)


def _uses(node: ActionNode) -> Iterator[NameUse]:
    if node.when is not None:
        yield from names_used(node.when, bare=True)
    for text in _texts(node.params):
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
