"""What other vendors send becomes alerts, and whatever is none of theirs is a `BadAlert` that names the field."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import JsonValue

from soar.intake.accept import read_alerts
from soar.model.alert import Alert
from soar.model.terms import AlertState, Severity
from soar.sources.contract import BadAlert
from soar.sources.registry import sources

FIXTURES = Path(__file__).parents[1] / "fixtures"
OURS = ("cloudtrail", "guardduty", "securityhub")
VENDORS = sorted(set(sources()) - set(OURS))
WHOLE: dict[tuple[str, str], Any] = {
    (source, file.stem): json.loads(file.read_text())
    for source in VENDORS
    for file in sorted((FIXTURES / source).glob("*.json"))
}
NEW, UPDATED, RESOLVED = AlertState.NEW, AlertState.UPDATED, AlertState.RESOLVED

# File → of each of its alerts: what it holds, by the names of `seen`.
EXPECTED: dict[str, list[dict[str, Any]]] = {
    "splunk/webhook-result": [
        {
            "rule": "AWS keys used from new countries",
            "severity": Severity.HIGH,
            "state": NEW,
            "time": "2026-03-01T11:08:21.482000+00:00",
            "account": "111122223333",
            "region": "eu-central-1",
            "actor": ("ci-deployer", "AKIAIOSFODNN7EXAMPLE"),
            "resources": [("host", "build-7.example.com")],
            "observables": {
                ("ip", "198.51.100.23"),
                ("domain", "build-7.example.com"),
                ("hash", "44d88612fea8a8f36de82e1278abb02f"),
                ("access_key", "AKIAIOSFODNN7EXAMPLE"),
                ("principal", "ci-deployer"),
                ("host", "build-7.example.com"),
            },
            "techniques": ["T1078.004", "T1078"],
        }
    ],
    # No severity and no time: unknown, and when the search was started.
    "splunk/webhook-bare": [
        {"rule": "ad-hoc search", "severity": Severity.UNKNOWN, "time": "2026-03-01T11:09:30+00:00"}
    ],
    "splunk/notable-closed": [
        {
            "uid": "0A1B2C3D-4E5F@@notable@@0a1b2c3d4e5f",
            "state": RESOLVED,
            "severity": Severity.CRITICAL,
            "title": "Excessive failed logins for maya.okafor",
            "rule": "Access - Excessive Failed Logins",
        }
    ],
    "qradar/offense": [
        {
            "uid": "4711",
            "state": NEW,
            "severity": Severity.HIGH,
            "title": "Multiple Login Failures for the Same User preceded by VPN Login",
            "rule": "100237",
            "account": "0",
            "actor": ("maya.okafor", ""),
            "time": "2026-03-01T11:08:21.482000+00:00",
        }
    ],
    "qradar/offense-grown": [{"uid": "4711", "state": UPDATED, "rule": "Login failures, then success"}],
    "qradar/offenses-list": [
        {"uid": "4712", "state": RESOLVED, "observables": {("ip", "198.51.100.23")}, "actor": None},
        {"uid": "4713", "severity": Severity.INFORMATIONAL, "resources": [("host", "web-1")]},
    ],
    "sumologic/monitor-critical": [
        {
            "uid": "0000000000ABCDEF",
            "state": NEW,
            "severity": Severity.CRITICAL,
            "rule": "Root account used",
            "actor": ("root", ""),
            "observables": {("ip", "198.51.100.23"), ("principal", "root")},
        }
    ],
    "sumologic/monitor-resolved": [
        {"uid": "0000000000ABCDEF", "state": RESOLVED, "severity": Severity.CRITICAL, "observables": set()}
    ],
    "sumologic/insight": [
        {"uid": "INSIGHT-42", "state": UPDATED, "severity": Severity.HIGH, "actor": ("maya.okafor", "")}
    ],
    "cloudwatch/eventbridge-alarm": [
        {
            "uid": "arn:aws:cloudwatch:eu-central-1:111122223333:alarm:cpu-build-7",
            "state": NEW,
            "severity": Severity.HIGH,
            "account": "111122223333",
            "region": "eu-central-1",
            "resources": [
                ("aws.cloudwatch.alarm", "cpu-build-7"),
                ("aws.ec2.instance", "i-0a1b2c3d4e5f60718"),
            ],
        }
    ],
    "cloudwatch/sns-recovery": [
        {
            "rule": "errors-orders",
            "state": RESOLVED,
            "severity": Severity.UNKNOWN,
            "resources": [("aws.cloudwatch.alarm", "errors-orders"), ("aws.lambda.function", "orders")],
        }
    ],
    "cloudwatch/sns-raw": [{"state": NEW, "severity": Severity.CRITICAL}],
    "azure_monitor/activity-log": [
        {
            "uid": "origin-1",
            "state": NEW,
            "severity": Severity.HIGH,
            "account": "00000000-1111-2222-3333-444444444444",
            "region": "westeurope",
            "actor": ("maya.okafor@example.com", ""),
            "resources": [("azure.microsoft.compute.virtualmachines", "vm-7")],
            "observables": {
                ("principal", "maya.okafor@example.com"),
                ("email", "maya.okafor@example.com"),
                ("ip", "198.51.100.23"),
            },
        }
    ],
    "azure_monitor/metric-resolved": [
        {"state": RESOLVED, "severity": Severity.LOW, "observables": {("ip", "203.0.113.9")}}
    ],
    "azure_monitor/service-health": [
        {"severity": Severity.INFORMATIONAL, "account": "00000000-1111-2222-3333-444444444444"}
    ],
    "google_monitoring/incident-open": [
        {
            "uid": "0.abcdef123456",
            "state": NEW,
            "severity": Severity.CRITICAL,
            "account": "shop-prod",
            "region": "europe-west3-a",
            "title": "Mining: CPU",
            "resources": [("gcp.gce_instance", "1234567890")],
            "actor": ("deployer@shop-prod.iam.gserviceaccount.com", ""),
        }
    ],
    "google_monitoring/incident-closed": [{"state": RESOLVED, "severity": Severity.UNKNOWN}],
    "google_monitoring/pubsub-push": [{"uid": "0.fedcba", "severity": Severity.MEDIUM}],
    "elastic/detection-alert": [
        {
            "uid": "3f0d1c9a7b",
            "state": NEW,
            "severity": Severity.HIGH,
            "rule": "AWS IAM brute force",
            "time": "2026-03-01T11:08:21.482000+00:00",
            "account": "111122223333",
            "actor": ("maya.okafor", ""),
            "resources": [("aws.ec2.instance", "i-0a1b2c3d4e5f60718"), ("host", "web-1")],
            "observables": {
                ("ip", "198.51.100.23"),
                ("ip", "10.0.0.7"),
                ("principal", "maya.okafor"),
                ("host", "web-1"),
            },
            "techniques": ["T1110.001", "T1110"],
        }
    ],
    "elastic/search-hits": [
        {"uid": "h-1", "state": RESOLVED, "severity": Severity.CRITICAL, "rule": "Web shell"},
        {"uid": "h-2", "state": NEW, "severity": Severity.MEDIUM},
    ],
    "elastic/ecs-event": [
        {
            "uid": "e-9",
            "severity": Severity.MEDIUM,
            "rule": "login-failed",
            "techniques": ["T1110"],
            "observables": {
                ("ip", "2001:db8::7"),
                ("hash", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
                ("principal", "root"),
            },
        }
    ],
    "servicenow/record-new": [
        {
            "uid": "9d385017c611228701d22104cc95c371",
            "state": NEW,
            "severity": Severity.HIGH,
            "rule": "Phishing.Credentials",
            "time": "2026-03-01T11:08:21+00:00",
            "actor": ("Maya Okafor", ""),
            "resources": [("cmdb.ci", "laptop-12")],
            "observables": {
                ("url", "https://evil.example.net/login"),
                ("ip", "198.51.100.23"),
                ("principal", "Maya Okafor"),
            },
        }
    ],
    "servicenow/record-updated": [
        {"uid": "9d385017c611228701d22104cc95c371", "state": UPDATED, "severity": Severity.CRITICAL}
    ],
    "servicenow/table-closed": [{"state": RESOLVED, "severity": Severity.INFORMATIONAL}],
    "jira/issue-created": [
        {
            "uid": "10042",
            "state": NEW,
            "severity": Severity.CRITICAL,
            "rule": "SEC/Security incident",
            "observables": {("ip", "203.0.113.9"), ("domain", "evil.example.net")},
        }
    ],
    "jira/issue-updated": [{"uid": "10042", "state": UPDATED, "observables": {("ip", "198.51.100.23")}}],
    "jira/issue-done": [{"uid": "10042", "state": RESOLVED}],
    "alertmanager/group": [
        {
            "uid": "c4ffee0123456789@2026-03-01T11:08:21.482000+00:00",
            "state": NEW,
            "severity": Severity.CRITICAL,
            "rule": "HighErrorRate",
            "observables": {("ip", "10.0.0.7")},
        },
        {"state": RESOLVED, "severity": Severity.MEDIUM, "resources": [("kubernetes.pod", "web-2")]},
    ],
    "alertmanager/resolved": [
        {"uid": "c4ffee0123456789@2026-03-01T11:08:21.482000+00:00", "state": RESOLVED}
    ],
    "alertmanager/no-fingerprint": [{"state": NEW, "severity": Severity.UNKNOWN}],
    "datadog/triggered": [
        {
            "uid": "5700000000000001",
            "state": NEW,
            "severity": Severity.HIGH,
            "rule": "monitor:12345",
            "account": "111122223333",
            "region": "eu-central-1",
            "actor": ("maya.okafor", ""),
            "resources": [("aws.ec2.instance", "i-0a1b2c3d4e5f60718"), ("host", "web-1")],
            "observables": {
                ("ip", "198.51.100.23"),
                ("ip", "203.0.113.9"),
                ("host", "web-1"),
                ("principal", "maya.okafor"),
            },
        }
    ],
    "datadog/recovered": [{"uid": "5700000000000001", "state": RESOLVED}],
    "datadog/warn": [{"state": UPDATED, "severity": Severity.UNKNOWN, "resources": []}],
    "falco/shell-in-container": [
        {
            "severity": Severity.LOW,
            "rule": "Terminal shell in container",
            "actor": ("root", ""),
            "resources": [("container", "shop"), ("kubernetes.pod", "shop/shop-1"), ("host", "node-3")],
            "techniques": ["T1059"],
        }
    ],
    "falco/cloudtrail-plugin": [
        {"severity": Severity.CRITICAL, "account": "111122223333", "region": "eu-central-1"}
    ],
    "falco/batch": [
        {"uid": "b5c8a1e0-0000-4000-8000-000000000000"},
        {"severity": Severity.FATAL, "actor": None},
    ],
}


def read(name: tuple[str, str]) -> list[Alert]:
    return read_alerts(sources()[name[0]], json.dumps(WHOLE[name]).encode())


def seen(alert: Alert) -> dict[str, Any]:
    return {
        **alert.model_dump(include={"uid", "title", "rule", "severity", "state", "account", "region"}),
        "time": alert.time.isoformat(),
        "actor": (alert.actor.name, alert.actor.access_key_id) if alert.actor else None,
        "resources": [(r.type, r.name) for r in alert.resources],
        "observables": {(o.type.value, o.value) for o in alert.observables},
        "techniques": [t.uid for t in alert.techniques],
    }


@pytest.mark.parametrize("name", WHOLE, ids="/".join)
def test_what_is_sent_is_read(name: tuple[str, str]) -> None:
    found = read(name)
    expected = EXPECTED["/".join(name)]
    assert len(found) == len(expected)
    for alert, wanted in zip(found, expected, strict=True):
        assert {key: seen(alert)[key] for key in wanted} == wanted
        assert alert.source == name[0]


def test_every_source_has_fixtures_and_every_fixture_is_expected() -> None:
    assert {"/".join(name) for name in WHOLE} == set(EXPECTED)
    for source in VENDORS:
        assert sum(name[0] == source for name in WHOLE) >= 3, source


@pytest.mark.parametrize("name", WHOLE, ids="/".join)
def test_the_same_delivery_twice_is_the_same_alert(name: tuple[str, str]) -> None:
    assert [a.key for a in read(name)] == [a.key for a in read(name)]


@pytest.mark.parametrize(
    ("source", "first", "then"),
    [
        ("qradar", "offense", "offense-grown"),
        ("sumologic", "monitor-critical", "monitor-resolved"),
        ("azure_monitor", "activity-log", "metric-resolved"),
        ("google_monitoring", "incident-open", "incident-closed"),
        ("servicenow", "record-new", "record-updated"),
        ("jira", "issue-created", "issue-done"),
        ("alertmanager", "group", "resolved"),
        ("datadog", "triggered", "recovered"),
    ],
)
def test_what_comes_later_is_the_same_detection_and_another_telling(
    source: str, first: str, then: str
) -> None:
    before, after = read((source, first))[0], read((source, then))[0]
    assert before.uid == after.uid
    assert before.key != after.key
    assert after.state is not NEW


@pytest.mark.parametrize(
    ("source", "payload", "field"),
    [
        ("splunk", {}, "$.result"),
        ("splunk", {"sid": "1", "result": 7}, "$.result"),
        ("qradar", {"id": 1}, "$.start_time"),
        ("qradar", {"id": 1, "start_time": 1772363301482, "magnitude": 11}, "$.magnitude"),
        ("sumologic", {"Name": "n", "TriggerType": "Critical"}, "$.TriggerTimeStart"),
        ("cloudwatch", {"Type": "Notification", "TopicArn": "t", "Message": "not json"}, "$.Message"),
        ("cloudwatch", {"detail-type": "GuardDuty Finding", "detail": {}}, "$.detail-type"),
        ("azure_monitor", {"schemaId": "AzureMonitorMetricAlert"}, "$.schemaId"),
        ("google_monitoring", {"version": "test", "incident": {"started_at": 0}}, "$.incident.started_at"),
        ("google_monitoring", {"message": {"data": "%%%"}}, "$.message.data"),
        ("elastic", {"kibana.alert.rule.name": "r"}, "$.@timestamp"),
        ("servicenow", {"sys_id": "1"}, "$.opened_at"),
        ("jira", {"issue": {"fields": {}}}, "$.issue.fields.created"),
        ("alertmanager", {"status": "firing"}, "$.alerts"),
        ("datadog", {"id": "1"}, "$.date"),
        ("falco", {"rule": "r", "time": "yesterday"}, "$.time"),
    ],
)
def test_what_is_wrong_is_named(source: str, payload: JsonValue, field: str) -> None:
    with pytest.raises(BadAlert) as caught:
        read_alerts(sources()[source], json.dumps(payload).encode())
    assert caught.value.field == field


def test_a_subscription_is_not_followed_by_itself_and_its_address_is_kept() -> None:
    payload = {
        "Type": "SubscriptionConfirmation",
        "TopicArn": "arn:aws:sns:eu-central-1:111122223333:alarms",
        "SubscribeURL": "https://sns.eu-central-1.amazonaws.com/?Action=ConfirmSubscription&Token=t",
    }
    with pytest.raises(BadAlert, match="Action=ConfirmSubscription"):
        read_alerts(sources()["cloudwatch"], json.dumps(payload).encode())


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a payload."""
    yield at
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inside:
        yield from places(item, (*at, key))


