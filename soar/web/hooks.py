"""Where sources deliver their alerts."""

from __future__ import annotations

import difflib
import logging
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from soar.intake.accept import MAX_BODY, Accepted, accept
from soar.intake.sns import SnsUnavailable
from soar.sources.contract import BadAlert, SourceRequest, Unauthenticated
from soar.web.body import limited_body
from soar.web.errors import ApiError, ErrorBody
from soar.web.services import Services

__all__ = ["hooks"]

_log = logging.getLogger("soar.web")


def hooks(services: Services) -> APIRouter:
    """The webhooks."""
    router = APIRouter(tags=["webhooks"])

    refusals: dict[int | str, dict[str, Any]] = {
        status: {"model": ErrorBody} for status in (401, 404, 413, 422, 503)
    }

    @router.post("/hooks/{source}", status_code=202, response_model=Accepted, responses=refusals)
    async def receive(source: str, request: Request) -> Accepted | JSONResponse:
        """Take a source's delivery. 202: it is kept and will be handled. 503: it is not, send it again."""
        return await take(source, request, "")

    @router.post("/hooks/{source}/{token}", status_code=202, response_model=Accepted, responses=refusals)
    async def receive_by_address(source: str, token: str, request: Request) -> Accepted | JSONResponse:
        """Likewise, of a system that can send no header: the secret is the last part of the address."""
        return await take(source, request, token)

    async def take(source: str, request: Request, token: str) -> Accepted | JSONResponse:
        known = services.sources.get(source)
        if known is None:
            near = difflib.get_close_matches(source, services.sources, 1)
            hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(sorted(services.sources))}"
            raise ApiError(404, "unknown_source", "there is no such source", hint=hint)
        body = await limited_body(request, MAX_BODY)
        delivery = SourceRequest.of(request.headers, body, datetime.now(UTC), token)
        try:
            if services.sns.is_for(delivery):
                proved = await services.sns.admit(delivery)
                if proved is None:
                    return Accepted(alerts=(), fresh=0)
                delivery = proved
            accepted = await accept(known, delivery, services.secrets(source), services.store, services.vault)
        except Unauthenticated as error:
            client = request.client.host if request.client else ""
            _log.warning("hook.refused", extra={"source": source, "client": client, "reason": str(error)})
            raise ApiError(
                401,
                "unauthenticated",
                "the delivery does not prove where it is from",
                hint="the server's log says why",
            ) from None
        except SnsUnavailable as error:
            _log.warning("hook.sns_unavailable", extra={"source": source, "reason": str(error)})
            raise ApiError(
                503,
                "unavailable",
                "Amazon SNS cannot be asked for its certificate now; the delivery was not taken",
                hint="send it again; the server's log says why",
            ) from None
        except BadAlert as error:
            body_of_error = ErrorBody.model_validate(
                {
                    "error": {
                        "code": "not_an_alert",
                        "message": error.message,
                        "field": error.field,
                        "hint": "the payload is kept and listed as invalid",
                    }
                }
            )
            return JSONResponse(
                {**body_of_error.model_dump(), "raw_digest": error.raw_digest}, status_code=422
            )
        services.nudge_alerts()
        return accepted

    return router
