"""What of an instance can be reached from the internet, in words."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

from pydantic_core import to_jsonable_python

from soar.actions.aws.access import aws_errors, client
from soar.actions.aws.ec2_groups import rules_of
from soar.actions.aws.ec2_instance import Instance, InstanceParams, find_instance, interfaces_of
from soar.actions.aws.elb import TargetGroupUse, registrations
from soar.actions.contract import ActionContext, action
from soar.model.base import Fact, canonical_json
from soar.model.terms import Phase, Risk

__all__ = ["Exposure", "describe_exposure"]

EVERYBODY = frozenset({"0.0.0.0/0", "::/0"})
ALL = "-1"
PROTOCOLS = {"6": "tcp", "17": "udp", "1": "icmp", "58": "icmpv6", ALL: "everything"}


class Opening(Fact):
    """A rule that lets everybody in.

    Args:
        ports: `22`, `8000-8100`, or `all`.
        source: `0.0.0.0/0` or `::/0`.
        reached: Whether packets from the internet get as far as this rule: the interface has an address of that kind
            on the internet, its subnet a way there, and the network ACL lets them in.
        stopped_by: Why not, in words.
    """

    interface_id: str
    group_id: str
    protocol: str
    ports: str
    source: str
    reached: bool
    stopped_by: str


class Exposure(Fact):
    """What of an instance can be reached from the internet.

    Args:
        reachable: Whether something can: by itself, or through a load balancer.
        public_addresses: All its addresses on the internet, IPv4 and IPv6.
        openings: Its rules that let everybody in, reached or not.
        load_balancers: Those that face the internet and lead to it, as `name (target group)`.
        in_words: All of it, a sentence each.
    """

    summary: str
    instance_id: str
    reachable: bool
    public_addresses: tuple[str, ...]
    openings: tuple[Opening, ...]
    load_balancers: tuple[str, ...]
    in_words: tuple[str, ...]


@action(
    "aws.ec2.describe_exposure",
    risk=Risk.READ,
    phase=Phase.IDENTIFICATION,
    permissions=(
        "ec2:DescribeInstances",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeSecurityGroupRules",
        "ec2:DescribeRouteTables",
        "ec2:DescribeNetworkAcls",
        "elasticloadbalancing:DescribeTargetGroups",
        "elasticloadbalancing:DescribeTargetHealth",
        "elasticloadbalancing:DescribeLoadBalancers",
    ),
    plan_timeout=180,
    d3fend="D3-AI",
)
def describe_exposure(ctx: ActionContext, params: InstanceParams) -> Exposure:
    """Say what of an instance everybody on the internet can reach, and through what.

    For each interface: its addresses, the rules of its security groups that let everybody in, the way from its subnet
    to an internet gateway, and the network ACL. Beside that, the load balancers that face the internet and lead to it.

    Evidence: one JSON document with interfaces, rules, routes, ACLs and load balancers as the services gave them.

    Pitfalls: it is worked out from the settings, and no packet is sent. Rules for single ranges, prefix lists and other
    groups are not openings here, however wide they are. Peerings, VPNs, transit gateways, Global Accelerator,
    CloudFront, firewalls on the way and the instance's own are not looked at, nor Classic Load Balancers. Of a load
    balancer only the way to the instance is looked at, not its own rules.

    Example::

        - id: exposure
          name: What can be reached
          do: aws.ec2.describe_exposure
          with:
            instance_id: '{{ (alert | resource("aws.ec2.instance")).name }}'
    """
    instance = find_instance(ctx, params.instance_id)
    interfaces = interfaces_of(ctx, instance)
    rules = rules_of(ctx, {g["GroupId"] for i in interfaces for g in i["Groups"]})
    tables = _described(ctx, "route_tables", "RouteTables", instance)
    acls = _described(ctx, "network_acls", "NetworkAcls", instance)
    uses = registrations(ctx, instance)
    balancers = _balancers(ctx, uses)
    openings: list[Opening] = []
    public: set[str] = set()
    for interface in interfaces:
        addresses = _addresses(interface)
        public |= addresses
        routed = _routed(interface, tables)
        acl = _acl(interface, acls)
        for group in sorted(g["GroupId"] for g in interface["Groups"]):
            openings += [_opening(interface, r, addresses, routed, acl) for r in rules[group] if _open(r)]
    ctx.keep_evidence(
        f"{instance.id}-exposure.json",
        canonical_json(
            to_jsonable_python(
                {
                    "interfaces": interfaces,
                    "rules": rules,
                    "route_tables": tables,
                    "network_acls": acls,
                    "load_balancers": balancers,
                }
            )
        ).encode(),
        media_type="application/json",
        source="ec2:DescribeNetworkInterfaces",
    )
    facing = _facing(balancers, uses)
    reached = [o for o in openings if o.reached]
    words = _words(public, openings, facing)
    return Exposure(
        summary=f"{instance.id}: {words[0]}"
        if not reached and not facing
        else f"{instance.id} can be reached from the internet: "
        + "; ".join([f"{o.protocol} {o.ports}" for o in reached] + [f"through {b}" for b in facing])[:300],
        instance_id=instance.id,
        reachable=bool(reached or facing),
        public_addresses=tuple(sorted(public)),
        openings=tuple(openings),
        load_balancers=facing,
        in_words=words,
    )


def _described(ctx: ActionContext, what: str, key: str, instance: Instance) -> list[dict[str, Any]]:
    """The route tables or network ACLs of the instance's VPC."""
    name = "".join(part.title() for part in what.split("_"))
    with aws_errors(f"ec2:Describe{name}"):
        pages = (
            client(ctx, "ec2")
            .get_paginator(f"describe_{what}")
            .paginate(Filters=[{"Name": "vpc-id", "Values": [str(instance.raw.get("VpcId", ""))]}])
        )
        return [entry for page in pages for entry in page[key]]


