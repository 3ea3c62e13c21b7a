"""What a playbook costs beside the same work written by hand as a Temporal workflow.

Three pairs, each run in this process, one after the other, on one embedded Temporal server:

- `trivial`: ten reads that do nothing, against the same ten activities in a hand-written workflow.
- `chain`: the same, but each waits for the result of the one before, so that the engine cannot group them.
- `realistic`: 12 reads, 3 changes (two beside each other), 2 notifications and 1 approval, against one activity
  for each of them, in turn. Once with actions that take no time, which shows what the engine itself costs, and once
  (`… 50 ms`) with actions that wait that long for each call, as for a cloud's API. Of a change, the hand-written
  workflow makes one call; ours makes four: the plan, the same again right before it is applied, the change, the check.

Ours does more than the hand-written ones and is meant to: each step is on a hash-chained timeline in a database, a
change is planned, decided on, applied and verified apart, and a report is written at the end. Read the ratios, not the
seconds: ours divided by the hand-written. CPU is of this process, which is worker and client of both. Neither runs in
the SDK's sandbox.

Usage: python benchmarks/interpreter.py [RUNS]
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from by_hand import STEPS, Realistic, Trivial
from pydantic import BaseModel
from temporalio import activity
from temporalio.client import Client
from temporalio.worker import Worker

from soar.actions.activities import action_activities
from soar.actions.calls import ActionCall
from soar.actions.contract import (
    Action,
    ActionContext,
    ActionServices,
    Definition,
    Draft,
    Params,
    Planned,
    StateBefore,
    action,
)
from soar.engine.client import EngineUnavailable, IncidentEngine
from soar.engine.messages import (
    IncidentStart,
    ReportRequest,
    VoteRequest,
)
from soar.engine.workflow import IncidentWorkflow
from soar.model.alert import Alert
from soar.model.base import digest_of
from soar.model.change import Change, Result, Target, Verification
from soar.model.events import ApprovalOpened, ReportWritten
from soar.model.people import Decision, Responder, VoteChannel
from soar.model.terms import Phase, Risk, Severity
from soar.model.timeline import TimelineEntry
from soar.playbook.compiler import compile_playbook
from soar.playbook.loader import LoadedPlaybook, load_playbook
from soar.runtime.client import connect
from soar.runtime.leave import leave
from soar.runtime.orchestrator import OrchestratorActivities, OwnDesk
from soar.runtime.policy_file import PolicyFile
from soar.runtime.settings import load_settings
from soar.runtime.temporal_server import embedded_temporal
from soar.runtime.worker import THREADS
from soar.store import Store, migrate

AT_ONCE = (1, 50, 200)
ALICE = Responder(id="alice", name="Alice", roles=("incident-commander",))
POLICY = (
    "version: 1\nresponders: [{id: alice, name: Alice, roles: [incident-commander]}]\n"
    "autonomy: [{match: {risk: [reversible]}, decide: automatic}]\n"
)
HEAD = (
    "name: bench\nmatch: {source: bench}\ncorrelate_by: [alert.uid]\nroles: {incident-commander: decides}\n"
)
TRIVIAL = f"{HEAD}identification:\n" + "".join(f"  - {{id: s{n}, do: bench.noop}}\n" for n in range(STEPS))
CHAIN = f"{HEAD}identification:\n  - {{id: s0, do: bench.noop}}\n" + "".join(
    f"  - {{id: s{n}, do: bench.noop, when: steps.s{n - 1}.status == 'succeeded'}}\n" for n in range(1, STEPS)
)
REALISTIC = (
    f"{HEAD}identification:\n"
    + "".join(f"  - {{id: r{n}, do: bench.noop}}\n" for n in range(12))
    + "containment:\n"
    + "  - {id: c0, do: bench.change, with: {number: 0}, approval: {role: incident-commander}}\n"
    + "  - parallel:\n"
    + "".join(
        f"      b{n}:\n        - {{id: c{n}, do: bench.change, with: {{number: {n}}}}}\n" for n in (1, 2)
    )
    + "lessons_learned:\n"
    + "".join(f"  - {{id: n{n}, do: bench.noop}}\n" for n in range(2))
)
INTO: dict[str, Definition] = {}
CALL = [0.0]
"""Seconds that a call of an action takes."""


class Nothing(Params):
    """No parameters."""


class Number(Params):
    """Which of several changes."""

    number: int


class Done(BaseModel):
    """No findings."""

    summary: str


class Before(StateBefore):
    """There is nothing to remember."""


@action("bench.noop", risk=Risk.READ, phase=Phase.IDENTIFICATION, queue="orchestrator", into=INTO)
def noop(ctx: ActionContext, params: Nothing) -> Done:
    """Do nothing.

    Example::

        id: nothing
        do: bench.noop
    """
    del ctx, params
    time.sleep(CALL[0])
    return Done(summary="done")


@action("bench.change", risk=Risk.REVERSIBLE, phase=Phase.CONTAINMENT, queue="orchestrator", into=INTO)
class ChangeNothing(Action[Number, Before]):
    """Go through all that a change goes through, and change nothing.

    Example::

        id: change
        do: bench.change
    """

    def plan(self, ctx: ActionContext, params: Number) -> Draft[Before]:  # noqa: ARG002
        """Plan it."""
        time.sleep(CALL[0])
        uid = f"thing-{params.number}"
        return Draft(
            summary=f"Change {uid}",
            targets=(Target(uid=uid, type="thing"),),
            changes=(Change(target=uid, field="is", before="old", after="new"),),
            state=Before(),
            undo="change it back",
        )

    def apply(self, ctx: ActionContext, planned: Planned[Number, Before]) -> Result:  # noqa: ARG002
        """Apply it."""
        time.sleep(CALL[0])
        return Result(summary="changed")

    def verify(self, ctx: ActionContext, planned: Planned[Number, Before]) -> Verification:  # noqa: ARG002
        """Verify it."""
        time.sleep(CALL[0])
        return Verification(verified=True, seen="it is new", method="look")

    def undo(self, ctx: ActionContext, planned: Planned[Number, Before]) -> Result:  # noqa: ARG002
        """Undo it."""
        return Result(summary="changed back")


class ShortReport:
    """The report's activity without the report: it is no part of what is compared."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @activity.defn(name="report.write")
    async def report(self, request: ReportRequest) -> ReportWritten:
        """Keep the entries that come with the request, and write nothing."""
        await self._store.project(request.entries)
        return ReportWritten(digests={"json": request.head_hash}, written_at=datetime.now(UTC))


