"""The console: pages for people, drawn on the server, which work without scripts."""

# Annotations are evaluated here, not postponed: FastAPI reads them, and some name things local to a function.

import asyncio
import secrets
from typing import Annotated, Literal, get_args
from urllib.parse import quote

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.staticfiles import StaticFiles

from soar.engine.approvals import role_refusal
from soar.model.incident import Incident
from soar.model.terms import IncidentStatus, Phase
from soar.model.timeline import TimelineEntry
from soar.playbook.compiler import placed_steps
from soar.playbook.graph import ActionNode, walk
from soar.playbook.loader import LoadedPlaybook
from soar.playbook.steps import ActionStep, kind_of_step
from soar.store.rows import AlertStatus
from soar.web import views
from soar.web.api import MEDIA_TYPES, Id, ReportFormat, report_bytes
from soar.web.commands import find_incident
from soar.web.course import course
from soar.web.course_views import clock_views, manageable, task_view
from soar.web.decisions import decisions
from soar.web.identity import responder_of_token
from soar.web.render import page
from soar.web.services import Services
from soar.web.session import FLASH_COOKIE, LOGIN_COOKIE, SESSION_COOKIE, Cookies, local_path
from soar.web.shown import shown
from soar.web.visitor import Doors, LoginNeeded, Visitor

__all__ = ["console"]

PER_PAGE = 50
ENTRIES_SHOWN = 100
MAX_CHECKED = 2_000
"""Entries of a timeline that are read and checked each time the incident's page is drawn; the timeline's own page
checks any number."""
REPORT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"


def console(app: FastAPI, services: Services) -> None:
    """Add the console's pages."""
    cookies = Cookies(services.session_key, secure=services.secure_cookies)
    doors = Doors(services, cookies)

    @app.exception_handler(LoginNeeded)
    async def _log_in_first(_request: Request, error: LoginNeeded) -> RedirectResponse:
        return RedirectResponse(f"/login?next={quote(error.back, safe='')}", status_code=303)

    app.mount("/static", StaticFiles(packages=[("soar.web", "static")]), name="static")
    app.include_router(_doors(services, cookies, doors))
    app.include_router(_lists(services, doors))
    app.include_router(_incident(services, doors))
    app.include_router(decisions(services, cookies, doors))
    app.include_router(course(services, cookies, doors))


def _doors(services: Services, cookies: Cookies, doors: Doors) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    def login_page(request: Request, target: str, problem: str = "", status: int = 200) -> HTMLResponse:
        # A form that stands open in another tab stays good.
        nonce = request.cookies.get(LOGIN_COOKIE, "")
        if not (nonce.isalnum() and nonce.isascii() and len(nonce) == 32):
            nonce = secrets.token_hex(16)
        csrf = cookies.login_csrf(nonce)
        response = page("login.html", status=status, csrf=csrf, next=target, problem=problem)
        cookies.new_login(response, nonce)
        return response

    @router.get("/login")
    async def login(request: Request, next: str = "/") -> HTMLResponse:
        return login_page(request, local_path(next))

    @router.post("/login")
    async def log_in(request: Request) -> Response:
        form = await doors.form(request)
        target = local_path(form.get("next", "/"))
        if not cookies.login_csrf_fits(request, form.get("csrf", "")):
            return login_page(request, target, "That form was too old. Please try again.", 403)
        person = await responder_of_token(services, form.get("token", "").strip())
        if person is None:
            return login_page(
                request, target, "This token is unknown, or its owner is not in the policy’s roster.", 401
            )
        response = RedirectResponse(target, status_code=303)
        cookies.log_in(response, person.id)
        return response

    @router.post("/logout")
    async def log_out(request: Request) -> Response:
        await doors.checked(request)
        response = RedirectResponse("/login", status_code=303)
        cookies.drop(response, SESSION_COOKIE)
        cookies.drop(response, FLASH_COOKIE)
        return response

    return router


def _lists(services: Services, doors: Doors) -> APIRouter:
    router = APIRouter(include_in_schema=False)
    Person = Annotated[Visitor, Depends(doors.visitor)]

    @router.get("/")
    async def incidents(
        visitor: Person, status: IncidentStatus | Literal[""] = "", before: Id = ""
    ) -> HTMLResponse:
        wanted = str(status)
        found = await services.store.incidents(status=wanted, limit=PER_PAGE + 1, before=before)
        waiting = await services.store.incidents(status=IncidentStatus.WAITING.value, limit=20)
        return shown(
            visitor,
            "incidents.html",
            "/",
            rows=[(item, views.phase_states(item.status, item.phase)) for item in found[:PER_PAGE]],
            waiting=waiting,
            statuses=[s.value for s in IncidentStatus],
            chosen=wanted,
            before=before,
            after=found[PER_PAGE - 1].id if len(found) > PER_PAGE else "",
        )

    @router.get("/alerts")
    async def alerts(
        visitor: Person, status: AlertStatus | Literal[""] = "", before: Id = ""
    ) -> HTMLResponse:
        found = await services.store.alerts(status=status, limit=PER_PAGE + 1, before=before)
        sources = [
            {"name": s.name, "title": s.title, "ready": bool(services.secrets(s.name))}
            for s in services.sources.values()
        ]
        return shown(
            visitor,
            "alerts.html",
            "/alerts",
            rows=found[:PER_PAGE],
            sources=sources,
            statuses=get_args(AlertStatus),
            chosen=status,
            before=before,
            after=found[PER_PAGE - 1].id if len(found) > PER_PAGE else "",
        )

    @router.get("/playbooks")
    async def playbooks(visitor: Person) -> HTMLResponse:
        rows = [(loaded, [(phase, _steps(loaded, phase)) for phase in Phase]) for loaded in services.library]
        return shown(visitor, "playbooks.html", "/playbooks", rows=rows)

    @router.get("/actions")
    async def actions(visitor: Person) -> HTMLResponse:
        specs = sorted(services.catalogue.values(), key=lambda spec: spec.name)
        groups = [(phase, [spec for spec in specs if spec.phase is phase]) for phase in Phase]
        return shown(visitor, "actions.html", "/actions", groups=groups)

    return router


