"""What people did: tasks, answers to questions, and steps that they left out, tried again or stopped."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, JsonValue

from soar.model.base import Fact, UtcTime
from soar.model.course import TaskStatus
from soar.model.people import ApprovalStatus
from soar.model.terms import StepStatus
from soar.reports.sections.decisions import RefusalRow, VoteRow

__all__ = ["FilledIn", "InterventionRow", "QuestionRow", "TaskRow"]


class FilledIn(Fact):
    """One field of a task's form. `value` is null where nobody gave one."""

    name: str
    label: str
    required: bool
    value: JsonValue = None


class TaskRow(Fact):
    """Something that a person was asked to do. A task that was asked anew has a row for each time.

    Args:
        status: `open`: nobody had done it by the last entry of the record.
        due_at: When it was to be done; null where the playbook gives it no time.
        reminders: How often people were told that it was overdue.
        done_by: The responder's id.
        late_milliseconds: How long after `due_at` it ended, or how late it is at the last entry of the record.
            Negative: so much time was left. Null where it has no time, or was withdrawn.
        withdrawn: Why nobody need do it any more.
        answers: What the form asks for, with what was filled in.
    """

    step_id: str
    step_name: str
    roles: tuple[str, ...]
    excluded: dict[str, str]
    instructions: str
    opened_at: UtcTime
    opened_seq: int
    due_at: UtcTime | None
    reminders: int
    status: TaskStatus
    ended_at: UtcTime | None
    ended_seq: int | None
    milliseconds: int | None = Field(description="from asked to ended")
    done_by: str
    done_by_name: str
    late_milliseconds: int | None
    withdrawn: str
    answers: tuple[FilledIn, ...]
    refusals: tuple[RefusalRow, ...]


class QuestionRow(Fact):
    """A question that the playbook asked people.

    Args:
        answer: Null where there is none: nobody answered in time, it was withdrawn, or it is open.
    """

    approval_id: str
    step_id: str
    step_name: str
    question: str
    details: str
    roles: tuple[str, ...]
    needed: int
    asked_at: UtcTime
    asked_seq: int
    expires_at: UtcTime
    status: ApprovalStatus
    answer: Literal["yes", "no"] | None
    answered_at: UtcTime | None
    answered_seq: int | None
    milliseconds: int | None = Field(description="from asked to its outcome")
    outcome_reason: str
    votes: tuple[VoteRow, ...]


class InterventionRow(Fact):
    """A person left a step out, had it tried again, or stopped the playbook at it.

    Args:
        failed_with: The error that the decision answers; empty: the step had not failed.
        then: How the step stood at the last entry of the record; null: it was not reached.
    """

    seq: int
    time: UtcTime
    step_id: str
    step_name: str
    decision: Literal["retry", "skip", "stop"]
    by: str
    reason: str
    failed_with: str
    then: StepStatus | None
