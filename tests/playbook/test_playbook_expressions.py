from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soar.playbook.expressions import ExpressionError, NameUse, evaluate, names_used, render

ALERT: dict[str, Any] = {
    "title": "hello",
    "count": 3,
    "big": list(range(9000)),
    "long": "x" * 60_000,
    "items": "a key, not a method",
    "resources": [
        {"type": "aws.iam.user", "name": "alice"},
        {"type": "aws.ec2.instance", "name": "i-1"},
        {"type": "aws.ec2.instance", "name": "i-2"},
    ],
    "observables": [
        {"type": "ip", "value": "198.51.100.7"},
        {"type": "domain", "value": "evil.example"},
        {"type": "ip", "value": "198.51.100.7"},
    ],
}
VARIABLES: dict[str, Any] = {
    "alert": ALERT,
    "steps": {"look": {"status": "succeeded", "result": {"n": None}}},
}

scalars = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text()
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
hostile = st.text() | st.sampled_from(
    [
        "{{ 7 * 7 }}",
        "{% for x in y %}",
        "[1,2]",
        "None",
        "True",
        "{'a': 1}",
        "1e9",
        "{{ alert }}",
        "{#",
        "\n",
        "'",
    ]
)


@given(json_values)
def test_a_value_alone_keeps_its_type_and_content(value: Any) -> None:
    assert render("{{ x }}", {"x": value}) == value
    assert type(render("{{ x }}", {"x": value})) is type(value)


@given(hostile, hostile)
def test_hostile_text_stays_the_text_that_it_is(one: str, two: str) -> None:
    variables = {"alert": {"title": one, "attributes": {"k": two}}}
    assert render("{{ alert.title }}", variables) == one
    assert render("<{{ alert.title }}|{{ alert.attributes.k }}>", variables) == f"<{one}|{two}>"
    rendered = render({"a": ["{{ alert.title }}", {"b": "x{{ alert.attributes.k }}"}]}, variables)
    assert rendered == {"a": [one, {"b": f"x{two}"}]}


@given(st.text(alphabet="{}%#()[].|_'\"~ abc019+*-<>=\n", max_size=80))
def test_any_template_gives_a_value_or_an_expression_error(source: str) -> None:
    for run in (render, evaluate):
        try:
            run(source, {"a": {"b": [1, "x"]}, "b": "text", "c": [3]})
        except ExpressionError:
            continue


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ alert.__class__ }}",
        "{{ alert['__class__'] }}",
        "{{ alert.title.format }}",
        "{{ '{0.__class__}'.format(alert) }}",
        "{{ alert.title.format_map(alert) }}",
        "{{ self }}",
        "{{ self._TemplateReference__context }}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ lipsum() }}",
        "{{ range(10) }}",
        "{{ dict(a=1) }}",
        "{{ namespace(a=1) }}",
        "{{ _budget }}",
        "{{ _budget.work }}",
        "{% set x = 1 %}{{ x }}",
        "{% set x %}y{% endset %}",
        "{% macro m() %}{{ m() }}{% endmacro %}",
        "{% include 'x' %}",
        "{% import 'x' as y %}",
        "{% extends 'x' %}",
        "{% block x %}{% endblock %}",
        "{% filter upper %}x{% endfilter %}",
        "{% for x in alert.big recursive %}{{ loop(x) }}{% endfor %}",
        "{{ alert.pop('title') }}",
        "{{ alert.big.append(1) }}",
        "{{ alert | attr('keys') }}",
        "{{ alert.big | random }}",
        "{{ alert.title | _method_upper }}",
        "{{ alert.title is callable }}",
        "{{ alert.title.upper }}",
        "{{ alert.big.sort }}",
    ],
)
def test_there_is_no_way_out_of_the_sandbox(source: str) -> None:
    with pytest.raises(ExpressionError):
        render(source, VARIABLES)


@pytest.mark.parametrize(
    "source",
    [
        "{{ 'x' * 1000000000 }}",
        "{{ 10 ** 10 ** 10 }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ alert.long ~ alert.long }}",
        "{{ alert.long + alert.long }}",
        "{{ alert.long }}{{ alert.long }}",
        "{{ alert.long.replace('x', alert.long) }}",
        "{{ alert.long | replace('x', 'xxxxxxxx') }}",
        "{{ alert.big | join(alert.long) }}",
        "{% for a in alert.big %}{% for b in alert.big %}{{ b }}{% endfor %}{% endfor %}",
        "{% for a in alert.big %}{% for b in alert.big %}{% endfor %}{% endfor %}",
        "{% for a in alert.big %}{{ 1 if alert.long in alert.long }}{% endfor %}",
        "{% for a in alert.big %}{{ alert.big | sort | first }}{% endfor %}",
        "{% for a in alert.big %}{{ '' if alert.long[1:] }}{% endfor %}",
        "{% for a in alert.big %}{{ '' if alert.long is eq(alert.long) }}{% endfor %}",
        "{{ [" + ",".join(["alert.big"] * 50) + "] }}",
        "{{ " + "9999999999*" * 40 + "9 }}",
        "{{ 1e308 * 1e308 }}",
        "{{ 1e999 }}",
        "{{ " + "(" * 400 + "1" + ")" * 400 + " }}",
        "{{ " + "not " * 2000 + "1 }}",
        "{{ " + "[" * 300 + "]" * 300 + " }}",
        "{% if 1 %}" * 200 + "{% endif %}" * 200,
        "{{ 1 }}" + " " * 20_000,
    ],
)
def test_bombs_are_refused_quickly(source: str) -> None:
    before = time.monotonic()
    with pytest.raises(ExpressionError):
        render(source, VARIABLES)
    assert time.monotonic() - before < 5


