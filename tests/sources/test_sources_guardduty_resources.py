"""Every kind of resource that a GuardDuty finding can have becomes resources, an actor and observables."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import botocore.loaders
import pytest
from botocore.model import ServiceModel
from pydantic import JsonValue

from soar.model.alert import Alert, AlertActor, ObservableType
from soar.model.terms import AlertState
from soar.sources.guardduty import GuardDuty
from soar.sources.guardduty_sequences import sequence_type
from soar.sources.guardduty_techniques import technique_of
from soar.sources.taxonomy.taxonomy import guardduty_findings

FIXTURES = Path(__file__).parents[1] / "fixtures" / "guardduty"
RUNTIME, ANONYMOUS, MALWARE = "eks-runtime-reverse-shell", "eks-audit-anonymous", "ecs-malware"
LOGIN, FUNCTION, OBJECT = "rds-anomalous-login", "lambda-command-and-control", "s3-malicious-object"
SEQUENCE = "attack-sequence-credentials"
NAMES = (RUNTIME, ANONYMOUS, MALWARE, LOGIN, FUNCTION, OBJECT, SEQUENCE)
HERE = "eu-central-1:111122223333"
MODEL = ServiceModel(botocore.loaders.Loader().load_service_model("guardduty", "service-2"), "guardduty")


def event(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FIXTURES / f"{name}.json").read_text())
    return found


def read(payload: JsonValue) -> Alert:
    [alert] = GuardDuty().normalise(payload)
    return alert


def about(resource: dict[str, Any], base: str = LOGIN) -> Alert:
    """An alert of a finding about something else."""
    payload = event(base)
    payload["detail"]["resource"] = resource
    return read(payload)


def seen(alert: Alert, kind: ObservableType) -> list[str]:
    return [o.value for o in alert.observables if o.type is kind]


def named(alert: Alert) -> list[tuple[str, str]]:
    return [(r.type, r.name) for r in alert.resources]


def unknown(value: Any, shape: Any, path: str) -> Iterable[str]:
    """The fields of a value that AWS's model of it lacks."""
    if shape.type_name == "structure" and value is not None:
        members = {m.serialization.get("name", name): m for name, m in shape.members.items()}
        for key, item in value.items():
            if key not in members:
                yield f"{path}.{key}"
            else:
                yield from unknown(item, members[key], f"{path}.{key}")
    elif shape.type_name == "list":
        for item in value or ():
            yield from unknown(item, shape.member, f"{path}[]")


@pytest.mark.parametrize("name", NAMES)
def test_the_fixtures_have_only_fields_that_guardduty_has(name: str) -> None:
    assert list(unknown(event(name)["detail"], MODEL.shape_for("Finding"), "$")) == []


def test_a_shell_in_a_pod() -> None:
    alert = read(event(RUNTIME))
    assert named(alert) == [
        ("aws.ec2.instance", "i-0a1b2c3d4e5f60718"),
        ("aws.iam.instance_profile", "render-worker"),
        ("aws.eks.cluster", "shop"),
        ("aws.kubernetes.workload", "shop/cart-7d9f"),
        ("aws.container", "cart"),
        ("aws.ecr.repository", "shop/cart"),
    ]
    types = {r.type: r for r in alert.resources}
    image = "111122223333.dkr.ecr.eu-central-1.amazonaws.com/shop/cart:2026.4"
    workload = types["aws.kubernetes.workload"]
    assert workload.uid == "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"
    assert workload.data == {
        "cluster": "shop",
        "type": "pods",
        "namespace": "shop",
        "service_account": "cart",
        "images": [image],
        "host_network": False,
        "host_pid": True,
        "host_ipc": False,
    }
    assert types["aws.eks.cluster"].tags == {"team": "shop"}
    assert types["aws.container"].uid.startswith("9f2c")
    assert types["aws.container"].data["image"] == image
    assert types["aws.container"].data["privileged"] is True
    assert types["aws.ecr.repository"].uid == f"arn:aws:ecr:{HERE}:repository/shop/cart"
    assert types["aws.ecr.repository"].data["tag"] == "2026.4"
    assert alert.actor is None
    assert seen(alert, ObservableType.HASH) == ["a" * 64, "b" * 64]
    assert alert.attributes["process"] == {
        "name": "sh",
        "path": "/bin/dash",
        "sha256": "a" * 64,
        "pid": "4211",
        "user": "root",
        "command_line": "sh -i",
        "file": "",
    }
    assert [t.uid for t in alert.techniques] == ["T1059"]


