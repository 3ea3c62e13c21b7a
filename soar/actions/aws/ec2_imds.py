"""Ask for a token before an instance's metadata is handed out."""

from __future__ import annotations

from pydantic import Field

from soar.actions.aws.access import aws_errors, client
from soar.actions.aws.ec2_instance import InstanceParams, ensure_may_change, find_instance
from soar.actions.contract import Action, ActionContext, Draft, Planned, StateBefore, action
from soar.model.change import BlastRadius, Change, Result, Verification
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

    http_tokens: str
    hop_limit: int


@action(
    "aws.ec2.require_imdsv2",
    risk=Risk.REVERSIBLE,
    phase=Phase.CONTAINMENT,
    permissions=("ec2:DescribeInstances", "ec2:ModifyInstanceMetadataOptions", "sts:GetCallerIdentity"),
    d3fend="D3-ACH",
)
class RequireImdsV2(Action[ImdsParams, ImdsBefore]):
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

    def plan(self, ctx: ActionContext, params: ImdsParams) -> Draft[ImdsBefore]:
        instance = find_instance(ctx, params.instance_id)
        ensure_may_change(ctx, instance)
        before = _options(ctx, params.instance_id)
        changes = []
        if before.http_tokens != "required":
            changes.append(
                Change(
                    target=instance.target.uid,
                    field="metadata tokens",
                    before=before.http_tokens,
                    after="required",
                )
            )
        if params.hop_limit is not None and before.hop_limit != params.hop_limit:
            changes.append(
                Change(
                    target=instance.target.uid,
                    field="metadata hop limit",
                    before=before.hop_limit,
                    after=params.hop_limit,
                )
            )
        return Draft(
            summary=f"Require tokens for the metadata of {instance.id}"
            if changes
            else f"{instance.id} requires tokens for its metadata already",
            targets=(instance.target,),
            changes=tuple(changes),
            state=before,
            blast_radius=BlastRadius(
                summary="Programs on the instance that ask for metadata without a token get none.",
                facts=(f"role: {instance.profile_arn}" if instance.profile_arn else "it has no role",),
            )
            if changes
            else BlastRadius(),
            warnings=("Metadata no longer reaches containers on a bridged network.",)
            if params.hop_limit == 1 and before.hop_limit > 1
            else (),
            undo="The recorded options are written back.",
        )

    def apply(self, ctx: ActionContext, planned: Planned[ImdsParams, ImdsBefore]) -> Result:
        wanted = _wanted(planned)
        _write(ctx, planned.params.instance_id, wanted)
        return Result(summary=f"{planned.params.instance_id} requires tokens, hop limit {wanted.hop_limit}")

    def verify(self, ctx: ActionContext, planned: Planned[ImdsParams, ImdsBefore]) -> Verification:
        raw = find_instance(ctx, planned.params.instance_id).raw.get("MetadataOptions", {})
        now = _options(ctx, planned.params.instance_id)
        state = raw.get("State", "applied")
        return Verification(
            verified=now == _wanted(planned) and state == "applied",
            seen=f"tokens are {now.http_tokens}, the hop limit is {now.hop_limit}, the change is {state}",
            method="ec2:DescribeInstances",
        )

    def undo(self, ctx: ActionContext, planned: Planned[ImdsParams, ImdsBefore]) -> Result:
        _write(ctx, planned.params.instance_id, planned.state)
        return Result(summary=f"the metadata options of {planned.params.instance_id} are as they were")


def _wanted(planned: Planned[ImdsParams, ImdsBefore]) -> ImdsBefore:
    limit = planned.params.hop_limit
    return ImdsBefore(http_tokens="required", hop_limit=planned.state.hop_limit if limit is None else limit)


def _options(ctx: ActionContext, instance_id: str) -> ImdsBefore:
    raw = find_instance(ctx, instance_id).raw.get("MetadataOptions", {})
    return ImdsBefore(
        http_tokens=raw.get("HttpTokens", "optional"), hop_limit=raw.get("HttpPutResponseHopLimit", 1)
    )


def _write(ctx: ActionContext, instance_id: str, options: ImdsBefore) -> None:
    with aws_errors("ec2:ModifyInstanceMetadataOptions"):
        client(ctx, "ec2").modify_instance_metadata_options(
            InstanceId=instance_id,
            HttpTokens=options.http_tokens,
            HttpPutResponseHopLimit=options.hop_limit,
        )
