"""Our expressions in the words of CACAO: names as variables, and conditions as STIX comparisons where they can be."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any, Final
from uuid import UUID, uuid5

from jinja2 import nodes

from soar.model.base import JsonObject, canonical_json
from soar.playbook.cacao.condition_syntax import And as AllOf
from soar.playbook.cacao.condition_syntax import (
    Comparison,
    Condition,
    ConditionError,
    ListOf,
    Operator,
    Value,
    print_condition,
)
from soar.playbook.cacao.condition_syntax import Not as NotSo
from soar.playbook.cacao.condition_syntax import Or as AnyOf
from soar.playbook.cacao.condition_syntax import Variable as Name
from soar.playbook.cacao.conditions import compile_case, compile_condition
from soar.playbook.expressions import expression_in
from soar.playbook.schema import Playbook

__all__ = ["Natives", "ident_of"]

_SIMPLE = re.compile(r"\{\{\s*((?:inputs|vars|alert|steps|incident)(?:\.[A-Za-z_][A-Za-z0-9_]*)+)\s*\}\}")
_ROOTS = ("inputs", "vars", "alert", "steps", "incident")
_SIGNS: Final[Mapping[str, Operator]] = {
    "eq": "=",
    "ne": "!=",
    "lt": "<",
    "lteq": "<=",
    "gt": ">",
    "gteq": ">=",
    "in": "IN",
    "notin": "IN",
}
_INPUTS = {"string": "string", "number": "float", "boolean": "bool", "list": "list"}


def ident_of(space: UUID, kind: str, key: str) -> str:
    """An id that is the same for the same key.

    The standard wants steps to have random UUIDs (version 4), and this says that it is one, because what it wants them
    for is that no two steps have the same, which a hash gives as well.
    """
    return f"{kind}--{UUID(bytes=uuid5(space, f'{kind}/{key}').bytes, version=4)}"


class Natives:
    """The CACAO variables of one export. `meanings` says which of our expressions each stands for, by name.

    Args:
        playbook: What is exported; its inputs become external variables.
    """

    def __init__(self, playbook: Playbook) -> None:
        self._found: dict[str, JsonObject] = {}
        self._results: dict[str, list[str]] = {}
        self.meanings: dict[str, str] = {}
        self._playbook = playbook
        for name, spec in playbook.inputs.items():
            value = spec.default if isinstance(spec.default, str) else canonical_json(spec.default)
            self.declare(f"__{name}__", _INPUTS[spec.type], value, spec.description, external=True)

    def declare(
        self, name: str, kind: str, value: str | None, description: str, *, external: bool = False
    ) -> str:
        """Declare a variable, if it is not yet."""
        told: JsonObject = {"type": kind, "value": value}
        if description:
            told["description"] = description[:1000]
        if external:
            told["external"] = True
        self._found.setdefault(name, told)
        return name

    def own(self, key: str, kind: str, description: str, meaning: str = "") -> str:
        """Declare a variable of a step.

        Args:
            meaning: Our expression for it; empty: a person says it.
        """
        name = _named(key)
        if meaning:
            self.meanings[name] = meaning
        return self.declare(name, kind, None, description)

    def begin(self, name: str, value: str) -> None:
        """Give a variable its first value."""
        self._found[name]["value"] = value

    def can_be(self, name: str, cases: Iterable[str]) -> bool:
        """Whether each case of a switch is a value that a variable can have, by its type."""
        try:
            for case in cases:
                compile_case(f"{name}:value", case, {name: str(self._found[name]["type"])})
        except ConditionError:
            return False
        return True

    def variables(self) -> JsonObject:
        """All of them, by name."""
        return dict(sorted(self._found.items()))

    def results_of(self, step_id: str) -> list[str]:
        """The variables that hold a step's results."""
        return self._results.get(step_id, [])

    def _variable(self, path: tuple[str, ...], kind: str = "string") -> str | None:
        """The variable for a path of names: `inputs.user` is `__user__`, `steps.find.result.id` `__steps-find-id__`."""
        root, *rest = path
        if root not in _ROOTS or not rest:
            return None
        if root == "inputs":
            return f"__{rest[0]}__" if len(rest) == 1 and rest[0] in self._playbook.inputs else None
        if root == "steps":
            if len(rest) < 3 or rest[1] != "result":
                return None
            name = self.own(f"steps-{rest[0]}-{'-'.join(rest[2:])}", kind, "", ".".join(path))
            known = self._results.setdefault(rest[0], [])
            if name not in known:
                known.append(name)
            return name
        name = _named("-".join(path))
        external = root in ("alert", "incident")
        self.meanings[name] = ".".join(path)
        return self.declare(name, kind, None, f"{root}.{'.'.join(rest)}", external=external)

    def text(self, template: str) -> str:
        """A template with its simple names as variables; what is more than a name stays as it is written."""

        def named(match: re.Match[str]) -> str:
            variable = self._variable(tuple(match[1].split(".")))
            return match[0] if variable is None else f"{variable}:value"

        return _SIMPLE.sub(named, template)

    def reference(self, expression: str) -> str | None:
        """The variable that an expression is; None if it is more than a name."""
        found = expression_in(expression, bare=True)
        path = _path(found) if found is not None else None
        return self._variable(path) if path is not None else None

    def condition(self, expression: str) -> str | None:
        """An expression as a STIX comparison expression; None if it cannot be said in one."""
        found = expression_in(expression, bare=True)
        if found is None:
            return None
        # Variables that are declared on the way to a condition that cannot be said are not wanted.
        before = {name: dict(told) for name, told in self._found.items()}
        results = {step: list(names) for step, names in self._results.items()}
        try:
            text = print_condition(self._convert(found))
            compile_condition(text, {name: str(told["type"]) for name, told in self._found.items()})
            return text
        except (_CannotSay, ConditionError):
            self._found, self._results = before, results
            return None

    def _convert(self, node: nodes.Node) -> Condition:
        match node:
            case nodes.And() | nodes.Or():
                kind = AllOf if isinstance(node, nodes.And) else AnyOf
                return kind((self._convert(node.left), self._convert(node.right)))
            case nodes.Not():
                return NotSo(self._convert(node.node))
            case nodes.Compare() if len(node.ops) == 1 and node.ops[0].op in _SIGNS:
                return self._comparison(node.expr, node.ops[0].op, node.ops[0].expr)
        raise _CannotSay

    def _comparison(self, left: nodes.Expr, sign: str, right: nodes.Expr) -> Condition:
        told = _values(right) if sign in ("in", "notin") else _value(right)
        path = _path(left)
        if path is None or told is None:
            raise _CannotSay
        example = told.items[0] if isinstance(told, ListOf) else told
        variable = self._variable(path, _kind(example))
        if variable is None:
            raise _CannotSay
        return Comparison(Name(variable), _SIGNS[sign], told, sign == "notin")


