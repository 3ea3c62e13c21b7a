"""What a step holds of a reply: cut to a size, and without secrets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from soar.actions.contract import ActionContext
from soar.actions.errors import ActionError, BadReply
from soar.actions.http.checks import extracted, misfit
from soar.actions.http.params import Expectation
from soar.actions.http.reply import Reply, raise_for_status
from soar.actions.http.secrets import Redactor

__all__ = ["HttpResult", "excerpt", "expected", "keep", "redacting", "result_of"]

TEXT_LIMIT = 65_536
HEADER_LIMIT = 2_000


class HttpResult(BaseModel):
    """What came back.

    Args:
        url: Where the reply came from, after redirects, without its query.
        headers: Names in lower case; what carries a secret is blanked.
        json_: The body, where it is JSON and was read whole.
        text: The body, where it is something else.
        cut: Of the body only the beginning is here.
        extracted: What `extract` asked for.
        items: Of all pages.
        pages: How many were read.
        more: There are more items than the limits allowed to read.
        tries: How many requests a poll took.
        redirects: The URLs that led here.
    """

    model_config = ConfigDict(serialize_by_alias=True, validate_by_name=True, validate_by_alias=True)

    summary: str
    url: str
    status: int
    headers: dict[str, str] = {}
    json_: JsonValue = Field(default=None, alias="json")
    text: str = ""
    cut: bool = False
    extracted: dict[str, JsonValue] = {}
    items: list[JsonValue] = []
    pages: int = 1
    more: bool = False
    tries: int = 1
    redirects: list[str] = []


@contextmanager
def redacting(redactor: Redactor) -> Iterator[None]:
    """Blank secrets in the errors of a block: services repeat what they were sent."""
    try:
        yield
    except ActionError as error:
        error.message, error.hint = redactor.text(error.message), redactor.text(error.hint)
        error.args = (error.message,)
        raise


def excerpt(redactor: Redactor, reply: Reply) -> str:
    """The beginning of a reply in one line, for an error."""
    words = redactor.text(reply.text()[:4000]).split()
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in " ".join(words))[:300]


def expected(reply: Reply, wanted: Expectation, redactor: Redactor, secret: str) -> dict[str, JsonValue]:
    """See that a reply is as expected, and take from it what was asked for.

    Raises:
        ActionError: It is not.
    """
    raise_for_status(reply, wanted.accept, excerpt=excerpt(redactor, reply), secret=secret)
    if wanted.schema_ is None and not wanted.extract:
        return {}
    document, where = reply.json(), f"{reply.method} {reply.url}"
    problem = misfit(wanted.schema_, document)
    if problem:
        raise BadReply(
            f"{where}: the reply does not fit the schema: {problem}",
            hint="the service answers otherwise than agreed; correct `schema` if that is right",
        )
    return extracted(wanted.extract, document, where)


def result_of(
    reply: Reply, redactor: Redactor, values: dict[str, JsonValue], *, with_body: bool = True
) -> HttpResult:
    """What a step holds of a reply.

    Args:
        values: What was extracted.
        with_body: Whether it holds the body too.
    """
    document: JsonValue = None
    text, cut = "", reply.body.cut
    if with_body and reply.body.data:
        try:
            document = redactor.json(reply.json()) if reply.is_json else None
        except BadReply:
            document = None
        if document is None and not (reply.is_json and reply.body.data.strip() == b"null"):
            # Blanked before it is cut: half a secret would not be recognised.
            text = redactor.text(reply.text())
            cut = cut or len(text) > TEXT_LIMIT
            text = text[:TEXT_LIMIT]
    said = f" (only the first {len(reply.body.data)} bytes were read)" if reply.body.cut else ""
    return HttpResult(
        summary=f"{reply.method} {redactor.text(reply.url)} answered {reply.status}{said}",
        url=redactor.text(reply.url),
        status=reply.status,
        headers={n: v[:HEADER_LIMIT] for n, v in redactor.headers(reply.headers).items()},
        json_=document,
        text=text,
        cut=cut,
        extracted={name: _blanked(redactor, name, value) for name, value in values.items()},
        redirects=[redactor.text(url) for url in reply.redirects],
    )


def _blanked(redactor: Redactor, name: str, value: JsonValue) -> JsonValue:
    cleaned = redactor.json({name: value})
    return cleaned[name] if isinstance(cleaned, dict) and name in cleaned else redactor.json(value)


def keep(ctx: ActionContext, reply: Reply, redactor: Redactor, name: str) -> None:
    """Put a reply's body into the vault, if a name is given for it."""
    if name:
        ctx.keep_evidence(
            name,
            redactor.data(reply.body.data),
            media_type=reply.headers.get("content-type", "application/octet-stream")[:100],
            source=f"{reply.method} {redactor.text(reply.url)}"
            + (" (the beginning)" if reply.body.cut else ""),
        )
