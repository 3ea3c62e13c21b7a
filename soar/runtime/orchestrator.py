"""What the engine needs of the world and is no action: the store and the policy, as activities."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from temporalio import activity
from temporalio.exceptions import ApplicationError

from soar.engine.messages import PolicyInForce, Reserved, ReserveRequest
from soar.model.base import JsonObject
from soar.model.timeline import TimelineEntry
from soar.playbook.diagnostics import PlaybookError
from soar.playbook.policy import Policy, Spent, longest_window, reservation_refusal
from soar.runtime.policy_file import PolicyFile
from soar.store import Store

__all__ = ["OrchestratorActivities", "OwnDesk"]


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
        """The policy in force, and what its limits look at.

        While its file is broken this fails, and is tried again until it is mended.
        """
        policy, now = await self._read(), datetime.now(UTC)
        halt = await self._store.halted()
        if policy is None:
            return PolicyInForce(policy=None, halt=halt)
        window = longest_window(policy.budgets)
        spent = await self._store.changes_since(now - window) if window is not None else ()
        return PolicyInForce(policy=policy.resolved_at(now), halt=halt, spent=spent)

    @activity.defn(name="policy.reserve")
    async def reserve(self, request: ReserveRequest) -> Reserved:
        """Take a place in the budgets for a change that is about to begin, unless changes were halted since.

        Two incidents cannot both get the last place. The same change asking again keeps the place that it has.
        """
        policy, now = await self._read(), datetime.now(UTC)
        window = longest_window(policy.budgets) if policy is not None else None
        change = Spent(time=now, **request.model_dump())
        reason = await self._store.reserve(
            change,
            since=now - window if window is not None else None,
            refusal=lambda halt, spent: reservation_refusal(policy, change, halt, spent, now),
        )
        return Reserved(granted=not reason, reason=reason)

    async def _read(self) -> Policy | None:
        try:
            return await asyncio.to_thread(self._policy.current)
        except PlaybookError as error:
            raise ApplicationError(
                f"the policy cannot be used, so no change is made: {error}", type="PolicyBroken"
            ) from error


class OwnDesk:
    """The policy for the actions of a process that reaches it: the same answers, without an activity of their own.

    Args:
        own: Where they come from.
    """

    def __init__(self, own: OrchestratorActivities) -> None:
        self._own = own

    async def in_force(self) -> JsonObject:
        """See `OrchestratorActivities.current_policy`."""
        return (await self._own.current_policy()).model_dump(mode="json")

    async def reserve(self, request: JsonObject) -> str:
        """See `OrchestratorActivities.reserve`."""
        return (await self._own.reserve(ReserveRequest.model_validate(request))).reason
