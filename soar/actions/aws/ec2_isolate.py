"""Cut an instance off the network, its tracked connections included."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError
from pydantic import Field

from soar.actions.aws.access import aws_errors, client, tags_for
from soar.actions.aws.autoscaling import group_facts, membership, read_group, taken_out
from soar.actions.aws.ec2_groups import (
    delete_when_unused,
    find_group,
    group_name,
    isolating_group,
    rules_of,
    untracking_group,
)
from soar.actions.aws.ec2_instance import (
    Instance,
    InstanceParams,
    ensure_may_change,
    find_instance,
    interfaces_of,
    tags_of,
)
from soar.actions.contract import Action, ActionContext, Draft, Planned, StateBefore, action
from soar.actions.errors import Drifted
from soar.model.base import Fact
from soar.model.change import BlastRadius, Change, Result, Target, Verification
from soar.model.terms import Phase, Risk

__all__ = ["IsolateInstance"]

BEFORE_TAG = "soar:groups-before"
PER_TAG = 12
"""Group ids that fit into one tag value of 256 characters; an interface may have 16."""

PER_INTERFACE_ONLY = frozenset(
    {"InvalidInstanceID", "InvalidParameterCombination", "InvalidParameterValue", "UnsupportedOperation"}
)
"""How EC2 refuses groups for an instance that has several interfaces."""


class IsolateParams(InstanceParams):
    """Which instance, and whether connections that are open now are cut.

    Args:
        cut_open_connections: Pass through an open group first, so that tracked connections end. Without it they live
            on until they are idle (TCP: up to five days), and nothing is open for even a moment.
    """

    cut_open_connections: bool = True


class InterfaceBefore(Fact):
    """A network interface and the security groups that it had."""

    interface_id: str
    vpc_id: str
    groups: tuple[str, ...] = Field(description="sorted ids")


class NetworkBefore(StateBefore):
    """Every interface of the instance, the primary one first."""

    interfaces: tuple[InterfaceBefore, ...]


class _Now(Fact):
    """An interface as it is.

    Args:
        groups: Its groups, sorted.
        moved: Whether this very step has moved it already.
        noted: The groups that it had before, as this step's tag on it says; None without such a tag.
        empty: Our group without rules in its VPC; empty before it is made.
    """

    interface_id: str
    vpc_id: str
    groups: tuple[str, ...]
    moved: bool
    open: bool
    noted: tuple[str, ...] | None
    empty: str

    def before(self, ctx: ActionContext) -> InterfaceBefore:
        """What a plan made now records of it.

        A retry of an apply that was torn off in the middle finds the plan that people have approved, by the note on
        the interface, and goes on at once: an interface must not wait in the open group for a second approval. Every
        other plan records what a moved interface is in, so that a half-made isolation is never taken for none; the
        first plan's undo knows what was before. Nothing is ever put back into the open group.
        """
        groups = self.groups
        if self.moved:
            groups = self.noted if ctx.attempt > 1 and self.noted is not None else (self.empty,)
        return InterfaceBefore(interface_id=self.interface_id, vpc_id=self.vpc_id, groups=groups)


@action(
    "aws.ec2.isolate_instance",
    risk=Risk.DISRUPTIVE,
    phase=Phase.CONTAINMENT,
    permissions=(
        "ec2:DescribeInstances",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeSecurityGroups",
        "ec2:DescribeSecurityGroupRules",
        "ec2:CreateSecurityGroup",
        "ec2:AuthorizeSecurityGroupIngress",
        "ec2:AuthorizeSecurityGroupEgress",
        "ec2:RevokeSecurityGroupIngress",
        "ec2:RevokeSecurityGroupEgress",
        "ec2:CreateTags",
        "ec2:DeleteTags",
        "ec2:ModifyNetworkInterfaceAttribute",
        "ec2:ModifyInstanceAttribute",
        "ec2:DeleteSecurityGroup",
        "autoscaling:DescribeAutoScalingInstances",
        "autoscaling:DescribeAutoScalingGroups",
        "sts:GetCallerIdentity",
    ),
    d3fend="D3-NI",
    openc2="contain device",
)
class IsolateInstance(Action[IsolateParams, NetworkBefore]):
    """Cut every network interface of an instance off, open connections included.

    A change of security groups does not cut connections that are tracked. So each interface goes first into a group
    that allows everything both ways, under which AWS tracks nothing, and with the very next call into a group without
    any rule. Both groups are made for this incident and instance. The groups that an interface had are written on it
    as the tag `soar:groups-before`, so that a retry goes on where the try before it was torn off.

    Order of the whole containment: protect_evidence, enter_standby, deregister_instance, memory and snapshot_volumes,
    then this, then revoke the sessions of its role.

    Pre-condition: the instance exists, is not tagged `soar:protected`, and this worker does not run on it. Interfaces
    that are all in groups without rules: nothing is done.

    Verified by reading all interfaces that are attached to the instance, also those attached since: each is in the
    empty group alone, and that group has no rule.

    Undone by giving each interface its recorded groups back, removing the tags, and deleting the two groups once
    nothing uses them.

    Pitfalls: between the two calls an interface is open to everybody, for some tenths of a second;
    `cut_open_connections: false` avoids that and leaves open connections alive. Security groups never filter the
    instance metadata service, the VPC's DNS and time servers: take the instance profile's sessions away as well. Some
    paths (NAT and transit gateways, network load balancers) keep connections tracked whatever the rules. Session
    Manager does not reach an isolated instance: collect memory first. A group that still serves with it will see it as
    unhealthy and terminate it.

    Example::

        - id: isolate
          name: Cut the instance off the network
          do: aws.ec2.isolate_instance
          with:
            instance_id: '{{ (alert | resource("aws.ec2.instance")).name }}'
          approval:
            role: responder
            approvers: 1
    """

    def plan(self, ctx: ActionContext, params: IsolateParams) -> Draft[NetworkBefore]:
        instance = find_instance(ctx, params.instance_id)
        ensure_may_change(ctx, instance)
        interfaces = _interfaces(ctx, instance)
        isolated = _all_empty(ctx, interfaces)
        after = group_name(ctx, instance.id, "isolated")
        recorded = tuple(i.before(ctx) for i in interfaces)
        changes = () if isolated else tuple(_change(instance, i, after) for i in recorded)
        return Draft(
            summary=(
                f"{instance.id} is isolated already: its {len(interfaces)} interface(s) have no rule"
                if isolated
                else f"Cut all {len(interfaces)} network interface(s) of {instance.id} off"
            ),
            targets=(instance.target, *(_target(instance, i.interface_id) for i in interfaces)),
            changes=changes,
            state=NetworkBefore(interfaces=recorded),
            blast_radius=BlastRadius() if isolated else _blast_radius(ctx, instance, interfaces),
            warnings=() if isolated else _warnings(ctx, instance, interfaces, params),
            undo="Every interface gets its recorded groups back; the two groups that were made are deleted.",
        )

    def apply(self, ctx: ActionContext, planned: Planned[IsolateParams, NetworkBefore]) -> Result:
        instance = find_instance(ctx, planned.params.instance_id)
        now = _as_recorded(_interfaces(ctx, instance), planned.state)
        empty, passing = {}, {}
        for vpc_id in dict.fromkeys(i.vpc_id for i in planned.state.interfaces):
            # Both are ready before the first interface is touched, so that it is open no longer than one call takes.
            empty[vpc_id] = isolating_group(ctx, instance.id, vpc_id)
            if planned.params.cut_open_connections:
                passing[vpc_id] = untracking_group(ctx, instance.id, vpc_id)
        for interface in now:
            vpc_id = interface.vpc_id
            if interface.groups == (empty[vpc_id],):
                continue
            if not interface.moved and interface.noted != interface.groups:
                with aws_errors("ec2:CreateTags"):
                    client(ctx, "ec2").create_tags(
                        Resources=[interface.interface_id], Tags=_note(ctx, interface.groups)
                    )
            if planned.params.cut_open_connections:
                _move(ctx, interface.interface_id, [passing[vpc_id]])
            _move(ctx, interface.interface_id, [empty[vpc_id]])
        _settle(ctx, instance.id, [empty[planned.state.interfaces[0].vpc_id]], len(now))
        return Result(
            summary=f"{len(now)} interface(s) of {instance.id} moved into {', '.join(empty.values())}",
            data={"security_groups": sorted(empty.values())},
        )

    def verify(self, ctx: ActionContext, planned: Planned[IsolateParams, NetworkBefore]) -> Verification:
        instance = find_instance(ctx, planned.params.instance_id)
        interfaces = interfaces_of(ctx, instance)
        name = group_name(ctx, instance.id, "isolated")
        ours = {vpc: find_group(ctx, name, vpc) for vpc in sorted({i["VpcId"] for i in interfaces})}
        rules = rules_of(ctx, [g for g in ours.values() if g])
        wrong = [
            f"{i['NetworkInterfaceId']} is in {', '.join(_group_ids(i)) or 'no group'}"
            for i in interfaces
            if _group_ids(i) != (ours[i["VpcId"]],)
        ]
        wrong += [f"{group} has {len(found)} rule(s)" for group, found in rules.items() if found]
        attached = {i["NetworkInterfaceId"] for i in interfaces}
        wrong += [
            f"{i.interface_id} is not attached any more"
            for i in planned.state.interfaces
            if i.interface_id not in attached
        ]
        return Verification(
            verified=not wrong and bool(attached),
            seen="; ".join(wrong)
            or f"{len(attached)} interface(s), each only in {', '.join(sorted(ours.values()))}, which has no rule",
            method="ec2:DescribeNetworkInterfaces, ec2:DescribeSecurityGroupRules",
        )

    def undo(self, ctx: ActionContext, planned: Planned[IsolateParams, NetworkBefore]) -> Result:
        instance, ec2 = find_instance(ctx, planned.params.instance_id), client(ctx, "ec2")
        now = _as_recorded(_interfaces(ctx, instance), planned.state)
        # The notes go first: without them, what is half put back is never taken for an isolation to go on with.
        with aws_errors("ec2:DeleteTags"):
            for interface in now:
                if interface.noted is not None:
                    ec2.delete_tags(Resources=[interface.interface_id], Tags=_note(ctx, interface.noted))
        for interface, before in zip(now, planned.state.interfaces, strict=True):
            if interface.groups != before.groups:
                _move(ctx, interface.interface_id, list(before.groups))
        _settle(ctx, instance.id, list(planned.state.interfaces[0].groups), len(now))
        left = []
        for vpc_id in dict.fromkeys(i.vpc_id for i in planned.state.interfaces):
            for purpose in ("isolated", "untracked"):
                group_id = find_group(ctx, group_name(ctx, instance.id, purpose), vpc_id)
                if group_id and not delete_when_unused(ctx, group_id):
                    left.append(group_id)
        return Result(
            summary=f"{len(now)} interface(s) of {instance.id} have their groups back"
            + (f"; still in use elsewhere and kept: {', '.join(left)}" if left else "")
        )


def _group_ids(interface: dict[str, Any]) -> tuple[str, ...]:
    return tuple(sorted(g["GroupId"] for g in interface["Groups"]))


def _note(ctx: ActionContext, groups: tuple[str, ...]) -> list[dict[str, str]]:
    """The tags that note an interface's groups on the interface itself."""
    parts = [groups[i : i + PER_TAG] for i in range(0, len(groups), PER_TAG)]
    return [
        *tags_for(ctx),
        *(
            {"Key": BEFORE_TAG if n == 0 else f"{BEFORE_TAG}.{n + 1}", "Value": " ".join(part)}
            for n, part in enumerate(parts)
        ),
    ]


