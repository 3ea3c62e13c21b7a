"""A drawing as SVG: one file that needs nothing else. The same drawing gives the same bytes.

Risks are told by words and by the pattern along the left side, so that they can be read without colours.
"""

from __future__ import annotations

from collections.abc import Iterator
from xml.sax.saxutils import escape, quoteattr

from soar.model.terms import Risk
from soar.playbook.drawing.boxes import STRIPE
from soar.playbook.drawing.shapes import (
    AgainBox,
    Badge,
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
    StepBox,
)
from soar.playbook.drawing.text import plain

__all__ = ["svg_of"]

_SANS = "Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif"
_CODE = "'DejaVu Sans Mono', 'Liberation Mono', Menlo, Consolas, monospace"
_INK, _FAINT, _RULE = "#1b2430", "#4c5866", "#5b6775"
_FILLS = {Risk.REVERSIBLE: "#fff9e8", Risk.DISRUPTIVE: "#fff0e0", Risk.DESTRUCTIVE: "#fde8e6"}
_EDGES = {Risk.REVERSIBLE: 1.4, Risk.DISRUPTIVE: 1.8, Risk.DESTRUCTIVE: 2.4}
_STRIPES = {
    Risk.REVERSIBLE: "url(#soar-reversible)",
    Risk.DISRUPTIVE: "url(#soar-disruptive)",
    Risk.DESTRUCTIVE: _INK,
}

_DEFS = f"""<defs>
<marker id="soar-arrow" viewBox="0 0 8 8" refX="7.5" refY="4" markerWidth="7" markerHeight="7" orient="auto">\
<path d="M0 0.5 8 4 0 7.5z" fill="{_INK}"/></marker>
<pattern id="soar-reversible" width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">\
<rect width="5" height="5" fill="#fff"/><rect width="1.6" height="5" fill="{_INK}"/></pattern>
<pattern id="soar-disruptive" width="4" height="4" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">\
<rect width="4" height="4" fill="#fff"/><path d="M0 0H4M0 0V4" stroke="{_INK}" stroke-width="2.2"/></pattern>
<pattern id="soar-failure" width="7" height="7" patternUnits="userSpaceOnUse" patternTransform="rotate(-45)">\
<rect width="7" height="7" fill="#f2f2f2"/><rect width="1" height="7" fill="#b9c0c8"/></pattern>
</defs>"""


def svg_of(drawing: Drawing) -> str:
    """Write a drawing as SVG 1.1."""
    width, height = _n(drawing.width), _n(drawing.height)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" role="img" aria-labelledby="soar-title soar-desc" '
        f'font-family="{_SANS}" fill="{_INK}">',
        f'<title id="soar-title">{_text(drawing.title)}</title>',
        f'<desc id="soar-desc">{_text(drawing.about)}</desc>',
        _DEFS,
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
    ]
    for shape in drawing.shapes:
        lines += _shape(shape)
    return "\n".join([*lines, "</svg>", ""])


def _shape(shape: Shape) -> Iterator[str]:
    match shape:
        case BandBox():
            yield from _band(shape)
        case Frame():
            yield from _frame(shape)
        case StepBox():
            yield from _step(shape)
        case AgainBox(rect=rect):
            yield _rect(rect, 'rx="13"', fill="#fff", stroke=_RULE, dashes="3 2")
            yield from map(_label, shape.labels)
        case Line():
            yield _line(shape)
        case Bar(rect=rect):
            yield f'<rect {_place(rect)} rx="1.5"/>'
        case Diamond(x=x, y=y, size=size):
            points = f"M{_n(x)} {_n(y - size)} {_n(x + size)} {_n(y)} {_n(x)} {_n(y + size)} {_n(x - size)} {_n(y)}z"
            yield f'<path d="{points}" fill="#fff" stroke="{_INK}" stroke-width="1.3"/>'
        case Dot(x=x, y=y, end=end):
            yield from _dot(x, y, end=end)
        case Key():
            yield from _key(shape)
        case Label():
            yield _label(shape)


