"""What a principal did, as CloudTrail tells it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError
from pydantic import BaseModel, Field, model_validator

from soar.actions.aws.access import aws_errors, client
from soar.actions.aws.cloudtrail_logs import TrailFiles, find_trail
from soar.actions.contract import ActionContext, Params, action
from soar.actions.errors import BadInput, PermissionMissing, Unavailable
from soar.model.base import JsonObject, UtcTime, canonical_json
from soar.model.terms import Phase, Risk

__all__ = ["search_events"]

LOOKUP_PAUSE = 0.5
"""Seconds between two LookupEvents: the service allows two a second per account and region."""
LOOKUP_DAYS = 90
"""Days that LookupEvents reaches back."""
LOOKUP_PAGES = 200
"""Pages of 50 events that are read at most: by then 100 s have passed."""


class SearchParams(Params):
    """Whose events, and from when. All that is given must hold."""

    access_key_id: str = Field(
        default="", pattern=r"^([A-Z0-9]{16,128})?$", description="events signed with this key"
    )
    user_name: str = Field(default="", max_length=64, description="events of this IAM user")
    role_name: str = Field(default="", max_length=64, description="events of sessions of this role")
    source_ip: str = Field(default="", max_length=64, description="events from this address")
    since: UtcTime | None = Field(
        default=None, description="from this moment; default: `lookback_hours` before `until`"
    )
    until: UtcTime | None = Field(default=None, description="up to this moment; default: now")
    lookback_hours: float = Field(default=24, gt=0, le=24 * 366, description="hours to look back")
    limit: int = Field(default=2000, ge=1, le=20000, description="events at most")

    @model_validator(mode="after")
    def _something_to_search(self) -> SearchParams:
        if not (self.access_key_id or self.user_name or self.role_name or self.source_ip):
            raise ValueError("say whose events: access_key_id, user_name, role_name or source_ip")
        return self


class CreatedKey(BaseModel):
    """An access key that the principal made."""

    access_key_id: str
    user_name: str


class Events(BaseModel):
    """What was found.

    Args:
        way: `LookupEvents`, or `trail log files` where LookupEvents is not available.
        why: Why the log files were read.
        cut: There is more than was read.
        scanned: Events that were looked at.
        events: How many of them fit.
        by_name: Their number by `service:Event`, most frequent first; `source_ips` and `errors` likewise.
        created_access_keys: Keys that the principal made and that the events name, `created_users` and
            `created_roles` likewise; attempts that failed are not counted.
        assumed_roles: ARNs of roles that it took on.
    """

    summary: str
    way: str
    why: str = ""
    since: UtcTime
    until: UtcTime
    cut: bool
    scanned: int
    events: int
    by_name: dict[str, int]
    source_ips: dict[str, int]
    user_agents: list[str]
    regions: list[str]
    errors: dict[str, int]
    first_seen: UtcTime | None = None
    last_seen: UtcTime | None = None
    created_access_keys: list[CreatedKey] = []
    created_users: list[str] = []
    created_roles: list[str] = []
    assumed_roles: list[str] = []


@dataclass
class _Found:
    way: str
    why: str = ""
    cut: bool = False
    scanned: int = 0
    events: list[JsonObject] = field(default_factory=list)


@action(
    "aws.cloudtrail.search_events",
    risk=Risk.READ,
    phase=Phase.IDENTIFICATION,
    permissions=(
        "cloudtrail:LookupEvents",
        "cloudtrail:DescribeTrails",
        "s3:ListBucket",
        "s3:GetObject",
        "sts:GetCallerIdentity",
    ),
    plan_timeout=300,
)
def search_events(ctx: ActionContext, params: SearchParams) -> Events:
    """Search CloudTrail for what a key, a user, a role or an address did.

    Asks LookupEvents (management events of 90 days, in the step's region, two calls a second). Where that is denied,
    not offered by the endpoint, or the time lies further back, it reads the log files of the account's trail from its
    bucket, in all regions of the trail. The result says which way it went and whether there is more. All events found
    are kept as evidence.

    Pre-condition: events of at least one kind of identity are asked for. Nothing is changed.

    Pitfalls: events come up to 15 minutes late, so look again before closing. LookupEvents knows one region at a time
    (global services like IAM are in us-east-1) and no data events. A trail under a KMS key needs kms:Decrypt besides.
    The simulated account has no LookupEvents, so there the log files are read; LookupEvents was shown on recorded
    replies only.

    Example::

        - id: search
          name: What did the key do?
          do: aws.cloudtrail.search_events
          with:
            access_key_id: "{{ alert.actor.access_key_id }}"
            lookback_hours: 72
    """
    until = params.until or ctx.now
    since = params.since or until - timedelta(hours=params.lookback_hours)
    if since >= until:
        raise BadInput(f"since ({since:%Y-%m-%d %H:%M}) is not before until ({until:%Y-%m-%d %H:%M})")
    found = _search(ctx, params, since, until)
    found.events.sort(key=lambda e: (str(e.get("eventTime")), str(e.get("eventID"))))
    ctx.keep_evidence(
        "cloudtrail-events.json",
        canonical_json(found.events).encode(),
        media_type="application/json",
        source="cloudtrail:LookupEvents" if found.way == "LookupEvents" else "s3:GetObject",
    )
    return _digest(found, since, until)


def _search(ctx: ActionContext, params: SearchParams, since: datetime, until: datetime) -> _Found:
    if since < ctx.now - timedelta(days=LOOKUP_DAYS):
        why = f"the search reaches back more than {LOOKUP_DAYS} days"
    else:
        try:
            return _lookup(ctx, params, since, until)
        except ClientError as error:
            if not _not_offered(error):
                raise
            why = "this endpoint does not offer LookupEvents"
        except PermissionMissing as error:
            why = f"{error.permission} is denied"
    found = _Found("trail log files", why)
    files = TrailFiles(ctx, find_trail(ctx), since, until)
    for event in files.events():
        found.scanned += 1
        if _fits(event, params, since, until):
            if len(found.events) >= params.limit:
                found.cut = True
                break
            found.events.append(event)
    found.cut = found.cut or files.cut
    return found


def _not_offered(error: ClientError) -> bool:
    """Whether the endpoint does not know the operation. AWS' own errors carry a name; a bare status is no AWS error."""
    code = str(error.response.get("Error", {}).get("Code", ""))
    return code.isdecimal() or code in {"UnknownOperationException", "InvalidAction", "NotImplemented"}


def _lookup(ctx: ActionContext, params: SearchParams, since: datetime, until: datetime) -> _Found:
    found = _Found("LookupEvents")
    for number, page in enumerate(_lookup_pages(ctx, params, since, until)):
        for event in page:
            found.scanned += 1
            if _fits(event, params, since, until):
                if len(found.events) >= params.limit:
                    found.cut = True
                    return found
                found.events.append(event)
        ctx.report(f"{found.scanned} events read, {len(found.events)} fit")
        if number + 1 >= LOOKUP_PAGES or not ctx.wait(LOOKUP_PAUSE):
            found.cut = True
            return found
    return found


def _lookup_pages(
    ctx: ActionContext, params: SearchParams, since: datetime, until: datetime
) -> Iterator[list[JsonObject]]:
    arguments: dict[str, Any] = {"StartTime": since, "EndTime": until, "MaxResults": 50}
    # The service filters by one attribute; the rest is filtered here.
    attribute = (
        ("AccessKeyId", params.access_key_id) if params.access_key_id else ("Username", params.user_name)
    )
    if attribute[1]:
        arguments["LookupAttributes"] = [{"AttributeKey": attribute[0], "AttributeValue": attribute[1]}]
    while True:
        try:
            with aws_errors("cloudtrail:LookupEvents"):
                reply = client(ctx, "cloudtrail").lookup_events(**arguments)
        except Unavailable as error:
            if isinstance(error.__cause__, ClientError) and _not_offered(error.__cause__):
                raise error.__cause__ from None
            raise
        yield [_parsed(entry) for entry in reply.get("Events", [])]
        if not reply.get("NextToken"):
            return
        arguments["NextToken"] = reply["NextToken"]


def _parsed(entry: dict[str, Any]) -> JsonObject:
    event: JsonObject = json.loads(entry["CloudTrailEvent"])
    return event


def _identity(event: JsonObject) -> dict[str, Any]:
    identity = event.get("userIdentity")
    return identity if isinstance(identity, dict) else {}


def _at(event: JsonObject) -> datetime:
    return datetime.fromisoformat(str(event.get("eventTime")))


def _fits(event: JsonObject, params: SearchParams, since: datetime, until: datetime) -> bool:
    identity = _identity(event)
    issuer = (identity.get("sessionContext") or {}).get("sessionIssuer") or {}
    wanted = (
        (params.access_key_id, identity.get("accessKeyId")),
        (params.user_name, identity.get("userName")),
        (params.role_name, issuer.get("userName")),
        (params.source_ip, event.get("sourceIPAddress")),
    )
    return all(not want or want == is_ for want, is_ in wanted) and since <= _at(event) <= until


def _counted(values: Iterator[str]) -> dict[str, int]:
    ordered = sorted(Counter(v for v in values if v).items(), key=lambda item: (-item[1], item[0]))
    return dict(ordered)


def _created(events: list[JsonObject], name: str, part: str, key: str) -> list[dict[str, Any]]:
    found = []
    for event in events:
        response = event.get("responseElements")
        if event.get("eventName") == name and not event.get("errorCode") and isinstance(response, dict):
            made = response.get(part)
            if isinstance(made, dict) and made.get(key):
                found.append(made)
    return found


def _assumed(events: list[JsonObject]) -> list[str]:
    arns = set()
    for event in events:
        request = event.get("requestParameters")
        if (
            event.get("eventName") == "AssumeRole"
            and not event.get("errorCode")
            and isinstance(request, dict)
        ):
            arns.add(str(request.get("roleArn", "")))
    return sorted(arns - {""})


def _digest(found: _Found, since: datetime, until: datetime) -> Events:
    events = found.events
    by_name = _counted(
        f"{str(e.get('eventSource', '')).removesuffix('.amazonaws.com')}:{e.get('eventName', '')}"
        for e in events
    )
    ips = _counted(str(e.get("sourceIPAddress") or "") for e in events)
    keys = _created(events, "CreateAccessKey", "accessKey", "accessKeyId")
    users = _created(events, "CreateUser", "user", "userName")
    roles = _created(events, "CreateRole", "role", "roleName")
    summary = f"{len(events)}{' or more' if found.cut else ''} event(s) of {len(by_name)} kind(s)"
    summary += f" from {len(ips)} address(es)" if events else f" since {since:%Y-%m-%d %H:%M} UTC"
    if keys or users or roles:
        summary += f"; made {len(keys)} access key(s), {len(users)} user(s), {len(roles)} role(s)"
    return Events(
        summary=f"{summary} (by {found.way})",
        way=found.way,
        why=found.why,
        since=since,
        until=until,
        cut=found.cut,
        scanned=found.scanned,
        events=len(events),
        by_name=by_name,
        source_ips=ips,
        user_agents=sorted({str(e["userAgent"]) for e in events if e.get("userAgent")})[:50],
        regions=sorted({str(e["awsRegion"]) for e in events if e.get("awsRegion")}),
        errors=_counted(str(e.get("errorCode") or "") for e in events),
        first_seen=_at(events[0]) if events else None,
        last_seen=_at(events[-1]) if events else None,
        created_access_keys=[
            CreatedKey(access_key_id=str(k["accessKeyId"]), user_name=str(k.get("userName", "")))
            for k in keys
        ],
        created_users=sorted({str(u["userName"]) for u in users}),
        created_roles=sorted({str(r["roleName"]) for r in roles}),
        assumed_roles=_assumed(events),
    )
