"""The conditions of CACAO playbooks as trees: read from text, and written as text.

They are STIX comparison expressions, `[__ip__:value IN ('198.51.100.7', '198.51.100.9') AND __seen__:value = true]`,
with or without brackets, with CACAO variables in the place of STIX object paths, and on either side. Beyond the
grammar of STIX, NOT may stand before any part, `==` and `<>` are read as `=` and `!=`, and a variable alone as
`= true`.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple, NoReturn

from soar.playbook.diagnostics import nearest

__all__ = [
    "MAX_LENGTH",
    "And",
    "Comparison",
    "Condition",
    "ConditionError",
    "Exists",
    "ListOf",
    "Not",
    "Operand",
    "Operator",
    "Or",
    "Time",
    "Value",
    "Variable",
    "parse_condition",
    "print_condition",
]

MAX_LENGTH = 4096
"""Characters of one condition."""
_MAX_DEPTH = 20
_MAX_PARTS = 200

Operator = Literal["=", "!=", "<", "<=", ">", ">=", "IN", "LIKE", "MATCHES", "ISSUBSET", "ISSUPERSET"]


class ConditionError(Exception):
    """A condition cannot be used.

    Args:
        at: The character that it stumbles over, from 0.
        message: What is wrong.
        hint: What to do about it.
    """

    def __init__(self, at: int, message: str, hint: str = "") -> None:
        self.at = at
        self.message = message
        self.hint = hint
        super().__init__(f"at character {at + 1}: {message}" + (f" ({hint})" if hint else ""))


@dataclass(frozen=True)
class Variable:
    """`__name__:value`; the name is held with its underscores."""

    name: str
    at: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Value:
    """A literal text, number or boolean."""

    value: str | int | float | bool
    at: int = field(default=0, compare=False)

    def __eq__(self, other: object) -> bool:
        # To Python 1, 1.0 and True are one value.
        if not isinstance(other, Value):
            return NotImplemented
        return type(self.value) is type(other.value) and self.value == other.value

    def __hash__(self) -> int:
        return hash((type(self.value), self.value))


@dataclass(frozen=True)
class Time:
    """`t'2026-01-31T12:00:00Z'`."""

    text: str
    at: int = field(default=0, compare=False)


@dataclass(frozen=True)
class ListOf:
    """`('a', 'b')`, on the right of IN."""

    items: tuple[Variable | Value | Time, ...]
    at: int = field(default=0, compare=False)


Operand = Variable | Value | Time | ListOf


@dataclass(frozen=True)
class Comparison:
    """Two operands and what is asked of them; `negated` is a NOT before the operator."""

    left: Variable | Value | Time
    operator: Operator
    right: Operand
    negated: bool = False
    at: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Exists:
    """Whether a variable has a value, that is, is not null."""

    variable: Variable


@dataclass(frozen=True)
class Not:
    part: Condition


@dataclass(frozen=True)
class And:
    parts: tuple[Condition, ...]


@dataclass(frozen=True)
class Or:
    parts: tuple[Condition, ...]


Condition = Comparison | Exists | Not | And | Or


class _Token(NamedTuple):
    kind: str
    text: str
    at: int


_TOKEN = re.compile(
    r"""(?P<space>\s+)
    |(?P<variable>__[A-Za-z_][A-Za-z0-9_-]{0,240}__(?::value)?(?![A-Za-z0-9_:]))
    |(?P<time>t'[^']*')
    |(?P<binary>[bh]'[^']*')
    |(?P<string>'(?:[^'\\]|\\.)*')
    |(?P<number>[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?(?![A-Za-z0-9_.]))
    |(?P<sign><=|>=|<>|!=|==|=|<|>)
    |(?P<mark>[()\[\],])
    |(?P<word>[A-Za-z_][A-Za-z0-9_:.-]*)""",
    re.VERBOSE | re.DOTALL,
)
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?Z")
_SIGNS: Final[dict[str, Operator]] = {
    "=": "=", "==": "=", "!=": "!=", "<>": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">=",
}  # fmt: skip
_WORDS: Final[dict[str, Operator]] = {
    "IN": "IN",
    "LIKE": "LIKE",
    "MATCHES": "MATCHES",
    "ISSUBSET": "ISSUBSET",
    "ISSUPERSET": "ISSUPERSET",
}
_KEYWORDS = {*_WORDS, "AND", "OR", "NOT", "EXISTS", "TRUE", "FALSE"}
_OBSERVING = {"FOLLOWEDBY", "WITHIN", "REPEATS", "START", "STOP", "SECONDS", "TIMES"}
_VARIABLES = "write a variable as __name__:value, a text in '…', a boolean as true or false"


def _tokens(text: str) -> list[_Token]:
    found: list[_Token] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            _refuse(text, at)
        kind, at = match.lastgroup or "", match.end()
        if kind == "word" and match[0].upper() in _KEYWORDS:
            found.append(_Token("keyword", match[0].upper(), match.start()))
        elif kind != "space":
            found.append(_Token(kind, match[0], match.start()))
    return [*found, _Token("end", "", len(text))]


def _refuse(text: str, at: int) -> NoReturn:
    if text[at] == "'":
        raise ConditionError(at, "this text has no closing '", "write ' within a text as \\'")
    if text[at] == '"':
        raise ConditionError(at, "a text stands in ', not in \"", "write 'text'")
    raise ConditionError(at, f"{text[at : at + 10]!r} cannot be read", _VARIABLES)


def parse_condition(text: str) -> Condition:
    """Read a condition.

    Args:
        text: What stands in `condition` of a CACAO step.

    Returns:
        Its tree.

    Raises:
        ConditionError: It is no condition.
    """
    if len(text) > MAX_LENGTH:
        raise ConditionError(MAX_LENGTH, f"it has {len(text)} characters; at most {MAX_LENGTH} are read")
    parser = _Parser(_tokens(text))
    condition = parser.either()
    parser.end()
    return condition


class _Parser:
    """Recursive descent; OR binds least, then AND, then NOT."""

    def __init__(self, tokens: list[_Token]) -> None:
        self.tokens = tokens
        self.index = 0
        self.depth = 0
        self.parts = 0

    @property
    def next(self) -> _Token:
        return self.tokens[self.index]

    def take(self) -> _Token:
        token = self.next
        self.index += 1
        return token

    def takes(self, *texts: str) -> bool:
        found = self.next.kind in ("keyword", "mark") and self.next.text in texts
        self.index += found
        return found

    def end(self) -> None:
        token = self.next
        if token.kind == "end":
            return
        if token.kind == "word" and token.text.upper() in _OBSERVING:
            message = f"{token.text.upper()} asks for observations over time, which a condition does not have"
            raise ConditionError(token.at, message, "combine comparisons with AND and OR")
        if token.text in (")", "]"):
            raise ConditionError(token.at, f"this {token.text} closes nothing", "remove it")
        hint = (
            nearest(token.text.upper(), ["AND", "OR"]) if token.kind == "word" else "write AND or OR between"
        )
        raise ConditionError(token.at, f"{token.text[:40]!r} follows a condition that had ended", hint)

    def either(self) -> Condition:
        parts = [self.both()]
        while self.takes("OR"):
            parts.append(self.both())
        return Or(tuple(parts)) if len(parts) > 1 else parts[0]

    def both(self) -> Condition:
        parts = [self.part()]
        while self.takes("AND"):
            parts.append(self.part())
        return And(tuple(parts)) if len(parts) > 1 else parts[0]

    def part(self) -> Condition:
        token = self.next
        self.depth += 1
        self.parts += 1
        if self.depth > _MAX_DEPTH:
            raise ConditionError(token.at, f"it is nested deeper than {_MAX_DEPTH} levels", "simplify it")
        if self.parts > _MAX_PARTS:
            message = f"it has more than {_MAX_PARTS} parts"
            raise ConditionError(token.at, message, "use IN for a list of values")
        try:
            if self.takes("NOT"):
                return Not(self.part())
            if self.takes("EXISTS"):
                return Exists(self.variable())
            if self.takes("(", "["):
                inner = self.either()
                closing = ")" if token.text == "(" else "]"
                if not self.takes(closing):
                    message = f"{closing} is missing, for the {token.text} at character {token.at + 1}"
                    raise ConditionError(self.next.at, message, "close it")
                return inner
            return self.comparison()
        finally:
            self.depth -= 1

    def variable(self) -> Variable:
        token = self.take()
        if token.kind != "variable":
            raise ConditionError(token.at, "a variable is needed after EXISTS", "write __name__:value")
        return _variable(token)

    def comparison(self) -> Comparison:
        left = self.operand()
        if isinstance(left, Variable) and (
            self.next.kind == "end" or self.next.text in ("AND", "OR", ")", "]")
        ):
            # Not in the grammar of STIX, and met often: a variable alone is true or false.
            return Comparison(left, "=", Value(True, left.at), at=left.at)
        negated = self.takes("NOT")
        token = self.take()
        operator: Operator
        if token.kind == "sign":
            operator = _SIGNS[token.text]
        elif token.kind == "keyword" and token.text in _WORDS:
            operator = _WORDS[token.text]
        else:
            known = [*_SIGNS, *_WORDS]
            hint = (
                nearest(token.text.upper(), known) if token.kind == "word" else f"one of {', '.join(known)}"
            )
            raise ConditionError(token.at, "an operator is missing here", hint)
        if operator == "IN" and self.next.text in ("(", "[") and self.next.kind == "mark":
            return Comparison(left, operator, self.listed(), negated, token.at)
        return Comparison(left, operator, self.operand(), negated, token.at)

    def listed(self) -> ListOf:
        opening = self.take()
        closing = ")" if opening.text == "(" else "]"
        items = [self.operand()]
        while self.takes(","):
            items.append(self.operand())
        if not self.takes(closing):
            message = f"the list is not closed with {closing}"
            raise ConditionError(self.next.at, message, "write ('a', 'b')")
        return ListOf(tuple(items), opening.at)

    def operand(self) -> Variable | Value | Time:
        token = self.take()
        if token.kind == "variable":
            return _variable(token)
        if token.kind == "string":
            return Value(re.sub(r"\\(.)", r"\1", token.text[1:-1], flags=re.DOTALL), token.at)
        if token.kind == "keyword" and token.text in ("TRUE", "FALSE"):
            return Value(token.text == "TRUE", token.at)
        if token.kind == "number":
            return _number(token)
        if token.kind == "time":
            if not _TIME.fullmatch(token.text[2:-1]):
                message = "this is no point in time"
                raise ConditionError(token.at, message, "write t'2026-01-31T12:00:00Z'")
            return Time(token.text[2:-1], token.at)
        if token.kind == "binary":
            message = "bytes (b'…', h'…') cannot be compared here"
            raise ConditionError(token.at, message, "compare their text: '…'")
        if token.kind == "word" and token.text.startswith("__"):
            message = f"{token.text[:60]!r} is no variable"
            raise ConditionError(token.at, message, "write __name__:value; nothing may follow :value")
        if token.kind == "word" and ":" in token.text:
            message = f"{token.text[:60]!r} names a STIX object, and a condition has none"
            raise ConditionError(token.at, message, "compare a variable: __name__:value")
        what = "the condition ends here" if token.kind == "end" else f"{token.text[:40]!r} is no value"
        raise ConditionError(token.at, f"a variable or a value is needed; {what}", _VARIABLES)


def _variable(token: _Token) -> Variable:
    return Variable(token.text.removesuffix(":value"), token.at)


def _number(token: _Token) -> Value:
    whole = re.fullmatch(r"[+-]?[0-9]+", token.text) is not None
    number: int | float = int(token.text) if whole and len(token.text) < 40 else float(token.text)
    if not math.isfinite(number) or abs(number) >= 2**63:
        raise ConditionError(token.at, "the number is too large", "compare it as text: '…'")
    return Value(number, token.at)


def print_condition(condition: Condition) -> str:
    """Write a condition in the one form that STIX and this parser read alike, without brackets around it.

    Returns:
        Text that `parse_condition` reads as an equal tree.
    """
    match condition:
        case Comparison():
            negation = "NOT " if condition.negated else ""
            return f"{_operand(condition.left)} {negation}{condition.operator} {_operand(condition.right)}"
        case Exists():
            return f"EXISTS {_operand(condition.variable)}"
        case Not(part=part):
            return "NOT " + _inner(part, And, Or)
        case And(parts=parts):
            return " AND ".join(_inner(part, And, Or) for part in parts)
        case Or(parts=parts):
            return " OR ".join(_inner(part, Or) for part in parts)


def _inner(part: Condition, *loose: type) -> str:
    text = print_condition(part)
    return f"({text})" if isinstance(part, loose) else text


def _operand(operand: Operand) -> str:
    match operand:
        case Variable(name=name):
            return f"{name}:value"
        case Time(text=text):
            return f"t'{text}'"
        case ListOf(items=items):
            return f"({', '.join(_operand(item) for item in items)})"
        case Value(value=bool() as flag):
            return "true" if flag else "false"
        case Value(value=str() as text):
            return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
        case Value(value=number):
            return repr(number)
