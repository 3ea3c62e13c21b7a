"""What findings and events look like, by what they are about: the part that tells one resource from another."""

from __future__ import annotations

from pydantic import JsonValue

from soar.model.base import JsonObject
from soar.sources.taxonomy.taxonomy import ResourceKind

__all__ = ["ACCOUNT", "REGION", "TIME", "USER_ARN", "parameters_of", "resource_of", "sequence_of"]

ACCOUNT, REGION, TIME = "111122223333", "eu-central-1", "2026-01-01T00:00:00Z"
USER_ARN = f"arn:aws:iam::{ACCOUNT}:user/sample-user"
_HERE = f"{REGION}:{ACCOUNT}"


def _key(name: str, kind: str, key_id: str) -> JsonObject:
    return {
        "accessKeyDetails": {
            "accessKeyId": key_id,
            "principalId": f"{kind[:4].upper()}SAMPLE:sample-session",
            "userType": kind,
            "userName": name,
        }
    }


_USER = _key("sample-user", "IAMUser", "AKIASAMPLE")
_ROLE = _key("sample-role", "AssumedRole", "ASIASAMPLE")
_ROOT = _key("Root", "Root", "ASIASAMPLE")
_INSTANCE: JsonObject = {
    "instanceDetails": {
        "instanceId": "i-0123456789abcdef0",
        "instanceType": "m7g.large",
        "imageId": "ami-0123456789abcdef0",
        "iamInstanceProfile": {
            "arn": f"arn:aws:iam::{ACCOUNT}:instance-profile/sample-role",
            "id": "AIPASAMPLE",
        },
        "networkInterfaces": [{"networkInterfaceId": "eni-0123456789abcdef0"}],
    }
}
_BUCKET: JsonObject = {"name": "sample-bucket", "arn": "arn:aws:s3:::sample-bucket", "type": "Destination"}
_OBJECT: JsonObject = {"objectArn": "arn:aws:s3:::sample-bucket/sample", "key": "sample"}
_CONTAINER: JsonObject = {"id": "c" * 64, "name": "sample-container", "image": "sample:1"}
_TASK = f"arn:aws:ecs:{_HERE}:task/sample-cluster/sample-task"
_ECS_ARN, _EKS_ARN = (
    f"arn:aws:ecs:{_HERE}:cluster/sample-cluster",
    f"arn:aws:eks:{_HERE}:cluster/sample-cluster",
)
_EKS: JsonObject = {"eksClusterDetails": {"name": "sample-cluster", "arn": _EKS_ARN, "status": "ACTIVE"}}
_WORKLOAD: JsonObject = {
    "name": "sample-pod",
    "type": "pods",
    "namespace": "default",
    "containers": [_CONTAINER],
}

