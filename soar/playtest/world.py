"""What a test runs on: the real system around a simulated account and a clock that skips.

A bench (the account's process, the store's empty tables) serves one test after the other; everything else is made
anew for each. Nothing of the system is replaced: the router, the workflow, the workers, the store, the vault and the
report are the ones that production runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from soar.actions.aws.access import AwsAccess
from soar.actions.contract import ActionServices
from soar.engine.messages import CHAT_QUEUE
from soar.intake.router import Router
from soar.model.base import JsonObject
from soar.playbook.library import Library
from soar.playtest.faults import FaultyAccount, faulty_account
from soar.playtest.files import LoadedTests
from soar.playtest.server import Clock, skipping_server
from soar.playtest.spec import TestCase
from soar.runtime.account import SimulatedAccount, simulated_account
from soar.runtime.parts import Deliver, Parts, open_parts
from soar.runtime.playbook_inputs import PlaybookInputs
from soar.runtime.settings import load_settings
from soar.runtime.worker import VaultSink, known_queues, run_workers
from soar.simulated.company import RESPONDER_ROLE, Company, seed_company
from soar.simulated.scenarios import SCENARIOS, Attack, Scenario
from soar.store import migrate

__all__ = ["Bench", "World", "bench", "isolated_environment", "make_empty_store", "open_world"]

_OURS = ("SOAR_", "SLACK_", "AWS_")


@contextlib.contextmanager
def isolated_environment() -> Iterator[None]:
    """Hide this machine's settings and credentials for a block: a test never meets a real account or workspace."""
    before = dict(os.environ)
    for name in before:
        if name.startswith(_OURS):
            del os.environ[name]
    os.environ.update(
        {
            "AWS_ACCESS_KEY_ID": "simulated",
            "AWS_SECRET_ACCESS_KEY": "simulated",
            "AWS_SESSION_TOKEN": "simulated",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
        }
    )
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@dataclass
class Bench:
    """What tests share, one after the other.

    Args:
        folder: Where each test gets a folder of its own.
        empty_store: See `make_empty_store`.
        used: How many tests have run here.
    """

    folder: Path
    account: SimulatedAccount
    empty_store: Path
    used: int = 0


async def make_empty_store(path: Path) -> None:
    """Make an SQLite file with the store's tables and nothing in them, which each test gets a copy of."""
    await migrate(f"sqlite+aiosqlite:///{path}")


@contextlib.asynccontextmanager
async def bench(folder: Path, empty_store: Path) -> AsyncIterator[Bench]:
    """Set a bench up for the length of a block.

    Args:
        folder: An existing, empty folder, for this bench alone.
        empty_store: See `make_empty_store`.

    Raises:
        SimulatedAccountError: With what to do.
    """
    async with simulated_account(log_file=folder / "account.log") as account:
        yield Bench(folder, account, empty_store)


@dataclass(frozen=True)
class World:
    """The running system of one test.

    Args:
        began: The clock's time at the beginning.
        faults: What the workers see of the account, where something in it is faulty.
        attack: What the scenario did; None without one.
    """

    parts: Parts
    router: Router
    clock: Clock
    began: datetime
    company: Company
    scenario: Scenario | None
    attack: Attack | None
    faults: FaultyAccount | None

    @property
    def facts(self) -> dict[str, str]:
        """The names that the scenario made, by its own keys."""
        return self.attack.facts if self.attack else {}

    @property
    def variables(self) -> JsonObject:
        """What templates of a test may read, besides what the incident adds."""
        return _variables(self.company, self.attack, self.began)

    def services(self) -> ActionServices:
        """What reads of a test use: the account itself, without its faults."""
        access = AwsAccess(endpoint_url=self.company.clients.endpoint_url)
        return ActionServices(VaultSink(self.parts.vault), access)


@contextlib.asynccontextmanager
async def open_world(place: Bench, tests: LoadedTests, case: TestCase) -> AsyncIterator[World]:
    """Make the world of one test for the length of a block.

    Raises:
        TestServerMissing, SimulatedAccountError: With what to do.
    """
    if place.used:
        await place.account.reset()
    place.used += 1
    home = Path(tempfile.mkdtemp(dir=place.folder))
    account = case.account or tests.file.account
    scenario = SCENARIOS[account.scenario] if account.scenario else None
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(shutil.rmtree, home, ignore_errors=True)
        address, clock = await stack.enter_async_context(skipping_server())
        endpoint = place.account.endpoint_url
        company, attack = await asyncio.to_thread(_seed, endpoint, scenario)
        principal = f"arn:aws:sts::{company.account}:assumed-role/{RESPONDER_ROLE}/soar"
        faults = await stack.enter_async_context(
            faulty_account(
                endpoint, account.faults, principal, _variables(company, attack, await clock.now())
            )
        )
        policy = home / "policy.yaml"
        policy.write_text(tests.policy_text, encoding="utf-8")
        inputs = home / "inputs.yaml"
        name = tests.playbook.playbook.name
        inputs.write_text(json.dumps({name: {**tests.file.inputs, **case.inputs}}), encoding="utf-8")
        shutil.copy(place.empty_store, home / "soar.db")
        settings = load_settings(
            home=home,
            policy_file=policy,
            aws_endpoint_url=faults.url if faults else endpoint,
            graceful_timeout=5,
        )
        parts = await stack.enter_async_context(open_parts(settings, temporal_address=address))
        queues = [queue for queue in known_queues() if queue != CHAT_QUEUE]
        await stack.enter_async_context(run_workers(parts, queues))
        library = Library([tests.playbook])
        router = Router(
            parts.store, library, Deliver(parts, tests.library, PlaybookInputs.load(inputs, library))
        )
        yield World(
            parts=parts,
            router=router,
            clock=clock,
            began=await clock.now(),
            company=company,
            scenario=scenario,
            attack=attack,
            faults=faults,
        )


def _variables(company: Company, attack: Attack | None, began: datetime) -> JsonObject:
    return {
        "facts": dict(attack.facts if attack else {}),
        "account": company.account,
        "region": company.region,
        "began": began.isoformat(),
        "buckets": dict(company.buckets),
        "users": {
            user.name: {"arn": user.arn, "access_key_id": user.access_key_id, "user_id": user.user_id}
            for user in company.users.values()
        },
        "secret_id": company.secret_id,
    }


def _seed(endpoint: str, scenario: Scenario | None) -> tuple[Company, Attack | None]:
    company = seed_company(endpoint, now=datetime.now(UTC).replace(microsecond=0))
    return company, scenario.seed(company) if scenario else None
