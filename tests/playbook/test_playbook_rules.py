from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from lint_world import findings, whole

from soar.playbook.diagnostics import PlaybookError
from soar.playbook.library import Library, read_text
from soar.playbook.loader import load_playbook
from soar.playbook.rules import RULES, Rule, explain, rules_page
from soar.playbook.rules_cacao import CACAO_RULES
from soar.playbook.rules_policy import POLICY_RULES

PACKAGE = Path(__file__).resolve().parents[2] / "soar" / "playbook"


shown = [rule for rule in RULES.values() if rule.bad]


@pytest.mark.parametrize("rule", shown, ids=lambda rule: rule.id)
def test_a_rule_finds_its_bad_example_and_not_its_good_one(rule: Rule) -> None:
    text = whole(rule.bad)
    found = [d for d in findings(text) if d.rule == rule.id]
    assert found, [d.graded for d in findings(text)]
    lines = text.splitlines()
    for finding in found:
        assert finding.severity == rule.severity
        assert finding.message
        assert finding.line <= len(lines)
        assert finding.column <= len(lines[finding.line - 1]) + 1
        assert finding.line > 1 or rule.id in ("missing-field", "key", "shape")
    assert [d.graded for d in findings(whole(rule.good))] == []


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda rule: rule.id)
def test_every_rule_is_explained(rule: Rule) -> None:
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", rule.id)
    assert rule.title.endswith((".", "?"))
    assert rule.why.endswith((".", "?"))
    assert bool(rule.bad) == bool(rule.good)
    text = explain(rule.id)
    assert text.startswith(f"{rule.severity}[{rule.id}]: {rule.title}")
    assert f"## `{rule.id}`" in rules_page()


def test_an_unknown_rule_has_a_hint() -> None:
    with pytest.raises(KeyError, match="unknown-action"):
        explain("unknown-acton")


def test_every_rule_id_in_the_code_is_declared() -> None:
    used: dict[str, str] = {}
    for path in sorted(PACKAGE.glob("*.py")):
        if path.name.startswith("rule"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                used |= dict.fromkeys(_rules_of(node), f"{path.name}:{node.lineno}")
    assert len(used) > 40
    undeclared = {rule: place for rule, place in used.items() if rule not in RULES}
    assert undeclared == {}


def _rules_of(call: ast.Call) -> list[str]:
    """The rule ids in a call: of what makes a diagnostic, a finding, or refuses."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    found = [k.value for k in call.keywords if k.arg == "rule"]
    place = {"diagnostic": 1, "_refuse": 2, "refuse": 1, "_whole_file": 1, "_Finding": 0}.get(name)
    if place is not None and len(call.args) > place:
        found.append(call.args[place])
    values = [
        v for node in found for v in ((node.body, node.orelse) if isinstance(node, ast.IfExp) else (node,))
    ]
    return [v.value for v in values if isinstance(v, ast.Constant) and isinstance(v.value, str)]


def unread(text: bytes, tmp_path: Path) -> set[str]:
    file = tmp_path / "p.yaml"
    file.write_bytes(text)
    with pytest.raises(PlaybookError) as caught:
        load_playbook(read_text(file), file="p.yaml")
    return {d.rule for d in caught.value.diagnostics}


def test_every_declared_rule_is_shown_or_tested_here(tmp_path: Path) -> None:
    seen = {rule.id for rule in shown}
    seen |= unread(b"", tmp_path)
    seen |= unread(b"[1, 2]", tmp_path)
    seen |= unread(b"a: " + b"x" * 300_000, tmp_path)
    seen |= unread(b"[" * 50 + b"]" * 50, tmp_path)
    seen |= unread(b"\xff", tmp_path)
    with pytest.raises(PlaybookError) as caught:
        Library.load(tmp_path / "nowhere")
    seen |= {d.rule for d in caught.value.diagnostics}
    with pytest.raises(PlaybookError) as caught:
        read_text(tmp_path / "missing.yaml")
    seen |= {d.rule for d in caught.value.diagnostics}
    loaded = load_playbook(whole("lessons_learned: [{id: report, do: report.write}]\n"), file="a.yaml")
    again = load_playbook(loaded.text, file="b.yaml")
    with pytest.raises(PlaybookError) as caught:
        Library([loaded, again])
    seen |= {d.rule for d in caught.value.diagnostics}
    assert set(RULES) - seen - ELSEWHERE == set()


ELSEWHERE = {"json", *(rule.id for rule in (*POLICY_RULES, *CACAO_RULES))}
"""What only policies and CACAO's JSON can show; their tests do."""
