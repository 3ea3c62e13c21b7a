"""Of which kind a value is that an expression gives, as far as the declarations say: types for the linter.

A shape is a JSON Schema and the schema that its references point into. What cannot be told is None, and nothing is
ever said against it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from jinja2 import nodes
from pydantic import JsonValue

__all__ = [
    "Problem",
    "Shape",
    "closed",
    "fields_of",
    "in_words",
    "infer",
    "kinds_of",
    "shape_of",
    "value_shape",
    "walk",
]

Schema = Mapping[str, Any]


class Shape(NamedTuple):
    """A schema, and the one that holds its `$defs`."""

    schema: Schema
    root: Schema


def shape_of(schema: Schema) -> Shape:
    """A whole schema as a shape."""
    return Shape(schema, schema)


def value_shape(value: JsonValue) -> Shape:
    """The shape of a value that is written out."""
    return shape_of({"const": value})


_PYTHON_KINDS: Final = (
    (type(None), "null"),
    (bool, "boolean"),
    (int, "integer"),
    (float, "number"),
    (str, "string"),
    (list, "array"),
    (dict, "object"),
)


def _alternatives(shape: Shape) -> list[Shape]:
    """The shape with references followed and alternatives listed."""
    found: list[Shape] = []
    waiting, seen = [shape], 0
    while waiting and seen < 200:  # a schema may refer to itself
        seen += 1
        schema, root = waiting.pop(0)
        reference = schema.get("$ref")
        inner = schema.get("anyOf") or schema.get("oneOf")
        if isinstance(reference, str) and reference.startswith("#/$defs/"):
            target = root.get("$defs", {}).get(reference.removeprefix("#/$defs/"))
            waiting.insert(0, Shape(target if isinstance(target, Mapping) else {}, root))
        elif isinstance(inner, list):
            waiting[:0] = [Shape(part, root) for part in inner if isinstance(part, Mapping)]
        else:
            found.append(Shape(schema, root))
    return found


def kinds_of(shape: Shape | None) -> frozenset[str] | None:
    """The JSON types that a value of a shape can have; None if it can have any."""
    if shape is None:
        return None
    kinds: set[str] = set()
    for schema, _ in _alternatives(shape):
        told = schema.get("type")
        values = [schema["const"]] if "const" in schema else schema.get("enum")
        if isinstance(told, str):
            kinds.add(told)
        elif isinstance(told, list):
            kinds.update(told)
        elif isinstance(values, list):
            kinds.update(
                next(kind for python, kind in _PYTHON_KINDS if isinstance(v, python)) for v in values
            )
        else:
            return None
    return frozenset(kinds)


def fields_of(shape: Shape) -> dict[str, Shape]:
    """The fields that a shape declares."""
    return {
        name: Shape(part, root)
        for schema, root in _alternatives(shape)
        for name, part in (schema.get("properties") or {}).items()
        if isinstance(part, Mapping)
    }


def _field(shape: Shape, name: str) -> Shape | None:
    """A field that a shape declares; of those of the same name, the last."""
    found = None
    for schema, root in _alternatives(shape):
        part = (schema.get("properties") or {}).get(name)
        if isinstance(part, Mapping):
            found = Shape(part, root)
    return found


def closed(shape: Shape) -> bool:
    """Whether there are no other fields than those declared."""
    objects = [s for s, _ in _alternatives(shape) if s.get("type") == "object"]
    return bool(objects) and all(s.get("additionalProperties") is False for s in objects)


def _item(shape: Shape) -> Shape | None:
    for schema, root in _alternatives(shape):
        items = schema.get("items")
        if isinstance(items, Mapping):
            return Shape(items, root)
    return None


class Problem(NamedTuple):
    """Where a path does not lead on.

    Args:
        at: The index of the part that is not there.
        kind: `closed`: no such field; `open`: none declared; `list`: a list has no fields; `plain`: nor has a value.
        known: The fields that there are.
    """

    at: int
    kind: str
    known: tuple[str, ...] = ()


def walk(shape: Shape | None, path: tuple[str, ...]) -> Shape | Problem | None:
    """Follow a path of names and indexes.

    Returns:
        What is at its end, if that can be told; or where it does not lead on.
    """
    for at, part in enumerate(path):
        if shape is None:
            return None
        kinds = kinds_of(shape)
        if kinds is not None and not kinds & {"object", "array"}:
            return Problem(at, "plain")
        if kinds is not None and "object" not in kinds:
            if not part.lstrip("-").isdigit():
                item = _item(shape)
                return Problem(at, "list", tuple(fields_of(item)) if item else ())
            shape = _item(shape)
        elif (field := _field(shape, part)) is not None:
            shape = field
        elif (fields := fields_of(shape)) or closed(shape):
            return Problem(at, "closed" if closed(shape) else "open", tuple(fields))
        else:
            shape = _values(shape)
    return shape


def _values(shape: Shape) -> Shape | None:
    for schema, root in _alternatives(shape):
        if isinstance(schema.get("additionalProperties"), Mapping) and schema["additionalProperties"]:
            return Shape(schema["additionalProperties"], root)
    return None


def _type(kind: str, **more: Any) -> Shape:
    return shape_of({"type": kind, **more})


_TEXT, _BOOLEAN, _WHOLE, _NUMBER = _type("string"), _type("boolean"), _type("integer"), _type("number")
_LIST, _MAPPING = _type("array"), _type("object")
_TEXTS = _type("array", items={"type": "string"})
_FILTERS: Final[dict[str, Shape]] = {
    **dict.fromkeys(
        ("arn_part", "b64decode", "b64encode", "cidr_network", "defang", "domain_of", "from_epoch", "join"),
        _TEXT,
    ),
    **dict.fromkeys(
        ("lower", "md5", "refang", "regex_replace", "replace", "sha1", "sha256", "string"), _TEXT
    ),
    **dict.fromkeys(
        ("time_add", "time_format", "time_sub", "to_json", "to_utc", "trim", "truncate", "upper"), _TEXT
    ),
    **dict.fromkeys(
        ("cidr_contains", "is_after", "is_before", "is_ip", "is_private_ip", "is_public_ip"), _BOOLEAN
    ),
    **dict.fromkeys(("count", "length"), _WHOLE),
    **dict.fromkeys(("epoch", "float", "int", "round", "seconds_between", "sum"), _NUMBER),
    **dict.fromkeys(("flatten", "groupby", "items", "json_path", "list", "map"), _LIST),
    **dict.fromkeys(("observables", "regex_findall", "split"), _TEXTS),
    "regex_search": shape_of({"type": ["string", "null"]}),
}
_SAME = frozenset({"rejectattr", "reverse", "selectattr", "sort", "unique"})
_ITEM = frozenset({"first", "last", "max", "min"})
_METHODS: Final[dict[str, Shape]] = {
    **dict.fromkeys(("lower", "removeprefix", "removesuffix", "strip", "upper"), _TEXT),
    **dict.fromkeys(("endswith", "startswith"), _BOOLEAN),
    **dict.fromkeys(("items", "keys", "values"), _LIST),
    "split": _TEXTS,
}


def infer(node: nodes.Node | None, roots: Mapping[str, Shape | None]) -> Shape | None:
    """The shape of what an expression gives.

    Args:
        node: Its syntax (see `expression_in`).
        roots: The shape of each name that it may read.
    """
    match node:
        case nodes.Const():
            return value_shape(node.value)
        case nodes.Name():
            return roots.get(node.name)
        case nodes.Getattr():
            return _part(infer(node.node, roots), node.attr)
        case nodes.Getitem(arg=nodes.Const(value=str() | int() as key)):
            return _part(infer(node.node, roots), str(key))
        case nodes.Getitem(arg=nodes.Slice()):
            return infer(node.node, roots)
        case nodes.Compare() | nodes.Not() | nodes.Test():
            return _BOOLEAN
        case nodes.Concat():
            return _TEXT
        case nodes.List():
            return _LIST
        case nodes.Dict():
            return _MAPPING
        case nodes.CondExpr(expr2=nodes.Expr() as other):
            return _either(infer(node.expr1, roots), infer(other, roots))
        case nodes.Or() | nodes.And():
            return _either(infer(node.left, roots), infer(node.right, roots))
        case nodes.Add():
            return _added(infer(node.left, roots), infer(node.right, roots))
        case (
            nodes.Sub()
            | nodes.Mul()
            | nodes.Div()
            | nodes.FloorDiv()
            | nodes.Mod()
            | nodes.Neg()
            | nodes.Pos()
        ):
            return _NUMBER
        case nodes.Call(node=nodes.Getattr() as method):
            return _METHODS.get(method.attr)
        case nodes.Filter():
            return _filtered(node, roots)
    return None


def _part(shape: Shape | None, name: str) -> Shape | None:
    found = walk(shape, (name,))
    return found if isinstance(found, Shape) else None


def _either(one: Shape | None, other: Shape | None) -> Shape | None:
    if one is None or other is None:
        return None
    kinds = [kinds_of(one), kinds_of(other)]
    if None in kinds:
        return None
    return shape_of({"type": sorted(kind for known in kinds if known for kind in known)})


def _added(one: Shape | None, other: Shape | None) -> Shape | None:
    """Numbers, texts and lists are added to their like only, so that either side tells what comes of it."""
    for result, kinds in ((_NUMBER, {"integer", "number"}), (_TEXT, {"string"}), (_LIST, {"array"})):
        if any(told and told <= kinds for told in (kinds_of(one), kinds_of(other))):
            return result
    return None


def _filtered(node: nodes.Filter, roots: Mapping[str, Shape | None]) -> Shape | None:
    given = infer(node.node, roots)
    if node.name in _SAME:
        return given
    if node.name in _ITEM:
        return _item(given) if given is not None else None
    if node.name == "abs":
        return _NUMBER
    if node.name == "resource":
        resources = _part(given, "resources")
        return _item(resources) if resources is not None else None
    if node.name in ("default", "d") and node.args:
        return _either(given, infer(node.args[0], roots))
    return _FILTERS.get(node.name)


_WORDS: Final = {
    "null": "null",
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "string": "text",
    "array": "a list",
    "object": "a mapping",
}


def in_words(kinds: frozenset[str]) -> str:
    """JSON types, for messages."""
    return " or ".join(_WORDS[kind] for kind in sorted(kinds))
