"""What went wrong besides steps and changes: tasks, deadlines, loops, called playbooks, what was to expire."""

from __future__ import annotations

from soar.model.course import TaskStatus
from soar.model.events import RefusalRecorded
from soar.model.terms import IncidentStatus
from soar.reports.facts import Facts
from soar.reports.sections import ClockRow, EffectRow, Gap, TaskRow
from soar.reports.text import duration
from soar.reports.told import Told

__all__ = ["course_gaps"]


def course_gaps(facts: Facts, told: Told) -> list[Gap]:
    """The gaps of the incident's course."""
    found = [
        Gap(
            kind="refused",
            text=f"{event.responder} tried to {event.decision} and was refused: {event.reason.rstrip('.')}.",
            seq=entry.seq,
        )
        for entry, event in facts.of(RefusalRecorded)
        if event.subject not in facts.approvals
    ]
    for task in told.tasks:
        found += _task(task)
    for clock in told.clocks:
        found += _clock(clock)
    for loop in told.loops:
        if loop.failed:
            of = f" of {loop.items}" if loop.items is not None else ""
            text = f"“{loop.step_name}”: {loop.failed}{of} rounds were not wholly done."
            found.append(Gap(kind="round", text=text, seq=loop.started_seq))
    for call in told.called:
        if call.status is not None and call.status is not IncidentStatus.CLOSED:
            why = f": {call.reason.rstrip('.')}" if call.reason else ""
            status = call.status.value.replace("_", " ")
            text = f"The called playbook {call.playbook} ({call.incident_id}) is {status}{why}."
            found.append(Gap(kind="called", text=text, seq=call.ended_seq))
        elif call.status is None:
            text = f"The called playbook {call.playbook} ({call.incident_id}) has not told of its end."
            found.append(Gap(kind="called", text=text, seq=call.started_seq))
    for effect in told.changes:
        found += _expiry(effect)
    pauses = told.course.pauses
    if pauses and pauses[-1].ended_at is None:
        text = f"The incident was paused by {pauses[-1].by}, and nobody has resumed it."
        found.append(Gap(kind="paused", text=text, seq=pauses[-1].started_seq))
    return found


def _task(task: TaskRow) -> list[Gap]:
    name, late = task.step_name, task.late_milliseconds or 0
    match task.status:
        case TaskStatus.CANCELLED:
            why = task.withdrawn.rstrip(".") or "no reason recorded"
            return [Gap(kind="task", text=f"The task “{name}” was withdrawn: {why}.", seq=task.ended_seq)]
        case TaskStatus.OPEN:
            overdue = f" It is overdue by {duration(late)}." if late > 0 else ""
            text = f"The task “{name}” was not done when this report was generated.{overdue}"
            return [Gap(kind="task", text=text, seq=task.opened_seq)]
        case TaskStatus.DONE if late > 0:
            return [
                Gap(
                    kind="task", text=f"The task “{name}” was done {duration(late)} late.", seq=task.ended_seq
                )
            ]
        case _:
            return []


def _clock(clock: ClockRow) -> list[Gap]:
    late = duration(-clock.left_milliseconds)
    if clock.outcome == "met_late":
        text = f"The deadline “{clock.label}” was met {late} late."
    elif clock.outcome == "missed":
        text = f"The deadline “{clock.label}” was missed, and was not met when this report was generated."
    else:
        return []
    return [Gap(kind="deadline", text=text, seq=clock.missed_seq or clock.met_seq)]


def _expiry(effect: EffectRow) -> list[Gap]:
    """A change whose time was over and that stays, without anybody having decided so."""
    return [
        Gap(kind="expiry", text=f"“{effect.step_name}” stays: {row.reason.rstrip('.')}.", seq=row.seq)
        for row in effect.expiry
        if row.expires_at is None and not row.by
    ]
