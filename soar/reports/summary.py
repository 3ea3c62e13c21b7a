"""What may be said in a few sentences: containment, the summary, and all that is missing.

Nothing is called contained that an independent read has not shown to be.
"""

from __future__ import annotations

from collections.abc import Sequence

from soar.model.change import EffectStatus
from soar.model.course import TaskStatus
from soar.model.events import (
    AlertJoined,
)
from soar.model.people import ApprovalStatus
from soar.model.terms import IncidentStatus, StepStatus
from soar.reports.containment import containment, ends, left_out, step_words, to_prove
from soar.reports.facts import Facts
from soar.reports.sections import (
    ApprovalRow,
    ChainCheck,
    Containment,
    EffectRow,
    Statement,
    Summary,
)
from soar.reports.told import Told

__all__ = ["IN_PLACE_WORDS", "count", "summary"]

IN_PLACE_WORDS = {
    EffectStatus.VERIFIED: "in place, verified",
    EffectStatus.APPLIED: "made by the service's reply, not verified",
    EffectStatus.APPLYING: "begun, outcome not known: it may be in place",
    EffectStatus.UNVERIFIED: "made by the service's reply, but the independent read did not show it",
    EffectStatus.FAILED: "failed part-way: a part of it may be in place",
    EffectStatus.NOT_APPLIED: "not made: nothing was changed",
    EffectStatus.UNDONE: "put back",
    EffectStatus.UNDO_REFUSED: "still in place: putting it back was refused or failed",
}


def summary(facts: Facts, chain: ChainCheck, told: Told) -> Summary:
    """The executive summary, made of facts."""
    incident = facts.incident
    contained = containment(facts, told.changes)
    said: list[Statement] = []
    if not chain.verified:
        said.append(
            Statement(
                text=f"The record this report is made from does not verify: {chain.problem}. Nothing below is proven."
            )
        )
    alerts = [(entry.seq, event.alert) for entry, event in facts.of(AlertJoined)]
    sources = sorted({alert.source for _, alert in alerts})
    where = f" in account {incident.account}" if incident.account else ""
    said.append(
        Statement(
            text=f"{count(len(alerts), 'alert')} from {', '.join(sources) or 'no source'} opened or joined this "
            f"{incident.severity.label}-severity incident{where}. "
            f"It was answered with the playbook {incident.playbook}.",
            seqs=tuple(seq for seq, _ in alerts)[:10],
        )
    )
    said.append(Statement(text=contained.statement, seqs=(contained.seq,) if contained.seq else ()))
    said.append(_changes_said(told.changes))
    said.append(_approvals_said(told.asked))
    said.extend(_people_said(told))
    said.append(_status_said(facts))
    points = (*_open_points(contained, facts, told.changes), *_course_points(told))
    return Summary(containment=contained, statements=tuple(said), open_points=points)


