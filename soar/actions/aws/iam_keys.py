"""Take an access key out of use, and later out of the world."""

from __future__ import annotations

from pydantic import Field

from soar.actions.aws.access import aws_errors, client
from soar.actions.aws.iam_common import (
    AccessKeyId,
    UserParams,
    access_keys,
    ensure_user_may_change,
    get_user,
    key_facts,
    user_target,
    when_present,
)
from soar.actions.contract import Action, ActionContext, Draft, Planned, StateBefore, action
from soar.actions.errors import Drifted, Refused, TargetGone
from soar.model.change import BlastRadius, Change, Result, Verification
from soar.model.terms import Phase, Risk

__all__ = ["DeactivateAccessKey", "DeleteAccessKey"]


class DeactivateParams(UserParams):
    """Which keys."""

    access_key_id: AccessKeyId | None = Field(
        default=None, description="only this key; left out: every key of the user"
    )


class KeysBefore(StateBefore):
    """The keys in question and their status before: id → `Active` or `Inactive`."""

    keys: dict[str, str]


def _keys_in_question(ctx: ActionContext, params: DeactivateParams) -> dict[str, str]:
    keys = access_keys(ctx, params.user_name)
    if params.access_key_id is None:
        return keys
    if params.access_key_id not in keys:
        raise TargetGone(
            f"user {params.user_name} has no access key {params.access_key_id}",
            hint="find its owner with aws.iam.find_key_owner; if the key was deleted, its sessions may still live",
        )
    return {params.access_key_id: keys[params.access_key_id]}


@action(
    "aws.iam.deactivate_access_key",
    risk=Risk.REVERSIBLE,
    phase=Phase.CONTAINMENT,
    permissions=(
        "iam:GetUser",
        "iam:ListAccessKeys",
        "iam:GetAccessKeyLastUsed",
        "iam:UpdateAccessKey",
        "sts:GetCallerIdentity",
    ),
    d3fend="D3-CR",
)
class DeactivateAccessKey(Action[DeactivateParams, KeysBefore]):
    """Set an IAM user's access key, or all of its keys, to Inactive.

    Pre-condition: the user exists, and is neither this worker's own, nor a break-glass user, nor tagged
    `soar:protected`.

    Verified by listing the user's keys: each one in question is Inactive. Its last use is told beside it.

    Undone by setting those keys back to Active that were Active before.

    Pitfalls: sessions that were made with the key (GetSessionToken, GetFederationToken, AssumeRole) live on: put
    `aws.iam.quarantine_user` beside it, and `aws.iam.revoke_role_sessions` for roles that it assumed. The key is never
    deleted here, so that its id stays in IAM and it can be put back. IAM takes some seconds to let it
    take effect; the simulated account goes on accepting Inactive keys, so only the status is shown there.

    Example::

        - id: deactivate_keys
          name: Switch off every key of the user
          do: aws.iam.deactivate_access_key
          with:
            user_name: "{{ alert.actor.name }}"
    """

    def plan(self, ctx: ActionContext, params: DeactivateParams) -> Draft[KeysBefore]:
        user = get_user(ctx, params.user_name)
        ensure_user_may_change(ctx, user)
        keys = _keys_in_question(ctx, params)
        active = [key for key, status in keys.items() if status == "Active"]
        others = sorted(set(access_keys(ctx, params.user_name)) - set(keys))
        facts = key_facts(ctx, active)
        if others:
            facts += (f"not touched: the user's other key(s) {', '.join(others)}",)
        return Draft(
            summary=(
                f"Deactivate {len(active)} access key(s) of user {params.user_name}: {', '.join(active)}"
                if active
                else f"No key of user {params.user_name} that is in question is active"
            ),
            targets=(user_target(user),),
            changes=tuple(
                Change(target=user["Arn"], field=f"access key {key}", before="Active", after="Inactive")
                for key in active
            ),
            state=KeysBefore(keys=keys),
            blast_radius=BlastRadius(
                summary="Whatever signs with these keys stops working." if active else "", facts=facts
            ),
            warnings=("Sessions that were made with the keys live on.",) if active else (),
            undo="The keys that were active are set back to Active.",
        )

    def apply(self, ctx: ActionContext, planned: Planned[DeactivateParams, KeysBefore]) -> Result:
        done = _set_status(ctx, planned, "Inactive")
        return Result(
            summary=f"deactivated {', '.join(done)}" if done else "no key was left to deactivate",
            data={"deactivated": list(done)},
        )

    def verify(self, ctx: ActionContext, planned: Planned[DeactivateParams, KeysBefore]) -> Verification:
        user_name = planned.params.user_name
        now = access_keys(ctx, user_name)
        wanted = (
            set(planned.state.keys) if planned.params.access_key_id else set(now) | set(planned.state.keys)
        )
        wrong = [f"{k} is {now.get(k, 'gone')}" for k in sorted(wanted) if now.get(k) != "Inactive"]
        used = key_facts(ctx, sorted(wanted & set(now)))
        seen = (
            "; ".join(wrong)
            or f"every key in question of {user_name} is Inactive: {', '.join(sorted(wanted))}"
        )
        return Verification(
            verified=not wrong,
            seen=seen,
            method="iam:ListAccessKeys, iam:GetAccessKeyLastUsed",
            data={"keys": dict(now), "last_used": list(used)},
        )

    def undo(self, ctx: ActionContext, planned: Planned[DeactivateParams, KeysBefore]) -> Result:
        done = _set_status(ctx, planned, "Active")
        return Result(
            summary=f"set {', '.join(done)} back to Active" if done else "nothing was left to put back"
        )


