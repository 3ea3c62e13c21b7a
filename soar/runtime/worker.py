"""Workers: one Temporal worker for each task queue, that is for each credential boundary."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from datetime import timedelta
from typing import Any

from temporalio.client import Client
from temporalio.worker import Worker

from soar.actions.activities import HEARTBEAT_SECONDS, action_activities
from soar.actions.aws.access import AwsAccess
from soar.actions.contract import ActionServices
from soar.actions.registry import definitions
from soar.engine.messages import CHAT_QUEUE, ORCHESTRATOR_QUEUE
from soar.engine.workflow import IncidentWorkflow
from soar.evidence import Vault
from soar.reports.activities import ReportActivities
from soar.runtime.orchestrator import OrchestratorActivities
from soar.runtime.parts import Parts
from soar.runtime.settings import SettingsError

__all__ = ["AWS_QUEUE", "known_queues", "run_workers"]

AWS_QUEUE = "aws"
THREADS = 16
"""Blocking actions at once in one process."""

_log = logging.getLogger("soar.worker")


class VaultSink:
    """The vault as actions see it."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def keep(self, data: bytes) -> tuple[str, int]:
        """Put bytes into the vault; called from the actions' threads."""
        ref = self._vault.put_sync(data)
        return ref.digest, ref.size


def known_queues() -> tuple[str, ...]:
    """Every task queue that has something to do."""
    actions = {d.spec.queue for d in definitions().values()}
    return tuple(sorted({ORCHESTRATOR_QUEUE, CHAT_QUEUE, *actions}))


@contextlib.asynccontextmanager
async def run_workers(
    parts: Parts, queues: Sequence[str], *, fatal: Callable[[BaseException], None] | None = None
) -> AsyncIterator[None]:
    """Serve task queues for the length of a block; running activities get `graceful_timeout` at its end.

    Args:
        parts: What the workers share.
        queues: Which queues; see `known_queues`.
        fatal: Told when a worker cannot go on.

    Raises:
        SettingsError: A queue does not exist, or lacks what it needs.
    """
    unknown = sorted(set(queues) - set(known_queues()))
    if unknown:
        raise SettingsError(
            [("--queues", f"there is no queue {', '.join(unknown)}; there are {', '.join(known_queues())}")]
        )
    async with contextlib.AsyncExitStack() as stack:
        executor = stack.enter_context(ThreadPoolExecutor(THREADS, thread_name_prefix="action"))
        for queue in dict.fromkeys(queues):
            await stack.enter_async_context(_worker(parts, queue, executor, fatal))
            _log.info("worker.started", extra={"queue": queue})
        yield


def _worker(
    parts: Parts, queue: str, executor: Executor, fatal: Callable[[BaseException], None] | None
) -> Worker:
    async def on_fatal(error: BaseException) -> None:
        _log.error("worker.failed", extra={"queue": queue, "error": str(error)})
        if fatal is not None:
            fatal(error)

    return Worker(
        parts.temporal,
        task_queue=queue,
        workflows=[IncidentWorkflow] if queue == ORCHESTRATOR_QUEUE else [],
        activities=_activities(parts, queue, executor),
        # A dead worker is noticed by the heartbeats that do not come; they must not be held back.
        max_heartbeat_throttle_interval=timedelta(seconds=HEARTBEAT_SECONDS),
        default_heartbeat_throttle_interval=timedelta(seconds=HEARTBEAT_SECONDS),
        on_fatal_error=on_fatal,
    )


def _activities(parts: Parts, queue: str, executor: Executor) -> list[Callable[..., Any]]:
    found = [d for d in definitions().values() if d.spec.queue == queue]
    activities = action_activities(found, _services(parts, queue), executor)
    if queue == ORCHESTRATOR_QUEUE:
        own = OrchestratorActivities(parts.store, parts.policy)
        reports = ReportActivities(parts.store, parts.vault, parts.settings.home / "reports")
        activities += [own.project, own.current_policy, reports.write]
    if queue == CHAT_QUEUE:
        if parts.chat is None:
            raise SettingsError(
                [("SLACK_BOT_TOKEN", "is not set: the chat worker has no workspace to talk to")]
            )
        activities.append(parts.chat.activities.sync)
    return activities


def _services(parts: Parts, queue: str) -> ActionServices:
    settings = parts.settings
    services: list[object] = []
    if queue == AWS_QUEUE:
        regions = settings.aws_regions
        services.append(
            AwsAccess(
                role=settings.aws_role_template,
                endpoint_url=settings.aws_endpoint_url or None,
                regions=regions,
                **({"default_region": regions[0]} if regions else {}),
            )
        )
    return ActionServices(VaultSink(parts.vault), *services)


async def temporal_answers(client: Client) -> bool:
    """Whether Temporal is healthy, as far as this process can tell."""
    return await asyncio.wait_for(client.service_client.check_health(), timeout=5)