class NoEvidence:
    """Nothing is kept."""

    def keep(self, data: bytes) -> tuple[str, int]:
        """Keep nothing."""
        return digest_of(data), len(data)


class People:
    """Who approves: told as soon as there is a question, by no way that costs either side anything.

    Args:
        own: Ours is known once the store has it, which is from where the chat and the console take it.
    """

    def __init__(self, own: OrchestratorActivities) -> None:
        self._own = own
        self._loop = asyncio.get_running_loop()
        self._questions: dict[str, asyncio.Future[Any]] = {}
        Realistic.asking = lambda wid: self._loop.call_soon_threadsafe(self._told, wid, None)

    async def asked(self, about: str) -> Any:
        """Wait for the question about an incident, or a workflow."""
        return await self._questions.setdefault(about, self._loop.create_future())

    def _told(self, about: str, question: object) -> None:
        self._questions.setdefault(about, self._loop.create_future()).set_result(question)

    @activity.defn(name="store.project")
    async def project(self, entries: list[TimelineEntry]) -> None:
        """See `OrchestratorActivities.project`."""
        await self._own.project(entries)
        for entry in entries:
            if isinstance(entry.event, ApprovalOpened):
                self._told(entry.incident_id, entry.event)


@dataclass(frozen=True)
class Cost:
    """What a number of runs cost: wall seconds, CPU seconds of this process, and the history of one run."""

    wall: float
    cpu: float
    events: int
    size: int


