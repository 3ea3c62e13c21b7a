"""Every export is what the standard, and the JSON Schemas that OASIS publishes for it, take."""

from __future__ import annotations

import copy
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cacao_standard import faults, taken_as_url
from cacao_world import NOW, ident, written
from drawn_playbooks import Drawn, playbooks
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from soar.actions.registry import catalogue
from soar.model.spec import ActionSpec
from soar.model.terms import Phase, Risk
from soar.playbook.cacao.export_writer import address_of
from soar.playbook.cacao.exporter import ExportSettings, export_playbook
from soar.playbook.cacao.importer import import_cacao
from soar.playbook.cacao.work import CacaoSettings
from soar.playbook.compiler import compile_playbook
from soar.playbook.graph import ActionNode
from soar.playbook.loader import LoadedPlaybook, load_playbook

FOLDER = Path(__file__).parents[2] / "playbooks"
REAL = sorted(path for path in FOLDER.glob("*.yaml") if not path.stem.endswith(".test"))
AT = "2026-01-01T00:00:00.000Z"
SETTINGS = ExportSettings(
    created_by=ident("identity", "we"), created=AT, modified=AT, server="soar.corp.example"
)
BARE = ExportSettings(created_by=ident("identity", "we"), created=AT, modified=AT)

STRESS = """\
name: stress
match: {source: guardduty}
correlate_by: [alert.account]
roles: {responder: decides}
metadata: {references: ["https://example.com/why", "a book"], techniques: [T1078.004, T1098]}
inputs:
  user: {type: string, default: ""}
  few: {type: list, default: []}
  yes: {type: boolean, default: true}
outputs: {ok: vars.ok}
on_failure: undo
preparation:
  - {id: nap, wait: {for: 1s}}
  - {id: known, wait: {alert: alert.severity == "high", limit: 1s}}
  - {id: until, when: inputs.yes, wait: {until: alerts | length > 1, limit: 2h}}
identification:
  - id: basic
    do: http.request
    with: {url: "https://edr.example:8443/hosts/{{ inputs.user }}", auth: {secret: edr, scheme: basic}, json: {a: 1}}
    approval: {role: responder}
    when: inputs.yes
    timeout: 1s
  - id: bearer
    do: http.get
    with: {url: "https://edr.internal/hosts", auth: {secret: crm}, headers: {X-A: b}}
  - {id: number, do: http.get, with: {url: "https://10.0.0.5:9200/x"}}
  - {id: plain, do: http.get, with: {url: "http://10.0.0.6/x"}}
  - {id: six, do: http.get, with: {url: "https://[2001:db8::1]:8443/x"}}
  - {id: named, do: http.get, with: {url: "https://api.example.com/x"}}
  - id: deep
    name: "Read {{ alert.raw.PATH }} and {{ alert.raw.PATHX }}"
    do: aws.iam.describe_principal
    with: {name: "{{ alert.raw.PATH }}{{ alert.raw.PATHX }}", type: user}
containment:
  - {id: line, do: ssh.run, with: {host: bastion.corp.example, command: sudo usermod --lock deploy, secret: db}}
  - {id: more, do: ssh.run, with: {host: 10.0.0.9, port: 2222, command: "echo 'a b' && id\\n"}}
  - {id: quoted, do: ssh.run, with: {host: 10.0.0.9, command: "id {{ inputs.user | shell_quote }}"}}
  - {id: checked, do: ssh.run, with: {host: 10.0.0.9, command: id, check: id}}
  - id: first
    do: aws.iam.quarantine_user
    with: {user_name: "{{ inputs.user }}"}
    technique: [T1078.004]
  - id: second
    do: aws.iam.deactivate_access_key
    with: {user_name: "{{ inputs.user }}"}
    on_error: undo
    when: inputs.yes
    approval: {role: responder}
  - parallel: [[{id: alone, approve: Shall it?, details: "Why not?", approval: {role: responder}, when: inputs.yes}]]
  - id: choice
    switch: inputs.user
    when: inputs.yes
    cases:
      "two words": [{set: {ok: 1}}]
    default: [{if: inputs.yes, then: [{set: {ok: 2}}], else: [{set: {ok: "{{ inputs.few }}"}}]}]
  - id: loop
    when: inputs.yes
    repeat: [{if: attempt > 1, then: [{id: look, do: http.get, with: {url: "https://api.example.com/x"}}]}]
    until: attempt > 2
    attempts: 3
    on_error: continue
  - {id: call, playbook: called, when: inputs.yes, with: {ip: "{{ alert.actor.ip }}"}, on_error: undo, timeout: 1h}
  - id: each
    foreach: inputs.few
    when: inputs.yes
    steps: [{id: inner, do: http.get, with: {url: "https://api.example.com/{{ item }}"}}]
lessons_learned:
  - {id: tell, when: inputs.yes, task: {role: responder, instructions: Tell., form: {a: {}, b: {type: number}}}}
""".replace("PATHX", "a" * 120 + "." + "b" * 119 + "c").replace("PATH", "a" * 120 + "." + "b" * 120)
CALLED = """\
name: called
inputs: {ip: {type: string, default: ""}}
identification: [{id: a, do: http.get, with: {url: "https://api.example.com"}}]
"""


