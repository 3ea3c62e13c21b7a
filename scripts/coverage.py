"""Write docs/reference/coverage.md of the playbooks that ship: `python scripts/coverage.py`. A test sees to it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from soar.playbook.library import Library
from soar.sources.registry import sources
from soar.sources.taxonomy.coverage import GROUPS, Coverage, Covered, coverage_of
from soar.sources.taxonomy.taxonomy import guardduty_findings, securityhub_controls, stratus_techniques

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "reference" / "coverage.md"
GENERATED = "<!-- Generated from the code by scripts/coverage.py: do not edit. -->\n\n"
FAMILIES = {
    "iam": "Identities",
    "ec2": "Instances",
    "s3": "Buckets",
    "eks": "Kubernetes audit logs",
    "runtime": "Runtime monitoring",
    "malware": "Malware protection",
    "rds": "Databases",
    "lambda": "Functions",
    "ai": "AI protection",
    "sequence": "Attack sequences",
    "custom": "Custom detection rules",
}
INTRO = """\
Which of the playbooks that ship answer what AWS can detect. `soar playbook coverage` prints the same of the playbooks
that you have in force.

Nobody keeps the answers by hand. Every row is made into the alerts that its source would make of it, and these are
matched with the playbooks as live alerts are. A finding can be about different things, a user's key or a role's
session, an instance or a container; it is answered if a playbook answers it for each of them.

- A name: this playbook answers it.
- **partly**: it is not answered for everything that it can be about.
- **triage**: only a playbook answers it that would answer anything. That is enough for what is meant for triage.
- **none**: no playbook answers it. An alert of this kind is kept, and starts no incident.
"""
STRATUS = """\
A technique of [Stratus Red Team](https://stratus-red-team.cloud/) is no alert. It is answered if one of the alerts is
that AWS raises for it: a GuardDuty finding, a Security Hub control that fails after it, or a CloudTrail event that a
rule of yours lets through. Findings of GuardDuty's custom detection rules come only if their rule is on.
"""


def page() -> str:
    """The page, of the playbooks that ship."""
    found = coverage_of((loaded.playbook for loaded in Library.load(ROOT / "playbooks")), sources())
    rows = {(row.group, row.id): row for row in found.rows}
    lines = [INTRO, *_sums(found)]
    if found.modelled:
        names = ", ".join(f"`{name}`" for name in found.modelled)
        lines += ["", f"No such source is installed yet, so its alerts are modelled: {names}."]
    lines += ["", "## GuardDuty", ""]
    for family, title in FAMILIES.items():
        lines += [f"### {title}", ""]
        lines += _table(
            ("finding type", "severity", "ATT&CK", "answered by"),
            (
                (
                    f"`{one.type}`",
                    one.severity.label if one.severity else "",
                    one.technique,
                    _answer(found, rows["guardduty", one.type]),
                )
                for one in guardduty_findings()
                if one.family == family and one.status == "active"
            ),
        )
        lines.append("")
    lines += ["### No longer raised", "", "These are not counted.", ""]
    lines += _table(
        ("finding type", "answered by"),
        (
            (f"`{one.type}`", _answer(found, rows["guardduty", one.type]))
            for one in guardduty_findings()
            if one.status == "retired"
        ),
    )
    lines += ["", "## Security Hub", "", "The controls that say that something is open, or unwatched.", ""]
    lines += _table(
        ("control", "what it means", "about", "severity", "answered by"),
        (
            (
                f"`{one.id}`",
                one.title,
                f"`{one.resource}`",
                one.severity.label,
                _answer(found, rows["securityhub", one.id]),
            )
            for one in securityhub_controls()
        ),
    )
    lines += ["", "## Stratus Red Team", "", STRATUS]
    lines += _table(
        ("technique", "what it does", "ATT&CK", "what AWS raises", "answered by"),
        (
            (
                f"`{one.id}`",
                one.title + ("" if one.status == "listed" else " (not in the project's list, not counted)"),
                one.technique,
                ", ".join(f"`{name}`" for name in (*one.guardduty, *one.controls, *one.events)),
                _answer(found, rows["stratus", one.id]),
            )
            for one in stratus_techniques()
        ),
    )
    return f"{GENERATED}# Coverage\n\n" + "\n".join(lines) + "\n"


def _sums(found: Coverage) -> list[str]:
    return _table(
        ("", "counted", "own playbook", "partly", "triage", "none", "answered"),
        (
            (
                GROUPS[one.group],
                *map(str, (one.total, one.own, one.partly, one.triage, one.none)),
                f"{one.percent:.1f} %",
            )
            for one in found.tallies()
        ),
    )


def _answer(found: Coverage, row: Covered) -> str:
    names = ", ".join(f"`{name}`" for name in row.own)
    status = "" if row.status == "own" else f"**{row.status.value}**"
    return "; ".join(part for part in (names, status, found.remark(row)) if part)


def _table(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    heads = list(headings)
    lines = [heads, ["---"] * len(heads), *(list(row) for row in rows)]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
