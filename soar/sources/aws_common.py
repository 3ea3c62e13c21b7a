"""What the sources of AWS share: names of resources, their ARNs, observables, and lists in foreign JSON.

A resource's type is its CloudFormation type in snake case: `AWS::RDS::DBInstance` is `aws.rds.db_instance`. Its uid is
the ARN where AWS gives it one, its name what the service's own API takes.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple
from urllib.parse import quote

from pydantic import JsonValue, ValidationError

from soar.model.alert import Alert, Observable, ObservableType, Resource
from soar.model.base import JsonObject
from soar.sources.contract import BadAlert
from soar.sources.payload import Node

__all__ = [
    "Place",
    "api_name",
    "bounded",
    "build",
    "by_arn",
    "console",
    "ecr_repository",
    "identity",
    "ip_address",
    "observables_of",
    "once",
    "place_of",
    "resource",
    "snake",
    "texts",
    "type_of",
]

_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_CONSOLES = {
    "aws": "{region}.console.aws.amazon.com",
    "aws-us-gov": "console.amazonaws-us-gov.com",
    "aws-cn": "console.amazonaws.cn",
}
_REGION = re.compile(r"[a-z0-9-]{1,32}")
_ECR = re.compile(
    r"(?P<account>[0-9]{12})\.dkr[.-]ecr(?:-fips)?\.(?P<region>[a-z0-9-]{1,32})"
    r"\.(?:amazonaws\.com|amazonaws\.com\.cn|on\.aws|on\.amazonwebservices\.com\.cn)"
    r"/(?P<name>[a-z0-9._/-]{1,256})(?::(?P<tag>[A-Za-z0-9_.-]{1,128}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)
_NAME = 1024
MOST = 100
"""As many items of a foreign list are read."""


class Place(NamedTuple):
    """Where resources of a payload are: what their ARNs are made of."""

    partition: str
    account: str
    region: str

    def arn(self, service: str, rest: str) -> str:
        """The ARN of something here; IAM and S3 leave out what is global about them."""
        region = "" if service in ("iam", "s3") else self.region
        account = "" if service == "s3" else self.account
        return f"arn:{self.partition}:{service}:{region}:{account}:{rest}"


def place_of(arn: str, here: Place) -> Place:
    """The place that an ARN names, and where it is silent, ours."""
    parts = arn.split(":", 5)
    if len(parts) < 6 or parts[0] != "arn":
        return here
    return Place(parts[1] or here.partition, parts[4] or here.account, parts[3] or here.region)


def snake(name: str) -> str:
    """`SecurityGroup` → `security_group`, `DBInstance` → `db_instance`."""
    return "_".join(_HUMP.split(name)).lower()


def type_of(cloudformation: str) -> str:
    """`AWS::RDS::DBInstance` → `aws.rds.db_instance`; `AWS::::Account` → `aws.account`."""
    vendor, service, kind = (*cloudformation.split("::", 2), "", "")[:3]
    return ".".join(part for part in (vendor.lower(), service.lower(), snake(kind)) if part)[:128]


def api_name(uid: str, kind: str) -> str:
    """The name by which a service's API takes a resource.

    Args:
        uid: Its ARN, or whatever else names it.
        kind: Its type, `aws.ec2.instance`.
    """
    if uid.startswith("AWS::"):  # `AWS::IAM::AccessKey:AKIA…`, as Security Hub writes what has no ARN
        return uid.split("::", 2)[-1].partition(":")[2] or uid
    parts = uid.split(":", 5)
    if len(parts) < 6 or parts[0] != "arn":
        return uid
    rest = parts[5]
    word, _, inner = rest.partition(":")
    match kind:
        case "aws.iam.root":
            return "root"
        case "aws.s3.bucket":
            return rest
        case "aws.s3.object":
            return rest.partition("/")[2] or rest
        case "aws.sns.topic" | "aws.elasticloadbalancingv2.load_balancer" | "aws.backup.recovery_point":
            return uid  # these APIs take nothing but the ARN
        case "aws.secretsmanager.secret":
            return (
                uid  # its last six characters are AWS's, unless somebody left them out: no name can be told
            )
        case "aws.lambda.function" | "aws.logs.log_group":
            return inner.split(":")[0] or rest
        case "aws.ssm.parameter":
            return rest.removeprefix("parameter")
        case "aws.ecr.repository":
            return rest.partition("/")[2] or rest
        case "aws.dynamodb.table":
            return rest.partition("/")[2].partition("/")[0] or rest
    if parts[2] == "rds" and inner:
        return inner  # the ids of automated snapshots have a colon of their own
    if inner and "/" not in word:
        return inner.rpartition("/")[2] or inner
    return rest.rpartition("/")[2] or rest


def resource(
    uid: str,
    kind: str,
    name: str = "",
    *,
    region: str = "",
    tags: dict[str, str] | None = None,
    data: JsonObject | None = None,
) -> Iterator[Resource]:
    """A resource, if anything names it.

    Args:
        name: Empty: what its uid says.
    """
    uid = uid or name
    name = (name or api_name(uid, kind))[:_NAME]
    if uid and name:
        yield Resource(uid=uid[:2048], type=kind, name=name, region=region, tags=tags or {}, data=data or {})


def by_arn(uid: str, kind: str, here: Place) -> Iterator[Resource]:
    """A resource that its ARN tells all of, its region too."""
    yield from resource(uid, kind, region=place_of(uid, here).region)


def identity(name: str, kind: str, here: Place, *, arn: str = "") -> Iterator[Resource]:
    """The user, role or root user that an identity is.

    Args:
        kind: As AWS writes it: `IAMUser`, `AssumedRole`, `Role`, `Root`.
        arn: The user's or role's own, if it is known: a path in it is kept.
    """
    if kind == "Root":
        yield from resource(here.arn("iam", "root"), "aws.iam.root", "root")
    elif name and kind in ("IAMUser", "AssumedRole", "Role"):
        word = "user" if kind == "IAMUser" else "role"
        yield from resource(arn or here.arn("iam", f"{word}/{name}"), f"aws.iam.{word}", name)


def ecr_repository(image: str) -> Iterator[Resource]:
    """The ECR repository that a container's image is of, if it is of one.

    Args:
        image: `111122223333.dkr.ecr.eu-central-1.amazonaws.com/shop:7`, or with `@sha256:…`.
    """
    if found := _ECR.fullmatch(image.strip()):
        region, name = found["region"], found["name"]
        partition = "aws-cn" if region.startswith("cn-") else "aws"
        partition = "aws-us-gov" if region.startswith("us-gov-") else partition
        yield from resource(
            f"arn:{partition}:ecr:{region}:{found['account']}:repository/{name}",
            "aws.ecr.repository",
            name,
            region=region,
            data={
                "image": image,
                "tag": found["tag"] or "",
                "digest": found["digest"] or "",
                "account": found["account"],
            },
        )


def once(found: Iterable[Resource]) -> tuple[Resource, ...]:
    """Each resource once, in the order of its first mention."""
    kept: dict[tuple[str, str], Resource] = {}
    for one in found:
        kept.setdefault((one.type, one.uid), one)
    return tuple(kept.values())


def observables_of(found: Iterable[tuple[ObservableType, str]]) -> Iterator[Observable]:
    """Each observable once; those without a value are left out."""
    for kind, value in dict.fromkeys(found):
        if value:
            yield Observable(type=kind, value=value[:2048])


def texts(of: Node, name: str, *, limit: int = 2048) -> tuple[str, ...]:
    """A field that is a list of texts, up to `MOST`; anything else in it is left out."""
    found = of.get(name)
    items = found if isinstance(found, list) else []
    return tuple(item[:limit] for item in items[:MOST] if isinstance(item, str) and item)


def ip_address(value: str) -> str:
    """An address as it is, or nothing: CloudTrail also writes a service's name there."""
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return ""
    return value


