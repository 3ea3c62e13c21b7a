"""The course of the incident: deadlines, pauses, who was in charge, how severe it was, and under which playbook."""

from __future__ import annotations

from soar.model.course import (
    Assigned,
    CancelRequested,
    ClockMet,
    ClockMissed,
    ClockStarted,
    ClockWarned,
    IncidentPaused,
    IncidentResumed,
    PlaybookUpgraded,
    SeveritySet,
)
from soar.model.events import AlertJoined, IncidentOpened, IncidentReopened
from soar.model.terms import AlertState, Severity
from soar.model.timeline import ActorKind, TimelineEntry
from soar.reports.facts import Facts, milliseconds, who
from soar.reports.sections import (
    AssignmentRow,
    CancelRow,
    ClockRow,
    Course,
    PauseRow,
    ReopenedRow,
    SeverityRow,
    UpgradeRow,
)

__all__ = ["clocks", "course"]


def clocks(facts: Facts) -> tuple[ClockRow, ...]:
    """Every deadline that ran, in the order they began."""
    rows: dict[str, ClockRow] = {}
    for entry, event in facts.events:
        match event:
            case ClockStarted():
                rows[event.clock] = _clock(facts, entry, event)
            case ClockWarned() if event.clock in rows:
                warned: dict[str, object] = {"warned_at": entry.time, "warned_seq": entry.seq}
                rows[event.clock] = rows[event.clock].model_copy(update=warned)
            case ClockMissed() if event.clock in rows:
                missed: dict[str, object] = {"outcome": "missed", "missed_seq": entry.seq}
                rows[event.clock] = rows[event.clock].model_copy(update=missed)
            case ClockMet() if event.clock in rows:
                rows[event.clock] = _met(rows[event.clock], entry, event)
            case _:
                pass
    return tuple(rows.values())


def _clock(facts: Facts, entry: TimelineEntry, event: ClockStarted) -> ClockRow:
    return ClockRow(
        name=event.clock,
        label=event.label or event.clock,
        started_at=event.started_at,
        due_at=event.due_at,
        seq=entry.seq,
        warned_at=None,
        warned_seq=None,
        outcome="running",
        met_at=None,
        met_seq=None,
        missed_seq=None,
        allowed_milliseconds=milliseconds(event.started_at, event.due_at),
        milliseconds=None,
        left_milliseconds=milliseconds(facts.timeline[-1].time, event.due_at),
        met_by="",
        reason="",
    )


def _met(row: ClockRow, entry: TimelineEntry, event: ClockMet) -> ClockRow:
    person = entry.actor.kind is ActorKind.PERSON
    by = who(entry) if person else "automatic"
    return row.model_copy(
        update={
            "outcome": "met" if entry.time <= row.due_at else "met_late",
            "met_at": entry.time,
            "met_seq": entry.seq,
            "milliseconds": milliseconds(row.started_at, entry.time),
            "left_milliseconds": milliseconds(entry.time, row.due_at),
            "met_by": by,
            # The engine writes the name where the person gave no reason.
            "reason": "" if person and event.reason == f"by {by}" else event.reason,
        }
    )


def course(facts: Facts) -> Course:
    """What happened to the incident as a whole."""
    pauses = _pauses(facts)
    head = facts.timeline[-1].time
    return Course(
        pauses=pauses,
        paused_milliseconds=sum(
            p.milliseconds if p.milliseconds is not None else max(milliseconds(p.started_at, head), 0)
            for p in pauses
        ),
        assignments=_assignments(facts),
        severities=_severities(facts),
        upgrades=tuple(
            UpgradeRow(
                seq=entry.seq,
                time=entry.time,
                by=who(entry),
                before=event.before,
                after=event.digest,
                differences=event.differences,
                reason=event.reason,
            )
            for entry, event in facts.of(PlaybookUpgraded)
        ),
        cancels=tuple(
            CancelRow(seq=entry.seq, time=entry.time, by=who(entry), reason=event.reason)
            for entry, event in facts.of(CancelRequested)
        ),
        reopened=tuple(
            ReopenedRow(seq=entry.seq, time=entry.time, by=who(entry), reason=event.reason)
            for entry, event in facts.of(IncidentReopened)
        ),
    )


def _pauses(facts: Facts) -> tuple[PauseRow, ...]:
    rows: list[PauseRow] = []
    for entry, event in facts.events:
        match event:
            case IncidentPaused():
                rows.append(
                    PauseRow(
                        started_at=entry.time,
                        started_seq=entry.seq,
                        by=who(entry),
                        reason=event.reason,
                        ended_at=None,
                        ended_seq=None,
                        resumed_by="",
                        resumed_reason="",
                        milliseconds=None,
                    )
                )
            case IncidentResumed() if rows and rows[-1].ended_at is None:
                rows[-1] = rows[-1].model_copy(
                    update={
                        "ended_at": entry.time,
                        "ended_seq": entry.seq,
                        "resumed_by": who(entry),
                        "resumed_reason": event.reason,
                        "milliseconds": max(milliseconds(rows[-1].started_at, entry.time), 0),
                    }
                )
            case _:
                pass
    return tuple(rows)


def _assignments(facts: Facts) -> tuple[AssignmentRow, ...]:
    rows: list[AssignmentRow] = []
    before = ""
    for entry, event in facts.of(Assigned):
        after = event.name or event.responder
        rows.append(
            AssignmentRow(
                seq=entry.seq, time=entry.time, before=before, after=after, by=who(entry), reason=event.reason
            )
        )
        before = after
    return tuple(rows)


def _severities(facts: Facts) -> tuple[SeverityRow, ...]:
    """The severity it was opened with, and every change: the same rules as those of the fold."""
    rows: list[SeverityRow] = []
    now: Severity | None = None
    by_person = False
    for entry, event in facts.events:
        change = None
        match event:
            case IncidentOpened():
                change = (event.severity, "opened", "", "")
            case AlertJoined() if now is not None and event.alert.severity > now and not by_person:
                if event.alert.state is not AlertState.RESOLVED:
                    change = (event.alert.severity, "alert", "", event.alert.title)
            case SeveritySet():
                by_person = bool(event.by)
                by = who(entry) if event.by else ""
                change = (event.severity, "person" if event.by else "rule", by, event.reason)
            case _:
                pass
        if change is not None:
            severity, cause, by, reason = change
            rows.append(
                SeverityRow.model_validate(
                    {
                        "seq": entry.seq,
                        "time": entry.time,
                        "before": now.label if now is not None else "",
                        "after": severity.label,
                        "cause": cause,
                        "by": by,
                        "reason": reason,
                    }
                )
            )
            now = severity
    return tuple(rows)
