"""What people decide in the console: each form calls one command and goes back to the incident's page."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse

from soar.model.people import Responder, VoteChannel
from soar.web.api import DecisionBody, NoteBody, UndoBody, VoteBody
from soar.web.commands import Commands, find_incident
from soar.web.services import Services
from soar.web.session import Cookies
from soar.web.told import Told, read_form
from soar.web.visitor import Doors

__all__ = ["decisions"]


def decisions(services: Services, cookies: Cookies, doors: Doors) -> APIRouter:
    """The forms."""
    router = APIRouter(include_in_schema=False, prefix="/incidents/{incident_id}")

    told = Told(cookies).back

    def commands(person: Responder) -> Commands:
        return Commands(services, person, VoteChannel.CONSOLE)

    @router.post("/approvals/{approval_id}/votes")
    async def vote(request: Request, incident_id: str, approval_id: str) -> RedirectResponse:
        visitor, form = await doors.checked(request)
        body = read_form(VoteBody, form)
        found = await find_incident(services, incident_id)
        call = commands(visitor.person).vote(
            found, approval_id, body.decision, body.plan_digest_prefix, body.reason
        )
        return await told(visitor.person, found.id, call)

    @router.post("/steps/{step_id}/decisions")
    async def decide(request: Request, incident_id: str, step_id: str) -> RedirectResponse:
        visitor, form = await doors.checked(request)
        body = read_form(DecisionBody, form)
        found = await find_incident(services, incident_id)
        call = commands(visitor.person).decide(found, step_id, body.decision, body.reason)
        return await told(visitor.person, found.id, call)

    @router.post("/undo")
    async def undo(request: Request, incident_id: str) -> RedirectResponse:
        visitor, form = await doors.checked(request)
        body = read_form(UndoBody, form)
        found = await find_incident(services, incident_id)
        call = commands(visitor.person).undo(
            found, step_id=body.step_id, phase=body.phase, reason=body.reason
        )
        return await told(visitor.person, found.id, call)

    @router.post("/notes")
    async def note(request: Request, incident_id: str) -> RedirectResponse:
        visitor, form = await doors.checked(request)
        body = read_form(NoteBody, form)
        found = await find_incident(services, incident_id)
        return await told(visitor.person, found.id, commands(visitor.person).note(found, body.text))

    return router
