from __future__ import annotations

import base64
import contextlib
import copy
from collections.abc import Mapping
from typing import Any

import pytest
from cacao_world import AGENT, END, NOW, START, TARGET, http_step, ident, playbook, written
from graph_player import Player
from hypothesis import given, settings
from hypothesis import strategies as st

from soar.model.spec import ActionSpec
from soar.model.terms import Phase, Risk
from soar.playbook.cacao.importer import Imported, import_cacao
from soar.playbook.cacao.work import CacaoSettings
from soar.playbook.compiler import compile_playbook
from soar.playbook.diagnostics import PlaybookError
from soar.playbook.graph import ActionNode, PlaybookNode, TaskNode
from soar.playbook.loader import load_playbook


def spec(name: str, **more: Any) -> ActionSpec:
    told: dict[str, Any] = {
        "title": name,
        "risk": Risk.REVERSIBLE,
        "phase": Phase.CONTAINMENT,
        "queue": "http",
        "result": {},
    }
    return ActionSpec(name=name, params={"type": "object"}, **{**told, **more})


HTTP = {s.name: s for s in (spec("http.get", risk=Risk.READ), spec("http.request"))}
SSH = {**HTTP, "ssh.run": spec("ssh.run")}
YES = {"__a__": {"type": "string", "value": "yes"}}
ONE, TWO, THREE, FOUR = (ident("action", name) for name in ("one", "two", "three", "four"))
IF, PARALLEL, WHILE = (
    ident("if-condition", "if"),
    ident("parallel", "parallel"),
    ident("while-condition", "while"),
)
SWITCH, CHILD = ident("switch-condition", "switch"), ident("playbook-action", "child")


def imported(told: dict[str, Any], **more: Any) -> Imported:
    return import_cacao(written(told), file="p.json", **{"catalogue": HTTP, "now": NOW, **more})


def player(told: dict[str, Any], **more: Any) -> Player:
    result = imported(told)
    graph = compile_playbook(result.loaded, HTTP)
    return Player(graph, inputs=result.loaded.playbook.default_inputs, **more)


def refusals(told: dict[str, Any], **more: Any) -> list[str]:
    with pytest.raises(PlaybookError) as caught:
        imported(told, **more)
    assert all(d.line > 1 or d.rule == "playbook" for d in caught.value.diagnostics)
    return [str(d) for d in caught.value.diagnostics]


def action(told: dict[str, Any], step: str = "only") -> ActionNode:
    node = compile_playbook(imported(told).loaded, HTTP).nodes[step]
    assert isinstance(node, ActionNode)
    return node


def with_command(command: dict[str, Any], **more: Any) -> dict[str, Any]:
    return playbook({ONE: http_step("one", commands=[command])}, **more)


def test_a_playbook_is_ready_to_run() -> None:
    told = playbook(description="Cuts it off.", playbook_types=["remediation"])
    loaded = imported(told).loaded
    assert (loaded.playbook.name, loaded.playbook.title) == ("isolate-a-host", "Isolate a host")
    assert loaded.graph is not None
    assert loaded.graph.entries == {Phase.ERADICATION: "only"}
    node = action(told)
    assert node.spec.queue == "http"
    assert node.params == {"method": "POST", "url": "https://edr.example/api/only"}
    assert (node.on_error, node.next) == ("stop", None)


# What other executors get wrong.


def test_all_branches_of_a_parallel_run_and_then_what_follows() -> None:
    told = playbook(
        {
            PARALLEL: {"type": "parallel", "next_steps": [ONE, TWO], "on_completion": FOUR},
            ONE: http_step("one", THREE),
            TWO: http_step("two", THREE),
            THREE: http_step("three"),
            FOUR: http_step("four"),
        }
    )
    # Both branches lead to the third step, so that it runs in each of them.
    assert player(told).play() == ["one", "three", "two", "three.copy2", "four"]


