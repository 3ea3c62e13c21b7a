"""Capture the memory of a running instance, by a command through Systems Manager."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError
from pydantic import Field
from pydantic_core import to_jsonable_python

from soar.actions.aws.access import aws_errors, client
from soar.actions.aws.ec2_instance import InstanceParams, ensure_may_change, find_instance
from soar.actions.contract import Action, ActionContext, Draft, Planned, StateBefore, action
from soar.actions.errors import ActionError, Refused, Unavailable
from soar.model.base import canonical_json
from soar.model.change import BlastRadius, Change, Result, Verification
from soar.model.terms import Phase, Risk

__all__ = ["CaptureMemory"]

FIRST_LOOK, LOOK_EVERY = 1.0, 10.0
UNDER_WAY = frozenset({"Pending", "InProgress", "Delayed", "Cancelling"})


class MemoryParams(InstanceParams):
    """How the memory is captured, and where the image goes.

    Args:
        commands: What is run on the instance, line by line; it writes the image and puts it to `bucket` and `key`
            itself, by credentials or an address that it was given.
        bucket: The bucket of the image.
        key: The object of the image; name the incident and the instance in it.
    """

    document: str = Field(
        default="AWS-RunShellScript",
        pattern=r"^[a-zA-Z0-9_.:/-]{3,200}$",
        description="the command document; it takes `commands` and `executionTimeout`, as AWS's own do",
    )
    commands: tuple[str, ...] = Field(min_length=1, max_length=200)
    bucket: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")
    key: str = Field(min_length=1, max_length=1024)
    timeout_minutes: int = Field(default=60, ge=1, le=170)


class MemoryBefore(StateBefore):
    """Whether the image is there already."""

    captured: bool


@action(
    "aws.ec2.capture_memory",
    risk=Risk.DISRUPTIVE,
    phase=Phase.IDENTIFICATION,
    permissions=(
        "ec2:DescribeInstances",
        "ssm:DescribeInstanceInformation",
        "ssm:ListCommands",
        "ssm:SendCommand",
        "ssm:GetCommandInvocation",
        "s3:GetObject",
        "s3:ListBucket",
        "sts:GetCallerIdentity",
    ),
    apply_timeout=3 * 60 * 60,
)
class CaptureMemory(Action[MemoryParams, MemoryBefore]):
    """Run a memory capture on an instance and see that its image arrived in a bucket.

    The commands are yours: fetch and run the tool (AVML, LiME, WinPmem), and upload what it wrote. They are sent by a
    command document of Systems Manager, watched until they end, and what they printed is kept as evidence.

    Pre-condition: the instance runs, is not tagged `soar:protected`, and its Systems Manager agent answers. An object
    of that name is in the bucket already: nothing is done.

    Verified by reading the object from the bucket: it is there and is not empty.

    Evidence: the command, its exit code and what it printed. The image itself stays in the bucket, for its size.

    Pitfalls: do it before the instance is isolated, stopped or loses its role: the agent needs the network and the
    role. It runs on the evidence: memory and disk change a little, and a rootkit may lie to it. The instance is slow
    meanwhile, and its disk needs room for the image unless the tool streams. A tool with a kernel module must fit the
    kernel. Do not put secrets into `commands`: they are kept in the command history of the account.

    Shown on replies of our own making: the simulated account has no agents, and runs no commands.

    Example::

        - id: memory
          name: Capture the memory
          do: aws.ec2.capture_memory
          with:
            instance_id: '{{ (alert | resource("aws.ec2.instance")).name }}'
            commands:
              - aws s3 cp s3://forensic-tools/avml /run/avml && chmod +x /run/avml
              - /run/avml /run/memory.lime
              - aws s3 cp /run/memory.lime s3://forensic-images/i-0123456789abcdef0.lime
            bucket: forensic-images
            key: i-0123456789abcdef0.lime
    """

    def plan(self, ctx: ActionContext, params: MemoryParams) -> Draft[MemoryBefore]:
        instance = find_instance(ctx, params.instance_id)
        there = _size(ctx, params) > 0
        name = f"s3://{params.bucket}/{params.key}"
        if there:
            return Draft(
                summary=f"There is an image at {name} already",
                targets=(instance.target,),
                changes=(),
                state=MemoryBefore(captured=True),
            )
        ensure_may_change(ctx, instance)
        if instance.state != "running":
            raise Refused(
                f"instance {instance.id} is {instance.state}: there is no memory to capture",
                hint="take snapshots of its volumes instead",
            )
        agent = _agent(ctx, params.instance_id)
        return Draft(
            summary=f"Capture the memory of instance {instance.id} to {name}",
            targets=(instance.target,),
            changes=(
                Change(
                    target=instance.target.uid, field=f"memory image {name}", before=None, after="captured"
                ),
            ),
            state=MemoryBefore(captured=False),
            blast_radius=BlastRadius(
                summary="The instance is slow while its memory is read.",
                facts=(
                    f"{params.document} runs {len(params.commands)} line(s) as administrator",
                    f"{agent.get('PlatformName', 'unknown system')} {agent.get('PlatformVersion', '')}, "
                    f"agent {agent.get('AgentVersion', 'of unknown version')}",
                ),
            ),
            warnings=("Memory and disk of the instance change a little by the capture itself.",),
        )

    def apply(self, ctx: ActionContext, planned: Planned[MemoryParams, MemoryBefore]) -> Result:
        params = planned.params
        there = _size(ctx, params) > 0
        command = _begun(ctx, params, there=there)
        if not command:
            if there:
                return Result(summary=f"the image is at s3://{params.bucket}/{params.key}")
            command = _send(ctx, params)
        done = _until_done(ctx, params, command)
        ctx.keep_evidence(
            f"{params.instance_id}-memory-capture.json",
            canonical_json(to_jsonable_python({"commands": params.commands, "invocation": done})).encode(),
            media_type="application/json",
            source="ssm:GetCommandInvocation",
        )
        if done["Status"] != "Success":
            printed = str(done.get("StandardErrorContent", ""))[-400:]
            raise ActionError(
                f"the capture on {params.instance_id} ended as {done['Status']} "
                f"(exit code {done.get('ResponseCode', 'unknown')}): {printed}",
                hint="look at what it printed, in the evidence of this step; mend the commands, then retry the step",
            )
        return Result(
            summary=f"the memory of {params.instance_id} was captured by command {command}",
            data={"command_id": command, "bucket": params.bucket, "key": params.key},
        )

    def verify(self, ctx: ActionContext, planned: Planned[MemoryParams, MemoryBefore]) -> Verification:
        params = planned.params
        size = _size(ctx, params)
        name = f"s3://{params.bucket}/{params.key}"
        return Verification(
            verified=size > 0,
            seen=f"{name} has {size} bytes" if size else f"there is no image, or an empty one, at {name}",
            method="s3:HeadObject",
            data={"size": size},
        )


def _size(ctx: ActionContext, params: MemoryParams) -> int:
    """The image's bytes; 0 if there is none."""
    with aws_errors("s3:GetObject"):
        try:
            found = client(ctx, "s3").head_object(Bucket=params.bucket, Key=params.key)
        except ClientError as error:
            # A HEAD has no body that could say more than the status.
            if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                return 0
            raise
    return int(found["ContentLength"])


