"""Record the traffic of a VPC, a subnet or an interface."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from soar.actions.aws.access import aws_errors, client, tags_for
from soar.actions.aws.ec2_instance import tags_of
from soar.actions.aws.setting import Found, Said, Setting
from soar.actions.contract import ActionContext, Params, StateBefore, action
from soar.actions.errors import ActionError
from soar.model.change import Target
from soar.model.terms import Phase, Risk

__all__ = ["EnableFlowLogs"]

KINDS = {
    "vpc": ("VPC", "describe_vpcs", "VpcIds", "Vpcs", "ec2:DescribeVpcs"),
    "subnet": ("Subnet", "describe_subnets", "SubnetIds", "Subnets", "ec2:DescribeSubnets"),
    "eni": (
        *("NetworkInterface", "describe_network_interfaces", "NetworkInterfaceIds", "NetworkInterfaces"),
        "ec2:DescribeNetworkInterfaces",
    ),
}
"""What traffic is recorded of: EC2's word for it, and how it is read."""
OURS, OTHERS = "this step", "somebody else"


class FlowLogParams(Params):
    """What is recorded, and where to."""

    resource_id: str = Field(
        pattern=r"^(vpc|subnet|eni)-[0-9a-f]{8,17}$", description="a VPC, a subnet or a network interface"
    )
    destination: str = Field(
        pattern=r"^arn:aws[a-zA-Z-]*:(s3:::[a-z0-9][a-z0-9./_-]{2,300}|logs:[a-z0-9-]+:[0-9]{12}:log-group:[A-Za-z0-9_/.#-]{1,512})$",
        description="the ARN of a bucket (with a folder, if wanted), or of a log group of the account and region",
    )
    role: str = Field(
        default="",
        pattern=r"^(arn:aws[a-zA-Z-]*:iam::[0-9]{12}:role/[A-Za-z0-9_+=,.@/-]{1,512})?$",
        description="the role that writes to the log group; none for a bucket",
    )

    @property
    def group(self) -> str:
        """The name of the log group; empty: it goes to a bucket."""
        return self.destination.partition(":log-group:")[2]


class FlowLogBefore(StateBefore):
    """Who has all its traffic recorded to this destination; empty: nobody."""

    recorded_by: str = Field(title="all traffic recorded by")


@action(
    "aws.vpc.enable_flow_logs",
    risk=Risk.REVERSIBLE,
    phase=Phase.IDENTIFICATION,
    permissions=(
        "ec2:DescribeVpcs",
        "ec2:DescribeSubnets",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeFlowLogs",
        "ec2:CreateFlowLogs",
        "ec2:DeleteFlowLogs",
        "ec2:CreateTags",
        "iam:PassRole",
        "logs:CreateLogDelivery",
        "logs:DeleteLogDelivery",
    ),
    verify_timeout=300,
)
class EnableFlowLogs(Setting[FlowLogParams, FlowLogBefore]):
    """Record who talks to whom, from now on: all traffic of a VPC, a subnet or an interface.

    One flow log of AWS's usual format, a record a minute, beside those that are there.

    Pre-condition: the VPC, subnet or interface exists and is not tagged `soar:protected`. All its traffic is recorded
    to this destination already: nothing is done.

    Verified by reading the flow log: it is active, and nothing that it delivered was refused.

    Undone by deleting the flow log that this step made; what it recorded stays. It refuses if that was replaced.

    Pitfalls: it records from now on, nothing from before. A bucket's policy must let the log delivery write (AWS adds
    that by itself only where this worker may write the policy). Traffic to AWS's own DNS, to the metadata service, and
    of licence activation is never recorded. Records come some minutes late, and cost money.

    Example::

        - id: flows
          name: Record the traffic
          do: aws.vpc.enable_flow_logs
          with:
            resource_id: vpc-0123456789abcdef0
            destination: arn:aws:s3:::forensic-flow-logs
    """

    method = "ec2:DescribeFlowLogs"

    def look(self, ctx: ActionContext, params: FlowLogParams) -> Found[FlowLogBefore]:
        target = _target(ctx, params.resource_id)
        logs = _logs(ctx, params.resource_id)
        same = [log for log in logs if _as_wanted(log, params)]
        ours = [log for log in same if _is_ours(ctx, log)]
        errors = [str(log["DeliverLogsErrorMessage"]) for log in ours if log.get("DeliverLogsErrorMessage")]
        return Found(
            target=target,
            state=FlowLogBefore(recorded_by=OURS if ours else OTHERS if same else ""),
            facts=tuple(
                f"{log['FlowLogId']} records {str(log.get('TrafficType', '')).lower()} traffic to "
                f"{_destination(log)}"
                for log in logs
            ),
            pending=f"it is not delivered: {'; '.join(errors)}" if errors else "",
        )

    def wanted(self, params: FlowLogParams, state: FlowLogBefore) -> FlowLogBefore:
        return FlowLogBefore(recorded_by=state.recorded_by or OURS)

    def say(self, params: FlowLogParams, found: Found[FlowLogBefore], then: FlowLogBefore) -> Said:
        return Said(
            summary=f"Record all traffic of {params.resource_id} to {params.destination}",
            hits="Nothing is interrupted; the records are billed.",
            warnings=("Traffic of before is in no record.",) if not found.facts else (),
            undo="The flow log that was made is deleted; its records stay.",
        )

    def write(
        self, ctx: ActionContext, params: FlowLogParams, now: FlowLogBefore, then: FlowLogBefore
    ) -> None:
        ec2 = client(ctx, "ec2")
        if not then.recorded_by:
            ours = [log["FlowLogId"] for log in _logs(ctx, params.resource_id) if _is_ours(ctx, log)]
            if ours:
                with aws_errors("ec2:DeleteFlowLogs"):
                    _ensure_done(ec2.delete_flow_logs(FlowLogIds=ours), "deleted")
            return
        to: dict[str, Any] = {"LogDestinationType": "s3", "LogDestination": params.destination}
        if params.group:
            to = {"LogDestinationType": "cloud-watch-logs", "LogGroupName": params.group}
        if params.role:
            to["DeliverLogsPermissionArn"] = params.role
        with aws_errors("ec2:CreateFlowLogs"):
            reply = ec2.create_flow_logs(
                ResourceIds=[params.resource_id],
                ResourceType=KINDS[params.resource_id.partition("-")[0]][0],
                TrafficType="ALL",
                MaxAggregationInterval=60,
                TagSpecifications=[{"ResourceType": "vpc-flow-log", "Tags": tags_for(ctx)}],
                **to,
            )
        _ensure_done(reply, "made")


