"""Faults on the way to the account: real clients, over HTTP, get the errors that AWS would give."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.session import get_session
from hypothesis import given
from hypothesis import strategies as st

from soar.actions.aws.access import aws_errors
from soar.actions.errors import PermissionMissing, Throttled
from soar.model.base import JsonObject
from soar.playtest.calls import read_call
from soar.playtest.faults import FaultyAccount, faulty_account
from soar.playtest.spec import AnswerFault, DenyFault, FailFault, Fault
from soar.runtime.account import SimulatedAccount, simulated_account

PRINCIPAL = "arn:aws:sts::123456789012:assumed-role/soar-responder/soar"


def _client(url: str, service: str) -> Any:
    return boto3.client(
        service,
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="simulated",
        aws_secret_access_key="simulated",
        config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}, proxies={}),
    )


@pytest.fixture
async def account() -> AsyncIterator[SimulatedAccount]:
    async with simulated_account() as started:
        yield started


CALLS: list[tuple[str, str, Callable[[Any], Any], str]] = [
    ("iam:ListUsers", "iam", lambda c: c.list_users(), "AccessDenied"),
    ("sts:GetCallerIdentity", "sts", lambda c: c.get_caller_identity(), "AccessDenied"),
    ("ec2:DescribeInstances", "ec2", lambda c: c.describe_instances(), "UnauthorizedOperation"),
    (
        "elasticloadbalancing:DescribeLoadBalancers",
        "elbv2",
        lambda c: c.describe_load_balancers(),
        "AccessDenied",
    ),
    (
        "secretsmanager:GetSecretValue",
        "secretsmanager",
        lambda c: c.get_secret_value(SecretId="s"),
        "AccessDeniedException",
    ),
    (
        "lambda:PutFunctionConcurrency",
        "lambda",
        lambda c: c.put_function_concurrency(FunctionName="invoices", ReservedConcurrentExecutions=0),
        "AccessDeniedException",
    ),
    (
        "ses:PutAccountSendingAttributes",
        "sesv2",
        lambda c: c.put_account_sending_attributes(SendingEnabled=False),
        "AccessDeniedException",
    ),
    ("cloudtrail:DescribeTrails", "cloudtrail", lambda c: c.describe_trails(), "AccessDeniedException"),
    ("s3:ListBucket", "s3", lambda c: c.list_objects_v2(Bucket="exports"), "AccessDenied"),
    ("s3:GetObject", "s3", lambda c: c.get_object(Bucket="exports", Key="a/b c+d.csv"), "AccessDenied"),
    (
        "s3:PutBucketPolicy",
        "s3",
        lambda c: c.put_bucket_policy(Bucket="exports", Policy="{}"),
        "AccessDenied",
    ),
    (
        "s3:PutBucketPublicAccessBlock",
        "s3",
        lambda c: c.delete_public_access_block(Bucket="exports"),
        "AccessDenied",
    ),
    (
        "s3:GetBucketPublicAccessBlock",
        "s3",
        lambda c: c.get_public_access_block(Bucket="exports"),
        "AccessDenied",
    ),
]


async def test_what_is_denied_is_denied_as_aws_denies_it_and_nothing_else_is(
    account: SimulatedAccount,
) -> None:
    direct = _client(account.endpoint_url, "s3")
    await asyncio.to_thread(direct.create_bucket, Bucket="exports")
    await asyncio.to_thread(direct.put_object, Bucket="exports", Key="a/b c+d.csv", Body=b"rows" * 100_000)
    faults: list[Fault] = [DenyFault(deny=permission) for permission, *_ in CALLS]
    for index, (permission, service, call, code) in enumerate(CALLS):
        async with faulty_account(account.endpoint_url, [faults[index]], PRINCIPAL) as faulty:
            assert isinstance(faulty, FaultyAccount)
            client = _client(faulty.url, service)
            assert faulty.unused() == [0]
            with pytest.raises(ClientError) as refused:
                await asyncio.to_thread(call, client)
            assert refused.value.response["Error"]["Code"] == code
            assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
            assert faulty.unused() == []
            with pytest.raises(PermissionMissing) as named, aws_errors("other:Call"):
                await asyncio.to_thread(call, client)
            assert named.value.permission == permission
        others = faults[:index] + faults[index + 1 :]
        async with faulty_account(account.endpoint_url, others, PRINCIPAL) as faulty:
            assert isinstance(faulty, FaultyAccount)
            try:
                await asyncio.to_thread(call, _client(faulty.url, service))
            except ClientError as error:
                assert error.response["Error"]["Code"] not in ("AccessDenied", "UnauthorizedOperation")  # noqa: PT017 - it may work


async def test_a_call_fails_as_often_as_it_is_told_and_then_works(account: SimulatedAccount) -> None:
    fault = FailFault(
        fail="iam:ListUsers", times=2, after=1, code="Throttling", status=429, message="slow <down>"
    )
    async with faulty_account(account.endpoint_url, [fault], PRINCIPAL) as faulty:
        assert isinstance(faulty, FaultyAccount)
        iam = _client(faulty.url, "iam")
        await asyncio.to_thread(iam.list_users)
        assert faulty.unused() == [0]
        for _ in range(2):
            with pytest.raises(Throttled, match="slow <down>"), aws_errors("iam:ListUsers"):
                await asyncio.to_thread(iam.list_users)
        assert faulty.unused() == []
        await asyncio.to_thread(iam.list_users)
        await asyncio.to_thread(iam.list_roles)


async def test_a_test_answers_for_an_operation_that_the_account_lacks(account: SimulatedAccount) -> None:
    faults: list[Fault] = [
        AnswerFault(answer="ses:GetAccount", body={"SendingEnabled": "{{ facts.on }}"}, times=2, after=0),
        AnswerFault(answer="ses:GetAccount", body={"SendingEnabled": False}, after=2),
        AnswerFault(
            answer="iam:GetUser",
            body="<GetUserResponse><GetUserResult><User><UserName>{{ facts.who }}</UserName></User>"
            "</GetUserResult></GetUserResponse>",
        ),
        AnswerFault(answer="ses:PutAccountSendingAttributes"),
    ]
    variables: JsonObject = {"facts": {"on": True, "who": "maya"}}
    async with faulty_account(account.endpoint_url, faults, PRINCIPAL, variables) as faulty:
        assert isinstance(faulty, FaultyAccount)
        ses, iam = _client(faulty.url, "sesv2"), _client(faulty.url, "iam")
        told = [(await asyncio.to_thread(ses.get_account))["SendingEnabled"] for _ in range(4)]
        assert told == [True, True, False, False]
        assert (await asyncio.to_thread(iam.get_user))["User"]["UserName"] == "maya"
        assert faulty.unused() == [3]


async def test_what_is_not_faulty_goes_through_byte_for_byte(account: SimulatedAccount) -> None:
    async with faulty_account(account.endpoint_url, [DenyFault(deny="iam:ListUsers")], PRINCIPAL) as faulty:
        assert isinstance(faulty, FaultyAccount)
        s3 = _client(faulty.url, "s3")
        body = bytes(range(256)) * 1000
        key = "a b/ü+%2F=&?.bin"
        await asyncio.to_thread(s3.create_bucket, Bucket="exports")
        await asyncio.to_thread(s3.put_object, Bucket="exports", Key=key, Body=body, ContentEncoding="gzip")
        for client in (s3, _client(account.endpoint_url, "s3")):
            found = await asyncio.to_thread(client.get_object, Bucket="exports", Key=key)
            assert found["Body"].read() == body
            head = await asyncio.to_thread(client.head_object, Bucket="exports", Key=key)
            assert head["ContentLength"] == len(body)


async def test_without_faults_nothing_stands_between(account: SimulatedAccount) -> None:
    async with faulty_account(account.endpoint_url, [], PRINCIPAL) as faulty:
        assert faulty is None


def _signed(service: str) -> dict[str, str]:
    scope = f"AKIA/20260131/us-east-1/{service}/aws4_request"
    return {"authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"}


S3 = get_session().get_service_model("s3")


@given(st.sampled_from(S3.operation_names), st.text("abc-/é", min_size=1).map(lambda t: f"k{t}"))
def test_every_operation_of_s3_is_told_from_its_method_and_address(operation: str, key: str) -> None:
    http = S3.operation_model(operation).http
    address = http["requestUri"].replace("{Bucket}", "exports").replace("{Key+}", key)
    path, _, query = address.partition("?")
    call = read_call(http["method"], path, query, _signed("s3"), b"")
    assert call is not None
    assert call.service == "s3"
    assert operation in call.operations
    same = {tuple(sorted(S3.operation_model(o).http.items(), key=str)) for o in call.operations}
    assert {dict(h)["method"] for h in same} == {http["method"]}


def test_the_settings_of_a_whole_account_are_not_those_of_a_bucket() -> None:
    path = "/v20180820/configuration/publicAccessBlock"
    wide = read_call("GET", path, "", _signed("s3"), b"")
    assert wide is not None
    assert wide.takes("s3:GetAccountPublicAccessBlock")
    assert not wide.takes("s3:GetBucketPublicAccessBlock")
    of_bucket = read_call("GET", "/exports", "publicAccessBlock=", _signed("s3"), b"")
    assert of_bucket is not None
    assert of_bucket.takes("s3:GetBucketPublicAccessBlock")
    assert not of_bucket.takes("s3:GetAccountPublicAccessBlock")


@given(
    st.text(max_size=20),
    st.text(max_size=50),
    st.text(max_size=50),
    st.dictionaries(st.sampled_from(["authorization", "x-amz-target", "content-type"]), st.text(max_size=80)),
    st.binary(max_size=100),
)
def test_no_request_is_too_strange_to_be_looked_at(
    method: str, path: str, query: str, headers: dict[str, str], body: bytes
) -> None:
    call = read_call(method, path, query, headers, body)
    assert call is None or isinstance(json.dumps(sorted(call.operations)), str)
