"""What the names in expressions hold, as shapes: the alert, inputs, the results of steps."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from pydantic import JsonValue

from soar.model.alert import Alert
from soar.model.spec import Catalogue
from soar.model.terms import Severity, StepStatus
from soar.playbook.compiler import Find, PlacedStep
from soar.playbook.expressions import expression_in, is_template
from soar.playbook.schema import Playbook
from soar.playbook.shapes import Shape, infer, kinds_of, shape_of, value_shape, walk
from soar.playbook.steps import (
    ActionStep,
    AnyStep,
    ApproveStep,
    ForeachStep,
    FormField,
    ParallelStep,
    PlaybookStep,
    RepeatStep,
    SetStep,
    TaskStep,
    WaitStep,
)

__all__ = ["INCIDENT_FIELDS", "ROOTS", "alert_shape", "input_shape", "item_shape", "result_of", "roots_of"]

ROOTS: Final = ("alert", "alerts", "incident", "inputs", "now", "steps", "vars")
"""What templates may read everywhere in the steps of a playbook."""

INCIDENT_FIELDS: Final = ("account", "id", "playbook", "region", "severity", "title")
"""What `incident` holds."""

_TEXT: Final = {"type": "string"}


def _closed(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": dict(fields), "additionalProperties": False}


@cache
def alert_shape() -> Shape:
    """An alert as expressions read it."""
    return shape_of(Alert.model_json_schema(mode="serialization"))


_INPUTS: Final[dict[str, dict[str, Any]]] = {
    "string": _TEXT,
    "number": {"type": "number"},
    "boolean": {"type": "boolean"},
    "list": {"type": "array"},
}


def input_shape(playbook: Playbook, name: str) -> Shape | None:
    """An input of a playbook; None if it has no such input."""
    spec = playbook.inputs.get(name)
    return shape_of(_INPUTS[spec.type]) if spec is not None else None


_FORM: Final[dict[str, dict[str, Any]]] = {
    "text": _TEXT,
    "number": {"type": "number"},
    "boolean": {"type": "boolean"},
    "choice": _TEXT,
    "time": _TEXT,
}


def _form(field: FormField) -> dict[str, Any]:
    known = _FORM[field.type]
    return known if field.required else {"type": [known["type"], "null"]}


def result_of(step: AnyStep, catalogue: Catalogue, find: Find | None) -> Shape | None:
    """What a step's `result` holds; None of a kind of step that has none, an open mapping where it is not declared."""
    match step:
        case ActionStep():
            spec = catalogue.get(step.do)
            return shape_of(spec.result if spec is not None else {})
        case TaskStep(task=task):
            return shape_of(_closed({**{n: _form(f) for n, f in task.form.items()}, "completed_by": _TEXT}))
        case ApproveStep():
            people = {"type": "array", "items": _TEXT}
            return shape_of(_closed({"approved": {"type": "boolean"}, "by": people, "outcome": _TEXT}))
        case WaitStep(wait=wait):
            happened = {"happened": {"type": "boolean"}}
            if wait.alert is None:
                return shape_of(_closed(happened))
            joined = dict(alert_shape().schema)
            inner = joined.pop("$defs", {})
            return shape_of(
                {**_closed({**happened, "alert": {"anyOf": [joined, {"type": "null"}]}}), "$defs": inner}
            )
        case SetStep():
            return shape_of(_closed({name: _plain(value) for name, value in step.set.items()}))
        case PlaybookStep():
            return _child(step, find)
        case ForeachStep():
            whole = {"type": "integer"}
            return shape_of(_closed({"items": {"type": "array"}, "count": whole, "failed": {}}))
        case RepeatStep():
            return shape_of(_closed({"attempts": {"type": "integer"}, "satisfied": {"type": "boolean"}}))
    return None


def _plain(value: JsonValue) -> dict[str, Any]:
    """The schema of a value as written; anything, if it has a template in it."""
    if isinstance(value, str):
        text = not is_template(value) or expression_in(value) is None
        return dict(_TEXT) if text else {}
    kinds = kinds_of(value_shape(value))
    return {"type": sorted(kinds or ())}


