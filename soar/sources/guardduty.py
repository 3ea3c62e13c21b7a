"""Amazon GuardDuty: findings by EventBridge (an API destination, or whatever forwards the event), and bare findings.

Names are taken as EventBridge writes them (`accountId`) and as the API does (`AccountId`).

| alert | finding |
| --- | --- |
| uid | `id` |
| revision | `updatedAt` and `service.count`: GuardDuty sends a finding again when it recurs |
| state | `resolved` if `service.archived`; `new` at `count` 1, else `updated` |
| title, description | `title`, `description` |
| severity | `severity`: 1–3.9 low, 4–6.9 medium, 7–8.9 high, from 9 critical; the number is kept as written |
| rule | `type` |
| time | `createdAt`: when GuardDuty first raised it |
| first seen, last seen | `service.eventFirstSeen`, `service.eventLastSeen` |
| account, region | `accountId`, `region` |
| actor | `resource.accessKeyDetails`: `userName`, `userType` (word for word), `principalId`, `accessKeyId` |
| resources | the user or role and its key; `instanceDetails`; `s3BucketDetails[]` |
| observables | the key, principals, ARNs; remote addresses and domains of `service.action` |
| techniques | by the finding's type: `TECHNIQUES` |
| links | the finding in the GuardDuty console |
| attributes | `action` (`service.action` as it is), `count`, `resource_role`, `detector_id`, `threat_lists` |

Format: https://docs.aws.amazon.com/guardduty/latest/ug/guardduty_findings_eventbridge.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar
from urllib.parse import quote

from pydantic import JsonValue, ValidationError

from soar.model.alert import Alert, AlertActor, Observable, ObservableType, Resource, Technique
from soar.model.base import JsonObject
from soar.model.terms import AlertState, Severity
from soar.sources.auth import verify_shared_secret
from soar.sources.contract import BadAlert, Source, SourceRequest
from soar.sources.payload import Node

__all__ = ["TECHNIQUES", "GuardDuty"]

_CONSOLES = {
    "aws": "{region}.console.aws.amazon.com",
    "aws-us-gov": "console.amazonaws-us-gov.com",
    "aws-cn": "console.amazonaws.cn",
}
_REGION = re.compile(r"[a-z0-9-]{1,32}")
_BANDS = ((9.0, Severity.CRITICAL), (7.0, Severity.HIGH), (4.0, Severity.MEDIUM), (1.0, Severity.LOW))
_CLOUD_ACCOUNTS = Technique(uid="T1078.004", name="Valid Accounts: Cloud Accounts", tactic="initial-access")

TECHNIQUES: tuple[tuple[str, Technique], ...] = (
    ("CryptoCurrency:", Technique(uid="T1496", name="Resource Hijacking", tactic="impact")),
    (
        "UnauthorizedAccess:IAMUser/InstanceCredentialExfiltration",
        Technique(
            uid="T1552.005",
            name="Unsecured Credentials: Cloud Instance Metadata API",
            tactic="credential-access",
        ),
    ),
    ("UnauthorizedAccess:IAMUser/", _CLOUD_ACCOUNTS),
    ("Policy:S3/", Technique(uid="T1530", name="Data from Cloud Storage", tactic="collection")),
    ("Exfiltration:S3/", Technique(uid="T1530", name="Data from Cloud Storage", tactic="collection")),
    ("Discovery:", Technique(uid="T1580", name="Cloud Infrastructure Discovery", tactic="discovery")),
    ("Recon:IAMUser/", Technique(uid="T1580", name="Cloud Infrastructure Discovery", tactic="discovery")),
    ("Persistence:IAMUser/", Technique(uid="T1098", name="Account Manipulation", tactic="persistence")),
    (
        "PrivilegeEscalation:IAMUser/",
        Technique(
            uid="T1098.003",
            name="Account Manipulation: Additional Cloud Roles",
            tactic="privilege-escalation",
        ),
    ),
    (
        "CredentialAccess:IAMUser/",
        Technique(uid="T1552", name="Unsecured Credentials", tactic="credential-access"),
    ),
    (
        "Stealth:IAMUser/CloudTrailLoggingDisabled",
        Technique(
            uid="T1562.008", name="Impair Defenses: Disable or Modify Cloud Logs", tactic="defense-evasion"
        ),
    ),
    ("Backdoor:", Technique(uid="T1071", name="Application Layer Protocol", tactic="command-and-control")),
)
"""Beginning of a finding's type → ATT&CK technique; the first that fits counts. The pairing is our judgement."""


