"""`soar playbook test`: what it prints, and its exit codes."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soar.cli.main import run
from soar.playbook.diagnostics import Diagnostic
from soar.playtest.junit import junit_xml
from soar.playtest.run import TestResult

PLAYBOOK = """
name: tiny
match: {source: guardduty}
correlate_by: [alert.account]
identification:
  - id: look
    do: aws.s3.bucket_exposure
    with: {bucket: '{{ (alert | resource("aws.s3.bucket")).name }}'}
"""
TESTS = """
account: {scenario: public-bucket}
tests:
  - name: it is seen
    expect: {incident: closed, steps: {look: succeeded}}
  - name: it is not seen
    expect: {incident: closed, steps: {look: failed}}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "tiny.yaml").write_text(PLAYBOOK)
    (tmp_path / "tiny.test.yaml").write_text(TESTS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SOAR_PLAYBOOKS", str(tmp_path))
    return tmp_path


@pytest.mark.timeout(300)
def test_a_failure_is_told_at_its_line_and_is_exit_code_1(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(["playbook", "test", "--junit", "results.xml"])
    shown = capsys.readouterr()
    assert code == 1, shown.err
    lines = shown.out.splitlines()
    assert next(line for line in lines if line.startswith("PASS ")).startswith(
        f"PASS  {folder}/tiny.test.yaml:4: it is seen ("
    )
    failed = next(index for index, line in enumerate(lines) if line.startswith("FAIL "))
    assert lines[failed].startswith(f"FAIL  {folder}/tiny.test.yaml:6: it is not seen (")
    assert lines[failed + 1] == (
        f"      {folder}/tiny.test.yaml:7:46: steps.look: expected failed, was succeeded"
    )
    assert "1 of 2 test(s) passed" in shown.err
    root = ElementTree.parse(folder / "results.xml").getroot()
    assert {k: root.get(k) for k in ("tests", "failures", "errors")} == {
        "tests": "2",
        "failures": "1",
        "errors": "0",
    }
    assert [case.get("name") for case in root.iter("testcase")] == ["it is seen", "it is not seen"]
    assert [f.get("message") for f in root.iter("failure")] == ["steps.look: expected failed, was succeeded"]


@pytest.mark.timeout(300)
def test_what_passes_is_exit_code_0_and_json_is_all_that_is_printed(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code = run(["playbook", "test", "tiny", "-k", "IS SEEN", "--json"])
    shown = capfd.readouterr()
    assert code == 0, shown.err
    [result] = json.loads(shown.out)
    assert (result["status"], result["name"], result["line"]) == ("passed", "it is seen", 4)
    assert any("incident.closed" in entry for entry in result["timeline"])


def test_a_broken_file_is_exit_code_1_and_the_others_are_not_held_up(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "tiny.test.yaml").write_text(TESTS.replace("look: failed", "lok: failed"))
    code = run(["playbook", "test"])
    shown = capsys.readouterr()
    assert code == 1
    assert 'tiny.test.yaml:7:40: there is no step "lok" (did you mean "look"?)' in shown.out
    assert "Traceback" not in shown.out + shown.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tinny"], 'did you mean "tiny"?'),
        (["-k", "no such words"], "no test has that in its name"),
    ],
)
def test_what_leads_to_no_test_is_exit_code_3(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert run(["playbook", "test", *arguments]) == 3
    assert message in capsys.readouterr().err


def test_the_schema_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["playbook", "test", "--schema"]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "Tests of a playbook"


@given(
    st.lists(
        st.builds(
            TestResult,
            file=st.text(),
            name=st.text(),
            playbook=st.text(),
            line=st.integers(1, 9999),
            status=st.sampled_from(["passed", "failed", "error"]),
            seconds=st.floats(0, 1000),
            failures=st.lists(
                st.builds(
                    Diagnostic,
                    file=st.text(),
                    line=st.just(1),
                    column=st.just(1),
                    end_line=st.none(),
                    end_column=st.none(),
                    rule=st.just("playtest"),
                    message=st.text(),
                    fix=st.just(()),
                ),
                max_size=2,
            ).map(tuple),
            timeline=st.lists(st.text(), max_size=2).map(tuple),
        ),
        max_size=3,
    )
)
def test_whatever_a_result_says_its_junit_xml_is_well_formed(results: list[TestResult]) -> None:
    root = ElementTree.fromstring(junit_xml(results))
    assert len(list(root.iter("testcase"))) == len(results)
    assert len(list(root.iter("failure"))) == sum(r.status == "failed" for r in results)
    assert len(list(root.iter("error"))) == sum(r.status == "error" for r in results)
