"""What every action on a bucket needs: read its settings, guard it, and say who uses it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from botocore.exceptions import ClientError
from pydantic import Field

from soar.actions.aws.access import AwsAccess, aws_errors, client
from soar.actions.aws.guards import ensure_not_protected
from soar.actions.contract import ActionContext, Params
from soar.actions.errors import ActionError
from soar.model.base import Fact
from soar.model.change import Target

__all__ = [
    "AccessBlock",
    "BucketParams",
    "account_access_block",
    "bucket_access_block",
    "bucket_policy",
    "bucket_target",
    "bucket_users",
    "ensure_may_change",
    "setting",
    "unless_refused",
]

T = TypeVar("T")


class BucketParams(Params):
    """Which bucket."""

    bucket: str = Field(
        pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", description="the bucket's name, without `s3://`"
    )


class AccessBlock(Fact):
    """The four settings that block public access (`PublicAccessBlockConfiguration`)."""

    block_public_acls: bool
    ignore_public_acls: bool
    block_public_policy: bool
    restrict_public_buckets: bool

    @classmethod
    def of(cls, raw: dict[str, Any]) -> AccessBlock:
        """Read it from the API's form, where what is missing is off."""
        return cls(
            block_public_acls=bool(raw.get("BlockPublicAcls")),
            ignore_public_acls=bool(raw.get("IgnorePublicAcls")),
            block_public_policy=bool(raw.get("BlockPublicPolicy")),
            restrict_public_buckets=bool(raw.get("RestrictPublicBuckets")),
        )

    def call(self) -> dict[str, bool]:
        """The API's form of it."""
        return {
            "BlockPublicAcls": self.block_public_acls,
            "IgnorePublicAcls": self.ignore_public_acls,
            "BlockPublicPolicy": self.block_public_policy,
            "RestrictPublicBuckets": self.restrict_public_buckets,
        }


def setting(
    ctx: ActionContext, bucket: str, method: str, permission: str, *absent: str
) -> dict[str, Any] | None:
    """One setting of a bucket, by the client's method for it.

    Args:
        absent: The error codes that say that the bucket has no such setting.

    Returns:
        The reply; None if there is no such setting.
    """
    with aws_errors(permission):
        try:
            reply: dict[str, Any] = getattr(client(ctx, "s3"), method)(Bucket=bucket)
        except ClientError as error:
            if error.response["Error"]["Code"] in absent:
                return None
            raise
    return {key: value for key, value in reply.items() if key != "ResponseMetadata"}


def bucket_access_block(ctx: ActionContext, bucket: str) -> AccessBlock | None:
    """A bucket's own access block; None if it has none."""
    found = setting(
        ctx,
        bucket,
        "get_public_access_block",
        "s3:GetBucketPublicAccessBlock",
        "NoSuchPublicAccessBlockConfiguration",
    )
    return AccessBlock.of(found["PublicAccessBlockConfiguration"]) if found else None


def account_access_block(ctx: ActionContext) -> AccessBlock | None:
    """The account's access block, which counts for all its buckets; None if it has none."""
    with aws_errors("s3:GetAccountPublicAccessBlock"):
        account = ctx.account or ctx.service(AwsAccess).own_account
        try:
            reply = client(ctx, "s3control").get_public_access_block(AccountId=account)
        except ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchPublicAccessBlockConfiguration":
                return None
            raise
    return AccessBlock.of(reply["PublicAccessBlockConfiguration"])


def bucket_policy(ctx: ActionContext, bucket: str) -> str:
    """A bucket's policy as S3 keeps it; empty if it has none."""
    found = setting(ctx, bucket, "get_bucket_policy", "s3:GetBucketPolicy", "NoSuchBucketPolicy")
    return str(found["Policy"]) if found else ""


def _tags(ctx: ActionContext, bucket: str) -> dict[str, str]:
    found = setting(ctx, bucket, "get_bucket_tagging", "s3:GetBucketTagging", "NoSuchTagSet")
    return {t["Key"]: t["Value"] for t in (found or {}).get("TagSet", [])}


def bucket_target(ctx: ActionContext, bucket: str) -> Target:
    """A bucket as a plan names it, with its tags."""
    with aws_errors("s3:GetBucketTagging"):
        s3 = client(ctx, "s3")
    return Target(
        uid=f"arn:{s3.meta.partition}:s3:::{bucket}",
        type="aws.s3.bucket",
        name=bucket,
        account=ctx.account,
        region=s3.meta.region_name,
        tags=_tags(ctx, bucket),
    )


def ensure_may_change(target: Target) -> None:
    """Refuse what must never be done to a bucket.

    Raises:
        Refused: It is tagged `soar:protected`.
    """
    ensure_not_protected("bucket", target.name, target.tags)


def unless_refused(not_read: list[str], what: str, read: Callable[[], T]) -> T | None:
    """Read something that is good to know; if it cannot be read, say so instead of failing."""
    try:
        return read()
    except ActionError as error:
        not_read.append(f"{what} could not be read: {error.message}")
        return None


def bucket_users(ctx: ActionContext, bucket: str) -> tuple[str, ...]:
    """Who seems to use a bucket from outside, one line each, for a plan's blast radius."""
    lines: list[str] = []
    website = unless_refused(
        lines,
        "the website setting",
        lambda: setting(
            ctx, bucket, "get_bucket_website", "s3:GetBucketWebsite", "NoSuchWebsiteConfiguration"
        ),
    )
    if website is not None:
        lines.append("it serves a website: visitors of the bucket's website address get an error")
    for name in unless_refused(lines, "CloudFront", lambda: _distributions(ctx, bucket)) or ():
        lines.append(f"CloudFront distribution {name} has it as an origin and needs an origin access control")
    logging = unless_refused(
        lines,
        "access logging",
        lambda: setting(ctx, bucket, "get_bucket_logging", "s3:GetBucketLogging"),
    )
    enabled = (logging or {}).get("LoggingEnabled")
    lines.append(
        f"who reads it is logged to {enabled['TargetBucket']}/{enabled.get('TargetPrefix', '')}"
        if enabled
        else "who reads it is not known: server access logging is off"
    )
    return tuple(lines)


def _distributions(ctx: ActionContext, bucket: str) -> list[str]:
    """The CloudFront distributions with this bucket, or its website, as an origin that needs public access."""
    found = []
    with aws_errors("cloudfront:ListDistributions"):
        for page in client(ctx, "cloudfront").get_paginator("list_distributions").paginate():
            for distribution in page["DistributionList"].get("Items", []):
                for origin in distribution["Origins"]["Items"]:
                    identity = (origin.get("S3OriginConfig") or {}).get("OriginAccessIdentity")
                    host = str(origin["DomainName"])
                    of_bucket = host.startswith((f"{bucket}.s3.", f"{bucket}.s3-"))
                    if of_bucket and not identity and not origin.get("OriginAccessControlId"):
                        found.append(str(distribution["Id"]))
    return sorted(set(found))
