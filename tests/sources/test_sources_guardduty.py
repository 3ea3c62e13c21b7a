"""GuardDuty's findings become alerts, and whatever is no finding is a `BadAlert` that names the field."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import JsonValue

from soar.intake.accept import read_alerts
from soar.model.alert import Alert, ObservableType
from soar.model.base import JsonObject
from soar.model.terms import AlertState, Severity
from soar.sources.contract import BadAlert
from soar.sources.guardduty import TECHNIQUES, GuardDuty
from soar.sources.registry import sources

FIXTURES = Path(__file__).parents[1] / "fixtures" / "guardduty"
KEY, ROLE, MINER = (
    "iam-malicious-ip-caller-custom",
    "iam-credential-exfiltration-outside-aws",
    "ec2-bitcoin-dns",
)
BUCKET, PROBE = "s3-anonymous-access-granted", "ec2-port-probe"
INSTANCE = "arn:aws:ec2:eu-central-1:111122223333:instance/i-0a1b2c3d4e5f60718"


def event(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FIXTURES / f"{name}.json").read_text())
    return found


def read(payload: JsonValue) -> Alert:
    [alert] = GuardDuty().normalise(payload)
    return alert


def pascal(value: JsonValue) -> JsonValue:
    """As GuardDuty's API writes it."""
    match value:
        case dict():
            return {key[:1].upper() + key[1:]: pascal(item) for key, item in value.items()}
        case list():
            return [pascal(item) for item in value]
    return value


def seen(alert: Alert, kind: ObservableType) -> list[str]:
    return [o.value for o in alert.observables if o.type is kind]


def test_a_leaked_key() -> None:
    alert = read(event(KEY))
    assert (alert.source, alert.uid) == ("guardduty", "1ab92989eaf0e742df4a014d5c0a8841")
    assert alert.rule == "UnauthorizedAccess:IAMUser/MaliciousIPCaller.Custom"
    assert (alert.severity, alert.severity_original) == (Severity.MEDIUM, "5")
    assert (alert.state, alert.account, alert.region) == (AlertState.NEW, "111122223333", "eu-central-1")
    assert alert.time == datetime(2026, 3, 1, 11, 9, 30, 311000, tzinfo=UTC)
    assert alert.first_seen == datetime(2026, 3, 1, 11, 2, 7, tzinfo=UTC)
    assert alert.last_seen == datetime(2026, 3, 1, 11, 14, 51, tzinfo=UTC)
    assert alert.actor is not None
    assert (alert.actor.name, alert.actor.type) == ("ci-deployer", "IAMUser")
    assert (alert.actor.uid, alert.actor.access_key_id) == ("AIDACKCEVSQ6C2EXAMPLE", "AKIAIOSFODNN7EXAMPLE")
    assert [(r.type, r.name) for r in alert.resources] == [
        ("aws.iam.user", "ci-deployer"),
        ("aws.iam.access_key", "AKIAIOSFODNN7EXAMPLE"),
    ]
    assert alert.resources[0].uid == "arn:aws:iam::111122223333:user/ci-deployer"
    assert seen(alert, ObservableType.IP) == ["198.51.100.23"]
    assert seen(alert, ObservableType.ACCESS_KEY) == ["AKIAIOSFODNN7EXAMPLE"]
    assert [t.uid for t in alert.techniques] == ["T1078.004"]
    assert alert.attributes["threat_lists"] == ["partner-blocklist"]
    assert alert.attributes["action"] == event(KEY)["detail"]["service"]["action"]
    [link] = alert.links
    assert link.startswith("https://eu-central-1.console.aws.amazon.com/guardduty/")
    assert link.endswith(alert.uid)


def test_credentials_of_a_role_outside_of_its_instance() -> None:
    alert = read(event(ROLE))
    assert (alert.state, alert.severity) == (AlertState.UPDATED, Severity.HIGH)
    assert alert.actor is not None
    assert (alert.actor.type, alert.actor.session_name) == ("AssumedRole", "i-0a1b2c3d4e5f60718")
    types = {r.type: r for r in alert.resources}
    assert types["aws.iam.role"].uid == "arn:aws:iam::111122223333:role/render-worker"
    assert types["aws.iam.instance_profile"].name == "render-worker"
    assert types["aws.ec2.instance"].uid == INSTANCE
    assert [t.uid for t in alert.techniques] == ["T1552.005"]


