"""What the conformance suite cannot see of firewalls, flow logs and query logs: guards, warnings, branches."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from temporalio.exceptions import ApplicationError

from soar.actions.aws.dns_firewall import domain, guarded_domains
from soar.actions.errors import Refused
from soar.simulated.base import AccountClients

sys.path.insert(0, str(Path(__file__).parent / "conformance"))

import cases_ec2_addresses
import cases_ec2_exposure
import cases_firewalls
from case import World

DNS, NFW = "aws.dns_firewall.block_domains", "aws.network_firewall.block"
LOOKUPS, FLOWS = "aws.route53.enable_query_logs", "aws.vpc.enable_flow_logs"
LISTED = {"domain_list": "blocked"}
GROUP = {"rule_group": "incident-response"}
PROTECTED = ({"Key": "soar:protected", "Value": ""},)


@pytest.fixture
def world(account: AccountClients) -> World:
    return World(account)


@pytest.fixture
def on(make_actions: Callable[..., Any], world: World) -> Callable[[], Any]:
    """Actions on the world as it was scripted."""

    def make() -> Any:
        actions = make_actions()
        for scripted in world.scripted:
            scripted.attach(actions.access._session.events)
        return actions

    return make


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("com", "far too wide"),
        ("*.com", "far too wide"),
        ("*.co.uk", "far too wide"),
        ("amazonaws.com", "AWS's services"),
        ("*.amazonaws.com", "AWS's services"),
        ("shop.example", "never blocked"),
        ("www.shop.example", "never blocked"),
        ("*.shop.example", "never blocked"),
    ],
)
async def test_names_that_are_never_blocked(
    world: World, on: Callable[[], Any], name: str, told: str
) -> None:
    kept = cases_firewalls.dns_firewall(world)
    with pytest.raises(ApplicationError, match=told):
        await on().plan(DNS, **LISTED, domains=[name], never_block=["shop.example"])
    assert kept == ["kept.example."]


@pytest.mark.parametrize(
    "name", ["", "evil example", "http://evil.example/", "a..b", "-a.example", "10.1.2.3", "*", "x" * 300]
)
async def test_what_is_no_name_is_said_plainly(world: World, on: Callable[[], Any], name: str) -> None:
    cases_firewalls.dns_firewall(world)
    with pytest.raises(ApplicationError, match="no domain name") as caught:
        await on().plan(DNS, **LISTED, domains=[name])
    assert caught.value.type == "BadInput"


@given(st.text(max_size=80))
def test_a_name_is_read_or_refused_and_reads_the_same_again(text: str) -> None:
    try:
        name = domain(text)
    except ValueError:
        return
    assert domain(name) == name
    assert name.isascii()
    assert not name.endswith(".")


@given(st.lists(st.sampled_from(["a", "b", "shop"]), min_size=1, max_size=3), st.booleans())
def test_nothing_that_is_ours_gets_past_the_guard(labels: list[str], wildcard: bool) -> None:
    name = ("*." if wildcard else "") + ".".join([*labels, "example"])
    bare = name.removeprefix("*.")
    ours = ("a.shop.example",)
    hits = bare in ours or bare.endswith(".a.shop.example") or (wildcard and ours[0].endswith("." + bare))
    if hits:
        with pytest.raises(Refused):
            guarded_domains([name], ours)
    else:
        assert guarded_domains([name], ours) == (name,)


async def test_names_in_other_scripts_are_blocked_as_they_are_looked_up(
    world: World, on: Callable[[], Any]
) -> None:
    kept = cases_firewalls.dns_firewall(world)
    actions = on()
    plan = await actions.plan(DNS, **LISTED, domains=["bücher.example"], subdomains=False)
    await actions.apply(plan)
    assert "xn--bcher-kva.example." in kept


@pytest.mark.parametrize(("action", "vpcs"), [("ALERT", ("vpc-1",)), ("BLOCK", ())])
async def test_a_list_that_blocks_nothing_is_warned_of(
    world: World, on: Callable[[], Any], action: str, vpcs: tuple[str, ...]
) -> None:
    cases_firewalls.dns_firewall(world, action=action, vpcs=vpcs)
    plan = await on().plan(DNS, **LISTED, domains=["evil.example"])
    assert any("blocks nothing" in w for w in plan.warnings)


async def test_a_list_that_blocks_is_not_warned_of(world: World, on: Callable[[], Any]) -> None:
    cases_firewalls.dns_firewall(world)
    plan = await on().plan(DNS, **LISTED, domains=["evil.example"])
    assert plan.warnings == ()
    assert plan.blast_radius.facts == ("blocks in vpc-1 by rule deny of egress",)
    assert plan.targets[0].uid == cases_firewalls.LIST_ARN, "AWS's list of the same name is not ours"


async def test_a_missing_or_protected_list_is_left_alone(world: World, on: Callable[[], Any]) -> None:
    cases_firewalls.dns_firewall(world, tags=PROTECTED)
    actions = on()
    with pytest.raises(ApplicationError, match="soar:protected"):
        await actions.plan(DNS, **LISTED, domains=["evil.example"])
    with pytest.raises(ApplicationError, match="no domain list other of your own") as caught:
        await actions.plan(DNS, domain_list="other", domains=["evil.example"])
    assert caught.value.type == "TargetGone"


@pytest.mark.parametrize(
    ("kind", "params", "told"),
    [
        ("ALLOWLIST", {"domains": ["evil.example"]}, "would be let through"),
        ("DENYLIST", {"domains": ["*.com"]}, "far too wide"),
        ("DENYLIST", {"addresses": ["203.0.113.7"]}, "need `ip_set`"),
        ("DENYLIST", {"addresses": ["203.0.113.7"], "ip_set": "OTHER"}, "no IP set variable OTHER"),
        ("DENYLIST", {"addresses": ["203.0.113.7"], "ip_set": "HOME_NET"}, "inside and outside"),
        ("DENYLIST", {"addresses": ["10.1.2.3"], "ip_set": "BLOCKED"}, "not an address on the internet"),
        ("DENYLIST", {}, "name `domains`, `addresses`, or both"),
    ],
)
async def test_what_a_rule_group_does_not_take(
    world: World, on: Callable[[], Any], kind: str, params: Any, told: str
) -> None:
    kept = cases_firewalls.network_firewall(world, kind=kind)
    with pytest.raises(ApplicationError, match=told):
        await on().plan(NFW, **GROUP, **params)
    assert kept["token"] == 1


async def test_a_stale_update_token_is_read_anew(world: World, on: Callable[[], Any]) -> None:
    kept = cases_firewalls.network_firewall(world, busy=2)
    actions = on()
    plan = await actions.plan(NFW, **GROUP, domains=["evil.example"])
    await actions.apply(plan)
    assert kept["group"]["RulesSource"]["RulesSourceList"]["Targets"] == [".kept.example", ".evil.example"]
    assert kept["busy"] == 0


async def test_a_group_that_is_written_all_the_time_is_tried_again_later(
    world: World, on: Callable[[], Any]
) -> None:
    cases_firewalls.network_firewall(world, busy=99)
    actions = on()
    plan = await actions.plan(NFW, **GROUP, domains=["evil.example"])
    with pytest.raises(ApplicationError, match="5 times in a row") as caught:
        await actions.apply(plan)
    assert caught.value.type == "Unavailable"


async def test_a_group_of_no_policy_is_warned_of_and_a_protected_one_left_alone(
    world: World, on: Callable[[], Any]
) -> None:
    cases_firewalls.network_firewall(world, policies=0)
    plan = await on().plan(NFW, **GROUP, domains=["evil.example"])
    assert any("blocks nothing" in w for w in plan.warnings)
    world.scripted.clear()
    cases_firewalls.network_firewall(world, tags=PROTECTED)
    with pytest.raises(ApplicationError, match="soar:protected"):
        await on().plan(NFW, **GROUP, domains=["evil.example"])


async def test_a_configuration_is_deleted_only_once_the_vpc_is_let_go(
    world: World, on: Callable[[], Any]
) -> None:
    kept = cases_firewalls.query_logs(world, leaving=2)
    vpc = world.client("ec2").create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    actions = on()
    plan = await actions.plan(LOOKUPS, vpc_id=vpc, destination="arn:aws:s3:::dns")
    await actions.apply(plan)
    assert (await actions.undo(plan)).restored
    assert kept["configs"] == {}


async def test_lookups_that_somebody_else_records_are_enough(world: World, on: Callable[[], Any]) -> None:
    kept = cases_firewalls.query_logs(world)
    vpc = world.client("ec2").create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    other = {"Id": "rqlc-9", "Name": "standing", "DestinationArn": "arn:aws:s3:::dns", "Status": "CREATED"}
    kept["configs"]["rqlc-9"] = other
    kept["tied"][("rqlc-9", vpc)] = {
        "ResolverQueryLogConfigId": "rqlc-9",
        "ResourceId": vpc,
        "Status": "ACTIVE",
    }
    plan = await on().plan(LOOKUPS, vpc_id=vpc, destination="arn:aws:s3:::dns")
    assert plan.changes == ()


async def test_a_bucket_that_is_not_there_is_told(actions: Any, account: AccountClients) -> None:
    vpc = account.client("ec2").create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    plan = await actions.plan(FLOWS, resource_id=vpc, destination="arn:aws:s3:::nowhere")
    assert any("in no record" in w for w in plan.warnings)
    with pytest.raises(ApplicationError, match=r"could not be made: .*nowhere"):
        await actions.apply(plan)


async def test_flow_logs_of_what_is_protected_or_gone(actions: Any, account: AccountClients) -> None:
    ec2 = account.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    ec2.create_tags(Resources=[vpc], Tags=list(PROTECTED))
    with pytest.raises(ApplicationError, match="soar:protected"):
        await actions.plan(FLOWS, resource_id=vpc, destination="arn:aws:s3:::flows")
    with pytest.raises(ApplicationError, match="NotFound") as caught:
        await actions.plan(FLOWS, resource_id="vpc-00000000", destination="arn:aws:s3:::flows")
    assert caught.value.type == "TargetGone"


async def test_without_a_way_to_the_internet_nothing_is_reached(world: World, actions: Any) -> None:
    instance, _, _ = cases_ec2_exposure.web_server(world, gateway=False)
    found = await actions.read("aws.ec2.describe_exposure", instance_id=instance)
    assert not found.data["reachable"]
    assert [o["stopped_by"] for o in found.data["openings"]] == [
        "its subnet has no way to an internet gateway"
    ]
    assert "nothing of it can be reached" in found.summary


async def test_a_network_acl_that_lets_nobody_in_stops_it(world: World, actions: Any) -> None:
    instance, group, subnet = cases_ec2_exposure.web_server(world)
    ec2 = world.client("ec2")
    acl = ec2.describe_network_acls(Filters=[{"Name": "association.subnet-id", "Values": [subnet]}])[
        "NetworkAcls"
    ][0]
    deny = {"RuleAction": "deny", "Egress": False, "CidrBlock": "0.0.0.0/0", "Protocol": "6"}
    ports = {"PortRange": {"From": 80, "To": 80}}
    ec2.create_network_acl_entry(NetworkAclId=acl["NetworkAclId"], RuleNumber=50, **deny, **ports)
    found = await actions.read("aws.ec2.describe_exposure", instance_id=instance)
    assert [o["stopped_by"] for o in found.data["openings"]] == [
        "the network ACL of its subnet lets nobody in there"
    ]
    # A rule that opens more than the ACL denies is reached by the rest.
    more = {"IpProtocol": "tcp", "FromPort": 79, "ToPort": 81, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[more])
    found = await actions.read("aws.ec2.describe_exposure", instance_id=instance)
    assert {o["ports"]: o["reached"] for o in found.data["openings"]} == {"80": False, "79-81": True}


async def test_an_address_that_points_elsewhere_by_now_is_not_taken_back(world: World, actions: Any) -> None:
    arranged = cases_ec2_addresses.with_an_elastic_address(world)
    plan = await actions.plan("aws.ec2.release_public_address", **arranged.params)
    await actions.apply(plan)
    (address,) = plan.state["addresses"]
    other = world.instance()
    world.client("ec2").associate_address(AllocationId=address["allocation_id"], InstanceId=other)
    with pytest.raises(ApplicationError, match="points elsewhere by now") as caught:
        await actions.undo(plan)
    assert caught.value.type == "Drifted"
