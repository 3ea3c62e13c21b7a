"""Close a bucket, take what opened it out of its policy, and keep its old versions."""

from __future__ import annotations

import json

from soar.actions.aws.access import aws_errors, client
from soar.actions.aws.s3_bucket import (
    AccessBlock,
    BucketParams,
    account_access_block,
    bucket_access_block,
    bucket_policy,
    bucket_target,
    bucket_users,
    ensure_may_change,
    setting,
    unless_refused,
)
from soar.actions.aws.s3_policy import named_principals, public_statements, statements_of, without
from soar.actions.contract import Action, ActionContext, Draft, Planned, StateBefore, action
from soar.actions.errors import Drifted, Refused
from soar.model.change import BlastRadius, Change, Result, Verification
from soar.model.terms import Phase, Risk

__all__ = ["BlockPublicAccess", "EnableVersioning", "RemovePublicStatements"]

CLOSED = AccessBlock(
    block_public_acls=True, ignore_public_acls=True, block_public_policy=True, restrict_public_buckets=True
)
USER_PERMISSIONS = ("s3:GetBucketWebsite", "s3:GetBucketLogging", "cloudfront:ListDistributions")


class BlockBefore(StateBefore):
    """The bucket's own access block; None if it had none."""

    block: AccessBlock | None


@action(
    "aws.s3.block_public_access",
    risk=Risk.DISRUPTIVE,
    phase=Phase.CONTAINMENT,
    permissions=(
        "s3:GetBucketPublicAccessBlock",
        "s3:PutBucketPublicAccessBlock",
        "s3:GetBucketPolicy",
        "s3:GetBucketPolicyStatus",
        "s3:GetBucketTagging",
        *USER_PERMISSIONS,
    ),
)
class BlockPublicAccess(Action[BucketParams, BlockBefore]):
    """Close a bucket to everybody outside, whatever its policy and ACLs say.

    Turns all four settings of the bucket's public access block on: it overrides public policies and ACLs, of the
    bucket, its objects and its access points, at once and without touching them.

    Pre-condition: the bucket exists and is not tagged `soar:protected`. All four on already: nothing is done.

    Verified by reading the block back, with S3's own verdict on the policy beside it.

    Undone by writing the recorded block, or by deleting it if there was none.

    Pitfalls: a public website, or a CloudFront distribution without origin access control, stops working. While the
    policy is public, accounts that it names are shut out as well, until the public statements are removed. It takes
    effect within seconds, in some regions within a minute.

    Example::

        - id: close
          name: Close the bucket
          do: aws.s3.block_public_access
          with:
            bucket: '{{ (alert | resource("aws.s3.bucket")).name }}'
    """

    def plan(self, ctx: ActionContext, params: BucketParams) -> Draft[BlockBefore]:
        target = bucket_target(ctx, params.bucket)
        ensure_may_change(target)
        before = bucket_access_block(ctx, params.bucket)
        now = before.call() if before else dict.fromkeys(CLOSED.call(), False)
        changes = tuple(
            Change(target=target.uid, field=field, before=False, after=True)
            for field, on in now.items()
            if not on
        )
        if not changes:
            return Draft(
                summary=f"Bucket {params.bucket} blocks public access already",
                targets=(target,),
                changes=(),
                state=BlockBefore(block=before),
            )
        policy = bucket_policy(ctx, params.bucket)
        others = named_principals(policy) if policy and public_statements(policy) else ()
        return Draft(
            summary=f"Block all public access to bucket {params.bucket}",
            targets=(target,),
            changes=changes,
            state=BlockBefore(block=before),
            blast_radius=BlastRadius(
                summary="Everybody without permissions of their own is shut out.",
                facts=(
                    *bucket_users(ctx, params.bucket),
                    *(
                        f"{p} is named in the public policy; from another account it is shut out too"
                        for p in others
                    ),
                ),
            ),
            undo="The recorded block is written back."
            if before
            else "The block is removed, as there was none.",
        )

    def apply(self, ctx: ActionContext, planned: Planned[BucketParams, BlockBefore]) -> Result:
        with aws_errors("s3:PutBucketPublicAccessBlock"):
            client(ctx, "s3").put_public_access_block(
                Bucket=planned.params.bucket, PublicAccessBlockConfiguration=CLOSED.call()
            )
        return Result(summary=f"public access to {planned.params.bucket} is blocked")

    def verify(self, ctx: ActionContext, planned: Planned[BucketParams, BlockBefore]) -> Verification:
        now = bucket_access_block(ctx, planned.params.bucket)
        off = [k for k, on in now.call().items() if not on] if now else list(CLOSED.call())
        status = setting(
            ctx,
            planned.params.bucket,
            "get_bucket_policy_status",
            "s3:GetBucketPolicyStatus",
            "NoSuchBucketPolicy",
        )
        policy = "no policy"
        if status:
            public = status["PolicyStatus"]["IsPublic"]
            policy = "the policy is public and overridden" if public else "the policy is not public"
        return Verification(
            verified=not off,
            seen=f"off: {', '.join(off)}" if off else f"all four settings are on; {policy}",
            method="s3:GetBucketPublicAccessBlock, s3:GetBucketPolicyStatus",
        )

    def undo(self, ctx: ActionContext, planned: Planned[BucketParams, BlockBefore]) -> Result:
        s3, bucket, before = client(ctx, "s3"), planned.params.bucket, planned.state.block
        with aws_errors("s3:PutBucketPublicAccessBlock"):
            if before is None:
                s3.delete_public_access_block(Bucket=bucket)
                return Result(summary=f"the access block of {bucket} is removed; there was none")
            s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=before.call())
        return Result(summary=f"the access block of {bucket} is as it was")


