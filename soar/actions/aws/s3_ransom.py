"""Bring back the objects that were deleted or overwritten in a bucket since some moment."""

from __future__ import annotations

from typing import Any, Literal

from botocore.exceptions import ClientError
from pydantic import Field

from soar.actions.aws.access import aws_errors, client
from soar.actions.aws.s3_bucket import bucket_target, ensure_may_change
from soar.actions.aws.s3_versions import KeyHistory, SinceParams, Version, read_history
from soar.actions.contract import Action, ActionContext, Draft, Planned, StateBefore, action
from soar.actions.errors import ActionError, PermissionMissing, TargetGone
from soar.model.base import Fact, canonical_json
from soar.model.change import BlastRadius, Change, Result, Verification
from soar.model.terms import Phase, Risk

__all__ = ["RestoreObjects"]

MARK = "soar-restored-from"
"""User metadata of a copy that this action made: the version that it is a copy of. A retry knows it by that."""
KEPT = (
    "CacheControl",
    "ContentDisposition",
    "ContentEncoding",
    "ContentLanguage",
    "ContentType",
    "Expires",
    "StorageClass",
    "WebsiteRedirectLocation",
)
"""What a copy keeps of the version beside its content, its metadata and its tags."""
UNREADABLE = frozenset({"400", "403", "404", "405", "AccessDenied", "MethodNotAllowed", "NoSuchKey"})
"""How S3 says that nothing is shown (404, 405), or that it is encrypted with the key of somebody else (400, 403)."""

Way = Literal["markers removed", "copied back"]


class RestoreParams(SinceParams):
    """How many objects one step brings back.

    Args:
        most: The first ones by name; run the step again for the rest: what is back is not touched again.
    """

    most: int = Field(default=200, ge=1, le=500)


class Restored(Fact):
    """One object that is to be brought back.

    Args:
        version: The version that was current at the moment.
        markers: The delete markers that hide it.
    """

    key: str
    way: Way
    version: str
    etag: str
    markers: tuple[str, ...]


class RestoreBefore(StateBefore):
    """What is brought back, by which version; for the record, because nothing that is there is lost."""

    objects: tuple[Restored, ...]


