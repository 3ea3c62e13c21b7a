"""Cases of `aws.ec2.describe_exposure`."""

from __future__ import annotations

from typing import Any

from case import Arranged, World, case


def web_server(world: World, *, gateway: bool = True) -> tuple[str, str, str]:
    """An instance that everybody may talk to on port 80; returns its id, its group and its subnet."""
    ec2 = world.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.1.0/24")["Subnet"]["SubnetId"]
    if gateway:
        made = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        ec2.attach_internet_gateway(InternetGatewayId=made, VpcId=vpc)
        table = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["RouteTables"][0]
        ec2.create_route(RouteTableId=table["RouteTableId"], DestinationCidrBlock="0.0.0.0/0", GatewayId=made)
    group = ec2.create_security_group(GroupName="web", Description="web", VpcId=vpc)["GroupId"]
    ec2.authorize_security_group_ingress(
        GroupId=group,
        IpPermissions=[
            {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]},
            {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "192.0.2.0/24"}]},
        ],
    )
    instance = world.instance(SubnetId=subnet, SecurityGroupIds=[group])
    address = ec2.allocate_address(Domain="vpc")["AllocationId"]
    ec2.associate_address(AllocationId=address, InstanceId=instance)
    return instance, group, subnet


@case("aws.ec2.describe_exposure")
def open_and_behind_a_load_balancer(world: World) -> Arranged:
    instance, group, subnet = web_server(world)
    ec2, elb = world.client("ec2"), world.client("elbv2")
    vpc = ec2.describe_subnets(SubnetIds=[subnet])["Subnets"][0]["VpcId"]
    other = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.2.0/24", AvailabilityZone="us-east-1b")["Subnet"]
    balancer = elb.create_load_balancer(
        Name="front", Subnets=[subnet, other["SubnetId"]], Scheme="internet-facing"
    )["LoadBalancers"][0]
    targets = elb.create_target_group(Name="web", Protocol="HTTP", Port=80, VpcId=vpc)["TargetGroups"][0]
    elb.register_targets(TargetGroupArn=targets["TargetGroupArn"], Targets=[{"Id": instance, "Port": 80}])
    elb.create_listener(
        LoadBalancerArn=balancer["LoadBalancerArn"],
        Protocol="HTTP",
        Port=80,
        DefaultActions=[{"Type": "forward", "TargetGroupArn": targets["TargetGroupArn"]}],
    )
    (interface,) = ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0][
        "NetworkInterfaces"
    ]

    def snapshot() -> Any:
        rules = ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [group]}])
        return len(rules["SecurityGroupRules"]), len(ec2.describe_addresses()["Addresses"])

    return Arranged(
        params={"instance_id": instance},
        snapshot=snapshot,
        finds={
            "reachable": True,
            "load_balancers": ["front (web)"],
            "openings": [
                {
                    "interface_id": interface["NetworkInterfaceId"],
                    "group_id": group,
                    "protocol": "tcp",
                    "ports": "80",
                    "source": "0.0.0.0/0",
                    "reached": True,
                    "stopped_by": "",
                }
            ],
        },
    )
