"""What the conformance suite cannot see of functions, containers and sessions: guards, warnings, evidence, branches."""

from __future__ import annotations

import base64
import io
import json
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from temporalio.exceptions import ApplicationError

from soar.actions.aws import ssm_memory
from soar.actions.aws.lambda_common import fetch_code
from soar.actions.aws.lambda_permissions import as_request, is_public
from soar.actions.errors import BadReply, Unavailable
from soar.model.base import JsonObject
from soar.simulated.base import AccountClients

sys.path.insert(0, str(Path(__file__).parent / "conformance"))

import cases_ec2_public_access
import cases_ecr
import cases_ecs
import cases_eks
import cases_lambda
import cases_ssm
from case import World

FUNCTION = {"function_name": cases_lambda.NAME}
LIVE = "def run(event, context): ...\n"


@pytest.fixture
def world(account: AccountClients) -> World:
    return World(account)


@pytest.fixture
def on(make_actions: Callable[..., Any], world: World) -> Callable[[], Any]:
    """Actions on the world as it was scripted."""

    def make() -> Any:
        actions = make_actions()
        for scripted in world.scripted:
            scripted.attach(actions.access._session.events)
        return actions

    return make


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("aws.lambda.freeze", {}),
        ("aws.lambda.remove_public_url", {}),
        ("aws.lambda.remove_permission", {}),
        ("aws.lambda.disable_event_sources", {}),
        ("aws.lambda.rollback_code", {"version": "1"}),
    ],
)
async def test_a_protected_function_is_left_alone(
    world: World, on: Callable[[], Any], name: str, params: Any
) -> None:
    functions = cases_lambda.function(world)
    functions.publish_version(FunctionName=cases_lambda.NAME)
    functions.update_function_code(FunctionName=cases_lambda.NAME, ZipFile=cases_lambda.package("bad\n"))
    functions.create_function_url_config(FunctionName=cases_lambda.NAME, AuthType="NONE")
    cases_lambda.add(functions, "all", "*")
    functions.create_event_source_mapping(
        FunctionName=cases_lambda.NAME, EventSourceArn=cases_lambda.queue(world, "in")
    )
    arn = functions.get_function_configuration(FunctionName=cases_lambda.NAME)["FunctionArn"]
    functions.tag_resource(Resource=arn, Tags={"soar:protected": ""})
    with pytest.raises(ApplicationError, match=f"function {cases_lambda.NAME} is tagged soar:protected"):
        await on().plan(name, **FUNCTION, **params)


async def test_a_missing_function_is_told(actions: Any) -> None:
    with pytest.raises(ApplicationError) as caught:
        await actions.plan("aws.lambda.freeze", function_name="nowhere")
    assert caught.value.type == "TargetGone"


async def test_a_service_that_calls_for_anybody_is_told_and_stays(world: World, actions: Any) -> None:
    functions = cases_lambda.function(world)
    cases_lambda.add(functions, "topic", "sns.amazonaws.com")
    cases_lambda.add(functions, "all", "*")
    plan = await actions.plan("aws.lambda.remove_permission", **FUNCTION)
    assert [s["Sid"] for s in plan.state["statements"]] == ["all"]
    assert any(
        f.startswith("statement topic stays: sns.amazonaws.com may call it") for f in plan.blast_radius.facts
    )


async def test_without_a_url_there_is_nothing_to_close(world: World, actions: Any) -> None:
    cases_lambda.function(world)
    assert (await actions.plan("aws.lambda.remove_public_url", **FUNCTION)).changes == ()


def test_a_statement_that_cannot_be_added_again_is_known() -> None:
    simple: JsonObject = {
        "Sid": "s",
        "Effect": "Allow",
        "Principal": "*",
        "Action": "lambda:InvokeFunction",
        "Resource": "x",
    }
    assert as_request(simple) == {"StatementId": "s", "Action": "lambda:InvokeFunction", "Principal": "*"}
    breaks: tuple[JsonObject, ...] = (
        {"Effect": "Deny"},
        {"Principal": {"AWS": ["a", "b"]}},
        {"Action": ["lambda:InvokeFunction", "lambda:GetFunction"]},
        {"Condition": {"StringLike": {"aws:PrincipalArn": "arn:*"}}},
        {"Condition": {"StringEquals": {"AWS:SourceAccount": ["1", "2"]}}},
        {"NotAction": "lambda:*"},
    )
    for broken in breaks:
        assert as_request({**simple, **broken}) is None, broken


CONDITIONS = st.fixed_dictionaries(
    {},
    optional={
        "StringEquals": st.dictionaries(
            st.sampled_from(
                [
                    *("AWS:SourceAccount", "aws:PrincipalOrgID", "lambda:EventSourceToken"),
                    "lambda:FunctionUrlAuthType",
                ]
            ),
            st.just("value"),
            min_size=1,
        ),
        "ArnLike": st.just({"AWS:SourceArn": "arn:aws:s3:::in"}),
        "Bool": st.just({"lambda:InvokedViaFunctionUrl": "true"}),
    },
)


