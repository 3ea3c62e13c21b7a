"""Findings as SARIF 2.1.0 (OASIS), which code hosts and editors show beside the lines that they are about."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from pydantic import JsonValue

from soar.model.base import JsonObject
from soar.playbook.diagnostics import Diagnostic, Edit
from soar.playbook.rules import RULES

__all__ = ["SARIF_SCHEMA", "sarif_log"]

SARIF_SCHEMA: Final = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)
_LEVELS: Final = {"error": "error", "warning": "warning", "info": "note"}


def sarif_log(found: Sequence[Diagnostic], *, version: str, uri: Callable[[str], str]) -> JsonObject:
    """Write findings as a SARIF log of one run.

    Args:
        version: Of this program.
        uri: From a finding's file to its URI, relative to the source's root where it lies below that.

    Returns:
        The log, as JSON.
    """
    ids = list(dict.fromkeys([*(d.rule for d in found if d.rule in RULES), *(d.rule for d in found)]))
    rules: list[JsonValue] = [_rule(rule_id) for rule_id in ids]
    results: list[JsonValue] = [_result(d, ids.index(d.rule), uri(d.file)) for d in found]
    driver: JsonObject = {"name": "soar playbook lint", "semanticVersion": version, "rules": rules}
    run: JsonObject = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": results,
    }
    return {"$schema": SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(rule_id: str) -> JsonObject:
    rule = RULES.get(rule_id)
    if rule is None:
        return {"id": rule_id}
    described: JsonObject = {
        "id": rule.id,
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": rule.why},
        "defaultConfiguration": {"level": _LEVELS[rule.severity]},
    }
    if rule.bad:
        text = f"{rule.why}\n\nFound in:\n{rule.bad}\nPut right:\n{rule.good}"
        markdown = f"{rule.why}\n\nFound in:\n```yaml\n{rule.bad}```\nPut right:\n```yaml\n{rule.good}```\n"
        described["help"] = {"text": text, "markdown": markdown}
    return described


def _result(finding: Diagnostic, index: int, uri: str) -> JsonObject:
    region: JsonObject = {"startLine": finding.line, "startColumn": finding.column}
    if finding.end_line is not None and finding.end_column is not None:
        region |= {"endLine": finding.end_line, "endColumn": finding.end_column}
    hint = f" ({finding.hint})" if finding.hint else ""
    place: JsonObject = {"physicalLocation": {"artifactLocation": {"uri": uri}, "region": region}}
    result: JsonObject = {
        "ruleId": finding.rule,
        "ruleIndex": index,
        "level": _LEVELS[finding.severity],
        "message": {"text": finding.message + hint},
        "locations": [place],
    }
    if finding.fix:
        replacements: list[JsonValue] = [_replacement(edit) for edit in finding.fix]
        change: JsonObject = {"artifactLocation": {"uri": uri}, "replacements": replacements}
        result["fixes"] = [{"artifactChanges": [change]}]
    return result


def _replacement(edit: Edit) -> JsonObject:
    return {
        "deletedRegion": {
            "startLine": edit.line,
            "startColumn": edit.column,
            "endLine": edit.end_line,
            "endColumn": edit.end_column,
        },
        "insertedContent": {"text": edit.text},
    }
