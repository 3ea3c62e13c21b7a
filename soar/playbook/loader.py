"""Playbook text to a typed playbook, with its version and the place of everything in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from soar.model.base import Digest, digest_of
from soar.model.terms import Phase
from soar.playbook.diagnostics import Diagnostic, PlaybookError
from soar.playbook.document import Document, Path, parse_yaml, validate
from soar.playbook.graph import StepGraph
from soar.playbook.schema import Playbook
from soar.playbook.steps import AnyStep, blocks_of

__all__ = ["MAX_STEPS", "LoadedPlaybook", "Path", "load_playbook"]

MAX_STEPS = 1000
"""Steps of one playbook. What each can read grows with those before it."""


@dataclass(frozen=True)
class LoadedPlaybook:
    """A playbook as read from one file.

    Args:
        file: The name for messages.
        text: The file's whole text.
        digest: Its version: the SHA-256 of what it says; comments, layout and the order of keys do not count.
        positions: Where everything stands.
        graph: What runs, where the playbook was not written in YAML; None: it is compiled from `playbook`.
    """

    playbook: Playbook
    file: str
    text: str = field(repr=False)
    digest: Digest
    positions: Document = field(repr=False)
    graph: StepGraph | None = field(default=None, repr=False)

    def diagnostic(self, path: Path, rule: str, message: str, hint: str = "", **more: Any) -> Diagnostic:
        """A finding at a place of this playbook (see `Document.diagnostic`)."""
        return self.positions.diagnostic(path, rule, message, hint, **more)


def load_playbook(text: str, *, file: str) -> LoadedPlaybook:
    """Read a playbook.

    Args:
        text: YAML 1.2.
        file: The name for messages.

    Returns:
        The playbook.

    Raises:
        PlaybookError: It cannot be used; each diagnostic has line and column.
    """
    document = parse_yaml(text, file=file)
    playbook = validate(document, Playbook)
    rows: list[tuple[Path, tuple[AnyStep, ...]]] = [((p.value,), playbook.steps_of(p)) for p in Phase]
    rows.append((("on_failure",), playbook.failure_steps))
    count = 0
    while rows:
        path, steps = rows.pop()
        count += len(steps)
        if count > MAX_STEPS:
            message, hint = f"it has more than {MAX_STEPS} steps", "let a step call another playbook"
            raise PlaybookError([document.diagnostic(path, "too-large", message, hint, key=True)])
        rows += [((*path, i, *b.key), b.steps) for i, step in enumerate(steps) for b in blocks_of(step)]
    return LoadedPlaybook(playbook, file, text, digest_of(document.data), document)
