"""The search in CloudTrail: the log files on moto's server, LookupEvents on recorded replies."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.stub import Stubber
from temporalio.exceptions import ApplicationError

from soar.model.base import JsonObject
from soar.simulated.base import AccountClients
from soar.simulated.company import Company, seed_company
from soar.simulated.scenario_key import LeakedKey

NOW = datetime.now(UTC).replace(microsecond=0)
SEARCH = "aws.cloudtrail.search_events"


@pytest.fixture
def company(endpoint: str) -> Company:
    return seed_company(endpoint, now=NOW)


async def test_the_log_files_tell_what_the_leaked_key_did(actions: Any, company: Company) -> None:
    attack = LeakedKey().seed(company)
    found = await actions.read(SEARCH, access_key_id=attack.facts["access_key_id"], lookback_hours=2)
    data = found.data
    assert data["way"] == "trail log files"
    assert "does not offer" in data["why"]
    assert data["events"] == 7
    assert data["cut"] is False
    assert data["by_name"]["iam:CreateAccessKey"] == 1
    assert data["errors"] == {"AccessDenied": 2}
    assert data["source_ips"] == {attack.facts["source_ip"]: 7}
    assert data["created_access_keys"] == [
        {"access_key_id": attack.facts["created_key_id"], "user_name": attack.facts["created_key_user"]}
    ]
    assert data["created_users"] == [], "the attempt was denied"
    assert datetime.fromisoformat(data["last_seen"]) == attack.time
    (evidence,) = found.evidence
    kept = json.loads(actions.vault.kept[evidence.digest])
    assert [e["eventTime"] for e in kept] == sorted(e["eventTime"] for e in kept)
    assert len(kept) == 7


async def test_filters_limit_and_time(actions: Any, company: Company) -> None:
    attack = LeakedKey().seed(company)
    by_ip = await actions.read(SEARCH, source_ip=attack.facts["source_ip"])
    assert by_ip.data["events"] == 7
    everyday = await actions.read(SEARCH, user_name="ci-deployer", source_ip="192.0.2.44")
    assert everyday.data["events"] == 8
    some = await actions.read(SEARCH, user_name="ci-deployer", limit=3)
    assert (some.data["events"], some.data["cut"]) == (3, True)
    nothing = await actions.read(
        SEARCH,
        user_name="ci-deployer",
        since=(NOW - timedelta(days=9)).isoformat(),
        until=(NOW - timedelta(days=8)).isoformat(),
    )
    assert nothing.data["events"] == 0
    assert nothing.data["first_seen"] is None
    old = await actions.read(SEARCH, user_name="ci-deployer", lookback_hours=24 * 91)
    assert "90 days" in old.data["why"]
    assert old.data["events"] == 15


async def test_a_damaged_file_is_told(actions: Any, company: Company) -> None:
    folder = f"AWSLogs/{company.account}/CloudTrail/us-east-1/{NOW:%Y/%m/%d}"
    s3 = company.client("s3")
    s3.put_object(Bucket=company.buckets["trail"], Key=f"{folder}/a.json.gz", Body=b"no gzip")
    s3.put_object(Bucket=company.buckets["trail"], Key=f"{folder}/b.json.gz", Body=gzip.compress(b"[]"))
    found = await actions.read(SEARCH, user_name="ci-deployer")
    assert found.data["cut"] is True
    assert found.data["events"] == 8


async def test_bad_searches(actions: Any, account: AccountClients) -> None:
    with pytest.raises(ApplicationError, match="say whose events"):
        await actions.read(SEARCH)
    with pytest.raises(ApplicationError, match="is not before until"):
        await actions.read(
            SEARCH, user_name="dana", since=NOW.isoformat(), until=(NOW - timedelta(1)).isoformat()
        )
    with pytest.raises(ApplicationError, match="no trail with a bucket"):
        await actions.read(SEARCH, user_name="dana")


def _recorded(
    company: Company, name: str, seconds: int, response: JsonObject | None = None
) -> dict[str, Any]:
    event = company.trail.event(
        company.users["ci-deployer"],
        "iam",
        name,
        NOW - timedelta(seconds=seconds),
        "198.51.100.23",
        response=response,
    )
    return {"EventId": event["eventID"], "EventName": name, "CloudTrailEvent": json.dumps(event)}


async def test_lookup_events_on_recorded_replies(make_actions: Callable[..., Any], company: Company) -> None:
    actions = make_actions()
    key = company.users["ci-deployer"].access_key_id
    since, until = NOW - timedelta(hours=1), NOW
    cloudtrail = actions.access.client("cloudtrail", region="us-east-1")
    asked = {
        "StartTime": since,
        "EndTime": until,
        "MaxResults": 50,
        "LookupAttributes": [{"AttributeKey": "AccessKeyId", "AttributeValue": key}],
    }
    made: JsonObject = {"user": {"userName": "svc-sync"}}
    with Stubber(cloudtrail) as stub:
        page = {"Events": [_recorded(company, "ListUsers", 60)], "NextToken": "more"}
        stub.add_response("lookup_events", page, asked)
        stub.add_response(
            "lookup_events",
            {"Events": [_recorded(company, "CreateUser", 90, made)]},
            {**asked, "NextToken": "more"},
        )
        found = await actions.read(
            SEARCH, access_key_id=key, since=since.isoformat(), until=until.isoformat()
        )
        stub.assert_no_pending_responses()
    assert found.data["way"] == "LookupEvents"
    assert found.data["events"] == 2
    assert found.data["created_users"] == ["svc-sync"]


async def test_denied_lookup_goes_to_the_log_files_and_says_so(
    make_actions: Callable[..., Any], company: Company
) -> None:
    actions = make_actions()
    cloudtrail = actions.access.client("cloudtrail", region="us-east-1")
    with Stubber(cloudtrail) as stub:
        stub.add_client_error("lookup_events", "AccessDeniedException", http_status_code=400)
        bucket = company.buckets["trail"]
        stub.add_response(
            "describe_trails", {"trailList": [{"Name": "kestrel-trail", "S3BucketName": bucket}]}
        )
        found = await actions.read(SEARCH, user_name="ci-deployer")
    assert found.data["why"] == "cloudtrail:LookupEvents is denied"
    assert found.data["events"] == 8
    with Stubber(cloudtrail) as stub:
        stub.add_client_error("lookup_events", "ThrottlingException", http_status_code=400)
        with pytest.raises(ApplicationError) as caught:
            await actions.read(SEARCH, user_name="ci-deployer")
    assert caught.value.type == "Throttled"
