"""Whole timelines for the tests of the report, made as the engine makes them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Self

from soar.model.alert import Alert, AlertActor, Observable, ObservableType, RawRef, Resource, Technique
from soar.model.base import JsonObject, digest_of
from soar.model.change import BlastRadius, Change, ErrorInfo, EvidenceRef, Plan, Result, Target, Verification
from soar.model.events import (
    AlertJoined,
    AnyEvent,
    ApprovalClosed,
    ApprovalOpened,
    AttentionResolved,
    EffectApplied,
    EffectFailed,
    EffectStarted,
    EffectUndone,
    EffectVerified,
    IncidentClosed,
    IncidentOpened,
    NoteAdded,
    PhaseEnded,
    PhaseStarted,
    PlanMade,
    PolicyDecided,
    RefusalRecorded,
    StepDenied,
    StepFailed,
    StepNeedsAttention,
    StepSkipped,
    StepStarted,
    StepSucceeded,
    UndoRefused,
    VoteCast,
)
from soar.model.fold import fold
from soar.model.incident import Incident
from soar.model.people import ApprovalStatus, Decision, Vote, VoteChannel
from soar.model.terms import IncidentStatus, Phase, Risk, Severity
from soar.model.timeline import ENGINE, Actor, ActorKind, TimelineEntry, append, genesis

ACCOUNT, REGION = "123456789012", "eu-central-1"
START = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)
PLAYBOOK_TEXT = "name: leaked-key\ndescription: A key is used by a stranger.\n"
DANA = Actor(kind=ActorKind.PERSON, id="dana", name="Dana Ortiz")
GUARDDUTY = Actor(kind=ActorKind.SOURCE, id="guardduty", name="guardduty")
KEY = "AKIAIOSFODNN7EXAMPLE"
USER = f"arn:aws:iam::{ACCOUNT}:user/build-bot"


def alert(title: str = "API call from a known malicious IP address", **changes: object) -> Alert:
    """A GuardDuty finding about a leaked key."""
    fields: dict[str, object] = {
        "source": "guardduty",
        "uid": "f0b1",
        "title": title,
        "description": "The access key was used from 198.51.100.23, see https://console.example.com/findings.",
        "severity": Severity.HIGH,
        "severity_original": "8",
        "rule": "UnauthorizedAccess:IAMUser/MaliciousIPCaller.Custom",
        "time": START - timedelta(minutes=2),
        "first_seen": START - timedelta(minutes=47),
        "last_seen": START - timedelta(minutes=5),
        "account": ACCOUNT,
        "region": REGION,
        "resources": (Resource(uid=USER, type="aws.iam.user", name="build-bot"),),
        "actor": AlertActor(name="build-bot", access_key_id=KEY),
        "observables": (
            Observable(type=ObservableType.IP, value="198.51.100.23"),
            Observable(type=ObservableType.DOMAIN, value="drop.evil.example"),
            Observable(type=ObservableType.URL, value="http://drop.evil.example/x?a=1"),
            Observable(type=ObservableType.ACCESS_KEY, value=KEY),
        ),
        "techniques": (Technique(uid="T1078.004", name="Cloud Accounts", tactic="Initial Access"),),
        "raw": RawRef(digest=digest_of(b"raw"), size=4213),
    }
    return Alert.model_validate(fields | changes)


def key_plan(before: str = "Active", summary: str = "Deactivate the access key of build-bot") -> Plan:
    """Deactivate a key."""
    return Plan(
        action="aws.iam.deactivate_access_key",
        params={"user": "build-bot", "key": KEY},
        account=ACCOUNT,
        region=REGION,
        summary=summary,
        targets=(Target(uid=USER, type="aws.iam.user", name="build-bot", account=ACCOUNT),),
        changes=(Change(target=f"{USER} {KEY}", field="Status", before=before, after="Inactive"),),
        state={"status": before},
        blast_radius=BlastRadius(
            summary="The nightly build uses this key.", facts=("Last used 3 minutes ago.",)
        ),
        warnings=("The build will fail until it has a new key.",),
        undo="Set the key to Active again",
    )


class Builder:
    """Appends events to one timeline, seven seconds apart."""

    def __init__(
        self, incident_id: str = "inc-7f3a", title: str = "Access key of build-bot used by a stranger"
    ) -> None:
        self.id, self.now = incident_id, START
        self.entries: list[TimelineEntry] = []
        self.phase: Phase | None = None
        self.playbook_digest = digest_of(PLAYBOOK_TEXT.encode())
        self.title = title

    def add(
        self,
        event: AnyEvent,
        summary: str,
        *,
        actor: Actor = ENGINE,
        evidence: tuple[EvidenceRef, ...] = (),
        seconds: float = 7,
    ) -> TimelineEntry:
        self.now += timedelta(seconds=seconds)
        entry = append(
            incident_id=self.id,
            seq=len(self.entries) + 1,
            prev_hash=self.entries[-1].hash if self.entries else genesis(self.id),
            time=self.now,
            phase=self.phase,
            actor=actor,
            summary=summary,
            event=event,
            evidence=evidence,
        )
        self.entries.append(entry)
        return entry

    @property
    def incident(self) -> Incident:
        return fold(self.entries)

    def open(self, *alerts: Alert, contains: tuple[str, ...] = ("deactivate-key",)) -> Self:
        self.add(
            IncidentOpened(
                incident_id=self.id,
                workflow_id="incident/leaked-key/build-bot",
                run_id="5c1e",
                title=self.title,
                severity=Severity.HIGH,
                account=ACCOUNT,
                region=REGION,
                correlation_key="build-bot",
                playbook="leaked-key",
                playbook_digest=self.playbook_digest,
                contains=contains,
            ),
            f"Incident opened: {self.title}",
        )
        for one in alerts or (alert(),):
            self.join(one)
        return self

    def join(self, one: Alert, *, late: bool = False) -> None:
        self.add(AlertJoined(alert=one, after_containment=late), f"Alert: {one.title}", actor=GUARDDUTY)

    def begin(self, phase: Phase) -> None:
        self.phase = phase
        self.add(PhaseStarted(phase=phase), f"Phase {phase.label} started", seconds=1)

    def end(self) -> None:
        assert self.phase is not None
        self.add(PhaseEnded(phase=self.phase), f"Phase {self.phase.label} ended", seconds=1)

    def read(
        self, step_id: str, name: str, action: str, summary: str, data: JsonObject | None = None
    ) -> None:
        evidence = EvidenceRef(
            digest=digest_of(step_id.encode()),
            size=18234,
            media_type="application/json",
            name=f"{step_id}.json",
            source="cloudtrail:LookupEvents",
            collected_at=self.now,
        )
        self.add(StepStarted(step_id=step_id, name=name, action=action, risk=Risk.READ), f"Started: {name}")
        result = Result(summary=summary, data=data or {}, evidence=(evidence,))
        self.add(StepSucceeded(step_id=step_id, changed=False, result=result), summary, evidence=(evidence,))

    def plan(self, step_id: str, plan: Plan, *, name: str = "Deactivate the key", start: bool = True) -> None:
        if start:
            event = StepStarted(step_id=step_id, name=name, action=plan.action, risk=Risk.REVERSIBLE)
            self.add(event, f"Started: {name}")
        digest = plan.digest(self.playbook_digest)
        self.add(PlanMade(step_id=step_id, plan=plan, plan_digest=digest), f"Planned: {plan.summary}")
        self.add(
            PolicyDecided(
                step_id=step_id, outcome="approval", rule="changes to identities need one responder"
            ),
            "Policy: ask people",
        )

    def ask(
        self, step_id: str, plan: Plan, approval_id: str, *, needed: int = 1, supersedes: str = ""
    ) -> None:
        self.add(
            ApprovalOpened(
                approval_id=approval_id,
                step_id=step_id,
                plan_digest=plan.digest(self.playbook_digest),
                needed=needed,
                roles=("responder", "incident-commander"),
                why="changes to identities need one responder",
                excluded={"sam": "implicated: owns build-bot"},
                expires_at=self.now + timedelta(minutes=30),
                supersedes=supersedes,
                drift=("state status: 'Active' → 'Inactive'",) if supersedes else (),
            ),
            f"Approval asked: {plan.summary}",
        )

    def vote(self, approval_id: str, plan: Plan, decision: Decision, reason: str = "") -> None:
        vote = Vote(
            responder=DANA.id,
            name=DANA.name,
            decision=decision,
            plan_digest=plan.digest(self.playbook_digest),
            time=self.now + timedelta(seconds=48),
            channel=VoteChannel.SLACK,
            reason=reason,
        )
        self.add(
            VoteCast(approval_id=approval_id, vote=vote), f"Vote: {decision.value}", actor=DANA, seconds=48
        )

    def close_approval(self, approval_id: str, outcome: ApprovalStatus, reason: str = "") -> None:
        event = ApprovalClosed(approval_id=approval_id, outcome=outcome, reason=reason)
        self.add(event, f"Approval {outcome.value}", seconds=1)

    def approve(self, step_id: str, plan: Plan, approval_id: str = "ap-1") -> None:
        self.ask(step_id, plan, approval_id)
        self.vote(approval_id, plan, Decision.APPROVE, "The key is on a public paste.")
        self.close_approval(approval_id, ApprovalStatus.APPROVED)

    def start_effect(self, step_id: str, plan: Plan) -> None:
        digest = plan.digest(self.playbook_digest)
        self.add(EffectStarted(step_id=step_id, plan_digest=digest), f"Applying: {plan.summary}", seconds=1)

    def apply(self, step_id: str, plan: Plan) -> None:
        self.start_effect(step_id, plan)
        self.add(
            EffectApplied(step_id=step_id, result=Result(summary="The key is set to Inactive")), "Applied"
        )

    def verify(self, step_id: str, *, verified: bool = True) -> None:
        seen = f"{KEY} is {'Inactive' if verified else 'still Active'}"
        event = EffectVerified(
            step_id=step_id,
            verification=Verification(verified=verified, seen=seen, method="iam:ListAccessKeys", seconds=3.2),
        )
        self.add(event, f"{'Verified' if verified else 'NOT verified'}: {seen}")

    def succeed(self, step_id: str, *, changed: bool = True) -> None:
        self.add(
            StepSucceeded(step_id=step_id, changed=changed, result=Result(summary="Done")), "Done", seconds=1
        )

    def contain(self, step_id: str = "deactivate-key", approval_id: str = "ap-1") -> None:
        plan = key_plan()
        self.plan(step_id, plan)
        self.approve(step_id, plan, approval_id)
        self.apply(step_id, plan)
        self.verify(step_id)
        self.succeed(step_id)

    def close(self, status: IncidentStatus = IncidentStatus.CLOSED, reason: str = "") -> Self:
        self.add(IncidentClosed(status=status, reason=reason), f"Incident {status.value}")
        return self


def happy() -> Builder:
    """Everything went as planned."""
    b = Builder().open()
    b.begin(Phase.PREPARATION)
    b.end()
    b.begin(Phase.IDENTIFICATION)
    b.read(
        "cloudtrail", "Collect what the key did", "aws.cloudtrail.events_by_key", "41 events from 2 addresses"
    )
    b.read(
        "last-use", "Read the key's last use", "aws.iam.access_key_last_used", "Last used from 198.51.100.23"
    )
    b.end()
    b.begin(Phase.CONTAINMENT)
    b.contain()
    b.end()
    b.begin(Phase.RECOVERY)
    b.read("confirm", "Confirm that nobody uses the key", "aws.cloudtrail.events_by_key", "No event since")
    b.end()
    b.begin(Phase.LESSONS_LEARNED)
    b.add(
        NoteAdded(text="The key was in a public repository for 40 minutes."), "Note", actor=DANA, seconds=120
    )
    b.end()
    return b.close()


def denied() -> Builder:
    """People said no, after somebody without the right had tried to say yes."""
    b = Builder().open()
    b.begin(Phase.CONTAINMENT)
    plan = key_plan()
    b.plan("deactivate-key", plan)
    b.ask("deactivate-key", plan, "ap-1")
    b.add(
        RefusalRecorded(
            subject="ap-1", responder="sam", decision="approve", reason="implicated: owns build-bot"
        ),
        "Refused: sam",
    )
    b.vote("ap-1", plan, Decision.DENY, "The release is running.")
    b.close_approval("ap-1", ApprovalStatus.DENIED)
    b.add(
        StepDenied(step_id="deactivate-key", approval_id="ap-1", reason="The release is running."), "Denied"
    )
    b.end()
    return b.close(IncidentStatus.CLOSED_INCOMPLETE, "containment was denied")


def expired() -> Builder:
    """Nobody answered."""
    b = Builder().open()
    b.begin(Phase.CONTAINMENT)
    plan = key_plan()
    b.plan("deactivate-key", plan)
    b.ask("deactivate-key", plan, "ap-1", needed=2)
    b.now += timedelta(minutes=30)
    b.close_approval("ap-1", ApprovalStatus.EXPIRED, "nobody decided in time")
    b.add(StepDenied(step_id="deactivate-key", approval_id="ap-1", reason="expired"), "Not approved")
    b.end()
    return b.close(IncidentStatus.CLOSED_INCOMPLETE)


def missing_permission(*, decision: str = "skip") -> Builder:
    """The account refused; a person was asked, and skipped the step (or has not answered)."""
    b = Builder().open()
    b.begin(Phase.CONTAINMENT)
    plan = key_plan()
    b.plan("deactivate-key", plan)
    b.approve("deactivate-key", plan)
    b.start_effect("deactivate-key", plan)
    error = ErrorInfo(
        type="PermissionMissing",
        message="The account refused to change the key",
        hint="Grant it to the worker's role, then retry.",
        permission="iam:UpdateAccessKey",
        nothing_done=True,
    )
    b.add(EffectFailed(step_id="deactivate-key", error=error, nothing_done=True), "Not applied")
    b.add(
        StepNeedsAttention(step_id="deactivate-key", error=error, roles=("incident-commander",)),
        "Needs a decision",
    )
    if decision == "skip":
        event = AttentionResolved(step_id="deactivate-key", decision="skip", reason="Done by hand.")
        b.add(event, "Decided: skip", actor=DANA, seconds=90)
        b.add(StepSkipped(step_id="deactivate-key", reason="skipped by Dana Ortiz: Done by hand."), "Skipped")
        b.end()
        b.close(IncidentStatus.CLOSED_INCOMPLETE)
    return b


def failed() -> Builder:
    """Applying failed part-way, and the playbook stopped."""
    b = Builder().open()
    b.begin(Phase.CONTAINMENT)
    plan = key_plan()
    b.plan("deactivate-key", plan)
    b.approve("deactivate-key", plan)
    b.start_effect("deactivate-key", plan)
    error = ErrorInfo(type="Unavailable", message="IAM did not answer")
    b.add(EffectFailed(step_id="deactivate-key", error=error), "Failed")
    b.add(StepFailed(step_id="deactivate-key", error=error), "Failed")
    return b.close(IncidentStatus.FAILED, "a containment step failed")


def unverified() -> Builder:
    """Applied, but the independent read does not show it."""
    b = Builder().open()
    b.begin(Phase.CONTAINMENT)
    plan = key_plan()
    b.plan("deactivate-key", plan)
    b.approve("deactivate-key", plan)
    b.apply("deactivate-key", plan)
    b.verify("deactivate-key", verified=False)
    error = ErrorInfo(type="NotVerified", message="the key is still Active")
    b.add(StepFailed(step_id="deactivate-key", error=error), "Not verified")
    b.end()
    return b.close(IncidentStatus.CLOSED_INCOMPLETE)


def unproven() -> Builder:
    """The step claims success, and no verification is on record: what a bug or a forger would write."""
    b = Builder().open()
    b.begin(Phase.CONTAINMENT)
    plan = key_plan()
    b.plan("deactivate-key", plan)
    b.apply("deactivate-key", plan)
    b.succeed("deactivate-key")
    return b


def running() -> Builder:
    """Waiting for a vote."""
    b = Builder().open()
    b.begin(Phase.CONTAINMENT)
    plan = key_plan()
    b.plan("deactivate-key", plan)
    b.ask("deactivate-key", plan, "ap-1")
    return b


def undone(*, restored: bool = True) -> Builder:
    """Contained, and then put back by a person."""
    b = happy()
    b.entries.pop()
    event = EffectUndone(
        step_id="deactivate-key",
        result=Result(summary="Active again"),
        restored=restored,
        seen="the key is Active",
    )
    b.add(event, "Put back", actor=DANA)
    return b.close()


def undo_refused() -> Builder:
    """Contained; putting it back was refused, because somebody had changed it."""
    b = happy()
    b.entries.pop()
    error = ErrorInfo(type="Drifted", message="the key is gone")
    b.add(UndoRefused(step_id="deactivate-key", error=error), "Not put back", actor=DANA)
    return b.close()


def drifted() -> Builder:
    """The target changed after the vote: the vote is void, people are asked anew."""
    b = Builder().open()
    b.begin(Phase.CONTAINMENT)
    first, second = key_plan(), key_plan(summary="Deactivate the other key of build-bot")
    second = second.model_copy(update={"state": {"status": "Active", "created": "2026-01-30"}})
    b.plan("deactivate-key", first)
    b.ask("deactivate-key", first, "ap-1")
    b.vote("ap-1", first, Decision.APPROVE)
    b.close_approval("ap-1", ApprovalStatus.SUPERSEDED, "the target changed; the votes are void")
    b.plan("deactivate-key", second, start=False)
    b.ask("deactivate-key", second, "ap-2", supersedes="ap-1")
    b.vote("ap-2", second, Decision.APPROVE)
    b.close_approval("ap-2", ApprovalStatus.APPROVED)
    b.apply("deactivate-key", second)
    b.verify("deactivate-key")
    b.succeed("deactivate-key")
    b.end()
    return b.close()


def not_wanted() -> Builder:
    """The only containment step's condition did not hold."""
    b = Builder().open()
    b.begin(Phase.CONTAINMENT)
    skipped = StepSkipped(
        step_id="deactivate-key", name="Deactivate the key", reason="the key is gone already"
    )
    b.add(skipped, "Skipped")
    b.end()
    return b.close()