@dataclass(frozen=True)
class Bench:
    """The two ways of doing one thing."""

    client: Client
    engine: IncidentEngine
    people: People

    async def incident(self, loaded: LoadedPlaybook, *, asks: bool) -> str:
        """Run a playbook to its end."""
        uid = uuid.uuid4().hex
        alert = Alert(source="bench", uid=uid, title="b", severity=Severity.LOW, time=datetime.now(UTC))
        start = IncidentStart(
            incident_id=f"INC-{uid[:8]}",
            title="b",
            playbook="bench",
            playbook_text=loaded.text,
            playbook_digest=loaded.digest,
            graph=compile_playbook(loaded, {d.spec.name: d.spec for d in INTO.values()}),
            correlation_key=uid,
        )
        wid = await self.engine.deliver(start, [alert])
        assert wid is not None
        if asks:
            approval = await self.people.asked(start.incident_id)
            vote = VoteRequest(
                approval_id=approval.approval_id,
                plan_digest_prefix=approval.plan_digest[:12],
                responder=ALICE,
                decision=Decision.APPROVE,
                channel=VoteChannel.API,
            )
            while True:
                with contextlib.suppress(EngineUnavailable):  # more at once than the machine can take: again
                    await self.engine.vote(wid, vote, request_id=approval.approval_id)
                    break
                await asyncio.sleep(0.02)
        await self.client.get_workflow_handle(wid).result()
        return wid

    async def by_hand(self, kind: type[Trivial] | type[Realistic], *, asks: bool) -> str:
        """Run a hand-written workflow to its end."""
        wid = uuid.uuid4().hex
        call = ActionCall(incident_id="b", step_id="s", params={})
        handle = await self.client.start_workflow(kind.__name__, call, id=wid, task_queue="orchestrator")
        if asks:
            await self.people.asked(wid)
            await handle.execute_update(Realistic.approve)
        await handle.result()
        return wid

    async def cost(self, one: Callable[[], Awaitable[str]], runs: int, at_once: int) -> Cost:
        """Do something often, so many times at once."""
        gate = asyncio.Semaphore(at_once)

        async def limited() -> str:
            async with gate:
                return await one()

        wall, cpu = time.perf_counter(), time.process_time()
        ids = await asyncio.gather(*(limited() for _ in range(runs)))
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        history = await self.client.get_workflow_handle(ids[-1]).fetch_history()
        size = sum(event.ByteSize() for event in history.events)
        return Cost(wall, cpu, len(history.events), size)


@asynccontextmanager
async def bench() -> AsyncIterator[Bench]:
    """A server, a store and a worker."""
    folder = Path(tempfile.mkdtemp(prefix="soar-bench-"))
    settings = load_settings(home=folder)
    await migrate(settings.database)
    store = await Store.open(settings.database, synchronous="NORMAL")
    async with embedded_temporal(folder / "temporal.db") as server:
        client = await connect(settings, address=server.address)
        (folder / "policy.yaml").write_text(POLICY)
        own = OrchestratorActivities(store, PolicyFile(folder / "policy.yaml"))
        people = People(own)
        with ThreadPoolExecutor(THREADS) as executor:
            services = ActionServices(NoEvidence())
            activities = action_activities(list(INTO.values()), services, executor, OwnDesk(own))
            async with Worker(
                client,
                task_queue="orchestrator",
                workflows=[IncidentWorkflow, Trivial, Realistic],
                activities=[
                    *activities,
                    people.project,
                    own.current_policy,
                    own.reserve,
                    ShortReport(store).report,
                ],
            ):
                yield Bench(client, IncidentEngine(client), people)
    await store.close()


async def main(runs: int) -> None:
    """Measure both pairs and print the ratios."""
    async with bench() as found:
        print(f"{runs} runs each; ours / hand-written")
        print(f"{'':<10} {'at once':>8} {'wall':>6} {'CPU':>6} {'events':>14} {'bytes':>6} {'steps/s':>8}")
        for name, text, kind, asks, steps, call in (
            ("trivial", TRIVIAL, Trivial, False, STEPS, 0.0),
            ("chain", CHAIN, Trivial, False, STEPS, 0.0),
            ("realistic", REALISTIC, Realistic, True, 18, 0.0),
            ("… 50 ms", REALISTIC, Realistic, True, 18, 0.05),
        ):
            CALL[0] = call
            loaded = load_playbook(text, file=f"{name}.yaml")

            async def ours(loaded: LoadedPlaybook = loaded, asks: bool = asks) -> str:
                return await found.incident(loaded, asks=asks)

            async def theirs(kind: type[Trivial] | type[Realistic] = kind, asks: bool = asks) -> str:
                return await found.by_hand(kind, asks=asks)

            await theirs()
            await ours()
            for at_once in AT_ONCE:
                count = max(5, runs // 5) if at_once == 1 else max(runs, at_once)
                base = await found.cost(theirs, count, at_once)
                cost = await found.cost(ours, count, at_once)
                print(
                    f"{name:<10} {at_once:>8} {cost.wall / base.wall:>6.2f} {cost.cpu / base.cpu:>6.2f} "
                    f"{f'{cost.events} / {base.events}':>14} {cost.size / base.size:>6.1f} "
                    f"{count * steps / cost.wall:>8.0f}",
                    flush=True,
                )


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 100))
    leave(0)
