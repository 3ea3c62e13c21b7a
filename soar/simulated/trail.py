"""CloudTrail's log files as CloudTrail writes them, for the simulated account, which records nothing itself."""

from __future__ import annotations

import gzip
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from pydantic import JsonValue

from soar.model.base import JsonObject, canonical_json, digest_of
from soar.simulated.base import AccountClients, iso

__all__ = ["TrailWriter"]


class _Caller(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def user_id(self) -> str: ...
    @property
    def arn(self) -> str: ...
    @property
    def access_key_id(self) -> str: ...


class TrailWriter:
    """Writes events into the bucket of a trail, in files by region and day.

    The format is CloudTrail's record (event version 1.11) in gzip-compressed files `{"Records": […]}`.
    """

    def __init__(self, clients: AccountClients, bucket: str, account: str, region: str) -> None:
        self._clients, self._bucket, self._account, self._region = clients, bucket, account, region

    def event(
        self,
        caller: _Caller | Mapping[str, JsonValue],
        service: str,
        name: str,
        at: datetime,
        source_ip: str,
        *,
        request: Mapping[str, JsonValue] | None = None,
        response: Mapping[str, JsonValue] | None = None,
        user_agent: str = "aws-cli/2.22.12 md/Botocore#2.22.12 ua/2.0",
        error_code: str = "",
        read_only: bool = False,
    ) -> JsonObject:
        """One record.

        Args:
            caller: A user of the company, or a whole `userIdentity`.
            service: The first label of the event source, `iam`.
        """
        if isinstance(caller, Mapping):
            identity = dict(caller)
        else:
            identity = {
                "type": "IAMUser",
                "principalId": caller.user_id,
                "arn": caller.arn,
                "accountId": self._account,
                "accessKeyId": caller.access_key_id,
                "userName": caller.name,
            }
        record: JsonObject = {
            "eventVersion": "1.11",
            "userIdentity": identity,
            "eventTime": iso(at),
            "eventSource": f"{service}.amazonaws.com",
            "eventName": name,
            "awsRegion": self._region,
            "sourceIPAddress": source_ip,
            "userAgent": user_agent,
            "requestParameters": dict(request) if request else None,
            "responseElements": dict(response) if response else None,
            "readOnly": read_only,
            "eventType": "AwsApiCall",
            "managementEvent": True,
            "recipientAccountId": self._account,
            "eventCategory": "Management",
        }
        if error_code:
            record["errorCode"] = error_code
        unique = digest_of([record["eventTime"], identity, name, record["requestParameters"]])
        record["requestID"] = _uuid(unique[32:])
        record["eventID"] = _uuid(unique)
        return record

    def write(self, events: Sequence[JsonObject]) -> list[str]:
        """Write records into the files of their days, as delivered five minutes after the last one in each.

        Returns:
            The keys of the files.
        """
        by_day: dict[str, list[JsonObject]] = {}
        for event in sorted(events, key=lambda e: str(e["eventTime"])):
            by_day.setdefault(str(event["eventTime"])[:10], []).append(event)
        keys = []
        for day, records in by_day.items():
            delivered = datetime.fromisoformat(str(records[-1]["eventTime"])) + timedelta(minutes=5)
            unique = digest_of(records)[:16]
            folder = f"AWSLogs/{self._account}/CloudTrail/{self._region}/{day.replace('-', '/')}"
            stamp = delivered.strftime("%Y%m%dT%H%MZ")
            key = f"{folder}/{self._account}_CloudTrail_{self._region}_{stamp}_{unique}.json.gz"
            body = gzip.compress(canonical_json({"Records": records}).encode(), mtime=0)
            self._clients.client("s3").put_object(
                Bucket=self._bucket,
                Key=key,
                Body=body,
                ContentType="application/json",
                ContentEncoding="gzip",
            )
            keys.append(key)
        return keys


def _uuid(text: str) -> str:
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:32]))
