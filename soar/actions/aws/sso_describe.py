"""Who a user of IAM Identity Center is, and where it may go."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field
from pydantic_core import to_jsonable_python

from soar.actions.aws.sso_common import (
    USER_READS,
    InstanceParams,
    PermissionSets,
    assigned_to,
    find_principal,
    groups_of,
)
from soar.actions.contract import ActionContext, action
from soar.model.base import Fact, canonical_json
from soar.model.terms import Phase, Risk

__all__ = ["describe_user"]


class DescribeParams(InstanceParams):
    """Which user."""

    user: str = Field(
        min_length=1,
        max_length=1024,
        description="the user's name, e-mail address or id in IAM Identity Center",
    )


class Assignment(Fact):
    """A permission set in an account.

    Args:
        session_duration: How long a session lives that was made with it, as ISO 8601 writes it: `PT8H`.
        group: By which group the user has it; empty: it is the user's own.
    """

    account: str
    permission_set: str
    permission_set_arn: str
    session_duration: str
    group: str = ""


class SsoUser(BaseModel):
    """A user of IAM Identity Center.

    Args:
        status: As the directory says, `ENABLED` or `DISABLED`; empty: it does not say.
        accounts: Account numbers that it may go to.
    """

    summary: str
    user_id: str
    user_name: str
    display_name: str = ""
    emails: list[str]
    status: str = ""
    groups: list[str]
    assignments: list[Assignment]
    accounts: list[str]


@action(
    "aws.sso.describe_user",
    risk=Risk.READ,
    phase=Phase.IDENTIFICATION,
    permissions=(
        *USER_READS,
        "identitystore:DescribeGroup",
        "identitystore:ListGroupMembershipsForMember",
        "sso:ListAccountAssignmentsForPrincipal",
        "sso:DescribePermissionSet",
    ),
)
def describe_user(ctx: ActionContext, params: DescribeParams) -> SsoUser:
    """Find a user of IAM Identity Center, with its groups and what it is assigned in which accounts.

    Roles named `AWSReservedSSO_…` are of IAM Identity Center; their sessions are named after its users. All that the
    directory says of the user is kept as evidence.

    Pre-condition: the step runs in the account and region of IAM Identity Center: the management account, or the
    one that it is delegated to. Nothing is changed.

    Pitfalls: only the management account may ask for a principal's assignments. Sessions that were made earlier are not
    listed: nobody can list them. Who the user is to the company's own login, where users come from there, is not in it.

    Example::

        - id: sso_user
          name: Who is it, and where may they go?
          do: aws.sso.describe_user
          with:
            user: "{{ alert.actor.session_name }}"
    """
    user = find_principal(ctx, params, "user", params.user)
    groups, sets = groups_of(ctx, user), PermissionSets(ctx, user.instance)
    # AWS tells of a user's groups' assignments as well, of those that it knows; each is told once.
    found = {(a.account, a.permission_set, a.group) for a in assigned_to(ctx, user.instance, "user", user.id)}
    for group in groups:
        assigned = assigned_to(ctx, user.instance, "group", group)
        found |= {(a.account, a.permission_set, group) for a in assigned}
    assignments = [
        Assignment(
            account=account,
            permission_set=sets.of(arn)[0],
            permission_set_arn=arn,
            session_duration=sets.of(arn)[1],
            group=groups[group][0] if group in groups else group,
        )
        for account, arn, group in sorted(found)
    ]
    names = sorted(name for name, _ in groups.values())
    accounts = sorted({a.account for a in assignments})
    found_user = SsoUser(
        summary=(
            f"user {user.name} of IAM Identity Center: {len(names)} group(s), {len(assignments)} assignment(s) in "
            f"{len(accounts)} account(s)"
        ),
        user_id=user.id,
        user_name=user.name,
        display_name=str(user.raw.get("DisplayName", "")),
        emails=[str(e["Value"]) for e in user.raw.get("Emails", []) if e.get("Value")],
        status=str(user.raw.get("UserStatus", "")),
        groups=names,
        assignments=assignments,
        accounts=accounts,
    )
    kept: dict[str, Any] = {
        "user": to_jsonable_python(user.raw),
        "found": found_user.model_dump(mode="json", exclude={"summary"}),
    }
    ctx.keep_evidence(
        f"sso-user-{user.id}.json",
        canonical_json(kept).encode(),
        media_type="application/json",
        source="identitystore:DescribeUser",
    )
    return found_user
