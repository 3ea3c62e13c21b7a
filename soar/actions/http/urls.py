"""URLs as actions take them: absolute, without credentials and without ways around a check."""

from __future__ import annotations

import re

import httpx

from soar.actions.errors import BadInput
from soar.actions.http.addresses import Origin

__all__ = ["bare", "origin_of", "parse_url", "within"]

LONGEST = 8192
_UNSEEN = re.compile(r"[\x00-\x20\x7f\\]|[^\x00-\uffff]")
_AFTER_HOST = re.compile(r"^[^/]*//[^/]*")
_DOTS = re.compile(r"(^|/)(\.|%2e){1,2}(/|$)", re.IGNORECASE)


def parse_url(text: str, *, base: httpx.URL | None = None) -> httpx.URL:
    """Read a URL.

    Args:
        base: What it is relative to; without one it must be absolute.

    Raises:
        BadInput: It cannot be used; the message never repeats a password in it.
    """
    if len(text) > LONGEST:
        raise BadInput(f"the URL has {len(text)} characters; {LONGEST} at most")
    if _UNSEEN.search(text):
        raise BadInput("the URL holds a blank, a control character or a backslash", hint="percent-encode it")
    try:
        url = httpx.URL(text)
        url = base.join(url) if base is not None else url
        host = url.raw_host.decode("ascii")
    except (httpx.InvalidURL, UnicodeError, ValueError, TypeError) as error:
        raise BadInput(f"the URL cannot be read: {str(error)[:200]}") from None
    if url.port is not None and not 0 < url.port < 65536:
        raise BadInput(f"{url.port} is no port")
    if "%" in host:
        raise BadInput(f"{host[:100]!r} is not a name that a host can have")
    if url.userinfo:
        raise BadInput("the URL holds a user name or password", hint="name a secret in `auth` instead")
    if url.scheme not in ("http", "https") or not host:
        raise BadInput(
            f"the URL must be absolute and begin with https://, not {url.scheme or 'without a scheme'}"
        )
    # What a playbook puts together is looked at as it stands: joining would make `/ip/../admin` of an alert's
    # text into `/admin`. A service's own relative link may climb.
    written = _AFTER_HOST.sub("", re.split(r"[?#]", text, maxsplit=1)[0]) if base is None else ""
    if _DOTS.search(written) or _DOTS.search(url.raw_path.partition(b"?")[0].decode("ascii")):
        raise BadInput("the URL's path holds `.` or `..` as a part", hint="write the path that is meant")
    return url.copy_with(fragment=None)


def origin_of(url: httpx.URL) -> Origin:
    """Where a URL leads."""
    host = url.raw_host.decode("ascii").lower().rstrip(".")
    return Origin(url.scheme, host, url.port or (443 if url.scheme == "https" else 80))


def bare(url: httpx.URL) -> str:
    """A URL for people: without its query, which may be long or say too much."""
    return f"{origin_of(url)}{url.path}"


def within(url: httpx.URL, prefix: httpx.URL) -> bool:
    """Whether a URL is the prefix itself or below it; a part of a path is whole or not there."""
    path, start = url.raw_path.partition(b"?")[0], prefix.raw_path.partition(b"?")[0]
    below = path == start or path.startswith(start if start.endswith(b"/") else start + b"/")
    return origin_of(url) == origin_of(prefix) and below