def _agent(ctx: ActionContext, instance_id: str) -> dict[str, Any]:
    """What Systems Manager knows of the instance's agent.

    Raises:
        Refused: It does not answer.
    """
    with aws_errors("ssm:DescribeInstanceInformation"):
        found: list[dict[str, Any]] = client(ctx, "ssm").describe_instance_information(
            Filters=[{"Key": "InstanceIds", "Values": [instance_id]}]
        )["InstanceInformationList"]
    if not found or found[0].get("PingStatus") != "Online":
        state = found[0].get("PingStatus", "unknown") if found else "not registered"
        raise Refused(
            f"Systems Manager does not reach instance {instance_id}: its agent is {state}",
            hint="the agent needs a role and the network; an isolated instance has neither. Capture by another way, or "
            "take snapshots",
        )
    return found[0]


def _comment(ctx: ActionContext) -> str:
    """What a command of this step is found again by."""
    return f"soar {ctx.incident_id} {ctx.step_id}"[:100]


def _begun(ctx: ActionContext, params: MemoryParams, *, there: bool) -> str:
    """The command that a try before this one sent; empty: none that is under way or brought the image.

    Args:
        there: Whether the image is there: a command that succeeded without one is of no use.
    """
    with aws_errors("ssm:ListCommands"):
        pages = client(ctx, "ssm").get_paginator("list_commands").paginate(InstanceId=params.instance_id)
        ours = [c for page in pages for c in page["Commands"] if c.get("Comment") == _comment(ctx)]
    good = {*UNDER_WAY, "Success"} if there else UNDER_WAY
    return next((str(c["CommandId"]) for c in ours if c["Status"] in good), "")


def _send(ctx: ActionContext, params: MemoryParams) -> str:
    seconds = params.timeout_minutes * 60
    with aws_errors("ssm:SendCommand"):
        sent = client(ctx, "ssm").send_command(
            InstanceIds=[params.instance_id],
            DocumentName=params.document,
            Parameters={"commands": list(params.commands), "executionTimeout": [str(seconds)]},
            Comment=_comment(ctx),
            TimeoutSeconds=600,
        )
    return str(sent["Command"]["CommandId"])


def _until_done(ctx: ActionContext, params: MemoryParams, command: str) -> dict[str, Any]:
    pause = FIRST_LOOK
    while True:
        found = _invocation(ctx, params.instance_id, command)
        if found and found["Status"] not in UNDER_WAY:
            return found
        ctx.report(f"command {command} is {found['Status'] if found else 'not there yet'}")
        if not ctx.wait(pause):
            raise Unavailable("the step was cancelled; the capture on the instance goes on to its end")
        pause = min(pause * 2, LOOK_EVERY)


def _invocation(ctx: ActionContext, instance_id: str, command: str) -> dict[str, Any] | None:
    with aws_errors("ssm:GetCommandInvocation"):
        try:
            found: dict[str, Any] = client(ctx, "ssm").get_command_invocation(
                CommandId=command, InstanceId=instance_id
            )
        except ClientError as error:
            # It takes a moment until a command that was sent is known there.
            if error.response["Error"]["Code"] == "InvocationDoesNotExist":
                return None
            raise
    found.pop("ResponseMetadata", None)
    return found
