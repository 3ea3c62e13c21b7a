"""The frame of a graph that is built from a CACAO workflow: rows of steps, their ids, and what follows a failure."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from soar.model.base import JsonObject
from soar.model.spec import Catalogue
from soar.model.terms import Phase
from soar.playbook.cacao.commands import Commands
from soar.playbook.cacao.conditions import quoted
from soar.playbook.cacao.document import (
    CacaoPlaybook,
    EndStep,
    PlaybookActionStep,
    StepBase,
)
from soar.playbook.cacao.flow import failing, following
from soar.playbook.cacao.work import CacaoSettings, Refuse, Work
from soar.playbook.graph import (
    BranchNode,
    Case,
    ChildPlaybook,
    Node,
    SetNode,
    StepGraph,
    bodies,
)

__all__ = ["Carried", "ChildOf", "GraphFrame", "Place", "input_name", "slug"]

_MAX_NODES = 3000
_MAX_DEPTH = 40


@dataclass(frozen=True)
class Carried:
    """What one of our own exports says of a step, besides what CACAO can say.

    Args:
        node: The node that it was.
        inner: The nodes inside it, by id.
        nothing: CACAO needed the step, we do not.
        inline: It is only the condition, or the approval, of the step inside it, which knows that itself.
        expression: The condition as it was written; only of branching steps.
        phase: The phase that it belongs to.
        results: Our expressions for the variables that others read and this sets.
        on_failure: What its `on_failure` was; only while it still is does the node say what follows its failure.
    """

    node: Node | None = None
    inner: Mapping[str, Node] = field(default_factory=dict)
    results: Mapping[str, str] = field(default_factory=dict)
    nothing: bool = False
    inline: bool = False
    expression: str | None = None
    phase: Phase | None = None
    on_failure: str | None = None


ChildOf = Callable[[PlaybookActionStep], tuple[str, ChildPlaybook] | None]
"""The playbook that a step calls, by its name here; None, if there is none and that is noted."""


@dataclass(frozen=True)
class Place:
    """Where a chain of steps runs.

    Args:
        key: The branching steps around it. Chains with one key are ways of which one at most is taken.
        loop: The loop around it whose round ends here.
        escape: The variable that a failure sets, for the branching step that answers it.
        depth: How many branching steps are around it.
        after: The node that its end leads to; None: nothing more is done there.
    """

    key: tuple[str, ...] = ()
    loop: str = ""
    escape: str = ""
    depth: int = 0
    after: str | None = None


def slug(text: str, longest: int = 40) -> str:
    """A name for ids: small letters, digits and _; empty if nothing is left."""
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_").lstrip("_0123456789")[:longest].strip("_")


def input_name(variable: str) -> str:
    """The name of the input, or of the output, for a variable; `src_ip` for `__Src-IP__`."""
    whole = slug(variable, len(variable))
    if len(whole) > 60:
        # Two long names may begin alike.
        return f"{whole[:51].strip('_')}_{sha256(variable.encode()).hexdigest()[:8]}"
    return whole or "value"


class GraphFrame(ABC):
    """Builds the graph of one playbook.

    Args:
        playbook: The playbook, checked.
        refuse: Notes what cannot be built.
        phase: The phase of steps of which nothing else is known.
        carried: What is known of steps besides, by their id.
        child_of: The playbooks that its steps call.
    """

    def __init__(
        self,
        playbook: CacaoPlaybook,
        catalogue: Catalogue,
        settings: CacaoSettings,
        refuse: Refuse,
        *,
        phase: Phase,
        carried: Mapping[str, Carried],
        child_of: ChildOf,
    ) -> None:
        self._playbook = playbook
        self._catalogue = catalogue
        self._settings = settings
        self._refuse = refuse
        self._phase = phase
        self._carried = carried
        self._child_of = child_of
        self._commands = Commands(playbook, catalogue, settings, refuse)
        self._nodes: dict[str, Node] = {}
        self._entries: dict[tuple[tuple[str, ...], str], str | None] = {}
        self._base: dict[str, str] = {}
        self._taken: dict[str, str] = {}
        self._depths: dict[str, int] = {}
        self._children: dict[str, ChildPlaybook] = {}
        self._within = 0
        self._overgrown = False
        self._reserve()

    def _reserve(self) -> None:
        """Give each step its id; those of carried nodes first, because other steps call them by it."""
        for step_id, carried in self._carried.items():
            if carried.node is not None:
                self._base[step_id] = carried.node.id
                self._taken[carried.node.id] = step_id
                self._taken.update(dict.fromkeys(carried.inner, step_id))
        for step_id, step in self._playbook.workflow.items():
            if step_id in self._base:
                continue
            name = slug(step.name or "") or slug(step.type)
            if name in self._taken:
                name = f"{name}_{step_id.rpartition('--')[2][:8].lower()}"
            while name in self._taken:
                name += "_"
            self._base[step_id] = name
            self._taken[name] = step_id

    def build(self, first: JsonObject, outputs: Mapping[str, str]) -> StepGraph | None:
        """Build the graph.

        Args:
            first: Templates for the variables, set before everything else.
            outputs: Expressions, by name.

        Returns:
            The graph; None if something was refused.
        """
        start = self._playbook.workflow[self._playbook.workflow_start]
        entry = self._chain(following(start), Place())
        failure = self._chain(self._playbook.workflow_exception, Place(key=("exception",)))
        if self._overgrown or max(self._depths.values(), default=0) > _MAX_DEPTH:
            message = f"it has more than {_MAX_NODES} ways through it, or its steps stand more than {_MAX_DEPTH} deep"
            hint = (
                "split it over playbooks; each step with an on_failure counts as a level for what follows it"
            )
            self._refuse(("workflow",), "too-large", message, hint)
            return None
        if entry is None:
            self._refuse(("workflow",), "empty", "no step of the workflow does anything", "add an action")
            return None
        if first:
            phase = self._nodes[entry].phase
            self._add(
                SetNode(id="workflow.variables", name="variables", phase=phase, next=entry, values=first)
            )
            entry = "workflow.variables"
        return StepGraph(
            entries=self._phases(entry),
            nodes=self._nodes,
            failure=failure,
            outputs=dict(outputs),
            children=self._children,
        )

    def _phases(self, entry: str) -> dict[Phase, str]:
        """Where each phase begins: the outermost chain is cut where a later phase follows."""
        order = list(Phase)
        node = self._nodes[entry]
        entries = {node.phase: entry}
        highest = order.index(node.phase)
        while node.next is not None:
            after = self._nodes[node.next]
            if order.index(after.phase) > highest:
                highest = order.index(after.phase)
                entries[after.phase] = after.id
                self._nodes[node.id] = node.model_copy(update={"next": None})
            node = after
        return entries

    def _add(self, node: Node) -> str:
        self._nodes[node.id] = node
        inside = [self._depths.get(entry, 0) + 1 for entry in bodies(node)]
        self._depths[node.id] = max([self._depths.get(node.next or "", 0), *inside])
        return node.id

    def _chain(self, step_id: str | None, place: Place) -> str | None:
        """The first node of what begins with a step and ends at an end; None if nothing is done there."""
        row: list[str] = []
        while step_id is not None and (place.key, step_id) not in self._entries:
            step = self._playbook.workflow[step_id]
            if isinstance(step, EndStep) or step_id == place.loop:
                self._entries[(place.key, step_id)] = place.after
                break
            row.append(step_id)
            step_id = following(step)
        if max(place.depth, self._within) > _MAX_DEPTH or len(self._nodes) > _MAX_NODES:
            self._overgrown = True
            return None
        self._within += 1
        entry = self._entries.get((place.key, step_id)) if step_id is not None else None
        for here in reversed(row):
            # Another way may have come to it meanwhile, from a failure.
            if (place.key, here) not in self._entries:
                self._entries[(place.key, here)] = self._step(here, place, entry)
            entry = self._entries[(place.key, here)]
        self._within -= 1
        return entry

    def _node_id(self, step_id: str) -> str:
        """The id of a step's node; of copies, one each."""
        base, count = self._base[step_id], 1
        found = base
        while found in self._nodes:
            count += 1
            found = f"{base}.copy{count}"
        return found

    def _timeout(self, step_id: str, step: StepBase) -> float | None:
        if step.timeout == 0:
            message = f"{step_id} would have failed before it began"
            self._refuse(
                ("workflow", step_id, "timeout"), "timeout", message, "give milliseconds, or leave it out"
            )
            return None
        return step.timeout / 1000 if step.timeout is not None else None

    def _escape(self, flag: str, node_id: str, phase: Phase) -> str:
        """Note a failure for the branching step that answers it; the branch ends."""
        values: JsonObject = {flag: True}
        return self._add(
            SetNode(id=f"{node_id}.failure", name="note the failure", phase=phase, values=values)
        )

    def _after_failure(
        self, step: StepBase, place: Place, after: str | None, common: Mapping[str, Any], also: str = ""
    ) -> tuple[str, str | None]:
        """What a node does when it fails, and what follows it.

        Args:
            also: A variable that tells of a failure inside the node.

        Returns:
            `on_error`, and the node after it.
        """
        target = failing(step)
        if target is None and not place.escape:
            return "stop", after
        node_id, phase = common["id"], common["phase"]
        entry = (
            self._chain(target, place) if target is not None else self._escape(place.escape, node_id, phase)
        )
        if entry == after and not also:
            return "continue", after
        failed = f"steps[{quoted(node_id)}].status in ['failed', 'denied']"
        if also:
            failed = f"({failed} or vars[{quoted(also)}] | default(false))"
        check = BranchNode(
            id=f"{node_id}.outcome",
            name=f"{common['name']}: done?",
            phase=phase,
            cases=(Case(label="failed", condition=failed, entry=entry),),
            default=after,
            on_error="stop",
        )
        return "continue", self._add(check)

    def _results(self, work: Work, node_id: str, keys: Mapping[str, str]) -> JsonObject:
        told: JsonObject = {}
        for name, path in work.results.items():
            value = f"steps[{quoted(node_id)}].result" + "".join(f"[{quoted(part)}]" for part in path)
            told[keys.get(name, name)] = f"{{{{ {value} | default(none) }}}}"
        return told

    @abstractmethod
    def _step(self, step_id: str, place: Place, after: str | None) -> str | None:
        """Build a step.

        Args:
            after: The node after it.

        Returns:
            Its first node.
        """
