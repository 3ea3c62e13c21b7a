"""Everything that is known of an instance, as evidence and for the steps that follow."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from pydantic_core import to_jsonable_python

from soar.actions.aws.access import aws_errors, client
from soar.actions.aws.autoscaling import membership
from soar.actions.aws.ec2_groups import rules_of
from soar.actions.aws.ec2_instance import (
    Instance,
    InstanceParams,
    describe_attribute,
    find_instance,
    interfaces_of,
    volumes_of,
)
from soar.actions.aws.ec2_profile import roles_of_profile
from soar.actions.aws.elb import Registration, TargetGroupUse, classic_balancers, registrations
from soar.actions.contract import ActionContext, action
from soar.actions.errors import ActionError
from soar.model.base import Fact, canonical_json
from soar.model.terms import Phase, Risk

__all__ = ["InstanceFacts", "describe_instance"]

T = TypeVar("T")


class InterfaceFacts(Fact):
    """A network interface."""

    interface_id: str
    vpc_id: str
    private_ip: str
    public_ip: str
    security_groups: tuple[str, ...]


class VolumeFacts(Fact):
    """An EBS volume that is attached."""

    volume_id: str
    device: str
    size_gib: int
    encrypted: bool
    deleted_on_termination: bool


class InstanceFacts(Fact):
    """An instance and everything around it.

    Args:
        role_name: The role of its instance profile; empty if it has none.
        imds_v1: Whether the metadata service answers without a session token, as an SSRF needs it.
        security_groups: The ids of all groups of all interfaces.
        open_to_the_world: Rules that let everybody in, `sg-… tcp 22-22 from 0.0.0.0/0`.
        user_data: Whether it has user data; the text itself is in the evidence alone, because it may hold secrets.
        not_read: What could not be read, and why.
    """

    summary: str
    instance_id: str
    arn: str
    state: str
    instance_type: str
    image_id: str
    key_name: str
    launched_at: str
    vpc_id: str
    subnet_id: str
    private_ip: str
    public_ip: str
    tags: dict[str, str]
    instance_profile_arn: str
    role_name: str
    role_arn: str
    imds_v1: bool
    interfaces: tuple[InterfaceFacts, ...]
    security_groups: tuple[str, ...]
    open_to_the_world: tuple[str, ...]
    volumes: tuple[VolumeFacts, ...]
    termination_protected: bool
    user_data: bool
    auto_scaling_group: str
    lifecycle: str
    target_groups: tuple[Registration, ...]
    classic_load_balancers: tuple[str, ...]
    not_read: tuple[str, ...]


@action(
    "aws.ec2.describe_instance",
    risk=Risk.READ,
    phase=Phase.IDENTIFICATION,
    permissions=(
        "ec2:DescribeInstances",
        "ec2:DescribeInstanceAttribute",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeSecurityGroups",
        "ec2:DescribeSecurityGroupRules",
        "ec2:DescribeVolumes",
        "ec2:GetConsoleOutput",
        "iam:GetInstanceProfile",
        "autoscaling:DescribeAutoScalingInstances",
        "elasticloadbalancing:DescribeTargetGroups",
        "elasticloadbalancing:DescribeTargetHealth",
        "elasticloadbalancing:DescribeLoadBalancers",
    ),
    plan_timeout=180,
    d3fend="D3-AI",
)
def describe_instance(ctx: ActionContext, params: InstanceParams) -> InstanceFacts:
    """Read an instance and everything around it, and keep it as evidence.

    The instance itself, all its network interfaces with their security groups and rules, its volumes, user data,
    metadata options, instance profile and role, auto-scaling group, target groups with ports, and console output. What
    this worker may not read is named in `not_read`; the rest is still returned.

    Evidence: one JSON document with the replies as the service gave them, and the console output as text.

    Pitfalls: user data often holds secrets, so it is in the evidence and not in the result. The console output is what
    the instance printed: text of whoever controls it. EC2 refreshes it only at starts, stops and now and then.

    Example::

        - id: instance
          name: Look at the instance
          do: aws.ec2.describe_instance
          with:
            instance_id: '{{ (alert | resource("aws.ec2.instance")).name }}'
    """
    instance = find_instance(ctx, params.instance_id)
    around = _read_around(ctx, instance)
    document = asdict(around) | {
        "instance": instance.raw,
        "target_groups": [u.registration.model_dump(mode="json") for u in around.target_groups],
    }
    del document["console"]
    ctx.keep_evidence(
        f"{instance.id}.json",
        canonical_json(to_jsonable_python(document)).encode(),
        media_type="application/json",
        source="ec2:DescribeInstances",
    )
    if around.console:
        ctx.keep_evidence(
            f"{instance.id}-console.txt",
            around.console.encode(),
            media_type="text/plain; charset=utf-8",
            source="ec2:GetConsoleOutput",
        )
    return _facts(instance, around)


@dataclass(frozen=True)
class _Around:
    """What belongs to an instance, as the services gave it."""

    network_interfaces: list[dict[str, Any]]
    security_groups: list[dict[str, Any]]
    security_group_rules: dict[str, list[dict[str, Any]]]
    volumes: list[dict[str, Any]]
    user_data: str
    termination_protected: bool
    roles: tuple[str, ...]
    auto_scaling_group: str
    lifecycle: str
    target_groups: list[TargetGroupUse]
    classic_load_balancers: tuple[str, ...]
    console: str
    not_read: list[str]


def _read_around(ctx: ActionContext, instance: Instance) -> _Around:
    not_read: list[str] = []

    def attempt(what: str, read: Callable[[], T]) -> T | None:
        return _try(not_read, what, read)

    interfaces = interfaces_of(ctx, instance)
    group_ids = sorted({g["GroupId"] for i in interfaces for g in i["Groups"]})
    profile = instance.profile_arn
    group, lifecycle = attempt("auto-scaling group", lambda: membership(ctx, instance.id)) or ("", "")
    return _Around(
        network_interfaces=interfaces,
        security_groups=attempt("security groups", lambda: _groups(ctx, group_ids)) or [],
        security_group_rules=attempt("security group rules", lambda: rules_of(ctx, group_ids)) or {},
        volumes=attempt("volumes", lambda: _volumes(ctx, instance)) or [],
        user_data=attempt("user data", lambda: _user_data(ctx, instance)) or "",
        termination_protected=bool(
            attempt(
                "termination protection",
                lambda: describe_attribute(ctx, instance.id, "disableApiTermination"),
            )
        ),
        roles=(attempt("role", lambda: roles_of_profile(ctx, profile)) if profile else ()) or (),
        auto_scaling_group=group,
        lifecycle=lifecycle,
        target_groups=attempt("target groups", lambda: registrations(ctx, instance)) or [],
        classic_load_balancers=attempt("load balancers", lambda: classic_balancers(ctx, instance.id)) or (),
        console=attempt("console output", lambda: _console(ctx, instance)) or "",
        not_read=not_read,
    )


def _facts(instance: Instance, around: _Around) -> InstanceFacts:
    raw, options = instance.raw, instance.raw.get("MetadataOptions") or {}
    role = around.roles[0] if around.roles else ""
    role_name = role.rpartition("/")[2]
    interfaces = tuple(_interface(i) for i in around.network_interfaces)
    return InstanceFacts(
        summary=_summary(
            instance, len(interfaces), role_name, around.auto_scaling_group, len(around.target_groups)
        ),
        instance_id=instance.id,
        arn=instance.target.uid,
        state=instance.state,
        instance_type=str(raw.get("InstanceType", "")),
        image_id=str(raw.get("ImageId", "")),
        key_name=str(raw.get("KeyName", "")),
        launched_at=raw["LaunchTime"].isoformat(),
        vpc_id=str(raw.get("VpcId", "")),
        subnet_id=str(raw.get("SubnetId", "")),
        private_ip=str(raw.get("PrivateIpAddress", "")),
        public_ip=str(raw.get("PublicIpAddress", "")),
        tags=instance.tags,
        instance_profile_arn=instance.profile_arn,
        role_name=role_name,
        role_arn=role,
        imds_v1=options.get("HttpEndpoint") != "disabled" and options.get("HttpTokens") != "required",
        interfaces=interfaces,
        security_groups=tuple(sorted({g for i in interfaces for g in i.security_groups})),
        open_to_the_world=_open_rules(around.security_group_rules),
        volumes=_volume_facts(instance, around.volumes),
        termination_protected=around.termination_protected,
        user_data=bool(around.user_data),
        auto_scaling_group=around.auto_scaling_group,
        lifecycle=around.lifecycle,
        target_groups=tuple(u.registration for u in around.target_groups),
        classic_load_balancers=around.classic_load_balancers,
        not_read=tuple(around.not_read),
    )


def _try(not_read: list[str], what: str, read: Callable[[], T]) -> T | None:
    """Read one part. Throttling and outages are left to the framework's retry; a refusal costs only this part."""
    try:
        return read()
    except ActionError as error:
        if error.retryable:
            raise
        not_read.append(f"{what}: {error.message}")
        return None


