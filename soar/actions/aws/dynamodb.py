"""Keep a table's data from being lost."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError
from pydantic import Field

from soar.actions.aws.access import aws_errors, client
from soar.actions.aws.setting import Found, Said, Setting
from soar.actions.contract import ActionContext, Params, StateBefore, action
from soar.actions.errors import Unavailable
from soar.model.change import Target
from soar.model.terms import Phase, Risk

__all__ = [
    "BUSY",
    "EnableDeletionProtection",
    "EnablePointInTimeRecovery",
    "TableParams",
    "describe_table",
    "recovery_of",
    "table_facts",
    "table_tags",
    "table_target",
]

BUSY = frozenset({"ResourceInUseException", "TableInUseException"})
"""How DynamoDB says that a table is in the middle of something."""


class TableParams(Params):
    """Which table."""

    table: str = Field(
        pattern=r"^[A-Za-z0-9_.-]{3,255}$", description="the table's name in the step's region"
    )


def describe_table(ctx: ActionContext, name: str) -> dict[str, Any]:
    """A table as `dynamodb:DescribeTable` shows it.

    Raises:
        TargetGone: There is no such table.
    """
    with aws_errors("dynamodb:DescribeTable"):
        found: dict[str, Any] = client(ctx, "dynamodb").describe_table(TableName=name)["Table"]
    return found


def table_tags(ctx: ActionContext, arn: str) -> dict[str, str]:
    """A table's tags."""
    with aws_errors("dynamodb:ListTagsOfResource"):
        pages = client(ctx, "dynamodb").get_paginator("list_tags_of_resource").paginate(ResourceArn=arn)
        return {t["Key"]: t["Value"] for page in pages for t in page["Tags"]}


def table_target(ctx: ActionContext, raw: dict[str, Any]) -> Target:
    """A table as a plan names it, with its tags."""
    arn = str(raw["TableArn"])
    parts = arn.split(":")
    return Target(
        uid=arn,
        type="aws.dynamodb.table",
        name=str(raw["TableName"]),
        account=parts[4],
        region=parts[3],
        tags=table_tags(ctx, arn),
    )


def table_facts(raw: dict[str, Any]) -> tuple[str, ...]:
    """How much is in a table, and where its copies are."""
    replicas = sorted(r.get("RegionName", "?") for r in raw.get("Replicas") or [])
    return (
        f"about {raw.get('ItemCount', 0)} item(s), {raw.get('TableSizeBytes', 0)} bytes",
        *((f"replicas in {', '.join(replicas)} have this setting by themselves",) if replicas else ()),
    )


class RecoveryBefore(StateBefore):
    """Whether the table can be brought back to any moment of the last days."""

    enabled: bool = Field(title="point-in-time recovery")


@action(
    "aws.dynamodb.enable_pitr",
    risk=Risk.REVERSIBLE,
    phase=Phase.CONTAINMENT,
    permissions=(
        "dynamodb:DescribeTable",
        "dynamodb:ListTagsOfResource",
        "dynamodb:DescribeContinuousBackups",
        "dynamodb:UpdateContinuousBackups",
    ),
)
class EnablePointInTimeRecovery(Setting[TableParams, RecoveryBefore]):
    """Have a table kept so that it can be brought back to any moment from now on.

    Pre-condition: the table exists in the step's region and is not tagged `soar:protected`. On already: nothing is
    done.

    Verified by reading the table's continuous backups: point-in-time recovery is enabled.

    Undone by disabling it, if it was off. The moments that could be recovered till then are lost with that: leave it on
    unless you are sure.

    Pitfalls: it does not bring back what was lost before. Backups are billed by the size of the table.

    Example::

        - id: keep
          name: Keep the table recoverable
          do: aws.dynamodb.enable_pitr
          with:
            table: orders
    """

    method = "dynamodb:DescribeContinuousBackups"

    def look(self, ctx: ActionContext, params: TableParams) -> Found[RecoveryBefore]:
        raw = describe_table(ctx, params.table)
        status = recovery_of(ctx, params.table).get("PointInTimeRecoveryStatus")
        return Found(
            target=table_target(ctx, raw),
            state=RecoveryBefore(enabled=status == "ENABLED"),
            facts=table_facts(raw),
        )

    def wanted(self, params: TableParams, state: RecoveryBefore) -> RecoveryBefore:
        return RecoveryBefore(enabled=True)

    def say(self, params: TableParams, found: Found[RecoveryBefore], then: RecoveryBefore) -> Said:
        return Said(
            summary=f"Turn point-in-time recovery on for table {params.table}",
            hits="Readers and writers notice nothing; backups are billed.",
            undo="It is turned off again, and what could be recovered till then is lost.",
        )

    def write(
        self, ctx: ActionContext, params: TableParams, now: RecoveryBefore, then: RecoveryBefore
    ) -> None:
        with aws_errors("dynamodb:UpdateContinuousBackups"):
            client(ctx, "dynamodb").update_continuous_backups(
                TableName=params.table,
                PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": then.enabled},
            )


