"""Which statements of a bucket policy make it public. Pure; by S3's own definition.

S3 takes a statement as public unless it grants only to fixed principals, or is bound by a condition to fixed values of
certain keys (Amazon S3 User Guide, "Blocking public access to your Amazon S3 storage", "The meaning of 'public'").
"""

from __future__ import annotations

import ipaddress
import json
import re
from typing import Any

from pydantic import JsonValue

from soar.model.base import Fact, canonical_json

__all__ = ["PublicStatement", "named_principals", "public_statements", "statements_of", "without"]

FIXING_KEYS = frozenset(
    {
        "aws:principalorgid",
        "aws:principalorgpaths",
        "aws:principalarn",
        "aws:principalaccount",
        "aws:sourcearn",
        "aws:sourcevpc",
        "aws:sourcevpce",
        "aws:sourceowner",
        "aws:sourceaccount",
        "aws:sourceorgid",
        "aws:userid",
        "s3:dataaccesspointarn",
        "s3:dataaccesspointaccount",
    }
)
"""Condition keys that bind a grant to somebody, when their values are fixed."""

FIXING_OPERATORS = frozenset(
    {"stringequals", "stringequalsignorecase", "stringlike", "arnequals", "arnlike", "ipaddress"}
)
WIDEST = {4: 8, 6: 32}
"""Prefix lengths: a wider range of addresses than this is everybody."""

ACCESS_POINT_OF_ONE_ACCOUNT = re.compile(r"^arn:aws[a-z-]*:s3:[a-z0-9-]+:[0-9]{12}:accesspoint/")


class PublicStatement(Fact):
    """A statement that lets everybody in.

    Args:
        index: Its place in the policy, from 0.
        reason: Why it counts as public, in words.
    """

    index: int
    sid: str
    actions: tuple[str, ...]
    reason: str
    statement: dict[str, JsonValue]


def statements_of(policy: str) -> list[dict[str, Any]]:
    """The statements of a policy document, which may be a single one."""
    found = json.loads(policy).get("Statement", [])
    return [found] if isinstance(found, dict) else list(found)


def public_statements(policy: str) -> list[PublicStatement]:
    """The statements of a bucket policy that grant to everybody."""
    found = []
    for index, statement in enumerate(statements_of(policy)):
        reason = _public_because(statement)
        if reason:
            actions = _listed(statement.get("Action", statement.get("NotAction", [])))
            found.append(
                PublicStatement(
                    index=index,
                    sid=str(statement.get("Sid", "")),
                    actions=tuple(sorted(actions)),
                    reason=reason,
                    statement=statement,
                )
            )
    return found


def without(policy: str, statements: list[PublicStatement]) -> str:
    """The policy without some of its statements; empty if none is left."""
    gone = {s.index for s in statements}
    left = [s for i, s in enumerate(statements_of(policy)) if i not in gone]
    return canonical_json({**json.loads(policy), "Statement": left}) if left else ""


def named_principals(policy: str) -> tuple[str, ...]:
    """The principals that a policy grants to by name: accounts, users, roles and services."""
    found: set[str] = set()
    for statement in statements_of(policy):
        principal = statement.get("Principal")
        if statement.get("Effect") == "Allow" and isinstance(principal, dict):
            found |= {p for values in principal.values() for p in _listed(values) if "*" not in p}
    return tuple(sorted(found))


def _listed(value: Any) -> list[str]:
    return [str(v) for v in value] if isinstance(value, list) else [str(value)]


def _public_because(statement: dict[str, Any]) -> str:
    if statement.get("Effect") != "Allow":
        return ""
    if "NotPrincipal" in statement:
        who = "everybody but those that it names"
    else:
        principal = statement.get("Principal")
        values = principal.values() if isinstance(principal, dict) else [principal]
        names = [name for value in values for name in _listed(value)]
        wide = [name for name in names if "*" in name]
        if not wide:
            return ""
        who = "everybody" if "*" in wide else f"everybody like {', '.join(sorted(wide))}"
    if any(
        _fixes(operator, key, _listed(values))
        for operator, keys in (statement.get("Condition") or {}).items()
        for key, values in keys.items()
    ):
        return ""
    bound = " under a condition that binds it to nobody" if statement.get("Condition") else ""
    return f"it grants to {who}{bound}"


def _fixes(operator: str, key: str, values: list[str]) -> bool:
    """Whether one condition binds the grant to fixed values."""
    operator, key = operator.lower(), key.lower()
    operator = operator.removeprefix("foranyvalue:")
    # `ForAllValues` and `…IfExists` hold as well when the request has no such key, so that they bind nobody.
    if operator not in FIXING_OPERATORS or not values:
        return False
    if key == "aws:sourceip":
        return operator == "ipaddress" and all(_narrow(v) for v in values)
    if key not in FIXING_KEYS:
        return False
    if key == "s3:dataaccesspointarn":
        return all(ACCESS_POINT_OF_ONE_ACCOUNT.match(v) and "${" not in v for v in values)
    return not any(_variable(v) for v in values)


def _variable(value: str) -> bool:
    return "*" in value or "?" in value or "${" in value


def _narrow(cidr: str) -> bool:
    try:
        network = ipaddress.ip_network(cidr, strict=False)
    except ValueError:
        return False
    return network.prefixlen >= WIDEST[network.version]  # 10.0.0.0/8 is the widest private range
