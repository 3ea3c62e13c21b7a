"""A user or a role, whichever: what actions on both read and write by the calls of its kind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from pydantic import Field

from soar.actions.aws.access import aws_errors, client
from soar.actions.aws.iam_common import (
    ensure_role_may_change,
    ensure_user_may_change,
    get_role,
    get_user,
    pages,
    role_facts,
    role_target,
    user_facts,
    user_target,
    when_present,
)
from soar.actions.contract import ActionContext, Params
from soar.model.base import JsonObject
from soar.model.change import Target

__all__ = ["FACTS", "READS", "Kind", "Principal", "PrincipalParams"]

Kind = Literal["user", "role"]

READS = ("iam:GetUser", "iam:GetRole", "sts:GetCallerIdentity")
"""What finding a principal, and seeing that it is not our own, takes."""
FACTS = (
    "iam:ListAccessKeys",
    "iam:GetAccessKeyLastUsed",
    "iam:ListGroupsForUser",
    "iam:GetLoginProfile",
    "iam:ListInstanceProfilesForRole",
)
"""What telling who depends on it takes."""


class PrincipalParams(Params):
    """Which user or role."""

    type: Kind = Field(description="`user` or `role`")
    name: str = Field(pattern=r"^[A-Za-z0-9_+=,.@-]{1,64}$", description="its name, without its path")


class Principal:
    """A user or role as it is now.

    Args:
        params: Which.

    Raises:
        TargetGone: There is none.
    """

    def __init__(self, ctx: ActionContext, params: PrincipalParams) -> None:
        self._ctx, self.kind, self.name = ctx, params.type, params.name
        self.raw: dict[str, Any] = (get_user if self.kind == "user" else get_role)(ctx, params.name)

    @property
    def words(self) -> str:
        """`user dana`."""
        return f"{self.kind} {self.name}"

    @property
    def target(self) -> Target:
        """As a plan names it."""
        return user_target(self.raw) if self.kind == "user" else role_target(self.raw)

    def facts(self) -> tuple[str, ...]:
        """Who and what depends on it."""
        return user_facts(self._ctx, self.name) if self.kind == "user" else role_facts(self._ctx, self.raw)

    def ensure_may_change(self) -> None:
        """Refuse our own, the break-glass, the service-linked and the protected.

        Raises:
            Refused: It is one of those.
        """
        (ensure_user_may_change if self.kind == "user" else ensure_role_may_change)(self._ctx, self.raw)

    def inline_policy(self, policy: str) -> JsonObject | None:
        """Its inline policy of a name; None: there is none."""
        with self.errors("Get{}Policy"):
            found = when_present(self._call("get_{}_policy"), PolicyName=policy, **self._who)
        return None if found is None else dict(found["PolicyDocument"])

    def inline_names(self) -> list[str]:
        """The names of its inline policies."""
        with self.errors("List{}Policies"):
            return [
                str(n) for n in pages(self._ctx, f"list_{self.kind}_policies", "PolicyNames", **self._who)
            ]

    def put_inline_policy(self, policy: str, document: str) -> None:
        """Put an inline policy, in place of one of that name."""
        with self.errors("Put{}Policy"):
            self._call("put_{}_policy")(PolicyName=policy, PolicyDocument=document, **self._who)

    def delete_inline_policy(self, policy: str) -> None:
        """Take an inline policy away, if it is there."""
        with self.errors("Delete{}Policy"):
            when_present(self._call("delete_{}_policy"), PolicyName=policy, **self._who)

    def attached(self) -> dict[str, str]:
        """The managed policies on it: ARN → name."""
        operation = f"list_attached_{self.kind}_policies"
        with self.errors("ListAttached{}Policies"):
            return {
                p["PolicyArn"]: p["PolicyName"]
                for p in pages(self._ctx, operation, "AttachedPolicies", **self._who)
            }

    def attach(self, arn: str) -> None:
        """Attach a managed policy."""
        with self.errors("Attach{}Policy"):
            self._call("attach_{}_policy")(PolicyArn=arn, **self._who)

    def detach(self, arn: str) -> None:
        """Detach a managed policy, if it is there."""
        with self.errors("Detach{}Policy"):
            when_present(self._call("detach_{}_policy"), PolicyArn=arn, **self._who)

    def bound(self, arn: str | None) -> None:
        """Set its permissions boundary; None: remove it."""
        if arn is None:
            with self.errors("Delete{}PermissionsBoundary"):
                when_present(self._call("delete_{}_permissions_boundary"), **self._who)
        else:
            with self.errors("Put{}PermissionsBoundary"):
                self._call("put_{}_permissions_boundary")(PermissionsBoundary=arn, **self._who)

    def tag(self, key: str, value: str) -> None:
        """Set a tag."""
        with self.errors("Tag{}"):
            self._call("tag_{}")(Tags=[{"Key": key, "Value": value}], **self._who)

    def untag(self, key: str) -> None:
        """Remove a tag."""
        with self.errors("Untag{}"):
            self._call("untag_{}")(TagKeys=[key], **self._who)

    @property
    def _who(self) -> dict[str, str]:
        return {f"{self.kind.capitalize()}Name": self.name}

    def _call(self, name: str) -> Any:
        return getattr(client(self._ctx, "iam"), name.format(self.kind))

    @contextmanager
    def errors(self, operation: str) -> Iterator[None]:
        """`aws_errors` of an operation of its kind: `Tag{}` is `iam:TagUser` or `iam:TagRole`."""
        with aws_errors(f"iam:{operation.format(self.kind.capitalize())}"):
            yield