def test_a_default_in_a_long_loop_is_quick() -> None:
    many = {"rows": list(range(9000)), "keys": {f"key{n}": n for n in range(3000)}}
    before = time.monotonic()
    assert render("{% for r in a.rows %}{{ a.keys.kex | default('') }}{% endfor %}.", {"a": many}) == "."
    assert time.monotonic() - before < 5


def test_the_whole_of_a_rendering_is_bounded() -> None:
    with pytest.raises(ExpressionError, match="gives more than"):
        render(["{{ alert.long }}"] * 6, VARIABLES)


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("plain { text }", "plain { text }"),
        ("{{ alert.count }}", 3),
        ("{{ alert.count }} ", "3 "),
        ("{{ alert.count + 1 }}", 4),
        ("{{ steps.look.result.n }}", None),
        ("<{{ steps.look.result.n }}>", "<>"),
        ("{{ alert.count > 2 }}", True),
        ("is {{ alert.count > 2 }}", "is true"),
        ("{{ alert.items }}", "a key, not a method"),
        ("{{ steps.look.items() | length }}", 2),
        ("{{ (alert | resource('aws.ec2.instance')).name }}", "i-1"),
        ("{{ (alert | resource('x')).name | default('none') }}", "none"),
        ("{{ alert | observables('ip') }}", ["198.51.100.7"]),
        ("{{ alert.resources | map(attribute='name') | join(', ') }}", "alice, i-1, i-2"),
        ("{{ alert.resources | selectattr('type', 'eq', 'aws.iam.user') | length }}", 1),
        ("{{ [1, true, '1', 1] | unique }}", [1, True, "1"]),
        ("{{ 'https://evil.example/a.b' | defang }}", "hxxps://evil[.]example/a[.]b"),
        ("{{ '2001:db8::1' | defang | refang }}", "2001:db8::1"),
        ("{{ 'hxxps[://]evil[.]example' | refang }}", "https://evil.example"),
        ("{{ ['10.0.0.0/8', '192.0.2.0/24'] | cidr_contains('192.0.2.9') }}", True),
        ("{{ '10.0.0.0/8' | cidr_contains('no address') }}", False),
        ("{{ 'arn:aws:iam::123456789012:user/team/bob' | arn_part('account') }}", "123456789012"),
        ("{{ 'arn:aws:iam::123456789012:user/team/bob' | arn_part('resource_id') }}", "team/bob"),
        ("{{ 'arn:aws:s3:::bucket' | arn_part('resource_id') }}", "bucket"),
        ("{{ alert.missing | default('x') }}", "x"),
        ("{{ steps.gone.result.a | default(1) }}", 1),
        ("{{ 'yes' if alert.gone is defined else 'no' }}", "no"),
        ("{% for r in alert.resources if r.type == 'aws.iam.user' %}{{ r.name }}{% endfor %}", "alice"),
        ("{{ {'a': [alert.count]} }}", {"a": [3]}),
        ("v={{ {'b': 1, 'a': [true, none]} }}", 'v={"a": [true, null], "b": 1}'),
        ("{{ '7' | int }}", 7),
        ("{{ 'x' | int(0) }}", 0),
    ],
)
def test_values(source: str, value: Any) -> None:
    result = render(source, VARIABLES)
    assert result == value
    assert type(result) is type(value)


def test_an_error_names_the_expression_and_the_nearest_right_name() -> None:
    for source, expected in (
        ("{{ alert.titel }}", '"titel" is not set (did you mean "title"?)'),
        ("{{ alrt.title }}", '"alrt" is not set (did you mean "alert"?)'),
        ("{{ alert.title | uper }}", 'there is no filter "uper" (did you mean "upper"?)'),
    ):
        with pytest.raises(ExpressionError) as caught:
            render(source, VARIABLES)
        assert expected in str(caught.value)
        assert source in str(caught.value)


def test_a_bare_expression_is_told_apart_from_a_template() -> None:
    assert evaluate("alert.count > 2 and 'ip' in ['ip']", VARIABLES) is True
    with pytest.raises(ExpressionError, match=r"without \{\{ \}\}"):
        evaluate("{{ alert.count }}", VARIABLES)
    with pytest.raises(ExpressionError, match="goes on after its end"):
        evaluate("alert.count }} {{ alert", VARIABLES)


def test_the_result_shares_nothing_with_the_variables() -> None:
    result = render("{{ alert.resources }}", VARIABLES)
    assert isinstance(result, list)
    result.clear()
    assert len(ALERT["resources"]) == 3


@given(json_values)
@settings(max_examples=30)
def test_rendering_is_deterministic(value: Any) -> None:
    source = "{{ x | to_json }}{{ x }}"
    assert render(source, {"x": value}) == render(source, {"x": value})


def test_the_names_that_a_template_reads() -> None:
    uses = names_used(
        "{{ alert.actor.name | default('x') }}{% for r in steps.look.result.rows %}{{ r.a }}{{ loop.index }}"
        "{{ inputs['days'] }}{% endfor %}{{ steps.a.result.b if steps.a is defined }}{{ alert.title.upper() }}"
    )
    assert set(uses) == {
        NameUse(("alert", "actor", "name"), True),
        NameUse(("steps", "look", "result", "rows"), False),
        NameUse(("inputs", "days"), False),
        NameUse(("steps", "a"), True),
        NameUse(("steps", "a", "result", "b"), True),
        NameUse(("alert", "title"), False),
    }
    assert names_used("no template") == ()
