"""Cases of objects that were deleted and overwritten, and are brought back."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from case import Arranged, World, case

BUCKET = "customer-exports"


def next_second() -> str:
    """Wait for the next whole second, which is what S3 keeps, and say it."""
    now = time.time()
    time.sleep(1.02 - now % 1)
    return datetime.now(UTC).replace(microsecond=0).isoformat()


def objects(s3: Any) -> Any:
    """What readers get, and how many versions and markers lie below; ids and times are made up anew."""
    shown = {}
    for entry in s3.list_objects_v2(Bucket=BUCKET).get("Contents", []):
        found = s3.get_object(Bucket=BUCKET, Key=entry["Key"])
        shown[entry["Key"]] = [
            found["Body"].read().decode(),
            found["ContentType"],
            sorted(key for key in found["Metadata"]),
            s3.get_object_tagging(Bucket=BUCKET, Key=entry["Key"])["TagSet"],
        ]
    kept = s3.list_object_versions(Bucket=BUCKET)
    return {
        "shown": shown,
        "versions": sorted(v["Key"] for v in kept.get("Versions", [])),
        "markers": sorted(m["Key"] for m in kept.get("DeleteMarkers", [])),
    }


def attacked(world: World, *, overwritten: bool = True) -> tuple[Any, str]:
    """A bucket that lost one object and had another one encrypted; returns the client and the moment before."""
    s3 = world.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    s3.put_object(Bucket=BUCKET, Key="exports/a.csv", Body=b"first")
    s3.put_object(
        Bucket=BUCKET,
        Key="exports/b.csv",
        Body=b"second",
        ContentType="text/csv",
        Metadata={"team": "sales"},
        Tagging="class=internal",
    )
    moment = next_second()
    s3.delete_object(Bucket=BUCKET, Key="exports/a.csv")
    s3.delete_object(Bucket=BUCKET, Key="exports/a.csv")
    if overwritten:
        s3.put_object(Bucket=BUCKET, Key="exports/b.csv", Body=b"encrypted")
    s3.put_object(Bucket=BUCKET, Key="README", Body=b"pay")
    return s3, moment


TAGS = {
    "s3:GetObjectVersionTagging": "S3 asks for it where the version that is copied has tags",
    "s3:PutObjectTagging": "S3 asks for it where the version that is copied has tags",
    "s3:GetObjectVersion": "the suite does not look at the version that a call names",
    "s3:DeleteObjectVersion": "the suite does not look at the version that a call names",
}


@case("aws.s3.restore_objects", unseen=TAGS)
def deleted_and_overwritten(world: World) -> Arranged:
    s3, moment = attacked(world)
    return Arranged({"bucket": BUCKET, "since": moment}, lambda: objects(s3))


@case("aws.s3.list_versions")
def one_of_each(world: World) -> Arranged:
    s3, moment = attacked(world)
    return Arranged(
        {"bucket": BUCKET, "since": moment},
        lambda: objects(s3),
        finds={
            "deleted": 1,
            "overwritten": 1,
            "created": 1,
            "restorable": 2,
            "new_objects": ["README"],
            "versioning": "Enabled",
            "next_key": "",
        },
    )
