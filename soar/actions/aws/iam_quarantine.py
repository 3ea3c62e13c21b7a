"""Deny everything to a user, or to the sessions of a role."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from soar.actions.aws.access import aws_errors, client
from soar.actions.aws.iam_common import (
    RoleParams,
    UserParams,
    ensure_inline_room,
    ensure_role_may_change,
    ensure_user_may_change,
    get_role,
    get_user,
    inline_user_policy,
    role_facts,
    role_target,
    user_facts,
    user_target,
    when_present,
)
from soar.actions.contract import Action, ActionContext, Draft, Planned, StateBefore, action
from soar.actions.errors import Drifted
from soar.model.base import JsonObject, canonical_json, digest_of
from soar.model.change import BlastRadius, Change, Result, Verification
from soar.model.terms import Phase, Risk

__all__ = ["QUARANTINE", "REVOKE", "QuarantineUser", "RevokeRoleSessions"]

QUARANTINE = "IR-Quarantine"
REVOKE = "AWSRevokeOlderSessions"
"""The name that AWS' own console gives to the policy by which it revokes a role's sessions."""

DENY_ALL: JsonObject = {
    "Version": "2012-10-17",
    "Statement": [{"Sid": "IRQuarantine", "Effect": "Deny", "Action": "*", "Resource": "*"}],
}


class PolicyBefore(StateBefore):
    """The inline policy of our name as it was; None: there was none."""

    policy: JsonObject | None


@action(
    "aws.iam.quarantine_user",
    risk=Risk.REVERSIBLE,
    phase=Phase.CONTAINMENT,
    permissions=(
        "iam:GetUser",
        "iam:GetUserPolicy",
        "iam:ListUserPolicies",
        "iam:ListGroupsForUser",
        "iam:ListAccessKeys",
        "iam:GetAccessKeyLastUsed",
        "iam:GetLoginProfile",
        "iam:PutUserPolicy",
        "iam:DeleteUserPolicy",
        "sts:GetCallerIdentity",
    ),
    d3fend="D3-AL",
)
class QuarantineUser(Action[UserParams, PolicyBefore]):
    """Deny everything to an IAM user by the inline policy IR-Quarantine.

    An explicit deny wins over every grant. It hits the user's keys, its console session and the sessions made by
    GetSessionToken and GetFederationToken, the ones from before as well: they are judged by the user's policies at
    each call.

    Pre-condition: the user exists, and is neither this worker's own, nor a break-glass user, nor tagged
    `soar:protected`; its inline policies leave room for one more.

    Verified by reading the policy back: it is exactly the one that was put.

    Undone by deleting the policy, or by putting back the one of the same name that was there before.

    Pitfalls: sessions of roles that the user assumed are not the user's: use `aws.iam.revoke_role_sessions` for
    each. IAM takes some 3–4 s to let it take effect, in which an attacker who may change IAM can take it away again:
    only a service control policy that protects the policy closes that gap. On the simulated account with enforcement
    on, the user's calls are seen to be denied.

    Example::

        - id: quarantine_user
          name: Deny everything to the user
          do: aws.iam.quarantine_user
          with:
            user_name: "{{ alert.actor.name }}"
    """

    def plan(self, ctx: ActionContext, params: UserParams) -> Draft[PolicyBefore]:
        user, name = get_user(ctx, params.user_name), params.user_name
        ensure_user_may_change(ctx, user)
        before = inline_user_policy(ctx, name, QUARANTINE)
        changes: tuple[Change, ...] = ()
        if before != DENY_ALL:
            ensure_inline_room(ctx, name, QUARANTINE, DENY_ALL)
            changes = (
                Change(
                    target=user["Arn"], field=f"inline policy {QUARANTINE}", before=before, after=DENY_ALL
                ),
            )
        return Draft(
            summary=(
                f"Deny everything to user {name} by the inline policy {QUARANTINE}"
                if changes
                else f"User {name} is already denied everything by {QUARANTINE}"
            ),
            targets=(user_target(user),),
            changes=changes,
            state=PolicyBefore(policy=before),
            blast_radius=BlastRadius(
                summary=f"Whatever runs as user {name} stops, by any of its keys, sessions or the console.",
                facts=user_facts(ctx, name),
            ),
            warnings=("Sessions of roles that the user assumed earlier live on.",) if changes else (),
            undo=(
                f"The former policy {QUARANTINE} is put back."
                if before
                else f"The policy {QUARANTINE} is deleted."
            ),
        )

    def apply(self, ctx: ActionContext, planned: Planned[UserParams, PolicyBefore]) -> Result:
        with aws_errors("iam:PutUserPolicy"):
            client(ctx, "iam").put_user_policy(
                UserName=planned.params.user_name,
                PolicyName=QUARANTINE,
                PolicyDocument=canonical_json(DENY_ALL),
            )
        return Result(summary=f"put the policy {QUARANTINE} on user {planned.params.user_name}")

    def verify(self, ctx: ActionContext, planned: Planned[UserParams, PolicyBefore]) -> Verification:
        now = inline_user_policy(ctx, planned.params.user_name, QUARANTINE)
        verified = now == DENY_ALL
        seen = f"{planned.params.user_name} is denied every action by {QUARANTINE}"
        if not verified:
            seen = f"{QUARANTINE} is missing" if now is None else f"{QUARANTINE} says something else"
        return Verification(verified=verified, seen=seen, method="iam:GetUserPolicy", data={"policy": now})

    def undo(self, ctx: ActionContext, planned: Planned[UserParams, PolicyBefore]) -> Result:
        name, before = planned.params.user_name, planned.state.policy
        now = inline_user_policy(ctx, name, QUARANTINE)
        if now not in (before, DENY_ALL):
            raise Drifted(
                f"the policy {QUARANTINE} of user {name} is not the one that we put",
                differences=(f"it says {canonical_json(now)[:500]}",),
                hint="look who changed it; put it right by hand",
            )
        iam = client(ctx, "iam")
        if before is None:
            with aws_errors("iam:DeleteUserPolicy"):
                when_present(iam.delete_user_policy, UserName=name, PolicyName=QUARANTINE)
            return Result(summary=f"deleted the policy {QUARANTINE} of user {name}")
        with aws_errors("iam:PutUserPolicy"):
            iam.put_user_policy(UserName=name, PolicyName=QUARANTINE, PolicyDocument=canonical_json(before))
        return Result(summary=f"put the former policy {QUARANTINE} of user {name} back")


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
