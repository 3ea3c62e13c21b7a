"""Which addresses requests may go to: the public Internet, and what the operator has allowed by name.

Written out instead of asking `ipaddress.is_private`: that answer changed within Python 3.11. Sources: IANA's
special-purpose address registries (RFC 6890 and its updates) and the clouds' manuals for the metadata addresses.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

__all__ = ["AllowList", "Origin", "forbidden_kind", "host_and_port"]

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

METADATA = "instance metadata"
_METADATA = frozenset(
    ipaddress.ip_address(text)
    for text in (
        "169.254.169.254",  # AWS, Azure, Google, Oracle, DigitalOcean …
        "169.254.170.2",  # AWS ECS, credentials of the task
        "169.254.170.23",  # AWS EKS, credentials of the pod
        "168.63.129.16",  # Azure's wire server, a public address
        "100.100.100.200",  # Alibaba
        "192.0.0.192",  # Oracle, old
        "fd00:ec2::254",  # AWS
        "fd00:ec2::23",  # AWS EKS
        "fd20:ce::254",  # Google
    )
)

_KINDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("unspecified", ("0.0.0.0/8", "::/128")),
    ("loopback", ("127.0.0.0/8", "::1/128")),
    ("link-local", ("169.254.0.0/16", "fe80::/10")),
    ("private", ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fec0::/10")),
    ("shared (carrier NAT)", ("100.64.0.0/10",)),
    ("multicast", ("224.0.0.0/4", "ff00::/8")),
    (
        "reserved",
        (
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.88.99.0/24",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "240.0.0.0/4",
        ),
    ),
)
_FORBIDDEN = tuple((kind, ipaddress.ip_network(n)) for kind, networks in _KINDS for n in networks)
_GLOBAL_V6 = ipaddress.ip_network("2000::/3")
# Each of these carries an IPv4 address that a gateway would turn it into, or is no address of a server.
_ODD_V6 = tuple(
    (kind, ipaddress.ip_network(network))
    for kind, network in (
        ("reserved", "2001::/23"),  # Teredo, benchmarking, ORCHID
        ("reserved", "2001:db8::/32"),
        ("6to4", "2002::/16"),
        ("reserved", "3fff::/20"),
    )
)
_NAT64 = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/48"))

NEVER_BY_NAME = frozenset({METADATA, "link-local", "multicast", "unspecified", "reserved", "6to4", "NAT64"})
"""What allowing a host by its name does not open: nobody has a service there, but the cloud its credentials."""


def forbidden_kind(address: Address) -> str:
    """What kind of address it is that requests must not go to by themselves; empty: it may be gone to."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped
        if inner is not None:
            return forbidden_kind(inner)
        # `fe80::1%eth0`: the zone is no part of what is compared.
        address = ipaddress.IPv6Address(int(address))
    if address in _METADATA:
        return METADATA
    for kind, network in _FORBIDDEN:
        if address.version == network.version and address in network:
            return kind
    if isinstance(address, ipaddress.IPv4Address):
        return ""
    for network in _NAT64:
        if address in network:
            return "NAT64"
    for kind, network in _ODD_V6:
        if address in network:
            return kind
    return "" if address in _GLOBAL_V6 else "reserved"


@dataclass(frozen=True)
class Origin:
    """Where a URL leads: scheme, host in lower case and port."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = {"https": 443, "http": 80}.get(self.scheme)
        return f"{self.scheme}://{host}" if self.port == usual else f"{self.scheme}://{host}:{self.port}"


_NOT_A_HOST = re.compile(r"[/@?#\\\s]")
_NAME = re.compile(r"^[a-z0-9_]([a-z0-9_.-]{0,251}[a-z0-9_])?$")


def host_and_port(text: str) -> tuple[str, int | None]:
    """Read `host`, `host:port` or `[address]:port`, in lower case.

    Raises:
        ValueError: It is none of these.
    """
    lowered = text.strip().lower()
    try:
        parts = urlsplit(f"//{lowered}")
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        host, port = "", None
    if not (_NAME.match(host) or ":" in host) or _NOT_A_HOST.search(lowered) or port == 0:
        raise ValueError(f"{text!r} is neither host nor host:port")
    return host, port


class AllowList:
    """What the operator has opened: `SOAR_HTTP_ALLOW`.

    An entry is `host:port` (that name may lead to an inner address, by https), `http://host:port` (the same, and it may
    be spoken to without TLS), or an address or network, `10.20.0.0/16` (whatever name leads there). An address of
    instance metadata is opened by nothing but its own entry.

    Raises:
        ValueError: An entry is none of these; the message names it and what to write.
    """

    def __init__(self, entries: Iterable[str] = ()) -> None:
        self._networks: list[Network] = []
        self._origins: set[Origin] = set()
        for entry in entries:
            self._add(entry.strip().lower())

    def _add(self, entry: str) -> None:
        try:
            self._networks.append(ipaddress.ip_network(entry))
            return
        except ValueError:
            if re.fullmatch(r"[0-9a-f.:]+/\d+", entry):
                raise ValueError(f"{entry} is no network: it has bits set beyond its prefix") from None
        scheme, separator, rest = entry.rpartition("://")
        if not separator:
            scheme, rest = "https", entry
        try:
            host, port = host_and_port(rest)
        except ValueError:
            host, port = "", None
        if scheme not in ("http", "https") or port is None:
            raise ValueError(
                f"{entry!r} is neither host:port, http://host:port nor a network like 10.0.0.0/8"
            )
        self._origins.add(Origin(scheme, host, port))

    def plain(self, origin: Origin) -> bool:
        """Whether this origin may be spoken to without TLS."""
        return Origin("http", origin.host, origin.port) in self._origins

    def refusal(self, host: str, port: int, address: Address) -> str:
        """Why a connection to this address, found under this name, is not made; empty: it may be made."""
        kind = forbidden_kind(address)
        if not kind:
            return ""
        address = getattr(address, "ipv4_mapped", None) or address
        for network in self._networks:
            inside = network.version == address.version and address in network
            if inside and (kind != METADATA or network.num_addresses == 1):
                return ""
        if kind not in NEVER_BY_NAME and any(o.host == host and o.port == port for o in self._origins):
            return ""
        return kind
