"""Timelines with all that can happen besides actions: people, waits, loops, deadlines, changes that expire."""

from __future__ import annotations

from datetime import timedelta

import build
from pydantic import JsonValue

from soar.model.base import JsonObject, digest_of
from soar.model.change import BlastRadius, ErrorInfo, Plan, Result
from soar.model.course import (
    Assigned,
    CancelRequested,
    ChildEnded,
    ChildOpened,
    ClockMet,
    ClockMissed,
    ClockStarted,
    ClockWarned,
    EffectExpirySet,
    FormSpec,
    IncidentPaused,
    IncidentResumed,
    LoopStarted,
    PlaybookUpgraded,
    RoundEnded,
    SeveritySet,
    SkipRequested,
    TaskCancelled,
    TaskDone,
    TaskOpened,
    TaskOverdue,
    WaitStarted,
)
from soar.model.events import (
    AttentionResolved,
    EffectUndone,
    IncidentReopened,
    RefusalRecorded,
    StepFailed,
    StepNeedsAttention,
    StepSkipped,
    StepStarted,
    StepSucceeded,
    UndoRefused,
)
from soar.model.people import ApprovalStatus, Decision
from soar.model.terms import IncidentStatus, Phase, Risk, Severity
from soar.model.timeline import Actor, ActorKind

SAM = Actor(kind=ActorKind.PERSON, id="sam", name="Sam Okafor")
FORM = {
    "owner": FormSpec(type="text", label="Who owns the key"),
    "rotated": FormSpec(type="boolean", label="Was it rotated"),
    "ticket": FormSpec(type="text", label="Ticket", required=False),
}


