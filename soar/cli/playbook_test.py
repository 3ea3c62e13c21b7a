"""`soar playbook test`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from soar.cli.exit_codes import ExitCode
from soar.cli.output import fail, say, show_json, write

if TYPE_CHECKING:
    from soar.playtest.run import TestResult

__all__ = ["run_playbook_tests"]


def run_playbook_tests(
    targets: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILE|FOLDER|NAME",
            help="Test files, playbooks, folders or names of playbooks. Default: the playbooks in force.",
        ),
    ] = None,
    keyword: Annotated[
        str, typer.Option("-k", metavar="TEXT", help="Only tests whose file or name holds this text.")
    ] = "",
    jobs: Annotated[int, typer.Option("-j", "--jobs", min=1, max=32, help="How many tests at once.")] = 2,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds that one test may really take.")] = 180,
    junit: Annotated[Path | None, typer.Option(help="Write the results there as JUnit XML, too.")] = None,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Show every test's timeline.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON Schema of a test file, for editors, and end.")
    ] = False,
) -> None:
    """Test playbooks: real incidents on a simulated account, with scripted people and a clock that skips.

    Tests stand beside a playbook in <playbook>.test.yaml. Exit code 0 only if every test passed.

    Example: soar playbook test playbooks/ --junit results.xml
    """
    import asyncio

    if schema:
        from soar.playtest.jsonschema import tests_schema

        return show_json(tests_schema())
    from temporalio.runtime import Runtime, TelemetryConfig

    from soar.playtest.files import find_tests
    from soar.playtest.junit import junit_xml
    from soar.playtest.run import plan, run_tests
    from soar.playtest.server import TestServerMissing
    from soar.runtime.account import SimulatedAccountError
    from soar.runtime.settings import load_settings

    # Temporal's own log goes to standard output, where the results go.
    Runtime.set_default(Runtime(telemetry=TelemetryConfig(logging=None)), error_if_already_set=False)
    try:
        paths = find_tests(targets or (), load_settings().playbook_folders)
    except FileNotFoundError as error:
        fail(str(error), ExitCode.NOT_FOUND)
    planned, results = plan(paths, keyword=keyword)
    if not planned and not results:
        fail("no test has that in its name, so nothing was tested", ExitCode.NOT_FOUND)

    def told(result: TestResult) -> None:
        if not as_json:
            _tell(result, verbose=verbose)

    for broken in results:
        told(broken)
    try:
        results += asyncio.run(run_tests(planned, jobs=jobs, timeout=timeout, done=told))
    except (TestServerMissing, SimulatedAccountError) as error:
        fail(str(error))
    if junit is not None:
        _write(junit, junit_xml(results))
    passed = sum(result.status == "passed" for result in results)
    if as_json:
        show_json(results)
    else:
        say(f"{passed} of {len(results)} test(s) passed")
    if passed < len(results):
        raise typer.Exit(ExitCode.FAILED)
    return None


def _tell(result: TestResult, *, verbose: bool) -> None:
    mark = {"passed": "PASS ", "failed": "FAIL ", "error": "ERROR"}[result.status]
    times = [f"{result.seconds:.1f} s"] if result.seconds else []
    times += [f"{_span(result.passed_seconds)} on its clock"] if result.passed_seconds else []
    write(f"{mark} {result.file}:{result.line}: {result.name}" + (f" ({', '.join(times)})" if times else ""))
    for failure in result.failures:
        write(f"      {failure}")
    if verbose:
        for entry in result.timeline:
            write(f"        {entry}")


def _span(seconds: float) -> str:
    """A duration in the largest unit that it fills."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        fail(f"the results cannot be written to {path}: {error.strerror}")
