"""`soar playbook import` and `export`, as a person at a terminal uses them."""

from __future__ import annotations

import ast
import json
import os
from pathlib import Path
from typing import Any

import pytest
from cacao_world import END, START, http_step, ident, playbook, written
from typer.testing import CliRunner, Result

from soar.cli.main import app
from soar.cli.output import CommandFailed
from soar.playbook.diagnostics import PlaybookError
from soar.playbook.rules import RULES
from soar.runtime.parts import load_library
from soar.runtime.settings import Settings, SettingsError, load_settings

ONE = ident("action", "only")
CACAO = Path(__file__).resolve().parents[2] / "soar" / "playbook" / "cacao"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = tmp_path / "playbooks"
    made.mkdir()
    monkeypatch.setenv("SOAR_PLAYBOOKS", str(made))
    return made


def run(*words: str) -> Result:
    return CliRunner().invoke(app, ["playbook", *words], obj={})


def failure(result: Result) -> str:
    assert isinstance(result.exception, CommandFailed)
    return str(result.exception)


def saved(path: Path, told: dict[str, Any]) -> str:
    path.write_text(written(told))
    return str(path)


def test_an_imported_playbook_is_loaded_listed_shown_and_linted(folder: Path, tmp_path: Path) -> None:
    file = saved(tmp_path / "in.json", playbook())
    assert run("import", file, "--check").exit_code == 0
    assert list(folder.iterdir()) == []
    result = run("import", file)
    assert result.exit_code == 0, result.output
    assert (folder / "isolate-a-host.cacao.json").read_bytes() == Path(file).read_bytes()
    assert "isolate-a-host" in run("list").stdout
    assert "http.request" in run("show", "isolate-a-host").stdout
    assert run("lint").exit_code == 0
    (loaded,) = load_library(load_settings())
    assert loaded.playbook.match is None
    assert run("export", "isolate-a-host").stdout == loaded.text


def test_what_cannot_run_is_refused_with_its_place(folder: Path, tmp_path: Path) -> None:
    bash = http_step("only", commands=[{"type": "bash", "command": "id"}])
    result = run("import", saved(tmp_path / "in.json", playbook({ONE: bash})))
    assert "was not written" in failure(result)
    assert "in.json:" in result.stdout
    assert ONE in result.stdout
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("told", [{"revoked": True}, {"valid_until": "2026-02-02T00:00:00Z"}])
def test_what_must_not_be_used_is_not_loaded(folder: Path, told: dict[str, Any]) -> None:
    saved(folder / "old.cacao.json", playbook(**told))
    with pytest.raises(PlaybookError) as caught:
        load_library(load_settings())
    assert {d.rule for d in caught.value.diagnostics} <= {"revoked", "expired"}


def test_playbooks_that_call_each_other_are_loaded_whatever_their_order(folder: Path) -> None:
    call = {"type": "playbook-action", "playbook_id": ident("playbook", "child"), "on_completion": END}
    calling = playbook({ident("playbook-action", "call"): call})
    child = playbook(id=ident("playbook", "child"), name="Child")
    saved(folder / "a.cacao.json", calling)
    saved(folder / "b.cacao.json", child)
    assert [loaded.playbook.name for loaded in load_library(load_settings())] == ["child", "isolate-a-host"]
    assert run("lint", str(folder / "a.cacao.json")).exit_code == 0
    back = playbook({ident("playbook-action", "back"): {**call, "playbook_id": calling["id"]}})
    saved(folder / "b.cacao.json", {**back, "id": child["id"], "name": "Child"})
    with pytest.raises(PlaybookError) as caught:
        load_library(load_settings())
    assert "calls-itself" in {d.rule for d in caught.value.diagnostics}


def test_an_earlier_version_and_another_playbook_are_not_written_over(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "in.json"
    assert run("import", saved(file, playbook())).exit_code == 0
    earlier = playbook(modified="2026-01-31T12:00:00.000Z")
    assert "later version" in failure(run("import", saved(file, earlier)))
    other = playbook(id=ident("playbook", "other"))
    assert "another playbook" in failure(run("import", saved(file, other)))
    assert len(list(folder.iterdir())) == 1


def test_an_export_is_the_same_for_the_same_version(tmp_path: Path) -> None:
    out = tmp_path / "out.cacao.json"
    source = tmp_path / "a.yaml"
    source.write_text("name: a\nlessons_learned: [{id: report, do: report.write}]\n")
    os.utime(source, (1_760_000_000, 1_760_000_000))
    assert run("export", str(source), "-o", str(out)).exit_code == 0
    first = out.read_bytes()
    told = json.loads(first)
    assert told["modified"] == "2025-10-09T08:53:20.000Z"
    os.utime(source, (1_770_000_000, 1_770_000_000))
    assert run("export", str(source), "-o", str(out)).exit_code == 0
    assert out.read_bytes() == first
    source.write_text("name: a\ntitle: New\nlessons_learned: [{id: report, do: report.write}]\n")
    os.utime(source, (1_770_000_000, 1_770_000_000))
    assert run("export", str(source), "-o", str(out)).exit_code == 0
    changed = json.loads(out.read_bytes())
    assert (changed["created"], changed["modified"]) == (told["created"], "2026-02-02T02:40:00.000Z")
    assert START not in changed["workflow"]


def test_roles_of_agents_come_from_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().cacao.manual_role == "incident-commander"
    monkeypatch.setenv("SOAR_CACAO_ROLE", "analyst")
    monkeypatch.setenv("SOAR_CACAO_ROLES", "Network team=network, Help desk = service-desk")
    cacao = load_settings().cacao
    assert cacao.manual_role == "analyst"
    assert cacao.roles == {"Network team": "network", "Help desk": "service-desk"}
    monkeypatch.setenv("SOAR_CACAO_ROLES", "Network team")
    with pytest.raises(SettingsError, match="SOAR_CACAO_ROLES"):
        load_settings()


def test_every_rule_of_an_import_can_be_explained() -> None:
    used = set()
    for path in CACAO.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and len(node.args) > 1:
                rule = node.args[1]
                if node.func.attr in ("add", "wrong", "_refuse", "diagnostic") and isinstance(
                    rule, ast.Constant
                ):
                    used.add(rule.value)
    assert len(used) > 30
    assert used - set(RULES) == set()
