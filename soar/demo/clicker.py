"""Clicking through the simulated workspace's own buttons, for a demonstration that nobody watches.

Each click takes the way of a person's: a signed payload to the app's interactivity URL. Nothing is approved by
any other way.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

from soar.demo.world import APPROVERS
from soar.model.incident import Incident
from soar.model.people import Decision
from soar.simulated.workspace import SimulatedWorkspace

__all__ = ["Clicker"]

APPROVE = "vote.approve"
_log = logging.getLogger("soar.demo")


class Clicker:
    """Clicks Approve on every card that waits, as different people."""

    def __init__(self, workspace: SimulatedWorkspace) -> None:
        self._workspace = workspace
        self._clicked: set[tuple[str, str]] = set()

    async def approve(self, incident: Incident) -> None:
        """Let each person who is still missing click on each open approval of an incident."""
        for approval in incident.open_approvals:
            voted = {v.responder for v in approval.votes if v.decision is Decision.APPROVE}
            for person in APPROVERS[: approval.needed]:
                if len(voted) >= approval.needed or (approval.id, person) in self._clicked:
                    continue
                for channel, ts in list(self._cards(approval.id)):
                    status = await self._workspace.click(
                        user=person, channel=channel, ts=ts, action_id=APPROVE, value=approval.id
                    )
                    if status == 200:
                        self._clicked.add((approval.id, person))
                    else:
                        _log.warning("demo.click_refused", extra={"status": status, "approval": approval.id})

    def _cards(self, value: str) -> Iterator[tuple[str, str]]:
        for channel in self._workspace.state.channels.values():
            for message in channel.messages:
                elements = (e for block in message.blocks for e in block.get("elements", ()))
                if any(e.get("action_id") == APPROVE and e.get("value") == value for e in elements):
                    yield channel.id, message.ts
