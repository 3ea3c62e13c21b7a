"""What is wrong with a playbook or a policy, and where."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Literal

from pydantic import Field

from soar.model.base import Fact

__all__ = ["Diagnostic", "Edit", "PlaybookError", "SeverityOfFinding", "near", "nearest"]

SeverityOfFinding = Literal["error", "warning", "info"]
"""An error: the playbook must not be used. A warning: it may do other than is meant. Info: it could be better."""


class Edit(Fact):
    """Text put in place of a part of a file. Lines and columns count from 1; the end is the place after the part."""

    line: int = Field(ge=1)
    column: int = Field(ge=1)
    end_line: int = Field(ge=1)
    end_column: int = Field(ge=1)
    text: str


class Diagnostic(Fact):
    """One finding, at one place of one file.

    Args:
        line: From 1.
        column: From 1.
        end_line: Where the part of the file ends that it is about, if that is known; with `end_column`, which is the
            place after it.
        rule: The check that found it, `unknown-action`.
        message: What is wrong, with what.
        hint: What to do about it.
        fix: What to change in the file to put it right, where that is beyond doubt.
    """

    file: str
    line: int = Field(ge=1)
    column: int = Field(ge=1)
    end_line: int | None = None
    end_column: int | None = None
    severity: SeverityOfFinding = "error"
    rule: str
    message: str
    hint: str = ""
    fix: tuple[Edit, ...] = ()

    @property
    def graded(self) -> str:
        """One line with the severity and the rule: `file:line:column: error[unknown-action]: message (hint)`."""
        hint = f" ({self.hint})" if self.hint else ""
        return f"{self.file}:{self.line}:{self.column}: {self.severity}[{self.rule}]: {self.message}{hint}"

    def __str__(self) -> str:
        hint = f" ({self.hint})" if self.hint else ""
        kind = "warning: " if self.severity == "warning" else ""
        return f"{self.file}:{self.line}:{self.column}: {kind}{self.message}{hint}"


class PlaybookError(Exception):
    """A playbook or a policy cannot be used. `diagnostics` says why; `str()` is one line for each."""

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        self.diagnostics = tuple(sorted(diagnostics, key=lambda d: (d.file, d.line, d.column, d.message)))
        super().__init__("\n".join(str(d) for d in self.diagnostics))


_NEAR = 0.6


def near(name: str, known: Iterable[str]) -> str | None:
    """The one known name that a wrong name is near to.

    Args:
        name: The name as written.
        known: The names that would have been right.

    Returns:
        It; None if no name is near, or if more than one is as near, so that nobody could tell which is meant.
    """
    names = sorted(set(known))
    close = difflib.get_close_matches(name[:200], names, n=2, cutoff=_NEAR)
    if len(close) == 2:
        first, second = (difflib.SequenceMatcher(a=c, b=name[:200]).ratio() for c in close)
        if first - second < 0.05:
            return None
    return close[0] if close else None


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint with the known name that is nearest to a wrong one.

    Args:
        name: The name as written.
        known: The names that would have been right.

    Returns:
        `did you mean "x"?`, or what the names are if none is near, or nothing if there are none.
    """
    names = sorted(set(known))
    close = difflib.get_close_matches(name[:200], names, n=1, cutoff=_NEAR)
    if close:
        return f'did you mean "{close[0]}"?'
    if not names:
        return ""
    listed = ", ".join(names[:12])
    return f"known: {listed}{', …' if len(names) > 12 else ''}"
