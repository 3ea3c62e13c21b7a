"""An incident as it was, beside what another version of its playbook would have done."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Literal

from soar.model.base import Fact
from soar.model.change import Change, Plan
from soar.model.terms import IncidentStatus, Risk
from soar.playbook.builtins import UNDO
from soar.rehearse.outcome import DryRun, DryStep
from soar.rehearse.record import Record
from soar.rehearse.seen import StepSeen

__all__ = ["Row", "Verdict", "compare", "status_now"]

Verdict = Literal["same", "changed", "new", "gone", "unknown"]
_ASKED_FOR = re.compile(r"[a-z0-9_]+-[0-9]+")
"""Steps that are in no playbook: people, or a timer, asked for them while it ran, `undo-1`."""

_FITTING = {
    "done": {"done"},
    "change": {"changed", "denied", "failed after its plan", "skipped by a person"},
    "unchanged": {"nothing to change"},
    "forbidden": {"forbidden"},
    "waits": {"done", "denied", "skipped by a person", "not ended", "failed"},
    "skipped": {"skipped"},
    "failed": {"failed", "skipped by a person"},
}
"""For how a step stands in the dry run: how it can have ended with the same course. What people do is theirs."""

_NOW = {
    "done": "done",
    "change": "would change",
    "unchanged": "nothing to change",
    "forbidden": "forbidden",
    "waits": "would wait",
    "skipped": "skipped",
    "failed": "failed",
    "unknown": "not known",
    "not_reached": "not reached",
}


class Row(Fact):
    """One step, then and now.

    Args:
        step: With its rounds; that of a called playbook after the step that calls it, `contain/isolate[3]`.
        was: What happened; empty: the step was not reached.
        now: What would happen; empty: the step is not in the playbook, or not reached.
        details: What is otherwise, or why it is not known.
    """

    step: str
    name: str
    verdict: Verdict
    was: str
    now: str
    details: tuple[str, ...] = ()


def compare(record: Record, run: DryRun | None, around: str = "") -> list[Row]:
    """Compare step by step.

    Args:
        run: None: the playbook would not have run.
        around: What the steps' names begin with.

    Returns:
        The steps of the dry run in its order, then those that are gone.
    """
    then = {step.id: step for step in record.steps.values() if not _asked_for(step)}
    now = {step.id: step for step in run.steps} if run is not None else {}
    return list(_rows(record, run, then, now, around))


def status_now(run: DryRun | None) -> str:
    """How the incident would have ended, in words."""
    if run is None or run.status is None:
        return "not opened"
    if run.status in (IncidentStatus.FAILED, IncidentStatus.CANCELLED):
        return run.status.value
    bad = [s for s in run.all_steps() if s.state in ("failed", "forbidden") and s.risk is not Risk.READ]
    words = "closed incomplete" if bad else "closed"
    if run.approved and not bad:
        words += ", if everything is approved"
    unknown = run.count("unknown")
    return words + (f"; {unknown} step(s) not known" if unknown else "")


def _rows(
    record: Record,
    run: DryRun | None,
    then: Mapping[str, StepSeen],
    now: Mapping[str, DryStep],
    around: str,
) -> Iterator[Row]:
    children = {child.incident_id: child for child in run.children} if run is not None else {}
    for step in now.values():
        was = then.get(step.id)
        if was is None and step.state == "not_reached":
            continue
        yield _row(around, was, step)
        inner = f"{around}{step.id}/"
        if step.child in children and step.id in record.children:
            yield from compare(record.children[step.id], children[step.child], inner)
        elif step.child in children:
            for added in children[step.child].steps:
                if added.state != "not_reached":
                    yield _row(inner, None, added)
    for was in then.values():
        if was.id not in now:
            yield Row(step=around + was.id, name=was.name, verdict="gone", was=_was(was), now="")


def _asked_for(step: StepSeen) -> bool:
    return step.later or (step.action == UNDO and _ASKED_FOR.fullmatch(step.id) is not None)


def _row(around: str, was: StepSeen | None, now: DryStep) -> Row:
    words = "" if was is None else _was(was)
    details = list(_details(was, now))
    if now.state == "unknown":
        verdict: Verdict = "unknown"
    elif was is None:
        verdict = "new"
    elif details or words not in _FITTING.get(now.state, set()):
        verdict = "changed"
    else:
        verdict = "same"
    if now.reason and (verdict != "same" or now.state == "failed"):
        details.append(now.reason)
    if now.depends_on and now.state != "unknown" and verdict != "same":
        details.append(f"depends on the outcome of {', '.join(now.depends_on)}")
    shown = "" if now.state == "not_reached" else _NOW[now.state]
    return Row(
        step=around + now.id, name=now.name, verdict=verdict, was=words, now=shown, details=tuple(details)
    )


def _was(step: StepSeen) -> str:
    match step.end:
        case "succeeded":
            return "changed" if step.changed else "done"
        case "unchanged":
            return "nothing to change"
        case "skipped":
            return "skipped by a person" if step.skipped_by else "skipped"
        case "denied":
            return "denied"
        case "failed" if step.outcome == "forbidden":
            return "forbidden"
        case "failed":
            return "failed after its plan" if step.plan is not None else "failed"
    return "not ended"


def _details(was: StepSeen | None, now: DryStep) -> Iterator[str]:
    if now.state == "unknown":
        return
    if was is not None and was.action != now.action:
        yield f"{was.action} → {now.action}"
    before = _changes(was.plans[0] if was and was.plans and was.action != "approve" else None)
    after = _changes(now.plan if now.state in ("change", "forbidden") else None)
    if was is not None and (before or after):
        yield from (f"no longer: {line}" for line in before if line not in after)
    yield from (f"now: {line}" for line in after if line not in before)
    asked_before = was.asked[-1] if was is not None and was.asked else None
    asked_now = (now.asked.needed, now.asked.roles) if now.asked is not None else None
    if was is not None and asked_before != asked_now and now.state in ("change", "waits"):
        yield f"asked: {_asking(asked_before)} → {_asking(asked_now)}"
    elif was is None and asked_now is not None:
        yield f"asks {_asking(asked_now)}"


def _changes(plan: Plan | None) -> list[str]:
    return [_line(change) for change in plan.changes] if plan is not None else []


def _line(change: Change) -> str:
    text = f"{change.target} {change.field}: {change.before!r} → {change.after!r}"
    return text if len(text) <= 400 else text[:399] + "…"


def _asking(asked: tuple[int, tuple[str, ...]] | None) -> str:
    if asked is None:
        return "nobody"
    needed, roles = asked
    who = " or ".join(roles) or "nobody, as no role may"
    return f"{needed} {who}" if needed else who
