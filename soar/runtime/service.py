"""The web service: the app and the router of alerts, in one process."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import uvicorn
from temporalio.service import RPCError

from soar.actions.registry import catalogue
from soar.intake.router import Router
from soar.intake.sns import SnsGate
from soar.playbook.library import Library
from soar.runtime.parts import Deliver, Parts
from soar.runtime.playbook_inputs import PlaybookInputs
from soar.runtime.settings import Settings, SettingsError
from soar.sources.registry import sources
from soar.web.app import create_app
from soar.web.services import Services

__all__ = ["bind", "run_web"]

START_SECONDS = 20.0
_log = logging.getLogger("soar.web")


def bind(settings: Settings) -> socket.socket:
    """Take the web app's port, before anything else is started.

    Raises:
        SettingsError: Somebody else has it.
    """
    try:
        listener = socket.create_server((settings.web_host, settings.web_port), backlog=512)
    except OSError as error:
        where = f"{settings.web_host}:{settings.web_port}"
        raise SettingsError(
            [("SOAR_WEB_PORT", f"cannot listen on {where}: {error.strerror}; set it to a free port, or 0")]
        ) from error
    listener.setblocking(False)
    return listener


@contextlib.asynccontextmanager
async def run_web(
    parts: Parts,
    listener: socket.socket,
    library: Library,
    inputs: PlaybookInputs,
    *,
    temporal_ui_url: str = "",
) -> AsyncIterator[str]:
    """Serve for the length of a block.

    Args:
        listener: From `bind`.
        library: The playbooks in force.
        inputs: What their inputs are set to.

    Yields:
        The app's address.
    """
    settings = parts.settings
    router = Router(parts.store, library, Deliver(parts, library, inputs))
    host, port = listener.getsockname()[:2]
    app = create_app(
        Services(
            store=parts.store,
            vault=parts.vault,
            library=library,
            catalogue=catalogue(),
            policy=parts.policy.current,
            sources=sources(),
            secrets=lambda name: tuple(s.get_secret_value() for s in settings.source_secrets.get(name, ())),
            engine=parts.engine,
            nudge_alerts=router.nudge,
            nudge_clicks=parts.chat.clicks.nudge if parts.chat else lambda: None,
            session_key=_session_key(settings.home),
            temporal_ready=lambda: _temporal_ready(parts),
            slack_signing_secret=(
                settings.slack_signing_secret.get_secret_value() if settings.slack_signing_secret else ""
            ),
            temporal_ui_url=(
                f"{temporal_ui_url.rstrip('/')}/namespaces/{quote(settings.temporal_namespace, safe='')}"
                if temporal_ui_url
                else ""
            ),
            sns=SnsGate(settings.sns_topics),
            secure_cookies=settings.public_url.startswith("https://"),
        )
    )
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            ws="none",
            timeout_graceful_shutdown=5,
            server_header=False,
        )
    )
    # Signals are the program's, which ends everything in order; the server must not take them.
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    stop = asyncio.Event()
    tasks = [asyncio.create_task(server.serve(sockets=[listener]), name="web")]
    tasks.append(asyncio.create_task(router.run(stop), name="router"))
    try:
        async with asyncio.timeout(START_SECONDS):
            while not server.started:
                if tasks[0].done():
                    tasks[0].result()
                await asyncio.sleep(0.02)
        address = f"http://{host}:{port}"
        _log.info("web.started", extra={"address": address})
        yield address
    finally:
        stop.set()
        server.should_exit = True
        await asyncio.gather(*tasks)


async def _temporal_ready(parts: Parts) -> bool:
    try:
        return await parts.temporal.service_client.check_health()
    except RPCError:
        return False


def _session_key(home: Path) -> bytes:
    """What signs the console's cookies: made once for each home, so that a restart logs nobody out."""
    home.mkdir(parents=True, exist_ok=True)
    path = home / "session.key"
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_bytes()
    with os.fdopen(handle, "wb") as file:
        key = secrets.token_bytes(32)
        file.write(key)
    return key