class PolicyBefore(StateBefore):
    """The whole policy, as S3 kept it; empty if there was none."""

    policy: str


@action(
    "aws.s3.remove_public_statements",
    risk=Risk.DISRUPTIVE,
    phase=Phase.ERADICATION,
    permissions=(
        "s3:GetBucketPolicy",
        "s3:GetBucketPolicyStatus",
        "s3:PutBucketPolicy",
        "s3:DeleteBucketPolicy",
        "s3:GetBucketTagging",
        "s3:GetBucketPublicAccessBlock",
        "s3:GetAccountPublicAccessBlock",
        "sts:GetCallerIdentity",
        *USER_PERMISSIONS,
    ),
)
class RemovePublicStatements(Action[BucketParams, PolicyBefore]):
    """Take out of a bucket's policy exactly the statements that let everybody in.

    All other statements stay as they are, denials above all. If none is left, the policy is deleted.

    Pre-condition: the bucket exists and is not tagged `soar:protected`. No public statement: nothing is done. S3 itself
    refuses a policy that would lock its writer out, and that refusal is never overridden.

    Verified by reading the policy (only what was to stay is there) and S3's own verdict on it: not public.

    Undone by writing the recorded policy back. It refuses if the policy was changed since, and while an access block
    forbids public policies: undo that first, if the bucket is really to be public.

    Pitfalls: principals of the bucket's own account that relied on the public statement need permissions of their own
    from then on. Which statements are public is judged by S3's published definition.

    Example::

        - id: remove_opening
          name: Take the opening out of the policy
          do: aws.s3.remove_public_statements
          with:
            bucket: '{{ (alert | resource("aws.s3.bucket")).name }}'
    """

    def plan(self, ctx: ActionContext, params: BucketParams) -> Draft[PolicyBefore]:
        target = bucket_target(ctx, params.bucket)
        ensure_may_change(target)
        policy = bucket_policy(ctx, params.bucket)
        public = public_statements(policy) if policy else []
        if not public:
            return Draft(
                summary=f"The policy of bucket {params.bucket} has no public statement",
                targets=(target,),
                changes=(),
                state=PolicyBefore(policy=policy),
            )
        left = len(statements_of(policy)) - len(public)
        return Draft(
            summary=f"Remove {len(public)} public statement(s) from the policy of bucket {params.bucket}",
            targets=(target,),
            changes=tuple(
                Change(
                    target=target.uid,
                    field=f"policy statement {s.index + 1}" + (f" ({s.sid})" if s.sid else ""),
                    before=s.statement,
                    after=None,
                )
                for s in public
            ),
            state=PolicyBefore(policy=policy),
            blast_radius=BlastRadius(
                summary=f"{left} statement(s) stay as they are."
                if left
                else "The policy is deleted: nothing is left.",
                facts=(
                    *bucket_users(ctx, params.bucket),
                    *(f"{p} keeps what it is granted by name" for p in named_principals(policy)),
                ),
            ),
            undo="The recorded policy is written back as it was.",
        )

    def apply(self, ctx: ActionContext, planned: Planned[BucketParams, PolicyBefore]) -> Result:
        bucket, recorded = planned.params.bucket, planned.state.policy
        wanted = without(recorded, public_statements(recorded))
        now = bucket_policy(ctx, bucket)
        if _same(now, wanted):
            return Result(summary=f"the policy of {bucket} has no public statement any more")
        if not _same(now, recorded):
            raise Drifted(
                f"the policy of {bucket} is not the one that was planned for",
                differences=_policy_differences(now, recorded),
                hint="plan again",
            )
        _write_policy(ctx, bucket, wanted)
        return Result(
            summary=f"the public statements are out of the policy of {bucket}"
            if wanted
            else f"the policy of {bucket} is deleted: it had nothing but public statements"
        )

    def verify(self, ctx: ActionContext, planned: Planned[BucketParams, PolicyBefore]) -> Verification:
        bucket, recorded = planned.params.bucket, planned.state.policy
        now = bucket_policy(ctx, bucket)
        wanted = without(recorded, public_statements(recorded))
        status = setting(
            ctx, bucket, "get_bucket_policy_status", "s3:GetBucketPolicyStatus", "NoSuchBucketPolicy"
        )
        public = bool(status and status["PolicyStatus"]["IsPublic"])
        as_wanted = _same(now, wanted)
        seen = (
            "S3 calls the policy public"
            if public
            else "the policy is not public"
            if now
            else "there is no policy"
        )
        if not as_wanted:
            seen += f"; it is not as it was to be: {'; '.join(_policy_differences(now, wanted))}"
        return Verification(
            verified=as_wanted and not public,
            seen=seen,
            method="s3:GetBucketPolicy, s3:GetBucketPolicyStatus",
        )

    def undo(self, ctx: ActionContext, planned: Planned[BucketParams, PolicyBefore]) -> Result:
        bucket, recorded = planned.params.bucket, planned.state.policy
        now = bucket_policy(ctx, bucket)
        if _same(now, recorded):
            return Result(summary=f"the policy of {bucket} is as it was")
        if not _same(now, without(recorded, public_statements(recorded))):
            raise Drifted(
                f"the policy of {bucket} was changed since",
                differences=_policy_differences(now, recorded),
                hint="merge the recorded policy by hand; it is in the plan of this step",
            )
        _refuse_while_blocked(ctx, bucket)
        _write_policy(ctx, bucket, recorded)
        return Result(summary=f"the recorded policy of {bucket} is back")


