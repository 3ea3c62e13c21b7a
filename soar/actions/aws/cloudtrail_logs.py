"""The log files of a trail, read from its bucket: the way where CloudTrail itself does not answer.

CloudTrail writes them as `[prefix/]AWSLogs/[organisation/]<account>/CloudTrail/<region>/YYYY/MM/DD/<name>.json.gz`.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from soar.actions.aws.access import AwsAccess, aws_errors, client
from soar.actions.contract import ActionContext
from soar.actions.errors import TargetGone
from soar.model.base import JsonObject

__all__ = ["TrailFiles", "TrailPlace", "find_trail"]

MAX_FILES = 5000
"""Files that one search reads at most."""
MAX_FILE_BYTES = 256 * 1024 * 1024
"""Unpacked size of one file at most. CloudTrail's own are a hundredth of it."""
LATE = timedelta(hours=1)
"""Files lie in the folder of the day on which they were delivered, minutes after the event."""


@dataclass(frozen=True)
class TrailPlace:
    """Where the log files of an account lie.

    Args:
        folder: The prefix up to and with `CloudTrail/`.
    """

    name: str
    bucket: str
    folder: str


def find_trail(ctx: ActionContext) -> TrailPlace:
    """The account's trail: a multi-region one before a regional one.

    Raises:
        TargetGone: There is no trail with a bucket, or no log files of this account are in it.
    """
    with aws_errors("cloudtrail:DescribeTrails"):
        trails = client(ctx, "cloudtrail").describe_trails(includeShadowTrails=True)["trailList"]
    usable = [t for t in trails if t.get("S3BucketName")]
    if not usable:
        raise TargetGone(
            "the account has no trail with a bucket, so there are no log files to read",
            hint="allow cloudtrail:LookupEvents, or create a trail",
        )
    trail = min(usable, key=lambda t: (not t.get("IsMultiRegionTrail"), t["Name"]))
    with aws_errors("sts:GetCallerIdentity"):
        account = ctx.account or ctx.service(AwsAccess).own_account
    prefix = f"{trail['S3KeyPrefix']}/" if trail.get("S3KeyPrefix") else ""
    root, bucket = f"{prefix}AWSLogs/", str(trail["S3BucketName"])
    folder = f"{root}{account}/CloudTrail/"
    if trail.get("IsOrganizationTrail"):
        for organisation in _folders(ctx, bucket, f"{root}o-"):
            folder = f"{organisation}{account}/CloudTrail/"
    return TrailPlace(str(trail["Name"]), bucket, folder)


def _pages(ctx: ActionContext, bucket: str, prefix: str, **more: str) -> Iterator[dict[str, Any]]:
    with aws_errors("s3:ListBucket"):
        yield from (
            client(ctx, "s3").get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, **more)
        )


def _folders(ctx: ActionContext, bucket: str, prefix: str) -> list[str]:
    return [
        str(found["Prefix"])
        for page in _pages(ctx, bucket, prefix, Delimiter="/")
        for found in page.get("CommonPrefixes", [])
    ]


class TrailFiles:
    """The events in a trail's files between two moments, in all its regions.

    Args:
        cut: Set once there was more than may be read.
    """

    def __init__(self, ctx: ActionContext, place: TrailPlace, since: datetime, until: datetime) -> None:
        self._ctx, self._place, self._since, self._until = ctx, place, since, until
        self.cut = False

    def events(self) -> Iterator[JsonObject]:
        """Every event in the files of those days; the caller picks by time and identity."""
        for number, key in enumerate(self._keys()):
            if number >= MAX_FILES or self._ctx.cancelled.is_set():
                self.cut = True
                return
            self._ctx.report(f"reading log file {number + 1}")
            yield from self._records(key)

    def _keys(self) -> Iterator[str]:
        for region in _folders(self._ctx, self._place.bucket, self._place.folder):
            day, last = self._since.date(), (self._until + LATE).date()
            while day <= last:
                for page in _pages(self._ctx, self._place.bucket, f"{region}{day:%Y/%m/%d}/"):
                    yield from (
                        str(found["Key"])
                        for found in page.get("Contents", [])
                        if found["Key"].endswith(".json.gz")
                    )
                day += timedelta(days=1)

    def _records(self, key: str) -> list[JsonObject]:
        with aws_errors("s3:GetObject"):
            packed = client(self._ctx, "s3").get_object(Bucket=self._place.bucket, Key=key)["Body"].read()
        try:
            unpacker = zlib.decompressobj(wbits=31)
            text = unpacker.decompress(packed, MAX_FILE_BYTES)
            if unpacker.unconsumed_tail:
                self.cut = True  # the rest of an over-long file is left out, and the result says so
                return []
            records = json.loads(text)["Records"]
        except (zlib.error, ValueError, KeyError, TypeError):
            self.cut = True  # a damaged file is not an empty one: what it held is missing from the result
            return []
        return [r for r in records if isinstance(r, dict) and r.get("eventTime")]
