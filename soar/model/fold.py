"""The one function that changes an incident's state: folding in the next entry of its timeline."""

from __future__ import annotations

from soar.model.alert import Alert
from soar.model.base import UtcTime
from soar.model.change import Effect, EffectStatus
from soar.model.events import (
    AlertJoined,
    AnyEvent,
    ApprovalClosed,
    ApprovalOpened,
    ApprovalReminded,
    AttentionResolved,
    EffectApplied,
    EffectFailed,
    EffectStarted,
    EffectUndone,
    EffectVerified,
    IncidentClosed,
    IncidentOpened,
    IncidentReopened,
    NoteAdded,
    PhaseEnded,
    PhaseStarted,
    PlanMade,
    PolicyDecided,
    RefusalRecorded,
    ReportWritten,
    StepDenied,
    StepFailed,
    StepNeedsAttention,
    StepPlanned,
    StepSkipped,
    StepStarted,
    StepSucceeded,
    UndoRefused,
    VoteCast,
)
from soar.model.fold_course import apply_course
from soar.model.incident import MAX_ALERTS_KEPT, Incident, PhaseRecord, StepRecord
from soar.model.people import Approval
from soar.model.terms import AlertState, IncidentStatus, Phase, Risk, StepStatus
from soar.model.timeline import TimelineEntry

__all__ = ["fold", "open_incident", "reduce"]


def _waiting(incident: Incident) -> None:
    if not incident.status.ended:
        waits = bool(incident.open_approvals or incident.needing_attention or incident.open_tasks)
        incident.status = IncidentStatus.WAITING if waits else IncidentStatus.OPEN


def _contained(incident: Incident, at: UtcTime) -> None:
    """`contained_at` is set once: when every step that the containment phase changes things with is achieved."""
    if incident.contained_at is not None or not incident.contains:
        return
    # Skipped by its condition: not wanted here. Skipped by a person after it failed: not achieved.
    top = [s for s in map(incident.steps.get, incident.contains) if s is None or _wanted(s)]
    changes = [
        s
        for s in incident.steps.values()
        if s.phase is Phase.CONTAINMENT and s.risk is not Risk.READ and _wanted(s)
    ]
    reached = all(s is not None and s.status.achieved for s in top)
    if changes and reached and all(s.status.achieved for s in changes):
        incident.contained_at = at


def _wanted(step: StepRecord) -> bool:
    return step.status is not StepStatus.SKIPPED or bool(step.error or step.skipped_by)


def _join(incident: Incident, alert: Alert) -> None:
    incident.alert_count += 1
    if len(incident.alerts) < MAX_ALERTS_KEPT:
        incident.alerts.append(alert)
    if alert.state is not AlertState.RESOLVED and not incident.severity_by:
        incident.severity = max(incident.severity, alert.severity)
    incident.detected_at = min(incident.detected_at, alert.time)
    first = alert.first_seen
    if first is not None:
        known = incident.first_activity_at
        incident.first_activity_at = first if known is None else min(known, first)


def _end_step(incident: Incident, step_id: str, status: StepStatus, at: UtcTime) -> StepRecord:
    step = incident.steps[step_id]
    step.status, step.ended_at = status, at
    step.attention_roles, step.attention_excluded = (), {}
    return step


def open_incident(entry: TimelineEntry) -> Incident:
    """The state after the first entry of a timeline.

    Raises:
        ValueError: The entry is not `incident.opened`.
    """
    event = entry.event
    if not isinstance(event, IncidentOpened):
        raise ValueError(f"a timeline begins with incident.opened, not with {entry.kind}")
    return Incident(
        id=event.incident_id,
        workflow_id=event.workflow_id,
        run_id=event.run_id,
        title=event.title,
        playbook=event.playbook,
        playbook_digest=event.playbook_digest,
        severity=event.severity,
        account=event.account,
        region=event.region,
        correlation_key=event.correlation_key,
        opened_at=entry.time,
        detected_at=entry.time,
        contains=event.contains,
        parent=event.parent,
        head_seq=entry.seq,
        head_hash=entry.hash,
    )


