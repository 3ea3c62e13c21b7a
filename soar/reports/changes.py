"""Every change that was begun: what, on what authority, with what proof, until when."""

from __future__ import annotations

from soar.model.change import EffectStatus
from soar.model.events import VoteCast
from soar.model.people import ApprovalStatus, Decision
from soar.reports.facts import Facts, Layer
from soar.reports.sections import EffectRow

__all__ = ["effects"]


def effects(facts: Facts) -> tuple[EffectRow, ...]:
    """Every change that was begun, oldest first, numbered from 1."""
    return tuple(_effect(facts, number, layer) for number, layer in enumerate(facts.layers, start=1))


def _effect(facts: Facts, number: int, layer: Layer) -> EffectRow:
    plan = layer.plan
    return EffectRow(
        number=number,
        step_id=layer.step_id,
        step_name=facts.step_name(layer.step_id),
        phase=layer.phase,
        action=plan.action if plan else "",
        summary=plan.summary if plan else "",
        account=plan.account if plan else "",
        region=plan.region if plan else "",
        targets=plan.targets if plan else (),
        changes=plan.changes if plan else (),
        plan_digest=layer.plan_digest,
        status=layer.status,
        in_place=layer.status.in_place,
        approved_by=_approved_by(facts, layer),
        started_at=layer.started.time,
        started_seq=layer.started.seq,
        applied_at=layer.applied.time if layer.applied else None,
        applied_seq=layer.applied.seq if layer.applied else None,
        result=layer.result,
        verification=layer.verification,
        error=None if layer.status is EffectStatus.VERIFIED else layer.error,
        expires_at=layer.expiry[-1].expires_at if layer.expiry else None,
        expiry=tuple(layer.expiry),
        kept_by=_kept_by(layer),
        undo_described=plan.undo if plan else "",
        undo=layer.undo,
    )


def _approved_by(facts: Facts, layer: Layer) -> tuple[str, ...]:
    """The people whose approving votes on this very digest stand before the change."""
    names: dict[str, None] = {}
    for entry, event in facts.of(VoteCast):
        asked = facts.approvals.get(event.approval_id)
        if (
            asked is not None
            and asked.status is ApprovalStatus.APPROVED
            and asked.event.step_id == layer.step_id
            and event.vote.plan_digest == layer.plan_digest
            and event.vote.decision is Decision.APPROVE
            and entry.seq < layer.started.seq
        ):
            names[event.vote.name or event.vote.responder] = None
    return tuple(names)


def _kept_by(layer: Layer) -> str:
    """Who decided that it stays, if that was the last word."""
    last = layer.expiry[-1] if layer.expiry else None
    return last.by if last is not None and last.expires_at is None else ""
