from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from cacao_world import NOW, ident, playbook, written

from soar.model.spec import ActionSpec
from soar.model.terms import Phase, Risk
from soar.playbook.cacao.checks import check_cacao
from soar.playbook.cacao.document import CacaoObject, read_cacao
from soar.playbook.cacao.exporter import EXTENSION, ExportSettings, export_playbook
from soar.playbook.cacao.importer import Imported, import_cacao
from soar.playbook.compiler import compile_playbook
from soar.playbook.diagnostics import PlaybookError
from soar.playbook.graph import ActionNode, BranchNode, SetNode, StepGraph
from soar.playbook.loader import LoadedPlaybook, load_playbook

FOLDER = Path(__file__).parents[2] / "playbooks"
SETTINGS = ExportSettings(
    created_by=ident("identity", "we"),
    created="2026-01-01T00:00:00.000Z",
    modified="2026-01-01T00:00:00.000Z",
    server="soar.example",
)


def spec(name: str, risk: Risk, **more: Any) -> ActionSpec:
    told: dict[str, Any] = {"title": name, "phase": Phase.CONTAINMENT, "queue": "q", "result": {}}
    return ActionSpec(name=name, risk=risk, params={"type": "object"}, **{**told, **more})


CATALOGUE = {
    s.name: s
    for s in (
        spec("http.get", Risk.READ),
        spec("http.request", Risk.REVERSIBLE),
        spec("iam.find", Risk.READ, react="RA2601"),
        spec(
            "iam.disable",
            Risk.REVERSIBLE,
            undoable=True,
            react="RA3601",
            d3fend="D3-AL",
            openc2="set er/account",
        ),
        spec("iam.delete", Risk.DESTRUCTIVE, undoable=True, react="RA4602", d3fend="D3-CE"),
    )
}

EVERY_KIND = """\
name: every-kind
title: Every kind of step
description: It has {{ braces }} as well.
metadata: {owner: we, techniques: [T1078.004], references: ["https://example.com/why"]}
match: {source: guardduty}
correlate_by: [alert.account]
roles: {responder: decides, legal: knows the duties}
inputs:
  days: {type: number, default: 3, description: How far back.}
  users: {type: list, default: [root]}
outputs: {name: steps.find.result.name}
severity: [{when: steps.find.result.admin == true, severity: critical}]
clocks: {notify: {due: 72h, met_by: tell}}
on_failure:
  - {id: tell_failure, task: {role: responder, instructions: It failed.}}
on_cancel: undo

identification:
  - id: find
    name: Whose is it?
    do: iam.find
    with: {user: "{{ alert.actor.name }}", days: "{{ inputs.days }}", all: "{{ inputs.users | join(',') }}"}
    retry: {attempts: 9, backoff: 5s}
    on_error: continue
  - set: {who: "{{ steps.find.result.name }}"}
  - parallel:
      one:
        - {id: one, do: iam.find, with: {user: a}}
      two:
        - {id: two, do: iam.find, when: 'vars.who != "root"', with: {user: b}}
    concurrency: 1
containment:
  - id: off
    do: iam.disable
    when: 'steps.find.result.name in ["a", "b"] and not steps.find.result.admin == true'
    with: {user: "{{ vars.who }}"}
    approval: {role: legal, approvers: 2}
    timeout: 15m
    technique: T1078.004
  - if: inputs.days > 2
    then:
      - {id: deep, do: iam.disable, with: {user: deep}}
    else:
      - {id: shallow, do: iam.disable, with: {user: shallow}, on_error: undo}
  - switch: vars.who | lower
    cases:
      root: [{id: root, task: {role: legal, instructions: "Call {{ vars.who }}", form: {ok: {type: boolean}}}}]
    default: [{id: pause, wait: {for: 1h}}]
  - id: each
    foreach: inputs.users
    as: user
    steps: [{id: off_each, do: iam.disable, with: {user: "{{ user }}"}}]
eradication:
  - id: sure
    approve: Delete {{ vars.who }}?
    approval: {role: legal}
  - id: gone
    do: iam.delete
    when: steps.sure.result.approved
    with: {user: "{{ vars.who }}"}
  - id: probe
    repeat: [{id: look, do: iam.find, with: {user: "{{ attempt }}"}}]
    until: steps.look.result.name == ""
    attempts: 4
    every: 30s
lessons_learned:
  - {id: child, playbook: called, with: {ip: "{{ alert.actor.ip }}"}}
  - {id: tell, task: {role: legal, instructions: Tell them.}}
"""
CALLED = """\
name: called
inputs: {ip: {type: string, default: ""}}
outputs: {score: '1'}
identification: [{id: a, do: iam.find}]
"""


