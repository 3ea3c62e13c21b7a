"""The timeline as a picture: phase bands, one lane per kind of actor. Numbers only; no text of an alert is in it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from soar.model.base import Fact
from soar.model.terms import Phase
from soar.model.timeline import ActorKind
from soar.reports.facts import milliseconds
from soar.reports.sections import PhaseSection, Report, TimelineRow
from soar.reports.text import duration, when

__all__ = ["Band", "Chart", "ChartRow", "Mark", "Tick", "timeline_chart"]

LEFT, RIGHT, TOP, LANE = 132, 944, 46, 34
LANES = ("Alerts", "People", "Changes", "Automatic")


class Band(Fact):
    """A phase on the time axis."""

    number: int
    label: str
    x: int
    width: int
    shown: str
    dark: bool


class Mark(Fact):
    """One or more entries that fall together; `half` is half its size."""

    lane: int
    x: int
    y: int
    half: int
    count: int
    title: str


class Tick(Fact):
    """A time on the axis."""

    x: int
    label: str
    anchor: str


class ChartRow(Fact):
    """The same as the picture, as a row of a table."""

    number: int
    label: str
    started: str
    ended: str
    time: str
    counts: tuple[int, ...]


class Chart(Fact):
    """What the template draws."""

    left: int
    right: int
    top: int
    bottom: int
    height: int
    description: str
    lanes: tuple[tuple[str, int], ...]
    bands: tuple[Band, ...]
    marks: tuple[Mark, ...]
    ticks: tuple[Tick, ...]
    rows: tuple[ChartRow, ...]


def timeline_chart(report: Report) -> Chart:
    """Lay the timeline out on a linear time axis."""
    times = [row.time for row in report.timeline]
    start, end = min(times), max(times)
    span = max(milliseconds(start, end), 1)

    def x(at: datetime) -> int:
        share = milliseconds(start, at) / span
        return LEFT + round(min(max(share, 0.0), 1.0) * (RIGHT - LEFT))

    bottom = TOP + LANE * len(LANES)
    bands = [
        _band(n, phase, x(phase.started_at), x(phase.ended_at or end))
        for n, phase in enumerate(report.response, 1)
        if phase.started_at is not None
    ]
    ticks = []
    for n in range(5):
        at = start + timedelta(milliseconds=span * n // 4)
        anchor = "start" if n == 0 else "end" if n == 4 else "middle"
        ticks.append(Tick(x=x(at), label=_tick(at, span), anchor=anchor))
    return Chart(
        left=LEFT,
        right=RIGHT,
        top=TOP,
        bottom=bottom,
        height=bottom + 46,
        description=(
            f"{len(report.timeline)} timeline entries from {when(start)} to {when(end)} UTC, in four lanes: alerts, "
            "people, changes to the account, and automatic steps. The table below the picture says the same."
        ),
        lanes=tuple((name, TOP + LANE * n + LANE // 2) for n, name in enumerate(LANES)),
        bands=tuple(bands),
        marks=_marks(report.timeline, [x(row.time) for row in report.timeline]),
        ticks=tuple(ticks),
        rows=_rows(report),
    )


def _band(number: int, phase: PhaseSection, left: int, right: int) -> Band:
    width = max(right - left, 1)
    label = phase.label.capitalize()
    full = f"{number} {label}"
    shown = full if width > 7 * len(full) else str(number) if width > 11 else ""
    return Band(number=number, label=label, x=left, width=width, shown=shown, dark=number % 2 == 0)


def _tick(at: datetime, span: int) -> str:
    if span >= 86_400_000:
        return f"{at:%m-%d %H:%M}"
    return f"{at:%H:%M:%S}" if span >= 20_000 else f"{at:%H:%M:%S}.{at.microsecond // 100_000}"


def lane(row: TimelineRow) -> int:
    """Which lane an entry is in."""
    if row.actor_kind is ActorKind.PERSON:
        return 1
    if row.actor_kind is ActorKind.SOURCE or row.kind == "alert.joined":
        return 0
    return 2 if row.kind.startswith("effect.") else 3


def _marks(rows: Sequence[TimelineRow], positions: Sequence[int]) -> tuple[Mark, ...]:
    cells: dict[tuple[int, int], list[int]] = {}
    for row, position in zip(rows, positions, strict=True):
        cells.setdefault((lane(row), position // 6), []).append(row.seq)
    marks = []
    for (number, cell), seqs in sorted(cells.items()):
        entries = f"entry {seqs[0]}" if len(seqs) == 1 else f"{len(seqs)} entries, {seqs[0]} to {seqs[-1]}"
        marks.append(
            Mark(
                lane=number,
                x=min(cell * 6 + 3, RIGHT),
                y=TOP + LANE * number + LANE // 2,
                half=4 if len(seqs) == 1 else 5 if len(seqs) < 5 else 7,
                count=len(seqs),
                title=f"{LANES[number]}: {entries}",
            )
        )
    return tuple(marks)


def _rows(report: Report) -> tuple[ChartRow, ...]:
    counts: dict[Phase | None, list[int]] = {}
    for row in report.timeline:
        counts.setdefault(row.phase, [0, 0, 0, 0])[lane(row)] += 1
    rows = []
    for number, phase in enumerate(report.response, 1):
        if phase.started_at is None:
            passed = "not reached"
        elif phase.milliseconds is None:
            passed = "not ended"
        else:
            passed = duration(phase.milliseconds)
        rows.append(
            ChartRow(
                number=number,
                label=phase.label.capitalize(),
                started=when(phase.started_at),
                ended=when(phase.ended_at),
                time=passed,
                counts=tuple(counts.get(phase.phase, [0, 0, 0, 0])),
            )
        )
    if None in counts:
        rows.append(
            ChartRow(
                number=0,
                label="Outside a phase",
                started="—",
                ended="—",
                time="—",
                counts=tuple(counts[None]),
            )
        )
    return tuple(rows)
