"""Cases of what is set for a whole region."""

from __future__ import annotations

from typing import Any

from case import Arranged, World, case


def public_access(
    world: World, snapshots: str, images: str, *, managed_by: str = "account"
) -> dict[str, str]:
    """Both states of block public access."""
    service = world.script("ec2")
    kept = {"snapshots": snapshots, "images": images}

    @service.operation("GetSnapshotBlockPublicAccessState")
    def get_snapshots(params: dict[str, Any]) -> dict[str, Any]:
        return {"State": kept["snapshots"], "ManagedBy": managed_by}

    @service.operation("EnableSnapshotBlockPublicAccess")
    def enable_snapshots(params: dict[str, Any]) -> dict[str, Any]:
        kept["snapshots"] = params["State"]
        return {"State": params["State"]}

    @service.operation("DisableSnapshotBlockPublicAccess")
    def disable_snapshots(params: dict[str, Any]) -> dict[str, Any]:
        kept["snapshots"] = "unblocked"
        return {"State": "unblocked"}

    @service.operation("GetImageBlockPublicAccessState")
    def get_images(params: dict[str, Any]) -> dict[str, Any]:
        return {"ImageBlockPublicAccessState": kept["images"], "ManagedBy": managed_by}

    @service.operation("EnableImageBlockPublicAccess")
    def enable_images(params: dict[str, Any]) -> dict[str, Any]:
        kept["images"] = params["ImageBlockPublicAccessState"]
        return {"ImageBlockPublicAccessState": kept["images"]}

    @service.operation("DisableImageBlockPublicAccess")
    def disable_images(params: dict[str, Any]) -> dict[str, Any]:
        kept["images"] = "unblocked"
        return {"ImageBlockPublicAccessState": "unblocked"}

    return kept


@case("aws.ec2.block_public_sharing")
def nothing_blocked(world: World) -> Arranged:
    kept = public_access(world, "unblocked", "unblocked")
    return Arranged({}, lambda: dict(kept), lambda: kept.update(snapshots="block-new-sharing"))


@case("aws.ec2.block_public_sharing")
def new_sharing_blocked(world: World) -> Arranged:
    kept = public_access(world, "block-new-sharing", "block-new-sharing")
    return Arranged({}, lambda: dict(kept), lambda: kept.update(images="unblocked"))


def serial_console(world: World, *, managed_by: str = "account") -> dict[str, bool]:
    service = world.script("ec2")
    kept = {"SerialConsoleAccessEnabled": True}

    @service.operation("GetSerialConsoleAccessStatus")
    def get(params: dict[str, Any]) -> dict[str, Any]:
        return {**kept, "ManagedBy": managed_by}

    @service.operation("EnableSerialConsoleAccess")
    def enable(params: dict[str, Any]) -> dict[str, Any]:
        kept["SerialConsoleAccessEnabled"] = True
        return dict(kept)

    @service.operation("DisableSerialConsoleAccess")
    def disable(params: dict[str, Any]) -> dict[str, Any]:
        kept["SerialConsoleAccessEnabled"] = False
        return dict(kept)

    return kept


@case("aws.ec2.disable_serial_console")
def switched_on(world: World) -> Arranged:
    kept = serial_console(world)
    return Arranged({}, lambda: dict(kept))
