"""The command line as a client of the REST API."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from soar.cli.exit_codes import ExitCode
from soar.cli.output import clean, fail

if TYPE_CHECKING:
    import httpx

    from soar.model.incident import Incident

__all__ = ["Api", "at"]

DEFAULT_URL = "http://127.0.0.1:8080"
TIMEOUT_SECONDS = 30.0
_CODES = {
    401: ExitCode.NOT_PERMITTED,
    403: ExitCode.NOT_PERMITTED,
    404: ExitCode.NOT_FOUND,
    422: ExitCode.USAGE,
    503: ExitCode.UNREACHABLE,
}


def at(*parts: str) -> str:
    """A path of these parts; what a part holds never leads anywhere else.

    Raises:
        CommandFailed: Nothing can have such a name.
    """
    for part in parts:
        if part in ("", ".", "..") or "/" in part:  # a server takes %2F for a slash as well
            fail(f"there is nothing of the name {part!r}", ExitCode.NOT_FOUND)
    return "".join(f"/{quote(part, safe='', errors='replace')}" for part in parts)


class Api:
    """Calls the server that `SOAR_URL` names, as the person that `SOAR_TOKEN` stands for."""

    def __init__(self) -> None:
        self.url = os.environ.get("SOAR_URL", DEFAULT_URL).rstrip("/")

    def get(self, path: str, **params: object) -> Any:
        """Read JSON.

        Raises:
            CommandFailed: It could not be had; the message says why and what to do.
        """
        wanted = {k: v for k, v in params.items() if v not in (None, "")}
        return self._json(self._call("GET", path, params=wanted))

    def get_bytes(self, path: str, **params: object) -> bytes:
        """Read a file."""
        return self._call("GET", path, params=params).content

    def post(self, path: str, body: dict[str, object]) -> Any:
        """Send a command; the answer is JSON."""
        return self._json(self._call("POST", path, json=body))

    def incident(self, incident_id: str) -> Incident:
        """One incident."""
        from pydantic import ValidationError

        from soar.model.incident import Incident

        try:
            return Incident.model_validate(self.get(at("incidents", incident_id)))
        except ValidationError:
            fail(
                f"{self.url} tells of incidents in a way that this version does not know: is it of another version?"
            )

    def _json(self, reply: httpx.Response) -> Any:
        try:
            return reply.json()
        except ValueError:
            fail(f"{self.url} did not answer with JSON: is it this system's server? SOAR_URL says where")

    def _call(self, method: str, path: str, **how: Any) -> httpx.Response:
        import httpx

        headers = {"Authorization": f"Bearer {_token()}", "Accept": "application/json"}
        try:
            reply = httpx.request(
                method, f"{self.url}/api/v1{path}", headers=headers, timeout=TIMEOUT_SECONDS, **how
            )
        except (httpx.TransportError, httpx.InvalidURL, UnicodeEncodeError) as error:
            fail(
                f"{self.url} cannot be reached: {error}. Is `soar up` running? SOAR_URL says where",
                ExitCode.UNREACHABLE,
            )
        if not reply.is_success:
            try:
                detail = reply.json()["error"]
                message = ". ".join(part for part in (detail["message"], detail.get("hint", "")) if part)
            except (ValueError, KeyError, TypeError):
                message = f"{self.url} answered {reply.status_code}; is it this system's server?"
            fail(clean(message), _CODES.get(reply.status_code, ExitCode.FAILED))
        return reply


def _token() -> str:
    path = Path(os.environ.get("SOAR_HOME", ".soar")) / "token"
    try:
        token = os.environ.get("SOAR_TOKEN", "").strip() or path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        token = ""
    if not token:
        fail(
            f"no token: set SOAR_TOKEN, or put it into {path}. `soar token create RESPONDER` makes one",
            ExitCode.NOT_PERMITTED,
        )
    if not (token.isascii() and token.isprintable()):
        fail(f"the token of SOAR_TOKEN or {path} has characters that no token has", ExitCode.NOT_PERMITTED)
    return token