def test_a_mining_instance() -> None:
    alert = read(event(MINER))
    assert alert.actor is None
    [instance, _profile] = alert.resources
    assert (instance.uid, instance.name, instance.region) == (INSTANCE, "i-0a1b2c3d4e5f60718", "eu-central-1")
    assert instance.tags == {"Name": "render-3", "team": "media"}
    assert instance.data["interfaces"] == ["eni-0fedcba9876543210", "eni-0123456789abcdef1"]
    assert seen(alert, ObservableType.DOMAIN) == ["pool.example-miner.test"]
    assert seen(alert, ObservableType.HOST) == ["i-0a1b2c3d4e5f60718"]
    assert [t.uid for t in alert.techniques] == ["T1496"]


def test_a_public_bucket() -> None:
    alert = read(event(BUCKET))
    [bucket] = [r for r in alert.resources if r.type == "aws.s3.bucket"]
    assert (bucket.uid, bucket.name) == ("arn:aws:s3:::customer-exports", "customer-exports")
    assert bucket.tags == {"data": "customer"}
    assert alert.actor is not None
    assert alert.actor.name == "tomas"
    assert [t.uid for t in alert.techniques] == ["T1530"]


def test_everybody_who_probes_a_port_is_seen() -> None:
    assert seen(read(event(PROBE)), ObservableType.IP) == ["203.0.113.5", "2001:db8::5"]


@pytest.mark.parametrize("name", [KEY, ROLE, MINER, BUCKET, PROBE])
def test_every_way_of_writing_a_finding_is_the_same_alert(name: str) -> None:
    envelope = event(name)
    alert = read(envelope)
    assert read(envelope["detail"]) == alert
    shouted = pascal(envelope["detail"])
    # What is kept as it came is written as it came; all that we read is the same.
    same = alert.model_copy(update={"attributes": {}})
    for written in (shouted, {**envelope, "detail": shouted}):
        assert read(written).model_copy(update={"attributes": {}}) == same


def test_a_telling_again_is_told_apart_and_a_copy_is_not() -> None:
    first = event(KEY)
    again = deepcopy(first)
    again["detail"]["service"]["count"] = 2
    again["detail"]["updatedAt"] = "2026-03-01T12:00:00.000Z"
    put_away = deepcopy(again)
    put_away["detail"]["service"]["archived"] = True
    copy = {**deepcopy(first), "id": "another-delivery", "time": "2026-03-01T13:00:00Z"}
    alerts = [read(e) for e in (first, again, put_away)]
    assert [a.state for a in alerts] == [AlertState.NEW, AlertState.UPDATED, AlertState.RESOLVED]
    assert len({a.key for a in alerts}) == 3
    assert len({a.uid for a in alerts}) == 1
    assert read(copy).key == alerts[0].key


@pytest.mark.parametrize(
    ("place", "value"), [(("updatedAt",), "2026-03-01T12:00:00.000Z"), (("service", "count"), 2)]
)
def test_each_of_time_and_count_makes_another_revision(
    place: tuple[str | int, ...], value: JsonValue
) -> None:
    first, again = read(event(KEY)), read(put(event(KEY), ("detail", *place), value))
    assert again.uid == first.uid
    assert again.revision != first.revision
    assert again.key != first.key


@pytest.mark.parametrize("name", [KEY, ROLE, MINER, BUCKET, PROBE])
def test_what_is_taken_word_for_word(name: str) -> None:
    finding = event(name)["detail"]
    alert = read(event(name))
    assert (alert.title, alert.description) == (finding["title"], finding["description"])
    assert (alert.provider, alert.rule, alert.account) == ("aws", finding["type"], finding["accountId"])
    service = finding["service"]
    assert alert.attributes["action"] == service["action"]
    assert alert.attributes["count"] == service["count"]
    assert alert.attributes["resource_role"] == service["resourceRole"]
    assert alert.attributes["detector_id"] == service["detectorId"]
    assert seen(alert, ObservableType.ARN) == [r.uid for r in alert.resources if r.uid.startswith("arn:")]
    assert seen(alert, ObservableType.PRINCIPAL) == ([alert.actor.name] if alert.actor else [])


