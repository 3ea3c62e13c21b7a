"""The control plane of an EKS cluster: its logs, and who reaches its endpoint."""

from __future__ import annotations

from pydantic import Field, field_validator

from soar.actions.aws.access import client
from soar.actions.aws.addresses import contains, network
from soar.actions.aws.eks_common import EksParams, cluster_target, eks_errors, enabled_logs, find_cluster
from soar.actions.aws.setting import Found, Said, Setting
from soar.actions.contract import ActionContext, StateBefore, action
from soar.actions.errors import Refused
from soar.model.terms import Phase, Risk

__all__ = ["EnableAuditLogs", "RestrictEndpoint"]

KINDS = ("api", "audit", "authenticator", "controllerManager", "scheduler")
AUDIT = ("api", "audit", "authenticator")
"""The logs that say who asked for what, and as whom."""


class LogsBefore(StateBefore):
    """The logs that are on."""

    enabled: tuple[str, ...] = Field(title="control plane logs")


@action(
    "aws.eks.enable_audit_logs",
    risk=Risk.REVERSIBLE,
    phase=Phase.CONTAINMENT,
    permissions=("eks:DescribeCluster", "eks:UpdateClusterConfig"),
    verify_timeout=1800,
)
class EnableAuditLogs(Setting[EksParams, LogsBefore]):
    """Record who asks a cluster for what: its API, audit and authenticator logs.

    Pre-condition: the cluster exists and is not tagged `soar:protected`. All three are on already: nothing is done.

    Verified by reading the cluster: the logs are on, and no update is under way.

    Undone by switching exactly those off that were switched on. It refuses if the logs were changed since.

    Pitfalls: it records from now on, nothing from before. The records go to the log group `/aws/eks/<cluster>/cluster`
    and are billed; whoever may delete that group can delete them. A cluster takes one update at a time, and each takes
    some minutes.

    Example::

        - id: audit
          name: Record what is asked of the cluster
          do: aws.eks.enable_audit_logs
          with:
            cluster: shop
    """

    method = "eks:DescribeCluster"

    def look(self, ctx: ActionContext, params: EksParams) -> Found[LogsBefore]:
        cluster = find_cluster(ctx, params.cluster)
        status = cluster.get("status", "ACTIVE")
        return Found(
            target=cluster_target(cluster),
            state=LogsBefore(enabled=enabled_logs(cluster)),
            pending="" if status == "ACTIVE" else f"the cluster is {status}",
        )

    def wanted(self, params: EksParams, state: LogsBefore) -> LogsBefore:
        return LogsBefore(enabled=tuple(sorted({*state.enabled, *AUDIT})))

    def say(self, params: EksParams, found: Found[LogsBefore], then: LogsBefore) -> Said:
        new = ", ".join(t for t in then.enabled if t not in found.state.enabled)
        return Said(
            summary=f"Switch the {new} log(s) of cluster {params.cluster} on",
            hits="Nothing is interrupted; the records are billed.",
            warnings=("What was asked before is in no audit log.",)
            if "audit" not in found.state.enabled
            else (),
            undo="Exactly these logs are switched off again.",
        )

    def write(self, ctx: ActionContext, params: EksParams, now: LogsBefore, then: LogsBefore) -> None:
        setup = [{"types": list(then.enabled), "enabled": True}] if then.enabled else []
        off = [t for t in KINDS if t not in then.enabled]
        if off:
            setup.append({"types": off, "enabled": False})
        with eks_errors("eks:UpdateClusterConfig"):
            client(ctx, "eks").update_cluster_config(name=params.cluster, logging={"clusterLogging": setup})


