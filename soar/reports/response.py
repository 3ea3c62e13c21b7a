"""The response: phases with their steps."""

from __future__ import annotations

from soar.model.events import (
    AttentionResolved,
    PhaseEnded,
    PhaseStarted,
    StepDenied,
    StepFailed,
    StepSkipped,
    StepStarted,
    StepSucceeded,
    VoteCast,
)
from soar.model.incident import StepRecord
from soar.model.terms import Phase
from soar.model.timeline import ActorKind, TimelineEntry
from soar.reports.facts import Facts, milliseconds, who
from soar.reports.sections import PhaseSection, StepRow

__all__ = ["response"]


def response(facts: Facts) -> tuple[PhaseSection, ...]:
    """All six phases in order, also those that were not reached."""
    started: dict[Phase, TimelineEntry] = {}
    ended: dict[Phase, TimelineEntry] = {}
    for entry, phase_started in facts.of(PhaseStarted):
        started.setdefault(phase_started.phase, entry)
    for entry, phase_ended in facts.of(PhaseEnded):
        ended[phase_ended.phase] = entry
    people, begun, over = _people(facts), _begun(facts), _over(facts)
    sections = []
    for phase in Phase:
        first, last = started.get(phase), ended.get(phase)
        sections.append(
            PhaseSection(
                phase=phase,
                label=phase.label,
                started_at=first.time if first else None,
                started_seq=first.seq if first else None,
                ended_at=last.time if last else None,
                ended_seq=last.seq if last else None,
                milliseconds=milliseconds(first.time, last.time) if first and last else None,
                steps=tuple(
                    _step(step, tuple(people.get(step.id, ())), begun.get(step.id), over.get(step.id))
                    for step in facts.incident.steps.values()
                    if step.phase is phase
                ),
            )
        )
    return tuple(sections)


def _step(step: StepRecord, people: tuple[str, ...], begun: int | None, over: int | None) -> StepRow:
    return StepRow(
        id=step.id,
        name=step.name,
        action=step.action,
        risk=step.risk,
        status=step.status,
        started_at=step.started_at,
        started_seq=begun,
        ended_at=step.ended_at,
        ended_seq=over if step.ended_at else None,
        automatic=not people,
        people=people,
        decided_by=step.decided_by,
        result=step.result.summary if step.result else "",
        reason=step.reason,
        error=step.error,
    )


def _begun(facts: Facts) -> dict[str, int]:
    seqs: dict[str, int] = {}
    for entry, event in facts.of(StepStarted):
        seqs.setdefault(event.step_id, entry.seq)
    return seqs


def _over(facts: Facts) -> dict[str, int]:
    seqs: dict[str, int] = {}
    for entry, event in facts.events:
        if isinstance(event, StepSucceeded | StepSkipped | StepDenied | StepFailed):
            seqs[event.step_id] = entry.seq
    return seqs


def _people(facts: Facts) -> dict[str, list[str]]:
    """Who decided about which step, in the order they did."""
    found: dict[str, dict[str, None]] = {}
    for entry, event in facts.events:
        match event:
            case VoteCast() if event.approval_id in facts.approvals:
                step_id = facts.approvals[event.approval_id].event.step_id
                found.setdefault(step_id, {})[event.vote.name or event.vote.responder] = None
            case AttentionResolved() if entry.actor.kind is ActorKind.PERSON:
                found.setdefault(event.step_id, {})[who(entry)] = None
            case _:
                pass
    return {step_id: list(names) for step_id, names in found.items()}
