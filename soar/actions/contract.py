"""The contract of an action: declared once, and everything else follows from the declaration.

A change is a class with `plan`, `apply`, `verify` and `undo`; a read is a function. Both take typed parameters
and are registered by `@action`, from which come validation, the JSON Schema, the docs, the permissions, the
linter's knowledge, the approval card and the Temporal activities.
"""

from __future__ import annotations

import inspect
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Generic, Protocol, TypeVar, get_args, get_type_hints

from pydantic import BaseModel, ConfigDict

from soar.actions.errors import ActionError
from soar.model.base import JsonObject
from soar.model.change import BlastRadius, Change, EvidenceRef, Plan, Result, Target, Verification
from soar.model.spec import ActionSpec
from soar.model.terms import Phase, Risk

__all__ = [
    "Action",
    "ActionContext",
    "ActionServices",
    "ChangeDefinition",
    "Definition",
    "Draft",
    "EvidenceSink",
    "Params",
    "Planned",
    "ReadDefinition",
    "StateBefore",
    "action",
]


class Params(BaseModel):
    """Base of every action's parameters: frozen, and an unknown parameter is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)


class StateBefore(BaseModel):
    """Base of what an action records before it changes anything: all that undo needs.

    It is part of the plan's digest, so it holds nothing that moves by itself (no last-used times, no counters).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")


P = TypeVar("P", bound=BaseModel)
S = TypeVar("S", bound=BaseModel)
R = TypeVar("R", bound=BaseModel)
T = TypeVar("T")


class EvidenceSink(Protocol):
    """Where evidence is kept: the vault, as an action sees it."""

    def keep(self, data: bytes) -> tuple[str, int]:
        """Keep bytes.

        Returns:
            The SHA-256 and the size in bytes.
        """
        ...


class ActionServices:
    """What a worker gives its actions, by type: `AwsAccess`, an HTTP client …

    A worker holds only the services of its credential boundary.
    """

    def __init__(self, evidence: EvidenceSink, *services: object) -> None:
        self.evidence = evidence
        self._services = {type(s): s for s in services}

    def get(self, kind: type[T]) -> T:
        """The service of this type.

        Raises:
            ActionError: This worker was not given one.
        """
        service = self._services.get(kind)
        if not isinstance(service, kind):
            raise ActionError(
                f"this worker has no {kind.__name__}",
                hint="run the action's queue on a worker that holds the credentials for it",
            )
        return service


@dataclass
class ActionContext:
    """What an action knows of where it runs.

    Args:
        incident_id: The incident, for names and tags of what is created.
        step_id: The step, likewise: a retry of the same step finds what the try before it made.
        account: The account that the step acts in; empty: the worker's own.
        region: The region that the step acts in; empty: the worker's default.
        attempt: 1 for the first try.
    """

    services: ActionServices
    incident_id: str
    step_id: str
    account: str = ""
    region: str = ""
    attempt: int = 1
    progress: str = ""
    cancelled: threading.Event = field(default_factory=threading.Event)
    evidence: list[EvidenceRef] = field(default_factory=list)

    @property
    def now(self) -> datetime:
        """The wall clock, in UTC."""
        return datetime.now(UTC)

    def service(self, kind: type[T]) -> T:
        """A service of the worker, by type."""
        return self.services.get(kind)

    def report(self, progress: str) -> None:
        """Say how far a long action is; shown as the activity's heartbeat."""
        self.progress = progress

    def wait(self, seconds: float) -> bool:
        """Wait, but no longer than until the step is cancelled.

        Returns:
            Whether to go on: false once the step is cancelled.
        """
        return not self.cancelled.wait(seconds)

    def keep_evidence(self, name: str, data: bytes, *, media_type: str, source: str) -> EvidenceRef:
        """Put a piece of evidence into the vault; it is listed with the step that collected it.

        Args:
            name: A file name for people.
            source: What was read to get it, `cloudtrail:LookupEvents`.
        """
        digest, size = self.services.evidence.keep(data)
        ref = EvidenceRef(
            digest=digest, size=size, media_type=media_type, name=name, source=source, collected_at=self.now
        )
        self.evidence.append(ref)
        return ref