def test_the_case_of_a_switch_runs_or_its_default() -> None:
    steps = {
        SWITCH: {
            "type": "switch-condition",
            "switch": "__a__:value",
            "cases": {"yes": ONE, "no": TWO, "default": THREE},
            "on_completion": FOUR,
        },
        **{s: http_step(n) for s, n in ((ONE, "one"), (TWO, "two"), (THREE, "three"), (FOUR, "four"))},
    }
    for value, step in (("yes", "one"), ("no", "two"), ("maybe", "three")):
        told = playbook(steps, playbook_variables={"__a__": {"type": "string", "value": value}})
        assert player(told).play() == [step, "four"]


def test_a_failure_goes_to_on_failure_and_on_from_there() -> None:
    told = playbook(
        {
            ONE: http_step("one", on_completion=None, on_success=TWO, on_failure=THREE),
            TWO: http_step("two"),
            THREE: http_step("three", TWO),
        },
        workflow_exception=FOUR,
    )
    told["workflow"][FOUR] = http_step("four")
    del told["workflow"][ONE]["on_completion"]
    assert player(told).play() == ["one", "two"]
    assert player(told, fails={"one": 1}).play() == ["one", "three", "two"]
    # What has no on_failure of its own fails the whole, and the playbook's handler runs.
    failed = player(told, fails={"one": 1, "three": 1})
    assert failed.play() == ["one", "three", "four"]
    assert failed.failed


def test_on_completion_is_not_taken_after_a_failure() -> None:
    failed = player(playbook({ONE: http_step("one", TWO), TWO: http_step("two")}), fails={"one": 1})
    assert failed.play() == ["one"]
    assert failed.failed


def test_a_failure_that_leads_to_where_success_leads_is_gone_past() -> None:
    told = playbook({ONE: http_step("one"), TWO: http_step("two")})
    told["workflow"][ONE] = {**http_step("one"), "on_success": TWO, "on_failure": TWO}
    del told["workflow"][ONE]["on_completion"]
    assert player(told, fails={"one": 1}).play() == ["one", "two"]


@pytest.mark.parametrize("kind", [IF, PARALLEL, WHILE, SWITCH])
def test_a_failure_inside_a_branching_step_goes_to_the_on_failure_of_that(kind: str) -> None:
    steps: dict[str, dict[str, Any]] = {
        IF: {"type": "if-condition", "condition": "__a__:value = 'yes'", "on_true": ONE},
        WHILE: {"type": "while-condition", "condition": "__a__:value = 'yes'", "on_true": ONE},
        SWITCH: {"type": "switch-condition", "switch": "__a__:value", "cases": {"yes": ONE}},
        PARALLEL: {"type": "parallel", "next_steps": [ONE, ident("end", "other")]},
    }
    told = playbook(
        {
            kind: {**steps[kind], "on_success": THREE, "on_failure": FOUR},
            ONE: http_step("one", TWO),
            TWO: http_step("two"),
            THREE: http_step("three"),
            FOUR: http_step("four"),
            ident("end", "other"): {"type": "end"},
        },
        playbook_variables=YES,
    )
    failed = player(told, fails={"one": 1})
    assert failed.play() == ["one", "four"]
    assert not failed.failed
    if kind != WHILE:
        assert player(told).play() == ["one", "two", "three"]


def test_a_failure_two_branching_steps_deep_ends_both() -> None:
    inner = {"type": "if-condition", "condition": "__a__", "on_true": ONE, "on_completion": TWO}
    told = playbook(
        {
            PARALLEL: {"type": "parallel", "next_steps": [IF, THREE], "on_success": END, "on_failure": FOUR},
            IF: {**inner, "condition": "__a__:value = 'yes'"},
            ONE: http_step("one"),
            TWO: http_step("two"),
            THREE: http_step("three"),
            FOUR: http_step("four"),
        },
        playbook_variables=YES,
    )
    assert player(told, fails={"one": 1}).play() == ["one", "three", "four"]
    assert player(told).play() == ["one", "two", "three"]


def test_a_time_limit_of_milliseconds_is_kept() -> None:
    assert action(playbook({ONE: http_step("one", timeout=200)}), "one").timeout == 0.2
    (refusal,) = refusals(playbook({ONE: http_step("one", timeout=0)}))
    assert "would have failed before it began" in refusal


