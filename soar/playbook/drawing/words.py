"""The few words that a drawing says of each step, and of a playbook as a whole."""

from __future__ import annotations

import re
from collections.abc import Iterator

from soar.playbook.builtins import UNDO
from soar.playbook.graph import (
    ActionNode,
    AskNode,
    BranchNode,
    ForeachNode,
    Node,
    ParallelNode,
    PlaybookNode,
    RepeatNode,
    SetNode,
    StepGraph,
    TaskNode,
    WaitNode,
)
from soar.playbook.schema import Playbook

__all__ = ["does", "facts", "frame_words", "hover", "one_line", "playbook_facts", "span", "way_labels"]

_UNITS = ((86400, "d"), (3600, "h"), (60, "m"))
_FAILING = {
    "stop": "if it fails: stop",
    "continue": "if it fails: go on",
    "undo": "if it fails: put the phase back",
}
_CASE = re.compile(r"\(\((?P<value>.*)\) \| string\) == '[^']*'", re.DOTALL)
"""How a case of `switch` is compiled."""


def one_line(text: str) -> str:
    """Text without line breaks and runs of spaces."""
    return " ".join(text.split())


def span(seconds: float) -> str:
    """A duration as it is written in a playbook: `15m`."""
    if seconds != int(seconds):
        return f"{seconds:g}s"
    whole = int(seconds)
    return next(
        (f"{whole // size}{unit}" for size, unit in _UNITS if whole and whole % size == 0), f"{whole}s"
    )


def does(node: Node) -> str:
    """What a step does: the action's name, `task for owner`, `waits 10m`."""
    match node:
        case ActionNode():
            return node.action
        case TaskNode():
            return f"task for {node.owner}"
        case AskNode():
            return f"asks: {one_line(node.question)}"
        case WaitNode(until=str() as until):
            return f"waits until {one_line(until)}, {span(node.seconds)} at most"
        case WaitNode(alert=str() as alert):
            return f"waits for an alert with {one_line(alert)}, {span(node.seconds)} at most"
        case WaitNode():
            return f"waits {span(node.seconds)}"
        case SetNode():
            return f"sets {', '.join(node.values)}" if node.values else "sets nothing"
        case PlaybookNode():
            return f"runs the playbook {node.playbook}"
    return ""


def frame_words(node: Node) -> str:
    """What is written at the top of a step that holds others; empty of one that holds none."""
    match node:
        case ForeachNode():
            many = f", {node.concurrency} at once" if node.concurrency > 1 else ", one by one"
            return f"for each {node.bound} in {one_line(node.items)}{many}"
        case RepeatNode():
            pause = f", every {span(node.every)}" if node.every else ""
            return f"again until {one_line(node.until)}, {node.attempts} times at most{pause}"
        case ParallelNode():
            return "at the same time" + (f", {node.concurrency} at once" if node.concurrency else "")
        case BranchNode(cases=(case,)):
            return f"if {one_line(case.condition)}"
        case BranchNode():
            value = _switched(node)
            return f"by {one_line(value)}" if value else "the first that holds"
    return ""


def way_labels(node: BranchNode) -> Iterator[str]:
    """What each way of a branching is called; the last is the default."""
    if len(node.cases) == 1:
        yield "yes"
        yield "no"
        return
    named = bool(_switched(node))
    for case in node.cases:
        yield one_line(case.label) if named else f"{one_line(case.label)}: {one_line(case.condition)}"
    yield "otherwise"


def _switched(node: BranchNode) -> str:
    """The one value that all cases look at, if there is one."""
    found = [_CASE.fullmatch(case.condition) for case in node.cases]
    values = {match["value"] for match in found if match is not None}
    return values.pop() if len(values) == 1 and all(found) else ""


def facts(node: Node) -> tuple[str, ...]:
    """What else people should see of a step."""
    return tuple(_facts(node))


def _facts(node: Node) -> Iterator[str]:
    if isinstance(node, ActionNode):
        if node.action == UNDO:
            yield f"puts back {_undone(node)}"
        if node.expires:
            yield f"put back after {span(node.expires)}"
    if isinstance(node, TaskNode):
        if node.due:
            yield f"due after {span(node.due)}"
        if node.form:
            yield f"asks for {', '.join(node.form)}"
    if node.timeout:
        yield f"{span(node.timeout)} at most"
    if node.on_error in _FAILING:
        yield _FAILING[node.on_error]
    if node.notify:
        yield f"tells {', '.join(node.notify)}"


def _undone(node: ActionNode) -> str:
    if "all" in node.params:
        return "every change"
    if "phase" in node.params:
        return f"the changes of {one_line(str(node.params['phase'])).replace('_', ' ')}"
    return one_line(str(node.params.get("step", "a change")))


def hover(node: Node) -> tuple[str, ...]:
    """All that there is to say of a step, a line each: for those who point at it."""
    lines = [f"{node.id}: {one_line(node.name)}", frame_words(node) or does(node)]
    if isinstance(node, ActionNode):
        lines.append(f"risk: {node.spec.risk.value}; {'can' if node.spec.undoable else 'cannot'} be put back")
        lines += [
            f"in {what} {one_line(at)}" for what in ("account", "region") if (at := getattr(node, what))
        ]
        lines += [f"{name}: {one_line(str(value))}" for name, value in node.params.items()]
    if isinstance(node, TaskNode):
        lines.append(one_line(node.instructions))
    if isinstance(node, AskNode) and node.details:
        lines.append(one_line(node.details))
    if node.when:
        lines.append(f"only if {one_line(node.when)}")
    if node.technique:
        lines.append(f"answers {', '.join(node.technique)}")
    return tuple(line if len(line) <= 400 else f"{line[:399]}…" for line in (*lines, *facts(node)))


def playbook_facts(playbook: Playbook, graph: StepGraph) -> tuple[str, ...]:
    """What a playbook answers, how alerts are gathered, its deadlines and its rules of severity; a line each."""
    return tuple(one_line(line) for line in _playbook_facts(playbook, graph))


def _playbook_facts(playbook: Playbook, graph: StepGraph) -> Iterator[str]:
    match = playbook.match
    if match is None:
        yield "Answers no alerts by itself: others call it, or a person starts it."
    else:
        parts = [", ".join(part) for part in (match.source, match.rule, match.resource_type) if part]
        if match.severity is not None:
            parts.append(f"severity {match.severity.label} or more")
        if match.where:
            parts.append(f"where {match.where}")
        yield f"Answers {'; '.join(parts)}"
        yield f"One incident for each {', '.join(playbook.correlate_by)}"
    for rule in graph.severity:
        yield f"Severity {rule.severity.label} if {rule.when}"
    for clock in graph.clocks.values():
        since = {"detected": "detection", "opened": "opening", "contained": "containment"}[clock.starts]
        met = f", met by {clock.met_by}" if clock.met_by else ""
        only = f", if {clock.when}" if clock.when else ""
        yield f"Deadline: {clock.label}, {span(clock.due)} after {since}{met}{only}"
    told = playbook.metadata
    if told.owner or told.reviewed:
        reviewed = f"reviewed {told.reviewed}" if told.reviewed else ""
        yield "; ".join(part for part in (f"Kept by {told.owner}" if told.owner else "", reviewed) if part)
