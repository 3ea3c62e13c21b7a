"""The security groups that isolation makes: an open one that ends connection tracking, and an empty one.

They carry the incident and step in name and tags, so that a retry finds what the try before it made.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from botocore.exceptions import ClientError

from soar.actions.aws.access import aws_errors, client, tags_for
from soar.actions.aws.ec2_instance import tags_of
from soar.actions.contract import ActionContext
from soar.actions.errors import Refused
from soar.model.base import digest_of

__all__ = [
    "delete_when_unused",
    "find_group",
    "group_name",
    "isolating_group",
    "rules_of",
    "untracking_group",
]

EVERYTHING = ({"CidrIp": "0.0.0.0/0"}, {"CidrIpv6": "::/0"})


def group_name(ctx: ActionContext, instance_id: str, purpose: str) -> str:
    """What a group for this instance, incident and step is called.

    Args:
        purpose: `isolated` or `untracked`.
    """
    return f"soar-{purpose}-{instance_id}-{digest_of([ctx.incident_id, ctx.step_id])[:12]}"


def find_group(ctx: ActionContext, name: str, vpc_id: str) -> str:
    """The id of our group of this name in a VPC; empty if there is none yet.

    Raises:
        Refused: There is one, and it is not ours.
    """
    with aws_errors("ec2:DescribeSecurityGroups"):
        found = client(ctx, "ec2").describe_security_groups(
            Filters=[{"Name": "group-name", "Values": [name]}, {"Name": "vpc-id", "Values": [vpc_id]}]
        )["SecurityGroups"]
    if not found:
        return ""
    tags = tags_of(found[0])
    if any(tags.get(t["Key"]) != t["Value"] for t in tags_for(ctx)):
        raise Refused(
            f"security group {found[0]['GroupId']} is called {name} and does not carry this step's tags",
            hint="find out who made it; delete or rename it, then retry the step",
        )
    return str(found[0]["GroupId"])


def rules_of(ctx: ActionContext, group_ids: Iterable[str]) -> dict[str, list[dict[str, Any]]]:
    """The rules of security groups, in and out, by group id; a group without rules has an empty list."""
    wanted = sorted(set(group_ids))
    found: dict[str, list[dict[str, Any]]] = defaultdict(list, {g: [] for g in wanted})
    if wanted:
        with aws_errors("ec2:DescribeSecurityGroupRules"):
            pages = (
                client(ctx, "ec2")
                .get_paginator("describe_security_group_rules")
                .paginate(Filters=[{"Name": "group-id", "Values": wanted}])
            )
            for page in pages:
                for rule in page["SecurityGroupRules"]:
                    found[rule["GroupId"]].append(rule)
    return dict(found)


def _ensure(ctx: ActionContext, name: str, vpc_id: str, description: str) -> str:
    group_id = find_group(ctx, name, vpc_id)
    if group_id:
        return group_id
    with aws_errors("ec2:CreateSecurityGroup"):
        made = client(ctx, "ec2").create_security_group(
            GroupName=name,
            Description=description,
            VpcId=vpc_id,
            TagSpecifications=[{"ResourceType": "security-group", "Tags": tags_for(ctx)}],
        )
    return str(made["GroupId"])


def isolating_group(ctx: ActionContext, instance_id: str, vpc_id: str) -> str:
    """The group without any rule: made if need be, its default rule taken out."""
    name = group_name(ctx, instance_id, "isolated")
    group_id = _ensure(ctx, name, vpc_id, f"No traffic: {instance_id} is isolated")
    ec2 = client(ctx, "ec2")
    rules = rules_of(ctx, [group_id])[group_id]
    outward = [r["SecurityGroupRuleId"] for r in rules if r["IsEgress"]]
    inward = [r["SecurityGroupRuleId"] for r in rules if not r["IsEgress"]]
    with aws_errors("ec2:RevokeSecurityGroupEgress"):
        if outward:
            ec2.revoke_security_group_egress(GroupId=group_id, SecurityGroupRuleIds=outward)
    with aws_errors("ec2:RevokeSecurityGroupIngress"):
        if inward:
            ec2.revoke_security_group_ingress(GroupId=group_id, SecurityGroupRuleIds=inward)
    return group_id


def untracking_group(ctx: ActionContext, instance_id: str, vpc_id: str) -> str:
    """The group that allows everything both ways: traffic under such rules is not tracked.

    AWS tracks no TCP or UDP flow whose group allows all addresses and ports in both directions; moving an interface
    into it turns tracked flows into untracked ones, which the next change of groups then cuts.
    """
    name = group_name(ctx, instance_id, "untracked")
    group_id = _ensure(ctx, name, vpc_id, f"Ends connection tracking: in use for a moment on {instance_id}")
    ec2 = client(ctx, "ec2")
    have = {
        (bool(r["IsEgress"]), r.get("CidrIpv4") or r.get("CidrIpv6"))
        for r in rules_of(ctx, [group_id])[group_id]
        if r["IpProtocol"] == "-1"
    }
    for egress, authorize in (
        (False, ec2.authorize_security_group_ingress),
        (True, ec2.authorize_security_group_egress),
    ):
        v4, v6 = (r for r in EVERYTHING)
        permission: dict[str, Any] = {"IpProtocol": "-1"}
        if (egress, v4["CidrIp"]) not in have:
            permission["IpRanges"] = [v4]
        if (egress, v6["CidrIpv6"]) not in have:
            permission["Ipv6Ranges"] = [v6]
        if len(permission) > 1:
            with aws_errors(f"ec2:AuthorizeSecurityGroup{'Egress' if egress else 'Ingress'}"):
                authorize(GroupId=group_id, IpPermissions=[permission])
    return group_id


def delete_when_unused(ctx: ActionContext, group_id: str) -> bool:
    """Delete one of our groups unless an interface is still in it.

    Returns:
        Whether it is gone.
    """
    ec2 = client(ctx, "ec2")
    with aws_errors("ec2:DescribeNetworkInterfaces"):
        users = ec2.describe_network_interfaces(Filters=[{"Name": "group-id", "Values": [group_id]}])
    if users["NetworkInterfaces"]:
        return False
    with aws_errors("ec2:DeleteSecurityGroup"):
        try:
            ec2.delete_security_group(GroupId=group_id)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code == "InvalidGroup.NotFound":
                return True
            if code == "DependencyViolation":  # somebody has begun to use it, or the last use still shows
                return False
            raise
    return True
