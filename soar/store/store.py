"""The store: one object for everything that is kept in the database."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import text

from soar.model.base import JsonObject
from soar.model.incident import Incident
from soar.model.people import Responder
from soar.model.timeline import TimelineEntry
from soar.playbook.policy import Halt, Spent
from soar.store.alerts import Alerts
from soar.store.database import Database
from soar.store.directory import ChatRefs, Tokens
from soar.store.inbox import Inbox
from soar.store.limits import Changes, Halts, Refusal
from soar.store.projection import Projection
from soar.store.rows import (
    AlertRow,
    AlertStatus,
    ApprovalLocation,
    ChatRef,
    HaltChange,
    HaltRecord,
    InboxItem,
    InboxKind,
    IncidentSummary,
    Received,
)

__all__ = ["Store"]


class Store:
    """Incidents, timelines, the inbox, alerts, chat references, tokens, and what the policy's limits look at.

    Each method says what it does in the part that it belongs to: `Projection`, `Inbox`, `Alerts`, `ChatRefs`, `Tokens`,
    `Changes`, `Halts`.
    Every one raises `StoreUnavailable` when the database cannot be reached.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._projection, self._inbox = Projection(database), Inbox(database)
        self._alerts, self._tokens = Alerts(database), Tokens(database)
        self._changes, self._halts = Changes(database), Halts(database)
        self.chat_refs = ChatRefs(database)

    @classmethod
    async def open(cls, url: str, *, synchronous: str = "FULL") -> Store:
        """Open a database that `migrate` has brought up to date.

        Args:
            url: `sqlite+aiosqlite:///file` or `postgresql+asyncpg://…`.
            synchronous: SQLite's setting; FULL keeps what was acknowledged also through a power loss.

        Raises:
            StoreUnavailable: It cannot be reached.
        """
        store = cls(Database(url, synchronous=synchronous))
        await store.ping()
        return store

    async def close(self) -> None:
        """Close every connection."""
        await self._database.close()

    async def ping(self) -> None:
        """Make sure that the database answers."""
        async with self._database.reading() as connection:
            await connection.execute(text("SELECT 1"))

    async def project(self, entries: Sequence[TimelineEntry]) -> int:
        """See `Projection.project`."""
        return await self._projection.project(entries)

    async def incident(self, incident_id: str) -> Incident | None:
        """See `Projection.incident`."""
        return await self._projection.incident(incident_id)

    async def incidents(
        self, *, status: str = "", limit: int = 50, before: str = ""
    ) -> list[IncidentSummary]:
        """See `Projection.incidents`."""
        return await self._projection.incidents(status=status, limit=limit, before=before)

    async def timeline(self, incident_id: str, *, after: int = 0, limit: int = 1000) -> list[TimelineEntry]:
        """See `Projection.timeline`."""
        return await self._projection.timeline(incident_id, after=after, limit=limit)

    async def approval_location(self, approval_id: str) -> ApprovalLocation | None:
        """See `Projection.approval_location`."""
        return await self._projection.approval_location(approval_id)

    async def incident_of_approval(self, approval_id: str) -> Incident | None:
        """See `Projection.incident_of_approval`."""
        return await self._projection.incident_of_approval(approval_id)

    async def receive(self, kind: InboxKind, key: str, body: JsonObject) -> Received:
        """See `Inbox.receive`."""
        return await self._inbox.receive(kind, key, body)

    async def claim(self, kind: InboxKind, *, limit: int = 100, lease: float = 30.0) -> list[InboxItem]:
        """See `Inbox.claim`."""
        return await self._inbox.claim(kind, limit=limit, lease=lease)

    async def done(self, item_id: int, outcome: str) -> None:
        """See `Inbox.done`."""
        await self._inbox.done(item_id, outcome)

    async def retry(self, item_id: int, error: str, delay: float) -> None:
        """See `Inbox.retry`."""
        await self._inbox.retry(item_id, error, delay)

    async def pending(self, kind: InboxKind) -> int:
        """See `Inbox.pending`."""
        return await self._inbox.pending(kind)

    async def save_alert(self, row: AlertRow) -> bool:
        """See `Alerts.save`."""
        return await self._alerts.save(row)

    async def receive_alert(self, row: AlertRow) -> bool:
        """See `Alerts.receive`."""
        return await self._alerts.receive(row)

    async def set_alert(
        self,
        alert_id: str,
        status: AlertStatus,
        *,
        playbook: str = "",
        workflow_id: str = "",
        reason: str = "",
    ) -> None:
        """See `Alerts.set`."""
        await self._alerts.set(alert_id, status, playbook=playbook, workflow_id=workflow_id, reason=reason)

    async def was_routed(self, source: str, uid: str, *, other_than: str) -> bool:
        """See `Alerts.was_routed`."""
        return await self._alerts.was_routed(source, uid, other_than=other_than)

    async def has_alert(self, workflow_id: str, alert_key: str) -> bool:
        """See `Projection.has_alert`."""
        return await self._projection.has_alert(workflow_id, alert_key)

    async def alerts(
        self, *, status: str = "", incident_id: str = "", limit: int = 50, before: str = ""
    ) -> list[AlertRow]:
        """See `Alerts.list`."""
        return await self._alerts.list(status=status, incident_id=incident_id, limit=limit, before=before)

    async def alert(self, alert_id: str) -> AlertRow | None:
        """See `Alerts.get`."""
        return await self._alerts.get(alert_id)

    async def chat_ref(self, incident_id: str, key: str) -> ChatRef | None:
        """See `ChatRefs.get`."""
        return await self.chat_refs.get(incident_id, key)

    async def put_chat_ref(self, ref: ChatRef) -> None:
        """See `ChatRefs.put`."""
        await self.chat_refs.put(ref)

    async def add_token(self, responder_id: str, token_sha256: str, label: str = "") -> None:
        """See `Tokens.add`."""
        await self._tokens.add(responder_id, token_sha256, label)

    async def responder_of_token(self, token_sha256: str) -> str | None:
        """See `Tokens.responder`."""
        return await self._tokens.responder(token_sha256)

    async def revoke_tokens(self, responder_id: str) -> int:
        """See `Tokens.revoke`."""
        return await self._tokens.revoke(responder_id)

    async def changes_since(self, time: datetime) -> tuple[Spent, ...]:
        """See `Changes.since`."""
        return await self._changes.since(time)

    async def reserve(self, change: Spent, *, since: datetime | None, refusal: Refusal) -> str:
        """See `Changes.reserve`."""
        return await self._changes.reserve(change, since=since, refusal=refusal)

    async def halted(self) -> Halt | None:
        """See `Halts.in_force`."""
        return await self._halts.in_force()

    async def halts(self, limit: int = 20) -> list[HaltRecord]:
        """See `Halts.history`."""
        return await self._halts.history(limit)

    async def halt(self, person: Responder, reason: str) -> HaltChange:
        """See `Halts.halt`."""
        return await self._halts.halt(person, reason)

    async def lift_halt(self, person: Responder, reason: str) -> HaltChange:
        """See `Halts.lift`."""
        return await self._halts.lift(person, reason)
