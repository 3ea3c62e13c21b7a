"""`soar playbook new`: what it writes is clean, runs, and passes its tests."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from soar.actions.registry import catalogue
from soar.cli.exit_codes import ExitCode
from soar.cli.playbook_new import from_template
from soar.playbook.lint import lint
from soar.playbook.loader import load_playbook
from soar.playbook.templates import NAME, TEMPLATES, TITLE
from soar.playtest.run import plan, run_tests

FOLDER = Path(__file__).resolve().parents[2] / "soar" / "playbook" / "templates"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "playbooks"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("SOAR_PLAYBOOKS", str(folder))
    return folder


def test_every_template_is_named_and_has_tests() -> None:
    assert sorted(p.name for p in FOLDER.glob("*.yaml")) == sorted(
        f"{name}{suffix}" for name in TEMPLATES for suffix in (".yaml", ".test.yaml")
    )


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_template_has_no_findings_and_explains_itself(template: str) -> None:
    text, tests = from_template(template, "stolen-key")
    loaded = load_playbook(text, file="stolen-key.yaml")
    assert (loaded.playbook.name, loaded.playbook.title) == ("stolen-key", "Stolen key")
    assert [str(d) for d in lint(loaded, catalogue())] == []
    assert NAME not in text + tests
    assert TITLE not in text + tests
    assert text.startswith("# yaml-language-server: $schema=playbook.schema.json\n")
    assert len(re.findall(r"(?:^|\s)# ", text)) >= 6
    assert len(YAML(typ="safe", pure=True).load(tests)["tests"]) >= 2


@pytest.mark.timeout(900)
@pytest.mark.parametrize("template", TEMPLATES)
async def test_a_template_passes_its_tests(template: str, tmp_path: Path) -> None:
    text, tests = from_template(template, "stolen-key")
    (tmp_path / "stolen-key.yaml").write_text(text, encoding="utf-8")
    (tmp_path / "stolen-key.test.yaml").write_text(tests, encoding="utf-8")
    planned, broken = plan([tmp_path / "stolen-key.test.yaml"])
    assert not broken
    results = await run_tests(planned)
    assert len(results) == len(planned) >= 2
    wrong = {r.name: [*map(str, r.failures), *r.timeline] for r in results if r.status != "passed"}
    assert not wrong


def test_a_new_playbook_is_written_with_its_tests_and_what_comes_next(soar: Any, here: Path) -> None:
    code, out, err = soar("playbook", "new", "stolen-key", "--template", "containment")
    assert (code, out) == (0, "")
    assert sorted(p.name for p in here.iterdir()) == ["stolen-key.test.yaml", "stolen-key.yaml"]
    for command in (
        "soar playbook schema > playbook.schema.json",
        "soar playbook lint stolen-key.yaml",
        "soar playbook test stolen-key.yaml",
        "soar playbook graph stolen-key.yaml -o stolen-key.svg",
    ):
        assert command in err
    assert "in force when the orchestrator is started again" in err
    code, out, _ = soar("playbook", "lint", ".", "--strict")
    assert (code, "0 errors, 0 warnings, 0 info" in out + _) == (0, True)
    assert soar("playbook", "graph", "stolen-key.yaml", "-o", "stolen-key.svg")[0] == 0


def test_it_goes_where_it_is_told(soar: Any, here: Path) -> None:
    inner = here / "inner"
    inner.mkdir()
    code, _, err = soar("playbook", "new", "one", "-o", "inner")
    assert (code, (inner / "one.yaml").is_file(), "SOAR_PLAYBOOKS" in err) == (0, True, True)
    assert soar("playbook", "new", "two", "-o", "inner/other.yml")[0] == 0
    assert (inner / "other.test.yml").is_file()
    code, _, err = soar("playbook", "new", "three", "-o", "three.json")
    assert (code, "call it three.yaml" in err) == (ExitCode.USAGE, True)
    code, _, err = soar("playbook", "new", "four", "-o", "no/such/four.yaml")
    assert (code, "cannot be written" in err) == (ExitCode.FAILED, True)


@pytest.mark.parametrize("there", ["stolen-key.yaml", "stolen-key.test.yaml"])
def test_nothing_is_overwritten(soar: Any, here: Path, there: str) -> None:
    (here / there).write_text("mine", encoding="utf-8")
    code, _, err = soar("playbook", "new", "stolen-key")
    assert (code, f"{there} is there already" in err) == (ExitCode.FAILED, True)
    assert (here / there).read_text(encoding="utf-8") == "mine"
    assert len(list(here.iterdir())) == 1


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("Stolen Key!", "write stolen-key"),
        ("7th", "write th"),
        ("../evil", "write evil"),
        ("x" * 65, f"write {'x' * 64}"),
        ("ключ", "begin with a small letter"),
        ("", "give it a name"),
    ],
)
def test_a_bad_name_is_refused_with_one_that_would_do(soar: Any, here: Path, name: str, hint: str) -> None:
    code, _, err = soar("playbook", "new", name)
    assert (code, hint in err) == (ExitCode.USAGE, True)
    assert list(here.iterdir()) == []


def test_a_name_that_is_taken_and_a_template_that_there_is_not(soar: Any, here: Path) -> None:
    assert soar("playbook", "new", "one")[0] == 0
    code, _, err = soar("playbook", "new", "one", "-o", "two.yaml")
    assert (code, "the name one is taken by" in err) == (ExitCode.USAGE, True)
    code, _, err = soar("playbook", "new", "two", "-t", "containmnt")
    assert (code, 'did you mean "containment"?' in err) == (ExitCode.USAGE, True)
    code, _, err = soar("playbook", "new", "two", "-t", "zzzzzz")
    assert (code, "minimal" in err) == (ExitCode.USAGE, True)
    (here / "broken.yaml").write_text("this is none\n", encoding="utf-8")
    assert soar("playbook", "new", "two")[0] == 0  # what is broken beside it does not matter


def test_the_templates_are_listed(soar: Any, here: Path) -> None:
    code, out, _ = soar("playbook", "new", "--list")
    assert code == 0
    assert all(name in out and about in out for name, about in TEMPLATES.items())