def find(name: str) -> LoadedPlaybook:
    return {"called": load_playbook(CALLED, file="called.yaml")}[name]


def loaded(text: str = EVERY_KIND) -> LoadedPlaybook:
    return load_playbook(text, file="a.yaml")


def exported(text: str = EVERY_KIND, settings: ExportSettings = SETTINGS) -> dict[str, Any]:
    return export_playbook(loaded(text), CATALOGUE, settings).document


def back(told: dict[str, Any]) -> Imported:
    return import_cacao(written(told), file="a.json", catalogue=CATALOGUE, now=NOW, find=find)


def nodes(found: Imported) -> StepGraph:
    return compile_playbook(found.loaded, CATALOGUE, find)


def step_of(told: dict[str, Any], our_id: str) -> str:
    """The step of an export that stands for a step of ours."""
    (found,) = (
        step_id
        for step_id, step in told["workflow"].items()
        if step.get("step_extensions", {}).get(EXTENSION, {}).get("step") == our_id
    )
    return str(found)


def unknown(thing: object) -> list[str]:
    """The properties of an export that the standard does not know."""
    if isinstance(thing, CacaoObject):
        named = [value for _, value in thing if not isinstance(value, str)]
        return [*(thing.model_extra or {}), *(name for value in named for name in unknown(value))]
    if isinstance(thing, dict):
        return [name for value in thing.values() for name in unknown(value)]
    return [name for value in thing for name in unknown(value)] if isinstance(thing, tuple) else []


REAL = sorted(path for path in FOLDER.glob("*.yaml") if not path.stem.endswith(".test"))


@pytest.mark.parametrize("text", [EVERY_KIND, *(path.read_text() for path in REAL)])
def test_an_export_is_sound_cacao_and_comes_back_as_the_same_playbook(text: str) -> None:
    from soar.actions.registry import catalogue

    known = {**catalogue(), **CATALOGUE}
    before = load_playbook(text, file="a.yaml")
    told: dict[str, Any] = export_playbook(before, known, SETTINGS).document
    playbook, document = read_cacao(written(told), file="a.json")
    assert check_cacao(playbook, document, now=NOW) == []
    assert unknown(playbook) == []
    found = import_cacao(written(told), file="a.json", catalogue=known, now=NOW, find=find)
    assert found.ours
    assert found.loaded.digest == before.digest
    assert found.loaded.playbook == before.playbook
    assert found.warnings == ()
    # A new version of the export, its order, and its tags are no edits.
    told["modified"] = "2026-02-02T00:00:00.000Z"
    told["external_references"] = [{"name": "other"}]
    told["workflow"] = dict(reversed(told["workflow"].items()))
    found = import_cacao(json.dumps(told), file="a.json", catalogue=known, now=NOW, find=find)
    assert found.ours


