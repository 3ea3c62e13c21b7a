"""What may be said in a few sentences: containment, the summary, and all that is missing.

Nothing is called contained that an independent read has not shown to be.
"""

from __future__ import annotations

from collections.abc import Sequence

from soar.model.change import EffectStatus
from soar.model.events import (
    AlertJoined,
    StepDenied,
    StepFailed,
    StepNeedsAttention,
    StepSkipped,
    StepSucceeded,
)
from soar.model.incident import StepRecord
from soar.model.people import ApprovalStatus, Decision
from soar.model.terms import IncidentStatus, StepStatus
from soar.model.timeline import TimelineEntry
from soar.reports.facts import Facts
from soar.reports.sections import (
    ApprovalRow,
    ChainCheck,
    Containment,
    EffectRow,
    Gap,
    GapKind,
    Statement,
    Summary,
)

__all__ = ["IN_PLACE_WORDS", "containment", "gaps", "summary"]

IN_PLACE_WORDS = {
    EffectStatus.VERIFIED: "in place, verified",
    EffectStatus.APPLIED: "made by the service's reply, not verified",
    EffectStatus.APPLYING: "begun, outcome not known: it may be in place",
    EffectStatus.UNVERIFIED: "made by the service's reply, but the independent read did not show it",
    EffectStatus.FAILED: "failed part-way: a part of it may be in place",
    EffectStatus.NOT_APPLIED: "not made: nothing was changed",
    EffectStatus.UNDONE: "put back",
    EffectStatus.UNDO_REFUSED: "still in place: putting it back was refused or failed",
}


def containment(facts: Facts, changes: Sequence[EffectRow]) -> Containment:
    """What may be said about containment; see `Containment`."""
    incident = facts.incident
    if not incident.contains:
        return Containment(
            state="no_steps",
            statement="No containment is claimed: the playbook has no containment change.",
        )
    missing, lost = _unproven(facts, changes)
    if incident.contained_at is not None and not missing:
        seq = _contained_seq(facts)
        if lost:
            return Containment(
                state="undone",
                statement="Containment was verified, but what was verified was put back since, or may have changed.",
                at=incident.contained_at,
                seq=seq,
                reasons=lost,
            )
        return Containment(
            state="verified",
            statement="Containment was verified by independent reads.",
            at=incident.contained_at,
            seq=seq,
        )
    wanted = [s for s in incident.contains if not _not_wanted(incident.steps.get(s))]
    if not wanted:
        return Containment(
            state="not_wanted",
            statement="No containment is claimed: no containment change applied, by the playbook's conditions.",
        )
    if all((s := incident.steps.get(i)) is not None and s.status.achieved for i in wanted):
        return Containment(
            state="unproven",
            statement="Containment is not proven: a verification is missing from the record.",
            reasons=missing,
        )
    return Containment(state="not_contained", statement="Containment is not verified.", reasons=missing)


def _not_wanted(step: StepRecord | None) -> bool:
    """Skipped because its condition did not hold; skipped by a person after it failed is something else."""
    return step is not None and step.status is StepStatus.SKIPPED and step.error is None


def _unproven(
    facts: Facts, changes: Sequence[EffectRow]
) -> tuple[tuple[Statement, ...], tuple[Statement, ...]]:
    """The containment changes that lack proof, and those that were proven and are not as proven any more."""
    missing, lost = [], []
    for step_id in facts.incident.contains:
        step = facts.incident.steps.get(step_id)
        if _not_wanted(step):
            continue
        if step is None:
            missing.append(Statement(text=f"“{step_id}” was not reached."))
            continue
        name = step.name or step_id
        mine = [e for e in changes if e.step_id == step_id]
        if not step.status.achieved:
            missing.append(Statement(text=f"“{name}”: {_step_words(step)}.", seqs=_ends(facts, step_id)))
        elif step.status is StepStatus.SUCCEEDED and not any(
            e.verification is not None and e.verification.verified for e in mine
        ):
            missing.append(Statement(text=f"“{name}” has no successful verification on record."))
        for effect in mine:
            proven = effect.verification is not None and effect.verification.verified
            if proven and effect.undo is not None and effect.status is EffectStatus.UNDONE:
                when = f"“{name}” was put back by {effect.undo.by}."
                lost.append(Statement(text=when, seqs=(effect.undo.seq,)))
            elif effect.undo is not None and not effect.undo.done:
                why = f"Putting back “{name}” was tried and did not succeed; a part of it may be undone."
                lost.append(Statement(text=why, seqs=(effect.undo.seq,)))
    return tuple(missing), tuple(lost)


