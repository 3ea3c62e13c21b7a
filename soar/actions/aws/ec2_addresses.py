"""Take an instance's Elastic IP addresses from it."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError
from pydantic import Field

from soar.actions.aws.access import aws_errors, client
from soar.actions.aws.ec2_instance import InstanceParams, ensure_may_change, find_instance
from soar.actions.aws.setting import Found, Said, Setting
from soar.actions.contract import ActionContext, StateBefore, action
from soar.actions.errors import Drifted
from soar.model.base import Fact
from soar.model.terms import Phase, Risk

__all__ = ["ReleasePublicAddress"]


class Association(Fact):
    """An Elastic IP address and where it points to."""

    allocation_id: str
    public_ip: str
    interface_id: str
    private_ip: str


class AddressesBefore(StateBefore):
    """The Elastic IP addresses that point to the instance, by allocation."""

    addresses: tuple[Association, ...] = Field(title="Elastic IP addresses")


@action(
    "aws.ec2.release_public_address",
    risk=Risk.DISRUPTIVE,
    phase=Phase.CONTAINMENT,
    permissions=(
        "ec2:DescribeInstances",
        "ec2:DescribeAddresses",
        "ec2:DisassociateAddress",
        "ec2:AssociateAddress",
        "sts:GetCallerIdentity",
    ),
    d3fend="D3-NI",
)
class ReleasePublicAddress(Setting[InstanceParams, AddressesBefore]):
    """Take the Elastic IP addresses from an instance, so that nobody reaches it by them.

    The addresses stay allocated to the account: nobody else can get them, and they can be given back.

    Pre-condition: the instance exists, is not tagged `soar:protected`, and this worker does not run on it. It has no
    Elastic IP address: nothing is done.

    Verified by listing the addresses of the instance: none is left.

    Undone by giving each recorded address back to its interface and private address. It refuses if the instance was
    given another one, or if one of them points elsewhere by now.

    Pitfalls: an address that EC2 lent by itself is not among these: it goes only when the instance stops, and an
    instance that was started with one may be lent a new one minutes after its Elastic IP is gone. Load balancers and
    NAT still lead to it. Allow lists of partners that name the address, and DNS records, point to nothing meanwhile.

    Example::

        - id: unreachable
          name: Take its public addresses
          do: aws.ec2.release_public_address
          with:
            instance_id: '{{ (alert | resource("aws.ec2.instance")).name }}'
    """

    method = "ec2:DescribeAddresses"

    def look(self, ctx: ActionContext, params: InstanceParams) -> Found[AddressesBefore]:
        instance = find_instance(ctx, params.instance_id)
        interfaces = [i["NetworkInterfaceId"] for i in instance.raw.get("NetworkInterfaces", [])]
        raw: list[dict[str, Any]] = []
        if interfaces:
            with aws_errors("ec2:DescribeAddresses"):
                raw = client(ctx, "ec2").describe_addresses(
                    Filters=[{"Name": "network-interface-id", "Values": interfaces}]
                )["Addresses"]
        found = [
            Association(
                allocation_id=a["AllocationId"],
                public_ip=a["PublicIp"],
                interface_id=a["NetworkInterfaceId"],
                private_ip=a.get("PrivateIpAddress", ""),
            )
            for a in raw
        ]
        elastic = {a.public_ip for a in found}
        lent = {
            (i.get("Association") or {}).get("PublicIp", "")
            for i in instance.raw.get("NetworkInterfaces", [])
        } - {"", *elastic}
        return Found(
            target=instance.target,
            state=AddressesBefore(addresses=tuple(sorted(found, key=lambda a: a.allocation_id))),
            facts=tuple(f"{ip} was lent by EC2 and stays until the instance stops" for ip in sorted(lent)),
        )

    def wanted(self, params: InstanceParams, state: AddressesBefore) -> AddressesBefore:
        return AddressesBefore(addresses=())

    def guard(self, ctx: ActionContext, params: InstanceParams, found: Found[AddressesBefore]) -> None:
        ensure_may_change(ctx, find_instance(ctx, params.instance_id))

    def say(self, params: InstanceParams, found: Found[AddressesBefore], then: AddressesBefore) -> Said:
        names = ", ".join(a.public_ip for a in found.state.addresses)
        return Said(
            summary=f"Take {names} from instance {params.instance_id}",
            hits="Nobody reaches the instance by these addresses, and it may have no way out.",
            warnings=("EC2 may lend the instance another public address some minutes later.",),
            undo="Each address points to its interface and private address again.",
        )

    def write(
        self, ctx: ActionContext, params: InstanceParams, now: AddressesBefore, then: AddressesBefore
    ) -> None:
        ec2 = client(ctx, "ec2")
        for address in (a for a in now.addresses if a not in then.addresses):
            with aws_errors("ec2:DescribeAddresses"):
                raw = ec2.describe_addresses(AllocationIds=[address.allocation_id])["Addresses"][0]
            if raw.get("AssociationId"):
                with aws_errors("ec2:DisassociateAddress"):
                    ec2.disassociate_address(AssociationId=raw["AssociationId"])
        for address in (a for a in then.addresses if a not in now.addresses):
            private = {"PrivateIpAddress": address.private_ip} if address.private_ip else {}
            with aws_errors("ec2:AssociateAddress"):
                try:
                    ec2.associate_address(
                        AllocationId=address.allocation_id,
                        NetworkInterfaceId=address.interface_id,
                        AllowReassociation=False,
                        **private,
                    )
                except ClientError as error:
                    if error.response["Error"]["Code"] != "Resource.AlreadyAssociated":
                        raise
                    raise Drifted(
                        f"{address.public_ip} points elsewhere by now",
                        differences=(f"{address.public_ip} is associated with something else",),
                        hint="free it first, then undo again; or leave it where it is",
                    ) from error
