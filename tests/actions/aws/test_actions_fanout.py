"""Work in many accounts and regions at once."""

from __future__ import annotations

import contextvars
import hashlib
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber
from hypothesis import given, settings
from hypothesis import strategies as st

from soar.actions.aws.access import AwsAccess
from soar.actions.aws.fanout import (
    Missed,
    OrgParams,
    Place,
    as_error,
    at_places,
    everywhere,
    list_accounts,
    list_places,
    told,
)
from soar.actions.contract import ActionContext, ActionServices
from soar.actions.errors import (
    ActionError,
    BadInput,
    PermissionMissing,
    Refused,
    TargetGone,
    Throttled,
    Unavailable,
)
from soar.simulated.base import AccountClients

A, B, C = "111122223333", "444455556666", "777788889999"
REGIONS = ("eu-west-1", "us-east-1")


class Vault:
    def keep(self, data: bytes) -> tuple[str, int]:
        return hashlib.sha256(data).hexdigest(), len(data)


def context(*services: object) -> ActionContext:
    return ActionContext(ActionServices(Vault(), *services), incident_id="inc-1", step_id="step-1")


def named(ctx: ActionContext) -> str:
    return f"{ctx.account}/{ctx.region}"


def missed(**fields: Any) -> Missed:
    return Missed(**{"account": A, "region": "us-east-1", "type": "Refused", "reason": "no", **fields})


def test_every_region_of_every_account_in_order() -> None:
    ctx = context()

    def work(own: ActionContext) -> str:
        time.sleep(0.02 if own.account == A else 0)
        assert (own.incident_id, own.step_id) == ("inc-1", "step-1")
        return named(own)

    reached = everywhere(ctx, [A, B, A], REGIONS, work)
    wanted = [f"{a}/{r}" for a in (A, B) for r in REGIONS]
    assert [v for _, v in reached.found] == wanted
    assert [str(p) for p, _ in reached.found] == wanted
    assert reached.missed == ()
    assert ctx.progress == "4 of 4 places done"
    assert (ctx.account, ctx.region) == ("", "")


def test_nowhere() -> None:
    assert everywhere(context(), [], REGIONS, named).found == ()


@settings(deadline=None, max_examples=40)
@given(
    st.dictionaries(st.tuples(st.sampled_from("ABCD"), st.sampled_from("rst")), st.booleans()),
    st.integers(1, 6),
)
def test_each_place_is_found_or_missed_once(places: dict[tuple[str, str], bool], at_once: int) -> None:
    def work(own: ActionContext) -> str:
        if places[own.account, own.region]:
            return named(own)
        raise Refused(f"not {named(own)}")

    all_ = [Place(*p) for p in places]
    reached = at_places(context(), all_, work, at_once=at_once)
    assert [p for p, _ in reached.found] == [p for p in all_ if places[p.account, p.region]]
    assert [m.place for m in reached.missed] == [p for p in all_ if not places[p.account, p.region]]
    assert all(v == str(p) for p, v in reached.found)
    assert all(m.reason == f"not {m.place}" for m in reached.missed)


def test_no_more_at_once_than_asked_for() -> None:
    lock, now, most = threading.Lock(), [0], [0]

    def work(own: ActionContext) -> None:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.01)
        with lock:
            now[0] -= 1

    everywhere(context(), [str(n) for n in range(10)], REGIONS, work, at_once=3)
    assert most[0] == 3


def test_a_denied_account_does_not_sink_the_others() -> None:
    ctx = context()

    def work(own: ActionContext) -> str:
        if own.account == B:
            raise PermissionMissing("no way in", permission="sts:AssumeRole", hint="trust us")
        return named(own)

    reached = everywhere(ctx, [A, B, C], ["us-east-1"], work)
    assert [p.account for p, _ in reached.found] == [A, C]
    (one,) = reached.missed
    assert (one.account, one.region, one.type) == (B, "us-east-1", "PermissionMissing")
    assert (one.permission, one.hint, one.retryable) == ("sts:AssumeRole", "trust us", False)
    assert ctx.progress == "3 of 3 places done, 1 not reached"


