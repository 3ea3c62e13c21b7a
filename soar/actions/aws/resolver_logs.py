"""Record which names a VPC looks up."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from pydantic import Field

from soar.actions.aws.access import aws_errors, client, tags_for
from soar.actions.aws.ec2_instance import tags_of
from soar.actions.aws.setting import Found, Said, Setting
from soar.actions.contract import ActionContext, Params, StateBefore, action
from soar.actions.errors import Unavailable
from soar.model.change import Target
from soar.model.terms import Phase, Risk

__all__ = ["EnableQueryLogs"]

OURS, OTHERS = "this step", "somebody else"
LOOK_EVERY, LOOKS = 2.0, 30


class QueryLogParams(Params):
    """Whose lookups are recorded, and where to."""

    vpc_id: str = Field(pattern=r"^vpc-[0-9a-f]{8,17}$", description="the VPC")
    destination: str = Field(
        pattern=r"^arn:aws[a-zA-Z-]*:(s3|logs|firehose):[A-Za-z0-9:/_.#*-]{1,512}$",
        description="the ARN of a bucket, a log group or a delivery stream",
    )


class QueryLogBefore(StateBefore):
    """Who has the lookups recorded to this destination (empty: nobody), and whether our configuration exists."""

    recorded_by: str = Field(title="lookups recorded by")
    made: bool = Field(title="query log configuration of this step")


@action(
    "aws.route53.enable_query_logs",
    risk=Risk.REVERSIBLE,
    phase=Phase.IDENTIFICATION,
    permissions=(
        "ec2:DescribeVpcs",
        "route53resolver:ListResolverQueryLogConfigs",
        "route53resolver:ListResolverQueryLogConfigAssociations",
        "route53resolver:CreateResolverQueryLogConfig",
        "route53resolver:AssociateResolverQueryLogConfig",
        "route53resolver:DisassociateResolverQueryLogConfig",
        "route53resolver:DeleteResolverQueryLogConfig",
        "route53resolver:TagResource",
        "logs:CreateLogDelivery",
        "logs:DeleteLogDelivery",
        "logs:ListLogDeliveries",
    ),
    plan_timeout=180,
    verify_timeout=300,
)
class EnableQueryLogs(Setting[QueryLogParams, QueryLogBefore]):
    """Record every name that hosts of a VPC look up, from now on.

    Pre-condition: the VPC exists and is not tagged `soar:protected`. Its lookups are recorded to this destination
    already: nothing is done.

    Verified by listing the configurations of the VPC: ours is active.

    Undone by taking the configuration from the VPC and deleting it; what it recorded stays. It refuses if that was
    changed since.

    Pitfalls: it records from now on, nothing from before. Only what asks the VPC's own resolver is recorded, and an
    answer that the resolver still knows may be recorded once. The destination's policy must let Resolver write; this
    worker needs the permission to set it where AWS does that by itself. Records cost money.

    Shown on replies of our own making: the simulated account cannot take a configuration away again.

    Example::

        - id: lookups
          name: Record what is looked up
          do: aws.route53.enable_query_logs
          with:
            vpc_id: vpc-0123456789abcdef0
            destination: arn:aws:s3:::forensic-dns-logs
    """

    method = "route53resolver:ListResolverQueryLogConfigAssociations"

    def look(self, ctx: ActionContext, params: QueryLogParams) -> Found[QueryLogBefore]:
        target = _target(ctx, params.vpc_id)
        configs, tied = _configs(ctx), _tied(ctx, params.vpc_id)
        same = {
            c["Id"]: c for c in configs if c.get("DestinationArn") == params.destination and c["Id"] in tied
        }
        mine = next((c["Id"] for c in configs if c["Name"] == _name(ctx)), "")
        status = tied[mine].get("Status", "ACTIVE") if mine in tied else "ACTIVE"
        return Found(
            target=target,
            state=QueryLogBefore(
                recorded_by=OURS if mine in same else OTHERS if same else "", made=bool(mine)
            ),
            facts=tuple(
                f"{c['Name']} records to {c.get('DestinationArn', '')}" for c in configs if c["Id"] in tied
            )[:12],
            pending=""
            if status == "ACTIVE"
            else f"it is {status}: {tied[mine].get('Error', '')} {tied[mine].get('ErrorMessage', '')}".strip(),
        )

    def wanted(self, params: QueryLogParams, state: QueryLogBefore) -> QueryLogBefore:
        return state if state.recorded_by else QueryLogBefore(recorded_by=OURS, made=True)

    def say(self, params: QueryLogParams, found: Found[QueryLogBefore], then: QueryLogBefore) -> Said:
        return Said(
            summary=f"Record the lookups of {params.vpc_id} to {params.destination}",
            hits="Nothing is interrupted; the records are billed.",
            undo="The configuration is taken from the VPC and deleted; its records stay.",
        )

    def write(
        self, ctx: ActionContext, params: QueryLogParams, now: QueryLogBefore, then: QueryLogBefore
    ) -> None:
        resolver = client(ctx, "route53resolver")
        mine = next((c["Id"] for c in _configs(ctx) if c["Name"] == _name(ctx)), "")
        if then.recorded_by == OURS:
            if not mine:
                with aws_errors("route53resolver:CreateResolverQueryLogConfig"):
                    made = resolver.create_resolver_query_log_config(
                        Name=_name(ctx),
                        DestinationArn=params.destination,
                        CreatorRequestId=_name(ctx),
                        Tags=tags_for(ctx),
                    )
                mine = made["ResolverQueryLogConfig"]["Id"]
            if mine not in _tied(ctx, params.vpc_id):
                with aws_errors("route53resolver:AssociateResolverQueryLogConfig"):
                    resolver.associate_resolver_query_log_config(
                        ResolverQueryLogConfigId=mine, ResourceId=params.vpc_id
                    )
            return
        # The service deletes no configuration that a VPC still has.
        if mine in _tied(ctx, params.vpc_id):
            with aws_errors("route53resolver:DisassociateResolverQueryLogConfig"):
                resolver.disassociate_resolver_query_log_config(
                    ResolverQueryLogConfigId=mine, ResourceId=params.vpc_id
                )
            _until_free(ctx, params.vpc_id, mine)
        if mine:
            with aws_errors("route53resolver:DeleteResolverQueryLogConfig"):
                resolver.delete_resolver_query_log_config(ResolverQueryLogConfigId=mine)


def _until_free(ctx: ActionContext, vpc_id: str, config: str) -> None:
    for _ in range(LOOKS):
        if config not in _tied(ctx, vpc_id, leaving=True):
            return
        ctx.report(f"{vpc_id} is let go of {config}")
        if not ctx.wait(LOOK_EVERY):
            break
    raise Unavailable(
        f"{vpc_id} still has the query log configuration {config}", hint="undo again in a few minutes"
    )


def _name(ctx: ActionContext) -> str:
    """What the configuration of this step is found again by: names have 64 characters at most."""
    step = hashlib.sha256(f"{ctx.incident_id} {ctx.step_id}".encode()).hexdigest()[:12]
    return f"soar-{re.sub(r'[^A-Za-z0-9-]', '-', ctx.incident_id)[:40]}-{step}"


def _configs(ctx: ActionContext) -> list[dict[str, Any]]:
    with aws_errors("route53resolver:ListResolverQueryLogConfigs"):
        pages = client(ctx, "route53resolver").get_paginator("list_resolver_query_log_configs").paginate()
        found = [c for page in pages for c in page["ResolverQueryLogConfigs"]]
    return sorted((c for c in found if c.get("Status") != "DELETING"), key=lambda c: str(c["Name"]))


def _tied(ctx: ActionContext, vpc_id: str, *, leaving: bool = False) -> dict[str, dict[str, Any]]:
    """The configurations that a VPC has, by id.

    Args:
        leaving: Also those that are being taken away.
    """
    with aws_errors("route53resolver:ListResolverQueryLogConfigAssociations"):
        pages = (
            client(ctx, "route53resolver")
            .get_paginator("list_resolver_query_log_config_associations")
            .paginate(Filters=[{"Name": "ResourceId", "Values": [vpc_id]}])
        )
        found = [a for page in pages for a in page["ResolverQueryLogConfigAssociations"]]
    return {a["ResolverQueryLogConfigId"]: a for a in found if leaving or a.get("Status") != "DELETING"}


def _target(ctx: ActionContext, vpc_id: str) -> Target:
    ec2 = client(ctx, "ec2")
    with aws_errors("ec2:DescribeVpcs"):
        raw = ec2.describe_vpcs(VpcIds=[vpc_id])["Vpcs"][0]
    account, region = str(raw["OwnerId"]), ec2.meta.region_name
    return Target(
        uid=f"arn:{ec2.meta.partition}:ec2:{region}:{account}:vpc/{vpc_id}",
        type="aws.ec2.vpc",
        name=vpc_id,
        account=account,
        region=region,
        tags=tags_of(raw),
    )
