"""What every action on AWS promises, tried on every one that is registered."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from case import CASES, Arranged, Case, World
from temporalio.exceptions import ApplicationError

from soar.actions.contract import ChangeDefinition
from soar.actions.registry import definitions
from soar.model.base import canonical_json
from soar.simulated.base import AccountClients

for module in sorted(Path(__file__).parent.glob("cases_*.py")):
    importlib.import_module(module.stem)

AWS = {name: d for name, d in definitions().items() if name.startswith("aws.")}
CHANGES = [c for c in CASES if isinstance(AWS.get(c.action), ChangeDefinition)]
UNDOABLE = [c for c in CHANGES if AWS[c.action].spec.undoable]
UNDISTURBED = {
    **dict.fromkeys(
        (
            "aws.cognito.disable_user",
            "aws.config.start_recorder",
            "aws.dynamodb.enable_deletion_protection",
            "aws.dynamodb.enable_pitr",
            "aws.ec2.disable_serial_console",
            "aws.rds.make_private",
            "aws.rds.stop",
            "aws.ses.pause_sending",
        ),
        "it is a switch: whoever turns it puts back what was there before, and there is no third state",
    ),
    **dict.fromkeys(
        ("aws.dynamodb.restore_table_to_time", "aws.ec2.snapshot_volumes", "aws.rds.snapshot"),
        "it makes a copy: the copy is there, or whoever deleted it has done what the undo does",
    ),
}
"""Undoable actions whose undo nothing that somebody else does can make wrong, and why."""
READS = [c for c in CASES if c not in CHANGES]

Arrange = Callable[[Case], tuple[Any, Arranged]]


@pytest.fixture
def arrange(make_actions: Callable[..., Any], account: AccountClients, reset: Callable[[], None]) -> Arrange:
    """Empties the account, arranges a case in it, and returns fresh actions on it: as often as asked."""

    def make(case: Case) -> tuple[Any, Arranged]:
        reset()
        world = World(account)
        arranged = case.arrange(world)
        actions = make_actions(region=arranged.region, account=arranged.account)
        for scripted in world.scripted:
            scripted.attach(actions.access._session.events)
        return actions, arranged

    return make


def same(left: Any, right: Any) -> bool:
    return canonical_json(left) == canonical_json(right)


def test_every_action_has_a_case() -> None:
    assert not sorted(set(AWS) - {c.action for c in CASES})
    assert not sorted({c.action for c in CASES} - set(AWS)), "a case is of an action that is not registered"


@pytest.mark.parametrize("case", CHANGES, ids=str)
async def test_a_plan_changes_nothing_and_says_all(arrange: Arrange, case: Case) -> None:
    actions, arranged = arrange(case)
    before = arranged.snapshot()
    plan = await actions.plan(case.action, **arranged.params)
    assert same(arranged.snapshot(), before)
    assert plan.changes, "the case gives the action nothing to do"
    assert plan.targets
    assert plan.summary
    assert plan.blast_radius.summary
    assert all(c.target in {t.uid for t in plan.targets} for c in plan.changes), "a change of no target"
    assert bool(plan.undo) == AWS[case.action].spec.undoable
    again = await actions.plan(case.action, **arranged.params)
    assert again.content_digest == plan.content_digest, "two plans of one state differ"


@pytest.mark.parametrize("case", CHANGES, ids=str)
async def test_it_is_verified_after_and_not_before(arrange: Arrange, case: Case) -> None:
    actions, arranged = arrange(case)
    plan = await actions.plan(case.action, **arranged.params)
    assert not actions.look(plan).verified
    await actions.apply(plan)
    seen = await actions.verify(plan)
    assert seen.verified, seen.seen
    assert seen.seen
    assert seen.method


@pytest.mark.parametrize("case", CHANGES, ids=str)
async def test_twice_is_once(arrange: Arrange, case: Case) -> None:
    actions, arranged = arrange(case)
    plan = await actions.plan(case.action, **arranged.params)
    await actions.apply(plan)
    once = arranged.snapshot()
    await actions.apply(plan, attempt=2)
    assert same(arranged.snapshot(), once)


@pytest.mark.parametrize("case", UNDOABLE, ids=str)
async def test_as_wanted_already_there_is_no_change(arrange: Arrange, case: Case) -> None:
    actions, arranged = arrange(case)
    await actions.apply(await actions.plan(case.action, **arranged.params))
    assert (await actions.plan(case.action, **arranged.params)).changes == ()


@pytest.mark.parametrize("case", CHANGES, ids=str)
async def test_a_try_that_dies_after_any_call_is_gone_on_with(arrange: Arrange, case: Case) -> None:
    actions, arranged = arrange(case)
    plan = await actions.plan(case.action, **arranged.params)
    first = len(actions.wire.calls)
    await actions.apply(plan)
    calls, clean = len(actions.wire.calls) - first, arranged.snapshot()
    for point in range(1, calls + 1):
        actions, arranged = arrange(case)
        plan = await actions.plan(case.action, **arranged.params)
        actions.wire.crash_after = len(actions.wire.calls) + point
        with pytest.raises(ApplicationError, match="Crash"):
            await actions.apply(plan)
        died = actions.wire.calls[-1]
        actions.wire.crash_after = None
        await actions.retry(plan)
        assert same(arranged.snapshot(), clean), f"died after call {point}, {died}"
        assert (await actions.verify(plan)).verified, f"died after call {point}, {died}"


@pytest.mark.parametrize("case", UNDOABLE, ids=str)
async def test_undo_puts_everything_back(arrange: Arrange, case: Case) -> None:
    actions, arranged = arrange(case)
    before = arranged.snapshot()
    plan = await actions.plan(case.action, **arranged.params)
    await actions.apply(plan)
    assert not same(arranged.snapshot(), before), "the snapshot does not show the change"
    reply = await actions.undo(plan)
    assert reply.restored, reply.seen
    assert same(arranged.snapshot(), before)
    assert (await actions.undo(plan)).restored, "undone already is undone"
    assert same(arranged.snapshot(), before)


@pytest.mark.parametrize("case", UNDOABLE, ids=str)
async def test_an_undo_that_dies_after_any_call_is_gone_on_with(arrange: Arrange, case: Case) -> None:
    actions, arranged = arrange(case)
    before = arranged.snapshot()
    plan = await actions.plan(case.action, **arranged.params)
    await actions.apply(plan)
    first = len(actions.wire.calls)
    await actions.undo(plan)
    for point in range(1, len(actions.wire.calls) - first + 1):
        actions, arranged = arrange(case)
        plan = await actions.plan(case.action, **arranged.params)
        await actions.apply(plan)
        actions.wire.crash_after = len(actions.wire.calls) + point
        with pytest.raises(ApplicationError, match="Crash"):
            await actions.undo(plan)
        died = actions.wire.calls[-1]
        actions.wire.crash_after = None
        reply = await actions.undo(plan, attempt=2)
        assert reply.restored, f"died after call {point}, {died}: {reply.seen}"
        assert same(arranged.snapshot(), before), f"died after call {point}, {died}"


@pytest.mark.parametrize("name", sorted({c.action for c in UNDOABLE}))
async def test_what_somebody_else_changed_is_not_undone(arrange: Arrange, name: str) -> None:
    shown = []
    for case in (c for c in UNDOABLE if c.action == name):
        actions, arranged = arrange(case)
        if arranged.drift is None:
            continue
        plan = await actions.plan(case.action, **arranged.params)
        await actions.apply(plan)
        arranged.drift()
        drifted = arranged.snapshot()
        with pytest.raises(ApplicationError) as caught:
            await actions.undo(plan)
        assert caught.value.type in ("Drifted", "TargetGone"), caught.value
        assert same(arranged.snapshot(), drifted)
        shown.append(case.title)
    assert bool(shown) != (name in UNDISTURBED), (
        shown or "no case has a `drift`: say here why nobody can interfere"
    )


@pytest.mark.parametrize("case", READS, ids=str)
async def test_a_read_finds_what_is_there_and_changes_nothing(arrange: Arrange, case: Case) -> None:
    actions, arranged = arrange(case)
    before = arranged.snapshot()
    found = await actions.read(case.action, **arranged.params)
    assert same(arranged.snapshot(), before)
    assert arranged.finds, "the case says nothing of what is to be found"
    for key, value in arranged.finds.items():
        assert same(found.data[key], value), key


@pytest.mark.parametrize("name", sorted({c.action for c in CASES}))
async def test_it_declares_just_the_permissions_that_it_uses(
    arrange: Arrange, permissions_for: Callable[[str], set[str]], name: str
) -> None:
    needed: set[str] = set()
    for case in (c for c in CASES if c.action == name):
        actions, arranged = arrange(case)
        needed |= set(case.unseen)
        if case in READS:
            await actions.read(name, **arranged.params)
        else:
            plan = await actions.plan(name, **arranged.params)
            await actions.apply(plan)
            await actions.verify(plan)
            if case in UNDOABLE:
                await actions.undo(plan)
        for operation in actions.wire.calls:
            needed |= permissions_for(operation)
    assert set(AWS[name].spec.permissions) == needed
