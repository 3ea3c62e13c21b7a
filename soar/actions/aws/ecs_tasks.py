"""Stop single tasks, empty a container instance, and retire a task definition."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from soar.actions.aws.access import aws_errors, client
from soar.actions.aws.ecs_common import ClusterParams, resource_target
from soar.actions.aws.setting import Found, OneWaySetting, Said, Setting
from soar.actions.contract import ActionContext, Params, StateBefore, action
from soar.actions.errors import TargetGone
from soar.model.terms import Phase, Risk

__all__ = ["DeregisterTaskDefinition", "DrainContainerInstance", "StopTask"]

ACTIVE, DRAINING, INACTIVE, STOPPED = "ACTIVE", "DRAINING", "INACTIVE", "STOPPED"


class TaskParams(ClusterParams):
    """Which task."""

    task: str = Field(
        pattern=r"^(arn:aws[a-zA-Z-]*:ecs:[a-z0-9-]+:[0-9]{12}:task/[a-zA-Z0-9_/-]+|[0-9a-f-]{32,36})$",
        description="the task's id or ARN",
    )


class TaskBefore(StateBefore):
    """Whether it should run."""

    wanted: str = Field(title="desired status")


@action(
    "aws.ecs.stop_task",
    risk=Risk.DESTRUCTIVE,
    phase=Phase.CONTAINMENT,
    permissions=("ecs:DescribeTasks", "ecs:StopTask"),
    verify_timeout=300,
    d3fend="D3-PT",
)
class StopTask(OneWaySetting[TaskParams, TaskBefore]):
    """Stop one task.

    Pre-condition: the task exists and is not tagged `soar:protected`. It is stopped or stopping already: nothing is
    done.

    Verified by reading the task: it is stopped.

    Pitfalls: a stopped task cannot be started again, and its memory and disk are gone, on Fargate for good: collect
    evidence first. A task of a service is replaced by a new one of the same image at once: contain the service instead.
    Containers get 30 seconds to end by themselves, or as long as the task definition says.

    Shown on replies of our own making: the simulated account starts no tasks.

    Example::

        - id: stop
          name: Stop the task
          do: aws.ecs.stop_task
          with:
            cluster: shop
            task: 0123456789abcdef0123456789abcdef
    """

    method = "ecs:DescribeTasks"

    def look(self, ctx: ActionContext, params: TaskParams) -> Found[TaskBefore]:
        with aws_errors("ecs:DescribeTasks"):
            reply = client(ctx, "ecs").describe_tasks(
                cluster=params.cluster, tasks=[params.task], include=["TAGS"]
            )
        if not reply["tasks"]:
            raise TargetGone(
                f"there is no task {params.task} in cluster {params.cluster}",
                hint="check the task, the cluster and the region; ECS forgets a stopped task after about an hour",
            )
        task = reply["tasks"][0]
        stopped = task.get("lastStatus") == STOPPED
        group = str(task.get("group") or "")
        return Found(
            target=resource_target(
                task["taskArn"], "task", task["taskArn"].rpartition("/")[2], task.get("tags")
            ),
            state=TaskBefore(wanted=STOPPED if stopped else task.get("desiredStatus", "RUNNING")),
            facts=(
                f"it belongs to {group}" if group else "it belongs to no service",
                f"{task.get('launchType') or 'no launch type'}, {task.get('taskDefinitionArn', '')}",
            ),
            pending="" if stopped else f"it is {str(task.get('lastStatus', 'running')).lower()}",
        )

    def wanted(self, params: TaskParams, state: TaskBefore) -> TaskBefore:
        return TaskBefore(wanted=STOPPED)

    def say(self, params: TaskParams, found: Found[TaskBefore], then: TaskBefore) -> Said:
        service = found.facts[0].startswith("it belongs to service:")
        return Said(
            summary=f"Stop task {found.target.name}",
            hits="What the task does ends, and its memory and disk are lost.",
            warnings=("The service starts another one at once: contain the service instead.",)
            if service
            else (),
        )

    def write(self, ctx: ActionContext, params: TaskParams, now: TaskBefore, then: TaskBefore) -> None:
        with aws_errors("ecs:StopTask"):
            client(ctx, "ecs").stop_task(
                cluster=params.cluster, task=params.task, reason=f"incident {ctx.incident_id}"[:1024]
            )


class ContainerInstanceParams(ClusterParams):
    """Which container instance."""

    container_instance: str = Field(
        pattern=r"^(arn:aws[a-zA-Z-]*:ecs:[a-z0-9-]+:[0-9]{12}:container-instance/[a-zA-Z0-9_/-]+|[0-9a-f-]{32,36})$",
        description="the container instance's id or ARN (not the EC2 instance's)",
    )


class ContainerInstanceBefore(StateBefore):
    """Whether it takes tasks."""

    status: str = Field(title="status")


@action(
    "aws.ecs.drain_container_instance",
    risk=Risk.DISRUPTIVE,
    phase=Phase.CONTAINMENT,
    permissions=("ecs:DescribeContainerInstances", "ecs:UpdateContainerInstancesState"),
)
class DrainContainerInstance(Setting[ContainerInstanceParams, ContainerInstanceBefore]):
    """Let a container instance take no new tasks, and services move theirs elsewhere.

    Pre-condition: the container instance exists and is not tagged `soar:protected`. It drains already: nothing is done.

    Verified by reading it: it drains.

    Undone by letting it take tasks again. It refuses if its status was changed since.

    Pitfalls: service tasks on it are stopped, with what is in them: collect evidence of the instance first. Tasks that
    belong to no service stay and run on. The instance itself, and whoever is on it, is not touched: isolate it as an
    EC2 instance. Without room elsewhere, services have fewer tasks.

    Example::

        - id: drain
          name: Empty the container instance
          do: aws.ecs.drain_container_instance
          with:
            cluster: shop
            container_instance: 0123456789abcdef0123456789abcdef
    """

    method = "ecs:DescribeContainerInstances"

    def look(self, ctx: ActionContext, params: ContainerInstanceParams) -> Found[ContainerInstanceBefore]:
        with aws_errors("ecs:DescribeContainerInstances"):
            reply = client(ctx, "ecs").describe_container_instances(
                cluster=params.cluster, containerInstances=[params.container_instance], include=["TAGS"]
            )
        found = next(iter(reply["containerInstances"]), None)
        if found is None or found.get("status") == INACTIVE:
            raise TargetGone(
                f"there is no container instance {params.container_instance} in cluster {params.cluster}",
                hint="check the id, the cluster and the region",
            )
        arn = str(found["containerInstanceArn"])
        return Found(
            target=resource_target(arn, "container_instance", arn.rpartition("/")[2], found.get("tags")),
            state=ContainerInstanceBefore(status=found["status"]),
            facts=(
                f"it is EC2 instance {found.get('ec2InstanceId', 'unknown')}",
                f"{found.get('runningTasksCount', 0)} task(s) run on it",
            ),
        )

    def wanted(
        self, params: ContainerInstanceParams, state: ContainerInstanceBefore
    ) -> ContainerInstanceBefore:
        return ContainerInstanceBefore(status=DRAINING)

    def say(
        self,
        params: ContainerInstanceParams,
        found: Found[ContainerInstanceBefore],
        then: ContainerInstanceBefore,
    ) -> Said:
        return Said(
            summary=f"Empty container instance {found.target.name}",
            hits="Services stop their tasks on it and start others elsewhere.",
            warnings=("What is in the service tasks on it is lost: collect evidence first.",),
            undo="It takes tasks again.",
        )

    def write(
        self,
        ctx: ActionContext,
        params: ContainerInstanceParams,
        now: ContainerInstanceBefore,
        then: ContainerInstanceBefore,
    ) -> None:
        with aws_errors("ecs:UpdateContainerInstancesState"):
            client(ctx, "ecs").update_container_instances_state(
                cluster=params.cluster, containerInstances=[params.container_instance], status=then.status
            )


class DefinitionParams(Params):
    """Which revision of which task definition."""

    task_definition: str = Field(
        pattern=r"^(arn:aws[a-zA-Z-]*:ecs:[a-z0-9-]+:[0-9]{12}:task-definition/)?[a-zA-Z0-9_-]{1,255}:[0-9]{1,9}$",
        description="`family:revision`, or the ARN",
    )


class DefinitionBefore(StateBefore):
    """Whether new tasks may be made of it."""

    status: str = Field(title="status")


@action(
    "aws.ecs.deregister_task_definition",
    risk=Risk.DESTRUCTIVE,
    phase=Phase.ERADICATION,
    permissions=("ecs:DescribeTaskDefinition", "ecs:DeregisterTaskDefinition"),
)
class DeregisterTaskDefinition(OneWaySetting[DefinitionParams, DefinitionBefore]):
    """Let no new task or service be made of one revision of a task definition.

    For a revision that an attacker registered.

    Pre-condition: the revision exists and is not tagged `soar:protected`. It is inactive already: nothing is done.

    Verified by reading the revision: it is inactive.

    Pitfalls: it cannot be made active again: the same text can be registered as a new revision. Tasks and services that
    use it go on, and a service replaces its tasks by it nevertheless: contain them first. Whoever may register can
    register it again. The text stays readable.

    Example::

        - id: retire
          name: Retire the attacker's revision
          do: aws.ecs.deregister_task_definition
          with:
            task_definition: checkout:42
    """

    method = "ecs:DescribeTaskDefinition"

    def look(self, ctx: ActionContext, params: DefinitionParams) -> Found[DefinitionBefore]:
        with aws_errors("ecs:DescribeTaskDefinition"):
            reply = client(ctx, "ecs").describe_task_definition(
                taskDefinition=params.task_definition, include=["TAGS"]
            )
        found: dict[str, Any] = reply["taskDefinition"]
        arn = str(found["taskDefinitionArn"])
        images = sorted({str(c.get("image", "")) for c in found.get("containerDefinitions", [])})
        return Found(
            target=resource_target(arn, "task_definition", arn.rpartition("/")[2], reply.get("tags")),
            state=DefinitionBefore(
                # On its way to deletion it is as good as inactive.
                status=ACTIVE if found.get("status", ACTIVE) == ACTIVE else INACTIVE
            ),
            facts=tuple(f"image {image}" for image in images[:12]),
        )

    def wanted(self, params: DefinitionParams, state: DefinitionBefore) -> DefinitionBefore:
        return DefinitionBefore(status=INACTIVE)

    def say(self, params: DefinitionParams, found: Found[DefinitionBefore], then: DefinitionBefore) -> Said:
        return Said(
            summary=f"Retire task definition {found.target.name}",
            hits="No new task or service can be made of it; what runs goes on.",
            warnings=("It cannot be made active again, only registered anew.",),
        )

    def write(
        self, ctx: ActionContext, params: DefinitionParams, now: DefinitionBefore, then: DefinitionBefore
    ) -> None:
        with aws_errors("ecs:DeregisterTaskDefinition"):
            client(ctx, "ecs").deregister_task_definition(taskDefinition=params.task_definition)