def _groups(ctx: ActionContext, group_ids: list[str]) -> list[dict[str, Any]]:
    if not group_ids:
        return []
    with aws_errors("ec2:DescribeSecurityGroups"):
        return list(client(ctx, "ec2").describe_security_groups(GroupIds=group_ids)["SecurityGroups"])


def _volumes(ctx: ActionContext, instance: Instance) -> list[dict[str, Any]]:
    with aws_errors("ec2:DescribeVolumes"):
        pages = (
            client(ctx, "ec2")
            .get_paginator("describe_volumes")
            .paginate(Filters=[{"Name": "attachment.instance-id", "Values": [instance.id]}])
        )
        return [v for page in pages for v in page["Volumes"]]


def _user_data(ctx: ActionContext, instance: Instance) -> str:
    encoded = describe_attribute(ctx, instance.id, "userData") or ""
    return base64.b64decode(encoded).decode("utf-8", "backslashreplace")


def _console(ctx: ActionContext, instance: Instance) -> str:
    with aws_errors("ec2:GetConsoleOutput"):
        return str(client(ctx, "ec2").get_console_output(InstanceId=instance.id).get("Output") or "")


def _interface(raw: dict[str, Any]) -> InterfaceFacts:
    return InterfaceFacts(
        interface_id=raw["NetworkInterfaceId"],
        vpc_id=raw["VpcId"],
        private_ip=raw.get("PrivateIpAddress") or "",
        public_ip=(raw.get("Association") or {}).get("PublicIp") or "",
        security_groups=tuple(sorted(g["GroupId"] for g in raw["Groups"])),
    )


