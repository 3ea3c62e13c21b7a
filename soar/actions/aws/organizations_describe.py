"""Where an account stands in its organization, and which policies bind it."""

from __future__ import annotations

from pydantic import BaseModel

from soar.actions.aws.access import client
from soar.actions.aws.organizations_common import (
    AccountId,
    attached_scps,
    find_account,
    org_errors,
    path_of,
    tags_of_entity,
)
from soar.actions.contract import ActionContext, Params, action
from soar.model.terms import Phase, Risk

__all__ = ["describe_account"]


class AccountParams(Params):
    """Which account."""

    account_id: AccountId


class Level(BaseModel):
    """The root, a unit or the account itself, and the service control policies that hang on it."""

    id: str
    name: str
    policies: list[str]


class AccountFacts(BaseModel):
    """An account in its organization.

    Args:
        management: It is the management account, which no service control policy binds.
        path: Names from the root down, `Root/Workloads/Prod`.
        levels: From the root down to the account.
    """

    summary: str
    account_id: str
    name: str
    email: str
    status: str
    management: bool
    path: str
    levels: list[Level]
    tags: dict[str, str]


@action(
    "aws.org.describe_account",
    risk=Risk.READ,
    phase=Phase.IDENTIFICATION,
    permissions=(
        "organizations:DescribeAccount",
        "organizations:DescribeOrganization",
        "organizations:DescribeOrganizationalUnit",
        "organizations:ListParents",
        "organizations:ListPoliciesForTarget",
        "organizations:ListTagsForResource",
    ),
)
def describe_account(ctx: ActionContext, params: AccountParams) -> AccountFacts:
    """Tell whose an account is, in which units it is, and which service control policies bind it.

    An attack may come through an account that nobody looks after: the owner's address and the path say who does.

    Pitfalls: only the management account and delegated administrators may ask. The policies are named, not judged.
    Policies of other types (tags, backups) are not told.

    Example::

        - id: whose
          name: Whose account is it?
          do: aws.org.describe_account
          with:
            account_id: '{{ alert.account }}'
    """
    raw = find_account(ctx, params.account_id)
    with org_errors("organizations:DescribeOrganization"):
        organization = client(ctx, "organizations").describe_organization()["Organization"]
    above = path_of(ctx, params.account_id)
    levels = [
        Level(id=entity, name=name, policies=[p["Name"] for p in attached_scps(ctx, entity)])
        for entity, name in [*above, (params.account_id, raw["Name"])]
    ]
    path = "/".join(name for _, name in above)
    return AccountFacts(
        summary=f"account {params.account_id} ({raw['Name']}) in {path}",
        account_id=params.account_id,
        name=raw["Name"],
        email=raw["Email"],
        status=raw.get("State") or raw.get("Status", ""),
        management=organization["MasterAccountId"] == params.account_id,
        path=path,
        levels=levels,
        tags=tags_of_entity(ctx, params.account_id),
    )
