"""Take images and snapshots back from whom they were shared with."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, TypeVar

from pydantic import Field

from soar.actions.aws.access import aws_errors, client
from soar.actions.contract import Action, ActionContext, Draft, Params, Planned, StateBefore, action
from soar.model.change import BlastRadius, Change, Result, Target, Verification
from soar.model.terms import Phase, Risk

__all__ = ["UnshareDbSnapshot", "UnshareImage", "UnshareSnapshot", "image_grants", "snapshot_grants"]

EVERYBODY = "all"
KINDS = {
    "Group": "UserGroups",
    "UserId": "UserIds",
    "OrganizationArn": "OrganizationArns",
    "OrganizationalUnitArn": "OrganizationalUnitArns",
}
"""How EC2 calls whom an image is shared with: in its replies, and in its requests."""


class KeepParams(Params):
    """Whom it stays shared with.

    Args:
        keep: Account ids (and ARNs of organizations and their units) that keep their access, the forensic account
            for one.
    """

    keep: tuple[str, ...] = ()


class ImageParams(KeepParams):
    """Which image."""

    image_id: str = Field(pattern=r"^ami-[0-9a-f]{8,17}$")


class SnapshotParams(KeepParams):
    """Which EBS snapshot."""

    snapshot_id: str = Field(pattern=r"^snap-[0-9a-f]{8,17}$")


class DbSnapshotParams(KeepParams):
    """Which manual snapshot of an RDS instance."""

    snapshot_id: str = Field(min_length=1, max_length=255)


class SharesBefore(StateBefore):
    """With whom it is not to be shared any more, sorted; `all` is everybody."""

    removed: tuple[str, ...]


P = TypeVar("P", bound=KeepParams)


class _Unshare(Action[P, SharesBefore]):
    """What the three have in common; each says what it is and how its sharing is read and written."""

    method: str
    kind: str

    @abstractmethod
    def find(self, ctx: ActionContext, params: P) -> Target:
        """The thing itself, as a plan names it."""

    @abstractmethod
    def grants(self, ctx: ActionContext, params: P) -> tuple[str, ...]:
        """With whom it is shared now, sorted."""

    @abstractmethod
    def write(self, ctx: ActionContext, params: P, operation: str, who: tuple[str, ...]) -> None:
        """`add` or `remove` some, in one call."""

    def plan(self, ctx: ActionContext, params: P) -> Draft[SharesBefore]:
        target = self.find(ctx, params)
        now = self.grants(ctx, params)
        removed = tuple(g for g in now if g not in params.keep and g != target.account)
        return Draft(
            summary=f"Take {self.kind} {target.name} back from {_names(removed)}"
            if removed
            else f"{self.kind} {target.name} is shared with nobody who should not have it",
            targets=(target,),
            changes=tuple(
                Change(target=target.uid, field=f"shared with {_names((g,))}", before=True, after=False)
                for g in removed
            ),
            state=SharesBefore(removed=removed),
            blast_radius=BlastRadius(
                summary="They can no longer use it; copies that they made stay theirs.",
                facts=tuple(f"stays shared with {g}" for g in now if g not in removed),
            )
            if removed
            else BlastRadius(),
            warnings=("Who had access may hold a copy already: treat the content as disclosed.",)
            if removed
            else (),
            undo="It is shared again with exactly those who lost it.",
        )

    def apply(self, ctx: ActionContext, planned: Planned[P, SharesBefore]) -> Result:
        left = tuple(g for g in self.grants(ctx, planned.params) if g in planned.state.removed)
        if left:
            self.write(ctx, planned.params, "remove", left)
        return Result(summary=f"no longer shared with {_names(planned.state.removed)}")

    def verify(self, ctx: ActionContext, planned: Planned[P, SharesBefore]) -> Verification:
        now = self.grants(ctx, planned.params)
        left = tuple(g for g in now if g in planned.state.removed)
        return Verification(
            verified=not left,
            seen=f"still shared with {_names(left)}" if left else f"shared with {_names(now)}",
            method=self.method,
        )

    def undo(self, ctx: ActionContext, planned: Planned[P, SharesBefore]) -> Result:
        now = self.grants(ctx, planned.params)
        missing = tuple(g for g in planned.state.removed if g not in now)
        if missing:
            self.write(ctx, planned.params, "add", missing)
        return Result(summary=f"shared again with {_names(planned.state.removed)}")


def _names(grants: tuple[str, ...]) -> str:
    return ", ".join("everybody" if g == EVERYBODY else g for g in grants) or "nobody"


def image_grants(ctx: ActionContext, image_id: str) -> tuple[str, ...]:
    """With whom an image is shared: account ids, ARNs, `all`."""
    with aws_errors("ec2:DescribeImageAttribute"):
        reply = client(ctx, "ec2").describe_image_attribute(ImageId=image_id, Attribute="launchPermission")
    return tuple(sorted(str(g[k]) for g in reply.get("LaunchPermissions", []) for k in KINDS if g.get(k)))


def snapshot_grants(ctx: ActionContext, snapshot_id: str) -> tuple[str, ...]:
    """With whom an EBS snapshot is shared: account ids, `all`."""
    with aws_errors("ec2:DescribeSnapshotAttribute"):
        reply = client(ctx, "ec2").describe_snapshot_attribute(
            SnapshotId=snapshot_id, Attribute="createVolumePermission"
        )
    found = reply.get("CreateVolumePermissions", [])
    return tuple(sorted({str(g[k]) for g in found for k in ("Group", "UserId") if g.get(k)}))


def _split(who: tuple[str, ...]) -> dict[str, list[str]]:
    """Recorded grants as the request's arguments."""
    found: dict[str, list[str]] = {}
    for grant in who:
        kind = (
            "Group"
            if grant == EVERYBODY
            else "UserId"
            if not grant.startswith("arn:")
            else "OrganizationalUnitArn"
            if ":ou/" in grant
            else "OrganizationArn"
        )
        found.setdefault(KINDS[kind], []).append(grant)
    return found


