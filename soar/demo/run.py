"""The course of the demonstration: attacks, findings, incidents, checks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import httpx

from soar.demo.clicker import Clicker
from soar.demo.world import DemoWorld
from soar.model.incident import Incident
from soar.model.timeline import ChainBroken, verify_chain
from soar.simulated.scenarios import SCENARIOS, Attack, Check, Scenario
from soar.sources.auth import sign

__all__ = ["DemoFailed", "Outcome", "run_scenarios"]

POLL_SECONDS = 0.25
PATIENCE_SECONDS = 600.0
"""How long an unattended run may take."""


class DemoFailed(Exception):
    """The demonstration cannot go on."""


@dataclass
class Outcome:
    """One scenario, from the attack to the checks.

    Args:
        failures: What is not as it should be; empty: all is well.
    """

    scenario: Scenario
    attack: Attack
    alert_id: str
    incident: Incident | None = None
    checks: list[Check] = field(default_factory=list)
    reports: dict[str, Path] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)


async def run_scenarios(
    world: DemoWorld,
    names: Sequence[str],
    *,
    yes: bool,
    out: Path,
    progress: Callable[[str], None],
    watch: Callable[[Sequence[Outcome]], None],
) -> list[Outcome]:
    """Let the attacks happen, deliver their findings, and follow the incidents to their end.

    Args:
        names: Of the scenarios.
        yes: Click Approve for the people (only in the simulated workspace).
        out: Where the reports are copied to.
        watch: Shown the state again and again.

    Raises:
        DemoFailed: A finding was not taken, or an unattended run did not come to its end.
    """
    outcomes = []
    for name in names:
        scenario = SCENARIOS[name]
        progress(f"attack: {scenario.title}")
        attack = await asyncio.to_thread(scenario.seed, world.company)
        outcomes.append(Outcome(scenario, attack, await _deliver(world, scenario, attack)))
    clicker = Clicker(world.workspace) if yes and world.workspace else None
    async with asyncio.timeout(PATIENCE_SECONDS if yes else None):
        await _follow(world, outcomes, clicker, watch)
    for outcome in outcomes:
        await _examine(world, outcome, out)
    return outcomes


async def _deliver(world: DemoWorld, scenario: Scenario, attack: Attack) -> str:
    """Post the finding to the webhook, signed, as its source would."""
    body = json.dumps(scenario.finding(attack)).encode()
    headers = {"Content-Type": "application/json", **sign(world.source_secret, body, datetime.now(UTC))}
    async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
        reply = await http.post(f"{world.stack.url}/hooks/{scenario.source}", content=body, headers=headers)
    if reply.status_code != 202:
        raise DemoFailed(f"the webhook answered {reply.status_code}: {reply.text[:500]}")
    alert_id: str = reply.json()["alerts"][0]
    return alert_id


async def _follow(
    world: DemoWorld,
    outcomes: Sequence[Outcome],
    clicker: Clicker | None,
    watch: Callable[[Sequence[Outcome]], None],
) -> None:
    store = world.stack.parts.store
    while True:
        for outcome in outcomes:
            row = await store.alert(outcome.alert_id)
            if row is not None and row.status == "unmatched":
                raise DemoFailed(f"no playbook answered {outcome.scenario.name}: {row.reason}")
            if row is not None and row.incident_id:
                outcome.incident = await store.incident(row.incident_id)
            incident = outcome.incident
            if incident is not None and clicker is not None:
                if incident.needing_attention:
                    step = incident.needing_attention[0]
                    why = step.error.message if step.error else ""
                    raise DemoFailed(f"{incident.id}: step {step.id} needs a person's decision: {why}")
                await clicker.approve(incident)
        watch(outcomes)
        if all(
            o.incident is not None and o.incident.status.ended and _reported(o.incident) for o in outcomes
        ):
            return
        await asyncio.sleep(POLL_SECONDS)


def _reported(incident: Incident) -> bool:
    """Whether the last word on the timeline is the final report, or why there is none."""
    return bool(incident.reports) or bool(incident.notes)


async def _examine(world: DemoWorld, outcome: Outcome, out: Path) -> None:
    """Read the account apart from our actions, check the record, and take the reports out."""
    incident = outcome.incident
    assert incident is not None
    outcome.checks = await asyncio.to_thread(outcome.scenario.check, world.company.clients, outcome.attack)
    outcome.failures += [f"{check.name}: {check.seen}" for check in outcome.checks if not check.ok]
    if incident.contained_at is None:
        outcome.failures.append("containment was not verified")
    handle = world.stack.parts.temporal.get_workflow_handle(incident.workflow_id)
    await handle.result()
    outcome.incident = incident = await world.stack.parts.store.incident(incident.id) or incident
    timeline = await world.stack.parts.store.timeline(incident.id, limit=100_000)
    try:
        verify_chain(timeline, incident.id)
    except ChainBroken as error:
        outcome.failures.append(str(error))
    folder = out / incident.id
    folder.mkdir(parents=True, exist_ok=True)
    for form, digest in incident.reports.items():
        path = outcome.reports[form] = folder / f"report.{form}"
        path.write_bytes(await world.stack.parts.vault.get(digest))
    missing = {"json", "html", "md"} - outcome.reports.keys()
    if missing:
        outcome.failures.append(f"reports are missing: {', '.join(sorted(missing))}")
