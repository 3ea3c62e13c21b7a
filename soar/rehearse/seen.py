"""What a timeline tells of each step. Unlike the incident's state, it still has the steps of rounds that have ended."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from soar.engine.scope import base_id
from soar.model.base import JsonObject
from soar.model.change import ErrorInfo, Plan, Result
from soar.model.course import ChildOpened, TaskOpened, WayTaken
from soar.model.events import (
    ApprovalOpened,
    IncidentReopened,
    PlanMade,
    PolicyDecided,
    StepDenied,
    StepFailed,
    StepNeedsAttention,
    StepPlanned,
    StepSkipped,
    StepStarted,
    StepSucceeded,
)
from soar.model.terms import Phase, Risk
from soar.model.timeline import TimelineEntry

__all__ = ["End", "StepSeen", "steps_seen"]

End = Literal["", "succeeded", "unchanged", "skipped", "planned", "denied", "failed"]
"""How a step ended; empty: it did not."""


@dataclass
class StepSeen:
    """One step, as far as a timeline tells of it.

    Args:
        id: With its rounds, `isolate[3]`.
        action: The action; of a step of another kind, the kind.
        params: What a read was asked; None: the timeline does not say.
        plans: Every plan that was made for it, in order.
        outcome: What policy said last, and by which rule.
        asked: Every time that people were asked: how many had to agree (0: it was a task), and who could.
        planned: What a dry run would have done.
        child: The incident of the playbook that it called.
        way: Which way a branch went.
        reason: Why it was skipped.
        later: It came after the incident had been closed once.
    """

    id: str
    name: str
    action: str
    risk: Risk
    phase: Phase
    end: End = ""
    changed: bool = False
    params: JsonObject | None = None
    plans: list[Plan] = field(default_factory=list)
    outcome: str = ""
    rule: str = ""
    asked: list[tuple[int, tuple[str, ...]]] = field(default_factory=list)
    planned: StepPlanned | None = None
    result: Result | None = None
    error: ErrorInfo | None = None
    reason: str = ""
    skipped_by: str = ""
    child: str = ""
    way: str = ""
    later: bool = False

    @property
    def base(self) -> str:
        """Its id in the playbook."""
        return base_id(self.id)

    @property
    def plan(self) -> Plan | None:
        """The last plan."""
        return self.plans[-1] if self.plans else None


def steps_seen(entries: Iterable[TimelineEntry]) -> dict[str, StepSeen]:
    """Read a timeline.

    Returns:
        The steps by id, in the order in which they were reached.
    """
    found: dict[str, StepSeen] = {}
    later = False
    for entry in entries:
        event, phase = entry.event, entry.phase or Phase.PREPARATION
        match event:
            case IncidentReopened():
                later = True
            case StepStarted():
                found[event.step_id] = StepSeen(
                    event.step_id, event.name, event.action, event.risk, phase, later=later
                )
            case StepSkipped():
                step = found.setdefault(
                    event.step_id,
                    StepSeen(event.step_id, event.name, event.action, event.risk, phase, later=later),
                )
                step.end, step.reason, step.skipped_by = "skipped", event.reason, event.by
            case _:
                step_id = getattr(event, "step_id", "")
                if step_id in found:
                    _tell(found[step_id], entry)
    return found


def _tell(step: StepSeen, entry: TimelineEntry) -> None:
    match entry.event:
        case StepSucceeded() as event:
            done = event.changed or step.risk is Risk.READ
            step.end, step.changed = "succeeded" if done else "unchanged", event.changed
            step.result, step.error = event.result, None
            if "params" in entry.data:  # entries of earlier releases do not say what was asked
                step.params = event.params
        case StepPlanned() as event:
            step.end, step.planned = "planned", event
        case StepDenied() as event:
            step.end, step.reason = "denied", event.reason
        case StepFailed() as event:
            step.end, step.error = "failed", event.error
        case StepNeedsAttention() as event:
            step.error = event.error
        case PlanMade() as event:
            step.plans.append(event.plan)
        case PolicyDecided() as event:
            step.outcome, step.rule = event.outcome, event.rule
        case ApprovalOpened() as event:
            step.asked.append((event.needed, event.roles))
        case TaskOpened() as event:
            step.asked.append((0, event.roles))
        case ChildOpened() as event:
            step.child = event.incident_id
        case WayTaken() as event:
            step.way = event.way
