"""Failures and gaps: all that failed, was not done, is not proven or is not known."""

from __future__ import annotations

from soar.model.change import EffectStatus
from soar.model.events import AlertJoined, StepDenied, StepFailed, StepNeedsAttention, StepSkipped
from soar.model.people import ApprovalStatus, Decision
from soar.model.timeline import TimelineEntry
from soar.reports.containment import containment
from soar.reports.course_gaps import course_gaps
from soar.reports.facts import Facts
from soar.reports.sections import ApprovalRow, ChainCheck, EffectRow, Gap, GapKind
from soar.reports.summary import IN_PLACE_WORDS, count
from soar.reports.told import Told

__all__ = ["gaps"]


def gaps(facts: Facts, chain: ChainCheck, told: Told) -> tuple[Gap, ...]:
    """Failures and gaps, in the order of the timeline; what has no entry comes first."""
    found: list[Gap] = []
    if not chain.verified:
        found.append(Gap(kind="chain", text=chain.problem))
    contained = containment(facts, told.changes)
    if contained.state != "verified":
        found.append(Gap(kind="not_contained", text=contained.statement, seq=contained.seq))
    if facts.incident.first_activity_at is None:
        found.append(
            Gap(kind="unknown", text="When the malicious activity began is not known: no alert tells it.")
        )
    for entry, event in facts.events:
        if event is None:
            text = f"An entry of kind {entry.kind} could not be read, and is not counted in this report."
            found.append(Gap(kind="unknown", text=text, seq=entry.seq))
        else:
            found.extend(_step_gaps(facts, entry, event))
    for approval in told.asked:
        found.extend(_approval_gaps(approval))
    for effect in told.changes:
        found.extend(_effect_gaps(effect))
    found.extend(course_gaps(facts, told))
    if not facts.incident.status.ended:
        text = (
            f"The incident had not ended when this report was generated, at entry {facts.timeline[-1].seq}."
        )
        found.append(Gap(kind="unfinished", text=text, seq=facts.timeline[-1].seq))
    return tuple(sorted(found, key=lambda g: g.seq or 0))


def _step_gaps(facts: Facts, entry: TimelineEntry, event: object) -> list[Gap]:
    kind: GapKind
    match event:
        case StepFailed() | StepNeedsAttention():
            error = event.error
            missing = f" Missing permission: {error.permission}." if error.permission else ""
            message = error.message.rstrip(".")
            text = f"“{facts.step_name(event.step_id)}” failed: {message}.{missing}"
            kind = "failed"
        case StepDenied():
            why = f": {event.reason.rstrip('.')}" if event.reason else ""
            text, kind = (
                f"“{facts.step_name(event.step_id)}” was not approved{why}. Nothing was changed by it.",
                "denied",
            )
        case StepSkipped():
            name = event.name or facts.step_name(event.step_id)
            text, kind = (
                f"“{name}” was skipped: {event.reason.rstrip('.') or 'no reason recorded'}.",
                "skipped",
            )
        case AlertJoined() if event.after_containment:
            text, kind = "An alert joined after containment was verified.", "late_alert"
        case _:
            return []
    return [Gap(kind=kind, text=text, seq=entry.seq)]


def _approval_gaps(approval: ApprovalRow) -> list[Gap]:
    name, seq = approval.step_name, approval.closed_seq or approval.opened_seq
    found = [
        Gap(
            kind="refused",
            text=f"{r.responder} tried to {r.decision} “{name}” and was refused: {r.reason.rstrip('.')}.",
            seq=r.seq,
        )
        for r in approval.refusals
    ]
    against = sum(v.decision is Decision.DENY for v in approval.votes)
    words: dict[ApprovalStatus, tuple[GapKind, str]] = {
        ApprovalStatus.DENIED: ("denied", f"was denied by {count(against, 'vote')}"),
        ApprovalStatus.EXPIRED: (
            "expired",
            f"expired with {count(len(approval.votes), 'vote')} of {approval.needed}",
        ),
        ApprovalStatus.SUPERSEDED: ("superseded", "was void: the target changed after people were asked"),
        ApprovalStatus.CANCELLED: ("cancelled", "was withdrawn"),
        ApprovalStatus.PENDING: ("undecided", "had no outcome yet"),
    }
    if approval.question:
        # No is an answer.
        words.pop(ApprovalStatus.DENIED)
    if approval.status in words:
        kind, text = words[approval.status]
        if approval.status is ApprovalStatus.SUPERSEDED and approval.outcome_reason:
            text = f"was void: {approval.outcome_reason.rstrip('.')}"
        subject = "question" if approval.question else "approval of"
        found.append(Gap(kind=kind, text=f"The {subject} “{name}” {text}.", seq=seq))
    if approval.shown is None or not approval.shown.digest_matches:
        text = f"The digest of the plan that was shown for “{name}” could not be confirmed from the record."
        found.append(Gap(kind="unknown", text=text, seq=approval.opened_seq))
    return found


def _effect_gaps(effect: EffectRow) -> list[Gap]:
    name, at = effect.step_name, effect.started_seq
    match effect.status:
        case EffectStatus.UNVERIFIED:
            seen = effect.verification.seen.rstrip(".") if effect.verification else "nothing"
            seq = effect.verification.seq if effect.verification else at
            return [
                Gap(kind="not_verified", text=f"The change of “{name}” is not verified: {seen}.", seq=seq)
            ]
        case EffectStatus.APPLIED:
            text = f"The change of “{name}” is not verified: no independent read is on record."
            return [Gap(kind="not_verified", text=text, seq=at)]
        case EffectStatus.APPLYING | EffectStatus.FAILED:
            return [
                Gap(kind="in_doubt", text=f"The change of “{name}”: {IN_PLACE_WORDS[effect.status]}.", seq=at)
            ]
        case EffectStatus.UNDO_REFUSED:
            why = effect.undo.error.message if effect.undo and effect.undo.error else "no reason recorded"
            seq = effect.undo.seq if effect.undo else at
            return [Gap(kind="undo_failed", text=f"“{name}” was not put back: {why.rstrip('.')}.", seq=seq)]
        case EffectStatus.UNDONE if effect.undo and not effect.undo.restored:
            left = effect.undo.seen.rstrip(".") or "the recorded state was not found"
            text = f"“{name}” was put back, but not to the very state recorded before: {left}."
            return [Gap(kind="undo_failed", text=text, seq=effect.undo.seq)]
        case _:
            return []
