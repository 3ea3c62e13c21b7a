"""What is special about blocking at the network; that it is done and undone is tried with all actions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError

from soar.simulated.base import AccountClients

WAF, NACL, REVOKE = "aws.waf.block_ips", "aws.ec2.nacl_deny", "aws.ec2.revoke_ingress"
BAD = ["203.0.113.7", "198.51.100.0/24"]


@dataclass
class Case:
    """An action on something prepared, and what is there."""

    params: dict[str, Any]
    seen: Callable[[], Any]


def waf_case(account: AccountClients) -> Case:
    waf = account.client("wafv2")
    made = waf.create_ip_set(
        Name="bad", Scope="REGIONAL", IPAddressVersion="IPV4", Addresses=["192.0.2.1/32"], Description="kept"
    )["Summary"]

    def seen() -> Any:
        found = waf.get_ip_set(Name="bad", Scope="REGIONAL", Id=made["Id"])["IPSet"]
        return sorted(found["Addresses"]), found.get("Description")

    return Case({"ip_set": "bad", "addresses": BAD}, seen)


def nacl_case(account: AccountClients) -> Case:
    ec2 = account.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.1.0/24")["Subnet"]["SubnetId"]
    other = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.2.0/24")["Subnet"]["SubnetId"]
    assert other != subnet

    def acl() -> Any:
        return ec2.describe_network_acls(Filters=[{"Name": "association.subnet-id", "Values": [subnet]}])[
            "NetworkAcls"
        ][0]

    def seen() -> Any:
        return sorted(
            (e["Egress"], e["RuleNumber"], e["RuleAction"], e.get("CidrBlock", "")) for e in acl()["Entries"]
        )

    return Case({"subnet_ids": [subnet], "addresses": BAD}, seen)


def revoke_case(account: AccountClients) -> Case:
    ec2 = account.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    group = ec2.create_security_group(GroupName="web", Description="web", VpcId=vpc)["GroupId"]
    world = {"CidrIp": "0.0.0.0/0", "Description": "opened in haste"}
    ssh = {
        "IpProtocol": "tcp",
        "FromPort": 22,
        "ToPort": 22,
        "IpRanges": [world, {"CidrIp": "192.0.2.0/24", "Description": "office"}],
        "Ipv6Ranges": [{"CidrIpv6": "::/0", "Description": "six"}],
    }
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[ssh])

    def seen() -> Any:
        rules = ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [group]}])
        return sorted(
            (
                r["IsEgress"],
                r["IpProtocol"],
                r.get("FromPort"),
                r.get("CidrIpv4", ""),
                r.get("CidrIpv6", ""),
                r.get("Description", ""),
            )
            for r in rules["SecurityGroupRules"]
        )

    return Case({"group_id": group}, seen)


MAKE = {WAF: waf_case, NACL: nacl_case, REVOKE: revoke_case}


@pytest.mark.parametrize("name", [WAF, NACL])
@pytest.mark.parametrize(
    ("addresses", "told"),
    [
        (["0.0.0.0/0"], "too wide"),
        (["::/0"], "too wide"),
        (["203.0.0.0/7"], "too wide"),
        (["10.1.2.3"], "not an address on the internet"),
        (["169.254.169.254"], "not an address on the internet"),
        (["fd00:ec2::254"], "not an address on the internet"),
        (["192.0.2.128/25"], "never blocked"),
        (["192.0.0.0/16"], "never blocked"),
    ],
)
async def test_guards(
    actions: Any, account: AccountClients, name: str, addresses: list[str], told: str
) -> None:
    case = MAKE[name](account)
    before = case.seen()
    params = {**case.params, "addresses": addresses, "never_block": ["192.0.2.0/24"]}
    with pytest.raises(ApplicationError, match=told):
        await actions.plan(name, **params)
    assert case.seen() == before


async def test_what_is_no_address_is_said_plainly(actions: Any) -> None:
    with pytest.raises(ApplicationError, match="does not appear to be"):
        await actions.plan(WAF, ip_set="bad", addresses=["evil.example"])


async def test_a_protected_group_is_left_alone(actions: Any, account: AccountClients) -> None:
    case = revoke_case(account)
    account.client("ec2").create_tags(
        Resources=[case.params["group_id"]], Tags=[{"Key": "soar:protected", "Value": ""}]
    )
    with pytest.raises(ApplicationError, match="soar:protected"):
        await actions.plan(REVOKE, **case.params)


async def test_the_responders_own_opening_stays(actions: Any, account: AccountClients) -> None:
    case = revoke_case(account)
    plan = await actions.plan(
        REVOKE, **case.params, cidrs=["192.0.2.0/24", "0.0.0.0/0"], never_block=["192.0.2.0/24"]
    )
    assert [c.field for c in plan.changes] == ["tcp 22 from 0.0.0.0/0"]
    assert any("192.0.2.0/24 stays" in w for w in plan.warnings)


async def test_only_the_named_ports_are_closed(actions: Any, account: AccountClients) -> None:
    case = revoke_case(account)
    assert (await actions.plan(REVOKE, **case.params, ports=[443])).changes == ()
    assert len((await actions.plan(REVOKE, **case.params, ports=[22])).changes) == 2


async def test_the_quota_of_a_network_acl_is_respected(actions: Any, account: AccountClients) -> None:
    case = nacl_case(account)
    with pytest.raises(ApplicationError, match="quota of 3"):
        await actions.plan(NACL, **case.params, max_rules=3)
    assert len((await actions.plan(NACL, **case.params, max_rules=4)).changes) == 4


async def test_a_network_acl_tells_of_the_subnets_not_named(actions: Any, account: AccountClients) -> None:
    plan = await actions.plan(NACL, **nacl_case(account).params)
    assert any("1 subnet(s) not named" in f for f in plan.blast_radius.facts)


async def test_addresses_that_others_added_stay(actions: Any, account: AccountClients) -> None:
    case = waf_case(account)
    plan = await actions.plan(WAF, **case.params)
    await actions.apply(plan)
    waf = account.client("wafv2")
    id_ = plan.state["ip_set_id"]
    found = waf.get_ip_set(Name="bad", Scope="REGIONAL", Id=id_)
    waf.update_ip_set(
        Name="bad",
        Scope="REGIONAL",
        Id=id_,
        Addresses=[*found["IPSet"]["Addresses"], "192.0.2.9/32"],
        LockToken=found["LockToken"],
    )
    assert (await actions.undo(plan)).restored
    assert case.seen()[0] == ["192.0.2.1/32", "192.0.2.9/32"]


async def test_a_stale_lock_token_is_read_anew(actions: Any, account: AccountClients) -> None:
    case = waf_case(account)
    plan = await actions.plan(WAF, **case.params)
    waf, id_ = account.client("wafv2"), plan.state["ip_set_id"]
    done: list[bool] = []

    def interfere(model: Any, **_: Any) -> None:
        if model.name == "UpdateIPSet" and not done:
            done.append(True)
            token = waf.get_ip_set(Name="bad", Scope="REGIONAL", Id=id_)["LockToken"]
            addresses = ["192.0.2.1/32", "192.0.2.5/32"]
            waf.update_ip_set(Name="bad", Scope="REGIONAL", Id=id_, Addresses=addresses, LockToken=token)

    actions.access.client("wafv2", region="us-east-1").meta.events.register("before-call", interfere)
    await actions.apply(plan)
    assert done
    assert case.seen()[0] == ["192.0.2.1/32", "192.0.2.5/32", "198.51.100.0/24", "203.0.113.7/32"]


async def test_a_set_that_nothing_uses_is_warned_of(actions: Any, account: AccountClients) -> None:
    case = waf_case(account)
    plan = await actions.plan(WAF, **case.params)
    assert any("No web ACL uses" in w for w in plan.warnings)
    visible = {"SampledRequestsEnabled": False, "CloudWatchMetricsEnabled": False, "MetricName": "m"}
    account.client("wafv2").create_web_acl(
        Name="shop",
        Scope="REGIONAL",
        DefaultAction={"Allow": {}},
        VisibilityConfig=visible,
        Rules=[
            {
                "Name": "block",
                "Priority": 0,
                "Statement": {"IPSetReferenceStatement": {"ARN": plan.targets[0].uid}},
                "Action": {"Block": {}},
                "VisibilityConfig": visible,
            }
        ],
    )
    plan = await actions.plan(WAF, **case.params)
    assert plan.warnings == ()
    assert "web ACL shop uses the set" in plan.blast_radius.facts


async def test_a_set_of_the_other_version_or_none(actions: Any, account: AccountClients) -> None:
    waf_case(account)
    with pytest.raises(ApplicationError, match="IPv4 only"):
        await actions.plan(WAF, ip_set="bad", addresses=["2001:db8::1"])
    with pytest.raises(ApplicationError, match="no REGIONAL IP set other"):
        await actions.plan(WAF, ip_set="other", addresses=BAD)


async def test_cloudfront_sets_are_found_from_every_region(
    make_actions: Callable[..., Any], account: AccountClients
) -> None:
    account.client("wafv2").create_ip_set(
        Name="edge", Scope="CLOUDFRONT", IPAddressVersion="IPV6", Addresses=[]
    )
    actions = make_actions(region="eu-central-1")
    plan = await actions.plan(WAF, ip_set="edge", scope="CLOUDFRONT", addresses=["2001:db8::/32"])
    await actions.apply(plan)
    assert (await actions.verify(plan)).verified
    assert (await actions.undo(plan)).restored


async def test_missing_things_have_their_error(actions: Any, account: AccountClients) -> None:
    with pytest.raises(ApplicationError, match="no network ACL for subnet-00000000"):
        await actions.plan(NACL, subnet_ids=["subnet-00000000"], addresses=BAD)
    with pytest.raises(ApplicationError, match="NotFound") as caught:
        await actions.plan(REVOKE, group_id="sg-00000000")
    assert caught.value.type == "TargetGone"
