"""Timelines come in, are kept as they are, and are folded into the state that everything else reads."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from soar.model.events import AlertJoined, ApprovalOpened
from soar.model.fold import open_incident, reduce
from soar.model.incident import Incident
from soar.model.timeline import TimelineEntry, verify_entry
from soar.store import tables
from soar.store.database import Database
from soar.store.limits import record_effect
from soar.store.rows import ApprovalLocation, IncidentSummary, StoreConflict, StoreGap

__all__ = ["Projection"]

_LATEST = 10
"""Incidents of one key, of which the latest are looked at."""


class Projection:
    """The tables `incidents`, `timeline` and `approvals`; and it counts in `changes` what began."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def project(self, entries: Sequence[TimelineEntry]) -> int:
        """Keep entries of one incident, all or none.

        Args:
            entries: In order. Those that are kept already are left alone.

        Returns:
            How many were new.

        Raises:
            StoreGap: Entries before the first new one are missing.
            StoreConflict: An entry differs from the one that is kept, or its hash is wrong.
        """
        if not entries:
            return 0
        incident_id = entries[0].incident_id
        async with self._database.writing() as connection:
            incident = await self._locked(connection, incident_id)
            head = incident.head_seq if incident else 0
            await self._same(connection, incident_id, [e for e in entries if e.seq <= head])
            fresh = [e for e in entries if e.seq > head]
            if not fresh:
                return 0
            is_new = incident is None
            folded = self._fold(incident, fresh)
            row = _columns(folded)
            if is_new:
                await connection.execute(insert(tables.incidents).values(id=incident_id, **row))
            else:
                await connection.execute(
                    update(tables.incidents).where(tables.incidents.c.id == incident_id).values(**row)
                )
            await connection.execute(
                insert(tables.timeline),
                [
                    {
                        "incident_id": incident_id,
                        "seq": e.seq,
                        "hash": e.hash,
                        "entry": e.model_dump(mode="json"),
                    }
                    for e in fresh
                ],
            )
            await self._index(connection, folded, fresh)
        return len(fresh)

    async def _locked(self, connection: AsyncConnection, incident_id: str) -> Incident | None:
        query = select(tables.incidents.c.state).where(tables.incidents.c.id == incident_id)
        found = (await connection.execute(query.with_for_update())).scalar_one_or_none()
        return None if found is None else Incident.model_validate(found)

    async def _same(
        self, connection: AsyncConnection, incident_id: str, entries: Sequence[TimelineEntry]
    ) -> None:
        if not entries:
            return
        table = tables.timeline
        query = select(table.c.seq, table.c.hash).where(
            table.c.incident_id == incident_id,
            table.c.seq.between(entries[0].seq, entries[-1].seq),
        )
        kept = dict((await connection.execute(query)).all())
        for entry in entries:
            if kept.get(entry.seq) != entry.hash:
                raise StoreConflict(f"entry {entry.seq} of {incident_id} differs from the one that is kept")

    def _fold(self, incident: Incident | None, fresh: Sequence[TimelineEntry]) -> Incident:
        for entry in fresh:
            if not verify_entry(entry):
                raise StoreConflict(f"entry {entry.seq} of {entry.incident_id} does not match its hash")
            expected = incident.head_seq + 1 if incident else 1
            if entry.seq != expected:
                raise StoreGap(f"{entry.incident_id} has entries up to {expected - 1}; {entry.seq} came next")
            if incident is None:
                incident = open_incident(entry)
            elif entry.prev_hash != incident.head_hash:
                raise StoreConflict(
                    f"entry {entry.seq} of {entry.incident_id} does not follow the one that is kept"
                )
            else:
                reduce(incident, entry)
        assert incident is not None
        return incident

    async def _index(
        self, connection: AsyncConnection, incident: Incident, fresh: Sequence[TimelineEntry]
    ) -> None:
        for entry in fresh:
            if entry.kind in ("effect.started", "effect.failed"):
                await record_effect(connection, incident, entry)
            if entry.kind not in ("approval.opened", "alert.joined"):
                continue
            match entry.event:
                case ApprovalOpened() as opened:
                    await connection.execute(
                        insert(tables.approvals).values(id=opened.approval_id, incident_id=incident.id)
                    )
                case AlertJoined() as joined:
                    await connection.execute(
                        update(tables.alerts)
                        .where(tables.alerts.c.id == joined.alert.key)
                        .values(incident_id=incident.id)
                    )

    async def has_alert(self, workflow_id: str, alert_key: str) -> bool:
        """Whether an incident of this workflow, open or closed, has taken an alert.

        A false answer may be too early: the store follows the incident.
        """
        incidents, alerts = tables.incidents, tables.alerts
        last = (
            select(alerts.c.id)
            .join(incidents, incidents.c.id == alerts.c.incident_id)
            .where(alerts.c.id == alert_key, incidents.c.workflow_id == workflow_id)
        )
        # An alert that several playbooks answer names only the incident that it joined last.
        states = (
            select(incidents.c.state)
            .where(incidents.c.workflow_id == workflow_id)
            .order_by(incidents.c.opened_at.desc())
            .limit(_LATEST)
        )
        async with self._database.reading() as connection:
            if (await connection.execute(last)).first() is not None:
                return True
            found = (await connection.execute(states)).scalars().all()
        return any(alert_key in {a.key for a in Incident.model_validate(state).alerts} for state in found)

    async def incident(self, incident_id: str) -> Incident | None:
        """The state of an incident; None if there is none of that id."""
        async with self._database.reading() as connection:
            found = (
                await connection.execute(
                    select(tables.incidents.c.state).where(tables.incidents.c.id == incident_id)
                )
            ).scalar_one_or_none()
        return None if found is None else Incident.model_validate(found)

    async def incidents(
        self, *, status: str = "", limit: int = 50, before: str = ""
    ) -> list[IncidentSummary]:
        """Incidents, the latest first.

        Args:
            status: Only those; empty: all.
            before: Go on behind this incident's id.
        """
        table = tables.incidents
        columns = [table.c[name] for name in IncidentSummary.model_fields]
        query = select(*columns).order_by(table.c.opened_at.desc(), table.c.id.desc()).limit(limit)
        if status:
            query = query.where(table.c.status == status)
        async with self._database.reading() as connection:
            if before:
                mark = (
                    await connection.execute(select(table.c.opened_at).where(table.c.id == before))
                ).scalar_one_or_none()
                if mark is None:
                    return []
                query = query.where(
                    (table.c.opened_at < mark) | ((table.c.opened_at == mark) & (table.c.id < before))
                )
            rows = (await connection.execute(query)).mappings().all()
        return [IncidentSummary.model_validate({**row, "phase": row["phase"] or None}) for row in rows]

    async def timeline(self, incident_id: str, *, after: int = 0, limit: int = 1000) -> list[TimelineEntry]:
        """Entries of an incident behind a `seq`, in order."""
        query = (
            select(tables.timeline.c.entry)
            .where(tables.timeline.c.incident_id == incident_id, tables.timeline.c.seq > after)
            .order_by(tables.timeline.c.seq)
            .limit(limit)
        )
        async with self._database.reading() as connection:
            found = (await connection.execute(query)).scalars().all()
        return [TimelineEntry.model_validate(e) for e in found]

    async def incident_of_approval(self, approval_id: str) -> Incident | None:
        """The incident that an approval belongs to."""
        location = await self.approval_location(approval_id)
        return await self.incident(location.incident_id) if location else None

    async def approval_location(self, approval_id: str) -> ApprovalLocation | None:
        """Where an approval belongs; None if there is none of that id."""
        query = (
            select(tables.incidents.c.id, tables.incidents.c.workflow_id)
            .join(tables.approvals, tables.approvals.c.incident_id == tables.incidents.c.id)
            .where(tables.approvals.c.id == approval_id)
        )
        async with self._database.reading() as connection:
            found = (await connection.execute(query)).one_or_none()
        return None if found is None else ApprovalLocation(incident_id=found[0], workflow_id=found[1])


def _columns(incident: Incident) -> dict[str, object]:
    return {
        "workflow_id": incident.workflow_id,
        "title": incident.title,
        "status": incident.status.value,
        "severity": int(incident.severity),
        "phase": incident.phase.value if incident.phase else "",
        "playbook": incident.playbook,
        "account": incident.account,
        "opened_at": incident.opened_at,
        "contained_at": incident.contained_at,
        "closed_at": incident.closed_at,
        "open_approvals": len(incident.open_approvals),
        "head_seq": incident.head_seq,
        "state": incident.model_dump(mode="json"),
    }
