"""The console's session: a cookie that says who it is until when, and what its forms and messages are signed with.

The cookie holds no right by itself: whoever it names has to be in the roster, as it is now, at each request.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
from typing import Literal

from fastapi import Request
from fastapi.responses import Response
from pydantic import BaseModel, ValidationError

__all__ = ["FLASH_COOKIE", "LOGIN_COOKIE", "SESSION_COOKIE", "Cookies", "Flash", "Session", "local_path"]

SESSION_COOKIE = "soar_session"
FLASH_COOKIE = "soar_flash"
LOGIN_COOKIE = "soar_login"
SESSION_SECONDS = 12 * 3600
FLASH_SECONDS = 60
LOGIN_SECONDS = 3600
MAX_MESSAGE = 600
"""Characters of a message in a cookie; a browser drops a cookie of more than 4096 bytes."""


class Session(BaseModel):
    """Args: responder: A responder's id. expires: Seconds since the epoch. nonce: Makes each login another."""

    responder: str
    expires: int
    nonce: str


class Flash(BaseModel):
    """A message for the next page: what became of what somebody just sent."""

    kind: Literal["ok", "problem"]
    message: str
    expires: int
    responder: str


def local_path(text: str) -> str:
    """Where to go after logging in: the text if it is a path of this server, else the list of incidents."""
    plain = text.isascii() and text.isprintable() and "\\" not in text
    if plain and text.startswith("/") and not text.startswith("//") and not text.startswith("/login"):
        return text
    return "/"


class Cookies:
    """Signs and reads the cookies.

    Args:
        key: Of the HMAC. Each use has a word of its own in front, so that no signature serves for another.
        secure: Whether they are sent over HTTPS only.
    """

    def __init__(self, key: bytes, *, secure: bool) -> None:
        self._key = key
        self._secure = secure

    def _mac(self, use: str, text: str) -> str:
        return hmac.new(self._key, f"{use}\0{text}".encode(), hashlib.sha256).hexdigest()

    def _sign(self, use: str, content: BaseModel) -> str:
        text = base64.urlsafe_b64encode(content.model_dump_json().encode()).decode().rstrip("=")
        return f"{text}.{self._mac(use, text)}"

    def _read(self, use: str, value: str) -> object:
        text, _, mac = value.partition(".")
        if not value.isascii() or not hmac.compare_digest(mac, self._mac(use, text)):
            return None
        try:
            content: object = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        except ValueError:
            return None
        return content

    def _set(self, response: Response, name: str, value: str, seconds: int) -> None:
        response.set_cookie(
            name, value, max_age=seconds, path="/", secure=self._secure, httponly=True, samesite="strict"
        )

    def log_in(self, response: Response, responder: str) -> None:
        """Begin a session."""
        session = Session(
            responder=responder,
            expires=int(time.time()) + SESSION_SECONDS,
            nonce=secrets.token_urlsafe(16),
        )
        self._set(response, SESSION_COOKIE, self._sign("session", session), SESSION_SECONDS)
        self.drop(response, LOGIN_COOKIE)

    def session(self, request: Request) -> Session | None:
        """The session of a request; None: there is none, it has expired, or it is not ours."""
        content = self._read("session", request.cookies.get(SESSION_COOKIE, ""))
        try:
            session = Session.model_validate(content)
        except ValidationError:
            return None
        return session if session.expires > time.time() else None

    def csrf(self, request: Request) -> str:
        """What a form of this session has to bring along."""
        return self._mac("csrf", request.cookies.get(SESSION_COOKIE, ""))

    def csrf_fits(self, request: Request, given: str) -> bool:
        """Whether a form came from a page of this session."""
        return hmac.compare_digest(given.encode("utf-8", "replace"), self.csrf(request).encode())

    def new_login(self, response: Response, nonce: str) -> None:
        """Remember which login form was shown."""
        self._set(response, LOGIN_COOKIE, nonce, LOGIN_SECONDS)

    def login_csrf(self, nonce: str) -> str:
        """What the login form has to bring along."""
        return self._mac("login", nonce)

    def login_csrf_fits(self, request: Request, given: str) -> bool:
        """Whether a login form is the one that was shown to this browser."""
        nonce = request.cookies.get(LOGIN_COOKIE, "")
        wanted = self.login_csrf(nonce).encode()
        return bool(nonce) and hmac.compare_digest(given.encode("utf-8", "replace"), wanted)

    def flash(self, response: Response, responder: str, kind: Literal["ok", "problem"], message: str) -> None:
        """Leave a message for the next page."""
        flash = Flash(
            kind=kind,
            message=message[:MAX_MESSAGE],
            expires=int(time.time()) + FLASH_SECONDS,
            responder=responder,
        )
        self._set(response, FLASH_COOKIE, self._sign("flash", flash), FLASH_SECONDS)

    def flashed(self, request: Request, responder: str) -> Flash | None:
        """The message that was left for this person."""
        content = self._read("flash", request.cookies.get(FLASH_COOKIE, ""))
        try:
            flash = Flash.model_validate(content)
        except ValidationError:
            return None
        return flash if flash.responder == responder and flash.expires > time.time() else None

    def drop(self, response: Response, name: str) -> None:
        """Take a cookie back."""
        response.delete_cookie(name, path="/", secure=self._secure, httponly=True, samesite="strict")
