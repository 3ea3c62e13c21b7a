"""Who looks at the console, and the forms that they send."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote

from fastapi import Request

from soar.model.people import Responder
from soar.playbook.policy import Halt
from soar.web.body import limited_body
from soar.web.errors import ApiError
from soar.web.identity import responder_of
from soar.web.services import Services
from soar.web.session import Cookies, Flash

__all__ = ["Doors", "LoginNeeded", "Visitor"]

MAX_FORM = 512 * 1024
MAX_FIELDS = 120
"""A task may ask for much."""


class LoginNeeded(Exception):
    """Nobody is logged in, or it is nobody of the roster any more. `back`: where to go on afterwards."""

    def __init__(self, back: str) -> None:
        super().__init__(back)
        self.back = back


@dataclass(frozen=True)
class Visitor:
    """A person at the console.

    Args:
        csrf: What their forms have to bring along.
        flash: What became of what they sent last.
        halt: The halt that is in force, which every page shows.
    """

    person: Responder
    csrf: str
    cookies: Cookies = field(repr=False)
    flash: Flash | None = None
    halt: Halt | None = None


class Doors:
    """Lets in who may come in."""

    def __init__(self, services: Services, cookies: Cookies) -> None:
        self._services = services
        self._cookies = cookies

    async def visitor(self, request: Request) -> Visitor:
        """Who asks.

        Raises:
            LoginNeeded: Nobody that is known.
        """
        session = self._cookies.session(request)
        person = await responder_of(self._services, session.responder) if session else None
        if person is None:
            raise LoginNeeded(self._back(request))
        flash = self._cookies.flashed(request, person.id)
        halt = await self._services.store.halted()
        return Visitor(person, self._cookies.csrf(request), self._cookies, flash, halt)

    async def checked(self, request: Request) -> tuple[Visitor, dict[str, str]]:
        """Who sent a form, and what is in it.

        Raises:
            LoginNeeded: Nobody that is known.
            ApiError: 403, it is not from a page of this session; 413, 422.
        """
        visitor = await self.visitor(request)
        form = await self.form(request)
        if not self._cookies.csrf_fits(request, form.get("csrf", "")):
            raise ApiError(
                403,
                "csrf",
                "this form is not from a page of your session; nothing was done",
                hint="go back, reload the page and send it again",
            )
        return visitor, form

    async def form(self, request: Request) -> dict[str, str]:
        """The fields of a form.

        Raises:
            ApiError: 413, 422.
        """
        body = await limited_body(request, MAX_FORM)
        try:
            text = body.decode("ascii")
            pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="replace")
        except ValueError:
            raise ApiError(422, "invalid", "this is not a form") from None
        # Browsers send line ends as CR LF.
        return {name: value.replace("\r\n", "\n") for name, value in pairs}

    def _back(self, request: Request) -> str:
        # Not `request.url`: a hostile `Host` header is part of that.
        path = quote(request.scope["path"])
        if request.method in ("GET", "HEAD"):
            query = request.scope["query_string"].decode("ascii", "replace")
            return path + (f"?{query}" if query else "")
        parts = path.split("/")
        return "/".join(parts[:3]) if parts[1:2] == ["incidents"] else "/"
