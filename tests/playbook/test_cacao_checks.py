from __future__ import annotations

import time
from typing import Any

import pytest
from cacao_world import AGENT, END, NOW, START, TARGET, http_step, ident, playbook, written

from soar.playbook.cacao.checks import check_cacao
from soar.playbook.cacao.document import read_cacao
from soar.playbook.cacao.json_text import parse_json
from soar.playbook.diagnostics import Diagnostic

ONE, TWO, THREE = (ident("action", name) for name in ("one", "two", "three"))
IF, PARALLEL, WHILE = (
    ident("if-condition", "if"),
    ident("parallel", "parallel"),
    ident("while-condition", "while"),
)
SWITCH, OTHER_END, CHILD = (
    ident("switch-condition", "sw"),
    ident("end", "other"),
    ident("playbook-action", "child"),
)
YES = {"__a__": {"type": "string", "value": "yes"}}


def findings(told: dict[str, Any]) -> list[Diagnostic]:
    found, document = read_cacao(written(told), file="p.json")
    return check_cacao(found, document, now=NOW)


def rules(told: dict[str, Any]) -> list[str]:
    return [f"{'w:' if d.severity == 'warning' else ''}{d.rule}" for d in findings(told)]


def branching(kind: str = IF, **more: Any) -> dict[str, Any]:
    """A branching step, with ONE in its branch and TWO after it."""
    led: dict[str, dict[str, Any]] = {
        IF: {"type": "if-condition", "condition": "__a__:value = 'yes'", "on_true": ONE},
        WHILE: {"type": "while-condition", "condition": "__a__:value = 'yes'", "on_true": ONE},
        SWITCH: {"type": "switch-condition", "switch": "__a__:value", "cases": {"yes": ONE}},
        PARALLEL: {"type": "parallel", "next_steps": [ONE, THREE]},
    }
    steps: dict[str, Any] = {
        kind: {**led[kind], "on_completion": TWO, **more},
        ONE: http_step("one"),
        TWO: http_step("two"),
    }
    if kind == PARALLEL:
        steps[THREE] = http_step("three")
    return playbook(steps, playbook_variables=YES)


@pytest.mark.parametrize("kind", [IF, WHILE, SWITCH, PARALLEL])
def test_a_sound_playbook_has_no_findings(kind: str) -> None:
    assert rules(playbook()) == []
    assert rules(branching(kind)) == []


def test_a_branch_may_share_its_steps_with_another() -> None:
    # The same steps are reached from a branch, from a loop, and after them, as in published playbooks.
    told = branching()
    told["workflow"][IF]["on_false"] = THREE
    told["workflow"][THREE] = http_step("three", ONE)
    told["workflow"][TWO]["on_completion"] = WHILE
    told["workflow"][WHILE] = {
        "type": "while-condition",
        "condition": "__a__",
        "on_true": ONE,
        "on_completion": END,
    }
    assert rules(told) == []


def test_a_round_may_end_by_pointing_at_its_loop() -> None:
    told = branching(WHILE)
    told["workflow"][ONE]["on_completion"] = WHILE
    assert rules(told) == []
    # But not from within a branch of its body.
    told["workflow"][WHILE]["on_true"] = IF
    told["workflow"][IF] = {
        "type": "if-condition",
        "condition": "__a__:value = 'yes'",
        "on_true": ONE,
        "on_completion": END,
    }
    assert rules(told) == ["circle"]


def change(told: dict[str, Any], path: tuple[str | int, ...], value: Any) -> dict[str, Any]:
    inner: Any = told
    for part in path[:-1]:
        inner = inner[part]
    if value is None:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return told


ONLY = ident("action", "only")
COMMAND = ("workflow", ONLY, "commands", 0)
GONE = ident("action", "gone")


