"""Where dry runs happen: the real workflow on a Temporal server of its own, which is gone afterwards.

Nothing that changes anything can be reached from here: the workers serve what they are given, which is reads and plans
(`harmless_activities`) or answers from a record, and no timeline, report or message leaves the process.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from temporalio import activity
from temporalio.client import Client
from temporalio.worker import Worker

from soar.actions.activities import HEARTBEAT_SECONDS, action_activities
from soar.actions.calls import ActionCall
from soar.actions.contract import ActionServices, Definition, ReadDefinition
from soar.engine.client import IncidentEngine
from soar.engine.messages import ORCHESTRATOR_QUEUE, IncidentStart, PolicyInForce, ReportRequest
from soar.engine.workflow import IncidentWorkflow
from soar.model.alert import Alert
from soar.model.change import Plan, Result
from soar.model.course import ChildOpened
from soar.model.events import ReportWritten
from soar.model.timeline import TimelineEntry
from soar.playbook.policy import Policy
from soar.playtest.server import Clock, skipping_server
from soar.playtest.standing import standing
from soar.runtime.parts import Core, open_core
from soar.runtime.settings import Settings

__all__ = ["DryRunFailed", "Ledger", "Stage", "harmless_activities", "open_stage"]

Activities = Mapping[str, Sequence[Callable[..., Any]]]
"""The activities of each task queue."""

_PAUSE, _LONGEST_PAUSE = 0.02, 0.25
_LOOKS = 20
"""How often in a row a workflow must be found with nothing to wait for, until it is believed."""
_A_LITTLE = timedelta(milliseconds=2)
_PATIENCE_SECONDS = 10.0
"""How long a workflow whose tasks fail is tried again: long enough for one that was lost, no use for a broken one."""
_LIMIT = timedelta(days=400)
"""On the workflow's clock: pauses between the rounds of a loop are skipped, but not for ever."""


class DryRunFailed(Exception):
    """A dry run did not come to its end; the message says why."""


@dataclass
class Ledger:
    """What came out of dry runs.

    Args:
        policy: What decides.
        timelines: By incident; those of called playbooks are incidents of their own.
        calls: What each step asked of its action, by incident and step.
    """

    policy: Policy | None
    timelines: dict[str, list[TimelineEntry]] = field(default_factory=dict)
    calls: dict[tuple[str, str], ActionCall] = field(default_factory=dict)

    def clear(self) -> None:
        """Forget what came out of earlier dry runs."""
        self.timelines.clear()
        self.calls.clear()

    def note(self, call: ActionCall) -> None:
        """Keep what a step asks."""
        self.calls[call.incident_id, call.step_id] = call

    def workflows(self) -> list[str]:
        """The workflows of all called playbooks."""
        return [c.workflow_id for incident in list(self.timelines) for c in self._children(incident)]

    def _children(self, incident_id: str) -> Iterator[ChildOpened]:
        for entry in self.timelines.get(incident_id, ()):
            if isinstance(entry.event, ChildOpened):
                yield entry.event

    def keep(self, entries: Sequence[TimelineEntry]) -> None:
        """Keep entries of one timeline; those that are kept already change nothing."""
        for entry in entries:
            kept = self.timelines.setdefault(entry.incident_id, [])
            if entry.seq == len(kept) + 1:
                kept.append(entry)

    @activity.defn(name="store.project")
    async def project(self, entries: list[TimelineEntry]) -> None:
        """Keep timeline entries, here and nowhere else."""
        self.keep(entries)

    @activity.defn(name="policy.current")
    async def current_policy(self) -> PolicyInForce:
        """The policy that the dry run is to be decided by; no halt, no budget that is used up."""
        policy = self.policy
        return PolicyInForce(policy=policy.resolved_at(datetime.now(UTC)) if policy else None)

    @activity.defn(name="report.write")
    async def no_report(self, request: ReportRequest) -> ReportWritten:
        """Keep the last entries, and write no report: nothing happened."""
        self.keep(request.entries)
        return ReportWritten(digests={}, written_at=datetime.now(UTC))


