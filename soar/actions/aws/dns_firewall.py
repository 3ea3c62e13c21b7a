"""Block names where VPCs resolve them: Route 53 Resolver DNS Firewall."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from botocore.exceptions import ClientError
from pydantic import Field, field_validator

from soar.actions.aws.access import aws_errors, client
from soar.actions.aws.setting import Found, Said, Setting
from soar.actions.contract import ActionContext, Params, StateBefore, action
from soar.actions.errors import Refused, TargetGone, Unavailable
from soar.model.change import Target
from soar.model.terms import Phase, Risk

__all__ = ["BlockDomains", "DomainParams", "domain", "guarded_domains"]

LABEL = r"(?!-)[a-z0-9_-]{1,63}(?<!-)"
NAME = re.compile(rf"^(\*\.)?({LABEL}\.)*{LABEL}$")
REGISTRIES = frozenset(
    {"co.uk", "org.uk", "ac.uk", "gov.uk", "com.au", "net.au", "co.jp", "co.nz", "co.za", "co.in", "co.kr"}
    | {"com.br", "com.cn", "com.mx", "com.tr", "com.sg", "github.io", "cloudfront.net", "azurewebsites.net"}
)
"""Names below which strangers have their own: blocking all of one hits everybody there."""
AWS = ("amazonaws.com", "amazonaws.com.cn", "api.aws", "aws.amazon.com")
"""Where AWS's services answer: blocking all of it stops whatever uses them, this worker for one."""


