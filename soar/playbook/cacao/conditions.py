"""The conditions of CACAO playbooks, compiled to our own expressions, so that one language runs.

`__count__:value > 5` becomes `vars['__count__'] | stix_compare('>', 5, 'integer')`: variables are keys of the root
`vars`, and how two values compare follows from the declared types, because the values themselves are mostly text.

* Null (a variable without a value) equals nothing but null, is in no list, has no order and fits no pattern: such a
  comparison is false, and its negation true. `EXISTS` asks for it.
* A declared type wins over how a literal is written: `= '5'` against an integer compares numbers.
* A text variable against a number or a boolean literal compares the texts for `=` and `IN`, and numbers for an order.
* `'__name__:value'` in quotes is the variable too, as CACAO substitutes variables everywhere; within a longer text it
  is put in.
* LIKE and MATCHES mind the case and read a text in Unicode's normal form C; MATCHES searches anywhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from soar.playbook.cacao.condition_syntax import (
    And,
    Comparison,
    Condition,
    ConditionError,
    Exists,
    ListOf,
    Not,
    Operand,
    Or,
    Time,
    Value,
    Variable,
    parse_condition,
    print_condition,
)
from soar.playbook.cacao.filters import Kind, as_kind, check_network, check_pattern
from soar.playbook.diagnostics import nearest
from soar.playbook.expressions import ExpressionError, check_expression
from soar.playbook.values import BadValue

__all__ = [
    "VARIABLE_USE",
    "ConditionError",
    "compile_case",
    "compile_condition",
    "kind_of_type",
    "parse_condition",
    "print_condition",
    "quoted",
    "variables_of",
]

VARIABLE_USE = re.compile(r"(__[A-Za-z_][A-Za-z0-9_-]{0,240}?__):value")
"""A use of a variable within any text of a CACAO playbook; the group is its name."""

_KINDS: Final[dict[str, Kind]] = {
    "integer": "integer",
    "long": "integer",
    "float": "number",
    "double": "number",
    "number": "number",
    "bool": "boolean",
    "boolean": "boolean",
    "dictionary": "dictionary",
    "list": "list",
    "array": "list",
    "timestamp": "time",
}
_A: Final[dict[Kind, str]] = {
    "text": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "a boolean",
    "time": "a time",
    "list": "a list",
    "dictionary": "a dictionary",
}
_ORDERS = ("<", "<=", ">", ">=")


def kind_of_type(declared: str) -> Kind:
    """How values of a declared CACAO variable type compare; of addresses, hashes and unknown types, as text."""
    return _KINDS.get(declared, "text")


def quoted(text: str) -> str:
    """A text as a literal of our expressions, whatever is in it."""
    return "'" + "".join(_escape(c) for c in text) + "'"


def _escape(c: str) -> str:
    if c in "\\'":
        return "\\" + c
    # Braces end an expression inside `{{ }}`; the rest is what a person could not see.
    if not c.isprintable() or c in "{}":
        return f"\\U{ord(c):08x}" if ord(c) > 0xFFFF else f"\\u{ord(c):04x}"
    return c


def compile_condition(text: str, types: Mapping[str, str], keys: Mapping[str, str] | None = None) -> str:
    """Turn a condition into a bare expression of ours.

    Args:
        text: What stands in `condition` of a CACAO step.
        types: The declared type of each variable in scope, by its name with underscores.
        keys: What variables are called under `vars`; their own names, where it says nothing else.

    Returns:
        The expression, for `soar.playbook.expressions.evaluate` with the variables under `vars`.

    Raises:
        ConditionError: It cannot be read, or compares what cannot be compared; with the place in the condition.
    """
    return _checked(_Compiler(types, keys or {}).condition(parse_condition(text)))


def compile_case(
    switch: str, case: str, types: Mapping[str, str], keys: Mapping[str, str] | None = None
) -> str:
    """Turn one case of a CACAO switch into a bare expression of ours: whether the variable has this value.

    Args:
        switch: The step's `switch`, `__name__:value`.
        case: The key of the case.
        types: As for `compile_condition`, as are the keys.

    Raises:
        ConditionError: `switch` is no variable, or the case can never be its value.
    """
    match = re.fullmatch(r"(__[A-Za-z_][A-Za-z0-9_-]{0,240}__)(:value)?", switch.strip())
    if match is None:
        raise ConditionError(0, f"{switch[:60]!r} is no variable", "write __name__:value")
    return _checked(_Compiler(types, keys or {}).condition(Comparison(Variable(match[1]), "=", Value(case))))


def _checked(expression: str) -> str:
    try:
        check_expression(expression)
    except ExpressionError as error:
        raise ConditionError(0, f"it is too large to run: {error.message}", "split it over steps") from None
    return expression


def variables_of(condition: Condition) -> Iterator[Variable]:
    """Every use of a variable in a condition, those within texts included."""
    match condition:
        case Comparison(left=left, right=right):
            for operand in (left, *(right.items if isinstance(right, ListOf) else (right,))):
                if isinstance(operand, Variable):
                    yield operand
                elif isinstance(operand, Value) and isinstance(operand.value, str):
                    for match in VARIABLE_USE.finditer(operand.value):
                        yield Variable(match[1], operand.at)
        case Exists(variable=variable):
            yield variable
        case Not(part=part):
            yield from variables_of(part)
        case And(parts=parts) | Or(parts=parts):
            for part in parts:
                yield from variables_of(part)


def _is_number(kind: Kind) -> bool:
    return kind in ("integer", "number")


class _Compiler:
    """Writes one condition as an expression."""

    def __init__(self, types: Mapping[str, str], keys: Mapping[str, str]) -> None:
        self.types = types
        self.keys = keys

    def condition(self, condition: Condition) -> str:
        match condition:
            case Exists(variable=variable):
                return f"({self.text(variable)} is not none)"
            case Not(part=part):
                return f"(not {self.condition(part)})"
            case And(parts=parts):
                return self.chain("and", [self.condition(part) for part in parts])
            case Or(parts=parts):
                return self.chain("or", [self.condition(part) for part in parts])
            case Comparison():
                compared = self.comparison(condition)
                return f"(not ({compared}))" if condition.negated else f"({compared})"

    def chain(self, word: str, parts: list[str]) -> str:
        # Balanced, because expressions may only nest so deep and a chain nests to one side.
        if len(parts) == 1:
            return parts[0]
        middle = len(parts) // 2
        return f"({self.chain(word, parts[:middle])} {word} {self.chain(word, parts[middle:])})"

    def comparison(self, asked: Comparison) -> str:
        left, right = self.whole(asked.left), self.whole(asked.right)
        assert not isinstance(left, ListOf)
        match asked.operator:
            case "IN":
                return self.within(left, right)
            case "LIKE" | "MATCHES":
                return self.pattern(asked, left, right)
            case "ISSUBSET" | "ISSUPERSET":
                return self.network(asked, left, right)
            case sign:
                kind = self.common(left, right, sign)
                if sign in _ORDERS and kind in ("boolean", "list", "dictionary"):
                    raise ConditionError(asked.at, f"{_A[kind]} has no order", "ask for = or !=")
                return f"{self.text(left)} | stix_compare('{sign}', {self.text(right)}, '{kind}')"

    def within(self, left: Variable | Value | Time, right: Operand) -> str:
        kind = self.kind(left)
        if isinstance(right, ListOf):
            told = tuple(self.whole(item) for item in right.items)
            if kind == "integer" and any(self.kind(item) == "number" for item in told):
                kind = "number"
            for item in told:
                self.fits(item, kind)
            return f"{self.text(left)} | stix_in([{', '.join(map(self.text, told))}], '{kind}')"
        if not isinstance(right, Variable) or self.kind(right) not in ("list", "text"):
            raise ConditionError(
                right.at, "IN needs a list", "write ('a', 'b'), or a variable of the type list"
            )
        return f"{self.text(left)} | stix_in({self.text(right)}, '{kind}')"

    def pattern(self, asked: Comparison, left: Variable | Value | Time, right: Operand) -> str:
        self.no_collection(left)
        pattern = self.told(right, f"{asked.operator} needs a pattern in quotes")
        if asked.operator == "LIKE":
            return f"{self.text(left)} | stix_like({self.text(right)})"
        if pattern is not None:
            try:
                check_pattern(pattern)
            except BadValue as error:
                raise ConditionError(right.at, str(error), error.hint) from None
        return f"{self.text(left)} | stix_matches({self.text(right)})"

    def network(self, asked: Comparison, left: Variable | Value | Time, right: Operand) -> str:
        self.no_collection(left)
        network = self.told(right, f"{asked.operator} needs a network in quotes")
        if network is not None:
            try:
                check_network(network)
            except BadValue as error:
                raise ConditionError(right.at, str(error), error.hint) from None
        name = "stix_subset" if asked.operator == "ISSUBSET" else "stix_superset"
        return f"{self.text(left)} | {name}({self.text(right)})"

    def told(self, right: Operand, wanted: str) -> str | None:
        """The text on the right if it is written out; None if a variable has it."""
        if isinstance(right, Variable) and self.kind(right) == "text":
            return None
        if isinstance(right, Value) and isinstance(right.value, str):
            if VARIABLE_USE.search(right.value):
                message = "a variable cannot stand inside a pattern or a network"
                raise ConditionError(right.at, message, "let one variable hold all of it")
            return right.value
        raise ConditionError(right.at, wanted, "write '…', or a text variable")

    def no_collection(self, left: Variable | Value | Time) -> None:
        if self.kind(left) in ("list", "dictionary"):
            raise ConditionError(left.at, f"{_A[self.kind(left)]} has no text", "compare one of its values")

    def whole(self, operand: Operand) -> Operand:
        """The variable, if a text is nothing but the use of one."""
        if isinstance(operand, Value) and isinstance(operand.value, str):
            match = VARIABLE_USE.fullmatch(operand.value)
            if match is not None:
                return Variable(match[1], operand.at)
        return operand

    def kind(self, operand: Operand) -> Kind:
        match operand:
            case Variable():
                return kind_of_type(self.declared(operand))
            case Time():
                return "time"
            case ListOf():
                return "list"
            case Value(value=bool()):
                return "boolean"
            case Value(value=int()):
                return "integer"
            case Value(value=float()):
                return "number"
            case _:
                return "text"

    def common(self, left: Operand, right: Operand, sign: str) -> Kind:
        """By which kind two operands compare."""
        one, two = self.kind(left), self.kind(right)
        if one == two:
            self.fits(left, one)
            self.fits(right, two)
            return one
        if _is_number(one) and _is_number(two):
            return "number"
        if "text" not in (one, two):
            message = f"{_A[one]} cannot be compared with {_A[two]}"
            hint = "ask with IN" if "list" in (one, two) else "declare the variables with one type"
            raise ConditionError(right.at, message, hint)
        text, other, kind = (left, right, two) if one == "text" else (right, left, one)
        if isinstance(text, Variable) and isinstance(other, Value) and sign not in _ORDERS:
            return "text"
        self.fits(text, kind)
        self.fits(other, kind)
        return kind

    def fits(self, operand: Operand, kind: Kind) -> None:
        """Refuse a literal that can never be of the kind that is compared."""
        if isinstance(operand, Variable):
            return
        value = operand.text if isinstance(operand, Time) else getattr(operand, "value", None)
        if isinstance(value, str) and VARIABLE_USE.search(value):
            return
        try:
            as_kind(value, kind)
        except BadValue as error:
            hint = "compare with such a value, or correct the variable's type"
            raise ConditionError(operand.at, f"this can never be true: {error}", hint) from None

    def declared(self, variable: Variable) -> str:
        if variable.name not in self.types:
            hint = nearest(variable.name, self.types) or "declare it in playbook_variables"
            raise ConditionError(variable.at, f"the variable {variable.name} is not declared", hint)
        return self.types[variable.name]

    def text(self, operand: Operand) -> str:
        match operand:
            case Variable(name=name):
                self.declared(operand)
                return f"vars[{quoted(self.keys.get(name, name))}]"
            case Time(text=text):
                return quoted(text)
            case Value(value=str() as text):
                return self.interpolated(operand, text)
            case Value(value=bool() as flag):
                return "true" if flag else "false"
            case Value(value=number):
                return repr(number)
            case ListOf():
                raise ConditionError(operand.at, "a list can only stand after IN", "write … IN ('a', 'b')")

    def interpolated(self, operand: Value, text: str) -> str:
        parts: list[str] = []
        end = 0
        for match in VARIABLE_USE.finditer(text):
            if match.start() > end:
                parts.append(quoted(text[end : match.start()]))
            parts.append(self.text(Variable(match[1], operand.at)))
            end = match.end()
        if end < len(text) or not parts:
            parts.append(quoted(text[end:]))
        return parts[0] if len(parts) == 1 else f"({' ~ '.join(parts)})"
