"""What a playbook may say, as types. The loader reads YAML into them; the graph is compiled from them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, JsonValue, field_validator, model_validator

from soar.model.base import Fact, JsonObject
from soar.model.terms import Phase
from soar.playbook.fields import Duration, Identifier, OneOrMore, RoleName, SeverityName, StepId, Text
from soar.playbook.steps import AnyStep, ApprovalRule, Block, Retry, Step

__all__ = [
    "ApprovalRule",
    "Clock",
    "Duration",
    "InputSpec",
    "Match",
    "Metadata",
    "OneOrMore",
    "Playbook",
    "Retry",
    "RoleName",
    "SeverityName",
    "SeverityRule",
]


class Match(Fact):
    """Which alerts a playbook answers: every condition that is given must hold.

    Args:
        source: Names of sources, `guardduty`.
        rule: Globs over the alert's rule, case-sensitive; one must fit.
        severity: The least severity.
        resource_type: Globs over the types of the alert's resources; one resource must fit.
        where: A bare expression over `alert`.
        fallback: It answers only what no other playbook answers; besides its conditions, of which it needs none.
    """

    source: OneOrMore | None = None
    rule: OneOrMore | None = None
    severity: SeverityName | None = None
    resource_type: OneOrMore | None = None
    where: Text | None = None
    fallback: bool = False

    @model_validator(mode="after")
    def _some_condition(self) -> Match:
        if all(value is None or value is False for _, value in self):
            raise ValueError(
                "no condition: this would answer every alert; give at least source or rule, or `fallback: true` for"
                " what no other playbook answers"
            )
        return self


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


class SeverityRule(Fact):
    """The severity that an incident has while something holds.

    Args:
        when: A bare expression over what templates may read, looked at when an alert joins or a step ends.
        severity: What it is raised to; it is never lowered by a rule.
    """

    when: Text
    severity: SeverityName


class Clock(Fact):
    """A deadline that runs from a moment of the incident, such as a duty to notify.

    Args:
        label: What people read.
        due: Seconds from the moment that it starts.
        starts: The moment: the earliest time that an alert gives, the opening, or the containment.
        when: A bare expression, looked at whenever the incident changes: the clock exists once it holds.
        met_by: The step whose success meets it; without one, a person notes that it is met.
        warn: Seconds before the deadline at which people are warned.
    """

    label: str = Field(default="", max_length=200)
    due: Duration
    starts: Literal["detected", "opened", "contained"] = "detected"
    when: Text | None = None
    met_by: StepId | None = None
    warn: Duration | None = None


class Metadata(Fact):
    """Who stands behind a playbook.

    Args:
        owner: Who keeps it.
        reviewed: When it was last looked at, `2026-11-02`.
        references: Where its reasons are written.
        techniques: The ATT&CK techniques that it answers.
    """

    owner: str = Field(default="", max_length=200)
    reviewed: str = Field(default="", pattern=r"^([0-9]{4}-[0-9]{2}-[0-9]{2})?$")
    references: tuple[Text, ...] = ()
    techniques: tuple[Annotated[str, Field(pattern=r"^T[0-9]{4}(\.[0-9]{3})?$")], ...] = ()


class Playbook(Fact):
    """Which alerts are answered and what is done, by phase.

    Args:
        name: What it is called by, in ids and commands.
        title: What people call it. Plain text: an incident's own title comes from its alert.
        match: Which alerts it answers; none of a playbook that only others call.
        correlate_by: Bare expressions over `alert`; alerts with equal values belong to one incident.
        roles: The roles that its steps name, and what each is for.
        inputs: Its settings.
        outputs: Bare expressions, evaluated at the end: what a playbook that calls it gets.
        severity: Rules that raise the incident's severity.
        clocks: Deadlines.
        on_failure: What happens when a step stops the incident: its changes stay (`keep`), all are put back
            (`undo`), or these steps run.
        on_cancel: The same for a person who cancels it.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]{0,63}$")
    title: str = Field(default="", max_length=200)
    description: str = Field(default="", max_length=16384)
    metadata: Metadata = Metadata()
    match: Match | None = None
    correlate_by: Annotated[tuple[Text, ...], Field(max_length=10)] = ()
    roles: dict[RoleName, str] = {}
    inputs: dict[Identifier, InputSpec] = {}
    outputs: dict[Identifier, Text] = {}
    severity: Annotated[tuple[SeverityRule, ...], Field(max_length=50)] = ()
    clocks: Annotated[dict[Identifier, Clock], Field(max_length=20)] = {}
    on_failure: Literal["keep", "undo"] | Block = "keep"
    on_cancel: Literal["keep", "undo"] = "keep"
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
    def _correlated(self) -> Playbook:
        if self.match is not None and not self.correlate_by:
            raise ValueError("match needs correlate_by: which alerts belong to one incident?")
        return self

    @model_validator(mode="after")
    def _some_step(self) -> Playbook:
        if not any(self.steps_of(phase) for phase in Phase):
            raise ValueError(f"no steps; give at least one of {', '.join(Phase)}")
        return self

    def steps_of(self, phase: Phase) -> tuple[AnyStep, ...]:
        """The steps of one phase, in the order written."""
        steps: tuple[AnyStep, ...] = getattr(self, phase.value)
        return steps

    @property
    def failure_steps(self) -> tuple[AnyStep, ...]:
        """The steps of `on_failure`; none where it is a word."""
        return self.on_failure if isinstance(self.on_failure, tuple) else ()

    @property
    def default_inputs(self) -> JsonObject:
        """The inputs as they are when nobody sets them."""
        return {name: spec.default for name, spec in self.inputs.items()}
