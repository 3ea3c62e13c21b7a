"""Service control policies of ours: made, hung on a target, and taken away again."""

from __future__ import annotations

import json
from abc import abstractmethod
from fnmatch import fnmatchcase
from typing import Annotated, Any, TypeVar

from botocore.exceptions import ClientError
from pydantic import Field

from soar.actions.aws.access import aws_errors, client
from soar.actions.aws.organizations_common import (
    SCP,
    account_target,
    attached_scps,
    ensure_not_management,
    find_unit,
    members_below,
    org_errors,
    org_pages,
    tags_of_entity,
)
from soar.actions.aws.setting import Found, Setting
from soar.actions.contract import ActionContext, Params, StateBefore
from soar.actions.errors import Refused
from soar.model.base import JsonObject, canonical_json
from soar.model.change import Target

__all__ = ["SERVICE_LINKED", "ExemptRole", "PolicySetting", "ScpBefore", "ScpParams", "unless_exempt"]

MOST_ON_ONE = 5
"""Service control policies that hang on one root, unit or account (quotas of AWS Organizations)."""
LONGEST = 5120
"""Characters of a service control policy (quotas of AWS Organizations)."""
MOST_TOLD = 12

SERVICE_LINKED = "arn:*:iam::*:role/aws-service-role/*"
"""No such policy binds service-linked roles; they are written down all the same, for those who read it."""

ExemptRole = Annotated[
    str,
    Field(
        # The name begins with letters of its own: `role/*` would let everybody through.
        pattern=r"^arn:[a-z*-]+:iam::(\*|[0-9]{12}):role/([\w+=,.@-]+/)*[\w+=,.@-]{3,64}\*?$",
        description="ARN of a role that goes on as before, `arn:aws:iam::*:role/soar-responder`",
    ),
]


class ScpParams(Params):
    """Whom the policy lets through.

    Args:
        exempt_roles: The responder's role first of all; and those that must go on: logging, backups, break-glass.
    """

    exempt_roles: tuple[ExemptRole, ...] = Field(min_length=1, max_length=20)


class ScpBefore(StateBefore):
    """Our policy: what it says, and whether it hangs on the target."""

    content: JsonObject | None = Field(title="policy")
    attached: bool = Field(title="attached")


P = TypeVar("P", bound=ScpParams)


def unless_exempt(exempt: tuple[str, ...]) -> JsonObject:
    """The condition that lets the exempt roles through, as part of a statement's `Condition`."""
    return {"ArnNotLike": {"aws:PrincipalArn": [*sorted(exempt), SERVICE_LINKED]}}


