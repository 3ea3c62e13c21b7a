"""Contain an ECS service: cut its network off, or let none of its tasks run."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from soar.actions.aws.access import aws_errors, client
from soar.actions.aws.ec2_groups import rules_of
from soar.actions.aws.ecs_common import ServiceParams, find_service, scaling_of, service_target
from soar.actions.aws.setting import Found, Said, Setting
from soar.actions.contract import ActionContext, StateBefore, action
from soar.actions.errors import Refused
from soar.model.base import JsonObject
from soar.model.terms import Phase, Risk

__all__ = ["IsolateService", "ScaleToZero"]


class IsolateParams(ServiceParams):
    """Which group takes the place of all its groups."""

    security_group: str = Field(
        pattern=r"^sg-[0-9a-f]{8,17}$",
        description="a security group of the service's VPC that lets nothing through",
    )


class NetworkBefore(StateBefore):
    """The settings of the service that decide who reaches its tasks, and how they are replaced."""

    security_groups: tuple[str, ...] = Field(title="security groups")
    public_ip: str = Field(title="public addresses")
    deployment: JsonObject = Field(title="deployment settings")


@action(
    "aws.ecs.isolate_service",
    risk=Risk.DISRUPTIVE,
    phase=Phase.CONTAINMENT,
    permissions=("ecs:DescribeServices", "ecs:UpdateService", "ec2:DescribeSecurityGroupRules"),
    verify_timeout=900,
    d3fend="D3-NI",
)
class IsolateService(Setting[IsolateParams, NetworkBefore]):
    """Let the tasks of a service run under a security group that lets nothing through.

    ECS replaces all tasks for it: the old ones are stopped first, and the deployment is not rolled back by itself when
    the new ones do not get healthy, which they may never do.

    Pre-condition: the service exists, has a network of its own (`awsvpc`), is deployed by ECS itself, and is not tagged
    `soar:protected`. It has this group alone and no public addresses already: nothing is done.

    Verified by reading the service: its groups are as wanted, and no task of an earlier deployment runs any more.

    Undone by writing the recorded groups and deployment settings; ECS replaces the tasks again. It refuses if they were
    changed since.

    Pitfalls: the running tasks and all in their memory and disks are gone: collect evidence first;
    `aws.ecs.describe_service` tells where they run. Under a group that lets nothing out, images cannot be pulled and
    new tasks do not start: the service is then as good as stopped. Nobody can change the groups of a running Fargate
    task. A pipeline that deploys the service writes its own settings again.

    Example::

        - id: isolate
          name: Isolate the service
          do: aws.ecs.isolate_service
          with:
            cluster: shop
            service: checkout
            security_group: sg-0123456789abcdef0
    """

    method = "ecs:DescribeServices"

    def look(self, ctx: ActionContext, params: IsolateParams) -> Found[NetworkBefore]:
        service = find_service(ctx, params)
        network = (service.get("networkConfiguration") or {}).get("awsvpcConfiguration") or {}
        deployment = dict(service.get("deploymentConfiguration") or {})
        old = [
            d
            for d in service.get("deployments", [])
            if d.get("status") != "PRIMARY" and d.get("runningCount")
        ]
        rules = rules_of(ctx, [params.security_group])[params.security_group]
        return Found(
            target=service_target(service),
            state=NetworkBefore(
                security_groups=tuple(sorted(network.get("securityGroups") or [])),
                public_ip=network.get("assignPublicIp") or "DISABLED",
                deployment=deployment,
            ),
            facts=(
                f"{service.get('runningCount', 0)} of {service.get('desiredCount', 0)} task(s) run",
                f"{len(service.get('loadBalancers', []))} load balancer target group(s) lead to it",
                f"{params.security_group} has {len(rules)} rule(s)",
            ),
            pending=f"{sum(d['runningCount'] for d in old)} task(s) of before still run" if old else "",
        )

    def wanted(self, params: IsolateParams, state: NetworkBefore) -> NetworkBefore:
        breaker: Any = state.deployment.get("deploymentCircuitBreaker")
        deployment: JsonObject = {**state.deployment, "minimumHealthyPercent": 0}
        if breaker:
            deployment["deploymentCircuitBreaker"] = {**breaker, "rollback": False}
        return NetworkBefore(
            security_groups=(params.security_group,), public_ip="DISABLED", deployment=deployment
        )

    def guard(self, ctx: ActionContext, params: IsolateParams, found: Found[NetworkBefore]) -> None:
        service = find_service(ctx, params)
        if not (service.get("networkConfiguration") or {}).get("awsvpcConfiguration"):
            raise Refused(
                f"service {found.target.name} has no network of its own: its tasks share that of their hosts",
                hint="isolate the container instances instead",
            )
        kind = (service.get("deploymentController") or {}).get("type", "ECS")
        if kind != "ECS":
            raise Refused(
                f"service {found.target.name} is deployed by {kind}, which keeps its network settings",
                hint="stop its tasks, or change the deployment there",
            )

    def say(self, params: IsolateParams, found: Found[NetworkBefore], then: NetworkBefore) -> Said:
        rules = found.facts[-1]
        open_ = () if rules.endswith("has 0 rule(s)") else (f"{rules}: what they allow still gets through.",)
        return Said(
            summary=f"Isolate service {found.target.name}: only {params.security_group}, no public addresses",
            hits="All its tasks are replaced; the service does not serve anybody.",
            warnings=("The running tasks and what is in them are lost: collect evidence first.", *open_),
            undo="The recorded groups and deployment settings are written back, and the tasks replaced again.",
        )

    def write(
        self, ctx: ActionContext, params: IsolateParams, now: NetworkBefore, then: NetworkBefore
    ) -> None:
        network = find_service(ctx, params)["networkConfiguration"]["awsvpcConfiguration"]
        with aws_errors("ecs:UpdateService"):
            client(ctx, "ecs").update_service(
                cluster=params.cluster,
                service=params.service,
                networkConfiguration={
                    "awsvpcConfiguration": {
                        "subnets": network["subnets"],
                        "securityGroups": list(then.security_groups),
                        "assignPublicIp": then.public_ip,
                    }
                },
                deploymentConfiguration=dict(then.deployment),
            )


class CountBefore(StateBefore):
    """How many tasks should run."""

    desired: int = Field(title="desired count")


@action(
    "aws.ecs.scale_to_zero",
    risk=Risk.DISRUPTIVE,
    phase=Phase.CONTAINMENT,
    permissions=(
        "ecs:DescribeServices",
        "ecs:UpdateService",
        "application-autoscaling:DescribeScalableTargets",
    ),
    verify_timeout=600,
)
class ScaleToZero(Setting[ServiceParams, CountBefore]):
    """Let no task of a service run.

    Pre-condition: the service exists, is not a daemon, and is not tagged `soar:protected`. It should have none already:
    nothing is done.

    Verified by reading the service: none should run, and none runs.

    Undone by writing the recorded count; ECS starts new tasks. It refuses if the count was changed since.

    Pitfalls: the tasks and all in their memory and disks are gone, on Fargate for good: collect evidence first. An
    auto-scaling target with a minimum above 0 starts tasks again: the plan warns of it. What was taken over may have
    other services and tasks. Images and the task definition stay as they are: undo starts the same again.

    Example::

        - id: stop
          name: Stop the service
          do: aws.ecs.scale_to_zero
          with:
            cluster: shop
            service: checkout
    """

    method = "ecs:DescribeServices"

    def look(self, ctx: ActionContext, params: ServiceParams) -> Found[CountBefore]:
        service = find_service(ctx, params)
        scaling = scaling_of(ctx, service)
        running = int(service.get("runningCount", 0)) + int(service.get("pendingCount", 0))
        desired = int(service.get("desiredCount", 0))
        facts = [
            f"{running} task(s) run, {service.get('launchType') or 'by capacity provider'}",
            f"{len(service.get('loadBalancers', []))} load balancer target group(s) lead to it",
        ]
        if scaling:
            facts.append(f"auto scaling keeps {scaling['MinCapacity']} to {scaling['MaxCapacity']} task(s)")
        return Found(
            target=service_target(service),
            state=CountBefore(desired=desired),
            facts=tuple(facts),
            pending=f"{running} task(s) still run" if desired == 0 and running else "",
        )

    def wanted(self, params: ServiceParams, state: CountBefore) -> CountBefore:
        return CountBefore(desired=0)

    def guard(self, ctx: ActionContext, params: ServiceParams, found: Found[CountBefore]) -> None:
        if find_service(ctx, params).get("schedulingStrategy") == "DAEMON":
            raise Refused(
                f"service {found.target.name} is a daemon: it runs once on every container instance",
                hint="drain the container instances, or deregister its task definition and stop its tasks",
            )

    def say(self, params: ServiceParams, found: Found[CountBefore], then: CountBefore) -> Said:
        scaling = next((f for f in found.facts if f.startswith("auto scaling keeps ")), "")
        again = bool(scaling) and not scaling.startswith("auto scaling keeps 0 ")
        return Said(
            summary=f"Let no task of service {found.target.name} run",
            hits="The service does not serve anybody.",
            warnings=(
                "The running tasks and what is in them are lost, on Fargate for good: collect evidence first.",
                *((f"{scaling}: it starts tasks again; set its minimum to 0 as well.",) if again else ()),
            ),
            undo=f"{found.state.desired} task(s) are wanted again.",
        )

    def write(self, ctx: ActionContext, params: ServiceParams, now: CountBefore, then: CountBefore) -> None:
        with aws_errors("ecs:UpdateService"):
            client(ctx, "ecs").update_service(
                cluster=params.cluster, service=params.service, desiredCount=then.desired
            )
