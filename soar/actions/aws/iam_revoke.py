"""Deny everything to the sessions of a role: those from before now, or one by its name."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pydantic import AwareDatetime, Field

from soar.actions.aws.access import aws_errors, client
from soar.actions.aws.iam_common import (
    RoleParams,
    ensure_role_may_change,
    get_role,
    role_facts,
    role_target,
    when_present,
)
from soar.actions.aws.iam_principal import Principal, PrincipalParams
from soar.actions.aws.setting import Found, Said, Setting
from soar.actions.contract import Action, ActionContext, Draft, Planned, StateBefore, action
from soar.actions.errors import Drifted
from soar.model.base import JsonObject, canonical_json, digest_of
from soar.model.change import BlastRadius, Change, Result, Verification
from soar.model.terms import Phase, Risk

__all__ = ["REVOKE", "REVOKE_ONE", "RevokeRoleSessions", "RevokeSession"]

REVOKE = "AWSRevokeOlderSessions"
"""The name that AWS' own console gives to the policy by which it revokes a role's sessions."""
REVOKE_ONE = "IR-RevokeSession-"
"""What the names of policies against single sessions begin with."""


class PolicyBefore(StateBefore):
    """The inline policy of our name as it was; None: there was none."""

    policy: JsonObject | None


class RevokeParams(RoleParams):
    """Which sessions."""

    session_name: str = Field(
        default="",
        pattern=r"^[A-Za-z0-9_+=,.@-]{0,64}$",
        description="only the sessions of this name (of an EC2 instance: its id); empty: all sessions",
    )


def _sid(ctx: ActionContext) -> str:
    """What tells our statement from others: a retry of the same step finds its own cut-off by it."""
    return "IR" + digest_of([ctx.incident_id, ctx.step_id])[:24]


def _revocation(sid: str, params: RevokeParams, role: dict[str, Any], cutoff: datetime) -> JsonObject:
    condition: JsonObject = {"DateLessThan": {"aws:TokenIssueTime": cutoff.strftime("%Y-%m-%dT%H:%M:%SZ")}}
    if params.session_name:
        condition["StringEquals"] = {"aws:userid": f"{role['RoleId']}:{params.session_name}"}
    statement: JsonObject = {
        "Sid": sid,
        "Effect": "Deny",
        "Action": "*",
        "Resource": "*",
        "Condition": condition,
    }
    return {"Version": "2012-10-17", "Statement": [statement]}


def _cutoff(
    policy: JsonObject | None, sid: str, params: RevokeParams, role: dict[str, Any]
) -> datetime | None:
    """The cut-off of our own revocation; None if the policy is anything else."""
    try:
        text = policy["Statement"][0]["Condition"]["DateLessThan"]["aws:TokenIssueTime"]  # type: ignore[index,call-overload]
        cutoff = datetime.fromisoformat(str(text))
    except (TypeError, KeyError, IndexError, ValueError):
        return None
    return cutoff if policy == _revocation(sid, params, role, cutoff) else None


def _revoke_policy(ctx: ActionContext, role_name: str) -> JsonObject | None:
    with aws_errors("iam:GetRolePolicy"):
        found = when_present(client(ctx, "iam").get_role_policy, RoleName=role_name, PolicyName=REVOKE)
    return None if found is None else dict(found["PolicyDocument"])


@action(
    "aws.iam.revoke_role_sessions",
    risk=Risk.DISRUPTIVE,
    phase=Phase.CONTAINMENT,
    permissions=(
        "iam:GetRole",
        "iam:GetRolePolicy",
        "iam:ListInstanceProfilesForRole",
        "iam:PutRolePolicy",
        "iam:DeleteRolePolicy",
        "sts:GetCallerIdentity",
    ),
    d3fend="D3-ST",
)
class RevokeRoleSessions(Action[RevokeParams, PolicyBefore]):
    """Deny everything to the sessions of a role that were issued before now.

    Puts the inline policy AWSRevokeOlderSessions, as AWS' console does. The cut-off is the moment at which the change
    is first made: a retry keeps it.

    Pre-condition: the role exists and is not this worker's own, not a break-glass role, not service-linked, not one of
    IAM Identity Center, not tagged `soar:protected`.

    Verified by reading the policy back: it denies everything to sessions older than a cut-off that has passed.

    Undone by deleting the policy, or by putting back the one of the same name that was there before.

    Pitfalls: without `session_name` it hits every session of the role, production too; EC2 and Lambda fetch new
    ones by themselves, long-lived workers that keep theirs break. Whoever may still assume the role gets a new
    session: close the trust policy or take the instance profile off as well. IAM takes some 3–4 s to let it take
    effect. The simulated account ignores conditions (it denies all sessions), so there only the policy is shown.

    Example::

        - id: revoke_sessions
          name: Revoke the sessions of the instance's role
          do: aws.iam.revoke_role_sessions
          with:
            role_name: "{{ alert.actor.name }}"
            session_name: "{{ alert.actor.session_name }}"
    """

    def plan(self, ctx: ActionContext, params: RevokeParams) -> Draft[PolicyBefore]:
        role, name = get_role(ctx, params.role_name), params.role_name
        ensure_role_may_change(ctx, role)
        before = _revoke_policy(ctx, name)
        ours = _cutoff(before, _sid(ctx), params, role)
        which = f"the session {params.session_name}" if params.session_name else "all sessions"
        after = f"denies everything to {which} issued before the moment of applying"
        changes = (Change(target=role["Arn"], field=f"inline policy {REVOKE}", before=before, after=after),)
        warnings = ["Whoever may still assume the role gets a new session."]
        if before is not None and ours is None:
            warnings.append(f"The role has a policy {REVOKE} already; it is replaced, and put back by undo.")
        return Draft(
            summary=(
                f"Revoke {which} of role {name}"
                if ours is None
                else f"This step has already revoked {which} of role {name} issued before {ours:%Y-%m-%d %H:%M:%S} UTC"
            ),
            targets=(role_target(role),),
            changes=changes if ours is None else (),
            state=PolicyBefore(policy=before),
            blast_radius=BlastRadius(
                summary=(
                    f"Only the sessions named {params.session_name} are hit."
                    if params.session_name
                    else f"Every running session of role {name} is hit; services fetch a new one."
                ),
                facts=role_facts(ctx, role),
            ),
            warnings=tuple(warnings) if ours is None else (),
            undo=f"The former policy {REVOKE} is put back." if before else f"The policy {REVOKE} is deleted.",
        )

    def apply(self, ctx: ActionContext, planned: Planned[RevokeParams, PolicyBefore]) -> Result:
        params, sid = planned.params, _sid(ctx)
        role = get_role(ctx, params.role_name)
        cutoff = _cutoff(_revoke_policy(ctx, params.role_name), sid, params, role)
        if cutoff is None:
            cutoff = ctx.now.replace(microsecond=0)
            with aws_errors("iam:PutRolePolicy"):
                client(ctx, "iam").put_role_policy(
                    RoleName=params.role_name,
                    PolicyName=REVOKE,
                    PolicyDocument=canonical_json(_revocation(sid, params, role, cutoff)),
                )
        return Result(
            summary=f"sessions of role {params.role_name} issued before {cutoff:%Y-%m-%d %H:%M:%S} UTC are denied",
            data={"cutoff": cutoff.isoformat()},
        )

    def verify(self, ctx: ActionContext, planned: Planned[RevokeParams, PolicyBefore]) -> Verification:
        params, sid = planned.params, _sid(ctx)
        now = _revoke_policy(ctx, params.role_name)
        cutoff = _cutoff(now, sid, params, get_role(ctx, params.role_name))
        verified = cutoff is not None and cutoff <= ctx.now
        if verified:
            seen = f"{REVOKE} denies everything to sessions issued before {cutoff:%Y-%m-%d %H:%M:%S} UTC"
        else:
            seen = f"{REVOKE} is missing" if now is None else f"{REVOKE} is not the one that this step put"
        return Verification(verified=verified, seen=seen, method="iam:GetRolePolicy", data={"policy": now})

    def undo(self, ctx: ActionContext, planned: Planned[RevokeParams, PolicyBefore]) -> Result:
        name, before = planned.params.role_name, planned.state.policy
        now = _revoke_policy(ctx, name)
        ours = _cutoff(now, _sid(ctx), planned.params, get_role(ctx, name))
        if now != before and ours is None:
            raise Drifted(
                f"the policy {REVOKE} of role {name} is not the one that we put",
                differences=(f"it says {canonical_json(now)[:500]}",),
                hint="look who changed it; put it right by hand",
            )
        iam = client(ctx, "iam")
        if before is None:
            with aws_errors("iam:DeleteRolePolicy"):
                when_present(iam.delete_role_policy, RoleName=name, PolicyName=REVOKE)
            return Result(summary=f"deleted the policy {REVOKE} of role {name}")
        with aws_errors("iam:PutRolePolicy"):
            iam.put_role_policy(RoleName=name, PolicyName=REVOKE, PolicyDocument=canonical_json(before))
        return Result(summary=f"put the former policy {REVOKE} of role {name} back")


class SessionParams(RoleParams):
    """Which session."""

    session_name: str = Field(
        pattern=r"^[A-Za-z0-9_+=,.@-]{2,64}$", description="the session's name; of an EC2 instance: its id"
    )
    issued_before: AwareDatetime | None = Field(
        default=None,
        description="only if it was issued before this moment; left out: at any time, those to come as well",
    )


class SessionBefore(StateBefore):
    """The policy against this session; None: there is none.

    Args:
        role_id: What sessions of the role are known by, `AROA…`; a role that is made anew has another one.
    """

    role_id: str = Field(title="role's id")
    policy: JsonObject | None = Field(title="inline policy against the session")


@action(
    "aws.iam.revoke_session",
    risk=Risk.DISRUPTIVE,
    phase=Phase.CONTAINMENT,
    permissions=(
        "iam:GetRole",
        "iam:GetRolePolicy",
        "iam:ListInstanceProfilesForRole",
        "iam:PutRolePolicy",
        "iam:DeleteRolePolicy",
        "sts:GetCallerIdentity",
    ),
    d3fend="D3-ST",
)
class RevokeSession(Setting[SessionParams, SessionBefore]):
    """Deny everything to one session of a role, and leave the others alone.

    Puts an inline policy of its own for this session, so that several can be revoked side by side. It denies every
    action where `aws:userid` is `<role id>:<session name>`; with `issued_before`, only where `aws:TokenIssueTime` is
    before that moment as well. Without it the name stays denied: of an instance, whose sessions all have its id as
    their name, also the credentials that it fetches later.

    Pre-condition: the role exists and is not this worker's own, not a break-glass role, not service-linked, not one of
    IAM Identity Center, not tagged `soar:protected`. Denied already by that policy: nothing is done.

    Verified by reading the policy back: it is exactly the one that was put.

    Undone by deleting the policy, or by putting back the one of the same name that was there before. It refuses if
    somebody changed it since.

    Pitfalls: who makes a session chooses its name. Whoever may still assume the role takes another name and goes on:
    use `aws.iam.revoke_role_sessions` or `aws.iam.restrict_role_trust` then. Everybody who uses the same name is hit.
    Sessions of other roles that the session assumed live on; look for them in CloudTrail. Whether a session of the name
    exists cannot be seen. IAM takes some 3–4 s to let it take effect. The simulated account ignores conditions (it
    denies all sessions), so there only the policy is shown.

    Example::

        - id: revoke_session
          name: Revoke the attacker's session
          do: aws.iam.revoke_session
          with:
            role_name: "{{ alert.actor.name }}"
            session_name: "{{ alert.actor.session_name }}"
    """

    method = "iam:GetRolePolicy"

    def look(self, ctx: ActionContext, params: SessionParams) -> Found[SessionBefore]:
        role = _principal(ctx, params)
        return Found(
            target=role.target,
            state=SessionBefore(
                role_id=role.raw["RoleId"], policy=role.inline_policy(_policy_name(params.session_name))
            ),
            facts=role.facts(),
        )

    def wanted(self, params: SessionParams, state: SessionBefore) -> SessionBefore:
        condition: JsonObject = {"StringEquals": {"aws:userid": f"{state.role_id}:{params.session_name}"}}
        if params.issued_before:
            before = params.issued_before.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            condition["DateLessThan"] = {"aws:TokenIssueTime": before}
        statement: JsonObject = {
            "Sid": "IRRevokeSession",
            "Effect": "Deny",
            "Action": "*",
            "Resource": "*",
            "Condition": condition,
        }
        return SessionBefore(
            role_id=state.role_id, policy={"Version": "2012-10-17", "Statement": [statement]}
        )

    def guard(self, ctx: ActionContext, params: SessionParams, found: Found[SessionBefore]) -> None:
        _principal(ctx, params).ensure_may_change()

    def say(self, params: SessionParams, found: Found[SessionBefore], then: SessionBefore) -> Said:
        when = (
            f" issued before {params.issued_before.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
            if params.issued_before
            else ""
        )
        warnings = ["Whoever may still assume the role gets a session of another name."]
        if not params.issued_before:
            warnings.append(f"Sessions named {params.session_name} that are made later are denied as well.")
        name = _policy_name(params.session_name)
        return Said(
            summary=f"Revoke the session {params.session_name}{when} of role {params.role_name} by the policy {name}",
            hits=f"Only sessions named {params.session_name} are hit.",
            warnings=tuple(warnings),
            undo=f"The former policy {name} is put back."
            if found.state.policy
            else f"The policy {name} is deleted.",
        )

    def write(
        self, ctx: ActionContext, params: SessionParams, now: SessionBefore, then: SessionBefore
    ) -> None:
        role, name = _principal(ctx, params), _policy_name(params.session_name)
        if then.policy is None:
            role.delete_inline_policy(name)
        else:
            role.put_inline_policy(name, canonical_json(then.policy))


def _policy_name(session_name: str) -> str:
    return REVOKE_ONE + digest_of(session_name)[:16]


def _principal(ctx: ActionContext, params: RoleParams) -> Principal:
    return Principal(ctx, PrincipalParams(type="role", name=params.role_name))
