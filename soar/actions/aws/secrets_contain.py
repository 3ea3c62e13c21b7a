"""Close a secret to all but the responders, rotate it, or bring it back from deletion."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from soar.actions.aws.access import aws_errors, client
from soar.actions.aws.guards import ensure_not_protected
from soar.actions.aws.restrict_policy import (
    SID,
    ExemptPrincipals,
    exempt_principals,
    own_principals,
    refuse_lock_out,
    restricted,
)
from soar.actions.aws.secrets import CURRENT
from soar.actions.aws.setting import Found, OneWaySetting, Said, Setting
from soar.actions.contract import Action, ActionContext, Draft, Params, Planned, StateBefore, action
from soar.actions.errors import Refused
from soar.model.base import JsonObject, canonical_json, digest_of
from soar.model.change import BlastRadius, Change, Result, Target, Verification
from soar.model.terms import Phase, Risk

__all__ = ["RestoreSecret", "RestrictSecret", "RotateSecret"]

DENIED = ("secretsmanager:*",)
UNDO = ("secretsmanager:PutResourcePolicy", "secretsmanager:DeleteResourcePolicy")


class SecretParams(Params):
    """Which secret."""

    secret_id: str = Field(min_length=1, max_length=2048, description="its name or its ARN")


@dataclass(frozen=True)
class _Described:
    """A secret without its value, also one that is about to be deleted."""

    raw: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.raw["Name"])

    @property
    def deleted(self) -> bool:
        return bool(self.raw.get("DeletedDate"))

    @property
    def current(self) -> str:
        stages = self.raw.get("VersionIdsToStages") or {}
        return next((v for v, names in sorted(stages.items()) if CURRENT in names), "")

    @property
    def target(self) -> Target:
        arn = str(self.raw["ARN"])
        parts = arn.split(":")
        tags = {t["Key"]: t["Value"] for t in self.raw.get("Tags") or []}
        return Target(
            uid=arn,
            type="aws.secretsmanager.secret",
            name=self.name,
            account=parts[4],
            region=parts[3],
            tags=tags,
        )

    @property
    def facts(self) -> tuple[str, ...]:
        """Who depends on it, as far as the service knows."""
        last, owner = self.raw.get("LastAccessedDate"), self.raw.get("OwningService")
        rotated = self.raw.get("RotationLambdaARN")
        lines = [
            f"its value was last read on {last:%Y-%m-%d} (the service keeps the day only)" if last else ""
        ]
        lines += [f"service {owner} manages it" if owner else "", f"{rotated} rotates it" if rotated else ""]
        copies = [r.get("Region", "?") for r in self.raw.get("ReplicationStatus") or []]
        lines += [f"copies in {', '.join(sorted(copies))} have policies of their own" if copies else ""]
        found = tuple(line for line in lines if line)
        return found or ("when its value was last read is not known",)


def _describe(ctx: ActionContext, secret_id: str) -> _Described:
    with aws_errors("secretsmanager:DescribeSecret"):
        return _Described(client(ctx, "secretsmanager").describe_secret(SecretId=secret_id))


class RestrictSecretParams(SecretParams):
    """Which secret, and who beside this worker and the root user keeps access."""

    responders: tuple[str, ...] = ExemptPrincipals


class SecretPolicyBefore(StateBefore):
    """The resource policy (None: there was none), and who is left out of the denial."""

    policy: JsonObject | None = Field(title="resource policy")
    exempt: tuple[str, ...] = Field(title="who keeps access")


@action(
    "aws.secretsmanager.restrict_secret",
    risk=Risk.DISRUPTIVE,
    phase=Phase.CONTAINMENT,
    permissions=(
        "secretsmanager:DescribeSecret",
        "secretsmanager:GetResourcePolicy",
        "secretsmanager:PutResourcePolicy",
        "secretsmanager:DeleteResourcePolicy",
        "sts:GetCallerIdentity",
    ),
)
class RestrictSecret(Setting[RestrictSecretParams, SecretPolicyBefore]):
    """Deny a secret to everybody but the responders, by a statement in its resource policy.

    The statement `SoarResponders` denies everything on the secret to every principal but this worker's, the account's
    root user and those in `responders`. All other statements stay.

    Pre-condition: the secret exists in the step's region, is not about to be deleted and not tagged `soar:protected`.
    The policy is tried on this worker first: if any of its statements could lock it out, it refuses. The statement is
    there already: nothing is done.

    Verified by reading the policy: it is exactly the one that was put.

    Undone by writing the recorded policy back, or deleting it if there was none. It refuses if the policy was changed
    since.

    Pitfalls: applications that read the secret fail when they read it the next time, and so does its rotation. Who has
    read the value knows it: rotate it (`aws.secretsmanager.rotate_secret`) once its users can take a new one. Copies in
    other regions have policies of their own.

    Example::

        - id: restrict
          name: Leave the secret to the responders
          do: aws.secretsmanager.restrict_secret
          with:
            secret_id: customers-db
            responders: ["arn:aws:iam::123456789012:role/incident-response"]
          approval:
            role: responder
            approvers: 1
    """

    method = "secretsmanager:GetResourcePolicy"

    def look(self, ctx: ActionContext, params: RestrictSecretParams) -> Found[SecretPolicyBefore]:
        secret = _describe(ctx, params.secret_id)
        if secret.deleted:
            raise Refused(
                f"secret {secret.name} is scheduled for deletion: nobody can read it, and it has no policy to change",
                hint="restore it first (aws.secretsmanager.restore_secret) if it is to be kept",
            )
        with aws_errors("secretsmanager:GetResourcePolicy"):
            reply = client(ctx, "secretsmanager").get_resource_policy(SecretId=secret.target.uid)
        text = reply.get("ResourcePolicy")
        return Found(
            target=secret.target,
            state=SecretPolicyBefore(
                policy=json.loads(text) if text else None,
                exempt=exempt_principals(ctx, params.responders),
            ),
            facts=secret.facts,
        )

    def wanted(self, params: RestrictSecretParams, state: SecretPolicyBefore) -> SecretPolicyBefore:
        return state.model_copy(update={"policy": restricted(state.policy, state.exempt, DENIED)})

    def guard(
        self, ctx: ActionContext, params: RestrictSecretParams, found: Found[SecretPolicyBefore]
    ) -> None:
        refuse_lock_out(self.wanted(params, found.state).policy or {}, own_principals(ctx), UNDO)

    def say(
        self, params: RestrictSecretParams, found: Found[SecretPolicyBefore], then: SecretPolicyBefore
    ) -> Said:
        return Said(
            summary=f"Leave secret {found.target.name} to the responders, by the statement {SID} of its policy",
            hits=f"Everybody but {', '.join(then.exempt[:6])} can neither read nor change the secret.",
            warnings=("Applications fail when they read the secret the next time.",),
            undo="The recorded policy is written back."
            if found.state.policy
            else "The policy is deleted, as there was none.",
        )

    def write(
        self,
        ctx: ActionContext,
        params: RestrictSecretParams,
        now: SecretPolicyBefore,
        then: SecretPolicyBefore,
    ) -> None:
        manager, arn = client(ctx, "secretsmanager"), _describe(ctx, params.secret_id).target.uid
        if then.policy is None:
            with aws_errors("secretsmanager:DeleteResourcePolicy"):
                manager.delete_resource_policy(SecretId=arn)
            return
        with aws_errors("secretsmanager:PutResourcePolicy"):
            manager.put_resource_policy(SecretId=arn, ResourcePolicy=canonical_json(then.policy))


class VersionBefore(StateBefore):
    """The current version's id; the value itself is nowhere but in the secret."""

    version: str