def _balancers(ctx: ActionContext, uses: list[TargetGroupUse]) -> list[dict[str, Any]]:
    """The load balancers that lead to these target groups, each with the groups (`Groups`)."""
    if not uses:
        return []
    names = {u.registration.group_arn: u.registration.group_name for u in uses}
    elb = client(ctx, "elbv2")
    with aws_errors("elasticloadbalancing:DescribeTargetGroups"):
        groups = elb.describe_target_groups(TargetGroupArns=sorted(names))["TargetGroups"]
    leading: dict[str, list[str]] = {}
    for group in groups:
        for arn in group.get("LoadBalancerArns", []):
            leading.setdefault(arn, []).append(names[group["TargetGroupArn"]])
    if not leading:
        return []
    with aws_errors("elasticloadbalancing:DescribeLoadBalancers"):
        found = elb.describe_load_balancers(LoadBalancerArns=sorted(leading))["LoadBalancers"]
    return [{**b, "Groups": sorted(leading[b["LoadBalancerArn"]])} for b in found]


def _facing(balancers: list[dict[str, Any]], uses: list[TargetGroupUse]) -> tuple[str, ...]:
    return tuple(
        sorted(
            f"{b['LoadBalancerName']} ({', '.join(b['Groups'])})"
            for b in balancers
            if b.get("Scheme") == "internet-facing"
        )
    )


def _addresses(interface: dict[str, Any]) -> set[str]:
    """Its addresses on the internet. An IPv6 address of a VPC is one, unless it is private."""
    found = {
        str((entry.get("Association") or {}).get("PublicIp", ""))
        for entry in (interface, *interface.get("PrivateIpAddresses", []))
    }
    found |= {
        str(a["Ipv6Address"])
        for a in interface.get("Ipv6Addresses", [])
        if not ip_address(a["Ipv6Address"]).is_private
    }
    return found - {""}


def _routed(interface: dict[str, Any], tables: list[dict[str, Any]]) -> set[str]:
    """Of `0.0.0.0/0` and `::/0`, what its subnet sends to an internet gateway."""
    own = [t for t in tables for a in t.get("Associations", []) if a.get("SubnetId") == interface["SubnetId"]]
    main = [t for t in tables for a in t.get("Associations", []) if a.get("Main")]
    return {
        destination
        for table in (own or main)[:1]
        for route in table.get("Routes", [])
        for destination in [route.get("DestinationCidrBlock") or route.get("DestinationIpv6CidrBlock") or ""]
        if str(route.get("GatewayId", "")).startswith("igw-")
        and route.get("State", "active") == "active"
        and destination in EVERYBODY
    }


