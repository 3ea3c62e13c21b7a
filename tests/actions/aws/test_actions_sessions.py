"""The responder role's sessions in accounts, and the turns that services' rates give."""

from __future__ import annotations

import re
import threading
import urllib.parse
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soar.actions.aws.access import AwsAccess, aws_errors
from soar.actions.aws.sessions import RATES, Bucket, Lru, Rate, Rates, session_name, session_tags
from soar.actions.errors import BadInput, PermissionMissing, Refused, Throttled

ROLE = "arn:aws:iam::{account}:role/soar-responder"
THERE, ELSEWHERE = "111122223333", "444455556666"
XML = 'xmlns="https://sts.amazonaws.com/doc/2011-06-15/"'


class Sts:
    """An STS that says what it was asked, and answers as told.

    Args:
        denies: Refuse AssumeRole with this message; empty: give credentials.
        lasts: Seconds that the credentials last.
    """

    def __init__(self) -> None:
        self.denies, self.lasts, self.arn = "", 3600, "arn:aws:sts::999988887777:assumed-role/worker/pod"
        self.asked: list[dict[str, str]] = []
        self.used: list[str] = []
        sts = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                form = dict(urllib.parse.parse_qsl(body))
                status, text = sts.answer(form, self.headers.get("Authorization", ""))
                data = text.encode()
                self.send_response(status)
                self.send_header("Content-Type", "text/xml")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                """Say nothing on the terminal."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def answer(self, form: dict[str, str], signed: str) -> tuple[int, str]:
        action = form["Action"]
        key = re.search(r"Credential=([^/]+)", signed)
        self.used.append(f"{action} {key.group(1) if key else ''}")
        if action == "GetCallerIdentity":
            account = self.arn.split(":")[4]
            result = f"<Arn>{self.arn}</Arn><UserId>U</UserId><Account>{account}</Account>"
        else:
            self.asked.append(form)
            if self.denies:
                error = f"<Error><Code>AccessDenied</Code><Message>{self.denies}</Message></Error>"
                return 403, f"<ErrorResponse {XML}>{error}</ErrorResponse>"
            ends = datetime.now(UTC) + timedelta(seconds=self.lasts)
            result = (
                f"<Credentials><AccessKeyId>ASIA{len(self.asked)}</AccessKeyId><SecretAccessKey>s</SecretAccessKey>"
                f"<SessionToken>t</SessionToken><Expiration>{ends:%Y-%m-%dT%H:%M:%SZ}</Expiration></Credentials>"
            )
        return 200, f"<{action}Response {XML}><{action}Result>{result}</{action}Result></{action}Response>"


@pytest.fixture
def sts(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sts]:
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "OWN")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "own")
    made = Sts()
    thread = threading.Thread(target=made.server.serve_forever, daemon=True)
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join()


def called(access: AwsAccess, account: str, incident: str = "inc-1") -> None:
    access.client("sts", account=account, incident=incident).get_caller_identity()


def test_what_is_asked_of_sts(sts: Sts) -> None:
    access = AwsAccess(role=ROLE, endpoint_url=sts.url, external_id="kestrel-42")
    called(access, THERE, "incident/leaked-key/AKIA1")
    (asked,) = sts.asked
    assert asked["RoleArn"] == f"arn:aws:iam::{THERE}:role/soar-responder"
    assert asked["RoleSessionName"].startswith("incident-leaked-key-AKIA1-")
    assert asked["ExternalId"] == "kestrel-42"
    assert asked["DurationSeconds"] == "3600"
    assert (asked["Tags.member.1.Key"], asked["Tags.member.1.Value"]) == (
        "soar:incident",
        "incident/leaked-key/AKIA1",
    )
    assert "Tags.member.2.Key" not in asked
    assert sts.used[-1] == "GetCallerIdentity ASIA1", "the call was made with the role's credentials"


def test_without_external_id_or_incident_none_is_sent(sts: Sts) -> None:
    called(AwsAccess(role=ROLE, endpoint_url=sts.url), THERE, "")
    assert "ExternalId" not in sts.asked[0]
    assert not [k for k in sts.asked[0] if k.startswith("Tags")]
    assert sts.asked[0]["RoleSessionName"] == "soar-responder"


def test_one_session_for_each_account_and_incident(sts: Sts) -> None:
    access = AwsAccess(role=ROLE, endpoint_url=sts.url)
    for _ in range(2):
        for account, incident in ((THERE, "inc-1"), (ELSEWHERE, "inc-1"), (THERE, "inc-2")):
            access.client("cloudtrail", account=account, incident=incident)
            access.client("iam", account=account, incident=incident, region="eu-west-1")
            called(access, account, incident)
    assert [(a["RoleArn"].split(":")[4], a["RoleSessionName"]) for a in sts.asked] == [
        (THERE, "inc-1"),
        (ELSEWHERE, "inc-1"),
        (THERE, "inc-2"),
    ]
    for incident in ("inc-1", "inc-2"):
        kept = access.client("iam", account=THERE, incident=incident)
        assert kept is access.client("iam", account=THERE, incident=incident)


def test_many_threads_take_one_session(sts: Sts) -> None:
    access = AwsAccess(role=ROLE, endpoint_url=sts.url)
    gate, seen = threading.Barrier(8), []

    def one() -> None:
        gate.wait()
        seen.append(access.client("sts", account=THERE, incident="inc-1"))

    threads = [threading.Thread(target=one) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(sts.asked) == 1
    assert len({id(s) for s in seen}) == 1


def test_a_session_is_renewed_before_it_ends(sts: Sts) -> None:
    access = AwsAccess(role=ROLE, endpoint_url=sts.url)
    sts.lasts = 300
    called(access, THERE)
    called(access, THERE)
    sts.lasts = 3600
    called(access, THERE)
    called(access, THERE)
    keys = [u for u in sts.used if u.startswith("GetCallerIdentity ASIA")]
    assert keys[-1] == keys[-2], "the last one lasts"
    assert len(sts.asked) > 1
    assert {a["RoleSessionName"] for a in sts.asked} == {"inc-1"}


def test_a_role_that_lets_us_in_no_more_is_told_as_such(sts: Sts) -> None:
    access = AwsAccess(role=ROLE, endpoint_url=sts.url)
    sts.lasts = 300
    called(access, THERE)
    sts.denies = "User: x is not authorized to perform: sts:AssumeRole on resource: y"
    with pytest.raises(PermissionMissing, match=THERE) as raised, aws_errors("iam:GetUser"):
        called(access, THERE)
    assert raised.value.permission == "sts:AssumeRole"


@pytest.mark.parametrize(
    ("external_id", "said"),
    [("kestrel-42", "asks for the external id that SOAR_AWS_EXTERNAL_ID holds"), ("", "none is set")],
)
def test_a_missing_trust_says_what_to_put_right(sts: Sts, external_id: str, said: str) -> None:
    sts.denies = "User: arn:x is not authorized to perform: sts:AssumeRole on resource: y"
    access = AwsAccess(role=ROLE, endpoint_url=sts.url, external_id=external_id)
    with pytest.raises(PermissionMissing) as raised:
        access.client("iam", account=THERE, incident="inc-1")
    error = raised.value
    assert error.permission == "sts:AssumeRole"
    assert f"arn:aws:iam::{THERE}:role/soar-responder" in error.message
    assert "arn:aws:sts::999988887777:assumed-role/worker/pod" in error.hint
    assert said in error.hint
    assert "kestrel-42" not in f"{error.message}{error.hint}"
    sts.denies = ""
    called(access, THERE)


def test_a_trust_without_tags_says_so(sts: Sts) -> None:
    sts.denies = "User: arn:x is not authorized to perform: sts:TagSession on resource: y"
    with pytest.raises(PermissionMissing) as raised:
        AwsAccess(role=ROLE, endpoint_url=sts.url).client("iam", account=THERE, incident="inc-1")
    assert raised.value.permission == "sts:TagSession"
    assert "trust policy" in raised.value.hint


@pytest.mark.parametrize("template", [ROLE, "arn:{partition}:iam::{account}:role/soar-responder"])
@pytest.mark.parametrize("partition", ["aws", "aws-cn", "aws-us-gov"])
def test_the_role_is_in_the_workers_partition(sts: Sts, template: str, partition: str) -> None:
    sts.arn = f"arn:{partition}:sts::999988887777:assumed-role/worker/pod"
    called(AwsAccess(role=template, endpoint_url=sts.url), THERE)
    assert sts.asked[0]["RoleArn"] == f"arn:{partition}:iam::{THERE}:role/soar-responder"


def test_sts_of_the_region_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setenv("AWS_STS_REGIONAL_ENDPOINTS", "legacy")
    access = AwsAccess(default_region="eu-central-1")
    assert access.client("sts").meta.endpoint_url == "https://sts.eu-central-1.amazonaws.com"
    assert access.client("sts", region="us-east-1").meta.endpoint_url == "https://sts.us-east-1.amazonaws.com"
    assert access._sessions._sts().meta.endpoint_url == "https://sts.eu-central-1.amazonaws.com"


def test_hooks_of_the_workers_session_see_accounts_and_not_how_we_get_in(sts: Sts) -> None:
    access = AwsAccess(role=ROLE, endpoint_url=sts.url)
    seen: list[str] = []
    access._session.events.register("before-call", lambda model, **_: seen.append(model.name))
    called(access, THERE)
    assert seen == ["GetCallerIdentity"]
    assert [u.split()[0] for u in sts.used] == ["GetCallerIdentity", "AssumeRole", "GetCallerIdentity"]


def test_s3_of_an_account_has_what_s3_of_the_worker_has(sts: Sts) -> None:
    access = AwsAccess(role=ROLE, endpoint_url=sts.url)
    assert hasattr(access.client("s3"), "upload_fileobj")
    assert hasattr(access.client("s3", account=THERE, incident="inc-1"), "upload_fileobj")


def test_clients_that_fall_out_are_closed_and_still_end_their_work(sts: Sts) -> None:
    access = AwsAccess(role=ROLE, endpoint_url=sts.url, most_clients=2)
    first = access.client("sts", account=THERE, incident="inc-1")
    first.get_caller_identity()
    manager = first._endpoint.http_session._manager
    assert len(manager.pools) == 1
    access.client("sts", account=THERE, incident="inc-2")
    access.client("sts", account=THERE, incident="inc-3")
    assert len(access._clients) == 2
    assert len(manager.pools) == 0, "its connections are closed"
    assert first.get_caller_identity()["Arn"], "who still holds it can go on"
    assert access.client("sts", account=THERE, incident="inc-1") is not first


@pytest.mark.parametrize(
    "account", ["1:role/evil", "12345678901", "{account}", "１２３４５６７８９０１２", "a" * 5000]
)
def test_no_account(sts: Sts, account: str) -> None:
    with pytest.raises(BadInput, match="no AWS account"):
        AwsAccess(role=ROLE, endpoint_url=sts.url).client("iam", account=account)
    assert not sts.used


def test_no_region(sts: Sts) -> None:
    with pytest.raises(BadInput, match="no AWS region"):
        AwsAccess(endpoint_url=sts.url).client("iam", region="evil.example/#")


def test_only_accounts_that_may_be_touched(sts: Sts) -> None:
    access = AwsAccess(role=ROLE, endpoint_url=sts.url, accounts=(THERE,))
    called(access, THERE)
    with pytest.raises(Refused, match=ELSEWHERE) as raised:
        access.client("iam", account=ELSEWHERE)
    assert "SOAR_AWS_ACCOUNTS" in raised.value.hint
    called(access, "999988887777")
    assert sts.asked[-1]["RoleArn"] == "arn:aws:iam::999988887777:role/soar-responder", "the own one always"


@given(st.text(max_size=300))
def test_every_incident_has_a_session_name(incident: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_+=,.@-]{2,64}", session_name(incident))
    assert session_name(incident) == session_name(incident)


@given(st.text(max_size=100), st.text(max_size=100))
def test_two_incidents_have_two_names(one: str, other: str) -> None:
    assert (session_name(one) == session_name(other)) == (one == other)


def test_a_good_id_is_its_name() -> None:
    assert session_name("inc-2031") == "inc-2031"
    assert session_name("incident/a/b") != session_name("incident-a-b")


@given(st.text(max_size=400))
def test_tags_are_such_as_aws_takes(incident: str) -> None:
    for tag in session_tags(incident):
        assert 0 < len(tag["Value"]) <= 256
        assert all(c.isalnum() or c in " _.:/=+-@" for c in tag["Value"])
    assert bool(session_tags(incident)) == bool(incident)


RATE = st.builds(Rate, st.just("s"), st.just(("",)), st.floats(0.2, 50, allow_nan=False), st.integers(1, 20))


@given(RATE, st.lists(st.floats(0, 2, allow_nan=False), min_size=1, max_size=80), st.floats(0, 10))
def test_a_bucket_never_gives_more_than_its_rate(rate: Rate, gaps: list[float], patience: float) -> None:
    bucket, now, turns = Bucket(rate), 1000.0, []
    for gap in gaps:
        now += gap
        wait = bucket.take(now, patience)
        assert wait >= 0
        if wait <= patience:
            turns.append(now + wait)
    assert turns == sorted(turns), "who comes first goes first"
    for i, first in enumerate(turns):
        for count, last in enumerate(turns[i:], start=1):
            assert count <= rate.burst + (last - first) * rate.per_second + 1e-3


@given(RATE)
def test_a_rested_bucket_gives_its_burst_at_once(rate: Rate) -> None:
    bucket = Bucket(rate)
    assert [bucket.take(5.0, 0.0) for _ in range(rate.burst)] == [0.0] * rate.burst
    assert bucket.take(5.0, 0.0) > 0
    later = 5.0 + (rate.burst + 1) / rate.per_second
    assert [bucket.take(later, 0.0) for _ in range(rate.burst)] == [0.0] * rate.burst


@given(RATE, st.integers(1, 200))
def test_a_turn_that_is_too_far_is_not_taken(rate: Rate, asked: int) -> None:
    bucket, patience = Bucket(rate), 1.0
    waits = [bucket.take(0.0, patience) for _ in range(asked)]
    # Whoever is turned away takes nothing, so the wait that is told does not grow with those who ask.
    assert max(waits) <= patience + 1 / rate.per_second + 1e-3


class Clock:
    def __init__(self) -> None:
        self.now, self.slept = 0.0, 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept += seconds


def test_turns_are_of_an_account_a_region_and_a_service() -> None:
    clock = Clock()
    rates = Rates(clock=lambda: clock.now, sleep=clock.sleep)
    for account in (THERE, ELSEWHERE):
        for region in ("us-east-1", "eu-west-1"):
            rates.turn(account, region, "cloudtrail", "LookupEvents")
    rates.turn(THERE, "us-east-1", "cloudtrail", "DescribeTrails")
    rates.turn(THERE, "us-east-1", "ec2", "DescribeInstances")
    assert clock.slept == 0
    rates.turn(THERE, "us-east-1", "cloudtrail", "LookupEvents")
    assert clock.slept == pytest.approx(0.5)
    for region in ("us-east-1", "eu-west-1"):
        rates.turn(THERE, region, "organizations", "AttachPolicy")
    assert clock.slept == pytest.approx(1.5), "a global service counts all regions together"
    for operation in ("CreateIPSet", "UpdateIPSet"):
        rates.turn(THERE, "us-east-1", "wafv2", operation)
    assert clock.slept == pytest.approx(1.5), "WAF counts each operation by itself"
    rates.turn(THERE, "us-east-1", "wafv2", "UpdateIPSet")
    assert clock.slept == pytest.approx(2.5)


def test_a_long_queue_is_told_and_not_waited_for() -> None:
    rates = Rates((Rate("iam", ("",), 0.1, 1),), clock=lambda: 0.0, sleep=lambda _: None)
    rates.turn(THERE, "", "iam", "GetUser")
    rates.turn(THERE, "", "iam", "GetUser")
    with pytest.raises(Throttled, match=THERE) as raised:
        rates.turn(THERE, "", "iam", "GetUser")
    assert raised.value.retry_after == 20
    assert raised.value.retryable


def test_calls_take_turns(sts: Sts) -> None:
    clock = Clock()
    rates = Rates((Rate("sts", ("GetCaller",), 2, 1),), clock=lambda: clock.now, sleep=clock.sleep)
    access = AwsAccess(role=ROLE, endpoint_url=sts.url, rates=rates)
    for _ in range(3):
        called(access, THERE)
    called(access, THERE, "inc-2")
    assert clock.slept == pytest.approx(1.5), "incidents share what an account takes"
    called(access, ELSEWHERE)
    assert clock.slept == pytest.approx(1.5)


def test_the_published_rates() -> None:
    assert next(r for r in RATES if r.covers("cloudtrail", "LookupEvents")).per_second == 2
    assert not any(r.covers("ec2", "DescribeInstances") for r in RATES)
    assert Rates().limits("iam")
    assert not Rates().limits("ec2")


@given(st.lists(st.integers(0, 9), max_size=60), st.integers(1, 5))
def test_what_was_used_last_is_kept(asked: list[int], most: int) -> None:
    dropped: list[int] = []
    kept: Lru[int, int] = Lru(most, dropped.append)
    for key in asked:
        assert kept.get(key, lambda key=key: key) == key  # type: ignore[misc]
    last = list(dict.fromkeys(reversed(asked)))[:most]
    before = len(dropped)
    for key in reversed(last):
        kept.get(key, lambda: -1)
    assert len(dropped) == before
    assert len(kept) == len(last)
