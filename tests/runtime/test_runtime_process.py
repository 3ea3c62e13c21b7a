"""Children: they become ready, they are stopped, and they never outlive us."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path
from typing import Literal

import pytest

from soar.runtime.process import ChildDied, ChildTimeout, child_process, free_ports, port_is_free

ROOT = Path(__file__).resolve().parents[2]
SLEEPER = [sys.executable, "-c", "print('up', flush=True); import time; time.sleep(600)"]
Guard = Literal["prctl", "watch"]
GUARDS: list[Guard] = ["prctl", "watch"] if sys.platform == "linux" else ["watch"]

PARENT = """
import asyncio, sys
from pathlib import Path
from soar.runtime.process import child_process

async def main():
    program = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
    async with child_process("sleeper", [sys.executable, "-c", program], log_file=Path(sys.argv[1]),
                             guard=sys.argv[2]):
        await asyncio.Event().wait()

asyncio.run(main())
"""


def is_alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        if Path("/proc/self").exists():
            return False
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        return True
    return stat.rpartition(")")[2].split()[0] != "Z"


async def until(condition: object, *, seconds: float = 20) -> None:
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "gave up waiting"
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("guard", GUARDS)
async def test_a_child_dies_when_its_parent_is_killed(tmp_path: Path, guard: Guard) -> None:
    log = tmp_path / "child.log"
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, str(log), guard, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    try:
        await until(lambda: log.exists() and log.read_text().strip())
        child = int(log.read_text())
        assert is_alive(child)
    finally:
        parent.kill()
        await parent.wait()
    await until(lambda: not is_alive(child))


@pytest.mark.parametrize("guard", GUARDS)
async def test_leaving_the_block_stops_the_child(tmp_path: Path, guard: Guard) -> None:
    log = tmp_path / "logs" / "child.log"
    async with child_process("sleeper", SLEEPER, log_file=log, guard=guard) as child:

        async def ready() -> bool:
            return "up" in child.log_tail()

        await child.wait_until(ready, timeout=20)
        assert child.returncode is None
    assert child.returncode is not None
    assert not is_alive(child.pid)


@pytest.mark.parametrize("guard", GUARDS)
async def test_a_child_that_ignores_sigterm_is_killed(tmp_path: Path, guard: Guard) -> None:
    program = (
        "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "print(os.getpid(), flush=True); time.sleep(600)"
    )
    log = tmp_path / "child.log"
    async with child_process(
        "stubborn", [sys.executable, "-c", program], log_file=log, stop_timeout=0.2, guard=guard
    ) as child:
        await until(lambda: child.log_tail().strip())
        pid = int(child.log_tail())
    assert child.returncode == -signal.SIGKILL
    await until(lambda: not is_alive(pid))


async def test_a_child_that_dies_is_told_with_its_last_words(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; sys.exit('no such database')"]

    async def never() -> bool:
        return False

    async with child_process("server", command, log_file=tmp_path / "log") as child:
        with pytest.raises(ChildDied, match=r"server ended with exit code 1.*(?s:.)*no such database"):
            await child.wait_until(never, timeout=20)


async def test_a_child_that_does_not_get_ready_is_given_up(tmp_path: Path) -> None:
    async def never() -> bool:
        return False

    async with child_process("server", SLEEPER, log_file=tmp_path / "log") as child:
        with pytest.raises(ChildTimeout, match="server was not ready after 0 s"):
            await child.wait_until(never, timeout=0.1)


async def test_a_cancelled_caller_stops_the_child(tmp_path: Path) -> None:
    started = asyncio.Event()
    pids: list[int] = []

    async def hold() -> None:
        async with child_process("sleeper", SLEEPER, log_file=tmp_path / "log") as child:
            pids.append(child.pid)
            started.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(hold())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not is_alive(pids[0])


def test_free_ports_are_free_and_different() -> None:
    ports = free_ports(5)
    assert len(set(ports)) == 5
    assert all(port_is_free(port) for port in ports)
