from __future__ import annotations

import base64
import ipaddress
import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soar.playbook.address_filters import ADDRESS_FILTERS
from soar.playbook.cacao.filters import CACAO_FILTERS
from soar.playbook.data_filters import DATA_FILTERS
from soar.playbook.expressions import ExpressionError, evaluate
from soar.playbook.filters import FILTERS
from soar.playbook.incident_filters import INCIDENT_FILTERS
from soar.playbook.list_filters import LIST_FILTERS
from soar.playbook.reference import FilterDoc, expressions_page, filter_docs
from soar.playbook.text_filters import TEXT_FILTERS
from soar.playbook.time_filters import TIME_FILTERS

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=30)
    | st.sampled_from(
        ["2026-01-31T12:00:00Z", "15m", "10.0.0.0/8", "::1", "%", "$.a", "(", "+02:00", "https://[", "\ud800"]
    )
)
values = scalars | st.lists(scalars, max_size=3) | st.dictionaries(st.text(max_size=5), scalars, max_size=3)
times = st.datetimes(timezones=st.just(UTC)).filter(lambda t: 1900 < t.year < 2200)


def ask(expression: str, **variables: Any) -> Any:
    return evaluate(expression, variables)


@pytest.mark.parametrize("doc", filter_docs(), ids=lambda doc: doc.name)
def test_every_filter_is_documented_and_its_example_is_true(doc: FilterDoc) -> None:
    assert doc.text.endswith((".", ")")), doc
    assert f"| {doc.name}" in doc.example or doc.name in ("count", "d")
    assert ask(doc.example, alert={}) is True
    assert doc.name in ("count", "d") or f"| `{doc.usage}` |" in expressions_page()


def test_no_two_modules_have_a_filter_of_one_name() -> None:
    groups = [
        ADDRESS_FILTERS,
        CACAO_FILTERS,
        DATA_FILTERS,
        INCIDENT_FILTERS,
        LIST_FILTERS,
        TEXT_FILTERS,
        TIME_FILTERS,
    ]
    assert len(FILTERS) == sum(map(len, groups))


@given(st.sampled_from(sorted(FILTERS)), values, st.lists(values, max_size=3))
def test_no_value_breaks_a_filter(name: str, value: Any, arguments: list[Any]) -> None:
    given_ = {f"a{index}": argument for index, argument in enumerate(arguments)}
    try:
        result = ask(f"v | {name}({', '.join(given_)})", v=value, **given_)
    except ExpressionError:
        return
    json.dumps(result)


@given(values)
def test_json_comes_back_as_it_was(value: Any) -> None:
    assert ask("v | to_json | from_json", v=value) == value


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=200), st.sampled_from(["utf-8", "utf-16-le"]))
def test_base64_comes_back_as_it_was(text: str, encoding: str) -> None:
    assert ask("v | b64encode(e) | b64decode(e)", v=text, e=encoding) == text
    safe = base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
    assert ask("v | b64decode", v=safe) == text


@given(times, st.integers(0, 10**6))
def test_times_add_up(moment: datetime, seconds: int) -> None:
    variables = {"t": moment.isoformat(), "n": seconds}
    later = ask("t | time_add(n)", **variables)
    assert datetime.fromisoformat(later) == moment + timedelta(seconds=seconds)
    assert datetime.fromisoformat(ask("t | time_sub(n)", **variables)) == moment - timedelta(seconds=seconds)
    assert ask("t | seconds_between(t | time_add(n))", **variables) == seconds
    assert ask("t | is_before(t | time_add(n))", **variables) is (seconds > 0)
    assert ask("t | time_add(n) | is_after(t)", **variables) is (seconds > 0)
    assert ask("t | epoch | from_epoch | epoch == t | epoch", **variables) is True


