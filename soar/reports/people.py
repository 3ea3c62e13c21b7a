"""What people did: tasks, answers to questions, and steps that they left out, tried again or stopped."""

from __future__ import annotations

from collections.abc import Sequence

from soar.model.course import SkipRequested, TaskCancelled, TaskDone, TaskOpened, TaskOverdue, TaskStatus
from soar.model.events import AttentionResolved, RefusalRecorded, StepNeedsAttention
from soar.model.people import ApprovalStatus
from soar.model.timeline import ActorKind, TimelineEntry
from soar.reports.decisions import refusal_row
from soar.reports.facts import Facts, milliseconds, who
from soar.reports.sections import ApprovalRow, FilledIn, InterventionRow, QuestionRow, TaskRow

__all__ = ["interventions", "questions", "tasks"]


def tasks(facts: Facts) -> tuple[TaskRow, ...]:
    """Every task in the order it was asked, whatever came of it."""
    rows: list[TaskRow] = []
    open_: dict[str, int] = {}
    for entry, event in facts.events:
        match event:
            case TaskOpened():
                open_[event.step_id] = len(rows)
                rows.append(_opened(facts, entry, event))
            case TaskOverdue() if event.step_id in open_:
                row = rows[open_[event.step_id]]
                rows[open_[event.step_id]] = row.model_copy(update={"reminders": row.reminders + 1})
            case RefusalRecorded() if event.subject in open_:
                row = rows[open_[event.subject]]
                refusals = (*row.refusals, refusal_row(entry, event))
                rows[open_[event.subject]] = row.model_copy(update={"refusals": refusals})
            case TaskDone() | TaskCancelled() if event.step_id in open_:
                index = open_.pop(event.step_id)
                rows[index] = _ended(rows[index], entry, event)
            case _:
                pass
    return tuple(rows)


def _opened(facts: Facts, entry: TimelineEntry, event: TaskOpened) -> TaskRow:
    late = milliseconds(event.due_at, facts.timeline[-1].time) if event.due_at else None
    return TaskRow(
        step_id=event.step_id,
        step_name=facts.step_name(event.step_id),
        roles=event.roles,
        excluded=event.excluded,
        instructions=event.instructions,
        opened_at=entry.time,
        opened_seq=entry.seq,
        due_at=event.due_at,
        reminders=0,
        status=TaskStatus.OPEN,
        ended_at=None,
        ended_seq=None,
        milliseconds=None,
        done_by="",
        done_by_name="",
        late_milliseconds=late,
        withdrawn="",
        answers=tuple(
            FilledIn(name=name, label=spec.label or name, required=spec.required)
            for name, spec in event.form.items()
        ),
        refusals=(),
    )


def _ended(row: TaskRow, entry: TimelineEntry, event: TaskDone | TaskCancelled) -> TaskRow:
    ended: dict[str, object] = {
        "ended_at": entry.time,
        "ended_seq": entry.seq,
        "milliseconds": milliseconds(row.opened_at, entry.time),
    }
    if isinstance(event, TaskCancelled):
        ended |= {"status": TaskStatus.CANCELLED, "withdrawn": event.reason, "late_milliseconds": None}
        return row.model_copy(update=ended)
    asked = {answer.name for answer in row.answers}
    given = [a.model_copy(update={"value": event.values.get(a.name)}) for a in row.answers]
    # What the form does not ask for is shown all the same: the report leaves out nothing that is on record.
    given += [
        FilledIn(name=name, label=name, required=False, value=value)
        for name, value in event.values.items()
        if name not in asked
    ]
    ended |= {
        "status": TaskStatus.DONE,
        "done_by": event.responder,
        "done_by_name": who(entry) if entry.actor.kind is ActorKind.PERSON else event.responder,
        "late_milliseconds": milliseconds(row.due_at, entry.time) if row.due_at else None,
        "answers": tuple(given),
    }
    return row.model_copy(update=ended)


def questions(asked: Sequence[ApprovalRow]) -> tuple[QuestionRow, ...]:
    """The questions of `approve` steps, out of all that people were asked."""
    return tuple(_question(row) for row in asked if row.question)


def _question(row: ApprovalRow) -> QuestionRow:
    answers = {ApprovalStatus.APPROVED: "yes", ApprovalStatus.DENIED: "no"}
    return QuestionRow.model_validate(
        {
            "approval_id": row.id,
            "step_id": row.step_id,
            "step_name": row.step_name,
            "question": row.shown.summary if row.shown else "",
            "details": row.shown.blast_radius.summary if row.shown else "",
            "roles": row.roles,
            "needed": row.needed,
            "asked_at": row.opened_at,
            "asked_seq": row.opened_seq,
            "expires_at": row.expires_at,
            "status": row.status,
            "answer": answers.get(row.status),
            "answered_at": row.closed_at,
            "answered_seq": row.closed_seq,
            "milliseconds": row.milliseconds,
            "outcome_reason": row.outcome_reason,
            "votes": row.votes,
        }
    )


def interventions(facts: Facts) -> tuple[InterventionRow, ...]:
    """What people decided about single steps, in the order they did."""
    rows: list[InterventionRow] = []
    failed: dict[str, str] = {}
    for entry, event in facts.events:
        match event:
            case StepNeedsAttention():
                failed[event.step_id] = event.error.message
            case AttentionResolved():
                error = failed.pop(event.step_id, "")
                rows.append(_intervention(facts, entry, event.step_id, event.decision, event.reason, error))
            case SkipRequested():
                # The engine writes who asked before the reason; the row says so by itself.
                why = event.reason.removeprefix(f"by {who(entry)}").removeprefix(" — ")
                rows.append(_intervention(facts, entry, event.step_id, "skip", why, ""))
            case _:
                pass
    return tuple(rows)


def _intervention(
    facts: Facts, entry: TimelineEntry, step_id: str, decision: str, reason: str, error: str
) -> InterventionRow:
    return InterventionRow.model_validate(
        {
            "seq": entry.seq,
            "time": entry.time,
            "step_id": step_id,
            "step_name": facts.step_name(step_id),
            "decision": decision,
            "by": who(entry),
            "reason": reason,
            "failed_with": error,
            "then": facts.status_of(step_id),
        }
    )
