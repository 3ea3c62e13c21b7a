"""What the console's forms share: how they are read, and how people learn what became of what they sent."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Literal, TypeVar
from urllib.parse import quote

from fastapi.responses import RedirectResponse
from pydantic import BaseModel, ValidationError

from soar.engine.client import EngineUnavailable, IncidentEnded
from soar.engine.messages import Reply
from soar.model.people import Responder
from soar.web.errors import ApiError
from soar.web.session import Cookies

__all__ = ["Told", "read_form"]

Body = TypeVar("Body", bound=BaseModel)


def read_form(body: type[Body], form: dict[str, str]) -> Body:
    """A form's fields as what the API takes.

    Raises:
        ApiError: 422.
    """
    try:
        return body.model_validate({k: v for k, v in form.items() if k in body.model_fields and v})
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise ApiError(
            422, "invalid", f"{field}: {first['msg']}", hint="nothing was done", field=field
        ) from None


@dataclass(frozen=True)
class Told:
    """Sends people back to an incident's page, with what the engine said."""

    cookies: Cookies

    async def back(self, person: Responder, incident_id: str, reply: Awaitable[Reply]) -> RedirectResponse:
        """Wait for the answer, and show it on the incident's page."""
        kind: Literal["ok", "problem"] = "problem"
        try:
            answer = await reply
            kind, message = ("ok" if answer.accepted else "problem"), answer.message
        except EngineUnavailable as error:
            message = f"{error}. It may have counted: look at the incident before you try again."
        except IncidentEnded:
            message = "The incident has ended; nothing was done."
        return self.with_message(person, incident_id, kind, message)

    def with_message(
        self, person: Responder, incident_id: str, kind: Literal["ok", "problem"], message: str
    ) -> RedirectResponse:
        """Show something on the incident's page."""
        response = RedirectResponse(f"/incidents/{quote(incident_id, safe='')}", status_code=303)
        self.cookies.flash(response, person.id, kind, message)
        return response