@given(times)
def test_times_are_formatted_as_python_does(moment: datetime) -> None:
    form = "%Y-%m-%d %H:%M:%S.%f %j %u %z %%"
    assert ask("t | time_format(f)", t=moment.isoformat(), f=form) == moment.strftime(form)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("'2026-01-31T12:00:00' | epoch", "has no zone"),
        ("'yesterday' | epoch", "is no time"),
        ("'2026-02-30T00:00:00Z' | epoch", "is no time"),
        ("'0001-01-01T00:00:00Z' | time_sub('1d')", "before the year 1"),
        ("'9999-12-31T23:59:59Z' | time_format('%Y', '+01:00')", "after the year 9999"),
        ("'2026-01-31T12:00:00Z' | time_add('1 day')", "is no duration"),
        ("'2026-01-31T12:00:00Z' | time_format('%c')", 'the form has no "%c"'),
        ("'2026-01-31T12:00:00Z' | time_format('%H', 'CET')", "no offset"),
        ("1769860800000 | from_epoch", "milliseconds"),
        ("'x' | regex_search('(')", "missing )"),
        ("'x' | regex_search('(?=x)')", "invalid perl operator"),
        ("'x' | regex_search('x', 1)", "no group 1"),
        ("'x' | regex_search(p)", "at most 1000"),
        ("'a b' | b64decode('rot13')", "no encoding"),
        ("'%%%' | b64decode", "not Base64"),
        ("'/w==' | b64decode", "no utf-8 text"),
        ("'{\"a\": NaN}' | from_json", "NaN"),
        ("'[1, 2' | from_json", "at character 6"),
        ("deep | from_json", "nested too deep"),
        ("{} | json_path('a.b')", "begins with $"),
        ("{} | json_path('$.a[?(@.b)]')", "selectattr"),
        ("{} | json_path('$...a')", "cannot be read from"),
        ("[1, '2'] | sum", "only numbers"),
        ("'no arn' | arn_part('account')", "no ARN"),
        ("'no url' | urlparse('host')", "no URL"),
        ("'https://x.example' | urlparse('tld')", 'no part "tld"'),
        ("'198.51.100.7' | domain_of", "has no domain"),
        ("'10.0.0.1/24' | cidr_network(8)", "a length already"),
        ("'10.0.0.0/64' | cidr_network", "10.0.0.0/8"),
        ("missing | is_ip", '"missing" is not set'),
        ("'abc' | split('')", "at nothing"),
        ("'abc' | truncate(0)", "at least 1"),
    ],
)
def test_what_cannot_be_done_is_told(expression: str, message: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        ask(expression, p="x" * 1001, deep="[" * 60_000)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("t | json_path('$.Records[*].user.name')", ["alice", "bob"]),
        ("t | json_path('$..name')", ["alice", "bob"]),
        ("t | json_path('$.Records[-1][\"user\"].name')", ["bob"]),
        ("t | json_path(\"$['odd key'].*\")", [1, 2]),
        ("t | json_path('$.Records[7].user')", []),
        ("t | json_path('$') | length", 1),
        ("'::ffff:10.0.0.1' | is_private_ip", True),
        ("'198.51.100.7' | is_public_ip", False),
        ("'not an address' | is_public_ip", False),
        ("null_ | is_ip", False),
        ("'10.1.2.3/8' | cidr_network", "10.0.0.0/8"),
        ("'2001:db8::1' | cidr_network(32)", "2001:db8::/32"),
        ("['::/0'] | cidr_contains('10.0.0.1')", False),
        ("'ab12' | regex_search('[a-z]+(?P<n>[0-9]+)', 'n')", "12"),
        ("'ab' | regex_search('[0-9]')", None),
        ("'a1b22' | regex_replace('[0-9]+', '\\\\1')", "a\\1b\\1"),
        ("'ééa' | regex_findall('é')", ["é", "é"]),
        ("[[1, [2]], 3] | flatten(1)", [1, [2], 3]),
        ("[] | sum", 0),
        ("[{'k': 1}, {'k': true}, {'k': '1'}] | groupby('k') | length", 3),
        ("'https://alice:pw@Evil.example./a' | urlparse('host')", "evil.example"),
        ("'https://evil.example:99999/' | urlparse('host') | default('none')", "none"),
        ("'alice@evil.example' | domain_of", "evil.example"),
        ("'2026-01-31T12:00:00,5+0130' | to_utc", "2026-01-31T10:30:00.500000Z"),
        ("'a' | truncate(1)", "a"),
    ],
)
def test_results(expression: str, value: Any) -> None:
    records = {
        "Records": [{"user": {"name": "alice"}}, {"user": {"name": "bob"}}],
        "odd key": {"a": 1, "b": 2},
    }
    found = ask(expression, t=records, null_=None)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "expression",
    [
        "long | regex_search('(.{0,100}){0,9}[0-9]$')",
        "long | regex_search('((a{0,30}){0,30}){0,30}b')",
        "long | regex_replace('', long)",
        "nest | json_path('$..*..*..*..*')",
        "[long, long, long, long, long, long, long, long, long, long, long, long, long, long, long, long, long] "
        "| groupby('x')",
        "many | cidr_contains('10.0.0.1')",
    ],
)
def test_no_filter_runs_away(expression: str) -> None:
    nest: Any = 1
    for _ in range(30):
        nest = [nest, nest]
        if len(json.dumps(nest)) > 4000:
            break
    many = ["10.0.0.0/8"] * 60_000
    begun = time.monotonic()
    with pytest.raises(ExpressionError):
        ask(expression, long="a" * 60_000, nest=nest, many=many)
    assert time.monotonic() - begun < 2


@given(st.ip_addresses())
def test_no_public_address_is_private(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    text = str(address)
    assert ask("v | is_ip", v=text) is True
    assert not (ask("v | is_public_ip", v=text) and ask("v | is_private_ip", v=text))
    length = 24 if address.version == 4 else 64
    assert ask("(v | cidr_network(n)) | cidr_contains(v)", v=text, n=length) or address.version == 6