class PolicySetting(Setting[P, ScpBefore]):
    """One policy of ours, by name and tags, on one target: what both actions have in common."""

    method = "organizations:ListPoliciesForTarget"

    @abstractmethod
    def policy_name(self, ctx: ActionContext, params: P) -> str:
        """What the policy is called: the same at each try."""

    @abstractmethod
    def marks(self, ctx: ActionContext) -> dict[str, str]:
        """The tags by which the policy is known as ours."""

    @abstractmethod
    def document(self, params: P) -> JsonObject:
        """What the policy says."""

    @abstractmethod
    def target_id(self, params: P) -> str:
        """The account, unit or root that it hangs on."""

    def look(self, ctx: ActionContext, params: P) -> Found[ScpBefore]:
        entity = self.target_id(params)
        there = attached_scps(ctx, entity)
        policy = self._policy(ctx, params)
        content: JsonObject | None = None
        if policy:
            with org_errors("organizations:DescribePolicy"):
                reply = client(ctx, "organizations").describe_policy(PolicyId=policy)
            content = json.loads(reply["Policy"]["Content"])
        return Found(
            target=_target(ctx, entity),
            state=ScpBefore(content=content, attached=policy in {p["Id"] for p in there}),
            facts=(
                f"on it now: {', '.join(p['Name'] for p in there) or 'no policy'}",
                *_members(ctx, entity),
            ),
        )

    def wanted(self, params: P, state: ScpBefore) -> ScpBefore:
        return ScpBefore(content=self.document(params), attached=True)

    def guard(self, ctx: ActionContext, params: P, found: Found[ScpBefore]) -> None:
        entity = self.target_id(params)
        if entity.isdecimal():
            ensure_not_management(ctx, entity)
        there = attached_scps(ctx, entity)
        if not found.state.attached and len(there) >= MOST_ON_ONE:
            raise Refused(
                f"{len(there)} service control policies hang on {entity} already, and no more can",
                hint=f"detach one of {', '.join(p['Name'] for p in there)}, or use a unit between",
            )
        if len(canonical_json(self.document(params))) > LONGEST:
            raise Refused(
                f"the policy would be longer than the {LONGEST} characters that a service control policy may have",
                hint="name fewer exempt roles or actions, or use wildcards in them",
            )
        _ensure_we_get_through(ctx, params.exempt_roles)

    def write(self, ctx: ActionContext, params: P, now: ScpBefore, then: ScpBefore) -> None:
        organizations, entity = client(ctx, "organizations"), self.target_id(params)
        if now.attached and not then.attached:
            # Detached before it is deleted: the service deletes none that hangs somewhere.
            with org_errors("organizations:DetachPolicy"):
                organizations.detach_policy(PolicyId=self._policy(ctx, params), TargetId=entity)
        if then.content is None:
            if now.content is not None:
                with org_errors("organizations:DeletePolicy"):
                    organizations.delete_policy(PolicyId=self._policy(ctx, params))
        elif now.content is None:
            with org_errors("organizations:CreatePolicy"):
                organizations.create_policy(
                    Name=self.policy_name(ctx, params),
                    Description="Made by incident response; see its tags.",
                    Type=SCP,
                    Content=canonical_json(then.content),
                    Tags=[{"Key": key, "Value": value} for key, value in self.marks(ctx).items()],
                )
        elif now.content != then.content:
            with org_errors("organizations:UpdatePolicy"):
                organizations.update_policy(
                    PolicyId=self._policy(ctx, params), Content=canonical_json(then.content)
                )
        if then.attached and not now.attached:
            with org_errors("organizations:AttachPolicy"):
                try:
                    organizations.attach_policy(PolicyId=self._policy(ctx, params), TargetId=entity)
                except ClientError as error:
                    if error.response["Error"]["Code"] != "DuplicatePolicyAttachmentException":
                        raise

    def _policy(self, ctx: ActionContext, params: P) -> str:
        """The id of our policy, empty if there is none.

        Raises:
            Refused: A policy of that name is not ours.
        """
        name = self.policy_name(ctx, params)
        with org_errors("organizations:ListPolicies"):
            named = [p for p in org_pages(ctx, "list_policies", "Policies", Filter=SCP) if p["Name"] == name]
        if not named:
            return ""
        tags = tags_of_entity(ctx, named[0]["Id"])
        if any(tags.get(key) != value for key, value in self.marks(ctx).items()):
            raise Refused(
                f"there is a policy {name} that does not carry our tags: it is not ours to change",
                hint="rename it, or delete it by hand if it is a left-over, then retry the step",
            )
        return str(named[0]["Id"])


def _target(ctx: ActionContext, entity: str) -> Target:
    if entity.isdecimal():
        return account_target(ctx, entity)
    if entity.startswith("r-"):
        with org_errors("organizations:ListRoots"):
            roots = org_pages(ctx, "list_roots", "Roots")
        arn, name = next(((r["Arn"], "the root") for r in roots if r["Id"] == entity), (entity, entity))
        kind = "root"
    else:
        unit = find_unit(ctx, entity)
        arn, name, kind = unit["Arn"], f"{entity} ({unit['Name']})", "unit"
    return Target(uid=arn, type=f"aws.organizations.{kind}", name=name, tags=tags_of_entity(ctx, entity))


def _members(ctx: ActionContext, entity: str) -> tuple[str, ...]:
    if entity.isdecimal():
        return ()
    accounts = members_below(ctx, entity)
    names = [f"{a['Id']} ({a['Name']})" for a in accounts[:MOST_TOLD]]
    more = f" and {len(accounts) - MOST_TOLD} more" if len(accounts) > MOST_TOLD else ""
    return (
        f"{len(accounts)} account(s) below it: {', '.join(names)}{more}" if names else "no account below it",
    )


def _ensure_we_get_through(ctx: ActionContext, exempt: tuple[str, ...]) -> None:
    """Refuse a policy that would bind this worker's own role.

    Raises:
        Refused: No exempt role is the one that the worker acts by.
    """
    with aws_errors("sts:GetCallerIdentity"):
        caller = str(client(ctx, "sts").get_caller_identity()["Arn"])
    # arn:aws:sts::<account>:assumed-role/<role name>/<session name>; a role's path is not in it.
    kind, _, rest = caller.rpartition(":")[2].partition("/")
    if kind != "assumed-role":
        return
    role = rest.partition("/")[0]
    if not any(fnmatchcase(role, pattern.rpartition("/")[2]) for pattern in exempt):
        raise Refused(
            f"none of the exempt roles is {role}, by which this worker acts: it could not put anything back",
            hint=f"add arn:aws:iam::*:role/{role} to `exempt_roles`",
        )


def deny(sid: str, actions: tuple[str, ...], condition: JsonObject, resource: Any = "*") -> JsonObject:
    """A statement that denies."""
    return {
        "Sid": sid,
        "Effect": "Deny",
        "Action": list(actions),
        "Resource": resource,
        "Condition": condition,
    }