@action(
    "aws.s3.restore_objects",
    risk=Risk.DISRUPTIVE,
    phase=Phase.RECOVERY,
    permissions=(
        "s3:ListBucketVersions",
        "s3:GetBucketTagging",
        "s3:GetObject",
        "s3:GetObjectVersion",
        "s3:GetObjectVersionTagging",
        "s3:PutObject",
        "s3:PutObjectTagging",
        "s3:DeleteObject",
        "s3:DeleteObjectVersion",
    ),
    plan_timeout=900,
    apply_timeout=3 * 3600,
    verify_timeout=600,
    react="RA5301",
    d3fend="D3-RF",
)
class RestoreObjects(Action[RestoreParams, RestoreBefore]):
    """Bring objects back to what they were at a moment, by the versions that the bucket keeps.

    Where an object was only deleted, the delete markers from after the moment are taken away. Where it was overwritten,
    the last version from before is copied onto it, so that every version stays, the attacker's as well. Objects that
    were not there at the moment are left alone. Each copy carries the version that it was made of in its metadata
    (`soar-restored-from`), by which a retry knows what is done.

    Pre-condition: the bucket exists and is not tagged `soar:protected`; the attacker's access is cut off.
    Nothing to bring back: nothing is done.

    Evidence: one JSON document that says for each object what was done, or why it could not be.

    Verified by reading all of these objects again: each is shown, and is the version from before or our copy of it.

    Not undone: nothing is lost by it. Whoever wants the other version back copies it by hand; the report names it.

    Pitfalls: what users wrote since the moment is overwritten too where it is in the same object; its version stays.
    Copies get the bucket's default encryption and no access list. Objects over 5 GiB and archived ones that were
    overwritten are named and left out. At most 500 objects by one step: run it again until its plan has none. Where
    versions are deleted with a second factor only (MFA delete), markers cannot be taken away by a worker. Objects
    under a KMS key take `kms:Decrypt` and `kms:GenerateDataKey` on that key as well. Versions that were deleted for
    good are gone. Stop rules that remove versions first (`aws.s3.suspend_lifecycle`).

    Example::

        - id: restore
          name: Bring the exports back
          do: aws.s3.restore_objects
          timeout: 3h
          with:
            bucket: '{{ (alert | resource("aws.s3.bucket")).name }}'
            prefix: exports/
            since: "2026-03-01T04:00:00Z"
          approval:
            role: responder
            approvers: 1
    """

    def plan(self, ctx: ActionContext, params: RestoreParams) -> Draft[RestoreBefore]:
        target = bucket_target(ctx, params.bucket)
        ensure_may_change(target)
        history = read_history(ctx, params)
        work, more = _work(ctx, params, history.keys)
        left_out = [f"{k.key}: {k.obstacle}" for k in history.keys if k.kind != "created" and k.obstacle]
        facts = [
            f"{sum(k.kind == 'created' for k in history.keys)} object(s) that are new since are left alone"
        ]
        facts += left_out[:10] + ([f"and {len(left_out) - 10} more left out"] if len(left_out) > 10 else [])
        warnings = [f"{len(left_out)} object(s) cannot be brought back by this step."] if left_out else []
        if more:
            warnings.append(f"Only the first {len(work)} objects: run the step again for the rest.")
        if history.next_key:
            warnings.append(f"Not all versions were read: go on with `after_key: {history.next_key}`.")
        return Draft(
            summary=f"Bring {len(work)} object(s) of {params.bucket} back to {params.moment:%Y-%m-%d %H:%M:%S} UTC"
            if work
            else f"No object of {params.bucket} needs to be brought back",
            targets=(target,),
            changes=tuple(
                Change(
                    target=target.uid,
                    field=f"object {w.key}",
                    before="deleted" if w.way == "markers removed" else "overwritten",
                    after=f"version {w.version}, {w.way}",
                )
                for w in work
            ),
            state=RestoreBefore(objects=tuple(work)),
            blast_radius=BlastRadius(
                summary="Readers of these objects get the content from before.", facts=tuple(facts)
            ),
            warnings=("Cut the attacker's access off first.", *warnings) if work else tuple(warnings),
        )

    def apply(self, ctx: ActionContext, planned: Planned[RestoreParams, RestoreBefore]) -> Result:
        bucket, objects = planned.params.bucket, planned.state.objects
        report, errors = [], []
        for count, wanted in enumerate(objects, 1):
            error = _restore(ctx, bucket, wanted)
            errors += [error] if error else []
            report.append({**wanted.model_dump(mode="json"), "outcome": error.message if error else "done"})
            ctx.report(f"{count} of {len(objects)} objects, at {wanted.key}")
        ctx.keep_evidence(
            f"{bucket}-restored.json",
            canonical_json(report).encode(),
            media_type="application/json",
            source="s3:CopyObject",
        )
        if len(errors) == len(objects) and isinstance(errors[0], PermissionMissing):
            raise errors[0]
        failed = [r for r in report if r["outcome"] != "done"]
        return Result(
            summary=f"{len(report) - len(failed)} object(s) of {bucket} are back"
            + (f"; {len(failed)} could not be: {failed[0]['key']}: {failed[0]['outcome']}" if failed else ""),
            data={"restored": len(report) - len(failed), "failed": [str(r["key"]) for r in failed]},
        )

    def verify(self, ctx: ActionContext, planned: Planned[RestoreParams, RestoreBefore]) -> Verification:
        bucket = planned.params.bucket
        wrong = [w.key for w in planned.state.objects if not _is_back(ctx, bucket, w)]
        total = len(planned.state.objects)
        seen = f"{total - len(wrong)} of {total} object(s) have the content from before"
        if wrong:
            seen += f"; not: {', '.join(wrong[:12])}" + (
                f" and {len(wrong) - 12} more" if len(wrong) > 12 else ""
            )
        return Verification(verified=not wrong, seen=seen, method="s3:HeadObject")


