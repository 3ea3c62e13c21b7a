"""Expressions that nobody thought of: strategies that draw those that give a value of a kind, from what may be read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from hypothesis import strategies as st

__all__ = ["LITERALS", "ROUNDS", "Expressions", "Kind", "Name", "Seen"]


Kind = Literal["text", "number", "boolean", "list", "any"]

LITERALS: dict[Kind, tuple[str, ...]] = {
    "text": ("'on'", "''", "'x\\'{{ y'", "'äß☂'"),
    "number": ("0", "3", "-1", "0.5"),
    "boolean": ("true", "false"),
    "list": ("[]", "['a']", "['hall', 'yard', 'hall']", "['a', 'b', 'c']"),
    "any": ("none", "'on'", "1"),
}
ROUNDS = 3
"""No list that is drawn is longer, and no `repeat` has more attempts."""


@dataclass(frozen=True)
class Name:
    """Something that an expression may read: how, and of which kind it is."""

    path: str
    kind: Kind
    step: str = ""
    """The step that gives it."""


@dataclass(frozen=True)
class Seen:
    """What a step may use at its place.

    Args:
        sure: Names that are surely there.
        maybe: Names that may be there.
        undoable: Steps that have made a change before.
        lamps: Lamps that were changed before, and may be changed again.
        rounds: For each loop around it, an expression that tells its rounds apart.
        alone: Nothing runs at the same time.
    """

    sure: tuple[Name, ...] = ()
    maybe: tuple[Name, ...] = ()
    undoable: tuple[str, ...] = ()
    lamps: tuple[str, ...] = ()
    rounds: tuple[str, ...] = ()
    alone: bool = True


_ALWAYS = (
    Name("alert.title", "text"),
    Name("alert.account", "text"),
    Name("alert.severity", "number"),
    Name("incident.severity", "text"),
    Name("incident.id", "text"),
    Name("inputs.word", "text"),
    Name("inputs.count", "number"),
    Name("inputs.flag", "boolean"),
    Name("inputs.rooms", "list"),
    Name("now", "text"),
)
_DECLARED = ("alert.", "incident.", "inputs.", "steps.")
_NOWHERE = (
    Name("alert.actor.name", "text"),
    Name("steps.nowhere.result.colour", "text"),
    Name("steps.nowhere.status", "text"),
    Name("vars.nothing", "number"),
    Name("inputs.absent", "text"),
    Name("item", "text"),
    Name("attempt", "number"),
    Name("alert.nothing", "text"),
)


class Expressions:
    """Draws expressions.

    Args:
        risky: Whether they may read what is not there, or of another kind.
    """

    def __init__(self, draw: st.DrawFn, *, risky: bool) -> None:
        self.draw, self.risky = draw, risky
        self.everywhere: list[Name] = []

    def chance(self, of: int) -> bool:
        """True in about one of so many cases; no, where a counter-example is made smaller."""
        return self.draw(st.integers(0, of - 1)) == of - 1

    def one(self, *choices: Any) -> Any:
        return self.draw(st.sampled_from(choices))

    def expression(self, kind: Kind, seen: Seen, depth: int = 2) -> str:
        """A bare expression that gives a value of a kind."""
        if self.risky and self.chance(7):
            return self._wrong(kind, seen)
        if depth == 0 or self.chance(2):
            return self._plain(kind, seen)

        def inner(of: Kind) -> str:
            return f"({self.expression(of, seen, depth - 1)})"

        match kind:
            case "text":
                forms = [
                    lambda: f"{inner('text')} | upper",
                    lambda: f"{inner('text')} ~ '-' ~ {inner('any')}",
                    lambda: self._either(seen, depth),
                    lambda: f"{inner('text')}.removeprefix('a')",
                    lambda: f"{inner('list')} | join(', ')",
                    lambda: f"{inner('text')}[0:2]",
                    lambda: f"{inner('any')} | string",
                ]
            case "number":
                forms = [
                    lambda: f"{inner('number')} + {inner('number')}",
                    lambda: f"-{inner('number')}",
                    lambda: f"{inner('list')} | length",
                    lambda: f"{inner('text')} | length",
                    lambda: f"{inner('number')} * 2",
                    lambda: f"{inner('number')} | round",
                ]
            case "boolean":
                forms = [
                    lambda: f"{inner('number')} > {inner('number')}",
                    lambda: f"{inner('any')} == {inner('any')}",
                    lambda: f"not {inner('any')}",
                    lambda: f"{inner('boolean')} and {inner('boolean')}",
                    lambda: f"{inner('text')} in {inner('list')}",
                    lambda: f"{inner('text')} in {inner('text')}",
                    lambda: f"{self._unset(seen)} is defined",
                ]
            case "list":
                forms = [
                    lambda: f"{inner('list')} | unique",
                    lambda: f"{inner('list')} | reverse",
                    lambda: f"({inner('text')} | split('-'))[0:{ROUNDS}]",
                    lambda: f"[{inner('text')}, {inner('text')}]",
                ]
            case "any":
                forms = [lambda: inner(self.one("text", "number", "boolean", "list"))]
        return str(self.one(*forms)())

    def _plain(self, kind: Kind, seen: Seen) -> str:
        sure = [n.path for n in (*_ALWAYS, *seen.sure) if kind in ("any", n.kind)]
        maybe = [n for n in seen.maybe if n.kind == kind]
        if maybe and self.chance(4):
            found = self.one(*maybe)
            if not (self.risky and self.chance(3)):
                return f"{found.path} | default({self.one(*LITERALS[kind])})"
            return str(found.path)
        if self.chance(3):
            return str(self.one(*LITERALS[kind]))
        return str(self.one(*(reversed(sure) if sure else LITERALS[kind])))

    def _unset(self, seen: Seen) -> str:
        return str(self.one("alert.actor", "alert.region", *(n.path for n in seen.maybe)))

    def _wrong(self, kind: Kind, seen: Seen) -> str:
        """What is not there, not yet, or in another branch only; or is of another kind, as its declaration says."""
        if self.chance(2):
            names = [n.path for n in (*_NOWHERE, *seen.maybe, *self.everywhere) if kind in ("any", n.kind)]
            return str(self.one(*names, *LITERALS[kind]))
        declared = [
            n.path for n in (*_ALWAYS, *seen.sure) if n.kind != "any" and n.path.startswith(_DECLARED)
        ]
        return str(self.one(*declared, *LITERALS[self.one(*LITERALS)]))

    def _either(self, seen: Seen, depth: int) -> str:
        """One of two texts. Neither is wrong: of what may be of two kinds, the linter says nothing."""
        risky, self.risky = self.risky, False
        one, other = (f"({self.expression('text', seen, depth - 1)})" for _ in range(2))
        self.risky = risky
        return f"{one} if ({self.expression('boolean', seen, depth - 1)}) else {other}"

    def template(self, kind: Kind, seen: Seen) -> str:
        return f"{{{{ {self.expression(kind, seen)} }}}}"
