"""Whether what an expression works on can be of the kind that it needs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from jinja2 import nodes

from soar.playbook.shapes import Shape, in_words, infer, kinds_of

__all__ = ["wrong_kinds"]

_Roots = Mapping[str, Shape | None]
_Kinds = frozenset[str]

_TEXT: Final[_Kinds] = frozenset({"string"})
_LIST: Final[_Kinds] = frozenset({"array"})
_MAPPING: Final[_Kinds] = frozenset({"object"})
_NUMBER: Final[_Kinds] = frozenset({"integer", "number"})
_ORDERED: Final[_Kinds] = frozenset({"integer", "number", "boolean"})
_SIZED: Final[_Kinds] = _TEXT | _LIST | _MAPPING

_FILTERS: Final[Mapping[str, _Kinds]] = {
    **dict.fromkeys(
        ("b64decode", "b64encode", "lower", "md5", "replace", "sha1", "sha256", "split", "trim"), _TEXT
    ),
    **dict.fromkeys(
        ("regex_findall", "regex_replace", "regex_search", "truncate", "upper", "from_json"), _TEXT
    ),
    **dict.fromkeys(("arn_part", "cidr_network", "defang", "domain_of", "refang", "urlparse"), _TEXT),
    **dict.fromkeys(
        ("epoch", "is_after", "is_before", "seconds_between", "time_add", "time_sub", "to_utc"), _TEXT
    ),
    **dict.fromkeys(
        ("first", "flatten", "groupby", "join", "last", "map", "max", "min", "rejectattr"), _LIST
    ),
    **dict.fromkeys(("reverse", "selectattr", "sort", "sum", "unique"), _LIST),
    **dict.fromkeys(("count", "length"), _SIZED),
    **dict.fromkeys(("items", "observables", "resource"), _MAPPING),
    **dict.fromkeys(("abs", "round"), _NUMBER),
    "list": _LIST | _MAPPING,
}
_METHODS: Final[Mapping[str, _Kinds]] = {
    **dict.fromkeys(("endswith", "lower", "removeprefix", "removesuffix", "split", "startswith"), _TEXT),
    **dict.fromkeys(("strip", "upper"), _TEXT),
    **dict.fromkeys(("get", "items", "keys", "values"), _MAPPING),
}
_SIGNS: Final[Mapping[type[nodes.BinExpr], str]] = {
    nodes.Sub: "-",
    nodes.Mul: "*",
    nodes.Div: "/",
    nodes.FloorDiv: "//",
    nodes.Mod: "%",
}
_ORDERS: Final = {"gt": ">", "gteq": ">=", "lt": "<", "lteq": "<="}


def wrong_kinds(tree: nodes.Node, roots: _Roots) -> Iterator[str]:
    """What cannot be done with what it is done to, as far as kinds are declared.

    Args:
        tree: The syntax of an expression or of a template.
        roots: The shape of each name that it may read.

    Yields:
        A message for each operation that must fail whenever it is come to.
    """
    match tree:
        case nodes.For():
            yield from wrong_kinds(tree.iter, roots)
            yield from _needs(tree.iter, _LIST | _MAPPING, "a loop goes over", roots)
            own = [
                n.name for n in (tree.target, *tree.target.find_all(nodes.Name)) if isinstance(n, nodes.Name)
            ]
            inside = {**roots, **dict.fromkeys((*own, "loop"))}
            for part in (*tree.body, *tree.else_, *([tree.test] if tree.test else [])):
                yield from wrong_kinds(part, inside)
            return
        case nodes.Filter(node=nodes.Expr() as subject, name=name) if name in _FILTERS:
            yield from _needs(subject, _FILTERS[name], f'"{name}" takes', roots)
        case nodes.Call(node=nodes.Getattr(node=subject, attr=name)) if name in _METHODS:
            yield from _needs(subject, _METHODS[name], f'".{name}()" takes', roots)
        case nodes.Getitem(node=subject, arg=nodes.Slice()):
            yield from _needs(subject, _TEXT | _LIST, "a part can be taken of", roots)
        case nodes.Neg(node=subject) | nodes.Pos(node=subject):
            yield from _needs(subject, _ORDERED, "a sign goes before", roots)
        case nodes.Add():
            yield from _alike(tree.left, tree.right, "+", (_NUMBER, _TEXT, _LIST), roots)
        case nodes.BinExpr() if type(tree) in _SIGNS:
            yield from _alike(tree.left, tree.right, _SIGNS[type(tree)], (_NUMBER,), roots)
        case nodes.Compare():
            left = tree.expr
            for operand in tree.ops:
                yield from _compared(left, operand, roots)
                left = operand.expr
    for part in tree.iter_child_nodes():
        yield from wrong_kinds(part, roots)


def _kinds(node: nodes.Node, roots: _Roots) -> _Kinds | None:
    return kinds_of(infer(node, roots)) or None


def _needs(node: nodes.Node, takes: _Kinds, what: str, roots: _Roots) -> Iterator[str]:
    kinds = _kinds(node, roots)
    if kinds is not None and not kinds & takes:
        yield f"{what} {in_words(takes)}, and this is {in_words(kinds)}"


def _alike(
    left: nodes.Node, right: nodes.Node, sign: str, groups: tuple[_Kinds, ...], roots: _Roots
) -> Iterator[str]:
    kinds = _kinds(left, roots), _kinds(right, roots)
    if not any(all(k is None or k & group for k in kinds) for group in groups):
        one, other = (in_words(k) if k is not None else "something" for k in kinds)
        yield f"{one} {sign} {other} has no meaning here"


def _compared(left: nodes.Expr, operand: nodes.Operand, roots: _Roots) -> Iterator[str]:
    if operand.op in _ORDERS:
        yield from _alike(left, operand.expr, _ORDERS[operand.op], (_ORDERED, _TEXT, _LIST), roots)
    elif operand.op in ("in", "notin"):
        yield from _needs(operand.expr, _SIZED, "something can be in", roots)
        kinds = _kinds(operand.expr, roots)
        if kinds is not None and kinds <= _TEXT:
            yield from _needs(left, _TEXT, "in a text can be", roots)
