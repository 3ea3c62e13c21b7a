"""What the store gives back besides incidents and timeline entries, and the errors that it raises."""

from __future__ import annotations

from typing import Literal

from soar.model.alert import Alert
from soar.model.base import Fact, JsonObject, UtcTime
from soar.model.terms import IncidentStatus, Phase, Severity
from soar.playbook.policy import Halt

__all__ = [
    "AlertRow",
    "AlertStatus",
    "ApprovalLocation",
    "ChatRef",
    "HaltChange",
    "HaltRecord",
    "InboxItem",
    "InboxKind",
    "IncidentSummary",
    "Received",
    "StoreConflict",
    "StoreGap",
    "StoreUnavailable",
]

AlertStatus = Literal["received", "routed", "unmatched", "invalid"]
"""`received`: committed, not yet routed. `unmatched`: kept, and no incident handles it; `reason` says why."""

InboxKind = Literal["alert", "interaction"]


class StoreGap(Exception):
    """Entries were given that do not follow those that are kept: something in between is missing."""


class StoreConflict(Exception):
    """An entry was given that differs from the one that is kept at its place: one of the two was changed."""


class StoreUnavailable(Exception):
    """The database cannot be reached or did not answer; nothing was written."""


class IncidentSummary(Fact):
    """An incident as a list shows it."""

    id: str
    title: str
    status: IncidentStatus
    severity: Severity
    phase: Phase | None
    playbook: str
    account: str
    opened_at: UtcTime
    contained_at: UtcTime | None
    closed_at: UtcTime | None
    open_approvals: int


class ApprovalLocation(Fact):
    """Which incident an approval belongs to, and which workflow runs it."""

    incident_id: str
    workflow_id: str


class Received(Fact):
    """Args: fresh: False if the very same item was received before, and nothing was written."""

    id: int
    fresh: bool


class InboxItem(Fact):
    """Something that was acknowledged and has to be handled.

    Args:
        attempts: How often it was claimed, this time included.
    """

    id: int
    kind: InboxKind
    key: str
    body: JsonObject
    attempts: int


class AlertRow(Fact):
    """Everything that is known of one delivery of an alert, also of one that could not be read.

    Args:
        id: The alert's key; for an unreadable one, an id of its own.
        field: Which field of an unreadable payload is wrong, as a JSON path.
        raw_digest: Where the payload lies in the vault.
    """

    id: str
    source: str
    uid: str = ""
    title: str = ""
    severity: Severity = Severity.UNKNOWN
    received_at: UtcTime
    status: AlertStatus
    playbook: str = ""
    incident_id: str = ""
    workflow_id: str = ""
    reason: str = ""
    field: str = ""
    raw_digest: str = ""
    alert: Alert | None = None


class ChatRef(Fact):
    """Where one thing of one incident stands in the chat.

    Args:
        key: What it is: `channel`, `summary`, `approval:<id>`, `attention:<step>` …
        channel: The channel's id.
        ts: The message's timestamp, which is its id. Empty: about to be posted, so it may be there already.
        digest: Of what was last shown.
    """

    incident_id: str
    key: str
    channel: str = ""
    ts: str = ""
    digest: str = ""


class HaltRecord(Fact):
    """A halt, and who lifted it.

    Args:
        responder_id: Who halted; `name` is what this person was called then.
        lifted_at: None: it is in force.
    """

    id: int
    responder_id: str
    name: str
    reason: str
    since: UtcTime
    lifted_by: str = ""
    lifted_name: str = ""
    lift_reason: str = ""
    lifted_at: UtcTime | None = None


class HaltChange(Fact):
    """What came of halting or lifting.

    Args:
        changed: False: it was so already.
        halt: The halt that is in force, or that was lifted.
    """

    changed: bool
    halt: Halt | None
