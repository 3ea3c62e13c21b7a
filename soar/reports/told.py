"""The sections that others sum up: built once, for the report itself, its summary and its gaps."""

from __future__ import annotations

from dataclasses import dataclass

from soar.reports.changes import effects
from soar.reports.course import clocks, course
from soar.reports.decisions import approvals
from soar.reports.facts import Facts
from soar.reports.flow import called, loops
from soar.reports.people import tasks
from soar.reports.sections import ApprovalRow, CalledRow, ClockRow, Course, EffectRow, LoopRow, TaskRow

__all__ = ["Told", "tell"]


@dataclass(frozen=True)
class Told:
    """What the record tells, as rows."""

    changes: tuple[EffectRow, ...]
    asked: tuple[ApprovalRow, ...]
    tasks: tuple[TaskRow, ...]
    clocks: tuple[ClockRow, ...]
    loops: tuple[LoopRow, ...]
    called: tuple[CalledRow, ...]
    course: Course


def tell(facts: Facts) -> Told:
    """Build them."""
    return Told(
        changes=effects(facts),
        asked=approvals(facts),
        tasks=tasks(facts),
        clocks=clocks(facts),
        loops=loops(facts),
        called=called(facts),
        course=course(facts),
    )
