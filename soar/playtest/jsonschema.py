"""The test file as JSON Schema, for editors."""

from __future__ import annotations

from typing import Any

from soar.actions.registry import catalogue
from soar.model.base import JsonObject
from soar.model.terms import Risk, Severity
from soar.playtest.calls import no_calls_of_its_own
from soar.playtest.check import KINDS
from soar.playtest.spec import TestFile
from soar.reports.render import MEDIA_TYPES
from soar.reports.sections import Report
from soar.simulated.scenarios import SCENARIOS
from soar.sources.registry import sources

__all__ = ["tests_schema"]


def tests_schema() -> JsonObject:
    """Describe what a test file may say; names of scenarios, reads, permissions and kinds are completed.

    Returns:
        JSON Schema 2020-12.
    """
    schema: dict[str, Any] = TestFile.model_json_schema(by_alias=True, mode="validation")
    known = catalogue()
    permissions = sorted(
        {p for spec in known.values() for p in spec.permissions if not no_calls_of_its_own(p)}
    )
    names: dict[tuple[str, str], list[str]] = {
        ("AccountSpec", "scenario"): sorted(SCENARIOS),
        ("DenyFault", "deny"): permissions,
        ("FailFault", "fail"): permissions,
        ("AnswerFault", "answer"): permissions,
        ("Trigger", "kind"): list(KINDS),
        ("AlertSpec", "source"): sorted(sources()),
        ("ReadExpectation", "read"): sorted(n for n, spec in known.items() if spec.risk is Risk.READ),
        ("IncidentExpectation", "severity"): [severity.label for severity in Severity],
        ("Expectations", "timeline"): list(KINDS),
        ("Expectations", "never"): list(KINDS),
        ("ReportExpectation", "sections"): sorted(Report.model_fields),
        ("ReportExpectation", "empty"): sorted(Report.model_fields),
        ("ReportExpectation", "formats"): sorted(MEDIA_TYPES),
    }
    for (owner, field), allowed in names.items():
        part = schema["$defs"][owner]["properties"][field]
        for place in (part.get("items"), *part.get("anyOf", ()), part):
            if isinstance(place, dict) and place.get("type") == "string":
                place["enum"] = allowed
                break
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "Tests of a playbook",
    }
