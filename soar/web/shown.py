"""A page for somebody who is logged in."""

from __future__ import annotations

from typing import Any

from fastapi.responses import HTMLResponse

from soar.web.render import page
from soar.web.session import FLASH_COOKIE
from soar.web.visitor import Visitor

__all__ = ["shown"]


def shown(
    visitor: Visitor, template: str, here: str = "", /, *, status: int = 200, **context: Any
) -> HTMLResponse:
    """Draw it; a message of what became of something is shown once."""
    response = page(template, status=status, visitor=visitor, here=here, **context)
    if visitor.flash is not None:
        visitor.cookies.drop(response, FLASH_COOKIE)
    return response