def test_threat_lists_are_read_where_events_and_where_the_api_name_them() -> None:
    details: list[JsonValue] = [
        {"threatListName": n, "threatNames": []} for n in ("ProofPoint", "partner-blocklist")
    ]
    evidence: JsonValue = {"threatIntelligenceDetails": [*details, {"threatNames": ["x"]}]}
    payload = put(event(KEY), ("detail", "service", "evidence"), evidence)
    for written in (payload, pascal(payload["detail"])):
        assert read(written).attributes["threat_lists"] == ["partner-blocklist", "ProofPoint"]
    del payload["detail"]["service"]["additionalInfo"]
    assert read(payload).attributes["threat_lists"] == ["ProofPoint", "partner-blocklist"]


@pytest.mark.parametrize(
    ("number", "severity"),
    [
        (0, Severity.INFORMATIONAL),
        (1, Severity.LOW),
        (3.9, Severity.LOW),
        (4, Severity.MEDIUM),
        (6.9, Severity.MEDIUM),
        (7, Severity.HIGH),
        (8.9, Severity.HIGH),
        (9, Severity.CRITICAL),
        (10, Severity.CRITICAL),
    ],
)
def test_severities(number: float, severity: Severity) -> None:
    payload = event(KEY)
    payload["detail"]["severity"] = number
    alert = read(payload)
    assert (alert.severity, alert.severity_original) == (severity, str(number))


@pytest.mark.parametrize(
    ("partition", "region", "host"),
    [
        ("aws", "us-east-1", "us-east-1.console.aws.amazon.com"),
        ("aws-us-gov", "us-gov-west-1", "console.amazonaws-us-gov.com"),
        ("aws-cn", "cn-north-1", "console.amazonaws.cn"),
        ("aws-new", "new-1", ""),
    ],
)
def test_the_link_leads_to_the_console_of_the_partition(partition: str, region: str, host: str) -> None:
    payload = event(KEY)
    payload["detail"] |= {"partition": partition, "region": region}
    links = read(payload).links
    assert [link.split("/")[2] for link in links] == ([host] if host else [])


@pytest.mark.parametrize("region", ["evil.test/", "a@evil.test", "x\\evil.test", "x#", "\x00", "é", "a b"])
def test_the_link_of_a_hostile_region_leads_to_the_console_or_nowhere(region: str) -> None:
    payload = event(KEY)
    payload["detail"]["region"] = region
    assert read(payload).links == ()


DETAIL = "$.detail"
BROKEN: list[tuple[tuple[str | int, ...], JsonValue, str]] = [
    ((), [], "$"),
    ((), None, "$"),
    (("detail-type",), "AWS API Call via CloudTrail", "$.detail-type"),
    (("detail-type",), 7, "$.detail-type"),
    (("detail",), "text", DETAIL),
    (("detail",), None, DETAIL),
    (("detail", "id"), None, f"{DETAIL}.id"),
    (("detail", "id"), "", f"{DETAIL}.id"),
    (("detail", "type"), ["x"], f"{DETAIL}.type"),
    (("detail", "accountId"), None, f"{DETAIL}.accountId"),
    (("detail", "severity"), None, f"{DETAIL}.severity"),
    (("detail", "severity"), "high", f"{DETAIL}.severity"),
    (("detail", "severity"), True, f"{DETAIL}.severity"),
    (("detail", "severity"), -1, f"{DETAIL}.severity"),
    (("detail", "severity"), 10**400, f"{DETAIL}.severity"),
    (("detail", "severity"), float("inf"), f"{DETAIL}.severity"),
    (("detail", "createdAt"), "yesterday", f"{DETAIL}.createdAt"),
    (("detail", "createdAt"), 20260301, f"{DETAIL}.createdAt"),
    (("detail", "createdAt"), 1801011212345, f"{DETAIL}.createdAt"),
    (("detail", "createdAt"), "0001-01-01T00:00:00+14:00", f"{DETAIL}.createdAt"),
    (("detail", "service"), [], f"{DETAIL}.service"),
    (("detail", "service", "count"), 10**400, f"{DETAIL}.service.count"),
    (("detail", "service", "count"), float("inf"), f"{DETAIL}.service.count"),
    (("detail", "service", "count"), float("nan"), f"{DETAIL}.service.count"),
    (("detail", "service", "eventFirstSeen"), {}, f"{DETAIL}.service.eventFirstSeen"),
    (("detail", "service", "action"), "x", f"{DETAIL}.service.action"),
    (("detail", "resource"), 1, f"{DETAIL}.resource"),
    (
        ("detail", "resource", "accessKeyDetails", "userName"),
        {"a": 1},
        f"{DETAIL}.resource.accessKeyDetails.userName",
    ),
    (("detail", "resource", "s3BucketDetails"), {}, f"{DETAIL}.resource.s3BucketDetails"),
    (
        ("detail", "resource", "s3BucketDetails", 0, "name"),
        None,
        f"{DETAIL}.resource.s3BucketDetails[0].name",
    ),
    (
        ("detail", "resource", "s3BucketDetails", 0, "tags", 0),
        "x",
        f"{DETAIL}.resource.s3BucketDetails[0].tags[0]",
    ),
]


