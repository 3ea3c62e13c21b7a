"""Copies of snapshots that a forensic account can read, and that nobody deletes by mistake."""

from __future__ import annotations

from typing import Annotated, Any

from botocore.exceptions import ClientError
from pydantic import Field

from soar.actions.aws.access import aws_errors, client, tags_for
from soar.actions.aws.ec2_instance import tags_of
from soar.actions.contract import Action, ActionContext, Draft, Params, Planned, StateBefore, action
from soar.actions.errors import ActionError, BadInput, TargetGone, Unavailable
from soar.model.base import Fact
from soar.model.change import BlastRadius, Change, Result, Target, Verification
from soar.model.terms import Phase, Risk

__all__ = ["CopySnapshotsToForensics"]

LOOK_EVERY = 15.0
"""Seconds between two looks at running copies; they take minutes to hours."""
SOURCE_TAG = "soar:source"
BUSY = frozenset({"ResourceLimitExceeded", "ConcurrentSnapshotLimitExceeded", "SnapshotCopyLimitExceeded"})
"""Too many copies are under way to this region (EBS quotas): later there is room."""


class CopyParams(Params):
    """What to copy, and for whom.

    Args:
        lock_days: Days in which the copies cannot be deleted without unlocking them first; 0: they are not locked.
    """

    snapshot_ids: tuple[Annotated[str, Field(pattern=r"^snap-[0-9a-f]{8,17}$")], ...] = Field(
        min_length=1, max_length=20, description="EBS snapshots of the step's account and region"
    )
    kms_key_arn: str = Field(
        pattern=r"^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[0-9a-z-]{8,64}$",
        description="the forensic account's key, by its own ARN (no alias), in the step's region; the copies are "
        "shared with its account",
    )
    lock_days: int = Field(default=90, ge=0, le=36500)

    @property
    def forensic_account(self) -> str:
        """The account that the key belongs to."""
        return self.kms_key_arn.split(":")[4]


class SourceRef(Fact):
    """A snapshot that is to be copied."""

    snapshot_id: str
    size_gib: int = Field(ge=0)
    encrypted: bool


class CopyRef(Fact):
    """A copy that this step has made already, by the snapshot that it is of."""

    source: str
    shared: bool
    locked: bool


class SourcesBefore(StateBefore):
    """What is to be copied, and what an earlier plan of this step made of it already."""

    sources: tuple[SourceRef, ...]
    copies: tuple[CopyRef, ...] = ()


