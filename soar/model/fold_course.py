"""How the events of `soar.model.course` change an incident's state."""

from __future__ import annotations

from soar.model.change import Result
from soar.model.course import (
    Assigned,
    ChildEnded,
    ChildOpened,
    Clock,
    ClockMet,
    ClockMissed,
    ClockStarted,
    ClockStatus,
    ClockWarned,
    EffectExpirySet,
    IncidentPaused,
    IncidentResumed,
    LoopStarted,
    OutputsSet,
    PlaybookUpgraded,
    RoundEnded,
    RunContinued,
    SeveritySet,
    SkipRequested,
    Task,
    TaskCancelled,
    TaskDone,
    TaskOpened,
    TaskOverdue,
    TaskStatus,
    VariablesSet,
    WaitStarted,
    WayTaken,
)
from soar.model.events import AnyEvent
from soar.model.incident import Incident
from soar.model.terms import StepStatus
from soar.model.timeline import TimelineEntry

__all__ = ["apply_course"]


def apply_course(incident: Incident, event: AnyEvent, entry: TimelineEntry) -> bool:
    """Fold an event of the incident's course in.

    Returns:
        Whether it was one.
    """
    return (
        _apply_step(incident, event, entry)
        or _apply_task(incident, event, entry)
        or _apply_clock(incident, event, entry)
        or _apply_incident(incident, event)
    )


def _apply_step(incident: Incident, event: AnyEvent, entry: TimelineEntry) -> bool:
    match event:
        case WaitStarted():
            incident.steps[event.step_id].until = event.until
        case VariablesSet():
            incident.variables.update(event.values)
        case WayTaken():
            incident.steps[event.step_id].way = event.way
        case LoopStarted():
            incident.steps[event.step_id].items = event.items
        case RoundEnded():
            step = incident.steps[event.step_id]
            step.rounds[event.index], step.round_ended_at = event.value, entry.time
            if event.failed:
                step.failed_rounds.append(event.index)
            for step_id in event.forget:
                incident.steps.pop(step_id, None)
        case ChildOpened():
            step = incident.steps[event.step_id]
            step.child, step.child_workflow = event.incident_id, event.workflow_id
        case ChildEnded():
            step = incident.steps[event.step_id]
            data = {**event.outputs, "incident": step.child, "status": event.status.value}
            step.result = Result(summary=event.reason or f"{step.child} is {event.status.value}", data=data)
        case EffectExpirySet():
            incident.effects[event.step_id].expires_at = event.expires_at
        case SkipRequested():
            incident.skips[event.step_id], incident.skippers[event.step_id] = event.reason, event.by
        case _:
            return False
    return True


def _apply_task(incident: Incident, event: AnyEvent, entry: TimelineEntry) -> bool:
    match event:
        case TaskOpened():
            step = incident.steps[event.step_id]
            step.status = StepStatus.WAITING
            incident.tasks[event.step_id] = Task(
                step_id=event.step_id,
                name=step.name,
                instructions=event.instructions,
                roles=event.roles,
                excluded=event.excluded,
                form=event.form,
                opened_at=entry.time,
                due_at=event.due_at,
            )
        case TaskOverdue():
            task = incident.tasks[event.step_id]
            task.overdue, task.due_at = task.overdue + 1, event.due_at
        case TaskDone():
            task = incident.tasks[event.step_id]
            task.status, task.done_at = TaskStatus.DONE, entry.time
            task.done_by, task.values = event.responder, event.values
            incident.steps[event.step_id].status = StepStatus.RUNNING
        case TaskCancelled():
            incident.tasks[event.step_id].status = TaskStatus.CANCELLED
            incident.steps[event.step_id].status = StepStatus.RUNNING
        case _:
            return False
    return True


def _apply_clock(incident: Incident, event: AnyEvent, entry: TimelineEntry) -> bool:
    match event:
        case ClockStarted():
            incident.clocks[event.clock] = Clock(
                name=event.clock,
                label=event.label,
                started_at=event.started_at,
                due_at=event.due_at,
                warn_at=event.warn_at,
            )
        case ClockWarned():
            incident.clocks[event.clock].warn_at = None
        case ClockMet():
            clock = incident.clocks[event.clock]
            clock.status, clock.ended_at = ClockStatus.MET, entry.time
        case ClockMissed():
            clock = incident.clocks[event.clock]
            clock.status, clock.ended_at = ClockStatus.MISSED, entry.time
        case _:
            return False
    return True


def _apply_incident(incident: Incident, event: AnyEvent) -> bool:
    match event:
        case IncidentPaused():
            incident.paused = event.reason
        case IncidentResumed():
            incident.paused = None
        case SeveritySet():
            incident.severity, incident.severity_by = event.severity, event.by
        case Assigned():
            incident.assignee, incident.assignee_name = event.responder, event.name
        case PlaybookUpgraded():
            incident.playbook_digest, incident.contains = event.digest, event.contains
        case RunContinued():
            incident.run_id, incident.continued = event.run_id, incident.continued + 1
        case OutputsSet():
            incident.outputs = event.values
        case _:
            return False
    return True