def test_an_anonymous_kubernetes_user() -> None:
    alert = read(event(ANONYMOUS))
    assert alert.actor == AlertActor(name="system:anonymous", type="KubernetesUser", session_name="s-1")
    cluster, user = alert.resources
    assert (cluster.type, cluster.name) == ("aws.eks.cluster", "shop")
    assert (user.type, user.name) == ("aws.kubernetes.user", "system:anonymous")
    assert user.uid == f"arn:aws:eks:{HERE}:cluster/shop/user/system:anonymous"
    assert user.data["groups"] == ["system:unauthenticated"]
    assert user.data["session_names"] == ["s-1"]
    assert seen(alert, ObservableType.IP) == ["198.51.100.9", "203.0.113.77"]


def test_an_access_key_goes_before_the_kubernetes_user() -> None:
    payload = event(ANONYMOUS)
    key = {"accessKeyId": "ASIA1", "principalId": "AROA1:x", "userName": "ops", "userType": "AssumedRole"}
    payload["detail"]["resource"]["accessKeyDetails"] = key
    alert = read(payload)
    assert alert.actor is not None
    assert (alert.actor.name, alert.actor.access_key_id) == ("ops", "ASIA1")
    assert named(alert)[-1] == ("aws.kubernetes.user", "system:anonymous")


def test_malware_on_a_task() -> None:
    alert = read(event(MALWARE))
    assert named(alert) == [
        ("aws.ecs.cluster", "web"),
        ("aws.ecs.task", "0f8c7b6a5d4e3f2a1b0c9d8e7f6a5b4c"),
        ("aws.container", "front"),
        ("aws.ec2.volume", "vol-0aa11bb22cc33dd44"),
        ("aws.ec2.volume", "vol-0ff"),
    ]
    task = alert.resources[1]
    assert task.data == {
        "cluster": "web",
        "definition_arn": f"arn:aws:ecs:{HERE}:task-definition/front:12",
        "launch_type": "FARGATE",
        "started_by": "ecs-svc/0123456789012345678",
        "group": "service:front",
        "service": "front",
    }
    assert alert.resources[2].uid == "front"  # the container has no id
    assert [r.data["scanned"] for r in alert.resources[3:]] == [True, False]
    assert seen(alert, ObservableType.HASH) == ["d" * 64, "c" * 64]


def test_a_task_of_no_service() -> None:
    payload = event(MALWARE)
    payload["detail"]["resource"]["ecsClusterDetails"]["taskDetails"]["group"] = "family:batch"
    assert read(payload).resources[1].data["service"] == ""


def test_a_sign_in_to_a_database() -> None:
    alert = read(event(LOGIN))
    assert alert.actor == AlertActor(name="reporting", type="DatabaseUser")
    assert named(alert) == [("aws.rds.db_instance", "orders-1"), ("aws.rds.db_cluster", "orders")]
    assert alert.resources[1].uid == f"arn:aws:rds:{HERE}:cluster:orders"
    assert alert.resources[0].tags == {"data": "customer"}
    assert alert.attributes["database_user"] == {
        "user": "reporting",
        "application": "psql",
        "database": "orders",
        "ssl": "off",
        "auth_method": "password",
    }
    assert seen(alert, ObservableType.IP) == ["198.51.100.40"]
    assert "process" not in alert.attributes


def test_a_function_and_its_role() -> None:
    alert = read(event(FUNCTION))
    assert named(alert) == [("aws.lambda.function", "resize"), ("aws.iam.role", "resize")]
    assert alert.resources[1].uid == "arn:aws:iam::111122223333:role/service-role/resize"
    assert (alert.resources[0].data["version"], alert.resources[0].region) == ("7", "eu-central-1")


