"""Ransom in a bucket: the waybills are deleted and overwritten with a stolen key, and nothing new is kept."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import ClassVar

from soar.model.base import JsonObject
from soar.simulated.base import AccountClients, Attack, Check, Scenario, guardduty_envelope, iso
from soar.simulated.company import Company
from soar.simulated.stolen_key import api_call, key_check, key_details, key_facts

__all__ = ["RansomedBucket"]

ATTACKER = "198.51.100.61"
"""TEST-NET-2: nobody's address."""

FOLDER = "waybills/2026/"
DELETED = ("1041", "1042", "1043")
ENCRYPTED = ("1044", "1045")
NOTE = "HOW-TO-GET-YOUR-WAYBILLS-BACK.txt"
RULE: JsonObject = {
    "ID": "tidy",
    "Status": "Enabled",
    "Filter": {"Prefix": ""},
    "NoncurrentVersionExpiration": {"NoncurrentDays": 1},
}
"""S3 itself would remove for good what the attacker deletes."""


class RansomedBucket(Scenario):
    """With a developer's key somebody deletes and encrypts the waybills, and sees to it that no version stays."""

    name: ClassVar[str] = "ransomed-bucket"
    title: ClassVar[str] = "The waybills are held to ransom"
    playbook: ClassVar[str] = "aws-s3-ransomware"

    def seed(self, company: Company) -> Attack:
        """Delete some, overwrite the others, leave a note, and have versions removed and no more made."""
        victim, bucket = company.users["tomas.lindqvist"], company.buckets["documents"]
        thief = company.seen_by(victim).client("s3")
        start = _next_second()
        for number in DELETED:
            thief.delete_object(Bucket=bucket, Key=f"{FOLDER}{number}.txt")
        for number in ENCRYPTED:
            thief.put_object(Bucket=bucket, Key=f"{FOLDER}{number}.txt", Body=f"enc:{number[::-1]}".encode())
        thief.put_object(Bucket=bucket, Key=NOTE, Body=b"Your waybills are encrypted. Write to us.\n")
        thief.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [RULE]})
        thief.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})
        done: tuple[tuple[str, JsonObject], ...] = (
            ("DeleteObjects", {}),
            ("PutObject", {"key": NOTE}),
            ("PutBucketLifecycle", {"LifecycleConfiguration": {"Rules": [RULE]}}),
            ("PutBucketVersioning", {"VersioningConfiguration": {"Status": "Suspended"}}),
        )
        company.trail.write(
            [
                company.trail.event(
                    victim, "s3", name, start, ATTACKER, request={"bucketName": bucket, **request}
                )
                for name, request in done
            ]
        )
        return Attack(
            scenario=self.name,
            account=company.account,
            region=company.region,
            time=start,
            facts={
                "bucket": bucket,
                **key_facts(victim, ATTACKER),
                "note": NOTE,
                "since": iso(start),
            },
        )

    def finding(self, attack: Attack) -> JsonObject:
        """`Impact:S3/AnomalousBehavior.Delete`."""
        facts = attack.facts
        return guardduty_envelope(
            attack,
            rule="Impact:S3/AnomalousBehavior.Delete",
            severity=8.0,
            title=f"{facts['user_name']} deletes objects of {facts['bucket']} as never before.",
            description=(
                f"{facts['user_name']} called DeleteObjects on {facts['bucket']} from {facts['source_ip']} in a way "
                "that it never did before."
            ),
            resource={
                "resourceType": "S3Bucket",
                "accessKeyDetails": key_details(facts),
                "s3BucketDetails": [
                    {"arn": f"arn:aws:s3:::{facts['bucket']}", "name": facts["bucket"], "type": "Destination"}
                ],
            },
            action=api_call(facts, "s3", "DeleteObjects", {"AWS::S3::Bucket": facts["bucket"]}),
        )

    def check(self, account: AccountClients, attack: Attack) -> list[Check]:
        """Is every waybill there and readable, is what comes kept, and is the key out of use?"""
        s3, facts = account.client("s3"), attack.facts
        bucket = facts["bucket"]
        there = {o["Key"] for o in s3.list_objects_v2(Bucket=bucket, Prefix=FOLDER).get("Contents", [])}
        wanted = [f"{FOLDER}{number}.txt" for number in (*DELETED, *ENCRYPTED)]
        good = [
            k for k in wanted if k in there and _readable(s3.get_object(Bucket=bucket, Key=k)["Body"].read())
        ]
        versioning = s3.get_bucket_versioning(Bucket=bucket).get("Status", "never on")
        rules = s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
        on = [r["ID"] for r in rules if r["Status"] == "Enabled"]
        return [
            Check(
                name="every waybill is there, with its own content",
                ok=good == wanted,
                seen=f"{len(good)} of {len(wanted)}",
            ),
            Check(
                name=f"{bucket} keeps versions",
                ok=versioning == "Enabled",
                seen=f"versioning is {versioning}",
            ),
            Check(
                name="no lifecycle rule removes versions",
                ok=not on,
                seen=f"enabled: {', '.join(on) or 'none'}",
            ),
            key_check(account, facts),
        ]


def _readable(content: bytes) -> bool:
    return content.startswith(b"Kestrel Freight, waybill")


def _next_second() -> datetime:
    """Wait until the next whole second: S3 keeps the times of versions in such, and what was before must be told."""
    now = datetime.now(UTC)
    time.sleep(1.05 - now.microsecond / 1_000_000)
    return now.replace(microsecond=0) + timedelta(seconds=1)
