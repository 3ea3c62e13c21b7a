"""An instance leaves its auto-scaling group and its load balancers, and comes back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError

from soar.simulated.base import AccountClients

STANDBY, DEREGISTER = "aws.autoscaling.enter_standby", "aws.elb.deregister_instance"


@dataclass
class Service:
    """A group of two instances behind two target groups and a classic load balancer."""

    account: AccountClients
    group: str
    members: list[str]
    target_groups: list[str]

    def raw(self) -> dict[str, Any]:
        found = self.account.client("autoscaling").describe_auto_scaling_groups(
            AutoScalingGroupNames=[self.group]
        )
        return dict(found["AutoScalingGroups"][0])

    def lifecycle(self) -> dict[str, str]:
        return {i["InstanceId"]: i["LifecycleState"] for i in self.raw()["Instances"]}

    def registered(self) -> list[list[tuple[str, int]]]:
        elb = self.account.client("elbv2")
        found = []
        for arn in self.target_groups:
            targets = elb.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
            found.append(sorted((t["Target"]["Id"], t["Target"]["Port"]) for t in targets))
        return found

    def classic(self) -> list[str]:
        found = self.account.client("elb").describe_load_balancers(LoadBalancerNames=["old"])
        return sorted(i["InstanceId"] for i in found["LoadBalancerDescriptions"][0]["Instances"])


@pytest.fixture
def service(account: AccountClients) -> Service:
    ec2, elb, scaling = (account.client(s) for s in ("ec2", "elbv2", "autoscaling"))
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    subnets = [s["SubnetId"] for s in ec2.describe_subnets()["Subnets"]][:2]
    template = ec2.create_launch_template(
        LaunchTemplateName="app", LaunchTemplateData={"ImageId": "ami-12c6146b", "InstanceType": "t3.micro"}
    )["LaunchTemplate"]["LaunchTemplateId"]
    groups = [
        elb.create_target_group(Name=name, Protocol="HTTP", Port=8080, VpcId=vpc)["TargetGroups"][0][
            "TargetGroupArn"
        ]
        for name in ("app", "metrics")
    ]
    scaling.create_auto_scaling_group(
        AutoScalingGroupName="app",
        LaunchTemplate={"LaunchTemplateId": template},
        MinSize=1,
        MaxSize=4,
        DesiredCapacity=2,
        VPCZoneIdentifier=",".join(subnets),
        TargetGroupARNs=[groups[0]],
    )
    members = sorted(
        i["InstanceId"] for i in scaling.describe_auto_scaling_groups()["AutoScalingGroups"][0]["Instances"]
    )
    elb.register_targets(TargetGroupArn=groups[1], Targets=[{"Id": members[0], "Port": 9100}])
    account.client("elb").create_load_balancer(
        LoadBalancerName="old",
        Listeners=[{"Protocol": "HTTP", "LoadBalancerPort": 80, "InstancePort": 80}],
        AvailabilityZones=["us-east-1a"],
    )
    account.client("elb").register_instances_with_load_balancer(
        LoadBalancerName="old", Instances=[{"InstanceId": members[0]}]
    )
    return Service(account, "app", members, groups)


async def test_an_instance_enters_standby_and_comes_back(actions: Any, service: Service) -> None:
    victim = service.members[0]
    plan = await actions.plan(STANDBY, instance_id=victim)
    assert (await actions.plan(STANDBY, instance_id=victim)).content_digest == plan.content_digest
    assert "2 in service, desired 2, at least 1" in plan.blast_radius.facts[0]
    assert not actions.look(plan).verified
    await actions.apply(plan)
    assert (await actions.verify(plan)).verified
    assert service.lifecycle()[victim] == "Standby"
    assert service.raw()["DesiredCapacity"] == 1
    assert not (await actions.plan(STANDBY, instance_id=victim)).changes
    reply = await actions.undo(plan)
    assert reply.restored, reply.seen
    assert set(service.lifecycle().values()) == {"InService"}
    assert service.raw()["DesiredCapacity"] == 2


async def test_with_a_replacement_the_group_keeps_its_size(actions: Any, service: Service) -> None:
    plan = await actions.plan(STANDBY, instance_id=service.members[0], replace=True)
    assert any("same image" in w for w in plan.warnings)
    await actions.apply(plan)
    assert (await actions.verify(plan)).verified
    assert service.raw()["DesiredCapacity"] == 2


async def test_a_group_at_its_minimum_is_refused(actions: Any, service: Service) -> None:
    service.account.client("autoscaling").update_auto_scaling_group(AutoScalingGroupName="app", MinSize=2)
    with pytest.raises(ApplicationError, match="at its minimum of 2") as refused:
        await actions.plan(STANDBY, instance_id=service.members[0])
    assert refused.value.type == "Refused"
    assert (await actions.plan(STANDBY, instance_id=service.members[0], replace=True)).changes


async def test_no_group_and_no_balancer_is_nothing_to_do(actions: Any, account: AccountClients) -> None:
    alone = account.client("ec2").run_instances(ImageId="ami-12c6146b", MinCount=1, MaxCount=1)
    instance_id = alone["Instances"][0]["InstanceId"]
    assert not (await actions.plan(STANDBY, instance_id=instance_id)).changes
    assert not (await actions.plan(DEREGISTER, instance_id=instance_id)).changes
    health = await actions.read("aws.autoscaling.group_health", instance_id=instance_id)
    assert health.data["found"] is False


async def test_undo_refuses_when_the_instance_left_the_group(actions: Any, service: Service) -> None:
    plan = await actions.plan(STANDBY, instance_id=service.members[0])
    await actions.apply(plan)
    service.account.client("autoscaling").detach_instances(
        InstanceIds=[service.members[0]], AutoScalingGroupName="app", ShouldDecrementDesiredCapacity=True
    )
    with pytest.raises(ApplicationError, match="is not undone") as refused:
        await actions.undo(plan)
    assert refused.value.type == "Drifted"
    with pytest.raises(ApplicationError, match="not a member of the group"):
        await actions.undo(plan, in_doubt=True)


async def test_an_instance_leaves_every_balancer_there_is(actions: Any, service: Service) -> None:
    victim, before, classic = service.members[0], service.registered(), service.classic()
    plan = await actions.plan(DEREGISTER, instance_id=victim)
    assert (await actions.plan(DEREGISTER, instance_id=victim)).content_digest == plan.content_digest
    assert [c.before for c in plan.changes] == [
        "registered on port 8080",
        "registered on port 9100",
        "registered",
    ]
    assert any("last healthy target of metrics" in w for w in plan.warnings)
    assert not actions.look(plan).verified
    await actions.apply(plan)
    assert (await actions.verify(plan)).verified
    assert all(victim not in [i for i, _ in targets] for targets in service.registered())
    assert service.classic() == []
    assert not (await actions.plan(DEREGISTER, instance_id=victim)).changes
    reply = await actions.undo(plan)
    assert reply.restored, reply.seen
    assert (service.registered(), service.classic()) == (before, classic)


async def test_undo_refuses_when_somebody_registered_it_again(actions: Any, service: Service) -> None:
    plan = await actions.plan(DEREGISTER, instance_id=service.members[0])
    await actions.apply(plan)
    service.account.client("elbv2").register_targets(
        TargetGroupArn=service.target_groups[1], Targets=[{"Id": service.members[0], "Port": 9100}]
    )
    with pytest.raises(ApplicationError, match="is not undone") as refused:
        await actions.undo(plan)
    assert refused.value.type == "Drifted"


async def test_a_group_tells_how_it_is(actions: Any, service: Service) -> None:
    found = await actions.read("aws.autoscaling.group_health", group="app")
    assert found.data["healthy"] is True
    assert (found.data["in_service"], found.data["desired"], found.data["minimum"]) == (2, 2, 1)
    by_member = await actions.read("aws.autoscaling.group_health", instance_id=service.members[1])
    assert by_member.data == found.data
    scaling = service.account.client("autoscaling")
    scaling.suspend_processes(AutoScalingGroupName="app", ScalingProcesses=["Launch"])
    scaling.set_instance_health(InstanceId=service.members[0], HealthStatus="Unhealthy")
    ill = await actions.read("aws.autoscaling.group_health", group="app")
    assert ill.data["healthy"] is False
    assert (ill.data["in_service"], ill.data["desired"]) == (1, 2)
    assert ill.data["suspended_processes"] == ["Launch"]
    with pytest.raises(ApplicationError, match="not healthy after 0 s"):
        await actions.read("aws.autoscaling.group_health", group="app", must_be_healthy=True)


async def test_a_group_is_named_one_way(actions: Any, service: Service) -> None:
    for params in ({}, {"group": "app", "instance_id": service.members[0]}):
        with pytest.raises(ApplicationError, match="either `group` or `instance_id`"):
            await actions.read("aws.autoscaling.group_health", **params)
    with pytest.raises(ApplicationError) as gone:
        await actions.read("aws.autoscaling.group_health", group="none")
    assert gone.value.type == "TargetGone"


async def test_a_serving_member_is_not_stopped(actions: Any, service: Service) -> None:
    with pytest.raises(ApplicationError, match="is in service in auto-scaling group app") as refused:
        await actions.plan("aws.ec2.stop_instance", instance_id=service.members[0])
    assert refused.value.type == "Refused"
    plan = await actions.plan("aws.ec2.isolate_instance", instance_id=service.members[0])
    assert any("may terminate it" in w for w in plan.warnings)


async def test_a_plan_says_how_much_of_its_group_it_takes_out_of_service(
    actions: Any, service: Service
) -> None:
    isolate, (first, second) = "aws.ec2.isolate_instance", service.members
    standby = await actions.plan(STANDBY, instance_id=first)
    for plan in (standby, await actions.plan(isolate, instance_id=first)):
        assert (plan.blast_radius.group, plan.blast_radius.group_share) == ("app", 0.5)
    # What is out of service already costs the group nothing; the other one is now all that it has.
    await actions.apply(standby)
    for action in (isolate, "aws.ec2.stop_instance"):
        plan = await actions.plan(action, instance_id=first)
        assert (plan.blast_radius.group, plan.blast_radius.group_share) == ("", None)
    last = await actions.plan(isolate, instance_id=second)
    assert (last.blast_radius.group, last.blast_radius.group_share) == ("app", 1.0)
    service.account.client("autoscaling").set_instance_health(InstanceId=second, HealthStatus="Unhealthy")
    ill = await actions.plan(isolate, instance_id=second)
    assert (ill.blast_radius.group, ill.blast_radius.group_share) == ("app", 0.0)
