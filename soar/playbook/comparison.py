"""What differs between two playbooks, in full: every step and every field, with what it was and what it is.

`soar.playbook.differences` says the same of two step graphs in one line a step, for an incident's timeline.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import JsonValue

from soar.model.base import Fact
from soar.model.terms import Phase
from soar.playbook.changed_fields import FieldChange, changed_fields
from soar.playbook.drawing.words import does, frame_words, one_line
from soar.playbook.graph import BranchNode, Node, ParallelNode, StepGraph, bodies, walk
from soar.playbook.loader import LoadedPlaybook

__all__ = ["PLAYBOOK", "Difference", "compare_playbooks"]

PLAYBOOK = "the playbook"
"""The place of what belongs to no step."""

_PHASES = frozenset(phase.value for phase in Phase)
_OF_THE_GRAPH = ("id", "phase", "kind", "next", "body", "branches", "default", "entry", "spec")
"""What says where a step stands, not what it does; and what its action declares, which is not the playbook's."""


class Difference(Fact):
    """Something that is not the same.

    Args:
        place: The phase, `on failure`, or `the playbook`; of a called playbook, with its name in front.
        step: The step's id; empty of what belongs to no step.
        what: What people call it: the id, or what a step without one does.
        text: All of it in one sentence.
        changes: Each field that has another value; none of a step that is new or gone.
    """

    place: str
    kind: Literal["new", "gone", "changed"]
    step: str = ""
    what: str = ""
    text: str
    changes: tuple[FieldChange, ...] = ()


def compare_playbooks(
    before: tuple[LoadedPlaybook, StepGraph], after: tuple[LoadedPlaybook, StepGraph]
) -> tuple[Difference, ...]:
    """Say everything that differs.

    Args:
        before: The older one, with its graph.
        after: The newer one.

    Returns:
        First what belongs to the playbook as a whole, then the steps by phase, then what is done after a failure, then
        the playbooks that they call. Empty: they do the same.
    """
    (old, old_graph), (new, new_graph) = before, after
    whole = tuple(changed_fields(_whole(old), _whole(new)))
    found = [
        Difference(place=PLAYBOOK, kind="changed", text=change.text, changes=(change,)) for change in whole
    ]
    return (*found, *_graphs(old_graph, new_graph, ""))


def _whole(loaded: LoadedPlaybook) -> dict[str, JsonValue]:
    told: dict[str, JsonValue] = loaded.playbook.model_dump(mode="json", exclude=set(_PHASES))
    if loaded.playbook.match is not None and loaded.playbook.match.severity is not None:
        told["match"]["severity"] = loaded.playbook.match.severity.label  # type: ignore[call-overload, index]
    told["severity"] = [{"when": r.when, "severity": r.severity.label} for r in loaded.playbook.severity]
    if loaded.playbook.failure_steps:
        told["on_failure"] = "steps of its own"
    return told


class _Side:
    """One of the two graphs, and where each of its steps stands."""

    def __init__(self, graph: StepGraph) -> None:
        self.graph, self.nodes = graph, graph.nodes
        self.places, self.stands = _places(graph), _stands(graph)

    def where(self, step_id: str) -> str:
        """The step that another stands inside, in words."""
        outer, label = self.stands[step_id]
        if not outer:
            return "inside no other step"
        called = _called(self.nodes[outer])
        return f"inside {called} ({label})" if label else f"inside {called}"

    def follower(self, step_id: str, other: _Side) -> str | None:
        """The next step that both have: what is new or gone is told by itself."""
        current = self.nodes[step_id].next
        while current is not None and other.stands.get(current) != other.stands[step_id]:
            current = self.nodes[current].next
        return current

    def called(self, step_id: str | None) -> str:
        return _called(self.nodes[step_id]) if step_id is not None else "nothing"