def _set_status(ctx: ActionContext, planned: Planned[DeactivateParams, KeysBefore], status: str) -> list[str]:
    """Give the keys that were active before this status; those that have it already are left alone."""
    user_name, done = planned.params.user_name, []
    now = access_keys(ctx, user_name)
    ours = [key for key, before in planned.state.keys.items() if before == "Active"]
    gone = [key for key in ours if key not in now]
    if gone and status == "Active":
        raise Drifted(
            f"user {user_name} cannot have its keys back",
            differences=tuple(f"{key} was deleted" for key in gone),
            hint="issue a new key with aws.iam.rotate_access_key",
        )
    for key in ours:
        if key in now and now[key] != status:
            with aws_errors("iam:UpdateAccessKey"):
                client(ctx, "iam").update_access_key(UserName=user_name, AccessKeyId=key, Status=status)
            done.append(key)
    return done


class DeleteParams(UserParams):
    """Which key."""

    access_key_id: AccessKeyId


class KeyBefore(StateBefore):
    """The key's status before; None: it was gone already."""

    status: str | None


@action(
    "aws.iam.delete_access_key",
    risk=Risk.DESTRUCTIVE,
    phase=Phase.ERADICATION,
    permissions=(
        "iam:GetUser",
        "iam:ListAccessKeys",
        "iam:GetAccessKeyLastUsed",
        "iam:DeleteAccessKey",
        "sts:GetCallerIdentity",
    ),
    d3fend="D3-CR",
)
class DeleteAccessKey(Action[DeleteParams, KeyBefore]):
    """Delete an access key that is Inactive already.

    Pre-condition: the key is Inactive: deactivate it in containment, and see for a while that nothing needed it. The
    user is neither this worker's own, nor a break-glass user, nor tagged `soar:protected`.

    Verified by listing the user's keys: it is not there any more.

    Cannot be undone: AWS keeps neither the key nor its secret. `aws.iam.rotate_access_key` issues another one.

    Pitfalls: afterwards IAM says no more whose key it was; CloudTrail still does, and the profile that
    `aws.iam.describe_principal` kept.

    Example::

        - id: delete_leaked_key
          name: Delete the leaked key
          do: aws.iam.delete_access_key
          with:
            user_name: "{{ alert.actor.name }}"
            access_key_id: "{{ alert.actor.access_key_id }}"
          approval:
            role: responder
            approvers: 2
    """

    def plan(self, ctx: ActionContext, params: DeleteParams) -> Draft[KeyBefore]:
        user, key = get_user(ctx, params.user_name), params.access_key_id
        ensure_user_may_change(ctx, user)
        status = access_keys(ctx, params.user_name).get(key)
        if status is None:
            return Draft(
                summary=f"User {params.user_name} has no access key {key} (any more)",
                targets=(user_target(user),),
                changes=(),
                state=KeyBefore(status=None),
            )
        if status == "Active":
            raise Refused(
                f"access key {key} of user {params.user_name} is still active; an active key is never deleted",
                hint="deactivate it first (aws.iam.deactivate_access_key), then retry the step",
            )
        return Draft(
            summary=f"Delete access key {key} of user {params.user_name} for good",
            targets=(user_target(user),),
            changes=(Change(target=user["Arn"], field=f"access key {key}", before=status, after=None),),
            state=KeyBefore(status=status),
            blast_radius=BlastRadius(
                summary="The key is inactive, so nothing that works today uses it.",
                facts=key_facts(ctx, [key]),
            ),
            warnings=("This cannot be undone.",),
        )

    def apply(self, ctx: ActionContext, planned: Planned[DeleteParams, KeyBefore]) -> Result:
        key = planned.params.access_key_id
        with aws_errors("iam:DeleteAccessKey"):
            when_present(
                client(ctx, "iam").delete_access_key, UserName=planned.params.user_name, AccessKeyId=key
            )
        return Result(summary=f"deleted access key {key}", data={"deleted": [key]})

    def verify(self, ctx: ActionContext, planned: Planned[DeleteParams, KeyBefore]) -> Verification:
        key, now = planned.params.access_key_id, access_keys(ctx, planned.params.user_name)
        return Verification(
            verified=key not in now,
            seen=f"{key} is {now[key]}" if key in now else f"{key} is not listed any more",
            method="iam:ListAccessKeys",
            data={"keys": dict(now)},
        )
