"""Incidents that outgrow one history: on a real Temporal server, which says when that is."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from engine_world import ALICE, BOB, CAROL, MIXED, World, alert, incident
from pydantic import JsonValue
from temporalio.client import Client
from test_engine_incident import vote

from soar.engine.messages import ExtendRequest, TaskRequest
from soar.evidence import open_vault
from soar.model.change import EffectStatus
from soar.model.terms import IncidentStatus
from soar.runtime.client import connect
from soar.runtime.settings import load_settings
from soar.runtime.temporal_server import embedded_temporal, ensure_search_attributes

HEAD = "name: lamps\nmatch: {source: test}\ncorrelate_by: [alert.uid]\nroles: {incident-commander: decides}\n"

STEPS = 20_000
ALERTS = 10_000

WAITING = """  - id: beside
    parallel:
      people:
        - {id: ask, task: {role: observer, instructions: Look.}}
      changes:
        - {id: smash, do: lamp.smash, with: {lamp: yard, to: broken}}
      expiring:
        - {id: dark, do: lamp.switch, expires: 30d, with: {lamp: hall}}
      work:
"""
"""Steps that wait for people and for time while others work."""


@pytest.fixture(autouse=True)
def only_what_these_tests_make_is_garbage() -> Iterator[None]:
    """As in a worker: what was loaded before is not looked through again and again."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@dataclass
class RealServer:
    """What `incident` needs of an environment."""

    client: Client
    supports_time_skipping: bool = False


@asynccontextmanager
async def real_server(folder: Path) -> AsyncIterator[RealServer]:
    async with embedded_temporal(folder / "temporal.db") as server:
        vault = open_vault(f"file://{folder}/vault")
        client = await connect(load_settings(home=folder), address=server.address, store=vault)
        await ensure_search_attributes(client)
        yield RealServer(client)


@pytest.mark.timeout(900)
async def test_an_incident_of_more_steps_than_one_history_holds(tmp_path: Path) -> None:
    playbook = (
        f"{HEAD}containment:\n{WAITING}"
        + """        - id: each
          foreach: inputs.numbers
          concurrency: 50
          collect: item
          steps:
            - {id: look, do: lamp.look, with: {lamp: loft}}
            - {id: again, do: lamp.look, with: {lamp: loft}}
inputs: {numbers: {type: list, default: []}}
"""
    )
    world = World(lamps={"hall": "on", "yard": "on", "loft": "on"})
    numbers: list[JsonValue] = list(range(STEPS // 2))
    async with (
        real_server(tmp_path) as env,
        incident(env, playbook, world=world, policy=MIXED, inputs={"numbers": numbers}, patient=True) as run,
    ):
        while True:
            await asyncio.sleep(1)
            state = await run.engine.state(run.workflow_id)
            if "each" in state.steps and state.steps["each"].status.ended:
                break
        assert state.continued >= 1
        assert [t.step_id for t in state.open_tasks] == ["ask"]
        assert [a.step_id for a in state.open_approvals] == ["smash"]
        assert state.effects["dark"].expires_at is not None
        result = state.steps["each"].result
        assert result is not None
        assert result.data == {"items": numbers, "count": len(numbers), "failed": 0}
        assert world.calls.count("loft:look") == STEPS, "none is left out, and none is done twice"

        approval = state.open_approvals[0].id
        for who in (ALICE, BOB):
            assert (await vote(run, who, approval=approval)).accepted
        request = TaskRequest(step_id="ask", responder=CAROL)
        assert (await run.engine.tell(run.workflow_id, "complete_task", request, request_id="t")).accepted
        keep = ExtendRequest(step_id="dark", responder=ALICE, seconds=None)
        assert (await run.engine.tell(run.workflow_id, "extend", keep, request_id="k")).accepted
        ended = await run.end()
        assert await run.replay() == ended.continued + 1
    assert ended.status is IncidentStatus.CLOSED
    assert ended.contained_at is not None
    assert ended.effects["smash"].status is EffectStatus.VERIFIED
    assert len([e for e in run.recorded.entries if e.kind == "step.succeeded"]) == STEPS + 4


async def test_an_incident_that_receives_10000_further_alerts(tmp_path: Path) -> None:
    playbook = f"""{HEAD}identification:
  - {{id: gone, wait: {{alert: 'alert.title == "it is over"', limit: 1d}}}}
containment:
  - {{id: dark, do: lamp.switch, with: {{lamp: hall}}}}
"""
    async with real_server(tmp_path) as env, incident(env, playbook, patient=True) as run:
        await run.until(lambda i: "gone" in i.steps)
        handle = run.client.get_workflow_handle(run.workflow_id)
        for first in range(0, ALERTS, 4):
            # Batches overlap: the same alert comes twice.
            await handle.signal("alerts", [alert(f"b-{n}") for n in range(first, first + 5)])
        await handle.signal("alerts", [alert("last", title="it is over")])
        await run.approval()
        assert (await vote(run, ALICE)).accepted
        ended = await run.end()
    assert ended.alert_count == ALERTS + 3
    assert ended.continued >= 1
    assert ended.status is IncidentStatus.CLOSED
