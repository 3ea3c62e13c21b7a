"""What every scenario on the simulated account is made of: clients, an attack, a finding and checks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

import boto3
import botocore.session
from botocore.config import Config
from botocore.loaders import Loader, create_loader
from pydantic import JsonValue

from soar.model.base import Fact, JsonObject, UtcTime, digest_of

if TYPE_CHECKING:
    from soar.simulated.company import Company

__all__ = [
    "AccountClients",
    "Attack",
    "Check",
    "Scenario",
    "cloudtrail_envelope",
    "guardduty_envelope",
    "iso",
]


@cache
def _models() -> Loader:
    """The service models, read once: that of EC2 alone takes a tenth of a second."""
    return create_loader()


@dataclass(frozen=True)
class AccountClients:
    """boto3 clients for the simulated account, apart from those that our actions use.

    Args:
        endpoint_url: The one endpoint of all services.
        access_key_id: Whose key signs; the account asks for no permissions unless its enforcement is on.
    """

    endpoint_url: str
    region: str = "us-east-1"
    access_key_id: str = "simulated"
    secret_access_key: str = field(default="simulated", repr=False)
    _made: dict[tuple[str, str], Any] = field(default_factory=dict, repr=False, compare=False)

    def client(self, service: str, region: str = "") -> Any:
        """The client for a service."""
        key = (service, region or self.region)
        if key not in self._made:
            core = botocore.session.get_session()
            core.register_component("data_loader", _models())
            session = boto3.Session(
                aws_access_key_id=self.access_key_id,
                aws_secret_access_key=self.secret_access_key,
                region_name=key[1],
                botocore_session=core,
            )
            self._made[key] = session.client(
                service,
                endpoint_url=self.endpoint_url,
                config=Config(
                    s3={"addressing_style": "path"}, retries={"max_attempts": 2, "mode": "standard"}
                ),
            )
        return self._made[key]


class Attack(Fact):
    """What was done to the account.

    Args:
        scenario: The scenario's name.
        time: When the attack was seen last.
        facts: The names that the finding and the checks need, by the scenario's own keys.
    """

    scenario: str
    account: str
    region: str
    time: UtcTime
    facts: dict[str, str] = {}


class Check(Fact):
    """One look at the account after the incident.

    Args:
        name: What must be so, in words.
        seen: What was seen.
    """

    name: str
    ok: bool
    seen: str


class Scenario(ABC):
    """An attack on the simulated company, the finding that tells of it, and how to see that it was contained.

    Args:
        name: What it is called on the command line.
        title: What people call it.
        playbook: The playbook that answers it.
        source: Whose alert tells of it.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    playbook: ClassVar[str]
    source: ClassVar[str] = "guardduty"

    @abstractmethod
    def seed(self, company: Company) -> Attack:
        """Let the attack happen to the company."""

    @abstractmethod
    def finding(self, attack: Attack) -> JsonObject:
        """What the source tells of the attack, a GuardDuty finding mostly, in its EventBridge envelope."""

    @abstractmethod
    def check(self, account: AccountClients, attack: Attack) -> list[Check]:
        """Read the account, apart from our actions, and say whether the attack is contained."""


def iso(moment: datetime, *, millis: bool = False) -> str:
    """A time as AWS writes it, `2026-01-31T12:00:00Z`; EventBridge findings carry milliseconds."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.000Z" if millis else "%Y-%m-%dT%H:%M:%SZ")


def guardduty_envelope(
    attack: Attack,
    *,
    rule: str,
    severity: float,
    title: str,
    description: str,
    resource: Mapping[str, JsonValue],
    action: Mapping[str, JsonValue],
    resource_role: str = "TARGET",
    count: int = 1,
    first_seen: datetime | None = None,
    additional: Mapping[str, JsonValue] | None = None,
) -> JsonObject:
    """A finding as EventBridge delivers it (event `GuardDuty Finding`, finding schema 2.0).

    Args:
        rule: The finding type.
        severity: GuardDuty's own scale, 1.0 to 10.0.
        resource: `detail.resource`.
        action: `detail.service.action`.
        resource_role: `TARGET` or `ACTOR`.
        count: How often it was seen so far.
        additional: `detail.service.additionalInfo`.

    Returns:
        The envelope. Its ids follow from the attack, so that the same attack is the same finding.
    """
    finding_id = digest_of([rule, attack.model_dump(mode="json")])[:32]
    detector = digest_of(["detector", attack.account, attack.region])[:32]
    arn = f"arn:aws:guardduty:{attack.region}:{attack.account}:detector/{detector}/finding/{finding_id}"
    seen = iso(attack.time, millis=True)
    service: JsonObject = {
        "serviceName": "guardduty",
        "detectorId": detector,
        "action": dict(action),
        "resourceRole": resource_role,
        "additionalInfo": dict(additional or {}),
        "eventFirstSeen": iso(first_seen or attack.time, millis=True),
        "eventLastSeen": seen,
        "archived": False,
        "count": count,
    }
    envelope_id = digest_of(["envelope", finding_id, count])
    parts = (envelope_id[:8], envelope_id[8:12], envelope_id[12:16], envelope_id[16:20], envelope_id[20:32])
    return {
        "version": "0",
        "id": "-".join(parts),
        "detail-type": "GuardDuty Finding",
        "source": "aws.guardduty",
        "account": attack.account,
        "time": iso(attack.time),
        "region": attack.region,
        "resources": [],
        "detail": {
            "schemaVersion": "2.0",
            "accountId": attack.account,
            "region": attack.region,
            "partition": "aws",
            "id": finding_id,
            "arn": arn,
            "type": rule,
            "resource": dict(resource),
            "service": service,
            "severity": severity,
            "createdAt": seen,
            "updatedAt": seen,
            "title": title,
            "description": description,
        },
    }


def cloudtrail_envelope(attack: Attack, record: JsonObject) -> JsonObject:
    """A trail's record of a call to IAM as a rule of EventBridge lets it through (`AWS API Call via CloudTrail`)."""
    return {
        "version": "0",
        "id": record["eventID"],
        "detail-type": "AWS API Call via CloudTrail",
        "source": "aws.iam",
        "account": attack.account,
        "time": record["eventTime"],
        "region": attack.region,
        "resources": [],
        "detail": record,
    }
