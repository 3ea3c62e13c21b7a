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
| actor | the access key's user; else a sequence's first actor; else a Kubernetes or a database's user: see below |
| resources | every part of `resource`, and each of `service.detection.sequence.resources`: see below |
| observables | keys, principals, ARNs; addresses and domains of `service.action` and endpoints; hashes of files |
| techniques | by the finding's type, from the table of finding types; else by `TECHNIQUES` |
| links | the finding in the GuardDuty console |
| attributes | `action` (`service.action` as it is), `count`, `resource_role`, `detector_id`, `threat_lists` |
| of an attack sequence | `signals` (how many), `signal_names`, `indicators` |
| of a process | `process`: `name`, `path`, `sha256`, `pid`, `user`, `command_line`, `file` |
| of a database's user | `database_user`: `user`, `application`, `database`, `ssl`, `auth_method` |

The actor's type is `userType` word for word (`IAMUser`, `AssumedRole`, `Root` …), `KubernetesUser` or `DatabaseUser`.

| resource type | name | data |
| --- | --- | --- |
| `aws.iam.user`, `aws.iam.role` | the user's or role's name | |
| `aws.iam.root` | `root` | |
| `aws.iam.access_key` | the key's id | |
| `aws.iam.instance_profile` | the profile's name | |
| `aws.ec2.instance` | the instance's id | `image_id`, `instance_type`, `instance_profile_arn`, `interfaces` |
| `aws.s3.bucket` | the bucket's name | |
| `aws.s3.object` | the key | `bucket`, `version_id`, `etag`, `hash` |
| `aws.eks.cluster` | the cluster's name | `vpc_id`, `status` |
| `aws.kubernetes.workload` | `namespace/name` | `cluster`, `type`, `namespace`, `service_account`, `images`, \
`host_network`, `host_pid`, `host_ipc` |
| `aws.kubernetes.user` | the user's name | `cluster`, `groups`, `session_names`, `impersonated_user` |
| `aws.ecs.cluster` | the cluster's name | `status` |
| `aws.ecs.task` | the task's id | `cluster`, `definition_arn`, `launch_type`, `started_by`, `group`, `service` |
| `aws.container` | the container's name | `image`, `image_prefix`, `runtime`, `privileged` |
| `aws.ecr.repository` | the repository's name | `image`, `tag`, `digest`, `account` |
| `aws.lambda.function` | the function's name; its role is an `aws.iam.role` | `role`, `version`, `vpc_id` |
| `aws.rds.db_instance`, `aws.rds.db_shard_group` | the identifier | `engine`, `engine_version`, `cluster` |
| `aws.rds.db_cluster` | the identifier | |
| `aws.ec2.volume` | the volume's id | `device`, `volume_type`, `encryption`, `key_arn`, `snapshot_arn`, `scanned` |
| `aws.ec2.snapshot`, `aws.ec2.image` | the id | |
| `aws.backup.recovery_point` | the ARN | `vault` |
| `aws.bedrock.guardrail`, `aws.bedrock.model` | the id | `version` of a guardrail |

An attack sequence's resources go by the same types, `EC2_NETWORK_INTERFACE` is `aws.ec2.network_interface`.

Format: https://docs.aws.amazon.com/guardduty/latest/ug/guardduty_findings_eventbridge.html
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar
from urllib.parse import quote

from pydantic import JsonValue

from soar.model.alert import Alert, AlertActor, ObservableType, Resource
from soar.model.base import JsonObject
from soar.model.terms import AlertState, Severity
from soar.sources.auth import verify_shared_secret
from soar.sources.aws_common import MOST, Place, build, console, ip_address, observables_of, once, texts
from soar.sources.contract import BadAlert, Source, SourceRequest
from soar.sources.guardduty_resources import actor_of, database_user, resources_of
from soar.sources.guardduty_sequences import (
    sequence_actor,
    sequence_facts,
    sequence_observables,
    sequence_resources,
)
from soar.sources.guardduty_techniques import TECHNIQUES, technique_of
from soar.sources.payload import Node

__all__ = ["TECHNIQUES", "GuardDuty"]

_BANDS = ((9.0, Severity.CRITICAL), (7.0, Severity.HIGH), (4.0, Severity.MEDIUM), (1.0, Severity.LOW))


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
        return [build(lambda: _alert(finding), finding.path, "finding")]


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
    partition = finding.text("partition", limit=32) or "aws"
    here, about = Place(partition, account, region), finding.node("resource")
    sequence = service.node("detection").node("sequence")
    actor = actor_of(about) or sequence_actor(sequence)
    resources = once([*resources_of(about, here), *sequence_resources(sequence, here)])
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
        observables=tuple(observables_of(_observables(finding, sequence, actor, resources))),
        techniques=technique_of(rule),
        links=console(partition, region, "guardduty", f"findings?search=id%3D{quote(uid, safe='')}"),
        attributes=_attributes(finding, sequence, count),
    )


