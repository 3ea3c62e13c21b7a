"""Every source that is installed."""

from __future__ import annotations

from soar.sources.contract import Source
from soar.sources.guardduty import GuardDuty

__all__ = ["sources"]


def sources() -> dict[str, Source]:
    """The sources by name."""
    return {source.name: source for source in (GuardDuty(),)}
