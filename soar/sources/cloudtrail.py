"""AWS CloudTrail: single events that a rule of EventBridge lets through, and bare records of a trail.

Taken are `AWS API Call via CloudTrail`, `AWS Console Sign In via CloudTrail`, `AWS Console Action via CloudTrail` and
`AWS Service Event via CloudTrail`. Every event is an alert: the rule in EventBridge says which are sent. Let through
only what a playbook answers, and not what read-only calls leave.

| alert | record |
| --- | --- |
| uid | `eventID` |
| state, revision | `new`, 1: an event happens once |
| title | who did what: `ana did CreateUser (iam)`; `tried` if it failed |
| severity | by the event's name, see below |
| rule | `eventName` |
| time | `eventTime` |
| account, region | `recipientAccountId`, `awsRegion` |
| actor | `userIdentity`: see below |
| resources | the actor and its key; what the parameters and the answer name; `resources[]` |
| observables | the key, the actor's name, `sourceIPAddress` where it is an address, ARNs |
| links | the event in the console |
| attributes | `event_source`, `event_type`, `error_code`, `error_message`, `read_only`, `user_agent`, `mfa` |
| | `source_ip` (an address or a service), `invoked_by`, `request` (`requestParameters`, cut to size) |

**Severity.** High for what blinds those who watch or cannot be had back (`StopLogging`, `DeleteTrail`,
`DeleteDetector`, `LeaveOrganization`, `ScheduleKeyDeletion`, `PutKeyPolicy` …: `SEVERITIES` in
`soar/sources/aws_cloudtrail_events.py`), informational for what only reads and is not in that table, medium for the
rest. A call that failed is one step lower.

**Actor.** The type is that of `userIdentity` word for word. `IAMUser`: the user's name. `AssumedRole`: the role's, with
the session's beside it. `Root`: `root`. `FederatedUser`: the user who asked for the session. `IdentityCenterUser`: the
user's id. `AWSService`: the service. Resources are the `aws.iam.user`, `aws.iam.role`, `aws.iam.root` or
`aws.identitystore.user`, and the `aws.iam.access_key`.

Format: https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import ClassVar
from urllib.parse import quote

from pydantic import JsonValue

from soar.model.alert import Alert, AlertActor, ObservableType, Resource
from soar.model.base import JsonObject
from soar.model.terms import Severity
from soar.sources.auth import verify_shared_secret
from soar.sources.aws_cloudtrail_events import ABOUT, ARNS, SEVERITIES, TITLES
from soar.sources.aws_common import (
    MOST,
    Place,
    api_name,
    bounded,
    build,
    console,
    identity,
    ip_address,
    observables_of,
    once,
    place_of,
    resource,
    type_of,
)
from soar.sources.contract import BadAlert, Source, SourceRequest
from soar.sources.payload import Node

__all__ = ["CloudTrail"]

_KINDS = (
    "AWS API Call via CloudTrail",
    "AWS Console Sign In via CloudTrail",
    "AWS Console Action via CloudTrail",
    "AWS Service Event via CloudTrail",
)
_READS = ("BatchGet", "Describe", "Get", "Head", "List", "Lookup", "Search")
_HIDDEN = "HIDDEN_DUE_TO_SECURITY_REASONS"
"""What CloudTrail writes for a user name that may be a password typed into the wrong field."""
_NO_ACCOUNT = ("aws.ec2.image", "aws.ec2.snapshot")
"""Types whose ARNs name no account."""
_IAM_WORDS = {
    "user": "aws.iam.user",
    "role": "aws.iam.role",
    "group": "aws.iam.group",
    "root": "aws.iam.root",
    "policy": "aws.iam.policy",
}


class CloudTrail(Source):
    """Events of AWS CloudTrail."""

    name: ClassVar[str] = "cloudtrail"
    title: ClassVar[str] = "AWS CloudTrail"
    docs: ClassVar[str] = (
        "https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference.html"
    )

    def verify(self, request: SourceRequest, secrets: tuple[str, ...]) -> None:
        """See `Source.verify`: any of the ways of `soar.sources.auth`."""
        verify_shared_secret(request, secrets, setting="SOAR_SOURCE_CLOUDTRAIL_SECRETS")

    def normalise(self, payload: JsonValue) -> list[Alert]:
        """See `Source.normalise`. One event of EventBridge holds one record."""
        event = Node.of(payload)
        if event.get("detail-type") is not None or event.get("detail") is not None:
            kind = event.text("detail-type")
            if kind not in _KINDS:
                raise BadAlert(event.at("detail-type"), f"is {kind[:80]!r}, no event via CloudTrail")
            record, account = event.needed("detail"), event.text("account", limit=64)
        else:
            record, account = event, ""
        return [build(partial(_alert, record, account), record.path, "record")]


def _alert(record: Node, account: str) -> Alert:
    time = record.time("eventTime")
    if time is None:
        raise BadAlert(record.at("eventTime"), "is missing")
    uid, name = record.needed_text("eventID", limit=512), record.needed_text("eventName", limit=512)
    source = record.needed_text("eventSource", limit=256)
    service, region = source.removesuffix(".amazonaws.com"), record.text("awsRegion", limit=64)
    who = record.node("userIdentity")
    account = record.text("recipientAccountId", limit=64) or account or who.text("accountId", limit=64)
    ours = place_of(who.text("arn"), Place(_partition(region), account, region))
    here = Place(ours.partition, account, region)
    actor = _actor(who)
    resources = once([*_identities(who, here), *_about(record, service, name, here)])
    return Alert(
        source=CloudTrail.name,
        uid=uid,
        title=_title(record, actor, name, service),
        severity=_severity(record, service, name),
        rule=name,
        time=time,
        provider="aws",
        account=account,
        region=region,
        resources=resources,
        actor=actor,
        observables=tuple(observables_of(_observables(record, actor, resources))),
        links=console(here.partition, region, "cloudtrailv2", f"events/{quote(uid, safe='')}"),
        attributes=_attributes(record, who, source),
    )


def _partition(region: str) -> str:
    if region.startswith("cn-"):
        return "aws-cn"
    return "aws-us-gov" if region.startswith("us-gov-") else "aws"


def _error(record: Node) -> str:
    """Why the call failed; empty if it did not. A failed sign-in need not have an error's code."""
    code = record.text("errorCode", limit=256)
    answer = record.get("responseElements")
    failed = isinstance(answer, dict) and "Failure" in (answer.get("ConsoleLogin"), answer.get("SwitchRole"))
    return code or ("Failure" if failed else "")


