"""The statement that shuts everybody but the responders out of a key or a secret. Pure, but for asking who we are.

It is added to the resource's own policy and denies; all else in the policy stays. Whoever puts such a statement can
lock himself out, so it always leaves out this worker's own principal and the account's root user, and is tried on both
before anything is sent.
"""

from __future__ import annotations

import fnmatch
from typing import Any

from pydantic import Field

from soar.actions.aws.access import aws_errors, client
from soar.actions.contract import ActionContext
from soar.actions.errors import Refused
from soar.model.base import JsonObject

__all__ = ["SID", "ExemptPrincipals", "exempt_principals", "own_principals", "refuse_lock_out", "restricted"]

SID = "SoarResponders"

ExemptPrincipals = Field(
    default=(),
    max_length=50,
    description="ARNs of further principals that keep their access, `*` and `?` allowed: `arn:aws:iam::1…:role/ir-*`",
)
"""The parameter by which a playbook names further responders."""


def own_principals(ctx: ActionContext) -> tuple[str, ...]:
    """What `aws:PrincipalArn` may be of this worker in the account that the step acts in.

    Of a session conditions see the role, whose path the session's ARN does not say: hence two for a role.
    """
    with aws_errors("sts:GetCallerIdentity"):
        caller = str(client(ctx, "sts").get_caller_identity()["Arn"])
    before, _, name = caller.partition(":assumed-role/")
    if name:
        role = name.split("/")[0]
        here = before.replace(":sts:", ":iam:")
        return (f"{here}:role/{role}", f"{here}:role/*/{role}")
    return (caller.replace(":sts:", ":iam:"),)


def exempt_principals(ctx: ActionContext, further: tuple[str, ...]) -> tuple[str, ...]:
    """Everybody who keeps access, sorted.

    Raises:
        Refused: One of them is everybody.
    """
    for arn in further:
        # arn:aws:iam::<account>:role/… : the account and the kind of principal must be said.
        parts = arn.split(":", 5)
        if len(parts) < 6 or "*" in "".join(parts[:5]) or parts[5].partition("/")[0] in ("*", ""):
            raise Refused(
                f"{arn[:120]!r} would keep access for more than a few principals",
                hint="name responders with their account: arn:aws:iam::123456789012:role/incident-response",
            )
    own = own_principals(ctx)
    root = ":".join([*own[0].split(":")[:5], "root"])
    return tuple(sorted({*further, *own, root}))


def restricted(policy: JsonObject | None, exempt: tuple[str, ...], actions: tuple[str, ...]) -> JsonObject:
    """A policy with our statement at its end, in place of an older one of the same name.

    Args:
        policy: None: there was none.
        actions: What is denied, `secretsmanager:*`.
    """
    ours: JsonObject = {
        "Sid": SID,
        "Effect": "Deny",
        "Principal": {"AWS": "*"},
        "Action": list(actions),
        "Resource": "*",
        "Condition": {"ArnNotLike": {"aws:PrincipalArn": list(exempt)}},
    }
    others = [s for s in _statements(policy or {}) if s.get("Sid") != SID]
    return {"Version": "2012-10-17", **(policy or {}), "Statement": [*others, ours]}


def refuse_lock_out(policy: JsonObject, own: tuple[str, ...], actions: tuple[str, ...]) -> None:
    """Try a policy on ourselves before it is sent: what it denies must not be what undoing takes.

    Conditions other than on the principal's ARN count as true, so that a doubt is a refusal.

    Args:
        own: What `aws:PrincipalArn` may be of this worker; it is locked out where all of these are.
        actions: What undoing takes, `kms:PutKeyPolicy`.

    Raises:
        Refused: A statement would, or could, lock this worker out.
    """
    for statement in _statements(policy):
        if statement.get("Effect") != "Deny" or not _covers(statement, actions):
            continue
        if all(_names(statement, arn) and not _left_out(statement, arn) for arn in own):
            raise Refused(
                f"statement {statement.get('Sid') or 'without a name'} of the policy could lock {own[0]} out, by "
                "which this worker would have to undo it; nothing was changed",
                hint="change that statement by hand so that it leaves the responders out, then retry the step",
            )


def _statements(policy: JsonObject) -> list[dict[str, Any]]:
    found: Any = policy.get("Statement", [])
    return [found] if isinstance(found, dict) else list(found)


def _listed(value: Any) -> list[str]:
    return [str(v) for v in value] if isinstance(value, (list, tuple)) else [str(value)]


def _covers(statement: dict[str, Any], actions: tuple[str, ...]) -> bool:
    if "Action" not in statement:
        return not all(
            any(fnmatch.fnmatchcase(a.lower(), p.lower()) for p in _listed(statement.get("NotAction", [])))
            for a in actions
        )
    patterns = [p.lower() for p in _listed(statement["Action"])]
    return any(fnmatch.fnmatchcase(a.lower(), p) for a in actions for p in patterns)


def _names(statement: dict[str, Any], arn: str) -> bool:
    """Whether a statement's principals take in this one."""
    if "NotPrincipal" in statement:
        return True
    principal = statement.get("Principal", "*")
    values = _listed(principal.get("AWS", [])) if isinstance(principal, dict) else _listed(principal)
    account = arn.split(":")[4]
    whole_account = {account, f"{':'.join(arn.split(':')[:5])}:root"}
    return any(v == "*" or v in whole_account or _like(arn, v) for v in values)


def _left_out(statement: dict[str, Any], arn: str) -> bool:
    """Whether a statement's condition on the principal's ARN leaves this one out."""
    for operator, keys in (statement.get("Condition") or {}).items():
        for key, values in keys.items():
            if key.lower() != "aws:principalarn":
                continue
            like = any(_like(arn, pattern) for pattern in _listed(values))
            if (
                operator.lower() in ("arnnotlike", "arnnotequals", "stringnotlike", "stringnotequals")
                and like
            ):
                return True
            if operator.lower() in ("arnlike", "arnequals", "stringlike", "stringequals") and not like:
                return True
    return False


def _like(arn: str, pattern: str) -> bool:
    return arn == pattern or fnmatch.fnmatchcase(arn, pattern.replace("[", "[[]"))