def find(name: str) -> LoadedPlaybook:
    return {"called": load_playbook(CALLED, file="called.yaml")}[name]


def exported(text: str = STRESS, told: ExportSettings = SETTINGS) -> dict[str, Any]:
    return dict(export_playbook(load_playbook(text, file="a.yaml"), catalogue(), told).document)


@pytest.mark.parametrize("settings_of", [SETTINGS, BARE])
@pytest.mark.parametrize("text", [STRESS, *(p.read_text() for p in REAL)])
def test_an_export_is_what_the_standard_and_its_schemas_take(text: str, settings_of: ExportSettings) -> None:
    assert faults(exported(text, settings_of)) == []


def test_the_stress_comes_back_as_it_was() -> None:
    found = import_cacao(written(exported()), file="a.json", catalogue=catalogue(), now=NOW, find=find)
    assert found.ours
    assert found.loaded.playbook == load_playbook(STRESS, file="a.yaml").playbook


def test_a_command_without_variables_is_one_that_every_system_can_run() -> None:
    told = exported()
    commands = [c for s in told["workflow"].values() for c in s.get("commands", ())]
    # Others may put a value in unquoted, and have no check: those two stay actions of ours.
    assert [c for c in commands if c["type"] == "ssh"] == [
        {"type": "ssh", "command": "sudo usermod --lock deploy", **_tags(commands)},
        {"type": "ssh", "command_b64": b64encode(b"echo 'a b' && id\n").decode(), **_tags(commands)},
    ]
    assert sum("actions/ssh.run" in c.get("command", "") for c in commands) == 2
    for step in (s for s in told["workflow"].values() if s.get("name") in ("line", "more")):
        step["timeout"] = 9000
    shell = CacaoSettings(shell=True)
    found = import_cacao(
        written(told), file="a.json", catalogue=catalogue(), now=NOW, find=find, settings=shell
    )
    nodes = compile_playbook(found.loaded, catalogue(), find).nodes
    params = {n.name: dict(n.params) for n in nodes.values() if isinstance(n, ActionNode)}
    assert params["line"] == {
        "host": "bastion.corp.example",
        "port": "22",
        "command": "sudo usermod --lock deploy",
        "secret": "db",
    }
    assert (params["more"]["host"], params["more"]["port"]) == ("10.0.0.9", "2222")


def _tags(commands: list[dict[str, Any]]) -> dict[str, Any]:
    tags = next(c for c in commands if c["type"] == "ssh").get("external_references")
    return {"external_references": tags} if tags else {}


def test_two_long_names_are_two_variables() -> None:
    names = [n for n in exported()["playbook_variables"] if n.startswith("__alert-raw")]
    assert len(names) == 2
    assert all(len(n) == 204 for n in names)


LAMPS = {
    name: ActionSpec(
        name=name,
        title=name,
        phase=Phase.CONTAINMENT,
        queue="q",
        result={},
        risk=risk,
        params={"type": "object"},
        undoable=risk is Risk.REVERSIBLE,
    )
    for name, risk in (("lamp.look", Risk.READ), ("lamp.switch", Risk.REVERSIBLE))
}


