"""The schema for editors says of a playbook what the loader says of it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from soar.actions.registry import catalogue
from soar.playbook.builtins import with_builtins
from soar.playbook.diagnostics import PlaybookError
from soar.playbook.document import parse_yaml
from soar.playbook.jsonschema import playbook_schema
from soar.playbook.loader import load_playbook
from soar.playbook.steps import KIND_KEYS
from soar.playbook.templates import TEMPLATES

ROOT = Path(__file__).resolve().parents[2]
SCHEMA: Any = json.loads((ROOT / "docs/reference/playbook.schema.json").read_text(encoding="utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
FILES = [
    *(p for p in sorted((ROOT / "playbooks").glob("*.yaml")) if not p.stem.endswith(".test")),
    *(ROOT / "soar/playbook/templates" / f"{name}.yaml" for name in TEMPLATES),
]
PAGES = [ROOT / "docs/playbooks.md", *sorted((ROOT / "docs/how-to").glob("*.md"))]
BLOCKS = [
    pytest.param(block, id=f"{page.stem}-{number}")
    for page in PAGES
    for number, block in enumerate(
        re.findall(r"^```yaml\n(name:.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL), 1
    )
]

WHOLE = """
name: whole
title: Whole
match: {source: guardduty, severity: high}
correlate_by: [alert.account]
metadata: {owner: us, reviewed: "2026-01-31", techniques: [T1078.004]}
roles: {responder: decides}
inputs: {hours: {type: number, default: 3}}
severity: [{when: "true", severity: critical}]
clocks: {tell: {due: 72h, starts: opened, warn: 1h}}
outputs: {done: steps.a.status}
on_failure: [{id: sorry, task: {role: responder, instructions: x}}]
on_cancel: undo
identification:
  - {id: a, do: aws.iam.describe_principal, with: {name: x, type: user}, when: true, technique: T1078}
  - {id: b, task: {role: responder, instructions: x, due: 1h, form: {f: {type: choice, options: [a, b]}}}}
  - {id: c, approve: Yes, approval: {role: responder, approvers: 2, expires: 1h, remind: 10m}}
  - {id: d, wait: {for: 10m}}
  - {id: e, wait: {until: "true", limit: 10m}, on_error: continue}
  - {id: f, wait: {alert: "true", limit: 10m}, notify: [responder]}
  - set: {x: [1, {a: null}]}
  - {id: g, playbook: other, with: {any: thing}}
  - {if: true, then: [{set: {y: 1}}], else: [{set: {z: 1}}]}
  - {switch: vars.x, cases: {1: [{set: {y: 1}}]}, default: [{set: {z: 1}}]}
  - {id: p, parallel: {one: [{set: {q: 1}}]}, concurrency: 2}
  - {parallel: [[{set: {r: 1}}]]}
  - {id: h, foreach: vars.x, as: it, collect: it, concurrency: 2, steps: [{set: {s: 1}}]}
  - {id: i, repeat: [{set: {t: 1}}], until: true, attempts: 3, every: 1m}
containment:
  - id: j
    do: aws.iam.quarantine_user
    with: {user_name: "{{ alert.actor.name }}"}
    approval: {role: responder}
    expires: 2d
    retry: {attempts: 2, backoff: 5s, on: [Throttled]}
    timeout: 1h