@given(CONDITIONS)
def test_every_condition_that_the_service_writes_is_written_again(condition: dict[str, Any]) -> None:
    statement: JsonObject = {
        "Sid": "s",
        "Effect": "Allow",
        "Principal": "*",
        "Action": "a",
        "Resource": "x",
        "Condition": condition,
    }
    request = as_request(statement)
    assert request is not None
    assert len(request) == 3 + sum(len(keys) for keys in condition.values())
    bound = {"aws:sourceaccount", "aws:principalorgid", "aws:sourcearn", "lambda:eventsourcetoken"}
    keys = {key.lower() for given_ in condition.values() for key in given_}
    assert is_public(statement) == (not keys & bound)


async def test_the_secrets_of_a_function_are_nowhere(world: World, on: Callable[[], Any]) -> None:
    functions = cases_lambda.function(world)
    functions.publish_version(FunctionName=cases_lambda.NAME)
    cases_lambda.serve_code(world, [cases_lambda.package(LIVE)])
    actions = on()
    found = await actions.read("aws.lambda.describe_function", **FUNCTION)
    assert [e.name for e in found.evidence] == ["report-builder.zip", "report-builder.json"]
    document = actions.vault.kept[found.evidence[1].digest]
    assert b"do-not-keep" not in document
    assert "do-not-keep" not in found.model_dump_json()
    assert json.loads(document)["configuration"]["Environment"] == {"Variables": ["STAGE", "TOKEN"]}
    with zipfile.ZipFile(io.BytesIO(actions.vault.kept[found.evidence[0].digest])) as archive:
        assert archive.read("main.py").decode() == LIVE


async def test_code_that_cannot_be_fetched_costs_only_itself(world: World, on: Callable[[], Any]) -> None:
    cases_lambda.function(world)
    cases_lambda.serve_code(world, [])
    found = await on().read("aws.lambda.describe_function", **FUNCTION)
    assert not found.data["code_kept"]
    assert found.data["not_read"] == ["code: the function's code could not be fetched: HTTP 404"]


def test_code_is_compared_with_what_lambda_says(endpoint: str) -> None:
    page = f"{endpoint}/moto-api/data.json"
    with pytest.raises(BadReply, match="Lambda says"):
        fetch_code(page, base64.b64encode(b"x" * 32).decode())
    with pytest.raises(Unavailable, match="could not be fetched"):
        fetch_code("http://127.0.0.1:9/", "")


async def test_only_the_code_that_was_meant_is_put_back(world: World, on: Callable[[], Any]) -> None:
    functions = cases_lambda.function(world, "good\n")
    functions.publish_version(FunctionName=cases_lambda.NAME)
    functions.update_function_code(FunctionName=cases_lambda.NAME, ZipFile=cases_lambda.package("bad\n"))
    with pytest.raises(ApplicationError, match="has the code"):
        await on().plan(
            "aws.lambda.rollback_code", **FUNCTION, version="1", sha256=cases_lambda.sha(b"something else")
        )
    with pytest.raises(ApplicationError, match="has no version 9"):
        await on().plan("aws.lambda.rollback_code", **FUNCTION, version="9")


async def test_the_code_that_ran_is_kept_as_a_version(world: World, on: Callable[[], Any]) -> None:
    good, bad = cases_lambda.package("good\n"), cases_lambda.package("bad\n")
    functions = cases_lambda.function(world, "good\n")
    functions.publish_version(FunctionName=cases_lambda.NAME)
    functions.update_function_code(FunctionName=cases_lambda.NAME, ZipFile=bad)
    cases_lambda.serve_code(world, [good, bad])
    actions = on()
    await actions.apply(await actions.plan("aws.lambda.rollback_code", **FUNCTION, version="1"))
    versions = functions.list_versions_by_function(FunctionName=cases_lambda.NAME)["Versions"]
    assert cases_lambda.sha(bad) in {v["CodeSha256"] for v in versions if v["Version"] != "$LATEST"}


async def test_all_sessions_of_a_region_are_never_ended(world: World, on: Callable[[], Any]) -> None:
    cases_ssm.sessions(world)
    with pytest.raises(ApplicationError, match="name a `target`, an `owner`, or both"):
        await on().plan("aws.ssm.terminate_sessions")


