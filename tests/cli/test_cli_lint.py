from __future__ import annotations

import json
import resource
from pathlib import Path
from typing import Any

import pytest

from soar.cli.exit_codes import ExitCode
from soar.cli.lint import file_uri

BROKEN = (
    "name: broken\nmatch: {source: guardduty}\ncorrelate_by: [alert.account]\nidentification:\n"
    "  - id: user # who\n    do: aws.iam.describe_pricipal\n    with: {name: alice}\n"
)
CALLER = (
    "name: caller\nidentification:\n  - {id: call, playbook: called, with: {user: alice}}\n"
    "lessons_learned:\n  - {id: report, do: report.write, when: steps.call.result.kees}\n"
)
CALLED = (
    "name: called\ninputs: {user: {type: string, default: ''}}\noutputs: {keys: steps.user.result.active_keys}\n"
    "identification:\n  - {id: user, do: aws.iam.describe_principal, with: {name: '{{ inputs.user }}'}}\n"
)


def test_a_finding_has_place_severity_and_rule(soar: Any, tmp_path: Path) -> None:
    file = tmp_path / "broken.yaml"
    file.write_text(BROKEN)
    code, out, err = soar("playbook", "lint", str(file))
    assert code == ExitCode.FAILED
    assert f"{file}:6:9: error[unknown-action]: there is no action" in out
    assert "1 playbook(s): 1 error, 0 warnings, 0 info" in err


def test_fix_writes_the_file_and_keeps_the_rest(soar: Any, tmp_path: Path) -> None:
    file = tmp_path / "broken.yaml"
    file.write_bytes(b"\xef\xbb\xbf" + BROKEN.encode())
    file.chmod(0o640)
    link = tmp_path / "link.yml"
    link.symlink_to(file)
    code, out, err = soar("playbook", "lint", "--fix", str(link))
    assert (code, out) == (0, "")
    assert "put right:" in err
    assert "error[unknown-action]" in err
    assert file.read_bytes() == b"\xef\xbb\xbf" + BROKEN.replace("pricipal", "principal").encode()
    assert file.stat().st_mode & 0o777 == 0o640
    assert link.is_symlink()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["broken.yaml", "link.yml"]
    before = file.stat().st_mtime_ns
    assert soar("playbook", "lint", "--fix", str(link))[0] == 0
    assert file.stat().st_mtime_ns == before


def test_fix_of_what_cannot_be_written_is_told_and_leaves_the_file_whole(soar: Any, tmp_path: Path) -> None:
    file = tmp_path / "broken.yaml"
    file.write_text(BROKEN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, limits[1]))  # as on a full disk
    try:
        code, _, err = soar("playbook", "lint", "--fix", str(file))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (code, "cannot be written" in err) == (ExitCode.FAILED, True)
    assert file.read_text() == BROKEN
    assert [p.name for p in tmp_path.iterdir()] == ["broken.yaml"]


def test_sarif_names_the_file_relative_to_where_we_are(
    soar: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "my playbooks"
    folder.mkdir()
    (folder / "broken.yaml").write_text(BROKEN)
    monkeypatch.chdir(tmp_path)
    code, out, _ = soar("playbook", "lint", "--sarif", "my playbooks")
    log = json.loads(out)
    assert (code, log["version"]) == (ExitCode.FAILED, "2.1.0")
    (result,) = log["runs"][0]["results"]
    place = result["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "my%20playbooks/broken.yaml"
    assert place["region"] == {"startLine": 6, "startColumn": 9, "endLine": 6, "endColumn": 34}
    assert file_uri("/elsewhere/a b.yaml") == "file:///elsewhere/a%20b.yaml"
    assert soar("playbook", "lint", "--sarif", "--json", "my playbooks")[0] == ExitCode.USAGE


def test_json_has_the_fix(soar: Any, tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text(BROKEN)
    (found,) = json.loads(soar("playbook", "lint", "--json", str(tmp_path))[1])
    assert found["rule"] == "unknown-action"
    assert found["fix"][0]["text"] == "aws.iam.describe_principal"


def test_playbooks_that_are_called_are_found_beside_the_file(soar: Any, tmp_path: Path) -> None:
    (tmp_path / "caller.yaml").write_text(CALLER)
    code, out, _ = soar("playbook", "lint", str(tmp_path / "caller.yaml"))
    assert (code, "error[unknown-playbook]" in out) == (ExitCode.FAILED, True)
    (tmp_path / "called.yaml").write_text(CALLED)
    code, out, _ = soar("playbook", "lint", str(tmp_path / "caller.yaml"))
    assert (code, len(out.splitlines())) == (ExitCode.FAILED, 1)
    assert 'error[unknown-result]: the result of call has no "kees" (did you mean "keys"?)' in out
    assert soar("playbook", "lint", "--fix", str(tmp_path / "caller.yaml"))[0] == 0
    assert (tmp_path / "caller.yaml").read_text() == CALLER.replace("kees", "keys")


def test_info_does_not_fail_and_strict_is_about_warnings(soar: Any, tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    good = BROKEN.replace("pricipal", "principal")
    file.write_text(good + "roles: {unused: x}\n")
    code, out, _ = soar("playbook", "lint", "--strict", str(file))
    assert (code, "info[unused-role]" in out) == (0, True)
    file.write_text(good + "inputs: {unused: {type: number, default: 1}}\n")
    assert soar("playbook", "lint", str(file))[0] == 0
    assert soar("playbook", "lint", "--strict", str(file))[0] == ExitCode.FAILED


def test_a_playbook_in_force_is_checked_by_its_name(soar: Any) -> None:
    code, _, err = soar("playbook", "lint", "aws-s3-public-bucket")
    assert (code, err.strip()) == (0, "1 playbook(s): 0 errors, 0 warnings, 0 info")
    code, _, err = soar("playbook", "lint", "aws-s3-public")
    assert (code, "no playbook in force has this name" in err) == (ExitCode.NOT_FOUND, True)


def test_a_rule_is_explained(soar: Any) -> None:
    code, out, _ = soar("playbook", "lint", "--explain", "may-be-null")
    assert (code, out.startswith("warning[may-be-null]:"), "alert.actor.name" in out) == (0, True, True)
    code, _, err = soar("playbook", "lint", "--explain", "may-be-nul")
    assert (code, "may-be-null" in err) == (ExitCode.NOT_FOUND, True)
