"""What the command's exit codes mean."""

from __future__ import annotations

from enum import IntEnum

__all__ = ["EXIT_CODES_HELP", "ExitCode"]


class ExitCode(IntEnum):
    """The exit codes of every command."""

    OK = 0
    FAILED = 1  # it was tried and failed, or was refused
    USAGE = 2
    NOT_FOUND = 3
    UNREACHABLE = 4  # the server, the database or Temporal does not answer
    NOT_PERMITTED = 5
    INTERRUPTED = 130


EXIT_CODES_HELP = (
    "Exit codes: 0 done · 1 failed or refused · 2 wrong usage · 3 not found · 4 unreachable · 5 not permitted · "
    "130 interrupted. Data goes to standard output, messages to standard error."
)
