"""Take the access to a key away: by its policy, or by revoking grants."""

from __future__ import annotations

from botocore.exceptions import ClientError
from pydantic import Field, model_validator

from soar.actions.aws.access import client
from soar.actions.aws.kms_key import (
    POLICY,
    Grant,
    KeyParams,
    dependants,
    ensure_may_change,
    find_key,
    grants_of,
    key_policy,
    kms_errors,
)
from soar.actions.aws.restrict_policy import (
    SID,
    ExemptPrincipals,
    exempt_principals,
    own_principals,
    refuse_lock_out,
    restricted,
)
from soar.actions.aws.setting import Found, Said, Setting
from soar.actions.contract import Action, ActionContext, Draft, Planned, StateBefore, action
from soar.model.base import JsonObject, canonical_json
from soar.model.change import BlastRadius, Change, Result, Verification
from soar.model.terms import Phase, Risk

__all__ = ["RestrictKeyPolicy", "RevokeGrants"]

DENIED = (
    "kms:CancelKeyDeletion",
    "kms:CreateAlias",
    "kms:CreateGrant",
    "kms:Decrypt",
    "kms:DeleteAlias",
    "kms:DeleteImportedKeyMaterial",
    "kms:DeriveSharedSecret",
    "kms:Disable*",
    "kms:Enable*",
    "kms:Encrypt",
    "kms:Generate*",
    "kms:ImportKeyMaterial",
    "kms:PutKeyPolicy",
    "kms:ReEncrypt*",
    "kms:ReplicateKey",
    "kms:RevokeGrant",
    "kms:RotateKeyOnDemand",
    "kms:ScheduleKeyDeletion",
    "kms:Sign",
    "kms:TagResource",
    "kms:UntagResource",
    "kms:Update*",
    "kms:Verify*",
)
"""All use and all change of a key; looking at it stays, so that others see what happened, and so does retiring a
grant."""


class RestrictKeyParams(KeyParams):
    """Which key, and who beside this worker and the root user keeps access."""

    responders: tuple[str, ...] = ExemptPrincipals


class KeyPolicyBefore(StateBefore):
    """The policy, and who is left out of the denial."""

    policy: JsonObject = Field(title="key policy")
    exempt: tuple[str, ...] = Field(title="who keeps access")


@action(
    "aws.kms.restrict_key_policy",
    risk=Risk.DISRUPTIVE,
    phase=Phase.CONTAINMENT,
    permissions=(
        "kms:DescribeKey",
        "kms:ListResourceTags",
        "kms:ListAliases",
        "kms:ListGrants",
        "kms:GetKeyPolicy",
        "kms:PutKeyPolicy",
        "sts:GetCallerIdentity",
    ),
)
class RestrictKeyPolicy(Setting[RestrictKeyParams, KeyPolicyBefore]):
    """Deny the use and the change of a key to everybody but the responders, by a statement in its policy.

    The statement `SoarResponders` denies all use and all change of the key to every principal but this worker's, the
    account's root user and those in `responders`; looking at the key stays. All other statements stay as they are. A
    denial wins over grants too.

    Pre-condition: the key exists in the step's region, is not managed by AWS and not tagged `soar:protected`. The
    policy is tried on this worker first: if any of its statements could lock it out, it refuses. KMS' own check against
    being locked out is never switched off. The statement is there already: nothing is done.

    Verified by reading the policy: it is exactly the one that was put.

    Undone by writing the recorded policy back. It refuses if the policy was changed since.

    Pitfalls: services that use the key for somebody (volumes, databases, queues) fail for him; services that use it in
    their own name (trails, logs) and roles of services (`aws-service-role`) are shut out as well. What is decrypted
    already stays so. It may take some minutes until it is so everywhere. A recorded policy that names a principal that
    was deleted since cannot be put back as it was.

    Example::

        - id: restrict
          name: Leave the key to the responders
          do: aws.kms.restrict_key_policy
          with:
            key_id: 1234abcd-12ab-34cd-56ef-1234567890ab
            responders: ["arn:aws:iam::123456789012:role/incident-response"]
          approval:
            role: responder
            approvers: 1
    """

    method = "kms:GetKeyPolicy"

    def look(self, ctx: ActionContext, params: RestrictKeyParams) -> Found[KeyPolicyBefore]:
        key = find_key(ctx, params.key_id)
        return Found(
            target=key.target,
            state=KeyPolicyBefore(
                policy=key_policy(ctx, key), exempt=exempt_principals(ctx, params.responders)
            ),
            facts=dependants(ctx, key),
        )

    def wanted(self, params: RestrictKeyParams, state: KeyPolicyBefore) -> KeyPolicyBefore:
        return state.model_copy(update={"policy": restricted(state.policy, state.exempt, DENIED)})

    def guard(self, ctx: ActionContext, params: RestrictKeyParams, found: Found[KeyPolicyBefore]) -> None:
        ensure_may_change(find_key(ctx, params.key_id))
        then = self.wanted(params, found.state)
        refuse_lock_out(then.policy, own_principals(ctx), ("kms:PutKeyPolicy", "kms:GetKeyPolicy"))

    def say(self, params: RestrictKeyParams, found: Found[KeyPolicyBefore], then: KeyPolicyBefore) -> Said:
        return Said(
            summary=f"Leave key {found.target.name} to the responders, by the statement {SID} of its policy",
            hits=f"Everybody but {', '.join(then.exempt[:6])} can neither use nor change the key.",
            warnings=("Whatever reads or writes data under the key for its users fails.",),
            undo="The recorded policy is written back.",
        )

    def write(
        self, ctx: ActionContext, params: RestrictKeyParams, now: KeyPolicyBefore, then: KeyPolicyBefore
    ) -> None:
        with kms_errors("kms:PutKeyPolicy"):
            client(ctx, "kms").put_key_policy(
                KeyId=find_key(ctx, params.key_id).id,
                PolicyName=POLICY,
                Policy=canonical_json(then.policy),
            )