def _band(band: BandBox) -> Iterator[str]:
    dashes = "6 3" if band.failure else ""
    yield _rect(band.rect, fill="#fff", stroke="#9aa5b1", dashes=dashes)
    yield _rect(
        band.head, fill="url(#soar-failure)" if band.failure else "#e9edf2", stroke="#9aa5b1", dashes=dashes
    )
    for label in band.labels:
        if band.failure:
            # A plain ground, so that the hatching does not run through the letters.
            spot = label.rect
            yield f'<rect {_place(Rect(spot.x - 3, spot.y - 1, spot.width + 6, spot.height + 2))} fill="#f2f2f2"/>'
        yield _label(label)


def _frame(frame: Frame) -> Iterator[str]:
    loop = frame.kind in ("foreach", "repeat")
    yield f"<g data-step={quoteattr(plain(frame.id))}><title>{_hover(frame.hover)}</title>"
    yield _rect(
        frame.rect,
        'rx="7"',
        fill="#f7f8fa",
        stroke=_RULE,
        width=1.6 if loop else 1.1,
        dashes="7 4" if loop else "",
    )
    y = _n(frame.head.bottom)
    yield f'<path d="M{_n(frame.head.x)} {y}H{_n(frame.head.right)}" stroke="#c3cad2"/>'
    yield from _icon(frame.kind, frame.head.x + 11, frame.head.y + 8)
    yield from map(_label, frame.labels)
    yield from (part for badge in frame.badges for part in _badge(badge))
    yield "</g>"


def _step(step: StepBox) -> Iterator[str]:
    rect, risk = step.rect, step.risk
    fill = _FILLS.get(risk, "#fff") if risk is not None else "#fff"
    yield f"<g data-step={quoteattr(plain(step.id))}><title>{_hover(step.hover)}</title>"
    width = _EDGES.get(risk, 1.1) if risk is not None else 1.1
    if step.kind == "playbook":
        yield _rect(
            Rect(rect.x + 4, rect.y + 4, rect.width, rect.height),
            'rx="4"',
            fill="#fff",
            stroke=_INK,
            width=1.1,
        )
    corner = 14 if step.kind in ("approve", "task") else 4
    yield _rect(rect, f'rx="{corner}"', fill=fill, stroke=_INK, width=width)
    if risk in _STRIPES:
        inside = Rect(rect.x + 1, rect.y + 4, STRIPE, rect.height - 8)
        yield f'<rect {_place(inside)} fill="{_STRIPES[risk]}"/>'
    sign = "read" if risk is Risk.READ else step.kind
    yield from _icon(sign, rect.x + 14, rect.y + 10)
    yield from map(_label, step.labels)
    yield from (part for badge in step.badges for part in _badge(badge))
    yield "</g>"


def _badge(badge: Badge) -> Iterator[str]:
    if badge.kind == "risk":
        yield _rect(badge.rect, 'rx="3"', fill=_INK, stroke=_INK)
        yield _label(badge.label, colour="#fff")
        return
    corner = 'rx="8.5"'
    yield _rect(badge.rect, corner, fill="#fff", stroke=_INK, width=1.6 if badge.kind == "mark" else 1)
    yield _label(badge.label)


def _line(line: Line) -> str:
    points = " ".join(f"{_n(x)},{_n(y)}" for x, y in line.points)
    arrow = ' marker-end="url(#soar-arrow)"' if line.arrow else ""
    dashes = ' stroke-dasharray="5 3"' if line.back else ""
    return f'<polyline points="{points}" fill="none" stroke="{_INK}" stroke-width="1.3"{dashes}{arrow}/>'


