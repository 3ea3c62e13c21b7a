from __future__ import annotations

from typing import Any

from jsonschema import Draft202012Validator
from lint_world import findings, whole

from soar.playbook.diagnostics import Diagnostic
from soar.playbook.rules import RULES
from soar.playbook.sarif import sarif_log

_TEXT = {
    "type": "object",
    "required": ["text"],
    "properties": {"text": {"type": "string"}, "markdown": {"type": "string"}},
}
_REGION = {
    "type": "object",
    "additionalProperties": False,
    "required": ["startLine"],
    "properties": {
        n: {"type": "integer", "minimum": 1} for n in ("startLine", "startColumn", "endLine", "endColumn")
    },
}
_ARTIFACT = {
    "type": "object",
    "additionalProperties": False,
    "properties": {"uri": {"type": "string", "pattern": r"^[A-Za-z0-9._~:/%+-]+$"}},
}
_LEVEL = {"enum": ["none", "note", "warning", "error"]}
_RULE = {
    "type": "object",
    "additionalProperties": False,
    "required": ["id"],
    "properties": {
        "id": {"type": "string"},
        "shortDescription": _TEXT,
        "fullDescription": _TEXT,
        "help": _TEXT,
        "defaultConfiguration": {
            "type": "object",
            "properties": {"level": _LEVEL},
            "additionalProperties": False,
        },
    },
}
_CHANGE = {
    "type": "object",
    "additionalProperties": False,
    "required": ["artifactLocation", "replacements"],
    "properties": {
        "artifactLocation": _ARTIFACT,
        "replacements": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["deletedRegion"],
                "properties": {"deletedRegion": _REGION, "insertedContent": _TEXT},
            },
        },
    },
}
_RESULT = {
    "type": "object",
    "additionalProperties": False,
    "required": ["message"],
    "properties": {
        "ruleId": {"type": "string"},
        "ruleIndex": {"type": "integer", "minimum": -1},
        "level": _LEVEL,
        "message": _TEXT,
        "locations": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "properties": {
                    "physicalLocation": {
                        "type": "object",
                        "additionalProperties": False,
                        "properties": {"artifactLocation": _ARTIFACT, "region": _REGION},
                    }
                },
            },
        },
        "fixes": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["artifactChanges"],
                "properties": {"artifactChanges": {"type": "array", "minItems": 1, "items": _CHANGE}},
            },
        },
    },
}
SARIF = {
    "type": "object",
    "additionalProperties": False,
    "required": ["version", "runs"],
    "properties": {
        "$schema": {"type": "string", "format": "uri"},
        "version": {"enum": ["2.1.0"]},
        "runs": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["tool"],
                "properties": {
                    "tool": {
                        "type": "object",
                        "additionalProperties": False,
                        "required": ["driver"],
                        "properties": {
                            "driver": {
                                "type": "object",
                                "additionalProperties": False,
                                "required": ["name"],
                                "properties": {
                                    "name": {"type": "string"},
                                    "semanticVersion": {"type": "string"},
                                    "rules": {"type": "array", "uniqueItems": True, "items": _RULE},
                                },
                            }
                        },
                    },
                    "columnKind": {"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
                    "results": {"type": "array", "items": _RESULT},
                },
            },
        },
    },
}
"""The shape of SARIF 2.1.0, of the parts that are written; other properties, which it also has, are refused."""


def log(found: list[Diagnostic]) -> Any:
    written = sarif_log(found, version="1.2.3", uri=lambda file: f"playbooks/{file}")
    Draft202012Validator(SARIF).validate(written)
    return written


def test_every_finding_is_a_result_with_its_rule_level_and_region() -> None:
    found = [d for rule in RULES.values() if rule.bad for d in findings(whole(rule.bad))]
    (run,) = log(found)["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert len(run["results"]) == len(found)
    for finding, result in zip(found, run["results"], strict=True):
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"] == finding.rule
        assert result["level"] == {"error": "error", "warning": "warning", "info": "note"}[finding.severity]
        assert finding.message in result["message"]["text"]
        place = result["locations"][0]["physicalLocation"]
        assert place["artifactLocation"]["uri"] == "playbooks/p.yaml"
        assert (place["region"]["startLine"], place["region"]["startColumn"]) == (
            finding.line,
            finding.column,
        )
        assert ("fixes" in result) == bool(finding.fix)
    assert {rule["id"] for rule in rules} == {d.rule for d in found}
    assert any("fixes" in result for result in run["results"])


def test_nothing_found_is_a_log_too() -> None:
    assert log([])["runs"][0]["results"] == []


def test_a_rule_of_somebody_else_has_no_description() -> None:
    other = Diagnostic(file="x", line=1, column=1, rule="other", message="m")
    assert log([other])["runs"][0]["tool"]["driver"]["rules"] == [{"id": "other"}]
