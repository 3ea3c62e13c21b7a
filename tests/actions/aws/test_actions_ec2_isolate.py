"""Isolation of an instance: every interface, its tracked connections, and the way back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError

from soar.simulated.base import AccountClients

NAME = "aws.ec2.isolate_instance"


@dataclass
class Host:
    """An instance with two interfaces, in the groups `web` and `data`."""

    ec2: Any
    vpc: str
    id: str
    groups: dict[str, str]

    def interfaces(self) -> dict[int, dict[str, Any]]:
        found = self.ec2.describe_network_interfaces(
            Filters=[{"Name": "attachment.instance-id", "Values": [self.id]}]
        )["NetworkInterfaces"]
        return {i["Attachment"]["DeviceIndex"]: i for i in found}

    def groups_by_device(self) -> dict[int, list[str]]:
        return {n: sorted(g["GroupId"] for g in i["Groups"]) for n, i in self.interfaces().items()}

    def everything(self) -> dict[str, Any]:
        """What isolation may change, with group names for ids, which differ from run to run."""
        groups = self.ec2.describe_security_groups(Filters=[{"Name": "vpc-id", "Values": [self.vpc]}])
        names = {g["GroupId"]: g["GroupName"] for g in groups["SecurityGroups"]}
        rules = self.ec2.describe_security_group_rules()["SecurityGroupRules"]
        return {
            "interfaces": {
                n: (sorted(names[g] for g in ids), sorted((t["Key"], t["Value"]) for t in i["TagSet"]))
                for (n, i), ids in zip(
                    self.interfaces().items(), self.groups_by_device().values(), strict=True
                )
            },
            "rules": sorted(
                f"{names[r['GroupId']]} {r['IsEgress']} {r.get('CidrIpv4') or r.get('CidrIpv6')}"
                for r in rules
                if r["GroupId"] in names
            ),
            "groups": sorted(names.values()),
        }


@pytest.fixture
def host(account: AccountClients) -> Host:
    ec2 = account.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.1.0/24")["Subnet"]["SubnetId"]
    groups = {
        name: ec2.create_security_group(GroupName=name, Description=name, VpcId=vpc)["GroupId"]
        for name in ("web", "data")
    }
    made = ec2.run_instances(
        ImageId="ami-12c6146b",
        MinCount=1,
        MaxCount=1,
        NetworkInterfaces=[
            {"DeviceIndex": n, "SubnetId": subnet, "Groups": [group]}
            for n, group in enumerate(groups.values())
        ],
    )["Instances"][0]
    return Host(ec2, vpc, made["InstanceId"], groups)


async def test_every_interface_ends_in_the_empty_group_alone(actions: Any, host: Host) -> None:
    before = host.everything()
    plan = await actions.plan(NAME, instance_id=host.id)
    assert (await actions.plan(NAME, instance_id=host.id)).content_digest == plan.content_digest
    assert host.everything() == before, "planning changes nothing"
    assert [c.before for c in plan.changes] == [[host.groups["web"]], [host.groups["data"]]]
    assert not actions.look(plan).verified

    result = await actions.apply(plan)
    empty = result.data["security_groups"]
    assert host.groups_by_device() == {0: empty, 1: empty}
    rules = host.ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": empty}])
    assert rules["SecurityGroupRules"] == []
    seen = await actions.verify(plan)
    assert seen.verified, seen.seen
    assert (await actions.plan(NAME, instance_id=host.id)).changes == ()

    reply = await actions.undo(plan)
    assert reply.restored, reply.seen
    assert host.everything() == before
    assert (await actions.plan(NAME, instance_id=host.id)).content_digest == plan.content_digest
    assert (await actions.undo(plan)).restored, "undoing twice is undoing once"


async def test_each_interface_passes_through_the_open_group_at_once(actions: Any, host: Host) -> None:
    plan = await actions.plan(NAME, instance_id=host.id)
    moved: list[tuple[str, list[str]]] = []
    client = actions.access.client("ec2", region="us-east-1")
    client.meta.events.register(
        "provide-client-params.ec2.ModifyNetworkInterfaceAttribute",
        lambda params, **_: moved.append((params["NetworkInterfaceId"], params["Groups"])),
    )
    await actions.apply(plan)
    names = {g["GroupId"]: g["GroupName"] for g in host.ec2.describe_security_groups()["SecurityGroups"]}
    order = [(interface, names[groups[0]].split("-i-")[0]) for interface, groups in moved]
    first, second = (i["NetworkInterfaceId"] for _, i in sorted(host.interfaces().items()))
    assert order == [
        (first, "soar-untracked"),
        (first, "soar-isolated"),
        (second, "soar-untracked"),
        (second, "soar-isolated"),
    ]
    passing = next(g for g, name in names.items() if name.startswith("soar-untracked"))
    rules = host.ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [passing]}])
    both_ways = {(r["IsEgress"], r.get("CidrIpv4") or r.get("CidrIpv6")) for r in rules["SecurityGroupRules"]}
    assert both_ways == {(d, cidr) for d in (True, False) for cidr in ("0.0.0.0/0", "::/0")}
    assert all(r["IpProtocol"] == "-1" for r in rules["SecurityGroupRules"])


async def test_without_cutting_nothing_is_ever_open(actions: Any, host: Host) -> None:
    plan = await actions.plan(NAME, instance_id=host.id, cut_open_connections=False)
    assert any("stay alive" in w for w in plan.warnings)
    await actions.apply(plan)
    assert (await actions.verify(plan)).verified
    names = {g["GroupName"] for g in host.ec2.describe_security_groups()["SecurityGroups"]}
    assert not any(n.startswith("soar-untracked") for n in names)
    assert (await actions.undo(plan)).restored


async def test_an_instance_whose_groups_are_set_on_itself(actions: Any, host: Host) -> None:
    made = host.ec2.run_instances(
        ImageId="ami-12c6146b", MinCount=1, MaxCount=1, SecurityGroupIds=list(host.groups.values())
    )["Instances"][0]
    single = Host(host.ec2, made["VpcId"], made["InstanceId"], host.groups)
    plan = await actions.plan(NAME, instance_id=single.id)
    await actions.apply(plan)
    seen = await actions.verify(plan)
    assert seen.verified, seen.seen
    assert (await actions.undo(plan)).restored
    assert set(host.groups.values()) <= set(single.groups_by_device()[0])


async def test_half_an_isolation_is_undone(actions: Any, host: Host) -> None:
    before = host.everything()
    plan = await actions.plan(NAME, instance_id=host.id)
    point = 0
    while True:
        point += 1
        actions.wire.crash_after = len(actions.wire.calls) + point
        try:
            await actions.apply(plan)
        except ApplicationError:
            actions.wire.crash_after = None
        else:
            break
        reply = await actions.undo(plan, in_doubt=True)
        assert reply.restored, reply.seen
        assert host.groups_by_device() == {0: [host.groups["web"]], 1: [host.groups["data"]]}, point
    actions.wire.crash_after = None
    assert point > 20
    assert (await actions.undo(plan)).restored
    assert host.everything() == before, (
        "what half-made groups and notes were left is gone after the next whole run"
    )


async def test_undo_refuses_what_somebody_changed_since(actions: Any, host: Host) -> None:
    plan = await actions.plan(NAME, instance_id=host.id)
    await actions.apply(plan)
    second = host.interfaces()[1]["NetworkInterfaceId"]
    host.ec2.modify_network_interface_attribute(NetworkInterfaceId=second, Groups=[host.groups["web"]])
    with pytest.raises(ApplicationError, match="is not undone") as refused:
        await actions.undo(plan)
    assert refused.value.type == "Drifted"
    assert host.groups_by_device()[1] == [host.groups["web"]]
    with pytest.raises(ApplicationError, match=second):
        await actions.undo(plan, in_doubt=True)


async def test_a_rule_in_the_empty_group_is_no_isolation(actions: Any, host: Host) -> None:
    plan = await actions.plan(NAME, instance_id=host.id)
    group = (await actions.apply(plan)).data["security_groups"][0]
    host.ec2.authorize_security_group_ingress(
        GroupId=group,
        IpPermissions=[
            {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
        ],
    )
    seen = actions.look(plan)
    assert not seen.verified
    assert f"{group} has 1 rule(s)" in seen.seen


async def test_an_interface_that_is_attached_later_is_seen(actions: Any, host: Host) -> None:
    plan = await actions.plan(NAME, instance_id=host.id)
    await actions.apply(plan)
    subnet = host.interfaces()[0]["SubnetId"]
    late = host.ec2.create_network_interface(SubnetId=subnet, Groups=[host.groups["web"]])
    late_id = late["NetworkInterface"]["NetworkInterfaceId"]
    host.ec2.attach_network_interface(NetworkInterfaceId=late_id, InstanceId=host.id, DeviceIndex=2)
    seen = actions.look(plan)
    assert not seen.verified
    assert late_id in seen.seen


async def test_half_an_isolation_is_approved_anew_and_undone_in_layers(actions: Any, host: Host) -> None:
    before = host.everything()
    plan = await actions.plan(NAME, instance_id=host.id)
    start = len(actions.wire.calls)
    await actions.apply(plan)
    calls = actions.wire.calls[start:]
    assert (await actions.undo(plan)).restored
    actions.wire.crash_after = (
        len(actions.wire.calls) + calls.index("ec2:ModifyNetworkInterfaceAttribute") + 1
    )
    with pytest.raises(ApplicationError, match="Crash"):
        await actions.apply(plan)
    actions.wire.crash_after = None

    # Nobody retried: a person starts the step anew, and sees that an interface stands open.
    rest = await actions.plan(NAME, instance_id=host.id)
    assert rest.content_digest != plan.content_digest
    assert any("open to everybody at this moment" in w for w in rest.warnings)
    await actions.apply(rest)
    assert (await actions.verify(rest)).verified
    assert (await actions.undo(rest)).restored
    open_groups = host.ec2.describe_security_groups(
        Filters=[{"Name": "group-name", "Values": ["soar-untracked-*"]}]
    )["SecurityGroups"]
    assert not {g["GroupId"] for g in open_groups} & {
        g for ids in host.groups_by_device().values() for g in ids
    }
    assert (await actions.undo(plan, in_doubt=True)).restored
    assert host.everything() == before


async def test_a_group_of_our_name_that_is_not_ours_is_refused(actions: Any, host: Host) -> None:
    plan = await actions.plan(NAME, instance_id=host.id)
    named = plan.changes[0].after[0].removesuffix(" (no rules)")
    host.ec2.create_security_group(GroupName=named, Description="a trap", VpcId=host.vpc)
    with pytest.raises(ApplicationError, match="does not carry") as refused:
        await actions.apply(plan)
    assert refused.value.type == "Refused"
    assert host.groups_by_device() == {0: [host.groups["web"]], 1: [host.groups["data"]]}


async def test_protected_and_missing_instances_are_refused(actions: Any, host: Host) -> None:
    host.ec2.create_tags(Resources=[host.id], Tags=[{"Key": "soar:protected", "Value": "yes"}])
    with pytest.raises(ApplicationError, match="tagged soar:protected") as refused:
        await actions.plan(NAME, instance_id=host.id)
    assert refused.value.type == "Refused"
    with pytest.raises(ApplicationError) as gone:
        await actions.plan(NAME, instance_id="i-0123456789abcdef0")
    assert gone.value.type == "TargetGone"
    with pytest.raises(ApplicationError) as bad:
        await actions.plan(NAME, instance_id="i-1; rm -rf /")
    assert bad.value.type == "BadInput"


async def test_groups_that_others_share_are_told(actions: Any, host: Host) -> None:
    subnet = host.interfaces()[0]["SubnetId"]
    host.ec2.create_network_interface(SubnetId=subnet, Groups=[host.groups["web"]])
    plan = await actions.plan(NAME, instance_id=host.id)
    assert f"security group {host.groups['web']}: 1 other interface(s)" in " ".join(plan.blast_radius.facts)
