from __future__ import annotations

import contextlib
import ipaddress
import operator
import re
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soar.playbook.cacao.condition_syntax import (
    And,
    Comparison,
    Condition,
    Exists,
    ListOf,
    Not,
    Operand,
    Operator,
    Or,
    Time,
    Value,
    Variable,
)
from soar.playbook.cacao.conditions import (
    ConditionError,
    compile_case,
    compile_condition,
    parse_condition,
    print_condition,
    variables_of,
)
from soar.playbook.expressions import ExpressionError, evaluate

TYPES = {
    "__ip__": "ipv4-addr",
    "__answer__": "string",
    "__count__": "integer",
    "__score__": "float",
    "__done__": "boolean",
    "__bool__": "bool",
    "__seen__": "timestamp",
    "__names__": "list",
    "__map__": "dictionary",
    "__net__": "string",
    "__none__": "string",
    "__odd-type__": "x-own-type",
}
VALUES: dict[str, Any] = {
    "__ip__": "198.51.100.7",
    "__answer__": "yes",
    "__count__": "10",
    "__score__": "2.5",
    "__done__": "true",
    "__bool__": False,
    "__seen__": "2026-01-31T12:00:00Z",
    "__names__": '["alice", "bob", 10]',
    "__map__": {"a": [1]},
    "__net__": "198.51.100.0/24",
    "__none__": None,
    "__odd-type__": "O'Brien \\ {{ 7 * 7 }} %} \u2028\n",
}


def run(condition: str, values: Mapping[str, Any] = VALUES) -> Any:
    return evaluate(compile_condition(condition, TYPES), {"vars": values})


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("__answer__:value = 'yes'", True),
        ("[__answer__:value = 'yes']", True),
        ("[__answer__:value = 'yes'] AND [__count__:value = 10]", True),
        ("__answer__ == 'yes'", True),
        ("'yes' = __answer__:value", True),
        ("__answer__:value != 'yes'", False),
        ("__answer__:value <> 'no'", True),
        ("__answer__:value NOT = 'yes'", False),
        ("NOT __answer__:value = 'yes'", False),
        ("not (__answer__:value = 'yes' and __count__:value = 1)", True),
        # Typed by the declaration, not by the text: "10" is more than 5 and than 9.
        ("__count__:value > 5", True),
        ("__count__:value > '9'", True),
        ("9 < __count__:value", True),
        ("__count__:value >= 10 AND __count__:value <= 10", True),
        ("__count__:value < 10.5", True),
        ("__score__:value < __count__:value", True),
        ("__count__:value = '10'", True),
        ("__answer__:value > 'no'", True),
        ("__done__:value = true", True),
        ("__done__:value = 'TRUE'", True),
        ("__done__:value AND NOT (__bool__)", True),
        ("[__bool__:value]", False),
        ("__done__:value = TRUE AND __bool__:value = false", True),
        ("__done__:value != __bool__:value", True),
        ("__seen__:value < t'2026-01-31T12:00:00.5Z'", True),
        ("__seen__:value = '2026-01-31T13:00:00+01:00'", True),
        # OR binds less than AND.
        ("__answer__:value = 'no' AND __count__:value = 1 OR __done__:value = true", True),
        ("__answer__:value = 'no' AND (__count__:value = 1 OR __done__:value = true)", False),
        ("__answer__:value IN ('no', 'yes')", True),
        ("__answer__:value IN ['no', 'yes']", True),
        ("__answer__:value NOT IN ('no', 'yes')", False),
        ("__count__:value IN (9, '10')", True),
        ("__count__:value IN (9.5, 10.0)", True),
        ("__answer__:value IN (__net__:value, 'yes')", True),
        ("'alice' IN __names__:value", True),
        ("'10' IN __names__:value", True),
        ("__count__:value IN __names__:value", True),
        ("true IN __names__:value", False),
        ('__names__:value = \'["alice", "bob", 10]\'', True),
        ("__map__:value = '{\"a\": [1]}'", True),
        ("__map__:value = '{\"a\": [true]}'", False),
        ("__ip__:value LIKE '198.51.100._'", True),
        ("__ip__:value LIKE '198.51.1%'", True),
        ("__ip__:value LIKE '198.51.1'", False),
        ("__ip__:value LIKE '198_51_100_7'", True),
        ("__ip__:value LIKE '[0-9]%'", False),
        ("__ip__:value MATCHES '^198\\\\.51\\\\.(100|101)\\\\.'", True),
        ("__ip__:value MATCHES '51'", True),
        ("__ip__:value NOT MATCHES '^51'", True),
        ("__answer__:value MATCHES '(?i)YES'", True),
        ("__answer__:value MATCHES 'YES'", False),
        ("__ip__:value ISSUBSET '198.51.100.0/24'", True),
        ("__ip__:value ISSUBSET __net__:value", True),
        ("__ip__:value ISSUBSET '::/0'", False),
        ("__answer__:value ISSUBSET '198.51.100.0/24'", False),
        ("__net__:value ISSUPERSET __ip__:value", True),
        ("__net__:value ISSUPERSET '198.51.0.0/16'", False),
        # Null is no value.
        ("EXISTS __none__:value", False),
        ("NOT EXISTS __none__:value", True),
        ("EXISTS __ip__:value", True),
        ("__none__:value = ''", False),
        ("__none__:value != ''", True),
        ("__none__:value > ''", False),
        ("__none__:value LIKE '%'", False),
        ("__none__:value MATCHES '.*'", False),
        ("__none__:value ISSUBSET '0.0.0.0/0'", False),
        ("__none__:value NOT IN ('a')", True),
        # Variables inside quotes are substituted, as everywhere in CACAO.
        ("__ip__:value = '__ip__:value'", True),
        ("__answer__:value = 'yes' AND 'x-__answer__:value-__count__:value' = 'x-yes-10'", True),
        ("'alice' IN '__names__:value'", True),
        # Texts against what is no text.
        ("__answer__:value = 5", False),
        ("__answer__:value = true", False),
        ("__odd-type__:value = 'O\\'Brien \\\\ {{ 7 * 7 }} %} \u2028\n'", True),
    ],
)
def test_a_condition_holds(condition: str, expected: bool) -> None:
    assert run(condition) is expected