@pytest.mark.parametrize("text", [EVERY_KIND, *(path.read_text() for path in REAL)])
def test_where_only_the_name_was_edited_every_step_is_the_one_that_was_exported(text: str) -> None:
    from soar.actions.registry import catalogue

    known = {**catalogue(), **CATALOGUE}
    before = load_playbook(text, file="a.yaml")
    told = export_playbook(before, known, SETTINGS).document
    told["name"] = "Edited"
    found = import_cacao(written(told), file="a.json", catalogue=known, now=NOW, find=find)
    assert not found.ours
    assert found.loaded.playbook.title == "Edited"
    assert found.loaded.digest != before.digest
    assert found.loaded.playbook.match == before.playbook.match
    was, now = compile_playbook(before, known, find), compile_playbook(found.loaded, known, find)
    free = {i for i, n in was.nodes.items() if i.startswith("step.")}
    for node_id, node in was.nodes.items():
        if node_id not in free and not isinstance(node, BranchNode):
            kept = now.nodes[node_id].model_dump(exclude={"next", "name", "branches", "body"})
            assert kept == node.model_dump(exclude={"next", "name", "branches", "body"}), node_id
    assert set(was.entries) == set(now.entries)
    assert (was.severity, was.clocks, was.undo_on_cancel) == (now.severity, now.clocks, now.undo_on_cancel)
    assert (was.failure is None) == (now.failure is None)


def test_ids_are_stable_and_look_like_those_that_the_standard_wants() -> None:
    first = exported()
    changed = exported(
        EVERY_KIND.replace("title: Every kind of step", "title: Other").replace("due: 72h", "due: 71h")
    )
    assert first["id"] == changed["id"]
    assert first["workflow"].keys() == changed["workflow"].keys()
    for step_id in first["workflow"]:
        assert UUID(step_id.rpartition("--")[2]).version == 4
    assert exported() == first
    other = exported(EVERY_KIND.replace("name: every-kind", "name: other-kind"))
    assert not first["workflow"].keys() & other["workflow"].keys()


def test_an_edited_step_is_what_cacao_says_and_the_others_are_as_they_were() -> None:
    told = exported()
    step = told["workflow"][step_of(told, "deep")]
    step["commands"] = [
        {"type": "http-api", "command": "POST /other HTTP/1.1", "content": '{"days": "__days__:value"}'}
    ]
    graph = nodes(back(told))
    deep, find_it = graph.nodes["deep"], graph.nodes["find"]
    assert isinstance(deep, ActionNode)
    assert deep.action == "http.request"
    assert deep.params["json"] == {"days": "{{ vars['__days__'] | string }}"}
    assert isinstance(find_it, ActionNode)
    assert find_it.retry.attempts == 9


def test_an_inserted_step_runs_where_it_was_put() -> None:
    told = exported()
    new = ident("action", "new")
    first = told["workflow"][told["workflow_start"]]
    told["workflow"][new] = {
        "type": "action",
        "name": "new one",
        "commands": [{"type": "manual", "command": "Look."}],
        "agent": next(a for a in told["agent_definitions"] if a.startswith("group")),
        "on_completion": first["on_completion"],
    }
    first["on_completion"] = new
    graph = nodes(back(told))
    assert graph.nodes["new_one"].next == "find"


def test_a_step_put_between_a_condition_and_its_step_runs_under_that_condition() -> None:
    told = exported()
    off = step_of(told, "off")
    around = next(s for s in told["workflow"].values() if s.get("on_true") == off)
    new = ident("action", "new")
    told["workflow"][new] = {**told["workflow"][off], "name": "new", "on_completion": off}
    del told["workflow"][new]["step_extensions"]
    around["on_true"] = new
    graph = nodes(back(told))
    # The approval cannot be taken for the step's own any more, so that it is asked as CACAO says.
    chosen = next(n for n in graph.nodes.values() if isinstance(n, BranchNode) and n.cases[0].entry == "new")
    assert "vars['__off-approval__']" in chosen.cases[0].condition
    assert graph.nodes["new"].next == "off"
    assert any(n.id.startswith("off_") and n.name == "off" for n in graph.nodes.values())


def test_an_edited_condition_counts() -> None:
    told = exported()
    step_id, step = next(
        (i, s) for i, s in told["workflow"].items() if s.get("condition") == "__days__:value > 2"
    )
    step["condition"] = "__days__:value > 20"
    graph = nodes(back(told))
    conditions = {
        case.condition for n in graph.nodes.values() if isinstance(n, BranchNode) for case in n.cases
    }
    assert "(vars['__days__'] | stix_compare('>', 20, 'number'))" in conditions
    assert "inputs.days > 2" not in conditions
    assert step_id in told["workflow"]