def _severity(finding: Node) -> Severity:
    value = finding.number("severity")
    if value is None:
        raise BadAlert(finding.at("severity"), "is missing")
    if value < 0:
        raise BadAlert(finding.at("severity"), "is not a severity")
    return next((severity for bound, severity in _BANDS if value >= bound), Severity.INFORMATIONAL)


def _observables(
    finding: Node, sequence: Node, actor: AlertActor | None, resources: tuple[Resource, ...]
) -> Iterator[tuple[ObservableType, str]]:
    service = finding.node("service")
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
        elif one.type == "aws.s3.object":
            yield ObservableType.HASH, str(one.data.get("hash", ""))
    yield from _remote(service.node("action"))
    yield from sequence_observables(sequence)
    yield from _hashes(service)


def _remote(action: Node) -> Iterator[tuple[ObservableType, str]]:
    """Where what happened came from, or went to."""
    for name in (
        "awsApiCallAction",
        "networkConnectionAction",
        "kubernetesApiCallAction",
        "rdsLoginAttemptAction",
    ):
        yield from _addresses(action.node(name))
    for probe in action.node("portProbeAction").nodes("portProbeDetails"):
        yield from _addresses(probe)
    for address in texts(action.node("kubernetesApiCallAction"), "sourceIPs", limit=64):
        yield ObservableType.IP, ip_address(address)
    yield ObservableType.DOMAIN, action.node("dnsRequestAction").text("domain", limit=253)
    yield (
        ObservableType.DOMAIN,
        action.node("awsApiCallAction").node("domainDetails").text("domain", limit=253),
    )


def _addresses(of: Node) -> Iterator[tuple[ObservableType, str]]:
    remote = of.node("remoteIpDetails")
    for name in ("ipAddressV4", "ipAddressV6"):
        yield ObservableType.IP, remote.text(name, limit=64)


def _hashes(service: Node) -> Iterator[tuple[ObservableType, str]]:
    """Of the processes and files that the finding is about, `MOST` at the most."""
    runtime, evidence = service.node("runtimeDetails"), service.node("evidence")
    context, malware = runtime.node("context"), service.node("malwareScanDetails")
    by_name = service.node("ebsVolumeScanDetails").node("scanDetections").node("threatDetectedByName")
    found = [
        runtime.node("process").text("executableSha256", limit=128),
        context.text("moduleSha256", limit=128),
        context.node("modifyingProcess").text("executableSha256", limit=128),
        context.node("targetProcess").text("executableSha256", limit=128),
        *(t.text("threatFileSha256", limit=128) for t in evidence.nodes("threatIntelligenceDetails")),
        *(
            path.text("hash", limit=128)
            for threat in by_name.nodes("threatNames")
            for path in threat.nodes("filePaths")
        ),
    ]
    for threat in malware.nodes("threats"):
        found.append(threat.text("hash", limit=128))
        found += [path.text("hash", limit=128) for path in threat.nodes("itemPaths")]
        found += [item.text("hash", limit=128) for item in threat.nodes("itemDetails")]
    for value in list(dict.fromkeys(found))[:MOST]:
        yield ObservableType.HASH, value


def _attributes(finding: Node, sequence: Node, count: int) -> JsonObject:
    service = finding.node("service")
    sources = [service.node("additionalInfo"), *service.node("evidence").nodes("threatIntelligenceDetails")]
    names = dict.fromkeys(source.text("threatListName", limit=256) for source in sources)
    lists: list[JsonValue] = [name for name in names if name]
    found: JsonObject = {
        "action": service.node("action").value,
        "count": count,
        "resource_role": service.text("resourceRole", limit=32),
        "detector_id": service.text("detectorId", limit=128),
        "threat_lists": lists,
        **sequence_facts(sequence),
    }
    more: dict[str, JsonObject] = {
        "process": _process(service.node("runtimeDetails")),
        "database_user": database_user(finding.node("resource")),
    }
    return {**found, **{name: facts for name, facts in more.items() if facts}}


def _process(runtime: Node) -> JsonObject:
    process, context = runtime.node("process"), runtime.node("context")
    found: JsonObject = {
        "name": process.text("name", limit=512),
        "path": process.text("executablePath"),
        "sha256": process.text("executableSha256", limit=128),
        "pid": process.text("pid", limit=32),
        "user": process.text("user", limit=256),
        "command_line": context.text("commandLineExample"),
        "file": context.text("threatFilePath") or context.text("filePath"),
    }
    return found if any(found.values()) else {}