def _ec2_target(ctx: ActionContext, raw: dict[str, Any], kind: str, name: str) -> Target:
    meta = client(ctx, "ec2").meta
    return Target(
        uid=f"arn:{meta.partition}:ec2:{meta.region_name}:{raw['OwnerId']}:{kind}/{name}",
        type=f"aws.ec2.{kind}",
        name=name,
        account=raw["OwnerId"],
        region=meta.region_name,
        tags={t["Key"]: t["Value"] for t in raw.get("Tags", [])},
    )


@action(
    "aws.ec2.unshare_image",
    risk=Risk.REVERSIBLE,
    phase=Phase.CONTAINMENT,
    permissions=("ec2:DescribeImages", "ec2:DescribeImageAttribute", "ec2:ModifyImageAttribute"),
)
class UnshareImage(_Unshare[ImageParams], Action[ImageParams, SharesBefore]):
    """Take an image (AMI) back from other accounts, organizations and everybody.

    Pre-condition: the image exists in this account. Shared with nobody but `keep`: nothing is done.

    Verified by reading its launch permissions: none of those removed is there.

    Undone by granting exactly the removed permissions again. It refuses if one of them came back by another hand.

    Pitfalls: copies that others made, and instances that run from it, stay. The snapshots behind it are shared by
    themselves: take them back as well.

    Example::

        - id: unshare
          do: aws.ec2.unshare_image
          with:
            image_id: ami-0123456789abcdef0
            keep: ["444455556666"]
    """

    method = "ec2:DescribeImageAttribute"
    kind = "image"

    def find(self, ctx: ActionContext, params: ImageParams) -> Target:
        with aws_errors("ec2:DescribeImages"):
            raw = client(ctx, "ec2").describe_images(ImageIds=[params.image_id])["Images"][0]
        return _ec2_target(ctx, raw, "image", params.image_id)

    def grants(self, ctx: ActionContext, params: ImageParams) -> tuple[str, ...]:
        return image_grants(ctx, params.image_id)

    def write(self, ctx: ActionContext, params: ImageParams, operation: str, who: tuple[str, ...]) -> None:
        with aws_errors("ec2:ModifyImageAttribute"):
            client(ctx, "ec2").modify_image_attribute(
                ImageId=params.image_id, Attribute="launchPermission", OperationType=operation, **_split(who)
            )


