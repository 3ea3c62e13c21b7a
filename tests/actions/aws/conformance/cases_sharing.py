"""Cases of what is shared with others, and taken back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from case import Arranged, World, case

STRANGER, FORENSICS = "999988887777", "444455556666"


def shared(params: dict[str, Any], share: Callable[[str], Any], seen: Callable[[], list[str]]) -> Arranged:
    """Shared with a stranger, with the forensic account and with everybody."""
    for who in (STRANGER, FORENSICS, "all"):
        share(who)
    return Arranged({**params, "keep": [FORENSICS]}, lambda: sorted(seen()), lambda: share(STRANGER))


@case("aws.ec2.unshare_image")
def image(world: World) -> Arranged:
    ec2 = world.client("ec2")
    made = ec2.create_image(InstanceId=world.instance(), Name="golden")["ImageId"]

    def share(who: str) -> None:
        key = "UserGroups" if who == "all" else "UserIds"
        ec2.modify_image_attribute(
            ImageId=made, Attribute="launchPermission", OperationType="add", **{key: [who]}
        )

    def seen() -> list[str]:
        found = ec2.describe_image_attribute(ImageId=made, Attribute="launchPermission")["LaunchPermissions"]
        return [g.get("UserId") or g["Group"] for g in found]

    return shared({"image_id": made}, share, seen)


def snapshot_of(world: World) -> tuple[str, Callable[[str], None], Callable[[], list[str]]]:
    ec2 = world.client("ec2")
    volume = ec2.create_volume(AvailabilityZone="us-east-1a", Size=1)["VolumeId"]
    made = ec2.create_snapshot(VolumeId=volume)["SnapshotId"]

    def share(who: str) -> None:
        key = "GroupNames" if who == "all" else "UserIds"
        ec2.modify_snapshot_attribute(
            SnapshotId=made, Attribute="createVolumePermission", OperationType="add", **{key: [who]}
        )

    def seen() -> list[str]:
        found = ec2.describe_snapshot_attribute(SnapshotId=made, Attribute="createVolumePermission")
        return [g.get("UserId") or g["Group"] for g in found["CreateVolumePermissions"]]

    return made, share, seen


@case("aws.ec2.unshare_snapshot")
def snapshot(world: World) -> Arranged:
    made, share, seen = snapshot_of(world)
    return shared({"snapshot_id": made}, share, seen)


@case("aws.ec2.describe_sharing")
def an_image_and_a_snapshot(world: World) -> Arranged:
    ec2 = world.client("ec2")
    _, share, seen = snapshot_of(world)
    share(STRANGER)
    golden = ec2.create_image(InstanceId=world.instance(), Name="golden")["ImageId"]
    ec2.modify_image_attribute(
        ImageId=golden, Attribute="launchPermission", OperationType="add", UserIds=[FORENSICS]
    )
    # The simulated account lists the snapshots of all images of the region as well, some hundreds.
    return Arranged({"at_most": 5000}, seen, finds={"not_looked_at": 0})


@case("aws.rds.unshare_snapshot")
def database_snapshot(world: World) -> Arranged:
    rds = world.client("rds")
    rds.create_db_instance(
        DBInstanceIdentifier="customers",
        DBInstanceClass="db.t3.micro",
        Engine="postgres",
        AllocatedStorage=20,
        MasterUsername="owner",
        MasterUserPassword="not-a-secret-1",
    )
    rds.create_db_snapshot(DBInstanceIdentifier="customers", DBSnapshotIdentifier="before-migration")

    def share(who: str) -> None:
        rds.modify_db_snapshot_attribute(
            DBSnapshotIdentifier="before-migration", AttributeName="restore", ValuesToAdd=[who]
        )

    def seen() -> list[str]:
        found = rds.describe_db_snapshot_attributes(DBSnapshotIdentifier="before-migration")
        attributes = found["DBSnapshotAttributesResult"]["DBSnapshotAttributes"]
        return [v for a in attributes if a["AttributeName"] == "restore" for v in a["AttributeValues"]]

    return shared({"snapshot_id": "before-migration"}, share, seen)
