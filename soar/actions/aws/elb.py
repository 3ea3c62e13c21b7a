"""Load balancers: take an instance out of every target group that sends it traffic."""

from __future__ import annotations

import contextlib
from typing import Any

from soar.actions.aws.access import aws_errors, client
from soar.actions.aws.ec2_instance import Instance, InstanceParams, ensure_may_change, find_instance
from soar.actions.contract import Action, ActionContext, Draft, Planned, StateBefore, action
from soar.model.base import Fact
from soar.model.change import BlastRadius, Change, Result, Target, Verification
from soar.model.terms import Phase, Risk

__all__ = ["DeregisterInstance", "Registration", "TargetGroupUse", "classic_balancers", "registrations"]


def _leaving(health: dict[str, Any]) -> bool:
    """Whether a target is registered no more, or only drains. (`unused` alone may be a group without balancer.)"""
    return health["State"] == "draining" or health.get("Reason") == "Target.NotRegistered"


class Registered(Fact):
    """One target as it is registered: by instance id or by address.

    Args:
        port: The port that traffic goes to; None where the target group has none (Lambda).
        zone: The availability zone that an address was registered with; empty for an instance.
    """

    id: str
    port: int | None = None
    zone: str = ""

    def call(self) -> dict[str, Any]:
        """The target as the API takes it."""
        target: dict[str, Any] = {"Id": self.id}
        if self.port is not None:
            target["Port"] = self.port
        if self.zone:
            target["AvailabilityZone"] = self.zone
        return target


class Registration(Fact):
    """The targets of one instance in one target group."""

    group_arn: str
    group_name: str
    targets: tuple[Registered, ...]


class TargetGroupUse(Fact):
    """A target group of an instance and how many healthy targets it would have without it."""

    registration: Registration
    healthy: int
    healthy_others: int


class Registrations(StateBefore):
    """Everywhere that the instance is registered."""

    registrations: tuple[Registration, ...]
    classic: tuple[str, ...]


def registrations(ctx: ActionContext, instance: Instance) -> list[TargetGroupUse]:
    """The target groups in an instance's VPC that it is registered with, by its id or by an address of it."""
    elb = client(ctx, "elbv2")
    with aws_errors("elasticloadbalancing:DescribeTargetGroups"):
        pages = elb.get_paginator("describe_target_groups").paginate()
        groups = [g for page in pages for g in page["TargetGroups"]]
    ours = {instance.id} | instance.addresses
    found = []
    for group in groups:
        if group.get("TargetType") not in ("instance", "ip") or group.get("VpcId") != instance.raw.get(
            "VpcId"
        ):
            continue
        with aws_errors("elasticloadbalancing:DescribeTargetHealth"):
            targets = elb.describe_target_health(TargetGroupArn=group["TargetGroupArn"])
        serving = [t for t in targets["TargetHealthDescriptions"] if not _leaving(t["TargetHealth"])]
        mine = [_registered(t["Target"]) for t in serving if t["Target"]["Id"] in ours]
        if mine:
            healthy = [t for t in serving if t["TargetHealth"]["State"] == "healthy"]
            found.append(
                TargetGroupUse(
                    registration=Registration(
                        group_arn=group["TargetGroupArn"],
                        group_name=group["TargetGroupName"],
                        targets=tuple(sorted(mine, key=lambda r: (r.id, r.port or 0))),
                    ),
                    healthy=len(healthy),
                    healthy_others=sum(t["Target"]["Id"] not in ours for t in healthy),
                )
            )
    return sorted(found, key=lambda u: u.registration.group_arn)


def _registered(target: dict[str, Any]) -> Registered:
    return Registered(id=target["Id"], port=target.get("Port"), zone=target.get("AvailabilityZone", ""))


def classic_balancers(ctx: ActionContext, instance_id: str) -> tuple[str, ...]:
    """The names of the Classic Load Balancers that an instance is registered with."""
    with aws_errors("elasticloadbalancing:DescribeLoadBalancers"):
        pages = client(ctx, "elb").get_paginator("describe_load_balancers").paginate()
        return tuple(
            sorted(
                balancer["LoadBalancerName"]
                for page in pages
                for balancer in page["LoadBalancerDescriptions"]
                if any(i["InstanceId"] == instance_id for i in balancer.get("Instances", []))
            )
        )


