"""Where in a file something is written, what to write instead, and doing so.

Fixes are edits of the text, so that comments and layout stay. They are made only where what is meant is beyond doubt,
and a fix that does not help, or makes something else wrong, is taken back.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

from soar.playbook.diagnostics import Diagnostic, Edit
from soar.playbook.document import Path, Position, Span
from soar.playbook.loader import LoadedPlaybook

__all__ = [
    "Check",
    "apply_edits",
    "fixed",
    "inserted",
    "lines_of",
    "places",
    "removed",
    "renamed",
    "word_places",
]

Check = Callable[[str], Sequence[Diagnostic]]
"""What is wrong with a text."""

# As YAML counts lines, which is not as Python's `splitlines` does.
_LINE = re.compile("\r\n|[\n\r\x85\u2028\u2029]")


class _Lines:
    """The offsets of a text's lines."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.starts = [0, *(found.end() for found in _LINE.finditer(text))]

    def offset(self, line: int, column: int) -> int:
        return min(self.starts[min(line, len(self.starts)) - 1] + column - 1, len(self.text))

    def position(self, offset: int) -> Position:
        low, high = 0, len(self.starts)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.starts[middle] <= offset else (low, middle)
        return Position(low + 1, offset - self.starts[low] + 1)

    def line(self, number: int) -> str:
        """A line without its end."""
        if number > len(self.starts):
            return ""
        end = self.starts[number] if number < len(self.starts) else len(self.text)
        return self.text[self.starts[number - 1] : end].rstrip("\r\n\x85\u2028\u2029")


@lru_cache(maxsize=4)
def _lines(text: str) -> _Lines:
    return _Lines(text)


def lines_of(text: str) -> list[str]:
    """The lines of a text, without their ends, as YAML counts them."""
    return _LINE.split(text)


def places(loaded: LoadedPlaybook, path: Path, names: tuple[str, ...]) -> list[Span]:
    """Where the expression at a path reads some names: the last of them, each time.

    Args:
        path: Where the expression stands.
        names: `alert.actor.name` is alert, actor, name.
    """
    pattern = r"(?<![\w.'\"])" + re.escape(names[0])
    for name in names[1:]:
        pattern += rf"\s*\[\s*{name}\s*\]" if name.lstrip("-").isdigit() else rf"\s*\.\s*{re.escape(name)}"
    return _found(loaded, path, re.compile(pattern + r"(?!\w)"), len(names[-1]))


def word_places(loaded: LoadedPlaybook, path: Path, word: str) -> list[Span]:
    """Where the value at a path holds a word."""
    return _found(loaded, path, re.compile(rf"(?<![\w.-]){re.escape(word)}(?![\w-])"), len(word))


def _found(loaded: LoadedPlaybook, path: Path, pattern: re.Pattern[str], length: int) -> list[Span]:
    span = loaded.positions.span(path)
    if span is None:
        return []
    lines = _lines(loaded.text)
    start, end = lines.offset(*span.start), lines.offset(*span.end)
    return [
        Span(lines.position(found.end() - length), lines.position(found.end()))
        for found in pattern.finditer(loaded.text, start, end)
    ]


def renamed(spans: Iterable[Span], new: str | None) -> tuple[Edit, ...]:
    """The edits that write a name for what stands at some places; none if there is no name."""
    if new is None:
        return ()
    return tuple(
        Edit(line=s.start.line, column=s.start.column, end_line=s.end.line, end_column=s.end.column, text=new)
        for s in spans
    )


def inserted(loaded: LoadedPlaybook, path: Path, after: str, key: str, value: str) -> tuple[Edit, ...]:
    """The edit that adds a field to a mapping.

    Args:
        path: Where the mapping stands.
        after: The field that it goes behind; its value is plain, and on one line.
    """
    mapping = loaded.positions.span(path)
    name = loaded.positions.span((*path, after), key=True)
    value_span = loaded.positions.span((*path, after))
    if mapping is None or name is None or value_span is None or name.start.line != value_span.end.line:
        return ()
    end = value_span.end
    new_line = "\r\n" if "\r\n" in loaded.text else "\n"
    text = (
        f", {key}: {value}" if mapping.flow else new_line + " " * (name.start.column - 1) + f"{key}: {value}"
    )
    if not mapping.flow:
        # Behind a comment on the same line.
        end = Position(end.line, len(_lines(loaded.text).line(end.line)) + 1)
    return (Edit(line=end.line, column=end.column, end_line=end.line, end_column=end.column, text=text),)