def _step_words(step: StepRecord) -> str:
    words = {
        StepStatus.RUNNING: "under way",
        StepStatus.WAITING: "waiting for an approval",
        StepStatus.ATTENTION: "failed, and waiting for a person's decision",
        StepStatus.FAILED: "failed",
        StepStatus.DENIED: "not approved",
        StepStatus.SKIPPED: "skipped",
    }.get(step.status, step.status.value)
    said = [step.reason, f"it had failed: {step.error.message}" if step.reason and step.error else ""]
    if step.error and not step.reason:
        said = [step.error.message]
    why = "; ".join(s.rstrip(".") for s in said if s)
    return f"{words}: {why}" if why else words


def _contained_seq(facts: Facts) -> int | None:
    for entry, event in facts.events:
        if (
            isinstance(event, StepSucceeded | StepSkipped)
            and event.step_id in facts.incident.contains
            and entry.time == facts.incident.contained_at
        ):
            return entry.seq
    return None


def _ends(facts: Facts, step_id: str) -> tuple[int, ...]:
    ended = StepFailed | StepDenied | StepSkipped | StepNeedsAttention
    seqs = [
        entry.seq for entry, event in facts.events if isinstance(event, ended) and event.step_id == step_id
    ]
    return tuple(seqs[-1:])


