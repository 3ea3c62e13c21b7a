"""The course of the incident: deadlines, pauses, who was in charge, how severe it was, and under which playbook."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from soar.model.base import Digest, Fact, UtcTime

__all__ = [
    "AssignmentRow",
    "CancelRow",
    "ClockOutcome",
    "ClockRow",
    "Course",
    "PauseRow",
    "ReopenedRow",
    "SeverityRow",
    "UpgradeRow",
]

ClockOutcome = Literal["met", "met_late", "missed", "running"]


class ClockRow(Fact):
    """A deadline.

    Args:
        outcome: `met_late`: it was missed, and what it asks for was done after that.
        allowed_milliseconds: From its start to when it is due.
        milliseconds: From its start until it was met; null: it was not.
        left_milliseconds: From when it was met until it was due, negative when it was met late. Where it is not met:
            from the last entry of the record.
        met_by: The person who said so, or `automatic`.
        reason: What met it: the step, or the person's words.
    """

    name: str
    label: str
    started_at: UtcTime
    due_at: UtcTime
    seq: int
    warned_at: UtcTime | None
    warned_seq: int | None
    outcome: ClockOutcome
    met_at: UtcTime | None
    met_seq: int | None
    missed_seq: int | None
    allowed_milliseconds: int
    milliseconds: int | None
    left_milliseconds: int
    met_by: str
    reason: str


class PauseRow(Fact):
    """Nothing new was begun for a while. `ended_at` is null where nobody resumed."""

    started_at: UtcTime
    started_seq: int
    by: str
    reason: str
    ended_at: UtcTime | None
    ended_seq: int | None
    resumed_by: str
    resumed_reason: str
    milliseconds: int | None


class AssignmentRow(Fact):
    """Somebody was put in charge; empty: nobody."""

    seq: int
    time: UtcTime
    before: str
    after: str
    by: str
    reason: str


class SeverityRow(Fact):
    """The severity changed.

    Args:
        before: Empty for the severity that the incident was opened with.
        cause: `alert`: an alert of a higher severity joined. `rule`: a rule of the playbook.
        by: The person; empty where it was none.
    """

    seq: int
    time: UtcTime
    before: str
    after: str
    cause: Literal["opened", "alert", "rule", "person"]
    by: str
    reason: str


class UpgradeRow(Fact):
    """The incident went on with another version of its playbook."""

    seq: int
    time: UtcTime
    by: str
    before: Digest
    after: Digest
    differences: tuple[str, ...]
    reason: str


class CancelRow(Fact):
    """Somebody ended the incident early; a second time: changes that were being put back stay as they are."""

    seq: int
    time: UtcTime
    by: str
    reason: str


class ReopenedRow(Fact):
    """The incident was opened again after its end, to put changes back."""

    seq: int
    time: UtcTime
    by: str
    reason: str


class Course(Fact):
    """What happened to the incident as a whole, in the order of the timeline.

    Args:
        paused_milliseconds: All pauses together; one that nobody ended counts up to the last entry of the record.
    """

    pauses: tuple[PauseRow, ...]
    paused_milliseconds: int = Field(ge=0)
    assignments: tuple[AssignmentRow, ...]
    severities: tuple[SeverityRow, ...]
    upgrades: tuple[UpgradeRow, ...]
    cancels: tuple[CancelRow, ...]
    reopened: tuple[ReopenedRow, ...]
