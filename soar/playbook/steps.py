"""What the steps of a playbook may say, one type for each kind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import ConfigDict, Discriminator, Field, JsonValue, Tag, field_validator, model_validator

from soar.model.base import Fact, JsonObject
from soar.playbook.fields import Duration, Identifier, OneOrMore, RoleName, StepId, Text

__all__ = [
    "KIND_KEYS",
    "MEMBER_TAGS",
    "ActionStep",
    "AnyStep",
    "ApprovalRule",
    "ApproveStep",
    "Block",
    "ForeachStep",
    "FormField",
    "IfStep",
    "OnError",
    "ParallelStep",
    "PlaybookStep",
    "RepeatStep",
    "Retry",
    "SetStep",
    "Step",
    "StepBase",
    "SwitchStep",
    "TaskStep",
    "WaitStep",
    "blocks_of",
    "kind_of_step",
]

OnError = Literal["stop", "continue", "ask", "undo"]

RETRYABLE = ("Throttled", "Unavailable", "TimedOut", "Unexpected")
"""The types of errors that may pass by themselves; every other type is never tried again."""


class Retry(Fact):
    """How often an attempt that failed for a passing reason is made again.

    Args:
        attempts: All attempts, the first one included.
        backoff: Seconds before the second attempt; doubles with each.
        on: Only these types of errors; all that may pass by themselves, if none is given.
    """

    attempts: int = Field(default=5, ge=1, le=50)
    backoff: Duration = 2.0
    on: tuple[Literal["Throttled", "Unavailable", "TimedOut", "Unexpected"], ...] = ()


class ApprovalRule(Fact):
    """What a step asks of its approval. It can only be stricter than the policy.

    Args:
        role: Voters must hold this role, besides what policy asks of them.
        approvers: How many people at least.
        expires: Seconds until the question lapses, at most.
        remind: Seconds until, and between, reminders, at most.
    """

    role: RoleName | None = None
    approvers: int = Field(default=1, ge=1, le=10)
    expires: Duration | None = None
    remind: Duration | None = None


class StepBase(Fact):
    """What every step may say.

    Args:
        id: What other steps call it by, `steps.<id>`.
        name: What people call it; the id, if none is given.
        when: A bare expression; the step is skipped if it is false.
        on_error: What happens when the step cannot be done: ask a person, which is the default; stop the
            incident; continue; or undo the changes made so far in this phase, and stop.
        timeout: Seconds for the whole step. Waiting for an approval does not count.
        role: Who is asked what to do when the step fails, besides those whom policy names.
        technique: ATT&CK techniques that the step answers, `T1078.004`.
        notify: Roles that are told in the incident's channel when the step has ended.
    """

    model_config = ConfigDict(populate_by_name=True)

    id: StepId | None = None
    name: Text | None = None
    when: Text | None = None
    on_error: OnError = "ask"
    timeout: Duration | None = None
    role: RoleName | None = None
    technique: OneOrMore | None = None
    notify: Annotated[tuple[RoleName, ...], Field(max_length=10)] = ()

    @field_validator("when", "until", "collect", mode="before", check_fields=False)
    @classmethod
    def _bare(cls, value: Any) -> Any:
        # `when: true` is YAML for a boolean; as an expression it means the same.
        return str(value).lower() if isinstance(value, bool) else value

    @field_validator("technique")
    @classmethod
    def _techniques(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for technique in value or ():
            if not technique.startswith("T") or not technique[1:].replace(".", "", 1).isdigit():
                raise ValueError(f"{technique!r} is no ATT&CK technique; write T1078 or T1078.004")
        return value


class ActionStep(StepBase):
    """A step that does one action.

    Args:
        do: The action.
        params: Its arguments (`with`), with templates.
        account: Where it acts, a template; None or empty: in the account of the alert.
        region: Likewise, the region.
        approval: What it asks of its approval, besides policy.
        expires: Seconds after which the change is put back by itself, unless somebody extends it.
    """

    id: StepId
    do: Text
    params: JsonObject = Field(default={}, alias="with")
    account: Text | None = None
    region: Text | None = None
    approval: ApprovalRule | None = None
    expires: Duration | None = None
    retry: Retry = Retry()


class FormField(Fact):
    """One thing that a person fills in.

    Args:
        label: What people read; the field's name, if none is given.
        options: What may be chosen; only of `choice`.
    """

    type: Literal["text", "number", "boolean", "choice", "time"] = "text"
    label: str = Field(default="", max_length=200)
    required: bool = True
    options: tuple[Text, ...] = ()

    @model_validator(mode="after")
    def _options_of_a_choice(self) -> FormField:
        if (self.type == "choice") != bool(self.options):
            raise ValueError("options are for a choice, and a choice needs some")
        return self


class Task(Fact):
    """Something that a person does.

    Args:
        role: Who does it: anybody with this role.
        instructions: What is to be done; a template.
        due: Seconds until people are reminded that it is overdue, and again after each such time.
        form: What comes back, by name: `steps.<id>.result.<name>`.
    """

    role: RoleName
    instructions: Text
    due: Duration | None = None
    form: dict[Identifier, FormField] = {}


class TaskStep(StepBase):
    """A step that a person does. With a `timeout`, it fails when nobody has done it by then."""

    id: StepId
    task: Task


class ApproveStep(StepBase):
    """A question of its own. The answer is `steps.<id>.result.approved`: true or false.

    Args:
        approve: The question; a template.
        details: What people should know to answer it; a template.
        approval: Who may answer; it needs a role.
    """

    id: StepId
    approve: Text
    details: Text | None = None
    approval: ApprovalRule

    @model_validator(mode="after")
    def _somebody_answers(self) -> ApproveStep:
        if self.approval.role is None:
            raise ValueError("a question needs approval: {role: …}, so that somebody may answer it")
        return self


class Wait(Fact):
    """What is waited for: a time, a condition, or a further alert.

    Args:
        seconds: For so long (`for`).
        until: Until a bare expression over the incident's state holds. It is looked at whenever that changes.
        alert: Until a further alert joins for which a bare expression over `alert` holds.
        limit: Seconds after which the incident goes on in any case, with `result.happened` false.
    """

    model_config = ConfigDict(populate_by_name=True)

    seconds: Duration | None = Field(default=None, alias="for")
    until: Text | None = None
    alert: Text | None = None
    limit: Duration | None = None

    @model_validator(mode="after")
    def _one_thing(self) -> Wait:
        if sum(v is not None for v in (self.seconds, self.until, self.alert)) != 1:
            raise ValueError("give one of for, until and alert")
        if self.seconds is None and self.limit is None:
            raise ValueError("this may never happen; say with limit how long it is waited for")
        if self.seconds is not None and self.limit is not None:
            raise ValueError("a limit is for until and alert; for is a time already")
        return self


class WaitStep(StepBase):
    """A step that waits. Its result says whether it `happened`, and holds the `alert` that came."""

    id: StepId
    wait: Wait


class SetStep(StepBase):
    """Give names to values: `vars.<name>` from here on. Costs nothing.

    Args:
        set: Templates.
    """

    set: Annotated[dict[Identifier, JsonValue], Field(min_length=1)]


class PlaybookStep(StepBase):
    """Run another playbook as an incident of its own, and wait for its end.

    Args:
        playbook: Its name. Its `outputs` are `steps.<id>.result`.
        params: Values of its inputs (`with`), with templates.
    """

    id: StepId
    playbook: Identifier | Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,63}$")]
    params: JsonObject = Field(default={}, alias="with")


class IfStep(StepBase):
    """Steps that run only if something holds, and others that run if it does not.

    Args:
        condition: A bare expression (`if`).
    """

    condition: Text = Field(alias="if")
    then: Block
    otherwise: Block | None = Field(default=None, alias="else")

    @field_validator("condition", mode="before")
    @classmethod
    def _bare_condition(cls, value: Any) -> Any:
        return str(value).lower() if isinstance(value, bool) else value


class SwitchStep(StepBase):
    """One of several lists of steps, by a value.

    Args:
        switch: A bare expression; its value as text is the case.
        default: What runs if no case fits.
    """

    switch: Text
    cases: Annotated[dict[Text, Block], Field(min_length=1)]
    default: Block | None = None


def _branch_form(value: Any) -> str:
    return "branch-mapping" if isinstance(value, dict) else "branch-list"


class ParallelStep(StepBase):
    """Lists of steps that run at the same time.

    Args:
        parallel: The branches, by name or in a list.
        concurrency: How many run at once; all of them, if none is given.
    """

    parallel: Annotated[
        Annotated[dict[Identifier, Block], Tag("branch-mapping"), Field(min_length=1)]
        | Annotated[tuple[Block, ...], Tag("branch-list"), Field(min_length=1)],
        Discriminator(_branch_form),
    ]
    concurrency: int | None = Field(default=None, ge=1, le=100)


class ForeachStep(StepBase):
    """Steps that run once for each item of a list. Each item is durable by itself.

    Args:
        foreach: A bare expression that gives a list.
        bound: What an item is called in the steps (`as`); its place is `<name>_index`, from 0.
        concurrency: How many items at once.
        collect: A bare expression, evaluated when an item's steps have ended; its values are `result.items`, in the
            order of the list. None given: each item's own steps, with status and result.
    """

    id: StepId
    foreach: Text
    bound: Identifier = Field(default="item", alias="as")
    concurrency: int = Field(default=1, ge=1, le=100)
    collect: Text | None = None
    steps: Block


class RepeatStep(StepBase):
    """Steps that run again until something holds.

    Args:
        until: A bare expression, looked at after each round.
        attempts: How many rounds at most; the step fails if it does not hold after the last.
        every: Seconds between rounds.
    """

    id: StepId
    repeat: Block
    until: Text
    attempts: int = Field(ge=1, le=1000)
    every: Duration | None = None


KIND_KEYS: dict[str, type[StepBase]] = {
    "do": ActionStep,
    "task": TaskStep,
    "approve": ApproveStep,
    "wait": WaitStep,
    "if": IfStep,
    "switch": SwitchStep,
    "parallel": ParallelStep,
    "foreach": ForeachStep,
    "repeat": RepeatStep,
    "playbook": PlaybookStep,
    "set": SetStep,
}
"""The key that says what kind of step it is."""

_TAGS = {kind: f"{key}-step" for key, kind in KIND_KEYS.items()}
MEMBER_TAGS = frozenset({*_TAGS.values(), "branch-list", "branch-mapping", "[key]"})
"""What pydantic puts into the place of an error, and is not written in the file."""


def kind_of_step(step: StepBase) -> str:
    """The key that says what kind of step it is: `do`, `task`, `foreach` …"""
    return next(key for key, kind in KIND_KEYS.items() if type(step) is kind)


def _step_kind(value: Any) -> str:
    if isinstance(value, StepBase):
        return _TAGS[type(value)]
    if isinstance(value, dict):
        return next((f"{key}-step" for key in KIND_KEYS if key in value), "do-step")
    return "do-step"


AnyStep = (
    ActionStep
    | TaskStep
    | ApproveStep
    | WaitStep
    | IfStep
    | SwitchStep
    | ParallelStep
    | ForeachStep
    | RepeatStep
    | PlaybookStep
    | SetStep
)
"""A step of any kind."""

Step = Annotated[
    Annotated[ActionStep, Tag("do-step")]
    | Annotated[TaskStep, Tag("task-step")]
    | Annotated[ApproveStep, Tag("approve-step")]
    | Annotated[WaitStep, Tag("wait-step")]
    | Annotated[IfStep, Tag("if-step")]
    | Annotated[SwitchStep, Tag("switch-step")]
    | Annotated[ParallelStep, Tag("parallel-step")]
    | Annotated[ForeachStep, Tag("foreach-step")]
    | Annotated[RepeatStep, Tag("repeat-step")]
    | Annotated[PlaybookStep, Tag("playbook-step")]
    | Annotated[SetStep, Tag("set-step")],
    Discriminator(_step_kind),
]
"""A step as a playbook's author writes it."""

