"""One normalised detection: a subset of OCSF Detection Finding (class 2004).

Everything in an alert except `source` is an attacker's text: it is data wherever it goes.
"""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from soar.model.base import Digest, Fact, JsonObject, UtcTime, digest_of
from soar.model.terms import AlertState, Severity

__all__ = ["Alert", "AlertActor", "Observable", "ObservableType", "RawRef", "Resource", "Technique"]


class ObservableType(StrEnum):
    """The kinds of observable that the system tells apart."""

    IP = "ip"
    DOMAIN = "domain"
    URL = "url"
    HASH = "hash"
    ARN = "arn"
    PRINCIPAL = "principal"
    ACCESS_KEY = "access_key"
    HOST = "host"
    EMAIL = "email"


class Observable(Fact):
    """A typed value in an alert that other alerts, logs and intelligence can be searched for."""

    type: ObservableType
    value: str = Field(min_length=1, max_length=2048)


class Resource(Fact):
    """A thing that the alert is about (OCSF `resources[]`).

    Args:
        uid: The ARN, or what the provider uses in its place.
        type: `aws.ec2.instance`, `aws.s3.bucket`, `aws.iam.user`, `aws.iam.role`, `aws.iam.access_key` …
        name: The short name that the provider's API takes: the instance id, the bucket's or user's name.
    """

    uid: str = Field(min_length=1, max_length=2048)
    type: str = Field(min_length=1, max_length=128)
    name: str = Field(min_length=1, max_length=1024)
    region: str = ""
    tags: dict[str, str] = {}
    data: JsonObject = {}


class AlertActor(Fact):
    """Whose identity acted (OCSF `evidences[].actor.user`)."""

    name: str = ""
    type: str = ""
    uid: str = ""
    access_key_id: str = ""
    session_name: str = ""


class Technique(Fact):
    """An ATT&CK technique (OCSF `finding_info.attacks[]`)."""

    uid: str = Field(pattern=r"^T\d{4}(\.\d{3})?$")
    name: str = ""
    tactic: str = ""


class RawRef(Fact):
    """Where the payload as received lies in the vault."""

    digest: Digest
    size: int = Field(ge=0, description="bytes")


class Alert(Fact):
    """One detection, as one source told it at one moment.

    Args:
        source: The name of the source, `guardduty`.
        uid: The source's own id of the detection; the same across updates of it.
        revision: What tells one telling of it from the next (an update count, a time).
        severity_original: The severity as the source wrote it.
        rule: The detection's type or rule name, which playbooks match on.
        attributes: What has no place above and playbooks may still want (OCSF `unmapped`).
    """

    source: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    uid: str = Field(min_length=1, max_length=512)
    revision: str = "1"
    state: AlertState = AlertState.NEW
    title: str = Field(min_length=1, max_length=2048)
    description: str = ""
    severity: Severity
    severity_original: str = ""
    rule: str = ""
    time: UtcTime
    first_seen: UtcTime | None = None
    last_seen: UtcTime | None = None
    provider: str = ""
    account: str = ""
    region: str = ""
    resources: tuple[Resource, ...] = ()
    actor: AlertActor | None = None
    observables: tuple[Observable, ...] = ()
    techniques: tuple[Technique, ...] = ()
    links: tuple[str, ...] = ()
    raw: RawRef | None = None
    attributes: JsonObject = {}

    @property
    def key(self) -> Digest:
        """What makes two deliveries the same alert: source, id, state and revision."""
        return digest_of([self.source, self.uid, self.state, self.revision])
