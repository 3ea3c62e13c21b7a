"""Errors as the API tells them: a code for programs, a message and a hint for people, never a traceback."""

from __future__ import annotations

import logging

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from soar.engine.client import EngineUnavailable, IncidentEnded
from soar.playbook.diagnostics import PlaybookError
from soar.store import StoreUnavailable

__all__ = ["ApiError", "ErrorBody", "install_error_handlers"]

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


def _answer(status: int, detail: ErrorDetail, **extra: str) -> JSONResponse:
    headers = {"Retry-After": RETRY_SECONDS} if status == 503 else None
    return JSONResponse({"error": detail.model_dump(), **extra}, status_code=status, headers=headers)


def install_error_handlers(app: FastAPI) -> None:
    """Give every expected error its answer."""

    @app.exception_handler(ApiError)
    async def _api(_request: Request, error: ApiError) -> JSONResponse:
        return _answer(error.status, error.detail)

    @app.exception_handler(StoreUnavailable)
    async def _store(_request: Request, error: StoreUnavailable) -> JSONResponse:
        _log.error("web.store_unavailable", extra={"error": str(error)})
        detail = ErrorDetail(
            code="store_unavailable",
            message="the store does not answer; nothing was taken",
            hint="try again soon",
        )
        return _answer(503, detail)

    @app.exception_handler(EngineUnavailable)
    async def _engine(_request: Request, error: EngineUnavailable) -> JSONResponse:
        return _answer(
            503,
            ErrorDetail(code="engine_unavailable", message=str(error), hint="try again; it may have counted"),
        )

    @app.exception_handler(IncidentEnded)
    async def _ended(_request: Request, error: IncidentEnded) -> JSONResponse:
        return _answer(409, ErrorDetail(code="incident_ended", message=f"the incident has ended: {error}"))

    @app.exception_handler(PlaybookError)
    async def _policy(_request: Request, error: PlaybookError) -> JSONResponse:
        _log.error("web.policy_broken", extra={"error": str(error)})
        detail = ErrorDetail(
            code="policy_broken",
            message="the policy file cannot be used",
            hint="the server's log has the line",
        )
        return _answer(503, detail)

    @app.exception_handler(RequestValidationError)
    async def _invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        return _answer(422, ErrorDetail(code="invalid", message=str(first["msg"]), field=place))

    @app.exception_handler(HTTPException)
    async def _http(_request: Request, error: HTTPException) -> JSONResponse:
        code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "error")
        return _answer(error.status_code, ErrorDetail(code=code, message=str(error.detail)))