def test_an_error_of_aws_without_a_type_is_told_too() -> None:
    def work(own: ActionContext) -> str:
        raise ClientError({"Error": {"Code": "SomethingNew", "Message": "odd"}}, "Operation")

    (one,) = everywhere(context(), [A], ["us-east-1"], work).missed
    assert one.type == "Unexpected"
    assert "SomethingNew" in one.reason


def test_what_is_busy_is_tried_again() -> None:
    tries: list[str] = []

    def work(own: ActionContext) -> str:
        tries.append(own.account)
        own.keep_evidence("e", b"x", media_type="text/plain", source="s")
        if own.account == B or tries.count(A) < 3:
            raise Throttled("busy", retry_after=0.01)
        return named(own)

    ctx = context()
    reached = everywhere(ctx, [A, B], ["us-east-1"], work)
    assert [p.account for p, _ in reached.found] == [A]
    assert [(m.account, m.type, m.retryable) for m in reached.missed] == [(B, "Throttled", True)]
    assert (tries.count(A), tries.count(B)) == (3, 3)
    assert len([e for e in ctx.evidence if e.name == "e"]) == 2, (
        "of tries before the last one, nothing is kept"
    )


def test_what_is_wrong_is_not_tried_again() -> None:
    tries: list[str] = []

    def work(own: ActionContext) -> str:
        tries.append(own.account)
        raise BadInput("never")

    assert len(everywhere(context(), [A], ["us-east-1"], work).missed) == 1
    assert tries == [A]


def test_an_error_that_nobody_expected_ends_it() -> None:
    begun: list[str] = []

    def work(own: ActionContext) -> str:
        begun.append(own.account)
        if own.account == "1":
            raise ZeroDivisionError("a mistake of ours")
        time.sleep(0.01)
        return ""

    with pytest.raises(ZeroDivisionError):
        everywhere(context(), [str(n) for n in range(200)], ["us-east-1"], work, at_once=2)
    assert len(begun) < 100


def test_cancelled_ends_what_is_begun_and_begins_no_more() -> None:
    ctx = context()

    def work(own: ActionContext) -> str:
        ctx.cancelled.set()
        assert own.cancelled.is_set()
        return named(own)

    reached = everywhere(ctx, [str(n) for n in range(20)], ["us-east-1"], work, at_once=1)
    assert len(reached.found) == 1
    assert {m.type for m in reached.missed} == {"Cancelled"}
    assert len(reached.missed) == 19


def test_cancelled_while_it_waits_to_try_again() -> None:
    ctx = context()

    def work(own: ActionContext) -> str:
        threading.Timer(0.05, ctx.cancelled.set).start()
        raise Throttled("busy", retry_after=15)

    started = time.monotonic()
    (one,) = everywhere(ctx, [A], ["us-east-1"], work).missed
    assert one.type == "Throttled"
    assert time.monotonic() - started < 10


def test_out_of_time() -> None:
    def work(own: ActionContext) -> str:
        time.sleep(0.1)
        return named(own)

    reached = everywhere(context(), [str(n) for n in range(20)], ["us-east-1"], work, at_once=2, within=0.15)
    assert 1 <= len(reached.found) <= 6
    assert {m.type for m in reached.missed} == {"OutOfTime"}
    assert all(m.retryable for m in reached.missed)


def test_evidence_is_the_steps_in_order() -> None:
    ctx = context()

    def work(own: ActionContext) -> None:
        time.sleep(0.02 if own.account == A else 0)
        own.keep_evidence(named(own), b"x", media_type="text/plain", source="s")

    everywhere(ctx, [A, B], REGIONS, work)
    assert [e.name for e in ctx.evidence] == [f"{a}/{r}" for a in (A, B) for r in REGIONS]


def test_threads_know_the_activity() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="nothing")
    variable.set("the activity")
    reached = everywhere(context(), [A, B], REGIONS, lambda _: variable.get())
    assert {v for _, v in reached.found} == {"the activity"}


@pytest.mark.parametrize(
    ("all_", "kind"),
    [
        ([missed(retryable=True), missed(retryable=True)], Unavailable),
        ([missed(retryable=True), missed(permission="sts:AssumeRole", hint="trust us")], PermissionMissing),
        ([missed(type="TargetGone")], TargetGone),
        ([missed(type="BadInput"), missed(retryable=True)], Refused),
    ],
)
def test_the_one_error_for_many(all_: list[Missed], kind: type[ActionError]) -> None:
    error = as_error("nothing was written", all_)
    assert type(error) is kind
    assert error.message.startswith("nothing was written: ")
    assert f"{A}/us-east-1" in error.message
    assert error.hint


