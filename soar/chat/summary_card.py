"""The pinned card: the incident at a glance."""

from __future__ import annotations

from soar.chat.cards import SEVERITY_MARK, STATUS_WORDS, Links, contained_words
from soar.chat.message import Block, Message, context, fit, header, prose, section
from soar.chat.text import clean, code, shorten, slack_date
from soar.model.base import Fact, UtcTime
from soar.model.course import ClockStatus
from soar.model.incident import Incident
from soar.model.terms import Phase

__all__ = ["Paused", "summary_card"]

SHOWN = 5
"""How many of each kind the card names."""


class Paused(Fact):
    """Who paused the incident, and when."""

    by: str
    since: UtcTime


def phase_progress(incident: Incident) -> str:
    """The six phases on one line: done, under way, not begun."""
    parts = []
    for phase in Phase:
        record = incident.phases.get(phase)
        if record is None:
            parts.append(f"○ {phase.label}")
        elif record.ended_at is not None:
            parts.append(f"✓ {phase.label}")
        else:
            parts.append(f"*▶ {phase.label}*")
    return "  ·  ".join(parts)


def summary_card(incident: Incident, links: Links, paused: Paused | None = None) -> Message:
    """The pinned card: the incident at a glance, at 3 a.m.

    Args:
        paused: Who paused it, where that is known: the state itself says only why.
    """
    mark = SEVERITY_MARK[incident.severity]
    head = [
        header(f"{mark} {shorten(clean(incident.title), 140)}"),
        section(
            "",
            [
                f"*Severity*\n{mark} {incident.severity.label}",
                f"*Status*\n{STATUS_WORDS[incident.status]}",
                f"*Contained*\n{contained_words(incident)}",
                f"*In charge*\n{_in_charge(incident)}",
                f"*Account*\n{_where(incident)}",
                f"*Alerts*\n{incident.alert_count}",
                f"*Opened*\n{slack_date(incident.opened_at)}",
            ],
        ),
        section(f"*Phases*\n{phase_progress(incident)}"),
    ]
    body: list[Block] = [*_paused(incident, paused)]
    if incident.needing_attention:
        body.append(section("*⚠️ Needs attention*"))
        for step in incident.needing_attention[:SHOWN]:
            what = step.error.message if step.error else "failed"
            body.append(prose(f"{step.name}: {what}", 300))
        body.extend(_more(len(incident.needing_attention), SHOWN))
    if incident.open_approvals:
        body.append(section("*✋ Waiting for approval*"))
        for approval in incident.open_approvals[:SHOWN]:
            body.append(prose(approval.plan.summary, 300))
            body.append(
                context(
                    f"{approval.approvals} of {approval.needed} approvals · expires {slack_date(approval.expires_at)}"
                )
            )
        body.extend(_more(len(incident.open_approvals), SHOWN))
    body += [*_tasks(incident), *_clocks(incident), *_temporary(incident)]
    if incident.incomplete:
        body.append(section("*Not achieved*"))
        for step in incident.incomplete[:SHOWN]:
            body.append(prose(f"{step.name}: {step.status.value}", 200))
        body.extend(_more(len(incident.incomplete), SHOWN))
    buttons = links.buttons() if incident.reports else Links(console=links.console).buttons()
    foot: list[Block] = [{"type": "actions", "elements": buttons}] if buttons else []
    foot.append(context(f"{code(incident.id, 80)} · playbook {code(incident.playbook, 80)}"))
    text = f"{mark} {incident.severity.label}: {incident.title} ({STATUS_WORDS[incident.status]})"
    return fit(text, head, body, foot)


def _where(incident: Incident) -> str:
    return " ".join(code(part, 80) for part in (incident.account or "unknown", incident.region) if part)


def _more(count: int, shown: int) -> list[Block]:
    return [context(f"and {count - shown} more")] if count > shown else []


def _in_charge(incident: Incident) -> str:
    return code(incident.assignee_name or incident.assignee, 80) if incident.assignee else "nobody yet"


def _paused(incident: Incident, paused: Paused | None) -> list[Block]:
    if incident.paused is None or incident.status.ended:
        return []
    who = f" by {code(paused.by, 80)} {slack_date(paused.since)}" if paused is not None else ""
    blocks = [section(f"*⏸️ Paused*{who}: nothing new begins")]
    return [*blocks, prose(incident.paused, 300)] if incident.paused else blocks


def _tasks(incident: Incident) -> list[Block]:
    if incident.status.ended or not incident.open_tasks:
        return []
    blocks = [section("*📋 To be done by people*")]
    for task in incident.open_tasks[:SHOWN]:
        blocks.append(prose(task.name, 300))
        small = f"for {', '.join(code(role, 60) for role in task.roles[:5])}"
        if task.overdue:
            small += " · ⏰ overdue"
        elif task.due_at is not None:
            small += f" · due {slack_date(task.due_at)}"
        blocks.append(context(small))
    return [*blocks, *_more(len(incident.open_tasks), SHOWN)]


def _clocks(incident: Incident) -> list[Block]:
    """The deadlines that passed, and the next one."""
    missed = [c for c in incident.clocks.values() if c.status is ClockStatus.MISSED]
    running = sorted(
        (c for c in incident.clocks.values() if c.status is ClockStatus.RUNNING), key=lambda c: c.due_at
    )
    if incident.status.ended:
        running = []
    if not missed and not running:
        return []
    blocks = [section("*⏱️ Deadlines*")]
    for clock in missed[:SHOWN]:
        blocks.append(section(f"⛔ missed {slack_date(clock.due_at)}  {code(clock.label, 200)}"))
    blocks += _more(len(missed), SHOWN)
    if running:
        blocks.append(section(f"next {slack_date(running[0].due_at)}  {code(running[0].label, 200)}"))
    return [*blocks, *_more(len(running), 1)]


def _temporary(incident: Incident) -> list[Block]:
    """The changes that are put back by themselves, the next one first."""
    found = sorted(
        (expires, effect.plan.summary)
        for effect in incident.effects.values()
        if (expires := effect.expires_at) is not None and effect.status.in_place
    )
    if not found:
        return []
    blocks = [section("*⏳ Put back by themselves*")]
    for expires, summary in found[:SHOWN]:
        blocks.append(prose(summary, 200))
        blocks.append(context(slack_date(expires)))
    return [*blocks, *_more(len(found), SHOWN)]
