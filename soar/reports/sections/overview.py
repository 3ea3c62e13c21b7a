"""What leads the report: its cover, the summary, the metrics, the gaps."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from soar.model.base import Digest, Fact, UtcTime
from soar.model.terms import IncidentStatus, Phase

__all__ = [
    "ChainCheck",
    "Containment",
    "ContainmentState",
    "Cover",
    "Gap",
    "GapKind",
    "Metric",
    "Statement",
    "Summary",
]

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
    "task",
    "deadline",
    "round",
    "called",
    "expiry",
    "paused",
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
    assignee: str = Field(description="the responder in charge; empty: nobody")
    parent: str = Field(description="the incident whose playbook called this one's; empty: none")
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


class Metric(Fact):
    """The difference of two events.

    Args:
        limit_milliseconds: What a deadline of the playbook allows; null where none does.
        milliseconds: Null where one of the two did not happen; `why_missing` says which.
    """

    id: str
    label: str
    meaning: str
    milliseconds: int | None = None
    limit_milliseconds: int | None = None
    from_seq: int | None = None
    from_time: UtcTime | None = None
    to_seq: int | None = None
    to_time: UtcTime | None = None
    why_missing: str = ""


class Gap(Fact):
    """Something that failed, was not done, is not proven or is not known."""

    kind: GapKind
    text: str
    seq: int | None = None