def _work(
    ctx: ActionContext, params: RestoreParams, keys: tuple[KeyHistory, ...]
) -> tuple[list[Restored], bool]:
    """What is still to be brought back, and whether there is more than one step takes."""
    work: list[Restored] = []
    for history in keys:
        if history.kind == "created" or history.obstacle or history.good is None:
            continue
        good, markers = history.good, [v.version_id for v in history.newer if v.marker]
        only_markers = len(markers) == len(history.newer)
        if not only_markers and _is_copy(ctx, params.bucket, history.key, history.newer[0], good):
            continue
        if len(work) == params.most:
            return work, True
        work.append(
            Restored(
                key=history.key,
                way="markers removed" if only_markers else "copied back",
                version=good.version_id,
                etag=good.etag,
                markers=tuple(markers) if only_markers else (),
            )
        )
    return work, False


def _is_copy(ctx: ActionContext, bucket: str, key: str, latest: Version, good: Version) -> bool:
    """Whether the latest version has the content of the good one: by its digest, or because we made it."""
    if latest.marker:
        return False
    if (latest.etag, latest.size) == (good.etag, good.size):
        return True
    found = _head(ctx, bucket, key)
    return found is not None and found.get("Metadata", {}).get(MARK) == good.version_id


def _is_back(ctx: ActionContext, bucket: str, wanted: Restored) -> bool:
    found = _head(ctx, bucket, wanted.key)
    if found is None:
        return False
    return (
        found.get("VersionId") == wanted.version
        or found.get("Metadata", {}).get(MARK) == wanted.version
        or str(found.get("ETag", "")).strip('"') == wanted.etag
    )


def _head(ctx: ActionContext, bucket: str, key: str) -> dict[str, Any] | None:
    """What S3 says of the version that readers get; None: none is shown, or only its writer can read it."""
    with aws_errors("s3:GetObject"):
        try:
            found: dict[str, Any] = client(ctx, "s3").head_object(Bucket=bucket, Key=key)
        except ClientError as error:
            if error.response["Error"]["Code"] in UNREADABLE:
                return None
            raise
    return found


def _restore(ctx: ActionContext, bucket: str, wanted: Restored) -> ActionError | None:
    """Bring one object back; what goes wrong with this one alone is said and does not stop the others."""
    try:
        if wanted.way == "markers removed":
            with aws_errors("s3:DeleteObjectVersion"):
                for marker in wanted.markers:
                    client(ctx, "s3").delete_object(Bucket=bucket, Key=wanted.key, VersionId=marker)
        else:
            _copy(ctx, bucket, wanted)
    except ActionError as error:
        if error.retryable:
            raise
        return error
    except ClientError as error:
        return ActionError(str(error))
    return None


def _copy(ctx: ActionContext, bucket: str, wanted: Restored) -> None:
    now = _head(ctx, bucket, wanted.key)
    if now is not None and now.get("Metadata", {}).get(MARK) == wanted.version:
        return
    with aws_errors("s3:GetObjectVersion"):
        try:
            good = client(ctx, "s3").head_object(Bucket=bucket, Key=wanted.key, VersionId=wanted.version)
        except ClientError as error:
            if error.response["Error"]["Code"] not in ("400", "404"):
                raise
            raise TargetGone(f"version {wanted.version} of {wanted.key} cannot be read any more") from error
    with aws_errors("s3:PutObject"):
        client(ctx, "s3").copy_object(
            Bucket=bucket,
            Key=wanted.key,
            CopySource={"Bucket": bucket, "Key": wanted.key, "VersionId": wanted.version},
            MetadataDirective="REPLACE",
            Metadata={**good.get("Metadata", {}), MARK: wanted.version},
            **{name: good[name] for name in KEPT if good.get(name)},
        )
