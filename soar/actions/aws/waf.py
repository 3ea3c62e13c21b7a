"""Block addresses in front of applications: AWS WAF's IP sets."""

from __future__ import annotations

import json
from typing import Any, Literal

from botocore.exceptions import ClientError
from pydantic import Field

from soar.actions.aws.access import AwsAccess, aws_errors
from soar.actions.aws.addresses import BlockParams, Network, contains, guarded, network
from soar.actions.contract import Action, ActionContext, Draft, Planned, StateBefore, action
from soar.actions.errors import BadInput, Refused, TargetGone, Unavailable
from soar.model.change import BlastRadius, Change, Result, Target, Verification
from soar.model.terms import Phase, Risk

__all__ = ["MOST", "AddedToSet", "BlockIps", "BlockIpsParams"]

TRIES = 5
"""How often a set is read and written anew when somebody else wrote it in between."""
MOST = 10_000
"""Addresses that one IP set holds (AWS WAF quotas)."""


class BlockIpsParams(BlockParams):
    """Which IP set takes the addresses.

    Args:
        ip_set: The name of the set.
        ip_set_id: Its id; needed only where the name alone is not known to be unique.
        scope: `CLOUDFRONT` sets live in us-east-1 whatever the step's region is.
    """

    ip_set: str = Field(pattern=r"^[\w-]{1,128}$")
    ip_set_id: str = ""
    scope: Literal["REGIONAL", "CLOUDFRONT"] = "REGIONAL"


class AddedToSet(StateBefore):
    """The set, and the addresses that were not in it: what undo takes out again."""

    ip_set_id: str
    added: tuple[str, ...]


@action(
    "aws.waf.block_ips",
    risk=Risk.REVERSIBLE,
    phase=Phase.CONTAINMENT,
    permissions=(
        "wafv2:ListIPSets",
        "wafv2:GetIPSet",
        "wafv2:UpdateIPSet",
        "wafv2:ListWebACLs",
        "wafv2:GetWebACL",
        "wafv2:ListRuleGroups",
        "wafv2:GetRuleGroup",
    ),
    d3fend="D3-ITF",
    react="RA3101",
    openc2="deny ipv4_net",
)
class BlockIps(Action[BlockIpsParams, AddedToSet]):
    """Add addresses to an IP set of AWS WAF.

    The set is one that a web ACL blocks by. All that others have put into it stays: it is read with its lock token,
    our addresses are added, and it is written with that token; if somebody else wrote it in between, this is done
    again from the start.

    Pre-condition: the set exists, is of the addresses' version (IPv4 or IPv6) and has room. Ranges that touch
    `never_block`, private ones, and ones wider than /8 (IPv6: /16) are refused. Addresses that the set has or covers
    already: nothing is done.

    Verified by reading the set: each added address is in it.

    Undone by taking out exactly the addresses that were added. It refuses if one of them is not in the set any more.

    Pitfalls: a set that no rule uses blocks nothing: the plan warns of it. Behind a proxy or a CDN the source is the
    proxy, unless the rule looks at a forwarded header. Changes take up to some minutes to be everywhere. Many people
    may share one address (mobile networks, VPNs): let it expire.

    Example::

        - id: block
          name: Block the source in front of the shop
          do: aws.waf.block_ips
          with:
            ip_set: blocked-by-incident-response
            addresses: [203.0.113.7]
            never_block: [198.51.100.0/24]
    """

    def plan(self, ctx: ActionContext, params: BlockIpsParams) -> Draft[AddedToSet]:
        wanted = guarded(params.addresses, params.never_block)
        summary, now, _ = _read(ctx, params)
        version = 4 if summary["IPAddressVersion"] == "IPV4" else 6
        other = [str(n) for n in wanted if n.version != version]
        if other:
            raise BadInput(
                f"IP set {params.ip_set} holds IPv{version} only, not {', '.join(other)}",
                hint="name a set of the other version for them",
            )
        new = [n for n in wanted if not any(contains(have, n) for have in now)]
        if len(now) + len(new) > MOST:
            raise Refused(
                f"IP set {params.ip_set} has {len(now)} addresses and holds {MOST}",
                hint="take out what is not needed any more, or name another set",
            )
        users = _users(ctx, params.scope, summary["ARN"]) if new else ()
        return Draft(
            summary=(
                f"Block {len(new)} address(es) by IP set {params.ip_set}"
                if new
                else f"IP set {params.ip_set} has all {len(wanted)} address(es) already"
            ),
            targets=(
                Target(
                    uid=summary["ARN"],
                    type="aws.waf.ip_set",
                    name=params.ip_set,
                    account=summary["ARN"].split(":")[4],
                    region=summary["ARN"].split(":")[3],
                ),
            ),
            changes=tuple(
                Change(target=summary["ARN"], field=str(n), before="not in the set", after="in the set")
                for n in new
            ),
            state=AddedToSet(ip_set_id=summary["Id"], added=tuple(map(str, new))),
            blast_radius=BlastRadius(
                summary="Requests from these addresses get what the rules say that use the set.",
                facts=(
                    f"{len(now)} address(es) are in the set and stay",
                    *(f"web ACL {name} uses the set" for name in users),
                ),
            )
            if new
            else BlastRadius(),
            warnings=()
            if users or not new
            else (f"No web ACL uses IP set {params.ip_set}: it blocks nothing until one does.",),
            undo="Exactly the addresses that were added are taken out of the set.",
        )

    def apply(self, ctx: ActionContext, planned: Planned[BlockIpsParams, AddedToSet]) -> Result:
        ours = [network(a) for a in planned.state.added]
        _write(ctx, planned.params, lambda now: [*now, *(n for n in ours if n not in now)])
        return Result(summary=f"{len(ours)} address(es) are in IP set {planned.params.ip_set}")

    def verify(self, ctx: ActionContext, planned: Planned[BlockIpsParams, AddedToSet]) -> Verification:
        _, now, _ = _read(ctx, planned.params)
        missing = [a for a in planned.state.added if network(a) not in now]
        return Verification(
            verified=not missing,
            seen=f"not in the set: {', '.join(missing)}"
            if missing
            else f"{len(planned.state.added)} address(es) are in {planned.params.ip_set}",
            method="wafv2:GetIPSet",
        )

    def undo(self, ctx: ActionContext, planned: Planned[BlockIpsParams, AddedToSet]) -> Result:
        ours = [network(a) for a in planned.state.added]
        _write(ctx, planned.params, lambda now: [n for n in now if n not in ours])
        return Result(summary=f"{len(ours)} address(es) are out of IP set {planned.params.ip_set}")


