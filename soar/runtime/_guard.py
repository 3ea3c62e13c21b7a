"""Starts a program that must not outlive the process that asked for it. Standard library only.

Run as a script: `python -I -S _guard.py PARENT_PID MODE PROGRAM ARG…`. With MODE `prctl` (Linux) the kernel
kills the program when the parent dies, however it dies, and no extra process stays. With MODE `watch` (macOS
and others, which have no such call) this script stays as the program's parent and kills it when its own
standard input, a pipe that only the parent holds open, comes to its end.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def run_prctl(parent: int, command: list[str]) -> None:
    """Become the program, with the kernel told to kill it when the parent dies."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        sys.exit(f"cannot bind {command[0]} to its parent: {os.strerror(ctypes.get_errno())}")
    if os.getppid() != parent:  # it died before the line above
        sys.exit("the parent is gone")
    os.execv(command[0], command)  # noqa: S606


def run_watch(command: list[str]) -> int:
    """Start the program and kill it when standard input ends.

    Signals go to the whole process group, so the program gets its own; this script only outlives them.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: None)
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)  # noqa: S603

    def watch() -> None:
        while os.read(0, 4096):
            pass
        child.kill()

    threading.Thread(target=watch, daemon=True).start()
    code = child.wait()
    return 128 - code if code < 0 else code


def main(arguments: list[str]) -> int:
    """Run one program; see the module."""
    parent, mode, *command = arguments
    if mode == "prctl":
        run_prctl(int(parent), command)
    return run_watch(command)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
