"""What a drawing is made of. Lengths are units of the drawing (pixels, at its own size); y grows downwards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Literal, TypeVar

from soar.model.terms import Risk
from soar.playbook.drawing.text import Font, width_of

__all__ = [
    "AgainBox",
    "Badge",
    "BandBox",
    "Bar",
    "Diamond",
    "Dot",
    "Drawing",
    "Frame",
    "Key",
    "Label",
    "Line",
    "Rect",
    "Shape",
    "StepBox",
    "moved",
]

T = TypeVar("T")


@dataclass(frozen=True)
class Rect:
    """An upright rectangle, by its upper left corner."""

    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        """Its right edge."""
        return self.x + self.width

    @property
    def bottom(self) -> float:
        """Its lower edge."""
        return self.y + self.height

    def holds(self, other: Rect) -> bool:
        """Whether another stands within it."""
        slack = 0.01
        return (
            self.x <= other.x + slack
            and self.y <= other.y + slack
            and other.right <= self.right + slack
            and other.bottom <= self.bottom + slack
        )

    def overlaps(self, other: Rect) -> bool:
        """Whether they have some area in common."""
        slack = 0.01
        return (
            self.x < other.right - slack
            and other.x < self.right - slack
            and self.y < other.bottom - slack
            and other.y < self.bottom - slack
        )


@dataclass(frozen=True)
class Label:
    """One line of text.

    Args:
        x: Where it begins; its middle, if it is centred.
        y: Its base line.
    """

    text: str
    x: float
    y: float
    font: Font
    centred: bool = False
    faint: bool = False

    @property
    def rect(self) -> Rect:
        """The most that it takes."""
        width = width_of(self.text, self.font)
        left = self.x - width / 2 if self.centred else self.x
        return Rect(left, self.y - self.font.size * 0.95, width, self.font.size * 1.2)


@dataclass(frozen=True)
class Badge:
    """A short text in a box of its own: a risk, or an approval."""

    kind: Literal["risk", "asks", "mark"]
    rect: Rect
    label: Label


@dataclass(frozen=True)
class StepBox:
    """A step that holds no others.

    Args:
        hover: What those see who point at it.
    """

    id: str
    kind: str
    risk: Risk | None
    rect: Rect
    labels: tuple[Label, ...]
    badges: tuple[Badge, ...]
    hover: tuple[str, ...]


@dataclass(frozen=True)
class Frame:
    """A step that holds others.

    Args:
        head: The part of it that has its labels.
    """

    id: str
    kind: str
    rect: Rect
    head: Rect
    labels: tuple[Label, ...]
    badges: tuple[Badge, ...]
    hover: tuple[str, ...]


@dataclass(frozen=True)
class AgainBox:
    """Says where a way goes on that leads to a step drawn elsewhere."""

    rect: Rect
    labels: tuple[Label, ...]


@dataclass(frozen=True)
class BandBox:
    """A phase.

    Args:
        head: Its left part, with its label.
        failure: It is about a failure, or a cancel.
    """

    rect: Rect
    head: Rect
    labels: tuple[Label, ...]
    failure: bool


@dataclass(frozen=True)
class Line:
    """What leads from one thing to the next, by its corners.

    Args:
        back: To an earlier one: the next round of a loop.
    """

    points: tuple[tuple[float, float], ...]
    arrow: bool = True
    back: bool = False


@dataclass(frozen=True)
class Bar:
    """Where branches begin or have all ended."""

    rect: Rect


@dataclass(frozen=True)
class Diamond:
    """Where ways part or meet, by its middle."""

    x: float
    y: float
    size: float = 7


@dataclass(frozen=True)
class Dot:
    """A beginning, or an end, by its middle.

    Args:
        end: Nothing follows.
    """

    x: float
    y: float
    end: bool


@dataclass(frozen=True)
class Key:
    """One sign of the legend.

    Args:
        sign: The kind of step, or the risk, that it explains.
    """

    sign: str
    rect: Rect
    label: Label


Shape = StepBox | Frame | AgainBox | BandBox | Line | Bar | Diamond | Dot | Key | Label


@dataclass(frozen=True)
class Drawing:
    """All that stands on the page, in the order in which it is painted.

    Args:
        about: One sentence for those who cannot see it.
    """

    title: str
    about: str
    width: float
    height: float
    shapes: tuple[Shape, ...]

    def of(self, kind: type[T]) -> Iterator[T]:
        """The shapes of one kind."""
        return (shape for shape in self.shapes if isinstance(shape, kind))


def moved(shape: Any, across: float, down: float) -> Any:
    """The same shape elsewhere, with all that belongs to it."""
    if isinstance(shape, tuple):
        if len(shape) == 2 and all(isinstance(part, float | int) for part in shape):
            return (shape[0] + across, shape[1] + down)
        return tuple(moved(part, across, down) for part in shape)
    if isinstance(shape, Font) or not is_dataclass(shape) or isinstance(shape, type):
        return shape
    update: dict[str, Any] = {}
    for field in fields(shape):
        value = getattr(shape, field.name)
        if field.name == "x":
            update["x"] = value + across
        elif field.name == "y":
            update["y"] = value + down
        elif isinstance(value, tuple) or is_dataclass(value):
            update[field.name] = moved(value, across, down)
    return replace(shape, **update)
