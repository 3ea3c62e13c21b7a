"""What is wrong with a playbook or a policy, and where."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Literal

from pydantic import Field

from soar.model.base import Fact

__all__ = ["Diagnostic", "PlaybookError", "nearest"]


class Diagnostic(Fact):
    """One finding, at one place of one file.

    Args:
        line: From 1.
        column: From 1.
        rule: The check that found it, `unknown-action`.
        message: What is wrong, with what.
        hint: What to do about it.
    """

    file: str
    line: int = Field(ge=1)
    column: int = Field(ge=1)
    severity: Literal["error", "warning"] = "error"
    rule: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        hint = f" ({self.hint})" if self.hint else ""
        kind = "warning: " if self.severity == "warning" else ""
        return f"{self.file}:{self.line}:{self.column}: {kind}{self.message}{hint}"


class PlaybookError(Exception):
    """A playbook or a policy cannot be used. `diagnostics` says why; `str()` is one line for each."""

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        self.diagnostics = tuple(sorted(diagnostics, key=lambda d: (d.file, d.line, d.column, d.message)))
        super().__init__("\n".join(str(d) for d in self.diagnostics))


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint with the known name that is nearest to a wrong one.

    Args:
        name: The name as written.
        known: The names that would have been right.

    Returns:
        `did you mean "x"?`, or what the names are if none is near, or nothing if there are none.
    """
    names = sorted(set(known))
    close = difflib.get_close_matches(name[:200], names, n=1, cutoff=0.6)
    if close:
        return f'did you mean "{close[0]}"?'
    if not names:
        return ""
    listed = ", ".join(names[:12])
    return f"known: {listed}{', …' if len(names) > 12 else ''}"
