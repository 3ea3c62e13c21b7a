"""Each alert reaches the incidents that it belongs to, whoever dies on the way."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from intake_world import START, Incidents, alert, library, nothing, receive
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from soar.engine.client import EngineUnavailable, workflow_id
from soar.intake import loop
from soar.intake import router as routing
from soar.intake.router import Router
from soar.model.alert import Alert
from soar.model.base import digest_of
from soar.model.events import AlertJoined, AnyEvent, IncidentClosed, IncidentOpened
from soar.model.terms import AlertState, IncidentStatus
from soar.model.timeline import ENGINE, TimelineEntry, append, genesis
from soar.playbook.library import Library
from soar.playbook.loader import LoadedPlaybook
from soar.playbook.match import correlation_key
from soar.store import AlertRow, Store

UPDATED, RESOLVED = AlertState.UPDATED, AlertState.RESOLVED


async def row(store: Store, key: str) -> AlertRow:
    found = await store.alert(key)
    assert found is not None
    return found


async def eventually(condition: Callable[[], Awaitable[bool]], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not await condition():
        assert time.monotonic() < deadline, "it did not come to pass in time"
        await asyncio.sleep(0.05)


@pytest.fixture
def incidents() -> Incidents:
    return Incidents()


@pytest.fixture
def router(store: Store, incidents: Incidents) -> Router:
    return Router(store, library(), incidents)


async def test_alerts_of_one_key_come_to_one_incident_in_one_delivery(
    store: Store, router: Router, incidents: Incidents
) -> None:
    first, second, other = alert("1"), alert("2"), alert("3", "bob")
    await receive(store, first, second, other)
    assert await router.run_once() == 3
    assert sorted(len(keys) for keys in incidents.open.values()) == [1, 2]
    assert sorted(incidents.batches) == [1, 2]
    for one in (first, second, other):
        kept = await row(store, one.key)
        assert (kept.status, kept.playbook) == ("routed", "keys")
        assert one.key in incidents.open[kept.workflow_id]
    assert await store.pending("alert") == 0
    assert await router.run_once() == 0


async def test_the_same_alert_again_reaches_nobody(
    store: Store, router: Router, incidents: Incidents
) -> None:
    await receive(store, alert("1"), alert("1"))
    await router.run_once()
    await receive(store, alert("1"))
    assert await router.run_once() == 0
    assert list(incidents.delivered.values()) == [1]


async def test_what_no_playbook_answers_is_kept_and_listed(store: Store, router: Router) -> None:
    odd = alert("1", rule="Nobody:Cares")
    await receive(store, odd)
    await router.run_once()
    [listed] = await store.alerts(status="unmatched")
    assert (listed.id, listed.reason) == (odd.key, "no playbook answers it")
    assert await store.pending("alert") == 0


async def test_an_update_joins_and_opens_nothing(store: Store, router: Router, incidents: Incidents) -> None:
    await receive(store, alert("1"))
    await router.run_once()
    update = alert("1", state=UPDATED, revision="2")
    await receive(store, update)
    await router.run_once()
    [keys] = incidents.open.values()
    assert update.key in keys
    incidents.open.clear()
    later, solved = alert("1", state=UPDATED, revision="3"), alert("1", state=RESOLVED, revision="4")
    await receive(store, later, solved)
    await router.run_once()
    assert incidents.open == {}
    for one in (later, solved):
        kept = await row(store, one.key)
        assert kept.status == "unmatched"
        assert "no open incident" in kept.reason


async def test_an_update_of_what_was_never_told_opens_an_incident(
    store: Store, router: Router, incidents: Incidents
) -> None:
    await receive(store, alert("1", state=UPDATED, revision="7"), alert("2", "bob", state=RESOLVED))
    await router.run_once()
    [workflow] = incidents.open
    assert workflow.startswith("incident/keys/1_alice")


@pytest.mark.parametrize("apart", [False, True])
async def test_two_updates_of_what_was_never_told_open_one_incident(
    store: Store, router: Router, incidents: Incidents, apart: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routing, "BATCH", 1 if apart else 100)
    sixth, seventh = (alert("1", state=UPDATED, revision=r) for r in ("6", "7"))
    await receive(store, sixth, seventh)
    while await router.run_once():
        pass
    assert list(incidents.open.values()) == [{sixth.key, seventh.key}]


async def test_two_playbooks_each_get_the_alert(store: Store, router: Router, incidents: Incidents) -> None:
    odd = alert("1", rule="Key:Odd")
    await receive(store, odd)
    await router.run_once()
    assert sorted(w.split("/")[1] for w in incidents.open) == ["keys", "odd"]
    assert (await row(store, odd.key)).status == "routed"


async def test_an_alert_that_one_playbook_took_counts_as_routed(
    store: Store, router: Router, incidents: Incidents
) -> None:
    await receive(store, alert("1"))
    await router.run_once()  # opens an incident of `keys`, none of `odd`
    update = alert("1", rule="Key:Odd", state=UPDATED, revision="2")
    await receive(store, update)
    await router.run_once()
    kept = await row(store, update.key)
    assert (kept.status, kept.playbook, kept.reason) == ("routed", "keys", "")
    assert update.key in incidents.open[kept.workflow_id]


async def test_a_failed_delivery_is_one_line_in_the_log_and_is_made_later(
    store: Store, router: Router, incidents: Incidents, caplog: pytest.LogCaptureFixture
) -> None:
    incidents.down = True
    one = alert("1")
    await receive(store, one)
    with caplog.at_level(logging.WARNING, "soar.intake"):
        assert await router.run_once() == 1
    assert [r.getMessage() for r in caplog.records] == ["router.delivery_failed"]
    assert await store.pending("alert") == 1
    assert (await row(store, one.key)).status == "received"
    assert await router.run_once() == 0, "it is not tried again at once"
    incidents.down = False
    await eventually(lambda: routed(store, router, one.key))
    assert list(incidents.delivered.values()) == [1]


async def routed(store: Store, router: Router, key: str) -> bool:
    await router.run_once()
    return (await row(store, key)).status == "routed"


async def test_one_playbook_that_fails_keeps_no_other_from_its_alerts(
    store: Store, router: Router, incidents: Incidents
) -> None:
    incidents.refuses = {"odd"}
    both, single = alert("1", rule="Key:Odd"), alert("2", "bob")
    await receive(store, both, single)
    await router.run_once()
    assert (await row(store, single.key)).status == "routed"
    assert await store.pending("alert") == 1
    incidents.refuses = set()
    await eventually(lambda: routed(store, router, both.key))
    assert sorted(w.split("/")[1] for w in incidents.open) == ["keys", "keys", "odd"]
    assert await store.pending("alert") == 0


async def test_what_cannot_be_read_stops_nothing_and_is_not_lost(
    store: Store, router: Router, incidents: Incidents, caplog: pytest.LogCaptureFixture
) -> None:
    await store.receive("alert", "0", {"from": "another version"})
    await receive(store, alert("1"))
    with caplog.at_level(logging.ERROR, "soar.intake"):
        assert await router.run_once() == 2
    assert [r.getMessage() for r in caplog.records] == ["router.unreadable"]
    assert len(incidents.open) == 1
    assert await store.pending("alert") == 1


async def test_an_alert_whose_router_died_before_delivery_is_delivered(
    store: Store, router: Router, incidents: Incidents
) -> None:
    await receive(store, alert("1"))
    [dead] = await store.claim("alert", lease=0.0)
    assert dead.attempts == 1
    assert await router.run_once() == 1
    assert list(incidents.delivered.values()) == [1]


async def test_an_alert_whose_router_died_after_delivery_comes_to_the_same_incident_again(
    store: Store, router: Router, incidents: Incidents, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routing, "LEASE_SECONDS", 0.0)
    one = alert("1")
    await receive(store, one)
    taken = asyncio.Event()

    async def taken_and_never_told() -> None:
        taken.set()
        await asyncio.Event().wait()

    incidents.after = taken_and_never_told
    dying = asyncio.create_task(router.run_once())
    await asyncio.wait_for(taken.wait(), 10)
    dying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await dying
    assert (await row(store, one.key)).status == "received"
    incidents.after = nothing
    assert await Router(store, library(), incidents).run_once() == 1
    assert list(incidents.open.values()) == [{one.key}]
    assert (await row(store, one.key)).status == "routed"
    assert await store.pending("alert") == 0


@pytest.mark.parametrize("joined_last", [True, False])
async def test_an_alert_whose_incident_is_over_before_it_is_settled_opens_no_second_one(
    store: Store, incidents: Incidents, joined_last: bool
) -> None:
    one = alert("1", rule="Key:Odd")
    await receive(store, one)
    [_] = await store.claim("alert", lease=0.0)  # by a router that delivered it, and died
    # The playbook `keys` has answered it and is done; `odd` has had no turn yet, or one after it.
    await store.project(over(one, "keys", "INC-1"))
    if not joined_last:
        await store.project(over(one, "odd", "INC-2"))
    assert await Router(store, library(), incidents).run_once() == 1
    assert [name.split("/")[1] for name in incidents.open] == (["odd"] if joined_last else [])
    settled = await row(store, one.key)
    assert (settled.status, settled.playbook) == ("routed", "keys, odd")


def over(one: Alert, name: str, incident_id: str) -> list[TimelineEntry]:
    """The timeline of an incident that took an alert and is closed."""
    playbook = next(p.playbook for p in library() if p.playbook.name == name)
    key = correlation_key(playbook, one)
    events: list[AnyEvent] = [
        IncidentOpened(
            incident_id=incident_id,
            workflow_id=workflow_id(name, key),
            run_id="r",
            title="t",
            severity=one.severity,
            correlation_key=key,
            playbook=name,
            playbook_digest=digest_of("p"),
        ),
        AlertJoined(alert=one),
        IncidentClosed(status=IncidentStatus.CLOSED),
    ]
    entries: list[TimelineEntry] = []
    for seq, event in enumerate(events, start=1):
        entries.append(
            append(
                incident_id=incident_id,
                seq=seq,
                prev_hash=entries[-1].hash if entries else genesis(incident_id),
                time=START,
                phase=None,
                actor=ENGINE,
                summary="",
                event=event,
            )
        )
    return entries


async def test_two_routers_deliver_each_of_many_alerts_once(
    store: Store, incidents: Incidents, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routing, "BATCH", 7)
    many = [alert(str(n), f"user{n % 9}") for n in range(90)]
    await receive(store, *many)

    async def drain() -> int:
        own, total = Router(store, library(), incidents), 0
        while handled := await own.run_once():
            total += handled
        return total

    shares = await asyncio.gather(drain(), drain())
    assert sum(shares) == len(many)
    assert len(incidents.open) == 9
    assert {key for _, key in incidents.delivered} == {a.key for a in many}
    assert set(incidents.delivered.values()) == {1}
    assert await store.pending("alert") == 0


async def test_large_alerts_of_one_key_are_delivered_in_parts(
    store: Store, router: Router, incidents: Incidents
) -> None:
    size = routing.DELIVERY_BYTES
    sizes = [size // 3, size // 3, size // 2, 10, size * 2, 10]
    many = [alert(str(n)).model_copy(update={"description": "x" * s}) for n, s in enumerate(sizes)]
    await receive(store, *many)
    await router.run_once()
    assert incidents.batches == [2, 2, 1, 1]
    assert list(incidents.open.values()) == [{a.key for a in many}]
    assert await store.pending("alert") == 0


async def test_an_alert_that_is_too_large_to_be_delivered_keeps_no_other_back(store: Store) -> None:
    class Narrow(Incidents):
        """Takes what Temporal takes."""

        async def __call__(
            self, loaded: LoadedPlaybook, key: str, alerts: Sequence[Alert], may_open: bool
        ) -> str | None:
            if sum(len(a.model_dump_json()) for a in alerts) > 2_000_000:
                raise EngineUnavailable("Blob data size exceeds limit.")
            return await super().__call__(loaded, key, alerts, may_open)

    small = [alert("1"), alert("3")]
    large = alert("2").model_copy(update={"description": "x" * 2_000_000})
    await receive(store, small[0], large, small[1])
    await Router(store, library(), Narrow()).run_once()
    assert [(await row(store, a.key)).status for a in small] == ["routed", "routed"]
    assert (await row(store, large.key)).status == "received"
    assert await store.pending("alert") == 1


async def test_a_loop_that_is_cancelled_while_idle_leaves_nothing_running(
    router: Router, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "IDLE_SECONDS", 3600.0)
    idle = asyncio.Event()
    wait = asyncio.wait

    async def told(*args: Any, **options: Any) -> Any:
        idle.set()
        return await wait(*args, **options)

    monkeypatch.setattr(asyncio, "wait", told)
    before = asyncio.all_tasks()
    running = asyncio.create_task(router.run(asyncio.Event()))
    await asyncio.wait_for(idle.wait(), 10)
    left = asyncio.all_tasks() - before
    assert len(left) == 3
    running.cancel()
    await asyncio.wait_for(asyncio.gather(*left, return_exceptions=True), 10)
    assert asyncio.all_tasks() == before


async def test_it_runs_until_it_is_stopped_and_wakes_when_nudged(
    store: Store, router: Router, incidents: Incidents, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "IDLE_SECONDS", 3600.0)
    stop = asyncio.Event()
    running = asyncio.create_task(router.run(stop))
    for number in range(3):
        one = alert(str(number))
        await receive(store, one)
        router.nudge()
        await eventually(lambda key=one.key: is_routed(store, key))  # type: ignore[misc]
    stop.set()
    await asyncio.wait_for(running, 10)


async def is_routed(store: Store, key: str) -> bool:
    return (await row(store, key)).status == "routed"


async def test_a_database_that_fails_for_a_while_ends_no_router(
    store: Store, database_url: str, router: Router, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "IDLE_SECONDS", 0.05)
    one = alert("1")
    await receive(store, one)
    admin = create_async_engine(database_url)
    async with admin.begin() as connection:
        await connection.execute(text("ALTER TABLE inbox RENAME TO gone"))
    stop = asyncio.Event()
    running = asyncio.create_task(router.run(stop))
    await asyncio.wait([running], timeout=0.5)
    assert not running.done(), "the router has ended"
    async with admin.begin() as connection:
        await connection.execute(text("ALTER TABLE gone RENAME TO inbox"))
    await admin.dispose()
    await eventually(lambda: is_routed(store, one.key))
    stop.set()
    await asyncio.wait_for(running, 10)


async def test_without_playbooks_everything_is_unmatched(store: Store, incidents: Incidents) -> None:
    await receive(store, alert("1"))
    await Router(store, Library([]), incidents).run_once()
    assert len(await store.alerts(status="unmatched")) == 1
