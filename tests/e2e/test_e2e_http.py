"""The worker of the queue `http` as a process of its own, killed while a service holds back its reply."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from http_service import Answer, Asked, Service, as_json, serve
from temporalio import workflow
from temporalio.client import WorkflowFailureError
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError
from temporalio.worker import Worker

from soar.actions.calls import ActionCall, ApplyCall
from soar.model.change import Plan, Result
from soar.runtime.parts import Core, open_core
from soar.runtime.settings import load_settings
from soar.runtime.temporal_server import embedded_temporal

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]
SECRET = "sesame-open-12345"


@workflow.defn(sandboxed=False)
class SendOne:
    """Plans and applies one request, as the engine does."""

    @workflow.run
    async def run(self, params: dict[str, Any]) -> Result:
        common: dict[str, Any] = {
            "task_queue": "http",
            "start_to_close_timeout": timedelta(seconds=60),
            "heartbeat_timeout": timedelta(seconds=4),
            "retry_policy": RetryPolicy(initial_interval=timedelta(seconds=0.1), maximum_attempts=5),
        }
        call = ActionCall(incident_id="inc-1", step_id="send", params=params)
        plan = await workflow.execute_activity("http.request:plan", call, result_type=Plan, **common)
        apply = ApplyCall(incident_id="inc-1", step_id="send", plan=plan)
        done: Result = await workflow.execute_activity(
            "http.request:apply", apply, result_type=Result, **common
        )
        return done


@contextlib.asynccontextmanager
async def worker_process(environment: dict[str, str], log: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """A worker of the queue `http`, dead at the latest at the end of the block."""
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "workers", "--queues", "http", env=environment, stdout=output, stderr=output
        )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGKILL)
        await process.wait()


@contextlib.asynccontextmanager
async def world(tmp_path: Path, service: Service) -> AsyncIterator[tuple[Core, dict[str, str]]]:
    """Temporal, a worker for the workflow, and the environment of the worker of actions."""
    settings = load_settings(home=tmp_path / "home")
    settings.home.mkdir()
    async with embedded_temporal(tmp_path / "temporal.db") as server:
        core = await open_core(settings, temporal_address=server.address)
        environment = {
            **os.environ,
            "SOAR_HOME": str(settings.home),
            "SOAR_TEMPORAL_ADDRESS": server.address,
            "SOAR_HTTP_ALLOW": f"http://localhost:{service.port}",
            "SOAR_HTTP_SECRET_CRM": SECRET,
            "SOAR_HTTP_SECRET_CRM_HOSTS": f"localhost:{service.port}",
        }
        async with Worker(core.temporal, task_queue="flow", workflows=[SendOne]):
            yield core, environment


async def _sent(service: Service) -> None:
    """Until the change has arrived."""
    async with asyncio.timeout(60):
        while True:
            if any(asked.method == "POST" for asked in service.asked):
                return
            await asyncio.sleep(0.05)


def _held(asked: Asked) -> Answer:
    """Says nothing for as long as the test runs: the work is done, and the reply is on its way."""
    import time

    time.sleep(30)
    return as_json({})


async def _start(core: Core, params: dict[str, Any]) -> Any:
    return await core.temporal.start_workflow(SendOne.run, params, id="send", task_queue="flow")


def _params(service: Service, **more: Any) -> dict[str, Any]:
    address = f"http://localhost:{service.port}/ticket"
    return {
        "method": "POST",
        "url": address,
        "json": {"a": 1},
        "auth": {"secret": "crm"},
        "timeout": 40,
        **more,
    }


async def test_a_killed_worker_leaves_a_doubt_and_no_second_request(tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    with serve() as service:
        service.on("/ticket", _held)
        async with world(tmp_path, service) as (core, environment):
            async with worker_process(environment, log) as first:
                handle = await _start(core, _params(service))
                await _sent(service)
                first.send_signal(signal.SIGKILL)
                await first.wait()
            async with worker_process(environment, log):
                with pytest.raises(WorkflowFailureError) as raised:
                    await asyncio.wait_for(handle.result(), 60)
            cause = raised.value.cause
            assert isinstance(cause, ActivityError)
            assert isinstance(cause.cause, ApplicationError)
            assert cause.cause.type == "InDoubt"
            assert service.paths() == ["/ticket"]
            assert service.asked[0].headers["authorization"] == f"Bearer {SECRET}"
            history = (await handle.fetch_history()).to_json()
    assert SECRET not in history
    assert SECRET not in await asyncio.to_thread(log.read_text)


async def test_a_killed_worker_and_a_look_that_finds_what_was_done(tmp_path: Path) -> None:
    done: list[Asked] = []

    def route(asked: Asked) -> Answer:
        if asked.method == "GET":
            return as_json({"open": bool(done)})
        done.append(asked)
        return _held(asked)

    log = tmp_path / "worker.log"
    with serve() as service:
        service.on("/ticket", route)
        look = {"url": f"http://localhost:{service.port}/ticket", "expect": {"equals": {"/open": True}}}
        async with world(tmp_path, service) as (core, environment):
            async with worker_process(environment, log) as first:
                handle = await _start(core, _params(service, verify=look))
                await _sent(service)
                first.send_signal(signal.SIGKILL)
                await first.wait()
            async with worker_process(environment, log):
                result = await asyncio.wait_for(handle.result(), 60)
    assert "it is in place" in result.summary
    assert len(done) == 1
