"""Stop a bucket's lifecycle rules from removing objects and their old versions."""

from __future__ import annotations

from pydantic import Field
from pydantic_core import to_jsonable_python

from soar.actions.aws.access import aws_errors, client
from soar.actions.aws.s3_bucket import BucketParams, bucket_target, setting
from soar.actions.aws.setting import Found, Said, Setting
from soar.actions.contract import ActionContext, StateBefore, action
from soar.model.base import JsonObject
from soar.model.terms import Phase, Risk

__all__ = ["SuspendLifecycle"]

EXPIRING = ("Expiration", "NoncurrentVersionExpiration")
"""What a rule has that removes objects, versions or delete markers."""


class LifecycleBefore(StateBefore):
    """All rules as S3 showed them, and from which size on objects are moved; empty: S3's default."""

    rules: tuple[JsonObject, ...] = Field(title="lifecycle rules")
    minimum_size: str = Field(title="smallest size to move")


@action(
    "aws.s3.suspend_lifecycle",
    risk=Risk.REVERSIBLE,
    phase=Phase.CONTAINMENT,
    permissions=("s3:GetLifecycleConfiguration", "s3:PutLifecycleConfiguration", "s3:GetBucketTagging"),
)
class SuspendLifecycle(Setting[BucketParams, LifecycleBefore]):
    """Disable every lifecycle rule of a bucket that removes something.

    An attacker who cannot delete old versions can let S3 do it by a rule; and ordinary rules go on removing what an
    investigation needs. The rules stay where they are and are only disabled, those that move or only tidy unfinished
    uploads not at all.

    Pre-condition: the bucket exists and is not tagged `soar:protected`. No enabled rule removes anything: nothing is
    done.

    Verified by reading the rules: exactly those that remove are disabled, all else is as it was.

    Undone by writing the recorded rules back. It refuses if the rules were changed since.

    Pitfalls: S3 acts on rules once a day or so and may lag: what was already marked for removal can still go for a
    while after the rules are disabled. A rule that both moves and removes does neither while it is disabled. What is
    kept is billed. Undoing puts an attacker's rule back as well: remove it by hand then, or do not undo.

    Example::

        - id: keep_versions
          name: Let no rule remove versions
          do: aws.s3.suspend_lifecycle
          with:
            bucket: '{{ (alert | resource("aws.s3.bucket")).name }}'
    """

    method = "s3:GetLifecycleConfiguration"

    def look(self, ctx: ActionContext, params: BucketParams) -> Found[LifecycleBefore]:
        found = setting(
            ctx,
            params.bucket,
            "get_bucket_lifecycle_configuration",
            "s3:GetLifecycleConfiguration",
            "NoSuchLifecycleConfiguration",
        )
        rules = tuple(to_jsonable_python(r) for r in (found or {}).get("Rules", []))
        return Found(
            target=bucket_target(ctx, params.bucket),
            state=LifecycleBefore(
                rules=rules, minimum_size=str((found or {}).get("TransitionDefaultMinimumObjectSize", ""))
            ),
            facts=tuple(_told(r) for r in rules[:12] if _removes(r)),
        )

    def wanted(self, params: BucketParams, state: LifecycleBefore) -> LifecycleBefore:
        rules = tuple({**r, "Status": "Disabled"} if _removes(r) else r for r in state.rules)
        return state.model_copy(update={"rules": rules})

    def say(self, params: BucketParams, found: Found[LifecycleBefore], then: LifecycleBefore) -> Said:
        count = sum(map(_removes, found.state.rules))
        return Said(
            summary=f"Disable {count} lifecycle rule(s) of bucket {params.bucket} that remove objects or versions",
            hits="Nothing is removed by rule any more; what is kept is billed.",
            undo="The recorded rules are written back.",
        )

    def write(
        self, ctx: ActionContext, params: BucketParams, now: LifecycleBefore, then: LifecycleBefore
    ) -> None:
        size = {"TransitionDefaultMinimumObjectSize": then.minimum_size} if then.minimum_size else {}
        with aws_errors("s3:PutLifecycleConfiguration"):
            client(ctx, "s3").put_bucket_lifecycle_configuration(
                Bucket=params.bucket, LifecycleConfiguration={"Rules": list(then.rules)}, **size
            )


def _removes(rule: JsonObject) -> bool:
    return rule.get("Status") == "Enabled" and any(rule.get(key) for key in EXPIRING)


def _told(rule: JsonObject) -> str:
    what = "; ".join(f"{key} {rule[key]}" for key in EXPIRING if rule.get(key))
    return f"rule {rule.get('ID', 'without a name')}: {what}"
