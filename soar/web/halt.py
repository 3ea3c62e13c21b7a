"""The kill switch: halting every change, lifting that, and what was halted when."""

# Annotations are evaluated here, not postponed: FastAPI reads them, and some name things local to a function.
import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field

from soar.engine.approvals import role_refusal
from soar.engine.messages import Reply
from soar.model.people import Responder
from soar.playbook.policy import Halt, deciding_roles, halt_words
from soar.store import HaltRecord
from soar.web.errors import ApiError
from soar.web.services import Services

__all__ = ["halt_routes"]

_log = logging.getLogger("soar.web")


class HaltBody(BaseModel):
    """Why; it stays on record, and whoever is kept from a change reads it."""

    reason: str = Field(min_length=1, max_length=2000, pattern=r"\S")


class HaltState(BaseModel):
    """Whether changes are halted, and the halts so far, the latest first."""

    halt: Halt | None
    history: list[HaltRecord]


def halt_routes(
    router: APIRouter, services: Services, who: Callable[[Request], Awaitable[Responder]]
) -> None:
    """Add the routes.

    Args:
        who: Gives the responder whose token a request bears.
    """
    Person = Annotated[Responder, Depends(who)]

    async def may(person: Responder, doing: str) -> None:
        policy = await asyncio.to_thread(services.policy)
        if refusal := role_refusal(person, deciding_roles(policy), {}):
            _log.warning("web.halt_refused", extra={"responder": person.id, "doing": doing})
            raise ApiError(403, "refused", refusal, hint="ask somebody who has the role")

    @router.get("/halt")
    async def state() -> HaltState:
        """Whether changes are halted, by whom and why."""
        return HaltState(halt=await services.store.halted(), history=await services.store.halts())

    @router.post("/halt")
    async def halt(body: HaltBody, person: Person) -> Reply:
        """Halt every change of every playbook until somebody lifts it. Reads and messages go on."""
        await may(person, "halt")
        made = await services.store.halt(person, body.reason.strip())
        assert made.halt is not None
        _log.warning("web.halt", extra={"responder": person.id, "changed": made.changed})
        if not made.changed:
            return Reply(accepted=True, message=f"that was so already: {halt_words(made.halt)}")
        return Reply(
            accepted=True,
            message="changes are halted: nothing new is changed until somebody lifts it; "
            "what had begun comes to its end",
        )

    @router.post("/halt/lift")
    async def lift(body: HaltBody, person: Person) -> Reply:
        """Let changes be made again, each as policy says. Steps that were refused meanwhile wait to be retried."""
        await may(person, "lift")
        made = await services.store.lift_halt(person, body.reason.strip())
        _log.warning("web.halt_lifted", extra={"responder": person.id, "changed": made.changed})
        if made.halt is None:
            return Reply(accepted=True, message="nothing was halted")
        return Reply(
            accepted=True,
            message=f"the halt by {made.halt.by} is lifted; retry the steps that were refused meanwhile",
        )
