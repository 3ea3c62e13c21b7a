"""The card of one task: what a person is asked to do, by when, and what became of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import StrEnum

from pydantic import JsonValue

from soar.chat.cards import Links, step_value
from soar.chat.message import Block, Message, button, context, fit, header, lines_of, prose, section
from soar.chat.task_form import fits_a_modal
from soar.chat.text import clean, code, quoted, shorten, slack_date
from soar.model.course import Task, TaskStatus
from soar.model.incident import Incident
from soar.model.terms import StepStatus

__all__ = ["TaskState", "task_card", "task_state"]

MAX_VALUES = 20


class TaskState(StrEnum):
    """Where a task stands: what the card shows."""

    OPEN = "open"
    OVERDUE = "overdue"
    DONE = "done"
    SKIPPED = "skipped"
    WITHDRAWN = "withdrawn"
    ENDED = "ended"

    @property
    def waits(self) -> bool:
        """Whether somebody may still do it."""
        return self in (TaskState.OPEN, TaskState.OVERDUE)


_TITLES = {
    TaskState.OPEN: "📋 Something to do",
    TaskState.OVERDUE: "⏰ Overdue: something to do",
    TaskState.DONE: "☑️ Done",
    TaskState.SKIPPED: "⏭️ Skipped: nobody need do it",
    TaskState.WITHDRAWN: "⛔ Withdrawn: nobody need do it",
    TaskState.ENDED: "🏁 The incident ended before it was done",
}


def task_state(incident: Incident, task: Task) -> TaskState:
    """Work out what to show: the task's own state, then that of its step and of the incident."""
    if task.status is TaskStatus.DONE:
        return TaskState.DONE
    if task.status is TaskStatus.CANCELLED:
        step = incident.steps.get(task.step_id)
        left_out = task.step_id in incident.skips or (step is not None and step.status is StepStatus.SKIPPED)
        return TaskState.SKIPPED if left_out else TaskState.WITHDRAWN
    if incident.status.ended:
        return TaskState.ENDED
    return TaskState.OVERDUE if task.overdue else TaskState.OPEN


def task_card(
    incident: Incident, task: Task, links: Links, names: Mapping[str, str] | None = None
) -> Message:
    """Who does what by when; once it is done, by whom and with what.

    Args:
        names: Responder id → the person's name; whoever is not in it is shown by the id.
    """
    state = task_state(incident, task)
    head = [header(_TITLES[state]), prose(task.name, 300)]
    body: list[Block] = []
    if state is TaskState.DONE:
        body += _outcome(task, names or {})
    elif not state.waits:
        body += _why(incident, task)
    if task.instructions and task.instructions != task.name:
        body.append(section("*What to do*"))
        body.append(lines_of(quoted(task.instructions), 2_500))
    if state.waits and task.form:
        body.append(lines_of(["You are asked for:", *_asked(task)], 1_000))
    return fit(f"{_TITLES[state]}: {task.name}", head, body, _foot(incident, task, links, state))


def _asked(task: Task) -> list[str]:
    fields = list(task.form.items())
    shown = [
        f"• {clean(spec.label or name)}" + ("" if spec.required else " (may be left out)")
        for name, spec in fields[:MAX_VALUES]
    ]
    return [*shown, f"and {len(fields) - MAX_VALUES} more"] if len(fields) > MAX_VALUES else shown


def _outcome(task: Task, names: Mapping[str, str]) -> list[Block]:
    who = names.get(task.done_by) or task.done_by
    when = f" {slack_date(task.done_at)}" if task.done_at is not None else ""
    blocks = [section(f"*Done by* {code(who, 100)}{when}")]
    if task.values:
        # Each value is made one line, so that a line break of its own cannot forge another answer.
        lines = []
        for name, value in list(task.values.items())[:MAX_VALUES]:
            spec = task.form.get(name)
            label = (spec.label if spec is not None else "") or name
            lines.append(f"• {clean(label)}: {shorten(_words(value), 300)}")
        hidden = len(task.values) - len(lines)
        if hidden > 0:
            lines.append(f"and {hidden} more: all are in the console and the report")
        blocks.append(lines_of(lines, 2_500))
    return blocks


def _words(value: JsonValue) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return clean(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def _why(incident: Incident, task: Task) -> list[Block]:
    step = incident.steps.get(task.step_id)
    reason = incident.skips.get(task.step_id, "")
    if step is not None:
        reason = reason or step.reason or (step.error.message if step.error is not None else "")
    return [prose(reason, 400)] if reason else []


def _foot(incident: Incident, task: Task, links: Links, state: TaskState) -> list[Block]:
    buttons = Links(console=links.console).buttons()
    small: list[str] = []
    if state.waits:
        if fits_a_modal(task):
            label = "Fill in" if task.form else "Done"
            value = step_value(incident.id, task.step_id)
            buttons.insert(0, button(label, "task.open", value, style="primary"))
        else:
            small.append("The form is too long for Slack: fill it in in the console")
        roles = ", ".join(code(role, 60) for role in task.roles[:8])
        small.append(f"For: {roles}" if roles else "⚠️ Nobody may do it: no role is named")
        if task.due_at is not None:
            told = (
                f"overdue, told {task.overdue} times; again " if task.overdue > 1 else "overdue; told again "
            )
            small.append((told if task.overdue else "due ") + slack_date(task.due_at))
    foot: list[Block] = [{"type": "actions", "elements": buttons}] if buttons else []
    small.append(f"asked {slack_date(task.opened_at)}")
    foot.append(context(*small))
    return foot