class GrantParams(KeyParams):
    """Which grants of a key.

    Args:
        grant_ids: By their ids.
        grantees: By who may use the key by them: the principal's ARN exactly.
    """

    grant_ids: tuple[str, ...] = ()
    grantees: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _says_which(self) -> GrantParams:
        if not self.grant_ids and not self.grantees:
            raise ValueError("say which grants: `grant_ids` or `grantees`")
        return self


class GrantsBefore(StateBefore):
    """The grants that are revoked, whole: who must have one again makes it anew from this."""

    grants: tuple[Grant, ...]


@action(
    "aws.kms.revoke_grants",
    risk=Risk.DISRUPTIVE,
    phase=Phase.ERADICATION,
    permissions=(
        "kms:DescribeKey",
        "kms:ListResourceTags",
        "kms:ListAliases",
        "kms:ListGrants",
        "kms:RevokeGrant",
    ),
)
class RevokeGrants(Action[GrantParams, GrantsBefore]):
    """Revoke grants on a key, by which somebody may use it whatever its policy says.

    An attacker who may make grants keeps a way to data that no policy shows.

    Pre-condition: the key exists in the step's region, is not managed by AWS and not tagged `soar:protected`. None of
    the grants is there: nothing is done.

    Verified by reading the key's grants: none of those is there.

    Not undone: a grant that is made anew is another one, with another id and token, issued by this worker; services
    do not take it for theirs. What the grants said is in the plan of the step.

    Pitfalls: a service whose grant is revoked cannot open again what it encrypted: volumes of running instances for
    one. The plan warns of these. It may take some minutes until it is so everywhere.

    Example::

        - id: grants
          name: Revoke the grants of the attacker's role
          do: aws.kms.revoke_grants
          with:
            key_id: 1234abcd-12ab-34cd-56ef-1234567890ab
            grantees: ["arn:aws:iam::123456789012:role/build"]
    """

    def plan(self, ctx: ActionContext, params: GrantParams) -> Draft[GrantsBefore]:
        key = find_key(ctx, params.key_id)
        ensure_may_change(key)
        grants = tuple(
            g for g in grants_of(ctx, key) if g.grant_id in params.grant_ids or g.grantee in params.grantees
        )
        services = [g for g in grants if g.of_service]
        warnings = ["This cannot be undone."] if grants else []
        warnings += [f"Grant {g.grant_id} is of an AWS service: {g.grantee}" for g in services[:12]]
        return Draft(
            summary=f"Revoke {len(grants)} grant(s) on key {key.target.name}"
            if grants
            else f"None of these grants is on key {key.target.name}",
            targets=(key.target,),
            changes=tuple(
                Change(
                    target=key.arn,
                    field=f"grant {g.grant_id}",
                    before=g.model_dump(mode="json"),
                    after=None,
                )
                for g in grants
            ),
            state=GrantsBefore(grants=grants),
            blast_radius=BlastRadius(
                summary=f"{', '.join(sorted({g.grantee for g in grants})[:6])} cannot use the key by these grants.",
                facts=dependants(ctx, key),
            )
            if grants
            else BlastRadius(),
            warnings=tuple(warnings),
        )

    def apply(self, ctx: ActionContext, planned: Planned[GrantParams, GrantsBefore]) -> Result:
        key, kms = find_key(ctx, planned.params.key_id), client(ctx, "kms")
        there = {g.grant_id for g in grants_of(ctx, key)}
        for grant in planned.state.grants:
            if grant.grant_id not in there:
                continue
            with kms_errors("kms:RevokeGrant"):
                try:
                    kms.revoke_grant(KeyId=key.id, GrantId=grant.grant_id)
                except ClientError as error:
                    # The list may show it for a while after a try before this one revoked it.
                    if error.response["Error"]["Code"] not in (
                        "NotFoundException",
                        "InvalidGrantIdException",
                    ):
                        raise
        return Result(summary=f"revoked {len(planned.state.grants)} grant(s) on key {key.target.name}")

    def verify(self, ctx: ActionContext, planned: Planned[GrantParams, GrantsBefore]) -> Verification:
        key = find_key(ctx, planned.params.key_id)
        there = {g.grant_id for g in grants_of(ctx, key)}
        left = [g.grant_id for g in planned.state.grants if g.grant_id in there]
        return Verification(
            verified=not left,
            seen=f"still there: {', '.join(left[:12])}"
            if left
            else f"none of {len(planned.state.grants)} grant(s) is on key {key.target.name}",
            method="kms:ListGrants",
        )
