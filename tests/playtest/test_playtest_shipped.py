"""The playbooks that ship pass their own tests, and each has the tests that every playbook needs."""

from __future__ import annotations

from pathlib import Path

import pytest

from soar.playbook.library import Library
from soar.playtest.files import find_tests, load_tests
from soar.playtest.run import plan, run_tests

FOLDER = Path(__file__).resolve().parents[2] / "playbooks"
FILES = find_tests([str(FOLDER)], ())


def test_every_playbook_that_ships_has_tests() -> None:
    assert [load_tests(path).playbook.playbook.name for path in FILES] == [
        loaded.playbook.name for loaded in Library.load(FOLDER)
    ]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
async def test_a_playbook_that_ships_passes_its_tests(path: Path) -> None:
    planned, broken = plan([path])
    assert not broken
    results = await run_tests(planned)
    assert [r.name for r in results] == [p.case.name for p in planned]
    wrong = {r.name: [*map(str, r.failures), *r.timeline] for r in results if r.status != "passed"}
    assert not wrong


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_playbook_that_ships_is_tested_for_what_can_happen_to_it(path: Path) -> None:
    """The happy way, a denial, silence, an action that fails, and the same alert twice."""
    tests = load_tests(path).file.tests
    done = [{person.do for person in case.people} for case in tests]
    assert any(case.expect.checks and case.expect.incident for case in tests)
    assert any("deny" in kinds for kinds in done)
    assert any(not case.people and case.expect.checks is False for case in tests)
    assert any(case.account and case.account.faults for case in tests)
    assert any(case.expect.incidents == 1 and len(case.alerts or ()) > 1 for case in tests)
