"""The timeline, read once: events with their entries, and the story of every change and approval."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from pydantic import BaseModel

from soar.model.base import Digest
from soar.model.change import EffectStatus, ErrorInfo, Plan
from soar.model.course import EffectExpirySet, PlaybookUpgraded
from soar.model.events import (
    AnyEvent,
    ApprovalClosed,
    ApprovalOpened,
    EffectApplied,
    EffectFailed,
    EffectStarted,
    EffectUndone,
    EffectVerified,
    IncidentOpened,
    PlanMade,
    UndoRefused,
)
from soar.model.incident import Incident
from soar.model.people import ApprovalStatus
from soar.model.terms import Phase, StepStatus
from soar.model.timeline import ActorKind, TimelineEntry
from soar.reports.sections import ExpiryRow, Undo, VerificationRow
from soar.reports.standing import Standing

__all__ = ["Facts", "Layer", "OpenedApproval", "milliseconds", "who"]

E = TypeVar("E", bound=BaseModel)


def milliseconds(start: datetime, end: datetime) -> int:
    """Whole milliseconds from one time to another."""
    delta = end - start
    return delta.days * 86_400_000 + delta.seconds * 1000 + delta.microseconds // 1000


def who(entry: TimelineEntry) -> str:
    """The name of whoever an entry is by."""
    return entry.actor.name or entry.actor.id


@dataclass
class Layer:
    """One change that was begun, with all that happened to it."""

    step_id: str
    phase: Phase | None
    plan: Plan | None
    plan_digest: Digest
    started: TimelineEntry
    status: EffectStatus = EffectStatus.APPLYING
    applied: TimelineEntry | None = None
    result: str = ""
    verification: VerificationRow | None = None
    error: ErrorInfo | None = None
    undo: Undo | None = None
    expiry: list[ExpiryRow] = field(default_factory=list)


@dataclass
class OpenedApproval:
    """An approval with the plan that was shown, under which version of the playbook, and how it was closed."""

    event: ApprovalOpened
    opened: TimelineEntry
    plan: Plan | None
    playbook_digest: Digest
    status: ApprovalStatus = ApprovalStatus.PENDING
    closed: TimelineEntry | None = None
    reason: str = ""


@dataclass
class Facts:
    """What the sections of a report are made from.

    Args:
        events: Every entry with its event; None where the content is not an event that this version knows, which a
            report has to name and to survive.
        steps: How each step stands, also those inside loops.
    """

    incident: Incident
    timeline: Sequence[TimelineEntry]
    events: list[tuple[TimelineEntry, AnyEvent | None]] = field(default_factory=list)
    layers: list[Layer] = field(default_factory=list)
    approvals: dict[str, OpenedApproval] = field(default_factory=dict)
    steps: Standing = field(default_factory=Standing)

    def __post_init__(self) -> None:
        plans: dict[str, Plan] = {}
        version = self.incident.playbook_digest
        for entry in self.timeline:
            event = _event(entry)
            self.events.append((entry, event))
            self.steps.tell(event)
            match event:
                case IncidentOpened():
                    version = event.playbook_digest
                case PlaybookUpgraded():
                    version = event.digest
                case PlanMade():
                    plans[event.step_id] = event.plan
                case ApprovalOpened():
                    plan = plans.get(event.step_id)
                    self.approvals[event.approval_id] = OpenedApproval(event, entry, plan, version)
                case ApprovalClosed() if event.approval_id in self.approvals:
                    approval = self.approvals[event.approval_id]
                    approval.status, approval.closed, approval.reason = event.outcome, entry, event.reason
                case EffectStarted():
                    plan = plans.get(event.step_id)
                    layer = Layer(event.step_id, entry.phase, plan, event.plan_digest, entry)
                    self.layers.append(layer)
                case _:
                    self._effect(entry, event)
        for step in self.incident.steps.values():
            self.steps.names.setdefault(step.id, step.name)

    def of(self, kind: type[E]) -> Iterator[tuple[TimelineEntry, E]]:
        """The entries that carry one kind of event, in order."""
        for entry, event in self.events:
            if isinstance(event, kind):
                yield entry, event

    def step_name(self, step_id: str) -> str:
        """A step's name for people, with its round in a loop; its id, when it has none."""
        name = self.steps.names.get(step_id)
        rounds = re.search(r"((?:\[\d+\])+)$", step_id)
        if not name or not rounds:
            return name or step_id
        numbers = [int(index) + 1 for index in re.findall(r"\d+", rounds[1])]
        return f"{name} (round {'.'.join(map(str, numbers))})"

    def status_of(self, step_id: str) -> StepStatus | None:
        """How a step stood at the last entry; None: it was not reached."""
        found = self.steps.now.get(step_id)
        return found[0] if found else None

    def why(self, step_id: str) -> str:
        """Why a step stands as it does: its error, or the reason why it was left out."""
        found = self.steps.now.get(step_id)
        return found[1] if found else ""

    def layers_of(self, step_id: str) -> list[Layer]:
        """The changes that a step began, oldest first."""
        return [layer for layer in self.layers if layer.step_id == step_id]

    def _effect(self, entry: TimelineEntry, event: AnyEvent | None) -> None:
        match event:
            case EffectApplied() | EffectVerified() | EffectFailed():
                layers = self.layers_of(event.step_id)
                if layers:
                    _change(layers[-1], entry, event)
            case EffectUndone() | UndoRefused():
                # Undoing goes from the newest change that is in place to the oldest.
                layers = [layer for layer in self.layers_of(event.step_id) if layer.status.in_place]
                if layers:
                    within = next(reversed(self.steps.undoing.values()), "")
                    _put_back(layers[-1], entry, event, within)
            case EffectExpirySet():
                layers = self.layers_of(event.step_id)
                if layers:
                    person = entry.actor.kind is ActorKind.PERSON
                    layers[-1].expiry.append(
                        ExpiryRow(
                            seq=entry.seq,
                            time=entry.time,
                            expires_at=event.expires_at,
                            by=who(entry) if person else "",
                            reason=event.reason,
                        )
                    )
            case _:
                pass


