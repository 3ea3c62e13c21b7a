"""Close what a security group opens: to the world, or to given ranges."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator

from soar.actions.aws.access import aws_errors, client
from soar.actions.aws.addresses import network
from soar.actions.aws.ec2_groups import rules_of
from soar.actions.aws.ec2_instance import tags_of
from soar.actions.aws.guards import ensure_not_protected
from soar.actions.contract import Action, ActionContext, Draft, Params, Planned, StateBefore, action
from soar.model.base import Fact
from soar.model.change import BlastRadius, Change, Result, Target, Verification
from soar.model.terms import Phase, Risk

__all__ = ["RevokeIngress"]


class RevokeParams(Params):
    """Which openings of which group.

    Args:
        cidrs: The sources as the rules name them; without any, everybody: `0.0.0.0/0` and `::/0`.
        ports: Only rules that open one of these; empty: all.
        never_block: The responders' own ranges: a rule for a source within them is left alone and told of.
    """

    group_id: str = Field(pattern=r"^sg-[0-9a-f]{8,17}$")
    cidrs: tuple[str, ...] = ("0.0.0.0/0", "::/0")
    ports: tuple[int, ...] = ()
    never_block: tuple[str, ...] = ()

    @field_validator("cidrs", "never_block")
    @classmethod
    def _normal(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(str(network(text)) for text in given)


class IngressRule(Fact):
    """A rule by what it says; its id is not part of it, as a rule that comes back gets a new one."""

    protocol: str
    from_port: int
    to_port: int
    cidr: str
    description: str
    tags: dict[str, str]

    def __str__(self) -> str:
        ports = f"{self.from_port}-{self.to_port}" if self.from_port != self.to_port else f"{self.from_port}"
        where = "everything" if self.protocol == "-1" else f"{self.protocol} {ports}"
        return f"{where} from {self.cidr}"


class IngressBefore(StateBefore):
    """The rules that are taken out, with their descriptions and tags."""

    rules: tuple[IngressRule, ...]


@action(
    "aws.ec2.revoke_ingress",
    risk=Risk.DISRUPTIVE,
    phase=Phase.CONTAINMENT,
    permissions=(
        "ec2:DescribeSecurityGroups",
        "ec2:DescribeSecurityGroupRules",
        "ec2:DescribeNetworkInterfaces",
        "ec2:RevokeSecurityGroupIngress",
        "ec2:AuthorizeSecurityGroupIngress",
        "ec2:CreateTags",
    ),
    d3fend="D3-ITF",
)
class RevokeIngress(Action[RevokeParams, IngressBefore]):
    """Take the rules out of a security group that let everybody, or given ranges, in.

    Each rule is revoked by its id, so that nothing else goes with it. Rules for other groups and prefix lists stay.

    Pre-condition: the group exists and is not tagged `soar:protected`. Rules for sources within `never_block` stay. No
    such rule: nothing is done.

    Verified by reading the group's rules: none of those that were revoked is there.

    Undone by authorising exactly the recorded rules again, with descriptions and tags; their ids are new. It refuses
    if one of them came back by another hand.

    Pitfalls: connections that are tracked stay open until they are idle. It hits everything that uses the group. What
    another group of the same interface allows stays allowed.

    Example::

        - id: close_ssh
          name: Close SSH to the world
          do: aws.ec2.revoke_ingress
          with:
            group_id: sg-0123456789abcdef0
            ports: [22]
    """

    def plan(self, ctx: ActionContext, params: RevokeParams) -> Draft[IngressBefore]:
        group = _group(ctx, params.group_id)
        found = {str(r): r for r, _ in _matching(ctx, params)}
        kept = [network(n) for n in params.never_block]
        own = [
            r
            for r in found.values()
            if any(network(r.cidr).version == n.version and _within(r.cidr, str(n)) for n in kept)
        ]
        rules = tuple(r for _, r in sorted(found.items()) if r not in own)
        ec2 = client(ctx, "ec2")
        target = Target(
            uid=f"arn:{ec2.meta.partition}:ec2:{ec2.meta.region_name}:{group['OwnerId']}:security-group/{params.group_id}",
            type="aws.ec2.security_group",
            name=params.group_id,
            account=group["OwnerId"],
            region=ec2.meta.region_name,
            tags=tags_of(group),
        )
        return Draft(
            summary=f"Revoke {len(rules)} rule(s) of security group {params.group_id}"
            if rules
            else f"Security group {params.group_id} has no such rule",
            targets=(target,),
            changes=tuple(
                Change(target=target.uid, field=str(r), before=r.description or "allowed", after=None)
                for r in rules
            ),
            state=IngressBefore(rules=rules),
            blast_radius=BlastRadius(
                summary="New connections from these sources are dropped.", facts=_users(ctx, params.group_id)
            )
            if rules
            else BlastRadius(),
            warnings=tuple(f"{r} stays: it lies within `never_block`." for r in own)
            + (("Connections that are open now stay open until they are idle.",) if rules else ()),
            undo="The recorded rules are authorised again, with their descriptions.",
        )

    def apply(self, ctx: ActionContext, planned: Planned[RevokeParams, IngressBefore]) -> Result:
        ids = [rule_id for rule, rule_id in _matching(ctx, planned.params) if rule in planned.state.rules]
        if ids:
            with aws_errors("ec2:RevokeSecurityGroupIngress"):
                client(ctx, "ec2").revoke_security_group_ingress(
                    GroupId=planned.params.group_id, SecurityGroupRuleIds=ids
                )
        return Result(
            summary=f"{len(planned.state.rules)} rule(s) of {planned.params.group_id} are revoked",
            data={"rule_ids": ids},
        )

    def verify(self, ctx: ActionContext, planned: Planned[RevokeParams, IngressBefore]) -> Verification:
        gone = {str(r) for r in planned.state.rules}
        there = sorted(str(r) for r, _ in _matching(ctx, planned.params) if str(r) in gone)
        return Verification(
            verified=not there,
            seen=f"still allowed: {'; '.join(there)}" if there else f"none of {len(gone)} rule(s) is there",
            method="ec2:DescribeSecurityGroupRules",
        )

    def undo(self, ctx: ActionContext, planned: Planned[RevokeParams, IngressBefore]) -> Result:
        there = {str(r) for r, _ in _matching(ctx, planned.params)}
        for rule in planned.state.rules:
            if str(rule) not in there:
                _authorise(ctx, planned.params.group_id, rule)
        return Result(
            summary=f"{len(planned.state.rules)} rule(s) of {planned.params.group_id} are allowed again"
        )


def _within(narrow: str, wide: str) -> bool:
    one, other = network(narrow), network(wide)
    return one.prefixlen >= other.prefixlen and one.overlaps(other)


def _group(ctx: ActionContext, group_id: str) -> dict[str, Any]:
    with aws_errors("ec2:DescribeSecurityGroups"):
        group: dict[str, Any] = client(ctx, "ec2").describe_security_groups(GroupIds=[group_id])[
            "SecurityGroups"
        ][0]
    ensure_not_protected("security group", group_id, tags_of(group))
    return group


def _matching(ctx: ActionContext, params: RevokeParams) -> list[tuple[IngressRule, str]]:
    """The inward rules for the wanted sources and ports, each with its id."""
    found = []
    for raw in rules_of(ctx, [params.group_id])[params.group_id]:
        source = raw.get("CidrIpv4") or raw.get("CidrIpv6")
        if raw["IsEgress"] or not source or str(network(source)) not in params.cidrs:
            continue
        rule = IngressRule(
            protocol=raw["IpProtocol"],
            from_port=raw.get("FromPort", -1),
            to_port=raw.get("ToPort", -1),
            cidr=source,
            description=raw.get("Description", ""),
            tags=tags_of(raw),
        )
        anywhere = rule.protocol == "-1" or not params.ports
        if anywhere or any(rule.from_port <= p <= rule.to_port for p in params.ports):
            found.append((rule, str(raw["SecurityGroupRuleId"])))
    return found


def _authorise(ctx: ActionContext, group_id: str, rule: IngressRule) -> None:
    four = network(rule.cidr).version == 4
    source = {"CidrIp" if four else "CidrIpv6": rule.cidr}
    if rule.description:
        source["Description"] = rule.description
    permission: dict[str, Any] = {"IpProtocol": rule.protocol, "IpRanges" if four else "Ipv6Ranges": [source]}
    if rule.protocol != "-1":
        permission |= {"FromPort": rule.from_port, "ToPort": rule.to_port}
    tags = [{"Key": k, "Value": v} for k, v in sorted(rule.tags.items())]
    specification = (
        {"TagSpecifications": [{"ResourceType": "security-group-rule", "Tags": tags}]} if tags else {}
    )
    with aws_errors("ec2:AuthorizeSecurityGroupIngress"):
        client(ctx, "ec2").authorize_security_group_ingress(
            GroupId=group_id, IpPermissions=[permission], **specification
        )


def _users(ctx: ActionContext, group_id: str) -> tuple[str, ...]:
    with aws_errors("ec2:DescribeNetworkInterfaces"):
        users = client(ctx, "ec2").describe_network_interfaces(
            Filters=[{"Name": "group-id", "Values": [group_id]}]
        )
    found = sorted(
        str((u.get("Attachment") or {}).get("InstanceId") or u["NetworkInterfaceId"])
        for u in users["NetworkInterfaces"]
    )
    return (f"{len(found)} interface(s) use the group", *(f"used by {f}" for f in found[:20]))
