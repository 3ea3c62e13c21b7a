"""Org-wide actions: several simulated accounts, into which the responder role is taken on."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.stub import Stubber
from temporalio.exceptions import ApplicationError

from soar.actions.aws.access import AwsAccess
from soar.actions.contract import ActionServices
from soar.model.base import JsonObject
from soar.simulated.base import AccountClients
from soar.simulated.company import Company, seed_company
from soar.simulated.scenario_key import LeakedKey
from soar.simulated.trail import TrailWriter

ROLE = "arn:aws:iam::{account}:role/soar-responder"
OWN, SHOP, LAB = "123456789012", "111122223333", "444455556666"
ALL = [OWN, SHOP, LAB]
EAST, WEST = "us-east-1", "eu-west-1"
BLOCK, SEARCH = "aws.org.block_ips", "aws.org.search_key_activity"
BAD = ["203.0.113.7", "198.51.100.0/24"]
ADDED = ["198.51.100.0/24", "203.0.113.7/32"]
KEY = "AKIAIOSFODNN7EXAMPLE"
NOW = datetime.now(UTC).replace(microsecond=0)


@dataclass
class Org:
    """Actions that reach three accounts, and clients of each to prepare it and look at it."""

    actions: Any
    endpoint: str

    def inside(self, account: str) -> AccountClients:
        sts = AccountClients(self.endpoint).client("sts")
        got = sts.assume_role(RoleArn=ROLE.format(account=account), RoleSessionName="test")["Credentials"]
        return AccountClients(
            self.endpoint, access_key_id=got["AccessKeyId"], secret_access_key=got["SecretAccessKey"]
        )

    def client(self, service: str, account: str, region: str) -> Any:
        """The client that the actions use for a place: the one that is kept."""
        access: AwsAccess = self.actions.access
        return access.client(service, account=account, region=region, incident=self.actions.incident_id)

    def deny(
        self, operation: str, account: str, region: str, code: str = "AccessDeniedException"
    ) -> Callable[[], None]:
        """An account answers an operation with an error, until the function that is returned is called."""

        def answer(model: Any, **_: Any) -> tuple[AWSResponse, dict[str, Any]] | None:
            if model.name != operation:
                return None
            error = {"Code": code, "Message": f"not authorized to perform: wafv2:{operation}"}
            meta = {"HTTPStatusCode": 400, "HTTPHeaders": {}, "RequestId": "denied"}
            return AWSResponse("", 400, {}, None), {"Error": error, "ResponseMetadata": meta}

        events = self.client("wafv2", account, region).meta.events
        events.register_first("before-call", answer)
        return lambda: events.unregister("before-call", answer)


@pytest.fixture
def org(make_actions: Callable[..., Any], endpoint: str) -> Org:
    actions = make_actions()
    actions.access = AwsAccess(endpoint_url=endpoint, role=ROLE)
    actions.access._session.events.register("before-call", actions.wire.sent)
    actions.access._session.events.register("after-call", actions.wire.answered)
    actions.services = ActionServices(actions.vault, actions.access)
    return Org(actions, endpoint)


def make_set(waf: Any, name: str = "bad", *, version: str = "IPV4", scope: str = "REGIONAL") -> None:
    waf.create_ip_set(
        Name=name,
        Scope=scope,
        IPAddressVersion=version,
        Addresses=["192.0.2.1/32"] if version == "IPV4" else ["2001:db8::/64"],
    )


def addresses(waf: Any, name: str = "bad", scope: str = "REGIONAL") -> list[str]:
    for found in waf.list_ip_sets(Scope=scope)["IPSets"]:
        if found["Name"] == name:
            return sorted(waf.get_ip_set(Name=name, Scope=scope, Id=found["Id"])["IPSet"]["Addresses"])
    return []


def rewrite(waf: Any, wanted: list[str]) -> None:
    (found,) = (s for s in waf.list_ip_sets(Scope="REGIONAL")["IPSets"] if s["Name"] == "bad")
    token = waf.get_ip_set(Name="bad", Scope="REGIONAL", Id=found["Id"])["LockToken"]
    waf.update_ip_set(Name="bad", Scope="REGIONAL", Id=found["Id"], Addresses=wanted, LockToken=token)


PLACES = [(SHOP, WEST), (SHOP, EAST), (OWN, EAST)]
"""Where the set is; the lab has none."""
SPOT = {"accounts": ALL, "regions": [EAST, WEST], "ip_set": "bad", "addresses": BAD}


@dataclass
class Sets:
    """The sets of the three accounts."""

    wafs: dict[tuple[str, str], Any]

    def seen(self) -> dict[tuple[str, str], list[str]]:
        return {place: addresses(waf) for place, waf in self.wafs.items()}


@pytest.fixture
def sets(org: Org) -> Sets:
    inside = {a: org.inside(a) for a in ALL}
    wafs = {(a, r): inside[a].client("wafv2", r) for a in ALL for r in (EAST, WEST)}
    for place in PLACES:
        make_set(wafs[place])
    return Sets(wafs)


def wanted(*blocked: tuple[str, str]) -> dict[tuple[str, str], list[str]]:
    there = {p: ["192.0.2.1/32"] for p in PLACES}
    return {
        (a, r): sorted([*there.get((a, r), []), *(ADDED if (a, r) in blocked else [])])
        for a in ALL
        for r in (EAST, WEST)
    }


async def test_accounts_are_apart(org: Org, sets: Sets) -> None:
    org.actions.account, org.actions.region = SHOP, WEST
    plan = await org.actions.plan("aws.waf.block_ips", ip_set="bad", addresses=BAD)
    assert plan.targets[0].account == SHOP
    await org.actions.apply(plan)
    assert sets.seen() == wanted((SHOP, WEST))
    assert (await org.actions.verify(plan)).verified
    assert (await org.actions.undo(plan)).restored
    assert sets.seen() == wanted()


async def test_blocked_everywhere_and_put_back(org: Org, sets: Sets) -> None:
    before = sets.seen()
    assert before == wanted()
    plan = await org.actions.plan(BLOCK, **SPOT)
    assert sets.seen() == before, "planning changes nothing"
    assert [(t.account, t.region) for t in plan.targets] == PLACES
    assert [c.target for c in plan.changes] == [t.uid for t in plan.targets]
    assert {c.after for c in plan.changes} == {f"in the set: {', '.join(ADDED)}"}
    assert "3 IP set(s) bad in 2 account(s)" in plan.summary
    assert any("No web ACL uses IP set bad in" in w for w in plan.warnings)
    assert not any("Not looked at" in w for w in plan.warnings), "to have no such set is no failure"
    assert not org.actions.look(plan).verified
    assert (await org.actions.plan(BLOCK, **SPOT)).content_digest == plan.content_digest

    done = await org.actions.apply(plan)
    assert sets.seen() == wanted(*PLACES)
    assert done.data == {"blocked_in": [f"{a}/{r}" for a, r in PLACES], "not_blocked_in": []}
    seen = await org.actions.verify(plan)
    assert seen.verified
    assert (await org.actions.plan(BLOCK, **SPOT)).changes == (), "already as wanted"
    await org.actions.apply(plan, attempt=2)
    assert sets.seen() == wanted(*PLACES), "twice is once"

    assert (await org.actions.undo(plan)).restored
    assert sets.seen() == before
    assert (await org.actions.undo(plan)).restored


async def test_what_was_there_before_stays_after(org: Org, sets: Sets) -> None:
    rewrite(sets.wafs[SHOP, EAST], ["192.0.2.1/32", "203.0.113.0/24"])
    rewrite(sets.wafs[SHOP, WEST], ["192.0.2.1/32", *ADDED])
    before = sets.seen()
    plan = await org.actions.plan(BLOCK, **SPOT)
    assert [(s["account"], s["region"], s["added"]) for s in plan.state["sets"]] == [
        (SHOP, EAST, ["198.51.100.0/24"]),
        (OWN, EAST, ADDED),
    ]
    assert len(plan.targets) == 3, "the plan lists the set that has them all as well"
    await org.actions.apply(plan)
    assert sets.seen()[SHOP, EAST] == ["192.0.2.1/32", "198.51.100.0/24", "203.0.113.0/24"]
    assert (await org.actions.undo(plan)).restored
    assert sets.seen() == before


async def test_a_try_that_died_is_gone_on_with(org: Org, sets: Sets) -> None:
    actions, spot = org.actions, {**SPOT, "accounts": [OWN, SHOP], "regions": [EAST], "at_once": 1}
    both = wanted((SHOP, EAST), (OWN, EAST))
    plan = await actions.plan(BLOCK, **spot)
    first = len(actions.wire.calls)
    await actions.apply(plan)
    middle = len(actions.wire.calls)
    assert (await actions.undo(plan)).restored
    applying, undoing = middle - first, len(actions.wire.calls) - middle
    assert applying > 10
    for point in range(1, applying + 1):
        actions.wire.crash_after = len(actions.wire.calls) + point
        with pytest.raises(ApplicationError, match="Crash"):
            await actions.apply(plan)
        actions.wire.crash_after = None
        await actions.apply(plan, attempt=2)
        assert sets.seen() == both, f"crashed after call {point}"
        assert (await actions.undo(plan)).restored
        assert sets.seen() == wanted()
    for point in range(1, undoing + 1):
        await actions.apply(plan)
        actions.wire.crash_after = len(actions.wire.calls) + point
        with pytest.raises(ApplicationError, match="Crash"):
            await actions.undo(plan)
        actions.wire.crash_after = None
        assert (await actions.undo(plan, attempt=2)).restored
        assert sets.seen() == wanted(), f"undo crashed after call {point}"


async def test_a_place_that_cannot_be_looked_at_is_told_and_left(org: Org, sets: Sets) -> None:
    org.deny("ListIPSets", SHOP, WEST)
    plan = await org.actions.plan(BLOCK, **SPOT)
    (warning,) = (w for w in plan.warnings if "Not looked at" in w)
    assert f"{SHOP}/{WEST}" in warning
    assert "wafv2:ListIPSets" in warning
    await org.actions.apply(plan)
    assert (await org.actions.verify(plan)).verified
    assert sets.seen() == wanted((SHOP, EAST), (OWN, EAST))


async def test_a_place_that_is_reached_again_is_asked_about_anew(org: Org, sets: Sets) -> None:
    allow = org.deny("ListIPSets", SHOP, WEST)
    plan = await org.actions.plan(BLOCK, **SPOT)
    allow()
    with pytest.raises(ApplicationError) as caught:
        await org.actions.apply(plan)
    assert caught.value.type == "Drifted"
    assert sets.seen() == wanted()


async def test_partly_done_is_told_named_and_undone(org: Org, sets: Sets) -> None:
    plan = await org.actions.plan(BLOCK, **SPOT)
    org.deny("UpdateIPSet", SHOP, WEST)
    done = await org.actions.apply(plan)
    assert sets.seen() == wanted((SHOP, EAST), (OWN, EAST))
    assert "2 IP set(s) bad have the addresses; 1 have not" in done.summary
    (missed,) = done.data["not_blocked_in"]
    assert (missed["account"], missed["region"], missed["permission"]) == (SHOP, WEST, "wafv2:UpdateIPSet")
    seen = org.actions.look(plan)
    assert not seen.verified
    assert f"{SHOP}/{WEST}: not in the set" in seen.seen
    assert f"{SHOP}/{EAST}" not in seen.seen
    # What is not verified is undone in doubt: here nothing is left to write where it is denied.
    assert (await org.actions.undo(plan, in_doubt=True)).restored
    assert sets.seen() == wanted()


async def test_what_is_busy_is_tried_anew_and_told_in_the_end(
    org: Org, sets: Sets, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("soar.actions.aws.fanout.PAUSES", (0.01, 0.01))
    plan = await org.actions.plan(BLOCK, **SPOT)
    calm = org.deny("UpdateIPSet", SHOP, WEST, "ThrottlingException")
    for attempt in (1, 2):
        with pytest.raises(ApplicationError, match=f"{SHOP}/{WEST}") as caught:
            await org.actions.apply(plan, attempt=attempt)
        assert caught.value.type == "Unavailable"
        assert not caught.value.non_retryable
        assert sets.seen() == wanted((SHOP, EAST), (OWN, EAST)), "the others have them"
    done = await org.actions.apply(plan, attempt=3)
    assert [m["region"] for m in done.data["not_blocked_in"]] == [WEST]
    calm()
    await org.actions.apply(plan, attempt=2)
    assert sets.seen() == wanted(*PLACES)


async def test_nothing_done_at_all_is_an_error(org: Org, sets: Sets) -> None:
    plan = await org.actions.plan(BLOCK, **SPOT)
    for place in PLACES:
        org.deny("UpdateIPSet", *place)
    with pytest.raises(ApplicationError, match="no IP set bad was written") as caught:
        await org.actions.apply(plan)
    assert caught.value.type == "PermissionMissing"
    assert sets.seen() == wanted()


async def test_a_set_that_cannot_be_put_back_is_named_and_the_others_are(org: Org, sets: Sets) -> None:
    plan = await org.actions.plan(BLOCK, **SPOT)
    await org.actions.apply(plan)
    allow = org.deny("UpdateIPSet", SHOP, WEST)
    with pytest.raises(ApplicationError, match=f"may still be in 1: {SHOP}/{WEST}") as caught:
        await org.actions.undo(plan)
    assert caught.value.type == "PermissionMissing"
    assert sets.seen() == wanted((SHOP, WEST))
    allow()
    assert (await org.actions.undo(plan, attempt=2)).restored
    assert sets.seen() == wanted()


async def test_verification_says_what_it_could_not_read(org: Org, sets: Sets) -> None:
    plan = await org.actions.plan(BLOCK, **SPOT)
    await org.actions.apply(plan)
    org.deny("GetIPSet", OWN, EAST)
    seen = org.actions.look(plan)
    assert not seen.verified
    assert f"could not be read: {OWN}/{EAST}" in seen.seen


async def test_what_somebody_else_took_out_is_not_undone(org: Org, sets: Sets) -> None:
    plan = await org.actions.plan(BLOCK, **SPOT)
    await org.actions.apply(plan)
    rewrite(sets.wafs[SHOP, WEST], ["192.0.2.1/32", ADDED[0]])
    with pytest.raises(ApplicationError, match=f"{SHOP}/{WEST}") as caught:
        await org.actions.undo(plan)
    assert caught.value.type == "Drifted"
    assert sets.seen()[SHOP, EAST] == wanted(*PLACES)[SHOP, EAST]


async def test_sets_of_the_other_version_are_told(org: Org, sets: Sets) -> None:
    make_set(sets.wafs[LAB, EAST], version="IPV6")
    plan = await org.actions.plan(BLOCK, **SPOT)
    assert len(plan.changes) == 3
    (warning,) = (w for w in plan.warnings if "Not looked at" in w)
    assert f"{LAB}/{EAST}" in warning
    assert "IPv6 only" in warning


@pytest.mark.parametrize(
    ("with_", "type_", "says"),
    [
        ({"addresses": ["10.1.2.3"]}, "Refused", "not an address on the internet"),
        ({"addresses": BAD, "never_block": ["203.0.113.0/24"]}, "Refused", "never blocked"),
        ({"addresses": ["203.0.113.7", "2001:db8::7"]}, "BadInput", "of both"),
        ({"addresses": BAD, "ip_set": "no-such-set"}, "TargetGone", "none of 6 accounts and regions"),
        ({"addresses": BAD, "accounts": ["12"]}, "BadInput", "accounts"),
        ({"addresses": BAD, "regions": ["evil.example/#"]}, "BadInput", "regions"),
        ({"addresses": BAD, "at_once": 0}, "BadInput", "at_once"),
    ],
)
async def test_what_is_refused(org: Org, sets: Sets, with_: JsonObject, type_: str, says: str) -> None:
    with pytest.raises(ApplicationError, match=says) as caught:
        await org.actions.plan(BLOCK, **{**SPOT, **with_})
    assert caught.value.type == type_


async def test_denied_everywhere_is_an_error_that_says_so(org: Org, sets: Sets) -> None:
    for account in ALL:
        for region in (EAST, WEST):
            org.deny("ListIPSets", account, region)
    with pytest.raises(ApplicationError, match="no IP set bad was found") as caught:
        await org.actions.plan(BLOCK, **SPOT)
    assert caught.value.type == "PermissionMissing"


async def test_more_than_a_plan_holds(org: Org, sets: Sets, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("soar.actions.aws.org_block.MOST", 5)
    with pytest.raises(ApplicationError, match="6 additions to 3 sets") as caught:
        await org.actions.plan(BLOCK, **SPOT)
    assert caught.value.type == "Refused"


async def test_a_cloudfront_set_is_one_of_an_account(org: Org) -> None:
    wafs = {a: org.inside(a).client("wafv2", EAST) for a in ALL}
    for account in (OWN, LAB):
        make_set(wafs[account], scope="CLOUDFRONT")
    plan = await org.actions.plan(BLOCK, **{**SPOT, "scope": "CLOUDFRONT", "regions": [WEST]})
    assert [s["account"] for s in plan.state["sets"]] == [LAB, OWN][:: 1 if LAB < OWN else -1]
    await org.actions.apply(plan)
    assert (await org.actions.verify(plan)).verified
    assert addresses(wafs[LAB], scope="CLOUDFRONT") == sorted(["192.0.2.1/32", *ADDED])
    assert (await org.actions.undo(plan)).restored


@pytest.fixture
def company(endpoint: str) -> Company:
    return seed_company(endpoint, now=NOW)


def shop_trail(org: Org, company: Company, key: str) -> None:
    """A trail in the shop's account that tells of one event of the key."""
    inside = org.inside(SHOP)
    inside.client("s3").create_bucket(Bucket="shop-trail")
    inside.client("cloudtrail").create_trail(Name="shop", S3BucketName="shop-trail", IsMultiRegionTrail=True)
    writer = TrailWriter(inside, "shop-trail", SHOP, WEST)
    identity = {"type": "IAMUser", "accessKeyId": key, "userName": "ci-deployer"}
    writer.write([writer.event(identity, "s3", "GetObject", NOW - timedelta(minutes=5), "203.0.113.99")])


