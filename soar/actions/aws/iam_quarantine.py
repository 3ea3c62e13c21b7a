"""Deny everything to a user or a role."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

from botocore.exceptions import ClientError
from pydantic import BaseModel

from soar.actions.aws.iam_common import RoleParams, UserParams, ensure_inline_room
from soar.actions.aws.iam_principal import Principal, PrincipalParams
from soar.actions.aws.organizations_deny import QUARANTINED
from soar.actions.contract import Action, ActionContext, Draft, Planned, StateBefore, action
from soar.actions.errors import ActionError, Drifted
from soar.model.base import JsonObject, canonical_json
from soar.model.change import BlastRadius, Change, Result, Verification
from soar.model.terms import Phase, Risk

__all__ = ["DENY_ALL", "QUARANTINE", "QuarantineRole", "QuarantineUser"]

QUARANTINE = "IR-Quarantine"

DENY_ALL: JsonObject = {
    "Version": "2012-10-17",
    "Statement": [{"Sid": "IRQuarantine", "Effect": "Deny", "Action": "*", "Resource": "*"}],
}

TRIES = 3
"""How often a passing trouble with the tag is given another try before the step goes on without it."""

P = TypeVar("P", bound=BaseModel)


class PolicyBefore(StateBefore):
    """The inline policy of our name as it was; None: there was none.

    The tag is not in it: whether an undo succeeds is up to the policy alone. What tags there were is in the plan's
    target.
    """

    policy: JsonObject | None


def _mark(ctx: ActionContext) -> str:
    """The tag's value: the incident, made of what AWS takes in one (letters, digits, space, `_.:/=+-@`)."""
    return re.sub(r"[^\w .:/=+@-]", "_", ctx.incident_id)[:256]


class _Quarantine(Action[P, PolicyBefore]):
    """What quarantine of users and of roles have in common: the policy decides, the tag comes along.

    The tag is set before the policy and removed before it: where a guard hangs, it closes the seconds in which an
    attacker may take the policy away; and as long as the policy is there, an undo that died is begun anew.
    """

    def which(self, params: P) -> PrincipalParams:
        """Which user or role."""
        raise NotImplementedError

    def hit(self, name: str) -> str:
        """Whom it hits, in a sentence."""
        raise NotImplementedError

    def warnings(self) -> tuple[str, ...]:
        """What to know before approving."""
        return ()

    def plan(self, ctx: ActionContext, params: P) -> Draft[PolicyBefore]:
        principal = Principal(ctx, self.which(params))
        principal.ensure_may_change()
        target, who = principal.target, principal.words
        before = principal.inline_policy(QUARANTINE)
        undo = (
            f"The former policy {QUARANTINE} is put back" if before else f"The policy {QUARANTINE} is deleted"
        )
        state = PolicyBefore(policy=before)
        hits = BlastRadius(summary=self.hit(principal.name), facts=principal.facts())
        if before == DENY_ALL:
            summary = f"{who[0].upper()}{who[1:]} is already denied everything by {QUARANTINE}"
            return Draft(
                summary=summary,
                targets=(target,),
                changes=(),
                state=state,
                blast_radius=hits,
                undo=f"{undo}.",
            )
        if principal.kind == "user":
            ensure_inline_room(ctx, principal.name, QUARANTINE, DENY_ALL)
        summary = f"Deny everything to {who} by the inline policy {QUARANTINE}"
        if QUARANTINED in target.tags:
            tag = f"Its tag {QUARANTINED} = {target.tags[QUARANTINED]} is left as it is."
        else:
            summary += f", and tag it {QUARANTINED} = {_mark(ctx)}"
            undo += f", and the tag {QUARANTINED} removed"
            tag = f"Where the standing guard hangs, the tag {QUARANTINED} alone denies everything until it is removed."
        return Draft(
            summary=summary,
            targets=(target,),
            changes=(
                Change(target=target.uid, field=f"inline policy {QUARANTINE}", before=before, after=DENY_ALL),
            ),
            state=state,
            blast_radius=hits,
            warnings=(*self.warnings(), tag),
            undo=f"{undo}.",
        )

    def apply(self, ctx: ActionContext, planned: Planned[P, PolicyBefore]) -> Result:
        principal = Principal(ctx, self.which(planned.params))
        told = ""
        if QUARANTINED not in principal.target.tags:
            told = _without_failing(ctx, lambda: principal.tag(QUARANTINED, _mark(ctx)))
        principal.put_inline_policy(QUARANTINE, canonical_json(DENY_ALL))
        done = f"put the policy {QUARANTINE} on {principal.words}"
        return Result(summary=f"{done}; it could not be tagged {QUARANTINED}: {told}" if told else done)

    def verify(self, ctx: ActionContext, planned: Planned[P, PolicyBefore]) -> Verification:
        principal = Principal(ctx, self.which(planned.params))
        now = principal.inline_policy(QUARANTINE)
        verified = now == DENY_ALL
        seen = f"{principal.name} is denied every action by {QUARANTINE}"
        if not verified:
            seen = f"{QUARANTINE} is missing" if now is None else f"{QUARANTINE} says something else"
        elif QUARANTINED not in principal.target.tags:
            seen += f"; it carries no tag {QUARANTINED}, so that no guard keeps the policy in place"
        method = f"iam:Get{principal.kind.capitalize()}Policy"
        return Verification(verified=verified, seen=seen, method=method, data={"policy": now})

    def undo(self, ctx: ActionContext, planned: Planned[P, PolicyBefore]) -> Result:
        principal, before = Principal(ctx, self.which(planned.params)), planned.state.policy
        now = principal.inline_policy(QUARANTINE)
        if now not in (before, DENY_ALL):
            raise Drifted(
                f"the policy {QUARANTINE} of {principal.words} is not the one that we put",
                differences=(f"it says {canonical_json(now)[:500]}",),
                hint="look who changed it; put it right by hand",
            )
        told = ""
        had_tag = any(QUARANTINED in t.tags for t in planned.plan.targets)
        if not had_tag and principal.target.tags.get(QUARANTINED) == _mark(ctx):
            told = _without_failing(ctx, lambda: principal.untag(QUARANTINED))
        if before is None:
            principal.delete_inline_policy(QUARANTINE)
            done = f"deleted the policy {QUARANTINE} of {principal.words}"
        else:
            principal.put_inline_policy(QUARANTINE, canonical_json(before))
            done = f"put the former policy {QUARANTINE} of {principal.words} back"
        return Result(
            summary=f"{done}; the tag {QUARANTINED} is still there, remove it by hand: {told}"
            if told
            else done
        )