class GuardDuty(Source):
    """Findings of Amazon GuardDuty."""

    name: ClassVar[str] = "guardduty"
    title: ClassVar[str] = "Amazon GuardDuty"
    docs: ClassVar[str] = (
        "https://docs.aws.amazon.com/guardduty/latest/ug/guardduty_findings_eventbridge.html"
    )

    def verify(self, request: SourceRequest, secrets: tuple[str, ...]) -> None:
        """See `Source.verify`: any of the ways of `soar.sources.auth`."""
        verify_shared_secret(request, secrets, setting="SOAR_SOURCE_GUARDDUTY_SECRETS")

    def normalise(self, payload: JsonValue) -> list[Alert]:
        """See `Source.normalise`. One event holds one finding."""
        event = Node.of(payload)
        if event.get("detail-type") is not None or event.get("detail") is not None:
            kind = event.text("detail-type")
            if kind != "GuardDuty Finding":
                raise BadAlert(event.at("detail-type"), f"is {kind[:80]!r}, not 'GuardDuty Finding'")
            finding = event.needed("detail")
        else:
            finding = event
        try:
            return [_alert(finding)]
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            place = ".".join(str(part) for part in first["loc"])
            raise BadAlert(finding.path, f"the finding's {place} cannot be used: {first['msg']}") from None


def _alert(finding: Node) -> Alert:
    service = finding.node("service")
    count = int(service.number("count") or 1)
    created = finding.time("createdAt") or finding.time("updatedAt")
    if created is None:
        raise BadAlert(finding.at("createdAt"), "is missing")
    account, region = finding.needed_text("accountId", limit=64), finding.text("region", limit=64)
    if service.get("archived") is True:
        state = AlertState.RESOLVED
    else:
        state = AlertState.NEW if count <= 1 else AlertState.UPDATED
    rule, uid = finding.needed_text("type", limit=512), finding.needed_text("id", limit=512)
    actor = _actor(finding.node("resource").node("accessKeyDetails"))
    resources = tuple(_resources(finding, account, region))
    return Alert(
        source=GuardDuty.name,
        uid=uid,
        revision=f"{finding.text('updatedAt', limit=64)}#{count}",
        state=state,
        title=finding.text("title") or rule,
        description=finding.text("description", limit=8192),
        severity=_severity(finding),
        severity_original=finding.text("severity", limit=32),
        rule=rule,
        time=created,
        first_seen=service.time("eventFirstSeen"),
        last_seen=service.time("eventLastSeen"),
        provider="aws",
        account=account,
        region=region,
        resources=resources,
        actor=actor,
        observables=tuple(_observables(service.node("action"), actor, resources)),
        techniques=tuple(technique for prefix, technique in TECHNIQUES if rule.startswith(prefix))[:1],
        links=_links(finding.text("partition") or "aws", region, uid),
        attributes=_attributes(service, count),
    )


def _severity(finding: Node) -> Severity:
    value = finding.number("severity")
    if value is None:
        raise BadAlert(finding.at("severity"), "is missing")
    if value < 0:
        raise BadAlert(finding.at("severity"), "is not a severity")
    return next((severity for bound, severity in _BANDS if value >= bound), Severity.INFORMATIONAL)


def _actor(key: Node) -> AlertActor | None:
    name, key_id = key.text("userName", limit=512), key.text("accessKeyId", limit=128)
    if not name and not key_id:
        return None
    principal = key.text("principalId", limit=512)
    return AlertActor(
        name=name,
        type=key.text("userType", limit=64),
        uid=principal,
        access_key_id=key_id,
        session_name=principal.partition(":")[2],
    )


