"""Looks at a bucket: how exposed it is, and what lies in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import Field
from pydantic_core import to_jsonable_python

from soar.actions.aws.access import aws_errors, client
from soar.actions.aws.s3_bucket import (
    AccessBlock,
    BucketParams,
    account_access_block,
    bucket_access_block,
    bucket_policy,
    bucket_target,
    setting,
    unless_refused,
)
from soar.actions.aws.s3_policy import PublicStatement, public_statements
from soar.actions.contract import ActionContext, action
from soar.actions.errors import Drifted
from soar.model.base import Fact, UtcTime, canonical_json
from soar.model.terms import Phase, Risk

__all__ = ["BucketExposure", "ObjectInventory", "bucket_exposure", "object_inventory"]

EVERYBODY = {
    "http://acs.amazonaws.com/groups/global/AllUsers": "everybody",
    "http://acs.amazonaws.com/groups/global/AuthenticatedUsers": "everybody with an AWS account",
}


class ExposureParams(BucketParams):
    """Which bucket, and whether it must not be public.

    Args:
        must_be_private: End in an error if the bucket is public.
    """

    must_be_private: bool = False


class BucketExposure(Fact):
    """Who can get at a bucket.

    Args:
        public: Whether everybody gets in now: an open policy or ACL that no access block overrides.
        public_because: What opens it, one line each; also what an access block overrides at present.
        policy_status_public: What S3 itself says of the policy; None if there is no policy, or it could not be read.
        access_block: The bucket's own; None if it has none.
        account_access_block: The account's; None if it has none, or it could not be read.
        object_ownership: `BucketOwnerEnforced` turns all ACLs off; empty if it is not set.
        encryption: The default encryption's algorithm; empty if none is set.
        not_read: What could not be read, and why.
    """

    summary: str
    bucket: str
    public: bool
    public_because: tuple[str, ...]
    public_statements: tuple[PublicStatement, ...]
    public_grants: tuple[str, ...]
    policy: bool
    policy_status_public: bool | None
    access_block: AccessBlock | None
    account_access_block: AccessBlock | None
    object_ownership: str
    website: bool
    encryption: str
    versioning: str
    tags: dict[str, str]
    not_read: tuple[str, ...]


@action(
    "aws.s3.bucket_exposure",
    risk=Risk.READ,
    phase=Phase.IDENTIFICATION,
    permissions=(
        "s3:GetBucketPublicAccessBlock",
        "s3:GetAccountPublicAccessBlock",
        "s3:GetBucketPolicy",
        "s3:GetBucketPolicyStatus",
        "s3:GetBucketAcl",
        "s3:GetBucketOwnershipControls",
        "s3:GetBucketWebsite",
        "s3:GetEncryptionConfiguration",
        "s3:GetBucketVersioning",
        "s3:GetBucketTagging",
        "sts:GetCallerIdentity",
    ),
    plan_timeout=120,
)
def bucket_exposure(ctx: ActionContext, params: ExposureParams) -> BucketExposure:
    """Say whether a bucket is public, and by what.

    Reads the access blocks of bucket and account, the policy with the very statements that open it, S3's own verdict on
    the policy, the ACL, object ownership, website, encryption and versioning. With `must_be_private: true` the step
    fails if the bucket is public, so that recovery can insist on it.

    Evidence: one JSON document with all settings as the service gave them.

    Pitfalls: ACLs of single objects and policies of access points are not read; an access block covers both. Which
    statements are public is judged by S3's published definition; where S3's own verdict differs, the summary says so.

    Example::

        - id: exposure
          name: See who can get at the bucket
          do: aws.s3.bucket_exposure
          with:
            bucket: '{{ (alert | resource("aws.s3.bucket")).name }}'
    """
    bucket = params.bucket
    found = _read_settings(ctx, bucket)
    ctx.keep_evidence(
        f"{bucket}-exposure.json",
        canonical_json(to_jsonable_python(asdict(found))).encode(),
        media_type="application/json",
        source="s3:GetBucketPolicy",
    )
    statements = public_statements(found.policy) if found.policy else []
    grants = _public_grants(found.acl)
    says = found.policy_status.get("PolicyStatus", {}).get("IsPublic")
    blocks = [b for b in (found.access_block, found.account_access_block) if b]
    public, because = _verdict(statements, grants, found.object_ownership, says, blocks)
    if params.must_be_private and public:
        raise Drifted(f"bucket {bucket} is public", differences=because, hint="close it, then retry the step")
    rules = found.encryption.get("ServerSideEncryptionConfiguration", {}).get("Rules", [])
    return BucketExposure(
        summary=f"Bucket {bucket} is {'public' if public else 'not public'}"
        + (f": {'; '.join(because)}" if because else ""),
        bucket=bucket,
        public=public,
        public_because=because,
        public_statements=tuple(statements),
        public_grants=grants,
        policy=bool(found.policy),
        policy_status_public=says,
        access_block=found.access_block,
        account_access_block=found.account_access_block,
        object_ownership=found.object_ownership,
        website=bool(found.website),
        encryption=rules[0]["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] if rules else "",
        versioning=str(found.versioning.get("Status", "")),
        tags=found.tags,
        not_read=tuple(found.not_read),
    )


@dataclass(frozen=True)
class _Settings:
    """A bucket's settings as the service gave them: the evidence."""

    bucket: str
    policy: str
    policy_status: dict[str, Any]
    acl: dict[str, Any]
    access_block: AccessBlock | None
    account_access_block: AccessBlock | None
    object_ownership: str
    website: dict[str, Any]
    encryption: dict[str, Any]
    versioning: dict[str, Any]
    tags: dict[str, str]
    not_read: list[str]