class DomainParams(Params):
    """Which names are blocked, and which never may be.

    Args:
        domains: Names as they are looked up, `evil.example`; with `*.` in front, all below it.
        never_block: Your own names and those that you depend on: one that is, holds or lies below one is refused.
    """

    domains: tuple[str, ...] = Field(default=(), max_length=100)
    never_block: tuple[str, ...] = ()

    @field_validator("domains", "never_block")
    @classmethod
    def _normal(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(sorted({domain(text) for text in given}))


def domain(text: str) -> str:
    """A name in the one form that names are compared in: lower case, ASCII, without the last dot.

    Raises:
        ValueError: It is no domain name.
    """
    name = text.strip().rstrip(".").lower()
    if not name.isascii():
        try:
            name = name.encode("idna").decode()
        except UnicodeError:
            raise ValueError(f"{text[:80]!r} is no domain name") from None
    if len(name) > 253 or not NAME.match(name) or re.fullmatch(r"[0-9.]+", name):
        raise ValueError(f"{text[:80]!r} is no domain name; write it like `evil.example` or `*.evil.example`")
    return name


def guarded_domains(domains: Iterable[str], never_block: Iterable[str]) -> tuple[str, ...]:
    """The names to block, sorted.

    Raises:
        Refused: One is far too wide, or touches what is never blocked.
    """
    kept = [name.removeprefix("*.") for name in never_block]
    for name in domains:
        bare = name.removeprefix("*.")
        if "." not in bare or (bare in REGISTRIES and name != bare):
            raise Refused(
                f"{name} is far too wide to block: strangers have their names below it",
                hint="name the domain itself, like `evil.example`",
            )
        if bare in AWS:
            raise Refused(
                f"{name} is where AWS's services answer: nothing in the VPCs would work any more",
                hint="name the one host, like a bucket's",
            )
        own = next((k for k in kept if _touch(name, k)), None)
        if own is not None:
            raise Refused(
                f"{name} touches {own}, which is never blocked",
                hint="check whether the finding is about your own; take it out of `never_block` if not",
            )
    return tuple(sorted(set(domains)))


def _touch(name: str, kept: str) -> bool:
    bare = name.removeprefix("*.")
    return bare == kept or bare.endswith(f".{kept}") or (name != bare and kept.endswith(f".{bare}"))


class BlockDomainsParams(DomainParams):
    """Which list takes the names.

    Args:
        subdomains: Block all below each name as well.
    """

    domains: tuple[str, ...] = Field(min_length=1, max_length=100)
    domain_list: str = Field(
        pattern=r"^[a-zA-Z0-9_ -]{1,64}$", description="the name of a domain list that a rule blocks by"
    )
    subdomains: bool = True

    @property
    def names(self) -> tuple[str, ...]:
        """All that is put into the list."""
        below = {d if d.startswith("*.") else f"*.{d}" for d in self.domains} if self.subdomains else set()
        return tuple(sorted({*self.domains, *below}))


class ListedBefore(StateBefore):
    """Which of the names are in the list."""

    listed: tuple[str, ...] = Field(title="names in the list")


@action(
    "aws.dns_firewall.block_domains",
    risk=Risk.REVERSIBLE,
    phase=Phase.CONTAINMENT,
    permissions=(
        "route53resolver:ListFirewallDomainLists",
        "route53resolver:GetFirewallDomainList",
        "route53resolver:ListFirewallDomains",
        "route53resolver:UpdateFirewallDomains",
        "route53resolver:ListFirewallRuleGroups",
        "route53resolver:ListFirewallRules",
        "route53resolver:ListFirewallRuleGroupAssociations",
        "route53resolver:ListTagsForResource",
    ),
    d3fend="D3-DNSDL",
    react="RA3103",
    openc2="deny domain_name",
)
class BlockDomains(Setting[BlockDomainsParams, ListedBefore]):
    """Add names to a domain list of DNS Firewall, so that VPCs do not resolve them.

    The list is one of yours that a rule blocks by. All that others have put into it stays.

    Pre-condition: the list exists, is not managed by AWS, and is not tagged `soar:protected`. Names that touch
    `never_block`, top-level domains, registries and AWS's own names are refused. All in the list already: nothing is
    done.

    Verified by reading the list: each name is in it, and its last update is through.

    Undone by taking exactly the added names out again. It refuses if one of them is not in the list any more.

    Pitfalls: a list that no rule blocks by, or whose rule group is tied to no VPC, blocks nothing: the plan warns of
    it. Only what asks the VPC's own resolver is stopped: not addresses, other resolvers, or DNS over HTTPS. Answers
    that hosts keep stay good until they expire. An ALLOW rule of a lower priority number wins.

    Shown on replies of our own making: the simulated account has no DNS Firewall.

    Example::

        - id: no_resolving
          name: Do not resolve the attacker's names
          do: aws.dns_firewall.block_domains
          with:
            domain_list: blocked-by-incident-response
            domains: [evil.example]
            never_block: [shop.example]
    """

    method = "route53resolver:ListFirewallDomains"

    def look(self, ctx: ActionContext, params: BlockDomainsParams) -> Found[ListedBefore]:
        raw = _list(ctx, params.domain_list)
        listed = _domains(ctx, raw["Id"])
        with aws_errors("route53resolver:ListTagsForResource"):
            pages = (
                client(ctx, "route53resolver")
                .get_paginator("list_tags_for_resource")
                .paginate(ResourceArn=raw["Arn"])
            )
            tags = {t["Key"]: t["Value"] for page in pages for t in page.get("Tags", [])}
        parts = raw["Arn"].split(":")
        status = raw.get("Status", "COMPLETE")
        return Found(
            target=Target(
                uid=raw["Arn"],
                type="aws.route53resolver.domain_list",
                name=params.domain_list,
                account=parts[4],
                region=parts[3],
                tags=tags,
            ),
            state=ListedBefore(listed=tuple(n for n in params.names if n in listed)),
            facts=_users(ctx, raw["Id"]),
            pending="" if status == "COMPLETE" else f"the list is {status}: {raw.get('StatusMessage', '')}",
        )

    def wanted(self, params: BlockDomainsParams, state: ListedBefore) -> ListedBefore:
        return ListedBefore(listed=params.names)

    def guard(self, ctx: ActionContext, params: BlockDomainsParams, found: Found[ListedBefore]) -> None:
        guarded_domains(params.domains, params.never_block)

    def say(self, params: BlockDomainsParams, found: Found[ListedBefore], then: ListedBefore) -> Said:
        new = [n for n in then.listed if n not in found.state.listed]
        blocks = any(fact.startswith("blocks in") for fact in found.facts)
        return Said(
            summary=f"Block {', '.join(new)[:300]} by domain list {params.domain_list}",
            hits="Hosts in the VPCs can no longer resolve these names.",
            warnings=()
            if blocks
            else (
                f"No rule blocks by list {params.domain_list} in any VPC: it blocks nothing until one does.",
            ),
            undo="Exactly the names that were added are taken out of the list.",
        )

    def write(
        self, ctx: ActionContext, params: BlockDomainsParams, now: ListedBefore, then: ListedBefore
    ) -> None:
        list_id = _list(ctx, params.domain_list)["Id"]
        for operation, names in (
            ("REMOVE", [n for n in now.listed if n not in then.listed]),
            ("ADD", [n for n in then.listed if n not in now.listed]),
        ):
            if not names:
                continue
            with aws_errors("route53resolver:UpdateFirewallDomains"):
                try:
                    client(ctx, "route53resolver").update_firewall_domains(
                        FirewallDomainListId=list_id, Operation=operation, Domains=names
                    )
                except ClientError as error:
                    if error.response["Error"]["Code"] != "ConflictException":
                        raise
                    raise Unavailable(
                        f"domain list {params.domain_list} is busy with an earlier update",
                        hint="it is tried again",
                    ) from error


def _pages(ctx: ActionContext, operation: str, key: str, **arguments: Any) -> list[dict[str, Any]]:
    """All entries of a list. Use it inside `aws_errors`."""
    pages = client(ctx, "route53resolver").get_paginator(operation).paginate(**arguments)
    return [entry for page in pages for entry in page.get(key, [])]


def _list(ctx: ActionContext, name: str) -> dict[str, Any]:
    with aws_errors("route53resolver:ListFirewallDomainLists"):
        lists = _pages(ctx, "list_firewall_domain_lists", "FirewallDomainLists")
    named = [entry for entry in lists if entry["Name"] == name and not entry.get("ManagedOwnerName")]
    if not named:
        raise TargetGone(
            f"there is no domain list {name} of your own",
            hint="check the name and the region; lists that AWS manages cannot be changed",
        )
    with aws_errors("route53resolver:GetFirewallDomainList"):
        found: dict[str, Any] = client(ctx, "route53resolver").get_firewall_domain_list(
            FirewallDomainListId=named[0]["Id"]
        )["FirewallDomainList"]
    return found


def _domains(ctx: ActionContext, list_id: str) -> set[str]:
    # The service writes names with their last dot.
    with aws_errors("route53resolver:ListFirewallDomains"):
        pages = (
            client(ctx, "route53resolver")
            .get_paginator("list_firewall_domains")
            .paginate(FirewallDomainListId=list_id)
        )
        return {str(name).rstrip(".").lower() for page in pages for name in page.get("Domains", [])}


def _users(ctx: ActionContext, list_id: str) -> tuple[str, ...]:
    """The rules that use a list, and where, in words."""
    with aws_errors("route53resolver:ListFirewallRuleGroups"):
        groups = _pages(ctx, "list_firewall_rule_groups", "FirewallRuleGroups")
    facts = []
    for group in groups:
        with aws_errors("route53resolver:ListFirewallRules"):
            rules = _pages(ctx, "list_firewall_rules", "FirewallRules", FirewallRuleGroupId=group["Id"])
        using = [r for r in rules if r.get("FirewallDomainListId") == list_id]
        if not using:
            continue
        with aws_errors("route53resolver:ListFirewallRuleGroupAssociations"):
            tied = _pages(
                ctx,
                "list_firewall_rule_group_associations",
                "FirewallRuleGroupAssociations",
                FirewallRuleGroupId=group["Id"],
            )
        where = ", ".join(sorted(a["VpcId"] for a in tied)[:12])
        for rule in using:
            verb = "blocks" if rule.get("Action") == "BLOCK" else f"does {rule.get('Action', 'nothing')}"
            facts.append(
                f"{verb} in {where} by rule {rule.get('Name', '')} of {group.get('Name', '')}"
                if where
                else f"rule {rule.get('Name', '')} of {group.get('Name', '')} is tied to no VPC"
            )
    return tuple(sorted(facts)[:12])
