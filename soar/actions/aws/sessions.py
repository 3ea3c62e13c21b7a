"""What is kept for each account: the responder role's session there, and how fast its services may be asked.

A session is of one account and one incident: the incident is in its name and its tags, so that CloudTrail says of each
of our calls which incident it was for, and so that policies can ask for it. It is not of one step: that would be an
AssumeRole for each step and account, and what a step creates carries the step's name in its own tags.
"""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from botocore.config import Config
from botocore.credentials import RefreshableCredentials
from botocore.exceptions import ClientError
from botocore.session import Session

from soar.actions.errors import PermissionMissing, Throttled

__all__ = [
    "RATES",
    "Bucket",
    "Lru",
    "Rate",
    "Rates",
    "Sessions",
    "session_name",
    "session_tags",
]

SESSION_SECONDS = 3600
"""How long a session lasts: the most that AWS gives to a role that takes on another role, and the least that every
role allows. botocore takes a new one a quarter of an hour before the end."""
MOST_SESSIONS = 512
"""Sessions kept at once: accounts times open incidents. A session is some kilobytes."""
MOST_BUCKETS = 8192

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Lru(Generic[K, V]):
    """Keeps what was used last. Not thread-safe: its owner holds a lock.

    Args:
        most: How many are kept.
        dropped: Told of each that falls out.
    """

    def __init__(self, most: int, dropped: Callable[[V], None] | None = None) -> None:
        self._most, self._dropped = most, dropped
        self._kept: OrderedDict[K, V] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: K, make: Callable[[], V]) -> V:
        """What is kept under a key, made if nothing is."""
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        made = self._kept[key] = make()
        while len(self._kept) > self._most:
            _, old = self._kept.popitem(last=False)
            if self._dropped is not None:
                self._dropped(old)
        return made


