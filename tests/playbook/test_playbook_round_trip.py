"""Playbooks that nobody thought of, exported as CACAO and imported again; and put right by the linter."""

from __future__ import annotations

import copy
import json
from typing import Any

from cacao_world import NOW, ident, written
from drawn_playbooks import CALLED, Drawn, playbooks
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from soar.model.spec import ActionSpec
from soar.model.terms import Phase as IncidentPhase
from soar.model.terms import Risk
from soar.playbook.cacao.checks import check_cacao
from soar.playbook.cacao.document import read_cacao
from soar.playbook.cacao.exporter import EXTENSION, ExportSettings, export_playbook
from soar.playbook.cacao.importer import Imported, import_cacao
from soar.playbook.compiler import compile_playbook
from soar.playbook.diagnostics import Diagnostic, PlaybookError
from soar.playbook.fixes import fixed
from soar.playbook.lint import lint
from soar.playbook.loader import LoadedPlaybook, load_playbook

SETTINGS = ExportSettings(
    created_by=ident("identity", "we"),
    created="2026-01-01T00:00:00.000Z",
    modified="2026-01-01T00:00:00.000Z",
    server="https://soar.example",
)


def _spec(name: str, risk: Risk, params: list[str]) -> ActionSpec:
    told: dict[str, Any] = {"title": name, "phase": IncidentPhase.CONTAINMENT, "queue": "q", "result": {}}
    schema: Any = {
        "type": "object",
        "properties": {param: {"type": "string"} for param in params},
        "required": ["lamp"] if params else [],
        "additionalProperties": not params,
    }
    return ActionSpec(name=name, risk=risk, params=schema, undoable=risk is Risk.REVERSIBLE, **told)


