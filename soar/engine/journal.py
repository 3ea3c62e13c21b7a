"""The journal: the one place where an incident's state changes inside the workflow."""

from __future__ import annotations

from datetime import datetime

from temporalio import workflow

from soar.model.change import EvidenceRef
from soar.model.events import AnyEvent, IncidentOpened
from soar.model.fold import open_incident, reduce
from soar.model.incident import Incident
from soar.model.terms import Phase
from soar.model.timeline import ENGINE, Actor, TimelineEntry, append, genesis

__all__ = ["Journal"]


class Journal:
    """Appends events to the timeline, folds them into the state, and keeps what is not yet stored.

    Args:
        incident: The state to go on from; None before the first entry.

    Attributes:
        unstored: What the store does not have yet, in order.
        last_at: When the last entry of this run was; None before it.
    """

    def __init__(self, incident: Incident | None = None) -> None:
        self._incident = incident
        self.unstored: list[TimelineEntry] = []
        self.last_at: datetime | None = None

    @property
    def incident(self) -> Incident:
        """The state after everything recorded so far."""
        if self._incident is None:
            raise RuntimeError("the incident is not open yet")
        return self._incident

    @property
    def is_open(self) -> bool:
        """Whether there is a first entry."""
        return self._incident is not None

    def record(
        self,
        event: AnyEvent,
        summary: str,
        *,
        actor: Actor = ENGINE,
        phase: Phase | None = None,
        evidence: tuple[EvidenceRef, ...] = (),
        at: datetime | None = None,
    ) -> TimelineEntry:
        """Append one event.

        Args:
            summary: One sentence for people.
            phase: Default: the phase that the incident is in.
            at: When it was, if that is in history; default: now, by the workflow's clock.
        """
        current = self._incident
        if current is None:
            if not isinstance(event, IncidentOpened):
                raise RuntimeError("the first entry opens the incident")
            incident_id, seq, head = event.incident_id, 0, genesis(event.incident_id)
        else:
            incident_id, seq, head = current.id, current.head_seq, current.head_hash
            phase = phase or current.phase
        entry = append(
            incident_id=incident_id,
            seq=seq + 1,
            prev_hash=head,
            time=workflow.now() if at is None else at,
            phase=phase,
            actor=actor,
            summary=summary,
            event=event,
            evidence=evidence,
        )
        if current is None:
            self._incident = open_incident(entry)
        else:
            reduce(current, entry)
        self.unstored.append(entry)
        self.last_at = entry.time
        return entry
