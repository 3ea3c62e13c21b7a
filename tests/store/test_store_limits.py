"""What budgets and halts look at, on both databases."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine
from test_store import HOSTILE, chain, opened

from soar.engine.messages import ReserveRequest
from soar.model.base import digest_of
from soar.model.change import Change, ErrorInfo, Plan, Result
from soar.model.events import (
    AnyEvent,
    EffectApplied,
    EffectFailed,
    EffectStarted,
    PhaseStarted,
    PlanMade,
    StepStarted,
)
from soar.model.people import Responder
from soar.model.terms import Phase, Risk
from soar.playbook.policy import Halt, Spent
from soar.runtime.orchestrator import OrchestratorActivities
from soar.runtime.policy_file import PolicyFile
from soar.store import Store, migrate
from soar.store.database import MIGRATIONS
from soar.store.tables import metadata

NOW = datetime.now(UTC).replace(microsecond=0)
ADA = Responder(id="ada", name="Ada")
BEN = Responder(id="ben", name="Ben")
BUDGET = """
version: 1
budgets:
  - {match: {risk: [disruptive]}, changes: 3, window: 1h, per: account}
"""


def changed(*events: AnyEvent, times: int = 1, at: datetime = NOW, account: str = "1111") -> list[AnyEvent]:
    change = Change(target="t", field="f", before=1, after=2)
    plan = Plan(action="a.b", params={}, account=account, summary="do it", changes=(change,))
    digest = plan.content_digest
    started = [
        (PlanMade(step_id="s", plan=plan, plan_digest=digest), EffectStarted(step_id="s", plan_digest=digest))
        for _ in range(times)
    ]
    return [
        opened("INC-1"),
        PhaseStarted(phase=Phase.CONTAINMENT),
        StepStarted(step_id="s", name="s", action="a.b", risk=Risk.DISRUPTIVE),
        *(event for pair in started for event in pair),
        *events,
    ]


def spent(number: int, account: str = "1111", at: datetime = NOW) -> Spent:
    return Spent(
        time=at,
        risk=Risk.DISRUPTIVE,
        account=account,
        playbook="test",
        action="a.b",
        incident_id=f"INC-{number}",
        step_id="s",
        plan_digest=digest_of(str(number)),
    )


async def test_a_change_that_began_is_counted_once_however_often_it_is_projected(store: Store) -> None:
    entries = chain("INC-1", *changed(), at=NOW)
    await store.project(entries)
    await store.project(entries)
    [found] = await store.changes_since(NOW - timedelta(hours=1))
    assert (found.risk, found.account, found.playbook, found.action) == (
        Risk.DISRUPTIVE,
        "1111",
        "test",
        "a.b",
    )
    assert (found.incident_id, found.step_id, found.time) == ("INC-1", "s", entries[-1].time)
    assert await store.changes_since(found.time) == ()


async def test_the_same_plan_tried_again_is_the_same_change_at_the_later_time(store: Store) -> None:
    entries = chain("INC-1", *changed(times=2), at=NOW)
    await store.project(entries[:5])
    await store.project(entries[5:])
    [found] = await store.changes_since(NOW)
    assert found.time == entries[-1].time


async def test_only_a_change_of_which_certainly_nothing_was_done_frees_its_place(store: Store) -> None:
    error = ErrorInfo(type="Drifted", message="m", nothing_done=True)
    nothing = EffectFailed(step_id="s", error=error, nothing_done=True)
    doubt = EffectFailed(step_id="s", error=error, nothing_done=False)
    await store.project(chain("INC-1", *changed(nothing), at=NOW))
    assert await store.changes_since(NOW) == ()
    doubtful = [opened("INC-2"), *changed(doubt)[1:]]
    await store.project(chain("INC-2", *doubtful, at=NOW))
    assert len(await store.changes_since(NOW)) == 1
    # The first try may have done something, so what frees the second one's place leaves the first's.
    twice = [opened("INC-3"), *changed(EffectApplied(step_id="s", result=Result(summary="r")))[1:]]
    again = [twice[3], twice[4], nothing]
    await store.project(chain("INC-3", *twice, *again, at=NOW))
    assert {c.incident_id for c in await store.changes_since(NOW)} == {"INC-2", "INC-3"}


async def test_two_incidents_never_get_the_last_place_both(store: Store, url: str) -> None:
    other = await Store.open(url)

    def two_places(_halt: Halt | None, others: tuple[Spent, ...]) -> str:
        return "" if len(others) < 2 else "full"

    async def reserve(number: int) -> str:
        through = store if number % 2 else other
        return await through.reserve(spent(number), since=NOW - timedelta(hours=1), refusal=two_places)

    answers = await asyncio.gather(*(reserve(number) for number in range(12)))
    assert sorted(answers) == [""] * 2 + ["full"] * 10
    granted = [number for number, answer in enumerate(answers) if not answer]
    # Asked again, who has a place keeps it, and takes no second one.
    assert [await reserve(number) for number in granted] == ["", ""]
    assert {s.incident_id for s in await other.changes_since(NOW - timedelta(hours=1))} == {
        f"INC-{n}" for n in granted
    }
    await other.close()


async def test_a_reserved_change_that_begins_is_one_change(store: Store) -> None:
    events = changed()
    started = events[-1]
    assert isinstance(started, EffectStarted)
    reserved = spent(1).model_copy(update={"plan_digest": started.plan_digest})
    assert await store.reserve(reserved, since=NOW - timedelta(hours=1), refusal=lambda *_: "") == ""
    await store.project(chain("INC-1", *events, at=NOW))
    assert len(await store.changes_since(NOW - timedelta(hours=1))) == 1


async def test_a_halt_is_in_force_until_it_is_lifted_and_stays_on_record(store: Store) -> None:
    assert await store.halted() is None
    assert (await store.lift_halt(BEN, "why not")).changed is False
    first = await store.halt(ADA, HOSTILE)
    assert first.changed
    again = await store.halt(BEN, "me too")
    assert (again.changed, again.halt) == (False, first.halt)
    halt = await store.halted()
    assert halt == first.halt is not None
    assert halt is not None
    assert (halt.by, "NUL" in halt.reason) == ("Ada", True)
    lifted = await store.lift_halt(BEN, "it was us")
    assert (lifted.changed, lifted.halt, await store.halted()) == (True, halt, None)
    await store.halt(BEN, "again")
    latest, earlier = await store.halts()
    assert (latest.responder_id, latest.lifted_at) == ("ben", None)
    assert (earlier.responder_id, earlier.lifted_by, earlier.lift_reason) == ("ada", "ben", "it was us")
    assert earlier.lifted_at is not None
    assert earlier.lifted_at >= earlier.since


async def test_halting_at_once_from_everywhere_makes_one_halt(store: Store) -> None:
    made = await asyncio.gather(*(store.halt(ADA, f"reason {n}") for n in range(8)))
    assert sum(m.changed for m in made) == 1
    assert len({m.halt for m in made}) == 1


def activities(store: Store, folder: Path, text: str) -> OrchestratorActivities:
    (folder / "policy.yaml").write_text(text)
    return OrchestratorActivities(store, PolicyFile(folder / "policy.yaml"))


def request(number: int, **more: str) -> ReserveRequest:
    values = {"account": "1111", "playbook": "test", "action": "a.b", "risk": "disruptive", **more}
    return ReserveRequest.model_validate(
        {"incident_id": f"INC-{number}", "step_id": "s", "plan_digest": digest_of(str(number)), **values}
    )


async def test_the_activity_reserves_within_the_budget_and_says_when_there_is_a_place(
    store: Store, tmp_path: Path
) -> None:
    own = activities(store, tmp_path, BUDGET)
    answers = await asyncio.gather(*(own.reserve(request(number)) for number in range(6)))
    assert sum(a.granted for a in answers) == 3
    [reason] = {a.reason[:100] for a in answers if not a.granted}
    assert "budget 1: at most 3 disruptive change(s) per account in 1h, and 3 made in account 1111" in reason
    assert (await own.reserve(request(7, account="2222"))).granted
    assert (await own.reserve(request(8, risk="reversible"))).granted
    in_force = await own.current_policy()
    assert len(in_force.spent) == 5
    assert in_force.halt is None
    await store.halt(ADA, "stop everything")
    # Also for who has a place: the halt is looked at last.
    granted = next(n for n, a in enumerate(answers) if a.granted)
    refused = await own.reserve(request(granted))
    assert (refused.granted, "halted by Ada" in refused.reason) == (False, True)
    halted = (await own.current_policy()).halt
    assert halted is not None
    assert halted.reason == "stop everything"


async def test_without_budgets_nothing_is_counted_and_a_halt_still_counts(
    store: Store, tmp_path: Path
) -> None:
    own = activities(store, tmp_path, "version: 1\n")
    assert (await own.reserve(request(1))).granted
    assert await store.changes_since(NOW - timedelta(days=1)) == ()
    nothing = OrchestratorActivities(store, PolicyFile(None))
    assert (await nothing.reserve(request(1))).granted
    await store.halt(ADA, "stop")
    assert not (await own.reserve(request(1))).granted
    assert not (await nothing.reserve(request(1))).granted
    in_force = await nothing.current_policy()
    assert (in_force.policy, in_force.halt is None) == (None, False)


async def test_weekly_freezes_are_handed_out_worked_out(store: Store, tmp_path: Path) -> None:
    text = "version: 1\nfreezes: [{weekly: {from: 'fri 16:00', to: 'mon 07:00', zone: Europe/Berlin}}]\n"
    own = activities(store, tmp_path, text)
    policy = (await own.current_policy()).policy
    assert policy is not None
    assert len(policy.freezes[0].resolved) > 4
    written = PolicyFile(tmp_path / "policy.yaml").current()
    assert written is not None
    assert written.freezes[0].resolved == ()
    assert written.digest == policy.digest


async def test_a_store_of_the_version_before_gets_the_new_tables_as_they_are_declared(url: str) -> None:
    def first_version(connection: Connection) -> None:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")

    def differences(connection: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), metadata))

    engine = create_async_engine(url)
    async with engine.begin() as connection:
        await connection.run_sync(first_version)
    await migrate(url)
    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []
    await engine.dispose()


@pytest.mark.parametrize("text", ["version: 1\nbudgets: [{changes: 1}]\n"])
async def test_a_broken_policy_reserves_nothing(store: Store, tmp_path: Path, text: str) -> None:
    own = activities(store, tmp_path, text)
    with pytest.raises(Exception, match="the policy cannot be used"):
        await own.reserve(request(1))
