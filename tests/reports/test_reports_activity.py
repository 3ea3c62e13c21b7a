"""`report.write`: what it waits for, what it refuses, what it writes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import build
import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from soar.engine.messages import ReportRequest
from soar.model.alert import RawRef
from soar.model.base import digest_of
from soar.model.fold import fold
from soar.model.incident import Incident
from soar.model.timeline import TimelineEntry
from soar.reports.activities import PAGE, ReportActivities, folder_name
from soar.reports.model import build_report
from soar.reports.render import render


class Timeline:
    """A store of one timeline: what `ReportActivities` asks of the real one, in memory."""

    def __init__(self, entries: Sequence[TimelineEntry]) -> None:
        self.entries = list(entries)

    async def incident(self, incident_id: str, /) -> Incident | None:
        mine = [e for e in self.entries if e.incident_id == incident_id]
        return fold(mine) if mine else None

    async def project(self, entries: Sequence[TimelineEntry], /) -> int:
        fresh = [e for e in entries if e not in self.entries]
        self.entries += fresh
        return len(fresh)

    async def timeline(
        self, incident_id: str, /, *, after: int = 0, limit: int = 1000
    ) -> list[TimelineEntry]:
        return [e for e in self.entries if e.incident_id == incident_id and e.seq > after][:limit]


class Bytes:
    """A vault in memory."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    async def put(self, data: bytes, /) -> RawRef:
        self.kept[digest_of(data)] = data
        return RawRef(digest=digest_of(data), size=len(data))


def request(b: build.Builder, seq: int | None = None) -> ReportRequest:
    entry = b.entries[(seq or len(b.entries)) - 1]
    return ReportRequest(incident_id=b.id, head_seq=entry.seq, head_hash=entry.hash)


async def test_writes_three_formats_to_the_vault_and_to_files(tmp_path: Path) -> None:
    b, vault = build.happy(), Bytes()
    activities = ReportActivities(Timeline(b.entries), vault, tmp_path)
    written = await ActivityEnvironment().run(activities.write, request(b))
    expected = render(build_report(b.incident, b.entries))
    assert {name: vault.kept[digest] for name, digest in written.digests.items()} == expected
    for name, data in expected.items():
        path = tmp_path / b.id / f"report.{name}"
        assert written.paths[name] == str(path)
        assert path.read_bytes() == data
    assert sorted(p.name for p in (tmp_path / b.id).iterdir()) == ["report.html", "report.json", "report.md"]


async def test_without_a_folder_only_the_vault_is_written() -> None:
    b = build.happy()
    written = await ActivityEnvironment().run(
        ReportActivities(Timeline(b.entries), Bytes()).write, request(b)
    )
    assert set(written.digests) == {"json", "html", "md"}
    assert written.paths == {}


async def test_later_entries_change_nothing() -> None:
    b = build.happy()
    short = ReportActivities(Timeline(b.entries[:12]), Bytes())
    whole = ReportActivities(Timeline(b.entries), Bytes())
    asked = request(b, 12)
    first = await ActivityEnvironment().run(short.write, asked)
    again = await ActivityEnvironment().run(whole.write, asked)
    assert (again.digests, again.paths) == (first.digests, first.paths)


async def test_a_timeline_of_several_pages_is_read_whole() -> None:
    b = build.running()
    for n in range(PAGE // 2):
        b.read(f"read-{n}", "Read", "aws.read", "Nothing")
    assert len(b.entries) > PAGE
    vault = Bytes()
    written = await ActivityEnvironment().run(ReportActivities(Timeline(b.entries), vault).write, request(b))
    assert f'"entries":{len(b.entries)},'.encode() in vault.kept[written.digests["json"]]


@pytest.mark.parametrize("stored", [0, 5])
async def test_a_store_that_is_behind_is_tried_again(stored: int) -> None:
    b = build.happy()
    activities = ReportActivities(Timeline(b.entries[:stored]), Bytes())
    with pytest.raises(ApplicationError, match=f"up to entry {stored}, the report needs entry 30") as caught:
        await ActivityEnvironment().run(activities.write, request(b))
    assert caught.value.type == "StoreBehind"
    assert not caught.value.non_retryable


async def test_a_timeline_that_is_not_the_recorded_one_is_refused(tmp_path: Path) -> None:
    b = build.happy()
    vault = Bytes()
    activities = ReportActivities(Timeline(b.entries), vault, tmp_path)
    wrong = request(b).model_copy(update={"head_hash": digest_of(b"other")})
    with pytest.raises(ApplicationError) as caught:
        await ActivityEnvironment().run(activities.write, wrong)
    assert caught.value.type == "ChainBroken"
    assert caught.value.non_retryable

    forged = Timeline(b.entries)
    forged.entries[3] = forged.entries[3].model_copy(update={"summary": "forged"})
    with pytest.raises(ApplicationError, match="broken at entry 4"):
        await ActivityEnvironment().run(ReportActivities(forged, vault, tmp_path).write, request(b))
    assert vault.kept == {}
    assert os.listdir(tmp_path) == []


def test_an_incident_id_leads_to_one_folder_only() -> None:
    assert folder_name("incident/leaked-key/x") == "incident-leaked-key-x"
    assert folder_name("../../etc/passwd") == "etc-passwd"
    assert folder_name("..") == "incident"
    assert len(folder_name("x" * 500)) == 120
