"""What requests are made of, as playbooks write it."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, JsonValue, StringConstraints, model_validator

from soar.actions.contract import Params
from soar.actions.http.pointer import split_pointer

__all__ = [
    "Auth",
    "Condition",
    "Expectation",
    "Extract",
    "HttpParams",
    "Limits",
    "Message",
    "Method",
    "Pages",
    "Poll",
    "Status",
]

EVIDENCE = r"^([A-Za-z0-9][A-Za-z0-9._-]{0,119})?$"
Scalar = str | int | float | bool
Status = Annotated[int, Field(ge=200, le=599)]
Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]

_NOT_BY_HAND = frozenset(
    {"authorization", "proxy-authorization", "cookie"}
    | {"host", "content-length", "transfer-encoding", "connection", "keep-alive", "te", "trailer", "upgrade"}
    | {"expect", "proxy-connection", "accept-encoding"}
)
_SECRET_HEADER = re.compile(r"(^|-)(api-?key|apikey|token|secret|password)$", re.IGNORECASE)
_TOKEN = re.compile(r"^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}$")
_HEADER_VALUE = re.compile(r"^[\x20-\x7e\x80-\xff\t]{0,4000}$")


def _pointer(value: str) -> str:
    split_pointer(value)
    return value


Pointer = Annotated[str, StringConstraints(max_length=500), AfterValidator(_pointer)]
"""A JSON pointer (RFC 6901): `/data/0/id`; empty for the whole."""


class HttpParams(Params):
    """Base of what follows: text is sent exactly as it is written, and `json` may be called so."""

    model_config = ConfigDict(
        str_strip_whitespace=False, serialize_by_alias=True, validate_by_alias=True, validate_by_name=True
    )


class Auth(HttpParams):
    """How a request proves who sends it. The secret itself is known to the worker only."""

    secret: str = Field(
        pattern=r"^[a-z][a-z0-9_]{0,62}$", description="the secret's name, `SOAR_HTTP_SECRET_<NAME>`"
    )
    scheme: Literal["bearer", "basic", "header", "query", "oauth2_client_credentials"] = "bearer"
    name: str = Field(
        default="",
        pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]{0,100}$",
        description="of the header or query parameter",
    )
    prefix: str = Field(
        default="",
        pattern=r"^[\x20-\x7e]{0,50}$",
        description="scheme `header`: what stands before the secret, `Token `",
    )
    token_url: str = Field(default="", description="OAuth: where the token comes from")
    scope: str = Field(default="", max_length=1000, pattern=r"^[\x20-\x7e]*$")
    audience: str = Field(default="", max_length=1000, pattern=r"^[\x20-\x7e]*$")
    client_auth: Literal["basic", "body"] = Field(
        default="basic", description="OAuth: where the client's id and secret are written"
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        oauth = self.scheme == "oauth2_client_credentials"
        if oauth and not self.token_url:
            raise ValueError("oauth2_client_credentials needs `token_url`")
        if not oauth and (self.token_url or self.scope or self.audience):
            raise ValueError("`token_url`, `scope` and `audience` belong to oauth2_client_credentials")
        if self.scheme in ("header", "query") and not self.name:
            raise ValueError(f"the scheme {self.scheme} needs `name`")
        if self.scheme not in ("header", "query") and self.name:
            raise ValueError("`name` belongs to the schemes header and query")
        if self.scheme == "header" and self.name.lower() in _NOT_BY_HAND - {"authorization", "cookie"}:
            raise ValueError(f"the header {self.name} cannot carry a secret")
        return self


class Message(HttpParams):
    """One request, without what is expected of its answer."""

    url: str = Field(
        min_length=1, max_length=8192, description="absolute, https; no user name or password in it"
    )
    path: tuple[str | int, ...] = Field(
        default=(),
        max_length=20,
        description="parts that are added to the URL's path, each percent-encoded whole: the place for an alert's text",
    )
    headers: dict[str, str] = Field(default={}, max_length=50, description="none that carries a secret")
    query: dict[str, Scalar | list[Scalar]] = Field(
        default={}, max_length=100, description="added to the URL's query, percent-encoded"
    )
    json_: JsonValue = Field(default=None, alias="json", description="sent as a JSON body")
    form: dict[str, Scalar | list[Scalar]] | None = Field(
        default=None, max_length=200, description="sent as application/x-www-form-urlencoded"
    )
    body: str | None = Field(
        default=None,
        max_length=262_144,
        description="text, sent as it is; say its Content-Type in `headers`",
    )
    auth: Auth | None = Field(default=None, description="a named secret: `{secret: crm, scheme: bearer}`")

    @model_validator(mode="after")
    def _one_body(self) -> Self:
        if sum((self.json_ is not None, self.form is not None, self.body is not None)) > 1:
            raise ValueError("give one of json, form and body")
        for name, value in self.headers.items():
            if not _TOKEN.match(name) or not _HEADER_VALUE.match(value):
                raise ValueError(f"header {name[:50]!r} holds what no header may hold")
            if name.lower() in _NOT_BY_HAND:
                raise ValueError(f"header {name} is not written by hand; a credential belongs into `auth`")
            if _SECRET_HEADER.search(name):
                raise ValueError(f"header {name} carries a secret: put it into `auth` (scheme header)")
        return self

    @property
    def has_body(self) -> bool:
        """Whether a body is sent."""
        return self.json_ is not None or self.form is not None or self.body is not None


class Extract(HttpParams):
    """A value to take out of the reply."""

    pointer: Pointer
    default: JsonValue = Field(description="what it is where the reply has no such place")


class Expectation(HttpParams):
    """What a reply must be to be right, and what is taken from it."""

    accept: tuple[Status, ...] = Field(default=(), max_length=50, description="statuses; left out: every 2xx")
    schema_: dict[str, JsonValue] | bool | None = Field(
        default=None, alias="schema", description="JSON Schema 2020-12 that the reply must fit"
    )
    extract: dict[str, Pointer | Extract] = Field(
        default={}, max_length=50, description="name → JSON pointer, or `{pointer, default}`"
    )


class Condition(HttpParams):
    """A state of a service, seen by one look. All that is given must hold."""

    status: tuple[Status, ...] = Field(
        default=(), max_length=50, description="one of these; left out: any 2xx"
    )
    equals: dict[Pointer, JsonValue] = Field(default={}, max_length=20, description="JSON pointer → value")
    absent: tuple[Pointer, ...] = Field(
        default=(), max_length=20, description="JSON pointers that lead nowhere"
    )
    schema_: dict[str, JsonValue] | bool | None = Field(
        default=None, alias="schema", description="JSON Schema"
    )


class Poll(HttpParams):
    """Ask again until something is so."""

    until: Condition
    interval: float = Field(default=5, ge=0.1, le=300, description="seconds between two requests")
    limit: float = Field(default=300, gt=0, le=800, description="seconds until it is given up")


class Pages(HttpParams):
    """Follow a list from page to page."""

    next: Pointer | None = Field(
        default=None,
        description="where the reply holds the next page's URL; left out: its Link header, rel=next",
    )
    cursor: str = Field(
        default="",
        max_length=100,
        description="what `next` holds is a cursor: the query parameter that it goes into",
    )
    items: Pointer = Field(default="", description="where each page holds its list")
    max_pages: int = Field(default=10, ge=1, le=200)
    max_items: int = Field(default=1000, ge=1, le=20_000)

    @model_validator(mode="after")
    def _cursor_from_somewhere(self) -> Self:
        if self.cursor and self.next is None:
            raise ValueError("`cursor` needs `next`, the place that holds it")
        return self


class Limits(HttpParams):
    """How long and how much."""

    timeout: float = Field(
        default=30, ge=0.1, le=120, description="seconds for one request with its redirects"
    )
    max_bytes: int = Field(
        default=262_144, ge=1, le=10_485_760, description="of each reply's body, unpacked, that are read"
    )
    keep_body: bool = Field(default=True, description="false: the result holds only what was extracted")
    evidence: str = Field(
        default="", pattern=EVIDENCE, description="a file name: the reply is kept in the vault"
    )
