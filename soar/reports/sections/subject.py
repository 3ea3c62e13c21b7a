"""What the incident is about: alerts, techniques, impact, evidence, indicators."""

from __future__ import annotations

from pydantic import Field

from soar.model.alert import ObservableType
from soar.model.base import Digest, Fact, UtcTime
from soar.model.terms import AlertState

__all__ = ["AlertRow", "EvidenceRow", "Impact", "ImpactResource", "IndicatorRow", "TechniqueRow"]


class ImpactResource(Fact):
    """A resource that an alert names, or that a plan has as a target."""

    uid: str
    type: str
    name: str
    account: str
    region: str
    alerts: int = Field(ge=0, description="how many alerts name it")
    changed: bool = Field(description="a change to it was begun in this response")


class Impact(Fact):
    """What was touched, counted. How bad that is, people judge."""

    accounts: tuple[str, ...]
    regions: tuple[str, ...]
    principals: tuple[str, ...]
    resources: tuple[ImpactResource, ...]
    resource_types: dict[str, int]


class AlertRow(Fact):
    """An alert of the incident, one telling of it."""

    seq: int
    time: UtcTime
    joined_at: UtcTime
    source: str
    uid: str
    revision: str
    state: AlertState
    rule: str
    title: str
    description: str
    severity: str
    severity_original: str
    account: str
    region: str
    resources: tuple[str, ...]
    principal: str
    first_seen: UtcTime | None
    last_seen: UtcTime | None
    links: tuple[str, ...]
    raw_digest: Digest | None
    after_containment: bool


class TechniqueRow(Fact):
    """An ATT&CK technique that alerts name."""

    uid: str
    name: str
    tactic: str
    seqs: tuple[int, ...]


class EvidenceRow(Fact):
    """A piece of evidence in the vault, found there by its digest.

    Args:
        collected_at: Null for a raw alert payload, whose time of receipt the timeline does not hold.
    """

    digest: Digest
    size: int
    media_type: str
    name: str
    source: str
    collected_at: UtcTime | None
    recorded_at: UtcTime
    seq: int


class IndicatorRow(Fact):
    """An observable, as it was recorded. HTML and Markdown show it defanged."""

    type: ObservableType
    value: str
    seqs: tuple[int, ...]
