"""Bring back what a table held at a moment, beside it."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from soar.actions.aws.access import aws_errors, client, tags_for
from soar.actions.aws.dynamodb import (
    BUSY,
    TableParams,
    describe_table,
    recovery_of,
    table_facts,
    table_tags,
    table_target,
)
from soar.actions.aws.guards import ensure_not_protected
from soar.actions.contract import Action, ActionContext, Draft, Planned, StateBefore, action
from soar.actions.errors import Refused, TargetGone, Unavailable
from soar.model.base import UtcTime, digest_of
from soar.model.change import BlastRadius, Change, Result, Target, Verification
from soar.model.terms import Phase, Risk

__all__ = ["RestoreTable"]

LOOK_EVERY = 15.0
"""Seconds between two looks at a table that is being restored; that takes minutes to hours."""


class RestoreParams(TableParams):
    """Which table, and what it was when.

    Args:
        at: The moment before which all was well, within the time that can be recovered.
    """

    at: UtcTime


class RestoreBefore(StateBefore):
    """Which table is made. There is nothing to put back but what we create."""

    source: str
    restored: str


@action(
    "aws.dynamodb.restore_table_to_time",
    risk=Risk.REVERSIBLE,
    phase=Phase.RECOVERY,
    permissions=(
        "dynamodb:DescribeTable",
        "dynamodb:ListTagsOfResource",
        "dynamodb:DescribeContinuousBackups",
        "dynamodb:RestoreTableToPointInTime",
        "dynamodb:TagResource",
        "dynamodb:DeleteTable",
        "dynamodb:BatchWriteItem",
        "dynamodb:DeleteItem",
        "dynamodb:GetItem",
        "dynamodb:PutItem",
        "dynamodb:Query",
        "dynamodb:Scan",
        "dynamodb:UpdateItem",
    ),
    apply_timeout=12 * 3600,
    verify_timeout=600,
)
class RestoreTable(Action[RestoreParams, RestoreBefore]):
    """Make a new table with what a table held at a moment.

    The new table is named after the old one, the incident and the step, and tagged with both; the old one is not
    touched. Whether the applications move to it, or single items are copied back, is for people.

    Pre-condition: the table exists in the step's region, is not tagged `soar:protected`, and point-in-time recovery was
    on at the moment. If this step has made its table already, it is used.

    Verified by reading the new table: it is active, no longer being restored, a copy of the old one, and tagged.

    Undone by deleting the new table. Nothing else is touched.

    Pitfalls: it takes minutes to hours, whatever the size. Tags, alarms, scaling, streams, time to live, recovery and
    deletion protection of the old table are not restored: set them before applications use the new one. A table that
    was deleted can be brought back by hand for 35 days from the backup that DynamoDB makes then.

    Example::

        - id: restore
          name: Bring the orders back beside the table
          do: aws.dynamodb.restore_table_to_time
          timeout: 12h
          with:
            table: orders
            at: "2026-03-01T04:00:00Z"
    """

    def plan(self, ctx: ActionContext, params: RestoreParams) -> Draft[RestoreBefore]:
        raw = describe_table(ctx, params.table)
        target, name = table_target(ctx, raw), _name(ctx, params.table)
        ensure_not_protected("table", params.table, target.tags)
        made = _made(ctx, name, target.uid)
        done = made is not None and not _unready(made) and _ours(ctx, table_tags(ctx, str(made["TableArn"])))
        if made is None:
            _refuse_moment(ctx, params)
        beside = target.model_copy(update={"uid": _arn(target, name), "name": name, "tags": {}})
        return Draft(
            summary=f"Table {name} holds what {params.table} was"
            if done
            else f"Make table {name} with what {params.table} held at {params.at:%Y-%m-%d %H:%M:%S} UTC",
            targets=(target, beside),
            changes=()
            if done
            else (Change(target=beside.uid, field="table", before=None, after="restored"),),
            state=RestoreBefore(source=target.uid, restored=name),
            blast_radius=BlastRadius(
                summary="The table itself is not touched; the new one is billed.", facts=table_facts(raw)
            ),
            undo="The table that was made is deleted.",
        )

    def apply(self, ctx: ActionContext, planned: Planned[RestoreParams, RestoreBefore]) -> Result:
        params, state, dynamodb = planned.params, planned.state, client(ctx, "dynamodb")
        if _made(ctx, state.restored, state.source) is None:
            with aws_errors("dynamodb:RestoreTableToPointInTime"):
                dynamodb.restore_table_to_point_in_time(
                    SourceTableName=params.table, TargetTableName=state.restored, RestoreDateTime=params.at
                )
        while True:
            made = _made(ctx, state.restored, state.source)
            waiting = _unready(made) if made else "it is not shown yet"
            if made and not waiting:
                break
            ctx.report(f"{state.restored}: {waiting}")
            if not ctx.wait(LOOK_EVERY):
                raise Unavailable("the step was cancelled while its table is being restored; that goes on")
        # A table that is being restored takes no tags: so they come last, and the name tells till then whose it is.
        if not _ours(ctx, table_tags(ctx, str(made["TableArn"]))):
            with aws_errors("dynamodb:TagResource"):
                dynamodb.tag_resource(ResourceArn=made["TableArn"], Tags=tags_for(ctx))
        return Result(
            summary=f"table {state.restored} holds what {params.table} was", data={"table": state.restored}
        )

    def verify(self, ctx: ActionContext, planned: Planned[RestoreParams, RestoreBefore]) -> Verification:
        made = _made(ctx, planned.state.restored, planned.state.source)
        wrong = "there is no such table" if made is None else _unready(made)
        if made and not wrong and not _ours(ctx, table_tags(ctx, str(made["TableArn"]))):
            wrong = "it is not tagged yet"
        return Verification(
            verified=not wrong,
            seen=f"{planned.state.restored}: " + (wrong or "active, and restored from the table"),
            method="dynamodb:DescribeTable, dynamodb:ListTagsOfResource",
        )

    def undo(self, ctx: ActionContext, planned: Planned[RestoreParams, RestoreBefore]) -> Result:
        name = planned.state.restored
        made = _made(ctx, name, planned.state.source)
        if made is None or made["TableStatus"] == "DELETING":
            return Result(summary=f"table {name} is gone already")
        with aws_errors("dynamodb:DeleteTable"):
            try:
                client(ctx, "dynamodb").delete_table(TableName=name)
            except ClientError as error:
                if error.response["Error"]["Code"] not in BUSY:
                    raise
                raise Unavailable(
                    f"table {name} cannot be deleted while it is {made['TableStatus']}"
                ) from error
        return Result(summary=f"deleted table {name}, which this step had made")


def _name(ctx: ActionContext, table: str) -> str:
    return f"{table[:220]}-restored-{digest_of([ctx.incident_id, ctx.step_id])[:12]}"


def _arn(source: Target, name: str) -> str:
    return f"{source.uid.rpartition('/')[0]}/{name}"


def _ours(ctx: ActionContext, tags: dict[str, str]) -> bool:
    return all(tags.get(t["Key"]) == t["Value"] for t in tags_for(ctx))


def _made(ctx: ActionContext, name: str, source: str) -> dict[str, Any] | None:
    """The table that this step makes; None: it is not there.

    Raises:
        Refused: There is a table of this name that was not restored from the source.
    """
    try:
        found = describe_table(ctx, name)
    except TargetGone:
        return None
    if (found.get("RestoreSummary") or {}).get("SourceTableArn") != source:
        raise Refused(
            f"there is a table {name}, and it was not restored from {source}",
            hint="find out who made it; delete it, then retry the step",
        )
    return found


def _unready(raw: dict[str, Any]) -> str:
    """Why a restored table cannot be used yet; empty: it can."""
    if (raw.get("RestoreSummary") or {}).get("RestoreInProgress"):
        return "it is still being restored"
    return "" if raw["TableStatus"] == "ACTIVE" else f"it is {raw['TableStatus']}"


def _refuse_moment(ctx: ActionContext, params: RestoreParams) -> None:
    recovery = recovery_of(ctx, params.table)
    if recovery.get("PointInTimeRecoveryStatus") != "ENABLED":
        raise Refused(
            f"table {params.table} has no point-in-time recovery, so that it cannot be brought back to a moment",
            hint="look for a backup of it (on demand, or of AWS Backup) and restore that by hand",
        )
    first, last = recovery.get("EarliestRestorableDateTime"), recovery.get("LatestRestorableDateTime")
    if (first and params.at < first) or (last and params.at > last):
        raise Refused(
            f"table {params.table} can be brought back to moments from {first:%Y-%m-%d %H:%M:%S} to "
            f"{last:%Y-%m-%d %H:%M:%S} UTC, not to {params.at:%Y-%m-%d %H:%M:%S}",
            hint="name a moment in between; the latest is some five minutes ago",
        )