def test_several_commands_and_targets_are_all_done_within_one_time() -> None:
    targets = {
        ident("http-api", n): {"type": "http-api", "address": {"dname": [f"{n}.example"]}} for n in "ab"
    }
    commands = [{"type": "http-api", "command": f"POST /{n} HTTP/1.1"} for n in "xy"]
    told = playbook(
        {
            ONE: http_step("one", TWO, commands=commands, targets=list(targets), timeout=5000),
            TWO: http_step("two"),
        },
        target_definitions=targets,
    )
    played = player(told)
    played.play()
    urls = [params["url"] for _, params in played.done]
    assert urls[:4] == [
        "https://a.example/x",
        "https://b.example/x",
        "https://a.example/y",
        "https://b.example/y",
    ]
    assert played.graph.nodes["one"].timeout == 5
    failed = player(told, fails={"one.commands.2": 1})
    assert failed.play() == ["one.commands.1", "one.commands.2"]
    assert failed.failed


def test_a_delay_comes_before_the_step() -> None:
    played = player(playbook({ONE: http_step("one", delay=1500)}))
    assert played.play() == ["one.delay", "one"]
    assert played.done[0][1] == 1.5


def test_a_loop_runs_while_its_condition_holds_and_each_round_has_its_own_values() -> None:
    told = playbook(
        {
            WHILE: {
                "type": "while-condition",
                "condition": "__left__:value > 0",
                "on_true": ONE,
                "on_completion": TWO,
            },
            ONE: http_step(
                "one",
                commands=[{"type": "http-api", "command": "POST /__left__:value HTTP/1.1"}],
                out_args=["__left__"],
            ),
            TWO: http_step("two"),
        },
        playbook_variables={"__left__": {"type": "integer", "value": "2"}},
    )
    played = player(told, results={"one": [{"extracted": {"left": "1"}}, {"extracted": {"left": 0}}]})
    assert played.play() == ["one", "one", "two"]
    assert [p["url"].rpartition("/")[2] for _, p in played.done] == ["2", "1", "two"]
    told["playbook_variables"]["__left__"]["value"] = "0"
    assert player(told).play() == ["two"]


def test_a_loop_without_end_fails() -> None:
    told = playbook(
        {
            WHILE: {"type": "while-condition", "condition": "__a__", "on_true": ONE, "on_completion": TWO},
            ONE: http_step("one", WHILE),
            TWO: http_step("two"),
        },
        playbook_variables={"__a__": {"type": "bool", "value": "true"}},
    )
    played = player(told)
    assert played.play() == ["one"] * 100
    assert played.failed
    told["workflow"][WHILE]["on_true"] = END
    told["workflow"][TWO]["on_completion"] = ONE
    told["workflow"][ONE]["on_completion"] = END
    assert "does nothing, and so would never end" in refusals(told)[0]


# Values.


def test_external_variables_are_inputs_and_others_are_set() -> None:
    told = with_command(
        {"type": "http-api", "command": "POST /__ip__:value?u=__user__:value HTTP/1.1"},
        playbook_variables={
            "__ip__": {"type": "ipv4-addr", "external": True, "description": "The source."},
            "__user__": {"type": "string", "value": "{{ a }}/../b", "external": False},
            "__list__": {"type": "list", "value": ["x"], "external": True},
        },
    )
    loaded = imported(told).loaded
    assert loaded.playbook.default_inputs == {"ip": "", "list": ["x"]}
    assert loaded.playbook.inputs["ip"].description == "The source."
    played = player(told)
    played.play()
    assert played.variables == {"__ip__": None, "__user__": "{{ a }}/../b", "__list__": ["x"]}
    played = Player(played.graph, inputs={"ip": "198.51.100.7", "list": []})
    played.play()
    # A value stays one part of the URL, whatever is in it.
    assert played.done[0][1]["url"] == ("https://edr.example/api/198.51.100.7?u=%7B%7B%20a%20%7D%7D%2F..%2Fb")


