"""A snapshot of a database: the disk evidence of an incident."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from soar.actions.aws.access import aws_errors, client, tags_for
from soar.actions.aws.rds_database import (
    BUSY,
    Database,
    DatabaseParams,
    database_errors,
    ensure_may_change,
    find_database,
)
from soar.actions.contract import Action, ActionContext, Draft, Planned, StateBefore, action
from soar.actions.errors import ActionError, Refused, Unavailable
from soar.model.base import digest_of
from soar.model.change import BlastRadius, Change, Result, Target, Verification
from soar.model.terms import Phase, Risk

__all__ = ["SnapshotDatabase"]

LOOK_EVERY = 15.0
"""Seconds between two looks at a running snapshot; a full copy takes minutes to hours."""
SNAPSHOT_BUSY = BUSY | {"InvalidDBSnapshotState", "InvalidDBClusterSnapshotStateFault"}
MISSING = frozenset({"DBSnapshotNotFound", "DBSnapshotNotFoundFault", "DBClusterSnapshotNotFoundFault"})


class SnapshotBefore(StateBefore):
    """Which snapshot is made, and of what. There is nothing to put back but what we create.

    Args:
        holder: The identifier of the instance or the cluster.
    """

    snapshot_id: str
    holder: str
    cluster: bool


@action(
    "aws.rds.snapshot",
    risk=Risk.REVERSIBLE,
    phase=Phase.CONTAINMENT,
    permissions=(
        "rds:DescribeDBInstances",
        "rds:DescribeDBClusters",
        "rds:DescribeDBSnapshots",
        "rds:DescribeDBClusterSnapshots",
        "rds:CreateDBSnapshot",
        "rds:CreateDBClusterSnapshot",
        "rds:AddTagsToResource",
        "rds:DeleteDBSnapshot",
        "rds:DeleteDBClusterSnapshot",
    ),
    apply_timeout=6 * 3600,
    verify_timeout=300,
)
class SnapshotDatabase(Action[DatabaseParams, SnapshotBefore]):
    """Take a snapshot of a database and wait until it can be restored.

    The snapshot is named by the database, the incident and the step, and tagged with both, so that a retry finds it.
    For an instance of a cluster it is one of the whole cluster, which keeps the data.

    Pre-condition: the DB instance exists, and neither it nor its cluster is tagged `soar:protected`. If this step has
    a snapshot already, it is used.

    Verified by reading the snapshot by its name: it is this step's, and `available`.

    Undone by deleting the snapshot that this very step made; others are not touched.

    Pitfalls: a single instance that is not Multi-AZ answers slowly or not at all for the seconds in which the snapshot
    begins. What only the memory of the database knows (sessions, temporary tables) is not in it. A snapshot under the
    key `aws/rds` cannot be shared with another account until it is copied under a key of yours. Snapshots are billed
    until somebody deletes them.

    Example::

        - id: snapshot
          name: Keep the database as evidence
          do: aws.rds.snapshot
          timeout: 6h
          with:
            db_instance_id: customers
    """

    def plan(self, ctx: ActionContext, params: DatabaseParams) -> Draft[SnapshotBefore]:
        database = find_database(ctx, params.db_instance_id)
        ensure_may_change(database)
        state = SnapshotBefore(
            snapshot_id=_name(ctx, database),
            holder=database.holder_id,
            cluster=database.cluster is not None,
        )
        found = _find(ctx, state)
        done = found is not None and found["Status"] == "available"
        size = database.holder.get("AllocatedStorage", 0)
        target = database.holder_target
        return Draft(
            summary=f"{database.name} has its snapshot {state.snapshot_id} for this step"
            if done
            else f"Take snapshot {state.snapshot_id} of {database.name}",
            targets=(target, _snapshot_target(target, state)),
            changes=()
            if done
            else (
                Change(
                    target=target.uid,
                    field="snapshot for this incident",
                    before=None,
                    after=f"available snapshot {state.snapshot_id}",
                ),
            ),
            state=state,
            blast_radius=BlastRadius(
                summary="The database goes on running; a single instance may stall while the snapshot begins.",
                facts=(
                    f"{database.holder['Engine']}, {size} GiB allocated, "
                    + ("encrypted" if database.holder.get("StorageEncrypted") else "not encrypted"),
                ),
            ),
            undo="The snapshot that this step made is deleted.",
        )

    def apply(self, ctx: ActionContext, planned: Planned[DatabaseParams, SnapshotBefore]) -> Result:
        state = planned.state
        if _find(ctx, state) is None:
            _create(ctx, find_database(ctx, planned.params.db_instance_id), state)
        while True:
            found = _find(ctx, state)
            status = found["Status"] if found else "not shown yet"
            if found and status == "available":
                return Result(
                    summary=f"snapshot {state.snapshot_id} of {state.holder} is available",
                    data={
                        "snapshot_id": state.snapshot_id,
                        "snapshot_arn": _arn(found),
                        "encrypted": bool(found.get("Encrypted") or found.get("StorageEncrypted")),
                        "kms_key_id": str(found.get("KmsKeyId", "")),
                    },
                )
            if status == "failed":
                raise ActionError(
                    f"snapshot {state.snapshot_id} failed",
                    hint="look at the events of the database, delete the snapshot, then retry the step",
                )
            ctx.report(f"{state.snapshot_id}: {status}, {(found or {}).get('PercentProgress', 0)} %")
            if not ctx.wait(LOOK_EVERY):
                raise Unavailable(
                    "the step was cancelled while its snapshot is still being made; it stays and goes on"
                )

    def verify(self, ctx: ActionContext, planned: Planned[DatabaseParams, SnapshotBefore]) -> Verification:
        found = _find(ctx, planned.state)
        return Verification(
            verified=found is not None and found["Status"] == "available",
            seen=f"snapshot {planned.state.snapshot_id} is {found['Status'] if found else 'not there'}",
            method="rds:DescribeDBClusterSnapshots" if planned.state.cluster else "rds:DescribeDBSnapshots",
            data={"snapshot_id": planned.state.snapshot_id},
        )

    def undo(self, ctx: ActionContext, planned: Planned[DatabaseParams, SnapshotBefore]) -> Result:
        state = planned.state
        if _find(ctx, state) is None:
            return Result(summary=f"snapshot {state.snapshot_id} is gone already")
        rds = client(ctx, "rds")
        what = "rds:DeleteDBClusterSnapshot" if state.cluster else "rds:DeleteDBSnapshot"
        with aws_errors(what):
            try:
                if state.cluster:
                    rds.delete_db_cluster_snapshot(DBClusterSnapshotIdentifier=state.snapshot_id)
                else:
                    rds.delete_db_snapshot(DBSnapshotIdentifier=state.snapshot_id)
            except ClientError as error:
                code = error.response["Error"]["Code"]
                if code in SNAPSHOT_BUSY:
                    raise Unavailable(
                        f"snapshot {state.snapshot_id} cannot be deleted yet: {error}"
                    ) from error
                if code not in MISSING:
                    raise
        return Result(summary=f"deleted snapshot {state.snapshot_id}, which this step had made")


def _name(ctx: ActionContext, database: Database) -> str:
    """The snapshot's name: cluster snapshots have 63 characters at most, and no two hyphens in a row."""
    short = database.holder_id[:38].strip("-").lower()
    return f"soar-{short}-{digest_of([ctx.incident_id, ctx.step_id])[:12]}"


