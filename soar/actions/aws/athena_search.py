"""Ask the CloudTrail records that lie in S3, by Athena: for what happened longer ago than 90 days."""

from __future__ import annotations

import time
from collections import Counter
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, model_validator

from soar.actions.aws.access import aws_errors, client
from soar.actions.contract import ActionContext, Params, action
from soar.actions.errors import ActionError, BadInput, Unavailable
from soar.model.base import Digest, UtcTime, canonical_json, digest_of
from soar.model.terms import Phase, Risk

__all__ = ["QUESTIONS", "literal", "search_by_athena", "statement"]

LOOK_EVERY = 2.0
"""Seconds between two looks at a running query."""
GENERATIONS = 4
"""How often a query of the same step is started anew after one that failed or was stopped."""
MOST_ROWS = 10_000
LAST_YEAR = 2999
MOST_TOLD = 50
PAGE = 1000
"""Rows that one GetQueryResults returns, the names of the columns included (Athena API reference)."""

Identifier = Annotated[str, Field(pattern=r"^[A-Za-z0-9_]{1,128}$")]

COLUMNS = {
    "event_time": "eventtime",
    "event_source": "eventsource",
    "event_name": "eventname",
    "region": "awsregion",
    "source_ip": "sourceipaddress",
    "user_agent": "useragent",
    "error": "errorcode",
    "account": "recipientaccountid",
    "principal": "useridentity.arn",
    "access_key_id": "useridentity.accesskeyid",
    "request": "requestparameters",
    "event_id": "eventid",
}
"""What is read of each event, as the table of CloudTrail in Athena calls it."""

QUESTIONS = {
    "access_key": ("useridentity.accesskeyid = ?",),
    "principal": (
        "useridentity.arn = ?",
        "useridentity.username = ?",
        "useridentity.sessioncontext.sessionissuer.arn = ?",
        "useridentity.sessioncontext.sessionissuer.username = ?",
    ),
    "source_ip": ("sourceipaddress = ?",),
    "event": ("eventname = ?",),
}
"""The ready-made questions: one of these must hold of the value."""


class AthenaParams(Params):
    """What to ask, and of which table.

    Args:
        day_partition: The column by which the table is divided into days, written `2026/01/31`. Without it the whole
            table is read, and billed.
    """

    question: Literal["access_key", "principal", "source_ip", "event"] = Field(
        description="what `value` is: whose or which events are asked for"
    )
    value: str = Field(
        min_length=1, max_length=500, description="a key's id, an ARN or name, an address, an event's name"
    )
    since: UtcTime
    until: UtcTime
    database: Identifier = "default"
    table: Identifier = Field(description="the table of CloudTrail's log files")
    catalog: Identifier = "AwsDataCatalog"
    day_partition: str = Field(default="", pattern=r"^([A-Za-z0-9_]{1,128})?$")
    workgroup: str = Field(default="primary", pattern=r"^[A-Za-z0-9._-]{1,128}$")
    output: str = Field(
        default="",
        pattern=r"^(s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[\w./=-]*)?)?$",
        description="where Athena writes results; empty: as the workgroup says",
    )
    limit: int = Field(default=2000, ge=1, le=MOST_ROWS, description="events at most, oldest first")

    @model_validator(mode="after")
    def _a_span_of_time(self) -> AthenaParams:
        if self.since >= self.until:
            raise ValueError("since must be before until")
        if self.until.year > LAST_YEAR:
            raise ValueError(f"until is after the year {LAST_YEAR}")
        return self


class AthenaEvents(BaseModel):
    """What was found.

    Args:
        query: The text that was run; the values are in `parameters`.
        cut: There are more events than `limit`.
        digest: Of the evidence that holds all events that were read.
        by_name: Their number by `service:Event`, most frequent first; `source_ips` and `errors` likewise.
    """

    summary: str
    execution_id: str
    query: str
    parameters: list[str]
    events: int
    cut: bool
    bytes_scanned: int
    digest: Digest
    by_name: dict[str, int]
    source_ips: dict[str, int]
    errors: dict[str, int]
    regions: list[str]
    first_seen: str = ""
    last_seen: str = ""


def literal(value: str) -> str:
    """A value as Athena takes an execution parameter: a string of SQL, quoted.

    Raises:
        BadInput: It has characters that no such value has.
    """
    if not value.isprintable():
        raise BadInput("the value to ask for holds control characters", hint="give it as the events have it")
    return "'" + value.replace("'", "''") + "'"


