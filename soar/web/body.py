"""Reading a request's body within a limit."""

from __future__ import annotations

from fastapi import Request

from soar.web.errors import ApiError

__all__ = ["limited_body"]


async def limited_body(request: Request, limit: int) -> bytes:
    """The body, read no further than the limit.

    Args:
        limit: Bytes.

    Raises:
        ApiError: 413, it is larger.
    """
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise ApiError(
                413, "too_large", f"the body is larger than {limit} bytes", hint="send fewer alerts at once"
            )
        parts.append(part)
    return b"".join(parts)
