"""What is wrong with a playbook that can be read: checked against the actions that exist, before it ever runs."""

from __future__ import annotations

from collections.abc import Iterator

from jsonschema import Draft202012Validator
from pydantic import JsonValue

from soar.model.base import JsonObject
from soar.model.spec import ActionSpec, Catalogue
from soar.model.terms import Phase, Risk
from soar.playbook.diagnostics import Diagnostic, PlaybookError, nearest
from soar.playbook.document import Path
from soar.playbook.expressions import is_template
from soar.playbook.graph import UNDO, PlacedStep, compile_playbook, placed_steps, with_builtins
from soar.playbook.loader import LoadedPlaybook
from soar.playbook.names import Scope, check_names
from soar.playbook.schema import ActionStep

__all__ = ["lint"]


def lint(loaded: LoadedPlaybook, catalogue: Catalogue) -> list[Diagnostic]:
    """Check a playbook.

    Args:
        catalogue: Every action that exists.

    Returns:
        The findings in the order of the file. With an error among them, the playbook must not be used.
    """
    known = with_builtins(catalogue)
    placed = placed_steps(loaded)
    found: list[Diagnostic] = []
    try:
        compile_playbook(loaded, catalogue)
    except PlaybookError as error:
        found += error.diagnostics
    by_id = {p.id: p for p in placed}
    found += check_names(loaded, ("match", "where"), loaded.playbook.match.where, Scope())
    for index, expression in enumerate(loaded.playbook.correlate_by):
        found += check_names(loaded, ("correlate_by", index), expression, Scope())
    for place in placed:
        if isinstance(place.step, ActionStep):
            found += _step(loaded, place, place.step, known, by_id)
    found += _containment(loaded, placed, known)
    return sorted(set(found), key=lambda d: (d.line, d.column, d.severity, d.message))


def _step(
    loaded: LoadedPlaybook,
    place: PlacedStep,
    step: ActionStep,
    known: Catalogue,
    by_id: dict[str, PlacedStep],
) -> Iterator[Diagnostic]:
    scope = Scope(
        everything=True,
        inputs=frozenset(loaded.playbook.inputs),
        steps=by_id,
        before=frozenset(place.before),
        catalogue=known,
        when=step.when,
    )
    yield from check_names(loaded, (*place.path, "when"), step.when, scope)
    for path, text in _texts(step.params, (*place.path, "with")):
        if is_template(text):
            yield from check_names(loaded, path, text, scope, bare=False)
    spec = known.get(step.do)
    if spec is not None:
        yield from _arguments(loaded, place, step, spec)
        yield from _approval(loaded, place, step, spec)
    if step.do == UNDO:
        yield from _undo(loaded, place, step, known, by_id)


def _texts(value: JsonValue, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _texts(item, (*path, index))
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _texts(item, (*path, key))


def _arguments(
    loaded: LoadedPlaybook, place: PlacedStep, step: ActionStep, spec: ActionSpec
) -> Iterator[Diagnostic]:
    where = (*place.path, "with")
    for error in Draft202012Validator(spec.params).iter_errors(step.params):
        inner = tuple(error.absolute_path)
        path = (*where, *inner)
        at = ".".join(str(part) for part in inner)
        if error.validator == "required":
            for name in sorted(set(error.validator_value) - set(error.instance)):
                full = f"{at}.{name}" if at else name
                message = f'{spec.name} needs the argument "{full}"'
                yield loaded.diagnostic(
                    path, "missing-argument", message, f"add {name}: under with:", key=True
                )
        elif error.validator == "additionalProperties" and isinstance(error.schema, dict):
            allowed = error.schema.get("properties", {})
            for name in sorted(set(error.instance) - set(allowed)):
                message = f'{spec.name} has no argument "{at + "." if at else ""}{name}"'
                hint = nearest(name, allowed) or "leave it out"
                yield loaded.diagnostic((*path, name), "unknown-argument", message, hint, key=True)
        elif not any(is_template(text) for _, text in _texts(error.instance, ())):
            message = f"{at}: {error.message}"[:300]
            yield loaded.diagnostic(path, "argument", message, _expected(spec.params, inner))


def _expected(schema: JsonObject, path: Path) -> str:
    properties = schema.get("properties")
    wanted = properties.get(str(path[0])) if path and isinstance(properties, dict) else None
    text = wanted.get("description") if isinstance(wanted, dict) else None
    return text if isinstance(text, str) else "see `soar actions show` for what it takes"


def _approval(
    loaded: LoadedPlaybook, place: PlacedStep, step: ActionStep, spec: ActionSpec
) -> Iterator[Diagnostic]:
    approval = step.approval
    if approval is not None and approval.role is not None and approval.role not in loaded.playbook.roles:
        yield loaded.diagnostic(
            (*place.path, "approval", "role"),
            "undeclared-role",
            f'the role "{approval.role}" is not under roles',
            nearest(approval.role, loaded.playbook.roles) or "add it under roles, with what it is for",
        )
    if approval is not None and spec.risk is Risk.READ:
        message = f"{spec.name} only reads, so nobody is asked"
        path = (*place.path, "approval")
        yield loaded.diagnostic(
            path, "needless-approval", message, "leave it out", severity="warning", key=True
        )
    if approval is None and spec.risk is Risk.DESTRUCTIVE:
        yield loaded.diagnostic(
            (*place.path, "do"),
            "destructive-without-approval",
            f"{spec.name} cannot be undone, and the step asks for no approval of its own",
            "add approval: {role: …}, so that no policy can make it automatic",
            severity="warning",
        )


def _undo(
    loaded: LoadedPlaybook,
    place: PlacedStep,
    step: ActionStep,
    known: Catalogue,
    by_id: dict[str, PlacedStep],
) -> Iterator[Diagnostic]:
    wanted, path = step.params.get("step"), (*place.path, "with", "step")
    if not isinstance(wanted, str):
        return  # reported as a wrong argument
    changes = [i for i in place.before if _undoable(by_id[i], known)]
    if is_template(wanted):
        yield loaded.diagnostic(path, "undo", "the step to undo is written out, not a template")
    elif wanted not in by_id:
        yield loaded.diagnostic(path, "undo", f'there is no step "{wanted}"', nearest(wanted, changes))
    elif wanted not in place.before:
        yield loaded.diagnostic(
            path, "undo", f'"{wanted}" has not ended before this step', nearest("", changes)
        )
    elif wanted not in changes:
        message = f'"{wanted}" makes no change that can be undone'
        yield loaded.diagnostic(path, "undo", message, nearest("", changes))


def _undoable(place: PlacedStep, known: Catalogue) -> bool:
    spec = known.get(place.step.do) if isinstance(place.step, ActionStep) else None
    return spec is not None and spec.risk is not Risk.READ and spec.undoable


def _containment(loaded: LoadedPlaybook, placed: list[PlacedStep], known: Catalogue) -> Iterator[Diagnostic]:
    steps = [p.step for p in placed if p.phase is Phase.CONTAINMENT and isinstance(p.step, ActionStep)]
    specs = [known.get(step.do) for step in steps]
    if steps and all(spec is not None and spec.risk is Risk.READ for spec in specs):
        yield loaded.diagnostic(
            (Phase.CONTAINMENT.value,),
            "contains-nothing",
            "no step of the containment phase changes anything",
            "an incident of this playbook never counts as contained",
            severity="warning",
            key=True,
        )
