"""Auto-scaling groups: how they are, and taking one instance out of service without losing it."""

from __future__ import annotations

import time
from typing import Any

from pydantic import Field

from soar.actions.aws.access import aws_errors, client
from soar.actions.aws.ec2_instance import InstanceParams, ensure_may_change, find_instance
from soar.actions.contract import Action, ActionContext, Draft, Params, Planned, StateBefore, action
from soar.actions.errors import ActionError, BadInput, Drifted, Refused, TargetGone, Unavailable
from soar.model.base import Fact
from soar.model.change import BlastRadius, Change, Result, Target, Verification
from soar.model.terms import Phase, Risk

__all__ = ["EnterStandby", "group_facts", "group_health", "membership", "taken_out"]

LOOK_EVERY = 5.0
"""Seconds between two looks at a group that is waited for."""

BACK_WITHIN = 300.0
"""Seconds that an instance is given to come back into service."""


def membership(ctx: ActionContext, instance_id: str) -> tuple[str, str]:
    """The auto-scaling group that an instance is a member of, and its lifecycle state in it.

    Returns:
        Two empty strings if it is in none.
    """
    with aws_errors("autoscaling:DescribeAutoScalingInstances"):
        found = client(ctx, "autoscaling").describe_auto_scaling_instances(InstanceIds=[instance_id])
    for entry in found["AutoScalingInstances"]:
        return str(entry["AutoScalingGroupName"]), str(entry["LifecycleState"])
    return "", ""