_SHAPES: dict[ResourceKind, tuple[str, JsonObject]] = {
    "bucket": ("S3Bucket", {**_USER, "s3BucketDetails": [_BUCKET]}),
    "container": ("Container", {**_INSTANCE, "containerDetails": _CONTAINER}),
    "database": (
        "RDSDBInstance",
        {
            "rdsDbInstanceDetails": {
                "dbInstanceIdentifier": "sample-db",
                "dbInstanceArn": f"arn:aws:rds:{_HERE}:db:sample-db",
                "engine": "aurora-postgresql",
            },
            "rdsDbUserDetails": {"user": "sample", "database": "sample"},
        },
    ),
    "ecs-task": (
        "ECSCluster",
        {
            "ecsClusterDetails": {
                "name": "sample-cluster",
                "arn": _ECS_ARN,
                "status": "ACTIVE",
                "taskDetails": {"arn": _TASK, "containers": [_CONTAINER]},
            }
        },
    ),
    "eks-audit": (
        "EKSCluster",
        {
            **_EKS,
            "kubernetesDetails": {
                "kubernetesUserDetails": {"username": "sample", "groups": ["system:masters"]}
            },
        },
    ),
    "eks-workload": (
        "EKSCluster",
        {**_EKS, "kubernetesDetails": {"kubernetesWorkloadDetails": _WORKLOAD}},
    ),
    "function": (
        "Lambda",
        {
            "lambdaDetails": {
                "functionName": "sample-function",
                "functionArn": f"arn:aws:lambda:{_HERE}:function:sample-function",
                "role": f"arn:aws:iam::{ACCOUNT}:role/sample-role",
            }
        },
    ),
    "image": (
        "EC2Image",
        {"ec2ImageDetails": {"imageArn": f"arn:aws:ec2:{_HERE}:image/ami-0123456789abcdef0"}},
    ),
    "instance": ("Instance", _INSTANCE),
    "instance-role": ("AccessKey", {**_ROLE, **_INSTANCE}),
    "object": ("S3Object", {"s3BucketDetails": [{**_BUCKET, "s3ObjectDetails": [_OBJECT]}]}),
    "recovery-point": (
        "RecoveryPoint",
        {
            "recoveryPointDetails": {
                "recoveryPointArn": f"arn:aws:backup:{_HERE}:recovery-point:sample",
                "backupVaultName": "sample-vault",
            }
        },
    ),
    "role": ("AccessKey", _ROLE),
    "root": ("AccessKey", _ROOT),
    "snapshot": (
        "EBSSnapshot",
        {"ebsSnapshotDetails": {"snapshotArn": f"arn:aws:ec2:{REGION}::snapshot/snap-0123456789abcdef0"}},
    ),
    "user": ("AccessKey", _USER),
}
_SEQUENCES: dict[ResourceKind, tuple[str, str, str]] = {
    "sequence-ecs": (_ECS_ARN, "sample-cluster", "ECS_CLUSTER"),
    "sequence-eks": (_EKS_ARN, "sample-cluster", "EKS_CLUSTER"),
    "sequence-iam": ("AKIASAMPLE", "AKIASAMPLE", "ACCESS_KEY"),
    "sequence-instance": (
        f"arn:aws:ec2:{_HERE}:instance/i-0123456789abcdef0",
        "i-0123456789abcdef0",
        "EC2_INSTANCE",
    ),
    "sequence-s3": ("arn:aws:s3:::sample-bucket", "sample-bucket", "S3_BUCKET"),
}
_NAMED: dict[str, JsonObject] = {
    "cloudtrail": {"name": "sample-trail"},
    "ec2-instance-connect": {"instanceId": "i-0123456789abcdef0"},
    "iam-role": {"roleName": "sample-role"},
    "iam-user": {"userName": "sample-target"},
    "lambda": {"functionName": "sample-function"},
    "s3": {"bucketName": "sample-bucket"},
    "secretsmanager": {"secretId": "sample-secret"},
}
"""Parameters of the events of a service, where they are the same."""
_PARAMETERS: dict[str, JsonObject] = {
    "cloudtrail:PutEventSelectors": {"trailName": "sample-trail"},
    "ec2:AuthorizeSecurityGroupIngress": {"groupId": "sg-0123456789abcdef0"},
    "ec2:CreateKeyPair": {"keyName": "sample-key"},
    "ec2:DeleteFlowLogs": {
        "DeleteFlowLogsRequest": {"FlowLogId": {"content": "fl-0123456789abcdef0", "tag": 1}}
    },
    "ec2:DeregisterImage": {"imageId": "ami-0123456789abcdef0"},
    "ec2:DescribeInstanceAttribute": {"instanceId": "i-0123456789abcdef0", "attribute": "userData"},
    "ec2:GetPasswordData": {"instanceId": "i-0123456789abcdef0"},
    "ec2:ModifyImageAttribute": {"imageId": "ami-0123456789abcdef0", "attributeType": "launchPermission"},
    "ec2:ModifyInstanceAttribute": {"instanceId": "i-0123456789abcdef0"},
    "ec2:ModifySnapshotAttribute": {
        "snapshotId": "snap-0123456789abcdef0",
        "attributeType": "CREATE_VOLUME_PERMISSION",
    },
    "ec2:RunInstances": {"instancesSet": {"items": [{"imageId": "ami-0123456789abcdef0"}]}},
    "iam:CreateRole": _NAMED["iam-role"],
    "iam:UpdateAssumeRolePolicy": _NAMED["iam-role"],
    "rds:ModifyDBSnapshotAttribute": {"dBSnapshotIdentifier": "sample-snapshot", "attributeName": "restore"},
    "sagemaker:UpdateNotebookInstanceLifecycleConfig": {
        "notebookInstanceLifecycleConfigName": "sample-configuration"
    },
    "secretsmanager:BatchGetSecretValue": {"secretIdList": ["sample-secret"]},
    "ssm:GetParameters": {"names": ["/sample/parameter"], "withDecryption": True},
    "ssm:SendCommand": {"instanceIds": ["i-0123456789abcdef0"], "documentName": "AWS-RunShellScript"},
    "ssm:StartSession": {"target": "i-0123456789abcdef0"},
}


def parameters_of(event: str) -> JsonObject | None:
    """What a CloudTrail event names in its `requestParameters`; None where it names nothing.

    Args:
        event: `iam:CreateUser`.
    """
    service = event.partition(":")[0]
    return _PARAMETERS.get(event) or _NAMED.get("iam-user" if service == "iam" else service)


def resource_of(kind: ResourceKind) -> JsonObject:
    """A finding's `resource`."""
    if kind in _SEQUENCES:  # an attack sequence tells its resources elsewhere: see `sequence_of`
        return {"resourceType": "AttackSequence"}
    type_, details = _SHAPES[kind]
    return {"resourceType": type_, **details}


def sequence_of(kind: ResourceKind) -> JsonObject | None:
    """An attack sequence's `service.detection.sequence`; None for every other finding."""
    if kind not in _SEQUENCES:
        return None
    uid, name, type_ = _SEQUENCES[kind]
    actor: JsonValue = {
        "id": "sample-actor",
        "user": {
            "name": "sample-user",
            "uid": "AIDASAMPLE",
            "type": "IAMUser",
            "credentialUid": "AKIASAMPLE",
        },
    }
    about: JsonValue = {
        "uid": uid,
        "name": name,
        "accountId": ACCOUNT,
        "resourceType": type_,
        "region": REGION,
    }
    return {"uid": "sample-sequence", "description": "sample", "actors": [actor], "resources": [about]}
