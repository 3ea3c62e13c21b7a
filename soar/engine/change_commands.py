"""Commands about changes: putting them back, and letting them stay for longer."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from temporalio import workflow

from soar.engine.action_steps import ActionSteps
from soar.engine.answers import Answers, because, person_of
from soar.engine.approvals import role_refusal
from soar.engine.changes import effects_to_undo, undo_node
from soar.engine.messages import (
    ExtendRequest,
    Reply,
    UndoRequest,
    UndoUnderWay,
)
from soar.engine.run import Run, Stopped
from soar.engine.scope import OUTSIDE, Scope, base_id
from soar.engine.steps import StepLife
from soar.model.course import (
    EffectExpirySet,
)
from soar.model.events import (
    NoteAdded,
)
from soar.model.terms import Phase

__all__ = ["ChangeCommands"]


class ChangeCommands(Answers):
    """The updates about changes, and the undo steps that they begin."""

    def __init__(self, run: Run, life: StepLife, actions: ActionSteps) -> None:
        super().__init__(run)
        self._life, self._actions = life, actions
        self._undos: dict[str, UndoUnderWay] = {}
        self._deciding = 0
        self._broken: BaseException | None = None

    @workflow.update
    async def undo(self, request: UndoRequest) -> Reply:
        """Begin to put changes back. It is planned and approved like any change."""
        if self._run.incident.status.ended:
            # Whatever began now would be cut off by the end of this run; a closed incident is opened again for it.
            return Reply(accepted=False, message="the incident is just closing; ask again in a moment")
        effects = self._effects(request)
        if not effects:
            return Reply(accepted=False, message="nothing of ours is in place there")
        # Taken before the first wait: the incident does not close while an undo is being decided on.
        self._deciding += 1
        try:
            if refusal := role_refusal(request.responder, *await self._run.deciders()):
                return self._refuse("undo", request.responder, "undo", refusal)
            self.begin_undo(self.asked_undo(request))
        finally:
            self._deciding -= 1
        return Reply(
            accepted=True, message=f"undo of {len(effects)} change(s) begun; it may ask for approval"
        )

    @workflow.update
    async def extend(self, request: ExtendRequest) -> Reply:
        """Let a change that would be put back by itself stay for longer, or until somebody undoes it."""
        effect = self._run.incident.effects.get(request.step_id)
        if effect is None or not effect.status.in_place:
            return Reply(accepted=False, message=f"step {request.step_id} has no change in place")
        if request.seconds is not None and not self._run.graph_undoable(request.step_id):
            return Reply(
                accepted=False, message=f"the change of {request.step_id} cannot be put back by itself"
            )
        if refusal := await self._may_not(request, f"extend {request.step_id}"):
            return refusal
        at = workflow.now() + timedelta(seconds=request.seconds) if request.seconds is not None else None
        until = f"stays until {at:%Y-%m-%d %H:%M} UTC" if at else "stays until somebody undoes it"
        return self._done(
            EffectExpirySet(step_id=request.step_id, expires_at=at, reason=request.reason),
            request,
            f"extended {request.step_id}: it {until}{because(request.reason)}",
        )

    @undo.validator
    def _undo_validator(self, request: UndoRequest) -> None:  # noqa: ARG002
        self._must_be_open()

    @extend.validator
    def _extend_validator(self, request: ExtendRequest) -> None:  # noqa: ARG002
        self._must_be_open()

    def _effects(self, request: UndoRequest) -> list[str]:
        wanted = request.step_id
        found = effects_to_undo(self._run, None, request.phase)
        ids = [e.step_id for e in found if wanted is None or wanted in (e.step_id, base_id(e.step_id))]
        return list(dict.fromkeys(ids))

    def asked_undo(self, request: UndoRequest) -> UndoUnderWay:
        """Record that a person asked for an undo, and say what step it is."""
        steps = self._effects(request)
        why = because(request.reason)
        self._run.journal.record(
            NoteAdded(text=f"undo requested{why}"),
            f"{request.responder.name} asked by {request.channel.value} to undo {', '.join(steps)}{why}",
            actor=person_of(request.responder),
        )
        return self._new_undo(f"Undo asked by {request.responder.name}", steps)

    def _new_undo(self, name: str, steps: list[str], *, automatic: bool = False) -> UndoUnderWay:
        taken = {*self._run.incident.steps, *self._undos}
        number = 1
        while f"undo-{number}" in taken:
            number += 1
        return UndoUnderWay(
            step_id=f"undo-{number}",
            name=name,
            phase=self._run.incident.phase or Phase.RECOVERY,
            steps=tuple(steps),
            automatic=automatic,
        )

    def automatic_undo(self, name: str, steps: list[str]) -> UndoUnderWay:
        """An undo that the playbook has decided on, or a timer."""
        return self._new_undo(name, steps, automatic=True)

    def begin_undo(self, undo: UndoUnderWay) -> asyncio.Task[None]:
        """Run an undo as a step of its own: planned, approved, proven, recorded like every other."""
        self._undos[undo.step_id] = undo
        task = asyncio.create_task(self.run_undo(undo, OUTSIDE))

        def ended(task: asyncio.Task[None]) -> None:
            del self._undos[undo.step_id]
            error = None if task.cancelled() else task.exception()
            if error is not None and not isinstance(error, Stopped):
                self._broken = error

        task.add_done_callback(ended)
        return task

    async def run_undo(self, undo: UndoUnderWay, scope: Scope) -> None:
        """Run it to its end."""
        node = undo_node(undo.step_id, undo.name, undo.phase, list(undo.steps))
        await self._life.execute(node, scope, self._actions.undo if undo.automatic else self._actions.work)
