from __future__ import annotations

import json
from typing import Any

import pytest
from cacao_world import AGENT, END, START, http_step, ident, playbook, written
from hypothesis import given
from hypothesis import strategies as st

from soar.playbook.cacao.document import (
    ActionStep,
    Command,
    HttpCommand,
    dump,
    parse_timestamp,
    pointers,
    read_cacao,
)
from soar.playbook.cacao.json_text import MAX_BYTES, MAX_NODES, parse_json
from soar.playbook.diagnostics import PlaybookError

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63) + 1, 2**63 - 1)
    | st.floats(-1e18, 1e18, allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=8)
)
keys = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=5)
json_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)


@given(json_values, st.sampled_from([None, 1, 4]), st.booleans())
def test_json_is_read_as_what_it_says(value: Any, indent: int | None, plain: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=plain)
    assert json.dumps(parse_json(text, file="p.json").data) == json.dumps(value)


@given(st.text(max_size=40) | st.text('{}[]",:0123456789eE+-.\\u truefalsn\n', max_size=40))
def test_any_text_is_read_as_python_reads_it_or_refused_at_a_place(text: str) -> None:
    try:
        found = parse_json(text, file="p.json").data
    except PlaybookError as error:
        at = error.diagnostics[0]
        assert 1 <= at.line <= text.count("\n") + text.count("\r") + 1
        return
    assert json.dumps(found) == json.dumps(json.loads(text.removeprefix("\ufeff")))


@pytest.mark.parametrize(
    ("text", "line", "column", "rule", "message"),
    [
        ("", 1, 1, "empty", "empty"),
        ("{\n  'a': 1}", 2, 3, "json", "a name in double quotes"),
        ('{"a": 1,\n "a": 2}', 2, 2, "duplicate-key", "the first is on line 1"),
        ('{"a": 1,}', 1, 9, "json", "a name in double quotes"),
        ('["a" "b"]', 1, 6, "json", ", or ] is needed"),
        ('{"a" 1}', 1, 6, "json", ": is needed"),
        ('{"a": tru}', 1, 7, "json", "not 'tru'"),
        ('{"a": NaN}', 1, 7, "json", "not 'NaN'"),
        ('{"a": Infinity}', 1, 7, "json", "not 'Infinity'"),
        ('{"a": 01}', 1, 8, "json", ", or } is needed"),
        ('{"a": -}', 1, 7, "json", "this number"),
        ('{"a": 1e999}', 1, 7, "number", "too large"),
        ('{"a": ' + "9" * 50 + "}", 1, 7, "number", "too large"),
        ('{"a": ' + "9" * 5000 + "}", 1, 7, "number", "too long"),
        ('{"a": "b\n"}', 1, 7, "json", "cannot be read"),
        ('{"a": "\\x"}', 1, 7, "json", "cannot be read"),
        ('{"a": "\\ud800"}', 1, 7, "text", "half a character"),
        ('{"a": "\\u0000"}', 1, 7, "text", "null character"),
        ('{"a": 1} x', 1, 10, "json", "follows the end"),
        ('{"a": ', 1, 7, "json", "not the end"),
        ("[" * 5000, 1, 42, "too-deep", "nested too deep"),
        ("[" + "1," * MAX_NODES + "1]", 1, 2 * MAX_NODES, "too-large", "values"),
        ('"' + "a" * MAX_BYTES + '"', 1, 1, "too-large", "bytes"),
        ("\ufeff[1, 2,\r\n  x]", 2, 3, "json", "not 'x'"),
    ],
)
def test_what_is_not_json_is_refused_where_it_stands(
    text: str, line: int, column: int, rule: str, message: str
) -> None:
    with pytest.raises(PlaybookError) as caught:
        parse_json(text, file="p.json")
    (found,) = caught.value.diagnostics
    assert (found.file, found.line, found.column, found.rule) == ("p.json", line, column, rule)
    assert message in found.message


def test_positions_are_those_of_the_text() -> None:
    document = parse_json('{\n  "a": [1,\n    {"b": "é", "c": 2}]\n}', file="p.json")
    assert document.position(("a", 1, "c")) == (3, 21)
    assert document.position(("a", 1, "c"), key=True) == (3, 16)
    assert document.position(("a", 1)) == (3, 5)


