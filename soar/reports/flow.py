"""What the playbook did besides actions: it waited, went round loops and called other playbooks."""

from __future__ import annotations

from soar.model.base import JsonObject
from soar.model.course import ChildEnded, ChildOpened, LoopStarted, RoundEnded, WaitStarted
from soar.model.events import (
    AttentionResolved,
    IncidentClosed,
    StepFailed,
    StepNeedsAttention,
    StepSkipped,
    StepStarted,
    StepSucceeded,
)
from soar.model.timeline import TimelineEntry
from soar.reports.facts import Facts, milliseconds
from soar.reports.sections import CalledRow, LoopRow, RoundRow, RoundStep, WaitEnd, WaitRow

__all__ = ["ROUNDS_SHOWN", "called", "loops", "waits"]

ROUNDS_SHOWN = 25
"""Rounds of one loop in a report; the timeline has all of them."""


def waits(facts: Facts) -> tuple[WaitRow, ...]:
    """Every wait in the order it began."""
    rows: list[WaitRow] = []
    open_: dict[str, int] = {}

    def end(step_id: str, entry: TimelineEntry, by: WaitEnd, said: str, alert: str = "") -> None:
        index = open_.pop(step_id)
        rows[index] = rows[index].model_copy(
            update={
                "ended_by": by,
                "ended_at": entry.time,
                "ended_seq": entry.seq,
                "milliseconds": milliseconds(rows[index].started_at, entry.time),
                "said": said,
                "alert": alert,
            }
        )

    for entry, event in facts.events:
        match event:
            case WaitStarted():
                open_[event.step_id] = len(rows)
                rows.append(_wait(facts, entry, event))
            case StepSucceeded() if event.step_id in open_:
                alert = event.result.data.get("alert")
                by: WaitEnd = "time" if entry.time >= rows[open_[event.step_id]].until else "condition"
                told = _alert(alert) if isinstance(alert, dict) else ""
                end(event.step_id, entry, "alert" if told else by, event.result.summary, told)
            case StepSkipped() if event.step_id in open_:
                end(event.step_id, entry, "person" if event.by else "stopped", event.reason)
            case StepFailed() | StepNeedsAttention() if event.step_id in open_:
                end(event.step_id, entry, "stopped", event.error.message)
            case IncidentClosed():
                for step_id in list(open_):
                    end(step_id, entry, "stopped", f"the incident ended: {event.status.value}")
            case _:
                pass
    return tuple(rows)


def _wait(facts: Facts, entry: TimelineEntry, event: WaitStarted) -> WaitRow:
    return WaitRow(
        step_id=event.step_id,
        step_name=facts.step_name(event.step_id),
        started_at=entry.time,
        started_seq=entry.seq,
        until=event.until,
        ended_by="waiting",
        ended_at=None,
        ended_seq=None,
        milliseconds=None,
        said="",
        alert="",
    )


def _alert(alert: JsonObject) -> str:
    said = [str(alert.get(name) or "") for name in ("title", "uid")]
    title, uid = said
    return f"{title or 'an alert without a title'} ({uid})" if uid else title or "an alert without a title"


def loops(facts: Facts) -> tuple[LoopRow, ...]:
    """Every loop that was reached, in the order it began."""
    begun: dict[str, tuple[TimelineEntry, StepStarted]] = {}
    items: dict[str, LoopStarted] = {}
    ended: dict[str, dict[int, tuple[TimelineEntry, RoundEnded]]] = {}
    for entry, event in facts.events:
        match event:
            case StepStarted() if event.action in ("foreach", "repeat"):
                begun[event.step_id] = (entry, event)
            case LoopStarted():
                items[event.step_id] = event
            case RoundEnded():
                ended.setdefault(event.step_id, {})[event.index] = (entry, event)
            case _:
                pass
    return tuple(
        _loop(facts, entry, event, items.get(step_id), ended.get(step_id, {}))
        for step_id, (entry, event) in begun.items()
    )


def _loop(
    facts: Facts,
    entry: TimelineEntry,
    event: StepStarted,
    read: LoopStarted | None,
    ended: dict[int, tuple[TimelineEntry, RoundEnded]],
) -> LoopRow:
    known = sorted(ended if read is None else {*range(len(read.items)), *ended})
    bad = [index for index in known if index in ended and ended[index][1].failed]
    good = [index for index in known if index not in set(bad)]
    # A reader looks for what failed: that is shown before anything else is.
    shown = sorted([*bad[:ROUNDS_SHOWN], *good[: max(ROUNDS_SHOWN - len(bad), 0)]])
    return LoopRow.model_validate(
        {
            "step_id": event.step_id,
            "step_name": facts.step_name(event.step_id),
            "kind": event.action,
            "started_at": entry.time,
            "started_seq": entry.seq,
            "items": None if read is None else len(read.items),
            "ended": len(ended),
            "failed": len(bad),
            "rounds": [_round(facts, event.step_id, index, read, ended.get(index)) for index in shown],
            "not_shown": len(known) - len(shown),
            "not_shown_failed": max(len(bad) - ROUNDS_SHOWN, 0),
        }
    )


def _round(
    facts: Facts,
    loop_id: str,
    index: int,
    read: LoopStarted | None,
    ended: tuple[TimelineEntry, RoundEnded] | None,
) -> RoundRow:
    entry, event = ended or (None, None)
    value = event.value if event else None
    # The value names the steps of the round; what became of them is taken from their own entries, which no alert's
    # text can have written.
    base, bracket, outer = loop_id.partition("[")
    inside = f"{bracket}{outer}[{index}]"
    names = [f"{name}{inside}" for name in value] if isinstance(value, dict) else []
    steps = [
        RoundStep(
            step_id=step_id,
            step_name=facts.steps.names.get(step_id) or step_id,
            status=status,
            why=facts.why(step_id),
        )
        for step_id in names
        if (status := facts.status_of(step_id)) is not None and step_id != f"{base}{inside}"
    ]
    item = read.items[index] if read and index < len(read.items) else None
    return RoundRow(
        index=index,
        item=item,
        failed=event.failed if event else None,
        ended_at=entry.time if entry else None,
        ended_seq=entry.seq if entry else None,
        steps=tuple(steps),
        value=value,
    )


def called(facts: Facts) -> tuple[CalledRow, ...]:
    """Every call of another playbook; a step that was tried again has a row for each."""
    rows: list[CalledRow] = []
    open_: dict[str, int] = {}
    for entry, event in facts.events:
        match event:
            case ChildOpened():
                open_[event.step_id] = len(rows)
                rows.append(
                    CalledRow(
                        step_id=event.step_id,
                        step_name=facts.step_name(event.step_id),
                        playbook=event.playbook,
                        incident_id=event.incident_id,
                        workflow_id=event.workflow_id,
                        started_at=entry.time,
                        started_seq=entry.seq,
                        status=None,
                        reason="",
                        outputs={},
                        ended_at=None,
                        ended_seq=None,
                        milliseconds=None,
                    )
                )
            case ChildEnded() if event.step_id in open_:
                index = open_.pop(event.step_id)
                rows[index] = rows[index].model_copy(
                    update={
                        "status": event.status,
                        "reason": event.reason,
                        "outputs": event.outputs,
                        "ended_at": entry.time,
                        "ended_seq": entry.seq,
                        "milliseconds": milliseconds(rows[index].started_at, entry.time),
                    }
                )
            case AttentionResolved() if event.decision == "retry":
                open_.pop(event.step_id, None)
            case _:
                pass
    return tuple(rows)