def _named(key: str) -> str:
    """The name of a variable: 200 letters, digits, `_` and `-` at most between the underscores.

    What had to be changed for that gets a hash, so that two names do not become one.
    """
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", key)
    if len(plain) > 200 or not re.fullmatch(r"[A-Za-z0-9_.-]+", key):
        plain = f"{plain[:183]}-{sha256(key.encode()).hexdigest()[:16]}"
    return f"__{plain}__"


class _CannotSay(Exception):
    """CACAO has no words for it."""


def _path(node: nodes.Node) -> tuple[str, ...] | None:
    path: list[str] = []
    while isinstance(node, nodes.Getattr):
        path.insert(0, node.attr)
        node = node.node
    return (node.name, *path) if isinstance(node, nodes.Name) and path else None


def _value(node: nodes.Node) -> Value | None:
    value: Any = node.value if isinstance(node, nodes.Const) else None
    return Value(value) if isinstance(value, (str, bool, int, float)) else None


def _values(node: nodes.Node) -> ListOf | None:
    if not isinstance(node, (nodes.List, nodes.Tuple)) or not node.items:
        return None
    told = [_value(item) for item in node.items]
    return ListOf(tuple(v for v in told if v is not None)) if None not in told else None


def _kind(example: object) -> str:
    value = example.value if isinstance(example, Value) else None
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "integer"
    return "float" if isinstance(value, float) else "string"
