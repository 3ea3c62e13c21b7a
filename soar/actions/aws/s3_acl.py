"""Turn the access control lists of a bucket and its objects off."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError
from pydantic import Field

from soar.actions.aws.access import aws_errors, client
from soar.actions.aws.s3_bucket import BucketParams, bucket_target, setting
from soar.actions.aws.setting import Found, Said, Setting
from soar.actions.contract import ActionContext, StateBefore, action
from soar.actions.errors import Refused
from soar.model.base import JsonObject, canonical_json
from soar.model.terms import Phase, Risk

__all__ = ["DisableAcls"]

ENFORCED = "BucketOwnerEnforced"
NAMES = {
    "http://acs.amazonaws.com/groups/global/AllUsers": "everybody",
    "http://acs.amazonaws.com/groups/global/AuthenticatedUsers": "everybody with an AWS account",
    "http://acs.amazonaws.com/groups/s3/LogDelivery": "the log delivery of S3",
}


class AclBefore(StateBefore):
    """The bucket's object ownership, and its own list.

    Args:
        ownership: Empty: not set, which S3 takes for `ObjectWriter`.
        owner: The canonical id of the owner.
        grants: Sorted, as the API takes them.
    """

    ownership: str = Field(title="object ownership")
    owner: str = Field(title="owner")
    grants: tuple[JsonObject, ...] = Field(title="grants of the bucket's ACL")


@action(
    "aws.s3.disable_acls",
    risk=Risk.DISRUPTIVE,
    phase=Phase.CONTAINMENT,
    permissions=(
        "s3:GetBucketAcl",
        "s3:PutBucketAcl",
        "s3:GetBucketOwnershipControls",
        "s3:PutBucketOwnershipControls",
        "s3:GetBucketTagging",
    ),
)
class DisableAcls(Setting[BucketParams, AclBefore]):
    """Turn off all access control lists of a bucket, those of its objects included.

    With the object ownership `BucketOwnerEnforced` only policies decide who gets in, and every object belongs to the
    bucket's owner. S3 demands that the bucket's own list grants nothing to others first, so that it is emptied before.

    Pre-condition: the bucket exists and is not tagged `soar:protected`. ACLs off already: nothing is done.

    Verified by reading both: the ownership is `BucketOwnerEnforced`, and only the owner is on the list.

    Undone by writing the recorded ownership (or deleting it, if there was none), then the recorded list. The lists of
    the objects were never touched and count again at once. While an access block forbids public lists, S3 takes no
    list that is public: undo that step first.

    Pitfalls: accounts and services that get in by a list lose it, the delivery of access logs by list among them:
    give it by policy first. Uploads that bring a list other than `bucket-owner-full-control` fail.

    Example::

        - id: acls
          name: Turn the access lists off
          do: aws.s3.disable_acls
          with:
            bucket: '{{ (alert | resource("aws.s3.bucket")).name }}'
    """

    method = "s3:GetBucketOwnershipControls, s3:GetBucketAcl"

    def look(self, ctx: ActionContext, params: BucketParams) -> Found[AclBefore]:
        controls = setting(
            ctx,
            params.bucket,
            "get_bucket_ownership_controls",
            "s3:GetBucketOwnershipControls",
            "OwnershipControlsNotFoundError",
        )
        rules = (controls or {}).get("OwnershipControls", {}).get("Rules", [])
        acl = setting(ctx, params.bucket, "get_bucket_acl", "s3:GetBucketAcl") or {}
        owner = str(acl["Owner"]["ID"])
        grants = tuple(sorted((_grant(g) for g in acl.get("Grants", [])), key=canonical_json))
        others = [_told(g) for g in grants if g != _own(owner)]
        return Found(
            target=bucket_target(ctx, params.bucket),
            state=AclBefore(
                ownership=str(rules[0]["ObjectOwnership"]) if rules else "", owner=owner, grants=grants
            ),
            facts=tuple(others[:12]) + ((f"and {len(others) - 12} more grants",) if len(others) > 12 else ())
            or ("the bucket's own list grants nothing to others; lists of objects may",),
        )

    def wanted(self, params: BucketParams, state: AclBefore) -> AclBefore:
        return AclBefore(ownership=ENFORCED, owner=state.owner, grants=(_own(state.owner),))

    def say(self, params: BucketParams, found: Found[AclBefore], then: AclBefore) -> Said:
        return Said(
            summary=f"Turn all access control lists of bucket {params.bucket} and its objects off",
            hits="Whoever gets in by a list alone is shut out.",
            undo="The recorded ownership is written back, then the recorded list.",
        )

    def write(self, ctx: ActionContext, params: BucketParams, now: AclBefore, then: AclBefore) -> None:
        # While lists are off only the owner's own is taken: it goes first on the way there, and last on the way back.
        if then.ownership == ENFORCED:
            self._write_list(ctx, params.bucket, now, then)
            self._write_ownership(ctx, params.bucket, now, then)
        else:
            self._write_ownership(ctx, params.bucket, now, then)
            self._write_list(ctx, params.bucket, now, then)

    @staticmethod
    def _write_ownership(ctx: ActionContext, bucket: str, now: AclBefore, then: AclBefore) -> None:
        if now.ownership == then.ownership:
            return
        with aws_errors("s3:PutBucketOwnershipControls"):
            if not then.ownership:
                client(ctx, "s3").delete_bucket_ownership_controls(Bucket=bucket)
                return
            client(ctx, "s3").put_bucket_ownership_controls(
                Bucket=bucket, OwnershipControls={"Rules": [{"ObjectOwnership": then.ownership}]}
            )

    @staticmethod
    def _write_list(ctx: ActionContext, bucket: str, now: AclBefore, then: AclBefore) -> None:
        if now.grants == then.grants:
            return
        with aws_errors("s3:PutBucketAcl"):
            try:
                client(ctx, "s3").put_bucket_acl(
                    Bucket=bucket,
                    AccessControlPolicy={"Owner": {"ID": then.owner}, "Grants": list(then.grants)},
                )
            except ClientError as error:
                if error.response["Error"]["Code"] != "AccessDenied" or not _public(then):
                    raise
                raise Refused(
                    f"S3 does not take the recorded list of {bucket}, which is public: {error}",
                    hint="an access block forbids public lists: undo the step that put it first, then this one",
                ) from error


def _grant(raw: dict[str, Any]) -> JsonObject:
    """A grant as the API takes it, without names for display."""
    grantee = {key: raw["Grantee"][key] for key in ("Type", "ID", "URI") if raw["Grantee"].get(key)}
    return {"Grantee": grantee, "Permission": raw["Permission"]}


def _own(owner: str) -> JsonObject:
    return {"Grantee": {"Type": "CanonicalUser", "ID": owner}, "Permission": "FULL_CONTROL"}


def _public(state: AclBefore) -> bool:
    return "/groups/global/" in canonical_json([dict(g) for g in state.grants])


def _told(grant: JsonObject) -> str:
    grantee: Any = grant["Grantee"]
    who = NAMES.get(str(grantee.get("URI")), str(grantee.get("URI") or f"account {grantee.get('ID', '?')}"))
    return f"{who} has {grant['Permission']} on the bucket"