def _reads(record: Node, name: str) -> bool:
    said = record.get("readOnly")
    return said if isinstance(said, bool) else name.startswith(_READS)


def _severity(record: Node, service: str, name: str) -> Severity:
    otherwise = Severity.INFORMATIONAL if _reads(record, name) else Severity.MEDIUM
    found = SEVERITIES.get((service, name), otherwise)
    return Severity(max(found - 1, Severity.INFORMATIONAL)) if _error(record) else found


def _title(record: Node, actor: AlertActor | None, name: str, service: str) -> str:
    who = (actor.name or actor.type if actor else "") or "somebody"
    if error := _error(record):
        return f"{who} tried {name} ({service}): {error}"
    return f"{who} {TITLES[name]}" if name in TITLES else f"{who} did {name} ({service})"


def _actor(who: Node) -> AlertActor | None:
    kind = who.text("type", limit=64)
    issuer = who.node("sessionContext").node("sessionIssuer")
    principal, key_id = who.text("principalId", limit=512), who.text("accessKeyId", limit=128)
    name = "" if (user := who.text("userName", limit=512)) == _HIDDEN else user
    session = ""
    match kind:
        case "AssumedRole" | "FederatedUser":
            name = issuer.text("userName", limit=512) or name
            session = principal.partition(":")[2]
        case "Root":
            name = "root"
        case "AWSService":
            name = who.text("invokedBy", limit=512)
        case "IdentityCenterUser":
            name = name or who.node("onBehalfOf").text("userId", limit=512)
    name = name or api_name(who.text("arn"), "") or principal or who.text("accountId", limit=64)
    if not name and not key_id:
        return None
    return AlertActor(name=name[:512], type=kind, uid=principal, access_key_id=key_id, session_name=session)


def _identities(who: Node, here: Place) -> Iterator[Resource]:
    """The actor as a resource, and its key."""
    kind, arn = who.text("type", limit=64), who.text("arn")
    issuer = who.node("sessionContext").node("sessionIssuer")
    here = here._replace(account=who.text("accountId", limit=64) or here.account)
    match kind:
        case "IAMUser" | "Root":
            user = who.text("userName", limit=512)
            yield from identity("" if user == _HIDDEN else user, kind, here, arn=arn)
        case "AssumedRole":
            name = issuer.text("userName", limit=512) or _role_of(arn)
            yield from identity(name, kind, here, arn=issuer.text("arn"))
        case "FederatedUser":
            owner = "Root" if issuer.text("type", limit=64) == "Root" else "IAMUser"
            yield from identity(issuer.text("userName", limit=512), owner, here, arn=issuer.text("arn"))
        case "IdentityCenterUser":
            person = who.node("onBehalfOf")
            user, store = person.text("userId", limit=512), person.text("identityStoreArn")
            yield from resource(f"{store}/user/{user}" if user else "", "aws.identitystore.user", user)
    yield from resource("", "aws.iam.access_key", who.text("accessKeyId", limit=128))


