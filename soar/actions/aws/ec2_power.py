"""Stop an instance, or terminate it once its evidence is kept."""

from __future__ import annotations

from soar.actions.aws.access import aws_errors, client
from soar.actions.aws.autoscaling import group_facts, membership, read_group, taken_out
from soar.actions.aws.ec2_instance import (
    Instance,
    InstanceParams,
    describe_attribute,
    ensure_may_change,
    find_instance,
    volumes_of,
)
from soar.actions.aws.ec2_snapshots import completed_for_incident
from soar.actions.aws.elb import registrations
from soar.actions.contract import Action, ActionContext, Draft, Planned, StateBefore, action
from soar.actions.errors import Refused, TargetGone, Unavailable
from soar.model.change import BlastRadius, Change, Result, Verification
from soar.model.terms import Phase, Risk

__all__ = ["StopInstance", "TerminateInstance"]


class PowerBefore(StateBefore):
    """Whether the instance ran."""

    running: bool


def _blast_radius(ctx: ActionContext, instance: Instance, summary: str, *facts: str) -> BlastRadius:
    """What the services that the instance is a part of lose; `facts` come first."""
    told = [
        f"target group {u.registration.group_name}: {u.healthy_others} healthy target(s) without it"
        for u in registrations(ctx, instance)
    ]
    loses, share = "", None
    name, lifecycle = membership(ctx, instance.id)
    if name:
        group = read_group(ctx, name)
        loses, share = taken_out(group, instance.id)
        told.append(f"{group_facts(group)}; this instance: {lifecycle}")
    return BlastRadius(summary=summary, facts=(*facts, *told), group=loses, group_share=share)


def _refuse_while_serving(ctx: ActionContext, instance: Instance, doing: str) -> None:
    name, lifecycle = membership(ctx, instance.id)
    if name and lifecycle == "InService":
        raise Refused(
            f"{instance.id} is in service in auto-scaling group {name}, which would replace it as soon as it is "
            f"{doing}; nothing was changed",
            hint="take it out first with aws.autoscaling.enter_standby, then retry the step",
        )


