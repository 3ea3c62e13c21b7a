"""Whether what a playbook's templates read exists, and is set by the time that it is read."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from soar.model.alert import Alert
from soar.model.spec import Catalogue
from soar.playbook.diagnostics import Diagnostic, nearest
from soar.playbook.document import Path
from soar.playbook.expressions import ExpressionError, NameUse, names_used
from soar.playbook.graph import PlacedStep
from soar.playbook.loader import LoadedPlaybook
from soar.playbook.schema import ActionStep

__all__ = ["INCIDENT_FIELDS", "VARIABLES", "Scope", "check_names"]

VARIABLES = ("alert", "alerts", "incident", "inputs", "now", "steps")
"""What templates may read."""

INCIDENT_FIELDS = ("account", "id", "playbook", "region", "severity", "title")
"""What `incident` holds."""

_STEP_FIELDS = ("result", "status")


@dataclass(frozen=True)
class Scope:
    """What can be read at one place.

    Args:
        everything: Whether more than `alert` can be.
        steps: All steps of the playbook, by id.
        before: The steps that have ended by then.
        when: The condition of the step that reads.
    """

    everything: bool = False
    inputs: frozenset[str] = frozenset()
    steps: Mapping[str, PlacedStep] = field(default_factory=dict)
    before: frozenset[str] = frozenset()
    catalogue: Catalogue = field(default_factory=dict)
    when: str | None = None


def check_names(
    loaded: LoadedPlaybook, path: Path, source: str | None, scope: Scope, *, bare: bool = True
) -> Iterator[Diagnostic]:
    """Check one expression or template.

    Args:
        path: Where the source stands.
        source: None: there is none, and nothing is wrong with it.
        bare: Whether it is a bare expression.

    Yields:
        What is wrong with it.
    """
    if source is None:
        return
    try:
        uses = names_used(source, bare=bare)
    except ExpressionError as error:
        yield loaded.diagnostic(path, "expression", f"{error.expression!r}: {error.message}", error.hint)
        return
    for use in uses:
        for rule, message, hint, severity in _check(use, scope):
            yield loaded.diagnostic(path, rule, message, hint, severity=severity)


_Finding = tuple[str, str, str, str]


def _check(use: NameUse, scope: Scope) -> Iterator[_Finding]:
    root, rest = use.path[0], use.path[1:]
    known = VARIABLES if scope.everything else ("alert",)
    if root not in known:
        yield "unknown-name", f'there is no "{root}" here', nearest(root, known), "error"
    elif root == "alert":
        yield from _model("alert", Alert, rest)
    elif root == "alerts":
        yield from _model("alerts", tuple[Alert, ...], rest)
    elif root == "incident" and rest and rest[0] not in INCIDENT_FIELDS:
        yield "unknown-name", f'incident has no "{rest[0]}"', nearest(rest[0], INCIDENT_FIELDS), "error"
    elif root == "inputs" and rest and rest[0] not in scope.inputs:
        hint = nearest(rest[0], scope.inputs) or "declare it under inputs"
        yield "unknown-input", f'there is no input "{rest[0]}"', hint, "error"
    elif root == "steps" and rest:
        yield from _step_use(use, scope)


def _model(name: str, annotation: Any, path: tuple[str, ...]) -> Iterator[_Finding]:
    for part in path:
        annotation = _bare_type(annotation)
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            fields = annotation.model_fields
            if part not in fields:
                yield "unknown-name", f'{name} has no "{part}"', nearest(part, fields), "error"
                return
            annotation = fields[part].annotation
        elif get_origin(annotation) is tuple:
            if not part.lstrip("-").isdigit():
                hint = f"take one, {name}[0], or filter them: {name} | map(attribute='{part}')"
                yield "unknown-name", f'{name} is a list; it has no "{part}"', hint, "error"
                return
            annotation = get_args(annotation)[0]
        elif get_origin(annotation) is not dict:
            if annotation in _TEXT_LIKE:
                yield "unknown-name", f'{name} has no "{part}": it is a plain value', "", "error"
            return
        else:
            return  # what a mapping holds is the source's business
        name = f"{name}.{part}"


_TEXT_LIKE = (str, int, float, bool)


def _bare_type(annotation: Any) -> Any:
    """A type without `Annotated` and without `| None`."""
    if get_origin(annotation) is Annotated:
        return _bare_type(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        rest = [a for a in get_args(annotation) if a is not type(None)]
        return _bare_type(rest[0]) if len(rest) == 1 else annotation
    return annotation


def _step_use(use: NameUse, scope: Scope) -> Iterator[_Finding]:
    step_id, rest = use.path[1], use.path[2:]
    if step_id not in scope.steps:
        yield "unknown-step", f'there is no step "{step_id}"', nearest(step_id, scope.before), "error"
        return
    place = scope.steps[step_id]
    if step_id not in scope.before:
        why = "it comes later, or runs at the same time in another branch"
        hint = nearest(step_id, scope.before - {step_id}) or "move this step behind it"
        yield "step-not-set", f'"{step_id}" has not ended before this step: {why}', hint, "error"
        return
    if not isinstance(place.step, ActionStep):
        yield "unknown-name", f'"{step_id}" has no result: it is parallel branches', "", "error"
        return
    if rest and rest[0] not in _STEP_FIELDS:
        message = f'steps.{step_id} has no "{rest[0]}"'
        hint = f"write steps.{step_id}.result.{rest[0]}, or steps.{step_id}.status"
        yield "unknown-name", message, hint, "error"
        return
    if rest[:1] == ("result",) and len(rest) > 1:
        yield from _result_use(use, place.step, scope)


def _result_use(use: NameUse, step: ActionStep, scope: Scope) -> Iterator[_Finding]:
    name = use.path[3]
    spec = scope.catalogue.get(step.do)
    properties = spec.result.get("properties") if spec is not None else None
    if spec is not None and isinstance(properties, dict) and properties and name not in properties:
        # A result that may hold more than it declares is only suspicious.
        closed = spec.result.get("additionalProperties") is False
        message = f'the result of {step.do} has no "{name}"'
        yield "unknown-result", message, nearest(name, properties), "error" if closed else "warning"
    if use.guarded or (step.when is None and step.on_error != "continue"):
        return
    if scope.when is not None and _mentions(scope.when, step.id):
        return
    why = "has a condition" if step.when is not None else "may fail and be passed over"
    yield (
        "may-not-be-set",
        f'"{step.id}" {why}, so its result may not be there',
        f"add | default(…), or a when: that asks for steps.{step.id}.status",
        "warning",
    )


def _mentions(expression: str, step_id: str) -> bool:
    try:
        return any(use.path[:2] == ("steps", step_id) for use in names_used(expression, bare=True))
    except ExpressionError:
        return False