async def test_the_log_files_of_all_accounts(org: Org, company: Company) -> None:
    attack = LeakedKey().seed(company)
    key = attack.facts["access_key_id"]
    shop_trail(org, company, key)
    found = await org.actions.read(
        SEARCH, access_key_id=key, accounts=ALL, regions=[WEST, EAST], lookback_hours=2
    )
    data = found.data
    assert data["searched"] == 2, "an account's log files are read once for all its regions"
    assert {(p["account"], p["way"], p["events"]) for p in data["places"]} == {
        (SHOP, "trail log files", 1),
        (OWN, "trail log files", 7),
    }
    assert data["events"] == 8
    assert data["by_name"]["s3:GetObject"] == 1
    assert data["source_ips"] == {attack.facts["source_ip"]: 7, "203.0.113.99": 1}
    assert data["created_access_keys"] == [
        {"access_key_id": attack.facts["created_key_id"], "user_name": attack.facts["created_key_user"]}
    ]
    assert {(m["account"], m["type"]) for m in data["not_reached"]} == {(LAB, "TargetGone")}
    assert (data["complete"], data["cut"]) == (False, False)
    assert f"{LAB}/" in found.summary
    names = [e.name for e in found.evidence]
    assert names == [f"cloudtrail-events-{SHOP}-{EAST}.json", f"cloudtrail-events-{OWN}-{EAST}.json"]
    kept = json.loads(org.actions.vault.kept[found.evidence[1].digest])
    assert len(kept) == 7


