"""Responders, approvals and votes."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from soar.model.base import Digest, Fact, State, UtcTime
from soar.model.change import Plan

__all__ = ["Approval", "ApprovalStatus", "Decision", "Responder", "Vote", "VoteChannel"]


class Responder(Fact):
    """A person, mapped from Slack, tokens and roster to one identity.

    Args:
        identities: The person's own cloud principals (ARNs, user names): a person who is implicated in an
            incident may not vote on it.
    """

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9._@-]*$")
    name: str
    email: str = ""
    slack: str = ""
    roles: tuple[str, ...] = ()
    identities: tuple[str, ...] = ()


class VoteChannel(StrEnum):
    """Where a vote was cast."""

    SLACK = "slack"
    CONSOLE = "console"
    API = "api"


class Decision(StrEnum):
    """What a vote says."""

    APPROVE = "approve"
    DENY = "deny"


class Vote(Fact):
    """One person's decision on the plan that this person saw."""

    responder: str
    name: str
    decision: Decision
    plan_digest: Digest
    time: UtcTime
    channel: VoteChannel
    reason: str = ""


class ApprovalStatus(StrEnum):
    """The one outcome that an approval reaches, or `pending`."""

    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"
    EXPIRED = "expired"
    SUPERSEDED = "superseded"  # the target drifted, so the votes are void
    CANCELLED = "cancelled"


class Approval(State):
    """A question to people about one plan digest.

    Args:
        id: Opaque; all that a button carries.
        needed: How many approving votes it takes, from different people.
        roles: A vote counts only from somebody who has one of these. Empty: nobody may decide.
        why: What decided that a person is asked: the policy rule, in words.
        excluded: Responder ids that may not vote (they started the incident, or are implicated), with the reason.
    """

    id: str
    step_id: str
    plan: Plan
    plan_digest: Digest
    status: ApprovalStatus = ApprovalStatus.PENDING
    needed: int = Field(ge=1)
    roles: tuple[str, ...] = ()
    why: str = ""
    excluded: dict[str, str] = {}
    opened_at: UtcTime
    expires_at: UtcTime
    remind_at: UtcTime | None = None
    reminders: int = 0
    closed_at: UtcTime | None = None
    votes: list[Vote] = []
    refusals: int = 0
    supersedes: str = ""
    drift: tuple[str, ...] = ()

    @property
    def approvals(self) -> int:
        """How many people have approved so far."""
        return sum(v.decision is Decision.APPROVE for v in self.votes)