@action(
    "aws.ec2.stop_instance",
    risk=Risk.DISRUPTIVE,
    phase=Phase.CONTAINMENT,
    permissions=(
        "ec2:DescribeInstances",
        "ec2:DescribeInstanceAttribute",
        "ec2:StopInstances",
        "ec2:StartInstances",
        "autoscaling:DescribeAutoScalingInstances",
        "autoscaling:DescribeAutoScalingGroups",
        "elasticloadbalancing:DescribeTargetGroups",
        "elasticloadbalancing:DescribeTargetHealth",
        "sts:GetCallerIdentity",
    ),
    plan_timeout=660,
    verify_timeout=900,
)
class StopInstance(Action[InstanceParams, PowerBefore]):
    """Stop an instance and keep its EBS volumes.

    Pre-condition: the instance runs from an EBS volume, is not in service in an auto-scaling group (which would
    terminate it as unhealthy), is not protected from being stopped, and is not tagged `soar:protected`. Stopped
    already: nothing is done.

    Verified by reading the instance's state: `stopped`.

    Undone by starting it again, if it ran before.

    Pitfalls: what is in memory and on instance-store volumes is lost for good: collect memory and take snapshots first.
    A public address that is not an Elastic IP is not the same after a start, and user data may run again.

    Example::

        - id: stop
          name: Stop the instance
          do: aws.ec2.stop_instance
          with:
            instance_id: '{{ (alert | resource("aws.ec2.instance")).name }}'
    """

    def plan(self, ctx: ActionContext, params: InstanceParams) -> Draft[PowerBefore]:
        instance = find_instance(ctx, params.instance_id)
        ensure_may_change(ctx, instance)
        if instance.state == "stopped":
            return Draft(
                summary=f"{instance.id} is stopped already",
                targets=(instance.target,),
                changes=(),
                state=PowerBefore(running=False),
            )
        if instance.state == "shutting-down":
            raise TargetGone(f"{instance.id} is being terminated", hint="look for its volumes and snapshots")
        if instance.raw.get("RootDeviceType") == "instance-store":
            raise Refused(
                f"{instance.id} has its root on an instance store and cannot be stopped, only terminated",
                hint="isolate it with aws.ec2.isolate_instance instead",
            )
        if describe_attribute(ctx, instance.id, "disableApiStop"):
            raise Refused(
                f"{instance.id} is protected from being stopped; nothing was changed",
                hint="turn API stop protection off by hand if it is right to, then retry the step",
            )
        _refuse_while_serving(ctx, instance, "stopped")
        return Draft(
            summary=f"Stop {instance.id}",
            targets=(instance.target,),
            changes=(Change(target=instance.target.uid, field="state", before="running", after="stopped"),),
            state=PowerBefore(running=True),
            blast_radius=_blast_radius(ctx, instance, "Whatever runs on it stops."),
            warnings=("Memory and instance-store volumes are lost.",),
            undo="The instance is started again.",
        )

    def apply(self, ctx: ActionContext, planned: Planned[InstanceParams, PowerBefore]) -> Result:
        # Stopping what stops or is stopped is no error, so that a retry may do it again.
        with aws_errors("ec2:StopInstances"):
            client(ctx, "ec2").stop_instances(InstanceIds=[planned.params.instance_id])
        return Result(summary=f"{planned.params.instance_id} stops")

    def verify(self, ctx: ActionContext, planned: Planned[InstanceParams, PowerBefore]) -> Verification:
        state = find_instance(ctx, planned.params.instance_id).state
        return Verification(
            verified=state == "stopped",
            seen=f"{planned.params.instance_id} is {state}",
            method="ec2:DescribeInstances",
        )

    def undo(self, ctx: ActionContext, planned: Planned[InstanceParams, PowerBefore]) -> Result:
        instance_id = planned.params.instance_id
        if not planned.state.running:
            return Result(summary=f"{instance_id} was stopped before; nothing to do")
        if find_instance(ctx, instance_id).state == "stopping":
            raise Unavailable(f"{instance_id} is still stopping; it can be started only after that")
        with aws_errors("ec2:StartInstances"):
            client(ctx, "ec2").start_instances(InstanceIds=[instance_id])
        return Result(summary=f"{instance_id} starts")


class TerminationBefore(StateBefore):
    """What is known of the instance before it is gone; for the record, because nothing brings it back."""

    volumes_deleted: tuple[str, ...]
    volumes_kept: tuple[str, ...]
    image_id: str
    instance_type: str


