"""Cases of DNS Firewall, Network Firewall and query logs, on replies of our own making."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from case import Arranged, World, case
from scripted import ScriptedError

LIST = "rslvr-fdl-0123456789abcdef"
LIST_ARN = f"arn:aws:route53resolver:us-east-1:123456789012:firewall-domain-list/{LIST}"
GROUP_ID = "00000000-0000-4000-8000-000000000001"
GROUP_ARN = "arn:aws:network-firewall:us-east-1:123456789012:stateful-rulegroup/incident-response"


def dns_firewall(
    world: World, *, action: str = "BLOCK", vpcs: tuple[str, ...] = ("vpc-1",), tags: Any = ()
) -> list[str]:
    """A domain list of ours beside one of AWS's, and a rule by it. Names have their last dot, as the service has."""
    service = world.script("route53resolver")
    kept = ["kept.example."]

    @service.operation("ListFirewallDomainLists")
    def lists(params: dict[str, Any]) -> dict[str, Any]:
        managed = {
            "Id": "rslvr-fdl-aws",
            "Name": "blocked",
            "ManagedOwnerName": "Route 53 Resolver DNS Firewall",
        }
        return {"FirewallDomainLists": [managed, {"Id": LIST, "Arn": LIST_ARN, "Name": "blocked"}]}

    @service.operation("GetFirewallDomainList")
    def get(params: dict[str, Any]) -> dict[str, Any]:
        assert params["FirewallDomainListId"] == LIST
        return {
            "FirewallDomainList": {
                "Id": LIST,
                "Arn": LIST_ARN,
                "Name": "blocked",
                "DomainCount": len(kept),
                "Status": "COMPLETE",
            }
        }

    @service.operation("ListFirewallDomains")
    def domains(params: dict[str, Any]) -> dict[str, Any]:
        return {"Domains": list(kept)}

    @service.operation("UpdateFirewallDomains")
    def update(params: dict[str, Any]) -> dict[str, Any]:
        given = [f"{d.rstrip('.')}." for d in params["Domains"]]
        if params["Operation"] == "ADD":
            kept.extend(d for d in given if d not in kept)
        else:
            assert params["Operation"] == "REMOVE"
            kept[:] = [d for d in kept if d not in given]
        return {"Id": LIST, "Name": "blocked", "Status": "COMPLETE"}

    @service.operation("ListFirewallRuleGroups")
    def groups(params: dict[str, Any]) -> dict[str, Any]:
        return {"FirewallRuleGroups": [{"Id": "rslvr-frg-1", "Name": "egress"}]}

    @service.operation("ListFirewallRules")
    def rules(params: dict[str, Any]) -> dict[str, Any]:
        rule = {"FirewallDomainListId": LIST, "Name": "deny", "Priority": 1, "Action": action}
        return {"FirewallRules": [rule]}

    @service.operation("ListFirewallRuleGroupAssociations")
    def tied(params: dict[str, Any]) -> dict[str, Any]:
        return {"FirewallRuleGroupAssociations": [{"Id": v, "VpcId": v} for v in vpcs]}

    @service.operation("ListTagsForResource")
    def tagged(params: dict[str, Any]) -> dict[str, Any]:
        assert params["ResourceArn"] == LIST_ARN
        return {"Tags": list(tags)}

    return kept


@case("aws.dns_firewall.block_domains")
def with_subdomains(world: World) -> Arranged:
    kept = dns_firewall(world)
    return Arranged(
        params={
            "domain_list": "blocked",
            "domains": ["Evil.example.", "bad.test"],
            "never_block": ["shop.example"],
        },
        snapshot=lambda: sorted(kept),
        drift=lambda: kept.remove("bad.test."),
    )


@case("aws.dns_firewall.block_domains")
def one_is_there_already(world: World) -> Arranged:
    kept = dns_firewall(world)
    return Arranged(
        params={"domain_list": "blocked", "domains": ["kept.example", "bad.test"], "subdomains": False},
        snapshot=lambda: sorted(kept),
        drift=lambda: kept.remove("kept.example."),
    )


def network_firewall(
    world: World, *, kind: str = "DENYLIST", policies: int = 1, tags: Any = (), busy: int = 0
) -> dict[str, Any]:
    """A stateful rule group with a domain list and a variable; a stale token is refused.

    Args:
        busy: How often somebody else writes it just before an update.
    """
    service = world.script("network-firewall")
    group: dict[str, Any] = {
        "RuleVariables": {"IPSets": {"BLOCKED": {"Definition": ["192.0.2.1/32"]}}},
        "RulesSource": {
            "RulesSourceList": {
                "Targets": [".kept.example"],
                "TargetTypes": ["TLS_SNI", "HTTP_HOST"],
                "GeneratedRulesType": kind,
            }
        },
    }
    kept: dict[str, Any] = {"group": group, "token": 1, "busy": busy}

    @service.operation("DescribeRuleGroup")
    def describe(params: dict[str, Any]) -> dict[str, Any]:
        if params["RuleGroupName"] != "incident-response":
            raise ScriptedError("ResourceNotFoundException")
        return {
            "UpdateToken": f"token-{kept['token']}",
            "RuleGroup": deepcopy(kept["group"]),
            "RuleGroupResponse": {
                "RuleGroupArn": GROUP_ARN,
                "RuleGroupName": "incident-response",
                "RuleGroupId": GROUP_ID,
                "Description": "denied by responders",
                "Type": "STATEFUL",
                "RuleGroupStatus": "ACTIVE",
                "NumberOfAssociations": policies,
                **({"Tags": list(tags)} if tags else {}),
            },
        }

    @service.operation("UpdateRuleGroup")
    def update(params: dict[str, Any]) -> dict[str, Any]:
        if kept["busy"]:
            kept["busy"] -= 1
            kept["token"] += 1
        if params["UpdateToken"] != f"token-{kept['token']}":
            raise ScriptedError("InvalidTokenException")
        assert params["Description"] == "denied by responders", "an update resets what it leaves out"
        kept["group"], kept["token"] = deepcopy(params["RuleGroup"]), kept["token"] + 1
        return {
            "UpdateToken": f"token-{kept['token']}",
            "RuleGroupResponse": {
                "RuleGroupArn": GROUP_ARN,
                "RuleGroupName": "incident-response",
                "RuleGroupId": GROUP_ID,
            },
        }

    return kept