@action(
    "aws.ec2.copy_snapshots_to_forensics",
    risk=Risk.REVERSIBLE,
    phase=Phase.CONTAINMENT,
    permissions=(
        "ec2:CopySnapshot",
        "ec2:CreateTags",
        "ec2:DeleteSnapshot",
        "ec2:DescribeLockedSnapshots",
        "ec2:DescribeSnapshotAttribute",
        "ec2:DescribeSnapshots",
        "ec2:LockSnapshot",
        "ec2:ModifySnapshotAttribute",
        "ec2:UnlockSnapshot",
        "kms:CreateGrant",
        "kms:Decrypt",
        "kms:DescribeKey",
        "kms:GenerateDataKeyWithoutPlaintext",
        "kms:ReEncryptFrom",
        "kms:ReEncryptTo",
    ),
    apply_timeout=12 * 3600,
    verify_timeout=300,
)
class CopySnapshotsToForensics(Action[CopyParams, SourcesBefore]):
    """Copy snapshots under the forensic account's key, share the copies with that account, and lock them.

    A snapshot under the key `aws/ebs` can be read by nobody else; a copy under a key of the forensic account can. The
    copies carry the tags `soar:incident`, `soar:step` and `soar:source`. The lock (governance mode) keeps them from
    being deleted by mistake, or by an attacker without the permission to unlock.

    Pre-condition: the snapshots are complete or being made, in this account and region; the key is of another account,
    in this region, and its policy lets this account's responder role use it and grant its use. If this step has copies
    already, they are used.

    Verified by reading the copies by their tags: one for each snapshot, completed, under the key, shared with the
    forensic account, and locked.

    Undone by unlocking and deleting the copies that this very step made; others, and the snapshots, are not touched.

    Pitfalls: the copies belong to the incident's account, and go with it: the forensic account should copy them once
    more for itself. Undoing deletes evidence. A key policy that does not let us in shows only after some minutes, as
    a failed copy. Each copy is a full one, and billed. A lock in compliance mode, which nobody can lift, is left to
    people.

    Locks were shown on replies of our own making: the simulated account has none.

    Example::

        - id: to_forensics
          name: Hand the disks to forensics
          do: aws.ec2.copy_snapshots_to_forensics
          timeout: 12h
          with:
            snapshot_ids: [snap-0123456789abcdef0]
            kms_key_arn: arn:aws:kms:us-east-1:444455556666:key/0a1b2c3d-0000-1111-2222-333344445555
            lock_days: 180
    """

    def plan(self, ctx: ActionContext, params: CopyParams) -> Draft[SourcesBefore]:
        sources = _sources(ctx, params)
        region = client(ctx, "ec2").meta.region_name
        if params.kms_key_arn.split(":")[3] != region:
            raise BadInput(
                f"key {params.kms_key_arn} is not in {region}, where the snapshots are",
                hint="name a key of that region; a multi-Region key has a replica's ARN for each",
            )
        owners = {str(s["OwnerId"]) for s in sources}
        if params.forensic_account in owners:
            raise BadInput(
                f"key {params.kms_key_arn} belongs to the snapshots' own account {params.forensic_account}",
                hint="name a key of the forensic account, which the attacker cannot reach",
            )
        targets = tuple(_target(ctx, s) for s in sources)
        missing = _missing(ctx, params)
        size = sum(int(s["VolumeSize"]) for s in sources)
        return Draft(
            summary=f"Copy {len(sources)} snapshot(s) ({size} GiB) for forensic account {params.forensic_account}"
            if missing
            else f"Forensic account {params.forensic_account} has its copy of each snapshot",
            targets=targets,
            changes=tuple(
                Change(
                    target=target.uid,
                    field="copy for forensics",
                    before=None,
                    after=f"completed, under the key of {params.forensic_account}, shared with it"
                    + (f", locked for {params.lock_days} days" if params.lock_days else ""),
                )
                for target in targets
                # All of them until the last one is done: a retry in between finds the same plan.
                if missing
            ),
            state=SourcesBefore(
                sources=tuple(
                    SourceRef(
                        snapshot_id=s["SnapshotId"],
                        size_gib=int(s["VolumeSize"]),
                        encrypted=bool(s.get("Encrypted")),
                    )
                    for s in sources
                ),
                copies=_recorded(ctx, params),
            ),
            blast_radius=BlastRadius(
                summary="Nothing is interrupted; whoever may use the forensic account's key can read the disks.",
                facts=(f"{size} GiB of full copies are billed until they are deleted.",),
            ),
            undo="The copies that this step made are unlocked and deleted, evidence or not.",
        )

    def apply(self, ctx: ActionContext, planned: Planned[CopyParams, SourcesBefore]) -> Result:
        params = planned.params
        begun = _copies(ctx, params)
        failed_before = {c["SnapshotId"] for c in begun if c["State"] == "error"}
        have = {_source(c) for c in begun if c["State"] != "error"}
        for source in planned.state.sources:
            if source.snapshot_id not in have:
                _copy(ctx, params, source.snapshot_id)
        copies = _wait(ctx, planned, failed_before)
        for copy in copies:
            _hand_over(ctx, params, copy["SnapshotId"])
        return Result(
            summary=f"{len(copies)} copies for {params.forensic_account}: "
            + ", ".join(f"{c['SnapshotId']} of {_source(c)}" for c in copies),
            data={"copies": {_source(c): str(c["SnapshotId"]) for c in copies}},
        )

    def verify(self, ctx: ActionContext, planned: Planned[CopyParams, SourcesBefore]) -> Verification:
        missing = _missing(ctx, planned.params)
        done = {_source(c): str(c["SnapshotId"]) for c in _copies(ctx, planned.params)}
        return Verification(
            verified=not missing,
            seen="; ".join(f"{source}: {problem}" for source, problem in sorted(missing.items()))
            or ", ".join(
                f"{copy} of {source} completed and handed over" for source, copy in sorted(done.items())
            ),
            method="ec2:DescribeSnapshots",
            data={"copies": dict(done)},
        )

    def undo(self, ctx: ActionContext, planned: Planned[CopyParams, SourcesBefore]) -> Result:
        ours = _copies(ctx, planned.params)
        locked, ec2 = _locked(ctx, ours), client(ctx, "ec2")
        before = {c.source: c for c in planned.state.copies}
        deleted = 0
        for copy in ours:
            number, kept = copy["SnapshotId"], before.get(_source(copy))
            # Unlocked before it is deleted: the service deletes no locked snapshot.
            if number in locked and not (kept and kept.locked):
                with aws_errors("ec2:UnlockSnapshot"):
                    ec2.unlock_snapshot(SnapshotId=number)
            if kept is None:
                with aws_errors("ec2:DeleteSnapshot"):
                    ec2.delete_snapshot(SnapshotId=number)
                deleted += 1
            elif not kept.shared:
                _share(ctx, planned.params, number, "remove")
        return Result(summary=f"deleted {deleted} copies that this step had made")


