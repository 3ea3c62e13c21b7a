"""`soar playbook plan`: what a playbook would do about an alert, by reading a real or a simulated account."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from soar.actions.registry import definitions
from soar.intake.accept import read_alerts
from soar.model.alert import Alert
from soar.model.base import Fact
from soar.playbook.match import correlation_key, matches
from soar.playbook.policy import Policy
from soar.playtest.server import test_server_binary
from soar.playtest.world import isolated_environment
from soar.rehearse.outcome import DryRun, read_dry_run
from soar.rehearse.prepare import Subject, throwaway_settings
from soar.rehearse.stage import Ledger, harmless_activities, open_stage
from soar.runtime.account import simulated_account
from soar.runtime.parts import Core
from soar.runtime.settings import Settings
from soar.runtime.worker import action_services
from soar.simulated.company import seed_company
from soar.simulated.scenarios import SCENARIOS
from soar.sources.registry import sources

__all__ = ["NotAnswered", "PlanReport", "plan_playbook"]

INCIDENT_ID = "INC-PLAN"


class NotAnswered(Exception):
    """The playbook does not answer these alerts; the message says why not."""


class PlanReport(Fact):
    """What a playbook would do.

    Args:
        version: The playbook's digest.
        on: `aws`: the real account was read; `simulated`: one that was made for this.
        scenario: What was done to the simulated account before; empty: nothing.
        policy: The digest of the policy that decided; empty: there is none.
        left_out: How many of the alerts would go to another incident.
        run: The dry run.
    """

    playbook: str
    version: str
    title: str
    severity: str
    account: str
    region: str
    on: str
    scenario: str
    policy: str
    alerts: int
    left_out: int
    run: DryRun

    @property
    def summary(self) -> str:
        """The last line: how many changes, and who decides about them."""
        forbidden = self.run.count("forbidden")
        automatic, approved = self.run.automatic, self.run.approved
        return (
            f"{automatic + approved + forbidden} changes: {automatic} automatic, {approved} after approval, "
            f"{forbidden} forbidden"
        )

    @property
    def passed(self) -> bool:
        """Whether no step failed, and none is forbidden."""
        return not (self.run.count("failed") or self.run.count("forbidden"))


async def plan_playbook(
    subject: Subject,
    alerts: Sequence[Alert],
    policy: Policy | None,
    *,
    on_aws: bool = False,
    scenario: str = "",
    timeout: float = 600,
) -> PlanReport:
    """Run a playbook dry.

    Args:
        alerts: What comes in. None, with a scenario: its finding.
        policy: What decides; None: there is none, and every change asks.
        on_aws: Read the real account, with the credentials and settings of the environment.
        scenario: What is done to the simulated account before; empty: nothing.
        timeout: Seconds that it may really take.

    Raises:
        NotAnswered: The playbook does not answer the alerts.
        DryRunFailed, TestServerMissing, SimulatedAccountError, SettingsError: It could not be run, with what to do.
    """
    test_server_binary()
    ledger = Ledger(policy)
    async with _account(alerts, on_aws=on_aws, scenario=scenario) as (settings, found):
        mine, left_out = _answered(subject, found)
        with ThreadPoolExecutor(8, thread_name_prefix="dry-run") as executor:
            async with open_stage(settings, ledger, lambda core: _reads(core, ledger, executor)) as stage:
                await stage.rehearse(subject.start(INCIDENT_ID, mine), mine, timeout=timeout)
    first = mine[0]
    return PlanReport(
        playbook=subject.name,
        version=subject.loaded.digest,
        title=first.title,
        severity=first.severity.label,
        account=first.account,
        region=first.region,
        on="aws" if on_aws else "simulated",
        scenario=scenario,
        policy=policy.digest if policy else "",
        alerts=len(mine),
        left_out=left_out,
        run=read_dry_run(ledger, INCIDENT_ID, subject.name, subject.graph),
    )


def _answered(subject: Subject, alerts: Sequence[Alert]) -> tuple[list[Alert], int]:
    """The alerts that would go to one incident of the playbook, and how many would not."""
    playbook = subject.loaded.playbook
    if playbook.match is None:  # other playbooks call it, with whatever their alert is
        return list(alerts), 0
    answered = [alert for alert in alerts if matches(playbook, alert).matched]
    if not answered:
        reasons = "; ".join(matches(playbook, alerts[0]).reasons)
        raise NotAnswered(f"{subject.name} does not answer {alerts[0].title!r}: {reasons}")
    key = correlation_key(playbook, answered[0])
    mine = [alert for alert in answered if correlation_key(playbook, alert) == key]
    return mine, len(alerts) - len(mine)


@contextlib.asynccontextmanager
async def _account(
    alerts: Sequence[Alert], *, on_aws: bool, scenario: str
) -> AsyncIterator[tuple[Settings, Sequence[Alert]]]:
    """The account that is read, as settings, and the alerts."""
    if on_aws:
        with throwaway_settings() as settings:
            yield settings, alerts
        return
    # A simulated account is never mixed with a real one: credentials and endpoints of this machine are hidden.
    with isolated_environment():
        async with simulated_account() as account:
            endpoint = account.endpoint_url
            attacked = await asyncio.to_thread(_seed, endpoint, scenario)
            with throwaway_settings(aws_endpoint_url=endpoint) as settings:
                yield settings, alerts or attacked


def _seed(endpoint: str, name: str) -> list[Alert]:
    """Make the company in the account, do to it what the scenario does, and return its finding."""
    company = seed_company(endpoint, now=datetime.now(UTC).replace(microsecond=0))
    if not name:
        return []
    scenario = SCENARIOS[name]
    finding = scenario.finding(scenario.seed(company))
    return read_alerts(sources()[scenario.source], json.dumps(finding).encode())


def _reads(core: Core, ledger: Ledger, executor: ThreadPoolExecutor) -> dict[str, list[Callable[..., Any]]]:
    """The harmless activities of every action that is installed, by task queue."""
    queues: dict[str, list[Any]] = {}
    for definition in definitions().values():
        queues.setdefault(definition.spec.queue, []).append(definition)
    return {
        queue: harmless_activities(found, action_services(core, queue), executor, ledger)
        for queue, found in queues.items()
    }
