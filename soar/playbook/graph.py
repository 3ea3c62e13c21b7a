"""The one step graph that the engine interprets. Whatever a playbook is written in compiles to it.

A node goes on to its `next`; one without ends the phase, or the branch that it stands in. A node with branches runs
each until its end, and then goes on itself. Branches may share their tails.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, JsonValue

from soar.model.base import Digest, Fact, JsonObject
from soar.model.terms import Phase, Risk, Severity
from soar.playbook.steps import ApprovalRule, FormField, OnError, Retry

__all__ = [
    "ActionNode",
    "AskNode",
    "BranchNode",
    "Case",
    "ChildPlaybook",
    "ClockRule",
    "ForeachNode",
    "LeafNode",
    "Node",
    "NodeBase",
    "NodeSpec",
    "ParallelNode",
    "PlaybookNode",
    "RaiseRule",
    "RepeatNode",
    "SetNode",
    "StepGraph",
    "TaskNode",
    "WaitNode",
    "bodies",
    "enclosing_loops",
    "walk",
]


class NodeSpec(Fact):
    """What the engine needs to know of an action, fixed when the incident starts.

    Args:
        plan_timeout: Seconds, as the other two.
    """

    risk: Risk
    queue: str
    undoable: bool
    plan_timeout: float
    apply_timeout: float
    verify_timeout: float


class NodeBase(Fact):
    """What every node has.

    Args:
        next: The node after it; None ends the phase, or the branch.
        when: A bare expression, or None: always.
        timeout: Seconds for the whole step, waiting for approvals not included.
        role: Who is asked about its failure, besides those whom policy names.
        technique: The ATT&CK techniques that it answers.
        notify: The roles that are told when it has ended.
    """

    id: str
    name: str
    phase: Phase
    next: str | None = None
    when: str | None = None
    on_error: OnError = "ask"
    timeout: float | None = None
    role: str | None = None
    technique: tuple[str, ...] = ()
    notify: tuple[str, ...] = ()


class ActionNode(NodeBase):
    """One action.

    Args:
        params: Templates, unrendered.
        account: Where it acts, a template; empty: in the account of the incident.
        region: Likewise, the region.
        expires: Seconds after which the change is put back by itself; None: never.
    """

    kind: Literal["action"] = "action"
    action: str
    params: JsonObject = {}
    account: str = ""
    region: str = ""
    retry: Retry = Retry()
    approval: ApprovalRule | None = None
    expires: float | None = None
    spec: NodeSpec


class TaskNode(NodeBase):
    """Something that a person does.

    Args:
        owner: The role that does it.
        instructions: A template.
        due: Seconds until it is overdue.
        form: What comes back.
    """

    kind: Literal["task"] = "task"
    owner: str
    instructions: str
    due: float | None = None
    form: dict[str, FormField] = {}


class AskNode(NodeBase):
    """A question of its own (`approve`).

    Args:
        question: A template, as are the details.
    """

    kind: Literal["approve"] = "approve"
    question: str
    details: str = ""
    approval: ApprovalRule


class WaitNode(NodeBase):
    """A wait. One of `until` and `alert` is set, or none: then it is for the time alone.

    Args:
        seconds: How long at most.
    """

    kind: Literal["wait"] = "wait"
    seconds: float
    until: str | None = None
    alert: str | None = None


class SetNode(NodeBase):
    """Names for values.

    Args:
        values: Templates, by name.
    """

    kind: Literal["set"] = "set"
    values: dict[str, JsonValue]


class PlaybookNode(NodeBase):
    """Another playbook, as an incident of its own.

    Args:
        playbook: Its name; the graph's `children` has it.
        params: Templates for its inputs.
    """

    kind: Literal["playbook"] = "playbook"
    playbook: str
    params: JsonObject = {}


class Case(Fact):
    """One way of a branch.

    Args:
        label: What people call it.
        condition: A bare expression.
        entry: Its first node; None: nothing is done.
    """

    label: str
    condition: str
    entry: str | None


class BranchNode(NodeBase):
    """The first case that holds, or the default (`if`, `switch`)."""

    kind: Literal["branch"] = "branch"
    cases: tuple[Case, ...]
    default: str | None = None


class ParallelNode(NodeBase):
    """Branches that run at the same time. `next` goes on when all of them have ended.

    Args:
        branches: The first node of each.
        concurrency: How many at once; None: all.
    """

    kind: Literal["parallel"] = "parallel"
    branches: tuple[str, ...]
    concurrency: int | None = None


class ForeachNode(NodeBase):
    """Nodes that run once for each item of a list.

    Args:
        items: A bare expression.
        bound: What an item is called in templates.
        body: The first node.
        collect: A bare expression for what an item leaves behind; None: its steps' status and result.
    """

    kind: Literal["foreach"] = "foreach"
    items: str
    bound: str
    body: str
    concurrency: int = 1
    collect: str | None = None


class RepeatNode(NodeBase):
    """Nodes that run again until something holds.

    Args:
        until: A bare expression.
        attempts: How many rounds at most.
        every: Seconds between rounds.
    """

    kind: Literal["repeat"] = "repeat"
    body: str
    until: str
    attempts: int
    every: float | None = None


LeafNode = ActionNode | TaskNode | AskNode | WaitNode | SetNode | PlaybookNode
"""A node that holds no others."""

Node = Annotated[
    ActionNode
    | TaskNode
    | AskNode
    | WaitNode
    | SetNode
    | PlaybookNode
    | BranchNode
    | ParallelNode
    | ForeachNode
    | RepeatNode,
    Field(discriminator="kind"),
]


class RaiseRule(Fact):
    """A severity that the incident is raised to once a bare expression holds."""

    when: str
    severity: Severity


class ClockRule(Fact):
    """A deadline; see `soar.playbook.schema.Clock`. Times are seconds."""

    label: str
    due: float
    starts: Literal["detected", "opened", "contained"]
    when: str | None = None
    met_by: str | None = None
    warn: float | None = None


class ChildPlaybook(Fact):
    """A playbook that a step calls, as it was when the incident started.

    Args:
        defaults: The values of its inputs where the step gives none.
    """

    text: str
    digest: Digest
    title: str = ""
    defaults: JsonObject = {}
    graph: StepGraph


class StepGraph(Fact):
    """All nodes by id, and where each phase begins. A phase without steps has no entry.

    Args:
        failure: The first node of what is done when a step stops the incident.
        undo_on_failure: Whether every change is put back then.
        undo_on_cancel: Whether every change is put back when a person cancels.
        outputs: Bare expressions, by name.
        children: The playbooks that its steps call, by name.
        beside: The reads that begin together with the step before them, since they need nothing of it.
        ahead: The changes that may be planned together with the reads before them, for the same reason.
    """

    entries: dict[Phase, str]
    nodes: dict[str, Node]
    failure: str | None = None
    undo_on_failure: bool = False
    undo_on_cancel: bool = False
    outputs: dict[str, str] = {}
    severity: tuple[RaiseRule, ...] = ()
    clocks: dict[str, ClockRule] = {}
    children: dict[str, ChildPlaybook] = {}
    beside: tuple[str, ...] = ()
    ahead: tuple[str, ...] = ()


ChildPlaybook.model_rebuild()


def bodies(node: Node) -> tuple[str, ...]:
    """The first node of everything that runs inside a node, in the order written."""
    match node:
        case BranchNode():
            entries = [case.entry for case in node.cases] + [node.default]
            return tuple(entry for entry in entries if entry is not None)
        case ParallelNode():
            return node.branches
        case ForeachNode() | RepeatNode():
            return (node.body,)
    return ()


def walk(graph: StepGraph, entry: str) -> Iterator[Node]:
    """Every node from one on: the node, what is inside it, and what follows. A shared tail comes once."""
    seen: set[str] = set()
    waiting = [entry]
    while waiting:
        node_id = waiting.pop()
        if node_id in seen:
            continue
        seen.add(node_id)
        node = graph.nodes[node_id]
        yield node
        waiting += [i for i in (node.next, *reversed(bodies(node))) if i is not None]


def enclosing_loops(graph: StepGraph) -> dict[str, tuple[str, ...]]:
    """For each node, the ids of the loops that it stands in, the outermost first."""
    found: dict[str, tuple[str, ...]] = {}
    starts = [*graph.entries.values(), *([graph.failure] if graph.failure else [])]
    waiting: list[tuple[str, tuple[str, ...]]] = [(entry, ()) for entry in starts]
    while waiting:
        node_id, loops = waiting.pop()
        if node_id in found:
            continue
        found[node_id] = loops
        node = graph.nodes[node_id]
        inside = (*loops, node.id) if isinstance(node, (ForeachNode, RepeatNode)) else loops
        waiting += [(entry, inside) for entry in bodies(node)]
        if node.next is not None:
            waiting.append((node.next, loops))
    return found
