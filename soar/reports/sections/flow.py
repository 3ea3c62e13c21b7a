"""What the playbook did besides actions: it waited, went round loops and called other playbooks."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, JsonValue

from soar.model.base import Fact, JsonObject, UtcTime
from soar.model.terms import IncidentStatus, StepStatus

__all__ = ["CalledRow", "LoopRow", "RoundRow", "RoundStep", "WaitEnd", "WaitRow"]

WaitEnd = Literal["time", "condition", "alert", "person", "stopped", "waiting"]


class WaitRow(Fact):
    """A step that waited.

    Args:
        step_name: What it waited for, in the playbook's words.
        until: When it ends at the latest.
        ended_by: `time`: its time was over. `condition`: what it waited for became so. `alert`: the alert came that it
            waited for. `person`: somebody skipped it. `stopped`: it failed, or the incident ended first. `waiting`:
            it had not ended by the last entry of the record.
        said: What the record says of its end.
        alert: The title of the alert that ended it, with its source's id.
    """

    step_id: str
    step_name: str
    started_at: UtcTime
    started_seq: int
    until: UtcTime
    ended_by: WaitEnd
    ended_at: UtcTime | None
    ended_seq: int | None
    milliseconds: int | None = Field(description="how long it waited")
    said: str
    alert: str


class RoundStep(Fact):
    """A step of one round, as it ended. `why`: its error, or why it was left out."""

    step_id: str
    step_name: str
    status: StepStatus
    why: str


class RoundRow(Fact):
    """One item of a `foreach`, or one round of a `repeat`.

    Args:
        index: From 0.
        item: What the round was for; null for a `repeat`.
        failed: A step of it did not do what it is for; null: the round has not ended.
        steps: Its steps. Empty where the loop collects a value of its own instead.
        value: What the round left behind: the steps' results, the collected value, or whether the condition held.
    """

    index: int
    item: JsonValue = None
    failed: bool | None
    ended_at: UtcTime | None
    ended_seq: int | None
    steps: tuple[RoundStep, ...]
    value: JsonValue = None


class LoopRow(Fact):
    """A loop with its rounds, those that failed before all others when there are too many to show.

    Args:
        items: How many items a `foreach` read; null for a `repeat`.
        ended: Rounds that came to their end.
        failed: Of those, how many were not wholly done.
        rounds: The rounds shown, in order.
        not_shown: How many more there are; every one is on the timeline.
    """

    step_id: str
    step_name: str
    kind: Literal["foreach", "repeat"]
    started_at: UtcTime
    started_seq: int
    items: int | None
    ended: int
    failed: int
    rounds: tuple[RoundRow, ...]
    not_shown: int
    not_shown_failed: int


class CalledRow(Fact):
    """A playbook that a step called: an incident of its own, with a report of its own.

    Args:
        status: Null as long as it has not told of its end.
    """

    step_id: str
    step_name: str
    playbook: str
    incident_id: str
    workflow_id: str
    started_at: UtcTime
    started_seq: int
    status: IncidentStatus | None
    reason: str
    outputs: JsonObject
    ended_at: UtcTime | None
    ended_seq: int | None
    milliseconds: int | None
