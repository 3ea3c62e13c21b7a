"""Stop a database."""

from __future__ import annotations

from soar.actions.aws.access import client
from soar.actions.aws.rds_database import (
    Database,
    DatabaseParams,
    database_errors,
    database_facts,
    ensure_may_change,
    find_database,
)
from soar.actions.contract import Action, ActionContext, Draft, Planned, StateBefore, action
from soar.actions.errors import Refused, Unavailable
from soar.model.change import BlastRadius, Change, Result, Verification
from soar.model.terms import Phase, Risk

__all__ = ["StopDatabase"]


class RunningBefore(StateBefore):
    """Whether the database ran."""

    running: bool


@action(
    "aws.rds.stop",
    risk=Risk.DISRUPTIVE,
    phase=Phase.CONTAINMENT,
    permissions=(
        "rds:DescribeDBInstances",
        "rds:DescribeDBClusters",
        "rds:StopDBInstance",
        "rds:StopDBCluster",
        "rds:StartDBInstance",
        "rds:StartDBCluster",
        "cloudwatch:GetMetricStatistics",
    ),
    plan_timeout=660,
    verify_timeout=1800,
)
class StopDatabase(Action[DatabaseParams, RunningBefore]):
    """Stop a database and keep its data: all sessions end at once.

    For an instance of a cluster the whole cluster is stopped.

    Pre-condition: the DB instance exists, neither it nor its cluster is tagged `soar:protected`, and it neither is nor
    has a read replica, which RDS does not stop. Stopped already: nothing is done.

    Verified by reading its status: `stopped`.

    Undone by starting it again, if it ran before.

    Pitfalls: RDS starts a stopped database by itself after seven days: isolate it as well
    (`aws.rds.isolate`, before it is stopped, as a stopped database cannot be modified). Whatever uses it fails until
    then. What only its memory knows is lost. Some engines and clusters (Aurora Serverless v1, global databases) cannot
    be stopped.

    Example::

        - id: stop
          name: Stop the database
          do: aws.rds.stop
          with:
            db_instance_id: customers
          approval:
            role: responder
            approvers: 1
    """

    def plan(self, ctx: ActionContext, params: DatabaseParams) -> Draft[RunningBefore]:
        database = find_database(ctx, params.db_instance_id)
        ensure_may_change(database)
        target = database.holder_target
        if database.status == "stopped":
            return Draft(
                summary=f"{database.name} is stopped already",
                targets=(target,),
                changes=(),
                state=RunningBefore(running=False),
            )
        _refuse_replicas(database)
        return Draft(
            summary=f"Stop {database.name}",
            targets=(target,),
            changes=(Change(target=target.uid, field="state", before="running", after="stopped"),),
            state=RunningBefore(running=True),
            blast_radius=BlastRadius(
                summary="Whatever uses the database fails until it is started again.",
                facts=database_facts(ctx, database),
            ),
            warnings=("RDS starts it by itself after seven days, whatever this incident says.",),
            undo="The database is started again.",
        )

    def apply(self, ctx: ActionContext, planned: Planned[DatabaseParams, RunningBefore]) -> Result:
        database, rds = find_database(ctx, planned.params.db_instance_id), client(ctx, "rds")
        if database.status in ("stopping", "stopped"):
            return Result(summary=f"{database.name} is {database.status} already")
        if database.cluster is None:
            with database_errors("rds:StopDBInstance", database):
                rds.stop_db_instance(DBInstanceIdentifier=database.id)
        else:
            with database_errors("rds:StopDBCluster", database):
                rds.stop_db_cluster(DBClusterIdentifier=database.holder_id)
        return Result(summary=f"{database.name} stops")

    def verify(self, ctx: ActionContext, planned: Planned[DatabaseParams, RunningBefore]) -> Verification:
        database = find_database(ctx, planned.params.db_instance_id)
        return Verification(
            verified=database.status == "stopped",
            seen=f"{database.name} is {database.status}",
            method="rds:DescribeDBInstances" if database.cluster is None else "rds:DescribeDBClusters",
        )

    def undo(self, ctx: ActionContext, planned: Planned[DatabaseParams, RunningBefore]) -> Result:
        database, rds = find_database(ctx, planned.params.db_instance_id), client(ctx, "rds")
        if not planned.state.running:
            return Result(summary=f"{database.name} was stopped before; nothing to do")
        if database.status == "stopping":
            raise Unavailable(f"{database.name} is still stopping; it can be started only after that")
        if database.status != "stopped":
            return Result(summary=f"{database.name} is {database.status} already")
        # `stopped` is what it is to be started from, so that a refusal now is for another reason.
        if database.cluster is None:
            with database_errors("rds:StartDBInstance", database):
                rds.start_db_instance(DBInstanceIdentifier=database.id)
        else:
            with database_errors("rds:StartDBCluster", database):
                rds.start_db_cluster(DBClusterIdentifier=database.holder_id)
        return Result(summary=f"{database.name} starts")


def _refuse_replicas(database: Database) -> None:
    source = database.raw.get("ReadReplicaSourceDBInstanceIdentifier")
    replicas = database.raw.get("ReadReplicaDBInstanceIdentifiers") or []
    if source or replicas:
        raise Refused(
            f"database {database.id} is a read replica of {source}"
            if source
            else f"database {database.id} has read replicas: {', '.join(sorted(replicas))}",
            hint="RDS stops neither: isolate it with aws.rds.isolate instead",
        )