def read_group(ctx: ActionContext, name: str) -> dict[str, Any]:
    """One auto-scaling group as it is now.

    Raises:
        TargetGone: There is none of this name.
    """
    with aws_errors("autoscaling:DescribeAutoScalingGroups"):
        found = client(ctx, "autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[name])
    for group in found["AutoScalingGroups"]:
        return dict(group)
    raise TargetGone(
        f"there is no auto-scaling group {name}", hint="check its name, the account and the region"
    )


def group_facts(group: dict[str, Any]) -> str:
    """A group's sizes in one line, for a plan's blast radius."""
    serving = _count(group, "InService")
    return (
        f"auto-scaling group {group['AutoScalingGroupName']}: {serving} in service, desired "
        f"{group['DesiredCapacity']}, at least {group['MinSize']}, at most {group['MaxSize']}"
    )


def taken_out(group: dict[str, Any], instance_id: str) -> tuple[str, float | None]:
    """Which part of a group's service is gone with one instance, for a plan's blast radius.

    Returns:
        The group's name and the part of its healthy members in service, 0 to 1. An empty name and None for an
        instance that is not in service there: the group loses nothing with it.
    """
    mine = next((i for i in group["Instances"] if i["InstanceId"] == instance_id), None)
    if mine is None or mine["LifecycleState"] != "InService":
        return "", None
    healthy = mine["HealthStatus"].lower() == "healthy"
    return str(group["AutoScalingGroupName"]), 1 / _count(group, "InService") if healthy else 0.0


def _count(group: dict[str, Any], state: str) -> int:
    return sum(
        i["LifecycleState"] == state and i["HealthStatus"].lower() == "healthy" for i in group["Instances"]
    )


class GroupHealthParams(Params):
    """Which group, by its name or by a member.

    Args:
        must_be_healthy: End in an error unless the group has all the healthy instances that it wants.
        wait_seconds: How long to wait for that.
    """

    group: str = Field(default="", max_length=255, description="the group's name")
    instance_id: str = Field(
        default="", pattern=r"^(?:|i-(?:[0-9a-f]{8}|[0-9a-f]{17}))$", description="or a member of it"
    )
    must_be_healthy: bool = False
    wait_seconds: int = Field(default=0, ge=0, le=1800, description="seconds")


class GroupMember(Fact):
    """An instance as its group sees it."""

    instance_id: str
    lifecycle: str
    healthy: bool


class GroupHealth(Fact):
    """How an auto-scaling group is. `found` is false for an instance that is in none."""

    summary: str
    found: bool
    group: str = ""
    healthy: bool = False
    in_service: int = 0
    desired: int = 0
    minimum: int = 0
    maximum: int = 0
    standby: int = 0
    members: tuple[GroupMember, ...] = ()
    suspended_processes: tuple[str, ...] = ()


@action(
    "aws.autoscaling.group_health",
    risk=Risk.READ,
    phase=Phase.IDENTIFICATION,
    permissions=("autoscaling:DescribeAutoScalingInstances", "autoscaling:DescribeAutoScalingGroups"),
    plan_timeout=1900,
)
def group_health(ctx: ActionContext, params: GroupHealthParams) -> GroupHealth:
    """Say how an auto-scaling group is: its members, and whether it has all that it wants.

    Name the group, or an instance of it. In recovery, `must_be_healthy: true` with `wait_seconds` waits until the
    group has as many healthy instances in service as it desires, and fails the step if that does not come.

    Pitfalls: an instance in standby is not counted. A group may be healthy with instances that were started from a
    compromised image or launch template: look at these as well.

    Example::

        - id: group_after
          name: The service has all its instances
          do: aws.autoscaling.group_health
          with:
            group: web
            must_be_healthy: true
            wait_seconds: 900
    """
    if bool(params.group) == bool(params.instance_id):
        raise BadInput("give either `group` or `instance_id`", hint="correct `with` in the playbook")
    name = params.group or membership(ctx, params.instance_id)[0]
    if not name:
        return GroupHealth(summary=f"{params.instance_id} is in no auto-scaling group", found=False)
    deadline = time.monotonic() + params.wait_seconds
    while True:
        health = _health(read_group(ctx, name))
        if health.healthy or not params.must_be_healthy:
            return health
        ctx.report(health.summary)
        if time.monotonic() >= deadline or not ctx.wait(LOOK_EVERY):
            raise ActionError(
                f"the group is not healthy after {params.wait_seconds} s: {health.summary}",
                hint="look at the group's scaling activities, then retry the step",
            )


def _health(group: dict[str, Any]) -> GroupHealth:
    serving, desired = _count(group, "InService"), int(group["DesiredCapacity"])
    standby = sum(i["LifecycleState"] == "Standby" for i in group["Instances"])
    return GroupHealth(
        summary=(
            f"Group {group['AutoScalingGroupName']} has {serving} of {desired} healthy instances in service"
            + (f", {standby} in standby" if standby else "")
        ),
        found=True,
        group=group["AutoScalingGroupName"],
        healthy=serving >= desired,
        in_service=serving,
        desired=desired,
        minimum=int(group["MinSize"]),
        maximum=int(group["MaxSize"]),
        standby=standby,
        members=tuple(
            GroupMember(
                instance_id=i["InstanceId"],
                lifecycle=i["LifecycleState"],
                healthy=i["HealthStatus"].lower() == "healthy",
            )
            for i in sorted(group["Instances"], key=lambda i: str(i["InstanceId"]))
        ),
        suspended_processes=tuple(sorted(p["ProcessName"] for p in group.get("SuspendedProcesses", []))),
    )


class StandbyParams(InstanceParams):
    """Which instance, and whether the group fills its place.

    Args:
        replace: Keep the group's desired size, so that it starts another instance from its launch template at once.
            Otherwise the desired size goes down by one until the instance comes back.
    """

    replace: bool = False


class Standby(StateBefore):
    """The group that the instance serves in; empty if it is in none."""

    group: str


@action(
    "aws.autoscaling.enter_standby",
    risk=Risk.REVERSIBLE,
    phase=Phase.CONTAINMENT,
    permissions=(
        "ec2:DescribeInstances",
        "autoscaling:DescribeAutoScalingInstances",
        "autoscaling:DescribeAutoScalingGroups",
        "autoscaling:EnterStandby",
        "autoscaling:ExitStandby",
        "sts:GetCallerIdentity",
    ),
    plan_timeout=400,
    verify_timeout=600,
)
class EnterStandby(Action[StandbyParams, Standby]):
    """Take an instance out of its auto-scaling group's service, and keep it.

    A group terminates members that fail their health checks, and an isolated or stopped instance does: so this comes
    right after `aws.ec2.protect_evidence` and before anything that makes the instance unhealthy. In standby the
    instance runs on, is not checked, and the group takes it out of its load balancers.

    Pre-condition: the instance is in service in a group. In none, or in standby already: nothing is done. Without
    `replace` the group must stay at or above its minimum size.

    Verified by reading the group: the instance's lifecycle state is `Standby`.

    Undone by bringing it back into service; the group then registers it with its load balancers again. With
    `replace` the group's desired size is then one more than before, until its scaling policy or a person lowers it.

    Pitfalls: with `replace`, the new instance starts from the same image and launch template; if these are compromised,
    so is the new one. The desired size is not recorded: scaling policies move it all the time.

    Example::

        - id: standby
          name: Take the instance out of its group
          do: aws.autoscaling.enter_standby
          with:
            instance_id: '{{ (alert | resource("aws.ec2.instance")).name }}'
            replace: false
    """

    def plan(self, ctx: ActionContext, params: StandbyParams) -> Draft[Standby]:
        instance = find_instance(ctx, params.instance_id)
        ensure_may_change(ctx, instance)
        name, lifecycle = membership(ctx, instance.id)
        if not name:
            return Draft(
                summary=f"{instance.id} is in no auto-scaling group",
                targets=(instance.target,),
                changes=(),
                state=Standby(group=""),
            )
        group = read_group(ctx, name)
        targets = (instance.target, _target(group, instance.account, instance.region))
        if lifecycle == "Standby":
            return Draft(
                summary=f"{instance.id} is in standby in group {name} already",
                targets=targets,
                changes=(),
                state=Standby(group=name),
            )
        if lifecycle.startswith("Pending"):
            raise Unavailable(f"{instance.id} is still on its way into service in group {name}")
        # On its way into standby it is what a try before this one left: the plan stays the same.
        if lifecycle not in ("InService", "EnteringStandby"):
            raise Refused(
                f"{instance.id} is `{lifecycle}` in group {name}: only an instance in service can enter standby",
                hint="if the group is terminating it, detach its volumes or take the snapshots at once",
            )
        if lifecycle == "InService" and not params.replace and group["DesiredCapacity"] <= group["MinSize"]:
            raise Refused(
                f"group {name} is at its minimum of {group['MinSize']}: it may not lose {instance.id} without a "
                "replacement; nothing was changed",
                hint="set `replace: true`, or lower the group's minimum size, then retry the step",
            )
        loses, share = taken_out(group, instance.id)
        return Draft(
            summary=f"Take {instance.id} out of service in auto-scaling group {name}",
            targets=targets,
            changes=(
                Change(
                    target=targets[0].uid, field=f"lifecycle in {name}", before="InService", after="Standby"
                ),
            ),
            state=Standby(group=name),
            blast_radius=BlastRadius(
                summary=(
                    "The group starts a replacement at once."
                    if params.replace
                    else f"The group serves with one instance less: {max(_count(group, 'InService') - 1, 0)}."
                ),
                facts=(group_facts(group),),
                group=loses,
                group_share=share,
            ),
            warnings=(
                ("The replacement starts from the same image and launch template.",) if params.replace else ()
            ),
            undo="The instance goes back into service in its group, which registers it with its load balancers.",
        )

    def apply(self, ctx: ActionContext, planned: Planned[StandbyParams, Standby]) -> Result:
        instance_id, group = planned.params.instance_id, planned.state.group
        now, lifecycle = membership(ctx, instance_id)
        if now != group:
            raise Drifted(
                f"{instance_id} is not in group {group} any more",
                differences=(f"its group is {now or 'none'}",),
                hint="plan again",
            )
        if lifecycle == "InService":
            with aws_errors("autoscaling:EnterStandby"):
                client(ctx, "autoscaling").enter_standby(
                    InstanceIds=[instance_id],
                    AutoScalingGroupName=group,
                    ShouldDecrementDesiredCapacity=not planned.params.replace,
                )
        return Result(summary=f"{instance_id} leaves service in group {group}", data={"group": group})

    def verify(self, ctx: ActionContext, planned: Planned[StandbyParams, Standby]) -> Verification:
        state = _lifecycle(read_group(ctx, planned.state.group), planned.params.instance_id)
        return Verification(
            verified=state == "Standby",
            seen=f"{planned.params.instance_id} is {state or 'not listed'} in group {planned.state.group}",
            method="autoscaling:DescribeAutoScalingGroups",
        )

    def undo(self, ctx: ActionContext, planned: Planned[StandbyParams, Standby]) -> Result:
        instance_id, group = planned.params.instance_id, planned.state.group
        deadline = time.monotonic() + BACK_WITHIN
        while (state := _lifecycle(read_group(ctx, group), instance_id)) != "InService":
            if state == "Standby":
                with aws_errors("autoscaling:ExitStandby"):
                    client(ctx, "autoscaling").exit_standby(
                        InstanceIds=[instance_id], AutoScalingGroupName=group
                    )
            elif state != "EnteringStandby" and not state.startswith("Pending"):
                raise Drifted(
                    f"{instance_id} cannot go back into service in group {group}",
                    differences=(f"it is {state or 'not a member of the group any more'}",),
                    hint="attach it to its group by hand, if it is to come back",
                )
            ctx.report(f"{instance_id} is {state} in group {group}")
            if time.monotonic() > deadline or not ctx.wait(LOOK_EVERY if state != "Standby" else 0.2):
                raise Unavailable(f"{instance_id} is still {state} in group {group}, on its way back")
        return Result(summary=f"{instance_id} is back in service in group {group}")


def _target(group: dict[str, Any], account: str, region: str) -> Target:
    return Target(
        uid=group["AutoScalingGroupARN"],
        type="aws.autoscaling.group",
        name=group["AutoScalingGroupName"],
        account=account,
        region=region,
        tags={t["Key"]: t["Value"] for t in group.get("Tags", [])},
    )


def _lifecycle(group: dict[str, Any], instance_id: str) -> str:
    return next((str(i["LifecycleState"]) for i in group["Instances"] if i["InstanceId"] == instance_id), "")
