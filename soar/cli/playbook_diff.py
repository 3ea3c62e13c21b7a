"""`soar playbook diff`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from soar.cli.exit_codes import ExitCode
from soar.cli.output import fail, show_json, write
from soar.cli.playbook_files import read_playbook

if TYPE_CHECKING:
    from soar.playbook.comparison import Difference
    from soar.playbook.graph import StepGraph
    from soar.playbook.loader import LoadedPlaybook

__all__ = ["diff_playbooks"]

_MARKS = {"new": "+", "gone": "-", "changed": "~"}


def diff_playbooks(
    before: Annotated[str, typer.Argument(metavar="A", help="A playbook in force, or a file with one.")],
    after: Annotated[str, typer.Argument(metavar="B", help="The other; it is the newer one.")],
    form: Annotated[Literal["text", "json"], typer.Option("--format", help="text or json.")] = "text",
) -> None:
    """Say what differs between two playbooks, by phase: steps, arguments, conditions, approvals, what it answers.

    Layout, comments and the order of keys do not count, nor does whether one of them is CACAO.
    Exit code 0: they are the same; 1: they differ; 2: one of them cannot be used; 3: one of them is not there.

    Example: soar playbook diff aws-s3-public-bucket mine.yaml
    """
    from soar.playbook.comparison import compare_playbooks

    old, new = _read(before), _read(after)
    found = compare_playbooks(old, new)
    if form == "json":
        show_json(
            {
                "same": not found,
                "before": _named(old[0]),
                "after": _named(new[0]),
                "differences": [one.model_dump(mode="json") for one in found],
            }
        )
    else:
        _show(old[0], new[0], found)
    if found:
        raise typer.Exit(ExitCode.FAILED)


def _read(target: str) -> tuple[LoadedPlaybook, StepGraph]:
    """Read one; what cannot be used is no difference, so its exit code is another one."""
    from soar.playbook.diagnostics import PlaybookError

    try:
        return read_playbook(target)
    except PlaybookError as error:
        fail(f"{target} cannot be compared: {error}", ExitCode.USAGE)


def _named(loaded: LoadedPlaybook) -> dict[str, str]:
    return {"name": loaded.playbook.name, "version": loaded.digest, "file": loaded.file}


def _show(old: LoadedPlaybook, new: LoadedPlaybook, found: tuple[Difference, ...]) -> None:
    for mark, loaded in (("-", old), ("+", new)):
        write(f"{mark} {loaded.playbook.name}, version {loaded.digest[:12]}, {loaded.file}")
    if not found:
        write("They are the same.")
        return
    place = ""
    for one in found:
        if one.place != place:
            place = one.place
            write("")
            write(place.upper())
        if not one.step:
            write(f"  ~ {one.text}")
            continue
        if one.kind != "changed":
            write(f"  {_MARKS[one.kind]} {one.text}")
            continue
        write(f"  ~ {one.what}")
        for change in one.changes:
            write(f"      {change.text}")
    steps = sum(bool(one.step) for one in found)
    more = len(found) - steps
    write("")
    write(f"{steps} step(s) and {more} thing(s) about the playbook as a whole differ.")
