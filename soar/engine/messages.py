"""What travels between the engine, its callers and its own activities."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, ValidationInfo, model_validator

from soar.model.alert import Alert
from soar.model.base import Digest, Fact, JsonObject
from soar.model.incident import Incident
from soar.model.people import Decision, Responder, VoteChannel
from soar.model.terms import IncidentStatus, Phase, Risk, Severity
from soar.model.timeline import TimelineEntry
from soar.playbook.graph import StepGraph
from soar.playbook.policy import Halt, Policy, Spent

__all__ = [
    "CHAT_QUEUE",
    "ENGINE",
    "ORCHESTRATOR_QUEUE",
    "WORKFLOW_TYPE",
    "AssignRequest",
    "Carry",
    "ChatSyncRequest",
    "ChildResult",
    "ClockRequest",
    "ExtendRequest",
    "IncidentStart",
    "NoteRequest",
    "Parent",
    "PersonRequest",
    "PolicyInForce",
    "Reply",
    "ReportRequest",
    "ReserveRequest",
    "Reserved",
    "SeverityRequest",
    "SkipRequest",
    "StepDecisionRequest",
    "TaskRequest",
    "UndoRequest",
    "UndoUnderWay",
    "UpgradeRequest",
    "VoteRequest",
]

WORKFLOW_TYPE = "Incident"
ENGINE = 3
"""The way in which the engine spends history events. An incident keeps the one that it was started with, so that what
is running survives an upgrade: 1, timeline entries are stored as they come; 2, those of a second are stored together,
the last ones with the report, and a place in policy's budgets is taken before a change; 3, changes are planned together
with the reads before them and with each other, and the line about the last report is stored without a round trip."""
ORCHESTRATOR_QUEUE = "orchestrator"
CHAT_QUEUE = "chat"


class PersonRequest(Fact):
    """What a person tells an incident, without more: pause, resume, cancel.

    Args:
        responder: Who, identified by the caller, with the roles of the roster as it is now.
    """

    responder: Responder
    reason: str = Field(default="", max_length=2000)
    channel: VoteChannel = VoteChannel.API


class SeverityRequest(PersonRequest):
    """Set the severity."""

    severity: Severity


class AssignRequest(PersonRequest):
    """Put somebody in charge; None: nobody."""

    assignee: Responder | None


class SkipRequest(PersonRequest):
    """Leave a step out: one that waits or failed, or one that is not reached yet."""

    step_id: str


class ExtendRequest(PersonRequest):
    """Let a change that would be put back by itself stay for longer.

    Args:
        seconds: From now on; None: until somebody undoes it.
    """

    step_id: str
    seconds: float | None = Field(default=None, gt=0, le=366 * 86400)


class TaskRequest(PersonRequest):
    """A task is done.

    Args:
        values: What the form was filled in with.
    """

    step_id: str
    values: JsonObject = {}


class ClockRequest(PersonRequest):
    """What a deadline asks for was done."""

    clock: str


class UpgradeRequest(PersonRequest):
    """Go on with another version of the playbook."""

    playbook_text: str
    playbook_digest: Digest
    graph: StepGraph
    differences: tuple[str, ...] = ()


class UndoRequest(Fact):
    """Put changes back, newest first: one step's, one phase's, or (both None) all that are in place."""

    step_id: str | None = None
    phase: Phase | None = None
    responder: Responder
    reason: str = ""
    channel: VoteChannel = VoteChannel.API


class Carry(Fact):
    """What a run hands to the one that continues it.

    Args:
        incident: The state.
        unstored: Entries that the store does not have yet.
        told: The last entry that the chat has.
        seen: Digests of the keys of the alerts that were taken.
        waiting: Alerts that were not taken yet.
        late: Alerts that came after the end, and open the next incident.
        refusals: How many attempts were refused, by subject.
        undos: The undo steps that are under way, and not in the playbook.
        stop: Why nothing new begins, if so, and as what the incident ends.
    """

    incident: Incident
    unstored: tuple[TimelineEntry, ...] = ()
    told: int = 0
    seen: tuple[str, ...] = ()
    waiting: tuple[Alert, ...] = ()
    late: tuple[Alert, ...] = ()
    refusals: dict[str, int] = {}
    undos: tuple[UndoUnderWay, ...] = ()
    stop: IncidentStatus | None = None
    stop_reason: str = ""


class UndoUnderWay(Fact):
    """An undo that somebody, or a timer, asked for.

    Args:
        step_id: The step that it is.
        steps: Whose changes are put back.
        automatic: Nobody is asked: the playbook says so.
    """

    step_id: str
    name: str
    phase: Phase
    steps: tuple[str, ...]
    automatic: bool = False


class ChildResult(Fact):
    """How a called playbook ended.

    Args:
        step_id: The step that called it.
    """

    step_id: str
    status: IncidentStatus
    reason: str = ""
    outputs: JsonObject = {}


class IncidentStart(Fact):
    """The input of an incident's workflow. It carries the playbook: an edit on disk changes no running incident.

    Args:
        playbook_text: The playbook's canonical text, for the record.
        graph: The playbook compiled, which is what runs.
        chat: Whether a chat workspace is connected.
        resume: The state to go on from, where a closed incident is opened again.
        carry: What to go on from, where this run continues an earlier one.
        engine: See `ENGINE`.
        parent: The incident whose playbook called this one's, with its workflow and step.
        dry_run: Read, plan and decide, and change nothing and ask nobody.
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
    carry: Carry | None = None
    parent: Parent | None = None
    dry_run: bool = False
    engine: int = ENGINE

    @model_validator(mode="before")
    @classmethod
    def _before_it_was_told(cls, value: Any, info: ValidationInfo) -> Any:
        # What an earlier release wrote into a history does not say; what is made here always does.
        if info.mode == "json" and isinstance(value, dict) and "engine" not in value:
            return {**value, "engine": 1}
        return value


class Parent(Fact):
    """Who called a playbook."""

    incident_id: str
    workflow_id: str
    step_id: str


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
    """The organisation's policy at one moment; None where there is none.

    Args:
        halt: The halt that is in force.
        spent: The changes that were made lately, as far back as the policy's longest budget reaches.
    """

    policy: Policy | None
    halt: Halt | None = None
    spent: tuple[Spent, ...] = ()


class ReserveRequest(Fact):
    """Take a place in the policy's budgets for a change that is about to begin.

    Asking again for the same incident, step and plan takes no further place.
    """

    incident_id: str
    step_id: str
    plan_digest: Digest
    risk: Risk
    account: str
    playbook: str
    action: str


class Reserved(Fact):
    """Whether the change may begin.

    Args:
        reason: Why it may not, and when that ends; empty if it may.
    """

    granted: bool
    reason: str = ""


class Reply(Fact):
    """The answer to a person: whether it counted, and what to tell them."""

    accepted: bool
    message: str


class ChatSyncRequest(Fact):
    """Bring the chat up to a timeline entry."""

    incident_id: str
    seq: int


class ReportRequest(Fact):
    """Write the report of the timeline up to an entry.

    Args:
        entries: The last of them, which the store does not have yet.
    """

    incident_id: str
    head_seq: int
    head_hash: Digest
    entries: tuple[TimelineEntry, ...] = ()
