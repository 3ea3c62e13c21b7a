"""AWS Security Hub: findings in the Security Finding Format (ASFF), by EventBridge or as the API gives them.

Taken are the events `Security Hub Findings - Imported` and `Security Hub Findings - Custom Action`, an answer of the
API (`{"Findings": […]}`), and a bare finding. Each finding is one alert.

| alert | finding |
| --- | --- |
| uid | `Id` |
| revision | `UpdatedAt`; of a custom action, its name too, so that what a person sends on is never taken for a copy |
| state | `resolved` if it passed, is archived, resolved or suppressed; else `new` or `updated`: see below |
| title, description | `Title`, `Description` |
| severity | `Severity.Label`, else `Severity.Normalized`: 1–39 low, 40–69 medium, 70–89 high, from 90 critical |
| rule | `Compliance.SecurityControlId` (`S3.2`), else `GeneratorId`; of GuardDuty, the type: see below |
| time | `CreatedAt` |
| first seen, last seen | `FirstObservedAt`, `LastObservedAt` |
| account, region | `AwsAccountId`, `Region` |
| actor | the access key's owner, where the finding is about a key |
| resources | `Resources[]`: see below |
| observables | ARNs, keys; addresses and domains; `ThreatIntelIndicators`; hashes of `Threats` |
| links | the finding in the console, `SourceUrl`, `Remediation.Recommendation.Url` |
| attributes | `product`, `product_arn`, `company`, `generator`, `types`, `standards`, `workflow`, `record_state` |
| | `compliance`: `status`, `control`, `reasons`, `requirements` |
| | `custom_action` (its name, else empty), `action` (as it is), `sample` (true for what AWS makes up) |

**Resources.** `AwsRdsDbInstance` and `AWS::RDS::DBInstance` are `aws.rds.db_instance`, `AwsAccount` is `aws.account`.
The name is what the service's own API takes: a bucket's name, a function's, a security group's id. The data are the
`Details` of its type, as they are written, cut to size. A key's owner is a resource too.

**State.** Resolved are `Workflow.Status` RESOLVED and SUPPRESSED, `RecordState` ARCHIVED and `Compliance.Status`
PASSED: a check that passes never opens an incident. A finding is new when it has not been updated since it was created,
and when a check fails that had passed (`ProductFields.PreviousComplianceStatus`); otherwise it is an update, which
opens an incident only if the finding never reached one.

**GuardDuty.** Security Hub repeats GuardDuty's findings with less in them. When they are imported they make no alert
here: they come by the `guardduty` source, and two alerts would be two incidents. What somebody sends by a custom action
is taken, with the type as GuardDuty writes it (`Recon:EC2/Portscan`) as the rule; its source is `securityhub` still, so
the playbooks of the `guardduty` source leave it alone.

Format: https://docs.aws.amazon.com/securityhub/latest/userguide/securityhub-findings-format.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from typing import ClassVar
from urllib.parse import quote, urlsplit

from pydantic import JsonValue

from soar.model.alert import Alert, AlertActor, ObservableType, Resource
from soar.model.base import JsonObject
from soar.model.terms import AlertState, Severity
from soar.sources.auth import verify_shared_secret
from soar.sources.aws_asff import asff_actor, asff_resources
from soar.sources.aws_common import (
    MOST,
    Place,
    bounded,
    build,
    console,
    ip_address,
    observables_of,
    once,
    place_of,
    texts,
)
from soar.sources.contract import BadAlert, Source, SourceRequest
from soar.sources.payload import Node

__all__ = ["SecurityHub"]

_IMPORTED, _CUSTOM = "Security Hub Findings - Imported", "Security Hub Findings - Custom Action"
_LABELS = {
    severity.name: severity
    for severity in (
        Severity.INFORMATIONAL,
        Severity.LOW,
        Severity.MEDIUM,
        Severity.HIGH,
        Severity.CRITICAL,
    )
}
_BANDS = ((90, Severity.CRITICAL), (70, Severity.HIGH), (40, Severity.MEDIUM), (1, Severity.LOW))
_GUARDDUTY_TYPE = re.compile(r"[A-Za-z]+:[A-Za-z0-9]+-.+")
_INDICATORS = {
    "DOMAIN": ObservableType.DOMAIN,
    "EMAIL_ADDRESS": ObservableType.EMAIL,
    "HASH_MD5": ObservableType.HASH,
    "HASH_SHA1": ObservableType.HASH,
    "HASH_SHA256": ObservableType.HASH,
    "HASH_SHA512": ObservableType.HASH,
    "IPV4_ADDRESS": ObservableType.IP,
    "IPV6_ADDRESS": ObservableType.IP,
    "URL": ObservableType.URL,
}


class SecurityHub(Source):
    """Findings of AWS Security Hub."""

    name: ClassVar[str] = "securityhub"
    title: ClassVar[str] = "AWS Security Hub"
    docs: ClassVar[str] = (
        "https://docs.aws.amazon.com/securityhub/latest/userguide/securityhub-cwe-event-formats.html"
    )

    def verify(self, request: SourceRequest, secrets: tuple[str, ...]) -> None:
        """See `Source.verify`: any of the ways of `soar.sources.auth`."""
        verify_shared_secret(request, secrets, setting="SOAR_SOURCE_SECURITYHUB_SECRETS")

    def normalise(self, payload: JsonValue) -> list[Alert]:
        """See `Source.normalise`. None for GuardDuty's findings, unless somebody sent them by a custom action."""
        event, action = Node.of(payload), ""
        if event.get("detail-type") is not None or event.get("detail") is not None:
            kind = event.text("detail-type")
            if kind not in (_IMPORTED, _CUSTOM):
                raise BadAlert(
                    event.at("detail-type"), f"is {kind[:80]!r}, neither {_IMPORTED!r} nor {_CUSTOM!r}"
                )
            outer = event.needed("detail")
            action = outer.text("actionName", limit=128) or "custom" if kind == _CUSTOM else ""
            findings = _listed(outer, "findings")
        elif event.get("Findings") is not None:
            findings = _listed(event, "Findings")
        else:
            findings = [event]
        return [
            build(partial(_alert, finding, action), finding.path, "finding")
            for finding in findings
            if action or not _of_guardduty(finding)
        ]