def test_a_malicious_object() -> None:
    alert = read(event(OBJECT))
    assert named(alert) == [("aws.s3.bucket", "uploads"), ("aws.s3.object", "in/cv.pdf")]
    assert alert.resources[1].data["bucket"] == "uploads"
    assert seen(alert, ObservableType.HASH) == ["e" * 64, "f" * 64]


@pytest.mark.parametrize(
    ("resource", "type_", "uid", "name"),
    [
        (
            {
                "rdsLimitlessDbDetails": {
                    "dbShardGroupIdentifier": "g",
                    "dbShardGroupArn": "arn:aws:rds:r:1:g:g",
                }
            },
            "aws.rds.db_shard_group",
            "arn:aws:rds:r:1:g:g",
            "g",
        ),
        (
            {"ebsSnapshotDetails": {"snapshotArn": "arn:aws:ec2:us-east-1::snapshot/snap-1"}},
            "aws.ec2.snapshot",
            "arn:aws:ec2:us-east-1::snapshot/snap-1",
            "snap-1",
        ),
        (
            {"ec2ImageDetails": {"imageArn": "arn:aws:ec2:us-east-1::image/ami-1"}},
            "aws.ec2.image",
            "arn:aws:ec2:us-east-1::image/ami-1",
            "ami-1",
        ),
        (
            {"recoveryPointDetails": {"recoveryPointArn": "arn:aws:backup:r:1:recovery-point:x"}},
            "aws.backup.recovery_point",
            "arn:aws:backup:r:1:recovery-point:x",
            "arn:aws:backup:r:1:recovery-point:x",
        ),
        (
            {"containerDetails": {"id": "abc", "name": "c", "image": "alpine"}},
            "aws.container",
            "abc",
            "c",
        ),
        (
            {"bedrockGuardrailDetails": {"guardrailArn": "arn:aws:bedrock:r:1:guardrail/g1"}},
            "aws.bedrock.guardrail",
            "arn:aws:bedrock:r:1:guardrail/g1",
            "g1",
        ),
        ({"modelDetails": [{"modelId": "m.v1:0"}]}, "aws.bedrock.model", "m.v1:0", "m.v1:0"),
    ],
)
def test_single_resources(resource: dict[str, Any], type_: str, uid: str, name: str) -> None:
    [one] = about(resource).resources
    assert (one.type, one.uid, one.name) == (type_, uid, name)


def test_the_root_user() -> None:
    key = {"accessKeyId": "AKIAROOT", "principalId": "111122223333", "userName": "Root", "userType": "Root"}
    alert = about({"accessKeyDetails": key})
    assert named(alert) == [("aws.iam.root", "root"), ("aws.iam.access_key", "AKIAROOT")]
    assert alert.resources[0].uid == "arn:aws:iam::111122223333:root"


@pytest.mark.parametrize(
    ("image", "arn"),
    [
        ("1" * 12 + ".dkr.ecr.us-east-1.amazonaws.com/a", "arn:aws:ecr:us-east-1:111111111111:repository/a"),
        (
            "1" * 12 + ".dkr.ecr.cn-north-1.amazonaws.com.cn/a/b@sha256:" + "0" * 64,
            "arn:aws-cn:ecr:cn-north-1:111111111111:repository/a/b",
        ),
        ("public.ecr.aws/amazonlinux/amazonlinux:latest", ""),
        ("evil.test/" + "1" * 12 + ".dkr.ecr.us-east-1.amazonaws.com/a", ""),
    ],
)
def test_only_images_of_a_private_registry_name_a_repository(image: str, arn: str) -> None:
    alert = about({"containerDetails": {"name": "c", "image": image}})
    assert [r.uid for r in alert.resources if r.type == "aws.ecr.repository"] == ([arn] if arn else [])


