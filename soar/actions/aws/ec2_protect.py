"""Keep an instance's disks from being destroyed with it."""

from __future__ import annotations

from soar.actions.aws.access import aws_errors, client
from soar.actions.aws.ec2_instance import (
    Instance,
    InstanceParams,
    describe_attribute,
    ensure_may_change,
    find_instance,
    volumes_of,
)
from soar.actions.contract import Action, ActionContext, Draft, Planned, StateBefore, action
from soar.actions.errors import Drifted
from soar.model.change import BlastRadius, Change, Result, Verification
from soar.model.terms import Phase, Risk

__all__ = ["ProtectEvidence"]


class Protection(StateBefore):
    """The attributes as they were. A spot instance has no termination protection: None."""

    termination_protected: bool | None
    delete_on_termination: dict[str, bool]
    shutdown_behavior: str


def _protection(ctx: ActionContext, instance: Instance) -> Protection:
    spot = instance.raw.get("InstanceLifecycle") == "spot"
    return Protection(
        termination_protected=(
            None if spot else bool(describe_attribute(ctx, instance.id, "disableApiTermination"))
        ),
        delete_on_termination={
            m["DeviceName"]: bool(m["Ebs"].get("DeleteOnTermination")) for m in volumes_of(instance)
        },
        shutdown_behavior=str(
            describe_attribute(ctx, instance.id, "instanceInitiatedShutdownBehavior") or "stop"
        ),
    )


@action(
    "aws.ec2.protect_evidence",
    risk=Risk.REVERSIBLE,
    phase=Phase.CONTAINMENT,
    permissions=(
        "ec2:DescribeInstances",
        "ec2:DescribeInstanceAttribute",
        "ec2:ModifyInstanceAttribute",
        "sts:GetCallerIdentity",
    ),
)
class ProtectEvidence(Action[InstanceParams, Protection]):
    """Keep an instance and its volumes from being destroyed.

    Turns termination protection on, keeps every volume when the instance is terminated, and makes a shutdown from
    inside stop the instance instead of terminating it. It comes first of all changes to an instance.

    Pre-condition: the instance exists and is not tagged `soar:protected`.

    Verified by reading the instance's attributes and block devices again.

    Undone by writing each recorded value back; a value that somebody changed since is reported, not overwritten.

    Pitfalls: protection does not bind an auto-scaling group, which terminates its members all the same: take the
    instance out with `aws.autoscaling.enter_standby` next. Spot instances know no termination protection and EC2 may
    reclaim them at any time. API stop protection is left alone on purpose: it would keep ourselves from stopping it.

    Example::

        - id: protect
          name: Keep the instance and its disks
          do: aws.ec2.protect_evidence
          with:
            instance_id: '{{ (alert | resource("aws.ec2.instance")).name }}'
    """

    def plan(self, ctx: ActionContext, params: InstanceParams) -> Draft[Protection]:
        instance = find_instance(ctx, params.instance_id)
        ensure_may_change(ctx, instance)
        before = _protection(ctx, instance)
        uid = instance.target.uid
        changes = []
        if before.termination_protected is False:
            changes.append(Change(target=uid, field="termination protection", before=False, after=True))
        changes += [
            Change(target=uid, field=f"{device} deleted on termination", before=True, after=False)
            for device, deleted in before.delete_on_termination.items()
            if deleted
        ]
        if before.shutdown_behavior != "stop":
            changes.append(
                Change(
                    target=uid,
                    field="shutdown behaviour",
                    before=before.shutdown_behavior,
                    after="stop",
                )
            )
        return Draft(
            summary=(
                f"Protect {instance.id} and its {len(before.delete_on_termination)} volume(s) from being destroyed"
                if changes
                else f"{instance.id} is already protected from being destroyed"
            ),
            targets=(instance.target,),
            changes=tuple(changes),
            state=before,
            blast_radius=BlastRadius(
                summary="Nothing that runs is touched.",
                facts=("Terminating the instance needs its protection lifted first.",),
            ),
            warnings=_protection_warnings(instance, before),
            undo="The recorded values are written back, one by one.",
        )

    def apply(self, ctx: ActionContext, planned: Planned[InstanceParams, Protection]) -> Result:
        wanted = _protected(planned.state)
        now = _protection(ctx, find_instance(ctx, planned.params.instance_id))
        written = _write(ctx, planned.params.instance_id, now, wanted)
        return Result(summary=f"set {', '.join(written)}" if written else "nothing was left to set")

    def verify(self, ctx: ActionContext, planned: Planned[InstanceParams, Protection]) -> Verification:
        now = _protection(ctx, find_instance(ctx, planned.params.instance_id))
        differences = _differences(now, _protected(planned.state))
        return Verification(
            verified=not differences,
            seen="; ".join(differences) or "protected, every volume is kept, a shutdown only stops it",
            method="ec2:DescribeInstanceAttribute, ec2:DescribeInstances",
        )

    def undo(self, ctx: ActionContext, planned: Planned[InstanceParams, Protection]) -> Result:
        recorded, ours = planned.state, _protected(planned.state)
        now = _protection(ctx, find_instance(ctx, planned.params.instance_id))
        foreign = [
            line
            for line in _differences(now, ours)
            if line in _differences(now, recorded)  # neither as we left it nor as it was
        ]
        if foreign:
            raise Drifted(
                f"{planned.params.instance_id} is neither as it was nor as we left it",
                differences=tuple(foreign),
                hint="set the attributes by hand",
            )
        written = _write(ctx, planned.params.instance_id, now, recorded)
        return Result(summary=f"put back {', '.join(written)}" if written else "nothing was left to put back")


