"""The tester itself: what is wrong fails, at its line, with what was there instead; what is right passes."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from soar.playtest.run import TestResult, plan, run_tests

PLAYBOOK = """
name: tiny
match: {source: guardduty}
correlate_by: [alert.account]
identification:
  - id: look
    do: aws.s3.bucket_exposure
    with: {bucket: '{{ (alert | resource("aws.s3.bucket")).name }}'}
containment:
  - id: close
    do: aws.s3.block_public_access
    with: {bucket: '{{ (alert | resource("aws.s3.bucket")).name }}'}
"""

# A line that ends in `# ✗ words` is to fail there with these words; all others are to hold.
TESTS = """
account: {scenario: public-bucket}
tests:
  - name: wrong expectations
    people:
      - {who: jonas, do: approve, after: 5m}
      - {who: maya, do: approve, after: 1m}  # ✗ maya's approve did not count: this takes the role responder
      - {who: priya, do: deny, after: 10m}  # ✗ priya's deny did not count: nobody is asked about it any more
      - {who: irene, do: retry}  # ✗ irene never came to retry: the moment “any step is attention” never came
      - {who: jonas, do: note, reason: hello, refused: true}  # ✗ jonas's note was to be refused and counted
    expect:
      incident:
        status: failed  # ✗ incident.status: expected failed, was closed
        contained: true
        alerts: 2  # ✗ incident.alerts: expected 2, was 1
        says: nobody  # ✗ incident.says: expected words with “nobody”, was nothing
        within: 1m  # ✗ incident.within: expected closed within 60 s, was 30
      incidents: 3  # ✗ incidents: expected 3, was 1
      steps:
        look: {status: succeeded, result: {public: true}}
        close:
          status: denied  # ✗ steps.close: expected denied, was succeeded
          error: Refused  # ✗ steps.close.error: expected Refused, was no error
          says: is blocked
      order:
        - close
        - look  # ✗ order[1]: expected look after close, was none there; steps began: look, close
      reached: [look]  # ✗ reached: expected ["look"], was ["close", "look"]
      approvals:
        - step: close
          outcome: denied  # ✗ approvals[0].outcome: expected denied, was approved
          needed: 2  # ✗ approvals[0].needed: expected 2, was 1
          by: [irene]  # ✗ approvals[0].by: expected ["irene"], was ["jonas"]
          asked: [jonas]  # ✗ approvals[0].asked: expected ["jonas"], was ["irene", "jonas", "priya"]
          refused: 0  # ✗ approvals[0].refused: expected 0, was 1
          reminders: 9  # ✗ approvals[0].reminders: expected at least 9, was 0
      account:
        - read: aws.s3.bucket_exposure
          with: {bucket: "{{ facts.bucket }}"}
          expect:
            public: true  # ✗ account[0].expect.public: expected true, was false
            access_block | length: 4
            nonsense: 1  # ✗ account[0].expect.nonsense: expected 1, was not to be had
        - read: aws.s3.bucket_exposure
          with: {bucket: "{{ facts.bucket }}"}
          error: TargetGone  # ✗ account[1].error: expected TargetGone, was no error
        - read: aws.s3.bucket_exposure  # ✗ account[2].read: expected aws.s3.bucket_exposure to see it, was BadInput
          expect: {public: false}
      checks: true  # ✗ checks: expected every check of the scenario to hold, was nothing in its policy lets everybody
      report:
        formats: [html, json, md]
        sections:
          - effects
          - attention  # ✗ report.sections[1]: expected attention to hold something, was []
        empty:
          - summary  # ✗ report.empty[0]: expected nothing in summary, was
        says: [unheard of]  # ✗ report.says[0]: expected “unheard of” in the report, was not there
      timeline:
        - incident.opened
        - approval.vote
        - approval.opened  # ✗ timeline[2]: expected approval.opened after approval.vote, was none there
      never:
        - effect.failed
        - effect.verified  # ✗ never[1]: expected no effect.verified, was entry

  - name: nobody comes
    people:  # ✗ the incident waits, and nobody in the script comes: a decision about close, which failed
      - {who: priya, do: note, reason: where is everybody?, when: {kind: approval.reminded, nth: 2}}
    expect:
      timeline: [approval.reminded, approval.reminded, note.added]

  - name: no incident
    alerts:
      - alert: {source: elsewhere, title: hm, severity: 3}
    expect:  # ✗ the alerts gave no incident (unmatched: no playbook answers it)
      steps: {close: succeeded}

  - name: it is not an alert
    alerts:
      - payload: {detail-type: something else}  # ✗ it is not an alert: $
      - {scenario: finding, set: {detail.0.x: 1}}
    people:
      - {who: jonas, do: approve, after: 5m}
    expect: {incident: closed}

  - name: a fault that nobody meets
    account:
      scenario: public-bucket
      faults:
        - {deny: "iam:DeleteAccessKey"}  # ✗ this fault met no call of the workers
        - {fail: "s3:PutBucketPublicAccessBlock", times: 1, code: SlowDown}
    people:
      - {who: jonas, do: approve, after: 5m}
    expect: {incident: closed}

  - name: it goes on too long
    limit: 1h  # ✗ it goes on for longer than 3600 s
    expect: {incident: waiting}

  - name: whatever update the workflow takes can be sent
    people:
      - who: priya
        do: update
        update: note
        with: {text: "{{ step }} of {{ facts.bucket }} waits"}
        when: {step: clo*, is: waiting}
        after: 2d
        refused: the incident has ended
      - who: priya
        do: update
        update: note
        with: {text: "{{ step }} waits"}
        when: {step: close, is: waiting}
        after: 1m
      - {who: irene, do: deny, after: 3m, reason: enough}
    expect:
      incident: {status: closed_incomplete, says: close}
      report: {says: [close waits]}
      timeline: [approval.opened, note.added, approval.vote, step.denied]
