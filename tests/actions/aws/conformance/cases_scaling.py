"""Cases of auto-scaling groups and load balancers."""

from __future__ import annotations

from typing import Any

from case import Arranged, World, case


class Service:
    """A group of two instances behind two target groups and a classic load balancer."""

    def __init__(self, world: World) -> None:
        self.ec2 = ec2 = world.client("ec2")
        self.elb, self.scaling, self.old = (world.client(s) for s in ("elbv2", "autoscaling", "elb"))
        vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
        subnets = [s["SubnetId"] for s in ec2.describe_subnets()["Subnets"]][:2]
        ec2.create_launch_template(
            LaunchTemplateName="app",
            LaunchTemplateData={"ImageId": "ami-12c6146b", "InstanceType": "t3.micro"},
        )
        self.targets = [
            self.elb.create_target_group(Name=name, Protocol="HTTP", Port=8080, VpcId=vpc)["TargetGroups"][0][
                "TargetGroupArn"
            ]
            for name in ("app", "metrics")
        ]
        self.scaling.create_auto_scaling_group(
            AutoScalingGroupName="app",
            LaunchTemplate={"LaunchTemplateName": "app"},
            MinSize=1,
            MaxSize=4,
            DesiredCapacity=2,
            VPCZoneIdentifier=",".join(subnets),
            TargetGroupARNs=[self.targets[0]],
        )
        self.members = [i["InstanceId"] for i in self.group()["Instances"]]
        self.elb.register_targets(
            TargetGroupArn=self.targets[1], Targets=[{"Id": self.members[0], "Port": 9100}]
        )
        self.old.create_load_balancer(
            LoadBalancerName="old",
            Listeners=[{"Protocol": "HTTP", "LoadBalancerPort": 80, "InstancePort": 80}],
            AvailabilityZones=["us-east-1a"],
        )
        self.old.register_instances_with_load_balancer(
            LoadBalancerName="old", Instances=[{"InstanceId": self.members[0]}]
        )

    def group(self) -> dict[str, Any]:
        found = self.scaling.describe_auto_scaling_groups(AutoScalingGroupNames=["app"])["AutoScalingGroups"]
        return dict(found[0])

    def whole(self) -> dict[str, Any]:
        """What is to be found of the group while nothing was done to it."""
        members = [
            {"instance_id": member, "lifecycle": "InService", "healthy": True}
            for member in sorted(self.members)
        ]
        sizes = {"in_service": 2, "desired": 2, "minimum": 1, "maximum": 4, "standby": 0}
        return {"found": True, "group": "app", "healthy": True, **sizes, "members": members}

    def stand_by(self) -> None:
        """The first member leaves the service, but stays in a target group."""
        self.scaling.enter_standby(
            InstanceIds=[self.members[0]], AutoScalingGroupName="app", ShouldDecrementDesiredCapacity=True
        )

    def _first(self) -> dict[str, Any]:
        found = self.ec2.describe_instances(InstanceIds=[self.members[0]])["Reservations"]
        return dict(found[0]["Instances"][0])

    def states(self) -> Any:
        return self._first()["State"]["Name"]

    def networks(self) -> Any:
        """The first member's security groups, and all that there are."""
        groups = self.ec2.describe_security_groups()["SecurityGroups"]
        names = {g["GroupId"]: g["GroupName"].replace(self.members[0], "i-…") for g in groups}
        return {
            # The simulated account makes a group for the classic balancer, under a random name.
            "all": sorted(n for n in names.values() if not n.startswith("default_elb")),
            "its": [
                sorted(names[g["GroupId"]] for g in i["Groups"]) for i in self._first()["NetworkInterfaces"]
            ],
        }

    def now(self) -> Any:
        group = self.group()
        names = {member: f"member {n}" for n, member in enumerate(self.members)}
        classic = self.old.describe_load_balancers(LoadBalancerNames=["old"])["LoadBalancerDescriptions"][0]
        return {
            "desired": group["DesiredCapacity"],
            "members": sorted([names[i["InstanceId"]], i["LifecycleState"]] for i in group["Instances"]),
            "targets": [
                sorted(
                    [names[t["Target"]["Id"]], t["Target"]["Port"]]
                    for t in self.elb.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
                )
                for arn in self.targets
            ],
            "classic": sorted(names[i["InstanceId"]] for i in classic["Instances"]),
        }


@case("aws.autoscaling.group_health")
def as_many_as_wanted(world: World) -> Arranged:
    service = Service(world)
    return Arranged({"group": "app"}, service.now, finds=service.whole())


@case("aws.autoscaling.group_health")
def of_an_instance(world: World) -> Arranged:
    service = Service(world)
    return Arranged({"instance_id": service.members[0]}, service.now, finds=service.whole())


@case("aws.autoscaling.enter_standby")
def in_service(world: World) -> Arranged:
    service = Service(world)
    return Arranged(
        {"instance_id": service.members[0]},
        service.now,
        lambda: service.scaling.detach_instances(
            InstanceIds=[service.members[0]], AutoScalingGroupName="app", ShouldDecrementDesiredCapacity=False
        ),
    )


@case("aws.elb.deregister_instance")
def behind_three(world: World) -> Arranged:
    service = Service(world)
    return Arranged(
        {"instance_id": service.members[0]},
        service.now,
        lambda: service.elb.register_targets(
            TargetGroupArn=service.targets[1], Targets=[{"Id": service.members[0], "Port": 9100}]
        ),
    )


@case("aws.ec2.isolate_instance")
def a_member_of_a_group(world: World) -> Arranged:
    service = Service(world)
    return Arranged({"instance_id": service.members[0]}, lambda: [service.now(), service.networks()])


@case("aws.ec2.stop_instance")
def in_standby_behind_a_balancer(world: World) -> Arranged:
    service = Service(world)
    service.stand_by()
    return Arranged({"instance_id": service.members[0]}, lambda: [service.now(), service.states()])


@case("aws.ec2.terminate_instance")
def in_standby_with_its_disks_kept(world: World) -> Arranged:
    service = Service(world)
    service.stand_by()
    tags = [{"Key": "soar:incident", "Value": "inc-1"}, {"Key": "soar:instance", "Value": service.members[0]}]
    service.ec2.create_snapshots(
        InstanceSpecification={"InstanceId": service.members[0]},
        TagSpecifications=[{"ResourceType": "snapshot", "Tags": tags}],
    )
    return Arranged({"instance_id": service.members[0]}, service.states)


@case("aws.ec2.describe_instance")
def behind_a_balancer(world: World) -> Arranged:
    service = Service(world)
    return Arranged({"instance_id": service.members[0]}, service.now, finds={"state": "running"})
