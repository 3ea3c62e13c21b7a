"""Everything that is known of a key, as evidence and for the steps that follow."""

from __future__ import annotations

from typing import Any

from pydantic_core import to_jsonable_python

from soar.actions.aws.access import client
from soar.actions.aws.kms_key import Grant, Key, KeyParams, find_key, grants_of, key_policy, kms_errors
from soar.actions.aws.s3_bucket import unless_refused
from soar.actions.aws.s3_policy import named_principals, public_statements
from soar.actions.contract import ActionContext, action
from soar.model.base import Fact, JsonObject, canonical_json
from soar.model.terms import Phase, Risk

__all__ = ["KeyFacts", "describe_key"]

MOST = 100
"""Grants in the result; the evidence has them all."""


class KeyFacts(Fact):
    """A key, who may use it, and what seems to depend on it.

    Args:
        manager: `AWS` or `CUSTOMER`.
        deletion_at: When it will be gone; empty: it is not about to be deleted.
        policy: None: it could not be read.
        allowed: Principals that the policy allows something by name.
        outside: Those of them that are of other accounts.
        open_to_everybody: Statements that allow everybody, or everybody of a service, one line each.
        grants: At most 100, by id.
        service_grants: How many of all grants are of AWS services, which stand for volumes, databases and the like.
        not_read: What could not be read, and why.
    """

    summary: str
    key_id: str
    arn: str
    state: str
    manager: str
    usage: str
    origin: str
    multi_region: bool
    created_at: str
    deletion_at: str
    aliases: tuple[str, ...]
    policy: JsonObject | None
    allowed: tuple[str, ...]
    outside: tuple[str, ...]
    open_to_everybody: tuple[str, ...]
    grants: tuple[Grant, ...]
    service_grants: int
    tags: dict[str, str]
    not_read: tuple[str, ...]


@action(
    "aws.kms.describe_key",
    risk=Risk.READ,
    phase=Phase.IDENTIFICATION,
    permissions=(
        "kms:DescribeKey",
        "kms:ListResourceTags",
        "kms:ListAliases",
        "kms:ListGrants",
        "kms:GetKeyPolicy",
    ),
)
def describe_key(ctx: ActionContext, params: KeyParams) -> KeyFacts:
    """Read a key, its policy, grants and aliases, and say who may use it.

    What this worker may not read is named in `not_read`; the rest is still returned.

    Evidence: one JSON document with the key, its policy and all its grants.

    Pitfalls: a policy that allows the account's root user leaves it to the policies of IAM who may use the key; these
    are not read. What is encrypted under a key, KMS does not know: aliases and the grants of services are hints. Who
    used it is in the trail.

    Example::

        - id: key
          name: Look at the key
          do: aws.kms.describe_key
          with:
            key_id: alias/customer-data
    """
    key = find_key(ctx, params.key_id)
    not_read: list[str] = []
    policy = unless_refused(not_read, "the policy", lambda: key_policy(ctx, key))
    grants = unless_refused(not_read, "the grants", lambda: grants_of(ctx, key)) or ()
    aliases = unless_refused(not_read, "the aliases", lambda: _aliases(ctx, key)) or ()
    document = {
        "key": key.raw,
        "policy": policy,
        "grants": [g.model_dump(mode="json") for g in grants],
        "aliases": list(aliases),
        "tags": key.tags,
    }
    ctx.keep_evidence(
        f"{key.target.name}.json",
        canonical_json(to_jsonable_python(document)).encode(),
        media_type="application/json",
        source="kms:DescribeKey",
    )
    return _facts(key, policy, grants, aliases, tuple(not_read))


def _facts(
    key: Key,
    policy: JsonObject | None,
    grants: tuple[Grant, ...],
    aliases: tuple[str, ...],
    not_read: tuple[str, ...],
) -> KeyFacts:
    raw: dict[str, Any] = key.raw
    text = canonical_json(policy) if policy else ""
    allowed = named_principals(text) if text else ()
    everybody = tuple(
        f"{s.sid or f'statement {s.index + 1}'}: {s.reason}"
        for s in (public_statements(text) if text else [])
    )
    outside = tuple(a for a in allowed if a.startswith("arn:") and a.split(":")[4] != key.target.account)
    deleted = raw.get("DeletionDate")
    summary = [f"key {key.target.name} is {key.state}", f"{len(grants)} grant(s)"]
    summary += [f"{len(outside)} principal(s) of other accounts"] if outside else []
    summary += ["open to everybody"] if everybody else []
    return KeyFacts(
        summary=", ".join(summary),
        key_id=key.target.name,
        arn=key.arn,
        state=key.state,
        manager=str(raw.get("KeyManager", "")),
        usage=str(raw.get("KeyUsage", "")),
        origin=str(raw.get("Origin", "")),
        multi_region=bool(raw.get("MultiRegion")),
        created_at=raw["CreationDate"].isoformat(),
        deletion_at=deleted.isoformat() if deleted else "",
        aliases=aliases,
        policy=policy,
        allowed=allowed,
        outside=outside,
        open_to_everybody=everybody,
        grants=grants[:MOST],
        service_grants=sum(g.of_service for g in grants),
        tags=key.tags,
        not_read=not_read,
    )


def _aliases(ctx: ActionContext, key: Key) -> tuple[str, ...]:
    with kms_errors("kms:ListAliases"):
        pages = client(ctx, "kms").get_paginator("list_aliases").paginate(KeyId=key.id)
        return tuple(sorted(a["AliasName"] for page in pages for a in page["Aliases"]))
