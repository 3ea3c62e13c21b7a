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
    InvalidRegionError,
    NoCredentialsError,
    ParamValidationError,
)
from botocore.session import Session, get_session

from soar.actions.aws.sessions import RATES, Lru, Rates, Sessions
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


MOST_CLIENTS = 256
"""Clients kept at once: services times regions times accounts and incidents. One takes up to 1.4 MB, and holds
connections, of which a process may not have many."""


class AwsAccess:
    """Makes and keeps boto3 clients; thread-safe.

    Args:
        role: The role to take on in the account that an action acts in, `arn:aws:iam::{account}:role/soar-responder`.
            Empty: the worker's own credentials, in its own account only.
        external_id: What the role's trust policy asks for; empty: nothing.
        endpoint_url: Another endpoint for every service (the simulated account has one).
        default_region: Where an alert names no region; also whose STS is asked. Empty: the first of `regions`, else
            us-east-1.
        regions: The only regions that may be touched; empty: any.
        accounts: The only accounts that may be touched beside the worker's own; empty: any.
        rates: How fast services are asked. Default: as AWS takes it, and without limit at another endpoint.
    """

    def __init__(
        self,
        *,
        role: str = "",
        external_id: str = "",
        endpoint_url: str | None = None,
        default_region: str = "",
        regions: tuple[str, ...] = (),
        accounts: tuple[str, ...] = (),
        rates: Rates | None = None,
        most_clients: int = MOST_CLIENTS,
    ) -> None:
        self._role, self._endpoint_url = role, endpoint_url
        self.default_region = default_region or (regions[0] if regions else "us-east-1")
        self.regions, self.accounts = regions, accounts
        core = get_session()
        core.set_config_variable("sts_regional_endpoints", "regional")
        self._session = boto3.Session(botocore_session=core)
        self._sessions = Sessions(
            core,
            role=role,
            external_id=external_id,
            endpoint_url=endpoint_url,
            region=self.default_region,
            errors=aws_errors,
        )
        self._rates = rates or Rates(() if endpoint_url else RATES)
        # One that falls out while it is in use ends its calls, and connects anew for the next.
        self._clients: Lru[tuple[str, str, str, str], Any] = Lru(most_clients, lambda old: old.close())
        self._lock = threading.Lock()
        self._own_account = ""

    @property
    def own_account(self) -> str:
        """The account that the worker's own credentials belong to."""
        if not self._own_account:
            with aws_errors("sts:GetCallerIdentity"):
                self._own_account = self.client("sts").get_caller_identity()["Account"]
        return self._own_account

    def client(self, service: str, *, account: str = "", region: str = "", incident: str = "") -> Any:
        """A client for a service in an account and region.

        Args:
            incident: What it is for: the session in another account is named after it and tagged with it.

        Raises:
            PermissionMissing: The account is not the worker's own and no role is set up for it, or it does not let
                us in.
            Refused: The region or the account is not among those that may be touched.
            BadInput: There can be no such account or region.
        """
        region = region or self.default_region
        if self.regions and region not in self.regions:
            raise Refused(
                f"region {region} is not among those that may be touched: {', '.join(sorted(self.regions))}",
                hint="add it to SOAR_AWS_REGIONS if it should be",
            )
        if account:
            account = self._allowed(account)
        incident = incident if account else ""
        session = self._sessions.of(account, incident) if account else None
        with self._lock:
            return self._clients.get(
                (service, account, incident, region), lambda: self._make(session, service, account, region)
            )

    def _allowed(self, account: str) -> str:
        """The account as clients are made for it: empty for the worker's own where there is no role to take on."""
        if not re.fullmatch(r"[0-9]{12}", account):
            raise BadInput(f"{account[:60]!r} is no AWS account", hint="an account is a number of 12 digits")
        if self.accounts and account not in self.accounts and account != self.own_account:
            raise Refused(
                f"account {account} is not among those that may be touched",
                hint="add it to SOAR_AWS_ACCOUNTS if it should be",
            )
        if self._role:
            return account
        if account != self.own_account:
            raise PermissionMissing(
                f"no access to account {account}: the worker's own account is {self.own_account}",
                permission="sts:AssumeRole",
                hint="set SOAR_AWS_ROLE_TEMPLATE to the responder role of your accounts",
            )
        return ""

    def _make(self, session: Session | None, service: str, account: str, region: str) -> Any:
        # Temporal retries, with what the service says; a second layer of retries would hide throttling from it.
        config = Config(
            retries={"max_attempts": 2, "mode": "standard"},
            connect_timeout=5,
            read_timeout=30,
            s3={"addressing_style": "path"} if self._endpoint_url else None,
        )
        make = self._session.client if session is None else session.create_client
        try:
            made = make(service, region_name=region, endpoint_url=self._endpoint_url, config=config)
        except InvalidRegionError:
            raise BadInput(f"{region[:60]!r} is no AWS region", hint="write it like us-east-1") from None
        if self._rates.limits(service):

            def turn(model: Any, **_: Any) -> None:
                self._rates.turn(account, region, service, model.name)

            made.meta.events.register_first("before-call", turn)
        return made


def client(ctx: ActionContext, service: str) -> Any:
    """The boto3 client for where a step acts. Use it inside `aws_errors`."""
    access = ctx.service(AwsAccess)
    return access.client(service, account=ctx.account, region=ctx.region, incident=ctx.incident_id)


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
