"""Cases of databases that are kept as evidence, stopped, or looked at."""

from __future__ import annotations

import json
from typing import Any

from case import Arranged, World, case
from rds_world import cluster, database, rds_state

ASKED_BY_RDS = (
    "secretsmanager:CreateSecret",
    "secretsmanager:RotateSecret",
    "secretsmanager:TagResource",
    "kms:DescribeKey",
)
UNSEEN = dict.fromkeys(ASKED_BY_RDS, "RDS asks for it where it makes or rotates the secret itself")
LENGTH_OF_OURS = 64
"""Characters of a version id that the action makes; the service makes shorter ones."""


def secrets(world: World) -> Any:
    """All secrets by their stages and the fields of their current value; ids that are made up are left out."""
    manager = world.client("secretsmanager")
    found = []
    for secret in manager.list_secrets()["SecretList"]:
        stages = manager.describe_secret(SecretId=secret["ARN"])["VersionIdsToStages"]
        if secret["Name"].startswith("rds!"):
            found.append(["managed", len(stages), any("AWSCURRENT" in names for names in stages.values())])
            continue
        value = json.loads(
            manager.get_secret_value(SecretId=secret["ARN"], VersionStage="AWSCURRENT")["SecretString"]
        )
        changed = sorted(names for version, names in stages.items() if len(version) == LENGTH_OF_OURS)
        found.append(
            [secret["Name"], sorted(stages.values()), changed, sorted(value), value["password"] == "old"]
        )
    return sorted(found, key=str)


@case(
    "aws.rds.snapshot",
    unseen={"rds:AddTagsToResource": "RDS asks for it where a snapshot is made with tags"},
)
def of_an_instance(world: World) -> Arranged:
    database(world)
    return Arranged({"db_instance_id": "customers"}, lambda: rds_state(world))


@case("aws.rds.snapshot")
def of_a_cluster(world: World) -> Arranged:
    cluster(world)
    return Arranged({"db_instance_id": "orders-1"}, lambda: rds_state(world))


@case("aws.rds.stop")
def running_instance(world: World) -> Arranged:
    database(world)
    return Arranged({"db_instance_id": "customers"}, lambda: rds_state(world))


@case("aws.rds.stop")
def running_cluster(world: World) -> Arranged:
    cluster(world)
    return Arranged({"db_instance_id": "orders-1"}, lambda: rds_state(world))


@case("aws.rds.rotate_master_password", unseen=UNSEEN)
def managed_by_rds(world: World) -> Arranged:
    database(world, ManageMasterUserPassword=True)
    return Arranged({"db_instance_id": "customers"}, lambda: (rds_state(world), secrets(world)))


@case("aws.rds.rotate_master_password", unseen=UNSEEN)
def managed_cluster(world: World) -> Arranged:
    cluster(world, managed=True)
    return Arranged({"db_instance_id": "orders-1"}, lambda: (rds_state(world), secrets(world)))


@case("aws.rds.rotate_master_password", unseen=UNSEEN)
def handed_over_to_rds(world: World) -> Arranged:
    database(world)
    return Arranged(
        {"db_instance_id": "customers", "hand_over": True}, lambda: (rds_state(world), secrets(world))
    )


@case("aws.rds.rotate_master_password", unseen=UNSEEN)
def into_a_secret_of_ours(world: World) -> Arranged:
    database(world)
    world.client("secretsmanager").create_secret(
        Name="customers-db", SecretString=json.dumps({"username": "root", "password": "old"})
    )
    return Arranged(
        {"db_instance_id": "customers", "secret_id": "customers-db"},
        lambda: (rds_state(world), secrets(world)),
    )


@case("aws.rds.describe")
def public_and_shared(world: World) -> Arranged:
    rds = database(world, PubliclyAccessible=True)
    rds.create_db_snapshot(DBSnapshotIdentifier="before-migration", DBInstanceIdentifier="customers")
    rds.modify_db_snapshot_attribute(
        DBSnapshotIdentifier="before-migration", AttributeName="restore", ValuesToAdd=["all"]
    )
    return Arranged(
        {"db_instance_id": "customers"},
        lambda: rds_state(world),
        finds={
            "public": True,
            "encrypted": False,
            "shared_snapshots": ["before-migration with everybody"],
            "cluster_id": "",
            "not_read": [],
        },
    )


@case("aws.rds.describe")
def member_of_a_cluster(world: World) -> Arranged:
    rds = cluster(world)
    rds.create_db_cluster_snapshot(DBClusterSnapshotIdentifier="nightly", DBClusterIdentifier="orders")
    rds.modify_db_cluster_snapshot_attribute(
        DBClusterSnapshotIdentifier="nightly", AttributeName="restore", ValuesToAdd=["444455556666"]
    )
    return Arranged(
        {"db_instance_id": "orders-1"},
        lambda: rds_state(world),
        finds={
            "public": False,
            "cluster_id": "orders",
            "members": ["orders-1"],
            "shared_snapshots": ["nightly with 444455556666"],
            "not_read": [],
        },
    )
