"""What people do with an incident as a whole in the console, and with its tasks, deadlines and temporary changes."""

# Annotations are evaluated here, not postponed: FastAPI reads them, and some name things local to a function.

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from soar.engine.client import Command
from soar.engine.messages import (
    AssignRequest,
    ClockRequest,
    ExtendRequest,
    PersonRequest,
    SeverityRequest,
    SkipRequest,
    TaskRequest,
)
from soar.model.course import Task, TaskStatus
from soar.model.incident import Incident
from soar.model.people import Responder, VoteChannel
from soar.model.terms import Severity
from soar.web.commands import Commands, find_incident
from soar.web.course_views import as_filled_in, form_values, manageable, task_view
from soar.web.errors import ApiError
from soar.web.incident_api import ReasonBody, SeverityBody
from soar.web.services import Services
from soar.web.session import Cookies
from soar.web.shown import shown
from soar.web.told import Told, read_form
from soar.web.visitor import Doors, Visitor

__all__ = ["course"]

STAYS = {"hour": 3600.0, "four-hours": 4 * 3600.0, "day": 86400.0, "week": 7 * 86400.0, "undone": None}
"""How long a temporary change can be made to stay, from now on; `undone`: until somebody undoes it."""


def course(services: Services, cookies: Cookies, doors: Doors) -> APIRouter:
    """The forms, and the pages that some of them need."""
    router = APIRouter(include_in_schema=False, prefix="/incidents/{incident_id}")
    Person = Annotated[Visitor, Depends(doors.visitor)]
    told = Told(cookies)

    def commands(person: Responder) -> Commands:
        return Commands(services, person, VoteChannel.CONSOLE)

    async def tell(
        request: Request, incident_id: str, command: Command, kind: type[PersonRequest], **more: Any
    ) -> RedirectResponse:
        """Tell the incident something that needs no more than a reason."""
        visitor, form = await doors.checked(request)
        reason = read_form(ReasonBody, form).reason
        return await told_so(visitor.person, incident_id, command, kind, reason, **more)

    async def told_so(
        person: Responder,
        incident_id: str,
        command: Command,
        kind: type[PersonRequest],
        reason: str,
        **more: Any,
    ) -> RedirectResponse:
        found = await find_incident(services, incident_id)
        asked = kind.model_validate(
            {"responder": person, "reason": reason, "channel": VoteChannel.CONSOLE, **more}
        )
        return await told.back(person, found.id, commands(person).tell(found, command, asked))

    @router.post("/pause")
    async def pause(request: Request, incident_id: str) -> RedirectResponse:
        return await tell(request, incident_id, "pause", PersonRequest)

    @router.post("/resume")
    async def resume(request: Request, incident_id: str) -> RedirectResponse:
        return await tell(request, incident_id, "resume", PersonRequest)

    @router.post("/cancel")
    async def cancel(request: Request, incident_id: str) -> RedirectResponse:
        return await tell(request, incident_id, "cancel", PersonRequest)

    @router.post("/steps/{step_id}/skip")
    async def skip(request: Request, incident_id: str, step_id: str) -> RedirectResponse:
        return await tell(request, incident_id, "skip_step", SkipRequest, step_id=step_id)

    @router.post("/clocks/{clock}/met")
    async def clock_met(request: Request, incident_id: str, clock: str) -> RedirectResponse:
        return await tell(request, incident_id, "meet_clock", ClockRequest, clock=clock)

    @router.post("/severity")
    async def severity(request: Request, incident_id: str) -> RedirectResponse:
        visitor, form = await doors.checked(request)
        body = read_form(SeverityBody, form)
        wanted = Severity[body.severity.upper()]
        return await told_so(
            visitor.person, incident_id, "set_severity", SeverityRequest, body.reason, severity=wanted
        )

    @router.post("/assignee")
    async def assign(request: Request, incident_id: str) -> RedirectResponse:
        visitor, form = await doors.checked(request)
        reason, wanted = read_form(ReasonBody, form).reason, form.get("responder", "")
        policy = services.policy()
        assignee = policy.responder(wanted) if policy and wanted else None
        if wanted and assignee is None:
            message = f"{wanted[:80]} is not in the policy’s roster; nothing was done."
            return told.with_message(visitor.person, incident_id, "problem", message)
        return await told_so(visitor.person, incident_id, "assign", AssignRequest, reason, assignee=assignee)

    @router.post("/steps/{step_id}/extend")
    async def extend(request: Request, incident_id: str, step_id: str) -> RedirectResponse:
        visitor, form = await doors.checked(request)
        reason, wanted = read_form(ReasonBody, form).reason, form.get("stays", "")
        if wanted not in STAYS:
            raise ApiError(422, "invalid", "say how long the change is to stay", hint="nothing was done")
        return await told_so(
            visitor.person,
            incident_id,
            "extend",
            ExtendRequest,
            reason,
            step_id=step_id,
            seconds=STAYS[wanted],
        )

    # ---- tasks -------------------------------------------------------------------------------------------------

    def task_of(incident: Incident, step_id: str) -> Task:
        if step_id not in incident.tasks:
            known = ", ".join(incident.tasks)[:300]
            raise ApiError(
                404,
                "not_found",
                f"incident {incident.id} has no task of that name",
                hint=f"it has {known}" if known else "it has none",
            )
        return incident.tasks[step_id]

    @router.get("/tasks/{step_id}")
    async def task_page(visitor: Person, incident_id: str, step_id: str) -> HTMLResponse:
        found = await find_incident(services, incident_id)
        view = task_view(task_of(found, step_id), visitor.person)
        return shown(visitor, "task.html", incident=found, view=view)

    @router.post("/tasks/{step_id}")
    async def task_done(request: Request, incident_id: str, step_id: str) -> Response:
        visitor, form = await doors.checked(request)
        reason = read_form(ReasonBody, form).reason
        found = await find_incident(services, incident_id)
        task = task_of(found, step_id)
        values = form_values(task, form)
        view = task_view(task, visitor.person, values)
        if task.status is TaskStatus.OPEN and any(one.problem for one in view.fields):
            # What was filled in stays, and each problem stands at its field.
            return shown(visitor, "task.html", status=422, incident=found, view=view, reason=reason)
        return await told_so(
            visitor.person,
            incident_id,
            "complete_task",
            TaskRequest,
            reason,
            step_id=step_id,
            values=as_filled_in(task, values),
        )

    # ---- another version of the playbook -----------------------------------------------------------------------

    @router.get("/upgrade")
    async def upgrade_page(visitor: Person, incident_id: str) -> HTMLResponse:
        found = await find_incident(services, incident_id)
        request = await commands(visitor.person).upgrade_request(found, "")
        manage = manageable(services, found, services.policy())
        return shown(visitor, "upgrade.html", incident=found, request=request, manage=manage)

    @router.post("/upgrade")
    async def upgrade(request: Request, incident_id: str) -> RedirectResponse:
        visitor, form = await doors.checked(request)
        reason = read_form(ReasonBody, form).reason
        found = await find_incident(services, incident_id)
        person = visitor.person
        return await told.back(person, found.id, commands(person).upgrade(found, reason))

    return router