def _dot(x: float, y: float, *, end: bool) -> Iterator[str]:
    if end:
        yield f'<circle cx="{_n(x)}" cy="{_n(y)}" r="5" fill="#fff" stroke="{_INK}" stroke-width="1.3"/>'
    yield f'<circle cx="{_n(x)}" cy="{_n(y)}" r="{"2.6" if end else "5"}"/>'


def _key(key: Key) -> Iterator[str]:
    risk = next((one for one in Risk if one.value == key.sign), None)
    if risk in _STRIPES:
        rect = Rect(key.rect.x, key.rect.y, 16, 14)
        yield _rect(rect, 'rx="2"', fill=_STRIPES[risk], stroke=_INK)
    else:
        yield from _icon(key.sign, key.rect.x + 1, key.rect.y)
    yield _label(key.label)


_ICONS = {
    "read": '<circle cx="6" cy="6" r="4.4"/><path d="M9.2 9.2 13 13"/>',
    "action": '<path d="M7 1 13 13H1z"/><path d="M7 5.5V9M7 10.6V11"/>',
    "task": '<circle cx="7" cy="4" r="3"/><path d="M1 13.4C1 7.6 13 7.6 13 13.4z"/>',
    "approve": '<circle cx="7" cy="7" r="6"/><path d="M5 5.6C5 3 9.2 3 9.2 5.5 9.2 7.2 7.1 7 7.1 8.7M7.1 10.6V11"/>',
    "wait": '<circle cx="7" cy="7" r="6"/><path d="M7 3.4V7L9.6 8.8"/>',
    "set": '<path d="M2 5H12M2 9H12"/>',
    "playbook": '<path d="M4 1H13V10H4zM4 4H1V13H10V10"/>',
    "branch": '<path d="M7 1 13 7 7 13 1 7z"/>',
    "parallel": '<path d="M1 2H13M3 2V12M7 2V12M11 2V12M1 12H13"/>',
    "foreach": '<path d="M12 4.5A6 6 0 1 0 13 8M12.6 1V4.9H8.8"/>',
    "repeat": '<path d="M12 4.5A6 6 0 1 0 13 8M12.6 1V4.9H8.8"/>',
}
"""Signs of 14 by 14."""


def _icon(sign: str, x: float, y: float) -> Iterator[str]:
    shape = _ICONS.get(sign, _ICONS["set"])
    yield (
        f'<g transform="translate({_n(x)} {_n(y)})" fill="none" stroke="{_INK}" stroke-width="1.4" '
        f'stroke-linecap="round" stroke-linejoin="round">{shape}</g>'
    )


def _label(label: Label, colour: str = "") -> str:
    font = label.font
    told = [f'x="{_n(label.x)}" y="{_n(label.y)}" font-size="{_n(font.size)}"']
    told += ['text-anchor="middle"'] if label.centred else []
    told += ['font-weight="bold"'] if font.bold else []
    told += ['font-style="italic"'] if font.slanted else []
    told += [f'font-family="{_CODE}"'] if font.code else []
    fill = colour or (_FAINT if label.faint else "")
    told += [f'fill="{fill}"'] if fill else []
    return f"<text {' '.join(told)}>{_text(label.text)}</text>"


def _rect(rect: Rect, more: str = "", *, fill: str, stroke: str, width: float = 1, dashes: str = "") -> str:
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    more = f" {more}" if more else ""
    return f'<rect {_place(rect)}{more} fill="{fill}" stroke="{stroke}" stroke-width="{_n(width)}"{dashed}/>'


def _place(rect: Rect) -> str:
    return f'x="{_n(rect.x)}" y="{_n(rect.y)}" width="{_n(rect.width)}" height="{_n(rect.height)}"'


def _hover(lines: tuple[str, ...]) -> str:
    return "\n".join(_text(line) for line in lines)


def _text(text: str) -> str:
    return escape(plain(text))


def _n(number: float) -> str:
    """A number as short as it goes; the same on every machine."""
    return f"{number:.2f}".rstrip("0").rstrip(".")