def test_variables_within_json_stay_values() -> None:
    content = '{"user": "u:__user__:value", "n": __n__:value, "on": __b__:value, "all": __l__:value, "raw": "{{ 1 }}"}'
    variables = {
        "__user__": {"type": "string", "value": '", "admin": true, "x": "'},
        "__n__": {"type": "integer", "value": "5"},
        "__b__": {"type": "bool", "value": "false"},
        "__l__": {"type": "list", "value": '["a"]'},
    }
    encoded = base64.b64encode(content.encode()).decode()
    for command in (
        {"type": "http-api", "command": "POST / HTTP/1.1", "content": content},
        {
            "type": "openc2-http",
            "command": "POST / HTTP/1.1",
            "content_b64": encoded,
        },
    ):
        played = player(with_command(command, playbook_variables=variables))
        played.play()
        params = played.done[0][1]
        expected = {"user": 'u:", "admin": true, "x": "', "n": 5, "on": False, "all": ["a"], "raw": "{{ 1 }}"}
        assert params["json"] == expected
        openc2 = {"Content-Type": "application/openc2+json;version=1.0"}
        assert params.get("headers", {}) == (openc2 if command["type"] == "openc2-http" else {})


def test_text_that_looks_like_a_template_is_text() -> None:
    text = "a {{ vars }} {% if %} {# c #} __user__:value{ {\r\n"
    told = with_command(
        {
            "type": "http-api",
            "command": "POST / HTTP/1.1",
            "content": text,
            "headers": {"X-A": ["a", "{{ b }}"]},
        },
        playbook_variables={"__user__": {"type": "string", "value": "{{ now }}"}},
    )
    played = player(told)
    played.play()
    assert played.done[0][1]["body"] == text.replace("__user__:value", "{{ now }}")
    assert played.done[0][1]["headers"] == {"X-A": "a, {{ b }}"}


def test_variables_of_a_step_are_its_own() -> None:
    own = {"__n__": {"type": "integer", "value": "1"}}
    steps = {
        ONE: http_step("one", TWO, step_variables=own, out_args=["__n__"]),
        TWO: http_step("two", commands=[{"type": "http-api", "command": "GET /__n__:value HTTP/1.1"}]),
    }
    told = playbook(steps, playbook_variables={"__n__": {"type": "integer", "value": "7"}})
    played = player(told, results={"one": {"extracted": {"n": 9}}})
    played.play()
    assert played.done[1][1] == {"method": "GET", "url": "https://edr.example/api/7"}


# Commands.


def test_what_is_manual_is_a_task() -> None:
    told = with_command(
        {"type": "manual", "command": "Call __who__:value", "description": "at once"},
        playbook_variables={"__who__": {"type": "string", "value": "Ann"}, "__ok__": {"type": "bool"}},
    )
    told["workflow"][ONE] |= {"out_args": ["__ok__:value"], "targets": [TARGET]}
    told["target_definitions"] = {TARGET: {"type": "individual", "name": "Bob"}}
    told["agent_definitions"][AGENT] = {"type": "group", "name": "legal"}
    settings = CacaoSettings(roles={"legal": "legal-counsel"})
    node = compile_playbook(imported(told, settings=settings).loaded, HTTP).nodes["one"]
    assert isinstance(node, TaskNode)
    assert node.owner == "legal-counsel"
    assert {name: field.type for name, field in node.form.items()} == {"ok": "boolean"}
    played = player(told, results={"one": {"ok": True}})
    played.play()
    assert played.done[0][1] == "Call Ann\n\nat once\n\nOn: Bob"
    assert played.variables["__ok__"] is True


def test_secrets_are_named_and_never_held() -> None:
    auth = ident("http-basic", "auth")
    told = playbook()
    told["agent_definitions"][AGENT]["authentication_info"] = auth
    told["authentication_info_definitions"] = {
        auth: {"type": "http-basic", "user_id": "admin", "password": "secret"}
    }
    assert "is not kept in a key store" in refusals(told)[0]
    told["authentication_info_definitions"] = {
        auth: {"type": "http-basic", "kms": True, "kms_key_identifier": "edr"}
    }
    assert action(told).params["auth"] == {"secret": "edr", "scheme": "basic"}
    told["authentication_info_definitions"][auth]["kms_key_identifier"] = "../EDR"
    assert "no name of a secret" in refusals(told)[0]