def _steps(loaded: LoadedPlaybook, phase: Phase) -> list[tuple[str, str, str]]:
    """Id, name and kind (of an action, the action) of each step of a phase, those inside others included."""
    if loaded.graph is not None:  # of a CACAO playbook, whose YAML is none
        entry = loaded.graph.entries.get(phase)
        nodes = walk(loaded.graph, entry) if entry is not None else ()
        return [(n.id, n.name, n.action if isinstance(n, ActionNode) else n.kind) for n in nodes]
    return [
        (
            placed.id,
            placed.step.name or placed.step.id or "",
            placed.step.do if isinstance(placed.step, ActionStep) else kind_of_step(placed.step),
        )
        for placed in placed_steps(loaded)
        if placed.phase is phase and not placed.failure
    ]


def _incident(services: Services, doors: Doors) -> APIRouter:
    router = APIRouter(include_in_schema=False, prefix="/incidents/{incident_id}")
    Person = Annotated[Visitor, Depends(doors.visitor)]

    async def entries_of(incident: Incident) -> list[TimelineEntry]:
        entries: list[TimelineEntry] = []
        while more := await services.store.timeline(
            incident.id, after=entries[-1].seq if entries else 0, limit=1_000
        ):
            entries += more
        return entries

    @router.get("")
    async def incident(visitor: Person, incident_id: str) -> HTMLResponse:
        found = await find_incident(services, incident_id)
        broken: str | None = None
        if found.head_seq <= MAX_CHECKED:
            entries = await entries_of(found)
            broken = await asyncio.to_thread(views.chain_problem, found, entries)
        else:
            entries = await services.store.timeline(found.id, after=found.head_seq - ENTRIES_SHOWN)
        person = visitor.person
        return shown(
            visitor,
            "incident.html",
            incident=found,
            clocks=views.clocks(found),
            phases=views.phase_views(found),
            approvals=[views.approval_view(found, a, person) for a in found.open_approvals],
            attention=[
                (s, role_refusal(person, s.attention_roles, s.attention_excluded))
                for s in found.needing_attention
            ],
            tasks=[task_view(task, person) for task in found.open_tasks],
            deadlines=clock_views(found),
            paused=next((e for e in reversed(entries) if e.kind == "incident.paused"), None),
            manage=manageable(services, found, await asyncio.to_thread(services.policy)),
            changes=views.changes(found, services.catalogue),
            residual=bool(found.residual),
            entries=entries[: -ENTRIES_SHOWN - 1 : -1],
            older=len(entries) > ENTRIES_SHOWN or broken is None,
            broken=broken,
            temporal=_temporal(services, found),
        )

    @router.get("/timeline")
    async def timeline(visitor: Person, incident_id: str) -> HTMLResponse:
        found = await find_incident(services, incident_id)
        entries = await entries_of(found)
        broken = await asyncio.to_thread(views.chain_problem, found, entries)
        return shown(visitor, "timeline.html", incident=found, entries=entries, broken=broken)

    @router.get("/undo")
    async def undo(
        visitor: Person, incident_id: str, step: Id = "", phase: Phase | None = None
    ) -> HTMLResponse:
        found = await find_incident(services, incident_id)
        layers = views.undo_layers(found, services.catalogue, step_id=step or None, phase=phase)
        return shown(visitor, "undo.html", incident=found, layers=layers, step_id=step, phase=phase)

    @router.get("/report")
    async def report(visitor: Person, incident_id: str, format: ReportFormat = "html") -> Response:  # noqa: ARG001
        found = await find_incident(services, incident_id)
        data = await report_bytes(services, found, format)
        headers = {"Content-Security-Policy": REPORT_POLICY}
        if format != "html":
            headers["Content-Disposition"] = f'attachment; filename="{found.id}.{format}"'
        return Response(data, media_type=MEDIA_TYPES[format], headers=headers)

    return router


def _temporal(services: Services, incident: Incident) -> str:
    """Where the incident's workflow stands in Temporal's own UI."""
    base = services.temporal_ui_url.rstrip("/")
    if not base.startswith(("http://", "https://")):
        return ""
    workflow = quote(incident.workflow_id, safe="")
    return f"{base}/workflows/{workflow}/{quote(incident.run_id, safe='')}/history"
