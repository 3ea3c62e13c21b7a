"""Playbooks that somebody else wrote: nothing in them or their names reaches the terminal, nor passes unchecked."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, NoReturn

import pytest

from soar.cli.exit_codes import ExitCode

SHIPPED = Path(__file__).parents[2] / "playbooks"
ESCAPE = "\x1b"


def shipped() -> Path:
    """One playbook that ships."""
    return next(p for p in sorted(SHIPPED.glob("*.yaml")) if not p.stem.endswith(".test"))


def test_a_file_name_cannot_control_the_terminal(soar: Any, tmp_path: Path) -> None:
    (tmp_path / f"a{ESCAPE}[2Jb.yaml").write_text("name: [")
    code, out, err = soar("playbook", "lint", str(tmp_path))
    assert (code, ".yaml:1:" in out) == (ExitCode.FAILED, True)
    assert ESCAPE not in out + err


def test_a_description_cannot_control_the_terminal(
    soar: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hostile.yaml").write_text(
        'name: hostile\ndescription: "before\\e[2J\\u202eafter"\nmatch: {source: guardduty}\n'
        "correlate_by: [alert.account]\nidentification:\n  - id: key\n    do: aws.iam.deactivate_access_key\n"
        "    with: {user_name: x, access_key_id: AKIAIOSFODNN7EXAMPLE}\n"
    )
    monkeypatch.setenv("SOAR_PLAYBOOKS", str(tmp_path))
    code, out, err = soar("playbook", "show", "hostile")
    assert code == 0, err
    assert "before" in out
    assert ESCAPE not in out
    assert "\u202e" not in out


def test_lint_refuses_what_could_not_be_loaded_together(soar: Any, tmp_path: Path) -> None:
    for name in ("a.yaml", "b.yaml"):
        shutil.copy(shipped(), tmp_path / name)
    code, out, _ = soar("playbook", "lint", str(tmp_path))
    assert (code, "is taken by" in out) == (ExitCode.FAILED, True)


def test_lint_of_nothing_is_not_a_success(soar: Any, tmp_path: Path) -> None:
    code, out, err = soar("playbook", "lint", str(tmp_path))
    assert (code, out, "nothing was checked" in err) == (ExitCode.NOT_FOUND, "", True)


def test_an_unexpected_error_is_one_line_and_debug_shows_where(
    soar: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> NoReturn:
        raise RuntimeError(f"one\ntwo {ESCAPE}[2J")

    monkeypatch.delenv("SOAR_DEBUG", raising=False)
    monkeypatch.setattr("soar.actions.registry.catalogue", broken)
    code, out, err = soar("actions", "list")
    assert (code, out, len(err.splitlines()), "Traceback" in err) == (ExitCode.FAILED, "", 1, False)
    code, _, err = soar("--debug", "actions", "list")
    assert (code, "Traceback" in err, ESCAPE in err) == (ExitCode.FAILED, True, False)
