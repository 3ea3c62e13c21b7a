"""The boxes of single steps, with their texts."""

from __future__ import annotations

from soar.model.terms import Risk
from soar.playbook.drawing.outline import Again, Step
from soar.playbook.drawing.shapes import AgainBox, Badge, Label, Rect, StepBox
from soar.playbook.drawing.text import Font, cut, plain, width_of, wrapped

__all__ = ["ALONE", "BOX", "RISK_WORDS", "STRIPE", "again_box", "frame_head", "step_box"]

BOX = 252.0
"""How wide a step is."""
ALONE = 340.0
"""How wide one is that has nothing beside it."""
STRIPE = 8.0
"""How wide the mark of a risk is, along the left side."""
_LEFT, _RIGHT, _PAD = 36.0, 10.0, 9.0

_NAME = Font(13, bold=True)
_CODE, _WORDS = Font(10.5, code=True), Font(11)
_WHEN, _FACTS = Font(11, slanted=True), Font(10.5)
_BADGE = Font(10, bold=True)

RISK_WORDS = {
    Risk.REVERSIBLE: "CHANGES",
    Risk.DISRUPTIVE: "DISRUPTS",
    Risk.DESTRUCTIVE: "CHANGES FOR GOOD",
}
"""What is written on a step that changes something."""


class _Texts:
    """Texts below each other."""

    def __init__(self, left: float, top: float, room: float) -> None:
        self.left, self.y, self.room = left, top, room
        self.labels: list[Label] = []
        self.badges: list[Badge] = []

    def add(self, text: str, font: Font, lines: int, *, faint: bool = False, above: float = 0) -> None:
        found = wrapped(text, self.room, font, lines)
        self.y += above if found else 0
        for line in found:
            self.y += font.line
            self.labels.append(Label(line, self.left, round(self.y - font.size * 0.3, 2), font, faint=faint))

    def add_badges(self, step: Step) -> None:
        told: list[tuple[str, str]] = []
        if step.mark:
            told.append(("mark", step.mark))
        if step.risk in RISK_WORDS:
            told.append(("risk", RISK_WORDS[step.risk]))
        if step.asks:
            told.append(("asks", step.asks))
        if not told:
            return
        self.y += 6
        x = self.left
        for kind, words in told:
            text = cut(plain(words), self.room - 14, _BADGE)
            width = width_of(text, _BADGE) + 14
            if x + width > self.left + self.room and x > self.left:
                x, self.y = self.left, self.y + 21
            rect = Rect(x, self.y, width, 17)
            label = Label(text, x + width / 2, self.y + 12, _BADGE, centred=True)
            self.badges.append(Badge(kind, rect, label))  # type: ignore[arg-type]
            x += width + 6
        self.y += 17


def step_box(step: Step, width: float) -> StepBox:
    """The box of a step that holds no others, at the origin."""
    texts = _Texts(_LEFT, _PAD - 2, width - _LEFT - _RIGHT)
    texts.add(step.name, _NAME, 3)
    texts.add(step.does, _CODE if step.code else _WORDS, 2 if step.code else 4, above=1)
    if step.when:
        texts.add(f"only if {step.when}", _WHEN, 4, above=2)
    texts.add(" · ".join(step.facts), _FACTS, 3, faint=True, above=2)
    texts.add_badges(step)
    rect = Rect(0, 0, width, round(texts.y + _PAD, 2))
    return StepBox(step.id, step.kind, step.risk, rect, tuple(texts.labels), tuple(texts.badges), step.hover)


def frame_head(step: Step, width: float) -> tuple[Rect, tuple[Label, ...], tuple[Badge, ...]]:
    """The upper part of a frame: what it is about."""
    texts = _Texts(34.0, 4.0, width - 34 - 12)
    texts.add(step.name, _NAME, 2)
    texts.add(step.does, _WORDS, 4)
    if step.when:
        texts.add(f"only if {step.when}", _WHEN, 4, above=1)
    texts.add(" · ".join(step.facts), _FACTS, 2, faint=True, above=1)
    texts.add_badges(step)
    return Rect(0, 0, width, round(texts.y + 7, 2)), tuple(texts.labels), tuple(texts.badges)


def again_box(again: Again) -> AgainBox:
    """Where a way goes on."""
    words = f"goes on at {again.mark}: {again.name}"
    lines = wrapped(words, BOX - 48, _WORDS, 2)
    width = max(width_of(line, _WORDS) for line in lines) + 28
    height = len(lines) * _WORDS.line + 10
    labels = tuple(
        Label(line, width / 2, 5 + (n + 1) * _WORDS.line - 3.5, _WORDS, centred=True)
        for n, line in enumerate(lines)
    )
    return AgainBox(Rect(0, 0, width, height), labels)
