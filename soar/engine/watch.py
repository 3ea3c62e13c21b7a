"""What happens by itself: severity rules, deadlines, and changes that are put back when their time is over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

from temporalio import workflow

from soar.engine.run import Run
from soar.model.change import Effect
from soar.model.course import ClockMet, ClockMissed, ClockStarted, ClockStatus, ClockWarned, SeveritySet
from soar.playbook.expressions import ExpressionError, evaluate
from soar.playbook.graph import ClockRule

__all__ = ["Watch"]


class Watch:
    """Looks at the incident whenever it changes, and when something is due.

    Args:
        expired: Puts the changes of a step back.
    """

    def __init__(self, run: Run, expired: Callable[[Effect], None]) -> None:
        self._run, self._expired = run, expired
        self._seen = -1
        self._due = False
        self._armed: datetime | None = None
        self._timer: asyncio.Task[None] | None = None
        self._underway: set[str] = set()
        self._broken: set[str] = set()

    async def run(self) -> None:
        """Look, for as long as the workflow runs."""
        while True:
            self._look()
            self._seen, self._due = self._run.incident.head_seq, False
            self._arm()
            await workflow.wait_condition(lambda: self._run.incident.head_seq != self._seen or self._due)

    @property
    def expiring(self) -> list[Effect]:
        """The changes that will be put back by themselves, and are not yet."""
        return [e for e in self._run.incident.effects.values() if e.expires_at and e.status.in_place]

    def _look(self) -> None:
        if not self._run.incident.status.ended:
            self._severity()
            self._clocks()
        now = workflow.now()
        for effect in self.expiring:
            if effect.expires_at is not None and effect.expires_at <= now:
                if effect.step_id not in self._underway:
                    self._underway.add(effect.step_id)
                    self._expired(effect)
            else:
                self._underway.discard(effect.step_id)

    def _holds(self, name: str, expression: str | None) -> bool:
        """Whether a rule's condition holds. One that reads what is not set yet does not; it is looked at again."""
        if expression is None:
            return True
        try:
            return bool(evaluate(expression, self._run.variables()))
        except ExpressionError as problem:
            if name not in self._broken:
                self._broken.add(name)
                workflow.logger.info("%s has no value yet: %s", name, problem)
            return False

    def _severity(self) -> None:
        incident = self._run.incident
        for rule in self._run.graph.severity:
            if incident.severity_by or incident.severity >= rule.severity or not incident.alerts:
                continue
            if self._holds(f"severity: {rule.when}", rule.when):
                self._run.journal.record(
                    SeveritySet(severity=rule.severity, reason=f"the playbook's rule: {rule.when}"),
                    f"Severity raised to {rule.severity.label}: {rule.when}",
                )

    def _clocks(self) -> None:
        incident, journal, now = self._run.incident, self._run.journal, workflow.now()
        for name, rule in self._run.graph.clocks.items():
            clock = incident.clocks.get(name)
            if clock is None:
                self._start_clock(name, rule)
                continue
            if clock.status is not ClockStatus.RUNNING:
                continue
            step = incident.steps.get(rule.met_by) if rule.met_by else None
            if step is not None and step.status.achieved:
                journal.record(ClockMet(clock=name, reason=f"step {step.id}"), f"Deadline met: {clock.label}")
            elif now >= clock.due_at:
                journal.record(ClockMissed(clock=name), f"Deadline MISSED: {clock.label}")
            elif clock.warn_at is not None and now >= clock.warn_at:
                left = clock.due_at - now
                journal.record(
                    ClockWarned(clock=name),
                    f"Deadline near: {clock.label}, at {clock.due_at:%Y-%m-%d %H:%M} UTC "
                    f"({left - timedelta(microseconds=left.microseconds)} left)",
                )

    def _start_clock(self, name: str, rule: ClockRule) -> None:
        incident = self._run.incident
        starts = {
            "detected": incident.detected_at,
            "opened": incident.opened_at,
            "contained": incident.contained_at,
        }
        begun = starts[rule.starts]
        if begun is None or not incident.alerts or not self._holds(f"clock {name}", rule.when):
            return
        due = begun + timedelta(seconds=rule.due)
        self._run.journal.record(
            ClockStarted(
                clock=name,
                label=rule.label,
                started_at=begun,
                due_at=due,
                warn_at=due - timedelta(seconds=rule.warn) if rule.warn else None,
            ),
            f"Deadline: {rule.label}, by {due:%Y-%m-%d %H:%M} UTC",
        )

    def _arm(self) -> None:
        """Have a timer ring when the next thing is due. One that rings too early does no harm."""
        incident = self._run.incident
        times = [e.expires_at for e in self.expiring if e.expires_at and e.step_id not in self._underway]
        if not incident.status.ended:
            for clock in incident.clocks.values():
                if clock.status is ClockStatus.RUNNING:
                    times += [t for t in (clock.warn_at, clock.due_at) if t is not None]
        wake = min(times, default=None)
        if wake is None or (self._armed is not None and self._armed <= wake):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._armed = wake
        self._timer = asyncio.create_task(self._ring(wake))

    async def _ring(self, at: datetime) -> None:
        await asyncio.sleep(max(0.0, (at - workflow.now()).total_seconds()))
        self._due, self._armed = True, None
