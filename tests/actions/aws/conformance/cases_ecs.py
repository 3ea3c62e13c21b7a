"""Cases of the actions on ECS."""

from __future__ import annotations

import json
from typing import Any

from case import Arranged, World, case

WHERE = {"cluster": "shop", "service": "checkout"}


def service(world: World, **more: Any) -> tuple[Any, str, str]:
    """A service of two tasks in a VPC; returns the client, its group, and a group without rules."""
    ecs, ec2 = world.client("ecs"), world.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True})
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.1.0/24")["Subnet"]["SubnetId"]
    web, closed = (
        ec2.create_security_group(GroupName=n, Description=n, VpcId=vpc)["GroupId"] for n in ("web", "closed")
    )
    everything = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    ec2.revoke_security_group_egress(GroupId=closed, IpPermissions=everything)
    network = {
        "awsvpcConfiguration": {"subnets": [subnet], "securityGroups": [web], "assignPublicIp": "ENABLED"}
    }
    ecs.create_cluster(clusterName="shop")
    definition(ecs)
    ecs.create_service(
        cluster="shop",
        serviceName="checkout",
        taskDefinition="checkout:1",
        desiredCount=2,
        launchType="FARGATE",
        networkConfiguration=network,
        **more,
    )
    settings = {"minimumHealthyPercent": 100, "deploymentCircuitBreaker": {"enable": True, "rollback": True}}
    # The simulated account does not keep it at creation, and shows no running tasks before an update.
    ecs.update_service(**WHERE, desiredCount=2, deploymentConfiguration=settings)
    ecs.run_task(
        cluster="shop",
        taskDefinition="checkout:1",
        launchType="FARGATE",
        networkConfiguration=network,
        group="service:checkout",
        startedBy="ecs-svc/1",
    )
    return ecs, web, closed


def definition(ecs: Any) -> None:
    ecs.register_task_definition(
        family="checkout",
        networkMode="awsvpc",
        requiresCompatibilities=["FARGATE"],
        cpu="256",
        memory="512",
        taskRoleArn="arn:aws:iam::123456789012:role/checkout",
        containerDefinitions=[
            {
                "name": "main",
                "image": "123456789012.dkr.ecr.us-east-1.amazonaws.com/checkout:live",
                "memory": 256,
                "environment": [{"name": "TOKEN", "value": "do-not-keep"}],
                "secrets": [{"name": "DB", "valueFrom": "arn:aws:ssm:us-east-1:123456789012:parameter/db"}],
            }
        ],
    )


def shown(ecs: Any) -> Any:
    return ecs.describe_services(cluster="shop", services=["checkout"])["services"][0]


@case("aws.ecs.isolate_service")
def with_a_public_address(world: World) -> Arranged:
    ecs, web, closed = service(world)

    def snapshot() -> Any:
        found = shown(ecs)
        network = found["networkConfiguration"]["awsvpcConfiguration"]
        groups = ["web" if g == web else "closed" if g == closed else g for g in network["securityGroups"]]
        return groups, network["assignPublicIp"], len(network["subnets"]), found["deploymentConfiguration"]

    def drift() -> None:
        network = shown(ecs)["networkConfiguration"]["awsvpcConfiguration"]
        changed = {**network, "securityGroups": [web, closed]}
        ecs.update_service(**WHERE, networkConfiguration={"awsvpcConfiguration": changed})

    return Arranged({**WHERE, "security_group": closed}, snapshot, drift)


@case("aws.ecs.scale_to_zero")
def of_two(world: World) -> Arranged:
    ecs, _, _ = service(world)
    return Arranged(
        params=dict(WHERE),
        snapshot=lambda: shown(ecs)["desiredCount"],
        drift=lambda: ecs.update_service(**WHERE, desiredCount=1),
    )


TASK = "arn:aws:ecs:us-east-1:123456789012:task/shop/0123456789abcdef0123456789abcdef"


def one_task(world: World, *, tags: Any = ()) -> dict[str, Any]:
    """One task that stays as it is: in the simulated account, every look at a task moves it on."""
    script = world.script("ecs")
    task: dict[str, Any] = {
        "taskArn": TASK,
        "lastStatus": "RUNNING",
        "desiredStatus": "RUNNING",
        "group": "service:checkout",
        "launchType": "FARGATE",
        "tags": list(tags),
    }

    @script.operation("DescribeTasks")
    def describe(params: dict[str, Any]) -> dict[str, Any]:
        found = [task] if params["tasks"] == [TASK] else []
        missing = [] if found else [{"arn": params["tasks"][0], "reason": "MISSING"}]
        return {"tasks": [dict(t) for t in found], "failures": missing}

    @script.operation("StopTask")
    def stop(params: dict[str, Any]) -> dict[str, Any]:
        task.update(desiredStatus="STOPPED", lastStatus="STOPPED")
        return {"task": dict(task)}

    return task


@case("aws.ecs.stop_task")
def of_a_service(world: World) -> Arranged:
    task = one_task(world)
    return Arranged({"cluster": "shop", "task": TASK}, lambda: (task["lastStatus"], task["desiredStatus"]))


@case("aws.ecs.drain_container_instance")
def that_takes_tasks(world: World) -> Arranged:
    ecs = world.client("ecs")
    ecs.create_cluster(clusterName="shop")
    identity = json.dumps({"instanceId": world.instance()})
    arn = ecs.register_container_instance(cluster="shop", instanceIdentityDocument=identity)[
        "containerInstance"
    ]["containerInstanceArn"]

    def snapshot() -> Any:
        found = ecs.describe_container_instances(cluster="shop", containerInstances=[arn])
        return [i["status"] for i in found["containerInstances"]]

    return Arranged(
        params={"cluster": "shop", "container_instance": arn},
        snapshot=snapshot,
        drift=lambda: ecs.deregister_container_instance(cluster="shop", containerInstance=arn),
    )


@case("aws.ecs.deregister_task_definition")
def an_active_revision(world: World) -> Arranged:
    ecs = world.client("ecs")
    definition(ecs)
    return Arranged(
        params={"task_definition": "checkout:1"},
        snapshot=lambda: ecs.describe_task_definition(taskDefinition="checkout:1")["taskDefinition"][
            "status"
        ],
    )


@case("aws.ecs.describe_service")
def on_fargate(world: World) -> Arranged:
    ecs, web, _ = service(world)
    return Arranged(
        params=dict(WHERE),
        snapshot=lambda: {
            k: v for k, v in shown(ecs).items() if k in ("desiredCount", "networkConfiguration")
        },
        finds={
            "name": "checkout",
            "variables": ["TOKEN"],
            "secrets": ["arn:aws:ssm:us-east-1:123456789012:parameter/db"],
            "security_groups": [web],
            "public_ip": True,
            "images": ["123456789012.dkr.ecr.us-east-1.amazonaws.com/checkout:live"],
            "task_role": "arn:aws:iam::123456789012:role/checkout",
            "scaled": False,
        },
    )