def _noted(ctx: ActionContext, tags: dict[str, str]) -> tuple[str, ...] | None:
    if any(tags.get(t["Key"]) != t["Value"] for t in tags_for(ctx)) or BEFORE_TAG not in tags:
        return None
    return tuple(sorted(f"{tags[BEFORE_TAG]} {tags.get(f'{BEFORE_TAG}.2', '')}".split()))


def _interfaces(ctx: ActionContext, instance: Instance) -> list[_Now]:
    """Every interface as it is now, and what this step did to it."""
    found = []
    ours: dict[str, tuple[str, str]] = {}
    for raw in interfaces_of(ctx, instance):
        vpc_id, groups = raw["VpcId"], _group_ids(raw)
        if vpc_id not in ours:
            ours[vpc_id] = (
                find_group(ctx, group_name(ctx, instance.id, "isolated"), vpc_id),
                find_group(ctx, group_name(ctx, instance.id, "untracked"), vpc_id),
            )
        empty, passing = ours[vpc_id]
        found.append(
            _Now(
                interface_id=raw["NetworkInterfaceId"],
                vpc_id=vpc_id,
                groups=groups,
                moved=empty in groups or passing in groups,
                open=passing in groups,
                noted=_noted(ctx, tags_of(raw)),
                empty=empty,
            )
        )
    return found


