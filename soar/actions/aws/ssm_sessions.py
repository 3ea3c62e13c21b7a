"""End shell sessions that run through Systems Manager."""

from __future__ import annotations

from pydantic import Field, model_validator

from soar.actions.aws.access import aws_errors, client
from soar.actions.aws.guards import ensure_not_protected
from soar.actions.aws.setting import Found, OneWaySetting, Said
from soar.actions.contract import ActionContext, Params, StateBefore, action
from soar.actions.errors import Refused
from soar.model.base import Fact
from soar.model.change import Target
from soar.model.terms import Phase, Risk

__all__ = ["TerminateSessions"]


class SessionsParams(Params):
    """Whose sessions, or to what.

    Args:
        keep: Session ids and owners' ARNs that are left alone: the responders' own.
    """

    target: str = Field(
        default="",
        pattern=r"^((i|mi)-[0-9a-f]{8,17}|ecs:[\w-]+_[\w-]+_[\w-]+)?$",
        description="the instance (or `ecs:<cluster>_<task>_<runtime id>`) that they go to; empty: any",
    )
    owner: str = Field(
        default="",
        pattern=r"^(arn:aws[a-zA-Z-]*:(iam|sts)::[0-9]{12}:[\w+=,.@/-]{1,200})?$",
        description="the ARN of who opened them; empty: anybody",
    )
    keep: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _some(self) -> SessionsParams:
        if not self.target and not self.owner:
            raise ValueError(
                "name a `target`, an `owner`, or both: all sessions of a region are never ended at once"
            )
        return self


class OpenSession(Fact):
    """A session that is open."""

    session_id: str
    target: str
    owner: str


class SessionsBefore(StateBefore):
    """The open sessions that are to end, by id."""

    sessions: tuple[OpenSession, ...] = Field(title="open sessions")


@action(
    "aws.ssm.terminate_sessions",
    risk=Risk.DESTRUCTIVE,
    phase=Phase.CONTAINMENT,
    permissions=(
        "ssm:DescribeSessions",
        "ssm:TerminateSession",
        "ec2:DescribeInstances",
        "sts:GetCallerIdentity",
    ),
    d3fend="D3-ST",
)
class TerminateSessions(OneWaySetting[SessionsParams, SessionsBefore]):
    """End the Session Manager sessions of somebody, or to some instance.

    Shells and forwarded ports end at once; what runs on the instance by itself goes on.

    Pre-condition: `target`, `owner` or both are named, and no instance that a session goes to is tagged
    `soar:protected`. Sessions in `keep`, and those of this worker, are left alone. No such session: nothing is done.

    Verified by listing the open sessions: none of them is left.

    Pitfalls: an ended session cannot be put back; who opened it can open another one as long as the permission is
    there, so take that first. Processes that were started with `nohup` or as services stay. Sessions over SSH keys or
    the serial console are not among these. The log of a session is kept only where the preferences say so.

    Shown on replies of our own making: the simulated account has no sessions.

    Example::

        - id: shells
          name: End the shells on the instance
          do: aws.ssm.terminate_sessions
          with:
            target: i-0123456789abcdef0
    """

    method = "ssm:DescribeSessions"

    def look(self, ctx: ActionContext, params: SessionsParams) -> Found[SessionsBefore]:
        filters = [
            {"key": k, "value": v} for k, v in (("Target", params.target), ("Owner", params.owner)) if v
        ]
        with aws_errors("ssm:DescribeSessions"):
            pages = (
                client(ctx, "ssm")
                .get_paginator("describe_sessions")
                .paginate(State="Active", Filters=filters)
            )
            raw = [s for page in pages for s in page["Sessions"]]
        with aws_errors("sts:GetCallerIdentity"):
            own = client(ctx, "sts").get_caller_identity()
        kept = {*params.keep, own["Arn"]}
        sessions = [s for s in raw if not {s["SessionId"], s.get("Owner", "")} & kept]
        found = [
            OpenSession(session_id=s["SessionId"], target=s.get("Target", ""), owner=s.get("Owner", ""))
            for s in sessions
        ]
        return Found(
            target=_target(params, str(own["Account"]), client(ctx, "ssm").meta),
            state=SessionsBefore(sessions=tuple(sorted(found, key=lambda s: s.session_id))),
            facts=(
                *(
                    f"{s['SessionId']} to {s.get('Target', '')} is open since {s['StartDate']:%Y-%m-%d %H:%M} UTC"
                    for s in sessions[:12]
                    if s.get("StartDate")
                ),
                *(f"{s['SessionId']} is left alone" for s in raw if s not in sessions),
            ),
        )

    def wanted(self, params: SessionsParams, state: SessionsBefore) -> SessionsBefore:
        return SessionsBefore(sessions=())

    def guard(self, ctx: ActionContext, params: SessionsParams, found: Found[SessionsBefore]) -> None:
        instances = sorted({s.target for s in found.state.sessions if s.target.startswith("i-")})
        if not instances:
            return
        # By a filter and not by id: a session may outlive the entry of its instance.
        with aws_errors("ec2:DescribeInstances"):
            pages = (
                client(ctx, "ec2")
                .get_paginator("describe_instances")
                .paginate(Filters=[{"Name": "instance-id", "Values": instances}])
            )
            for raw in (i for page in pages for r in page["Reservations"] for i in r["Instances"]):
                tags = {t["Key"]: t["Value"] for t in raw.get("Tags", [])}
                ensure_not_protected("instance", raw["InstanceId"], tags)

    def say(self, params: SessionsParams, found: Found[SessionsBefore], then: SessionsBefore) -> Said:
        owners = sorted({s.owner for s in found.state.sessions})
        return Said(
            summary=f"End {len(found.state.sessions)} session(s) of {', '.join(owners)[:300]}",
            hits="Shells and forwarded ports end at once.",
            warnings=("Who may start sessions can open another one at once: take that permission first.",),
        )

    def write(
        self, ctx: ActionContext, params: SessionsParams, now: SessionsBefore, then: SessionsBefore
    ) -> None:
        for session in now.sessions:
            if session in then.sessions:
                raise Refused("an ended session cannot be opened again", hint="who needs one opens it anew")
            with aws_errors("ssm:TerminateSession"):
                client(ctx, "ssm").terminate_session(SessionId=session.session_id)


def _target(params: SessionsParams, account: str, meta: object) -> Target:
    region, partition = getattr(meta, "region_name", ""), getattr(meta, "partition", "aws")
    if params.target.startswith("i-"):
        uid, kind = f"arn:{partition}:ec2:{region}:{account}:instance/{params.target}", "aws.ec2.instance"
    elif params.target:
        uid, kind = f"arn:{partition}:ssm:{region}:{account}:target/{params.target}", "aws.ssm.target"
    else:
        uid, kind = params.owner, "aws.iam.principal"
    return Target(uid=uid, type=kind, name=params.target or params.owner, account=account, region=region)
