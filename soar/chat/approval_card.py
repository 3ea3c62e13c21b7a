"""The card that asks people about one plan, in every state from `pending` to `undone`."""

from __future__ import annotations

import json
from enum import StrEnum

from pydantic import JsonValue

from soar.chat.cards import Links
from soar.chat.message import (
    Block,
    Message,
    button,
    context,
    fields_line,
    fit,
    header,
    lines_of,
    prose,
    section,
)
from soar.chat.text import clean, code, shorten, slack_date
from soar.model.change import Effect, EffectStatus
from soar.model.incident import Incident
from soar.model.people import Approval, ApprovalStatus, Decision
from soar.model.terms import Risk, StepStatus

__all__ = ["ApprovalState", "approval_card", "approval_state"]

MAX_TARGETS = 5
MAX_CHANGES = 12


class ApprovalState(StrEnum):
    """Where an approval and what it allowed stand: what the card shows."""

    PENDING = "pending"
    PARTIAL = "partially approved"
    APPROVED = "approved"
    EXECUTING = "executing"
    SUCCEEDED = "succeeded"
    UNVERIFIED = "unverified"
    FAILED = "failed"
    UNDONE = "undone"
    DENIED = "denied"
    EXPIRED = "expired"
    SUPERSEDED = "superseded"
    CANCELLED = "cancelled"


_TITLES = {
    ApprovalState.PENDING: "✋ Approval needed",
    ApprovalState.PARTIAL: "✋ Approval needed: more people must agree",
    ApprovalState.APPROVED: "🗳️ Approved: not begun yet",
    ApprovalState.EXECUTING: "⏳ Approved: being carried out, not verified yet",
    ApprovalState.SUCCEEDED: "✅ Done and verified",
    ApprovalState.UNVERIFIED: "⚠️ Done, but not verified",
    ApprovalState.FAILED: "⛔ Approved, but it failed",
    ApprovalState.UNDONE: "↩️ Done and put back",
    ApprovalState.DENIED: "⛔ Denied: nothing was changed",
    ApprovalState.EXPIRED: "⌛ Expired without a decision: nothing was changed",
    ApprovalState.SUPERSEDED: "♻️ Replaced: the target changed, these votes are void",
    ApprovalState.CANCELLED: "⛔ Cancelled: nothing was changed",
}
_RISK = {
    Risk.READ: "read only",
    Risk.REVERSIBLE: "reversible",
    Risk.DISRUPTIVE: "disruptive",
    Risk.DESTRUCTIVE: "destructive: cannot be put back",
}


def _effect(incident: Incident, approval: Approval) -> Effect | None:
    effect = incident.effects.get(approval.step_id)
    layers = effect.layers if effect is not None else []
    # The same plan can be tried twice: what this approval allowed did not begin before it closed.
    began = approval.closed_at or approval.opened_at
    return next((e for e in layers if e.plan_digest == approval.plan_digest and e.started_at >= began), None)


def approval_state(incident: Incident, approval: Approval) -> ApprovalState:
    """Work out what to show: the approval's own outcome, then the fate of what it allowed."""
    if approval.status is ApprovalStatus.PENDING:
        return ApprovalState.PARTIAL if approval.approvals else ApprovalState.PENDING
    if approval.status is not ApprovalStatus.APPROVED:
        return ApprovalState(approval.status.value)
    effect = _effect(incident, approval)
    if effect is None:
        step = incident.steps.get(approval.step_id)
        broken = step is not None and step.status in (StepStatus.FAILED, StepStatus.ATTENTION)
        return ApprovalState.FAILED if broken else ApprovalState.APPROVED
    return {
        EffectStatus.APPLYING: ApprovalState.EXECUTING,
        EffectStatus.APPLIED: ApprovalState.EXECUTING,
        EffectStatus.VERIFIED: ApprovalState.SUCCEEDED,
        EffectStatus.UNVERIFIED: ApprovalState.UNVERIFIED,
        EffectStatus.FAILED: ApprovalState.FAILED,
        EffectStatus.NOT_APPLIED: ApprovalState.FAILED,
        EffectStatus.UNDONE: ApprovalState.UNDONE,
        EffectStatus.UNDO_REFUSED: ApprovalState.SUCCEEDED
        if effect.verified_at
        else ApprovalState.UNVERIFIED,
    }[effect.status]


def approval_card(incident: Incident, approval: Approval, links: Links) -> Message:
    """What exactly will be done and to what, why now, what it may cost, who may decide, and what became of it."""
    state = approval_state(incident, approval)
    pending = approval.status is ApprovalStatus.PENDING
    head = [header(_TITLES[state]), prose(approval.plan.summary, 600)]
    outcome = _outcome(incident, approval, state)
    body = [*outcome, *_difference(approval)]
    if pending:
        body += [*_cost(incident, approval), *_why(incident, approval)]
    body += _votes(approval)
    if approval.supersedes and approval.drift and pending:
        body.insert(0, section("*The target changed since the last question; the earlier votes are void:*"))
        body[1:1] = [prose(line, 300) for line in approval.drift[:5]]
    return fit(
        f"{_TITLES[state]}: {approval.plan.summary}", head, body, _foot(approval, links, pending=pending)
    )


def _value(value: JsonValue) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
    return code(text, 160)


