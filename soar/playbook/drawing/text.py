"""How much room text takes, guessed so that it never takes more; wrapping and cutting.

Whoever looks at a drawing has fonts of their own. The widths are the widest of common sans-serif fonts (DejaVu Sans,
which is wider than Arial, Helvetica and Liberation Sans), character by character.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

__all__ = ["Font", "cut", "plain", "width_of", "wrapped"]

_NORMAL = (
    "32 41 46 84 64 96 78 28 40 40 50 84 32 37 32 34 64 64 64 64 64 64 64 64 "
    "64 64 34 34 84 84 84 56 102 69 69 73 78 67 62 78 76 30 50 67 56 87 75 79 "
    "67 79 73 67 62 74 69 99 69 67 69 40 34 40 84 56 50 62 64 55 64 62 36 64 "
    "64 28 28 58 28 98 64 62 64 64 42 53 40 64 60 82 60 60 53 64 34 64 84"
)
_BOLD = (
    "35 46 53 84 70 101 88 31 46 46 53 84 38 42 38 37 70 70 70 70 70 70 70 70 "
    "70 70 40 40 84 84 84 62 100 78 77 74 84 69 69 83 84 38 56 78 64 100 84 86 "
    "74 86 78 73 69 82 78 111 78 73 73 46 37 46 84 56 50 68 72 60 72 68 44 72 "
    "72 35 35 67 35 105 72 69 72 72 50 60 48 72 66 93 65 66 59 72 37 72 84"
)
_WIDTHS = {
    "normal": tuple(int(width) / 100 for width in _NORMAL.split()),
    "bold": tuple(int(width) / 100 for width in _BOLD.split()),
}
"""Of the printable ASCII characters, in parts of the font's size."""
_MONO = 0.61
_WIDE, _OTHER = 1.25, 1.15
_ELLIPSIS = "…"
_SIGNS = {
    "…": 1.0,
    "–": 0.6,
    "—": 1.05,
    "×": 0.84,
    "·": 0.4,
    "“": 0.7,
    "”": 0.7,
    "‘": 0.4,
    "’": 0.4,
    "„": 0.7,
}
_MARKS = 2
"""How many combining marks in a row are kept: more of them would climb over the line above."""
_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


@dataclass(frozen=True)
class Font:
    """A way of writing.

    Args:
        size: In units of the drawing, as every length.
        slanted: Italic.
        code: With letters of one width.
    """

    size: float
    bold: bool = False
    slanted: bool = False
    code: bool = False

    @property
    def line(self) -> float:
        """From one line to the next."""
        return round(self.size * 1.35, 2)


def plain(text: str) -> str:
    """Text on one line without anything that does not show, or that turns the order of what follows."""
    found: list[str] = []
    marks = 0
    for char in " ".join(text.split()):
        category = unicodedata.category(char)
        marks = marks + 1 if category in ("Mn", "Me") else 0
        if marks <= _MARKS:
            found.append("\ufffd" if category in _HIDDEN else char)
    return "".join(found)


def width_of(text: str, font: Font) -> float:
    """The most that a text takes."""
    return sum(_width(char, font) for char in text) * font.size


def _width(char: str, font: Font) -> float:
    if char in _SIGNS:
        return max(_SIGNS[char], _MONO) if font.code else _SIGNS[char]
    # An accent does not make a letter wider.
    char = unicodedata.normalize("NFD", char)[0] if "\u00c0" <= char <= "\u024f" else char
    if " " <= char <= "~":
        if font.code:
            return _MONO
        table = _WIDTHS["bold" if font.bold else "normal"]
        return table[ord(char) - 32] + (0.02 if font.slanted else 0)
    if unicodedata.category(char) in ("Mn", "Me"):
        return 0.0
    if unicodedata.east_asian_width(char) in ("W", "F"):
        return _WIDE
    # Ligatures for whole words are as wide as what they stand for.
    return _OTHER * max(1, len(unicodedata.normalize("NFKC", char)))


def cut(text: str, room: float, font: Font) -> str:
    """The text, or as much of it as there is room for, with an ellipsis."""
    if width_of(text, font) <= room:
        return text
    left = room - width_of(_ELLIPSIS, font)
    kept = ""
    for char in text:
        left -= _width(char, font) * font.size
        if left < 0:
            break
        kept += char
    return kept.rstrip() + _ELLIPSIS


def wrapped(text: str, room: float, font: Font, lines: int) -> tuple[str, ...]:
    """The text in lines of at most so much room; the last one is cut if more would be needed.

    Words are kept whole where they fit; a name of the program is broken after its dots and underscores.
    """
    found: list[str] = []
    rest = plain(text)
    while rest:
        if width_of(rest, font) <= room or len(found) == lines - 1:
            found.append(cut(rest, room, font))
            break
        end = _break(rest, room, font)
        found.append(rest[:end].rstrip())
        rest = rest[end:].lstrip()
    return tuple(found)


def _break(text: str, room: float, font: Font) -> int:
    """Where a line ends: after the last word that fits, else after a sign, else after the last character."""
    used, fits = 0.0, 0
    for index, char in enumerate(text):
        used += _width(char, font) * font.size
        if used > room:
            break
        fits = index + 1
    fits = max(fits, 1)
    space = text.rfind(" ", 0, fits + 1)
    if space > fits // 3:
        return space
    signs = max(text.rfind(sign, 0, fits) for sign in "._-/:,|)]")
    return signs + 1 if signs > fits // 3 else fits