@action(
    "aws.ec2.unshare_snapshot",
    risk=Risk.REVERSIBLE,
    phase=Phase.CONTAINMENT,
    permissions=("ec2:DescribeSnapshots", "ec2:DescribeSnapshotAttribute", "ec2:ModifySnapshotAttribute"),
)
class UnshareSnapshot(_Unshare[SnapshotParams], Action[SnapshotParams, SharesBefore]):
    """Take an EBS snapshot back from other accounts and everybody.

    Pre-condition: the snapshot exists in this account. Shared with nobody but `keep`: nothing is done.

    Verified by reading its permissions to create volumes: none of those removed is there.

    Undone by granting exactly the removed permissions again. It refuses if one of them came back by another hand.

    Pitfalls: copies and volumes that others made of it stay theirs; what was on the disk, keys above all, is disclosed.

    Example::

        - id: unshare
          do: aws.ec2.unshare_snapshot
          with:
            snapshot_id: snap-0123456789abcdef0
    """

    method = "ec2:DescribeSnapshotAttribute"
    kind = "snapshot"

    def find(self, ctx: ActionContext, params: SnapshotParams) -> Target:
        with aws_errors("ec2:DescribeSnapshots"):
            raw = client(ctx, "ec2").describe_snapshots(SnapshotIds=[params.snapshot_id])["Snapshots"][0]
        return _ec2_target(ctx, raw, "snapshot", params.snapshot_id)

    def grants(self, ctx: ActionContext, params: SnapshotParams) -> tuple[str, ...]:
        return snapshot_grants(ctx, params.snapshot_id)

    def write(self, ctx: ActionContext, params: SnapshotParams, operation: str, who: tuple[str, ...]) -> None:
        given = {"GroupNames" if key == "UserGroups" else key: value for key, value in _split(who).items()}
        with aws_errors("ec2:ModifySnapshotAttribute"):
            client(ctx, "ec2").modify_snapshot_attribute(
                SnapshotId=params.snapshot_id,
                Attribute="createVolumePermission",
                OperationType=operation,
                **given,
            )


@action(
    "aws.rds.unshare_snapshot",
    risk=Risk.REVERSIBLE,
    phase=Phase.CONTAINMENT,
    permissions=(
        "rds:DescribeDBSnapshots",
        "rds:DescribeDBSnapshotAttributes",
        "rds:ModifyDBSnapshotAttribute",
    ),
)
class UnshareDbSnapshot(_Unshare[DbSnapshotParams], Action[DbSnapshotParams, SharesBefore]):
    """Take a manual snapshot of a database instance back from other accounts and everybody.

    Pre-condition: the snapshot exists in this account. Shared with nobody but `keep`: nothing is done.

    Verified by reading who may restore it: none of those removed is there.

    Undone by granting exactly the removed permissions again. It refuses if one of them came back by another hand.

    Pitfalls: copies and databases that others made of it stay theirs. Snapshots of Aurora clusters are another kind
    and not covered.

    Example::

        - id: unshare
          do: aws.rds.unshare_snapshot
          with:
            snapshot_id: customers-before-migration
    """

    method = "rds:DescribeDBSnapshotAttributes"
    kind = "database snapshot"

    def find(self, ctx: ActionContext, params: DbSnapshotParams) -> Target:
        with aws_errors("rds:DescribeDBSnapshots"):
            found = client(ctx, "rds").describe_db_snapshots(DBSnapshotIdentifier=params.snapshot_id)
        arn = str(found["DBSnapshots"][0]["DBSnapshotArn"])
        parts = arn.split(":")
        return Target(
            uid=arn, type="aws.rds.snapshot", name=params.snapshot_id, account=parts[4], region=parts[3]
        )

    def grants(self, ctx: ActionContext, params: DbSnapshotParams) -> tuple[str, ...]:
        with aws_errors("rds:DescribeDBSnapshotAttributes"):
            reply = client(ctx, "rds").describe_db_snapshot_attributes(
                DBSnapshotIdentifier=params.snapshot_id
            )
        attributes = reply["DBSnapshotAttributesResult"].get("DBSnapshotAttributes", [])
        return tuple(
            sorted(
                v for a in attributes if a["AttributeName"] == "restore" for v in a.get("AttributeValues", [])
            )
        )

    def write(
        self, ctx: ActionContext, params: DbSnapshotParams, operation: str, who: tuple[str, ...]
    ) -> None:
        with aws_errors("rds:ModifyDBSnapshotAttribute"):
            client(ctx, "rds").modify_db_snapshot_attribute(
                DBSnapshotIdentifier=params.snapshot_id,
                AttributeName="restore",
                **{"ValuesToAdd" if operation == "add" else "ValuesToRemove": list(who)},
            )
