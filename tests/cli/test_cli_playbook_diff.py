"""`soar playbook diff` and `soar playbook graph`, as a person at a terminal uses them."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from soar.cli.exit_codes import ExitCode

NAME = "aws-s3-public-bucket"
SHIPPED = Path(__file__).resolve().parents[2] / "playbooks" / f"{NAME}.yaml"


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """The shipped playbook with another title and another approval."""
    text = SHIPPED.read_text(encoding="utf-8")
    changed = text.replace("role: responder\n", "role: responder\n      approvers: 2\n", 1)
    assert changed != text
    path = tmp_path / "mine.yaml"
    path.write_text(changed.replace("\ntitle: ", "\ntitle: My ", 1), encoding="utf-8")
    return path


def test_what_differs_is_said_by_phase_with_exit_code_1(soar: Any, mine: Path) -> None:
    code, out, _ = soar("playbook", "diff", NAME, str(mine))
    assert code == ExitCode.FAILED
    assert out.splitlines()[0].startswith(f"- {NAME}, version ")
    assert str(mine) in out.splitlines()[1]
    assert "THE PLAYBOOK\n  ~ its title was “" in out
    assert "CONTAINMENT\n  ~ close\n      how many people it asks was 1 and is 2\n" in out
    assert out.endswith("1 step(s) and 1 thing(s) about the playbook as a whole differ.\n")


def test_the_same_playbook_by_name_by_file_and_as_cacao_has_exit_code_0(soar: Any, tmp_path: Path) -> None:
    code, out, _ = soar("playbook", "diff", NAME, str(SHIPPED))
    assert (code, "They are the same." in out) == (0, True)
    exported = tmp_path / "x.cacao.json"
    assert soar("playbook", "export", NAME, "-o", str(exported))[0] == 0
    assert soar("playbook", "diff", NAME, str(exported))[0] == 0


def test_json_has_every_value(soar: Any, mine: Path) -> None:
    code, out, _ = soar("playbook", "diff", NAME, str(mine), "--format", "json")
    told = json.loads(out)
    assert (code, told["same"], told["before"]["name"]) == (1, False, NAME)
    (step,) = [one for one in told["differences"] if one["step"]]
    assert (step["place"], step["kind"], step["step"]) == ("containment", "changed", "close")
    assert step["changes"] == [
        {
            "field": "approval.approvers",
            "before": 1,
            "after": 2,
            "text": "how many people it asks was 1 and is 2",
        }
    ]
    code, out, _ = soar("playbook", "diff", NAME, NAME, "--format", "json")
    assert (code, json.loads(out)["same"], json.loads(out)["differences"]) == (0, True, [])


def test_what_cannot_be_compared_is_no_difference(soar: Any, mine: Path, tmp_path: Path) -> None:
    code, _, err = soar("playbook", "diff", NAME, "aws-s3-public-buket")
    assert (code, NAME in err) == (ExitCode.NOT_FOUND, True)
    code, _, err = soar("playbook", "diff", str(tmp_path / "none.yaml"), str(mine))
    assert (code, "does not exist" in err) == (ExitCode.NOT_FOUND, True)
    broken = tmp_path / "broken.yaml"
    broken.write_text("name: broken\ncontainment: [{id: a, do: nothing.at_all}]\n", encoding="utf-8")
    code, _, err = soar("playbook", "diff", str(broken), str(mine))
    assert (code, f"{broken}:2" in err) == (ExitCode.USAGE, True)


def test_text_of_a_playbook_does_not_control_the_terminal(soar: Any, tmp_path: Path, mine: Path) -> None:
    hostile = tmp_path / "hostile.yaml"
    text = mine.read_text(encoding="utf-8").replace("\ntitle: My ", '\ntitle: "\\e[31m\\u202e" # ', 1)
    hostile.write_text(text, encoding="utf-8")
    code, out, _ = soar("playbook", "diff", str(mine), str(hostile))
    assert code == 1
    assert "its title was" in out
    assert "\x1b" not in out
    assert "\u202e" not in out


def test_a_drawing_is_written_or_printed_the_same_each_time(soar: Any, tmp_path: Path) -> None:
    target = tmp_path / "bucket.svg"
    code, out, err = soar("playbook", "graph", NAME, "-o", str(target))
    assert (code, out, str(target) in err) == (0, "", True)
    code, out, _ = soar("playbook", "graph", str(SHIPPED))
    assert (code, out) == (0, target.read_text(encoding="utf-8"))
    assert ET.fromstring(out).tag == "{http://www.w3.org/2000/svg}svg"
    code, out, _ = soar("playbook", "graph", NAME, "--format", "mermaid")
    assert (code, "flowchart TB" in out, "aws.s3.block_public_access" in out) == (0, True, True)
    assert soar("playbook", "graph", NAME, "-o", str(target))[0] == 0  # over the earlier one


def test_a_drawing_has_the_playbooks_that_a_file_calls_from_beside_it(soar: Any, tmp_path: Path) -> None:
    (tmp_path / "child.yaml").write_text(
        "name: child\ntitle: The child\nidentification: [{id: rest, wait: {for: 1m}}]\n", encoding="utf-8"
    )
    (tmp_path / "other.yaml").write_text("this: is none\n", encoding="utf-8")
    caller = tmp_path / "caller.yaml"
    caller.write_text("name: caller\nidentification: [{id: run, playbook: child}]\n", encoding="utf-8")
    code, out, err = soar("playbook", "graph", str(caller))
    assert (code, err) == (0, "")
    assert "Called: The child" in out
    exported = tmp_path / "rest.cacao.json"
    assert soar("playbook", "export", str(tmp_path / "child.yaml"), "-o", str(exported))[0] == 0
    code, out, _ = soar("playbook", "graph", str(exported))
    assert (code, "waits 1m" in out) == (0, True)


def test_what_cannot_be_drawn_or_written_is_said(soar: Any, tmp_path: Path) -> None:
    assert soar("playbook", "graph", "nothing-of-this-name")[0] == ExitCode.NOT_FOUND
    assert soar("playbook", "graph", NAME, "--format", "png")[0] == ExitCode.USAGE
    code, _, err = soar("playbook", "graph", NAME, "-o", str(tmp_path / "no" / "folder.svg"))
    assert (code, "cannot be written" in err) == (ExitCode.FAILED, True)
