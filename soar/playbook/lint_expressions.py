"""Every expression of a playbook: what it reads, and of which kind its value is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from soar.playbook.compiler import PlacedStep
from soar.playbook.diagnostics import Diagnostic
from soar.playbook.expressions import expression_in, is_template
from soar.playbook.lint_place import Subject, alert_scope, texts_in
from soar.playbook.names import Scope, check_names
from soar.playbook.results import ROOTS
from soar.playbook.shapes import in_words, infer, kinds_of
from soar.playbook.steps import (
    ActionStep,
    ApproveStep,
    ForeachStep,
    IfStep,
    PlaybookStep,
    RepeatStep,
    SetStep,
    SwitchStep,
    TaskStep,
    WaitStep,
)

__all__ = ["check_expressions"]


def check_expressions(subject: Subject) -> Iterator[Diagnostic]:
    """Check what all expressions and templates of a playbook read."""
    loaded, playbook = subject.loaded, subject.loaded.playbook
    if playbook.match is not None:
        yield from check_names(loaded, ("match", "where"), playbook.match.where, alert_scope())
    for index, expression in enumerate(playbook.correlate_by):
        yield from check_names(loaded, ("correlate_by", index), expression, alert_scope())
    for name, expression in playbook.outputs.items():
        yield from check_names(loaded, ("outputs", name), expression, subject.at_the_end())
    for index, rule in enumerate(playbook.severity):
        yield from check_names(loaded, ("severity", index, "when"), rule.when, subject.at_any_time())
    for name, clock in playbook.clocks.items():
        yield from check_names(loaded, ("clocks", name, "when"), clock.when, subject.at_any_time())
    for place in subject.placed:
        yield from _step(subject, place)


def _step(subject: Subject, place: PlacedStep) -> Iterator[Diagnostic]:
    loaded, path, step = subject.loaded, place.path, place.step
    yield from check_names(loaded, (*path, "when"), step.when, subject.scope(place, own=False))
    scope = subject.scope(place)
    if isinstance(step, ActionStep):
        for key, text in (("account", step.account), ("region", step.region)):
            if text is not None and is_template(text):
                yield from check_names(loaded, (*path, key), text, scope, bare=False)
    match step:
        case ActionStep() | PlaybookStep():
            for where, text in texts_in(step.params, (*path, "with")):
                if is_template(text):
                    yield from check_names(loaded, where, text, scope, bare=False)
        case SetStep():
            for where, text in texts_in(step.set, (*path, "set")):
                if is_template(text):
                    yield from check_names(loaded, where, text, scope, bare=False)
        case TaskStep(task=task):
            yield from check_names(
                loaded, (*path, "task", "instructions"), task.instructions, scope, bare=False
            )
        case ApproveStep():
            yield from check_names(loaded, (*path, "approve"), step.approve, scope, bare=False)
            yield from check_names(loaded, (*path, "details"), step.details, scope, bare=False)
        case WaitStep(wait=wait):
            # Looked at again and again while other branches go on, so everything may be read.
            always = subject.at_any_time()
            waiting = replace(scope, before=scope.before | always.before, always=True)
            yield from check_names(loaded, (*path, "wait", "until"), wait.until, waiting)
            yield from check_names(loaded, (*path, "wait", "alert"), wait.alert, waiting)
        case IfStep():
            yield from check_names(loaded, (*path, "if"), step.condition, scope)
        case SwitchStep():
            yield from check_names(loaded, (*path, "switch"), step.switch, scope)
        case ForeachStep():
            yield from _foreach(subject, place, step, scope)
        case RepeatStep():
            yield from check_names(loaded, (*path, "until"), step.until, subject.inside(place))


def _foreach(subject: Subject, place: PlacedStep, step: ForeachStep, scope: Scope) -> Iterator[Diagnostic]:
    loaded, path = subject.loaded, place.path
    yield from check_names(loaded, (*path, "foreach"), step.foreach, scope)
    yield from check_names(loaded, (*path, "collect"), step.collect, subject.inside(place))
    kinds = kinds_of(infer(expression_in(step.foreach, bare=True), scope.roots))
    if kinds is not None and "array" not in kinds:
        message = f"this is {in_words(kinds)}, and a loop goes over a list"
        hint = "take a list from it: | items, | list, or one of its fields"
        yield loaded.diagnostic((*path, "foreach"), "foreach-not-list", message, hint)
    taken = {*ROOTS, "attempt", "loop"}
    for loop in place.loops:
        if isinstance(loop, ForeachStep):
            taken |= {loop.bound, f"{loop.bound}_index"}
    for name in (step.bound, f"{step.bound}_index"):
        if name in taken:
            message = f'the item of the loop is called "{step.bound}", and "{name}" is something else already'
            hint = "choose another name with as:"
            yield loaded.diagnostic((*path, "as"), "shadowed-name", message, hint)
            break
