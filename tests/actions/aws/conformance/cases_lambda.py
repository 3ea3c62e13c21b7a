"""Cases of the actions on Lambda functions."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import zipfile
from typing import Any

from case import Arranged, World, case

NAME = "report-builder"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    ],
}


def package(text: str) -> bytes:
    kept = io.BytesIO()
    with zipfile.ZipFile(kept, "w") as archive:
        # A fixed date: the package is the same for the same text.
        archive.writestr(zipfile.ZipInfo("main.py", (2026, 1, 1, 0, 0, 0)), text)
    return kept.getvalue()


def sha(data: bytes) -> str:
    return base64.b64encode(hashlib.sha256(data).digest()).decode()


def function(world: World, text: str = "def run(event, context): ...\n") -> Any:
    """Make a function; returns the client."""
    role = world.client("iam").create_role(RoleName="runs", AssumeRolePolicyDocument=json.dumps(TRUST))
    functions = world.client("lambda")
    functions.create_function(
        FunctionName=NAME,
        Runtime="python3.12",
        Role=role["Role"]["Arn"],
        Handler="main.run",
        Code={"ZipFile": package(text)},
        Environment={"Variables": {"TOKEN": "do-not-keep", "STAGE": "live"}},
    )
    return functions


def serve_code(world: World, packages: list[bytes]) -> None:
    """Let `GetFunction` give an address that the package can be fetched from, as the service does.

    The simulated account names a bucket of AWS's own there.
    """
    s3, functions = world.client("s3"), world.client("lambda")
    s3.create_bucket(Bucket="code")
    for data in packages:
        s3.put_object(Bucket="code", Key=hashlib.sha256(data).hexdigest(), Body=data)
    service = world.script("lambda")

    @service.operation("GetFunction")
    def get_function(params: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = functions.get_function(**params)
        del found["ResponseMetadata"]
        key = base64.b64decode(found["Configuration"]["CodeSha256"]).hex()
        found["Code"]["Location"] = s3.generate_presigned_url(
            "get_object", Params={"Bucket": "code", "Key": key}
        )
        return found


def add(functions: Any, sid: str, principal: str, **more: str) -> None:
    functions.add_permission(
        FunctionName=NAME, StatementId=sid, Action="lambda:InvokeFunction", Principal=principal, **more
    )


def statements(functions: Any) -> list[Any]:
    try:
        policy = functions.get_policy(FunctionName=NAME)["Policy"]
    except functions.exceptions.ResourceNotFoundException:
        return []
    return sorted(json.loads(policy)["Statement"], key=lambda s: str(s["Sid"]))


def concurrency(functions: Any) -> Any:
    return functions.get_function_concurrency(FunctionName=NAME).get("ReservedConcurrentExecutions")


def queue(world: World, name: str) -> str:
    sqs = world.client("sqs")
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    return str(sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"])


def sources(functions: Any) -> list[Any]:
    found = functions.list_event_source_mappings(FunctionName=NAME)["EventSourceMappings"]
    return sorted((m["EventSourceArn"], m["State"]) for m in found)


@case("aws.lambda.freeze")
def without_a_reservation(world: World) -> Arranged:
    functions = function(world)
    add(functions, "bucket", "s3.amazonaws.com", SourceArn="arn:aws:s3:::in")
    return Arranged(
        params={"function_name": NAME},
        snapshot=lambda: concurrency(functions),
        drift=lambda: functions.put_function_concurrency(FunctionName=NAME, ReservedConcurrentExecutions=3),
    )


@case("aws.lambda.freeze")
def with_a_reservation(world: World) -> Arranged:
    functions = function(world)
    functions.put_function_concurrency(FunctionName=NAME, ReservedConcurrentExecutions=7)
    return Arranged(
        params={"function_name": NAME},
        snapshot=lambda: concurrency(functions),
        drift=lambda: functions.delete_function_concurrency(FunctionName=NAME),
    )


@case("aws.lambda.remove_public_url")
def open_to_everybody(world: World) -> Arranged:
    functions = function(world)
    functions.create_function_url_config(FunctionName=NAME, AuthType="NONE", Cors={"AllowOrigins": ["*"]})
    add(functions, "all", "*", FunctionUrlAuthType="NONE")

    def snapshot() -> Any:
        try:
            url = functions.get_function_url_config(FunctionName=NAME)
        except functions.exceptions.ResourceNotFoundException:
            return None
        return url["AuthType"], url["Cors"], statements(functions)

    return Arranged(
        params={"function_name": NAME},
        snapshot=snapshot,
        drift=lambda: functions.delete_function_url_config(FunctionName=NAME),
    )


@case("aws.lambda.remove_permission")
def everybody_beside_a_bucket(world: World) -> Arranged:
    functions = function(world)
    add(functions, "bucket", "s3.amazonaws.com", SourceArn="arn:aws:s3:::in", SourceAccount="123456789012")
    add(functions, "all", "*")
    return Arranged(
        params={"function_name": NAME},
        snapshot=lambda: statements(functions),
        drift=lambda: add(functions, "all-again", "*"),
    )


@case("aws.lambda.remove_permission")
def two_by_name(world: World) -> Arranged:
    functions = function(world)
    add(functions, "bucket", "s3.amazonaws.com", SourceArn="arn:aws:s3:::in", SourceAccount="123456789012")
    add(functions, "other", "arn:aws:iam::999988887777:root")
    add(functions, "topic", "sns.amazonaws.com")
    return Arranged(
        params={"function_name": NAME, "sids": ["bucket", "other"]},
        snapshot=lambda: statements(functions),
        drift=lambda: add(functions, "other", "arn:aws:iam::999988887777:root"),
    )


@case("aws.lambda.disable_event_sources")
def one_enabled_one_not(world: World) -> Arranged:
    functions = function(world)
    arns = [queue(world, name) for name in ("in", "late", "off")]
    made = [functions.create_event_source_mapping(FunctionName=NAME, EventSourceArn=a) for a in arns]
    functions.update_event_source_mapping(UUID=made[2]["UUID"], Enabled=False)
    return Arranged(
        params={"function_name": NAME},
        snapshot=lambda: sources(functions),
        drift=lambda: functions.update_event_source_mapping(UUID=made[2]["UUID"], Enabled=True),
    )


@case("aws.lambda.rollback_code")
def to_the_first_version(world: World) -> Arranged:
    good, bad = package("good\n"), package("bad\n")
    functions = function(world, "good\n")
    version = functions.publish_version(FunctionName=NAME)["Version"]
    functions.update_function_code(FunctionName=NAME, ZipFile=bad)
    serve_code(world, [good, bad])
    return Arranged(
        params={"function_name": NAME, "version": version, "sha256": sha(good)},
        snapshot=lambda: functions.get_function_configuration(FunctionName=NAME)["CodeSha256"],
        drift=lambda: functions.update_function_code(FunctionName=NAME, ZipFile=package("worse\n")),
    )


@case("aws.lambda.describe_function")
def open_and_fed(world: World) -> Arranged:
    functions = function(world)
    add(functions, "all", "*")
    functions.create_function_url_config(FunctionName=NAME, AuthType="NONE")
    functions.create_event_source_mapping(FunctionName=NAME, EventSourceArn=queue(world, "in"))
    functions.publish_version(FunctionName=NAME)
    code = package("def run(event, context): ...\n")
    serve_code(world, [code])

    def snapshot() -> Any:
        found = functions.get_function(FunctionName=NAME)
        return found["Configuration"], statements(functions), sources(functions)

    return Arranged(
        params={"function_name": NAME},
        snapshot=snapshot,
        finds={
            "name": NAME,
            "variables": ["STAGE", "TOKEN"],
            "public_statements": ["all"],
            "url_auth": "NONE",
            "code_sha256": sha(code),
            "code_kept": True,
            "not_read": [],
        },
    )