def _graphs(old: StepGraph, new: StepGraph, caller: str) -> Iterator[Difference]:
    before, after = _Side(_aligned(old, new)), _Side(new)
    places = {**before.places, **after.places}
    order = {step_id: index for index, step_id in enumerate(dict.fromkeys((*after.nodes, *before.nodes)))}
    found = list(_steps(before, after, caller))
    ranks = {place: index for index, place in enumerate((*(p.label for p in Phase), "on failure"))}
    found.sort(key=lambda d: (ranks[places[d.step]], order[d.step]))
    yield from found
    yield from _children(old, new, caller)


def _steps(old: _Side, new: _Side, caller: str) -> Iterator[Difference]:
    for step_id, node in new.nodes.items():
        what, place = _called(node), _at(caller, new.places[step_id])
        if step_id not in old.nodes:
            text = f"new: {what} ({_does(node)})"
            yield Difference(place=place, kind="new", step=step_id, what=what, text=text)
            continue
        changes = tuple(_of_a_step(old, new, step_id))
        if changes:
            text = f"{what}: {'; '.join(change.text for change in changes)}"
            yield Difference(place=place, kind="changed", step=step_id, what=what, text=text, changes=changes)
    for step_id, node in old.nodes.items():
        if step_id not in new.nodes:
            what = _called(node)
            text = f"gone: {what} ({_does(node)})"
            place = _at(caller, old.places[step_id])
            yield Difference(place=place, kind="gone", step=step_id, what=what, text=text)


def _of_a_step(old: _Side, new: _Side, step_id: str) -> Iterator[FieldChange]:
    one, other = old.nodes[step_id], new.nodes[step_id]
    was_in, is_in = old.places[step_id], new.places[step_id]
    if was_in != is_in:
        words = f"it was in {was_in} and is in {is_in}"
        yield FieldChange(field="phase", before=was_in, after=is_in, text=words)
    moved = old.stands[step_id] != new.stands[step_id]
    if moved:
        before, after = old.where(step_id), new.where(step_id)
        yield FieldChange(field="inside", before=before, after=after, text=f"it was {before} and is {after}")
    if one.kind != other.kind:
        words = f"it was {_kind(one)} and is {_kind(other)}"
        yield FieldChange(field="kind", before=one.kind, after=other.kind, text=words)
    was, now = _content(one), _content(other)
    if one.kind != other.kind:  # what only one of the kinds has goes without saying
        common = was.keys() & now.keys()
        was, now = ({k: v for k, v in told.items() if k in common} for told in (was, now))
    yield from changed_fields(was, now)
    if moved or was_in != is_in:
        return  # what follows it elsewhere is another one as a matter of course
    followed, follows = old.follower(step_id, new), new.follower(step_id, old)
    if followed != follows:
        words = f"what follows it was {old.called(followed)} and is {new.called(follows)}"
        yield FieldChange(field="next", before=followed, after=follows, text=words)


def _content(node: Node) -> dict[str, JsonValue]:
    """What a step does, without where it stands."""
    told = {k: v for k, v in node.model_dump(mode="json").items() if k not in _OF_THE_GRAPH}
    if isinstance(node, BranchNode):
        told |= _choice(node)
    return told


def _choice(node: BranchNode) -> dict[str, JsonValue]:
    """What a branching looks at. The order counts: the first case that holds is taken."""
    if len(node.cases) == 1:
        return {"cases": None, "if": node.cases[0].condition}
    cases: dict[str, JsonValue] = {case.label: case.condition for case in node.cases}
    return {"cases": cases, "order": [*cases]}


def _children(old: StepGraph, new: StepGraph, caller: str) -> Iterator[Difference]:
    for name, child in new.children.items():
        was = old.children.get(name)
        if was is None or was.graph == child.graph:
            continue  # a new one is told by the step that calls it
        yield from _graphs(was.graph, child.graph, _at(caller, name))


def _at(caller: str, place: str) -> str:
    return f"{caller}: {place}" if caller else place


def _places(graph: StepGraph) -> dict[str, str]:
    """The phase of each step, or `on failure`."""
    failing = {node.id for node in walk(graph, graph.failure)} if graph.failure is not None else set()
    return {
        step_id: "on failure" if step_id in failing else node.phase.label
        for step_id, node in graph.nodes.items()
    }