def recovery_of(ctx: ActionContext, table: str) -> dict[str, Any]:
    """What of a table can be brought back: `PointInTimeRecoveryDescription`."""
    with aws_errors("dynamodb:DescribeContinuousBackups"):
        reply = client(ctx, "dynamodb").describe_continuous_backups(TableName=table)
    return dict(reply["ContinuousBackupsDescription"].get("PointInTimeRecoveryDescription") or {})


class ProtectionBefore(StateBefore):
    """Whether the table is protected from being deleted."""

    protected: bool = Field(title="deletion protection")


@action(
    "aws.dynamodb.enable_deletion_protection",
    risk=Risk.REVERSIBLE,
    phase=Phase.CONTAINMENT,
    permissions=("dynamodb:DescribeTable", "dynamodb:ListTagsOfResource", "dynamodb:UpdateTable"),
)
class EnableDeletionProtection(Setting[TableParams, ProtectionBefore]):
    """Protect a table from being deleted.

    Pre-condition: the table exists in the step's region and is not tagged `soar:protected`. Protected already: nothing
    is done.

    Verified by reading the table: deletion protection is on, and the table is not updating any more.

    Undone by turning it off, if it was off.

    Pitfalls: items can still be deleted one by one, and whoever may update the table can turn the protection off.

    Example::

        - id: protect
          name: Protect the table from being deleted
          do: aws.dynamodb.enable_deletion_protection
          with:
            table: orders
    """

    method = "dynamodb:DescribeTable"

    def look(self, ctx: ActionContext, params: TableParams) -> Found[ProtectionBefore]:
        raw = describe_table(ctx, params.table)
        return Found(
            target=table_target(ctx, raw),
            state=ProtectionBefore(protected=bool(raw.get("DeletionProtectionEnabled"))),
            facts=table_facts(raw),
            pending="the table is still updating" if raw["TableStatus"] == "UPDATING" else "",
        )

    def wanted(self, params: TableParams, state: ProtectionBefore) -> ProtectionBefore:
        return ProtectionBefore(protected=True)

    def say(self, params: TableParams, found: Found[ProtectionBefore], then: ProtectionBefore) -> Said:
        return Said(
            summary=f"Protect table {params.table} from being deleted",
            hits="Readers and writers notice nothing; nobody can delete the table.",
            undo="The protection is turned off again.",
        )

    def write(
        self, ctx: ActionContext, params: TableParams, now: ProtectionBefore, then: ProtectionBefore
    ) -> None:
        with aws_errors("dynamodb:UpdateTable"):
            try:
                client(ctx, "dynamodb").update_table(
                    TableName=params.table, DeletionProtectionEnabled=then.protected
                )
            except ClientError as error:
                if error.response["Error"]["Code"] not in BUSY:
                    raise
                raise Unavailable(f"table {params.table} is in the middle of another change") from error