@pytest.mark.parametrize(
    ("condition", "at", "message"),
    [
        ("", 0, "the condition ends here"),
        ("'a'", 3, "an operator is missing"),
        ("__ip__:value ~ 'a'", 13, "cannot be read"),
        ("__ip__:value __answer__:value", 13, "an operator is missing"),
        ("__ip__:value = ", 15, "a value is needed"),
        ("__ip__:value = 'a", 15, "no closing '"),
        ('__ip__:value = "a"', 15, 'not in "'),
        ("__ip__:value = yes", 15, "'yes' is no value"),
        ("__ip__:value = 'a' __answer__:value = 'b'", 19, "a condition that had ended"),
        ("__ip__:value = 'a')", 18, "closes nothing"),
        ("[__ip__:value = 'a'", 19, "] is missing"),
        ("(__ip__:value = 'a']", 19, ") is missing"),
        ("__ip__:value.key = 'a'", 12, "cannot be read"),
        ("__ip__:values = 'a'", 0, "no variable"),
        ("ipv4-addr:value = '198.51.100.7'", 0, "names a STIX object"),
        ("[__ip__:value = 'a'] FOLLOWEDBY [__ip__:value = 'b']", 21, "observations over time"),
        ("__ip__:value IN ('a' 'b')", 21, "the list is not closed"),
        ("__ip__:value IN 'a'", 16, "IN needs a list"),
        ("__ip__:value IN __count__:value", 16, "IN needs a list"),
        ("__ip__:value = ('a')", 15, "'(' is no value"),
        ("EXISTS 'a'", 7, "a variable is needed"),
        ("__iq__:value = 'a'", 0, "__iq__ is not declared"),
        ("'__iq__:value' = 'a'", 0, "__iq__ is not declared"),
        ("__ip__:value MATCHES '(?<=a)b'", 21, "the pattern cannot be used"),
        ("__ip__:value MATCHES '(a)\\\\1'", 21, "the pattern cannot be used"),
        ("__ip__:value MATCHES '((a{50}){50}){50}'", 21, "the pattern"),
        ("__ip__:value MATCHES 'a__answer__:value'", 21, "cannot stand inside a pattern"),
        ("__ip__:value MATCHES 5", 21, "needs a pattern"),
        ("__ip__:value ISSUBSET 'a'", 22, "no address and no network"),
        ("__count__:value = 'ten'", 18, "can never be true"),
        ("__count__:value IN (1, 'ten')", 23, "can never be true"),
        ("__count__:value = true", 18, "a whole number cannot be compared with a boolean"),
        ("__done__:value > true", 15, "has no order"),
        ("__names__:value LIKE 'a%'", 0, "has no text"),
        ("__names__:value = 5", 18, "cannot be compared"),
        ("__seen__:value > 'yesterday'", 17, "can never be true"),
        ("__seen__:value > t'2026-13-31T12:00:00Z'", 17, "can never be true"),
        ("__seen__:value > t'yesterday'", 17, "no point in time"),
        ("__count__:value = 99999999999999999999", 18, "too large"),
        ("__count__:value = 1e999", 18, "too large"),
        ("__ip__:value = h'ab'", 15, "bytes"),
        ("(" * 30 + "__ip__:value = 'a'" + ")" * 30, 20, "nested deeper"),
        (" OR ".join(["__count__:value=1"] * 201), 4200, "characters; at most"),
        (" OR ".join(["'a'='b'"] * 201), 2200, "more than 200 parts"),
    ],
)
def test_an_error_says_where_and_what(condition: str, at: int, message: str) -> None:
    with pytest.raises(ConditionError) as caught:
        compile_condition(condition, TYPES)
    if "characters" not in message:
        assert caught.value.at == at
    assert message in caught.value.message