@case("aws.network_firewall.block")
def names_and_addresses(world: World) -> Arranged:
    kept = network_firewall(world)

    def drift() -> None:
        kept["group"]["RulesSource"]["RulesSourceList"]["Targets"].remove(".evil.example")

    return Arranged(
        params={
            "rule_group": "incident-response",
            "domains": ["evil.example"],
            "addresses": ["203.0.113.7", "192.0.2.1"],
            "ip_set": "BLOCKED",
        },
        snapshot=lambda: deepcopy(kept["group"]),
        drift=drift,
    )


def query_logs(world: World, *, leaving: int = 0) -> dict[str, Any]:
    """Resolver query logging.

    Args:
        leaving: How often a VPC is still listed after it was taken away.
    """
    service = world.script("route53resolver")
    kept: dict[str, Any] = {"configs": {}, "tied": {}, "leaving": {}}

    @service.operation("ListResolverQueryLogConfigs")
    def configs(params: dict[str, Any]) -> dict[str, Any]:
        return {"ResolverQueryLogConfigs": list(kept["configs"].values())}

    @service.operation("CreateResolverQueryLogConfig")
    def create(params: dict[str, Any]) -> dict[str, Any]:
        made = {
            "Id": f"rqlc-{len(kept['configs'])}",
            "Name": params["Name"],
            "DestinationArn": params["DestinationArn"],
            "Status": "CREATED",
        }
        kept["configs"][made["Id"]] = made
        return {"ResolverQueryLogConfig": made}

    @service.operation("DeleteResolverQueryLogConfig")
    def delete(params: dict[str, Any]) -> dict[str, Any]:
        id_ = params["ResolverQueryLogConfigId"]
        if any(config == id_ for config, _ in (*kept["tied"], *kept["leaving"])):
            raise ScriptedError("InvalidRequestException", "it is associated with a VPC")
        return {"ResolverQueryLogConfig": kept["configs"].pop(id_)}

    @service.operation("AssociateResolverQueryLogConfig")
    def tie(params: dict[str, Any]) -> dict[str, Any]:
        key = (params["ResolverQueryLogConfigId"], params["ResourceId"])
        kept["tied"][key] = {
            "Id": "rqlca-1",
            "ResolverQueryLogConfigId": key[0],
            "ResourceId": key[1],
            "Status": "ACTIVE",
        }
        return {"ResolverQueryLogConfigAssociation": kept["tied"][key]}

    @service.operation("DisassociateResolverQueryLogConfig")
    def untie(params: dict[str, Any]) -> dict[str, Any]:
        key = (params["ResolverQueryLogConfigId"], params["ResourceId"])
        gone = {**kept["tied"].pop(key), "Status": "DELETING"}
        if leaving:
            kept["leaving"][key] = [leaving, gone]
        return {"ResolverQueryLogConfigAssociation": gone}

    @service.operation("ListResolverQueryLogConfigAssociations")
    def tied(params: dict[str, Any]) -> dict[str, Any]:
        (wanted,) = params["Filters"]
        found = [a for (_, vpc), a in kept["tied"].items() if vpc in wanted["Values"]]
        for key in list(kept["leaving"]):
            kept["leaving"][key][0] -= 1
            found.append(kept["leaving"][key][1])
            if kept["leaving"][key][0] <= 0:
                del kept["leaving"][key]
        return {"ResolverQueryLogConfigAssociations": found}

    return kept


@case(
    "aws.route53.enable_query_logs",
    unseen={
        "route53resolver:TagResource": "for the tags that the configuration is made with",
        "logs:CreateLogDelivery": "asked for by Resolver when it is made",
        "logs:DeleteLogDelivery": "asked for by Resolver when it is deleted",
        "logs:ListLogDeliveries": "asked for by Resolver when it is made",
    },
)
def of_a_vpc_without(world: World) -> Arranged:
    kept = query_logs(world)
    vpc = world.client("ec2").create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]

    def snapshot() -> Any:
        return [c["DestinationArn"] for c in kept["configs"].values()], len(kept["tied"])

    def drift() -> None:
        for config in kept["configs"].values():
            config["DestinationArn"] = "arn:aws:s3:::mallory"

    return Arranged({"vpc_id": vpc, "destination": "arn:aws:s3:::dns"}, snapshot, drift)