class Course(build.Builder):
    """Writes whole parts of a course, as the engine does."""

    def step(self, step_id: str, name: str, kind: str) -> None:
        self.add(StepStarted(step_id=step_id, name=name, action=kind, risk=Risk.READ), f"Started: {name}")

    def done(self, step_id: str, summary: str = "Done", data: JsonObject | None = None) -> None:
        result = Result(summary=summary, data=data or {})
        self.add(StepSucceeded(step_id=step_id, changed=False, result=result), summary, seconds=1)

    def task(self, step_id: str, name: str, *, minutes: float = 15, instructions: str = "Ask them.") -> None:
        self.step(step_id, name, "task")
        self.add(
            TaskOpened(
                step_id=step_id,
                instructions=instructions,
                roles=("responder",),
                excluded={"eve": "implicated: owns build-bot"},
                form=FORM,
                due_at=self.now + timedelta(minutes=minutes),
            ),
            f"Task for responder: {name}",
        )

    def did(self, step_id: str, values: JsonObject, *, who: Actor = build.DANA, seconds: float = 300) -> None:
        event = TaskDone(step_id=step_id, responder=who.id, values=values)
        self.add(event, f"{who.name} did it", actor=who, seconds=seconds)
        self.done(step_id, data={**values, "completed_by": who.id})

    def question(self, step_id: str, text: str, approval_id: str, decision: Decision, reason: str) -> None:
        self.step(step_id, "Ask whether to go on", "approve")
        plan = Plan(
            action="approve",
            params={},
            summary=text,
            blast_radius=BlastRadius(summary=f"Asked because: {text}"),
        )
        self.plan(step_id, plan, name="Ask whether to go on", start=False)
        self.ask(step_id, plan, approval_id)
        self.vote(approval_id, plan, decision, reason)
        yes = decision is Decision.APPROVE
        self.close_approval(approval_id, ApprovalStatus.APPROVED if yes else ApprovalStatus.DENIED)
        self.done(step_id, data={"approved": yes})

    def wait(self, step_id: str, name: str, *, minutes: float = 30) -> None:
        self.step(step_id, name, "wait")
        event = WaitStarted(step_id=step_id, until=self.now + timedelta(minutes=minutes))
        self.add(event, f"Waiting: {name}", seconds=1)

    def foreach(
        self, step_id: str, items: list[JsonValue], failing: set[int], why: str = "it is gone"
    ) -> None:
        self.step(step_id, "Every other key", "foreach")
        self.add(LoopStarted(step_id=step_id, items=items), f"{len(items)} item(s)", seconds=1)
        for index in range(len(items)):
            inner = f"look[{index}]"
            self.step(inner, "Look at the key", "aws.iam.access_key_last_used")
            if index in failing:
                error = ErrorInfo(type="TargetGone", message=why)
                self.add(StepFailed(step_id=inner, error=error), "Failed", seconds=1)
            else:
                self.done(inner)
            status = "failed" if index in failing else "succeeded"
            forget = () if index in failing else (inner,)
            value: JsonValue = {"look": {"status": status, "result": {}}}
            self.add(
                RoundEnded(step_id=step_id, index=index, value=value, failed=index in failing, forget=forget),
                f"{index + 1} ended",
                seconds=1,
            )
        self.done(step_id, f"{len(items)} item(s)")

    def repeat(self, step_id: str, rounds: int) -> None:
        self.step(step_id, "Until nobody uses it", "repeat")
        for index in range(rounds):
            inner = f"probe[{index}]"
            self.step(inner, "Probe", "aws.iam.access_key_last_used")
            self.done(inner)
            event = RoundEnded(step_id=step_id, index=index, value=index == rounds - 1, forget=(inner,))
            self.add(event, f"{index + 1} ended")
        self.done(step_id, f"after {rounds} round(s)")

    def call(self, step_id: str, status: IncidentStatus, reason: str, outputs: JsonObject) -> None:
        self.step(step_id, "Hunt in the other accounts", "playbook")
        self.add(
            ChildOpened(
                step_id=step_id, workflow_id="incident/x/INC-CHILD", incident_id="INC-CHILD", playbook="hunt"
            ),
            "Called: hunt",
        )
        event = ChildEnded(step_id=step_id, status=status, reason=reason, outputs=outputs)
        self.add(event, f"INC-CHILD ended: {status.value}", seconds=90)
        self.done(step_id)

    def change(self, step_id: str, approval_id: str, *, minutes: float | None = None) -> None:
        plan = build.key_plan(summary=f"Deactivate the key ({step_id})")
        self.plan(step_id, plan, name=f"Deactivate the key ({step_id})")
        self.approve(step_id, plan, approval_id)
        self.apply(step_id, plan)
        self.verify(step_id)
        if minutes is not None:
            at = self.now + timedelta(minutes=minutes)
            self.add(
                EffectExpirySet(step_id=step_id, expires_at=at, reason="the playbook says so"), "Expires"
            )
        self.succeed(step_id)

    def extend(self, step_id: str, minutes: float | None, reason: str) -> None:
        at = self.now + timedelta(minutes=minutes) if minutes is not None else None
        self.add(EffectExpirySet(step_id=step_id, expires_at=at, reason=reason), "Extended", actor=build.DANA)

    def time_over(self, step_id: str, undo_id: str, *, refused: bool = False) -> None:
        """The timer rings: the change is put back, or cannot be."""
        at = self.incident.effects[step_id].expires_at
        assert at is not None
        self.now = at
        name = "Its time is over: Deactivate the key"
        started = StepStarted(step_id=undo_id, name=name, action="incident.undo", risk=Risk.REVERSIBLE)
        self.add(started, f"Started: {name}")
        if refused:
            error = ErrorInfo(type="Drifted", message="the key was changed by somebody else")
            self.add(UndoRefused(step_id=step_id, error=error), "Not undone")
            self.add(StepFailed(step_id=undo_id, error=error), "Failed")
            self.add(
                EffectExpirySet(
                    step_id=step_id, expires_at=None, reason="it could not be put back by itself"
                ),
                "Stays",
            )
            return
        undone = EffectUndone(
            step_id=step_id, result=Result(summary="Active again"), restored=True, seen="the key is Active"
        )
        self.add(undone, "Undone and verified")
        self.succeed(undo_id)

    def clock(self, name: str, label: str, minutes: float) -> None:
        due = self.now + timedelta(minutes=minutes)
        self.add(
            ClockStarted(
                clock=name,
                label=label,
                started_at=self.now,
                due_at=due,
                warn_at=due - timedelta(minutes=5),
            ),
            f"Deadline: {label}",
            seconds=1,
        )


