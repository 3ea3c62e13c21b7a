"""Cases of a bucket's lifecycle, access lists and logging, and of the account's access block."""

from __future__ import annotations

import json
from typing import Any

from botocore.exceptions import ClientError
from case import Arranged, World, case
from scripted import ScriptedError

BUCKET = "customer-exports"
EVERYBODY = {"Type": "Group", "URI": "http://acs.amazonaws.com/groups/global/AllUsers"}
RULES = [
    {"ID": "purge", "Filter": {"Prefix": ""}, "Status": "Enabled", "Expiration": {"Days": 1}},
    {
        "ID": "old-versions",
        "Prefix": "exports/",
        "Status": "Enabled",
        "NoncurrentVersionExpiration": {"NoncurrentDays": 3},
    },
    {"ID": "off", "Filter": {"Prefix": "tmp/"}, "Status": "Disabled", "Expiration": {"Days": 7}},
    {
        "ID": "archive",
        "Filter": {"And": {"Prefix": "x", "Tags": [{"Key": "k", "Value": "v"}]}},
        "Status": "Enabled",
        "Transitions": [{"Days": 30, "StorageClass": "GLACIER"}],
    },
]


def bucket(world: World, name: str = BUCKET) -> Any:
    s3 = world.client("s3")
    s3.create_bucket(Bucket=name, ObjectOwnership="ObjectWriter")
    return s3


def settings(s3: Any) -> Any:
    """All settings of the bucket that an action could touch."""

    def read(method: str) -> Any:
        try:
            reply = getattr(s3, method)(Bucket=BUCKET)
        except ClientError as error:
            return error.response["Error"]["Code"]
        return {key: value for key, value in reply.items() if key != "ResponseMetadata"}

    names = (
        "bucket_lifecycle_configuration",
        "bucket_ownership_controls",
        "bucket_acl",
        "bucket_logging",
        "bucket_tagging",
    )
    return {name: read(f"get_{name}") for name in names}


def rules(s3: Any, wanted: list[Any]) -> None:
    s3.put_bucket_lifecycle_configuration(Bucket=BUCKET, LifecycleConfiguration={"Rules": wanted})


@case("aws.s3.suspend_lifecycle")
def rules_that_remove(world: World) -> Arranged:
    s3 = bucket(world)
    rules(s3, RULES)
    return Arranged({"bucket": BUCKET}, lambda: settings(s3), lambda: rules(s3, RULES[:1]))


def shared_by_list(world: World, ownership: str) -> Any:
    s3 = bucket(world)
    if ownership:
        s3.put_bucket_ownership_controls(
            Bucket=BUCKET, OwnershipControls={"Rules": [{"ObjectOwnership": ownership}]}
        )
    owner = s3.get_bucket_acl(Bucket=BUCKET)["Owner"]
    own = {"Grantee": {"Type": "CanonicalUser", "ID": owner["ID"]}, "Permission": "FULL_CONTROL"}
    s3.put_bucket_acl(
        Bucket=BUCKET,
        AccessControlPolicy={"Owner": owner, "Grants": [own, {"Grantee": EVERYBODY, "Permission": "READ"}]},
    )
    return s3


def own_again(s3: Any, ownership: str) -> None:
    s3.put_bucket_ownership_controls(
        Bucket=BUCKET, OwnershipControls={"Rules": [{"ObjectOwnership": ownership}]}
    )


@case("aws.s3.disable_acls")
def open_by_list(world: World) -> Arranged:
    s3 = shared_by_list(world, "")
    return Arranged({"bucket": BUCKET}, lambda: settings(s3), lambda: own_again(s3, "BucketOwnerPreferred"))


@case("aws.s3.disable_acls")
def with_an_ownership(world: World) -> Arranged:
    s3 = shared_by_list(world, "BucketOwnerPreferred")
    return Arranged({"bucket": BUCKET}, lambda: settings(s3), lambda: own_again(s3, "ObjectWriter"))


def log_bucket(world: World, name: str) -> None:
    s3 = bucket(world, name)
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "logging.s3.amazonaws.com"},
        "Action": "s3:PutObject",
        "Resource": f"arn:aws:s3:::{name}/*",
    }
    s3.put_bucket_policy(Bucket=name, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))


def log_to(s3: Any, name: str, prefix: str) -> None:
    s3.put_bucket_logging(
        Bucket=BUCKET,
        BucketLoggingStatus={"LoggingEnabled": {"TargetBucket": name, "TargetPrefix": prefix}},
    )


@case("aws.s3.enable_access_logging")
def not_logged(world: World) -> Arranged:
    s3 = bucket(world)
    log_bucket(world, "access-logs")
    return Arranged(
        {"bucket": BUCKET, "log_bucket": "access-logs", "prefix": "incident/"},
        lambda: settings(s3),
        lambda: log_to(s3, "access-logs", "elsewhere/"),
    )


@case("aws.s3.enable_access_logging")
def logged_elsewhere(world: World) -> Arranged:
    s3 = bucket(world)
    log_bucket(world, "access-logs")
    log_bucket(world, "attackers-logs")
    log_to(s3, "attackers-logs", "x/")
    return Arranged(
        {"bucket": BUCKET, "log_bucket": "access-logs"},
        lambda: settings(s3),
        lambda: s3.put_bucket_logging(Bucket=BUCKET, BucketLoggingStatus={}),
    )


def scripted_block(world: World, kept: dict[str, Any]) -> None:
    """The account's access block, which the simulated account answers at no address that can be reached."""
    control = world.script("s3control")

    @control.operation("GetPublicAccessBlock")
    def get(params: dict[str, Any]) -> dict[str, Any]:
        if params["AccountId"] not in kept:
            raise ScriptedError("NoSuchPublicAccessBlockConfiguration", status=404)
        return {"PublicAccessBlockConfiguration": dict(kept[params["AccountId"]])}

    @control.operation("PutPublicAccessBlock")
    def put(params: dict[str, Any]) -> dict[str, Any]:
        kept[params["AccountId"]] = params["PublicAccessBlockConfiguration"]
        return {}

    @control.operation("DeletePublicAccessBlock")
    def delete(params: dict[str, Any]) -> dict[str, Any]:
        kept.pop(params["AccountId"], None)
        return {}


def public_bucket(world: World) -> None:
    s3 = bucket(world)
    statement = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{BUCKET}/*",
    }
    s3.put_bucket_policy(
        Bucket=BUCKET, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    )


@case("aws.s3.block_public_access_account")
def account_without_a_block(world: World) -> Arranged:
    kept: dict[str, Any] = {}
    scripted_block(world, kept)
    public_bucket(world)
    account = world.client("sts").get_caller_identity()["Account"]
    return Arranged({}, lambda: dict(kept), lambda: kept.update({account: {"BlockPublicAcls": True}}))


@case("aws.s3.block_public_access_account")
def account_half_blocked(world: World) -> Arranged:
    account = world.client("sts").get_caller_identity()["Account"]
    half = {
        "BlockPublicAcls": True,
        "IgnorePublicAcls": False,
        "BlockPublicPolicy": False,
        "RestrictPublicBuckets": True,
    }
    kept: dict[str, Any] = {account: half}
    scripted_block(world, kept)
    return Arranged({}, lambda: dict(kept), lambda: kept.pop(account))
