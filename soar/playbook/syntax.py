"""Which part of Jinja2 templates may use, and which names they read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from jinja2 import nodes
from jinja2.visitor import NodeTransformer

from soar.playbook.diagnostics import nearest
from soar.playbook.filters import FILTERS, METHOD_PREFIX, METHODS, TESTS

__all__ = ["NameUse", "NotAllowed", "checked", "used_names"]

_ALLOWED = (
    *(nodes.Template, nodes.Output, nodes.TemplateData, nodes.If, nodes.For, nodes.Name, nodes.Const),
    *(nodes.List, nodes.Tuple, nodes.Dict, nodes.Pair, nodes.Keyword, nodes.Filter, nodes.Test, nodes.Call),
    *(nodes.Compare, nodes.Operand, nodes.Getattr, nodes.Getitem, nodes.Slice, nodes.CondExpr),
    *(nodes.And, nodes.Or, nodes.Not, nodes.Neg, nodes.Pos, nodes.Concat),
    *(nodes.Add, nodes.Sub, nodes.Mul, nodes.Div, nodes.FloorDiv, nodes.Mod),
)
_SURROGATE = re.compile("[\ud800-\udfff]")
_WORDS: dict[type[nodes.Node], str] = {
    nodes.Assign: "set",
    nodes.AssignBlock: "set",
    nodes.Macro: "macro",
    nodes.CallBlock: "call",
    nodes.FilterBlock: "filter",
    nodes.Block: "block",
    nodes.Extends: "extends",
    nodes.Include: "include",
    nodes.Import: "import",
    nodes.FromImport: "import",
    nodes.With: "with",
    nodes.Pow: "**",
}


class NotAllowed(Exception):
    """A template uses what templates may not use."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class NameUse(NamedTuple):
    """A template reads a path of names.

    Args:
        path: `alert.actor.name` is alert, actor, name.
        guarded: The template is ready for it not to be set (`default`, `is defined`).
    """

    path: tuple[str, ...]
    guarded: bool


def checked(tree: nodes.Template, max_depth: int) -> nodes.Template:
    """Refuse what is not allowed, and put the guards in that keep the rest within bounds.

    Args:
        tree: The parsed template; it is changed in place.

    Returns:
        The tree to compile.

    Raises:
        NotAllowed: The template uses something else, or is nested too deep.
    """
    result = _Checker(max_depth).visit(tree)
    assert isinstance(result, nodes.Template)
    return result


class _Checker(NodeTransformer):
    def __init__(self, max_depth: int) -> None:
        self.left = max_depth

    def visit(self, node: nodes.Node, *args: Any, **kwargs: Any) -> Any:
        if type(node) not in _ALLOWED:
            word = _WORDS.get(type(node), type(node).__name__)
            raise NotAllowed(f'"{word}" cannot be used in a template', "use conditions, loops and filters")
        if self.left <= 0:
            raise NotAllowed("it is nested too deep")
        self.left -= 1
        try:
            return super().visit(node, *args, **kwargs)
        finally:
            self.left += 1

    def visit_Name(self, node: nodes.Name) -> nodes.Node:
        if node.name.startswith("_"):
            raise NotAllowed(f'"{node.name[:100]}" cannot be used: names do not begin with _')
        return node

    def visit_Const(self, node: nodes.Const) -> nodes.Node:
        if isinstance(node.value, (int, float)) and not abs(node.value) < 2**63:
            raise NotAllowed("the number is too large")
        if isinstance(node.value, str) and _SURROGATE.search(node.value):
            # It could be neither written down nor sent.
            raise NotAllowed("half a character (a lone surrogate) is not text")
        return node

    def visit_Call(self, node: nodes.Call) -> nodes.Node:
        if node.dyn_args is not None or node.dyn_kwargs is not None:
            raise NotAllowed("arguments cannot be unpacked with * or **")
        method = node.node
        if not isinstance(method, nodes.Getattr):
            name = method.name if isinstance(method, nodes.Name) else "this"
            raise NotAllowed(
                f'"{name}" cannot be called', nearest(name, FILTERS) + ", written: value | filter"
            )
        if method.attr not in METHODS:
            raise NotAllowed(f'".{method.attr}()" cannot be called', nearest(method.attr, METHODS))
        return nodes.Filter(
            _guarded(self.visit(method.node), "_charge"),
            METHOD_PREFIX + method.attr,
            [self.visit(a) for a in node.args],
            [self.visit(k) for k in node.kwargs],
            None,
            None,
            lineno=node.lineno,
        )

    def visit_Filter(self, node: nodes.Filter) -> nodes.Node:
        if node.name not in FILTERS:
            raise NotAllowed(f'there is no filter "{node.name}"', nearest(node.name, FILTERS))
        if node.node is None or node.dyn_args is not None or node.dyn_kwargs is not None:
            raise NotAllowed("arguments cannot be unpacked with * or **")
        self.generic_visit(node)
        node.node = _guarded(node.node, "_charge")
        return node

    def visit_Test(self, node: nodes.Test) -> nodes.Node:
        if node.name not in TESTS:
            raise NotAllowed(f'there is no test "{node.name}"', nearest(node.name, TESTS))
        if node.dyn_args is not None or node.dyn_kwargs is not None:
            raise NotAllowed("arguments cannot be unpacked with * or **")
        self.generic_visit(node)
        node.node = _guarded(node.node, "_charge")
        node.args = [_guarded(argument, "_charge") for argument in node.args]
        return node

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:
        self.generic_visit(node)
        if isinstance(node.arg, nodes.Slice):
            node.node = _guarded(node.node, "_charge")
        return node

    def visit_Operand(self, node: nodes.Operand) -> nodes.Node:
        self.generic_visit(node)
        node.expr = _guarded(node.expr, "_charge")
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        self.generic_visit(node)
        return _guarded(nodes.List(node.nodes, lineno=node.lineno), "_concat")

    def visit_For(self, node: nodes.For) -> nodes.Node:
        if node.recursive:
            raise NotAllowed("loops cannot be recursive")
        self.generic_visit(node)
        node.iter = _guarded(node.iter, "_loop")
        return node


