"""How each step stands, by the timeline: the state lets go of steps inside loops once their round has ended."""

from __future__ import annotations

from dataclasses import dataclass, field

from soar.model.course import TaskCancelled, TaskDone, TaskOpened
from soar.model.events import (
    AnyEvent,
    ApprovalOpened,
    AttentionResolved,
    StepDenied,
    StepFailed,
    StepNeedsAttention,
    StepPlanned,
    StepSkipped,
    StepStarted,
    StepSucceeded,
)
from soar.model.terms import Risk, StepStatus
from soar.playbook.builtins import UNDO

__all__ = ["Standing"]


@dataclass
class Standing:
    """The steps that were reached.

    Args:
        names: Step id → its name for people.
        now: Step id → how it stands, and why: its error, or the reason why it was left out.
        undoing: The steps that put something back and have not ended, with their names.
    """

    names: dict[str, str] = field(default_factory=dict)
    now: dict[str, tuple[StepStatus, str]] = field(default_factory=dict)
    undoing: dict[str, str] = field(default_factory=dict)
    _reads: set[str] = field(default_factory=set)

    def tell(self, event: AnyEvent | None) -> None:
        """Take the next event of the timeline in."""
        match event:
            case StepStarted():
                self._started(event)
            case StepSucceeded():
                done = event.changed or event.step_id in self._reads
                self._stands(event.step_id, StepStatus.SUCCEEDED if done else StepStatus.UNCHANGED)
            case StepSkipped():
                if event.name:
                    self.names.setdefault(event.step_id, event.name)
                self._stands(event.step_id, StepStatus.SKIPPED, event.reason)
            case StepDenied():
                self._stands(event.step_id, StepStatus.DENIED, event.reason)
            case StepPlanned():
                self._stands(event.step_id, StepStatus.PLANNED)
            case StepFailed():
                self._stands(event.step_id, StepStatus.FAILED, event.error.message)
            case StepNeedsAttention():
                self._stands(event.step_id, StepStatus.ATTENTION, event.error.message)
            case TaskOpened() | ApprovalOpened():
                self._stands(event.step_id, StepStatus.WAITING)
            case AttentionResolved() | TaskDone() | TaskCancelled():
                self._stands(event.step_id, StepStatus.RUNNING)
            case _:
                pass

    def _started(self, event: StepStarted) -> None:
        self.names[event.step_id] = event.name
        if event.risk is Risk.READ:
            self._reads.add(event.step_id)
        if event.action == UNDO:
            self.undoing[event.step_id] = event.name
        self._stands(event.step_id, StepStatus.RUNNING)

    def _stands(self, step_id: str, status: StepStatus, why: str = "") -> None:
        self.now[step_id] = (status, why)
        if status.ended:
            self.undoing.pop(step_id, None)
