"""Keep the images of a repository from being swapped, and from being pulled."""

from __future__ import annotations

import json
from typing import Any

from pydantic import Field, JsonValue, field_validator

from soar.actions.aws.access import aws_errors, client
from soar.actions.aws.setting import Found, Said, Setting
from soar.actions.contract import ActionContext, Params, StateBefore, action
from soar.actions.errors import TargetGone
from soar.model.base import JsonObject, canonical_json
from soar.model.change import Target
from soar.model.terms import Phase, Risk

__all__ = ["DenyPull", "LockTags", "RepositoryParams", "find_repository"]

SID = "SoarDenyPull"
PULL = ("ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")


class RepositoryParams(Params):
    """Which repository."""

    repository: str = Field(
        pattern=r"^[a-z0-9]+([._/-][a-z0-9]+){0,100}$", max_length=256, description="the repository's name"
    )


def find_repository(ctx: ActionContext, name: str) -> tuple[dict[str, Any], Target]:
    """Read a repository, and name it as plans do.

    Raises:
        TargetGone: There is none of this name in the account and region.
    """
    with aws_errors("ecr:DescribeRepositories"):
        found: dict[str, Any] = client(ctx, "ecr").describe_repositories(repositoryNames=[name])[
            "repositories"
        ][0]
    arn = str(found["repositoryArn"])
    with aws_errors("ecr:ListTagsForResource"):
        tags = client(ctx, "ecr").list_tags_for_resource(resourceArn=arn)["tags"]
    return found, Target(
        uid=arn,
        type="aws.ecr.repository",
        name=name,
        account=arn.split(":")[4],
        region=arn.split(":")[3],
        tags={t["Key"]: t["Value"] for t in tags},
    )


class TagsBefore(StateBefore):
    """Whether a tag may be moved to another image, and the exceptions from that."""

    mutability: str = Field(title="tags")
    exceptions: tuple[str, ...] = Field(title="exceptions")


@action(
    "aws.ecr.lock_tags",
    risk=Risk.REVERSIBLE,
    phase=Phase.CONTAINMENT,
    permissions=("ecr:DescribeRepositories", "ecr:ListTagsForResource", "ecr:PutImageTagMutability"),
)
class LockTags(Setting[RepositoryParams, TagsBefore]):
    """Let no tag of a repository be moved to another image, without exceptions.

    What runs by a tag can then not be swapped for another image.

    Pre-condition: the repository exists and is not tagged `soar:protected`. All tags are locked already: nothing is
    done.

    Verified by reading the repository: its tags are immutable, without exceptions.

    Undone by writing the recorded setting and exceptions. It refuses if they were changed since.

    Pitfalls: pipelines that push to a fixed tag, `latest` above all, fail. New tags can still be pushed, and images
    deleted: a deleted tag can be pushed anew. A tag that was moved before stays where it is.

    Example::

        - id: lock
          name: Let nobody swap images
          do: aws.ecr.lock_tags
          with:
            repository: shop/checkout
    """

    method = "ecr:DescribeRepositories"

    def look(self, ctx: ActionContext, params: RepositoryParams) -> Found[TagsBefore]:
        raw, target = find_repository(ctx, params.repository)
        filters = raw.get("imageTagMutabilityExclusionFilters") or []
        return Found(
            target=target,
            state=TagsBefore(
                mutability=raw.get("imageTagMutability", "MUTABLE"),
                exceptions=tuple(sorted(f["filter"] for f in filters)),
            ),
        )

    def wanted(self, params: RepositoryParams, state: TagsBefore) -> TagsBefore:
        return TagsBefore(mutability="IMMUTABLE", exceptions=())

    def say(self, params: RepositoryParams, found: Found[TagsBefore], then: TagsBefore) -> Said:
        return Said(
            summary=f"Lock the tags of repository {params.repository}",
            hits="Pushing to a tag that exists fails.",
            undo="The recorded setting and exceptions are written back.",
        )

    def write(self, ctx: ActionContext, params: RepositoryParams, now: TagsBefore, then: TagsBefore) -> None:
        filters = [{"filterType": "WILDCARD", "filter": f} for f in then.exceptions]
        with aws_errors("ecr:PutImageTagMutability"):
            client(ctx, "ecr").put_image_tag_mutability(
                repositoryName=params.repository,
                imageTagMutability=then.mutability,
                **({"imageTagMutabilityExclusionFilters": filters} if filters else {}),
            )


