"""A playbook as a Mermaid flowchart, for pages that draw those by themselves.

Every text of the playbook stands in quotes, with each sign in it that means something to Mermaid, Markdown or HTML as
a numeric entity; the names of nodes are our own. So no text can end its label, be taken for a keyword or a comment, or
become markup.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

from soar.playbook.drawing.boxes import RISK_WORDS
from soar.playbook.drawing.outline import Again, Band, Item, Outline, Section, Step
from soar.playbook.drawing.text import plain

__all__ = ["mermaid_of"]

_LONGEST = 160
"""Characters of one line of a label."""
_SAFE = frozenset(" ,:/")

_ACTIVE = frozenset("%{}<>#;`&\"'")
"""What could begin a directive or markup in the title, which is YAML."""

_SHAPES = {
    "action": ('["', '"]'),
    "set": ('["', '"]'),
    "wait": ('("', '")'),
    "task": ('(["', '"])'),
    "approve": ('{{"', '"}}'),
    "playbook": ('[["', '"]]'),
    "branch": ('{"', '"}'),
}
_CLASSES = (
    "classDef read fill:#fff,stroke:#1b2430,color:#1b2430",
    "classDef reversible fill:#fff9e8,stroke:#1b2430,stroke-width:2px,color:#1b2430",
    "classDef disruptive fill:#fff0e0,stroke:#1b2430,stroke-width:3px,stroke-dasharray:6 2,color:#1b2430",
    "classDef destructive fill:#fde8e6,stroke:#1b2430,stroke-width:5px,color:#1b2430",
    "classDef failure fill:#f7f7f7,stroke:#5b6775,stroke-dasharray:5 3,color:#1b2430",
)


class _End(NamedTuple):
    """Where something may follow.

    Args:
        label: What is written on the arrow to it.
    """

    node: str
    label: str = ""


def mermaid_of(outline: Outline) -> str:
    """Write what is drawn as a Mermaid flowchart; the same outline gives the same bytes."""
    writer = _Writer()
    for section in outline.sections:
        writer.section(section)
    writer.calls()
    title = "".join(
        f"\\u{ord(char):04x}" if char in _ACTIVE else json.dumps(char)[1:-1]
        for char in plain(outline.sections[0].title)
    )
    head = ["---", f'title: "{title}"', "config:", "  theme: neutral", "---", "flowchart TB"]
    return "\n".join([*head, *(f"  {line}" for line in (*writer.nodes, *writer.edges, *_CLASSES)), ""])


class _Writer:
    def __init__(self) -> None:
        self.nodes: list[str] = []
        self.edges: list[str] = []
        self._known: dict[tuple[str, str], str] = {}
        self._made = 0
        self._section = ""
        self._deep = 0
        self._frames: dict[str, str] = {}
        self._calls: list[tuple[str, str]] = []

    def section(self, section: Section) -> None:
        """Write a playbook; one that is called stands in a frame of its own."""
        self._section = section.name
        if section.called:
            self._frames[section.name] = self._open(("Called: " + section.title,))
        ends: list[_End] = []
        for band in section.bands:
            # What is done after a failure follows no step of its own.
            ends = self._band(band, [] if band.failure else ends)
        if section.called:
            self._close()

    def calls(self) -> None:
        """Lead from each step that calls a playbook to its frame."""
        for node, name in self._calls:
            if name in self._frames:
                self.edges.append(f"{node} -.-> {self._frames[name]}")

    def _band(self, band: Band, ends: list[_End]) -> list[_End]:
        frame = self._open((band.label[:1].upper() + band.label[1:],))
        if band.items:
            ends = self._items(band.items, ends)
        elif band.note:
            self._node(self._new(), ('["', '"]'), (band.note,), "")
        self._close()
        if band.failure:
            self.nodes.append(f"class {frame} failure")
        return ends

    def _items(self, items: Sequence[Item], ends: list[_End]) -> list[_End]:
        for item in items:
            if isinstance(item, Again):
                self._lead(ends, self._id(item.step_id))
                return []
            ends = self._step(item, ends)
        return ends

    def _step(self, step: Step, ends: list[_End]) -> list[_End]:
        node = self._id(step.id)
        self._lead(ends, node)
        if step.kind in ("foreach", "repeat"):
            return self._loop(step, node)
        if step.kind == "parallel":
            return self._parallel(step, node)
        self._node(node, _SHAPES[step.kind], _words(step), step.risk.value if step.risk else "")
        if step.calls:
            self._calls.append((node, step.calls))
        if not step.ways:
            return [_End(node)]
        found: list[_End] = []
        for way in step.ways:
            reached = self._items(way.items, [_End(node, way.label)])
            if way.ends:
                stop = self._new()
                self._node(stop, ('(("', '"))'), ("end",), "")
                self._lead(reached, stop)
            else:
                found += reached
        return found

    def _loop(self, step: Step, node: str) -> list[_End]:
        self._open((step.name,))
        self._node(node, ('[/"', '"/]'), _words(step)[1:], "")
        reached = self._items(step.ways[0].items, [_End(node, "each" if step.kind == "foreach" else "")])
        self._lead(reached, node, back=True)
        self._close()
        return [_End(node, "done")]

    def _parallel(self, step: Step, node: str) -> list[_End]:
        self._open((step.name,))
        self._node(node, ('[/"', '"\\]'), _words(step)[1:], "")
        join = self._new()
        for way in step.ways:
            self._lead(self._items(way.items, [_End(node, way.label)]), join)
        self._node(join, ('[\\"', '"/]'), ("all have ended",), "")
        self._close()
        return [_End(join)]

    def _open(self, words: Sequence[str]) -> str:
        frame = self._new()
        self.nodes.append(f'{"  " * self._deep}subgraph {frame} ["{_label(words)}"]')
        self._deep += 1
        self.nodes.append(f"{'  ' * self._deep}direction TB")
        return frame

    def _close(self) -> None:
        self._deep -= 1
        self.nodes.append(f"{'  ' * self._deep}end")

    def _node(self, node: str, shape: tuple[str, str], words: Sequence[str], style: str) -> None:
        more = f":::{style}" if style else ""
        self.nodes.append(f"{'  ' * self._deep}{node}{shape[0]}{_label(words)}{shape[1]}{more}")

    def _lead(self, ends: Sequence[_End], target: str, *, back: bool = False) -> None:
        for end in ends:
            arrow = "-.->" if back else "-->"
            label = f'|"{_label((end.label,))}"|' if end.label else ""
            self.edges.append(f"{end.node} {arrow}{label} {target}")

    def _id(self, step_id: str) -> str:
        key = (self._section, step_id)
        if key not in self._known:
            self._known[key] = self._new()
        return self._known[key]

    def _new(self) -> str:
        self._made += 1
        return f"n{self._made}"


def _words(step: Step) -> tuple[str, ...]:
    risk = RISK_WORDS.get(step.risk, "") if step.risk else ""
    marks = " – ".join(part for part in (risk, step.asks) if part)
    when = f"only if {step.when}" if step.when else ""
    return (step.name, *(part for part in (step.does, when, ", ".join(step.facts), marks) if part))


def _label(words: Sequence[str]) -> str:
    return "<br/>".join(_quoted(word) for word in words)


def _quoted(text: str) -> str:
    """A text in which nothing means anything to Mermaid, Markdown or HTML."""
    text = plain(text)
    text = text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
    found: list[str] = []
    for index, char in enumerate(text):
        inside = 0 < index < len(text) - 1 and text[index - 1].isalnum() and text[index + 1].isalnum()
        # A dot or an underscore within a name is one; elsewhere it could make a list, or emphasis.
        named = char in "._" and inside and not text[:index].isdigit()
        kept = char.isalnum() or named or char in _SAFE or (ord(char) > 127 and char.isprintable())
        found.append(char if kept else f"#{ord(char)};")
    return "".join(found)
