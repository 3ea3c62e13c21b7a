"""What a GuardDuty finding is about: its `resource`, as resources and as an actor.

Each part of `resource` is read by itself, so a finding of one kind may carry details of another: a finding of a
container on an instance has both.
"""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import JsonValue

from soar.model.alert import AlertActor, Resource
from soar.model.base import JsonObject
from soar.sources.aws_common import Place, api_name, by_arn, ecr_repository, identity, resource, texts
from soar.sources.payload import Node

__all__ = ["actor_of", "database_user", "resources_of"]


def actor_of(about: Node) -> AlertActor | None:
    """Whose identity acted: an access key's, else a Kubernetes user's, else a database user's."""
    key = about.node("accessKeyDetails")
    name, key_id = key.text("userName", limit=512), key.text("accessKeyId", limit=128)
    if name or key_id:
        principal = key.text("principalId", limit=512)
        return AlertActor(
            name=name,
            type=key.text("userType", limit=64),
            uid=principal,
            access_key_id=key_id,
            session_name=principal.partition(":")[2],
        )
    cluster = about.node("kubernetesDetails").node("kubernetesUserDetails")
    if name := cluster.text("username", limit=512):
        return AlertActor(
            name=name,
            type="KubernetesUser",
            uid=cluster.text("uid", limit=512),
            session_name=next(iter(texts(cluster, "sessionName", limit=512)), ""),
        )
    if name := about.node("rdsDbUserDetails").text("user", limit=512):
        return AlertActor(name=name, type="DatabaseUser")
    return None


def database_user(about: Node) -> JsonObject:
    """Who signed in to a database, and how; empty if nobody did."""
    user = about.node("rdsDbUserDetails")
    found: JsonObject = {
        "user": user.text("user", limit=512),
        "application": user.text("application", limit=512),
        "database": user.text("database", limit=512),
        "ssl": user.text("ssl", limit=64),
        "auth_method": user.text("authMethod", limit=64),
    }
    return found if any(found.values()) else {}


def resources_of(about: Node, here: Place) -> Iterator[Resource]:
    """The resources of a finding, identities first.

    Args:
        about: The finding's `resource`.
    """
    yield from _key(about.node("accessKeyDetails"), here)
    yield from _instance(about.node("instanceDetails"), here)
    for bucket in about.nodes("s3BucketDetails"):
        yield from _bucket(bucket, here)
    yield from _kubernetes(about, here)
    yield from _ecs(about.node("ecsClusterDetails"), here)
    yield from _container(about.node("containerDetails"))
    yield from _function(about.node("lambdaDetails"), here)
    yield from _databases(about, here)
    yield from _disks(about, here)
    yield from _bedrock(about, here)


def _key(key: Node, here: Place) -> Iterator[Resource]:
    yield from identity(key.text("userName", limit=512), key.text("userType", limit=64), here)
    yield from resource("", "aws.iam.access_key", key.text("accessKeyId", limit=128))


def _instance(instance: Node, here: Place) -> Iterator[Resource]:
    instance_id = instance.text("instanceId", limit=128)
    profile = instance.node("iamInstanceProfile").text("arn")
    if instance_id:
        data: JsonObject = {
            "image_id": instance.text("imageId", limit=128),
            "instance_type": instance.text("instanceType", limit=64),
            "instance_profile_arn": profile,
            "interfaces": [
                interface.text("networkInterfaceId", limit=128)
                for interface in instance.nodes("networkInterfaces")
            ],
        }
        yield from resource(
            here.arn("ec2", f"instance/{instance_id}"),
            "aws.ec2.instance",
            instance_id,
            region=here.region,
            tags=_tags(instance),
            data=data,
        )
        yield from resource(profile, "aws.iam.instance_profile")