def bounded(value: JsonValue, *, depth: int = 6, items: int = 50, text: int = 1024) -> JsonValue:
    """A copy that is cut to a size which playbooks and prompts can carry.

    Args:
        depth: Lists and objects within each other; what is deeper becomes `…`.
        items: Of each list and object.
        text: Characters of each text.
    """
    match value:
        case str():
            return value if len(value) <= text else value[:text] + "…"
        case list() | dict() if depth == 0:
            return "…"
        case list():
            return [bounded(item, depth=depth - 1, items=items, text=text) for item in value[:items]]
        case dict():
            return {
                key[:256]: bounded(item, depth=depth - 1, items=items, text=text)
                for key, item in list(value.items())[:items]
            }
    return value


def console(partition: str, region: str, service: str, fragment: str) -> tuple[str, ...]:
    """A page of a service in the console; none where the host's name cannot be told for sure.

    Args:
        fragment: What follows `#/`, already quoted.
    """
    host = _CONSOLES.get(partition)
    if host is None or not _REGION.fullmatch(region):
        return ()
    return (f"https://{host.format(region=region)}/{quote(service)}/home?region={region}#/{fragment}",)


def build(make: Callable[[], Alert], path: str, what: str) -> Alert:
    """Make an alert.

    Args:
        make: Makes it.
        path: Where in the payload it is made from.
        what: What that is called: `finding`.

    Raises:
        BadAlert: The model refuses it.
    """
    try:
        return make()
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise BadAlert(path, f"the {what}'s {place} cannot be used: {first['msg']}") from None
