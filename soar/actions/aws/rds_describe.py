"""Everything that is known of a database, as evidence and for the steps that follow."""

from __future__ import annotations

from typing import Any

from pydantic_core import to_jsonable_python

from soar.actions.aws.access import aws_errors, client
from soar.actions.aws.ec2_groups import rules_of
from soar.actions.aws.rds_database import Database, DatabaseParams, connections, find_database
from soar.actions.aws.s3_bucket import unless_refused
from soar.actions.contract import ActionContext, action
from soar.model.base import Fact, canonical_json
from soar.model.terms import Phase, Risk

__all__ = ["DatabaseFacts", "describe_database"]

MOST_SNAPSHOTS = 50
"""Manual snapshots whose sharing is looked at, newest first: one call each."""


class DatabaseFacts(Fact):
    """A database and everything around it.

    Args:
        cluster_id: The cluster that it is a part of; empty: it stands alone.
        members: The instances of its cluster, or itself.
        public: Whether it has a public address.
        open_to_the_world: Rules of its groups that let everybody in, `sg-… tcp 5432-5432`.
        master_secret: The secret in which RDS manages the master password; empty: RDS does not.
        connections: The most at a time within the last hour; None: not measured.
        snapshots: Manual snapshots, newest first, at most 50.
        shared_snapshots: Those that others may restore, and with whom, one line each.
        logs: Log groups that its logs are exported to; without any, who logged in may not be known.
        not_read: What could not be read, and why.
    """

    summary: str
    db_instance_id: str
    arn: str
    cluster_id: str
    members: tuple[str, ...]
    engine: str
    status: str
    endpoint: str
    port: int
    public: bool
    vpc_id: str
    security_groups: tuple[str, ...]
    open_to_the_world: tuple[str, ...]
    encrypted: bool
    kms_key_id: str
    deletion_protection: bool
    backup_days: int
    latest_restorable_time: str
    iam_authentication: bool
    master_username: str
    master_secret: str
    connections: int | None
    read_replicas: tuple[str, ...]
    snapshots: tuple[str, ...]
    shared_snapshots: tuple[str, ...]
    logs: tuple[str, ...]
    tags: dict[str, str]
    not_read: tuple[str, ...]


@action(
    "aws.rds.describe",
    risk=Risk.READ,
    phase=Phase.IDENTIFICATION,
    permissions=(
        "rds:DescribeDBInstances",
        "rds:DescribeDBClusters",
        "rds:DescribeDBSnapshots",
        "rds:DescribeDBSnapshotAttributes",
        "rds:DescribeDBClusterSnapshots",
        "rds:DescribeDBClusterSnapshotAttributes",
        "ec2:DescribeSecurityGroupRules",
        "cloudwatch:GetMetricStatistics",
    ),
    plan_timeout=180,
    d3fend="D3-AI",
)
def describe_database(ctx: ActionContext, params: DatabaseParams) -> DatabaseFacts:
    """Read a database and everything around it, and keep it as evidence.

    The instance and its cluster: whether it is public, its groups and what they let in, encryption, backups, master
    user and secret, read replicas, exported logs, how many connections it had within the last hour, and its manual
    snapshots with whom they are shared. What this worker may not read is named in `not_read`; the rest is still
    returned.

    Evidence: one JSON document with the replies as RDS gave them.

    Pitfalls: who is logged in now, and users and grants inside the database, RDS does not know: ask the database. A
    snapshot that was shared for a while and is not any more does not show; look for ModifyDBSnapshotAttribute in the
    trail. Beyond 50 manual snapshots the older ones are not looked at.

    Example::

        - id: database
          name: Look at the database
          do: aws.rds.describe
          with:
            db_instance_id: customers
    """
    database = find_database(ctx, params.db_instance_id)
    not_read: list[str] = []
    rules = unless_refused(not_read, "security group rules", lambda: rules_of(ctx, database.groups)) or {}
    snapshots = unless_refused(not_read, "snapshots", lambda: _snapshots(ctx, database)) or []
    shared = unless_refused(
        not_read, "who snapshots are shared with", lambda: _shared(ctx, database, snapshots)
    )
    most = unless_refused(not_read, "the number of connections", lambda: connections(ctx, database))
    document = {
        "instance": database.raw,
        "cluster": database.cluster,
        "security_group_rules": rules,
        "snapshots": snapshots,
        "shared_snapshots": shared or (),
    }
    ctx.keep_evidence(
        f"{database.id}.json",
        canonical_json(to_jsonable_python(document)).encode(),
        media_type="application/json",
        source="rds:DescribeDBInstances",
    )
    return _facts(database, _open(rules), snapshots, shared or (), most, tuple(not_read))


