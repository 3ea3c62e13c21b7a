"""Databases of the simulated account, for the cases of RDS."""

from __future__ import annotations

from typing import Any

from case import World

__all__ = ["cluster", "database", "group", "rds_state", "snapshots"]

PASSWORD = "not-a-real-one-1"


def group(world: World, name: str) -> str:
    """A security group with a rule, in the VPC that the databases are in."""
    ec2 = world.client("ec2")
    vpc = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"][0]["VpcId"]
    made = ec2.create_security_group(GroupName=name, Description=name, VpcId=vpc)["GroupId"]
    rule = {"IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    ec2.authorize_security_group_ingress(GroupId=made, IpPermissions=[rule])
    return str(made)


def _subnets(world: World) -> None:
    subnets = [s["SubnetId"] for s in world.client("ec2").describe_subnets()["Subnets"]][:2]
    world.client("rds").create_db_subnet_group(
        DBSubnetGroupName="data", DBSubnetGroupDescription="data", SubnetIds=subnets
    )


def database(world: World, **more: Any) -> Any:
    """The instance `customers`, open to the world; returns the client."""
    _subnets(world)
    rds = world.client("rds")
    rds.create_db_instance(
        **{
            "DBInstanceIdentifier": "customers",
            "DBInstanceClass": "db.t3.micro",
            "Engine": "postgres",
            "AllocatedStorage": 20,
            "MasterUsername": "root",
            "DBSubnetGroupName": "data",
            "VpcSecurityGroupIds": [group(world, "open")],
        }
        | ({} if "ManageMasterUserPassword" in more else {"MasterUserPassword": PASSWORD})
        | more
    )
    return rds


def cluster(world: World, managed: bool = False, **more: Any) -> Any:
    """The Aurora cluster `orders` with one instance, `orders-1`; returns the client."""
    _subnets(world)
    rds = world.client("rds")
    password: dict[str, Any] = (
        {"ManageMasterUserPassword": True} if managed else {"MasterUserPassword": PASSWORD}
    )
    rds.create_db_cluster(
        DBClusterIdentifier="orders",
        Engine="aurora-postgresql",
        EngineVersion="15.4",
        MasterUsername="root",
        DBSubnetGroupName="data",
        VpcSecurityGroupIds=[group(world, "open")],
        **password,
    )
    rds.create_db_instance(
        DBInstanceIdentifier="orders-1",
        DBInstanceClass="db.r5.large",
        Engine="aurora-postgresql",
        EngineVersion="15.4",
        DBClusterIdentifier="orders",
        DBSubnetGroupName="data",
        **more,
    )
    return rds


def snapshots(world: World) -> Any:
    """All manual snapshots, without their times."""
    rds = world.client("rds")
    found = [
        (s["DBSnapshotIdentifier"], s["DBInstanceIdentifier"], s["TagList"])
        for s in rds.describe_db_snapshots(SnapshotType="manual")["DBSnapshots"]
    ]
    found += [
        (s["DBClusterSnapshotIdentifier"], s["DBClusterIdentifier"], s["TagList"])
        for s in rds.describe_db_cluster_snapshots(SnapshotType="manual")["DBClusterSnapshots"]
    ]
    return sorted(found, key=lambda s: str(s[0]))


def rds_state(world: World) -> Any:
    """Everything that an action on databases could touch; groups by name, as their ids are made up anew."""
    rds, ec2 = world.client("rds"), world.client("ec2")
    groups = {g["GroupId"]: g for g in ec2.describe_security_groups()["SecurityGroups"]}

    def settings(raw: dict[str, Any], status: str) -> Any:
        return {
            "status": raw[status],
            "public": raw.get("PubliclyAccessible"),
            "protected": raw.get("DeletionProtection"),
            "groups": sorted(groups[g["VpcSecurityGroupId"]]["GroupName"] for g in raw["VpcSecurityGroups"]),
        }

    return {
        "instances": {
            i["DBInstanceIdentifier"]: settings(i, "DBInstanceStatus")
            for i in rds.describe_db_instances()["DBInstances"]
        },
        "clusters": {
            c["DBClusterIdentifier"]: settings(c, "Status") for c in rds.describe_db_clusters()["DBClusters"]
        },
        "groups": sorted(
            (g["GroupName"], len(g["IpPermissions"]), len(g["IpPermissionsEgress"])) for g in groups.values()
        ),
        "snapshots": snapshots(world),
    }