Block = Annotated[tuple[Step, ...], Field(min_length=1)]
"""Steps that run one after the other."""


class Inner(NamedTuple):
    """One list of steps inside another step.

    Args:
        label: What people call it: the branch's name, `then`, the case.
        key: Where it stands below the step in the file.
    """

    label: str
    key: tuple[str | int, ...]
    steps: tuple[AnyStep, ...]


def blocks_of(step: AnyStep) -> Iterator[Inner]:
    """The lists of steps inside a step, in the order written; none of a step that holds none."""
    match step:
        case IfStep():
            yield Inner("then", ("then",), step.then)
            if step.otherwise is not None:
                yield Inner("else", ("else",), step.otherwise)
        case SwitchStep():
            for name, block in step.cases.items():
                yield Inner(name, ("cases", name), block)
            if step.default is not None:
                yield Inner("default", ("default",), step.default)
        case ParallelStep(parallel=dict() as branches):
            for name, block in branches.items():
                yield Inner(name, ("parallel", name), block)
        case ParallelStep(parallel=tuple() as listed):
            for index, block in enumerate(listed):
                yield Inner(str(index + 1), ("parallel", index), block)
        case ForeachStep():
            yield Inner("each", ("steps",), step.steps)
        case RepeatStep():
            yield Inner("repeat", ("repeat",), step.repeat)


for _model in (IfStep, SwitchStep, ParallelStep, ForeachStep, RepeatStep):
    _model.model_rebuild()
