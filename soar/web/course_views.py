"""Tasks, deadlines and what people can do with an incident as a whole, worked out from its state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from soar.engine.approvals import role_refusal
from soar.engine.forms import FormRefused, filled_in
from soar.model.base import JsonObject
from soar.model.course import Clock, ClockStatus, FormSpec, Task
from soar.model.incident import Incident
from soar.model.people import Responder
from soar.playbook.policy import Policy, deciding_roles, implicated
from soar.web.services import Services

__all__ = ["ClockView", "FieldView", "Manage", "TaskView"]
__all__ += ["as_filled_in", "clock_views", "form_values", "manageable", "task_view"]

FIELD = "value."
"""What the names of a task's fields begin with in a form, so that none is taken for one of the console's own."""


@dataclass(frozen=True)
class FieldView:
    """One field of a task's form.

    Args:
        value: What stands in it.
        problem: What is wrong with that; empty: nothing.
    """

    name: str
    spec: FormSpec
    value: str = ""
    problem: str = ""

    @property
    def label(self) -> str:
        """What people read."""
        return self.spec.label or self.name.replace("_", " ")


@dataclass(frozen=True)
class TaskView:
    """An open task, as one person may see it. `refusal`: why this person may not do it; empty: may."""

    task: Task
    fields: list[FieldView]
    refusal: str
    overdue: bool


@dataclass(frozen=True)
class ClockView:
    """A deadline. `state`: running, missed, met, or late: met after it was due."""

    clock: Clock
    state: str


@dataclass(frozen=True)
class Manage:
    """What can be done with the incident as a whole.

    Args:
        people: Who can be put in charge.
        newer: The version of its playbook that is in force, if it is another than the incident's.
        deciders: Who may; `excluded` says who may not although their role is right, and why.
    """

    people: list[Responder]
    newer: str
    deciders: tuple[str, ...]
    excluded: dict[str, str] = field(default_factory=dict)

    def refusal(self, person: Responder) -> str:
        """Why a person may not; empty: may."""
        return role_refusal(person, self.deciders, self.excluded)


def task_view(task: Task, person: Responder, values: Mapping[str, str] | None = None) -> TaskView:
    """An open task.

    Args:
        values: What the person filled in; each field is then looked at.
    """
    return TaskView(
        task=task,
        fields=[_field(name, spec, values) for name, spec in task.form.items()],
        refusal=role_refusal(person, task.roles, task.excluded),
        overdue=task.due_at is not None and task.due_at <= datetime.now(UTC),
    )


def _field(name: str, spec: FormSpec, values: Mapping[str, str] | None) -> FieldView:
    if values is None:
        return FieldView(name, spec)
    problem, given = "", values.get(name, "")
    try:
        filled_in({name: spec}, _typed(spec, name, given))
    except FormRefused as refused:
        problem = str(refused)
    return FieldView(name, spec, given, problem)


def form_values(task: Task, form: Mapping[str, str]) -> dict[str, str]:
    """What a form brought for the fields of a task."""
    return {name: form.get(FIELD + name, "") for name in task.form}


def as_filled_in(task: Task, values: Mapping[str, str]) -> JsonObject:
    """The values as the engine takes them."""
    found: JsonObject = {}
    for name, spec in task.form.items():
        found.update(_typed(spec, name, values.get(name, "")))
    return found


def _typed(spec: FormSpec, name: str, value: str) -> JsonObject:
    # A browser's date and time have no zone; the label says that it is UTC.
    local = spec.type == "time" and value and not value.endswith("Z") and "+" not in value[10:]
    return {name: f"{value}Z" if local else value}


def clock_views(incident: Incident) -> list[ClockView]:
    """The deadlines, the next one first; those that are met last."""
    now = datetime.now(UTC)
    found = []
    for clock in incident.clocks.values():
        if clock.status is ClockStatus.MET:
            late = clock.ended_at is not None and clock.ended_at > clock.due_at
            state = "late" if late else "met"
        elif clock.due_at <= now:
            state = "missed"
        else:
            state = "running"
        found.append(ClockView(clock, state))
    return sorted(found, key=lambda view: (view.state in ("met", "late"), view.clock.due_at))


def manageable(services: Services, incident: Incident, policy: Policy | None) -> Manage:
    """What can be done with an incident that has not ended."""
    try:
        current = services.library.get(incident.playbook).digest
    except KeyError:
        current = incident.playbook_digest
    return Manage(
        people=list(policy.responders) if policy else [],
        newer=current if current != incident.playbook_digest else "",
        deciders=deciding_roles(policy),
        excluded=implicated(policy, incident.alerts) if policy else {},
    )
