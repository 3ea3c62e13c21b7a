"""Cards: pure functions of an incident's state.

The pinned card, an approval's and a task's are in `summary_card.py`, `approval_card.py` and `task_card.py`.
"""

from __future__ import annotations

from datetime import datetime

from soar.chat.message import Block, Message, button, context, fit, header, prose, section
from soar.chat.text import clean, code, escaped, link, slack_date
from soar.model.base import Fact
from soar.model.course import (
    Assigned,
    CancelRequested,
    ClockMet,
    ClockMissed,
    ClockStarted,
    ClockWarned,
    EffectExpirySet,
    IncidentPaused,
    IncidentResumed,
    PlaybookUpgraded,
    SeveritySet,
    SkipRequested,
    TaskCancelled,
    TaskDone,
    TaskOpened,
    TaskOverdue,
)
from soar.model.events import (
    AlertJoined,
    AnyEvent,
    ApprovalClosed,
    ApprovalReminded,
    AttentionResolved,
    EffectApplied,
    EffectFailed,
    EffectUndone,
    EffectVerified,
    IncidentClosed,
    IncidentReopened,
    NoteAdded,
    PhaseStarted,
    RefusalRecorded,
    ReportWritten,
    StepFailed,
    UndoRefused,
    VoteCast,
)
from soar.model.incident import Incident, StepRecord
from soar.model.people import Decision
from soar.model.terms import IncidentStatus, Severity, StepStatus
from soar.model.timeline import TimelineEntry

__all__ = [
    "SEVERITY_MARK",
    "STATUS_WORDS",
    "Links",
    "announcement",
    "attention_card",
    "closing_message",
    "contained_words",
    "line_for",
    "step_value",
    "topic",
]

SEVERITY_MARK = {
    Severity.UNKNOWN: "⚪",
    Severity.INFORMATIONAL: "⚪",
    Severity.LOW: "🔵",
    Severity.MEDIUM: "🟡",
    Severity.HIGH: "🟠",
    Severity.CRITICAL: "🔴",
    Severity.FATAL: "🔴",
}
STATUS_WORDS = {
    IncidentStatus.OPEN: "running",
    IncidentStatus.WAITING: "waiting for a person",
    IncidentStatus.CLOSED: "closed",
    IncidentStatus.CLOSED_INCOMPLETE: "closed, incomplete",
    IncidentStatus.CANCELLED: "cancelled",
    IncidentStatus.FAILED: "failed",
}


class Links(Fact):
    """Addresses of the incident's pages; empty where there is none."""

    console: str = ""
    report: str = ""

    def buttons(self) -> list[Block]:
        """Buttons that only open a page."""
        found = []
        if self.console:
            found.append(button("Open in console", "open.console", url=self.console))
        if self.report:
            found.append(button("Open report", "open.report", url=self.report))
        return found


def contained_words(incident: Incident) -> str:
    """Whether the incident is contained. That word is used only for what was verified."""
    if incident.contained_at is not None:
        return f"✅ yes, verified {slack_date(incident.contained_at)}"
    achieved = sum(
        (step := incident.steps.get(step_id)) is not None and step.status.achieved
        for step_id in incident.contains
    )
    if not incident.contains:
        return "not part of this playbook"
    return f"⏳ not yet: {achieved} of {len(incident.contains)} changes verified"


def step_value(incident_id: str, step_id: str) -> str:
    """What the buttons of a step or a task carry: two ids and nothing else."""
    return f"{incident_id}:{step_id}"


def attention_card(incident: Incident, step: StepRecord) -> Message:
    """A failed step: what happened, what to do, and the three ways on."""
    open_ = step.status is StepStatus.ATTENTION
    title = "⚠️ A step failed: decide how to go on" if open_ else _attention_outcome(step)
    head = [header(title), section(f"*Step*\n{code(step.name, 200)}  {code(step.action, 120)}")]
    body: list[Block] = []
    if step.error is not None:
        body.append(section("*What happened*"))
        body.append(prose(step.error.message, 1_200))
        if step.error.permission:
            body.append(section(f"*Missing permission*\n{code(step.error.permission, 200)}"))
        if step.error.hint:
            body.append(section("*What to do now*"))
            body.append(prose(step.error.hint, 800))
        if step.error.nothing_done:
            body.append(context("Nothing was changed."))
        elif step.id in incident.effects:
            body.append(context("A part of the change may be in place."))
    foot: list[Block] = []
    if open_:
        value = step_value(incident.id, step.id)
        foot.append(
            {
                "type": "actions",
                "elements": [
                    button("Retry", "step.retry", value, style="primary"),
                    button("Skip", "step.skip", value),
                    button("Stop", "step.stop", value, style="danger"),
                ],
            }
        )
        roles = (
            ", ".join(code(role, 60) for role in step.attention_roles[:10])
            or "nobody: the policy names no role"
        )
        foot.append(context(f"May decide: {roles}"))
    return fit(f"{title}: {step.name}", head, body, foot)


