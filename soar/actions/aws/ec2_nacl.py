"""Deny addresses at the border of subnets: entries of their network ACLs."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError
from pydantic import Field

from soar.actions.aws.access import aws_errors, client
from soar.actions.aws.addresses import BlockParams, guarded, network
from soar.actions.aws.ec2_instance import tags_of
from soar.actions.aws.guards import ensure_not_protected
from soar.actions.contract import Action, ActionContext, Draft, Planned, StateBefore, action
from soar.actions.errors import Drifted, Refused, TargetGone
from soar.model.base import Fact
from soar.model.change import BlastRadius, Change, Result, Target, Verification
from soar.model.terms import Phase, Risk

__all__ = ["NaclDeny"]

DEFAULT_RULES = 32767
"""From this number on, AWS's own final denial."""


class NaclParams(BlockParams):
    """Which subnets are closed to the addresses.

    Args:
        max_rules: The account's quota of rules for each direction of a network ACL, its final denial included.
    """

    subnet_ids: tuple[str, ...] = Field(min_length=1, max_length=50)
    max_rules: int = Field(default=20, ge=1, le=200)


class Entry(Fact):
    """One denial of ours: its place, direction and range."""

    acl_id: str
    number: int
    egress: bool
    cidr: str

    @property
    def place(self) -> tuple[str, bool, int]:
        """There is one entry of a number in each direction."""
        return self.acl_id, self.egress, self.number

    def __str__(self) -> str:
        return f"{self.acl_id} {'out' if self.egress else 'in'} rule {self.number}: deny {self.cidr}"


class NaclBefore(StateBefore):
    """The entries that were not there: what undo deletes again."""

    entries: tuple[Entry, ...]