def _without_failing(ctx: ActionContext, change_tag: Callable[[], None]) -> str:
    """Set or remove the tag; the policy must not wait for it.

    Returns:
        Why it could not be done; empty: it was.

    Raises:
        ActionError, ClientError: Another try may do, and there is one left.
    """
    try:
        change_tag()
    except (ActionError, ClientError) as error:
        # What has no type of ours is passing as well: somebody else changes the same principal at this moment.
        passing = error.retryable if isinstance(error, ActionError) else True
        if passing and ctx.attempt < TRIES:
            raise
        return str(error)
    return ""


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
        "iam:TagUser",
        "iam:UntagUser",
        "sts:GetCallerIdentity",
    ),
    d3fend="D3-AL",
)
class QuarantineUser(_Quarantine[UserParams], Action[UserParams, PolicyBefore]):
    """Deny everything to an IAM user by the inline policy IR-Quarantine.

    An explicit deny wins over every grant. It hits the user's keys, its console session and the sessions made by
    GetSessionToken and GetFederationToken, the ones from before as well: they are judged by the user's policies at
    each call.

    The user is tagged `soar:quarantined` with the incident, so that the guard of `aws.org.install_guard`, where it
    hangs, lets nobody take the policy away. A tag of that name that is there already is left as it is. The step does
    not fail for the tag alone: where it cannot be set, or not be removed by the undo, the result says so.

    Pre-condition: the user exists, and is neither this worker's own, nor a break-glass user, nor tagged
    `soar:protected`; its inline policies leave room for one more.

    Verified by reading the policy back: it is exactly the one that was put. Whether the tag is there is told.

    Undone by removing the tag if it is still of this incident, and deleting the policy, or putting back the one of the
    same name that was there before.

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

    def which(self, params: UserParams) -> PrincipalParams:
        return PrincipalParams(type="user", name=params.user_name)

    def hit(self, name: str) -> str:
        return f"Whatever runs as user {name} stops, by any of its keys, sessions or the console."

    def warnings(self) -> tuple[str, ...]:
        return ("Sessions of roles that the user assumed earlier live on.",)


@action(
    "aws.iam.quarantine_role",
    risk=Risk.DISRUPTIVE,
    phase=Phase.CONTAINMENT,
    permissions=(
        "iam:GetRole",
        "iam:GetRolePolicy",
        "iam:ListInstanceProfilesForRole",
        "iam:PutRolePolicy",
        "iam:DeleteRolePolicy",
        "iam:TagRole",
        "iam:UntagRole",
        "sts:GetCallerIdentity",
    ),
    d3fend="D3-AL",
)
class QuarantineRole(_Quarantine[RoleParams], Action[RoleParams, PolicyBefore]):
    """Deny everything to a role by the inline policy IR-Quarantine.

    An explicit deny wins over every grant. Other than `aws.iam.revoke_role_sessions`, it also hits the sessions that
    are made afterwards: whoever can assume the role again has nothing of it.

    The role is tagged `soar:quarantined` with the incident, so that the guard of `aws.org.install_guard`, where it
    hangs, lets nobody take the policy away. A tag of that name that is there already is left as it is. The step does
    not fail for the tag alone: where it cannot be set, or not be removed by the undo, the result says so.

    Pre-condition: the role exists, and is neither this worker's own, nor a break-glass role, nor service-linked, nor
    one of IAM Identity Center, nor tagged `soar:protected`. Denied everything by that policy already: nothing is done.

    Verified by reading the policy back: it is exactly the one that was put. Whether the tag is there is told.

    Undone by removing the tag if it is still of this incident, and deleting the policy, or putting back the one of the
    same name that was there before. It refuses if somebody changed the policy since.

    Pitfalls: everything that runs on the role stops, instances and functions that serve customers too. What a
    resource's policy grants to the role or a session of it is denied as well; roles that a session of it assumed
    earlier are not hit. IAM takes some 3–4 s to let it take effect, in which an attacker who may change IAM can take
    it away again where no guard hangs.

    Example::

        - id: quarantine_role
          name: Deny everything to the role
          do: aws.iam.quarantine_role
          with:
            role_name: build
    """

    def which(self, params: RoleParams) -> PrincipalParams:
        return PrincipalParams(type="role", name=params.role_name)

    def hit(self, name: str) -> str:
        return f"Whatever runs as role {name} stops, in every session of it."

    def warnings(self) -> tuple[str, ...]:
        return ("Roles that a session of it assumed earlier live on.",)
