"""What every action on an instance needs: find it, guard it, and say who else would be hit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import Field

from soar.actions.aws.access import AwsAccess, aws_errors, client
from soar.actions.aws.guards import ensure_not_protected
from soar.actions.contract import ActionContext, Params
from soar.actions.errors import Refused, TargetGone
from soar.model.change import Target

__all__ = [
    "Instance",
    "InstanceParams",
    "describe_attribute",
    "ensure_may_change",
    "find_instance",
    "interfaces_of",
    "tags_of",
    "volumes_of",
]


class InstanceParams(Params):
    """Which instance."""

    instance_id: str = Field(
        pattern=r"^i-(?:[0-9a-f]{8}|[0-9a-f]{17})$", description="the instance's id, `i-0123456789abcdef0`"
    )


@dataclass(frozen=True)
class Instance:
    """An instance as `ec2:DescribeInstances` shows it.

    Args:
        raw: The reply's entry for it.
        account: The account that owns it.
    """

    id: str
    raw: dict[str, Any]
    account: str
    region: str
    partition: str

    @property
    def state(self) -> str:
        """`pending`, `running`, `stopping`, `stopped`, `shutting-down` or `terminated`."""
        return str(self.raw["State"]["Name"])

    @property
    def tags(self) -> dict[str, str]:
        """Its tags. Whoever may tag it wrote them."""
        return tags_of(self.raw)

    @property
    def profile_arn(self) -> str:
        """The ARN of its instance profile; empty if it has none."""
        return str((self.raw.get("IamInstanceProfile") or {}).get("Arn", ""))

    @property
    def addresses(self) -> set[str]:
        """All its private addresses, IPv4 and IPv6: target groups may list it by them."""
        found = set()
        for interface in self.raw.get("NetworkInterfaces", []):
            found |= {a["PrivateIpAddress"] for a in interface.get("PrivateIpAddresses", [])}
            found |= {a["Ipv6Address"] for a in interface.get("Ipv6Addresses", [])}
        return found

    def arn(self, kind: str, name: str) -> str:
        """The ARN of an EC2 resource beside it: `instance`, `volume`, `network-interface` …"""
        return f"arn:{self.partition}:ec2:{self.region}:{self.account}:{kind}/{name}"

    def beside(self, kind: str, name: str) -> Target:
        """An EC2 resource of its account and region, as a plan names what it touches: a volume, for one."""
        return Target(
            uid=self.arn(kind, name),
            type=f"aws.ec2.{kind.replace('-', '_')}",
            name=name,
            account=self.account,
            region=self.region,
        )

    @property
    def target(self) -> Target:
        """It, as a plan names what it touches."""
        return Target(
            uid=self.arn("instance", self.id),
            type="aws.ec2.instance",
            name=self.id,
            account=self.account,
            region=self.region,
            tags=self.tags,
        )


def tags_of(raw: dict[str, Any]) -> dict[str, str]:
    """The tags of anything in EC2 (interfaces call them `TagSet`)."""
    return {t["Key"]: t["Value"] for t in raw.get("Tags") or raw.get("TagSet") or []}


def find_instance(ctx: ActionContext, instance_id: str, *, terminated_too: bool = False) -> Instance:
    """Read one instance.

    Args:
        terminated_too: A terminated instance, which EC2 shows for about an hour, is an answer as well.

    Raises:
        TargetGone: It does not exist (any more) in this account and region.
    """
    with aws_errors("ec2:DescribeInstances"):
        ec2 = client(ctx, "ec2")
        reservations = ec2.describe_instances(InstanceIds=[instance_id])["Reservations"]
    for reservation in reservations:
        for raw in reservation["Instances"]:
            found = Instance(
                id=instance_id,
                raw=raw,
                account=reservation.get("OwnerId") or ctx.account,
                region=ec2.meta.region_name,
                partition=ec2.meta.partition,
            )
            if found.state == "terminated" and not terminated_too:
                break
            return found
    raise TargetGone(
        f"instance {instance_id} does not exist any more in {ec2.meta.region_name}",
        hint="check the id, the account and the region; a terminated instance cannot be acted on",
    )


def ensure_may_change(ctx: ActionContext, instance: Instance) -> None:
    """Refuse what must never be done to an instance.

    Raises:
        Refused: It is tagged `soar:protected`, or this very worker runs on it.
    """
    ensure_not_protected("instance", instance.id, instance.tags)
    # On EC2 the session name of a role's credentials is the id of the instance that they were issued to.
    with aws_errors("sts:GetCallerIdentity"):
        caller = str(ctx.service(AwsAccess).client("sts").get_caller_identity()["Arn"])
    if caller.endswith(f"/{instance.id}"):
        raise Refused(
            f"this worker runs on instance {instance.id}: it would cut itself off in the middle of its work",
            hint="run the aws worker elsewhere, then retry the step",
        )


def interfaces_of(ctx: ActionContext, instance: Instance) -> list[dict[str, Any]]:
    """All network interfaces that are attached to an instance, by device order, read by themselves."""
    with aws_errors("ec2:DescribeNetworkInterfaces"):
        pages = (
            client(ctx, "ec2")
            .get_paginator("describe_network_interfaces")
            .paginate(Filters=[{"Name": "attachment.instance-id", "Values": [instance.id]}])
        )
        found = [interface for page in pages for interface in page["NetworkInterfaces"]]
    return sorted(found, key=lambda i: (i["Attachment"].get("DeviceIndex", 0), i["NetworkInterfaceId"]))


def volumes_of(instance: Instance) -> list[dict[str, Any]]:
    """Its EBS volumes: entries of `BlockDeviceMappings`, by device name."""
    mappings = [m for m in instance.raw.get("BlockDeviceMappings", []) if m.get("Ebs")]
    return sorted(mappings, key=lambda m: str(m["DeviceName"]))


def describe_attribute(ctx: ActionContext, instance_id: str, attribute: str) -> Any:
    """The value of one attribute of an instance (`ec2:DescribeInstanceAttribute`), None if it has none."""
    with aws_errors("ec2:DescribeInstanceAttribute"):
        reply = client(ctx, "ec2").describe_instance_attribute(InstanceId=instance_id, Attribute=attribute)
    value = reply.get(attribute[0].upper() + attribute[1:])
    return value.get("Value") if isinstance(value, dict) else None
