"""A case of `aws.logs.query`, and a Logs Insights in memory."""

from __future__ import annotations

from typing import Any

from case import Arranged, World, case
from scripted import Scripted

UNSEEN = {
    "logs:DescribeQueries": "only by a try after a crash",
    "logs:StopQuery": "only when the step is cancelled",
}
ROW = {"@timestamp": "2026-01-31 10:00:00.000", "@message": "login from 203.0.113.7", "@ptr": "abc"}


class Insights:
    """Answers every query with rows of ours, as many as it asks for.

    Args:
        looks: What a query's status is, look for look; the last one stays.
    """

    def __init__(self, service: Scripted, rows: int, *looks: str) -> None:
        self.rows, self.looks = rows, looks or ("Running", "Complete")
        self.asked: dict[str, dict[str, Any]] = {}
        self.left: dict[str, list[str]] = {}
        self.stopped: list[str] = []
        service.operation("StartQuery")(self.start)
        service.operation("GetQueryResults")(self.results)
        service.operation("DescribeQueries")(self.listed)
        service.operation("StopQuery")(self.stop)

    def start(self, params: dict[str, Any]) -> dict[str, Any]:
        number = f"q-{len(self.asked)}"
        self.asked[number], self.left[number] = params, list(self.looks)
        return {"queryId": number}

    def results(self, params: dict[str, Any]) -> dict[str, Any]:
        left = self.left[params["queryId"]]
        status = left.pop(0) if len(left) > 1 else left[0]
        text = self.asked[params["queryId"]]["queryString"]
        limit = int(text.partition("| limit ")[2].split("\n")[0])
        row = [{"field": k, "value": v} for k, v in ROW.items()]
        return {
            "status": status,
            "results": [row] * min(limit, self.rows) if status == "Complete" else [],
            "statistics": {"recordsScanned": 50.0, "bytesScanned": 9000.0},
        }

    def listed(self, params: dict[str, Any]) -> dict[str, Any]:
        return {
            "queries": [
                {"queryId": number, "queryString": given["queryString"], "status": self.left[number][0]}
                for number, given in self.asked.items()
            ]
        }

    def stop(self, params: dict[str, Any]) -> dict[str, Any]:
        self.stopped.append(params["queryId"])
        return {"success": True}


@case("aws.logs.query", unseen=UNSEEN)
def more_than_asked_for(world: World) -> Arranged:
    Insights(world.script("logs"), 30)
    return Arranged(
        params={
            "log_groups": ["/shop/frontend"],
            "where": [
                {"field": "client_ip", "value": "203.0.113.7"},
                {"field": "user", "how": "not_equal", "value": "probe"},
                {"field": "@message", "how": "contains", "value": "login"},
            ],
            "since": "2026-01-31T00:00:00Z",
            "until": "2026-02-01T00:00:00Z",
            "limit": 2,
        },
        snapshot=lambda: None,
        finds={
            "events": 2,
            "cut": True,
            "records_scanned": 50,
            "bytes_scanned": 9000,
            "query": "fields @timestamp, @message\n"
            '| filter `client_ip` = "203.0.113.7"\n'
            '| filter `user` != "probe"\n'
            '| filter strcontains(@message, "login")\n'
            "| sort @timestamp asc\n"
            "| limit 3",
            "sample": [{k: v for k, v in ROW.items() if k != "@ptr"}] * 2,
        },
    )
