"""What the actions on an organization share: find accounts and units, read what hangs on them, and guard them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from botocore.exceptions import ClientError
from pydantic import Field

from soar.actions.aws.access import aws_errors, client
from soar.actions.contract import ActionContext
from soar.actions.errors import Refused, TargetGone, Unavailable
from soar.model.change import Target

__all__ = [
    "AccountId",
    "OrgUnitId",
    "account_target",
    "attached_scps",
    "ensure_not_management",
    "find_account",
    "find_unit",
    "members_below",
    "org_errors",
    "org_pages",
    "path_of",
    "tags_of_entity",
]

AccountId = Annotated[str, Field(pattern=r"^[0-9]{12}$", description="the account's number")]
OrgUnitId = Annotated[
    str, Field(pattern=r"^ou-[0-9a-z]{4,32}-[0-9a-z]{8,32}$", description="the organizational unit, `ou-…`")
]

SCP = "SERVICE_CONTROL_POLICY"
BUSY = frozenset(
    {"ConcurrentModificationException", "PolicyChangesInProgressException", "FinalizingOrganizationException"}
)
"""Somebody else changes the organization at this moment."""
NOT_ALLOWED = frozenset(
    {"ConstraintViolationException", "PolicyTypeNotEnabledException", "PolicyInUseException"}
    | {"PolicyTypeNotAvailableForOrganizationException", "UnsupportedAPIEndpointException"}
)
DEEPEST = 8
"""Units within each other; the service allows five below the root."""


@contextmanager
def org_errors(what: str) -> Iterator[None]:
    """`aws_errors`, with the errors of Organizations that have names of their own.

    Raises:
        Unavailable: Somebody else changes the organization at this moment.
        Refused: The organization's limits or settings forbid it.
        ActionError: As `aws_errors` does.
    """
    with aws_errors(what):
        try:
            yield
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            text = f"{what}: {code}: {error.response.get('Error', {}).get('Message', '')}"
            if code in BUSY:
                raise Unavailable(text) from error
            if code in NOT_ALLOWED:
                raise Refused(
                    text, hint="look at the organization's limits and policy types, then retry the step"
                ) from error
            if code == "AWSOrganizationsNotInUseException":
                raise TargetGone(
                    text, hint="run the step in the management account, or in a delegated administrator's"
                ) from error
            raise


def org_pages(ctx: ActionContext, operation: str, key: str, **arguments: Any) -> list[Any]:
    """Every entry of a list of the organization. A page may be empty and others follow. Use it inside `org_errors`.

    Args:
        operation: The client's method, `list_policies`.
        key: Where the entries are in a page.
    """
    found: list[Any] = []
    for page in client(ctx, "organizations").get_paginator(operation).paginate(**arguments):
        found += page[key]
    return found


def find_account(ctx: ActionContext, account_id: str) -> dict[str, Any]:
    """A member account as `organizations:DescribeAccount` shows it.

    Raises:
        TargetGone: The organization has no such account.
    """
    with org_errors("organizations:DescribeAccount"):
        found: dict[str, Any] = client(ctx, "organizations").describe_account(AccountId=account_id)["Account"]
    return found


def find_unit(ctx: ActionContext, unit_id: str) -> dict[str, Any]:
    """An organizational unit as `organizations:DescribeOrganizationalUnit` shows it.

    Raises:
        TargetGone: The organization has no such unit.
    """
    with org_errors("organizations:DescribeOrganizationalUnit"):
        reply = client(ctx, "organizations").describe_organizational_unit(OrganizationalUnitId=unit_id)
    found: dict[str, Any] = reply["OrganizationalUnit"]
    return found


def tags_of_entity(ctx: ActionContext, entity: str) -> dict[str, str]:
    """The tags of an account, a unit, a root or a policy."""
    with org_errors("organizations:ListTagsForResource"):
        found = org_pages(ctx, "list_tags_for_resource", "Tags", ResourceId=entity)
    return {t["Key"]: t["Value"] for t in found}


def account_target(ctx: ActionContext, account_id: str) -> Target:
    """A member account, as a plan names what it touches."""
    raw = find_account(ctx, account_id)
    return Target(
        uid=raw["Arn"],
        type="aws.organizations.account",
        name=f"{account_id} ({raw['Name']})" if raw.get("Name") else account_id,
        account=account_id,
        tags=tags_of_entity(ctx, account_id),
    )


def ensure_not_management(ctx: ActionContext, account_id: str) -> None:
    """Refuse the organization's management account.

    Raises:
        Refused: It is the one.
    """
    with org_errors("organizations:DescribeOrganization"):
        found = client(ctx, "organizations").describe_organization()["Organization"]["MasterAccountId"]
    if account_id == found:
        raise Refused(
            f"account {account_id} is the organization's management account: no service control policy binds it",
            hint="contain its users and roles one by one (`aws.iam.quarantine_user`, `aws.iam.revoke_role_sessions`)",
        )


def path_of(ctx: ActionContext, entity: str) -> list[tuple[str, str]]:
    """What an account or unit is in, from the root down, the thing itself left out: id and name of each."""
    found: list[tuple[str, str]] = []
    child = entity
    for _ in range(DEEPEST):
        with org_errors("organizations:ListParents"):
            parents = org_pages(ctx, "list_parents", "Parents", ChildId=child)
        if not parents:
            break
        child = parents[0]["Id"]
        if parents[0]["Type"] == "ROOT":
            found.append((child, "Root"))
            break
        found.append((child, find_unit(ctx, child)["Name"]))
    return found[::-1]


def attached_scps(ctx: ActionContext, entity: str) -> list[dict[str, Any]]:
    """The service control policies that hang on an account, a unit or a root directly, by name."""
    with org_errors("organizations:ListPoliciesForTarget"):
        found = org_pages(ctx, "list_policies_for_target", "Policies", TargetId=entity, Filter=SCP)
    return sorted(found, key=lambda p: str(p["Name"]))


def members_below(ctx: ActionContext, parent: str, depth: int = 0) -> list[dict[str, Any]]:
    """All accounts in a unit or root, and in the units within it."""
    with org_errors("organizations:ListAccountsForParent"):
        found = org_pages(ctx, "list_accounts_for_parent", "Accounts", ParentId=parent)
    if depth < DEEPEST:
        with org_errors("organizations:ListOrganizationalUnitsForParent"):
            units = org_pages(
                ctx, "list_organizational_units_for_parent", "OrganizationalUnits", ParentId=parent
            )
        for unit in units:
            found += members_below(ctx, unit["Id"], depth + 1)
    return sorted(found, key=lambda a: str(a["Id"]))
