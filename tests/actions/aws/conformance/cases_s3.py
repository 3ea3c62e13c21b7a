"""Cases of S3 buckets."""

from __future__ import annotations

import json
from typing import Any

from botocore.exceptions import ClientError
from case import Arranged, World, case

BUCKET = "customer-exports"
NAMED = {
    "Sid": "Partner",
    "Effect": "Allow",
    "Principal": {"AWS": "arn:aws:iam::444455556666:role/import"},
    "Action": "s3:GetObject",
    "Resource": f"arn:aws:s3:::{BUCKET}/*",
}
OPEN = {**NAMED, "Sid": "Open", "Principal": "*"}
HALF_BLOCKED = {"BlockPublicAcls": True, "IgnorePublicAcls": False}


def policy(*statements: dict[str, Any]) -> str:
    """As somebody wrote it by hand, with white space."""
    return json.dumps({"Version": "2012-10-17", "Statement": statements}, indent=1)


def bucket(world: World, *statements: dict[str, Any]) -> Any:
    """A bucket with this policy; returns the client."""
    s3 = world.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    if statements:
        s3.put_bucket_policy(Bucket=BUCKET, Policy=policy(*statements))
    return s3


def everything(s3: Any) -> Any:
    """All settings of the bucket that an action could touch, byte for byte."""

    def read(method: str) -> Any:
        try:
            reply = getattr(s3, method)(Bucket=BUCKET)
        except ClientError as error:
            return error.response["Error"]["Code"]
        return {key: value for key, value in reply.items() if key != "ResponseMetadata"}

    names = ("public_access_block", "bucket_policy", "bucket_versioning", "bucket_acl", "bucket_tagging")
    return {name: read(f"get_{name}") for name in names}


def open_again(s3: Any) -> None:
    s3.put_bucket_policy(Bucket=BUCKET, Policy=policy(NAMED, OPEN, {**OPEN, "Sid": "Again"}))


@case("aws.s3.block_public_access")
def without_a_block(world: World) -> Arranged:
    s3 = bucket(world, NAMED, OPEN)
    s3.put_bucket_website(Bucket=BUCKET, WebsiteConfiguration={"IndexDocument": {"Suffix": "index.html"}})
    return Arranged(
        {"bucket": BUCKET},
        lambda: everything(s3),
        lambda: s3.put_public_access_block(Bucket=BUCKET, PublicAccessBlockConfiguration=HALF_BLOCKED),
    )


@case("aws.s3.block_public_access")
def half_blocked(world: World) -> Arranged:
    s3 = bucket(world, OPEN)
    s3.put_public_access_block(Bucket=BUCKET, PublicAccessBlockConfiguration=HALF_BLOCKED)
    return Arranged(
        {"bucket": BUCKET}, lambda: everything(s3), lambda: s3.delete_public_access_block(Bucket=BUCKET)
    )


@case("aws.s3.remove_public_statements")
def one_of_two(world: World) -> Arranged:
    s3 = bucket(world, NAMED, OPEN)
    return Arranged({"bucket": BUCKET}, lambda: everything(s3), lambda: open_again(s3))


@case("aws.s3.remove_public_statements")
def the_only_one(world: World) -> Arranged:
    s3 = bucket(world, OPEN)
    return Arranged({"bucket": BUCKET}, lambda: everything(s3), lambda: open_again(s3))


@case("aws.s3.enable_versioning")
def never_versioned(world: World) -> Arranged:
    s3 = bucket(world)
    return Arranged({"bucket": BUCKET}, lambda: everything(s3))


@case("aws.s3.bucket_exposure")
def open_to_everybody(world: World) -> Arranged:
    s3 = bucket(world, NAMED, OPEN)
    return Arranged(
        {"bucket": BUCKET},
        lambda: everything(s3),
        finds={"public": True, "access_block": None, "policy_status_public": True},
    )


@case("aws.s3.object_inventory")
def with_old_versions(world: World) -> Arranged:
    s3 = bucket(world)
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    for _ in range(2):
        s3.put_object(Bucket=BUCKET, Key="a", Body=b"x" * 10)
    return Arranged(
        {"bucket": BUCKET},
        lambda: everything(s3),
        finds={"objects": 1, "bytes": 10, "old_versions": 1, "complete": True},
    )