def _acl(interface: dict[str, Any], acls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The inward entries of its subnet's network ACL, in the order in which they are asked."""
    for acl in acls:
        if any(a.get("SubnetId") == interface["SubnetId"] for a in acl.get("Associations", [])):
            return sorted(
                (e for e in acl.get("Entries", []) if not e["Egress"]), key=lambda e: int(e["RuleNumber"])
            )
    return []


def _source(rule: dict[str, Any]) -> str:
    return str(rule.get("CidrIpv4") or rule.get("CidrIpv6") or "")


def _open(rule: dict[str, Any]) -> bool:
    return not rule["IsEgress"] and _source(rule) in EVERYBODY


def _opening(
    interface: dict[str, Any],
    rule: dict[str, Any],
    addresses: set[str],
    routed: set[str],
    acl: list[dict[str, Any]],
) -> Opening:
    source = _source(rule)
    version = 6 if ":" in source else 4
    stopped = ""
    if not any(ip_address(a).version == version for a in addresses):
        stopped = f"the interface has no IPv{version} address on the internet"
    elif source not in routed:
        stopped = "its subnet has no way to an internet gateway"
    elif not _lets_in(rule, source, acl):
        stopped = "the network ACL of its subnet lets nobody in there"
    first, last = rule.get("FromPort"), rule.get("ToPort")
    everything = rule["IpProtocol"] == ALL or first in (None, -1)
    return Opening(
        interface_id=interface["NetworkInterfaceId"],
        group_id=rule["GroupId"],
        protocol=PROTOCOLS.get(rule["IpProtocol"], rule["IpProtocol"]),
        ports="all" if everything else str(first) if first == last else f"{first}-{last}",
        source=source,
        reached=not stopped,
        stopped_by=stopped,
    )


def _lets_in(rule: dict[str, Any], source: str, acl: list[dict[str, Any]]) -> bool:
    """Whether a network ACL lets a part of what a rule opens in, from a part of the internet at least.

    The first entry that fits decides. An entry for a part of the addresses or ports that denies leaves the rest, and
    one that allows is enough; so only one that denies all of it stops it.
    """
    for entry in acl:
        cidr = entry.get("CidrBlock") or entry.get("Ipv6CidrBlock") or ""
        if (":" in cidr) != (":" in source) or not _same_protocol(entry, rule):
            continue
        if entry["RuleAction"] == "allow" and _ports_meet(entry, rule):
            return True
        if entry["RuleAction"] == "deny" and cidr in EVERYBODY and _ports_cover(entry, rule):
            return False
    return False


def _same_protocol(entry: dict[str, Any], rule: dict[str, Any]) -> bool:
    protocol = PROTOCOLS.get(str(entry["Protocol"]), str(entry["Protocol"]))
    mine = PROTOCOLS.get(rule["IpProtocol"], rule["IpProtocol"])
    allows = entry["RuleAction"] == "allow"
    return protocol == "everything" or protocol == mine or (allows and mine == "everything")


def _range(raw: dict[str, Any] | None) -> tuple[int, int]:
    return (int(raw["From"]), int(raw["To"])) if raw else (0, 65535)


def _ports_of(rule: dict[str, Any]) -> tuple[int, int]:
    if rule["IpProtocol"] not in ("tcp", "udp", "6", "17") or rule.get("FromPort") in (None, -1):
        return 0, 65535
    return int(rule["FromPort"]), int(rule["ToPort"])


def _ports_meet(entry: dict[str, Any], rule: dict[str, Any]) -> bool:
    low, high = _range(entry.get("PortRange"))
    first, last = _ports_of(rule)
    return low <= last and first <= high


def _ports_cover(entry: dict[str, Any], rule: dict[str, Any]) -> bool:
    low, high = _range(entry.get("PortRange"))
    first, last = _ports_of(rule)
    return low <= first and last <= high


def _words(public: set[str], openings: list[Opening], facing: tuple[str, ...]) -> tuple[str, ...]:
    words = [f"{b} faces the internet and leads to it" for b in facing]
    words += [
        f"everybody reaches {o.protocol} {o.ports} of {o.interface_id}, by a rule of {o.group_id}"
        for o in openings
        if o.reached
    ]
    words += [
        f"a rule of {o.group_id} opens {o.protocol} {o.ports} to {o.source}, but {o.stopped_by}"
        for o in openings
        if not o.reached
    ]
    if not any(o.reached for o in openings) and not facing:
        words.insert(0, "nothing of it can be reached by everybody on the internet")
    words.append(
        f"its addresses on the internet: {', '.join(sorted(public))}"
        if public
        else "it has no address on the internet"
    )
    return tuple(words)
