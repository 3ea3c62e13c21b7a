"""What was deleted and overwritten in a bucket since some moment, told from the versions that it keeps."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from itertools import groupby
from typing import Any, Literal

from pydantic import Field

from soar.actions.aws.access import aws_errors, client
from soar.actions.aws.s3_bucket import BucketParams, setting
from soar.actions.contract import ActionContext, action
from soar.model.base import Fact, UtcTime, canonical_json
from soar.model.terms import Phase, Risk

__all__ = ["History", "KeyHistory", "SinceParams", "Version", "histories", "list_versions", "read_history"]

MOST_READ = 200_000
"""Versions that one step reads: 200 calls, some minutes."""
PAGE = 1000
LARGEST_COPY = 5 * 1024**3
"""Bytes that one call copies."""
ARCHIVED = frozenset({"GLACIER", "DEEP_ARCHIVE"})
"""Storage classes that are read only after they were asked for, hours before."""

Kind = Literal["deleted", "overwritten", "created"]


class SinceParams(BucketParams):
    """Which objects, and since when.

    Args:
        prefix: Only objects whose names begin so.
        since: The moment before which all was well. S3 keeps whole seconds, so that it is rounded down to one.
        after_key: Only objects whose names come after this one: for going on where a step before stopped.
    """

    prefix: str = Field(default="", max_length=1024)
    since: UtcTime
    after_key: str = Field(default="", max_length=1024)

    @property
    def moment(self) -> datetime:
        """`since` in whole seconds."""
        return self.since.replace(microsecond=0)


class ListParams(SinceParams):
    """How many objects to name.

    Args:
        most: Objects in the result; the evidence has them all.
    """

    most: int = Field(default=100, ge=1, le=1000)


class Version(Fact):
    """A version of an object, or a delete marker."""

    version_id: str
    marker: bool
    modified_at: UtcTime
    size: int
    etag: str
    storage_class: str


class KeyHistory(Fact):
    """What happened to one object since.

    Args:
        kind: `deleted`: it is not shown any more; `overwritten`: it has another content; `created`: it was not there.
        at: When it was last touched.
        newer: Versions and markers since then, newest first.
        good: The version that was current at the moment; None: there was none, or it is gone.
        obstacle: Why the good version cannot be brought back by a step; empty: it can.
    """

    key: str
    kind: Kind
    at: UtcTime
    newer: tuple[Version, ...]
    good: Version | None
    obstacle: str


class History(Fact):
    """What happened to objects since.

    Args:
        read: Versions and markers that were read.
        next_key: Where to go on; empty: everything was read.
    """

    keys: tuple[KeyHistory, ...]
    read: int
    next_key: str


class VersionsFound(Fact):
    """What was done to objects since some moment.

    Args:
        versioning: `Enabled`, `Suspended`, or empty: never on, so that nothing can be told or brought back.
        restorable: How many of the deleted and overwritten ones `aws.s3.restore_objects` can bring back.
        objects: The first ones, by name.
        new_objects: Names of objects that were not there before: ransom notes are among them.
        next_key: Where to go on with `after_key`; empty: everything was read.
    """

    summary: str
    bucket: str
    versioning: str
    deleted: int
    overwritten: int
    created: int
    restorable: int
    first_at: UtcTime | None
    last_at: UtcTime | None
    objects: tuple[KeyHistory, ...]
    new_objects: tuple[str, ...]
    next_key: str


@action(
    "aws.s3.list_versions",
    risk=Risk.READ,
    phase=Phase.IDENTIFICATION,
    permissions=("s3:ListBucketVersions", "s3:GetBucketVersioning"),
    plan_timeout=900,
)
def list_versions(ctx: ActionContext, params: ListParams) -> VersionsFound:
    """Say which objects of a bucket were deleted, overwritten or added since a moment.

    For ransom and sabotage in a bucket with versioning: from the versions and delete markers follows what each object
    was before, and whether it can be brought back (`aws.s3.restore_objects`).

    Evidence: one JSON document with every object that was touched, its versions since, and the one from before.

    Pitfalls: versions that were deleted for good do not show; a missing `good` version says so. S3 keeps the times of
    versions in whole seconds. Who did it is in data events of a trail or in access logs only. At most 200 000 versions
    are read by one step: go on with `after_key`.

    Example::

        - id: damage
          name: See what was deleted and overwritten
          do: aws.s3.list_versions
          with:
            bucket: '{{ (alert | resource("aws.s3.bucket")).name }}'
            since: "2026-03-01T04:00:00Z"
    """
    history = read_history(ctx, params)
    versioning = setting(ctx, params.bucket, "get_bucket_versioning", "s3:GetBucketVersioning") or {}
    ctx.keep_evidence(
        f"{params.bucket}-versions.json",
        canonical_json(history.model_dump(mode="json")).encode(),
        media_type="application/json",
        source="s3:ListObjectVersions",
    )
    count = {
        kind: sum(k.kind == kind for k in history.keys) for kind in ("deleted", "overwritten", "created")
    }
    restorable = sum(not k.obstacle and k.kind != "created" for k in history.keys)
    times = [k.at for k in history.keys]
    status = str(versioning.get("Status", ""))
    return VersionsFound(
        summary=f"{params.bucket}: {count['deleted']} object(s) deleted, {count['overwritten']} overwritten, "
        f"{count['created']} added since {params.moment:%Y-%m-%d %H:%M:%S} UTC; {restorable} can be brought back"
        + ("" if status else "; versioning was never on")
        + (f"; more after {history.next_key}" if history.next_key else ""),
        bucket=params.bucket,
        versioning=status,
        restorable=restorable,
        first_at=min((v.modified_at for k in history.keys for v in k.newer), default=None),
        last_at=max(times, default=None),
        objects=tuple(k for k in history.keys if k.kind != "created")[: params.most],
        new_objects=tuple(k.key for k in history.keys if k.kind == "created")[: params.most],
        next_key=history.next_key,
        **count,
    )


def read_history(ctx: ActionContext, params: SinceParams) -> History:
    """Read a bucket's versions and say what happened to each object that was touched since."""
    s3, entries, marker = client(ctx, "s3"), [], {"KeyMarker": params.after_key} if params.after_key else {}
    next_key = ""
    while True:
        with aws_errors("s3:ListBucketVersions"):
            page = s3.list_object_versions(Bucket=params.bucket, Prefix=params.prefix, MaxKeys=PAGE, **marker)
        entries += [(v["Key"], _version(v, marker=False)) for v in page.get("Versions", [])]
        entries += [(v["Key"], _version(v, marker=True)) for v in page.get("DeleteMarkers", [])]
        if not page.get("IsTruncated"):
            break
        marker = {"KeyMarker": page["NextKeyMarker"], "VersionIdMarker": page.get("NextVersionIdMarker", "")}
        marker = {key: value for key, value in marker.items() if value}
        ctx.report(f"{len(entries)} versions read, at {page['NextKeyMarker']}")
        if len(entries) >= MOST_READ:
            # The last object may have been read in part: it is left to the step that goes on.
            last = page["NextKeyMarker"]
            entries = [e for e in entries if e[0] != last]
            next_key = max((k for k, _ in entries), default="")
            break
    return History(keys=histories(entries, params.moment), read=len(entries), next_key=next_key)


