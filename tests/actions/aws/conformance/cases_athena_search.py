"""A case of `aws.athena.query`, and an Athena in memory."""

from __future__ import annotations

from typing import Any

from case import Arranged, World, case
from scripted import Scripted, ScriptedError

COLUMNS = [
    *("event_time", "event_source", "event_name", "region", "source_ip", "user_agent", "error", "account"),
    *("principal", "access_key_id", "request", "event_id"),
]
UNSEEN = {
    "athena:StopQueryExecution": "only when the step is cancelled",
    **dict.fromkeys(
        (
            "glue:GetDatabase",
            "glue:GetTable",
            "glue:GetPartitions",
            "s3:GetBucketLocation",
            "s3:GetObject",
            "s3:ListBucket",
            "s3:PutObject",
        ),
        "asked for by Athena while it runs the query",
    ),
}


def event(number: int, name: str = "GetObject", error: str = "") -> dict[str, str]:
    return dict.fromkeys(COLUMNS, "") | {
        "event_time": f"2026-01-01T00:{number // 60:02}:{number % 60:02}Z",
        "event_source": "s3.amazonaws.com",
        "event_name": name,
        "region": "us-east-1",
        "source_ip": "203.0.113.7",
        "error": error,
        "event_id": str(number),
    }


class Athena:
    """Runs every query to the same events; what it was asked is kept.

    Args:
        looks: States that a query shows one after the other; the last one stays.
    """

    def __init__(self, service: Scripted, events: list[dict[str, str]], *looks: str) -> None:
        self.asked: dict[str, dict[str, Any]] = {}
        self.stopped: list[str] = []
        self.looks = list(looks or ("RUNNING", "SUCCEEDED"))
        self.left: dict[str, list[str]] = {}
        self.events = events
        service.operation("StartQueryExecution")(self.start)
        service.operation("GetQueryExecution")(self.look)
        service.operation("GetQueryResults")(self.results)
        service.operation("StopQueryExecution")(self.stop)

    def start(self, params: dict[str, Any]) -> dict[str, Any]:
        number = f"q-{params['ClientRequestToken'][:8]}"
        if self.asked.setdefault(number, params) != params:
            raise ScriptedError("InvalidRequestException", "Idempotent parameters do not match")
        self.left.setdefault(number, list(self.looks))
        return {"QueryExecutionId": number}

    def look(self, params: dict[str, Any]) -> dict[str, Any]:
        left = self.left[params["QueryExecutionId"]]
        state = left.pop(0) if len(left) > 1 else left[0]
        return {
            "QueryExecution": {
                "QueryExecutionId": params["QueryExecutionId"],
                "Status": {"State": state, "StateChangeReason": f"it is {state}"},
                "Statistics": {"DataScannedInBytes": 4096},
            }
        }

    def results(self, params: dict[str, Any]) -> dict[str, Any]:
        def row(values: list[str]) -> dict[str, Any]:
            return {"Data": [{"VarCharValue": v} if v else {} for v in values]}

        limit = int(self.asked[params["QueryExecutionId"]]["QueryString"].rpartition(" ")[2])
        rows = [row(COLUMNS), *(row([e[c] for c in COLUMNS]) for e in self.events[:limit])]
        start = int(params.get("NextToken", "0"))
        end = start + params["MaxResults"]
        more = {"NextToken": str(end)} if end < len(rows) else {}
        return {"ResultSet": {"Rows": rows[start:end]}, **more}

    def stop(self, params: dict[str, Any]) -> dict[str, Any]:
        self.stopped.append(params["QueryExecutionId"])
        return {}


@case("aws.athena.query", unseen=UNSEEN)
def more_pages_than_one_and_cut(world: World) -> Arranged:
    Athena(world.script("athena"), [event(n, error="AccessDenied" if n == 3 else "") for n in range(1300)])
    return Arranged(
        params={
            "question": "access_key",
            "value": "AKIAIOSFODNN7EXAMPLE",
            "since": "2026-01-01T00:00:00Z",
            "until": "2026-07-01T00:00:00Z",
            "table": "cloudtrail_logs",
            "limit": 1200,
        },
        snapshot=lambda: None,
        finds={
            "events": 1200,
            "cut": True,
            "bytes_scanned": 4096,
            "by_name": {"s3:GetObject": 1200},
            "source_ips": {"203.0.113.7": 1200},
            "errors": {"AccessDenied": 1},
            "regions": ["us-east-1"],
            "first_seen": "2026-01-01T00:00:00Z",
            "last_seen": "2026-01-01T00:19:59Z",
        },
    )
