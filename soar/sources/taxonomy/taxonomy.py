"""The tables: GuardDuty's finding types, Security Hub's controls of live exposure, Stratus Red Team's AWS techniques.

Facts only, in the CSV files beside this module; titles are ours. `intended` is the one opinion in them: which playbook
is meant to answer a row. It never says that one does: `soar.sources.taxonomy.coverage` finds that out.

| table | sources |
| --- | --- |
| GuardDuty | the user guide's pages of active, retired, custom-detection-rule and AI Protection finding types |
| Security Hub | the user guide's control reference; those that say that something is open, or unwatched |
| Stratus Red Team | its index of AWS techniques (`listed`), and what else its repository has (`proposed`) |
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError

from soar.model.base import Fact
from soar.model.terms import Severity

__all__ = [
    "INTENDED",
    "BadTable",
    "Control",
    "FindingType",
    "ResourceKind",
    "StratusTechnique",
    "guardduty_findings",
    "read_rows",
    "securityhub_controls",
    "stratus_techniques",
]

INTENDED = frozenset(
    {
        "aws-access-key-compromise",
        "aws-account-takeover",
        "aws-bedrock-ses-abuse",
        "aws-console-user-compromise",
        "aws-container-compromise",
        "aws-data-shared-outside",
        "aws-ec2-compromise",
        "aws-ec2-cryptomining",
        "aws-iam-persistence",
        "aws-lambda-backdoor",
        "aws-logging-disabled",
        "aws-network-exposure",
        "aws-privilege-escalation",
        "aws-rds-exposure",
        "aws-role-credentials",
        "aws-root-account",
        "aws-s3-exposure",
        "aws-s3-public-bucket",
        "aws-s3-ransomware",
        "aws-secrets-mass-read",
        "triage",
    }
)
"""The playbooks that rows may be meant for; `triage` is whichever playbook takes what no other one knows."""

Family = Literal["ai", "custom", "ec2", "eks", "iam", "lambda", "malware", "rds", "runtime", "s3", "sequence"]
ResourceKind = Literal[
    "bucket",
    "container",
    "database",
    "ecs-task",
    "eks-audit",
    "eks-workload",
    "function",
    "image",
    "instance",
    "instance-role",
    "object",
    "recovery-point",
    "role",
    "root",
    "sequence-ecs",
    "sequence-eks",
    "sequence-iam",
    "sequence-instance",
    "sequence-s3",
    "snapshot",
    "user",
]
"""The shapes of resource that a finding can have; each is one alert to try."""

_TECHNIQUE = r"^(T\d{4}(\.\d{3})?)?$"


class BadTable(Exception):
    """A table does not hold what it should; the message names file and line."""


def _words(cell: object) -> object:
    return tuple(cell.split()) if isinstance(cell, str) else cell


def _severity(cell: object) -> object:
    if not isinstance(cell, str):
        return cell
    if cell and cell.upper() not in Severity.__members__:
        raise ValueError(f"no severity is called {cell!r}")
    return Severity[cell.upper()] if cell else None


def _planned(names: tuple[str, ...]) -> tuple[str, ...]:
    if unknown := set(names) - INTENDED:
        raise ValueError(f"no playbook {', '.join(sorted(unknown))} is planned")
    return names


Words = Annotated[tuple[str, ...], BeforeValidator(_words)]
Intended = Annotated[Words, AfterValidator(_planned), Field(min_length=1)]
Row = TypeVar("Row", bound=Fact)


class FindingType(Fact):
    """A type of GuardDuty finding.

    Args:
        type: As findings carry it.
        family: The protection that raises it.
        resources: What it can be about; each makes one alert to try.
        severity: By default; None where AWS says that it varies, or says nothing.
        status: Whether GuardDuty still raises it.
        technique: ATT&CK, where it is beyond doubt.
    """

    type: str = Field(pattern=r"^[A-Za-z]+:[A-Za-z0-9]+/[A-Za-z0-9&.!]+$")
    family: Family
    resources: Annotated[tuple[ResourceKind, ...], BeforeValidator(_words), Field(min_length=1)]
    severity: Annotated[Severity | None, BeforeValidator(_severity)]
    status: Literal["active", "retired"]
    technique: str = Field(pattern=_TECHNIQUE)
    intended: Intended

    @property
    def purpose(self) -> str:
        """The threat purpose, which a type begins with: `Backdoor`."""
        return self.type.partition(":")[0]


class Control(Fact):
    """A Security Hub control.

    Args:
        id: The security control id, `S3.2`.
        resource: The CloudFormation type of what it is about; `AWS::::Account` for the whole account.
        severity: As AWS rates it.
        title: What a failed check means, in our words.
    """

    id: str = Field(pattern=r"^[A-Za-z0-9]+\.\d+$")
    resource: str = Field(pattern=r"^AWS::[A-Za-z0-9]*::[A-Za-z0-9]+$")
    severity: Annotated[Severity, BeforeValidator(_severity)]
    title: str = Field(min_length=1)
    intended: Intended


class StratusTechnique(Fact):
    """A technique of Stratus Red Team. It is no alert: it counts by the alerts that AWS raises for it.

    Args:
        id: `aws.<tactic>.<name>`.
        status: `listed` in the project's index, or only `proposed` in its repository.
        title: What it does, in our words.
        technique: ATT&CK, where it is beyond doubt.
        guardduty: Finding types that it can set off. Those of the family `custom` need their rule to be on.
        controls: Security Hub controls that fail after it.
        events: CloudTrail events that it leaves, `iam:CreateUser`.
    """

    id: str = Field(pattern=r"^aws\.[a-z-]+\.[a-z0-9-]+$")
    status: Literal["listed", "proposed"]
    title: str = Field(min_length=1)
    technique: str = Field(pattern=_TECHNIQUE)
    guardduty: Words
    controls: Words
    events: Words
    intended: Intended

    @property
    def tactic(self) -> str:
        """The ATT&CK tactic that its id names: `credential-access`."""
        return self.id.split(".")[1]


def read_rows(text: str, row: type[Row], *, key: str, file: str) -> tuple[Row, ...]:
    """Read a table.

    Args:
        text: CSV with a line of headings.
        row: What a line is.
        key: The column whose values must differ.
        file: For messages.

    Raises:
        BadTable: A line cannot be used, or has the key of another.
    """
    found: dict[str, Row] = {}
    reader = csv.DictReader(text.splitlines(), strict=True)
    try:
        for cells in reader:
            one = _read_row(cells, row)
            if found.setdefault(cells[key], one) is not one:
                raise ValueError(f"{cells[key]} is there twice")
    except (ValueError, csv.Error) as error:
        raise BadTable(f"{file}:{reader.line_num}: {error}") from None
    return tuple(found.values())


def _read_row(cells: Mapping[str, str], row: type[Row]) -> Row:
    if None in cells or None in cells.values():
        raise ValueError("it has not as many cells as there are headings")
    try:
        return row.model_validate(cells)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{place}: {first['msg'].removeprefix('Value error, ')}") from None


def _table(name: str, row: type[Row], key: str) -> tuple[Row, ...]:
    text = resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
    return read_rows(text, row, key=key, file=name)


@cache
def guardduty_findings() -> tuple[FindingType, ...]:
    """Every type of GuardDuty finding, those that are no longer raised last."""
    return _table("guardduty_findings.csv", FindingType, "type")


@cache
def securityhub_controls() -> tuple[Control, ...]:
    """The Security Hub controls that mean live exposure, by id."""
    return _table("securityhub_controls.csv", Control, "id")


@cache
def stratus_techniques() -> tuple[StratusTechnique, ...]:
    """Every AWS technique of Stratus Red Team, by id."""
    return _table("stratus_techniques.csv", StratusTechnique, "id")