def course(playbook_text: str = build.PLAYBOOK_TEXT) -> Course:
    """An incident in which everything happened that can, besides attacks."""
    b = Course()
    b.playbook_digest = digest_of(playbook_text.encode())
    b.open(contains=("temporary", "kept", "stuck"))
    b.clock("told", "Tell the data protection officer", 180)
    b.clock("rotated", "Rotate the key", 45)
    b.clock("asked", "Ask the owner", 10)
    b.clock("review", "Hold the review", 60 * 24 * 5)
    b.add(SeveritySet(severity=Severity.CRITICAL, reason="the playbook's rule: admin"), "Severity raised")
    b.add(
        SeveritySet(severity=Severity.MEDIUM, by=build.DANA.id, reason="A test account."),
        "Severity set",
        actor=build.DANA,
    )
    b.add(Assigned(responder="dana", name="Dana Ortiz"), "In charge", actor=build.DANA)
    b.begin(Phase.IDENTIFICATION)
    b.now += timedelta(minutes=10)
    b.add(ClockMissed(clock="asked"), "Deadline MISSED")
    b.task(
        "ask-owner", "Ask the owner of the key", instructions="Call the owner.\nThen write down who it is."
    )
    refused = RefusalRecorded(
        subject="ask-owner", responder="eve", decision="complete", reason="implicated: owns build-bot"
    )
    b.add(refused, "Refused: eve")
    b.now += timedelta(minutes=15)
    overdue = TaskOverdue(step_id="ask-owner", due_at=b.now + timedelta(minutes=15))
    b.add(overdue, "Overdue")
    b.did("ask-owner", {"owner": "Team Build", "rotated": False})
    b.task("in-time", "Look at the build's log", instructions="")
    b.did("in-time", {"owner": "nobody", "rotated": True, "ticket": "OPS-1"}, who=SAM, seconds=60)
    b.task("no-need", "Call the vendor")
    b.add(SkipRequested(step_id="no-need", by="dana", reason="by Dana Ortiz"), "Skip asked", actor=build.DANA)
    b.add(TaskCancelled(step_id="no-need", reason="left out by Dana Ortiz"), "Task withdrawn")
    b.add(StepSkipped(step_id="no-need", by="dana", reason="by Dana Ortiz"), "Skipped")
    b.question("go-on", "Does the release wait?", "ap-q1", Decision.DENY, "It went out already.")
    b.add(IncidentPaused(reason="The release is running."), "Paused", actor=build.DANA)
    b.add(IncidentResumed(), "Resumed", actor=SAM, seconds=600)
    b.wait("quiet", "Half an hour of quiet", minutes=30)
    b.now += timedelta(minutes=30)
    b.done("quiet", "The time is over", {"happened": True})
    b.wait("again", "Another finding about this key", minutes=60)
    b.done("again", "It happened", {"happened": True, "alert": {"title": "Key used again", "uid": "f0b9"}})
    b.wait("night", "Until the morning", minutes=600)
    skip = SkipRequested(step_id="night", by="dana", reason="by Dana Ortiz — Not needed.")
    b.add(skip, "Skip asked", actor=build.DANA)
    b.add(StepSkipped(step_id="night", by="dana", reason="by Dana Ortiz — Not needed."), "Skipped")
    b.foreach("others", [f"AKIA{n:04}" for n in range(60)], {3, 57})
    b.repeat("until-quiet", 3)
    b.call(
        "hunt", IncidentStatus.CLOSED_INCOMPLETE, "a hunt was denied", {"found": 2, "accounts": ["1", "2"]}
    )
    b.end()
    b.add(ClockWarned(clock="told"), "Deadline near")
    b.begin(Phase.CONTAINMENT)
    b.change("temporary", "ap-1", minutes=30)
    b.change("kept", "ap-2", minutes=30)
    b.change("stuck", "ap-3", minutes=40)
    b.extend("temporary", 35, "The investigation goes on.")
    b.extend("kept", None, "")
    error = ErrorInfo(type="Throttled", message="IAM asked to slow down", hint="retry")
    b.step("notify", "Tell the owner", "http.request")
    b.add(StepNeedsAttention(step_id="notify", error=error, roles=("responder",)), "Needs a decision")
    retry = AttentionResolved(step_id="notify", decision="retry", reason="It is quiet again.")
    b.add(retry, "Decided: retry", actor=SAM)
    b.done("notify")
    later = SkipRequested(step_id="never", by="sam", reason="by Sam Okafor")
    b.add(later, "Skip asked", actor=SAM)
    b.end()
    b.add(ClockMissed(clock="rotated"), "Deadline MISSED")
    b.time_over("temporary", "undo-1")
    b.time_over("stuck", "undo-2", refused=True)
    b.add(ClockMet(clock="told", reason="step notify"), "Deadline met")
    b.add(ClockMet(clock="rotated", reason="by Dana Ortiz"), "Deadline met", actor=build.DANA)
    upgraded = PlaybookUpgraded(
        before=b.playbook_digest,
        digest=digest_of(b"the next version"),
        differences=("step “notify” waits for 10 minutes, not 5", "a new step “tell-legal”"),
        contains=("temporary", "kept", "stuck"),
        reason="Legal has to know.",
    )
    b.add(upgraded, "Upgraded", actor=build.DANA)
    b.add(
        Assigned(responder="sam", name="Sam Okafor", reason="Change of shift."), "In charge", actor=build.DANA
    )
    b.add(CancelRequested(reason="It was a drill."), "Cancelled", actor=SAM)
    b.close(IncidentStatus.CANCELLED, "cancelled by Sam Okafor — It was a drill.")
    b.add(
        IncidentReopened(workflow_id="undo/inc-7f3a", run_id="77", reason="put the rest back"),
        "Opened again",
        actor=build.DANA,
    )
    return b


