"""A real PostgreSQL server for tests: Debian's, in a temporary folder, gone afterwards."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path


class NoPostgres(RuntimeError):
    """PostgreSQL's server is not installed."""


def _program(name: str) -> str:
    for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        if (folder / name).exists():
            return str(folder / name)
    found = shutil.which(name)
    if found is None:
        raise NoPostgres(f"{name} is not installed (Debian: apt-get install postgresql)")
    return found


def _as_user() -> tuple[list[str], int, int]:
    """How to run as somebody else when we are root, whom PostgreSQL refuses."""
    if os.getuid() != 0:
        return [], os.getuid(), os.getgid()
    found = pwd.getpwnam("postgres")
    return (
        ["setpriv", f"--reuid={found.pw_uid}", f"--regid={found.pw_gid}", "--clear-groups"],
        found.pw_uid,
        found.pw_gid,
    )


@contextlib.contextmanager
def postgres_server() -> Iterator[str]:
    """Run a server on a free loopback port.

    Yields:
        The URL of its database `postgres`, `postgresql+asyncpg://…`.

    Raises:
        NoPostgres: It is not installed.
    """
    initdb, control = _program("initdb"), _program("pg_ctl")
    prefix, uid, gid = _as_user()
    folder = Path(tempfile.mkdtemp(prefix="soar-pg-", dir="/tmp"))
    os.chown(folder, uid, gid)
    data = folder / "data"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    def run(*command: str) -> None:
        subprocess.run([*prefix, *command], check=True, cwd=folder, stdout=subprocess.DEVNULL)

    try:
        run(initdb, "-D", str(data), "-U", "soar", "-A", "trust", "-E", "UTF8", "--no-sync")
        options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off -c full_page_writes=off"
        run(control, "-D", str(data), "-o", options, "-l", str(folder / "log"), "-w", "start")
        try:
            yield f"postgresql+asyncpg://soar@127.0.0.1:{port}/postgres"
        finally:
            run(control, "-D", str(data), "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