@pytest.mark.parametrize(
    ("address", "port", "url"),
    [
        ({"url": ["https://a.example/x/"]}, None, "https://a.example/x/only"),
        ({"dname": ["a.example"]}, None, "https://a.example/only"),
        ({"dname": ["a.example"]}, "8443", "https://a.example:8443/only"),
        ({"ipv4": ["198.51.100.7"]}, "80", "http://198.51.100.7/only"),
        ({"ipv6": ["2001:db8::7"]}, "443", "https://[2001:db8::7]/only"),
    ],
)
def test_where_a_request_goes(address: dict[str, Any], port: str | None, url: str) -> None:
    told = playbook()
    told["agent_definitions"][AGENT] |= {"address": address, **({"port": port} if port else {})}
    assert action(told).params["url"] == url


B64 = base64.b64encode(b"\xff\xfe").decode()


@pytest.mark.parametrize(
    ("command", "message"),
    [
        *(
            ({"type": kind, "command_b64": "bHM="}, f"a {kind} command, {why}")
            for kind, why in (
                ("elastic", "whose query is for a search engine"),
                ("jupyter", "which is a program"),
                ("kestrel", "whose hunt needs data sources"),
                ("sigma", "whose rule is searched for in logs"),
                ("yara", "whose rule scans the files of a host"),
                ("powershell", "and this system speaks no remote PowerShell"),
                ("caldera-cmd", "whose abilities need a Caldera server"),
                ("x-own", "which is no type that runs here"),
            )
        ),
        ({"type": "ssh", "command": "ls"}, "not imported here (set SOAR_CACAO_SHELL=true"),
        ({"type": "bash", "command": "ls"}, "not imported here (set SOAR_CACAO_SHELL=true"),
        ({"type": "http-api", "command": "TRACE / HTTP/1.1"}, "TRACE requests are not sent"),
        ({"type": "http-api", "command": "GET / HTTP/1.1", "content": "x"}, "carries no content"),
        ({"type": "http-api", "command": "POST / HTTP/1.1", "content_b64": B64}, "not text in UTF-8"),
        ({"type": "http-api", "command": "GET / HTTP/1.1", "headers": {"Authorization": ["x"]}}, "carry a secret"),
        ({"type": "http-api", "command": "GET / HTTP/1.1", "headers": {"Host": ["x"]}}, "written by whoever sends"),
        ({"type": "openc2-http", "command": "POST / HTTP/1.1", "content_b64": "eA=="}, "is not JSON"),
    ],
)  # fmt: skip
def test_what_cannot_run_is_refused_by_its_id(command: dict[str, Any], message: str) -> None:
    (refusal,) = refusals(with_command(command))
    assert message in refusal
    assert ONE in refusal


def test_every_command_that_cannot_run_is_named_at_once() -> None:
    commands = [{"type": "sigma", "command_b64": "bHM="}, {"type": "bash", "command": "ls"}]
    assert len(refusals(playbook({ONE: http_step("one", commands=commands)}))) == 2


def test_addresses_that_are_missing_or_too_many_are_refused() -> None:
    told = playbook()
    told["agent_definitions"][AGENT]["address"] = {"dname": ["a.example", "b.example"]}
    assert "2 addresses of the kind dname" in refusals(told)[0]
    told["agent_definitions"][AGENT] = {"type": "group", "name": "x"}
    assert "neither its agent nor its targets" in refusals(told)[0]


def test_without_the_actions_nothing_is_imported() -> None:
    assert "needs the action http.request" in refusals(playbook(), catalogue={})[0]


def shell(command: str) -> dict[str, Any]:
    hostile = {"__u__": {"type": "string", "value": "a; rm -rf '/'"}}
    told = with_command({"type": "ssh", "command": command}, playbook_variables=hostile)
    told["agent_definitions"][AGENT] = {"type": "ssh", "address": {"dname": ["host.example"]}}
    return told


