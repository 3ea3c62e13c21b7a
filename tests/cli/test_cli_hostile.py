"""Attackers' text, odd arguments and odd files."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from test_cli_decisions import project
from web_world import SECRET, World, busy

from soar.cli.exit_codes import ExitCode

FINDINGS = Path(__file__).parents[1] / "fixtures" / "guardduty"
FINDING = FINDINGS / "iam-malicious-ip-caller-custom.json"
HOSTILE = (
    "title \x1b[31mRED\x1b[0m \x1b]0;owned\x07 \u202efdp.exe [red]markup[/red] [/] one\ntwo\r\x9b2J \u2028"
)
OBEYED = {"\x1b", "\x07", "\u202e", "\r", "\x9b", "\u2028"}


@pytest.mark.parametrize(
    "command", [("list",), ("show", "INC-3"), ("timeline", "INC-3"), ("approve", "INC-3", "--yes")]
)
def test_hostile_text_is_shown_but_not_obeyed(
    soar: Any, server: World, tmp_path: Path, command: tuple[str, ...]
) -> None:
    project(tmp_path, busy("INC-3", HOSTILE, approval="apr_3"))
    code, out, err = soar("incident", *command)
    assert (code, OBEYED & set(out + err)) == (0, set())
    assert "[red]markup[/red]" in out
    assert not [row for row in out.splitlines() if row.startswith("two")]


@pytest.mark.parametrize(
    "command", [("incident", "list"), ("incident", "show", "INC-3"), ("incident", "timeline", "INC-3")]
)
def test_json_is_all_there_is_on_standard_output(
    soar: Any, server: World, tmp_path: Path, command: tuple[str, ...]
) -> None:
    project(tmp_path, busy("INC-3", HOSTILE, approval="apr_3"))
    code, out, err = soar(*command, "--json")
    assert (code, err, OBEYED & set(out), out.isascii()) == (0, "", set(), True)
    assert "[red]markup[/red]" in str(json.loads(out))


@pytest.mark.parametrize(
    "name", ["INC-1/timeline", "INC-1?x=1", "INC-1#x", "../alerts", "..", "", "%", "a b", "\udcff"]
)
def test_an_id_is_never_a_path(soar: Any, server: World, name: str) -> None:
    for command in ("show", "timeline", "report"):
        code, out, err = soar("incident", command, name)
        assert (code, out, "unexpectedly" in err) == (ExitCode.NOT_FOUND, "", False), (command, err)
    assert soar("alert", "show", name)[0] == ExitCode.NOT_FOUND
    assert soar("incident", "note", name, "words")[0] == ExitCode.NOT_FOUND
    assert server.engine.told == []


def test_an_empty_token_file_is_no_token(soar: Any, server: World, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.delenv("SOAR_TOKEN")
    home = tmp_path / "home"
    home.mkdir()
    (home / "token").write_text("\n")
    code, _, err = soar("incident", "list")
    assert (code, "soar token create" in err) == (ExitCode.NOT_PERMITTED, True)
    (home / "token").write_text("irene-token\n")
    assert soar("incident", "list")[0] == 0


@pytest.mark.parametrize("token", ["gehe\nim-token", "gehe\x00im-token", "geh\u00e9im-token"])
def test_a_token_that_cannot_be_one_is_not_shown(
    soar: Any, server: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, token: str
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "token").write_text(token)
    monkeypatch.delenv("SOAR_TOKEN")
    code, out, err = soar("incident", "list")
    assert (code, "im-token" in out + err) == (ExitCode.NOT_PERMITTED, False), err


def test_an_array_lines_and_standard_input(
    soar: Any, server: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOAR_SOURCE_GUARDDUTY_SECRETS", SECRET)
    findings = [json.loads(p.read_text()) for p in sorted(FINDINGS.glob("*.json"))[:2]]
    array, lines = tmp_path / "array.json", tmp_path / "lines.jsonl"
    array.write_text(json.dumps(findings))
    lines.write_text("\n".join(json.dumps(f) for f in findings))
    code, out, _ = soar("alert", "send", str(array))
    assert (code, len(out.split())) == (0, 2)
    assert soar("alert", "send", str(lines))[:2] == (0, out)
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(findings[0])))
    assert soar("alert", "send", "-")[:2] == (0, out.splitlines()[0] + "\n")


def test_a_line_ends_where_json_lines_say_it_does(
    soar: Any, server: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = tmp_path / "lines.jsonl"
    row = json.dumps({"title": "one\u2028two\x85three"}, ensure_ascii=False)
    lines.write_text(f"{row}\r\n\r\n{row}\n", encoding="utf-8", newline="")
    code, _, err = soar("alert", "send", str(lines), "--source", "guardduty", "--secret", SECRET)
    assert (code, err.count("422"), "is not JSON" in err) == (ExitCode.FAILED, 2, False)


@pytest.mark.parametrize("content", ["[]", "", "\n\n"])
def test_a_file_without_an_alert_is_told(soar: Any, server: World, tmp_path: Path, content: str) -> None:
    empty = tmp_path / "empty.json"
    empty.write_text(content)
    code, _, err = soar("alert", "send", str(empty), "--secret", SECRET)
    assert (code, "holds no alert" in err) == (ExitCode.FAILED, True)


def test_a_file_that_begins_with_a_byte_order_mark(soar: Any, tmp_path: Path) -> None:
    marked = tmp_path / "marked.json"
    marked.write_text(FINDING.read_text(), encoding="utf-8-sig")
    assert soar("alert", "explain", str(marked))[0] == 0


def test_unmatched_alerts_and_unknown_statuses(soar: Any, server: World) -> None:
    assert json.loads(soar("alert", "list", "--status", "unmatched", "--json")[1]) == []
    code, out, err = soar("alert", "list", "--status", "bogus")
    assert (code, out, "unmatched" in err) == (ExitCode.USAGE, "", True)
