"""Have S3 log who reads and writes a bucket."""

from __future__ import annotations

from pydantic import Field

from soar.actions.aws.access import aws_errors, client
from soar.actions.aws.s3_bucket import BucketParams, bucket_target, setting
from soar.actions.aws.setting import Found, Said, Setting
from soar.actions.contract import ActionContext, StateBefore, action
from soar.actions.errors import Refused
from soar.model.base import JsonObject
from soar.model.terms import Phase, Risk

__all__ = ["EnableAccessLogging"]

DEFAULT_FORMAT: JsonObject = {"SimplePrefix": {}}
"""How the names of log files are made where nothing is said; saying it or not is the same."""


class LoggingParams(BucketParams):
    """Which bucket is logged, and where to.

    Args:
        log_bucket: Of the same account and region; its policy lets `logging.s3.amazonaws.com` put objects.
        prefix: What the names of the log files begin with.
    """

    log_bucket: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")
    prefix: str = Field(default="", max_length=512)


class LoggingBefore(StateBefore):
    """The whole setting (`LoggingEnabled`); None: logging was off."""

    logging: JsonObject | None = Field(title="access logging")


@action(
    "aws.s3.enable_access_logging",
    risk=Risk.REVERSIBLE,
    phase=Phase.IDENTIFICATION,
    permissions=("s3:GetBucketLogging", "s3:PutBucketLogging", "s3:GetBucketTagging"),
)
class EnableAccessLogging(Setting[LoggingParams, LoggingBefore]):
    """Have S3 log every request for a bucket into another one.

    For a bucket of which nobody can say who reads it: what happens from now on can be said.

    Pre-condition: the bucket exists and is not tagged `soar:protected`; the log bucket is another one of the same
    account and region, and takes logs. Logged to that bucket already, under whatever prefix: nothing is done.

    Verified by reading the bucket's logging. S3 itself has checked that it may write to the log bucket.

    Undone by writing the recorded setting back, or turning logging off if it was.

    Pitfalls: it may take an hour until the first requests are logged; logs come with a delay of hours, and S3 does not
    promise that none is missing. For single objects, at once and completely, turn on data events of a trail. It is
    refused to log into the bucket itself, which would log its own logs without end.

    Example::

        - id: log_requests
          name: Log who reads the bucket
          do: aws.s3.enable_access_logging
          with:
            bucket: '{{ (alert | resource("aws.s3.bucket")).name }}'
            log_bucket: example-access-logs
            prefix: incident/
    """

    method = "s3:GetBucketLogging"

    def look(self, ctx: ActionContext, params: LoggingParams) -> Found[LoggingBefore]:
        found = setting(ctx, params.bucket, "get_bucket_logging", "s3:GetBucketLogging") or {}
        enabled = found.get("LoggingEnabled")
        if enabled and enabled.get("TargetObjectKeyFormat") == DEFAULT_FORMAT:
            enabled = {k: v for k, v in enabled.items() if k != "TargetObjectKeyFormat"}
        return Found(
            target=bucket_target(ctx, params.bucket),
            state=LoggingBefore(logging=enabled),
            facts=(f"it is logged to {enabled['TargetBucket']} at present",) if enabled else (),
        )

    def wanted(self, params: LoggingParams, state: LoggingBefore) -> LoggingBefore:
        if state.logging and state.logging.get("TargetBucket") == params.log_bucket:
            return state
        return LoggingBefore(logging={"TargetBucket": params.log_bucket, "TargetPrefix": params.prefix})

    def guard(self, ctx: ActionContext, params: LoggingParams, found: Found[LoggingBefore]) -> None:
        if params.log_bucket == params.bucket:
            raise Refused(
                f"bucket {params.bucket} would log into itself, and log its own logs without end",
                hint="name another bucket of the account and region",
            )

    def say(self, params: LoggingParams, found: Found[LoggingBefore], then: LoggingBefore) -> Said:
        before = found.state.logging
        return Said(
            summary=f"Log the requests for bucket {params.bucket} to {params.log_bucket}/{params.prefix}",
            hits="Readers and writers notice nothing; logs are billed.",
            warnings=(f"Nothing more goes to {before.get('TargetBucket')}, where it was logged so far.",)
            if before
            else (),
            undo="The recorded setting is written back." if before else "Logging is turned off, as it was.",
        )

    def write(
        self, ctx: ActionContext, params: LoggingParams, now: LoggingBefore, then: LoggingBefore
    ) -> None:
        status = {} if then.logging is None else {"LoggingEnabled": dict(then.logging)}
        with aws_errors("s3:PutBucketLogging"):
            client(ctx, "s3").put_bucket_logging(Bucket=params.bucket, BucketLoggingStatus=status)
