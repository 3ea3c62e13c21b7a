"""What every action on EKS needs: find the cluster, and who may enter it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import ClientError
from pydantic import Field

from soar.actions.aws.access import aws_errors, client
from soar.actions.contract import ActionContext, Params
from soar.actions.errors import TargetGone, Unavailable
from soar.model.base import Fact
from soar.model.change import Target

__all__ = [
    "AccessEntry",
    "AccessPolicy",
    "EksParams",
    "access_entry",
    "cluster_target",
    "eks_errors",
    "enabled_logs",
    "entry_arns",
    "find_cluster",
]


class EksParams(Params):
    """Which cluster."""

    cluster: str = Field(pattern=r"^[0-9A-Za-z][A-Za-z0-9_-]{0,99}$", description="the cluster's name")


class AccessPolicy(Fact):
    """An access policy of an entry.

    Args:
        scope: `cluster` or `namespace`.
    """

    arn: str
    scope: str
    namespaces: tuple[str, ...] = ()


class AccessEntry(Fact):
    """Whom a cluster lets in, as what."""

    principal: str
    type: str
    username: str
    groups: tuple[str, ...]
    policies: tuple[AccessPolicy, ...]
    tags: dict[str, str] = {}


@contextmanager
def eks_errors(what: str) -> Iterator[None]:
    """`aws_errors`, and a cluster that is busy with another update is tried again.

    Raises:
        Unavailable: Another update of the cluster is under way.
    """
    with aws_errors(what):
        try:
            yield
        except ClientError as error:
            if error.response["Error"]["Code"] != "ResourceInUseException":
                raise
            raise Unavailable(
                f"{what}: {error.response['Error'].get('Message', '')}",
                hint="another update of the cluster is under way; it is tried again",
            ) from error


def find_cluster(ctx: ActionContext, name: str) -> dict[str, Any]:
    """Read a cluster.

    Raises:
        TargetGone: There is none of this name in the account and region.
    """
    with eks_errors("eks:DescribeCluster"):
        found: dict[str, Any] = client(ctx, "eks").describe_cluster(name=name)["cluster"]
    return found


def cluster_target(cluster: dict[str, Any]) -> Target:
    """A cluster, as a plan names what it touches."""
    parts = str(cluster["arn"]).split(":")
    return Target(
        uid=cluster["arn"],
        type="aws.eks.cluster",
        name=cluster["name"],
        account=parts[4],
        region=parts[3],
        tags=dict(cluster.get("tags") or {}),
    )


def enabled_logs(cluster: dict[str, Any]) -> tuple[str, ...]:
    """The kinds of control plane logs that are on, sorted."""
    setup = (cluster.get("logging") or {}).get("clusterLogging") or []
    return tuple(sorted({t for entry in setup if entry.get("enabled") for t in entry.get("types", [])}))


def entry_arns(ctx: ActionContext, name: str) -> list[str]:
    """The principals that have an access entry."""
    with eks_errors("eks:ListAccessEntries"):
        pages = client(ctx, "eks").get_paginator("list_access_entries").paginate(clusterName=name)
        return sorted(arn for page in pages for arn in page["accessEntries"])


def access_entry(ctx: ActionContext, name: str, principal: str) -> AccessEntry | None:
    """An access entry with its policies; None if there is none."""
    eks = client(ctx, "eks")
    try:
        with eks_errors("eks:DescribeAccessEntry"):
            raw = eks.describe_access_entry(clusterName=name, principalArn=principal)["accessEntry"]
        with eks_errors("eks:ListAssociatedAccessPolicies"):
            pages = eks.get_paginator("list_associated_access_policies").paginate(
                clusterName=name, principalArn=principal
            )
            policies = [p for page in pages for p in page["associatedAccessPolicies"]]
    except TargetGone:
        return None
    return AccessEntry(
        principal=principal,
        type=raw.get("type", "STANDARD"),
        username=raw.get("username", ""),
        groups=tuple(sorted(raw.get("kubernetesGroups") or [])),
        policies=tuple(
            sorted(
                (
                    AccessPolicy(
                        arn=p["policyArn"],
                        scope=p["accessScope"]["type"],
                        namespaces=tuple(sorted(p["accessScope"].get("namespaces") or [])),
                    )
                    for p in policies
                ),
                key=lambda p: p.arn,
            )
        ),
        tags=dict(raw.get("tags") or {}),
    )