def test_shell_commands_need_leave_and_quote_their_variables() -> None:
    allowed = {"settings": CacaoSettings(shell=True), "catalogue": SSH}
    graph = compile_playbook(imported(shell("id __u__:value --x=__u__:value # it's"), **allowed).loaded, SSH)
    played = Player(graph)
    played.play()
    word = "'a; rm -rf '\"'\"'/'\"'\"''"
    assert played.done[0][1] == {
        "host": "host.example",
        "port": "22",
        "command": f"id {word} --x={word} # it's",
    }
    assert "needs the action ssh.run" in refusals(shell("id"), settings=CacaoSettings(shell=True))[0]
    for command in (
        "id '__u__:value'",
        'id "a __u__:value"',
        "id # don't\n'__u__:value'",
        "cat <<E\n__u__:value\nE",
        "id \\__u__:value",
        "# __u__:value",
        "`id __u__:value`",
    ):
        assert "p.json" in refusals(shell(command), **allowed)[0]


# Playbooks that call others.


def test_a_called_playbook_gets_its_inputs_and_gives_its_outputs() -> None:
    child = imported(
        playbook(
            id=ident("playbook", "child"),
            name="Child",
            playbook_variables={
                "__ip__": {"type": "string", "external": True},
                "__score__": {"type": "integer", "value": "3"},
            },
        )
    ).loaded
    step = {
        "type": "playbook-action",
        "name": "ask",
        "playbook_id": ident("playbook", "child"),
        "in_args": ["__ip__"],
        "out_args": ["__score__"],
        "on_completion": END,
    }
    variables = {"__ip__": {"type": "string", "value": "198.51.100.7"}, "__score__": {"type": "integer"}}
    told = playbook({CHILD: step}, playbook_variables=variables)

    def find_cacao(playbook_id: str) -> Any:
        return {ident("playbook", "child"): child}[playbook_id]

    graph = compile_playbook(imported(told, find_cacao=find_cacao).loaded, HTTP)
    assert isinstance(graph.nodes["ask"], PlaybookNode)
    assert graph.children["child"].graph.outputs["score"] == "vars['__score__']"
    played = Player(graph, results={"ask": {"score": 9}})
    assert played.play() == ["ask"]
    assert played.done[0][1] == {"ip": "198.51.100.7"}
    assert played.variables["__score__"] == 9
    assert "is not at hand" in refusals(told)[0]
    step["playbook_version"] = "2020-01-01T00:00:00.000Z"
    told = playbook({CHILD: step}, playbook_variables=variables)
    assert "wants the version of 2020" in refusals(told, find_cacao=find_cacao)[0]
    step |= {"in_args": ["__score__"], "playbook_version": "2026-02-01T12:00:00.000Z"}
    told = playbook({CHILD: step}, playbook_variables=variables)
    assert "takes no __score__" in refusals(told, find_cacao=find_cacao)[0]


def test_what_is_not_sound_is_refused_before_it_is_built() -> None:
    told = playbook(revoked=True)
    assert "revoked" in refusals(told)[0]


def test_a_playbook_that_does_nothing_is_refused() -> None:
    told = playbook({}, first=END)
    assert "no step of the workflow does anything" in refusals(told)[0]


def test_ways_that_grow_beyond_bounds_are_refused() -> None:
    # Each parallel step leads twice to the next: 2 ways, 4, 8, …
    count = 14
    ids = [ident("parallel", f"p{n}") for n in range(count)]
    steps: dict[str, dict[str, Any]] = {}
    for own, after in zip(ids, [*ids[1:], ONE], strict=True):
        other = ident("action", own)
        steps[own] = {"type": "parallel", "next_steps": [other, after], "on_completion": END}
        steps[other] = http_step(own[-4:], after)
    assert any("ways through it" in r for r in refusals(playbook({**steps, ONE: http_step("one")})))
    chain = [ident("action", f"c{n}") for n in range(60)]
    told = playbook(
        {
            own: {**http_step(f"c{n}"), "on_success": after, "on_failure": FOUR}
            for n, (own, after) in enumerate(zip(chain, [*chain[1:], END], strict=True))
        }
        | {FOUR: http_step("four")}
    )
    for own in chain:
        del told["workflow"][own]["on_completion"]
    assert any("stand more than" in r for r in refusals(told))


