"""How actions reach AWS: one client per service, account and region, with AWS's errors turned into ours."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    ParamValidationError,
)

from soar.actions.contract import ActionContext
from soar.actions.errors import BadInput, PermissionMissing, Refused, TargetGone, Throttled, Unavailable

__all__ = ["AwsAccess", "aws_errors", "client", "tags_for"]

THROTTLED = frozenset(
    {"Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequestsException", "SlowDown"}
    | {"ProvisionedThroughputExceededException", "BandwidthLimitExceeded", "LimitExceededException"}
)
DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "UnauthorizedAccess"})
NOT_ACCEPTED = frozenset(
    {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "AuthFailure", "SignatureDoesNotMatch"}
    | {"InvalidClientTokenId", "InvalidAccessKeyId", "UnrecognizedClientException"}
)
"""The credentials themselves are refused."""
CONFLICTS = frozenset({"LimitExceeded", "DeleteConflict"})
"""IAM's limits and orders: trying again changes nothing."""
GONE = re.compile(r"(NotFound|NoSuch)")
INVALID = re.compile(r"^(Validation|Invalid|Malformed|MissingParameter)")
PERMISSION = re.compile(r"not authorized to perform:? ([a-z0-9-]+:[A-Za-z0-9*]+)")


class AwsAccess:
    """Makes and keeps boto3 clients; thread-safe.

    Args:
        role: The role to take on in the account that an action acts in, `arn:aws:iam::{account}:role/soar-responder`.
            Empty: the worker's own credentials, in its own account only.
        endpoint_url: Another endpoint for every service (the simulated account has one).
        default_region: Where an alert names no region.
        regions: The only regions that may be touched; empty: any.
    """

    def __init__(
        self,
        *,
        role: str = "",
        endpoint_url: str | None = None,
        default_region: str = "us-east-1",
        regions: tuple[str, ...] = (),
    ) -> None:
        self._role, self._endpoint_url, self._default_region = role, endpoint_url, default_region
        self._regions = frozenset(regions)
        self._session = boto3.Session()
        self._clients: dict[tuple[str, str, str], Any] = {}
        self._lock = threading.Lock()
        self._own_account = ""

    @property
    def own_account(self) -> str:
        """The account that the worker's own credentials belong to."""
        if not self._own_account:
            self._own_account = self.client("sts").get_caller_identity()["Account"]
        return self._own_account

    def client(self, service: str, *, account: str = "", region: str = "") -> Any:
        """A client for a service in an account and region.

        Raises:
            PermissionMissing: The account is not the worker's own and no role is set up for it.
            Refused: The region is not among those that may be touched.
        """
        region = region or self._default_region
        if self._regions and region not in self._regions:
            raise Refused(
                f"region {region} is not among those that may be touched: {', '.join(sorted(self._regions))}",
                hint="add it to SOAR_AWS_REGIONS if it should be",
            )
        if account and not self._role:
            if account != self.own_account:
                raise PermissionMissing(
                    f"no access to account {account}: the worker's own account is {self.own_account}",
                    permission="sts:AssumeRole",
                    hint="set SOAR_AWS_ROLE_TEMPLATE to the responder role of your accounts",
                )
            account = ""
        key = (service, account, region)
        with self._lock:
            if key not in self._clients:
                self._clients[key] = self._make(service, account, region)
            return self._clients[key]

    def _make(self, service: str, account: str, region: str) -> Any:
        # Temporal retries, with what the service says; a second layer of retries would hide throttling from it.
        config = Config(
            retries={"max_attempts": 2, "mode": "standard"},
            connect_timeout=5,
            read_timeout=30,
            s3={"addressing_style": "path"} if self._endpoint_url else None,
        )
        session = self._session if not account else self._assumed(account)
        return session.client(service, region_name=region, endpoint_url=self._endpoint_url, config=config)

    def _assumed(self, account: str) -> boto3.Session:
        from botocore.credentials import RefreshableCredentials
        from botocore.session import get_session

        sts = self._session.client("sts", region_name=self._default_region, endpoint_url=self._endpoint_url)
        role = self._role.format(account=account)

        def refresh() -> dict[str, str]:
            with aws_errors("sts:AssumeRole"):
                got = sts.assume_role(RoleArn=role, RoleSessionName="soar-responder")["Credentials"]
            return {
                "access_key": got["AccessKeyId"],
                "secret_key": got["SecretAccessKey"],
                "token": got["SessionToken"],
                "expiry_time": got["Expiration"].isoformat(),
            }

        inner = get_session()
        inner._credentials = RefreshableCredentials.create_from_metadata(
            metadata=refresh(), refresh_using=refresh, method="sts-assume-role"
        )
        return boto3.Session(botocore_session=inner)


def client(ctx: ActionContext, service: str) -> Any:
    """The boto3 client for where a step acts. Use it inside `aws_errors`."""
    return ctx.service(AwsAccess).client(service, account=ctx.account, region=ctx.region)


def tags_for(ctx: ActionContext) -> list[dict[str, str]]:
    """The tags on everything that we create: a retry of the step finds it again by them."""
    return [
        {"Key": "soar:incident", "Value": ctx.incident_id},
        {"Key": "soar:step", "Value": ctx.step_id},
    ]


@contextmanager
def aws_errors(what: str) -> Iterator[None]:
    """Turn AWS's errors into the contract's.

    Args:
        what: The permission that the calls inside need first, `iam:UpdateAccessKey`; named when AWS's message does
            not name one.

    Raises:
        PermissionMissing, Throttled, TargetGone, BadInput, Unavailable: As AWS's code says.
    """
    try:
        yield
    except ClientError as error:
        _raise(error, what)
    except ParamValidationError as error:
        raise BadInput(f"{what}: {error}") from error
    except NoCredentialsError as error:
        raise PermissionMissing(
            f"{what}: this worker has no AWS credentials",
            permission=what,
            hint="give the aws worker a role, by the usual credential chain of AWS",
        ) from error
    except (EndpointConnectionError, BotoCoreError) as error:
        raise Unavailable(f"{what}: {error}") from error


def _raise(error: ClientError, what: str) -> None:
    """Give AWS's error its type; one that has none goes on as it is."""
    code = error.response.get("Error", {}).get("Code", "")
    message = error.response.get("Error", {}).get("Message", "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    text = f"{what}: {code}: {message}"
    if code in NOT_ACCEPTED:
        raise PermissionMissing(
            text,
            permission=what,
            hint="AWS does not accept the aws worker's credentials: renew them, then retry the step",
        ) from error
    if code in CONFLICTS:
        raise Refused(text, hint="make room or remove what stands in the way, then retry the step") from error
    # Not every service writes the code where it belongs; 403 says it as well.
    if code in DENIED or (status == 403 and not INVALID.match(code)):
        named = PERMISSION.search(message)
        permission = named.group(1) if named else what
        raise PermissionMissing(
            text,
            permission=permission,
            hint=f"allow {permission} to the responder's role, then retry the step",
        ) from error
    if code in THROTTLED:
        after = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("retry-after", "")
        raise Throttled(text, retry_after=float(after) if after.isdecimal() else None) from error
    if GONE.search(code):
        raise TargetGone(text, hint="check the name and the region; it may have been deleted") from error
    if INVALID.search(code):
        raise BadInput(text) from error
    if status >= 500 or code in {"InternalError", "ServiceUnavailable"}:
        raise Unavailable(text) from error
    raise error