class EndpointParams(EksParams):
    """Who reaches the endpoint from the internet from now on.

    Args:
        cidrs: The only ranges that do.
        responders: Where you work from, this worker too if it is outside of the VPC: each must lie in `cidrs`, so that
            nobody locks you out.
    """

    cidrs: tuple[str, ...] = Field(min_length=1, max_length=40)
    responders: tuple[str, ...] = Field(min_length=1)

    @field_validator("cidrs", "responders")
    @classmethod
    def _normal(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(sorted({str(network(text)) for text in given}))


class EndpointBefore(StateBefore):
    """Who reaches the endpoint."""

    public: bool = Field(title="public endpoint")
    cidrs: tuple[str, ...] = Field(title="ranges that reach the public endpoint")
    private: bool = Field(title="endpoint inside the VPC")


@action(
    "aws.eks.restrict_endpoint",
    risk=Risk.DISRUPTIVE,
    phase=Phase.CONTAINMENT,
    permissions=("eks:DescribeCluster", "eks:UpdateClusterConfig"),
    verify_timeout=1800,
    d3fend="D3-ITF",
)
class RestrictEndpoint(Setting[EndpointParams, EndpointBefore]):
    """Let only named ranges reach a cluster's endpoint from the internet.

    The endpoint inside the VPC is switched on as well: nodes would else have to be among the named ranges.

    Pre-condition: the cluster exists and is not tagged `soar:protected`, and all of `responders` lies in `cidrs`. The
    endpoint is not public, or has these ranges and its place in the VPC already: nothing is done.

    Verified by reading the cluster: ranges and endpoints are as wanted, and no update is under way.

    Undone by writing the recorded ranges and endpoints. It refuses if they were changed since.

    Pitfalls: pipelines, developers and nodes of other networks that are not in the ranges are cut off. Who is inside
    the VPC, on a pod for one, still reaches the endpoint: take the credentials. Connections that are open may go on for
    a while. The VPC needs DNS hostnames and resolution for the endpoint inside. The update takes some minutes.

    Example::

        - id: endpoint
          name: Let only us reach the cluster
          do: aws.eks.restrict_endpoint
          with:
            cluster: shop
            cidrs: [198.51.100.0/24]
            responders: [198.51.100.7/32]
    """

    method = "eks:DescribeCluster"

    def look(self, ctx: ActionContext, params: EndpointParams) -> Found[EndpointBefore]:
        cluster = find_cluster(ctx, params.cluster)
        setup = cluster.get("resourcesVpcConfig") or {}
        public = bool(setup.get("endpointPublicAccess", True))
        status = cluster.get("status", "ACTIVE")
        ranges = setup.get("publicAccessCidrs") or (["0.0.0.0/0"] if public else [])
        return Found(
            target=cluster_target(cluster),
            state=EndpointBefore(
                public=public, cidrs=tuple(sorted(ranges)), private=bool(setup.get("endpointPrivateAccess"))
            ),
            facts=(f"the endpoint is {cluster.get('endpoint', 'unknown')}",),
            pending="" if status == "ACTIVE" else f"the cluster is {status}",
        )

    def wanted(self, params: EndpointParams, state: EndpointBefore) -> EndpointBefore:
        return EndpointBefore(public=True, cidrs=params.cidrs, private=True) if state.public else state

    def guard(self, ctx: ActionContext, params: EndpointParams, found: Found[EndpointBefore]) -> None:
        ranges = [network(c) for c in params.cidrs]
        wide = next((r for r in ranges if r.prefixlen == 0), None)
        if wide is not None:
            raise Refused(f"{wide} is everybody", hint="name the ranges that you work from")
        out = [r for r in params.responders if not any(contains(c, network(r)) for c in ranges)]
        if out:
            raise Refused(
                f"the responders at {', '.join(out)} would be locked out of cluster {params.cluster}",
                hint="add them to `cidrs`",
            )

    def say(self, params: EndpointParams, found: Found[EndpointBefore], then: EndpointBefore) -> Said:
        lost = [c for c in found.state.cidrs if c not in then.cidrs]
        return Said(
            summary=f"Let only {', '.join(then.cidrs)[:300]} reach the endpoint of cluster {params.cluster}",
            hits=f"Everybody else at {', '.join(lost)[:300]} is cut off from it."
            if lost
            else "The endpoint inside the VPC is switched on.",
            warnings=("Pipelines and nodes outside of the VPC and of these ranges lose the cluster.",),
            undo="The recorded ranges and endpoints are written back.",
        )

    def write(
        self, ctx: ActionContext, params: EndpointParams, now: EndpointBefore, then: EndpointBefore
    ) -> None:
        setup = {"endpointPublicAccess": then.public, "endpointPrivateAccess": then.private}
        ranges = {"publicAccessCidrs": list(then.cidrs)} if then.public else {}
        with eks_errors("eks:UpdateClusterConfig"):
            client(ctx, "eks").update_cluster_config(
                name=params.cluster, resourcesVpcConfig={**setup, **ranges}
            )
