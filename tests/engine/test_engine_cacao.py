"""CACAO documents, imported and run by the real workflow against a real HTTP service."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from cacao_world import AGENT, END, NOW, http_step, ident, playbook, written
from engine_world import KeptInMemory, RecordingActivities, Started, World, alert
from http_service import Answer, Service, as_json, serve
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from soar.actions.activities import action_activities
from soar.actions.contract import ActionServices
from soar.actions.http.client import HttpAccess
from soar.actions.registry import catalogue, definitions
from soar.engine.client import IncidentEngine
from soar.engine.messages import IncidentStart, TaskRequest
from soar.engine.workflow import IncidentWorkflow
from soar.model.base import JsonObject
from soar.model.incident import Incident
from soar.model.people import Responder
from soar.model.terms import IncidentStatus, StepStatus
from soar.playbook.cacao.shelf import Shelf
from soar.playbook.cacao.work import CacaoSettings
from soar.playbook.compiler import compile_playbook

POLICY = """
version: 1
responders:
  - {id: alice, name: Alice, roles: [incident-commander]}
autonomy:
  - match: {risk: [reversible, disruptive]}
    decide: automatic
    why: the service is a test's
"""
ALICE = Responder(id="alice", name="Alice", roles=("incident-commander",))
ONE, TWO, THREE, FOUR = (ident("action", name) for name in ("one", "two", "three", "four"))
IF, WHILE = ident("if-condition", "if"), ident("while-condition", "while")
PARALLEL, SWITCH = ident("parallel", "parallel"), ident("switch-condition", "switch")


@pytest.fixture
def service() -> Iterator[Service]:
    with serve() as running:
        running.on("*", as_json({"done": True}))
        yield running


def variables(**told: str | None) -> dict[str, Any]:
    return {f"__{name}__": {"type": "string", "value": value} for name, value in told.items()}


def get(name: str, after: str = END, **more: Any) -> dict[str, Any]:
    return http_step(name, after, commands=[{"type": "http-api", "command": f"GET /{name} HTTP/1.1"}], **more)


def led(step: dict[str, Any], success: str, failure: str) -> dict[str, Any]:
    return {k: v for k, v in step.items() if k != "on_completion"} | {
        "on_success": success,
        "on_failure": failure,
    }


@asynccontextmanager
async def running(
    env: WorkflowEnvironment,
    service: Service,
    told: dict[str, Any],
    *others: dict[str, Any],
    inputs: JsonObject | None = None,
) -> AsyncIterator[Started]:
    """Import a document as the library does, and start an incident of it."""
    at = {"type": "http-api", "name": "edr", "address": {"url": [f"http://127.0.0.1:{service.port}"]}}
    for one in (told, *others):
        one["agent_definitions"][AGENT] = at
    texts = {f"p{n}.cacao.json": written(one) for n, one in enumerate((told, *others))}
    known = {name: spec for name, spec in catalogue().items() if name.startswith("http.")}
    settings = CacaoSettings(manual_role="incident-commander")
    found, refused = Shelf(texts, catalogue=known, now=NOW, settings=settings).read()
    assert refused == []
    loaded = found[0].loaded
    config = env.client.config()
    config["data_converter"] = pydantic_data_converter
    client = Client(**config)
    engine = IncidentEngine(client)
    recorded = RecordingActivities(POLICY)
    start = IncidentStart(
        incident_id="INC-TEST",
        title="a host is taken over",
        playbook=loaded.playbook.name,
        playbook_text=loaded.text,
        playbook_digest=loaded.digest,
        graph=compile_playbook(loaded, known),
        inputs={**loaded.playbook.default_inputs, **(inputs or {})},
        correlation_key=uuid.uuid4().hex,
    )
    access = HttpAccess(allow=[f"http://127.0.0.1:{service.port}"])
    http = [definitions()[name] for name in ("http.get", "http.request")]
    with ThreadPoolExecutor(8) as executor:
        actions = action_activities(http, ActionServices(KeptInMemory(), access), executor)
        async with (
            Worker(
                client,
                task_queue="orchestrator",
                workflows=[IncidentWorkflow],
                activities=recorded.all,
                graceful_shutdown_timeout=timedelta(seconds=5),
            ),
            Worker(client, task_queue=http[0].spec.queue, activities=actions),
        ):
            wid = await engine.deliver(start, [alert()])
            assert wid
            run = (await client.get_workflow_handle(wid).describe()).run_id
            yield Started(engine, client, wid, recorded, World(), env, {wid: run})


async def ended(env: WorkflowEnvironment, service: Service, told: dict[str, Any], **more: Any) -> Incident:
    async with running(env, service, told, **more) as run:
        return await run.end()


async def test_every_branch_of_a_parallel_runs_and_then_what_follows(
    env: WorkflowEnvironment, service: Service
) -> None:
    told = playbook(
        {
            PARALLEL: {"type": "parallel", "next_steps": [ONE, TWO], "on_completion": THREE},
            ONE: http_step("one"),
            TWO: http_step("two"),
            THREE: http_step("three"),
        }
    )
    incident = await ended(env, service, told)
    sent = [asked.path for asked in service.asked if asked.method == "POST"]
    assert (sorted(sent[:2]), sent[2:]) == (["/one", "/two"], ["/three"])
    assert {incident.steps[s].status for s in ("one", "two", "three")} == {StepStatus.SUCCEEDED}


@pytest.mark.parametrize(("value", "path"), [("yes", "/one"), ("no", "/two"), ("maybe", "/three")])
async def test_the_case_of_a_switch_runs(
    env: WorkflowEnvironment, service: Service, value: str, path: str
) -> None:
    cases = {"yes": ONE, "no": TWO, "default": THREE}
    told = playbook(
        {
            SWITCH: {
                "type": "switch-condition",
                "switch": "__a__:value",
                "cases": cases,
                "on_completion": FOUR,
            },
            **{s: get(n) for s, n in ((ONE, "one"), (TWO, "two"), (THREE, "three"), (FOUR, "four"))},
        },
        playbook_variables=variables(a=value),
    )
    await ended(env, service, told)
    assert service.paths() == [path, "/four"]


async def test_a_failure_goes_to_on_failure(env: WorkflowEnvironment, service: Service) -> None:
    service.on("/one", Answer(400))
    told = playbook({ONE: led(get("one"), TWO, THREE), TWO: get("two"), THREE: get("three")})
    incident = await ended(env, service, told)
    assert service.paths() == ["/one", "/three"]
    assert incident.steps["one"].status is StepStatus.FAILED
    assert incident.status is IncidentStatus.CLOSED


async def test_a_failure_without_on_failure_goes_to_the_workflows_exception(
    env: WorkflowEnvironment, service: Service
) -> None:
    service.on("/one", Answer(400))
    told = playbook(
        {ONE: get("one", TWO), TWO: get("two"), THREE: get("three")}, first=ONE, workflow_exception=THREE
    )
    incident = await ended(env, service, told)
    assert service.paths() == ["/one", "/three"]
    assert "two" not in incident.steps
    assert incident.status is IncidentStatus.FAILED


async def test_a_timeout_of_milliseconds_is_honoured(env: WorkflowEnvironment, service: Service) -> None:
    at: dict[str, float] = {}

    def slow(_asked: Any) -> Answer:
        at["one"] = time.monotonic()
        time.sleep(3)
        return as_json({})

    def noted(_asked: Any) -> Answer:
        at["three"] = time.monotonic()
        return as_json({})

    service.on("/one", slow)
    service.on("/three", noted)
    told = playbook({ONE: led(get("one", timeout=200), TWO, THREE), TWO: get("two"), THREE: get("three")})
    incident = await ended(env, service, told)
    assert at["three"] - at["one"] < 2.5
    assert "/two" not in service.paths()
    assert incident.steps["one"].status is StepStatus.FAILED


async def test_a_second_run_never_acts_on_the_host_of_the_first(
    env: WorkflowEnvironment, service: Service
) -> None:
    command = {
        "type": "http-api",
        "command": "POST /isolate HTTP/1.1",
        "headers": {"Content-Type": ["application/json"]},
        "content": '{"host": "__host__:value"}',
    }
    external = {"__host__": {"type": "string", "external": True}}
    told = playbook({ONE: http_step("one", commands=[command])}, playbook_variables=external)
    await ended(env, service, told, inputs={"host": "first"})
    await ended(env, service, told, inputs={"host": "second"})
    assert [a.json for a in service.asked if a.method == "POST"] == [{"host": "first"}, {"host": "second"}]


async def test_each_round_of_a_loop_acts_on_its_own_host_and_is_kept(
    env: WorkflowEnvironment, service: Service
) -> None:
    for at, after in (("a", "b"), ("b", "c"), ("c", "stop")):
        service.on(f"/after/{at}", as_json({"host": after}))
    commands = [{"type": "http-api", "command": "GET /after/__host__:value HTTP/1.1"}]
    told = playbook(
        {
            WHILE: {
                "type": "while-condition",
                "condition": "__host__:value != 'stop'",
                "on_true": ONE,
                "on_completion": TWO,
            },
            ONE: http_step("one", commands=commands, out_args=["__host__"]),
            TWO: get("two"),
        },
        playbook_variables=variables(host="a"),
    )
    async with running(env, service, told) as run:
        incident = await run.end()
    assert service.paths() == ["/after/a", "/after/b", "/after/c", "/two"]
    assert incident.variables["__host__"] == "stop"
    done = [e.data for e in run.recorded.entries if e.kind == "step.succeeded"]
    rounds = [d for d in done if str(d["step_id"]).startswith("one[")]
    assert [d["step_id"] for d in rounds] == ["one[0]", "one[1]", "one[2]"], "the timeline keeps each round"
    assert ["/after/a" in str(d["params"]) for d in rounds] == [True, False, False]
    assert ["/after/c" in str(d["params"]) for d in rounds] == [False, False, True]


@pytest.mark.parametrize(
    ("condition", "path"),
    [
        ("__n__:value > 9", "/one"),  # as numbers; as texts "10" is less than "9"
        ("__a__:value = 'yes'", "/one"),
        ("__a__:value = 'no'", "/two"),
        ("NOT (__a__:value = 'no') AND __a__:value LIKE 'y%'", "/one"),
        ("__a__:value = __b__:value", "/one"),
        ("__ip__:value ISSUBSET '198.51.100.0/24'", "/one"),
    ],
)
async def test_conditions_compare_what_is_meant(
    env: WorkflowEnvironment, service: Service, condition: str, path: str
) -> None:
    told = playbook(
        {
            IF: {"type": "if-condition", "condition": condition, "on_true": ONE, "on_false": TWO},
            ONE: get("one"),
            TWO: get("two"),
        },
        playbook_variables={
            **variables(a="yes", b="yes"),
            "__n__": {"type": "integer", "value": "10"},
            "__ip__": {"type": "ipv4-addr", "value": "198.51.100.7"},
        },
    )
    told["workflow"][IF]["on_completion"] = END
    await ended(env, service, told)
    assert service.paths() == [path]


async def test_a_person_does_what_is_manual_and_what_they_say_is_used(
    env: WorkflowEnvironment, service: Service
) -> None:
    manual = {
        "type": "action",
        "name": "ask",
        "commands": [{"type": "manual", "command": "Which host is it?"}],
        "agent": ident("individual", "analyst"),
        "out_args": ["__host__"],
        "on_completion": TWO,
    }
    commands = [{"type": "http-api", "command": "GET /hosts/__host__:value HTTP/1.1"}]
    told = playbook(
        {ONE: manual, TWO: http_step("two", commands=commands)}, playbook_variables=variables(host=None)
    )
    told["agent_definitions"][ident("individual", "analyst")] = {"type": "individual", "name": "Analyst"}
    async with running(env, service, told) as run:
        state = await run.until(lambda i: bool(i.open_tasks))
        (task,) = state.open_tasks
        request = TaskRequest.model_validate(
            {"step_id": "ask", "responder": ALICE, "values": {"host": "../web 1"}}
        )
        assert (await run.engine.tell(run.workflow_id, "complete_task", request, request_id="said")).accepted
        await run.end()
    assert "Which host is it?" in state.tasks["ask"].instructions
    assert task is not None
    # What a person wrote is one part of the path, whatever it says.
    assert [asked.target for asked in service.asked] == ["/hosts/..%2Fweb%201"]


async def test_a_playbook_action_runs_the_other_playbook(env: WorkflowEnvironment, service: Service) -> None:
    child = playbook({ONE: get("inner")}, id=ident("playbook", "child"), name="Child")
    call = {"type": "playbook-action", "playbook_id": child["id"], "name": "call", "on_completion": TWO}
    told = playbook({ident("playbook-action", "call"): call, TWO: get("two")})
    async with running(env, service, told, child) as run:
        incident = await run.end()
    assert service.paths() == ["/inner", "/two"]
    assert incident.steps["call"].status is StepStatus.SUCCEEDED
