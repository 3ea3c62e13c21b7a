"""`soar policy …`, which needs no server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from soar.cli.exit_codes import ExitCode

FINDING = Path(__file__).parents[1] / "fixtures" / "guardduty" / "s3-anonymous-access-granted.json"
POLICY = """
version: 1
responders:
  - {id: ada, name: Ada, roles: [responder]}
  - {id: ben, name: Ben, roles: [responder]}
environments:
  sandbox: {tag: {env: sandbox}}
autonomy:
  - {match: {environment: sandbox}, decide: automatic}
  - {match: {risk: [reversible, disruptive]}, decide: ask, approvers: 2, roles: [responder], why: two see more}
protected:
  - {name: crown-jewels}
budgets:
  - {match: {risk: [reversible, disruptive]}, changes: 3, window: 1h}
  - {group_percent: 34}
freezes:
  - {from: 2020-01-01T00:00:00Z, to: 2020-01-02T00:00:00Z}
"""


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY)
    return path


def test_check_names_what_is_said_in_vain_and_passes(soar: Any, policy: Path) -> None:
    code, out, err = soar("policy", "check", str(policy))
    assert (code, "ada" in out) == (0, True)
    assert f"{policy}:17:5: warning: this freeze is over" in err
    assert "2 rule(s), 1 protected target(s), 2 budget(s), 1 freeze(s)" in err
    told = json.loads(soar("policy", "check", str(policy), "--json")[1])
    assert (told["usable"], [d["line"] for d in told["diagnostics"]]) == (True, [17])
    assert len(told["digest"]) == 64


def test_check_as_json_says_where_a_broken_policy_is_wrong(soar: Any, policy: Path) -> None:
    policy.write_text(POLICY.replace("{environment: sandbox}", "{environment: sandbx}"))
    code, out, _ = soar("policy", "check", str(policy), "--json")
    told = json.loads(out)
    assert (code, told["usable"], told["digest"]) == (ExitCode.FAILED, False, None)
    [wrong] = told["diagnostics"]
    assert (wrong["line"], wrong["rule"], "sandbox" in wrong["hint"]) == (9, "unknown-environment", True)
    code, _, err = soar("policy", "check", str(policy))
    assert (code, "policy.yaml:9:27: there is no environment" in err) == (ExitCode.FAILED, True)


def test_the_schema_is_one(soar: Any) -> None:
    Draft202012Validator.check_schema(json.loads(soar("policy", "schema")[1]))


def test_explain_says_which_rule_decides_and_what_is_not_known_yet(soar: Any, policy: Path) -> None:
    asked = ("policy", "explain", "aws-s3-public-bucket", "--alert", str(FINDING), "--policy", str(policy))
    code, out, _ = soar(*asked)
    assert code == 0
    assert "decision     approval: 2 of role responder" in out
    assert "policy rule 2 (two see more)" in out
    assert "policy rule 1 (automatic) counts if everything it touches is tagged as sandbox" in out
    assert "forbidden if a target is name crown-jewels (protected target 1)" in out
    assert "budget 1: at most 3 reversible or disruptive change(s) per account in 1h" in out
    assert "soar halt --status" in out
    [told] = json.loads(soar(*asked, "--json")[1])
    assert (told["answers"], told["playbook"]) == (True, "aws-s3-public-bucket")
    assert {s["risk"] for s in told["steps"]} <= {"reversible", "disruptive", "destructive"}
    assert all(s["decision"]["rule"] and s["unknown"] for s in told["steps"])


def test_explain_without_a_policy_and_for_an_alert_of_another_playbook(
    soar: Any, policy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, err = soar("policy", "explain", "aws-ec2-cryptomining", "--alert", str(FINDING))
    assert (code, "does not answer this alert" in out, "nobody may approve" in out) == (0, True, True)
    assert "there is no policy" in err
    monkeypatch.setenv("SOAR_POLICY_FILE", str(policy))
    told = json.loads(soar("policy", "explain", "aws-ec2-cryptomining", "--alert", str(FINDING), "--json")[1])
    assert (told[0]["answers"], len(told[0]["policy"])) == (False, 64)


def test_explain_tells_what_is_missing(soar: Any, policy: Path, tmp_path: Path) -> None:
    code, _, err = soar("policy", "explain", "aws-s3-public-buckett", "--alert", str(FINDING))
    assert (code, "aws-s3-public-bucket" in err) == (ExitCode.NOT_FOUND, True)
    code, _, err = soar("policy", "explain", "aws-s3-public-bucket", "--alert", str(tmp_path / "none"))
    assert (code, "cannot be read" in err) == (ExitCode.NOT_FOUND, True)
    bad = tmp_path / "bad.json"
    bad.write_text('{"detail-type": "Something else"}')
    code, _, err = soar("policy", "explain", "aws-s3-public-bucket", "--alert", str(bad))
    assert (code, "$.detail-type" in err) == (ExitCode.FAILED, True)
    assert soar("policy", "explain", str(tmp_path / "none.yaml"), "--alert", str(FINDING))[0] != 0


def test_explain_reads_a_cacao_file_as_it_reads_yaml(soar: Any, policy: Path, tmp_path: Path) -> None:
    file = tmp_path / "bucket.cacao.json"
    assert soar("playbook", "export", "aws-s3-public-bucket", "-o", str(file))[0] == 0
    more = ("--alert", str(FINDING), "--policy", str(policy), "--json")
    ours = json.loads(soar("policy", "explain", "aws-s3-public-bucket", *more)[1])
    assert json.loads(soar("policy", "explain", str(file), *more)[1]) == ours
    # One that was edited is what CACAO says, and the policy decides about it in the same way.
    told = json.loads(file.read_text())
    told["name"] = "Edited"
    file.write_text(json.dumps(told))
    [edited] = json.loads(soar("policy", "explain", str(file), *more)[1])

    def decided(steps: list[Any]) -> dict[str, Any]:
        return {step["action"]: (step["decision"], step["risk"]) for step in steps}

    assert edited["playbook"] == "aws-s3-public-bucket"
    assert decided(edited["steps"]) == decided(ours[0]["steps"]) != {}
    file.write_text("{}")
    code, _, err = soar("policy", "explain", str(file), *more)
    assert (code, "bucket.cacao.json:1:1" in err) == (ExitCode.FAILED, True)
    assert soar("policy", "explain", str(tmp_path / "no.cacao.json"), *more)[0] == ExitCode.NOT_FOUND


def test_explain_tells_of_the_changes_of_called_playbooks(soar: Any, policy: Path, tmp_path: Path) -> None:
    (tmp_path / "inner.yaml").write_text(
        "name: inner\ncontainment:\n  - {id: off, do: aws.iam.deactivate_access_key, with: {user_name: a}}\n"
    )
    outer = tmp_path / "outer.yaml"
    outer.write_text(
        "name: outer\nmatch: {source: guardduty}\ncorrelate_by: [alert.account]\n"
        "containment: [{id: call, playbook: inner, with: {}}]\n"
    )
    more = ("--alert", str(FINDING), "--policy", str(policy))
    [told] = json.loads(soar("policy", "explain", str(outer), *more, "--json")[1])
    assert told["steps"] == []
    [step] = told["called"]["inner"]
    assert (step["step_id"], step["decision"]["outcome"]) == ("off", "approval")
    out = soar("policy", "explain", str(outer), *more)[1]
    assert "calls" in out
    assert "off:" in out
