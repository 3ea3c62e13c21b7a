"""The two kinds of change that a step can make: an action of the catalogue, and putting earlier changes back."""

from __future__ import annotations

from typing import Protocol, TypeVar

from temporalio import workflow

from soar.actions.calls import ActionCall, ApplyCall, Committed, UndoCall, UndoReply
from soar.engine.activities import StepFailure, run_action
from soar.engine.messages import PolicyInForce, ReserveRequest
from soar.engine.reads import propose
from soar.engine.run import Run, forbidden
from soar.engine.scope import Scope, base_id
from soar.model.change import Change, Effect, EffectStatus, ErrorInfo, EvidenceRef, Plan, Result, Verification
from soar.model.events import (
    AnyEvent,
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
    "plan_call",
    "undo_node",
    "wire_id",
]

FIRST_LOOK = 10.0
"""Seconds that an activity may take longer because it also looks for the effect of what it applied."""

T = TypeVar("T")


class Superseded(Exception):
    """The target is no longer what was planned for: the plan is void, and so is every vote on it."""

    def __init__(self, drift: tuple[str, ...]) -> None:
        super().__init__("; ".join(drift))
        self.drift = drift


class ChangeKind(Protocol):
    """A change as the step runner sees it.

    Attributes:
        aged: The policy that came along with its plan was read a while before.
    """

    aged: bool

    async def plan(self) -> tuple[Plan, PolicyInForce | None]:
        """Say what would change, and change nothing.

        Returns:
            The plan, and the policy in force if it came along.
        """
        ...

    async def commit(self, plan: Plan, place: ReserveRequest | None) -> Result:
        """Make the change and prove it.

        Args:
            place: The place in policy's budgets that it takes; None: it takes none.

        Raises:
            Superseded: The target moved since the plan was made, and nothing was done.
            StepFailure: It was not made, not wholly, or could not be proven.
        """
        ...


def plan_call(run: Run, call: ActionCall) -> ActionCall:
    """What asks for the plan of a step's change.

    Args:
        call: What the step says.
    """
    return call.model_copy(update={"decide": run.start.engine >= 2 and not run.start.dry_run})