def _role_of(arn: str) -> str:
    """The role of `arn:aws:sts::111122223333:assumed-role/deployer/session`."""
    parts = arn.rpartition(":")[2].split("/")
    return parts[1] if len(parts) > 1 and parts[0] == "assumed-role" else ""


def _about(record: Node, service: str, name: str, here: Place) -> Iterator[Resource]:
    """What the event is about."""
    for path, kind in (*ABOUT.get(f"{service}:{name}", ()), *ABOUT.get(service, ())):
        first, *rest = path.split(".")
        for value in list(_values(record.get(first), rest))[:MOST]:
            yield from _named(value, kind, here)
    parameters = record.get("requestParameters")
    if service == "s3" and isinstance(parameters, dict):
        bucket, key = parameters.get("bucketName"), parameters.get("key")
        if isinstance(bucket, str) and isinstance(key, str) and bucket and key:
            uid = here.arn("s3", f"{bucket}/{key}")
            yield from resource(uid, "aws.s3.object", key, region=here.region, data={"bucket": bucket})
    for one in list(record.nodes("resources"))[:MOST]:
        arn, written = one.text("ARN"), one.text("type", limit=128)
        if arn.startswith("arn:") and "::" in written:
            yield from _named(arn, type_of(written), here)


def _values(value: JsonValue, path: list[str]) -> Iterator[str]:
    """The texts at a path; whatever has another shape than the path has none."""
    if not path:
        if isinstance(value, str) and value:
            yield value[:2048]
        return
    step, rest = path[0], path[1:]
    if not isinstance(value, dict):
        return
    found = value.get(step.removesuffix("[]"))
    if not step.endswith("[]"):
        yield from _values(found, rest)
    elif isinstance(found, list):
        for item in found[:MOST]:
            yield from _values(item, rest)


def _named(value: str, kind: str, here: Place) -> Iterator[Resource]:
    """A resource by its ARN, or by the name that a parameter holds."""
    arn = value
    if not value.startswith("arn:"):
        if kind == "aws.lambda.function":  # also `111122223333:function:name`, and `name:version`
            value = value.partition(":function:")[2] or value
            value = value.partition(":")[0] or value
        service, prefix = ARNS.get(kind, ("", ""))
        prefix = "" if value.startswith("alias/") else prefix
        owner = here._replace(account="") if kind in _NO_ACCOUNT else here
        arn = owner.arn(service, prefix + value.removeprefix("/")) if service else value
        yield from resource(arn, kind, value, region=_region(kind, here))
        return
    place = place_of(arn, here)
    if arn.split(":")[2:3] == ["iam"]:
        word = arn.split(":", 5)[-1].partition("/")[0]
        kind = _IAM_WORDS.get(word, kind)
    yield from resource(arn, kind, region=_region(kind, place))


def _region(kind: str, here: Place) -> str:
    return "" if kind.startswith(("aws.iam.", "aws.organizations.")) else here.region


def _observables(
    record: Node, actor: AlertActor | None, resources: tuple[Resource, ...]
) -> Iterator[tuple[ObservableType, str]]:
    if actor is not None:
        yield ObservableType.ACCESS_KEY, actor.access_key_id
        yield ObservableType.PRINCIPAL, actor.name
    yield ObservableType.IP, ip_address(record.text("sourceIPAddress", limit=256))
    for one in resources:
        if one.uid.startswith("arn:"):
            yield ObservableType.ARN, one.uid
    for one in resources:
        if one.type == "aws.ec2.instance":
            yield ObservableType.HOST, one.name
        elif one.type == "aws.iam.access_key":
            yield ObservableType.ACCESS_KEY, one.name


def _attributes(record: Node, who: Node, source: str) -> JsonObject:
    session = who.node("sessionContext").node("attributes").get("mfaAuthenticated")
    more = record.get("additionalEventData")
    used = more.get("MFAUsed") if isinstance(more, dict) else None
    return {
        "event_source": source,
        "event_type": record.text("eventType", limit=64),
        "error_code": _error(record),
        "error_message": record.text("errorMessage", limit=1024),
        "read_only": _reads(record, record.text("eventName", limit=512)),
        "user_agent": record.text("userAgent", limit=1024),
        "mfa": session in ("true", True) or used == "Yes",
        "source_ip": record.text("sourceIPAddress", limit=256),
        "invoked_by": who.text("invokedBy", limit=256),
        "request": bounded(record.get("requestParameters")),
    }
