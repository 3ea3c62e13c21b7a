"""Cases of databases that are made private or isolated."""

from __future__ import annotations

from typing import Any

from case import Arranged, World, case
from rds_world import cluster, database, group, rds_state


@case(
    "aws.rds.make_private",
    unseen={"rds:DescribeDBClusters": "asked for instances of clusters only; see the other case"},
)
def public_instance(world: World) -> Arranged:
    database(world, PubliclyAccessible=True)
    return Arranged({"db_instance_id": "customers"}, lambda: rds_state(world))


@case("aws.rds.make_private")
def public_member_of_a_cluster(world: World) -> Arranged:
    cluster(world, PubliclyAccessible=True)
    return Arranged({"db_instance_id": "orders-1"}, lambda: rds_state(world))


def _drift(world: World, rds: Any) -> Any:
    return lambda: rds.modify_db_instance(
        DBInstanceIdentifier="customers", VpcSecurityGroupIds=[group(world, "by-hand")], ApplyImmediately=True
    )


@case(
    "aws.rds.isolate",
    unseen={
        "ec2:CreateTags": "AWS asks for it where a group is made with tags",
        "ec2:RevokeSecurityGroupIngress": "only where somebody has put a rule into the group that was made",
    },
)
def instance_in_a_vpc(world: World) -> Arranged:
    rds = database(world)
    return Arranged({"db_instance_id": "customers"}, lambda: rds_state(world), _drift(world, rds))


@case("aws.rds.isolate")
def instance_that_lost_its_protection(world: World) -> Arranged:
    rds = database(world, DeletionProtection=True)

    def drift() -> None:
        rds.modify_db_instance(DBInstanceIdentifier="customers", DeletionProtection=False)

    return Arranged({"db_instance_id": "customers"}, lambda: rds_state(world), drift)


@case("aws.rds.isolate")
def whole_cluster(world: World) -> Arranged:
    rds = cluster(world)

    def drift() -> None:
        rds.modify_db_cluster(DBClusterIdentifier="orders", DeletionProtection=False)

    return Arranged({"db_instance_id": "orders-1"}, lambda: rds_state(world), drift)
