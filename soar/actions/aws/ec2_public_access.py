"""What a whole region lets in or out: public snapshots and images, and the serial console."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from soar.actions.aws.access import aws_errors, client
from soar.actions.aws.setting import Found, Said, Setting
from soar.actions.contract import ActionContext, Params, StateBefore, action
from soar.actions.errors import Refused
from soar.model.change import Target
from soar.model.terms import Phase, Risk

__all__ = ["BlockPublicSharing", "DisableSerialConsole"]

ALL, NEW, OPEN = "block-all-sharing", "block-new-sharing", "unblocked"
BY_ORGANIZATION = "declarative-policy"


def _region(ctx: ActionContext) -> Target:
    """The region itself, in the step's account."""
    with aws_errors("sts:GetCallerIdentity"):
        account = str(client(ctx, "sts").get_caller_identity()["Account"])
    meta = client(ctx, "ec2").meta
    return Target(
        uid=f"arn:{meta.partition}:ec2:{meta.region_name}:{account}:account",
        type="aws.ec2.region",
        name=f"{meta.region_name} of {account}",
        account=account,
        region=meta.region_name,
    )


def _ensure_ours(what: str, managed_by: str) -> None:
    if managed_by == BY_ORGANIZATION:
        raise Refused(
            f"{what} is set by a declarative policy of the organization, and cannot be changed in the account",
            hint="change the policy in the organization's management account",
        )


class SharingParams(Params):
    """How far sharing is blocked.

    Args:
        snapshots: `block-all-sharing` hides what is public already as well; `block-new-sharing` only forbids more.
    """

    snapshots: Literal["block-all-sharing", "block-new-sharing"] = "block-all-sharing"


class SharingBefore(StateBefore):
    """What may be made public in the region."""

    snapshots: str = Field(title="public sharing of snapshots")
    images: str = Field(title="public sharing of images")


@action(
    "aws.ec2.block_public_sharing",
    risk=Risk.REVERSIBLE,
    phase=Phase.CONTAINMENT,
    permissions=(
        "ec2:GetSnapshotBlockPublicAccessState",
        "ec2:EnableSnapshotBlockPublicAccess",
        "ec2:DisableSnapshotBlockPublicAccess",
        "ec2:GetImageBlockPublicAccessState",
        "ec2:EnableImageBlockPublicAccess",
        "ec2:DisableImageBlockPublicAccess",
        "ec2:DescribeImages",
        "sts:GetCallerIdentity",
    ),
    verify_timeout=900,
)
class BlockPublicSharing(Setting[SharingParams, SharingBefore]):
    """Let no snapshot and no image of a region be made public.

    Beyond that, snapshots that are public already are hidden (`block-all-sharing`), without their permissions being
    touched.

    Pre-condition: no declarative policy of the organization sets it. Blocked as far already: nothing is done.

    Verified by reading both states.

    Undone by writing both recorded states; snapshots that were public are public again. It refuses if they were
    changed since.

    Pitfalls: images that are public already stay public: take them back with `aws.ec2.unshare_image`. Sharing with
    single accounts is not touched. It holds for one account and one region. AWS takes up to ten minutes for it. Whoever
    holds a copy keeps it.

    Shown on replies of our own making: the simulated account has no such states.

    Example::

        - id: no_public
          name: Let nothing be made public
          do: aws.ec2.block_public_sharing
    """

    method = "ec2:GetSnapshotBlockPublicAccessState, ec2:GetImageBlockPublicAccessState"

    def look(self, ctx: ActionContext, params: SharingParams) -> Found[SharingBefore]:
        snapshots, images = _states(ctx)
        with aws_errors("ec2:DescribeImages"):
            pages = (
                client(ctx, "ec2")
                .get_paginator("describe_images")
                .paginate(Owners=["self"], Filters=[{"Name": "is-public", "Values": ["true"]}])
            )
            public = [i["ImageId"] for page in pages for i in page["Images"]]
        return Found(
            target=_region(ctx),
            state=SharingBefore(snapshots=snapshots["State"], images=images["ImageBlockPublicAccessState"]),
            facts=tuple(f"image {i} is public and stays so" for i in sorted(public)[:12]),
        )

    def wanted(self, params: SharingParams, state: SharingBefore) -> SharingBefore:
        return SharingBefore(snapshots=ALL if state.snapshots == ALL else params.snapshots, images=NEW)

    def guard(self, ctx: ActionContext, params: SharingParams, found: Found[SharingBefore]) -> None:
        for what, state in zip(
            ("public sharing of snapshots", "public sharing of images"), _states(ctx), strict=True
        ):
            _ensure_ours(what, state.get("ManagedBy", ""))

    def say(self, params: SharingParams, found: Found[SharingBefore], then: SharingBefore) -> Said:
        return Said(
            summary=f"Let nothing be made public in {found.target.name}",
            hits="Nobody can share a snapshot or image with everybody"
            + (", and public snapshots are hidden." if then.snapshots == ALL else "."),
            undo="Both recorded states are written back.",
        )

    def write(
        self, ctx: ActionContext, params: SharingParams, now: SharingBefore, then: SharingBefore
    ) -> None:
        ec2 = client(ctx, "ec2")
        if now.snapshots != then.snapshots:
            if then.snapshots == OPEN:
                with aws_errors("ec2:DisableSnapshotBlockPublicAccess"):
                    ec2.disable_snapshot_block_public_access()
            else:
                with aws_errors("ec2:EnableSnapshotBlockPublicAccess"):
                    ec2.enable_snapshot_block_public_access(State=then.snapshots)
        if now.images != then.images:
            if then.images == OPEN:
                with aws_errors("ec2:DisableImageBlockPublicAccess"):
                    ec2.disable_image_block_public_access()
            else:
                with aws_errors("ec2:EnableImageBlockPublicAccess"):
                    ec2.enable_image_block_public_access(ImageBlockPublicAccessState=then.images)


