"""Child processes that we start, wait for and stop, and that never outlive us.

A child is started through `_guard.py`, so it dies with us even when we are killed with SIGKILL. On Linux the
kernel sees to that; it counts the *thread* that started the child as the parent, so start children from a
thread that lives as long as they should (the one that runs the event loop).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

__all__ = ["ChildDied", "ChildProcess", "ChildTimeout", "child_process", "free_ports", "port_is_free"]

_log = logging.getLogger(__name__)
_GUARD = Path(__file__).with_name("_guard.py")
_TAIL_LINES = 15
_PROGRESS_SECONDS = 5.0

Progress = Callable[[str], None]
"""Told in words how a start is coming along."""


class ChildDied(RuntimeError):
    """A child ended that should be running. The message ends with the last lines of its log."""


class ChildTimeout(RuntimeError):
    """A child runs but did not become ready in time. The message ends with the last lines of its log."""


class ChildProcess:
    """One running child.

    Args:
        name: What people call it, for messages.
        process: The process (on macOS the guard that holds it).
        log_file: Where its output goes.
    """

    def __init__(self, name: str, process: asyncio.subprocess.Process, log_file: Path) -> None:
        self.name = name
        self.log_file = log_file
        self._process = process

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit code, or None while it runs."""
        return self._process.returncode

    def log_tail(self, lines: int = _TAIL_LINES) -> str:
        """The last lines that it wrote."""
        try:
            text = self.log_file.read_bytes()[-65536:].decode(errors="replace")
        except FileNotFoundError:
            return ""
        return "\n".join(text.splitlines()[-lines:])

    def check(self) -> None:
        """Raise ChildDied if it has ended."""
        if self.returncode is not None:
            raise ChildDied(
                f"{self.name} ended with exit code {self.returncode}; its log {self.log_file} ends:\n"
                f"{self.log_tail()}"
            )

    async def wait_until(
        self,
        ready: Callable[[], Awaitable[bool]],
        *,
        timeout: float,
        interval: float = 0.05,
        progress: Progress | None = None,
    ) -> None:
        """Ask `ready` until it says yes.

        Args:
            ready: Asks the child once, quickly; False means not yet.
            timeout: Seconds until it is given up.
            interval: Seconds between two questions.
            progress: Told every few seconds what is waited for.

        Raises:
            ChildDied: It ended before it was ready.
            ChildTimeout: The time is up.
        """
        start = time.monotonic()
        tell_at = start + _PROGRESS_SECONDS
        while True:
            self.check()
            if await ready():
                return
            now = time.monotonic()
            if now - start > timeout:
                raise ChildTimeout(
                    f"{self.name} was not ready after {timeout:.0f} s; its log {self.log_file} ends:\n"
                    f"{self.log_tail()}"
                )
            if now >= tell_at:
                tell_at = now + _PROGRESS_SECONDS
                if progress:
                    progress(f"waiting for {self.name} ({now - start:.0f} s of at most {timeout:.0f} s)")
            await asyncio.sleep(interval)

    async def stop(self, *, timeout: float = 10.0) -> None:
        """End it: SIGTERM, and SIGKILL when it takes longer than `timeout` seconds."""
        if self.returncode is None:
            self._signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(self._process.wait(), timeout)
            except TimeoutError:
                _log.warning("child.killed", extra={"child": self.name, "waited_seconds": timeout})
                self._signal(signal.SIGKILL)
        await self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                await self._process.stdin.wait_closed()

    def _signal(self, number: signal.Signals) -> None:
        # The child leads a process group of its own: the group is the program with its guard.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)


@contextlib.asynccontextmanager
async def child_process(
    name: str,
    command: Sequence[str],
    *,
    log_file: Path,
    env: Mapping[str, str] | None = None,
    stop_timeout: float = 10.0,
    guard: Literal["prctl", "watch"] | None = None,
) -> AsyncIterator[ChildProcess]:
    """Run a program beside us for the length of a block.

    Its output is appended to a file, it is not reached by the terminal's Ctrl-C (we stop it ourselves, in
    order), and it dies with us.

    Args:
        name: What people call it, for messages.
        command: The program, by its absolute path, and its arguments.
        log_file: Where standard output and error go; its folder is made.
        env: The whole environment, or None for ours.
        stop_timeout: Seconds that it gets to end by itself.
        guard: How it is bound to us; by default what the system can do best.
    """
    log_file.parent.mkdir(parents=True, exist_ok=True)
    mode = guard or ("prctl" if sys.platform == "linux" else "watch")
    with log_file.open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-I",
            "-S",
            str(_GUARD),
            str(os.getpid()),
            mode,
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=log,
            stderr=asyncio.subprocess.STDOUT,
            env=dict(env) if env is not None else None,
            start_new_session=True,
        )
    child = ChildProcess(name, process, log_file)
    try:
        yield child
    finally:
        # Shielded: a cancelled caller must not leave the child running.
        stopping = asyncio.ensure_future(child.stop(timeout=stop_timeout))
        try:
            await asyncio.shield(stopping)
        except asyncio.CancelledError:
            await stopping
            raise


def free_ports(count: int, host: str = "127.0.0.1") -> list[int]:
    """Find TCP ports that nothing uses now; all different."""
    with contextlib.ExitStack() as stack:
        found = []
        for _ in range(count):
            sock = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            sock.bind((host, 0))
            found.append(int(sock.getsockname()[1]))
        return found


def port_is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen on this port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((host, port))
        except OSError:
            return False
        return True
