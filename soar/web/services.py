"""What the web app is given."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from soar.engine.client import Command
from soar.engine.messages import (
    IncidentStart,
    NoteRequest,
    PersonRequest,
    Reply,
    StepDecisionRequest,
    UndoRequest,
    VoteRequest,
)
from soar.evidence import Vault
from soar.intake.sns import SnsGate
from soar.model.spec import Catalogue
from soar.playbook.library import Library
from soar.playbook.policy import Policy
from soar.sources.contract import Source
from soar.store import Store

__all__ = ["IncidentCommands", "Services"]


class IncidentCommands(Protocol):
    """What is told to incidents: `soar.engine.client.IncidentEngine`."""

    async def vote(self, workflow: str, request: VoteRequest, *, request_id: str) -> Reply:
        """Cast a vote."""
        ...

    async def decide_step(self, workflow: str, request: StepDecisionRequest, *, request_id: str) -> Reply:
        """Decide about a failed step."""
        ...

    async def note(self, workflow: str, request: NoteRequest, *, request_id: str) -> Reply:
        """Put words on the timeline."""
        ...

    async def tell(
        self, workflow: str, command: Command, request: PersonRequest, *, request_id: str
    ) -> Reply:
        """Tell an incident something, by the update's name."""
        ...

    async def undo(
        self, workflow: str, request: UndoRequest, *, request_id: str, closed: IncidentStart | None = None
    ) -> Reply:
        """Begin to put changes back."""
        ...

    async def start_of(self, workflow: str, run_id: str) -> IncidentStart:
        """What an incident was started with."""
        ...


@dataclass(frozen=True)
class Services:
    """Everything that the app works with.

    Args:
        policy: Gives the policy in force; raises `PlaybookError` while its file is broken.
        secrets: A source's name → its secrets in force.
        nudge_alerts: Called when an alert came in.
        nudge_clicks: Called when a click came in.
        sns: Proves what comes from Amazon SNS.
        slack_signing_secret: Empty: clicks do not come by HTTP.
        session_key: Signs the console's cookies.
        temporal_ready: Whether Temporal answers.
        temporal_ui_url: Of the namespace in Temporal's UI, for a link in the console; empty: none.
    """

    store: Store
    vault: Vault
    library: Library
    catalogue: Catalogue
    policy: Callable[[], Policy | None]
    sources: Mapping[str, Source]
    secrets: Callable[[str], tuple[str, ...]]
    engine: IncidentCommands
    nudge_alerts: Callable[[], None]
    nudge_clicks: Callable[[], None]
    session_key: bytes
    temporal_ready: Callable[[], Awaitable[bool]]
    slack_signing_secret: str = ""
    temporal_ui_url: str = ""
    secure_cookies: bool = False
    sns: SnsGate = field(default_factory=SnsGate)
