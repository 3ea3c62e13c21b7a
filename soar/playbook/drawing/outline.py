"""What is drawn of a playbook: its phases, its steps with a few words for each, and which steps stand inside which.

A step graph is not quite a tree: several ways may lead to the same step. It is drawn where the first of them leads to
it; where these ways are the ends of one branching, below that, and else the others get a mark that says where they go
on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from soar.model.terms import Phase, Risk
from soar.playbook.compiler import placed_steps
from soar.playbook.diagnostics import PlaybookError
from soar.playbook.drawing.words import (
    does,
    facts,
    frame_words,
    hover,
    one_line,
    playbook_facts,
    span,
    way_labels,
)
from soar.playbook.graph import (
    ActionNode,
    AskNode,
    BranchNode,
    ForeachNode,
    Node,
    ParallelNode,
    PlaybookNode,
    RepeatNode,
    StepGraph,
)
from soar.playbook.loader import LoadedPlaybook, load_playbook
from soar.playbook.steps import blocks_of

__all__ = ["Again", "Band", "Item", "Outline", "Section", "Step", "Way", "every_step", "outline_of"]


@dataclass(frozen=True)
class Again:
    """A way that goes on at a step that is drawn elsewhere.

    Args:
        mark: The letters that both places bear.
    """

    step_id: str
    name: str
    mark: str = ""


@dataclass(frozen=True)
class Way:
    """One list of steps inside another step.

    Args:
        label: The branch's name, the case, `yes`; empty where there is nothing to say.
        ends: What follows the branching is not reached on this way.
    """

    label: str
    items: tuple[Item, ...]
    ends: bool = False


@dataclass(frozen=True)
class Step:
    """One step.

    Args:
        kind: `action`, `task`, `approve`, `wait`, `set`, `playbook`, `branch`, `parallel`, `foreach` or `repeat`.
        does: What it does, in a few words: the action's name, `task for owner`.
        code: `does` is a name of the program, not words.
        when: Its condition.
        asks: Whose approval it asks.
        facts: What else people should see.
        hover: All there is to say, a line each.
        mark: The letters that ways which lead here from elsewhere bear.
        calls: The playbook that it runs.
    """

    id: str
    kind: str
    name: str
    does: str
    code: bool = False
    when: str = ""
    asks: str = ""
    risk: Risk | None = None
    facts: tuple[str, ...] = ()
    hover: tuple[str, ...] = ()
    ways: tuple[Way, ...] = ()
    mark: str = ""
    calls: str = ""


Item = Step | Again


@dataclass(frozen=True)
class Band:
    """A phase, or what is done after a failure.

    Args:
        note: Said in place of steps, or above them.
    """

    label: str
    items: tuple[Item, ...]
    note: str = ""
    failure: bool = False


@dataclass(frozen=True)
class Section:
    """A playbook: the one that is drawn, or one that it calls.

    Args:
        facts: What it answers, its deadlines; a line each.
        called: It is drawn because another calls it.
    """

    name: str
    title: str
    version: str
    facts: tuple[str, ...]
    bands: tuple[Band, ...]
    called: bool = False


@dataclass(frozen=True)
class Outline:
    """All that is drawn: the playbook first, then those that it calls, each once."""

    sections: tuple[Section, ...]


def outline_of(loaded: LoadedPlaybook, graph: StepGraph) -> Outline:
    """Say what is drawn of a playbook.

    Args:
        graph: It compiled.
    """
    own = Section(
        name=loaded.playbook.name,
        title=one_line(loaded.playbook.title) or loaded.playbook.name,
        version=loaded.digest,
        facts=playbook_facts(loaded.playbook, graph),
        bands=_Bands(graph, _branch_names(loaded)).bands(),
    )
    return Outline((own, *_called(graph, {loaded.playbook.name})))


def every_step(items: tuple[Item, ...]) -> Iterator[Step]:
    """Each step in a list, and those inside of it, in the order drawn."""
    for item in items:
        if isinstance(item, Step):
            yield item
            for way in item.ways:
                yield from every_step(way.items)


def _called(graph: StepGraph, known: set[str]) -> Iterator[Section]:
    for name, child in graph.children.items():
        if name in known:
            continue
        known.add(name)
        yield Section(
            name=name,
            title=one_line(child.title) or name,
            version=child.digest,
            facts=(),
            bands=_Bands(child.graph, _names_in(name, child.text)).bands(),
            called=True,
        )
        yield from _called(child.graph, known)


def _names_in(name: str, text: str) -> dict[str, tuple[str, ...]]:
    """The names of branches in a called playbook; none where it is CACAO, which names none."""
    if text.lstrip().startswith("{"):
        return {}
    try:
        return _branch_names(load_playbook(text, file=name))
    except PlaybookError:
        return {}  # it runs from its graph; that its text is of another version costs labels only


def _branch_names(loaded: LoadedPlaybook) -> dict[str, tuple[str, ...]]:
    """What the branches of each `parallel` are called; the graph does not say."""
    if loaded.graph is not None:
        return {}
    return {
        placed.id: tuple(inner.label for inner in blocks_of(placed.step))
        for placed in placed_steps(loaded)
        if placed.entries
    }


class _Bands:
    """Makes the bands of one graph; each node is drawn once."""

    def __init__(self, graph: StepGraph, names: dict[str, tuple[str, ...]]) -> None:
        self._graph, self._names = graph, names
        self._seen: set[str] = set()
        self._marks: dict[str, str] = {}

    def bands(self) -> tuple[Band, ...]:
        graph = self._graph
        found = [
            Band(phase.label, self._items(graph.entries[phase])) for phase in Phase if phase in graph.entries
        ]
        told = "every change is put back, the newest first"
        if graph.failure is not None:
            found.append(Band("on failure", self._items(graph.failure), failure=True))
        elif graph.undo_on_failure:
            found.append(Band("on failure", (), note=told, failure=True))
        if graph.undo_on_cancel:
            found.append(Band("on cancel", (), note=told, failure=True))
        return tuple(replace(band, items=self._marked(band.items)) for band in found)

    def _items(
        self, entry: str, stops: frozenset[str] = frozenset(), own: str | None = None
    ) -> tuple[Item, ...]:
        """The steps from one on.

        Args:
            stops: The steps that are drawn after this list, here or further out.
            own: That of them which follows this list.
        """
        found: list[Item] = []
        current: str | None = entry
        while current is not None and current != own:
            if current in self._seen or current in stops:
                mark = self._marks.setdefault(current, _letters(len(self._marks)))
                found.append(Again(current, self._name(current), mark))
                break
            self._seen.add(current)
            node = self._graph.nodes[current]
            tail = self._tail(node)
            found.append(self._step(node, stops, tail))
            current = node.next if tail is None else tail
        return tuple(found)

    def _tail(self, node: Node) -> str | None:
        """The step that follows a branching only on some of its ways, but can be drawn below it."""
        if not isinstance(node, BranchNode) or node.next is not None:
            return None
        chains = [self._chain(entry) for entry in _entries(node)]
        shared: dict[str, int] = {}
        for chain in chains:
            for step_id in chain:
                shared[step_id] = shared.get(step_id, 0) + 1
        most = max(shared.values(), default=0)
        if most > 1:
            return next(step_id for step_id, count in shared.items() if count == most)
        # CACAO: what a step's success leads to is what follows it.
        return node.default if _after_success(node) else None

    def _chain(self, entry: str | None) -> tuple[str, ...]:
        found: dict[str, None] = {}
        current = entry
        while current is not None and current not in found and current not in self._seen:
            found[current] = None
            node = self._graph.nodes[current]
            current = node.default if isinstance(node, BranchNode) and _after_success(node) else node.next
        return tuple(found)

    def _step(self, node: Node, stops: frozenset[str], tail: str | None) -> Step:
        frame = frame_words(node)
        return Step(
            id=node.id,
            kind=node.kind,
            name=self._name(node.id),
            does=frame or does(node),
            code=isinstance(node, ActionNode),
            when=one_line(node.when or ""),
            asks=_asks(node),
            risk=node.spec.risk if isinstance(node, ActionNode) else None,
            facts=facts(node),
            hover=hover(node),
            ways=tuple(self._ways(node, stops, tail)),
            calls=node.playbook if isinstance(node, PlaybookNode) else "",
        )

    def _ways(self, node: Node, stops: frozenset[str], tail: str | None) -> Iterator[Way]:
        if isinstance(node, (ForeachNode, RepeatNode)):
            yield Way("", self._items(node.body, stops))
        elif isinstance(node, ParallelNode):
            names = self._names.get(node.id, ())
            for index, branch in enumerate(node.branches):
                label = names[index] if len(names) == len(node.branches) else ""
                yield Way("" if label.isdigit() else one_line(label), self._items(branch, stops))
        elif isinstance(node, BranchNode):
            inside = stops | {tail} if tail is not None else stops
            reach = [tail in self._chain(entry) for entry in _entries(node)]
            for label, entry, joins in zip(way_labels(node), _entries(node), reach, strict=True):
                below = () if entry is None else self._items(entry, inside, tail)
                gone = bool(below) and isinstance(below[-1], Again)
                yield Way(label, below, ends=tail is not None and not joins and not gone)

    def _name(self, step_id: str) -> str:
        node = self._graph.nodes[step_id]
        return one_line(node.name) or node.id

    def _marked(self, items: tuple[Item, ...]) -> tuple[Item, ...]:
        """The same items; those that a way leads to from elsewhere bear its mark."""
        return tuple(
            replace(
                item,
                mark=self._marks.get(item.id, ""),
                ways=tuple(replace(way, items=self._marked(way.items)) for way in item.ways),
            )
            if isinstance(item, Step)
            else item
            for item in items
        )


def _entries(node: BranchNode) -> tuple[str | None, ...]:
    return (*(case.entry for case in node.cases), node.default)


def _after_success(node: BranchNode) -> bool:
    return node.id.endswith(".outcome") and node.next is None and node.default is not None


def _asks(node: Node) -> str:
    rule = node.approval if isinstance(node, (ActionNode, AskNode)) else None
    if rule is None:
        return ""
    many = f" ×{rule.approvers}" if rule.approvers > 1 else ""
    until = f", within {span(rule.expires)}" if rule.expires else ""
    return f"asks {rule.role or 'whom policy names'}{many}{until}"


def _letters(number: int) -> str:
    """A, B … Z, AA, AB …"""
    text = ""
    number += 1
    while number:
        number, rest = divmod(number - 1, 26)
        text = chr(65 + rest) + text
    return text
