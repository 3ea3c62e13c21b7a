"""Cases of addresses and of what records traffic."""

from __future__ import annotations

from typing import Any

from case import Arranged, World, case


@case("aws.ec2.release_public_address")
def with_an_elastic_address(world: World) -> Arranged:
    ec2 = world.client("ec2")
    instance = world.instance()
    made = ec2.allocate_address(Domain="vpc")["AllocationId"]
    ec2.associate_address(AllocationId=made, InstanceId=instance)
    shown = ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]
    interface = shown["NetworkInterfaces"][0]["NetworkInterfaceId"]

    def snapshot() -> Any:
        found = ec2.describe_addresses()["Addresses"]
        return sorted((a["AllocationId"] == made, a.get("NetworkInterfaceId") == interface) for a in found)

    def drift() -> None:
        other = ec2.allocate_address(Domain="vpc")["AllocationId"]
        ec2.associate_address(AllocationId=other, InstanceId=instance)

    return Arranged(params={"instance_id": instance}, snapshot=snapshot, drift=drift)


def recorded(world: World, resource_id: str, **params: str) -> Arranged:
    ec2 = world.client("ec2")
    kind = {"vpc": "VPC", "subnet": "Subnet", "eni": "NetworkInterface"}[resource_id.partition("-")[0]]

    def logs() -> Any:
        return ec2.describe_flow_logs(Filters=[{"Name": "resource-id", "Values": [resource_id]}])["FlowLogs"]

    def create(**arguments: Any) -> None:
        ec2.create_flow_logs(
            ResourceIds=[resource_id], ResourceType=kind, LogDestinationType="s3", **arguments
        )

    def drift() -> None:
        ours = [log["FlowLogId"] for log in logs() if log.get("Tags")]
        ec2.delete_flow_logs(FlowLogIds=ours)
        create(TrafficType="ALL", LogDestination=params["destination"])

    def snapshot() -> Any:
        return sorted(
            (
                log["TrafficType"],
                log.get("LogDestination", ""),
                bool(log.get("Tags")),
                log["MaxAggregationInterval"],
            )
            for log in logs()
        )

    world.client("s3").create_bucket(Bucket="rejected")
    create(TrafficType="REJECT", LogDestination="arn:aws:s3:::rejected")
    bucket = params["destination"].startswith("arn:aws:s3")
    return Arranged({"resource_id": resource_id, **params}, snapshot, drift if bucket else None)


FLOWS = {
    "ec2:CreateTags": "for the tags that the flow log is made with",
    "iam:PassRole": "for the role that writes to a log group",
    "logs:CreateLogDelivery": "asked for by EC2 when records go to a bucket",
    "logs:DeleteLogDelivery": "asked for by EC2 when such a flow log is deleted",
}


@case("aws.vpc.enable_flow_logs", unseen=FLOWS)
def of_a_vpc(world: World) -> Arranged:
    world.client("s3").create_bucket(Bucket="flows")
    vpc = world.client("ec2").create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    return recorded(world, vpc, destination="arn:aws:s3:::flows")


@case("aws.vpc.enable_flow_logs", unseen=FLOWS)
def of_a_subnet(world: World) -> Arranged:
    world.client("s3").create_bucket(Bucket="flows")
    ec2 = world.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.1.0/24")["Subnet"]["SubnetId"]
    return recorded(world, subnet, destination="arn:aws:s3:::flows")


@case("aws.vpc.enable_flow_logs", unseen=FLOWS)
def of_an_interface_to_a_log_group(world: World) -> Arranged:
    world.client("logs").create_log_group(logGroupName="flows")
    ec2 = world.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.1.0/24")["Subnet"]["SubnetId"]
    interface = ec2.create_network_interface(SubnetId=subnet)["NetworkInterface"]["NetworkInterfaceId"]
    return recorded(
        world,
        interface,
        destination="arn:aws:logs:us-east-1:123456789012:log-group:flows",
        role="arn:aws:iam::123456789012:role/flow-logs",
    )
