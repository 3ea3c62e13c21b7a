"""Issue a new key into Secrets Manager, where nobody but the application sees it."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import Field

from soar.actions.aws.access import aws_errors, client
from soar.actions.aws.iam_common import (
    UserParams,
    access_keys,
    ensure_user_may_change,
    get_user,
    key_facts,
    user_target,
    when_present,
)
from soar.actions.aws.secrets import (
    CURRENT,
    PREVIOUS,
    Secret,
    describe_secret,
    move_stage,
    read_object,
    write_object,
)
from soar.actions.contract import Action, ActionContext, Draft, Planned, StateBefore, action
from soar.actions.errors import ActionError, Refused
from soar.model.base import digest_of
from soar.model.change import BlastRadius, Change, Result, Verification
from soar.model.terms import Phase, Risk

__all__ = ["RotateAccessKey"]

KEYS_PER_USER = 2
"""Access keys that IAM allows a user."""

MARK = "soar:rotation"
"""The tag that says, while a rotation runs, whose it is and which keys the user had: a key cannot be tagged itself."""


class RotateParams(UserParams):
    """Whose key, and where the new one goes."""

    secret_id: str = Field(
        min_length=1, max_length=512, description="name or ARN of an existing secret, a JSON object"
    )
    id_field: str = Field(
        default="AccessKeyId", min_length=1, max_length=128, description="its field for the key's id"
    )
    secret_field: str = Field(
        default="SecretAccessKey", min_length=1, max_length=128, description="its field for the key's secret"
    )


class RotationBefore(StateBefore):
    """The user's keys and the secret's versions before.

    Args:
        keys: Id → status.
        current: The version at AWSCURRENT; `previous` at AWSPREVIOUS.
        loose: A key that an earlier try of this step left behind and that nobody can use.
    """

    keys: dict[str, str]
    current: str | None
    previous: str | None
    loose: str | None = None


def _version(ctx: ActionContext, key: str) -> str:
    """The id of the secret's version that holds this key: by it a retry knows which keys it has stored."""
    return digest_of([ctx.incident_id, ctx.step_id, key])


@dataclass(frozen=True)
class _Rotation:
    """How far the rotation of this step is.

    Args:
        before: The keys that the user had before it began.
        stored: The new key, once it is the secret's current version.
        loose: A new key that nobody can use: its secret died with the worker, or its version was taken back.
        retired: It is the latter: undoing had begun.
        marked: The mark of this step is on the secret.
    """

    secret: Secret
    keys: dict[str, str]
    before: dict[str, str]
    stored: str | None
    loose: str | None
    retired: bool
    marked: bool


def _look(ctx: ActionContext, params: RotateParams) -> _Rotation:
    secret, keys = describe_secret(ctx, params.secret_id), access_keys(ctx, params.user_name)
    owner, *known = secret.tags.get(MARK, "").split() or [""]
    marked = owner == _owner(ctx)
    if owner and not marked:
        raise Refused(
            f"another rotation into secret {secret.name} is under way, or was left half-way",
            hint=f"let it end; if nothing runs any more, remove the tag {MARK} from the secret and retry the step",
        )
    current = secret.version_at(CURRENT)
    stored = next((k for k in keys if _version(ctx, k) == current), None)
    loose = next(
        (k for k in keys if _version(ctx, k) in secret.versions and _version(ctx, k) != current), None
    )
    retired = loose is not None
    if marked and stored is None and not retired:
        new = [k for k in keys if k not in known]
        if len(new) > 1:
            raise Refused(
                f"user {params.user_name} got the keys {', '.join(new)} during its rotation; which is ours is unknown",
                hint=f"delete those that nobody needs, remove the tag {MARK} from the secret and retry the step",
            )
        loose = new[0] if new else None
    before = {k: status for k, status in keys.items() if k not in (loose, stored)}
    return _Rotation(secret, keys, before, stored, loose, retired, marked)


def _owner(ctx: ActionContext) -> str:
    return digest_of([ctx.incident_id, ctx.step_id])[:16]