def _as_recorded(now: list[_Now], recorded: NetworkBefore) -> list[_Now]:
    """The interfaces in the recorded order, each as it was recorded or as this step moved it.

    Raises:
        Drifted: One is gone, or somebody else has changed its groups.
    """
    by_id = {i.interface_id: i for i in now}
    differences = []
    for wanted in recorded.interfaces:
        found = by_id.get(wanted.interface_id)
        if found is None:
            differences.append(f"{wanted.interface_id} is not attached any more")
        elif not found.moved and found.groups != wanted.groups:
            differences.append(
                f"{wanted.interface_id} is in {', '.join(found.groups)} instead of {', '.join(wanted.groups)}"
            )
    if differences:
        raise Drifted(
            "the instance's interfaces are not as they were recorded",
            differences=tuple(differences),
            hint="look at the interfaces; set their security groups by hand",
        )
    return [by_id[i.interface_id] for i in recorded.interfaces]


def _all_empty(ctx: ActionContext, interfaces: list[_Now]) -> bool:
    rules = rules_of(ctx, {g for i in interfaces for g in i.groups})
    return bool(interfaces) and all(i.groups and not any(rules[g] for g in i.groups) for i in interfaces)


def _move(ctx: ActionContext, interface_id: str, groups: list[str]) -> None:
    with aws_errors("ec2:ModifyNetworkInterfaceAttribute"):
        client(ctx, "ec2").modify_network_interface_attribute(NetworkInterfaceId=interface_id, Groups=groups)


