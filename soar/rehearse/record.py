"""An incident as it was recorded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from soar.model.alert import Alert
from soar.model.base import JsonObject
from soar.model.course import ChildOpened
from soar.model.events import AlertJoined, IncidentClosed, IncidentOpened, StepSkipped, StepStarted
from soar.model.terms import IncidentStatus
from soar.model.timeline import TimelineEntry
from soar.rehearse.seen import StepSeen, steps_seen
from soar.store import Store

__all__ = ["Record", "load_record"]

_PAGE = 1000


@dataclass(frozen=True)
class Record:
    """One incident.

    Args:
        alerts: Those that were there when its first step began.
        later: How many came afterwards.
        inputs: The values of its playbook's inputs; None: the timeline does not say.
        status: How it ended; `open` if it has not.
        steps: By id.
        children: The incidents of called playbooks, by the step that called them.
    """

    opened: IncidentOpened
    opened_at: datetime
    status: IncidentStatus
    alerts: tuple[Alert, ...]
    later: int
    inputs: JsonObject | None
    steps: dict[str, StepSeen]
    children: dict[str, Record]

    def all_steps(self) -> Iterator[StepSeen]:
        """The steps, also of called playbooks."""
        yield from self.steps.values()
        for child in self.children.values():
            yield from child.all_steps()


async def load_record(store: Store, incident_id: str) -> Record | None:
    """Read an incident, and those that its playbook called; None if there is none of this id."""
    entries: list[TimelineEntry] = []
    while page := await store.timeline(incident_id, after=len(entries), limit=_PAGE):
        entries += page
    if not entries:
        return None
    opened = entries[0].event
    assert isinstance(opened, IncidentOpened)
    children: dict[str, Record] = {}
    alerts: list[Alert] = []
    later, begun, status = 0, False, IncidentStatus.OPEN
    for entry in entries:
        match entry.event:
            case AlertJoined() as joined if not begun:
                alerts.append(joined.alert)
            case AlertJoined():
                later += 1
            case StepStarted() | StepSkipped():
                begun = True
            case IncidentClosed() as closed:
                status = closed.status
            case ChildOpened() as child:
                found = await load_record(store, child.incident_id)
                if found is not None:
                    children[child.step_id] = found
    inputs = entries[0].data.get("inputs")
    return Record(
        opened=opened,
        opened_at=entries[0].time,
        status=status,
        alerts=tuple(alerts),
        later=later,
        inputs=inputs if isinstance(inputs, dict) else None,
        steps=steps_seen(entries),
        children=children,
    )