@action(
    "aws.iam.rotate_access_key",
    risk=Risk.DISRUPTIVE,
    phase=Phase.RECOVERY,
    permissions=(
        "iam:GetUser",
        "iam:ListAccessKeys",
        "iam:GetAccessKeyLastUsed",
        "iam:CreateAccessKey",
        "iam:DeleteAccessKey",
        "secretsmanager:DescribeSecret",
        "secretsmanager:GetSecretValue",
        "secretsmanager:PutSecretValue",
        "secretsmanager:UpdateSecretVersionStage",
        "secretsmanager:TagResource",
        "secretsmanager:UntagResource",
        "sts:GetCallerIdentity",
    ),
    d3fend="D3-CRO",
)
class RotateAccessKey(Action[RotateParams, RotationBefore]):
    """Issue a new access key for a user straight into a secret of Secrets Manager.

    The key's secret is in the worker's memory and in the secret only: never in a plan, a result, a log or the history.
    Other fields of the secret's JSON stay. While it runs, the tag `soar:rotation` on the secret lets a retry find a key
    whose secret was lost in a crash; that key is deleted and another one issued.

    Pre-condition: the user has fewer than two keys (IAM's limit); the secret exists, holds a JSON object and is in the
    step's region; the user is neither this worker's own, nor a break-glass user, nor tagged `soar:protected`.

    Verified by reading the secret's stages, the key id in it and the user's keys: the current version holds an active
    key of the user that was not there before.

    Undone by moving AWSCURRENT and AWSPREVIOUS back to the versions that had them and deleting the new key. The version
    that held it stays in the secret without a stage, until Secrets Manager removes it.

    Pitfalls: the old key is left as it is. Applications that read the secret only at their start need a restart. A key
    under quarantine works only after the quarantine is lifted.

    Example::

        - id: rotate_key
          name: New key into Secrets Manager
          do: aws.iam.rotate_access_key
          with:
            user_name: "{{ alert.actor.name }}"
            secret_id: "{{ inputs.secret_id }}"
    """

    def plan(self, ctx: ActionContext, params: RotateParams) -> Draft[RotationBefore]:
        user = get_user(ctx, params.user_name)
        ensure_user_may_change(ctx, user)
        now = _look(ctx, params)
        secret = now.secret
        # A retry within one attempt to apply sees the plan that it began with, and cleans up after the crash by itself.
        loose = now.loose if ctx.attempt == 1 or now.retired else None
        state = RotationBefore(
            keys=now.before,
            current=secret.version_at(CURRENT),
            previous=secret.version_at(PREVIOUS),
            loose=loose,
        )
        targets = (user_target(user), secret.target)
        if now.stored:
            return Draft(
                summary=f"This step has already put {now.stored} of user {params.user_name} into {secret.name}",
                targets=targets,
                changes=(),
                state=state,
            )
        read_object(ctx, params.secret_id)
        if len(now.before) >= KEYS_PER_USER:
            raise Refused(
                f"user {params.user_name} has {len(now.before)} access keys already "
                f"({', '.join(f'{k}: {s}' for k, s in now.before.items())}), and IAM allows no more",
                hint="delete the inactive one that leaked (aws.iam.delete_access_key), then retry the step",
            )
        return Draft(
            summary=f"Issue a new access key for user {params.user_name} into the secret {secret.name}",
            targets=targets,
            changes=(
                *_cleaned(user["Arn"], loose),
                Change(
                    target=user["Arn"],
                    field="access keys",
                    before=sorted(now.before),
                    after="one more, active",
                ),
                Change(
                    target=secret.arn,
                    field=f"fields {params.id_field} and {params.secret_field} at {CURRENT}",
                    before=f"version {state.current}",
                    after="a new version with the new key",
                ),
            ),
            state=state,
            blast_radius=BlastRadius(
                summary=f"Whatever reads the secret {secret.name} gets the new key.",
                facts=key_facts(ctx, list(now.before)),
            ),
            warnings=("The user's other keys stay as they are.",) if now.before else (),
            undo=f"{CURRENT} goes back to the version before, and the new key is deleted.",
        )

    def apply(self, ctx: ActionContext, planned: Planned[RotateParams, RotationBefore]) -> Result:
        params = planned.params
        now = _look(ctx, params)
        stored = now.stored
        if stored is None:
            if not now.marked:
                self._mark(ctx, now)
            if now.loose:
                _delete_key(ctx, params.user_name, now.loose)
            stored = _issue(ctx, params)
            self._unmark(ctx, now.secret)
        elif now.marked:
            self._unmark(ctx, now.secret)
        return Result(
            summary=f"put the new access key {stored} of user {params.user_name} into {now.secret.name}",
            data={"access_key_id": stored, "secret_arn": now.secret.arn, "version": _version(ctx, stored)},
        )

    def verify(self, ctx: ActionContext, planned: Planned[RotateParams, RotationBefore]) -> Verification:
        params = planned.params
        secret, keys = describe_secret(ctx, params.secret_id), access_keys(ctx, params.user_name)
        named = str(read_object(ctx, params.secret_id).get(params.id_field, ""))
        new = named not in planned.state.keys and secret.version_at(CURRENT) == _version(ctx, named)
        verified = new and keys.get(named) == "Active"
        if verified:
            seen = f"the current version of {secret.name} holds {named}, an active key of {params.user_name}"
        elif new:
            seen = (
                f"the current version of {secret.name} holds {named}, which is {keys.get(named, 'deleted')}"
            )
        else:
            seen = f"the current version of {secret.name} is not the one that this step put"
        return Verification(
            verified=verified,
            seen=seen,
            method="secretsmanager:DescribeSecret, secretsmanager:GetSecretValue, iam:ListAccessKeys",
            data={"keys": dict(keys)},
        )

    def undo(self, ctx: ActionContext, planned: Planned[RotateParams, RotationBefore]) -> Result:
        params, before = planned.params, planned.state
        now = _look(ctx, params)
        ours = [k for k in (now.stored, now.loose) if k]
        if now.stored:
            move_stage(ctx, now.secret, CURRENT, before.current)
        for key in ours:
            _delete_key(ctx, params.user_name, key)
        # Moving AWSCURRENT makes Secrets Manager put AWSPREVIOUS on the version that it left.
        move_stage(ctx, describe_secret(ctx, params.secret_id), PREVIOUS, before.previous)
        if now.marked:
            self._unmark(ctx, now.secret)
        return Result(
            summary=f"put the secret {now.secret.name} back and deleted {', '.join(ours) or 'no key'}"
        )

    @staticmethod
    def _mark(ctx: ActionContext, now: _Rotation) -> None:
        value = " ".join([_owner(ctx), *sorted(now.before)])
        with aws_errors("secretsmanager:TagResource"):
            client(ctx, "secretsmanager").tag_resource(
                SecretId=now.secret.arn, Tags=[{"Key": MARK, "Value": value}]
            )

    @staticmethod
    def _unmark(ctx: ActionContext, secret: Secret) -> None:
        with aws_errors("secretsmanager:UntagResource"):
            client(ctx, "secretsmanager").untag_resource(SecretId=secret.arn, TagKeys=[MARK])


def _cleaned(arn: str, loose: str | None) -> tuple[Change, ...]:
    """The removal of a key that an earlier try left behind."""
    if loose is None:
        return ()
    return (
        Change(
            target=arn,
            field=f"access key {loose}, left over by an earlier try",
            before="Active",
            after=None,
        ),
    )


def _issue(ctx: ActionContext, params: RotateParams) -> str:
    value = read_object(ctx, params.secret_id)
    with aws_errors("iam:CreateAccessKey"):
        key = client(ctx, "iam").create_access_key(UserName=params.user_name)["AccessKey"]
    key_id = str(key["AccessKeyId"])
    value |= {params.id_field: key_id, params.secret_field: key["SecretAccessKey"]}
    try:
        write_object(ctx, params.secret_id, value, _version(ctx, key_id))
    except ActionError as error:
        if not error.retryable:  # certainly not stored, so nobody will ever know the key's secret
            _delete_key(ctx, params.user_name, key_id)
        raise
    return key_id


def _delete_key(ctx: ActionContext, user_name: str, key: str) -> None:
    with aws_errors("iam:DeleteAccessKey"):
        when_present(client(ctx, "iam").delete_access_key, UserName=user_name, AccessKeyId=key)
