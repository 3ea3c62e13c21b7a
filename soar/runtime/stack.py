"""Everything in one process: what `soar up` and `soar demo` run."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

from soar.engine.messages import CHAT_QUEUE
from soar.playbook.library import Library
from soar.runtime.parts import Parts, load_library, open_parts
from soar.runtime.playbook_inputs import PlaybookInputs
from soar.runtime.service import bind, run_web
from soar.runtime.settings import Settings
from soar.runtime.temporal_server import embedded_temporal
from soar.runtime.worker import known_queues, run_workers
from soar.store import migrate

__all__ = ["Stack", "running_stack"]

_log = logging.getLogger("soar.stack")


@dataclass(frozen=True)
class Stack:
    """A running system.

    Args:
        url: The web app's address.
        temporal_ui_url: The embedded server's UI; empty where there is none.
    """

    parts: Parts
    library: Library
    url: str
    temporal_ui_url: str


@contextlib.asynccontextmanager
async def running_stack(
    settings: Settings,
    *,
    progress: Callable[[str], None] = lambda _what: None,
    temporal_ui: bool = True,
    fatal: Callable[[BaseException], None] | None = None,
) -> AsyncIterator[Stack]:
    """Run the whole system for the length of a block: Temporal (embedded or existing), store, workers, web.

    Args:
        progress: Told in words what is being started.
        temporal_ui: Whether the embedded server shows its UI.
        fatal: Told when a worker cannot go on.

    Raises:
        SettingsError, PlaybookError, TemporalStartError, TemporalUnreachable, StoreUnavailable: With what to do.
    """
    async with contextlib.AsyncExitStack() as stack:
        # What can be wrong with files and ports is found out before anything is started.
        library = load_library(settings)
        inputs = PlaybookInputs.load(settings.playbook_inputs, library)
        listener = stack.enter_context(contextlib.closing(bind(settings)))
        settings.home.mkdir(parents=True, exist_ok=True)
        progress("preparing the store")
        await migrate(settings.database)
        address, ui_url = None, ""
        if not settings.temporal_address:
            server = await stack.enter_async_context(
                embedded_temporal(
                    settings.temporal_db_file,
                    ui=temporal_ui,
                    port=settings.temporal_port,
                    ui_port=settings.temporal_ui_port,
                    namespace=settings.temporal_namespace,
                    log_file=Path(settings.home) / "temporal.log",
                    synchronous=settings.temporal_synchronous,
                    progress=progress,
                )
            )
            address, ui_url = server.address, server.ui_url
        parts = await stack.enter_async_context(open_parts(settings, temporal_address=address))
        progress("starting the workers")
        queues = [q for q in known_queues() if q != CHAT_QUEUE or parts.chat is not None]
        await stack.enter_async_context(run_workers(parts, queues, fatal=fatal))
        progress("starting the web app")
        url = await stack.enter_async_context(
            run_web(parts, listener, library, inputs, temporal_ui_url=ui_url)
        )
        yield Stack(parts, library, url, ui_url)
