"""Cases of instances: a look, protection, disks, the role, stopping, terminating, and isolation."""

from __future__ import annotations

from typing import Any

from case import Arranged, World, case

SNAPSHOT_TAGS = {"soar:incident": "inc-1", "soar:step": "snapshot"}


class Host:
    """An instance with two volumes, an instance profile, and a shutdown that terminates it."""

    def __init__(self, world: World) -> None:
        self.ec2, iam = world.client("ec2"), world.client("iam")
        iam.create_role(RoleName="app", AssumeRolePolicyDocument="{}")
        profile = iam.create_instance_profile(InstanceProfileName="app")["InstanceProfile"]["Arn"]
        iam.add_role_to_instance_profile(InstanceProfileName="app", RoleName="app")
        self.id = world.instance(
            UserData="#!/bin/sh\nexport TOKEN=hush\n",
            BlockDeviceMappings=[
                {"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 8, "DeleteOnTermination": True}},
                {"DeviceName": "/dev/sdb", "Ebs": {"VolumeSize": 20, "DeleteOnTermination": True}},
            ],
            IamInstanceProfile={"Arn": profile},
            InstanceInitiatedShutdownBehavior="terminate",
        )
        self.volumes = {m["Ebs"]["VolumeId"]: m["DeviceName"] for m in self.raw()["BlockDeviceMappings"]}
        self.params = {"instance_id": self.id}

    def raw(self) -> dict[str, Any]:
        found = self.ec2.describe_instances(InstanceIds=[self.id])["Reservations"][0]["Instances"][0]
        return dict(found)

    def attribute(self, name: str) -> Any:
        reply = self.ec2.describe_instance_attribute(InstanceId=self.id, Attribute=name)
        return reply[name[0].upper() + name[1:]]["Value"]

    def change(self, **attribute: Any) -> None:
        self.ec2.modify_instance_attribute(InstanceId=self.id, **attribute)

    def now(self) -> Any:
        raw = self.raw()
        filters = [{"Name": "volume-id", "Values": list(self.volumes)}]
        gone = raw["State"]["Name"] == "terminated"
        return {
            "state": raw["State"]["Name"],
            "profile": (raw.get("IamInstanceProfile") or {}).get("Arn"),
            "protected": None if gone else self.attribute("disableApiTermination"),
            "shutdown": None if gone else self.attribute("instanceInitiatedShutdownBehavior"),
            "volumes": sorted(
                (m["DeviceName"], m["Ebs"]["DeleteOnTermination"]) for m in raw["BlockDeviceMappings"]
            ),
            "snapshots": sorted(
                (self.volumes[s["VolumeId"]], s["State"], sorted(t["Key"] for t in s.get("Tags", [])))
                for s in self.ec2.describe_snapshots(Filters=filters)["Snapshots"]
            ),
        }


@case("aws.ec2.describe_instance")
def as_it_is(world: World) -> Arranged:
    host = Host(world)
    return Arranged(
        host.params,
        host.now,
        finds={
            "instance_id": host.id,
            "state": "running",
            "role_name": "app",
            "termination_protected": False,
            "user_data": True,
            "auto_scaling_group": "",
            "target_groups": [],
            "classic_load_balancers": [],
            "not_read": [],
        },
    )


@case("aws.ec2.protect_evidence")
def unprotected(world: World) -> Arranged:
    host = Host(world)
    return Arranged(
        host.params,
        host.now,
        lambda: host.change(Attribute="instanceInitiatedShutdownBehavior", Value="terminate"),
    )


@case(
    "aws.ec2.snapshot_volumes",
    unseen={
        "ec2:CreateSnapshot": "CreateSnapshots asks for it for each volume",
        "ec2:CreateTags": "for tags at creation",
    },
)
def two_volumes(world: World) -> Arranged:
    host = Host(world)
    return Arranged(host.params, host.now)


@case("aws.ec2.detach_instance_profile", unseen={"iam:PassRole": "to attach the profile again"})
def with_a_profile(world: World) -> Arranged:
    host, iam = Host(world), world.client("iam")

    def drift() -> None:
        iam.create_role(RoleName="other", AssumeRolePolicyDocument="{}")
        other = iam.create_instance_profile(InstanceProfileName="other")["InstanceProfile"]["Arn"]
        iam.add_role_to_instance_profile(InstanceProfileName="other", RoleName="other")
        host.ec2.associate_iam_instance_profile(IamInstanceProfile={"Arn": other}, InstanceId=host.id)

    return Arranged(host.params, host.now, drift)


@case("aws.ec2.stop_instance")
def running(world: World) -> Arranged:
    host = Host(world)
    # Somebody who starts it has done what the undo would do; only one who terminates it is in its way.
    return Arranged(host.params, host.now, lambda: host.ec2.terminate_instances(InstanceIds=[host.id]))


@case("aws.ec2.terminate_instance")
def with_its_disks_kept(world: World) -> Arranged:
    host = Host(world)
    host.change(DisableApiTermination={"Value": True})
    tags = [{"Key": k, "Value": v} for k, v in {**SNAPSHOT_TAGS, "soar:instance": host.id}.items()]
    host.ec2.create_snapshots(
        InstanceSpecification={"InstanceId": host.id},
        TagSpecifications=[{"ResourceType": "snapshot", "Tags": tags}],
    )
    return Arranged(host.params, host.now)


@case(
    "aws.ec2.isolate_instance",
    unseen={"ec2:RevokeSecurityGroupIngress": "if somebody lets something into the group that isolates"},
)
def with_two_interfaces(world: World) -> Arranged:
    ec2 = world.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.1.0/24")["Subnet"]["SubnetId"]
    groups = [
        ec2.create_security_group(GroupName=name, Description=name, VpcId=vpc)["GroupId"]
        for name in ("web", "data")
    ]
    host = world.instance(
        NetworkInterfaces=[
            {"DeviceIndex": n, "SubnetId": subnet, "Groups": [group]} for n, group in enumerate(groups)
        ]
    )

    def interfaces() -> dict[int, Any]:
        found = ec2.describe_network_interfaces(
            Filters=[{"Name": "attachment.instance-id", "Values": [host]}]
        )
        return {i["Attachment"]["DeviceIndex"]: i for i in found["NetworkInterfaces"]}

    def snapshot() -> Any:
        known = ec2.describe_security_groups(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["SecurityGroups"]
        # Groups that the action makes have the instance's id in their names.
        names = {g["GroupId"]: g["GroupName"].replace(host, "i-…") for g in known}
        rules = ec2.describe_security_group_rules()["SecurityGroupRules"]
        return {
            "interfaces": {
                str(n): [
                    sorted(names[g["GroupId"]] for g in i["Groups"]),
                    sorted(t["Key"] for t in i["TagSet"]),
                ]
                for n, i in interfaces().items()
            },
            "groups": sorted(names.values()),
            "rules": sorted(
                f"{names[r['GroupId']]} {r['IsEgress']} {r.get('CidrIpv4') or r.get('CidrIpv6')}"
                for r in rules
                if r["GroupId"] in names
            ),
        }

    def drift() -> None:
        ec2.modify_network_interface_attribute(
            NetworkInterfaceId=interfaces()[0]["NetworkInterfaceId"], Groups=[groups[1]]
        )

    return Arranged({"instance_id": host}, snapshot, drift)


@case("aws.ec2.isolate_instance")
def with_one_interface(world: World) -> Arranged:
    ec2 = world.client("ec2")
    default = ec2.describe_security_groups(GroupNames=["default"])["SecurityGroups"][0]
    other = ec2.create_security_group(GroupName="other", Description="other", VpcId=default["VpcId"])[
        "GroupId"
    ]
    host = world.instance(SecurityGroupIds=[default["GroupId"]])

    def snapshot() -> Any:
        found = ec2.describe_instances(InstanceIds=[host])["Reservations"][0]["Instances"][0]
        groups = ec2.describe_security_groups()["SecurityGroups"]
        return {
            "its groups": sorted(g["GroupName"].replace(host, "i-…") for g in found["SecurityGroups"]),
            "groups": sorted(g["GroupName"].replace(host, "i-…") for g in groups),
        }

    return Arranged(
        {"instance_id": host},
        snapshot,
        lambda: ec2.modify_instance_attribute(InstanceId=host, Groups=[other]),
    )
