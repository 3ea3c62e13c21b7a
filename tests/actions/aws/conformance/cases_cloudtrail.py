"""Cases of the search in CloudTrail."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from case import Arranged, World, case

from soar.simulated.company import seed_company
from soar.simulated.scenario_key import LeakedKey

KEY = "AKIAIOSFODNN7EXAMPLE"


@case("aws.cloudtrail.search_events")
def in_the_log_files_of_the_trail(world: World) -> Arranged:
    company = seed_company(world.account.endpoint_url, now=datetime.now(UTC).replace(microsecond=0))
    attack = LeakedKey().seed(company)
    s3 = world.client("s3")

    def snapshot() -> Any:
        return [b["Name"] for b in s3.list_buckets()["Buckets"]]

    return Arranged(
        {"access_key_id": attack.facts["access_key_id"], "lookback_hours": 2},
        snapshot,
        finds={"way": "trail log files", "events": 7, "cut": False},
    )


@case("aws.cloudtrail.search_events")
def by_lookup(world: World) -> Arranged:
    trail = world.script("cloudtrail")
    asked: list[Any] = []
    at = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=10)

    @trail.operation("LookupEvents")
    def lookup(params: dict[str, Any]) -> dict[str, Any]:
        asked.append(params["LookupAttributes"])
        record = {
            "eventTime": at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "eventSource": "iam.amazonaws.com",
            "eventName": "ListUsers",
            "sourceIPAddress": "203.0.113.7",
            "userIdentity": {"accessKeyId": KEY, "userName": "dana"},
        }
        event = {
            "EventId": "e-1",
            "EventName": "ListUsers",
            "EventTime": at,
            "CloudTrailEvent": json.dumps(record),
        }
        return {"Events": [event]}

    return Arranged(
        {"access_key_id": KEY, "lookback_hours": 2},
        list,
        finds={"events": 1, "by_name": {"iam:ListUsers": 1}},
    )
