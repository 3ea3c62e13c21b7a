"""A real moto server, reset for each test, and the framework's own activities to drive actions through."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from botocore.loaders import create_loader
from moto.server import ThreadedMotoServer
from temporalio import activity
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from soar.actions.activities import action_activities
from soar.actions.aws.access import AwsAccess
from soar.actions.aws.permissions import permissions_for
from soar.actions.calls import ActionCall, ApplyCall, UndoCall, UndoReply
from soar.actions.contract import ActionContext, ActionServices, Definition
from soar.actions.registry import definitions as all_definitions
from soar.model.base import JsonObject
from soar.model.change import Plan, Result, Verification
from soar.runtime.account import IMAGES_FILE
from soar.simulated.base import AccountClients

os.environ["MOTO_AMIS_PATH"] = str(IMAGES_FILE)

LOADER = create_loader()
"""The service models, read once for all tests: that of EC2 alone takes a tenth of a second."""


class Crash(Exception):
    """The worker died here."""


@dataclass
class MemoryVault:
    """Evidence in memory, by digest."""

    kept: dict[str, bytes] = field(default_factory=dict)

    def keep(self, data: bytes) -> tuple[str, int]:
        digest = hashlib.sha256(data).hexdigest()
        self.kept[digest] = data
        return digest, len(data)


@dataclass
class Wire:
    """Watches every call that actions send, and can cut the line after the n-th one.

    Args:
        crash_after: Raise `Crash` once so many calls have been answered; None: never.
        calls: The operations sent, in order.
    """

    crash_after: int | None = None
    calls: list[str] = field(default_factory=list)

    def sent(self, model: Any, **_: Any) -> None:
        service = model.service_model
        operation = f"{service.service_name}:{model.name}"
        self.calls.append(operation)

    def answered(self, **_: Any) -> None:
        if self.crash_after is not None and len(self.calls) >= self.crash_after:
            raise Crash(self.calls[-1])


@dataclass
class Actions:
    """Runs actions as a worker does: through their Temporal activities.

    Args:
        access: The clients that the actions use.
        vault: What they kept as evidence.
        wire: What they sent.
    """

    access: AwsAccess
    vault: MemoryVault
    wire: Wire
    services: ActionServices
    executor: ThreadPoolExecutor
    definitions: dict[str, Definition]
    incident_id: str = "inc-1"
    step_id: str = "step-1"
    region: str = "us-east-1"
    account: str = ""

    def context(self, *, attempt: int = 1) -> ActionContext:
        """A context to call an action's own methods with."""
        return ActionContext(
            services=self.services,
            incident_id=self.incident_id,
            step_id=self.step_id,
            account=self.account,
            region=self.region,
            attempt=attempt,
        )

    async def _run(self, name: str, verb: str, call: Any, attempt: int = 1) -> Any:
        made = action_activities([self.definitions[name]], self.services, self.executor)
        wanted = name + (f":{verb}" if verb else "")
        by_name = {activity._Definition.must_from_callable(a).name: a for a in made}
        environment = ActivityEnvironment()
        environment.info = dataclasses.replace(environment.info, attempt=attempt)
        first = len(self.wire.calls)
        try:
            return await environment.run(by_name[wanted], call)
        finally:
            self._only_what_is_declared(name, self.wire.calls[first:])

    def _only_what_is_declared(self, name: str, operations: list[str]) -> None:
        """Whatever an action sends in any test, its declared permissions must allow."""
        declared = set(self.definitions[name].spec.permissions)
        for operation in operations:
            missing = permissions_for(operation) - declared
            assert not missing, f"{name} sent {operation} and does not declare {missing}"

    def _call(self, params: JsonObject) -> ActionCall:
        return ActionCall(
            incident_id=self.incident_id,
            step_id=self.step_id,
            account=self.account,
            region=self.region,
            params=params,
        )

    async def read(self, name: str, /, **params: Any) -> Result:
        """Run a read."""
        found: Result = await self._run(name, "", self._call(params))
        return found

    async def plan(self, name: str, /, **params: Any) -> Plan:
        """Make a plan."""
        made: Plan = await self._run(name, "plan", self._call(params))
        return made

    async def apply(self, plan: Plan, *, attempt: int = 1) -> Result:
        """Apply a plan; it is planned anew first, as in production."""
        call = ApplyCall(incident_id=self.incident_id, step_id=self.step_id, plan=plan)
        done: Result = await self._run(plan.action, "apply", call, attempt)
        return done

    async def verify(self, plan: Plan) -> Verification:
        """Verify a plan, with the framework's polling."""
        call = ApplyCall(incident_id=self.incident_id, step_id=self.step_id, plan=plan)
        seen: Verification = await self._run(plan.action, "verify", call)
        return seen

    def look(self, plan: Plan) -> Verification:
        """One look only: for what must not be verified."""
        definition: Any = self.definitions[plan.action]
        seen: Verification = definition.action.verify(self.context(), definition.typed(plan))
        return seen

    async def undo(self, plan: Plan, *, in_doubt: bool = False, attempt: int = 1) -> UndoReply:
        """Undo a plan."""
        call = UndoCall(incident_id=self.incident_id, step_id=self.step_id, plan=plan, in_doubt=in_doubt)
        reply: UndoReply = await self._run(plan.action, "undo", call, attempt)
        return reply

    async def retry(self, plan: Plan) -> None:
        """Go on after a crash as the engine does: apply again; what is left half-way is planned and applied anew."""
        try:
            await self.apply(plan, attempt=2)
        except ApplicationError as error:
            if error.type != "Drifted":
                raise
            await self.apply(await self.plan(plan.action, **plan.params))