def _find(ctx: ActionContext, state: SnapshotBefore) -> dict[str, Any] | None:
    """This step's snapshot; None: there is none.

    Raises:
        Refused: There is one of this name, and it is not ours.
    """
    rds = client(ctx, "rds")
    with aws_errors("rds:DescribeDBClusterSnapshots" if state.cluster else "rds:DescribeDBSnapshots"):
        try:
            if state.cluster:
                reply = rds.describe_db_cluster_snapshots(DBClusterSnapshotIdentifier=state.snapshot_id)
            else:
                reply = rds.describe_db_snapshots(DBSnapshotIdentifier=state.snapshot_id)
        except ClientError as error:
            if error.response["Error"]["Code"] in MISSING:
                return None
            raise
    found = reply["DBClusterSnapshots" if state.cluster else "DBSnapshots"]
    if not found:
        return None
    tags = {t["Key"]: t["Value"] for t in found[0].get("TagList") or []}
    if any(tags.get(t["Key"]) != t["Value"] for t in tags_for(ctx)):
        raise Refused(
            f"there is a snapshot {state.snapshot_id} without this step's tags",
            hint="find out who made it; delete it or copy it under another name, then retry the step",
        )
    return dict(found[0])


def _create(ctx: ActionContext, database: Database, state: SnapshotBefore) -> None:
    rds = client(ctx, "rds")
    if state.cluster:
        with database_errors("rds:CreateDBClusterSnapshot", database):
            rds.create_db_cluster_snapshot(
                DBClusterSnapshotIdentifier=state.snapshot_id,
                DBClusterIdentifier=state.holder,
                Tags=tags_for(ctx),
            )
        return
    with database_errors("rds:CreateDBSnapshot", database):
        rds.create_db_snapshot(
            DBSnapshotIdentifier=state.snapshot_id, DBInstanceIdentifier=state.holder, Tags=tags_for(ctx)
        )


def _arn(found: dict[str, Any]) -> str:
    return str(found.get("DBClusterSnapshotArn") or found["DBSnapshotArn"])


def _snapshot_target(holder: Target, state: SnapshotBefore) -> Target:
    kind = "cluster-snapshot" if state.cluster else "snapshot"
    partition = holder.uid.split(":")[1]
    return Target(
        uid=f"arn:{partition}:rds:{holder.region}:{holder.account}:{kind}:{state.snapshot_id}",
        type=f"aws.rds.{kind.replace('-', '_')}",
        name=state.snapshot_id,
        account=holder.account,
        region=holder.region,
    )