def _event(entry: TimelineEntry) -> AnyEvent | None:
    try:
        return entry.event
    except ValueError:
        return None


def _change(layer: Layer, entry: TimelineEntry, event: EffectApplied | EffectVerified | EffectFailed) -> None:
    match event:
        case EffectApplied():
            layer.status, layer.applied, layer.result = EffectStatus.APPLIED, entry, event.result.summary
        case EffectVerified():
            seen = event.verification
            layer.status = EffectStatus.VERIFIED if seen.verified else EffectStatus.UNVERIFIED
            layer.verification = VerificationRow(
                verified=seen.verified,
                seen=seen.seen,
                method=seen.method,
                milliseconds=round(seen.seconds * 1000),
                time=entry.time,
                seq=entry.seq,
            )
        case EffectFailed():
            layer.status = EffectStatus.NOT_APPLIED if event.nothing_done else EffectStatus.FAILED
            layer.error = event.error


def _put_back(layer: Layer, entry: TimelineEntry, event: EffectUndone | UndoRefused, within: str) -> None:
    person = entry.actor.kind is ActorKind.PERSON
    by = who(entry) if person else "automatic"
    due = layer.expiry[-1].expires_at if layer.expiry else None
    # The timer begins at that very moment, so nothing else can put the change back after it.
    expired = not person and due is not None and entry.time >= due
    if isinstance(event, EffectUndone):
        layer.status, layer.error = EffectStatus.UNDONE, None
        layer.undo = Undo(
            done=True,
            restored=event.restored,
            seen=event.seen,
            by=by,
            expired=expired,
            within=within,
            time=entry.time,
            seq=entry.seq,
        )
    else:
        layer.status = EffectStatus.UNDO_REFUSED
        layer.undo = Undo(
            done=False,
            restored=False,
            seen="",
            by=by,
            expired=expired,
            within=within,
            time=entry.time,
            seq=entry.seq,
            error=event.error,
        )
