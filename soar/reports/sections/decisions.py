"""What people and the policy were asked, and what they said."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, JsonValue

from soar.model.base import Digest, Fact, UtcTime
from soar.model.change import BlastRadius, Change, ErrorInfo, Target
from soar.model.people import ApprovalStatus, Decision, VoteChannel

__all__ = ["ApprovalRow", "AttentionRow", "PlanShown", "PolicyRow", "RefusalRow", "VoteRow"]


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
    """People were asked about one plan: who, what was shown to them, and the outcome.

    Args:
        question: The playbook asks something; nothing is changed by the answer itself. See `questions`.
    """

    id: str
    question: bool
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