def _facts(
    database: Database,
    open_rules: tuple[str, ...],
    snapshots: list[dict[str, Any]],
    shared: tuple[str, ...],
    most: int | None,
    not_read: tuple[str, ...],
) -> DatabaseFacts:
    raw, holder = database.raw, database.holder
    endpoint = raw.get("Endpoint") or {}
    public = bool(raw.get("PubliclyAccessible"))
    latest = holder.get("LatestRestorableTime")
    summary = [
        f"{database.id} ({raw['Engine']}) is {database.status}",
        "public" if public else "private",
        "encrypted" if holder.get("StorageEncrypted") else "not encrypted",
    ]
    summary += [f"{len(open_rules)} rule(s) let everybody in"] if open_rules else []
    summary += [f"{len(shared)} shared snapshot(s)"] if shared else []
    return DatabaseFacts(
        summary=", ".join(summary),
        db_instance_id=database.id,
        arn=database.target.uid,
        cluster_id="" if database.cluster is None else database.holder_id,
        members=database.members,
        engine=f"{raw['Engine']} {raw.get('EngineVersion', '')}".strip(),
        status=database.status,
        endpoint=str(endpoint.get("Address", "")),
        port=int(endpoint.get("Port") or 0),
        public=public,
        vpc_id=database.vpc_id,
        security_groups=database.groups,
        open_to_the_world=open_rules,
        encrypted=bool(holder.get("StorageEncrypted")),
        kms_key_id=str(holder.get("KmsKeyId", "")) if holder.get("StorageEncrypted") else "",
        deletion_protection=bool(holder.get("DeletionProtection")),
        backup_days=int(holder.get("BackupRetentionPeriod") or 0),
        latest_restorable_time=latest.isoformat() if latest else "",
        iam_authentication=bool(holder.get("IAMDatabaseAuthenticationEnabled")),
        master_username=str(holder.get("MasterUsername", "")),
        master_secret=str((holder.get("MasterUserSecret") or {}).get("SecretArn", "")),
        connections=most,
        read_replicas=tuple(sorted(raw.get("ReadReplicaDBInstanceIdentifiers") or [])),
        snapshots=tuple(_snapshot_id(s) for s in snapshots),
        shared_snapshots=shared,
        logs=tuple(sorted(holder.get("EnabledCloudwatchLogsExports") or [])),
        tags=database.target.tags,
        not_read=not_read,
    )


def _snapshot_id(raw: dict[str, Any]) -> str:
    return str(raw.get("DBClusterSnapshotIdentifier") or raw["DBSnapshotIdentifier"])


def _snapshots(ctx: ActionContext, database: Database) -> list[dict[str, Any]]:
    """The manual snapshots, newest first, at most 50."""
    rds = client(ctx, "rds")
    if database.cluster is None:
        with aws_errors("rds:DescribeDBSnapshots"):
            pages = rds.get_paginator("describe_db_snapshots").paginate(
                DBInstanceIdentifier=database.id, SnapshotType="manual"
            )
            found = [s for page in pages for s in page["DBSnapshots"]]
    else:
        with aws_errors("rds:DescribeDBClusterSnapshots"):
            pages = rds.get_paginator("describe_db_cluster_snapshots").paginate(
                DBClusterIdentifier=database.holder_id, SnapshotType="manual"
            )
            found = [s for page in pages for s in page["DBClusterSnapshots"]]
    # One that is still being made has no time yet.
    found.sort(key=lambda s: str(s.get("SnapshotCreateTime") or "9"), reverse=True)
    return found[:MOST_SNAPSHOTS]


def _shared(ctx: ActionContext, database: Database, snapshots: list[dict[str, Any]]) -> tuple[str, ...]:
    rds, lines = client(ctx, "rds"), []
    for name in map(_snapshot_id, snapshots):
        if database.cluster is None:
            with aws_errors("rds:DescribeDBSnapshotAttributes"):
                reply = rds.describe_db_snapshot_attributes(DBSnapshotIdentifier=name)
            listed = reply["DBSnapshotAttributesResult"].get("DBSnapshotAttributes", [])
        else:
            with aws_errors("rds:DescribeDBClusterSnapshotAttributes"):
                reply = rds.describe_db_cluster_snapshot_attributes(DBClusterSnapshotIdentifier=name)
            listed = reply["DBClusterSnapshotAttributesResult"].get("DBClusterSnapshotAttributes", [])
        who = sorted(
            v for a in listed if a["AttributeName"] == "restore" for v in a.get("AttributeValues", [])
        )
        if who:
            lines.append(f"{name} with {', '.join('everybody' if w == 'all' else w for w in who)}")
    return tuple(lines)


def _open(rules: dict[str, list[dict[str, Any]]]) -> tuple[str, ...]:
    found = []
    for group, entries in rules.items():
        for rule in entries:
            source = rule.get("CidrIpv4") or rule.get("CidrIpv6") or ""
            if not rule["IsEgress"] and source in ("0.0.0.0/0", "::/0"):
                protocol = rule["IpProtocol"]
                ports = (
                    "everything" if protocol == "-1" else f"{protocol} {rule['FromPort']}-{rule['ToPort']}"
                )
                found.append(f"{group} {ports} from {source}")
    return tuple(sorted(found))