""".replace("approve: Yes", "approve: Shall it be?").replace("{1: [{set", "{'1': [{set")


def data(text: str) -> Any:
    return parse_yaml(text, file="test").data


def wrong(text: str) -> list[str]:
    return [error.message for error in VALIDATOR.iter_errors(data(text))]


def test_it_is_a_schema_and_the_published_one_is_of_this_version() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert playbook_schema(catalogue()) == SCHEMA


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_every_playbook_that_ships_fits(path: Path) -> None:
    assert wrong(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("block", BLOCKS)
def test_every_playbook_in_the_documentation_fits(block: str) -> None:
    assert wrong(block) == []


def test_every_kind_of_step_fits_with_all_that_it_may_say() -> None:
    load_playbook(WHOLE, file="test")
    assert wrong(WHOLE) == []
    kinds = {key for step in data(WHOLE)["identification"] for key in step if key in KIND_KEYS}
    assert kinds == set(KIND_KEYS)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("title: Whole", "titel: Whole"),
        ("title: Whole", 'title: "{{ alert.title }}"'),
        ("name: whole", "name: Whole"),
        ("correlate_by: [alert.account]\n", ""),
        ("{source: guardduty, severity: high}", "{}"),
        ("{source: guardduty, severity: high}", "{source: guardduty, severity: 3}"),
        ('reviewed: "2026-01-31"', "reviewed: soon"),
        ("{responder: decides}", "{Responder: decides}"),
        ("{type: number, default: 3}", "{type: number, default: x}"),
        ("{type: number, default: 3}", "{type: number, default: true}"),
        ("due: 72h", "due: 72"),
        ("due: 72h", "due: 72 hours"),
        ("due: 72h", "due: 0h"),
        ("on_cancel: undo", "on_cancel: stop"),
        ("do: aws.iam.describe_principal", "do: aws.iam.describe_principals"),
        ("with: {name: x, type: user}, ", ""),
        ("with: {name: x, type: user}", "with: {type: user}"),
        ("with: {name: x, type: user}", "with: {name: x, typ: user}"),
        ("with: {name: x, type: user}", "with: {name: x, type: group}"),
        ("technique: T1078}", "technique: X1}"),
        ("options: [a, b]", "label: x"),
        ("type: choice, ", ""),
        ("approval: {role: responder, approvers: 2, expires: 1h, remind: 10m}", "approval: {approvers: 2}"),
        ("{for: 10m}", "{for: 10m, limit: 1h}"),
        ("{for: 10m}", "{for: 10m, until: x}"),
        ("{for: 10m}", "{limit: 10m}"),
        ('{until: "true", limit: 10m}', '{until: "true"}'),
        ('{alert: "true", limit: 10m}', '{alert: "true"}'),
        ("on_error: continue", "on_error: ignore"),
        ("set: {x: [1, {a: null}]}", "set: {}"),
        ("set: {x: [1, {a: null}]}", "set: {X: 1}"),
        ("{id: g, playbook: other,", "{playbook: other,"),
        ("then: [{set: {y: 1}}]", "then: []"),
        ("{id: d, wait: {for: 10m}}", "{id: d, wait: {for: 10m}, set: {a: 1}}"),
        ("{id: d, wait: {for: 10m}}", "{id: d, wait: {for: 10m}, do: report.write}"),
        ("{id: d, wait: {for: 10m}}", "{id: d}"),
        ("{id: d, wait: {for: 10m}}", "{id: D, wait: {for: 10m}}"),
        ("{id: d, wait: {for: 10m}}", "{id: d, wait: {for: 10m}, every: 1m}"),
        ("concurrency: 2}\n  - {parallel", "concurrency: 0}\n  - {parallel"),
        ("[[{set: {r: 1}}]]", "[]"),
        ("{id: h, foreach", "{foreach"),
        ("attempts: 3", "attempts: 0"),
        ("attempts: 3, ", ""),
        ("on: [Throttled]", "on: [Broken]"),
        ("timeout: 1h", "timeout: 90"),
        ("expires: 2d", "expires: tomorrow"),
        ("retry: {attempts: 2,", "retry: {attempts: 2, times: 3,"),
    ],
)
def test_what_the_loader_refuses_an_editor_marks(old: str, new: str) -> None:
    assert old in WHOLE
    text = WHOLE.replace(old, new, 1)
    assert wrong(text) != []
    arguments = ("do: aws.iam.d", "with: {", "with: {name: x, type: user}, ")
    if not old.startswith(arguments):  # those are the linter's
        with pytest.raises(PlaybookError):
            load_playbook(text, file="test")


def test_a_playbook_without_steps_is_marked() -> None:
    assert wrong("name: none\n") != []
    assert wrong("name: none\ncontainment: []\n") != []


def test_what_is_wrong_in_a_step_is_said_of_its_kind() -> None:
    (error,) = VALIDATOR.iter_errors(data(WHOLE.replace("{for: 10m}", "{for: ten}", 1)))
    assert error.json_path == "$.identification[3].wait.for"
    (error,) = VALIDATOR.iter_errors(
        data(WHOLE.replace("concurrency: 2, steps", "concurrency: many, steps", 1))
    )
    assert error.json_path == "$.identification[12].concurrency"


def test_arguments_are_completed_for_each_action_and_may_be_templates() -> None:
    action = SCHEMA["$defs"]["ActionStep"]
    known = with_builtins(catalogue())
    assert [one["const"] for one in action["properties"]["do"]["oneOf"]] == sorted(known)
    by_name = {one["if"]["properties"]["do"]["const"]: one["then"] for one in action["allOf"]}
    assert set(by_name) == set(known)
    for name, spec in known.items():
        declared = spec.params.get("properties")
        assert isinstance(declared, dict)
        assert set(by_name[name]["properties"]["with"]["properties"]) == set(declared)


@pytest.mark.parametrize(
    ("given", "fits"),
    [
        ("timeout: 5", True),
        ('timeout: "{{ inputs.seconds }}"', True),
        ("timeout: soon", False),
        ('accept: [200, "{{ inputs.code }}"]', True),
        ("accept: [200, fine]", False),
        ('poll: {until: {status: [200]}, interval: "{{ inputs.seconds }}"}', True),
        ("poll: {until: {status: [200]}, interval: often}", False),
        ("poll: {until: {status: [200]}, times: 3}", False),
        ('auth: "{{ inputs.auth }}"', True),
        ("auth: {secret: Not-A-Name}", False),
    ],
)
def test_a_template_may_stand_in_place_of_a_value_at_any_depth(given: str, fits: bool) -> None:
    step = f"  - id: a\n    do: http.get\n    with:\n      url: https://a.example/\n      {given}\n"
    assert (wrong(f"name: t\nidentification:\n{step}") == []) is fits


def test_every_key_has_help_from_its_declaration() -> None:
    ours = {name: part for name, part in SCHEMA["$defs"].items() if "." not in name and "properties" in part}
    assert set(ours) >= {kind.__name__ for kind in KIND_KEYS.values()} | {"Step", "Match", "Clock"}
    for name, part in {**ours, "Playbook": SCHEMA}.items():
        assert part["description"], name
        assert "Args:" not in part["description"]
        for key, shown in part["properties"].items():
            assert shown.get("description"), f"{name}.{key}"
            assert "Seconds" not in shown["description"], f"{name}.{key}"
    retry = SCHEMA["$defs"]["Retry"]["properties"]
    assert retry["attempts"]["description"] == "All attempts, the first one included."
    wait = SCHEMA["$defs"]["RepeatStep"]["properties"]["every"]
    assert wait["description"] == "Time between rounds. Written `30s`, `15m`, `4h` or `2d`."
    assert set(KIND_KEYS) <= set(SCHEMA["$defs"]["Step"]["properties"])