def _ensure_done(reply: dict[str, Any], what: str) -> None:
    """EC2 answers well, and says within what it did not do."""
    refused = [str((u.get("Error") or {}).get("Message", u)) for u in reply.get("Unsuccessful", [])]
    if refused:
        raise ActionError(
            f"the flow log could not be {what}: {'; '.join(refused)}",
            hint="check the destination, its policy and the role, then retry the step",
        )


def _destination(log: dict[str, Any]) -> str:
    return str(log.get("LogDestination") or log.get("LogGroupName") or "")


def _as_wanted(log: dict[str, Any], params: FlowLogParams) -> bool:
    return (
        log.get("FlowLogStatus") == "ACTIVE"
        and log.get("TrafficType") == "ALL"
        and _destination(log).rstrip("/") in {params.destination.rstrip("/"), params.group}
    )


def _is_ours(ctx: ActionContext, log: dict[str, Any]) -> bool:
    return {t["Key"]: t["Value"] for t in tags_for(ctx)}.items() <= tags_of(log).items()


def _logs(ctx: ActionContext, resource_id: str) -> list[dict[str, Any]]:
    with aws_errors("ec2:DescribeFlowLogs"):
        pages = (
            client(ctx, "ec2")
            .get_paginator("describe_flow_logs")
            .paginate(Filters=[{"Name": "resource-id", "Values": [resource_id]}])
        )
        return sorted(
            (log for page in pages for log in page["FlowLogs"]), key=lambda log: str(log["FlowLogId"])
        )


def _target(ctx: ActionContext, resource_id: str) -> Target:
    kind = resource_id.partition("-")[0]
    _, operation, ids, key, permission = KINDS[kind]
    ec2 = client(ctx, "ec2")
    with aws_errors(permission):
        raw = getattr(ec2, operation)(**{ids: [resource_id]})[key][0]
    arn_kind = "network-interface" if kind == "eni" else kind
    account, region = str(raw["OwnerId"]), ec2.meta.region_name
    return Target(
        uid=f"arn:{ec2.meta.partition}:ec2:{region}:{account}:{arn_kind}/{resource_id}",
        type=f"aws.ec2.{arn_kind.replace('-', '_')}",
        name=resource_id,
        account=account,
        region=region,
        tags=tags_of(raw),
    )
