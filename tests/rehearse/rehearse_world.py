"""Incidents that are really run, on a simulated account with scripted people, into a store that stays."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path

from soar.model.base import digest_of
from soar.model.timeline import TimelineEntry, genesis
from soar.playtest.files import load_tests
from soar.playtest.play import Play
from soar.playtest.world import bench, isolated_environment, make_empty_store, open_world
from soar.store import Store, migrate

SHIPPED = Path(__file__).resolve().parents[2] / "playbooks"
SCENARIOS = {
    "aws-access-key-compromise": "leaked-key",
    "aws-ec2-cryptomining": "mining-instance",
    "aws-s3-public-bucket": "public-bucket",
}


async def played(file: Path, name: str) -> list[list[TimelineEntry]]:
    """The timelines of the incidents of a test of a playbook."""
    tests = load_tests(file)
    case = next(case for case in tests.file.tests if case.name == name)
    with isolated_environment(), tempfile.TemporaryDirectory() as folder:
        empty = Path(folder) / "empty.db"
        await make_empty_store(empty)
        place = Path(tempfile.mkdtemp(dir=folder))
        async with bench(place, empty) as made, open_world(made, tests, case) as world:
            ended = await Play(world, tests, case).run()
            assert not ended.problems, ended.problems
            return [list(follower.timeline) for follower in ended.followers]


async def store_of(url: str, timelines: Sequence[Sequence[TimelineEntry]]) -> None:
    """Make a store that holds these incidents."""
    await migrate(url)
    store = await Store.open(url, synchronous="NORMAL")
    try:
        for entries in timelines:
            await store.project(entries)
    finally:
        await store.close()


def run_incident(file: Path, name: str) -> list[TimelineEntry]:
    """The timeline of the one incident; for fixtures, which have no loop."""
    [timeline] = asyncio.run(played(file, name))
    return timeline


def rewritten(entries: Sequence[TimelineEntry], incident_id: str, drop: str = "") -> list[TimelineEntry]:
    """The same timeline under another id, as a release wrote it that did not know a field of one kind of entry."""
    found: list[TimelineEntry] = []
    head = genesis(incident_id)
    for entry in entries:
        unknown = {"incident.opened": "inputs", "step.succeeded": "params"}.get(entry.kind)
        data = {k: v for k, v in entry.data.items() if not (drop and k == drop == unknown)}
        if entry.kind == "incident.opened":
            data["incident_id"] = incident_id
        draft = entry.model_copy(update={"incident_id": incident_id, "data": data, "prev_hash": head})
        head = digest_of(draft.model_dump(mode="json", exclude={"hash"}))
        found.append(draft.model_copy(update={"hash": head}))
    return found