def test_an_attack_sequence() -> None:
    alert = read(event(SEQUENCE))
    assert alert.actor == AlertActor(
        name="deployer",
        type="AssumedRole",
        uid="AROACKCEVSQ6C2EXAMPLE:ci",
        access_key_id="ASIAIOSFODNN7EXAMPLE",
        session_name="ci",
    )
    assert named(alert) == [
        ("aws.iam.role", "deployer"),
        ("aws.iam.access_key", "ASIAIOSFODNN7EXAMPLE"),
        ("aws.iam.user", "ana"),
        ("aws.iam.access_key", "AKIAIOSFODNN7EXAMPLE"),
        ("aws.ec2.instance", "i-0a1b2c3d4e5f60718"),
        ("aws.iam.instance_profile", "render-worker"),
        ("aws.s3.bucket", "exports"),
        ("aws.s3.object", "a/b.csv"),
        ("aws.eks.cluster", "shop"),
        ("aws.kubernetes.workload", "shop/cart"),
        ("aws.container", "cart"),
        ("aws.ecr.repository", "shop/cart"),
        ("aws.ecs.cluster", "web"),
        ("aws.ecs.task", "0f8c"),
        ("aws.ec2.network_interface", "eni-0fedcba9876543210"),
    ]
    types = {r.type: r for r in alert.resources}
    assert types["aws.s3.bucket"].uid == "arn:aws:s3:::exports"
    assert types["aws.ec2.instance"].data == {
        "instance_type": "c5.xlarge",
        "instance_profile_arn": "arn:aws:iam::111122223333:instance-profile/render-worker",
        "interfaces": ["eni-0fedcba9876543210"],
    }
    assert types["aws.ec2.instance"].tags == {"team": "media"}
    assert types["aws.ecs.task"].data["cluster"] == "web"
    assert types["aws.kubernetes.workload"].data == {"namespace": "shop", "type": "deployments"}
    assert seen(alert, ObservableType.IP) == ["198.51.100.23"]
    assert seen(alert, ObservableType.DOMAIN) == ["pool.example-miner.test"]
    assert seen(alert, ObservableType.ACCESS_KEY) == ["ASIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7EXAMPLE"]
    assert seen(alert, ObservableType.HASH) == ["9" * 64]
    assert (alert.attributes["signals"], alert.attributes["indicators"]) == (2, ["TOR_IP", "HIGH_RISK_API"])
    assert alert.attributes["signal_names"] == [
        "cloudtrail:StopLogging",
        "UnauthorizedAccess:IAMUser/TorIPCaller",
    ]


def test_every_resource_type_of_a_sequence_has_a_type_of_ours() -> None:
    types = {word: sequence_type(word) for word in MODEL.shape_for("FindingResourceType").enum}
    assert types["AUTOSCALING_AUTO_SCALING_GROUP"] == "aws.autoscaling.auto_scaling_group"
    assert types["EC2_VPC"] == "aws.ec2.vpc"
    assert types["SAGEMAKER_ENDPOINT"] == "aws.sagemaker.endpoint"
    assert sequence_type("AWS::EC2::Instance") == "aws.ec2.instance"
    assert len(set(types.values())) == len(types)


def test_a_later_telling_of_a_sequence_is_the_same_alert() -> None:
    again = event(SEQUENCE)
    again["detail"] |= {"updatedAt": "2026-04-02T09:00:00.000Z"}
    again["detail"]["service"]["count"] = 2
    first, second = read(event(SEQUENCE)), read(again)
    assert (first.uid, first.state) == (second.uid, AlertState.NEW)
    assert second.state is AlertState.UPDATED
    assert second.revision != first.revision


@pytest.mark.parametrize("row", guardduty_findings(), ids=lambda row: row.type)
def test_the_technique_is_the_tables_where_it_has_one(row: Any) -> None:
    found = technique_of(row.type)
    assert len(found) <= 1
    if row.technique:
        [technique] = found
        assert technique.uid == row.technique
        assert technique.tactic
        assert technique.name or technique.uid == "T1685.002"


def test_the_tactic_is_the_findings_own_where_the_technique_has_it() -> None:
    [rise] = technique_of("PrivilegeEscalation:IAM/AccountManipulation")
    [stay] = technique_of("Persistence:IAM/AccountManipulation")
    assert (rise.uid, rise.tactic) == (stay.uid, "privilege-escalation")
    assert stay.tactic == "persistence"
    assert technique_of("Nothing:Of/ThisKind") == ()
