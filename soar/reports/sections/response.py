"""What was done, phase by phase."""

from __future__ import annotations

from soar.model.base import Fact, UtcTime
from soar.model.change import ErrorInfo
from soar.model.terms import Phase, Risk, StepStatus

__all__ = ["PhaseSection", "StepRow"]


class StepRow(Fact):
    """A step that was reached, and how it ended.

    Args:
        decided_by: The policy rule that let it run by itself, or that asked for people.
        people: Who decided about it.
        automatic: Nobody was asked.
    """

    id: str
    name: str
    action: str
    risk: Risk
    status: StepStatus
    started_at: UtcTime
    started_seq: int | None
    ended_at: UtcTime | None
    ended_seq: int | None
    automatic: bool
    people: tuple[str, ...]
    decided_by: str
    result: str
    reason: str
    error: ErrorInfo | None


class PhaseSection(Fact):
    """One of the six phases."""

    phase: Phase
    label: str
    started_at: UtcTime | None
    started_seq: int | None
    ended_at: UtcTime | None
    ended_seq: int | None
    milliseconds: int | None
    steps: tuple[StepRow, ...]
