"""Cases of what blocks at the network: WAF, network ACLs, rules of security groups."""

from __future__ import annotations

from typing import Any

from case import Arranged, World, case

BAD = ["203.0.113.7", "198.51.100.0/24"]
VISIBILITY = {"SampledRequestsEnabled": False, "CloudWatchMetricsEnabled": False, "MetricName": "m"}


@case("aws.waf.block_ips")
def in_a_set_of_a_rule_group(world: World) -> Arranged:
    waf = world.client("wafv2")
    made = waf.create_ip_set(
        Name="bad", Scope="REGIONAL", IPAddressVersion="IPV4", Addresses=["192.0.2.1/32"], Description="kept"
    )["Summary"]
    rule = {
        "Name": "r",
        "Priority": 1,
        "Statement": {"IPSetReferenceStatement": {"ARN": made["ARN"]}},
        "Action": {"Block": {}},
        "VisibilityConfig": VISIBILITY,
    }
    group = waf.create_rule_group(
        Name="group", Scope="REGIONAL", Capacity=10, Rules=[rule], VisibilityConfig=VISIBILITY
    )["Summary"]
    waf.create_web_acl(
        Name="shop",
        Scope="REGIONAL",
        DefaultAction={"Allow": {}},
        Rules=[
            {
                "Name": "by-group",
                "Priority": 1,
                "Statement": {"RuleGroupReferenceStatement": {"ARN": group["ARN"]}},
                "OverrideAction": {"None": {}},
                "VisibilityConfig": VISIBILITY,
            }
        ],
        VisibilityConfig=VISIBILITY,
    )

    def snapshot() -> Any:
        found = waf.get_ip_set(Name="bad", Scope="REGIONAL", Id=made["Id"])["IPSet"]
        return sorted(found["Addresses"]), found["Description"]

    def drift() -> None:
        token = waf.get_ip_set(Name="bad", Scope="REGIONAL", Id=made["Id"])["LockToken"]
        waf.update_ip_set(
            Name="bad", Scope="REGIONAL", Id=made["Id"], Addresses=["203.0.113.7/32"], LockToken=token
        )

    return Arranged({"ip_set": "bad", "addresses": BAD}, snapshot, drift)


@case("aws.ec2.nacl_deny")
def in_one_of_two_subnets(world: World) -> Arranged:
    ec2 = world.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.1.0/24")["Subnet"]["SubnetId"]
    ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.2.0/24")

    def acls() -> Any:
        return ec2.describe_network_acls(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["NetworkAcls"]

    def snapshot() -> Any:
        return sorted(
            (e["Egress"], e["RuleNumber"], e["RuleAction"], e["Protocol"], e.get("CidrBlock", ""))
            for acl in acls()
            for e in acl["Entries"]
        )

    def drift() -> None:
        ec2.replace_network_acl_entry(
            NetworkAclId=acls()[0]["NetworkAclId"],
            RuleNumber=99,
            Protocol="-1",
            RuleAction="allow",
            Egress=False,
            CidrBlock="192.0.2.0/24",
        )

    return Arranged({"subnet_ids": [subnet], "addresses": BAD}, snapshot, drift)


@case("aws.ec2.revoke_ingress", unseen={"ec2:CreateTags": "for the tags that a rule is made again with"})
def open_to_the_world_beside_others(world: World) -> Arranged:
    ec2 = world.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    group = ec2.create_security_group(GroupName="web", Description="web", VpcId=vpc)["GroupId"]
    ssh = {
        "IpProtocol": "tcp",
        "FromPort": 22,
        "ToPort": 22,
        "IpRanges": [
            {"CidrIp": "0.0.0.0/0", "Description": "opened in haste"},
            {"CidrIp": "192.0.2.0/24", "Description": "office"},
        ],
        "Ipv6Ranges": [{"CidrIpv6": "::/0", "Description": "six"}],
    }
    made = ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[ssh])["SecurityGroupRules"]
    world_rule = next(r["SecurityGroupRuleId"] for r in made if r.get("CidrIpv4") == "0.0.0.0/0")
    ec2.create_tags(Resources=[world_rule], Tags=[{"Key": "owner", "Value": "web"}])

    def snapshot() -> Any:
        rules = ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [group]}])
        return sorted(
            (
                r["IsEgress"],
                r["IpProtocol"],
                r.get("FromPort") or 0,
                r.get("CidrIpv4", "") + r.get("CidrIpv6", ""),
                r.get("Description", ""),
                sorted((t["Key"], t["Value"]) for t in r.get("Tags", [])),
            )
            for r in rules["SecurityGroupRules"]
        )

    def drift() -> None:
        again = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
        ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[again])

    return Arranged({"group_id": group}, snapshot, drift)