def _guarded(node: nodes.Node, guard: str) -> nodes.Filter:
    assert isinstance(node, nodes.Expr)
    return nodes.Filter(node, guard, [], [], None, None, lineno=node.lineno)


def used_names(tree: nodes.Template) -> tuple[NameUse, ...]:
    """List what a template reads, without the names that its own loops set.

    Args:
        tree: The parsed template, before `checked`.
    """
    uses = list(dict.fromkeys(_uses(tree, frozenset({"loop"}), guarded=False)))
    defined = [use.path for use in uses if use.guarded]
    # A path that is tested somewhere in a template is taken to be tested wherever the template uses it.
    return tuple(
        dict.fromkeys(
            NameUse(path, guarded or any(path[: len(d)] == d for d in defined)) for path, guarded in uses
        )
    )


def _uses(node: nodes.Node, bound: frozenset[str], *, guarded: bool) -> Iterator[NameUse]:
    match node:
        case nodes.Name() | nodes.Getattr() | nodes.Getitem():
            yield from _path_use(node, bound, guarded)
        case nodes.For():
            yield from _uses(node.iter, bound, guarded=False)
            inside = bound | {n.name for n in _names_in(node.target)}
            for part in (*node.body, *([node.test] if node.test else [])):
                yield from _uses(part, inside, guarded=False)
            for part in node.else_:
                yield from _uses(part, bound, guarded=False)
        case nodes.Filter(name="default" | "d", node=nodes.Expr() as subject):
            yield from _uses(subject, bound, guarded=True)
            for part in (*node.args, *node.kwargs):
                yield from _uses(part, bound, guarded=guarded)
        case nodes.Test(name="defined" | "undefined"):
            yield from _uses(node.node, bound, guarded=True)
        case nodes.Call(node=nodes.Getattr() as method):
            yield from _uses(method.node, bound, guarded=guarded)
            for part in (*node.args, *node.kwargs):
                yield from _uses(part, bound, guarded=False)
        case _:
            for part in node.iter_child_nodes():
                yield from _uses(part, bound, guarded=guarded and isinstance(node, nodes.Filter))


def _names_in(target: nodes.Node) -> list[nodes.Name]:
    return [target] if isinstance(target, nodes.Name) else list(target.find_all(nodes.Name))


def _path_use(node: nodes.Node, bound: frozenset[str], guarded: bool) -> Iterator[NameUse]:
    path: list[str] = []
    while not isinstance(node, nodes.Name):
        if isinstance(node, nodes.Getattr):
            path.insert(0, node.attr)
            node = node.node
        elif isinstance(node, nodes.Getitem):
            if isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, (str, int)):
                path.insert(0, str(node.arg.value))
            else:
                path.clear()  # what is read is not known; what it is read from is
                yield from _uses(node.arg, bound, guarded=False)
            node = node.node
        else:
            yield from _uses(node, bound, guarded=guarded)
            return
    if node.name not in bound and node.ctx == "load":
        yield NameUse((node.name, *path), guarded)
