"""Playbooks that nobody thought of, run by the real workflow: they end, are never wrong, and can be undone.

They hold no timers: Temporal's time-skipping server loses a workflow task that takes a timer back at the very instant
at which it fires (temporalio/sdk-java#3088). What waits is tested in `test_engine_language.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from drawn_playbooks import Drawn, playbooks
from engine_world import ALICE, AUTOMATIC, Started, World, definitions, incident
from hypothesis import HealthCheck, Phase, assume, event, given, settings
from hypothesis import strategies as st
from skipping_server import time_skipping_server
from temporalio.testing import WorkflowEnvironment

from soar.actions.errors import Refused, Unavailable
from soar.engine.messages import StepDecisionRequest, TaskRequest, VoteRequest
from soar.model.incident import Incident
from soar.model.people import Decision, VoteChannel
from soar.model.terms import IncidentStatus
from soar.playbook.diagnostics import Diagnostic
from soar.playbook.library import Library
from soar.playbook.lint import lint
from soar.playbook.loader import load_playbook

LONGEST = 45
"""Seconds after which a run counts as one that does not end."""

MAYBE = frozenset({"may-not-be-set", "may-be-null", "undeclared-result"})
"""The warnings of the linter that say that a name may not be there, or of another kind."""

bounded = settings(
    deadline=None,
    # To look for a smaller playbook takes many runs of a whole workflow: what was drawn first tells enough.
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)


@dataclass(frozen=True)
class Bench:
    """One server for all the runs, and the loop that it belongs to."""

    loop: asyncio.AbstractEventLoop
    env: WorkflowEnvironment


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    loop = asyncio.new_event_loop()
    server = time_skipping_server()
    yield Bench(loop, loop.run_until_complete(server.__aenter__()))
    loop.run_until_complete(server.__aexit__(None, None, None))
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


class Faults:
    """One call that fails once: for a reason that passes, or for good."""

    def __init__(self, at: int, error: type[Unavailable] | type[Refused] | None) -> None:
        self.left, self.error = at, error

    def __call__(self, _call: str) -> None:
        self.left -= 1
        if self.left == 0 and self.error is not None:
            raise self.error("a drawn fault")

    @property
    def happened(self) -> bool:
        return self.error is not None and self.left <= 0


async def answer(run: Started, yes: list[bool]) -> None:
    """Answer whatever people are asked, until the incident has ended.

    Changes are approved, questions get the drawn answers, and what failed is tried again.
    """
    tried: dict[str, int] = {}
    while not (state := await run.until(lambda _: True)).status.ended:
        for approval in state.open_approvals:
            asked = state.steps[approval.step_id].action == "approve"
            no = asked and not yes[len(tried) % len(yes)]
            await run.engine.vote(
                run.workflow_id,
                VoteRequest(
                    approval_id=approval.id,
                    plan_digest_prefix=approval.plan_digest[:12],
                    responder=ALICE,
                    decision=Decision.DENY if no else Decision.APPROVE,
                    channel=VoteChannel.API,
                    reason="because",
                ),
                request_id=f"vote-{approval.id}",
            )
        for task in state.open_tasks:
            values = {"known": yes[len(tried) % len(yes)], "many": len(tried)}
            request = TaskRequest.model_validate(
                {"step_id": task.step_id, "responder": ALICE, "values": values}
            )
            await run.engine.tell(
                run.workflow_id, "complete_task", request, request_id=f"task-{task.step_id}-{len(tried)}"
            )
            tried[f"task {task.step_id}"] = 1
        for step in state.steps.values():
            if step.status.value != "attention":
                continue
            tried[step.id] = tried.get(step.id, 0) + 1
            decision = StepDecisionRequest.model_validate(
                {
                    "step_id": step.id,
                    "responder": ALICE,
                    "decision": "retry" if tried[step.id] < 4 else "stop",
                    "channel": "api",
                }
            )
            await run.engine.decide_step(
                run.workflow_id, decision, request_id=f"decide-{step.id}-{tried[step.id]}"
            )
        await asyncio.sleep(0.05)


def findings(drawn: Drawn) -> list[Diagnostic]:
    """What the linter says of names and kinds, and its other errors."""
    catalogue = {d.spec.name: d.spec for d in definitions(World())}
    library = Library([load_playbook(drawn.called_text, file="called.yaml")])
    found = lint(load_playbook(drawn.text, file="drawn.yaml"), catalogue, library.get)
    return [d for d in found if d.severity == "error" or d.rule in MAYBE]


async def play(env: WorkflowEnvironment, drawn: Drawn, faults: Faults, yes: list[bool]) -> None:
    before = dict.fromkeys(drawn.lamps, "on")
    world = World(lamps=dict(before), faults=faults)
    others = (drawn.called_text,) if drawn.calls else ()
    async with incident(env, drawn.text, world=world, policy=AUTOMATIC, others=others) as run:
        try:
            async with asyncio.timeout(LONGEST):
                await answer(run, yes)
                # That it ends, that it replays, and that store and workflow tell the same story, is seen there.
                ended = await run.end()
        except TimeoutError:
            raise AssertionError(f"it did not end; it came as far as {run.kinds[-5:]}") from None
    event(ended.status.value)
    never_wrong(ended)
    put_back(ended, world, before, faults)
    if not faults.happened:
        applied = [e for e in run.recorded.entries if e.kind == "effect.applied"]
        assert sum(c.endswith(":apply") for c in world.calls) == len(applied), "each change is applied once"


def never_wrong(ended: Incident) -> None:
    wrong = [
        (s.id, s.error) for s in ended.steps.values() if s.error is not None and s.error.type == "BadInput"
    ]
    assert not wrong, f"it was lint-clean, and yet: {wrong}"


def put_back(ended: Incident, world: World, before: dict[str, str], faults: Faults) -> None:
    left = {target.uid for effect in ended.residual for target in effect.plan.targets}
    changed = {lamp for lamp, colour in world.lamps.items() if colour != before[lamp]}
    assert changed <= left, f"changed, and the incident does not say so: {changed - left}"
    assert ended.status in (IncidentStatus.CLOSED, IncidentStatus.CLOSED_INCOMPLETE, IncidentStatus.FAILED)
    if ended.status is not IncidentStatus.FAILED and not faults.happened:
        assert not left, "the last step puts everything back"


@settings(bounded, max_examples=40)
@given(
    playbooks(),
    st.integers(1, 30),
    st.sampled_from([None, None, Unavailable, Refused]),
    st.lists(st.booleans(), min_size=1, max_size=4),
)
def test_a_playbook_that_reads_what_is_there_ends_is_never_wrong_and_can_be_undone(
    bench: Bench,
    drawn: Drawn,
    at: int,
    error: type[Unavailable] | type[Refused] | None,
    yes: list[bool],
) -> None:
    assert [d for d in findings(drawn) if d.rule != "unknown-status"] == [], (
        "it is sure, and the linter doubts it"
    )
    bench.loop.run_until_complete(play(bench.env, drawn, Faults(at, error), yes))


@settings(bounded, max_examples=40)
@given(playbooks(risky=True), st.lists(st.booleans(), min_size=1, max_size=4))
def test_what_the_linter_finds_nothing_in_is_never_wrong(bench: Bench, drawn: Drawn, yes: list[bool]) -> None:
    assume(not findings(drawn))
    bench.loop.run_until_complete(play(bench.env, drawn, Faults(0, None), yes))