def _waf(ctx: ActionContext, scope: str) -> Any:
    region = "us-east-1" if scope == "CLOUDFRONT" else ctx.region
    access = ctx.service(AwsAccess)
    return access.client("wafv2", account=ctx.account, region=region, incident=ctx.incident_id)


def _listed(waf: Any, operation: str, key: str, scope: str) -> list[dict[str, Any]]:
    """All entries of a list; WAF says by a marker that there are more."""
    found: list[dict[str, Any]] = []
    marker: dict[str, str] = {}
    while True:
        page = getattr(waf, operation)(Scope=scope, Limit=100, **marker)
        found += page[key]
        if not page.get("NextMarker") or not page[key]:
            return found
        marker = {"NextMarker": page["NextMarker"]}


def _read(ctx: ActionContext, params: BlockIpsParams) -> tuple[dict[str, Any], list[Network], str]:
    """The set, its addresses and its lock token."""
    waf = _waf(ctx, params.scope)
    with aws_errors("wafv2:ListIPSets"):
        named = [
            s
            for s in _listed(waf, "list_ip_sets", "IPSets", params.scope)
            if s["Name"] == params.ip_set and params.ip_set_id in ("", s["Id"])
        ]
    if not named:
        raise TargetGone(
            f"there is no {params.scope} IP set {params.ip_set}",
            hint="check the name, the scope and the region; make a set and a rule that blocks by it",
        )
    with aws_errors("wafv2:GetIPSet"):
        reply = waf.get_ip_set(Name=params.ip_set, Scope=params.scope, Id=named[0]["Id"])
    return reply["IPSet"], [network(a) for a in reply["IPSet"]["Addresses"]], str(reply["LockToken"])


def _write(ctx: ActionContext, params: BlockIpsParams, changed: Any) -> None:
    """Write what `changed` makes of the set's addresses; read again whenever somebody else was faster."""
    waf = _waf(ctx, params.scope)
    for _ in range(TRIES):
        found, now, token = _read(ctx, params)
        wanted = changed(now)
        if wanted == now:
            return
        keep = {"Description": found["Description"]} if found.get("Description") else {}
        with aws_errors("wafv2:UpdateIPSet"):
            try:
                waf.update_ip_set(
                    Name=params.ip_set,
                    Scope=params.scope,
                    Id=found["Id"],
                    Addresses=[str(n) for n in wanted],
                    LockToken=token,
                    **keep,
                )
            except ClientError as error:
                if error.response["Error"]["Code"] != "WAFOptimisticLockException":
                    raise
            else:
                return
    raise Unavailable(
        f"IP set {params.ip_set} was written by somebody else {TRIES} times in a row",
        hint="see what writes it all the time; the step tries again",
    )


def _users(ctx: ActionContext, scope: str, arn: str) -> tuple[str, ...]:
    """The web ACLs that use a set, by themselves or by a rule group."""
    waf = _waf(ctx, scope)
    wanted = {arn}
    with aws_errors("wafv2:ListRuleGroups"):
        groups = _listed(waf, "list_rule_groups", "RuleGroups", scope)
    for group in groups:
        with aws_errors("wafv2:GetRuleGroup"):
            rules = waf.get_rule_group(Name=group["Name"], Id=group["Id"], Scope=scope)["RuleGroup"]
        if arn in json.dumps(rules.get("Rules", []), default=str):
            wanted.add(group["ARN"])
    with aws_errors("wafv2:ListWebACLs"):
        acls = _listed(waf, "list_web_acls", "WebACLs", scope)
    found = []
    for acl in acls:
        with aws_errors("wafv2:GetWebACL"):
            rules = waf.get_web_acl(Name=acl["Name"], Id=acl["Id"], Scope=scope)["WebACL"].get("Rules", [])
        text = json.dumps(rules, default=str)
        if any(f'"{a}"' in text for a in wanted):
            found.append(str(acl["Name"]))
    return tuple(sorted(found))