def test_names_that_are_the_same_here_are_refused() -> None:
    variables: Mapping[str, Any] = {"__IP__": {"type": "string"}, "__ip__": {"type": "string"}}
    assert "has the name 'ip' here" in refusals(playbook(playbook_variables=variables))[0]


def test_ids_are_made_of_names_and_told_apart() -> None:
    told = playbook({ONE: http_step("Block IP!", TWO), TWO: http_step("block ip")})
    told["workflow"][ONE]["commands"][0]["command"] = "POST /x HTTP/1.1"
    told["workflow"][TWO]["commands"][0]["command"] = "POST /y HTTP/1.1"
    assert player(told).play() == ["block_ip", f"block_ip_{TWO.rpartition('--')[2][:8]}"]


def places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    inner: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value))
    return [path, *(place for key, item in inner for place in places(item, (*path, key)))]


FULL = playbook(
    {
        IF: {
            "type": "if-condition",
            "condition": "__a__ = 'yes'",
            "on_true": PARALLEL,
            "on_completion": WHILE,
        },
        PARALLEL: {"type": "parallel", "next_steps": [ONE, TWO], "on_success": END, "on_failure": SWITCH},
        WHILE: {
            "type": "while-condition",
            "condition": "__n__:value > 0",
            "on_true": THREE,
            "on_completion": END,
        },
        SWITCH: {"type": "switch-condition", "switch": "__a__", "cases": {"yes": FOUR}, "on_completion": END},
        ONE: http_step("one", targets=[TARGET], step_variables=YES, delay=5, timeout=9),
        TWO: http_step("two", commands=[{"type": "manual", "command": "x __a__:value"}], out_args=["__n__"]),
        THREE: http_step(
            "three", commands=[{"type": "ssh", "command": "id __a__:value"}], out_args=["__n__"]
        ),
        FOUR: http_step(
            "four", commands=[{"type": "openc2-http", "command": "POST / HTTP/1.1", "content_b64": "e30="}]
        ),
    },
    playbook_variables={**YES, "__n__": {"type": "integer", "value": "1", "external": True}},
    target_definitions={TARGET: {"type": "http-api", "address": {"dname": ["__a__:value"]}, "port": "8443"}},
    workflow_exception=FOUR,
)
FULL["agent_definitions"][AGENT]["address"]["dname"] = ["edr.example"]
OTHERS = st.sampled_from(
    [
        "",
        "__a__:value",
        "__b__:value",
        "{{ x }}",
        "{% if",
        None,
        0,
        -1,
        1.5,
        True,
        [],
        {},
        ["x"],
        {"x": 1},
        "e30=",
        "'",
    ]
)


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_a_playbook_with_anything_in_it_is_imported_or_refused(data: st.DataObject) -> None:
    told = copy.deepcopy(FULL)
    for _ in range(data.draw(st.integers(0, 3))):
        place = data.draw(st.sampled_from(places(told)[1:]))
        inner: Any = told
        for part in place[:-1]:
            inner = inner[part]
        other = data.draw(st.sampled_from([*FULL["workflow"], "leave out"]) | OTHERS)
        if other == "leave out":
            del inner[place[-1]]
        else:
            inner[place[-1]] = copy.deepcopy(other)
    with contextlib.suppress(PlaybookError) if told != FULL else contextlib.nullcontext():
        imported(told, catalogue=SSH, settings=CacaoSettings(shell=True))


def test_a_yaml_playbook_is_not_touched_by_all_this() -> None:
    text = (
        "name: a\ncorrelate_by: [alert.rule]\nmatch: {source: x}\ncontainment:\n  - {id: a, do: http.get}\n"
    )
    assert compile_playbook(load_playbook(text, file="a.yaml"), HTTP).nodes["a"].id == "a"
    assert START != END
