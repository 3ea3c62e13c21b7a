"""The REST API, under `/api/v1`. The command line is one of its clients."""

# Annotations are evaluated here, not postponed: FastAPI reads them, and some name things local to `api`.
import difflib
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Annotated, Literal, Self

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, Field

from soar.engine.messages import Reply
from soar.evidence import VaultCorrupt, VaultMissing, VaultUnavailable
from soar.model.incident import Incident
from soar.model.people import Decision, Responder, VoteChannel
from soar.model.spec import ActionSpec
from soar.model.terms import IncidentStatus, Phase
from soar.model.timeline import TimelineEntry
from soar.playbook.loader import LoadedPlaybook
from soar.store import AlertRow, IncidentSummary
from soar.web.commands import Commands, find_incident
from soar.web.errors import ApiError, ErrorBody
from soar.web.halt import halt_routes
from soar.web.identity import bearer
from soar.web.incident_api import answer, tell_routes
from soar.web.services import Services

__all__ = ["MEDIA_TYPES", "Id", "ReportFormat", "api", "report_bytes"]

_log = logging.getLogger("soar.web")
ReportFormat = Literal["json", "html", "md"]
MEDIA_TYPES: dict[str, str] = {
    "json": "application/json",
    "html": "text/html; charset=utf-8",
    "md": "text/markdown; charset=utf-8",
}
Limit = Annotated[int, Query(ge=1, le=500)]
# PostgreSQL refuses to be asked for a text with a NUL in it.
Id = Annotated[str, Query(max_length=200, pattern=r"^[^\x00]*$")]


class VoteBody(BaseModel):
    """A vote, and the beginning of the digest of the plan that was looked at."""

    decision: Decision
    plan_digest_prefix: str = Field(pattern=r"^[0-9a-f]{12,64}$")
    reason: str = Field(default="", max_length=2000)


class DecisionBody(BaseModel):
    """What to do about a failed step."""

    decision: Literal["retry", "skip", "stop"]
    reason: str = Field(default="", max_length=2000)


class UndoBody(BaseModel):
    """Which changes to put back: one step's, one phase's, or all."""

    step_id: str | None = None
    phase: Phase | None = None
    reason: str = Field(default="", max_length=2000)


class NoteBody(BaseModel):
    """Words for the timeline."""

    text: str = Field(min_length=1, max_length=4000)


class PlaybookInfo(BaseModel):
    """A playbook as lists show it."""

    name: str
    title: str
    description: str
    digest: str
    file: str

    @classmethod
    def of(cls, loaded: LoadedPlaybook) -> Self:
        """What lists show of a playbook."""
        return cls(
            name=loaded.playbook.name,
            title=loaded.playbook.title or loaded.playbook.name,
            description=loaded.playbook.description,
            digest=loaded.digest,
            file=loaded.file,
        )


class PlaybookText(PlaybookInfo):
    """A playbook with what is written in it, YAML."""

    text: str


class SourceInfo(BaseModel):
    """A source; `ready` says whether it has a secret, without which it takes nothing."""

    name: str
    title: str
    docs: str
    address: str
    ready: bool


async def report_bytes(services: Services, incident: Incident, form: str) -> bytes:
    """A report as it was last written.

    Raises:
        ApiError: 404, none was written yet; 503, the vault does not give it.
    """
    digest = incident.reports.get(form)
    if digest is None:
        raise ApiError(
            404,
            "no_report",
            f"incident {incident.id} has no report yet",
            hint="it is written in the lessons-learned phase, and again when the incident closes",
        )
    try:
        return await services.vault.get(digest)
    except (VaultMissing, VaultCorrupt, VaultUnavailable) as error:
        _log.error("web.report_unreadable", extra={"incident": incident.id, "error": str(error)})
        raise ApiError(
            503, "report_unreadable", "the vault does not give the report", hint="the server's log says why"
        ) from None


def api(services: Services) -> APIRouter:
    """The routes."""

    async def who(request: Request) -> Responder:
        return await bearer(request, services)

    router = APIRouter(
        prefix="/api/v1",
        tags=["api"],
        dependencies=[Depends(who)],
        responses={status: {"model": ErrorBody} for status in (401, 403, 404, 409, 422, 503)},
    )
    _incidents(router, services)
    _commands(router, services, who)
    tell_routes(router, services, who)
    _alerts(router, services)
    _catalogue(router, services)
    halt_routes(router, services, who)
    return router