def _settle(ctx: ActionContext, instance_id: str, wanted: list[str], interfaces: int) -> None:
    """Bring the instance's own list of groups in line with its interfaces, where it has one.

    EC2's list is a mirror of the primary interface and follows by itself; on other implementations of its API it is a
    list of its own that counts for every interface. An instance with several interfaces takes no such call on EC2:
    there it is not needed, and verification has the last word.
    """
    shown = find_instance(ctx, instance_id).raw.get("SecurityGroups") or []
    if not shown or sorted(g["GroupId"] for g in shown) == sorted(wanted):
        return
    with aws_errors("ec2:ModifyInstanceAttribute"):
        try:
            client(ctx, "ec2").modify_instance_attribute(InstanceId=instance_id, Groups=wanted)
        except ClientError as error:
            if interfaces == 1 or error.response["Error"]["Code"] not in PER_INTERFACE_ONLY:
                raise


def _change(instance: Instance, before: InterfaceBefore, after: str) -> Change:
    return Change(
        target=instance.arn("network-interface", before.interface_id),
        field="security groups",
        before=list(before.groups),
        after=[f"{after} (no rules)"],
    )


def _target(instance: Instance, interface_id: str) -> Target:
    return Target(
        uid=instance.arn("network-interface", interface_id),
        type="aws.ec2.network_interface",
        name=interface_id,
        account=instance.account,
        region=instance.region,
    )


def _blast_radius(ctx: ActionContext, instance: Instance, interfaces: list[_Now]) -> BlastRadius:
    facts = []
    for group in sorted({g for i in interfaces if not i.moved for g in i.groups}):
        with aws_errors("ec2:DescribeNetworkInterfaces"):
            users = client(ctx, "ec2").describe_network_interfaces(
                Filters=[{"Name": "group-id", "Values": [group]}]
            )["NetworkInterfaces"]
        others = {u["NetworkInterfaceId"] for u in users} - {i.interface_id for i in interfaces}
        facts.append(f"security group {group}: {len(others)} other interface(s) use it and are not touched")
    loses, share = "", None
    name, lifecycle = membership(ctx, instance.id)
    if name:
        scaling = read_group(ctx, name)
        loses, share = taken_out(scaling, instance.id)
        facts.append(f"{group_facts(scaling)}; this instance: {lifecycle}")
    if instance.raw.get("PublicIpAddress"):
        facts.append(f"public address {instance.raw['PublicIpAddress']} stays assigned")
    return BlastRadius(
        summary="Nothing reaches the instance and it reaches nothing, our own tools included.",
        facts=tuple(facts),
        group=loses,
        group_share=share,
    )


def _warnings(
    ctx: ActionContext, instance: Instance, interfaces: list[_Now], params: IsolateParams
) -> tuple[str, ...]:
    warnings = [
        f"{i.interface_id} is open to everybody at this moment: go on at once." for i in interfaces if i.open
    ]
    warnings.append(
        "Each interface is open both ways for some tenths of a second, so that open connections are cut."
        if params.cut_open_connections
        else "Connections that are open now stay alive until they are idle."
    )
    name, lifecycle = membership(ctx, instance.id)
    if lifecycle == "InService":
        warnings.append(f"It still serves in group {name}, which may terminate it once it looks unhealthy.")
    return tuple(warnings)
