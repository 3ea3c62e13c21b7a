"""Protection, snapshots, the instance profile, stopping and terminating; and the look at an instance."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError

from soar.simulated.base import AccountClients

CHANGES = (
    "aws.ec2.protect_evidence",
    "aws.ec2.snapshot_volumes",
    "aws.ec2.detach_instance_profile",
    "aws.ec2.stop_instance",
)


class Host:
    """An instance with two volumes, an instance profile, and a shutdown that terminates it."""

    def __init__(self, account: AccountClients) -> None:
        self.account, self.ec2 = account, account.client("ec2")
        iam = account.client("iam")
        iam.create_role(RoleName="app", AssumeRolePolicyDocument="{}")
        self.profile = iam.create_instance_profile(InstanceProfileName="app")["InstanceProfile"]["Arn"]
        iam.add_role_to_instance_profile(InstanceProfileName="app", RoleName="app")
        self.id = self.ec2.run_instances(
            ImageId="ami-12c6146b",
            MinCount=1,
            MaxCount=1,
            UserData="#!/bin/sh\nexport TOKEN=hush\n",
            BlockDeviceMappings=[
                {"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 8, "DeleteOnTermination": True}},
                {"DeviceName": "/dev/sdb", "Ebs": {"VolumeSize": 20, "DeleteOnTermination": True}},
            ],
            IamInstanceProfile={"Arn": self.profile},
            InstanceInitiatedShutdownBehavior="terminate",
        )["Instances"][0]["InstanceId"]

    def raw(self) -> dict[str, Any]:
        found = self.ec2.describe_instances(InstanceIds=[self.id])["Reservations"][0]["Instances"][0]
        return dict(found)

    def attribute(self, name: str) -> Any:
        reply = self.ec2.describe_instance_attribute(InstanceId=self.id, Attribute=name)
        return reply[name[0].upper() + name[1:]]["Value"]

    def snapshots(self) -> list[dict[str, Any]]:
        volumes = [m["Ebs"]["VolumeId"] for m in self.raw()["BlockDeviceMappings"]]
        filters = [{"Name": "volume-id", "Values": volumes}]
        return list(self.ec2.describe_snapshots(Filters=filters)["Snapshots"])

    def everything(self) -> dict[str, Any]:
        raw = self.raw()
        return {
            "state": raw["State"]["Name"],
            "profile": (raw.get("IamInstanceProfile") or {}).get("Arn"),
            "protected": self.attribute("disableApiTermination"),
            "shutdown": self.attribute("instanceInitiatedShutdownBehavior"),
            "volumes": {
                m["DeviceName"]: (m["Ebs"]["VolumeId"], m["Ebs"]["DeleteOnTermination"])
                for m in raw["BlockDeviceMappings"]
            },
            "snapshots": sorted(
                (s["VolumeId"], s["State"], sorted(t["Key"] for t in s.get("Tags", [])))
                for s in self.snapshots()
            ),
        }


@pytest.fixture
def host(account: AccountClients) -> Host:
    return Host(account)


async def test_what_was_as_wanted_stays_so(actions: Any, host: Host) -> None:
    host.ec2.modify_instance_attribute(InstanceId=host.id, DisableApiTermination={"Value": True})
    plan = await actions.plan("aws.ec2.protect_evidence", instance_id=host.id)
    assert [c.field for c in plan.changes] == [
        "/dev/sda1 deleted on termination",
        "/dev/sdb deleted on termination",
        "shutdown behaviour",
    ]
    await actions.apply(plan)
    await actions.undo(plan)
    assert host.attribute("disableApiTermination") is True, "what we did not set, we do not take back"


async def test_undo_refuses_when_protection_was_changed_since(actions: Any, host: Host) -> None:
    plan = await actions.plan("aws.ec2.protect_evidence", instance_id=host.id)
    await actions.apply(plan)
    host.ec2.modify_instance_attribute(InstanceId=host.id, DisableApiTermination={"Value": False})
    with pytest.raises(ApplicationError, match="termination protection is False") as refused:
        await actions.undo(plan)
    assert refused.value.type == "Drifted"


async def test_snapshots_carry_the_incident_and_only_ours_are_deleted(
    actions: Any, make_actions: Callable[..., Any], host: Host
) -> None:
    other = host.ec2.create_snapshot(VolumeId=host.raw()["BlockDeviceMappings"][0]["Ebs"]["VolumeId"])
    plan = await actions.plan("aws.ec2.snapshot_volumes", instance_id=host.id)
    assert "28 GiB" in plan.summary
    result = await actions.apply(plan)
    made = {s["snapshot_id"] for s in result.data["snapshots"]}
    assert len(made) == 2
    tags = {t["Key"]: t["Value"] for s in host.snapshots() if s["SnapshotId"] in made for t in s["Tags"]}
    assert tags == {"soar:incident": "inc-1", "soar:step": "step-1", "soar:instance": host.id}
    # Another step of the incident makes its own.
    second = make_actions(step_id="step-2")
    assert (await second.plan("aws.ec2.snapshot_volumes", instance_id=host.id)).changes
    await actions.undo(plan)
    assert [s["SnapshotId"] for s in host.snapshots()] == [other["SnapshotId"]]


async def test_a_profile_that_came_since_is_not_replaced(actions: Any, host: Host) -> None:
    plan = await actions.plan("aws.ec2.detach_instance_profile", instance_id=host.id)
    assert plan.changes[0].before == host.profile
    assert any("role/app" in fact for fact in plan.blast_radius.facts)
    await actions.apply(plan)
    iam = host.account.client("iam")
    other = iam.create_instance_profile(InstanceProfileName="other")["InstanceProfile"]["Arn"]
    host.ec2.associate_iam_instance_profile(IamInstanceProfile={"Arn": other}, InstanceId=host.id)
    with pytest.raises(ApplicationError, match="instance-profile/other"):
        await actions.undo(plan)
    with pytest.raises(ApplicationError, match="another instance profile"):
        await actions.undo(plan, in_doubt=True)
    assert host.raw()["IamInstanceProfile"]["Arn"] == other


async def test_terminating_needs_the_disks_kept(actions: Any, host: Host) -> None:
    with pytest.raises(ApplicationError, match="no completed snapshot") as refused:
        await actions.plan("aws.ec2.terminate_instance", instance_id=host.id)
    assert refused.value.type == "Refused"

    await actions.apply(await actions.plan("aws.ec2.snapshot_volumes", instance_id=host.id))
    host.ec2.modify_instance_attribute(InstanceId=host.id, DisableApiTermination={"Value": True})
    plan = await actions.plan("aws.ec2.terminate_instance", instance_id=host.id)
    assert [c.field for c in plan.changes] == ["termination protection", "instance", "volume", "volume"]
    assert sum("snapshot snap-" in fact for fact in plan.blast_radius.facts) == 2
    assert plan.undo == ""
    assert not actions.look(plan).verified
    await actions.apply(plan)
    assert (await actions.verify(plan)).verified
    assert host.raw()["State"]["Name"] == "terminated"
    assert not (await actions.plan("aws.ec2.terminate_instance", instance_id=host.id)).changes
    with pytest.raises(ApplicationError) as gone:
        await actions.plan("aws.ec2.stop_instance", instance_id=host.id)
    assert gone.value.type == "TargetGone"


async def test_terminating_goes_on_after_a_crash(actions: Any, host: Host) -> None:
    await actions.apply(await actions.plan("aws.ec2.snapshot_volumes", instance_id=host.id))
    host.ec2.modify_instance_attribute(InstanceId=host.id, DisableApiTermination={"Value": True})
    plan = await actions.plan("aws.ec2.terminate_instance", instance_id=host.id)
    point = 0
    while True:
        point += 1
        actions.wire.crash_after = len(actions.wire.calls) + point
        try:
            await actions.apply(plan)
        except ApplicationError as error:
            actions.wire.crash_after = None
            if error.type == "Drifted":  # its protection is lifted: that is the crash to go on from
                break
    await actions.retry(plan)
    assert (await actions.verify(plan)).verified


async def test_volumes_that_stay_need_no_snapshot(actions: Any, host: Host) -> None:
    await actions.apply(await actions.plan("aws.ec2.protect_evidence", instance_id=host.id))
    plan = await actions.plan("aws.ec2.terminate_instance", instance_id=host.id)
    assert [c.field for c in plan.changes] == ["termination protection", "instance"]
    assert sum("stays, detached" in fact for fact in plan.blast_radius.facts) == 2
    await actions.apply(plan)
    assert (await actions.verify(plan)).verified


async def test_what_is_protected_from_stopping_is_not_stopped(actions: Any, host: Host) -> None:
    host.ec2.modify_instance_attribute(InstanceId=host.id, DisableApiStop={"Value": True})
    with pytest.raises(ApplicationError, match="protected from being stopped"):
        await actions.plan("aws.ec2.stop_instance", instance_id=host.id)
    assert host.raw()["State"]["Name"] == "running"


@pytest.mark.parametrize("name", [*CHANGES, "aws.ec2.terminate_instance"])
async def test_protected_instances_are_refused(actions: Any, host: Host, name: str) -> None:
    host.ec2.create_tags(Resources=[host.id], Tags=[{"Key": "soar:protected", "Value": ""}])
    before = host.everything()
    with pytest.raises(ApplicationError, match="tagged soar:protected") as refused:
        await actions.plan(name, instance_id=host.id)
    assert refused.value.type == "Refused"
    assert host.everything() == before


async def test_an_instance_is_described_whole(actions: Any, host: Host) -> None:
    group = host.raw()["SecurityGroups"] or host.raw()["NetworkInterfaces"][0]["Groups"]
    host.ec2.authorize_security_group_ingress(
        GroupId=group[0]["GroupId"],
        IpPermissions=[
            {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
        ],
    )
    found = await actions.read("aws.ec2.describe_instance", instance_id=host.id)
    data = found.data
    assert data["role_name"] == "app"
    assert data["imds_v1"] is True
    assert [v["device"] for v in data["volumes"]] == ["/dev/sda1", "/dev/sdb"]
    assert all(v["deleted_on_termination"] for v in data["volumes"])
    assert data["open_to_the_world"] == [f"{group[0]['GroupId']} tcp 22-22 from 0.0.0.0/0"]
    assert data["user_data"] is True
    assert data["not_read"] == []
    assert "hush" not in json.dumps(data), "user data may hold secrets: it is in the evidence alone"
    kept = {ref.name: actions.vault.kept[ref.digest] for ref in found.evidence}
    assert set(kept) == {f"{host.id}.json", f"{host.id}-console.txt"}
    document = json.loads(kept[f"{host.id}.json"])
    assert "hush" in document["user_data"]
    assert document["instance"]["InstanceId"] == host.id
    assert host.id in found.summary