class DenyPullParams(RepositoryParams):
    """Who may still pull.

    Args:
        responders: ARNs of the roles and users that may, as IAM has them; `*` stands for anything.
    """

    responders: tuple[str, ...] = Field(min_length=1, max_length=20)

    @field_validator("responders")
    @classmethod
    def _arns(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        for arn in given:
            if (
                not arn.startswith("arn:")
                or arn.count(":") < 5
                or arn.split(":")[5][:5] not in ("role/", "user/")
            ):
                raise ValueError(
                    f"{arn[:80]!r} is no ARN of a role or user: arn:aws:iam::<account>:role/<name>"
                )
        return tuple(sorted(set(given)))


class PolicyBefore(StateBefore):
    """The repository's policy; None: it has none."""

    policy: JsonObject | None = Field(title="repository policy")


@action(
    "aws.ecr.deny_pull",
    risk=Risk.DISRUPTIVE,
    phase=Phase.CONTAINMENT,
    permissions=(
        "ecr:DescribeRepositories",
        "ecr:ListTagsForResource",
        "ecr:GetRepositoryPolicy",
        "ecr:SetRepositoryPolicy",
        "ecr:DeleteRepositoryPolicy",
    ),
)
class DenyPull(Setting[DenyPullParams, PolicyBefore]):
    """Let nobody but responders pull images of a repository.

    A statement that denies is put into the repository's policy; all others stay. Who may write the policy still may:
    only pulling is denied.

    Pre-condition: the repository exists and is not tagged `soar:protected`. The statement is there already: nothing is
    done.

    Verified by reading the policy: it is the recorded one with this statement.

    Undone by writing the recorded policy, or by deleting it if there was none. It refuses if the policy was changed
    since.

    Pitfalls: whatever runs goes on, but nothing can be started, scaled or moved to another host any more that needs the
    image: ECS, EKS and Lambda are denied as well, and this worker too if it is not among the responders. Nodes that
    have the image keep it. Images that were pulled before are with whoever pulled them.

    Example::

        - id: no_pull
          name: Let nobody pull the image
          do: aws.ecr.deny_pull
          with:
            repository: shop/checkout
            responders: [arn:aws:iam::111122223333:role/responder]
    """

    method = "ecr:GetRepositoryPolicy"

    def look(self, ctx: ActionContext, params: DenyPullParams) -> Found[PolicyBefore]:
        _, target = find_repository(ctx, params.repository)
        try:
            with aws_errors("ecr:GetRepositoryPolicy"):
                text = client(ctx, "ecr").get_repository_policy(repositoryName=params.repository)[
                    "policyText"
                ]
        except TargetGone:
            return Found(target=target, state=PolicyBefore(policy=None), facts=("it has no policy",))
        policy: JsonObject = json.loads(text)
        return Found(
            target=target,
            state=PolicyBefore(policy=policy),
            facts=tuple(
                f"statement {s.get('Sid', 'without a name')} stays"
                for s in _statements(policy)
                if s.get("Sid") != SID
            )[:12],
        )

    def wanted(self, params: DenyPullParams, state: PolicyBefore) -> PolicyBefore:
        policy: JsonObject = dict(state.policy or {"Version": "2012-10-17"})
        deny: JsonObject = {
            "Sid": SID,
            "Effect": "Deny",
            "Principal": "*",
            "Action": list(PULL),
            "Condition": {"ArnNotLike": {"aws:PrincipalArn": list(params.responders)}},
        }
        kept: list[JsonValue] = [dict(s) for s in _statements(policy) if s.get("Sid") != SID]
        return PolicyBefore(policy={**policy, "Statement": [*kept, deny]})

    def say(self, params: DenyPullParams, found: Found[PolicyBefore], then: PolicyBefore) -> Said:
        return Said(
            summary=f"Let nobody but {len(params.responders)} responder(s) pull from repository {params.repository}",
            hits="Nothing that needs an image of it can be started, scaled or moved.",
            warnings=("What runs goes on until it has to be started again.",),
            undo="The recorded policy is written back."
            if found.state.policy
            else "The policy is deleted, as there was none.",
        )

    def write(
        self, ctx: ActionContext, params: DenyPullParams, now: PolicyBefore, then: PolicyBefore
    ) -> None:
        if then.policy is None:
            with aws_errors("ecr:DeleteRepositoryPolicy"):
                client(ctx, "ecr").delete_repository_policy(repositoryName=params.repository)
            return
        with aws_errors("ecr:SetRepositoryPolicy"):
            client(ctx, "ecr").set_repository_policy(
                repositoryName=params.repository, policyText=canonical_json(then.policy)
            )


def _statements(policy: JsonObject) -> list[JsonObject]:
    found: Any = policy.get("Statement", [])
    return [found] if isinstance(found, dict) else list(found)