def session_name(incident: str) -> str:
    """An incident's id as AWS takes it for a session's name: 2 to 64 of `A-Za-z0-9_+=,.@-`.

    What does not fit is made to fit, and gets a part of its digest, so that two incidents never share a name.
    """
    if re.fullmatch(r"[A-Za-z0-9_+=,.@-]{2,64}", incident):
        return incident
    if not incident:
        return "soar-responder"
    fit = re.sub(r"[^A-Za-z0-9_+=,.@-]+", "-", incident).strip("-")[:51]
    digest = hashlib.sha256(incident.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return f"{fit}-{digest}" if fit else digest


def session_tags(incident: str) -> list[dict[str, str]]:
    """The session's tags: `soar:incident`, its value made of what AWS takes (letters, digits, space, `_.:/=+-@`)."""
    value = re.sub(r"[^\w .:/=+@-]", "_", incident)[:256]
    return [{"Key": "soar:incident", "Value": value}] if value else []


@dataclass
class _Slot:
    """A place for a session, taken before the session is there: others who want the same one wait for it alone."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    session: Session | None = None


class Sessions:
    """Takes on the responder role in accounts, and keeps the sessions until others push them out; thread-safe.

    Args:
        base: The worker's own session; those of the accounts share its hooks and its service models.
        role: The role's ARN; `{account}` and `{partition}` are filled in.
        external_id: What the roles' trust policies ask for; empty: nothing.
        endpoint_url: Another endpoint for STS.
        region: Whose STS is asked: a region's own answers when another region does not, and its tokens hold
            everywhere.
        errors: Gives AWS's errors their types.
    """

    def __init__(
        self,
        base: Session,
        *,
        role: str,
        external_id: str,
        endpoint_url: str | None,
        region: str,
        errors: Callable[[str], AbstractContextManager[None]],
        most: int = MOST_SESSIONS,
    ) -> None:
        self._base, self._role, self._external_id, self._errors = base, role, external_id, errors
        self._endpoint_url, self._region = endpoint_url, region
        self._slots: Lru[tuple[str, str], _Slot] = Lru(most)
        self._lock = threading.Lock()
        self._made_sts: Any = None
        self._own_arn = ""

    def of(self, account: str, incident: str) -> Session:
        """The session of the responder role in an account, for an incident.

        Raises:
            PermissionMissing: The role does not let us in; the message says what to put right.
        """
        with self._lock:
            slot = self._slots.get((account, incident), _Slot)
        with slot.lock:
            if slot.session is None:
                slot.session = self._assumed(account, incident)
            return slot.session

    def role_in(self, account: str) -> str:
        """The ARN of the responder role in an account, in the partition that the worker is in."""
        partition = self._own().split(":")[1]
        role = self._role.replace("{account}", account).replace("{partition}", partition)
        # A role of another partition can never be taken on, so a template that names the usual one means ours.
        return re.sub(r"^arn:aws:", f"arn:{partition}:", role)

    def _assumed(self, account: str, incident: str) -> Session:
        def refresh() -> dict[str, str]:
            return self._take_on(account, incident)

        # Hooks that are registered on the worker's session see the clients of accounts as well; the service models
        # are megabytes and are loaded once.
        session = Session(include_builtin_handlers=False)
        for shared in ("event_emitter", "data_loader"):
            session.register_component(shared, self._base.get_component(shared))
        session._credentials = RefreshableCredentials.create_from_metadata(
            metadata=refresh(), refresh_using=refresh, method="sts-assume-role"
        )
        return session

    def _take_on(self, account: str, incident: str) -> dict[str, str]:
        role = self.role_in(account)
        asked: dict[str, Any] = {
            "RoleArn": role,
            "RoleSessionName": session_name(incident),
            "DurationSeconds": SESSION_SECONDS,
            **({"Tags": tags} if (tags := session_tags(incident)) else {}),
            **({"ExternalId": self._external_id} if self._external_id else {}),
        }
        with self._errors("sts:AssumeRole"):
            try:
                got = self._sts().assume_role(**asked)["Credentials"]
            except ClientError as error:
                if error.response.get("Error", {}).get("Code") != "AccessDenied":
                    raise
                raise self._not_let_in(role, account, error) from error
        return {
            "access_key": got["AccessKeyId"],
            "secret_key": got["SecretAccessKey"],
            "token": got["SessionToken"],
            "expiry_time": got["Expiration"].isoformat(),
        }

    def _not_let_in(self, role: str, account: str, error: ClientError) -> PermissionMissing:
        """AWS gives one answer to all of these, so that nobody can try them out: no role, no trust, no permission."""
        said = str(error.response.get("Error", {}).get("Message", ""))
        if "sts:TagSession" in said:
            return PermissionMissing(
                f"role {role} does not take the tag of our session: {said}",
                permission="sts:TagSession",
                hint="allow sts:TagSession beside sts:AssumeRole, in the role's trust policy and to the aws worker's "
                "own role; then retry the step",
            )
        about_id = (
            "asks for the external id that SOAR_AWS_EXTERNAL_ID holds"
            if self._external_id
            else "asks for no external id (none is set: set SOAR_AWS_EXTERNAL_ID if it does)"
        )
        return PermissionMissing(
            f"account {account} does not let us in by role {role}: {said}",
            permission="sts:AssumeRole",
            hint=f"see that the role exists, that its trust policy names {self._own()} or its account, and {about_id}; "
            "and that the aws worker's own role may sts:AssumeRole it; then retry the step",
        )

    def _own(self) -> str:
        """The ARN of the worker's own credentials."""
        if not self._own_arn:
            with self._errors("sts:GetCallerIdentity"):
                self._own_arn = str(self._sts().get_caller_identity()["Arn"])
        return self._own_arn

    def _sts(self) -> Any:
        """Our own way to STS. The actions' hooks do not see it: to get in is no call of an action's."""
        with self._lock:
            if self._made_sts is None:
                session = Session()
                session.set_config_variable("sts_regional_endpoints", "regional")
                session._credentials = self._base.get_credentials()
                self._made_sts = session.create_client(
                    "sts",
                    region_name=self._region,
                    endpoint_url=self._endpoint_url,
                    config=Config(
                        retries={"max_attempts": 2, "mode": "standard"}, connect_timeout=5, read_timeout=30
                    ),
                )
            return self._made_sts


@dataclass(frozen=True)
class Rate:
    """How often operations of a service may be called in an account.

    Args:
        service: As botocore calls it.
        operations: How the operations' names begin.
        per_second: Calls a second in the long run.
        burst: Calls at once after a rest.
        everywhere: The service counts an account's calls of all regions together.
        each: Each operation has the rate by itself; else they share it.
    """

    service: str
    operations: tuple[str, ...]
    per_second: float
    burst: int
    everywhere: bool = False
    each: bool = False

    def covers(self, service: str, operation: str) -> bool:
        """Whether it is about this operation."""
        return service == self.service and operation.startswith(self.operations)


RATES = (
    Rate("cloudtrail", ("LookupEvents",), 2, 1),
    Rate("wafv2", ("Create", "Put", "Update"), 1, 1, each=True),
    Rate("wafv2", ("Get", "List"), 5, 1, each=True),
    Rate("organizations", ("List", "Describe"), 4, 4, everywhere=True),
    Rate("organizations", ("",), 1, 1, everywhere=True),
    Rate("iam", ("Get", "List", "Generate", "Simulate"), 15, 30, everywhere=True),
    Rate("iam", ("",), 5, 10, everywhere=True),
)
"""Where AWS's own limits are so low that an incident reaches them; the first that fits counts. CloudTrail and WAF
publish theirs; those of Organizations and IAM are our choice, below where these services are seen to refuse."""

PATIENCE = 15.0
"""Seconds that a call waits for its turn; if it would be longer, the step is told to come back."""


ROUNDING = 1e-6
"""Seconds that are no wait."""


class Bucket:
    """Gives out turns at a rate. Pure: the caller tells the time and does the waiting.

    It keeps the moment from which the rate would be used up evenly (a leaky bucket as a meter).
    """

    def __init__(self, rate: Rate) -> None:
        self._every = 1 / rate.per_second
        self._ahead = (rate.burst - 1) * self._every
        self._even = float("-inf")

    def take(self, now: float, patience: float) -> float:
        """Take the next turn.

        Args:
            now: Seconds of a clock that never goes back.
            patience: How long the caller would wait for it.

        Returns:
            Seconds until the turn. More than `patience`: it was not taken.
        """
        even = max(self._even, now)
        wait = even - self._ahead - now
        wait = wait if wait > ROUNDING else 0.0
        if wait <= patience:
            self._even = even + self._every
        return wait


class Rates:
    """The turns of all accounts, regions and services, shared by the threads of a worker.

    It holds back before AWS does, where AWS says how much it takes. It never tries again: what AWS throttles all the
    same goes up as `Throttled`, and Temporal waits.

    Args:
        clock: Seconds that never go back.
        sleep: Waits so many seconds.
    """

    def __init__(
        self,
        rates: tuple[Rate, ...] = RATES,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._rates, self._clock, self._sleep = rates, clock, sleep
        self._buckets: Lru[tuple[Rate, str, str, str], Bucket] = Lru(MOST_BUCKETS)
        self._lock = threading.Lock()

    def limits(self, service: str) -> bool:
        """Whether any operation of a service has a rate."""
        return any(r.service == service for r in self._rates)

    def turn(self, account: str, region: str, service: str, operation: str) -> None:
        """Wait until an operation may be called.

        Raises:
            Throttled: It would take too long; says when to come back.
        """
        rate = next((r for r in self._rates if r.covers(service, operation)), None)
        if rate is None:
            return
        with self._lock:
            place = (account, "" if rate.everywhere else region)
            bucket = self._buckets.get((rate, *place, operation if rate.each else ""), lambda: Bucket(rate))
            wait = bucket.take(self._clock(), PATIENCE)
        if wait > PATIENCE:
            where = f"account {account}" if account else "the worker's own account"
            raise Throttled(
                f"{service}:{operation}: {rate.per_second:g} calls a second are all that AWS takes in {where}, and "
                f"others are waiting for {wait:.0f} s",
                retry_after=wait,
            )
        if wait:
            self._sleep(wait)
