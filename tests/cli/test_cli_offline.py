"""Commands that need no server, and how every command speaks."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from soar import __version__
from soar.cli.exit_codes import ExitCode
from soar.cli.output import clean

FINDING = Path(__file__).parents[1] / "fixtures" / "guardduty" / "s3-anonymous-access-granted.json"
POLICY = "version: 1\nresponders:\n  - {id: ada, name: Ada, roles: [responder]}\n"


def test_help_is_there_without_the_heavy_parts() -> None:
    program = (
        "import sys, soar.cli.main; "
        "print([m for m in ('temporalio','boto3','sqlalchemy','fastapi','httpx') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["incident", "show"], ["incident", "list", "--limit", "x"]]
)
def test_wrong_usage(soar: Any, arguments: list[str]) -> None:
    assert soar(*arguments)[0] == ExitCode.USAGE


def test_version_and_help(soar: Any) -> None:
    assert soar("version")[1].strip() == __version__
    code, out, _ = soar("--help")
    assert (code, "Exit codes" in out) == (0, True)


def test_shipped_playbooks_are_clean_and_shown(soar: Any) -> None:
    assert soar("playbook", "lint")[0] == 0
    names = [p["name"] for p in json.loads(soar("playbook", "list", "--json")[1])]
    assert "aws-s3-public-bucket" in names
    code, out, _ = soar("playbook", "show", "aws-s3-public-bucket")
    assert (code, "aws.s3.block_public_access" in out) == (0, True)
    code, out, _ = soar("playbook", "show", "aws-ec2-compromise")
    assert code == 0
    # Every step, whatever its kind, and what is inside of another.
    assert re.search(r"identification +gather +at the same time", out)
    assert re.search(r"identification +  role_events +aws.cloudtrail.search_events +read", out)
    assert re.search(r"eradication +cause +task for responder", out)
    code, _, err = soar("playbook", "show", "aws-s3-public-buckett")
    assert (code, "aws-s3-public-bucket" in err) == (ExitCode.NOT_FOUND, True)


def test_a_broken_playbook_is_told_with_its_place_and_the_nearest_name(soar: Any, tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text(
        "name: broken\ndescription: d\nmatch: {source: guardduty}\ncorrelate_by: [alert.account]\n"
        "containment:\n  - id: key\n    do: aws.iam.deactivate_acces_key\n    with: {user_name: x}\n"
    )
    code, out, _ = soar("playbook", "lint", str(broken))
    assert code == ExitCode.FAILED
    assert f"{broken}:7:" in out
    assert "aws.iam.deactivate_access_key" in out
    found = json.loads(soar("playbook", "lint", str(broken), "--json")[1])
    assert [d["line"] for d in found if d["severity"] == "error"] == [7]
    assert soar("playbook", "lint", str(tmp_path / "none.yaml"))[0] == ExitCode.NOT_FOUND


def test_the_schema_is_one(soar: Any) -> None:
    Draft202012Validator.check_schema(json.loads(soar("playbook", "schema")[1]))


def test_actions_and_sources(soar: Any) -> None:
    listed = json.loads(soar("actions", "list", "--json")[1])
    assert len(listed) >= 23
    for spec in listed:
        code, out, _ = soar("actions", "show", spec["name"])
        assert (code, spec["title"] in out) == (0, True)
    code, _, err = soar("actions", "show", "aws.iam.deactivate_acces_key")
    assert (code, "aws.iam.deactivate_access_key" in err) == (ExitCode.NOT_FOUND, True)
    assert json.loads(soar("sources", "list", "--json")[1])[0]["ready"] is False


def test_explain_needs_no_server(soar: Any, tmp_path: Path) -> None:
    code, out, _ = soar("alert", "explain", str(FINDING))
    assert (code, "aws-s3-public-bucket: answers" in out, "does not answer" in out) == (0, True, True)
    shown = json.loads(soar("alert", "explain", str(FINDING), "--json")[1])
    assert shown[0]["playbooks"][0]["matched"] is True
    bad = tmp_path / "bad.json"
    bad.write_text('{"detail-type": "Something else"}')
    code, _, err = soar("alert", "explain", str(bad))
    assert (code, "$.detail-type" in err) == (ExitCode.FAILED, True)


def test_policy_and_tokens(soar: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY)
    code, out, _ = soar("policy", "check", str(policy))
    assert (code, "ada" in out) == (0, True)
    assert soar("token", "create", "ada")[0] == ExitCode.USAGE
    monkeypatch.setenv("SOAR_POLICY_FILE", str(policy))
    code, token, err = soar("token", "create", "ada", "--label", "laptop")
    assert (code, len(token.strip()) >= 40, token.strip() in err) == (0, True, False)
    assert token.strip().encode() not in (tmp_path / "home" / "soar.db").read_bytes()
    assert soar("token", "create", "adda")[0] == ExitCode.NOT_FOUND
    assert "1 token(s)" in soar("token", "revoke", "ada")[2]
    policy.write_text(POLICY.replace("responders", "responder"))
    code, _, err = soar("policy", "check", str(policy))
    assert (code, "policy.yaml:2:" in err, "responders" in err) == (ExitCode.FAILED, True, True)


def test_the_slack_manifest(soar: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made = json.loads(soar("slack", "manifest")[1])
    assert "chat:write" in made["oauth_config"]["scopes"]["bot"]
    assert made["settings"]["socket_mode_enabled"] is True
    code, _, err = soar("slack", "manifest", "--http")
    assert (code, "SOAR_PUBLIC_URL" in err) == (ExitCode.USAGE, True)
    monkeypatch.setenv("SOAR_PUBLIC_URL", "https://soar.example.com")
    made = json.loads(soar("slack", "manifest", "--http")[1])
    assert made["settings"]["interactivity"]["request_url"] == "https://soar.example.com/slack/interactions"


def test_settings_mask_secrets_and_name_misspelt_variables(
    soar: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOAR_DATABASE_URL", "postgresql+asyncpg://soar:geheim@db/soar")
    monkeypatch.setenv("SOAR_WEB_PROT", "1")
    code, out, err = soar("settings")
    assert (code, "geheim" in out + err, "SOAR_WEB_PORT" in err) == (0, False, True)
    assert "SOAR_TEMPORAL_ADDRESS" in soar("settings", "--reference")[1]
    monkeypatch.setenv("SOAR_WEB_PORT", "many")
    code, _, err = soar("settings")
    assert (code, "SOAR_WEB_PORT" in err, "Traceback" in err) == (ExitCode.FAILED, True, False)


@given(st.text())
def test_nothing_that_a_terminal_obeys_is_printed(text: str) -> None:
    for kept in (clean(text), clean(text, lines=True)):
        for character in kept:
            assert character in "\n\t" or unicodedata.category(character) not in {"Cc", "Cf", "Cs", "Co"}
    assert "\n" not in clean(text)
