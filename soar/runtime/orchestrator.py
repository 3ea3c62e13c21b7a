"""What the engine needs of the world and is no action: the store and the policy, as activities."""

from __future__ import annotations

import asyncio

from temporalio import activity
from temporalio.exceptions import ApplicationError

from soar.engine.messages import PolicyInForce
from soar.model.timeline import TimelineEntry
from soar.playbook.diagnostics import PlaybookError
from soar.runtime.policy_file import PolicyFile
from soar.store import Store

__all__ = ["OrchestratorActivities"]


class OrchestratorActivities:
    """The activities of the queue `orchestrator` besides the report.

    Args:
        store: Where timelines are kept.
        policy: Where the policy is read.
    """

    def __init__(self, store: Store, policy: PolicyFile) -> None:
        self._store, self._policy = store, policy

    @activity.defn(name="store.project")
    async def project(self, entries: list[TimelineEntry]) -> None:
        """Keep timeline entries; those that are kept already change nothing."""
        await self._store.project(entries)

    @activity.defn(name="policy.current")
    async def current_policy(self) -> PolicyInForce:
        """The policy in force. While its file is broken this fails, and is tried again until it is mended."""
        try:
            return PolicyInForce(policy=await asyncio.to_thread(self._policy.current))
        except PlaybookError as error:
            raise ApplicationError(
                f"the policy cannot be used, so no change is made: {error}", type="PolicyBroken"
            ) from error