@action(
    "aws.elb.deregister_instance",
    risk=Risk.DISRUPTIVE,
    phase=Phase.CONTAINMENT,
    permissions=(
        "ec2:DescribeInstances",
        "elasticloadbalancing:DescribeTargetGroups",
        "elasticloadbalancing:DescribeTargetHealth",
        "elasticloadbalancing:DescribeLoadBalancers",
        "elasticloadbalancing:DeregisterTargets",
        "elasticloadbalancing:RegisterTargets",
        "elasticloadbalancing:DeregisterInstancesFromLoadBalancer",
        "elasticloadbalancing:RegisterInstancesWithLoadBalancer",
        "sts:GetCallerIdentity",
    ),
    verify_timeout=60,
)
class DeregisterInstance(Action[InstanceParams, Registrations]):
    """Take an instance out of every target group and Classic Load Balancer.

    Found are registrations by instance id and by any of its private addresses, on every port. It comes after
    `aws.autoscaling.enter_standby`, which takes the instance out of the balancers of its own group: what is left are
    registrations made by hand or by other tools.

    Pre-condition: the instance exists and is not tagged `soar:protected`. Registered nowhere: nothing is done.

    Verified by reading the health of every target group: none sends it new connections (draining, or not registered).

    Undone by registering the recorded targets with their recorded ports.

    Pitfalls: connections that are open drain for the group's deregistration delay (300 s unless set otherwise);
    isolating the instance cuts them at once. Target groups of other VPCs that know it by a peered address are not seen.

    Example::

        - id: deregister
          name: No more visitors to the instance
          do: aws.elb.deregister_instance
          with:
            instance_id: '{{ (alert | resource("aws.ec2.instance")).name }}'
    """

    def plan(self, ctx: ActionContext, params: InstanceParams) -> Draft[Registrations]:
        instance = find_instance(ctx, params.instance_id)
        ensure_may_change(ctx, instance)
        uses, classic = registrations(ctx, instance), classic_balancers(ctx, instance.id)
        changes = [
            Change(
                target=use.registration.group_arn,
                field=f"target {target.id}",
                before=f"registered on port {target.port}",
                after=None,
            )
            for use in uses
            for target in use.registration.targets
        ]
        changes += [
            Change(
                target=_classic_target(name, instance).uid,
                field=f"instance {instance.id}",
                before="registered",
                after=None,
            )
            for name in classic
        ]
        last = [u.registration.group_name for u in uses if u.healthy and not u.healthy_others]
        places = len(uses) + len(classic)
        return Draft(
            summary=(
                f"Take {instance.id} out of {places} load balancer target group(s)"
                if places
                else f"{instance.id} is registered with no load balancer"
            ),
            targets=(
                instance.target,
                *(_target(u.registration, instance) for u in uses),
                *(_classic_target(name, instance) for name in classic),
            ),
            changes=tuple(changes),
            state=Registrations(registrations=tuple(u.registration for u in uses), classic=classic),
            blast_radius=BlastRadius(
                summary="Visitors get no new connection to it; open ones drain.",
                facts=tuple(
                    f"target group {u.registration.group_name}: {u.healthy} healthy now, {u.healthy_others} left"
                    for u in uses
                ),
            ),
            warnings=tuple(
                f"It is the last healthy target of {name}: the service goes down." for name in last
            ),
            undo="The recorded targets are registered again with their recorded ports.",
        )

    def apply(self, ctx: ActionContext, planned: Planned[InstanceParams, Registrations]) -> Result:
        elb, state = client(ctx, "elbv2"), planned.state
        # A retry may do all of it again: taking out what is out already is what was wanted.
        with aws_errors("elasticloadbalancing:DeregisterTargets"):
            for registration in state.registrations:
                with contextlib.suppress(elb.exceptions.InvalidTargetException):
                    elb.deregister_targets(
                        TargetGroupArn=registration.group_arn,
                        Targets=[t.call() for t in registration.targets],
                    )
        now = classic_balancers(ctx, planned.params.instance_id) if state.classic else ()
        with aws_errors("elasticloadbalancing:DeregisterInstancesFromLoadBalancer"):
            for name in state.classic:
                if name in now:
                    client(ctx, "elb").deregister_instances_from_load_balancer(
                        LoadBalancerName=name, Instances=[{"InstanceId": planned.params.instance_id}]
                    )
        names = [r.group_name for r in state.registrations] + list(state.classic)
        return Result(summary=f"taken out of {', '.join(names)}")

    def verify(self, ctx: ActionContext, planned: Planned[InstanceParams, Registrations]) -> Verification:
        elb, lines, verified = client(ctx, "elbv2"), [], True
        for registration in planned.state.registrations:
            with aws_errors("elasticloadbalancing:DescribeTargetHealth"):
                health = elb.describe_target_health(
                    TargetGroupArn=registration.group_arn, Targets=[t.call() for t in registration.targets]
                )["TargetHealthDescriptions"]
            verified &= all(_leaving(t["TargetHealth"]) for t in health)
            states = sorted({t["TargetHealth"].get("Reason") or t["TargetHealth"]["State"] for t in health})
            lines.append(f"{registration.group_name}: {', '.join(states) or 'not registered'}")
        if planned.state.classic:
            left = set(classic_balancers(ctx, planned.params.instance_id)) & set(planned.state.classic)
            verified &= not left
            lines.append(f"Classic Load Balancers that still list it: {', '.join(sorted(left)) or 'none'}")
        return Verification(
            verified=verified,
            seen="; ".join(lines) or "it was registered nowhere",
            method="elasticloadbalancing:DescribeTargetHealth",
        )

    def undo(self, ctx: ActionContext, planned: Planned[InstanceParams, Registrations]) -> Result:
        with aws_errors("elasticloadbalancing:RegisterTargets"):
            for registration in planned.state.registrations:
                client(ctx, "elbv2").register_targets(
                    TargetGroupArn=registration.group_arn, Targets=[t.call() for t in registration.targets]
                )
        now = classic_balancers(ctx, planned.params.instance_id) if planned.state.classic else ()
        with aws_errors("elasticloadbalancing:RegisterInstancesWithLoadBalancer"):
            for name in (n for n in planned.state.classic if n not in now):
                client(ctx, "elb").register_instances_with_load_balancer(
                    LoadBalancerName=name, Instances=[{"InstanceId": planned.params.instance_id}]
                )
        return Result(summary="registered again as recorded")


def _classic_target(name: str, instance: Instance) -> Target:
    return Target(
        uid=f"arn:{instance.partition}:elasticloadbalancing:{instance.region}:{instance.account}:loadbalancer/{name}",
        type="aws.elb.classic_load_balancer",
        name=name,
        account=instance.account,
        region=instance.region,
    )


def _target(registration: Registration, instance: Instance) -> Target:
    return Target(
        uid=registration.group_arn,
        type="aws.elb.target_group",
        name=registration.group_name,
        account=instance.account,
        region=instance.region,
    )