def _attention_outcome(step: StepRecord) -> str:
    if step.status.achieved:
        return "✅ The step was tried again and is done"
    return {
        StepStatus.SKIPPED: "⏭️ The step was skipped",
        StepStatus.FAILED: "⛔ The step failed",
        StepStatus.DENIED: "⛔ The step was denied",
    }.get(step.status, "🔁 The step is tried again")


def announcement(incident: Incident, channel: str) -> Message:
    """The incident's one line in the main channel."""
    mark = SEVERITY_MARK[incident.severity]
    state = STATUS_WORDS[incident.status]
    contained = "contained" if incident.contained_at else "not contained"
    line = f"{mark} *{incident.severity.label}* {code(incident.title, 300)}\n{state} · {contained}"
    if channel:
        line += f" · <#{channel}>"
    return Message(
        text=escaped(clean(f"{mark} {incident.severity.label}: {incident.title} ({state})"), 500),
        blocks=(section(line),),
    )


def topic(incident: Incident) -> str:
    """The channel's topic, at most 250 characters as Slack has it, escaped."""
    contained = "contained" if incident.contained_at else "not contained"
    mark = f"{SEVERITY_MARK[incident.severity]} {incident.severity.label}"
    start = f"{mark} · {STATUS_WORDS[incident.status]} · {contained} · "
    return start + escaped(clean(incident.title), 250 - len(start))


def closing_message(incident: Incident, links: Links) -> Message:
    """The last word in the channel: how it ended, and where the report is."""
    done = incident.status is IncidentStatus.CLOSED
    title = (
        ("✅ Incident closed" if done else f"⛔ Incident {STATUS_WORDS[incident.status]}")
        + ": "
        + incident.title
    )
    took = ""
    if incident.contained_at is not None:
        took = f" · {_duration(incident.detected_at, incident.contained_at)} after detection"
    head = [header(title), section(f"*Contained*\n{contained_words(incident)}{took}")]
    body: list[Block] = []
    if incident.closed_reason:
        body.append(prose(incident.closed_reason, 600))
    if incident.incomplete:
        body.append(section("*Not achieved*"))
        body.extend(prose(f"{s.name}: {s.status.value}", 200) for s in incident.incomplete[:10])
    if incident.residual:
        body.append(
            section(f"*Still changed by us*: {len(incident.residual)}. Put back with `soar incident undo`.")
        )
    if incident.reports:
        where = (
            link(links.report, "Open the report")
            if links.report
            else f"`soar incident report` {code(incident.id, 80)}"
        )
        body.append(section(f"*Report*\n{where}"))
        digests = [
            f"{code(kind, 20)} {code(digest[:12], 20)}" for kind, digest in sorted(incident.reports.items())
        ]
        body.append(context("SHA-256: " + ", ".join(digests[:5])))
    return fit(title, head, body, [])


def _duration(start: datetime, end: datetime) -> str:
    seconds = max(int((end - start).total_seconds()), 0)
    hours, rest = divmod(seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"


def line_for(entry: TimelineEntry) -> str | None:
    """The thread line for a timeline entry, in mrkdwn of at most 600 characters; None if it is not worth telling."""
    mark = _mark(entry.event)
    if mark is None:
        return None
    who = f" — {code(entry.actor.name or entry.actor.id, 60)}" if entry.actor.kind.value == "person" else ""
    return f"{mark} {slack_date(entry.time)} {code(entry.summary, 400)}{who}"


def _mark(event: AnyEvent) -> str | None:
    match event:
        case VoteCast():
            return "👍" if event.vote.decision is Decision.APPROVE else "👎"
        case EffectVerified():
            return "✅" if event.verification.verified else "⚠️"
        case ApprovalClosed():
            return "🗳️"
        case EffectUndone():
            return "↩️"
        case EffectFailed() | StepFailed() | UndoRefused() | RefusalRecorded():
            return "⛔"
        case AlertJoined():
            return "🚨"
        case PhaseStarted():
            return "▶️"
        case EffectApplied():
            return "🔧"
        case ApprovalReminded():
            return "⏰"
        case AttentionResolved() | IncidentReopened():
            return "🔁"
        case TaskOpened():
            return "📋"
        case TaskDone() | ClockMet():
            return "☑️"
        case TaskOverdue() | ClockWarned():
            return "⏰"
        case TaskCancelled() | SkipRequested():
            return "⏭️"
        case ClockMissed() | CancelRequested():
            return "⛔"
        case ClockStarted():
            return "⏱️"
        case EffectExpirySet():
            return "⏳"
        case IncidentPaused():
            return "⏸️"
        case IncidentResumed():
            return "▶️"
        case SeveritySet() | Assigned() | PlaybookUpgraded():
            return "✏️"
        case NoteAdded():
            return "📝"
        case ReportWritten():
            return "📄"
        case IncidentClosed():
            return "🏁"
        case _:
            return None
