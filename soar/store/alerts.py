"""Every alert that was ever received: what became of it can always be said."""

from __future__ import annotations

from typing import Any

from sqlalchemy import RowMapping, select, update

from soar.model.base import JsonObject
from soar.store import tables
from soar.store.database import Database
from soar.store.inbox import insert_if_new, put
from soar.store.rows import AlertRow, AlertStatus

__all__ = ["Alerts"]


class Alerts:
    """The table `alerts`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def save(self, row: AlertRow) -> bool:
        """Keep a row that nothing is to be done about.

        Returns:
            False if its id is known already, and nothing was written.
        """
        async with self._database.writing() as connection:
            return bool(await insert_if_new(connection, tables.alerts, _values(row)))

    async def receive(self, row: AlertRow) -> bool:
        """Keep an alert and put it into the inbox, both or neither; committed when this returns.

        Returns:
            False if it is known already, and nothing was written.

        Raises:
            ValueError: The row carries no alert.
        """
        if row.alert is None:
            raise ValueError(f"row {row.id} carries no alert")
        body: JsonObject = row.alert.model_dump(mode="json")
        async with self._database.writing() as connection:
            if not await insert_if_new(connection, tables.alerts, _values(row)):
                return False
            await put(connection, "alert", row.id, body)
        return True

    async def set(
        self,
        alert_id: str,
        status: AlertStatus,
        *,
        playbook: str = "",
        workflow_id: str = "",
        reason: str = "",
    ) -> None:
        """Say what became of an alert."""
        async with self._database.writing() as connection:
            await connection.execute(
                update(tables.alerts)
                .where(tables.alerts.c.id == alert_id)
                .values(status=status, playbook=playbook, workflow_id=workflow_id, reason=reason)
            )

    async def was_routed(self, source: str, uid: str, *, other_than: str) -> bool:
        """Whether an earlier delivery of this detection has reached an incident."""
        table = tables.alerts
        query = (
            select(table.c.id)
            .where(
                table.c.source == source,
                table.c.uid == uid,
                table.c.id != other_than,
                table.c.status == "routed",
            )
            .limit(1)
        )
        async with self._database.reading() as connection:
            return (await connection.execute(query)).first() is not None

    async def list(
        self, *, status: str = "", incident_id: str = "", limit: int = 50, before: str = ""
    ) -> list[AlertRow]:
        """Alerts, the latest first.

        Args:
            status: Only those; empty: all.
            incident_id: Only those of this incident; empty: all.
            before: Go on behind this alert's id.
        """
        table = tables.alerts
        query = select(table).order_by(table.c.received_at.desc(), table.c.id.desc()).limit(limit)
        if status:
            query = query.where(table.c.status == status)
        if incident_id:
            query = query.where(table.c.incident_id == incident_id)
        async with self._database.reading() as connection:
            if before:
                mark = (
                    await connection.execute(select(table.c.received_at).where(table.c.id == before))
                ).scalar_one_or_none()
                if mark is None:
                    return []
                query = query.where(
                    (table.c.received_at < mark) | ((table.c.received_at == mark) & (table.c.id < before))
                )
            return [_row(r) for r in (await connection.execute(query)).mappings()]

    async def get(self, alert_id: str) -> AlertRow | None:
        """One alert; None if there is none of that id."""
        async with self._database.reading() as connection:
            query = select(tables.alerts).where(tables.alerts.c.id == alert_id)
            found = (await connection.execute(query)).mappings().one_or_none()
        return None if found is None else _row(found)


def _values(row: AlertRow) -> dict[str, Any]:
    values = row.model_dump(mode="python", exclude={"alert"})
    return {
        **values,
        "severity": int(row.severity),
        "alert": None if row.alert is None else row.alert.model_dump(mode="json"),
    }


def _row(found: RowMapping) -> AlertRow:
    return AlertRow.model_validate(dict(found))
