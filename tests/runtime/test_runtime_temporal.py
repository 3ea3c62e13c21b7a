"""The embedded Temporal server, and the plugin and client that everything reaches it with."""

from __future__ import annotations

import shutil
import socket
import sys
import time
from pathlib import Path

import pytest
from runtime_workflow import SECRET, STATUS, Holding, look_up
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, RemoveSearchAttributesRequest
from temporalio.client import Client, WorkflowFailureError
from temporalio.common import SearchAttributePair, TypedSearchAttributes
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Replayer, Worker

from soar.model.alert import RawRef
from soar.model.base import digest_of
from soar.runtime.client import TemporalUnreachable, connect
from soar.runtime.codec import generate_key
from soar.runtime.plugin import SoarPlugin
from soar.runtime.process import free_ports
from soar.runtime.settings import Settings, SettingsError, load_settings
from soar.runtime.temporal_server import (
    SEARCH_ATTRIBUTES,
    EmbeddedTemporal,
    TemporalStartError,
    embedded_temporal,
    ensure_search_attributes,
)


class FolderStore:
    """A vault in a folder, shared by everybody who knows the folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    async def put(self, data: bytes) -> RawRef:
        digest = digest_of(data)
        (self.folder / digest).write_bytes(data)
        return RawRef(digest=digest, size=len(data))

    async def get(self, digest: str) -> bytes:
        return (self.folder / digest).read_bytes()


def worker(client: Client) -> Worker:
    return Worker(client, task_queue="q", workflows=[Holding], activities=[look_up])


async def start(client: Client, workflow_id: str, ballast: str = "") -> None:
    await client.start_workflow(Holding.run, ballast, id=workflow_id, task_queue="q")


async def test_a_workflow_survives_a_restart_on_the_same_file(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path)
    told: list[str] = []
    async with embedded_temporal(settings.temporal_db_file, progress=told.append) as server:
        client = await connect(settings, address=server.address)
        assert await ensure_search_attributes(client) == ()
        async with worker(client):
            await start(client, "incident/1")
    assert told == ["starting Temporal"]
    assert not server.process.log_tail().startswith("panic")

    async with embedded_temporal(settings.temporal_db_file) as server:
        client = await connect(settings, address=server.address)
        async with worker(client):
            handle = client.get_workflow_handle_for(Holding.run, "incident/1")
            await handle.signal(Holding.say, "ada")
            assert (await handle.result()).id == "ada"


@pytest.fixture
async def server(tmp_path: Path) -> object:
    async with embedded_temporal(log_file=tmp_path / "temporal.log") as running:
        yield running


async def test_encrypted_and_claim_checked_end_to_end(server: EmbeddedTemporal, tmp_path: Path) -> None:
    settings = load_settings(codec_keys=generate_key("k1"))
    store = FolderStore(tmp_path / "vault")
    client = await connect(settings, address=server.address, store=store)
    async with worker(client):
        await start(client, "large", SECRET * 10_000)
        await start(client, "failing")
        large, failing = (client.get_workflow_handle_for(Holding.run, n) for n in ("large", "failing"))
        await large.signal(Holding.say, "ada")
        assert SECRET in (await large.result()).name
        await failing.signal(Holding.say, "nobody")
        with pytest.raises(WorkflowFailureError) as caught:
            await failing.result()
        assert SECRET in str(caught.value.cause.__cause__)

    histories = [await handle.fetch_history() for handle in (large, failing)]
    for history in histories:
        assert SECRET not in history.to_json()
        assert all(event.ByteSize() < 4096 for event in history.events)
    assert len(list(store.folder.iterdir())) == 1
    assert SECRET.encode() not in next(store.folder.iterdir()).read_bytes()

    replayer = Replayer(workflows=[Holding], plugins=[SoarPlugin(settings, store)])
    for history in histories:
        await replayer.replay_workflow(history)


async def test_incidents_are_listed_by_search_attribute(server: EmbeddedTemporal) -> None:
    client = await connect(Settings(), address=server.address)
    await client.start_workflow(
        Holding.run,
        "",
        id="listed",
        task_queue="q",
        search_attributes=TypedSearchAttributes([SearchAttributePair(STATUS, "open")]),
    )
    deadline = time.monotonic() + 20  # visibility follows a little later
    found: list[str] = []
    while not found and time.monotonic() < deadline:
        found = [w.id async for w in client.list_workflows("SoarStatus = 'open'")]
    assert found == ["listed"]
    assert set(SEARCH_ATTRIBUTES) >= {
        "SoarStatus",
        "SoarPhase",
        "SoarPlaybook",
        "SoarAccount",
        "SoarSeverity",
    }


async def test_a_missing_namespace_is_told(server: EmbeddedTemporal) -> None:
    with pytest.raises(TemporalUnreachable, match=r"no namespace staging.*SOAR_TEMPORAL_NAMESPACE"):
        await connect(load_settings(temporal_namespace="staging"), address=server.address)


async def test_an_unreachable_server_is_told() -> None:
    (port,) = free_ports(1)
    settings = load_settings(temporal_address=f"127.0.0.1:{port}")
    with pytest.raises(
        TemporalUnreachable, match=f"cannot reach Temporal at 127.0.0.1:{port}.*SOAR_TEMPORAL"
    ):
        await connect(settings)
    with pytest.raises(SettingsError, match="SOAR_TEMPORAL_ADDRESS"):
        await connect(load_settings())


async def test_tls_files_are_checked_before_connecting(tmp_path: Path) -> None:
    settings = load_settings(temporal_address="127.0.0.1:1", temporal_tls_ca=tmp_path / "none.pem")
    with pytest.raises(SettingsError, match=r"SOAR_TEMPORAL_TLS_CA: cannot read"):
        await connect(settings)
    (tmp_path / "none.pem").write_text("not a certificate")
    with pytest.raises(SettingsError, match="is not a PEM file"):
        await connect(settings)


async def test_a_taken_port_says_what_to_do(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(TemporalStartError, match=f"port {port} .* SOAR_TEMPORAL_PORT"):
            async with embedded_temporal(tmp_path / "t.db", port=port):
                pass


async def test_a_damaged_database_says_so(tmp_path: Path) -> None:
    (tmp_path / "t.db").write_bytes(b"this is no database " * 100)
    with pytest.raises(TemporalStartError, match=r"t\.db is damaged"):
        async with embedded_temporal(tmp_path / "t.db"):
            pass


async def test_search_attributes_on_the_time_skipping_server() -> None:
    program = shutil.which("temporal-test-server", path=str(Path(sys.executable).parent))
    async with await WorkflowEnvironment.start_time_skipping(test_server_existing_path=program) as env:
        assert set(await ensure_search_attributes(env.client)) == set(SEARCH_ATTRIBUTES)
        assert await ensure_search_attributes(env.client) == ()


async def test_an_attribute_of_another_type_is_told(server: EmbeddedTemporal) -> None:
    client = await connect(load_settings(), address=server.address)
    name = "SoarPhase"
    await client.operator_service.remove_search_attributes(
        RemoveSearchAttributesRequest(namespace="default", search_attributes=[name])
    )
    await client.operator_service.add_search_attributes(
        AddSearchAttributesRequest(
            namespace="default", search_attributes={name: IndexedValueType.INDEXED_VALUE_TYPE_TEXT}
        )
    )
    with pytest.raises(
        TemporalStartError, match="SoarPhase of namespace default has another type than Keyword"
    ):
        await ensure_search_attributes(client)
