"""The types of the report: what it says, as data.

Texts are as they were recorded, an attacker's among them; the renderers make them harmless. A time is in UTC, a
duration in whole milliseconds, and `seq` is the number of the timeline entry that a statement rests on.
"""

from __future__ import annotations

from soar.reports.sections.changes import EffectRow, ExpiryRow, Undo, VerificationRow
from soar.reports.sections.course import (
    AssignmentRow,
    CancelRow,
    ClockOutcome,
    ClockRow,
    Course,
    PauseRow,
    ReopenedRow,
    SeverityRow,
    UpgradeRow,
)
from soar.reports.sections.decisions import (
    ApprovalRow,
    AttentionRow,
    PlanShown,
    PolicyRow,
    RefusalRow,
    VoteRow,
)
from soar.reports.sections.flow import CalledRow, LoopRow, RoundRow, RoundStep, WaitEnd, WaitRow
from soar.reports.sections.overview import (
    ChainCheck,
    Containment,
    ContainmentState,
    Cover,
    Gap,
    GapKind,
    Metric,
    Statement,
    Summary,
)
from soar.reports.sections.people import FilledIn, InterventionRow, QuestionRow, TaskRow
from soar.reports.sections.report import SCHEMA_VERSION, Appendix, HumanSection, NoteRow, Report, TimelineRow
from soar.reports.sections.response import PhaseSection, StepRow
from soar.reports.sections.subject import (
    AlertRow,
    EvidenceRow,
    Impact,
    ImpactResource,
    IndicatorRow,
    TechniqueRow,
)

__all__ = [
    "SCHEMA_VERSION",
    "AlertRow",
    "Appendix",
    "ApprovalRow",
    "AssignmentRow",
    "AttentionRow",
    "CalledRow",
    "CancelRow",
    "ChainCheck",
    "ClockOutcome",
    "ClockRow",
    "Containment",
    "ContainmentState",
    "Course",
    "Cover",
    "EffectRow",
    "EvidenceRow",
    "ExpiryRow",
    "FilledIn",
    "Gap",
    "GapKind",
    "HumanSection",
    "Impact",
    "ImpactResource",
    "IndicatorRow",
    "InterventionRow",
    "LoopRow",
    "Metric",
    "NoteRow",
    "PauseRow",
    "PhaseSection",
    "PlanShown",
    "PolicyRow",
    "QuestionRow",
    "RefusalRow",
    "ReopenedRow",
    "Report",
    "RoundRow",
    "RoundStep",
    "SeverityRow",
    "Statement",
    "StepRow",
    "Summary",
    "TaskRow",
    "TechniqueRow",
    "TimelineRow",
    "Undo",
    "UpgradeRow",
    "VerificationRow",
    "VoteRow",
    "WaitEnd",
    "WaitRow",
]
