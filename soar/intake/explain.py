"""Why an alert is answered by a playbook, or is not: without any server."""

from __future__ import annotations

from soar.model.alert import Alert
from soar.model.base import Fact
from soar.playbook.library import Library
from soar.playbook.match import correlation_key

__all__ = ["Explanation", "explain"]


class Explanation(Fact):
    """What one playbook makes of an alert.

    Args:
        reasons: One line for each condition.
        correlation_key: Which incident it would go to; empty if the playbook does not answer it.
    """

    playbook: str
    matched: bool
    reasons: tuple[str, ...]
    correlation_key: str = ""


def explain(library: Library, alert: Alert) -> list[Explanation]:
    """Ask every playbook; those that answer come first."""
    found = [
        Explanation(
            playbook=loaded.playbook.name,
            matched=result.matched,
            reasons=result.reasons,
            correlation_key=correlation_key(loaded.playbook, alert) if result.matched else "",
        )
        for loaded, result in library.explain(alert)
    ]
    return sorted(found, key=lambda e: (not e.matched, e.playbook))