def _bucket(bucket: Node, here: Place) -> Iterator[Resource]:
    name = bucket.needed_text("name", limit=255)
    yield from resource(
        bucket.text("arn") or here.arn("s3", name),
        "aws.s3.bucket",
        name,
        region=here.region,
        tags=_tags(bucket),
    )
    for item in bucket.nodes("s3ObjectDetails"):
        key = item.text("key", limit=1024)
        yield from resource(
            item.text("objectArn") or (here.arn("s3", f"{name}/{key}") if key else ""),
            "aws.s3.object",
            key,
            region=here.region,
            data={
                "bucket": name,
                "version_id": item.text("versionId", limit=1024),
                "etag": item.text("eTag", limit=128),
                "hash": item.text("hash", limit=128),
            },
        )


def _kubernetes(about: Node, here: Place) -> Iterator[Resource]:
    cluster, details = about.node("eksClusterDetails"), about.node("kubernetesDetails")
    name = cluster.text("name", limit=255)
    arn = cluster.text("arn") or (here.arn("eks", f"cluster/{name}") if name else "")
    yield from resource(
        arn,
        "aws.eks.cluster",
        name,
        region=here.region,
        tags=_tags(cluster),
        data={"vpc_id": cluster.text("vpcId", limit=128), "status": cluster.text("status", limit=64)},
    )
    yield from _workload(details.node("kubernetesWorkloadDetails"), arn, here)
    user = details.node("kubernetesUserDetails")
    if username := user.text("username", limit=512):
        groups: list[JsonValue] = [*texts(user, "groups", limit=512)]
        sessions: list[JsonValue] = [*texts(user, "sessionName", limit=512)]
        yield from resource(
            user.text("uid", limit=512) or f"{arn}/user/{username}",
            "aws.kubernetes.user",
            username,
            region=here.region,
            data={
                "cluster": api_name(arn, "aws.eks.cluster"),
                "groups": groups,
                "session_names": sessions,
                "impersonated_user": user.node("impersonatedUser").text("username", limit=512),
            },
        )


def _workload(workload: Node, cluster: str, here: Place) -> Iterator[Resource]:
    name, namespace = workload.text("name", limit=256), workload.text("namespace", limit=256)
    containers = list(workload.nodes("containers"))
    kind = workload.text("type", limit=64)
    if name:
        images: list[JsonValue] = [image for one in containers if (image := one.text("image", limit=1024))]
        path = "/".join(part for part in (cluster, namespace, kind, name) if part)
        yield from resource(
            workload.text("uid", limit=512) or path,
            "aws.kubernetes.workload",
            f"{namespace}/{name}" if namespace else name,
            region=here.region,
            data={
                "cluster": api_name(cluster, "aws.eks.cluster"),
                "type": kind,
                "namespace": namespace,
                "service_account": workload.text("serviceAccountName", limit=256),
                "images": images,
                "host_network": workload.get("hostNetwork") is True,
                "host_pid": workload.get("hostPID") is True,
                "host_ipc": workload.get("hostIPC") is True,
            },
        )
    for one in containers:
        yield from _container(one)


def _ecs(cluster: Node, here: Place) -> Iterator[Resource]:
    name = cluster.text("name", limit=255)
    arn = cluster.text("arn") or (here.arn("ecs", f"cluster/{name}") if name else "")
    yield from resource(
        arn,
        "aws.ecs.cluster",
        name,
        region=here.region,
        tags=_tags(cluster),
        data={"status": cluster.text("status", limit=64)},
    )
    task = cluster.node("taskDetails")
    group = task.text("group", limit=512)
    yield from resource(
        task.text("arn"),
        "aws.ecs.task",
        region=here.region,
        tags=_tags(task),
        data={
            "cluster": name or api_name(arn, "aws.ecs.cluster"),
            "definition_arn": task.text("definitionArn"),
            "launch_type": task.text("launchType", limit=64),
            "started_by": task.text("startedBy", limit=512),
            "group": group,
            "service": group.removeprefix("service:") if group.startswith("service:") else "",
        },
    )
    for one in task.nodes("containers"):
        yield from _container(one)


