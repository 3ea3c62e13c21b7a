"""Who is asking: a token stands for one responder of the roster as it is now."""

from __future__ import annotations

import asyncio
import hashlib

from fastapi import Request

from soar.model.people import Responder
from soar.web.errors import ApiError
from soar.web.services import Services

__all__ = ["bearer", "responder_of", "responder_of_token", "token_digest"]


def token_digest(token: str) -> str:
    """What the store keeps of a token."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


async def responder_of(services: Services, responder_id: str) -> Responder | None:
    """A person of the roster as it is now; None if there is no such person any more."""
    policy = await asyncio.to_thread(services.policy)
    return policy.responder(responder_id) if policy is not None else None


async def responder_of_token(services: Services, token: str) -> Responder | None:
    """Whose token it is; None if it is nobody's, or of somebody who is not in the roster any more."""
    responder_id = await services.store.responder_of_token(token_digest(token))
    return await responder_of(services, responder_id) if responder_id else None


async def bearer(request: Request, services: Services) -> Responder:
    """The responder that a request's bearer token stands for.

    Raises:
        ApiError: 401.
    """
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    person = None
    if scheme.lower() == "bearer" and token.strip():
        person = await responder_of_token(services, token.strip())
    if person is None:
        raise ApiError(
            401,
            "unauthenticated",
            "the token is missing, unknown, or of somebody who is not in the policy's roster",
            hint="send `Authorization: Bearer <token>`; make one with `soar token create RESPONDER`",
        )
    return person