@action(
    "aws.ec2.terminate_instance",
    risk=Risk.DESTRUCTIVE,
    phase=Phase.ERADICATION,
    permissions=(
        "ec2:DescribeInstances",
        "ec2:DescribeInstanceAttribute",
        "ec2:DescribeSnapshots",
        "ec2:ModifyInstanceAttribute",
        "ec2:TerminateInstances",
        "autoscaling:DescribeAutoScalingInstances",
        "autoscaling:DescribeAutoScalingGroups",
        "elasticloadbalancing:DescribeTargetGroups",
        "elasticloadbalancing:DescribeTargetHealth",
        "sts:GetCallerIdentity",
    ),
    verify_timeout=900,
)
class TerminateInstance(Action[InstanceParams, TerminationBefore]):
    """Terminate an instance for good, once its disks are kept.

    Lifts its termination protection first, as a part of the plan that people see.

    Pre-condition: every volume that would be deleted with it has a completed snapshot that this incident made
    (`aws.ec2.snapshot_volumes`); otherwise it refuses. Not tagged `soar:protected`. Gone already: nothing is done.

    Verified by reading the instance's state: `terminated`, or not shown any more.

    Not undone: a terminated instance does not come back. A new one can be started from the snapshots.

    Pitfalls: memory and instance-store volumes are lost. Volumes that are kept, the snapshots and the isolating
    security groups stay and are billed until somebody removes them. An auto-scaling group that still counts the
    instance starts a new one from the same image.

    Example::

        - id: terminate
          name: Remove the compromised instance
          do: aws.ec2.terminate_instance
          with:
            instance_id: '{{ (alert | resource("aws.ec2.instance")).name }}'
          approval:
            role: responder
            approvers: 2
    """

    def plan(self, ctx: ActionContext, params: InstanceParams) -> Draft[TerminationBefore]:
        instance = find_instance(ctx, params.instance_id, terminated_too=True)
        ensure_may_change(ctx, instance)
        state = _before(instance)
        if instance.state == "terminated":
            return Draft(
                summary=f"{instance.id} is terminated already",
                targets=(instance.target,),
                changes=(),
                state=state,
            )
        snapshots = _require_snapshots(ctx, instance)
        uid = instance.target.uid
        changes = [Change(target=uid, field="instance", before="present", after="terminated")]
        if describe_attribute(ctx, instance.id, "disableApiTermination"):
            changes.insert(0, Change(target=uid, field="termination protection", before=True, after=False))
        changes += [
            Change(target=instance.arn("volume", v), field="volume", before="present", after="deleted")
            for v in state.volumes_deleted
        ]
        kept = [f"volume {v} stays, detached" for v in state.volumes_kept]
        kept += [f"snapshot {s} of volume {v} stays" for v, s in sorted(snapshots.items())]
        return Draft(
            summary=f"Terminate {instance.id} for good",
            targets=(instance.target, *(instance.beside("volume", v) for v in state.volumes_deleted)),
            changes=tuple(changes),
            state=state,
            blast_radius=_blast_radius(
                ctx, instance, "The instance is gone for good; what stays in place is listed.", *kept
            ),
            warnings=("This cannot be undone.", "Memory and instance-store volumes are lost."),
        )

    def apply(self, ctx: ActionContext, planned: Planned[InstanceParams, TerminationBefore]) -> Result:
        ec2 = client(ctx, "ec2")
        instance = find_instance(ctx, planned.params.instance_id, terminated_too=True)
        if instance.state == "terminated":
            return Result(summary=f"{instance.id} is terminated already")
        snapshots = _require_snapshots(ctx, instance)
        with aws_errors("ec2:ModifyInstanceAttribute"):
            if instance.state != "shutting-down" and describe_attribute(
                ctx, instance.id, "disableApiTermination"
            ):
                ec2.modify_instance_attribute(InstanceId=instance.id, DisableApiTermination={"Value": False})
        with aws_errors("ec2:TerminateInstances"):
            ec2.terminate_instances(InstanceIds=[instance.id])
        return Result(
            summary=f"{instance.id} is being terminated",
            data={"snapshots": dict(snapshots), "volumes_kept": list(planned.state.volumes_kept)},
        )

    def verify(self, ctx: ActionContext, planned: Planned[InstanceParams, TerminationBefore]) -> Verification:
        try:
            state = find_instance(ctx, planned.params.instance_id, terminated_too=True).state
        except TargetGone:
            state = "gone"
        return Verification(
            verified=state in ("terminated", "gone"),
            seen=f"{planned.params.instance_id} is {state}",
            method="ec2:DescribeInstances",
        )


def _before(instance: Instance) -> TerminationBefore:
    deleted = {m["Ebs"]["VolumeId"]: bool(m["Ebs"].get("DeleteOnTermination")) for m in volumes_of(instance)}
    return TerminationBefore(
        volumes_deleted=tuple(sorted(v for v, gone in deleted.items() if gone)),
        volumes_kept=tuple(sorted(v for v, gone in deleted.items() if not gone)),
        image_id=str(instance.raw.get("ImageId", "")),
        instance_type=str(instance.raw.get("InstanceType", "")),
    )


def _require_snapshots(ctx: ActionContext, instance: Instance) -> dict[str, str]:
    """The incident's completed snapshots by volume.

    Raises:
        Refused: A volume that would be deleted has none.
    """
    before = _before(instance)
    have = completed_for_incident(ctx, {*before.volumes_deleted, *before.volumes_kept})
    missing = [v for v in before.volumes_deleted if v not in have]
    if missing:
        raise Refused(
            f"terminating {instance.id} would delete {', '.join(missing)}, of which this incident has no completed "
            "snapshot; nothing was changed",
            hint="run aws.ec2.snapshot_volumes (or aws.ec2.protect_evidence, which keeps the volumes) first",
        )
    return have
