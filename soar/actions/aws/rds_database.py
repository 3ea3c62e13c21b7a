"""What every action on a database of RDS needs: find it and its cluster, guard it, and say who uses it.

Instances of Aurora and of Multi-AZ clusters have some settings of their own (whether they are public) and share the
others (security groups, deletion protection, password, power, snapshots), which belong to their cluster.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from botocore.exceptions import ClientError
from pydantic import Field

from soar.actions.aws.access import aws_errors, client
from soar.actions.aws.guards import ensure_not_protected
from soar.actions.aws.s3_bucket import unless_refused
from soar.actions.contract import ActionContext, Params
from soar.actions.errors import Refused, TargetGone, Unavailable
from soar.model.change import Target

__all__ = [
    "BUSY",
    "Database",
    "DatabaseParams",
    "connections",
    "database_errors",
    "database_facts",
    "ensure_may_change",
    "find_database",
]

BUSY = frozenset({"InvalidDBInstanceState", "InvalidDBInstanceStateFault", "InvalidDBClusterStateFault"})
"""How RDS says that a database cannot be changed in its present state."""
AT_REST = frozenset(
    {"stopped", "failed", "deleting", "storage-full", "incompatible-parameters", "restore-error"}
)
"""States that do not pass by themselves."""
LOOKED_BACK = timedelta(hours=1)


class DatabaseParams(Params):
    """Which database."""

    db_instance_id: str = Field(
        pattern=r"^[A-Za-z](-?[A-Za-z0-9]){0,62}$",
        description="the identifier of the DB instance; any instance of an Aurora cluster stands for the cluster",
    )


@dataclass(frozen=True)
class Database:
    """A DB instance as `rds:DescribeDBInstances` shows it, and its cluster if it is a part of one.

    Args:
        cluster: None: it stands alone.
    """

    raw: dict[str, Any]
    cluster: dict[str, Any] | None

    @property
    def id(self) -> str:
        """The instance's identifier, as RDS writes it."""
        return str(self.raw["DBInstanceIdentifier"])

    @property
    def holder(self) -> dict[str, Any]:
        """Where the shared settings are: the cluster, or the instance itself."""
        return self.raw if self.cluster is None else self.cluster

    @property
    def holder_id(self) -> str:
        """The identifier of the holder."""
        return self.id if self.cluster is None else str(self.cluster["DBClusterIdentifier"])

    @property
    def name(self) -> str:
        """What it is called in a sentence."""
        return f"database {self.id}" if self.cluster is None else f"database cluster {self.holder_id}"

    @property
    def status(self) -> str:
        """The holder's status: `available`, `modifying`, `stopped` …"""
        return str(self.raw["DBInstanceStatus"] if self.cluster is None else self.cluster["Status"])

    @property
    def groups(self) -> tuple[str, ...]:
        """The ids of its security groups, sorted; of those that are being removed none."""
        found = self.holder.get("VpcSecurityGroups", [])
        return tuple(sorted(g["VpcSecurityGroupId"] for g in found if g.get("Status") != "removing"))

    @property
    def pending(self) -> str:
        """Why a change is not in effect yet; empty: it is."""
        if self.status == "modifying":
            return f"{self.name} is still modifying"
        moving = [
            g for g in self.holder.get("VpcSecurityGroups", []) if g.get("Status", "active") != "active"
        ]
        return "its security groups are still changing" if moving else ""

    @property
    def vpc_id(self) -> str:
        """The VPC that it is in; empty where RDS does not say."""
        return str((self.raw.get("DBSubnetGroup") or {}).get("VpcId", ""))

    @property
    def members(self) -> tuple[str, ...]:
        """All instances that share the holder's settings, sorted."""
        listed = (self.cluster or {}).get("DBClusterMembers", [])
        return tuple(sorted(m["DBInstanceIdentifier"] for m in listed)) or (self.id,)

    @property
    def target(self) -> Target:
        """The instance, as a plan names what it touches."""
        return _target(str(self.raw["DBInstanceArn"]), "aws.rds.instance", self.id, self.raw)

    @property
    def holder_target(self) -> Target:
        """The holder, as a plan names what it touches."""
        if self.cluster is None:
            return self.target
        return _target(str(self.cluster["DBClusterArn"]), "aws.rds.cluster", self.holder_id, self.cluster)

    def modify(self, rds: Any) -> tuple[Callable[..., Any], dict[str, str], str]:
        """How the shared settings are written: the call, its argument that names the holder, the permission."""
        if self.cluster is None:
            return rds.modify_db_instance, {"DBInstanceIdentifier": self.id}, "rds:ModifyDBInstance"
        return rds.modify_db_cluster, {"DBClusterIdentifier": self.holder_id}, "rds:ModifyDBCluster"