def test_places_with_one_reason_are_told_together() -> None:
    reason = "account {} does not let us in"
    all_ = [
        missed(account=str(n), reason=reason.format(n), type="PermissionMissing") for n in range(100, 108)
    ]
    text = told([*all_, missed(account=A, reason="something else")])
    assert text.count("does not let us in") == 1
    assert "and 3 more" in text
    assert "something else" in text
    assert told([missed(reason=str(n)) for n in range(20)], most=2).endswith("; and 18 more")
    assert told([]) == ""


@pytest.fixture
def organisation(account: AccountClients) -> list[str]:
    """Two active accounts of an organisation beside our own; a third one is closed."""
    org = account.client("organizations")
    org.create_organization(FeatureSet="ALL")
    made = [
        org.create_account(Email=f"{n}@kestrel.example", AccountName=n)["CreateAccountStatus"]["AccountId"]
        for n in ("shop", "lab", "closed")
    ]
    org.close_account(AccountId=made[2])
    return sorted(["123456789012", *made[:2]])


def test_the_active_accounts_of_the_organisation(organisation: list[str], endpoint: str) -> None:
    ctx = context(AwsAccess(endpoint_url=endpoint))
    assert list_accounts(ctx) == tuple(organisation)
    assert list_accounts(ctx, [B, A, B]) == (A, B)
    assert list_accounts(context(AwsAccess(endpoint_url=endpoint, accounts=(C, A)))) == (A, C)


def test_no_organisation(endpoint: str) -> None:
    access = AwsAccess(endpoint_url=endpoint)
    # The simulated account lists no accounts then; AWS has an error for it.
    for _ in range(2):
        with pytest.raises(Refused, match="no organisation") as raised:
            list_accounts(context(access))
        assert "SOAR_AWS_ACCOUNTS" in raised.value.hint
        stub = Stubber(access.client("organizations"))
        stub.add_client_error("list_accounts", "AWSOrganizationsNotInUseException", http_status_code=400)
        stub.activate()


def test_not_allowed_to_list_accounts(endpoint: str, enforce: Callable[[], None]) -> None:
    AccountClients(endpoint).client("iam").create_user(UserName="worker")
    key = AccountClients(endpoint).client("iam").create_access_key(UserName="worker")["AccessKey"]
    enforce()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
        patch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
        with pytest.raises(PermissionMissing) as raised:
            list_accounts(context(AwsAccess(endpoint_url=endpoint)))
    assert raised.value.permission == "organizations:ListAccounts"
    assert "delegated administrator" in raised.value.hint


def test_the_enabled_regions_of_each_account(organisation: list[str], endpoint: str) -> None:
    role = "arn:aws:iam::{account}:role/soar-responder"
    places, not_known = list_places(context(AwsAccess(endpoint_url=endpoint, role=role)), OrgParams())
    assert not_known == ()
    assert {p.account for p in places} == set(organisation)
    assert {"us-east-1", "eu-central-1"} <= {p.region for p in places if p.account == organisation[0]}
    some, _ = list_places(
        context(AwsAccess(endpoint_url=endpoint, role=role, regions=("eu-central-1", "xx-none-1"))),
        OrgParams(),
    )
    assert some == tuple(Place(a, "eu-central-1") for a in organisation)
    named_, _ = list_places(
        context(AwsAccess(endpoint_url=endpoint, role=role)),
        OrgParams(accounts=(A,), regions=("us-east-1", "eu-west-1", "us-east-1")),
    )
    assert named_ == (Place(A, "eu-west-1"), Place(A, "us-east-1"))


def test_accounts_without_a_way_in_are_told(organisation: list[str], endpoint: str) -> None:
    places, not_known = list_places(context(AwsAccess(endpoint_url=endpoint)), OrgParams())
    assert {p.account for p in places} == {"123456789012"}
    assert {m.account for m in not_known} == set(organisation) - {"123456789012"}
    assert {(m.type, m.region, m.permission) for m in not_known} == {
        ("PermissionMissing", "", "sts:AssumeRole")
    }
