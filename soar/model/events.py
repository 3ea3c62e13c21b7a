"""What can happen to an incident. A timeline entry carries exactly one event.

The incident's state is the fold of its events (`soar.model.incident.reduce`), in the workflow as in the
store: there is no second way to change it.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, JsonValue, TypeAdapter

from soar.model.alert import Alert
from soar.model.base import Digest, Fact, JsonObject, UtcTime
from soar.model.change import ErrorInfo, Plan, Result, Verification
from soar.model.course import CourseEvent
from soar.model.people import ApprovalStatus, Vote
from soar.model.terms import IncidentStatus, Phase, Risk, Severity

__all__ = [
    "AlertJoined",
    "AnyEvent",
    "ApprovalClosed",
    "ApprovalOpened",
    "ApprovalReminded",
    "AttentionResolved",
    "EffectApplied",
    "EffectFailed",
    "EffectStarted",
    "EffectUndone",
    "EffectVerified",
    "Event",
    "IncidentClosed",
    "IncidentOpened",
    "IncidentReopened",
    "NoteAdded",
    "PhaseEnded",
    "PhaseStarted",
    "PlanMade",
    "PolicyDecided",
    "RefusalRecorded",
    "ReportWritten",
    "StepDenied",
    "StepFailed",
    "StepNeedsAttention",
    "StepPlanned",
    "StepSkipped",
    "StepStarted",
    "StepSucceeded",
    "UndoRefused",
    "VoteCast",
    "parse_event",
]


class IncidentOpened(Fact):
    """The first entry of every timeline."""

    kind: Literal["incident.opened"] = "incident.opened"
    incident_id: str
    workflow_id: str
    run_id: str
    title: str
    severity: Severity
    account: str = ""
    region: str = ""
    correlation_key: str = ""
    playbook: str
    playbook_digest: Digest
    parent: str = Field(default="", description="the incident whose playbook called this one's")
    inputs: JsonObject = Field(default={}, description="the values of the playbook's inputs")
    contains: tuple[str, ...] = Field(
        default=(),
        description="the step ids of the containment phase's changes: contained means all achieved",
    )


class IncidentReopened(Fact):
    """A closed incident was opened again, by another workflow, to put changes back."""

    kind: Literal["incident.reopened"] = "incident.reopened"
    workflow_id: str
    run_id: str
    reason: str = ""


class AlertJoined(Fact):
    """An alert belongs to this incident: the one that opened it, or a later one of the same correlation key."""

    kind: Literal["alert.joined"] = "alert.joined"
    alert: Alert
    after_containment: bool = False


class PhaseStarted(Fact):
    """Work on a phase began."""

    kind: Literal["phase.started"] = "phase.started"
    phase: Phase


class PhaseEnded(Fact):
    """Every step of a phase has ended."""

    kind: Literal["phase.ended"] = "phase.ended"
    phase: Phase


class StepStarted(Fact):
    """A step was reached and its condition held."""

    kind: Literal["step.started"] = "step.started"
    step_id: str
    name: str
    action: str = Field(description="the action; of a step of another kind, the kind")
    risk: Risk
    technique: tuple[str, ...] = ()


class StepSucceeded(Fact):
    """A step did what it is for, and a change was verified."""

    kind: Literal["step.succeeded"] = "step.succeeded"
    step_id: str
    changed: bool = Field(description="false: a read, or the target was already as wanted")
    result: Result
    params: JsonObject = Field(default={}, description="what a read was asked; a change's plan has its own")


class StepSkipped(Fact):
    """A step was not run: its `when` was false, or a person skipped it."""

    kind: Literal["step.skipped"] = "step.skipped"
    step_id: str
    name: str = ""
    action: str = ""
    risk: Risk = Risk.READ
    by: str = Field(default="", description="the person who skipped it; empty: its condition did not hold")
    reason: str


class StepPlanned(Fact):
    """A dry run came to a step that changes something or asks people, and went on without it."""

    kind: Literal["step.planned"] = "step.planned"
    step_id: str
    outcome: Literal["automatic", "approval", "forbidden", "people"]
    needed: int = 0
    roles: tuple[str, ...] = ()


class StepDenied(Fact):
    """People said no; nothing was changed."""

    kind: Literal["step.denied"] = "step.denied"
    step_id: str
    approval_id: str
    reason: str = ""


class StepFailed(Fact):
    """A step failed and the playbook goes on or stops, as its `on_error` says."""

    kind: Literal["step.failed"] = "step.failed"
    step_id: str
    error: ErrorInfo


class StepNeedsAttention(Fact):
    """A step failed and a person is asked: retry, skip or stop."""

    kind: Literal["step.needs_attention"] = "step.needs_attention"
    step_id: str
    error: ErrorInfo
    roles: tuple[str, ...] = ()
    excluded: dict[str, str] = Field(default={}, description="responder id → why this person may not decide")


class AttentionResolved(Fact):
    """A person decided about a failed step."""

    kind: Literal["step.attention_resolved"] = "step.attention_resolved"
    step_id: str
    decision: Literal["retry", "skip", "stop"]
    reason: str = ""


class PlanMade(Fact):
    """A plan was made, and nothing changed."""

    kind: Literal["plan.made"] = "plan.made"
    step_id: str
    plan: Plan
    plan_digest: Digest


class PolicyDecided(Fact):
    """What the policy in force says of a plan."""

    kind: Literal["policy.decided"] = "policy.decided"
    step_id: str
    outcome: Literal["automatic", "approval", "forbidden"]
    rule: str = Field(description="which rule decided, in words")
    policy_digest: Digest | None = None


class ApprovalOpened(Fact):
    """People are asked about one plan."""

    kind: Literal["approval.opened"] = "approval.opened"
    approval_id: str
    step_id: str
    plan_digest: Digest
    needed: int
    roles: tuple[str, ...]
    why: str
    excluded: dict[str, str] = {}
    expires_at: UtcTime
    remind_at: UtcTime | None = None
    supersedes: str = ""
    drift: tuple[str, ...] = Field(default=(), description="what changed since the superseded approval")


class VoteCast(Fact):
    """A person's decision that counts."""

    kind: Literal["approval.vote"] = "approval.vote"
    approval_id: str
    vote: Vote


