"""The decisions ledger: what people were asked, what they were shown, what they said, who was refused."""

from __future__ import annotations

from soar.model.change import Plan
from soar.model.events import (
    ApprovalReminded,
    AttentionResolved,
    PolicyDecided,
    RefusalRecorded,
    StepNeedsAttention,
    VoteCast,
)
from soar.model.timeline import TimelineEntry
from soar.reports.facts import Facts, OpenedApproval, milliseconds, who
from soar.reports.sections import ApprovalRow, AttentionRow, PlanShown, PolicyRow, RefusalRow, VoteRow

__all__ = ["QUESTION", "approvals", "attention", "policy", "refusal_row"]

QUESTION = "approve"
"""The action of the plan that a question to people is bound to."""


def approvals(facts: Facts) -> tuple[ApprovalRow, ...]:
    """Every approval in the order it was opened, whatever came of it."""
    votes: dict[str, list[VoteRow]] = {}
    for entry, event in facts.of(VoteCast):
        opened = facts.approvals.get(event.approval_id)
        vote = event.vote
        votes.setdefault(event.approval_id, []).append(
            VoteRow(
                seq=entry.seq,
                time=vote.time,
                responder=vote.responder,
                name=vote.name,
                decision=vote.decision,
                channel=vote.channel,
                reason=vote.reason,
                plan_digest=vote.plan_digest,
                matches=opened is not None and vote.plan_digest == opened.event.plan_digest,
            )
        )
    reminders: dict[str, int] = {}
    for _, reminded in facts.of(ApprovalReminded):
        reminders[reminded.approval_id] = reminders.get(reminded.approval_id, 0) + 1
    refused = _refusals(facts)
    return tuple(
        _approval(facts, asked, tuple(votes.get(id_, ())), tuple(refused.get(id_, ())), reminders.get(id_, 0))
        for id_, asked in facts.approvals.items()
    )


def _approval(
    facts: Facts,
    asked: OpenedApproval,
    votes: tuple[VoteRow, ...],
    refusals: tuple[RefusalRow, ...],
    reminders: int,
) -> ApprovalRow:
    event, opened, closed = asked.event, asked.opened, asked.closed
    return ApprovalRow(
        id=event.approval_id,
        question=asked.plan is not None and asked.plan.action == QUESTION,
        step_id=event.step_id,
        step_name=facts.step_name(event.step_id),
        status=asked.status,
        outcome_reason=asked.reason,
        needed=event.needed,
        roles=event.roles,
        why=event.why,
        excluded=event.excluded,
        opened_at=opened.time,
        opened_seq=opened.seq,
        expires_at=event.expires_at,
        closed_at=closed.time if closed else None,
        closed_seq=closed.seq if closed else None,
        milliseconds=milliseconds(opened.time, closed.time) if closed else None,
        reminders=reminders,
        votes=votes,
        refusals=refusals,
        supersedes=event.supersedes,
        drift=event.drift,
        shown=None if asked.plan is None else _shown(asked.plan, event.plan_digest, asked.playbook_digest),
    )


def _shown(plan: Plan, digest: str, playbook_digest: str) -> PlanShown:
    return PlanShown(
        action=plan.action,
        summary=plan.summary,
        account=plan.account,
        region=plan.region,
        params=plan.params,
        targets=plan.targets,
        changes=plan.changes,
        blast_radius=plan.blast_radius,
        warnings=plan.warnings,
        undo=plan.undo,
        digest=digest,
        digest_matches=plan.digest(playbook_digest) == digest,
    )


def _refusals(facts: Facts) -> dict[str, list[RefusalRow]]:
    """By the approval or step that somebody tried to decide."""
    rows: dict[str, list[RefusalRow]] = {}
    for entry, event in facts.of(RefusalRecorded):
        rows.setdefault(event.subject, []).append(refusal_row(entry, event))
    return rows


def refusal_row(entry: TimelineEntry, event: RefusalRecorded) -> RefusalRow:
    """Somebody tried to do something and was not allowed to."""
    return RefusalRow(
        seq=entry.seq,
        time=entry.time,
        subject=event.subject,
        responder=event.responder,
        decision=event.decision,
        reason=event.reason,
    )


def attention(facts: Facts) -> tuple[AttentionRow, ...]:
    """The failed steps that people were asked about."""
    rows: list[AttentionRow] = []
    open_: dict[str, int] = {}
    for entry, event in facts.events:
        match event:
            case StepNeedsAttention():
                open_[event.step_id] = len(rows)
                rows.append(
                    AttentionRow(
                        seq=entry.seq,
                        time=entry.time,
                        step_id=event.step_id,
                        step_name=facts.step_name(event.step_id),
                        error=event.error,
                        roles=event.roles,
                        decision=None,
                        decided_by="",
                        decided_at=None,
                        decided_seq=None,
                        reason="",
                        refusals=(),
                    )
                )
            case RefusalRecorded() if event.subject in open_:
                row = rows[open_[event.subject]]
                refusals = (*row.refusals, refusal_row(entry, event))
                rows[open_[event.subject]] = row.model_copy(update={"refusals": refusals})
            case AttentionResolved() if event.step_id in open_:
                index = open_.pop(event.step_id)
                rows[index] = rows[index].model_copy(
                    update={
                        "decision": event.decision,
                        "decided_by": who(entry),
                        "decided_at": entry.time,
                        "decided_seq": entry.seq,
                        "reason": event.reason,
                    }
                )
            case _:
                pass
    return tuple(rows)


def policy(facts: Facts) -> tuple[PolicyRow, ...]:
    """What the policy said of each plan."""
    return tuple(
        PolicyRow(
            seq=entry.seq,
            time=entry.time,
            step_id=event.step_id,
            step_name=facts.step_name(event.step_id),
            outcome=event.outcome,
            rule=event.rule,
            policy_digest=event.policy_digest,
        )
        for entry, event in facts.of(PolicyDecided)
    )
