"""The page that teaches the playbook language, as its tests read it.

A block of YAML that begins with `name:` is a whole playbook. Any other is a part, which the page puts below the head of
the first block: its name, its `match`, its `correlate_by`. In front of a block may stand, unseen by readers, which file
it is, and behind it what people do and what is to come of it:

    <!-- file: what-was-done.yaml -->
    <!-- tests … -->        a test file, as `soar playbook test` takes it
    <!-- shell … -->        behind a block of commands: command → {exit, says}, where it is not just 0
"""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from soar.playbook.document import parse_yaml
from soar.playbook.loader import LoadedPlaybook, load_playbook

PAGE = Path(__file__).resolve().parents[2] / "docs/playbooks.md"
TEXT = PAGE.read_text(encoding="utf-8")
HEAD_KEYS = ("name", "match", "correlate_by")

_BLOCK = re.compile(
    r"(?:^<!-- file: (?P<file>\S+) -->\n)?"
    r"^```(?P<language>yaml|sh)\n(?P<text>.*?)^```\n"
    r"(?:\n<!-- (?P<what>tests|shell)\n(?P<comment>.*?)^-->)?",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """A playbook of the page.

    Args:
        id: What its tests are called by: its number and the heading above it.
        line: Where it stands in the page.
        file: What its file is called.
        text: The whole playbook, woven where the page shows a part.
        tests: Its test file; empty: none of its own, since others call it.
    """

    id: str
    line: int
    file: str
    text: str
    tests: str

    def load(self) -> LoadedPlaybook:
        """Read it."""
        return load_playbook(self.text, file=f"{PAGE.name}:{self.line}")

    def write(self, folder: Path) -> Path:
        """Write it, what it may call, and its tests.

        Returns:
            The file of its tests.
        """
        for block in (*CALLED.values(), self):
            (folder / block.file).write_text(block.text, encoding="utf-8")
        file = folder / self.file.replace(".yaml", ".test.yaml")
        file.write_text(self.tests, encoding="utf-8")
        return file


@dataclass(frozen=True)
class Command:
    """A command of the page.

    Args:
        words: What is typed after `soar`.
        exit: The exit code that it ends with.
        says: A part of what it prints.
    """

    line: str
    words: tuple[str, ...]
    exit: int
    says: str


def find(name: str) -> LoadedPlaybook:
    """A playbook of the page that others call.

    Raises:
        KeyError: The page has none of this name.
    """
    return CALLED[f"{name}.yaml"].load()


def _woven(text: str, head: dict[str, Any]) -> str:
    if text.startswith("name:"):
        return text
    said = re.findall(r"^(\w+):", text, re.MULTILINE)
    given = {key: head[key] for key in HEAD_KEYS if key not in said}
    # JSON is YAML.
    return "".join(f"{key}: {json.dumps(value)}\n" for key, value in given.items()) + text


def _mapping(text: str) -> dict[str, Any]:
    data = parse_yaml(text, file=PAGE.name).data
    assert isinstance(data, dict)
    return dict(data)


def _read() -> tuple[list[Block], list[Command]]:
    blocks: list[Block] = []
    commands: list[Command] = []
    head: dict[str, Any] = {}
    for found in _BLOCK.finditer(TEXT):
        before = TEXT[: found.start("text")]
        comment = found["comment"] or ""
        if found["language"] == "sh":
            expected = _mapping(comment) if found["what"] == "shell" else {}
            for line in found["text"].splitlines():
                typed = line.partition("  #")[0].strip()
                said = expected.pop(typed, {})
                words = tuple(shlex.split(typed)[1:])
                commands.append(Command(typed, words, said.get("exit", 0), said.get("says", "")))
            assert not expected, f"the comment names commands that the block has not: {sorted(expected)}"
            continue
        head = head or _mapping(found["text"])
        heading = re.findall(r"^## (.+)$", before, re.MULTILINE)[-1]
        blocks.append(
            Block(
                id=f"{len(blocks) + 1}-{re.sub(r'[^a-z]+', '-', heading.lower()).strip('-')}",
                line=before.count("\n") + 1,
                file=found["file"] or f"{head['name']}.yaml",
                text=_woven(found["text"], head),
                tests=comment if found["what"] == "tests" else "",
            )
        )
    return blocks, commands


BLOCKS, COMMANDS = _read()
CALLED = {block.file: block for block in BLOCKS if not block.tests}
