"""One small alert for each row of the tables, made by the source that would make it.

A payload is written as AWS sends it, with no more than the matching of playbooks can look at, and goes through the
source that is installed for it. Where none is installed, the alert is modelled as such a source would give it, and the
sample says so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from pydantic import JsonValue

from soar.model.alert import Alert, AlertActor, Resource
from soar.model.base import JsonObject
from soar.model.terms import Severity
from soar.sources.contract import Source
from soar.sources.guardduty import GuardDuty
from soar.sources.taxonomy.shapes import (
    ACCOUNT,
    REGION,
    TIME,
    USER_ARN,
    parameters_of,
    resource_of,
    sequence_of,
)
from soar.sources.taxonomy.taxonomy import ResourceKind

__all__ = [
    "CLOUDTRAIL",
    "SECURITY_HUB",
    "Sample",
    "cloudtrail_samples",
    "control_samples",
    "finding",
    "finding_samples",
]

SECURITY_HUB, CLOUDTRAIL = "securityhub", "cloudtrail"
"""The names that the sources of Security Hub's findings and of CloudTrail's events go by."""

_NUMBERS = {Severity.LOW: 2, Severity.MEDIUM: 5, Severity.HIGH: 8, Severity.CRITICAL: 9}
_NORMALIZED = {Severity.LOW: 1, Severity.MEDIUM: 40, Severity.HIGH: 70, Severity.CRITICAL: 90}
_ODD_IDS = {"AWS::::Account": f"AWS::::Account:{ACCOUNT}", "AWS::S3::Bucket": "arn:aws:s3:::sample-bucket"}
"""What Security Hub calls things whose ids are not of the common form."""
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


class Sample(NamedTuple):
    """An alert to try playbooks with.

    Args:
        about: What tells it from the other samples of its row.
        modelled: No source of this kind is installed; the alert is what one would give.
    """

    about: str
    alert: Alert
    modelled: bool


def finding(type_: str, kind: ResourceKind, severity: Severity | None) -> JsonObject:
    """A GuardDuty finding, as EventBridge brings it.

    Args:
        severity: None: GuardDuty varies it; high is taken.
    """
    service: JsonObject = {
        "serviceName": "guardduty",
        "detectorId": "0" * 32,
        "resourceRole": "TARGET",
        "eventFirstSeen": TIME,
        "eventLastSeen": TIME,
        "archived": False,
        "count": 1,
    }
    if sequence := sequence_of(kind):
        service["detection"] = {"sequence": sequence}
    detail: JsonObject = {
        "schemaVersion": "2.0",
        "accountId": ACCOUNT,
        "region": REGION,
        "partition": "aws",
        "id": "f" * 32,
        "type": type_,
        "severity": _NUMBERS[severity or Severity.HIGH],
        "createdAt": TIME,
        "updatedAt": TIME,
        "title": type_,
        "description": type_,
        "resource": resource_of(kind),
        "service": service,
    }
    return _event("GuardDuty Finding", "guardduty", detail)


def finding_samples(type_: str, kind: ResourceKind, severity: Severity | None) -> tuple[Sample, ...]:
    """The alerts of a GuardDuty finding."""
    alerts = GuardDuty().normalise(finding(type_, kind, severity))
    return tuple(Sample(kind, alert, modelled=False) for alert in alerts)


def control_samples(
    id_: str, resource: str, severity: Severity, title: str, *, installed: Mapping[str, Source]
) -> tuple[Sample, ...]:
    """The alerts of a failed Security Hub control.

    Args:
        resource: The CloudFormation type, `AWS::S3::Bucket`.
        installed: The sources by name.

    Returns:
        None, if the source that is installed makes no alert of it.
    """
    short = resource.replace("::", "")
    short = "Aws" + short.removeprefix("AWS")
    word = _word(resource.rpartition("::")[2])
    name = ACCOUNT if resource == "AWS::::Account" else f"sample-{word}"
    arn = f"arn:aws:{_service(resource)}:{REGION}:{ACCOUNT}:{word}/{name}"
    arn = _ODD_IDS.get(resource, arn)
    record: JsonObject = {
        "SchemaVersion": "2018-10-08",
        "Id": f"arn:aws:securityhub:{REGION}:{ACCOUNT}:security-control/{id_}/finding/sample",
        "ProductArn": f"arn:aws:securityhub:{REGION}::product/aws/securityhub",
        "GeneratorId": f"security-control/{id_}",
        "AwsAccountId": ACCOUNT,
        "Region": REGION,
        "Types": ["Software and Configuration Checks/Industry and Regulatory Standards"],
        "CreatedAt": TIME,
        "UpdatedAt": TIME,
        "Severity": {"Label": severity.name, "Normalized": _NORMALIZED[severity]},
        "Title": title,
        "Description": title,
        "Resources": [{"Type": short, "Id": arn, "Partition": "aws", "Region": REGION}],
        "Compliance": {"Status": "FAILED", "SecurityControlId": id_},
        "Workflow": {"Status": "NEW"},
        "RecordState": "ACTIVE",
    }
    source = installed.get(SECURITY_HUB)
    if source is not None:
        event = _event("Security Hub Findings - Imported", "securityhub", {"findings": [record]})
        return tuple(Sample(resource, alert, modelled=False) for alert in source.normalise(event))
    kind = ".".join(part for part in ("aws", _service(resource), word) if part)
    modelled = _modelled(SECURITY_HUB, id_, title, severity, (Resource(uid=arn, type=kind, name=name),))
    return (Sample(resource, modelled, modelled=True),)


def cloudtrail_samples(event: str, *, installed: Mapping[str, Source]) -> tuple[Sample, ...]:
    """The alerts of a CloudTrail event that a rule in EventBridge lets through.

    Args:
        event: `iam:CreateUser`.
        installed: The sources by name.

    Returns:
        None, if the source that is installed makes no alert of it.
    """
    service, _, name = event.partition(":")
    source = installed.get(CLOUDTRAIL)
    if source is not None:
        signin = service == "signin"
        detail: JsonObject = {
            "eventVersion": "1.11",
            "userIdentity": {
                "type": "IAMUser",
                "arn": USER_ARN,
                "accountId": ACCOUNT,
                "principalId": "AIDASAMPLE",
                "userName": "sample-user",
                "accessKeyId": "AKIASAMPLE",
            },
            "eventTime": TIME,
            "eventSource": f"{service}.amazonaws.com",
            "eventName": name,
            "awsRegion": REGION,
            "sourceIPAddress": "192.0.2.1",
            "eventID": "00000000-0000-4000-8000-000000000000",
            "eventType": "AwsConsoleSignIn" if signin else "AwsApiCall",
            "recipientAccountId": ACCOUNT,
            "requestParameters": parameters_of(event),
        }
        kind = "AWS Console Sign In via CloudTrail" if signin else "AWS API Call via CloudTrail"
        alerts = source.normalise(_event(kind, service, detail))
        return tuple(Sample(event, alert, modelled=False) for alert in alerts)
    user = Resource(uid=USER_ARN, type="aws.iam.user", name="sample-user")
    modelled = _modelled(CLOUDTRAIL, name, event, Severity.MEDIUM, (user,)).model_copy(
        update={
            "actor": AlertActor(name="sample-user", type="IAMUser", access_key_id="AKIASAMPLE"),
            "attributes": {"event_source": f"{service}.amazonaws.com"},
        }
    )
    return (Sample(event, modelled, modelled=True),)


def _event(kind: str, service: str, detail: JsonObject) -> JsonObject:
    listed: JsonValue = []
    return {
        "version": "0",
        "id": "00000000-0000-4000-8000-000000000000",
        "detail-type": kind,
        "source": f"aws.{service}",
        "account": ACCOUNT,
        "time": TIME,
        "region": REGION,
        "resources": listed,
        "detail": detail,
    }


def _modelled(source: str, rule: str, title: str, severity: Severity, about: tuple[Resource, ...]) -> Alert:
    return Alert(
        source=source,
        uid=f"sample-{rule}",
        title=title,
        severity=severity,
        rule=rule,
        time=datetime(2026, 1, 1, tzinfo=UTC),
        provider="aws",
        account=ACCOUNT,
        region=REGION,
        resources=about,
    )


def _word(name: str) -> str:
    """`SecurityGroup` → `security_group`, `DBInstance` → `db_instance`."""
    return "_".join(_HUMP.split(name)).lower()


def _service(resource: str) -> str:
    return resource.split("::")[1].lower()
