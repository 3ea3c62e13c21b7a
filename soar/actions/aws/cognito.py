"""Shut a user out of a user pool, and everybody without a login out of an identity pool."""

from __future__ import annotations

from pydantic import Field

from soar.actions.aws.access import aws_errors, client
from soar.actions.aws.s3_bucket import unless_refused
from soar.actions.aws.setting import Found, Said, Setting
from soar.actions.contract import ActionContext, Params, StateBefore, action
from soar.model.base import JsonObject
from soar.model.change import Target
from soar.model.terms import Phase, Risk

__all__ = ["DisableUnauthenticated", "DisableUser"]


class PoolUserParams(Params):
    """Which user of which user pool."""

    user_pool_id: str = Field(pattern=r"^[a-z0-9-]+_[0-9a-zA-Z]{1,55}$")
    username: str = Field(pattern=r"^\S{1,128}$", description="as the pool keeps it, or its `sub`")


class PoolUserBefore(StateBefore):
    """Whether the user may sign in."""

    enabled: bool = Field(title="may sign in")


@action(
    "aws.cognito.disable_user",
    risk=Risk.REVERSIBLE,
    phase=Phase.CONTAINMENT,
    permissions=(
        "cognito-idp:DescribeUserPool",
        "cognito-idp:AdminGetUser",
        "cognito-idp:AdminListGroupsForUser",
        "cognito-idp:AdminUserGlobalSignOut",
        "cognito-idp:AdminDisableUser",
        "cognito-idp:AdminEnableUser",
    ),
    d3fend="D3-AL",
    react="RA3601",
    openc2="set er/account",
)
class DisableUser(Setting[PoolUserParams, PoolUserBefore]):
    """Disable a user of a user pool, and end all its sessions.

    Pre-condition: the user exists, and its pool is not tagged `soar:protected`. Disabled already: nothing is done, and
    no session is ended.

    Verified by reading the user: it is not enabled.

    Undone by enabling the user. Its sessions stay ended: it signs in anew.

    Pitfalls: an access or id token that an application checks by itself stays good until it runs out, five minutes to a
    day after it was made. Credentials of AWS that an identity pool gave for such a token live up to an hour. A user who
    comes from another identity provider is to be disabled there as well.

    Example::

        - id: disable_user
          name: Shut the customer's account
          do: aws.cognito.disable_user
          with:
            user_pool_id: us-east-1_EXAMPLE
            username: "{{ alert.actor.name }}"
    """

    method = "cognito-idp:AdminGetUser"

    def look(self, ctx: ActionContext, params: PoolUserParams) -> Found[PoolUserBefore]:
        cognito = client(ctx, "cognito-idp")
        with aws_errors("cognito-idp:DescribeUserPool"):
            pool = cognito.describe_user_pool(UserPoolId=params.user_pool_id)["UserPool"]
        with aws_errors("cognito-idp:AdminGetUser"):
            user = cognito.admin_get_user(UserPoolId=params.user_pool_id, Username=params.username)
        arn = str(pool["Arn"])
        lines = [f"the user's status is {user.get('UserStatus', 'not known')}"]
        groups = unless_refused(lines, "its groups", lambda: _groups(ctx, params)) or []
        lines += [f"in group {group}" for group in groups[:12]]
        return Found(
            target=Target(
                uid=f"{arn}/user/{user['Username']}",
                type="aws.cognito.user",
                name=str(user["Username"]),
                account=arn.split(":")[4],
                region=arn.split(":")[3],
                tags=pool.get("UserPoolTags") or {},
            ),
            state=PoolUserBefore(enabled=bool(user.get("Enabled"))),
            facts=tuple(lines),
        )

    def wanted(self, params: PoolUserParams, state: PoolUserBefore) -> PoolUserBefore:
        return PoolUserBefore(enabled=False)

    def say(self, params: PoolUserParams, found: Found[PoolUserBefore], then: PoolUserBefore) -> Said:
        return Said(
            summary=f"Disable user {found.target.name} of pool {params.user_pool_id} and end its sessions",
            hits="The user cannot sign in; its sessions cannot be renewed.",
            undo="The user is enabled again; its sessions stay ended.",
        )

    def write(
        self, ctx: ActionContext, params: PoolUserParams, now: PoolUserBefore, then: PoolUserBefore
    ) -> None:
        cognito = client(ctx, "cognito-idp")
        user = {"UserPoolId": params.user_pool_id, "Username": params.username}
        if then.enabled:
            with aws_errors("cognito-idp:AdminEnableUser"):
                cognito.admin_enable_user(**user)
            return
        # A retry finds by the second call whether both were made; a session from in between cannot be renewed.
        with aws_errors("cognito-idp:AdminUserGlobalSignOut"):
            cognito.admin_user_global_sign_out(**user)
        with aws_errors("cognito-idp:AdminDisableUser"):
            cognito.admin_disable_user(**user)