async def test_sessions_to_a_protected_instance_and_ours_are_left_alone(
    world: World, on: Callable[[], Any]
) -> None:
    instance = world.instance()
    own = world.client("sts").get_caller_identity()["Arn"]
    kept = cases_ssm.sessions(world, ("us-1", instance, own), ("mallory-1", instance, cases_ssm.MALLORY))
    actions = on()
    plan = await actions.plan("aws.ssm.terminate_sessions", target=instance)
    assert [s["session_id"] for s in plan.state["sessions"]] == ["mallory-1"]
    assert "us-1 is left alone" in plan.blast_radius.facts
    world.client("ec2").create_tags(Resources=[instance], Tags=[{"Key": "soar:protected", "Value": ""}])
    with pytest.raises(ApplicationError, match="soar:protected"):
        await actions.plan("aws.ssm.terminate_sessions", owner=cases_ssm.MALLORY)
    assert sorted(kept) == ["mallory-1", "us-1"]


def memory(world: World) -> dict[str, Any]:
    world.client("s3").create_bucket(Bucket="images")
    return {"instance_id": world.instance(), "commands": ["avml x"], "bucket": "images", "key": "memory.lime"}


async def test_memory_of_what_is_not_reached_or_does_not_run(world: World, on: Callable[[], Any]) -> None:
    params = memory(world)
    cases_ssm.agent(world, params["instance_id"], online=False)
    actions = on()
    with pytest.raises(ApplicationError, match="agent is ConnectionLost"):
        await actions.plan("aws.ec2.capture_memory", **params)
    world.client("ec2").stop_instances(InstanceIds=[params["instance_id"]])
    with pytest.raises(ApplicationError, match="is stopped: there is no memory"):
        await actions.plan("aws.ec2.capture_memory", **params)


async def test_a_capture_that_fails_says_why_and_is_sent_anew(world: World, on: Callable[[], Any]) -> None:
    params = memory(world)
    sent = cases_ssm.agent(world, params["instance_id"], status="Failed")
    actions = on()
    plan = await actions.plan("aws.ec2.capture_memory", **params)
    with pytest.raises(ApplicationError, match=r"ended as Failed .*no room on /run"):
        await actions.apply(plan)
    assert len(actions.vault.kept) == 1, "what it printed is kept"
    with pytest.raises(ApplicationError, match="ended as Failed"):
        await actions.apply(plan, attempt=2)
    assert len(sent) == 2


async def test_a_capture_is_watched_until_it_ends(
    world: World, on: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssm_memory, "FIRST_LOOK", 0.01)
    params = memory(world)
    sent = cases_ssm.agent(world, params["instance_id"], status="InProgress")
    looks: list[str] = []
    ends = world.script("ssm")

    @ends.operation("GetCommandInvocation")
    def invocation(asked: dict[str, Any]) -> dict[str, Any]:
        looks.append(sent[0]["Status"])
        if len(looks) == 3:
            sent[0]["Status"] = "Success"
            world.client("s3").put_object(Bucket="images", Key="memory.lime", Body=b"pages")
        return {"CommandId": asked["CommandId"], "Status": sent[0]["Status"], "ResponseCode": 0}

    world.scripted.reverse()
    actions = on()
    plan = await actions.plan("aws.ec2.capture_memory", **params)
    await actions.apply(plan)
    assert len(looks) == 3
    assert (await actions.verify(plan)).data == {"size": 5}


async def test_what_the_organization_sets_is_not_changed(world: World, on: Callable[[], Any]) -> None:
    cases_ec2_public_access.public_access(world, "unblocked", "unblocked", managed_by="declarative-policy")
    cases_ec2_public_access.serial_console(world, managed_by="declarative-policy")
    actions = on()
    for name in ("aws.ec2.block_public_sharing", "aws.ec2.disable_serial_console"):
        with pytest.raises(ApplicationError, match="declarative policy"):
            await actions.plan(name)


async def test_a_stronger_block_is_not_weakened(world: World, on: Callable[[], Any]) -> None:
    cases_ec2_public_access.public_access(world, "block-all-sharing", "block-new-sharing")
    plan = await on().plan("aws.ec2.block_public_sharing", snapshots="block-new-sharing")
    assert plan.changes == ()


async def test_auto_scaling_that_starts_tasks_again_is_warned_of(world: World, actions: Any) -> None:
    cases_ecs.service(world)
    scaling = world.client("application-autoscaling")
    target = {
        "ServiceNamespace": "ecs",
        "ResourceId": "service/shop/checkout",
        "ScalableDimension": "ecs:service:DesiredCount",
    }
    for least, warned in ((1, True), (0, False)):
        scaling.register_scalable_target(**target, MinCapacity=least, MaxCapacity=4)
        plan = await actions.plan("aws.ecs.scale_to_zero", **cases_ecs.WHERE)
        assert any("starts tasks again" in w for w in plan.warnings) == warned


