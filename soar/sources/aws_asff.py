"""The resources of a finding in AWS's Security Finding Format (ASFF), under the types that every source of ours uses.

ASFF has names of its own, `AwsRdsDbInstance`, for most of what CloudFormation calls `AWS::RDS::DBInstance`; for the
rest it takes CloudFormation's. Both become `aws.rds.db_instance`.
"""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import JsonValue

from soar.model.alert import AlertActor, Resource
from soar.model.base import JsonObject
from soar.sources.aws_common import (
    Place,
    api_name,
    bounded,
    ecr_repository,
    identity,
    resource,
    snake,
    type_of,
)
from soar.sources.payload import Node

__all__ = ["asff_actor", "asff_resources", "asff_type"]

_SERVICES = {
    "amazonmq": "amazonmq",
    "apigateway": "apigateway",
    "apigatewayv2": "apigatewayv2",
    "appsync": "appsync",
    "athena": "athena",
    "autoscaling": "autoscaling",
    "backup": "backup",
    "batch": "batch",
    "certificatemanager": "certificatemanager",
    "cloudformation": "cloudformation",
    "cloudfront": "cloudfront",
    "cloudtrail": "cloudtrail",
    "cloudwatch": "cloudwatch",
    "codebuild": "codebuild",
    "cognito": "cognito",
    "config": "config",
    "dms": "dms",
    "dynamodb": "dynamodb",
    "ec2": "ec2",
    "ecr": "ecr",
    "ecs": "ecs",
    "efs": "efs",
    "eks": "eks",
    "elasticbeanstalk": "elasticbeanstalk",
    "elasticsearch": "elasticsearch",
    "elb": "elasticloadbalancing",
    "elbv2": "elasticloadbalancingv2",
    "emr": "emr",
    "events": "events",
    "eventschemas": "eventschemas",
    "guardduty": "guardduty",
    "iam": "iam",
    "kinesis": "kinesis",
    "kms": "kms",
    "lambda": "lambda",
    "msk": "msk",
    "networkfirewall": "networkfirewall",
    "opensearch": "opensearch",
    "opensearchservice": "opensearch",
    "rds": "rds",
    "redshift": "redshift",
    "redshiftserverless": "redshiftserverless",
    "route53": "route53",
    "s3": "s3",
    "sagemaker": "sagemaker",
    "secretsmanager": "secretsmanager",
    "sns": "sns",
    "sqs": "sqs",
    "ssm": "ssm",
    "stepfunction": "stepfunctions",
    "stepfunctions": "stepfunctions",
    "waf": "waf",
    "wafregional": "wafregional",
    "wafv2": "wafv2",
    "xray": "xray",
}
"""What the services are called in ASFF's names, in lower case, and in ours (which are CloudFormation's)."""

_WHOLE = {
    "AwsAccount": "aws.account",
    "AwsAppSyncGraphQlApi": "aws.appsync.graph_ql_api",
    "AwsEventsEventbus": "aws.events.event_bus",
    "CodeRepository": "code_repository",
    "Container": "aws.container",
    "Other": "other",
}
_LONGEST = max(map(len, _SERVICES))


def asff_type(written: str) -> str:
    """A resource's type in our words.

    Args:
        written: `AwsRdsDbInstance`, or `AWS::RDS::DBInstance`.

    Returns:
        `aws.rds.db_instance`. Of a service that is not in the table, its first word is taken: `AwsNeptuneGraph` is
        `aws.neptune.graph`.
    """
    if "::" in written:
        kind = type_of(written)
        return kind.replace("aws.opensearchservice.", "aws.opensearch.", 1)
    if known := _WHOLE.get(written):
        return known
    if not written.startswith("Aws"):
        return snake(written)[:128]
    rest = written.removeprefix("Aws")
    for length in range(min(_LONGEST, len(rest) - 1), 0, -1):
        service = _SERVICES.get(rest[:length].lower())
        if service and rest[length].isupper():
            return f"aws.{service}.{snake(rest[length:])}"[:128]
    service, _, kind = snake(rest).partition("_")
    return ".".join(part for part in ("aws", service, kind) if part)[:128]


def asff_actor(finding: Node) -> AlertActor | None:
    """Whose access key the finding is about; None if it is about none."""
    for one in finding.nodes("Resources"):
        key = one.node("Details").node("AwsIamAccessKey")
        name = key.text("PrincipalName", limit=512) or key.text("UserName", limit=512)
        if name or key.text("AccessKeyId", limit=128):
            principal = key.text("PrincipalId", limit=512)
            return AlertActor(
                name=name,
                type=key.text("PrincipalType", limit=64),
                uid=principal,
                access_key_id=key.text("AccessKeyId", limit=128),
                session_name=principal.partition(":")[2],
            )
    return None


def asff_resources(finding: Node, here: Place) -> Iterator[Resource]:
    """The resources of a finding, in its order."""
    for one in finding.nodes("Resources"):
        written, uid = one.needed_text("Type", limit=256), one.needed_text("Id")
        kind = asff_type(written)
        details = one.node("Details").get(written)
        region = one.text("Region", limit=64)
        name = _name(kind, uid, one)
        if kind == "aws.iam.access_key":
            key = one.node("Details").node("AwsIamAccessKey")
            user = key.text("PrincipalName", limit=512) or key.text("UserName", limit=512)
            who = key.text("PrincipalType", limit=64) or ("IAMUser" if user else "")
            yield from identity(user, who, here)
            uid = name  # as every other source names a key
        yield from resource(
            uid,
            kind,
            name,
            region="" if kind.startswith("aws.iam.") or kind == "aws.account" else region,
            tags=_tags(one),
            data=_details(details),
        )
        if kind == "aws.container":
            yield from ecr_repository(one.node("Details").node("Container").text("ImageName", limit=1024))
        if kind == "aws.ecr.container_image" and ":repository/" in uid:
            yield from resource(uid.rpartition("/sha256:")[0] or uid, "aws.ecr.repository", region=region)


def _name(kind: str, uid: str, one: Node) -> str:
    details = one.node("Details")
    if kind == "aws.container":
        return details.node("Container").text("Name", limit=512)
    if kind == "aws.iam.access_key" and (
        key := details.node("AwsIamAccessKey").text("AccessKeyId", limit=128)
    ):
        return key
    if kind == "aws.account" and uid.startswith("arn:"):
        return uid.split(":")[4] or api_name(uid, kind)
    return api_name(uid, kind)


def _details(details: JsonValue) -> JsonObject:
    cut = bounded(details, depth=4, items=30, text=512)
    return cut if isinstance(cut, dict) else {}


def _tags(one: Node) -> dict[str, str]:
    found = one.get("Tags")
    items = found.items() if isinstance(found, dict) else ()
    return {key[:256]: value[:512] for key, value in items if isinstance(value, str)}