def reduce(incident: Incident, entry: TimelineEntry) -> None:
    """Fold one further entry into the state, in place.

    Args:
        incident: The state after entry `entry.seq - 1`.
        entry: The next entry.

    Raises:
        ValueError: The entry is not the next one.
    """
    if entry.seq != incident.head_seq + 1 or entry.prev_hash != incident.head_hash:
        raise ValueError(f"entry {entry.seq} does not follow entry {incident.head_seq} of {incident.id}")
    _apply(incident, entry.event, entry)
    incident.evidence.extend(entry.evidence)
    incident.head_seq, incident.head_hash = entry.seq, entry.hash
    _waiting(incident)


def fold(entries: list[TimelineEntry]) -> Incident:
    """The state after a whole timeline.

    Raises:
        ValueError: The timeline is empty, has a gap, or does not begin with `incident.opened`.
    """
    if not entries:
        raise ValueError("an empty timeline has no incident")
    incident = open_incident(entries[0])
    for entry in entries[1:]:
        reduce(incident, entry)
    return incident


def _apply(incident: Incident, event: AnyEvent, entry: TimelineEntry) -> None:
    if apply_course(incident, event, entry):
        return
    match event:
        case AlertJoined():
            _join(incident, event.alert)
        case PhaseStarted():
            incident.phase = event.phase
            incident.phases[event.phase] = PhaseRecord(started_at=entry.time)
        case PhaseEnded():
            incident.phases[event.phase].ended_at = entry.time
            if event.phase is Phase.CONTAINMENT:
                _contained(incident, entry.time)
        case NoteAdded():
            incident.notes.append(event.text)
        case ReportWritten():
            incident.reports, incident.report_paths = event.digests, event.paths
        case IncidentClosed():
            incident.status, incident.closed_reason = event.status, event.reason
            incident.closed_at = entry.time
        case IncidentReopened():
            incident.workflow_id, incident.run_id = event.workflow_id, event.run_id
            incident.status, incident.closed_at = IncidentStatus.OPEN, None
        case IncidentOpened():
            raise ValueError(f"{incident.id} is open already")
        case ApprovalOpened() | VoteCast() | RefusalRecorded() | ApprovalReminded() | ApprovalClosed():
            _apply_approval(incident, event, entry)
        case (
            EffectStarted()
            | EffectApplied()
            | EffectVerified()
            | EffectFailed()
            | EffectUndone()
            | UndoRefused()
        ):
            _apply_effect(incident, event, entry)
        case _:
            _apply_step(incident, event, entry)


def _apply_step(incident: Incident, event: AnyEvent, entry: TimelineEntry) -> None:
    match event:
        case StepStarted():
            incident.steps[event.step_id] = StepRecord(
                id=event.step_id,
                name=event.name,
                phase=entry.phase or Phase.PREPARATION,
                action=event.action,
                risk=event.risk,
                status=StepStatus.RUNNING,
                technique=event.technique,
                started_at=entry.time,
            )
        case StepSucceeded():
            step = incident.steps[event.step_id]
            done = event.changed or step.risk is Risk.READ
            status = StepStatus.SUCCEEDED if done else StepStatus.UNCHANGED
            step = _end_step(incident, event.step_id, status, entry.time)
            step.result, step.error = event.result, None
            _contained(incident, entry.time)
        case StepSkipped():
            if event.step_id not in incident.steps:
                incident.steps[event.step_id] = StepRecord(
                    id=event.step_id,
                    name=event.name,
                    phase=entry.phase or Phase.PREPARATION,
                    action=event.action,
                    risk=event.risk,
                    status=StepStatus.SKIPPED,
                    started_at=entry.time,
                )
            step = _end_step(incident, event.step_id, StepStatus.SKIPPED, entry.time)
            step.reason, step.skipped_by = event.reason, event.by
            _contained(incident, entry.time)
        case StepPlanned():
            _end_step(incident, event.step_id, StepStatus.PLANNED, entry.time)
        case StepDenied():
            _end_step(incident, event.step_id, StepStatus.DENIED, entry.time).reason = event.reason
        case StepFailed():
            _end_step(incident, event.step_id, StepStatus.FAILED, entry.time).error = event.error
        case StepNeedsAttention():
            step = incident.steps[event.step_id]
            step.status, step.error = StepStatus.ATTENTION, event.error
            step.attention_roles, step.attention_excluded = event.roles, event.excluded
        case AttentionResolved():
            step = incident.steps[event.step_id]
            step.status, step.attention_roles, step.attention_excluded = StepStatus.RUNNING, (), {}
            if event.decision == "retry":
                step.retried_at, step.rounds_before = entry.time, len(step.rounds)
                step.until = None
        case PlanMade():
            step = incident.steps[event.step_id]
            step.plan, step.plan_digest = event.plan, event.plan_digest
        case PolicyDecided():
            incident.steps[event.step_id].decided_by = event.rule