def test_a_value_that_its_type_cannot_hold_is_an_error_not_false() -> None:
    for condition, variable, value in (
        ("__count__:value > 5", "__count__", "many"),
        ("__count__:value = 5", "__count__", "5_0"),
        ("__score__:value = 5", "__score__", "nan"),
        ("__done__:value = true", "__done__", "1"),
        ("__seen__:value > t'2026-01-31T12:00:00Z'", "__seen__", "2026-01-31"),
        ("'a' IN __names__:value", "__names__", "a, b"),
        ("__ip__:value ISSUBSET __net__:value", "__net__", "evil.example"),
        ("__ip__:value MATCHES __net__:value", "__net__", "("),
    ):
        expression = compile_condition(condition, TYPES)
        with pytest.raises(ExpressionError):
            evaluate(expression, {"vars": {**VALUES, variable: value}})


def test_a_variable_that_is_not_set_is_an_error_that_names_it() -> None:
    with pytest.raises(ExpressionError, match="__ip__"):
        evaluate(compile_condition("__ip__:value = 'a'", TYPES), {"vars": {}})


def test_long_chains_run() -> None:
    assert run(" OR ".join(["__answer__:value = 'x'"] * 150 + ["__answer__:value = 'yes'"])) is True


@pytest.mark.parametrize(
    "pattern", ["(a*)*b", "(a|aa)+$", "(.*a){50}c", "((a|b){30}){30}c", "(x+x+)+y", "a?" * 60 + "a" * 60]
)
def test_no_pattern_and_no_text_runs_away(pattern: str) -> None:
    expression = compile_condition("__answer__:value MATCHES __net__:value", TYPES)
    begun = time.monotonic()
    for text in ("a" * 60_000, "ab" * 30_000):
        with contextlib.suppress(ExpressionError):  # it is refused, which is as good
            evaluate(expression, {"vars": {"__answer__": text, "__net__": pattern}})
    assert time.monotonic() - begun < 20


def test_a_like_with_many_wildcards_does_not_run_away() -> None:
    expression = compile_condition("__answer__:value LIKE __net__:value", TYPES)
    begun = time.monotonic()
    with pytest.raises(ExpressionError):
        evaluate(expression, {"vars": {"__answer__": "a" * 60_000, "__net__": "%a" + "_" * 4000 + "b"}})
    assert evaluate(expression, {"vars": {"__answer__": "a" * 60_000, "__net__": "%a%a%b"}}) is False
    assert time.monotonic() - begun < 20


def test_text_is_compared_in_one_normal_form() -> None:
    values = {**VALUES, "__answer__": "cafe\u0301"}
    assert run("__answer__:value LIKE 'caf_'", values) is True
    assert run("__answer__:value MATCHES '^caf\u00e9$'", values) is True


