"""Everything that is known of an ECS service, as evidence and for the steps that follow."""

from __future__ import annotations

from typing import Any

from pydantic_core import to_jsonable_python

from soar.actions.aws.access import aws_errors, client
from soar.actions.aws.ecs_common import ServiceParams, find_service, scaling_of, service_target
from soar.actions.contract import ActionContext, action
from soar.model.base import Fact, canonical_json
from soar.model.terms import Phase, Risk

__all__ = ["ServiceFacts", "describe_service"]

AT_ONCE = 100
"""Tasks that one call describes."""


class TaskFacts(Fact):
    """A task that runs.

    Args:
        container_instance: Where it runs; empty on Fargate.
        images: The images of its containers, by digest where ECS says it.
        interface_id: Its own network interface; empty: it shares its host's.
    """

    task: str
    status: str
    container_instance: str
    images: tuple[str, ...]
    interface_id: str
    private_ip: str


class ServiceFacts(Fact):
    """A service and what is around it.

    Args:
        variables: The names of its containers' environment variables; the values are nowhere, because they often are
            secrets.
        secrets: Where its containers get secrets from.
        exec_enabled: Whether commands can be run in its containers from outside.
    """

    summary: str
    name: str
    arn: str
    cluster: str
    task_definition: str
    launch_type: str
    desired: int
    running: int
    images: tuple[str, ...]
    variables: tuple[str, ...]
    secrets: tuple[str, ...]
    privileged: tuple[str, ...]
    task_role: str
    execution_role: str
    network_mode: str
    subnets: tuple[str, ...]
    security_groups: tuple[str, ...]
    public_ip: bool
    exec_enabled: bool
    target_groups: tuple[str, ...]
    scaled: bool
    tasks: tuple[TaskFacts, ...]
    tags: dict[str, str]


@action(
    "aws.ecs.describe_service",
    risk=Risk.READ,
    phase=Phase.IDENTIFICATION,
    permissions=(
        "ecs:DescribeServices",
        "ecs:DescribeTaskDefinition",
        "ecs:ListTasks",
        "ecs:DescribeTasks",
        "application-autoscaling:DescribeScalableTargets",
    ),
    plan_timeout=180,
    d3fend="D3-AI",
)
def describe_service(ctx: ActionContext, params: ServiceParams) -> ServiceFacts:
    """Read a service and everything around it, and keep it as evidence.

    The service, its task definition with images, roles and network, all its running tasks with their interfaces and
    image digests, and its auto scaling.

    Evidence: one JSON document with the replies as the service gave them, without the values of environment variables.

    Pitfalls: what is inside the containers is not read. The values of environment variables are left out everywhere,
    because they often are secrets; command lines are kept, and may hold some. A tag of an image may point elsewhere by
    now: the digest says what runs.

    Example::

        - id: service
          name: Look at the service
          do: aws.ecs.describe_service
          with:
            cluster: shop
            service: checkout
    """
    service = find_service(ctx, params)
    with aws_errors("ecs:DescribeTaskDefinition"):
        definition: dict[str, Any] = client(ctx, "ecs").describe_task_definition(
            taskDefinition=service["taskDefinition"]
        )["taskDefinition"]
    tasks = _tasks(ctx, params, service["serviceName"])
    scaling = scaling_of(ctx, service)
    containers = definition.get("containerDefinitions", [])
    variables = sorted({v["name"] for c in containers for v in c.get("environment", [])})
    for container in containers:
        container["environment"] = [{"name": v["name"]} for v in container.get("environment", [])]
    for override in (o for t in tasks for o in (t.get("overrides") or {}).get("containerOverrides", [])):
        override["environment"] = [{"name": v["name"]} for v in override.get("environment", [])]
    document = {"service": service, "task_definition": definition, "tasks": tasks, "scaling": scaling}
    ctx.keep_evidence(
        f"{service['serviceName']}.json",
        canonical_json(to_jsonable_python(document)).encode(),
        media_type="application/json",
        source="ecs:DescribeServices",
    )
    network = (service.get("networkConfiguration") or {}).get("awsvpcConfiguration") or {}
    running = int(service.get("runningCount", 0))
    return ServiceFacts(
        summary=f"{service['serviceName']} runs {running} of {service.get('desiredCount', 0)} task(s) of "
        f"{str(service['taskDefinition']).rpartition('/')[2]}, role "
        f"{str(definition.get('taskRoleArn') or 'none').rpartition('/')[2]}",
        name=service["serviceName"],
        arn=service["serviceArn"],
        cluster=service["clusterArn"],
        task_definition=service["taskDefinition"],
        launch_type=service.get("launchType") or "",
        desired=int(service.get("desiredCount", 0)),
        running=running,
        images=tuple(sorted({str(c.get("image", "")) for c in containers})),
        variables=tuple(variables),
        secrets=tuple(sorted({str(s["valueFrom"]) for c in containers for s in c.get("secrets", [])})),
        privileged=tuple(sorted(str(c["name"]) for c in containers if c.get("privileged"))),
        task_role=definition.get("taskRoleArn") or "",
        execution_role=definition.get("executionRoleArn") or "",
        network_mode=definition.get("networkMode") or "",
        subnets=tuple(sorted(network.get("subnets") or [])),
        security_groups=tuple(sorted(network.get("securityGroups") or [])),
        public_ip=network.get("assignPublicIp") == "ENABLED",
        exec_enabled=bool(service.get("enableExecuteCommand")),
        target_groups=tuple(
            sorted(b["targetGroupArn"] for b in service.get("loadBalancers", []) if b.get("targetGroupArn"))
        ),
        scaled=scaling is not None,
        tasks=tuple(_task(t) for t in tasks),
        tags=service_target(service).tags,
    )


def _tasks(ctx: ActionContext, params: ServiceParams, name: str) -> list[dict[str, Any]]:
    ecs = client(ctx, "ecs")
    with aws_errors("ecs:ListTasks"):
        pages = ecs.get_paginator("list_tasks").paginate(cluster=params.cluster, serviceName=name)
        arns = sorted(arn for page in pages for arn in page["taskArns"])
    found: list[dict[str, Any]] = []
    for first in range(0, len(arns), AT_ONCE):
        with aws_errors("ecs:DescribeTasks"):
            reply = ecs.describe_tasks(cluster=params.cluster, tasks=arns[first : first + AT_ONCE])
        found += reply["tasks"]
    return found


def _task(raw: dict[str, Any]) -> TaskFacts:
    details = {
        d["name"]: d.get("value", "")
        for a in raw.get("attachments", [])
        if a.get("type") == "ElasticNetworkInterface"
        for d in a.get("details", [])
    }
    return TaskFacts(
        task=raw["taskArn"],
        status=raw.get("lastStatus") or "",
        container_instance=raw.get("containerInstanceArn") or "",
        images=tuple(
            sorted(
                f"{c.get('image', '')}@{c['imageDigest']}"
                if c.get("imageDigest")
                else str(c.get("image", ""))
                for c in raw.get("containers", [])
            )
        ),
        interface_id=details.get("networkInterfaceId", ""),
        private_ip=details.get("privateIPv4Address", ""),
    )
