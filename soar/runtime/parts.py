"""The parts that the processes of the system are put together from."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from temporalio.client import Client

from soar.actions.registry import catalogue
from soar.chat.activities import ChatActivities
from soar.chat.client import ChatClient
from soar.chat.deliver import InteractionHandler
from soar.chat.settings import ChatSettings
from soar.engine.client import IncidentEngine
from soar.engine.messages import IncidentStart
from soar.evidence import Vault, open_vault
from soar.model.alert import Alert
from soar.playbook.cacao.shelf import Shelf
from soar.playbook.compiler import Find, compile_playbook
from soar.playbook.diagnostics import Diagnostic, PlaybookError
from soar.playbook.library import Library
from soar.playbook.lint import lint
from soar.playbook.loader import LoadedPlaybook
from soar.playbook.policy import Policy
from soar.runtime.clicks import ClickLoop
from soar.runtime.client import connect
from soar.runtime.playbook_inputs import PlaybookInputs
from soar.runtime.policy_file import PolicyFile
from soar.runtime.settings import Settings
from soar.runtime.temporal_server import ensure_search_attributes
from soar.store import Store

__all__ = ["Chat", "Core", "Deliver", "Parts", "load_library", "open_core", "open_parts"]

_log = logging.getLogger("soar.parts")


@dataclass(frozen=True)
class Chat:
    """The connected workspace."""

    client: ChatClient
    activities: ChatActivities
    clicks: ClickLoop


@dataclass(frozen=True)
class Core:
    """What every process holds. A worker of actions needs no more: no database, no policy, no chat."""

    settings: Settings
    vault: Vault
    temporal: Client


@dataclass(frozen=True)
class Parts(Core):
    """What the web app and the workers of the queues `orchestrator` and `chat` hold.

    Args:
        chat: None where this process has no bot token.
    """

    store: Store
    engine: IncidentEngine
    policy: PolicyFile
    chat: Chat | None


async def open_core(settings: Settings, *, temporal_address: str | None = None) -> Core:
    """Open the vault and Temporal.

    Args:
        temporal_address: The embedded server's, where one was started.

    Raises:
        SettingsError, TemporalUnreachable: One of them cannot be used; the message says which and what to do.
    """
    vault = open_vault(settings.vault)
    temporal = await connect(settings, address=temporal_address, store=vault)
    added = await ensure_search_attributes(temporal)
    if added:
        _log.info("temporal.search_attributes_added", extra={"names": ", ".join(added)})
    return Core(settings, vault, temporal)


@contextlib.asynccontextmanager
async def open_parts(settings: Settings, *, temporal_address: str | None = None) -> AsyncIterator[Parts]:
    """Open vault, store, Temporal and chat for the length of a block.

    Args:
        temporal_address: The embedded server's, where one was started.

    Raises:
        SettingsError, StoreUnavailable, TemporalUnreachable, PlaybookError: One of them cannot be used; the message
            says which and what to do.
    """
    policy = PolicyFile(settings.policy_file)
    policy.current()
    core = await open_core(settings, temporal_address=temporal_address)
    engine = IncidentEngine(core.temporal)
    async with contextlib.AsyncExitStack() as stack:
        store = await Store.open(settings.database)
        stack.push_async_callback(store.close)
        chat = await _open_chat(settings, store, policy, engine, stack)
        yield Parts(settings, core.vault, core.temporal, store, engine, policy, chat)


async def _open_chat(
    settings: Settings,
    store: Store,
    policy: PolicyFile,
    engine: IncidentEngine,
    stack: contextlib.AsyncExitStack,
) -> Chat | None:
    if settings.slack_bot_token is None:
        return None
    client = await stack.enter_async_context(
        ChatClient(settings.slack_bot_token.get_secret_value(), base_url=settings.slack_base_url)
    )
    own = ChatSettings(
        main_channel=settings.slack_channel, public_url=settings.public_url, app_id=settings.slack_app_id
    )

    async def current() -> Policy | None:
        return await asyncio.to_thread(policy.current)

    return Chat(
        client=client,
        activities=ChatActivities(store, store.chat_refs, client, own, current),
        clicks=ClickLoop(store, InteractionHandler(store, current, client, engine, own)),
    )


def load_library(settings: Settings) -> Library:
    """Load every playbook, and refuse all of them if one has an error.

    Raises:
        PlaybookError: With file, line and the nearest right name of every error.
    """
    known = catalogue()

    def read_cacao(texts: Mapping[str, str], find: Find) -> tuple[list[LoadedPlaybook], list[Diagnostic]]:
        shelf = Shelf(texts, catalogue=known, now=datetime.now(UTC), settings=settings.cacao, find=find)
        imported, refused = shelf.read()
        for warning in (w for one in imported for w in one.warnings):
            _log.warning("playbook.warning", extra={"where": str(warning)})
        return [one.loaded for one in imported], refused

    library = Library.load(*settings.playbook_folders, read_cacao=read_cacao)
    found = [d for loaded in library for d in lint(loaded, known, library.get)]
    for diagnostic in found:
        if diagnostic.severity == "warning":
            _log.warning("playbook.warning", extra={"where": str(diagnostic)})
    errors = [d for d in found if d.severity == "error"]
    if errors:
        raise PlaybookError(errors)
    return library


class Deliver:
    """Brings alerts to the open incident of their key, or opens one with the playbook as it is now.

    Args:
        parts: The engine, and whether a chat is connected.
        library: The playbooks, for those that a playbook calls.
        inputs: What playbooks' inputs are set to.
    """

    def __init__(self, parts: Parts, library: Library, inputs: PlaybookInputs) -> None:
        self._engine, self._library, self._inputs = parts.engine, library, inputs
        self._chat = parts.settings.has_chat
        self._catalogue = catalogue()

    async def __call__(
        self, loaded: LoadedPlaybook, key: str, alerts: Sequence[Alert], may_open: bool
    ) -> str | None:
        """Deliver.

        Returns:
            The workflow's id; None if nothing is open and nothing may be opened.

        Raises:
            EngineUnavailable: Try again.
        """
        first = alerts[0]
        start = IncidentStart(
            incident_id=_incident_id(loaded.playbook.name, key, first),
            title=first.title,
            playbook=loaded.playbook.name,
            playbook_text=loaded.text,
            playbook_digest=loaded.digest,
            graph=compile_playbook(loaded, self._catalogue, self._library.get),
            inputs=self._inputs.of(loaded.playbook),
            correlation_key=key,
            chat=self._chat,
        )
        return await self._engine.deliver(start, alerts, may_open=may_open)


def _incident_id(playbook: str, key: str, first: Alert) -> str:
    """A short id for people; the same for the same alert, so that a repeated delivery proposes no other."""
    digest = hashlib.sha256("\0".join((playbook, key, first.key)).encode()).digest()
    return "INC-" + base64.b32encode(digest).decode()[:8]
