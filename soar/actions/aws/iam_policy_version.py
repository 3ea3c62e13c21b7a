"""Put a managed policy back to what it said before somebody changed it."""

from __future__ import annotations

from datetime import UTC
from typing import Any

from pydantic import Field

from soar.actions.aws.access import aws_errors, client
from soar.actions.aws.iam_common import BREAK_GLASS, ensure_not_reserved, own_arns, pages
from soar.actions.aws.setting import Found, Said, Setting
from soar.actions.contract import ActionContext, Params, StateBefore, action
from soar.actions.errors import Refused, TargetGone
from soar.model.base import canonical_json
from soar.model.change import Target
from soar.model.terms import Phase, Risk

__all__ = ["RestorePolicyVersion"]

MOST_TOLD = 12
LONGEST_TOLD = 1000


class VersionParams(Params):
    """Which policy, and which of its versions is to count."""

    policy_arn: str = Field(
        pattern=r"^arn:aws[a-z-]*:iam::[0-9]{12}:policy/[A-Za-z0-9_+=,.@/-]{1,512}$",
        description="ARN of a managed policy of the account",
    )
    version_id: str = Field(pattern=r"^v[1-9][0-9]{0,5}$", description="the version that was right, `v1`")


class VersionBefore(StateBefore):
    """Which version counts."""

    version: str = Field(title="default version")


@action(
    "aws.iam.restore_policy_version",
    risk=Risk.DISRUPTIVE,
    phase=Phase.ERADICATION,
    permissions=(
        "iam:GetPolicy",
        "iam:GetPolicyVersion",
        "iam:ListPolicyVersions",
        "iam:ListEntitiesForPolicy",
        "iam:SetDefaultPolicyVersion",
        "sts:GetCallerIdentity",
    ),
)
class RestorePolicyVersion(Setting[VersionParams, VersionBefore]):
    """Let an earlier version of a managed policy count again.

    Who may change a policy widens it by a new version: iam:CreatePolicyVersion or iam:SetDefaultPolicyVersion. IAM
    keeps up to five versions; the one that was right is named here. The facts tell what the version that counts now
    says, what the other one says, and who has the policy.

    Pre-condition: the policy is the account's own, has this version, and is not tagged `soar:protected`. It is not on
    this worker's own user or role, nor on a break-glass identity, and its name is not of one. The version counts
    already: nothing is done.

    Verified by reading the policy: this version is the default.

    Undone by letting the version count again that did before. It refuses if somebody made another one the default
    since, or deleted it.

    Pitfalls: everybody who has the policy gets what the version says, and loses the rest: see the facts. The
    attacker's version stays, as evidence, and whoever may set the default brings it back: contain who made it first.
    A policy that is a permissions boundary bounds otherwise from then on. It takes some seconds to take effect.

    Example::

        - id: restore_policy
          name: Let the policy say what it said before
          do: aws.iam.restore_policy_version
          with:
            policy_arn: arn:aws:iam::123456789012:policy/deploy
            version_id: v3
    """

    method = "iam:GetPolicy"

    def look(self, ctx: ActionContext, params: VersionParams) -> Found[VersionBefore]:
        policy = _policy(ctx, params)
        default = str(policy["DefaultVersionId"])
        with aws_errors("iam:ListPolicyVersions"):
            versions = {
                v["VersionId"]: v
                for v in pages(ctx, "list_policy_versions", "Versions", PolicyArn=params.policy_arn)
            }
        if params.version_id not in versions:
            raise TargetGone(
                f"policy {params.policy_arn} has no version {params.version_id}",
                hint=f"it has {', '.join(sorted(versions))}; choose one of them",
            )
        facts = [
            _version_fact(ctx, params.policy_arn, versions[v])
            for v in dict.fromkeys((default, params.version_id))
        ]
        holders = _holders(ctx, params.policy_arn)
        more = f" and {len(holders) - MOST_TOLD} more" if len(holders) > MOST_TOLD else ""
        facts.append(f"on it: {', '.join(holders[:MOST_TOLD]) or 'nobody'}{more}")
        return Found(
            target=Target(
                uid=policy["Arn"],
                type="aws.iam.policy",
                name=policy["PolicyName"],
                account=policy["Arn"].split(":")[4],
                tags={t["Key"]: t["Value"] for t in policy.get("Tags", [])},
            ),
            state=VersionBefore(version=default),
            facts=tuple(facts),
        )

    def wanted(self, params: VersionParams, state: VersionBefore) -> VersionBefore:
        return VersionBefore(version=params.version_id)

    def guard(self, ctx: ActionContext, params: VersionParams, found: Found[VersionBefore]) -> None:
        policy = _policy(ctx, params)
        ensure_not_reserved("policy", policy["PolicyName"], policy["Path"], found.target.tags)
        own = {_as_holder(arn) for arn in own_arns(ctx) if _account(arn) == found.target.account}
        for holder in _holders(ctx, params.policy_arn):
            if BREAK_GLASS in holder.lower() or holder in own:
                whose = "a break-glass identity's" if BREAK_GLASS in holder.lower() else "this worker's own"
                raise Refused(
                    f"policy {found.target.name} is on {holder}, {whose}: it is never changed by an action",
                    hint="act by hand, with a second way into the account open",
                )

    def say(self, params: VersionParams, found: Found[VersionBefore], then: VersionBefore) -> Said:
        return Said(
            summary=f"Let version {then.version} of policy {found.target.name} count, not {found.state.version}",
            hits=f"Whoever has policy {found.target.name} may do what {then.version} says, and nothing else by it.",
            undo=f"Version {found.state.version} counts again.",
        )

    def write(
        self, ctx: ActionContext, params: VersionParams, now: VersionBefore, then: VersionBefore
    ) -> None:
        with aws_errors("iam:SetDefaultPolicyVersion"):
            client(ctx, "iam").set_default_policy_version(PolicyArn=params.policy_arn, VersionId=then.version)


