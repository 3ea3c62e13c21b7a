"""What the actions of a recorded incident answered, as activities: nothing is called, and nothing is guessed."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import ValidationError
from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from soar.actions.calls import ActionCall
from soar.actions.contract import ChangeDefinition, Definition, ReadDefinition
from soar.engine.changes import wire_id
from soar.model.base import JsonObject, canonical_json
from soar.model.change import ErrorInfo, Plan, Result
from soar.rehearse.outcome import NOT_RECORDED
from soar.rehearse.record import Record
from soar.rehearse.seen import StepSeen
from soar.rehearse.stage import Ledger

__all__ = ["Answers"]

T = TypeVar("T")

_NO_ANSWERS = {"Stopped", "Expired", "TimedOut"}
"""Types of errors of a step that are not its action's own."""
_EXPIRY = re.compile(r"^by itself .{1,40} after it is verified, unless somebody extends it; ")
"""What the engine puts before a plan's own words."""


@dataclass
class Answers:
    """Answers reads and plans from a record. What is not on record has no answer; nothing is guessed.

    Args:
        ledger: Told what is asked.
        record: The incident; another one is put here for each dry run.
        by_step: The steps that were answered although the record does not say what they had asked: it was the same
            step with the same action.
    """

    ledger: Ledger
    record: Record | None = None
    by_step: list[str] = field(default_factory=list)

    def of(self, record: Record) -> None:
        """Answer from this record, from now on."""
        self.record, self.by_step = record, []

    def activities(self, definitions: Sequence[Definition]) -> dict[str, list[Callable[..., Any]]]:
        """The activities of actions: no action's own code is in them."""
        queues: dict[str, list[Callable[..., Any]]] = {}
        for definition in definitions:
            queues.setdefault(definition.spec.queue, []).append(self._activity(definition))
        return queues

    def _activity(self, definition: Definition) -> Callable[..., Any]:
        if isinstance(definition, ReadDefinition):

            @activity.defn(name=definition.spec.name)
            async def read(call: ActionCall) -> Result:
                self.ledger.note(call)
                return self._read(definition, call)

            return read

        @activity.defn(name=f"{definition.spec.name}:plan")
        async def plan(call: ActionCall) -> Plan:
            self.ledger.note(call)
            return self._plan(definition, call)

        return plan

    def _steps(self, action: str) -> list[StepSeen]:
        return [s for s in self.record.all_steps() if s.action == action] if self.record else []

    def _read(self, definition: ReadDefinition, call: ActionCall) -> Result:
        asked = _asked(definition, call.params)
        steps = self._steps(definition.spec.name)
        known = [s for s in steps if s.result is not None and s.end == "succeeded"]
        told = [s for s in known if s.params is not None and _asked(definition, s.params) == asked]
        if found := self._one(call, [(s, s.result) for s in told], lambda r: canonical_json(r.data)):
            return found
        silent = [s for s in known if s.params is None and wire_id(s.id) == call.step_id]
        if found := self._one(call, [(s, s.result) for s in silent], lambda r: canonical_json(r.data)):
            self.by_step.append(silent[0].id)
            return found
        self._failed_then(call, steps)
        then = [s.params for s in known if s.params is not None and wire_id(s.id) == call.step_id]
        raise _not_recorded(f"it was not read so in this incident{_otherwise(definition, call, then)}")

    def _plan(self, definition: ChangeDefinition, call: ActionCall) -> Plan:
        asked = _asked(definition, call.params)
        steps = self._steps(definition.spec.name)
        told = [(s, p) for s in steps for p in s.plans[:1] if _asked(definition, p.params) == asked]
        if found := self._one(call, told, lambda p: p.content_digest):
            return found.model_copy(update={"undo": _EXPIRY.sub("", found.undo)})
        self._failed_then(call, steps)
        then = [p.params for s in steps for p in s.plans[:1] if wire_id(s.id) == call.step_id]
        raise _not_recorded(f"this was not planned in this incident{_otherwise(definition, call, then)}")

    def _one(
        self, call: ActionCall, told: Sequence[tuple[StepSeen, T | None]], same: Callable[[T], str]
    ) -> T | None:
        """The one answer: that of the same step, or the one that all steps got."""
        answers = [(s, a) for s, a in told if a is not None]
        mine = [(s, a) for s, a in answers if wire_id(s.id) == call.step_id] or answers
        if len({same(a) for _, a in mine}) > 1:
            names = ", ".join(s.id for s, _ in mine)
            raise _not_recorded(f"the record has different answers to this, those of the steps {names}")
        return mine[0][1] if mine else None

    def _failed_then(self, call: ActionCall, steps: Sequence[StepSeen]) -> None:
        """Fail as the same step did then; what it had asked is not on record."""
        for step in steps:
            error = step.error
            # A person may have left it out after it failed.
            if (
                step.end not in ("failed", "skipped")
                or error is None
                or error.type in _NO_ANSWERS
                or step.plans
            ):
                continue
            if wire_id(step.id) == call.step_id:
                self.by_step.append(step.id)
                raise _failure(error)


def _asked(definition: Definition, params: JsonObject) -> str:
    """Parameters, comparable."""
    return canonical_json(_understood(definition, params))


def _understood(definition: Definition, params: JsonObject) -> JsonObject:
    """Parameters as the action understands them: what is left out is what it takes by default."""
    try:
        understood: JsonObject = definition.params.model_validate(params).model_dump(mode="json")
    except ValidationError:  # of another release, perhaps
        return params
    return understood


def _otherwise(definition: Definition, call: ActionCall, then: Sequence[JsonObject]) -> str:
    """What the same step had asked instead, where it did."""
    if not then:
        return ""
    was, now = _understood(definition, then[0]), _understood(definition, call.params)
    parts = [
        f"{name}: {_short(was.get(name))} → {_short(now.get(name))}"
        for name in sorted(was.keys() | now.keys())
        if was.get(name) != now.get(name)
    ]
    return f", but with {'; '.join(parts)}"


def _short(value: object) -> str:
    text = canonical_json(value)
    return text if len(text) <= 80 else text[:79] + "…"


def _not_recorded(why: str) -> ApplicationError:
    return _failure(ErrorInfo(type=NOT_RECORDED, message=f"not on record: {why}"))


def _failure(error: ErrorInfo) -> ApplicationError:
    return ApplicationError(
        error.message,
        error,
        type=error.type,
        non_retryable=True,
        category=ApplicationErrorCategory.BENIGN,
    )
