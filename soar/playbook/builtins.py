"""The actions that the engine itself does."""

from __future__ import annotations

from soar.model.spec import ActionSpec, Catalogue
from soar.model.terms import Phase, Risk

__all__ = ["BUILTIN_SPECS", "REPORT", "UNDO", "with_builtins"]

UNDO = "incident.undo"
REPORT = "report.write"

BUILTIN_SPECS: dict[str, ActionSpec] = {
    UNDO: ActionSpec(
        name=UNDO,
        title="Undo changes of this incident: an earlier step's, a phase's, or all of them.",
        doc="Newest first, each to the state that was recorded before it; refuses if the target drifted since.",
        example="id: lift_quarantine\ndo: incident.undo\nwith:\n  step: isolate\n",
        risk=Risk.REVERSIBLE,
        phase=Phase.RECOVERY,
        queue="orchestrator",
        params={
            "type": "object",
            "properties": {
                "step": {"type": "string", "description": "The id of the earlier step.", "minLength": 1},
                "phase": {"enum": [p.value for p in Phase], "description": "All changes of a phase."},
                "all": {"const": True, "description": "All changes of the incident."},
            },
            "minProperties": 1,
            "maxProperties": 1,
            "additionalProperties": False,
        },
        result={"type": "object"},
    ),
    REPORT: ActionSpec(
        name=REPORT,
        title="Write the incident's report.",
        example="id: report\ndo: report.write\n",
        risk=Risk.READ,
        phase=Phase.LESSONS_LEARNED,
        queue="orchestrator",
        params={"type": "object", "properties": {}, "additionalProperties": False},
        result={"type": "object"},
    ),
}
"""The actions that the engine itself does; they are in no catalogue."""


def with_builtins(catalogue: Catalogue) -> Catalogue:
    """The catalogue with the engine's own actions."""
    return {**catalogue, **BUILTIN_SPECS}
