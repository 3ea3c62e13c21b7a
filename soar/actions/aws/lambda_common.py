"""What every action on a Lambda function needs: find it, say who calls it, and fetch its code."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from botocore.exceptions import ClientError
from pydantic import Field

from soar.actions.aws.access import aws_errors, client
from soar.actions.contract import ActionContext, Params
from soar.actions.errors import BadReply, TargetGone, Unavailable
from soar.model.change import Target

__all__ = [
    "Function",
    "FunctionParams",
    "bounded",
    "callers",
    "event_sources",
    "fetch_code",
    "find_function",
    "lambda_errors",
    "policy_of",
    "versions_of",
]

BUSY = frozenset({"ResourceConflictException", "ResourceInUseException", "PreconditionFailedException"})
"""Lambda is still at work on an earlier change; it takes the next one some seconds later."""
MOST_CODE = 300 * 1024 * 1024
"""Bytes of code that are fetched at most; a deployment package has 250 MB unpacked."""
MOST_FACTS = 12


class FunctionParams(Params):
    """Which function."""

    function_name: str = Field(
        pattern=r"^(arn:aws[a-zA-Z-]*:lambda:[a-z0-9-]+:[0-9]{12}:function:)?[a-zA-Z0-9-_]{1,64}$",
        description="the function's name, or its ARN without a version",
    )


@dataclass(frozen=True)
class Function:
    """A function as `lambda:GetFunctionConfiguration` shows it.

    Args:
        raw: The reply.
    """

    raw: dict[str, Any]
    tags: dict[str, str]

    @property
    def arn(self) -> str:
        """Its ARN, without a version."""
        return ":".join(str(self.raw["FunctionArn"]).split(":")[:7])

    @property
    def target(self) -> Target:
        """It, as a plan names what it touches."""
        parts = self.arn.split(":")
        return Target(
            uid=self.arn,
            type="aws.lambda.function",
            name=self.raw["FunctionName"],
            account=parts[4],
            region=parts[3],
            tags=self.tags,
        )

    @property
    def pending(self) -> str:
        """Why the last change is not in effect yet; empty: it is."""
        status = self.raw.get("LastUpdateStatus") or "Successful"
        return "" if status == "Successful" else f"the last update is {status}"


@contextmanager
def lambda_errors(what: str) -> Iterator[None]:
    """`aws_errors`, and what is busy with an earlier change is tried again.

    Raises:
        Unavailable: Lambda is still at work on an earlier change of the same thing.
    """
    with aws_errors(what):
        try:
            yield
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            if code not in BUSY:
                raise
            message = error.response["Error"].get("Message", "")
            raise Unavailable(
                f"{what}: {code}: {message}", hint="an earlier change is still at work; it is tried again"
            ) from error


def find_function(ctx: ActionContext, name: str) -> Function:
    """Read a function's configuration and tags.

    Raises:
        TargetGone: There is none of this name in the account and region.
    """
    with lambda_errors("lambda:GetFunctionConfiguration"):
        raw = client(ctx, "lambda").get_function_configuration(FunctionName=name)
    raw.pop("ResponseMetadata", None)
    found = Function(raw, {})
    with lambda_errors("lambda:ListTags"):
        tags = client(ctx, "lambda").list_tags(Resource=found.arn).get("Tags", {})
    return Function(raw, dict(tags))


def policy_of(ctx: ActionContext, name: str, qualifier: str = "") -> list[dict[str, Any]]:
    """The statements of its resource policy; none if it has no policy."""
    given = {"Qualifier": qualifier} if qualifier else {}
    try:
        with lambda_errors("lambda:GetPolicy"):
            text = client(ctx, "lambda").get_policy(FunctionName=name, **given)["Policy"]
    except TargetGone:
        return []
    found = json.loads(text).get("Statement", [])
    return list(found) if isinstance(found, list) else [found]


def event_sources(ctx: ActionContext, name: str) -> list[dict[str, Any]]:
    """The queues, streams and topics that it is fed from, by id."""
    with lambda_errors("lambda:ListEventSourceMappings"):
        pages = client(ctx, "lambda").get_paginator("list_event_source_mappings").paginate(FunctionName=name)
        found = [m for page in pages for m in page["EventSourceMappings"]]
    return sorted(found, key=lambda m: str(m["UUID"]))


def versions_of(ctx: ActionContext, name: str) -> list[dict[str, Any]]:
    """All its published versions and `$LATEST`."""
    with lambda_errors("lambda:ListVersionsByFunction"):
        pages = client(ctx, "lambda").get_paginator("list_versions_by_function").paginate(FunctionName=name)
        return [v for page in pages for v in page["Versions"]]


def callers(ctx: ActionContext, name: str) -> tuple[str, ...]:
    """Who can set it off, in words: event sources, and whom its resource policy lets in."""
    facts = [
        f"fed from {m.get('EventSourceArn') or 'a source of its own'}, {str(m.get('State', '')).lower()}"
        for m in event_sources(ctx, name)
    ]
    for statement in policy_of(ctx, name):
        source = json.dumps(statement.get("Condition", {}), sort_keys=True)
        facts.append(f"{_principal(statement)} may call it" + (f" if {source}" if source != "{}" else ""))
    return bounded(facts)


def bounded(facts: list[str], most: int = MOST_FACTS) -> tuple[str, ...]:
    """Facts as a card can show them: the first some, and how many more there are."""
    if len(facts) <= most:
        return tuple(facts)
    return (*facts[:most], f"and {len(facts) - most} more")


def _principal(statement: dict[str, Any]) -> str:
    principal = statement.get("Principal", "*")
    if isinstance(principal, dict):
        principal = ", ".join(str(v) for v in principal.values())
    return "everybody" if principal == "*" else str(principal)


def fetch_code(location: str, sha256: str) -> bytes:
    """Fetch a deployment package and make sure that it is the one that Lambda runs.

    Args:
        location: The address that `lambda:GetFunction` gave; it is good for ten minutes.
        sha256: The package's SHA-256 in base64, as Lambda says it.

    Raises:
        Unavailable: It could not be fetched.
        BadReply: It is too large, or not of that SHA-256.
    """
    kept = bytearray()
    try:
        with httpx.stream("GET", location, timeout=60) as reply:
            if reply.status_code != 200:
                raise Unavailable(f"the function's code could not be fetched: HTTP {reply.status_code}")
            for part in reply.iter_bytes():
                kept += part
                if len(kept) > MOST_CODE:
                    raise BadReply(f"the function's code is larger than {MOST_CODE} bytes")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Unavailable(f"the function's code could not be fetched: {error}") from error
    seen = base64.b64encode(hashlib.sha256(kept).digest()).decode()
    if seen != sha256:
        raise BadReply(
            f"the code that was fetched has the SHA-256 {seen}, Lambda says {sha256}",
            hint="it was changed in between: try again",
        )
    return bytes(kept)
