"""Ten trivial steps a run: an incident of ours beside a hand-written workflow with the same ten activities.

Both run in this process, one after the other, on one embedded Temporal server. The incident does more than the baseline
and is meant to: each step is on a hash-chained timeline that is written to the store. Read the ratio, not the seconds.

Usage: python benchmarks/bench_steps.py [RUNS]
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import BaseModel
from temporalio import activity, workflow
from temporalio.worker import Worker

from soar.actions.activities import action_activities
from soar.actions.calls import ActionCall
from soar.actions.contract import ActionContext, ActionServices, Definition, Params, action
from soar.engine.client import IncidentEngine
from soar.engine.messages import IncidentStart, PolicyInForce, ReportRequest
from soar.engine.workflow import IncidentWorkflow
from soar.model.alert import Alert
from soar.model.change import Result
from soar.model.events import ReportWritten
from soar.model.terms import Phase, Risk, Severity
from soar.model.timeline import TimelineEntry
from soar.playbook.compiler import compile_playbook
from soar.playbook.loader import load_playbook
from soar.runtime.client import connect
from soar.runtime.leave import leave
from soar.runtime.settings import load_settings
from soar.runtime.temporal_server import embedded_temporal
from soar.store import Store, migrate

STEPS = 10
INTO: dict[str, Definition] = {}


class Nothing(Params):
    """No parameters."""


class Done(BaseModel):
    """No findings."""

    summary: str


@action("bench.noop", risk=Risk.READ, phase=Phase.IDENTIFICATION, queue="orchestrator", into=INTO)
def noop(ctx: ActionContext, params: Nothing) -> Done:
    """Do nothing.

    Example::

        id: nothing
        do: bench.noop
    """
    del ctx, params
    return Done(summary="done")


@workflow.defn(sandboxed=False)
class Plain:
    """The baseline: what somebody would write by hand."""

    @workflow.run
    async def run(self, call: ActionCall) -> None:
        """Call the activity ten times, one after the other."""
        for _ in range(STEPS):
            await workflow.execute_activity(
                "bench.noop", call, result_type=Result, start_to_close_timeout=timedelta(seconds=30)
            )


class Activities:
    """The real store; no policy is asked and no report is written, since the steps are reads."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @activity.defn(name="store.project")
    async def project(self, entries: list[TimelineEntry]) -> None:
        """Keep entries."""
        await self._store.project(entries)

    @activity.defn(name="policy.current")
    async def policy(self) -> PolicyInForce:
        """There is none."""
        return PolicyInForce(policy=None)

    @activity.defn(name="report.write")
    async def report(self, request: ReportRequest) -> ReportWritten:
        """Not part of what is measured, but for the entries that come with it."""
        if request.entries:
            await self._store.project(request.entries)
        return ReportWritten(digests={"json": request.head_hash})


class NoEvidence:
    """Nothing is kept."""

    def keep(self, data: bytes) -> tuple[str, int]:
        """Keep nothing."""
        return "0" * 64, len(data)


async def timed(one: Callable[[], Awaitable[object]], runs: int, at_once: int) -> float:
    """Runs a second."""
    gate = asyncio.Semaphore(at_once)

    async def limited() -> None:
        async with gate:
            await one()

    started = time.perf_counter()
    await asyncio.gather(*(limited() for _ in range(runs)))
    return runs / (time.perf_counter() - started)


async def main(runs: int) -> None:
    """Measure and print."""
    steps = "\n".join(f"  - {{id: s{n}, do: bench.noop}}" for n in range(STEPS))
    head = "name: bench\ndescription: b\nmatch: {source: bench}\ncorrelate_by: [alert.uid]\n"
    text = f"{head}identification:\n{steps}\n"
    loaded = load_playbook(text, file="bench.yaml")
    graph = compile_playbook(loaded, {d.spec.name: d.spec for d in INTO.values()})
    folder = Path(tempfile.mkdtemp(prefix="soar-bench-"))
    settings = load_settings(home=folder)
    await migrate(settings.database)
    store = await Store.open(settings.database, synchronous="NORMAL")
    async with embedded_temporal(folder / "temporal.db") as server:
        client = await connect(settings, address=server.address)
        engine = IncidentEngine(client)
        with ThreadPoolExecutor(16) as executor:
            own = Activities(store)
            activities = action_activities(list(INTO.values()), ActionServices(NoEvidence()), executor)
            async with Worker(
                client,
                task_queue="orchestrator",
                workflows=[IncidentWorkflow, Plain],
                activities=[*activities, own.project, own.policy, own.report],
            ):

                async def incident() -> None:
                    uid = uuid.uuid4().hex
                    alert = Alert(
                        source="bench", uid=uid, title="b", severity=Severity.LOW, time=datetime.now(UTC)
                    )
                    start = IncidentStart(
                        incident_id=f"INC-{uid[:8]}",
                        title="b",
                        playbook="bench",
                        playbook_text=text,
                        playbook_digest=loaded.digest,
                        graph=graph,
                        correlation_key=uid,
                    )
                    wid = await engine.deliver(start, [alert])
                    assert wid is not None
                    await client.get_workflow_handle(wid).result()

                async def plain() -> None:
                    call = ActionCall(incident_id="b", step_id="s", params={})
                    await client.execute_workflow(
                        Plain.run, call, id=uuid.uuid4().hex, task_queue="orchestrator"
                    )

                await plain()
                await incident()
                print(f"{STEPS} steps a run, {runs} runs; steps a second")
                print(f"{'at once':>8} {'incident':>10} {'plain':>10} {'plain/incident':>15}")
                for at_once in (1, 20):
                    count = max(5, runs // 5) if at_once == 1 else runs
                    base = await timed(plain, count, at_once)
                    ours = await timed(incident, count, at_once)
                    print(f"{at_once:>8} {ours * STEPS:>10.0f} {base * STEPS:>10.0f} {base / ours:>15.2f}")
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 100))
    leave(0)
