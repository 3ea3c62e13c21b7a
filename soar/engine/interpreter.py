"""The interpreter: one walk over the step graph."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from functools import partial

from pydantic import JsonValue
from temporalio import workflow

from soar.engine.action_steps import ActionSteps
from soar.engine.activities import StepFailure
from soar.engine.people_steps import WaitingSteps
from soar.engine.reads import PATIENCE, Reads
from soar.engine.run import Run, Stopped, bad_template
from soar.engine.scope import OUTSIDE, Scope
from soar.engine.steps import StepLife, succeeded
from soar.model.change import ErrorInfo, Result
from soar.model.course import LoopStarted, RoundEnded, WayTaken
from soar.model.events import PhaseEnded, PhaseStarted, StepSkipped
from soar.model.terms import Phase, StepStatus
from soar.playbook.expressions import ExpressionError, evaluate
from soar.playbook.graph import (
    ActionNode,
    AskNode,
    BranchNode,
    ForeachNode,
    NodeBase,
    ParallelNode,
    PlaybookNode,
    RepeatNode,
    SetNode,
    TaskNode,
    WaitNode,
)

__all__ = ["Interpreter"]

MAX_ITEMS = 20_000
"""Items of one `foreach`."""
LEFT_BEHIND = 8 * 1024
"""Bytes that an item of a `foreach` without `collect` leaves behind; of more, only how its steps ended is kept."""


class Interpreter:
    """Walks an incident's playbook through the phases.

    What has ended in an earlier run of the workflow is walked past: the walk begins at the beginning each time, and
    the incident's state says what is left to do.

    Args:
        run: The incident.
        life: Brings each step to its end.
        actions: Does what action steps say.
        waiting: Does what waiting steps say.
    """

    def __init__(self, run: Run, life: StepLife, actions: ActionSteps, waiting: WaitingSteps) -> None:
        self._run, self._life, self._actions, self._waiting = run, life, actions, waiting
        self._beside = frozenset(run.graph.beside)
        # An older engine, and one that only tries out what would happen, plans each change when its turn comes.
        self._groups = run.start.engine >= 3 and not run.start.dry_run
        self._ahead = frozenset(run.graph.ahead) if self._groups else frozenset[str]()

    async def play(self) -> None:
        """Run every phase that has steps, in order.

        Raises:
            Stopped: A step, or a person, ended it early.
        """
        graph, journal = self._run.graph, self._run.journal
        for phase in Phase:
            entry = graph.entries.get(phase)
            if entry is None:
                continue
            known = self._run.incident.phases.get(phase)
            if known is not None and known.ended_at is not None:
                continue
            self._run.check(OUTSIDE)
            if known is None:
                journal.record(PhaseStarted(phase=phase), f"Phase: {phase.label}", phase=phase)
            await self._chain(entry, OUTSIDE, self._after(phase))
            journal.record(PhaseEnded(phase=phase), f"Phase ended: {phase.label}", phase=phase)

    def _after(self, phase: Phase) -> str | None:
        """The first node of the next phase that has any."""
        phases = list(Phase)
        later = phases[phases.index(phase) + 1 :]
        return next((self._run.graph.entries[p] for p in later if p in self._run.graph.entries), None)

    async def after_failure(self, scope: Scope) -> None:
        """Run the steps that the playbook has for its own failure.

        Raises:
            Stopped: One of them failed as well.
        """
        if self._run.graph.failure is not None:
            await self._chain(self._run.graph.failure, scope)

    async def _chain(self, entry: str, scope: Scope, after: str | None = None) -> None:
        """Run nodes one after the other until one has no next: the end of a phase, or of a branch.

        Args:
            after: What comes after the last one.
        """
        graph = self._run.graph
        current: str | None = entry
        while current is not None:
            row = [graph.nodes[current]]
            while (following := row[-1].next) is not None and following in self._beside:
                row.append(graph.nodes[following])
            change = graph.nodes[ahead] if (ahead := following or after) in self._ahead else None
            if len(row) == 1 and change is None:
                await self._node(row[0], scope)
            else:
                here = scope.joining(Reads())
                work = [partial(self._node, node, here) for node in row]
                if isinstance(change, ActionNode):
                    work.append(partial(self._actions.plan_ahead, change, here))
                await _together(work, None)
            current = row[-1].next

    async def _node(self, node: NodeBase, scope: Scope) -> None:
        life = self._life
        match node:
            case ActionNode():
                await life.execute(node, scope, self._actions.work)
            case TaskNode():
                await life.execute(node, scope, self._waiting.task)
            case AskNode():
                await life.execute(node, scope, self._waiting.ask)
            case WaitNode():
                await life.execute(node, scope, self._waiting.wait)
            case SetNode():
                await life.execute(node, scope, self._waiting.set)
            case PlaybookNode():
                await life.execute(node, scope, self._waiting.playbook)
            case ParallelNode():
                await self._parallel(node, scope)
            case BranchNode():
                await life.execute(node, scope, self._branch)
            case ForeachNode():
                await life.execute(node, scope, self._foreach)
            case RepeatNode():
                await life.execute(node, scope, self._repeat)
            case _:
                raise TypeError(f"{node.id}: {type(node).__name__} is no node that can be run")

    def _inside(self, node: NodeBase, scope: Scope) -> Scope:
        """The scope inside a step whose time may be limited."""
        if node.timeout is None:
            return scope
        step = self._run.incident.steps[node.id]
        begun = step.retried_at or step.started_at
        return scope.until(begun + timedelta(seconds=node.timeout), node.id)

    def _planning(self, scope: Scope) -> Scope:
        """The scope of what runs at once: changes that are planned at the same moment are planned together."""
        return scope.planning_with(Reads(PATIENCE)) if self._groups else scope

    async def _parallel(self, node: ParallelNode, scope: Scope) -> None:
        """Run the branches at once. When one stops the playbook, the others still end what they have begun."""
        plain = node.when is None and node.timeout is None and not node.notify
        if plain and node.id not in self._run.incident.skips:
            # Nothing to decide and nothing to tell: its branches tell it.
            inside = self._planning(scope)
            await _together([partial(self._chain, b, inside) for b in node.branches], node.concurrency)
            return

        async def work(here: ParallelNode, _: Scope) -> None:
            inside = self._planning(self._inside(here, scope))
            await _together([partial(self._chain, b, inside) for b in node.branches], node.concurrency)
            succeeded(self._run, here, Result(summary="All branches have ended"))

        await self._life.execute(node, scope, work)

    async def _branch(self, node: BranchNode, scope: Scope) -> None:
        """Go the first way whose condition holds. It is decided once: the way is on record before its first step."""
        step = self._run.incident.steps[node.id]
        if step.way is None:
            label, entry = self._way(node, scope)
            self._run.journal.record(
                WayTaken(step_id=node.id, way=label), f"{node.name}: {label}", phase=node.phase
            )
        else:
            entry = next((c.entry for c in node.cases if c.label == step.way), node.default)
            label = step.way
        if entry is None:
            self._run.journal.record(
                StepSkipped(step_id=node.id, name=node.name, action=node.kind, reason="no way to go"),
                f"Skipped: {node.name}: nothing to do in this case",
                phase=node.phase,
            )
            return
        await self._chain(entry, self._inside(node, scope))
        succeeded(self._run, node, Result(summary=f"{node.name}: {label}", data={"way": label}))

    def _way(self, node: BranchNode, scope: Scope) -> tuple[str, str | None]:
        variables = self._run.variables(scope)
        for case in node.cases:
            try:
                if bool(evaluate(case.condition, variables)):
                    return case.label, case.entry
            except ExpressionError as problem:
                raise StepFailure(bad_template(case.label, problem)) from problem
        return "else", node.default

    async def _foreach(self, node: ForeachNode, scope: Scope) -> None:
        run = self._run
        step = run.incident.steps[node.id]
        if step.items is None:
            items = self._items(node, scope)
            run.journal.record(
                LoopStarted(step_id=node.id, items=items),
                f"{node.name}: {len(items)} item(s)",
                phase=node.phase,
            )
        items = step.items or []
        inside = self._planning(self._inside(node, scope))
        loop = node.id.partition("[")[0]

        async def each(index: int) -> None:
            names = {node.bound: items[index], f"{node.bound}_index": index}
            here = inside.round(loop, index, names)
            await self._chain(node.body, here)
            self._round_ended(node, here, index, node.collect)

        left = [index for index in range(len(items)) if index not in step.rounds]
        await _together([partial(each, index) for index in left], node.concurrency)
        failed = len(step.failed_rounds)
        left_behind = [step.rounds[index] for index in range(len(items))]
        summary = f"{node.name}: {len(items)} item(s)" + (f", {failed} not wholly done" if failed else "")
        data: dict[str, JsonValue] = {"items": left_behind, "count": len(items), "failed": failed}
        succeeded(run, node, Result(summary=summary, data=data))

    def _items(self, node: ForeachNode, scope: Scope) -> list[JsonValue]:
        try:
            items = evaluate(node.items, self._run.variables(scope))
        except ExpressionError as problem:
            raise StepFailure(bad_template("foreach", problem)) from problem
        if not isinstance(items, list):
            problem_text = f"`foreach`: {node.items!r} gives no list"
            raise StepFailure(
                ErrorInfo(
                    type="BadInput", message=problem_text, hint="correct the playbook, or skip the step"
                )
            )
        if len(items) > MAX_ITEMS:
            raise StepFailure(
                ErrorInfo(
                    type="BadInput",
                    message=f"`foreach`: {len(items)} items; at most {MAX_ITEMS}",
                    hint="narrow the list down, or skip the step",
                )
            )
        return items

    async def _repeat(self, node: RepeatNode, scope: Scope) -> None:
        run = self._run
        step = run.incident.steps[node.id]
        inside = self._inside(node, scope)
        loop = node.id.partition("[")[0]
        base = step.rounds_before
        while (index := len(step.rounds)) - base < node.attempts:
            if index > base and node.every is not None:
                await self._pause(node, inside)
            here = inside.round(loop, index, {"attempt": index + 1})
            await self._chain(node.body, here)
            try:
                done = bool(evaluate(node.until, run.variables(here)))
            except ExpressionError as problem:
                raise StepFailure(bad_template("until", problem)) from problem
            self._round_ended(node, here, index, None, value=done)
            if done:
                data: dict[str, JsonValue] = {"attempts": index + 1, "satisfied": True}
                succeeded(run, node, Result(summary=f"{node.name}: after {index + 1} round(s)", data=data))
                return
        raise StepFailure(
            ErrorInfo(
                type="NotReached",
                message=f"it does not hold after {node.attempts} rounds: {node.until}",
                hint="retry to go on for as many rounds again, or skip the step",
            )
        )

    async def _pause(self, node: RepeatNode, scope: Scope) -> None:
        step = self._run.incident.steps[node.id]
        ended = step.round_ended_at or workflow.now()
        assert node.every is not None
        await self._run.wait(lambda: False, scope, node.id, at=ended + timedelta(seconds=node.every))
        await self._run.may_begin(scope, node.id)

    def _round_ended(
        self,
        node: ForeachNode | RepeatNode,
        here: Scope,
        index: int,
        collect: str | None,
        *,
        value: JsonValue = None,
    ) -> None:
        run = self._run
        inner = self._inner(here)
        steps = {base: run.incident.steps[i] for base, i in inner.items() if i in run.incident.steps}
        if collect is not None:
            try:
                value = evaluate(collect, run.variables(here))
            except ExpressionError as problem:
                raise StepFailure(bad_template("collect", problem)) from problem
        elif isinstance(node, ForeachNode):
            value = _left_behind({b: (s.status, s.result) for b, s in steps.items()})
        bad = [
            s
            for s in steps.values()
            if s.status in (StepStatus.FAILED, StepStatus.DENIED) or s.skipped_by or s.failed_rounds
        ]
        forget = tuple(
            s.id
            for s in steps.values()
            if s not in bad and s.id not in run.incident.effects and s.plan is None and not s.child
        )
        run.journal.record(
            RoundEnded(step_id=node.id, index=index, value=value, failed=bool(bad), forget=forget),
            f"{node.name}: {index + 1} ended",
            phase=node.phase,
        )

    def _inner(self, here: Scope) -> dict[str, str]:
        """The steps of a round, its inner loops' own not included: id in the playbook → id in the incident."""
        return {node_id: here.instance(node_id) for node_id in self._run.directly_in(here.rounds[-1].loop)}


def _left_behind(steps: dict[str, tuple[StepStatus, Result | None]]) -> JsonValue:
    whole: dict[str, JsonValue] = {
        base: {"status": status.value, "result": result.data if result else {}}
        for base, (status, result) in steps.items()
    }
    if len(json.dumps(whole)) <= LEFT_BEHIND:
        return whole
    return {base: {"status": status.value, "cut": True} for base, (status, _) in steps.items()}


async def _together(work: Sequence[Callable[[], Awaitable[None]]], at_once: int | None) -> None:
    """Do things at once, or only so many of them at a time, in order.

    When one of them stops, those that have begun come to their end, and no further one begins.
    """
    waiting = iter(work)
    errors: list[BaseException] = []

    async def worker() -> None:
        for one in waiting:
            try:
                await one()
            except BaseException as error:  # noqa: BLE001 - told to the caller, after all have ended
                errors.append(error)
            if errors and at_once is not None:
                return

    await asyncio.gather(*(worker() for _ in range(min(at_once or len(work), len(work)))))
    unexpected = [e for e in errors if not isinstance(e, Stopped)]
    for error in unexpected or errors:
        raise error
