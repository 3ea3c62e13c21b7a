"""Workers: one Temporal worker for each task queue, that is for each credential boundary."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

from temporalio.client import Client
from temporalio.worker import Worker

from soar.actions.activities import HEARTBEAT_SECONDS, action_activities
from soar.actions.aws.access import AwsAccess
from soar.actions.contract import ActionServices
from soar.actions.http.client import HttpAccess
from soar.actions.http.secrets import NamedSecret
from soar.actions.registry import definitions
from soar.actions.ssh.access import Login, SshAccess
from soar.chat.socket_mode import SocketModeReceiver
from soar.engine.messages import CHAT_QUEUE, ORCHESTRATOR_QUEUE
from soar.engine.workflow import IncidentWorkflow
from soar.evidence import Vault
from soar.reports.activities import ReportActivities
from soar.runtime.orchestrator import OrchestratorActivities, OwnDesk
from soar.runtime.parts import Chat, Core, Parts
from soar.runtime.settings import Settings, SettingsError

__all__ = ["AWS_QUEUE", "HTTP_QUEUE", "SSH_QUEUE", "action_services", "known_queues", "run_workers"]

AWS_QUEUE = "aws"
HTTP_QUEUE = "http"
SSH_QUEUE = "ssh"
THREADS = 32
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
    core: Core, queues: Sequence[str], *, fatal: Callable[[BaseException], None] | None = None
) -> AsyncIterator[None]:
    """Serve task queues for the length of a block; running activities get `graceful_timeout` at its end.

    Args:
        core: What the workers share: `Parts` for the queues `orchestrator` and `chat`.
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
            await stack.enter_async_context(_worker(core, queue, executor, fatal))
            _log.info("worker.started", extra={"queue": queue})
        if CHAT_QUEUE in queues:
            await stack.enter_async_context(_clicks(core))
        # What was loaded until now stays for good. Looking through it again and again for garbage would hold up
        # workflows, of which Temporal's SDK takes one that is held up for two seconds for stuck.
        gc.collect()
        gc.freeze()
        yield


@contextlib.asynccontextmanager
async def _clicks(core: Core) -> AsyncIterator[None]:
    """Handle clicks where the bot token is; receive them as well where they come by Socket Mode."""
    store, chat = _whole(core).store, _connected(core)
    stop = asyncio.Event()
    loop = asyncio.create_task(chat.clicks.run(stop), name="clicks")
    receiver = None
    token = core.settings.slack_app_token
    if token is not None:
        receiver = SocketModeReceiver(token.get_secret_value(), store, base_url=core.settings.slack_base_url)
        await receiver.start()
    try:
        yield
    finally:
        if receiver is not None:
            await receiver.stop()
        stop.set()
        await loop


def _whole(core: Core) -> Parts:
    if not isinstance(core, Parts):
        raise TypeError("the queues orchestrator and chat need the store")
    return core


def _connected(core: Core) -> Chat:
    chat = _whole(core).chat
    if chat is None:
        raise SettingsError([("SLACK_BOT_TOKEN", "is not set: the chat worker has no workspace to talk to")])
    return chat


def _worker(
    core: Core, queue: str, executor: Executor, fatal: Callable[[BaseException], None] | None
) -> Worker:
    async def on_fatal(error: BaseException) -> None:
        _log.error("worker.failed", extra={"queue": queue, "error": str(error)})
        if fatal is not None:
            fatal(error)

    return Worker(
        core.temporal,
        task_queue=queue,
        workflows=[IncidentWorkflow] if queue == ORCHESTRATOR_QUEUE else [],
        activities=_activities(core, queue, executor),
        # A dead worker is noticed by the heartbeats that do not come; they must not be held back.
        max_heartbeat_throttle_interval=timedelta(seconds=HEARTBEAT_SECONDS),
        default_heartbeat_throttle_interval=timedelta(seconds=HEARTBEAT_SECONDS),
        on_fatal_error=on_fatal,
    )


def _activities(core: Core, queue: str, executor: Executor) -> list[Callable[..., Any]]:
    found = [d for d in definitions().values() if d.spec.queue == queue]
    own = OrchestratorActivities(core.store, core.policy) if isinstance(core, Parts) else None
    desk = OwnDesk(own) if own is not None else None
    activities = action_activities(found, action_services(core, queue), executor, desk)
    if queue == ORCHESTRATOR_QUEUE:
        parts = _whole(core)
        own = own or OrchestratorActivities(parts.store, parts.policy)
        reports = ReportActivities(parts.store, parts.vault, parts.settings.home / "reports")
        activities += [own.project, own.current_policy, own.reserve, reports.write]
    if queue == CHAT_QUEUE:
        activities.append(_connected(core).activities.sync)
    return activities


def action_services(core: Core, queue: str) -> ActionServices:
    """What the actions of a queue may use, by the settings: each queue has the credentials of one system only.

    Raises:
        SettingsError: What a system needs cannot be used.
    """
    settings = core.settings
    services: list[object] = []
    if queue == AWS_QUEUE:
        services.append(
            AwsAccess(
                role=settings.aws_role_template,
                endpoint_url=settings.aws_endpoint_url or None,
                regions=settings.aws_regions,
                accounts=settings.aws_accounts,
                external_id=(id_.get_secret_value() if (id_ := settings.aws_external_id) else ""),
            )
        )
    if queue == HTTP_QUEUE:
        services.append(_http_access(settings))
    if queue == SSH_QUEUE:
        services.append(_ssh_access(settings))
    return ActionServices(VaultSink(core.vault), *services)


def _http_access(settings: Settings) -> HttpAccess:
    secrets = (
        NamedSecret(name, secret.value.get_secret_value(), secret.places)
        for name, secret in settings.http_secrets.items()
    )
    try:
        return HttpAccess(
            allow=settings.http_allow,
            secrets=secrets,
            read_posts=settings.http_read_posts,
            ca_file=settings.http_ca_file,
        )
    except ValueError as error:
        raise SettingsError([("SOAR_HTTP_READ_POSTS or SOAR_HTTP_CA_FILE", str(error))]) from None


def _ssh_access(settings: Settings) -> SshAccess:
    logins: dict[str, Login] = {}
    if settings.ssh_key_file is not None:
        logins["default"] = Login(settings.ssh_user, settings.ssh_key_file)
    for text in settings.ssh_logins:
        name, _, rest = text.partition("=")
        user, _, key = rest.partition("@")
        if not (name and user and key):
            raise SettingsError([("SOAR_SSH_LOGINS", f"{text[:60]!r}: write name=user@/path/of/the/key")])
        logins[name] = Login(user, Path(key))
    try:
        return SshAccess(hosts=settings.ssh_hosts, known_hosts=settings.ssh_known_hosts, logins=logins)
    except ValueError as error:
        raise SettingsError([("SOAR_SSH_HOSTS", str(error))]) from None


async def temporal_answers(client: Client) -> bool:
    """Whether Temporal is healthy, as far as this process can tell."""
    return await asyncio.wait_for(client.service_client.check_health(), timeout=5)