def _groups(ctx: ActionContext, params: PoolUserParams) -> list[str]:
    with aws_errors("cognito-idp:AdminListGroupsForUser"):
        pages = (
            client(ctx, "cognito-idp")
            .get_paginator("admin_list_groups_for_user")
            .paginate(UserPoolId=params.user_pool_id, Username=params.username)
        )
        return sorted(g["GroupName"] for page in pages for g in page["Groups"])


class IdentityPoolParams(Params):
    """Which identity pool."""

    identity_pool_id: str = Field(pattern=r"^[a-z0-9-]{1,20}:[0-9a-f-]{1,40}$")


class IdentityPoolBefore(StateBefore):
    """The whole pool, because it is only ever written whole."""

    pool: JsonObject = Field(title="identity pool")


@action(
    "aws.cognito.disable_unauthenticated",
    risk=Risk.DISRUPTIVE,
    phase=Phase.CONTAINMENT,
    permissions=(
        "cognito-identity:DescribeIdentityPool",
        "cognito-identity:GetIdentityPoolRoles",
        "cognito-identity:UpdateIdentityPool",
        "sts:GetCallerIdentity",
    ),
)
class DisableUnauthenticated(Setting[IdentityPoolParams, IdentityPoolBefore]):
    """Give credentials of AWS to nobody any more who has not signed in, by an identity pool.

    A pool that is open to guests hands out credentials of its guest role to everybody who knows its id, which is in the
    code of each web page or app that uses it.

    Pre-condition: the identity pool exists and is not tagged `soar:protected`. Closed to guests already: nothing is
    done.

    Verified by reading the pool: it is closed to guests, and all else is as it was.

    Undone by writing the recorded pool back. It refuses if the pool was changed since.

    Pitfalls: pages and apps that work without a login stop working. Credentials that were handed out live up to an
    hour: revoke the sessions of the guest role (`aws.iam.revoke_role_sessions`), which the plan names.

    Which role guests get was shown on replies of our own making: the simulated account has no roles of identity pools.

    Example::

        - id: guests
          name: Close the pool to guests
          do: aws.cognito.disable_unauthenticated
          with:
            identity_pool_id: us-east-1:1234abcd-12ab-34cd-56ef-1234567890ab
    """

    method = "cognito-identity:DescribeIdentityPool"

    def look(self, ctx: ActionContext, params: IdentityPoolParams) -> Found[IdentityPoolBefore]:
        cognito = client(ctx, "cognito-identity")
        with aws_errors("cognito-identity:DescribeIdentityPool"):
            raw = cognito.describe_identity_pool(IdentityPoolId=params.identity_pool_id)
        lines: list[str] = []
        roles = unless_refused(lines, "the pool's roles", lambda: _roles(ctx, params)) or {}
        guests = roles.get("unauthenticated")
        lines.append(f"guests get the role {guests}" if guests else "guests get no role by default")
        with aws_errors("sts:GetCallerIdentity"):
            account = str(client(ctx, "sts").get_caller_identity()["Account"])
        meta = cognito.meta
        return Found(
            target=Target(
                uid=f"arn:{meta.partition}:cognito-identity:{meta.region_name}:{account}:identitypool/{params.identity_pool_id}",
                type="aws.cognito.identity_pool",
                name=str(raw["IdentityPoolName"]),
                account=account,
                region=meta.region_name,
                tags=raw.get("IdentityPoolTags") or {},
            ),
            state=IdentityPoolBefore(pool={k: v for k, v in raw.items() if k != "ResponseMetadata"}),
            facts=tuple(lines),
        )

    def wanted(self, params: IdentityPoolParams, state: IdentityPoolBefore) -> IdentityPoolBefore:
        if not state.pool.get("AllowUnauthenticatedIdentities"):
            return state
        return IdentityPoolBefore(pool={**state.pool, "AllowUnauthenticatedIdentities": False})

    def say(
        self, params: IdentityPoolParams, found: Found[IdentityPoolBefore], then: IdentityPoolBefore
    ) -> Said:
        return Said(
            summary=f"Close identity pool {found.target.name} to guests",
            hits="Whoever has not signed in gets no credentials any more.",
            warnings=("Credentials that were handed out live on: revoke the sessions of the guest role.",),
            undo="The recorded pool is written back.",
        )

    def write(
        self,
        ctx: ActionContext,
        params: IdentityPoolParams,
        now: IdentityPoolBefore,
        then: IdentityPoolBefore,
    ) -> None:
        with aws_errors("cognito-identity:UpdateIdentityPool"):
            client(ctx, "cognito-identity").update_identity_pool(**then.pool)


def _roles(ctx: ActionContext, params: IdentityPoolParams) -> dict[str, str]:
    with aws_errors("cognito-identity:GetIdentityPoolRoles"):
        reply = client(ctx, "cognito-identity").get_identity_pool_roles(
            IdentityPoolId=params.identity_pool_id
        )
    return dict(reply.get("Roles") or {})
