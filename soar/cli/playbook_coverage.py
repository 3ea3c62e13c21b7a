"""`soar playbook coverage`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from soar.cli.exit_codes import ExitCode
from soar.cli.output import fail, say, show_json, table, write

if TYPE_CHECKING:
    from soar.sources.taxonomy.coverage import Coverage, Covered, Tally

__all__ = ["show_coverage"]


def show_coverage(
    folder: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Look at the playbooks in DIR. Default: all in force.")
    ] = None,
    only: Annotated[
        Literal["guardduty", "securityhub", "stratus"] | None,
        typer.Option(help="One table. Default: all three."),
    ] = None,
    missing: Annotated[
        bool, typer.Option("--missing", help="List only what is not answered as it should be.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    fail_under: Annotated[
        float,
        typer.Option(
            metavar="PERCENT", min=0, max=100, help="Fail if less than this share of a table is answered."
        ),
    ] = 0.0,
) -> None:
    """Say which playbooks answer what AWS can detect: GuardDuty's findings, Security Hub's controls, Stratus Red Team.

    Every detection is made into an alert and matched as a live one would be. A playbook that answers anything at all is
    triage, which is an answer only to what is meant for it. What AWS no longer raises is listed and not counted.

    Example: soar playbook coverage --only guardduty --missing --fail-under 80
    """
    from soar.runtime.parts import load_library
    from soar.runtime.settings import load_settings
    from soar.sources.registry import sources
    from soar.sources.taxonomy.coverage import GROUPS, coverage_of

    settings = load_settings()
    if folder is not None:
        if not folder.is_dir():
            fail(f"{folder} is no folder of playbooks", ExitCode.NOT_FOUND)
        settings = settings.model_copy(update={"playbooks": (folder,)})
    playbooks = [loaded.playbook for loaded in load_library(settings)]
    found = coverage_of(playbooks, sources(), groups=[only] if only else GROUPS)
    rows = [row for row in found.rows if not missing or (row.counted and not row.met)]
    if as_json:
        show_json(
            {
                "tables": [_sums(one) for one in found.tallies()],
                "modelled": list(found.modelled),
                "rows": [_plain(found, row) for row in rows],
            }
        )
    else:
        _show(found, rows)
    if found.modelled:
        say(f"No such source is installed, so its alerts are modelled: {', '.join(found.modelled)}")
    low = [one for one in found.tallies() if one.percent < fail_under]
    if low:
        said = ", ".join(f"{GROUPS[one.group]} {one.percent:.1f} %" for one in low)
        fail(f"less than {fail_under:g} % is answered: {said}", ExitCode.FAILED)


def _show(found: Coverage, rows: list[Covered]) -> None:
    from soar.sources.taxonomy.coverage import GROUPS

    for group, title in GROUPS.items():
        lines = [row for row in rows if row.group == group]
        if not lines:
            continue
        write(title.upper())
        cells: list[list[object]] = [
            [row.id, row.title, _status(row), ", ".join(row.own or row.catch_all), found.remark(row)]
            for row in lines
        ]
        if any(row.title for row in lines):
            table(["detection", "what it means", "answered", "by", "remark"], cells)
        else:
            table(["detection", "answered", "by", "remark"], [[first, *rest] for first, _, *rest in cells])
        write("")
    table(
        ["table", "counted", "own playbook", "partly", "only triage", "none", "answered", "not counted"],
        [
            [
                GROUPS[one.group],
                one.total,
                one.own,
                one.partly,
                one.triage,
                one.none,
                f"{one.percent:.1f} %",
                one.uncounted,
            ]
            for one in found.tallies()
        ],
    )


def _status(row: Covered) -> str:
    return row.status.value if row.counted else f"{row.status.value}, not counted"


def _sums(tally: Tally) -> dict[str, Any]:
    return {**tally.model_dump(mode="json"), "percent": round(tally.percent, 1)}


def _plain(found: Coverage, row: Covered) -> dict[str, Any]:
    return {**row.model_dump(mode="json"), "met": row.met, "remark": found.remark(row)}