async def test_services_that_cannot_be_isolated_so(world: World, actions: Any) -> None:
    ecs, web, _ = cases_ecs.service(world)
    plan = await actions.plan("aws.ecs.isolate_service", **cases_ecs.WHERE, security_group=web)
    assert any("what they allow still gets through" in w for w in plan.warnings)
    ecs.create_service(cluster="shop", serviceName="hosted", taskDefinition="checkout:1", desiredCount=1)
    with pytest.raises(ApplicationError, match="no network of its own"):
        await actions.plan("aws.ecs.isolate_service", cluster="shop", service="hosted", security_group=web)
    with pytest.raises(ApplicationError, match="no service gone") as caught:
        await actions.plan("aws.ecs.scale_to_zero", cluster="shop", service="gone")
    assert caught.value.type == "TargetGone"


async def test_the_secrets_of_a_service_are_nowhere(world: World, actions: Any) -> None:
    cases_ecs.service(world)
    found = await actions.read("aws.ecs.describe_service", **cases_ecs.WHERE)
    assert len(found.data["tasks"]) == 1
    assert b"do-not-keep" not in actions.vault.kept[found.evidence[0].digest]
    assert "do-not-keep" not in found.model_dump_json()


async def test_a_task_that_is_protected_or_gone(world: World, on: Callable[[], Any]) -> None:
    cases_ecs.one_task(world, tags=[{"key": "soar:protected", "value": ""}])
    actions = on()
    with pytest.raises(ApplicationError, match="soar:protected"):
        await actions.plan("aws.ecs.stop_task", cluster="shop", task=cases_ecs.TASK)
    with pytest.raises(ApplicationError, match="there is no task") as caught:
        await actions.plan("aws.ecs.stop_task", cluster="shop", task="f" * 32)
    assert caught.value.type == "TargetGone"


@pytest.mark.parametrize(
    ("cidrs", "responders", "told"),
    [
        (["0.0.0.0/0"], ["198.51.100.7"], "is everybody"),
        (["198.51.100.0/24"], ["203.0.113.7"], "203.0.113.7/32 would be locked out"),
        (["198.51.100.0/24"], ["198.51.0.0/16"], "would be locked out"),
        (["198.51.100.0/24"], [], "at least 1 item"),
        (["shop.example"], ["198.51.100.7"], "does not appear to be"),
    ],
)
async def test_nobody_locks_responders_out(
    world: World, actions: Any, cidrs: list[str], responders: list[str], told: str
) -> None:
    cases_eks.cluster(world)
    with pytest.raises(ApplicationError, match=told):
        await actions.plan("aws.eks.restrict_endpoint", cluster="shop", cidrs=cidrs, responders=responders)


async def test_entries_that_stay(world: World, on: Callable[[], Any]) -> None:
    cases_eks.cluster(world)
    kept = cases_eks.entries(world)
    actions, delete = on(), "aws.eks.delete_access_entry"
    with pytest.raises(ApplicationError, match="one of nodes"):
        await actions.plan(delete, cluster="shop", principal=cases_eks.NODES)
    kept[cases_eks.DEPLOY]["tags"] = {"soar:protected": ""}
    with pytest.raises(ApplicationError, match="soar:protected"):
        await actions.plan(delete, cluster="shop", principal=cases_eks.DEPLOY)


async def test_the_workers_own_entry_stays(world: World, on: Callable[[], Any]) -> None:
    cases_eks.cluster(world)
    cases_eks.entries(world)
    service = world.script("sts")

    @service.operation("GetCallerIdentity")
    def caller(params: dict[str, Any]) -> dict[str, Any]:
        return {"Account": "123456789012", "Arn": "arn:aws:sts::123456789012:assumed-role/deploy/soar"}

    with pytest.raises(ApplicationError, match="this worker's own"):
        await on().plan("aws.eks.delete_access_entry", cluster="shop", principal=cases_eks.DEPLOY)


async def test_images_are_named_by_digest_and_kept_as_they_are(world: World, actions: Any) -> None:
    _, digests = cases_ecr.repository(world, "live")
    found = await actions.read("aws.ecr.keep_image", repository=cases_ecr.REPOSITORY, digest=digests[0])
    assert actions.vault.kept[found.evidence[0].digest].decode() == cases_ecr.manifest("live")
    with pytest.raises(ApplicationError, match="no image is named"):
        await actions.read("aws.ecr.keep_image", repository=cases_ecr.REPOSITORY)
    with pytest.raises(ApplicationError, match="has no image gone") as caught:
        await actions.read("aws.ecr.keep_image", repository=cases_ecr.REPOSITORY, tag="gone")
    assert caught.value.type == "TargetGone"
    with pytest.raises(ApplicationError, match="is no digest"):
        await actions.plan("aws.ecr.delete_images", repository=cases_ecr.REPOSITORY, digests=["live"])
    with pytest.raises(ApplicationError, match="is no ARN of a role or user"):
        await actions.plan("aws.ecr.deny_pull", repository=cases_ecr.REPOSITORY, responders=["*"])