def statement(params: AthenaParams) -> tuple[str, list[str]]:
    """The query and its execution parameters; no value is part of the text.

    Returns:
        The text with a `?` for each value, and the values as SQL strings.
    """
    conditions = QUESTIONS[params.question]
    values = [params.value] * len(conditions)
    text = [
        "SELECT " + ", ".join(f'{expression} AS "{name}"' for name, expression in COLUMNS.items()),
        f'FROM "{params.database}"."{params.table}"',
        f"WHERE ({' OR '.join(conditions)})",
        "AND eventtime >= ? AND eventtime < ?",
    ]
    values += [_stamp(params.since), _stamp(params.until)]
    if params.day_partition:
        text.append(f'AND "{params.day_partition}" >= ? AND "{params.day_partition}" <= ?')
        # Files lie under the day of their delivery, which may be the day after that of their last events.
        values += [_day(params.since), _day(params.until + timedelta(days=1))]
    # One more than asked for tells whether there are more.
    text.append(f"ORDER BY eventtime LIMIT {params.limit + 1}")
    return "\n".join(text), [literal(v) for v in values]


def _stamp(moment: datetime) -> str:
    """A time as events write it."""
    return f"{moment.year:04}-{moment:%m-%dT%H:%M:%SZ}"


def _day(moment: datetime) -> str:
    return f"{moment.year:04}/{moment:%m/%d}"


@action(
    "aws.athena.query",
    risk=Risk.READ,
    phase=Phase.IDENTIFICATION,
    permissions=(
        "athena:StartQueryExecution",
        "athena:GetQueryExecution",
        "athena:GetQueryResults",
        "athena:StopQueryExecution",
        "glue:GetDatabase",
        "glue:GetTable",
        "glue:GetPartitions",
        "s3:GetBucketLocation",
        "s3:GetObject",
        "s3:ListBucket",
        "s3:PutObject",
    ),
    plan_timeout=3600,
)
def search_by_athena(ctx: ActionContext, params: AthenaParams) -> AthenaEvents:
    """Ask CloudTrail's log files by Athena what a key, a principal or an address did between two moments.

    Reaches as far back as the log files do, in all accounts and regions that the table covers. The questions are
    ready made; names of tables and columns are checked and quoted, and values go as execution parameters, never in
    the text. A try after a crash finds the query that the one before it started. When the step is cancelled, the query
    is stopped. All events that were read are kept as evidence, with the query.

    Pre-condition: a table of CloudTrail's log files with the columns that Athena's own definition gives it, a
    workgroup with a place for results (or `output`). Nothing but results is written.

    Pitfalls: what is read is billed by volume: name the column of days (`day_partition`), or a span of minutes reads
    years. Log files come up to fifteen minutes late. A table made with other names of columns fails. A key of KMS on
    the log files or the results needs kms:Decrypt and kms:GenerateDataKey besides. Lake Formation may hide rows.

    Shown on replies of our own making: the simulated account runs no query.

    Example::

        - id: half_a_year
          name: What did the key do in half a year?
          do: aws.athena.query
          timeout: 1h
          with:
            question: access_key
            value: '{{ alert.actor.access_key_id }}'
            since: "2026-01-01T00:00:00Z"
            until: "2026-07-01T00:00:00Z"
            database: security
            table: cloudtrail_logs
            day_partition: timestamp
    """
    query, values = statement(params)
    execution = _run(ctx, params, query, values)
    rows = _rows(ctx, execution["QueryExecutionId"], params.limit + 1)
    cut, rows = len(rows) > params.limit, rows[: params.limit]
    evidence = ctx.keep_evidence(
        "athena-events.json",
        canonical_json(
            {
                "query": query,
                "parameters": values,
                "execution": execution["QueryExecutionId"],
                "cut": cut,
                "rows": rows,
            }
        ).encode(),
        media_type="application/json",
        source="athena:GetQueryResults",
    )
    return AthenaEvents(
        summary=f"{len(rows)}{' or more' if cut else ''} event(s) by {params.question} {params.value} "
        f"from {params.since:%Y-%m-%d %H:%M} to {params.until:%Y-%m-%d %H:%M} UTC"
        + (f"; there are more, only the first {params.limit} were read" if cut else ""),
        execution_id=execution["QueryExecutionId"],
        query=query,
        parameters=values,
        events=len(rows),
        cut=cut,
        bytes_scanned=execution.get("Statistics", {}).get("DataScannedInBytes", 0),
        digest=evidence.digest,
        by_name=_counted(
            f"{r['event_source'].removesuffix('.amazonaws.com')}:{r['event_name']}" for r in rows
        ),
        source_ips=_counted(r["source_ip"] for r in rows),
        errors=_counted(r["error"] for r in rows),
        regions=sorted({r["region"] for r in rows if r["region"]}),
        first_seen=rows[0]["event_time"] if rows else "",
        last_seen=rows[-1]["event_time"] if rows else "",
    )


