"""Search log groups of CloudWatch by Logs Insights."""

from __future__ import annotations

import time
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, model_validator

from soar.actions.aws.access import aws_errors, client
from soar.actions.contract import ActionContext, Params, action
from soar.actions.errors import ActionError, Unavailable
from soar.model.base import Digest, UtcTime, canonical_json, digest_of
from soar.model.terms import Phase, Risk

__all__ = ["query_text", "search_logs"]

LOOK_EVERY = 1.0
"""Seconds between two looks at a running query."""
MOST_ROWS = 10_000
"""Log events that one query returns (CloudWatch Logs quotas)."""
MOST_SHOWN = 20
LONGEST_SHOWN = 500
"""Characters of a value that travel in the result; the evidence has it whole."""
PAGES = 20
"""Pages of earlier queries that are looked through after a crash."""

FieldName = Annotated[str, Field(pattern=r"^@?[A-Za-z_][A-Za-z0-9_.]{0,126}$")]
PlainValue = Annotated[
    str,
    Field(
        min_length=1,
        max_length=500,
        # The language of the queries writes values between quotation marks; none that could end one gets there.
        pattern=r"^[^\"'`\\\x00-\x1f\x7f]+$",
        description="a value without quotation marks, backslashes and control characters",
    ),
]


class Condition(Params):
    """What must hold of a field.

    Args:
        how: How the value is compared; `contains` looks for it anywhere in the field, capitals as they are.
    """

    field: FieldName = Field(description="`userIdentity.accessKeyId`, `srcAddr`, `@message` …")
    how: Literal["equal", "not_equal", "contains"] = "equal"
    value: PlainValue


class LogsParams(Params):
    """Which log groups, and what to look for. All conditions must hold."""

    log_groups: tuple[Annotated[str, Field(max_length=512, pattern=r"^[A-Za-z0-9_./#-]+$")], ...] = Field(
        min_length=1, max_length=50, description="names of log groups of this account and region"
    )
    where: tuple[Condition, ...] = Field(min_length=1, max_length=20)
    fields: tuple[FieldName, ...] = Field(
        default=("@timestamp", "@message"),
        min_length=1,
        max_length=30,
        description="what is read of each event",
    )
    since: UtcTime
    until: UtcTime
    limit: int = Field(default=1000, ge=1, le=MOST_ROWS, description="events at most, oldest first")

    @model_validator(mode="after")
    def _a_span_of_time(self) -> LogsParams:
        if self.since >= self.until:
            raise ValueError("since must be before until")
        return self


class LogEvents(BaseModel):
    """What was found.

    Args:
        query: The text that was run.
        cut: There are (or, at ten thousand, may be) more events than `limit`.
        digest: Of the evidence that holds all events that were read.
        sample: The first of them; long values are shortened.
    """

    summary: str
    query_id: str
    query: str
    events: int
    cut: bool
    records_scanned: int
    bytes_scanned: int
    digest: Digest
    sample: list[dict[str, str]]


def query_text(params: LogsParams) -> str:
    """The query. Names and values were checked by the parameters' patterns, so that none can end its quotation."""
    asked = params.limit + 1 if params.limit < MOST_ROWS else MOST_ROWS
    return "\n".join(
        (
            "fields " + ", ".join(_quoted(f) for f in params.fields),
            *(f"| filter {_condition(c)}" for c in params.where),
            "| sort @timestamp asc",
            f"| limit {asked}",
        )
    )


def _quoted(field: str) -> str:
    return field if field.startswith("@") else f"`{field}`"


def _condition(condition: Condition) -> str:
    field, value = _quoted(condition.field), f'"{condition.value}"'
    match condition.how:
        case "equal":
            return f"{field} = {value}"
        case "not_equal":
            return f"{field} != {value}"
        case "contains":
            return f"strcontains({field}, {value})"