def _incidents(router: APIRouter, services: Services) -> None:
    """What can be read of incidents."""

    @router.get("/incidents")
    async def incidents(
        status: IncidentStatus | None = None, limit: Limit = 50, before: Id = ""
    ) -> list[IncidentSummary]:
        """Incidents, the latest first; `before`: go on behind this id."""
        return await services.store.incidents(
            status=status.value if status else "", limit=limit, before=before
        )

    @router.get("/incidents/{incident_id}")
    async def incident(incident_id: str) -> Incident:
        """One incident's whole state."""
        return await find_incident(services, incident_id)

    @router.get("/incidents/{incident_id}/timeline")
    async def timeline(
        incident_id: str, after: Annotated[int, Query(ge=0, le=2**53)] = 0, limit: Limit = 200
    ) -> list[TimelineEntry]:
        """Its timeline behind an entry."""
        await find_incident(services, incident_id)
        return await services.store.timeline(incident_id, after=after, limit=limit)

    @router.get("/incidents/{incident_id}/report", response_class=Response)
    async def report(incident_id: str, format: ReportFormat = "json") -> Response:
        """Its report as last written."""
        found = await find_incident(services, incident_id)
        data = await report_bytes(services, found, format)
        return Response(
            data,
            media_type=MEDIA_TYPES[format],
            headers={"Content-Disposition": f'attachment; filename="{found.id}.{format}"'},
        )


def _commands(router: APIRouter, services: Services, who: Callable[[Request], Awaitable[Responder]]) -> None:
    """What people tell incidents, and who they are."""
    Person = Annotated[Responder, Depends(who)]

    def commands(person: Responder) -> Commands:
        return Commands(services, person, VoteChannel.API)

    @router.get("/me")
    async def me(person: Person) -> Responder:
        """Whom the token stands for."""
        return person

    @router.post("/incidents/{incident_id}/approvals/{approval_id}/votes")
    async def vote(incident_id: str, approval_id: str, body: VoteBody, person: Person) -> Reply:
        """Approve or deny a plan."""
        found = await find_incident(services, incident_id)
        return answer(
            await commands(person).vote(
                found, approval_id, body.decision, body.plan_digest_prefix, body.reason
            )
        )

    @router.post("/incidents/{incident_id}/steps/{step_id}/decisions")
    async def decide(incident_id: str, step_id: str, body: DecisionBody, person: Person) -> Reply:
        """Retry or skip a failed step, or stop."""
        found = await find_incident(services, incident_id)
        return answer(await commands(person).decide(found, step_id, body.decision, body.reason))

    @router.post("/incidents/{incident_id}/undo")
    async def undo(incident_id: str, body: UndoBody, person: Person) -> Reply:
        """Put changes back, newest first; it is planned and approved like any change."""
        found = await find_incident(services, incident_id)
        return answer(
            await commands(person).undo(found, step_id=body.step_id, phase=body.phase, reason=body.reason)
        )

    @router.post("/incidents/{incident_id}/notes")
    async def note(incident_id: str, body: NoteBody, person: Person) -> Reply:
        """Write something down."""
        return answer(await commands(person).note(await find_incident(services, incident_id), body.text))


def _alerts(router: APIRouter, services: Services) -> None:
    """What came in, and what became of it."""

    @router.get("/alerts")
    async def alerts(
        status: Literal["received", "routed", "unmatched", "invalid"] | None = None,
        incident: Id = "",
        limit: Limit = 50,
        before: Id = "",
    ) -> list[AlertRow]:
        """Alerts, the latest first."""
        return await services.store.alerts(
            status=status or "", incident_id=incident, limit=limit, before=before
        )

    @router.get("/alerts/{alert_id}")
    async def alert(alert_id: str) -> AlertRow:
        """One alert and what became of it."""
        found = await services.store.alert(alert_id) if "\0" not in alert_id else None
        if found is None:
            raise ApiError(404, "not_found", "there is no such alert")
        return found


def _nothing(what: str, name: str, known: Iterable[str]) -> ApiError:
    """Nothing has that name; the hint has the nearest that something has."""
    near = difflib.get_close_matches(name[:200], known, 1)
    hint = f"did you mean {near[0]}?" if near else f"see the list of {what}s"
    return ApiError(404, "not_found", f"there is no {what} {name[:80]}", hint=hint)


def _catalogue(router: APIRouter, services: Services) -> None:
    """What is installed."""

    @router.get("/playbooks")
    async def playbooks() -> list[PlaybookInfo]:
        """The playbooks in force."""
        return [PlaybookInfo.of(loaded) for loaded in services.library]

    @router.get("/playbooks/{name}")
    async def playbook(name: str) -> PlaybookText:
        """One playbook, with its text."""
        found = {loaded.playbook.name: loaded for loaded in services.library}
        if name not in found:
            raise _nothing("playbook", name, found)
        return PlaybookText(**PlaybookInfo.of(found[name]).model_dump(), text=found[name].text)

    @router.get("/actions")
    async def actions() -> list[ActionSpec]:
        """Every action, as declared."""
        return list(services.catalogue.values())

    @router.get("/actions/{name}")
    async def action(name: str) -> ActionSpec:
        """One action, as declared."""
        if name not in services.catalogue:
            raise _nothing("action", name, services.catalogue)
        return services.catalogue[name]

    @router.get("/sources")
    async def sources() -> list[SourceInfo]:
        """Every source, and where it delivers to."""
        return [
            SourceInfo(
                name=source.name,
                title=source.title,
                docs=source.docs,
                address=f"/hooks/{source.name}",
                ready=bool(services.secrets(source.name)),
            )
            for source in services.sources.values()
        ]
