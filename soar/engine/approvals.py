"""The rules of a vote: pure functions of an approval and a request.

The facts about the person (identity, roles) are those of the moment, brought by the caller; everything about the
plan comes from the workflow.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from soar.engine.messages import VoteRequest
from soar.model.base import Fact
from soar.model.people import Approval, ApprovalStatus, Decision, Responder, Vote

__all__ = ["Counted", "Refused", "Repeated", "judge", "outcome", "role_refusal"]


class Counted(Fact):
    """The vote counts."""

    vote: Vote


class Repeated(Fact):
    """The person has already said this; saying it again changes nothing."""

    message: str


class Refused(Fact):
    """The vote does not count, and the attempt goes on record."""

    message: str


def role_refusal(responder: Responder, roles: tuple[str, ...], excluded: Mapping[str, str]) -> str:
    """Why a person may not decide, in words; empty if the person may.

    Args:
        roles: One of them is needed.
        excluded: Responder id → why this person may not, whatever the roles.
    """
    if not roles:
        return "nobody may decide this: no policy names a role for it"
    if not set(responder.roles) & set(roles):
        held = ", ".join(responder.roles) or "none"
        return f"this takes the role {' or '.join(roles)}; yours: {held}"
    if responder.id in excluded:
        return f"you may not decide this one: {excluded[responder.id]}"
    return ""


def judge(approval: Approval, request: VoteRequest, now: datetime) -> Counted | Repeated | Refused:
    """Decide whether a vote counts.

    One person has one vote. Somebody who approved may still deny while the approval is open: stopping is never
    harder than going on.
    """
    person = request.responder
    if approval.status is not ApprovalStatus.PENDING:
        return Refused(message=f"this approval is {approval.status.value}; nothing was changed by your click")
    if now >= approval.expires_at:
        return Refused(message="this approval has expired")
    if not approval.plan_digest.startswith(request.plan_digest_prefix):
        return Refused(
            message="you decided about another plan than the one that is open now; look at it again"
        )
    if refusal := role_refusal(person, approval.roles, approval.excluded):
        return Refused(message=refusal)
    earlier = [v.decision for v in approval.votes if v.responder == person.id]
    if request.decision in earlier:
        return Repeated(message=f"your vote ({request.decision.value}) is already counted")
    return Counted(
        vote=Vote(
            responder=person.id,
            name=person.name,
            decision=request.decision,
            plan_digest=approval.plan_digest,
            time=now,
            channel=request.channel,
            reason=request.reason,
        )
    )


def outcome(approval: Approval) -> ApprovalStatus:
    """What the votes so far amount to: one denial denies; approval takes as many people as are needed."""
    if any(v.decision is Decision.DENY for v in approval.votes):
        return ApprovalStatus.DENIED
    voters = {v.responder for v in approval.votes if v.decision is Decision.APPROVE}
    return ApprovalStatus.APPROVED if len(voters) >= approval.needed else ApprovalStatus.PENDING
