"""Playbook text to a typed playbook, with its version and the place of everything in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from soar.model.base import Digest, digest_of
from soar.playbook.diagnostics import Diagnostic
from soar.playbook.document import Document, Path, parse_yaml, validate
from soar.playbook.graph import StepGraph
from soar.playbook.schema import Playbook

__all__ = ["LoadedPlaybook", "Path", "load_playbook"]


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
    return LoadedPlaybook(playbook, file, text, digest_of(document.data), document)