def _container(container: Node) -> Iterator[Resource]:
    name, image = container.text("name", limit=512), container.text("image", limit=1024)
    yield from resource(
        container.text("id", limit=512),
        "aws.container",
        name,
        data={
            "image": image,
            "image_prefix": container.text("imagePrefix", limit=1024),
            "runtime": container.text("containerRuntime", limit=64),
            "privileged": container.node("securityContext").get("privileged") is True,
        },
    )
    yield from ecr_repository(image)


def _function(function: Node, here: Place) -> Iterator[Resource]:
    name, role = function.text("functionName", limit=170), function.text("role")
    arn = function.text("functionArn") or (here.arn("lambda", f"function:{name}") if name else "")
    yield from resource(
        arn,
        "aws.lambda.function",
        name,
        region=here.region,
        tags=_tags(function),
        data={
            "role": role,
            "version": function.text("functionVersion", limit=64),
            "vpc_id": function.node("vpcConfig").text("vpcId", limit=128),
        },
    )
    yield from resource(role, "aws.iam.role")


def _databases(about: Node, here: Place) -> Iterator[Resource]:
    kinds = (
        ("rdsDbInstanceDetails", "dbInstance", "db", "aws.rds.db_instance"),
        ("rdsLimitlessDbDetails", "dbShardGroup", "shard-group", "aws.rds.db_shard_group"),
    )
    for part, prefix, word, kind in kinds:
        database = about.node(part)
        name = database.text(f"{prefix}Identifier", limit=255)
        cluster = database.text("dbClusterIdentifier", limit=255)
        yield from resource(
            database.text(f"{prefix}Arn") or (here.arn("rds", f"{word}:{name}") if name else ""),
            kind,
            name,
            region=here.region,
            tags=_tags(database),
            data={
                "engine": database.text("engine", limit=64),
                "engine_version": database.text("engineVersion", limit=64),
                "cluster": cluster,
            },
        )
        if cluster:
            yield from resource(
                here.arn("rds", f"cluster:{cluster}"), "aws.rds.db_cluster", cluster, region=here.region
            )


def _disks(about: Node, here: Place) -> Iterator[Resource]:
    for part in ("scannedVolumeDetails", "skippedVolumeDetails"):
        for volume in about.node("ebsVolumeDetails").nodes(part):
            yield from resource(
                volume.text("volumeArn"),
                "aws.ec2.volume",
                region=here.region,
                data={
                    "device": volume.text("deviceName", limit=128),
                    "volume_type": volume.text("volumeType", limit=64),
                    "encryption": volume.text("encryptionType", limit=64),
                    "key_arn": volume.text("kmsKeyArn"),
                    "snapshot_arn": volume.text("snapshotArn"),
                    "scanned": part == "scannedVolumeDetails",
                },
            )
    yield from by_arn(about.node("ebsSnapshotDetails").text("snapshotArn"), "aws.ec2.snapshot", here)
    yield from by_arn(about.node("ec2ImageDetails").text("imageArn"), "aws.ec2.image", here)
    point = about.node("recoveryPointDetails")
    yield from resource(
        point.text("recoveryPointArn"),
        "aws.backup.recovery_point",
        region=here.region,
        data={"vault": point.text("backupVaultName", limit=255)},
    )


def _bedrock(about: Node, here: Place) -> Iterator[Resource]:
    guardrail = about.node("bedrockGuardrailDetails")
    for one, arn, version in (
        (guardrail, "guardrailArn", "guardrailVersion"),
        *((inner, "arn", "version") for inner in guardrail.nodes("guardrails")),
    ):
        yield from resource(
            one.text(arn),
            "aws.bedrock.guardrail",
            region=here.region,
            data={"version": one.text(version, limit=64)},
        )
    for model in about.nodes("modelDetails"):
        yield from resource("", "aws.bedrock.model", model.text("modelId"), region=here.region)


def _tags(of: Node) -> dict[str, str]:
    return {tag.text("key", limit=256): tag.text("value", limit=512) for tag in of.nodes("tags")}
