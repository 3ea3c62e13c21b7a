"""Everything that is known of an instance, as evidence and for the steps that follow."""

from __future__ import annotations

import base64
from collections.abc import Callable
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
)
from soar.actions.aws.ec2_profile import roles_of_profile
from soar.actions.aws.elb import Registration, classic_balancers, registrations
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
            instance_id: "{{ alert.resources[0].name }}"
    """
    instance = find_instance(ctx, params.instance_id)
    not_read: list[str] = []
    interfaces = interfaces_of(ctx, instance)
    group_ids = sorted({g["GroupId"] for i in interfaces for g in i["Groups"]})
    rules = _try(not_read, "security group rules", lambda: rules_of(ctx, group_ids)) or {}
    groups = _try(not_read, "security groups", lambda: _groups(ctx, group_ids)) or []
    volumes = _try(not_read, "volumes", lambda: _volumes(ctx, instance)) or []
    user_data = _try(not_read, "user data", lambda: _user_data(ctx, instance)) or ""
    protected = _try(
        not_read,
        "termination protection",
        lambda: describe_attribute(ctx, instance.id, "disableApiTermination"),
    )
    profile = instance.profile_arn
    roles = (_try(not_read, "role", lambda: roles_of_profile(ctx, profile)) if profile else ()) or ()
    group, lifecycle = _try(not_read, "auto-scaling group", lambda: membership(ctx, instance.id)) or ("", "")
    uses = _try(not_read, "target groups", lambda: registrations(ctx, instance)) or []
    classic = _try(not_read, "load balancers", lambda: classic_balancers(ctx, instance.id)) or ()
    console = _try(not_read, "console output", lambda: _console(ctx, instance)) or ""
    ctx.keep_evidence(
        f"{instance.id}.json",
        canonical_json(
            to_jsonable_python(
                {
                    "instance": instance.raw,
                    "network_interfaces": interfaces,
                    "security_groups": groups,
                    "security_group_rules": rules,
                    "volumes": volumes,
                    "user_data": user_data,
                    "roles": list(roles),
                    "auto_scaling_group": group,
                    "lifecycle": lifecycle,
                    "target_groups": [u.registration.model_dump(mode="json") for u in uses],
                    "classic_load_balancers": list(classic),
                    "not_read": not_read,
                }
            )
        ).encode(),
        media_type="application/json",
        source="ec2:DescribeInstances",
    )
    if console:
        ctx.keep_evidence(
            f"{instance.id}-console.txt",
            console.encode(),
            media_type="text/plain; charset=utf-8",
            source="ec2:GetConsoleOutput",
        )
    raw, options = instance.raw, instance.raw.get("MetadataOptions") or {}
    deleted = {
        m["Ebs"]["VolumeId"]: bool(m["Ebs"].get("DeleteOnTermination"))
        for m in raw.get("BlockDeviceMappings", [])
        if m.get("Ebs")
    }
    role = roles[0] if roles else ""
    return InstanceFacts(
        summary=_summary(instance, len(interfaces), role.rpartition("/")[2], group, len(uses)),
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
        instance_profile_arn=profile,
        role_name=role.rpartition("/")[2],
        role_arn=role,
        imds_v1=options.get("HttpEndpoint") != "disabled" and options.get("HttpTokens") != "required",
        interfaces=tuple(_interface(i) for i in interfaces),
        security_groups=tuple(group_ids),
        open_to_the_world=_open_rules(rules),
        volumes=tuple(_volume(v, deleted) for v in volumes),
        termination_protected=bool(protected),
        user_data=bool(user_data),
        auto_scaling_group=group,
        lifecycle=lifecycle,
        target_groups=tuple(u.registration for u in uses),
        classic_load_balancers=classic,
        not_read=tuple(not_read),
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


def _volume(raw: dict[str, Any], deleted: dict[str, bool]) -> VolumeFacts:
    return VolumeFacts(
        volume_id=raw["VolumeId"],
        device=next((a["Device"] for a in raw.get("Attachments", [])), ""),
        size_gib=int(raw["Size"]),
        encrypted=bool(raw.get("Encrypted")),
        deleted_on_termination=deleted.get(raw["VolumeId"], False),
    )


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