EVERYTHING = playbook(
    {
        ident("action", "many"): http_step(
            "many",
            ident("if-condition", "if"),
            commands=[
                {"type": "manual", "command": "call them", "x_priority": "own"},
                {"type": "bash", "command_b64": "bHM="},
                {
                    "type": "http-api",
                    "command": "GET / HTTP/1.1",
                    "headers": {"Accept": ["*/*"]},
                    "content": "x",
                },
                {"type": "openc2-http", "command": "POST /oc2 HTTP/1.1", "content_b64": "e30="},
                *(
                    {"type": kind, "command_b64": "bHM="}
                    for kind in ("elastic", "jupyter", "kestrel", "sigma", "yara")
                ),
                *({"type": kind, "command": "id"} for kind in ("caldera-cmd", "powershell", "ssh", "x-own")),
            ],
            step_variables={"__a__": {"type": "string", "value": None, "unit": "m"}},
            delay=5,
            timeout=300,
            owner=ident("identity", "owner"),
            in_args=["__b__"],
            x_own={"deep": [1, {"er": None}]},
        ),
        ident("if-condition", "if"): {
            "type": "if-condition",
            "condition": "__b__:value = 'x'",
            "on_true": END,
            "on_false": END,
            "on_success": ident("while-condition", "while"),
            "on_failure": END,
        },
        ident("while-condition", "while"): {
            "type": "while-condition",
            "condition": "__b__:value = 'x'",
            "on_true": END,
            "on_completion": ident("switch-condition", "switch"),
        },
        ident("switch-condition", "switch"): {
            "type": "switch-condition",
            "switch": "__b__:value",
            "cases": {"x": END, "default": END},
            "on_completion": ident("parallel", "parallel"),
        },
        ident("parallel", "parallel"): {
            "type": "parallel",
            "next_steps": [END, ident("playbook-action", "child")],
            "on_completion": END,
        },
        ident("playbook-action", "child"): {
            "type": "playbook-action",
            "playbook_id": ident("playbook", "child"),
            "playbook_version": "2026-02-01T12:00:00.000Z",
            "in_args": ["__b__"],
            "on_completion": END,
        },
    },
    description="",
    playbook_variables={
        "__b__": {"type": "string", "value": "x", "constant": True, "external": False},
        "__c__": {"type": "dictionary", "value": {"a": [1]}},
    },
    target_definitions={
        ident(kind, kind): {"type": kind, "name": kind, "x_own": 1}
        for kind in (
            "group",
            "individual",
            "organization",
            "location",
            "sector",
            "security-category",
            "x-own",
        )
    }
    | {
        ident(kind, kind): {"type": kind, "name": kind, "address": {"ipv4": ["__b__:value"], "vlan": [5]}}
        for kind in ("http-api", "linux", "ssh", "net-address")
    },
    authentication_info_definitions={
        ident("oauth2", "a"): {
            "type": "oauth2",
            "kms": True,
            "kms_key_identifier": "edr",
            "oauth_header": "h",
        }
    },
    extension_definitions={
        ident("extension-definition", "e"): {
            "type": "extension-definition",
            "name": "own",
            "created_by": ident("identity", "creator"),
            "schema": "https://example.com/schema",
            "version": "1.0.0",
        }
    },
    playbook_extensions={ident("extension-definition", "e"): {"any": ["thing"]}},
    data_marking_definitions={ident("marking-tlp", "m"): {"type": "marking-tlp", "tlpv2_level": "TLP:GREEN"}},
    markings=[ident("marking-tlp", "m")],
    signatures=[{"type": "jss", "value": "abc"}],
    external_references=[{"description": "no name"}],
    priority=1,
    x_unknown={"kept": True},
)


def test_everything_that_is_read_is_written_again() -> None:
    found, _ = read_cacao(written(EVERYTHING), file="p.json")
    assert dump(found) == EVERYTHING
    step = found.workflow[ident("action", "many")]
    assert isinstance(step, ActionStep)
    assert [type(c) for c in step.commands[:4]] == [Command, Command, HttpCommand, HttpCommand]
    assert step.model_extra == {"x_own": {"deep": [1, {"er": None}]}}
    child = ident("playbook-action", "child")
    told = [target for _, target in pointers(found.workflow[ident("parallel", "parallel")])]
    assert told == [END, child, END]


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("spec_version",), "cacao-1.1", '"cacao-1.1" is not known'),
        (("id",), "playbook--1", "no identifier"),
        (("created",), "yesterday", "no point in time"),
        (("created",), "2026-02-30T00:00:00Z", "no such day"),
        (("priority",), 101, "100"),
        (("priority",), "5", "integer"),
        (("workflow", START, "type"), "begin", "begin"),
        (("workflow", START, "timeout"), -1, "0"),
        (("workflow", ident("action", "only"), "commands"), [], "at least 1"),
        (("workflow", ident("action", "only"), "commands", 0, "headers"), {"A": "b"}, "valid list"),
        (("agent_definitions", AGENT, "address", "url"), "https://x", "valid list"),
        (("playbook_variables",), {"__a__": {"type": "string", "value": 5}}, "written as text"),
        (("workflow",), {}, "at least 1"),
    ],
)
def test_what_does_not_fit_is_refused_where_it_stands(
    path: tuple[str | int, ...], value: Any, message: str
) -> None:
    told: Any = playbook()
    inner = told
    for part in path[:-1]:
        inner = inner[part]
    inner[path[-1]] = value
    text = written(told)
    with pytest.raises(PlaybookError) as caught:
        read_cacao(text, file="p.json")
    found = caught.value.diagnostics[0]
    assert message in found.message
    at = parse_json(text, file="p.json").position(path)
    assert abs(found.line - at.line) <= 4


def test_a_missing_property_is_named() -> None:
    told = playbook()
    del told["created_by"]
    del told["workflow"][ident("action", "only")]["agent"]
    with pytest.raises(PlaybookError) as caught:
        read_cacao(written(told), file="p.json")
    assert sorted(d.message for d in caught.value.diagnostics) == [
        '"agent" is missing',
        '"created_by" is missing',
    ]


@pytest.mark.parametrize("text", ["[]", "5", '"playbook"', "null"])
def test_what_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(PlaybookError, match="not a mapping"):
        read_cacao(text, file="p.json")


def test_timestamps() -> None:
    assert parse_timestamp("2026-01-31T12:00:00.123456789Z").microsecond == 123456
    assert parse_timestamp("2026-01-31T12:00:00+02:00").utcoffset() is not None
    for text in ("2026-01-31", "2026-01-31T12:00:00", "2026-01-31 12:00:00Z", "٢٠٢٦-01-31T12:00:00Z"):
        with pytest.raises(ValueError, match="no point in time"):
            parse_timestamp(text)
