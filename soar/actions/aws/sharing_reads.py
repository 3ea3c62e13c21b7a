"""What of an account is shared with others: images, snapshots and database snapshots."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from soar.actions.aws.access import aws_errors, client
from soar.actions.aws.sharing import EVERYBODY, image_grants, snapshot_grants
from soar.actions.contract import ActionContext, Params, action
from soar.actions.errors import TargetGone
from soar.model.base import Fact
from soar.model.terms import Phase, Risk

__all__ = ["describe_sharing"]


class SharingParams(Params):
    """How far to look.

    Args:
        keep: Accounts (and ARNs of organizations) that may have access: they are not told of.
        at_most: Images, and again snapshots, that are looked at, newest first: each takes a call.
    """

    keep: tuple[str, ...] = ()
    at_most: int = Field(default=500, ge=1, le=5000)


class Shared(Fact):
    """One thing that others may use."""

    id: str
    type: str
    created_at: str
    public: bool
    shared_with: tuple[str, ...]


class Sharing(Fact):
    """What is shared outside.

    Args:
        not_looked_at: How many there are beyond `at_most`; with any, the list is not complete.
    """

    summary: str
    shared: tuple[Shared, ...]
    looked_at: int
    not_looked_at: int


@action(
    "aws.ec2.describe_sharing",
    risk=Risk.READ,
    phase=Phase.IDENTIFICATION,
    permissions=(
        "ec2:DescribeImages",
        "ec2:DescribeImageAttribute",
        "ec2:DescribeSnapshots",
        "ec2:DescribeSnapshotAttribute",
    ),
    plan_timeout=600,
)
def describe_sharing(ctx: ActionContext, params: SharingParams) -> Sharing:
    """Find the images and EBS snapshots of the account's region that others may use.

    Each is read by itself, newest first, as only its own attribute says with whom it is shared.

    Pitfalls: one call for each; a large account takes minutes, and what lies beyond `at_most` is counted and not looked
    at. It looks in one region. Whether somebody made a copy is in CloudTrail only.

    Example::

        - id: sharing
          do: aws.ec2.describe_sharing
          with:
            keep: ["444455556666"]
    """
    images = _owned(ctx, "describe_images", "Images", {"Owners": ["self"]}, "CreationDate")
    snapshots = _owned(ctx, "describe_snapshots", "Snapshots", {"OwnerIds": ["self"]}, "StartTime")
    found, looked_at = [], 0
    for kind, key, all_, read in (
        ("image", "ImageId", images, image_grants),
        ("snapshot", "SnapshotId", snapshots, snapshot_grants),
    ):
        for raw in all_[: params.at_most]:
            ctx.report(f"{looked_at} looked at")
            looked_at += 1
            try:
                grants = read(ctx, raw[key])
            except TargetGone:  # deleted since it was listed
                continue
            outside = tuple(g for g in grants if g not in params.keep and g != raw["OwnerId"])
            if outside:
                found.append(
                    Shared(
                        id=raw[key],
                        type=f"aws.ec2.{kind}",
                        created_at=_created(raw),
                        public=EVERYBODY in outside,
                        shared_with=outside,
                    )
                )
    public = sum(s.public for s in found)
    left = len(images) + len(snapshots) - looked_at
    return Sharing(
        summary=f"{len(found)} of {looked_at} image(s) and snapshot(s) are shared outside, {public} with everybody"
        + (f"; {left} not looked at" if left else ""),
        shared=tuple(found),
        looked_at=looked_at,
        not_looked_at=left,
    )


def _owned(
    ctx: ActionContext, operation: str, key: str, arguments: dict[str, Any], newest: str
) -> list[dict[str, Any]]:
    with aws_errors("ec2:" + "".join(part.title() for part in operation.split("_"))):
        pages = client(ctx, "ec2").get_paginator(operation).paginate(**arguments)
        found = [raw for page in pages for raw in page[key]]
    return sorted(found, key=lambda raw: str(raw.get(newest, "")), reverse=True)


def _created(raw: dict[str, Any]) -> str:
    at = raw.get("StartTime") or raw.get("CreationDate") or ""
    return at.isoformat() if hasattr(at, "isoformat") else str(at)
