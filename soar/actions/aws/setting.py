"""The shape that most changes share: settings of one thing are read, written as wanted, and written back as recorded.

An action of this shape says where the settings are (`look`), what they should be (`wanted`), how they are written
(`write`) and what that means to people (`say`). From these follow the plan, the retry after a crash, the check and
the undo:

- `apply` reads again and writes only what is not yet as wanted: running it again after a crash changes nothing twice;
- `verify` reads and compares;
- `undo` reads again and writes what was recorded.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

from pydantic import BaseModel, JsonValue

from soar.actions.aws.guards import ensure_not_protected
from soar.actions.contract import Action, ActionContext, Draft, Planned, StateBefore
from soar.model.base import canonical_json
from soar.model.change import BlastRadius, Change, Result, Target, Verification

__all__ = ["Found", "OneWaySetting", "Said", "Setting"]

P = TypeVar("P", bound=BaseModel)
S = TypeVar("S", bound=StateBefore)

SHORT = 120
"""Characters of a value that are told in a sentence; the plan has it whole."""


@dataclass(frozen=True, kw_only=True)
class Found(Generic[S]):
    """A thing as it is now.

    Args:
        target: What the plan names.
        state: The settings that this action may change, and nothing that moves by itself. The title of a field
            (`Field(title=…)`) is what plans call it.
        facts: Who and what depends on it: last used, members, callers. Shown; not part of the digest.
        pending: Why the settings are not in effect yet, `the database is still modifying`; empty: they are.
    """

    target: Target
    state: S
    facts: tuple[str, ...] = ()
    pending: str = ""


@dataclass(frozen=True, kw_only=True)
class Said:
    """A plan in words.

    Args:
        summary: One sentence: what will be done to what.
        hits: Who and what is hit, in a sentence.
        warnings: What to know before approving.
        undo: How it is put back.
    """

    summary: str
    hits: str
    warnings: tuple[str, ...] = ()
    undo: str = "The recorded settings are written back."


class OneWaySetting(Action[P, S]):
    """A change of the settings of one thing that cannot be put back. Most can: see `Setting`.

    Attributes:
        method: How the settings are read, `lambda:GetFunctionConcurrency`.
    """

    method: ClassVar[str]

    @abstractmethod
    def look(self, ctx: ActionContext, params: P) -> Found[S]:
        """Read the thing and its settings completely.

        Raises:
            ActionError: It does not exist, or cannot be read.
        """

    @abstractmethod
    def wanted(self, params: P, state: S) -> S:
        """What the settings should be, given what they were. Pure: the same for the same arguments."""

    @abstractmethod
    def write(self, ctx: ActionContext, params: P, now: S, then: S) -> None:
        """Bring the settings from `now` to `then`, by as few calls as it takes, each safe to be made again.

        Both directions are asked of it: to what is wanted, and back to what was recorded.
        """

    @abstractmethod
    def say(self, params: P, found: Found[S], then: S) -> Said:
        """The plan in words. Asked only where something changes."""

    def guard(self, ctx: ActionContext, params: P, found: Found[S]) -> None:
        """Refuse what must never be done to this target; what is tagged as protected is refused in any case.

        Raises:
            Refused: With the reason, and what to do instead.
        """

    def plan(self, ctx: ActionContext, params: P) -> Draft[S]:
        found = self.look(ctx, params)
        then = self.wanted(params, found.state)
        changed = _differences(found.state, then)
        if not changed:
            return Draft(
                summary=f"{found.target.name} is as wanted already",
                targets=(found.target,),
                changes=(),
                state=found.state,
            )
        kind = found.target.type.rpartition(".")[2].replace("_", " ")
        ensure_not_protected(kind, found.target.name, found.target.tags)
        self.guard(ctx, params, found)
        said = self.say(params, found, then)
        return Draft(
            summary=said.summary,
            targets=(found.target,),
            changes=tuple(
                Change(target=found.target.uid, field=field, before=before, after=after)
                for field, before, after in changed
            ),
            state=found.state,
            blast_radius=BlastRadius(summary=said.hits, facts=found.facts),
            warnings=said.warnings,
            undo=said.undo if isinstance(self, Setting) else "",
        )

    def apply(self, ctx: ActionContext, planned: Planned[P, S]) -> Result:
        then = self.wanted(planned.params, planned.state)
        found = self.look(ctx, planned.params)
        if found.state != then:
            self.write(ctx, planned.params, found.state, then)
        return Result(summary=f"{found.target.name}: {_words(planned.state, then)}")

    def verify(self, ctx: ActionContext, planned: Planned[P, S]) -> Verification:
        then = self.wanted(planned.params, planned.state)
        found = self.look(ctx, planned.params)
        seen = _words(planned.state, found.state) or "nothing has changed"
        return Verification(
            verified=found.state == then and not found.pending,
            seen=f"{found.target.name}: {seen}" + (f"; {found.pending}" if found.pending else ""),
            method=self.method,
        )


class Setting(OneWaySetting[P, S]):
    """A change of the settings of one thing, put back by writing what was recorded."""

    def undo(self, ctx: ActionContext, planned: Planned[P, S]) -> Result:
        found = self.look(ctx, planned.params)
        if found.state != planned.state:
            self.write(ctx, planned.params, found.state, planned.state)
        then = self.wanted(planned.params, planned.state)
        return Result(summary=f"{found.target.name}: {_words(then, planned.state)}")


def _differences(before: StateBefore, after: StateBefore) -> list[tuple[str, JsonValue, JsonValue]]:
    """What differs: the field's name for people, its value before and after."""
    old, new = before.model_dump(mode="json"), after.model_dump(mode="json")
    fields = type(before).model_fields
    return [
        (fields[name].title or name.replace("_", " "), value, new[name])
        for name, value in old.items()
        if value != new[name]
    ]


def _words(before: StateBefore, after: StateBefore) -> str:
    return "; ".join(f"{field} is {_short(value)}" for field, _, value in _differences(before, after))


def _short(value: JsonValue) -> str:
    text = (
        "nothing"
        if value in (None, "", [], {})
        else value
        if isinstance(value, str)
        else canonical_json(value)
    )
    return text if len(text) <= SHORT else text[: SHORT - 1] + "…"
