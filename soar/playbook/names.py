"""Whether what a playbook's expressions read exists, and is set by the time that it is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from jinja2 import nodes

from soar.model.terms import StepStatus
from soar.playbook.compiler import PlacedStep
from soar.playbook.diagnostics import Diagnostic, near, nearest
from soar.playbook.document import Path
from soar.playbook.expressions import ExpressionError, NameUse, expression_in, names_used, syntax_of
from soar.playbook.fixes import places, renamed, word_places
from soar.playbook.flow import Condition, Flow
from soar.playbook.lint_kinds import wrong_kinds
from soar.playbook.loader import LoadedPlaybook
from soar.playbook.shapes import Problem, Shape, fields_of, kinds_of, walk
from soar.playbook.steps import ForeachStep

__all__ = ["Scope", "check_names"]


@dataclass(frozen=True)
class Scope:
    """What can be read at one place.

    Args:
        roots: The shape of each name.
        flow: The steps of the playbook; None where no step can be read.
        reader: The step that reads; None: what is read at the incident's end.
        before: The steps that can have ended by then.
        conditions: What holds wherever this is read.
        always: It is looked at again and again, and what is not set yet does no harm.
    """

    roots: Mapping[str, Shape | None]
    flow: Flow | None = None
    reader: PlacedStep | None = None
    before: frozenset[str] = frozenset()
    conditions: tuple[Condition, ...] = ()
    always: bool = False
    not_null: frozenset[tuple[str, ...]] = field(default=frozenset())
    """Paths that `match.where` and the conditions see to."""


class _Finding(NamedTuple):
    rule: str
    message: str
    hint: str = ""
    wrong: tuple[str, ...] = ()
    right: str | None = None


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
    whole = {use.path for use in uses}
    for use in uses:
        for finding in _check(use, scope, whole):
            spans = places(loaded, path, finding.wrong) if finding.wrong else []
            fix = renamed(spans, finding.right)
            at = spans[0] if spans else None
            yield loaded.diagnostic(path, finding.rule, finding.message, finding.hint, fix=fix, at=at)
    yield from _statuses(loaded, path, source, bare)
    tree = syntax_of(source, bare=bare)
    if tree is not None:
        for message in dict.fromkeys(wrong_kinds(tree, scope.roots)):
            hint = "turn it into the right kind with a filter, or take a part of it"
            yield loaded.diagnostic(path, "wrong-kind", message, hint)


def _check(use: NameUse, scope: Scope, whole: set[tuple[str, ...]]) -> Iterator[_Finding]:
    root = use.path[0]
    if root not in scope.roots:
        message = f'there is no "{root}" here'
        yield _Finding(
            "unknown-name", message, nearest(root, scope.roots), use.path[:1], near(root, scope.roots)
        )
        return
    if root == "steps" and scope.flow is not None:
        if len(use.path) > 1:
            yield from _step_use(use, scope, scope.flow, whole)
    else:
        yield from _field(use, scope.roots[root], 1)
        if root == "vars" and len(use.path) > 1 and scope.flow is not None:
            yield from _var_use(use, scope, scope.flow)
    yield from _null(use, scope, whole)


def _field(use: NameUse, shape: Shape | None, start: int) -> Iterator[_Finding]:
    """Whether the parts of a path from `start` on are there."""
    found = walk(shape, use.path[start:])
    if not isinstance(found, Problem):
        return
    at = start + found.at
    name, part, root = ".".join(use.path[:at]), use.path[at], use.path[0]
    wrong, meant = use.path[: at + 1], near(part, found.known)
    if found.kind == "plain":
        yield _Finding("unknown-name", f'{name} has no "{part}": it is a plain value', wrong=wrong)
    elif found.kind == "list":
        hint = f"take one, {name}[0], or filter them: {name} | map(attribute='{part}')"
        yield _Finding("unknown-name", f'{name} is a list; it has no "{part}"', hint, wrong)
    elif root == "inputs":
        hint = nearest(part, found.known) or "declare it under inputs"
        yield _Finding("unknown-input", f'there is no input "{part}"', hint, wrong, meant)
    elif root == "vars":
        hint = nearest(part, found.known) or "give it a value with a set step"
        yield _Finding("unknown-name", f'no step sets "{part}"', hint, wrong, meant)
    elif root == "steps" and at > 2:
        rule = "unknown-result" if found.kind == "closed" else "undeclared-result"
        message = f'the result of {use.path[1]} has no "{".".join(use.path[3 : at + 1])}"'
        yield _Finding(rule, message, nearest(part, found.known), wrong, meant)
    elif found.kind == "closed":
        yield _Finding("unknown-name", f'{name} has no "{part}"', nearest(part, found.known), wrong, meant)
    else:
        message = f'{name} declares no "{part}"'
        yield _Finding("undeclared-result", message, nearest(part, found.known), wrong, meant)


def _null(use: NameUse, scope: Scope, whole: set[tuple[str, ...]]) -> Iterator[_Finding]:
    if use.guarded or scope.always:
        return
    for end in range(1, len(use.path)):
        path = use.path[:end]
        found = walk(scope.roots.get(path[0]), path[1:])
        kinds = kinds_of(found) if isinstance(found, Shape) else None
        if not kinds or "null" not in kinds:
            continue
        # The alert that a wait was for is there if it happened.
        waited = path[0] == "steps" and path[2:] == ("result", "alert")
        sign = (*path[:3], "happened") if waited else path
        # A template that looks at the thing as a whole, too, is taken to ask whether it is there.
        if sign in scope.not_null or sign in whole:
            continue
        name = ".".join(path)
        hint = f"ask for it in when: {'.'.join(sign)}" + ("" if waited else " is not none")
        if path[0] == "alert":
            hint = f"add to match.where: {name} is not none; or ask for it in when"
        yield _Finding("may-be-null", f"{name} may be null, and then has no {use.path[end]}", hint, use.path)
        return


def _step_use(use: NameUse, scope: Scope, flow: Flow, whole: set[tuple[str, ...]]) -> Iterator[_Finding]:
    step_id, rest = use.path[1], use.path[2:]
    if step_id not in flow.by_id:
        seen = scope.before or frozenset(flow.by_id)
        message, meant = f'there is no step "{step_id}"', near(step_id, seen)
        yield _Finding("unknown-step", message, nearest(step_id, seen), use.path[:2], meant)
        return
    place = flow.by_id[step_id]
    if step_id not in scope.before:
        yield _not_yet(use, place, scope)
        return
    result = fields_of(walked) if isinstance(walked := walk(scope.roots["steps"], (step_id,)), Shape) else {}
    if rest and rest[0] not in ("result", "status"):
        message = f'steps.{step_id} has no "{rest[0]}"'
        hint = f"write steps.{step_id}.result.{rest[0]}, or steps.{step_id}.status"
        yield _Finding("unknown-name", message, hint, use.path[:3])
        return
    if rest[:1] == ("result",) and "result" not in result:
        message = f'"{step_id}" has no result: it only holds other steps'
        yield _Finding("unknown-name", message, "read the results of the steps inside", use.path[:3])
        return
    yield from _field(use, scope.roots["steps"], 1)
    reason = _maybe(place, rest[:1] == ("result",), scope, flow)
    asked = ("steps", step_id, "status") in whole and not _outside(place, scope, flow)
    if reason and not use.guarded and not scope.always and not asked:
        what = "its result" if rest[:1] == ("result",) else "it"
        yield _Finding(
            "may-not-be-set",
            f'"{step_id}" {reason}, so {what} may not be there',
            f"add | default(…), or a when: that asks for steps.{step_id}.status"
            + (" | default('')" if _outside(place, scope, flow) else ""),
            use.path,
        )


def _not_yet(use: NameUse, place: PlacedStep, scope: Scope) -> _Finding:
    loops = scope.reader.loops if scope.reader is not None else ()
    outer = [loop for loop in place.loops if loop not in loops]
    if outer:
        loop = outer[0].id
        why = f'it runs inside the loop "{loop}", of which only steps.{loop}.result is seen from outside'
        hint = f"read steps.{loop}.result" + (
            ".items, and say with collect what they hold" if isinstance(outer[0], ForeachStep) else ""
        )
    else:
        why = "it comes later, or runs at the same time in another branch"
        hint = nearest(place.id, scope.before - {place.id}) or "move this step behind it"
    message = f'"{place.id}" has not ended before this step: {why}'
    return _Finding("step-not-set", message, hint, use.path[:2])


def _outside(place: PlacedStep, scope: Scope, flow: Flow) -> bool:
    """Whether a step may not even have a status where it is read: it stands in a branch, or the incident failed."""
    if scope.reader is None:
        return bool(flow.around(place)) and any(not c.own for c in flow.conditions(place))
    if scope.reader.failure and not place.failure:
        return True
    return any(not condition.own for condition in flow.missing(place, scope.reader))


def _maybe(place: PlacedStep, result: bool, scope: Scope, flow: Flow) -> str:
    """Why a step may not be set where it is read; nothing, if it surely is."""
    if any(_mentions(condition, place.id) for condition in scope.conditions):
        return ""
    if _outside(place, scope, flow):
        if scope.reader is not None and scope.reader.failure:
            return "may not have begun when the incident fails"
        return "stands where it may not be reached"
    if not result:
        return ""
    missing = flow.missing(place, scope.reader) if scope.reader is not None else flow.conditions(place)
    if missing:
        return "has a condition"
    over = (
        place.step.on_error == "continue" if scope.reader is None else flow.passed_over(place, scope.reader)
    )
    return "may fail and be passed over" if over else ""


def _mentions(condition: Condition, step_id: str) -> bool:
    try:
        return any(use.path[:2] == ("steps", step_id) for use in names_used(condition.source, bare=True))
    except ExpressionError:
        return False


def _var_use(use: NameUse, scope: Scope, flow: Flow) -> Iterator[_Finding]:
    name = use.path[1]
    setters = flow.setters.get(name, [])
    earlier = [
        p for p in setters if p.id in scope.before or (scope.reader is not None and _round(p, scope.reader))
    ]
    if setters and not earlier and not use.guarded:
        yield _Finding(
            "step-not-set", f"vars.{name} is not set before this step", "move it behind", use.path[:2]
        )
    elif earlier and not use.guarded and not scope.always and scope.reader is not None:
        reasons = [_set_only(p, scope.reader, flow) for p in earlier]
        if all(reasons):
            message = f"vars.{name} is set only {reasons[-1]}"
            yield _Finding("may-not-be-set", message, "add | default(…), or set it before", use.path)


def _set_only(setter: PlacedStep, reader: PlacedStep, flow: Flow) -> str:
    """Why a name may not be set where it is read; nothing, if its step surely sets it."""
    if flow.missing(setter, reader) or (reader.failure and not setter.failure):
        return "where a condition holds"
    if any(isinstance(loop, ForeachStep) and loop not in reader.loops for loop in setter.loops):
        return "in the rounds of a loop, and there may be none"
    return "if its step does not fail, which is passed over" if flow.passed_over(setter, reader) else ""


def _round(setter: PlacedStep, reader: PlacedStep) -> bool:
    """Whether what a step in a loop sets is still there outside of it: names, unlike results, stay."""
    return bool(setter.loops) and setter.path < reader.path and setter.loops != reader.loops


def _statuses(loaded: LoadedPlaybook, path: Path, source: str, bare: bool) -> Iterator[Diagnostic]:
    tree = expression_in(source, bare=bare)
    if tree is None:
        return
    known = [status.value for status in StepStatus]
    compares: list[Any] = [tree] if isinstance(tree, nodes.Compare) else []
    for compare in (*compares, *tree.find_all(nodes.Compare)):
        if not _is_status(compare.expr):
            continue
        for operand in compare.ops:
            for word in _words(operand.expr):
                if word not in known:
                    spans = word_places(loaded, path, word)
                    yield loaded.diagnostic(
                        path,
                        "unknown-status",
                        f'a step never has the status "{word[:60]}"',
                        nearest(word, known),
                        fix=renamed(spans, near(word, known)),
                        at=spans[0] if spans else None,
                    )


def _is_status(node: nodes.Node) -> bool:
    if (
        not isinstance(node, nodes.Getattr)
        or node.attr != "status"
        or not isinstance(node.node, nodes.Getattr)
    ):
        return False
    return isinstance(node.node.node, nodes.Name) and node.node.node.name == "steps"


def _words(node: nodes.Node) -> list[str]:
    parts = node.items if isinstance(node, (nodes.List, nodes.Tuple)) else [node]
    return [part.value for part in parts if isinstance(part, nodes.Const) and isinstance(part.value, str)]
