"""What a playbook does as a whole: approvals, evidence, containment, deadlines, what never runs or is never read."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from soar.model.base import JsonObject
from soar.model.spec import ActionSpec
from soar.model.terms import Phase, Risk
from soar.playbook.builtins import BUILTIN_SPECS, UNDO
from soar.playbook.compiler import PlacedStep
from soar.playbook.diagnostics import Diagnostic, near, nearest
from soar.playbook.document import Path, Position, Span
from soar.playbook.expressions import ExpressionError, is_template, names_used
from soar.playbook.fixes import inserted, lines_of, removed, renamed, word_places
from soar.playbook.flow import constant
from soar.playbook.lint_place import Subject, texts_in
from soar.playbook.secrets import secrets_in
from soar.playbook.steps import (
    ActionStep,
    ApproveStep,
    IfStep,
    PlaybookStep,
    RepeatStep,
    SwitchStep,
    TaskStep,
    WaitStep,
)

__all__ = ["DESIGN_CHECKS", "check_secrets"]


def _spec(subject: Subject, place: PlacedStep) -> ActionSpec | None:
    return subject.catalogue.get(place.step.do) if isinstance(place.step, ActionStep) else None


def _approvals(subject: Subject) -> Iterator[Diagnostic]:
    for place in subject.placed:
        step, spec = place.step, _spec(subject, place)
        if not isinstance(step, ActionStep) or spec is None:
            continue
        if step.approval is not None and spec.risk is Risk.READ:
            path = (*place.path, "approval")
            message, fix = f"{spec.name} only reads, so nobody is asked", removed(subject.loaded, path)
            yield subject.loaded.diagnostic(
                path, "needless-approval", message, "leave it out", key=True, fix=fix
            )
        for key in ("account", "region"):
            if getattr(step, key) is not None and spec.name in BUILTIN_SPECS:
                path = (*place.path, key)
                message, fix = f"{spec.name} acts in no {key}", removed(subject.loaded, path)
                yield subject.loaded.diagnostic(
                    path, "needless-place", message, "leave it out", key=True, fix=fix
                )
        if step.approval is None and spec.risk is Risk.DESTRUCTIVE:
            yield subject.loaded.diagnostic(
                (*place.path, "do"),
                "destructive-without-approval",
                f"{spec.name} cannot be undone, and the step asks for no approval of its own",
                "add approval: {role: …}, so that no policy can make it automatic",
            )
        if step.expires is not None and not (spec.undoable and spec.risk is not Risk.READ):
            message = f"{spec.name} makes no change that could be put back when it expires"
            yield subject.loaded.diagnostic(
                (*place.path, "expires"), "not-undoable", message, "leave expires out", key=True
            )


def _roles_named(place: PlacedStep) -> Iterator[tuple[Path, str]]:
    step = place.step
    if isinstance(step, (ActionStep, ApproveStep)) and step.approval is not None and step.approval.role:
        yield (*place.path, "approval", "role"), step.approval.role
    if isinstance(step, TaskStep):
        yield (*place.path, "task", "role"), step.task.role
    if step.role is not None:
        yield (*place.path, "role"), step.role
    for index, role in enumerate(step.notify):
        yield (*place.path, "notify", index), role


def _roles(subject: Subject) -> Iterator[Diagnostic]:
    loaded, declared = subject.loaded, subject.loaded.playbook.roles
    named: set[str] = set()
    for place in subject.placed:
        for path, role in _roles_named(place):
            named.add(role)
            if role not in declared:
                meant = near(role, declared)
                yield loaded.diagnostic(
                    path,
                    "undeclared-role",
                    f'the role "{role}" is not under roles',
                    nearest(role, declared) or "add it under roles, with what it is for",
                    fix=loaded.positions.written(path, role, meant) if meant else (),
                )
    for role in declared:
        if role not in named:
            message = f'no step names the role "{role}"'
            yield loaded.diagnostic(("roles", role), "unused-role", message, "leave it out", key=True)


def _undoable(subject: Subject, place: PlacedStep) -> bool:
    spec = _spec(subject, place)
    return spec is not None and spec.risk is not Risk.READ and spec.undoable


def _undo(subject: Subject) -> Iterator[Diagnostic]:
    loaded, by_id = subject.loaded, subject.flow.by_id
    for place in subject.placed:
        if not isinstance(place.step, ActionStep) or place.step.do != UNDO:
            continue
        wanted, path = place.step.params.get("step"), (*place.path, "with", "step")
        if not isinstance(wanted, str):
            continue  # a phase, or all; what is neither is reported as a wrong argument
        changes = [i for i in place.before if _undoable(subject, by_id[i])]
        hint = nearest("", changes) or "no step before it makes a change that can be undone"
        if is_template(wanted):
            yield loaded.diagnostic(path, "undo", "the step to undo is written out, not a template")
        elif wanted not in by_id:
            meant = near(wanted, changes)
            fix = loaded.positions.written(path, wanted, meant) if meant else ()
            message = f'there is no step "{wanted}"'
            yield loaded.diagnostic(path, "undo", message, nearest(wanted, changes) or hint, fix=fix)
        elif wanted not in place.before:
            yield loaded.diagnostic(path, "undo", f'"{wanted}" has not ended before this step', hint)
        elif wanted not in changes:
            yield loaded.diagnostic(path, "undo", f'"{wanted}" makes no change that can be undone', hint)


def _containment(subject: Subject) -> Iterator[Diagnostic]:
    places = [p for p in subject.placed if p.phase is Phase.CONTAINMENT and not p.failure]
    if not places:
        return
    by_hand = [p for p in places if isinstance(p.step, (TaskStep, PlaybookStep))]
    unknown = any(isinstance(p.step, ActionStep) and _spec(subject, p) is None for p in places)
    changed = any((spec := _spec(subject, p)) is not None and spec.risk is not Risk.READ for p in places)
    if not by_hand and not changed and not unknown:
        yield subject.loaded.diagnostic(
            (Phase.CONTAINMENT.value,),
            "contains-nothing",
            "no step of the containment phase changes anything",
            "an incident of this playbook never counts as contained",
            key=True,
        )
    looks = [
        p
        for p in subject.placed
        if (spec := _spec(subject, p)) is not None and spec.risk is Risk.READ and spec.queue != "orchestrator"
    ]
    for place in by_hand:
        if isinstance(place.step, TaskStep) and not any(place.id in look.before for look in looks):
            yield subject.loaded.diagnostic(
                (*place.path, "task"),
                "unverified-containment",
                f'nothing looks at what people did in "{place.id}"',
                "add a step behind it that reads the state",
                key=True,
            )


def _evidence(subject: Subject) -> Iterator[Diagnostic]:
    taking = [p for p in subject.placed if _takes(subject, p)]
    for place in subject.placed:
        spec = _spec(subject, place)
        if spec is None or spec.risk is not Risk.DESTRUCTIVE or not isinstance(place.step, ActionStep):
            continue
        needed = spec.params.get("required")
        params = place.step.params
        target = {str(params[n]) for n in (needed if isinstance(needed, list) else ()) if n in params}
        about = [p for p in taking if target and _same(place, p, target)]
        for late in about:
            earlier = any(
                _action(p) == _action(late) and place.id not in p.before for p in about if p != late
            )
            if place.id in late.before and not earlier and place.path != late.path:
                yield subject.loaded.diagnostic(
                    (*late.path, "do"),
                    "evidence-after-destruction",
                    f'"{late.id}" looks at what "{place.id}" has destroyed by then',
                    "move it in front of it",
                )


def _action(place: PlacedStep) -> str:
    return place.step.do if isinstance(place.step, ActionStep) else ""


_KEEPS = ("snapshot", "capture", "collect", "copy", "dump", "export", "image")


def _takes(subject: Subject, place: PlacedStep) -> bool:
    spec = _spec(subject, place)
    return spec is not None and (
        spec.risk is Risk.READ or any(word in spec.name.rpartition(".")[2] for word in _KEEPS)
    )


def _same(one: PlacedStep, other: PlacedStep, target: set[str]) -> bool:
    """Whether another step is about the same thing of the same service."""
    if not isinstance(one.step, ActionStep) or not isinstance(other.step, ActionStep):
        return False
    given: JsonObject = other.step.params
    service = one.step.do.rpartition(".")[0]
    return other.step.do.rpartition(".")[0] == service and target <= {str(v) for v in given.values()}


def _never(subject: Subject) -> Iterator[Diagnostic]:
    loaded = subject.loaded
    for place in subject.placed:
        path, step = place.path, place.step
        if step.when is not None and constant(step.when) is False:
            hint = "leave the step out, or write a condition that can hold"
            message = f'"{step.id or step.name or "this step"}" never runs: its condition is always false'
            yield loaded.diagnostic((*path, "when"), "unreachable-step", message, hint)
        if isinstance(step, IfStep) and (holds := constant(step.condition)) is not None:
            dead = ("else",) if holds else ("then",)
            if holds and step.otherwise is None:
                message, hint = "this always holds", "write the steps without it"
                yield loaded.diagnostic((*path, "if"), "constant-condition", message, hint)
            else:
                message = f"these steps never run: the condition is always {'true' if holds else 'false'}"
                yield loaded.diagnostic(
                    (*path, *dead), "unreachable-step", message, "leave them out", key=True
                )
        if isinstance(step, SwitchStep) and constant(step.switch) is not None:
            message, hint = "this is always the same case", "write its steps without the switch"
            yield loaded.diagnostic((*path, "switch"), "constant-condition", message, hint)
        until = step.until if isinstance(step, RepeatStep) else None
        where: Path = (*path, "until")
        if isinstance(step, WaitStep):
            until = step.wait.until or step.wait.alert
            where = (*path, "wait", "until" if step.wait.until is not None else "alert")
        if until is not None and (holds := constant(until)) is not None:
            message = "this holds at once" if holds else "this never holds"
            yield loaded.diagnostic(where, "constant-condition", message, "write what is waited for")


def _limits(subject: Subject) -> Iterator[Diagnostic]:
    loaded = subject.loaded
    for place in subject.placed:
        path, step = place.path, place.step
        if isinstance(step, TaskStep) and step.timeout is None and step.task.due is None:
            yield loaded.diagnostic(
                (*path, "task"),
                "no-timeout",
                f'nobody is reminded of "{step.id}", and the incident may wait for it for ever',
                "add timeout: 1d to the step, or due: 4h to the task",
                key=True,
                fix=inserted(loaded, path, "id", "timeout", "1d"),
            )
        if isinstance(step, RepeatStep) and step.every is None and step.attempts > 1:
            inside = [p.step for p in subject.placed if p.path[: len(path)] == path and p.path != path]
            if not any(isinstance(inner, (WaitStep, TaskStep, ApproveStep)) for inner in inside):
                yield loaded.diagnostic(
                    (*path, "repeat"),
                    "repeat-without-pause",
                    f"its {step.attempts} rounds follow each other at once",
                    "add every: 30s",
                    key=True,
                    fix=inserted(loaded, path, "attempts", "every", "30s"),
                )


def _unused(subject: Subject) -> Iterator[Diagnostic]:
    loaded, playbook = subject.loaded, subject.loaded.playbook
    used: set[str] = set()
    for _, text in texts_in(loaded.positions.data, ()):
        if "inputs" not in text:
            continue
        try:
            paths = [use.path for use in names_used(text, bare=not is_template(text))]
        except ExpressionError:
            continue  # no expression, or one that is found elsewhere
        if any(path == ("inputs",) for path in paths):
            return  # all of them are read at once
        used |= {path[1] for path in paths if path[0] == "inputs" and len(path) > 1}
    for name in playbook.inputs:
        if name not in used:
            message = f'nothing reads the input "{name}"'
            yield loaded.diagnostic(("inputs", name), "unused-input", message, "leave it out", key=True)


def _names(subject: Subject) -> Iterator[Diagnostic]:
    first: dict[str, PlacedStep] = {}
    for place in subject.placed:
        name = place.step.name
        if name is not None and first.setdefault(name, place) is not place:
            message = f'"{first[name].id}" has this name already'
            yield subject.loaded.diagnostic(
                (*place.path, "name"), "same-name", message, "call it by what it does"
            )


def _clocks(subject: Subject) -> Iterator[Diagnostic]:
    loaded, known = subject.loaded, subject.flow.by_id
    for name, clock in loaded.playbook.clocks.items():
        if clock.met_by is not None and clock.met_by not in known:
            path = ("clocks", name, "met_by")
            fix = renamed(word_places(loaded, path, clock.met_by), near(clock.met_by, known))
            message = f'there is no step "{clock.met_by}"'
            yield loaded.diagnostic(path, "unknown-met-by", message, nearest(clock.met_by, known), fix=fix)


def check_secrets(subject: Subject) -> Iterator[Diagnostic]:
    """Look for secrets in the whole text, comments included."""
    for number, line in enumerate(lines_of(subject.loaded.text), start=1):
        for found in secrets_in(line):
            span = Span(Position(number, found.start + 1), Position(number, found.end + 1))
            yield subject.loaded.diagnostic(
                (),
                "secret",
                f"this looks like {found.kind}",
                "take it back where it was issued, and let the worker resolve it by its name",
                at=span,
            )


DESIGN_CHECKS: tuple[Callable[[Subject], Iterator[Diagnostic]], ...] = (
    _approvals,
    _roles,
    _undo,
    _containment,
    _evidence,
    _never,
    _limits,
    _unused,
    _names,
    _clocks,
    check_secrets,
)
"""Every check here, in the order of their findings' weight."""
