"""The store's promises, on both databases."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from soar.model.alert import Alert
from soar.model.base import digest_of
from soar.model.change import Change, Plan
from soar.model.events import (
    AlertJoined,
    AnyEvent,
    ApprovalOpened,
    IncidentOpened,
    NoteAdded,
    PhaseStarted,
    PlanMade,
    StepStarted,
)
from soar.model.fold import fold
from soar.model.terms import IncidentStatus, Phase, Risk, Severity
from soar.model.timeline import ENGINE, TimelineEntry, append, genesis
from soar.store import AlertRow, ChatRef, Store, StoreConflict, StoreGap, StoreUnavailable, database, migrate

START = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
HOSTILE = "NUL \x00, quote ' \" \\, bidi \u202e, emoji 🔥, {{ 7*7 }}, %s, null"


def alert(uid: str = "a-1", **fields: object) -> Alert:
    return Alert.model_validate(
        {"source": "test", "uid": uid, "title": HOSTILE, "severity": 4, "time": START, **fields}
    )


def chain(incident_id: str, *events: AnyEvent, at: datetime = START) -> list[TimelineEntry]:
    entries: list[TimelineEntry] = []
    head = genesis(incident_id)
    for seq, event in enumerate(events, start=1):
        entry = append(
            incident_id=incident_id,
            seq=seq,
            prev_hash=head,
            time=at + timedelta(seconds=seq),
            phase=Phase.CONTAINMENT,
            actor=ENGINE,
            summary=f"entry {seq}",
            event=event,
        )
        entries.append(entry)
        head = entry.hash
    return entries


def opened(incident_id: str, title: str = "an incident") -> IncidentOpened:
    return IncidentOpened(
        incident_id=incident_id,
        workflow_id=f"incident/test/{incident_id}",
        run_id="r",
        title=title,
        severity=Severity.HIGH,
        playbook="test",
        playbook_digest=digest_of("p"),
    )


def with_approval(incident_id: str = "INC-1") -> list[TimelineEntry]:
    plan = Plan(
        action="a.b", params={}, summary="do it", changes=(Change(target="t", field="f", before=1, after=2),)
    )
    return chain(
        incident_id,
        opened(incident_id, HOSTILE),
        AlertJoined(alert=alert()),
        PhaseStarted(phase=Phase.CONTAINMENT),
        StepStarted(step_id="s", name="s", action="a.b", risk=Risk.REVERSIBLE),
        PlanMade(step_id="s", plan=plan, plan_digest=plan.content_digest),
        ApprovalOpened(
            approval_id="apr_1",
            step_id="s",
            plan_digest=plan.content_digest,
            needed=1,
            roles=("r",),
            why="",
            expires_at=START + timedelta(hours=1),
        ),
    )


async def test_what_is_projected_is_read_back_and_folded(store: Store) -> None:
    entries = with_approval()
    assert await store.project(entries) == len(entries)
    assert await store.incident("INC-1") == fold(entries)
    assert await store.timeline("INC-1") == entries
    assert await store.timeline("INC-1", after=4, limit=1) == entries[4:5]
    location = await store.approval_location("apr_1")
    assert location is not None
    assert location.workflow_id == "incident/test/INC-1"
    assert await store.incident_of_approval("apr_1") == fold(entries)
    assert await store.approval_location("apr_2") is None
    [summary] = await store.incidents(status="waiting")
    assert (summary.status, summary.open_approvals) == (IncidentStatus.WAITING, 1)
    assert summary.opened_at == entries[0].time


async def test_projecting_again_in_any_overlap_changes_nothing(store: Store) -> None:
    entries = with_approval()
    assert await store.project(entries[:3]) == 3
    assert await store.project(entries[1:5]) == 2
    assert await store.project(entries) == 1
    assert await store.project(entries) == 0
    assert await store.incident("INC-1") == fold(entries)


async def test_a_gap_and_a_changed_entry_are_refused_and_nothing_is_written(store: Store) -> None:
    entries = with_approval()
    with pytest.raises(StoreGap):
        await store.project(entries[1:])
    await store.project(entries[:3])
    with pytest.raises(StoreGap):
        await store.project(entries[4:])
    forged = entries[3].model_copy(update={"summary": "forged"})
    with pytest.raises(StoreConflict):
        await store.project([forged])
    other = chain("INC-1", opened("INC-1", "another story"), *(e.event for e in entries[1:]))
    with pytest.raises(StoreConflict):
        await store.project(other)
    with pytest.raises(StoreConflict):
        await store.project(other[3:])
    assert await store.timeline("INC-1") == entries[:3]


async def test_two_projectors_at_once_write_each_entry_once(store: Store) -> None:
    entries = chain("INC-9", opened("INC-9"), *(NoteAdded(text=str(i)) for i in range(30)))
    await store.project(entries[:1])
    counts = await asyncio.gather(*(store.project(entries[: 5 + i]) for i in range(26)))
    assert sum(counts) == len(entries) - 2
    assert await store.timeline("INC-9") == entries[:30]


async def test_incidents_are_paged_latest_first(store: Store) -> None:
    for number in range(7):
        await store.project(
            chain(f"INC-{number}", opened(f"INC-{number}"), at=START + timedelta(minutes=number // 2))
        )
    seen: list[str] = []
    while page := await store.incidents(limit=2, before=seen[-1] if seen else ""):
        seen += [i.id for i in page]
    assert seen == [f"INC-{n}" for n in (6, 5, 4, 3, 2, 1, 0)]
    assert await store.incidents(before="INC-unknown") == []


async def test_the_inbox_takes_each_item_once_and_gives_it_to_one(store: Store) -> None:
    first = await store.receive("interaction", "k", {"n": HOSTILE})
    again = await store.receive("interaction", "k", {"n": "other"})
    assert (first.fresh, again.fresh, first.id == again.id) == (True, False, True)
    assert (await store.receive("alert", "k", {})).fresh, "kinds do not mix"
    taken = await asyncio.gather(*(store.claim("interaction") for _ in range(5)))
    [item] = [i for items in taken for i in items]
    assert (item.body, item.attempts) == ({"n": HOSTILE}, 1)
    assert await store.pending("interaction") == 1
    await store.done(item.id, "ok")
    assert await store.pending("interaction") == 0
    assert not (await store.receive("interaction", "k", {})).fresh, "what is done is still known"


async def test_an_item_whose_holder_died_comes_due_again(store: Store) -> None:
    await store.receive("alert", "k", {})
    [first] = await store.claim("alert", lease=0.0)
    [second] = await store.claim("alert", lease=60)
    assert (first.id, second.attempts) == (second.id, 2)
    assert await store.claim("alert") == []
    await store.retry(second.id, "later", 0.0)
    [third] = await store.claim("alert")
    await store.done(third.id, "ok")
    await store.retry(first.id, "the first holder wakes up", 0.0)
    assert await store.claim("alert") == [], "what is done stays done"


async def test_many_takers_share_out_without_overlap(store: Store) -> None:
    for number in range(60):
        await store.receive("alert", str(number), {"n": number})
    taken = await asyncio.gather(*(store.claim("alert", limit=10) for _ in range(8)))
    keys = [i.key for items in taken for i in items]
    assert sorted(keys, key=int) == [str(n) for n in range(60)]


async def test_an_alert_and_its_inbox_item_are_one(store: Store) -> None:
    one = alert()
    row = AlertRow(
        id=one.key,
        source="test",
        uid=one.uid,
        title=one.title,
        received_at=START,
        status="received",
        alert=one,
    )
    assert await store.receive_alert(row)
    assert not await store.receive_alert(row)
    [item] = await store.claim("alert")
    assert Alert.model_validate(item.body) == one
    kept = await store.alert(one.key)
    assert kept is not None
    assert kept.alert == one
    assert kept.received_at == START
    await store.set_alert(one.key, "routed", playbook="test", workflow_id="w")
    await store.project(with_approval())
    [listed] = await store.alerts(incident_id="INC-1")
    assert (listed.status, listed.workflow_id, listed.incident_id) == ("routed", "w", "INC-1")
    assert await store.was_routed("test", one.uid, other_than="another")
    assert not await store.was_routed("test", one.uid, other_than=one.key)


async def test_alerts_that_cannot_be_read_are_listed(store: Store) -> None:
    for number in range(3):
        row = AlertRow(
            id=f"bad-{number}",
            source="test",
            received_at=START + timedelta(seconds=number),
            status="invalid",
            reason="not an alert",
            field="$.detail",
            raw_digest=digest_of("x"),
        )
        assert await store.save_alert(row)
    assert [a.id for a in await store.alerts(status="invalid", limit=2)] == ["bad-2", "bad-1"]
    assert [a.id for a in await store.alerts(status="invalid", before="bad-1")] == ["bad-0"]
    assert await store.alert("bad-9") is None


async def test_references_and_tokens(store: Store) -> None:
    ref = ChatRef(incident_id="INC-1", key="summary", channel="C1", ts="1.2", digest="d")
    await store.put_chat_ref(ref)
    await store.put_chat_ref(ref.model_copy(update={"digest": "e"}))
    found = await store.chat_ref("INC-1", "summary")
    assert found is not None
    assert found.digest == "e"
    assert await store.chat_ref("INC-1", "other") is None
    await store.add_token("alice", digest_of("t1"), "laptop")
    await store.add_token("alice", digest_of("t2"))
    assert await store.responder_of_token(digest_of("t1")) == "alice"
    assert await store.responder_of_token(digest_of("t3")) is None
    assert await store.revoke_tokens("alice") == 2
    assert await store.responder_of_token(digest_of("t1")) is None


async def test_migrating_again_and_at_once_changes_nothing(url: str) -> None:
    await migrate(url)
    await asyncio.gather(*(migrate(url) for _ in range(3)))
    store = await Store.open(url)
    await store.project(with_approval())
    await store.close()
    await migrate(url)
    store = await Store.open(url)
    assert await store.incident("INC-1") is not None
    await store.close()


async def test_an_unreachable_database_says_so() -> None:
    with pytest.raises(StoreUnavailable):
        await Store.open("postgresql+asyncpg://soar@127.0.0.1:1/none")
    with pytest.raises(StoreUnavailable):
        await Store.open("sqlite+aiosqlite:////proc/nowhere/soar.db")


async def test_writers_of_one_process_wait_for_their_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Left to SQLite, each would try again until it has waited for too long, and then give up."""
    monkeypatch.setattr(database, "BUSY_MILLISECONDS", 0)
    url = f"sqlite+aiosqlite:///{tmp_path}/busy.db"
    await migrate(url)
    store = await Store.open(url)
    try:
        await asyncio.gather(*(store.project(chain(f"INC-{n}", opened(f"INC-{n}"))) for n in range(40)))
        assert len(await store.incidents(limit=100)) == 40
    finally:
        await store.close()