def _listed(outer: Node, name: str) -> list[Node]:
    findings = list(outer.nodes(name))
    if not findings:
        raise BadAlert(outer.at(name), "holds no finding")
    return findings


def _alert(finding: Node, action: str) -> Alert:
    created = finding.time("CreatedAt") or finding.time("UpdatedAt")
    if created is None:
        raise BadAlert(finding.at("CreatedAt"), "is missing")
    account = finding.needed_text("AwsAccountId", limit=64)
    uid = finding.needed_text("Id", limit=512)
    product_arn = finding.text("ProductArn")
    here = place_of(product_arn, Place("aws", account, ""))
    partition, region = here.partition, finding.text("Region", limit=64) or here.region
    actor = asff_actor(finding)
    resources = once(asff_resources(finding, Place(partition, account, region)))
    revision = finding.text("UpdatedAt", limit=64) or finding.text("CreatedAt", limit=64)
    severity, original = _severity(finding)
    return Alert(
        source=SecurityHub.name,
        uid=uid,
        revision=f"{revision}#{action}" if action else revision,
        state=_state(finding),
        title=finding.text("Title") or uid,
        description=finding.text("Description", limit=8192),
        severity=severity,
        severity_original=original,
        rule=_rule(finding),
        time=created,
        first_seen=finding.time("FirstObservedAt"),
        last_seen=finding.time("LastObservedAt"),
        provider="aws",
        account=account,
        region=region,
        resources=resources,
        actor=actor,
        observables=tuple(observables_of(_observables(finding, actor, resources))),
        links=_links(finding, partition, region, uid),
        attributes=_attributes(finding, action),
    )


def _of_guardduty(finding: Node) -> bool:
    return finding.text("ProductArn").endswith(":product/aws/guardduty") or (
        not finding.text("ProductArn") and finding.text("ProductName") == "GuardDuty"
    )


def _severity(finding: Node) -> tuple[Severity, str]:
    severity = finding.node("Severity")
    label, number = severity.text("Label", limit=32), severity.number("Normalized")
    if found := _LABELS.get(label.upper()):
        return found, label
    if number is None:
        said = f"is {label!r}, which is no severity" if label else "is missing"
        raise BadAlert(severity.at("Label"), said)
    band = next((severity for bound, severity in _BANDS if number >= bound), Severity.INFORMATIONAL)
    return band, severity.text("Normalized", limit=32)


def _state(finding: Node) -> AlertState:
    compliance = finding.node("Compliance").text("Status", limit=32)
    if (
        finding.node("Workflow").text("Status", limit=32) in ("RESOLVED", "SUPPRESSED")
        or finding.text("RecordState", limit=32) == "ARCHIVED"
        or compliance == "PASSED"
    ):
        return AlertState.RESOLVED
    updated, created = finding.text("UpdatedAt", limit=64), finding.text("CreatedAt", limit=64)
    before = finding.node("ProductFields").text("PreviousComplianceStatus", limit=32)
    fresh = updated in ("", created) or before == "PASSED"
    return AlertState.NEW if fresh else AlertState.UPDATED


