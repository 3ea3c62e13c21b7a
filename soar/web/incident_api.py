"""What people tell a running incident, by REST: under `/api/v1/incidents/{id}`."""

# Annotations are evaluated here, not postponed: FastAPI reads them, and some name things local to `tell_routes`.
from collections.abc import Awaitable, Callable
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field, JsonValue

from soar.engine.messages import (
    AssignRequest,
    ClockRequest,
    ExtendRequest,
    PersonRequest,
    Reply,
    SeverityRequest,
    SkipRequest,
    TaskRequest,
)
from soar.model.people import Responder, VoteChannel
from soar.model.terms import Severity
from soar.web.commands import Commands, find_incident
from soar.web.errors import ApiError
from soar.web.services import Services

__all__ = ["answer", "tell_routes"]


class ReasonBody(BaseModel):
    """Why; it goes on the timeline."""

    reason: str = Field(default="", max_length=2000)


class SeverityBody(ReasonBody):
    """How bad it is, as a word."""

    severity: Literal["informational", "low", "medium", "high", "critical", "fatal"]


class AssignBody(ReasonBody):
    """Who is in charge, by the responder's id; null: nobody."""

    responder: str | None = Field(max_length=200)


class ExtendBody(ReasonBody):
    """For how many seconds from now on a change stays; null: until somebody undoes it."""

    seconds: float | None = Field(gt=0, le=366 * 86400)


class TaskBody(ReasonBody):
    """What the form of a task was filled in with."""

    values: dict[str, JsonValue] = {}


def answer(reply: Reply) -> Reply:
    """The reply of an incident.

    Raises:
        ApiError: 403, it refused; the message says why.
    """
    if not reply.accepted:
        raise ApiError(403, "refused", reply.message)
    return reply


def tell_routes(
    router: APIRouter, services: Services, who: Callable[[Request], Awaitable[Responder]]
) -> None:
    """Add the routes."""
    Person = Annotated[Responder, Depends(who)]

    def by(person: Responder, reason: str) -> dict[str, object]:
        return {"responder": person, "reason": reason, "channel": VoteChannel.API}

    def commands(person: Responder) -> Commands:
        return Commands(services, person, VoteChannel.API)

    @router.post("/incidents/{incident_id}/pause")
    async def pause(incident_id: str, body: ReasonBody, person: Person) -> Reply:
        """Let nothing new begin. What has begun comes to its end."""
        request = PersonRequest.model_validate(by(person, body.reason))
        found = await find_incident(services, incident_id)
        return answer(await commands(person).tell(found, "pause", request))

    @router.post("/incidents/{incident_id}/resume")
    async def resume(incident_id: str, body: ReasonBody, person: Person) -> Reply:
        """Go on after a pause."""
        request = PersonRequest.model_validate(by(person, body.reason))
        found = await find_incident(services, incident_id)
        return answer(await commands(person).tell(found, "resume", request))

    @router.post("/incidents/{incident_id}/cancel")
    async def cancel(incident_id: str, body: ReasonBody, person: Person) -> Reply:
        """End it early. A second time, while changes are put back: leave them as they are."""
        request = PersonRequest.model_validate(by(person, body.reason))
        found = await find_incident(services, incident_id)
        return answer(await commands(person).tell(found, "cancel", request))

    @router.post("/incidents/{incident_id}/severity")
    async def severity(incident_id: str, body: SeverityBody, person: Person) -> Reply:
        """Set the severity; alerts and rules leave it alone from then on."""
        wanted = Severity[body.severity.upper()]
        request = SeverityRequest.model_validate({**by(person, body.reason), "severity": wanted})
        found = await find_incident(services, incident_id)
        return answer(await commands(person).tell(found, "set_severity", request))

    @router.post("/incidents/{incident_id}/assignee")
    async def assign(incident_id: str, body: AssignBody, person: Person) -> Reply:
        """Put somebody in charge."""
        policy = services.policy()
        assignee = policy.responder(body.responder) if policy and body.responder else None
        if body.responder and assignee is None:
            known = ", ".join(r.id for r in policy.responders) if policy else "nobody: there is no policy"
            raise ApiError(
                404, "not_found", f"there is no responder {body.responder}", hint=f"the roster has {known}"
            )
        request = AssignRequest.model_validate({**by(person, body.reason), "assignee": assignee})
        found = await find_incident(services, incident_id)
        return answer(await commands(person).tell(found, "assign", request))

    @router.post("/incidents/{incident_id}/upgrade")
    async def upgrade(incident_id: str, body: ReasonBody, person: Person) -> Reply:
        """Go on with the version of its playbook that is in force, if what was done is the same in it."""
        found = await find_incident(services, incident_id)
        return answer(await commands(person).upgrade(found, body.reason))

    @router.post("/incidents/{incident_id}/steps/{step_id}/retry")
    async def retry(incident_id: str, step_id: str, body: ReasonBody, person: Person) -> Reply:
        """Try a failed step again."""
        request = SkipRequest.model_validate({**by(person, body.reason), "step_id": step_id})
        found = await find_incident(services, incident_id)
        return answer(await commands(person).tell(found, "retry_step", request))

    @router.post("/incidents/{incident_id}/steps/{step_id}/skip")
    async def skip(incident_id: str, step_id: str, body: ReasonBody, person: Person) -> Reply:
        """Leave a step out: one that failed, one that waits, or one that is not reached yet."""
        request = SkipRequest.model_validate({**by(person, body.reason), "step_id": step_id})
        found = await find_incident(services, incident_id)
        return answer(await commands(person).tell(found, "skip_step", request))

    @router.post("/incidents/{incident_id}/steps/{step_id}/extend")
    async def extend(incident_id: str, step_id: str, body: ExtendBody, person: Person) -> Reply:
        """Let a change that would be put back by itself stay for longer."""
        request = ExtendRequest.model_validate(
            {**by(person, body.reason), "step_id": step_id, "seconds": body.seconds}
        )
        found = await find_incident(services, incident_id)
        return answer(await commands(person).tell(found, "extend", request))

    @router.post("/incidents/{incident_id}/tasks/{step_id}/done")
    async def task_done(incident_id: str, step_id: str, body: TaskBody, person: Person) -> Reply:
        """A task is done, with what its form was filled in with."""
        request = TaskRequest.model_validate(
            {**by(person, body.reason), "step_id": step_id, "values": body.values}
        )
        found = await find_incident(services, incident_id)
        return answer(await commands(person).tell(found, "complete_task", request))

    @router.post("/incidents/{incident_id}/clocks/{clock}/met")
    async def clock_met(incident_id: str, clock: str, body: ReasonBody, person: Person) -> Reply:
        """What a deadline asks for was done."""
        request = ClockRequest.model_validate({**by(person, body.reason), "clock": clock})
        found = await find_incident(services, incident_id)
        return answer(await commands(person).tell(found, "meet_clock", request))
