"""What every action on ECS needs: find services, tasks and container instances."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from soar.actions.aws.access import aws_errors, client
from soar.actions.contract import ActionContext, Params
from soar.actions.errors import TargetGone
from soar.model.change import Target

__all__ = [
    "ClusterParams",
    "ServiceParams",
    "find_service",
    "resource_target",
    "scaling_of",
    "service_target",
]


class ClusterParams(Params):
    """In which cluster."""

    cluster: str = Field(
        default="default",
        pattern=r"^(arn:aws[a-zA-Z-]*:ecs:[a-z0-9-]+:[0-9]{12}:cluster/)?[a-zA-Z0-9_-]{1,255}$",
        description="the cluster's name or ARN",
    )


class ServiceParams(ClusterParams):
    """Which service."""

    service: str = Field(
        pattern=r"^(arn:aws[a-zA-Z-]*:ecs:[a-z0-9-]+:[0-9]{12}:service/[a-zA-Z0-9_/-]+|[a-zA-Z0-9_-]{1,255})$",
        description="the service's name or ARN",
    )


def find_service(ctx: ActionContext, params: ServiceParams) -> dict[str, Any]:
    """Read a service with its tags.

    Raises:
        TargetGone: There is none of this name in the cluster, or it was deleted.
    """
    with aws_errors("ecs:DescribeServices"):
        reply = client(ctx, "ecs").describe_services(
            cluster=params.cluster, services=[params.service], include=["TAGS"]
        )
    found = next(iter(reply["services"]), None)
    if found is None or found.get("status") == "INACTIVE":
        raise TargetGone(
            f"there is no service {params.service} in cluster {params.cluster}",
            hint="check the service, the cluster and the region; a deleted service cannot be acted on",
        )
    return dict(found)


def resource_target(arn: str, kind: str, name: str, tags: list[dict[str, str]] | None) -> Target:
    """Something of ECS, as a plan names what it touches."""
    parts = arn.split(":")
    return Target(
        uid=arn,
        type=f"aws.ecs.{kind}",
        name=name,
        account=parts[4],
        region=parts[3],
        tags={t["key"]: t.get("value", "") for t in tags or []},
    )


def service_target(service: dict[str, Any]) -> Target:
    """A service, as a plan names what it touches."""
    return resource_target(service["serviceArn"], "service", service["serviceName"], service.get("tags"))


def scaling_of(ctx: ActionContext, service: dict[str, Any]) -> dict[str, Any] | None:
    """What starts and stops tasks of a service by itself; None: nothing does."""
    cluster = str(service["clusterArn"]).rpartition("/")[2]
    with aws_errors("application-autoscaling:DescribeScalableTargets"):
        found = client(ctx, "application-autoscaling").describe_scalable_targets(
            ServiceNamespace="ecs",
            ResourceIds=[f"service/{cluster}/{service['serviceName']}"],
            ScalableDimension="ecs:service:DesiredCount",
        )["ScalableTargets"]
    return dict(found[0]) if found else None
