"""The command line against the real app, which runs in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvicorn
from web_world import REPORT, TOKEN, World, busy, web_world

from soar.cli.main import run
from soar.web.app import create_app

Soar = Callable[..., tuple[int, str, str]]


@pytest.fixture
def soar(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Soar:
    """Run a command: its exit code, standard output and standard error."""
    for name in ("SOAR_URL", "SOAR_TOKEN", "SOAR_POLICY_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SOAR_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments: str) -> tuple[int, str, str]:
        code = run(list(arguments))
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return call


@contextlib.contextmanager
def _serving(folder: Path) -> Iterator[tuple[World, str]]:
    listener = socket.create_server(("127.0.0.1", 0))
    ready, stop = threading.Event(), asyncio.Event()
    found: list[World] = []
    loops: list[asyncio.AbstractEventLoop] = []

    async def serve() -> None:
        async with web_world(folder) as world:
            loops.append(asyncio.get_running_loop())
            digest = (await world.vault.put(REPORT)).digest
            await world.store.project(busy("INC-1", "a plain text", json=digest, md=digest))
            found.append(world)
            server = uvicorn.Server(
                uvicorn.Config(create_app(world.services), log_config=None, lifespan="off", ws="none")
            )
            task = asyncio.create_task(server.serve(sockets=[listener]))
            while not server.started:  # noqa: ASYNC110 - uvicorn tells it by a flag only
                await asyncio.sleep(0.01)
            ready.set()
            await stop.wait()
            server.should_exit = True
            await task

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert ready.wait(20)
        yield found[0], f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        loops[0].call_soon_threadsafe(stop.set)
        thread.join(20)
        listener.close()


@pytest.fixture
def server(tmp_path: Path, soar: Soar, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A running app with one incident, and the environment that leads to it."""
    del soar
    with _serving(tmp_path) as (world, url):
        monkeypatch.setenv("SOAR_URL", url)
        monkeypatch.setenv("SOAR_TOKEN", TOKEN)
        yield world