def _volume_facts(instance: Instance, volumes: list[dict[str, Any]]) -> tuple[VolumeFacts, ...]:
    deleted = {m["Ebs"]["VolumeId"]: bool(m["Ebs"].get("DeleteOnTermination")) for m in volumes_of(instance)}
    found = [
        VolumeFacts(
            volume_id=raw["VolumeId"],
            device=next((a["Device"] for a in raw.get("Attachments", [])), ""),
            size_gib=int(raw["Size"]),
            encrypted=bool(raw.get("Encrypted")),
            deleted_on_termination=deleted.get(raw["VolumeId"], False),
        )
        for raw in volumes
    ]
    return tuple(sorted(found, key=lambda v: v.device))


def _open_rules(rules: dict[str, list[dict[str, Any]]]) -> tuple[str, ...]:
    found = []
    for group, entries in rules.items():
        for rule in entries:
            source = rule.get("CidrIpv4") or rule.get("CidrIpv6") or ""
            if not rule["IsEgress"] and source in ("0.0.0.0/0", "::/0"):
                everything = rule["IpProtocol"] == "-1"
                ports = (
                    "everything"
                    if everything
                    else f"{rule['IpProtocol']} {rule['FromPort']}-{rule['ToPort']}"
                )
                found.append(f"{group} {ports} from {source}")
    return tuple(sorted(found))


def _summary(instance: Instance, interfaces: int, role: str, group: str, target_groups: int) -> str:
    parts = [
        f"{instance.id} ({instance.raw.get('InstanceType', '')}) is {instance.state}, {interfaces} interface(s)",
        f"role {role}" if role else "no role",
    ]
    if group:
        parts.append(f"in auto-scaling group {group}")
    if target_groups:
        parts.append(f"behind {target_groups} target group(s)")
    return ", ".join(parts)
