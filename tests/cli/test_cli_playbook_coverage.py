"""`soar playbook coverage`, as people and pipelines use it, and the page of the playbooks that ship."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest

from soar.cli.exit_codes import ExitCode
from soar.sources.registry import sources
from soar.sources.taxonomy.taxonomy import guardduty_findings

ROOT = Path(__file__).resolve().parents[2]
MODELLED = sorted({"cloudtrail", "securityhub"} - set(sources()))
SPAM = "Backdoor:EC2/Spambot"
COUNTED = sum(row.status == "active" for row in guardduty_findings())
PLAYBOOK = (
    "name: {name}\nmatch: {{source: guardduty, rule: '{rule}'}}\ncorrelate_by: [alert.account]\n"
    "lessons_learned:\n  - {{id: report, do: report.write}}\n"
)


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A folder with one playbook, which answers one type of finding."""
    folder = tmp_path / "mine"
    folder.mkdir()
    write(folder, "spam", SPAM)
    return folder


def write(folder: Path, name: str, rule: str) -> None:
    (folder / f"{name}.yaml").write_text(PLAYBOOK.format(name=name, rule=rule), encoding="utf-8")


def test_the_page_is_that_of_the_playbooks_that_ship() -> None:
    written = runpy.run_path(str(ROOT / "scripts" / "coverage.py"))["page"]()
    kept = (ROOT / "docs" / "reference" / "coverage.md").read_text(encoding="utf-8")
    assert kept == written, "docs/reference/coverage.md is out of date: run scripts/coverage.py"


def test_what_ships_is_looked_at_by_default(soar: Any) -> None:
    code, out, err = soar("playbook", "coverage")
    assert code == ExitCode.OK
    assert "GUARDDUTY\n" in out
    assert "SECURITY HUB\n" in out
    assert "STRATUS RED TEAM\n" in out
    [miner] = [line for line in out.splitlines() if line.startswith("CryptoCurrency:EC2/BitcoinTool.B!DNS")]
    assert "aws-ec2-cryptomining" in miner
    assert all(name in err for name in MODELLED)


def test_what_has_none_says_what_is_meant_for_it(soar: Any, mine: Path) -> None:
    code, out, _ = soar("playbook", "coverage", "--folder", str(mine), "--only", "guardduty", "--missing")
    assert code == ExitCode.OK
    lines = {line.split()[0]: line for line in out.splitlines() if ":" in line}
    assert SPAM not in lines
    assert "intended aws-ec2-compromise, not installed" in lines["Trojan:EC2/DropPoint"]
    assert "UnauthorizedAccess:EC2/TorIPCaller" not in lines  # retired
    assert "SECURITY HUB" not in out
    assert out.splitlines()[-1].split()[:4] == ["GuardDuty", str(COUNTED), "1", "0"]


def test_two_playbooks_for_one_alert_are_shown(soar: Any, mine: Path) -> None:
    write(mine, "other", "Backdoor:*")
    _, out, _ = soar("playbook", "coverage", "--folder", str(mine), "--only", "guardduty")
    [line] = [line for line in out.splitlines() if line.startswith(SPAM)]
    assert "other, spam" in line
    assert "more than one answers instance: other, spam" in line


def test_a_retired_type_is_listed_and_not_counted(soar: Any, mine: Path) -> None:
    _, out, _ = soar("playbook", "coverage", "--folder", str(mine), "--only", "guardduty")
    [line] = [line for line in out.splitlines() if line.startswith("UnauthorizedAccess:EC2/TorIPCaller")]
    assert "none, not counted" in line


def test_json_has_every_row_and_the_sums(soar: Any, mine: Path) -> None:
    code, out, _ = soar("playbook", "coverage", "--folder", str(mine), "--json")
    told = json.loads(out)
    assert (code, [one["group"] for one in told["tables"]]) == (0, ["guardduty", "securityhub", "stratus"])
    assert told["modelled"] == MODELLED
    [row] = [row for row in told["rows"] if row["id"] == SPAM]
    assert row == {
        "group": "guardduty",
        "id": SPAM,
        "title": "",
        "status": "own",
        "counted": True,
        "own": ["spam"],
        "catch_all": [],
        "missing": [],
        "several": [],
        "intended": ["aws-ec2-compromise"],
        "met": True,
        "remark": "",
    }
    guardduty = told["tables"][0]
    assert (
        guardduty["own"] + guardduty["partly"] + guardduty["triage"] + guardduty["none"] == guardduty["total"]
    )
    assert guardduty["percent"] == round(100 / guardduty["total"], 1)
    code, out, _ = soar(
        "playbook", "coverage", "--folder", str(mine), "--only", "stratus", "--missing", "--json"
    )
    rows = json.loads(out)["rows"]
    assert {(row["group"], row["met"]) for row in rows} == {("stratus", False)}


def test_too_little_fails_after_all_is_shown(soar: Any, mine: Path) -> None:
    asked = ("playbook", "coverage", "--folder", str(mine), "--only", "guardduty", "--fail-under")
    code, out, err = soar(*asked, "0.5")
    assert code == ExitCode.FAILED
    assert SPAM in out
    assert "less than 0.5 % is answered: GuardDuty 0.4 %" in err
    assert soar(*asked, "0.4")[0] == ExitCode.OK
    assert soar(*asked, "101")[0] == ExitCode.USAGE
    write(mine, "all", "*")
    assert soar(*asked, "100")[0] == ExitCode.FAILED  # a playbook that answers anything is triage
    for number, rule in enumerate(
        ("A*", "B*", "C*", "D*", "E*", "I*", "L*", "O*", "P*", "R*", "S*", "T*", "U*")
    ):
        write(mine, f"part-{number}", rule)
    assert soar(*asked, "100")[0] == ExitCode.OK


def test_a_folder_that_is_not_there_or_cannot_be_used_is_said(soar: Any, mine: Path) -> None:
    code, _, err = soar("playbook", "coverage", "--folder", str(mine / "none"))
    assert (code, "is no folder of playbooks" in err) == (ExitCode.NOT_FOUND, True)
    (mine / "broken.yaml").write_text("name: [\x1b[31m", encoding="utf-8")
    code, _, err = soar("playbook", "coverage", "--folder", str(mine))
    assert code == ExitCode.FAILED
    assert "broken.yaml" in err
    assert "\x1b" not in err
    assert "Traceback" not in err