@action(
    "aws.logs.query",
    risk=Risk.READ,
    phase=Phase.IDENTIFICATION,
    permissions=("logs:StartQuery", "logs:GetQueryResults", "logs:DescribeQueries", "logs:StopQuery"),
    plan_timeout=3600,
)
def search_logs(ctx: ActionContext, params: LogsParams) -> LogEvents:
    """Search log groups of CloudWatch: flow logs, application logs, audit logs of clusters, CloudTrail's own.

    The query is put together from fields and values that are checked before. It carries the incident and the step as
    a comment, by which a try after a crash finds the query that the one before it started. When the step is
    cancelled, the query is stopped. All events that were read are kept as evidence, with the query.

    Pre-condition: the log groups are in the step's account and region. Nothing is changed.

    Pitfalls: what is scanned is billed by volume. At most ten thousand events come back: shorten the span where it
    says that there are more. Fields exist only where Insights finds them (JSON, or formats that it knows): else look
    into `@message`. A query is ended by the service after an hour. Groups of the class for infrequent access know
    fewer commands.

    Shown on replies of our own making: the simulated account filters nothing.

    Example::

        - id: logs
          name: What did the application say to the address?
          do: aws.logs.query
          with:
            log_groups: [/shop/frontend]
            where:
              - {field: client_ip, value: 203.0.113.7}
              - {field: "@message", how: contains, value: login}
            since: "2026-01-31T00:00:00Z"
            until: "2026-02-01T00:00:00Z"
    """
    text = query_text(params)
    number = (_earlier(ctx, params, text) if ctx.attempt > 1 else "") or _start(ctx, params, text)
    reply = _wait(ctx, number)
    rows = [
        {cell["field"]: str(cell.get("value", "")) for cell in row if cell["field"] != "@ptr"}
        for row in reply.get("results", [])
    ]
    cut = len(rows) > params.limit or len(rows) >= MOST_ROWS
    rows = rows[: params.limit]
    evidence = ctx.keep_evidence(
        "log-events.json",
        canonical_json(
            {"query": text, "log_groups": list(params.log_groups), "id": number, "cut": cut, "rows": rows}
        ).encode(),
        media_type="application/json",
        source="logs:GetQueryResults",
    )
    statistics = reply.get("statistics", {})
    return LogEvents(
        summary=f"{len(rows)}{' or more' if cut else ''} event(s) in {len(params.log_groups)} log group(s) "
        f"from {params.since:%Y-%m-%d %H:%M} to {params.until:%Y-%m-%d %H:%M} UTC"
        + (f"; there are more, only the first {len(rows)} were read" if cut else ""),
        query_id=number,
        query=text,
        events=len(rows),
        cut=cut,
        records_scanned=int(statistics.get("recordsScanned", 0)),
        bytes_scanned=int(statistics.get("bytesScanned", 0)),
        digest=evidence.digest,
        sample=[{k: v[:LONGEST_SHOWN] for k, v in row.items()} for row in rows[:MOST_SHOWN]],
    )


def _mark(ctx: ActionContext, params: LogsParams, text: str) -> str:
    """What makes this step's query known again: a comment, which the service keeps with the query."""
    own = [ctx.incident_id, ctx.step_id, sorted(params.log_groups), text, params.since, params.until]
    return f"# soar {digest_of([str(part) for part in own])}"


def _start(ctx: ActionContext, params: LogsParams, text: str) -> str:
    with aws_errors("logs:StartQuery"):
        reply = client(ctx, "logs").start_query(
            logGroupNames=sorted(params.log_groups),
            startTime=int(params.since.timestamp()),
            endTime=int(params.until.timestamp()),
            queryString=f"{text}\n{_mark(ctx, params, text)}",
        )
    return str(reply["queryId"])


def _earlier(ctx: ActionContext, params: LogsParams, text: str) -> str:
    """The query that an earlier try of this step started, still good; empty: there is none."""
    mark = _mark(ctx, params, text)
    more: dict[str, str] = {}
    for _ in range(PAGES):
        with aws_errors("logs:DescribeQueries"):
            page: dict[str, Any] = client(ctx, "logs").describe_queries(maxResults=1000, **more)
        for query in page.get("queries", []):
            if mark in query.get("queryString", "") and query["status"] in (
                "Scheduled",
                "Running",
                "Complete",
            ):
                return str(query["queryId"])
        if not page.get("nextToken"):
            break
        more = {"nextToken": page["nextToken"]}
    return ""


def _wait(ctx: ActionContext, number: str) -> dict[str, Any]:
    logs, started = client(ctx, "logs"), time.monotonic()
    while True:
        with aws_errors("logs:GetQueryResults"):
            reply: dict[str, Any] = logs.get_query_results(queryId=number)
        status = reply["status"]
        if status == "Complete":
            # A long result comes in pages.
            while reply.get("nextToken"):
                with aws_errors("logs:GetQueryResults"):
                    page = logs.get_query_results(queryId=number, nextToken=reply["nextToken"])
                reply = {**page, "results": [*reply["results"], *page.get("results", [])]}
            return reply
        if status not in ("Scheduled", "Running", "Unknown"):
            raise ActionError(
                f"query {number} of Logs Insights ended as {status}",
                hint="shorten the span of time or name fewer log groups, then retry the step",
            )
        scanned = reply.get("statistics", {}).get("recordsScanned", 0)
        ctx.report(f"query {number}: {scanned:.0f} records in {time.monotonic() - started:.0f} s")
        if not ctx.wait(LOOK_EVERY):
            with aws_errors("logs:StopQuery"):
                logs.stop_query(queryId=number)
            raise Unavailable(f"the step was cancelled; query {number} of Logs Insights was stopped")