def hostile(text: str) -> Course:
    """The attacker's text in every place of a course that an alert, a person or another system can write to."""
    b = Course(title=text)
    b.open(contains=("temporary",))
    mallory = Actor(kind=ActorKind.PERSON, id=text, name=text)
    b.clock(text, text, 60)
    b.clock("late", text, 1)
    b.add(SeveritySet(severity=Severity.CRITICAL, reason=text), text)
    b.add(Assigned(responder=text, name=text, reason=text), text, actor=mallory)
    b.begin(Phase.CONTAINMENT)
    b.step("task", text, "task")
    form = {f"field {text}": FormSpec(type="text", label=text), "other": FormSpec(type="text", label="Other")}
    b.add(
        TaskOpened(
            step_id="task", instructions=text, roles=(text,), excluded={text: text}, form=form, due_at=b.now
        ),
        text,
    )
    b.add(RefusalRecorded(subject="task", responder=text, decision=text, reason=text), text)
    values: JsonObject = {f"field {text}": [text, {"x": text}], f"unasked {text}": text}
    b.add(TaskDone(step_id="task", responder=text, values=values), text, actor=mallory)
    b.done("task", text)
    b.question("go-on", text, "ap-q", Decision.APPROVE, text)
    b.add(IncidentPaused(reason=text), text, actor=mallory)
    b.add(IncidentResumed(reason=text), text, actor=mallory)
    b.wait("wait", text)
    b.done("wait", text, {"happened": True, "alert": {"title": text, "uid": text}})
    b.wait("skipped", text)
    b.add(SkipRequested(step_id="skipped", by=text, reason=text), text, actor=mallory)
    b.add(StepSkipped(step_id="skipped", by=text, reason=text), text)
    b.foreach("others", [text, {"a": [text]}], {0}, text)
    b.step("collect", text, "foreach")
    b.add(LoopStarted(step_id="collect", items=[text]), text)
    # What a loop collects may look like the record of a step.
    forged: JsonValue = {text: {"status": "succeeded", "result": {}}}
    b.add(RoundEnded(step_id="collect", index=0, value=forged), text)
    b.call("hunt", IncidentStatus.FAILED, text, {f"out {text}": [text]})
    b.change("temporary", "ap-1", minutes=30)
    b.extend("temporary", 60, text)
    b.extend("temporary", None, text)
    b.add(ClockMissed(clock="late"), text)
    b.add(ClockMet(clock=text, reason=text), text, actor=mallory)
    upgraded = PlaybookUpgraded(
        before=b.playbook_digest, digest=digest_of(b"x"), differences=(text, text), reason=text
    )
    b.add(upgraded, text, actor=mallory)
    b.add(CancelRequested(reason=text), text, actor=mallory)
    b.close(IncidentStatus.CANCELLED, text)
    b.add(IncidentReopened(workflow_id=text, run_id=text, reason=text), text, actor=mallory)
    return b