def _protected(before: Protection) -> Protection:
    return Protection(
        termination_protected=None if before.termination_protected is None else True,
        delete_on_termination=dict.fromkeys(before.delete_on_termination, False),
        shutdown_behavior="stop",
    )


def _protection_warnings(instance: Instance, before: Protection) -> tuple[str, ...]:
    warnings = []
    if before.termination_protected is None:
        warnings.append("A spot instance: it cannot be protected, and EC2 may take it back at any time.")
    if instance.raw.get("RootDeviceType") == "instance-store":
        warnings.append("Its root device is an instance store: it is lost when the instance stops.")
    return tuple(warnings)


def _differences(now: Protection, wanted: Protection) -> list[str]:
    lines = []
    if now.termination_protected != wanted.termination_protected:
        lines.append(f"termination protection is {now.termination_protected}")
    lines += [
        f"{device} is {'deleted' if now.delete_on_termination.get(device) else 'kept'} on termination"
        if device in now.delete_on_termination
        else f"{device} is not attached any more"
        for device, deleted in wanted.delete_on_termination.items()
        if now.delete_on_termination.get(device) is not deleted
    ]
    if now.shutdown_behavior != wanted.shutdown_behavior:
        lines.append(f"a shutdown from inside means {now.shutdown_behavior}")
    return lines


def _write(ctx: ActionContext, instance_id: str, now: Protection, wanted: Protection) -> list[str]:
    """Write what differs, one attribute per call as the API asks; a retry writes only what is left."""
    ec2, written = client(ctx, "ec2"), []
    with aws_errors("ec2:ModifyInstanceAttribute"):
        if (
            wanted.termination_protected is not None
            and now.termination_protected != wanted.termination_protected
        ):
            ec2.modify_instance_attribute(
                InstanceId=instance_id, DisableApiTermination={"Value": wanted.termination_protected}
            )
            written.append("termination protection")
        for device, deleted in wanted.delete_on_termination.items():
            if now.delete_on_termination.get(device) is (not deleted):
                ec2.modify_instance_attribute(
                    InstanceId=instance_id,
                    BlockDeviceMappings=[{"DeviceName": device, "Ebs": {"DeleteOnTermination": deleted}}],
                )
                written.append(f"{device} deleted on termination: {deleted}")
        if now.shutdown_behavior != wanted.shutdown_behavior:
            ec2.modify_instance_attribute(
                InstanceId=instance_id,
                Attribute="instanceInitiatedShutdownBehavior",
                Value=wanted.shutdown_behavior,
            )
            written.append("shutdown behaviour")
    return written
