"""Filters that know IP addresses and networks.

Which networks are private or special is written here and not asked of Python, whose releases differ in it: an incident
that is replayed must decide as it did.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Any, Final

from jinja2 import pass_context
from jinja2.runtime import Context

from soar.playbook.values import BUDGET, BadValue, as_items, as_text, missing

__all__ = ["ADDRESS_FILTERS"]

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _networks(*texts: str) -> tuple[_Network, ...]:
    return tuple(ipaddress.ip_network(text) for text in texts)


_PRIVATE = _networks(
    *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"),  # RFC 1918
    *("100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),  # carrier's NAT, loopback, link-local (RFC 6890)
    *("fc00::/7", "::1/128", "fe80::/10"),  # unique local (RFC 4193), loopback, link-local
)
_NOT_GLOBAL = (
    *_PRIVATE,
    # The rest of what IANA's special-purpose registries (RFC 6890) call not globally reachable, and multicast.
    *_networks("0.0.0.0/8", "192.0.0.0/24", "192.0.2.0/24", "198.18.0.0/15", "198.51.100.0/24"),
    *_networks("203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
    *_networks("::/128", "64:ff9b:1::/48", "100::/64", "2001:2::/48", "2001:db8::/32", "3fff::/20"),
    *_networks("5f00::/16", "ff00::/8"),
)


def _address(value: Any) -> _Address | None:
    """The address that a text says, as IPv4 if it is one inside IPv6; None if it says none."""
    text = as_text(value)
    try:
        address = ipaddress.ip_address(text) if len(text) <= 64 else None
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _within(address: _Address, networks: tuple[_Network, ...]) -> bool:
    return any(address.version == network.version and address in network for network in networks)


def _is_ip(value: Any, version: Any = None) -> bool:
    """Whether a text is an IP address; with 4 or 6, one of that version. What is no text is none.

    Example: "2001:db8::1" | is_ip(6)
    """
    if version not in (None, 4, 6):
        raise BadValue("the version of an address is 4 or 6")
    if not isinstance(value, str):
        missing(value)  # raises, if it is not set
        return False
    try:
        return len(value) <= 64 and version in (None, ipaddress.ip_address(value).version)
    except ValueError:
        return False


def _is_private_ip(value: Any) -> bool:
    """Whether an address is private: RFC 1918, 100.64.0.0/10, unique local, loopback or link-local.

    Example: "172.20.1.1" | is_private_ip
    """
    address = _address(value)
    return address is not None and _within(address, _PRIVATE)


def _is_public_ip(value: Any) -> bool:
    """Whether an address can be reached from anywhere: neither private nor kept for a special purpose.

    Example: "8.8.8.8" | is_public_ip
    """
    address = _address(value)
    return address is not None and not _within(address, _NOT_GLOBAL)


def _network(value: Any) -> _Network:
    try:
        return ipaddress.ip_network(as_text(value), strict=False)
    except ValueError as error:
        raise BadValue(str(error)[:200], "write a network as 10.0.0.0/8") from None


@pass_context
def _cidr_contains(context: Context, networks: Any, address: Any) -> bool:
    """Whether a network, or one of a list, holds an address. What is no address is in no network.

    Example: ["10.0.0.0/8", "192.168.0.0/16"] | cidr_contains("10.1.2.3")
    """
    told = as_items(networks) if isinstance(networks, (list, tuple)) else [networks]
    context[BUDGET].charge(64 * len(told))
    known = tuple(_network(network) for network in told)
    wanted = _address(address)
    return wanted is not None and _within(wanted, known)


def _cidr_network(value: Any, length: Any = None) -> str:
    """The network of an address, `10.1.2.3/8`, or of an address and a length.

    Example: "198.51.100.77" | cidr_network(24) == "198.51.100.0/24"
    """
    text = as_text(value)
    if length is None:
        return str(_network(text))
    if not isinstance(length, int) or isinstance(length, bool):
        raise BadValue("the length of a network is a whole number")
    if "/" in text:
        raise BadValue(f"{text[:60]!r} has a length already")
    return str(_network(f"{text}/{length}"))


ADDRESS_FILTERS: Final[dict[str, Callable[..., Any]]] = {
    "cidr_contains": _cidr_contains,
    "cidr_network": _cidr_network,
    "is_ip": _is_ip,
    "is_private_ip": _is_private_ip,
    "is_public_ip": _is_public_ip,
}
"""What templates call with `|`, for addresses and networks."""