def count(number: int, noun: str) -> str:
    """A number with its noun."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _changes_said(changes: Sequence[EffectRow]) -> Statement:
    if not changes:
        return Statement(text="No change was begun.")
    proven = [e for e in changes if e.status is EffectStatus.VERIFIED]
    undone = [e for e in changes if e.status is EffectStatus.UNDONE]
    nothing = [e for e in changes if e.status is EffectStatus.NOT_APPLIED]
    doubt = len(changes) - len(proven) - len(undone) - len(nothing)
    counts = (
        (len(proven), "in place and verified"),
        (len(undone), "put back"),
        (len(nothing), "not made"),
        (doubt, "not verified or in doubt"),
    )
    states = ", ".join(f"{number} {words}" for number, words in counts if number)
    text = f"{count(len(changes), 'change')} begun: {states}."
    return Statement(text=text, seqs=tuple(e.started_seq for e in changes)[:10])


def _approvals_said(everything: Sequence[ApprovalRow]) -> Statement:
    asked = [a for a in everything if not a.question]
    if not asked:
        return Statement(text="No person was asked for an approval.")
    outcomes = [f"{n} {s.value}" for s in ApprovalStatus if (n := sum(a.status is s for a in asked))]
    people = sorted({v.name or v.responder for a in asked for v in a.votes})
    voters = f" Votes were cast by {', '.join(people)}." if people else " Nobody voted."
    return Statement(
        text=f"{count(len(asked), 'approval')} asked for: {', '.join(outcomes)}.{voters}",
        seqs=tuple(a.opened_seq for a in asked)[:10],
    )


def _people_said(told: Told) -> list[Statement]:
    """Tasks, questions and deadlines, where there are any."""
    said = []
    if told.tasks:
        words = {TaskStatus.DONE: "done", TaskStatus.OPEN: "not done", TaskStatus.CANCELLED: "withdrawn"}
        states = [f"{n} {w}" for s, w in words.items() if (n := sum(t.status is s for t in told.tasks))]
        late = sum((t.late_milliseconds or 0) > 0 for t in told.tasks)
        lateness = f"; {late} late" if late else ""
        text = f"{count(len(told.tasks), 'task')} asked of people: {', '.join(states)}{lateness}."
        said.append(Statement(text=text, seqs=tuple(t.opened_seq for t in told.tasks)[:10]))
    asked = [a for a in told.asked if a.question]
    if asked:
        answers = {ApprovalStatus.APPROVED: "yes", ApprovalStatus.DENIED: "no"}
        told_as = [answers.get(a.status, a.status.value) for a in asked]
        outcomes = [f"{told_as.count(word)} {word}" for word in dict.fromkeys(told_as)]
        text = f"{count(len(asked), 'question')} asked: {', '.join(outcomes)}."
        said.append(Statement(text=text, seqs=tuple(a.opened_seq for a in asked)[:10]))
    if told.clocks:
        outcomes_said = {"met": "met", "met_late": "met late", "missed": "missed", "running": "running"}
        clocks = [
            f"{n} {w}" for o, w in outcomes_said.items() if (n := sum(c.outcome == o for c in told.clocks))
        ]
        text = f"{count(len(told.clocks), 'deadline')}: {', '.join(clocks)}."
        said.append(Statement(text=text, seqs=tuple(c.seq for c in told.clocks)[:10]))
    return said


def _course_points(told: Told) -> list[Statement]:
    """What people, deadlines and called playbooks have left open."""
    points = [
        Statement(text=f"The task “{t.step_name}” is not done.", seqs=(t.opened_seq,))
        for t in told.tasks
        if t.status is TaskStatus.OPEN
    ]
    points += [
        Statement(text=f"The deadline “{c.label}” was missed and is not met.", seqs=(c.missed_seq or c.seq,))
        for c in told.clocks
        if c.outcome == "missed"
    ]
    points += [
        Statement(
            text=f"The called playbook {c.playbook} ({c.incident_id}) "
            + ("has not told of its end." if c.status is None else f"is {c.status.value.replace('_', ' ')}."),
            seqs=(c.ended_seq or c.started_seq,),
        )
        for c in told.called
        if c.status is not IncidentStatus.CLOSED
    ]
    return points


def _status_said(facts: Facts) -> Statement:
    incident, head = facts.incident, facts.timeline[-1].seq
    why = (
        f": {incident.closed_reason.rstrip('.')}" if incident.closed_reason and incident.status.ended else ""
    )
    words = {
        IncidentStatus.OPEN: "the response is still running",
        IncidentStatus.WAITING: "the response waits for a person's decision",
        IncidentStatus.CLOSED: "the playbook has run to its end",
        IncidentStatus.CLOSED_INCOMPLETE: "the incident ended incomplete",
        IncidentStatus.CANCELLED: "the incident was cancelled",
        IncidentStatus.FAILED: "the response failed",
    }[incident.status]
    return Statement(text=f"At entry {head}, {words}{why}.", seqs=(head,))


def _open_points(contained: Containment, facts: Facts, changes: Sequence[EffectRow]) -> tuple[Statement, ...]:
    """What a reader must not miss: not achieved, not proven, still in place."""
    points = list(contained.reasons)
    proven = set(to_prove(facts)) if contained.reasons else set(facts.incident.contains)
    for step in facts.incident.steps.values():
        ended_badly = step.status in (StepStatus.DENIED, StepStatus.FAILED, StepStatus.ATTENTION)
        given_up = left_out(step)
        if (ended_badly or given_up) and step.id not in proven:
            points.append(
                Statement(
                    text=f"“{facts.step_name(step.id)}”: {step_words(step)}.", seqs=ends(facts, step.id)
                )
            )
        elif step.status is StepStatus.SKIPPED and not given_up:
            why = step.reason.rstrip(".") or "no reason recorded"
            points.append(
                Statement(text=f"“{facts.step_name(step.id)}” was skipped: {why}.", seqs=ends(facts, step.id))
            )
    points.extend(
        Statement(text=f"“{e.step_name}”: {IN_PLACE_WORDS[e.status]}.", seqs=(e.started_seq,))
        for e in changes
        if e.in_place and e.status is not EffectStatus.VERIFIED
    )
    left = [e for e in changes if e.in_place]
    if left:
        verb = "is" if len(left) == 1 else "are"
        sure = all(e.status is EffectStatus.VERIFIED for e in left)
        text = f"{count(len(left), 'change')} of this response {verb}{'' if sure else ', or may be,'} still in place."
        points.append(Statement(text=text, seqs=tuple(e.started_seq for e in left)[:10]))
    return tuple(points)