def _sources(ctx: ActionContext, params: CopyParams) -> list[dict[str, Any]]:
    wanted = sorted(set(params.snapshot_ids))
    with aws_errors("ec2:DescribeSnapshots"):
        found = client(ctx, "ec2").describe_snapshots(SnapshotIds=wanted)["Snapshots"]
    missing = sorted(set(wanted) - {s["SnapshotId"] for s in found})
    if missing:
        raise TargetGone(
            f"there is no snapshot {', '.join(missing)} here",
            hint="check the ids, the account and the region",
        )
    failed = sorted(s["SnapshotId"] for s in found if s["State"] == "error")
    if failed:
        raise BadInput(f"snapshot {', '.join(failed)} failed and holds nothing", hint="take it anew")
    return sorted(found, key=lambda s: str(s["SnapshotId"]))


def _target(ctx: ActionContext, raw: dict[str, Any]) -> Target:
    meta = client(ctx, "ec2").meta
    return Target(
        uid=f"arn:{meta.partition}:ec2:{meta.region_name}:{raw['OwnerId']}:snapshot/{raw['SnapshotId']}",
        type="aws.ec2.snapshot",
        name=raw["SnapshotId"],
        account=raw["OwnerId"],
        region=meta.region_name,
        tags=tags_of(raw),
    )


def _source(copy: dict[str, Any]) -> str:
    return tags_of(copy).get(SOURCE_TAG, "")


def _copies(ctx: ActionContext, params: CopyParams) -> list[dict[str, Any]]:
    """The copies that this step made, by what they are copies of."""
    marks = {t["Key"]: t["Value"] for t in tags_for(ctx)}
    with aws_errors("ec2:DescribeSnapshots"):
        pages = (
            client(ctx, "ec2")
            .get_paginator("describe_snapshots")
            .paginate(
                OwnerIds=["self"],
                Filters=[{"Name": f"tag:{SOURCE_TAG}", "Values": sorted(set(params.snapshot_ids))}],
            )
        )
        found = [s for page in pages for s in page["Snapshots"]]
    # Filters know wildcards, which an incident's name may hold: the marks are compared here.
    ours = [s for s in found if all(tags_of(s).get(k) == v for k, v in marks.items())]
    return sorted(ours, key=lambda s: (_source(s), str(s["SnapshotId"])))


def _copy(ctx: ActionContext, params: CopyParams, source: str) -> None:
    ec2 = client(ctx, "ec2")
    tags = [*tags_for(ctx), {"Key": SOURCE_TAG, "Value": source}]
    with aws_errors("ec2:CopySnapshot"):
        try:
            ec2.copy_snapshot(
                SourceRegion=ec2.meta.region_name,
                SourceSnapshotId=source,
                Description=f"Evidence: copy of {source}",
                Encrypted=True,
                KmsKeyId=params.kms_key_arn,
                TagSpecifications=[{"ResourceType": "snapshot", "Tags": tags}],
            )
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") not in BUSY:
                raise
            raise Unavailable("too many copies are under way to this region; the step tries again") from error


