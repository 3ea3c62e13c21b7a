"""The app, put together."""

from __future__ import annotations

import asyncio

from fastapi import FastAPI
from fastapi.responses import JSONResponse
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import Response

from soar import __version__
from soar.store import StoreUnavailable
from soar.web.api import api
from soar.web.console import console
from soar.web.errors import install_error_handlers, unexpected
from soar.web.hooks import hooks
from soar.web.services import Services
from soar.web.slack import slack

__all__ = ["create_app"]

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
READY_SECONDS = 3.0
"""How long each thing that the app needs has for its answer."""
_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class SecurityHeaders(BaseHTTPMiddleware):
    """Puts the headers on every answer that does not bring stricter ones itself."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        """See base class."""
        try:
            response = await call_next(request)
        except Exception as error:  # noqa: BLE001 - logged with its trace; even this answer has the headers
            response = unexpected(request, error)
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        return response


def create_app(services: Services) -> FastAPI:
    """Make the app.

    Args:
        services: What it works with.
    """
    app = FastAPI(
        title="Incident response",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
    )
    app.add_middleware(SecurityHeaders)
    install_error_handlers(app)
    app.include_router(hooks(services))
    app.include_router(slack(services))
    app.include_router(api(services))
    console(app, services)

    @app.get("/healthz", tags=["health"])
    async def healthz() -> dict[str, str]:
        """Whether the process is alive."""
        return {"status": "ok"}

    @app.get("/readyz", tags=["health"])
    async def readyz() -> JSONResponse:
        """Whether it can do its work; says what cannot be reached."""
        missing: list[str] = []
        try:
            await asyncio.wait_for(services.store.ping(), timeout=READY_SECONDS)
        except (TimeoutError, StoreUnavailable):
            missing.append("store")
        try:
            ready = await asyncio.wait_for(services.temporal_ready(), timeout=READY_SECONDS)
        except (TimeoutError, RuntimeError, OSError):
            ready = False
        if not ready:
            missing.append("temporal")
        return JSONResponse(
            {"status": "unavailable" if missing else "ok", "missing": missing},
            status_code=503 if missing else 200,
        )

    return app