def _same(one: str, other: str) -> bool:
    """Whether two policies say the same, however they are written down."""
    if not one or not other:
        return one == other
    first, second = json.loads(one), json.loads(other)
    return bool({**first, "Statement": statements_of(one)} == {**second, "Statement": statements_of(other)})


def _policy_differences(now: str, wanted: str) -> tuple[str, ...]:
    have, want = (statements_of(p) if p else [] for p in (now, wanted))
    lines = [f"not expected: {json.dumps(s, sort_keys=True)}" for s in have if s not in want]
    lines += [f"missing: {json.dumps(s, sort_keys=True)}" for s in want if s not in have]
    return tuple(lines) or ("the order or the version of the policy",)


def _write_policy(ctx: ActionContext, bucket: str, policy: str) -> None:
    if policy:
        with aws_errors("s3:PutBucketPolicy"):
            client(ctx, "s3").put_bucket_policy(Bucket=bucket, Policy=policy)
    else:
        with aws_errors("s3:DeleteBucketPolicy"):
            client(ctx, "s3").delete_bucket_policy(Bucket=bucket)


def _refuse_while_blocked(ctx: ActionContext, bucket: str) -> None:
    """S3 takes no public policy under such a block; say what to do instead of running into it."""
    own = bucket_access_block(ctx, bucket)
    account = unless_refused([], "the account's access block", lambda: account_access_block(ctx))
    for block, whose in ((own, "bucket"), (account, "account")):
        if block and block.block_public_policy:
            raise Refused(
                f"the access block of the {whose} forbids the recorded policy of {bucket}, which is public",
                hint="undo the step that blocked public access first, then this one; the bucket stays closed till then",
            )


