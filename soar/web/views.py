"""What the incident's page shows, worked out from the state: the templates only lay it out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from soar.engine.approvals import role_refusal
from soar.model.change import Effect, EffectStatus
from soar.model.incident import Incident, StepRecord
from soar.model.people import Approval, Responder
from soar.model.spec import Catalogue
from soar.model.terms import IncidentStatus, Phase
from soar.model.timeline import ChainBroken, TimelineEntry, verify_chain

__all__ = ["ApprovalView", "ChangeView", "Clock", "PhaseView", "approval_view", "chain_problem"]
__all__ += ["changes", "clocks", "phase_states", "phase_views", "undo_layers"]


@dataclass(frozen=True)
class ApprovalView:
    """Args: refusal: Why this person may not decide; empty: may. voted: What this person has said already."""

    approval: Approval
    step: StepRecord
    refusal: str
    voted: str
    missing: int


@dataclass(frozen=True)
class ChangeView:
    """Args: undoable: Whether there is something in place that can be put back."""

    step: StepRecord
    effect: Effect
    undoable: bool


@dataclass(frozen=True)
class PhaseView:
    """A phase and its steps, in the order in which they were reached."""

    phase: Phase
    state: str
    passed: timedelta | None
    steps: list[StepRecord]


@dataclass(frozen=True)
class Clock:
    """Args: running: Whether it still counts; `passed` is up to now."""

    label: str
    passed: timedelta | None
    running: bool
    note: str = ""


def approval_view(incident: Incident, approval: Approval, person: Responder) -> ApprovalView:
    """An open approval, as one person may see it."""
    refusal = role_refusal(person, approval.roles, approval.excluded)
    voted = [v.decision.value for v in approval.votes if v.responder == person.id]
    return ApprovalView(
        approval=approval,
        step=incident.steps[approval.step_id],
        refusal=refusal,
        voted=voted[-1] if voted else "",
        missing=max(approval.needed - approval.approvals, 0),
    )


def _undoable(catalogue: Catalogue, action: str) -> bool:
    spec = catalogue.get(action)
    return spec is None or spec.undoable


def undo_layers(
    incident: Incident, catalogue: Catalogue, *, step_id: str | None = None, phase: Phase | None = None
) -> list[ChangeView]:
    """What an undo would put back, newest first; the engine refuses all of it if one of them cannot be."""
    steps = incident.steps
    found = [
        ChangeView(steps[layer.step_id], layer, _undoable(catalogue, layer.plan.action))
        for effect in incident.effects.values()
        for layer in effect.layers
        if layer.status.in_place
        and step_id in (None, layer.step_id)
        and phase in (None, steps[layer.step_id].phase)
    ]
    return sorted(found, key=lambda view: view.effect.started_at, reverse=True)


def changes(incident: Incident, catalogue: Catalogue) -> list[ChangeView]:
    """Everything that was changed, oldest first."""
    found = [
        ChangeView(
            incident.steps[effect.step_id],
            layer,
            layer.status.in_place
            and effect.status is not EffectStatus.APPLYING
            and _undoable(catalogue, layer.plan.action),
        )
        for effect in incident.effects.values()
        for layer in effect.layers
    ]
    return sorted(found, key=lambda view: view.effect.started_at)


def phase_states(status: IncidentStatus, current: Phase | None) -> list[tuple[Phase, str]]:
    """Each phase with `done`, `now` or `later`, as far as a list knows."""
    phases = list(Phase)
    at = phases.index(current) if current else -1
    whole = status in (IncidentStatus.CLOSED, IncidentStatus.CLOSED_INCOMPLETE)
    words: list[tuple[Phase, str]] = []
    for index, phase in enumerate(phases):
        here = "stopped" if status.ended and not whole else "done" if whole else "now"
        words.append((phase, "done" if index < at else here if index == at else "later"))
    return words


def phase_views(incident: Incident) -> list[PhaseView]:
    """The six phases."""
    views = []
    now = datetime.now(UTC)
    for phase in Phase:
        record = incident.phases.get(phase)
        steps = [s for s in incident.steps.values() if s.phase is phase]
        state: Literal["done", "now", "stopped", "later"] = "later"
        passed = None
        if record is not None:
            end = record.ended_at or incident.closed_at
            state = "done" if record.ended_at else "stopped" if incident.status.ended else "now"
            passed = (end or now) - record.started_at
        views.append(PhaseView(phase, state, passed, steps))
    return views


def clocks(incident: Incident) -> list[Clock]:
    """What people will be asked for afterwards: how long it took to detect, to contain, to close."""
    now = datetime.now(UTC)
    end = incident.closed_at
    detect = None
    if incident.first_activity_at is not None:
        detect = max(incident.detected_at - incident.first_activity_at, timedelta())
    contained = incident.contained_at
    never = "not contained" if end else ""
    return [
        Clock("First activity to detection", detect, False, "" if detect else "not known from the alerts"),
        Clock("Detection to response", incident.opened_at - incident.detected_at, False),
        Clock(
            "Detection to containment",
            None if contained is None and end else (contained or now) - incident.detected_at,
            contained is None and end is None,
            never if contained is None else "",
        ),
        Clock("Open for", (end or now) - incident.opened_at, end is None),
    ]


def chain_problem(incident: Incident, entries: Sequence[TimelineEntry]) -> str:
    """Why a timeline is not what was written; empty: every entry fits, up to the last one that is known."""
    known = [e for e in entries if e.seq <= incident.head_seq]
    try:
        head = verify_chain(known, incident.id)
    except ChainBroken as error:
        return str(error)
    if head != incident.head_hash:
        return f"the timeline ends at entry {len(known)}, the incident's state at entry {incident.head_seq}"
    return ""
