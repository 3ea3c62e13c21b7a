"""The least that a role must be allowed, as IAM policy documents.

Pure: what IAM says of a permission is handed in.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["POLICY_LIMIT", "Granted", "Scope", "documents", "size"]

POLICY_LIMIT = 6144
"""The characters of a managed policy, white space not counted (IAM's quotas; it cannot be raised)."""
READ_LEVELS = frozenset({"List", "Read"})

Document = dict[str, Any]
Statement = dict[str, Any]


@dataclass(frozen=True)
class Granted:
    """A permission, and what IAM says of it.

    Args:
        name: `iam:UpdateAccessKey`.
        levels: Its access levels; empty where IAM does not know it: then it counts as a change.
        arns: The formats of the ARNs of the resources that it can be limited to, with `${Account}` and the like; empty:
            it cannot be limited.
    """

    name: str
    levels: frozenset[str] = frozenset()
    arns: tuple[str, ...] = ()

    @property
    def service(self) -> str:
        """The prefix, `iam`."""
        return self.name.partition(":")[0]

    @property
    def changes(self) -> bool:
        """Whether it can change something. What nothing is known of is taken to."""
        return not self.levels or not self.levels <= READ_LEVELS


@dataclass(frozen=True)
class Scope:
    """What a policy is for.

    Args:
        accounts: The only accounts whose resources may be changed; empty: any that the role can reach.
        own: What of IAM it must not change, since it is the responder itself: `role/soar-responder`,
            `policy/soar-responder*`. Empty: no guard.
        partition: `aws`, `aws-cn`, `aws-us-gov`.
    """

    accounts: tuple[str, ...] = ()
    own: tuple[str, ...] = ()
    partition: str = "aws"


def documents(
    granted: Iterable[Granted],
    scope: Scope,
    *,
    name: str = "soar",
    split: bool = False,
    limit: int = POLICY_LIMIT,
) -> dict[str, Document]:
    """The policies that allow exactly some permissions.

    Args:
        granted: The permissions.
        name: What the policies' names begin with.
        split: Reads and changes in policies of their own, so that either can be attached without the other.
        limit: The most characters in one. What is over is divided by service.

    Returns:
        The policies by name. None is empty.
    """
    every = sorted(set(granted), key=lambda g: g.name)
    if not split:
        return _fitted(name, every, scope, limit)
    reads = [g for g in every if not g.changes]
    changes = [g for g in every if g.changes]
    return _fitted(f"{name}-read", reads, scope, limit) | _fitted(f"{name}-change", changes, scope, limit)


def size(document: Mapping[str, Any]) -> int:
    """How many of the characters that IAM counts a policy has."""
    return len("".join(json.dumps(document).split()))


def _fitted(name: str, granted: list[Granted], scope: Scope, limit: int) -> dict[str, Document]:
    if not granted:
        return {}
    whole = _document(granted, scope)
    if size(whole) <= limit:
        return {name: whole}
    parts: list[list[Granted]] = []
    for more in _pieces(granted, scope, limit):
        if parts and size(_document(parts[-1] + more, scope)) <= limit:
            parts[-1] += more
        else:
            parts.append(list(more))
    return {f"{name}-{n}": _document(part, scope) for n, part in enumerate(parts, 1)}


def _pieces(granted: list[Granted], scope: Scope, limit: int) -> list[list[Granted]]:
    """The permissions by service; a service that does not fit into one policy is divided."""
    services: dict[str, list[Granted]] = defaultdict(list)
    for one in granted:
        services[one.service].append(one)
    found: list[list[Granted]] = []
    for of_service in services.values():
        found.append([])
        for one in of_service:
            if found[-1] and size(_document([*found[-1], one], scope)) > limit:
                found.append([])
            found[-1].append(one)
    return found


def _document(granted: list[Granted], scope: Scope) -> Document:
    reads = [g for g in granted if not g.changes]
    changes = [g for g in granted if g.changes]
    statements = [_allow("SoarRead", reads, ["*"])] if reads else []
    free, limited = [], defaultdict(list)
    for one in changes:
        if scope.accounts and _limits(one, scope):
            limited[one.service].append(one)
        else:
            free.append(one)
    if free:
        statements.append(_allow("SoarChange", free, ["*"]))
    for service, those in limited.items():
        sid = "SoarChange" + "".join(word.capitalize() for word in service.split("-"))
        resources = {arn for one in those for arn in _limits(one, scope)}
        # A `*` for the region stands for none as well.
        wider = {arn for arn in resources if arn.split(":")[3] == "*"}
        shown = {arn for arn in resources if arn in wider or _anywhere(arn) not in wider}
        statements.append(_allow(sid, those, sorted(shown)))
    return {"Version": "2012-10-17", "Statement": statements + _guard(changes, scope)}


def _allow(sid: str, granted: list[Granted], resources: list[str]) -> Statement:
    return {
        "Sid": sid,
        "Effect": "Allow",
        "Action": [g.name for g in granted],
        "Resource": _plain(resources),
    }


def _limits(granted: Granted, scope: Scope) -> set[str]:
    """What a change may act on: its service's resources in the accounts. None: IAM knows no limit.

    The kind of resource is left open: it follows from the permission, and so a policy is short.
    """
    found: set[str] = set()
    for arn in granted.arns:
        parts = arn.split(":", 5)
        if len(parts) < 6 or "$" in parts[2]:
            return set()
        _, _, service, region, account, _ = parts
        # Buckets, and EC2's images and snapshots, have no account in their names. Whose it is otherwise, the format
        # says: only `${Account}` is the account that the call is made in.
        owners = scope.accounts if account == "${Account}" else ("*" if "$" in account else account,)
        where = "*" if "$" in region else region
        found |= {f"arn:{scope.partition}:{service}:{where}:{owner}:*" for owner in owners}
    return found


def _anywhere(arn: str) -> str:
    parts = arn.split(":")
    return ":".join([*parts[:3], "*", *parts[4:]])


def _guard(changes: list[Granted], scope: Scope) -> list[Statement]:
    """What can be used on the responder's own role and policies may not be.

    Whoever may put a policy on any role could otherwise give itself all rights, and a wrong alert could lock the
    responder out.
    """
    owners = scope.accounts or ("*",)
    actions: list[str] = []
    targets: set[str] = set()
    for one in changes:
        kinds = {arn.split(":", 5)[-1].partition("/")[0] for arn in one.arns}
        mine = [own for own in scope.own if own.partition("/")[0] in kinds] if one.service == "iam" else []
        if mine:
            actions.append(one.name)
            targets |= {f"arn:{scope.partition}:iam::{owner}:{own}" for owner in owners for own in mine}
    if not actions:
        return []
    return [
        {
            "Sid": "SoarNotItself",
            "Effect": "Deny",
            "Action": actions,
            "Resource": _plain(sorted(targets)),
        }
    ]


def _plain(values: list[str]) -> str | list[str]:
    return values[0] if len(values) == 1 else values