def _apply_approval(incident: Incident, event: AnyEvent, entry: TimelineEntry) -> None:
    match event:
        case ApprovalOpened():
            step = incident.steps[event.step_id]
            if step.plan is None:
                raise ValueError(f"approval {event.approval_id} was opened before step {step.id} had a plan")
            step.status = StepStatus.WAITING
            incident.approvals[event.approval_id] = Approval(
                id=event.approval_id,
                step_id=event.step_id,
                plan=step.plan,
                plan_digest=event.plan_digest,
                needed=event.needed,
                roles=event.roles,
                why=event.why,
                excluded=event.excluded,
                opened_at=entry.time,
                expires_at=event.expires_at,
                remind_at=event.remind_at,
                supersedes=event.supersedes,
                drift=event.drift,
            )
        case VoteCast():
            incident.approvals[event.approval_id].votes.append(event.vote)
        case RefusalRecorded():
            if event.subject in incident.approvals:
                incident.approvals[event.subject].refusals += 1
        case ApprovalReminded():
            approval = incident.approvals[event.approval_id]
            approval.reminders, approval.remind_at = approval.reminders + 1, event.remind_at
        case ApprovalClosed():
            approval = incident.approvals[event.approval_id]
            approval.status, approval.closed_at = event.outcome, entry.time
            step = incident.steps[approval.step_id]
            if step.status is StepStatus.WAITING:
                step.status = StepStatus.RUNNING


def _apply_effect(incident: Incident, event: AnyEvent, entry: TimelineEntry) -> None:
    match event:
        case EffectStarted():
            plan = incident.steps[event.step_id].plan
            if plan is None:
                raise ValueError(f"step {event.step_id} was applied without a plan")
            before = incident.effects.get(event.step_id)
            layers: list[Effect] = [] if before is None else list(reversed(before.layers))
            incident.effects[event.step_id] = Effect(
                step_id=event.step_id,
                plan=plan,
                plan_digest=event.plan_digest,
                status=EffectStatus.APPLYING,
                started_at=entry.time,
                earlier=[e.model_copy(update={"earlier": []}) for e in layers if e.status.in_place],
            )
        case EffectApplied():
            effect = incident.effects[event.step_id]
            effect.status, effect.applied_at, effect.result = EffectStatus.APPLIED, entry.time, event.result
        case EffectVerified():
            effect = incident.effects[event.step_id]
            effect.verification = event.verification
            if event.verification.verified:
                effect.status, effect.verified_at = EffectStatus.VERIFIED, entry.time
            else:
                effect.status = EffectStatus.UNVERIFIED
        case EffectFailed():
            effect = incident.effects[event.step_id]
            effect.status = EffectStatus.NOT_APPLIED if event.nothing_done else EffectStatus.FAILED
            effect.error = event.error
        case EffectUndone():
            effect = _newest_in_place(incident, event.step_id)
            effect.status, effect.undone_at, effect.error = EffectStatus.UNDONE, entry.time, None
        case UndoRefused():
            effect = _newest_in_place(incident, event.step_id)
            effect.status, effect.error = EffectStatus.UNDO_REFUSED, event.error


def _newest_in_place(incident: Incident, step_id: str) -> Effect:
    return next(e for e in incident.effects[step_id].layers if e.status.in_place)