def put(payload: Any, place: tuple[str | int, ...], value: JsonValue) -> Any:
    """A copy with one value replaced."""
    if not place:
        return value
    copy = deepcopy(payload)
    at = copy
    for part in place[:-1]:
        at = at[part]
    at[place[-1]] = value
    return copy


@pytest.mark.parametrize(("place", "value", "field"), BROKEN)
def test_what_is_wrong_is_named(place: tuple[str | int, ...], value: JsonValue, field: str) -> None:
    with pytest.raises(BadAlert) as caught:
        GuardDuty().normalise(put(event(BUCKET), place, value))
    assert caught.value.field == field
    assert caught.value.message


@pytest.mark.parametrize("field", ["id", "type", "accountId", "severity", "updatedAt", "title", "createdAt"])
def test_a_number_that_python_does_not_write_out_is_named(field: str) -> None:
    with pytest.raises(BadAlert) as caught:
        GuardDuty().normalise(put(event(KEY), ("detail", field), 10**5000))
    assert caught.value.field == f"{DETAIL}.{field}"


def places(value: Any, at: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every place in a payload."""
    yield at
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inside:
        yield from places(item, (*at, key))


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([10**400, -(10**400)]),
    st.floats(),
    st.text(),
    st.sampled_from(["", "\x00", "\ud800", "9999-12-31T23:59:59-14:00", "arn:", "2026-01-01", "x" * 5000]),
)
ANY_JSON: st.SearchStrategy[JsonValue] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
PLACES = [(name, place) for name in (KEY, ROLE, MINER, BUCKET, PROBE) for place in places(event(name))]
WHOLE = {name: event(name) for name in (KEY, ROLE, MINER, BUCKET, PROBE)}


@settings(max_examples=600, deadline=None)
@given(st.sampled_from(PLACES), ANY_JSON)
def test_anything_at_any_place_is_an_alert_or_a_bad_alert(
    where: tuple[str, tuple[str | int, ...]], value: JsonValue
) -> None:
    name, place = where
    check(put(WHOLE[name], place, value))


@settings(max_examples=200, deadline=None)
@given(ANY_JSON)
def test_any_json_is_an_alert_or_a_bad_alert(value: JsonValue) -> None:
    check(value)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=64) | st.text(max_size=64).map(lambda t: t.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_refused_as_no_alert(body: bytes) -> None:
    with pytest.raises(BadAlert):
        read_alerts(GuardDuty(), body)


def check(payload: JsonValue) -> None:
    """Past the parser, as a poller would come, and through it, as a delivery does."""
    body = json.dumps(payload).encode()
    for reading in (lambda: GuardDuty().normalise(payload), lambda: read_alerts(GuardDuty(), body)):
        alerts, field = outcome(reading)
        assert field.startswith("$")
    # What came through the parser can be kept by every database and read back.
    for alert in alerts:
        written = json.dumps(alert.model_dump(mode="json"), allow_nan=False)
        assert Alert.model_validate_json(written).key == alert.key


def outcome(reading: Callable[[], list[Alert]]) -> tuple[list[Alert], str]:
    """The alerts, or the field that is wrong."""
    try:
        return reading(), "$"
    except BadAlert as error:
        return [], error.field


def test_techniques_are_named_once_and_in_the_right_order() -> None:
    prefixes = [prefix for prefix, _ in TECHNIQUES]
    for index, prefix in enumerate(prefixes):
        assert not any(prefix.startswith(earlier) for earlier in prefixes[:index]), (
            f"{prefix} is never reached"
        )


def test_every_source_is_registered_under_its_name() -> None:
    found = sources()
    assert isinstance(found["guardduty"], GuardDuty)
    for name, source in found.items():
        assert name == source.name
        assert source.title
        assert source.docs.startswith("https://")


def test_hostile_text_stays_what_it_is() -> None:
    hostile = "<script>{{ 7*7 }}</script> ‮ \x1b[31m"
    payload: JsonObject = put(event(KEY), ("detail", "title"), hostile)
    assert read(payload).title == hostile