class CatalogueChange:
    """An action of the catalogue.

    Its plan is an activity of its own, so that the state before is in durable history before the first call that
    changes anything. To apply it and to look whether it took effect are one activity, if that is soon seen.
    """

    def __init__(self, run: Run, node: ActionNode, call: ActionCall, scope: Scope) -> None:
        self._run, self._node, self._call, self._scope = run, node, plan_call(run, call), scope
        self._desk = False
        self.aged = False

    async def plan(self) -> tuple[Plan, PolicyInForce | None]:
        call = self._call
        if not call.decide:
            return await self._activity("plan", call, Plan, self._node.spec.plan_timeout), None
        ahead = self._run.ahead.pop(self._node.id, None)
        self.aged = ahead is not None and ahead.serves(call)
        if ahead is not None and self.aged:
            proposal = ahead.proposal
        else:
            proposal = await propose(self._node, call, self._scope.planning)
        self._desk = proposal.in_force is not None
        return proposal.plan, PolicyInForce.model_validate(proposal.in_force) if self._desk else None

    async def commit(self, plan: Plan, place: ReserveRequest | None) -> Result:
        async with self._run.alone(plan):
            return await self._commit(plan, place)

    async def _commit(self, plan: Plan, place: ReserveRequest | None) -> Result:
        call = ApplyCall(
            incident_id=self._run.incident.id,
            step_id=wire_id(self._node.id),
            plan=plan,
            look=self._run.start.engine >= 2,
        )
        if place is not None and not self._desk:
            await self._run.reserve(place)
            place = None
        self._record(
            EffectStarted(step_id=self._node.id, plan_digest=plan.digest(self._run.incident.playbook_digest)),
            f"Applying: {plan.summary}",
        )
        try:
            result, seen = await self._apply(call, place)
        except StepFailure as failure:
            error = failure.error
            self._record(
                EffectFailed(step_id=self._node.id, error=error, nothing_done=error.nothing_done),
                f"Not applied: {error.message}",
            )
            if error.type == "Drifted":
                raise Superseded((error.message,)) from failure
            raise
        self._record(
            EffectApplied(step_id=self._node.id, result=result),
            f"Applied, not yet verified: {result.summary}",
            evidence=result.evidence,
        )
        await self._verify(call, seen)
        return result

    async def _apply(
        self, call: ApplyCall, place: ReserveRequest | None
    ) -> tuple[Result, Verification | None]:
        """Apply it.

        Returns:
            What it did, and what was seen of it if that was soon seen.
        """
        seconds = self._node.timeout or self._node.spec.apply_timeout
        if not call.look:
            return await self._activity("apply", call, Result, seconds), None
        asked = call.model_copy(update={"reserve": place.model_dump(mode="json") if place else None})
        committed = await self._activity("apply", asked, Committed, seconds + FIRST_LOOK)
        if committed.unasked and place is not None:
            # Another worker of the same queue than the one that planned: it does not reach the budgets.
            await self._run.reserve(place)
            committed = await self._activity("apply", call, Committed, seconds + FIRST_LOOK)
        if committed.refused:
            raise StepFailure(forbidden(committed.refused, nothing_done=True))
        if committed.result is None:
            raise TypeError(f"{self._node.action} was neither applied nor refused")
        return committed.result, committed.verification

    async def _verify(self, call: ApplyCall, seen: Verification | None) -> None:
        if seen is None:
            # The verification itself gives up after verify_timeout; the activity's own limit is a little longer.
            limit = self._node.spec.verify_timeout + 30
            seen = await self._activity("verify", call, Verification, limit)
        word = "Verified" if seen.verified else "NOT verified"
        self._record(EffectVerified(step_id=self._node.id, verification=seen), f"{word}: {seen.seen}")
        if not seen.verified:
            raise StepFailure(
                ErrorInfo(
                    type="NotVerified",
                    message=f"applied, but not seen to have taken effect within {seen.seconds:.0f} s: {seen.seen}",
                    hint="look at the target yourself; retry to plan and check again",
                )
            )

    def _record(self, event: AnyEvent, summary: str, evidence: tuple[EvidenceRef, ...] = ()) -> None:
        self._run.journal.record(event, summary, phase=self._node.phase, evidence=evidence)

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
    # Of those that began in one moment, the last on record is the newest.
    order = sorted(range(len(chosen)), key=lambda n: (chosen[n].started_at, n), reverse=True)
    return [chosen[n] for n in order]


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
        self.aged = False

    async def _settled(self) -> None:
        """Wait for what is being changed right now: what is put back before it is made would come after all."""
        if self._run.committing.intersection(self._step_ids):
            await workflow.wait_condition(lambda: not self._run.committing.intersection(self._step_ids))

    async def plan(self) -> tuple[Plan, PolicyInForce | None]:
        return await self._planned(), None

    async def _planned(self) -> Plan:
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
        self._nothing_above(effects)
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

    async def commit(self, plan: Plan, place: ReserveRequest | None = None) -> Result:  # noqa: ARG002 - needs none
        now = await self._planned()
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

    def _nothing_above(self, effects: list[Effect]) -> None:
        """See that no newer change of ours stands on what is put back: it would be left on what is no longer there.

        Raises:
            StepFailure: One does.
        """
        if self._run.start.engine < 2:
            return
        newer = [
            f"{later.step_id} ({later.plan.summary})"
            for later in effects_to_undo(self._run, None)
            for effect in effects
            if later.step_id not in self._step_ids
            and later.started_at >= effect.started_at
            and {(c.target, c.field) for c in later.plan.changes}
            & {(c.target, c.field) for c in effect.plan.changes}
        ]
        if newer:
            raise StepFailure(
                ErrorInfo(
                    type="Refused",
                    message="a newer change stands on the same target: " + "; ".join(dict.fromkeys(newer)),
                    hint="undo that first, or both together",
                    nothing_done=True,
                )
            )

    def _spec(self, effect: Effect) -> NodeSpec:
        return self._origin(effect).spec

    def _origin(self, effect: Effect) -> ActionNode:
        node = self._run.graph.nodes[base_id(effect.step_id)]
        if not isinstance(node, ActionNode):
            raise TypeError(f"step {effect.step_id} has an effect and is no action")
        return node

    async def _undo(self, effect: Effect) -> str:
        async with self._run.alone(effect.plan):
            if not effect.status.in_place:
                return f"put back already: {effect.plan.summary}"
            return await self._put_back(effect)

    def _in_doubt(self, effect: Effect) -> bool:
        """Whether only a part of the change may be in place, so that a look whether all of it is makes no sense."""
        if self._run.start.engine < 2:
            return effect.status is not EffectStatus.VERIFIED
        # An undo that found the target changed by somebody else did nothing: the change is as much in place as before.
        refused = effect.status is EffectStatus.UNDO_REFUSED
        drifted = refused and effect.error is not None and effect.error.type == "Drifted"
        seen = effect.verification is not None and effect.verification.verified
        return not seen or not (effect.status is EffectStatus.VERIFIED or drifted)

    async def _put_back(self, effect: Effect) -> str:
        journal, origin = self._run.journal, self._origin(effect)
        call = UndoCall(
            incident_id=self._run.incident.id,
            step_id=wire_id(effect.step_id),
            plan=effect.plan,
            in_doubt=self._in_doubt(effect),
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