@pytest.mark.parametrize(
    ("path", "value", "rule", "message"),
    [
        (("revoked",), True, "revoked", "revoked this playbook"),
        (("valid_until",), "2026-11-23T12:00:00.000Z", "expired", "was valid until"),
        (("valid_from",), "2026-11-23T12:00:00.001Z", "not-yet-valid", "not valid before"),
        (("modified",), "2025-01-01T00:00:00.000Z", "validity", "modified before"),
        (("id",), ident("bundle", "b"), "id-prefix", "begins with playbook--"),
        (("created_by",), ident("person", "b"), "id-prefix", "begins with identity--"),
        (("workflow_start",), ident("start", "other"), "dangling", "there is no step"),
        (("workflow_exception",), GONE, "dangling", "there is no step"),
        (("workflow", START, "on_completion"), GONE, "dangling", "there is no step"),
        (("workflow", START, "on_failure"), END, "pointers", "beside"),
        (("workflow", START, "type"), "end", "id-prefix", "begins with end--"),
        (("workflow", END, "on_completion"), ONLY, "pointers", "nothing follows an end"),
        (("workflow", END), http_step("x"), "no-end", "no step of the workflow is an end"),
        (("workflow", ONLY, "on_success"), END, "pointers", "beside on_success"),
        (("workflow", ONLY, "on_completion"), None, "no-end", "this way never ends"),
        (("workflow", ONLY, "on_completion"), START, "start", "nothing leads to a start"),
        (("workflow", ONLY, "on_completion"), ONLY, "circle", "has run already"),
        (("workflow", ONE), http_step("one"), "unreachable", "nothing leads to"),
        (("workflow", ident("end", "start")), {"type": "end"}, "duplicate-id", "has the uuid of"),
        (("workflow", ONLY, "agent"), TARGET, "dangling", "there is no agent"),
        (("workflow", ONLY, "targets"), [TARGET], "dangling", "there is no target"),
        (("workflow", ONLY, "in_args"), ["__b__"], "undeclared-variable", "__b__, which is not declared"),
        (("workflow", ONLY, "out_args"), ["__b__:value"], "undeclared-variable", "__b__"),
        (("workflow", ONLY, "out_args"), ["__c__"], "constant-written", "__c__ is constant"),
        (("workflow", ONLY, "step_variables"), {"__5__": {"type": "string"}}, "variable-name", '"__5__"'),
        (("workflow", ONLY, "step_extensions"), {ident("extension-definition", "e"): {}}, "dangling", "no extension"),
        (("playbook_variables",), {"ip": {"type": "string"}}, "variable-name", '"ip" is no name'),
        (("playbook_variables",), {f"__{'a' * 250}__": {"type": "string"}}, "variable-name", "no name"),
        ((*COMMAND, "command"), None, "command", "has no command"),
        ((*COMMAND, "command"), "isolate the host", "command", "no HTTP start line"),
        ((*COMMAND, "command"), "POST /__b__:value HTTP/1.1", "undeclared-variable", "__b__"),
        ((*COMMAND, "headers"), {"A": ["__b__:value"]}, "undeclared-variable", "__b__"),
        ((*COMMAND, "content_b64"), "X19iX186dmFsdWU=", "undeclared-variable", "__b__"),
        ((*COMMAND, "content_b64"), "%", "encoding", "is not Base64"),
        (COMMAND, {"type": "openc2-http", "command": "POST / HTTP/1.1"}, "command", "no content_b64"),
        (
            COMMAND,
            {"type": "openc2-http", "command": "GET / HTTP/1.1", "content_b64": "e30="},
            "command",
            "sent with POST",
        ),
        (
            COMMAND,
            {"type": "http-api", "command": "POST / HTTP/1.1", "content": "a", "content_b64": "YQ=="},
            "command",
            "both",
        ),
        (COMMAND, {"type": "bash"}, "command", "does nothing"),
        (COMMAND, {"type": "sigma", "command": "x"}, "command", "needs command_b64"),
        (("agent_definitions", AGENT, "address"), {"ip": ["198.51.100.7"]}, "address", "no kind of address"),
        (("agent_definitions", AGENT, "address"), {"url": ["__b__:value"]}, "undeclared-variable", "uses __b__"),
        (("agent_definitions", AGENT, "port"), "https", "port", "no port"),
        (("agent_definitions", AGENT, "authentication_info"), ident("oauth2", "x"), "dangling", "no authentication"),
        (("markings",), [ident("marking-tlp", "x")], "dangling", "no data marking"),
        (("playbook_extensions",), {ident("extension-definition", "e"): {}}, "dangling", "no extension"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_found_where_it_stands(
    path: tuple[str | int, ...], value: Any, rule: str, message: str
) -> None:
    told = playbook(playbook_variables={"__c__": {"type": "string", "value": "x", "constant": True}})
    change(told, path, value)
    found = findings(told)
    errors = [d for d in found if d.severity == "error" and d.rule == rule and message in str(d)]
    assert errors, found
    assert all(d.hint for d in errors)
    nearby = parse_json(written(told), file="p.json").position(path)
    assert any(abs(d.line - nearby.line) <= 7 for d in errors) or message.startswith(("uses", "no step"))


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("__a__:value = ", "at character 15"),
        ("__b__:value = 'a'", "__b__ is not declared"),
        ("__a__:value MATCHES '(?=a)'", "the pattern cannot be used"),
    ],
)
@pytest.mark.parametrize("kind", [IF, WHILE])
def test_a_condition_that_does_not_parse_is_found(kind: str, condition: str, message: str) -> None:
    (found,) = findings(branching(kind, condition=condition))
    assert found.rule == "condition"
    assert message in found.message


def test_a_switch_and_its_cases_are_checked() -> None:
    (found,) = findings(branching(SWITCH, switch="yes"))
    assert "no variable" in found.message
    told = branching(SWITCH, cases={"ten": ONE, "10": ONE, "default": ONE})
    told["playbook_variables"]["__a__"]["type"] = "integer"
    (found,) = findings(told)
    assert 'case "ten"' in found.message


@pytest.mark.parametrize("kind", [IF, WHILE, SWITCH, PARALLEL])
def test_a_branch_that_runs_on_into_what_follows_is_found(kind: str) -> None:
    told = branching(kind)
    told["workflow"][ONE]["on_completion"] = TWO
    assert rules(told) == ["runs-twice"]


def test_a_parallel_step_that_names_a_branch_twice_is_found() -> None:
    assert "parallel" in rules(branching(PARALLEL, next_steps=[ONE, ONE, THREE]))
    assert rules(branching(PARALLEL, next_steps=[ONE])) == ["unreachable"]


def test_a_circle_over_several_steps_is_found() -> None:
    told = branching()
    told["workflow"][TWO] = http_step("two", on_failure=IF)
    del told["workflow"][TWO]["on_completion"]
    told["workflow"][TWO]["on_success"] = END
    assert rules(told) == ["circle"]


def test_what_harms_nothing_is_a_warning() -> None:
    told = playbook(playbook_variables=YES)
    told["workflow"][OTHER_END] = {"type": "end"}
    told["workflow"][ONLY]["step_variables"] = YES
    told["workflow"][ONLY]["commands"][0]["command"] = "POST /__a__ HTTP1.1"
    told["agent_definitions"][ident("own", "own")] = {"type": "x-own"}
    assert sorted(rules(told)) == ["w:bare-variable", "w:command", "w:hidden-variable", "w:id-prefix"]


def test_an_agent_and_a_target_of_one_id_are_the_same_thing() -> None:
    told = playbook()
    told["target_definitions"] = {AGENT: told["agent_definitions"][AGENT]}
    assert rules(told) == []
    told["target_definitions"] = {AGENT: {"type": "http-api", "name": "other"}}
    assert rules(told) == ["duplicate-id"]


def test_a_large_workflow_is_checked_in_time_and_a_huge_one_refused() -> None:
    def chain(count: int) -> dict[str, Any]:
        ids = [ident("if-condition", f"i{n}") for n in range(count)]
        steps = {
            own: {
                "type": "if-condition",
                "condition": "__a__",
                "on_true": END,
                "on_false": ONE,
                "on_success": after,
            }
            for own, after in zip(ids, [*ids[1:], END], strict=True)
        }
        return playbook({**steps, ONE: http_step("one")}, playbook_variables=YES)

    begun = time.monotonic()
    assert rules(chain(900)) == []
    assert rules(chain(1100)) == ["too-large"]
    assert time.monotonic() - begun < 20
