"""What of the account is shared with others is found, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from soar.simulated.base import AccountClients

READ = "aws.ec2.describe_sharing"
STRANGER, FORENSICS = "999988887777", "444455556666"
ALL = 5000
"""The simulated account lists the snapshots of all images of the region as well, some hundreds."""


@pytest.fixture
def snapshots(account: AccountClients) -> list[str]:
    """Three snapshots: public, shared with two accounts, and private."""
    ec2 = account.client("ec2")
    volume = ec2.create_volume(AvailabilityZone="us-east-1a", Size=1)["VolumeId"]
    made = [ec2.create_snapshot(VolumeId=volume)["SnapshotId"] for _ in range(3)]
    for snapshot, given in (
        (made[0], {"GroupNames": ["all"]}),
        (made[1], {"UserIds": [STRANGER, FORENSICS]}),
    ):
        ec2.modify_snapshot_attribute(
            SnapshotId=snapshot, Attribute="createVolumePermission", OperationType="add", **given
        )
    return made


async def test_what_is_shared_is_found(actions: Any, account: AccountClients, snapshots: list[str]) -> None:
    ec2 = account.client("ec2")
    base = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    made = ec2.run_instances(ImageId=base, MinCount=1, MaxCount=1, InstanceType="t3.micro")
    image = ec2.create_image(InstanceId=made["Instances"][0]["InstanceId"], Name="golden")["ImageId"]
    ec2.modify_image_attribute(
        ImageId=image, Attribute="launchPermission", OperationType="add", UserIds=[STRANGER]
    )
    found = (await actions.read(READ, at_most=ALL)).data
    by_id = {s["id"]: (s["type"], s["public"], sorted(s["shared_with"])) for s in found["shared"]}
    assert by_id == {
        image: ("aws.ec2.image", False, [STRANGER]),
        snapshots[0]: ("aws.ec2.snapshot", True, ["all"]),
        snapshots[1]: ("aws.ec2.snapshot", False, sorted([STRANGER, FORENSICS])),
    }
    assert found["not_looked_at"] == 0


async def test_who_may_have_access_is_not_told_of(actions: Any, snapshots: list[str]) -> None:
    found = (await actions.read(READ, keep=[FORENSICS, "all"], at_most=ALL)).data["shared"]
    assert [(s["id"], s["shared_with"]) for s in found] == [(snapshots[1], [STRANGER])]


async def test_what_was_not_looked_at_is_counted(actions: Any, snapshots: list[str]) -> None:
    reply = await actions.read(READ, at_most=1)
    assert reply.data["looked_at"] <= 2
    assert reply.data["not_looked_at"] >= len(snapshots) - 1
    assert "not looked at" in reply.summary