def _difference(approval: Approval) -> list[Block]:
    plan = approval.plan
    shown = [f"• {code(t.name or t.uid, 200)}  {code(t.type, 60)}" for t in plan.targets[:MAX_TARGETS]]
    left = len(plan.targets) - MAX_TARGETS
    if left > 0:
        shown.append(f"and {left} more: the whole list is in the console")
    where = " ".join(code(part, 40) for part in (plan.account, plan.region) if part)
    title = f"*Targets*: {len(plan.targets)}" + (f" in account {where}" if plan.account else "")
    blocks = [section("\n".join([title, *shown]))] if plan.targets else []
    lines, room = [], 2_600
    for change in plan.changes[:MAX_CHANGES]:
        what = f"{code(change.target, 120)} {code(change.field, 80)}"
        line = f"{what}\n      {_value(change.before)} → {_value(change.after)}"
        room -= len(line)
        if room < 0:
            break
        lines.append(line)
    hidden = len(plan.changes) - len(lines)
    if hidden:
        lines.append(f"and {hidden} more changes: the whole difference is in the console")
    if lines:
        blocks.append(section("*Exact change*\n" + "\n".join(lines)))
    elif not plan.changes:
        blocks.append(section("*Exact change*\nnone: the target is already as wanted"))
    return blocks


def _cost(incident: Incident, approval: Approval) -> list[Block]:
    plan, step = approval.plan, incident.steps.get(approval.step_id)
    # Each fact is made one line first: a line break of its own could forge another.
    hit = [f"💥 Blast radius: {clean(plan.blast_radius.summary) or 'not known'}"]
    hit += [f"    • {clean(fact)}" for fact in plan.blast_radius.facts[:6]]
    blocks = [section(f"*Risk*: {_RISK[step.risk] if step is not None else 'unknown'}"), lines_of(hit, 1_200)]
    blocks += [prose(f"⚠️ {warning}", 300) for warning in plan.warnings[:4]]
    blocks.append(prose(f"↩️ Put back: {plan.undo}" if plan.undo else "⚠️ It cannot be put back.", 400))
    return blocks


def _why(incident: Incident, approval: Approval) -> list[Block]:
    blocks: list[Block] = []
    if incident.alerts:
        alert = incident.alerts[-1]
        count = f" ({incident.alert_count} alerts)" if incident.alert_count > 1 else ""
        blocks.append(prose(f"🚨 Why now: {shorten(clean(alert.title), 400)}{count}", 450))
        seen = [o.value for o in alert.observables[:6]]
        if seen:
            blocks.append(
                context(f"{code(alert.rule or alert.source, 120)} · seen: {fields_line(seen, 600)}")
            )
    if incident.evidence:
        blocks.append(context(f"Evidence: {fields_line([e.name for e in incident.evidence], 500, 60)}"))
    if approval.why:
        blocks.append(prose(f"👤 Why a person is asked: {approval.why}", 350))
    return blocks


def _votes(approval: Approval) -> list[Block]:
    lines = []
    for vote in approval.votes[-8:]:
        mark = "👍" if vote.decision is Decision.APPROVE else "👎"
        reason = f" {code(vote.reason, 160)}" if vote.reason else ""
        lines.append(f"{mark} {code(vote.name, 60)} {slack_date(vote.time)} by {vote.channel.value}{reason}")
    tally = f"*Votes*: {approval.approvals} of {approval.needed} needed"
    if approval.refusals:
        tally += f" · {approval.refusals} refused"
    return [section("\n".join([tally, *lines]))]


def _outcome(incident: Incident, approval: Approval, state: ApprovalState) -> list[Block]:
    blocks: list[Block] = []
    effect = _effect(incident, approval)
    if state is ApprovalState.SUPERSEDED:
        newer = next((a for a in incident.approvals.values() if a.supersedes == approval.id), None)
        drift = newer.drift if newer is not None else approval.drift
        blocks.append(section("*What changed in the meantime*"))
        blocks += [prose(line, 300) for line in drift[:6]] or [prose("see the console", 100)]
    elif effect is not None and effect.status is EffectStatus.UNDO_REFUSED:
        blocks.append(section("*Putting it back was refused*"))
        blocks.append(prose(effect.error.message if effect.error else "see the console", 400))
    elif state in (ApprovalState.SUCCEEDED, ApprovalState.UNVERIFIED) and effect and effect.verification:
        seen = effect.verification
        blocks.append(section(f"*Seen by an independent read* {code(seen.method, 120)}"))
        blocks.append(prose(seen.seen, 400))
    elif state is ApprovalState.UNDONE and effect is not None and effect.undone_at is not None:
        blocks.append(section(f"*Put back* {slack_date(effect.undone_at)}"))
    elif state is ApprovalState.FAILED:
        step = incident.steps.get(approval.step_id)
        error = effect.error if effect is not None and effect.error else (step.error if step else None)
        if error is not None:
            blocks.append(section("*What happened*"))
            blocks.append(prose(error.message, 600))
        nothing = effect is None or effect.status is EffectStatus.NOT_APPLIED
        blocks.append(
            context("Nothing was changed." if nothing else "⚠️ A part of the change may be in place.")
        )
    return blocks


def _foot(approval: Approval, links: Links, *, pending: bool) -> list[Block]:
    foot: list[Block] = []
    console = Links(console=links.console).buttons()
    if pending:
        decide = [
            button("Approve", "vote.approve", approval.id, style="primary"),
            button("Deny", "vote.deny", approval.id, style="danger"),
        ]
        foot.append({"type": "actions", "elements": [*decide, *console]})
    elif console:
        foot.append({"type": "actions", "elements": console})
    small = [f"plan {code(approval.plan_digest[:12], 20)}"]
    if pending:
        roles = ", ".join(code(role, 60) for role in approval.roles[:8])
        who = f"May decide: {roles}" if roles else "⚠️ Nobody may decide: the policy names no role"
        small = [who, f"expires {slack_date(approval.expires_at)}: expiry is not a yes", *small]
    elif approval.closed_at is not None:
        small.insert(0, f"decided {slack_date(approval.closed_at)}")
    foot.append(context(*small))
    return foot