def removed(loaded: LoadedPlaybook, path: Path) -> tuple[Edit, ...]:
    """The edit that takes a field out of a mapping, with its lines. None where other things share those lines."""
    key, value = loaded.positions.span(path, key=True), loaded.positions.span(path)
    mapping = loaded.positions.span(path[:-1])
    if key is None or value is None or mapping is None or mapping.flow:
        return ()
    lines = _lines(loaded.text)
    # A block ends where the next thing begins, so only what is written on its lines says where it does.
    inner = [s for s in loaded.positions.spans_below(path) if s.quote not in ("|", ">")]
    scalars = [s.end.line for s in inner if s.flow or s.start.line == s.end.line]
    if len(inner) != len(loaded.positions.spans_below(path)) or not scalars:
        return ()
    last = max(scalars)
    before = lines.line(key.start.line)[: key.start.column - 1]
    if before.strip():
        return ()
    return (Edit(line=key.start.line, column=1, end_line=last + 1, end_column=1, text=""),)


def apply_edits(text: str, edits: Iterable[Edit]) -> str:
    """A text with some edits made. Of edits that overlap, the first is made."""
    lines = _lines(text)
    placed = sorted(
        {(lines.offset(e.line, e.column), lines.offset(e.end_line, e.end_column), e.text) for e in edits}
    )
    parts, at = [], 0
    for start, end, new in placed:
        if start < at:
            continue
        parts += [text[at:start], new]
        at = end
    return "".join(parts) + text[at:]


def fixed(text: str, check: Check, *, rounds: int = 200) -> tuple[str, list[Diagnostic]]:
    """Put right what can be put right.

    Args:
        check: What finds the rest. It must not fail on any text.
        rounds: How many fixes are tried at most.

    Returns:
        The text, and the findings that are gone. A fix is kept only if its own finding is gone and no other came.
    """
    found = list(check(text))
    done: list[Diagnostic] = []
    tried: set[tuple[str, str, tuple[Edit, ...]]] = set()
    together = True
    for _ in range(rounds):
        following = [d for d in found if d.fix and _what(d) not in tried]
        if not following:
            break
        # All at once, which is mostly right; only if it is not, one after the other.
        chosen = following if together else following[:1]
        better = apply_edits(text, (edit for finding in chosen for edit in finding.fix))
        left = list(check(better))
        if better != text and all(_helps(finding, found, left) for finding in chosen):
            text, found = better, left
            done += chosen
            tried.clear()  # what is left stands elsewhere now
        elif together and len(chosen) > 1:
            together = False
        else:
            tried |= {_what(finding) for finding in chosen}
    return text, done


def _what(finding: Diagnostic) -> tuple[str, str, tuple[Edit, ...]]:
    return finding.rule, finding.message, finding.fix


def _helps(finding: Diagnostic, before: list[Diagnostic], after: list[Diagnostic]) -> bool:
    def count(found: list[Diagnostic], severity: str) -> int:
        return sum(d.severity == severity for d in found)

    same = sum(_kind(d) == _kind(finding) for d in after)
    # A file that can be read at last may show more; until then only its first errors were seen.
    unread = any(d.rule in _UNREAD for d in before)
    worse = not unread and count(after, "error") > count(before, "error")
    return same < sum(_kind(d) == _kind(finding) for d in before) and not worse


_UNREAD = frozenset({"unknown-field", "unknown-value", "missing-field", "bad-name", "bad-value"})


def _kind(finding: Diagnostic) -> tuple[str, str]:
    return finding.rule, finding.message
