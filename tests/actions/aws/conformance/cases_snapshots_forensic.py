"""Cases of `aws.ec2.copy_snapshots_to_forensics`."""

from __future__ import annotations

from typing import Any

from case import Arranged, World, case
from scripted import ScriptedError

KEY = "arn:aws:kms:us-east-1:444455556666:key/0a1b2c3d-0000-1111-2222-333344445555"
UNSEEN = {
    "ec2:CreateTags": "asked for by CopySnapshot with tags",
    **dict.fromkeys(
        (
            "kms:CreateGrant",
            "kms:Decrypt",
            "kms:DescribeKey",
            "kms:GenerateDataKeyWithoutPlaintext",
            "kms:ReEncryptFrom",
            "kms:ReEncryptTo",
        ),
        "asked for by EBS while it copies",
    ),
}


def script_locks(world: World) -> dict[str, int]:
    """Snapshot locks: days by snapshot."""
    locks: dict[str, int] = {}
    service = world.script("ec2")

    @service.operation("LockSnapshot")
    def lock(params: dict[str, Any]) -> dict[str, Any]:
        assert params["LockMode"] == "governance"
        locks[params["SnapshotId"]] = params["LockDuration"]
        return {"SnapshotId": params["SnapshotId"], "LockState": "governance"}

    @service.operation("UnlockSnapshot")
    def unlock(params: dict[str, Any]) -> dict[str, Any]:
        if locks.pop(params["SnapshotId"], None) is None:
            raise ScriptedError("SnapshotLock.NotFound", "the snapshot is not locked")
        return {"SnapshotId": params["SnapshotId"]}

    @service.operation("DescribeLockedSnapshots")
    def described(params: dict[str, Any]) -> dict[str, Any]:
        return {
            "Snapshots": [
                {"SnapshotId": s, "LockState": "governance"} for s in params["SnapshotIds"] if s in locks
            ]
        }

    return locks


def arranged(world: World, sizes: tuple[int, ...], **params: Any) -> Arranged:
    ec2, locks = world.client("ec2"), script_locks(world)
    sources = []
    for size in sizes:
        volume = ec2.create_volume(AvailabilityZone="us-east-1a", Size=size)["VolumeId"]
        sources.append(ec2.create_snapshot(VolumeId=volume, Description="disk")["SnapshotId"])

    def copies() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]
        return [s for s in found if s["Description"].startswith("Evidence")]

    def snapshot() -> Any:
        def one(copy: dict[str, Any]) -> Any:
            number = copy["SnapshotId"]
            grants = ec2.describe_snapshot_attribute(SnapshotId=number, Attribute="createVolumePermission")
            tags = {t["Key"]: t["Value"] for t in copy["Tags"]}
            source = sources.index(tags.pop("soar:source"))
            shared = [g["UserId"] for g in grants["CreateVolumePermissions"]]
            return [source, copy["State"], copy["KmsKeyId"], tags, shared, locks.get(number)]

        return [sorted((one(c) for c in copies()), key=lambda c: int(c[0])), len(locks)]

    def unshared() -> None:
        ec2.modify_snapshot_attribute(
            SnapshotId=copies()[0]["SnapshotId"],
            Attribute="createVolumePermission",
            OperationType="remove",
            UserIds=["444455556666"],
        )

    return Arranged(
        params={"snapshot_ids": sources[::-1], "kms_key_arn": KEY, **params},
        snapshot=snapshot,
        drift=unshared,
    )


@case("aws.ec2.copy_snapshots_to_forensics", unseen=UNSEEN)
def two_disks_locked(world: World) -> Arranged:
    return arranged(world, (1, 2), lock_days=180)


@case("aws.ec2.copy_snapshots_to_forensics")
def one_disk_without_a_lock(world: World) -> Arranged:
    return arranged(world, (1,), lock_days=0)