def test_a_case_of_a_switch() -> None:
    for switch, case, expected in (
        ("__answer__:value", "yes", True),
        ("__answer__", "no", False),
        ("__count__:value", "10", True),
        ("__done__:value", "true", True),
        ("__odd-type__:value", "x", False),
    ):
        assert evaluate(compile_case(switch, case, TYPES), {"vars": VALUES}) is expected
    with pytest.raises(ConditionError, match="no variable"):
        compile_case("answer", "yes", TYPES)
    with pytest.raises(ConditionError, match="never be true"):
        compile_case("__count__:value", "ten", TYPES)


def test_the_variables_of_a_condition_are_told_those_within_texts_included() -> None:
    condition = parse_condition(
        "NOT __a__:value IN ('x__b__:value', __c__:value) OR EXISTS __d__ AND 'a' = 'b'"
    )
    assert [variable.name for variable in variables_of(condition)] == ["__a__", "__b__", "__c__", "__d__"]


# What is printed is read as the same tree, and means what a plain evaluator says.

names = st.sampled_from(["__s__", "__i__", "__f__", "__b__", "__t__"])
PLAIN_TYPES = {"__s__": "string", "__i__": "integer", "__f__": "float", "__b__": "boolean", "__t__": "string"}
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6) | st.sampled_from(
    ["", "a", "ab", "%", "_", "'", "\\", "10.0.0.1", "{{ x }}", "__s__", "\\'"]
)
variables = names.map(Variable)
numbers = st.integers(-(2**62), 2**62) | st.floats(-1e15, 1e15, allow_nan=False)
values = st.builds(Value, texts | numbers | st.booleans())
times = st.just(Time("2026-01-31T12:00:00Z"))
OPERATORS: list[Operator] = [
    "=",
    "!=",
    "<",
    "<=",
    ">",
    ">=",
    "IN",
    "LIKE",
    "MATCHES",
    "ISSUBSET",
    "ISSUPERSET",
]


@st.composite
def any_comparisons(draw: st.DrawFn) -> Comparison:
    sign = draw(st.sampled_from(OPERATORS))
    right: st.SearchStrategy[Operand] = variables | values | times
    if sign == "IN":
        items = st.lists(variables | values | times, min_size=1, max_size=3)
        right = items.map(lambda told: ListOf(tuple(told))) | variables
    return Comparison(draw(variables | values | times), sign, draw(right), draw(st.booleans()))


def trees(leaves: st.SearchStrategy[Condition]) -> st.SearchStrategy[Condition]:
    def grow(inner: st.SearchStrategy[Condition]) -> st.SearchStrategy[Condition]:
        several = st.lists(inner, min_size=2, max_size=3).map(tuple)
        return st.builds(Not, inner) | st.builds(And, several) | st.builds(Or, several)

    return st.recursive(leaves, grow, max_leaves=8)


@given(trees(any_comparisons() | st.builds(Exists, variables)))
def test_what_is_printed_is_read_as_the_same(condition: Condition) -> None:
    assert parse_condition(print_condition(condition)) == condition
    assert parse_condition(f"[{print_condition(condition)}]") == condition


@given(
    st.text(max_size=60)
    | st.lists(st.sampled_from(["__s__:value", "=", "'a'", "(", ")", "NOT", "AND", "IN", "5"]))
)
def test_any_text_is_read_or_refused_at_a_place(text: str | list[str]) -> None:
    text = text if isinstance(text, str) else " ".join(text)
    refusal = ConditionError(0, "none")
    try:
        compile_condition(text, PLAIN_TYPES)
    except ConditionError as error:
        refusal = error
    assert 0 <= refusal.at <= len(text)
    assert refusal.message


