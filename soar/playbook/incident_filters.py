"""Filters that know alerts, ARNs, URLs and e-mail addresses."""

from __future__ import annotations

import contextlib
import ipaddress
import re
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from jinja2 import pass_context
from jinja2.runtime import Context

from soar.playbook.values import BadValue, as_items, as_mapping, as_text, plain_text, unique

__all__ = ["INCIDENT_FILTERS"]


@pass_context
def _resource(context: Context, alert: Any, type: str) -> Any:
    """The alert's first resource of a type, as a mapping; not set, if there is none.

    Example: {"resources": [{"type": "aws.s3.bucket", "name": "b"}]} | resource("aws.s3.bucket") | length == 2
    """
    resources = as_items(as_mapping(alert).get("resources", []))
    found = next((r for r in resources if as_mapping(r).get("type") == type), None)
    if found is not None:
        return found
    hint = f'the alert has no resource of the type "{plain_text(type)[:100]}"'
    return context.environment.undefined(hint=hint)


def _observables(alert: Any, type: str) -> list[Any]:
    """The values of the alert's observables of a type, each once.

    Example: {"observables": [{"type": "ip", "value": "198.51.100.7"}]} | observables("ip") == ["198.51.100.7"]
    """
    told = as_items(as_mapping(alert).get("observables", []))
    return unique([as_mapping(o).get("value") for o in told if as_mapping(o).get("type") == type])


_SCHEME = re.compile(r"\b(h)tt(ps?://)|\b(f)t(p://)", re.IGNORECASE)
_DOT = re.compile(r"(?<=\w)\.(?=\w)")
_FANGED_SCHEME = re.compile(r"\b(h)xx(ps?)(?=\[?://)|\b(f)x(p)(?=\[?://)", re.IGNORECASE)


def _defang(value: Any) -> str:
    """Text in which addresses cannot be clicked.

    Example: "https://evil.example/x" | defang == "hxxps://evil[.]example/x"
    """
    text = as_text(value)
    with contextlib.suppress(ValueError):  # it is no address by itself
        if ipaddress.ip_address(text).version == 6:
            return text.replace(":", "[:]")
    text = _SCHEME.sub(lambda m: f"{m[1]}xx{m[2]}" if m[1] else f"{m[3]}x{m[4]}", text)
    return _DOT.sub("[.]", text).replace("[@]", "@").replace("@", "[@]")


def _refang(value: Any) -> str:
    """The opposite of `defang`, for what reports and feeds write.

    Example: "hxxp[://]evil[dot]example" | refang == "http://evil.example"
    """
    text = _FANGED_SCHEME.sub(lambda m: f"{m[1]}tt{m[2]}" if m[1] else f"{m[3]}t{m[4]}", as_text(value))
    for fanged, plain in (
        ("[.]", "."),
        ("(.)", "."),
        ("[dot]", "."),
        ("[@]", "@"),
        ("[at]", "@"),
        ("[://]", "://"),
        ("[:]", ":"),
    ):
        text = text.replace(fanged, plain)
    return text


_ARN_PARTS = ("partition", "service", "region", "account", "resource", "resource_type", "resource_id")


@pass_context
def _arn_part(context: Context, arn: Any, part: str) -> Any:
    """A part of an ARN: partition, service, region, account, resource, resource_type, resource_id.

    Example: "arn:aws:iam::111122223333:user/alice" | arn_part("resource_id") == "alice"
    """
    if part not in _ARN_PARTS:
        raise BadValue(f'an ARN has no part "{plain_text(part)[:50]}"', f"known: {', '.join(_ARN_PARTS)}")
    fields = as_text(arn).split(":", 5)
    if len(fields) != 6 or fields[0] != "arn":
        return context.environment.undefined(hint=f"{fields[0][:100]!r} … is no ARN")
    if part in _ARN_PARTS[:5]:
        return fields[1 + _ARN_PARTS.index(part)]
    kind, separator, name = fields[5].replace(":", "/", 1).partition("/")
    if not separator:
        kind, name = "", kind
    else:
        name = fields[5][len(kind) + 1 :]
    return kind if part == "resource_type" else name


_URL_PARTS: dict[str, Callable[[SplitResult], Any]] = {
    "fragment": lambda url: url.fragment,
    "host": lambda url: (url.hostname or "").rstrip("."),
    "path": lambda url: url.path,
    "port": lambda url: url.port,
    "query": lambda url: url.query,
    "scheme": lambda url: url.scheme,
    "user": lambda url: url.username or "",
}


def _url(text: str) -> SplitResult | None:
    try:
        url = urlsplit(text.strip())
        return url if url.scheme and url.hostname and url.port != -1 else None
    except ValueError:  # a port or an address in brackets that is none
        return None


@pass_context
def _urlparse(context: Context, value: Any, part: str) -> Any:
    """A part of a URL: scheme, user, host, port (null if none is written), path, query, fragment.

    Example: "https://Evil.example:8443/a?b=1" | urlparse("host") == "evil.example"
    """
    if part not in _URL_PARTS:
        raise BadValue(f'a URL has no part "{plain_text(part)[:50]}"', f"known: {', '.join(_URL_PARTS)}")
    url = _url(as_text(value))
    if url is None:
        return context.environment.undefined(hint=f"{as_text(value)[:60]!r} is no URL with a host")
    return _URL_PARTS[part](url)


@pass_context
def _domain_of(context: Context, value: Any) -> Any:
    """The domain of an e-mail address or a URL, in small letters; not set, if it has none (an address has none).

    Example: "Alice <alice@Mail.Example>" | domain_of == "mail.example"
    """
    text = as_text(value).strip()
    url = _url(text)
    host = (url.hostname or "") if url is not None else text.rpartition("@")[2].rstrip("> \t")
    host = host.rstrip(".").lower()
    with contextlib.suppress(ValueError):
        ipaddress.ip_address(host)
        host = ""
    if (url is None and "@" not in text) or not re.fullmatch(r"[\w-]{1,63}(\.[\w-]{1,63})*", host):
        return context.environment.undefined(hint=f"{text[:60]!r} has no domain")
    return host


INCIDENT_FILTERS: Final[dict[str, Callable[..., Any]]] = {
    "arn_part": _arn_part,
    "defang": _defang,
    "domain_of": _domain_of,
    "observables": _observables,
    "refang": _refang,
    "resource": _resource,
    "urlparse": _urlparse,
}
"""What templates call with `|`, for alerts and what is in them."""
