"""Ask for a token before an instance's metadata is handed out."""

from __future__ import annotations

from pydantic import Field

from soar.actions.aws.access import aws_errors, client
from soar.actions.aws.ec2_instance import InstanceParams, ensure_may_change, find_instance
from soar.actions.aws.setting import Found, Said, Setting
from soar.actions.contract import ActionContext, StateBefore, action
from soar.model.terms import Phase, Risk

__all__ = ["RequireImdsV2"]


class ImdsParams(InstanceParams):
    """Which instance, and how far its metadata may travel.

    Args:
        hop_limit: 1 keeps it on the instance itself, 2 lets containers reach it; None leaves it as it is.
    """

    hop_limit: int | None = Field(default=None, ge=1, le=64)


class ImdsBefore(StateBefore):
    """The two metadata options that may be changed."""

    http_tokens: str = Field(title="metadata tokens")
    hop_limit: int = Field(title="metadata hop limit")


@action(
    "aws.ec2.require_imdsv2",
    risk=Risk.REVERSIBLE,
    phase=Phase.CONTAINMENT,
    permissions=("ec2:DescribeInstances", "ec2:ModifyInstanceMetadataOptions", "sts:GetCallerIdentity"),
    d3fend="D3-ACH",
)
class RequireImdsV2(Setting[ImdsParams, ImdsBefore]):
    """Hand an instance's metadata and credentials out only against a session token (IMDSv2).

    A request forged through a web application (SSRF) can then not fetch the credentials of the instance's role.

    Pre-condition: the instance exists, is not tagged `soar:protected`, and this worker does not run on it. Tokens
    required already, and the hop limit as wanted: nothing is done.

    Verified by reading the instance: the option is `required`, the hop limit is as wanted, and the change is applied.

    Undone by writing the recorded options. It refuses if they were changed since.

    Pitfalls: old SDKs and agents on the instance that ask without a token lose their credentials at once. A hop limit
    of 1 cuts containers off that do not share the host's network. Credentials that were stolen before stay good:
    revoke the sessions of the role.

    Example::

        - id: tokens
          name: Require tokens for metadata
          do: aws.ec2.require_imdsv2
          with:
            instance_id: '{{ (alert | resource("aws.ec2.instance")).name }}'
    """

    method = "ec2:DescribeInstances"

    def look(self, ctx: ActionContext, params: ImdsParams) -> Found[ImdsBefore]:
        instance = find_instance(ctx, params.instance_id)
        raw = instance.raw.get("MetadataOptions", {})
        applied = raw.get("State", "applied") == "applied"
        return Found(
            target=instance.target,
            state=ImdsBefore(
                http_tokens=raw.get("HttpTokens", "optional"), hop_limit=raw.get("HttpPutResponseHopLimit", 1)
            ),
            facts=(f"role: {instance.profile_arn}" if instance.profile_arn else "it has no role",),
            pending="" if applied else "the change is pending",
        )

    def wanted(self, params: ImdsParams, state: ImdsBefore) -> ImdsBefore:
        return ImdsBefore(
            http_tokens="required",
            hop_limit=state.hop_limit if params.hop_limit is None else params.hop_limit,
        )

    def guard(self, ctx: ActionContext, params: ImdsParams, found: Found[ImdsBefore]) -> None:
        ensure_may_change(ctx, find_instance(ctx, params.instance_id))

    def say(self, params: ImdsParams, found: Found[ImdsBefore], then: ImdsBefore) -> Said:
        return Said(
            summary=f"Require tokens for the metadata of {params.instance_id}",
            hits="Programs on the instance that ask for metadata without a token get none.",
            warnings=("Metadata no longer reaches containers on a bridged network.",)
            if then.hop_limit == 1 and found.state.hop_limit > 1
            else (),
            undo="The recorded options are written back.",
        )

    def write(self, ctx: ActionContext, params: ImdsParams, now: ImdsBefore, then: ImdsBefore) -> None:
        with aws_errors("ec2:ModifyInstanceMetadataOptions"):
            client(ctx, "ec2").modify_instance_metadata_options(
                InstanceId=params.instance_id,
                HttpTokens=then.http_tokens,
                HttpPutResponseHopLimit=then.hop_limit,
            )
