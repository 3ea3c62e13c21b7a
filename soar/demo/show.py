"""What the demonstration prints: progress as it goes, and a summary at the end."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from soar.demo.run import Outcome
from soar.model.change import Effect, EffectStatus
from soar.model.incident import Incident
from soar.model.people import ApprovalStatus, Decision
from soar.model.terms import IncidentStatus, Phase, StepStatus

__all__ = ["live_view", "print_summary"]

_MARKS = {
    StepStatus.SUCCEEDED: "✓",
    StepStatus.UNCHANGED: "✓",
    StepStatus.SKIPPED: "–",
    StepStatus.DENIED: "✗",
    StepStatus.FAILED: "✗",
    StepStatus.ATTENTION: "!",
    StepStatus.WAITING: "?",
    StepStatus.RUNNING: "…",
}


def live_view(outcomes: Sequence[Outcome], chat_url: str) -> Group:
    """The incidents as they stand."""
    table = Table(box=None, pad_edge=False)
    for heading in ("incident", "attack", "phase", "steps", "waits for"):
        table.add_column(heading, overflow="fold")
    waiting = False
    for outcome in outcomes:
        incident = outcome.incident
        if incident is None:
            table.add_row("…", outcome.scenario.title, "alert received", "", "")
            continue
        open_questions = incident.open_approvals
        waiting |= bool(open_questions)
        phase = incident.status.value if incident.status.ended else _phase(incident)
        waits = open_questions[0].plan.summary if open_questions else ""
        if len(open_questions) > 1:
            waits += f" (and {len(open_questions) - 1} more)"
        waits = waits or ", ".join(f"decision on {s.name}" for s in incident.needing_attention)
        table.add_row(incident.id, outcome.scenario.title, phase, _marks(incident), Text(waits))
    lines: list[Table | Text] = [table]
    if waiting and chat_url:
        lines.append(Text(f"People decide here: {chat_url}", style="bold"))
    return Group(*lines)


def _phase(incident: Incident) -> str:
    if incident.phase is None:
        return ""
    return f"{list(Phase).index(incident.phase) + 1}/6 {incident.phase.label}"


def _marks(incident: Incident) -> str:
    return " ".join(_MARKS[s.status] for s in incident.steps.values())


def print_summary(console: Console, outcomes: Sequence[Outcome]) -> None:
    """Per incident: phases with times, what was changed, by whom approved, what verified, and the reports."""
    for outcome in outcomes:
        incident = outcome.incident
        if incident is None:
            continue
        console.print()
        console.print(Text(f"{incident.id}  {outcome.scenario.title}", style="bold"))
        console.print(Text(f"  finding    {incident.alerts[0].rule}"))
        console.print(Text(f"  playbook   {incident.playbook} (version {incident.playbook_digest[:12]})"))
        console.print(Text(f"  ended as   {_ended(incident)}"))
        console.print(Text(f"  contained  {_contained(incident)}"))
        console.print(_phases(incident), soft_wrap=True)
        for line in _changes(incident):
            console.print(line, soft_wrap=True)
        for check in outcome.checks:
            mark = Text("  ✓ ", style="green") if check.ok else Text("  ✗ ", style="red bold")
            console.print(mark + Text(f"{check.name}: {check.seen}"), soft_wrap=True)
        for form, path in sorted(outcome.reports.items()):
            console.print(Text(f"  report     {form:<5} {path}"), soft_wrap=True)
        for failure in outcome.failures:
            console.print(Text(f"  FAILED     {failure}", style="red bold"))


def _ended(incident: Incident) -> str:
    words = incident.status.value.replace("_", " ")
    return words if incident.status is IncidentStatus.CLOSED else f"{words}: {incident.closed_reason}"


def _contained(incident: Incident) -> str:
    if incident.contained_at is None:
        return "NOT verified"
    return f"{_seconds(incident.opened_at, incident.contained_at)} after the incident was opened, verified"


def _seconds(begin: datetime, end: datetime | None) -> str:
    return "" if end is None else f"{(end - begin).total_seconds():.1f} s"


def _phases(incident: Incident) -> Text:
    parts = [
        f"{phase.label} {_seconds(record.started_at, record.ended_at)}"
        for phase, record in incident.phases.items()
    ]
    return Text("  phases     " + " · ".join(parts))


def _changes(incident: Incident) -> list[Text]:
    lines = []
    for effect in incident.effects.values():
        people = [
            vote.name
            for approval in incident.approvals.values()
            if approval.step_id == effect.step_id and approval.status is ApprovalStatus.APPROVED
            for vote in approval.votes
            if vote.decision is Decision.APPROVE
        ]
        seen = effect.verification.seen if effect.verification else ""
        decided = f"approved by {', '.join(people)}" if people else "automatic by policy"
        lines.append(Text(f"  change     {effect.plan.summary}"))
        lines.append(Text(f"             {decided}; {_state(effect)}: {seen}", style="dim"))
    return lines


def _state(effect: Effect) -> str:
    if effect.status is EffectStatus.UNDONE:
        return "verified, and undone in recovery"
    return effect.status.value.replace("_", " ")