def _stands(graph: StepGraph) -> dict[str, tuple[str, str]]:
    """The id of the step that each step stands inside, and on which way of it; empty: it stands in none."""
    found = dict.fromkeys(graph.nodes, ("", ""))
    for node in graph.nodes.values():
        for label, entry in zip(_labels(node), _entries(node), strict=True):
            current = entry
            while current is not None and found[current] != (node.id, label):
                found[current] = (node.id, label)
                current = graph.nodes[current].next
    return found


def _entries(node: Node) -> tuple[str | None, ...]:
    if isinstance(node, BranchNode):
        return (*(case.entry for case in node.cases), node.default)
    return bodies(node)


def _labels(node: Node) -> tuple[str, ...]:
    if isinstance(node, BranchNode):
        return (*(case.label for case in node.cases), "otherwise")
    if isinstance(node, ParallelNode):
        return tuple(f"branch {n + 1}" for n in range(len(node.branches)))
    return ("",) * len(bodies(node))


def _made_up(step_id: str) -> bool:
    """Whether a step has no id of its own; the one made for it says where it stands."""
    return step_id.startswith("step.")


def _called(node: Node) -> str:
    if not _made_up(node.id):
        return node.id
    words = one_line(_does(node))
    return (
        f"the step that {words}"
        if node.kind == "set"
        else f"the step “{words if len(words) < 60 else words[:59] + '…'}”"
    )


def _does(node: Node) -> str:
    return frame_words(node) or does(node)


def _kind(node: Node) -> str:
    kinds = {"approve": "a question", "action": "an action", "branch": "a choice"}
    return kinds.get(node.kind, f"a {node.kind}")


def _aligned(old: StepGraph, new: StepGraph) -> StepGraph:
    """The older graph, with the made-up ids of steps that have none as they are in the newer one.

    Such an id holds the step's place in its list, so one more step in front would give all of them others.
    """
    names: dict[str, str] = {}
    left = [step_id for step_id in old.nodes if _made_up(step_id)]
    wanted = [step_id for step_id in new.nodes if _made_up(step_id)]
    for alike in (_same_content, _same_kind):
        for step_id in [one for one in wanted if one not in names.values()]:
            fitting = (one for one in left if alike(old.nodes[one], new.nodes[step_id]))
            found = next(fitting, None)
            if found is not None:
                names[found] = step_id
                left.remove(found)
    # What is gone must not be taken for another that has its id now.
    names |= {step_id: f"{step_id}.gone" for step_id in left}
    return _renamed(old, names) if any(a != b for a, b in names.items()) else old


def _same_content(one: Node, other: Node) -> bool:
    return _same_kind(one, other) and _content(one) == _content(other)


def _same_kind(one: Node, other: Node) -> bool:
    return one.kind == other.kind and one.phase == other.phase


def _renamed(graph: StepGraph, names: dict[str, str]) -> StepGraph:
    def name(step_id: str | None) -> str | None:
        return None if step_id is None else names.get(step_id, step_id)

    def node(one: Node) -> Node:
        update: dict[str, object] = {"id": name(one.id), "next": name(one.next)}
        match one:
            case BranchNode():
                cases = tuple(c.model_copy(update={"entry": name(c.entry)}) for c in one.cases)
                update |= {"cases": cases, "default": name(one.default)}
            case ParallelNode():
                update["branches"] = tuple(names.get(b, b) for b in one.branches)
            case _ if bodies(one):
                update["body"] = name(bodies(one)[0])
        return one.model_copy(update=update)

    nodes = {names.get(step_id, step_id): node(one) for step_id, one in graph.nodes.items()}
    entries = {phase: names.get(entry, entry) for phase, entry in graph.entries.items()}
    return graph.model_copy(update={"nodes": nodes, "entries": entries, "failure": name(graph.failure)})
