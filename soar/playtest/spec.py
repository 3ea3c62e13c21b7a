"""What a test file says: `<playbook>.test.yaml`."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Discriminator, Field, JsonValue, Tag, model_validator

from soar.model.base import Fact, JsonObject
from soar.model.people import ApprovalStatus
from soar.model.terms import IncidentStatus, Phase, StepStatus
from soar.playbook.schema import Duration, OneOrMore

__all__ = [
    "AccountSpec",
    "AlertSpec",
    "AnswerFault",
    "ApprovalExpectation",
    "DenyFault",
    "Expectations",
    "FailFault",
    "Fault",
    "IncidentExpectation",
    "PersonSpec",
    "ReadExpectation",
    "ReportExpectation",
    "StepExpectation",
    "TestCase",
    "TestFile",
    "Trigger",
    "permission_of",
]

Name = Annotated[str, Field(min_length=1, max_length=200)]
Count = Annotated[int, Field(ge=0)]
StepStatusName = StepStatus | Literal["absent"]


def _status(value: Any) -> Any:
    """Let a bare status stand for a mapping with one: `closed` for `{status: closed}`."""
    return {"status": value} if isinstance(value, str) else value


class DenyFault(Fact):
    """The account does not allow the workers something.

    Args:
        deny: The permission, `s3:PutBucketPolicy`.
    """

    deny: Name


class FailFault(Fact):
    """A call of the workers fails some times, and then works.

    Args:
        fail: The permission that the call takes, `iam:UpdateAccessKey`.
        times: How many calls fail. Our AWS client makes a second try of its own of what is throttled or
            unavailable, so two failures are one that an action sees.
        after: How many calls work before that.
        code: The error's code, as AWS writes it.
        status: The reply's HTTP status.
        message: What AWS says.
    """

    fail: Name
    times: int = Field(default=1, ge=1, le=1000)
    after: Count = 0
    code: str = Field(default="ServiceUnavailable", pattern=r"^[A-Za-z][A-Za-z0-9.]{0,99}$")
    status: int = Field(default=503, ge=400, le=599)
    message: str = Field(default="fault of a test", max_length=500)


class AnswerFault(Fact):
    """A call of the workers is answered by the test instead of the account, which may not have such an operation.

    Args:
        answer: The permission that the call takes, `ses:PutAccountSendingAttributes`.
        body: The reply's body, with templates: a mapping is sent as JSON, text as it is (for services that speak XML).
        times: How many calls are answered so; the later ones go through. None: all.
        after: How many calls go through before that.
    """

    answer: Name
    body: JsonObject | str = {}
    times: int | None = Field(default=None, ge=1, le=1000)
    after: Count = 0


def _kind_of_fault(value: Any) -> str:
    given = value if isinstance(value, dict) else dict(value)
    return next((f"{kind}-fault" for kind in ("deny", "answer") if kind in given), "fail-fault")


Fault = Annotated[
    Annotated[DenyFault, Tag("deny-fault")]
    | Annotated[FailFault, Tag("fail-fault")]
    | Annotated[AnswerFault, Tag("answer-fault")],
    Discriminator(_kind_of_fault),
]


def permission_of(fault: Fault) -> tuple[str, str]:
    """The field in which a fault names the permission of the calls that it is about, and that permission."""
    match fault:
        case DenyFault():
            return "deny", fault.deny
        case FailFault():
            return "fail", fault.fail
        case AnswerFault():
            return "answer", fault.answer


class AccountSpec(Fact):
    """The simulated account that a test begins with.

    Args:
        scenario: The attack that has happened in it, `leaked-key`. None: only the company.
        faults: What does not work in it, or is answered by the test, for the workers. Seeding and the expectations'
            reads have no faults.
    """

    scenario: Name | None = None
    faults: tuple[Fault, ...] = ()


class Trigger(Fact):
    """A moment of the incident: a step comes to a status, or an entry of a kind stands on the timeline.

    Args:
        step: Globs over step ids; none: any step.
        status: The status that it comes to.
        kind: The kind of the entry, `approval.reminded`; with `step`, only entries about these steps.
        nth: Only the nth time, from 1; none: every time.
    """

    step: OneOrMore | None = None
    status: StepStatus | None = Field(default=None, alias="is")
    kind: Name | None = None
    nth: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _one_moment(self) -> Self:
        if (self.status is None) == (self.kind is None):
            raise ValueError("say one of: `is`, the status that a step comes to, or `kind`, of the entry")
        return self


class AlertSpec(Fact):
    """An alert that comes in, at the beginning or later. One of `scenario`, `file`, `payload` and `alert`.

    Args:
        scenario: The finding of the account's scenario (write `scenario: finding`).
        file: A file in the source's own format, beside the test.
        payload: The same, written here.
        source: Whose format `file` and `payload` are in; none: GuardDuty's. A scenario knows its own.
        alert: An alert that needs no reading: the fields of our own type.
        set: Fields of the payload or the alert that are set before it is read: dotted path → value.
        after: How long after the beginning, or after `when`.
        when: What it waits for.
        times: How often the very same alert is delivered.
    """

    scenario: Literal["finding"] | None = None
    file: Name | None = None
    payload: JsonObject | None = None
    source: Name | None = None
    alert: JsonObject | None = None
    set: dict[str, JsonValue] = {}
    after: Duration | None = None
    when: Trigger | None = None
    times: int = Field(default=1, ge=1, le=100)

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        given = [v for v in (self.scenario, self.file, self.payload, self.alert) if v is not None]
        if len(given) != 1:
            raise ValueError("say one of: `scenario: finding`, `file`, `payload` or `alert`")
        return self


class PersonSpec(Fact):
    """What a person does, when. Whoever is not in the script stays silent.

    `approve` and `deny` answer every approval of the steps named; `retry`, `skip` and `stop` decide about steps
    that failed; `note` and `undo` do what they say; `update` sends any other message that the incident takes.

    Args:
        who: The person's id in the policy.
        step: Globs over the steps that it is about; none: any. With `undo`: the one step that is put back.
        when: What the person waits for. Default: that a step asks for it; for the rest, that the incident opens.
        after: How long the person takes from then on.
        reason: Said with it; the words of a `note`.
        phase: Whose changes an `undo` puts back.
        update: The name of the workflow's update.
        data: Its request, besides the person: `with`.
        refused: It is not to count: true, or a part of the reason.
    """

    who: Name
    do: Literal["approve", "deny", "retry", "skip", "stop", "note", "undo", "update"]
    step: OneOrMore | None = None
    when: Trigger | None = None
    after: Duration | None = None
    reason: str = Field(default="", max_length=2000)
    phase: Phase | None = None
    update: Name | None = None
    data: JsonObject = Field(default={}, alias="with")
    refused: bool | str = False

    @property
    def trigger(self) -> Trigger:
        """What the person waits for."""
        if self.when is not None:
            return self.when
        match self.do:
            case "approve" | "deny":
                return Trigger.model_validate({"step": self.step, "is": StepStatus.WAITING})
            case "retry" | "skip" | "stop":
                return Trigger.model_validate({"step": self.step, "is": StepStatus.ATTENTION})
        return Trigger(kind="incident.opened")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.do == "update") != (self.update is not None):
            raise ValueError("`update` names the message of `do: update`, and belongs to nothing else")
        if self.data and self.do != "update":
            raise ValueError("`with` belongs to `do: update`")
        if self.phase is not None and self.do != "undo":
            raise ValueError("`phase` belongs to `do: undo`")
        if self.do == "note" and not self.reason:
            raise ValueError("a note needs its words: `reason`")
        if self.do == "undo" and self.step is not None and len(self.step) != 1:
            raise ValueError("`undo` is of one step, of a phase, or of everything")
        return self


class StepExpectation(Fact):
    """How a step is to stand at the end.

    Args:
        status: Its status; `absent`: it was never reached.
        error: The type of its error, `PermissionMissing`.
        says: A part of its error, reason or result in words.
        result: Expression over the step's result → value.
    """

    status: StepStatusName | None = None
    error: Name | None = None
    says: Name | None = None
    result: dict[str, JsonValue] = {}


class ApprovalExpectation(Fact):
    """An approval that is to have been asked for. Approvals of one step are compared in order.

    Args:
        step: Whose.
        outcome: What it came to; `pending`: nobody has decided yet.
        needed: How many people it took.
        roles: Who was asked, by role.
        asked: Who could have decided: ids of the policy's people with such a role who are not implicated.
        by: Who voted, in order.
        refused: How many attempts did not count.
        reminders: How often people were reminded; at least that often.
    """

    step: Name
    outcome: ApprovalStatus | None = None
    needed: int | None = None
    roles: tuple[Name, ...] | None = None
    asked: tuple[Name, ...] | None = None
    by: tuple[Name, ...] | None = None
    refused: Count | None = None
    reminders: Count | None = None


class IncidentExpectation(Fact):
    """How the incident is to stand at the end.

    Args:
        status: Its status. Without one, and with nobody to decide what it waits for, a test fails.
        contained: Whether every containment step was achieved.
        alerts: How many alerts it has.
        severity: In words, `high`.
        says: A part of the reason that it closed with.
        within: The longest that it may have been open, on its own clock.
    """

    status: IncidentStatus | None = None
    contained: bool | None = None
    alerts: Count | None = None
    severity: Name | None = None
    says: Name | None = None
    within: Duration | None = None


class ReadExpectation(Fact):
    """The account at the end, seen by an action that only reads.

    Args:
        read: The action, `aws.s3.bucket_exposure`.
        data: Its parameters; templates see `facts`, `account`, `region` and `steps`: `with`.
        expect: Expression over the result → value: `active_keys | length: 0`.
        error: It is to fail, with this type: `TargetGone`.
    """

    read: Name
    data: JsonObject = Field(default={}, alias="with")
    expect: dict[str, JsonValue] = {}
    error: Name | None = None

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.expect and self.error is None:
            raise ValueError("say what is expected: `expect`, or `error`")
        if self.expect and self.error is not None:
            raise ValueError("what fails has no result: leave out `expect` or `error`")
        return self


class ReportExpectation(Fact):
    """The report at the end.

    Args:
        formats: Which are to exist.
        sections: Sections that are to hold something: `effects`, `approvals`, `gaps` …
        empty: Sections that are to hold nothing.
        says: Texts that are to stand in the Markdown.
    """

    formats: tuple[Name, ...] = ()
    sections: tuple[Name, ...] = ()
    empty: tuple[Name, ...] = ()
    says: tuple[Name, ...] = ()


StepAsExpected = Annotated[
    StepExpectation, BeforeValidator(_status, json_schema_input_type=StepStatusName | StepExpectation)
]
IncidentAsExpected = Annotated[
    IncidentExpectation, BeforeValidator(_status, json_schema_input_type=IncidentStatus | IncidentExpectation)
]


class Expectations(Fact):
    """What is to be so at the end. Only what is named is looked at.

    Args:
        incident: The incident: its status, or more of it.
        incidents: How many incidents the alerts gave; 0: no playbook answered.
        steps: Step → its status, or more of it.
        order: These steps began in this order.
        reached: Exactly these steps were begun or skipped, in any order; others were never reached.
        approvals: Exactly these approvals were asked for, in order.
        account: The account, by reading it.
        checks: The scenario's own checks of the account all hold (or, false, one does not).
        report: The report.
        timeline: Kinds of entries that stand on the timeline in this order, others between them.
        never: Kinds that do not.
    """

    incident: IncidentAsExpected | None = None
    incidents: Count | None = None
    steps: dict[str, StepAsExpected] = {}
    order: tuple[Name, ...] = ()
    reached: tuple[Name, ...] | None = None
    approvals: tuple[ApprovalExpectation, ...] | None = None
    account: tuple[ReadExpectation, ...] = ()
    checks: bool | None = None
    report: ReportExpectation | None = None
    timeline: tuple[Name, ...] = ()
    never: tuple[Name, ...] = ()


class TestCase(Fact):
    """One test.

    Args:
        name: What it shows, in words.
        account: The simulated account; default: the file's.
        inputs: Values of the playbook's inputs, besides the file's.
        alerts: Default: the finding of the scenario, once.
        people: What people do.
        expect: What is to be so at the end.
        limit: The longest that the incident is followed, on its own clock.
    """

    __test__ = False  # pytest takes every class that begins with Test for one of its own

    name: Name
    account: AccountSpec | None = None
    inputs: JsonObject = {}
    alerts: tuple[AlertSpec, ...] | None = Field(default=None, min_length=1)
    people: tuple[PersonSpec, ...] = ()
    expect: Expectations
    limit: Duration = 30 * 86400.0


class TestFile(Fact):
    """A playbook's tests.

    Args:
        playbook: The playbook's file, beside this one. Default: this file's name without `.test`.
        policy: The policy's file, beside this one. Default: the one that the documentation shows.
        account: The simulated account of every test that has none of its own.
        inputs: Values of the playbook's inputs, for every test.
        tests: The tests.
    """

    __test__ = False

    playbook: Name | None = None
    policy: Name | None = None
    account: AccountSpec = AccountSpec()
    inputs: JsonObject = {}
    tests: tuple[TestCase, ...] = Field(min_length=1)
