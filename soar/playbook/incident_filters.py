"""Filters that know alerts, addresses and ARNs."""

from __future__ import annotations

import contextlib
import ipaddress
import re
from collections.abc import Callable
from typing import Any, Final

from jinja2 import pass_context
from jinja2.runtime import Context

from soar.playbook.values import BadValue, as_items, as_mapping, as_text, plain_text, unique

__all__ = ["INCIDENT_FILTERS"]


@pass_context
def _resource(context: Context, alert: Any, type: str) -> Any:
    """The alert's first resource of a type, as a mapping."""
    resources = as_items(as_mapping(alert).get("resources", []))
    found = next((r for r in resources if as_mapping(r).get("type") == type), None)
    if found is not None:
        return found
    hint = f'the alert has no resource of the type "{plain_text(type)[:100]}"'
    return context.environment.undefined(hint=hint)


def _observables(alert: Any, type: str) -> list[Any]:
    """The values of the alert's observables of a type, each once."""
    told = as_items(as_mapping(alert).get("observables", []))
    return unique([as_mapping(o).get("value") for o in told if as_mapping(o).get("type") == type])


_SCHEME = re.compile(r"\b(h)tt(ps?://)|\b(f)t(p://)", re.IGNORECASE)
_DOT = re.compile(r"(?<=\w)\.(?=\w)")
_FANGED_SCHEME = re.compile(r"\b(h)xx(ps?)(?=\[?://)|\b(f)x(p)(?=\[?://)", re.IGNORECASE)


def _defang(value: Any) -> str:
    """Text in which addresses cannot be clicked: `hxxps://evil[.]example`."""
    text = as_text(value)
    with contextlib.suppress(ValueError):  # it is no address by itself
        if ipaddress.ip_address(text).version == 6:
            return text.replace(":", "[:]")
    text = _SCHEME.sub(lambda m: f"{m[1]}xx{m[2]}" if m[1] else f"{m[3]}x{m[4]}", text)
    return _DOT.sub("[.]", text).replace("[@]", "@").replace("@", "[@]")


def _refang(value: Any) -> str:
    """The opposite of `defang`, for what reports and feeds write."""
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


def _cidr_contains(networks: Any, address: Any) -> bool:
    """Whether a network, or one of a list, holds an address. What is no address is in no network."""
    told = as_items(networks) if isinstance(networks, (list, tuple)) else [networks]
    try:
        known = [ipaddress.ip_network(as_text(network), strict=False) for network in told]
    except ValueError as error:
        raise BadValue(str(error)[:200], "write a network as 10.0.0.0/8") from None
    try:
        wanted = ipaddress.ip_address(as_text(address))
    except ValueError:
        return False
    return any(wanted.version == network.version and wanted in network for network in known)


_ARN_PARTS = ("partition", "service", "region", "account", "resource", "resource_type", "resource_id")


@pass_context
def _arn_part(context: Context, arn: Any, part: str) -> Any:
    """A part of an ARN; not set if it is no ARN or has no such part."""
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


INCIDENT_FILTERS: Final[dict[str, Callable[..., Any]]] = {
    "arn_part": _arn_part,
    "cidr_contains": _cidr_contains,
    "defang": _defang,
    "observables": _observables,
    "refang": _refang,
    "resource": _resource,
}
"""What templates call with `|`, besides `soar.playbook.filters`."""
