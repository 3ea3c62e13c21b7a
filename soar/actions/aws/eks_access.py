"""Who may enter an EKS cluster by IAM: read it, and take somebody out."""

from __future__ import annotations

from pydantic import Field
from pydantic_core import to_jsonable_python

from soar.actions.aws.access import AwsAccess, aws_errors, client
from soar.actions.aws.eks_common import (
    AccessEntry,
    EksParams,
    access_entry,
    cluster_target,
    eks_errors,
    enabled_logs,
    entry_arns,
    find_cluster,
)
from soar.actions.aws.setting import Found, Said, Setting
from soar.actions.contract import ActionContext, StateBefore, action
from soar.actions.errors import ActionError, Refused
from soar.model.base import Fact, canonical_json
from soar.model.terms import Phase, Risk

__all__ = ["ClusterFacts", "DeleteAccessEntry", "describe_cluster"]

MOST_ENTRIES = 200


class ClusterFacts(Fact):
    """A cluster and who may enter it.

    Args:
        authentication: `CONFIG_MAP` means that the `aws-auth` config map inside the cluster lets people in, which is
            not read here.
        open_to_the_world: Whether everybody reaches the endpoint (what they may do there is another matter).
        not_read: What could not be read, and why.
    """

    summary: str
    name: str
    arn: str
    version: str
    status: str
    endpoint: str
    public: bool
    private: bool
    public_cidrs: tuple[str, ...]
    open_to_the_world: bool
    logs: tuple[str, ...]
    authentication: str
    encrypted_secrets: bool
    role: str
    vpc_id: str
    security_groups: tuple[str, ...]
    nodegroups: tuple[str, ...]
    entries: tuple[AccessEntry, ...]
    tags: dict[str, str]
    not_read: tuple[str, ...]


@action(
    "aws.eks.describe_cluster",
    risk=Risk.READ,
    phase=Phase.IDENTIFICATION,
    permissions=(
        "eks:DescribeCluster",
        "eks:ListNodegroups",
        "eks:ListAccessEntries",
        "eks:DescribeAccessEntry",
        "eks:ListAssociatedAccessPolicies",
    ),
    plan_timeout=180,
    d3fend="D3-AI",
)
def describe_cluster(ctx: ActionContext, params: EksParams) -> ClusterFacts:
    """Read an EKS cluster from outside, and keep it as evidence.

    Who reaches its endpoint, what it records, which node groups it has, and whom its access entries let in, as what.

    Evidence: one JSON document with the cluster as the service gave it, its node groups and access entries.

    Pitfalls: nothing inside the cluster is read: no pods, roles or service accounts, and not the `aws-auth` config map,
    which lets people in as well where `authentication` names `CONFIG_MAP`.

    Access entries are shown on replies of our own making: the simulated account has none.

    Example::

        - id: cluster
          name: Look at the cluster
          do: aws.eks.describe_cluster
          with:
            cluster: shop
    """
    cluster = find_cluster(ctx, params.cluster)
    with eks_errors("eks:ListNodegroups"):
        pages = client(ctx, "eks").get_paginator("list_nodegroups").paginate(clusterName=params.cluster)
        groups = sorted(name for page in pages for name in page["nodegroups"])
    not_read: list[str] = []
    entries = _entries(ctx, params.cluster, not_read)
    document = {
        "cluster": cluster,
        "nodegroups": groups,
        "access_entries": [e.model_dump(mode="json") for e in entries],
    }
    ctx.keep_evidence(
        f"{params.cluster}.json",
        canonical_json(to_jsonable_python(document)).encode(),
        media_type="application/json",
        source="eks:DescribeCluster",
    )
    setup = cluster.get("resourcesVpcConfig") or {}
    public = bool(setup.get("endpointPublicAccess", True))
    ranges = tuple(sorted(setup.get("publicAccessCidrs") or (["0.0.0.0/0"] if public else [])))
    everybody = public and bool({"0.0.0.0/0", "::/0"} & set(ranges))
    logs = enabled_logs(cluster)
    return ClusterFacts(
        summary=f"{params.cluster} is {cluster.get('status', '')}, "
        + ("reached by everybody" if everybody else "not reached by everybody")
        + f", audit log {'on' if 'audit' in logs else 'off'}, {len(entries)} access entr"
        + ("y" if len(entries) == 1 else "ies"),
        name=cluster["name"],
        arn=cluster["arn"],
        version=cluster.get("version") or "",
        status=cluster.get("status") or "",
        endpoint=cluster.get("endpoint") or "",
        public=public,
        private=bool(setup.get("endpointPrivateAccess")),
        public_cidrs=ranges,
        open_to_the_world=everybody,
        logs=logs,
        authentication=(cluster.get("accessConfig") or {}).get("authenticationMode") or "CONFIG_MAP",
        encrypted_secrets=bool(cluster.get("encryptionConfig")),
        role=cluster.get("roleArn") or "",
        vpc_id=setup.get("vpcId") or "",
        security_groups=tuple(
            sorted({*(setup.get("securityGroupIds") or []), setup.get("clusterSecurityGroupId") or ""} - {""})
        ),
        nodegroups=tuple(groups),
        entries=tuple(entries),
        tags=dict(cluster.get("tags") or {}),
        not_read=tuple(not_read),
    )


