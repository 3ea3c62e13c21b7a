"""What a playbook may say, as types. The loader reads YAML into them; the graph is compiled from them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    JsonValue,
    StringConstraints,
    Tag,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from soar.model.base import Fact, JsonObject
from soar.model.terms import Phase, Severity

__all__ = [
    "ActionStep",
    "ApprovalRule",
    "Branch",
    "Duration",
    "InputSpec",
    "Match",
    "OneOrMore",
    "ParallelStep",
    "Playbook",
    "Retry",
    "RoleName",
    "SeverityName",
    "Step",
    "parse_duration",
    "written_by_hand",
]

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"([0-9]{1,6})([smhd])")
_DURATION_HELP = "write a number and one of s, m, h, d: 30s, 15m, 4h, 2d"


def written_by_hand(info: ValidationInfo) -> bool:
    """Whether the value comes from a file that a person wrote, not from our own dump of the type.

    Durations are `15m` in a file and seconds everywhere else; severities are words in a file and numbers elsewhere.
    """
    return bool(info.context and info.context.get("written_by_hand"))


def parse_duration(text: str) -> float:
    """Read `30s`, `15m`, `4h` or `2d`.

    Returns:
        Seconds, more than 0.

    Raises:
        ValueError: The text is none of these.
    """
    found = _DURATION.fullmatch(text)
    if not found or int(found[1]) == 0:
        raise ValueError(f"not a duration; {_DURATION_HELP}")
    return float(int(found[1]) * _UNITS[found[2]])


def _duration(value: Any, info: ValidationInfo) -> Any:
    if isinstance(value, str):
        return parse_duration(value)
    if written_by_hand(info):
        raise ValueError(f"not a duration; {_DURATION_HELP}")
    return value


def _severity(value: Any, info: ValidationInfo) -> Any:
    names = {s.label: s for s in Severity}
    if isinstance(value, str) and value in names:
        return names[value]
    if isinstance(value, Severity) or (isinstance(value, int) and not written_by_hand(info)):
        return value
    raise ValueError(f"not a severity; one of {', '.join(names)}")


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Duration = Annotated[
    float,
    BeforeValidator(_duration),
    Field(gt=0),
    WithJsonSchema(
        {"type": "string", "pattern": "^[0-9]{1,6}[smhd]$", "examples": ["30s", "15m", "4h", "2d"]}
    ),
]
"""Seconds; written `30s`, `15m`, `4h`, `2d`."""

SeverityName = Annotated[
    Severity, BeforeValidator(_severity), WithJsonSchema({"enum": [s.label for s in Severity]})
]
"""A severity; written as its word, `high`."""

Text = Annotated[str, StringConstraints(min_length=1, max_length=4096)]
RoleName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,63}$")]
StepId = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Identifier = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]

OneOrMore = Annotated[
    tuple[Text, ...],
    BeforeValidator(_listed),
    Field(min_length=1),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "minLength": 1},
                {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1},
            ]
        }
    ),
]
"""One text or a list of them."""


class Match(Fact):
    """Which alerts a playbook answers: every condition that is given must hold.

    Args:
        source: Names of sources, `guardduty`.
        rule: Globs over the alert's rule, case-sensitive; one must fit.
        severity: The least severity.
        resource_type: Globs over the types of the alert's resources; one resource must fit.
        where: A bare expression over `alert`.
    """

    source: OneOrMore | None = None
    rule: OneOrMore | None = None
    severity: SeverityName | None = None
    resource_type: OneOrMore | None = None
    where: Text | None = None

    @model_validator(mode="after")
    def _some_condition(self) -> Match:
        if all(value is None for _, value in self):
            raise ValueError("no condition: this would answer every alert; give at least source or rule")
        return self


class Retry(Fact):
    """How often an attempt that failed for a passing reason is made again.

    Args:
        attempts: All attempts, the first one included.
        backoff: Seconds before the second attempt; doubles with each.
    """

    attempts: int = Field(default=5, ge=1, le=50)
    backoff: Duration = 2.0


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


class InputSpec(Fact):
    """A setting of a playbook. It has a default, because incidents start without a person."""

    type: Literal["string", "number", "boolean", "list"]
    default: JsonValue
    description: str = ""

    @model_validator(mode="after")
    def _default_fits(self) -> InputSpec:
        kinds: dict[str, tuple[type, ...]] = {
            "string": (str,),
            "number": (int, float),
            "boolean": (bool,),
            "list": (list,),
        }
        fits = isinstance(self.default, kinds[self.type])
        if self.type == "number" and isinstance(self.default, bool):
            fits = False
        if not fits:
            raise ValueError(f"the default is not a {self.type}")
        return self


class ActionStep(Fact):
    """A step that does one action.

    Args:
        id: What other steps call it by, `steps.<id>`.
        name: What people call it; the id, if none is given.
        do: The action.
        params: Its arguments (`with`), with templates.
        when: A bare expression; the step is skipped if it is false.
        on_error: What happens when the step cannot be done: ask a person, which is the default; stop the
            incident; continue; or undo the changes made so far in this phase.
        timeout: Seconds for the whole step, waiting for people not included.
    """

    model_config = ConfigDict(populate_by_name=True)

    id: StepId
    name: Text | None = None
    do: Text
    params: JsonObject = Field(default={}, alias="with")
    when: Text | None = None
    approval: ApprovalRule | None = None
    on_error: Literal["stop", "continue", "ask", "undo"] = "ask"
    timeout: Duration | None = None
    retry: Retry = Retry()

    @field_validator("when", mode="before")
    @classmethod
    def _bare(cls, value: Any) -> Any:
        # `when: true` is YAML for a boolean; as an expression it means the same.
        return str(value).lower() if isinstance(value, bool) else value


def _step_kind(value: Any) -> str:
    if isinstance(value, ParallelStep) or (isinstance(value, dict) and "parallel" in value):
        return "parallel-step"
    return "action-step"


Step = Annotated[
    Annotated["ActionStep", Tag("action-step")] | Annotated["ParallelStep", Tag("parallel-step")],
    Discriminator(_step_kind),
]
"""A node that a playbook's author writes."""

