"""What a workflow is doing right now, read from its history: nothing is guessed from how long it has been silent."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client, WorkflowExecutionStatus

__all__ = ["Standing", "standing"]

_TASK_ENDS = {
    EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED,
    EventType.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT,
    EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED,
}
_ENDS = {
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW,
}


@dataclass(frozen=True)
class Standing:
    """One workflow.

    Args:
        running: Whether it has not ended.
        busy: Whether it, or an activity of it, works: it will go on without anybody.
        next_timer: When the earliest of its timers fires.
        trouble: Why its last task failed; then it is tried again, and most likely fails again.
        children: The workflows that it has started, which go on by themselves.
    """

    running: bool
    busy: bool = False
    next_timer: datetime | None = None
    trouble: str = ""
    children: tuple[str, ...] = ()


async def standing(client: Client, workflow_id: str) -> Standing:
    """Look at a workflow."""
    handle = client.get_workflow_handle(workflow_id)
    described = await handle.describe()
    if described.status is not WorkflowExecutionStatus.RUNNING:
        return Standing(running=False)
    if described.raw_description.pending_activities:
        return Standing(running=True, busy=True)
    history = _History()
    async for event in handle.fetch_history_events():
        history.add(event)
    return history.standing


class _History:
    def __init__(self) -> None:
        self._activities: set[int] = set()
        self._timers: dict[int, datetime] = {}
        self._starting: set[int] = set()
        self._children: list[str] = []
        self._task_pending = self._ended = False
        self._trouble = ""

    def add(self, event: HistoryEvent) -> None:
        match event.event_type:
            case EventType.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED:
                self._task_pending = True
            case kind if kind in _TASK_ENDS:
                self._task_pending = kind != EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
                if kind != EventType.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT:  # what failed may also be late
                    self._trouble = event.workflow_task_failed_event_attributes.failure.message
            case EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
                self._activities.add(event.event_id)
            case EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
                self._activities.discard(event.activity_task_completed_event_attributes.scheduled_event_id)
            case EventType.EVENT_TYPE_ACTIVITY_TASK_FAILED:
                self._activities.discard(event.activity_task_failed_event_attributes.scheduled_event_id)
            case EventType.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT:
                self._activities.discard(event.activity_task_timed_out_event_attributes.scheduled_event_id)
            case EventType.EVENT_TYPE_ACTIVITY_TASK_CANCELED:
                self._activities.discard(event.activity_task_canceled_event_attributes.scheduled_event_id)
            case EventType.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED:
                self._starting.add(event.event_id)
            case EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED:
                started = event.child_workflow_execution_started_event_attributes
                self._starting.discard(started.initiated_event_id)
                self._children.append(started.workflow_execution.workflow_id)
            case EventType.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_FAILED:
                failed = event.start_child_workflow_execution_failed_event_attributes
                self._starting.discard(failed.initiated_event_id)
            case kind if kind in _ENDS:
                self._ended = True
            case EventType.EVENT_TYPE_TIMER_STARTED:
                wait = event.timer_started_event_attributes.start_to_fire_timeout.ToTimedelta()
                self._timers[event.event_id] = _time(event) + wait
            case EventType.EVENT_TYPE_TIMER_FIRED:
                self._timers.pop(event.timer_fired_event_attributes.started_event_id, None)
            case EventType.EVENT_TYPE_TIMER_CANCELED:
                self._timers.pop(event.timer_canceled_event_attributes.started_event_id, None)

    @property
    def standing(self) -> Standing:
        return Standing(
            running=True,
            # One that has ended since it was described is looked at once more.
            busy=self._task_pending or self._ended or bool(self._activities or self._starting),
            next_timer=min(self._timers.values(), default=None),
            trouble=self._trouble,
            children=tuple(self._children),
        )


def _time(event: HistoryEvent) -> datetime:
    return event.event_time.ToDatetime(tzinfo=UTC)
