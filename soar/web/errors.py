"""Errors: a code for programs, a message and a hint for people (browsers get a page), never a traceback."""

from __future__ import annotations

import logging

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from soar.engine.client import EngineUnavailable, IncidentEnded
from soar.playbook.diagnostics import PlaybookError
from soar.store import StoreUnavailable
from soar.web.render import page

__all__ = ["ApiError", "ErrorBody", "install_error_handlers", "unexpected"]

_log = logging.getLogger("soar.web")
RETRY_SECONDS = "5"


class ErrorDetail(BaseModel):
    """What happened, to what, and what to do now."""

    code: str
    message: str
    hint: str = ""
    field: str = ""


class ErrorBody(BaseModel):
    """The body of every answer that is an error."""

    error: ErrorDetail


class ApiError(Exception):
    """An answer that is an error.

    Args:
        status: The HTTP status.
        code: A word for programs, `not_found`.
    """

    def __init__(self, status: int, code: str, message: str, *, hint: str = "", field: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.detail = ErrorDetail(code=code, message=message, hint=hint, field=field)


_PROGRAMS = ("/api/", "/hooks/", "/slack/")
_HEADINGS = {403: "Not allowed", 404: "There is nothing here", 409: "Too late", 413: "Too large"}


def _for_browser(request: Request) -> bool:
    path: str = request.scope["path"]
    return "text/html" in request.headers.get("accept", "") and not path.startswith(_PROGRAMS)


def _answer(request: Request, status: int, detail: ErrorDetail) -> Response:
    headers = {"Retry-After": RETRY_SECONDS} if status == 503 else {}
    if _for_browser(request):
        heading = _HEADINGS.get(status, "Not available now" if status == 503 else "That did not work")
        message, hint = detail.message, detail.hint
        return page("error.html", status=status, headers=headers, heading=heading, message=message, hint=hint)
    return JSONResponse({"error": detail.model_dump()}, status_code=status, headers=headers)


def unexpected(request: Request, error: Exception) -> Response:
    """The answer to a fault of ours: nothing of it is shown, and the log has all of it."""
    _log.error("web.failed", extra={"path": request.url.path[:200]}, exc_info=error)
    detail = ErrorDetail(
        code="failed",
        message="something went wrong here; it may have been done",
        hint="look whether it was; the server's log has what happened",
    )
    return _answer(request, 500, detail)


def install_error_handlers(app: FastAPI) -> None:
    """Give every expected error its answer."""

    @app.exception_handler(ApiError)
    async def _api(request: Request, error: ApiError) -> Response:
        return _answer(request, error.status, error.detail)

    @app.exception_handler(StoreUnavailable)
    async def _store(request: Request, error: StoreUnavailable) -> Response:
        _log.error("web.store_unavailable", extra={"error": str(error)})
        detail = ErrorDetail(
            code="store_unavailable",
            message="the store does not answer; nothing was taken",
            hint="try again soon",
        )
        return _answer(request, 503, detail)

    @app.exception_handler(EngineUnavailable)
    async def _engine(request: Request, error: EngineUnavailable) -> Response:
        return _answer(
            request,
            503,
            ErrorDetail(code="engine_unavailable", message=str(error), hint="try again; it may have counted"),
        )

    @app.exception_handler(IncidentEnded)
    async def _ended(request: Request, error: IncidentEnded) -> Response:
        return _answer(
            request, 409, ErrorDetail(code="incident_ended", message=f"the incident has ended: {error}")
        )

    @app.exception_handler(PlaybookError)
    async def _policy(request: Request, error: PlaybookError) -> Response:
        _log.error("web.policy_broken", extra={"error": str(error)})
        detail = ErrorDetail(
            code="policy_broken",
            message="the policy file cannot be used",
            hint="the server's log has the line",
        )
        return _answer(request, 503, detail)

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        return _answer(request, 422, ErrorDetail(code="invalid", message=str(first["msg"]), field=place))

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> Response:
        code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "error")
        return _answer(request, error.status_code, ErrorDetail(code=code, message=str(error.detail)))