@action(
    "aws.ec2.nacl_deny",
    risk=Risk.DISRUPTIVE,
    phase=Phase.CONTAINMENT,
    permissions=(
        "ec2:DescribeNetworkAcls",
        "ec2:CreateNetworkAclEntry",
        "ec2:DeleteNetworkAclEntry",
    ),
    d3fend="D3-NTF",
    react="RA3101",
    openc2="deny ipv4_net",
)
class NaclDeny(Action[NaclParams, NaclBefore]):
    """Deny addresses in and out at the network ACLs of subnets.

    The denials get the highest free numbers below the first rule that allows anything. Entries carry no tags: number,
    direction and range are recorded in the plan, and a retry finds them by these.

    Pre-condition: each subnet has a network ACL, not tagged `soar:protected`, with free numbers below its first
    allowing rule and room in its quota (20 rules for each direction unless `max_rules` says more). Ranges that touch
    `never_block`, private ones, and ones wider than /8 (IPv6: /16) are refused. Denied before anything is allowed
    already: nothing is done.

    Verified by reading the network ACLs: each entry is in its place with its range, and denies.

    Undone by deleting exactly these entries. It refuses if one of them is gone or says something else.

    Pitfalls: it hits every host in every subnet that uses the ACL, also those that were not named. Network ACLs keep
    no state: open connections are cut. They see the address of a load balancer or NAT gateway, not the one behind it.
    They do not filter the metadata service or the VPC's DNS.

    Example::

        - id: deny
          name: Deny the source at the subnets
          do: aws.ec2.nacl_deny
          with:
            subnet_ids: [subnet-0123456789abcdef0]
            addresses: [203.0.113.7]
            never_block: [198.51.100.0/24]
    """

    def plan(self, ctx: ActionContext, params: NaclParams) -> Draft[NaclBefore]:
        wanted = guarded(params.addresses, params.never_block)
        acls = _acls(ctx, subnets=params.subnet_ids)
        new: list[Entry] = []
        for acl in acls:
            for egress in (False, True):
                new += _missing(acl, egress, [str(n) for n in wanted], params.max_rules)
        return Draft(
            summary=(
                f"Deny {len(wanted)} range(s) by {len(new)} entries in {len(acls)} network ACL(s)"
                if new
                else f"{len(acls)} network ACL(s) deny all {len(wanted)} range(s) already"
            ),
            targets=tuple(_target(ctx, acl) for acl in acls),
            changes=tuple(
                Change(
                    target=_uid(ctx, e.acl_id, acls),
                    field=f"{'out' if e.egress else 'in'} rule {e.number}",
                    before=None,
                    after=f"deny {e.cidr}",
                )
                for e in new
            ),
            state=NaclBefore(entries=tuple(new)),
            blast_radius=BlastRadius(
                summary="No host in these subnets reaches the ranges or is reached by them.",
                facts=tuple(_others(acl, params.subnet_ids) for acl in acls),
            )
            if new
            else BlastRadius(),
            warnings=("Open connections with these ranges are cut at once.",) if new else (),
            undo="Exactly the entries that were made are deleted.",
        )

    def apply(self, ctx: ActionContext, planned: Planned[NaclParams, NaclBefore]) -> Result:
        entries = planned.state.entries
        now = _present(ctx, entries)
        _refuse_taken(entries, now)
        for entry in entries:
            if entry.place not in now:
                key = "CidrBlock" if network(entry.cidr).version == 4 else "Ipv6CidrBlock"
                with aws_errors("ec2:CreateNetworkAclEntry"):
                    client(ctx, "ec2").create_network_acl_entry(
                        NetworkAclId=entry.acl_id,
                        RuleNumber=entry.number,
                        Protocol="-1",
                        RuleAction="deny",
                        Egress=entry.egress,
                        **{key: entry.cidr},
                    )
        return Result(
            summary=f"{len(entries)} denying entries are in place", data={"entries": [*map(str, entries)]}
        )

    def verify(self, ctx: ActionContext, planned: Planned[NaclParams, NaclBefore]) -> Verification:
        entries = planned.state.entries
        now = _present(ctx, entries)
        wrong = [str(e) for e in entries if not _is(now.get(e.place), e)]
        return Verification(
            verified=not wrong,
            seen=f"not there: {'; '.join(wrong)}" if wrong else f"{len(entries)} entries deny",
            method="ec2:DescribeNetworkAcls",
        )

    def undo(self, ctx: ActionContext, planned: Planned[NaclParams, NaclBefore]) -> Result:
        entries = planned.state.entries
        now = _present(ctx, entries)
        _refuse_taken(entries, now)
        for entry in reversed(entries):
            if entry.place in now:
                with aws_errors("ec2:DeleteNetworkAclEntry"):
                    try:
                        client(ctx, "ec2").delete_network_acl_entry(
                            NetworkAclId=entry.acl_id, RuleNumber=entry.number, Egress=entry.egress
                        )
                    except ClientError as error:
                        if error.response["Error"]["Code"] != "InvalidNetworkAclEntry.NotFound":
                            raise
        return Result(summary=f"{len(entries)} denying entries are deleted")


def _acls(
    ctx: ActionContext, *, subnets: tuple[str, ...] = (), ids: tuple[str, ...] = ()
) -> list[dict[str, Any]]:
    """The network ACLs of subnets, or those of these ids, by id."""
    by: dict[str, Any] = {"NetworkAclIds": sorted(set(ids))}
    if subnets:
        by = {"Filters": [{"Name": "association.subnet-id", "Values": sorted(set(subnets))}]}
    with aws_errors("ec2:DescribeNetworkAcls"):
        pages = client(ctx, "ec2").get_paginator("describe_network_acls").paginate(**by)
        found = [acl for page in pages for acl in page["NetworkAcls"]]
    covered = {a["SubnetId"] for acl in found for a in acl["Associations"]}
    missing = sorted(set(subnets) - covered)
    if missing:
        raise TargetGone(
            f"no network ACL for {', '.join(missing)}", hint="check the subnets, the account and the region"
        )
    for acl in found:
        if subnets:
            ensure_not_protected("network ACL", str(acl["NetworkAclId"]), tags_of(acl))
    return sorted(found, key=lambda acl: str(acl["NetworkAclId"]))


