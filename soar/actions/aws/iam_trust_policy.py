"""Trust policies of roles: whom they let in, and how to let fewer in. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from pydantic import JsonValue

from soar.model.base import JsonObject, digest_of

__all__ = [
    "STS",
    "covered",
    "foreign",
    "lets_in_by_exception",
    "normal",
    "only_principals",
    "principals_of",
    "without_principals",
]

SID = "IRDenyTrust"

DELETED = re.compile(r"^(AIDA|AROA|AGPA)[A-Z0-9]{12,}$")
"""What IAM shows of a user or role that a policy named and that was deleted since: its id. It matches nobody, not even
a new one of the same name, and IAM takes no policy that names it."""
ACCOUNT = re.compile(r"^(?:arn:aws[a-z-]*:iam::)?([0-9]{12})(?::root)?$")
IN_ACCOUNT = re.compile(r"^arn:aws[a-z-]*:(?:iam|sts)::([0-9]{12}):")
STS = re.compile(r"^arn:aws[a-z-]*:sts:")

Statement = dict[str, Any]


def _listed(value: JsonValue) -> list[str]:
    return [str(v) for v in value] if isinstance(value, list) else [str(value)]


def _same(principal: str) -> str:
    """One writing for what can be written in two: an account is its number."""
    account = ACCOUNT.match(principal)
    return account.group(1) if account else principal


def _account(principal: str) -> str:
    found = ACCOUNT.match(principal) or IN_ACCOUNT.match(principal)
    return found.group(1) if found else ""


def _statements(policy: JsonObject) -> list[Statement]:
    found = policy.get("Statement", [])
    return [dict(s) for s in (found if isinstance(found, list) else [found]) if isinstance(s, dict)]


def _principals(statement: Statement) -> dict[str, list[str]]:
    """The principals of a statement by kind; everybody, written `"*"`, is of kind `AWS`."""
    principal = statement.get("Principal", {})
    if not isinstance(principal, dict):
        return {"AWS": [str(principal)]}
    return {kind: _listed(names) for kind, names in principal.items()}


def _allows(statement: Statement) -> bool:
    return statement.get("Effect") == "Allow"


def principals_of(policy: JsonObject) -> tuple[str, ...]:
    """Whom a trust policy lets in: ARNs, account numbers, services, identity providers, `*`. Sorted."""
    found: set[str] = set()
    for statement in filter(_allows, _statements(policy)):
        found |= {_same(n) for names in _principals(statement).values() for n in names}
    return tuple(sorted(found | ({"*"} if lets_in_by_exception(policy) else set())))


def lets_in_by_exception(policy: JsonObject) -> bool:
    """Whether it lets in everybody but some (`NotPrincipal`)."""
    return any(_allows(s) and "NotPrincipal" in s for s in _statements(policy))


def foreign(policy: JsonObject, ours: frozenset[str]) -> tuple[str, ...]:
    """Whom a trust policy lets in from outside: principals of other accounts, and everybody.

    Args:
        ours: Account numbers that are no strangers.
    """
    return tuple(p for p in principals_of(policy) if p == "*" or (_account(p) and _account(p) not in ours))


def normal(policy: JsonObject) -> tuple[JsonObject, tuple[str, ...]]:
    """The policy as it can be compared and written again.

    Principals are sorted, since IAM keeps them in no order, and those that were deleted are left out.

    Returns:
        The policy, which lets the same principals in, and the ids of deleted ones that it named.
    """
    gone = {
        name
        for statement in _statements(policy)
        for name in _principals(statement).get("AWS", [])
        if DELETED.match(name)
    }
    left = []
    for statement in _statements(policy):
        if isinstance(statement.get("Principal"), dict):
            # One that denies a deleted principal denies nobody, as one that allows it allows nobody.
            kept = _some(_principals(statement), lambda n: n not in gone)
            if not kept:
                continue
            statement["Principal"] = kept
        left.append(statement)
    return _policy(policy, left), tuple(sorted(gone))


def covered(policy: JsonObject, principal: str) -> bool:
    """Whether a principal is let in though it is not named: by its account, or by everybody."""
    account, named = _account(principal), principals_of(policy)
    return bool(account) and ("*" in named or (account in named and _same(principal) != account))


def only_principals(policy: JsonObject, keep: tuple[str, ...]) -> JsonObject:
    """The policy with no other principals than these; those that it does not name are not added."""
    wanted = {_same(p) for p in keep}
    return _policy(policy, _kept(policy, lambda n: _same(n) in wanted))


def without_principals(policy: JsonObject, remove: tuple[str, ...]) -> JsonObject:
    """The policy without these principals; those that it lets in by their account or by everybody are denied."""
    unwanted = {_same(p) for p in remove}
    left = _kept(policy, lambda n: _same(n) not in unwanted)
    bare: JsonObject = {**policy, "Statement": list(left)}
    denied = [p for p in sorted(unwanted) if covered(bare, p) and not STS.match(p)]
    for statement in _denials(denied):
        if statement not in left:
            left.append(statement)
    return _policy(policy, left)


def _denials(principals: list[str]) -> list[Statement]:
    """Deny by condition: named as principals, IAM would ask whether each of them exists."""
    found = []
    for operator, key, names in (
        ("StringEquals", "aws:PrincipalAccount", [p for p in principals if ACCOUNT.match(p)]),
        ("ArnEquals", "aws:PrincipalArn", [p for p in principals if not ACCOUNT.match(p)]),
    ):
        if names:
            found.append(
                {
                    "Sid": SID + digest_of([key, names])[:16],
                    "Effect": "Deny",
                    "Principal": {"AWS": "*"},
                    "Action": "sts:AssumeRole",
                    "Condition": {operator: {key: names}},
                }
            )
    return found


def _some(principals: dict[str, list[str]], keep: Callable[[str], bool]) -> dict[str, JsonValue]:
    """Those principals that are kept, as policies write them: sorted, a single one without a list."""
    kept = {kind: sorted(filter(keep, names)) for kind, names in principals.items()}
    return {k: names[0] if len(names) == 1 else list(names) for k, names in kept.items() if names}


def _kept(policy: JsonObject, keep: Callable[[str], bool]) -> list[Statement]:
    """The statements, with only those principals in what allows that `keep` says yes to."""
    left = []
    for statement in _statements(policy):
        if _allows(statement) and "Principal" in statement:
            every = _principals(statement)
            if all(keep(n) for names in every.values() for n in names):
                left.append(statement)
            elif kept := _some(every, keep):
                left.append({**statement, "Principal": kept})
        else:
            left.append(statement)
    return left


def _policy(policy: JsonObject, statements: list[Statement]) -> JsonObject:
    # IAM takes no policy without a statement, so one that lets nobody in says so.
    nobody: JsonObject = {"Sid": SID, "Effect": "Deny", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
    return {**policy, "Statement": list(statements) or [nobody]}
