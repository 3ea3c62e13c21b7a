"""What can happen to an incident's course: waits, tasks, loops, called playbooks, and what people tell it.

The other half of the events is in `soar.model.events`, which has the union of both.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import JsonValue

from soar.model.base import Digest, Fact, JsonObject, State, UtcTime
from soar.model.terms import IncidentStatus, Severity

__all__ = [
    "Assigned",
    "CancelRequested",
    "ChildEnded",
    "ChildOpened",
    "Clock",
    "ClockMet",
    "ClockMissed",
    "ClockStarted",
    "ClockStatus",
    "ClockWarned",
    "CourseEvent",
    "EffectExpirySet",
    "FormSpec",
    "IncidentPaused",
    "IncidentResumed",
    "LoopStarted",
    "Notified",
    "OutputsSet",
    "PlaybookUpgraded",
    "RoundEnded",
    "RunContinued",
    "SeveritySet",
    "SkipRequested",
    "Task",
    "TaskCancelled",
    "TaskDone",
    "TaskOpened",
    "TaskOverdue",
    "TaskStatus",
    "VariablesSet",
    "WaitStarted",
    "WayTaken",
]


class FormSpec(Fact):
    """One thing that a person fills in for a task."""

    type: Literal["text", "number", "boolean", "choice", "time"]
    label: str = ""
    required: bool = True
    options: tuple[str, ...] = ()


class TaskStatus(StrEnum):
    """Where a task stands."""

    OPEN = "open"
    DONE = "done"
    CANCELLED = "cancelled"


class Task(State):
    """Something that a person does.

    Args:
        step_id: The step that it belongs to.
        roles: Who may do it: anybody with one of these.
        excluded: Responder id → why this person may not.
        due_at: When it is overdue.
        overdue: How often people were told so.
        values: What the form came back with.
    """

    step_id: str
    name: str
    instructions: str
    roles: tuple[str, ...]
    excluded: dict[str, str] = {}
    form: dict[str, FormSpec] = {}
    opened_at: UtcTime
    due_at: UtcTime | None = None
    overdue: int = 0
    status: TaskStatus = TaskStatus.OPEN
    done_at: UtcTime | None = None
    done_by: str = ""
    values: JsonObject = {}


class ClockStatus(StrEnum):
    """Where a deadline stands."""

    RUNNING = "running"
    MET = "met"
    MISSED = "missed"


class Clock(State):
    """A deadline that runs.

    Args:
        warn_at: When people are warned; None once they are, or where nobody asked for it.
    """

    name: str
    label: str
    started_at: UtcTime
    due_at: UtcTime
    warn_at: UtcTime | None = None
    status: ClockStatus = ClockStatus.RUNNING
    ended_at: UtcTime | None = None


class WaitStarted(Fact):
    """A step began to wait."""

    kind: Literal["wait.started"] = "wait.started"
    step_id: str
    until: UtcTime


class VariablesSet(Fact):
    """Names were given to values."""

    kind: Literal["vars.set"] = "vars.set"
    step_id: str
    values: JsonObject


class TaskOpened(Fact):
    """A person is asked to do something."""

    kind: Literal["task.opened"] = "task.opened"
    step_id: str
    instructions: str
    roles: tuple[str, ...]
    excluded: dict[str, str] = {}
    form: dict[str, FormSpec] = {}
    due_at: UtcTime | None = None


class TaskOverdue(Fact):
    """A task was not done in time, and people were told."""

    kind: Literal["task.overdue"] = "task.overdue"
    step_id: str
    due_at: UtcTime


class TaskDone(Fact):
    """A person did it."""

    kind: Literal["task.done"] = "task.done"
    step_id: str
    responder: str
    values: JsonObject


class TaskCancelled(Fact):
    """Nobody need do it any more."""

    kind: Literal["task.cancelled"] = "task.cancelled"
    step_id: str
    reason: str


class WayTaken(Fact):
    """A branch decided which way to go."""

    kind: Literal["branch.taken"] = "branch.taken"
    step_id: str
    way: str


class LoopStarted(Fact):
    """A `foreach` read its list."""

    kind: Literal["loop.started"] = "loop.started"
    step_id: str
    items: list[JsonValue]


class RoundEnded(Fact):
    """One item of a `foreach`, or one round of a `repeat`, ended.

    Args:
        index: From 0.
        value: What it leaves behind.
        failed: Whether a step of it did not do what it is for.
        forget: Steps that nothing needs any more: reads and decisions that ended well. They stay on the timeline.
    """

    kind: Literal["loop.round_ended"] = "loop.round_ended"
    step_id: str
    index: int
    value: JsonValue = None
    failed: bool = False
    forget: tuple[str, ...] = ()


class ChildOpened(Fact):
    """A step called another playbook."""

    kind: Literal["child.opened"] = "child.opened"
    step_id: str
    workflow_id: str
    incident_id: str
    playbook: str


class ChildEnded(Fact):
    """A called playbook came to its end."""

    kind: Literal["child.ended"] = "child.ended"
    step_id: str
    status: IncidentStatus
    reason: str = ""
    outputs: JsonObject = {}


class Notified(Fact):
    """People with a role are told of a step's end."""

    kind: Literal["step.notified"] = "step.notified"
    step_id: str
    roles: tuple[str, ...]
    text: str


