"""The incident's state. `soar.model.fold` has the one function that changes it."""

from __future__ import annotations

from pydantic import Field, JsonValue

from soar.model.alert import Alert
from soar.model.base import Digest, JsonObject, State, UtcTime
from soar.model.change import Effect, ErrorInfo, EvidenceRef, Plan, Result
from soar.model.course import Clock, Task, TaskStatus
from soar.model.people import Approval, ApprovalStatus
from soar.model.terms import IncidentStatus, Phase, Risk, Severity, StepStatus

__all__ = ["MAX_ALERTS_KEPT", "Incident", "PhaseRecord", "StepRecord"]

MAX_ALERTS_KEPT = 50
"""How many alerts an incident keeps whole; all are counted, and every one is on the timeline."""


class StepRecord(State):
    """What is known of one step that was reached."""

    id: str
    name: str
    phase: Phase
    action: str
    risk: Risk
    status: StepStatus
    started_at: UtcTime
    ended_at: UtcTime | None = None
    plan: Plan | None = None
    plan_digest: Digest | None = None
    decided_by: str = ""
    """The policy rule that let the step run or asked for people."""
    result: Result | None = None
    error: ErrorInfo | None = None
    attention_roles: tuple[str, ...] = ()
    attention_excluded: dict[str, str] = {}
    reason: str = ""
    skipped_by: str = ""
    technique: tuple[str, ...] = ()
    until: UtcTime | None = None
    """When a wait ends at the latest."""
    items: list[JsonValue] | None = None
    """The list of a `foreach`."""
    rounds: dict[int, JsonValue] = {}
    """What each round of a loop that has ended left behind."""
    failed_rounds: list[int] = []
    round_ended_at: UtcTime | None = None
    rounds_before: int = 0
    """The rounds of a `repeat` before it was last retried."""
    retried_at: UtcTime | None = None
    way: str | None = None
    """Which way a branch went."""
    child: str = ""
    """The incident of the playbook that this step called."""
    child_workflow: str = ""


class PhaseRecord(State):
    """When a phase was worked on."""

    started_at: UtcTime
    ended_at: UtcTime | None = None


class Incident(State):
    """One running or ended workflow: the fold of its timeline.

    Args:
        detected_at: The earliest time that an alert gives for itself.
        first_activity_at: The earliest malicious activity that an alert tells of, where one does.
        contained_at: When the last containment step was verified; never before every one is achieved.
        variables: What `set` steps gave names to.
        paused: Why nothing new begins; None: it is not paused.
        severity_by: Who set the severity, if a person did; alerts and rules then leave it alone.
        assignee: The responder in charge.
        skips: Steps that are to be left out when they are reached, and why.
        skippers: Who asked for that.
        outputs: What the playbook that called this one gets.
        parent: The incident whose playbook called this one's.
        continued: How often the workflow went on in a new run.
        head_seq: The last timeline entry that is folded in.
    """

    id: str
    workflow_id: str
    run_id: str
    title: str
    playbook: str
    playbook_digest: Digest
    status: IncidentStatus = IncidentStatus.OPEN
    severity: Severity
    account: str = ""
    region: str = ""
    correlation_key: str = ""
    phase: Phase | None = None
    opened_at: UtcTime
    detected_at: UtcTime
    first_activity_at: UtcTime | None = None
    contained_at: UtcTime | None = None
    closed_at: UtcTime | None = None
    closed_reason: str = ""
    alerts: list[Alert] = []
    alert_count: int = 0
    phases: dict[Phase, PhaseRecord] = {}
    contains: tuple[str, ...] = ()
    steps: dict[str, StepRecord] = {}
    approvals: dict[str, Approval] = {}
    effects: dict[str, Effect] = {}
    evidence: list[EvidenceRef] = []
    notes: list[str] = []
    variables: JsonObject = {}
    tasks: dict[str, Task] = {}
    clocks: dict[str, Clock] = {}
    paused: str | None = None
    severity_by: str = ""
    assignee: str = ""
    assignee_name: str = ""
    skips: dict[str, str] = {}
    skippers: dict[str, str] = {}
    outputs: JsonObject = {}
    parent: str = ""
    continued: int = 0
    reports: dict[str, Digest] = {}
    report_paths: dict[str, str] = {}
    head_seq: int = Field(default=0, ge=0)
    head_hash: Digest

    @property
    def open_approvals(self) -> list[Approval]:
        """The approvals that wait for people, oldest first."""
        return [a for a in self.approvals.values() if a.status is ApprovalStatus.PENDING]

    @property
    def needing_attention(self) -> list[StepRecord]:
        """The failed steps that wait for a person."""
        return [s for s in self.steps.values() if s.status is StepStatus.ATTENTION]

    @property
    def open_tasks(self) -> list[Task]:
        """The tasks that wait for somebody, oldest first."""
        return [t for t in self.tasks.values() if t.status is TaskStatus.OPEN]

    @property
    def incomplete(self) -> list[StepRecord]:
        """The changes that were wanted and are not achieved: denied, failed, or skipped by a person."""
        return [
            s
            for s in self.steps.values()
            if s.risk is not Risk.READ
            and (
                s.status in (StepStatus.DENIED, StepStatus.FAILED)
                or (s.status is StepStatus.SKIPPED and bool(s.error or s.skipped_by))
            )
        ]

    @property
    def residual(self) -> list[Effect]:
        """The changes of ours that are still in place."""
        return [layer for e in self.effects.values() for layer in e.layers if layer.status.in_place]
