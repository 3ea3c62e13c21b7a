"""Address ranges that actions block: read, made comparable, and guarded."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_network

from pydantic import Field, field_validator

from soar.actions.contract import Params
from soar.actions.errors import Refused

__all__ = ["BlockParams", "Network", "contains", "guarded", "network", "overlap"]

Network = IPv4Network | IPv6Network

WIDEST = {4: 8, 6: 16}
"""Wider ranges than these are half the internet: nobody means to block them."""

INWARD = tuple(
    ip_network(n)
    for n in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.168.0.0/16", "224.0.0.0/4", "240.0.0.0/4", "::/127", "fc00::/7", "fe80::/10", "ff00::/8"),
    )
)
"""Private, link-local (the metadata service among them), loopback, shared, multicast and reserved ranges."""


def network(text: str) -> Network:
    """An address or range as a network; bits beyond the prefix are dropped."""
    return ip_network(text.strip(), strict=False)


def overlap(one: Network, other: Network) -> bool:
    """Whether two ranges have an address in common; IPv4 and IPv6 never do."""
    return one.version == other.version and one.overlaps(other)


def contains(wide: Network, narrow: Network) -> bool:
    """Whether all of one range lies in another."""
    if isinstance(wide, IPv4Network):
        return isinstance(narrow, IPv4Network) and narrow.subnet_of(wide)
    return isinstance(narrow, IPv6Network) and narrow.subnet_of(wide)


class BlockParams(Params):
    """Which addresses are blocked, and which never may be.

    Args:
        addresses: Addresses and ranges, IPv4 or IPv6.
        never_block: The responders' own ranges, offices, scanners, partners: a range that touches one is refused.
    """

    addresses: tuple[str, ...] = Field(min_length=1, max_length=100)
    never_block: tuple[str, ...] = ()

    @field_validator("addresses", "never_block")
    @classmethod
    def _normal(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(str(network(text)) for text in given)


def guarded(addresses: Iterable[str], never_block: Iterable[str]) -> tuple[Network, ...]:
    """The ranges to block, sorted, without those that lie in another one.

    Raises:
        Refused: One is very wide, points inwards, or touches a range that is never blocked.
    """
    kept = [network(a) for a in never_block]
    found = {network(a) for a in addresses}
    for range_ in found:
        if range_.prefixlen < WIDEST[range_.version]:
            raise Refused(
                f"{range_} is far too wide to block",
                hint=f"name ranges of /{WIDEST[range_.version]} or narrower",
            )
        inward = next((n for n in INWARD if overlap(n, range_)), None)
        if inward is not None:
            raise Refused(
                f"{range_} touches {inward}, which is not an address on the internet",
                hint="block the public address that the traffic comes from; isolate a host inside instead",
            )
        own = next((n for n in kept if overlap(n, range_)), None)
        if own is not None:
            raise Refused(
                f"{range_} touches {own}, which is never blocked",
                hint="check whether the finding is about your own people; take the range out of `never_block` if not",
            )
    alone = [r for r in found if not any(r != o and contains(o, r) for o in found)]
    return tuple(sorted(alone, key=lambda n: (n.version, int(n.network_address), n.prefixlen)))
