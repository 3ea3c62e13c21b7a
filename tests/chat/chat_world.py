"""An incident told by its timeline, references that can crash, and a running workspace."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from soar.chat.refs import ChatRef
from soar.model.alert import Alert, Observable, ObservableType
from soar.model.base import JsonObject, digest_of
from soar.model.change import BlastRadius, Change, ErrorInfo, Plan, Result, Target, Verification
from soar.model.course import FormSpec, TaskDone, TaskOpened, TaskOverdue
from soar.model.events import (
    AlertJoined,
    AnyEvent,
    ApprovalClosed,
    ApprovalOpened,
    EffectApplied,
    EffectStarted,
    EffectVerified,
    IncidentClosed,
    IncidentOpened,
    PhaseEnded,
    PhaseStarted,
    PlanMade,
    StepNeedsAttention,
    StepStarted,
    StepSucceeded,
    VoteCast,
)
from soar.model.fold import fold
from soar.model.incident import Incident
from soar.model.people import ApprovalStatus, Decision, Responder, Vote, VoteChannel
from soar.model.terms import IncidentStatus, Phase, Risk, Severity
from soar.model.timeline import ENGINE, Actor, ActorKind, TimelineEntry, append, genesis

START = datetime(2026, 3, 14, 3, 7, tzinfo=UTC)
SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
PLAYBOOK = digest_of(b"playbook")
IRENE = Responder(id="irene", name="Irene Castellano", slack="U0IRENE001", roles=("incident-commander",))
JONAS = Responder(id="jonas", name="Jonas Weber", slack="U0JONAS001", roles=("observer",))
TOM = Responder(id="tom", name="Tom Becker", slack="U0TOM00001", roles=("incident-commander",))

PLAN = Plan(
    action="aws.iam.deactivate_access_key",
    params={"user": "edi-gateway"},
    account="123456789012",
    region="eu-central-1",
    summary="Set access key AKIAIOSFODNN7EXAMPLE of the user edi-gateway to Inactive",
    targets=(
        Target(uid="arn:aws:iam::123456789012:user/edi-gateway", type="aws.iam.user", name="edi-gateway"),
    ),
    changes=(Change(target="AKIAIOSFODNN7EXAMPLE", field="Status", before="Active", after="Inactive"),),
    state={"status": "Active"},
    blast_radius=BlastRadius(
        summary="Whatever signs with this key stops working.",
        facts=("last used 4 minutes ago from 198.51.100.23 for s3:ListBuckets", "the user has no other key"),
    ),
    warnings=("The key was used by the EDI gateway itself within the last day.",),
    undo="The key is set to Active again.",
)
ALERT = Alert(
    source="guardduty",
    uid="f1",
    title="API GetObject was called from a known malicious address with a leaked key.",
    severity=Severity.HIGH,
    time=START,
    account="123456789012",
    region="eu-central-1",
    rule="UnauthorizedAccess:IAMUser/MaliciousIPCaller.Custom",
    observables=(
        Observable(type=ObservableType.IP, value="198.51.100.23"),
        Observable(type=ObservableType.ACCESS_KEY, value="AKIAIOSFODNN7EXAMPLE"),
    ),
)

FORM = {
    "summary": FormSpec(type="text", label="What was found"),
    "records": FormSpec(type="number", label="Records concerned"),
    "personal": FormSpec(type="boolean", label="Personal data"),
    "category": FormSpec(type="choice", label="Kind of data", options=("none", "health " + "x" * 200)),
    "since": FormSpec(type="time", label="Exposed since", required=False),
}


def person(name: str) -> Actor:
    return Actor(kind=ActorKind.PERSON, id=name.lower(), name=name)


class Story:
    """Writes a timeline, one event a minute."""

    def __init__(
        self,
        incident_id: str = "inc-2026-0042",
        title: str = "Leaked access key of edi-gateway used from abroad",
    ) -> None:
        self.entries: list[TimelineEntry] = []
        self.id = incident_id
        self.phase: Phase | None = None
        self.tell(
            IncidentOpened(
                incident_id=incident_id,
                workflow_id=f"incident/leaked-access-key/{incident_id}",
                run_id="r1",
                title=title,
                severity=Severity.HIGH,
                account="123456789012",
                region="eu-central-1",
                playbook="leaked-access-key",
                playbook_digest=PLAYBOOK,
                contains=("deactivate",),
            ),
            title,
        )

    def tell(self, event: AnyEvent, summary: str = "", actor: Actor = ENGINE) -> Story:
        seq = len(self.entries) + 1
        if isinstance(event, PhaseStarted):
            self.phase = event.phase
        self.entries.append(
            append(
                incident_id=self.id,
                seq=seq,
                prev_hash=self.entries[-1].hash if self.entries else genesis(self.id),
                time=START + timedelta(minutes=seq),
                phase=self.phase,
                actor=actor,
                summary=summary or event.kind,
                event=event,
            )
        )
        return self

    @property
    def incident(self) -> Incident:
        return fold(self.entries)

    def to_approval(self, plan: Plan = PLAN, *, needed: int = 1, alert: Alert = ALERT) -> Story:
        self.tell(AlertJoined(alert=alert), alert.title)
        self.tell(PhaseStarted(phase=Phase.IDENTIFICATION), "identification begins")
        self.tell(PhaseEnded(phase=Phase.IDENTIFICATION), "identification ends")
        self.tell(PhaseStarted(phase=Phase.CONTAINMENT), "containment begins")
        self.tell(
            StepStarted(
                step_id="deactivate", name="Deactivate the key", action=plan.action, risk=Risk.REVERSIBLE
            )
        )
        return self.ask(plan, needed=needed)

    def ask(self, plan: Plan = PLAN, *, needed: int = 1, number: int = 1, supersedes: str = "") -> Story:
        digest = plan.digest(PLAYBOOK)
        self.tell(PlanMade(step_id="deactivate", plan=plan, plan_digest=digest))
        return self.tell(
            ApprovalOpened(
                approval_id=f"ap-{number}",
                step_id="deactivate",
                plan_digest=digest,
                needed=needed,
                roles=("incident-commander",),
                why="policy rule 2 (keys are looked at by a person)",
                expires_at=START + timedelta(hours=4),
                supersedes=supersedes,
                drift=("now: AKIA2 Status: 'Active' → 'Inactive'",) if supersedes else (),
            ),
            "approval asked",
        )

    def vote(self, decision: Decision = Decision.APPROVE, name: str = "Irene Castellano") -> Story:
        vote = Vote(
            responder=name.split()[0].lower(),
            name=name,
            decision=decision,
            plan_digest=PLAN.digest(PLAYBOOK),
            time=START,
            channel=VoteChannel.SLACK,
        )
        return self.tell(VoteCast(approval_id="ap-1", vote=vote), f"{name} voted {decision.value}")

    def close_approval(self, outcome: ApprovalStatus = ApprovalStatus.APPROVED) -> Story:
        return self.tell(ApprovalClosed(approval_id="ap-1", outcome=outcome), f"approval {outcome.value}")

    def approved(self) -> Story:
        return self.to_approval().vote().close_approval()

    def started(self) -> Story:
        return self.approved().tell(EffectStarted(step_id="deactivate", plan_digest=PLAN.digest(PLAYBOOK)))

    def verified(self, good: bool = True) -> Story:
        self.started().tell(
            EffectApplied(step_id="deactivate", result=Result(summary="done")), "the key was set"
        )
        seen = Verification(verified=good, seen="the key is Inactive", method="iam:ListAccessKeys")
        return self.tell(
            EffectVerified(step_id="deactivate", verification=seen), "verified: the key is Inactive"
        )

    def contained(self) -> Story:
        return self.verified().tell(
            StepSucceeded(step_id="deactivate", changed=True, result=Result(summary="done")), "done"
        )

    def closed(self) -> Story:
        self.contained().tell(PhaseEnded(phase=Phase.CONTAINMENT))
        return self.tell(IncidentClosed(status=IncidentStatus.CLOSED), "the incident is closed")

    def to_task(
        self,
        form: dict[str, FormSpec] = FORM,
        *,
        step: str = "assess",
        name: str = "Assess what was read",
        instructions: str = "Look at the access log.\nCount the records.",
        roles: tuple[str, ...] = ("incident-commander",),
        excluded: dict[str, str] | None = None,
    ) -> Story:
        self.tell(PhaseStarted(phase=Phase.IDENTIFICATION))
        self.tell(StepStarted(step_id=step, name=name, action="task", risk=Risk.READ))
        return self.tell(
            TaskOpened(
                step_id=step,
                instructions=instructions,
                roles=roles,
                excluded=excluded or {},
                form=form,
                due_at=START + timedelta(hours=2),
            ),
            f"Task: {name}",
        )

    def overdue(self) -> Story:
        return self.tell(TaskOverdue(step_id="assess", due_at=START + timedelta(hours=4)), "Overdue")

    def did(self, values: JsonObject | None = None, step: str = "assess") -> Story:
        return self.tell(
            TaskDone(step_id=step, responder="irene", values=values or {}), "Irene did it", person("Irene")
        )

    def attention(self) -> Story:
        error = ErrorInfo(
            type="PermissionMissing",
            message="the account refused iam:UpdateAccessKey",
            hint="let the role soar-responder do it, then retry",
            permission="iam:UpdateAccessKey",
            nothing_done=True,
        )
        return self.approved().tell(
            StepNeedsAttention(step_id="deactivate", error=error, roles=("incident-commander",)),
            "the step needs attention",
        )


class Crash(Exception):
    """The process dies here."""


class Refs:
    """References in memory, which can die before a write is committed."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], ChatRef] = {}
        self.crash_at: int | None = None
        self.puts = 0

    async def get(self, incident_id: str, key: str) -> ChatRef | None:
        return self.rows.get((incident_id, key))

    async def put(self, ref: ChatRef) -> None:
        self.puts += 1
        if self.crash_at is not None and self.puts >= self.crash_at:
            self.crash_at = None
            raise Crash
        self.rows[ref.incident_id, ref.key] = ref