class RefusalRecorded(Fact):
    """Somebody tried to decide and may not."""

    kind: Literal["approval.refused"] = "approval.refused"
    subject: str = Field(description="the approval's or step's id")
    responder: str
    decision: str
    reason: str


class ApprovalReminded(Fact):
    """Nobody decided in time, and people were reminded."""

    kind: Literal["approval.reminded"] = "approval.reminded"
    approval_id: str
    remind_at: UtcTime | None = None


class ApprovalClosed(Fact):
    """An approval reached its outcome."""

    kind: Literal["approval.closed"] = "approval.closed"
    approval_id: str
    outcome: ApprovalStatus
    reason: str = ""


class EffectStarted(Fact):
    """On record before the first call that changes anything."""

    kind: Literal["effect.started"] = "effect.started"
    step_id: str
    plan_digest: Digest


class EffectApplied(Fact):
    """The change was made, by the service's own reply; not yet verified."""

    kind: Literal["effect.applied"] = "effect.applied"
    step_id: str
    result: Result


class EffectVerified(Fact):
    """The independent read was made; `verification.verified` says what it showed."""

    kind: Literal["effect.verified"] = "effect.verified"
    step_id: str
    verification: Verification


class EffectFailed(Fact):
    """Applying failed; a part of it may be in place, unless `nothing_done`."""

    kind: Literal["effect.failed"] = "effect.failed"
    step_id: str
    error: ErrorInfo
    nothing_done: bool = False


class EffectUndone(Fact):
    """A change was put back."""

    kind: Literal["effect.undone"] = "effect.undone"
    step_id: str
    result: Result
    restored: bool = Field(description="a new plan found the very state that was recorded before the change")
    seen: str = ""


class UndoRefused(Fact):
    """A change was not put back: the target drifted, or the service refused."""

    kind: Literal["effect.undo_refused"] = "effect.undo_refused"
    step_id: str
    error: ErrorInfo


class NoteAdded(Fact):
    """Somebody wrote something down."""

    kind: Literal["note.added"] = "note.added"
    text: str


class ReportWritten(Fact):
    """The report was written from the timeline so far.

    Args:
        written_at: By the clock of the worker that wrote it. Entries of older engines have none.
    """

    kind: Literal["report.written"] = "report.written"
    digests: dict[str, Digest] = Field(description="format → digest in the vault")
    paths: dict[str, str] = {}
    written_at: UtcTime | None = Field(default=None, exclude_if=lambda value: value is None)


class IncidentClosed(Fact):
    """Nothing more will happen."""

    kind: Literal["incident.closed"] = "incident.closed"
    status: IncidentStatus
    reason: str = ""


AnyEvent = (
    IncidentOpened
    | IncidentReopened
    | AlertJoined
    | PhaseStarted
    | PhaseEnded
    | StepStarted
    | StepSucceeded
    | StepSkipped
    | StepPlanned
    | StepDenied
    | StepFailed
    | StepNeedsAttention
    | AttentionResolved
    | PlanMade
    | PolicyDecided
    | ApprovalOpened
    | VoteCast
    | RefusalRecorded
    | ApprovalReminded
    | ApprovalClosed
    | EffectStarted
    | EffectApplied
    | EffectVerified
    | EffectFailed
    | EffectUndone
    | UndoRefused
    | NoteAdded
    | ReportWritten
    | IncidentClosed
    | CourseEvent
)
Event = Annotated[AnyEvent, Field(discriminator="kind")]

_events: TypeAdapter[AnyEvent] = TypeAdapter(Event)


def parse_event(kind: str, data: JsonObject | dict[str, JsonValue]) -> AnyEvent:
    """Read an event back from a timeline entry.

    Raises:
        pydantic.ValidationError: The kind is unknown or the data do not fit it.
    """
    return _events.validate_python({"kind": kind, **data})