def _run(ctx: ActionContext, params: AthenaParams, query: str, values: list[str]) -> dict[str, Any]:
    """Start the query, or find it again, and wait until it is through."""
    athena = client(ctx, "athena")
    given: dict[str, Any] = {
        "QueryString": query,
        "ExecutionParameters": values,
        "QueryExecutionContext": {"Database": params.database, "Catalog": params.catalog},
        "WorkGroup": params.workgroup,
        **({"ResultConfiguration": {"OutputLocation": params.output}} if params.output else {}),
    }
    found: dict[str, Any] = {}
    for generation in range(GENERATIONS):
        # The same token gives the same query: one that an earlier try started is found, its results may be there.
        token = digest_of([ctx.incident_id, ctx.step_id, ctx.account, ctx.region, given, generation])
        with aws_errors("athena:StartQueryExecution"):
            execution = athena.start_query_execution(**given, ClientRequestToken=token)["QueryExecutionId"]
        looks, found = _wait(ctx, execution)
        state = found["Status"]["State"]
        if state == "SUCCEEDED":
            return found
        # What had failed or been stopped at the first look is of an earlier try: it is asked anew.
        if looks > 1 and state == "FAILED":
            break
    status = found["Status"]
    problem = status.get("StateChangeReason") or status.get("AthenaError", {}).get("ErrorMessage", "")
    text = f"Athena's query {found['QueryExecutionId']} ended as {status['State']}: {problem[:1500]}"
    if status.get("AthenaError", {}).get("Retryable"):
        raise Unavailable(text)
    raise ActionError(
        text, hint="look at the table's columns, the workgroup and the permissions on its bucket"
    )


def _wait(ctx: ActionContext, execution: str) -> tuple[int, dict[str, Any]]:
    """Wait for a query.

    Returns:
        How often it was looked at, and the query as it ended.
    """
    athena, started, looks = client(ctx, "athena"), time.monotonic(), 0
    while True:
        with aws_errors("athena:GetQueryExecution"):
            found: dict[str, Any] = athena.get_query_execution(QueryExecutionId=execution)["QueryExecution"]
        looks += 1
        state = found["Status"]["State"]
        if state not in ("QUEUED", "RUNNING"):
            return looks, found
        ctx.report(f"query {execution} {state.lower()} for {time.monotonic() - started:.0f} s")
        if not ctx.wait(LOOK_EVERY):
            with aws_errors("athena:StopQueryExecution"):
                athena.stop_query_execution(QueryExecutionId=execution)
            raise Unavailable(f"the step was cancelled; Athena's query {execution} was stopped")


def _rows(ctx: ActionContext, execution: str, most: int) -> list[dict[str, str]]:
    """The result's rows by the names of the columns; what is null is empty."""
    athena, names = client(ctx, "athena"), list(COLUMNS)
    found: list[dict[str, str]] = []
    more: dict[str, str] = {}
    first = True
    while len(found) < most:
        with aws_errors("athena:GetQueryResults"):
            page = athena.get_query_results(QueryExecutionId=execution, MaxResults=PAGE, **more)
        # The first row of the first page holds the names of the columns.
        for row in page["ResultSet"]["Rows"][1 if first else 0 :]:
            cells = [str(cell.get("VarCharValue", "")) for cell in row["Data"]]
            found.append(dict(zip(names, cells, strict=True)))
        first = False
        ctx.report(f"{len(found)} row(s) read")
        if not page.get("NextToken"):
            break
        more = {"NextToken": page["NextToken"]}
    return found[:most]


def _counted(values: Any) -> dict[str, int]:
    ordered = sorted(Counter(v for v in values if v).items(), key=lambda item: (-item[1], item[0]))
    return dict(ordered[:MOST_TOLD])
