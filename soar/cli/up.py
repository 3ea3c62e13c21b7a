"""`soar up`, `soar web` and `soar migrate`: the system for keeps."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence

from rich.console import Console
from rich.text import Text

from soar.engine.messages import CHAT_QUEUE, ORCHESTRATOR_QUEUE
from soar.playbook.diagnostics import PlaybookError
from soar.runtime.client import TemporalUnreachable
from soar.runtime.health import keep_alive_file
from soar.runtime.logging import configure_logging
from soar.runtime.parts import Core, load_library, open_core, open_parts
from soar.runtime.playbook_inputs import PlaybookInputs
from soar.runtime.service import bind, run_web
from soar.runtime.settings import Settings, SettingsError, load_settings, unknown_variables
from soar.runtime.stack import running_stack
from soar.runtime.temporal_server import TemporalStartError
from soar.runtime.worker import run_workers, temporal_answers
from soar.store import StoreUnavailable, migrate

__all__ = ["migrate_command", "up_command", "web_command", "worker_command"]

CANNOT_START = (
    SettingsError,
    PlaybookError,
    TemporalStartError,
    TemporalUnreachable,
    StoreUnavailable,
    ValueError,
)
"""What a start can fail with; each message says what to do."""

_messages = Console(stderr=True)
Command = Callable[[Settings], Coroutine[None, None, int]]


def _start() -> Settings:
    """Read the settings and set up the log.

    Raises:
        SettingsError: A setting cannot be used.
    """
    settings = load_settings()
    configure_logging(
        settings.log_format, settings.log_level, secrets=settings.secret_values(), stream=sys.stderr
    )
    for name, near in unknown_variables(os.environ):
        hint = f"; did you mean {near}?" if near else ""
        _messages.print(Text(f"warning: nothing reads the variable {name}{hint}"))
    return settings


@contextlib.asynccontextmanager
async def _stopped() -> AsyncIterator[asyncio.Event]:
    """An event that SIGINT and SIGTERM set."""
    event = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, event.set)
    try:
        yield event
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


def up_command() -> int:
    """Run everything in one process, with its state under `SOAR_HOME`, until it is told to stop."""
    return _guarded(_up)


def web_command() -> int:
    """Run the web app, the router and the click loop; workers run elsewhere."""
    return _guarded(_web)


def worker_command(queues: Sequence[str]) -> int:
    """Serve task queues until SIGINT or SIGTERM.

    Args:
        queues: See `known_queues`.
    """

    async def run(settings: Settings) -> int:
        return await _serve(settings, queues)

    return _guarded(run)


def migrate_command() -> int:
    """Bring the store's tables up to date."""

    async def run(settings: Settings) -> int:
        await migrate(settings.database)
        _messages.print("the store is up to date")
        return 0

    return _guarded(run)


def _guarded(main: Command) -> int:
    try:
        return asyncio.run(main(_start()))
    except CANNOT_START as error:
        _messages.print(Text(f"soar cannot start: {error}", style="red"))
        return 1


async def _up(settings: Settings) -> int:
    broken: list[BaseException] = []
    async with _stopped() as stop:

        def fatal(error: BaseException) -> None:
            broken.append(error)
            stop.set()

        progress = _messages.print
        async with running_stack(
            settings, progress=lambda what: progress(Text(f"· {what}", style="dim")), fatal=fatal
        ) as stack:
            _tell(settings, stack.url, stack.temporal_ui_url)
            await stop.wait()
            progress("stopping: what runs now goes on after the next start")
    if broken:
        _messages.print(Text(f"a worker failed: {broken[0]}", style="red"))
    return 1 if broken else 0


async def _serve(settings: Settings, queues: Sequence[str]) -> int:
    broken: list[BaseException] = []
    async with _stopped() as stop:

        def fatal(error: BaseException) -> None:
            broken.append(error)
            stop.set()

        async with contextlib.AsyncExitStack() as stack:
            # A worker of actions alone is given neither the database nor the policy.
            whole = bool({ORCHESTRATOR_QUEUE, CHAT_QUEUE} & set(queues))
            core: Core = (
                await stack.enter_async_context(open_parts(settings)) if whole else await open_core(settings)
            )
            await stack.enter_async_context(run_workers(core, queues, fatal=fatal))
            if settings.health_file is not None:
                alive = keep_alive_file(settings.health_file, lambda: temporal_answers(core.temporal))
                stack.callback(asyncio.create_task(alive).cancel)
            _messages.print(Text(f"serving {', '.join(queues)}"))
            await stop.wait()
    return 1 if broken else 0


async def _web(settings: Settings) -> int:
    library = load_library(settings)
    inputs = PlaybookInputs.load(settings.playbook_inputs, library)
    with contextlib.closing(bind(settings)) as listener:
        async with (
            _stopped() as stop,
            open_parts(settings) as parts,
            run_web(parts, listener, library, inputs) as url,
        ):
            _tell(settings, url, "")
            await stop.wait()
    return 0


def _tell(settings: Settings, url: str, temporal_ui: str) -> None:
    _messages.print(Text(f"console      {settings.public_url or url}"))
    if temporal_ui:
        _messages.print(Text(f"Temporal UI  {temporal_ui}"))
    sources = ", ".join(f"{url}/hooks/{name}" for name in sorted(settings.source_secrets))
    _messages.print(
        Text(f"webhooks     {sources or 'none: set SOAR_SOURCE_GUARDDUTY_SECRETS to take alerts'}")
    )
    if settings.policy_file is None:
        _messages.print("no policy (SOAR_POLICY_FILE): reads run, every change asks, and nobody can approve")
    if settings.slack_bot_token is None:
        _messages.print("no chat (SLACK_BOT_TOKEN): people decide in the console and by the command line")