def _target(arn: str, kind: str, name: str, raw: dict[str, Any]) -> Target:
    parts = arn.split(":")
    tags = {t["Key"]: t["Value"] for t in raw.get("TagList") or []}
    return Target(uid=arn, type=kind, name=name, account=parts[4], region=parts[3], tags=tags)


def find_database(ctx: ActionContext, db_instance_id: str) -> Database:
    """Read an instance, and its cluster if it is a part of one.

    Raises:
        TargetGone: There is none of this name in the account and region.
    """
    rds = client(ctx, "rds")
    with aws_errors("rds:DescribeDBInstances"):
        found = rds.describe_db_instances(DBInstanceIdentifier=db_instance_id)["DBInstances"]
    if not found:
        raise TargetGone(
            f"there is no database {db_instance_id} in {rds.meta.region_name}",
            hint="check the identifier, the account and the region",
        )
    cluster_id = found[0].get("DBClusterIdentifier")
    if not cluster_id:
        return Database(raw=found[0], cluster=None)
    with aws_errors("rds:DescribeDBClusters"):
        clusters = rds.describe_db_clusters(DBClusterIdentifier=cluster_id)["DBClusters"]
    return Database(raw=found[0], cluster=clusters[0])


def ensure_may_change(database: Database) -> None:
    """Refuse what must never be done to a database.

    Raises:
        Refused: It, or the cluster that it is a part of, is tagged `soar:protected`.
    """
    for target in (database.target, database.holder_target):
        ensure_not_protected("database", target.name, target.tags)


@contextmanager
def database_errors(what: str, database: Database) -> Iterator[None]:
    """`aws_errors`, with what RDS says of a database that is busy: trying later helps, or a person must act.

    Raises:
        Unavailable: It is in the middle of something.
        Refused: It is in a state that does not pass by itself.
    """
    with aws_errors(what):
        try:
            yield
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") not in BUSY:
                raise
            message = error.response["Error"].get("Message", "")
            if database.status in AT_REST:
                raise Refused(
                    f"{database.name} is {database.status} and cannot be changed: {message}",
                    hint="start or repair it by hand, then retry the step",
                ) from error
            raise Unavailable(f"{database.name} is {database.status}: {message}") from error


def connections(ctx: ActionContext, database: Database) -> int | None:
    """The most connections that the instance had at a time within the last hour; None: nothing was measured."""
    with aws_errors("cloudwatch:GetMetricStatistics"):
        points = client(ctx, "cloudwatch").get_metric_statistics(
            Namespace="AWS/RDS",
            MetricName="DatabaseConnections",
            Dimensions=[{"Name": "DBInstanceIdentifier", "Value": database.id}],
            StartTime=ctx.now - LOOKED_BACK,
            EndTime=ctx.now,
            Period=300,
            Statistics=["Maximum"],
        )["Datapoints"]
    return int(max(p["Maximum"] for p in points)) if points else None


def database_facts(ctx: ActionContext, database: Database) -> tuple[str, ...]:
    """Who depends on a database, one line each, for a plan's blast radius."""
    lines = [f"{database.raw['Engine']} {database.raw.get('EngineVersion', '')}, {database.status}".strip()]
    if database.cluster is not None:
        lines.append(f"the cluster's instances: {_some(database.members)}")
    replicas = database.raw.get("ReadReplicaDBInstanceIdentifiers") or []
    if replicas:
        lines.append(f"read replicas: {_some(tuple(sorted(replicas)))}")
    most = unless_refused(lines, "the number of connections", lambda: connections(ctx, database))
    lines.append(
        "how many connections it has is not known"
        if most is None
        else f"up to {most} connection(s) at a time in the last hour"
    )
    return tuple(lines)


def _some(names: tuple[str, ...], most: int = 12) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