"""
MARKED = re.compile(r"# ✗ (.*)$")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TestResult]:
    folder = tmp_path_factory.mktemp("tester")
    (folder / "tiny.yaml").write_text(PLAYBOOK)
    (folder / "tiny.test.yaml").write_text(TESTS)
    planned, broken = plan([folder / "tiny.test.yaml"])
    assert not broken, broken[0].failures
    return {result.name: result for result in asyncio.run(run_tests(planned))}


def _expected() -> dict[str, dict[int, str]]:
    """Test → line → words of the failure there."""
    found: dict[str, dict[int, str]] = {}
    name = ""
    for number, line in enumerate(TESTS.split("\n"), start=1):
        if line.startswith("  - name: "):
            name = line.removeprefix("  - name: ")
            found[name] = {}
        if marked := MARKED.search(line):
            found[name][number] = marked[1]
    return found


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", _expected())
def test_a_failure_stands_at_the_line_that_is_wrong_and_says_what_was_there(
    results: dict[str, TestResult], name: str
) -> None:
    result, expected = results[name], _expected()[name]
    told = {failure.line: failure.message for failure in result.failures}
    assert len(told) == len(result.failures)
    assert told.keys() == expected.keys(), result.failures
    for line, words in expected.items():
        assert words in told[line]
    assert result.status == ("failed" if expected else "passed")


def test_a_result_tells_what_happened(results: dict[str, TestResult]) -> None:
    result = results["nobody comes"]
    assert result.playbook == "tiny"
    assert result.seconds > 0
    assert 4 * 3600 <= result.passed_seconds < 5 * 3600
    assert any("approval.reminded: Still undecided" in entry for entry in result.timeline)


async def test_a_test_that_takes_too_long_is_an_error_that_says_where_it_stood(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(PLAYBOOK)
    (tmp_path / "tiny.test.yaml").write_text(TESTS)
    planned, _ = plan([tmp_path / "tiny.test.yaml"], keyword="nobody comes")
    [result] = await run_tests(planned, timeout=0.5)
    assert result.status == "error"
    assert "it took longer than 0 s: " in str(result.failures[0])