def _version(raw: dict[str, Any], *, marker: bool) -> Version:
    return Version(
        version_id=str(raw["VersionId"]),
        marker=marker,
        modified_at=raw["LastModified"],
        size=int(raw.get("Size") or 0),
        etag=str(raw.get("ETag", "")).strip('"'),
        storage_class=str(raw.get("StorageClass", "")),
    )


def histories(entries: Iterable[tuple[str, Version]], moment: datetime) -> tuple[KeyHistory, ...]:
    """What happened to each object that was touched at the moment or after, by name. Pure.

    Args:
        entries: The key and a version of it; versions of one second keep the order in which they are given, newest
            first, but a delete marker counts as newer than what was written in the same second.
    """
    by_key = sorted(entries, key=lambda e: (e[0], -e[1].modified_at.timestamp(), not e[1].marker))
    found = (_history(key, [v for _, v in group], moment) for key, group in groupby(by_key, lambda e: e[0]))
    return tuple(h for h in found if h is not None)


def _history(key: str, versions: list[Version], moment: datetime) -> KeyHistory | None:
    newer = tuple(v for v in versions if v.modified_at >= moment)
    if not newer:
        return None
    before = next((v for v in versions if v.modified_at < moment), None)
    good = before if before and not before.marker else None
    latest = newer[0]
    if good is None and latest.marker and all(v.marker for v in newer):
        # Only markers: what they hid is gone for good, or was hidden before already.
        kind: Kind = "deleted"
    elif good is None:
        kind = "created"
    else:
        kind = "deleted" if latest.marker else "overwritten"
    return KeyHistory(
        key=key,
        kind=kind,
        at=latest.modified_at,
        newer=newer,
        good=good,
        obstacle=_obstacle(kind, good, newer),
    )


def _obstacle(kind: Kind, good: Version | None, newer: tuple[Version, ...]) -> str:
    if kind == "created":
        return "it was not there before"
    if good is None:
        return "no version from before is left"
    if all(v.marker for v in newer):
        return ""  # taking the markers away copies nothing
    if good.size > LARGEST_COPY:
        return "it is larger than 5 GiB, which takes a copy in parts"
    if good.storage_class in ARCHIVED:
        return f"its version is archived ({good.storage_class}) and must be asked for first"
    return ""
