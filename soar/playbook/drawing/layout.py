"""Where everything in a drawing stands.

A list of steps is a column, with its middle as the axis that its arrows run on; what holds others is a frame around
such columns, side by side. Every piece is measured first and moved into its place afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from soar.playbook.drawing.boxes import ALONE, BOX, again_box, frame_head, step_box
from soar.playbook.drawing.outline import Again, Band, Item, Outline, Section, Step, Way, every_step
from soar.playbook.drawing.shapes import (
    BandBox,
    Bar,
    Diamond,
    Dot,
    Drawing,
    Frame,
    Key,
    Label,
    Line,
    Rect,
    Shape,
    moved,
)
from soar.playbook.drawing.text import Font, cut, plain, width_of, wrapped

__all__ = ["lay_out"]

_MARGIN = 20.0
_GAP = 24.0
"""Between two steps of a list: room for an arrow."""
_BESIDE = 18.0
"""Between two branches."""
_INSIDE = 16.0
"""From a frame to what it holds."""
_LOOP = 30.0
"""The same where a line leads back along the side."""
_HEAD = 122.0
"""The part of a band with its label."""
_LEAST = 560.0

_TITLE, _HEADING = Font(20, bold=True), Font(16, bold=True)
_BAND, _SMALL = Font(12, bold=True), Font(11)
_LANE = Font(11, bold=True)


@dataclass(frozen=True)
class _Piece:
    """Shapes around an axis in its middle. It is entered at the top of the axis, and left at its bottom.

    Args:
        leaves: Something can follow; else it ends here, or goes on elsewhere.
    """

    width: float
    height: float
    shapes: tuple[Shape, ...]
    leaves: bool = True

    @property
    def axis(self) -> float:
        return self.width / 2

    def at(self, axis: float, top: float) -> tuple[Shape, ...]:
        shapes: tuple[Shape, ...] = moved(self.shapes, axis - self.axis, top)
        return shapes


def lay_out(outline: Outline) -> Drawing:
    """Give everything its place.

    Args:
        outline: What is drawn.
    """
    pieces = [[_band(band) for band in section.bands] for section in outline.sections]
    widest = max((piece.width for row in pieces for piece in row), default=0)
    inner = max(widest + 2 * _INSIDE, _LEAST)
    width = _HEAD + inner + 2 * _MARGIN
    shapes: list[Shape] = []
    y = _MARGIN
    for section, row in zip(outline.sections, pieces, strict=True):
        found, y = _section(section, row, width, y)
        shapes += found
    found, y = _legend(outline, width, y)
    shapes += found
    first = outline.sections[0]
    return Drawing(
        title=plain(first.title),
        about=_about(first, len(outline.sections) - 1),
        width=round(width, 2),
        height=round(y + _MARGIN, 2),
        shapes=tuple(shapes),
    )


def _about(section: Section, called: int) -> str:
    parts = [
        f"{band.label}: {len(list(every_step(band.items))) or 'no'} steps"
        for band in section.bands
        if band.items
    ]
    more = f"; {called} called playbook(s)" if called else ""
    return plain(f"The playbook {section.name}, version {section.version[:12]}. {'; '.join(parts)}{more}.")


def _section(
    section: Section, pieces: Sequence[_Piece], width: float, top: float
) -> tuple[list[Shape], float]:
    """A playbook's heading and its bands.

    Returns:
        The shapes, and where they end.
    """
    shapes: list[Shape] = []
    y = top + (26 if section.called else 0)
    room = width - 2 * _MARGIN
    title = f"Called: {section.title}" if section.called else section.title
    lines = [(line, _HEADING if section.called else _TITLE) for line in _lines(title, room, section.called)]
    lines += [(cut(plain(f"{section.name}, version {section.version[:12]}"), room, _SMALL), _SMALL)]
    lines += [(line, _SMALL) for fact in section.facts for line in wrapped(fact, room, _SMALL, 4)]
    for line, font in lines:
        y += font.line
        shapes.append(Label(line, _MARGIN, y, font, faint=font is _SMALL))
    y += 14
    axis = _MARGIN + _HEAD + (width - 2 * _MARGIN - _HEAD) / 2
    previous: float | None = None
    last = [band for band in section.bands if band.items and not band.failure][-1:]
    for index, (band, piece) in enumerate(zip(section.bands, pieces, strict=True)):
        y += 12 if band.failure and not section.bands[index - 1].failure else 0
        box = _band_box(band, piece, width, y)
        shapes.append(box)
        inside = y + _INSIDE
        flows = not band.failure
        if flows and previous is None:
            shapes.append(Dot(axis, inside + 5, end=False))
            previous = inside + 10
            inside += 10 + _GAP
        if piece.shapes:
            if flows and previous is not None:
                shapes.append(Line(((axis, previous), (axis, inside))))
            shapes += piece.at(axis, inside)
            inside += piece.height
        elif band.note:
            shapes.append(
                Label(cut(plain(band.note), width, _SMALL), axis, inside + 14, _SMALL, centred=True)
            )
        if flows:
            previous = inside
        if last and band is last[0]:
            shapes.append(Line(((axis, inside), (axis, inside + _GAP))))
            shapes.append(Dot(axis, inside + _GAP + 5, end=True))
            inside += _GAP + 10
        y = max(inside + _INSIDE, box.rect.bottom)
        shapes[shapes.index(box)] = _stretched(box, y)
    return shapes, y


def _lines(title: str, room: float, called: bool) -> tuple[str, ...]:
    return wrapped(title, room, _HEADING if called else _TITLE, 2)


def _band_box(band: Band, piece: _Piece, width: float, top: float) -> BandBox:
    lines = wrapped(band.label[:1].upper() + band.label[1:], _HEAD - 20, _BAND, 3)
    height = max(piece.height, len(lines) * _BAND.line) + 2 * _INSIDE
    rect = Rect(_MARGIN, top, width - 2 * _MARGIN, height)
    head = Rect(rect.x, rect.y, _HEAD, height)
    labels = tuple(
        Label(line, rect.x + 10, rect.y + _INSIDE + 12 + n * _BAND.line, _BAND)
        for n, line in enumerate(lines)
    )
    return BandBox(rect, head, labels, band.failure)


def _stretched(box: BandBox, bottom: float) -> BandBox:
    height = bottom - box.rect.y
    rect = Rect(box.rect.x, box.rect.y, box.rect.width, height)
    return BandBox(rect, Rect(box.head.x, box.head.y, box.head.width, height), box.labels, box.failure)


def _band(band: Band) -> _Piece:
    return _column(band.items, ALONE)


def _column(items: Iterable[Item], box: float) -> _Piece:
    """Items one below the other, with arrows between them.

    Args:
        box: How wide a step is.
    """
    pieces = [_again(item) if isinstance(item, Again) else _step(item, box) for item in items]
    if not pieces:
        return _Piece(0, 0, ())
    width = max(piece.width for piece in pieces)
    shapes: list[Shape] = []
    y = 0.0
    for index, piece in enumerate(pieces):
        if index:
            shapes.append(Line(((width / 2, y), (width / 2, y + _GAP))))
            y += _GAP
        shapes += piece.at(width / 2, y)
        y += piece.height
    return _Piece(width, y, tuple(shapes), leaves=pieces[-1].leaves)


def _step(step: Step, width: float) -> _Piece:
    if not step.ways:
        box = step_box(step, width)
        return _Piece(box.rect.width, box.rect.height, (box,))
    if step.kind in ("foreach", "repeat"):
        return _loop(step, width)
    return _parted(step)


def _again(again: Again) -> _Piece:
    box = again_box(again)
    return _Piece(box.rect.width, box.rect.height, (box,), leaves=False)


def _framed(step: Step, body: _Piece, beside: float) -> _Piece:
    """A frame around a body, which already has its room above and below."""
    width = max(body.width + 2 * beside, BOX + 2 * _INSIDE)
    head, labels, badges = frame_head(step, width)
    rect = Rect(0, 0, width, head.height + body.height)
    frame = Frame(step.id, step.kind, rect, head, labels, badges, step.hover)
    return _Piece(width, rect.height, (frame, *body.at(width / 2, head.height)), leaves=body.leaves)


def _loop(step: Step, box: float) -> _Piece:
    body = _column(step.ways[0].items, box)
    around = 20.0
    # The way back leads along the right side, from below the body to above it.
    half = max(body.width / 2, BOX / 2) + 12
    axis, end = half, around + body.height
    shapes: list[Shape] = [Line(((axis, 0), (axis, around))), *body.at(axis, around)]
    if body.leaves:
        shapes.append(Line(((axis, end), (axis, end + around)), arrow=False))
        back = ((axis, end + 10), (2 * half, end + 10), (2 * half, 8.0), (axis + 2, 8.0))
        shapes.append(Line(back, back=True))
    return _framed(step, _Piece(2 * half, end + around, tuple(shapes)), _LOOP - 12)


def _parted(step: Step) -> _Piece:
    """Branches side by side, between where they part and where they meet."""
    lanes = [_lane(way) for way in step.ways]
    width = sum(lane.width for lane in lanes) + _BESIDE * (len(lanes) - 1)
    deepest = max(lane.height for lane in lanes)
    axes: list[float] = []
    x = 0.0
    for lane in lanes:
        axes.append(x + lane.axis)
        x += lane.width + _BESIDE
    # The frame's axis is the body's middle.
    middle, fork = width / 2, 16.0
    top = fork + 6
    bottom = top + deepest
    joining = [axis for axis, lane in zip(axes, lanes, strict=True) if lane.leaves]
    shapes: list[Shape] = [Line(((middle, 0), (middle, fork)), arrow=False)]
    shapes += _across(step.kind, axes, middle, fork)
    for axis, lane in zip(axes, lanes, strict=True):
        shapes += lane.at(axis, top)
        shapes.append(Line(((axis, fork), (axis, top)), arrow=False))
        if lane.leaves:
            shapes.append(Line(((axis, top + lane.height), (axis, bottom + 10)), arrow=False))
    if joining:
        shapes += _across(step.kind, joining, middle, bottom + 10)
        shapes.append(Line(((middle, bottom + 10), (middle, bottom + 26)), arrow=False))
    body = _Piece(width, bottom + 26, tuple(shapes), leaves=True)
    return _framed(step, body, _INSIDE)


def _across(kind: str, axes: Sequence[float], middle: float, y: float) -> list[Shape]:
    """The line along which branches part or meet."""
    left, right = min(*axes, middle), max(*axes, middle)
    if kind == "parallel":
        return [Bar(Rect(left - 8, y - 2.5, right - left + 16, 5))]
    line: list[Shape] = [Line(((left, y), (right, y)), arrow=False)] if right > left else []
    return [*line, Diamond(middle, y)]


def _lane(way: Way) -> _Piece:
    """One branch: its label, its steps, and its end where nothing more is reached from there."""
    column = _column(way.items, BOX)
    lines = wrapped(way.label, max(column.width, 120.0 if not way.items else BOX) - 16, _LANE, 3)
    wide = max((width_of(line, _LANE) for line in lines), default=0) + 16
    width = max(column.width, wide, 60.0)
    axis = width / 2
    shapes: list[Shape] = []
    y = 0.0
    if lines:
        shapes.append(Line(((axis, 0), (axis, 8)), arrow=False))
        y = 8.0
        for line in lines:
            y += _LANE.line
            shapes.append(Label(line, axis, y - 3, _LANE, centred=True))
        y += 3
    if way.items:
        shapes.append(Line(((axis, y), (axis, y + 18))))
        shapes += column.at(axis, y + 18)
        y += 18 + column.height
    if way.ends:
        shapes.append(Line(((axis, y), (axis, y + 16))))
        shapes.append(Dot(axis, y + 21, end=True))
        y += 26
    return _Piece(width, y, tuple(shapes), leaves=column.leaves and not way.ends)


_SIGNS = {
    "reversible": "changes, can be put back",
    "disruptive": "changes, disrupts",
    "destructive": "changes for good",
    "read": "reads only",
    "task": "a person's task",
    "approve": "a question",
    "wait": "a wait",
    "set": "names for values",
    "playbook": "another playbook",
}


def _legend(outline: Outline, width: float, top: float) -> tuple[list[Shape], float]:
    """What the signs mean that are used."""
    steps = [s for section in outline.sections for band in section.bands for s in every_step(band.items)]
    used = {step.kind for step in steps} | {step.risk.value for step in steps if step.risk is not None}
    shapes: list[Shape] = []
    x, y = _MARGIN, top + 16
    for sign, words in _SIGNS.items():
        if sign not in used:
            continue
        wide = 26 + width_of(words, _SMALL)
        if x + wide > width - _MARGIN and x > _MARGIN:
            x, y = _MARGIN, y + 22
        shapes.append(Key(sign, Rect(x, y, 18, 14), Label(words, x + 24, y + 11, _SMALL, faint=True)))
        x += wide + 18
    return shapes, y + 16
