"""Every playbook and command on the page that teaches the language does what the page says, on the real engine.

What people do, and what is to come of it, stands behind each block in a comment that readers do not see.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playbook_page import BLOCKS, COMMANDS, TEXT, Block, Command

from soar.cli.main import run
from soar.playtest.policy import TEST_POLICY
from soar.playtest.run import TestResult
from soar.simulated.base import Attack
from soar.simulated.scenarios import SCENARIOS

RUN = [block for block in BLOCKS if block.tests]
PROCESSES = 2
"""How many run tests at once: one process, whatever it is told, uses hardly more than one core."""

Results = dict[str, list[TestResult]]


@dataclass(frozen=True)
class UnderWay:
    """Tests that run while the commands are tried.

    Args:
        files: Test file → the id of its block.
        processes: Each with where it writes its results.
    """

    files: dict[Path, str]
    processes: list[tuple[subprocess.Popen[bytes], Path]]


def _soar_test(files: list[Path], results: Path) -> subprocess.Popen[bytes]:
    """`soar playbook test` in a process of its own."""
    main = "import sys; from soar.cli.main import run; sys.exit(run(sys.argv[1:]))"
    words = ["playbook", "test", "--json", "-j", "2", *map(str, files)]
    with results.open("wb") as out:
        return subprocess.Popen([sys.executable, "-c", main, *words], stdout=out)


@pytest.fixture(scope="module")
def under_way(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[UnderWay]:
    """The tests of the blocks that this session asks about, begun."""
    mine = [
        item
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.path == request.path
    ]
    given = [item.callspec.params for item in mine if "results" in item.fixturenames]
    chosen = {block.id for params in given if isinstance(block := params.get("block"), Block)}
    files = {block.write(tmp_path_factory.mktemp(block.id)): block.id for block in RUN if block.id in chosen}
    # The ones with most tests first, in turn, so that both processes have as much to do.
    ordered = sorted(files, key=lambda file: -file.read_text(encoding="utf-8").count("- name:"))
    shares = [share for n in range(PROCESSES) if (share := ordered[n::PROCESSES])]
    written = tmp_path_factory.mktemp("results")
    begun = [
        (_soar_test(share, written / f"{n}.json"), written / f"{n}.json") for n, share in enumerate(shares)
    ]
    try:
        yield UnderWay(files, begun)
    finally:
        for process, _ in begun:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def results(under_way: UnderWay) -> Results:
    """How the tests of each block ended."""
    found: Results = {}
    for process, written in under_way.processes:
        assert process.wait() in (0, 1)
        for result in map(TestResult.model_validate, json.loads(written.read_bytes())):
            found.setdefault(under_way.files[Path(result.file)], []).append(result)
    return found


# ---- the commands ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the page's reader has it: the last playbook of the page, a policy and a finding."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "playbooks").mkdir()
    (folder / "playbooks" / RUN[-1].file).write_text(RUN[-1].text, encoding="utf-8")
    (folder / "policy.yaml").write_text(TEST_POLICY, encoding="utf-8")
    facts = {
        "user_name": "ci-deployer",
        "user_id": "AIDAEXAMPLE",
        "access_key_id": "AKIAIOSFODNN7EXAMPLE",
        "source_ip": "198.51.100.7",
    }
    attack = Attack.model_validate(
        {
            "scenario": "leaked-key",
            "account": "123456789012",
            "region": "us-east-1",
            "time": "2026-01-31T12:00:00Z",
            "facts": facts,
        }
    )
    finding = SCENARIOS["leaked-key"].finding(attack)
    (folder / "finding.json").write_text(json.dumps(finding), encoding="utf-8")
    return folder


def test_every_command_of_the_page_is_found() -> None:
    blocks = [part.partition("```")[0] for part in TEXT.split("```sh\n")[1:]]
    assert len(COMMANDS) == sum(line.startswith("soar ") for block in blocks for line in block.splitlines())
    said = {command.words[:2] for command in COMMANDS}
    assert said >= {
        ("playbook", word)
        for word in ("new", "schema", "lint", "list", "show", "graph", "diff", "test", "plan")
    }


@pytest.mark.timeout(120)
@pytest.mark.usefixtures("under_way")
def test_the_commands_of_the_page_do_what_it_says(
    home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """In the order of the page, since one makes what the next looks at."""
    for name in [name for name in os.environ if name.startswith("SOAR_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(home)
    monkeypatch.setenv("SOAR_HOME", str(home / "state"))
    monkeypatch.setenv("SOAR_PLAYBOOKS", str(home / "playbooks"))
    monkeypatch.setenv("SOAR_POLICY_FILE", str(home / "policy.yaml"))
    for command in COMMANDS:
        _typed(command, capfd)
    assert "<svg" in (home / "stranger.svg").read_text(encoding="utf-8")
    assert json.loads((home / "playbook.schema.json").read_text(encoding="utf-8"))["title"] == "Playbook"


def _typed(command: Command, capfd: pytest.CaptureFixture[str]) -> None:
    words, target = list(command.words), ""
    if ">" in words:
        words, target = words[: words.index(">")], words[-1]
    code = run(words)
    out, errors = capfd.readouterr()
    assert code == command.exit, f"{command.line} ended with {code}:\n{out}{errors}"
    assert command.says in out + errors, f"{command.line} said:\n{out}{errors}"
    assert out + errors, f"{command.line} said nothing"
    if target:
        Path(target).write_text(out, encoding="utf-8")


# ---- the playbooks --------------------------------------------------------------------------------------------------


@pytest.mark.timeout(300)
@pytest.mark.parametrize("block", RUN, ids=[block.id for block in RUN])
def test_each_block_does_what_the_page_says(block: Block, results: Results) -> None:
    told = [
        "\n".join([f"{result.name} ({result.status})", *map(str, result.failures), *result.timeline])
        for result in results[block.id]
        if result.status != "passed"
    ]
    assert not told, f"docs/playbooks.md:{block.line}\n" + "\n\n".join(told)


@pytest.mark.parametrize("block", RUN, ids=[block.id for block in RUN])
def test_each_block_says_how_it_ends(block: Block) -> None:
    """A test that looks at one step, and at nothing of the whole, would not see an incident that hangs."""
    assert any(word in block.tests for word in ("incident: closed", "incident: {status:"))