CATALOGUE = {
    s.name: s
    for s in (
        _spec("http.get", Risk.READ, []),
        _spec("http.request", Risk.REVERSIBLE, []),
        _spec("lamp.look", Risk.READ, ["lamp"]),
        _spec("lamp.switch", Risk.REVERSIBLE, ["lamp", "to"]),
    )
}
bounded = settings(
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def find(name: str) -> LoadedPlaybook:
    return {"called": load_playbook(json.dumps(CALLED), file="called.yaml")}[name]


def exported(drawn: Drawn) -> tuple[LoadedPlaybook, dict[str, Any]]:
    before = load_playbook(drawn.text, file="drawn.yaml")
    return before, dict(export_playbook(before, CATALOGUE, SETTINGS).document)


def back(told: dict[str, Any]) -> Imported:
    return import_cacao(written(told), file="a.json", catalogue=CATALOGUE, now=NOW, find=find)


drawn_ones = st.booleans().flatmap(lambda risky: playbooks(risky=risky, timed=True, crossing=True))


@settings(bounded, max_examples=60)
@given(drawn_ones)
def test_an_export_comes_back_as_the_same_playbook(drawn: Drawn) -> None:
    before, told = exported(drawn)
    playbook, document = read_cacao(written(told), file="a.json")
    assert [d for d in check_cacao(playbook, document, now=NOW) if d.severity == "error"] == []
    found = back(told)
    assert found.ours
    assert found.loaded.digest == before.digest
    assert found.loaded.playbook == before.playbook
    assert exported(drawn)[1] == told, "the same playbook gives the same export"


def test_a_case_that_its_value_can_never_have_is_no_error_of_the_export() -> None:
    text = """name: a
inputs: {count: {type: number, default: 2}}
containment:
  - switch: inputs.count
    cases:
      "3": [{id: three, do: lamp.look, with: {lamp: hall}}]
      many: [{id: many, do: lamp.look, with: {lamp: hall}}]
"""
    before = load_playbook(text, file="a.yaml")
    found = back(dict(export_playbook(before, CATALOGUE, SETTINGS).document))
    assert found.ours
    assert found.loaded.digest == before.digest


@settings(bounded, max_examples=40)
@given(drawn_ones, st.data())
def test_an_edited_export_keeps_the_edit_and_every_other_step(drawn: Drawn, data: st.DataObject) -> None:
    before, told = exported(drawn)
    ours = [
        (key, step["step_extensions"][EXTENSION]["step"])
        for key, step in told["workflow"].items()
        if step["type"] == "action" and EXTENSION in step.get("step_extensions", {})
    ]
    edited, our_id = data.draw(st.sampled_from(ours))
    changed = copy.deepcopy(told)
    changed["name"] = "Edited by hand"
    changed["workflow"][edited]["name"] = "Another name"
    changed["workflow"][edited]["commands"] = [{"type": "manual", "command": "Do it by hand."}]
    agents = {"group--" + ident("g", "x").partition("--")[2]: {"type": "group", "name": "incident-commander"}}
    changed["agent_definitions"] = {**told.get("agent_definitions", {}), **agents}
    changed["workflow"][edited]["agent"] = next(iter(agents))
    changed["workflow"][edited].pop("targets", None)
    found = back(changed)
    assert not found.ours
    assert found.loaded.playbook.title == "Edited by hand"
    assert found.loaded.digest != before.digest
    was, now = compile_playbook(before, CATALOGUE, find), compile_playbook(found.loaded, CATALOGUE, find)
    kinds = {node.kind for node in now.nodes.values() if node.name == "Another name"}
    assert "task" in kinds
    assert not kinds & {"action", "ask"}
    for key, other in ours:
        if key != edited and other in was.nodes:
            assert other in now.nodes, f"{other} is lost"
            mine, its = was.nodes[other], now.nodes[other]
            assert (mine.kind, mine.on_error) == (its.kind, its.on_error)
    assert our_id not in now.nodes or now.nodes[our_id].kind != "action"


@settings(bounded, max_examples=40)
@given(drawn_ones)
def test_the_ids_of_steps_are_stable(drawn: Drawn) -> None:
    _, told = exported(drawn)
    other = copy.deepcopy(drawn.playbook)
    other["title"] = "Another title"
    other["recovery"].append({"id": "added", "do": "lamp.look", "with": {"lamp": "hall"}})
    _, again = exported(Drawn(other, drawn.called, drawn.lamps))
    assert told["id"] == again["id"]
    new = set(again["workflow"]) - set(told["workflow"])
    assert set(told["workflow"]) <= set(again["workflow"])
    names = [again["workflow"][key].get("step_extensions", {}).get(EXTENSION, {}).get("step") for key in new]
    assert set(names) <= {"added", None}


# What follows is about the linter, which looks at the same playbooks.


def look(text: str) -> list[Diagnostic]:
    try:
        return lint(load_playbook(text, file="drawn.yaml"), CATALOGUE, find)
    except PlaybookError as error:
        return list(error.diagnostics)


_SLIPS = (
    ("steps.", "stps."),
    (".result.", ".reslt."),
    ("alert.title", "alert.titel"),
    ("lamp.look", "lamp.loo"),
    ("'succeeded'", "'succeded'"),
    ('"on_error"', '"on_eror"'),
    ('"with"', '"wiht"'),
    ("inputs.", "input."),
    ('"continue"', '"contineu"'),
    ('"role": "incident-commander"', '"role": "incident-comander"'),
)
UNREAD = frozenset({"unknown-field", "missing-field", "unknown-value", "bad-value", "bad-name"})
"""Rules of findings that stand in the way of reading the rest of a file."""


@settings(bounded, max_examples=60)
@given(drawn_ones, st.lists(st.sampled_from(_SLIPS), max_size=3), st.booleans())
def test_what_the_linter_puts_right_is_right_and_nothing_is_worse(
    drawn: Drawn, slips: list[tuple[str, str]], indented: bool
) -> None:
    text = json.dumps(drawn.playbook, indent=2, ensure_ascii=False) if indented else drawn.text
    for right, wrong in slips:
        text = text.replace(right, wrong, 1)
    before = look(text)
    better, done = fixed(text, look)
    after = look(better)
    if not UNREAD & {d.rule for d in before}:
        load_playbook(better, file="drawn.yaml")
        assert len(after) <= len(before)
    assert bool(done) == (better != text)
    assert fixed(better, look) == (better, []), "there is nothing left to put right"
