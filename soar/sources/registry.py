"""Every source that is installed."""

from __future__ import annotations

from soar.sources.cloudtrail import CloudTrail
from soar.sources.contract import Source
from soar.sources.guardduty import GuardDuty
from soar.sources.securityhub import SecurityHub

__all__ = ["sources"]


def sources() -> dict[str, Source]:
    """The sources by name."""
    return {source.name: source for source in (GuardDuty(), SecurityHub(), CloudTrail())}
