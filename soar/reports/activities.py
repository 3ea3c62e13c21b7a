"""The activity that writes an incident's report."""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from temporalio import activity
from temporalio.exceptions import ApplicationError

from soar.engine.messages import ReportRequest
from soar.model.alert import RawRef
from soar.model.events import ReportWritten
from soar.model.fold import fold
from soar.model.incident import Incident
from soar.model.timeline import ChainBroken, TimelineEntry, verify_chain
from soar.reports.model import build_report
from soar.reports.render import render

__all__ = ["ReportActivities", "folder_name"]

PAGE = 1000
"""Timeline entries read at a time."""


class TimelineStore(Protocol):
    """What is needed of `soar.store.Store`."""

    async def incident(self, incident_id: str, /) -> Incident | None:
        """The state, or None."""

    async def timeline(
        self, incident_id: str, /, *, after: int = 0, limit: int = 1000
    ) -> Sequence[TimelineEntry]:
        """The entries after one, in order."""

    async def project(self, entries: Sequence[TimelineEntry], /) -> int:
        """Keep entries; those that are kept already change nothing."""


class ReportVault(Protocol):
    """What is needed of `soar.evidence.Vault`."""

    async def put(self, data: bytes, /) -> RawRef:
        """Keep bytes; the same bytes are kept once."""


class ReportActivities:
    """The activity `report.write`.

    Args:
        store: Where the timeline is read from.
        vault: Where the report is kept for good.
        out_dir: Also write `<incident>/report.{json,html,md}` here; None: nowhere.
    """

    def __init__(self, store: TimelineStore, vault: ReportVault, out_dir: Path | None = None) -> None:
        self._store, self._vault, self._out_dir = store, vault, out_dir

    @activity.defn(name="report.write")
    async def write(self, request: ReportRequest) -> ReportWritten:
        """Write the report of the timeline up to the requested entry, whatever has been stored since.

        Returns:
            The digest of each format in the vault, and the paths of the files.

        Raises:
            ApplicationError: `StoreBehind` (retried) when the store does not have the entry yet; `ChainBroken` (not
                retried) when the stored timeline is not the one that the incident recorded.
        """
        if request.entries:
            await self._store.project(request.entries)
        timeline = await self._timeline(request)
        try:
            verify_chain(timeline, request.incident_id)
            if timeline[-1].hash != request.head_hash:
                raise ChainBroken(request.head_seq, "its hash is not the one that the incident has")
            incident = fold(timeline)
        except ValueError as error:
            raise ApplicationError(
                f"no report of {request.incident_id} is written: {error}; "
                "compare the store with the workflow's history",
                type="ChainBroken",
                non_retryable=True,
            ) from error
        formats = await asyncio.to_thread(lambda: render(build_report(incident, timeline)))
        digests = {name: (await self._vault.put(data)).digest for name, data in formats.items()}
        paths: dict[str, str] = {}
        if self._out_dir is not None:
            paths = await asyncio.to_thread(_write, self._out_dir / folder_name(request.incident_id), formats)
        return ReportWritten(digests=digests, paths=paths, written_at=datetime.now(UTC))

    async def _timeline(self, request: ReportRequest) -> list[TimelineEntry]:
        incident = await self._store.incident(request.incident_id)
        stored = incident.head_seq if incident else 0
        if stored < request.head_seq:
            raise ApplicationError(
                f"the store has {request.incident_id} up to entry {stored}, the report needs entry {request.head_seq}",
                type="StoreBehind",
            )
        entries: list[TimelineEntry] = []
        while len(entries) < request.head_seq:
            after = entries[-1].seq if entries else 0
            page = await self._store.timeline(
                request.incident_id, after=after, limit=min(PAGE, request.head_seq - len(entries))
            )
            if not page:
                break
            entries.extend(page)
        return [entry for entry in entries if entry.seq <= request.head_seq]


def folder_name(incident_id: str) -> str:
    """An incident's id as the name of one folder: it can lead nowhere else."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", incident_id).strip(".-")
    return name[:120] or "incident"


def _write(folder: Path, formats: dict[str, bytes]) -> dict[str, str]:
    """Write each file whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = {}
    for name, data in formats.items():
        path = folder / f"report.{name}"
        handle, temporary = tempfile.mkstemp(dir=folder, prefix=f".report.{name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
        finally:
            Path(temporary).unlink(missing_ok=True)
        paths[name] = str(path)
    return paths
