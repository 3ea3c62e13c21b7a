"""Block names and addresses at AWS Network Firewall."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from botocore.exceptions import ClientError
from pydantic import Field, field_validator, model_validator

from soar.actions.aws.access import aws_errors, client
from soar.actions.aws.addresses import guarded, network
from soar.actions.aws.dns_firewall import DomainParams, guarded_domains
from soar.actions.aws.setting import Found, Said, Setting
from soar.actions.contract import ActionContext, StateBefore, action
from soar.actions.errors import BadInput, Refused, Unavailable
from soar.model.change import Target
from soar.model.terms import Phase, Risk

__all__ = ["BlockAtFirewall"]

TRIES = 5
"""How often a group is read and written anew when somebody else wrote it in between."""
NETS = frozenset({"HOME_NET", "EXTERNAL_NET"})
"""Variables that say where inside and outside are: an address in them is not blocked, it is misread."""


class FirewallParams(DomainParams):
    """What is blocked, and which rule group takes it.

    Args:
        addresses: Addresses and ranges; the group needs a rule that blocks by `ip_set`.
        never_block_addresses: Ranges of your own, or that you depend on.
    """

    rule_group: str = Field(pattern=r"^[a-zA-Z0-9-]{1,128}$", description="the name of a stateful rule group")
    addresses: tuple[str, ...] = Field(default=(), max_length=100)
    ip_set: str = Field(
        default="",
        pattern=r"^([A-Za-z][A-Za-z0-9_]{0,31})?$",
        description="the IP set variable of the group that takes the addresses",
    )
    never_block_addresses: tuple[str, ...] = ()

    @field_validator("addresses", "never_block_addresses")
    @classmethod
    def _networks(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(sorted({str(network(text)) for text in given}))

    @model_validator(mode="after")
    def _some(self) -> FirewallParams:
        if not self.domains and not self.addresses:
            raise ValueError("name `domains`, `addresses`, or both")
        if self.addresses and not self.ip_set:
            raise ValueError(
                "`addresses` need `ip_set`: the variable of the rule group that a rule blocks by"
            )
        if self.ip_set in NETS:
            raise ValueError(f"{self.ip_set} says what is inside and outside; nothing is blocked by it")
        return self

    @property
    def targets(self) -> tuple[str, ...]:
        """The names as a rule group has them: `.evil.example` is the name and all below it."""
        return tuple(sorted({"." + d.removeprefix("*.") for d in self.domains}))


class BlockedBefore(StateBefore):
    """Which of them the group has."""

    domains: tuple[str, ...] = Field(title="names in the rule group")
    addresses: tuple[str, ...] = Field(title="addresses in the rule group")


@action(
    "aws.network_firewall.block",
    risk=Risk.REVERSIBLE,
    phase=Phase.CONTAINMENT,
    permissions=("network-firewall:DescribeRuleGroup", "network-firewall:UpdateRuleGroup"),
    verify_timeout=300,
    d3fend="D3-NTF",
    openc2="deny ipv4_net",
)
class BlockAtFirewall(Setting[FirewallParams, BlockedBefore]):
    """Add names and addresses to a stateful rule group of Network Firewall.

    Names go into a group that is a list of denied domains; addresses go into one of its IP set variables, by which a
    rule of the group drops. All else in the group stays: it is read with its update token, changed and written with
    that token, and read anew if somebody else was faster.

    Pre-condition: the group exists, is stateful, is not tagged `soar:protected`, denies (a list that allows is
    refused) and has the variable. Names and ranges that touch what is never blocked, and very wide ones, are refused.
    All in the group already: nothing is done.

    Verified by reading the group: each is in it, and its last update is through.

    Undone by taking out exactly what was added. It refuses if one of them is not in the group any more.

    Pitfalls: a group that no firewall policy uses blocks nothing: the plan warns of it. Names are read from HTTP's
    `Host` and TLS's server name: encrypted client hello, other protocols and bare addresses pass. Flows that are open
    may go on until they idle out. A variable that no rule uses blocks nothing.

    Shown on replies of our own making: the simulated account has no rule groups of Network Firewall.

    Example::

        - id: block
          name: Block the attacker at the firewall
          do: aws.network_firewall.block
          with:
            rule_group: incident-response
            domains: [evil.example]
            addresses: [203.0.113.7]
            ip_set: BLOCKED
    """

    method = "network-firewall:DescribeRuleGroup"

    def look(self, ctx: ActionContext, params: FirewallParams) -> Found[BlockedBefore]:
        reply = _read(ctx, params.rule_group)
        about, group = reply["RuleGroupResponse"], reply["RuleGroup"]
        arn = str(about["RuleGroupArn"])
        domains, addresses = _listed(group, params)
        status = about.get("RuleGroupStatus", "ACTIVE")
        uses = int(about.get("NumberOfAssociations", 0))
        return Found(
            target=Target(
                uid=arn,
                type="aws.network_firewall.rule_group",
                name=params.rule_group,
                account=arn.split(":")[4],
                region=arn.split(":")[3],
                tags={t["Key"]: t["Value"] for t in about.get("Tags", [])},
            ),
            state=BlockedBefore(
                domains=tuple(t for t in params.targets if t in domains),
                addresses=tuple(a for a in params.addresses if a in addresses),
            ),
            facts=(f"{uses} firewall polic{'y uses' if uses == 1 else 'ies use'} the group",),
            pending="" if status == "ACTIVE" else f"the group is {status}",
        )

    def wanted(self, params: FirewallParams, state: BlockedBefore) -> BlockedBefore:
        return BlockedBefore(domains=params.targets, addresses=params.addresses)

    def guard(self, ctx: ActionContext, params: FirewallParams, found: Found[BlockedBefore]) -> None:
        guarded_domains(params.domains, params.never_block)
        if params.addresses:
            guarded(params.addresses, params.never_block_addresses)

    def say(self, params: FirewallParams, found: Found[BlockedBefore], then: BlockedBefore) -> Said:
        have = {*found.state.domains, *found.state.addresses}
        new = [n for n in (*then.domains, *then.addresses) if n not in have]
        return Said(
            summary=f"Block {', '.join(new)[:300]} by rule group {params.rule_group}",
            hits="Hosts behind the firewall no longer reach them.",
            warnings=(
                f"No firewall policy uses rule group {params.rule_group}: it blocks nothing until one does.",
            )
            if found.facts[0].startswith("0 ")
            else (),
            undo="Exactly what was added is taken out of the group.",
        )

    def write(
        self, ctx: ActionContext, params: FirewallParams, now: BlockedBefore, then: BlockedBefore
    ) -> None:
        gone = {*now.domains, *now.addresses} - {*then.domains, *then.addresses}
        for _ in range(TRIES):
            reply = _read(ctx, params.rule_group)
            wanted = _changed(reply["RuleGroup"], params, then, gone)
            about = reply["RuleGroupResponse"]
            # What is left out of an update is reset by it.
            kept = {
                k: about[k]
                for k in ("Description", "EncryptionConfiguration", "SourceMetadata")
                if about.get(k)
            }
            with aws_errors("network-firewall:UpdateRuleGroup"):
                try:
                    client(ctx, "network-firewall").update_rule_group(
                        UpdateToken=reply["UpdateToken"],
                        RuleGroupName=params.rule_group,
                        Type="STATEFUL",
                        RuleGroup=wanted,
                        **kept,
                    )
                except ClientError as error:
                    if error.response["Error"]["Code"] != "InvalidTokenException":
                        raise
                else:
                    return
        raise Unavailable(
            f"rule group {params.rule_group} was written by somebody else {TRIES} times in a row",
            hint="see what writes it all the time; the step tries again",
        )


def _read(ctx: ActionContext, name: str) -> dict[str, Any]:
    with aws_errors("network-firewall:DescribeRuleGroup"):
        found: dict[str, Any] = client(ctx, "network-firewall").describe_rule_group(
            RuleGroupName=name, Type="STATEFUL"
        )
    return found


def _listed(group: dict[str, Any], params: FirewallParams) -> tuple[set[str], set[str]]:
    """The names and addresses that the group has.

    Raises:
        BadInput: The group has no place for what is to be blocked.
        Refused: It is a list of what is allowed.
    """
    domains: set[str] = set()
    if params.domains:
        source = group["RulesSource"].get("RulesSourceList")
        if source is None:
            raise BadInput(
                f"rule group {params.rule_group} is no list of domains",
                hint="name a group whose rules are a domain list that denies",
            )
        if source["GeneratedRulesType"] not in ("DENYLIST", "REJECTLIST"):
            raise Refused(
                f"rule group {params.rule_group} is a list of what is allowed: a name in it would be let through",
                hint="name a group whose domain list denies",
            )
        domains = set(source["Targets"])
    addresses: set[str] = set()
    if params.addresses:
        sets = (group.get("RuleVariables") or {}).get("IPSets") or {}
        if params.ip_set not in sets:
            raise BadInput(
                f"rule group {params.rule_group} has no IP set variable {params.ip_set}",
                hint=f"it has: {', '.join(sorted(sets)) or 'none'}",
            )
        addresses = {_plain(a) for a in sets[params.ip_set].get("Definition", [])}
    return domains, addresses


def _plain(text: str) -> str:
    """An entry as addresses are compared; what is none (a variable, a negation) stays as it is."""
    try:
        return str(network(text))
    except ValueError:
        return text


def _changed(
    group: dict[str, Any], params: FirewallParams, then: BlockedBefore, gone: set[str]
) -> dict[str, Any]:
    """The group with what is wanted added and what is gone taken out; all else as it is."""
    wanted = deepcopy(group)
    if params.domains:
        targets = wanted["RulesSource"]["RulesSourceList"]
        kept = [t for t in targets["Targets"] if t not in gone]
        targets["Targets"] = kept + [t for t in then.domains if t not in kept]
    if params.addresses:
        variable = wanted["RuleVariables"]["IPSets"][params.ip_set]
        here = [a for a in variable.get("Definition", []) if _plain(a) not in gone]
        have = {_plain(a) for a in here}
        variable["Definition"] = here + [a for a in then.addresses if a not in have]
    return wanted
