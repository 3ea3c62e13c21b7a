"""Undo against all that crosses it: somebody else's change, a newer one of ours, another undo, a change at once."""

from __future__ import annotations

import asyncio
import threading
import time

from engine_world import AUTOMATIC, World, incident
from temporalio.testing import WorkflowEnvironment

HEAD = "name: lamps\nmatch: {source: test}\ncorrelate_by: [alert.uid]\n"


async def test_an_undo_that_found_somebody_elses_change_is_not_forced(env: WorkflowEnvironment) -> None:
    """What is refused is looked at once more when the rest is put back, as carefully as before."""
    playbook = f"""{HEAD}containment:
  - {{id: hall, do: lamp.switch, with: {{lamp: hall, to: "off"}}}}
  - {{id: yard, do: lamp.switch, with: {{lamp: yard, to: "off"}}}}
  - {{id: loft, do: lamp.look, with: {{lamp: loft}}}}
recovery:
  - {{id: all, do: incident.undo, with: {{all: true}}, on_error: continue}}
"""
    world = World(lamps={"hall": "on", "yard": "on", "loft": "on"})

    def faults(call: str) -> None:
        if call == "loft:look":
            world.lamps["hall"] = "blue"

    world.faults = faults
    async with incident(env, playbook, world=world, policy=AUTOMATIC) as run:
        ended = await run.end()
    assert world.lamps == {"hall": "blue", "yard": "on", "loft": "on"}
    assert [e.step_id for e in ended.residual] == ["hall"]


async def test_an_undo_and_a_change_of_one_target_are_one_after_the_other(env: WorkflowEnvironment) -> None:
    playbook = f"""{HEAD}containment:
  - {{id: dark, do: lamp.switch, with: {{lamp: hall, to: "off"}}}}
  - parallel:
      - [{{id: lift, do: incident.undo, with: {{step: dark}}, on_error: continue}}]
      - [{{id: alarm, do: lamp.switch, with: {{lamp: hall, to: red}}, on_error: continue}}]
recovery:
  - {{id: all, do: incident.undo, with: {{all: true}}, on_error: continue}}
"""
    checked, undone = threading.Event(), threading.Event()
    world = World(lamps={"hall": "on"})

    def faults(call: str) -> None:
        if call == "hall:apply" and world.calls.count("hall:apply") == 2:
            # The second change has looked at its target: were an undo let in now, it would be changed below it.
            checked.set()
            undone.wait(2)
            time.sleep(0.1)
        elif call == "hall:undo" and not undone.is_set():
            checked.wait(2)
        elif call == "hall:plan" and "hall:undo" in world.calls:
            undone.set()

    world.faults = faults
    async with incident(env, playbook, world=world, policy=AUTOMATIC) as run:
        ended = await run.end()
    assert world.lamps == {"hall": "on"} or ended.residual


async def test_an_older_change_is_not_undone_below_a_newer_one(env: WorkflowEnvironment) -> None:
    playbook = f"""{HEAD}containment:
  - {{id: dark, do: lamp.switch, with: {{lamp: hall, to: "off"}}}}
  - {{id: light, do: lamp.switch, with: {{lamp: hall, to: "on"}}}}
  - {{id: other, do: lamp.switch, with: {{lamp: yard, to: "off"}}}}
eradication:
  - {{id: lift, do: incident.undo, with: {{step: dark}}, on_error: continue}}
recovery:
  - {{id: all, do: incident.undo, with: {{all: true}}, on_error: continue}}
"""
    world = World(lamps={"hall": "on", "yard": "on"})
    async with incident(env, playbook, world=world, policy=AUTOMATIC) as run:
        ended = await run.end()
    error = ended.steps["lift"].error
    assert error is not None
    assert "a newer change stands on the same target: light" in error.message
    assert "other" not in error.message, "what is on another target stands in nobody's way"
    assert world.lamps == {"hall": "on", "yard": "on"}
    assert not ended.residual


async def test_two_undos_of_one_change_at_the_same_time(env: WorkflowEnvironment) -> None:
    playbook = f"""{HEAD}containment:
  - {{id: dark, do: lamp.switch, with: {{lamp: hall, to: "off"}}}}
  - parallel:
      - [{{id: one, do: incident.undo, with: {{step: dark}}, on_error: continue}}]
      - [{{id: two, do: incident.undo, with: {{step: dark}}, on_error: continue}}]
"""
    world = World(lamps={"hall": "on"})
    async with incident(env, playbook, world=world, policy=AUTOMATIC) as run:
        async with asyncio.timeout(60):
            ended = await run.end()
    assert world.lamps == {"hall": "on"}
    assert not ended.residual
    assert world.calls.count("hall:undo") == 1
