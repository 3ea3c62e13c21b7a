"""Every playbook on the page that teaches the language is one: it loads, compiles and has no error."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from soar.actions.registry import catalogue
from soar.playbook.compiler import compile_playbook
from soar.playbook.lint import lint
from soar.playbook.loader import load_playbook
from soar.playbook.steps import KIND_KEYS

PAGE = Path(__file__).resolve().parents[2] / "docs/playbooks.md"
BLOCKS = re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("text", BLOCKS, ids=[f"block-{n}" for n in range(1, len(BLOCKS) + 1)])
def test_each_block_is_a_playbook_without_errors(text: str) -> None:
    loaded = load_playbook(text, file="docs/playbooks.md")
    assert [str(d) for d in lint(loaded, catalogue()) if d.severity == "error"] == []
    assert compile_playbook(loaded, catalogue()).nodes


def test_the_page_shows_or_names_every_kind_of_step() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert [kind for kind in KIND_KEYS if not re.search(rf"\b{kind}\b", page)] == []