def recorded(name: str, minutes: int, ip: str) -> dict[str, Any]:
    event = {
        "eventID": f"{name}-{minutes}",
        "eventTime": f"{NOW - timedelta(minutes=minutes):%Y-%m-%dT%H:%M:%SZ}",
        "eventSource": "ec2.amazonaws.com",
        "eventName": name,
        "sourceIPAddress": ip,
        "userIdentity": {"accessKeyId": KEY},
    }
    return {"EventId": event["eventID"], "EventName": name, "CloudTrailEvent": json.dumps(event)}


PLACE_EVENTS: dict[tuple[str, str], list[dict[str, Any]]] = {
    (OWN, EAST): [recorded("ListUsers", 50, "192.0.2.1"), recorded("RunInstances", 40, "192.0.2.1")],
    (OWN, WEST): [],
    (SHOP, EAST): [],
    (SHOP, WEST): [recorded("RunInstances", 30, "192.0.2.2")],
}


def stubbed(org: Org, account: str, region: str) -> Stubber:
    stub = Stubber(org.client("cloudtrail", account, region))
    stub.activate()
    return stub


async def test_lookup_events_of_all_accounts_and_regions(org: Org) -> None:
    stubs = [stubbed(org, *place) for place in PLACE_EVENTS]
    for stub, events in zip(stubs, PLACE_EVENTS.values(), strict=True):
        stub.add_response("lookup_events", {"Events": events})
    spot = {"access_key_id": KEY, "accounts": [OWN, SHOP], "regions": [EAST, WEST]}
    found = await org.actions.read(SEARCH, **spot)
    for stub in stubs:
        stub.assert_no_pending_responses()
    data = found.data
    assert data["complete"] is True
    assert (data["searched"], data["events"], data["not_reached"]) == (4, 3, [])
    assert data["by_name"] == {"ec2:RunInstances": 2, "ec2:ListUsers": 1}
    assert [(p["account"], p["region"], p["events"]) for p in data["places"]] == [
        (SHOP, WEST, 1),
        (OWN, EAST, 2),
    ]
    assert datetime.fromisoformat(data["first_seen"]) == NOW - timedelta(minutes=50)
    assert datetime.fromisoformat(data["last_seen"]) == NOW - timedelta(minutes=30)
    assert len(found.evidence) == 2, "of places without an event, nothing is kept"