def test_an_edited_step_reads_what_the_others_give() -> None:
    told = exported()
    step = told["workflow"][step_of(told, "deep")]
    text = "__steps-find-name__:value __vars-who__:value __alert-actor-name__:value"
    step["commands"] = [{"type": "manual", "command": text}]
    found = back(told)
    graph = nodes(found)
    assert "alert_actor_name" not in found.loaded.playbook.inputs
    first, find_it = graph.nodes["workflow.variables"], graph.nodes["find.results"]
    assert isinstance(first, SetNode)
    assert isinstance(find_it, SetNode)
    assert first.values["__alert-actor-name__"] == "{{ alert.actor.name | default(none) }}"
    assert find_it.values == {"__steps-find-name__": "{{ steps.find.result.name | default(none) }}"}
    who = graph.nodes["step.identification.1.results"]
    assert isinstance(who, SetNode)
    assert who.values == {"__vars-who__": "{{ vars.who | default(none) }}"}
    assert graph.nodes["find"].next == "find.results"
    # What nobody reads natively is not set.
    assert "off.results" not in graph.nodes


def test_an_edited_on_failure_counts() -> None:
    told = exported()
    step = told["workflow"][step_of(told, "find")]
    step["on_failure"] = step_of(told, "tell")
    found = nodes(back(told)).nodes["find"]
    assert found.on_error == "continue"
    assert found.next == "find.outcome"


def test_another_playbook_cannot_be_slipped_in_under_the_same_steps() -> None:
    told = exported()
    extension = told["playbook_extensions"][EXTENSION]
    extension["source"] = extension["source"].replace("id: deep, do: iam.disable", "id: deep, do: iam.delete")
    assert "iam.delete, with: {user: deep}" in extension["source"]
    found = back(told)
    assert not found.ours
    step = nodes(found).nodes["deep"]
    assert isinstance(step, ActionNode)
    assert step.action == "iam.disable"


def test_an_edited_argument_is_an_argument_of_the_same_action() -> None:
    told = exported()
    step = told["workflow"][step_of(told, "deep")]
    step["commands"][0]["content"] = '{"user": "__vars-who__:value"}'
    deep = nodes(back(told)).nodes["deep"]
    assert isinstance(deep, ActionNode)
    assert (deep.action, deep.params) == ("iam.disable", {"user": "{{ vars['__vars-who__'] | string }}"})
    assert deep.spec.undoable


def test_an_edited_step_with_an_expression_that_cacao_cannot_say_is_refused() -> None:
    told = exported()
    told["workflow"][step_of(told, "find")]["timeout"] = 5
    with pytest.raises(PlaybookError, match=r"has an expression in \{\{ \}\}"):
        back(told)


def test_an_http_request_is_one_that_every_system_can_send() -> None:
    text = """\
name: small
inputs: {host: {type: string, default: a}}
identification:
  - id: a
    do: http.request
    with:
      url: https://edr.example:8443/hosts/{{ inputs.host }}/isolate
      headers: {X-Reason: incident}
      json: {on: true, name: "{{ inputs.host }}"}
      auth: {secret: edr, scheme: basic}
      extract: {job: /id}
  - {id: b, do: http.get, with: {url: "https://{{ inputs.host }}/x"}}
"""
    told = exported(text)
    step = told["workflow"][step_of(told, "a")]
    assert step["commands"] == [
        {
            "type": "http-api",
            "command": "POST /hosts/__host__:value/isolate HTTP/1.1",
            "headers": {"X-Reason": ["incident"], "Content-Type": ["application/json"]},
            "content": '{"name":"__host__:value","on":true}',
        }
    ]
    agent = told["agent_definitions"][step["agent"]]
    assert (agent["address"], agent["port"]) == ({"dname": ["edr.example"]}, "8443")
    assert told["authentication_info_definitions"][agent["authentication_info"]] == {
        "type": "http-basic",
        "kms": True,
        "kms_key_identifier": "edr",
    }
    # Where the host itself is not known before, this system is asked to send it.
    other = told["workflow"][step_of(told, "b")]
    assert other["commands"][0]["command"] == "POST /api/v1/actions/http.get HTTP/1.1"
    assert back(told).ours
    step["timeout"] = 5000
    node = nodes(back(told)).nodes["a"]
    assert isinstance(node, ActionNode)
    assert node.params["auth"] == {"secret": "edr", "scheme": "basic"}
    assert node.params["json"] == {"name": "{{ vars['__host__'] | string }}", "on": True}