class VersioningBefore(StateBefore):
    """`Suspended`, `Enabled`, or empty: never turned on."""

    status: str


@action(
    "aws.s3.enable_versioning",
    risk=Risk.DISRUPTIVE,
    phase=Phase.CONTAINMENT,
    permissions=("s3:GetBucketVersioning", "s3:PutBucketVersioning", "s3:GetBucketTagging"),
)
class EnableVersioning(Action[BucketParams, VersioningBefore]):
    """Keep the old version of every object that is overwritten or deleted from now on.

    For a bucket that strangers may have been able to write to: what they overwrite next can be brought back.

    Pre-condition: the bucket exists and is not tagged `soar:protected`. Versioning on already: nothing is done.

    Verified by reading the bucket's versioning: `Enabled`.

    Not undone: a bucket that once had versioning can never be without it again, only suspended, and suspending it in
    an incident would let old versions be lost. Whoever is sure may suspend it by hand.

    Pitfalls: it does not bring back what is lost already. Old versions are billed, and lifecycle rules may expire them.

    Example::

        - id: keep_versions
          name: Keep old versions from now on
          do: aws.s3.enable_versioning
          with:
            bucket: '{{ (alert | resource("aws.s3.bucket")).name }}'
    """

    def plan(self, ctx: ActionContext, params: BucketParams) -> Draft[VersioningBefore]:
        target = bucket_target(ctx, params.bucket)
        ensure_may_change(target)
        status = _versioning(ctx, params.bucket)
        on = status == "Enabled"
        return Draft(
            summary=f"{'Versioning is on already for' if on else 'Turn versioning on for'} bucket {params.bucket}",
            targets=(target,),
            changes=()
            if on
            else (
                Change(target=target.uid, field="versioning", before=status or "never on", after="Enabled"),
            ),
            state=VersioningBefore(status=status),
            blast_radius=BlastRadius(summary="Readers and writers notice nothing; old versions are billed."),
            warnings=() if on else ("This cannot be undone: versioning can later only be suspended.",),
        )

    def apply(self, ctx: ActionContext, planned: Planned[BucketParams, VersioningBefore]) -> Result:
        with aws_errors("s3:PutBucketVersioning"):
            client(ctx, "s3").put_bucket_versioning(
                Bucket=planned.params.bucket, VersioningConfiguration={"Status": "Enabled"}
            )
        return Result(summary=f"versioning is on for {planned.params.bucket}")

    def verify(self, ctx: ActionContext, planned: Planned[BucketParams, VersioningBefore]) -> Verification:
        status = _versioning(ctx, planned.params.bucket)
        return Verification(
            verified=status == "Enabled",
            seen=f"versioning is {status or 'off'}",
            method="s3:GetBucketVersioning",
        )


def _versioning(ctx: ActionContext, bucket: str) -> str:
    found = setting(ctx, bucket, "get_bucket_versioning", "s3:GetBucketVersioning") or {}
    return str(found.get("Status", ""))
