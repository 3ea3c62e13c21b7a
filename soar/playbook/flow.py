"""What holds where a step runs: the conditions around it, which steps have surely ended, what is surely not null."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from jinja2 import nodes

from soar.playbook.compiler import PlacedStep
from soar.playbook.document import Path
from soar.playbook.expressions import ExpressionError, evaluate, expression_in, names_used
from soar.playbook.steps import IfStep, RepeatStep, SetStep, SwitchStep

__all__ = ["Condition", "Flow", "constant", "ensured", "path_of"]


@dataclass(frozen=True)
class Condition:
    """Something that holds wherever a step runs.

    Args:
        source: The expression.
        holds: Whether it holds, or does not (after `else`).
        case: Of a switch, the case that was taken.
        path: Where it stands in the file.
        own: Whether it is the step's own `when`.
    """

    source: str
    path: Path
    holds: bool = True
    case: str | int | None = None
    own: bool = False

    def parts(self) -> Iterator[tuple[bool, str | int | None, nodes.Node | str]]:
        """What it says, each thing by itself, to be compared with what others say."""
        tree = expression_in(self.source, bare=True)
        whole: nodes.Node | str = self.source if tree is None else tree
        if self.holds and self.case is None:
            yield from ((True, None, part) for part in _conjuncts(whole))
        else:
            yield self.holds, self.case, whole


def _conjuncts(tree: nodes.Node | str) -> list[nodes.Node | str]:
    if isinstance(tree, nodes.And):
        return [*_conjuncts(tree.left), *_conjuncts(tree.right)]
    return [tree]


class Flow:
    """The steps of a playbook and the ways through them. `setters` are the steps that set each name of `vars`."""

    def __init__(self, placed: list[PlacedStep]) -> None:
        self.placed = placed
        self.by_id = {place.id: place for place in placed}
        self.setters: dict[str, list[PlacedStep]] = {}
        for place in placed:
            for name in place.step.set if isinstance(place.step, SetStep) else ():
                self.setters.setdefault(name, []).append(place)
        self._around: dict[str, tuple[PlacedStep, ...]] = {}
        by_path = {place.path: place for place in placed}
        for place in placed:
            outer = (by_path.get(place.path[:end]) for end in range(1, len(place.path)))
            self._around[place.id] = tuple(p for p in outer if p is not None)

    def around(self, place: PlacedStep) -> tuple[PlacedStep, ...]:
        """The steps that hold a step, the outermost first."""
        return self._around[place.id]

    def conditions(self, place: PlacedStep, *, own: bool = True) -> list[Condition]:
        """What holds wherever a step runs.

        Args:
            own: With its own `when`; without, what holds where that is looked at.
        """
        found: list[Condition] = []
        for outer in self.around(place):
            found += _when(outer, own=False)
            found += _branch(outer, place)
        return [*found, *_when(place, own=True)] if own else found

    def missing(self, place: PlacedStep, reader: PlacedStep) -> list[Condition]:
        """The conditions of a step that do not hold by themselves wherever another runs."""
        held = [part for condition in self.conditions(reader) for part in condition.parts()]
        return [
            condition
            for condition in self.conditions(place)
            if any(part not in held for part in condition.parts())
        ]

    def passed_over(self, place: PlacedStep, reader: PlacedStep) -> bool:
        """Whether a step may fail and the playbook go on to another all the same."""
        # What a loop reads at the end of a round stands in the loop itself.
        shared = {reader.id, *(outer.id for outer in self.around(reader))}
        return any(p.step.on_error == "continue" for p in (place, *self.around(place)) if p.id not in shared)


def _when(place: PlacedStep, *, own: bool) -> list[Condition]:
    if place.step.when is None:
        return []
    return [Condition(place.step.when, (*place.path, "when"), own=own)]


def _branch(outer: PlacedStep, place: PlacedStep) -> list[Condition]:
    inside = place.path[len(outer.path) :]
    match outer.step:
        case IfStep(condition=condition):
            return [Condition(condition, (*outer.path, "if"), holds=inside[0] == "then")]
        case SwitchStep(switch=switch):
            case = str(inside[1]) if inside[0] == "cases" else None
            return [Condition(switch, (*outer.path, "switch"), holds=case is not None, case=case)]
        case RepeatStep():
            return []
    return []


def constant(source: str) -> bool | None:
    """Whether a bare expression that reads nothing holds; None if it reads something, or has no value."""
    try:
        return None if names_used(source, bare=True) else bool(evaluate(source, {}))
    except ExpressionError:
        return None


Paths = frozenset[tuple[str, ...]]
_NONE: Paths = frozenset()


def ensured(source: str, *, holds: bool = True) -> Paths:
    """The paths of names that are surely there, and not null, where a condition holds (or, if so asked, does not).

    Whatever is read on the way without being ready for it to be missing must have been there, or the expression
    would have failed.
    """
    tree = expression_in(source, bare=True)
    return _NONE if tree is None else _ensured(tree, holds)


def _ensured(node: nodes.Node, holds: bool) -> Paths:
    match node:
        case nodes.Not():
            return _ensured(node.node, not holds)
        case nodes.And() | nodes.Or():
            left, right = _ensured(node.left, holds), _ensured(node.right, holds)
            # The left side is always looked at; both are, if `and` holds or `or` does not.
            both = isinstance(node, nodes.And) == holds
            return left | right if both else (left & right) | _read(node.left)
        case nodes.Test(name="none"):
            path = path_of(node.node)
            return _read(node.node) | (_prefixes(path) if path and not holds else _NONE)
        case nodes.Test(name="defined"):
            path = path_of(node.node)
            return _prefixes(path[:-1]) if path and holds else _NONE
        case nodes.Compare(
            expr=expr, ops=[nodes.Operand(op="ne" | "eq" as op, expr=nodes.Const(value=None))]
        ):
            path = path_of(expr)
            return _read(node) | (_prefixes(path) if path and holds == (op == "ne") else _NONE)
        case nodes.Name() | nodes.Getattr() | nodes.Getitem():
            path = path_of(node)
            return _read(node) | (_prefixes(path) if path and holds else _NONE)
    return _read(node)


def _read(node: nodes.Node) -> Paths:
    """What is surely read of, when a node is evaluated: of `alert.actor.name`, alert.actor."""
    match node:
        case nodes.And() | nodes.Or():
            return _read(node.left)
        case nodes.CondExpr():
            return _read(node.test)
        case nodes.Filter(name="default" | "d") | nodes.Test(name="defined" | "undefined"):
            return _NONE
        case nodes.Name() | nodes.Getattr() | nodes.Getitem():
            path = path_of(node)
            if path:
                return _prefixes(path[:-1])
    return frozenset(path for part in node.iter_child_nodes() for path in _read(part))


def _prefixes(path: tuple[str, ...]) -> Paths:
    return frozenset(path[:end] for end in range(1, len(path) + 1))


def path_of(node: nodes.Node) -> tuple[str, ...]:
    """The names of `alert.actor.name`, if an expression is only such a path; else nothing."""
    match node:
        case nodes.Name(name=name):
            return (name,)
        case nodes.Getattr(node=inner, attr=attr):
            outer = path_of(inner)
            return (*outer, attr) if outer else ()
        case nodes.Getitem(node=inner, arg=nodes.Const(value=str() | int() as key)):
            outer = path_of(inner)
            return (*outer, str(key)) if outer else ()
    return ()