async def test_cut_and_denied_are_told(org: Org) -> None:
    for place, events in PLACE_EVENTS.items():
        stub = stubbed(org, *place)
        if place == (SHOP, WEST):
            stub.add_client_error("lookup_events", "AccessDeniedException", http_status_code=400)
            stub.add_client_error("describe_trails", "AccessDeniedException", http_status_code=400)
        else:
            stub.add_response("lookup_events", {"Events": events})
    spot = {"access_key_id": KEY, "accounts": [OWN, SHOP], "regions": [EAST, WEST], "limit": 1}
    found = await org.actions.read(SEARCH, **spot)
    data = found.data
    assert (data["complete"], data["cut"]) == (False, True)
    assert [(m["account"], m["region"], m["type"]) for m in data["not_reached"]] == [
        (SHOP, WEST, "PermissionMissing")
    ]
    assert data["not_reached_count"] == 1
    assert "1 or more event(s)" in found.summary
    assert "in 1 there is more than was read" in found.summary
    assert f"{SHOP}/{WEST}" in found.summary


async def test_nowhere_searched_is_an_error(org: Org) -> None:
    with pytest.raises(ApplicationError, match="no account could be searched") as caught:
        await org.actions.read(SEARCH, access_key_id=KEY, accounts=[LAB], regions=[EAST])
    assert caught.value.type == "TargetGone"
    with pytest.raises(ApplicationError, match="is not before until"):
        await org.actions.read(
            SEARCH, access_key_id=KEY, since=NOW.isoformat(), until=(NOW - timedelta(1)).isoformat()
        )
    with pytest.raises(ApplicationError) as caught:
        await org.actions.read(SEARCH, access_key_id="x'; --", accounts=[LAB])
    assert caught.value.type == "BadInput"


async def test_too_late_to_begin_is_told(org: Org, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("soar.actions.aws.org_search.WITHIN", 0.0)
    with pytest.raises(ApplicationError, match="OutOfTime") as caught:
        await org.actions.read(SEARCH, access_key_id=KEY, accounts=[LAB], regions=[EAST])
    assert caught.value.type == "Unavailable"
