"""The report as a whole, with the record that it rests on."""

from __future__ import annotations

from pydantic import Field

from soar.model.base import Digest, Fact, UtcTime
from soar.model.terms import Phase
from soar.model.timeline import ActorKind
from soar.reports.sections.changes import EffectRow
from soar.reports.sections.course import ClockRow, Course
from soar.reports.sections.decisions import ApprovalRow, AttentionRow, PolicyRow
from soar.reports.sections.flow import CalledRow, LoopRow, WaitRow
from soar.reports.sections.overview import Cover, Gap, Metric, Summary
from soar.reports.sections.people import InterventionRow, QuestionRow, TaskRow
from soar.reports.sections.response import PhaseSection
from soar.reports.sections.subject import AlertRow, EvidenceRow, Impact, IndicatorRow, TechniqueRow

__all__ = ["SCHEMA_VERSION", "Appendix", "HumanSection", "NoteRow", "Report", "TimelineRow"]

SCHEMA_VERSION = "1"
"""Raised when a reader of the JSON has to change."""


class TimelineRow(Fact):
    """One entry of the timeline. `readable`: its content is an event of the known kind."""

    seq: int
    time: UtcTime
    phase: Phase | None
    kind: str
    actor_kind: ActorKind
    actor: str
    automatic: bool
    summary: str
    evidence: tuple[Digest, ...]
    hash: Digest
    readable: bool


class NoteRow(Fact):
    """What a person wrote down during the response."""

    seq: int
    time: UtcTime
    author: str
    text: str


class HumanSection(Fact):
    """A part that only people can write. `text` is null as long as nobody has."""

    id: str
    title: str
    question: str
    text: str | None = None


class Appendix(Fact):
    """What it takes to check this report.

    Args:
        playbook_text_matches: The text's SHA-256 is the playbook's digest; null where the text was not at hand.
    """

    playbook: str
    playbook_digest: Digest
    playbook_text: str | None
    playbook_text_matches: bool | None
    genesis: Digest
    how_to_verify: tuple[str, ...]


class Report(Fact):
    """The post-incident report. It holds no clock and no chance: the same timeline gives the same report."""

    schema_version: str = SCHEMA_VERSION
    cover: Cover
    summary: Summary
    impact: Impact
    metrics: tuple[Metric, ...]
    clocks: tuple[ClockRow, ...]
    course: Course
    detection: tuple[AlertRow, ...]
    techniques: tuple[TechniqueRow, ...]
    response: tuple[PhaseSection, ...]
    approvals: tuple[ApprovalRow, ...]
    tasks: tuple[TaskRow, ...]
    questions: tuple[QuestionRow, ...]
    waits: tuple[WaitRow, ...]
    loops: tuple[LoopRow, ...]
    called: tuple[CalledRow, ...]
    interventions: tuple[InterventionRow, ...]
    attention: tuple[AttentionRow, ...]
    policy: tuple[PolicyRow, ...]
    effects: tuple[EffectRow, ...]
    residual: tuple[int, ...] = Field(
        description="numbers of the effects that are, or may be, still in place"
    )
    evidence: tuple[EvidenceRow, ...]
    indicators: tuple[IndicatorRow, ...]
    timeline: tuple[TimelineRow, ...]
    gaps: tuple[Gap, ...]
    notes: tuple[NoteRow, ...]
    human: tuple[HumanSection, ...]
    appendix: Appendix
