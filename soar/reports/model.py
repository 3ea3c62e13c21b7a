"""Timeline → report. Pure: the same timeline gives the same report."""

from __future__ import annotations

from collections.abc import Sequence

from soar.model.base import digest_of
from soar.model.events import NoteAdded
from soar.model.incident import Incident
from soar.model.terms import Phase
from soar.model.timeline import ActorKind, ChainBroken, TimelineEntry, genesis, verify_chain
from soar.reports.decisions import attention, policy
from soar.reports.facts import Facts, who
from soar.reports.flow import waits
from soar.reports.gaps import gaps
from soar.reports.metrics import metrics
from soar.reports.people import interventions, questions
from soar.reports.response import response
from soar.reports.sections import Appendix, ChainCheck, Cover, HumanSection, NoteRow, Report, TimelineRow
from soar.reports.subject import detection, evidence, impact, indicators, techniques
from soar.reports.summary import summary
from soar.reports.told import tell

__all__ = ["Report", "build_report"]

HUMAN = (
    ("root_cause", "Root cause and contributing factors", "What made this possible, and what made it worse?"),
    (
        "impact_judgement",
        "Judgement of the impact",
        "Which data, services and people were affected, and how badly?",
    ),
    (
        "notification",
        "Communications and notification decisions",
        "Who was notified, when; who was not, and why?",
    ),
    ("recovery", "Confirmation of recovery", "What shows that normal operation is back?"),
    ("went_well", "What went well", "What should be kept?"),
    ("went_badly", "What went badly", "What should be different next time?"),
    ("lucky", "Where we were lucky", "What could have made it worse, and did not?"),
    ("corrective_actions", "Corrective actions", "What will be done, by whom, by when?"),
)


def build_report(
    incident: Incident, timeline: Sequence[TimelineEntry], *, playbook_text: str | None = None
) -> Report:
    """Build the report of an incident.

    Args:
        incident: The fold of `timeline`.
        timeline: Every entry from the first on, in order. A broken chain does not stop the report; it leads it.
        playbook_text: The playbook's canonical text, where at hand.

    Raises:
        ValueError: The timeline is empty, or `incident` is not its fold's state.
    """
    if not timeline:
        raise ValueError(f"incident {incident.id} has no timeline to report on")
    if (incident.head_seq, incident.head_hash) != (timeline[-1].seq, timeline[-1].hash):
        raise ValueError(
            f"the state of {incident.id} is that of entry {incident.head_seq}, the timeline ends with entry "
            f"{timeline[-1].seq}: read both again"
        )
    facts = Facts(incident, timeline)
    chain = _chain(incident, timeline)
    told = tell(facts)
    return Report(
        cover=_cover(incident, timeline, chain),
        summary=summary(facts, chain, told),
        impact=impact(facts),
        metrics=metrics(facts, told),
        clocks=told.clocks,
        course=told.course,
        detection=detection(facts),
        techniques=techniques(facts),
        response=response(facts),
        approvals=told.asked,
        tasks=told.tasks,
        questions=questions(told.asked),
        waits=waits(facts),
        loops=told.loops,
        called=told.called,
        interventions=interventions(facts),
        attention=attention(facts),
        policy=policy(facts),
        effects=told.changes,
        residual=tuple(e.number for e in told.changes if e.in_place),
        evidence=evidence(facts),
        indicators=indicators(facts),
        timeline=_timeline(facts),
        gaps=gaps(facts, chain, told),
        notes=tuple(
            NoteRow(seq=entry.seq, time=entry.time, author=who(entry), text=event.text)
            for entry, event in facts.of(NoteAdded)
        ),
        human=tuple(HumanSection(id=i, title=title, question=question) for i, title, question in HUMAN),
        appendix=_appendix(incident, playbook_text),
    )


def _chain(incident: Incident, timeline: Sequence[TimelineEntry]) -> ChainCheck:
    problem = ""
    try:
        verify_chain(timeline, incident.id)
    except ChainBroken as broken:
        problem = str(broken)
    return ChainCheck(
        verified=not problem, problem=problem, entries=len(timeline), head_hash=timeline[-1].hash
    )


def _cover(incident: Incident, timeline: Sequence[TimelineEntry], chain: ChainCheck) -> Cover:
    return Cover(
        incident_id=incident.id,
        title=incident.title,
        severity=incident.severity.label,
        assignee=incident.assignee_name or incident.assignee,
        parent=incident.parent,
        status=incident.status,
        phase=incident.phase,
        account=incident.account,
        region=incident.region,
        playbook=incident.playbook,
        playbook_digest=incident.playbook_digest,
        correlation_key=incident.correlation_key,
        workflow_id=incident.workflow_id,
        run_id=incident.run_id,
        opened_at=incident.opened_at,
        detected_at=incident.detected_at,
        first_activity_at=incident.first_activity_at,
        closed_at=incident.closed_at,
        closed_reason=incident.closed_reason,
        generated_from_entry=timeline[-1].seq,
        generated_from_time=timeline[-1].time,
        chain=chain,
    )


def _timeline(facts: Facts) -> tuple[TimelineRow, ...]:
    return tuple(
        TimelineRow(
            seq=entry.seq,
            time=entry.time,
            phase=entry.phase,
            kind=entry.kind,
            actor_kind=entry.actor.kind,
            actor=who(entry),
            automatic=entry.actor.kind is not ActorKind.PERSON,
            summary=entry.summary,
            evidence=tuple(e.digest for e in entry.evidence),
            hash=entry.hash,
            readable=event is not None,
        )
        for entry, event in facts.events
    )


def _appendix(incident: Incident, playbook_text: str | None) -> Appendix:
    matches = None
    if playbook_text is not None:
        matches = digest_of(playbook_text.encode()) == incident.playbook_digest
    return Appendix(
        playbook=incident.playbook,
        playbook_digest=incident.playbook_digest,
        playbook_text=playbook_text,
        playbook_text_matches=matches,
        genesis=genesis(incident.id),
        how_to_verify=(
            "Export the incident's timeline as JSON. Each entry holds the hash of the entry before it (prev_hash) and "
            "its own (hash).",
            f"The first entry's prev_hash is the SHA-256 of the text “soar timeline {incident.id}”.",
            "Take an entry, leave out the field hash, and write it as JSON in UTF-8 with sorted keys and without white "
            "space. The SHA-256 of that is the entry's hash.",
            "Every entry's prev_hash is the hash of the entry before it, numbers rise by one, and the last hash is the "
            "head hash on the cover. A changed, missing or moved entry breaks this.",
            "A piece of evidence is found in the vault by its SHA-256; hash what you were given and compare it with "
            "the register.",
            f"The phases are, in order: {', '.join(p.label for p in Phase)}.",
        ),
    )
