"""The types of the report: what it says, as data.

Texts are as they were recorded, an attacker's among them; the renderers make them harmless. A time is in UTC, a
duration in whole milliseconds, and `seq` is the number of the timeline entry that a statement rests on.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, JsonValue

from soar.model.alert import ObservableType
from soar.model.base import Digest, Fact, UtcTime
from soar.model.change import BlastRadius, Change, EffectStatus, ErrorInfo, Target
from soar.model.people import ApprovalStatus, Decision, VoteChannel
from soar.model.terms import AlertState, IncidentStatus, Phase, Risk, StepStatus
from soar.model.timeline import ActorKind

__all__ = [
    "SCHEMA_VERSION",
    "AlertRow",
    "Appendix",
    "ApprovalRow",
    "AttentionRow",
    "ChainCheck",
    "Containment",
    "ContainmentState",
    "Cover",
    "EffectRow",
    "EvidenceRow",
    "Gap",
    "GapKind",
    "HumanSection",
    "Impact",
    "ImpactResource",
    "IndicatorRow",
    "Metric",
    "NoteRow",
    "PhaseSection",
    "PlanShown",
    "PolicyRow",
    "RefusalRow",
    "Report",
    "Statement",
    "StepRow",
    "Summary",
    "TechniqueRow",
    "TimelineRow",
    "Undo",
    "VerificationRow",
    "VoteRow",
]

SCHEMA_VERSION = "1"
"""Raised when a reader of the JSON has to change."""

ContainmentState = Literal["verified", "undone", "unproven", "not_contained", "not_wanted", "no_steps"]
GapKind = Literal[
    "chain",
    "not_contained",
    "denied",
    "expired",
    "superseded",
    "cancelled",
    "failed",
    "skipped",
    "not_verified",
    "in_doubt",
    "undo_failed",
    "undecided",
    "unfinished",
    "refused",
    "late_alert",
    "unknown",
]


class ChainCheck(Fact):
    """Whether every entry's hash covers its content and the entry before it.

    Args:
        problem: Where the chain breaks, when it does.
        head_hash: The hash of the last entry, as the timeline has it.
    """

    verified: bool
    problem: str = ""
    entries: int = Field(ge=0)
    head_hash: Digest


class Cover(Fact):
    """What the report is about, and which state of the record it was generated from."""

    incident_id: str
    title: str
    severity: str
    status: IncidentStatus
    phase: Phase | None
    account: str
    region: str
    playbook: str
    playbook_digest: Digest
    correlation_key: str
    workflow_id: str
    run_id: str
    opened_at: UtcTime
    detected_at: UtcTime
    first_activity_at: UtcTime | None
    closed_at: UtcTime | None
    closed_reason: str
    generated_from_entry: int
    generated_from_time: UtcTime
    chain: ChainCheck


class Statement(Fact):
    """A sentence, and the entries that it rests on."""

    text: str
    seqs: tuple[int, ...] = ()


class Containment(Fact):
    """What may be said about containment, and no more.

    Args:
        state: `verified`: every containment change is proven by an independent read and still in place. `undone`: it
            was, and a part has been put back since. `unproven`: the steps ended, but a proof is missing.
            `not_wanted`: no
            containment change's condition held. `no_steps`: the playbook has none.
        at: When the last one was verified; only for `verified` and `undone`.
    """

    state: ContainmentState
    statement: str
    at: UtcTime | None = None
    seq: int | None = None
    reasons: tuple[Statement, ...] = ()


class Summary(Fact):
    """The executive summary."""

    containment: Containment
    statements: tuple[Statement, ...]
    open_points: tuple[Statement, ...]


class ImpactResource(Fact):
    """A resource that an alert names, or that a plan has as a target."""

    uid: str
    type: str
    name: str
    account: str
    region: str
    alerts: int = Field(ge=0, description="how many alerts name it")
    changed: bool = Field(description="a change to it was begun in this response")


class Impact(Fact):
    """What was touched, counted. How bad that is, people judge."""

    accounts: tuple[str, ...]
    regions: tuple[str, ...]
    principals: tuple[str, ...]
    resources: tuple[ImpactResource, ...]
    resource_types: dict[str, int]


class Metric(Fact):
    """The difference of two events.

    Args:
        milliseconds: Null where one of the two did not happen; `why_missing` says which.
    """

    id: str
    label: str
    meaning: str
    milliseconds: int | None = None
    from_seq: int | None = None
    from_time: UtcTime | None = None
    to_seq: int | None = None
    to_time: UtcTime | None = None
    why_missing: str = ""


class AlertRow(Fact):
    """An alert of the incident, one telling of it."""

    seq: int
    time: UtcTime
    joined_at: UtcTime
    source: str
    uid: str
    revision: str
    state: AlertState
    rule: str
    title: str
    description: str
    severity: str
    severity_original: str
    account: str
    region: str
    resources: tuple[str, ...]
    principal: str
    first_seen: UtcTime | None
    last_seen: UtcTime | None
    links: tuple[str, ...]
    raw_digest: Digest | None
    after_containment: bool


class TechniqueRow(Fact):
    """An ATT&CK technique that alerts name."""

    uid: str
    name: str
    tactic: str
    seqs: tuple[int, ...]


class StepRow(Fact):
    """A step that was reached, and how it ended.

    Args:
        decided_by: The policy rule that let it run by itself, or that asked for people.
        people: Who decided about it.
        automatic: Nobody was asked.
    """

    id: str
    name: str
    action: str
    risk: Risk
    status: StepStatus
    started_at: UtcTime
    started_seq: int | None
    ended_at: UtcTime | None
    ended_seq: int | None
    automatic: bool
    people: tuple[str, ...]
    decided_by: str
    result: str
    reason: str
    error: ErrorInfo | None


class PhaseSection(Fact):
    """One of the six phases."""

    phase: Phase
    label: str
    started_at: UtcTime | None
    started_seq: int | None
    ended_at: UtcTime | None
    ended_seq: int | None
    milliseconds: int | None
    steps: tuple[StepRow, ...]


class VoteRow(Fact):
    """A vote that counted. `matches`: it was cast on the digest of the plan that was shown."""

    seq: int
    time: UtcTime
    responder: str
    name: str
    decision: Decision
    channel: VoteChannel
    reason: str
    plan_digest: Digest
    matches: bool


class RefusalRow(Fact):
    """Somebody tried to decide and was not allowed to."""

    seq: int
    time: UtcTime
    subject: str
    responder: str
    decision: str
    reason: str


class PlanShown(Fact):
    """What the people who were asked had before them.

    Args:
        digest: What the votes are bound to.
        digest_matches: It was computed anew from the plan and the playbook's digest, and is the same.
    """

    action: str
    summary: str
    account: str
    region: str
    params: dict[str, JsonValue]
    targets: tuple[Target, ...]
    changes: tuple[Change, ...]
    blast_radius: BlastRadius
    warnings: tuple[str, ...]
    undo: str
    digest: Digest
    digest_matches: bool


class ApprovalRow(Fact):
    """A question to people about one plan: who was asked, what was shown, and the outcome."""

    id: str
    step_id: str
    step_name: str
    status: ApprovalStatus
    outcome_reason: str
    needed: int
    roles: tuple[str, ...]
    why: str
    excluded: dict[str, str]
    opened_at: UtcTime
    opened_seq: int
    expires_at: UtcTime
    closed_at: UtcTime | None
    closed_seq: int | None
    milliseconds: int | None = Field(description="from opened to closed")
    reminders: int
    votes: tuple[VoteRow, ...]
    refusals: tuple[RefusalRow, ...]
    supersedes: str
    drift: tuple[str, ...]
    shown: PlanShown | None


class AttentionRow(Fact):
    """A failed step that people were asked about, and what they decided."""

    seq: int
    time: UtcTime
    step_id: str
    step_name: str
    error: ErrorInfo
    roles: tuple[str, ...]
    decision: Literal["retry", "skip", "stop"] | None
    decided_by: str
    decided_at: UtcTime | None
    decided_seq: int | None
    reason: str
    refusals: tuple[RefusalRow, ...]


class PolicyRow(Fact):
    """What the policy said of a plan."""

    seq: int
    time: UtcTime
    step_id: str
    step_name: str
    outcome: Literal["automatic", "approval", "forbidden"]
    rule: str
    policy_digest: Digest | None


class VerificationRow(Fact):
    """What the independent read showed."""

    verified: bool
    seen: str
    method: str
    milliseconds: int
    time: UtcTime
    seq: int


class Undo(Fact):
    """A change was put back, or was refused to be.

    Args:
        restored: A new plan found the state that was recorded before the change.
    """

    done: bool
    restored: bool
    seen: str
    by: str
    time: UtcTime
    seq: int
    error: ErrorInfo | None = None


class EffectRow(Fact):
    """A change that was begun: what, on what authority, with what proof, and whether it is still in place."""

    number: int
    step_id: str
    step_name: str
    phase: Phase | None
    action: str
    summary: str
    account: str
    region: str
    targets: tuple[Target, ...]
    changes: tuple[Change, ...]
    plan_digest: Digest
    status: EffectStatus
    in_place: bool
    approved_by: tuple[str, ...]
    started_at: UtcTime
    started_seq: int
    applied_at: UtcTime | None
    applied_seq: int | None
    result: str
    verification: VerificationRow | None
    error: ErrorInfo | None
    undo_described: str
    undo: Undo | None


class EvidenceRow(Fact):
    """A piece of evidence in the vault, found there by its digest.

    Args:
        collected_at: Null for a raw alert payload, whose time of receipt the timeline does not hold.
    """

    digest: Digest
    size: int
    media_type: str
    name: str
    source: str
    collected_at: UtcTime | None
    recorded_at: UtcTime
    seq: int


class IndicatorRow(Fact):
    """An observable, as it was recorded. HTML and Markdown show it defanged."""

    type: ObservableType
    value: str
    seqs: tuple[int, ...]


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


class Gap(Fact):
    """Something that failed, was not done, is not proven or is not known."""

    kind: GapKind
    text: str
    seq: int | None = None


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
    detection: tuple[AlertRow, ...]
    techniques: tuple[TechniqueRow, ...]
    response: tuple[PhaseSection, ...]
    approvals: tuple[ApprovalRow, ...]
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
