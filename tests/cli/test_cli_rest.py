"""Commands that talk to the server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from web_world import REPORT, SECRET, World

from soar.cli.exit_codes import ExitCode
from soar.engine.client import EngineUnavailable
from soar.engine.messages import Reply, StepDecisionRequest, UndoRequest, VoteRequest

FINDING = Path(__file__).parents[1] / "fixtures" / "guardduty" / "iam-malicious-ip-caller-custom.json"


def test_list_and_show(soar: Any, server: World) -> None:
    code, out, _ = soar("incident", "list")
    assert (code, "INC-1" in out, "waiting" in out) == (0, True, True)
    code, out, _ = soar("incident", "show", "INC-1")
    assert code == 0
    for said in ("APPROVE?", "DECIDE", "apr_1", "NOT verified", "soar incident retry|skip|stop INC-1 bad"):
        assert said in out
    code, out, _ = soar("incident", "show", "INC-1", "--json")
    assert json.loads(out)["id"] == "INC-1"
    code, out, _ = soar("incident", "timeline", "INC-1", "--json")
    assert [e["seq"] for e in json.loads(out)] == list(range(1, len(json.loads(out)) + 1))


def test_approve_shows_the_plan_before_it_asks(
    soar: Any, server: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("typer.confirm", lambda *_a, **_k: False)
    code, out, err = soar("incident", "approve", "INC-1")
    assert (code, "nothing was decided" in err) == (ExitCode.FAILED, True)
    assert "→" in out
    assert server.engine.told == []
    code, _, err = soar("incident", "approve", "INC-1", "--yes", "--reason", "seen")
    assert (code, "counted" in err) == (0, True)
    [(name, workflow, request)] = server.engine.told
    assert name == "vote"
    assert isinstance(request, VoteRequest)
    assert (request.responder.id, request.decision, request.reason) == ("irene", "approve", "seen")
    assert workflow


def test_what_the_incident_refuses_is_told_with_its_own_exit_code(soar: Any, server: World) -> None:
    server.engine.answer = Reply(accepted=False, message="this takes the role responder")
    code, _, err = soar("incident", "deny", "INC-1", "--yes")
    assert (code, "takes the role responder" in err) == (ExitCode.NOT_PERMITTED, True)
    server.engine.error = EngineUnavailable("the worker did not answer")
    code, _, err = soar("incident", "deny", "INC-1", "--yes")
    assert (code, "did not answer" in err) == (ExitCode.UNREACHABLE, True)


def test_decisions_undo_and_notes(soar: Any, server: World) -> None:
    assert soar("incident", "retry", "INC-1", "bad", "--reason", "fixed")[0] == 0
    assert soar("incident", "note", "INC-1", "called the owner")[0] == 0
    assert soar("incident", "undo", "INC-1")[0] == ExitCode.USAGE
    assert soar("incident", "undo", "INC-1", "--step", "nothing", "--yes")[0] == ExitCode.NOT_FOUND
    assert soar("incident", "undo", "INC-1", "--step", "done", "--yes")[0] == 0
    kinds = [(name, type(request)) for name, _, request in server.engine.told]
    assert kinds[0] == ("decide", StepDecisionRequest)
    assert kinds[-1] == ("undo", UndoRequest)
    assert soar("incident", "skip", "INC-1", "unheard-of")[0] == ExitCode.NOT_FOUND


def test_the_report(soar: Any, server: World, tmp_path: Path) -> None:
    assert soar("incident", "report", "INC-1")[1].strip() == REPORT.decode()
    target = tmp_path / "report.json"
    assert soar("incident", "report", "INC-1", "--format", "json", "--out", str(target))[0] == 0
    assert target.read_bytes() == REPORT
    code, _, err = soar("incident", "report", "INC-1", "--format", "html")
    assert (code, "no report" in err) == (ExitCode.NOT_FOUND, True)


def test_unknown_incident_names_near_ones(soar: Any, server: World) -> None:
    code, _, err = soar("incident", "show", "INC")
    assert (code, "INC-1" in err) == (ExitCode.NOT_FOUND, True)


def test_no_token_a_wrong_one_and_no_server(
    soar: Any, server: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOAR_TOKEN", "wrong")
    assert soar("incident", "list")[0] == ExitCode.NOT_PERMITTED
    monkeypatch.delenv("SOAR_TOKEN")
    code, _, err = soar("incident", "list")
    assert (code, "soar token create" in err) == (ExitCode.NOT_PERMITTED, True)
    monkeypatch.setenv("SOAR_TOKEN", "x")
    monkeypatch.setenv("SOAR_URL", "http://127.0.0.1:1")
    code, _, err = soar("incident", "list")
    assert (code, "cannot be reached" in err) == (ExitCode.UNREACHABLE, True)


def test_alerts_are_sent_signed_and_listed(
    soar: Any, server: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert soar("alert", "send", str(FINDING))[0] == ExitCode.NOT_PERMITTED
    monkeypatch.setenv("SOAR_SOURCE_GUARDDUTY_SECRETS", f"{SECRET},next")
    code, out, _ = soar("alert", "send", str(FINDING))
    assert code == 0
    alert_id = out.strip()
    code, out, err = soar("alert", "send", str(FINDING))
    assert (code, out.strip(), "known already" in err) == (0, alert_id, True)
    assert json.loads(soar("alert", "show", alert_id, "--json")[1])["status"] == "received"
    assert "received" in soar("alert", "show", alert_id)[1]
    lines = tmp_path / "alerts.jsonl"
    lines.write_text('{"detail-type": "x"}\n\n{"no": "finding"}\n')
    code, _, err = soar("alert", "send", str(lines))
    assert (code, "422" in err) == (ExitCode.FAILED, True)
    code, out, _ = soar("alert", "list", "--status", "invalid", "--json")
    assert {a["field"] for a in json.loads(out)} == {"$.detail-type", "$.createdAt"}
    assert soar("alert", "send", str(FINDING), "--secret", "wrong")[0] == ExitCode.NOT_PERMITTED