def summary(
    facts: Facts, chain: ChainCheck, changes: Sequence[EffectRow], asked: Sequence[ApprovalRow]
) -> Summary:
    """The executive summary, made of facts."""
    incident = facts.incident
    contained = containment(facts, changes)
    said: list[Statement] = []
    if not chain.verified:
        said.append(
            Statement(
                text=f"The record this report is made from does not verify: {chain.problem}. Nothing below is proven."
            )
        )
    alerts = [(entry.seq, event.alert) for entry, event in facts.of(AlertJoined)]
    sources = sorted({alert.source for _, alert in alerts})
    where = f" in account {incident.account}" if incident.account else ""
    said.append(
        Statement(
            text=f"{_count(len(alerts), 'alert')} from {', '.join(sources) or 'no source'} opened or joined this "
            f"{incident.severity.label}-severity incident{where}. "
            f"It was answered with the playbook {incident.playbook}.",
            seqs=tuple(seq for seq, _ in alerts)[:10],
        )
    )
    said.append(Statement(text=contained.statement, seqs=(contained.seq,) if contained.seq else ()))
    said.append(_changes_said(changes))
    said.append(_approvals_said(asked))
    said.append(_status_said(facts))
    return Summary(
        containment=contained, statements=tuple(said), open_points=_open_points(contained, facts, changes)
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _changes_said(changes: Sequence[EffectRow]) -> Statement:
    if not changes:
        return Statement(text="No change was begun.")
    proven = [e for e in changes if e.status is EffectStatus.VERIFIED]
    undone = [e for e in changes if e.status is EffectStatus.UNDONE]
    nothing = [e for e in changes if e.status is EffectStatus.NOT_APPLIED]
    doubt = len(changes) - len(proven) - len(undone) - len(nothing)
    counts = (
        (len(proven), "in place and verified"),
        (len(undone), "put back"),
        (len(nothing), "not made"),
        (doubt, "not verified or in doubt"),
    )
    states = ", ".join(f"{number} {words}" for number, words in counts if number)
    text = f"{_count(len(changes), 'change')} begun: {states}."
    return Statement(text=text, seqs=tuple(e.started_seq for e in changes)[:10])


def _approvals_said(asked: Sequence[ApprovalRow]) -> Statement:
    if not asked:
        return Statement(text="No person was asked for an approval.")
    outcomes = [f"{n} {s.value}" for s in ApprovalStatus if (n := sum(a.status is s for a in asked))]
    people = sorted({v.name or v.responder for a in asked for v in a.votes})
    voters = f" Votes were cast by {', '.join(people)}." if people else " Nobody voted."
    return Statement(
        text=f"{_count(len(asked), 'approval')} asked for: {', '.join(outcomes)}.{voters}",
        seqs=tuple(a.opened_seq for a in asked)[:10],
    )


def _status_said(facts: Facts) -> Statement:
    incident, head = facts.incident, facts.timeline[-1].seq
    why = f": {incident.closed_reason.rstrip('.')}" if incident.closed_reason else ""
    words = {
        IncidentStatus.OPEN: "the response is still running",
        IncidentStatus.WAITING: "the response waits for a person's decision",
        IncidentStatus.CLOSED: "the playbook has run to its end",
        IncidentStatus.CLOSED_INCOMPLETE: "the incident ended incomplete",
        IncidentStatus.CANCELLED: "the incident was cancelled",
        IncidentStatus.FAILED: "the response failed",
    }[incident.status]
    return Statement(text=f"At entry {head}, {words}{why}.", seqs=(head,))


def _open_points(contained: Containment, facts: Facts, changes: Sequence[EffectRow]) -> tuple[Statement, ...]:
    """What a reader must not miss: not achieved, not proven, still in place."""
    points = list(contained.reasons)
    for step in facts.incident.steps.values():
        ended_badly = step.status in (StepStatus.DENIED, StepStatus.FAILED, StepStatus.ATTENTION)
        given_up = step.status is StepStatus.SKIPPED and step.error is not None
        if (ended_badly or given_up) and step.id not in facts.incident.contains:
            points.append(
                Statement(text=f"“{step.name or step.id}”: {_step_words(step)}.", seqs=_ends(facts, step.id))
            )
        elif step.status is StepStatus.SKIPPED and not given_up:
            why = step.reason.rstrip(".") or "no reason recorded"
            points.append(
                Statement(text=f"“{step.name or step.id}” was skipped: {why}.", seqs=_ends(facts, step.id))
            )
    points.extend(
        Statement(text=f"“{e.step_name}”: {IN_PLACE_WORDS[e.status]}.", seqs=(e.started_seq,))
        for e in changes
        if e.in_place and e.status is not EffectStatus.VERIFIED
    )
    left = [e for e in changes if e.in_place]
    if left:
        verb = "is" if len(left) == 1 else "are"
        sure = all(e.status is EffectStatus.VERIFIED for e in left)
        text = f"{_count(len(left), 'change')} of this response {verb}{'' if sure else ', or may be,'} still in place."
        points.append(Statement(text=text, seqs=tuple(e.started_seq for e in left)[:10]))
    return tuple(points)


def gaps(
    facts: Facts, chain: ChainCheck, changes: Sequence[EffectRow], asked: Sequence[ApprovalRow]
) -> tuple[Gap, ...]:
    """Failures and gaps, in the order of the timeline; what has no entry comes first."""
    found: list[Gap] = []
    if not chain.verified:
        found.append(Gap(kind="chain", text=chain.problem))
    contained = containment(facts, changes)
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
    for approval in asked:
        found.extend(_approval_gaps(approval))
    for effect in changes:
        found.extend(_effect_gaps(effect))
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
        ApprovalStatus.DENIED: ("denied", f"was denied by {_count(against, 'vote')}"),
        ApprovalStatus.EXPIRED: (
            "expired",
            f"expired with {_count(len(approval.votes), 'vote')} of {approval.needed}",
        ),
        ApprovalStatus.SUPERSEDED: ("superseded", "was void: the target changed after people were asked"),
        ApprovalStatus.CANCELLED: ("cancelled", "was withdrawn"),
        ApprovalStatus.PENDING: ("undecided", "had no outcome yet"),
    }
    if approval.status in words:
        kind, text = words[approval.status]
        found.append(Gap(kind=kind, text=f"The approval of “{name}” {text}.", seq=seq))
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
