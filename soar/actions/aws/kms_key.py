"""What every action on a KMS key needs: find it, guard it, read its grants, and say who depends on it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError
from pydantic import Field

from soar.actions.aws.access import aws_errors, client
from soar.actions.aws.guards import ensure_not_protected
from soar.actions.contract import ActionContext, Params
from soar.actions.errors import Refused
from soar.model.base import Fact, JsonObject
from soar.model.change import Target

__all__ = [
    "Grant",
    "Key",
    "KeyParams",
    "dependants",
    "ensure_may_change",
    "find_key",
    "grants_of",
    "key_policy",
    "kms_errors",
]

POLICY = "default"
"""The only name that a key policy can have."""


class KeyParams(Params):
    """Which key."""

    key_id: str = Field(
        pattern=r"^(arn:[a-z0-9-]+:kms:[a-z0-9-]+:[0-9]{12}:key/)?((mrk-)?[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$"
        r"|^alias/[A-Za-z0-9/_-]{1,250}$",
        description="the key's id or ARN, or an alias: `alias/…`",
    )


class Grant(Fact):
    """A grant on a key.

    Args:
        grantee: Who may use the key by it: a principal's ARN, or a service.
        of_service: It was made by or for an AWS service, which needs it for what it encrypted.
    """

    grant_id: str
    name: str
    grantee: str
    retiring: str
    operations: tuple[str, ...]
    constraints: JsonObject
    of_service: bool


@dataclass(frozen=True)
class Key:
    """A key as `kms:DescribeKey` shows it, with its tags."""

    raw: dict[str, Any]
    tags: dict[str, str]

    @property
    def id(self) -> str:
        """Its id; all calls name it by this, as an alias may be moved."""
        return str(self.raw["KeyId"])

    @property
    def arn(self) -> str:
        """Its ARN."""
        return str(self.raw["Arn"])

    @property
    def state(self) -> str:
        """`Enabled`, `Disabled`, `PendingDeletion` …"""
        return str(self.raw["KeyState"])

    @property
    def target(self) -> Target:
        """It, as a plan names what it touches."""
        parts = self.arn.split(":")
        return Target(
            uid=self.arn,
            type="aws.kms.key",
            name=self.id,
            account=parts[4],
            region=parts[3],
            tags=self.tags,
        )


@contextmanager
def kms_errors(what: str) -> Iterator[None]:
    """`aws_errors`, with what KMS says of a key whose state does not allow it.

    Raises:
        Refused: The key is in such a state.
    """
    with aws_errors(what):
        try:
            yield
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") != "KMSInvalidStateException":
                raise
            raise Refused(
                f"{what}: {error.response['Error'].get('Message', '')}",
                hint="look at the key's state; a key that is about to be deleted: aws.kms.cancel_key_deletion",
            ) from error


def find_key(ctx: ActionContext, key_id: str) -> Key:
    """Read a key and its tags.

    Raises:
        TargetGone: There is none of this name in the account and region.
    """
    kms = client(ctx, "kms")
    with kms_errors("kms:DescribeKey"):
        raw = kms.describe_key(KeyId=key_id)["KeyMetadata"]
    if raw.get("KeyManager") == "AWS":
        return Key(raw=raw, tags={})
    with kms_errors("kms:ListResourceTags"):
        pages = kms.get_paginator("list_resource_tags").paginate(KeyId=raw["KeyId"])
        tags = {t["TagKey"]: t["TagValue"] for page in pages for t in page["Tags"]}
    return Key(raw=raw, tags=tags)


def ensure_may_change(key: Key) -> None:
    """Refuse what must never be done to a key.

    Raises:
        Refused: It is tagged `soar:protected`, or AWS manages it.
    """
    ensure_not_protected("key", key.target.name, key.tags)
    if key.raw.get("KeyManager") == "AWS":
        raise Refused(
            f"key {key.target.name} is managed by AWS: nobody can change it",
            hint="restrict what is encrypted under it instead",
        )


def key_policy(ctx: ActionContext, key: Key) -> JsonObject:
    """A key's policy, read as JSON."""
    with kms_errors("kms:GetKeyPolicy"):
        text = client(ctx, "kms").get_key_policy(KeyId=key.id, PolicyName=POLICY)["Policy"]
    found: JsonObject = json.loads(text)
    return found


def grants_of(ctx: ActionContext, key: Key) -> tuple[Grant, ...]:
    """All grants on a key, by id."""
    with kms_errors("kms:ListGrants"):
        pages = client(ctx, "kms").get_paginator("list_grants").paginate(KeyId=key.id)
        found = [_grant(raw) for page in pages for raw in page["Grants"]]
    return tuple(sorted(found, key=lambda g: g.grant_id))


def _grant(raw: dict[str, Any]) -> Grant:
    grantee = str(raw.get("GranteePrincipal") or raw.get("GranteeServicePrincipal") or "")
    return Grant(
        grant_id=raw["GrantId"],
        name=str(raw.get("Name", "")),
        grantee=grantee,
        retiring=str(raw.get("RetiringPrincipal") or raw.get("RetiringServicePrincipal") or ""),
        operations=tuple(sorted(raw.get("Operations", []))),
        constraints=raw.get("Constraints") or {},
        of_service=grantee.endswith(".amazonaws.com")
        or "/aws-service-role/" in grantee
        or ":assumed-role/aws:" in grantee,
    )


def dependants(ctx: ActionContext, key: Key, most: int = 12) -> tuple[str, ...]:
    """Who seems to use a key, one line each, for a plan's blast radius: its aliases and grants tell."""
    with kms_errors("kms:ListAliases"):
        pages = client(ctx, "kms").get_paginator("list_aliases").paginate(KeyId=key.id)
        names = sorted(a["AliasName"] for page in pages for a in page["Aliases"])
    grants = grants_of(ctx, key)
    lines = [f"aliases: {', '.join(names[:most])}"] if names else ["it has no alias"]
    lines += [f"{g.grantee} may {', '.join(g.operations)} by grant {g.grant_id}" for g in grants[:most]]
    if len(grants) > most:
        lines.append(f"and {len(grants) - most} more grants")
    lines.append("data under it that is not read at present does not show here")
    return tuple(lines)
