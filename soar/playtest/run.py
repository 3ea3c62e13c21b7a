"""Running tests: some at once, each with a result."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from temporalio.service import RPCError

from soar.engine.client import EngineUnavailable
from soar.model.base import Fact
from soar.playbook.diagnostics import Diagnostic, PlaybookError
from soar.playtest.expect import compare
from soar.playtest.files import LoadedTests, load_tests
from soar.playtest.play import Play, Problem, WorkflowBroken
from soar.playtest.server import test_server_binary
from soar.playtest.spec import TestCase
from soar.playtest.world import Bench, bench, isolated_environment, make_empty_store, open_world
from soar.store import StoreUnavailable

__all__ = ["TIMEOUT_SECONDS", "Planned", "TestResult", "plan", "run_tests"]

TIMEOUT_SECONDS = 180.0
"""How long one test may really take."""


class TestResult(Fact):
    """How one test ended.

    Args:
        file: The test file.
        line: Where the test stands in it.
        status: `error`: it could not be run.
        seconds: How long it really took.
        passed_seconds: How much time passed on the incident's clock.
        failures: What was otherwise than expected, each at its line.
        timeline: What happened, one line for each entry.
    """

    __test__ = False

    file: str
    name: str
    playbook: str = ""
    line: int
    status: Literal["passed", "failed", "error"]
    seconds: float = 0
    passed_seconds: float = 0
    failures: tuple[Diagnostic, ...] = ()
    timeline: tuple[str, ...] = ()


@dataclass(frozen=True)
class Planned:
    """One test that is to run."""

    tests: LoadedTests
    index: int

    @property
    def case(self) -> TestCase:
        """The test."""
        return self.tests.file.tests[self.index]

    @property
    def line(self) -> int:
        """Where it stands."""
        return self.tests.document.position(("tests", self.index)).line

    def result(self, status: Literal["passed", "failed", "error"], **more: object) -> TestResult:
        """A result of it."""
        return TestResult.model_validate(
            {
                "file": str(self.tests.path),
                "name": self.case.name,
                "playbook": self.tests.playbook.playbook.name,
                "line": self.line,
                "status": status,
                **more,
            }
        )

    def broken(self, message: str, seconds: float) -> TestResult:
        """A result that says why the test could not be run to its end."""
        return self.result("error", seconds=round(seconds, 3), failures=(self.at(Problem((), message)),))

    def at(self, problem: Problem) -> Diagnostic:
        """A problem at its place in the file."""
        place = ("tests", self.index, *problem.place)
        return self.tests.document.diagnostic(place, "playtest", problem.message, key=problem.key)


def plan(paths: Iterable[Path], *, keyword: str = "") -> tuple[list[Planned], list[TestResult]]:
    """Read test files.

    Args:
        keyword: Only tests whose file or name holds this text, in any letter case.

    Returns:
        The tests, and a result for each file that cannot be used.
    """
    planned: list[Planned] = []
    broken: list[TestResult] = []
    for path in paths:
        try:
            tests = load_tests(path)
        except PlaybookError as error:
            broken.append(
                TestResult(
                    file=str(path),
                    name="the file cannot be used",
                    line=error.diagnostics[0].line,
                    status="error",
                    failures=error.diagnostics,
                )
            )
            continue
        planned += [
            Planned(tests, index)
            for index, case in enumerate(tests.file.tests)
            if keyword.lower() in f"{path.name} {case.name}".lower()
        ]
    return planned, broken


async def run_tests(
    planned: Sequence[Planned],
    *,
    jobs: int = 2,
    timeout: float = TIMEOUT_SECONDS,
    done: Callable[[TestResult], None] = lambda _result: None,
) -> list[TestResult]:
    """Run tests.

    Args:
        jobs: How many at once; each has an account and a Temporal server of its own.
        timeout: Seconds that one test may really take.
        done: Told each result as it comes.

    Returns:
        The results, in the order of the tests.

    Raises:
        TestServerMissing, SimulatedAccountError: Nothing can be run; the message says what to do.
    """
    if not planned:
        return []
    test_server_binary()
    results: dict[int, TestResult] = {}
    waiting = iter(enumerate(planned))
    with isolated_environment(), _quiet(), tempfile.TemporaryDirectory(prefix="soar-playtest-") as folder:
        store = Path(folder) / "empty.db"
        await make_empty_store(store)

        async def work() -> None:
            async with bench(Path(tempfile.mkdtemp(dir=folder)), store) as place:
                for index, test in waiting:
                    results[index] = await _run(place, test, timeout)
                    done(results[index])

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(jobs, len(planned))):
                    group.create_task(work())
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
    return [results[index] for index in range(len(planned))]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep warnings about failures, which tests make on purpose, off the terminal where no log is set up."""
    handler = logging.NullHandler()
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)


async def _run(place: Bench, test: Planned, timeout: float) -> TestResult:
    began = time.monotonic()
    play: Play | None = None
    try:
        async with asyncio.timeout(timeout):
            async with open_world(place, test.tests, test.case) as world:
                play = Play(world, test.tests, test.case)
                played = await play.run()
                problems = played.problems + await compare(world, test.tests.policy, test.case.expect, played)
    except TimeoutError:
        stands = play.describe() if play is not None else "its world was being made"
        return test.broken(f"it took longer than {timeout:.0f} s: {stands}", time.monotonic() - began)
    except (RPCError, EngineUnavailable, StoreUnavailable, WorkflowBroken) as error:
        return test.broken(f"it could not be played: {error}", time.monotonic() - began)
    return test.result(
        "failed" if problems else "passed",
        seconds=round(time.monotonic() - began, 3),
        passed_seconds=round(played.passed.total_seconds(), 3),
        failures=tuple(sorted(map(test.at, problems), key=lambda d: (d.line, d.column))),
        timeline=tuple(
            f"{entry.time:%d %H:%M:%S} {entry.kind}: {entry.summary}"
            for follower in played.followers
            for entry in follower.timeline
        ),
    )