def _wait(
    ctx: ActionContext, planned: Planned[CopyParams, SourcesBefore], failed_before: set[str]
) -> list[dict[str, Any]]:
    """Wait until each snapshot has its completed copy."""
    wanted = {s.snapshot_id for s in planned.state.sources}
    while True:
        mine = [c for c in _copies(ctx, planned.params) if c["SnapshotId"] not in failed_before]
        failed = [
            f"{c['SnapshotId']} of {_source(c)}: {c.get('StateMessage', '')}"
            for c in mine
            if c["State"] == "error"
        ]
        if failed:
            raise ActionError(
                f"a copy failed: {'; '.join(failed)}",
                hint="see that the key's policy lets this account use it and make grants, then retry the step",
            )
        done = [c for c in mine if c["State"] == "completed"]
        if {_source(c) for c in done} == wanted:
            return done
        ctx.report("; ".join(f"{c['SnapshotId']} {c.get('Progress') or c['State']}" for c in mine))
        if not ctx.wait(LOOK_EVERY):
            raise Unavailable(
                "the step was cancelled while its copies are still being made; they stay and go on"
            )


def _hand_over(ctx: ActionContext, params: CopyParams, copy: str) -> None:
    """Share a copy with the forensic account, and lock it."""
    ec2 = client(ctx, "ec2")
    if params.forensic_account not in _shared_with(ctx, copy):
        _share(ctx, params, copy, "add")
    # Last, and only once: a lock that is set again would be set anew for its whole time.
    if params.lock_days and copy not in _locked(ctx, [{"SnapshotId": copy}]):
        with aws_errors("ec2:LockSnapshot"):
            ec2.lock_snapshot(SnapshotId=copy, LockMode="governance", LockDuration=params.lock_days)


def _share(ctx: ActionContext, params: CopyParams, copy: str, operation: str) -> None:
    with aws_errors("ec2:ModifySnapshotAttribute"):
        client(ctx, "ec2").modify_snapshot_attribute(
            SnapshotId=copy,
            Attribute="createVolumePermission",
            OperationType=operation,
            UserIds=[params.forensic_account],
        )


def _recorded(ctx: ActionContext, params: CopyParams) -> tuple[CopyRef, ...]:
    """The copies of this step that are good, or on their way, as a plan records them."""
    copies = [c for c in _copies(ctx, params) if c["State"] != "error"]
    locked = _locked(ctx, copies)
    return tuple(
        CopyRef(
            source=_source(c),
            shared=params.forensic_account in _shared_with(ctx, c["SnapshotId"]),
            locked=c["SnapshotId"] in locked,
        )
        for c in copies
    )


def _shared_with(ctx: ActionContext, copy: str) -> set[str]:
    with aws_errors("ec2:DescribeSnapshotAttribute"):
        reply = client(ctx, "ec2").describe_snapshot_attribute(
            SnapshotId=copy, Attribute="createVolumePermission"
        )
    return {str(g["UserId"]) for g in reply.get("CreateVolumePermissions", []) if g.get("UserId")}


def _locked(ctx: ActionContext, copies: list[dict[str, Any]]) -> set[str]:
    if not copies:
        return set()
    with aws_errors("ec2:DescribeLockedSnapshots"):
        found = client(ctx, "ec2").describe_locked_snapshots(SnapshotIds=[c["SnapshotId"] for c in copies])
    return {str(s["SnapshotId"]) for s in found.get("Snapshots", []) if s.get("LockState") != "expired"}


def _missing(ctx: ActionContext, params: CopyParams) -> dict[str, str]:
    """What each snapshot still lacks of its copy, in words; those that lack nothing are left out."""
    copies = [c for c in _copies(ctx, params) if c["State"] != "error"]
    locked = _locked(ctx, copies) if params.lock_days else set()
    found = dict.fromkeys(sorted(set(params.snapshot_ids)), "it has no copy")
    for copy in copies:
        number = copy["SnapshotId"]
        if copy["State"] != "completed":
            problem = f"copy {number} is {copy['State']} {copy.get('Progress', '')}".rstrip()
        elif copy.get("KmsKeyId") != params.kms_key_arn:
            problem = f"copy {number} is under another key"
        elif params.forensic_account not in _shared_with(ctx, number):
            problem = f"copy {number} is not shared with {params.forensic_account}"
        elif params.lock_days and number not in locked:
            problem = f"copy {number} is not locked"
        else:
            found.pop(_source(copy), None)
            continue
        if _source(copy) in found:
            found[_source(copy)] = problem
    return found
