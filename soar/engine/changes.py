"""The two kinds of change that a step can make: an action of the catalogue, and putting earlier changes back."""

from __future__ import annotations

from datetime import timedelta
from typing import Protocol, TypeVar

from temporalio import workflow
from temporalio.exceptions import ActivityError
from temporalio.workflow import ActivityCancellationType

from soar.actions.calls import ActionCall, ApplyCall, UndoCall, UndoReply
from soar.engine.run import HEARTBEAT_TIMEOUT, Run, StepFailure, retry_policy, task_queue
from soar.engine.scope import base_id
from soar.model.base import JsonObject
from soar.model.change import Change, Effect, EffectStatus, ErrorInfo, Plan, Result, Verification
from soar.model.events import (
    EffectApplied,
    EffectFailed,
    EffectStarted,
    EffectUndone,
    EffectVerified,
    UndoRefused,
)
from soar.model.incident import Incident
from soar.model.terms import Phase
from soar.playbook.builtins import BUILTIN_SPECS, UNDO
from soar.playbook.graph import ActionNode, NodeSpec

__all__ = [
    "CatalogueChange",
    "ChangeKind",
    "Superseded",
    "UndoChange",
    "effects_to_undo",
    "instances_of",
    "run_action",
    "undo_node",
    "wire_id",
]

T = TypeVar("T")


class Superseded(Exception):
    """The target is no longer what was planned for: the plan is void, and so is every vote on it."""

    def __init__(self, drift: tuple[str, ...]) -> None:
        super().__init__("; ".join(drift))
        self.drift = drift


class ChangeKind(Protocol):
    """A change as the step runner sees it."""

    async def plan(self) -> Plan:
        """Say what would change, and change nothing."""
        ...

    async def commit(self, plan: Plan) -> Result:
        """Make the change and prove it.

        Raises:
            Superseded: The target moved since the plan was made, and nothing was done.
            StepFailure: It was not made, not wholly, or could not be proven.
        """
        ...


class CatalogueChange:
    """An action: `plan`, `apply` and `verify` are activities of their own, so that the state before is in durable
    history before the first call that changes anything."""

    def __init__(self, run: Run, node: ActionNode, params: JsonObject) -> None:
        self._run, self._node, self._params = run, node, params

    async def plan(self) -> Plan:
        incident = self._run.incident
        call = ActionCall(
            incident_id=incident.id,
            step_id=wire_id(self._node.id),
            account=incident.account,
            region=incident.region,
            params=self._params,
        )
        return await self._activity("plan", call, Plan, self._node.spec.plan_timeout)

    async def commit(self, plan: Plan) -> Result:
        run, node, journal = self._run, self._node, self._run.journal
        call = ApplyCall(incident_id=run.incident.id, step_id=wire_id(node.id), plan=plan)
        digest = plan.digest(run.incident.playbook_digest)
        journal.record(
            EffectStarted(step_id=node.id, plan_digest=digest), f"Applying: {plan.summary}", phase=node.phase
        )
        try:
            result = await self._activity("apply", call, Result, node.timeout or node.spec.apply_timeout)
        except StepFailure as failure:
            error = failure.error
            journal.record(
                EffectFailed(step_id=node.id, error=error, nothing_done=error.nothing_done),
                f"Not applied: {error.message}",
                phase=node.phase,
            )
            if error.type == "Drifted":
                raise Superseded((error.message,)) from failure
            raise
        journal.record(
            EffectApplied(step_id=node.id, result=result),
            f"Applied, not yet verified: {result.summary}",
            phase=node.phase,
            evidence=result.evidence,
        )
        # The verification itself gives up after verify_timeout; the activity's own limit is a little longer.
        seen = await self._activity("verify", call, Verification, node.spec.verify_timeout + 30)
        word = "Verified" if seen.verified else "NOT verified"
        journal.record(
            EffectVerified(step_id=node.id, verification=seen), f"{word}: {seen.seen}", phase=node.phase
        )
        if not seen.verified:
            raise StepFailure(
                ErrorInfo(
                    type="NotVerified",
                    message=f"applied, but not seen to have taken effect within {seen.seconds:.0f} s: {seen.seen}",
                    hint="look at the target yourself; retry to plan and check again",
                )
            )
        return result

    async def _activity(self, part: str, call: object, result: type[T], seconds: float) -> T:
        return await run_action(self._node, f"{self._node.action}:{part}", call, result, seconds)


def effects_to_undo(run: Run, step_ids: list[str] | None, phase: Phase | None = None) -> list[Effect]:
    """The effects still in place, newest first.

    Args:
        step_ids: Of these steps only; None: of all, or of one phase.
    """
    incident = run.incident
    chosen = [
        layer
        for effect in incident.effects.values()
        for layer in effect.layers
        if layer.status.in_place
        and (step_ids is None or layer.step_id in step_ids)
        and (phase is None or incident.steps[layer.step_id].phase is phase)
    ]
    return sorted(chosen, key=lambda e: e.started_at, reverse=True)


def instances_of(incident: Incident, step_id: str) -> list[str]:
    """The steps with effects that a step of the playbook was: one, or one for each round of the loops around it."""
    return [i for i in incident.effects if step_id in (i, base_id(i))] or [step_id]


def wire_id(step_id: str) -> str:
    """A step's id for actions, which put it into names and tags: `isolate.3`, since few names may hold brackets."""
    return step_id.replace("[", ".").replace("]", "")


