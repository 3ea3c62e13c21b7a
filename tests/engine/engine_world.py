"""A small world for workflow tests: real actions over a dictionary of lamps, run by a real worker.

Nothing of the engine is replaced. The activities that production runs against the database, the policy file and
the report writer are here kept in memory, and named so.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol

from pydantic import BaseModel
from temporalio import activity
from temporalio.api.testservice.v1 import LockTimeSkippingRequest, UnlockTimeSkippingRequest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer, Worker

from soar.actions.activities import action_activities
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
from soar.actions.errors import TargetGone
from soar.engine.client import IncidentEngine
from soar.engine.messages import IncidentStart, PolicyInForce, ReportRequest, Reserved, ReserveRequest
from soar.engine.workflow import IncidentWorkflow
from soar.model.alert import Alert
from soar.model.base import JsonObject, digest_of
from soar.model.change import Change, Result, Target, Verification
from soar.model.events import ReportWritten
from soar.model.fold import fold
from soar.model.incident import Incident
from soar.model.people import Responder
from soar.model.terms import Phase, Risk, Severity
from soar.model.timeline import TimelineEntry, verify_chain
from soar.playbook.compiler import compile_playbook
from soar.playbook.graph import StepGraph
from soar.playbook.library import Library
from soar.playbook.loader import load_playbook
from soar.playbook.policy import Halt, Policy, load_policy

ALICE = Responder(id="alice", name="Alice", roles=("incident-commander",))
BOB = Responder(id="bob", name="Bob", roles=("incident-commander",))
CAROL = Responder(id="carol", name="Carol", roles=("observer",))

POLICY = """
version: 1
responders:
  - {id: alice, name: Alice, roles: [incident-commander]}
  - {id: bob, name: Bob, roles: [incident-commander]}
  - {id: carol, name: Carol, roles: [observer]}
  - {id: mallory, name: Mallory, roles: [incident-commander], identities: [mallory]}
autonomy:
  - match: {risk: [reversible]}
    decide: ask
    approvers: 1
    roles: [incident-commander]
    why: people look at every switch
  - match: {risk: [destructive]}
    decide: ask
    approvers: 2
    roles: [incident-commander]
    why: what cannot be put back takes two
"""

AUTOMATIC = """
version: 1
responders:
  - {id: alice, name: Alice, roles: [incident-commander]}
autonomy:
  - match: {risk: [reversible]}
    decide: automatic
    why: lamps are harmless
