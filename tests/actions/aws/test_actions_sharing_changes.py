"""What is special about taking back images and snapshots; that it is done and undone is tried with all actions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError

from soar.simulated.base import AccountClients

IMAGE, SNAPSHOT, DB = "aws.ec2.unshare_image", "aws.ec2.unshare_snapshot", "aws.rds.unshare_snapshot"
ALL = [IMAGE, SNAPSHOT, DB]


@dataclass
class Case:
    """Something that is shared with a stranger, with everybody and with the forensic account."""

    params: dict[str, Any]
    seen: Callable[[], list[str]]
    share: Callable[[str], Any]


def image_case(account: AccountClients) -> Case:
    ec2 = account.client("ec2")
    base = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    made = ec2.run_instances(ImageId=base, MinCount=1, MaxCount=1, InstanceType="t3.micro")
    image = ec2.create_image(InstanceId=made["Instances"][0]["InstanceId"], Name="golden")["ImageId"]

    def share(who: str) -> None:
        key = "UserGroups" if who == "all" else "UserIds"
        ec2.modify_image_attribute(
            ImageId=image, Attribute="launchPermission", OperationType="add", **{key: [who]}
        )

    def seen() -> list[str]:
        found = ec2.describe_image_attribute(ImageId=image, Attribute="launchPermission")["LaunchPermissions"]
        return sorted(g.get("UserId") or g["Group"] for g in found)

    return Case({"image_id": image}, seen, share)


def snapshot_case(account: AccountClients) -> Case:
    ec2 = account.client("ec2")
    volume = ec2.create_volume(AvailabilityZone="us-east-1a", Size=1)["VolumeId"]
    snapshot = ec2.create_snapshot(VolumeId=volume)["SnapshotId"]

    def share(who: str) -> None:
        key = "GroupNames" if who == "all" else "UserIds"
        ec2.modify_snapshot_attribute(
            SnapshotId=snapshot, Attribute="createVolumePermission", OperationType="add", **{key: [who]}
        )

    def seen() -> list[str]:
        found = ec2.describe_snapshot_attribute(SnapshotId=snapshot, Attribute="createVolumePermission")
        return sorted(g.get("UserId") or g["Group"] for g in found["CreateVolumePermissions"])

    return Case({"snapshot_id": snapshot}, seen, share)


def db_case(account: AccountClients) -> Case:
    rds = account.client("rds")
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
        return sorted(v for a in attributes if a["AttributeName"] == "restore" for v in a["AttributeValues"])

    return Case({"snapshot_id": "before-migration"}, seen, share)


MAKE = {IMAGE: image_case, SNAPSHOT: snapshot_case, DB: db_case}


@pytest.mark.parametrize("name", ALL)
async def test_what_is_not_shared_needs_nobody(actions: Any, account: AccountClients, name: str) -> None:
    case = MAKE[name](account)
    assert (await actions.plan(name, **case.params)).changes == ()


@pytest.mark.parametrize("name", ALL)
async def test_what_does_not_exist_is_said(actions: Any, account: AccountClients, name: str) -> None:
    missing = {IMAGE: "ami-00000000", SNAPSHOT: "snap-00000000", DB: "nothing"}[name]
    with pytest.raises(ApplicationError, match="NotFound") as caught:
        await actions.plan(name, **{"image_id" if name == IMAGE else "snapshot_id": missing})
    assert caught.value.type == "TargetGone"


async def test_organizations_and_their_units_lose_an_image(actions: Any, account: AccountClients) -> None:
    case = image_case(account)
    organization = "arn:aws:organizations::444455556666:organization/o-abcdefghij"
    unit = "arn:aws:organizations::444455556666:ou/o-abcdefghij/ou-abcd-12345678"
    ec2 = account.client("ec2")
    ec2.modify_image_attribute(
        ImageId=case.params["image_id"],
        Attribute="launchPermission",
        OperationType="add",
        OrganizationArns=[organization],
        OrganizationalUnitArns=[unit],
    )

    def seen() -> Any:
        return ec2.describe_image_attribute(ImageId=case.params["image_id"], Attribute="launchPermission")[
            "LaunchPermissions"
        ]

    before = seen()
    plan = await actions.plan(IMAGE, **case.params)
    assert plan.state["removed"] == sorted([organization, unit])
    await actions.apply(plan)
    assert seen() == []
    assert (await actions.undo(plan)).restored
    assert sorted(map(str, seen())) == sorted(map(str, before))