class EffectExpirySet(Fact):
    """When a change is put back by itself; None: it stays."""

    kind: Literal["effect.expiry_set"] = "effect.expiry_set"
    step_id: str
    expires_at: UtcTime | None
    reason: str = ""


class IncidentPaused(Fact):
    """Nothing new begins until somebody resumes."""

    kind: Literal["incident.paused"] = "incident.paused"
    reason: str = ""


class IncidentResumed(Fact):
    """It goes on."""

    kind: Literal["incident.resumed"] = "incident.resumed"
    reason: str = ""


class CancelRequested(Fact):
    """Somebody ended the incident early."""

    kind: Literal["incident.cancel_requested"] = "incident.cancel_requested"
    reason: str = ""


class SeveritySet(Fact):
    """The severity changed.

    Args:
        by: Who did it; empty: a rule of the playbook. What a person says is not overruled.
    """

    kind: Literal["incident.severity_set"] = "incident.severity_set"
    severity: Severity
    by: str = ""
    reason: str = ""


class Assigned(Fact):
    """Somebody is in charge; empty: nobody."""

    kind: Literal["incident.assigned"] = "incident.assigned"
    responder: str
    name: str = ""
    reason: str = ""


class SkipRequested(Fact):
    """A step that is not reached yet is to be left out."""

    kind: Literal["step.skip_requested"] = "step.skip_requested"
    step_id: str
    by: str
    reason: str = ""


class PlaybookUpgraded(Fact):
    """The incident goes on with another version of its playbook."""

    kind: Literal["playbook.upgraded"] = "playbook.upgraded"
    before: Digest
    digest: Digest
    differences: tuple[str, ...] = ()
    contains: tuple[str, ...] = ()
    reason: str = ""


class RunContinued(Fact):
    """The workflow went on in a new run, so that its history stays short."""

    kind: Literal["incident.continued"] = "incident.continued"
    run_id: str


class OutputsSet(Fact):
    """What a playbook that called this one gets."""

    kind: Literal["incident.outputs"] = "incident.outputs"
    values: JsonObject


class ClockStarted(Fact):
    """A deadline began to run."""

    kind: Literal["clock.started"] = "clock.started"
    clock: str
    label: str
    started_at: UtcTime
    due_at: UtcTime
    warn_at: UtcTime | None = None


class ClockWarned(Fact):
    """A deadline is near."""

    kind: Literal["clock.warned"] = "clock.warned"
    clock: str


class ClockMet(Fact):
    """What a deadline asks for was done."""

    kind: Literal["clock.met"] = "clock.met"
    clock: str
    reason: str = ""


class ClockMissed(Fact):
    """A deadline passed."""

    kind: Literal["clock.missed"] = "clock.missed"
    clock: str


CourseEvent = (
    WaitStarted
    | VariablesSet
    | TaskOpened
    | TaskOverdue
    | TaskDone
    | TaskCancelled
    | WayTaken
    | LoopStarted
    | RoundEnded
    | ChildOpened
    | ChildEnded
    | Notified
    | EffectExpirySet
    | IncidentPaused
    | IncidentResumed
    | CancelRequested
    | SeveritySet
    | Assigned
    | SkipRequested
    | PlaybookUpgraded
    | RunContinued
    | OutputsSet
    | ClockStarted
    | ClockWarned
    | ClockMet
    | ClockMissed
)
