"""Log again who asks Bedrock's models what."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from soar.actions.aws.access import aws_errors, client
from soar.actions.aws.setting import Found, Said, Setting
from soar.actions.contract import ActionContext, Params, StateBefore, action
from soar.model.base import JsonObject
from soar.model.change import Target
from soar.model.terms import Phase, Risk

__all__ = ["RestoreInvocationLogging"]

KINDS = ("text", "image", "embedding", "video", "audio")


class LoggingParams(Params):
    """Where invocations are logged to: a bucket, a log group, or both.

    Args:
        bucket: Its policy lets `bedrock.amazonaws.com` put objects.
        log_group: Needs `role_arn`, by which Bedrock writes to it.
    """

    bucket: str = Field(default="", pattern=r"^$|^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")
    prefix: str = Field(default="", max_length=1024)
    log_group: str = Field(default="", max_length=512)
    role_arn: str = Field(default="", pattern=r"^$|^arn:[a-z0-9-]+:iam::[0-9]{12}:role/.+$")

    @model_validator(mode="after")
    def _says_where(self) -> LoggingParams:
        if not self.bucket and not self.log_group:
            raise ValueError("say where to log: `bucket` or `log_group`")
        if bool(self.log_group) != bool(self.role_arn):
            raise ValueError("`log_group` and `role_arn` go together")
        return self


class InvocationLoggingBefore(StateBefore):
    """The whole setting; None: nothing was logged."""

    logging: JsonObject | None = Field(title="model invocation logging")


@action(
    "aws.bedrock.restore_invocation_logging",
    risk=Risk.REVERSIBLE,
    phase=Phase.CONTAINMENT,
    permissions=(
        "bedrock:GetModelInvocationLoggingConfiguration",
        "bedrock:PutModelInvocationLoggingConfiguration",
        "bedrock:DeleteModelInvocationLoggingConfiguration",
        "iam:PassRole",
        "sts:GetCallerIdentity",
    ),
)
class RestoreInvocationLogging(Setting[LoggingParams, InvocationLoggingBefore]):
    """Have Bedrock log again every question to its models and every answer, in the step's region.

    Whoever uses stolen access for models turns this logging off first, so that nobody sees what they are asked.

    Pre-condition: the bucket or the log group exists and takes the logs of Bedrock. Logged there already, all kinds of
    content: nothing is done.

    Verified by reading the setting: it is exactly the wanted one.

    Undone by writing the recorded setting back, or deleting it if there was none.

    Pitfalls: what was asked while it was off is lost; the trail still has who called which model when. The logs hold
    the questions and answers in clear: who may read the bucket reads them. Other regions are set by themselves.

    Example::

        - id: model_logs
          name: Log the use of models again
          do: aws.bedrock.restore_invocation_logging
          with:
            bucket: example-model-logs
            prefix: bedrock
    """

    method = "bedrock:GetModelInvocationLoggingConfiguration"

    def look(self, ctx: ActionContext, params: LoggingParams) -> Found[InvocationLoggingBefore]:
        bedrock = client(ctx, "bedrock")
        with aws_errors("bedrock:GetModelInvocationLoggingConfiguration"):
            found = bedrock.get_model_invocation_logging_configuration().get("loggingConfig")
        with aws_errors("sts:GetCallerIdentity"):
            account = str(client(ctx, "sts").get_caller_identity()["Account"])
        region = bedrock.meta.region_name
        return Found(
            target=Target(
                uid=f"arn:{bedrock.meta.partition}:bedrock:{region}:{account}:model-invocation-logging",
                type="aws.bedrock.invocation_logging",
                name=f"model logging of account {account} in {region}",
                account=account,
                region=region,
            ),
            state=InvocationLoggingBefore(logging=found or None),
            facts=(f"logged at present to {_where(found)}",) if found else ("nothing is logged at present",),
        )

    def wanted(self, params: LoggingParams, state: InvocationLoggingBefore) -> InvocationLoggingBefore:
        wanted: dict[str, Any] = {f"{kind}DataDeliveryEnabled": True for kind in KINDS}
        if params.bucket:
            prefix = {"keyPrefix": params.prefix} if params.prefix else {}
            wanted["s3Config"] = {"bucketName": params.bucket, **prefix}
        if params.log_group:
            wanted["cloudWatchConfig"] = {"logGroupName": params.log_group, "roleArn": params.role_arn}
        return InvocationLoggingBefore(logging=wanted)

    def say(
        self,
        params: LoggingParams,
        found: Found[InvocationLoggingBefore],
        then: InvocationLoggingBefore,
    ) -> Said:
        return Said(
            summary=f"Log the use of Bedrock's models to {_where(then.logging)}",
            hits="Users of the models notice nothing; logs are billed.",
            warnings=("Nothing more is logged to where it goes at present.",) if found.state.logging else (),
            undo="The recorded setting is written back."
            if found.state.logging
            else "The setting is deleted, as there was none.",
        )

    def write(
        self,
        ctx: ActionContext,
        params: LoggingParams,
        now: InvocationLoggingBefore,
        then: InvocationLoggingBefore,
    ) -> None:
        bedrock = client(ctx, "bedrock")
        if then.logging is None:
            with aws_errors("bedrock:DeleteModelInvocationLoggingConfiguration"):
                bedrock.delete_model_invocation_logging_configuration()
            return
        with aws_errors("bedrock:PutModelInvocationLoggingConfiguration"):
            bedrock.put_model_invocation_logging_configuration(loggingConfig=then.logging)


def _where(logging: Any) -> str:
    bucket = (logging or {}).get("s3Config", {}).get("bucketName")
    group = (logging or {}).get("cloudWatchConfig", {}).get("logGroupName")
    return " and ".join(
        n for n in (f"bucket {bucket}" if bucket else "", f"log group {group}" if group else "") if n
    )