@dataclass(frozen=True, kw_only=True)
class Draft(Generic[S]):
    """What `plan` returns: see `soar.model.change.Plan`, which the framework makes of it.

    Args:
        changes: Empty if the target is already as wanted.
    """

    summary: str
    targets: tuple[Target, ...]
    changes: tuple[Change, ...]
    state: S
    blast_radius: BlastRadius = field(default_factory=BlastRadius)
    warnings: tuple[str, ...] = ()
    undo: str = ""


@dataclass(frozen=True)
class Planned(Generic[P, S]):
    """A plan as its action reads it: parameters and recorded state are typed again."""

    plan: Plan
    params: P
    state: S


class Action(ABC, Generic[P, S]):
    """A change: the base class of every action that is not a read.

    Instances hold no state. Each method may be called again after a crash at any point.
    """

    @abstractmethod
    def plan(self, ctx: ActionContext, params: P) -> Draft[S]:
        """Read the present state completely and say what would change. Changes nothing."""

    @abstractmethod
    def apply(self, ctx: ActionContext, planned: Planned[P, S]) -> Result:
        """Make the change. Running it again after a crash between any two calls leaves what one clean run leaves."""

    @abstractmethod
    def verify(self, ctx: ActionContext, planned: Planned[P, S]) -> Verification:
        """Take one look, by another path than the reply of `apply`, and say what was seen.

        The framework looks again until it is verified or the action's `verify_timeout` has passed.
        """

    def undo(self, ctx: ActionContext, planned: Planned[P, S]) -> Result:
        """Put back exactly what `apply` changed, in reverse order; finding it put back already is success.

        The framework has already made sure that the effect is still in place, and afterwards plans again to see
        that the recorded state is back. Raise `Drifted` for what those two cannot see. Actions that cannot be
        undone leave this method out.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class ChangeDefinition:
    """A registered change."""

    spec: ActionSpec
    action: Action[Any, Any]
    params: type[BaseModel]
    state: type[BaseModel]

    def plan(self, ctx: ActionContext, raw: JsonObject) -> Plan:
        """Validate the parameters and plan.

        Raises:
            pydantic.ValidationError: The parameters do not fit.
            ActionError: The plan could not be made.
        """
        params = self.params.model_validate(raw)
        draft = self.action.plan(ctx, params)
        return Plan(
            action=self.spec.name,
            params=params.model_dump(mode="json"),
            account=ctx.account,
            region=ctx.region,
            summary=draft.summary,
            targets=draft.targets,
            changes=draft.changes,
            state=draft.state.model_dump(mode="json"),
            blast_radius=draft.blast_radius,
            warnings=draft.warnings,
            undo=draft.undo,
        )

    def typed(self, plan: Plan) -> Planned[Any, Any]:
        """Read a recorded plan back with its types."""
        return Planned(
            plan=plan,
            params=self.params.model_validate(plan.params),
            state=self.state.model_validate(plan.state),
        )


@dataclass(frozen=True)
class ReadDefinition:
    """A registered read."""

    spec: ActionSpec
    function: Callable[[ActionContext, Any], BaseModel]
    params: type[BaseModel]
    result: type[BaseModel]


Definition = ChangeDefinition | ReadDefinition

registered: dict[str, Definition] = {}
"""Everything that `@action` has declared so far; `soar.actions.registry` loads the packages that declare."""


def _split_doc(target: object, name: str) -> tuple[str, str, str]:
    """Title, text and YAML example of a docstring. The example is what follows a line `Example::`."""
    doc = inspect.getdoc(target) or ""
    title, _, rest = doc.partition("\n")
    text, _, example = rest.partition("Example::\n")
    example = inspect.cleandoc("\n" + example) if example else ""
    if not title or not example:
        raise TypeError(f"action {name}: the docstring needs a title and an `Example::` in YAML")
    return title.strip(), text.strip(), example


def action(
    name: str,
    *,
    risk: Risk,
    phase: Phase,
    permissions: tuple[str, ...] = (),
    queue: str = "",
    d3fend: str = "",
    react: str = "",
    openc2: str = "",
    plan_timeout: float = 60,
    apply_timeout: float = 120,
    verify_timeout: float = 120,
    into: dict[str, Definition] = registered,
) -> Callable[[T], T]:
    """Declare an action: a subclass of `Action`, or for `Risk.READ` a function `(ctx, params) -> result`.

    Args:
        name: Dotted, the system first: `aws.iam.deactivate_access_key`.
        risk: What it may cost when it is wrong.
        phase: Where it usually belongs; a playbook may use it elsewhere.
        permissions: What the worker's principal needs; none is an error for cloud actions.
        queue: The task queue that runs it. Default: the first part of the name.
        d3fend: MITRE D3FEND technique id, where one exists.
        react: RE&CT action id, where one exists.
        openc2: OpenC2 action and target, where they exist.
        plan_timeout: Seconds for one attempt to plan, read or undo.
        apply_timeout: Seconds for one attempt to apply.
        verify_timeout: Seconds that verification polls at most.
        into: Where to register; anything but the default is for actions that are not meant to be installed.

    Raises:
        TypeError: The declaration is incomplete.
    """

    def register(target: T) -> T:
        if name in into:
            raise TypeError(f"action {name} is declared twice")
        title, doc, example = _split_doc(target, name)
        spec = ActionSpec(
            name=name,
            title=title,
            doc=doc,
            example=example,
            risk=risk,
            phase=phase,
            queue=queue or name.partition(".")[0],
            params={},
            result={},
            permissions=permissions,
            d3fend=d3fend,
            react=react,
            openc2=openc2,
            plan_timeout=plan_timeout,
            apply_timeout=apply_timeout,
            verify_timeout=verify_timeout,
        )
        into[name] = _define(target, spec)
        return target

    return register


def _define(target: object, spec: ActionSpec) -> Definition:
    """Make the definition of a class or function, with the schemas of its types."""
    name = spec.name
    if isinstance(target, type) and issubclass(target, Action):
        if spec.risk is Risk.READ:
            raise TypeError(f"action {name}: a class changes things, so its risk is not `read`")
        params, state = _type_arguments(target, name)
        undoable = target.undo is not Action.undo
        if spec.risk is Risk.REVERSIBLE and not undoable:
            raise TypeError(f"action {name} is declared reversible and has no `undo`")
        return ChangeDefinition(_with_schemas(spec, params, Changed, undoable), target(), params, state)
    if not callable(target):
        raise TypeError(f"action {name}: decorate a class or a function")
    if spec.risk is not Risk.READ:
        raise TypeError(f"action {name}: what changes things is a class with plan, apply, verify and undo")
    hints = get_type_hints(target)
    returned = hints.pop("return", None)
    kinds = [h for h in hints.values() if isinstance(h, type) and issubclass(h, BaseModel)]
    if len(kinds) != 1 or not (isinstance(returned, type) and issubclass(returned, BaseModel)):
        raise TypeError(f"action {name}: declare `(ctx: ActionContext, params: P) -> R` with pydantic types")
    return ReadDefinition(_with_schemas(spec, kinds[0], returned, False), target, kinds[0], returned)


def _with_schemas(
    spec: ActionSpec, params: type[BaseModel], result: type[BaseModel], undoable: bool
) -> ActionSpec:
    schemas = {"params": params.model_json_schema(), "result": result.model_json_schema()}
    return spec.model_copy(update={**schemas, "undoable": undoable})


class Changed(BaseModel):
    """What a step's `result` holds after a change: every action may add its own fields."""

    model_config = ConfigDict(extra="allow")


def _type_arguments(target: type[Action[Any, Any]], name: str) -> tuple[type[BaseModel], type[BaseModel]]:
    for base in getattr(target, "__orig_bases__", ()):
        arguments = get_args(base)
        if len(arguments) == 2 and all(isinstance(a, type) and issubclass(a, BaseModel) for a in arguments):
            return arguments
    raise TypeError(f"action {name}: say its types, `Action[Params, State]`")
