"""Actions as Temporal activities.

A read named `x.y` is the activity `x.y`; a change is `x.y:plan`, `x.y:apply`, `x.y:verify` and `x.y:undo`; several
reads (and plans) at once are `together`. The action's own code blocks (boto3 does), so it runs in a thread while the
activity heartbeats for it: a killed worker is noticed within the heartbeat timeout, and a change is never torn apart by
a cancellation; it finishes, and the engine learns how.
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

from soar.actions.calls import ActionCall, ApplyCall, Committed, PolicyDesk, Proposal, UndoCall, UndoReply
from soar.actions.contract import (
    ActionContext,
    ActionServices,
    ChangeDefinition,
    Definition,
    ReadDefinition,
)
from soar.actions.errors import ActionError, BadInput, Drifted, PermissionMissing, Throttled
from soar.actions.together import together_activity
from soar.model.base import JsonObject, canonical_json
from soar.model.change import ErrorInfo, Plan, Result, Verification

__all__ = ["HEARTBEAT_SECONDS", "action_activities"]

HEARTBEAT_SECONDS = 1.0
"""How often an activity says that its worker is alive."""

VERIFY_PAUSES = (0.2, 0.5, 1.0, 2.0, 3.0, 5.0)
"""Seconds between two looks; the last one repeats. IAM takes 3–4 s to take effect."""

FIRST_LOOK = 6.0
"""Seconds that an effect is looked for in the activity that applies it; what takes longer is an activity of its own."""

T = TypeVar("T")
log = logging.getLogger("soar.actions")


def action_activities(
    definitions: Sequence[Definition],
    services: ActionServices,
    executor: Executor,
    desk: PolicyDesk | None = None,
) -> list[Callable[..., Any]]:
    """The Temporal activities of these actions.

    Args:
        definitions: Those whose queue this worker serves.
        services: What they may use.
        executor: The threads that their blocking code runs in.
        desk: The policy, where this worker reaches it.
    """
    reads: dict[str, Callable[..., Any]] = {}
    changes: list[Callable[..., Any]] = []
    plans: dict[str, Callable[..., Any]] = {}
    for definition in definitions:
        if isinstance(definition, ReadDefinition):
            reads[definition.spec.name] = _read(definition, services, executor)
        else:
            parts = _change(definition, services, executor, desk)
            plans[f"{definition.spec.name}:plan"] = parts[0]
            changes.extend(parts)
    return [*reads.values(), *changes, together_activity({**reads, **plans})]


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
    definition: ChangeDefinition, services: ActionServices, executor: Executor, desk: PolicyDesk | None
) -> list[Callable[..., Any]]:
    name, implementation = definition.spec.name, definition.action

    def context(call: ApplyCall | UndoCall) -> ActionContext:
        return _context(services, call.incident_id, call.step_id, call.plan.account, call.plan.region)

    @activity.defn(name=f"{name}:plan")
    async def plan(call: ActionCall) -> Plan | Proposal:
        ctx = _context(services, call.incident_id, call.step_id, call.account, call.region)
        made = await _run(ctx, executor, lambda: definition.plan(ctx, call.params))
        return Proposal(plan=made, in_force=await _in_force(desk)) if call.decide else made

    @activity.defn(name=f"{name}:apply")
    async def apply(call: ApplyCall) -> Result | Committed:
        ctx = context(call)
        if call.reserve is not None:
            if desk is None:
                return Committed(unasked=True)
            refused = await desk.reserve(call.reserve)
            # A try before this one may have begun the change: then it is brought to its end.
            if refused and (ctx.attempt == 1 or await _run(ctx, executor, lambda: untouched(ctx, call))):
                return Committed(refused=refused)

        def work() -> Result | Committed:
            _still_as_planned(definition, ctx, call.plan)
            planned = definition.typed(call.plan)
            result = implementation.apply(ctx, planned)
            result = result.model_copy(update={"evidence": (*result.evidence, *ctx.evidence)})
            if not call.look:
                return result
            limit = min(FIRST_LOOK, definition.spec.verify_timeout)
            return Committed(
                result=result,
                verification=_first_look(
                    name,
                    lambda: _look_until(ctx, functools.partial(implementation.verify, ctx, planned), limit),
                ),
            )

        return await _run(ctx, executor, work)

    def untouched(ctx: ActionContext, call: ApplyCall) -> bool:
        return definition.plan(ctx, call.plan.params).content_digest == call.plan.content_digest

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


async def _in_force(desk: PolicyDesk | None) -> JsonObject | None:
    try:
        return await desk.in_force() if desk is not None else None
    except Exception as error:  # noqa: BLE001 - the engine then asks by itself, for as long as it takes
        log.warning("policy.unreadable", extra={"reason": str(error)})
        return None


def _first_look(name: str, look: Callable[[], Verification]) -> Verification | None:
    """Look whether a change took effect; None: not yet, or nothing could be seen. It was made in any case."""
    try:
        seen = look()
    except Exception as error:  # noqa: BLE001 - told by the verification that follows, if it stays so
        log.warning("action.first_look", extra={"activity": name, "reason": str(error)})
        return None
    return seen if seen.verified else None


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

    # A second try may find its own half-made undo, and a change in doubt was perhaps never whole: then undo runs in any
    # case, since what was created may still stand where no plan looks.
    if not call.in_doubt and ctx.attempt == 1:
        if restored():
            return UndoReply(
                result=Result(summary="already as it was before the change"),
                restored=True,
                seen="a new plan found the recorded state",
            )
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