PLACES = [(name, place) for name, whole in WHOLE.items() for place in places(whole) if place]
ODD = [
    "",
    "\x00",
    "\ud800",
    ":",
    "arn:",
    "0001-01-01T00:00:00Z",
    "9" * 30,
    "1e5",
    "x" * 5000,
    10**400,
    -1,
    0,
    "[" * 500,
]
ANY_JSON: st.SearchStrategy[JsonValue] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from(ODD),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def check(source: str, payload: JsonValue) -> None:
    try:
        found = read_alerts(sources()[source], json.dumps(payload).encode())
    except BadAlert as problem:
        found, place = [], problem.field
    else:
        place = "$"
    assert place.startswith("$")
    for alert in found:
        assert alert == Alert.model_validate_json(alert.model_dump_json())


@settings(max_examples=1500, deadline=None)
@given(st.sampled_from(PLACES), ANY_JSON)
def test_anything_at_any_place(change: tuple[tuple[str, str], tuple[Any, ...]], value: JsonValue) -> None:
    (source, name), place = change
    payload = deepcopy(WHOLE[source, name])
    at = payload
    for part in place[:-1]:
        at = at[part]
    at[place[-1]] = value
    check(source, payload)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(VENDORS), ANY_JSON)
def test_any_json(source: str, value: JsonValue) -> None:
    check(source, value)