def _range(raw: dict[str, Any]) -> str:
    return str(network(raw.get("CidrBlock") or raw.get("Ipv6CidrBlock") or "0.0.0.0/0"))


def _missing(acl: dict[str, Any], egress: bool, wanted: list[str], most: int) -> list[Entry]:
    """The denials that one direction of an ACL lacks, each with its number."""
    rules = [e for e in acl["Entries"] if bool(e["Egress"]) == egress]
    allowing = [int(e["RuleNumber"]) for e in rules if e["RuleAction"] == "allow"]
    first = min(allowing, default=DEFAULT_RULES)
    denied = {
        _range(e)
        for e in rules
        if e["RuleAction"] == "deny" and e["Protocol"] == "-1" and int(e["RuleNumber"]) < first
    }
    new = [w for w in wanted if w not in denied]
    taken = {int(e["RuleNumber"]) for e in rules}
    # Downwards from the first rule that allows: a retry that finds the upper ones made picks the same for the rest.
    free = [n for n in range(first - 1, max(first - 1 - len(taken) - len(new), 0), -1) if n not in taken]
    direction = "out" if egress else "in"
    if len(new) > len(free):
        raise Refused(
            f"{acl['NetworkAclId']} has {len(free)} free number(s) below rule {first} ({direction}); {len(new)} needed",
            hint="renumber its rules by hand, or block by a security group or AWS WAF",
        )
    if new and len(rules) + len(new) > most:
        raise Refused(
            f"{acl['NetworkAclId']} has {len(rules)} rules ({direction}); {len(new)} more exceed its quota of {most}",
            hint="block wider ranges, remove old denials, or raise the quota and `max_rules`",
        )
    return [
        Entry(acl_id=acl["NetworkAclId"], number=n, egress=egress, cidr=w)
        for w, n in zip(new, free, strict=False)
    ]


def _present(ctx: ActionContext, entries: tuple[Entry, ...]) -> dict[tuple[str, bool, int], dict[str, Any]]:
    """What stands now in the ACLs of these entries, by place."""
    ids = tuple({e.acl_id for e in entries})
    return {
        (acl["NetworkAclId"], bool(e["Egress"]), int(e["RuleNumber"])): e
        for acl in (_acls(ctx, ids=ids) if ids else [])
        for e in acl["Entries"]
    }


def _is(raw: dict[str, Any] | None, entry: Entry) -> bool:
    return (
        raw is not None
        and raw["RuleAction"] == "deny"
        and raw["Protocol"] == "-1"
        and _range(raw) == str(network(entry.cidr))
    )


def _refuse_taken(entries: tuple[Entry, ...], now: dict[tuple[str, bool, int], dict[str, Any]]) -> None:
    taken = [str(e) for e in entries if e.place in now and not _is(now[e.place], e)]
    if taken:
        raise Drifted(
            "somebody else's rules stand where our entries belong",
            differences=tuple(f"not as recorded: {t}" for t in taken),
            hint="look at the network ACL; put it right by hand",
        )


def _uid(ctx: ActionContext, acl_id: str, acls: list[dict[str, Any]]) -> str:
    meta = client(ctx, "ec2").meta
    owner = next(str(a.get("OwnerId", "")) for a in acls if a["NetworkAclId"] == acl_id)
    return f"arn:{meta.partition}:ec2:{meta.region_name}:{owner}:network-acl/{acl_id}"


def _target(ctx: ActionContext, acl: dict[str, Any]) -> Target:
    uid = _uid(ctx, acl["NetworkAclId"], [acl])
    return Target(
        uid=uid,
        type="aws.ec2.network_acl",
        name=acl["NetworkAclId"],
        account=uid.split(":")[4],
        region=uid.split(":")[3],
        tags=tags_of(acl),
    )


def _others(acl: dict[str, Any], named: tuple[str, ...]) -> str:
    others = sorted({a["SubnetId"] for a in acl["Associations"]} - set(named))
    return f"{acl['NetworkAclId']}: " + (
        f"also used by {len(others)} subnet(s) not named: {', '.join(others[:10])}"
        if others
        else "no other subnet"
    )
