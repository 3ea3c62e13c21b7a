"""What the commands that run playbooks dry have in common: reading the playbook and the policy, and running."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from soar.cli.exit_codes import ExitCode
from soar.cli.output import fail

if TYPE_CHECKING:
    from soar.playbook.policy import Policy
    from soar.rehearse.prepare import Subject
    from soar.runtime.settings import Settings

__all__ = ["played", "policy_in", "subject_of"]

T = TypeVar("T")


def subject_of(target: str, settings: Settings, inputs: Path | None) -> Subject:
    """The playbook of a dry run, by its name or its file.

    Raises:
        CommandFailed: There is none.
        PlaybookError: It, or the inputs, cannot be used.
    """
    from soar.rehearse.prepare import load_subject

    try:
        return load_subject(target, settings, inputs=inputs)
    except KeyError as error:
        fail(str(error.args[0]), ExitCode.NOT_FOUND)


def policy_in(file: Path | None, settings: Settings) -> Policy | None:
    """The policy in a file; by default the one in force.

    Raises:
        PlaybookError: It cannot be used.
    """
    from soar.runtime.policy_file import PolicyFile

    return PolicyFile(file or settings.policy_file).current()


def played(work: Coroutine[Any, Any, T]) -> T:
    """Run a dry run.

    Raises:
        CommandFailed: It could not be run, with what to do.
    """
    import asyncio

    from temporalio.runtime import Runtime, TelemetryConfig
    from temporalio.service import RPCError

    from soar.engine.client import EngineUnavailable
    from soar.playtest.server import TestServerMissing
    from soar.rehearse.plan import NotAnswered
    from soar.rehearse.stage import DryRunFailed
    from soar.runtime.account import SimulatedAccountError
    from soar.runtime.client import TemporalUnreachable

    # Temporal's own log goes to standard output, where the results go.
    Runtime.set_default(Runtime(telemetry=TelemetryConfig(logging=None)), error_if_already_set=False)
    expected = (TestServerMissing, SimulatedAccountError, NotAnswered)
    try:
        with _quiet():
            return asyncio.run(work)
    except expected as error:
        fail(str(error))
    except (DryRunFailed, EngineUnavailable, RPCError, TemporalUnreachable) as error:
        fail(f"the dry run did not come to its end: {error}")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep warnings about refusals, which the result tells of, off the terminal where no log is set up."""
    handler = logging.NullHandler()
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
