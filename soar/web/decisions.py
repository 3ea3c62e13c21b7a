"""What people decide in the console: each form calls one command and goes back to the incident's page."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Literal, TypeVar
from urllib.parse import quote

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, ValidationError

from soar.engine.client import EngineUnavailable, IncidentEnded
from soar.engine.messages import Reply
from soar.model.people import Responder, VoteChannel
from soar.web.api import DecisionBody, NoteBody, UndoBody, VoteBody
from soar.web.commands import Commands, find_incident
from soar.web.errors import ApiError
from soar.web.services import Services
from soar.web.session import Cookies
from soar.web.visitor import Doors

__all__ = ["decisions"]

Body = TypeVar("Body", bound=BaseModel)


def _read(body: type[Body], form: dict[str, str]) -> Body:
    """A form's fields as what the API takes.

    Raises:
        ApiError: 422.
    """
    try:
        return body.model_validate({k: v for k, v in form.items() if k in body.model_fields and v})
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise ApiError(
            422, "invalid", f"{field}: {first['msg']}", hint="nothing was done", field=field
        ) from None


def decisions(services: Services, cookies: Cookies, doors: Doors) -> APIRouter:
    """The forms."""
    router = APIRouter(include_in_schema=False, prefix="/incidents/{incident_id}")

    async def told(person: Responder, incident_id: str, reply: Awaitable[Reply]) -> RedirectResponse:
        """Go back with what the engine said."""
        kind: Literal["ok", "problem"] = "problem"
        try:
            answer = await reply
            kind, message = ("ok" if answer.accepted else "problem"), answer.message
        except EngineUnavailable as error:
            message = f"{error}. It may have counted: look at the incident before you try again."
        except IncidentEnded:
            message = "The incident has ended; nothing was done."
        response = RedirectResponse(f"/incidents/{quote(incident_id, safe='')}", status_code=303)
        cookies.flash(response, person.id, kind, message)
        return response

    def commands(person: Responder) -> Commands:
        return Commands(services, person, VoteChannel.CONSOLE)

    @router.post("/approvals/{approval_id}/votes")
    async def vote(request: Request, incident_id: str, approval_id: str) -> RedirectResponse:
        visitor, form = await doors.checked(request)
        body = _read(VoteBody, form)
        found = await find_incident(services, incident_id)
        call = commands(visitor.person).vote(
            found, approval_id, body.decision, body.plan_digest_prefix, body.reason
        )
        return await told(visitor.person, found.id, call)

    @router.post("/steps/{step_id}/decisions")
    async def decide(request: Request, incident_id: str, step_id: str) -> RedirectResponse:
        visitor, form = await doors.checked(request)
        body = _read(DecisionBody, form)
        found = await find_incident(services, incident_id)
        call = commands(visitor.person).decide(found, step_id, body.decision, body.reason)
        return await told(visitor.person, found.id, call)

    @router.post("/undo")
    async def undo(request: Request, incident_id: str) -> RedirectResponse:
        visitor, form = await doors.checked(request)
        body = _read(UndoBody, form)
        found = await find_incident(services, incident_id)
        call = commands(visitor.person).undo(
            found, step_id=body.step_id, phase=body.phase, reason=body.reason
        )
        return await told(visitor.person, found.id, call)

    @router.post("/notes")
    async def note(request: Request, incident_id: str) -> RedirectResponse:
        visitor, form = await doors.checked(request)
        body = _read(NoteBody, form)
        found = await find_incident(services, incident_id)
        return await told(visitor.person, found.id, commands(visitor.person).note(found, body.text))

    return router