def _policy(ctx: ActionContext, params: VersionParams) -> dict[str, Any]:
    with aws_errors("iam:GetPolicy"):
        found: dict[str, Any] = client(ctx, "iam").get_policy(PolicyArn=params.policy_arn)["Policy"]
    return found


def _version_fact(ctx: ActionContext, arn: str, version: dict[str, Any]) -> str:
    """When a version was made, and what it says."""
    with aws_errors("iam:GetPolicyVersion"):
        reply = client(ctx, "iam").get_policy_version(PolicyArn=arn, VersionId=version["VersionId"])
    text = canonical_json(reply["PolicyVersion"]["Document"])
    text = text if len(text) <= LONGEST_TOLD else text[: LONGEST_TOLD - 1] + "…"
    made = version["CreateDate"].astimezone(UTC)
    return f"{version['VersionId']} was made on {made:%Y-%m-%d %H:%M:%S} UTC and says {text}"


def _holders(ctx: ActionContext, arn: str) -> list[str]:
    """Who has a policy: `group staff`, `role build`, `user dana`; as a boundary too."""
    found: set[str] = set()
    for usage in ("PermissionsPolicy", "PermissionsBoundary"):
        with aws_errors("iam:ListEntitiesForPolicy"):
            paginator = client(ctx, "iam").get_paginator("list_entities_for_policy")
            for page in paginator.paginate(PolicyArn=arn, PolicyUsageFilter=usage):
                for kind in ("Group", "Role", "User"):
                    found |= {f"{kind.lower()} {e[f'{kind}Name']}" for e in page[f"Policy{kind}s"]}
    return sorted(found)


def _account(arn: str) -> str:
    return arn.split(":")[4]


def _as_holder(arn: str) -> str:
    """`arn:aws:sts::1:assumed-role/build/session` is `role build`, `arn:aws:iam::1:user/dana` is `user dana`."""
    kind, _, rest = arn.rpartition(":")[2].partition("/")
    return f"role {rest.partition('/')[0]}" if kind == "assumed-role" else f"{kind} {rest.rpartition('/')[2]}"
