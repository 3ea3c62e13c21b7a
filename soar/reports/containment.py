"""What may be said about containment: nothing is called contained that an independent read has not shown to be."""

from __future__ import annotations

from collections.abc import Sequence

from soar.model.change import EffectStatus
from soar.model.events import StepDenied, StepFailed, StepNeedsAttention, StepSkipped, StepSucceeded
from soar.model.incident import StepRecord
from soar.model.terms import IncidentStatus, Phase, Risk, StepStatus
from soar.playbook.builtins import UNDO
from soar.reports.facts import Facts
from soar.reports.sections import Containment, EffectRow, Statement

__all__ = ["containment", "ends", "left_out", "step_words", "to_prove"]


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
    """Skipped because its condition did not hold; that a person left it out is something else."""
    return step is not None and step.status is StepStatus.SKIPPED and not left_out(step)


def left_out(step: StepRecord) -> bool:
    """A person decided that a step that was wanted is not done: before it was reached, or after it failed."""
    return step.status is StepStatus.SKIPPED and (step.error is not None or bool(step.skipped_by))


def _unproven(
    facts: Facts, changes: Sequence[EffectRow]
) -> tuple[tuple[Statement, ...], tuple[Statement, ...]]:
    """The containment changes that lack proof, and those that were proven and are not as proven any more."""
    missing, lost = [], []
    for step_id in to_prove(facts):
        step = facts.incident.steps.get(step_id)
        if _not_wanted(step):
            continue
        if step is None:
            missing.append(Statement(text=f"“{step_id}” was not reached."))
            continue
        name = facts.step_name(step_id)
        mine = [e for e in changes if e.step_id == step_id]
        if not step.status.achieved:
            missing.append(Statement(text=f"“{name}”: {step_words(step)}.", seqs=ends(facts, step_id)))
        elif step.child and step.result and step.result.data.get("status") != IncidentStatus.CLOSED.value:
            text = f"“{name}”: the playbook that it called, {step.child}, did not end with all done."
            missing.append(Statement(text=text))
        elif (
            (step.risk is not Risk.READ and not step.child)
            and step.status is StepStatus.SUCCEEDED
            and not any(e.verification is not None and e.verification.verified for e in mine)
        ):
            missing.append(Statement(text=f"“{name}” has no successful verification on record."))
        for effect in mine:
            proven = effect.verification is not None and effect.verification.verified
            if proven and effect.undo is not None and effect.status is EffectStatus.UNDONE:
                by = "by itself, as its time was over" if effect.undo.expired else f"by {effect.undo.by}"
                when = f"“{name}” was put back {by}."
                lost.append(Statement(text=when, seqs=(effect.undo.seq,)))
            elif effect.undo is not None and not effect.undo.done:
                why = f"Putting back “{name}” was tried and did not succeed; a part of it may be undone."
                lost.append(Statement(text=why, seqs=(effect.undo.seq,)))
    return tuple(missing), tuple(lost)


def to_prove(facts: Facts) -> list[str]:
    """What containment stands or falls with, and the changes inside of it: a loop is only as good as its rounds."""
    inside = [
        s.id
        for s in facts.incident.steps.values()
        if s.phase is Phase.CONTAINMENT and s.risk is not Risk.READ and s.action != UNDO
    ]
    return list(dict.fromkeys([*facts.incident.contains, *inside]))


def step_words(step: StepRecord) -> str:
    """How a step that did not do what it is for stands, and why."""
    words = {
        StepStatus.RUNNING: "under way",
        StepStatus.WAITING: "waiting for people",
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


def ends(facts: Facts, step_id: str) -> tuple[int, ...]:
    """The entry that tells how a step went wrong; empty if none does."""
    ended = StepFailed | StepDenied | StepSkipped | StepNeedsAttention
    seqs = [
        entry.seq for entry, event in facts.events if isinstance(event, ended) and event.step_id == step_id
    ]
    return tuple(seqs[-1:])