def undo_node(step_id: str, name: str, phase: Phase, step_ids: list[str]) -> ActionNode:
    """The step that an undo is which no playbook holds.

    Args:
        step_ids: Whose changes are put back.
    """
    spec = BUILTIN_SPECS[UNDO]
    return ActionNode(
        id=step_id,
        name=name,
        phase=phase,
        action=UNDO,
        params={"steps": list(step_ids)},
        spec=NodeSpec(
            risk=spec.risk,
            queue=spec.queue,
            undoable=False,
            plan_timeout=spec.plan_timeout,
            apply_timeout=spec.apply_timeout,
            verify_timeout=spec.verify_timeout,
        ),
    )


class UndoChange:
    """Putting changes back, newest first, each to the state that was recorded before it was made.

    Args:
        step_ids: Whose changes.
        phase: The phase that this happens in.
    """

    def __init__(self, run: Run, step_ids: list[str], phase: Phase) -> None:
        self._run, self._step_ids, self._phase = run, step_ids, phase

    async def _settled(self) -> None:
        """Wait for what is being changed right now: what is put back before it is made would come after all."""
        if self._run.committing.intersection(self._step_ids):
            await workflow.wait_condition(lambda: not self._run.committing.intersection(self._step_ids))

    async def plan(self) -> Plan:
        await self._settled()
        effects = effects_to_undo(self._run, self._step_ids)
        # An action that can be undone in general says in the plan whether this change can be.
        impossible = [e.step_id for e in effects if not self._spec(e).undoable or not e.plan.undo]
        if impossible:
            raise StepFailure(
                ErrorInfo(
                    type="Refused",
                    message=f"cannot be put back: {', '.join(impossible)}",
                    hint="undo the other steps by name",
                )
            )
        return Plan(
            action=UNDO,
            params={"steps": list(self._step_ids)},
            account=self._run.incident.account,
            region=self._run.incident.region,
            summary="; ".join(f"Undo: {e.plan.summary}" for e in effects)
            or "Nothing of ours is in place any more",
            targets=tuple({t.uid: t for e in effects for t in e.plan.targets}.values()),
            changes=tuple(
                Change(target=c.target, field=c.field, before=c.after, after=c.before)
                for e in effects
                for c in reversed(e.plan.changes)
            ),
            state={"effects": [[e.step_id, e.plan_digest] for e in effects]},
            undo="by the step that made the change, planned and approved anew",
        )

    async def commit(self, plan: Plan) -> Result:
        now = await self.plan()
        if now.content_digest != plan.content_digest:
            raise Superseded(plan.differences(now))
        undone: list[str] = []
        for again in (True, False):
            # What is refused may stand in the way of nothing but its order: a policy that a later block forbids, say.
            refused: list[StepFailure] = []
            for effect in effects_to_undo(self._run, self._step_ids):
                try:
                    undone.append(await self._undo(effect))
                except StepFailure as failure:
                    refused.append(failure)
            if not refused:
                break
            if not undone or not again:
                raise refused[0]
        return Result(summary="; ".join(undone), data={"undone": list(self._step_ids)})

    def _spec(self, effect: Effect) -> NodeSpec:
        return self._origin(effect).spec

    def _origin(self, effect: Effect) -> ActionNode:
        node = self._run.graph.nodes[base_id(effect.step_id)]
        if not isinstance(node, ActionNode):
            raise TypeError(f"step {effect.step_id} has an effect and is no action")
        return node

    async def _undo(self, effect: Effect) -> str:
        journal, origin = self._run.journal, self._origin(effect)
        call = UndoCall(
            incident_id=self._run.incident.id,
            step_id=wire_id(effect.step_id),
            plan=effect.plan,
            in_doubt=effect.status is not EffectStatus.VERIFIED,
        )
        seconds = origin.spec.apply_timeout + origin.spec.verify_timeout + 30
        try:
            reply = await run_action(origin, f"{origin.action}:undo", call, UndoReply, seconds)
        except StepFailure as failure:
            journal.record(
                UndoRefused(step_id=effect.step_id, error=failure.error),
                f"Not undone: {failure.error.message}",
                phase=self._phase,
            )
            raise
        if not reply.restored:
            error = ErrorInfo(
                type="NotVerified",
                message=f"put back, but the recorded state was not seen again: {reply.seen}",
                hint="look at the target yourself; undo again to check again",
            )
            journal.record(UndoRefused(step_id=effect.step_id, error=error), error.message, phase=self._phase)
            raise StepFailure(error)
        journal.record(
            EffectUndone(step_id=effect.step_id, result=reply.result, restored=True, seen=reply.seen),
            f"Undone and verified: {reply.result.summary}",
            phase=self._phase,
        )
        return reply.result.summary


async def run_action(node: ActionNode, activity: str, call: object, result: type[T], seconds: float) -> T:
    """Run one activity of an action.

    It is not torn apart by a cancellation: the workflow waits for its end and then stops.

    Raises:
        StepFailure: It failed for good.
    """
    try:
        found: T = await workflow.execute_activity(
            activity,
            call,
            result_type=result,
            task_queue=task_queue(node.spec),
            start_to_close_timeout=timedelta(seconds=seconds),
            heartbeat_timeout=HEARTBEAT_TIMEOUT,
            retry_policy=retry_policy(node.retry),
            cancellation_type=ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            summary=node.id,
        )
    except ActivityError as error:
        raise StepFailure.from_activity(error) from error
    return found