def _child(step: PlaybookStep, find: Find | None) -> Shape:
    told = {"incident": _TEXT, "status": _TEXT}
    try:
        child = find(step.playbook).playbook if find is not None else None
    except KeyError:
        child = None
    if child is None:
        return shape_of({"type": "object"})
    return shape_of(_closed({**{name: {} for name in child.outputs}, **told}))


def roots_of(
    playbook: Playbook, placed: list[PlacedStep], catalogue: Catalogue, find: Find | None
) -> dict[str, Shape | None]:
    """The shape of each name that every step of a playbook may read.

    Args:
        placed: Its steps.
        catalogue: Every action that exists.
        find: The playbooks that its steps call.
    """
    alert = alert_shape()
    severities = {"enum": [s.label for s in Severity]}
    roots: dict[str, Shape | None] = {
        "alert": alert,
        "alerts": shape_of(
            {"type": "array", "items": {"$ref": "#/$defs/Alert"}, "$defs": _with_alert(alert.schema)}
        ),
        "incident": shape_of(_closed({**dict.fromkeys(INCIDENT_FIELDS, _TEXT), "severity": severities})),
        "inputs": shape_of(_closed({name: _INPUTS[spec.type] for name, spec in playbook.inputs.items()})),
        "now": shape_of(_TEXT),
    }
    status = {"enum": [s.value for s in StepStatus]}
    steps: dict[str, Any] = {}
    definitions: dict[str, Any] = {}
    for place in placed:
        result = result_of(place.step, catalogue, find)
        fields: dict[str, Any] = {"status": status} if _has_status(place.step) else {}
        if result is not None:
            fields["result"] = _moved(result.schema, place.id)
            inner = result.schema.get("$defs", {})
            definitions |= {f"{place.id}.{name}": _moved(part, place.id) for name, part in inner.items()}
        steps[place.id] = _closed(fields)
    roots["steps"] = shape_of({**_closed(steps), "$defs": definitions})
    names: dict[str, Any] = {}
    for place in placed:
        if isinstance(place.step, SetStep):
            for name, value in place.step.set.items():
                roots["vars"] = shape_of(_closed(names))  # what is set may be made of what was set before
                shape = infer(expression_in(value), roots) if isinstance(value, str) else None
                # A name that is set twice may be of either kind.
                known = {} if name in names or shape is not None else _plain(value)
                kinds = kinds_of(shape)
                names[name] = {"type": sorted(kinds)} if kinds and name not in names else known
    roots["vars"] = shape_of(_closed(names))
    return roots


def _has_status(step: AnyStep) -> bool:
    # Where there is nothing to decide and nothing to tell of it, the branches run without it.
    return not isinstance(step, ParallelStep) or step.when is not None or step.timeout is not None


def _with_alert(schema: Mapping[str, Any]) -> dict[str, Any]:
    alert = {key: value for key, value in schema.items() if key != "$defs"}
    return {**schema.get("$defs", {}), "Alert": alert}


def _moved(value: Any, prefix: str) -> Any:
    """The same schema with its references to where its definitions now stand."""
    if isinstance(value, list):
        return [_moved(item, prefix) for item in value]
    if not isinstance(value, Mapping):
        return value
    moved = {key: _moved(item, prefix) for key, item in value.items() if key != "$defs"}
    reference = moved.get("$ref")
    if isinstance(reference, str) and reference.startswith("#/$defs/"):
        moved["$ref"] = f"#/$defs/{prefix}.{reference.removeprefix('#/$defs/')}"
    return moved


def item_shape(loop: ForeachStep, roots: Mapping[str, Shape | None]) -> Shape | None:
    """An item of the list that a loop goes over."""
    found = walk(infer(expression_in(loop.foreach, bare=True), roots), ("0",))
    return found if isinstance(found, Shape) else None