def _read_settings(ctx: ActionContext, bucket: str) -> _Settings:
    """Read all settings; without policy, ACL and access block there is no verdict, the rest may be missing."""
    not_read: list[str] = []

    def read(what: str, method: str, permission: str, *absent: str) -> dict[str, Any]:
        def one() -> dict[str, Any] | None:
            return setting(ctx, bucket, method, permission, *absent)

        return unless_refused(not_read, what, one) or {}

    return _Settings(
        bucket=bucket,
        policy=bucket_policy(ctx, bucket),
        policy_status=read(
            "policy status", "get_bucket_policy_status", "s3:GetBucketPolicyStatus", "NoSuchBucketPolicy"
        ),
        acl=setting(ctx, bucket, "get_bucket_acl", "s3:GetBucketAcl") or {},
        access_block=bucket_access_block(ctx, bucket),
        account_access_block=unless_refused(
            not_read, "the account's access block", lambda: account_access_block(ctx)
        ),
        object_ownership=_ownership(read),
        website=read("website", "get_bucket_website", "s3:GetBucketWebsite", "NoSuchWebsiteConfiguration"),
        encryption=read(
            "encryption",
            "get_bucket_encryption",
            "s3:GetEncryptionConfiguration",
            "ServerSideEncryptionConfigurationNotFoundError",
        ),
        versioning=read("versioning", "get_bucket_versioning", "s3:GetBucketVersioning"),
        tags=bucket_target(ctx, bucket).tags,
        not_read=not_read,
    )


def _ownership(read: Callable[..., dict[str, Any]]) -> str:
    found = read(
        "object ownership",
        "get_bucket_ownership_controls",
        "s3:GetBucketOwnershipControls",
        "OwnershipControlsNotFoundError",
    )
    rules = found.get("OwnershipControls", {}).get("Rules", [])
    return str(rules[0]["ObjectOwnership"]) if rules else ""


def _public_grants(acl: dict[str, Any]) -> tuple[str, ...]:
    return tuple(
        f"{grant['Permission']} to {EVERYBODY[grant['Grantee']['URI']]}"
        for grant in acl.get("Grants", [])
        if grant["Grantee"].get("URI") in EVERYBODY
    )


def _verdict(
    statements: list[PublicStatement],
    grants: tuple[str, ...],
    ownership: str,
    says: bool | None,
    blocks: list[AccessBlock],
) -> tuple[bool, tuple[str, ...]]:
    """Whether the bucket is public now, and what opens it or would."""
    lines, public = [], False
    policy_blocked = any(b.restrict_public_buckets for b in blocks)
    acl_blocked = any(b.ignore_public_acls for b in blocks)
    overridden = ", which an access block overrides"
    for statement in statements:
        name = f"statement {statement.sid or statement.index + 1}"
        lines.append(f"{name}: {statement.reason}{overridden if policy_blocked else ''}")
        public |= not policy_blocked
    if says and not statements:
        lines.append("S3 calls the policy public, by a statement that is not recognised: read it")
        public |= not policy_blocked
    for grant in grants:
        off = ownership == "BucketOwnerEnforced"
        note = ", but ACLs are off" if off else overridden if acl_blocked else ""
        lines.append(f"ACL: {grant}{note}")
        public |= not (off or acl_blocked)
    return public, tuple(lines)