@action(
    "aws.secretsmanager.rotate_secret",
    risk=Risk.DISRUPTIVE,
    phase=Phase.ERADICATION,
    permissions=("secretsmanager:DescribeSecret", "secretsmanager:RotateSecret", "lambda:InvokeFunction"),
    verify_timeout=900,
    d3fend="D3-CRO",
)
class RotateSecret(Action[SecretParams, VersionBefore]):
    """Have a secret rotated now, by the function that rotates it.

    The function makes a new value, gives it to the service that the secret is for, and makes it the current version.
    The request names this step, so that a retry asks for the same rotation and not for another one.

    Pre-condition: the secret exists in the step's region, has a rotation, is not about to be deleted and not tagged
    `soar:protected`, and no rotation is under way. This step has rotated it already: nothing is done.

    Verified by reading the secret: the version of this step is the current one, so that the function has finished.

    Not undone: the old value is known to others; that is why it goes. It stays for a while as the version at
    `AWSPREVIOUS`.

    Pitfalls: applications that keep the old value fail until they read the new one. An attacker who may change the
    function sees the new value too: look at the function first. A rotation that fails leaves its version pending: see
    the function's log.

    Shown on replies of our own making: the simulated account runs no function that rotates.

    Example::

        - id: rotate
          name: Rotate the secret
          do: aws.secretsmanager.rotate_secret
          with:
            secret_id: customers-db
    """

    def plan(self, ctx: ActionContext, params: SecretParams) -> Draft[VersionBefore]:
        secret, ours = _describe(ctx, params.secret_id), _version(ctx)
        ensure_not_protected("secret", secret.name, secret.target.tags)
        done = secret.current == ours
        if not done:
            _refuse_unfit(secret, ours)
        return Draft(
            summary=f"This step has rotated secret {secret.name} already"
            if done
            else f"Rotate secret {secret.name}",
            targets=(secret.target,),
            changes=()
            if done
            else (
                Change(
                    target=secret.target.uid,
                    field="current version",
                    before=secret.current,
                    after=f"version {ours}, with a new value",
                ),
            ),
            state=VersionBefore(version=secret.current),
            blast_radius=BlastRadius(
                summary="Whoever keeps the old value is refused by the service that it is for.",
                facts=secret.facts,
            ),
            warnings=() if done else ("This cannot be undone.",),
        )

    def apply(self, ctx: ActionContext, planned: Planned[SecretParams, VersionBefore]) -> Result:
        secret, ours = _describe(ctx, planned.params.secret_id), _version(ctx)
        if ours not in (secret.raw.get("VersionIdsToStages") or {}):
            with aws_errors("secretsmanager:RotateSecret"):
                client(ctx, "secretsmanager").rotate_secret(
                    SecretId=secret.target.uid, ClientRequestToken=ours, RotateImmediately=True
                )
        return Result(summary=f"secret {secret.name} is rotated", data={"version": ours})

    def verify(self, ctx: ActionContext, planned: Planned[SecretParams, VersionBefore]) -> Verification:
        secret, ours = _describe(ctx, planned.params.secret_id), _version(ctx)
        return Verification(
            verified=secret.current == ours,
            seen=f"the current version of {secret.name} is "
            + ("the one of this step" if secret.current == ours else f"still {secret.current}"),
            method="secretsmanager:DescribeSecret",
        )