@pytest.mark.parametrize("source", ["name: [", "name: a\n", None, 5])
def test_a_broken_extension_is_told_and_left_aside(source: Any) -> None:
    told = exported("name: small\nidentification: [{id: a, do: iam.find}]\n")
    told["playbook_extensions"][EXTENSION]["source"] = source
    found = back(told)
    assert not found.ours
    assert [w.rule for w in found.warnings] == ["extension"]
    assert "a" in nodes(found).nodes


def test_tags_are_on_steps_commands_and_the_playbook() -> None:
    told = exported()
    step = told["workflow"][step_of(told, "off")]
    expected = [
        {"name": "RE&CT", "external_id": "RA3601"},
        {"name": "MITRE D3FEND", "external_id": "D3-AL"},
        {"name": "OpenC2", "description": "set er/account"},
        {
            "name": "MITRE ATT&CK",
            "external_id": "T1078.004",
            "url": "https://attack.mitre.org/techniques/T1078/004",
        },
    ]
    assert step["external_references"] == expected
    assert step["commands"][0]["external_references"] == expected
    assert all(reference in told["external_references"] for reference in expected)


def test_what_cacao_can_say_is_said_in_its_words() -> None:
    told = exported()
    steps = told["workflow"].values()
    conditions = {s["condition"] for s in steps if "condition" in s}
    assert "__days__:value > 2" in conditions
    assert "__vars-who__:value != 'root'" in conditions
    wanted = "__steps-find-name__:value IN ('a', 'b') AND NOT __steps-find-admin__:value = true"
    assert wanted in conditions
    found = told["workflow"][step_of(told, "find")]
    assert found["out_args"] == ["__steps-find-name__", "__steps-find-admin__"]
    assert found["on_success"] == found["on_failure"]
    assert json.loads(found["commands"][0]["content"]) == {
        "user": "__alert-actor-name__:value",
        "days": "__days__:value",
        "all": "{{ inputs.users | join(',') }}",
    }
    assert told["playbook_variables"]["__days__"] == {
        "type": "float",
        "value": "3",
        "description": "How far back.",
        "external": True,
    }
    assert told["playbook_variables"]["__soar_host__"]["value"] == "soar.example"
    manual = [c["command"] for s in steps for c in s.get("commands", ()) if c["type"] == "manual"]
    assert "Is it so that steps.sure.result.approved ? Answer true or false." in manual
    assert "Call __vars-who__:value" in manual
    shallow = told["workflow"][step_of(told, "shallow")]
    undone = told["workflow"][shallow["on_failure"]]
    assert json.loads(undone["commands"][0]["content"]) == {"step": "off"}
    assert "workflow_exception" in told


def test_secrets_are_not_exported() -> None:
    text = (
        "name: small\nidentification:\n  - id: a\n    do: http.get\n"
        "    with: {url: 'https://a.example', auth: {secret: crm}}\n"
    )
    told = exported(text)
    assert "password" not in written(told)
    assert back(told).ours


def test_a_cacao_playbook_is_its_own_export() -> None:
    found = import_cacao(written(playbook()), file="p.json", catalogue=CATALOGUE, now=NOW)
    with pytest.raises(ValueError, match="CACAO playbook already"):
        export_playbook(found.loaded, CATALOGUE, SETTINGS)
