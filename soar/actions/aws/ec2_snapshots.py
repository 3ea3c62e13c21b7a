"""Snapshots of an instance's volumes: the disk evidence of an incident."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from soar.actions.aws.access import aws_errors, client, tags_for
from soar.actions.aws.ec2_instance import (
    Instance,
    InstanceParams,
    ensure_may_change,
    find_instance,
    tags_of,
    volumes_of,
)
from soar.actions.contract import Action, ActionContext, Draft, Planned, StateBefore, action
from soar.actions.errors import ActionError, Unavailable
from soar.model.base import Fact
from soar.model.change import BlastRadius, Change, Result, Verification
from soar.model.terms import Phase, Risk

__all__ = ["SnapshotVolumes", "completed_for_incident"]

LOOK_EVERY = 15.0
"""Seconds between two looks at running snapshots; a full copy takes minutes to hours."""

INSTANCE_TAG = "soar:instance"


class VolumeRef(Fact):
    """A volume and where it is attached."""

    volume_id: str
    device: str
    size_gib: int = Field(ge=0)


class VolumesBefore(StateBefore):
    """Which volumes are to have a snapshot. There is nothing to put back but what we create."""

    volumes: tuple[VolumeRef, ...]


def completed_for_incident(ctx: ActionContext, volume_ids: set[str]) -> dict[str, str]:
    """The completed snapshots that any step of this incident made of these volumes, by volume id."""
    found = _snapshots(ctx, {"soar:incident": ctx.incident_id}, volume_ids)
    return {s["VolumeId"]: s["SnapshotId"] for s in found if s["State"] == "completed"}


def _snapshots(ctx: ActionContext, tags: dict[str, str], volume_ids: set[str]) -> list[dict[str, Any]]:
    if not volume_ids:
        return []
    filters = [{"Name": f"tag:{key}", "Values": [_literal(value)]} for key, value in tags.items()]
    filters.append({"Name": "volume-id", "Values": sorted(volume_ids)})
    with aws_errors("ec2:DescribeSnapshots"):
        pages = (
            client(ctx, "ec2")
            .get_paginator("describe_snapshots")
            .paginate(OwnerIds=["self"], Filters=filters)
        )
        found = [s for page in pages for s in page["Snapshots"]]
    # Filters know wildcards, so that what they let through is compared once more.
    kept = [s for s in found if all(tags_of(s).get(k) == v for k, v in tags.items())]
    return sorted(kept, key=lambda s: (s["VolumeId"], s["SnapshotId"]))


def _literal(value: str) -> str:
    return value.replace("\\", "\\\\").replace("*", "\\*").replace("?", "\\?")


def _volumes(ctx: ActionContext, instance: Instance) -> tuple[VolumeRef, ...]:
    mappings = volumes_of(instance)
    if not mappings:
        return ()
    with aws_errors("ec2:DescribeVolumes"):
        reply = client(ctx, "ec2").describe_volumes(VolumeIds=[m["Ebs"]["VolumeId"] for m in mappings])
    sizes = {v["VolumeId"]: int(v["Size"]) for v in reply["Volumes"]}
    return tuple(
        VolumeRef(
            volume_id=m["Ebs"]["VolumeId"],
            device=m["DeviceName"],
            size_gib=sizes.get(m["Ebs"]["VolumeId"], 0),
        )
        for m in mappings
    )


@action(
    "aws.ec2.snapshot_volumes",
    risk=Risk.REVERSIBLE,
    phase=Phase.CONTAINMENT,
    permissions=(
        "ec2:DescribeInstances",
        "ec2:DescribeVolumes",
        "ec2:DescribeSnapshots",
        "ec2:CreateSnapshots",
        "ec2:CreateSnapshot",
        "ec2:CreateTags",
        "ec2:DeleteSnapshot",
        "sts:GetCallerIdentity",
    ),
    apply_timeout=6 * 3600,
    verify_timeout=300,
)
class SnapshotVolumes(Action[InstanceParams, VolumesBefore]):
    """Take a snapshot of every volume of an instance, and wait until all are complete.

    The snapshots of all volumes are taken at one moment, so that they belong together. They carry the tags
    `soar:incident`, `soar:step` and `soar:instance`.

    Pre-condition: the instance exists, has EBS volumes, and is not tagged `soar:protected`. If this step has
    snapshots already, they are used.

    Verified by reading the snapshots by their tags: one for every volume, state `completed`.

    Undone by deleting the snapshots that this very step made; others are not touched.

    Pitfalls: take them before the instance is isolated or stopped if memory matters more than the disk: collect that
    first. Instance-store volumes have no snapshots. Volumes under the key `aws/ebs` give snapshots that cannot be
    shared with another account until they are copied under a key of yours. Tags of the volumes are not copied: whoever
    may tag a volume could fill it up to the limit and so prevent the snapshot.

    Example::

        - id: snapshot
          name: Keep the disks as evidence
          do: aws.ec2.snapshot_volumes
          timeout: 6h
          with:
            instance_id: '{{ (alert | resource("aws.ec2.instance")).name }}'
    """

    def plan(self, ctx: ActionContext, params: InstanceParams) -> Draft[VolumesBefore]:
        instance = find_instance(ctx, params.instance_id)
        ensure_may_change(ctx, instance)
        volumes = _volumes(ctx, instance)
        if not volumes:
            raise ActionError(
                f"instance {instance.id} has no EBS volume, so there is nothing to take a snapshot of",
                hint="collect its instance store and memory from inside before it stops",
            )
        done = {s["VolumeId"] for s in _of_step(ctx, volumes) if s["State"] == "completed"}
        size = sum(v.size_gib for v in volumes)
        changes = tuple(
            Change(
                target=instance.arn("volume", v.volume_id),
                field="snapshot for this incident",
                before=None,
                after=f"completed snapshot of {v.device}",
            )
            for v in volumes
            # All of them until the last one is complete: a retry in between finds the same plan.
            if done != {w.volume_id for w in volumes}
        )
        return Draft(
            summary=(
                f"Take snapshots of the {len(volumes)} volume(s) of {instance.id} ({size} GiB)"
                if changes
                else f"Every volume of {instance.id} has its snapshot for this incident"
            ),
            targets=(
                instance.target,
                *(instance.beside("volume", v.volume_id) for v in volumes),
            ),
            changes=changes,
            state=VolumesBefore(volumes=volumes),
            blast_radius=BlastRadius(
                summary="The instance goes on running; its disks may be slower while they are copied.",
                facts=(f"{size} GiB of volumes; snapshots are billed until they are deleted.",),
            ),
            undo="The snapshots that this step made are deleted.",
        )

    def apply(self, ctx: ActionContext, planned: Planned[InstanceParams, VolumesBefore]) -> Result:
        volumes = planned.state.volumes
        begun = _of_step(ctx, volumes)
        failed_before = {s["SnapshotId"] for s in begun if s["State"] == "error"}
        have = {s["VolumeId"] for s in begun if s["State"] != "error"}
        missing = [v for v in volumes if v.volume_id not in have]
        if missing:
            _create(ctx, planned.params.instance_id, missing, all_of_them=len(missing) == len(volumes))
        while True:
            mine = [s for s in _of_step(ctx, volumes) if s["SnapshotId"] not in failed_before]
            failed = [
                f"{s['SnapshotId']}: {s.get('StateMessage', '')}" for s in mine if s["State"] == "error"
            ]
            if failed:
                raise ActionError(
                    f"a snapshot failed: {'; '.join(failed)}", hint="look at it, then retry the step"
                )
            done = [s for s in mine if s["State"] == "completed"]
            if {s["VolumeId"] for s in done} == {v.volume_id for v in volumes}:
                return Result(
                    summary=f"{len(done)} snapshot(s) complete: {', '.join(s['SnapshotId'] for s in done)}",
                    data={"snapshots": [_snapshot_facts(s) for s in done]},
                )
            ctx.report("; ".join(f"{s['SnapshotId']} {s.get('Progress') or s['State']}" for s in mine))
            if not ctx.wait(LOOK_EVERY):
                raise Unavailable(
                    "the step was cancelled while its snapshots are still being copied; they stay and go on"
                )

    def verify(self, ctx: ActionContext, planned: Planned[InstanceParams, VolumesBefore]) -> Verification:
        mine = _of_step(ctx, planned.state.volumes)
        done = {s["VolumeId"]: s["SnapshotId"] for s in mine if s["State"] == "completed"}
        missing = [v.volume_id for v in planned.state.volumes if v.volume_id not in done]
        seen = ", ".join(f"{snapshot} of {volume} completed" for volume, snapshot in sorted(done.items()))
        if missing:
            seen = f"no completed snapshot of {', '.join(missing)}" + (f"; {seen}" if seen else "")
        return Verification(
            verified=not missing, seen=seen, method="ec2:DescribeSnapshots", data={"snapshots": dict(done)}
        )

    def undo(self, ctx: ActionContext, planned: Planned[InstanceParams, VolumesBefore]) -> Result:
        ours = _of_step(ctx, planned.state.volumes)
        with aws_errors("ec2:DeleteSnapshot"):
            for snapshot in ours:
                client(ctx, "ec2").delete_snapshot(SnapshotId=snapshot["SnapshotId"])
        return Result(summary=f"deleted {len(ours)} snapshot(s) that this step had made")


def _of_step(ctx: ActionContext, volumes: tuple[VolumeRef, ...]) -> list[dict[str, Any]]:
    return _snapshots(ctx, {t["Key"]: t["Value"] for t in tags_for(ctx)}, {v.volume_id for v in volumes})


def _snapshot_facts(snapshot: dict[str, Any]) -> dict[str, Any]:
    return {
        "snapshot_id": snapshot["SnapshotId"],
        "volume_id": snapshot["VolumeId"],
        "size_gib": snapshot["VolumeSize"],
        "encrypted": bool(snapshot.get("Encrypted")),
        "started_at": snapshot["StartTime"].isoformat(),
    }


def _create(ctx: ActionContext, instance_id: str, missing: list[VolumeRef], *, all_of_them: bool) -> None:
    ec2 = client(ctx, "ec2")
    tags = [*tags_for(ctx), {"Key": INSTANCE_TAG, "Value": instance_id}]
    specification = [{"ResourceType": "snapshot", "Tags": tags}]
    description = f"Evidence: disk of {instance_id}"
    if all_of_them:
        with aws_errors("ec2:CreateSnapshots"):
            ec2.create_snapshots(
                InstanceSpecification={"InstanceId": instance_id, "ExcludeBootVolume": False},
                Description=description,
                TagSpecifications=specification,
            )
        return
    # Only after one of the first set failed: the others of that set are kept.
    with aws_errors("ec2:CreateSnapshot"):
        for volume in missing:
            ec2.create_snapshot(
                VolumeId=volume.volume_id, Description=description, TagSpecifications=specification
            )
