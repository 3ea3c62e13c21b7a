"""Following an incident by its timeline: every moment at which a step changed its status, none missed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from fnmatch import fnmatchcase

from soar.model.fold import open_incident, reduce
from soar.model.incident import Incident
from soar.model.terms import StepStatus
from soar.model.timeline import TimelineEntry
from soar.playtest.spec import Trigger

__all__ = ["Follower", "Moment", "fits"]


@dataclass(frozen=True)
class Moment:
    """One entry of a timeline, and what it changed.

    Args:
        step: The step that the entry is about; empty where it is about none.
        turned: The steps whose status it changed, with the new one.
    """

    incident_id: str
    time: datetime
    kind: str
    step: str
    turned: dict[str, StepStatus] = field(default_factory=dict)

    def steps_of(self, trigger: Trigger) -> list[str]:
        """The steps for which this is the moment that a trigger means; an empty text where it names none."""
        if trigger.kind is not None:
            held = trigger.kind == self.kind and fits(self.step, trigger.step)
            return [self.step] if held else []
        return [
            step
            for step, status in self.turned.items()
            if status is trigger.status and fits(step, trigger.step)
        ]


def fits(step: str, globs: Sequence[str] | None) -> bool:
    """Whether a step is one of those that are named; all are where none is.

    A step in a loop may be named as it is, `close[0]`, although brackets mean a set of letters in a pattern.
    """
    return globs is None or any(step == glob or fnmatchcase(step, glob) for glob in globs)


class Follower:
    """One incident as far as it has been followed."""

    def __init__(self) -> None:
        self.timeline: list[TimelineEntry] = []
        self._incident: Incident | None = None

    @property
    def incident(self) -> Incident:
        """Its state."""
        if self._incident is None:
            raise RuntimeError("nothing of the incident has been read yet")
        return self._incident

    @property
    def seq(self) -> int:
        """The last entry that was read."""
        return self.timeline[-1].seq if self.timeline else 0

    def read(self, entries: Sequence[TimelineEntry]) -> list[Moment]:
        """Take the next entries."""
        return [self._read(entry) for entry in entries]

    def _read(self, entry: TimelineEntry) -> Moment:
        before: dict[str, StepStatus] = {}
        if self._incident is None:
            self._incident = open_incident(entry)
        else:
            before = {step.id: step.status for step in self._incident.steps.values()}
            reduce(self._incident, entry)
        self.timeline.append(entry)
        after = {step.id: step.status for step in self._incident.steps.values()}
        return Moment(
            incident_id=self._incident.id,
            time=entry.time,
            kind=entry.kind,
            step=self._subject(entry),
            turned={step: status for step, status in after.items() if before.get(step) is not status},
        )

    def _subject(self, entry: TimelineEntry) -> str:
        event = entry.event
        step = getattr(event, "step_id", "")
        approval = self.incident.approvals.get(getattr(event, "approval_id", ""))
        return str(step or (approval.step_id if approval else ""))
