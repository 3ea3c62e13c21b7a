"""Where Slack delivers clicks. They are committed before they are acknowledged; people are answered later."""

from __future__ import annotations

import logging
import time

from fastapi import APIRouter, Request, Response

from soar.chat.interactions import (
    INBOX_KIND,
    MAX_BODY,
    InteractionRefused,
    parse_form,
    signature_problem,
)
from soar.web.body import limited_body
from soar.web.errors import ApiError, ErrorBody
from soar.web.services import Services

__all__ = ["slack"]

_log = logging.getLogger("soar.web")


def slack(services: Services) -> APIRouter:
    """Slack's endpoint."""
    router = APIRouter(tags=["slack"])

    @router.post(
        "/slack/interactions",
        responses={status: {"model": ErrorBody} for status in (400, 401, 404, 413, 503)},
    )
    async def interactions(request: Request) -> Response:
        """Take a click (Slack: interactivity request URL)."""
        if not services.slack_signing_secret:
            raise ApiError(
                404,
                "not_connected",
                "clicks are not taken by HTTP here",
                hint="set SLACK_SIGNING_SECRET, or use Socket Mode",
            )
        body = await limited_body(request, MAX_BODY)
        problem = signature_problem(
            services.slack_signing_secret, dict(request.headers), body, now=time.time()
        )
        if problem is not None:
            _log.warning("slack.refused", extra={"reason": problem})
            raise ApiError(401, "unauthenticated", "the request is not signed by Slack")
        try:
            click = parse_form(body)
        except InteractionRefused as error:
            if error.harmless:
                return Response(status_code=200)
            _log.warning("slack.unreadable", extra={"reason": str(error)})
            raise ApiError(400, "not_a_decision", str(error)) from None
        await services.store.receive(INBOX_KIND, click.dedupe_key, click.model_dump(mode="json"))
        services.nudge_clicks()
        return Response(status_code=200)

    return router
