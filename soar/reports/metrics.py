"""The numbers of one incident, each the difference of two entries of the timeline."""

from __future__ import annotations

from datetime import datetime

from soar.model.course import (
    Assigned,
    CancelRequested,
    EffectExpirySet,
    IncidentPaused,
    PlaybookUpgraded,
    SeveritySet,
    SkipRequested,
    TaskDone,
)
from soar.model.events import AlertJoined, AttentionResolved, IncidentClosed, PhaseEnded, VoteCast
from soar.model.terms import Phase, Risk, StepStatus
from soar.model.timeline import ActorKind
from soar.playbook.builtins import UNDO
from soar.reports.containment import containment, left_out
from soar.reports.facts import Facts, milliseconds
from soar.reports.sections import ClockRow, Metric
from soar.reports.told import Told

__all__ = ["metrics"]

DECISIONS = (
    Assigned,
    AttentionResolved,
    CancelRequested,
    EffectExpirySet,
    IncidentPaused,
    PlaybookUpgraded,
    SeveritySet,
    SkipRequested,
    TaskDone,
)
"""What shows, besides a vote, that a person has taken the incident up."""

Point = tuple[datetime, int | None]
"""A time, and the entry that tells of it."""


def metrics(facts: Facts, told: Told) -> tuple[Metric, ...]:
    """Detect, acknowledge, contain, recover, dwell, duration and every deadline; what is missing says why."""
    first, detected = _first_activity(facts), _detected(facts)
    opened: Point = (facts.incident.opened_at, facts.timeline[0].seq)
    no_first = "no alert tells when the malicious activity began"
    contained = containment(facts, told.changes)
    contained_point = (contained.at, contained.seq) if contained.at else None
    not_contained = contained.statement
    person = _first_decision(facts)
    closed = next(((e.time, e.seq) for e, _ in reversed(list(facts.of(IncidentClosed)))), None)
    recovered, not_recovered = _recovered(facts)
    still_open = f"the incident had not ended at entry {facts.timeline[-1].seq}"
    return (
        _metric("detect", "Time to detect", "first malicious activity → detected", first, detected, no_first),
        _metric(
            "acknowledge",
            "Time to acknowledge",
            "detected → first decision by a person",
            detected,
            person,
            "no person decided anything",
        ),
        _metric(
            "contain",
            "Time to contain",
            "detected → every containment change verified",
            detected,
            contained_point,
            not_contained,
        ),
        _metric(
            "recover",
            "Time to recover",
            "detected → recovery phase ended with every step achieved",
            detected,
            recovered,
            not_recovered,
        ),
        _metric(
            "dwell",
            "Dwell time",
            "first malicious activity → every containment change verified",
            first,
            contained_point,
            no_first if first is None else not_contained,
        ),
        _metric("duration", "Duration", "incident opened → closed", opened, closed, still_open),
        *(_deadline(clock) for clock in told.clocks),
    )


def _deadline(clock: ClockRow) -> Metric:
    missing = {"missed": "missed, and not met since", "running": "not met, and not due yet"}
    met = None if clock.met_at is None else (clock.met_at, clock.met_seq)
    metric = _metric(
        f"deadline.{clock.name}",
        f"Deadline: {clock.label}",
        "the deadline's start → what it asks for was done",
        (clock.started_at, clock.seq),
        met,
        missing.get(clock.outcome, ""),
    )
    return metric.model_copy(update={"limit_milliseconds": clock.allowed_milliseconds})


def _metric(
    id_: str, label: str, meaning: str, start: Point | None, end: Point | None, why_missing: str
) -> Metric:
    passed = None
    why = why_missing
    if start is not None and end is not None:
        passed, why = milliseconds(start[0], end[0]), ""
        if passed < 0:
            passed, why = None, "the second event carries an earlier time than the first: clocks disagree"
    return Metric(
        id=id_,
        label=label,
        meaning=meaning,
        milliseconds=passed,
        from_time=start[0] if start else None,
        from_seq=start[1] if start else None,
        to_time=end[0] if end else None,
        to_seq=end[1] if end else None,
        why_missing=why,
    )


def _detected(facts: Facts) -> Point:
    at = facts.incident.detected_at
    return at, next((e.seq for e, joined in facts.of(AlertJoined) if joined.alert.time == at), 1)


def _first_activity(facts: Facts) -> Point | None:
    at = facts.incident.first_activity_at
    if at is None:
        return None
    return at, next((e.seq for e, joined in facts.of(AlertJoined) if joined.alert.first_seen == at), None)


def _first_decision(facts: Facts) -> Point | None:
    for entry, event in facts.events:
        by_person = isinstance(event, DECISIONS) and entry.actor.kind is ActorKind.PERSON
        if by_person or isinstance(event, VoteCast):
            return entry.time, entry.seq
    return None


def _recovered(facts: Facts) -> tuple[Point | None, str]:
    steps = [s for s in facts.incident.steps.values() if s.phase is Phase.RECOVERY]
    # A skipped step that never failed was not wanted here.
    wanted = [s for s in steps if s.status is not StepStatus.SKIPPED or left_out(s)]
    ended = [e for e, event in facts.of(PhaseEnded) if event.phase is Phase.RECOVERY]
    if not ended:
        return None, "the recovery phase has not ended"
    if not wanted:
        return None, "no recovery step was run"
    missing = [s.name or s.id for s in wanted if not s.status.achieved]
    if missing:
        return None, f"not achieved in recovery: {', '.join(missing)}"
    unproven = [
        facts.step_name(s.id)
        for s in wanted
        if s.risk is not Risk.READ
        and not (s.child or s.action == UNDO)  # what they did is proven in its own place
        and s.status is StepStatus.SUCCEEDED
        and not any(la.verification and la.verification.verified for la in facts.layers_of(s.id))
    ]
    if unproven:
        return None, f"not verified in recovery: {', '.join(unproven)}"
    return (ended[-1].time, ended[-1].seq), ""
