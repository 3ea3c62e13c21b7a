"""The docs say what is so."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from soar.actions.registry import catalogue
from soar.playbook.lint import lint
from soar.playbook.loader import load_playbook
from soar.playbook.policy import load_policy

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *ROOT.glob("docs/**/*.md")])


def test_the_reference_is_what_the_code_declares() -> None:
    written = runpy.run_path(str(ROOT / "scripts" / "reference.py"))["pages"]()
    for name, text in written.items():
        kept = (ROOT / "docs" / "reference" / name).read_text(encoding="utf-8")
        assert kept == text, f"docs/reference/{name} is out of date: run scripts/reference.py"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_within_the_project_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?://|#)([^)#\s]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_example_can_be_used(page: Path) -> None:
    """A YAML block that begins with `name:` is a playbook, one that begins with `version:` a policy."""
    for block in re.findall(r"```yaml\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.S):
        if block.startswith("name:"):
            found = lint(load_playbook(block, file=page.name), catalogue())
            assert not [d for d in found if d.severity == "error"], [str(d) for d in found]
        elif block.startswith("version:"):
            load_policy(block, file=page.name)


def test_every_command_in_the_docs_exists() -> None:
    from soar.cli.main import run

    for page in PAGES:
        for words in re.findall(r"\bsoar ((?:[a-z]+ ?){1,2})", "\n".join(_code(page))):
            parts = words.split()
            known = run([*parts, "--help"]) == 0 or run([parts[0], "--help"]) == 0
            assert known, f"{page.name} names `soar {words}`"


def _code(page: Path) -> list[str]:
    """The shell lines of a page's `sh` blocks."""
    blocks = re.findall(r"```sh\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.S)
    return [line for block in blocks for line in block.splitlines() if not line.lstrip().startswith("#")]
