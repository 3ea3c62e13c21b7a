"""Actions as Temporal activities.

A read named `x.y` is the activity `x.y`; a change is `x.y:plan`, `x.y:apply`, `x.y:verify` and `x.y:undo`. The
action's own code blocks (boto3 does), so it runs in a thread while the activity heartbeats for it: a killed
worker is noticed within the heartbeat timeout, and a change is never torn apart by a cancellation; it finishes,
and the engine learns how.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from datetime import timedelta
from typing import Any, NoReturn, TypeVar

from pydantic import ValidationError
from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from soar.actions.calls import ActionCall, ApplyCall, UndoCall, UndoReply
from soar.actions.contract import (
    ActionContext,
    ActionServices,
    ChangeDefinition,
    Definition,
    ReadDefinition,
)
from soar.actions.errors import ActionError, BadInput, Drifted, PermissionMissing, Throttled
from soar.model.base import canonical_json
from soar.model.change import ErrorInfo, Plan, Result, Verification

__all__ = ["HEARTBEAT_SECONDS", "action_activities"]

HEARTBEAT_SECONDS = 1.0
"""How often an activity says that its worker is alive."""

VERIFY_PAUSES = (0.2, 0.5, 1.0, 2.0, 3.0, 5.0)
"""Seconds between two looks; the last one repeats. IAM takes 3–4 s to take effect."""

T = TypeVar("T")
log = logging.getLogger("soar.actions")


def action_activities(
    definitions: Sequence[Definition], services: ActionServices, executor: Executor
) -> list[Callable[..., Any]]:
    """The Temporal activities of these actions.

    Args:
        definitions: Those whose queue this worker serves.
        services: What they may use.
        executor: The threads that their blocking code runs in.
    """
    activities: list[Callable[..., Any]] = []
    for definition in definitions:
        if isinstance(definition, ReadDefinition):
            activities.append(_read(definition, services, executor))
        else:
            activities.extend(_change(definition, services, executor))
    return activities


def _read(
    definition: ReadDefinition, services: ActionServices, executor: Executor
) -> Callable[[ActionCall], Any]:
    @activity.defn(name=definition.spec.name)
    async def read(call: ActionCall) -> Result:
        ctx = _context(services, call.incident_id, call.step_id, call.account, call.region)

        def work() -> Result:
            found = definition.function(ctx, definition.params.model_validate(call.params))
            data = found.model_dump(mode="json")
            summary = str(data.pop("summary", "")) or definition.spec.title
            return Result(summary=summary, data=data, evidence=tuple(ctx.evidence))

        return await _run(ctx, executor, work)

    return read


def _change(
    definition: ChangeDefinition, services: ActionServices, executor: Executor
) -> list[Callable[..., Any]]:
    name, implementation = definition.spec.name, definition.action

    def context(call: ApplyCall | UndoCall) -> ActionContext:
        return _context(services, call.incident_id, call.step_id, call.plan.account, call.plan.region)

    @activity.defn(name=f"{name}:plan")
    async def plan(call: ActionCall) -> Plan:
        ctx = _context(services, call.incident_id, call.step_id, call.account, call.region)
        return await _run(ctx, executor, lambda: definition.plan(ctx, call.params))

    @activity.defn(name=f"{name}:apply")
    async def apply(call: ApplyCall) -> Result:
        ctx = context(call)

        def work() -> Result:
            _still_as_planned(definition, ctx, call.plan)
            result = implementation.apply(ctx, definition.typed(call.plan))
            return result.model_copy(update={"evidence": (*result.evidence, *ctx.evidence)})

        return await _run(ctx, executor, work)

    @activity.defn(name=f"{name}:verify")
    async def verify(call: ApplyCall) -> Verification:
        ctx = context(call)
        look = functools.partial(implementation.verify, ctx, definition.typed(call.plan))
        return await _run(ctx, executor, lambda: _look_until(ctx, look, definition.spec.verify_timeout))

    @activity.defn(name=f"{name}:undo")
    async def undo(call: UndoCall) -> UndoReply:
        ctx = context(call)
        return await _run(ctx, executor, lambda: _undo(definition, ctx, call))

    return [plan, apply, verify, undo] if definition.spec.undoable else [plan, apply, verify]


def _context(
    services: ActionServices, incident_id: str, step_id: str, account: str, region: str
) -> ActionContext:
    return ActionContext(
        services=services,
        incident_id=incident_id,
        step_id=step_id,
        account=account,
        region=region,
        attempt=activity.info().attempt,
    )


def _still_as_planned(definition: ChangeDefinition, ctx: ActionContext, plan: Plan) -> None:
    """Refuse to apply to a target that moved between the plan that people saw and now.

    A retry may find its own half-made change: when all that is left to change was in the plan that people saw, it
    goes on (apply is idempotent); when something else would change, people are asked again.
    """
    fresh = definition.plan(ctx, plan.params)
    if fresh.content_digest == plan.content_digest:
        return
    if ctx.attempt > 1 and set(_lines(fresh)) <= set(_lines(plan)):
        return
    raise Drifted(
        f"the target of {plan.action} changed after the plan was made",
        differences=plan.differences(fresh),
        hint="look at the new plan; approve it anew if it is still right",
        nothing_done=ctx.attempt == 1,
    )


def _lines(plan: Plan) -> list[str]:
    """The changes of a plan, comparable."""
    return [canonical_json(change) for change in plan.changes]


def _look_until(ctx: ActionContext, look: Callable[[], Verification], limit: float) -> Verification:
    started = time.monotonic()
    tries = 0
    while True:
        seen = look()
        passed = time.monotonic() - started
        pause = VERIFY_PAUSES[min(tries, len(VERIFY_PAUSES) - 1)]
        tries += 1
        if seen.verified or passed + pause > limit or not ctx.wait(pause):
            return seen.model_copy(update={"seconds": round(passed, 3)})
        ctx.report(f"not yet seen after {passed:.0f} s: {seen.seen}")


def _undo(definition: ChangeDefinition, ctx: ActionContext, call: UndoCall) -> UndoReply:
    recorded = call.plan.content_digest
    planned = definition.typed(call.plan)

    def restored() -> Plan | None:
        fresh = definition.plan(ctx, call.plan.params)
        return fresh if fresh.content_digest == recorded else None

    # In doubt, undo runs in any case: what a half-made change created may stand where no plan looks.
    if not call.in_doubt and restored():
        return UndoReply(
            result=Result(summary="already as it was before the change"),
            restored=True,
            seen="a new plan found the recorded state",
        )
    if not call.in_doubt and ctx.attempt == 1:
        now = definition.action.verify(ctx, planned)
        if not now.verified:
            raise Drifted(
                f"{call.plan.action} is not undone: the target is not as we left it",
                differences=(now.seen,),
                hint="look at the target; put it right by hand, or record that it stays as it is",
            )
    result = definition.action.undo(ctx, planned)
    deadline = time.monotonic() + definition.spec.verify_timeout
    while restored() is None:
        if time.monotonic() > deadline or not ctx.wait(1.0):
            left = call.plan.differences(definition.plan(ctx, call.plan.params))
            return UndoReply(result=result, restored=False, seen="; ".join(left)[:2000])
    return UndoReply(result=result, restored=True, seen="a new plan found the recorded state")


async def _run(ctx: ActionContext, executor: Executor, work: Callable[[], T]) -> T:
    """Run blocking code in a thread, heartbeat for it, and turn its errors into Temporal's."""
    variables = contextvars.copy_context()
    task = asyncio.get_running_loop().run_in_executor(executor, lambda: variables.run(work))
    while True:
        try:
            done, _ = await asyncio.wait({task}, timeout=HEARTBEAT_SECONDS)
        except asyncio.CancelledError:
            # What has begun is brought to its end: a change that is torn apart is worse than a late cancel.
            ctx.cancelled.set()
            continue
        if done:
            break
        activity.heartbeat(ctx.progress)
    try:
        return task.result()
    except Exception as error:  # noqa: BLE001 - every error gets its type here, none is lost
        _raise(error)


