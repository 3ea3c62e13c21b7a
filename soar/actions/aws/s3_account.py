"""Close all buckets of an account to the public at once."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from soar.actions.aws.access import AwsAccess, aws_errors, client
from soar.actions.aws.s3_bucket import AccessBlock, account_access_block, setting, unless_refused
from soar.actions.aws.setting import Found, Said, Setting
from soar.actions.contract import ActionContext, Params, StateBefore, action
from soar.model.change import Target
from soar.model.terms import Phase, Risk

__all__ = ["BlockPublicAccessAccount"]

MOST = 50
"""Buckets whose policy is asked for; an account may have thousands."""


class AccountParams(Params):
    """Nothing but the step's account."""


class AccountBlockBefore(StateBefore):
    """The account's access block; None if it had none."""

    block: AccessBlock | None = Field(title="the account's public access block")


@action(
    "aws.s3.block_public_access_account",
    risk=Risk.DISRUPTIVE,
    phase=Phase.CONTAINMENT,
    permissions=(
        "s3:GetAccountPublicAccessBlock",
        "s3:PutAccountPublicAccessBlock",
        "s3:ListAllMyBuckets",
        "s3:GetBucketPolicyStatus",
        "sts:GetCallerIdentity",
    ),
)
class BlockPublicAccessAccount(Setting[AccountParams, AccountBlockBefore]):
    """Close all buckets of an account to everybody outside, whatever their policies and ACLs say.

    Turns all four settings of the account's public access block on. It counts for every bucket and access point in all
    regions, those that will be made as well, and overrides what single buckets have.

    Pre-condition: the step's account. All four on already: nothing is done.

    Verified by reading the account's block back.

    Undone by writing the recorded block, or deleting it if there was none.

    Pitfalls: every public website and download of the account stops, at once or within minutes. Where an organization
    sets the block by policy, an account cannot change it. Of the first 50 buckets the plan says which have a public
    policy; public ACLs are not looked for.

    Shown on replies of our own making: the simulated account does not answer at the address that belongs to an account.

    Example::

        - id: close_all
          name: Close all buckets of the account
          do: aws.s3.block_public_access_account
          approval:
            role: responder
            approvers: 1
    """

    method = "s3:GetAccountPublicAccessBlock"

    def look(self, ctx: ActionContext, params: AccountParams) -> Found[AccountBlockBefore]:
        block, account = account_access_block(ctx), _account(ctx)
        partition = client(ctx, "s3").meta.partition
        return Found(
            target=Target(
                uid=f"arn:{partition}:iam::{account}:root",
                type="aws.account",
                name=f"account {account}",
                account=account,
            ),
            state=AccountBlockBefore(block=block),
            # Only a plan that changes something is worth a look at the buckets.
            facts=() if block == _closed() else _open_buckets(ctx),
        )

    def wanted(self, params: AccountParams, state: AccountBlockBefore) -> AccountBlockBefore:
        return AccountBlockBefore(block=_closed())

    def say(self, params: AccountParams, found: Found[AccountBlockBefore], then: AccountBlockBefore) -> Said:
        return Said(
            summary=f"Block all public access to every bucket of {found.target.name}",
            hits="Everybody without permissions of their own is shut out of all buckets.",
            warnings=("It counts for every bucket of the account, in all regions.",),
            undo="The recorded block is written back."
            if found.state.block
            else "The block is removed, as there was none.",
        )

    def write(
        self, ctx: ActionContext, params: AccountParams, now: AccountBlockBefore, then: AccountBlockBefore
    ) -> None:
        control: Any = client(ctx, "s3control")
        with aws_errors("s3:PutAccountPublicAccessBlock"):
            if then.block is None:
                control.delete_public_access_block(AccountId=_account(ctx))
                return
            control.put_public_access_block(
                AccountId=_account(ctx), PublicAccessBlockConfiguration=then.block.call()
            )


def _closed() -> AccessBlock:
    return AccessBlock(
        block_public_acls=True,
        ignore_public_acls=True,
        block_public_policy=True,
        restrict_public_buckets=True,
    )


def _account(ctx: ActionContext) -> str:
    return ctx.account or ctx.service(AwsAccess).own_account


def _open_buckets(ctx: ActionContext) -> tuple[str, ...]:
    """Which buckets have a public policy, for the plan's blast radius."""
    lines: list[str] = []
    names = unless_refused(lines, "the list of buckets", lambda: _buckets(ctx)) or []
    for name in names[:MOST]:
        status = unless_refused(
            lines,
            f"the policy of {name}",
            lambda name=name: setting(  # type: ignore[misc]
                ctx, name, "get_bucket_policy_status", "s3:GetBucketPolicyStatus", "NoSuchBucketPolicy"
            ),
        )
        if status and status["PolicyStatus"]["IsPublic"]:
            lines.append(f"bucket {name} is public by its policy")
    if len(names) > MOST:
        lines.append(f"{len(names) - MOST} more bucket(s) were not looked at")
    return tuple(lines) or (f"none of {len(names)} bucket(s) is public by its policy",)


def _buckets(ctx: ActionContext) -> list[str]:
    with aws_errors("s3:ListAllMyBuckets"):
        return sorted(b["Name"] for b in client(ctx, "s3").list_buckets()["Buckets"])
