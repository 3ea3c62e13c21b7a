"""Cases of tables."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from case import Arranged, World, case


def table(world: World, *, recovery: bool = False) -> Any:
    """A table with one item; returns the client."""
    dynamodb = world.client("dynamodb")
    dynamodb.create_table(
        TableName="orders",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    dynamodb.put_item(TableName="orders", Item={"id": {"S": "1"}})
    if recovery:
        dynamodb.update_continuous_backups(
            TableName="orders", PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
        )
    return dynamodb


def tables(dynamodb: Any) -> Any:
    """All tables, with their settings, tags and items; times are left out."""
    found = {}
    for name in dynamodb.list_tables()["TableNames"]:
        raw = dynamodb.describe_table(TableName=name)["Table"]
        backups = dynamodb.describe_continuous_backups(TableName=name)["ContinuousBackupsDescription"]
        found[name] = [
            raw["TableStatus"],
            raw["DeletionProtectionEnabled"],
            backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"],
            dynamodb.list_tags_of_resource(ResourceArn=raw["TableArn"])["Tags"],
            dynamodb.scan(TableName=name)["Items"],
        ]
    return found


@case("aws.dynamodb.enable_pitr")
def not_recoverable(world: World) -> Arranged:
    dynamodb = table(world)
    return Arranged({"table": "orders"}, lambda: tables(dynamodb))


@case("aws.dynamodb.enable_deletion_protection")
def not_protected(world: World) -> Arranged:
    dynamodb = table(world)
    return Arranged({"table": "orders"}, lambda: tables(dynamodb))


ON_THE_NEW_TABLE = "DynamoDB asks for it where it fills the new table"


@case(
    "aws.dynamodb.restore_table_to_time",
    unseen={
        f"dynamodb:{name}": ON_THE_NEW_TABLE
        for name in ("BatchWriteItem", "DeleteItem", "GetItem", "PutItem", "Query", "Scan", "UpdateItem")
    },
)
def recoverable(world: World) -> Arranged:
    """The simulated account calls the same moment the first and the last that can be recovered."""
    table(world, recovery=True)
    dynamodb = world.client("dynamodb")
    window = {
        "PointInTimeRecoveryStatus": "ENABLED",
        "EarliestRestorableDateTime": datetime.now(UTC) - timedelta(days=3),
        "LatestRestorableDateTime": datetime.now(UTC) - timedelta(minutes=5),
    }

    @world.script("dynamodb").operation("DescribeContinuousBackups")
    def describe(params: dict[str, Any]) -> dict[str, Any]:
        description = {"ContinuousBackupsStatus": "ENABLED", "PointInTimeRecoveryDescription": window}
        return {"ContinuousBackupsDescription": description}

    moment = datetime.now(UTC) - timedelta(hours=1)
    return Arranged({"table": "orders", "at": moment.isoformat()}, lambda: tables(dynamodb))