def _raise(error: Exception) -> NoReturn:
    match error:
        case ValidationError():
            problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
            info = ErrorInfo(type=BadInput.__name__, message=problems, hint="correct `with` in the playbook")
            retryable = False
        case ActionError():
            permission = error.permission if isinstance(error, PermissionMissing) else ""
            message = error.message
            if isinstance(error, Drifted):
                message = f"{message}: {'; '.join(error.differences)}"
            info = ErrorInfo(
                type=type(error).__name__,
                message=message[:4000],
                hint=error.hint,
                permission=permission,
                nothing_done=error.nothing_done,
            )
            retryable = error.retryable
        case _:
            log.warning("action failed unexpectedly", exc_info=error)
            info = ErrorInfo(type="Unexpected", message=f"{type(error).__name__}: {error}"[:4000])
            retryable = True
    delay = error.retry_after if isinstance(error, Throttled) else None
    expected = info.type != "Unexpected"
    if expected:
        # One line for what has a type; the SDK's own, with a stack, would tell a responder nothing more.
        where = {"activity": activity.info().activity_type, "attempt": activity.info().attempt}
        log.warning("action.failed", extra={**where, "type": info.type, "reason": info.message})
    raise ApplicationError(
        info.message,
        info,
        type=info.type,
        non_retryable=not retryable,
        next_retry_delay=timedelta(seconds=delay) if delay else None,
        category=ApplicationErrorCategory.BENIGN if expected else ApplicationErrorCategory.UNSPECIFIED,
    ) from error