@dataclass(frozen=True)
class Stage:
    """A running server with its workers."""

    client: Client
    clock: Clock
    ledger: Ledger

    async def rehearse(self, start: IncidentStart, alerts: Sequence[Alert], *, timeout: float) -> None:
        """Run an incident dry, to its end; the ledger has its timeline then.

        Args:
            timeout: Seconds that it may really take.

        Raises:
            DryRunFailed: It did not come to its end.
            EngineUnavailable: The server died.
        """
        if not start.dry_run:
            raise ValueError("only dry runs are played here")
        workflow = await IncidentEngine(self.client).deliver(start, alerts)
        assert workflow is not None
        try:
            async with asyncio.timeout(timeout):
                await self._to_the_end(workflow)
        except TimeoutError:
            raise DryRunFailed(
                f"it took longer than {timeout:.0f} s: {self._last(start.incident_id)}"
            ) from None

    async def _to_the_end(self, workflow: str) -> None:
        pause, idle, troubled = _PAUSE, 0, 0.0
        end = await self.clock.now() + _LIMIT
        while True:
            looks = [await standing(self.client, w) for w in (workflow, *self.ledger.workflows())]
            running = [look for look in looks if look.running]
            if not running:
                return
            if any(look.busy for look in running):
                trouble = next((look.trouble for look in running if look.trouble), "")
                troubled = (troubled or time.monotonic()) if trouble else 0.0
                if troubled and time.monotonic() - troubled > _PATIENCE_SECONDS:
                    raise DryRunFailed(f"the workflow fails: {trouble}")
                # What works is waited for as long as it really takes: a service that throttles is not hurried.
                await asyncio.sleep(pause)
                pause = min(pause * 1.5, _LONGEST_PAUSE)
                continue
            pause = _PAUSE
            timers = [look.next_timer for look in running if look.next_timer]
            now = await self.clock.now()
            idle = 0 if timers else idle + 1
            if idle >= _LOOKS or (timers and min(timers) > end):
                raise DryRunFailed("it waits for something that never comes in a dry run")
            if idle:
                # It may have ended, or called a playbook, while it was looked at.
                await asyncio.sleep(_LONGEST_PAUSE)
                continue
            await self.clock.skip(max(min(timers) - now, timedelta(0)) + _A_LITTLE)

    def _last(self, incident_id: str) -> str:
        entries = self.ledger.timelines.get(incident_id)
        return f"it stands at entry {entries[-1].seq} ({entries[-1].summary})" if entries else "nothing began"


@contextlib.asynccontextmanager
async def open_stage(
    settings: Settings, ledger: Ledger, activities: Callable[[Core], Activities]
) -> AsyncIterator[Stage]:
    """Run a server and workers for the length of a block.

    Args:
        settings: Those of a home that is thrown away.
        ledger: What keeps the results.
        activities: Makes the activities of the actions.

    Raises:
        TestServerMissing, SettingsError: With what to do.
    """
    async with contextlib.AsyncExitStack() as stack:
        address, clock = await stack.enter_async_context(skipping_server())
        core = await open_core(settings, temporal_address=address)
        found = {queue: list(made) for queue, made in activities(core).items()}
        own: list[Callable[..., Any]] = [ledger.project, ledger.current_policy, ledger.no_report]
        found[ORCHESTRATOR_QUEUE] = [*found.get(ORCHESTRATOR_QUEUE, []), *own]
        for queue, made in found.items():
            workflows = [IncidentWorkflow] if queue == ORCHESTRATOR_QUEUE else []
            worker = Worker(
                core.temporal,
                task_queue=queue,
                workflows=workflows,
                activities=made,
                # A read may be slow on a busy machine: its heartbeats must not be held back.
                max_heartbeat_throttle_interval=timedelta(seconds=HEARTBEAT_SECONDS),
                default_heartbeat_throttle_interval=timedelta(seconds=HEARTBEAT_SECONDS),
            )
            await stack.enter_async_context(worker)
        yield Stage(core.temporal, clock, ledger)


def harmless_activities(
    definitions: Sequence[Definition], services: ActionServices, executor: Executor, ledger: Ledger
) -> list[Callable[..., Any]]:
    """The activities of actions that change nothing: the reads, and `:plan` of each change.

    Args:
        definitions: The actions of one task queue.
        services: What they may use.
        executor: The threads that their blocking code runs in.
        ledger: Told what is asked.
    """
    return [_harmless(definition, services, executor, ledger) for definition in definitions]


def _harmless(
    definition: Definition, services: ActionServices, executor: Executor, ledger: Ledger
) -> Callable[..., Any]:
    made = {one.__name__: one for one in action_activities([definition], services, executor)}
    if isinstance(definition, ReadDefinition):

        @activity.defn(name=definition.spec.name)
        async def read(call: ActionCall) -> Result:
            ledger.note(call)
            found: Result = await made["read"](call)
            return found

        return read

    @activity.defn(name=f"{definition.spec.name}:plan")
    async def plan(call: ActionCall) -> Plan:
        ledger.note(call)
        found: Plan = await made["plan"](call)
        return found

    return plan
