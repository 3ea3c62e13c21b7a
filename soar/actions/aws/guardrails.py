"""What the actions on detection services share: where they are, and the errors that these services name otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from botocore.exceptions import ClientError

from soar.actions.aws.access import AwsAccess, aws_errors, client
from soar.actions.contract import ActionContext
from soar.actions.errors import BadInput

__all__ = ["Place", "here", "plain_errors"]

REJECTED = frozenset({"BadRequestException"})
"""What GuardDuty answers to whatever it does not take, ids that do not exist included."""


@dataclass(frozen=True)
class Place:
    """Where a step acts, as ARNs are written."""

    partition: str
    region: str
    account: str

    def arn(self, service: str, rest: str) -> str:
        """The ARN of something of a service here."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{rest}"


def here(ctx: ActionContext, service: str) -> Place:
    """Where a step acts on a service; asks whose the worker's credentials are if the step names no account."""
    meta = client(ctx, service).meta
    account = ctx.account or ctx.service(AwsAccess).own_account
    return Place(meta.partition, meta.region_name, account)


@contextmanager
def plain_errors(what: str) -> Iterator[None]:
    """`aws_errors`, and a rejected request is bad input: trying it again changes nothing.

    Raises:
        ActionError: As `aws_errors` does.
    """
    with aws_errors(what):
        try:
            yield
        except ClientError as error:
            told = error.response.get("Error", {})
            if told.get("Code") not in REJECTED:
                raise
            raise BadInput(
                f"{what}: {told.get('Message', 'the request was rejected')}",
                hint="check the ids, the account and the region; members of an organization are changed by its "
                "administrator account only",
            ) from error
