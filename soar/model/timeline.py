"""The timeline: an incident's append-only, hash-chained record.

Each entry's hash covers everything in it and the hash before it, so that a changed, missing or
re-ordered entry shows. The first entry's `prev_hash` is the digest of the incident's id.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from pydantic import Field

from soar.model.base import Digest, Fact, JsonObject, UtcTime, digest_of
from soar.model.change import EvidenceRef
from soar.model.events import AnyEvent, parse_event
from soar.model.terms import Phase

__all__ = [
    "ENGINE",
    "Actor",
    "ActorKind",
    "ChainBroken",
    "TimelineEntry",
    "append",
    "genesis",
    "verify_chain",
    "verify_entry",
]


class ActorKind(StrEnum):
    """Who did it: the engine, a person, or a source of alerts."""

    ENGINE = "engine"
    PERSON = "person"
    SOURCE = "source"


class Actor(Fact):
    """Who an entry is by."""

    kind: ActorKind
    id: str
    name: str = ""


ENGINE = Actor(kind=ActorKind.ENGINE, id="engine", name="engine")


class TimelineEntry(Fact):
    """One thing that happened. `kind` and `data` together are the event."""

    incident_id: str
    seq: int = Field(ge=1)
    time: UtcTime
    phase: Phase | None
    kind: str
    actor: Actor
    summary: str
    data: JsonObject
    evidence: tuple[EvidenceRef, ...] = ()
    prev_hash: Digest
    hash: Digest

    @property
    def event(self) -> AnyEvent:
        """The event that the entry carries, typed."""
        return parse_event(self.kind, self.data)


class ChainBroken(ValueError):
    """A timeline is not what was written. `seq` is the first entry that does not fit."""

    def __init__(self, seq: int, why: str) -> None:
        super().__init__(f"the timeline is broken at entry {seq}: {why}")
        self.seq = seq


def genesis(incident_id: str) -> Digest:
    """The hash before the first entry."""
    return digest_of(f"soar timeline {incident_id}".encode())


def _hash(entry: TimelineEntry) -> Digest:
    return digest_of(entry.model_dump(mode="json", exclude={"hash"}))


def append(
    *,
    incident_id: str,
    seq: int,
    prev_hash: Digest,
    time: UtcTime,
    phase: Phase | None,
    actor: Actor,
    summary: str,
    event: AnyEvent,
    evidence: tuple[EvidenceRef, ...] = (),
) -> TimelineEntry:
    """Make the next entry of a chain."""
    data = event.model_dump(mode="json", exclude={"kind"})
    draft = TimelineEntry(
        incident_id=incident_id,
        seq=seq,
        time=time,
        phase=phase,
        kind=event.kind,
        actor=actor,
        summary=summary,
        data=data,
        evidence=evidence,
        prev_hash=prev_hash,
        hash=prev_hash,
    )
    return draft.model_copy(update={"hash": _hash(draft)})


def verify_entry(entry: TimelineEntry) -> bool:
    """Whether an entry's content is what its hash was made of."""
    return entry.hash == _hash(entry)


def verify_chain(entries: Iterable[TimelineEntry], incident_id: str) -> Digest:
    """Check a whole timeline from its first entry.

    Returns:
        The hash of the last entry.

    Raises:
        ChainBroken: An entry was changed, is missing, or stands in another place.
    """
    expected_seq, head = 1, genesis(incident_id)
    for entry in entries:
        if entry.incident_id != incident_id:
            raise ChainBroken(entry.seq, f"it belongs to {entry.incident_id}")
        if entry.seq != expected_seq:
            raise ChainBroken(expected_seq, f"entry {entry.seq} stands in its place")
        if entry.prev_hash != head:
            raise ChainBroken(entry.seq, "it does not follow from the entry before it")
        if not verify_entry(entry):
            raise ChainBroken(entry.seq, "its content does not match its hash")
        expected_seq, head = expected_seq + 1, entry.hash
    return head
