"""A real HTTP service, a resolver that tests control, and the framework's own activities to drive actions through."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from http_service import Authority, Service, authority, serve
from temporalio import activity
from temporalio.testing import ActivityEnvironment

from soar.actions.activities import action_activities
from soar.actions.calls import ActionCall, ApplyCall, UndoCall, UndoReply
from soar.actions.contract import ActionContext, ActionServices
from soar.actions.http.client import HttpAccess
from soar.actions.http.secrets import NamedSecret
from soar.actions.registry import definitions
from soar.model.base import JsonObject
from soar.model.change import Plan, Result, Verification


@dataclass
class Names:
    """A resolver: what each name leads to. A list of lists is one answer after the other, the last one for ever."""

    known: dict[str, list[Any]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append(host)
        found = self.known.get(host)
        if found is None:
            raise OSError(-2, "Name or service not known")
        if found and isinstance(found[0], list):
            answer: list[str] = found[0] if len(found) == 1 else found.pop(0)
            return answer
        return found


@dataclass
class MemoryVault:
    """Evidence in memory, by digest."""

    kept: dict[str, bytes] = field(default_factory=dict)

    def keep(self, data: bytes) -> tuple[str, int]:
        digest = hashlib.sha256(data).hexdigest()
        self.kept[digest] = data
        return digest, len(data)


@dataclass
class Actions:
    """Runs HTTP actions as a worker does: through their Temporal activities.

    Args:
        verify_timeout: Another one than is declared.
    """

    access: HttpAccess
    vault: MemoryVault
    executor: ThreadPoolExecutor
    incident_id: str = "inc-1"
    step_id: str = "step-1"
    verify_timeout: float | None = None

    @property
    def services(self) -> ActionServices:
        return ActionServices(self.vault, self.access)

    def context(self, *, attempt: int = 1) -> ActionContext:
        return ActionContext(
            services=self.services, incident_id=self.incident_id, step_id=self.step_id, attempt=attempt
        )

    async def _run(self, name: str, verb: str, call: Any, attempt: int = 1) -> Any:
        definition = definitions()[name]
        if self.verify_timeout is not None:
            spec = definition.spec.model_copy(update={"verify_timeout": self.verify_timeout})
            definition = dataclasses.replace(definition, spec=spec)
        made = action_activities([definition], self.services, self.executor)
        by_name = {activity._Definition.must_from_callable(a).name: a for a in made}
        environment = ActivityEnvironment()
        environment.info = dataclasses.replace(environment.info, attempt=attempt)
        return await environment.run(by_name[name + (f":{verb}" if verb else "")], call)

    def _call(self, params: JsonObject) -> ActionCall:
        return ActionCall(incident_id=self.incident_id, step_id=self.step_id, params=params)

    async def get(self, **params: Any) -> Result:
        found: Result = await self._run("http.get", "", self._call(params))
        return found

    async def plan(self, attempt: int = 1, **params: Any) -> Plan:
        made: Plan = await self._run("http.request", "plan", self._call(params), attempt)
        return made

    async def apply(self, plan: Plan, *, attempt: int = 1) -> Result:
        call = ApplyCall(incident_id=self.incident_id, step_id=self.step_id, plan=plan)
        done: Result = await self._run(plan.action, "apply", call, attempt)
        return done

    async def verify(self, plan: Plan) -> Verification:
        call = ApplyCall(incident_id=self.incident_id, step_id=self.step_id, plan=plan)
        seen: Verification = await self._run(plan.action, "verify", call)
        return seen

    async def undo(self, plan: Plan, *, in_doubt: bool = False, attempt: int = 1) -> UndoReply:
        call = UndoCall(incident_id=self.incident_id, step_id=self.step_id, plan=plan, in_doubt=in_doubt)
        reply: UndoReply = await self._run(plan.action, "undo", call, attempt)
        return reply


@pytest.fixture
def service() -> Iterator[Service]:
    """The service that is asked."""
    with serve() as running:
        yield running


@pytest.fixture
def other() -> Iterator[Service]:
    """Another host's service."""
    with serve() as running:
        yield running


@pytest.fixture
def names() -> Names:
    """What names lead to."""
    return Names({"service.test": ["127.0.0.1"], "other.test": ["127.0.0.1"]})


@pytest.fixture
def url(service: Service) -> str:
    """The service's address, by name."""
    return f"http://service.test:{service.port}"


@pytest.fixture
def other_url(other: Service) -> str:
    """The other's."""
    return f"http://other.test:{other.port}"


@pytest.fixture
def make_actions(service: Service, other: Service, names: Names) -> Iterator[Callable[..., Actions]]:
    """Makes `Actions`; `secrets` maps names to `(value, host:port …)`, all else goes to `HttpAccess`."""
    executor = ThreadPoolExecutor(max_workers=2)

    def make(secrets: dict[str, tuple[str, str]] | None = None, **settings: Any) -> Actions:
        settings.setdefault(
            "allow", [f"http://service.test:{service.port}", f"http://other.test:{other.port}"]
        )
        settings.setdefault("resolver", names)
        named = []
        for name, (value, place) in (secrets or {}).items():
            host, _, port = place.rpartition(":")
            named.append(NamedSecret(name, value, frozenset({(host, int(port))})))
        return Actions(HttpAccess(secrets=named, **settings), MemoryVault(), executor)

    yield make
    executor.shutdown()


@pytest.fixture
def actions(make_actions: Callable[..., Actions]) -> Actions:
    """Actions that may reach both services, with no secrets."""
    return make_actions()


@pytest.fixture
def own_ca(tmp_path: Path) -> Authority:
    """A CA that nobody trusts but who is told to."""
    return authority(tmp_path, "service.test")