_Steps = Annotated[tuple[Step, ...], Field(min_length=1)]


def _branch_form(value: Any) -> str:
    return "branch-mapping" if isinstance(value, dict) else "branch-list"


class Branch(NamedTuple):
    """One branch of parallel branches.

    Args:
        key: Where it stands in the file: its name in the mapping form, its index in the list form.
    """

    name: str
    key: str | int
    steps: tuple[ActionStep | ParallelStep, ...]


class ParallelStep(Fact):
    """Branches that run at the same time; what follows waits for all of them."""

    id: StepId | None = None
    name: Text | None = None
    parallel: Annotated[
        Annotated[Annotated[tuple[_Steps, ...], Field(min_length=1, max_length=50)], Tag("branch-list")]
        | Annotated[
            Annotated[dict[RoleName, _Steps], Field(min_length=1, max_length=50)], Tag("branch-mapping")
        ],
        Discriminator(_branch_form),
    ]

    @property
    def branches(self) -> Iterator[Branch]:
        """The branches, in the order written."""
        if isinstance(self.parallel, dict):
            for name, steps in self.parallel.items():
                yield Branch(name, name, steps)
        else:
            for index, steps in enumerate(self.parallel):
                yield Branch(str(index + 1), index, steps)


class Playbook(Fact):
    """Which alerts are answered and what is done, by phase.

    Args:
        name: What it is called by, in ids and commands.
        title: What people call it. Plain text: an incident's own title comes from its alert.
        correlate_by: Bare expressions over `alert`; alerts with equal values belong to one incident.
        roles: The roles that its approvals name, and what each is for.
        inputs: Its settings.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]{0,63}$")
    title: str = Field(default="", max_length=200)
    description: str = Field(default="", max_length=16384)
    match: Match
    correlate_by: Annotated[tuple[Text, ...], Field(min_length=1, max_length=10)]
    roles: dict[RoleName, str] = {}
    inputs: dict[Identifier, InputSpec] = {}
    preparation: tuple[Step, ...] = ()
    identification: tuple[Step, ...] = ()
    containment: tuple[Step, ...] = ()
    eradication: tuple[Step, ...] = ()
    recovery: tuple[Step, ...] = ()
    lessons_learned: tuple[Step, ...] = ()

    @field_validator("title")
    @classmethod
    def _plain(cls, value: str) -> str:
        if "{{" in value or "{%" in value:
            raise ValueError("a title is plain text; templates go into the arguments of steps")
        return value

    @model_validator(mode="after")
    def _some_step(self) -> Playbook:
        if not any(self.steps_of(phase) for phase in Phase):
            raise ValueError(f"no steps; give at least one of {', '.join(Phase)}")
        return self

    def steps_of(self, phase: Phase) -> tuple[ActionStep | ParallelStep, ...]:
        """The steps of one phase, in the order written."""
        steps: tuple[ActionStep | ParallelStep, ...] = getattr(self, phase.value)
        return steps

    @property
    def default_inputs(self) -> JsonObject:
        """The inputs as they are when nobody sets them."""
        return {name: spec.default for name, spec in self.inputs.items()}


Playbook.model_rebuild()