@given(st.booleans().flatmap(lambda risky: playbooks(risky=risky, timed=True, crossing=True)))
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_so_is_the_export_of_every_playbook(drawn: Drawn) -> None:
    loaded = load_playbook(drawn.text, file="drawn.yaml")
    assert faults(export_playbook(loaded, LAMPS, SETTINGS).document) == []


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("https://api.example.com", {"address": {"url": ["https://api.example.com"]}}),
        ("https://edr.internal:8443", {"address": {"dname": ["edr.internal"]}, "port": "8443"}),
        ("https://localhost", {"address": {"dname": ["localhost"]}, "port": "443"}),
        ("http://localhost", {"address": {"dname": ["localhost"]}, "port": "80"}),
        ("https://10.0.0.5", {"address": {"ipv4": ["10.0.0.5"]}, "port": "443"}),
        ("https://[2001:db8::1]:9", {"address": {"ipv6": ["2001:db8::1"]}, "port": "9"}),
        # By its name alone it would be spoken to by another scheme.
        ("http://localhost:8080", {"address": {"url": ["http://localhost:8080"]}}),
        ("https://localhost:80", {"address": {"url": ["https://localhost:80"]}}),
    ],
)
def test_a_service_is_named_in_a_form_that_others_take_and_is_the_same_one_here(
    url: str, address: dict[str, Any]
) -> None:
    assert address_of(url) == address
    text = f"name: a\nidentification: [{{id: a, do: http.get, with: {{url: '{url}/x'}}}}]\n"
    told = exported(text)
    taken = all(map(taken_as_url, address["address"].get("url", ())))
    assert taken or url in ("http://localhost:8080", "https://localhost:80")
    assert all("is no URL to the published schemas" in fault for fault in faults(told))
    assert (faults(told) == []) is taken
    # Edited, so that what counts is what CACAO says.
    (step,) = (s for s in told["workflow"].values() if s["type"] == "action")
    step["timeout"] = 7000
    found = import_cacao(written(told), file="a.json", catalogue=catalogue(), now=NOW)
    nodes = compile_playbook(found.loaded, catalogue()).nodes.values()
    (request,) = (n for n in nodes if isinstance(n, ActionNode))
    assert request.params["url"] == f"{url}/x"


def _first(told: dict[str, Any], kind: str) -> dict[str, Any]:
    return next(s for s in told["workflow"].values() if s["type"] == kind)


def _bearer(told: dict[str, Any]) -> dict[str, Any]:
    return next(a for a in told["authentication_info_definitions"].values() if a["type"] == "oauth2")


BREAKS: dict[str, Callable[[dict[str, Any]], object]] = {
    "has no name": lambda told: told.pop("name"),
    "has colour, which the standard does not know": lambda told: told.update(colour="red"),
    "'2026-01-01' has not the form": lambda told: told.update(modified="2026-01-01"),
    "modified is before created": lambda told: told.update(modified="2025-01-01T00:00:00.000Z"),
    "is no list of 2 or more": lambda told: _first(told, "parallel")["next_steps"].pop(),
    "leads nowhere": lambda told: _first(told, "switch-condition").pop("on_completion"),
    "has on_success, which": lambda told: _first(told, "end").update(on_success=told["workflow_start"]),
    "0 is out of bounds": lambda told: _first(told, "action").update(delay=0),
    "which is not there": lambda told: _first(told, "while-condition").update(on_true=ident("end", "gone")),
    "is reached from nowhere": lambda told: told["workflow"].update({ident("end", "more"): {"type": "end"}}),
    "has an agent that is not there": lambda told: told["agent_definitions"].popitem(),
    "has no token": lambda told: _bearer(told).pop("token"),
    "'s3cret' is none of": lambda told: _bearer(told).update(token="s3cret"),
    "is no identifier": lambda told: _first(told, "action").update(on_completion="end--1"),
    "which is no variable": lambda told: _first(told, "action").update(in_args=["__nothing__"]),
    "is used and not defined": lambda told: told.pop("extension_definitions"),
    "has both on_completion": lambda told: _first(told, "action").update(
        on_completion=told["workflow"][told["workflow_start"]]["on_completion"],
        on_success=told["workflow"][told["workflow_start"]]["on_completion"],
    ),
    "ends a branch of": lambda told: _first(told, "parallel").update(
        next_steps=[_first(told, "parallel")["next_steps"][1], _first(told, "if-condition")["on_true"]]
    ),
    "cites what the playbook does not": lambda told: told.pop("external_references"),
}


@pytest.mark.parametrize("expected", list(BREAKS))
def test_what_the_standard_does_not_take_is_seen(expected: str) -> None:
    told = copy.deepcopy(exported())
    BREAKS[expected](told)
    assert any(expected in fault for fault in faults(told)), faults(told)