def _rule(finding: Node) -> str:
    if _of_guardduty(finding):
        for one in texts(finding, "Types", limit=512):
            last = one.rpartition("/")[2]
            if _GUARDDUTY_TYPE.fullmatch(last):
                return last.replace("-", "/", 1)
    control = finding.node("Compliance").text("SecurityControlId", limit=128)
    return control or finding.needed_text("GeneratorId", limit=512)


def _observables(
    finding: Node, actor: AlertActor | None, resources: tuple[Resource, ...]
) -> Iterator[tuple[ObservableType, str]]:
    if actor is not None:
        yield ObservableType.ACCESS_KEY, actor.access_key_id
        yield ObservableType.PRINCIPAL, actor.name
    for one in resources:
        if one.uid.startswith("arn:"):
            yield ObservableType.ARN, one.uid
    for one in resources:
        if one.type == "aws.ec2.instance":
            yield ObservableType.HOST, one.name
        elif one.type == "aws.iam.access_key":
            yield ObservableType.ACCESS_KEY, one.name
    yield from _remote(finding)
    for indicator in list(finding.nodes("ThreatIntelIndicators"))[:MOST]:
        if kind := _INDICATORS.get(indicator.text("Type", limit=64)):
            yield kind, indicator.text("Value")
    paths = [path for threat in finding.nodes("Threats") for path in threat.nodes("FilePaths")]
    for path in paths[:MOST]:
        yield ObservableType.HASH, path.text("Hash", limit=128)


def _remote(finding: Node) -> Iterator[tuple[ObservableType, str]]:
    network, action = finding.node("Network"), finding.node("Action")
    for name in ("SourceIpV4", "SourceIpV6", "DestinationIpV4", "DestinationIpV6"):
        yield ObservableType.IP, ip_address(network.text(name, limit=64))
    for name in ("SourceDomain", "DestinationDomain"):
        yield ObservableType.DOMAIN, network.text(name, limit=253)
    acted = [action.node("NetworkConnectionAction"), action.node("AwsApiCallAction")]
    for one in (*acted, *action.node("PortProbeAction").nodes("PortProbeDetails")):
        yield ObservableType.IP, ip_address(one.node("RemoteIpDetails").text("IpAddressV4", limit=64))
    yield ObservableType.DOMAIN, action.node("DnsRequestAction").text("Domain", limit=253)
    yield (
        ObservableType.DOMAIN,
        action.node("AwsApiCallAction").node("DomainDetails").text("Domain", limit=253),
    )


def _links(finding: Node, partition: str, region: str, uid: str) -> tuple[str, ...]:
    """The console's page quotes twice what it searches for; other links count only if they are of the web."""
    search = quote(quote("\\operator\\:EQUALS\\:", safe="") + quote(uid, safe=""), safe="")
    found = [*console(partition, region, "securityhub", f"findings?search=Id%3D{search}")]
    for link in (
        finding.text("SourceUrl"),
        finding.node("Remediation").node("Recommendation").text("Url"),
    ):
        if _of_the_web(link):
            found.append(link)
    return tuple(dict.fromkeys(found))


def _of_the_web(link: str) -> bool:
    try:
        parts = urlsplit(link)
    except ValueError:
        return False
    return parts.scheme == "https" and bool(parts.netloc) and link.isprintable() and " " not in link


def _attributes(finding: Node, action: str) -> JsonObject:
    compliance = finding.node("Compliance")
    types: list[JsonValue] = [*texts(finding, "Types", limit=512)]
    requirements: list[JsonValue] = [*texts(compliance, "RelatedRequirements", limit=512)]
    reasons: list[JsonValue] = [
        one.text("ReasonCode", limit=256) for one in list(compliance.nodes("StatusReasons"))[:MOST]
    ]
    standards: list[JsonValue] = [
        one.text("StandardsId", limit=512) for one in list(compliance.nodes("AssociatedStandards"))[:MOST]
    ]
    return {
        "product": finding.text("ProductName", limit=128)
        or finding.node("ProductFields").text("aws/securityhub/ProductName", limit=128)
        or finding.text("ProductArn").rpartition("/")[2],
        "product_arn": finding.text("ProductArn"),
        "company": finding.text("CompanyName", limit=128),
        "generator": finding.text("GeneratorId", limit=512),
        "types": types,
        "compliance": {
            "status": compliance.text("Status", limit=32),
            "control": compliance.text("SecurityControlId", limit=128),
            "reasons": reasons,
            "requirements": requirements,
        },
        "standards": standards,
        "workflow": finding.node("Workflow").text("Status", limit=32),
        "record_state": finding.text("RecordState", limit=32),
        "custom_action": action,
        "action": bounded(finding.node("Action").value),
        "sample": finding.get("Sample") is True,
    }