def _version(ctx: ActionContext) -> str:
    return digest_of([ctx.incident_id, ctx.step_id, "rotation"])


def _refuse_unfit(secret: _Described, ours: str) -> None:
    if secret.deleted:
        raise Refused(
            f"secret {secret.name} is scheduled for deletion",
            hint="restore it first (aws.secretsmanager.restore_secret)",
        )
    if not secret.raw.get("RotationEnabled") and not secret.raw.get("RotationLambdaARN"):
        raise Refused(
            f"secret {secret.name} has no rotation, so nobody knows how to make a new value for it",
            hint="change the value by hand, or by the action of the service that it is for "
            "(aws.rds.rotate_master_password, aws.iam.rotate_access_key)",
        )
    stages = secret.raw.get("VersionIdsToStages") or {}
    pending = [v for v, names in sorted(stages.items()) if "AWSPENDING" in names and CURRENT not in names]
    if pending and pending != [ours]:
        raise Refused(
            f"another rotation of secret {secret.name} is under way, or failed: version {pending[0]} is pending",
            hint="see the log of the function that rotates it; take AWSPENDING from that version by hand, then retry",
        )


class DeletionBefore(StateBefore):
    """Whether the secret is about to be deleted."""

    deleted: bool = Field(title="scheduled for deletion")


@action(
    "aws.secretsmanager.restore_secret",
    risk=Risk.DISRUPTIVE,
    phase=Phase.RECOVERY,
    permissions=("secretsmanager:DescribeSecret", "secretsmanager:RestoreSecret"),
)
class RestoreSecret(OneWaySetting[SecretParams, DeletionBefore]):
    """Keep a secret that somebody has scheduled for deletion.

    Until its recovery window has passed (7 to 30 days) the secret is there and nobody can read it.

    Pre-condition: the secret exists in the step's region, and is not tagged `soar:protected`. Not about to be deleted:
    nothing is done.

    Verified by reading the secret: it is not scheduled for deletion.

    Not undone: nobody should want the deletion back; delete it by hand if it was meant.

    Pitfalls: a secret that was deleted without a recovery window is gone for good. Whoever deleted it can do it again:
    take that access away first. Copies in other regions are brought back there.

    Example::

        - id: keep_secret
          name: Keep the secret
          do: aws.secretsmanager.restore_secret
          with:
            secret_id: customers-db
    """

    method = "secretsmanager:DescribeSecret"

    def look(self, ctx: ActionContext, params: SecretParams) -> Found[DeletionBefore]:
        secret = _describe(ctx, params.secret_id)
        return Found(target=secret.target, state=DeletionBefore(deleted=secret.deleted), facts=secret.facts)

    def wanted(self, params: SecretParams, state: DeletionBefore) -> DeletionBefore:
        return DeletionBefore(deleted=False)

    def say(self, params: SecretParams, found: Found[DeletionBefore], then: DeletionBefore) -> Said:
        return Said(
            summary=f"Keep secret {found.target.name}, which is scheduled for deletion",
            hits="Whoever may read the secret can read it again.",
            warnings=("This is not undone: delete it by hand if that was meant.",),
        )

    def write(
        self, ctx: ActionContext, params: SecretParams, now: DeletionBefore, then: DeletionBefore
    ) -> None:
        with aws_errors("secretsmanager:RestoreSecret"):
            client(ctx, "secretsmanager").restore_secret(SecretId=_describe(ctx, params.secret_id).target.uid)
