"""What the policy's limits look at: the changes made lately, the places reserved, and the halts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from soar.model.events import EffectFailed, EffectStarted
from soar.model.incident import Incident
from soar.model.people import Responder
from soar.model.timeline import TimelineEntry
from soar.playbook.policy import Halt, Spent
from soar.store import tables
from soar.store.database import Database
from soar.store.inbox import insert_if_new
from soar.store.rows import HaltChange, HaltRecord

__all__ = ["Changes", "Halts", "record_effect"]

LIMITS_LOCK = 0x50A3
"""PostgreSQL's advisory lock for whoever reserves a place or halts; SQLite has one writer at a time anyway."""

Refusal = Callable[[Halt | None, tuple[Spent, ...]], str]
"""Says why a change may not be made, given the halt in force and the other changes made lately; empty: it may."""


class Changes:
    """The table `changes`.

    A change is one plan of one step: reserving it, beginning it and trying it again count as one, at the latest of
    these times.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def since(self, time: datetime) -> tuple[Spent, ...]:
        """The changes that began after a time, or have a place reserved since, oldest first."""
        async with self._database.reading() as connection:
            return await _spent(connection, time)

    async def reserve(self, change: Spent, *, since: datetime | None, refusal: Refusal) -> str:
        """Take a place for a change if nothing speaks against it; nobody can take another in between.

        Args:
            change: With its step and plan. One that has its place already gets no second one.
            since: How far back other changes are counted; None: nothing is counted, and no place is taken.
            refusal: Decides, within the transaction: given the halt, and the changes without this one.

        Returns:
            Why it was refused; empty: it has its place.
        """
        async with self._database.writing() as connection:
            await _one_at_a_time(connection)
            others = () if since is None else await _spent(connection, since)
            key = (change.incident_id, change.step_id, change.plan_digest)
            others = tuple(s for s in others if (s.incident_id, s.step_id, s.plan_digest) != key)
            refused = refusal(await _halt(connection), others)
            if not refused and since is not None:
                await _take(connection, change, seq=0)
            return refused


async def _take(connection: AsyncConnection, change: Spent, *, seq: int) -> None:
    table = tables.changes
    row = {**change.model_dump(), "risk": change.risk.value, "seq": seq}
    if await insert_if_new(connection, table, row):
        return
    same = (
        (table.c.incident_id == change.incident_id)
        & (table.c.step_id == change.step_id)
        & (table.c.plan_digest == change.plan_digest)
        & (table.c.seq == seq)
    )
    await connection.execute(update(table).where(same, table.c.time < change.time).values(time=change.time))


async def _spent(connection: AsyncConnection, since: datetime) -> tuple[Spent, ...]:
    table = tables.changes
    key = (table.c.incident_id, table.c.step_id, table.c.plan_digest)
    rest = [func.max(table.c[name]).label(name) for name in ("time", "risk", "account", "playbook", "action")]
    query = select(*key, *rest).where(table.c.time > since).group_by(*key)
    rows = (await connection.execute(query)).mappings().all()
    return tuple(sorted((Spent.model_validate(dict(r)) for r in rows), key=lambda s: s.time))


async def record_effect(connection: AsyncConnection, incident: Incident, entry: TimelineEntry) -> None:
    """Count a change that began; one of which certainly nothing was done counts no more.

    Args:
        incident: With this entry and perhaps later ones folded in.
        entry: Of the kind `effect.started` or `effect.failed`; others change nothing.
    """
    match entry.event:
        case EffectStarted() as started:
            step = incident.steps[started.step_id]
            plans = [e.plan for e in incident.effects[started.step_id].layers] + [step.plan]
            account = next((p.account for p in plans if p is not None), incident.account)
            change = Spent(
                time=entry.time,
                risk=step.risk,
                account=account,
                playbook=incident.playbook,
                action=step.action,
                incident_id=incident.id,
                step_id=started.step_id,
                plan_digest=started.plan_digest,
            )
            await _take(connection, change, seq=entry.seq)
        case EffectFailed(nothing_done=True) as failed:
            await _release(connection, incident.id, failed.step_id, entry.seq)


async def _release(connection: AsyncConnection, incident_id: str, step_id: str, before: int) -> None:
    table = tables.changes
    mine = (table.c.incident_id == incident_id) & (table.c.step_id == step_id)
    began = (
        select(table.c.seq, table.c.plan_digest)
        .where(mine, table.c.seq > 0, table.c.seq < before)
        .order_by(table.c.seq.desc())
        .limit(1)
    )
    found = (await connection.execute(began)).one_or_none()
    if found is not None:
        seq, digest = found
        await connection.execute(
            delete(table).where(mine, table.c.plan_digest == digest, table.c.seq.in_([0, seq]))
        )


class Halts:
    """The table `halts`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def in_force(self) -> Halt | None:
        """The halt that nobody has lifted, or None."""
        async with self._database.reading() as connection:
            return await _halt(connection)

    async def history(self, limit: int = 20) -> list[HaltRecord]:
        """Halts, the latest first."""
        query = select(tables.halts).order_by(tables.halts.c.id.desc()).limit(limit)
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).mappings().all()
        return [HaltRecord.model_validate(dict(row)) for row in rows]

    async def halt(self, person: Responder, reason: str) -> HaltChange:
        """Halt every change, from now on. One that is in force already stays as it is."""
        async with self._database.writing() as connection:
            await _one_at_a_time(connection)
            found = await _halt(connection)
            if found is not None:
                return HaltChange(changed=False, halt=found)
            row = {
                "responder_id": person.id,
                "name": person.name,
                "reason": reason,
                "since": datetime.now(UTC),
                "lifted_by": "",
                "lifted_name": "",
                "lift_reason": "",
                "lifted_at": None,
            }
            await connection.execute(insert(tables.halts).values(**row))
            return HaltChange(changed=True, halt=await _halt(connection))

    async def lift(self, person: Responder, reason: str) -> HaltChange:
        """Let changes be made again.

        Returns:
            The halt that was lifted; None if there was none.
        """
        async with self._database.writing() as connection:
            await _one_at_a_time(connection)
            found = await _halt(connection)
            if found is None:
                return HaltChange(changed=False, halt=None)
            values: dict[str, Any] = {
                "lifted_by": person.id,
                "lifted_name": person.name,
                "lift_reason": reason,
                "lifted_at": datetime.now(UTC),
            }
            table = tables.halts
            await connection.execute(update(table).where(table.c.lifted_at.is_(None)).values(**values))
            return HaltChange(changed=True, halt=found)


async def _halt(connection: AsyncConnection) -> Halt | None:
    table = tables.halts
    query = select(table.c.name, table.c.reason, table.c.since).where(table.c.lifted_at.is_(None))
    found = (await connection.execute(query.order_by(table.c.id).limit(1))).one_or_none()
    return None if found is None else Halt(by=found[0], reason=found[1], since=found[2])


async def _one_at_a_time(connection: AsyncConnection) -> None:
    if connection.dialect.name == "postgresql":
        await connection.execute(select(func.pg_advisory_xact_lock(LIMITS_LOCK)))