def hostile(text: str) -> Builder:
    """The attacker's text in every place that an alert, a plan, a vote or a note can carry it."""
    b = Builder(title=text).open(
        alert(
            text[:2048],
            description=text,
            uid=text[:512],
            rule=text,
            severity_original=text,
            account=text,
            region=text,
            revision=text,
            resources=(Resource(uid=text[:2048], type=text[:128], name=text[:1024], region=text),),
            actor=AlertActor(name=text),
            observables=tuple(Observable(type=t, value=text[:2048]) for t in ObservableType),
            techniques=(Technique(uid="T1078", name=text, tactic=text),),
            links=(text,),
        )
    )
    b.begin(Phase.CONTAINMENT)
    b.read("read", text, "aws.read", text)
    plan = key_plan(summary=text).model_copy(
        update={
            "changes": (Change(target=text, field=text, before=text, after=[text, {"x": text}]),),
            "targets": (Target(uid=text[:2048], type=text, name=text),),
            "warnings": (text,),
            "undo": text,
            "blast_radius": BlastRadius(summary=text, facts=(text,)),
        }
    )
    b.plan("deactivate-key", plan, name=text)
    b.ask("deactivate-key", plan, "ap-1")
    b.add(RefusalRecorded(subject="ap-1", responder=text, decision=text, reason=text), text)
    b.vote("ap-1", plan, Decision.APPROVE, text)
    b.close_approval("ap-1", ApprovalStatus.APPROVED, text)
    b.start_effect("deactivate-key", plan)
    error = ErrorInfo(type=text, message=text, hint=text, permission=text)
    b.add(EffectFailed(step_id="deactivate-key", error=error), text)
    b.add(StepNeedsAttention(step_id="deactivate-key", error=error, roles=(text,)), text)
    b.add(NoteAdded(text=text), text, actor=Actor(kind=ActorKind.PERSON, id="x", name=text))
    return b