@pytest.fixture(scope="session")
def moto_url() -> Iterator[str]:
    """The address of a moto server that lives as long as the session."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="session")
def moto_http(moto_url: str) -> Iterator[httpx.Client]:
    """What the tests tell the server itself through, apart from any service of the account."""
    with httpx.Client(trust_env=False, base_url=moto_url, timeout=60) as http:
        yield http


@pytest.fixture
def endpoint(moto_url: str, moto_http: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The server's address, the account empty, and credentials that are good for nothing else."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "simulated")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "simulated")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    moto_http.post("/moto-api/reset-auth", content="inf").raise_for_status()
    moto_http.post("/moto-api/reset").raise_for_status()
    yield moto_url
    moto_http.post("/moto-api/reset-auth", content="inf").raise_for_status()


@pytest.fixture
def account(endpoint: str) -> AccountClients:
    """Clients to prepare the account and to look at it, apart from those of the actions."""
    return AccountClients(endpoint)


@pytest.fixture
def reset(endpoint: str, moto_http: httpx.Client) -> Callable[[], None]:
    """Empties the account once more."""

    def empty() -> None:
        moto_http.post("/moto-api/reset").raise_for_status()

    return empty


@pytest.fixture
def enforce(endpoint: str, moto_http: httpx.Client) -> Callable[[], None]:
    """Turns on that the account asks for permissions (conditions and a key's status it does not look at)."""

    def turn_on() -> None:
        moto_http.post("/moto-api/reset-auth", content="0").raise_for_status()

    return turn_on


@pytest.fixture
def make_actions(endpoint: str) -> Iterator[Callable[..., Actions]]:
    """Makes `Actions` over fresh clients; keyword arguments are its fields (`step_id`, `account` …)."""
    executor = ThreadPoolExecutor(max_workers=2)

    def make(**fields: Any) -> Actions:
        access, vault, wire = AwsAccess(endpoint_url=endpoint), MemoryVault(), Wire()
        access._session._session.register_component("data_loader", LOADER)
        access._session.events.register("before-call", wire.sent)
        access._session.events.register("after-call", wire.answered)
        services = ActionServices(vault, access)
        return Actions(access, vault, wire, services, executor, all_definitions(), **fields)

    yield make
    executor.shutdown()


@pytest.fixture(name="permissions_for", scope="session")
def permissions_for_fixture() -> Callable[[str], set[str]]:
    """What an operation of botocore needs, by its name."""
    return permissions_for


@pytest.fixture
def actions(make_actions: Callable[..., Actions]) -> Actions:
    """Actions as the worker runs them, with the simulated account behind them."""
    return make_actions()