def _entries(ctx: ActionContext, cluster: str, not_read: list[str]) -> list[AccessEntry]:
    """All access entries. A cluster that has only its config map refuses to list them."""
    try:
        arns = entry_arns(ctx, cluster)
    except ActionError as error:
        if error.retryable:
            raise
        not_read.append(f"access entries: {error.message}")
        return []
    found: list[AccessEntry] = []
    for arn in arns[:MOST_ENTRIES]:
        ctx.report(f"{len(found)} of {len(arns)} access entries read")
        entry = access_entry(ctx, cluster, arn)
        if entry is not None:
            found.append(entry)
    if len(arns) > MOST_ENTRIES:
        not_read.append(f"access entries: {len(arns) - MOST_ENTRIES} more")
    return found


class EntryParams(EksParams):
    """Whose entry."""

    principal: str = Field(
        pattern=r"^arn:aws[a-zA-Z-]*:iam::[0-9]{12}:(role|user)/[A-Za-z0-9_+=,.@/-]{1,512}$",
        description="the ARN of the role or user, as IAM has it",
    )


class EntryBefore(StateBefore):
    """The entry; None: there is none."""

    entry: AccessEntry | None = Field(title="access entry")


@action(
    "aws.eks.delete_access_entry",
    risk=Risk.DISRUPTIVE,
    phase=Phase.CONTAINMENT,
    permissions=(
        "eks:DescribeCluster",
        "eks:ListAccessEntries",
        "eks:DescribeAccessEntry",
        "eks:ListAssociatedAccessPolicies",
        "eks:DeleteAccessEntry",
        "eks:CreateAccessEntry",
        "eks:AssociateAccessPolicy",
        "eks:TagResource",
        "sts:GetCallerIdentity",
    ),
    d3fend="D3-AL",
)
class DeleteAccessEntry(Setting[EntryParams, EntryBefore]):
    """Let a role or user of IAM into a cluster no more.

    Pre-condition: the cluster exists; neither it nor the entry is tagged `soar:protected`; the entry is one of people
    or programs (`STANDARD`), not of nodes, and not this worker's own. There is none: nothing is done.

    Verified by reading the entry: there is none.

    Undone by making the entry again with the recorded user name, groups and tags, and giving it each recorded policy.
    It refuses if somebody made one since.

    Pitfalls: the `aws-auth` config map may let the principal in as well, as long as the cluster looks at it. Tokens are
    good for 15 minutes, but are looked up at each request. Tokens of service accounts are not affected. An entry that
    was made with a principal that was deleted and made again does not fit the new one.

    Shown on replies of our own making: the simulated account has no access entries.

    Example::

        - id: out
          name: Take the role out of the cluster
          do: aws.eks.delete_access_entry
          with:
            cluster: shop
            principal: arn:aws:iam::111122223333:role/deploy
    """

    method = "eks:DescribeAccessEntry"

    def look(self, ctx: ActionContext, params: EntryParams) -> Found[EntryBefore]:
        cluster = find_cluster(ctx, params.cluster)
        entry = access_entry(ctx, params.cluster, params.principal)
        others = [arn for arn in entry_arns(ctx, params.cluster) if arn != params.principal]
        target = cluster_target(cluster)
        tags = {**target.tags, **(entry.tags if entry else {})}
        mode = (cluster.get("accessConfig") or {}).get("authenticationMode") or "CONFIG_MAP"
        return Found(
            target=target.model_copy(update={"tags": tags}),
            state=EntryBefore(entry=entry),
            facts=(
                f"{len(others)} other access entr{'y' if len(others) == 1 else 'ies'} stay",
                f"the cluster looks at {mode}",
            ),
        )

    def wanted(self, params: EntryParams, state: EntryBefore) -> EntryBefore:
        return EntryBefore(entry=None)

    def guard(self, ctx: ActionContext, params: EntryParams, found: Found[EntryBefore]) -> None:
        entry = found.state.entry
        if entry is not None and entry.type != "STANDARD":
            raise Refused(
                f"the entry of {params.principal} is one of nodes ({entry.type}): they would all leave the cluster",
                hint="isolate the nodes as EC2 instances instead",
            )
        with aws_errors("sts:GetCallerIdentity"):
            callers = {
                str(ctx.service(AwsAccess).client("sts").get_caller_identity()["Arn"]),
                str(client(ctx, "sts").get_caller_identity()["Arn"]),
            }
        account, name = params.principal.split(":")[4], params.principal.rpartition("/")[2]
        for arn in callers:
            if arn == params.principal or (
                arn.split(":")[4] == account
                and f":assumed-role/{name}/" in arn
                and ":role/" in params.principal
            ):
                raise Refused(
                    f"{params.principal} is this worker's own: it would lock itself out of the cluster",
                    hint="act with other credentials",
                )

    def say(self, params: EntryParams, found: Found[EntryBefore], then: EntryBefore) -> Said:
        mapped = "CONFIG_MAP" in found.facts[-1]
        return Said(
            summary=f"Let {params.principal} into cluster {params.cluster} no more",
            hits="Whoever uses this principal is refused by the cluster.",
            warnings=("The config map `aws-auth` may let the principal in as well: look there.",)
            if mapped
            else (),
            undo="The entry is made again with its user name, groups, tags and policies.",
        )

    def write(self, ctx: ActionContext, params: EntryParams, now: EntryBefore, then: EntryBefore) -> None:
        eks, named = client(ctx, "eks"), {"clusterName": params.cluster, "principalArn": params.principal}
        if then.entry is None:
            with eks_errors("eks:DeleteAccessEntry"):
                eks.delete_access_entry(**named)
            return
        if now.entry is None:
            with eks_errors("eks:CreateAccessEntry"):
                eks.create_access_entry(
                    **named,
                    type=then.entry.type,
                    username=then.entry.username,
                    kubernetesGroups=list(then.entry.groups),
                    tags=then.entry.tags,
                )
        have = now.entry.policies if now.entry else ()
        for policy in (p for p in then.entry.policies if p not in have):
            scope = {
                "type": policy.scope,
                **({"namespaces": list(policy.namespaces)} if policy.namespaces else {}),
            }
            with eks_errors("eks:AssociateAccessPolicy"):
                eks.associate_access_policy(**named, policyArn=policy.arn, accessScope=scope)