class InventoryParams(BucketParams):
    """Which bucket, and how much of it.

    Args:
        prefix: Only keys that begin with this.
        max_objects: How many versions and markers are listed at most.
        newest: How many of the newest objects the result names.
    """

    prefix: str = Field(default="", max_length=1024)
    max_objects: int = Field(default=10_000, ge=1, le=1_000_000)
    newest: int = Field(default=20, ge=0, le=100)


class ObjectFacts(Fact):
    """An object as it is now. Its key is the text of whoever wrote it."""

    key: str
    bytes: int
    modified_at: UtcTime
    version_id: str


class ObjectInventory(Fact):
    """What lies in a bucket.

    Args:
        objects: Objects that are there now.
        bytes: Their size together.
        old_versions: Versions behind them.
        delete_markers: Keys whose latest version is a deletion, and older such markers.
        complete: Whether everything was listed; otherwise the numbers count what was.
    """

    summary: str
    bucket: str
    objects: int
    bytes: int
    old_versions: int
    delete_markers: int
    newest: tuple[ObjectFacts, ...]
    complete: bool


@action(
    "aws.s3.object_inventory",
    risk=Risk.READ,
    phase=Phase.IDENTIFICATION,
    permissions=("s3:ListBucketVersions",),
    plan_timeout=600,
)
def object_inventory(ctx: ActionContext, params: InventoryParams) -> ObjectInventory:
    """List what lies in a bucket: how many objects and bytes were within reach, and what is newest.

    Lists all versions and delete markers, up to `max_objects`; nothing is downloaded.

    Evidence: the list as JSON.

    Pitfalls: a bucket with more entries than `max_objects` is counted in part, in the order of keys, and `complete` is
    false. Big buckets are better served by S3 Inventory, which takes a day.

    Example::

        - id: inventory
          name: Count what was within reach
          do: aws.s3.object_inventory
          with:
            bucket: '{{ (alert | resource("aws.s3.bucket")).name }}'
            max_objects: 10000
    """
    versions: list[dict[str, Any]] = []
    markers: list[dict[str, Any]] = []
    complete = True
    with aws_errors("s3:ListBucketVersions"):
        paginator = client(ctx, "s3").get_paginator("list_object_versions")
        for page in paginator.paginate(Bucket=params.bucket, Prefix=params.prefix):
            versions += page.get("Versions", [])
            markers += page.get("DeleteMarkers", [])
            ctx.report(f"{len(versions) + len(markers)} entries listed")
            if len(versions) + len(markers) >= params.max_objects and page.get("IsTruncated"):
                complete = False
                break
    ctx.keep_evidence(
        f"{params.bucket}-objects.json",
        canonical_json(
            to_jsonable_python(
                {
                    "bucket": params.bucket,
                    "prefix": params.prefix,
                    "complete": complete,
                    "versions": [_entry(v) for v in versions],
                    "delete_markers": [_entry(m) for m in markers],
                }
            )
        ).encode(),
        media_type="application/json",
        source="s3:ListObjectVersions",
    )
    current = [v for v in versions if v["IsLatest"]]
    size = sum(int(v["Size"]) for v in current)
    newest = sorted(current, key=lambda v: (v["LastModified"], v["Key"]), reverse=True)[: params.newest]
    return ObjectInventory(
        summary=f"{'' if complete else 'At least '}{len(current)} objects with {size} bytes in {params.bucket}",
        bucket=params.bucket,
        objects=len(current),
        bytes=size,
        old_versions=len(versions) - len(current),
        delete_markers=len(markers),
        newest=tuple(
            ObjectFacts(
                key=v["Key"],
                bytes=int(v["Size"]),
                modified_at=v["LastModified"],
                version_id=str(v.get("VersionId", "")),
            )
            for v in newest
        ),
        complete=complete,
    )


def _entry(raw: dict[str, Any]) -> dict[str, Any]:
    return {
        "key": raw["Key"],
        "version_id": raw.get("VersionId"),
        "latest": raw["IsLatest"],
        "modified_at": raw["LastModified"],
        "bytes": raw.get("Size"),
        "etag": raw.get("ETag"),
        "storage_class": raw.get("StorageClass"),
        "owner": (raw.get("Owner") or {}).get("ID"),
    }