@st.composite
def meaningful(draw: st.DrawFn) -> Condition:
    """A comparison of which the plain evaluator below knows the meaning."""
    name = draw(names)
    kind = PLAIN_TYPES[name]
    plain: st.SearchStrategy[Any] = {
        "string": st.sampled_from(["", "a", "ab", "10.0.0.1", "b\n", "é", "10.0.0.0/8", "'"]),
        "integer": st.integers(-3, 12),
        "float": st.sampled_from([-1.5, 0.0, 2.5, 1e9]),
        "boolean": st.booleans(),
    }[kind]
    signs: list[Operator] = ["=", "!=", "IN"]
    if kind != "boolean":
        signs += ["<", "<=", ">", ">="]
    if kind == "string":
        signs += ["LIKE", "MATCHES", "ISSUBSET", "ISSUPERSET"]
    sign = draw(st.sampled_from(signs))
    right: Operand
    if sign == "IN":
        right = ListOf(tuple(Value(v) for v in draw(st.lists(plain, min_size=1, max_size=3))))
    elif sign in ("LIKE", "MATCHES"):
        right = Value(draw(st.sampled_from(["a%", "%", "_b", "a.", "^a?b", "[0-9]+", "", "ab$"])))
    elif sign in ("ISSUBSET", "ISSUPERSET"):
        right = Value(draw(st.sampled_from(["10.0.0.0/8", "10.0.0.1", "::/0", "0.0.0.0/0"])))
    else:
        right = draw(st.builds(Value, plain) | st.just(Variable(name)))
    return Comparison(Variable(name), sign, right, draw(st.booleans()))


def _as_network(text: str) -> Any:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def _like(text: str, pattern: str) -> bool:
    told = "".join({"%": "(?s:.*)", "_": "(?s:.)"}.get(c) or re.escape(c) for c in pattern)
    return re.fullmatch(told, text) is not None


def _subset(one: str, other: str) -> bool:
    inner, outer = _as_network(one), _as_network(other)
    return (
        inner is not None and outer is not None and inner.version == outer.version and inner.subnet_of(outer)
    )


def _superset(one: str, other: str) -> bool:
    return _subset(other, one)


def _matches(text: str, pattern: str) -> bool:
    return re.search(pattern.replace("$", r"\Z"), text) is not None


def reference(condition: Condition, told: Mapping[str, Any]) -> bool:
    match condition:
        case Not(part=part):
            return not reference(part, told)
        case And(parts=parts):
            return all(reference(part, told) for part in parts)
        case Or(parts=parts):
            return any(reference(part, told) for part in parts)
        case Exists(variable=variable):
            return told[variable.name] is not None
    left = told[condition.left.name] if isinstance(condition.left, Variable) else condition.left
    right: Any = condition.right
    if isinstance(right, Variable):
        right = told[right.name]
    elif isinstance(right, Value):
        right = right.value
    if condition.operator == "IN":
        assert isinstance(right, ListOf)
        found = left is not None and any(
            left == item.value for item in right.items if isinstance(item, Value)
        )
    elif condition.operator in ("=", "!="):
        found = (left == right) is (condition.operator == "=")
    elif left is None or right is None:
        found = False
    else:
        meanings: dict[str, Callable[[Any, Any], bool]] = {
            "<": operator.lt,
            "<=": operator.le,
            ">": operator.gt,
            ">=": operator.ge,
            "LIKE": _like,
            "MATCHES": _matches,
            "ISSUBSET": _subset,
            "ISSUPERSET": _superset,
        }
        found = meanings[condition.operator](left, right)
    return found is not condition.negated


told_values = st.fixed_dictionaries(
    {
        "__s__": st.none() | st.sampled_from(["", "a", "ab", "10.0.0.1", "b\n", "é", "10.1.0.0/16"]),
        "__t__": st.none() | st.text(max_size=3),
        "__i__": st.none() | st.integers(-3, 12),
        "__f__": st.none() | st.sampled_from([-1.5, 0.0, 2.5, 1e9]),
        "__b__": st.none() | st.booleans(),
    }
)


@settings(max_examples=400)
@given(trees(meaningful() | st.builds(Exists, variables)), told_values, st.booleans())
def test_a_condition_means_what_a_plain_evaluator_says(
    condition: Condition, told: dict[str, Any], written: bool
) -> None:
    # A CACAO variable holds its value as text; that must not change the meaning.
    held = {
        name: str(value).lower()
        if isinstance(value, bool)
        else str(value)
        if written and value is not None
        else value
        for name, value in told.items()
    }
    expression = compile_condition(print_condition(condition), PLAIN_TYPES)
    assert evaluate(expression, {"vars": held}) is reference(condition, told)
