"""A GuardDuty attack sequence: several findings and events in one, with its own lists of actors and resources."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import JsonValue

from soar.model.alert import AlertActor, ObservableType, Resource
from soar.model.base import JsonObject
from soar.sources.aws_common import (
    MOST,
    Place,
    api_name,
    ecr_repository,
    identity,
    ip_address,
    resource,
    type_of,
)
from soar.sources.payload import Node

__all__ = ["sequence_actor", "sequence_facts", "sequence_observables", "sequence_resources"]

_ONE_WORD = {
    "ACCESS_KEY": "aws.iam.access_key",
    "CONTAINER": "aws.container",
    "KUBERNETES_WORKLOAD": "aws.kubernetes.workload",
}
_BUILT = {"aws.ec2.instance": ("ec2", "instance/"), "aws.s3.bucket": ("s3", "")}
"""Types whose plain id is written out as the ARN that other findings have."""


def sequence_actor(sequence: Node) -> AlertActor | None:
    """The first actor that has a user."""
    for actor in sequence.nodes("actors"):
        user = actor.node("user")
        name, uid = user.text("name", limit=512), user.text("uid", limit=512)
        key_id = user.text("credentialUid", limit=128)
        if name or key_id:
            return AlertActor(
                name=name,
                type=user.text("type", limit=64),
                uid=uid,
                access_key_id=key_id,
                session_name=uid.partition(":")[2],
            )
    return None


def sequence_resources(sequence: Node, here: Place) -> Iterator[Resource]:
    """The identities and keys of every actor, and every resource."""
    for actor in sequence.nodes("actors"):
        user = actor.node("user")
        account = user.node("account").text("uid", limit=64) or here.account
        name, kind = user.text("name", limit=512), user.text("type", limit=64)
        yield from identity(name, kind, here._replace(account=account))
        yield from resource("", "aws.iam.access_key", user.text("credentialUid", limit=128))
    for one in sequence.nodes("resources"):
        yield from _resource(one, here)


def sequence_observables(sequence: Node) -> Iterator[tuple[ObservableType, str]]:
    """Keys, users and processes of the actors, and the addresses and domains that they came from."""
    for actor in sequence.nodes("actors"):
        user = actor.node("user")
        yield ObservableType.ACCESS_KEY, user.text("credentialUid", limit=128)
        yield ObservableType.PRINCIPAL, user.text("name", limit=512)
        yield ObservableType.HASH, actor.node("process").text("sha256", limit=128)
    for endpoint in sequence.nodes("endpoints"):
        yield ObservableType.IP, ip_address(endpoint.text("ip", limit=64))
        yield ObservableType.DOMAIN, endpoint.text("domain", limit=253)


def sequence_facts(sequence: Node) -> JsonObject:
    """How many signals there are, and which; empty if this is no sequence."""
    if not sequence.value:
        return {}
    signals = list(sequence.nodes("signals"))
    names: list[JsonValue] = [*dict.fromkeys(n for one in signals if (n := one.text("name", limit=256)))]
    indicators: list[JsonValue] = [
        *dict.fromkeys(k for one in sequence.nodes("sequenceIndicators") if (k := one.text("key", limit=64)))
    ]
    return {"signals": len(signals), "signal_names": names[:MOST], "indicators": indicators[:MOST]}


def sequence_type(written: str) -> str:
    """A `FindingResourceType` in our words: `EC2_NETWORK_INTERFACE` → `aws.ec2.network_interface`."""
    if "::" in written:
        return type_of(written)
    service, _, kind = written.partition("_")
    return _ONE_WORD.get(written, ".".join(part.lower() for part in ("aws", service, kind) if part))[:128]


def _resource(one: Node, outer: Place) -> Iterator[Resource]:
    kind = sequence_type(one.text("resourceType", limit=128) or "UNKNOWN")
    uid, name = one.text("uid"), one.text("name", limit=1024)
    here = Place(
        one.text("cloudPartition", limit=32) or outer.partition,
        one.text("accountId", limit=64) or outer.account,
        one.text("region", limit=64) or outer.region,
    )
    data, details = one.node("data"), {}
    match kind:
        case "aws.ec2.instance":
            details = _instance(data.node("ec2Instance"))
        case "aws.kubernetes.workload":
            workload = data.node("kubernetesWorkload")
            namespace = workload.text("namespace", limit=256)
            details = {"namespace": namespace, "type": workload.text("type", limit=64).lower()}
            name = f"{namespace}/{name}" if namespace and name and "/" not in name else name
        case "aws.container":
            details = {"image": data.node("container").text("image", limit=1024)}
        case "aws.ecs.task":
            task = data.node("ecsTask")
            details = {
                "cluster": uid.split("/")[1] if uid.count("/") > 1 else "",
                "definition_arn": task.text("taskDefinitionArn"),
                "launch_type": task.text("launchType", limit=64),
            }
        case "aws.s3.object":
            name = data.node("s3Object").text("key", limit=1024) or name
    if uid.startswith("arn:"):
        if kind not in ("aws.kubernetes.workload", "aws.container", "aws.s3.object"):
            name = api_name(uid, kind)
    elif kind in _BUILT and uid:
        name, (service, prefix) = uid, _BUILT[kind]
        uid = here.arn(service, prefix + uid)
    elif kind == "aws.iam.access_key":
        name = uid or name
    tags = {tag.text("key", limit=256): tag.text("value", limit=512) for tag in one.nodes("tags")}
    region = "" if kind.startswith("aws.iam.") else here.region
    if kind == "aws.iam.access_key":
        key = data.node("accessKey")
        yield from identity(key.text("userName", limit=512), key.text("userType", limit=64), here)
    yield from resource(uid, kind, name, region=region, tags=tags, data=details)
    if kind == "aws.ec2.instance":
        yield from resource(
            data.node("ec2Instance").node("iamInstanceProfile").text("arn"), "aws.iam.instance_profile"
        )
    if kind == "aws.container":
        yield from ecr_repository(data.node("container").text("image", limit=1024))


def _instance(instance: Node) -> JsonObject:
    found = instance.get("ec2NetworkInterfaceUids")
    interfaces: list[JsonValue] = [
        api_name(item[:2048], "aws.ec2.network_interface")
        for item in (found if isinstance(found, list) else [])[:MOST]
        if isinstance(item, str)
    ]
    return {
        "instance_type": instance.text("instanceType", limit=64),
        "instance_profile_arn": instance.node("iamInstanceProfile").text("arn"),
        "interfaces": interfaces,
    }
