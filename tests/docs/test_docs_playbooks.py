"""Every playbook on the page that teaches the language runs to the end of an incident, and does what the page says.

What its people do, and what is to come of it, stands behind each block in a comment, in the format of playbook tests.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from soar.actions.registry import catalogue
from soar.cli.main import run
from soar.playbook.compiler import compile_playbook
from soar.playbook.lint import lint
from soar.playbook.loader import LoadedPlaybook, load_playbook
from soar.playbook.schema import Playbook
from soar.playbook.steps import KIND_KEYS
from soar.playtest.run import TestResult, plan, run_tests

PAGE = (Path(__file__).resolve().parents[2] / "docs/playbooks.md").read_text(encoding="utf-8")
MAIN = "stranger-uses-a-key.yaml"


@dataclass(frozen=True)
class Block:
    """A playbook of the page. `tests`: what follows it in a comment."""

    file: str
    text: str
    tests: str


def blocks() -> list[Block]:
    pattern = re.compile(
        r"(?:^<!-- file: (?P<file>\S+) -->\n)?^```yaml\n(?P<text>.*?)^```\n(?:\n<!-- tests\n(?P<tests>.*?)^-->)?",
        re.MULTILINE | re.DOTALL,
    )
    return [Block(m["file"] or MAIN, m["text"], m["tests"] or "") for m in pattern.finditer(PAGE)]


BLOCKS = blocks()
CALLED = {block.file: block for block in BLOCKS if block.file != MAIN}


def find(name: str) -> LoadedPlaybook:
    return load_playbook(CALLED[f"{name}.yaml"].text, file=f"{name}.yaml")


def test_every_block_is_found_and_every_one_but_the_called_has_tests() -> None:
    assert len(BLOCKS) == PAGE.count("```yaml\n") == 7
    assert [b.text for b in BLOCKS if not b.tests] == [b.text for b in CALLED.values()]


@pytest.mark.parametrize("block", BLOCKS, ids=[f"block-{n}" for n in range(1, len(BLOCKS) + 1)])
def test_each_block_is_a_playbook_without_findings(block: Block) -> None:
    loaded = load_playbook(block.text, file=block.file)
    found = lint(loaded, catalogue(), find)
    assert [str(d) for d in found if d.severity == "error"] == []
    assert compile_playbook(loaded, catalogue(), find).nodes


@pytest.mark.timeout(400)
async def test_each_block_does_what_the_page_says(tmp_path: Path) -> None:
    files: list[Path] = []
    for number, block in enumerate(BLOCKS, start=1):
        if block.tests:
            folder = tmp_path / f"block-{number}"
            folder.mkdir()
            for other in CALLED.values():
                (folder / other.file).write_text(other.text)
            (folder / block.file).write_text(block.text)
            file = folder / block.file.replace(".yaml", ".test.yaml")
            file.write_text(block.tests)
            files.append(file)
    planned, broken = plan(files)
    assert [str(d) for result in broken for d in result.failures] == []
    results = await run_tests(planned)
    assert [told(result) for result in results if result.status != "passed"] == []
    assert len(results) >= 2 * len(files)


def told(result: TestResult) -> str:
    return f"{Path(result.file).parent.name}: {result.name}: " + "; ".join(str(d) for d in result.failures)


def keys_of_the_language() -> list[str]:
    fields = [(name, field.alias or name) for name, field in Playbook.model_fields.items()]
    return [alias for _, alias in fields]


def test_the_page_shows_every_kind_of_step_and_every_key_of_a_playbook() -> None:
    shown = "\n".join(block.text for block in BLOCKS)
    assert [kind for kind in KIND_KEYS if not re.search(rf"\b{kind}:", shown)] == []
    phases = {"preparation", "eradication", "phases"}
    missing = [k for k in keys_of_the_language() if not re.search(rf"^{k}:", shown, re.MULTILINE)]
    assert set(missing) <= phases | {"description"}


COMMON = [
    "id",
    "name",
    "when",
    "timeout",
    "on_error",
    "role",
    "technique",
    "notify",
    "retry",
    "approval",
    "expires",
]


def test_the_page_shows_every_key_that_steps_share() -> None:
    shown = "\n".join(block.text for block in BLOCKS)
    assert [key for key in COMMON if not re.search(rf"\b{key}:", shown)] == []


@pytest.mark.parametrize("command", ["lint", "graph", "diff", "plan"])
def test_the_commands_of_the_page_take_its_playbooks(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SOAR_HOME", str(tmp_path / "home"))
    file = tmp_path / MAIN
    file.write_text(BLOCKS[1].text)
    more = {
        "diff": [str(file)],
        "graph": ["-o", str(tmp_path / "drawn.svg")],
        "plan": ["--scenario", "leaked-key"],
    }
    assert run(["playbook", command, str(file), *more.get(command, [])]) == 0, capsys.readouterr()