"""


MIXED = POLICY.replace(
    """    decide: ask
    approvers: 1
    roles: [incident-commander]
    why: people look at every switch""",
    """    decide: automatic
    why: lamps are harmless""",
)
"""Switching is automatic, smashing takes two people."""


@dataclass
class World:
    """Lamps, and what was done to them.

    Args:
        faults: Called before each method of an action with `lamp:method`; raises to make it fail.
        places: Account and region in which each method was called last.
    """

    lamps: dict[str, str] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    faults: Callable[[str], None] = lambda _call: None

    places: dict[str, tuple[str, str]] = field(default_factory=dict)

    def did(self, call: str, ctx: ActionContext) -> None:
        self.calls.append(call)
        self.places[call] = (ctx.account, ctx.region)
        self.faults(call)


class Lamp(Params):
    lamp: str


class Switch(Params):
    lamp: str
    to: str = "off"


class LampWas(StateBefore):
    was: str


class LampSeen(BaseModel):
    summary: str
    colour: str


def definitions(world: World) -> list[Definition]:
    """The actions of this world: a read, a reversible change and a destructive one."""
    into: dict[str, Definition] = {}

    @action("lamp.look", risk=Risk.READ, phase=Phase.IDENTIFICATION, queue="orchestrator", into=into)
    def look(ctx: ActionContext, params: Lamp) -> LampSeen:
        """Look at a lamp.

        Example::

            id: look
            do: lamp.look
        """
        world.did(f"{params.lamp}:look", ctx)
        if params.lamp not in world.lamps:
            raise TargetGone(f"there is no lamp {params.lamp}")
        ctx.keep_evidence("lamp.txt", params.lamp.encode(), media_type="text/plain", source="world:Look")
        return LampSeen(
            summary=f"{params.lamp} is {world.lamps[params.lamp]}", colour=world.lamps[params.lamp]
        )

    class Base(Action[Switch, LampWas]):
        def plan(self, ctx: ActionContext, params: Switch) -> Draft[LampWas]:
            world.did(f"{params.lamp}:plan", ctx)
            if params.lamp not in world.lamps:
                raise TargetGone(f"there is no lamp {params.lamp}")
            was = world.lamps[params.lamp]
            changed = was != params.to
            return Draft(
                summary=f"Switch {params.lamp} {params.to}",
                targets=(Target(uid=params.lamp, type="lamp"),),
                changes=(Change(target=params.lamp, field="light", before=was, after=params.to),)
                if changed
                else (),
                state=LampWas(was=was),
                undo="switch it back",
            )

        def apply(self, ctx: ActionContext, planned: Planned[Switch, LampWas]) -> Result:
            world.did(f"{planned.params.lamp}:apply", ctx)
            world.lamps[planned.params.lamp] = planned.params.to
            return Result(summary=f"{planned.params.lamp} switched")

        def verify(self, ctx: ActionContext, planned: Planned[Switch, LampWas]) -> Verification:
            world.did(f"{planned.params.lamp}:verify", ctx)
            seen = world.lamps[planned.params.lamp]
            return Verification(verified=seen == planned.params.to, seen=f"it is {seen}", method="world:Look")

    @action(
        "lamp.switch",
        risk=Risk.REVERSIBLE,
        phase=Phase.CONTAINMENT,
        queue="orchestrator",
        verify_timeout=1,
        into=into,
    )
    class SwitchLamp(Base):
        """Switch a lamp.

        Example::

            id: dark
            do: lamp.switch
        """

        def undo(self, ctx: ActionContext, planned: Planned[Switch, LampWas]) -> Result:
            world.did(f"{planned.params.lamp}:undo", ctx)
            world.lamps[planned.params.lamp] = planned.state.was
            return Result(summary=f"{planned.params.lamp} is {planned.state.was} again")

    @action(
        "lamp.smash",
        risk=Risk.DESTRUCTIVE,
        phase=Phase.ERADICATION,
        queue="orchestrator",
        verify_timeout=1,
        into=into,
    )
    class SmashLamp(Base):
        """Smash a lamp.

        Example::

            id: smash
            do: lamp.smash
        """

    del SwitchLamp, SmashLamp, look
    return list(into.values())


class KeptInMemory:
    """The evidence of a test."""

    def keep(self, data: bytes) -> tuple[str, int]:
        return digest_of(data), len(data)


class RecordingActivities:
    """What production does with a database, a policy file and the report writer, kept in memory."""

    def __init__(self, policy: str | None) -> None:
        self.policy: Policy | None = load_policy(policy, file="policy.yaml") if policy else None
        self.incidents: dict[str, list[TimelineEntry]] = {}
        self.reports: list[ReportRequest] = []
        self.refuse_reservation: Callable[[ReserveRequest], str] = lambda _request: ""
        self.halt: Halt | None = None
        self.before_report: Callable[[], Awaitable[None]] | None = None
        self.before_store: Callable[[], None] = lambda: None

    @property
    def entries(self) -> list[TimelineEntry]:
        """The timeline of the incident that the test started."""
        return self.incidents.setdefault("INC-TEST", [])

    @activity.defn(name="store.project")
    async def project(self, entries: list[TimelineEntry]) -> None:
        self.before_store()
        kept = self.incidents.setdefault(entries[0].incident_id, [])
        kept += [e for e in entries if e.seq > len(kept)]

    @activity.defn(name="policy.current")
    async def current(self) -> PolicyInForce:
        return PolicyInForce(policy=self.policy, halt=self.halt)

    @activity.defn(name="policy.reserve")
    async def reserve(self, request: ReserveRequest) -> Reserved:
        reason = self.refuse_reservation(request)
        return Reserved(granted=not reason, reason=reason)

    @activity.defn(name="report.write")
    async def report(self, request: ReportRequest) -> ReportWritten:
        if request.entries:
            await self.project(list(request.entries))
        kept = self.incidents[request.incident_id]
        assert kept[-1].seq >= request.head_seq, "the report was asked for before the store had caught up"
        if self.before_report is not None:
            await self.before_report()
        self.reports.append(request)
        return ReportWritten(digests={"json": request.head_hash}, written_at=datetime.now(UTC))

    @property
    def desk(self) -> Desk:
        return Desk(self)

    @property
    def all(self) -> list[Callable[..., object]]:
        return [self.project, self.current, self.reserve, self.report]


class Desk:
    """The policy, for actions that run where it can be reached."""

    def __init__(self, recorded: RecordingActivities) -> None:
        self._recorded = recorded

    async def in_force(self) -> JsonObject:
        return (await self._recorded.current()).model_dump(mode="json")

    async def reserve(self, request: JsonObject) -> str:
        return (await self._recorded.reserve(ReserveRequest.model_validate(request))).reason


def alert(uid: str = "a-1", **fields: object) -> Alert:
    return Alert.model_validate(
        {
            "source": "test",
            "uid": uid,
            "title": "a lamp burns",
            "severity": Severity.HIGH,
            "time": datetime(2026, 1, 1, tzinfo=UTC),
            "account": "123456789012",
            **fields,
        }
    )


class Server(Protocol):
    """A Temporal server of a test."""

    @property
    def client(self) -> Client: ...

    @property
    def supports_time_skipping(self) -> bool: ...


@dataclass
class Started:
    """A running incident of a test."""

    engine: IncidentEngine
    client: Client
    workflow_id: str
    recorded: RecordingActivities
    world: World
    env: Server
    runs: dict[str, str]
    """The first run of the workflow."""

    async def until(self, what: Callable[[Incident], bool]) -> Incident:
        """Poll the state until something holds."""
        for _ in range(600):
            try:
                state = await self.engine.state(self.workflow_id)
            except Exception:  # the first alert may not be in yet
                state = None
            if state is not None and what(state):
                return state
            await asyncio.sleep(0.02)
        raise AssertionError(f"it never came to that: {state}")

    async def approval(self) -> str:
        """Wait for an open approval."""
        return (await self.until(lambda i: bool(i.open_approvals))).open_approvals[0].id

    async def end(self) -> Incident:
        """Wait for the end.

        Returns:
            The incident folded from what was stored, after checking the chain.
        """
        if self.env.supports_time_skipping:
            # Nothing but time is left to pass.
            await self.client.test_service.unlock_time_skipping(UnlockTimeSkippingRequest())
        status = await self.client.get_workflow_handle(self.workflow_id).result()
        if self.env.supports_time_skipping:
            await self.client.test_service.lock_time_skipping(LockTimeSkippingRequest())
        folded = fold(self.recorded.entries)
        assert verify_chain(self.recorded.entries, folded.id) == folded.head_hash
        assert folded.status == status
        running = await self.engine.state(self.workflow_id)
        stored, live = folded.model_dump(mode="json"), running.model_dump(mode="json")
        different = {key: (stored[key], live[key]) for key in stored if stored[key] != live[key]}
        assert not different, f"the store and the workflow tell different stories: {different}"
        await self.replay()
        return folded

    async def replay(self) -> int:
        """Replay every run of the workflow: what it did must follow from its history alone.

        Returns:
            How many runs there were.
        """
        # It is asked what the workflow does, and not how soon: a busy machine is no deadlock.
        replayer = Replayer(
            workflows=[IncidentWorkflow], data_converter=self.client.data_converter, debug_mode=True
        )
        runs = 0
        run_id: str | None = self.runs.get(self.workflow_id)
        while run_id != "":
            handle = self.client.get_workflow_handle(self.workflow_id, run_id=run_id)
            history = await handle.fetch_history()
            await replayer.replay_workflow(history)
            runs += 1
            last = history.events[-1].workflow_execution_continued_as_new_event_attributes
            run_id = last.new_execution_run_id
        return runs

    @property
    def kinds(self) -> list[str]:
        return [e.kind for e in self.recorded.entries]


def compiled(playbook: str, world: World, *others: str) -> StepGraph:
    """The graph of a playbook of this world."""
    library = Library(load_playbook(text, file=f"other{n}.yaml") for n, text in enumerate(others))
    catalogue = {d.spec.name: d.spec for d in definitions(world)}
    return compile_playbook(load_playbook(playbook, file="test.yaml"), catalogue, library.get)


@asynccontextmanager
async def incident(
    env: Server,
    playbook: str,
    *,
    world: World | None = None,
    policy: str | None = POLICY,
    others: tuple[str, ...] = (),
    inputs: JsonObject | None = None,
    dry_run: bool = False,
    desk: bool = True,
    patient: bool = False,
    **fields: object,
) -> AsyncIterator[Started]:
    """Run a worker and start an incident of a playbook on it.

    Args:
        others: The playbooks that its steps call.
        desk: Whether the workers of actions reach the policy.
        patient: Whether the SDK leaves off taking a workflow that is held up for two seconds for stuck.
        fields: Of the alert that opens it.
    """
    world = world if world is not None else World(lamps={"hall": "on", "yard": "on", "loft": "on"})
    found = definitions(world)
    loaded = load_playbook(playbook, file="test.yaml")
    recorded = RecordingActivities(policy)
    client = env.client
    if env.supports_time_skipping:
        config = env.client.config()
        config["data_converter"] = pydantic_data_converter
        client = Client(**config)
    engine = IncidentEngine(client)
    start = IncidentStart(
        incident_id="INC-TEST",
        title="a lamp burns",
        playbook=loaded.playbook.name,
        playbook_text=playbook,
        playbook_digest=loaded.digest,
        graph=compiled(playbook, world, *others),
        inputs={**loaded.playbook.default_inputs, **(inputs or {})},
        dry_run=dry_run,
        correlation_key=uuid.uuid4().hex,
    )
    services, own = ActionServices(KeptInMemory()), recorded.desk if desk else None
    with ThreadPoolExecutor(8) as executor:
        async with Worker(
            client,
            task_queue="orchestrator",
            workflows=[IncidentWorkflow],
            activities=[*action_activities(found, services, executor, own), *recorded.all],
            debug_mode=patient,
            graceful_shutdown_timeout=timedelta(seconds=5),
        ):
            wid = await engine.deliver(start, [alert(**{"uid": "a-1", **fields})])  # type: ignore[arg-type]
            assert wid
            found_run = (await client.get_workflow_handle(wid).describe()).run_id
            yield Started(engine, client, wid, recorded, world, env, {wid: found_run})
