"""What travels between the engine, its callers and its own activities."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from soar.model.alert import Alert
from soar.model.base import Digest, Fact, JsonObject
from soar.model.incident import Incident
from soar.model.people import Decision, Responder, VoteChannel
from soar.model.terms import Phase
from soar.playbook.graph import StepGraph
from soar.playbook.policy import Policy

__all__ = [
    "CHAT_QUEUE",
    "ORCHESTRATOR_QUEUE",
    "WORKFLOW_TYPE",
    "ChatSyncRequest",
    "IncidentStart",
    "NoteRequest",
    "PolicyInForce",
    "Reply",
    "ReportRequest",
    "StepDecisionRequest",
    "UndoRequest",
    "VoteRequest",
]

WORKFLOW_TYPE = "Incident"
ORCHESTRATOR_QUEUE = "orchestrator"
CHAT_QUEUE = "chat"


class UndoRequest(Fact):
    """Put changes back, newest first: one step's, one phase's, or (both None) all that are in place."""

    step_id: str | None = None
    phase: Phase | None = None
    responder: Responder
    reason: str = ""
    channel: VoteChannel = VoteChannel.API


class IncidentStart(Fact):
    """The input of an incident's workflow. It carries the playbook: an edit on disk changes no running incident.

    Args:
        playbook_text: The playbook's canonical text, for the record.
        graph: The playbook compiled, which is what runs.
        chat: Whether a chat workspace is connected.
        resume: The state to go on from, where this run continues an earlier one.
        alerts: Alerts that came when an earlier run was about to end, and open this one.
        undo: The request that a closed incident is opened again for.
    """

    incident_id: str
    title: str
    playbook: str
    playbook_text: str
    playbook_digest: Digest
    graph: StepGraph
    inputs: JsonObject = {}
    correlation_key: str = ""
    chat: bool = False
    resume: Incident | None = None
    alerts: tuple[Alert, ...] = ()
    undo: UndoRequest | None = None


class VoteRequest(Fact):
    """A person's vote on an approval.

    Args:
        plan_digest_prefix: The beginning of the digest of the plan that the person saw.
        responder: Who votes, identified by the caller (Slack's signature, a token) and with the roles of the
            roster as it is now.
    """

    approval_id: str
    plan_digest_prefix: str = Field(pattern=r"^[0-9a-f]{12,64}$")
    responder: Responder
    decision: Decision
    channel: VoteChannel
    reason: str = Field(default="", max_length=2000)


class StepDecisionRequest(Fact):
    """What a person decides about a failed step."""

    step_id: str
    responder: Responder
    decision: Literal["retry", "skip", "stop"]
    channel: VoteChannel
    reason: str = Field(default="", max_length=2000)


class NoteRequest(Fact):
    """Something that a person wants on the timeline."""

    responder: Responder
    text: str = Field(min_length=1, max_length=4000)
    channel: VoteChannel = VoteChannel.API


class PolicyInForce(Fact):
    """The organisation's policy at one moment; None where there is none."""

    policy: Policy | None


class Reply(Fact):
    """The answer to a person: whether it counted, and what to tell them."""

    accepted: bool
    message: str


class ChatSyncRequest(Fact):
    """Bring the chat up to a timeline entry."""

    incident_id: str
    seq: int


class ReportRequest(Fact):
    """Write the report of the timeline up to an entry."""

    incident_id: str
    head_seq: int
    head_hash: Digest