def _states(ctx: ActionContext) -> tuple[dict[str, Any], dict[str, Any]]:
    """The region's states for snapshots and for images, as the service gives them."""
    with aws_errors("ec2:GetSnapshotBlockPublicAccessState"):
        snapshots = client(ctx, "ec2").get_snapshot_block_public_access_state()
    with aws_errors("ec2:GetImageBlockPublicAccessState"):
        images = client(ctx, "ec2").get_image_block_public_access_state()
    return snapshots, images


class ConsoleParams(Params):
    """Nothing: it is one switch of the account in the region."""


class ConsoleBefore(StateBefore):
    """Whether the serial console may be used."""

    enabled: bool = Field(title="serial console")


@action(
    "aws.ec2.disable_serial_console",
    risk=Risk.REVERSIBLE,
    phase=Phase.CONTAINMENT,
    permissions=(
        "ec2:GetSerialConsoleAccessStatus",
        "ec2:DisableSerialConsoleAccess",
        "ec2:EnableSerialConsoleAccess",
        "sts:GetCallerIdentity",
    ),
)
class DisableSerialConsole(Setting[ConsoleParams, ConsoleBefore]):
    """Let nobody use the serial console of instances in a region.

    The console needs no network: it reaches an instance that is isolated.

    Pre-condition: no declarative policy of the organization sets it. It is off already: nothing is done.

    Verified by reading the region's switch.

    Undone by switching it on again. As it is one switch, nobody else can have moved it in between.

    Pitfalls: sessions that are open may go on until they are closed. Your own people may need it to mend an instance
    that does not boot. It holds for one account and one region.

    Shown on replies of our own making: the simulated account has no such switch.

    Example::

        - id: console
          name: Close the serial console
          do: aws.ec2.disable_serial_console
    """

    method = "ec2:GetSerialConsoleAccessStatus"

    def look(self, ctx: ActionContext, params: ConsoleParams) -> Found[ConsoleBefore]:
        return Found(
            target=_region(ctx),
            state=ConsoleBefore(enabled=_console(ctx)["SerialConsoleAccessEnabled"]),
        )

    def wanted(self, params: ConsoleParams, state: ConsoleBefore) -> ConsoleBefore:
        return ConsoleBefore(enabled=False)

    def guard(self, ctx: ActionContext, params: ConsoleParams, found: Found[ConsoleBefore]) -> None:
        _ensure_ours("the serial console", _console(ctx).get("ManagedBy", ""))

    def say(self, params: ConsoleParams, found: Found[ConsoleBefore], then: ConsoleBefore) -> Said:
        return Said(
            summary=f"Switch the serial console off in {found.target.name}",
            hits="Nobody can open a serial console to any instance of the region.",
            undo="It is switched on again.",
        )

    def write(
        self, ctx: ActionContext, params: ConsoleParams, now: ConsoleBefore, then: ConsoleBefore
    ) -> None:
        if then.enabled:
            with aws_errors("ec2:EnableSerialConsoleAccess"):
                client(ctx, "ec2").enable_serial_console_access()
        else:
            with aws_errors("ec2:DisableSerialConsoleAccess"):
                client(ctx, "ec2").disable_serial_console_access()


def _console(ctx: ActionContext) -> dict[str, Any]:
    with aws_errors("ec2:GetSerialConsoleAccessStatus"):
        found: dict[str, Any] = client(ctx, "ec2").get_serial_console_access_status()
    return found
