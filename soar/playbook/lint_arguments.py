"""The arguments of steps against what actions and called playbooks take, in kind as well."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from soar.model.base import JsonObject
from soar.playbook.compiler import PlacedStep
from soar.playbook.diagnostics import Diagnostic, near, nearest
from soar.playbook.expressions import expression_in, is_template
from soar.playbook.flow import path_of
from soar.playbook.lint_place import Subject, texts_in
from soar.playbook.results import input_shape
from soar.playbook.shapes import Shape, in_words, infer, kinds_of, shape_of, walk
from soar.playbook.steps import ActionStep, PlaybookStep

__all__ = ["check_arguments"]


def check_arguments(subject: Subject) -> Iterator[Diagnostic]:
    """Check the arguments of all steps."""
    for place in subject.placed:
        step = place.step
        if isinstance(step, ActionStep) and step.do in subject.catalogue:
            params = subject.catalogue[step.do].params
            for error in Draft202012Validator(params).iter_errors(step.params):
                yield from _written(subject, place, step, error)
            yield from _templates(subject, place, step.params, shape_of(params), step.do)
        elif isinstance(step, PlaybookStep):
            yield from _inputs(subject, place, step)


def _written(
    subject: Subject, place: PlacedStep, step: ActionStep, error: ValidationError
) -> Iterator[Diagnostic]:
    loaded, inner = subject.loaded, tuple(error.absolute_path)
    instance: Any = error.instance
    wanted: Any = error.validator_value
    path = (*place.path, "with", *inner)
    at = ".".join(str(part) for part in inner)
    if error.validator == "required":
        for name in sorted(set(wanted) - set(instance)):
            full = f"{at}.{name}" if at else name
            message = f'{step.do} needs the argument "{full}"'
            yield loaded.diagnostic(path, "missing-argument", message, f"add {name}: under with:", key=True)
    elif error.validator == "additionalProperties" and isinstance(error.schema, dict):
        allowed = error.schema.get("properties", {})
        for name in sorted(set(instance) - set(allowed)):
            message = f'{step.do} has no argument "{at + "." if at else ""}{name}"'
            hint = nearest(name, allowed) or "leave it out"
            # An argument that is there already is not the one that is meant.
            meant = near(name, set(allowed) - set(instance))
            fix = loaded.positions.written((*path, name), name, meant, key=True) if meant else ()
            yield loaded.diagnostic((*path, name), "unknown-argument", message, hint, key=True, fix=fix)
    elif not any(is_template(text) for _, text in texts_in(instance, ())):
        message = f"{at}: {error.message}"[:300] if at else error.message[:300]
        meant = None
        if error.validator == "enum" and isinstance(instance, str):
            meant = near(instance, [v for v in wanted if isinstance(v, str)])
        fix = loaded.positions.written(path, str(instance), meant) if meant else ()
        params = subject.catalogue[step.do].params
        yield loaded.diagnostic(path, "argument", message, _expected(params, inner), fix=fix)


def _expected(schema: JsonObject, path: tuple[Any, ...]) -> str:
    properties = schema.get("properties")
    wanted = properties.get(str(path[0])) if path and isinstance(properties, dict) else None
    text = wanted.get("description") if isinstance(wanted, dict) else None
    return text if isinstance(text, str) else "see `soar actions show` for what it takes"


def _inputs(subject: Subject, place: PlacedStep, step: PlaybookStep) -> Iterator[Diagnostic]:
    if subject.find is None:
        return
    try:
        child = subject.find(step.playbook).playbook
    except KeyError:
        return  # the compiler says so
    for name, value in step.params.items():
        wanted = input_shape(child, name)
        if wanted is None:
            continue  # the compiler says so
        path = (*place.path, "with", name)
        if not any(True for _, text in texts_in(value, ()) if is_template(text)):
            for error in Draft202012Validator(wanted.schema).iter_errors(value):
                yield subject.loaded.diagnostic(path, "argument", f"{name}: {error.message}"[:300])
        yield from _templates(subject, place, {name: value}, _mapping(name, wanted), step.playbook)


def _mapping(name: str, shape: Shape) -> Shape:
    return shape_of({"type": "object", "properties": {name: dict(shape.schema)}})


_ALSO: Mapping[str, frozenset[str]] = {
    "integer": frozenset({"number"}),
    "number": frozenset({"integer"}),  # a number may well be whole
}


def _templates(
    subject: Subject, place: PlacedStep, params: JsonObject, wanted: Shape, taker: str
) -> Iterator[Diagnostic]:
    scope = subject.scope(place)
    loaded = subject.loaded
    for inner, text in texts_in(params, ()):
        if not is_template(text):
            continue
        target = walk(wanted, tuple(str(part) for part in inner))
        takes = kinds_of(target) if isinstance(target, Shape) else None
        expression = expression_in(text)
        gives = kinds_of(infer(expression, scope.roots)) if expression is not None else frozenset({"string"})
        if takes is None or gives is None:
            continue
        fits = {kind for kind in gives if kind in takes or _ALSO.get(kind, frozenset()) & takes}
        path = (*place.path, "with", *inner)
        name = ".".join(str(part) for part in inner)
        given = path_of(expression) if expression is not None else ()
        if not fits:
            message = f"{name} of {taker} takes {in_words(takes)}, and this gives {in_words(gives)}"
            hint = "turn it into that kind with a filter, or take a part of it"
            if expression is None:
                hint = "write it as one {{ … }}, so that it keeps its type"
            yield loaded.diagnostic(path, "argument-type", message, hint)
        elif "null" in gives and "null" not in takes and given and given not in scope.not_null:
            message = f"{name} of {taker} takes {in_words(takes)}, and this may be null"
            hint = f"ask for it in when: {'.'.join(given)} is not none"
            yield loaded.diagnostic(path, "may-be-null", message, hint)