def _resources(finding: Node, account: str, region: str) -> Iterator[Resource]:
    resource = finding.node("resource")
    partition = finding.text("partition", limit=32) or "aws"
    key = resource.node("accessKeyDetails")
    user, kind = key.text("userName", limit=512), key.text("userType", limit=64)
    if user and kind in ("IAMUser", "AssumedRole", "Role"):
        word = "user" if kind == "IAMUser" else "role"
        yield Resource(uid=f"arn:{partition}:iam::{account}:{word}/{user}", type=f"aws.iam.{word}", name=user)
    if key_id := key.text("accessKeyId", limit=128):
        yield Resource(uid=key_id, type="aws.iam.access_key", name=key_id)
    instance = resource.node("instanceDetails")
    if instance_id := instance.text("instanceId", limit=128):
        profile = instance.node("iamInstanceProfile").text("arn")
        data: JsonObject = {
            "image_id": instance.text("imageId", limit=128),
            "instance_type": instance.text("instanceType", limit=64),
            "instance_profile_arn": profile,
            "interfaces": [
                interface.text("networkInterfaceId", limit=128)
                for interface in instance.nodes("networkInterfaces")
            ],
        }
        yield Resource(
            uid=f"arn:{partition}:ec2:{region}:{account}:instance/{instance_id}",
            type="aws.ec2.instance",
            name=instance_id,
            region=region,
            tags=_tags(instance),
            data=data,
        )
        if profile:
            yield Resource(uid=profile, type="aws.iam.instance_profile", name=profile.rpartition("/")[2])
    for bucket in resource.nodes("s3BucketDetails"):
        name = bucket.needed_text("name", limit=255)
        yield Resource(
            uid=bucket.text("arn") or f"arn:{partition}:s3:::{name}",
            type="aws.s3.bucket",
            name=name,
            region=region,
            tags=_tags(bucket),
        )


def _tags(of: Node) -> dict[str, str]:
    return {tag.text("key", limit=256): tag.text("value", limit=512) for tag in of.nodes("tags")}


def _observables(
    action: Node, actor: AlertActor | None, resources: tuple[Resource, ...]
) -> Iterator[Observable]:
    found: list[tuple[ObservableType, str]] = []
    if actor is not None:
        found += [(ObservableType.ACCESS_KEY, actor.access_key_id), (ObservableType.PRINCIPAL, actor.name)]
    found += [(ObservableType.ARN, r.uid) for r in resources if r.uid.startswith("arn:")]
    found += [(ObservableType.HOST, r.name) for r in resources if r.type == "aws.ec2.instance"]
    for name in (
        "awsApiCallAction",
        "networkConnectionAction",
        "kubernetesApiCallAction",
        "rdsLoginAttemptAction",
    ):
        found += _addresses(action.node(name))
    for probe in action.node("portProbeAction").nodes("portProbeDetails"):
        found += _addresses(probe)
    found.append((ObservableType.DOMAIN, action.node("dnsRequestAction").text("domain", limit=253)))
    found.append(
        (
            ObservableType.DOMAIN,
            action.node("awsApiCallAction").node("domainDetails").text("domain", limit=253),
        )
    )
    for kind, value in dict.fromkeys(found):
        if value:
            yield Observable(type=kind, value=value)


def _addresses(of: Node) -> list[tuple[ObservableType, str]]:
    remote = of.node("remoteIpDetails")
    return [(ObservableType.IP, remote.text(name, limit=64)) for name in ("ipAddressV4", "ipAddressV6")]


def _links(partition: str, region: str, uid: str) -> tuple[str, ...]:
    """The finding in its partition's console; none where the host's name cannot be told for sure."""
    host = _CONSOLES.get(partition)
    if host is None or not _REGION.fullmatch(region):
        return ()
    return (
        f"https://{host.format(region=region)}/guardduty/home?region={region}"
        f"#/findings?search=id%3D{quote(uid, safe='')}",
    )


def _attributes(service: Node, count: int) -> JsonObject:
    sources = [service.node("additionalInfo"), *service.node("evidence").nodes("threatIntelligenceDetails")]
    names = dict.fromkeys(source.text("threatListName", limit=256) for source in sources)
    lists: list[JsonValue] = [name for name in names if name]
    return {
        "action": service.node("action").value,
        "count": count,
        "resource_role": service.text("resourceRole", limit=32),
        "detector_id": service.text("detectorId", limit=128),
        "threat_lists": lists,
    }
