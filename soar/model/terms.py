"""The enumerations that the whole system shares."""

from __future__ import annotations

from enum import IntEnum, StrEnum

__all__ = ["AlertState", "IncidentStatus", "Phase", "Risk", "Severity", "StepStatus"]


class Severity(IntEnum):
    """How bad it is: `severity_id` of OCSF Detection Finding (class 2004)."""

    UNKNOWN = 0
    INFORMATIONAL = 1
    LOW = 2
    MEDIUM = 3
    HIGH = 4
    CRITICAL = 5
    FATAL = 6

    @property
    def label(self) -> str:
        """The word for people: `high`."""
        return self.name.lower()


class AlertState(StrEnum):
    """Where an alert stands at its source."""

    NEW = "new"
    UPDATED = "updated"
    RESOLVED = "resolved"


class Phase(StrEnum):
    """The six phases, in order."""

    PREPARATION = "preparation"
    IDENTIFICATION = "identification"
    CONTAINMENT = "containment"
    ERADICATION = "eradication"
    RECOVERY = "recovery"
    LESSONS_LEARNED = "lessons_learned"

    @property
    def label(self) -> str:
        """The words for people: `lessons learned`."""
        return self.value.replace("_", " ")


class Risk(StrEnum):
    """What an action may cost when it is wrong, from nothing to what cannot be put back."""

    READ = "read"
    REVERSIBLE = "reversible"
    DISRUPTIVE = "disruptive"
    DESTRUCTIVE = "destructive"


class IncidentStatus(StrEnum):
    """Where an incident stands.

    `closed` says that the playbook ran to its end with every containment verified; `closed_incomplete`
    that it ended with something denied, skipped or not verified, which the report names.
    """

    OPEN = "open"
    WAITING = "waiting"  # for a person's decision
    CLOSED = "closed"
    CLOSED_INCOMPLETE = "closed_incomplete"
    CANCELLED = "cancelled"
    FAILED = "failed"

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self not in (IncidentStatus.OPEN, IncidentStatus.WAITING)


class StepStatus(StrEnum):
    """Where a step stands. `unchanged`: the target was already as wanted, so nothing was done."""

    RUNNING = "running"
    WAITING = "waiting"  # an approval is open
    ATTENTION = "attention"  # failed, and a person is asked what to do
    SUCCEEDED = "succeeded"
    UNCHANGED = "unchanged"
    FAILED = "failed"
    DENIED = "denied"
    SKIPPED = "skipped"
    PLANNED = "planned"  # only in a dry run: it would have been done

    @property
    def ended(self) -> bool:
        """Whether the step will do nothing more."""
        return self not in (StepStatus.RUNNING, StepStatus.WAITING, StepStatus.ATTENTION)

    @property
    def achieved(self) -> bool:
        """Whether what the step was for is so."""
        return self in (StepStatus.SUCCEEDED, StepStatus.UNCHANGED)
